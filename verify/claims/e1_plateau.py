"""E1: the gradient norm falls and then stays, for as long as anybody trains."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sympy import Expr

from convergence import Trajectory, problems, simulate
from rdml_theory.symbolic.sgd import descent
from rdml_theory.symbolic.sgd.settling import ASSUMPTIONS, PLATEAU, plateau_of_quadratic, plateau_target, settled_target
from verify.checks import at_most, close_to, curve, kernel_check, panel, plateau_function, replicas_curve, window_means
from verify.claim import Claim, Comparison, Context, Control, Found, Source, Statement, check

Array = NDArray[np.float64]

DECADES = (1, 10, 100, 1_000, 10_000, 100_000)
CLOSE = 0.02
"""How near the mean over a decade must be to the plateau, from t = 100 on."""

STEP, NOISE, BIAS = 0.5, 0.1, 0.25
WELLS = {"quadratic_cosine": 9.0, "pl_sine": 9.0}
"""Nonconvex problems and every coordinate of where they start, several wells away from 0."""

WELL_NOISE, WELL_BIAS, WELL_CLOSE = 0.01, 0.04, 0.05
"""In a well the noise's part of the plateau, a twelfth of the whole, is that of the curvature there, not of Λ."""

NONCONVEX = ("double_well", "pl_sine", "quadratic_cosine", "robust_regression")


def statement(plateau: Expr) -> Statement:
    words = (
        "On λ‖x‖²/2 with a constant bias c of size Z, {law} for every ηλ in (0, 2): what is left of the start shrinks "
        "by 1 - ηλ in every step, {limit}, and the plateau is {plateau}, {h} = ηλ"
    )
    law, limit = (target(plateau).relation() for target in (plateau_target, settled_target))
    return Statement(words, {"law": law, "limit": limit, "plateau": plateau, "h": descent.h})


def _run(name: str, radius: float, noise: float, bias: float, steps: int, seed: int) -> Trajectory:
    """A problem in two dimensions from far away, recorded ten times in each decade of time."""
    problem = problems.get(
        name, dim=2, radius=radius, noise=noise, bias=bias, noise_model="gaussian", bias_model="constant"
    )
    times = np.unique(np.geomspace(1, steps, 10 * round(np.log10(steps)) + 1).round().astype(int))
    return simulate(problem, step=STEP / problem.smoothness, steps=steps, replicas=256, seed=seed, record=times)


def _judged(name: str, run: Trajectory, stated: float, close: float, rate: float, cut: float) -> list[Comparison]:
    """The mean of ‖∇f(x_t)‖² over each decade of time from the third on, against the plateau."""
    rows = np.searchsorted(run.times, [decade for decade in DECADES if decade <= run.steps][2:])
    totals = run.times[:, None] * run.mean_squared_gradient
    return [
        close_to(
            f"mean of ‖∇f(x_t)‖² on {name} for t from {run.times[a]} to {run.times[b]}, h = {STEP:g}",
            (totals[b] - totals[a]) / (run.times[b] - run.times[a]), stated, close, rate, cut=cut,
        )
        for a, b in pairwise(rows)
    ]  # fmt: skip


def _middles(run: Trajectory) -> Array:
    """Between the records, where means over windows are drawn."""
    return np.sqrt(run.times[1:] * run.times[:-1].astype(float))


AXES = ("steps $t$", "$\\|\\nabla f(x_t)\\|^2$, windowed")


@check("monte-carlo", tests=3, cost=4.0)
def decades(plateau: Expr, context: Context) -> Found:
    """Does ‖∇f‖² fall to the plateau and stay there, over five decades of time?"""
    run = context.shared(_run, "quadratic", 30.0, NOISE, BIAS, DECADES[-1], context.seed_for("run"))
    stated = plateau_function(plateau)(STEP, NOISE, BIAS)
    yield panel(
        "five decades of time", *AXES,
        replicas_curve("measured", _middles(run), window_means(run), style="both"),
        curve("plateau", DECADES, stated, "statement"), curve("a fall like $1/t$", (1, 1e5), (1e3, 1e-2), "reference"),
    )  # fmt: skip
    name = f"the quadratic, σ² = {NOISE:g}, ζ² = {BIAS:g}"
    yield from _judged(name, run, stated, CLOSE, context.error_rate, 10.0)


@check("monte-carlo", tests=3 * len(WELLS), cost=1.0)
def wells(plateau: Expr, context: Context) -> Found:
    """Does it do so on nonconvex problems, from far away?"""
    stated = plateau_function(plateau)(STEP, WELL_NOISE, WELL_BIAS)
    last = context.pick(quick=DECADES[-2], full=DECADES[-1])
    curves = []
    for group, (name, radius) in enumerate(context.each(WELLS.items())):
        run = context.shared(_run, name, radius, WELL_NOISE, WELL_BIAS, last, context.seed_for(name))
        yield from _judged(f"{name}, ζ² = {WELL_BIAS:g}", run, stated, WELL_CLOSE, context.error_rate, 5.0)
        means = window_means(run).mean(axis=1)
        curves.append(curve(name.replace("_", " "), _middles(run), means, style="both", group=group))
    curves.append(curve("plateau", (1, last), stated, "statement"))
    yield panel("nonconvex, with noise", *AXES, *curves)


def _ends(name: str, h: float, bias: float) -> float:
    """Where ‖∇f‖² of a noiseless run on a nonconvex problem ends."""
    problem = problems.get(name, bias=bias)
    steps = 6_000 if name == "robust_regression" else 2_000
    run = simulate(problem, step=h / problem.smoothness, steps=steps, replicas=1, seed=0, record=1)
    return float(run.squared_gradient[-1, 0])


@check("numeric", cost=3.0)
def nonconvex(plateau: Expr, context: Context) -> Found:
    """Does ‖∇f‖² end at ζ² on nonconvex problems, at small steps and at large ones?

    ‖∇f‖² ends at ζ², whatever the step size: where the update vanishes.
    """
    curves = []
    grid = (0.1, 0.3, 1.0)
    for group, name in enumerate(context.each(NONCONVEX)):
        bias = 0.01 if name == "robust_regression" else 0.04
        ends = [context.shared(_ends, name, h, bias) for h in grid]
        stated = [plateau_function(plateau)(h, 0.0, bias) for h in grid]
        for h, end, value in zip(grid, ends, stated, strict=True):
            off = abs(end / value - 1) if value else np.inf
            yield at_most(f"|‖∇f(x_T)‖²/stated - 1|, {name}, h = {h:g}, ζ² = {bias:g}", off, 1e-3)
        label = name.replace("_", " ")
        curves.append(curve(label, grid, np.divide(ends, bias), style="markers", group=group))
        if group == 0:
            curves.append(curve("stated", grid, np.divide(stated, bias), "statement"))
    yield panel(
        "nonconvex, without noise", "step size $h = \\Lambda\\eta$", "last $\\|\\nabla f\\|^2 / \\zeta^2$",
        *curves, log="x",
    )  # fmt: skip


CLAIM = Claim(
    id="E1",
    title="Plateau",
    message="The gradient falls, then stays level for decades",
    meaning=(
        "The squared gradient of biased SGD falls for a while, and from then on a hundred or a thousand times as many "
        "steps do not lower it. Without noise the level is the squared bias, whatever the step."
    ),
    matters="It is the O(1) bias, seen.",
    direction="equality",
    subject=PLATEAU,
    statement=statement,
    assumptions=(
        *ASSUMPTIONS,
        "nonconvex problems: without noise, where SGD settles; there ∇f = -b. With noise, in a well: E∇f = -b, and the "
        "variance is the stated one to first order in the noise, where the curvature is Λ (measured, not proved)",
    ),
    source=Source("this toolkit; the setting is that of Ajalloeian & Stich 2020", "2008.00051", own=True),
    checks=(kernel_check(plateau_of_quadratic, cost=0.5), decades, wells, nonconvex),
    controls=(
        Control("vanishes", "only the noise remains", PLATEAU.subs(descent.Z, 0)),
        Control("in-step", "proportional to the step size", descent.h * PLATEAU, drawn=True),
        Control("doubled", "twice the bias's part", PLATEAU + descent.Z**2),
    ),
    caption=(
        "Left: on a quadratic with biased gradients the squared gradient norm falls for a decade or two and then stays "
        "for three decades more. Middle: so it does on nonconvex problems. Right: without noise it ends there at the "
        "squared bias, at every step size."
    ),
    in_code="convergence.simulate",
)
