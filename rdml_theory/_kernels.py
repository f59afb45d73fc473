"""The divergence of one block and its derivatives, from two non-negative terms that cannot cancel.

With p and q on a common scale and beta = alpha - 1, each class contributes

    y = p (e^(beta t) - 1) / beta - (p - q) >= 0,      t = log(p/q),

and S = sum p^alpha q^(1-alpha) = 1 + beta sum(y), D = log(S) / beta. With A = y + (p - q), d = p - q and Y = sum(y) the
derivatives need nothing new:

    q - w = [q beta Y - (d + beta A)] / S,             (w - p) / beta = (A - p Y) / S.

Both are regular at alpha = 1, where A = p t and Y is the Kullback-Leibler divergence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rdml_theory import _branches as branches
from rdml_theory._branches import Order
from rdml_theory._extremes import extreme_rows
from rdml_theory._pairs import Pair, exact_scale, total, two_product
from rdml_theory._validation import FloatArray


def _horner(coefficients: list[Any], x: FloatArray, out: FloatArray) -> FloatArray:
    np.multiply(x, coefficients[-1], out=out)
    out += coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        out *= x
        out += coefficient
    return out


def _near_terms(p: FloatArray, t: FloatArray, coefficients: list[Any], scale: Any, out: FloatArray) -> FloatArray:
    """Return y = p t^2 (alpha/2 + ...) for max(1, |beta|) |t| <= NEAR."""
    unit = isinstance(scale, float) and scale == 1.0
    _horner(coefficients, t if unit else t * scale, out)
    out *= t
    out *= t
    out *= p
    return out


def _power_terms(pair: Pair, order: Order, index: Any) -> FloatArray:
    """Return A = (p (p/q)^beta - p) / beta where beta t is large, by a power that undoes the rounding of p/q."""
    p, beta = pair.p.ravel()[index], pair.at(order.beta, index)
    if pair.raw_q is None or pair.rho is None:
        return p * (np.expm1(beta * pair.t.ravel()[index]) / beta)
    q, rho = pair.raw_q.ravel()[index], pair.at(pair.rho, index)
    # both are scaled by the same power of two, so that neither the quotient's residual nor the product underflows
    shift = -np.frexp(q)[1]
    p_scaled, q_scaled = np.ldexp(p, np.minimum(shift, 900)), np.ldexp(q, shift)
    extra = np.where(shift > 900, shift - 900.0, 0.0) * np.log(2.0)
    log_scale = np.log1p(rho)
    unequal = np.flatnonzero(np.abs(rho) > branches.ROUNDING_SCALE)
    if unequal.size:
        # beta would multiply the rounding of a logarithm of this size: scale q by a ratio of 106 bits instead
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
    s = p * np.power(quotient, beta) * np.exp(beta * (residual - log_scale + extra))
    return (s - p) / beta


def terms(pair: Pair, order: Order) -> tuple[FloatArray, FloatArray]:
    """Return y and A for every class; NaN where both p and q are zero, or p is and the ratio overflows."""
    p, d, t, beta, scratch = pair.p, pair.d, pair.t, order.beta, pair.scratch
    y, a = scratch.new(p.shape), scratch.new(p.shape)
    np.abs(t, out=y)
    near = np.flatnonzero(y <= branches.NEAR / order.scale)
    if near.size == t.size:
        _near_terms(p, t, order.coefficients, order.scale, y)
        return y, np.add(y, d, out=a)
    if order.is_kl:
        np.multiply(p, t, out=a)
    else:
        x = np.multiply(t, beta, out=y)
        np.expm1(x, out=a)
        a *= p
        a /= beta
        if not order.swapped and np.max(beta) > 0.0 and x.max() > branches.POWER:
            _raise_to_power(pair, order, x, a)
    np.subtract(a, d, out=y)
    if near.size:
        coefficients, scale = order.coefficients, order.scale
        if isinstance(beta, np.ndarray):
            coefficients, scale = [pair.at(c, near) for c in coefficients], pair.at(scale, near)
        inner_t, out = t.reshape(-1).take(near), np.empty(near.size)
        _near_terms(p.reshape(-1).take(near), inner_t, coefficients, scale, out)
        y.reshape(-1)[near] = out
        out += d.reshape(-1).take(near)
        a.reshape(-1)[near] = out
    return y, a


def _raise_to_power(pair: Pair, order: Order, x: FloatArray, a: FloatArray) -> None:
    """Replace A where x = beta t is large, so that the rounding of t is not multiplied by beta."""
    far = np.flatnonzero((x > branches.POWER) & (x < np.inf))
    far = far[pair.p.reshape(-1)[far] > 0.0]
    # a negative beta has x > 0 where q > p: there p e^x stays below q and the rounding of t does not matter
    if isinstance(order.beta, np.ndarray):
        far = far[pair.at(order.beta, far) > 0.0]
    if far.size:
        a.reshape(-1)[far] = _power_terms(pair, order, far)


def closed_terms(pair: Pair, beta: float) -> tuple[FloatArray, FloatArray]:
    """Return y and A at the orders 1/2, 3/2 and 2, which need no logarithm.

    With r = d / (sqrt p + sqrt q): y = r^2, r^2 (2 sqrt(p/q) + 1) and d^2 / q.
    """
    p, q, d, scratch = pair.p, pair.q, pair.d, pair.scratch
    y, a = scratch.new(p.shape), scratch.new(p.shape)
    if beta == 1.0:
        np.divide(d, q, out=a)
        np.multiply(a, d, out=y)
        a *= p
        return y, a
    root, ratio = np.sqrt(p, out=a), np.sqrt(q, out=scratch.new(p.shape))
    step = np.add(root, ratio, out=y)
    np.divide(d, step, out=step)
    if beta == -0.5:
        a *= step
        a += a
        y *= step
    else:
        # twice the square root of p/q
        np.divide(root, ratio, out=ratio)
        ratio += ratio
        np.multiply(root, ratio, out=a)
        a *= step
        ratio += 1.0
        y *= step
        y *= ratio
    scratch.depth -= 1
    return y, a


def balance(gradient: FloatArray, axis: int, *parts: FloatArray) -> FloatArray:
    """Make the rows of a logit gradient sum to zero, by redoing the entry whose error bound is largest.

    The sum is zero in exact arithmetic, so a residual far above rounding shows an entry that cancelled; `parts` are the
    terms whose difference the gradient is, up to a factor per row. Works in place.
    """
    residual = np.abs(total(gradient, axis))
    rows = np.flatnonzero(residual > branches.BALANCE * total(np.abs(gradient), axis))
    if rows.size:
        part = np.take(gradient, rows, axis=1 - axis)
        bound = sum(np.abs(np.take(x, rows, axis=1 - axis)) for x in parts)
        worst = np.expand_dims(np.argmax(np.where(np.isfinite(part), bound, -1.0), axis=axis), axis)
        np.put_along_axis(part, worst, 0.0, axis=axis)
        np.put_along_axis(part, worst, -total(part, axis), axis=axis)
        if axis == 0:
            gradient[:, rows] = part
        else:
            gradient[rows] = part
    return gradient


class Evaluation:
    """One block at one order in (0, inf): the divergence, and derivatives on request.

    Attributes:
        divergence: D for each row, with the class axis kept at length 1.
    """

    def __init__(self, pair: Pair, order: Order) -> None:
        self.order = order
        self.original = pair
        self.pair = pair.swap() if order.swapped else pair
        pair, beta, axis = self.pair, order.beta, self.pair.axis
        y, self.a = terms(pair, order) if order.closed_form is None else closed_terms(pair, order.closed_form)
        self.mean = total(y, axis) / pair.mass
        if pair.has_zero and np.isnan(self.mean).any():
            # p e^(beta t) is 0 inf = nan where p is zero, and 0/0 where both are
            empty = pair.p == 0.0
            self.a[empty] = 0.0
            y[empty] = pair.q[empty]
            self.mean = total(y, axis) / pair.mass
        x = self.mean * beta
        self.sum = x + 1.0
        if order.swapped:
            self.divergence = np.log1p(x) / -order.kernel_alpha
        elif order.is_kl:
            self.divergence = self.mean.copy()
        else:
            self.divergence = np.log1p(x) / beta
        self.tilted: FloatArray | None = None
        self.tilted_rows = np.zeros(0, dtype=np.intp)
        cancels = x < -branches.CANCEL
        unsafe = ~(x < branches.HUGE_SUM)
        if pair.exact_log_p is not None and pair.has_zero:
            unsafe |= self._hidden_mass()
        if cancels.any() or unsafe.any():
            self._redo(np.flatnonzero(cancels | unsafe))

    def _hidden_mass(self) -> npt.NDArray[np.bool_]:
        """Rows in which a class of underflowed probability still weighs in the sum, because its ratio is huge."""
        pair = self.pair
        exponent = np.where(
            np.isfinite(pair.t) & np.isfinite(pair.log_p), pair.log_p + self.order.beta * pair.t, -np.inf
        )
        return ((pair.p == 0.0) & (exponent > -60.0)).any(axis=pair.axis, keepdims=True)

    def _redo(self, rows: Any) -> None:
        part, order = self.pair.select(rows), self.order
        beta, kernel_alpha = (
            self._rows(x, rows) if isinstance(x, np.ndarray) else x for x in (order.beta, order.kernel_alpha)
        )
        extreme = extreme_rows(part, order, beta, kernel_alpha, self._rows(self.mean, rows))
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
        pair, beta = self.pair, self.order.beta
        out = np.multiply(self.a, beta, out=pair.scratch.new(pair.p.shape))
        out += pair.d
        if self.order.is_kl:
            out /= -pair.mass
        else:
            drift = np.multiply(pair.q, self.mean * beta, out=pair.scratch.new(pair.p.shape))
            np.subtract(drift, out, out=out)
            out /= self.sum * pair.mass
            if pair.has_zero:
                # q and w are both zero where only p is positive (alpha < 1)
                out[np.isposinf(pair.t)] = 0.0
            balance(out, pair.axis, pair.d, self.a, drift)
        if self.tilted is not None:
            q = self._rows(pair.q / pair.mass, self.tilted_rows)
            self._put(out, self.tilted_rows, balance(q - self.tilted, pair.axis, q, self.tilted))
        return out

    @property
    def _first(self) -> FloatArray:
        """The quotient (w - p) / beta in the kernel's orientation."""
        pair, beta = self.pair, self.order.beta
        drift = np.multiply(pair.p, -self.mean, out=pair.scratch.new(pair.p.shape))
        out = np.add(drift, self.a, out=pair.scratch.new(pair.p.shape))
        out /= self.sum * pair.mass
        balance(out, pair.axis, drift, self.a)
        if self.tilted is not None:
            rows = self.tilted_rows
            if isinstance(beta, np.ndarray):
                beta = self._rows(beta, rows)
            p = self._rows(pair.p / pair.mass, rows)
            # at order one such rows have an infinite divergence, and p (t - D) is undefined
            limit = np.full_like(p, np.nan) if self.order.is_kl else (self.tilted - p) / beta
            balance(limit, pair.axis, p, self.tilted)
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
        pair, beta = self.pair, self.order.beta
        if self.order.is_kl and not self.order.swapped:
            return pair.p / pair.mass
        ratio = np.exp(np.where(pair.p > 0.0, pair.t * beta, 0.0))
        fallen = self.a * beta
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
        pair, beta = self.original, self.order.alpha - 1.0
        d = pair.t - self.divergence
        x = d * beta
        if not self.order.swapped:
            # log(w/p) from the weights themselves where t - D would cancel: there beta multiplies its rounding
            exponent = pair.t * beta
            far = (exponent > branches.POWER) & np.isfinite(exponent) & (pair.p > 0.0)
            if far.any():
                weight = (pair.p + self.a * beta) / (pair.p * self.sum)
                if self.tilted is not None:
                    self._put(weight, self.tilted_rows, self.tilted / self._rows(pair.p / pair.mass, self.tilted_rows))
                far &= (weight > 0.0) & (weight < np.inf)
                x = np.where(far, np.log(np.where(far, weight, 1.0)), x)
                d = np.where(far, x / beta, d)
        return order_derivative(pair, beta, self.divergence, d, x)


def order_derivative(
    pair: Pair, beta: float | FloatArray, divergence: FloatArray, d: FloatArray, x: FloatArray
) -> FloatArray:
    """Return sum_i p_i d_i^2 k(x_i), d = t - D, x = beta d, k(x) = (1 - e^x + x e^x) / x^2: no term is negative."""
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
    hidden = (pair.p == 0.0) & (up > 0.0)
    if hidden.any():
        weight = np.where(hidden, np.exp(np.where(hidden, pair.log_p + up, 0.0)), weight)
    down = np.where((x < -branches.SMALL_EXPONENT) & np.isfinite(x), x, 0.0)
    outer = np.where(up > 0.0, weight * (np.expm1(-up) + up), pair.p * (1.0 + (down - 1.0) * np.exp(down)))
    outer = np.where(np.isneginf(x), pair.p, outer)
    if isinstance(beta, np.ndarray):
        square = np.where(beta == 0.0, 1.0, beta) ** 2
    else:
        square = beta**2 if beta else 1.0
    y = np.where(small, pair.p * inner * inner * series, outer / square)
    y = np.where(np.isneginf(pair.t), 0.0, y)
    out = total(y, pair.axis) / pair.mass
    return np.where(np.isinf(divergence), np.nan, out)
