"""D15: the squared gradient norm is at most 2(1 - exp(-max(1, α-1) D))."""

from __future__ import annotations

import numpy as np
from sympy import Expr, Max, exp

from rdml_theory.symbolic.divergence.entries import D
from rdml_theory.symbolic.divergence.names import GRADIENT_NORM
from rdml_theory.symbolic.divergence.self_bound import ASSUMPTIONS, SATURATION, saturating_bound, square_target
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.notation import alpha
from verify.checks import function_of, kernel_check, order_panels
from verify.checks.search import Side, search_check
from verify.claim import Claim, Context, Control, Panel, Source, Statement

ORDERS = (1.0, 4.0)


def statement(right_side: Expr) -> Statement:
    words = "For every order α in (0, ∞) and number of classes, {bound}, {D} = D_α(p‖q)"
    return Statement(words, {"bound": square_target(right_side).relation(), "D": D})


def sides(right_side: Expr) -> tuple[Side, ...]:
    return (
        Side("squared norm, orders up to 2", GRADIENT_NORM**2, right_side, alphas=(0, 2)),
        Side("squared norm, orders from 2", GRADIENT_NORM**2, right_side, alphas=(2, np.inf)),
    )


def panels(right_side: Expr, context: Context) -> tuple[Panel, ...]:
    bound = function_of(right_side, alpha, divergence)
    return order_panels(
        context, ORDERS, bound,
        across=("$D_\\alpha(p\\|q)$ (nats)", divergence), upwards=("$\\|q-w\\|_2^2$", GRADIENT_NORM**2),
        window=(0.0, 4.0), scale="linear",
        reference=("D8, at most 2", lambda order, x: np.minimum(max(1.0, order) * x, 2.0)),
    )  # fmt: skip


CLAIM = Claim(
    id="D15",
    title="Saturating bound",
    message="The squared pull saturates: its bound never exceeds 2",
    meaning=(
        "The squared length of a pull is bounded by a function of the divergence that levels off. Where students "
        "disagree strongly this is sharper than D8, whose bound grows without limit."
    ),
    matters="It keeps the bias bound meaningful at the start of training, when divergences are large.",
    direction="upper bound",
    subject=SATURATION,
    statement=statement,
    assumptions=ASSUMPTIONS,
    source=Source("this toolkit, after Bretagnolle & Huber 1979", own=True),
    checks=(kernel_check(saturating_bound), search_check(sides, panels=panels, cost=3.0)),
    controls=(
        Control("half", "half of the bound", SATURATION / 2, drawn=True),
        Control("no-order", "exp(-D) at every order", 2 * (1 - exp(-divergence))),
        Control("square", "D² in the exponent", 2 * (1 - exp(-Max(1, alpha - 1) * divergence**2))),
    ),
    caption=(
        "The squared gradient norm against the divergence. The bound never exceeds 2, so far from consensus it is the "
        "sharper of the two."
    ),
    in_code="convergence.cohort_bound",
)
