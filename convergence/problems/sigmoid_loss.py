"""Classification by the sigmoid loss, the smooth form of counting errors."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.problems._finite_sum import LinearModel, example_data, falling
from convergence.problems.base import Oracle

__all__ = ["SigmoidLoss", "problem"]

Array = NDArray[np.float64]

STEEPEST = float(1 / (6 * np.sqrt(3)))
"""The greatest s'', at t = log(2 + √3) of s(-t)."""


class SigmoidLoss(LinearModel):
    """f(x) = (1/N) Σ s(-y_n a_n·x), s(t) = 1/(1 + e^(-t)), labels y_n = ±1.

    With s' = s(1 - s): ``|ℓ'|`` ≤ 1/4, and s'' = s(1 - s)(1 - 2s) is greatest at s = (1 - 1/√3)/2: ``|ℓ''|`` ≤ 1/(6√3).
    So Λ ≤ λ_max(AᵀA/N)/(6√3). In terms of AᵀA no better bound exists: it is attained where the margins can all be
    log(2 + √3), as those of equal samples or of independent ones.
    0 is a lower bound of f, approached where the samples are separable.

    Parameters
    ----------
    features, labels : arrays of shape (N, dim) and (N,), optional
        Samples and labels ±1; by default 64 normal samples in 5 dimensions.
    batch : int, optional
        Mini-batches as noise.
    **oracle
        As :class:`~convergence.problems.SyntheticProblem`.

    Examples
    --------
    >>> f = SigmoidLoss()
    >>> f.value(np.zeros((1, 5)))
    array([0.5])
    """

    tightness = 0.71
    attains_minimum = False

    def __init__(
        self, *, features: ArrayLike | None = None, labels: ArrayLike | None = None, batch: int | None = None,
        **oracle: Unpack[Oracle],
    ) -> None:  # fmt: skip
        self.signed = signed_features(features, labels)
        super().__init__(features=self.signed, slope=0.25, curvature=STEEPEST, minimum=0.0, batch=batch, **oracle)

    def losses(self, margins: Array) -> Array:
        """s(-t)."""
        return falling(margins)

    def slopes(self, margins: Array, rows: NDArray[np.int64] | slice = slice(None)) -> Array:
        """-s(1 - s)."""
        s = falling(margins)
        return s * (s - 1)


def signed_features(features: ArrayLike | None, labels: ArrayLike | None) -> Array:
    """y_n a_n, after checking that the labels are ±1.

    >>> signed_features([[1.0, 2.0], [3.0, 4.0]], [1, -1])
    array([[ 1.,  2.],
           [-3., -4.]])
    """
    if (features is None) != (labels is None):
        raise ValueError("expected both features and labels, or neither")
    given: Any = example_data() if features is None else (features, labels)
    a, y = (np.asarray(part, dtype=np.float64) for part in given)
    if a.ndim != 2 or y.shape != a.shape[:1] or not np.isin(y, (-1, 1)).all():
        raise ValueError(f"features have shape {a.shape}, labels {y.shape}: expected (N, dim) and N labels -1 or 1")
    return a * y[:, None]


problem = SigmoidLoss
