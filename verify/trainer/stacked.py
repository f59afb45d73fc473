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
    """All layers in one node: what remains are three products a layer, and no calls in between."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rectified: Sequence[bool], *parameters: Tensor) -> Tensor:  # type: ignore[override]
        weights, biases = parameters[::2], parameters[1::2]
        inputs = []
        out = x.expand(len(weights[0]), -1, -1)
        for weight, bias, positive in zip(weights, biases, rectified, strict=True):
            inputs.append(out)
            out = torch.baddbmm(bias, out, weight)
            if positive:
                out.relu_()
        ctx.rectified = rectified
        ctx.save_for_backward(*inputs, *weights, *([out] if rectified[-1] else []))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        layers = len(ctx.rectified)
        inputs, weights = ctx.saved_tensors[:layers], ctx.saved_tensors[layers : 2 * layers]
        outputs = (*inputs[1:], *ctx.saved_tensors[2 * layers :])
        grads: list[Tensor] = []
        for n in reversed(range(layers)):
            if ctx.rectified[n]:
                grad = torch.ops.aten.threshold_backward(grad, outputs[n], 0)
            grads += [grad.sum(1, keepdim=True), torch.bmm(inputs[n].transpose(1, 2), grad)]
            if n:
                grad = torch.bmm(grad, weights[n].transpose(1, 2))
        return (None, None, *reversed(grads))


class StackedMLPs(nn.Module):
    """The logits (K, B, C) of K stackable students.

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
        self.stacked = nn.ParameterList()
        self.views: list[tuple[nn.Linear, nn.Parameter, nn.Parameter]] = []
        for same in zip(*layers, strict=True):
            linear = [layer for layer in same if isinstance(layer, nn.Linear)]
            if not linear:
                continue
            # (K, in, out), the layout in which products and gradients need no copies; a student sees (out, in).
            weight = nn.Parameter(torch.stack([layer.weight.detach().t() for layer in linear]).contiguous())
            bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in linear]).unsqueeze(1))
            self.stacked.extend([weight, bias])
            for k, layer in enumerate(linear):
                layer.weight.data, layer.bias.data = weight.data[k].t(), bias.data[k, 0]
                self.views.append((layer, weight, bias))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (K, B, C) of samples (B, ...)."""
        return _Layers.apply(x.flatten(1), self.rectified, *self.stacked)  # type: ignore[return-value]

    def share_gradients(self) -> None:
        """Give the students' parameters their part of the stacked gradients, as views."""
        for number, (layer, weight, bias) in enumerate(self.views):
            k = number % len(weight)
            layer.weight.grad = None if weight.grad is None else weight.grad[k].t()
            layer.bias.grad = None if bias.grad is None else bias.grad[k, 0]


def _neighbours(layers: Sequence[nn.Module]) -> list[tuple[nn.Module, nn.Module | None]]:
    """Each linear layer with what follows it."""
    following = [*layers[1:], None]
    return [(a, b) for a, b in zip(layers, following, strict=True) if isinstance(a, nn.Linear)]
