"""C11: SGD with momentum and biased gradients keeps the sharp bound of a plain run with other constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from sympy import Expr, lambdify

from convergence import Assumptions, WorstCase, momentum_bound, problems, stepwise_bound, worst_case
from rdml_theory.symbolic.sgd import momentum as symbolic
from rdml_theory.symbolic.sgd.descent import bias, gap, horizon, noise
from verify.checks import Replicas, at_least, at_most, curve, implementation_check, kernel_check, panel
from verify.checks.bounds import descent_panel
from verify.checks.performance import worst_case_record
from verify.claim import Check, Claim, Control, Finding, Source, Statement
from verify.context import Context
from verify.records import CertificateRecord, Comparison, Curve, Panel

METHODS = ("heavy ball", "Nesterov")


@dataclass(frozen=True)
class Subject:
    """The asserted bound of A in θ, γ and ν, what θ and ν are, and whether the function users call is confronted."""

    right_side: Expr = symbolic.SHARP
    theta: Expr = symbolic.CURVATURE
    nu: Expr = symbolic.NOISE_FACTOR
    product: bool = False

    @cached_property
    def _formula(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        s = symbolic
        names = (s.smoothness, s.gamma, s.mu, s.lag, s.lag_sum, s.trade)
        total = (s.curvature, s.gamma, s.noise_factor, gap, noise, bias, horizon)
        return lambdify(names, [self.theta, self.nu], "numpy"), lambdify(total, self.right_side, "numpy")

    def squared(self, a: Assumptions, step: float, steps: float, mu: float, nesterov: bool) -> float:
        """The bound of A² that the subject states; infinite where θ is not below 2."""
        if self.product:
            try:
                return float(momentum_bound(a, step, steps, momentum=mu, nesterov=nesterov))
            except ValueError:
                return np.inf
        return self.from_formula(a, step, steps, mu, nesterov)

    def from_formula(self, a: Assumptions, step: float, steps: float, mu: float, nesterov: bool) -> float:
        """The least over s > 0 of the stated formula, squared."""
        constants, bound = self._formula
        c, gamma = (mu**2 if nesterov else mu), step / (1 - mu)
        ell = (1 - mu ** ((steps - 1) / 2)) / (1 - mu)

        def at(log_s: float) -> float:
            theta, nu = constants(a.smoothness, gamma, mu, c, ell, np.exp(log_s))
            if theta >= 2:
                return np.inf
            return float(bound(theta, gamma, nu, a.gap, np.sqrt(a.noise), np.sqrt(a.bias), steps)) ** 2

        if a.noise == 0:
            return at(-40.0)
        grid = np.linspace(-12, 8, 161)
        best = grid[int(np.argmin([at(point) for point in grid]))]
        found: Any = minimize_scalar(at, bounds=(best - 0.125, best + 0.125), method="bounded", options={"xatol": 1e-9})
        return min(float(found.fun), at(best))


def statement(subject: Subject) -> Statement:
    words = (
        "With momentum {mu}, {gamma} = η/(1-μ), lag c = μ (heavy ball) or μ² (Nesterov), and every {s} > 0 for which "
        "{theta} < 2: {bound}, where {theta_is}, {nu_is} and {ell_is}"
    )
    s = symbolic
    names: dict[str, Any] = {"mu": s.mu, "gamma": s.gamma, "s": s.trade, "theta": s.curvature}
    names |= {f"{name}_is": d.relation() for name, d in s.definitions(subject.theta, subject.nu).items()}
    return Statement(words, {"bound": s.momentum_target(subject.right_side).relation(), **names})


def _step(theta: float, mu: float, nesterov: bool, steps: float) -> float:
    """η at which Λη(1+2cℓ)/(1-μ) = θ, at Λ = 1."""
    c, ell = (mu**2 if nesterov else mu), (1 - mu ** ((steps - 1) / 2)) / (1 - mu)
    return theta * (1 - mu) / (1 + 2 * c * ell)


def _compared(subject: Subject, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Function and formula both minimise over s, each to a relative accuracy of about the root of a rounding."""
    lam, delta, variance, square = 10 ** rng.uniform(-2, 2, 4)
    a = Assumptions(smoothness=lam, gap=delta, noise=variance * rng.integers(0, 2), bias=square)
    mu, nesterov, steps = rng.uniform(0.05, 0.95), bool(rng.integers(0, 2)), 10 ** rng.uniform(0, 5)
    step = _step(rng.uniform(0.02, 1.9), mu, nesterov, steps) / lam
    function = float(momentum_bound(a, step, steps, momentum=mu, nesterov=nesterov))
    return [(function, subject.from_formula(a, step, steps, mu, nesterov))]


def _worst(theta: float, mu: float, nesterov: bool, steps: int, zeta: float, variance: float) -> WorstCase:
    a = Assumptions(smoothness=1.0, gap=1.0, noise=variance, bias=zeta**2)
    return worst_case(a, _step(theta, mu, nesterov, steps), steps, momentum=mu, nesterov=nesterov)


def exact(subject: Subject, context: Context) -> Finding:
    """Exact worst cases of short runs stay below the bound; their multipliers are checked in rational arithmetic."""
    comparisons: list[Comparison] = []
    certificates: list[CertificateRecord] = []
    thetas = (0.15, 0.3, 0.6, 1.0, 1.6)
    runs = context.pick(quick=((2, 0.0), (6, 0.0), (3, 0.5)), full=((2, 0.0), (6, 0.0), (12, 0.0), (3, 0.5), (4, 0.5)))
    for mu, nesterov in context.each(product((0.3, 0.9), (False, True))):
        worst, count = 0.0, 0
        for theta, (steps, variance), zeta in product(thetas, runs, (0.0, 0.5)):
            key = f"{mu}/{nesterov}/{theta}/{steps}/{variance}/{zeta}"
            found = context.shared(key, lambda a=(theta, mu, nesterov, steps, zeta, variance): _worst(*a))
            allowed = subject.squared(found.assumptions, found.step, steps, mu, nesterov)
            worst, count = max(worst, found.value / allowed), count + 1
            if (theta, steps, zeta) == (0.6, 6, 0.5):
                record = context.shared(f"record {key}", lambda w=found: worst_case_record(w))
                certificates.append(record)
                comparisons.append(
                    at_most(f"proved worst case, {METHODS[nesterov]}, μ = {mu:g}", found.certificate.bound, allowed)
                )
        # The solver's accuracy.
        name = f"exact worst case over the bound, {METHODS[nesterov]}, μ = {mu:g}"
        comparisons.append(at_most(name, worst, 1 + 1e-7, samples=count))
    return Finding(tuple(comparisons), certificates=tuple(certificates), panels=(_panel(subject, context),))


def _panel(subject: Subject, context: Context) -> Panel:
    """The bound and what a potential proves, over the exact worst case, against the step size."""
    thetas = np.geomspace(0.05, 1.8, 18)
    x = tuple(float(t) for t in thetas)
    proved: list[float] = []
    curves: list[Curve] = []
    steps, zeta = 8, 0.3
    for group, mu in enumerate((0.5, 0.9)):

        def compute(mu: float = mu) -> tuple[list[float], list[float]]:
            found = [_worst(float(t), mu, False, steps, zeta, 0.0) for t in thetas]
            proved = [float(stepwise_bound(w.assumptions, w.step, steps, momentum=mu)) / w.value for w in found]
            return [w.value for w in found], proved

        values, proved = context.shared(f"panel {mu}", compute)
        a = Assumptions(smoothness=1.0, gap=1.0, noise=0.0, bias=zeta**2)
        stated = [subject.squared(a, _step(float(t), mu, False, steps), steps, mu, False) for t in thetas]
        ratio = tuple(s / v for s, v in zip(stated, values, strict=True))
        curves.append(curve(f"bound, $\\mu$ = {mu:g}", x, ratio, "statement", group=group))
    # At μ = 0.9; at 0.5 it looks the same.
    curves.append(curve("proved by a potential", x, proved, "second", style="markers"))
    curves.append(curve("exact worst case", (x[0], x[-1]), 1.0, "reference"))
    return panel(
        f"heavy ball, $T$ = {steps}, $\\zeta^2$ = {zeta**2:g} $\\Lambda\\Delta$", "curvature $\\theta$ (step size)",
        "over the exact worst case",
        *curves,
    )  # fmt: skip


REACHED = 0.85
"""What part of the bound the quadratics must reach. At these steps the lag and its weight s cost about a tenth of the
noise term, and the transient term two hundredths."""

SETTLED = [("heavy ball, bias", 0.9, False, 0.0, 0.25), ("Nesterov, noise", 0.9, True, 1.0, 0.0)]


def simulation(subject: Subject, context: Context) -> Finding:
    """Runs with noise: a nonconvex problem keeps the bound, and a quadratic almost reaches its floor."""
    comparisons: list[Comparison] = []
    panels: list[Panel] = []
    budget = context.pick(quick=1_024, full=4_096)
    steps = context.pick(quick=8_000, full=40_000)
    problem = problems.get("quadratic_cosine", amplitude=0.4, frequency=1.5, noise=0.02, bias=0.04)
    for mu, nesterov in ((0.9, False), (0.9, True)):
        step = _step(0.5, mu, nesterov, np.inf) / problem.smoothness
        name = f"quadratic plus cosine, {METHODS[nesterov]}, μ = {mu:g}, T = {steps}"
        how = {"momentum": mu, "nesterov": nesterov, "step": step, "steps": steps, "record": 24}
        replicas = Replicas(context, name, problem, **how)
        run = replicas.first
        bound = partial(subject.squared, mu=mu, nesterov=nesterov)
        comparisons.append(replicas.judged(bound(run.assumptions, step, steps), budget=budget))
        if not nesterov:
            panels.append(descent_panel(f"nonconvex problem, heavy ball, $\\mu$ = {mu:g}", run, bound))
        context.progress(0.25 * (1 + nesterov))
    long = context.pick(quick=20_000, full=100_000)
    for label, mu, nesterov, variance, square in SETTLED:
        # So small a step that the lag costs little; started at the floor.
        step = _step(0.02 if variance else 0.1, mu, nesterov, np.inf)
        start = float(np.sqrt(square + step / (1 - mu) * variance / 2))
        # In eight dimensions averages of a run scatter half as much as in two.
        problem = problems.get(
            "quadratic", dim=8, radius=start, noise=variance, bias=square,
            noise_model="orthogonal" if square else "gaussian",
        )  # fmt: skip
        name = f"quadratic, {label}, T = {long}"
        how = {"momentum": mu, "nesterov": nesterov, "step": step, "steps": long, "record": 1}
        replicas = Replicas(context, name, problem, **how)
        allowed = subject.squared(replicas.first.assumptions, step, long, mu, nesterov)
        comparisons.append(replicas.judged(allowed, budget=budget, least=REACHED * allowed))
    return Finding(comparisons=tuple(comparisons), panels=tuple(panels))


def _proved(a: Assumptions, step: float, steps: int, mu: float, nesterov: bool) -> float:
    return float(stepwise_bound(a, step, steps, momentum=mu, nesterov=nesterov))


def tightness(subject: Subject, context: Context) -> Finding:
    """How far the bound is from the least one that a quadratic potential proves, at a hundred steps."""
    comparisons = []
    for mu, nesterov in context.each(((0.5, False), (0.9, False), (0.9, True))):
        steps = 100
        a = Assumptions(smoothness=1.0, gap=1.0, noise=0.3, bias=0.09)
        step = _step(0.6, mu, nesterov, steps)
        proved = context.shared(f"{mu}/{nesterov}", _proved, a, step, steps, mu, nesterov)
        stated = subject.squared(a, step, steps, mu, nesterov)
        setting = f"{METHODS[nesterov]}, μ = {mu:g}, θ = 0.6 at s = 0, T = {steps}"
        comparisons.append(at_least(f"bound over what a potential proves, {setting}", stated / proved, 1.0))
        comparisons.append(at_most(f"and it is within a fifth, {setting}", stated / proved, 1.2))
    return Finding(comparisons=tuple(comparisons))


CLAIM = Claim(
    id="C11",
    title="Momentum",
    message="Momentum keeps the form of the bound",
    meaning=(
        "With momentum the bound keeps its form, with the step enlarged to η/(1-μ) and constants for the delay. It "
        "holds for heavy ball and Nesterov as PyTorch implements them."
    ),
    matters="Networks are trained with momentum, so that a theory of plain SGD alone would say little about them.",
    direction="upper bound",
    subject=Subject(product=True),
    statement=statement,
    assumptions=(
        *symbolic.ASSUMPTIONS,
        f"or, with Nesterov's momentum, {' and '.join(symbolic.NESTEROV)} in place of the heavy ball's",
        "the velocity of PyTorch, v ← μv + g from v = 0, is D + N: gradients with biases, and noises",
    ),
    source=Source("this toolkit; the sequence z is that of Yang, Lin & Li 2016", "1604.03257", own=True),
    checks=(
        kernel_check(
            lambda subject: symbolic.momentum_bound(subject.right_side, theta=subject.theta, nu=subject.nu), cost=8.0
        ),
        implementation_check(_compared, quick=60, full=2_000, allowed=1e-6, cost=2.0),
        Check(
            "exact", "numeric",
            "Do the exact worst cases, by semidefinite programs, stay below the bound?", exact, cost=6.0,
        ),
        Check(
            "tightness", "numeric",
            "Is the bound above what a quadratic potential proves, and within a fifth of it?", tightness, cost=3.0,
        ),
        Check(
            "simulation", "monte-carlo",
            "Do runs with noise keep the bound, and does a quadratic almost reach its floor?", simulation, tests=4,
            cost=5.0,
        ),
    ),
    controls=(
        Control("half-bias", "half the bias", Subject(symbolic.SHARP.subs(bias, bias / 2))),
        Control("half-transient", "half the gap", Subject(symbolic.SHARP.subs(gap, gap / 2)), drawn=True),
        Control("no-lag", "the lag forgotten in θ", Subject(theta=symbolic.smoothness * symbolic.gamma)),
        Control(
            "plain-noise", "the noise term of plain SGD, with η in place of η/(1-μ)",
            Subject(nu=symbolic.smoothness * symbolic.gamma * (1 - symbolic.mu)),
        ),
    ),
    caption=(
        "Left: the bound and the least bound that a quadratic potential proves, over the exact worst case of eight "
        "steps; beyond θ = 1 the potential is far better. Right: on a nonconvex problem with noise the measured "
        "average falls to a plateau at the squared bias, below the bound."
    ),
)  # fmt: skip
