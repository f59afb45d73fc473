"""Matrix factorisation on a box."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from convergence.problems._confined import Confined
from convergence.problems.base import Oracle, check_positive

__all__ = ["MatrixFactorisation", "problem"]

Array = NDArray[np.float64]


class MatrixFactorisation(Confined):
    """F(U, V) = ½‖UVᵀ - M‖² on entries below R, with M = U*V*ᵀ: minimum 0 at a whole orbit, a saddle at 0.

    With y = Rt and w = 1 - t² for each entry (see :class:`~convergence.problems._confined.Confined`), P' = w_U P and
    Q' = w_V Q (entry by entry), the second derivative of f along (P, Q), ‖P‖² + ‖Q‖² = 1, is the part of ½‖UVᵀ‖²,

        ‖P'Vᵀ‖² + ‖UQ'ᵀ‖² + 2⟨P'Vᵀ, UQ'ᵀ⟩ + 2⟨UVᵀ, P'Q'ᵀ⟩ - (2/R) Σ t w (P² UVᵀV + Q² VUᵀU),

    and that of -⟨UVᵀ, M⟩, at most ‖M‖ in spectral norm from -2⟨M, P'Q'ᵀ⟩ and 4/(3√3) times the largest absolute row or
    column sum of M from the diagonal.

    Rank 1: the first part is Σ p_i² w_i(1 - 3t_i²)‖v‖² + Σ q_j² w_j(1 - 3s_j²)‖u‖² + 4XY, X = Σ p_i w_i u_i and
    X² ≤ mR² Σ p_i² w_i² t_i², Y alike. By 4XY ≤ 2X² + 2Y² the coefficient of p_i² is, with q = t_i²,
    (1 - q)[(1 - 3q)‖v‖² + 2mR² q(1 - q)]. For q ≥ 1/3 it is at most 2mR² q(1 - q)² ≤ 8mR²/27. For q < 1/3 it grows with
    ‖v‖²; at ‖v‖² = mR²/2 it is (mR²/2)(1 - 5q² + 4q³) ≤ mR²/2, and a further growth of ‖v‖² adds at most itself. So it
    is at most max(‖v‖², mR²/2) ≤ max(m, n)R²; below, it is at least -(n/3 + 8m/27)R². Hence
    Λ = max(m, n)R² + ‖M‖ + 4/(3√3) max(‖M‖_1, ‖M‖_∞), of which max(m, n)R² is attained (u = 0, v in a corner).

    Rank r > 1: ‖V‖² ≤ nrR²; the two products are tr(AB) and tr(ABᵀ) with A = P'ᵀU, B = Q'ᵀV, of
    ‖A‖² ≤ mR²(4/27 + r - 1)‖P‖²; of the diagonal, entries of the same column lower the form, others add at most
    4(r - 1)nR²/(3√3). So the first part is at most R²[r max(m, n) + 2√(mn)(4/27 + r - 1) + 4(r - 1)max(m, n)/(3√3)],
    an upper bound of its size on the lower side too: there the squares are at least 0 and the diagonal at least
    -(½ + 4(r - 1)/(3√3))max(m, n)R².

    Parameters
    ----------
    rows, columns, rank : int
        m, n and r.
    size : float
        R, at least 1: the hidden factors have entries between -0.5 and 0.5.
    radius : float
        The size of the entries at the default starting point, near the saddle.
    **oracle
        As :class:`~convergence.problems.SyntheticProblem`.

    Examples
    --------
    >>> f = MatrixFactorisation(rows=3, columns=2, rank=1)
    >>> f.dim, f.inner_value(f.factors[None])
    (5, array([0.]))
    """

    tightness = 0.79

    def __init__(
        self, *, rows: int = 3, columns: int = 3, rank: int = 1, size: float = 1.0, radius: float = 0.1,
        **oracle: Unpack[Oracle],
    ) -> None:  # fmt: skip
        if min(rows, columns, rank) < 1:
            raise ValueError(f"rows = {rows!r}, columns = {columns!r}, rank = {rank!r}: expected at least 1 of each")
        m, n, r = self.shape = rows, columns, rank
        rng = np.random.default_rng(0)
        self.factors = rng.uniform(-0.5, 0.5, (m + n) * r)
        u, v = self.split(self.factors)
        target = self.target = u @ v.T
        check_positive(size=size)
        steep, longest = 4 / (3 * np.sqrt(3)), max(m, n)
        quartic = float(longest)
        if r > 1:
            quartic = r * longest + 2 * np.sqrt(m * n) * (4 / 27 + r - 1) + steep * (r - 1) * longest
        sums = max(float(np.linalg.norm(target, order)) for order in (1, np.inf))
        super().__init__(
            dim=(m + n) * r, size=size,
            smoothness=quartic * size**2 + float(np.linalg.norm(target, 2)) + steep * sums, minimum=0.0,
            start=radius * rng.choice([-1.0, 1.0], (m + n) * r), **oracle,
        )  # fmt: skip

    def split(self, y: Array) -> tuple[Array, Array]:
        """U (..., m, r) and V (..., n, r)."""
        m, n, r = self.shape
        return y[..., : m * r].reshape(*y.shape[:-1], m, r), y[..., m * r :].reshape(*y.shape[:-1], n, r)

    def inner_value(self, y: Array) -> Array:
        """½‖UVᵀ - M‖²."""
        u, v = self.split(y)
        return ((u @ v.swapaxes(-1, -2) - self.target) ** 2).sum(axis=(-2, -1)) / 2

    def inner_gradient(self, y: Array) -> Array:
        """(UVᵀ - M)V and (UVᵀ - M)ᵀU."""
        u, v = self.split(y)
        error = u @ v.swapaxes(-1, -2) - self.target
        parts = error @ v, error.swapaxes(-1, -2) @ u
        return np.concatenate([part.reshape(*y.shape[:-1], -1) for part in parts], axis=-1)


problem = MatrixFactorisation
