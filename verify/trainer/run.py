"""A training run: a folder of its own, metrics, checkpoints, an end that a signal cannot spoil, and an exact resume.

Everything a step depends on is the configuration, the number of the step and what a checkpoint holds, so that a run
that was interrupted or killed ends with the same weights, bit for bit on a CPU, as one that was not.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from verify import environment
from verify.records import write_atomically
from verify.trainer.checkpoint import (
    cohort_tensors,
    load_checkpoint,
    load_students,
    restore_cohort,
    save_checkpoint,
    student_tensors,
)
from verify.trainer.cohort import Cohort
from verify.trainer.config import Config, TrainerError, read_config
from verify.trainer.data import augment, epoch_order, generator, load_data
from verify.trainer.distributed import Group, process_group
from verify.trainer.metrics import Journal, Scores, evaluate
from verify.trainer.monitor import BiasMonitor, BiasRecord
from verify.trainer.networks import build_students

__all__ = ["DivergedError", "Result", "StoppedError", "Trainer", "open_run", "train"]

CONFIG, ENVIRONMENT, METRICS = "config.json", "environment.json", "metrics.jsonl"
LAST, BEST = "last.safetensors", "best.safetensors"

CHECK_EVERY = 50
"""Steps between looks at the losses: looking makes an accelerator wait."""


class DivergedError(TrainerError):
    """A loss that is not finite."""


class StoppedError(Exception):
    """Ctrl-C or SIGTERM; the run was saved and can be resumed."""


@dataclass(frozen=True)
class Result:
    """What a finished run came to: scores of each student and, last, of their mean."""

    folder: Path
    validation: list[Scores]
    test: list[Scores]
    best: list[Scores]
    steps: int
    seconds: float


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
        monitor = self.monitor
        if monitor is not None and monitor.due(self.number):
            with monitor.observe(self.number, rate=self.cohort.schedule.rate(self.number)):
                losses = self.cohort.update(x, y, self.number, visible=True)
        else:
            losses = self.cohort.update(x, y, self.number)
        self.history[self.number % self.per_epoch].copy_(losses)
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
        if differing := _differences(meta["config"], self.config.to_json()):
            raise TrainerError(f"{path}: was saved by a run with another {', '.join(differing)}; name another run")
        if tensors["history"].shape != self.history.shape:
            raise TrainerError(f"{path}: was saved by a run with other data; name another run")
        restore_cohort(self.cohort, tensors, meta["scaler"], path)
        self.history.copy_(tensors["history"])
        self.number = int(meta["step"])
        return meta


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


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    # As JSON: a stored configuration has lists where a fresh one has tuples.
    one, two = (json.loads(json.dumps(dict(c))) for c in (first, second))
    return sorted(k for k in one.keys() | two.keys() if k not in _FREE and one.get(k) != two.get(k))


def open_run(config: Config, *, resume: bool) -> Path:
    """The folder of a run: a new one, or with ``resume`` that of the latest unfinished run of this configuration.

    Raises
    ------
    TrainerError
        If there is nothing to resume, or the folder cannot be made.
    """
    if not resume:
        try:
            config.out.mkdir(parents=True, exist_ok=True)
            for number in range(1, 10_000):
                folder = config.out / (config.name + (f"-{number}" if number > 1 else ""))
                with suppress(FileExistsError):
                    folder.mkdir()
                    write_atomically(folder / CONFIG, json.dumps(config.to_json(), indent=1) + "\n")
                    return folder
        except OSError as error:
            raise TrainerError(f"--out {config.out}: cannot be written ({error.strerror}); name another") from None
    older = [p for p in config.out.glob(f"{config.name}*") if (p / CONFIG).is_file()]
    reasons = []
    for folder in sorted(older, key=lambda p: (p / CONFIG).stat().st_mtime, reverse=True):
        if differing := _differences(read_config(folder / CONFIG).to_json(), config.to_json()):
            reasons.append(f"{folder.name} has another {', '.join(differing)}")
        elif _finished(folder):
            reasons.append(f"{folder.name} is finished")
        else:
            return folder
    why = "; ".join(reasons) or f"{config.out} has no run {config.name}"
    raise TrainerError(f"nothing to resume: {why}")


def _finished(folder: Path) -> bool:
    path = folder / METRICS
    return path.is_file() and '"kind": "final"' in path.read_text(encoding="utf-8")


Report = Callable[[Trainer, dict[str, Any]], None]


def train(
    config: Config,
    *,
    resume: bool = False,
    report: Report = lambda trainer, values: None,
    started: Callable[[Path, int], None] = lambda folder, step: None,
    stop_after: int | None = None,
) -> Result | None:
    """Train a cohort from its configuration to its report.

    Parameters
    ----------
    config : Config
        The run.
    resume : bool
        Continue the latest unfinished run of this configuration.
    report : callable
        Called after every step with the trainer and, after an epoch, its values.
    started : callable
        Called with the folder and the step at which the run begins.
    stop_after : int, optional
        Stop as a signal would after this many steps of the run.

    Returns
    -------
    Result or None
        None in all but the first of several processes.

    Raises
    ------
    TrainerError, DivergedError
        See there.
    StoppedError
        After Ctrl-C or SIGTERM, once everything is saved.
    """
    with process_group() as group:
        trainer = Trainer(config, group)
        if group.rank:
            # The folder is the business of the first process; the others wait for it and read its checkpoint.
            group.wait()
            folder = open_run(config, resume=True) if resume else None
            with _stop_requested() as stop:
                _loop(trainer, folder, None, stop, report, stop_after)
            return None
        folder = open_run(config, resume=resume)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise TrainerError(f"{folder}: another process is training there; wait for it") from None
        try:
            group.wait()
            write_atomically(folder / ENVIRONMENT, json.dumps(_environment(trainer), indent=1) + "\n")
            with _stop_requested() as stop:
                return _loop(trainer, folder, started, stop, report, stop_after)
        finally:
            lock.release()
            with suppress(OSError):
                (folder / ".lock").unlink()


def _environment(trainer: Trainer) -> dict[str, Any]:
    return {
        "versions": environment.versions(), "processor": environment.processor(), "commit": environment.commit(),
        "device": torch.cuda.get_device_name(trainer.device) if trainer.device.type == "cuda" else "cpu",
        "processes": trainer.group.size,
    }  # fmt: skip


def _loop(
    trainer: Trainer,
    folder: Path | None,
    started: Callable[[Path, int], None] | None,
    stop: threading.Event,
    report: Report,
    stop_after: int | None,
) -> Result | None:
    first = trainer.group.rank == 0
    best: dict[str, Any] = {"score": None, "step": 0}
    if folder is not None and (folder / LAST).exists():
        best = trainer.restore(folder / LAST)["best"]
    journal = Journal(folder / METRICS, trainer.number) if folder is not None and first else None
    if journal is not None and trainer.monitor is not None:
        trainer.monitor.records = [BiasRecord.of(e) for e in journal.entries if e["kind"] == "bias"]
    if started is not None and folder is not None:
        started(folder, trainer.number)
    board = _tensorboard(trainer.config, folder) if first else None
    begin = time.perf_counter()
    values: dict[str, Any] = {}
    try:
        while trainer.number < trainer.steps:
            trainer.step()
            ended = trainer.number % trainer.per_epoch == 0
            if journal is not None and trainer.monitor is not None:
                journal.bias(trainer.monitor.records)
            looked = ended or trainer.number % CHECK_EVERY == 0
            if looked:
                trainer.check()
            if ended:
                losses = trainer.epoch_losses()
                if journal is not None and folder is not None:
                    values = _after_epoch(trainer, folder, journal, best, losses)
                    if board is not None:
                        _show(board, values, trainer)
            report(trainer, values if ended else {})
            due = stop.is_set() or trainer.number == stop_after
            if trainer.group.size > 1:
                # All processes stop at the same step, or none does.
                due = trainer.group.any(due) if looked else False
            if due and trainer.number < trainer.steps:
                if not ended:
                    trainer.check()
                if journal is not None and folder is not None:
                    trainer.save(folder / LAST, {"best": best})
                raise StoppedError(str(folder))
        return _finish(trainer, folder, journal, begin) if journal is not None and folder is not None else None
    finally:
        if journal is not None:
            journal.close()
        if board is not None:
            board.close()


def _after_epoch(
    trainer: Trainer, folder: Path, journal: Journal, best: dict[str, Any], losses: dict[str, list[float]]
) -> dict[str, Any]:
    """Scores and checkpoints; the journal's line comes first, so that a checkpoint never knows more than it."""
    values: dict[str, Any] = {"epoch": trainer.epoch, **losses}
    score = 0.0
    if held_out := len(trainer.data.validation) > 0:
        scores = evaluate(trainer.students, trainer.data.validation, trainer.prepare)
        values["validation"] = scores
        score = sum(s.accuracy for s in scores[:-1]) / (len(scores) - 1)
    if trainer.cohort.learned is not None:
        values["alpha"] = float(trainer.cohort.learned().detach())
    journal.write("epoch", trainer.number, values)
    # Without validation samples nothing can be chosen: the last weights are the best known.
    better = best["score"] is None or score > best["score"] if held_out else trainer.number == trainer.steps
    if better:
        best |= {"score": score, "step": trainer.number}
        description = {"config": trainer.config.to_json(), "step": trainer.number}
        save_checkpoint(folder / BEST, student_tensors(trainer.students), description)
    if trainer.epoch % trainer.config.checkpoint_every == 0 or trainer.number == trainer.steps:
        trainer.save(folder / LAST, {"best": best})
    return values


def _finish(trainer: Trainer, folder: Path, journal: Journal, begin: float) -> Result:
    """The test samples are looked at once, here."""
    data = trainer.data
    validation = evaluate(trainer.students, data.validation, trainer.prepare) if len(data.validation) else []
    test = evaluate(trainer.students, data.test, trainer.prepare)
    tensors, _ = load_checkpoint(folder / BEST)
    last = {k: v.clone() for k, v in student_tensors(trainer.students).items()}
    load_students(trainer.students, tensors, folder / BEST)
    best = evaluate(trainer.students, data.test, trainer.prepare)
    load_students(trainer.students, last, folder / LAST)
    seconds = time.perf_counter() - begin
    values = {"validation": validation, "test": test, "best": best, "seconds": seconds}
    journal.write("final", trainer.number, values)
    return Result(folder, validation, test, best, trainer.number, seconds)


def _tensorboard(config: Config, folder: Path | None) -> Any:
    if not config.tensorboard:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TrainerError("tensorboard = true needs the package tensorboard; install it") from None
    return SummaryWriter(str(folder))


def _show(board: Any, values: dict[str, Any], trainer: Trainer) -> None:
    for name in ("base", "mutual"):
        for k, value in enumerate(values[name]):
            board.add_scalar(f"{name}/{k}", value, trainer.number)
    for k, scores in enumerate(values.get("validation", [])):
        board.add_scalar(f"validation accuracy/{k}", scores.accuracy, trainer.number)


@contextmanager
def _stop_requested() -> Iterator[threading.Event]:
    """Set by Ctrl-C and SIGTERM; a second Ctrl-C ends at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def request(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {s: signal.signal(s, request) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
