"""Students that are the same multilayer perceptron, computed as one: K small products become one batched product.

On a CPU the calls cost more than the arithmetic of small networks. The students keep their own modules; their
parameters become views of the stacked ones, so evaluation, checkpoints and measurements see what training changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import Function, once_differentiable

__all__ = ["StackedMLPs", "stackable"]


def stackable(students: Sequence[nn.Module]) -> bool:
    """Whether the students are the same sequence of linear layers with biases, rectifiers and flattenings.

    >>> stackable([nn.Sequential(nn.Linear(3, 2))] * 2), stackable([nn.Linear(3, 2), nn.Linear(3, 4)])
    (True, False)
    """
    return len(students) > 1 and len({_plan(s) for s in students}) == 1 and _plan(students[0]) is not None


def _plan(student: nn.Module) -> tuple[tuple[int, ...], ...] | None:
    if not isinstance(student, nn.Sequential):
        return None
    plan: list[tuple[int, ...]] = []
    for layer in student:
        if type(layer) is nn.Linear and layer.bias is not None:
            plan.append(tuple(layer.weight.shape))
        elif type(layer) is nn.ReLU:
            plan.append(())
        elif not (type(layer) is nn.Flatten and layer.start_dim == 1 and layer.end_dim == -1 and not plan):
            return None
    return tuple(plan) if plan and plan[0] else None


class _Layers(Function):
    """All layers in one node with one parameter: what remains are three products a layer, and no calls in between."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, flat: Tensor, parts: list[Tensor], rectified: list[bool]) -> Tensor:  # type: ignore[override]
        inputs = []
        out = x.expand(len(parts[0]), -1, -1)
        for weight, bias, positive in zip(parts[::2], parts[1::2], rectified, strict=True):
            inputs.append(out)
            out = torch.baddbmm(bias, out, weight)
            if positive:
                out.relu_()
        ctx.parts, ctx.rectified = parts, rectified
        ctx.save_for_backward(*inputs, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        outputs = ctx.saved_tensors
        flat = grad.new_empty(sum(part.numel() for part in ctx.parts))
        into = [g.view_as(p) for g, p in zip(flat.split([p.numel() for p in ctx.parts]), ctx.parts, strict=True)]
        for n in reversed(range(len(ctx.rectified))):
            if ctx.rectified[n] and n + 1 < len(ctx.rectified):
                # Its own product of matrices, which nobody else sees: in place.
                torch.ops.aten.threshold_backward.grad_input(grad, outputs[n + 1], 0, grad_input=grad)
            elif ctx.rectified[n]:
                grad = torch.ops.aten.threshold_backward(grad, outputs[n + 1], 0)
            torch.sum(grad, 1, keepdim=True, out=into[2 * n + 1])
            torch.bmm(outputs[n].transpose(1, 2), grad, out=into[2 * n])
            if n:
                grad = torch.bmm(grad, ctx.parts[2 * n].transpose(1, 2))
        return None, flat, None, None


class StackedMLPs(nn.Module):
    """The logits (K, B, C) of K stackable students, whose weights are one parameter.

    >>> students = [nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(2)]
    >>> x = torch.randn(5, 3)
    >>> expected = torch.stack([student(x) for student in students])
    >>> torch.allclose(StackedMLPs(students)(x), expected, atol=1e-6)
    True
    """

    def __init__(self, students: Sequence[nn.Module]) -> None:
        super().__init__()
        layers = [[m for m in s.children() if isinstance(m, nn.Linear | nn.ReLU)] for s in students]
        self.rectified = [isinstance(after, nn.ReLU) for _, after in _neighbours(layers[0])]
        self.linear = [[m for m in same if isinstance(m, nn.Linear)] for same in zip(*layers, strict=True)]
        self.linear = [same for same in self.linear if same]
        stacks: list[Tensor] = []
        for same in self.linear:
            # (K, in, out), the layout in which products and gradients need no copies; a student sees (out, in).
            stacks.append(torch.stack([layer.weight.detach().t() for layer in same]))
            stacks.append(torch.stack([layer.bias.detach() for layer in same]).unsqueeze(1))
        self.flat = nn.Parameter(torch.cat([stack.flatten() for stack in stacks]))
        self.parts = self._parts(self.flat.data, stacks)
        for n, same in enumerate(self.linear):
            for k, layer in enumerate(same):
                layer.weight.data, layer.bias.data = self.parts[2 * n][k].t(), self.parts[2 * n + 1][k, 0]

    @staticmethod
    def _parts(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
        return [p.view(s.shape) for p, s in zip(flat.split([s.numel() for s in like]), like, strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (K, B, C) of samples (B, ...)."""
        return _Layers.apply(x.flatten(1), self.flat, self.parts, self.rectified)  # type: ignore[return-value]

    def share_gradients(self) -> None:
        """Give the students' parameters their part of the stacked gradients, as views."""
        grads = None if self.flat.grad is None else self._parts(self.flat.grad, self.parts)
        for n, same in enumerate(self.linear):
            for k, layer in enumerate(same):
                layer.weight.grad = None if grads is None else grads[2 * n][k].t()
                layer.bias.grad = None if grads is None else grads[2 * n + 1][k, 0]


def _neighbours(layers: Sequence[nn.Module]) -> list[tuple[nn.Module, nn.Module | None]]:
    """Each linear layer with what follows it."""
    following = [*layers[1:], None]
    return [(a, b) for a, b in zip(layers, following, strict=True) if isinstance(a, nn.Linear)]
