"""A training run: a folder of its own, metrics, checkpoints, a clean end after a signal, and an exact resume.

Everything a step depends on is the configuration, the number of the step and what a checkpoint holds, so that a run
that was interrupted or killed ends with the same weights, bit for bit on a CPU, as one that was not.
"""

from __future__ import annotations

import glob
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from convergence.store import locked, write
from verify import environment
from verify.monitor import BiasRecord
from verify.trainer.checkpoint import load_checkpoint, load_students, save_checkpoint, student_tensors
from verify.trainer.config import Config, differences, read_config
from verify.trainer.distributed import process_group
from verify.trainer.errors import StoppedError, TrainerError
from verify.trainer.metrics import METRICS, Journal, Scores, evaluate, read_metrics
from verify.trainer.trainer import Trainer

__all__ = ["Report", "Result", "final_scores", "open_run", "train"]

CONFIG, ENVIRONMENT = "config.json", "environment.json"
LAST, BEST = "last.safetensors", "best.safetensors"

CHECK_EVERY = 50
"""Steps between looks at the losses: looking makes an accelerator wait."""


@dataclass(frozen=True)
class Result:
    """What a finished run came to: scores of each student and, last, of their mean."""

    folder: Path
    validation: list[Scores]
    test: list[Scores]
    best: list[Scores]
    steps: int
    seconds: float


def open_run(config: Config, *, resume: bool) -> Path:
    """The folder of a run: a new one, or with ``resume`` the latest of this configuration, an unfinished one if any.

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
                    write(folder / CONFIG, json.dumps(config.to_json(), indent=1) + "\n")
                    return folder
        except OSError as error:
            raise TrainerError(f"--out {config.out}: cannot be written ({error.strerror}); name another") from None
    older = [p for p in config.out.glob(f"{glob.escape(config.name)}*") if (p / CONFIG).is_file()]
    finished, reasons = None, []
    for folder in sorted(older, key=lambda p: (p / CONFIG).stat().st_mtime, reverse=True):
        try:
            differing = differences(read_config(folder / CONFIG).to_json(), config.to_json())
        except TrainerError as error:
            reasons.append(str(error))
            continue
        if differing:
            reasons.append(f"{folder.name} has another {', '.join(differing)}")
        elif final_scores(folder) is None:
            return folder
        else:
            finished = finished or folder
    if finished is not None:
        return finished
    why = "; ".join(reasons) or f"{config.out} has no run {config.name}"
    raise TrainerError(f"nothing to resume: {why}")


def final_scores(folder: Path) -> Result | None:
    """What a finished run came to, from its files; None if it is not finished.

    Raises
    ------
    TrainerError
        If the metrics are damaged.
    """
    entries = read_metrics(folder) if (folder / METRICS).exists() else []
    for entry in reversed(entries):
        if entry["kind"] == "final":
            validation, test, best = (
                [Scores(s["accuracy"], s["nll"], s["ece"]) for s in entry[k]] for k in ("validation", "test", "best")
            )
            return Result(folder, validation, test, best, entry["step"], entry["seconds"])
    return None


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
        Continue the latest unfinished run of this configuration; of a finished one, return what it came to.
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
    if config.tensorboard:
        _summary_writer()  # Before there is a folder.
    with process_group() as group:
        trainer = Trainer(config, group)
        if group.rank:
            # The folder is the business of the first process; the others wait for it and read its checkpoint.
            group.wait()
            if resume:
                _go_on(trainer, open_run(config, resume=True))
            with _stop_requested() as stop:
                _advance(trainer, None, stop, report, stop_after)
            return None
        folder = open_run(config, resume=resume)
        with locked(folder, (CONFIG, ENVIRONMENT, METRICS, LAST, BEST)):
            group.wait()
            if resume and (done := final_scores(folder)) is not None:
                return done
            try:
                write(folder / ENVIRONMENT, json.dumps(_environment(trainer), indent=1) + "\n")
                with _stop_requested() as stop, closing(_Files(trainer, folder)) as files:
                    started(folder, trainer.number)
                    begin = time.perf_counter()
                    _advance(trainer, files, stop, report, stop_after)
                    return files.finish(begin)
            except OSError as error:
                # A full disk, mostly; what is whole of the run is kept.
                raise TrainerError(
                    f"{folder}: cannot be written ({error.strerror or error}); make room, and go on with --resume"
                ) from None


def _environment(trainer: Trainer) -> dict[str, Any]:
    device = trainer.cohort.device
    return {
        "versions": environment.versions(), "processor": environment.processor(), "commit": environment.commit(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processes": trainer.group.size,
    }  # fmt: skip


def _advance(
    trainer: Trainer, files: _Files | None, stop: threading.Event, report: Report, stop_after: int | None
) -> None:
    """Every step that is left; raises :class:`StoppedError` where the run is asked to stop, with all of it saved."""
    while trainer.number < trainer.steps:
        trainer.step()
        ended = trainer.number % trainer.per_epoch == 0
        looked = ended or trainer.number % CHECK_EVERY == 0
        if looked:
            trainer.check()
        # All processes average; the first alone writes and reports.
        losses = trainer.epoch_losses() if ended else {}
        report(trainer, files.after_step(losses) if files is not None else {})
        due = stop.is_set() or trainer.number == stop_after
        if trainer.group.size > 1:
            # All processes stop at the same step, or none does.
            due = trainer.group.any(due) if looked else False
        if due and trainer.number < trainer.steps:
            trainer.check()
            if files is not None:
                files.save_last()
            raise StoppedError(str(files.folder if files is not None else ""))


def _go_on(trainer: Trainer, folder: Path) -> dict[str, Any]:
    """Put a trainer where the run was saved, if it was; returns the score and the step of the best weights so far."""
    path = folder / LAST
    if not path.exists():
        return {"score": None, "step": 0}
    description = trainer.restore(path)
    best = description.get("best")
    if isinstance(best, dict):
        score, step = best.get("score"), best.get("step")
        if type(step) is int and 0 <= step <= description["step"] and (score is None or type(score) is float):
            return {"score": score, "step": step}
    raise TrainerError(f"{path}: does not say which weights are the best so far; name another run")


class _Files:
    """What a run leaves in its folder: metrics, checkpoints and, on request, events."""

    def __init__(self, trainer: Trainer, folder: Path) -> None:
        self.trainer, self.folder = trainer, folder
        self.best = _go_on(trainer, folder)
        self.journal = Journal(folder, trainer.number)
        if trainer.monitor is not None:
            trainer.monitor.records = [BiasRecord.of(e) for e in self.journal.entries if e["kind"] == "bias"]
        self.every = trainer.config.checkpoint_every
        # What a run that was killed wrote after its last checkpoint is written again.
        board = _summary_writer() if trainer.config.tensorboard else None
        self.board = board and board(str(folder), purge_step=trainer.number + 1)

    def close(self) -> None:
        """All files are on the disk afterwards."""
        self.journal.close()
        if self.board is not None:
            self.board.close()

    def after_step(self, losses: dict[str, list[float]]) -> dict[str, Any]:
        """Write what a step has brought; of an epoch, whose mean losses are given, also scores and checkpoints."""
        if self.trainer.monitor is not None:
            self.journal.bias(self.trainer.monitor.records)
        if not losses:
            return {}
        values = self.after_epoch(losses)
        if self.board is not None:
            _show(self.board, values, self.trainer)
        return values

    def after_epoch(self, losses: dict[str, list[float]]) -> dict[str, Any]:
        """The journal's line comes before the checkpoints, so that none of them knows more than it."""
        trainer = self.trainer
        values: dict[str, Any] = {"epoch": trainer.epoch, **losses}
        score = 0.0
        if held_out := len(trainer.data.validation) > 0:
            scores = evaluate(trainer.students, trainer.data.validation, trainer.data.prepare)
            values["validation"] = scores
            score = sum(s.accuracy for s in scores[:-1]) / (len(scores) - 1)
        if trainer.cohort.learned is not None:
            values["alpha"] = float(trainer.cohort.learned().detach())
        self.journal.write("epoch", trainer.number, values)
        # Without validation samples nothing can be chosen: the last weights are the best known.
        last = trainer.number == trainer.steps
        if self.better(score) if held_out else last:
            self.best = {"score": score, "step": trainer.number}
            description = {"config": trainer.config.to_json(), "step": trainer.number}
            save_checkpoint(self.folder / BEST, student_tensors(trainer.students), description)
        if trainer.epoch % self.every == 0 or last:
            self.save_last()
        return values

    def better(self, score: float) -> bool:
        """Whether weights of this validation score are the best so far."""
        return self.best["score"] is None or score > self.best["score"]

    def save_last(self) -> None:
        """Write what the next step depends on."""
        self.trainer.save(self.folder / LAST, {"best": self.best})

    def finish(self, begin: float) -> Result:
        """The test samples are looked at once, here."""
        trainer, data = self.trainer, self.trainer.data
        validation = evaluate(trainer.students, data.validation, data.prepare) if len(data.validation) else []
        test = evaluate(trainer.students, data.test, data.prepare)
        tensors, _ = load_checkpoint(self.folder / BEST)
        last = {k: v.clone() for k, v in student_tensors(trainer.students).items()}
        load_students(trainer.students, tensors, self.folder / BEST)
        best = evaluate(trainer.students, data.test, data.prepare)
        load_students(trainer.students, last, self.folder / LAST)
        seconds = time.perf_counter() - begin
        values = {"validation": validation, "test": test, "best": best, "seconds": seconds}
        self.journal.write("final", trainer.number, values)
        return Result(self.folder, validation, test, best, trainer.number, seconds)


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TrainerError("tensorboard = true: pip install 'rdml-theory[tensorboard]'") from None
    return SummaryWriter


def _show(board: Any, values: dict[str, Any], trainer: Trainer) -> None:
    for name in ("base", "mutual"):
        for k, value in enumerate(values[name]):
            board.add_scalar(f"{name}/{k}", value, trainer.number)
    names = [*map(str, range(len(trainer.students))), "ensemble"]
    for name, scores in zip(names, values.get("validation", []), strict=False):
        board.add_scalar(f"validation accuracy/{name}", scores.accuracy, trainer.number)


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
