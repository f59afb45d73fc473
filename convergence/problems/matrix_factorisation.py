"""Matrix factorisation on a box."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from convergence.problems._confined import Confined
from convergence.problems.base import Oracle

__all__ = ["MatrixFactorisation", "problem"]

Array = NDArray[np.float64]


class MatrixFactorisation(Confined):
    """F(U, V) = ½‖UVᵀ - M‖² on entries below R, with M = U*V*ᵀ: minimum 0 at a whole orbit, a saddle at 0.

    Along (P, Q) with ‖P‖² + ‖Q‖² = 1 the second derivative is ‖PVᵀ + UQᵀ‖² + 2⟨UVᵀ - M, PQᵀ⟩, at most
    ‖U‖² + ‖V‖² + ‖UVᵀ - M‖ in spectral norms (2‖P‖‖Q‖ ≤ 1), and at least the negative of the last. On the box
    ‖U‖² ≤ mrR² and ‖V‖² ≤ nrR² for m × r and n × r factors, so sup ‖∇²F‖ ≤ rR²(m + n + √(mn)) + ‖M‖. An entry of
    (UVᵀ - M)V is at most n(rR² + max|M|)R in size, one of the other gradient the same with m. Λ follows as for
    :class:`~convergence.problems._confined.Confined`: an upper bound.

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
        super().__init__(
            dim=(m + n) * r, size=size,
            curvature=r * size**2 * (m + n + np.sqrt(m * n)) + float(np.linalg.norm(target, 2)),
            slope=max(m, n) * (r * size**2 + float(np.abs(target).max())) * size, minimum=0.0,
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
