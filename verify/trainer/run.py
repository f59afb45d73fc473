"""A training run: a folder of its own, metrics, checkpoints, an end that a signal cannot spoil, and an exact resume.

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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from convergence.store import locked, remove_unfinished, write
from verify import environment
from verify.trainer.budget import BiasRecord
from verify.trainer.checkpoint import (
    load_checkpoint,
    load_students,
    save_checkpoint,
    student_tensors,
)
from verify.trainer.config import Config, TrainerError, read_config
from verify.trainer.distributed import process_group
from verify.trainer.metrics import METRICS, Journal, Scores, evaluate, read_metrics
from verify.trainer.trainer import Trainer, differences

__all__ = ["Report", "Result", "StoppedError", "final_scores", "open_run", "train"]

CONFIG, ENVIRONMENT = "config.json", "environment.json"
LAST, BEST = "last.safetensors", "best.safetensors"
WRITTEN = (CONFIG, ENVIRONMENT, METRICS, LAST, BEST)

CHECK_EVERY = 50
"""Steps between looks at the losses: looking makes an accelerator wait."""


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
    OSError
        If the folder cannot be written, or another process is training there.
    """
    if config.tensorboard:
        _summary_writer()  # Before there is a folder.
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
        with locked(folder):
            remove_unfinished(folder, WRITTEN)
            group.wait()
            if resume and (done := final_scores(folder)) is not None:
                return done
            write(folder / ENVIRONMENT, json.dumps(_environment(trainer), indent=1) + "\n")
            with _stop_requested() as stop:
                return _loop(trainer, folder, started, stop, report, stop_after)


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
        best = _best(trainer.restore(folder / LAST), folder / LAST)
    journal = Journal(folder, trainer.number) if folder is not None and first else None
    if journal is not None and trainer.monitor is not None:
        trainer.monitor.records = [BiasRecord.of(e) for e in journal.entries if e["kind"] == "bias"]
    if started is not None and folder is not None:
        started(folder, trainer.number)
    board = _tensorboard(trainer.config, folder, trainer.number) if first else None
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


def _best(description: dict[str, Any], path: Path) -> dict[str, Any]:
    """The step of the best weights and their score, from the description of a checkpoint."""
    best = description.get("best")
    if isinstance(best, dict):
        score, step = best.get("score"), best.get("step")
        if type(step) is int and 0 <= step <= description["step"] and (score is None or type(score) is float):
            return {"score": score, "step": step}
    raise TrainerError(f"{path}: does not say which weights are the best so far; name another run")


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


def _tensorboard(config: Config, folder: Path | None, step: int) -> Any:
    # What a run that was killed wrote after its last checkpoint is written again.
    return _summary_writer()(str(folder), purge_step=step + 1) if config.tensorboard else None


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
    names = [*map(str, range(len(trainer.students))), "mean of all"]
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
