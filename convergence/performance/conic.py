"""Linear matrix inequalities and quadratic programs, handed to an interior-point solver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["REMEDY", "Solution", "minimise", "nearest_in_hull", "triangle", "unpack"]

Array = NDArray[np.float64]

_TOLERANCE = 1e-10

REMEDY = (
    "its numbers are too far apart; bring bias and noise nearer to the scale of ΛΔ, and take fewer steps where steps "
    "are unstable"
)


@dataclass(frozen=True)
class Solution:
    """Multipliers y, the matrices that are dual to the inequalities, and what is dual to the equalities."""

    multipliers: Array
    matrices: tuple[Array, ...]
    values: Array
    cost: float


def _solver() -> Any:
    try:
        import clarabel
    except ImportError as error:
        raise ImportError(
            "the exact worst case is a semidefinite program, which the package clarabel solves: "
            "pip install 'rdml-theory[sdp]'"
        ) from error
    return clarabel


def _settings(clarabel: Any) -> Any:
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = _TOLERANCE
    return settings


def _csc(matrix: Any) -> Any:
    return sparse.csc_array(matrix)


@cache
def triangle(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    """Rows, columns and weights (1 or √2) of the upper triangle, column by column, as the solver packs matrices."""
    columns, rows = np.tril_indices(size)
    return rows, columns, np.where(rows == columns, 1.0, np.sqrt(2.0))


def unpack(packed: Array, size: int) -> Array:
    """The symmetric matrix of a packed triangle.

    >>> unpack(np.array([1.0, 2**0.5 * 3, 2.0]), 2)
    array([[1., 3.],
           [3., 2.]])
    """
    rows, columns, weights = triangle(size)
    matrix = np.zeros((size, size))
    matrix[rows, columns] = matrix[columns, rows] = packed / weights
    return matrix


def minimise(
    cost: Array,
    equalities: tuple[Any, Array],
    inequalities: tuple[Any, Array],
    sizes: Sequence[int],
    *,
    free: int = 0,
    margin: float,
    judged: bool = False,
) -> Solution:
    """Minimise cost·y subject to E y = e, y ≥ margin (but for the last ``free`` ones) and Σ y_c A_c - C ≽ margin I.

    The margin makes room for rounding: what is found satisfies the inequalities strictly.

    Parameters
    ----------
    cost : ndarray, shape (m,)
        Of the multipliers y.
    equalities, inequalities : (sparse matrix, ndarray)
        E with e; the packed triangles of the A_c, block below block, as columns, with those of C.
    sizes : sequence of int
        The sizes of the blocks.
    free : int
        How many multipliers may be negative.
    margin : float
        At least 0.
    judged : bool
        Whether the caller judges the multipliers, so that a solver short of its accuracy may give them too.

    Raises
    ------
    ImportError
        Without clarabel.
    RuntimeError
        If the solver finds no solution.
    """
    clarabel = _solver()
    count = len(cost)
    signed = count - free
    shift = np.concatenate([np.where(r == c, margin, 0.0) for r, c, _ in map(triangle, sizes)])
    left = sparse.vstack(
        [equalities[0], -sparse.eye_array(signed, count, format="csc"), -inequalities[0]], format="csc"
    )
    right = np.concatenate([equalities[1], np.full(signed, -margin), -inequalities[1] - shift])
    cones = [clarabel.ZeroConeT(len(equalities[1])), clarabel.NonnegativeConeT(signed)]
    cones += [clarabel.PSDTriangleConeT(size) for size in sizes]
    found = clarabel.DefaultSolver(_csc((count, count)), cost, left, right, cones, _settings(clarabel)).solve()
    accepted = {"Solved", "AlmostSolved"} | ({"InsufficientProgress", "NumericalError"} if judged else set())
    if str(found.status) not in accepted or not np.isfinite(found.x).all():
        raise RuntimeError(f"the semidefinite program was not solved (status {found.status}): {REMEDY}")
    dual = np.asarray(found.z)
    packed = dual[len(equalities[1]) + signed :]
    ends = np.cumsum([size * (size + 1) // 2 for size in sizes])
    matrices = tuple(unpack(p, s) for p, s in zip(np.split(packed, ends[:-1]), sizes, strict=True))
    return Solution(np.asarray(found.x), matrices, dual[: len(equalities[1])], float(found.obj_val))


def nearest_in_hull(points: Array, heights: Array, target: Array) -> Array:
    """Weights w ≥ 0 of sum 1 that minimise ``‖target - Σ w_i points_i‖² + Σ w_i heights_i``.

    >>> nearest_in_hull(np.array([[0.0], [4.0]]), np.zeros(2), np.array([1.0])).round(6)
    array([0.75, 0.25])
    """
    clarabel = _solver()
    count = len(heights)
    # Relative to the target, so that nearby points lose nothing to cancellation.
    moved = points - target
    size = max(float(np.abs(moved).max()), 1e-300)
    moved = moved / size
    squares = sparse.triu(_csc(2 * moved @ moved.T), format="csc")
    left = sparse.vstack([_csc(np.ones((1, count))), -sparse.eye_array(count, format="csc")], format="csc")
    right = np.concatenate([[1.0], np.zeros(count)])
    cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(count)]
    linear = (heights - heights.min()) / size**2
    found = clarabel.DefaultSolver(squares, linear, left, right, cones, _settings(clarabel)).solve()
    weights = np.maximum(np.asarray(found.x), 0.0)
    return weights / weights.sum()
