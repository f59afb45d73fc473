"""The extremal problem: on it the sharp bound is attained."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from convergence.problems.base import Oracle, SyntheticProblem, check_positive

__all__ = ["Quadratic", "problem"]


class Quadratic(SyntheticProblem):
    """f(x) = Λ‖x‖²/2: Λ-smooth, minimum 0.

    With noise orthogonal to the gradient and bias along it, ‖∇f‖ follows a² ← ((1-h)a ± hζ)² + h²σ² exactly, whose
    fixed point is the floor of :func:`convergence.sharp_bound`: bias against the gradient for h ≤ 1, along it for
    h > 1, where each step overshoots the minimum.

    Parameters
    ----------
    dim : int
        The dimension, at least 2 for the default noise.
    smoothness : float
        Λ > 0.
    radius : float
        The norm of the default starting point, which lies on the first axis.
    **oracle
        As :class:`~convergence.problems.SyntheticProblem`; by default the noise is "orthogonal" and the bias
        "against_gradient".

    Raises
    ------
    ValueError
        If Λ is not positive, or as :class:`~convergence.problems.SyntheticProblem`.

    Examples
    --------
    >>> f = Quadratic(dim=2, smoothness=2.0)
    >>> f.value(np.array([[1.0, 0.0]])), f.gradient(np.array([[1.0, 0.0]]))
    (array([1.]), array([[2., 0.]]))
    """

    noise_model, bias_model = "orthogonal", "against_gradient"

    def __init__(self, *, dim: int = 2, smoothness: float = 1.0, radius: float = 1.0, **oracle: Unpack[Oracle]) -> None:
        check_positive(smoothness=smoothness)
        start = np.zeros(max(dim, 1))
        start[0] = radius
        super().__init__(dim=dim, smoothness=smoothness, minimum=0.0, start=start, **oracle)

    def value(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Λ‖x‖²/2."""
        return self.smoothness / 2 * np.einsum("...i,...i->...", x, x)

    def gradient(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Λx."""
        return self.smoothness * x


problem = Quadratic
