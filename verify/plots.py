"""The figures of a run, drawn from its records: one figure a claim, on a screen or at the size of a paper's column.

Beside each figure its numbers are written as CSV. How panels are arranged is in :mod:`verify.figure_layout`, how
one is drawn in :mod:`verify.figure_panel`.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from itertools import repeat
from typing import Literal, get_args

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from verify.figure_layout import drawn_figure
from verify.figure_style import DPI, SIZES, Size, SizeName, style
from verify.reading import in_a_line
from verify.records import ClaimRecord, Panel, RunRecord
from verify.workers import worker_pool

__all__ = [
    "FORMATS", "SIZES", "DrawingError", "Format", "SizeName", "figure_of", "file_stem", "pictures", "render_all",
]  # fmt: skip


class DrawingError(ValueError):
    """A figure that cannot be drawn from its record, such as one with a formula in a label that does not parse."""


Format = Literal["png", "svg", "pdf", "csv"]
"""A format in which a figure is written, or its numbers."""

FORMATS: tuple[Format, ...] = get_args(Format)
"""The formats that figures are written in by default; CSV holds the numbers that they show."""


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
    >>> from verify.records import ClaimRecord, Curve, Panel, Source
    >>> curve = Curve(label="measured", role="measured", x=(1.0, 2.0), y=(1.0, 4.0))
    >>> claim = ClaimRecord(
    ...     id="X1", title="An example", direction="equality", statement=(), assumptions=(), error_rate=0.0,
    ...     source=Source(work="here"), outcome="confirmed", margin=None, checks=(), controls=(), caption="",
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
        return drawn_figure(claim.panels, _heading(claim), _size(size))


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
            figure = drawn_figure(panels, heading, inches)
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
            places = [panel.x_names[int(x) - 1] for x in curve.x] if panel.x_names else curve.x
            rows.writerows([*what, *point] for point in zip(places, curve.y, *bands))  # noqa: B905 - bands may be endless
    return stream.getvalue().encode()
