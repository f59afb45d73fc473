"""C8: a student's own objective moves with its peers; its gradient is bounded up to the drift."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sympy import Abs, Expr, lambdify, tanh

from convergence import Assumptions, drift_bound, moving_target_bound
from rdml_theory import renyi_divergence, renyi_gradient
from rdml_theory.symbolic.engine.derivation import Derivation
from rdml_theory.symbolic.mutual import bias as mutual
from rdml_theory.symbolic.mutual import moving_target
from rdml_theory.symbolic.mutual.moving_target import DRIFT, MOVING
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import alpha
from rdml_theory.symbolic.sgd import descent
from verify.checks.certificates import proof_check
from verify.checks.comparisons import at_least, at_most
from verify.checks.mutual import iris_cohort, safe_step
from verify.claim import Check, Claim, Finding, Source, Statement, Twin
from verify.context import Context
from verify.records import Curve, Panel

ORDERS = (0.5, 1.5, 4.0)
ATTAINED = 0.99


@dataclass(frozen=True)
class Subject:
    """The bound of A² given the drift d, and the bound of d."""

    right_side: Expr
    rate: Expr

    @cached_property
    def _formulas(self) -> tuple[Any, Any]:
        s = descent
        names = (s.h, s.eta, s.gap, s.noise, s.horizon, moving_target.drift)
        drift = (alpha, mutual.spread, beta, mutual.jacobian, moving_target.peer_step)
        return lambdify(names, self.right_side, "numpy"), lambdify(drift, self.rate, "numpy")

    def bound(self, at: Assumptions, step: float, steps: float, drift: float) -> float:
        """The stated bound of A²."""
        return float(self._formulas[0](at.smoothness * step, step, at.gap, np.sqrt(at.noise), float(steps), drift))

    def drift(self, order: float, spread: float, weight: float, jacobian: float, peer: float) -> float:
        """The stated bound of the drift per step over η, for α ≠ 1."""
        return float(self._formulas[1](order, spread, weight, jacobian, peer))


def derivation(subject: Subject) -> Derivation:
    return moving_target.moving_target(subject.right_side, subject.rate)


def statement(subject: Subject) -> Statement:
    words = (
        "For {h} in (0, 2), with A² the mean of E‖∇F_t(θ_t)‖² for the moving objectives F_t = L + βR(·; peers at t): "
        "{bound} (at α = 1 by its limit)"
    )
    return Statement(words, {"h": descent.h, "bound": derivation(subject).statement})


def implementation(subject: Subject, context: Context) -> Finding:
    """The functions that users call against the formulas."""
    rng = context.rng("points")
    count = context.pick(quick=300, full=2_000)
    worst = 0.0
    for _ in range(count):
        lam, gap, noise, weight, jacobian, peer, order, spread = np.exp(rng.uniform(-2, 2, 8))
        h, steps = rng.uniform(0.01, 1.99), 10 ** rng.uniform(0, 5)
        at = Assumptions(smoothness=lam, gap=gap, noise=noise, bias=0.0)
        drift = drift_bound(order, beta=weight, jacobian=jacobian, peer_gradient=peer, log_ratio_range=spread)
        stated = subject.drift(order, spread, weight, jacobian, peer)
        total = moving_target_bound(at, h / lam, steps, drift=drift).total
        worst = max(worst, abs(drift / stated - 1), abs(total / subject.bound(at, h / lam, steps, drift) - 1))
    # Near α = 1 the formula divides two small numbers; the function does the same.
    return Finding(comparisons=(at_most("relative difference from the formula", worst, 1e-12, samples=count),))


def _strongest(order: float, spread: float, rng: np.random.Generator, starts: int) -> tuple[np.ndarray, np.ndarray]:
    """Peer and student logits of two classes, at a range of the log-ratio, with the greatest gradient in the peer's."""

    def pair(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        peer = np.array([x[0], 0.0])
        return peer, peer - np.array([spread, 0.0])

    def loss(x: np.ndarray) -> float:
        return -float(np.linalg.norm(renyi_gradient(*pair(x), order, wrt="p", domain="logits")))

    ends = [minimize(loss, rng.uniform([-4], [4]), method="Nelder-Mead") for _ in range(starts)]
    return pair(min(ends, key=lambda end: end.fun).x)


def search(subject: Subject, context: Context) -> Finding:
    """One input, one peer that steps along its steepest direction: the change of R against the stated drift."""
    comparisons = []
    starts = context.pick(quick=2, full=20)
    for order in ORDERS:
        for spread in (0.5, 3.0):
            rng = context.rng("search", order, spread)
            peer, student = context.shared(
                f"{order}/{spread}", lambda a=order, s=spread, r=rng: _strongest(a, s, r, starts)
            )
            slope = renyi_gradient(peer, student, order, wrt="p", domain="logits")
            way = 1e-5 * slope / np.linalg.norm(slope)
            before, after = (
                float(renyi_divergence(u, student, order, domain="logits")) for u in (peer - way, peer + way)
            )
            # A linear peer with feature vector x moves its logits by ‖x‖ times its own step, here of length 2e-5/‖x‖.
            jacobian, weight = 1.7, 0.6
            stated = subject.drift(order, spread + 2e-5, weight, jacobian, 2e-5 / jacobian)
            ratio = weight * (after - before) / stated
            comparisons.append(
                at_most(f"drift over stated, α = {order:g}, ρ = {spread:g}", ratio, 1 + 1e-6, samples=starts)
            )
            comparisons.append(at_least(f"attained, α = {order:g}, ρ = {spread:g}", ratio, ATTAINED, samples=starts))
    return Finding(comparisons=tuple(comparisons))


@dataclass(frozen=True)
class _Run:
    """One student of a cohort: over time, the drift, its bound's ingredients, and the squared gradient of F_t."""

    drift: np.ndarray
    peer: np.ndarray
    square: np.ndarray
    spread: float
    gap: float


def _objective(z: np.ndarray, u: np.ndarray, labels: np.ndarray, order: float) -> float:
    shifted = z - z.max(axis=1, keepdims=True)
    base = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(labels.size), labels]
    return float(base.mean() + renyi_divergence(u, z, order, domain="logits").mean())


def _train(order: float, steps: int) -> _Run:
    """Full-gradient training of two students on irises at β = 1; the student is that of the petals."""
    cohort = iris_cohort(order)
    theta, step = cohort.start(), safe_step(cohort) / max(order, 1.0)
    x, y = cohort.inputs
    drift, peer, square, spread = np.empty(steps), np.empty(steps), np.empty(steps), 0.0
    gap = _objective(y @ theta[1], x @ theta[0], cohort.labels, order)
    for t in range(steps):
        base, mutual_ = cohort.gradients(theta)
        update = [g + r for g, r in zip(base, mutual_, strict=True)]
        square[t], peer[t] = (update[1] ** 2).sum(), np.linalg.norm(update[0])
        old = x @ theta[0]
        theta = [p - step * g for p, g in zip(theta, update, strict=True)]
        new, z = x @ theta[0], y @ theta[1]
        drift[t] = _objective(z, new, cohort.labels, order) - _objective(z, old, cohort.labels, order)
        spread = max(spread, float(np.ptp(new - z, axis=1).max()), float(np.ptp(old - z, axis=1).max()))
    return _Run(drift / step, peer, square, spread, gap)


def training(subject: Subject, context: Context) -> Finding:
    """Two students on irises: every step's drift keeps its bound, and A² of the moving objective keeps its own."""
    steps = context.pick(quick=600, full=4_000)
    comparisons, panels = [], []
    for order in ORDERS:
        cohort = iris_cohort(order)
        run = context.shared(f"{order}", lambda a=order: _train(a, steps))
        jacobian = float(np.sqrt(2 * cohort.smoothness()[0]))
        allowed = np.array([subject.drift(order, run.spread, 1.0, jacobian, float(g)) for g in run.peer])
        # On irises the peers' steps lower the student's objective: the drift is negative, and bounded all the same.
        name = f"greatest |drift| over stated, α = {order:g}"
        step = safe_step(cohort) / max(order, 1.0)
        # Once training has come to rest, what is left of the difference of two objectives is rounding.
        rounded = 8 * float(np.finfo(float).eps) * max(run.gap, 1.0) / step
        ratio = float(((np.abs(run.drift) - rounded) / allowed).max())
        comparisons.append(at_most(name, ratio, 1.0, samples=steps))
        at = Assumptions(smoothness=cohort.smoothness()[1] * (1 + max(1.0, order)), gap=run.gap, noise=0.0, bias=0.0)
        for drift, words in ((float(run.drift.mean()), "measured"), (float(allowed.mean()), "stated")):
            total = subject.bound(at, step, steps, max(drift, 0.0))
            comparisons.append(
                at_most(f"A² against the bound with the {words} drift, α = {order:g}", float(run.square.mean()), total)
            )
        if order == 4.0:
            marks = np.unique(np.geomspace(1, steps, 40).round().astype(int)) - 1
            counts = np.arange(1, steps + 1)
            x = tuple(float(t) for t in counts[marks])
            panels.append(
                Panel(
                    title=f"irises, $\\alpha$ = {order:g}", x_label="steps", y_label="per step, over $\\eta$ (nats²)",
                    x_scale="log", y_scale="log",
                    curves=(
                        Curve(label="|drift|", role="measured", x=x, y=tuple(np.abs(run.drift[marks]))),
                        Curve(label="bound of the drift", role="statement", group=0, x=x, y=tuple(allowed[marks])),
                        Curve(label="$\\|\\nabla F_t\\|^2$", role="second", x=x, y=tuple(run.square[marks])),
                    ),
                )
            )  # fmt: skip
    return Finding(comparisons=tuple(comparisons), panels=tuple(panels))


def _chase(steps: int, order: float) -> _Run:
    """A student without labels that follows one peer, whose logits go back and forth forever: it never catches up."""
    step, jacobian = 0.5, 1.0
    times = np.arange(steps + 1)
    peers = np.stack([2.0 * np.sin(0.05 * times), np.zeros(steps + 1)], axis=1)
    z = np.zeros(2)
    drift, peer, square, spread = np.empty(steps), np.empty(steps), np.empty(steps), 0.0
    for t in range(steps):
        g = renyi_gradient(peers[t], z, order, wrt="q", domain="logits")
        square[t] = float((g**2).sum())
        z = z - step * g
        old, new = (float(renyi_divergence(u, z, order, domain="logits")) for u in (peers[t], peers[t + 1]))
        drift[t] = (new - old) / step
        peer[t] = np.linalg.norm(peers[t + 1] - peers[t]) / (step * jacobian)
        spread = max(spread, *(float(np.ptp(u - z)) for u in (peers[t], peers[t + 1])))
    return _Run(drift, peer, square, spread, 0.0)


def chase(subject: Subject, context: Context) -> Finding:
    """A peer that never rests: ∇F_t does not vanish, and only the drift accounts for it."""
    steps = context.pick(quick=1_000, full=8_000)
    comparisons, curves = [], []
    for number, order in enumerate(ORDERS):
        run = context.shared(f"{order}", lambda a=order: _chase(steps, a))
        allowed = np.array([subject.drift(order, run.spread, 1.0, 1.0, float(g)) for g in run.peer])
        comparisons.append(
            at_most(f"greatest drift over stated, α = {order:g}", float((run.drift / allowed).max()), 1.0)
        )
        at = Assumptions(smoothness=max(1.0, order) / 2, gap=0.0, noise=0.0, bias=0.0)
        total = subject.bound(at, 0.5, steps, float(run.drift.mean()))
        average = float(run.square.mean())
        comparisons.append(at_most(f"A² against the bound with the measured drift, α = {order:g}", average, total))
        if order == 1.5:
            marks = np.unique(np.geomspace(10, steps, 40).round().astype(int))
            x = tuple(float(t) for t in marks)
            means = np.cumsum(run.square)[marks - 1] / marks
            drifts = np.cumsum(run.drift)[marks - 1] / marks
            curves += [
                Curve(label="mean of $\\|\\nabla F_t\\|^2$", role="measured", group=number, x=x, y=tuple(means)),
                Curve(label="bound with the measured drift", role="statement", x=x,
                      y=tuple(subject.bound(at, 0.5, t, max(float(d), 0.0)) for t, d in zip(x, drifts, strict=True))),
            ]  # fmt: skip
    panel = Panel(
        title="a peer that never rests, $\\alpha$ = 1.5", x_label="steps", y_label="squared norm (nats²)",
        x_scale="log", y_scale="log", curves=tuple(curves),
    )  # fmt: skip
    return Finding(comparisons=tuple(comparisons), panels=(panel,))


CLAIM = Claim(
    id="C8",
    title="Moving target",
    direction="upper bound",
    subject=Subject(MOVING, DRIFT),
    statement=statement,
    derivation=derivation,
    assumptions=(
        "every F_t is Λ-smooth and bounded below, Δ = F_0(θ_0) - inf F; θ ← θ - η(∇F_t + n), E[n | θ] = 0, E‖n‖² ≤ σ²",
        "the peers move by at most ηg, G bounds their Jacobians, and ρ the range of log(p/q) on the way",
    ),
    source=Source("this toolkit; the setting is that of Huang et al. 2023", "2209.05732", own=True),
    checks=(
        proof_check(derivation),
        Check("implementation", "numeric", "Do the users' functions compute the formulas?", implementation, cost=0.5),
        Check("search", "numeric", "Does a peer that moves along its steepest direction attain the drift?", search),
        Check("training", "training", "Do two students on irises keep both bounds, step by step?", training, cost=4.0),
        Check("chase", "training", "Does a student keep the bound that follows a restless peer?", chase, cost=2.0),
    ),
    twins=(
        Twin("no-drift", "the drift dropped", Subject(MOVING.subs(moving_target.drift, 0), DRIFT)),
        Twin("half-drift", "half the bound of the drift", Subject(MOVING, DRIFT / 2)),
        Twin("own-gradient", "tanh(αρ/4) as in the student's gradient",
             Subject(MOVING, DRIFT.replace(tanh, lambda e: tanh(alpha * mutual.spread / 4)) * Abs(alpha - 1) / alpha)),
        Twin("thousandth", "a thousandth of the bound of the drift", Subject(MOVING, DRIFT / 1000), drawn=True),
    ),
    caption=(
        "Left: the drift of a student's objective while it trains with its peer, and its bound. Right: a student that "
        "follows a peer which never rests. The gradient of the moving objective does not vanish; without the drift the "
        "bound would be false."
    ),
)  # fmt: skip
