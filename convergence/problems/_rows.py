"""Problems made of other problems: the same with something replaced, and functions of one point asked row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ByRows", "Same"]

Array = NDArray[np.float64]


class Same:
    """The same problem, but for what a class of this kind says itself."""

    def __init__(self, problem: Any):
        self.inner = problem

    def __getattr__(self, name: str) -> Any:
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __repr__(self) -> str:
        return repr(self.inner)


class ByRows(Same):
    """A problem whose functions take one point: ``value(x)`` with x of shape (dim,) returns a number.

    Each row of a (replicas, dim) array is asked by itself, which costs a Python call a point. Faster are functions of
    many points: of NumPy over the last axis, ``jax.vmap`` or ``torch.func.vmap``.

    Parameters
    ----------
    problem : object
        With the attributes of :class:`~convergence.problems.Problem`; ``value(x)``, ``gradient(x)`` and
        ``sample_gradient(x, rng)`` of x of shape (dim,) return a number and arrays of shape (dim,).

    Examples
    --------
    >>> class Mine:
    ...     dim, smoothness, minimum, noise, bias = 3, 1.0, 0.0, 0.25, 0.0
    ...     def value(self, x):
    ...         return x @ x / 2
    ...     def gradient(self, x):
    ...         return x
    ...     def sample_gradient(self, x, rng):
    ...         return x + rng.normal(0, 0.5, 3) / 3**0.5
    >>> ByRows(Mine()).value(np.ones((2, 3)))
    array([1.5, 1.5])
    """

    def value(self, x: Array) -> Array:
        """f at each row."""
        return np.stack([np.asarray(self.inner.value(row)) for row in x])

    def gradient(self, x: Array) -> Array:
        """∇f at each row."""
        return np.stack([np.asarray(self.inner.gradient(row)) for row in x])

    def sample_gradient(self, x: Array, rng: np.random.Generator) -> Array:
        """A draw of the oracle for each row, one after the other from ``rng``."""
        return np.stack([np.asarray(self.inner.sample_gradient(row, rng)) for row in x])
