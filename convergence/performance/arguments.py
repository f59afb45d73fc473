"""What the worst-case functions accept, and the errors where they do not."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, get_args

import numpy as np

from convergence.arguments import flag, instance, number, shown
from convergence.assumptions import Assumptions
from convergence.performance.certificate import RightSides
from convergence.performance.method import Method

__all__ = ["Criterion", "pose"]

Criterion = Literal["average", "best"]


def pose(
    name: str, assumptions: Assumptions, step: float, steps: int, criterion: str, momentum: float, nesterov: bool,
    *, most: int,
) -> tuple[Method, RightSides]:  # fmt: skip
    """The method, and ΛΔ, ζ² and σ²: exactly those of the floating-point numbers given.

    Raises
    ------
    TypeError
        If ``assumptions`` is something else.
    ValueError
        If an argument is out of its range, naming what came, what is allowed and what to do.
    """
    a = instance("assumptions", assumptions, Assumptions)
    number("step", step, least=0, strict=True)
    if not 0 <= number("momentum", momentum) < 1:
        raise ValueError(f"momentum = {momentum!r}: expected a number in [0, 1); 0 means none")
    flag("nesterov", nesterov)
    if not isinstance(criterion, str) or criterion not in get_args(Criterion):
        raise ValueError(f"criterion = {shown(criterion)}: expected 'average' or 'best'")
    if a.gap == 0:
        raise ValueError(f"gap = 0.0: {name} needs Δ > 0; give a positive upper bound of f(x₀) - inf f")
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or not 1 <= steps <= most:
        noise = " with noise" if a.noise else ""
        other = "the sharp or the momentum bound" if name == "the stepwise bound" else "the stepwise bound"
        raise ValueError(
            f"steps = {shown(steps)}: {name} expects an integer from 1 to {most}{noise}; for longer runs use {other}"
        )
    method = Method(
        int(steps), Fraction(a.smoothness) * Fraction(float(step)), Fraction(float(momentum)), bool(nesterov),
        biased=a.bias > 0 or a.relative_bias > 0, noisy=a.noise > 0, relative_bias=Fraction(a.relative_bias),
    )  # fmt: skip
    return method, (Fraction(a.smoothness) * Fraction(a.gap), Fraction(a.bias), Fraction(a.noise))
