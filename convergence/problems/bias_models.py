"""Gradient bias of a known norm ‖b‖ = ζ, or, for the relative one, in proportion to the gradient.

Each model is a function ``(gradient, size) -> b``, where ``gradient`` has shape (..., dim) and ``size`` is ζ (√m for a
relative bias).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["BIAS_MODELS", "BiasModel", "adversarial", "against_gradient", "along_gradient", "constant", "relative"]

Array = NDArray[np.float64]
BiasModel = Callable[[Array, float], Array]
"""From gradients (..., d) and a size ζ to biases (..., d) of at most that norm."""


def _scaled(gradient: Array, factor: Array) -> Array:
    """The gradient times a factor (..., 1), in the gradient's own order of memory, in which it is added fastest."""
    return np.multiply(gradient, factor, out=np.empty_like(gradient))


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
    if norm.all():
        return _scaled(gradient, size / norm)
    flat = norm == 0
    return np.where(flat, constant(gradient, size), gradient * (size / np.where(flat, 1.0, norm)))


def against_gradient(gradient: Array, size: float) -> Array:
    """-ζ ∇f/‖∇f‖: the bias that attains the sharp bound for Λη ≤ 1.

    >>> against_gradient(np.array([[3.0, 4.0]]), 5.0)
    array([[-3., -4.]])
    """
    return along_gradient(gradient, -size)


def adversarial(gradient: Array, size: float) -> Array:
    """The greedy adversary that knows ζ only: it stops the descent where it can, and else slows it the most.

    ``b = -∇f min(1, ζ/‖∇f‖)``: wherever ‖∇f‖ ≤ ζ the step vanishes and SGD stands still, so that without noise it halts
    at the first point with ‖∇f‖ ≤ ζ; elsewhere it is -ζ ∇f/‖∇f‖.

    >>> adversarial(np.array([[3.0, 4.0], [0.3, 0.4]]), 1.0)
    array([[-0.6, -0.8],
           [-0.3, -0.4]])
    """
    norm = np.linalg.norm(gradient, axis=-1, keepdims=True)
    return _scaled(gradient, -np.minimum(1.0, size / np.where(norm == 0, 1.0, norm)))


def relative(gradient: Array, size: float) -> Array:
    """-√m ∇f: the worst bias with ‖b‖² ≤ m‖∇f‖², which only slows the descent.

    >>> relative(np.array([[3.0, 4.0]]), 0.5)
    array([[-1.5, -2. ]])
    """
    return -size * gradient


BIAS_MODELS: dict[str, BiasModel] = {
    "adversarial": adversarial, "against_gradient": against_gradient, "along_gradient": along_gradient,
    "constant": constant,
}  # fmt: skip
"""The models by name, as `problems.get(..., bias_model=...)` takes them."""
