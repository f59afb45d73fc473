"""Certified maxima over a box by branch and bound: of the norm of a Hessian, and of minus the function."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement as sorted_indices

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Integer, Symbol

from convergence.problems._formula import INTERVAL_FUNCTIONS, borders
from rdml_theory.symbolic.enclosures import Intervals, enclosures

__all__ = ["LargestEigenvalue"]

Array = NDArray[np.float64]

_SLACK = 2.0**-40  # relative: covers the roundings of sums of a few numbers and of a small eigenvalue problem


class LargestEigenvalue:
    """max ‖∇²f‖, or the maximum of -f, over a box, from interval enclosures of the derivatives of f.

    On a part of the box with middle c and half widths ρ the matrix M (∇²f, or the 1 x 1 matrix -f) lies in

        M(part)  and  M(c) + Σ t_k D_k(part),  |t_k| ≤ ρ_k,  D_k = ∂_k M,

    both interval matrices, A ± R; an eigenvalue of such a matrix is within ‖R‖ of one of A. Where a part meets the
    border of a case distinction, at which ∇²f may jump, only the first holds: it is the hull of both sides.

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
        self._curvature, n = curvature, len(symbols)
        self._size, order = (n, 2) if curvature else (1, 0)
        derivatives: dict[tuple[int, ...], Expr] = {(): formula if curvature else -formula}
        for length in range(1, order + 2):
            for index in sorted_indices(range(n), length):
                derivatives[index] = derivatives[index[:-1]].diff(symbols[index[-1]])
        entries, slopes = ([i for i in derivatives if len(i) == length] for length in (order, order + 1))
        written = [derivatives[i] + Integer(0) for i in (*entries, *slopes)]
        self._on_parts = enclosures(written, symbols, INTERVAL_FUNCTIONS)
        self._at_points = enclosures(written[: len(entries)], symbols, INTERVAL_FUNCTIONS)
        self._borders = enclosures(borders(formula) if curvature else [], symbols, INTERVAL_FUNCTIONS)
        # Where each entry of M, and of D, is found.
        matrix = [ij if curvature else () for ij in np.ndindex(self._size, self._size)]
        at = {index: k for k, index in enumerate(entries)}, {index: len(entries) + k for k, index in enumerate(slopes)}
        shape = (self._size, self._size)
        self._at = np.array([at[0][tuple(sorted(ij))] for ij in matrix]).reshape(shape)
        self._slopes_at = np.array([[at[1][tuple(sorted((*ij, k)))] for ij in matrix] for k in range(n)])
        self._slopes_at = self._slopes_at.reshape(n, *shape)

    def _most(self, matrix: Array) -> Array:
        """‖M‖, or M, of matrices; -∞ where they are not finite."""
        finite, values = _eigenvalues(matrix)
        return np.where(finite, np.abs(values).max(axis=-1) if self._curvature else values[..., -1], -np.inf)

    def at(self, points: Array) -> Array:
        """Lower bounds of the value at points, an array (dim, points)."""
        return self._attained(*_matrices(self._at_points(points, points), self._at))

    def _attained(self, middle: Array, radius: Array) -> Array:
        return self._most(middle) - _norm(radius) - _SLACK * _norm(np.abs(middle))

    def bounds(self, low: Array, high: Array) -> tuple[Array, Array, NDArray[np.intp]]:
        """Of parts with these ends, arrays (dim, parts): upper and lower bounds of the maximum, where to halve them."""
        ends, centre = self._on_parts(low, high), low / 2 + high / 2
        reach = np.maximum(high - centre, centre - low) * (1 + 2 * _SLACK)
        middle, radius = _matrices(ends, self._at)
        direct = self._most(middle) + _norm(radius)
        base, at_centre = _matrices(self._at_points(centre, centre), self._at)
        slopes = np.maximum(np.abs(ends[0]), np.abs(ends[1]))[self._slopes_at]
        changes = np.moveaxis(reach[:, None, None] * slopes, -1, 0)
        middle_value = self._most(base) + _norm(at_centre + changes.sum(axis=1))
        slack = _SLACK * (_norm(np.abs(middle)) + _norm(np.abs(base)) + _norm(radius))
        smooth = np.logical_or(*Intervals(*self._borders(low, high)).negative()).all(axis=0)
        direct = np.where(np.isfinite(direct), direct, np.inf)
        middle_value = np.where(smooth & np.isfinite(middle_value), middle_value, np.inf)
        # Across the axis along which the matrix changes most; by the width where that tells nothing.
        size = np.linalg.norm(changes, axis=(2, 3)).T
        known = np.isfinite(size).all(axis=0) & size.any(axis=0) & smooth
        axis = np.argmax(np.where(high > low, np.where(known, size, reach), -1.0), axis=0)
        upper = np.minimum(direct, middle_value) + np.where(np.isfinite(slack), slack, 0.0)
        return upper, self._attained(base, at_centre), axis

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
        or the budget of parts is spent: the bound holds in either case.

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
        uppers, _, axes = self.bounds(*parts)
        while spent < budget and uppers.max() > (enough := attained + max(tolerance * abs(attained), least)):
            worst = np.argsort(-uppers)[:128]
            worst = worst[uppers[worst] > enough]
            low, high = parts[:, :, worst]
            halved = np.arange(len(low))[:, None] == axes[worst]
            left, right = (np.where(halved, low / 2 + high / 2, end) for end in (high, low))
            fresh = np.stack([np.concatenate([low, right], axis=1), np.concatenate([left, high], axis=1)])
            found, lower, across = self.bounds(*fresh)
            spent += found.size
            attained = max(attained, float(lower.max()))
            rest = np.setdiff1d(np.flatnonzero(uppers > attained), worst)
            # What is dropped holds no more than what is attained.
            parts = np.concatenate([parts[:, :, rest], fresh], axis=2)
            uppers = np.concatenate([uppers[rest], np.minimum(found, np.tile(uppers[worst], 2))])
            axes = np.concatenate([axes[rest], across])
        return max(float(uppers.max()), attained), attained


def _matrices(ends: tuple[Array, Array], at: NDArray[np.intp]) -> tuple[Array, Array]:
    """Middles and radii of matrices whose entries are enclosed, arrays (parts, size, size)."""
    low, high = (np.moveaxis(end[at], -1, 0) for end in ends)
    middle = np.where(np.isfinite(low), low / 2 + high / 2, 0.0)
    return middle, np.maximum(high - middle, middle - low) * (1 + 2 * _SLACK)


def _norm(radius: Array) -> Array:
    """The spectral norm of symmetric matrices with entries ≥ 0."""
    finite, values = _eigenvalues(radius)
    return np.where(finite, values[..., -1] * (1 + _SLACK), np.inf)


def _eigenvalues(matrices: Array) -> tuple[NDArray[np.bool_], Array]:
    """Which matrices (parts, size, size) are finite, and the eigenvalues of those, ascending."""
    finite = np.atleast_1d(np.isfinite(matrices).all(axis=(-1, -2)))
    return finite, np.linalg.eigvalsh(np.where(finite[:, None, None], matrices, 0.0))
