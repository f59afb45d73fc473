"""D3: the Hessian in the student's logits is Cov_q - (1-α) Cov_w."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mpmath as mp
import numpy as np
from sympy import Expr, KroneckerDelta

from rdml_theory import renyi_gradient, renyi_hessian, symbolic
from rdml_theory.symbolic.divergence.entries import ORDER_ONE
from rdml_theory.symbolic.divergence.gradients import ASSUMPTIONS, hessian_target
from rdml_theory.symbolic.notation import alpha, k, l, q, w
from verify.checks import curve, function_of, kernel_check, panel, reference
from verify.claim import Claim, Context, Control, Found, Panel, Source, Statement, check
from verify.names import along

ORDERS = (0.25, 0.5, 0.9, 1.0, 1.5, 2.0, 5.0)


def _covariance(v: Any) -> Expr:
    return KroneckerDelta(k, l) * v[k] - v[k] * v[l]


def statement(right_side: Expr) -> Statement:
    words = (
        "For every order α in (0, ∞) and number C of classes, the Hessian ∂²D_α(p‖q)/∂z² in the student's logits z, "
        "q = softmax(z), has in row k and column l the entry {entry}: along every direction v, with q = softmax(z + "
        "s·v), {bound}, where {divergence}"
    )
    target = hessian_target(right_side)
    return Statement(words, {"entry": right_side, "bound": target.relation()}, {"divergence": along(target.left)})


def _formula(right_side: Expr, modules: str) -> Any:
    """The entry (k, l) as a function of α, δ_kl, q_k, q_l, w_k, w_l."""
    return function_of(right_side, alpha, KroneckerDelta(k, l), q[k], q[l], w[k], w[l], modules=modules)


def _matrix(formula: Any, alpha: Any, s: Any, e: Any) -> list[list[Any]]:
    size = range(len(s))
    return [[formula(alpha, int(a == b), s[a], s[b], e[a], e[b]) for b in size] for a in size]


def _core(formula: Any, pair: reference.Pair) -> Iterator[tuple[str, float]]:
    """Errors of the NumPy core, from logits and from probabilities, in units of the rounding that is expected."""
    logits = renyi_hessian(pair.teacher, pair.student, pair.alpha, wrt="q", domain="logits")
    (given, q), (first, second) = pair.rounded()
    slopes = renyi_gradient(given, q, pair.alpha, wrt="q", domain="probs", normalise=True)
    # In the logarithms of the entries, which are logits.
    entries = np.outer(q, q) * renyi_hessian(given, q, pair.alpha, wrt="q", domain="probs", normalise=True)
    # In logits Cov_q - Cov_w and α Cov_w cancel where the Hessian passes through zero, as for two classes it may. In
    # probabilities the terms of an entry are of the size of α, and cancel where a class has all of w and q.
    w = reference.escort(*pair.exact(), pair.alpha)
    parts = [pair.alpha * ((a == b) - y) * x for a, x in enumerate(w) for b, y in enumerate(w)]
    for kind, product, x, y, least in (
        ("logits", logits, *pair.exact(), mp.norm(parts) if pair.alpha < 1 else 0.0),
        ("probabilities of any sum", entries + np.diag(q * slopes), first, second, max(pair.alpha, 1.0)),
    ):
        values = mp.matrix(_matrix(formula, mp.mpf(pair.alpha), y, reference.escort(x, y, pair.alpha)))
        size = mp.norm(values) + least
        error = float(mp.norm(mp.matrix(product.tolist()) - values) / size) / (4 * reference.rounding(pair))
        yield f"renyi_hessian from {kind} against the formula, in roundings", error


@check("numeric", cost=4.0)
def numeric(right_side: Expr, context: Context) -> Found:
    """Does the formula equal differences of the definition at 60 digits, and does `renyi_hessian` compute it?"""
    formula = _formula(right_side, "mpmath")

    def missed(pair: reference.Pair) -> Iterator[tuple[str, float]]:
        p, s = pair.exact()
        values = _matrix(formula, mp.mpf(pair.alpha), s, reference.escort(p, s, pair.alpha))
        truth = context.shared(_exact, pair)
        scale = max(abs(x) for row in truth for x in row)
        errors = [abs(x - y) / scale for a, b in zip(values, truth, strict=True) for x, y in zip(a, b, strict=True)]
        yield "formula against differences of the definition (60 digits), relative", float(max(errors))

    pairs = reference.sample_pairs(context.rng("pairs"), context.pick(quick=21, full=500), ORDERS, most_classes=4)
    yield from reference.compared(context, pairs, missed, lambda pair: _core(formula, pair), allowed=1e-15)
    yield _panel(right_side)


def _exact(pair: reference.Pair) -> list[list[Any]]:
    size = range(pair.student.size)
    return [[reference.hessian_entry(pair, a, b) for b in size] for a in size]


def _panel(right_side: Expr) -> Panel:
    """The least eigenvalue against the order: the divergence is convex in the logits where it is not negative."""
    formula = _formula(right_side, "numpy")
    teacher, student = np.log([0.9, 0.08, 0.02]), np.log([0.1, 0.3, 0.6])
    fine, coarse = np.geomspace(0.02, 10, 160), np.geomspace(0.02, 10, 9)

    def least(matrix: Any) -> float:
        # The direction of equal shifts has curvature zero at every order and is left out.
        centre = np.eye(3)[:, :2] - np.eye(3)[:, 2:]
        basis, _ = np.linalg.qr(centre)
        return float(np.linalg.eigvalsh(basis.T @ np.array(matrix, dtype=float) @ basis)[0])

    def stated(alpha: float) -> float:
        weights = np.exp(alpha * teacher + (1 - alpha) * student)
        return least(_matrix(formula, alpha, np.exp(student), weights / weights.sum()))

    def measured(alpha: float) -> float:
        pair = reference.Pair(teacher, student, alpha)
        return least([[reference.hessian_entry(pair, a, b) for b in range(3)] for a in range(3)])

    return panel(
        "least curvature in the student's logits", "order $\\alpha$", "least eigenvalue of the Hessian (nats)",
        curve("$Cov_q - (1-\\alpha)Cov_w$", fine, stated, "statement"),
        curve("differences of the definition", coarse, measured, style="markers"),
        curve("convex above", (fine[0], fine[-1]), 0.0, "reference"), log="x",
    )  # fmt: skip


CLAIM = Claim(
    id="D3",
    title="Student Hessian",
    message="Below order one the divergence may curve downwards",
    meaning=(
        "The second derivative in the student's logits is the covariance of the classes under the student, less 1 - α "
        "times that under the escort. Below order one the second part counts against the first, and can outweigh it."
    ),
    matters=(
        "The smoothness constant of the mutual loss, and with it the step sizes that are safe, is read off this "
        "formula."
    ),
    direction="equality",
    subject=_covariance(q) - (1 - alpha) * _covariance(w),
    statement=statement,
    assumptions=(*ASSUMPTIONS, f"at {ORDER_ONE.text()}, KL(p‖q)", "p positive, α in (0, ∞)"),
    source=Source("derived here; the loss is that of Huang et al. 2023", "2209.05732"),
    checks=(kernel_check(symbolic.student_hessian), numeric),
    controls=(
        Control("one-plus-alpha", "1+α in place of 1-α", _covariance(q) - (1 + alpha) * _covariance(w), drawn=True),
        Control("exchanged", "q and w exchanged", _covariance(w) - (1 - alpha) * _covariance(q)),
    ),
    caption=(
        "The least eigenvalue of the Hessian (equal shifts of all logits left out) against the order, for one pair of "
        "distributions: negative at small orders, never for α ≥ 1."
    ),
    in_code="rdml_theory.renyi_hessian",
)
