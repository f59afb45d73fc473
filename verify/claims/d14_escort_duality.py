"""D14: the divergence from the peer is the divergence from the escort at the reciprocal order."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
from sympy import Expr

from rdml_theory import escort, renyi_divergence
from rdml_theory.symbolic.divergence.entries import D
from rdml_theory.symbolic.divergence.escort import DUAL, DUALITY_ASSUMPTIONS, dual_target, escort_duality
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.notation import alpha, i, p, q, w
from verify.checks import Worst, curve, kernel_check, panel, reference
from verify.claim import Claim, Context, Control, Found, Panel, Source, Statement, check

ORDERS = (0.1, 0.5, 0.9, 1.1, 2.0, 10.0)


def statement(right_side: Expr) -> Statement:
    words = "For every order α in (0, ∞) and number of classes, {D} = D_α(p‖q) is {dual}: {bound}"
    return Statement(words, {"D": D, "dual": right_side, "bound": dual_target(right_side).relation()})


def _of(right_side: Any, order: Any, pair: tuple[Any, Any, Any]) -> Any:
    """The right side, a divergence of two among p, q and w at an order, in mpmath."""
    places = {p: pair[0], q: pair[1], w: pair[2]}
    first, second, stated, _ = right_side.args
    return reference.divergence(places[first.base], places[second.base], mp.mpf(stated.subs(alpha, order)))


@check("numeric", cost=2.0)
def numeric(right_side: Expr, context: Context) -> Found:
    """Do the two sides agree at 60 digits, and does `renyi_divergence` of `escort` at the reciprocal order?"""
    pairs = reference.sample_pairs(context.rng("pairs"), context.pick(quick=60, full=2_000), ORDERS)
    worst = Worst()
    of_escort = "renyi_divergence of the escort at the reciprocal order, orders up to 2, relative to max(D, 1e-3)"
    for pair in worst.over(context.each(pairs)):
        with mp.workdps(reference.DIGITS):
            first, second = pair.exact()
            middle = reference.escort(first, second, pair.alpha)
            alpha = mp.mpf(pair.alpha)
            exact = reference.divergence(first, second, alpha)
            # The order is a binary fraction; its reciprocal is taken at 60 digits.
            error = float(abs(_of(right_side, alpha, (first, second, middle)) - exact) / exact)
        worst.see("the two sides by their definitions (60 digits), relative", error, 1e-30)
        logs = np.log(escort(pair.teacher, pair.student, pair.alpha, domain="logits"))
        if np.isfinite(logs).all() and pair.alpha <= 2:
            product = float(renyi_divergence(logs, pair.student, 1 / pair.alpha, domain="logits"))
            worst.see(of_escort, float(abs(product - exact) / max(exact, mp.mpf("1e-3"))), reference.ROUNDING)
    yield from worst.comparisons()
    yield _panel(right_side)


def _panel(right_side: Expr) -> Panel:
    first, second = [0.7, 0.2, 0.1], [0.2, 0.5, 0.3]
    fine, coarse = np.geomspace(0.052, 21, 80), np.geomspace(0.052, 21, 15)

    def stated(alpha: float) -> float:
        return float(_of(right_side, alpha, (first, second, reference.escort(first, second, alpha))))

    return panel(
        "one pair of three classes", "order $\\alpha$", "divergence (nats)",
        curve("escort: $D_{1/\\alpha}(w\\|q)$", fine, stated, "statement"),
        curve("$D_\\alpha(p\\|q)$", coarse, lambda a: reference.divergence(first, second, a), style="markers"),
        log="x",
    )  # fmt: skip


_limits = divergence.args[3]

CLAIM = Claim(
    id="D14",
    title="Escort duality",
    message="Order α from the peer is order 1/α from the escort",
    meaning=(
        "The divergence of a peer from the student at order α equals that of their escort at order 1/α. Large "
        "orders are thus small ones in disguise."
    ),
    matters="What is proved for one side of order one carries over to the other by this identity.",
    direction="equality",
    subject=DUAL,
    statement=statement,
    assumptions=DUALITY_ASSUMPTIONS,
    source=Source("this toolkit", own=True),
    checks=(kernel_check(escort_duality), numeric),
    controls=(
        Control("peer", "the peer in place of the escort", divergence.func(w[i], p[i], 1 / alpha, _limits), drawn=True),
        Control("exchanged", "student and escort exchanged", divergence.func(q[i], w[i], 1 / alpha, _limits)),
        Control("order", "at the same order", divergence.func(w[i], q[i], alpha, _limits)),
    ),
    caption=(
        "The divergence of one pair at every order, and the divergence of its escort from the student at the "
        "reciprocal order."
    ),
    in_code="rdml_theory.escort",
)
