"""Rényi divergence and its derivatives, deliberately naive, in mpmath: the reference the product is measured against.

It shares no code and no idea with `rdml_theory`: normalise by dividing, take the definition, and carry so many digits
that the cancellation does not matter. `DIGITS` leaves over 40 correct digits at D = 1e-30 and alpha = 1 + 1e-12.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import flint
import mpmath as mp

DIGITS = 110


def _by_arb(function: Callable[[flint.arb], flint.arb]) -> Callable[[mp.mpf], mp.mpf]:
    """Take a function of mpmath from Arb, which is up to ten times as fast and encloses its result."""

    def value(x: mp.mpf) -> mp.mpf:
        sign, mantissa, exponent, _ = x._mpf_
        with flint.ctx.workprec(mp.mp.prec + 20):
            enclosure = function(flint.arb(flint.arf((-mantissa if sign else mantissa, exponent))))
        assert enclosure.rel_accuracy_bits() >= mp.mp.prec, f"too few digits at {x}"
        return mp.mpf(tuple(map(int, enclosure.mid().man_exp())))

    return value


exp, log = _by_arb(flint.arb.exp), _by_arb(flint.arb.log)


def normalised(x: Sequence[float], domain: str = "probs") -> list[mp.mpf]:
    """Return the exact normalised distribution of float entries."""
    if domain == "probs":
        values = [mp.mpf(float(v)) for v in x]
    else:
        top = mp.mpf(float(max(x)))
        values = [exp(mp.mpf(float(v)) - top) if v > -math.inf else mp.mpf(0) for v in x]
    total = mp.fsum(values)
    return [v / total for v in values]


def power_sum(p: Sequence[mp.mpf], q: Sequence[mp.mpf], alpha: float) -> mp.mpf:
    """Return sum p^alpha q^(1-alpha) for a finite order, in the convention 0^0 = 0 for a missing p."""
    a = mp.mpf(float(alpha))
    out = mp.mpf(0)
    for x, y in zip(p, q, strict=True):
        if x == 0:
            continue
        if y == 0:
            if a >= 1:
                return mp.inf
            continue
        out += exp(a * log(x) + (1 - a) * log(y))
    return out


def divergence(p: Sequence[mp.mpf], q: Sequence[mp.mpf], alpha: float) -> mp.mpf:
    """Return D_alpha(p||q) of normalised distributions."""
    if alpha == 1:
        out = mp.mpf(0)
        for x, y in zip(p, q, strict=True):
            if x == 0:
                continue
            if y == 0:
                return mp.inf
            out += x * log(x / y)
        return out
    if math.isinf(alpha):
        return max(mp.inf if y == 0 else log(x / y) for x, y in zip(p, q, strict=True) if x > 0)
    total = power_sum(p, q, alpha)
    if total == 0:
        return mp.inf
    if mp.isinf(total):
        return mp.inf
    return log(total) / (mp.mpf(float(alpha)) - 1)


def escort(p: Sequence[mp.mpf], q: Sequence[mp.mpf], alpha: float) -> list[mp.mpf]:
    """Return w proportional to p^alpha q^(1-alpha), for a finite order."""
    a = mp.mpf(float(alpha))
    s = [exp(a * log(x) + (1 - a) * log(y)) if x > 0 and y > 0 else mp.mpf(0) for x, y in zip(p, q, strict=True)]
    if alpha == 1:
        s = list(p)
    total = mp.fsum(s)
    return [v / total for v in s]


def student_gradient(p: Sequence[mp.mpf], q: Sequence[mp.mpf], alpha: float) -> list[mp.mpf]:
    """Return q - w."""
    return [y - x for x, y in zip(escort(p, q, alpha), q, strict=True)]


def teacher_gradient(p: Sequence[mp.mpf], q: Sequence[mp.mpf], alpha: float) -> list[mp.mpf]:
    """Return alpha (w - p) / (alpha - 1), or its limit p (t - KL)."""
    if alpha == 1:
        kl = divergence(p, q, 1)
        return [x * (log(x / y) - kl) if x > 0 else mp.mpf(0) for x, y in zip(p, q, strict=True)]
    a = mp.mpf(float(alpha))
    return [a / (a - 1) * (w - x) for w, x in zip(escort(p, q, alpha), p, strict=True)]


def order_derivative(p: Sequence[mp.mpf], q: Sequence[mp.mpf], alpha: float) -> mp.mpf:
    """Return KL(w||p) / (1 - alpha)^2, or its limit Var_p(t) / 2."""
    if alpha == 1:
        pairs = [(x, log(x / y)) for x, y in zip(p, q, strict=True) if x > 0]
        mean = mp.fsum(x * t for x, t in pairs)
        return mp.fsum(x * (t - mean) ** 2 for x, t in pairs) / 2
    w = escort(p, q, alpha)
    return divergence(w, p, 1) / (1 - mp.mpf(float(alpha))) ** 2


def covariance(w: Sequence[mp.mpf]) -> mp.matrix:
    """Return diag(w) - w w^T."""
    n = len(w)
    return mp.matrix(n, n) + mp.matrix([[(w[i] if i == j else 0) - w[i] * w[j] for j in range(n)] for i in range(n)])


def hessian(p: Sequence[mp.mpf], q: Sequence[mp.mpf], alpha: float, wrt: str) -> mp.matrix:
    """Return the Hessian in the logits of q or p, or the mixed block, from its textbook form."""
    a = mp.mpf(float(alpha))
    w = escort(p, q, alpha)
    if wrt == "q":
        return covariance(q) - (1 - a) * covariance(w)
    if wrt == "mixed":
        return -a * covariance(w)
    if alpha != 1:
        return a / (a - 1) * (a * covariance(w) - covariance(p))
    # limit: differentiate p_i (t_i - KL)
    kl = divergence(p, q, 1)
    n = len(p)
    g = [x * (log(x / y) - kl) for x, y in zip(p, q, strict=True)]
    rows = []
    for i in range(n):
        row = []
        for j in range(n):
            delta = mp.mpf(1 if i == j else 0)
            row.append(delta * g[i] - p[j] * g[i] + p[i] * ((delta - p[j]) - g[j]))
        rows.append(row)
    return mp.matrix(rows)


def ulps(value: float, exact: mp.mpf, bits: int = 53) -> float:
    """Return |value - exact| in units in the last place of `exact`; equal infinities and zeros count as zero."""
    if mp.isinf(exact):
        return 0.0 if value == math.inf else math.inf
    if exact == 0:
        return 0.0 if value == 0 else math.inf
    if not math.isfinite(value):
        return math.inf
    exponent = max(math.frexp(float(exact))[1] - bits, -1074)
    return float(abs(mp.mpf(float(value)) - exact) / mp.ldexp(1, exponent))
