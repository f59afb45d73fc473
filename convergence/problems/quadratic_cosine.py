"""A nonconvex problem with many local minima and exact constants."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from convergence.problems.base import Oracle, SyntheticProblem, check_positive

__all__ = ["QuadraticCosine", "problem"]


class QuadraticCosine(SyntheticProblem):
    """f(x) = Σ_i [ λx_i²/2 + c(1 - cos ωx_i) ]: Λ = λ + cω², minimum 0 at x = 0, nonconvex for cω² > λ.

    The second derivative in each coordinate is λ + cω² cos ωx_i, between λ - cω² and λ + cω² and attaining both (the
    lower one only in the limit of the argument π/ω, which lies in the domain): Λ is exact when λ ≥ 0. Both summands
    are ≥ 0 and vanish at 0.

    Parameters
    ----------
    dim : int
        The dimension.
    curvature : float
        λ ≥ 0.
    amplitude, frequency : float
        c ≥ 0 and ω > 0.
    radius : float
        Every coordinate of the default starting point.
    **oracle
        As :class:`~convergence.problems.SyntheticProblem`.

    Raises
    ------
    ValueError
        If λ, c or ω is out of its range, or as :class:`~convergence.problems.SyntheticProblem`.

    Examples
    --------
    >>> f = QuadraticCosine(dim=1, curvature=0.25, amplitude=1.0, frequency=1.0)
    >>> f.smoothness, f.value(np.zeros((1, 1))), f.gradient(np.zeros((1, 1)))
    (1.25, array([0.]), array([[0.]]))
    """

    def __init__(
        self,
        *,
        dim: int = 10,
        curvature: float = 0.1,
        amplitude: float = 0.9,
        frequency: float = 1.0,
        radius: float = 3.0,
        **oracle: Unpack[Oracle],
    ) -> None:
        for name, size in (("curvature", curvature), ("amplitude", amplitude)):
            if not (np.isfinite(size) and size >= 0):
                raise ValueError(f"{name} = {size!r}: expected a finite number >= 0")
        check_positive(frequency=frequency)
        if curvature + amplitude == 0:
            raise ValueError("curvature = amplitude = 0: expected one of them to be positive")
        super().__init__(
            dim=dim, smoothness=curvature + amplitude * frequency**2, minimum=0.0, start=np.full(max(dim, 1), radius),
            **oracle,
        )  # fmt: skip
        self.curvature, self.amplitude, self.frequency = curvature, amplitude, frequency

    def value(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Σ_i [ λx_i²/2 + c(1 - cos ωx_i) ], whose second part is 2c sin²(ωx_i/2)."""
        wave = np.sin(self.frequency / 2 * x)
        return (self.curvature / 2 * x**2 + 2 * self.amplitude * wave**2).sum(axis=-1)

    def gradient(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """λx_i + cω sin ωx_i, the sine 2t/(1 + t²) with t = tan ωx_i/2, which NumPy has four times as fast."""
        tangent = np.tan(self.frequency / 2 * x)
        return self.curvature * x + 2 * self.amplitude * self.frequency * tangent / (1 + tangent**2)


problem = QuadraticCosine
