"""The figures of a run, drawn from its records: one figure a claim, on a screen or at the size of a paper's column.

Beside each figure its numbers are written as CSV. How curves look is in :mod:`verify.figure_style`; where their names
stand, in :mod:`verify.figure_names`.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from typing import Any, Literal, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation

from verify.figure_names import Name, Sheet
from verify.figure_style import DPI, LINE_SPACING, SIZES, Size, SizeName, properties, readable, style, zorder
from verify.reading import in_a_line
from verify.records import ClaimRecord, Curve, Panel, RunRecord, faults_of_panel
from verify.workers import worker_pool

__all__ = [
    "FORMATS", "SIZES", "DrawingError", "Format", "SizeName", "figure_of", "file_stem", "pictures", "render_all",
]  # fmt: skip


class DrawingError(ValueError):
    """A figure that cannot be drawn from its record, such as one with a formula in a label that does not parse."""


Format = Literal["png", "svg", "pdf", "csv"]

FORMATS: tuple[Format, ...] = get_args(Format)
"""The formats that figures are written in by default; CSV holds the numbers that they show."""

_RASTERISED = {"line": 3_000, "both": 3_000, "markers": 150}
"""Longer curves are embedded in vector files as pictures: thousands of pieces make them heavy, not sharper."""

_MOST_NAMES = 5
"""Of so few curves, names stand beside them where there is room; more have a legend."""

_MOST_PASSES = 5
"""So often is it tried what names find room, before all go into legends."""

# Parts of the size of type: a character on the average, one of a heading, the distance of lines. And inches a point.
_CHARACTER, _BOLD, _LINE = 0.43, 0.52, 1.44
_POINT = 1 / 72


def file_stem(claim: ClaimRecord, size: SizeName = "screen") -> str:
    """The name of a claim's figure files without their suffix: its id and its title, and a size of a paper.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> file_stem(SimpleNamespace(id="D4", title="Limits at 0, 1 and ∞"))
    'D4_limits_at_0_1_and_infinity'
    """
    words = unicodedata.normalize("NFKD", claim.title.replace("∞", "infinity")).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^A-Za-z0-9]+", "_", f"{claim.id}_{words.lower()}").strip("_")
    return stem if size == "screen" else f"{stem}_{size}"


def figure_of(claim: ClaimRecord, *, size: SizeName = "screen") -> Figure:
    """Draw a claim's panels.

    Values that cannot be drawn (infinite, or not positive on a logarithmic axis) leave a gap, and the name of the curve
    says how many they are.

    Parameters
    ----------
    claim : ClaimRecord
        With at least one panel.
    size : {"screen", "column", "page"}
        4.4 inches wide with one panel and 7.0 with several, for a screen; 3.3, with the panels below each other, for
        one column of a paper; 6.9 for a page of two.

    Returns
    -------
    matplotlib.figure.Figure
        With a canvas of its own, apart from pyplot.

    Raises
    ------
    ValueError
        If the claim has no panels, or a curve's arrays differ in length.

    Examples
    --------
    >>> from verify.records import ClaimRecord, Curve, Panel, SourceRecord
    >>> curve = Curve(label="measured", role="measured", x=(1.0, 2.0), y=(1.0, 4.0))
    >>> claim = ClaimRecord(
    ...     id="X1", title="An example", direction="equality", statement=(), assumptions=(), error_rate=0.0,
    ...     source=SourceRecord(work="here"), outcome="confirmed", margin=None, checks=(), controls=(), caption="",
    ...     panels=(Panel(title="", x_label="time (s)", y_label="distance (m)", curves=(curve,)),),
    ... )
    >>> figure_of(claim).axes[0].get_xlabel()
    'time (s)'
    >>> float(figure_of(claim, size="column").get_figwidth())
    3.3
    """
    if not claim.panels:
        raise ValueError(f"claim {claim.id} has no panels to draw")
    with style(_size(size)):
        return _draw(claim.panels, _heading(claim), _size(size))


def _heading(claim: ClaimRecord) -> str:
    """What stands above a claim's figure: which claim it is, and what to take away."""
    return f"{claim.id}: {claim.message or claim.title}".replace("$", r"\$")


def _size(name: SizeName) -> Size:
    if name not in SIZES:
        raise ValueError(f"figure size {name!r}: expected one of {', '.join(SIZES)}")
    return SIZES[name]


def pictures(
    panels: tuple[Panel, ...], formats: Sequence[Format] = FORMATS, *, heading: str = "", size: SizeName = "screen"
) -> dict[Format, bytes]:
    """Panels, a claim's or others, drawn once: the contents of the files, by format. Equal panels give equal bytes.

    Raises
    ------
    DrawingError
        If they cannot be drawn.
    """
    if unknown := [kind for kind in formats if kind not in FORMATS]:
        raise ValueError(f"figure format {unknown[0]!r}: expected one of {', '.join(FORMATS)}")
    inches = _size(size)
    try:
        with style(inches):
            figure = _draw(panels, heading, inches)
            return {kind: _numbers(panels) if kind == "csv" else _printed(figure, kind) for kind in formats}
    except Exception as error:
        # Matplotlib's errors, of labels above all, have no common base.
        raise DrawingError(f"the figure cannot be drawn ({in_a_line(error)})") from error


def render_all(
    run: RunRecord, *, ids: Sequence[str] | None = None, formats: Sequence[Format] = FORMATS,
    size: SizeName = "screen", jobs: int = 1,
) -> dict[str, dict[Format, bytes]]:  # fmt: skip
    """The figures of a run, each drawn once for all formats.

    Parameters
    ----------
    run : RunRecord
        The run.
    ids : sequence of str, optional
        Which claims; all by default. A claim without panels has no figure.
    formats : sequence of {"png", "svg", "pdf", "csv"}
        Which formats.
    size : {"screen", "column", "page"}
        For what they are drawn (:func:`figure_of`).
    jobs : int
        Worker processes.

    Returns
    -------
    dict
        The contents of the files, by claim and format.

    Raises
    ------
    KeyError
        If the run has no claim of a given id.
    DrawingError
        If one cannot be drawn.
    """
    known = {claim.id: claim for claim in run.claims}
    if missing := [i for i in ids or () if i not in known]:
        raise KeyError(f"no claim {', '.join(missing)} in this run: it has {', '.join(known)}")
    drawn = [claim for claim in run.claims if claim.panels and (ids is None or claim.id in ids)]
    if jobs == 1 or len(drawn) < 2:
        done = [_pictures(claim, formats, size) for claim in drawn]
    else:
        with worker_pool(min(jobs, len(drawn))) as pool:
            done = list(pool.map(_pictures, drawn, repeat(formats), repeat(size)))
    return {claim.id: picture for claim, picture in zip(drawn, done, strict=True)}


def _pictures(claim: ClaimRecord, formats: Sequence[Format], size: SizeName) -> dict[Format, bytes]:
    try:
        return pictures(claim.panels, formats, heading=_heading(claim), size=size)
    except DrawingError as error:
        raise DrawingError(f"claim {claim.id}: {error}") from error.__cause__


def _printed(figure: Figure, kind: Format) -> bytes:
    """The figure in a format, by its canvas: `savefig` draws everything twice, once to arrange what is arranged."""
    stream, canvas = io.BytesIO(), figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    # A date in the metadata would make every file differ from the one before.
    if kind == "svg":
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None})
    elif kind == "pdf":
        FigureCanvasPdf(figure).print_pdf(stream, metadata={"CreationDate": None})
    else:
        canvas.print_png(stream)
    # The others leave their own canvas and resolution.
    figure.set_canvas(canvas)
    figure.set_dpi(DPI)
    return stream.getvalue()


def _numbers(panels: tuple[Panel, ...]) -> bytes:
    """The points of every curve, a row each, with all digits; cells that do not apply are empty."""
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(["panel", "title", "x label", "y label", "curve", "role", "x", "y", "low", "high"])
    for number, panel in enumerate(panels, 1):
        for curve in panel.curves:
            what = (number, panel.title, panel.x_label, panel.y_label, curve.label, curve.role)
            bands = (values or repeat(None) for values in (curve.low, curve.high))
            rows.writerows([*what, *point] for point in zip(curve.x, curve.y, *bands))  # noqa: B905 - bands may be endless
    return stream.getvalue().encode()


# ---------------------------------------------------------------------------------------------------------------------
# Layout


def _draw(panels: tuple[Panel, ...], heading: str, size: Size) -> Figure:
    for panel in panels:
        if faults := faults_of_panel(panel):
            raise ValueError(f"panel {panel.title!r}: {faults[0]}")
    variants = _variants(panels)
    entries = [_entries(panel, variants[number]) for number, panel in enumerate(panels)]
    # Names stand in the panel where curves are few, and those of controls where they are contradicted.
    inside = [{e.key for e in own if e.contradicted or len(own) <= _MOST_NAMES} for own in entries]
    tried, passes = False, 0
    while True:
        passes += 1
        if passes > _MOST_PASSES:
            inside = [set() for _ in entries]
        listed = [[e for e in own if e.key not in inside[n]] for n, own in enumerate(entries)]
        figure, axes = _arranged(panels, variants, listed, heading, size, tried=tried)
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        missing = [
            _write_names(axes[n], panels[n], variants[n], [e for e in own if e.key in inside[n]], size, renderer)
            for n, own in enumerate(entries)
        ]
        if tried and not any(missing):
            return figure
        tried = not any(missing)
        # What finds no room goes into a legend, and what shares its panel too, wherever it is named.
        for n, own in enumerate(entries):
            if any(role != "control" for role, _ in missing[n]):
                missing[n] |= {e.key for e in own if not e.contradicted}
        known = set().union(*missing, *({e.key for e in own} for own in listed))
        for n, own in enumerate(entries):
            together = {e.key for e in own if not e.contradicted}
            inside[n] -= missing[n] | (together if together <= known else set())


def _arranged(
    panels: tuple[Panel, ...], variants: list[list[int]], entries: list[list[_Entry]], heading: str, size: Size, *,
    tried: bool,
) -> tuple[Figure, list[Axes]]:  # fmt: skip
    """The panels with their legends in their places, once and for all; or roughly so, to try what finds room there.

    To arrange them takes longer than all the rest.
    """
    count = len(panels)
    columns = size.columns(count)
    rows = -(-count // columns)
    width = size.single if count == 1 else size.several
    cell, height = width / columns, size.heights[columns - 1]
    common = _sharing(entries)
    if rows == 1 and len(common) < sum(map(bool, entries)):
        # Legends side by side take less room than one below the other.
        common = []
    together = _merged([entries[n] for n in common])
    # A cell that no panel fills is the nearest place for a legend that all panels share.
    spare = count < rows * columns
    lines = 0 if spare else _legend_rows(together, width, size)[1]
    for row in range(rows):
        alone = [n for n in range(row * columns, min(count, (row + 1) * columns)) if n not in common]
        lines += max((_legend_rows(entries[n], cell, size)[1] for n in alone), default=0)
    title = _wrapped(heading, int(width / (_BOLD * size.heading * _POINT)))
    above = 1.6 * size.heading * _POINT * (title.count("\n") + 1) if heading else 0.0
    between = lines * _LINE * size.small * _POINT
    # Arranged at the resolution of the PNG, which then finds every text measured.
    figure = Figure(figsize=(width, height * rows + between + 0.12 + above), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(w_pad=0.07, h_pad=0.06, wspace=0.03, hspace=0.03)  # type: ignore[call-arg]
    if heading:
        figure.suptitle(
            title, x=0.01, ha="left", fontsize=size.heading, fontweight="bold", linespacing=LINE_SPACING
        )  # fmt: skip
    grid = figure.add_gridspec(rows, columns)
    drawn = []
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(grid[divmod(number, columns)])
        drawn.append(axes)
        _panel(axes, panel, variants[number], (cell, height), size)
        if number % columns and panels[number - 1].y_label == panel.y_label:
            # Said once, at the left of the row.
            axes.set_ylabel("")
        if number not in common:
            below = 0.048 * size.text + _LINE * size.small * _POINT * axes.get_xlabel().count("\n")
            _legend(axes, entries[number], cell, size, below)
    if spare and together:
        blank = figure.add_subplot(grid[divmod(count, columns)])
        blank.set_axis_off()
        _legend(blank, together, cell, size, inside=True)
    else:
        _legend(figure, together, width, size)
    if tried:
        engine.execute(figure)
    figure.set_layout_engine("none")
    if not tried:
        for number, axes in enumerate(drawn):
            row, column = divmod(number, columns)
            left, low = (column * cell + 0.55) / width, 1 - (above + (row + 1) * height - 0.45) / figure.get_figheight()
            axes.set_position((left, low, (cell - 0.65) / width, (height - 0.75) / figure.get_figheight()))
    return figure, drawn


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
        y = _visible(panel, curve, curve.y)
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
    widest = int(axes.bbox.width / DPI / (_CHARACTER * size.small * _POINT))
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


def _panel(axes: Axes, panel: Panel, variants: Sequence[int], cell: tuple[float, float], size: Size) -> None:
    # Scales first: what cannot be shown on them is masked below, so that nothing is clipped to a misleading place.
    axes.set_xscale(panel.x_scale)
    axes.set_yscale(panel.y_scale)
    letter = _CHARACTER * size.small * _POINT
    across, along = int((cell[0] - 0.7) / letter), int((cell[1] - 0.55) / letter)
    axes.set_title(_wrapped(panel.title, across + 6), loc="left", pad=5, linespacing=LINE_SPACING)
    axes.set_xlabel(_wrapped(panel.x_label, across), linespacing=LINE_SPACING)
    axes.set_ylabel(_wrapped(panel.y_label, along), linespacing=LINE_SPACING)
    axes.grid(visible=True, which="major")
    lowest = _lowest_positive(panel)
    for curve, variant in zip(panel.curves, variants, strict=True):
        _curve(axes, panel, curve, variant, lowest)
    for axis, scale in ((axes.xaxis, panel.x_scale), (axes.yaxis, panel.y_scale)):
        if scale == "log":
            _thin_log_ticks(axis)
    axes.margins(x=0.03, y=0.06)


def _thin_log_ticks(axis: Any) -> None:
    """At most six labelled decades; minor ticks where they have room, labelled only where decades are few."""
    low, high = sorted(axis.get_view_interval())
    if low <= 0 or not np.isfinite(high):
        return
    decades = np.log10(high / low)
    axis.set_major_locator(LogLocator(base=10, numticks=7))
    if decades < 1.5:
        axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0), numticks=7))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}" if 1e-3 <= value < 1e5 else ""))
    elif decades > 4:
        axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _visible(panel: Panel, curve: Curve, values: Sequence[float]) -> np.ndarray:
    """Values against the curve's x, with NaN where the point cannot be shown."""
    x, y = np.asarray(curve.x, dtype=float), np.asarray(values, dtype=float)
    shown = np.isfinite(x) & np.isfinite(y)
    if panel.x_scale == "log":
        shown &= x > 0
    if panel.y_scale == "log":
        shown &= y > 0
    return np.where(shown, y, np.nan)


def _lowest_positive(panel: Panel) -> float:
    """Where bands that reach zero end on a logarithmic axis: at the lowest value that is drawn."""
    values = [v for c in panel.curves for a in (c.y, c.low or (), c.high or ()) for v in a if 0 < v < np.inf]
    return min(values, default=1.0)


def _curve(axes: Axes, panel: Panel, curve: Curve, variant: int, lowest: float) -> None:
    y = _visible(panel, curve, curve.y)
    points = int(np.count_nonzero(~np.isnan(y)))
    look = properties(curve, variant, points)
    x = np.where(np.isnan(y), np.nan, np.asarray(curve.x, dtype=float))
    heavy = len(x) > _RASTERISED[curve.style]
    if curve.low is not None and curve.high is not None:
        low, high = np.asarray(curve.low, dtype=float), _visible(panel, curve, curve.high)
        if panel.y_scale == "log":
            low = np.where(low <= 0, lowest, low)
        fine = np.isfinite(low) & np.isfinite(high)
        axes.fill_between(
            np.asarray(curve.x, dtype=float), low, high, where=fine.tolist(), color=look["color"], alpha=0.22,
            linewidth=0, zorder=zorder(curve) - 0.2, rasterized=heavy,
        )  # fmt: skip
    line = axes.plot(x, y, label=curve.label, rasterized=heavy, zorder=zorder(curve), **look)[0]
    if curve.style == "both" and points > 16:
        line.set_markevery(-(-points // 12))
    if curve.style == "markers" and points > 150:
        line.set(markersize=1.8, alpha=0.6)


# ---------------------------------------------------------------------------------------------------------------------
# Which variant of its role's look a curve takes, and the legend


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
    look: tuple[Any, ...]
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
        return _wrapped(self.label + note, width)


def _entries(panel: Panel, variants: Sequence[int]) -> list[_Entry]:
    found: dict[tuple[str, str], _Entry] = {}
    for curve, variant in zip(panel.curves, variants, strict=True):
        missing = np.isnan(_visible(panel, curve, curve.y))
        handle = Line2D([], [], **properties(curve, variant, int(np.count_nonzero(~missing))))
        style = (curve.role, variant, curve.style)
        entry = found.setdefault((curve.role, curve.label), _Entry(curve.label, curve.role, handle, style))
        # NaN marks what was never measured; only values that exist and are not shown are counted.
        entry.contradicted = entry.contradicted or curve.contradicted
        entry.hidden += int(np.count_nonzero(missing & ~np.isnan(np.asarray(curve.y, dtype=float))))
    return list(found.values())


def _merged(entries: list[list[_Entry]]) -> list[_Entry]:
    found: dict[tuple[str, str], _Entry] = {}
    for entry in (e for panel in entries for e in panel):
        if (first := found.get((entry.role, entry.label))) is None:
            found[entry.role, entry.label] = _Entry(entry.label, entry.role, entry.handle, entry.look, entry.hidden)
        else:
            first.hidden += entry.hidden
    return list(found.values())


def _sharing(entries: list[list[_Entry]]) -> list[int]:
    """The panels that one legend serves, without a label of two looks or a look of two labels; the most there are.

    The others have legends of their own.
    """
    best: list[int] = []
    filled = [number for number, own in enumerate(entries) if own]
    for first in filled:
        group: list[int] = []
        labels: dict[tuple[Any, ...], str] = {}
        looks: dict[tuple[str, str], tuple[Any, ...]] = {}
        for number in (first, *(n for n in filled if n != first)):
            if all(labels.get(e.look, e.label) == e.label for e in entries[number]) and all(
                looks.get(e.key, e.look) == e.look for e in entries[number]
            ):
                group.append(number)
                labels.update((e.look, e.label) for e in entries[number])
                looks.update((e.key, e.look) for e in entries[number])
        if len(group) > len(best):
            best = sorted(group)
    return best if len(best) > 1 or len(entries) == 1 else []


def _legend_rows(entries: list[_Entry], width: float, size: Size) -> tuple[int, int]:
    """How many columns a legend of this width (inches) has, and how many lines of text it is high."""
    if not entries:
        return 1, 0
    texts = [e.text(_label_width(width, size)) for e in entries]
    letter = _CHARACTER * size.small * _POINT
    sizes = [0.065 * size.small + letter * max(len(_plain(line)) for line in text.split("\n")) for text in texts]
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
    return min(52, int((width - 0.5) / (_CHARACTER * size.small * _POINT)))


def _legend(
    place: Figure | Axes, entries: list[_Entry], width: float, size: Size, below: float = 0.0, *, inside: bool = False
) -> None:
    if not entries:
        return
    options: dict[str, Any] = {
        "handles": [e.handle for e in entries],
        "labels": [e.text(_label_width(width, size)) for e in entries],
        "ncols": _legend_rows(entries, width, size)[0],
        "frameon": False,
        "handlelength": 2.0,
        "handletextpad": 0.6,
        "columnspacing": 1.4,
        "labelspacing": 0.35,
        "borderpad": 0.1,
    }
    if isinstance(place, Figure):
        # Below the panels, where no data can lie under it.
        legend = place.legend(loc="outside lower center", **options)
    elif inside:
        legend = place.legend(loc="upper left", borderaxespad=0.0, **options)
    else:
        figure = place.get_figure()
        assert isinstance(figure, Figure)
        down = place.transAxes + ScaledTranslation(0, -below, figure.dpi_scale_trans)
        legend = place.legend(
            loc="upper center", bbox_to_anchor=(0.5, 0.0), bbox_transform=down, borderaxespad=0.0, **options
        )
    for text in legend.get_texts():
        text.set_linespacing(LINE_SPACING)


def _plain(text: str) -> str:
    """Roughly what is seen of a string with mathtext, to estimate its width."""
    return re.sub(r"\\[A-Za-z]+", "x", text).translate(str.maketrans("", "", "${}^_"))


def _wrapped(text: str, width: int) -> str:
    r"""Break a string into lines, never inside ``$...$``.

    >>> print(_wrapped(r"a long label with $x \leq y$ in it", 14))
    a long label
    with $x \leq y$
    in it
    """
    # Spaces inside a formula are replaced by a character at which no line ends.
    guarded = re.sub(r"\$[^$]*\$", lambda m: m[0].replace(" ", "\x00"), text)
    lines: list[str] = []
    for word in guarded.split(" "):
        if lines and len(_plain(f"{lines[-1]} {word}")) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines).replace("\x00", " ")
