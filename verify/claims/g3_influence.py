"""G3: the order bounds how far a peer can pull, which the weight alone cannot without losing the gain."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, sqrt, tanh

from convergence import Envelope
from rdml_theory import renyi_gradient
from rdml_theory.symbolic import notation
from rdml_theory.symbolic.divergence import names
from rdml_theory.symbolic.mutual import influence as symbolic
from verify.checks import at_most, curve, cut_mean, function_of, judged, kernel_check, panel
from verify.checks.samples import Task
from verify.claim import Claim, Comparison, Context, Control, Found, Panel, Source, Statement, check

Array = NDArray[np.float64]

TASK = Task()
GOOD, SIZE, COHORTS = 3, 4_000, 256
ORDERS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
FIRM = 1_000.0
"""How much more a frozen peer heeds its labels than its peers."""

EQUAL = 1e-3
"""Excess risks are called equal within this part of their sum."""


@dataclass(frozen=True)
class Subject:
    """What the pull of a peer is at most, in c = αβ, α and ρ."""

    right_side: Expr

    def pull(self, alpha: float, rho: Any, product: float = 1.0) -> Any:
        """Its value."""
        bound = function_of(self.right_side, symbolic.product, notation.alpha, names.rho)
        return bound(product, alpha, rho) * np.ones_like(rho)


def statement(subject: Subject) -> Statement:
    words = (
        "At a fixed product {c} = αβ the pull of a peer on the student's logits is bounded, {bound}, attained, for a "
        "range ρ of its log-ratio; it falls strictly in the order, and its slope at consensus, √2{c}/4, does not "
        "depend on it: far peers pull with √2{c}/α at most. With a frozen peer that is wrong, the excess risk of good "
        "students falls with the order"
    )
    return Statement(words, {"c": symbolic.product, "bound": symbolic.influence_target(subject.right_side).relation()})


@check("numeric")
def pulls(subject: Subject, context: Context) -> Found:
    """Is the pull bounded so, and does the worst pair reach it at every order?"""
    rng, worst = context.rng("pairs"), 0.0
    count = context.pick(quick=4_000, full=200_000)
    for alpha in ORDERS:
        u, z = rng.normal(size=(2, count, 4)) * 10 ** rng.uniform(-2, 1, (count, 1))
        rho = np.ptp(u - z, axis=1)
        found = np.linalg.norm(renyi_gradient(u, z, alpha, wrt="q", domain="logits"), axis=1) / alpha
        worst = max(worst, float((found / subject.pull(alpha, rho)).max()))
        spread = np.array([0.01, 0.5, 2.0, 8.0])
        # Two classes, the student's log-odds -αρ/2, the peer's larger by ρ.
        student = np.column_stack([-alpha * spread / 2, 0 * spread])
        peer = student + np.column_stack([spread, 0 * spread])
        reached = np.linalg.norm(renyi_gradient(peer, student, alpha, wrt="q", domain="logits"), axis=1) / alpha
        ratio = reached / subject.pull(alpha, spread)
        yield at_most(f"|worst pair over stated - 1|, α = {alpha:g}", float(np.abs(ratio - 1).max()), 1e-9)
    yield at_most("greatest pull of random pairs over stated", worst, 1 + 1e-12, samples=7 * count)
    grid = np.geomspace(0.01, 100, 200)
    fall = max(float((subject.pull(b, grid) / subject.pull(a, grid)).max()) for a, b in pairwise(ORDERS))
    yield at_most("greatest ratio of what is stated at twice the order", fall, 1 - 1e-9)


@dataclass(frozen=True)
class Beside:
    """Good students beside a wrong peer, by the order: excess risks (cohort,), and the pulls of the peer with ρ."""

    excess: dict[float, Array]
    rho: dict[float, Array]
    pull: dict[float, Array]


def _beside(weights: Array, firm: float) -> Beside:
    excess, rho, pull = {}, {}, {}
    for alpha, found in TASK.beside_wrong_peer(weights, ORDERS, 1.0, firm=firm).items():
        if found.left > 1e-4:
            raise RuntimeError(f"cohorts at α = {alpha} are not at rest: an update of {found.left} is left")
        excess[alpha] = TASK.excess(found, slice(0, GOOD))
        # The first good student and the wrong peer, in the first cohort, at every point.
        student, peer = (TASK.gaps(found, slice(k, k + 1))[0, 0] + TASK.odds for k in (0, GOOD))
        u, z = (np.column_stack([odds / 2, -odds / 2]) for odds in (peer, student))
        rho[alpha] = np.abs(peer - student)
        pull[alpha] = np.linalg.norm(renyi_gradient(u, z, alpha, wrt="q", domain="logits"), axis=1) / alpha
    return Beside(excess, rho, pull)


def _clean(weights: Array, alpha: float, weight: float) -> Array:
    """Excess risks of four good students."""
    found = TASK.settle(weights, alpha, weight, iterations=60, part=0.5)
    return TASK.excess(found)


def _compared(name: str, before: Array, after: Array, context: Context, most: float) -> Comparison:
    """The mean of (a - b)/(a + b), which is in [-1, 1] for risks, since these are positive: at most 0, or nothing."""
    return judged(
        f"{name}: none" if most else name, (after - before) / (after + before), most, context.error_rate,
        least=-most if most else None, envelope=Envelope(lower=-1.0, upper=1.0),
    )  # fmt: skip


@check("monte-carlo", tests=len(ORDERS) + 1, cost=1.0)
def wrong_peer(subject: Subject, context: Context) -> Found:
    """Do good students suffer less from a wrong peer, the greater the order?

    Three good students and a frozen peer that is confidently wrong, with the same samples at every order.
    """
    weights = TASK.draws(context.rng("samples"), COHORTS, GOOD + 1, SIZE)
    frozen = context.shared(_beside, weights[:, :GOOD], FIRM)
    moving = context.shared(_beside, weights[:, :GOOD], 1.0)
    far = np.array([10.0])
    for low, high in pairwise(ORDERS):
        between = f"from α = {low:g} to {high:g}"
        name = f"change of the excess risk beside a frozen wrong peer, over the sum of both, {between}"
        falls = float(subject.pull(high, far)[0]) < float(subject.pull(low, far)[0])
        yield _compared(name, frozen.excess[low], frozen.excess[high], context, 0.0 if falls else EQUAL)
    ratio = max(float((frozen.pull[a] / subject.pull(a, frozen.rho[a])).max()) for a in ORDERS)
    yield at_most("greatest pull of the wrong peer over stated", ratio, 1 + 1e-12)
    # The weight that bounds KL's pull as α = 16 does, against students alone.
    alone = context.shared(_clean, weights, 1.0, 0.0)
    kl, high = (context.shared(_clean, weights, a, 1 / 16) for a in (1.0, 16.0))
    name = "good peers, β = 1/16: four times the gain of KL less the gain at α = 16, over d/2n"
    lost = (4 * (alone - kl) - (alone - high)) / (TASK.dim / (2 * SIZE))
    yield cut_mean(name, lost, (-1.0, 1.0), 0.0, context.error_rate)
    name = "a wrong peer that moves: the excess risk at α = 1/2 less that at α = 1, over the sum of both"
    yield _compared(name, moving.excess[1.0], moving.excess[0.5], context, 0.0)
    yield from _panels(subject, frozen, moving, kl, high)


def _panels(subject: Subject, frozen: Beside, moving: Beside, kl: Array, high: Array) -> tuple[Panel, ...]:
    grid = np.geomspace(0.05, 60, 120)
    curves = [curve("KL with $\\beta$ = 1/16", grid, subject.pull(1.0, grid, 1 / 16), "reference")]
    for number, alpha in enumerate((1.0, 4.0, 16.0)):
        label = f"$\\alpha$ = {alpha:g}"
        curves.append(curve(f"bound, {label}", grid, subject.pull(alpha, grid), "statement", group=number))
        curves.append(
            curve(f"wrong peer, {label}", frozen.rho[alpha], frozen.pull[alpha],
                  ("measured", "second", "measured")[number], style="markers", group=number)
        )  # fmt: skip
    first = panel(
        "pull of a peer at $\\alpha\\beta$ = 1", "range $\\rho$ of the log-ratio", "$\\beta\\|q-w\\|_2$", *curves
    )
    unit = TASK.dim / (2 * SIZE)

    def line(label: str, found: Beside, role: Any) -> Any:
        levels = np.array([found.excess[a].mean() for a in ORDERS]) / unit
        return curve(label, ORDERS, levels, role, style="both")

    second = panel(
        "three good students and a wrong peer, $\\alpha\\beta$ = 1", "order $\\alpha$", "excess risk over $d/2n$",
        line("wrong peer, frozen", frozen, "measured"),
        line("wrong peer that moves", moving, "second"),
        curve("a student alone", ORDERS, 1.0, "reference"),
        curve("four good students, $\\alpha$ = 16, $\\beta$ = 1/16", (16.0,), (high.mean() / unit,), "measured",
              style="markers", group=1),
        curve("four good students, KL, $\\beta$ = 1/16", (1.0,), (kl.mean() / unit,), "second", style="markers",
              group=1),
    )  # fmt: skip
    return first, second


_X = names.rho / 4

CLAIM = Claim(
    id="G3",
    title="Bounded influence",
    message="The order bounds what a wrong peer can do",
    meaning=(
        "At a fixed product of order and weight, near peers pull equally hard at every order, and far peers pull less "
        "at a larger one. A weight alone cannot do that: made small enough to tame a bad peer, it no longer averages "
        "good ones."
    ),
    matters=("It is what the order is for: it bounds the harm that a wrong peer can do."),
    direction="tight",
    subject=Subject(symbolic.INFLUENCE),
    statement=statement,
    assumptions=(
        *symbolic.INFLUENCE_ASSUMPTIONS,
        "α in (0, ∞), p and q positive; that the bound falls strictly is for ρ > 0",
        "experiment: logistic students with samples of 4000, a peer whose log-odds are minus three times the true ones",
        "a peer that moves is pulled over at small orders and large weights, and there the risk does not fall with α",
    ),
    source=Source("this toolkit; bounded influence as in Huber 1964", own=True),
    checks=(kernel_check(lambda subject: symbolic.influence(subject.right_side)), pulls, wrong_peer),
    controls=(
        Control("half", "half of the bound", Subject(symbolic.INFLUENCE / 2), drawn=True),
        Control(
            "weight",
            "the order plays no part: the pull of KL at the weight c",
            Subject(sqrt(2) * symbolic.product * tanh(_X)),
        ),
        Control("range", "no division by the order", Subject(symbolic.INFLUENCE * notation.alpha)),
    ),
    caption=(
        "Left: at a fixed product, the greatest pull of a peer against its distance, for several orders, with the "
        "pulls of a wrong peer; KL at the weight that is as robust pulls less near consensus too. Right: what a wrong "
        "peer costs good students falls with the order if it is frozen; what they gain from good peers at α = 16 and "
        "with KL."
    ),
    in_code="convergence.recipe",
)
