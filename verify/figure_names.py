"""The names of curves inside a panel, where there is room for them, instead of a legend.

A name stands beside its curve in its curve's colour, on no other curve, name or mark. That of a negative control stands
at the measured point that contradicts it most clearly.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.text import Text
from numpy.typing import NDArray

from verify.figure_style import LINE_SPACING

__all__ = ["Name", "Sheet"]

Array = NDArray[np.float64]

_OUTWARDS = np.array([-1.0, -1.0, 1.0, 1.0])
"""How the ends of a box move when it grows."""

_CELL = 2.4
"""Pixels of a cell of the sheet, at the resolution of a PNG."""

_GAP = 8.0
"""Pixels between a name and its curve."""

_CLEAR = 19.0
"""Pixels within which another curve makes a reader doubt whose name it is."""

_SAMPLES = 40
"""Points of a curve beside which its name may stand."""


@dataclass(frozen=True)
class Name:
    """The name of a curve, in one or more wrappings, and the points, in pixels, beside which it may stand."""

    owner: object
    wrapped: tuple[str, ...]
    colour: str
    points: Array
    line: bool
    size: float


class Sheet:
    """Which cells of a panel are taken, so that names find room.

    Parameters
    ----------
    axes : Axes
        The panel, arranged.
    renderer : RendererBase
        That of its canvas, which measures texts.
    """

    def __init__(self, axes: Axes, renderer: RendererBase) -> None:
        self._axes, self._renderer = axes, renderer
        box = axes.bbox
        self._corner = np.array([box.x0, box.y0])
        self._shape = int(box.width / _CELL), int(box.height / _CELL)
        self._taken: dict[object, NDArray[np.bool_]] = {}

    def draw(self, points: Array, owner: object = None, *, line: bool, radius: float) -> None:
        """Take the cells of a curve, whose points are in pixels; NaN is a gap. Its owner is what its name will be."""
        self._take(self._cells(points, line, radius), owner)

    def _take(self, cells: NDArray[np.bool_], owner: object = None) -> None:
        self._taken[owner] = self._taken.get(owner, np.zeros(self._shape, dtype=bool)) | cells

    def _summed(self, *, without: object = ()) -> NDArray[np.int64]:
        """How many cells below and left of each corner are taken."""
        cells = np.zeros(self._shape, dtype=bool)
        for owner, own in self._taken.items():
            if owner != without:
                cells |= own
        out = np.zeros((cells.shape[0] + 1, cells.shape[1] + 1), dtype=np.int64)
        out[1:, 1:] = cells.cumsum(0).cumsum(1)
        return out

    def _cells(self, points: Array, line: bool, radius: float) -> NDArray[np.bool_]:
        at = (points - self._corner) / _CELL
        if line:
            at = np.concatenate([at, *(_between(a, b) for a, b in pairwise(at))])
        at = np.floor(at[np.isfinite(at).all(axis=1)]).astype(int)
        inside = ((at >= 0) & (at < self._shape)).all(axis=1)
        cells = np.zeros(self._shape, dtype=bool)
        cells[tuple(at[inside].T)] = True
        for turned in [cells, cells.T] * round(radius / _CELL):
            wider = turned.copy()
            wider[1:] |= turned[:-1]
            wider[:-1] |= turned[1:]
            turned[:] = wider
        return cells

    def place(self, name: Name) -> bool:
        """Write a name where there is room; whether there was any."""
        taken, others = self._summed(), self._summed(without=name.owner)
        best: tuple[float, Text, Array, Array | None] | None = None
        for wrapping, words in enumerate(name.wrapped):
            text = self._axes.text(
                0, 0, words, fontsize=name.size, color=name.colour, linespacing=LINE_SPACING, va="bottom", zorder=6
            )
            extent = text.get_window_extent(self._renderer)
            distance, points, corners = _around(name, extent.width, extent.height)
            boxes = np.hstack([corners, corners + np.array([extent.width, extent.height])]) + 2 * _OUTWARDS
            free = self._inside(boxes)
            free[free] = self._count(taken, boxes[free]) == 0
            if free.any():
                boxes, points = boxes[free], points[free]
                cost = distance[free] / _CELL + 8.0 * wrapping
                cost += self._count(others, boxes + _CLEAR * _OUTWARDS)
                # A name points to where its curve is by itself.
                cost += 2.0 * self._count(others, np.hstack([points, points]) + _CLEAR * _OUTWARDS)
                leads = _leads(boxes, points)
                cost += 10.0 * self._crossed(others, leads)
                least = int(cost.argmin())
                if best is None or cost[least] < best[0]:
                    if best is not None:
                        best[1].remove()
                    lead = leads[least] if np.isfinite(leads[least]).all() else None
                    best = (float(cost[least]), text, boxes[least], lead)
            if best is None or best[1] is not text:
                text.remove()
        if best is None:
            return False
        _, text, box, lead = best
        # As a part of the panel, which every format has.
        text.set_transform(self._axes.transAxes)
        text.set_position(tuple(self._part(box[:2] + 2).tolist()))
        low, high = self._ends(box).tolist()
        cells = np.zeros(self._shape, dtype=bool)
        cells[low[0] : high[0], low[1] : high[1]] = True
        if lead is not None:
            cells |= self._cells(lead, line=True, radius=0.0)
            x, y = self._part(lead).T
            self._axes.plot(x, y, color=name.colour, linewidth=0.6, transform=self._axes.transAxes, zorder=5)
        self._take(cells)
        return True

    def _part(self, pixels: Array) -> Array:
        return (pixels - self._corner) / (self._axes.bbox.width, self._axes.bbox.height)

    def _crossed(self, taken: NDArray[np.int64], leads: Array) -> NDArray[np.int64]:
        """How many cells of other curves leading lines cross."""
        along = np.linspace(leads[:, 0], leads[:, 1], 12)
        near = np.concatenate([along, along], axis=-1) + _OUTWARDS
        return (np.isfinite(near).all(axis=-1) & (self._count(taken, np.nan_to_num(near)) > 0)).sum(axis=0)

    def _inside(self, boxes: Array) -> NDArray[np.bool_]:
        edge = self._axes.bbox
        least, most = np.array([edge.x0 + 3, edge.y0 + 3]), np.array([edge.x1, edge.y1])
        return np.all((boxes[:, :2] >= least) & (boxes[:, 2:] <= most), axis=1)

    def _ends(self, boxes: Array) -> NDArray[np.int64]:
        """The first cell of boxes, and the one beyond the last, in both directions: (..., 2, 2) for (..., 4)."""
        low, high = (boxes[..., :2] - self._corner) // _CELL, -((self._corner - boxes[..., 2:]) // _CELL)
        return np.clip(np.stack([low, high], axis=-2), 0, self._shape).astype(np.int64)

    def _count(self, summed: NDArray[np.int64], boxes: Array) -> NDArray[np.int64]:
        """How many cells of boxes are taken."""
        (a, c), (b, d) = np.moveaxis(self._ends(boxes), (-2, -1), (0, 1))
        return summed[b, d] - summed[a, d] - summed[b, c] + summed[a, c]


def _between(first: Array, second: Array) -> Array:
    """Points between two, a cell apart."""
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return np.empty((0, 2))
    count = min(int(np.abs(second - first).max()), 2_000)
    return first + np.linspace(0, 1, count + 2)[1:-1, None] * (second - first)


def _leads(boxes: Array, points: Array) -> Array:
    """Lines from names to their points, (n, 2, 2); NaN for those that are not apart."""
    near = np.clip(points, boxes[:, :2], boxes[:, 2:])
    length = np.hypot(*(points - near).T)
    ends = np.stack([near, points + (near - points) * (3 / np.maximum(length, 3))[:, None]], axis=1)
    return np.where((length > 16)[:, None, None], ends, np.nan)


def _around(name: Name, width: float, height: float) -> tuple[Array, Array, Array]:
    """Where a name may be: how far from its curve, beside which point, and its left lower corner there."""
    known = name.points[np.isfinite(name.points).all(axis=1)]
    if name.line and len(known) > 1:
        # At equal distances along the curve, whose records may be dense at one end.
        along = np.append(0.0, np.hypot(*np.diff(known, axis=0).T).cumsum())
        at = np.linspace(0, along[-1], _SAMPLES)
        known = np.column_stack([np.interp(at, along, known[:, axis]) for axis in (0, 1)])
    few = known[np.unique(np.linspace(0, len(known) - 1, min(len(known), _SAMPLES)).astype(int))]
    apart, points, ways = (
        part.reshape(-1, part.shape[-1])
        for part in np.broadcast_arrays(_APART[:, None, None, None], few[:, None, :], _WAYS)
    )
    middle = points + ways * (_GAP + apart + np.array([width, height]) / 2)
    return 2 * apart[:, 0], points, middle - np.array([width, height]) / 2


_APART = np.array([0.0, 13.0, 32.0])
_WAYS = np.array([(0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (-1, 0)])
