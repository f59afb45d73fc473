"""Phase retrieval on a box: a signal from the squares of its measurements, without their signs."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from convergence.problems._bernstein import fits, largest_norm
from convergence.problems._confined import Confined
from convergence.problems.base import Oracle, check_positive

__all__ = ["PhaseRetrieval", "problem"]

Array = NDArray[np.float64]


class PhaseRetrieval(Confined):
    """F(y) = (1/4N) Σ_n ((a_n·y)² - b_n)² on ``|y_i|`` < R, with b_n = (a_n·y*)²: minimum 0 at ±y*, a saddle between.

    With s = a_n·y, y = Rt and w = 1 - t² (see :class:`~convergence.problems._confined.Confined`),

        ∇²f = (1/N) Σ [(3s² - b_n) diag(w) a_n a_nᵀ diag(w) - 2(s³ - b_n s) diag(a_n t w)/R],

    a matrix of polynomials of degree 6 in each t_i. In up to five dimensions Λ is a certified bound of its norm over
    the cube, within two percent of a value that is attained (:func:`~convergence.problems._bernstein.largest_norm`).
    In more it is an upper bound, far from sharp: with ``|s|`` ≤ m_n = R‖a_n‖₁ the weights 3s² - b_n are at most
    c_n = max(b_n, 3m_n² - b_n) in size and ``|s³ - b_n s|`` at most e_n = max(``|m_n³ - b_n m_n|``, 2(b_n/3)^(3/2)), so
    Λ = λ_max((1/N) Σ c_n a_n a_nᵀ) + 4/(3√3 R) max_i (1/N) Σ e_n ``|a_ni|``.

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

    tightness = 0.98

    def __init__(self, *, dim: int = 4, size: float = 1.0, radius: float = 0.05, **oracle: Unpack[Oracle]) -> None:
        rng = np.random.default_rng(0)
        a = rng.standard_normal((8 * dim, dim))
        self.vectors, self.signal = a, np.linspace(-0.5, 0.5, dim) if dim > 1 else np.array([0.5])
        self.squares = (a @ self.signal) ** 2
        check_positive(size=size)
        smoothness = self._sharp(size) if fits(dim, 6) else self._rough(size)
        super().__init__(dim=dim, size=size, smoothness=smoothness, minimum=0.0, start=np.full(dim, radius), **oracle)

    def _sharp(self, size: float) -> float:
        a, b = self.vectors, self.squares
        axes = np.arange(a.shape[1])

        def second(t: Array) -> Array:
            s, w = size * t @ a.T, 1 - t**2
            out = w[:, :, None] * np.einsum("gn,ni,nj->gij", 3 * s**2 - b, a, a, optimize=True) * w[:, None, :]
            out[:, axes, axes] -= 2 * t * w / size * ((s**2 - b) * s @ a)
            return out / len(a)

        return largest_norm(second, len(axes), 6)[0]

    def _rough(self, size: float) -> float:
        a, b = self.vectors, self.squares
        most = size * np.abs(a).sum(axis=1)
        weight = np.maximum(b, 3 * most**2 - b)
        steepest = np.maximum(np.abs(most**3 - b * most), 2 * (b / 3) ** 1.5)
        curvature = np.linalg.eigvalsh((a * weight[:, None]).T @ a / len(a))[-1]
        return float(curvature + 4 / (3 * np.sqrt(3)) / size * (steepest @ np.abs(a)).max() / len(a))

    def inner_value(self, y: Array) -> Array:
        """(1/4N) Σ ((a·y)² - b)²."""
        return (((y @ self.vectors.T) ** 2 - self.squares) ** 2).mean(axis=-1) / 4

    def inner_gradient(self, y: Array) -> Array:
        """(1/N) Σ ((a·y)² - b)(a·y) a."""
        t = y @ self.vectors.T
        return (t**2 - self.squares) * t @ self.vectors / len(self.vectors)


problem = PhaseRetrieval
