"""D9: the gradient in the peer's logits is bounded by √2 α tanh(|α-1|ρ/4)/|α-1|."""

from __future__ import annotations

import numpy as np
from sympy import Abs, Expr, sqrt, tanh

from rdml_theory.symbolic.divergence.names import TEACHER_NORM, rho
from rdml_theory.symbolic.divergence.tilt import (
    TEACHER_ASSUMPTIONS,
    TEACHER_BOUND,
    bounded_teacher_gradient,
    teacher_target,
)
from rdml_theory.symbolic.notation import alpha
from verify.checks import function_of, kernel_check, order_panels
from verify.checks.quantities import Points
from verify.checks.search import Side, search_check
from verify.claim import Claim, Context, Control, Panel, Source, Statement

ORDERS = (0.5, 2.0)


def statement(right_side: Expr) -> Statement:
    words = (
        "For every order α in (0, ∞) and number of classes, with α/(α-1) · (w - p) for ∂D_α/∂u, {bound} (its limit at "
        "α = 1), where {rho} bounds the range of log(p/q)"
    )
    return Statement(words, {"bound": teacher_target(right_side).relation(), "rho": rho})


def sides(right_side: Expr) -> tuple[Side, ...]:
    return (
        Side("norm, orders below 1", TEACHER_NORM, right_side, attained=True, alphas=(0, 0.999)),
        Side("norm, orders above 1", TEACHER_NORM, right_side, attained=True, alphas=(1.001, np.inf)),
    )


def _worst(alpha: float) -> Points:
    """Two classes with the peer's mass 1/(1+exp(|α-1|ρ/2)) on the class whose escort mass is the greater."""
    ratio = np.sign(alpha - 1) * np.geomspace(0.2, 20, 9)
    return Points.two_classes(-(alpha - 1) * ratio / 2 - ratio, ratio, alpha)


def panels(right_side: Expr, context: Context) -> tuple[Panel, ...]:
    bound = function_of(right_side, alpha, rho)
    return order_panels(
        context, ORDERS, bound,
        across=("range of the log-ratio $\\rho$", rho),
        upwards=("$\\|\\partial D_\\alpha/\\partial u\\|_2$", TEACHER_NORM),
        window=(0.1, 25.0), worst=_worst, scale="linear",
    )  # fmt: skip


CLAIM = Claim(
    id="D9",
    title="Bounded peer gradient",
    message="The pull on a peer has a bound of its own",
    meaning=(
        "If the gradient is let through to the peer, this bounds how hard the peer is pulled. Far from agreement "
        "that pull can be α/|α-1| times as long as the student's own can ever be."
    ),
    matters="It measures how fast the target moves when peers learn too, which C8 uses.",
    direction="tight",
    subject=TEACHER_BOUND,
    statement=statement,
    assumptions=TEACHER_ASSUMPTIONS,
    source=Source("this toolkit", own=True),
    checks=(kernel_check(bounded_teacher_gradient), search_check(sides, panels=panels, cost=3.0)),
    controls=(
        Control(
            "half-range", "|α-1|ρ/8 in place of |α-1|ρ/4",
            sqrt(2) * alpha * tanh(Abs(alpha - 1) * rho / 8) / Abs(alpha - 1), drawn=True,
        ),
        Control("no-order", "without the factor α", TEACHER_BOUND / alpha),
        Control("student", "the student's bound, √2 tanh(αρ/4)", sqrt(2) * tanh(alpha * rho / 4)),
    ),
    caption=(
        "The norm of the gradient in the peer's logits, which a moving peer feels, stays below the bound; the worst "
        "pair of two classes lies on it."
    ),
    in_code="convergence.drift_bound",
)  # fmt: skip
