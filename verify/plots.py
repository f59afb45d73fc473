"""The figures of a run, drawn from its records: one figure a claim, at the size and in the style of a paper.

A curve's role decides how it looks, the same in every figure: what was measured is blue (a second kind of measurement
green), what the statement says black and solid, what a negative control says vermillion and dashed, a reference grey
and dotted. The colours are those of Okabe and Ito, which colour-blind readers can tell apart; dashes and markers differ
too, so that the figures survive a grey printer.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise, repeat
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation

from verify.records import ClaimRecord, Curve, Panel, RunRecord, faults_of_panel
from verify.workers import worker_pool

__all__ = ["FORMATS", "DrawingError", "Format", "figure_of", "file_stem", "pictures", "render_all"]


class DrawingError(ValueError):
    """A figure that cannot be drawn from its record, such as one with a formula in a label that does not parse."""


Format = Literal["png", "svg", "pdf"]

FORMATS: tuple[Format, ...] = ("png", "svg", "pdf")
"""The formats that figures are written in by default."""

_STYLE: dict[str, Any] = {
    # Fonts that come with matplotlib, so that the same records give the same picture on every machine.
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    "mathtext.fontset": "stix",
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "legend.fontsize": 8.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.use_mathtext": True,
    "axes.formatter.limits": (-3, 4),
    "axes.unicode_minus": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "xtick.minor.size": 1.6,
    "ytick.minor.size": 1.6,
    "axes.grid": True,
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.4,
    "lines.solid_capstyle": "round",
    "agg.path.chunksize": 10_000,
    "svg.fonttype": "path",
    "svg.hashsalt": "rdml-theory",
    "pdf.fonttype": 42,
    "text.usetex": False,
}

_Dashes = str | tuple[float, tuple[float, ...]]


@dataclass(frozen=True)
class _Look:
    """How the curves of a role are drawn; the variants tell apart those that share a panel."""

    colours: tuple[str, ...]
    dashes: tuple[_Dashes, ...]
    width: float
    order: float


_LOOKS: dict[str, _Look] = {
    "measured": _Look(("#0072B2", "#56B4E9", "#00395A", "#7C9EC9"), ("-",), 1.3, 4.0),
    "second": _Look(("#009E73", "#E69F00", "#00573F", "#9C6B00"), ("-",), 1.3, 3.5),
    "statement": _Look(("#000000", "#5f5f5f", "#8f8f8f"), ("-", (0, (7, 1.2)), (0, (7, 1, 1, 1))), 1.1, 3.0),
    "control": _Look(
        ("#D55E00", "#8C3B00", "#F08A4B"), ((0, (4, 2)), (0, (1.6, 1.2)), (0, (5, 1.5, 1.2, 1.5))), 1.2, 2.5
    ),
    "reference": _Look(("#777777", "#A0A0A0", "#555555"), ((0, (1, 1.6)), (0, (1, 3)), (0, (1, 1))), 1.1, 2.0),
}  # fmt: skip
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")

_RASTERISED = {"line": 3_000, "both": 3_000, "markers": 150}
"""Longer curves are embedded in vector files as pictures: thousands of pieces make them heavy, not sharper."""

_DPI = 160
"""Of a PNG, and of pictures within vector files."""

# Inches: the columns of a two-column page, and a character of the legend's type on the average.
_SINGLE, _DOUBLE = 4.4, 7.0
_CHARACTER = 0.048
_LINE = 0.16
_BOLD = 0.072  # of a heading

_SPACING = 0.95
"""Lines of wrapped text: the font's own distance is that of a book."""


def file_stem(claim: ClaimRecord) -> str:
    """The name of a claim's figure files without their suffix: its id and its title.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> file_stem(SimpleNamespace(id="D4", title="Limits at 0, 1 and ∞"))
    'D4_limits_at_0_1_and_infinity'
    """
    words = unicodedata.normalize("NFKD", claim.title.replace("∞", "infinity")).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "_", f"{claim.id}_{words.lower()}").strip("_")


@contextmanager
def _style() -> Iterator[None]:
    # The defaults first: a user's matplotlibrc must not change the figures of a run.
    with mpl.rc_context():
        mpl.rcParams.update({k: v for k, v in mpl.rcParamsDefault.items() if k != "backend"})
        mpl.rcParams.update(_STYLE)  # type: ignore[arg-type]
        yield


def figure_of(claim: ClaimRecord) -> Figure:
    """Draw a claim's panels.

    Values that cannot be drawn (infinite, or not positive on a logarithmic axis) leave a gap, and the legend says how
    many they are.

    Parameters
    ----------
    claim : ClaimRecord
        With at least one panel.

    Returns
    -------
    matplotlib.figure.Figure
        4.4 inches wide with one panel, else 7.0; with a canvas of its own, apart from pyplot.

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
    """
    if not claim.panels:
        raise ValueError(f"claim {claim.id} has no panels to draw")
    with _style():
        return _draw(claim.panels, _heading(claim))


def _heading(claim: ClaimRecord) -> str:
    """What stands above a claim's figure: which claim it is, and what to take away."""
    return f"{claim.id}: {claim.message or claim.title}".replace("$", r"\$")


def pictures(
    panels: tuple[Panel, ...], formats: Sequence[Format] = FORMATS, *, heading: str = ""
) -> dict[Format, bytes]:
    """Panels, a claim's or others, drawn once: the contents of the files, by format. Equal panels give equal bytes.

    Raises
    ------
    DrawingError
        If they cannot be drawn.
    """
    if unknown := [kind for kind in formats if kind not in FORMATS]:
        raise ValueError(f"figure format {unknown[0]!r}: expected one of {', '.join(FORMATS)}")
    try:
        with _style():
            figure = _draw(panels, heading)
            return {kind: _printed(figure, kind) for kind in formats}
    except Exception as error:
        # Matplotlib's errors, of labels above all, have no common base.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DrawingError(f"the figure cannot be drawn ({reason[:200]})") from error


def render_all(
    run: RunRecord, *, ids: Sequence[str] | None = None, formats: Sequence[Format] = FORMATS, jobs: int = 1
) -> dict[str, dict[Format, bytes]]:
    """The figures of a run, each drawn once for all formats.

    Parameters
    ----------
    run : RunRecord
        The run.
    ids : sequence of str, optional
        Which claims; all by default. A claim without panels has no figure.
    formats : sequence of {"png", "svg", "pdf"}
        Which formats.
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
        done = [_pictures(claim, formats) for claim in drawn]
    else:
        with worker_pool(min(jobs, len(drawn))) as pool:
            done = list(pool.map(_pictures, drawn, repeat(formats)))
    return {claim.id: picture for claim, picture in zip(drawn, done, strict=True)}


def _pictures(claim: ClaimRecord, formats: Sequence[Format]) -> dict[Format, bytes]:
    try:
        return pictures(claim.panels, formats, heading=_heading(claim))
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
    figure.set_dpi(_DPI)
    return stream.getvalue()


# ---------------------------------------------------------------------------------------------------------------------
# Layout


def _draw(panels: tuple[Panel, ...], heading: str = "") -> Figure:
    for panel in panels:
        if faults := faults_of_panel(panel):
            raise ValueError(f"panel {panel.title!r}: {faults[0]}")
    count = len(panels)
    columns = count if count <= 3 else 2 if count == 4 else 3
    rows = -(-count // columns)
    width = _SINGLE if count == 1 else _DOUBLE
    cell = width / columns
    height = {1: 2.9, 2: 2.35, 3: 2.05}[columns]
    variants = _variants(panels)
    entries = [_entries(panel, variants[number]) for number, panel in enumerate(panels)]
    direct = count == 1 and _ends_apart(panels[0])
    if direct:
        entries = [[]]
    common = _sharing(entries)
    if rows == 1 and len(common) < count:
        # Legends side by side take less room than one below the other.
        common = []
    together = _merged([entries[n] for n in common])
    # A cell that no panel fills is the nearest place for a legend that all panels share.
    spare = count < rows * columns
    lines = 0 if spare else _legend_rows(together, width)[1]
    for row in range(rows):
        alone = [n for n in range(row * columns, min(count, (row + 1) * columns)) if n not in common]
        lines += max((_legend_rows(entries[n], cell)[1] for n in alone), default=0)
    # Arranged at the resolution of the PNG, which then finds every text measured.
    title = _wrapped(heading, int(width / _BOLD))
    above = 0.22 * (title.count("\n") + 1) if heading else 0.0
    figure = Figure(figsize=(width, height * rows + lines * _LINE + 0.12 + above), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(w_pad=0.05, h_pad=0.05, wspace=0.03, hspace=0.03)  # type: ignore[call-arg]
    if heading:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold", linespacing=_SPACING)
    grid = figure.add_gridspec(rows, columns)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(grid[divmod(number, columns)])
        _panel(axes, panel, variants[number], width=cell, height=height)
        if direct:
            _label_ends(axes, panel, variants[number])
        if number % columns and panels[number - 1].y_label == panel.y_label:
            # Said once, at the left of the row.
            axes.set_ylabel("")
        if number not in common:
            below = 0.43 + _LINE * axes.get_xlabel().count("\n")
            _legend(axes, entries[number], cell, below)
    if spare and together:
        blank = figure.add_subplot(grid[divmod(count, columns)])
        blank.set_axis_off()
        _legend(blank, together, cell, inside=True)
    else:
        _legend(figure, together, width)
    # Arranged once and for all: every format shows the same arrangement, and none pays for it again.
    engine.execute(figure)
    figure.set_layout_engine("none")
    return figure


_SPREAD = 0.075
"""Of the height of a panel: how far labels at the ends of curves are apart at least."""


def _ends_apart(panel: Panel) -> bool:
    """Whether the curves of a panel are few lines that all end at the right, where their names can stand."""
    if not 2 <= len(panel.curves) <= 5 or any(curve.style == "markers" or len(curve.x) < 2 for curve in panel.curves):
        return False
    ends = {curve.x[-1] for curve in panel.curves}
    names = {curve.label for curve in panel.curves}
    shown = [_visible(panel, curve, curve.y)[-1] for curve in panel.curves]
    return len(ends) == 1 and len(names) == len(panel.curves) and not np.isnan(shown).any()


def _label_ends(axes: Axes, panel: Panel, variants: Sequence[int]) -> None:
    """The name of each curve at its end, in its colour, instead of a legend; labels that would touch move apart."""
    axes.autoscale_view()
    ends = []
    for curve, variant in zip(panel.curves, variants, strict=True):
        height = axes.transAxes.inverted().transform(axes.transData.transform((curve.x[-1], curve.y[-1])))[1]
        ends.append((float(height), curve.label, _properties(curve, variant, len(curve.x))["color"]))
    ends.sort(key=lambda end: end[0])
    places = [end[0] for end in ends]
    for n in range(1, len(places)):
        places[n] = max(places[n], places[n - 1] + _SPREAD)
    for place, (_, label, colour) in zip(places, ends, strict=True):
        axes.text(1.01, place, _wrapped(label, 24), transform=axes.transAxes, color=colour, va="center", fontsize=8.5)


def _panel(axes: Axes, panel: Panel, variants: Sequence[int], *, width: float, height: float) -> None:
    # Scales first: what cannot be shown on them is masked below, so that nothing is clipped to a misleading place.
    axes.set_xscale(panel.x_scale)
    axes.set_yscale(panel.y_scale)
    across, along = int((width - 0.7) / _CHARACTER), int((height - 0.55) / _CHARACTER)
    axes.set_title(_wrapped(panel.title, across + 6), loc="left", pad=5, linespacing=_SPACING)
    axes.set_xlabel(_wrapped(panel.x_label, across), linespacing=_SPACING)
    axes.set_ylabel(_wrapped(panel.y_label, along), linespacing=_SPACING)
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
    look = _LOOKS[curve.role]
    y = _visible(panel, curve, curve.y)
    points = int(np.count_nonzero(~np.isnan(y)))
    properties = _properties(curve, variant, points)
    x = np.where(np.isnan(y), np.nan, np.asarray(curve.x, dtype=float))
    heavy = len(x) > _RASTERISED[curve.style]
    if curve.low is not None and curve.high is not None:
        low, high = np.asarray(curve.low, dtype=float), _visible(panel, curve, curve.high)
        if panel.y_scale == "log":
            low = np.where(low <= 0, lowest, low)
        fine = np.isfinite(low) & np.isfinite(high)
        axes.fill_between(
            np.asarray(curve.x, dtype=float), low, high, where=fine.tolist(), color=properties["color"], alpha=0.18,
            linewidth=0, zorder=look.order - 0.2, rasterized=heavy,
        )  # fmt: skip
    line = axes.plot(x, y, label=curve.label, rasterized=heavy, zorder=look.order, **properties)[0]
    if curve.style == "both" and points > 16:
        line.set_markevery(-(-points // 12))
    if curve.style == "markers" and points > 150:
        line.set(markersize=1.8, alpha=0.6)


def _properties(curve: Curve, variant: int, points: int) -> dict[str, Any]:
    """The style of a curve, the same where it is drawn and in the legend."""
    look = _LOOKS[curve.role]
    marker = curve.group if curve.role == "control" and curve.group is not None else variant
    colour = look.colours[variant % len(look.colours)]
    return {
        "color": colour,
        "linewidth": look.width,
        "linestyle": look.dashes[variant % len(look.dashes)] if curve.style != "markers" else "none",
        # A line needs two points; a single one is shown as what it is.
        "marker": _MARKERS[marker % len(_MARKERS)] if curve.style != "line" or points == 1 else "none",
        "markersize": 3.6,
        "markeredgewidth": 0.8,
        # Filled means measured; what is only computed is hollow.
        "markerfacecolor": colour if curve.role in ("measured", "second") else "white",
    }


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
    """A line of a legend."""

    label: str
    role: str
    handle: Line2D
    look: tuple[Any, ...]
    hidden: int = 0

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
        handle = Line2D([], [], **_properties(curve, variant, int(np.count_nonzero(~missing))))
        style = (curve.role, variant, curve.style)
        entry = found.setdefault((curve.role, curve.label), _Entry(curve.label, curve.role, handle, style))
        # NaN marks what was never measured; only values that exist and are not shown are counted.
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
    for first in range(len(entries)):
        group: list[int] = []
        labels: dict[tuple[Any, ...], str] = {}
        looks: dict[tuple[str, str], tuple[Any, ...]] = {}
        for number in (first, *(n for n in range(len(entries)) if n != first)):
            if all(labels.get(e.look, e.label) == e.label for e in entries[number]) and all(
                looks.get((e.role, e.label), e.look) == e.look for e in entries[number]
            ):
                group.append(number)
                labels.update((e.look, e.label) for e in entries[number])
                looks.update(((e.role, e.label), e.look) for e in entries[number])
        if len(group) > len(best):
            best = sorted(group)
    return best if len(best) > 1 or len(entries) == 1 else []


def _legend_rows(entries: list[_Entry], width: float) -> tuple[int, int]:
    """How many columns a legend of this width (inches) has, and how many lines of text it is high."""
    if not entries:
        return 1, 0
    texts = [e.text(_label_width(width)) for e in entries]
    sizes = [0.52 + _CHARACTER * max(len(_plain(line)) for line in text.split("\n")) for text in texts]
    lines = [text.count("\n") + 1 for text in texts]

    def filled(values: Sequence[float], columns: int) -> list[Sequence[float]]:
        # Matplotlib fills a legend column by column, the first ones one entry deeper.
        deep, more = divmod(len(values), columns)
        starts = [c * deep + min(c, more) for c in range(columns + 1)]
        return [values[a:b] for a, b in pairwise(starts)]

    fitting = (n for n in range(len(entries), 1, -1) if sum(max(column) for column in filled(sizes, n)) <= width - 0.1)
    columns = next(fitting, 1)
    return columns, int(max(sum(column) for column in filled(lines, columns)))


def _label_width(width: float) -> int:
    return min(52, int((width - 0.5) / _CHARACTER))


def _legend(
    place: Figure | Axes, entries: list[_Entry], width: float, below: float = 0.0, *, inside: bool = False
) -> None:
    if not entries:
        return
    options: dict[str, Any] = {
        "handles": [e.handle for e in entries],
        "labels": [e.text(_label_width(width)) for e in entries],
        "ncols": _legend_rows(entries, width)[0],
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
        text.set_linespacing(_SPACING)


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
