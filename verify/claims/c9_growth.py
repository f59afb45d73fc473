"""C9: if the gradient grows with the value, the value converges to a floor at a geometric rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Abs, Expr, Integer, exp, lambdify

from convergence import Assumptions, pl_bound, problems, simulate
from rdml_theory.symbolic.sgd import descent, growth
from rdml_theory.symbolic.sgd.growth import PL
from verify.checks import Replicas, at_least, at_most, curve, implementation_check, kernel_check, panel, replicas_curve
from verify.claim import Check, Claim, Control, Finding, Source, Statement
from verify.context import Context
from verify.records import Comparison, Panel

QUADRATIC = (
    (1.0, 1.0, 1.0, 20), (1.0, 1.0, 0.0, 20), (0.3, 0.0, 1.0, 100), (0.5, 1.0, 1.0, 100), (1.5, 1.0, 0.0, 60),
    (1.6, 0.3, 1.0, 100),
)  # fmt: skip
"""h, σ², ζ², T on the quadratic, where μ = Λ and the floor is attained."""

GENTLE = ((1.0, 0.1), (0.4, 0.02))
"""h and μ/Λ of quadratics on which a bias against the gradient keeps the iterate where it is."""

NONCONVEX = ((1.0, 4.0, 0.25, 3_000), (0.4, 4.0, 0.25, 6_000))
REACHED = 0.97


@dataclass(frozen=True)
class Subject:
    """The bound of E f(x_T) - inf f."""

    right_side: Expr

    @cached_property
    def _formula(self) -> Any:
        s = descent
        names = (s.h, s.eta, s.gap, s.noise, s.bias, s.horizon, growth.growth, growth.trade)
        return lambdify(names, self.right_side, "numpy")

    def bound(self, at: Assumptions, step: float, steps: float, pl_constant: float) -> float:
        """Its value at the s of the least floor of the claim, or near it where that is a limit."""
        h = at.smoothness * step
        away, room = abs(1 - h), 2 - h
        # θ = |1-h|s minimises (h(σ²+ζ²) + (1-h)²ζ²/θ)/(2-h-θ).
        a, b = h * (at.noise + at.bias), away**2 * at.bias
        theta = (np.sqrt(b * (b + a * room)) - b) / a if a else 0.0
        s = max(theta / away if away else 1.0, 1e-14)
        values = (h, step, at.gap, np.sqrt(at.noise), np.sqrt(at.bias), float(steps), pl_constant, s)
        return float(self._formula(*values))


def statement(subject: Subject) -> Statement:
    words = (
        "If ‖∇f‖² ≥ 2{mu}(f - inf f) everywhere, then for {h} in (0, 2) and every s > 0 with |1-{h}|s < 2-{h}: "
        "{bound}, attained at {h} = 1, {mu} = Λ, and for T → ∞ without noise for {h} ≤ 1 and every {mu} ≤ Λ; with the "
        "best s its floor is that of C2, over 2{mu}, for every {h}"
    )
    bound = growth.pl_target(subject.right_side).relation()
    return Statement(words, {"mu": growth.growth, "h": descent.h, "bound": bound})


def _compared(subject: Subject, rng: np.random.Generator) -> list[tuple[float, float]]:
    lam, gap, noise, bias = np.exp(rng.uniform(-3, 3, 4))
    at = Assumptions(smoothness=lam, gap=gap, noise=noise, bias=bias)
    step, steps, mu = rng.uniform(0.01, 1.99) / lam, round(10 ** rng.uniform(0, 3)), lam * rng.uniform(0.01, 1)
    return [(float(pl_bound(at, step, steps, pl_constant=mu)), subject.bound(at, step, steps, mu))]


def quadratic(subject: Subject, context: Context) -> Finding:
    """The quadratic with the bias against its gradient: the floor is reached."""
    comparisons: list[Comparison] = []
    for h, noise, bias, steps in QUADRATIC:
        worst = "against_gradient" if h <= 1 else "along_gradient"
        problem = problems.get(
            "quadratic", dim=2, noise=noise, bias=bias, radius=3.0, noise_model="orthogonal", bias_model=worst
        )
        run = simulate(problem, step=h, steps=steps, replicas=1, seed=context.seed_for(h, noise), record=1)
        stated = subject.bound(run.assumptions, h, steps, 1.0)
        value = float(run.value[-1, 0])
        name = f"f(x_T) - inf f on the quadratic, h = {h:g}, σ² = {noise:g}, ζ² = {bias:g}, T = {steps}"
        comparisons.append(at_most(name, value, stated * (1 + 1e-12)))
        comparisons.append(at_least(f"{name}: over stated", value / stated if stated else np.inf, REACHED))
    for h, mu in GENTLE:
        problem = problems.get("quadratic", smoothness=mu, bias=1.0, radius=1 / mu, bias_model="against_gradient")
        steps = round(20 / (h * mu))
        run = simulate(problem, step=h, steps=steps, replicas=1, seed=0, record=1)
        # It is 1-smooth, too.
        stated = subject.bound(replace(run.assumptions, smoothness=1.0), h, steps, mu)
        value, name = (
            float(run.value[-1, 0]),
            f"at rest on a quadratic of curvature μ = {mu:g} Λ, h = {h:g}, T = {steps}",
        )
        comparisons.append(at_most(name, value, stated * (1 + 1e-12)))
        comparisons.append(at_least(f"{name}: over stated", value / stated if stated else np.inf, REACHED))
    return Finding(comparisons=tuple(comparisons), panels=(_falling(subject),))


def _falling(subject: Subject) -> Panel:
    """How a quadratic far away falls to the floor, below the bound: at the square of its rate."""
    h, problem = 0.05, problems.get("quadratic", bias=0.04, radius=30.0, bias_model="against_gradient")
    run = simulate(problem, step=h, steps=300, replicas=1, seed=0, record=40)
    stated = [subject.bound(run.assumptions, h, t, 1.0) for t in run.times]
    return panel(
        f"quadratic, $h$ = {h:g}", "steps $T$", "value above the minimum",
        curve("measured", run.times, run.value[:, 0]), curve("bound", run.times, stated, "statement"),
    )  # fmt: skip


def nonconvex(subject: Subject, context: Context) -> Finding:
    """x² + 3 sin² x in each coordinate: not convex, and yet ‖∇f‖² ≥ 2μf with μ = 1/32."""
    comparisons, panels = [], []
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
        comparisons.append(replicas.judged(stated[-1], budget=context.pick(quick=1024, full=16_384)))
        panels.append(
            panel(
                f"$x^2 + 3\\sin^2 x$, $h$ = {h:g}", "steps $T$", "value above the minimum",
                replicas_curve("measured", run.times, run.value - run.minimum),
                curve("bound", run.times, stated, "statement"),
            )
        )  # fmt: skip
    return Finding(comparisons=tuple(comparisons), panels=tuple(panels))


_RATE = (1 - descent.eta * growth.SPEED) ** descent.horizon
_FAST = exp(-40 * descent.eta * growth.SPEED * descent.horizon)
_CROSS = Abs(1 - descent.h) / growth.trade * descent.bias**2

CLAIM = Claim(
    id="C9",
    title="Growth of the gradient",
    message="Where the gradient grows with the loss, the loss falls to a floor",
    meaning=(
        "If the gradient grows with the excess of the loss, the loss at the last iterate falls geometrically to a "
        "floor set by bias and noise, for steps up to twice the usual limit. There are functions that attain it."
    ),
    matters="Only with such a condition is biased SGD promised a small loss and not just a small gradient.",
    direction="tight",
    subject=Subject(PL),
    statement=statement,
    assumptions=growth.ASSUMPTIONS,
    source=Source("this toolkit; inequality and example are those of Karimi et al. 2016", "1608.04636", own=True),
    checks=(
        kernel_check(lambda subject: growth.pl_bound(subject.right_side)),
        implementation_check(_compared, quick=500, full=20_000, allowed=1e-11),
        Check("quadratic", "numeric", "Does the quadratic reach the floor?", quadratic, cost=0.5),
        Check("nonconvex", "monte-carlo", "Does a function that is not convex keep the bound?", nonconvex,
              tests=len(NONCONVEX), cost=1.0),
    ),
    controls=(
        Control("no-bias", "the bias dropped", Subject(PL.subs(descent.bias, Integer(0)))),
        Control("half-noise", "half the noise", Subject(PL - descent.h * descent.noise**2 / (4 * growth.SPEED))),
        Control("no-cross", "the cost of the cross term dropped", Subject(PL - _CROSS / (2 * growth.SPEED))),
        Control("rate", "40 times the rate", Subject(PL.subs(_RATE, _FAST)), drawn=True),
        Control("no-mu", "the floor without the division by μ",
             Subject(_RATE * descent.gap + growth.growth * (PL - _RATE * descent.gap))),
        Control("no-floor", "no floor at all", Subject(_RATE * descent.gap)),
    ),
    caption=(
        "Left: a quadratic without noise falls geometrically to its floor, below the bound. Middle and right: a "
        "function that is not convex, whose gradient grows with its value, at two steps. Its true constant μ is about "
        "0.175; the bound is drawn for the published 1/32."
    ),
)  # fmt: skip
