"""Confidence bounds for the mean of independent replicas."""

from __future__ import annotations

import math

import numpy as np
import scipy  # its parts load when they are first used
from numpy.typing import ArrayLike, NDArray

from convergence.arguments import number, real

__all__ = ["ROUNDING", "bounded_interval", "mean_interval"]

# Running sums of up to millions of terms carry rounding errors; replicas without spread are not known better.
ROUNDING = 1e-12
"""Relative error of a mean that is due to rounding."""


STAKES = 2.0 ** (-np.arange(24) / 2)
"""Shares of its capital that a bettor puts on one replica."""

TINY = 2.0**-1000


def bounded_interval(
    values: ArrayLike, error_rate: float, *, upper: float, excess: float = 0.0, lower: float = 0.0, lack: float = 0.0
) -> tuple[float, float]:
    """Two one-sided confidence bounds for the mean of X ≥ l, whatever its distribution and however often one looks.

    Who doubts that the mean is as low as m bets a share c of his capital on each replica, at odds that are fair if the
    mean is m and unfavourable if it is lower: ∏ (1 + c(x - m)/(m - l)). If he is wrong, his capital ever reaches 1/δ
    with a probability of at most δ (Ville's inequality); the lower bound is the greatest m at which it has, for the
    average over the shares in ``STAKES``. The upper bound takes bets ∏ (1 + c(m - x)/(u - m)) on x = min(X, u). So both
    hold at all sizes at once, for any fixed order of independent replicas: after Waudby-Smith & Ramdas 2024, arXiv
    2010.09686.

    Parameters
    ----------
    values : array of shape (n,)
        Replicas, ≥ ``lower`` where nothing may lack.
    error_rate : float
        The probability, in (0, ½), with which each of the two bounds errs at most.
    upper, excess : float
        Numbers with E max(X - upper, 0) ≤ excess: a proved one, or X ≤ upper. The lower bound does not need them.
    lower, lack : float
        Numbers with E max(lower - X, 0) ≤ lack, l above, which the upper bound does not need.

    Returns
    -------
    tuple of float
        The lower and the upper bound; ``(inf, inf)`` if a replica is infinite or no number. The upper one is infinite
        too if the replicas belie the envelope: if their mean beyond it exceeds excess/δ, which has a probability of at
        most δ (Markov); and the lower one likewise.

    Raises
    ------
    ValueError
        If a value is below ``lower`` and nothing may lack, there is none, or the error rate or ``upper`` is out of
        range.

    Examples
    --------
    >>> low, high = bounded_interval([0.2, 0.4] * 500, 1e-3, upper=1.0)
    >>> round(low, 3), round(high, 3)
    (0.286, 0.314)
    >>> round(bounded_interval([0.5] * 1000, 1e-3, upper=5e3)[1])  # what 1 in 10,000 replicas shows is not ruled out
    50
    """
    x, rate, start = real("values", values), number("error_rate", error_rate), number("lower", lower)
    end = number("upper", upper, least=start)
    beyond, short = number("excess", excess, least=0), number("lack", lack, least=0)
    if x.ndim != 1 or not x.size or (not short and (x < start).any()):
        least = f"{x.min(initial=np.inf):g}"
        raise ValueError(f"values has shape {x.shape}, the least {least}: expected replicas >= {start:g}")
    if not 0 < rate < 0.5:
        raise ValueError(f"error_rate = {error_rate!r}: expected a probability between 0 and 1/2")
    greatest = float(np.abs(x).max())
    if not math.isfinite(greatest):
        return np.inf, np.inf
    # Each in units of its largest number, as powers of two: sums of what float64 holds may not be held.
    low, high = -np.inf, np.inf
    own = math.frexp(max(greatest, abs(start), short))[1]
    alone, floor, lacking = np.ldexp(x, -own), math.ldexp(start, -own), math.ldexp(short, -own)
    if float(np.maximum(floor - alone, 0.0).mean()) * rate <= lacking:
        low = floor + _crossing(alone - floor, rate)
        low = float(np.ldexp(low - ROUNDING * (abs(low) + abs(floor)) - lacking, own))
    exponent = math.frexp(max(greatest, abs(end), beyond))[1]
    x, end, beyond = np.ldexp(x, -exponent), math.ldexp(end, -exponent), math.ldexp(beyond, -exponent)
    if float(np.maximum(x - end, 0.0).mean()) * rate <= beyond:
        high = end - _crossing(end - x, rate)
        high = float(np.ldexp(high + ROUNDING * (abs(high) + abs(end)) + beyond, exponent))
    return low, high


def _crossing(away: NDArray[np.float64], rate: float) -> float:
    """How far the m at which the capital reaches 1/δ is from an end, of replicas that are ``away`` from it, or at it.

    A bet gains x/r - 1 of its stake, r the distance. In t = log(mean/r) the logarithm of the capital is convex and
    rises, so that Newton's steps come to the root from beyond it, nearer to the end.
    """
    mean = float(np.maximum(away, 0.0).mean())
    if not mean:
        return 0.0
    # Raised to the end; who stakes everything on a zero keeps next to nothing.
    away = np.maximum(away / mean, TINY)
    # Where a normal mean would be; and what float64 cannot tell from the end.
    t, last = -math.log1p(-min(math.sqrt(-2 * math.log(rate) / away.size) * float(away.std()), 0.9)), 40.0
    # A factor is c times the sum of x/r and (1-c)/c, c the share.
    odds = (1 / STAKES - 1)[:, None]
    log_stakes, log_rate = away.size * np.log(STAKES), math.log(rate) - math.log(STAKES.size)
    for _ in range(200):
        gained = away * math.exp(t)
        factors = gained + odds
        shares = gained / factors
        logs = np.log(factors, out=factors).sum(axis=1) + log_stakes
        most = float(logs.max())
        capital = np.exp(np.maximum(logs - most, -700))
        total = float(capital.sum())
        before, t = t, min(t - (most + math.log(total) + log_rate) * total / float(capital @ shares.sum(axis=1)), last)
        if abs(t - before) <= 1e-4:  # what is left is its square, on the safe side
            break
    return 0.0 if t >= last else mean * math.exp(-t - 1e-9)


def mean_interval(values: ArrayLike, error_rate: float) -> tuple[float, float]:
    """Two one-sided confidence bounds for the mean, each of which errs with probability ``error_rate``.

    Student's t statistic, corrected for skewness by Hall's monotone cubic transformation: time-averaged squared
    gradients are skewed to the right, for which the plain t bounds err too often on one side.

    Parameters
    ----------
    values : array of shape (n,)
        Independent and identically distributed replicas, n ≥ 8.
    error_rate : float
        The probability, in (0, ½), with which each of the two bounds may err (asymptotically in n; the coverage at
        moderate n is tested by simulation).

    Returns
    -------
    tuple of float
        The lower and the upper bound; ``(inf, inf)`` if a replica is infinite or no number.

    Raises
    ------
    ValueError
        If there are fewer than 8 replicas, or the error rate is out of range.

    Notes
    -----
    Hall 1992, "On the removal of skewness by transformation", J. R. Statist. Soc. B 54.

    Examples
    --------
    >>> low, high = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 0.05)
    >>> round(low, 2), round(high, 2)
    (2.86, 6.14)
    """
    x, rate = real("values", values), number("error_rate", error_rate)
    if x.ndim != 1 or x.size < 8:
        raise ValueError(f"values has shape {x.shape}: expected at least 8 replicas in one dimension")
    if not 0 < rate < 0.5:
        raise ValueError(f"error_rate = {error_rate!r}: expected a probability between 0 and 1/2")
    greatest = float(np.abs(x).max())
    if not math.isfinite(greatest):
        return np.inf, np.inf
    # Far from one, as a power of two: squares of what float64 holds may not be held.
    exponent = math.frexp(greatest)[1]
    if abs(exponent) > 250:
        low, high = mean_interval(np.ldexp(x, -exponent), rate)
        return float(np.ldexp(low, exponent)), float(np.ldexp(high, exponent))
    n, mean = x.size, float(x.mean())
    away = x - mean
    squares = away * away
    square, cube = float(squares.mean()), float((squares * away).mean())
    scale = math.sqrt(square / (n - 1))
    slack = ROUNDING * abs(mean)
    if math.sqrt(n) * scale <= slack:
        return mean - slack, mean + slack
    # Unbiased, as G₁ of Joanes & Gill 1998.
    skewness = math.sqrt(n * (n - 1)) / (n - 2) * cube / square**1.5
    quantile = float(scipy.special.stdtrit(n - 1, 1 - rate))

    def inverse(t: float) -> float:
        """The t statistic whose transform is ``t``."""
        c, moved = skewness / (3 * math.sqrt(n)), t - skewness / (6 * math.sqrt(n))
        return moved if abs(c) < 1e-8 else (math.cbrt(1 + 3 * c * moved) - 1) / c

    return mean - scale * inverse(quantile) - slack, mean - scale * inverse(-quantile) + slack
