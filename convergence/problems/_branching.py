"""Certified maxima over a box by branch and bound: of the norm of a Hessian, and of minus the function."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Integer, Symbol

from convergence.problems._formula import INTERVAL_FUNCTIONS
from rdml_theory.symbolic.enclosures import enclosures

__all__ = ["LargestEigenvalue"]

Array = NDArray[np.float64]

_SLACK = 2.0**-40  # relative: covers the roundings of sums of a few numbers and of a small eigenvalue problem


class LargestEigenvalue:
    """max ‖∇²f‖, or the maximum of -f, over a box, from interval enclosures of M: ∇²f, or the 1 x 1 matrix -f.

    On a part of the box M lies in an interval matrix, A ± R; an eigenvalue of such a matrix is within ‖R‖ of one of A.
    Where a part meets the border of a case distinction, at which ∇²f may jump, it is the hull of both sides.

    Parameters
    ----------
    formula : Expr
        f.
    symbols : sequence of Symbol
        Its variables.
    curvature : bool
        Whether M is ∇²f or -f.
    """

    def __init__(self, formula: Expr, symbols: Sequence[Symbol], *, curvature: bool) -> None:
        self._curvature = curvature
        entries = [[formula.diff(a, b) for b in symbols] for a in symbols] if curvature else [[-formula]]
        self._size = len(entries)
        self._entries = enclosures([e + Integer(0) for row in entries for e in row], symbols, INTERVAL_FUNCTIONS)

    def _most(self, matrix: Array) -> Array:
        """‖M‖, or M, of matrices; -∞ where they are not finite."""
        finite, values = _eigenvalues(matrix)
        return np.where(finite, np.abs(values).max(axis=-1) if self._curvature else values[..., -1], -np.inf)

    def _matrices(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Middles and radii of M on parts with these ends, arrays (parts, size, size)."""
        low, high = (np.moveaxis(end.reshape(self._size, self._size, -1), -1, 0) for end in self._entries(low, high))
        middle = np.where(np.isfinite(low), low / 2 + high / 2, 0.0)
        return middle, np.maximum(high - middle, middle - low) * (1 + 2 * _SLACK)

    def at(self, points: Array) -> Array:
        """Lower bounds of the value at points, an array (dim, points)."""
        middle, radius = self._matrices(points, points)
        return self._most(middle) - _norm(radius) - _SLACK * _norm(np.abs(middle))

    def bounds(self, low: Array, high: Array) -> Array:
        """Upper bounds of the value on parts with these ends, arrays (dim, parts)."""
        middle, radius = self._matrices(low, high)
        slack = _SLACK * (_norm(np.abs(middle)) + _norm(radius))
        return self._most(middle) + _norm(radius) + np.where(np.isfinite(slack), slack, 0.0)

    def search(self, low: Array, high: Array) -> float:
        """The largest value found at points: nothing rests on it but how soon the cutting ends."""
        n = len(low)
        rng = np.random.default_rng(0)
        low, high = low[:, None], high[:, None]
        x, corners = rng.uniform(low, high, (n, 600)), 2 ** min(n, 9)
        x[:, :corners] = np.where((np.arange(corners) >> np.arange(n)[:, None]) & 1, high, low)
        values = self.at(x)
        for turn in range(12):
            best = np.argsort(-values)[:10]
            moved = x[:, best[rng.integers(0, 10, 60)]] + (high - low) * 3.0**-turn / 4 * rng.standard_normal((n, 60))
            moved = np.clip(moved, low, high)
            x, values = np.hstack([x[:, best], moved]), np.concatenate([values[best], self.at(moved)])
        return float(values.max())

    @np.errstate(over="ignore", invalid="ignore")
    def maximum(
        self, outer: Array, inner: Array, *, tolerance: float, budget: int, least: float = 0.0
    ) -> tuple[float, float]:
        """An upper bound of the maximum over a box, and a value that is attained.

        The parts with the greatest upper bounds are halved until these are within the tolerance of what is attained,
        or the budget of parts is spent: the bound holds in either case. A part is halved across its longest side, in
        units of the box.

        Parameters
        ----------
        outer, inner : arrays (2, dim)
            The ends of the box, rounded outward and inward.
        tolerance, least : float
            A gap that is small enough, relative to the attained value or in any case.
        budget : int
            Parts to evaluate.
        """
        attained = self.search(*inner)
        parts, spent = outer[:, :, None], 1
        width = (outer[1] - outer[0])[:, None]
        uppers = self.bounds(*parts)
        while spent < budget and uppers.max() > (enough := attained + max(tolerance * abs(attained), least)):
            worst = np.argsort(-uppers)[:128]
            worst = worst[uppers[worst] > enough]
            low, high = parts[:, :, worst]
            halved = np.arange(len(low))[:, None] == np.argmax((high - low) / width, axis=0)
            left, right = (np.where(halved, low / 2 + high / 2, end) for end in (high, low))
            fresh = np.stack([np.concatenate([low, right], axis=1), np.concatenate([left, high], axis=1)])
            found = self.bounds(*fresh)
            spent += found.size
            attained = max(attained, float(self.at(fresh.mean(axis=0)).max()))
            rest = np.setdiff1d(np.flatnonzero(uppers > attained), worst)
            # What is dropped holds no more than what is attained.
            parts = np.concatenate([parts[:, :, rest], fresh], axis=2)
            uppers = np.concatenate([uppers[rest], np.minimum(found, np.tile(uppers[worst], 2))])
        return max(float(uppers.max()), attained), attained


def _norm(radius: Array) -> Array:
    """The spectral norm of symmetric matrices with entries ≥ 0."""
    finite, values = _eigenvalues(radius)
    return np.where(finite, values[..., -1] * (1 + _SLACK), np.inf)


def _eigenvalues(matrices: Array) -> tuple[NDArray[np.bool_], Array]:
    """Which matrices (parts, size, size) are finite, and the eigenvalues of those, ascending."""
    finite = np.atleast_1d(np.isfinite(matrices).all(axis=(-1, -2)))
    return finite, np.linalg.eigvalsh(np.where(finite[:, None, None], matrices, 0.0))
