"""D11: Pinsker's inequality for orders up to one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sympy import Expr, Rational

from rdml_theory.symbolic.divergence.entries import D
from rdml_theory.symbolic.divergence.names import DISTANCE
from rdml_theory.symbolic.divergence.pinsker import PINSKER, PINSKER_ASSUMPTIONS, pinsker, pinsker_target
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.notation import alpha
from rdml_theory.symbolic.relations import at_most
from verify.checks import function_of, kernel_check, order_panels
from verify.checks.quantities import Points
from verify.checks.search import Side, search_check
from verify.claim import Claim, Context, Control, Panel, Source, Statement

ORDERS = (0.25, 1.0)


GREATEST_ORDER = Rational(1)


@dataclass(frozen=True)
class Subject:
    """A lower bound of the divergence, and up to which order it is asserted."""

    lower_bound: Expr
    greatest_order: Expr = GREATEST_ORDER


def statement(subject: Subject) -> Statement:
    words = "For every number of classes and every order {orders}: {bound}, {D} = D_α(p‖q)"
    orders = at_most(alpha, subject.greatest_order)
    return Statement(words, {"orders": orders, "bound": pinsker_target(subject.lower_bound).relation(), "D": D})


def sides(subject: Subject) -> tuple[Side, ...]:
    alphas = (0.0, float(subject.greatest_order))
    return (Side("Pinsker", subject.lower_bound, divergence, attained=True, alphas=alphas),)


def _symmetric(alpha: float) -> Points:
    """Two classes, p = (1/2+h, 1/2-h) and q = (1/2-h, 1/2+h)."""
    odds = np.geomspace(0.01, 3, 9)
    return Points.two_classes(-odds, 2 * odds, alpha)


def panels(subject: Subject, context: Context) -> tuple[Panel, ...]:
    bound = function_of(subject.lower_bound, alpha, DISTANCE)
    return order_panels(
        context, ORDERS, bound,
        across=("$\\|p-q\\|_1$", DISTANCE), upwards=("$D_\\alpha(p\\|q)$ (nats)", divergence),
        window=(0.02, 2.0), worst=_symmetric,
    )  # fmt: skip


CLAIM = Claim(
    id="D11",
    title="Pinsker's inequality",
    message="A small divergence means close predictions",
    meaning=(
        "The divergence is at least α/2 times the squared distance between the predictions, for orders up to one. "
        "Small divergence therefore means predictions that really are close."
    ),
    matters="It says what a low mutual loss guarantees about the students' agreement.",
    direction="upper bound",
    subject=Subject(PINSKER),
    statement=statement,
    assumptions=PINSKER_ASSUMPTIONS,
    source=Source("Gilardoni 2010; van Erven & Harremoës 2014, Theorem 31; derived here", "1206.2459"),
    checks=(
        kernel_check(lambda subject: pinsker(subject.lower_bound, greatest_order=subject.greatest_order)),
        search_check(sides, panels=panels, cost=2.0),
    ),
    controls=(
        Control("double", "twice the constant", Subject(2 * PINSKER), drawn=True),
        Control("order-two", "orders up to two", Subject(PINSKER, Rational(2))),
        Control("linear", "the distance not squared", Subject(alpha / 2 * DISTANCE)),
        Control("no-order", "without the order", Subject(DISTANCE**2 / 2)),
    ),
    caption=(
        "The divergence of random pairs lies above the parabola in their distance; two symmetric classes approach it "
        "at consensus."
    ),
)
