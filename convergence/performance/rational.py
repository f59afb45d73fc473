"""Exact arithmetic with matrices of fractions."""

from __future__ import annotations

from fractions import Fraction
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["integers", "is_positive_definite", "rounded"]

_BITS = 50


def rounded(value: float) -> Fraction:
    """The nearest multiple of 2**-50, so that sums of such numbers keep a common denominator.

    >>> rounded(0.25)
    Fraction(1, 4)
    """
    return Fraction(round(Fraction(value) * 2**_BITS), 2**_BITS)


def integers(array: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """An array of fractions as integers over one common denominator.

    >>> integers(np.array([Fraction(1, 2), Fraction(1, 3)], dtype=object))
    (array([3, 2], dtype=object), 6)
    """
    below = lcm(*(x.denominator for x in array.flat))
    whole = np.array([x.numerator * (below // x.denominator) for x in array.flat], dtype=object)
    return whole.reshape(array.shape), below


def is_positive_definite(matrix: NDArray[Any]) -> bool:
    """Whether a symmetric matrix of integers or fractions is positive definite, decided exactly.

    Elimination without fractions (Bareiss' form of LDLᵀ), whose pivots are the leading principal minors.

    >>> is_positive_definite(np.array([[2, 1], [1, 1]], dtype=object))
    True
    >>> is_positive_definite(np.array([[1, 1], [1, 1]], dtype=object))
    False
    """
    left, _ = integers(np.asarray(matrix, dtype=object))
    before = 1
    while len(left):
        pivot, row = left[0, 0], left[0, 1:]
        if pivot <= 0:
            return False
        left = (left[1:, 1:] * pivot - np.multiply.outer(left[1:, 0], row)) // before
        before = pivot
    return True
