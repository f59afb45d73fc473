"""Certified maxima over a box by branch and bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PartBounds", "certified_maximum"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PartBounds:
    """What is known of a function on parts of the box.

    Attributes
    ----------
    upper : array (parts,)
        Upper bounds over the parts.
    attained : array (parts,)
        A value in each, or a lower bound of it.
    axis : array of int (parts,)
        Across which to halve it.
    faces : array of bool (2, parts)
        Whether the lower and the upper of its faces across this axis, or either, hold its maximum; all false where
        nothing is known.
    """

    upper: Array
    attained: Array
    axis: NDArray[np.int64]
    faces: NDArray[np.bool_]


def certified_maximum(
    bounds: Callable[[Array, Array, float], PartBounds], low: Array, high: Array, *, tolerance: float, budget: int,
    attained: float = -np.inf, least: float = 0.0, batch: int = 256,
) -> tuple[float, float]:  # fmt: skip
    """An upper bound of a maximum over a box, and a value that is attained: branch and bound.

    The parts with the greatest upper bounds are halved until these are within the tolerance of what is attained, or
    the budget of parts is spent: the bound holds in either case. A part on which the function is monotone gives way to
    its faces, parts that cannot hold the maximum are dropped.

    Parameters
    ----------
    bounds : callable
        :class:`PartBounds` of parts, given the arrays (dim, parts) of their ends and a value that is attained.
    low, high : arrays (dim,) or (dim, boxes)
        The box, or several.
    tolerance : float
        Relative to the attained value.
    budget : int
        Parts to evaluate.
    attained : float
        A value that is known to be attained.
    least : float
        A gap that is small enough in any case.
    batch : int
        Parts to evaluate at once.

    Returns
    -------
    tuple of float

    Examples
    --------
    >>> def bounds(low, high, attained):  # x(1 - x) is at most high(1 - low)
    ...     (low,), (high,) = low, high
    ...     middle = (low + high) / 2
    ...     none = np.zeros((2, len(low)), dtype=bool)
    ...     return PartBounds(high * (1 - low), middle * (1 - middle), np.zeros(len(low), dtype=int), none)
    >>> upper, attained = certified_maximum(bounds, np.zeros(1), np.ones(1), tolerance=0.01, budget=1000)
    >>> attained, 0.25 <= upper <= 0.2525
    (0.25, True)
    """
    dim = len(low)
    # Parts to look at, with the bounds of those they were cut from; parts to cut.
    fresh = np.stack([low, high]).reshape(2, dim, -1)
    limits = np.full(fresh.shape[2], np.inf)
    kept, uppers, axes = np.empty((2, dim, 0)), np.empty(0), np.empty(0, dtype=np.int64)
    spent, settled = 0, -np.inf
    while spent < budget:
        if limits.size:
            parts, limit = fresh[:, :, :batch], limits[:batch]
            fresh, limits = fresh[:, :, batch:], limits[batch:]
            spent += limit.size
            found = bounds(parts[0], parts[1], attained)
            attained = max(attained, float(found.attained.max()))
            upper = np.minimum(found.upper, limit)
            open_ = upper > attained
            settled = max(settled, float(upper[~open_].max(initial=-np.inf)))
            rows = np.arange(limit.size)
            ends = parts[:, found.axis, rows]
            for end in (0, 1):
                chosen = open_ & found.faces[end]
                face = parts[:, :, chosen].copy()
                face[:, found.axis[chosen], np.arange(face.shape[2])] = ends[end, chosen]
                fresh, limits = np.concatenate([fresh, face], axis=2), np.concatenate([limits, upper[chosen]])
            middle = ends.mean(axis=0)
            # A part too thin to be halved stays as it is.
            thin = (middle <= ends[0]) | (middle >= ends[1])
            whole = open_ & ~found.faces.any(axis=0)
            settled = max(settled, float(upper[whole & thin].max(initial=-np.inf)))
            chosen = whole & ~thin
            kept, uppers = np.concatenate([kept, parts[:, :, chosen]], axis=2), np.concatenate([uppers, upper[chosen]])
            axes = np.concatenate([axes, found.axis[chosen]])
            continue
        enough = max(attained + max(tolerance * abs(attained), least), settled)
        if not (uppers > enough).any():
            break
        order = np.argsort(-uppers, kind="stable")
        worst = order[: batch // 2][uppers[order[: batch // 2]] > enough]
        halves = [kept[:, :, worst], kept[:, :, worst].copy()]
        middle = halves[0][:, axes[worst], np.arange(worst.size)].mean(axis=0)
        for end in (0, 1):
            halves[end] = halves[end].copy()
            halves[end][1 - end, axes[worst], np.arange(worst.size)] = middle
        fresh, limits = np.concatenate(halves, axis=2), np.tile(uppers[worst], 2)
        rest = np.setdiff1d(np.flatnonzero(uppers > attained), worst)
        settled = max(settled, float(uppers[uppers <= attained].max(initial=-np.inf)))
        kept, uppers, axes = kept[:, :, rest], uppers[rest], axes[rest]
    # What is left holds no less than what is attained, or was dropped against it.
    left = [float(u.max(initial=-np.inf)) for u in (uppers, limits)]
    return max(settled, attained, *left), attained
