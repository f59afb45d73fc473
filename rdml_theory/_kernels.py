"""The divergence of one block and its derivatives, from two non-negative terms that cannot cancel.

With p and q on a common scale and offset = alpha - 1, each class contributes

    y = p (e^(offset t) - 1) / offset - (p - q) >= 0,      t = log(p/q),

and S = sum p^alpha q^(1-alpha) = 1 + offset sum(y), D = log(S) / offset. With A = y + (p - q), d = p - q and
Y = sum(y), the derivatives need nothing new:

    q - w = [q offset Y - (d + offset A)] / S,             (w - p) / offset = (A - p Y) / S.

Both are regular at alpha = 1, where A = p t and Y is the Kullback-Leibler divergence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rdml_theory import _branches as branches
from rdml_theory._branches import Order
from rdml_theory._extremes import extreme_rows
from rdml_theory._pairs import Pair, careful_total, exact_scale, total, two_product
from rdml_theory._repairs import balance, doubtful, pivoted_ratio
from rdml_theory._validation import FloatArray


def _horner(coefficients: list[Any], x: FloatArray, out: FloatArray) -> FloatArray:
    np.multiply(x, coefficients[-1], out=out)
    out += coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        out *= x
        out += coefficient
    return out


def _near_terms(order: Order, p: FloatArray, d: FloatArray, t: FloatArray, out: FloatArray, at: Any) -> FloatArray:
    """Return y of near elements by its series; `at` picks per-row values at their places."""
    scale = at(order.scale)
    x = t if isinstance(scale, float) and scale == 1.0 else t * scale
    mixed = np.min(order.offset) >= 0.0 or max(x.max(), -x.min()) <= branches.MIXED_EDGE
    coefficients = order.mixed_coefficients if mixed else order.coefficients
    _horner([at(c) for c in coefficients], x, out)
    out *= t
    # y = (d t) psi(t) feels the rounding of t once, y = p t^2 phi(t) twice
    if mixed:
        out *= d
    else:
        out *= t
        out *= p
    return out


def _power_terms(pair: Pair, order: Order, index: Any) -> FloatArray:
    """Return A = (p (p/q)^offset - p) / offset where offset t is large, by a power that undoes the rounding of p/q."""
    p, offset = pair.p.ravel()[index], pair.at(order.offset, index)
    if pair.raw_q is None or pair.rho is None:
        return p * (np.expm1(offset * pair.t.ravel()[index]) / offset)
    if isinstance(offset, float) and offset <= branches.PLAIN_POWER:
        quotient = p / pair.q.ravel()[index]
        if np.isfinite(quotient).all():
            return (p * np.power(quotient, offset) - p) / offset
    q, rho = pair.raw_q.ravel()[index], pair.at(pair.rho, index)
    # both are scaled by the same power of two, so that the residual does not underflow; where p would overflow,
    # the quotient exceeds 2^1000, offset is small, and a factor is kept back
    shift = -np.frexp(q)[1]
    held = np.maximum(shift + np.frexp(p)[1] - 1000, 0)
    p_scaled, q_scaled = np.ldexp(p, shift - held), np.ldexp(q, shift)
    extra = held * np.log(2.0)
    log_scale = np.log1p(rho)
    unequal = np.flatnonzero(np.abs(rho) > branches.ROUNDING_SCALE)
    if unequal.size:
        # offset would multiply the rounding of a logarithm of this size: scale q by a ratio of 106 bits instead
        rows, place = np.unique(pair.row_of(index[unequal]), return_inverse=True)
        part = pair.select(rows)
        second = np.take(pair.raw_q, rows, axis=1 - pair.axis)
        high, low = (x.ravel()[place] for x in exact_scale(part.p, second, pair.axis))
        product, error = two_product(q_scaled[unequal], high)
        log_scale[unequal] = (error + q_scaled[unequal] * low) / product
        q_scaled[unequal] = product
    quotient = p_scaled / q_scaled
    product, error = two_product(quotient, q_scaled)
    residual = ((p_scaled - product) - error) / p_scaled
    s = p * np.power(quotient, offset) * np.exp(offset * (residual - log_scale + extra))
    return (s - p) / offset


def terms(pair: Pair, order: Order) -> tuple[FloatArray, FloatArray]:
    """Return y and A for every class; NaN where both p and q are zero, or p is and the ratio overflows."""
    p, d, t, offset = pair.p, pair.d, pair.t, order.offset
    y = np.abs(t)
    near = np.flatnonzero(y <= order.near)
    if near.size == t.size:
        _near_terms(order, p, d, t, y, lambda value: value)
        return y, y + d
    if order.is_kl:
        a = p * t
    else:
        x = t * offset
        a = np.expm1(x)
        a *= p
        a /= offset
        if not order.swapped and np.max(offset) > 0.0 and x.max() > branches.POWER:
            _raise_to_power(pair, order, x, a)
    y = a - d
    if near.size:
        inner_d, out = d.reshape(-1).take(near), np.empty(near.size)
        inner_p, inner_t = p.reshape(-1).take(near), t.reshape(-1).take(near)
        _near_terms(order, inner_p, inner_d, inner_t, out, lambda value: pair.at(value, near))
        y.reshape(-1)[near] = out
        out += inner_d
        a.reshape(-1)[near] = out
    return y, a


def _raise_to_power(pair: Pair, order: Order, x: FloatArray, a: FloatArray) -> None:
    """Replace A where x = offset t is large, so that the rounding of t is not multiplied by offset."""
    far = np.flatnonzero((x > branches.POWER) & (x < np.inf))
    far = far[pair.p.reshape(-1)[far] > 0.0]
    # a negative offset has x > 0 where q > p: there p e^x stays below q and the rounding of t does not matter
    if isinstance(order.offset, np.ndarray):
        far = far[pair.at(order.offset, far) > 0.0]
    if far.size:
        a.reshape(-1)[far] = _power_terms(pair, order, far)


def closed_terms(pair: Pair, offset: float) -> tuple[FloatArray, FloatArray]:
    """Return y and A at the orders 1/2, 3/2 and 2, which need no logarithm.

    With r = d / (sqrt p + sqrt q): y = r^2, r^2 (2 sqrt(p/q) + 1) and d^2 / q.
    """
    p, q, d = pair.p, pair.q, pair.d
    if offset == 1.0:
        a = d / q
        return a * d, a * p
    root, ratio = np.sqrt(p), np.sqrt(q)
    step = d / (root + ratio)
    if offset == -0.5:
        a = root * step
        return step * step, a + a
    twice = root / ratio
    twice += twice
    return step * step * (twice + 1.0), root * twice * step


class Evaluation:
    """One block at one order in (0, inf): the divergence, and derivatives on request.

    Attributes
    ----------
    divergence
        D for each row, with the class axis kept at length 1.
    """

    def __init__(self, pair: Pair, order: Order) -> None:
        self.order = order
        self.original = pair
        self.pair = pair.swap() if order.swapped else pair
        pair, offset = self.pair, order.offset
        y, self.a = terms(pair, order) if order.closed_form is None else closed_terms(pair, order.closed_form)
        self.mean = self._mean_of(y)
        if pair.has_zero and np.isnan(self.mean).any():
            # p e^(offset t) is 0 inf = nan where p is zero, and 0/0 where both are
            empty = pair.p == 0.0
            self.a[empty] = 0.0
            y[empty] = pair.q[empty]
            self.mean = self._mean_of(y)
        if pair.has_tiny and np.max(offset) >= 0.0:
            self._restore_tiny(y)
            self.mean = self._mean_of(y)
        x = self.mean * offset
        self.sum = x + 1.0
        if order.swapped:
            self.divergence = np.log1p(x) / -order.kernel_alpha
        elif order.is_kl:
            self.divergence = self.mean.copy()
        else:
            # for small x the series rounds once, log1p(offset Y) / offset three times
            small = np.abs(x) <= branches.SMALL_SUM
            self.divergence = np.where(small, self.mean - self.mean * (x * (0.5 - x / 3.0)), np.log1p(x) / offset)
        self.tilted: FloatArray | None = None
        self.tilted_rows = np.zeros(0, dtype=np.intp)
        cancels = x < -branches.CANCEL
        unsafe = ~(x < branches.HUGE_SUM)
        if cancels.any() or unsafe.any():
            self._redo(np.flatnonzero(cancels | unsafe))

    def _mean_of(self, y: FloatArray) -> FloatArray:
        """Sum of y over the mass, both with what their rounding left out."""
        high, low = careful_total(y, self.pair.axis)
        mean = (high + low) / self.pair.mass
        if self.pair.mass_rest is not None:
            mean -= mean * self.pair.mass_rest
        return mean

    def _restore_tiny(self, y: FloatArray) -> None:
        """Form y and A from log p where p or q underflowed: their ratio may be so large that the class still weighs.

        For offset < 0 such a term stays below p, and so below what a sum can hold.
        """
        pair = self.pair
        tiny = (np.minimum(pair.p, pair.q) < branches.TINY_PROBABILITY) & (pair.log_p > -np.inf)
        at = np.flatnonzero(tiny & (pair.t > self.order.near) & (self.order.offset >= 0.0))
        p, t, offset = pair.p.reshape(-1)[at], pair.t.reshape(-1)[at], pair.at(self.order.offset, at)
        if self.order.is_kl:
            a = np.where(np.isinf(t), np.inf, p * t)
        else:
            a = np.where(
                p < branches.TINY_PROBABILITY,
                np.exp(pair.log_p.reshape(-1)[at] + offset * t) - p,
                p * np.expm1(offset * t),
            )
            a /= offset
        self.a.reshape(-1)[at] = a
        y.reshape(-1)[at] = a - pair.d.reshape(-1)[at]

    def _redo(self, rows: Any) -> None:
        part, order = self.pair.select(rows), self.order
        offset, kernel_alpha = (
            self._rows(x, rows) if isinstance(x, np.ndarray) else x for x in (order.offset, order.kernel_alpha)
        )
        extreme = extreme_rows(part, order, offset, kernel_alpha, self._rows(self.mean, rows))
        self._put(self.divergence, rows, extreme.divergence)
        self._put(self.sum, rows, extreme.sum)
        self.tilted, self.tilted_rows = extreme.weights, rows

    def _rows(self, x: FloatArray, rows: Any) -> FloatArray:
        return np.take(x, rows, axis=1 - self.pair.axis)

    def _put(self, x: FloatArray, rows: Any, values: FloatArray) -> None:
        if self.pair.axis == 0:
            x[:, rows] = values
        else:
            x[rows] = values

    @property
    def _second(self) -> FloatArray:
        """The difference q - w in the kernel's orientation."""
        pair, offset = self.pair, self.order.offset
        out = self.a * offset
        out += pair.d
        if self.order.is_kl:
            out /= -pair.mass
        else:
            drift = pair.q * (self.mean * offset)
            apart = self._apart()
            if apart.size:
                out.reshape(-1)[apart] = self._tilted(apart) - pair.q.reshape(-1)[apart]
            np.subtract(drift, out, out=out)
            out /= self.sum * pair.mass
            rows = doubtful(out, pair.axis, self.mean * offset / self.sum)
            if rows.size:
                self._put(out, rows, self._second_again(self._rows(out, rows), rows))
        if self.tilted is not None:
            q = self._rows(pair.q / pair.mass, self.tilted_rows)
            self._put(out, self.tilted_rows, balance(q - self.tilted, pair.axis, q + self.tilted))
        return out

    def _apart(self) -> npt.NDArray[np.intp]:
        """Classes in which p is so far above q that s = p^alpha q^(1 - alpha) cancels in d + offset A (alpha < 1)."""
        pair, offset = self.pair, self.order.offset
        if not np.min(offset) < 0.0:
            return np.zeros(0, dtype=np.intp)
        # t > APART / -offset, without a logarithm; for offset = 0 and above the bound is infinite or harmless
        bound = np.exp(branches.APART / -np.minimum(offset, -1e-300))
        return np.flatnonzero(pair.p > pair.q * bound)

    def _tilted(self, index: npt.NDArray[np.intp]) -> FloatArray:
        """Return p^alpha q^(1 - alpha) at flat indices."""
        pair = self.pair
        p = pair.p.reshape(-1)[index]
        if self.order.closed_form == -0.5:
            return np.sqrt(p) * np.sqrt(pair.q.reshape(-1)[index])
        return p * np.exp(pair.at(self.order.offset, index) * pair.t.reshape(-1)[index])

    def _again(self, part: FloatArray, rows: npt.NDArray[np.intp], base: FloatArray, exponent: Any) -> FloatArray:
        """Return (w - base) / exponent for doubtful rows, from the caller's entries; not where that overflows."""
        pair = self.original
        first, second = self._rows(pair.p, rows), self._rows(pair.q if pair.raw_q is None else pair.raw_q, rows)
        if self.order.swapped:
            first, second = second, first
        if isinstance(exponent, np.ndarray):
            exponent = self._rows(exponent, rows)
        base = self._rows(base / pair.mass, rows)
        tau, shift = pivoted_ratio(base, first, second, exponent, pair.axis)
        ratio = tau - shift
        again = base * (
            ratio if self.order.is_kl and np.all(exponent == 0.0) else np.expm1(exponent * ratio) / exponent
        )
        return np.where(np.isfinite(again).all(axis=pair.axis, keepdims=True), again, part)

    def _second_again(self, part: FloatArray, rows: npt.NDArray[np.intp]) -> FloatArray:
        """Repair doubtful rows of q - w."""
        pair, order = self.pair, self.order
        if self.original.raw_q is not None:
            alpha = order.kernel_alpha
            if isinstance(alpha, np.ndarray):
                alpha = self._rows(alpha, rows)
            return self._again(part / -alpha, rows, pair.q, order.kernel_alpha) * -alpha
        sizes = np.abs(pair.d) + np.abs(self.a * order.offset)
        apart = self._apart()
        sizes.reshape(-1)[apart] = self._tilted(apart)
        sizes += pair.q * np.abs(self.mean * order.offset)
        return balance(part, pair.axis, self._rows(sizes, rows))

    @property
    def _first(self) -> FloatArray:
        """The quotient (w - p) / offset in the kernel's orientation."""
        pair, offset = self.pair, self.order.offset
        drift = pair.p * -self.mean
        out = drift + self.a
        out /= self.sum * pair.mass
        rows = doubtful(out, pair.axis, self.mean / self.sum)
        if rows.size:
            part = self._rows(out, rows)
            if self.original.raw_q is not None:
                part = self._again(part, rows, pair.p, offset)
            else:
                balance(part, pair.axis, self._rows(np.abs(drift) + np.abs(self.a), rows))
            self._put(out, rows, part)
        if self.tilted is not None:
            rows = self.tilted_rows
            if isinstance(offset, np.ndarray):
                offset = self._rows(offset, rows)
            p = self._rows(pair.p / pair.mass, rows)
            # at order one such rows have an infinite divergence, and p (t - D) is undefined
            limit = np.full_like(p, np.nan) if self.order.is_kl else (self.tilted - p) / offset
            balance(limit, pair.axis, p + self.tilted)
            self._put(out, rows, limit)
        return out

    def student(self) -> FloatArray:
        """Return q - w, the gradient in the logits of the second argument."""
        return self._first * self.order.alpha if self.order.swapped else self._second

    def teacher(self) -> FloatArray:
        """Return alpha (w - p) / (alpha - 1), the gradient in the logits of the first argument."""
        if self.order.swapped:
            return self._second * (self.order.alpha / self.order.kernel_alpha)
        return self._first * self.order.alpha

    def escort(self) -> FloatArray:
        """Return w."""
        pair, offset = self.pair, self.order.offset
        if self.order.is_kl and not self.order.swapped:
            return pair.p / pair.mass
        ratio = np.exp(np.where(pair.p > 0.0, pair.t * offset, 0.0))
        fallen = self.a * offset
        # p + (s - p) is the more accurate sum except where s is a small part of p
        out = np.where(fallen > -0.5 * pair.p, pair.p + fallen, pair.p * ratio)
        out = out / total(out, pair.axis)
        if self.tilted is not None:
            self._put(out, self.tilted_rows, self.tilted)
        return out

    def scaled_teacher(self) -> FloatArray:
        """Return (w - p) / (alpha - 1), the teacher gradient divided by alpha."""
        return self._second / self.order.kernel_alpha if self.order.swapped else self._first

    def order_derivative(self) -> FloatArray:
        """Return KL(w||p) / (1 - alpha)^2 for each row."""
        pair, offset = self.original, self.order.alpha - 1.0
        d = pair.t - self.divergence
        x = d * offset
        size = np.abs(offset) * (np.abs(pair.t) + self.divergence)
        if pair.raw_q is not None:
            # t - D cancels where D is far above the spread of t: ratios to the main class do not
            tau, shift = pivoted_ratio(pair.p / pair.mass, pair.p, pair.raw_q, offset, pair.axis)
            valid = np.isfinite(shift)
            d, x = np.where(valid, tau - shift, d), np.where(valid, (tau - shift) * offset, x)
            size = np.where(valid, np.abs(offset) * (np.abs(tau) + np.abs(shift)), size)
        if not self.order.swapped:
            # where both terms are large, log(w/p) from the weights themselves has the smaller rounding
            far = (
                (size > branches.WEIGHT_SIZE)
                & (pair.t * offset > branches.POWER)
                & np.isfinite(pair.t)
                & (pair.p >= (branches.TINY_PROBABILITY if pair.has_tiny else 2.0**-1074))
            )
            if far.any():
                weight = (pair.p + self.a * offset) / (pair.p * self.sum)
                if self.tilted is not None:
                    self._put(weight, self.tilted_rows, self.tilted / self._rows(pair.p / pair.mass, self.tilted_rows))
                far &= (weight > 0.0) & (weight < np.inf)
                x = np.where(far, np.log(np.where(far, weight, 1.0)), x)
                d = np.where(far, x / offset, d)
        return order_derivative(pair, offset, self.divergence, d, x)


def order_derivative(
    pair: Pair, offset: float | FloatArray, divergence: FloatArray, d: FloatArray, x: FloatArray
) -> FloatArray:
    """Return sum_i p_i d_i^2 k(x_i), d = t - D, x = offset d, k(x) = (1 - e^x + x e^x) / x^2: no term is negative."""
    small = np.abs(x) <= branches.SMALL_EXPONENT
    safe = np.where(small, x, 0.0)
    factor = 1.0
    coefficients = []
    for k in range(20):
        factor = factor / k if k else 1.0
        coefficients.append(factor / (k + 2))
    series = _horner(coefficients, safe, np.empty_like(safe))
    inner = np.where(small, d, 0.0)
    # x > 0: w (e^-x - 1 + x) with the escort weight w = p e^x; from logits p may have underflowed while w has not
    up = np.where((x > branches.SMALL_EXPONENT) & np.isfinite(x), x, 0.0)
    weight = pair.p * np.exp(up)
    if pair.has_tiny:
        hidden = (pair.p < branches.TINY_PROBABILITY) & (up > 0.0)
        weight = np.where(hidden, np.exp(np.where(hidden, pair.log_p + up, 0.0)), weight)
    down = np.where((x < -branches.SMALL_EXPONENT) & np.isfinite(x), x, 0.0)
    outer = np.where(up > 0.0, weight * (np.expm1(-up) + up), pair.p * (1.0 + (down - 1.0) * np.exp(down)))
    outer = np.where(np.isneginf(x), pair.p, outer)
    if isinstance(offset, np.ndarray):
        square = np.where(offset == 0.0, 1.0, offset) ** 2
    else:
        square = offset**2 if offset else 1.0
    y = np.where(small, pair.p * inner * inner * series, outer / square)
    y = np.where(np.isneginf(pair.t), 0.0, y)
    out = total(y, pair.axis) / pair.mass
    return np.where(np.isinf(divergence), np.nan, out)
