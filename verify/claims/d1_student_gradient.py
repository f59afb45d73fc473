"""D1: the gradient of the divergence in the student's logits is q - w."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mpmath as mp
import numpy as np
from sympy import Expr

from rdml_theory import renyi_gradient, symbolic
from rdml_theory.symbolic.divergence.entries import ORDER_ONE, in_entries
from rdml_theory.symbolic.divergence.gradients import ASSUMPTIONS, student_target
from rdml_theory.symbolic.notation import k, q, w
from verify.checks import Worst, curve, function_of, kernel_check, losses, panel, reference
from verify.claim import Claim, Context, Control, Found, Panel, Source, Statement, check
from verify.names import along

ORDERS = (0.01, 0.25, 0.5, 0.9, 1.0, 1.001, 1.5, 2.0, 5.0, 20.0)


def statement(right_side: Expr) -> Statement:
    words = (
        "For every order α in (0, ∞) and number C of classes, the gradient ∂D_α(p‖q)/∂z in the student's logits z, "
        "q = softmax(z), has at class k the component {entry}: along every direction v, with q = softmax(z + s·v), "
        "{bound}, where {divergence}"
    )
    target = student_target(right_side)
    formulas = {"entry": in_entries(right_side), "bound": target.relation()}
    return Statement(words, formulas, {"divergence": along(target.left)})


def _at(formula: Any, p: Any, s: Any, alpha: float) -> list[Any]:
    return [formula(x, y) for x, y in zip(s, reference.escort(p, s, alpha), strict=True)]


def _core(formula: Any, pair: reference.Pair) -> Iterator[tuple[str, float]]:
    """Errors of the NumPy core, from logits and from probabilities, in units of the rounding that is expected."""
    logits = renyi_gradient(pair.teacher, pair.student, pair.alpha, wrt="q", domain="logits")
    given, exact = pair.rounded()
    slopes = given[1] * renyi_gradient(*given, pair.alpha, wrt="q", domain="probs", normalise=True)
    for kind, computed, (p, s) in (("logits", logits, pair.exact()), ("probabilities of any sum", slopes, exact)):
        error = reference.distance(computed.tolist(), _at(formula, p, s, pair.alpha)) / reference.rounding(pair)
        yield f"renyi_gradient from {kind} against the formula, in roundings", error


@check("numeric", cost=3.0)
def numeric(right_side: Expr, context: Context) -> Found:
    """Does the formula equal differences of the definition at 60 digits, and does `renyi_gradient` compute it?"""
    formula = function_of(right_side, q[k], w[k], modules="mpmath")

    def missed(pair: reference.Pair) -> Iterator[tuple[str, float]]:
        error = reference.distance(_at(formula, *pair.exact(), pair.alpha), reference.gradient(pair))
        yield "formula against differences of the definition (60 digits), relative", error

    pairs = reference.sample_pairs(context.rng("pairs"), context.pick(quick=60, full=2_000), ORDERS)
    yield from reference.compared(context, pairs, missed, lambda pair: _core(formula, pair), allowed=1e-20)
    yield _panel(right_side)


@check("numeric", id="losses", cost=5.0)
def torch_losses(right_side: Expr, context: Context) -> Found:
    """Do the torch losses have this gradient, times the temperature, at rows that count, next to orders 0, 1 and ∞ and
    along a schedule? (Needs the extra torch, and is left out without it.)

    The losses of one teacher, of two peers, and along a schedule; masked, with temperatures, in two types.
    """
    from rdml_theory.losses import CosineOrder, LinearOrder, MutualLoss, RenyiDivLoss, mutual_loss

    formula = function_of(right_side, q[k], w[k], modules="mpmath")
    worst = Worst()
    count = sum(losses.KEPT)

    def compare(name: str, case: losses.Case, gradient: Any, peers: tuple[int, ...], alpha: float) -> None:
        masked = gradient[[not kept for kept in losses.KEPT]]
        words, allowed = f"{name} ({case.kind}) against the formula", losses.ALLOWED[case.kind]
        worst.see(words, float(masked.abs().max()), allowed)
        for row, (own, *others) in case.rows():
            weights = [reference.escort(others[j], own, alpha) for j in peers]
            exact = [
                case.temperature * mp.fsum(formula(x, v[k]) for v in weights) / len(peers) / count
                for k, x in enumerate(own)
            ]
            worst.see(words, reference.distance(gradient[row].tolist(), exact), allowed)

    def gradient(loss: Any, leaf: Any) -> Any:
        leaf.grad = None
        loss.backward()
        return leaf.grad

    with mp.workdps(reference.DIGITS):
        for case in worst.over(losses.cases(context.rng("losses"))):
            (z, u, v), mask = losses.tensors(case)
            loss = RenyiDivLoss(case.alpha, temperature=case.temperature)(z, u.detach(), mask)
            compare("RenyiDivLoss", case, gradient(loss, z), (0,), case.alpha)
            both = mutual_loss([z, u, v], case.alpha, temperature=case.temperature, mask=mask)
            compare("mutual_loss", case, gradient(both[0], z), (0, 1), case.alpha)
        for case in worst.over(losses.cases(context.rng("schedules"), (0.5,))):
            (z, u, _), mask = losses.tensors(case)
            # on the line, and at a third of the cosine, where it differs from the line
            for schedule, alphas in (
                (LinearOrder(0.5, 2.0, 3), (0.5, 1.0, 1.5, 2.0)),
                (CosineOrder(2.0, 0.5, 3), (2.0, 1.625)),
            ):
                criterion = MutualLoss(schedule)
                for alpha in alphas:
                    compare("schedule", case, gradient(criterion([z, u], mask)[0], z), (0,), alpha)
                    schedule.step()
    yield from worst.comparisons()


def _panel(right_side: Expr) -> Panel:
    """One component of the gradient against the order, for one pair of distributions."""
    formula = function_of(right_side, q[k], w[k])
    teacher, student = np.log([0.7, 0.2, 0.1]), np.log([0.2, 0.5, 0.3])
    fine, coarse = np.geomspace(0.02, 50, 80), np.geomspace(0.02, 50, 15)
    s = np.exp(student)

    def component(alpha: float) -> float:
        weights = np.exp(alpha * teacher + (1 - alpha) * student)
        return float(formula(s, weights / weights.sum())[0])

    measured = [float(reference.gradient(reference.Pair(teacher, student, a))[0]) for a in coarse]
    return panel(
        "one component of the gradient", "order $\\alpha$", "$\\partial D_\\alpha/\\partial z_1$ (nats)",
        curve("$q_1 - w_1$", fine, component, "statement"),
        curve("differences of the definition", coarse, measured, style="markers"), log="x",
    )  # fmt: skip


CLAIM = Claim(
    id="D1",
    title="Student gradient",
    message="The pull of a peer is the student's prediction minus the escort's",
    meaning=(
        "The gradient that a student feels from a peer is the difference of two distributions: its own prediction, "
        "and the escort, a blend of both in which the order α decides how much the peer counts. At α = 1 the escort "
        "is the peer itself, and the gradient is that of distillation with soft labels."
    ),
    matters="Everything that follows about mutual learning is a statement about this one vector, q - w.",
    direction="equality",
    subject=q[k] - w[k],
    statement=statement,
    assumptions=(*ASSUMPTIONS, f"at {ORDER_ONE.text()}, KL(p‖q)", "p positive, α in (0, ∞)"),
    source=Source("derived here; the loss is that of Huang et al. 2023", "2209.05732"),
    checks=(
        kernel_check(symbolic.student_gradient),
        numeric,
        *losses.if_torch(torch_losses),
    ),
    controls=(
        Control("sign", "the sign of w flipped", q[k] + w[k], drawn=True),
        Control("reversed", "the whole gradient reversed", w[k] - q[k]),
    ),
    caption=(
        "The derivative of the divergence in one logit, by differences of the definition at 60 digits, lies on q - w "
        "at every order; the negative control misses it."
    ),
    in_code="rdml_theory.renyi_gradient",
)
