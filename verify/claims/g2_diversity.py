"""G2: no gain without diversity: what samples have in common gains nothing, and with the same data nothing changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sympy import Expr

from convergence import MutualLearning, find_stationary, simulate
from rdml_theory import renyi_gradient
from rdml_theory.symbolic import notation
from rdml_theory.symbolic.mutual import gain as symbolic
from rdml_theory.symbolic.mutual.plateau import beta
from verify.checks import Worst, close_to, curve, function_of, kernel_check, panel
from verify.checks.samples import Task
from verify.claim import Claim, Context, Control, Found, Source, Statement, check

Array = NDArray[np.float64]

TASK = Task()
STUDENTS, SIZE = 4, 16_000
SHARES = (0.0, 0.25, 0.5, 1.0)
PAIRS = ((2.0, 0.5), (0.5, 4.0))
TOLERANCE = 0.015

ORDERS, WEIGHTS = (0.25, 1.0, 4.0), (0.5, 4.0)
AGREED = 1e-6
"""How near the log-odds of students with the same data come to those of one alone."""


@dataclass(frozen=True)
class Subject:
    """The excess risk with a common share of the data; and for which losses the same data shall change nothing.

    ``any_order``: for any number of students, too, not for two alone.
    """

    right_side: Expr
    convex: bool = True
    any_order: bool = False

    def ratio(self, alpha: float, weight: float, share: float) -> float:
        """The excess risk over that of a student alone."""
        law = function_of(self.right_side, notation.alpha, beta, symbolic.students, symbolic.lone, symbolic.share)
        return float(law(alpha, weight, float(STUDENTS), 1.0, share))


def statement(subject: Subject) -> Statement:
    words = (
        "Students of one model whose errors have the correlation {kappa}, as with samples of which the share {kappa} "
        "is common, have at rest the excess risk {law}, that of a student alone, {r}, for {kappa} = 1. With one {kind} "
        "loss for all, two students at rest are where each would be alone, {alike}, for every order and weight, and "
        "any number of students {orders}: {all}"
    )
    words = words.replace("{kind}", "strongly convex" if subject.convex else "smooth")
    words = words.replace("{orders}", "too" if subject.any_order else "at α = 1")
    law = symbolic.gain_target(subject.right_side).relation()
    return Statement(words, {
        "kappa": symbolic.share, "law": law, "r": symbolic.lone, "alike": symbolic.alike_target().relation(),
        "all": symbolic.all_alike_target().relation(),
    })  # fmt: skip


def _weights(rng: np.random.Generator, share: float, cohorts: int) -> Array:
    """Samples of which a share is the same for all students."""
    common = round(share * SIZE)
    parts = [np.zeros((cohorts, STUDENTS, 2 * TASK.points))]
    if common:
        parts.append(np.repeat(TASK.draws(rng, cohorts, 1, common), STUDENTS, axis=1) * common / SIZE)
    if common < SIZE:
        parts.append(TASK.draws(rng, cohorts, STUDENTS, SIZE - common) * (1 - common / SIZE))
    return np.sum(parts, axis=0)


def _risk(weights: Array, alpha: float, weight: float, share: float) -> Array:
    return TASK.risk(weights, alpha, weight, SIZE, common=share)


@check("monte-carlo", id="common", tests=len(PAIRS) * len(SHARES), cost=1.0)
def common_data(subject: Subject, context: Context) -> Found:
    """Do logistic students with common data have this excess risk?"""
    cohorts = context.pick(quick=1_024, full=4_096)
    curves = []
    for number, (alpha, weight) in enumerate(context.each(PAIRS)):
        levels = []
        for share in SHARES:
            weights = _weights(context.rng(share), share, cohorts)
            values = context.shared(_risk, weights, alpha, weight, share)
            stated = subject.ratio(alpha, weight, share)
            name = f"excess risk over d/2n, common share {share:g}, α = {alpha:g}, β = {weight:g}"
            yield close_to(name, values, stated, TOLERANCE, context.error_rate, cut=20.0)
            levels.append(float(values.mean()))
        grid = np.linspace(0, 1, 21)
        stated_line = [subject.ratio(alpha, weight, float(s)) for s in grid]
        label = f"$\\alpha\\beta$ = {alpha * weight:g}"
        curves += [
            curve(f"law, {label}", grid, stated_line, "statement", group=number),
            curve(label, SHARES, levels, ("measured", "second")[number], style="markers", group=number),
        ]
    labels = (f"logistic students, $K$ = {STUDENTS}", "share of the data in common", "excess risk over $d/2n$")
    yield panel(*labels, *curves, log="")


def _odds(game: MutualLearning, x: Array) -> Array:
    """Log-odds of every student on all samples, (student, sample)."""
    return np.array([z[:, 0] - z[:, 1] for z in game.logits(x)])


def _convex(seed: int, students: int, alpha: float, weight: float) -> float:
    """The greatest difference of log-odds between students at rest and one alone, from a random start, one sample."""
    rng = np.random.default_rng(seed)
    weights = np.repeat(TASK.draws(rng, 1, 1, 300)[0], students, axis=0)
    game = TASK.game(weights, alpha, weight)
    alone = TASK.game(weights[:1], alpha, 0.0)
    one = find_stationary(alone, alone.start, tolerance=0.0, iterations=12)
    step = 1 / ((1 + weight * max(1.0, alpha)) * game.smoothness)
    near = simulate(game, step=step, steps=100, replicas=1, seed=0, record=1, start=rng.normal(size=game.dim)).final[0]
    rest = find_stationary(game, near, tolerance=0.0, iterations=25)
    if float(rest.residual.max()) > 1e-7:
        raise RuntimeError(f"K = {students}, α = {alpha}, β = {weight}: Newton's method did not converge")
    return float(np.abs(_odds(game, rest.x) - _odds(alone, one.x)).max())


def _two_layers(seed: int) -> float:
    """How far networks with the same data end from where each would alone, after training from the same weights."""
    rng = np.random.default_rng(seed)
    weights = np.repeat(TASK.draws(rng, 1, 1, 300)[0], 2, axis=0)
    features = np.repeat(TASK.inputs, 2, axis=0)
    game = MutualLearning([features] * 2, np.tile([0, 1], TASK.points), alpha=2.0, beta=1.0, hidden=3, weights=weights)
    start = rng.normal(size=game.dim)
    ends = [
        simulate(one, step=0.5 / game.smoothness, steps=1500, replicas=1, seed=0, record=1, start=start).final[0]
        for one in (game, game.replaced(beta=0.0))
    ]
    return float(np.abs(_odds(game, ends[0]) - _odds(game, ends[1])).max())


@dataclass(frozen=True)
class Apart:
    """Three students of one quadratic loss, with one logit on each of three samples, (student, sample).

    Attributes
    ----------
    logits, minimiser, hessian : ndarray
        Their parameters θ, and the loss (θ - ψ)ᵀH(θ - ψ)/2.
    share : ndarray
        Of the samples in the mutual loss.
    order : float
        α; the weight is one.
    """

    logits: Array
    minimiser: Array
    hessian: Array
    share: Array
    alpha: float

    def forces(self, logits: Array) -> Array:
        """The gradients of all students' losses, with the pulls of their peers."""
        return (logits - self.minimiser) @ self.hessian + self.share * _pulls(logits, self.alpha)


def _pulls(logits: Array, alpha: float) -> Array:
    z = np.stack([logits, np.zeros_like(logits)], axis=-1)
    each = [[renyi_gradient(u, v, alpha, wrt="q", domain="logits")[:, 0] for u in z] for v in z]
    return np.sum(each, axis=1) / (len(logits) - 1)


def three_apart() -> Apart:
    """Students at rest apart: H and ψ are solved for at logits that were searched for."""
    logits, alpha = np.array([[-47.0, -5.0, -25.0], [18.0, -74.0, 39.0], [-1.0, 12.0, 2.0]]), 0.1
    pulls = _pulls(logits, alpha)
    # H(θ_k - ψ) = -pulls has a solution H if, and only if, the changes of both sides have a symmetric product.
    apart, turned = logits[1:] - logits[0], -(pulls[1:] - pulls[0])
    skew = apart[0] * turned[1] - apart[1] * turned[0]
    share = np.array([-(skew[1] + 0.9 * skew[2]) / skew[0], 1.0, 0.9])
    moved, beside = share * turned, np.cross(apart[0], apart[1])
    hessian = moved.T @ np.linalg.solve(apart @ moved.T, moved) + np.outer(beside, beside) / (beside @ beside)
    minimiser = logits[0] + np.linalg.solve(hessian, share * pulls[0])
    return Apart(logits, minimiser, hessian, share, alpha)


def _three_off() -> float:
    """How far the farthest of them is from the minimiser, all being at rest."""
    found = three_apart()
    if np.abs(found.forces(found.logits)).max() > 1e-9:
        raise RuntimeError("three students of a quadratic loss did not converge")
    return float(np.linalg.norm(found.logits - found.minimiser, axis=1).max())


@check("training", id="same", cost=2.0)
def same_data(subject: Subject, context: Context) -> Found:
    """From any start, do students with the same data come to rest where each would alone?"""
    worst = Worst()
    for students in (2, 4):
        for alpha in ORDERS:
            for weight in WEIGHTS:
                seed = context.seed_for(students, alpha, weight) % 2**32
                off = context.shared(_convex, seed, students, alpha, weight)
                worst.see(f"log-odds at rest less those alone, K = {students}", off, AGREED)
    worst.see("pull that leads away from a peer, <z - u, w - q>", context.shared(_away, context.rng("pairs")), 0.0)
    if not subject.convex:
        moved = context.shared(_two_layers, context.seed_for("two layers") % 2**32)
        worst.see("log-odds after training less those alone, two-layer students", moved, AGREED)
    if subject.any_order:
        worst.see("three students of a quadratic loss at rest, from its minimiser", _three_off(), AGREED)
    yield from worst.comparisons()


def _away(rng: np.random.Generator) -> float:
    """The greatest ⟨z - u, w - q⟩ of random pairs, students z and peers u, and orders; 0 where none is positive."""
    u, z = rng.normal(size=(2, 5_000, 4)) * 10 ** rng.uniform(-2, 1, (5_000, 1))
    alpha = 10 ** rng.uniform(-1.5, 1.5, 5_000)
    pull = renyi_gradient(u, z, alpha, wrt="q", domain="logits")
    return float(max((-(z - u) * pull).sum(axis=1).max(), 0.0))


CLAIM = Claim(
    id="G2",
    title="No gain without diversity",
    message="From data that they share, students gain nothing",
    meaning=(
        "Only what their data do not have in common counts in the gain law (G1). With the same data and a convex "
        "loss, students end where each would alone."
    ),
    matters=(
        "It tells beforehand where mutual learning cannot help, such as copies of one convex model on one data "
        "set."
    ),
    direction="equality",
    subject=Subject(symbolic.SHARED),
    statement=statement,
    assumptions=(
        *symbolic.ALIKE_ASSUMPTIONS,
        "the law: as G1",
        "the same loss: g and h are the gradients of the mutual losses of two students, whose logits are linear in the "
        "parameters θ and φ: ⟨z - u, q - w⟩ = (KL(q‖w) + KL(w‖q))/α is not negative, so that pulls lead to the peer",
        "more than two students: S is the mean over inputs of the logarithm of Σ exp z, convex in the parameters (D6); "
        "at α = 1 a peer j pulls student k with the difference of its gradients, ∇S(x_k) - ∇S(x_j)",
        "at other orders three students or more may also rest elsewhere, as three at α = 1/10 with a quadratic loss "
        "do, from where they move away when disturbed: no such point was found here for logistic losses",
        "networks: not covered; what they gain on the same data they owe to losses that are not convex, and to noise",
    ),
    source=Source("this toolkit", own=True),
    checks=(
        kernel_check(
            lambda subject: symbolic.shared_law(
                subject.right_side, convex=subject.convex, any_order=subject.any_order
            )
        ),
        common_data, same_data,
    ),
    controls=(
        Control("diverse", "the law of G1 whatever is common", Subject(symbolic.GAIN + 0 * symbolic.share), drawn=True),
        Control("linear", "the gain in proportion to what is not common",
                Subject(symbolic.share**2 * symbolic.lone + (1 - symbolic.share**2) * symbolic.GAIN)),
        Control("networks", "the same for all smooth losses", Subject(symbolic.SHARED, convex=False)),
        Control("any-order", "any number of students at every order", Subject(symbolic.SHARED, any_order=True)),
    ),
    caption=(
        "The excess risk of logistic students at rest, over that of a student alone, against the share of their data "
        "that is common: the gain vanishes with diversity."
    ),
)  # fmt: skip
