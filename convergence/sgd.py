"""Constant-step SGD, vectorised over replicas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.assumptions import Assumptions
from convergence.problems.base import Problem

__all__ = ["BLOCK", "Trajectory", "record_times", "simulate"]

Array = NDArray[np.float64]

BLOCK = 256
"""Replicas that share one random stream. A replica's numbers depend on the seed and its index only, never on how many
replicas run or where."""


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """What a simulation recorded. Arrays over (record, replica) unless stated.

    Attributes
    ----------
    problem : str
        The problem's description.
    assumptions : Assumptions
        The problem's declared constants, with Δ = f(x₀) - minimum.
    minimum : float
        The problem's declared minimum.
    step, steps, seed
        η, T and the seed.
    times : ndarray of int, shape (record,)
        The numbers of steps taken at each record; the last is T.
    value : ndarray
        f(x_t).
    squared_gradient : ndarray
        ‖∇f(x_t)‖².
    mean_squared_gradient : ndarray
        (1/t) Σ_{s<t} ‖∇f(x_s)‖², whose expectation the bounds limit.
    least_squared_gradient : ndarray
        min_{s<t} ‖∇f(x_s)‖².
    final : ndarray, shape (replica, dim)
        x_T.
    """

    problem: str
    assumptions: Assumptions
    minimum: float
    step: float
    steps: int
    seed: int
    times: NDArray[np.int64]
    value: Array
    squared_gradient: Array
    mean_squared_gradient: Array
    least_squared_gradient: Array
    final: Array


def record_times(steps: int, record: int | ArrayLike) -> NDArray[np.int64]:
    """The times at which to record: about ``record`` of them spaced evenly in log t, or those given; T is always last.

    >>> record_times(1000, 4)
    array([   1,   10,  100, 1000])
    """
    if np.ndim(record) == 0:
        count = int(record)  # type: ignore[arg-type]
        if count < 1:
            raise ValueError(f"record = {record!r}: expected at least 1 record, or an array of times")
        times = np.unique(np.geomspace(1, steps, count).round().astype(np.int64)) if count > 1 else np.array([steps])
    else:
        times = np.unique(np.asarray(record, dtype=np.int64))
        if times.size == 0 or times[0] < 1 or times[-1] > steps:
            raise ValueError(f"record = {record!r}: expected times between 1 and steps = {steps}")
    return times if times[-1] == steps else np.append(times, steps)


def _stream(seed: int, block: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence(seed, spawn_key=(block,))))


def simulate(
    problem: Problem,
    *,
    step: float,
    steps: int,
    replicas: int,
    seed: int,
    start: ArrayLike | None = None,
    record: int | ArrayLike = 64,
    first: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Trajectory:
    """Run x_{t+1} = x_t - η g_t for T steps on independent replicas.

    Memory does not grow with the number of steps: averages run, and records are spaced evenly in log t.

    Parameters
    ----------
    problem : Problem
        A built-in problem or an object with the same attributes.
    step : float
        η > 0. It is not checked against Λ: that is the bound's business.
    steps : int
        T ≥ 1.
    replicas : int
        Independent runs.
    seed : int
        Same seed, same numbers, however many replicas run: replica r uses stream r // 256 of the seed.
    start : array of shape (dim,), optional
        x₀, the same for all replicas; ``problem.start`` by default, or a vector of ones.
    record : int or array of int
        How many records, or at which times.
    first : int
        The index of the first replica, a multiple of 256: to add replicas to an earlier run.
    progress : callable, optional
        Called with the fraction done.

    Returns
    -------
    Trajectory
        Arrays over (record, replica), float64.

    Raises
    ------
    ValueError
        If an argument is out of range, or ``gradient`` returns another shape than it was given.

    Examples
    --------
    >>> from convergence import problems
    >>> run = simulate(problems.get("quadratic"), step=0.5, steps=3, replicas=1, seed=0, record=[1, 2, 3])
    >>> run.squared_gradient[:, 0].tolist()
    [0.25, 0.0625, 0.015625]
    """
    for name, number, least in (("steps", steps, 1), ("replicas", replicas, 1), ("seed", seed, 0), ("first", first, 0)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < least:
            raise ValueError(f"{name} = {number!r}: expected an integer >= {least}")
    if isinstance(step, bool) or not (np.isfinite(step) and step > 0):
        raise ValueError(f"step = {step!r}: expected a finite step size > 0")
    if first % BLOCK:
        raise ValueError(f"first = {first!r}: expected a multiple of {BLOCK}, where a random stream starts")
    origin = getattr(problem, "start", None) if start is None else start
    x0 = np.ones(problem.dim) if origin is None else np.asarray(origin, dtype=np.float64)
    if x0.shape != (problem.dim,):
        raise ValueError(f"start has shape {x0.shape}: expected ({problem.dim},), the problem's dimension")
    times = record_times(steps, record)
    blocks = range(0, replicas, BLOCK)
    parts = []
    for number, begin in enumerate(blocks):
        size = min(BLOCK, replicas - begin)
        rng = _stream(seed, first // BLOCK + number)
        # A full block is drawn even where fewer replicas are asked for: replica r must not depend on how many run.
        parts.append([a[..., :size] for a in _run_block(problem, x0, step, steps, times, rng)])
        if progress is not None:
            progress((number + 1) / len(blocks))
    value, squared, mean, least, final = (np.concatenate(p, axis=-1) for p in zip(*parts, strict=True))
    gap = max(float(problem.value(x0[None])[0]) - problem.minimum, 0.0)
    return Trajectory(
        problem=repr(problem),
        assumptions=Assumptions(
            smoothness=problem.smoothness, gap=gap, noise=problem.noise, bias=problem.bias,
            relative_bias=getattr(problem, "relative_bias", 0.0),
        ),
        minimum=float(problem.minimum), step=float(step), steps=steps, seed=seed, times=times,
        value=value, squared_gradient=squared, mean_squared_gradient=mean, least_squared_gradient=least,
        final=final.T,
    )  # fmt: skip


def _run_block(
    problem: Problem, x0: Array, step: float, steps: int, times: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Array, ...]:
    """One block of replicas: value, squared gradient, its running mean and minimum (records, BLOCK); x_T transposed."""
    perturb: Any = getattr(problem, "perturb", None)
    x = np.tile(x0, (BLOCK, 1))
    total = np.zeros(BLOCK)
    least = np.full(BLOCK, np.inf)
    value, squared, mean, lowest = (np.empty((len(times), BLOCK)) for _ in range(4))
    marks = dict(zip(times.tolist(), range(len(times)), strict=True))
    # A step beyond the stable range may overflow; the record then says inf, which no finite bound survives.
    with np.errstate(over="ignore", invalid="ignore"):
        gradient = problem.gradient(x)
        if np.shape(gradient) != x.shape:
            raise ValueError(
                f"gradient returned shape {np.shape(gradient)} for x of shape {x.shape}: expected the same"
            )
        norm = np.einsum("ij,ij->i", gradient, gradient)
        for t in range(1, steps + 1):
            total += norm
            np.minimum(least, norm, out=least)
            sample = problem.sample_gradient(x, rng) if perturb is None else perturb(gradient, rng)
            x -= step * sample
            gradient = problem.gradient(x)
            norm = np.einsum("ij,ij->i", gradient, gradient)
            if (row := marks.get(t)) is not None:
                value[row], squared[row], mean[row], lowest[row] = problem.value(x), norm, total / t, least
    for array in (value, squared, mean, lowest):
        array[np.isnan(array)] = np.inf
    return value, squared, mean, lowest, x.T
