"""MNIST-1D, generated in the process from its published recipe (Greydanus & Kobak 2020, arXiv 2011.14597).

Ten hand-drawn signals of 12 points are padded, dilated, scaled, shifted, blended with noise, sheared and sampled at 40
points. The recipe fixes the generator (NumPy's legacy one, seed 42) and the order of its draws, so the arrays are
those of the package `mnist1d`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["mnist1d"]

_TEMPLATES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
_POINTS, _LENGTH = 12, 40
_LEAST_PAD, _MOST_PAD = 36, 60
_SHIFT = 48
_SCALE, _SHEAR = 0.4, 0.75
_CORRELATED, _INDEPENDENT = 0.25, 0.02
_SEED = 42
Array = NDArray[np.float64]


def _templates() -> Array:
    x = np.asarray(_TEMPLATES, dtype=np.float64)
    x -= x.mean(1, keepdims=True)
    x /= x.std(1, keepdims=True)
    x -= x[:, :1]
    return x / 6.0


def _resampled(x: Array, points: int) -> Array:
    """Linear interpolation along the last axis, with the roundings of SciPy's interp1d."""
    from scipy.interpolate import interp1d

    return interp1d(np.linspace(0, 1, x.shape[-1]), x, axis=-1)(np.linspace(0, 1, points))


@cache
def mnist1d(samples: int = 5000) -> tuple[Array, NDArray[np.int64]]:
    """The samples, standardised, and their labels; the first four fifths are the training part.

    Parameters
    ----------
    samples : int
        A multiple of 10; the published data set has 5000.

    Returns
    -------
    tuple
        Signals of shape (samples, 40) and labels of shape (samples,).

    Examples
    --------
    >>> x, y = mnist1d()
    >>> x.shape, y[:8].tolist(), round(float(x.std()), 12)
    ((5000, 40), [2, 6, 4, 5, 6, 6, 6, 0], 1.0)
    """
    from scipy.ndimage import gaussian_filter1d

    total = _POINTS + _MOST_PAD
    random = np.random.RandomState(_SEED)
    pads, shifts = np.empty(samples, dtype=np.int64), np.empty(samples, dtype=np.int64)
    scales, shears = np.empty(samples), np.empty(samples)
    correlated, independent = np.empty((samples, total)), np.empty((samples, total))
    for n in range(samples):
        pads[n] = _LEAST_PAD + int(random.rand() * (_MOST_PAD - _LEAST_PAD + 1))
        scales[n] = 1 + _SCALE * (random.rand() - 0.5)
        shifts[n] = random.choice(_SHIFT)
        correlated[n] = random.randn(total)
        independent[n] = random.randn(total)
        shears[n] = _SHEAR * (random.rand() - 0.5)
    order = random.permutation(samples)

    labels = np.repeat(np.arange(10), samples // 10)
    signals = np.empty((samples, total))
    drawn = _templates() + 1e-8  # the padding alone is exactly zero, and gets the correlated noise
    for pad in np.unique(pads):
        rows = np.flatnonzero(pads == pad)
        signals[rows] = _resampled(np.pad(drawn[labels[rows]], ((0, 0), (0, pad))), total)
    signals *= scales[:, None]
    signals = np.take_along_axis(signals, (np.arange(total) - shifts[:, None]) % total, axis=1)
    empty = signals == 0
    signals = np.where(empty, gaussian_filter1d(_CORRELATED * correlated, 2, axis=1), signals)
    signals += _INDEPENDENT * independent
    signals -= shears[:, None] * np.linspace(-0.5, 0.5, total)
    x = _resampled(signals, _LENGTH)[order]
    return (x - x.mean()) / x.std(), labels[order]
