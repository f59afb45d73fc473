"""K students that learn from each other: one forward pass each, one backward pass, one optimizer step.

Student k minimises L_k + β R_k: L_k its mean cross-entropy, R_k its mean Rényi divergence from its peers, which are
held constant. All students see the same batch and move at once (or, on request, one after the other). The objective is
that of Huang et al. 2023, arXiv 2209.05732.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import Function, once_differentiable
from torch.nn.parallel import DistributedDataParallel

from rdml_theory.losses import CosineOrder, LinearOrder, mutual_loss
from rdml_theory.losses.order import LearnableOrder
from verify.trainer.config import Config
from verify.trainer.distributed import Group
from verify.trainer.stacked import StackedMLPs, stackable

__all__ = ["Cohort", "Schedule", "base_loss"]


class _CrossEntropy(Function):
    """Mean cross-entropy of each student, in one node: its gradient in the logits is (softmax - target)/B."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, y: Tensor, smoothing: float) -> Tensor:  # type: ignore[override]
        # Classes before samples: on a CPU a softmax over a short last axis costs twenty times as much.
        logs = logits.transpose(1, 2).contiguous().log_softmax(1)
        index = y.view(1, 1, -1).expand(len(logits), 1, -1)
        loss = logs.gather(1, index).mean((1, 2)).neg_()
        if smoothing:
            loss = (1 - smoothing) * loss - smoothing * logs.mean((1, 2))
        ctx.smoothing = smoothing
        ctx.save_for_backward(logs, index)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        logs, index = ctx.saved_tensors
        pull = logs.exp()
        if ctx.smoothing:
            pull -= ctx.smoothing / logs.shape[1]
        pull.scatter_(1, index, ctx.smoothing - 1.0, reduce="add")
        return pull.mul_((grad / logs.shape[2]).view(-1, 1, 1)).transpose(1, 2), None, None


def base_loss(logits: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
    """The mean cross-entropy of each student (K,) from logits (K, B, C) and labels (B,); once differentiable."""
    return _CrossEntropy.apply(logits, y, smoothing)  # type: ignore[return-value]


def wide(logits: Tensor) -> Tensor:
    """Half-precision logits in float32, others as they are."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


class Schedule:
    """Rate, order and weight at a step (from 0): functions of the step alone, so that nothing lags or is to be saved.

    >>> schedule = Schedule(Config(lr=0.1, epochs=10, lr_warmup=1, beta_warmup=2), steps_per_epoch=4)
    >>> [round(schedule.rate(n), 4) for n in (0, 3, 4, 39)], [schedule.weight(n) for n in (0, 4, 8)]
    ([0.025, 0.1, 0.1, 0.0002], [0.0, 0.5, 1.0])
    """

    def __init__(self, config: Config, steps_per_epoch: int) -> None:
        self.config = config
        self.per_epoch = steps_per_epoch
        self.steps = config.epochs * steps_per_epoch

    def rate(self, step: int) -> float:
        """The learning rate."""
        c = self.config
        warm = round(c.lr_warmup * self.per_epoch)
        if step < warm:
            return c.lr * (step + 1) / warm
        if c.lr_schedule == "cosine":
            return c.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(self.steps - warm, 1)))
        if c.lr_schedule == "step":
            return c.lr * c.lr_gamma ** sum(step // self.per_epoch >= m for m in c.lr_milestones)
        return c.lr

    def _ramp(self, start: float, end: float | None, curve: str, step: int) -> float:
        if end is None:
            return start
        # The last step is at the end value.
        ramp = (LinearOrder if curve == "linear" else CosineOrder)(start, end, max(self.steps - 1, 1))
        return ramp.value(step)

    def order(self, step: int) -> float:
        """α, unless it is learned."""
        return self._ramp(self.config.alpha, self.config.alpha_end, self.config.alpha_schedule, step)

    def weight(self, step: int) -> float:
        """β."""
        c = self.config
        warm = c.beta_warmup * self.per_epoch
        share = min(1.0, step / warm) if warm else 1.0
        return share * self._ramp(c.beta, c.beta_end, c.beta_schedule, step)


class Cohort:
    """The students with their common optimizer.

    Parameters
    ----------
    config : Config
        Losses, schedules, optimizer, precision.
    students : sequence of Module
        On their device.
    steps_per_epoch : int
        For the schedules.
    group : Group, optional
        The processes that share the batches.
    """

    def __init__(
        self, config: Config, students: Sequence[nn.Module], steps_per_epoch: int, group: Group | None = None
    ) -> None:
        self.config = config
        self.schedule = Schedule(config, steps_per_epoch)
        self.students = list(students)
        self.device = next(students[0].parameters()).device
        self.group = group or Group()
        self.learned = LearnableOrder(config.alpha).to(self.device) if config.alpha_schedule == "learned" else None
        self.stacked = self._stacked()
        self.optimizer = _optimizer(config, [self.stacked] if self.stacked else self.students, self.learned)
        self._ones = torch.ones(len(students), device=self.device, dtype=next(students[0].parameters()).dtype)
        self._trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "float16")
        called: list[nn.Module] = self.students
        if config.compile:
            called = [torch.compile(s) for s in called]  # type: ignore[misc]
        if self.group.size > 1:
            called = [DistributedDataParallel(s) for s in called]
        self.called = called

    def parameters(self) -> Iterator[nn.Parameter]:
        """Of all students."""
        for student in self.students:
            yield from student.parameters()

    def _stacked(self) -> StackedMLPs | None:
        """Small identical networks in one pass, where each need not be moved alone."""
        c = self.config
        apart = c.update == "sequential" or c.compile or c.precision != "float32" or self.group.size > 1
        return None if apart or not stackable(self.students) else StackedMLPs(self.students)

    def _autocast(self) -> torch.autocast | nullcontext[None]:
        if self.config.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=getattr(torch, self.config.precision))

    def forward(self, x: Tensor, student: int | None = None) -> Tensor:
        """Logits (K, B, C), or those (B, C) of one student, in float32 or better."""
        with self._autocast():
            if student is not None:
                return wide(self.called[student](x))
            if self.stacked is not None:
                return wide(self.stacked(x))
            return wide(torch.stack([student(x) for student in self.called]))

    def order(self, step: int) -> float | Tensor:
        """The order of a step; a tensor if it is learned."""
        return self.schedule.order(step) if self.learned is None else self.learned()

    def losses(self, logits: Tensor, y: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """L_k and βR_k, each of shape (K,); the latter zero where β is."""
        base = base_loss(logits, y, self.config.label_smoothing)
        weight = self.schedule.weight(step)
        if weight == 0 or len(self.students) == 1:
            return base, torch.zeros_like(base)
        return base, mutual_loss(logits, self.order(step), beta=weight, temperature=self.config.temperature)

    def update(self, x: Tensor, y: Tensor, step: int, *, visible: bool = False, out: Tensor | None = None) -> Tensor:
        """Train on a batch; returns L_k and βR_k before the step, shape (2, K), in ``out`` if it is given.

        With ``visible`` every student's own parameters have their gradients afterwards, as monitors want.
        """
        rate = self.schedule.rate(step)
        for settings in self.optimizer.param_groups:
            settings["lr"] = rate
        if self.config.update == "sequential":
            losses = self._sequential(x, y, step)
            return losses if out is None else out.copy_(losses)
        base, mutual = self.losses(self.forward(x), y, step)
        self._backward(base, mutual)
        if self.stacked is not None and (visible or self.config.clip):
            self.stacked.share_gradients()
        self._move(range(len(self.students)))
        return torch.stack([base.detach(), mutual.detach()], out=out)

    def _sequential(self, x: Tensor, y: Tensor, step: int) -> Tensor:
        """One student after the other: each sees what its peers predict after their own steps."""
        out = torch.empty(2, len(self.students), device=self.device)
        with torch.no_grad():
            seen = self._without_state(x)
        for k in range(len(self.students)):
            own = self.forward(x, k)
            logits = torch.stack([own if j == k else z for j, z in enumerate(seen)])
            base, mutual = self.losses(logits, y, step)
            self._backward(base[k : k + 1], mutual[k : k + 1])
            self._move([k])
            with torch.no_grad():
                seen[k] = self._without_state(x, k)[0]
            out[0, k], out[1, k] = base[k].detach(), mutual[k].detach()
        return out

    def _without_state(self, x: Tensor, student: int | None = None) -> list[Tensor]:
        """Logits in training mode that leave running statistics as they are: they are counted once a step."""
        chosen = range(len(self.students)) if student is None else [student]
        out = []
        for k in chosen:
            kept = [b.clone() for b in self.students[k].buffers()]
            out.append(self.forward(x, k))
            for buffer, value in zip(self.students[k].buffers(), kept, strict=True):
                buffer.copy_(value)
        return out

    def _backward(self, base: Tensor, mutual: Tensor) -> None:
        for parameter in self._trained:
            parameter.grad = None
        losses = [base, mutual] if mutual.requires_grad else [base]
        one = self.scaler.scale(self._ones[: len(base)])
        torch.autograd.backward(losses, [one] * len(losses))

    def _move(self, students: Sequence[int]) -> None:
        if self.learned is not None and self.learned.raw.grad is not None:
            self.group.average(self.learned.raw.grad)
        if self.config.clip:
            self.scaler.unscale_(self.optimizer)
            for k in students:
                nn.utils.clip_grad_norm_(self.students[k].parameters(), self.config.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()


def _optimizer(config: Config, students: Sequence[nn.Module], order: nn.Module | None) -> torch.optim.Optimizer:
    """One optimizer over all students: its step is one fused kernel where the device has one."""
    groups = [{"params": [p for s in students for p in s.parameters()], "weight_decay": config.weight_decay}]
    if order is not None:
        groups.append({"params": list(order.parameters()), "weight_decay": 0.0})
    fused = next(students[0].parameters()).device.type in ("cpu", "cuda")
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, fused=fused)
    nesterov = config.nesterov and config.momentum > 0
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=nesterov, fused=fused)
