"""C4a: the mutual bias with the Jacobian's mean Gram matrix, which keeps the averaging over inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sympy import Expr, Integer, Rational

from rdml_theory import renyi_gradient
from rdml_theory.symbolic.mutual import gram as symbolic
from verify.checks import at_least, curve, function_of, kernel_check, panel
from verify.checks.comparisons import at_most as below
from verify.checks.mutual import Measured, history, iris_cohort, measure_networks
from verify.claim import Claim, Context, Control, Found, Source, Statement, check

ORDERS = (0.5, 1.0, 2.0)
GRAM, GREATEST = symbolic.gram, symbolic.greatest


@dataclass(frozen=True)
class Subject:
    """What E‖q - w‖² is multiplied by, in terms of the mean Gram matrix."""

    factor: Expr

    def of(self, gram: float, greatest: float) -> float:
        """The factor's value."""
        return float(function_of(self.factor, GRAM, GREATEST)(gram, greatest))


def statement(subject: Subject) -> Statement:
    words = (
        "For every student, {bound}, J = ∂z/∂θ, E over inputs and peers, where {gram} is the greatest eigenvalue of "
        "E[JᵀJ]; so it may take the place of G² in the mutual bias, and is at most the greatest ‖J‖² of an input, "
        "{greatest}. For a linear softmax student it is 2Λ"
    )
    bound = symbolic.gram_target(subject.factor).relation()
    return Statement(words, {"bound": bound, "gram": GRAM, "greatest": GREATEST})


def _pull(alpha: float, found: Measured) -> float:
    """The smaller bound of E‖q - w‖² in C4."""
    return min(found.spread, max(1.0, alpha) * found.divergence)


@check("numeric")
def aligned(subject: Subject, context: Context) -> Found:
    """Do pulls that are alike on all inputs attain the bound?

    Linear students with one feature, and peers that pull alike on every input.
    """
    for alpha in ORDERS:
        rng = context.rng("aligned", alpha)
        worst, attained = 0.0, np.inf
        for _ in range(context.pick(quick=25, full=2000)):
            # One feature without a constant: J_n = x_n ⊗ I. A pull proportional to x_n makes both sides equal.
            x = np.abs(rng.normal(size=6)) + 0.1
            small = 1e-3
            student = np.zeros((6, 2))
            peer = np.stack([small * x, np.zeros(6)], axis=1)
            pull = renyi_gradient(peer, student, alpha, wrt="q", domain="logits")
            gradient = x @ pull / 6
            stated = subject.of(float((x**2).mean()), float((x**2).max())) * float((pull**2).sum(axis=1).mean())
            ratio = float((gradient**2).sum()) / stated
            worst, attained = max(worst, ratio), min(attained, ratio)
        yield below(f"greatest ‖∇R‖² over stated, aligned pulls, α = {alpha:g}", worst, 1 + 1e-12)
        yield at_least(f"attained by aligned pulls, α = {alpha:g}", attained, 0.999)


@check("training", cost=2.0)
def measured(subject: Subject, context: Context) -> Found:
    """Do students on irises and two-layer students keep it?"""
    steps = context.pick(quick=300, full=10_000)
    count = context.pick(quick=80, full=5_000)
    for alpha in ORDERS:
        rows = context.shared(history, iris_cohort(alpha), steps)
        every = [one for _, students in rows for one in students]
        worst = max(one.square / (subject.of(one.gram, one.jacobian) * _pull(alpha, one)) for one in every)
        gain = max(one.gram / one.jacobian for one in every)
        yield below(f"greatest ratio while training, α = {alpha:g}", worst, 1.0)
        yield below(f"mean Gram over greatest Jacobian, α = {alpha:g}", gain, 1.0)
        found = context.shared(measure_networks, context.rng("networks", alpha), alpha, count)
        ratio = max(one.square / (subject.of(one.gram, one.jacobian) * _pull(alpha, one)) for one in found)
        yield below(f"greatest ratio, two-layer students, α = {alpha:g}", ratio, 1.0, samples=count)
        if alpha == 2.0:
            times, petals = [t for t, _ in rows], [students[1] for _, students in rows]
            stated = [subject.of(one.gram, one.jacobian) * _pull(alpha, one) for one in petals]
            greatest = [one.jacobian * _pull(alpha, one) for one in petals]
            yield panel(
                    "student of the petals, $\\alpha$ = 2", "steps", "squared norm (nats²)",
                    curve("measured $\\|\\nabla R\\|^2$", times, [one.square for one in petals], style="both"),
                    curve("with the mean Gram matrix", times, stated, "statement"),
                    curve("with the greatest Jacobian (C4)", times, greatest, "reference"),
                )  # fmt: skip


CLAIM = Claim(
    id="C4a",
    title="Mean Gram matrix",
    message="The mean Gram matrix bounds the bias better than the worst input",
    meaning=(
        "The greatest squared Jacobian of a single input may be replaced by the greatest eigenvalue of the mean "
        "Gram matrix, which is smaller. For a linear student it is just twice the smoothness constant."
    ),
    matters="Without it the bound of the bias would be set by the one worst input of the data.",
    direction="tight",
    subject=Subject(GRAM * Integer(1)),
    statement=statement,
    assumptions=symbolic.ASSUMPTIONS,
    source=Source("this toolkit", own=True),
    checks=(kernel_check(lambda subject: symbolic.gram_bound(subject.factor)), aligned, measured),
    controls=(
        Control("half", "half the eigenvalue", Subject(GRAM / 2)),
        Control("twentieth", "a twentieth of the eigenvalue", Subject(GRAM * Rational(1, 20)), drawn=True),
        Control("greatest", "the greatest ‖J‖², said to be attained", Subject(GREATEST * Integer(1))),
    ),
    caption=(
        "What mutual learning adds to a student's gradient while two students train on irises, with both bounds: the "
        "mean Gram matrix gains a factor over the greatest Jacobian of an input."
    ),
    in_code="convergence.mutual_bias_bound",
)
