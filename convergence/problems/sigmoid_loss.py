"""Classification by the sigmoid loss, the smooth form of counting errors."""

from __future__ import annotations

from functools import cache
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from convergence.problems._finite_sum import LinearModel, example_data
from convergence.problems._maximum import PartBounds, certified_maximum
from convergence.problems.base import Oracle

__all__ = ["SigmoidLoss", "problem"]

Array = NDArray[np.float64]

STEEPEST = float(1 / (6 * np.sqrt(3)))
"""The greatest s'', at t = log(2 + √3) of s(-t)."""
PEAK = float(np.log(2 + np.sqrt(3)))
PARTS = 200_000_000
"""Numbers in the matrices of all parts that are looked at: about a second."""


class SigmoidLoss(LinearModel):
    """f(x) = (1/N) Σ s(-y_n a_n·x), s(t) = 1/(1 + e^(-t)), labels y_n = ±1.

    With s' = s(1 - s): ``|ℓ'|`` ≤ 1/4, and s'' = s(1 - s)(1 - 2s) is greatest at s = (1 - 1/√3)/2: ``|ℓ''|`` ≤ 1/(6√3).
    So Λ ≤ λ_max(AᵀA/N)/(6√3). In terms of AᵀA no better bound exists: it is attained where the margins can all be
    log(2 + √3), as those of equal samples or of independent ones. Few samples in many directions cannot; in up to six
    dimensions Λ is a certified bound for the data, by branch and bound (:func:`largest_curvature`).
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

    def __init__(
        self, *, features: ArrayLike | None = None, labels: ArrayLike | None = None, batch: int | None = None,
        **oracle: Unpack[Oracle],
    ) -> None:  # fmt: skip
        self.signed = signed_features(features, labels)
        super().__init__(features=self.signed, slope=0.25, curvature=STEEPEST, minimum=0.0, batch=batch, **oracle)
        if self.dim <= 6:
            self.smoothness = min(self.smoothness, largest_curvature(self.signed.tobytes(), self.dim))

    def losses(self, margins: Array) -> Array:
        """s(-t)."""
        return expit(-margins)

    def slopes(self, margins: Array, rows: NDArray[np.int64] | slice = slice(None)) -> Array:
        """-s(1 - s)."""
        s = expit(-margins)
        return s * (s - 1)


@cache
def largest_curvature(signed: bytes, dim: int) -> float:
    """An upper bound of ‖∇²f‖ over all x, for the signed samples as the bytes of a matrix (N, dim).

    ∇²f = (1/N) Σ w(t_n) a_n a_nᵀ with t_n = a_n·x and w(t) = s''(-t), which is odd: ∇²f(-x) = -∇²f(x), and the norm's
    supremum is that of the largest eigenvalue. Write x = ru with max ``|u_i|`` = 1. On a part of a face of that cube
    and an interval of r = 2q/(1-q), q in [0, 1], each t_n lies in an interval, and w is at most its maximum there:
    the matrix with these weights is no smaller in the order of quadratic forms, for each a_n a_nᵀ is semidefinite. On
    an interval without log(2 + √3) the maximum of w is at an end, for w falls, grows and falls.

    The products a_n·u are widened by their rounding. Weights and eigenvalues are computed in float64:
    ``|w'|`` ≤ 1/8 and ``|t w'(t)|`` < 1, so that their errors are far below the slack, 10⁻⁹ of the bound
    without branching.

    >>> bool(STEEPEST <= largest_curvature(np.array([[1.0]]).tobytes(), 1) <= 1.03 * STEEPEST)
    True
    """
    a = np.frombuffer(signed).reshape(-1, dim)
    squares = (a[:, :, None] * a[:, None, :]).reshape(len(a), -1) / len(a)
    slack = 1e-9 * STEEPEST * float(np.linalg.norm(a, 2)) ** 2 / len(a)

    def weights(t: Array) -> Array:
        s = expit(t)
        return s * (1 - s) * (2 * s - 1)

    def tops(w: Array) -> Array:
        return np.asarray(np.linalg.eigvalsh((w @ squares).reshape(-1, dim, dim))[:, -1], dtype=np.float64)

    others = np.array([[i for i in range(dim) if i != side] for side in range(dim)], dtype=np.int64).reshape(dim, -1)

    def bounds(low: Array, high: Array, attained: float) -> PartBounds:
        # The first row numbers the faces, the second is q.
        side, rows = low[0].astype(np.int64) // 2, np.arange(low.shape[1])
        ends = np.empty((2, rows.size, dim))
        for u, end in zip(ends, (low, high), strict=True):
            u[rows, side] = 1 - 2 * (low[0] % 2)
            u[rows[:, None], others[side]] = end[2:].T
        middle, half = ends.mean(axis=0) @ a.T, (ends[1] - ends[0]) / 2 @ np.abs(a).T
        # Where r is large the rounding of a·u counts.
        half += 1e-14 * np.abs(a).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            # r is infinite at most at its upper end, and then not multiplied by zero.
            near, far = (2 * q[1, :, None] / (1 - q[1, :, None]) for q in (low, high))
            least, most = middle - half, middle + half
            least = np.where(least < 0, far * least, near * least)
            most = np.where(most > 0, far * most, near * most)
        peak = (least <= PEAK) & (most >= PEAK)
        upper = tops(np.where(peak, STEEPEST, np.maximum(weights(least), weights(most)))) + slack
        q = (low[1] + high[1]) / 2
        value = tops(weights((2 * q / (1 - q))[:, None] * middle)) - slack
        widths = high - low
        widths[1] *= 2
        return PartBounds(upper, value, np.argmax(widths, axis=0), np.zeros((2, rows.size), dtype=bool))

    rng = np.random.default_rng(0)
    x, attained = 3 * rng.standard_normal((4000, dim)), 0.0
    for turn in range(25):
        found = tops(weights(x @ a.T))
        attained = max(attained, float(found.max()) - slack)
        best = x[np.argsort(-found)[:40]]
        x = np.concatenate([best, best[rng.integers(0, 40, 1500)] + 3 * 0.75**turn * rng.standard_normal((1500, dim))])
    low, high = -np.ones((dim + 1, 2 * dim)), np.ones((dim + 1, 2 * dim))
    low[0] = high[0] = np.arange(2 * dim)
    low[1] = 0.0
    budget = PARTS // (len(a) * dim**2) + 1
    return certified_maximum(bounds, low, high, tolerance=0.02, budget=budget, attained=attained, batch=2048)[0]


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
