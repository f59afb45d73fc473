"""D16: from order 1/2 the gradient dominates the divergence: it vanishes only at consensus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sympy import Expr, Rational

from rdml_theory.symbolic.divergence.entries import D
from rdml_theory.symbolic.divergence.escort import (
    DOMINATED,
    DOMINATION_ASSUMPTIONS,
    domination_target,
    gradient_domination,
)
from rdml_theory.symbolic.divergence.names import GRADIENT_NORM, LEAST_PROBABILITY
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.notation import alpha
from rdml_theory.symbolic.relations import at_least
from verify.checks import function_of, kernel_check, order_panels
from verify.checks.quantities import Points
from verify.checks.search import Side, search_check
from verify.claim import Claim, Context, Control, Panel, Source, Statement

ORDERS = (0.5, 2.0)


LEAST_ORDER = Rational(1, 2)


@dataclass(frozen=True)
class Subject:
    """What is at most the squared gradient norm, and from which order it is asserted."""

    dominated: Expr
    least_order: Expr = LEAST_ORDER


def statement(subject: Subject) -> Statement:
    words = "For every number of classes and every order {orders}: {bound}, {omega} = min q, {D} = D_α(p‖q)"
    orders = at_least(alpha, subject.least_order)
    bound = domination_target(subject.dominated).relation()
    return Statement(words, {"orders": orders, "bound": bound, "omega": LEAST_PROBABILITY, "D": D})


def sides(subject: Subject) -> tuple[Side, ...]:
    alphas = (float(subject.least_order), np.inf)
    return (Side("domination", subject.dominated, GRADIENT_NORM**2, attained=True, alphas=alphas),)


def panels(subject: Subject, context: Context) -> tuple[Panel, ...]:
    """‖q - w‖² against ω D, at two orders; the statement is the diagonal."""
    factor = function_of(subject.dominated, alpha, LEAST_PROBABILITY, divergence)
    return order_panels(
        context, ORDERS, lambda order, x: factor(order, 1.0, x),
        across=("$\\omega D_\\alpha(p\\|q)$ (nats)", DOMINATED), upwards=("$\\|q-w\\|_2^2$", GRADIENT_NORM**2),
        window=(1e-5, 1.0), worst=lambda order: Points.two_classes(0.0, np.geomspace(0.04, 10, 9), order),
    )  # fmt: skip


CLAIM = Claim(
    id="D16",
    title="Gradient domination",
    message="The pull cannot vanish while students disagree",
    meaning=(
        "For orders from one half on, the squared pull is at least the divergence times the student's least "
        "probability. A student feels a pull until it agrees with its peer, unless one of its probabilities has come "
        "near zero."
    ),
    matters=(
        "With free logits it makes the mutual loss fall geometrically under gradient descent, as long as no "
        "probability comes near zero."
    ),
    direction="upper bound",
    subject=Subject(DOMINATED),
    statement=statement,
    assumptions=DOMINATION_ASSUMPTIONS,
    source=Source("this toolkit", own=True),
    checks=(
        kernel_check(lambda subject: gradient_domination(subject.dominated, least_order=subject.least_order)),
        search_check(sides, panels=panels, cost=2.0),
    ),
    controls=(
        Control("double", "twice the constant", Subject(2 * DOMINATED), drawn=True),
        Control("order-quarter", "orders from 1/4", Subject(DOMINATED, Rational(1, 4))),
        Control("no-floor", "without the least probability", Subject(divergence)),
    ),
    caption=(
        "A Polyak-Łojasiewicz inequality: the squared gradient norm lies above the least probability times the "
        "divergence. Two classes reach it at order 1/2 as they approach consensus."
    ),
)
