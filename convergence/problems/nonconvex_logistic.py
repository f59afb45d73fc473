"""Logistic regression with a nonconvex regulariser that spares large weights."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.problems._finite_sum import LinearModel, falling
from convergence.problems.base import Oracle
from convergence.problems.sigmoid_loss import signed_features

__all__ = ["NonconvexLogistic", "problem"]

Array = NDArray[np.float64]


class NonconvexLogistic(LinearModel):
    """f(x) = (1/N) Σ log(1 + exp(-y_n a_n·x)) + λ Σ_i x_i²/(1 + x_i²), labels y_n = ±1.

    The loss has ``|ℓ'|`` ≤ 1 and 0 ≤ ℓ'' = s(1 - s) ≤ 1/4. The regulariser has the second derivative
    2λ(1 - 3u)/(1 + u)³ at u = x_i², between -λ/2 (u = 1) and 2λ (u = 0). So
    Λ = λ_max(AᵀA/N)/4 + 2λ, exact: attained at x = 0. Both terms are positive: 0 is a lower bound of f.

    Parameters
    ----------
    features, labels : arrays of shape (N, dim) and (N,), optional
        Samples and labels ±1; by default 64 normal samples in 5 dimensions.
    weight : float
        λ ≥ 0.
    batch : int, optional
        Mini-batches as noise.
    **oracle
        As :class:`~convergence.problems.SyntheticProblem`.

    Examples
    --------
    >>> f = NonconvexLogistic()
    >>> f.value(np.zeros((1, 5)))
    array([0.69314718])
    """

    attains_minimum = False

    def __init__(
        self, *, features: ArrayLike | None = None, labels: ArrayLike | None = None, weight: float = 0.1,
        batch: int | None = None, **oracle: Unpack[Oracle],
    ) -> None:  # fmt: skip
        if not (np.isfinite(weight) and weight >= 0):
            raise ValueError(f"weight = {weight!r}: expected a finite number >= 0")
        super().__init__(
            features=signed_features(features, labels), slope=1.0, curvature=0.25, minimum=0.0, extra=2 * weight,
            batch=batch, **oracle,
        )  # fmt: skip
        self.weight = weight

    def losses(self, margins: Array) -> Array:
        """log(1 + e^(-t))."""
        return np.logaddexp(0.0, -margins)

    def slopes(self, margins: Array, rows: NDArray[np.int64] | slice = slice(None)) -> Array:
        """-s(-t)."""
        return -falling(margins)

    def value(self, x: Array) -> Array:
        """Loss and regulariser."""
        return super().value(x) + self.weight * (x**2 / (1 + x**2)).sum(axis=-1)

    def gradient(self, x: Array) -> Array:
        """The loss's gradient and 2λx_i/(1 + x_i²)²."""
        return super().gradient(x) + 2 * self.weight * x / (1 + x**2) ** 2


problem = NonconvexLogistic
