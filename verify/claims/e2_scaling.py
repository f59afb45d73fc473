"""E2: how the plateau scales with the step size, the noise, the bias, and the game's weight and order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Integer, Symbol, diff, lambdify, limit

from convergence import SoftmaxCohort, find_stationary, judge_mean, problems, simulate, train_cohort
from convergence.problems.mutual_learning import MutualLearning
from rdml_theory.symbolic import descent
from rdml_theory.symbolic.derivation import Derivation, Step
from rdml_theory.symbolic.notation import Named
from rdml_theory.symbolic.relations import equal
from verify.checks.comparisons import at_most, from_verdict
from verify.checks.experiments import exponents, plateau_function, window_means
from verify.checks.symbolic import symbolic_check
from verify.claim import Check, Claim, Finding, Source, Statement, Twin
from verify.claims.e1_plateau import PLATEAU
from verify.context import Context
from verify.records import Curve, Panel

ALPHA, BETA = Symbol("alpha", positive=True), Symbol("beta", positive=True)
GAME_PLATEAU = Named("lim ‖∇L‖²", r"\lim_{t \to \infty} \lVert \nabla L \rVert^2")
CONSTANT = Symbol("c", positive=True)

Array = NDArray[np.float64]

WIDE = 0.05
"""How far a measured exponent may be from the stated one: the bottom of a well is a quadratic in the limit only."""

GAME_WIDE = 0.05
"""The same for the game, whose exponent is reached for small weights and orders only."""

GAME_GRID = (0.005, 0.01, 0.02, 0.04)


@dataclass(frozen=True)
class ScalingSubject:
    """The plateau in h, σ and Z, and that of a cohort for small β and α."""

    plateau: Expr
    game: Expr


@dataclass(frozen=True)
class Line:
    """One variable that is scaled while the others stay: a grid of (h, σ², ζ²)."""

    name: str
    label: str
    at: Callable[[float], tuple[float, float, float]]
    grid: tuple[float, ...]


LINES = (
    Line("η, with bias", "step size, with bias", lambda v: (v, 0.0004, 0.04), (0.05, 0.1, 0.2, 0.4)),
    Line("η, without bias", "step size, without bias", lambda v: (v, 0.04, 0.0), (0.025, 0.05, 0.1, 0.2)),
    Line("σ², without bias", "noise, without bias", lambda v: (0.1, v, 0.0), (0.01, 0.02, 0.04, 0.08)),
    Line("ζ²", "bias", lambda v: (0.1, 0.0004, v), (0.01, 0.02, 0.04, 0.08)),
)


def _derivation(subject: ScalingSubject) -> Derivation:
    """Elasticities of the plateau: d log P / d log of each variable, where the others make its part the only one."""
    h, sigma, z, p = descent.h, descent.noise, descent.bias, subject.plateau

    def elasticity(expression: Any, variable: Any) -> Any:
        return variable * diff(expression, variable) / expression

    alone = p.subs(z, 0)
    steps = (
        Step("without bias it grows like the variance σ²", equal(elasticity(alone, sigma), Integer(2))),
        Step("and, for small steps, like the step", equal(limit(elasticity(alone, h), h, 0), Integer(1))),
        Step("without noise it grows like ζ²", equal(elasticity(p.subs(sigma, 0), z), Integer(2))),
        Step("and does not depend on the step", equal(elasticity(p.subs(sigma, 0), h), Integer(0))),
        Step("a cohort's plateau grows like β²", equal(elasticity(subject.game, BETA), Integer(2))),
        Step("and, for small orders, like α²", equal(elasticity(subject.game, ALPHA), Integer(2))),
    )
    return Derivation(equal(Named("lim E‖∇f(x_t)‖²", r"\lim \mathbb{E} \lVert \nabla f(x_t) \rVert^2"), p), steps)


def statement(subject: ScalingSubject) -> Statement:
    words = "Inside a well {law}, and for small β and α a cohort has {game}, with the exponents that follow"
    return Statement(words, {"law": _derivation(subject).statement, "game": equal(GAME_PLATEAU, subject.game)})


def _levels(line: Line, steps: int, seed: int) -> Array:
    """Plateaus of replicas in a well of the nonconvex quadratic plus cosines, shape (grid, replica)."""
    levels = []
    for number, value in enumerate(line.grid):
        h, noise, bias = line.at(value)
        problem = problems.get("quadratic_cosine", dim=2, radius=0.0, noise=noise, bias=bias)
        run = simulate(
            problem, step=h / problem.smoothness, steps=steps, replicas=256, seed=seed + number,
            record=[steps // 4, steps],
        )  # fmt: skip
        levels.append(window_means(run)[0])
    return np.array(levels)


def plateaus(subject: ScalingSubject, context: Context) -> Finding:
    """Exponents measured on each replica by least squares, against those of the statement on the same grid."""
    comparisons, curves = [], []
    steps = context.pick(quick=2_000, full=20_000)
    function = plateau_function(subject.plateau)
    for number, line in enumerate(LINES):
        levels = context.shared(line.name, partial(_levels, line, steps, context.seed_for(line.name)))
        stated = [function(*line.at(value)) for value in line.grid]
        slope = float(exponents(line.grid, stated)) if min(stated) > 0 else 0.0
        verdict = judge_mean(
            exponents(line.grid, levels), slope + WIDE, least=slope - WIDE, error_rate=context.error_rate
        )
        comparisons.append(from_verdict(f"exponent in {line.name}: {slope:.3f} stated", verdict, attained=True))
        scale = line.grid[0]
        x = tuple(value / scale for value in line.grid)
        curves += [
            Curve(label=line.label, role="measured", style="markers", group=number, x=x,
                  y=tuple(levels.mean(axis=1) / levels[0].mean())),
            Curve(label=f"stated: {slope:.2f}", role="statement", group=number, x=x,
                  y=tuple(v / stated[0] if stated[0] else 1.0 for v in stated)),
        ]  # fmt: skip
        context.progress((number + 1) / len(LINES))
    panel = Panel(
        title="plateau in a well of a nonconvex problem", x_label="variable, relative to its least value",
        y_label="plateau, relative", x_scale="log", y_scale="log", curves=tuple(curves),
    )  # fmt: skip
    return Finding(comparisons=tuple(comparisons), panels=(panel,))


def _game_level(order: float, beta: float) -> float:
    """‖∇L‖² of the first student where two students with different features stand still."""
    game = MutualLearning()
    features = [x[:, :-1] for x in game.inputs]
    cohort = SoftmaxCohort(features, game.labels, order=order, beta=beta)
    warm = train_cohort(cohort, step=1 / max(cohort.smoothness()), steps=300, record=1)
    point = find_stationary(cohort, [p[0] for p in warm.parameters], tolerance=1e-6)
    return float(point.base[0] ** 2)


def game(subject: ScalingSubject, context: Context) -> Finding:
    """A cohort's plateau against its weight and its order, both small."""
    function = lambdify((ALPHA, BETA, CONSTANT), subject.game, "numpy")
    comparisons, curves = [], []
    lines = {
        "β": ("weight $\\beta$, order 1", lambda v: (1.0, v)),
        "α": ("order $\\alpha$, weight 0.1", lambda v: (v, 0.1)),
    }
    for number, (name, (label, at)) in enumerate(lines.items()):
        levels = [context.shared(f"{name}/{v}", partial(_game_level, *at(v))) for v in GAME_GRID]
        stated = [float(function(*at(v), 1.0)) for v in GAME_GRID]
        slope, measured = float(exponents(GAME_GRID, stated)), float(exponents(GAME_GRID, levels))
        comparisons.append(at_most(f"|exponent in {name} - {slope:g}|", abs(measured - slope), GAME_WIDE))
        curves += [
            Curve(label=label, role="measured", style="markers", group=number, x=GAME_GRID, y=tuple(levels)),
            Curve(label=f"stated: {slope:g}", role="statement", group=number, x=GAME_GRID,
                  y=tuple(levels[0] * s / stated[0] for s in stated)),
        ]  # fmt: skip
        context.progress((number + 1) / 2)
    panel = Panel(
        title="plateau of a cohort", x_label="weight or order", y_label="$\\|\\nabla L\\|^2$ (nats²)",
        x_scale="log", y_scale="log", curves=tuple(curves),
    )  # fmt: skip
    return Finding(comparisons=tuple(comparisons), panels=(panel,))


GAME = CONSTANT * ALPHA**2 * BETA**2

CLAIM = Claim(
    id="E2",
    title="Scaling",
    direction="equality",
    subject=ScalingSubject(PLATEAU, GAME),
    statement=statement,
    derivation=_derivation,
    assumptions=(
        "x ← x - η(∇f + b + n), h = Λη, a constant bias b of size Z, noise of variance σ²",
        "inside a well whose curvature is Λ, for small noise and bias",
        "cohort: two linear softmax students with different features, stationary, β and α at most 0.04 (β = 0.1 "
        "where α varies, α = 1 where β does)",
    ),
    source=Source("this toolkit; the game is that of Huang et al. 2023", "2209.05732", own=True),
    checks=(
        symbolic_check(_derivation, cost=0.5),
        Check("plateaus", "monte-carlo", "Are the exponents in the step size, the noise and the bias the stated ones?",
              plateaus, tests=len(LINES), cost=4.0),
        Check("game", "training", "Are a cohort's exponents in the weight and in the order the stated ones?",
              game, cost=3.0),
    ),
    twins=(
        Twin("bias-falls", "the bias falls with the step", ScalingSubject(descent.h * PLATEAU, GAME), drawn=True),
        Twin("root", "the noise's part grows like its deviation",
             ScalingSubject(descent.bias**2 + descent.h * descent.noise / (2 - descent.h), GAME)),
        Twin("linear-game", "the cohort's plateau grows like α and β",
             ScalingSubject(PLATEAU, CONSTANT * ALPHA * BETA), drawn=True),
    ),
    caption=(
        "Left: the plateau in a well of a nonconvex problem. With bias it does not fall with the step size; without "
        "bias it falls in proportion. Right: on a cohort it falls with the square of the weight and of the order."
    ),
)  # fmt: skip
