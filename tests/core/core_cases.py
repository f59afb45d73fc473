"""What the accuracy tests share: error measures against the naive reference."""

from __future__ import annotations

import math

import mpmath as mp
import naive_renyi as naive
import numpy as np

EPS = 2.0**-53  # the unit roundoff u
VALUE_ULPS = 8.0
FIRST_ORDER = 64.0  # units of u, normwise
SECOND_ORDER = 256.0
# digits that leave enough even where two entries of 1e-300 decide the result
DEEP_DIGITS = 720


def digits_for(kind: str) -> int:
    """Return the precision a kind of case needs."""
    return DEEP_DIGITS if kind in ("tiny_entries", "huge_ratios") else naive.DIGITS


def normwise(values: np.ndarray, exact) -> float:
    """Return ||values - exact|| / (u ||exact||); zero when both vanish."""
    flat, target = np.ravel(values), [mp.mpf(x) for x in exact]
    assert len(flat) == len(target)
    size = mp.sqrt(mp.fsum(x * x for x in target))
    error = mp.sqrt(mp.fsum((mp.mpf(float(a)) - b) ** 2 for a, b in zip(flat, target, strict=True)))
    if size == 0:
        return 0.0 if error == 0 else math.inf
    return float(error / size / EPS)


def to_logit_gradient(gradient: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the gradient in log-entries, p_i dD/dp_i, from that in the entries."""
    return gradient * p
