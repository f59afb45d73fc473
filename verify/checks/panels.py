"""Curves and panels from arrays, and the panels of inequalities: random points against what they may not cross."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Expr

from verify.checks.quantities import Points, evaluator
from verify.context import Context
from verify.records import Curve, Panel

__all__ = ["Role", "contradicted", "curve", "order_panels", "panel", "replicas_curve", "scatter_panel"]

Role = Literal["measured", "second", "statement", "control", "reference"]
"""What a curve shows, which decides how it is drawn: the same in every figure."""


def _numbers(values: ArrayLike) -> tuple[float, ...]:
    return tuple(np.asarray(values, dtype=np.float64).tolist())


def curve(
    label: str, x: Any, y: Any, role: Role = "measured", *, band: tuple[ArrayLike, ArrayLike] | None = None,
    style: Literal["line", "markers", "both"] = "line", group: int | None = None,
    contradicted: tuple[float, float, float] | None = None,
) -> Curve:  # fmt: skip
    """A curve from anything like arrays; y may also be a function of one x, or a number for a level.

    Where a statement's curve is itself measured, ``contradicted`` says where that refutes it (:class:`Curve`).

    >>> curve("bound", [1, 2], lambda t: 1 / t, "statement").y, curve("floor", [1, 5, 9], 0.5).x
    ((1.0, 0.5), (1.0, 9.0))
    """
    if callable(y):
        y = [y(value) for value in x]
    elif np.ndim(y) == 0:
        x, y = (x[0], x[-1]), (y, y)
    low, high = (None, None) if band is None else map(_numbers, band)
    return Curve(
        label=label, role=role, x=_numbers(x), y=_numbers(y), low=low, high=high, style=style, group=group,
        contradicted=contradicted,
    )  # fmt: skip


def replicas_curve(label: str, x: ArrayLike, values: ArrayLike, **how: Any) -> Curve:
    """The mean of replicas over x, with the band that holds 90% of them; values are (x, replica).

    A band that nobody would see is told in words: how far from the mean it reaches at most, rounded up.
    """
    rows = np.asarray(values)
    mean, band = rows.mean(axis=1), (np.quantile(rows, 0.05, axis=1), np.quantile(rows, 0.95, axis=1))
    widest = 100 * float(np.abs(np.stack(band) / mean - 1).max())
    words = f"90% of runs within {np.ceil(widest):.0f}%" if widest < 10 else "band: 90% of runs"
    return curve(f"{label} ({words})", x, mean, band=band, **how)


def panel(
    title: str, x_label: str, y_label: str, *curves: Curve, log: Literal["", "x", "y", "xy"] = "xy",
    x_names: Sequence[str] = (),
) -> Panel:  # fmt: skip
    """A panel of a figure; ``log`` names its logarithmic axes, ``x_names`` what stands at x = 1, 2, ...."""
    scales: dict[str, Any] = {f"{axis}_scale": "log" if axis in log else "linear" for axis in "xy"}
    return Panel(title=title, x_label=x_label, y_label=y_label, curves=curves, x_names=tuple(x_names), **scales)


def contradicted(panel: Panel, stated: Curve, false: Curve) -> tuple[float, tuple[float, float, float]] | None:
    """How far a negative control's curve is from the measured point that refutes it most clearly, and where that is.

    That lies between that curve and the statement's, or hardly beyond it. Distances are parts of the height of the
    panel, as its axes show it; what is nearer than a fiftieth nobody sees. Curves of a group are compared among
    themselves. A curve that is a measurement itself brings along where it is refuted.

    >>> stated = Curve(label="bound", role="statement", x=(0.0, 1.0), y=(2.0, 2.0))
    >>> points = Curve(label="measured", role="measured", x=(0.2, 0.5), y=(0.0, 1.5))
    >>> half = stated.model_copy(update={"y": (1.0, 1.0)})
    >>> contradicted(Panel(title="", x_label="", y_label="", curves=(stated, points)), stated, half)
    (0.25, (0.5, 1.5, 1.0))
    """
    if false.contradicted is not None:
        return np.inf, false.contradicted

    def on_axis(values: Sequence[float], scale: str) -> NDArray[np.float64]:
        out = np.asarray(values, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            out = np.log(out) if scale == "log" else out
        return np.where(np.isfinite(out), out, np.nan)

    def at(x: NDArray[np.float64], known: Curve) -> NDArray[np.float64]:
        places, values = on_axis(known.x, panel.x_scale), on_axis(known.y, panel.y_scale)
        alpha = np.argsort(places)
        return np.interp(x, places[alpha], values[alpha], left=np.nan, right=np.nan)

    measured = [c for c in panel.curves if c.role in ("measured", "second")]
    mine = [c for c in measured if stated.group in (None, c.group)] or measured
    seen = np.concatenate([on_axis(c.y, panel.y_scale) for c in panel.curves])
    height = float(np.nanmax(seen) - np.nanmin(seen))
    best = None
    for points in mine:
        x, y = on_axis(points.x, panel.x_scale), on_axis(points.y, panel.y_scale)
        room = at(x, stated) - at(x, false)
        beyond = np.where(np.abs(y - at(x, false)) <= 1.1 * np.abs(room), (y - at(x, false)) * np.sign(room), 0.0)
        n = int(np.nanargmax(np.nan_to_num(beyond)))
        if (far := float(np.nan_to_num(beyond)[n]) / height) > max(0.02, best[0] if best else 0.0):
            said = at(x, false)[n]
            best = (far, (points.x[n], points.y[n], float(np.exp(said) if panel.y_scale == "log" else said)))
    return best


def scatter_panel(
    context: Context,
    *,
    title: str,
    across: tuple[str, Expr],
    upwards: tuple[str, Expr],
    bound: Callable[[np.ndarray], np.ndarray],
    window: tuple[float, float],
    alphas: tuple[float, float],
    worst: Points | None = None,
    scale: Literal["log", "linear"] = "log",
    reference: tuple[str, Callable[[np.ndarray], np.ndarray]] | None = None,
) -> Panel:
    """One quantity of random points against another, with the curve that bounds it.

    Parameters
    ----------
    context : Context
        Where the random points come from.
    title : str
        The panel's title.
    across, upwards : (str, Expr)
        Label and quantity of each axis.
    bound : callable
        What the statement allows, as a function of the quantity across.
    window : (float, float)
        The range of the quantity across that is shown.
    orders : (float, float)
        The orders of the random points; equal ends fix it.
    worst : Points, optional
        Points that attain the bound.
    scale : {"log", "linear"}
        Of both axes.
    reference : (str, callable), optional
        Another curve for comparison.
    """
    horizontal, vertical = evaluator(across[1], "numpy"), evaluator(upwards[1], "numpy")
    low, high = window

    def marks(points: Points) -> tuple[np.ndarray, np.ndarray]:
        x, y = horizontal(points), vertical(points)
        shown = (x >= low) & (x <= high) & np.isfinite(y) & ((y > 1e-4 * low) | (scale == "linear"))
        return x[shown], y[shown]

    curves = []
    kinds: tuple[tuple[int, Role], ...] = ((3, "measured"), (10, "second"))
    rng = context.rng("figure", title)
    for classes, role in kinds:
        points = Points.random(rng, 250, classes, alphas)
        curves.append(curve(f"random pairs, {classes} classes", *marks(points), role, style="markers"))
    if worst is not None:
        curves.append(curve("worst two classes", *marks(worst), style="markers", group=1))
    grid = np.geomspace(low, high, 80) if scale == "log" else np.linspace(low, high, 80)
    curves.append(curve("bound", grid, bound(grid), "statement"))
    if reference is not None:
        curves.append(curve(reference[0], grid, reference[1](grid), "reference"))
    return panel(title, across[0], upwards[0], *curves, log="xy" if scale == "log" else "")


def order_panels(
    context: Context,
    alphas: Sequence[float],
    bound: Callable[[float, np.ndarray], np.ndarray],
    *,
    worst: Callable[[float], Points] | None = None,
    reference: tuple[str, Callable[[float, np.ndarray], np.ndarray]] | None = None,
    **scatter: Any,
) -> tuple[Panel, ...]:
    """A :func:`scatter_panel` for each order, on which the bound, the worst points and the reference may depend."""
    return tuple(
        scatter_panel(
            context, title=f"order $\\alpha$ = {alpha:g}", alphas=(alpha, alpha), bound=partial(bound, alpha),
            worst=worst(alpha) if worst else None,
            reference=(reference[0], partial(reference[1], alpha)) if reference else None, **scatter,
        )
        for alpha in alphas
    )  # fmt: skip
