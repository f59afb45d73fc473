"""Students that are the same multilayer perceptron, computed as one: K small products become one batched product.

On a CPU the calls cost more than the arithmetic of small networks. The students keep their own modules; their
parameters become views of the stacked ones, so evaluation, checkpoints and measurements see what training changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

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
        self.rectified = [isinstance(after, nn.ReLU) for before, after in _neighbours(layers[0])]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        self.views: list[tuple[nn.Parameter, nn.Parameter, int]] = []
        for same in zip(*layers, strict=True):
            if not isinstance(same[0], nn.Linear):
                continue
            for name, into in (("weight", self.weights), ("bias", self.biases)):
                own = [getattr(layer, name) for layer in same]
                stacked = nn.Parameter(torch.stack([p.detach() for p in own]))
                into.append(stacked)
                for k, parameter in enumerate(own):
                    parameter.data = stacked.data[k]
                    self.views.append((parameter, stacked, k))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (K, B, C) of samples (B, ...)."""
        out = x.flatten(1).expand(len(self.weights[0]), -1, -1)
        for weight, bias, rectified in zip(self.weights, self.biases, self.rectified, strict=True):
            out = torch.baddbmm(bias.unsqueeze(1), out, weight.transpose(1, 2))
            if rectified:
                out = out.relu_()
        return out

    def share_gradients(self) -> None:
        """Give the students' parameters their part of the stacked gradients, as views."""
        for parameter, stacked, k in self.views:
            parameter.grad = None if stacked.grad is None else stacked.grad[k]


def _neighbours(layers: Sequence[nn.Module]) -> list[tuple[nn.Module, nn.Module | None]]:
    """Each linear layer with what follows it."""
    following = [*layers[1:], None]
    return [(a, b) for a, b in zip(layers, following, strict=True) if isinstance(a, nn.Linear)]
