"""The largest norm of a symmetric matrix of polynomials over a cube, by Bernstein coefficients and subdivision."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from math import comb

import numpy as np
from numpy.typing import NDArray

__all__ = ["fits", "largest_norm"]

Array = NDArray[np.float64]


def fits(dim: int, degree: int) -> bool:
    """Whether the coefficients are few enough: (degree + 1)^dim matrices of dim² numbers, two million at most.

    >>> fits(4, 6), fits(12, 6)
    (True, False)
    """
    return (degree + 1) ** dim * dim**2 <= 2_000_000


def largest_norm(
    matrix: Callable[[Array], Array], dim: int, degree: int, *, tolerance: float = 0.02, budget: int = 400
) -> tuple[float, float]:
    """An upper bound of max ‖H(t)‖ over t in [-1, 1]^dim, and a value that is attained up to rounding.

    A polynomial is a convex combination of its Bernstein coefficients, and the norm is convex: the largest norm of a
    coefficient bounds the maximum. Halving the cube brings it down, quadratically in the width; the part with the
    largest bound is halved, across the variable in which its coefficients differ most, until the bound is within the
    tolerance of a coefficient at a corner (which is a value), or the budget of parts is spent.

    Parameters
    ----------
    matrix : callable
        H at t of shape (points, dim): symmetric matrices, (points, dim, dim).
    dim, degree : int
        The number of variables, and H's degree in each of them (or more).
    tolerance : float
        Relative to the value that is attained.
    budget : int
        Parts to evaluate at most; the bound holds in any case.

    Returns
    -------
    tuple of float

    Notes
    -----
    The coefficients are interpolated in float64. Their errors are bounded by the norm of the inverse that is applied
    along each axis times the rounding of a sum, and added; halving takes means, which adds a few units in the last
    place.

    Examples
    --------
    >>> upper, attained = largest_norm(lambda t: (1 + t**2)[:, :, None], 1, 2)
    >>> round(attained, 9), bool(2 <= upper < 2.04)
    (2.0, True)
    """
    nodes = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    values = matrix(np.stack(np.meshgrid(*[nodes] * dim, indexing="ij"), axis=-1).reshape(-1, dim))
    u, k = (nodes[:, None] + 1) / 2, np.arange(degree + 1)
    inverse = np.linalg.inv(np.array([comb(degree, int(i)) for i in k]) * u**k * (1 - u) ** (degree - k))
    grid = values.reshape(*[degree + 1] * dim, dim, dim)
    for axis in range(dim):
        grid = np.moveaxis(np.tensordot(inverse, grid, (1, axis)), 0, axis)
    spread = float(np.abs(inverse).sum(axis=1).max()) ** dim
    eps = float(np.finfo(float).eps)
    slack = dim * float(np.abs(values).max()) * (8 * dim * (degree + 1) * spread + 64 * degree * dim * 10) * eps
    left = np.array([[comb(i, j) / 2**i if j <= i else 0.0 for j in range(degree + 1)] for i in range(degree + 1)])
    corners = np.ix_(*[[0, degree]] * dim)

    def top(matrices: Array, floor: float = 0.0) -> float:
        """The largest spectral norm, or the floor if none is above; matrices with the largest Frobenius norms first."""
        flat = matrices.reshape(-1, dim, dim)
        frobenius = np.sqrt((flat**2).sum(axis=(1, 2)))
        order = np.argsort(-frobenius)
        for at in range(0, len(order), 64):
            if frobenius[order[at]] <= floor:
                break
            floor = max(floor, float(np.abs(np.linalg.eigvalsh(flat[order[at : at + 64]])).max()))
        return floor

    attained, ticket = top(grid[corners]), count()
    heap = [(-top(grid), next(ticket), grid)]
    settled = 0.0
    for _ in range(budget // 2):
        if not heap or -heap[0][0] <= attained * (1 + tolerance):
            break
        _, _, part = heapq.heappop(heap)
        axis = int(np.argmax([np.abs(np.diff(part, axis=a)).max() for a in range(dim)]))
        for half in (left, left[::-1, ::-1]):
            child = np.moveaxis(np.tensordot(half, part, (1, axis)), 0, axis)
            attained = top(child[corners], attained)
            bound = top(child)
            if bound <= attained * (1 + tolerance / 2):
                # Near enough for good: not kept, for parts are large.
                settled = max(settled, bound)
            else:
                heapq.heappush(heap, (-bound, next(ticket), child))
    return max(settled, -heap[0][0] if heap else 0.0) + slack, attained
