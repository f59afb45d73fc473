"""D7: the student gradient is bounded by √2 tanh(αρ/4), whatever the probabilities."""

from __future__ import annotations

import numpy as np
from sympy import Expr, sqrt, tanh

from rdml_theory.symbolic.divergence.names import GRADIENT_NORM, SPREAD, rho
from rdml_theory.symbolic.divergence.tilt import ASSUMPTIONS, RANGE_WITH_FLOOR, bounded_gradient, gradient_target
from verify.checks import function_of, kernel_check, scatter_panel
from verify.checks.quantities import Points
from verify.checks.search import Side, search_check
from verify.claim import Claim, Context, Control, Panel, Source, Statement


def statement(right_side: Expr) -> Statement:
    words = "For every order α in (0, ∞) and number of classes, {bound}, where {rho} bounds the range of log(p/q)"
    return Statement(words, {"bound": gradient_target(right_side).relation(), "rho": rho})


def _worst(spreads: np.ndarray) -> Points:
    """Two classes, q = (s, 1-s) with s = 1/(1+exp(δ/2)), at order 1 with log-ratio (δ, 0)."""
    return Points.two_classes(-spreads / 2, spreads, 1.0)


def sides(right_side: Expr) -> tuple[Side, ...]:
    path = _worst(np.array([0.1, 1.0, 4.0, 16.0]))
    return (
        Side("norm", GRADIENT_NORM, right_side, attained=True, path=path),
        Side("range with a floor", rho, RANGE_WITH_FLOOR, attained=True),
    )


def panels(right_side: Expr, context: Context) -> tuple[Panel, ...]:
    bound = function_of(right_side, SPREAD)
    return (
        scatter_panel(
            context,
            title="gradient norm against spread",
            across=("$\\delta = \\alpha\\rho$", SPREAD),
            upwards=("$\\|q - w\\|_2$", GRADIENT_NORM),
            bound=bound,
            window=(0.01, 24.0),
            alphas=(0.13, 7.4),
            scale="linear",
            worst=_worst(np.linspace(0.5, 24, 16)),
            reference=("$\\sqrt{2}$", lambda x: np.full_like(x, 2**0.5)),
        ),
    )


CLAIM = Claim(
    id="D7",
    title="Bounded gradient",
    message="A pull is never longer than √2, however much students disagree",
    meaning=(
        "For small disagreement the pull on the student's logits grows in proportion to the order and to the range ρ "
        "of the log-ratio, and then it levels off. Two classes show that nothing smaller would do."
    ),
    matters=(
        "It bounds what mutual learning can do to a gradient without any assumption on how small probabilities may get."
    ),
    direction="tight",
    subject=sqrt(2) * tanh(SPREAD / 4),
    statement=statement,
    assumptions=(*ASSUMPTIONS, "p and q positive; no floor on them is needed", "α in (0, ∞)"),
    source=Source("this toolkit", own=True),
    checks=(kernel_check(bounded_gradient), search_check(sides, panels=panels, cost=2.0)),
    controls=(
        Control("half-spread", "tanh(αρ/8) in place of tanh(αρ/4)", sqrt(2) * tanh(SPREAD / 8), drawn=True),
        Control("no-root", "without the factor √2", tanh(SPREAD / 4)),
    ),
    caption=(
        "The norm of the student gradient of random pairs stays below the bound, and the worst pair of two classes "
        "lies on it; half the spread would not do."
    ),
    in_code="convergence.mutual_bias_bound",
)
