"""Two wells in every coordinate, with quadratic walls."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from convergence.problems.base import Oracle, SyntheticProblem, check_positive

__all__ = ["DoubleWell", "problem"]


class DoubleWell(SyntheticProblem):
    """f(x) = Σ_i [ λx_i²/2 + c exp(-x_i²/2) ] with c > λ: a barrier at 0 between wells at x_i² = 2 log(c/λ).

    The second derivative is λ + c(s - 1)exp(-s/2) at s = x_i². The second term has its least value -c at s = 0, its
    greatest 2c e^(-3/2) at s = 3, and none between them is left out: Λ = max(λ + 2c e^(-3/2), c - λ), attained. The
    first derivative x(λ - c exp(-x²/2)) vanishes at 0 and in the wells, so inf f = dim · λ(1 + log(c/λ)).

    Parameters
    ----------
    dim : int
        The dimension.
    curvature, height : float
        λ > 0 and c > λ.
    radius : float
        Every coordinate of the default starting point; 0 is the top of the barrier.
    **oracle
        As :class:`~convergence.problems.SyntheticProblem`.

    Raises
    ------
    ValueError
        If not c > λ > 0.

    Examples
    --------
    >>> f = DoubleWell(dim=1, curvature=1.0, height=np.e)
    >>> f.minimum, f.value(np.array([[np.sqrt(2.0)]]))
    (2.0, array([2.]))
    """

    def __init__(
        self, *, dim: int = 5, curvature: float = 0.5, height: float = 2.0, radius: float = 0.1,
        **oracle: Unpack[Oracle],
    ) -> None:  # fmt: skip
        check_positive(curvature=curvature, height=height)
        if height <= curvature:
            raise ValueError(
                f"height = {height!r}: expected more than curvature = {curvature!r}, else there is one well"
            )
        super().__init__(
            dim=dim, smoothness=max(curvature + 2 * height * np.exp(-1.5), height - curvature),
            minimum=dim * curvature * (1 + float(np.log(height / curvature))), start=np.full(max(dim, 1), radius),
            **oracle,
        )  # fmt: skip
        self.curvature, self.height = curvature, height

    def value(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Σ_i [ λx_i²/2 + c exp(-x_i²/2) ]."""
        half = x**2 / 2
        return (self.curvature * half + self.height * np.exp(-half)).sum(axis=-1)

    def gradient(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """x_i(λ - c exp(-x_i²/2))."""
        return x * (self.curvature - self.height * np.exp(-(x**2) / 2))


problem = DoubleWell
