"""C2c: the sharp bound with a bias that grows with the gradient, and where it ends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Abs, Expr, Integer, lambdify

from convergence import Assumptions, extremal_average, floor, sharp_bound
from rdml_theory.symbolic.kernel import Proof
from rdml_theory.symbolic.sgd import descent, refinements
from rdml_theory.symbolic.sgd.refinements import RELATIVE, RELATIVE_LIMIT, relative_bias
from rdml_theory.symbolic.sgd.setting import average
from verify.checks.comparisons import at_most, holds
from verify.checks.proofs import kernel_check
from verify.claim import Check, Claim, Finding, Source, Statement, Twin
from verify.context import Context
from verify.records import Curve, Panel

SIZES = (0.05, 0.3, 0.8)
"""m."""

STEPS = 20_000
GROWN = 1e6
"""The squared gradient norm that the extremal quadratic must pass beyond the domain, in units of ζ² = 1."""


@dataclass(frozen=True)
class Subject:
    """The left side of the inequality for A, and the end of the domain of h."""

    left: Expr
    limit: Expr

    @cached_property
    def _formula(self) -> Any:
        return lambdify((average, descent.h, descent.bias, relative_bias), self.left, "numpy")

    def residual(self, square: float, h: float, at: Assumptions, steps: float) -> float:
        """Left minus right side at A² = square and Λ = 1, over the greatest term."""
        value = np.sqrt(square)
        right = at.gap / (h * steps) + h * at.noise / 2
        size = max(square, right, at.bias)
        return float(self._formula(value, h, np.sqrt(at.bias), at.relative_bias) - right) / size

    def ends(self, m: float) -> float:
        """The asserted end of the domain."""
        return float(self.limit.subs(relative_bias, m).evalf())  # type: ignore[arg-type]


def derivation(subject: Subject) -> Proof:
    return refinements.relative_bound(subject.left, subject.limit)


def statement(subject: Subject) -> Statement:
    words = (
        "If E‖b‖² ≤ m E‖∇f‖² + Z² at every step: {bound}, which is attained for T → ∞; at {h} = {limit} a run keeps "
        "whatever gradient norm it starts with"
    )
    bound = refinements.relative_target(subject.left).relation()
    return Statement(words, {"h": descent.h, "limit": subject.limit, "bound": bound})


def _at(m: float, *, noise: float = 0.0, bias: float = 1.0, gap: float = 1.0) -> Assumptions:
    return Assumptions(smoothness=1.0, gap=gap, noise=noise, bias=bias, relative_bias=m)


def implementation(subject: Subject, context: Context) -> Finding:
    """The bound that users get solves the stated equation, at random points of the domain."""
    rng = context.rng("points")
    count = context.pick(quick=400, full=20_000)
    worst = 0.0
    for _ in range(count):
        m, steps = rng.uniform(0, 0.95), float(10 ** rng.uniform(0, 5))
        noise, bias, gap = 10 ** rng.uniform(-2, 2, 3)
        at, h = _at(m, noise=noise, bias=bias, gap=gap), rng.uniform(0.01, 0.98) * 2 / (1 + np.sqrt(m))
        worst = max(worst, abs(subject.residual(float(sharp_bound(at, h, steps)), h, at, steps)))
    # Squaring the equation loses digits where both of its sides nearly cancel, as towards the end of the domain.
    return Finding(comparisons=(at_most("relative residual of the equation", worst, 1e-9, samples=count),))


def extremal(subject: Subject, context: Context) -> Finding:
    """The quadratic with bias √(m‖∇f‖² + ζ²) along ∓∇f ends where the equation says, up to the asserted end."""
    comparisons, curves = [], []
    for group, m in enumerate(SIZES):
        shares = (0.2, 0.5, 0.8, 0.95)
        ends = subject.ends(m)
        for share in shares:
            h = share * ends
            for noise, bias in ((0.0, 1.0), (1.0, 0.0), (0.5, 0.5)):
                at = _at(m, noise=noise, bias=bias)
                square = _last(at, h)
                name = f"|residual| at the end, m = {m:g}, h = {h:.4g}, σ² = {noise:g}, ζ² = {bias:g}"
                residual = abs(subject.residual(square, h, at, np.inf)) if np.isfinite(square) else np.inf
                comparisons.append(at_most(name, residual, 1e-9))
        beyond = _last(_at(m), 1.02 * ends)
        comparisons.append(
            holds(f"the extremal gradient grows without limit at 1.02 times the end, m = {m:g}", beyond > GROWN)
        )
        grid = np.linspace(0.02, 0.985, 60) * 2 / (1 + np.sqrt(m))
        measured = grid[3::8]
        curves += [
            Curve(label=f"floor, $m$ = {m:g}", role="statement", group=group, x=tuple(grid),
                  y=tuple(float(floor(_at(m), float(h))) for h in grid)),
            Curve(label=f"measured, $m$ = {m:g}", role="measured", style="markers", group=group, x=tuple(measured),
                  y=tuple(_last(_at(m), float(h)) for h in measured)),
        ]  # fmt: skip
        context.progress((group + 1) / len(SIZES))
    panel = Panel(
        title="extremal quadratic, $\\zeta^2$ = 1", x_label="step size $h = \\Lambda\\eta$",
        y_label="squared gradient norm", y_scale="log", curves=tuple(curves),
    )  # fmt: skip
    return Finding(comparisons=tuple(comparisons), panels=(panel,))


def _last(at: Assumptions, h: float) -> float:
    """‖∇f(x_T)‖² on the extremal quadratic: its recursion, run until it stands still, grows or time is up."""
    square = 1.0
    for _ in range(STEPS):
        pushed = h * np.sqrt(at.relative_bias * square + at.bias)
        following = float((abs(1 - h) * np.sqrt(square) + pushed) ** 2 + h**2 * at.noise)
        if following > 100 * GROWN or following == square:
            return following
        square = following
    return square


def nonconvex(subject: Subject, context: Context) -> Finding:
    """A nonconvex problem with the worst relative bias at every step: A² solves the inequality."""
    from convergence import problems

    comparisons = []
    f = problems.get("quadratic_cosine", dim=4, amplitude=0.4, frequency=1.5)
    for m in SIZES:
        for share in (0.3, 0.9):
            h = share * subject.ends(m)
            x = f.start[None] * np.ones((8, 1)) + context.rng("start", m, share).normal(size=(8, f.dim))
            gaps = f.value(x) - f.minimum
            total = np.zeros(8)
            steps = 400
            for _ in range(steps):
                g = f.gradient(x)
                square = (g**2).sum(axis=1)
                total += square
                size = np.sqrt(m * square + 0.04) / np.sqrt(np.maximum(square, 1e-300))
                sign = -1.0 if h <= 1 else 1.0
                x = x - h / f.smoothness * (g * (1 + sign * size[:, None]))
            worst = -np.inf
            for gap, square in zip(gaps, total / steps, strict=True):
                at = Assumptions(smoothness=f.smoothness, gap=float(gap), noise=0.0, bias=0.04, relative_bias=m)
                scaled = Assumptions(smoothness=1.0, gap=at.gap * at.smoothness, noise=0.0, bias=0.04, relative_bias=m)
                worst = max(worst, subject.residual(float(square), h, scaled, steps))
            name = f"left minus right side, greatest of 8 starts, quadratic plus cosine, m = {m:g}, h = {h:.4g}"
            comparisons.append(at_most(name, float(worst), 0.0, samples=8))
    return Finding(comparisons=tuple(comparisons))


def brackets(subject: Subject, context: Context) -> Finding:
    """What is attained at finite T solves the inequality too."""
    rng = context.rng("points")
    worst = -np.inf
    count = context.pick(quick=60, full=2000)
    for _ in range(count):
        m, steps = rng.uniform(0, 0.9), int(10 ** rng.uniform(0, 3))
        at, h = _at(m, noise=rng.exponential(), bias=rng.exponential()), rng.uniform(0.05, 0.95) * 2 / (1 + np.sqrt(m))
        worst = max(worst, subject.residual(extremal_average(at, h, steps), h, at, steps))
    return Finding(comparisons=(at_most("left minus right side where attained", float(worst), 0.0, samples=count),))


_NO_CROSS = RELATIVE.subs(relative_bias, Integer(0)) - descent.h / 2 * relative_bias * average**2

CLAIM = Claim(
    id="C2c",
    title="Relative bias",
    direction="tight",
    subject=Subject(RELATIVE, RELATIVE_LIMIT),
    statement=statement,
    derivation=derivation,
    assumptions=refinements.RELATIVE_ASSUMPTIONS,
    source=Source("this toolkit; the setting is that of Ajalloeian & Stich 2020", "2008.00051", own=True),
    checks=(
        kernel_check(derivation),
        Check(
            "implementation", "numeric", "Does the bound that users get solve the equation?", implementation, cost=0.5
        ),
        Check(
            "extremal",
            "numeric",
            "Does the extremal quadratic end where the equation says, and grow without limit beyond the domain?",
            extremal,
        ),
        Check("nonconvex", "numeric", "Does a nonconvex problem keep the inequality?", nonconvex, cost=0.5),
        Check("finite", "numeric", "Does the extremal quadratic keep the inequality at finite T?", brackets, cost=0.5),
    ),
    twins=(
        Twin("domain", "used up to h = 2, as without relative bias", Subject(RELATIVE, 2 + 0 * relative_bias)),
        Twin("no-cross-term", "the relative part dropped from the cross term", Subject(_NO_CROSS, RELATIVE_LIMIT)),
        Twin(
            "half-cross-term",
            "half the cross term",
            Subject((RELATIVE + RELATIVE.subs({Abs(1 - descent.h): 0})) / 2, RELATIVE_LIMIT),
        ),
        Twin(
            "no-relative-part",
            "m in place of √m in the domain",
            Subject(RELATIVE, 2 / (1 + relative_bias)),
        ),
    ),
    caption=(
        "Where the gradient norm ends on the extremal quadratic, whose bias grows with the gradient: on the floor that "
        "solves the equation, which goes to infinity at the end of the domain, h = 2/(1+√m)."
    ),
)
