"""Data, students and measurements of a configuration, step by step and without a folder.

Everything a step depends on is the configuration, the number of the step and what a checkpoint holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from verify.trainer.checkpoint import cohort_tensors, load_checkpoint, restore_cohort, save_checkpoint
from verify.trainer.cohort import Cohort
from verify.trainer.config import Config, TrainerError
from verify.trainer.data import augment, epoch_order, generator, load_data
from verify.trainer.distributed import Group
from verify.trainer.monitor import BiasMonitor
from verify.trainer.networks import NARROWEST, build_students, parse_students, unsafe_channels_last

__all__ = ["DivergedError", "Trainer", "differences"]


class DivergedError(TrainerError):
    """A loss that is not finite."""


class Trainer:
    """Data, students and measurements of a configuration, without any files: step by step in anybody's hands.

    Examples
    --------
    >>> trainer = Trainer(Config(data="digits", students="mlp:2", epochs=1, batch=32, monitor=0))
    >>> trainer.steps, [trainer.step() for _ in range(2)], trainer.number
    (40, [None, None], 2)
    """

    def __init__(self, config: Config, group: Group | None = None) -> None:
        self.config = config
        self.group = group or Group()
        torch.set_num_threads(config.threads)
        self.device = _device(config.device, self.group)
        data = load_data(config)
        self.per_epoch = len(data.train) // config.batch
        if self.per_epoch == 0:
            raise TrainerError(f"batch = {config.batch}: there are {len(data.train)} training samples; take fewer")
        students = self.group.check(config, build_students(config, data.shape, data.classes))
        self.data = data.to(self.device)
        self.format = torch.channels_last if config.channels_last and len(data.shape) == 3 else torch.contiguous_format
        if self.format is torch.channels_last and self.device.type == "cpu":
            _refuse_unsafe(config, students)
        students = [s.to(self.device, memory_format=self.format) for s in students]  # type: ignore[call-overload]
        torch.manual_seed(config.seed)
        self.cohort = Cohort(config, students, self.per_epoch, self.group)
        self.students = self.cohort.students
        self.monitor = self._monitor() if config.monitor and self.group.rank == 0 else None
        self.number = 0
        self.history = torch.zeros(self.per_epoch, 2, len(students), device=self.device)
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.config.epochs * self.per_epoch

    @property
    def epoch(self) -> int:
        """Complete epochs."""
        return self.number // self.per_epoch

    def _monitor(self) -> BiasMonitor:
        c = self.config
        schedule = self.cohort.schedule
        plain = c.optimizer == "sgd" and c.momentum == 0 and c.lr_schedule == "constant" and not c.clip
        # The losses measured are those of the samples as they are, with peers before the step.
        plain = plain and c.augment == "none" and c.update == "simultaneous"
        return BiasMonitor(
            self.students, self.data.train.x, self.data.train.y, alpha=self._alpha, beta=schedule.weight, batch=c.batch,
            temperature=c.temperature, weight_decay=c.weight_decay if c.optimizer == "sgd" else 0.0,
            label_smoothing=c.label_smoothing, overhead=c.monitor, samples=c.monitor_samples, plain=plain,
            prepare=self.prepare, seed=c.seed,
        )  # fmt: skip

    def _alpha(self, step: int) -> float:
        order = self.cohort.order(step)
        return float(order.detach()) if isinstance(order, Tensor) else order

    def prepare(self, x: Tensor) -> Tensor:
        """Samples as the networks see them."""
        x = self.data.prepare(x)
        return x.contiguous(memory_format=self.format) if x.ndim == 4 else x

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The samples and labels of a step, or this process's share of them."""
        epoch, index = divmod(step, self.per_epoch)
        if self._order[0] != epoch:
            order = epoch_order(len(self.data.train), self.config.seed, epoch)
            self._order = (epoch, order.to(self.device))
        size = self.config.batch
        rows = self._order[1][index * size : (index + 1) * size]
        if self.config.augment == "none":
            rows = rows[self.group.share(size)]
            return self.prepare(self.data.train.x.index_select(0, rows)), self.data.train.y.index_select(0, rows)
        # All processes draw for the whole batch, so that their number changes nothing.
        x = augment(self.data.train.x[rows], self.config.augment, generator(self.config.seed, "augment", step))
        share = self.group.share(size)
        return self.prepare(x[share]), self.data.train.y[rows[share]]

    def step(self) -> None:
        """Train on the next batch, and measure if it is time."""
        x, y = self.batch(self.number)
        into = self.history[self.number % self.per_epoch]
        monitor = self.monitor
        if monitor is not None and monitor.due(self.number):
            with monitor.observe(self.number, rate=self.cohort.schedule.rate(self.number)):
                self.cohort.update(x, y, self.number, visible=True, out=into)
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


def _refuse_unsafe(config: Config, students: list[nn.Module]) -> None:
    for name, student in zip(parse_students(config.students), students, strict=True):
        if layer := unsafe_channels_last(student):
            raise TrainerError(
                f"channels_last = True: network {name!r} has a {layer}, whose gradient corrupts memory on a CPU "
                f"(oneDNN issue 6035); take a width of at least {NARROWEST}, or leave channels_last out"
            )


def _device(name: str, group: Group) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise TrainerError(f"device = {name!r}: expected auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise TrainerError(f"device = {name!r}: no GPU is available; take cpu")
        device = torch.device("cuda", group.rank % torch.cuda.device_count() if device.index is None else device.index)
        torch.cuda.set_device(device)
    return device


# What may differ between the parts of a resumed run.
_FREE = {"out", "data_dir", "device", "threads", "checkpoint_every", "tensorboard"}


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """The fields in which two configurations differ, but for those that may."""
    # As JSON: a stored configuration has lists where a fresh one has tuples.
    one, two = (json.loads(json.dumps(dict(c))) for c in (first, second))
    return sorted(k for k in one.keys() | two.keys() if k not in _FREE and one.get(k) != two.get(k))
