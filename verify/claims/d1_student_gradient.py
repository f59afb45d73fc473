"""D1: the gradient of the divergence in the student's logits is q - w."""

from __future__ import annotations

import mpmath as mp
import numpy as np
from sympy import Expr, Symbol, lambdify

from rdml_theory import renyi_gradient, symbolic
from rdml_theory.symbolic.derivation import Derivation
from rdml_theory.symbolic.notation import k, q, w
from verify.checks import reference
from verify.checks.comparisons import at_most
from verify.checks.symbolic import symbolic_check
from verify.claim import Check, Claim, Finding, Source, Statement, Twin
from verify.context import Context
from verify.records import Curve, Panel

ORDERS = (0.01, 0.25, 0.5, 0.9, 1.0, 1.001, 1.5, 2.0, 5.0, 20.0)


def derivation(right_side: Expr) -> Derivation:
    return symbolic.student_gradient(right_side)


def statement(right_side: Expr) -> Statement:
    derived = derivation(right_side)
    formulas = {"gradient": derived.statement, **{f"{name}_is": d for name, d in derived.definitions.items()}}
    return Statement("For every order and number of classes, {gradient}, where {q_is} and {w_is}", formulas)


def _formula(right_side: Expr, modules: str) -> object:
    names = {q[k]: Symbol("q_k"), w[k]: Symbol("w_k")}
    return lambdify(tuple(names.values()), right_side.xreplace(names), modules)


def numeric(right_side: Expr, context: Context) -> Finding:
    formula = _formula(right_side, "mpmath")
    pairs = reference.sample_pairs(context.rng("pairs"), context.pick(quick=60, full=2_000), ORDERS)
    stated, computed = 0.0, 0.0
    for number, pair in enumerate(pairs):
        with mp.workdps(reference.DIGITS):
            exact = reference.gradient(pair)
            p, s = reference.softmax(list(pair.teacher)), reference.softmax(list(pair.student))
            values = [formula(x, y) for x, y in zip(s, reference.escort(p, s, pair.order), strict=True)]  # type: ignore[operator]
            size = mp.norm(exact)
            stated = max(stated, float(mp.norm([a - b for a, b in zip(values, exact, strict=True)]) / size))
            product = renyi_gradient(pair.teacher, pair.student, pair.order, wrt="q", domain="logits")
            gap = mp.norm([mp.mpf(float(a)) - b for a, b in zip(product, values, strict=True)]) / size
            computed = max(computed, float(gap))
        context.progress((number + 1) / len(pairs))
    comparisons = (
        at_most(
            "formula against differences of the definition (60 digits), relative", stated, 1e-20, samples=len(pairs)
        ),
        # The logits' own rounding enters with the condition number of the difference u - z, up to 1e4 here.
        at_most("rdml_theory.renyi_gradient against the formula, relative", computed, 1e-10, samples=len(pairs)),
    )
    return Finding(comparisons=comparisons, panels=(_panel(right_side),))


def _panel(right_side: Expr) -> Panel:
    """One component of the gradient against the order, for one pair of distributions."""
    formula = _formula(right_side, "numpy")
    teacher, student = np.log([0.7, 0.2, 0.1]), np.log([0.2, 0.5, 0.3])
    fine, coarse = np.geomspace(0.02, 50, 80), np.geomspace(0.02, 50, 15)
    s = np.exp(student)

    def component(order: float) -> float:
        weights = np.exp(order * teacher + (1 - order) * student)
        return float(formula(s, weights / weights.sum())[0])  # type: ignore[operator]

    measured = [float(reference.gradient(reference.Pair(teacher, student, a))[0]) for a in coarse]
    return Panel(
        title="one component of the gradient",
        x_label="order $\\alpha$",
        y_label="$\\partial D_\\alpha/\\partial z_1$ (nats)",
        x_scale="log",
        curves=(
            Curve(label="statement", role="statement", x=tuple(fine), y=tuple(component(a) for a in fine)),
            Curve(
                label="differences of the definition",
                role="measured",
                style="markers",
                x=tuple(coarse),
                y=tuple(measured),
            ),
        ),
    )


CLAIM = Claim(
    id="D1",
    title="Student gradient",
    direction="equality",
    subject=q[k] - w[k],
    statement=statement,
    derivation=derivation,
    assumptions=("q = softmax(z), p and q positive", "α in [0, ∞); at α = ∞ it is a subgradient"),
    source=Source("derived here; the loss is that of Huang et al. 2023", "2209.05732"),
    checks=(
        symbolic_check(derivation),
        Check(
            "numeric",
            "numeric",
            "Does the formula equal differences of the definition at 60 digits, and does `renyi_gradient` compute it?",
            numeric,
            cost=3.0,
        ),
    ),
    twins=(
        Twin("sign", "the sign of w flipped", q[k] + w[k], drawn=True),
        Twin("reversed", "the whole gradient reversed", w[k] - q[k]),
    ),
    caption=(
        "The derivative of the divergence in one logit, by differences of the definition at 60 digits, lies on q - w "
        "at every order; the false twin misses it."
    ),
)
