"""C8: a student's own objective moves with its peers; its gradient is bounded up to the drift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp
from sympy import Abs, Expr, tanh

from convergence import Assumptions, Observed, drift_bound, moving_target_bound, simulate
from convergence.problems import SyntheticProblem
from convergence.sgd import record_times
from rdml_theory import renyi_divergence, renyi_gradient
from rdml_theory.symbolic.divergence import names
from rdml_theory.symbolic.mutual import bias as mutual
from rdml_theory.symbolic.mutual import moving_target
from rdml_theory.symbolic.mutual.moving_target import DRIFT, MOVING
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import alpha
from rdml_theory.symbolic.sgd import descent
from verify.checks import at_least, at_most, curve, evaluate, implementation_check, kernel_check, letters, panel
from verify.checks.mutual import iris_cohort, safe_step
from verify.claim import Claim, Context, Control, Found, Source, Statement, check
from verify.names import named

Array = NDArray[np.float64]

ORDERS = (0.5, 1.5, 4.0)
ATTAINED = 0.99


@dataclass(frozen=True)
class Subject:
    """The bound of A² given the drift d, and the bound of d."""

    right_side: Expr
    rate: Expr

    def bound(self, at: Assumptions, step: float, steps: float, drift: float) -> float:
        """The stated bound of A²."""
        return float(evaluate(self.right_side, letters(at, step, steps) | {moving_target.drift: drift}))

    def drift(self, order: float, spread: float, weight: float, jacobian: float, peer: float) -> float:
        """The stated bound of the drift per step over η, for α ≠ 1."""
        numbers = {
            alpha: order,
            names.rho: spread,
            beta: weight,
            mutual.jacobian: jacobian,
            moving_target.peer_step: peer,
        }
        return float(evaluate(self.rate, numbers))


def statement(subject: Subject) -> Statement:
    words = (
        "For {h} in (0, 2), with A² the mean of E‖∇F(x_t; u_t)‖² for the moving objective F(x; u) = L + βR, u the "
        "peers' logits: {bound}, if the drifts' mean is at most η{d}. By D9 this is so where the peers' logits move by "
        "at most Gηg in a step, for {rate}, and at α = 1 for {at_one}"
    )
    bound = moving_target.bound_target(subject.right_side).relation()
    formulas = {
        "h": descent.h, "bound": bound, "d": moving_target.drift, "rate": named(moving_target.drift, subject.rate),
        "at_one": named(moving_target.drift, moving_target.DRIFT_AT_ONE),
    }  # fmt: skip
    return Statement(words, formulas)


def _compared(subject: Subject, rng: np.random.Generator) -> list[tuple[float, float]]:
    """The functions that users call and the formulas. Near α = 1 both divide two small numbers."""
    lam, gap, noise, weight, jacobian, peer, order, spread = np.exp(rng.uniform(-2, 2, 8))
    h, steps = rng.uniform(0.01, 1.99), 10 ** rng.uniform(0, 5)
    at = Assumptions(smoothness=lam, gap=gap, noise=noise, bias=0.0)
    drift = drift_bound(order, beta=weight, jacobian=jacobian, peer_gradient=peer, log_ratio_range=spread)
    total = moving_target_bound(at, h / lam, steps, drift=drift).total
    return [
        (drift, subject.drift(order, spread, weight, jacobian, peer)),
        (total, subject.bound(at, h / lam, steps, drift)),
    ]


def _strongest(order: float, spread: float, rng: np.random.Generator, starts: int) -> tuple[np.ndarray, np.ndarray]:
    """Peer and student logits of two classes, at a range of the log-ratio, with the greatest gradient in the peer's."""

    def pair(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        peer = np.array([x[0], 0.0])
        return peer, peer - np.array([spread, 0.0])

    def loss(x: np.ndarray) -> float:
        return -float(np.linalg.norm(renyi_gradient(*pair(x), order, wrt="p", domain="logits")))

    ends = [minimize(loss, rng.uniform([-4], [4]), method="Nelder-Mead") for _ in range(starts)]
    return pair(min(ends, key=lambda end: end.fun).x)


@check("numeric")
def search(subject: Subject, context: Context) -> Found:
    """Does a peer that moves along its steepest direction attain the drift?"""
    starts = context.pick(quick=2, full=20)
    for order in ORDERS:
        for spread in (0.5, 3.0):
            rng = context.rng("search", order, spread)
            peer, student = context.shared(_strongest, order, spread, rng, starts)
            slope = renyi_gradient(peer, student, order, wrt="p", domain="logits")
            way = 1e-5 * slope / np.linalg.norm(slope)
            before, after = (
                float(renyi_divergence(u, student, order, domain="logits")) for u in (peer - way, peer + way)
            )
            # A linear peer with feature vector x moves its logits by ‖x‖ times its own step, here of length 2e-5/‖x‖.
            jacobian, weight = 1.7, 0.6
            stated = subject.drift(order, spread + 2e-5, weight, jacobian, 2e-5 / jacobian)
            ratio = weight * (after - before) / stated
            yield at_most(f"drift over stated, α = {order:g}, ρ = {spread:g}", ratio, 1 + 1e-6, samples=starts)
            yield at_least(f"attained, α = {order:g}, ρ = {spread:g}", ratio, ATTAINED, samples=starts)


@dataclass(frozen=True)
class _Run:
    """One student: at each step the drift of its objective, the peer's update and ‖∇F_t‖²; the greatest ρ, and Δ."""

    drift: Array
    peer: Array
    square: Array
    spread: float
    gap: float


def _measured(
    objective: Callable[[Array, Array], Array], z: Array, u: Array, peer: Array, square: Array, step: float
) -> _Run:
    """The drift of F(z; u) along a path of the student's logits z and the peer's u, over (time, sample, class)."""
    drift = objective(z[1:], u[1:]) - objective(z[1:], u[:-1])
    spread = max(float(np.ptp(v - z[1:], axis=-1).max()) for v in (u[1:], u[:-1]))
    return _Run(drift / step, peer, square, spread, float(objective(z[:1], u[:1])[0]))


def _train(order: float, steps: int) -> _Run:
    """Full-gradient training of two students on irises at β = 1; the student is that of the petals."""
    cohort, path, taken = iris_cohort(order), [], []
    step = safe_step(cohort) / max(order, 1.0)

    def keep(seen: Observed) -> None:
        path.append(cohort.logits(seen.x[0]))
        if seen.sample is not None:
            taken.append(cohort.squares(seen.sample[0]))

    simulate(cohort, step=step, steps=steps, replicas=1, seed=0, record=1, observe=keep)

    def objective(z: Array, u: Array) -> Array:
        base = np.asarray(logsumexp(z, axis=-1)) - z[:, np.arange(cohort.samples), cohort.labels]
        return (base + renyi_divergence(u, z, order, domain="logits")).mean(axis=-1)

    u, z = np.array(path).swapaxes(0, 1)
    first, second = np.array(taken).T
    return _measured(objective, z, u, np.sqrt(first), second, step)


@check("training", cost=4.0)
def training(subject: Subject, context: Context) -> Found:
    """Do two students on irises keep both bounds, step by step?"""
    steps = context.pick(quick=600, full=4_000)
    for order in ORDERS:
        cohort = iris_cohort(order)
        run = context.shared(_train, order, steps)
        jacobian = float(np.sqrt(2 * cohort.student_smoothness[0]))
        allowed = np.array([subject.drift(order, run.spread, 1.0, jacobian, float(g)) for g in run.peer])
        # On irises the peers' steps lower the student's objective: the drift is negative, and bounded all the same.
        name = f"greatest |drift| over stated, α = {order:g}"
        step = safe_step(cohort) / max(order, 1.0)
        # Once training has come to rest, what is left of the difference of two objectives is rounding.
        rounded = 8 * float(np.finfo(float).eps) * max(run.gap, 1.0) / step
        ratio = float(((np.abs(run.drift) - rounded) / allowed).max())
        yield at_most(name, ratio, 1.0, samples=steps)
        smoothness = cohort.student_smoothness[1] * (1 + max(1.0, order))
        at = Assumptions(smoothness=smoothness, gap=run.gap, noise=0.0, bias=0.0)
        for drift, words in ((float(run.drift.mean()), "measured"), (float(allowed.mean()), "stated")):
            total = subject.bound(at, step, steps, max(drift, 0.0))
            yield at_most(
                f"A² against the bound with the {words} drift, α = {order:g}", float(run.square.mean()), total
            )
        if order == 4.0:
            marks = record_times(steps, 40) - 1
            yield panel(
                    f"irises, $\\alpha$ = {order:g}", "steps", "per step, over $\\eta$ (nats²)",
                    curve("|drift|", marks + 1, np.abs(run.drift[marks]), group=0),
                    curve("bound of the drift", marks + 1, allowed[marks], "statement", group=0),
                    curve("$\\|\\nabla F_t\\|^2$", marks + 1, run.square[marks], "second"),
                )  # fmt: skip


class _Following(SyntheticProblem):
    """F_t of a student of two classes without labels: its divergence from a peer."""

    def __init__(self, peer: Array, order: float) -> None:
        super().__init__(dim=2, smoothness=max(order, 1.0) / 2, minimum=0.0, start=np.zeros(2))
        self.peer, self.alpha = peer, order

    def value(self, x: Array) -> Array:
        """D(p‖q)."""
        return renyi_divergence(self.peer, x, self.alpha, domain="logits")

    def gradient(self, x: Array) -> Array:
        """∂D/∂z."""
        return renyi_gradient(self.peer, x, self.alpha, wrt="q", domain="logits")


def _chase(steps: int, order: float) -> _Run:
    """A student that follows one peer, whose logits go back and forth forever: it never catches up."""
    step, times = 0.5, np.arange(steps + 1)
    peers: Array = np.stack([2.0 * np.sin(0.05 * times), 0.0 * times], axis=1, dtype=np.float64)
    targets, path, squares = [_Following(peer, order) for peer in peers], [], []

    def keep(seen: Observed) -> None:
        path.append(seen.x[0].copy())
        squares.append(float((seen.gradient[0] ** 2).sum()))

    run = {"step": step, "steps": steps, "replicas": 1, "seed": 0, "record": 1, "observe": keep}
    simulate(targets[-1], oracle=lambda t: targets[t], **run)
    moved = np.sqrt((np.diff(peers, axis=0) ** 2).sum(axis=1)) / step

    def objective(z: Array, u: Array) -> Array:
        return renyi_divergence(u, z, order, domain="logits").mean(axis=-1)

    z, u = np.array(path)[:, None], peers[:, None]
    return _measured(objective, z, u, moved, np.array(squares[:-1]), step)


@check("training", cost=2.0)
def chase(subject: Subject, context: Context) -> Found:
    """Does a student obey the bound that follows a restless peer?"""
    steps = context.pick(quick=500, full=8_000)
    curves = []
    for order in ORDERS:
        run = context.shared(_chase, steps, order)
        allowed = np.array([subject.drift(order, run.spread, 1.0, 1.0, float(g)) for g in run.peer])
        yield at_most(f"greatest drift over stated, α = {order:g}", float((run.drift / allowed).max()), 1.0)
        at = Assumptions(smoothness=max(1.0, order) / 2, gap=0.0, noise=0.0, bias=0.0)
        total = subject.bound(at, 0.5, steps, float(run.drift.mean()))
        average = float(run.square.mean())
        yield at_most(f"A² against the bound with the measured drift, α = {order:g}", average, total)
        if order == 1.5:
            marks = record_times(steps, 40)[3:]
            means, drifts = (np.cumsum(values)[marks - 1] / marks for values in (run.square, run.drift))
            bounds = [subject.bound(at, 0.5, float(t), max(d, 0.0)) for t, d in zip(marks, drifts, strict=True)]
            curves += [
                curve("mean of $\\|\\nabla F_t\\|^2$", marks, means),
                curve("bound with the measured drift", marks, bounds, "statement"),
            ]
    yield panel("a peer that never rests, $\\alpha$ = 1.5", "steps", "squared norm (nats²)", *curves)


CLAIM = Claim(
    id="C8",
    title="Moving target",
    message="Seen from the moving objective, the peers cost only its drift",
    meaning=(
        "Instead of counting the peers' pull as a bias, this follows the whole objective and counts how far it "
        "moves while the peers learn. The cost is the drift of the target, in proportion to how fast the peers "
        "move."
    ),
    matters=(
        "It separates the two readings of mutual learning: a biased descent of the own loss, or an honest descent "
        "of a moving one."
    ),
    direction="upper bound",
    subject=Subject(MOVING, DRIFT),
    statement=statement,
    assumptions=(
        *moving_target.ASSUMPTIONS,
        f"for the drift: {'; '.join(moving_target.FURTHER)}; at α = 1 the same with KL for D_α",
        "m runs over the N pairs of an input and a peer, all alike in weight; u_{t,m} are the peer's logits at step t, "
        "z_{t,m} the student's, and ρ bounds the range of log(p/q) before and after the peer's step",
    ),
    source=Source("this toolkit; the setting is that of Huang et al. 2023", "2209.05732", own=True),
    checks=(
        kernel_check(lambda subject: moving_target.moving_target(subject.right_side, subject.rate)),
        implementation_check(_compared, quick=300, full=2_000, allowed=1e-12),
        search, training, chase,
    ),
    controls=(
        Control("no-drift", "the drift dropped", Subject(MOVING.subs(moving_target.drift, 0), DRIFT)),
        Control("half-drift", "half the bound of the drift", Subject(MOVING, DRIFT / 2)),
        Control("own-gradient", "tanh(αρ/4) as in the student's gradient",
             Subject(MOVING, DRIFT.replace(tanh, lambda e: tanh(alpha * names.rho / 4)) * Abs(alpha - 1) / alpha)),
        Control("thousandth", "a thousandth of the bound of the drift", Subject(MOVING, DRIFT / 1000), drawn=True),
    ),
    caption=(
        "Left: the drift of a student's objective while it trains with its peer, and its bound. Right: a student that "
        "follows a peer which never rests. The gradient of the moving objective does not vanish; without the drift the "
        "bound would be false."
    ),
    in_code="convergence.moving_target_bound",
)  # fmt: skip
