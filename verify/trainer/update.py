"""K students that learn from each other: one forward pass each, one backward pass, one optimizer step.

Student k minimises L_k + β R_k: L_k its mean cross-entropy, R_k its mean Rényi divergence from its peers, which are
held constant. All students see the same batch and move at once (or, on request, one after the other). The objective is
that of Huang et al. 2023, arXiv 2209.05732.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from rdml_theory.losses import mutual_loss
from rdml_theory.losses.order import LearnableOrder
from verify.trainer.distributed import Group

__all__ = ["Cohort", "Objective", "Schedule", "StackedMLPs", "base_loss", "stackable", "wide"]

Schedule = Callable[[int], float]
"""A number at a step (from 0): of the step alone, so that nothing lags or has to be saved."""


def base_loss(logits: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
    """The mean cross-entropy of each student (K,) from logits (K, B, C) and labels (B,)."""
    # Classes before samples: on a CPU a softmax over a short last axis costs twenty times as much.
    classes_first = logits.transpose(1, 2).contiguous()
    losses = cross_entropy(classes_first, y.expand(len(logits), -1), reduction="none", label_smoothing=smoothing)
    return losses.mean(1)


def wide(logits: Tensor) -> Tensor:
    """Half-precision logits in float32, others as they are."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


@dataclass(frozen=True)
class Objective:
    """What student k minimises at a step: L_k + β R_k, in nats.

    ``order`` gives α and ``weight`` β at a step; a learned order is a module.
    """

    order: Schedule | LearnableOrder
    weight: Schedule
    temperature: float = 1.0
    label_smoothing: float = 0.0

    def alpha(self, step: int) -> float | Tensor:
        """The order of a step; a tensor if it is learned."""
        return self.order() if isinstance(self.order, LearnableOrder) else self.order(step)

    def losses(self, logits: Tensor, y: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """L_k and βR_k, each of shape (K,), from logits (K, B, C); the latter zero where β is."""
        base = base_loss(logits, y, self.label_smoothing)
        weight = self.weight(step)
        if weight == 0 or len(logits) == 1:
            return base, torch.zeros_like(base)
        return base, mutual_loss(logits, self.alpha(step), beta=weight, temperature=self.temperature)


def stackable(students: Sequence[nn.Module]) -> bool:
    """Whether the students are the same sequence of linear layers with biases, rectifiers and, first, flattenings.

    >>> stackable([nn.Sequential(nn.Linear(3, 2))] * 2), stackable([nn.Linear(3, 2), nn.Linear(3, 4)])
    (True, False)
    """
    if len(students) < 2 or not all(isinstance(s, nn.Sequential) for s in students):
        return False
    layers: list[list[Any]] = []
    for student in students:
        rest: list[Any] = list(student.children())
        while rest and type(rest[0]) is nn.Flatten and (rest[0].start_dim, rest[0].end_dim) == (1, -1):
            del rest[0]
        if not rest or type(rest[0]) is not nn.Linear:
            return False
        layers.append(rest)
    linear = all(type(layer) is nn.ReLU or (type(layer) is nn.Linear and layer.bias is not None) for layer in layers[0])
    return linear and len({tuple(map(repr, rest)) for rest in layers}) == 1


class StackedMLPs(nn.Module):
    """The logits (K, B, C) of K stackable students: K small products become one batched product.

    On a CPU the calls cost more than the arithmetic of small networks. The students keep their own modules; their
    parameters and gradients become views of the stacked ones, so evaluation, checkpoints and measurements see them.

    >>> students = [nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(2)]
    >>> x = torch.randn(5, 3)
    >>> expected = torch.stack([student(x) for student in students])
    >>> torch.allclose(StackedMLPs(students)(x), expected, atol=1e-6)
    True
    """

    def __init__(self, students: Sequence[nn.Module]) -> None:
        super().__init__()
        self.students = len(students)
        self.layers: list[tuple[Tensor, Tensor] | None] = []
        """Weights (K, in, out), the layout in which products need no copies, and biases (K, 1, out); or a rectifier."""
        for same in zip(*(s.children() for s in students), strict=True):
            if isinstance(same[0], nn.Linear):
                weight = nn.Parameter(torch.stack([layer.weight.detach().t() for layer in same]))
                bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in same]).unsqueeze(1))
                weight.grad, bias.grad = torch.zeros_like(weight), torch.zeros_like(bias)
                for k, layer in enumerate(same):
                    layer.weight.data, layer.bias.data = weight.data[k].t(), bias.data[k, 0]
                    layer.weight.grad, layer.bias.grad = weight.grad[k].t(), bias.grad[k, 0]
                number = len(self.layers)
                self.register_parameter(f"weight{number}", weight)
                self.register_parameter(f"bias{number}", bias)
                self.layers.append((weight, bias))
            elif isinstance(same[0], nn.ReLU):
                self.layers.append(None)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (K, B, C) of samples (B, ...)."""
        out = x.flatten(1).expand(self.students, -1, -1)
        for layer in self.layers:
            out = torch.relu(out) if layer is None else torch.baddbmm(layer[1], out, layer[0])
        return out


class Cohort:
    """The students with their objective and their common optimizer.

    Parameters
    ----------
    students : sequence of Module
        On their device.
    objective : Objective
        What they minimise.
    optimizer : callable
        From groups of parameters to the optimizer of all students: its step is one kernel where the device has one.
    rate : callable
        The learning rate at a step.
    sequential : bool
        Whether the students move one after the other, each seeing its peers' latest weights.
    clip : float
        Greatest gradient norm of each student, 0 for none.
    precision : torch.dtype
        In which the networks compute; losses and weights keep the type of the parameters.
    compiled : bool
        Whether the networks are compiled.
    group : Group, optional
        The processes that share the batches.
    """

    def __init__(
        self,
        students: Sequence[nn.Module],
        objective: Objective,
        optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer],
        rate: Schedule,
        *,
        sequential: bool = False,
        clip: float = 0.0,
        precision: torch.dtype = torch.float32,
        compiled: bool = False,
        group: Group | None = None,
    ) -> None:
        self.students, self.objective, self.rate = list(students), objective, rate
        self.sequential, self.clip, self.group = sequential, clip, group or Group()
        first = next(self.students[0].parameters())
        self.device = first.device
        self.learned = objective.order.to(first.device) if isinstance(objective.order, LearnableOrder) else None
        half = precision in (torch.float16, torch.bfloat16)
        self.autocast = torch.autocast(self.device.type, dtype=precision) if half else nullcontext()
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == torch.float16)
        called: list[nn.Module] = self.students
        if compiled:
            called = [torch.compile(s) for s in called]  # type: ignore[misc]
        if self.group.size > 1:
            called = [DistributedDataParallel(s) for s in called]
        self.called = called
        alone = sequential or compiled or half or self.group.size > 1
        self.stacked = None if alone or not stackable(self.students) else StackedMLPs(self.students)
        trained = list(self.parameters() if self.stacked is None else self.stacked.parameters())
        groups: list[dict[str, Any]] = [{"params": trained}]
        if self.learned is not None:
            groups.append({"params": [self.learned.raw], "weight_decay": 0.0})
        self.optimizer = optimizer(groups)
        self._ones = torch.ones(len(students), device=self.device, dtype=first.dtype)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Of all students."""
        for student in self.students:
            yield from student.parameters()

    def forward(self, x: Tensor, student: int | None = None) -> Tensor:
        """Logits (K, B, C), or those (B, C) of one student, in float32 or better."""
        with self.autocast:
            if student is not None:
                return wide(self.called[student](x))
            if self.stacked is not None:
                return self.stacked(x)
            return wide(torch.stack([student(x) for student in self.called]))

    def update(self, x: Tensor, y: Tensor, step: int, *, out: Tensor | None = None) -> Tensor:
        """Train on a batch; returns L_k and βR_k before the step, shape (2, K), in ``out`` if it is given.

        Every student's parameters have the gradients that moved them afterwards.
        """
        rate = self.rate(step)
        for settings in self.optimizer.param_groups:
            settings["lr"] = rate
        if self.sequential:
            losses = self._one_by_one(x, y, step)
            return losses if out is None else out.copy_(losses)
        base, mutual = self.objective.losses(self.forward(x), y, step)
        self._backward(base, mutual)
        self._move(range(len(self.students)))
        return torch.stack([base.detach(), mutual.detach()], out=out)

    def _one_by_one(self, x: Tensor, y: Tensor, step: int) -> Tensor:
        """One student after the other: each sees what its peers predict after their own steps."""
        out = self._ones.new_empty(2, len(self.students))
        seen = [self._without_state(x, k) for k in range(len(self.students))]
        for k in range(len(self.students)):
            own = self.forward(x, k)
            logits = torch.stack([own if j == k else z for j, z in enumerate(seen)])
            base, mutual = self.objective.losses(logits, y, step)
            self._backward(base[k : k + 1], mutual[k : k + 1])
            self._move([k])
            seen[k] = self._without_state(x, k)
            out[0, k], out[1, k] = base[k].detach(), mutual[k].detach()
        return out

    @torch.no_grad()
    def _without_state(self, x: Tensor, k: int) -> Tensor:
        """A student's logits in training mode that leave running statistics as they are: those count once a step."""
        kept = [b.clone() for b in self.students[k].buffers()]
        out = self.forward(x, k)
        for buffer, value in zip(self.students[k].buffers(), kept, strict=True):
            buffer.copy_(value)
        return out

    def _backward(self, base: Tensor, mutual: Tensor) -> None:
        # The gradients of stacked students are seen through views, which stay where they are.
        self.optimizer.zero_grad(set_to_none=self.stacked is None)
        losses = [base, mutual] if mutual.requires_grad else [base]
        one = self.scaler.scale(self._ones[: len(base)])
        torch.autograd.backward(losses, [one] * len(losses))

    def _move(self, students: Sequence[int]) -> None:
        if self.learned is not None and self.learned.raw.grad is not None:
            self.group.average(self.learned.raw.grad)
        if self.clip:
            self.scaler.unscale_(self.optimizer)
            for k in students:
                nn.utils.clip_grad_norm_(self.students[k].parameters(), self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
