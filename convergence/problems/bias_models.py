"""Gradient bias of a known norm ‖b‖ = ζ.

Each model is a function ``(gradient, size) -> b``, where ``gradient`` has shape (replicas, dim) and ``size`` is ζ.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["BIAS_MODELS", "BiasModel", "against_gradient", "along_gradient", "constant"]

Array = NDArray[np.float64]
BiasModel = Callable[[Array, float], Array]


def constant(gradient: Array, size: float) -> Array:
    """ζ along the first axis, the same everywhere.

    >>> constant(np.array([[1.0, 1.0]]), 0.5)
    array([[0.5, 0. ]])
    """
    bias = np.zeros_like(gradient)
    bias[..., 0] = size
    return bias


def along_gradient(gradient: Array, size: float) -> Array:
    """ζ ∇f/‖∇f‖, and ζ along the first axis where the gradient vanishes.

    >>> along_gradient(np.array([[3.0, 4.0], [0.0, 0.0]]), 5.0)
    array([[3., 4.],
           [5., 0.]])
    """
    norm = np.linalg.norm(gradient, axis=-1, keepdims=True)
    flat = norm == 0
    bias = gradient * (size / np.where(flat, 1.0, norm))
    return np.where(flat, constant(gradient, size), bias)


def against_gradient(gradient: Array, size: float) -> Array:
    """-ζ ∇f/‖∇f‖: the bias that attains the sharp bound for Λη ≤ 1.

    >>> against_gradient(np.array([[3.0, 4.0]]), 5.0)
    array([[-3., -4.]])
    """
    return along_gradient(gradient, -size)


BIAS_MODELS: dict[str, BiasModel] = {
    "against_gradient": against_gradient, "along_gradient": along_gradient, "constant": constant,
}  # fmt: skip
