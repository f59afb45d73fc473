"""Checks of a bound on constant-step SGD with biased gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Expr, lambdify

from convergence import Assumptions, Bound, Trajectory, problems, sequential_verdict, simulate
from convergence.problems import SyntheticProblem
from rdml_theory.symbolic.sgd import descent
from verify.checks.comparisons import at_most, from_verdict
from verify.claim import Check, Finding
from verify.context import Context
from verify.records import Comparison, Curve, Panel

__all__ = ["SETTING", "BoundSubject", "extremal_check", "implementation_check", "nonconvex_check"]

SETTING = (
    "f is Λ-smooth and bounded below, Δ = f(x₀) - inf f",
    "constant step η, h = Λη, and x ← x - ηg with g = ∇f + b + n",
    "E[n | x] = 0, E‖n‖² ≤ σ², and Z² is the mean of E‖b‖² over the T steps, A² that of E‖∇f‖²",
)
"""What the bounds of SGD with biased gradients assume."""

RECORDS = 60

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
        The function of :mod:`convergence` that users call. Where a subject has none (a false twin), the formula
        itself is confronted with the experiments.
    """

    right_side: Expr
    power: int
    greatest_step: float
    reference: Callable[..., Bound]
    product: Callable[..., Bound] | None = None

    @cached_property
    def formula(self) -> Callable[..., Any]:
        """The bound of A² as a NumPy function of (h, η, Δ, σ, Z, T)."""
        symbols = (descent.h, descent.eta, descent.gap, descent.noise, descent.bias, descent.horizon)
        evaluated = lambdify(symbols, self.right_side, "numpy")
        return lambda *values: evaluated(*values) ** (2 // self.power)

    def squared(self, assumptions: Assumptions, step: float, steps: float) -> float:
        """What is confronted with measurements."""
        if self.product is not None:
            return float(self.product(assumptions, step, steps))
        return self.from_formula(assumptions, step, steps)

    def from_formula(self, assumptions: Assumptions, step: float, steps: float) -> float:
        """The bound of A² by the formula of the statement."""
        a = assumptions
        return float(self.formula(a.smoothness * step, step, a.gap, np.sqrt(a.noise), np.sqrt(a.bias), float(steps)))

    def floor(self, h: float, noise: float, bias: float) -> float:
        """The bound of A² for T → ∞ at Λ = 1."""
        return self.squared(Assumptions(smoothness=1.0, gap=0.0, noise=noise, bias=bias), h, np.inf)


def _random_assumptions(rng: np.random.Generator) -> tuple[Assumptions, float]:
    lam, gap, noise, bias = 10 ** rng.uniform(-2, 2, 4)
    return Assumptions(smoothness=lam, gap=gap, noise=noise, bias=bias), 10 ** rng.uniform(0, 6)


def _run_implementation(subject: BoundSubject, context: Context) -> Finding:
    """The function that users call against the formula that was derived, at random points of the domain."""
    rng = context.rng("points")
    count = context.pick(quick=500, full=20_000)
    function = subject.reference
    worst = 0.0
    for _ in range(count):
        assumptions, steps = _random_assumptions(rng)
        step = rng.uniform(0.01, 0.99) * min(subject.greatest_step, 1.999) / assumptions.smoothness
        try:
            total = function(assumptions, step, steps).total
        except ValueError:
            # A step that the statement allows and the function refuses.
            total = np.nan
        formula = subject.from_formula(assumptions, step, steps)
        error = abs(total - formula) / abs(formula) if formula else np.inf
        worst = max(worst, error) if np.isfinite(error) else np.inf
    # Twenty roundings or so; the sum under the root does not cancel.
    allowed = 64 * float(np.finfo(float).eps)
    return Finding(comparisons=(at_most("relative difference from the formula", worst, allowed, samples=count),))


def implementation_check() -> Check[BoundSubject]:
    """The check that the function of ``convergence`` computes the statement."""
    question = "Does the function in `convergence` compute the formula that was derived?"
    return Check("implementation", "numeric", question, _run_implementation, cost=0.5)


def _extremal(h: float, noise: float, bias: float, model: str) -> SyntheticProblem:
    """The quadratic that attains the sharp floor at Λ = 1, started at its stationary gradient norm."""
    away = abs(1 - h)
    stationary = (away * np.sqrt(bias) + np.sqrt(bias + h * (2 - h) * noise)) / (2 - h)
    return problems.get(
        "quadratic",
        dim=2 if model == "orthogonal" else 10,
        smoothness=1.0,
        radius=stationary,
        noise=noise,
        bias=bias,
        noise_model=model,
        bias_model="against_gradient" if h <= 1 else "along_gradient",
    )


def _draw(
    problem: SyntheticProblem, step: float, steps: int, seed: int, keep: dict[int, Trajectory]
) -> Callable[[int, int], Any]:
    """Replicas by their indices; a run is kept, since twins see the same data."""

    def draw(begin: int, end: int) -> Any:
        if begin not in keep:
            keep[begin] = simulate(
                problem, step=step, steps=steps, replicas=end - begin, seed=seed, first=begin, record=RECORDS
            )
        return keep[begin].mean_squared_gradient[-1]

    return draw


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

    def run(subject: BoundSubject, context: Context) -> Finding:
        comparisons: list[Comparison] = []
        points: list[tuple[float, float, float, float]] = []
        for number, (h, noise, bias, model, steps) in enumerate(settings):
            problem = _extremal(h, noise, bias, model)
            name = f"quadratic, h = {h:g}, σ² = {noise:g}, ζ² = {bias:g}, {model} noise, T = {steps}"
            keep = context.shared(name, dict[int, Trajectory])
            draw = _draw(problem, h, steps, context.seed_for(name), keep)
            # Outside the asserted domain nothing is judged, but the figure shows what happens there.
            points.append((h, noise, bias, float(draw(0, 256).mean())))
            context.progress((number + 1) / len(settings))
            if h > subject.greatest_step:
                continue
            gap = float(problem.value(problem.start[None])[0])
            assumptions = Assumptions(smoothness=1.0, gap=gap, noise=noise, bias=bias)
            allowed = subject.squared(assumptions, h, steps)
            verdict = sequential_verdict(
                draw,
                allowed,
                error_rate=context.error_rate,
                budget=context.pick(quick=16_384, full=65_536),
                least=REACHED[model] * allowed if attained else None,
            )
            comparisons.append(from_verdict(name, verdict, attained=attained))
        return Finding(comparisons=tuple(comparisons), panels=(_floor_panel(subject, points),))

    question = "Is the bound kept by the quadratics with the worst bias and noise" + (
        ", and almost reached?" if attained else "?"
    )
    return Check("extremal", "monte-carlo", question, run, tests=len(settings), cost=cost)


def _floor_panel(subject: BoundSubject, points: Sequence[tuple[float, float, float, float]]) -> Panel:
    """Measured averages over the floor that the subject states, against h, for bias alone and for noise alone."""
    grid = np.linspace(0.02, min(subject.greatest_step, 1.95), 120)
    curves = []
    for group, (label, noise, bias) in enumerate(
        (("bias only, $\\zeta^2 = 1$", 0.0, 1.0), ("noise only, $\\sigma^2 = 1$", 1.0, 0.0))
    ):
        line = [subject.floor(float(h), noise, bias) for h in grid]
        curves.append(Curve(label=f"bound, {label}", role="statement", x=tuple(grid), y=tuple(line), group=group))
        measured = [(h, mean) for h, *kind, mean in points if kind == [noise, bias]]
        curves.append(
            Curve(
                label=f"measured, {label}",
                role="measured" if group == 0 else "second",
                style="markers",
                group=group,
                x=tuple(h for h, _ in measured),
                y=tuple(mean for _, mean in measured),
            )
        )
    return Panel(
        title="floor, extremal quadratic",
        x_label="step size $h = \\Lambda\\eta$",
        y_label="mean squared gradient norm",
        y_scale="log",
        curves=tuple(curves),
    )


def nonconvex_check(steps_sizes: Sequence[float], *, noise: float, bias: float, cost: float) -> Check[BoundSubject]:
    """Confront a bound with a nonconvex problem, from the first step to the plateau.

    The problem is a quadratic plus cosines in ten dimensions with Gaussian noise and constant bias.
    """

    def run(subject: BoundSubject, context: Context) -> Finding:
        comparisons, panels = [], []
        steps = context.pick(quick=4_000, full=40_000)
        used = [h for h in steps_sizes if h <= subject.greatest_step]
        for number, h in enumerate(used):
            # A frequency other than one, so that the smoothness λ + cω² shows it.
            problem = problems.get("quadratic_cosine", amplitude=0.4, frequency=1.5, noise=noise, bias=bias)
            step = h / problem.smoothness
            name = f"quadratic plus cosine, h = {h:g}, σ² = {noise:g}, ζ² = {bias:g}, T = {steps}"
            keep = context.shared(name, dict[int, Trajectory])
            draw = _draw(problem, step, steps, context.seed_for(name), keep)
            draw(0, 256)
            assumptions = keep[0].assumptions
            verdict = sequential_verdict(
                draw,
                subject.squared(assumptions, step, steps),
                error_rate=context.error_rate,
                budget=context.pick(quick=1024, full=16_384),
            )
            comparisons.append(from_verdict(name, verdict))
            if h in (used[0], used[-1]):
                panels.append(_descent_panel(subject, keep[0], h, step, assumptions, bias))
            context.progress((number + 1) / len(used))
        return Finding(comparisons=tuple(comparisons), panels=tuple(panels))

    question = "Does a nonconvex problem with many local minima keep the bound, and stop at the plateau it predicts?"
    return Check("nonconvex", "monte-carlo", question, run, tests=len(steps_sizes), cost=cost)


def _descent_panel(
    subject: BoundSubject, run: Trajectory, h: float, step: float, assumptions: Assumptions, bias: float
) -> Panel:
    times = tuple(float(t) for t in run.times)
    mean = run.mean_squared_gradient.mean(axis=1)
    low, high = np.quantile(run.mean_squared_gradient, [0.05, 0.95], axis=1)
    return Panel(
        title=f"nonconvex problem, $h$ = {h:g}",
        x_label="steps $T$",
        y_label="mean squared gradient norm",
        x_scale="log",
        y_scale="log",
        curves=(
            Curve(
                label="measured $A^2$, mean and 5-95% of replicas",
                role="measured",
                x=times,
                y=tuple(mean),
                low=tuple(low),
                high=tuple(high),
            ),
            Curve(
                label="bound of $A^2$",
                role="statement",
                x=times,
                y=tuple(subject.squared(assumptions, step, t) for t in times),
            ),
            Curve(label="$\\zeta^2$", role="reference", x=(times[0], times[-1]), y=(bias, bias)),
        ),
    )
