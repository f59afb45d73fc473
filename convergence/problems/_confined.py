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

    SGD then cannot leave the box, and f is smooth everywhere: with φ(u) = R tanh(u/R) and t = tanh(x/R), φ' = 1 - t²
    and φ'' = -2t(1 - t²)/R, of size 4/(3√3 R) at most (t = 1/√3). So ∇²f = φ'∇²Fφ' + diag(∂F φ''), both at y = Rt.
    Where F is curved most, in the corners, φ' is 0: sup ‖∇²F‖ says little, and each F bounds the sum itself.

    Parameters
    ----------
    dim : int
        The dimension.
    size : float
        R > 0.
    smoothness : float
        Λ.
    minimum : float
        inf F.
    start : array (dim,)
        x₀.
    **oracle
        As :class:`~convergence.problems.SyntheticProblem`.
    """

    def __init__(
        self, *, dim: int, size: float, smoothness: float, minimum: float, start: Array, **oracle: Unpack[Oracle],
    ) -> None:  # fmt: skip
        check_positive(size=size)
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
