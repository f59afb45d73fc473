"""Derivatives in the coordinates of the caller: unnormalised probabilities, or logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from rdml_theory._blocks import Result
from rdml_theory._limits import OrderInfinity
from rdml_theory._validation import FloatArray


def in_probabilities(result: Result, wrt: str, alpha: Any) -> FloatArray:
    """Return dD/dq_i = (q_i - w_i) / q_i / sum(q), or the same for p, with its one-sided limits at zero entries."""
    pair = result.original
    if wrt == "q":
        out = result.student()
        out /= pair.q
        if pair.has_zero:
            zero = pair.q == 0.0
            # raising q_i from 0 where p_i > 0 lowers D at an infinite rate (order 0: at the rate of the support)
            blow = np.where(np.asarray(alpha) > 0.0, -np.inf, -np.expm1(result.divergence))
            out = np.where(zero, np.where(pair.p > 0.0, blow, 1.0) / pair.mass, out)
        out *= pair.mass / pair.q_sum
        return out
    out = result.teacher()
    out /= pair.p
    if pair.has_zero:
        zero = pair.p == 0.0
        alpha = np.asarray(alpha)
        finite = np.where(np.isinf(alpha), 1.0, alpha / (alpha - 1.0))
        alone = np.where(alpha > 1.0, -finite, -np.inf)
        shared = np.where(alpha >= 1.0, np.inf, -finite)
        out = np.where(zero, np.where(pair.q > 0.0, alone, shared) / pair.mass, out)
    out *= pair.mass / pair.p_sum
    return out


def _columns(x: FloatArray, axis: int) -> FloatArray:
    return x.T if axis == 0 else x


def _outer(a: FloatArray, b: FloatArray) -> FloatArray:
    return a[:, :, None] * b[:, None, :]


def _centred(off: FloatArray) -> FloatArray:
    """Set the diagonal so that every row sums to zero, as a shift of the logits leaves D unchanged."""
    diagonal = np.arange(off.shape[1])
    off[:, diagonal, diagonal] = 0.0
    off[:, diagonal, diagonal] = -off.sum(axis=2)
    return off


def hessian_block(result: Result, wrt: str, domain: str, alpha: Any) -> FloatArray:
    """Return the second derivatives of each row of a block, shape (rows, C, C)."""
    pair, axis = result.original, result.original.axis
    alpha = np.asarray(alpha, dtype=np.float64).reshape(-1, 1, 1)
    p, q = _columns(pair.p / pair.mass, axis), _columns(pair.q / pair.mass, axis)
    w = _columns(result.escort(), axis)
    if domain != "probs":
        return _hessian_in_logits(result, wrt, alpha, p, q, w)
    sums = (_columns(pair.p_sum, axis)[:, :, None], _columns(pair.q_sum, axis)[:, :, None])
    return _hessian_in_probabilities(result, wrt, alpha, p, q, w, sums)


def _hessian_in_logits(result: Result, wrt: str, alpha: Any, p: Any, q: Any, w: Any) -> FloatArray:
    if isinstance(result, OrderInfinity):
        # the escort is locally constant: the Hessians are Cov_q, -Cov_p and 0 away from ties
        if wrt == "q":
            return _centred(-_outer(q, q))
        return _centred(_outer(p, p)) if wrt == "p" else np.zeros((p.shape[0], p.shape[1], p.shape[1]))
    if wrt == "mixed":
        return _centred(alpha * _outer(w, w))
    offset = alpha - 1.0
    if wrt == "q":
        g = _columns(result.student(), result.original.axis)
        return _centred(-_difference_of_outers(q, w, g, -offset, alpha))
    k = _columns(result.scaled_teacher(), result.original.axis)
    # (p p^T - alpha w w^T) / offset with w = p + offset k; the second form is regular at alpha = 1
    return _centred(alpha * -_difference_of_outers(p, w, k, alpha, 1.0, offset))


def _difference_of_outers(x: Any, w: Any, e: Any, weight: Any, rest: Any, divisor: Any = 1.0) -> FloatArray:
    """Return x x^T - weight w w^T (over -divisor), from e = x - w (or (w - x) / divisor), whichever cancels less.

    The two forms are x x^T - weight w w^T and rest w w^T + e m^T + m e^T, m = (x + w) / 2. Each entry takes the one
    whose terms, and so whose rounding, are smaller.
    """
    xx, ww = _outer(x, x), _outer(w, w)
    middle = 0.5 * (x + w)
    cross = _outer(e, middle)
    cross = cross + np.swapaxes(cross, 1, 2)
    spread = _outer(np.abs(e), middle)
    spread = spread + np.swapaxes(spread, 1, 2)
    second = rest * ww + cross
    sign = 1.0 if isinstance(divisor, float) else -1.0
    size = np.where(np.asarray(divisor) == 0.0, np.inf, (xx + np.abs(weight) * ww) / np.abs(divisor))
    first = sign * (xx - weight * ww) / divisor
    return np.where(size < rest * ww + spread, first, second)


def _hessian_in_probabilities(
    result: Result, wrt: str, alpha: Any, p: Any, q: Any, w: Any, sums: tuple[Any, Any]
) -> FloatArray:
    p_sum, q_sum = sums
    diagonal = np.arange(p.shape[1])
    infinite = isinstance(result, OrderInfinity)
    flat = alpha.reshape(-1, 1)
    gone_p = p == 0.0
    tilt_q = np.where(gone_p, 0.0, w / q)
    if wrt == "q":
        if infinite:
            out = np.full((p.shape[0], p.shape[1], p.shape[1]), -1.0)
            out[:, diagonal, diagonal] += np.where(w > 0.0, w / (q * q), 0.0)
        else:
            r = np.where(gone_p, -1.0, -_columns(result.student(), result.original.axis) / q)
            out = -alpha - (alpha - 1.0) * (r[:, :, None] + r[:, None, :] + _outer(r, r))
            out[:, diagonal, diagonal] += np.where(gone_p, 0.0, flat * tilt_q / q)
        return out / (q_sum * q_sum)
    tilt_p = w / p
    if wrt == "p":
        if infinite:
            out = np.full((p.shape[0], p.shape[1], p.shape[1]), 1.0)
            out[:, diagonal, diagonal] -= np.where(w > 0.0, w / (p * p), 0.0)
        else:
            kappa = _columns(result.scaled_teacher(), result.original.axis) / p
            sums_k = kappa[:, :, None] + kappa[:, None, :] + (alpha - 1.0) * _outer(kappa, kappa)
            out = -alpha * (1.0 + alpha * sums_k)
            out[:, diagonal, diagonal] += flat * tilt_p / p
        return out / (p_sum * p_sum)
    if infinite:
        return np.zeros((p.shape[0], p.shape[1], p.shape[1]))
    out = alpha * _outer(tilt_p, tilt_q)
    others = w @ (1.0 - np.eye(p.shape[1]))  # 1 - w, whose digits are lost where w is next to one
    out[:, diagonal, diagonal] = -flat * tilt_p * others / q
    return out / (p_sum * q_sum)
