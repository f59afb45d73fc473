"""Panels of inequalities: random points against the curve that they may not cross."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from sympy import Expr

from verify.checks.quantities import Points, evaluator
from verify.context import Context
from verify.records import Curve, Panel

__all__ = ["scatter_panel"]


def scatter_panel(
    context: Context,
    *,
    title: str,
    across: tuple[str, Expr],
    upwards: tuple[str, Expr],
    curve: Callable[[np.ndarray], np.ndarray],
    window: tuple[float, float],
    orders: tuple[float, float],
    label: str = "statement",
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
    curve : callable
        What the statement allows, as a function of the quantity across.
    window : (float, float)
        The range of the quantity across that is shown.
    orders : (float, float)
        The orders of the random points; equal ends fix it.
    label : str
        The curve's name.
    worst : Points, optional
        Points that attain the bound.
    scale : {"log", "linear"}
        Of both axes.
    reference : (str, callable), optional
        Another curve for comparison.
    """
    horizontal, vertical = evaluator(across[1], "numpy"), evaluator(upwards[1], "numpy")
    low, high = window

    def marks(points: Points) -> tuple[tuple[float, ...], tuple[float, ...]]:
        x, y = horizontal(points), vertical(points)
        shown = (x >= low) & (x <= high) & np.isfinite(y) & ((y > 1e-4 * low) | (scale == "linear"))
        return tuple(map(float, x[shown])), tuple(map(float, y[shown]))

    curves = []
    kinds: tuple[tuple[int, Literal["measured", "second"]], ...] = ((3, "measured"), (10, "second"))
    rng = context.rng("figure", title)
    for classes, role in kinds:
        x, y = marks(Points.random(rng, 250, classes, orders))
        curves.append(Curve(label=f"random pairs, {classes} classes", role=role, style="markers", x=x, y=y))
    if worst is not None:
        x, y = marks(worst)
        curves.append(Curve(label="worst two classes", role="measured", style="markers", group=1, x=x, y=y))
    grid = np.geomspace(low, high, 80) if scale == "log" else np.linspace(low, high, 80)
    across_grid = tuple(map(float, grid))
    curves.append(Curve(label=label, role="statement", x=across_grid, y=tuple(map(float, curve(grid)))))
    if reference is not None:
        values = tuple(map(float, reference[1](grid)))
        curves.append(Curve(label=reference[0], role="reference", x=across_grid, y=values))
    return Panel(title=title, x_label=across[0], y_label=upwards[0], x_scale=scale, y_scale=scale, curves=tuple(curves))
