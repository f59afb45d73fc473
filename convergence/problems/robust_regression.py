"""Regression with losses that forget outliers (Welsch, Cauchy): nonconvex, with bounded slopes."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.problems._finite_sum import LinearModel, example_data
from convergence.problems.base import Oracle, check_positive

__all__ = ["RobustRegression", "problem"]

Array = NDArray[np.float64]


class RobustRegression(LinearModel):
    """f(x) = (1/N) Σ ρ(a_n·x - b_n), Welsch's ρ = (c²/2)(1 - exp(-r²/c²)) or Cauchy's ρ = (c²/2) log(1 + r²/c²).

    Welsch, u = r²/c²: ρ' = r e^(-u), greatest at u = ½, c/√(2e); ρ'' = (1 - 2u) e^(-u), between -2e^(-3/2) (u = 3/2)
    and 1 (u = 0). Cauchy: ρ' = r/(1 + u), greatest at u = 1, c/2; ρ'' = (1 - u)/(1 + u)², between -1/8 (u = 3) and 1.
    So Λ = λ_max(AᵀA/N), exact where the default targets are used: b = Ax* makes all residuals vanish at x*, and the
    minimum is 0. Other targets leave upper bounds, and the lower bound 0 of the minimum.

    Parameters
    ----------
    loss : {"welsch", "cauchy"}
        ρ.
    scale : float
        c > 0.
    features, targets : arrays of shape (N, dim) and (N,), optional
        A and b; by default 64 standard normal samples in 5 dimensions and a linear rule without error.
    batch : int, optional
        Mini-batches as noise.
    **oracle
        As :class:`~convergence.problems.SyntheticProblem`.

    Examples
    --------
    >>> f = RobustRegression()
    >>> f.dim, f.value(f.solution[None])
    (5, array([0.]))
    """

    def __init__(
        self, *, loss: str = "welsch", scale: float = 1.0, features: ArrayLike | None = None,
        targets: ArrayLike | None = None, batch: int | None = None, **oracle: Unpack[Oracle],
    ) -> None:  # fmt: skip
        if loss not in ("welsch", "cauchy"):
            raise ValueError(f"loss = {loss!r}: expected 'welsch' or 'cauchy'")
        check_positive(scale=scale)
        if (features is None) != (targets is None):
            raise ValueError("expected both features and targets, or neither")
        given: Any = example_data()[0] if features is None else features
        slope = scale / 2 if loss == "cauchy" else scale / np.sqrt(2 * np.e)
        super().__init__(features=given, slope=float(slope), curvature=1.0, minimum=0.0, batch=batch, **oracle)
        self.loss, self.scale = loss, scale
        self.solution = np.linspace(-1, 1, self.dim)
        self.targets = self.features @ self.solution if targets is None else np.asarray(targets, dtype=np.float64)
        if self.targets.shape != self.features.shape[:1]:
            raise ValueError(f"targets have shape {self.targets.shape}: expected ({len(self.features)},)")

    def losses(self, margins: Array) -> Array:
        """ρ(t - b)."""
        u = ((margins - self.targets) / self.scale) ** 2
        return self.scale**2 / 2 * (-np.expm1(-u) if self.loss == "welsch" else np.log1p(u))

    def slopes(self, margins: Array, rows: NDArray[np.int64] | slice = slice(None)) -> Array:
        """ρ'(t - b)."""
        r = margins - self.targets[rows]
        u = (r / self.scale) ** 2
        return r * np.exp(-u) if self.loss == "welsch" else r / (1 + u)


problem = RobustRegression
