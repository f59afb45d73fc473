"""A panel, drawn: its axes, its curves and bands, and its words in lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from matplotlib.transforms import BboxBase, ScaledTranslation

from verify.figure_style import LINE_SPACING, Size, properties, zorder
from verify.records import Curve, Panel

__all__ = [
    "BOLD", "CHARACTER", "LINE", "POINT", "balanced", "draw_panel", "hold_words", "names_height", "plain", "visible",
    "wrapped",
]  # fmt: skip

_RASTERISED = {"line": 3_000, "both": 3_000, "markers": 150}
"""Longer curves are embedded in vector files as pictures: thousands of pieces make them heavy, not sharper."""

# Parts of the size of type: a character on the average, one of a heading, the distance of lines. And inches a point.
CHARACTER, BOLD, LINE = 0.43, 0.52, 1.44

POINT = 1 / 72


_TITLE_PAD = 5
"""Points between a panel and its title."""

_SLOPE = 40
"""Degrees by which names below an axis rise."""


def names_height(panel: Panel, size: Size) -> float:
    """How much higher than numbers the names below a panel's axis are, in inches."""
    longest = max(map(len, panel.x_names), default=0)
    return np.sin(np.radians(_SLOPE)) * longest * CHARACTER * size.small * POINT


def draw_panel(axes: Axes, panel: Panel, variants: Sequence[int], cell: tuple[float, float], size: Size) -> None:
    """Draw a panel into its axes, for a cell of this width and height in inches."""
    # Scales first: what cannot be shown on them is masked below, so that nothing is clipped to a misleading place.
    axes.set_xscale(panel.x_scale)
    axes.set_yscale(panel.y_scale)
    letter = CHARACTER * size.small * POINT
    across, along = int((cell[0] - 0.7) / letter), int((cell[1] - 0.55) / letter)
    axes.set_title(wrapped(panel.title, across + 6), loc="left", pad=_TITLE_PAD, linespacing=LINE_SPACING)
    axes.set_xlabel(wrapped(panel.x_label, across), linespacing=LINE_SPACING)
    axes.set_ylabel(wrapped(panel.y_label, along), linespacing=LINE_SPACING)
    axes.grid(visible=True, which="major")
    lowest = _lowest_positive(panel)
    for curve, variant in zip(panel.curves, variants, strict=True):
        _curve(axes, panel, curve, variant, lowest)
    for axis, scale in ((axes.xaxis, panel.x_scale), (axes.yaxis, panel.y_scale)):
        if scale == "log":
            _thin_log_ticks(axis)
    axes.margins(x=0.03, y=0.06)
    if panel.x_names:
        axes.set_xticks(
            range(1, len(panel.x_names) + 1), panel.x_names, rotation=_SLOPE, ha="right", rotation_mode="anchor"
        )


def hold_words(axes: Axes, panel: BboxBase) -> None:
    """Keep title and labels where Matplotlib has put them around a panel: every format would look for places anew."""
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    inches = figure.dpi_scale_trans
    below, left = axes.xaxis.label.get_position()[1] - panel.y0, axes.yaxis.label.get_position()[0] - panel.x0
    axes.xaxis.set_label_coords(0.5, 0, axes.transAxes + ScaledTranslation(0, below / figure.dpi, inches))
    axes.yaxis.set_label_coords(0, 0.5, axes.transAxes + ScaledTranslation(left / figure.dpi, 0, inches))
    words = axes.get_title(loc="left")
    title = next(t for t in axes.get_children() if isinstance(t, Text) and t.get_text() == words)
    axes.set_title(words, loc="left", pad=_TITLE_PAD, y=title.get_position()[1])


def _thin_log_ticks(axis: Any) -> None:
    """At most six labelled decades, and at least two labels that are seen; minor ticks where they have room."""
    low, high = sorted(axis.get_view_interval())
    if low <= 0 or not np.isfinite(high):
        return
    decades = np.log10(high / low)
    axis.set_major_locator(LogLocator(base=10, numticks=7))
    finer = [subs for subs in _BETWEEN_DECADES if _seen(LogLocator(base=10, subs=subs, numticks=7), low, high) >= 2]
    if decades < 1.5 or _seen(axis.get_major_locator(), low, high) < 2:
        subs = finer[0] if finer else _BETWEEN_DECADES[-1]
        axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=7))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _plain_number(value)))
    elif decades > 4:
        axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


_BETWEEN_DECADES = ((1.0, 2.0, 5.0), tuple(map(float, range(1, 10))))


def _seen(ticks: LogLocator, low: float, high: float) -> int:
    """How many ticks lie within an axis."""
    return sum(low <= value <= high for value in ticks.tick_values(low, high))


def _plain_number(value: float) -> str:
    r"""A round number in digits; a very small or large one with a power of ten.

    >>> print(_plain_number(0.002), _plain_number(2e-5))
    0.002 $2\cdot10^{-5}$
    """
    if 1e-3 <= value < 1e5:
        return f"{value:.4g}"
    digits, power = f"{value:.0e}".split("e")
    return f"${digits}\\cdot10^{{{int(power)}}}$"


def visible(panel: Panel, curve: Curve, values: Sequence[float]) -> np.ndarray:
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
    y = visible(panel, curve, curve.y)
    points = int(np.count_nonzero(~np.isnan(y)))
    look = properties(curve, variant, points)
    x = np.where(np.isnan(y), np.nan, np.asarray(curve.x, dtype=float))
    heavy = len(x) > _RASTERISED[curve.style]
    if curve.low is not None and curve.high is not None:
        low, high = np.asarray(curve.low, dtype=float), visible(panel, curve, curve.high)
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


def plain(text: str) -> str:
    """Roughly what is seen of a string with mathtext, to estimate its width."""
    return re.sub(r"\\[A-Za-z]+", "x", text).translate(str.maketrans("", "", "${}^_"))


def wrapped(text: str, width: int) -> str:
    r"""Break a string into lines, never inside ``$...$``, short parentheses or "1 − h"; minus signs are no hyphens.

    >>> wrapped(r"a long label with $x \leq y$ in it", 14).splitlines()
    ['a long label', 'with $x \\leq y$ in', 'it']
    >>> wrapped("a-priori, at most ½ max(1-h, α)", 19).splitlines()
    ['a-priori, at most', '½ max(1−h, α)']
    >>> wrapped("false: 1 - α dropped", 10).splitlines()
    ['false:', '1 − α', 'dropped']
    """
    parts = re.split(r"(\$[^$]*\$)", text)
    text = "".join(p if p.startswith("$") else re.sub(r"(?<![^\W\d_]{2})-(?![^\W\d_]{2})", "−", p) for p in parts)
    # Spaces inside a formula are replaced by a character at which no line ends.
    guarded = re.sub(r"\$[^$]*\$|\([^()$]{1,8}\)|½ | [−=] ", lambda m: m[0].replace(" ", "\x00"), text)
    lines: list[str] = []
    for word in guarded.split(" "):
        if lines and len(plain(f"{lines[-1]} {word}")) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines).replace("\x00", " ")


def balanced(text: str, width: int) -> str:
    r"""As few lines as fit the width, and about equally long, so that no word stands alone in the last one.

    >>> balanced("the student's prediction minus the escort's", 34).splitlines()
    ["the student's prediction", "minus the escort's"]
    """
    lines = wrapped(text, width)
    return next(
        tried for narrow in range(1, width + 1) if (tried := wrapped(text, narrow)).count("\n") == lines.count("\n")
    )
