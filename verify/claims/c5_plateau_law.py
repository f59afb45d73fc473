"""C5: the plateau law, on students trained by mutual learning on real data."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Integer

from convergence import (
    Assumptions,
    CohortTrajectory,
    MutualLearning,
    StationaryPoint,
    find_stationary,
    sharp_bound,
    simulate,
    train_cohort,
)
from convergence.data import game_data
from rdml_theory import symbolic
from rdml_theory.symbolic.mutual.plateau import ASSUMPTIONS, BASE_NORM, MUTUAL_NORM, beta, plateau_target
from verify.checks import at_most, curve, function_of, kernel_check, panel
from verify.checks.mutual import central_slope
from verify.claim import Claim, Context, Control, Found, Panel, Source, Statement, check

ORDERS = (0.25, 0.5, 1.0, 2.0)
STEPS = 3_000
BATCH, REPLICAS = 256, 8
DRAWN = 2.0
"""The order of the figure's runs."""

HALVES = ("upper half", "lower half")
Array = NDArray[np.float64]

CLOSE = 0.02
"""How well the law must hold at a stationary point, where the update is below 1% of the mutual gradient."""

NEAR = 0.2
"""How near 3000 gradient steps must have come, at every order: at the smallest ones they are still on their way."""

AVERAGED = 0.25
"""The same for gradients averaged over the second half of a mini-batch run."""

GROWTH = 0.8
"""The squared norm of the plateau at an order over that at twice the order, at most."""


def statement(right_side: Expr) -> Statement:
    return Statement(
        "At a stationary point θ of the cohort, {law} for every student, f its base loss and R its mutual loss",
        {"law": plateau_target(right_side).relation()},
    )


def _stated(right_side: Expr, mutual: np.ndarray) -> np.ndarray:
    """What the statement says ‖∇L‖ is, given β‖∇R‖ (trained with β = 1)."""
    law = function_of(right_side, beta, MUTUAL_NORM)
    return np.array([float(law(1.0, m)) for m in mutual])


def _samples(context: Context) -> int:
    """How many of the digits students are trained on, the first ones."""
    return context.pick(quick=900, full=1797)


def _cohort(alpha: float, samples: int = 1797) -> tuple[MutualLearning, float]:
    """Two linear softmax students, one on each half of the digits, and the step 1/Λ of the less smooth one."""
    halves, labels, _ = game_data("digits", 2)
    cohort = MutualLearning([half[:samples] for half in halves], labels[:samples], alpha=alpha)
    return cohort, 1 / cohort.smoothness


def _bound(smoothness: float, gap: float, noise: float, bias: float, step: float, steps: float) -> float:
    """The sharp bound of A² with the measured Z² and σ²; the base loss is at least zero."""
    at = Assumptions(smoothness=smoothness, gap=float(gap), noise=float(noise), bias=float(bias))
    return float(sharp_bound(at, step, float(steps)))


def _bounds(cohort: MutualLearning, run: CohortTrajectory, student: int, rows: Any = slice(None)) -> Array:
    """The sharp bound at each record, from the replicas' means."""
    noise, bias = (a[:, :, student].mean(axis=1) for a in (run.mean_noise, run.mean_mutual))
    constants = cohort.student_smoothness[student], run.first_loss[student]
    parts = zip(noise[rows], bias[rows], run.times[rows], strict=True)
    return np.array([_bound(*constants, n, b, run.step, t) for n, b, t in parts])


def _off(right_side: Expr, base: np.ndarray, mutual: np.ndarray) -> np.ndarray:
    """|‖∇L‖/stated - 1|, infinite where the statement says zero."""
    stated = _stated(right_side, mutual)
    return np.abs(np.divide(base, stated, out=np.full_like(stated, np.inf), where=stated > 0) - 1)


@check("training", id="full-gradient", cost=5.0)
def full_gradient(right_side: Expr, context: Context) -> Found:
    """Do base and mutual gradient meet after 3000 full-gradient steps, below the sharp bound?

    The quick profile takes the least and the greatest order; where they are at rest it takes all.
    """
    for alpha in context.each(context.pick(quick=(ORDERS[0], ORDERS[-1]), full=ORDERS)):
        cohort, step = _cohort(alpha, _samples(context))
        run = context.shared(train_cohort, cohort, step=step, steps=STEPS)
        off = _off(right_side, np.sqrt(run.base[-1, 0]), np.sqrt(run.mutual[-1, 0]))
        for k, half in enumerate(HALVES):
            setting = f"α = {alpha:g}, {half}"
            yield at_most(f"|‖∇L‖/stated - 1| after {STEPS} steps, {setting}", float(off[k]), NEAR)
            name = f"A² against the sharp bound with measured Z², {setting}"
            yield at_most(name, float(run.mean_base[-1, 0, k]), _bounds(cohort, run, k)[-1])
        if alpha == DRAWN:
            yield _over_training(f"full gradients, $\\alpha$ = {alpha:g}", right_side, cohort, run)


def _stationary(alpha: float) -> StationaryPoint:
    cohort, step = _cohort(alpha)
    warm = simulate(cohort, step=step, steps=300, replicas=1, seed=0, record=1)
    return find_stationary(cohort, warm.final[0], tolerance=0.01)


def _slope_error(alpha: float, point: StationaryPoint, rng: np.random.Generator) -> float:
    """Gradients along a random direction against differences of the losses, peers held constant: relative error."""
    cohort, _ = _cohort(alpha)
    worst = 0.0
    for gradient, losses in zip(cohort.gradients(point.x), (cohort.base_losses, cohort.mutual_losses), strict=True):
        for k, own in enumerate(cohort.players):
            direction = np.zeros(cohort.dim)
            direction[own] = rng.standard_normal(own.stop - own.start)
            direction /= np.linalg.norm(direction)
            slope = central_slope(lambda e, k=k, v=direction, f=losses: float(f(point.x + e * v)[k]))
            error = abs(slope - float(gradient @ direction)) / float(np.linalg.norm(gradient[own]))
            worst = max(worst, error)
    return worst


@check("training", cost=4.0)
def stationary(right_side: Expr, context: Context) -> Found:
    """Where Newton's method makes the update vanish, do the two norms agree, and does the plateau grow with α?"""
    points: dict[float, StationaryPoint] = {}
    for alpha in context.each(ORDERS):
        point = points[alpha] = context.shared(_stationary, alpha)
        left = float((point.residual / point.mutual).max())
        yield at_most(f"update over mutual gradient where Newton's method ended, α = {alpha:g}", left, 0.01)
        off = _off(right_side, point.base, point.mutual)
        slope = context.shared(_slope_error, alpha, point, context.rng("slope", alpha))
        yield at_most(f"∇L and ∇R against differences of L and R, α = {alpha:g}", slope, 1e-6)
        for k, half in enumerate(HALVES):
            yield at_most(f"|‖∇L‖/stated - 1| there, α = {alpha:g}, {half}", float(off[k]), CLOSE)
    for k, half in enumerate(HALVES):
        levels = [float(points[alpha].base[k] ** 2) for alpha in ORDERS]
        ratio = max(a / b for a, b in pairwise(levels))
        yield at_most(f"plateau at an order over that at the next larger one, {half}", ratio, GROWTH)
    curves = []
    for k, half in enumerate(HALVES):
        levels = [points[alpha].base[k] ** 2 for alpha in ORDERS]
        stated = [_stated(right_side, points[alpha].mutual)[k] ** 2 for alpha in ORDERS]
        curves.append(curve(f"$\\|\\nabla L\\|^2$, {half}", ORDERS, levels, style="markers", group=k))
        curves.append(curve(f"what the law says, {half}", ORDERS, stated, "statement", group=k))
    yield panel("plateau against order", "order $\\alpha$", "squared norm (nats²)", *curves)


def _mini_batch_runs(alpha: float, samples: int, steps: int, seed: int) -> CohortTrajectory:
    cohort, step = _cohort(alpha, samples)
    return train_cohort(cohort, step=step, steps=steps, batch=BATCH, replicas=REPLICAS, every=50, record=24, seed=seed)


@check("training", id="mini-batch", cost=3.0)
def mini_batches(right_side: Expr, context: Context) -> Found:
    """With mini-batches, do the averaged gradients meet at orders that settle soon, and does A² obey the bound?"""
    samples, steps = _samples(context), context.pick(quick=1_000, full=10_000)
    for alpha in context.each(context.pick(quick=ORDERS[2:], full=ORDERS)):
        cohort, _ = _cohort(alpha, samples)
        seed = context.seed_for(alpha)
        run = context.shared(_mini_batch_runs, alpha, samples, steps, seed)
        for k, half in enumerate(HALVES):
            # So few replicas do not support a confidence bound at the error rate of a run: this describes them.
            measured = zip(run.mean_noise[-1, :, k], run.mean_mutual[-1, :, k], strict=True)
            constants = cohort.student_smoothness[k], run.first_loss[k]
            bounds = [_bound(*constants, noise, bias, run.step, steps) for noise, bias in measured]
            worst = float((run.mean_base[-1, :, k] / bounds).max())
            name = f"A² over the sharp bound, greatest of {REPLICAS} replicas, described, α = {alpha:g}, {half}"
            yield at_most(name, worst, 1.0, samples=REPLICAS)
            if alpha in ORDERS[2:]:
                means = (run.drift_base[:, k].mean(keepdims=True), run.drift_mutual[:, k].mean(keepdims=True))
                name = f"|‖mean ∇L‖/stated - 1|, mean of {REPLICAS} replicas, described, α = {alpha:g}, {half}"
                yield at_most(name, float(_off(right_side, *means)[0]), AVERAGED, samples=REPLICAS)
        if alpha == DRAWN:
            title = f"mini-batches of {BATCH}, $\\alpha$ = {alpha:g}"
            yield _over_training(title, right_side, cohort, run)


def _over_training(title: str, right_side: Expr, cohort: MutualLearning, run: CohortTrajectory) -> Panel:
    """The first student over training, means over replicas; with mini-batches both gradients fluctuate."""
    base, times = run.base[:, :, 0], run.times
    # Full gradients may be taken now and then only: the averages exist from the first of them on.
    rows = np.flatnonzero(run.mean_base[:, :, 0].all(axis=1))
    stated = np.stack([_stated(right_side, np.sqrt(row)) ** 2 for row in run.mutual[:, :, 0]]).mean(axis=1)
    law = "mutual gradient $\\beta^2\\|\\nabla R\\|^2$: where the law says it ends"
    bounds = _bounds(cohort, run, 0, rows)
    return panel(
        title, "steps", "squared norm (nats²)",
        curve("base gradient $\\|\\nabla L\\|^2$", times, base.mean(axis=1), band=(base.min(axis=1), base.max(axis=1))),
        curve(law, times, stated, "statement"),
        curve("running mean $A^2$ of the base gradient", times[rows], run.mean_base[rows, :, 0].mean(axis=1), "second"),
        curve("C2 bound of $A^2$ with measured bias and noise", times[rows], bounds, "reference"),
    )  # fmt: skip


CLAIM = Claim(
    id="C5",
    title="Plateau law",
    message="Students rest where the two gradients are equally long",
    meaning=(
        "Where mutual learning comes to rest, the gradient of the student's own loss is exactly as long as β times "
        "that of the mutual loss. The two pull against each other and neither vanishes."
    ),
    matters="It tells how steep a student's own loss still is where its training comes to rest.",
    direction="equality",
    subject=beta * MUTUAL_NORM,
    statement=statement,
    assumptions=(
        *ASSUMPTIONS,
        "K students, each with the update θ ← θ - η(∇f + β∇R), peers held constant in R; where all stand still the law "
        "is an identity, and the experiment is whether training gets there",
        "experiment: two linear softmax students, each on half of the pixels of scikit-learn's digits (in the quick "
        "profile trained on the first 900), β = 1, η = 1/Λ",
    ),
    source=Source("this toolkit; the setting is that of Huang et al. 2023", "2209.05732", own=True),
    checks=(
        kernel_check(symbolic.plateau_law),
        full_gradient,
        mini_batches,
        stationary,
    ),
    controls=(
        Control("half-beta", "half of β in the law", beta / 2 * MUTUAL_NORM, drawn=True),
        Control("no-bias", "the base gradient vanishes: no bias", Integer(0) * BASE_NORM),
    ),
    caption=(
        "Two students trained by mutual learning on halves of handwritten digits. Left and middle (the student of the "
        "upper halves): the base gradient falls until it meets the mutual gradient and stays there, and its running "
        "mean below the sharp bound with the measured bias; mini-batches add noise to both. Right: where the students "
        "stand still, at each order."
    ),
    in_code="convergence.find_stationary",
)
