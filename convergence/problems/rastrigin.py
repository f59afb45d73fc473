"""A rotated Rastrigin-like function: a lattice of local minima that no coordinate axis follows."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from convergence.problems.base import Oracle
from convergence.problems.quadratic_cosine import QuadraticCosine

__all__ = ["Rastrigin", "problem"]


class Rastrigin(QuadraticCosine):
    """f(x) = Σ_i [ y_i² + A(1 - cos 2πy_i) ] with y = Qx, Q a fixed rotation: Λ = 2 + 4π²A, minimum 0 at x = 0.

    In y it is :class:`~convergence.problems.quadratic_cosine.QuadraticCosine` with λ = 2, c = A and ω = 2π; a rotation
    changes neither the eigenvalues of the Hessian QᵀHQ nor the minimum. Λ is exact, attained at 0.

    Parameters
    ----------
    dim : int
        The dimension.
    amplitude : float
        A ≥ 0; Rastrigin's own is 10.
    radius : float
        Every coordinate of y at the default starting point.
    **oracle
        As :class:`~convergence.problems.SyntheticProblem`.

    Examples
    --------
    >>> f = Rastrigin(dim=3)
    >>> round(f.smoothness, 6), f.value(np.zeros((1, 3)))
    (41.478418, array([0.]))
    """

    def __init__(self, *, dim: int = 5, amplitude: float = 1.0, radius: float = 2.2, **oracle: Unpack[Oracle]) -> None:
        super().__init__(dim=dim, curvature=2.0, amplitude=amplitude, frequency=2 * np.pi, radius=radius, **oracle)
        self.rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((dim, dim)))[0]
        self.start = self.start @ self.rotation

    def value(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The function of y = Qx."""
        return super().value(x @ self.rotation.T)

    def gradient(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Qᵀ∇."""
        return super().gradient(x @ self.rotation.T) @ self.rotation


problem = Rastrigin
