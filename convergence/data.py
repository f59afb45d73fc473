"""Real data that comes inside a package, by name: nothing is fetched. Needs scikit-learn where it is asked for."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["DATA", "SPLITS", "game_data", "real_data"]

Array = NDArray[np.float64]

DATA = ("breast_cancer", "digits", "iris")
"""The data sets that `real_data` knows."""

SPLITS = ("features", "samples", "none")
"""What the students of `game_data` differ in: their features, their samples, or nothing."""


@cache
def real_data(name: str) -> tuple[Array, NDArray[np.int64]]:
    """Features (N, d), on a scale of about 1, and labels (N,), the classes 0 … C-1, of a named data set.

    =============  ====  ==  ==  ==========================================================================
    name           N     d   C   source
    =============  ====  ==  ==  ==========================================================================
    breast_cancer  569   30  2   UCI "Breast Cancer Wisconsin (Diagnostic)" (Wolberg, Street & Mangasarian
                                 1995); standardised, then divided by √30
    digits         1797  64  10  the test part of the UCI "Optical Recognition of Handwritten Digits" (Alpaydin
                                 & Kaynak 1998); 8 x 8 pixels in [0, 1], row by row
    iris           150   4   3   Fisher 1936, "The use of multiple measurements in taxonomic problems"; length
                                 and width of the sepal and of the petal, standardised
    =============  ====  ==  ==  ==========================================================================

    Raises
    ------
    ValueError
        If there are no data of that name.

    Examples
    --------
    >>> features, labels = real_data("breast_cancer")
    >>> features.shape, sorted(set(labels.tolist()))
    ((569, 30), [0, 1])
    """
    if name not in DATA:
        raise ValueError(f"data = {name!r}: no such data; available are {', '.join(DATA)}")
    # The tables lie in scikit-learn, which itself would take seconds to import.
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError(f"data = {name!r} needs sklearn: pip install 'rdml-theory[verify]'", name="sklearn")
    tables = Path(package.origin).parent / "datasets" / "data"
    file, above = (tables / "digits.csv.gz", 0) if name == "digits" else (tables / f"{name}.csv", 1)
    table = np.loadtxt(file, delimiter=",", skiprows=above)
    features, labels = table[:, :-1], table[:, -1].astype(np.int64)
    if name == "digits":
        features = features / 16.0
    else:
        features = (features - features.mean(axis=0)) / features.std(axis=0)
    if name == "breast_cancer":
        features = features / np.sqrt(features.shape[1])
    features.flags.writeable = labels.flags.writeable = False  # all who ask share them
    return features, labels


def game_data(name: str, students: int, split: str = "features") -> tuple[list[Array], NDArray[np.int64], Array]:
    """Named data for K students, who differ in their features, in their samples, or in neither.

    Parameters
    ----------
    name : str
        Of :func:`real_data`.
    students : int
        K ≥ 1.
    split : str
        ``"features"``: each student sees its part of the features, in their order (digits: with K = 2 the upper and the
        lower half of the image). ``"samples"``: all see all features, but the base loss of student k is on every K-th
        sample, from the k-th on; the mutual losses are on all samples. ``"none"``: students differ in nothing here.

    Returns
    -------
    tuple
        K arrays (N, d_k), labels (N,), and the weights (K, N) of the samples in each base loss, whose means are 1.

    Raises
    ------
    ValueError
        If a name is unknown, or there are more students than features.

    Examples
    --------
    >>> (top, bottom), labels, weights = game_data("digits", 2)
    >>> top.shape, bottom.shape, int(labels.max()), weights.shape
    ((1797, 32), (1797, 32), 9, (2, 1797))
    >>> game_data("digits", 3, "samples")[2][:, :4].tolist()
    [[3.0, 0.0, 0.0, 3.0], [0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0]]
    """
    if split not in SPLITS:
        raise ValueError(f"split = {split!r}: expected one of {', '.join(SPLITS)}")
    features, labels = real_data(name)
    count, dim = features.shape
    most = dim if split == "features" else count
    if isinstance(students, bool) or not isinstance(students, int) or not 1 <= students <= most:
        raise ValueError(f"students = {students!r}: expected 1 to {most}, with data = {name!r} and split = {split!r}")
    weights = np.ones((students, count))
    if split == "features":
        return np.array_split(features, students, axis=1), labels, weights
    if split == "samples":
        weights[...] = np.arange(count) % students == np.arange(students)[:, None]
        weights /= weights.mean(axis=1, keepdims=True)
    return [features] * students, labels, weights
