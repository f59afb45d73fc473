"""Checks of a bound on constant-step SGD with biased gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr

from convergence import Assumptions, Bound, Trajectory, floor, problems
from convergence.problems import SyntheticProblem
from verify.checks.experiments import Replicas
from verify.checks.formulas import evaluate, implementation_check, letters
from verify.checks.panels import curve, panel, replicas_curve
from verify.checks.worst import Setting
from verify.claim import Check, Found, check
from verify.context import Context
from verify.records import Panel

__all__ = [
    "BOUND_CHECK", "BoundSubject", "descent_panel", "extremal_check", "extremal_quadratic",
    "nonconvex_check",
]  # fmt: skip

REACHED = {"orthogonal": 0.99, "gaussian": 0.95}
"""What part of a bound that is attained must be reached. The transient term keeps the average below the bound, by up to
0.8% in the settings with orthogonal noise and 2.3% in those with Gaussian noise, whose replicas also spread."""


@dataclass(frozen=True)
class BoundSubject:
    """A bound of A² = (1/T) Σ E‖∇f‖² as an expression, and where it is asserted.

    Parameters
    ----------
    right_side : Expr
        In the symbols of :mod:`rdml_theory.symbolic.sgd.descent`, bounding A**power.
    power : 1 or 2
        Whether A or A² is bounded.
    greatest_step : float
        The greatest h = Λη of the asserted domain.
    product : callable, optional
        The function of :mod:`convergence` that users call. Where a subject has none (a negative control), the formula
        itself is confronted with the experiments.
    """

    right_side: Expr
    power: int
    greatest_step: float
    reference: Callable[..., Bound]
    product: Callable[..., Bound] | None = None

    def squared(self, assumptions: Assumptions, step: float, steps: float) -> float:
        """What is confronted with measurements."""
        if self.product is not None:
            return float(self.product(assumptions, step, steps))
        return self.from_formula(assumptions, step, steps)

    def from_formula(self, assumptions: Assumptions, step: float, steps: float) -> float:
        """The bound of A² by the formula of the statement."""
        return float(evaluate(self.right_side, letters(assumptions, step, steps)) ** (2 // self.power))

    def at(self, setting: Setting) -> float:
        """The same, where it meets the exact worst case."""
        return self.squared(setting.assumptions, setting.h, setting.steps)

    def floor(self, h: float, noise: float, bias: float) -> float:
        """The bound of A² for T → ∞ at Λ = 1."""
        return self.squared(Assumptions(smoothness=1.0, gap=0.0, noise=noise, bias=bias), h, np.inf)


def _compared(subject: BoundSubject, rng: np.random.Generator) -> list[tuple[float, float]]:
    lam, gap, noise, bias = 10 ** rng.uniform(-2, 2, 4)
    at, steps = Assumptions(smoothness=lam, gap=gap, noise=noise, bias=bias), 10 ** rng.uniform(0, 6)
    step = rng.uniform(0.01, 0.99) * min(subject.greatest_step, 1.999) / lam
    try:
        total = float(subject.reference(at, step, steps))
    except ValueError:
        # A step that the statement allows and the function refuses.
        total = np.nan
    return [(total, subject.from_formula(at, step, steps))]


BOUND_CHECK: Check[BoundSubject] = implementation_check(
    # Twenty roundings or so; the sum under the root does not cancel.
    _compared, quick=500, full=20_000, allowed=64 * float(np.finfo(float).eps)
)  # fmt: skip
"""The check that the function of ``convergence`` computes the statement."""


def extremal_quadratic(h: float, noise: float, bias: float, *, start: float = 1.0, **oracle: Any) -> SyntheticProblem:
    """The quadratic that attains the sharp floor at Λ = 1, started at a multiple of it."""
    at = Assumptions(smoothness=1.0, gap=0.0, noise=noise, bias=bias)
    return problems.get(
        "quadratic", smoothness=1.0, radius=start * np.sqrt(float(floor(at, h))), noise=noise, bias=bias,
        bias_model="against_gradient" if h <= 1 else "along_gradient", **oracle,
    )  # fmt: skip


def extremal_check(
    settings: Sequence[tuple[float, float, float, str, int]], *, attained: bool, cost: float
) -> Check[BoundSubject]:
    """Confront a bound with the problems on which the sharp bound is attained.

    Parameters
    ----------
    settings : sequence of (h, σ², ζ², noise model, T)
        Those with h inside the asserted domain are run.
    attained : bool
        Whether the measured average must also reach the bound to within ``REACHED``.
    cost : float
        Seconds.
    """
    question = "Is the bound kept by the quadratics with the worst bias and noise" + (
        ", and almost reached?" if attained else "?"
    )

    @check("monte-carlo", question=question, tests=len(settings), cost=cost)
    def extremal(subject: BoundSubject, context: Context) -> Found:
        points: list[tuple[float, float, float, float]] = []
        for h, noise, bias, model, steps in context.each(settings):
            problem = extremal_quadratic(h, noise, bias, noise_model=model, dim=2 if model == "orthogonal" else 10)
            name = f"quadratic, h = {h:g}, σ² = {noise:g}, ζ² = {bias:g}, {model} noise, T = {steps}"
            replicas = Replicas(context, name, problem, step=h, steps=steps, record=1)
            run = replicas.first
            # Outside the asserted domain nothing is judged, but the figure shows what happens there.
            points.append((h, noise, bias, float(run.mean_squared_gradient[-1].mean())))
            if h > subject.greatest_step:
                continue
            allowed = subject.squared(run.assumptions, h, steps)
            least = REACHED[model] * allowed if attained else None
            budget = context.pick(quick=16_384, full=65_536)
            yield replicas.judged(allowed, budget=budget, least=least)
        yield _floor_panel(subject, points)

    return extremal


def _floor_panel(subject: BoundSubject, points: Sequence[tuple[float, float, float, float]]) -> Panel:
    """Measured averages over the floor that the subject states, against h, for bias alone and for noise alone."""
    grid = np.linspace(0.02, min(subject.greatest_step, 1.95), 120)
    curves = []
    for group, (label, noise, bias) in enumerate(
        (("bias only, $\\zeta^2 = 1$", 0.0, 1.0), ("noise only, $\\sigma^2 = 1$", 1.0, 0.0))
    ):
        stated = [subject.floor(float(h), noise, bias) for h in grid]
        x, y = zip(*[(h, mean) for h, *kind, mean in points if kind == [noise, bias]], strict=True)
        judged = [
            (h, m, subject.floor(h, noise, bias)) for h, m in zip(x, y, strict=True) if h <= subject.greatest_step
        ]
        where = max(
            (at for at in judged if at[1] > 1.1 * at[2]),
            key=lambda at: at[1] / at[2] if at[2] else np.inf,
            default=None,
        )
        curves.append(curve(f"bound, {label}", grid, stated, "statement", group=group, contradicted=where))
        curves.append(curve(f"measured, {label}", x, y, ("measured", "second")[group], style="markers", group=group))
    labels = ("floor, extremal quadratic", "step size $h = \\Lambda\\eta$", "mean squared gradient norm")
    return panel(*labels, *curves, log="y")


def nonconvex_check(steps_sizes: Sequence[float], *, noise: float, bias: float, cost: float) -> Check[BoundSubject]:
    """Confront a bound with a nonconvex problem, from the first step to the plateau.

    The problem is a quadratic plus cosines in ten dimensions with Gaussian noise and constant bias.
    """

    @check("monte-carlo", tests=len(steps_sizes), cost=cost)
    def nonconvex(subject: BoundSubject, context: Context) -> Found:
        """Does a nonconvex problem with many local minima obey the bound, and stop at the plateau it predicts?"""
        steps = context.pick(quick=2_000, full=40_000)
        used = [h for h in steps_sizes if h <= subject.greatest_step]
        for h in context.each(used):
            # A frequency other than one, so that the smoothness λ + cω² shows it.
            problem = problems.get("quadratic_cosine", amplitude=0.4, frequency=1.5, noise=noise, bias=bias)
            step = h / problem.smoothness
            name = f"quadratic plus cosine, h = {h:g}, σ² = {noise:g}, ζ² = {bias:g}, T = {steps}"
            replicas = Replicas(context, name, problem, step=step, steps=steps, record=60)
            run = replicas.first
            allowed = subject.squared(run.assumptions, step, steps)
            yield replicas.judged(allowed, budget=context.pick(quick=1024, full=16_384))
            if h in (used[0], used[-1]):
                yield descent_panel(f"nonconvex problem, $h$ = {h:g}", run, subject.squared)

    return nonconvex


def descent_panel(title: str, run: Trajectory, bound: Callable[[Assumptions, float, float], float]) -> Panel:
    """A² of a run's replicas over time, with a bound of it and the squared bias."""
    at, times = run.assumptions, run.times
    return panel(
        title, "steps $T$", "mean squared gradient norm",
        replicas_curve("measured $A^2$", times, run.mean_squared_gradient),
        curve("bound of $A^2$", times, lambda t: bound(at, run.step, float(t)), "statement"),
        curve("$\\zeta^2$", times, at.bias, "reference"),
    )  # fmt: skip
