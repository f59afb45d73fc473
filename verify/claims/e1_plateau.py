"""E1: the gradient norm falls and then stays, for as long as anybody trains."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sympy import Expr

from convergence import Trajectory, problems, simulate
from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.notation import Named
from rdml_theory.symbolic.relations import equal
from rdml_theory.symbolic.sgd import descent
from verify.checks.comparisons import at_most
from verify.checks.experiments import close_to, plateau_function, window_means
from verify.checks.symbolic import symbolic_check
from verify.claim import Check, Claim, Finding, Source, Statement, Twin
from verify.context import Context
from verify.records import Curve, Panel

Array = NDArray[np.float64]

LIMIT = Named("lim E‖∇f(x_t)‖²", r"\lim_{t \to \infty} \mathbb{E} \lVert \nabla f(x_t) \rVert^2")
PLATEAU = descent.bias**2 + descent.h * descent.noise**2 / (2 - descent.h)
DECADES = (1, 10, 100, 1_000, 10_000, 100_000)
CLOSE = 0.02
"""How near the mean over a decade must be to the plateau, from t = 100 on."""

STEP, NOISE, BIAS = 0.5, 0.1, 0.25
WELLS = {"quadratic_cosine": 9.0, "pl_sine": 9.0}
"""Nonconvex problems and every coordinate of where they start, several wells away from 0."""

WELL_NOISE, WELL_BIAS, WELL_CLOSE = 0.01, 0.04, 0.05
"""In a well the noise's part of the plateau, a twelfth of the whole, is that of the curvature there, not of Λ."""

NONCONVEX = ("double_well", "pl_sine", "quadratic_cosine", "robust_regression")


def derivation(plateau: Expr) -> Derivation:
    """The stationary mean and variance of ∇f = Λx under x ← x - η(∇f + b + n)."""
    h, z, sigma = descent.h, descent.bias, descent.noise
    variance = h * sigma**2 / (2 - h)
    steps = (
        Step("a mean gradient of -b, of size Z, stays as it is", equal((1 - h) * (-z) - h * z, -z)),
        Step("and so does this variance", equal((1 - h) ** 2 * variance + h**2 * sigma**2, variance)),
        Step("the mean square is the squared mean and the variance", equal(z**2 + variance, plateau)),
    )
    return Derivation(equal(LIMIT, plateau), steps)


def statement(plateau: Expr) -> Statement:
    words = "On Λ‖x‖²/2 with constant bias of size Z, {law} for every {h} in (0, 2)"
    return Statement(words, {"law": derivation(plateau).statement, "h": descent.h})


def _long_run(seed: int) -> Trajectory:
    """A quadratic in two dimensions from far away, over five decades of time."""
    problem = problems.get(
        "quadratic", radius=30.0, noise=NOISE, bias=BIAS, noise_model="gaussian", bias_model="constant"
    )
    times = np.unique(np.geomspace(1, DECADES[-1], 51).round().astype(int))
    return simulate(problem, step=STEP, steps=DECADES[-1], replicas=256, seed=seed, record=times)


def _between(run: Trajectory, first: int, last: int) -> Array:
    """Each replica's mean of ‖∇f(x_t)‖² over first ≤ t < last, both of them recorded."""
    rows = np.searchsorted(run.times, (first, last))
    before, after = run.mean_squared_gradient[rows]
    return (after * last - before * first) / (last - first)


def decades(plateau: Expr, context: Context) -> Finding:
    """The mean of ‖∇f‖² over each decade of time against the plateau."""
    run = context.shared("run", lambda: _long_run(context.seed_for("run")))
    stated = plateau_function(plateau)(STEP, NOISE, BIAS)
    comparisons = []
    for first, last in list(pairwise(DECADES))[2:]:
        values = _between(run, first, last)
        name = f"mean of ‖∇f(x_t)‖² for t from {first} to {last}, h = {STEP:g}, σ² = {NOISE:g}, ζ² = {BIAS:g}"
        comparisons.append(close_to(name, values, stated, CLOSE, context.error_rate))
    windows = window_means(run)
    middles = np.sqrt(run.times[1:] * run.times[:-1].astype(float))
    panel = Panel(
        title="five decades of time", x_label="steps $t$", y_label="$\\|\\nabla f(x_t)\\|^2$, windowed",
        x_scale="log", y_scale="log",
        curves=(
            Curve(label="measured, mean and 5-95% of replicas", role="measured", style="both", x=tuple(middles),
                  y=tuple(windows.mean(axis=1)), low=tuple(np.quantile(windows, 0.05, axis=1)),
                  high=tuple(np.quantile(windows, 0.95, axis=1))),
            Curve(label="plateau", role="statement", x=(1.0, float(DECADES[-1])), y=(stated, stated)),
            Curve(label="a fall like $1/t$", role="reference", x=(1.0, 1e5),
                  y=(1e3, 1e-2)),
        ),
    )  # fmt: skip
    return Finding(comparisons=tuple(comparisons), panels=(panel,))


def _well_run(name: str, steps: int, seed: int) -> Trajectory:
    """A nonconvex problem in two dimensions from far away."""
    problem = problems.get(
        name, dim=2, radius=WELLS[name], noise=WELL_NOISE, bias=WELL_BIAS, noise_model="gaussian",
        bias_model="constant",
    )  # fmt: skip
    times = np.unique(np.geomspace(1, steps, 10 * round(np.log10(steps)) + 1).round().astype(int))
    return simulate(
        problem, step=STEP / problem.smoothness, steps=steps, replicas=256, seed=seed, record=times
    )  # fmt: skip


def wells(plateau: Expr, context: Context) -> Finding:
    """The mean of ‖∇f‖² over each decade of time on nonconvex problems, against the plateau in a well."""
    stated = plateau_function(plateau)(STEP, WELL_NOISE, WELL_BIAS)
    over = context.pick(quick=DECADES[:-1], full=DECADES)
    comparisons, curves = [], []
    for group, name in enumerate(WELLS):
        run = context.shared(name, lambda n=name: _well_run(n, over[-1], context.seed_for(n)))
        for first, last in list(pairwise(over))[2:]:
            label = f"mean of ‖∇f(x_t)‖² on {name} for t from {first} to {last}, h = {STEP:g}, ζ² = {WELL_BIAS:g}"
            comparisons.append(
                close_to(label, _between(run, first, last), stated, WELL_CLOSE, context.error_rate)
            )  # fmt: skip
        windows = window_means(run)
        middles = np.sqrt(run.times[1:] * run.times[:-1].astype(float))
        curves.append(
            Curve(label=name.replace("_", " "), role="measured", style="both", group=group, x=tuple(middles),
                  y=tuple(windows.mean(axis=1)))
        )  # fmt: skip
        context.progress((group + 1) / len(WELLS))
    curves.append(Curve(label="plateau", role="statement", x=(1.0, float(over[-1])), y=(stated, stated)))
    panel = Panel(
        title="nonconvex, with noise", x_label="steps $t$", y_label="$\\|\\nabla f(x_t)\\|^2$, windowed",
        x_scale="log", y_scale="log", curves=tuple(curves),
    )  # fmt: skip
    return Finding(comparisons=tuple(comparisons), panels=(panel,))


def _ends(name: str, h: float, bias: float) -> float:
    """Where ‖∇f‖² of a noiseless run on a nonconvex problem ends."""
    problem = problems.get(name, bias=bias)
    steps = 6_000 if name == "robust_regression" else 2_000
    run = simulate(problem, step=h / problem.smoothness, steps=steps, replicas=1, seed=0, record=1)
    return float(run.squared_gradient[-1, 0])


def nonconvex(plateau: Expr, context: Context) -> Finding:
    """Without noise, ‖∇f‖² on nonconvex problems ends at ζ², whatever the step size: where the update vanishes."""
    comparisons, curves = [], []
    grid = (0.1, 0.3, 1.0)
    for group, name in enumerate(NONCONVEX):
        bias = 0.01 if name == "robust_regression" else 0.04
        ends = [context.shared(f"{name}/{h}", lambda n=name, h=h, b=bias: _ends(n, h, b)) for h in grid]
        stated = [plateau_function(plateau)(h, 0.0, bias) for h in grid]
        for h, end, value in zip(grid, ends, stated, strict=True):
            off = abs(end / value - 1) if value else np.inf
            comparisons.append(at_most(f"|‖∇f(x_T)‖²/stated - 1|, {name}, h = {h:g}, ζ² = {bias:g}", off, 1e-3))
        measured = tuple(end / bias for end in ends)
        label = name.replace("_", " ")
        curves.append(Curve(label=label, role="measured", style="markers", group=group, x=grid, y=measured))
        if group == 0:
            line = tuple(value / bias for value in stated)
            curves.append(Curve(label="stated", role="statement", x=grid, y=line))
        context.progress((group + 1) / len(NONCONVEX))
    panel = Panel(
        title="nonconvex, without noise", x_label="step size $h = \\Lambda\\eta$",
        y_label="last $\\|\\nabla f\\|^2 / \\zeta^2$", x_scale="log", curves=tuple(curves),
    )  # fmt: skip
    return Finding(comparisons=tuple(comparisons), panels=(panel,))


CLAIM = Claim(
    id="E1",
    title="Plateau",
    direction="equality",
    subject=PLATEAU,
    statement=statement,
    derivation=derivation,
    assumptions=(
        "x ← x - η(∇f + b + n), h = Λη, a constant bias b of size Z, noise of variance σ²",
        "nonconvex problems: without noise, where SGD settles; there ∇f = -b. With noise, in a well: E∇f = -b, and the "
        "variance is the stated one to first order in the noise, where the curvature is Λ (measured, not proved)",
    ),
    source=Source("this toolkit; the setting is that of Ajalloeian & Stich 2020", "2008.00051", own=True),
    checks=(
        symbolic_check(derivation, cost=0.5),
        Check("decades", "monte-carlo", "Does ‖∇f‖² fall to the plateau and stay there, over five decades of time?",
              decades, tests=3, cost=4.0),
        Check("wells", "monte-carlo", "Does it do so on nonconvex problems, from far away?", wells,
              tests=3 * len(WELLS), cost=1.0),
        Check("nonconvex", "numeric", "Does ‖∇f‖² end at ζ² on nonconvex problems, at small steps and at large ones?",
              nonconvex, cost=3.0),
    ),
    twins=(
        Twin("vanishes", "only the noise remains", PLATEAU.subs(descent.bias, 0)),
        Twin("falls-with-step", "the bias's part falls with the step", descent.h * PLATEAU, drawn=True),
        Twin("doubled", "twice the bias's part", PLATEAU + descent.bias**2),
    ),
    caption=(
        "Left: on a quadratic with biased gradients the squared gradient norm falls for a decade or two and then stays "
        "for three decades more. Middle: so it does on nonconvex problems. Right: without noise it ends there at the "
        "squared bias, at every step size."
    ),
)  # fmt: skip
