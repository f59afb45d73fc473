"""Real data that comes inside a package: nothing is fetched."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["breast_cancer", "digits_by_halves", "iris_by_parts"]


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


@cache
def iris_by_parts() -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], NDArray[np.int64]]:
    """Fisher's irises: length and width of the sepal and of the petal, standardised, of 150 flowers of three species.

    (Fisher 1936, "The use of multiple measurements in taxonomic problems".) Training on it takes a fifth of a
    millisecond a step.

    Returns
    -------
    tuple
        The sepals and the petals, each (150, 2), and the species (150,).

    Examples
    --------
    >>> (sepals, petals), labels = iris_by_parts()
    >>> sepals.shape, petals.shape, int(labels.max())
    ((150, 2), (150, 2), 2)
    """
    from sklearn.datasets import load_iris

    values, labels = load_iris(return_X_y=True)
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    return (values[:, :2], values[:, 2:]), labels.astype(np.int64)


@cache
def breast_cancer() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """scikit-learn's breast cancer data: 569 samples of 30 standardised features, scaled by 1/√30, and labels -1 and 1.

    The data set is the UCI "Breast Cancer Wisconsin (Diagnostic)" (Wolberg, Street & Mangasarian 1995).

    Examples
    --------
    >>> features, labels = breast_cancer()
    >>> features.shape, sorted(set(labels.tolist()))
    ((569, 30), [-1.0, 1.0])
    """
    from sklearn.datasets import load_breast_cancer

    features, labels = load_breast_cancer(return_X_y=True)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    return features / np.sqrt(features.shape[1]), np.where(labels > 0, 1.0, -1.0)
