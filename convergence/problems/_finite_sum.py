"""Means of a loss over samples, with mini-batches as their noise."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.problems.base import Oracle, SyntheticProblem
from convergence.problems.noise_models import Streams

__all__ = ["LinearModel", "example_data", "falling"]

Array = NDArray[np.float64]


def example_data() -> tuple[Array, Array]:
    """Standard normal features, and labels ±1 of a linear rule with a tenth of them flipped.

    >>> features, labels = example_data()
    >>> features.shape, sorted(set(labels.tolist()))
    ((64, 5), [-1.0, 1.0])
    """
    rng = np.random.default_rng(0)
    features = rng.standard_normal((64, 5))
    labels = np.where(features @ rng.standard_normal(5) > 0, 1.0, -1.0)
    labels[:6] *= -1
    return features, labels


def falling(t: Array) -> Array:
    """1/(1 + e^t), which takes NumPy a third of the time of SciPy's expit.

    >>> falling(np.array([-800.0, 0.0, 800.0])).round(9)
    array([1. , 0.5, 0. ])
    """
    out = np.exp(np.minimum(t, 700.0))  # further on e^t is infinite, and the value nothing
    out += 1.0
    return np.divide(1.0, out, out=out)


class LinearModel(SyntheticProblem):
    """f(x) = (1/N) Σ_n ℓ_n(a_n·x) + r(x), for a loss with bounded ℓ' and ℓ''.

    The Hessian of the mean is (1/N) Σ ℓ_n'' a_n a_nᵀ, so ``|ℓ''|`` ≤ c gives Λ ≤ c λ_max(AᵀA/N) + Λ_r. A mini-batch of
    B samples, drawn with replacement, has the variance (1/B)[(1/N) Σ ‖ℓ_n' a_n‖² - ‖(1/N) Σ ℓ_n' a_n‖²], so
    ``|ℓ'|`` ≤ s gives σ² ≤ (s²/B)(1/N) Σ ‖a_n‖². Both are upper bounds.

    Parameters
    ----------
    features : array of shape (N, dim)
        a_n.
    slope, curvature : float
        s and c.
    extra : float
        Λ_r.
    batch : int, optional
        B: mini-batches are then the noise.
    minimum, start
        As :class:`~convergence.problems.SyntheticProblem`.
    **oracle
        The same; ``noise`` and ``noise_model`` go without ``batch`` only.

    Raises
    ------
    ValueError
        If the features are not a finite matrix, or B < 1, or noise is given besides mini-batches.
    """

    def __init__(
        self, *, features: ArrayLike, slope: float, curvature: float, minimum: float, extra: float = 0.0,
        batch: int | None = None, start: Array | None = None, **oracle: Unpack[Oracle],
    ) -> None:  # fmt: skip
        self.features = np.asarray(features, dtype=np.float64)
        if self.features.ndim != 2 or not self.features.size or not np.isfinite(self.features).all():
            raise ValueError(f"features have shape {self.features.shape}: expected a finite matrix (N, dim)")
        if batch is not None and (batch < 1 or oracle.get("noise")):
            raise ValueError(
                f"batch = {batch!r}, noise = {oracle.get('noise', 0)!r}: expected B >= 1 and no other noise"
            )
        samples, dim = self.features.shape
        super().__init__(
            dim=dim, smoothness=curvature * float(np.linalg.norm(self.features, 2)) ** 2 / samples + extra,
            minimum=minimum, start=np.zeros(dim) if start is None else start, **oracle,
        )  # fmt: skip
        self.batch = batch
        if batch is not None:
            self.noise = slope**2 / batch * float((self.features**2).sum()) / samples

    def losses(self, margins: Array) -> Array:
        """ℓ_n at t_n, an array (..., N)."""
        raise NotImplementedError

    def slopes(self, margins: Array, rows: NDArray[np.int64] | slice = slice(None)) -> Array:
        """ℓ_n' at t_n, for all samples or those of the given rows, an array (..., N) or of the shape of rows."""
        raise NotImplementedError

    def value(self, x: Array) -> Array:
        """(1/N) Σ ℓ_n(a_n·x)."""
        return self.losses(x @ self.features.T).mean(axis=-1)

    def gradient(self, x: Array) -> Array:
        """(1/N) Σ ℓ_n'(a_n·x) a_n."""
        return self.slopes(x @ self.features.T) @ self.features / len(self.features)

    def batch_noise(self, size: int, x: Array, gradient: Array, rng: Streams, out: Array) -> None:
        """The mean over a mini-batch less that over all samples."""
        if not isinstance(rng, np.random.Generator):
            for stream, *parts in zip(rng, x, gradient, out, strict=True):
                self.batch_noise(size, parts[0], parts[1], stream, parts[2])
            return
        rows = rng.integers(0, len(self.features), (x.shape[0], size))
        chosen = self.features[rows]
        slopes = self.slopes(np.einsum("rbd,rd->rb", chosen, x), rows)
        out[...] = np.einsum("rb,rbd->rd", slopes, chosen) / size
        # The regulariser, if any, belongs to every sample: it cancels.
        out -= self.slopes(x @ self.features.T) @ self.features / len(self.features)
