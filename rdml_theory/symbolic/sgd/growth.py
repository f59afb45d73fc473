"""C9: functions whose gradient grows with the value (Polyak-Łojasiewicz). The value itself converges to a floor."""

from __future__ import annotations

from functools import cache
from typing import Any

from sympy import Abs, Integer, Symbol, sqrt

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
    Vector,
    absolute,
    assume,
    axiom,
    combine,
    discharge,
    expectation,
    generalise,
    identity,
    induct,
    instantiate,
    magnitude,
    nonnegative,
    orthogonal,
    rewrite,
    specialise,
    square,
)  # fmt: skip
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd import constant_bias
from rdml_theory.symbolic.sgd.descent import Z, eta, gap, h, horizon, sigma
from rdml_theory.symbolic.sgd.extremal import HEIGHT, floor, newton_value
from rdml_theory.symbolic.sgd.setting import (
    after,
    assumptions,
    at_update,
    b,
    exact,
    g,
    given,
    infimum,
    moved,
    n,
    smoothness,
    squared,
    t,
    x,
    y,
)  # fmt: skip

__all__ = [
    "ASSUMPTIONS", "CLOSER", "FLOOR", "KEPT", "PL", "RATE", "REACH", "floor", "floor_equation", "growth", "kept",
    "pl_bound", "pl_target", "reach",
]  # fmt: skip

Term = Any

growth: Formula = Symbol("mu", positive=True)
"""μ, with ‖∇f‖² ≥ 2μ(f - inf f)."""

reach: Formula = Symbol("R", positive=True)
"""R, the floor of √(f - inf f) without noise: ``R² = h²Z²/(2μ(1-|1-h|)²)``."""

kept: Formula = Symbol("a", nonnegative=True)
"""a, what a step keeps of √(f - inf f): ``1 - (μ/Λ)(1-|1-h|)``, for h ≤ 1 that is 1 - ημ."""

_AWAY = Abs(1 - h)
RATE: Formula = kept * (kept + (1 - kept) * reach / floor)
FLOOR: Formula = (kept * floor + (1 - kept) * reach) ** 2 + eta * h * sigma**2 / 2
"""What F² is equal to."""

PL: Formula = floor**2 + RATE**horizon * (gap - floor**2)
CLOSER: Formula = (floor + kept**horizon * (sqrt(gap) - floor)) ** 2
"""The bounds of E f(x_T) - inf f: with noise, and from above the floor."""

GROWS = ForAll(y, AtMost(2 * growth * (Value("f", y) - infimum), square(Gradient("f", y))))
SLOWER = AtMost(growth, smoothness)
STRICTLY = Less(growth, smoothness)
ROOM = Less(_AWAY, 1)
ABOVE = Less(floor, sqrt(gap))
KEPT = Equal(kept, 1 - growth * (1 - _AWAY) / smoothness)
REACH = Equal(reach**2, h**2 * Z**2 / (2 * growth * (1 - _AWAY) ** 2))
NOISY = Less(0, sigma)
GENTLE = ForAll(y, Equal(Value("f", y), growth * square(y) / 2))
GENTLE_SLOPE = ForAll(y, Equal(Gradient("f", y), growth * y))


def pl_target(right_side: Term = PL) -> AtMost:
    """``E f(x_T) - f_inf ≤`` the right side.

    >>> print(pl_target(CLOSER).text())
    E[f(x_T)] - f_inf ≤ (F + a^T·(√(Δ) - F))²
    """
    return AtMost(_excess(At("x", horizon)), right_side)


def floor_equation(floor_square: Term = FLOOR) -> Equal:
    """What F solves.

    >>> print(floor_equation().text())
    F² = η·h·σ²/2 + (F·a + R·(1 - a))²
    """
    return Equal(floor**2, floor_square)


ASSUMPTIONS = assumptions(
    "smooth", "bounded", "start", "update", "centred", "noise", "bias of a step", "h", GROWS.text(), ROOM.text(),
    KEPT.text(), REACH.text(), floor_equation().text(), f"for the first: {NOISY.text()}; {SLOWER.text()}",
    f"for the second: {ABOVE.text()}; {STRICTLY.text()}",
)  # fmt: skip
"""What the two bounds assume, as text."""


def _excess(point: Term) -> Term:
    return Mean(Value("f", point)) - infimum


@of_formulas()
def pl_bound(right_side: Formula = PL, closer: Formula = CLOSER, floor_square: Formula = FLOOR) -> Proof:
    """``E f(x_T) - inf f ≤ F² + ρ^T (Δ - F²)``, and ``≤ (F + a^T (√Δ - F))²`` for Δ > F², if ‖∇f‖² ≥ 2μ(f - inf f).

    The first with noise, where F > R. For 0 < h < 2, with ``a = 1 - (μ/Λ)(1 - |1-h|)``,
    ``R = hZ/(√(2μ)(1-|1-h|))``, ``ρ = a(a + (1-a)R/F)``, and F the positive root of
    ``F² = (aF + (1-a)R)² + ηhσ²/2``; the bias has a mean square of at most Z² at every step. Without noise (F = R) and
    for h ≤ 1 the second is attained at every horizon, for every μ < Λ: there a function that is not convex is no slower
    than a quadratic of curvature μ. The first is attained at h = 1 and μ = Λ. This toolkit's own; for other rates see
    Karimi, Nutini & Schmidt 2016, arXiv 1608.04636, and Abbaszadehpeivasti, de Klerk & Zamani 2023, arXiv 2204.00647.

    Parameters
    ----------
    right_side, closer : Expr, optional
        The asserted bounds, with noise and from above the floor.
    floor_square : Expr, optional
        What F² is equal to.

    Raises
    ------
    ProofError
        If the argument does not give what is asserted.

    Examples
    --------
    >>> pl_bound().axioms
    ('ascent', 'descent lemma')
    >>> pl_bound(PL.subs(reach, 0))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: ... is not this ...
    """
    first_one, second, square_ = exact(right_side), exact(closer), exact(floor_square)
    return Proof((_settling(first_one, square_), _closing(second, square_), _attained(first_one), _keeps(second)))


def _named(floor_square: Term) -> Theorem:
    return assume(floor_equation(floor_square), reason="given: F, the floor of √(f - inf f)")


def _room() -> Theorem:
    return combine(Less(0, 1 - _AWAY), [(1, assume(ROOM, reason="given: 0 < h < 2"))], reason="so 1-|1-h| is positive")


@cache
def _losses() -> Theorem:
    """``0 < 1 - a``."""
    lost = (1 - _AWAY) * growth / smoothness
    told = assume(KEPT, reason="given: a is what a step keeps")
    return combine(Less(0, 1 - kept), [(1, told)], slack=lost, known=[_room()], reason="so a step does not keep all")


_k: Term = Symbol("k", positive=True)
_trade: Term = Symbol("s", positive=True)
_w, _v = Vector("w"), Vector("v")
_FALL = 1 - growth * (1 - _k) / smoothness


@cache
def _climbed() -> Theorem:
    """Of a point w: what the ascent from there gains is below what smoothness allows from x_t, for 0 < k < 1.

    ``f(w) - inf f ≤ (1 - (1-k)μ/Λ)(f(x_t) - inf f - ‖∇f(x_t)‖²/(2Λ) + Λ‖w - x_t + ∇f(x_t)/Λ‖²/(2k))``.
    """
    room = combine(Less(0, 1 - _k), [(1, assume(Less(_k, 1), reason="suppose"))], reason="so 1-k is positive")
    shift = _w - x + g / smoothness
    height = Value("f", x) - square(g) / (2 * smoothness) + smoothness / (2 * _k) * square(shift)
    bend = smoothness / (2 * (1 - _k))
    lemma = axiom("descent lemma", ("f", smoothness), reason="f is smooth")
    above = combine(
        AtMost(Value("f", y), height + bend * square(y - _w)),
        [
            (1, instantiate(lemma, {y: x, _v: y - x}, reason="from x_t to any point")),
            (bend / _k, nonnegative(square(_k * (y - _w) - (1 - _k) * shift), reason="a squared norm")),
        ],
        known=[room],
        reason="so f is below a parabola around w",
    )
    less = Less(0, smoothness - growth * (1 - _k))
    slower = combine(
        less, [(1, assume(SLOWER, reason="given"))], slack=growth * _k, reason="(1-k)μ is less than Λ"
    )  # fmt: skip
    known = [room, assume(less, reason="suppose")]
    values = {"a": height, "b": bend, "tau": growth * (1 - _k) / (smoothness - growth * (1 - _k))}
    ascent = axiom("ascent", ("f",), reason="∇f grows with the value")
    names = {s.name: s for p in (ascent.conclusion, *ascent.hypotheses) for s in p.free() if isinstance(s, Symbol)}
    here = instantiate(ascent, {names[e]: v for e, v in values.items()}, known=known, reason="from w, below it")
    gained = combine(
        AtMost(Value("f", _w) - infimum, _FALL * (height - infimum)),
        [(less.right / smoothness, discharge(here, generalise(above, y), reason="as it is"))],
        known=known,
        reason="at the length at which this says most",
    )
    return discharge(gained, slower, reason="as it is")


def _pressed() -> Theorem:
    """``Λ²‖x_t - η(∇f + b) - x_t + ∇f/Λ‖² ≤ (|1-h| + hs)(|1-h|‖∇f‖² + h‖b‖²/s)``."""
    update = at_update()
    away = [
        combine(
            AtMost(0, _AWAY - e), [(1, absolute(e, reason="a number is at most its size"))], reason="so this is too"
        )
        for e in (1 - h, h - 1)
    ]
    shared = [
        (
            h * weight / smoothness,
            combine(
                AtMost(0, _trade * square(g) + 2 * side * Inner(g, b) + square(b) / _trade),
                [(1 / _trade, nonnegative(square(_trade * g + side * b), reason="a squared norm"))],
                reason="divide by s",
            ),
        )
        for side, weight in ((1, (_AWAY + 1 - h) / 2), (-1, (_AWAY - 1 + h) / 2))
    ]
    return combine(
        AtMost(
            smoothness * square(update - x + g / smoothness),
            (_AWAY + h * _trade) * (_AWAY * square(g) + h * square(b) / _trade) / smoothness,
        ),
        shared,
        known=away,
        where=[given("h")],
        reason="squares take the cross term away",
    )


_r: Term = Symbol("r", positive=True)
_GRIP = kept + (1 - kept) * reach / _r


@cache
def _kicked() -> Theorem:
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


@cache
def _step() -> Theorem:
    """``E f(x_{t+1}) - inf f ≤ (a + (1-a)R/r)(a(E f(x_t) - inf f) + (1-a)Rr) + ηhσ²/2`` for every r > R."""
    width = _AWAY + h * _trade
    near = assume(Less(width, 1), reason="suppose")
    fall = _FALL.subs(_k, width)
    keeps = 1 - growth * (1 - _AWAY) / smoothness
    falls = combine(
        AtMost(0, fall),
        [(1 / smoothness, assume(SLOWER, reason="given"))],
        slack=growth * width / smoothness,
        reason="this is not negative",
    )
    climbed = instantiate(_climbed(), {_w: at_update(), _k: width}, known=[near], reason="at x_t - η(∇f + b), with s")
    grows = specialise(assume(GROWS, reason="given"), x, reason="at x_t")
    room = _room()
    gained = combine(
        AtMost(_excess(after), fall * (keeps * _excess(x) + eta / (2 * _trade) * Z**2) + eta * h / 2 * sigma**2),
        [
            (1, _kicked()),
            (1, expectation(climbed, reason="take expectations")),
            (fall / (2 * width), expectation(_pressed(), reason="take expectations")),
            (fall * (1 - _AWAY) / (2 * smoothness), expectation(grows, reason="take expectations")),
            (fall * eta / (2 * _trade), given("bias of a step", t)),
        ],
        known=[falls, room],
        where=[given("h")],
        reason="‖∇f(x_t)‖² is at least 2μ times the value above the infimum",
    )
    share = (1 - _AWAY) * reach / (h * _r)
    inside = assume(Less(reach, _r), reason="suppose")
    here = instantiate(gained, {_trade: share}, known=[room], reason="for the s of r")
    near_too = combine(
        Less(_AWAY + (1 - _AWAY) * reach / _r, 1), [((1 - _AWAY) / _r, inside)], known=[room], reason="r is above R"
    )  # fmt: skip
    scale = growth * (1 - _AWAY) / smoothness
    return combine(
        AtMost(_excess(after), _GRIP * (kept * _excess(x) + (1 - kept) * reach * _r) + eta * h / 2 * sigma**2),
        [
            (1, discharge(here, near_too, reason="as it is")),
            (-_GRIP * scale * _r / reach, assume(REACH, known=[room], reason="given: R is the floor without noise")),
        ],
        known=[room],
        where=[assume(KEPT, reason="given"), given("h")],
        reason="with the definitions of a and R",
    )


def _by_induction(
    asserted: Term, at: Term, above: Theorem, named: Theorem, slack: Term, known: list[Theorem]
) -> Theorem:
    """``E f(x_T) - inf f`` is at most what is asserted: by the step at a value of r for each time, above R."""

    def bound(steps: Term) -> AtMost:
        return AtMost(_excess(At("x", steps)), asserted.subs(horizon, steps))

    size = Less(0, at)
    positive = assume(size, reason="suppose")
    grip = _GRIP.subs(_r, at)
    here = discharge(instantiate(_step(), {_r: at}, known=[positive], reason="at this r"), above, reason="r is above R")
    step = combine(
        bound(t + 1),
        [(1, here), (grip * kept, assume(bound(t), reason="suppose it holds at t")), (-1, named)],
        slack=slack,
        known=[*known, positive],
        reason="then it holds at t + 1",
    )
    step = discharge(step, combine(size, [(1, above)], slack=reach, reason="r is positive"), reason="as it is")
    always = induct(combine(bound(Integer(0)), [(1, given("start"))], reason="it holds at 0"), step, t,
                    reason="by induction")  # fmt: skip
    return combine(pl_target(asserted), [(1, specialise(always, horizon, reason="at the last step"))],
                   reason="as asserted")  # fmt: skip


def _above_reach(named: Theorem, relation: type[AtMost | Less], known: list[Theorem]) -> Theorem:
    """R < F, or R ≤ F: noise only adds."""
    spread = (1 - kept) * (floor + kept * floor + (1 - kept) * reach)
    return combine(
        relation(reach, floor), [(-1 / spread, named)], slack=eta * h * sigma**2 / (2 * spread), known=known,
        reason="(F - R) times this is what noise adds to F²",
    )  # fmt: skip


@cache
def _settling(asserted: Term, floor_square: Term) -> Theorem:
    """The first bound: at r = F what noise and bias add is in balance with what a step takes away."""
    losses, named = _losses(), _named(floor_square)
    above = _above_reach(named, Less, [losses, assume(NOISY, reason="given: there is noise")])
    return _by_induction(asserted, floor, above, named, Integer(0), [losses])


@cache
def _closing(asserted: Term, floor_square: Term) -> Theorem:
    """The second bound: at r = F + a^t (√Δ - F), above F."""
    losses, named = _losses(), _named(floor_square)
    strictly = assume(STRICTLY, reason="given")
    some = combine(
        Less(0, kept), [(-1, assume(KEPT, reason="given")), (1 / smoothness, strictly)],
        slack=growth * _AWAY / smoothness, reason="so a is positive",
    )  # fmt: skip
    higher = combine(Less(0, sqrt(gap) - floor), [(1, assume(ABOVE, reason="given"))], reason="Δ is above the floor")
    below = _above_reach(named, AtMost, [losses])
    left = kept**t * (sqrt(gap) - floor)
    known = [losses, some, higher, combine(AtMost(0, floor - reach), [(1, below)], reason="so this is not negative")]
    inside = combine(Less(reach, floor + left), [(1, below)], slack=left, known=known, reason="r is above R")
    slack = 2 * kept * (1 - kept) * (floor - reach) * left
    bounded = _by_induction(asserted, floor + left, inside, named, slack, known)
    return discharge(bounded, combine(SLOWER, [(1, strictly)], reason="μ is less than Λ"), reason="as it is")


@cache
def _attained(asserted: Term) -> Theorem:
    """On ``f = Λ‖x‖²/2``, where μ = Λ, with η = 1/Λ: equality after any number of steps but none."""
    height = specialise(assume(HEIGHT, reason="given: f = Λ‖x‖²/2"), after, reason="at x_{t+1}")
    values = {growth: smoothness, h: Integer(1), eta: 1 / smoothness, kept: Integer(0)}
    reached, named = (
        assume(
            Equal(*(side.subs(h, 1).subs(values) for side in told)),
            reason="given: R, and F, at h = 1 and μ = Λ, where a = 0",
        )
        for told in (REACH.terms(), (floor**2, FLOOR))
    )
    equality = combine(
        Equal(Mean(Value("f", after)), asserted.subs({h: Integer(1), horizon: t + 1}).subs(values)),
        [
            (1, expectation(height, reason="take expectations")),
            (1 / (2 * smoothness), newton_value()),
            (-1, named),
            (-1, reached),
        ],
        reason="with μ = Λ and h = 1 the bound is attained: f has the infimum 0",
    )
    return generalise(equality, t, reason="at every horizon")


@cache
def _keeps(asserted: Term) -> Theorem:
    """On ``f = μ‖x‖²/2`` with h ≤ 1 and a constant bias, against which the run starts: equality at every horizon."""
    sign = combine(AtMost(0, 1 - h), [(1, given("h ≤ 1"))], reason="which gives |1-h| its sign")
    told = assume(KEPT, reason="given")
    slow = rewrite(told, magnitude(1 - h, known=[sign], reason="|1-h| is this"), reason="so a is 1 - ημ")
    size = sqrt(2 * growth) * reach
    values = {
        smoothness: growth, constant_bias.ratio: 1 - eta * growth, constant_bias.bias: size,
        constant_bias.distance: size - sqrt(2 * growth * gap), t: horizon,
    }  # fmt: skip
    run = instantiate(constant_bias.gradient_size(), values, reason="with μ for Λ, from the height Δ")
    run = discharge(run, identity(Equal(1 - eta * growth, 1 - eta * growth)), reason="as it is")
    slope, height = (
        specialise(assume(form, reason="given: f = μ‖x‖²/2"), At("x", horizon), reason="at x_T")
        for form in (GENTLE_SLOPE, GENTLE)
    )
    return combine(
        Equal(Mean(Value("f", At("x", horizon))), asserted.subs(floor, reach)),
        [
            (1, expectation(height, reason="take expectations")),
            (-1 / (2 * growth), expectation(squared(slope), reason="take expectations")),
            (1 / (2 * growth), run),
        ],
        where=[slow, given("h")],
        reason="f has the infimum 0, and F is R",
    )
