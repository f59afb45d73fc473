"""The Λ-smooth function through given points, values and gradients."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.performance.conic import nearest_in_hull

__all__ = ["SmoothInterpolant", "violation"]

Array = NDArray[np.float64]


def violation(points: ArrayLike, values: ArrayLike, gradients: ArrayLike, *, smoothness: float) -> float:
    """By how much the data exceed what a Λ-smooth function allows, in units of f; at most 0 if one interpolates them.

    The largest over pairs of ``f_j - f_i + <g_i + g_j, x_i - x_j>/2 + ‖g_i - g_j‖²/(4Λ) - Λ‖x_i - x_j‖²/4``.

    Parameters
    ----------
    points, gradients : array, shape (n, d)
        x_i and g_i.
    values : array, shape (n,)
        f_i.
    smoothness : float
        Λ.

    Returns
    -------
    float

    Notes
    -----
    Taylor, Hendrickx & Glineur 2017, arXiv 1502.05666, at μ = -Λ.

    Examples
    --------
    >>> violation([[0.0], [1.0]], [0.0, 0.5], [[0.0], [1.0]], smoothness=1.0)   # x²/2
    0.0
    >>> round(violation([[0.0], [1.0]], [0.0, 0.6], [[0.0], [1.0]], smoothness=1.0), 9)
    0.1
    """
    x, f, g = (np.asarray(a, dtype=float) for a in (points, values, gradients))
    shift, change = x[:, None] - x[None], g[:, None] - g[None]
    both = g[:, None] + g[None]
    excess = (
        f[None] - f[:, None] + (both * shift).sum(-1) / 2 + (change**2).sum(-1) / (4 * smoothness)
        - smoothness * (shift**2).sum(-1) / 4
    )  # fmt: skip
    return float(excess.max())


class SmoothInterpolant:
    """F(x) = conv(min_i q_i + Λ‖·‖²/2)(x) - Λ‖x‖²/2 with ``q_i(x) = f_i + <g_i, x - x_i> + Λ‖x - x_i‖²/2``.

    F is Λ-smooth and, if the data satisfy the interpolation conditions, passes through them. All the q_i + Λ‖·‖²/2
    are translates of one paraboloid, so their convex hull at x is a quadratic program over the simplex. F is nowhere
    below min_i (f_i - ‖g_i‖²/(2Λ)), since no q_i is.

    Parameters
    ----------
    points, gradients : array, shape (n, d)
        x_i and g_i.
    values : array, shape (n,)
        f_i.
    smoothness : float
        Λ.

    Notes
    -----
    Azagra, Le Gruyer & Mudarra 2018, arXiv 1706.02235.

    Examples
    --------
    >>> f = SmoothInterpolant([[0.0], [2.0]], [0.0, 0.0], [[1.0], [-1.0]], smoothness=1.0)
    >>> value, gradient = f(np.array([1.0]))
    >>> round(value, 6), f.minimum, bool(abs(gradient[0]) < 1e-4)
    (0.5, -0.5, True)
    """

    def __init__(self, points: ArrayLike, values: ArrayLike, gradients: ArrayLike, *, smoothness: float) -> None:
        x, f, g = (np.asarray(a, dtype=float) for a in (points, values, gradients))
        self.smoothness = float(smoothness)
        # q_i + Λ‖x‖²/2 = Λ‖x - c_i‖² + k_i.
        self._centres = (x - g / smoothness) / 2
        self._heights = f - (g * x).sum(-1) + smoothness * (x**2).sum(-1) / 2 - smoothness * (self._centres**2).sum(-1)
        self.minimum = float((f - (g**2).sum(-1) / (2 * smoothness)).min())

    def __call__(self, x: Array) -> tuple[float, Array]:
        """F and ∇F at a point of shape (d,)."""
        lam = self.smoothness
        mix = nearest_in_hull(self._centres, self._heights / lam, x)
        away = x - mix @ self._centres
        value = lam * away @ away + mix @ self._heights - lam * x @ x / 2
        return float(value), 2 * lam * away - lam * x
