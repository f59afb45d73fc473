"""What is wrong with a figure, by the boxes of its texts: those that leave the canvas, and those that overlap."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

from verify.figure_style import SIZES, SizeName, style

SLACK = 1.0
"""Pixels: less than half a point."""


def faults_of_figure(figure: Figure, size: SizeName = "screen") -> list[str]:
    """What a reader could not read, in words; empty for a figure without faults."""
    with style(SIZES[size]):
        figure.canvas.draw()
        renderer: Any = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
        hidden = _hidden(figure)
        shown = [
            (t.get_text().replace("\n", " "), t.get_window_extent(renderer), _corners(t, renderer))
            for t in texts if t not in hidden
        ]  # fmt: skip
    canvas = figure.bbox
    faults = [
        f"{words!r} leaves the canvas" for words, box, _ in shown
        if box.x0 < -SLACK or box.y0 < -SLACK or box.x1 > canvas.width + SLACK or box.y1 > canvas.height + SLACK
    ]  # fmt: skip
    faults += [
        f"{one!r} overlaps {two!r}" for (one, _, a), (two, _, b) in combinations(shown, 2)
        if not _apart(a, b) and not _apart(b, a)
    ]  # fmt: skip
    # Formulas may be larger than their boxes say.
    ink = np.asarray(figure.canvas.buffer_rgba()).min(axis=2) < 250  # type: ignore[attr-defined]
    if ink[0].any() or ink[-1].any() or ink[:, 0].any() or ink[:, -1].any():
        faults.append("something is cut off at the edge of the canvas")
    return faults


def _corners(text: Text, renderer: Any) -> np.ndarray:
    """Of a text as it stands, which may be askew, less the slack: the box around it has the same middle, (4, 2)."""
    (x0, y0), (x1, y1) = text.get_window_extent(renderer).get_points()
    angle = text.get_rotation()
    text.set_rotation(0)
    level = text.get_window_extent(renderer)
    text.set_rotation(angle)
    half = np.maximum([level.width / 2 - SLACK, level.height / 2 - SLACK], 0)
    turn = np.exp(1j * np.radians(angle))
    corners = turn * (half[0] * np.array([-1, 1, 1, -1]) + 1j * half[1] * np.array([-1, -1, 1, 1]))
    return np.column_stack([corners.real + (x0 + x1) / 2, corners.imag + (y0 + y1) / 2])


def _apart(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether a line along a side of the first lies between the two."""
    for side in np.diff(first[:3], axis=0):
        one, two = ((points @ side).tolist() for points in (first, second))
        if max(one) <= min(two) or max(two) <= min(one):
            return True
    return False


def _hidden(figure: Figure) -> set[Text]:
    """Texts that are not drawn: those of axes switched off, and of ticks beyond the limits of their axis."""
    out: set[Text] = set()
    for axes in figure.axes:
        for axis, name in ((axes.xaxis, 0), (axes.yaxis, 1)):
            low, high = sorted(axis.get_view_interval())
            ticks = axis.get_ticklabels(which="both")
            out.update(t for t in ticks if not axes.axison or not low <= t.get_position()[name] <= high)
    return out
