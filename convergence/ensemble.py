"""Blocks of replicas advanced together: the inner loop of the simulator, and its unfinished state."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergence.problems.base import SyntheticProblem
from convergence.problems.protocol import Problem
from convergence.store import Store, packed, unpacked

__all__ = ["BLOCK", "GROUP", "Ensemble", "Observed", "Task", "run_task"]

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


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What an observer sees at step t: some replicas at x_t, before they move. Arrays are to be copied if kept.

    Attributes
    ----------
    t : int
        Steps taken so far.
    replicas : slice
        Which ones they are, of those of the run.
    x, gradient : ndarray, shape (replica, dim)
        x_t and ∇f(x_t).
    sample : ndarray, shape (replica, dim), or None
        The gradients g_t that are taken; None after the last step, and in a sequential order.
    measured : bool
        Whether ∇f(x_t) counts in the averages: not after the last step, nor where it is shown for a record only.
    """

    t: int
    replicas: slice
    x: Array
    gradient: Array
    sample: Array | None
    measured: bool


@dataclass(frozen=True)
class Task:
    """What one worker computes: the blocks of replicas with these numbers, from x₀ to x_T."""

    problem: Problem
    start: Array
    step: float | Array
    times: NDArray[np.int64]
    seed: int
    blocks: range
    block: int = BLOCK
    momentum: float = 0.0
    nesterov: bool = False
    players: tuple[slice, ...] = (slice(None),)
    every: int = 1
    observe: Callable[[Observed], object] | None = None
    oracle: Callable[[int], Problem] | None = None


class Ensemble:
    """The replicas of a task and what they have recorded.

    Coordinates are outermost in memory within a block, so that sums over them run along vectors of replicas; problems
    see the transposed view (blocks, replicas, dim).
    """

    def __init__(self, task: Task) -> None:
        self.task, self.done = task, 0
        blocks, dim, block = len(task.blocks), task.start.size, task.block
        self._x, self._gradient, self._work, self._velocity = (np.empty((blocks, dim, block)) for _ in range(4))
        self._x[...], self._velocity[...] = task.start[:, None], 0.0
        self.x, self.gradient, self.work = (a.transpose(0, 2, 1) for a in (self._x, self._gradient, self._work))
        self.norm, self.total, self.part = (np.zeros((blocks, block)) for _ in range(3))
        self.least = np.full((blocks, block), np.inf)
        # Value, squared gradient, its running mean and its running minimum.
        self.records = np.full((4, len(task.times), blocks, block), np.inf)
        self.left = np.zeros((blocks, block), dtype=bool)
        self.streams = [
            np.random.Generator(np.random.SFC64(np.random.SeedSequence(task.seed, spawn_key=(block,))))
            for block in task.blocks
        ]
        self._phase = int(np.random.default_rng(task.seed).integers(task.every))

    def _weight(self, t: int) -> float:
        """What the gradients measured before step t weigh in their average: each as its step, or alike."""
        seen = slice(self._phase, t, self.task.every)
        return float(np.sum(self.task.step[seen])) if np.ndim(self.task.step) else len(range(t)[seen])  # type: ignore[index]

    def _ask(self, problem: Problem, *, gradient: bool, sample: bool) -> None:
        """∇f at x, and ∇f + b + n in ``work``."""
        if isinstance(problem, SyntheticProblem):
            if gradient and sample:
                problem.oracle_into(self.x, self.gradient, self.streams, self.work)
            elif gradient:
                self.gradient[...] = problem.gradient(self.x)
            elif sample:
                problem.sample_into(self.x, self.gradient, self.streams, self.work)
            return
        for at, x in enumerate(self.x):
            if gradient:
                self.gradient[at] = asked(problem, "gradient", x, x.shape)
            if sample:
                self.work[at] = asked(problem, "sample_gradient", x, x.shape, self.streams[at])

    def _value(self) -> Array:
        problem = self.task.problem
        if isinstance(problem, SyntheticProblem):
            return problem.value(self.x)
        return np.stack([asked(problem, "value", x, x.shape[:1]) for x in self.x])

    def _move(self, step: float, part: slice) -> None:
        """The coordinates of a player along ``work``, or along its velocity."""
        task, sample = self.task, self._work[:, part]
        if task.momentum:
            velocity = self._velocity[:, part]
            velocity *= task.momentum
            velocity += sample
            if task.nesterov:
                sample += task.momentum * velocity
            else:
                sample[...] = velocity
        sample *= step
        self._x[:, part] -= sample

    def _see(self, *, sampled: bool, measured: bool) -> None:
        """Show the observer where the replicas are."""
        if self.task.observe is not None:
            dim = self._x.shape[1]
            x, gradient, sample = (a.reshape(-1, dim) for a in (self.x, self.gradient, self.work))
            for array in (x, gradient, sample):
                array.flags.writeable = False  # some are the run's own
            first = self.task.blocks.start * self.task.block
            seen = Observed(
                t=self.done, replicas=slice(first, first + len(x)), x=x, gradient=gradient,
                sample=sample if sampled else None, measured=measured,
            )  # fmt: skip
            self.task.observe(seen)

    def advance(self, *, seconds: float = np.inf, progress: Callable[[float], None] | None = None) -> bool:
        """Take steps until the last one, or until the time is up; whether all are done."""
        task, ends = self.task, time.monotonic() + seconds
        steps = int(task.times[-1])
        marks = dict(zip(task.times.tolist(), range(len(task.times)), strict=True))
        box = getattr(task.problem, "box", None)
        scheduled, (first, *others) = np.ndim(task.step) > 0, task.players
        # A step beyond the stable range may overflow; the record then says inf, which no finite bound survives.
        with np.errstate(over="ignore", invalid="ignore"):
            while True:
                t, last = self.done, self.done == steps
                problem = task.problem if task.oracle is None or last else task.oracle(t)
                measured = not last and t % task.every == self._phase
                row = marks.get(t)
                needed = measured or row is not None or last or getattr(problem, "follows_gradient", False)
                self._ask(problem, gradient=needed, sample=not last)
                if needed:
                    np.einsum("bdr,bdr->br", self._gradient, self._gradient, out=self.norm)
                if row is not None:
                    mean = (self.total + self.part) / (self._weight(t) or 1.0)
                    self.records[:, row] = self._value(), self.norm, mean, self.least
                if measured or row is not None:
                    self._see(sampled=not (last or others), measured=measured)
                if last:
                    break
                step: float = task.step[t] if scheduled else task.step  # type: ignore[index]
                if measured:
                    self.part += step * self.norm if scheduled else self.norm
                    np.minimum(self.least, self.norm, out=self.least)
                self._move(step, first)
                for part in others:
                    self._ask(problem, gradient=True, sample=True)
                    self._move(step, part)
                self.done += 1
                if box is not None:
                    self.left |= ((self.x < box[0]) | (self.x > box[1])).any(axis=-1)
                if self.done % _SEGMENT == 0:
                    self.total += self.part
                    self.part[...] = 0.0
                if self.done % _LOOK == 0:
                    if progress is not None:
                        progress(self.done / steps)
                    if time.monotonic() > ends:
                        return False
        return True

    def result(self) -> dict[str, Array]:
        """The records (4, record, replica), the last points (replica, dim), and who left the problem's box."""
        records = np.where(np.isnan(self.records), np.inf, self.records)
        return {
            "records": records.reshape(*records.shape[:2], -1),
            "final": self.x.reshape(-1, self._x.shape[1]),
            "left": self.left.reshape(-1).astype(np.float64),
        }

    _STATE = ("_x", "_velocity", "total", "part", "least", "records", "left")

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


def asked(problem: Problem, name: str, x: Array, shape: tuple[int, ...], *more: Any) -> Any:
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
