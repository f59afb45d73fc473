"""Real data that comes inside a package: nothing is fetched."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["digits_by_halves"]


@cache
def digits_by_halves() -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], NDArray[np.int64]]:
    """scikit-learn's handwritten digits, each image cut in two: 1797 samples of 8 x 8 pixels in [0, 1], ten classes.

    The data set is the test part of the UCI "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998).

    Returns
    -------
    tuple
        The upper and the lower halves, each (1797, 32), and the labels (1797,).

    Examples
    --------
    >>> (top, bottom), labels = digits_by_halves()
    >>> top.shape, bottom.shape, int(labels.max())
    ((1797, 32), (1797, 32), 9)
    """
    # Importing scikit-learn takes seconds, which only those who train should pay.
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    pixels = pixels / 16.0
    return (pixels[:, :32], pixels[:, 32:]), labels.astype(np.int64)
