"""Confidence bounds for the mean of independent replicas."""

from __future__ import annotations

import numpy as np
import scipy  # its parts load when they are first used
from numpy.typing import ArrayLike

from convergence.arguments import number, real

__all__ = ["ROUNDING", "mean_interval"]

# Running sums of up to millions of terms carry rounding errors; replicas without spread are not known better.
ROUNDING = 1e-12
"""Relative error of a mean that is due to rounding."""


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
    if not np.isfinite(x).all():
        return np.inf, np.inf
    # Far from one, as a power of two: squares of what float64 holds may not be held.
    exponent = int(np.frexp(np.abs(x).max())[1])
    if abs(exponent) > 250:
        low, high = mean_interval(np.ldexp(x, -exponent), rate)
        return float(np.ldexp(low, exponent)), float(np.ldexp(high, exponent))
    n, mean = x.size, float(x.mean())
    deviation = float(x.std(ddof=1))
    slack = ROUNDING * abs(mean)
    if deviation <= slack:
        return mean - slack, mean + slack
    away = x - mean
    # Unbiased, as G₁ of Joanes & Gill 1998.
    skewness = float(np.sqrt(n * (n - 1)) / (n - 2) * (away**3).mean() / (away**2).mean() ** 1.5)
    quantile = float(scipy.special.stdtrit(n - 1, 1 - rate))

    def inverse(t: float) -> float:
        """The t statistic whose transform is ``t``."""
        c = skewness / (3 * np.sqrt(n))
        if abs(c) < 1e-8:
            return t - skewness / (6 * np.sqrt(n))
        return float((np.cbrt(1 + 3 * c * (t - skewness / (6 * np.sqrt(n)))) - 1) / c)

    scale = deviation / np.sqrt(n)
    return float(mean - scale * inverse(quantile) - slack), float(mean - scale * inverse(-quantile) + slack)
