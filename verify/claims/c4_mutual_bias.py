"""C4: what mutual learning adds to a student's gradient is bounded, beforehand and by what training observes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Integer, Max

from convergence import mutual_bias_bound
from rdml_theory import renyi_divergence, renyi_gradient
from rdml_theory.symbolic import notation
from rdml_theory.symbolic.divergence import names
from rdml_theory.symbolic.divergence.entries import D
from rdml_theory.symbolic.mutual import bias as mutual
from rdml_theory.symbolic.mutual.bias import A_PRIORI, MEAN_DIVERGENCE, OBSERVABLE
from rdml_theory.symbolic.mutual.plateau import beta
from verify.checks import at_least, at_most, curve, function_of, implementation_check, kernel_check, panel
from verify.checks.mutual import Measured, history, iris_cohort, measure_networks
from verify.claim import Claim, Context, Control, Found, Source, Statement, check

Array = NDArray[np.float64]

ORDERS = (0.5, 1.0, 2.0, 5.0)
ATTAINED = 0.999


@dataclass(frozen=True)
class Subject:
    """Both forms of the bound and their factor."""

    a_priori: Expr
    observable: Expr
    scale: Expr

    def forms(self, alpha: float, weight: float, jacobian: float, spread: Any, divergence: Any) -> tuple[Any, Any]:
        """Both bounds of ‖β∇R‖², the second linear in the mean divergence; the first at one range ρ."""
        both = (self.scale * self.a_priori, self.scale * self.observable)
        forms = function_of(both, beta, mutual.jacobian, notation.alpha, names.rho, MEAN_DIVERGENCE)
        first, second = forms(weight, jacobian, alpha, spread, divergence)
        return first, second

    def measured(self, alpha: float, weight: float, found: Measured) -> tuple[float, float]:
        """Both bounds from measured means: that of 2 tanh²(αρ/4) as it enters the first form."""
        # 2 tanh²(x) at the spread that has this mean, since the form is asserted for each input and then averaged.
        spread = 4 / alpha * float(np.arctanh(min(np.sqrt(found.spread / 2), 1 - 1e-15)))
        return self.forms(alpha, weight, np.sqrt(found.jacobian), spread, found.divergence)


def statement(subject: Subject) -> Statement:
    words = (
        "For every student and order, {bound}, where G² bounds E JᵀJ, J = ∂z/∂θ, ρ(x) is the range of log(p/q) at an "
        "input and peer and {mean} the mean divergence from the peers"
    )
    bound = mutual.mutual_bias_target(subject.a_priori, subject.observable, subject.scale)
    return Statement(words, {"bound": bound.relation(), "mean": D})


def _compared(subject: Subject, rng: np.random.Generator) -> list[tuple[float, float]]:
    """The bound that users get is the smaller of both forms."""
    alpha, weight, jacobian, spread, divergence = np.exp(rng.uniform(-3, 2, 5))
    given = {"log_ratio_range": spread, "divergence": divergence}
    computed = mutual_bias_bound(alpha, beta=weight, jacobian=jacobian, **given)
    return [(computed, min(subject.forms(alpha, weight, jacobian, spread, divergence)))]


def _strongest(form: int, alpha: float, points: int) -> tuple[Array, Array]:
    """Logits of a pair of two classes for which ‖q - w‖² is greatest, relative to the claim's own form.

    The student's log-odds and the logarithm of ρ are sought on a grid, and then around the best of it.
    """
    exact = Subject(A_PRIORI, OBSERVABLE, Integer(1) * beta**0)

    def pair(odds: Array, logs: Array) -> tuple[Array, Array]:
        student = np.stack([odds, 0 * odds], axis=-1)
        return student + np.stack([np.exp(np.minimum(logs, 4.0)), 0 * odds], axis=-1), student

    centre: Array = np.zeros(2)
    for half in 8 / 5.0 ** np.arange(6):
        odds, logs = np.meshgrid(*(c + np.linspace(-half, half, points) for c in centre))
        peer, student = pair(odds, logs)
        squares = (renyi_gradient(peer, student, alpha, wrt="q", domain="logits") ** 2).sum(axis=-1)
        divergences = renyi_divergence(peer, student, alpha, domain="logits")
        ratio = squares / exact.forms(alpha, 1.0, 1.0, np.ptp(peer - student, axis=-1), divergences)[form]
        best = np.unravel_index(np.argmax(ratio), ratio.shape)
        centre = np.array([odds[best], logs[best]])
    return pair(*centre)


@check("numeric")
def search(subject: Subject, context: Context) -> Found:
    """Can a search exceed the bound, and does it reach it?

    One input, two classes, sought so that ‖β∇R‖² is greatest: a linear student with G² = ‖(x, 1)‖².
    """
    points = context.pick(quick=41, full=401)
    for alpha in context.each(ORDERS):
        for form, name in enumerate(("a-priori form", "observable form")):
            # The bound does not enter the search, so the claim and its controls face the same pairs.
            peer, student = context.shared(_strongest, form, alpha, points)
            feature, weight = np.array([1.5, 1.0]), 0.7
            pull = renyi_gradient(peer, student, alpha, wrt="q", domain="logits")
            square = float(weight**2 * (np.outer(feature, pull) ** 2).sum())
            divergence = float(renyi_divergence(peer, student, alpha, domain="logits"))
            spread = float(np.ptp(peer - student))
            allowed = subject.forms(alpha, weight, float(np.linalg.norm(feature)), spread, divergence)[form]
            # Near consensus the divergence is a small number that carries the rounding of the logits.
            yield at_most(f"greatest ratio found, α = {alpha:g}, {name}", square / allowed, 1 + 1e-9, samples=points**2)
            if form == 0 or alpha >= 1:
                yield at_least(f"attained, α = {alpha:g}, {name}", square / allowed, ATTAINED, samples=points**2)


@check("training", cost=2.0)
def training(subject: Subject, context: Context) -> Found:
    """Does the bias of students on irises stay below both forms?"""
    steps, weight = context.pick(quick=400, full=10_000), 0.7
    for alpha in ORDERS:
        cohort = iris_cohort(alpha, weight)
        rows = context.shared(history, cohort, steps)
        # Over (time, student): the square, and both forms.
        found = np.array([
            [(weight**2 * one.square, *subject.measured(alpha, weight, one)) for one in students]
            for _, students in rows
        ])  # fmt: skip
        for form, name in enumerate(("a-priori form", "observable form"), 1):
            worst = float(np.divide(found[..., 0], found[..., form]).max()) if found[..., form].all() else np.inf
            yield at_most(f"greatest ratio while training, α = {alpha:g}, {name}", worst, 1.0)
        if alpha == 2.0:
            times, (square, spread, divergence) = [t for t, _ in rows], found[:, 1].T
            yield panel(
                    "student of the petals, $\\alpha$ = 2", "steps", "squared norm (nats²)",
                    curve("measured $\\|\\beta\\nabla R\\|^2$", times, square, style="both"),
                    curve("a-priori form", times, spread, "statement", group=0),
                    curve("observable form", times, divergence, "statement", group=1),
                )  # fmt: skip


@check("numeric", cost=2.0)
def networks(subject: Subject, context: Context) -> Found:
    """Does that of random two-layer students?"""
    count = context.pick(quick=80, full=5_000)
    for alpha in ORDERS:
        found = context.shared(measure_networks, context.rng("networks", alpha), alpha, count)
        pairs = np.array([[one.square, *subject.measured(alpha, 1.0, one)] for one in found])
        for form, name in enumerate(("a-priori form", "observable form"), 1):
            worst = float((pairs[:, 0] / np.maximum(pairs[:, form], 1e-300)).max())
            yield at_most(f"greatest ratio, two-layer students, α = {alpha:g}, {name}", worst, 1.0, samples=count)
        if alpha == 2.0:
            least = pairs[:, 1:].min(axis=1)
            ends = (float(least.min()), float(least.max()))
            yield panel(
                    "two-layer students, $\\alpha$ = 2", "smaller form of the bound",
                    "measured $\\|\\beta\\nabla R\\|^2$",
                    curve("random students", least, pairs[:, 0], style="markers"),
                    curve("equality", ends, ends, "reference"),
                )  # fmt: skip


_SCALE = beta**2 * mutual.jacobian**2

CLAIM = Claim(
    id="C4",
    title="Mutual bias",
    message="What peers add to a gradient is bounded by how much they disagree",
    meaning=(
        "The bound is made of the weight, the size of the Jacobian, and either the disagreement ρ or the divergence, "
        "which is logged anyway. Put into C2 it bounds what mutual learning costs."
    ),
    matters="It is the link between the divergence of predictions and the bias of SGD.",
    direction="tight",
    subject=Subject(A_PRIORI, OBSERVABLE, _SCALE),
    statement=statement,
    assumptions=(
        *mutual.ASSUMPTIONS,
        "R is the mean over inputs and peers of D_α(p‖q), peers held constant; q = softmax(z), z = z(θ, input)",
        "p and q positive, α in (0, ∞)",
    ),
    source=Source("this toolkit; the setting is that of Huang et al. 2023", "2209.05732", own=True),
    checks=(
        kernel_check(lambda subject: mutual.mutual_bias(subject.a_priori, subject.observable, subject.scale)),
        implementation_check(_compared, quick=500, full=20_000, allowed=1e-13),
        search, training, networks,
    ),
    controls=(
        Control("jacobian", "G not squared", Subject(A_PRIORI, OBSERVABLE, beta**2 * mutual.jacobian)),
        Control("half", "tanh² without its factor 2", Subject(A_PRIORI / 2, OBSERVABLE, _SCALE)),
        Control("no-order", "max(1, α) dropped", Subject(A_PRIORI, MEAN_DIVERGENCE, _SCALE)),
        Control(
            "half-order", "max(1, α/2) in place of max(1, α)",
            Subject(A_PRIORI, Max(1, notation.alpha / 2) * MEAN_DIVERGENCE, _SCALE),
        ),
        Control(
            "hundredth", "a hundredth of both forms",
            Subject(A_PRIORI / 100, OBSERVABLE / 100, _SCALE), drawn=True,
        ),
    ),
    caption=(
        "Left: while two students learn from each other, the squared norm of what mutual learning adds stays "
        "below both "
        "forms of the bound. Right: the same for random two-layer students."
    ),
    in_code="convergence.mutual_bias_bound",
)  # fmt: skip
