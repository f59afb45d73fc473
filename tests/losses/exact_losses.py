"""The definition in mpmath, with so many digits that its cancellation does not matter.

It shares no code with the product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import mpmath as mp
from naive_renyi import DIGITS, exp, log, normalised


@dataclass(frozen=True)
class Exact:
    """D, its gradients in both logits and in the order, and the condition number of D in the logits."""

    value: mp.mpf
    student: list
    teacher: list
    order: mp.mpf
    condition: float


def exact(teacher, student, alpha) -> Exact:
    """Evaluate the textbook formulas for finite logits given as sequences of floats."""
    return _exact(tuple(teacher), tuple(student), float(alpha))


@cache
def _exact(teacher: tuple, student: tuple, alpha: float) -> Exact:
    with mp.workdps(DIGITS):
        p, q = normalised(teacher, "logits"), normalised(student, "logits")
        t = [log(x / y) for x, y in zip(p, q, strict=True)]
        kl = mp.fsum(x * y for x, y in zip(p, t, strict=True))
        if math.isinf(alpha):
            value = max(t)
            ties = [mp.mpf(x == value) for x in t]
            w = [x / mp.fsum(ties) for x in ties]
            gu, order = [x - y for x, y in zip(w, p, strict=True)], mp.mpf(0)
        elif alpha == 1:
            value, w = kl, p
            gu = [x * (y - kl) for x, y in zip(p, t, strict=True)]
            order = mp.fsum(x * (y - kl) ** 2 for x, y in zip(p, t, strict=True)) / 2
        else:
            a = mp.mpf(float(alpha))
            s = [exp(a * log(x) + (1 - a) * log(y)) for x, y in zip(p, q, strict=True)]
            total = mp.fsum(s)
            # the support of p is everything: D_0 is zero, where the formula leaves its last digit
            value = mp.mpf(0) if a == 0 else log(total) / (a - 1)
            w = [x / total for x in s]
            gu = [a / (a - 1) * (x - y) for x, y in zip(w, p, strict=True)]
            order = mp.fsum(x * log(x / y) for x, y in zip(w, p, strict=True)) / (1 - a) ** 2
        gz = [x - y for x, y in zip(q, w, strict=True)]
        if alpha == 0:
            gz = [mp.mpf(0)] * len(gz)
        weighed = mp.fsum(abs(mp.mpf(float(x)) * y) for x, y in zip(teacher, gu, strict=True)) + mp.fsum(
            abs(mp.mpf(float(x)) * y) for x, y in zip(student, gz, strict=True)
        )
        return Exact(value, gz, gu, order, float(weighed / value) if value > mp.mpf(10) ** -60 else 0.0)


def ulps(value: float, target: mp.mpf, bits: int = 53) -> float:
    """Return the error in units in the last place of the target, for a type of so many bits."""
    if target < mp.mpf(10) ** -60:  # zero, or the reference's own rounding
        return 0.0 if abs(value) < 1e-60 else math.inf
    return float(abs(mp.mpf(value) - target) / mp.ldexp(1, mp.frexp(target)[1] - bits))


def normwise(values, target) -> float:
    """Return the Euclidean error over the Euclidean norm of the target, in units of 2^-53."""
    size = mp.sqrt(mp.fsum(x * x for x in target))
    error = mp.sqrt(mp.fsum((mp.mpf(float(a)) - b) ** 2 for a, b in zip(values, target, strict=True)))
    if size < mp.mpf(10) ** -60:
        return 0.0 if error < mp.mpf(10) ** -60 else math.inf
    return float(error / size * 2**53)
