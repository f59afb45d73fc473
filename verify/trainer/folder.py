"""The folder of a run: which one a configuration has, what a run leaves in it, and what is read back.

All of a run's files are named, written and read here; what a checkpoint holds is in `checkpoint`.
"""

from __future__ import annotations

import glob
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from pydantic import TypeAdapter, ValidationError

from convergence.store import write
from verify import environment
from verify.monitor import BiasRecord
from verify.reading import obstacle, parse_json, read_text
from verify.trainer.checkpoint import load_checkpoint, load_students, save_checkpoint, student_tensors
from verify.trainer.config import Config, differences, read_config
from verify.trainer.errors import TrainerError
from verify.trainer.metrics import Scores, evaluate
from verify.trainer.trainer import Trainer

__all__ = [
    "FILES", "Epoch", "Final", "Result", "RunFiles", "final_scores", "go_on", "open_run", "read_metrics",
    "summary_writer",
]  # fmt: skip

FILES = CONFIG, ENVIRONMENT, METRICS, LAST, BEST = (
    "config.json", "environment.json", "metrics.jsonl", "last.safetensors", "best.safetensors",
)  # fmt: skip

MOST_METRICS = 2**26
"""Bytes of a file of metrics; an epoch of two students takes 500."""


# ---------------------------------------------------------------------------------------------------------------------
# Lines of the metrics


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to: mean losses of the students, their validation scores, a learned order."""

    kind: Literal["epoch"]
    step: int
    base: tuple[float, ...]
    mutual: tuple[float, ...]
    validation: tuple[Scores, ...] = ()
    epoch: int = 0
    alpha: float | None = None


@dataclass(frozen=True)
class Final:
    """What a run came to."""

    kind: Literal["final"]
    step: int
    validation: tuple[Scores, ...]
    test: tuple[Scores, ...]
    best: tuple[Scores, ...]
    seconds: float


Line: TypeAlias = Epoch | BiasRecord | Final

_LINES: dict[str, TypeAdapter[Any]] = {
    "epoch": TypeAdapter(Epoch), "bias": TypeAdapter(BiasRecord), "final": TypeAdapter(Final),
}  # fmt: skip


def read_metrics(folder: Path) -> list[Line]:
    """The lines of a run's metrics; a last one that was cut off while it was written is left out.

    Raises
    ------
    TrainerError
        If the file cannot be read, or a line is not what a run writes.
    """
    return [line for _, line in _read(folder)]


def _read(folder: Path) -> list[tuple[str, Line]]:
    """The lines as they are written, and what they hold."""
    path = folder / METRICS
    try:
        lines = read_text(path, what="the metrics file", limit=MOST_METRICS).split("\n")
    except ValueError as error:
        raise TrainerError(str(error)) from None
    found, students = [], set()
    for number, text in enumerate(lines[:-1], 1):
        try:
            entry = parse_json(text, what="it")
            if not isinstance(entry, dict) or str(entry.get("kind")) not in _LINES:
                raise ValueError(f"expected one of {', '.join(_LINES)}")
            line = _LINES[entry["kind"]].validate_json(text, strict=True)
            students |= _students(line)
            if len(students) > 1:
                raise ValueError("its numbers of students differ, or differ from the lines above")
        except ValueError as error:
            fault = error.errors()[0] if isinstance(error, ValidationError) else None
            reason = f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" if fault else error
            raise TrainerError(f"{path}: line {number} is damaged ({reason}); name another run") from None
        found.append((text, line))
    return found


def _students(line: Any) -> set[int]:
    """For how many students a line has values: more than one number if its lists differ."""
    numbers = set()
    for field in fields(line):
        values = getattr(line, field.name)
        if isinstance(values, tuple) and not (field.name == "validation" and not values):
            # The last score is the ensemble's.
            numbers.add(len(values) - (field.name in ("validation", "test", "best")))
    return numbers


# ---------------------------------------------------------------------------------------------------------------------
# A run that is there


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
            why = obstacle(config.out, error)
            raise TrainerError(f"--out {config.out}: cannot be written ({why}); name another") from None
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
    lines = read_metrics(folder) if (folder / METRICS).exists() else []
    last = next((line for line in reversed(lines) if isinstance(line, Final)), None)
    return None if last is None else Result(
        folder, list(last.validation), list(last.test), list(last.best), last.step, last.seconds
    )  # fmt: skip


def go_on(trainer: Trainer, folder: Path) -> dict[str, Any]:
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


# ---------------------------------------------------------------------------------------------------------------------
# A run under way


class RunFiles:
    """What a run leaves in its folder: environment, metrics, checkpoints and, on request, events.

    Metrics are a JSON object a line, readable while the run goes on. Those of steps after the last checkpoint are
    dropped: a run that was killed repeats them. Metrics that lack an epoch of the checkpoint are refused.
    """

    def __init__(self, trainer: Trainer, folder: Path) -> None:
        write(folder / ENVIRONMENT, json.dumps(_environment(trainer), indent=1) + "\n")
        self.trainer, self.folder = trainer, folder
        self.best = go_on(trainer, folder)
        kept, measured, epochs = [], [], 0
        for text, line in _read(folder) if (folder / METRICS).exists() else []:
            # A measurement bears the step that it was made around, all else the steps that were made before.
            bias = isinstance(line, BiasRecord)
            if line.step + bias > trainer.number or isinstance(line, Final):
                break
            kept.append(text + "\n")
            measured += [line] if bias else []
            epochs += isinstance(line, Epoch)
        if epochs != trainer.epoch:
            raise TrainerError(
                f"{folder / METRICS}: has {epochs} epochs where the last checkpoint has {trainer.epoch}; "
                "name another run"
            )
        write(folder / METRICS, "".join(kept))
        self._stream = (folder / METRICS).open("a", encoding="utf-8")
        self._measured = len(measured)
        if trainer.monitor is not None:
            trainer.monitor.records = measured
        self.every = trainer.config.checkpoint_every
        # What a run that was killed wrote after its last checkpoint is written again.
        board = summary_writer() if trainer.config.tensorboard else None
        self.board = board and board(str(folder), purge_step=trainer.number + 1)

    def close(self) -> None:
        """All files are on the disk afterwards."""
        with self._stream as stream:
            stream.flush()
            os.fsync(stream.fileno())
        if self.board is not None:
            self.board.close()

    def write(self, line: Line) -> None:
        """Append a line to the metrics; it is in the file when this returns."""
        values = {name: value for name, value in asdict(line).items() if value is not None}
        self._stream.write(json.dumps({"kind": "bias", **values}) + "\n")
        self._stream.flush()

    def after_step(self, losses: dict[str, list[float]]) -> dict[str, Any]:
        """Write what a step has brought; of an epoch, whose mean losses are given, also scores and checkpoints."""
        if self.trainer.monitor is not None:
            for record in self.trainer.monitor.records[self._measured :]:
                self.write(record)
            self._measured = len(self.trainer.monitor.records)
        if not losses:
            return {}
        values = self.after_epoch(losses)
        if self.board is not None:
            _show(self.board, values, self.trainer)
        return values

    def after_epoch(self, losses: dict[str, list[float]]) -> dict[str, Any]:
        """The line of the metrics comes before the checkpoints, so that none of them knows more than it."""
        trainer = self.trainer
        values: dict[str, Any] = {"epoch": trainer.epoch, **losses}
        score = 0.0
        if held_out := len(trainer.data.validation) > 0:
            scores = evaluate(trainer.students, trainer.data.validation, trainer.data.prepare)
            values["validation"] = scores
            score = sum(s.accuracy for s in scores[:-1]) / (len(scores) - 1)
        if trainer.cohort.learned is not None:
            values["alpha"] = float(trainer.cohort.learned().detach())
        self.write(Epoch("epoch", trainer.number, **values))
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
        """Write what the next step depends on, once the metrics are on the disk: they must not know less."""
        os.fsync(self._stream.fileno())
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
        self.write(Final("final", trainer.number, tuple(validation), tuple(test), tuple(best), seconds))
        return Result(self.folder, validation, test, best, trainer.number, seconds)


def summary_writer() -> Any:
    """TensorBoard's, or TrainerError where it is not installed."""
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


def _environment(trainer: Trainer) -> dict[str, Any]:
    device = trainer.cohort.device
    return {
        "versions": environment.versions(), "processor": environment.processor(), "commit": environment.commit(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processes": trainer.group.size,
    }  # fmt: skip
