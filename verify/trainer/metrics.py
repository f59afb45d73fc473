"""How good students are: accuracy, negative log-likelihood, calibration; and the file that keeps it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from convergence.store import write
from verify.monitor import BiasRecord
from verify.reading import parse_json, read_text
from verify.trainer.data import Split
from verify.trainer.errors import TrainerError

__all__ = ["METRICS", "Journal", "Scores", "evaluate", "read_metrics", "score"]

METRICS = "metrics.jsonl"

MOST_METRICS = 2**26
"""Bytes of a file of metrics; an epoch of two students takes 500."""

BINS = 15


@dataclass(frozen=True)
class Scores:
    """Of one predictor on one set of samples.

    ``nll`` is the mean negative log-likelihood in nats, ``ece`` the expected calibration error with 15 equal bins of
    confidence (Guo et al. 2017, arXiv 1706.04599).
    """

    accuracy: float
    nll: float
    ece: float


def score(log_probabilities: Tensor, y: Tensor) -> Scores:
    """Scores of log-probabilities (N, C) against labels (N,).

    >>> score(torch.tensor([[0.8, 0.2], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
    Scores(accuracy=0.5, nll=0.5697..., ece=0.400...)
    """
    logs = log_probabilities.double()
    confidence, predicted = logs.exp().max(1)
    right = (predicted == y).double()
    bins = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    gap = torch.zeros(BINS, dtype=torch.float64, device=y.device).index_add_(0, bins, right - confidence)
    nll = -logs.gather(1, y[:, None]).mean()
    return Scores(float(right.mean()), float(nll), float(gap.abs().sum() / len(y)))


@contextmanager
def evaluating(students: Sequence[nn.Module]) -> Iterator[None]:
    """Students in evaluation mode, and in their own mode again afterwards."""
    modes = [s.training for s in students]
    for s in students:
        s.eval()
    try:
        yield
    finally:
        for s, mode in zip(students, modes, strict=True):
            s.train(mode)


@torch.no_grad()
def evaluate(
    students: Sequence[nn.Module], split: Split, prepare: Callable[[Tensor], Tensor], batch: int = 1000
) -> list[Scores]:
    """Scores of each student and, last, of the mean of their probabilities."""
    with evaluating(students):
        parts = [
            torch.stack([s(prepare(x)).float().log_softmax(-1) for s in students]) for x in split.x.split(batch)
        ]  # fmt: skip
    logs = torch.cat(parts, dim=1)
    mean = logs.double().logsumexp(0) - torch.tensor(float(len(students)), dtype=torch.float64).log()
    return [score(z, split.y) for z in (*logs, mean)]


@dataclass(frozen=True)
class _Epoch:
    kind: Literal["epoch"]
    step: int
    base: tuple[float, ...]
    mutual: tuple[float, ...]
    validation: tuple[Scores, ...] = ()


@dataclass(frozen=True)
class _Final:
    kind: Literal["final"]
    step: int
    validation: tuple[Scores, ...]
    test: tuple[Scores, ...]
    best: tuple[Scores, ...]
    seconds: float


_LINES: dict[str, TypeAdapter[Any]] = {
    "epoch": TypeAdapter(_Epoch), "bias": TypeAdapter(BiasRecord), "final": TypeAdapter(_Final),
}  # fmt: skip


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics; a last one that was cut off while it was written is left out.

    Raises
    ------
    TrainerError
        If the file cannot be read, or a line is not what a run writes.
    """
    path = folder / METRICS
    try:
        lines = read_text(path, what="the metrics file", limit=MOST_METRICS).split("\n")
    except ValueError as error:
        raise TrainerError(str(error)) from None
    entries, students = [], set()
    for number, line in enumerate(lines[:-1], 1):
        try:
            entry = parse_json(line, what="it")
            if not isinstance(entry, dict) or str(entry.get("kind")) not in _LINES:
                raise ValueError(f"expected one of {', '.join(_LINES)}")
            students |= _students(_LINES[entry["kind"]].validate_json(line, strict=True))
            if len(students) > 1:
                raise ValueError("it has another number of students than the lines above, or differing numbers")
        except ValueError as error:
            fault = error.errors()[0] if isinstance(error, ValidationError) else None
            reason = f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" if fault else error
            raise TrainerError(f"{path}: line {number} is damaged ({reason}); name another run") from None
        entries.append(entry)
    return entries


def _students(line: Any) -> set[int]:
    """For how many students a line has values: more than one number if its lists differ."""
    numbers = set()
    for field in fields(line):
        values = getattr(line, field.name)
        if isinstance(values, tuple) and not (field.name == "validation" and not values):
            # The last score is the ensemble's.
            numbers.add(len(values) - (field.name in ("validation", "test", "best")))
    return numbers


class Journal:
    """The metrics of a run, a JSON object a line; readable while the run goes on.

    Parameters
    ----------
    folder : Path
        The run's.
    step : int
        Lines of later steps are dropped: a run that was killed after its last checkpoint repeats them.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        path = folder / METRICS
        self.entries: list[dict[str, Any]] = []
        for entry in read_metrics(folder) if path.exists() else []:
            # A measurement bears the step that it was made around, all else the steps that were made before.
            if entry["step"] + (entry["kind"] == "bias") > step or entry["kind"] == "final":
                break
            self.entries.append(entry)
        self._measured = sum(entry["kind"] == "bias" for entry in self.entries)
        write(path, "".join(json.dumps(entry) + "\n" for entry in self.entries))
        self._stream = path.open("a", encoding="utf-8")

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Append a line; it is in the file when this returns."""
        plain = {
            k: [asdict(v) if isinstance(v, Scores) else v for v in x] if isinstance(x, list) else x
            for k, x in values.items()
        }
        self._stream.write(json.dumps({"kind": kind, "step": step, **plain}) + "\n")
        self._stream.flush()

    def bias(self, records: Sequence[BiasRecord]) -> None:
        """Append the measurements that are not in the file yet."""
        for record in records[self._measured :]:
            self.write("bias", record.step, asdict(record))
        self._measured = len(records)

    def close(self) -> None:
        """Close the file, on the disk."""
        with self._stream as stream:
            stream.flush()
            os.fsync(stream.fileno())
