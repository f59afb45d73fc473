"""C9: functions whose gradient grows with the value (Polyak-Łojasiewicz). The value itself converges to a floor."""

from __future__ import annotations

from typing import Any

from sympy import Abs, Integer, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import (
    At,
    AtMost,
    Equal,
    ForAll,
    Gradient,
    Inner,
    Less,
    Mean,
    Proof,
    Theorem,
    Value,
    absolute,
    assume,
    combine,
    expectation,
    generalise,
    induct,
    magnitude,
    nonnegative,
    rewrite,
    specialise,
    square,
)  # fmt: skip
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.descent import bias, eta, gap, h, horizon, noise
from rdml_theory.symbolic.sgd.extremal import BIAS_SIZE, HEIGHT, floor, newton_value
from rdml_theory.symbolic.sgd.setting import (
    after,
    assumptions,
    b,
    exact,
    first,
    g,
    given,
    infimum,
    one_step,
    smoothness,
    squared,
    t,
    x,
    y,
)  # fmt: skip

__all__ = ["ASSUMPTIONS", "PL", "SPEED", "growth", "pl_bound", "pl_target", "trade"]

Term = Any

growth: Formula = Symbol("mu", positive=True)
"""μ, with ‖∇f‖² ≥ 2μ(f - inf f)."""

trade: Formula = Symbol("s", positive=True)
"""How the cross term of gradient and bias is shared out between their squares."""

_AWAY = Abs(1 - h)
SPEED: Formula = growth * (2 - h - _AWAY * trade)
"""κ: the excess shrinks by 1 - ηκ in a step. For s = 1 and h ≤ 1 it is μ."""

PL: Formula = (1 - eta * SPEED) ** horizon * gap + (h * noise**2 + (h + _AWAY / trade) * bias**2) / (2 * SPEED)
"""The bound of E f(x_T) - inf f, for 0 < h < 2 and any s for which κ is positive."""

GROWS = ForAll(y, AtMost(2 * growth * (Value("f", y) - infimum), square(Gradient("f", y))))
SLOWER = AtMost(growth, smoothness)
ROOM = Less(_AWAY * trade, 2 - h)
GENTLE = ForAll(y, Equal(Value("f", y), growth * square(y) / 2))
GENTLE_SLOPE = ForAll(y, Equal(Gradient("f", y), growth * y))
_STILL = ForAll(t, Equal(b, -g))

ASSUMPTIONS = assumptions(
    "smooth", "start", "update", "centred", "noise", "bias of a step", "h", GROWS.text(), SLOWER.text(), ROOM.text()
)
"""What the bound assumes, as text."""


def pl_target(right_side: Term = PL) -> AtMost:
    """``E f(x_T) - f_inf ≤`` the right side.

    >>> print(pl_target().text())
    E[f(x_T)] - f_inf ≤ Δ·(1 - η·μ·(2 - h - s·|h - 1|))^T + (Z²·(h + |h - 1|/s) + h·σ²)/(2·μ·(2 - h - s·|h - 1|))
    """
    return AtMost(_excess(At("x", horizon)), right_side)


def _excess(point: Term) -> Term:
    return Mean(Value("f", point)) - infimum


@of_formulas()
def pl_bound(right_side: Formula = PL) -> Proof:
    """``E f(x_T) - inf f ≤ (1-ηκ)^T Δ + (hσ² + (h + |1-h|/s)Z²)/(2κ)`` if ‖∇f‖² ≥ 2μ(f - inf f), for 0 < h < 2.

    Here ``κ = μ(2 - h - |1-h|s) > 0`` for any s > 0: 1 gives the classical rate 1 - ημ for h ≤ 1, and the s of the
    least floor makes it that of C2, over 2μ. It is attained at h = 1 and μ = Λ, and for h ≤ 1 without noise its floor
    Z²/(2μ) is, for every μ. The inequality is that of Karimi, Nutini & Schmidt 2016, arXiv 1608.04636; the bias has a
    mean square of at most Z² at every step. This toolkit's own for h > 1.

    Parameters
    ----------
    right_side : Expr, optional
        The asserted bound.

    Raises
    ------
    ProofError
        If the argument does not give what is asserted.

    Examples
    --------
    >>> pl_bound().axioms
    ('descent lemma',)
    >>> pl_bound(PL.subs(bias, 0))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: E[f(x_{t + 1})] - f_inf ≤ ... is not this ...
    """
    asserted = exact(right_side)

    def bound(steps: Term) -> Term:
        return asserted.subs(horizon, steps)

    grows = specialise(assume(GROWS, reason="given"), x, reason="at x_t")
    lost = h * noise**2 + (h + _AWAY / trade) * bias**2
    room = combine(Less(0, 2 - h - _AWAY * trade), [(1, assume(ROOM, reason="given"))], reason="so κ is positive")
    recursion = combine(
        AtMost(_excess(after), (1 - eta * SPEED) * _excess(x) + eta / 2 * lost),
        [
            (1, one_step()),
            *((eta * weight, square_) for weight, square_ in _shared()),
            (eta * (2 - h - _AWAY * trade) / 2, expectation(grows, reason="take expectations")),
            (eta * (h + _AWAY / trade) / 2, given("bias of a step", t)),
        ],
        known=[room, *_signs()],
        reason="‖∇f(x_t)‖² is at least 2μ times the value above the infimum",
    )
    least = nonnegative((1 - h) ** 2, reason="a square")
    slower = combine(
        AtMost(0, h - eta * growth), [(eta, assume(SLOWER, reason="given")), (-1, given("h"))], reason="ημ is at most h"
    )
    shrinks = combine(
        AtMost(0, 1 - eta * SPEED),
        [(1, least), (2 - h - _AWAY * trade, slower)],
        slack=h * _AWAY * trade,
        known=[room],
        reason="so 1-ηκ is not negative",
    )
    step = combine(
        AtMost(_excess(after), bound(t + 1)),
        [
            (1, recursion),
            (1 - eta * SPEED, assume(AtMost(_excess(x), bound(t)), known=[room], reason="suppose it holds at t")),
        ],
        known=[shrinks, room],
        reason="then it holds at t + 1",
    )
    base = combine(
        AtMost(_excess(first), bound(Integer(0))), [(1, given("start"))], slack=lost / (2 * SPEED),
        known=[room], reason="it holds at 0, where the floor is to spare",
    )  # fmt: skip
    always = induct(base, step, t, reason="by induction")
    last = specialise(always, horizon, reason="at the last step")
    return Proof(
        (combine(pl_target(asserted), [(1, last)], reason="as asserted"), _attained(asserted), _rests(asserted))
    )


def _signs() -> list[Theorem]:
    """|1-h| is at least 1-h and h-1."""
    return [
        combine(
            AtMost(0, _AWAY - e), [(1, absolute(e, reason="a number is at most its size"))], reason="so this is too"
        )
        for e in (1 - h, h - 1)
    ]


def _shared() -> list[tuple[Term, Theorem]]:
    """Squares and their weights, which take the cross term away: ``s‖g‖² ± 2<g, b> + ‖b‖²/s`` is not negative."""
    out = []
    for side, weight in ((1, (_AWAY + 1 - h) / 4), (-1, (_AWAY - 1 + h) / 4)):
        both = combine(
            AtMost(0, trade * square(g) + 2 * side * Inner(g, b) + square(b) / trade),
            [(1 / trade, nonnegative(square(trade * g + side * b), reason="a squared norm"))],
            reason="divide by s",
        )
        out.append((weight, expectation(both, reason="take expectations")))
    return out


def _attained(asserted: Term) -> Theorem:
    """On ``f = Λ‖x‖²/2``, where μ = Λ, with η = 1/Λ: equality after any number of steps but none."""
    height = specialise(assume(HEIGHT, reason="given: f = Λ‖x‖²/2"), after, reason="at x_{t+1}")
    there = asserted.subs({growth: smoothness, h: 1, horizon: t + 1}).subs(eta, 1 / smoothness)
    equality = combine(
        Equal(Mean(Value("f", after)), there),
        [(1, expectation(height, reason="take expectations")), (1 / (2 * smoothness), newton_value())],
        reason="with μ = Λ and h = 1 the bound is attained: f has the infimum 0",
    )
    return generalise(equality, t, reason="at every horizon")


def _rests(asserted: Term) -> Theorem:
    """On ``f = μ‖x‖²/2``, for any μ and h ≤ 1, a bias against the gradient keeps the limit of the bound at s = 1."""
    limit = asserted.subs({trade: 1, gap: 0, noise: 0})
    sign = combine(AtMost(0, 1 - h), [(1, given("h ≤ 1"))], reason="which gives |1-h| its sign")
    away = magnitude(1 - h, known=[sign], reason="|1-h| is this")
    room = assume(Less(_AWAY, 2 - h), reason="given: κ is positive")
    named = assume(Equal(floor, limit), known=[room], reason="given: F is the limit for T → ∞, without noise, at s = 1")
    is_floor = rewrite(named, away, reason="written out")
    slope, height, still, size = (
        specialise(assume(told, reason="given: f = μ‖x‖²/2, and b = -∇f of mean square Z²"), at, reason="at x_t")
        for told, at in ((GENTLE_SLOPE, x), (GENTLE, x), (_STILL, t), (BIAS_SIZE, t))
    )
    equality = combine(
        Equal(_excess(x) + infimum, floor),
        [
            (1, expectation(height, reason="take expectations")),
            (-1 / (2 * growth), expectation(squared(slope), reason="take expectations")),
            (-1 / (2 * growth), expectation(squared(still), reason="take expectations")),
            (1 / (2 * growth), size),
            (-1, is_floor),
        ],
        known=[room],
        reason="there the update is zero, and f, of infimum 0, is what the bound allows",
    )
    return generalise(equality, t, reason="at every step")
