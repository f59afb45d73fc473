"""Blocks of replicas advanced together: the inner loop of the simulator, and its unfinished state."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergence.problems._memory import aligned
from convergence.problems.base import Problem, SyntheticProblem
from convergence.store import Store, packed, unpacked

__all__ = ["BLOCK", "GROUP", "Ensemble", "Task", "run_task"]

Array = NDArray[np.float64]

BLOCK = 256
"""Replicas that share one random stream. A replica's numbers depend on the seed and its index only, never on how many
replicas run or where."""

GROUP = 40_960
"""Numbers of x that are advanced together: enough to amortise a call of NumPy, few enough to stay in a core's cache."""

_SEGMENT = 1024  # steps whose squared norms are summed before they join the total: so that rounding errors stay small
SAVE_EVERY = 5.0
"""Seconds between two renewals of the unfinished state on disk."""

_LOOK = 64  # steps between two looks at the clock


@dataclass(frozen=True)
class Task:
    """What one worker computes: the blocks of replicas with these numbers, from x₀ to x_T."""

    problem: Problem
    start: Array
    step: float
    times: NDArray[np.int64]
    seed: int
    blocks: range


class Ensemble:
    """The replicas of a task and what they have recorded.

    Coordinates are outermost in memory within a block, so that sums over them run along vectors of replicas; problems
    see the transposed view (blocks, replicas, dim).
    """

    def __init__(self, task: Task) -> None:
        self.task, self.done = task, 0
        blocks, dim = len(task.blocks), task.start.size
        self._x, self._gradient, self._work = (aligned((blocks, dim, BLOCK)) for _ in range(3))
        self._x[...] = task.start[:, None]
        self.x, self.gradient, self.work = (a.transpose(0, 2, 1) for a in (self._x, self._gradient, self._work))
        self.norm, self.total, self.part = (np.zeros((blocks, BLOCK)) for _ in range(3))
        self.least = np.full((blocks, BLOCK), np.inf)
        # Value, squared gradient, its running mean and its running minimum.
        self.records = np.full((4, len(task.times), blocks, BLOCK), np.inf)
        self.left = np.zeros((blocks, BLOCK), dtype=bool)
        self.streams = [
            np.random.Generator(np.random.SFC64(np.random.SeedSequence(task.seed, spawn_key=(block,))))
            for block in task.blocks
        ]

    def _observe(self) -> None:
        """∇f at x, and its squared norm."""
        problem = self.task.problem
        if isinstance(problem, SyntheticProblem):
            problem.gradient_into(self.x, self.gradient)
        else:
            for x, out in zip(self.x, self.gradient, strict=True):
                out[...] = _asked(problem, "gradient", x, x.shape)
        np.einsum("bdr,bdr->br", self._gradient, self._gradient, out=self.norm)

    def _sample(self) -> None:
        """∇f + b + n in ``work``."""
        problem = self.task.problem
        if not isinstance(problem, SyntheticProblem):
            for x, stream, out in zip(self.x, self.streams, self.work, strict=True):
                out[...] = _asked(problem, "sample_gradient", x, x.shape, stream)
            return
        problem.sample_into(self.x, self.gradient, self.streams, self.work)

    def _value(self) -> Array:
        problem = self.task.problem
        if isinstance(problem, SyntheticProblem):
            return problem.value(self.x)
        return np.stack([_asked(problem, "value", x, x.shape[:1]) for x in self.x])

    def advance(self, *, seconds: float = np.inf, progress: Callable[[float], None] | None = None) -> bool:
        """Take steps until the last one, or until the time is up; whether all are done."""
        task, ends = self.task, time.monotonic() + seconds
        steps = int(task.times[-1])
        marks = dict(zip(task.times.tolist(), range(len(task.times)), strict=True))
        box = getattr(task.problem, "box", None)
        # A step beyond the stable range may overflow; the record then says inf, which no finite bound survives.
        with np.errstate(over="ignore", invalid="ignore"):
            if self.done == 0:
                self._observe()
            while self.done < steps:
                self.part += self.norm
                np.minimum(self.least, self.norm, out=self.least)
                self._sample()
                self._work *= task.step
                self._x -= self._work
                self._observe()
                self.done += 1
                if box is not None:
                    self.left |= ((self.x < box[0]) | (self.x > box[1])).any(axis=-1)
                if self.done % _SEGMENT == 0:
                    self.total += self.part
                    self.part[...] = 0.0
                if (row := marks.get(self.done)) is not None:
                    mean = (self.total + self.part) / self.done
                    self.records[:, row] = self._value(), self.norm, mean, self.least
                if self.done % _LOOK == 0:
                    if progress is not None:
                        progress(self.done / steps)
                    if time.monotonic() > ends:
                        break
        return self.done >= steps

    def result(self) -> dict[str, Array]:
        """The records (4, record, replica), the last points (replica, dim), and who left the problem's box."""
        records = np.where(np.isnan(self.records), np.inf, self.records)
        return {
            "records": records.reshape(*records.shape[:2], -1),
            "final": self.x.reshape(-1, self._x.shape[1]),
            "left": self.left.reshape(-1).astype(np.float64),
        }

    _STATE = ("_x", "_gradient", "norm", "total", "part", "least", "records", "left")

    def state(self) -> dict[str, Any]:
        """Everything that the remaining steps depend on."""
        streams = json.dumps([s.bit_generator.state for s in self.streams], default=np.ndarray.tolist)
        return {"done": np.array(self.done), "streams": np.array(streams)} | {n: getattr(self, n) for n in self._STATE}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state.

        Raises
        ------
        ValueError
            If it is none of this task's; the ensemble is then of no more use.
        """
        try:
            self.done = int(state["done"])
            for name in self._STATE:
                array = getattr(self, name)
                if state[name].shape != array.shape or state[name].dtype != array.dtype:
                    raise ValueError(f"{name} is of another shape")
                array[...] = state[name]
            for stream, kept in zip(self.streams, json.loads(str(state["streams"])), strict=True):
                kept["state"]["state"] = np.array(kept["state"]["state"], dtype=np.uint64)
                stream.bit_generator.state = kept
        except (KeyError, TypeError, ArithmeticError, RecursionError) as error:
            raise ValueError(f"unfinished work cannot be read ({error})") from None
        if not 0 <= self.done <= int(self.task.times[-1]):
            raise ValueError(f"done = {self.done}: beyond the last step")


def _asked(problem: Problem, name: str, x: Array, shape: tuple[int, ...], *more: Any) -> Any:
    """A user's answer at a copy of x, which is the run's own state; a read-only view would make PyTorch warn."""
    given = x.copy()
    array = getattr(problem, name)(given, *more)
    if not np.array_equal(given, x, equal_nan=True):
        raise ValueError(f"{name} changed its argument x: compute in a copy")
    if np.shape(array) != shape:
        raise ValueError(f"{name} returned shape {np.shape(array)} for {shape[0]} replicas: expected {shape}")
    return array


def run_task(
    task: Task, store: Store | None = None, name: str = "", progress: Callable[[float], None] | None = None
) -> dict[str, Array]:
    """Run a task to its end; with a store, continue from its unfinished state there, renewed every few seconds."""
    ensemble = Ensemble(task)
    if store is not None and (state := unpacked(store.get(name))) is not None:
        try:
            ensemble.restore(state)
        except ValueError:
            ensemble = Ensemble(task)
    while not ensemble.advance(seconds=np.inf if store is None else SAVE_EVERY, progress=progress):
        # Workers on another machine may not have the folder.
        if store is not None and store.folder.is_dir():
            store.put(name, packed(ensemble.state()))
    return ensemble.result()
