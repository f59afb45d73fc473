"""Two distributions on a common scale, their difference and their log-ratio, without a subtraction that cancels.

A block holds some rows of the two arguments. The class axis is 0 or 1, whichever makes the inner loops long; per-row
quantities keep that axis with length 1, so every formula is written once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rdml_theory import _branches as branches
from rdml_theory._validation import FloatArray, explain_logits, explain_probabilities, explain_spread

SPLITTER = 134217729.0  # 2^27 + 1, Veltkamp's constant for float64
LIFT = 380
"""Sums that are rescaled are brought here, as a power of two: what is subnormal in a sum of one keeps its digits."""


def total(x: FloatArray, axis: int) -> FloatArray:
    """Sum over the class axis with an error that grows with log C: NumPy's own pairwise sum, or halving over rows."""
    if axis == 1:
        return np.add.reduce(x, axis=1, keepdims=True)
    while x.shape[0] > 8:
        half = x.shape[0] // 2
        folded = x[:half] + x[half : 2 * half]
        if x.shape[0] % 2:
            folded[0] += x[-1]
        x = folded
    return np.add.reduce(x, axis=0, keepdims=True)


def two_sum(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return a + b rounded, and its rounding error (Knuth)."""
    s = a + b
    v = s - a
    return s, (a - (s - v)) + (b - v)


def two_product(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return a * b rounded, and its rounding error (Dekker)."""
    c = SPLITTER * a
    a_high = c - (c - a)
    a_low = a - a_high
    c = SPLITTER * b
    b_high = c - (c - b)
    b_low = b - b_high
    product = a * b
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def double_total(x: FloatArray, axis: int) -> tuple[FloatArray, FloatArray]:
    """Sum over the class axis to about 106 bits, as a rounded value and the rest."""
    high = np.moveaxis(x, axis, 0)
    low: FloatArray | None = None
    while high.shape[0] > 1:
        half = high.shape[0] // 2
        s, e = two_sum(high[:half], high[half : 2 * half])
        if low is not None:
            e += low[:half]
            e += low[half : 2 * half]
        if high.shape[0] % 2:
            last = np.zeros_like(high[-1:]) if low is None else low[-1:]
            s, e = np.concatenate([s, high[-1:]]), np.concatenate([e, last])
        high, low = s, e
    if low is None:
        low = np.zeros_like(high)
    return np.moveaxis(high, 0, axis), np.moveaxis(low, 0, axis)


def careful_total(x: FloatArray, axis: int) -> tuple[FloatArray, FloatArray]:
    """Sum over the class axis, to 106 bits where few classes leave no room for rounding errors to average out."""
    if x.shape[axis] <= branches.FEW_CLASSES:
        return double_total(x, axis)
    high = total(x, axis)
    return high, np.zeros_like(high)


@dataclass
class Pair:
    """Rows of p and q on a common scale: both sum to `mass`.

    Attributes
    ----------
    p
        first argument.
    q
        second argument, rescaled to the sum of the first.
    d
        p - q, accurate relative to itself.
    mass
        sum of p over the classes, and of q.
    axis
        the class axis, 0 or 1.
    p_sum
        sum of p as the caller gave it.
    q_sum
        sum of q as the caller gave it.
    raw_q
        q before the rescaling; the scale is ``1 + rho``.
    rho
        relative change of q by the rescaling.
    ratio
        log(p/q), when it is known without p and q (logits); None to compute it.
    mass_rest
        what the rounding of `mass` left out, relative to it.
    has_zero
        whether some entry of p or q is zero.
    has_tiny
        whether some entry of p or q, made from logits, is so small that only its logarithm holds its digits.
    exact_log_p
        log p up to a rounding, when p may have underflowed (logits).
    exact_log_q
        the same of q.
    """

    p: FloatArray
    q: FloatArray
    d: FloatArray
    mass: FloatArray
    axis: int
    p_sum: FloatArray
    q_sum: FloatArray
    has_zero: bool
    has_tiny: bool = False
    raw_q: FloatArray | None = None
    rho: FloatArray | None = None
    ratio: FloatArray | None = None
    mass_rest: FloatArray | None = None
    exact_log_p: FloatArray | None = None
    exact_log_q: FloatArray | None = None
    given_log_p_sum: FloatArray | None = None
    given_log_q_sum: FloatArray | None = None

    @cached_property
    def t(self) -> FloatArray:
        """log(p/q): +inf where only q is zero, -inf where only p is, 0 where both are."""
        if self.ratio is not None:
            return self.ratio
        tau = np.copysign(np.log1p(np.abs(self.d) / np.minimum(self.p, self.q)), self.d)
        if not np.isfinite(np.add.reduce(tau, axis=None)):
            odd = np.flatnonzero(~np.isfinite(tau))
            p, q = self.p.ravel()[odd], self.q.ravel()[odd]
            both = (p == 0.0) & (q == 0.0)
            tau.ravel()[odd] = np.where(both, 0.0, np.log(np.where(both, 1.0, p)) - np.log(np.where(both, 1.0, q)))
        return tau

    @cached_property
    def log_p(self) -> FloatArray:
        """Logarithm of the normalised p."""
        return np.log(self.p / self.mass) if self.exact_log_p is None else self.exact_log_p

    @cached_property
    def log_q(self) -> FloatArray:
        """Logarithm of the normalised q."""
        return np.log(self.q / self.mass) if self.exact_log_q is None else self.exact_log_q

    @property
    def log_p_sum(self) -> FloatArray:
        """Logarithm of the sum of p as the caller gave it."""
        return np.log(self.p_sum) if self.given_log_p_sum is None else self.given_log_p_sum

    @property
    def log_q_sum(self) -> FloatArray:
        """Logarithm of the sum of q as the caller gave it."""
        return np.log(self.q_sum) if self.given_log_q_sum is None else self.given_log_q_sum

    def swap(self) -> Pair:
        """Exchange the two arguments."""
        return Pair(
            self.q,
            self.p,
            -self.d,
            self.mass,
            self.axis,
            self.q_sum,
            self.p_sum,
            self.has_zero,
            self.has_tiny,
            ratio=None if self.ratio is None else -self.ratio,
            mass_rest=self.mass_rest,
            exact_log_p=self.exact_log_q,
            exact_log_q=self.exact_log_p,
        )

    def select(self, rows: npt.NDArray[np.intp]) -> Pair:
        """Keep some rows."""

        def pick(x: FloatArray | None) -> Any:
            return None if x is None else np.take(x, rows, axis=1 - self.axis)

        return Pair(
            pick(self.p),
            pick(self.q),
            pick(self.d),
            pick(self.mass),
            self.axis,
            pick(self.p_sum),
            pick(self.q_sum),
            self.has_zero,
            self.has_tiny,
            pick(self.raw_q),
            pick(self.rho),
            pick(self.t),
            pick(self.mass_rest),
            pick(self.exact_log_p),
            pick(self.exact_log_q),
            pick(self.given_log_p_sum),
            pick(self.given_log_q_sum),
        )

    def row_of(self, index: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return the row of each flat index."""
        return index % self.p.shape[1] if self.axis == 0 else index // self.p.shape[1]

    def at(self, value: float | FloatArray | None, index: npt.NDArray[np.intp]) -> Any:
        """Return a per-row value at flat indices."""
        return value.ravel()[self.row_of(index)] if isinstance(value, np.ndarray) else value


def checked_sum(name: str, x: FloatArray, axis: int) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    """Return x, rescaled by a power of two where its sum would leave the range, its sum, the rest, and least entry."""
    least = x.min()
    if not least >= 0.0:
        raise explain_probabilities(name, x)
    mass, rest = careful_total(x, axis)
    if not (mass.min() > 2.0**-400 and mass.max() < 2.0**400):
        top = x.max(axis=axis, keepdims=True)
        if not (top.min() > 0.0 and top.max() < np.inf):
            raise explain_probabilities(name, x)
        x = np.ldexp(x, LIFT - np.frexp(top)[1])
        mass, rest = careful_total(x, axis)
        least = x.min()
    return x, mass, rest, float(least)


def _relative_excess(
    d: FloatArray, sums: tuple[FloatArray, FloatArray, FloatArray, FloatArray], axis: int
) -> FloatArray:
    """Return sum(p - q) / sum(q): from the sums where they hold 106 bits, else from the differences."""
    mass, rest, q_mass, q_rest = sums
    if d.shape[axis] <= branches.FEW_CLASSES:
        return ((mass - q_mass) + (rest - q_rest)) / q_mass
    return total(d, axis) / q_mass


def pair_from_probabilities(p: FloatArray, q: FloatArray, axis: int) -> Pair:
    """Build a pair from probabilities, rescaling q to the sum of p by a correction to the exact difference p - q."""
    original_p, original_q = p, q
    p, mass, rest, p_least = checked_sum("p", p, axis)
    q, q_mass, q_rest, q_least = checked_sum("q", q, axis)
    d = p - q
    rho = _relative_excess(d, (mass, rest, q_mass, q_rest), axis)
    far = not (rho.min() >= branches.FAR_SCALES[0] and rho.max() <= branches.FAR_SCALES[1])
    if far or (min(p_least, q_least) < 2.0**-960 and np.abs(rho).max() > branches.ROUNDING_SCALE):
        # far-apart scales, or entries that lose digits when they are rescaled: bring both sums to about the same large
        # number by powers of two first, which is exact
        p = np.ldexp(p, LIFT - np.frexp(mass)[1])
        q = np.ldexp(q, LIFT - np.frexp(q_mass)[1])
        (mass, rest), (q_mass, q_rest) = careful_total(p, axis), careful_total(q, axis)
        p_least, q_least = p.min(), q.min()
        d = p - q
        rho = _relative_excess(d, (mass, rest, q_mass, q_rest), axis)
    raw_q = q
    q = raw_q * rho
    d -= q
    q += raw_q
    largest = np.abs(rho)
    if largest.max() > branches.ROUNDING_SCALE:
        spread = total(np.abs(d), axis)
        bad = np.flatnonzero((largest > branches.ROUNDING_SCALE) & (largest * mass > spread))
        if bad.size:
            _rescale_exactly(p, raw_q, q, d, bad, axis)
    p_sum = mass if p is original_p else total(original_p, axis)
    q_sum = q_mass if raw_q is original_q else total(original_q, axis)
    has_zero = min(p_least, q_least) == 0.0
    return Pair(p, q, d, mass, axis, p_sum, q_sum, has_zero, raw_q=raw_q, rho=rho, mass_rest=rest / mass)


def exact_scale(p: FloatArray, q: FloatArray, axis: int) -> tuple[FloatArray, FloatArray]:
    """Return sum(p) / sum(q) of each row to about 106 bits, as a rounded value and the rest."""
    p_high, p_low = double_total(p, axis)
    q_high, q_low = double_total(q, axis)
    high = p_high / q_high
    product, error = two_product(high, q_high)
    return high, (((p_high - product) - error) + (p_low - high * q_low)) / q_high


def _rescale_exactly(
    p: FloatArray, raw_q: FloatArray, q: FloatArray, d: FloatArray, rows: npt.NDArray[np.intp], axis: int
) -> None:
    """Redo q and d in rows whose scales differ by more than their shapes do, with a ratio of sums to 106 bits."""
    first, second = (np.take(x, rows, axis=1 - axis) for x in (p, raw_q))
    high, low = exact_scale(first, second, axis)
    scaled, error = two_product(second, high)
    error = error + second * low
    difference, rounding = two_sum(first, -scaled)
    difference = difference + (rounding - error)
    # what is left of proportional entries is the rounding of the 106 bits: they are equal
    difference[np.abs(difference) < branches.PROPORTIONAL * first] = 0.0
    if axis == 0:
        q[:, rows], d[:, rows] = scaled + error, difference
    else:
        q[rows], d[rows] = scaled + error, difference


def softmax(name: str, x: FloatArray, axis: int, domain: str) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return the probabilities, their logarithms, the largest entry and the log of the sum relative to it."""
    top = x.max(axis=axis, keepdims=True)
    if not (top.min() > -np.inf and top.max() < np.inf):
        raise explain_logits(name, x, domain)
    log_p = x - top
    p = np.exp(log_p)
    mass = total(p, axis)
    p /= mass
    log_mass = np.log(mass)
    log_p -= log_mass
    return p, log_p, top, log_mass


def pair_from_logits(u: FloatArray, z: FloatArray, axis: int, domain: str) -> Pair:
    """Build a pair from logits or log-probabilities; a constant added to either has no effect beyond its rounding."""
    p, log_p, u_top, log_u = softmax("p", u, axis, domain)
    q, log_q, z_top, log_z = softmax("q", z, axis, domain)
    # log p - log q up to the log-sums, to 106 bits: offsets cancel exactly, and the log-sums are small
    below_u, u_low = two_sum(u, -u_top)
    below_z, z_low = two_sum(z, -z_top)
    t, t_low = two_sum(below_u, -below_z)
    t = (t - (log_u - log_z)) + (t_low + (u_low - z_low))
    no_p, no_q = np.isneginf(u), np.isneginf(z)
    excluded = no_p | no_q
    if not np.isfinite(np.where(excluded, 0.0, t)).all():
        raise explain_spread(domain)
    t = np.where(excluded, np.where(no_p & no_q, 0.0, np.where(no_p, -np.inf, np.inf)), t)
    plain = p - q
    d = _difference(p, q, t, plain)
    overlap = total(np.minimum(p, q), axis)
    close = overlap >= 1.0 - branches.CLOSE
    if close.any():
        # Newton's step for sum_i q_i (e^{t_i} - 1) = 0; the derivative of the mixed form in the shift is the overlap
        for _ in range(2):
            step = np.where(close, total(d, axis) / overlap, 0.0)
            t = t - step
            d = _difference(p, q, t, plain)
    one = np.ones_like(overlap)
    least = min(p.min(), q.min())
    return Pair(
        p,
        q,
        d,
        one,
        axis,
        one,
        one,
        has_zero=least == 0.0,
        has_tiny=least < branches.TINY_PROBABILITY,
        ratio=t,
        exact_log_p=log_p,
        exact_log_q=log_q,
        given_log_p_sum=u_top + log_u,
        given_log_q_sum=z_top + log_z,
    )


def _difference(p: FloatArray, q: FloatArray, t: FloatArray, plain: FloatArray) -> FloatArray:
    """Return p - q, from the log-ratio where the plain difference would cancel."""
    near = np.clip(t, -branches.NEAR, branches.NEAR)
    return np.where(np.abs(t) <= branches.NEAR, np.where(t > 0.0, -p * np.expm1(-near), q * np.expm1(near)), plain)
