"""The names of curves inside a panel, where there is room for them, instead of a legend.

A name stands beside its curve in its curve's colour, on no other curve, name or mark. That of a negative control stands
at the measured point that contradicts it most clearly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.text import Text
from numpy.typing import NDArray

from verify.figure_style import LINE_SPACING

__all__ = ["Name", "Sheet"]

Array = NDArray[np.float64]
_Box = tuple[float, float, float, float]

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
        best: tuple[float, Text, _Box, Array | None] | None = None
        for wrapping, words in enumerate(name.wrapped):
            text = self._axes.text(
                0, 0, words, fontsize=name.size, color=name.colour, linespacing=LINE_SPACING, va="bottom", zorder=6
            )
            extent = text.get_window_extent(self._renderer)
            for distance, point, x, y in _around(name, extent.width, extent.height):
                box = (x - 2, y - 2, x + extent.width + 2, y + extent.height + 2)
                cost = distance / _CELL + 8.0 * wrapping
                if (best is not None and cost >= best[0]) or not self._inside(box) or self._count(taken, box):
                    continue
                cost += self._count(others, (box[0] - _CLEAR, box[1] - _CLEAR, box[2] + _CLEAR, box[3] + _CLEAR))
                # A name points to where its curve is by itself.
                cost += 2.0 * self._count(others, (*(point - _CLEAR), *(point + _CLEAR)))
                lead = _lead(box, point)
                cost += 10.0 * self._crossed(others, lead)
                if best is None or cost < best[0]:
                    if best is not None and best[1] is not text:
                        best[1].remove()
                    best = (cost, text, box, lead)
            if best is None or best[1] is not text:
                text.remove()
        if best is None:
            return False
        _, text, box, lead = best
        # As a part of the panel, which every format has.
        text.set_transform(self._axes.transAxes)
        text.set_position(tuple(self._part(np.array(box[:2]) + 2).tolist()))
        columns, rows = self._slices(box)
        cells = np.zeros(self._shape, dtype=bool)
        cells[columns, rows] = True
        if lead is not None:
            cells |= self._cells(lead, line=True, radius=0.0)
            x, y = self._part(lead).T
            self._axes.plot(x, y, color=name.colour, linewidth=0.6, transform=self._axes.transAxes, zorder=5)
        self._take(cells)
        return True

    def _part(self, pixels: Array) -> Array:
        return (pixels - self._corner) / (self._axes.bbox.width, self._axes.bbox.height)

    def _crossed(self, taken: NDArray[np.int64], lead: Array | None) -> int:
        """How many cells of other curves a leading line crosses."""
        if lead is None:
            return 0
        return sum(self._count(taken, (x - 1, y - 1, x + 1, y + 1)) > 0 for x, y in np.linspace(lead[0], lead[1], 12))

    def _inside(self, box: _Box) -> bool:
        edge = self._axes.bbox
        return box[0] >= edge.x0 + 3 and box[1] >= edge.y0 + 3 and box[2] <= edge.x1 and box[3] <= edge.y1

    def _slices(self, box: _Box) -> tuple[slice, slice]:
        # Numbers, not arrays: asked thousands of times a figure.
        low, high = box[:2], box[2:]
        columns, rows = (
            slice(*(min(max(int(cell), 0), count) for cell in ((a - at) // _CELL, -((at - b) // _CELL))))
            for a, b, at, count in zip(low, high, self._corner.tolist(), self._shape, strict=True)
        )
        return columns, rows

    def _count(self, summed: NDArray[np.int64], box: _Box) -> int:
        columns, rows = self._slices(box)
        a, b, c, d = columns.start, columns.stop, rows.start, rows.stop
        return int(summed[b, d] - summed[a, d] - summed[b, c] + summed[a, c])


def _between(first: Array, second: Array) -> Array:
    """Points between two, a cell apart."""
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return np.empty((0, 2))
    count = min(int(np.abs(second - first).max()), 2_000)
    return first + np.linspace(0, 1, count + 2)[1:-1, None] * (second - first)


def _lead(box: _Box, point: Array) -> Array | None:
    """A line from a name to its point, if they are apart."""
    near = np.clip(point, box[:2], box[2:])
    length = float(np.hypot(*(point - near)))
    return None if length <= 16 else np.array([near, point + (near - point) * 3 / length])


def _around(name: Name, width: float, height: float) -> Iterator[tuple[float, Array, float, float]]:
    """Where the left lower corner of a name may be, of what point it then is the name, and how far from it."""
    known = name.points[np.isfinite(name.points).all(axis=1)]
    if name.line and len(known) > 1:
        # At equal distances along the curve, whose records may be dense at one end.
        along = np.append(0.0, np.hypot(*np.diff(known, axis=0).T).cumsum())
        at = np.linspace(0, along[-1], _SAMPLES)
        known = np.column_stack([np.interp(at, along, known[:, axis]) for axis in (0, 1)])
    few = known[np.unique(np.linspace(0, len(known) - 1, min(len(known), _SAMPLES)).astype(int))]
    for distance, point, way in product((0.0, 13.0, 32.0), few, _WAYS):
        yield 2 * distance, point, *_beside(point, way, width, height, _GAP + distance)


_WAYS = ((0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (-1, 0))


def _beside(point: Array, way: tuple[float, float], width: float, height: float, gap: float) -> tuple[float, float]:
    """The corner of a box beside a point, in a direction, at a distance."""
    middle_x = point[0] + way[0] * (gap + width / 2)
    middle_y = point[1] + way[1] * (gap + height / 2)
    return float(middle_x - width / 2), float(middle_y - height / 2)
