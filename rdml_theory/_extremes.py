"""Rows whose sum S = sum p^alpha q^(1-alpha) is small, zero, or beyond the range of float64.

There log(1 + offset Y) is not enough: S is formed directly while it is representable, and as a logarithm otherwise.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rdml_theory import _branches as branches
from rdml_theory._branches import Order
from rdml_theory._pairs import Pair, total
from rdml_theory._validation import FloatArray

BoolArray = npt.NDArray[np.bool_]


class Extreme(NamedTuple):
    """The divergence and the escort of such rows.

    Attributes
    ----------
    divergence
        D, infinite where the supports force it.
    weights
        escort w; where D is infinite its limit for alpha >= 1, NaN for alpha < 1 (disjoint supports).
    sum
        S where it was formed directly, else NaN.
    """

    divergence: FloatArray
    weights: FloatArray
    sum: FloatArray


def extreme_rows(pair: Pair, order: Order, offset: Any, kernel_alpha: Any, mean: FloatArray) -> Extreme:
    """Evaluate the rows of `pair`; `offset` and `kernel_alpha` are scalars or one value per row."""
    lost = np.isposinf(pair.t)
    if order.is_kl:
        # the only way here at order one is a class with q = 0 < p
        infinite = np.full_like(pair.mass, np.inf)
        return Extreme(infinite, pair.p / pair.mass, np.ones_like(pair.mass))
    axis = pair.axis
    usable = np.isfinite(pair.t) & (pair.log_p > -np.inf)
    above = (np.asarray(offset) > 0.0) & np.ones(pair.mass.shape, dtype=bool)
    infinite = ~usable.any(axis=axis, keepdims=True) | (lost.any(axis=axis, keepdims=True) & above)
    t = np.where(usable, pair.t, 0.0)

    # log S = offset top + peak + log sum exp(...): for offset > 0 the largest ratio is taken out before it is scaled
    top = np.where(above, np.where(usable, pair.t, -np.inf).max(axis=axis, keepdims=True), 0.0)
    top = np.where(np.isfinite(top), top, 0.0)
    exponents = np.where(usable, pair.log_p + offset * (t - top), -np.inf)
    peak = exponents.max(axis=axis, keepdims=True)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    weights = np.exp(exponents - peak)
    mass = total(weights, axis)
    rest = peak + np.log(mass)
    divergence = rest / -kernel_alpha if order.swapped else top + rest / offset
    weights = weights / mass

    # the terms p exp(offset t) keep more digits than logarithms do, while their sum is in range
    terms = np.where(usable & ~above, pair.p * np.exp(np.where(above, 0.0, offset * t)), 0.0)
    direct = total(terms, axis) / pair.mass
    moderate = (mean * offset < 0.0) & (direct > branches.TINY_SUM)
    safe = np.where(moderate, direct, 1.0)
    divergence = np.where(moderate, np.log(safe) / (-kernel_alpha if order.swapped else offset), divergence)
    weights = np.where(moderate, terms / pair.mass / safe, weights)

    if infinite.any():
        divergence = np.where(infinite, np.inf, divergence)
        weights = np.where(infinite, _limit_weights(pair, kernel_alpha, lost, above), weights)
    return Extreme(divergence, weights, np.where(moderate, direct, np.nan))


def _limit_weights(pair: Pair, alpha: Any, lost: BoolArray, above: BoolArray) -> FloatArray:
    """Return p^alpha on the classes with q = 0 < p: the limit as those q vanish together; NaN for alpha < 1."""
    exponents = np.where(lost & above, alpha * pair.log_p, -np.inf)
    peak = exponents.max(axis=pair.axis, keepdims=True)
    weights = np.where(lost, np.exp(exponents - peak), 0.0)
    return weights / total(weights, pair.axis)
