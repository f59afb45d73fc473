"""Find logit gradients that lost digits to a cancellation, and form them in another way."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rdml_theory import _branches as branches
from rdml_theory._pairs import total, two_product
from rdml_theory._validation import FloatArray


def doubtful(gradient: FloatArray, axis: int, drift: FloatArray) -> npt.NDArray[np.intp]:
    """Return the rows of a logit gradient that lost digits.

    Either its sum, zero in exact arithmetic, is far above rounding, or the term `drift`, common to all classes up to a
    weight that sums to one, is far above the gradient it is part of.
    """
    size = total(np.abs(gradient), axis)
    bad = np.abs(total(gradient, axis)) > branches.BALANCE * size
    bad |= np.abs(drift) > branches.DRIFT * size
    return np.flatnonzero(bad)


def balance(part: FloatArray, axis: int, sizes: FloatArray) -> FloatArray:
    """Make logit gradients sum to zero, by redoing the entry with the largest of `sizes`, which bound the rounding."""
    worst = np.expand_dims(np.argmax(np.where(np.isfinite(part), sizes, -1.0), axis=axis), axis)
    np.put_along_axis(part, worst, 0.0, axis=axis)
    np.put_along_axis(part, worst, -total(part, axis), axis=axis)
    return part


def pivoted_ratio(base: FloatArray, first: FloatArray, second: FloatArray, exponent: Any, axis: int) -> tuple[Any, Any]:
    """Return tau and a shift with log(w/base) / exponent = tau - shift, w proportional to base (first/second)^exponent.

    Tau is the log-ratio relative to that of the class that holds most of `base`, and the shift is the normaliser
    log(sum base e^(exponent tau)) / exponent: both are small where w is close to base, however large the divergence is.
    `base` sums to one.
    """
    main = np.expand_dims(np.argmax(base, axis=axis), axis)
    first_main, second_main = np.take_along_axis(first, main, axis), np.take_along_axis(second, main, axis)
    # first/second over first_main/second_main, minus one, from exact cross products
    left, left_error = two_product(first, second_main)
    right, right_error = two_product(first_main, second)
    excess = ((left - right) + (left_error - right_error)) / right
    close = np.abs(excess) < 0.5
    tau = np.where(close, np.log1p(np.where(close, excess, 0.0)), np.log(left / right))
    tau = np.where(base > 0.0, tau, 0.0)
    if isinstance(exponent, float) and exponent == 0.0:
        return tau, total(base * tau, axis)
    return tau, np.log1p(total(base * np.expm1(exponent * tau), axis)) / exponent
