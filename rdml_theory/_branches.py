"""Every branch decision of the numeric core, and the threshold behind it.

The kernels only evaluate formulas; which formula is used, and where, is decided here. Each threshold is named, so that
the tests can sit on both sides of it and `docs/accuracy.md` can justify it.

The core evaluates orders of at least one half. Smaller orders are reached by skew symmetry,
D_a(p||q) = a/(1-a) D_{1-a}(q||p), which is exact and needs no division by a.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from math import factorial

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# An element is "near" while max(1, |offset|) |t| <= NEAR + NEAR_BELOW min(0, offset)^2, offset = alpha - 1: there a
# Taylor series in t replaces a difference that cancels. Beyond, the difference loses a factor of at most 5.6, which the
# error budget absorbs; the bound is wider for offset < 0, where the difference is worse: at |t| = 1, alpha = 1/2 it
# would lose 9.2.
NEAR = 1.0
NEAR_BELOW = 4.0
# The series is cut where edge^n / (n + 2)!, with its edge as above, falls below this: 18 terms at 1, 23 at 2.
SERIES_TAIL = 1e-18
# The series of y / (d t) rounds less than that of y / (p t^2), but it is long for |t| above one: it serves offset >= 0,
# and offset < 0 while all near elements have max(1, |offset|) |t| <= MIXED_EDGE.
MIXED_EDGE = 0.5
MIXED_TERMS = 24
MIXED_TERMS_BELOW = 17
# beyond this exponent the rounding of t, multiplied by the exponent, would show: use a power of p/q instead of exp.
POWER = 2.0
# up to this exponent the rounding of p/q, multiplied by it, stays below one unit and needs no undoing.
PLAIN_POWER = 2.0
# 1 + offset Y keeps its digits while offset Y >= -CANCEL; below, the sum S of p^a q^(1-a) is formed directly.
CANCEL = 0.5
# up to this |offset Y|, log(1 + offset Y) / offset is Y (1 - x/2 + x^2/3) to all digits.
SMALL_SUM = 1e-6
# S outside [TINY_SUM, HUGE_SUM] is formed as a logarithm, because its terms may under- or overflow.
TINY_SUM = 2.0**-200
HUGE_SUM = 2.0**800
# orders below this one are treated as 0: 1/alpha would overflow.
SMALLEST_ORDER = 2.0**-1000
# a residual scale |rho| below this is rounding of a normalised input; above, it is checked against the spread of p - q.
ROUNDING_SCALE = 2.0**-46
# below order one, q - s is formed from s itself once p/q exceeds e^(APART / (1 - alpha)); before, e^APART is lost.
APART = 2.0
# a logit gradient whose entries sum to more than this part of their absolute sum has an entry that cancelled.
BALANCE = 8 * 2.0**-53
# offset of the orders 1/2, 3/2 and 2 (and, by symmetry, of no other): square roots and quotients are enough.
CLOSED_FORMS = (-0.5, 0.5, 1.0)
# a gradient whose common term is this many times larger than itself is formed from ratios to its main class.
DRIFT = 4.0
# log(w/p) comes from the weights where it is a difference of terms that add up to more than this.
WEIGHT_SIZE = 4.0
# sums further apart than a factor of two are first brought together by powers of two.
FAR_SCALES = (-0.5, 1.0)
# up to this many classes sums carry 106 bits: with more, rounding errors average out and time matters.
FEW_CLASSES = 64
# entries that differ by less than this part after an exact rescaling are proportional.
PROPORTIONAL = 2.0**-98
# from logits, the common shift is refined by a Newton step while the total variation is at most this.
CLOSE = 0.5
# probabilities below this one, made from logits, have lost digits or all of themselves: their logarithms have not.
TINY_PROBABILITY = 2.0**-1000
# the exponents |x| <= SMALL_EXPONENT of the order derivative use a series.
SMALL_EXPONENT = 1.0


@cache
def _bernoulli_series(terms: int) -> list[float]:
    """Coefficients of t / (1 - e^-t), the inverse of sum (-t)^k / (k+1)!."""
    series = [Fraction(1)]
    for n in range(1, terms):
        series.append(
            -sum((Fraction((-1) ** k, factorial(k + 1)) * series[n - k] for k in range(1, n + 1)), Fraction(0))
        )
    return [float(x) for x in series]


@dataclass(frozen=True)
class Order:
    """One order, or one order per row, as the kernels need it.

    Attributes
    ----------
    alpha
        the order the caller asked for; a float, or an array that broadcasts against the class axis.
    swapped
        whether the kernel runs on (q, p) at order 1 - alpha.
    kernel_alpha
        the order the kernel runs at, at least one half.
    offset
        ``kernel_alpha - 1``, formed without an intermediate rounding.
    """

    alpha: float | FloatArray
    swapped: bool
    kernel_alpha: float | FloatArray
    offset: float | FloatArray

    @property
    def is_kl(self) -> bool:
        """Whether the kernel order is exactly one (the caller groups rows, so an array never mixes it in)."""
        return isinstance(self.offset, float) and self.offset == 0.0

    @property
    def closed_form(self) -> float | None:
        """offset, where the order has a closed form without a logarithm."""
        return self.offset if isinstance(self.offset, float) and self.offset in CLOSED_FORMS else None

    @cached_property
    def scale(self) -> float | FloatArray:
        """max(1, |offset|), the factor that turns a log-ratio into the variable of the series."""
        if isinstance(self.offset, float):
            return max(1.0, abs(self.offset))
        return np.maximum(1.0, np.abs(self.offset))

    @cached_property
    def near(self) -> float | FloatArray:
        """The largest |t| that takes the series."""
        if isinstance(self.offset, float):
            return (NEAR + NEAR_BELOW * min(0.0, self.offset) ** 2) / self.scale
        return (NEAR + NEAR_BELOW * np.minimum(0.0, self.offset) ** 2) / self.scale

    @cached_property
    def coefficients(self) -> list[float | FloatArray]:
        """Coefficients of y / (p t^2) in powers of ``scale * t``: (offset^(k+1) + (-1)^k) / ((k+2)! scale^k)."""
        edge, terms = float(np.max(self.near * self.scale)), 1
        while edge**terms / factorial(terms + 2) > SERIES_TAIL:
            terms += 1
        ratio, inverse = self.offset / self.scale, -1.0 / self.scale
        found, first, second = [self.kernel_alpha * 0.5], self.offset, 1.0
        for k in range(1, terms):
            first, second = first * ratio, second * inverse
            found.append((first + second) / float(factorial(k + 2)))
        return found

    @cached_property
    def mixed_coefficients(self) -> list[float | FloatArray]:
        """Coefficients of y / (d t) in powers of ``scale * t``: those of y / (p t^2) times those of t / (1 - e^-t)."""
        terms = MIXED_TERMS_BELOW if np.min(self.offset) < 0.0 else MIXED_TERMS
        plain = np.array(self.coefficients)[:terms]
        found = np.zeros((terms, *plain.shape[1:]))
        for k, number in enumerate(_bernoulli_series(terms)):
            if number:
                found[k : k + len(plain)] += number * self.scale**-k * plain[: terms - k]
        return list(found)


def split_order(alpha: float) -> Order:
    """Return the plan of a scalar order in (0, inf)."""
    if alpha < 0.5:
        return Order(alpha, True, 1.0 - alpha, -alpha)
    return Order(alpha, False, alpha, alpha - 1.0)


def split_orders(alpha: FloatArray, swapped: bool) -> Order:
    """Return the plan of an array of orders that all lie on one side of one half and exclude 0, 1 and infinity."""
    if swapped:
        return Order(alpha, True, 1.0 - alpha, -alpha)
    return Order(alpha, False, alpha, alpha - 1.0)


ZERO, SWAPPED, DIRECT, KL, INFINITE = range(5)


def order_classes(alpha: FloatArray) -> npt.NDArray[np.int8]:
    """Classify each order: ZERO, SWAPPED (below one half), DIRECT, KL (exactly one) or INFINITE."""
    out = np.full(alpha.shape, DIRECT, dtype=np.int8)
    out[alpha < 0.5] = SWAPPED
    out[alpha < SMALLEST_ORDER] = ZERO
    out[alpha == 1.0] = KL
    out[np.isinf(alpha)] = INFINITE
    return out
