"""E2: how the plateau scales with the step size, the noise, the bias, and the game's weight, order and students."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag
from sympy import Expr

from convergence import MutualLearning, find_stationary, problems, simulate
from rdml_theory.symbolic.kernel import Proof
from rdml_theory.symbolic.mutual import gain, scaling
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.mutual.scaling import COHORT, plateau_of_cohort, plateau_target
from rdml_theory.symbolic.notation import alpha
from rdml_theory.symbolic.sgd import descent, settling
from rdml_theory.symbolic.sgd.settling import PLATEAU, plateau_of_quadratic
from rdml_theory.symbolic.sgd.settling import plateau_target as settling_target
from verify.checks import (
    at_most,
    close_to,
    curve,
    exponents,
    function_of,
    kernel_check,
    panel,
    plateau_function,
    window_means,
)
from verify.checks.samples import settle
from verify.claim import Claim, Comparison, Context, Control, Found, Source, Statement, check

Array = NDArray[np.float64]

WIDE = 0.05
"""How far a measured exponent may be from the stated one: the bottom of a well is a quadratic in the limit only."""

GAME_GRID = (0.0025, 0.005, 0.01, 0.02)
"""Weights and orders, small."""

SIZES = (2, 3, 5, 9)
SIZES_WIDE = 0.1
"""How far an exponent in the number of students may be: plateaus of random cohorts scatter by a third."""

PILOT = 64
"""Cohorts about whose means the others are linearised."""

SMALL = 0.005
"""β where the number of students varies."""

SETTLED = 0.01
"""The update over the mutual gradient where a cohort is said to stand still."""


@dataclass(frozen=True)
class ScalingSubject:
    """The plateau in h, σ and Z, and that of a cohort for small β and α, in β, α, K and u."""

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


def _derivation(subject: ScalingSubject) -> Proof:
    quadratic, cohort = plateau_of_quadratic(subject.plateau), plateau_of_cohort(subject.game)
    return Proof((*quadratic.theorems, *cohort.theorems))


def statement(subject: ScalingSubject) -> Statement:
    words = (
        "In a well of curvature λ, {law}, whose plateau is {plateau}, {h} = ηλ. Each of K students at rest near "
        "consensus has {game}, ∇L being s - a, so that for small β and α it is {cohort}; {own} is the variance of its "
        "own optimum over that of a peer's"
    )
    formulas = {
        "law": settling_target(subject.plateau).relation(), "plateau": subject.plateau, "h": descent.h,
        "game": plateau_target(subject.game).relation(), "cohort": subject.game, "own": scaling.own,
    }  # fmt: skip
    return Statement(words, formulas)


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


@check("monte-carlo", tests=len(LINES), cost=4.0)
def plateaus(subject: ScalingSubject, context: Context) -> Found:
    """Are the exponents in the step size, the noise and the bias the stated ones?"""
    curves = []
    steps = context.pick(quick=2_000, full=20_000)
    function = plateau_function(subject.plateau)
    for number, line in enumerate(context.each(LINES)):
        levels = context.shared(_levels, line, steps, context.seed_for(line.name))
        stated = [function(*line.at(value)) for value in line.grid]
        slope = float(exponents(line.grid, stated)) if min(stated) > 0 else 0.0
        name = f"exponent in {line.name}: {slope:.3f} stated"
        found = exponents(line.grid, levels)
        yield close_to(name, found, slope, WIDE, context.error_rate, absolute=True)
        scale = line.grid[0]
        x = tuple(value / scale for value in line.grid)
        curves += [
            curve(line.label, x, levels.mean(axis=1) / levels[0].mean(), style="markers", group=number),
            curve(
                f"stated: exponent {slope:.2f}",
                x,
                [v / stated[0] if stated[0] else 1.0 for v in stated],
                "statement",
                group=number,
            ),
        ]
    yield panel("plateau in a nonconvex well", "variable over its least value", "plateau, relative", *curves)


@dataclass(frozen=True)
class Plateaus:
    """Random cohorts where they stand still: ‖∇L‖² over (cohort, student), and the greatest update, relative."""

    levels: Array
    left: float


def _task() -> tuple[Array, NDArray[np.int64]]:
    """200 samples of 12 features, whose three classes overlap."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 12))
    scores = x @ rng.standard_normal((12, 3)) / np.sqrt(12) + rng.gumbel(size=(200, 3))
    return x, scores.argmax(axis=1)


def _optimum(features: Array) -> tuple[Array, Array]:
    """Where a student alone stands still, and the inverse of its loss's Hessian there, but for shifts of all logits."""
    alone = MutualLearning([features], _task()[1])
    # Without peers the update is the base gradient.
    point = find_stationary(alone, alone.start, tolerance=0.0, iterations=12)
    inverse: Array = np.linalg.pinv(alone.jacobian(point.x), rcond=1e-9).astype(np.float64)
    return point.x, inverse


def _cohorts(features: Sequence[Array], weights: Array, alpha: float, beta: float) -> Plateaus:
    """Newton's method from where each student would stand alone with all data, its Hessian kept, for all cohorts."""
    alone = [_optimum(x) for x in features]
    cohort = MutualLearning(features, _task()[1], alpha=alpha, beta=beta, weights=weights)
    start = np.tile(np.concatenate([start for start, _ in alone]), (len(weights), 1))
    inverse = np.asarray(block_diag(*(inverse for _, inverse in alone)))
    rest = settle(cohort, start, inverse, iterations=5)
    base, mutual = cohort.gradients(rest.x)
    levels = cohort.squares(base)
    return Plateaus(levels, float(np.sqrt((cohort.squares(base + mutual) / levels).max())))


def _own_data(rng: np.random.Generator, cohorts: int, students: int) -> Array:
    """Each student's own data: each sample weighs 0.9 or 1.1, at random."""
    return 1 + 0.1 * rng.choice([-1.0, 1.0], (cohorts, students, len(_task()[1])))


def _features_apart(alpha: float, beta: float, weights: Array) -> Plateaus:
    """Pairs of students who see six features each."""
    return _cohorts(np.split(_task()[0], 2, axis=1), weights, alpha, beta)


def _all_data(size: int, weights: Array) -> Plateaus:
    """The first student has the data of all, its peers their own."""
    weights = weights[:, :size].copy()
    weights[:, 0] = 1.0
    found = _cohorts([_task()[0]] * size, weights, 1.0, SMALL)
    return Plateaus(found.levels[:, :1], found.left)


def _alike(size: int, weights: Array) -> Plateaus:
    """All have their own data; as many cohorts as there are students for, averaged."""
    many = weights.shape[1] // size
    found = _cohorts([_task()[0]] * size, weights[:, : many * size].reshape(-1, size, weights.shape[2]), 1.0, SMALL)
    return Plateaus(found.levels.reshape(len(weights), -1), found.left)


def _by_size(cohorts: Callable[[int, Array], Plateaus], count: int, rng: np.random.Generator) -> list[Plateaus]:
    """Of as many students as in ``SIZES``; the cohorts of all sizes have one sample."""
    weights = _own_data(rng, count, max(SIZES))
    return [cohorts(size, weights) for size in SIZES]


def _linearised(x: Sequence[float], found: Sequence[Plateaus]) -> Array:
    """Return one number for each cohort but the pilots, whose mean is the exponent of the mean plateau.

    That exponent is linear in the logarithms of the means; to first order a cohort adds to each its plateau over the
    mean of the pilots, less one, so that cohorts stay independent. (What is left out is half the relative variance over
    the number of pilots, some 1e-3.)
    """
    levels = np.stack([one.levels.mean(axis=1) for one in found])
    means = levels[:, :PILOT].mean(axis=1, keepdims=True)
    share = np.array([float(exponents(x, np.exp(unit))) for unit in np.eye(len(levels))])
    return float(exponents(x, means[:, 0])) + share @ (levels[:, PILOT:] / means - 1)


def _game_line(
    name: str, x: Sequence[float], stated: Sequence[float], found: Sequence[Plateaus], wide: float, context: Context,
    cut: float,
) -> list[Comparison]:  # fmt: skip
    """The exponent of the plateau in x, and that the cohorts stood still."""
    slope = float(exponents(x, stated))
    words = f"exponent in {name}: {slope:.3f} stated"
    return [
        close_to(words, _linearised(x, found), slope, wide, context.error_rate, absolute=True, cut=cut),
        at_most(f"greatest update over gradient, {name}", max(one.left for one in found), SETTLED),
    ]


@check("monte-carlo", tests=2, cost=2.0)
def game(subject: ScalingSubject, context: Context) -> Found:
    """Are a cohort's exponents in the weight and in the order the stated ones?"""
    function = function_of(subject.game, alpha, beta, gain.students, scaling.own, scaling.constant)
    weights = _own_data(context.rng("data"), context.pick(quick=256, full=2_048), 2)
    curves = []
    lines = {
        "β": ("weight $\\beta$, order 1", lambda v: (1.0, v)),
        "α": ("order $\\alpha$, weight 0.1", lambda v: (v, 0.1)),
    }
    for number, (name, (label, at)) in enumerate(context.each(lines.items())):
        found = [context.shared(_features_apart, *at(v), weights) for v in GAME_GRID]
        stated = [float(function(*at(v), 2, 1.0, 1.0)) for v in GAME_GRID]
        yield from _game_line(name, GAME_GRID, stated, found, WIDE, context, 4.0)
        levels = [float(one.levels.mean()) for one in found]
        curves += [
            curve(label, GAME_GRID, levels, style="markers", group=number),
            curve(
                f"stated: exponent {float(exponents(GAME_GRID, stated)):g}",
                GAME_GRID,
                [levels[0] * s / stated[0] for s in stated],
                "statement",
                group=number,
            ),
        ]
    yield panel("plateau of a cohort", "weight or order", "$\\|\\nabla L\\|^2$ (nats²)", *curves)


@check("monte-carlo", tests=2, cost=4.0)
def students(subject: ScalingSubject, context: Context) -> Found:
    """Is its exponent in the number of students the stated one?"""
    function = function_of(subject.game, alpha, beta, gain.students, scaling.own, scaling.constant)
    count = context.pick(quick=768, full=4_096)
    peers = tuple(float(size - 1) for size in SIZES)
    curves = []
    lines = (
        ("K-1, a student with the data of all", "data of all", _all_data, 0, peers),
        ("K/(K-1), students alike", "students alike", _alike, 1, tuple(size / (size - 1) for size in SIZES)),
    )
    for number, (name, label, cohorts, own, x) in enumerate(context.each(lines)):
        found = context.shared(_by_size, cohorts, count, context.rng("data"))
        stated = [float(function(1.0, SMALL, size, own, 1.0)) for size in SIZES]
        yield from _game_line(name, x, stated, found, SIZES_WIDE, context, 10.0)
        levels = [float(one.levels.mean()) for one in found]
        curves += [
            curve(label, peers, [level / levels[0] for level in levels], style="markers", group=number),
            curve(f"stated, {label}", peers, [s / stated[0] for s in stated], "statement", group=number),
        ]
    yield panel("plateau, more peers", "peers $K-1$", "mean $\\|\\nabla L\\|^2$, relative", *curves)


CLAIM = Claim(
    id="E2",
    title="Scaling",
    message="A cohort's plateau grows with the squares of order and weight",
    meaning=(
        "The plateau does not depend on the step if there is a bias, and falls with it if there is none. In a "
        "cohort it grows with the squares of weight and order, and depends on the number of peers."
    ),
    matters="It tells how each knob of mutual learning moves the level at which students stop.",
    direction="equality",
    subject=ScalingSubject(PLATEAU, COHORT),
    statement=statement,
    assumptions=(
        *settling.ASSUMPTIONS,
        *(told for told in scaling.ASSUMPTIONS if told not in settling.ASSUMPTIONS),
        "inside a well whose curvature is Λ, for small noise and bias",
        "cohort: stationary students near consensus, whose optima are independent and whose Hessians agree with the "
        "Fisher matrix of their peers (to first order in αβ)",
        "experiments: linear softmax students whose samples weigh 0.9 or 1.1 at random in their base losses; β and α "
        "vary up to 0.02 for two with different features (β = 0.1 where α varies, α = 1 where β does), K up to 9 at "
        "α = 1, β = 0.005",
    ),
    source=Source("this toolkit; the game is that of Huang et al. 2023", "2209.05732", own=True),
    checks=(
        kernel_check(_derivation, cost=0.5),
        game, students, plateaus,
    ),
    controls=(
        Control("bias-in-step", "all in proportion to the step", ScalingSubject(descent.h * PLATEAU, COHORT),
             drawn=True),
        Control("root", "the noise's part grows like its deviation",
             ScalingSubject(descent.Z**2 + descent.h * descent.sigma / (2 - descent.h), COHORT)),
        Control("linear-game", "the cohort's plateau grows like α and β",
             ScalingSubject(PLATEAU, COHORT / (alpha * beta)), drawn=True),
        Control("no-averaging", "the number of peers does not matter",
             ScalingSubject(PLATEAU, COHORT.subs(gain.students, 2)), drawn=True),
        Control("averaged-away", "more peers remove the plateau of students alike",
             ScalingSubject(PLATEAU, COHORT.subs(gain.students, 2) / (gain.students - 1))),
    ),
    caption=(
        "Left: the plateau of a cohort grows with the squares of weight and order. Middle: a student that has "
        "everyone's data loses its plateau as its peers become many; students that are alike lose half of theirs. "
        "Right: the plateau in a well of a nonconvex problem. With bias it does not depend on the step size; without "
        "bias it grows in proportion."
    ),
    in_code="convergence.train_cohort",
)  # fmt: skip
