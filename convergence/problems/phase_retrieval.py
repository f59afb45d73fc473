"""Phase retrieval on a box: a signal from the squares of its measurements, without their signs."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from convergence.problems._confined import Confined
from convergence.problems.base import Oracle

__all__ = ["PhaseRetrieval", "problem"]

Array = NDArray[np.float64]


class PhaseRetrieval(Confined):
    """F(y) = (1/4N) Σ_n ((a_n·y)² - b_n)² on ``|y_i|`` < R, with b_n = (a_n·y*)²: minimum 0 at ±y*, a saddle between.

    With t = a_n·y, ``|t|`` ≤ m_n = R‖a_n‖₁: ∇²F = (1/N) Σ (3t² - b_n) a_n a_nᵀ, whose weights are at most
    c_n = max(b_n, 3m_n² - b_n) in size, so sup ‖∇²F‖ ≤ λ_max((1/N) Σ c_n a_n a_nᵀ). In ∂_iF = (1/N) Σ (t³ - b_n t) a_n,
    ``|t³ - b_n t|`` ≤ max(``|m_n³ - b_n m_n|``, 2(b_n/3)^(3/2)). Λ follows as for
    :class:`~convergence.problems._confined.Confined`: an upper bound.

    Parameters
    ----------
    dim : int
        The dimension; the measurements are 8 · dim standard normal vectors.
    size : float
        R, at least 1: the hidden signal has coordinates between -0.5 and 0.5.
    radius : float
        The size of the default starting point, near the saddle.
    **oracle
        As :class:`~convergence.problems.SyntheticProblem`.

    Examples
    --------
    >>> f = PhaseRetrieval(dim=3)
    >>> bool(f.inner_value(-f.signal[None])[0] == 0)
    True
    """

    def __init__(self, *, dim: int = 4, size: float = 1.0, radius: float = 0.05, **oracle: Unpack[Oracle]) -> None:
        rng = np.random.default_rng(0)
        a = rng.standard_normal((8 * dim, dim))
        self.vectors, self.signal = a, np.linspace(-0.5, 0.5, dim) if dim > 1 else np.array([0.5])
        b = self.squares = (a @ self.signal) ** 2
        most = size * np.abs(a).sum(axis=1)
        weight = np.maximum(b, 3 * most**2 - b)
        steepest = np.maximum(np.abs(most**3 - b * most), 2 * (b / 3) ** 1.5)
        super().__init__(
            dim=dim, size=size, curvature=float(np.linalg.eigvalsh((a * weight[:, None]).T @ a / len(a))[-1]),
            slope=float((steepest @ np.abs(a)).max() / len(a)), minimum=0.0, start=np.full(dim, radius), **oracle,
        )  # fmt: skip

    def inner_value(self, y: Array) -> Array:
        """(1/4N) Σ ((a·y)² - b)²."""
        return (((y @ self.vectors.T) ** 2 - self.squares) ** 2).mean(axis=-1) / 4

    def inner_gradient(self, y: Array) -> Array:
        """(1/N) Σ ((a·y)² - b)(a·y) a."""
        t = y @ self.vectors.T
        return (t**2 - self.squares) * t @ self.vectors / len(self.vectors)


problem = PhaseRetrieval
