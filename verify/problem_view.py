"""A problem in units of its own: the searches know nothing of whether lengths are millionths or millions.

With x = c + s·y and f̃(y) = f(x)/(Λs²) the smoothness is 1 and the unit of length s; gradients are f's times 1/(Λs),
noise and bias times 1/(Λs)². Both s and the power of two next to Λ are used, so that scaling rounds nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from convergence.moments import Moment
from convergence.probes import GradientError, Witness, search_unit

__all__ = ["View", "views"]

Array = NDArray[np.float64]
Found = TypeVar("Found", GradientError, Moment, Witness)


def _power(number: float) -> float:
    """The power of two below a positive number."""
    return float(2.0 ** np.floor(np.log2(number)))


class View:
    """A problem seen from ``centre`` in units of length ``unit``, with Λ between 1 and 2.

    Of a box it shows no more than ``region`` units around the start.
    """

    def __init__(self, problem: Any, centre: Array, unit: float, region: float = np.inf):
        self.problem, self._centre, self._unit = problem, centre, unit
        # Curvatures are divided by this, gradients by it times the unit, values by it times the unit's square.
        self._curvature = _power(problem.smoothness)
        self._slope = self._curvature * unit
        self.dim = problem.dim
        self.smoothness = problem.smoothness / self._curvature
        self.minimum = problem.minimum / self._slope / unit
        self.noise, self.bias = (getattr(problem, n) / self._slope / self._slope for n in ("noise", "bias"))
        self.relative_bias = getattr(problem, "relative_bias", 0.0)
        self.start = (problem.start - centre) / unit
        self.far = problem.far / unit
        self.box = None
        if problem.box is not None:
            low, high = ((edge - centre) / unit for edge in problem.box)
            self.box = np.maximum(low, self.start - region), np.minimum(high, self.start + region)
        self.rounded = float(np.linalg.norm(centre)) / unit
        """The size of what is rounded, besides y, when x is made of y."""

    def _x(self, y: Array) -> Array:
        x = self._centre + self._unit * y
        if self.box is not None:
            # Rounding must not carry an edge of the box outside.
            inside = (y >= self.box[0]) & (y <= self.box[1])
            x = np.where(inside, np.clip(x, *self.problem.box), x)
        return x

    def value(self, y: Array) -> Array:
        """f̃."""
        return self.problem.value(self._x(y)) / self._slope / self._unit

    def gradient(self, y: Array) -> Array:
        """∇f̃."""
        return self.problem.gradient(self._x(y)) / self._slope

    def sample_gradient(self, y: Array, rng: np.random.Generator) -> Array:
        """A draw of the oracle for ∇f̃."""
        return self.problem.sample_gradient(self._x(y), rng) / self._slope

    def gradient_back(self, found: GradientError) -> GradientError:
        """What a search for wrong gradients found, in the problem's own units."""
        return self._back(found, self._slope, "slope", "declared", "uncertainty")

    def curvature_back(self, found: Witness) -> Witness:
        """A curvature in the problem's own units."""
        return self._back(found, self._curvature, "value")

    def value_back(self, found: Witness) -> Witness:
        """A value in the problem's own units."""
        return self._back(found, self._slope * self._unit, "value")

    def moment_back(self, found: Moment, power: int) -> Moment:
        """A norm of the oracle (``power`` 1) or a squared one (2) in the problem's own units."""
        return self._back(found, self._slope**power, "estimate", "low", "high", "allowed")

    def _back(self, found: Found, unit: float, *names: str) -> Found:
        numbers = {name: getattr(found, name) * unit for name in names}
        return replace(found, point=self._x(found.point[None])[0], **numbers)


def views(problem: Any) -> list[View]:
    """From the origin in units of the start's size, and from the start in units of what SGD does, where they differ.

    These are √(2Δ/Λ), the length within which a curvature of Λ explains Δ, or a step's noise or bias at η = 1/Λ if that
    is longer.
    """
    size = search_unit(problem)
    found = [View(problem, np.zeros(problem.dim), _power(size))]
    gap = float(problem.value(problem.start[None])[0]) - problem.minimum
    step = float(np.sqrt(max(problem.noise, problem.bias))) / problem.smoothness
    near = max(step, float(np.sqrt(max(2 * gap / problem.smoothness, 0.0))))
    if 1e-8 * float(np.abs(problem.start).max()) < near < size / 10:
        found.append(View(problem, problem.start, _power(near), region=16.0))
    return found
