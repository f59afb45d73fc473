"""X1: what a student of mutual learning can be expected to reach: the sharp bound in its own terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sympy import Abs, Expr, Rational, sqrt

from convergence import Assumptions, BoxConstants, MutualLearning, Observed, cohort_bound, path_constants, simulate
from convergence.sgd import record_times
from rdml_theory.symbolic.divergence.self_bound import SATURATION
from rdml_theory.symbolic.divergence.sharp import SHARP_CONSTANT
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.mutual import composed, resting
from rdml_theory.symbolic.mutual.bias import jacobian
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import alpha
from rdml_theory.symbolic.sgd import descent
from rdml_theory.symbolic.sgd.single_runs import bound_target
from verify.checks import at_least, at_most, curve, function_of, implementation_check, kernel_check, panel
from verify.checks.mutual import resting as resting_game
from verify.checks.mutual import turning
from verify.claim import Claim, Comparison, Context, Control, Found, Panel, Source, Statement, check

Array = NDArray[np.float64]

GAMES: dict[str, dict[str, Any]] = {
    "linear students": {},
    "two-layer students": {"architecture": "two-layer"},
    "one of each": {"architecture": "mixed"},
    "irises": {"data": "iris"},
    "digits": {"data": "digits"},
    "networks, digits": {"data": "digits", "architecture": "two-layer"},
}
ORDERS = (0.25, 1.0, 4.0)
STEPS = {"digits": 12, "networks, digits": 12}
H = 0.9
"""Λη of the student with the greatest Λ."""

ROUNDING = 1e-9

LEAST = {0.25: 0.2, 1.0: 0.05, 4.0: 0.005}
"""What part of the bound on boxes networks on digits reach at least, by the order."""

BOXED_STEP = 0.3
"""η of the networks with constants of the boxes that they pass through: 13 times what Λ for all weights allows."""


@dataclass(frozen=True)
class Subject:
    """The bound of A, in terms of ζ = √2 βGτ; and the function that users call, or the formula itself."""

    right_side: Expr
    product: Callable[..., Any] | None = None

    @cached_property
    def _formula(self) -> Any:
        s = descent
        names = (s.h, s.eta, s.gap, s.sigma, s.horizon, beta, jacobian, resting.tau)
        return function_of(self.right_side, *names)

    def square(self, at: Assumptions, step: float, steps: float, weight: float, size: float, v: float) -> float:
        """The bound of A² where E‖q - w‖² is at most v = 2τ²."""
        values = (at.smoothness * step, step, at.gap, np.sqrt(at.noise), steps, weight, size, np.sqrt(v / 2))
        return float(self._formula(*values)) ** 2


def statement(subject: Subject) -> Statement:
    words = (
        "For every student of a cohort that moves all at once with one constant step, for {h} in (0, 2): {bound}, "
        "{tau} = tanh(αρ/4); with a V that bounds the mean of E‖q - w‖² over inputs, peers and steps, such as "
        "those of D8, D15 and D17, {general}; cohorts at rest reach the floor for {h} ≤ 1 (X2). With sub-Gaussian "
        "noise the level B of V3, with ζ = √2 βG{tau}, bounds each single run but for a probability δ: {single}. "
        "Where ‖∇f‖² ≥ 2μ(f - inf f) and F² < Δ, {last}, with the F and a of C9, in which P = βG{tau}/√μ"
    )
    bound, general = (composed.composed_target(side).relation() for side in (subject.right_side, composed.PULLED))
    single, last = bound_target().relation(), composed.last_target().relation()
    told = {"h": descent.h, "bound": bound, "tau": resting.tau, "general": general, "single": single, "last": last}
    return Statement(words, told)


_SATURATION = function_of(SATURATION, alpha, divergence)


def pulls(order: float, rho: float | None, mean: float | None) -> dict[str, float]:
    """The V of each claim."""
    forms = {}
    if rho is not None:
        forms["D7"] = 2 * np.tanh(order * rho / 4) ** 2
    if mean is not None:
        forms |= {"D8": max(1.0, order) * mean, "D15": float(_SATURATION(order, mean))}
        if order <= 0.5:
            forms["D17"] = float(SHARP_CONSTANT) * mean
    return forms


def least_pull(order: float, rho: float | None, mean: float | None) -> float:
    """The least V that the claims give."""
    return float(min(2.0, *pulls(order, rho, mean).values()))


def _compared(subject: Subject, rng: np.random.Generator) -> list[tuple[float, float]]:
    lam, gap, noise, weight, size = 10 ** rng.uniform(-2, 2, 5)
    order, rho, mean = 10 ** rng.uniform((-1.5, -2, -3), (1.5, 1.5, 1.5))
    steps, at = 10 ** rng.uniform(0, 6), Assumptions(smoothness=lam, gap=gap, noise=noise, bias=0.0)
    step = rng.uniform(0.01, 1.99) / lam
    out = []
    for known in ({"log_ratio_range": rho}, {"divergence": mean}, {"log_ratio_range": rho, "divergence": mean}):
        bound = cohort_bound(at, step, steps, alpha=order, beta=weight, jacobian=size, **known)
        v = least_pull(order, known.get("log_ratio_range"), known.get("divergence"))
        out.append((bound.total, subject.square(at, step, steps, weight, size, v)))
    return out


@dataclass(frozen=True)
class Run:
    """Students of a game while training: means over the steps so far, at some times, over (time, student).

    ``base``, ``bias``, ``divergence``: of ‖∇L‖², of ‖b‖² and of the divergence from the peers; ``spread``: the greatest
    ρ so far; ``loss`` at these times.
    """

    times: NDArray[np.int64]
    base: Array
    bias: Array
    divergence: Array
    spread: Array
    loss: Array
    assumptions: tuple[Assumptions, ...]
    jacobian: tuple[float, ...]
    step: float


@cache
def _game(name: str) -> MutualLearning:
    return MutualLearning(**GAMES[name])


def _trained(name: str, order: float, steps: int) -> Run:
    game = _game(name).replaced(alpha=order)
    step, times = H / game.smoothness, record_times(steps, 16)
    path, base, bias = [], [], []

    def see(seen: Observed) -> None:
        if seen.sample is not None:
            path.append(seen.x[0].copy())
            base.append(game.squares(seen.gradient[0]))
            bias.append(game.squares(seen.sample[0] - seen.gradient[0]))

    run = simulate(game, step=step, steps=steps, replicas=1, seed=0, record=times, observe=see)
    x, before = np.array(path), np.zeros((1, game.students))

    def means(values: Array) -> Array:
        return np.concatenate([before, values.cumsum(axis=0)])[times] / np.maximum(times, 1)[:, None]

    spread = np.concatenate([before, np.maximum.accumulate(_ranges(game, x))])[times]
    losses = game.base_losses(np.concatenate([x, run.final]))
    known = tuple(
        Assumptions(smoothness=smoothness, gap=float(first), noise=0.0, bias=0.0)
        for smoothness, first in zip(game.student_smoothness, losses[0], strict=True)
    )
    return Run(
        times, means(np.array(base)), means(np.array(bias)), means(game.mutual_losses(x)), spread, losses[times],
        known, tuple(game.student_jacobian), step,
    )  # fmt: skip


def _ranges(game: MutualLearning, x: Array) -> Array:
    """ρ of every student at x (..., dim), the greatest over peers and samples: (..., K)."""
    z = np.array(game.logits(x))
    return np.stack([np.ptp(z - own, axis=-1).max(axis=(0, -1)) for own in z], axis=-1)


def _ratio(subject: Subject, run: Run, order: float, k: int, row: int, *, observed: bool = True) -> float:
    """A² over the bound for one student at a time, with D and the fall of its loss or with ρ and its first loss."""
    v = least_pull(order, float(run.spread[row, k]), float(run.divergence[row, k]) if observed else None)
    at = run.assumptions[k]
    if observed:
        at = replace(at, gap=max(at.gap - float(run.loss[row, k]), 0.0))
    stated = subject.square(at, run.step, float(run.times[row]), 1.0, run.jacobian[k], v)
    return float(run.base[row, k]) / stated if stated else np.inf


@check("training", cost=4.0)
def games(subject: Subject, context: Context) -> Found:
    """Do the students of every game of the library obey the bound while training?"""
    curves = []
    for number, name in enumerate(context.each(GAMES)):
        tops = []
        for order in ORDERS:
            steps = context.pick(quick=STEPS.get(name, 60), full=10 * STEPS.get(name, 60))
            run = context.shared(_trained, name, order, steps)
            every = [(k, row) for k in range(len(run.jacobian)) for row in range(len(run.times))]
            worst = max(_ratio(subject, run, order, k, row) for k, row in every)
            yield at_most(f"greatest A² over the bound, {name}, α = {order:g}", worst, 1.0)
            last = len(run.times) - 1
            tops.append(max(_ratio(subject, run, order, k, last) for k in range(len(run.jacobian))))
        role = ("measured", "second")[number % 2]
        curves.append(curve(name, ORDERS, tops, role, style="both", group=number // 2))
    curves.append(curve("the bound", ORDERS, 1.0, "reference"))
    figure = panel("games of the library", "order $\\alpha$", "$A^2$ over the bound", *curves)
    yield from _on_boxes(subject, context)
    yield figure
    yield from _by_form(context)
    yield _over_time(subject, context)


FORMS = {"D7": "with $\\rho$ (D7)", "D8": "with $D$ (D8)", "D15": "with $D$ (D15)", "D17": "with $D$ (D17)"}
REGIMES = (0.1, *ORDERS, 16.0)


def _by_form(context: Context) -> Found:
    """The squared bias of a student over what each form of V allows, from small orders to large ones."""
    name, k = "irises", 1
    reached: dict[str, list[tuple[float, float]]] = {form: [] for form in FORMS}
    for order in REGIMES:
        run = context.shared(_trained, name, order, context.pick(quick=60, full=600))
        for form, v in pulls(order, float(run.spread[-1, k]), float(run.divergence[-1, k])).items():
            reached[form].append((order, float(run.bias[-1, k]) / (run.jacobian[k] ** 2 * v)))
    worst = max(share for points in reached.values() for _, share in points)
    yield at_most(f"greatest ‖b‖² over β²G²V of a form, {name}", worst, 1.0, samples=len(REGIMES))
    roles: tuple[Literal["measured", "second"], ...] = ("measured", "second", "second", "measured")
    yield panel(
        "student of the petals: its bias", "order $\\alpha$", "$\\|b\\|^2$ over the bound",
        *(
            curve(FORMS[form], *np.transpose(points), role=role, style="both")
            for (form, points), role in zip(reached.items(), roles, strict=True)
        ),
        curve("the bound", (REGIMES[0], REGIMES[-1]), 1.0, "reference"),
    )  # fmt: skip


def _over_time(subject: Subject, context: Context) -> Panel:
    """A² of one student while training, against the bound with what was observed and with what is known before."""
    order, name = 4.0, "irises"
    run = context.shared(_trained, name, order, context.pick(quick=60, full=600))
    rows = list(range(len(run.times)))
    times, measured = run.times[rows], run.base[rows, 1]
    stated = [run.base[r, 1] / _ratio(subject, run, order, 1, r) for r in rows]
    a_priori = [run.base[r, 1] / _ratio(subject, run, order, 1, r, observed=False) for r in rows]
    return panel(
        "student of the petals, $\\alpha$ = 4", "steps $T$", "mean squared gradient norm",
        curve("measured $A^2$", times, measured, style="both"),
        curve("bound, with $D$ and the fall of $L$", times, stated, "statement"),
        curve("with $\\rho$ and the first $L$", times, a_priori, "reference"),
    )  # fmt: skip


@dataclass(frozen=True)
class Boxed:
    """Networks on digits: of each student A², the mean divergence, first and last loss, and constants on boxes.

    And what the theorem asks of each step, the most of any, by the student: ``curvature``, for which the descent
    inequality is an equality; ``stretch``, ‖Jb‖²/‖b‖² with the mean over inputs; ``spread``, ρ.
    """

    base: Array
    divergence: Array
    start: Array
    end: Array
    curvature: Array
    stretch: Array
    spread: Array
    constants: BoxConstants

    def hypotheses(self) -> Iterator[tuple[str, float]]:
        """What the theorem asks over what the boxes certify, the worst student's."""
        known = self.constants
        yield "curvature along a step over Λ", float((self.curvature / known.smoothness).max())
        yield "E‖Jb‖² over G²‖b‖²", float((self.stretch / np.square(known.jacobian)).max())
        yield "range of the log-ratio over ρ", float((self.spread / known.log_ratio_range).max())


def _boxed(order: float, steps: int, boxes: int) -> Boxed:
    game = _game("networks, digits").replaced(alpha=order)
    path, base, asked = [], [], []

    def see(seen: Observed) -> None:
        path.append(seen.x[0].copy())
        if seen.sample is not None:
            own, taken = seen.gradient[0].copy(), seen.sample[0].copy()
            base.append(game.squares(own))
            asked.append(_asked(game, path[-1], own, taken - own, -BOXED_STEP * taken))

    simulate(game, step=BOXED_STEP, steps=steps, replicas=1, seed=0, record=1, observe=see)
    x = np.array(path)
    curvature, stretch = np.max(asked, axis=0)
    start, end = game.base_losses(x[[0, -1]])
    return Boxed(
        np.mean(base, axis=0), game.mutual_losses(x[:-1]).mean(axis=0), start, end, curvature, stretch,
        _ranges(game, x[:-1]).max(axis=0), path_constants(game, x, boxes=boxes),
    )  # fmt: skip


def _asked(game: MutualLearning, x: Array, own: Array, pull: Array, move: Array) -> tuple[Array, Array]:
    """The curvature along a step and ‖Jb‖²/‖b‖², by the student."""
    before, after = (game.base_losses(at) for at in (x, x + move))
    along = (game.squares(own + move) - game.squares(own - move)) / 4
    curvature = 2 * (after - before - along) / game.squares(move)
    width = 1e-5
    ahead, behind = (game.logits(x + sign * width * pull) for sign in (1, -1))
    pushed = [((p - m) / (2 * width)) ** 2 for p, m in zip(ahead, behind, strict=True)]
    stretch = np.array([each.sum(axis=1).mean() for each in pushed]) / game.squares(pull)
    return curvature, stretch


def _on_boxes(subject: Subject, context: Context) -> Iterator[Comparison]:
    """Networks on digits with constants that hold on the boxes they pass through, against those for all weights."""
    steps = 12
    for order in context.pick(quick=(1.0,), full=ORDERS):
        run = context.shared(_boxed, order, steps, context.pick(quick=4, full=12))
        game = _game("networks, digits")
        known, ratios, before = run.constants, [], []
        for k in range(game.students):
            start, fall = float(run.start[k]), max(float(run.start[k] - run.end[k]), 0.0)
            mean, rho, size = float(run.divergence[k]), known.log_ratio_range[k], known.jacobian[k]
            at = Assumptions(smoothness=known.smoothness[k], gap=fall, noise=0.0, bias=0.0)
            v = least_pull(order, rho, mean)
            fallen, near = (
                subject.square(replace(at, gap=gap), BOXED_STEP, steps, game.beta, size, v) for gap in (fall, start)
            )
            everywhere = replace(at, smoothness=game.student_smoothness[k], gap=start)
            step, size = H / game.smoothness, game.student_jacobian[k]
            most = subject.square(everywhere, step, steps, game.beta, size, least_pull(order, None, mean))
            ratios.append(float(run.base[k]) / fallen)
            before.append(near / most)
        name = f"networks on digits, α = {order:g}, η = {BOXED_STEP:g}, T = {steps}"
        for asked, share in run.hypotheses():
            yield at_most(f"{asked} of the boxes, {name}", share, 1.0)
        yield at_most(f"Λη on the boxes of the run, {name}", max(known.smoothness) * BOXED_STEP, 2.0)
        yield at_most(f"greatest A² over the bound on them, {name}", max(ratios), 1.0)
        yield at_least(f"A² over the bound on them, {name}", min(ratios), LEAST[order])
        yield at_most(f"bound on them over that for all weights, at its step, {name}", max(before), 0.1)


@check("numeric")
def reached(subject: Subject, context: Context) -> Found:
    """Do cohorts at rest reach it, and for h > 1 students who jump?"""
    for order, rho in ((0.5, 2.0), (1.0, 1.0), (3.0, 1.0)):
        s, u = -order * rho / 2, rho * (1 - order / 2)
        game, start = resting_game(np.array([[s, 0.0], [u, 0.0]]), order, 0.1)
        yield from _compare(subject, game, start, rho, (0.2, 1.0), f"at rest, α = {order:g}, ρ = {rho:g}", 1 - ROUNDING)
    for order, weight in ((1.0, 0.1), (1.0, 0.3), (0.5, 0.3)):
        game, start, h = turning(order, 0.05, weight)
        yield from _compare(subject, game, start, 0.05, (h,), f"jumping, α = {order:g}, β = {weight:g}", 0.99)


def _compare(
    subject: Subject, game: MutualLearning, start: Array, rho: float, sizes: tuple[float, ...], name: str, least: float
) -> Iterator[Comparison]:
    base = float(game.squares(game.gradient(start))[0])
    at = Assumptions(smoothness=game.student_smoothness[0], gap=0.0, noise=0.0, bias=0.0)
    for h in sizes:
        v = least_pull(game.alpha, rho, None)
        stated = subject.square(at, h / at.smoothness, np.inf, game.beta, game.student_jacobian[0], v)
        ratio = base / stated if stated else np.inf
        yield at_most(f"A² over the bound, {name}, h = {h:.4g}", ratio, 1 + ROUNDING)
        yield at_least(f"reached, {name}, h = {h:.4g}", ratio, least)


CLAIM = Claim(
    id="X1",
    title="Composed theorem",
    message="Every student obeys a bound made of α, β and its peers' spread",
    meaning=(
        "A student that learns from its peers with a constant step brings the gradient of its own loss down to a "
        "level that its order, its weight and the spread of its peers' predictions fix. It holds for every student at "
        "once, at every horizon and for steps up to twice the usual limit; and since it asks of a loss only what it "
        "does along the steps taken, constants certified on boxes around the run, and what the loss has fallen by, are "
        "enough."
    ),
    matters=(
        "It is the O(1) bias of mutual learning with every constant in quantities that one can choose or measure."
    ),
    direction="tight",
    subject=Subject(composed.COMPOSED),
    statement=statement,
    assumptions=(
        *composed.ASSUMPTIONS,
        "a Λ-smooth loss keeps the first, and one that starts Δ above its infimum the second: both are proved with it",
        "of single runs as V3 for a constant step, and of the last iterate as C9 without m, with √2 βGτ in the place "
        "of ζ or Z: that it bounds ‖b_t‖ is proved",
        "b_t = β∇R_k with the peers of step t; m runs over the N pairs of an input and a peer, all alike in weight; J "
        "is the Jacobian of the student's logits, applied to b_t, with E JᵀJ ≼ G²; E[n_t | ...] is given the whole "
        "cohort's state",
    ),
    source=Source("this toolkit; the setting is that of Huang et al. 2023", "2209.05732", own=True),
    checks=(
        kernel_check(lambda subject: composed.composed_bound(subject.right_side)),
        implementation_check(_compared, quick=100, full=20_000, allowed=1e-12),
        games, reached,
    ),
    controls=(
        Control("half", "half of ζ²", Subject(composed.COMPOSED.subs(resting.tau, resting.tau / sqrt(2)))),
        Control("no-bias", "no bias", Subject(composed.COMPOSED.subs(resting.tau, Rational(0))), drawn=True),
        Control("no-overshoot", "the term of |1-h| dropped", Subject(composed.COMPOSED.subs(Abs(1 - descent.h), 0))),
    ),
    caption=(
        "Left: the mean squared base gradient of the library's games over the bound, the worst student of each, with "
        "the least of the forms of V and what its loss has fallen by. Middle: the squared bias of a student of irises "
        "over what each form of V allows it: up to order one those of D17 and D8 are nearest, and for large orders "
        "those of D15 and D7. Right: that student, with the least form, and with what is known before; without the "
        "bias the bound would be false."
    ),
    in_code="convergence.cohort_bound",
)  # fmt: skip
