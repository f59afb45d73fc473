"""C6: the order tunes the bias; annealing it removes the bias, decreasing the step does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr

from convergence import CohortTrajectory, mutual_bias_bound, problems, schedule_bound, simulate, train_cohort
from convergence.problems import SyntheticProblem
from rdml_theory.symbolic import notation
from rdml_theory.symbolic.divergence import names
from rdml_theory.symbolic.mutual import bias as mutual
from rdml_theory.symbolic.mutual import tunability
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.mutual.tunability import LINE
from verify.checks import Role, at_least, at_most, curve, function_of, kernel_check, panel
from verify.checks.mutual import iris_cohort, safe_step
from verify.claim import Claim, Context, Control, Found, Panel, Source, Statement, check

Array = NDArray[np.float64]

SCHEDULES = ("step", "order", "weight")
REMOVED, KEPT = 0.05, 0.8
"""What is left of the plateau of constant step, order and weight: at most, and at least."""

TURN = 50
"""Schedules fall like 1/(1 + t/50), the step like its root."""


@dataclass(frozen=True)
class Subject:
    """The bound of ζ(α), and which schedules remove the bias."""

    slope: Expr
    removing: tuple[str, ...] = ("order", "weight")

    @property
    def line(self) -> Any:
        """The slope as a function of α, ρ, β and G."""
        return function_of(self.slope, notation.alpha, names.rho, beta, mutual.jacobian)


def statement(subject: Subject) -> Statement:
    removing = " or the ".join(subject.removing)
    keeping = " or the ".join(s for s in SCHEDULES if s not in subject.removing)
    words = (
        "{bound}, nondecreasing in α and on the line as α → 0. With orders α_t, weights β_t and ranges ρ_t: "
        f"{{annealed}}, so that annealing the {removing} until α_t β_t ρ_t → 0 removes the bias"
    )
    if keeping:
        words += f"; decreasing the {keeping} does not remove it"
    formulas = {
        "bound": tunability.line_target(subject.slope).relation(),
        "annealed": tunability.annealed_target(subject.slope).relation(),
    }
    return Statement(words, formulas)


@check("numeric")
def law(subject: Subject, context: Context) -> Found:
    """Is ζ(α), as users compute it, below its line, on it at small orders, and monotone?"""
    rng = context.rng("points")
    count = context.pick(quick=200, full=5_000)
    over, near, rises = 0.0, np.inf, np.inf
    for _ in range(count):
        weight, jacobian, spread = np.exp(rng.uniform(-2, 2, 3))
        alphas = np.sort(np.exp(rng.uniform(-6, 3, 50)))
        root = np.sqrt(mutual_bias_bound(alphas, beta=weight, jacobian=jacobian, log_ratio_range=spread))
        over = max(over, float((root / subject.line(alphas, spread, weight, jacobian)).max()))
        rises = min(rises, float(np.diff(root).min()))
        small = 1e-4 / spread
        tiny = np.sqrt(mutual_bias_bound(small, beta=weight, jacobian=jacobian, log_ratio_range=spread))
        near = min(near, float(tiny / subject.line(small, spread, weight, jacobian)))
    yield at_most("ζ(α) over the line", over, 1 + 1e-12, samples=50 * count)
    yield at_least("ζ(α) over the line as α → 0", near, 1 - 1e-6, samples=count)
    yield at_least("least increase of ζ(α)", rises, 0.0, samples=50 * count)


def _schedules(steps: int, step: float) -> dict[str, dict[str, Any]]:
    falling = 1 / (1 + np.arange(steps) / TURN)
    return {
        "none": {"step": step},
        "step": {"step": step * np.sqrt(falling)},
        "order": {"step": step, "alpha": falling},
        "weight": {"step": step, "beta": falling},
    }


def _annealed(eta: Array, squares: Array) -> tuple[float, float, float]:
    """Of the quadratic with these steps and squared biases: weighted A², the schedule's bound, ‖∇f‖² at the end."""

    def oracle(t: int) -> SyntheticProblem:
        return problems.get("quadratic", radius=2.0, bias=float(squares[t]), bias_model="against_gradient")

    run = simulate(oracle(0), step=eta, steps=len(eta), replicas=1, seed=0, record=1, oracle=oracle)
    bound = schedule_bound(run.assumptions, eta, bias=squares)
    return float(run.mean_squared_gradient[-1, 0]), float(bound), float(run.squared_gradient[-1, 0])


@check("numeric")
def synthetic(subject: Subject, context: Context) -> Found:
    """Does a quadratic keep the schedule's bound, and lose its bias as stated?"""
    steps, square = context.pick(quick=4_000, full=100_000), 0.25
    falling, constant = 1 / (1 + np.arange(steps) / TURN), np.ones(steps)
    schedules = {"step": (0.5 * np.sqrt(falling), square * constant), "order": (0.5 * constant, square * falling**2)}
    for name, (eta, squares) in schedules.items():
        average, bound, end = context.shared(_annealed, eta, squares)
        yield at_most(f"weighted A² against the schedule's bound, decreasing {name}", average, bound)
        compare, limit = (at_most, REMOVED) if name in subject.removing else (at_least, KEPT)
        yield compare(f"‖∇f‖² at the end over ζ², decreasing {name}", end / square, limit)


def _run(kind: str, steps: int) -> CohortTrajectory:
    cohort = iris_cohort(1.0)
    return train_cohort(cohort, steps=steps, record=40, **_schedules(steps, safe_step(cohort))[kind])


@check("training", cost=4.0)
def training(subject: Subject, context: Context) -> Found:
    """Which schedules remove the plateau of students on irises?"""
    steps = context.pick(quick=3_000, full=10_000)
    runs = {kind: context.shared(_run, kind, steps) for kind in ("none", *SCHEDULES)}
    ends = {kind: float(run.base[-1, 0].sum()) for kind, run in runs.items()}
    for kind in SCHEDULES:
        words = f"‖∇L‖² after {steps} steps with decreasing {kind}, over that with constant parameters"
        compare, limit = (at_most, REMOVED) if kind in subject.removing else (at_least, KEPT)
        yield compare(words, ends[kind] / ends["none"], limit)
    roles: dict[str, Role] = {"none": "reference", "step": "measured", "order": "second", "weight": "second"}
    labels = {"none": "constant", "step": "decreasing step", "order": "annealed order", "weight": "annealed weight"}
    stated = {kind: KEPT if kind not in subject.removing else REMOVED for kind in SCHEDULES}
    curves = [
        curve(labels[kind], run.times, run.base[:, 0].sum(axis=1), roles[kind], group=int(kind == "weight"))
        for kind, run in runs.items()
    ]
    # The statement is about the end alone.
    end = (steps / 3, float(steps))
    curves.append(curve("annealed must end below", end, stated["order"] * ends["none"], "statement"))
    yield panel("irises, two students", "steps", "$\\Sigma_k \\|\\nabla L_k\\|^2$ (nats²)", *curves)
    yield _law_panel(subject)


def _law_panel(subject: Subject) -> Panel:
    alphas = np.geomspace(1e-2, 30, 80)
    root = np.sqrt(mutual_bias_bound(alphas, beta=1.0, jacobian=1.0, log_ratio_range=4.0))
    inside = alphas <= 2
    return panel(
        "a-priori bound, $\\rho$ = 4", "order $\\alpha$", "$\\zeta(\\alpha)/(\\beta G)$",
        curve("$\\zeta(\\alpha)$", alphas, root),
        curve(
            "the line that bounds it", alphas[inside],
            np.asarray(subject.line(alphas[inside], 4.0, 1.0, 1.0), dtype=float), "statement",
        ),
    )  # fmt: skip


CLAIM = Claim(
    id="C6",
    title="Tunability",
    message="A smaller order or weight removes the bias, a smaller step does not",
    meaning=(
        "The bound of the bias is proportional to the weight and grows with the order. Lower either of them to zero "
        "in the course of training, and the bias goes to zero with it."
    ),
    matters="It is the theory's advice on what to turn when mutual learning holds a student back.",
    direction="tight",
    subject=Subject(LINE),
    statement=statement,
    assumptions=(
        "ζ(α) = √2 βG tanh(αρ/4) is the a-priori bound of the mutual bias (C4)",
        *tunability.ASSUMPTIONS,
        "for decreasing steps: f = Λ‖x‖²/2, a constant bias, and a gradient that starts at its negative",
        "with steps η_t ≤ 1/Λ too, the mean of ζ_t² weighted by them takes the place of ζ² (`schedule_bound`)",
        "experiment: order and weight fall like 1/(1 + t/50), the step like its root; irises, α = β = 1",
    ),
    source=Source("this toolkit", own=True),
    checks=(kernel_check(lambda subject: tunability.tunability(subject.slope)), law, synthetic, training),
    controls=(
        Control("half-slope", "half the slope", Subject(LINE / 2), drawn=True),
        Control("step-removes", "decreasing steps remove the bias", Subject(LINE, ("step", "order", "weight"))),
        Control("only-weight", "an annealed order keeps the bias", Subject(LINE, ("weight",))),
        Control("squared", "a slope that vanishes with α²", Subject(LINE * notation.alpha)),
    ),
    caption=(
        "Left: the base gradient of two students on irises. With constant parameters it stops at a plateau; a "
        "decreasing step does not change that, an annealed order or weight removes it: at the end it is below the "
        "short line. Right: the a-priori bound of the bias against the order, and its line."
    ),
    in_code="convergence.largest_order",
)
