"""C2a: the floor of the sharp bound, which the extremal quadratic reaches from every start."""

from __future__ import annotations

from typing import Any

import numpy as np
from sympy import Abs, sqrt

from convergence import Assumptions, floor, simulate
from rdml_theory.symbolic.sgd import descent, refinements, setting
from verify.checks import at_most, curve, kernel_check, panel
from verify.checks.bounds import BOUND_CHECK, BoundSubject, extremal_quadratic
from verify.claim import Claim, Context, Control, Found, Panel, Source, Statement, check

POINTS = ((0.25, 0.0, 1.0), (0.6, 0.5, 0.3), (1.0, 1.0, 1.0), (1.4, 0.5, 0.3), (1.8, 0.0, 1.0))
"""h, σ², ζ²."""

STARTS = (0.05, 1.0, 4.0)
"""‖∇f(x₀)‖ over the floor."""

REACHED = 1e-6
STEPS = 1_000

SHOWN = (0.1, 0.4, 0.7, 1.0, 1.3, 1.6, 1.9)
"""h of the figure's points."""


def statement(subject: BoundSubject) -> Statement:
    words = (
        "For every {h} in (0, 2): {bound}; the floor, which is left for T → ∞, is attained by runs of any length, so "
        "that no smaller one holds"
    )
    return Statement(words, {"h": descent.h, "bound": refinements.floor_target(subject.right_side).relation()})


def _floor(assumptions: Assumptions, step: float, steps: float) -> Any:
    return floor(assumptions, step)


def _subject(right_side: Any, **product: Any) -> BoundSubject:
    return BoundSubject(right_side, 1, 2.0, _floor, **product)


def _from(h: float, noise: float, bias: float, start: float) -> tuple[np.ndarray, np.ndarray]:
    """Times and ‖∇f(x_t)‖² on the extremal quadratic, started at a multiple of the floor.

    The noise's sign is random, its effect on the norm is not.
    """
    problem = extremal_quadratic(h, noise, bias, start=start)
    problem.block = 1
    run = simulate(problem, step=h, steps=STEPS, replicas=1, seed=0, record=60)
    return run.times, run.squared_gradient[:, 0]


@check("numeric")
def approach(subject: BoundSubject, context: Context) -> Found:
    """Does ‖∇f‖ end at the floor on the extremal quadratic, from below and from above?"""
    curves = []
    for number, (h, noise, bias) in enumerate(context.each(POINTS)):
        stated = subject.floor(h, noise, bias)
        for start in STARTS:
            times, squares = context.shared(_from, h, noise, bias, start)
            name = f"|‖∇f(x_T)‖²/stated - 1|, h = {h:g}, σ² = {noise:g}, ζ² = {bias:g}, from {start:g} times the floor"
            yield at_most(name, abs(float(squares[-1]) / stated - 1), REACHED)
            if h in (0.6, 1.4) and start != 1.0:
                role = "measured" if h < 1 else "second"
                curves.append(curve(f"measured, $h$ = {h:g}", times, squares, role, group=number))
        if h in (0.6, 1.4):
            curves.append(curve(f"floor, $h$ = {h:g}", (1, STEPS), stated, "statement", group=number))
    yield panel("extremal quadratic, from below and above", "steps $t$", "$\\|\\nabla f(x_t)\\|^2$", *curves)
    yield _against_step(subject, context)


def _against_step(subject: BoundSubject, context: Context) -> Panel:
    grid, curves = np.linspace(0.02, 1.95, 120), []
    for group, (noise, bias) in enumerate(((0.0, 1.0), (0.5, 0.3))):
        constants = f"$\\sigma^2 = {noise:g}$, $\\zeta^2 = {bias:g}$"
        stated = [subject.floor(float(h), noise, bias) for h in grid]
        ends = [float(context.shared(_from, h, noise, bias, 0.5)[1][-1]) for h in SHOWN]
        curves.append(curve(f"measured, {constants}", SHOWN, ends, style="markers", group=group))
        curves.append(curve(f"floor, {constants}", grid, stated, "statement", group=group))
    labels = ("floor against the step size", "step size $h = \\Lambda\\eta$", "squared gradient norm")
    return panel(*labels, *curves, log="y")


_CLASSICAL = sqrt(descent.Z**2 + descent.h * descent.sigma**2)

CLAIM = Claim(
    id="C2a",
    title="Floor",
    message="No analysis can lower the floor",
    meaning=(
        "As a run gets longer, the sharp bound comes down to a floor that depends on bias, noise and step alone. On "
        "one quadratic SGD stays on that floor forever."
    ),
    matters="The floor is the price of the bias once training has settled.",
    direction="tight",
    subject=_subject(refinements.FLOOR, product=_floor),
    statement=statement,
    assumptions=setting.assumptions(*setting.AVERAGED, "h < 2"),
    source=Source("this toolkit; the setting is that of Ajalloeian & Stich 2020", "2008.00051", own=True),
    checks=(kernel_check(lambda subject: refinements.floor_bound(subject.right_side)), BOUND_CHECK, approach),
    controls=(
        Control("classical", "the floor of the classical bound", _subject(_CLASSICAL), drawn=True),
        Control("sign", "1-h in place of |1-h|", _subject(refinements.FLOOR.subs(Abs(1 - descent.h), 1 - descent.h))),
        Control(
            "half-noise",
            "half the noise's variance",
            _subject(refinements.FLOOR.subs(descent.sigma, descent.sigma / sqrt(2))),
        ),
    ),
    caption=(
        "Left: the squared gradient norm on the extremal quadratic ends at the floor, whether it starts below or above "
        "it. Right: where it ends, against the step size; the floor of the classical bound is false beyond h = 1."
    ),
    in_code="convergence.floor",
)
