"""Functions of a bounded set, made into smooth functions of the whole space."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from convergence.problems.base import Oracle, SyntheticProblem, check_positive

__all__ = ["Confined"]

Array = NDArray[np.float64]


class Confined(SyntheticProblem):
    """f(x) = F(y), y_i = R tanh(x_i/R), for a function F on the box ``|y_i|`` < R.

    SGD then cannot leave the box, and f is smooth everywhere: with φ(u) = R tanh(u/R), 0 < φ' ≤ 1 and
    ``|φ''|`` ≤ 4/(3√3 R) (2t(1 - t²)/R at t = 1/√3). So ∇²f = φ'∇²Fφ' + diag(∂F φ'') has a norm of at most
    Λ = sup ‖∇²F‖ + 4/(3√3 R) max_i sup ``|∂_iF|``, both over the box. An upper bound.

    Parameters
    ----------
    dim : int
        The dimension.
    size : float
        R > 0.
    curvature, slope : float
        sup ‖∇²F‖ and max_i sup ``|∂_iF|`` over the box.
    minimum : float
        inf F.
    start : array (dim,)
        x₀.
    **oracle
        As :class:`~convergence.problems.SyntheticProblem`.
    """

    def __init__(
        self, *, dim: int, size: float, curvature: float, slope: float, minimum: float, start: Array,
        **oracle: Unpack[Oracle],
    ) -> None:  # fmt: skip
        check_positive(size=size)
        smoothness = curvature + 4 / (3 * np.sqrt(3)) * slope / size
        super().__init__(dim=dim, smoothness=smoothness, minimum=minimum, start=start, **oracle)
        self.size = size

    def inner_value(self, y: Array) -> Array:
        """F."""
        raise NotImplementedError

    def inner_gradient(self, y: Array) -> Array:
        """∇F."""
        raise NotImplementedError

    def value(self, x: Array) -> Array:
        """F(y)."""
        return self.inner_value(self.size * np.tanh(x / self.size))

    def gradient(self, x: Array) -> Array:
        """φ'(x) ∇F(y)."""
        t = np.tanh(x / self.size)
        return (1 - t**2) * self.inner_gradient(self.size * t)
