"""C9: if the gradient grows with the value, the value converges to a floor at a geometric rate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Expr, Integer

from convergence import Assumptions, Trajectory, pl_bound, problems, simulate
from rdml_theory.symbolic.sgd import descent, growth
from rdml_theory.symbolic.sgd.growth import CLOSER, FLOOR, PL
from verify.checks import (
    Replicas,
    at_least,
    at_most,
    curve,
    function_of,
    implementation_check,
    kernel_check,
    panel,
    replicas_curve,
)
from verify.claim import Claim, Control, Found, Source, Statement, check
from verify.context import Context
from verify.records import Panel

QUADRATIC = (
    (1.0, 1.0, 1.0, 20), (1.0, 1.0, 0.0, 20), (0.3, 0.0, 1.0, 100), (0.5, 1.0, 1.0, 100), (1.5, 1.0, 0.0, 60),
    (1.6, 0.3, 1.0, 100),
)  # fmt: skip
"""h, σ², ζ², T on the quadratic, where μ = Λ and the floor is attained."""

GENTLE = ((1.0, 0.1, 1.0), (0.4, 0.02, 1.0), (0.2, 0.7, 0.0))
"""h, μ/Λ and ζ² of quadratics of curvature μ, which attain the bound at every step."""

APART = ((1.5, 0.5, 0.0), (1.2, 0.1, 0.0), (0.5, 0.5, 1.0), (0.2, 0.1, 0.3), (1.7, 0.3, 0.5))
"""h, μ/Λ and σ² for which the floor is not known, with ζ² = 1: it is between quadratics and the bound."""

NONCONVEX = ((1.0, 4.0, 0.25, 3_000), (0.4, 4.0, 0.25, 6_000), (0.6, 0.0, 0.0, 200))
REACHED = 0.97
ROUNDING = 1e-9


@dataclass(frozen=True)
class Subject:
    """Two bounds of E f(x_T) - inf f, and what F² is equal to."""

    right_side: Expr
    closer: Expr
    floor_square: Expr

    @cached_property
    def _formulas(self) -> tuple[Any, ...]:
        s, g = descent, growth
        names = (s.h, s.eta, s.gap, s.sigma, s.horizon, g.kept, g.reach, g.floor)
        return tuple(function_of(e, *names) for e in (self.floor_square, self.right_side, self.closer))

    def bound(self, at: Assumptions, step: float, steps: float, pl_constant: float) -> float:
        """The less of the two."""
        h, (square, right_side, closer) = at.smoothness * step, self._formulas
        q = min(h, 2 - h)
        kept, reach = 1 - pl_constant * q / at.smoothness, h * np.sqrt(at.bias / (2 * pl_constant)) / q

        def known(floor: float) -> tuple[float, ...]:
            return h, step, at.gap, np.sqrt(at.noise), steps, kept, reach, floor

        # F² - (...) is a quadratic in F: its value at 0, and at ±1.
        zero, plus, minus = (-float(square(*known(x))) for x in (0.0, 1.0, -1.0))
        second, first = 1 + (plus + minus) / 2 - zero, (plus - minus) / 2
        floor = (-first + np.sqrt(max(first**2 - 4 * second * zero, 0.0))) / (2 * second)
        if floor == 0:
            return float(closer(*known(floor)))
        values = [float(right_side(*known(floor)))]
        if at.gap >= floor**2:
            values.append(float(closer(*known(floor))))
        return min(values)


def statement(subject: Subject) -> Statement:
    words = (
        "If ‖∇f‖² ≥ 2{mu}(f - inf f) everywhere, then for {h} in (0, 2), with {kept} and {reach}: {bound} where there "
        "is noise, with the F > 0 of {floor}; and {closer} where Δ > F². Without noise, F is R; for {h} ≤ 1 and every "
        "{mu} < Λ the second is then attained at every T, and the first at {h} = 1, {mu} = Λ"
    )
    bound, closer = (growth.pl_target(side).relation() for side in (subject.right_side, subject.closer))
    formulas = {
        "mu": growth.growth, "h": descent.h, "kept": growth.KEPT.relation(), "reach": growth.REACH.relation(),
        "bound": bound, "closer": closer, "floor": growth.floor_equation(subject.floor_square).relation(),
    }  # fmt: skip
    return Statement(words, formulas)


def _compared(subject: Subject, rng: np.random.Generator) -> list[tuple[float, float]]:
    lam, gap, noise, bias = np.exp(rng.uniform(-3, 3, 4))
    at = Assumptions(smoothness=lam, gap=gap, noise=noise, bias=bias)
    step, steps, mu = rng.uniform(0.01, 1.99) / lam, round(10 ** rng.uniform(0, 3)), lam * rng.uniform(0.01, 1)
    return [(float(pl_bound(at, step, steps, pl_constant=mu)), subject.bound(at, step, steps, mu))]


def _on_quadratic(curvature: float, h: float, noise: float, bias: float, steps: int, radius: float) -> Trajectory:
    """A run on a quadratic, with the bias that raises it most and noise at a right angle."""
    problem = problems.get(
        "quadratic", dim=2, smoothness=curvature, noise=noise, bias=bias, radius=radius, noise_model="orthogonal",
        bias_model="against_gradient" if h * curvature <= 1 else "along_gradient",
    )  # fmt: skip
    return simulate(problem, step=h, steps=steps, replicas=1, seed=0, record=min(steps, 20))


@check("numeric", cost=0.5)
def quadratic(subject: Subject, context: Context) -> Found:
    """Do quadratics reach the bound?"""
    for h, noise, bias, steps in QUADRATIC:
        run = _on_quadratic(1.0, h, noise, bias, steps, 3.0)
        stated = subject.bound(run.assumptions, h, steps, 1.0)
        value = float(run.value[-1, 0])
        name = f"f(x_T) - inf f on the quadratic, h = {h:g}, σ² = {noise:g}, ζ² = {bias:g}, T = {steps}"
        yield at_most(name, value, stated * (1 + ROUNDING))
        yield at_least(f"{name}: over stated", value / stated if stated else np.inf, REACHED)
    for h, mu, bias in GENTLE:
        run = _on_quadratic(mu, h, 0.0, bias, 60, 3 / mu)
        at = Assumptions(smoothness=1.0, gap=run.assumptions.gap, noise=0.0, bias=bias)
        ratios = [v / subject.bound(at, h, t, mu) for v, t in zip(run.value[:, 0], run.times, strict=True) if t]
        name = f"on a quadratic of curvature μ = {mu:g} Λ, over stated, h = {h:g}, ζ² = {bias:g}"
        yield at_most(f"{name}: the most", max(ratios), 1 + ROUNDING)
        yield at_least(f"{name}: the least", min(ratios), 1 - ROUNDING)
    yield _falling(subject)


@check("numeric", cost=0.5)
def apart(subject: Subject, context: Context) -> Found:
    """How far below is the worst quadratic where the exact floor is not known?"""
    for h, mu, noise in APART:
        at = Assumptions(smoothness=1.0, gap=0.0, noise=noise, bias=1.0)
        stated, steps = subject.bound(at, h, np.inf, mu), round(40 / (mu * min(h, 2 - h)))
        values = [float(_on_quadratic(c, h, noise, 1.0, steps, 1 / c).value[-1, 0]) for c in (mu, 1.0)]
        name = f"the worst quadratic over stated, h = {h:g}, μ = {mu:g} Λ, σ² = {noise:g}"
        yield at_most(name, max(values) / stated if stated else np.inf, 1.0)
        yield at_least(f"{name}: at least", max(values) / stated if stated else np.inf, mu * (1 - ROUNDING))


def _falling(subject: Subject) -> Panel:
    """How a quadratic of curvature μ falls to the floor, on the bound."""
    h, mu, bias = 0.5, 0.1, 0.04
    run = _on_quadratic(mu, h, 0.0, bias, 150, 30.0)
    at = Assumptions(smoothness=1.0, gap=run.assumptions.gap, noise=0.0, bias=bias)
    stated = [subject.bound(at, h, t, mu) for t in run.times]
    return panel(
        f"quadratic of curvature $\\mu$ = {mu:g} $\\Lambda$, $h$ = {h:g}", "steps $T$", "value above the minimum",
        curve("measured", run.times, run.value[:, 0], style="both"), curve("bound", run.times, stated, "statement"),
    )  # fmt: skip


@check("monte-carlo", tests=len(NONCONVEX), cost=1.0)
def nonconvex(subject: Subject, context: Context) -> Found:
    """Does a function that is not convex obey the bound?

    x² + 3 sin² x in each coordinate, with ‖∇f‖² ≥ 2μf for μ = 1/32.
    """
    for h, noise, bias, steps in NONCONVEX:
        problem = problems.get("pl_sine", noise=noise, bias=bias)
        mu = float(problem.pl_constant)  # type: ignore[attr-defined]
        name = f"x² + 3 sin² x, h = {h:g}, σ² = {noise:g}, ζ² = {bias:g}, T = {steps}"
        replicas = Replicas(
            context, name, problem, step=h / problem.smoothness, steps=steps, record=40,
            value=lambda run: run.value[-1] - run.minimum,
        )  # fmt: skip
        run = replicas.first
        stated = [subject.bound(run.assumptions, run.step, t, mu) for t in run.times]
        yield replicas.judged(stated[-1], budget=context.pick(quick=1024, full=16_384))
        value = run.value - run.minimum
        shown = value.mean(axis=1) > 1e-6  # without noise and bias it falls to 1e-150
        yield panel(
            f"$x^2 + 3\\sin^2 x$, $h$ = {h:g}{'' if noise or bias else ', no noise, no bias'}",
            "steps $T$", "value above the minimum",
            replicas_curve("measured", run.times[shown], value[shown]),
            curve("bound", run.times[shown], np.asarray(stated)[shown], "statement"),
        )  # fmt: skip


def _changed(old: Expr, new: Expr) -> Subject:
    """The statement with one formula in the place of another, wherever it occurs."""
    return Subject(*(e.subs(old, new) for e in (PL, CLOSER, FLOOR)))


CLAIM = Claim(
    id="C9",
    title="Growth of the gradient",
    message="Where the gradient grows with the loss, the loss falls to a floor",
    meaning=(
        "If the gradient grows with the excess of the loss, the loss at the last iterate falls geometrically to a "
        "floor set by bias and noise, and for steps up to 1/Λ without noise the bound is exact at every horizon: such "
        "a function, convex or not, is no slower than a quadratic of its least curvature. For longer steps, up to "
        "twice that, or with noise the exact floor is not known: it is between that of the worst quadratic and the "
        "bound, which are at most a factor of Λ/μ apart."
    ),
    matters="Only with such a condition is biased SGD promised a small loss and not just a small gradient.",
    direction="tight",
    subject=Subject(PL, CLOSER, FLOOR),
    statement=statement,
    assumptions=growth.ASSUMPTIONS,
    source=Source("this toolkit; inequality and example are those of Karimi et al. 2016", "1608.04636", own=True),
    checks=(
        kernel_check(lambda subject: growth.pl_bound(subject.right_side, subject.closer, subject.floor_square)),
        implementation_check(_compared, quick=500, full=20_000, allowed=1e-9),
        quadratic, apart, nonconvex,
    ),
    controls=(
        Control("no-bias", "the bias dropped", _changed(growth.reach, Integer(0))),
        Control("half-noise", "half the noise", _changed(descent.sigma**2, descent.sigma**2 / 2)),
        Control("no-cross", "the cross term dropped from the floor",
                Subject(PL, CLOSER, FLOOR - 2 * growth.kept * (1 - growth.kept) * growth.floor * growth.reach)),
        Control("rate", "the square of the rate",
                Subject(PL.subs(growth.RATE, growth.RATE**2), CLOSER.subs(growth.kept, growth.kept**2), FLOOR),
                drawn=True),
        Control("no-floor", "no floor at all",
                Subject(growth.RATE**descent.horizon * descent.gap, growth.kept ** (2 * descent.horizon) * descent.gap,
                        FLOOR)),
    ),
    caption=(
        "First: a quadratic of curvature μ falls to its floor on the bound. The others: a function that is not convex, "
        "whose gradient grows with its value. Its true constant μ is about 0.175; the bound is drawn for the published "
        "1/32."
    ),
)  # fmt: skip
