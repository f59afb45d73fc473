"""Where everything stands in a figure: its panels, their legends, and the names beside curves.

How curves look is in :mod:`verify.figure_style`; where a name finds room, in :mod:`verify.figure_names`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import BboxBase, ScaledTranslation

from verify.figure_names import Name, Sheet
from verify.figure_panel import (
    BOLD,
    CHARACTER,
    LINE,
    POINT,
    balanced,
    draw_panel,
    hold_words,
    names_height,
    plain,
    visible,
)
from verify.figure_style import DPI, LINE_SPACING, Size, properties, readable
from verify.records import Panel, faults_of_panel

__all__ = ["drawn_figure"]

_MOST_NAMES = 5
"""Of so few curves, names stand beside them where there is room; more have a legend."""


def drawn_figure(panels: tuple[Panel, ...], heading: str, size: Size) -> Figure:
    """Panels in a figure, under a heading."""
    for panel in panels:
        if faults := faults_of_panel(panel):
            raise ValueError(f"panel {panel.title!r}: {faults[0]}")
    variants = _variants(panels)
    entries = [_entries(panel, variants[number]) for number, panel in enumerate(panels)]
    # Names stand in the panel where curves are few, and those of controls where they are contradicted.
    inside = [{e.key for e in own if e.contradicted or len(own) <= _MOST_NAMES} for own in entries]
    while True:
        listed = _told_once([[e for e in own if e.key not in inside[n]] for n, own in enumerate(entries)])
        figure, axes = _arranged(panels, variants, listed, heading, size)
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        missing = [
            _write_names(axes[n], panels[n], variants[n], [e for e in own if e.key in inside[n]], size, renderer)
            for n, own in enumerate(entries)
        ]
        if not any(missing):
            return figure
        # What finds no room goes into the panel's legend: controls first, then what shares the panel with it.
        for n, own in enumerate(entries):
            controls = {e.key for e in own if e.contradicted}
            inside[n] -= missing[n] & controls or (missing[n] and {e.key for e in own} - controls)


def _arranged(
    panels: tuple[Panel, ...], variants: list[list[int]], entries: list[list[_Entry]], heading: str, size: Size
) -> tuple[Figure, list[Axes]]:
    """The panels with their legends in their places."""
    count = len(panels)
    columns = size.columns(count)
    rows = -(-count // columns)
    width = size.single if count == 1 else size.several
    cell, height = width / columns, size.heights[columns - 1]
    deep = [_legend_rows(own, cell, size)[1] for own in entries]
    lines = sum(max(deep[first : first + columns]) for first in range(0, count, columns))
    named = [max(names_height(p, size) for p in panels[first : first + columns]) for first in range(0, count, columns)]
    title = balanced(heading, int(width / (BOLD * size.heading * POINT)))
    above = 1.6 * size.heading * POINT * (title.count("\n") + 1) if heading else 0.0
    between = lines * LINE * size.small * POINT + sum(named)
    # Arranged at the resolution of the PNG, which then finds every text measured.
    figure = Figure(figsize=(width, height * rows + between + 0.12 + above), dpi=DPI)
    FigureCanvasAgg(figure)
    top = figure.get_figheight()
    if heading:
        told = figure.suptitle(
            title, x=0.01, y=1 - _PADS[1] / top, ha="left", fontsize=size.heading, fontweight="bold",
            linespacing=LINE_SPACING,
        )  # fmt: skip
        top -= told.get_window_extent().height / DPI + 2 * _PADS[1]
    drawn = []
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        # The usual size: where it is not, they are measured again.
        left, low = column * cell + 0.5, top - (row + 1) * height + 0.4
        axes = figure.add_axes(_shares(figure, left, low, cell - 0.58, height - 0.58))
        drawn.append(axes)
        draw_panel(axes, panel, variants[number], (cell, height), size)
        if column and panels[number - 1].y_label == panel.y_label:
            # Said once, at the left of the row.
            axes.set_ylabel("")
        _legend(axes, entries[number], cell, size, names_height(panel, size))
    _fit(figure, drawn, columns, top)
    return figure, drawn


_PADS = (0.07, 0.06)
"""Inches that stay free around each panel with its words: beside it, and above and below it."""


def _shares(figure: Figure, left: float, low: float, width: float, height: float) -> tuple[float, float, float, float]:
    """A rectangle in inches, as parts of a figure."""
    across, up = figure.get_size_inches()
    return left / across, low / up, width / across, height / up


def _fit(figure: Figure, drawn: Sequence[Axes], columns: int, top: float) -> None:
    """Panels of one size, as large as the words around them allow, below a height in inches.

    Constrained layout does the same, but takes longer than all the rest.
    """
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    rows = -(-len(drawn) // columns)
    before: list[BboxBase] = []
    for _ in range(3):  # panels of another size may have other ticks
        ticks = _ticks(drawn)
        beside, around, before = np.zeros((columns, 2)), np.zeros((rows, 2)), []
        for number, axes in enumerate(drawn):
            row, column = divmod(number, columns)
            words, panel = axes.get_tightbbox(renderer, for_layout_only=True), axes.bbox.frozen()
            assert words is not None
            beside[column] = np.maximum(beside[column], [panel.x0 - words.x0, words.x1 - panel.x1])
            around[row] = np.maximum(around[row], [words.y1 - panel.y1, panel.y0 - words.y0])
            before.append(panel)
        beside, around = beside / DPI + _PADS[0], around / DPI + _PADS[1]
        width, height = (figure.get_figwidth() - beside.sum()) / columns, (top - around.sum()) / rows
        for number, axes in enumerate(drawn):
            row, column = divmod(number, columns)
            left = beside[:column].sum() + column * width + beside[column, 0]
            low = top - around[:row].sum() - row * height - around[row, 0] - height
            axes.set_position(_shares(figure, left, low, width, height))
        if _ticks(drawn) == ticks:
            break
    for axes, panel in zip(drawn, before, strict=True):
        hold_words(axes, panel)


def _ticks(drawn: Sequence[Axes]) -> list[tuple[float, ...]]:
    """Where the ticks of panels are."""
    return [(*axes.get_xticks(), *axes.get_yticks()) for axes in drawn]


def _write_names(
    axes: Axes, panel: Panel, variants: Sequence[int], entries: list[_Entry], size: Size, renderer: Any
) -> set[tuple[str, str]]:
    """Names beside their curves, and where controls are contradicted a line across the gap; what found no room."""
    axes.autoscale_view()
    sheet = Sheet(axes, renderer)
    pixels: dict[tuple[str, str], list[np.ndarray]] = {}
    gaps: dict[tuple[str, str], list[np.ndarray]] = {}
    lines: dict[tuple[str, str], bool] = {}
    for curve, variant in zip(panel.curves, variants, strict=True):
        key = (curve.role, curve.label)
        y = visible(panel, curve, curve.y)
        points = axes.transData.transform(np.column_stack([np.where(np.isnan(y), np.nan, curve.x), y]))
        lines[key] = lines.get(key, False) or curve.style != "markers"
        sheet.draw(points, key, line=curve.style != "markers", radius=2.4 if curve.style == "line" else 5.6)
        pixels.setdefault(key, []).extend([points, np.full((1, 2), np.nan)])
        if curve.contradicted is not None:
            x, *ends = curve.contradicted
            colour = properties(curve, variant, 2)["color"]
            axes.plot([x, x], ends, color=colour, linewidth=0.8, zorder=3)
            axes.plot(x, ends[0], "o", markersize=7, markeredgewidth=1.1, mec=colour, mfc="none", zorder=6)
            # There stands the name.
            gaps[key] = [axes.transData.transform([(x, end) for end in ends])]
            sheet.draw(gaps[key][0], key, line=True, radius=0.0)
            sheet.draw(gaps[key][0][:1], key, line=False, radius=9.6)
    pixels |= gaps
    widest = int(axes.bbox.width / DPI / (CHARACTER * size.small * POINT))
    missing = set()
    for entry in sorted(entries, key=lambda e: (e.contradicted is None, not lines[e.key])):
        name = Name(
            entry.key,
            wrapped=tuple(dict.fromkeys(entry.text(min(width, widest)) for width in (52, 28, 18))),
            colour=readable(str(entry.handle.get_color())),
            points=np.concatenate(pixels[entry.key]), line=lines[entry.key], size=size.small,
        )  # fmt: skip
        if not sheet.place(name):
            missing.add(entry.key)
    return missing


def _variants(panels: tuple[Panel, ...]) -> list[list[int]]:
    """A variant for every curve: its group, or the first that is free in its panel; the same for the same label.

    A control's curves bear the groups of the statement's, but what tells controls apart is their label.
    """
    known: dict[tuple[str, str], int] = {}
    out: list[list[int]] = []
    for panel in panels:
        taken: dict[tuple[str, int], str] = {}
        chosen: list[int] = []
        for curve in panel.curves:
            name = (curve.role, curve.label)
            if curve.group is not None and curve.role != "control":
                variant = curve.group
            else:
                variant = known.get(name, 0)
                while taken.get((curve.role, variant), curve.label) != curve.label:
                    variant += 1
            taken[curve.role, variant] = curve.label
            known[name] = variant
            chosen.append(variant)
        out.append(chosen)
    return out


@dataclass
class _Entry:
    """A name of curves: a line of a legend, or a name in the panel."""

    label: str
    role: str
    handle: Line2D
    look: tuple[int, str]
    hidden: int = 0
    contradicted: tuple[float, float, float] | None = None
    key: tuple[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.key = (self.role, self.label)

    def text(self, width: int) -> str:
        # Words that stay together are joined by no-break spaces.
        note = (
            f" ({self.hidden}\N{NO-BREAK SPACE}off\N{NO-BREAK SPACE}the\N{NO-BREAK SPACE}scale)" if self.hidden else ""
        )
        return balanced(self.label + note, width)


def _entries(panel: Panel, variants: Sequence[int]) -> list[_Entry]:
    found: dict[tuple[str, str], _Entry] = {}
    for curve, variant in zip(panel.curves, variants, strict=True):
        missing = np.isnan(visible(panel, curve, curve.y))
        handle = Line2D([], [], **properties(curve, variant, int(np.count_nonzero(~missing))))
        look = (variant, curve.style)
        entry = found.setdefault((curve.role, curve.label), _Entry(curve.label, curve.role, handle, look))
        # NaN marks what was never measured; only values that exist and are not shown are counted.
        entry.contradicted = entry.contradicted or curve.contradicted
        entry.hidden += int(np.count_nonzero(missing & ~np.isnan(np.asarray(curve.y, dtype=float))))
    return list(found.values())


def _told_once(entries: list[list[_Entry]]) -> list[list[_Entry]]:
    """The legends of panels; of one all of whose names are in those before it, in the same looks, there is none."""
    told: set[tuple[Any, ...]] = set()
    out = []
    for own in entries:
        looks = {(*e.key, *e.look) for e in own}
        out.append(own if looks - told or any(e.hidden for e in own) else [])
        told |= looks
    return out


def _legend_rows(entries: list[_Entry], width: float, size: Size) -> tuple[int, int]:
    """How many columns a legend of this width (inches) has, and how many lines of text it is high."""
    if not entries:
        return 1, 0
    texts = [e.text(_label_width(width, size)) for e in entries]
    letter = CHARACTER * size.small * POINT
    sizes = [0.065 * size.small + letter * max(len(plain(line)) for line in text.split("\n")) for text in texts]
    lines = [text.count("\n") + 1 for text in texts]

    def filled(values: Sequence[float], columns: int) -> list[Sequence[float]]:
        # Matplotlib fills a legend column by column, the first ones one entry deeper.
        deep, more = divmod(len(values), columns)
        starts = [c * deep + min(c, more) for c in range(columns + 1)]
        return [values[a:b] for a, b in pairwise(starts)]

    fitting = (n for n in range(len(entries), 1, -1) if sum(max(column) for column in filled(sizes, n)) <= width - 0.1)
    columns = next(fitting, 1)
    return columns, int(max(sum(column) for column in filled(lines, columns)))


def _label_width(width: float, size: Size) -> int:
    return min(52, int((width - 0.5) / (CHARACTER * size.small * POINT)))


def _legend(axes: Axes, entries: list[_Entry], width: float, size: Size, named: float) -> None:
    """A legend below a panel, its names and its label, where no data can lie under it."""
    if not entries:
        return
    below = 0.048 * size.text + LINE * size.small * POINT * axes.get_xlabel().count("\n") + named
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    legend = axes.legend(
        handles=[e.handle for e in entries], labels=[e.text(_label_width(width, size)) for e in entries],
        ncols=_legend_rows(entries, width, size)[0], loc="upper center", bbox_to_anchor=(0.5, 0.0),
        bbox_transform=axes.transAxes + ScaledTranslation(0, -below, figure.dpi_scale_trans), frameon=False,
        handlelength=2.0, handletextpad=0.6, columnspacing=1.4, labelspacing=0.35, borderpad=0.1, borderaxespad=0.0,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_linespacing(LINE_SPACING)
