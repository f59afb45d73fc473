"""Zero-mean gradient noise with a known variance E‖n‖² = σ².

Each model is a function ``(gradient, deviation, rng) -> n``, where ``gradient`` has shape (replicas, dim) and
``deviation`` is σ.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOISE_MODELS", "NoiseModel", "gaussian", "orthogonal", "rademacher"]

Array = NDArray[np.float64]
NoiseModel = Callable[[Array, float, np.random.Generator], Array]


def gaussian(gradient: Array, deviation: float, rng: np.random.Generator) -> Array:
    """Isotropic normal noise: each coordinate has variance σ²/dim.

    >>> rng = np.random.default_rng(0)
    >>> gaussian(np.zeros((2, 3)), 1.0, rng).shape
    (2, 3)
    """
    draw = rng.standard_normal(gradient.shape)
    draw *= deviation / np.sqrt(gradient.shape[-1])
    return draw


def rademacher(gradient: Array, deviation: float, rng: np.random.Generator) -> Array:
    """Each coordinate is ±σ/√dim with equal chances, so that ‖n‖ = σ always.

    >>> rng = np.random.default_rng(0)
    >>> bool(np.isclose(np.linalg.norm(rademacher(np.zeros((1, 4)), 3.0, rng)), 3.0))
    True
    """
    draw = rng.integers(0, 2, gradient.shape, dtype=np.int8).astype(np.float64)
    draw *= 2.0
    draw -= 1.0
    draw *= deviation / np.sqrt(gradient.shape[-1])
    return draw


def orthogonal(gradient: Array, deviation: float, rng: np.random.Generator) -> Array:
    """±σ along a unit vector orthogonal to the gradient: the noise that attains the sharp bound.

    The vector is the gradient's first two coordinates turned by 90°, or the first axis where they vanish.

    >>> rng = np.random.default_rng(0)
    >>> g = np.array([[3.0, 4.0]])
    >>> n = orthogonal(g, 2.0, rng)
    >>> float((n * g).sum()), float(np.linalg.norm(n))
    (0.0, 2.0)
    """
    sign = rng.integers(0, 2, gradient.shape[:-1], dtype=np.int8) * 2.0 - 1.0
    draw = np.zeros_like(gradient)
    length = np.hypot(gradient[..., 0], gradient[..., 1])
    flat = length == 0
    scale = deviation * sign / np.where(flat, 1.0, length)
    draw[..., 0] = np.where(flat, deviation * sign, -gradient[..., 1] * scale)
    draw[..., 1] = np.where(flat, 0.0, gradient[..., 0] * scale)
    return draw


NOISE_MODELS: dict[str, NoiseModel] = {"gaussian": gaussian, "orthogonal": orthogonal, "rademacher": rademacher}
