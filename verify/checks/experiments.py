"""What the experiments share: means over windows of a trajectory, scheduled steps, and exponents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, lambdify

from convergence import Trajectory, judge_mean
from convergence.problems import SyntheticProblem
from rdml_theory.symbolic.sgd import descent
from verify.checks.comparisons import from_verdict
from verify.records import Comparison

__all__ = ["close_to", "exponents", "plateau_function", "scheduled_descent", "window_means"]

Array = NDArray[np.float64]


def plateau_function(formula: Expr) -> Callable[[float, float, float], float]:
    """A plateau's formula in h, σ and Z as a function of h, σ² and ζ²."""
    evaluated = lambdify((descent.h, descent.noise, descent.bias), formula, "numpy")
    return lambda h, noise, bias: float(evaluated(h, np.sqrt(noise), np.sqrt(bias)))


def window_means(run: Trajectory) -> Array:
    """The mean of ‖∇f‖² between each record and the next, shape (record - 1, replica)."""
    times = run.times[:, None].astype(np.float64)
    return np.diff(times * run.mean_squared_gradient, axis=0) / np.diff(times, axis=0)


def close_to(name: str, values: Array, stated: float, tolerance: float, error_rate: float) -> Comparison:
    """The mean of the replicas within a relative tolerance of what is stated, as a statistical comparison."""
    verdict = judge_mean(
        values, (1 + tolerance) * stated, least=(1 - tolerance) * stated, error_rate=error_rate
    )  # fmt: skip
    return from_verdict(name, verdict, attained=True)


def scheduled_descent(
    problem: SyntheticProblem, steps: Sequence[float] | Array, *, replicas: int, rng: np.random.Generator, records: int,
    progress: Callable[[float], None] = lambda fraction: None,
) -> tuple[NDArray[np.int64], Array]:  # fmt: skip
    """SGD whose step size follows a schedule: times, evenly in log t, and ‖∇f(x_t)‖² over (time, replica)."""
    times = np.unique(np.geomspace(1, len(steps), records).round().astype(np.int64))
    x = np.tile(problem.start, (replicas, 1))
    squares = []
    marks = set(times.tolist())
    for t, step in enumerate(steps, 1):
        x -= step * problem.sample_gradient(x, rng)
        if t in marks:
            squares.append((problem.gradient(x) ** 2).sum(axis=1))
            progress(t / len(steps))
    return times, np.array(squares)


def exponents(grid: Sequence[float], levels: Any) -> Array:
    """Least-squares slopes of log level against log grid, for levels of shape (grid, ...).

    >>> exponents([1.0, 2.0, 4.0], [[3.0], [12.0], [48.0]]).round(9)
    array([2.])
    """
    x = np.log(np.asarray(grid, dtype=np.float64))
    y = np.log(np.asarray(levels, dtype=np.float64))
    return np.tensordot(x - x.mean(), y, axes=(0, 0)) / ((x - x.mean()) ** 2).sum()
