"""C2c: the sharp bound with a bias that grows with the gradient, and where it ends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.optimize import brentq
from sympy import Abs, Expr, Integer

from convergence import Assumptions, Trajectory, extremal_average, problems, sharp_bound, simulate
from convergence.problems import SyntheticProblem
from rdml_theory.symbolic.sgd import descent, refinements
from rdml_theory.symbolic.sgd.refinements import RELATIVE, RELATIVE_LIMIT, relative_bias
from rdml_theory.symbolic.sgd.setting import average
from verify.checks import at_most, curve, evaluate, holds, implementation_check, kernel_check, letters, panel
from verify.claim import Claim, Context, Control, Found, Source, Statement, check

SIZES = (0.05, 0.3, 0.8)
"""m."""

STEPS = 1_500
GROWN = 1e6
"""The squared gradient norm that the extremal quadratic must pass beyond the domain, in units of ζ² = 1."""


@dataclass(frozen=True)
class Subject:
    """The left side of the inequality for A, and the end of the domain of h."""

    left: Expr
    limit: Expr

    def residual(self, square: float, h: float, at: Assumptions, steps: float) -> float:
        """Left minus right side at A² = square and Λ = 1, over the greatest term."""
        value = np.sqrt(square)
        right = at.gap / (h * steps) + h * at.noise / 2
        size = max(square, right, at.bias)
        left = evaluate(self.left, letters(at, h, steps) | {average: value})
        return float(left - right) / size

    def floor(self, h: float, at: Assumptions) -> float:
        """The A² at which both sides meet for T → ∞, above which the left is greater; NaN if there is none."""

        def residual(logarithm: float) -> float:
            return self.residual(float(np.exp(logarithm)), h, at, np.inf)

        low, high = np.log(1e-3 * at.bias), np.log(GROWN)
        if not residual(low) < 0 < residual(high):
            return np.nan
        return float(np.exp(brentq(residual, low, high)))  # type: ignore[arg-type]

    def ends(self, m: float) -> float:
        """The asserted end of the domain."""
        return float(self.limit.subs(relative_bias, m).evalf())  # type: ignore[arg-type]


def statement(subject: Subject) -> Statement:
    words = (
        "If E‖b‖² ≤ m E‖∇f‖² + Z² at every step: {bound}, which is attained for T → ∞; at {h} = {limit} a run keeps "
        "whatever gradient norm it starts with"
    )
    bound = refinements.relative_target(subject.left).relation()
    return Statement(words, {"h": descent.h, "limit": subject.limit, "bound": bound})


def _at(m: float, *, noise: float = 0.0, bias: float = 1.0, gap: float = 1.0) -> Assumptions:
    return Assumptions(smoothness=1.0, gap=gap, noise=noise, bias=bias, relative_bias=m)


def _compared(subject: Subject, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Both sides of the equation, which the bound that users get solves."""
    m, steps = rng.uniform(0, 0.95), float(10 ** rng.uniform(0, 5))
    noise, bias, gap = 10 ** rng.uniform(-2, 2, 3)
    at, h = _at(m, noise=noise, bias=bias, gap=gap), rng.uniform(0.01, 0.98) * 2 / (1 + np.sqrt(m))
    return [(1 + subject.residual(float(sharp_bound(at, h, steps)), h, at, steps), 1.0)]


@check("numeric")
def extremal(subject: Subject, context: Context) -> Found:
    """Does the extremal quadratic end where the equation says, and grow without limit beyond the domain?

    The quadratic's bias is √(m‖∇f‖² + ζ²) along ∓∇f.
    """
    curves = []
    for group, m in enumerate(context.each(SIZES)):
        shares = (0.2, 0.5, 0.8, 0.95)
        ends = subject.ends(m)
        for share in shares:
            h = share * ends
            for noise, bias in ((0.0, 1.0), (1.0, 0.0), (0.5, 0.5)):
                at = _at(m, noise=noise, bias=bias)
                square = _last(at, h)
                name = f"|residual| at the end, m = {m:g}, h = {h:.4g}, σ² = {noise:g}, ζ² = {bias:g}"
                residual = abs(subject.residual(square, h, at, np.inf)) if np.isfinite(square) else np.inf
                yield at_most(name, residual, 1e-9)
        beyond = _last(_at(m), 1.02 * ends)
        yield holds(f"the extremal gradient grows without limit at 1.02 times the end, m = {m:g}", beyond > GROWN)
        grid = np.linspace(0.02, 0.985, 32) * 2 / (1 + np.sqrt(m))
        stated = [subject.floor(float(h), _at(m)) for h in grid]
        reached = [_last(_at(m), float(h)) for h in grid[2::7]]
        curves += [
            curve(f"floor, $m$ = {m:g}", grid, stated, "statement", group=group),
            curve(f"measured, $m$ = {m:g}", grid[2::7], reached, style="markers", group=group),
        ]
    labels = ("extremal quadratic, $\\zeta^2$ = 1", "step size $h = \\Lambda\\eta$", "squared gradient norm")
    yield panel(*labels, *curves, log="y")


def worst_oracle(name: str, at: Assumptions, h: float, **parameters: Any) -> SyntheticProblem:
    """A problem, for single replicas, whose bias is √(m‖∇f‖² + ζ²): against ∇f up to h = 1, along it beyond."""
    problem = problems.get(name, noise=at.noise, bias=at.bias, **parameters)
    sign = -1.0 if h <= 1 else 1.0

    def bias_at(x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        square = (gradient**2).sum(axis=-1, keepdims=True)
        return sign * gradient * np.sqrt(at.relative_bias + at.bias / np.maximum(square, 1e-300))

    problem.bias_at, problem.block = bias_at, 1
    return problem


@cache
def _last(at: Assumptions, h: float) -> float:
    """‖∇f(x_T)‖² on the extremal quadratic, whose norm does not depend on the signs of the noise."""
    rate = abs(1 - h) + h * np.sqrt(at.relative_bias)  # at which the norm forgets its start, or grows
    steps = int(min(STEPS, np.ceil(28 / max(abs(1 - rate), 1e-9))))
    run = simulate(worst_oracle("quadratic", at, h), step=h, steps=steps, replicas=1, seed=0, record=1)
    return float(run.squared_gradient[-1, 0])


def _runs(at: Assumptions, h: float, steps: int, count: int, rng: np.random.Generator) -> list[Trajectory]:
    """Runs of a quadratic plus cosines, with such an oracle, from random starts."""
    f = worst_oracle("quadratic_cosine", at, h, dim=4, amplitude=0.4, frequency=1.5)
    starts = f.start + rng.normal(size=(count, f.dim))
    how = {"step": h / f.smoothness, "steps": steps, "replicas": 1, "seed": 0, "record": 1}
    return [simulate(f, start=start, **how) for start in starts]


@check("numeric", cost=0.5)
def nonconvex(subject: Subject, context: Context) -> Found:
    """Does a nonconvex problem keep the inequality?"""
    steps, count = 400, context.pick(quick=4, full=8)
    for m in SIZES:
        for share in (0.3, 0.9):
            h = share * subject.ends(m)
            runs = context.shared(_runs, _at(m, bias=0.04), h, steps, count, context.rng("start", m, share))
            worst = -np.inf
            for run in runs:
                scaled = _at(m, bias=0.04, gap=run.assumptions.gap * run.assumptions.smoothness)
                worst = max(worst, subject.residual(float(run.mean_squared_gradient[-1, 0]), h, scaled, steps))
            name = f"left minus right side, greatest of {count} starts, quadratic plus cosine, m = {m:g}, h = {h:.4g}"
            yield at_most(name, worst, 0.0, samples=count)


@check("numeric", id="finite", cost=0.5)
def brackets(subject: Subject, context: Context) -> Found:
    """Does the extremal quadratic keep the inequality at finite T?"""
    rng = context.rng("points")
    worst = -np.inf
    count = context.pick(quick=60, full=2000)
    for _ in range(count):
        m, steps = rng.uniform(0, 0.9), int(10 ** rng.uniform(0, 3))
        at, h = _at(m, noise=rng.exponential(), bias=rng.exponential()), rng.uniform(0.05, 0.95) * 2 / (1 + np.sqrt(m))
        worst = max(worst, subject.residual(extremal_average(at, h, steps), h, at, steps))
    yield at_most("left minus right side where attained", float(worst), 0.0, samples=count)


_NO_CROSS = RELATIVE.subs(relative_bias, Integer(0)) - descent.h / 2 * relative_bias * average**2

CLAIM = Claim(
    id="C2c",
    title="Relative bias",
    message="A bias that grows with the gradient limits the step",
    meaning=(
        "Here the bias may grow with the gradient, by a factor m, besides a constant part. Steps must then stay "
        "below 2/(1+√m), beyond which nothing can be promised."
    ),
    matters="A student whose peers disagree more where its own loss is steep has a bias of this kind.",
    direction="tight",
    subject=Subject(RELATIVE, RELATIVE_LIMIT),
    statement=statement,
    assumptions=refinements.RELATIVE_ASSUMPTIONS,
    source=Source("this toolkit; the setting is that of Ajalloeian & Stich 2020", "2008.00051", own=True),
    checks=(
        kernel_check(lambda subject: refinements.relative_bound(subject.left, subject.limit)),
        # Squaring the equation loses digits where both of its sides nearly cancel, as towards the end of the domain.
        implementation_check(
            _compared,
            quick=400,
            full=20_000,
            allowed=1e-9,
            name="relative residual of the equation",
            question="Does the bound that users get solve the equation?",
        ),
        extremal,
        nonconvex,
        brackets,
    ),
    controls=(
        Control("domain", "used up to h = 2, as without relative bias", Subject(RELATIVE, 2 + 0 * relative_bias)),
        Control("no-cross-term", "the relative part dropped from the cross term", Subject(_NO_CROSS, RELATIVE_LIMIT)),
        Control(
            "half-cross-term",
            "half the cross term",
            Subject((RELATIVE + RELATIVE.subs({Abs(1 - descent.h): 0})) / 2, RELATIVE_LIMIT),
            drawn=True,
        ),
        Control("no-relative-part", "m in place of √m in the domain", Subject(RELATIVE, 2 / (1 + relative_bias))),
    ),
    caption=(
        "Where the gradient norm ends on the extremal quadratic, whose bias grows with the gradient: on the floor that "
        "solves the equation, which goes to infinity at the end of the domain, h = 2/(1+√m)."
    ),
    in_code="convergence.sharp_bound",
)
