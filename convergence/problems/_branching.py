"""Bounds on parts of a box of the largest eigenvalue of a Hessian, from the formula of the function."""

from __future__ import annotations

from itertools import combinations_with_replacement as sorted_indices

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Integer, Symbol, lambdify

from convergence.problems._formula import INTERVAL_FUNCTIONS, NUMPY_FUNCTIONS, switched
from convergence.problems._maximum import PartBounds
from rdml_theory.symbolic.certificates.intervals import Intervals, enclosures

__all__ = ["LargestEigenvalue"]

Array = NDArray[np.float64]

_SLACK = 2.0**-40  # relative: covers the roundings of sums of a few numbers and of a small eigenvalue problem


class LargestEigenvalue:
    """Bounds on parts of a box of the largest eigenvalue of M = -f (one by one) or ±∇²f, from the derivatives of f.

    With c the middle and ρ the half widths of a part, D_k = ∂_k M and E_kl = ∂_k ∂_l M, the matrix lies in

        M(part),  M(c) + Σ t_k D_k(part),  and  M(c) + Σ t_k D_k(c) + ½ Σ t_k t_l E_kl(part),  |t_k| ≤ ρ_k,

    each of them an interval matrix. With V the eigenvectors of M(c), VᵀMV is nearly diagonal: if its entries differ
    from the diagonal matrix of the eigenvalues λ_i by N_ij at most, its largest is at most that of diag(λ) + N, since
    xᵀAx ≤ ``|x|ᵀ|A||x|``, and the entries off the diagonal change that to second order only.

    Of an eigenvector v to an eigenvalue of at least μ, ``|v_j|`` (μ - λ_j - N_jj) ≤ ‖(N_ji)_(i≠j)‖. With μ a value that
    is attained, this confines v to near the first column of V. If then vᵀD_k v ≥ 0 on the part, the largest eigenvalue
    grows in x_k wherever it is at least μ, and the maximum, if it is more, is on a face; so too if D_k is semidefinite.

    Parameters
    ----------
    formula : Expr
        f.
    symbols : list of Symbol
        Its variables.
    curvature : bool
        Whether M is ∇²f or -f.

    Attributes
    ----------
    sign : int
        1, or -1 for the largest eigenvalue of -M.
    """

    def __init__(self, formula: Expr, symbols: list[Symbol], *, curvature: bool) -> None:
        self.symbols, self.curvature, self.sign, n = symbols, curvature, 1, len(symbols)
        formula, self._switches = switched(formula)
        base, self.size = (2, n) if curvature else (0, 1)
        expressions: dict[tuple[int, ...], Expr] = {(): formula if curvature else -formula}
        for order in range(1, base + 3):
            for index in sorted_indices(range(n), order):
                expressions[index] = expressions[index[:-1]].diff(symbols[index[-1]])
        names = [[i for i in expressions if len(i) == base + order] for order in range(3)]
        lists = [[expressions[i] + Integer(0) for i in own] for own in names]
        self.entries = lists[0]
        # Where each derivative of each entry of the matrix is found.
        at = [{index: k for k, index in enumerate(own)} for own in names]
        shape, corner = (self.size, self.size), np.ndindex
        matrix = [ij if curvature else () for ij in corner(shape)]
        self._at = [
            np.array([at[order][tuple(sorted((*ij, *k)))] for k in corner((n,) * order) for ij in matrix])
            .reshape((n,) * order + shape)
            for order in range(3)
        ]  # fmt: skip
        inputs = [*symbols, *self._switches]
        self._on_parts = enclosures(lists[0] + lists[1] + lists[2], inputs, INTERVAL_FUNCTIONS)
        self._at_points = enclosures(lists[0] + lists[1], inputs, INTERVAL_FUNCTIONS)
        self._borders = enclosures(list(self._switches.values()), symbols, INTERVAL_FUNCTIONS)
        self._counts = np.cumsum([len(own) for own in lists])

    def _sides(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Which sides of the borders of cases parts may lie on: -1 below, 1 above, and both ends where it is open."""
        if not self._switches:
            return np.empty((0, low.shape[1])), np.empty((0, low.shape[1]))
        found = Intervals(*self._borders(low, high)).negative()
        return np.where(found.false, 1.0, -1.0), np.where(found.true, -1.0, 1.0)

    def _tensors(self, ends: tuple[Array, Array]) -> list[tuple[Array, Array]]:
        """Middles and radii of M, D and E, arrays (parts, ..., size, size)."""
        low, high = ends
        with np.errstate(over="ignore", invalid="ignore"):
            middle = np.where(np.isfinite(low), low / 2 + high / 2, 0.0)
            radius = np.maximum(high - middle, middle - low) * (1 + 2 * _SLACK)
        starts = [0, *self._counts]
        return [
            (
                np.moveaxis(self.sign * middle[starts[k] : starts[k + 1]][at], -1, 0),
                np.moveaxis(radius[starts[k] : starts[k + 1]][at], -1, 0),
            )
            for k, at in enumerate(self._at)
            if starts[k] < len(low)
        ]

    def at(self, points: Array) -> Array:
        """Lower bounds of the value at points, an array (dim, points)."""
        sides = self._sides(points, points)
        middle, radius = self._tensors(self._at_points(*(np.concatenate([points, side]) for side in sides)))[0]
        return self._attained(_eigenvalues(middle), radius)

    def _attained(self, eigenvalues: Array, radius: Array) -> Array:
        spread = _norm(radius) + _SLACK * np.abs(eigenvalues).max(axis=-1)
        return np.where(np.isfinite(spread), eigenvalues[..., -1] - np.where(np.isfinite(spread), spread, 0.0), -np.inf)

    def __call__(self, low: Array, high: Array, attained: float) -> PartBounds:
        """Of parts, given their ends, arrays (dim, parts), and a value that is attained."""
        sides = np.stack(self._sides(low, high))
        open_ = sides[0] != sides[1]
        count = np.where(self.curvature & (open_.sum(axis=0) <= 4), open_.sum(axis=0), 0)
        if not count.any():
            return self._smooth(low, high, sides, attained)
        # The Hessian may jump at a border that a part meets: each choice of sides is a smooth function on the part.
        owner = np.repeat(np.arange(low.shape[1]), 2**count)
        turn = np.arange(owner.size) - np.searchsorted(owner, owner)
        sides, open_, chosen = sides[:, :, owner], open_[:, owner], count[owner] > 0
        bits = np.where((turn >> np.maximum(np.cumsum(open_, axis=0) - 1, 0)) & 1, 1.0, -1.0)
        sides = np.where(open_ & chosen, bits, sides)
        found = self._smooth(low[:, owner], high[:, owner], sides, attained)
        first = np.searchsorted(owner, np.arange(low.shape[1]))
        # Nothing of this is known to be attained, or to be monotone across the border.
        single = count == 0
        return PartBounds(
            np.maximum.reduceat(found.upper, first), np.where(single, found.attained[first], -np.inf),
            np.where(single, found.axis[first], np.argmax(high - low, axis=0)), found.faces[:, first] & single,
        )  # fmt: skip

    def _smooth(self, low: Array, high: Array, sides: Array, attained: float) -> PartBounds:
        """On one side of each border; only f and its gradient are continuous where a side is open."""
        centre = low / 2 + high / 2
        rho = (np.maximum(high - centre, centre - low) * (1 + 2 * _SLACK)).T
        ends = (np.concatenate([end, side]) for end, side in zip((low, high), sides, strict=True))
        (m, m_rad), (d, d_rad), (e, e_rad) = self._tensors(self._on_parts(*ends))
        ends = (np.concatenate([centre, side]) for side in sides)
        (c, c_rad), (s, s_rad) = self._tensors(self._at_points(*ends))
        through = np.full(low.shape[1], not self.curvature) | (sides[0] == sides[1]).all(axis=0)
        with np.errstate(all="ignore"):
            values, vectors = np.linalg.eigh(c)
            spread = _norm(m_rad)
            direct = _eigenvalues(m)[..., -1] + spread
            direct += _SLACK * (np.abs(m).max(axis=(1, 2)) * self.size + spread)
            size = np.abs(vectors)
            # N from M(c) and D on the part, or from M(c), D(c) and E on the part.
            slopes, slopes_rad = _turned(d, vectors), _turned(d_rad, size)
            first = np.einsum("pk,pkij->pij", rho, np.abs(slopes) + slopes_rad)
            steps = np.einsum("pk,pkij->pij", rho, np.abs(_turned(s, vectors)) + _turned(s_rad, size))
            bent, bent_rad = _turned(e, vectors), _turned(e_rad, size)
            most = np.abs(bent) + bent_rad
            # On the diagonal the sign counts, since t_k² ≥ 0.
            k, i = np.arange(rho.shape[1])[:, None], np.arange(self.size)
            most[:, k, k, i, i] = np.maximum(bent[:, k, k, i, i] + bent_rad[:, k, k, i, i], 0.0)
            second = steps + np.einsum("pk,pl,pklij->pij", rho / 2, rho, most)
            n = np.fmin(first, second) + _turned(c_rad, size)
            upper = np.fmin(direct, np.where(through, _compared(values, n), np.inf))
            changes = np.linalg.norm(np.abs(slopes) + slopes_rad, axis=(2, 3)) * rho
            monotone = self._monotone(values, n, (slopes, slopes_rad), (d, d_rad), attained)
        wide = high > low
        # By the width where that tells nothing: no bound, a constant matrix, or a border to be passed.
        known = np.isfinite(changes).all(axis=1) & changes.any(axis=1) & through
        axis = np.argmax(np.where(wide, np.where(known, changes.T, rho.T), -1.0), axis=0)
        grows, falls = (part & wide.T & through[:, None] for part in monotone)
        which, rows = np.argmax(grows | falls, axis=1), np.arange(len(rho))
        faces = np.stack([falls[rows, which], grows[rows, which]])
        axis = np.where(faces.any(axis=0), which, axis)
        return PartBounds(upper, self._attained(values, c_rad), axis, faces & (faces[0] != faces[1]))

    def _monotone(
        self, values: Array, n: Array, slopes: tuple[Array, Array], d: tuple[Array, Array], attained: float
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where the largest eigenvalue grows and where it falls in each variable, arrays (parts, dim)."""
        eigenvalues, spread = _eigenvalues(d[0]), _norm(d[1])
        spread = spread + _SLACK * np.abs(eigenvalues).max(axis=-1)
        definite = eigenvalues[..., 0] >= spread, eigenvalues[..., -1] <= -spread
        i = np.arange(self.size)
        off = n.copy()
        off[:, i, i] = 0.0
        slack = _SLACK * (np.abs(values).max(axis=1, keepdims=True) + abs(attained))
        room = attained - values - n[:, i, i] - slack
        size = np.where(room > 0, np.fmin(np.linalg.norm(off, axis=2) * (1 + _SLACK) / room, 1.0), 1.0)
        size[:, -1] = 1.0
        out = []
        most = np.abs(slopes[0]) + slopes[1]
        rest = np.einsum("pkij,pi,pj->pk", most, size, size) - most[..., -1, -1]
        share = np.maximum(1 - (size[:, :-1] ** 2).sum(axis=1), 0.0)[:, None]
        for sign, sure in zip((1, -1), definite, strict=True):
            least = sign * slopes[0][..., -1, -1] - slopes[1][..., -1, -1]
            slack = _SLACK * np.abs(most).sum(axis=(2, 3))
            out.append(sure | (np.maximum(least, 0.0) * share >= rest + slack) & (least > 0))
        return out[0], out[1]

    def search(self, low: Array, high: Array) -> Array:
        """Points where the value is large, an array (dim, points), by a search in float64.

        Nothing rests on it but how soon the cutting ends.
        """
        n = len(low)
        written = [entry.xreplace(self._switches) for entry in self.entries]
        entries = lambdify([self.symbols], written, [NUMPY_FUNCTIONS, "scipy", "numpy"], cse=True)

        def tops(x: Array) -> Array:
            found = np.stack([np.broadcast_to(entry, x.shape[1:]) for entry in entries(x)])[self._at[0]]
            found = np.moveaxis(found, -1, 0).astype(float)
            finite = np.isfinite(found).all(axis=(1, 2))
            found[~finite] = 0.0
            return np.where(finite, np.linalg.eigvalsh(self.sign * found)[:, -1], -np.inf)

        rng = np.random.default_rng(0)
        low, high = low[:, None], high[:, None]
        x = rng.uniform(low, high, (n, 2000))
        corners = 2 ** min(n, 9)
        x[:, :corners] = np.where((np.arange(corners) >> np.arange(n)[:, None]) & 1, high, low)
        with np.errstate(all="ignore"):
            for turn in range(16):
                best = x[:, np.argsort(-tops(x))[:20]]
                moved = best[:, rng.integers(0, 20, 400)]
                moved = moved + (high - low) * 3.0**-turn / 4 * rng.standard_normal((n, 400))
                x = np.concatenate([best, np.clip(moved, low, high)], axis=1)
            return x[:, np.argsort(-tops(x))[:3]]


def _turned(matrix: Array, by: Array) -> Array:
    """Bᵀ M B for stacks of matrices M, a B for each part."""
    by = by.reshape(len(by), *[1] * (matrix.ndim - 3), *by.shape[1:])
    return np.swapaxes(by, -1, -2) @ matrix @ by


def _eigenvalues(matrix: Array) -> Array:
    """Ascending; of zero where the matrix is not finite."""
    finite = np.isfinite(matrix).all(axis=(-1, -2), keepdims=True)
    return np.linalg.eigvalsh(np.where(finite, matrix, 0.0))


def _norm(radius: Array) -> Array:
    """The spectral norm of matrices with entries ≥ 0."""
    finite = np.isfinite(radius).all(axis=(-1, -2))
    return np.where(finite, _eigenvalues(radius)[..., -1] * (1 + _SLACK), np.inf)


def _compared(eigenvalues: Array, deviation: Array) -> Array:
    """A bound of the largest eigenvalue of diag(eigenvalues) plus a matrix with entries up to the deviation."""
    n = np.arange(eigenvalues.shape[-1])
    matrix = deviation.copy()
    matrix[:, n, n] += eigenvalues
    scale = np.abs(eigenvalues).max(axis=-1) + deviation.sum(axis=(-1, -2))
    return np.where(np.isfinite(scale), _eigenvalues(matrix)[:, -1] + _SLACK * scale, np.inf)
