"""The trainer, step by step: a configuration is resolved here, once, into the objects that train.

Data, batches, students, objective, rate, optimizer and monitor come out of the configuration; nothing below this file
asks it again. Everything a step depends on is those objects, the number of the step and what a checkpoint holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rdml_theory.losses import CosineOrder, LearnableOrder, LinearOrder
from verify.monitor import BiasMonitor
from verify.trainer.checkpoint import cohort_tensors, load_checkpoint, restore_cohort, save_checkpoint
from verify.trainer.config import Config, differences
from verify.trainer.data import Batches, Data, load_data
from verify.trainer.distributed import Group
from verify.trainer.errors import DivergedError, TrainerError
from verify.trainer.networks import build_students, refuse_unsafe
from verify.trainer.update import Cohort, Objective, Schedule

__all__ = ["Trainer", "make_objective", "make_rate"]


class Trainer:
    """Data, students and measurements of a configuration, without any files: step by step in anybody's hands.

    Parameters
    ----------
    config : Config
        The run.
    group : Group, optional
        The processes that share it.
    data : Data, optional
        Samples of your own, in place of those that the configuration names.
    students : sequence of Module, optional
        Networks of your own, likewise.

    Examples
    --------
    >>> trainer = Trainer(Config(data="digits", students="mlp:2", epochs=1, batch=32, monitor=0))
    >>> trainer.steps, [trainer.step() for _ in range(2)], trainer.number
    (40, [None, None], 2)
    """

    def __init__(
        self,
        config: Config,
        group: Group | None = None,
        *,
        data: Data | None = None,
        students: Sequence[nn.Module] | None = None,
    ) -> None:
        self.config = config
        self.group = group or Group()
        torch.set_num_threads(config.threads)
        device, dtype = _device(config.device, self.group), getattr(torch, config.precision)
        weights = torch.float64 if dtype == torch.float64 else torch.float32
        if data is None:
            data = load_data(config.data, config.data_dir, validation=config.validation, seed=config.seed)
        layout = torch.channels_last if config.channels_last and len(data.shape) == 3 else torch.contiguous_format
        self.data = replace(data, dtype=weights, layout=layout).to(device)
        self.batches = Batches(self.data, config.batch, seed=config.seed, kind=config.augment, group=self.group)
        self.steps = config.epochs * self.per_epoch
        """Of the whole run."""
        if students is None:
            students = build_students(
                config.students, data.shape, data.classes, seed=config.seed, width=config.width, norm=config.norm
            )
        if layout is torch.channels_last and device.type == "cpu":
            refuse_unsafe(students)
        students = self.group.check(list(students), config.batch)
        students = [s.to(device, weights, memory_format=layout) for s in students]  # type: ignore[call-overload]
        torch.manual_seed(config.seed)
        how = make_objective(config, self.per_epoch), _optimizer(config), make_rate(config, self.per_epoch)
        self.cohort = Cohort(
            students, *how,
            sequential=config.update == "sequential", clip=config.clip, precision=dtype, compiled=config.compile,
            group=self.group,
        )  # fmt: skip
        self.students = self.cohort.students
        self.monitor = self._monitor(config) if config.monitor and self.group.rank == 0 else None
        self.number = 0
        """Steps taken."""
        self.history = torch.zeros(self.per_epoch, 2, len(students), device=device, dtype=weights)
        """Base and mutual loss of each student at the steps of this epoch, of shape (step, 2, student)."""

    def _monitor(self, config: Config) -> BiasMonitor:
        objective = self.cohort.objective

        def alpha(step: int) -> float:
            now = objective.alpha(step)
            return float(now.detach()) if isinstance(now, Tensor) else now

        plain = config.optimizer == "sgd" and config.momentum == 0 and config.lr_schedule == "constant"
        # The losses measured are those of the samples as they are, with peers before the step.
        plain = plain and not config.clip and config.augment == "none" and config.update == "simultaneous"
        return BiasMonitor(
            self.students, self.data.train.x, self.data.train.y, alpha=alpha, beta=objective.weight, batch=config.batch,
            temperature=config.temperature, weight_decay=config.weight_decay if config.optimizer == "sgd" else 0.0,
            label_smoothing=config.label_smoothing, overhead=config.monitor, samples=config.monitor_samples,
            plain=plain, prepare=self.data.prepare, seed=config.seed,
        )  # fmt: skip

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        return self.batches.per_epoch

    @property
    def epoch(self) -> int:
        """Complete epochs."""
        return self.number // self.per_epoch

    def step(self) -> None:
        """Train on the next batch, and measure if it is time."""
        x, y = self.batches(self.number)
        into = self.history[self.number % self.per_epoch]
        if self.monitor is not None and self.monitor.due(self.number):
            with self.monitor.observe(self.number, rate=self.cohort.rate(self.number)):
                self.cohort.update(x, y, self.number, out=into)
        else:
            self.cohort.update(x, y, self.number, out=into)
        self.number += 1

    def check(self) -> None:
        """Raise :class:`DivergedError` if a loss of this epoch is not finite."""
        done = (self.number - 1) % self.per_epoch + 1
        bad = ~torch.isfinite(self.history[:done]).all(1)
        if not bool(bad.any()):
            return
        index, student = (int(v) for v in bad.nonzero()[0])
        step = self.number - done + index
        raise DivergedError(
            f"step {step} (epoch {step // self.per_epoch}): the loss of student {student} is "
            f"{float(self.history[index, :, student].sum())}; try a smaller --lr, --clip 1, --lr-warmup 5 or a smaller "
            "--beta; the last checkpoint is from before"
        )

    def epoch_losses(self) -> dict[str, list[float]]:
        """Mean losses of the students over the epoch that has just ended."""
        mean = self.group.average(self.history.mean(0)).double().tolist()
        return {"base": mean[0], "mutual": mean[1]}

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Write everything that the next step depends on."""
        tensors = {**cohort_tensors(self.cohort), "history": self.history}
        description = {"config": self.config.to_json(), "step": self.number, "scaler": self.cohort.scaler.state_dict()}
        save_checkpoint(path, tensors, {**description, **meta})

    def restore(self, path: Path) -> dict[str, Any]:
        """Go to where a checkpoint was saved; returns its description."""
        tensors, meta = load_checkpoint(path)
        config, step, history = meta.get("config"), meta.get("step"), tensors.get("history")
        if not isinstance(config, dict) or type(step) is not int or history is None:
            raise TrainerError(f"{path}: does not say from which step of which run it is; name another run")
        if differing := differences(config, self.config.to_json()):
            raise TrainerError(f"{path}: was saved by a run with another {', '.join(differing)}; name another run")
        if not 0 <= step <= self.steps:
            raise TrainerError(f"{path}: is from step {step} of a run of {self.steps} steps; name another run")
        if history.shape != self.history.shape:
            raise TrainerError(f"{path}: was saved by a run with other data; name another run")
        restore_cohort(self.cohort, tensors, meta.get("scaler"), path)
        self.history.copy_(history)
        self.number = step
        return meta


def _optimizer(config: Config) -> Callable[[list[dict[str, Any]]], torch.optim.Optimizer]:
    """One optimizer over all students: its step is one fused kernel."""
    if config.optimizer == "adamw":
        return partial(torch.optim.AdamW, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    return partial(
        torch.optim.SGD, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov and config.momentum > 0,
        weight_decay=config.weight_decay, fused=True,
    )  # fmt: skip


def _device(name: str, group: Group) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise TrainerError(f"device = {name!r}: expected auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise TrainerError(f"device = {name!r}: no GPU is available; use cpu")
        device = torch.device("cuda", group.rank % torch.cuda.device_count() if device.index is None else device.index)
        torch.cuda.set_device(device)
    return device


def make_rate(config: Config, per_epoch: int) -> Schedule:
    """The learning rate at a step, with so many steps an epoch.

    >>> rate = make_rate(Config(lr=0.1, epochs=10, lr_warmup=1), per_epoch=4)
    >>> [round(rate(n), 4) for n in (0, 3, 4, 39)]
    [0.025, 0.1, 0.1, 0.0002]
    """
    lr, kind, gamma, milestones = config.lr, config.lr_schedule, config.lr_gamma, config.lr_milestones
    warm = round(config.lr_warmup * per_epoch)
    rest = max(config.epochs * per_epoch - warm, 1)

    def rate(step: int) -> float:
        if step < warm:
            return lr * (step + 1) / warm
        if kind == "cosine":
            return lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / rest))
        if kind == "step":
            return lr * gamma ** sum(step // per_epoch >= m for m in milestones)
        return lr

    return rate


def make_objective(config: Config, per_epoch: int) -> Objective:
    """What the students minimise at a step, with so many steps an epoch.

    >>> objective = make_objective(Config(epochs=10, beta_warmup=2, alpha_end=2.0, alpha_schedule="linear"), 4)
    >>> [objective.weight(n) for n in (0, 4, 8)], [objective.order(n) for n in (0, 39)]
    ([0.0, 0.5, 1.0], [1.0, 2.0])
    """
    last = config.epochs * per_epoch - 1

    def ramp(start: float, end: float | None, curve: str) -> Schedule:
        if end is None:
            return lambda step: start
        # The last step is at the end value.
        return (LinearOrder if curve == "linear" else CosineOrder)(start, end, max(last, 1)).value

    warm = config.beta_warmup * per_epoch
    full = ramp(config.beta, config.beta_end, config.beta_schedule)

    def weight(step: int) -> float:
        return full(step) * (min(1.0, step / warm) if warm else 1.0)

    learned = config.alpha_schedule == "learned"
    order = LearnableOrder(config.alpha) if learned else ramp(config.alpha, config.alpha_end, config.alpha_schedule)
    return Objective(order, weight, config.temperature, config.label_smoothing)
