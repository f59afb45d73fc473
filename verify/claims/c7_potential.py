"""C7: at α = ½ mutual learning is gradient descent on one function, so the bias disappears from the joint objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Equality, Expr, Le, Rational, exp, log

from convergence import MutualLearning, Observed, simulate, train_cohort
from convergence.sgd import record_times
from rdml_theory import renyi_gradient, renyi_hessian
from rdml_theory.symbolic.divergence.entries import total, u, v, z
from rdml_theory.symbolic.mutual import game, smooth_potential
from rdml_theory.symbolic.mutual.game import DUAL_WEIGHTS
from rdml_theory.symbolic.notation import Named, alpha, i
from rdml_theory.symbolic.sgd import descent
from verify.checks import at_least, at_most, curve, function_of, kernel_check, panel
from verify.checks.mutual import central_slope, iris_cohort, safe_step
from verify.claim import Claim, Context, Control, Found, Panel, Source, Statement, check
from verify.names import named

Array = NDArray[np.float64]

BATCH, REPLICAS = 10, 4
FALLEN, STAYED = 0.01, 0.5
"""At the end, ‖∇Φ‖² over Σ‖∇L_k‖² at most, and Σ‖∇L_k‖² over that of a hundredth of the time at least."""


@dataclass(frozen=True)
class Subject:
    """The order of the potential, the weights of the dual pair as functions of α, and the bound of ∇Φ."""

    alpha: Any
    weights: tuple[Expr, Expr]
    bound: Expr = game.WITHOUT_BIAS

    def dual(self, order: Array) -> tuple[Array, Array]:
        """The weights of D_α(p‖q) and D_{1-α}(q‖p)."""
        first, second = function_of(self.weights, alpha)(order)
        return first, second


def statement(subject: Subject) -> Statement:
    words = (
        "At the order {order} the joint update of mutual learning is a gradient, since there D_α(q‖p) is D_α(p‖q). In "
        "the logits u and z of p and q, {symmetric}, where {sums} for any logits v.\n"
        "For linear softmax students with Λ-smooth base losses, the second derivative of the potential Φ along a "
        "direction V of all weights lies between {least} and {most}, times ‖V‖². So Φ lies between quadratics of these "
        "curvatures, and the sharp bound holds for Φ without bias: {bound}, with h = (1+β)Λη.\n"
        "At every other order above 0 the Jacobian of the update is not symmetric.\n"
        "Two students share a potential with orders α and 1-α too, weighted as (1-α) D_α(p‖q) = α D_(1-α)(q‖p): {dual}"
    )
    least, most = game.CURVATURES
    formulas = {
        "order": subject.alpha, "symmetric": game.potential_target().relation(), "sums": _partition("v", "v", v(i)),
        "dual": game.dual_target(subject.weights).relation(), "least": least, "most": most,
        "bound": Le(descent.AVERAGE, subject.bound, evaluate=False),
    }  # fmt: skip
    mixed = (alpha * u(i) + (1 - alpha) * z(i), alpha * z(i) + (1 - alpha) * u(i))
    names = (
        _partition("u", "u", u(i)), _partition("z", "z", z(i)),
        _partition("αu + (1-α)z", r"\alpha u + (1 - \alpha) z", mixed[0]),
        _partition("αz + (1-α)u", r"\alpha z + (1 - \alpha) u", mixed[1]),
    )  # fmt: skip
    return Statement(words, formulas, {str(name.lhs): name for name in names})


def _partition(text: str, latex: str, logits: Expr) -> Equality:
    """ℓ, the logarithm of the sum of the exponentials of logits."""
    return named(Named(f"ℓ({text})", rf"\ell({latex})"), log(total(exp(logits))))


def _mixed(peer: Array, student: Array, alpha: Any) -> Array:
    """∂²D(p‖q)/∂u∂z; symmetric in the classes."""
    return renyi_hessian(peer, student, alpha, wrt="mixed")


def _asymmetry(a: Array, b: Array) -> float:
    """The greatest entry of a - bᵀ over that of a, for the worst of many pairs."""
    return float((np.abs(a - b.swapaxes(1, 2)).max(axis=(1, 2)) / np.abs(a).max(axis=(1, 2))).max())


@check("numeric")
def jacobian(subject: Subject, context: Context) -> Found:
    """Are the mixed derivatives of both students equal, also for dual pairs?"""
    rng = context.rng("logits")
    count = context.pick(quick=15, full=125)
    worst, dual = [], []
    for classes in range(2, 6):
        u, z = np.exp(rng.uniform(-1, 1.5, (count, 1))) * rng.normal(size=(2, count, classes))
        worst.append(_asymmetry(_mixed(u, z, float(subject.alpha)), _mixed(z, u, float(subject.alpha))))
        alpha = rng.uniform(0.05, 0.95, count)
        first, second = (weight[:, None, None] for weight in subject.dual(alpha))
        dual.append(_asymmetry(first * _mixed(u, z, alpha), second * _mixed(z, u, 1 - alpha)))
    allowed = 1e3 * float(np.finfo(float).eps)
    yield at_most("relative asymmetry of the Jacobian", max(worst), allowed, samples=4 * count)
    yield at_most("the same for dual pairs", max(dual), allowed, samples=4 * count)


def _difference(alpha: float, rng: np.random.Generator) -> float:
    u, z = rng.normal(size=(2, 200, 4))
    a, b = _mixed(u, z, alpha), _mixed(z, u, alpha)
    return float(np.abs(a - b).max(axis=(1, 2)).mean())


def _slopes(alpha: float, count: int, rng: np.random.Generator) -> float:
    """How far slopes of Φ are from the update of three students, relatively."""
    worst = 0.0
    for _ in range(count):
        features = [rng.normal(size=(30, 2 + k)) for k in range(3)]
        labels = np.r_[np.arange(4), rng.integers(0, 4, 26)]
        cohort = MutualLearning(features, labels, alpha=alpha, beta=0.8)
        x = 0.5 * rng.normal(size=cohort.dim)
        update = np.add(*cohort.gradients(x))
        for own in cohort.players:
            v = np.zeros(cohort.dim)
            v[own] = rng.normal(size=own.stop - own.start)
            slope = central_slope(lambda e, c=cohort, x=x, v=v: float(c.potential(x + e * v)))
            size = float(np.linalg.norm(update[own]) * np.linalg.norm(v))
            worst = max(worst, abs(slope - float(update @ v)) / size)
    return worst


@check("numeric")
def gradient(subject: Subject, context: Context) -> Found:
    """Is the update of three students the gradient of Φ?"""
    count = context.pick(quick=3, full=50)
    worst = context.shared(_slopes, float(subject.alpha), count, context.rng("cohort"))
    yield at_most("slope of Φ against the update, relative", worst, 1e-7)


def _potential_gradient(cohort: MutualLearning, x: np.ndarray) -> float:
    """‖∇Φ‖² of two students, from the derivatives of D(p‖q) in both arguments."""
    first, second = cohort.logits(x)
    total = 0.0
    for own, features, wrt in zip(cohort.players, cohort.inputs, ("p", "q"), strict=True):
        pull = renyi_gradient(first, second, cohort.alpha, wrt=wrt, domain="logits")
        mutual = cohort.beta * (features.T @ pull).ravel() / cohort.samples
        total += float(((cohort.gradient(x)[own] + mutual) ** 2).sum())
    return total


def _train(alpha: float, steps: int) -> list[Array]:
    """Full-gradient training: times, ‖∇Φ‖², Σ‖∇L_k‖², and the mean so far of the squared update."""
    cohort, marks, rows = iris_cohort(alpha), set(record_times(steps, 40).tolist()), []
    total = 0.0

    def keep(seen: Observed) -> None:
        nonlocal total
        if seen.t in marks:
            joint = _potential_gradient(cohort, seen.x[0])
            rows.append((seen.t, joint, float((seen.gradient**2).sum()), total / seen.t))
        if seen.sample is not None:
            total += float((seen.sample**2).sum())

    simulate(cohort, step=safe_step(cohort), steps=steps, replicas=1, seed=0, record=1, observe=keep)
    return list(np.array(rows).T)


def _joint_bound(subject: Subject, cohort: MutualLearning, times: float, noise: float) -> float:
    """The bound of the mean of ‖∇Φ‖² without bias, for noise of this variance; Φ is at least zero."""
    step, gap = safe_step(cohort), cohort.potential(cohort.start)
    h = (1 + cohort.beta) * cohort.smoothness * step
    bound = function_of(subject.bound, descent.h, descent.eta, descent.horizon, descent.gap, descent.sigma)
    return float(bound(h, step, times, gap, np.sqrt(noise))) ** 2


@check("training", cost=2.0)
def training(subject: Subject, context: Context) -> Found:
    """Does ∇Φ obey the bound without bias and fall, while ∇L stays?"""
    alpha = float(subject.alpha)
    cohort = iris_cohort(alpha)
    steps = context.pick(quick=2_000, full=10_000)
    times, joint, base, mean = context.shared(_train, alpha, steps)
    early = int(np.searchsorted(times, steps // 10))
    yield at_most("‖∇Φ‖² over Σ‖∇L_k‖² at the end, full gradients", joint[-1] / base[-1], FALLEN)
    yield at_least("Σ‖∇L_k‖² at the end over a tenth of the time", base[-1] / base[early], STAYED)
    bound = _joint_bound(subject, cohort, steps, 0.0)
    yield at_most("mean squared update against the sharp bound without bias", mean[-1], bound)
    few = context.pick(quick=500, full=10_000)
    seed = context.seed_for("noisy")
    batches: dict[str, Any] = {"batch": BATCH, "replicas": REPLICAS, "every": 10, "record": 1, "seed": seed}
    noisy = context.shared(train_cohort, cohort, step=safe_step(cohort), steps=few, **batches)
    ratios = [
        residual / _joint_bound(subject, cohort, few, noise)
        for residual, noise in zip(noisy.mean_residual[-1].sum(axis=1), noisy.mean_noise[-1].sum(axis=1), strict=True)
    ]
    name = f"mean squared gradient over the bound with measured σ², greatest of the replicas, batches of {BATCH}"
    yield at_most(name, max(ratios), 1.0, samples=REPLICAS)
    yield panel(
        f"irises, $\\alpha$ = {subject.alpha}", "steps", "squared norm (nats²)",
        curve("joint gradient $\\|\\nabla\\Phi\\|^2$", times, joint),
        curve("base gradients $\\Sigma\\|\\nabla L_k\\|^2$", times, base, "second"),
        curve("mean of $\\|\\nabla\\Phi\\|^2$", times, mean, "reference"),
        curve("sharp bound without bias", times, lambda t: _joint_bound(subject, cohort, float(t), 0.0), "statement"),
    )  # fmt: skip
    yield _asymmetry_panel(subject, context)


def _asymmetry_panel(subject: Subject, context: Context) -> Panel:
    alphas = np.unique(np.r_[np.linspace(0.02, 2, 34), 0.5])
    values = [context.shared(_difference, float(a), context.rng("asymmetry")) for a in alphas]
    alpha = float(subject.alpha)
    there = float(np.interp(alpha, alphas, values))
    return panel(
        "asymmetry of the game's Jacobian", "order $\\alpha$", "greatest difference of mixed derivatives",
        curve("random pairs of four classes", alphas, values, style="both"),
        curve(
            "stated: a potential", [alpha], [0.0], "statement", style="markers",
            contradicted=None if alpha == 0.5 else (alpha, there, 0.0),
        ),
        log="",
    )  # fmt: skip


def _at(alpha: Any) -> Subject:
    return Subject(alpha, DUAL_WEIGHTS)


CLAIM = Claim(
    id="C7",
    title="Potential",
    message="At order ½ the students descend one common function",
    meaning=(
        "At order one half the pulls of two students on each other derive from one potential, so that as a descent of "
        "it their training has no bias. The same holds for orders α and 1 - α given to the two."
    ),
    matters="There is thus one order at which mutual learning is the ordinary descent of one function.",
    direction="equality",
    subject=_at(Rational(1, 2)),
    statement=statement,
    assumptions=(
        "Φ = Σ L_k + β/(K-1) Σ_{j<k} E D(p_j‖p_k), and every student moves by -η(∇L_k + β∇R_k), all at once",
        *game.ASSUMPTIONS,
        "the Jacobian of two classes, with log-odds r of the peer and d > r, d + r > 0 of the student: its cross "
        "derivatives differ for α > ½ and for α < ½; at α = 0 they vanish, and there is a potential too",
        f"for the curvature: {'; '.join(smooth_potential.ASSUMPTIONS)}; v_{{t,k,m}} is how the logits z_{{t,k,m}} of "
        "student k on input m of N move with V, and every pair of students is in Φ as two ordered pairs, with half its "
        "weight",
        f"for the bound: {'; '.join(smooth_potential.BOUND_ASSUMPTIONS)}; f is Φ, at the logits z_t of x_t and z_t + "
        "v_t of x_{t+1}, and ∇f(x_t) gives its slope along v_t, both as formulas in the theorem",
    ),
    source=Source("this toolkit", own=True),
    checks=(
        kernel_check(lambda subject: game.potential(subject.alpha, subject.weights, bound=subject.bound), cost=20.0),
        jacobian,
        gradient,
        training,
    ),
    controls=(
        Control("third", "a potential at α = 1/3", _at(Rational(1, 3))),
        Control("kl", "a potential at α = 1 (the KL divergence)", _at(Rational(1)), drawn=True),
        Control("two", "a potential at α = 2", _at(Rational(2))),
        Control("bound", "half of the bound", Subject(Rational(1, 2), DUAL_WEIGHTS, game.WITHOUT_BIAS / 2)),
        Control("weights", "the weights of the dual pair exchanged", Subject(Rational(1, 2), DUAL_WEIGHTS[::-1])),
    ),
    caption=(
        "Left: two students on irises at α = ½. The gradient of the joint objective goes on falling and keeps "
        "the bound "
        "without bias, while the gradients of the base losses stay. Right: how far the game's Jacobian is from "
        "symmetric; only at α = ½ (and 0) there is a joint objective."
    ),
    in_code="convergence.train_cohort",
)
