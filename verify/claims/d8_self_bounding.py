"""D8: the squared gradient norm is at most max(1, α) times the divergence itself."""

from __future__ import annotations

import numpy as np
from sympy import Expr, Max, Min

from rdml_theory.symbolic.divergence.entries import D
from rdml_theory.symbolic.divergence.names import ESCORT_DISTANCE, GRADIENT_NORM
from rdml_theory.symbolic.divergence.self_bound import (
    ASSUMPTIONS,
    SELF_BOUND,
    self_bounding,
    self_bounding_target,
    square_target,
)
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.notation import alpha
from verify.checks import function_of, kernel_check, order_panels
from verify.checks.quantities import Points
from verify.checks.search import Side, search_check
from verify.claim import Claim, Context, Control, Panel, Source, Statement
from verify.claims.d17_sharp_constant import vertex

ORDERS = (0.25, 1.0, 4.0)


def statement(right_side: Expr) -> Statement:
    words = "For every order α in (0, ∞) and number of classes, {first}, and even {second}, {D} = D_α(p‖q)"
    targets = {"first": square_target(right_side), "second": self_bounding_target(right_side)}
    return Statement(words, {name: told.relation() for name, told in targets.items()} | {"D": D})


def sides(right_side: Expr) -> tuple[Side, ...]:
    return (
        Side("squared norm, orders up to 1", GRADIENT_NORM**2, right_side, alphas=(0, 1)),
        Side("squared norm, orders from 1", GRADIENT_NORM**2, right_side, attained=True, alphas=(1, np.inf)),
        Side("squared total variation, orders from 1", 2 * ESCORT_DISTANCE**2, right_side, attained=True,
             alphas=(1, np.inf)),
    )  # fmt: skip


def _worst(alpha: float) -> Points:
    """Two classes on the way to consensus; at small orders with the escort at a vertex (D17)."""
    if alpha <= 0.5:
        return vertex(alpha, np.linspace(0.06, 0.94, 9))
    return Points.two_classes(0.0, np.geomspace(0.02, 20, 9), alpha)


def panels(right_side: Expr, context: Context) -> tuple[Panel, ...]:
    bound = function_of(right_side, alpha, divergence)
    return order_panels(
        context, ORDERS, bound,
        across=("$D_\\alpha(p\\|q)$ (nats)", divergence), upwards=("$\\|q-w\\|_2^2$", GRADIENT_NORM**2),
        window=(1e-4, 10.0), worst=_worst,
    )  # fmt: skip


CLAIM = Claim(
    id="D8",
    title="Self-bounding gradient",
    message="The squared pull is at most max(1, α) times the divergence",
    meaning=(
        "Up to order one the squared length of the pull is thus at most the divergence itself, and beyond that at "
        "most α times as much. What a training loop already logs as its mutual loss therefore bounds the bias that it "
        "causes."
    ),
    matters="It turns a quantity that nobody can observe, the bias, into one that everybody has in the log.",
    direction="upper bound",
    subject=SELF_BOUND,
    statement=statement,
    assumptions=ASSUMPTIONS,
    source=Source("this toolkit", own=True),
    checks=(kernel_check(self_bounding), search_check(sides, panels=panels, cost=4.0)),
    controls=(
        Control("half", "half of the constant", SELF_BOUND / 2, drawn=True),
        Control("minimum", "orders above and below one exchanged", Min(1, alpha) * divergence),
        Control("order", "α in place of max(1, α)", alpha * divergence),
        Control("square", "the divergence squared", Max(1, alpha) * divergence**2),
    ),
    caption=(
        "The squared norm of the student gradient stays below max(1, α) times the divergence, which training observes. "
        "From order one two classes reach the line as they approach consensus."
    ),
    in_code="convergence.mutual_bias_bound",
)
