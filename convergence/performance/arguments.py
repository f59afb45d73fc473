"""What the worst-case functions accept, and the errors where they do not."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, get_args

import numpy as np

from convergence.arguments import flag, instance, number, shown
from convergence.assumptions import Assumptions

__all__ = ["Criterion", "check_arguments", "right_sides"]

Criterion = Literal["average", "best"]


def check_arguments(
    function: str, assumptions: Assumptions, step: float, steps: int, criterion: str, momentum: float, nesterov: bool,
    *, most: int,
) -> None:  # fmt: skip
    """Raise for an argument that is out of its range.

    Raises
    ------
    TypeError
        If ``assumptions`` is something else.
    ValueError
        Otherwise, naming what came, what is allowed and what to do.
    """
    instance("assumptions", assumptions, Assumptions)
    number("step", step, least=0, strict=True)
    if not 0 <= number("momentum", momentum) < 1:
        raise ValueError(f"momentum = {momentum!r}: expected a number in [0, 1); 0 means none")
    flag("nesterov", nesterov)
    if not isinstance(criterion, str) or criterion not in get_args(Criterion):
        raise ValueError(f"criterion = {shown(criterion)}: expected 'average' or 'best'")
    if assumptions.gap == 0:
        raise ValueError(f"gap = 0.0: {function} needs Δ > 0; give a positive upper bound of f(x_0) - inf f")
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or not 1 <= steps <= most:
        noise = " with noise" if assumptions.noise else ""
        other = "stepwise_bound" if function == "worst_case" else "sharp_bound or momentum_bound"
        raise ValueError(
            f"steps = {shown(steps)}: {function} expects an integer from 1 to {most}{noise}; for longer runs use "
            f"{other}"
        )


def right_sides(assumptions: Assumptions) -> tuple[Fraction, Fraction, Fraction]:
    """ΛΔ, ζ² and σ², exactly those of the floating-point numbers given."""
    gap = Fraction(assumptions.smoothness) * Fraction(assumptions.gap)
    return gap, Fraction(assumptions.bias), Fraction(assumptions.noise)
