"""D17: up to order one half the constant of the self-bounding gradient is 0.8146."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sympy import Expr, Rational

from rdml_theory.symbolic.divergence.entries import D
from rdml_theory.symbolic.divergence.names import GRADIENT_NORM
from rdml_theory.symbolic.divergence.sharp import ASSUMPTIONS, SHARP_CONSTANT, sharp_self_bounding, sharp_target
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.notation import alpha
from rdml_theory.symbolic.relations import at_most
from verify.checks import kernel_check, order_panels
from verify.checks.quantities import Points
from verify.checks.search import Side, search_check
from verify.claim import Claim, Context, Control, Panel, Source, Statement

ORDERS = (0.1, 0.5)
GREATEST_ORDER = Rational(1, 2)


@dataclass(frozen=True)
class Subject:
    """A constant, and up to which order it is asserted."""

    constant: Expr
    greatest_order: Expr = GREATEST_ORDER


def statement(subject: Subject) -> Statement:
    words = "For every number of classes and every order {orders}: {bound}, {D} = D_α(p‖q)"
    orders = at_most(alpha, subject.greatest_order)
    return Statement(words, {"orders": orders, "bound": sharp_target(subject.constant).relation(), "D": D})


def sides(subject: Subject) -> tuple[Side, ...]:
    alphas = (0.0, float(subject.greatest_order))
    bound = subject.constant * divergence
    return (Side("squared norm", GRADIENT_NORM**2, bound, attained=True, alphas=alphas, path=vertex(0.5, 0.2847)),)


def vertex(alpha: float, mass: float | np.ndarray) -> Points:
    """Two classes, the student with this mass on the first, the escort all but at that vertex."""
    odds = np.log(mass / (1 - np.asarray(mass)))
    return Points.two_classes(odds, (40 - odds) / alpha, alpha)


def panels(subject: Subject, context: Context) -> tuple[Panel, ...]:
    constant = float(subject.constant)
    return order_panels(
        context, ORDERS, lambda alpha, x: constant * x,
        across=("$D_\\alpha(p\\|q)$ (nats)", divergence), upwards=("$\\|q-w\\|_2^2$", GRADIENT_NORM**2),
        window=(0.0, 3.0), worst=lambda alpha: vertex(alpha, np.linspace(0.06, 0.94, 15)), scale="linear",
        reference=("D8, constant 1", lambda alpha, x: x),
    )  # fmt: skip


CLAIM = Claim(
    id="D17",
    title="Sharp constant for small orders",
    message="For orders up to ½ the constant of D8 falls to 0.8146",
    meaning=(
        "In D8 the squared pull is at most the divergence, and for small orders it is at most 81.46% of it. The "
        "search comes within a hundredth of a percent of that, with two classes and the escort at a vertex."
    ),
    matters="It sharpens, for small orders, every bound of the bias that goes through the divergence.",
    direction="upper bound",
    subject=Subject(SHARP_CONSTANT),
    statement=statement,
    assumptions=(
        *ASSUMPTIONS,
        "p and q positive; the search comes near with two classes, q = (0.285, 0.715) and the escort at a vertex",
    ),
    source=Source("this toolkit", own=True),
    checks=(
        kernel_check(lambda subject: sharp_self_bounding(subject.constant, greatest_order=subject.greatest_order)),
        search_check(sides, panels=panels, cost=2.0),
    ),
    controls=(
        Control("four-fifths", "the constant 4/5", Subject(Rational(4, 5))),
        Control("half", "half of the constant", Subject(SHARP_CONSTANT / 2), drawn=True),
        Control("order-one", "orders up to one", Subject(SHARP_CONSTANT, Rational(1))),
    ),
    caption=(
        "Up to order 1/2 the squared gradient norm stays below 0.8146 times the divergence. Two classes with the "
        "escort at a vertex touch the line."
    ),
    in_code="convergence.cohort_bound",
)
