"""C9: what one step gains where the gradient grows with the value (Polyak-Łojasiewicz), and induction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from sympy import Integer, Symbol

from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.descent import eta, h, horizon, sigma
from rdml_theory.symbolic.sgd.setting import *

__all__ = [
    "FALL", "GROWS", "SLOWER", "Parts", "by_induction", "climbed", "excess", "growth", "k", "kicked", "trade",
    "value_bound", "w",
]  # fmt: skip

Parts = Sequence[tuple[Term, Theorem]]
"""Theorems, each with its factor in a combination."""

growth: Formula = Symbol("mu", positive=True)
"""μ, with ‖∇f‖² ≥ 2μ(f - inf f)."""

trade: Formula = Symbol("s", positive=True)
"""s < 1, how the way from w to the lowest point that smoothness allows is shared out."""

GROWS = ForAll(y, AtMost(2 * growth * (Value("f", y) - infimum), square(Gradient("f", y))))
SLOWER = AtMost(growth, smoothness)

k: Term = Symbol("k", positive=True)
w, _v = Vector("w"), Vector("v")
FALL = 1 - growth * (1 - k) / smoothness
"""What :func:`climbed` says of a w, with k < 1: the part of the value that is left."""


def excess(point: Term) -> Term:
    """``E f - inf f`` at a point."""
    return Mean(Value("f", point)) - infimum


def value_bound(asserted: Term, steps: Term) -> AtMost:
    """``E f(x_t) - inf f ≤`` what is asserted of T, after t steps."""
    return AtMost(excess(At("x", steps)), asserted.subs(horizon, steps))


def by_induction(asserted: Term, parts: Parts, begun: Parts = (), known: Sequence[Theorem] = ()) -> Theorem:
    """``E f(x_T) - inf f`` is at most what is asserted: from what leads to it at t + 1, and to it at the start."""
    step = combine(value_bound(asserted, t + 1), parts, known=known, reason="then it holds at t + 1")
    base = combine(
        value_bound(asserted, Integer(0)), [(1, given("start")), *begun], known=known, reason="it holds at 0"
    )
    always = induct(base, step, t, reason="by induction")
    last = specialise(always, horizon, reason="at the last step")
    return combine(value_bound(asserted, horizon), [(1, last)], known=known, reason="as asserted")


@cache
def climbed() -> Theorem:
    """Of a point w: what the ascent from there gains is below what smoothness allows from x_t, for 0 < k < 1.

    ``f(w) - inf f ≤ (1 - (1-k)μ/Λ)(f(x_t) - inf f - ‖∇f(x_t)‖²/(2Λ) + Λ‖w - x_t + ∇f(x_t)/Λ‖²/(2k))``.
    """
    room = assume(Less(k, 1), reason="suppose")
    shift = w - x + g / smoothness
    height = Value("f", x) - square(g) / (2 * smoothness) + smoothness / (2 * k) * square(shift)
    bend = smoothness / (2 * (1 - k))
    lemma = axiom("descent lemma", ("f", smoothness), reason="f is smooth")
    above = combine(
        AtMost(Value("f", y), height + bend * square(y - w)),
        [
            (1, instantiate(lemma, {y: x, _v: y - x}, reason="from x_t to any point")),
            (bend / k, nonnegative(square(k * (y - w) - (1 - k) * shift), reason="a squared norm")),
        ],
        known=[room],
        reason="so f is below a parabola around w",
    )
    less = Less(0, smoothness - growth * (1 - k))
    slower = combine(less, [(1, given(SLOWER))], slack=growth * k, reason="(1-k)μ is less than Λ")
    known = [room, assume(less, reason="suppose")]
    values = {"a": height, "b": bend, "tau": growth * (1 - k) / (smoothness - growth * (1 - k))}
    ascent = axiom("ascent", ("f",), reason="∇f grows with the value")
    names = {s.name: s for p in (ascent.conclusion, *ascent.hypotheses) for s in p.free() if isinstance(s, Symbol)}
    here = instantiate(ascent, {names[e]: v for e, v in values.items()}, known=known, reason="from w, below it")
    gained = combine(
        AtMost(Value("f", w) - infimum, FALL * (height - infimum)),
        [(less.right / smoothness, discharge(here, generalise(above, y), reason="as it is"))],
        known=known,
        reason="at the length at which this says most",
    )
    return discharge(gained, slower, reason="as it is")


@cache
def kicked() -> Theorem:
    """Noise costs at most ``ηhσ²/2``: E f(x_{t+1}) against E f(x_t - η(∇f + b)), where f is smooth."""
    update = at_update()
    lemma = axiom("descent lemma", ("f", smoothness), reason="f is smooth")
    along = instantiate(lemma, {y: update, _v: -eta * n}, reason="from there along the noise")
    return combine(
        AtMost(Mean(Value("f", after)), Mean(Value("f", update)) + eta * h / 2 * sigma**2),
        [
            (1, expectation(moved(along), reason="take expectations")),
            (-eta, orthogonal(given("centred", t), Gradient("f", update), reason="the noise has mean zero given it")),
            (smoothness * eta**2 / 2, given("noise", t)),
        ],
        where=[given("h")],
        reason="the noise is orthogonal to the gradient there",
    )
