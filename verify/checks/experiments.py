"""What the experiments share: replicas that are kept, means over windows of a trajectory, and exponents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr

from convergence import Envelope, Trajectory, sequential_verdict, simulate
from convergence.problems import SyntheticProblem
from rdml_theory.symbolic.sgd import descent
from verify.checks.comparisons import from_verdict
from verify.checks.formulas import function_of
from verify.context import Context
from verify.records import Comparison

__all__ = ["Replicas", "exponents", "plateau_function", "window_means"]

Array = NDArray[np.float64]


def average_square(run: Trajectory) -> Array:
    """(1/T) Σ ‖∇f(x_t)‖² of each replica."""
    return run.mean_squared_gradient[-1]


class Replicas:
    """Replicas of a simulation, which are kept: a claim and its negative controls see the same ones.

    Parameters
    ----------
    context : Context
        Where they are kept, and where the seed comes from.
    name : str
        Of the simulation.
    problem : SyntheticProblem
        What is simulated.
    value : callable
        The number of each replica that is judged, from a trajectory.
    **run
        As for :func:`convergence.simulate`.
    """

    def __init__(
        self, context: Context, name: str, problem: SyntheticProblem, *,
        value: Callable[[Trajectory], Array] = average_square, **run: Any,
    ) -> None:  # fmt: skip
        self._context, self._name, self._problem, self._value, self._run = context, name, problem, value, run

    def __call__(self, begin: int, end: int) -> Array:
        """The judged numbers of the replicas with these indices."""
        return self._value(self._trajectory(begin, end))

    def _trajectory(self, begin: int, end: int) -> Trajectory:
        seed = self._context.seed_for(self._name)
        return self._context.shared(
            simulate, self._problem, replicas=end - begin, first=begin, seed=seed, **self._run
        )  # fmt: skip

    @property
    def first(self) -> Trajectory:
        """The first 256 of them."""
        return self._trajectory(0, 256)

    def judged(
        self, allowed: float, *, budget: int, least: float | None = None, envelope: Envelope | None = None
    ) -> Comparison:
        """Their mean against what is allowed; as many as it takes, up to the budget.

        The envelope is that of the run unless another is given, for another value than the average square.
        """
        known = self.first.envelope
        if known is None or not (known.alike or self._value is average_square):
            known = envelope
        verdict = sequential_verdict(
            self, allowed, error_rate=self._context.error_rate, budget=budget, least=least, envelope=known
        )
        return from_verdict(self._name, verdict, attained=least is not None)


def plateau_function(formula: Expr) -> Callable[[float, float, float], float]:
    """A plateau's formula in h, σ and Z as a function of h, σ² and ζ²."""
    evaluated = function_of(formula, descent.h, descent.sigma, descent.Z)
    return lambda h, noise, bias: float(evaluated(h, np.sqrt(noise), np.sqrt(bias)))


def window_means(run: Trajectory) -> Array:
    """The mean of ‖∇f‖² between each record and the next, shape (record - 1, replica)."""
    times = run.times[:, None].astype(np.float64)
    return np.diff(times * run.mean_squared_gradient, axis=0) / np.diff(times, axis=0)


def exponents(grid: Sequence[float], levels: Any) -> Array:
    """Least-squares slopes of log level against log grid, for levels of shape (grid, ...).

    >>> exponents([1.0, 2.0, 4.0], [[3.0], [12.0], [48.0]]).round(9)
    array([2.])
    """
    x = np.log(np.asarray(grid, dtype=np.float64))
    y = np.log(np.asarray(levels, dtype=np.float64))
    return np.tensordot(x - x.mean(), y, axes=(0, 0)) / ((x - x.mean()) ** 2).sum()
