"""Linear matrix inequalities and quadratic programs, handed to an interior-point solver."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used
from numpy.typing import NDArray

__all__ = ["REMEDY", "Solution", "minimise", "nearest_in_hull", "triangle"]

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


def _solve(quadratic: Any, cost: Array, left: Any, right: Array, equalities: int, signs: int, sizes: Any = ()) -> Any:
    """Minimise yᵀQy/2 + cost·y with right - left y in the product of {0}, of numbers >= 0 and of semidefinite cones."""
    try:
        solver: Any = importlib.import_module("clarabel")
    except ImportError as error:
        raise ImportError(
            "the exact worst case is a semidefinite program, which the package clarabel solves: "
            "pip install 'rdml-theory[sdp]'"
        ) from error
    settings = solver.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = _TOLERANCE
    cones = [solver.ZeroConeT(equalities), solver.NonnegativeConeT(signs)]
    cones += [solver.PSDTriangleConeT(size) for size in sizes]
    return solver.DefaultSolver(quadratic, cost, left, right, cones, settings).solve()


@cache
def triangle(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    """Rows, columns and weights (1 or √2) of the upper triangle, column by column, as the solver packs matrices."""
    columns, rows = np.tril_indices(size)
    return rows, columns, np.where(rows == columns, 1.0, np.sqrt(2.0))


def _unpack(packed: Array, size: int) -> Array:
    """The symmetric matrix of a packed triangle."""
    rows, columns, weights = triangle(size)
    matrix = np.zeros((size, size))
    matrix[rows, columns] = matrix[columns, rows] = packed / weights
    return matrix


def minimise(
    cost: Array, equalities: tuple[Any, Array], forms: Any, sizes: Sequence[int], *, signed: NDArray[np.bool_],
    margin: float,
) -> Solution:  # fmt: skip
    """Minimise cost·y subject to E y = e, y ≥ margin (where ``signed``) and Σ y_c A_c ≽ margin I.

    The margin makes room for rounding: what is found satisfies the inequalities strictly. Whether it does is for the
    caller to judge, for a solver that falls short of its accuracy returns what it has.

    Parameters
    ----------
    cost : ndarray, shape (m,)
        Of the multipliers y.
    equalities : (sparse matrix, ndarray)
        E with e.
    forms : sparse matrix
        The packed triangles of the A_c, block below block, as columns.
    sizes : sequence of int
        The sizes of the blocks.
    signed : ndarray of bool, shape (m,)
        Which multipliers may not be negative.
    margin : float
        At least 0.

    Raises
    ------
    ImportError
        Without clarabel.
    RuntimeError
        If the solver finds nothing.
    """
    count, rows = len(cost), len(equalities[1])
    kept = np.flatnonzero(signed)
    signs = scipy.sparse.csc_array((np.ones(len(kept)), (np.arange(len(kept)), kept)), shape=(len(kept), count))
    shift = np.concatenate([np.where(r == c, margin, 0.0) for r, c, _ in map(triangle, sizes)])
    left = scipy.sparse.vstack([equalities[0], -signs, -forms], format="csc")
    right = np.concatenate([equalities[1], np.full(len(kept), -margin), -shift])
    found = _solve(scipy.sparse.csc_array((count, count)), cost, left, right, rows, len(kept), sizes)
    if "Infeasible" in str(found.status) or not np.isfinite([*found.x, *found.z]).all():
        raise RuntimeError(f"the semidefinite program was not solved (status {found.status}): {REMEDY}")
    dual = np.asarray(found.z)
    packed = np.split(dual[rows + len(kept) :], np.cumsum([size * (size + 1) // 2 for size in sizes])[:-1])
    return Solution(np.asarray(found.x), tuple(map(_unpack, packed, sizes)), dual[:rows])


def nearest_in_hull(points: Array, heights: Array, target: Array) -> Array:
    """Weights w ≥ 0 of sum 1 that minimise ``‖target - Σ w_i points_i‖² + Σ w_i heights_i``.

    >>> nearest_in_hull(np.array([[0.0], [4.0]]), np.zeros(2), np.array([1.0])).round(6)
    array([0.75, 0.25])
    """
    count = len(heights)
    # Relative to the target, so that nearby points lose nothing to cancellation.
    moved = points - target
    size = max(float(np.abs(moved).max()), 1e-300)
    moved = moved / size
    squares = scipy.sparse.triu(scipy.sparse.csc_array(2 * moved @ moved.T), format="csc")
    left = scipy.sparse.vstack(
        [scipy.sparse.csc_array(np.ones((1, count))), -scipy.sparse.eye_array(count, format="csc")], format="csc"
    )
    right = np.concatenate([[1.0], np.zeros(count)])
    found = _solve(squares, (heights - heights.min()) / size**2, left, right, 1, count)
    weights = np.maximum(np.asarray(found.x), 0.0)
    return weights / weights.sum()
