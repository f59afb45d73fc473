"""How figures look: sizes, type, and what the curves of each role are drawn with.

A curve's role decides how it looks, the same in every figure: what was measured is blue (a second kind of measurement
green), what the statement says black and solid, what a negative control says vermillion and dashed, a reference grey
and dotted. Most of the colours are those of Okabe and Ito, and a test measures that colour-blind readers can tell all
of them apart. Dashes and markers differ too, so that the figures survive a grey printer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import matplotlib as mpl

from verify.records import Curve

__all__ = ["DPI", "LINE_SPACING", "SIZES", "Size", "SizeName", "properties", "readable", "style", "zorder"]

SizeName = Literal["screen", "column", "page"]
"""What a figure is drawn for: a screen, or one or both columns of a paper."""


@dataclass(frozen=True)
class Size:
    """The size of figures, in inches, and of their type, in points.

    Parameters
    ----------
    single, several : float
        The width of a figure of one panel, and of several.
    heights : tuple of float
        The height of a panel where a row has one, two or three of them; as many as a row may have.
    text, small, heading : float
        Of labels and titles; of ticks, legends and names in a panel; of the line above.
    """

    single: float
    several: float
    heights: tuple[float, ...]
    text: float
    small: float
    heading: float

    def columns(self, panels: int) -> int:
        """How many panels stand side by side: four of them two by two."""
        return min(len(self.heights), panels if panels <= 3 else 2 if panels == 4 else 3)


SIZES: dict[SizeName, Size] = {
    "screen": Size(4.4, 7.0, (2.9, 2.35, 2.05), text=9.0, small=8.0, heading=10.0),
    # Of a paper in two columns, as most conferences and journals print: 3.3 and 6.9 inches.
    "column": Size(3.3, 3.3, (2.0,), text=8.0, small=7.0, heading=8.5),
    "page": Size(6.9, 6.9, (2.6, 2.3, 2.05), text=8.0, small=7.0, heading=9.0),
}  # fmt: skip
"""The sizes by name."""
assert tuple(SIZES) == get_args(SizeName)

DPI = 160
"""Of a PNG, and of pictures within vector files."""

LINE_SPACING = 0.95
"""Lines of wrapped text: the font's own distance is that of a book."""

_STYLE: dict[str, Any] = {
    # Fonts that come with matplotlib, so that the same records give the same picture on every machine.
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    "mathtext.fontset": "stix",
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
    # Fonts embedded as TrueType, which publishers ask for, and not as Type 3.
    "pdf.fonttype": 42,
    "text.usetex": False,
}


@contextmanager
def style(size: Size) -> Iterator[None]:
    """Draw with this style and nothing of a user's matplotlibrc, which must not change the figures of a run."""
    type_sizes = dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), size.text)
    type_sizes |= dict.fromkeys(("legend.fontsize", "xtick.labelsize", "ytick.labelsize"), size.small)
    with mpl.rc_context():
        mpl.rcParams.update({k: v for k, v in mpl.rcParamsDefault.items() if k != "backend"})
        mpl.rcParams.update(_STYLE | type_sizes)  # type: ignore[arg-type]
        yield


_Dashes = str | tuple[float, tuple[float, ...]]


@dataclass(frozen=True)
class _Look:
    """How the curves of a role are drawn; the variants tell apart those that share a panel."""

    colours: tuple[str, ...]
    dashes: tuple[_Dashes, ...]
    width: float
    order: float


_LOOKS: dict[str, _Look] = {
    "measured": _Look(("#0072B2", "#CC79A7", "#4DB3F0", "#14205A"), ("-",), 1.3, 4.0),
    "second": _Look(("#009E73", "#E69F00", "#00573F", "#6B4400"), ("-",), 1.3, 3.5),
    "statement": _Look(("#000000", "#5f5f5f", "#8f8f8f"), ("-", (0, (7, 1.2)), (0, (7, 1, 1, 1))), 1.1, 3.0),
    "control": _Look(
        ("#D55E00", "#8C3B00", "#F08A4B"), ((0, (4, 2)), (0, (1.6, 1.2)), (0, (5, 1.5, 1.2, 1.5))), 1.2, 2.5
    ),
    "reference": _Look(("#777777", "#A0A0A0", "#555555"), ((0, (1, 1.6)), (0, (1, 3)), (0, (1, 1))), 1.1, 2.0),
}  # fmt: skip
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")


def zorder(curve: Curve) -> float:
    """What lies above what: measurements above statements, those above controls and references."""
    return _LOOKS[curve.role].order


def properties(curve: Curve, variant: int, points: int) -> dict[str, Any]:
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


def readable(colour: str) -> str:
    """The colour itself, or darker, so that words in it have the contrast 4.5 to white that WCAG 2.2 asks for.

    >>> readable("#000000"), readable("#E69F00")
    ('#000000', '#A06C00')
    """
    channels = [int(colour[n : n + 2], 16) for n in (1, 3, 5)]
    while 1.05 / (_luminance(channels) + 0.05) < 4.5:
        channels = [int(0.98 * c) for c in channels]
    return "#" + "".join(f"{c:02x}" for c in channels).upper()


def _luminance(channels: list[int]) -> float:
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
