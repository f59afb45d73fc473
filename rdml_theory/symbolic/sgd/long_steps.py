"""C9's bound for h ≥ 1: one inequality between x_t, a point near it and x_{t+1}, and the quadratics that attain it."""

from __future__ import annotations

from functools import cache

from sympy import Integer, Rational, Symbol

from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.ascent import (
    GROWS,
    SLOWER,
    by_induction,
    climbed,
    excess,
    growth,
    k,
    kicked,
    trade,
    value_bound,
    w,
)
from rdml_theory.symbolic.sgd.descent import Z, eta, gap, h, horizon, sigma
from rdml_theory.symbolic.sgd.extremal import HEIGHT, SLOPE
from rdml_theory.symbolic.sgd.refinements import BIAS_OF_A_STEP, relative_bias
from rdml_theory.symbolic.sgd.setting import *
from rdml_theory.symbolic.sgd.smooth import between, u

__all__ = [
    "BARE", "ENOUGH", "FALLS", "FOURTH", "LONG", "LONG_FLOOR", "LONG_RATE", "bend", "climb", "high", "high_equation",
    "lean", "long_bound", "long_definitions", "rate", "spare", "to_and_fro",
]  # fmt: skip

lean: Formula = Symbol("c", positive=True)
spare: Formula = Symbol("d", nonnegative=True)
"""h - 1 + c and d, the weights of what smoothness says between x_t and w, and of ``‖∇f‖² ≤ 2Λ(f - inf f)``."""

high: Formula = Symbol("H", positive=True)
"""H, the floor of f - inf f by the bound for h ≥ 1."""

_BACK: Formula = 1 - growth * (1 - trade) / smoothness
_WEIGHT: Formula = h - 1 + lean
_GAIN: Formula = 1 + _WEIGHT * (1 - growth / (2 * smoothness))
_WAY: Formula = _WEIGHT * (1 + h) * (1 + h + lean) / (4 * lean)
_PAID: Formula = _WEIGHT * h**2 / lean

rate: Formula = Symbol("rho", real=True)
climb: Formula = Symbol("q", real=True)
bend: Formula = Symbol("gamma", real=True)
"""ρ of the bound for h ≥ 1, and what it is made of: the weights of f(x_t) - inf f and of ``‖∇f(x_t)‖²/(2Λ)``."""

_BEND: Formula = climb + spare - _WEIGHT * h - relative_bias * _PAID
LONG_RATE: Formula = climb + spare - _WEIGHT - growth / smoothness * bend
"""What ρ is equal to."""

LONG_FLOOR: Formula = rate * high + _PAID * Z**2 / (2 * smoothness) + eta * h * sigma**2 / 2
"""What H is equal to."""

LONG: Formula = high + rate**horizon * (gap - high)
"""The bound of E f(x_T) - inf f for h ≥ 1."""

_BEYOND, _PART = AtMost(1, h), Less(trade, 1)
ENOUGH, BARE, FALLS = AtMost(climb, _WAY * trade), AtMost(0, bend), AtMost(0, rate)
FOURTH = (_BEYOND, _PART, ENOUGH, BARE, FALLS)
"""What h, s, c and d have to obey."""


def high_equation(long_floor: Term = LONG_FLOOR) -> Equal:
    """What H solves."""
    return Equal(high, long_floor)


def long_definitions(long_rate: Term = LONG_RATE) -> tuple[Equal, Equal, Equal]:
    """What ρ, γ and q are, each made of those after it.

    >>> print(long_definitions()[0].text())
    ρ = d + q + 1 - c - h - γ·μ/Λ
    """
    return Equal(rate, long_rate), Equal(bend, _BEND), Equal(climb, _GAIN * _BACK)


def _defined(long_rate: Term = LONG_RATE) -> list[Theorem]:
    return [given(told, why="what it is") for told in long_definitions(long_rate)]


_v = Vector("v")
_AHEAD = x - ((1 + h - lean) * g + 2 * h * b) / ((1 + h + lean) * smoothness)
"""The point w: what lies 1/Λ along -∇f for c → 0, and on the way to x_{t+1} for h + c = 1."""


def _long_signs() -> list[Theorem]:
    """``0 ≤ h - 1 + c``, ``0 ≤ 1 - μ(1-s)/Λ``, and ``0 ≤ 1 + (h-1+c)(1 - μ/(2Λ))``."""
    slower = given(SLOWER)
    weight = combine(AtMost(0, _WEIGHT), [(1, given(_BEYOND))], slack=lean, reason="h is at least 1")
    part = combine(
        AtMost(0, 1 - growth / (2 * smoothness)), [(1 / (2 * smoothness), slower)], slack=Rational(1, 2),
        reason="μ is less than 2Λ",
    )  # fmt: skip
    back = combine(
        AtMost(0, _BACK), [(1 / smoothness, slower)], slack=growth * trade / smoothness, reason="and at most Λ"
    )
    gain = combine(
        AtMost(0, _GAIN), [(1 - growth / (2 * smoothness), weight)], slack=Integer(1), known=[part],
        reason="so this is not negative",
    )  # fmt: skip
    return [weight, back, gain]


@cache
def _beyond() -> Theorem:
    """Of where the step ends: ``f - inf f ≤ g(f(w) - inf f) - k(f(x_t) - inf f) + ...``, k = h-1+c.

    Where g = 1 + k(1 - μ/(2Λ)); what is added is ``k(‖(1+h)∇f + hb‖²/(1+h+c) - ‖∇f‖²)/(2Λ)``.
    """
    lemma = axiom("descent lemma", ("f", smoothness), reason="f is smooth")
    grows = given(GROWS, _AHEAD)
    added = square((1 + h) * g + h * b) / (1 + h + lean) - square(g)
    return combine(
        AtMost(
            Value("f", at_update()) - infimum,
            _GAIN * (Value("f", _AHEAD) - infimum) - _WEIGHT * (Value("f", x) - infimum - added / (2 * smoothness)),
        ),
        [
            (1, instantiate(lemma, {y: _AHEAD, _v: at_update() - _AHEAD}, reason="from w on")),
            (_WEIGHT, instantiate(between(), {y: _AHEAD, u: x}, reason="between w and x_t")),
            (_WEIGHT / (4 * smoothness), grows),
        ],
        known=_long_signs(),
        where=[given("h")],
        reason="the gradient at w cancels but for its square, which is large where f(w) is",
    )


@cache
def _to_w() -> Theorem:
    """``g(f(w) - inf f) ≤ q(f(x_t) - inf f - ‖∇f‖²/(2Λ)) + k(1+h)‖c∇f - hb‖²/(2Λc(1+h+c))``."""
    risen = instantiate(climbed(), {w: _AHEAD, k: trade}, known=[given(_PART, why="s is less than 1")], reason="with s")
    enough = combine(AtMost(0, _WAY - climb / trade), [(1 / trade, given(ENOUGH))], reason="this is not negative")
    shift = lean * g - h * b
    low = Value("f", x) - infimum - square(g) / (2 * smoothness)
    return combine(
        AtMost(
            _GAIN * (Value("f", _AHEAD) - infimum),
            climb * low + _WAY * 2 / (smoothness * (1 + h + lean) ** 2) * square(shift),
        ),
        [
            (_GAIN, risen),
            (
                2 * (_WAY - climb / trade) / (smoothness * (1 + h + lean) ** 2),
                nonnegative(square(shift), reason="a squared norm"),
            ),
        ],
        known=[*_long_signs(), enough],
        where=[_defined()[-1]],
        reason="w is 2(c∇f - hb)/((1+h+c)Λ) from the lowest point that smoothness allows",
    )


@cache
def _long_step(long_rate: Term) -> Theorem:
    """``E f(x_{t+1}) - inf f ≤ ρ(E f(x_t) - inf f) + kh²Z²/(2Λc) + ηhσ²/2`` for h ≥ 1."""
    bare = given(BARE, why="γ is not negative")
    of_a_step = given(BIAS_OF_A_STEP, t)
    grows = given(GROWS, x)
    added = _PAID * Z**2 / (2 * smoothness) + eta * h * sigma**2 / 2
    return combine(
        AtMost(excess(after), rate * excess(x) + added),
        [
            (1, kicked()),
            (1, expectation(_beyond(), reason="take expectations")),
            (1, expectation(_to_w(), reason="take expectations")),
            (_PAID / (2 * smoothness), of_a_step),
            (bend / (2 * smoothness), expectation(grows, reason="take expectations")),
            (spare, above_the_infimum()),
        ],
        known=[*_long_signs(), bare],
        where=_defined(long_rate),
        reason="‖(1+h)∇f + hb‖² + ((1+h)/c)‖c∇f - hb‖² is (1+h+c)((1+h)‖∇f‖² + (h²/c)‖b‖²)",
    )


@cache
def long_bound(asserted: Term, floor_square: Term, long_rate: Term) -> Theorem:
    """The bound for h ≥ 1: what a step adds and takes away are in balance at H."""
    named = given(high_equation(floor_square), why="H, the floor")
    falls_by = given(FALLS, why="ρ is not negative")
    supposed = assume(value_bound(asserted, t), reason="suppose it holds at t")
    return by_induction(asserted, [(1, _long_step(long_rate)), (rate, supposed), (-1, named)], known=[falls_by])


@cache
def to_and_fro(asserted: Term, floor_square: Term, long_rate: Term) -> tuple[Theorem, Theorem]:
    """On ``f = Λ‖x‖²/2`` with h = 2 - c and a bias along the gradient: x_{t+1} = -x_t, and f = H at every horizon."""

    def turned(formula: Term) -> Term:
        """With c = 2-h, and the d for which γ is 0."""
        return formula.subs(rate, long_rate).subs({bend: 0, spare: spare - _BEND}).subs(h, 2 - lean)

    named = given(Equal(high, turned(floor_square).subs(sigma, 0)), why="H, for c = 2-h and this d")
    longer = given(Equal(lean, 2 - smoothness * eta), why="c = 2-h, where h = Λη")
    leads, update = (
        specialise(assume(told, reason=why), t, reason="at this step")
        for told, why in (
            (ForAll(t, Equal(b, lean / (eta * smoothness) * g)), "given: the bias is along the gradient"),
            (ForAll(t, Equal(after, x - eta * (g + b))), "given: there is no noise"),
        )
    )
    slope, height = (given(told, why="f = Λ‖x‖²/2") for told in (SLOPE, HEIGHT))
    here, value = (specialise(told, x, reason="at x_t") for told in (slope, height))
    back = combine(
        Equal(after, -x),
        [(1, update), (-eta, leads), (-eta - lean / smoothness, here), (-x, longer)],
        reason="a step leads to the other side",
    )

    def holds(steps: Term) -> Equal:
        return Equal(Value("f", At("x", steps)), high)

    again = combine(
        holds(t + 1),
        [
            (1, specialise(height, after, reason="at x_{t+1}")), (smoothness / 2, squared(back)), (-1, value),
            (1, assume(holds(t), reason="suppose it holds at t")),
        ],
        reason="which is as high",
    )  # fmt: skip
    begun = given(holds(Integer(0)), why="f(x_0) = H")
    always = induct(begun, again, t, reason="by induction")
    there = expectation(specialise(always, horizon, reason="at the last step"), reason="take expectations")
    attained = turned(asserted).subs(gap, high)
    share, whole = lean / (eta * smoothness), 2 * smoothness * relative_bias * high + Z**2
    size = combine(
        Equal(square(b), relative_bias * square(g) + Z**2),
        [
            (1, squared(leads)), (share**2 - relative_bias, squared(here)),
            (-2 * smoothness * (share**2 - relative_bias), value),
            (2 * smoothness * (share**2 - relative_bias), specialise(always, t, reason="at this step")),
            (2 * smoothness * share**2 / lean, named),
            (-whole * (2 - lean + eta * smoothness) / (eta * smoothness) ** 2, longer),
        ],
        reason="with a bias of this size",
    )  # fmt: skip
    return combine(Equal(Mean(Value("f", At("x", horizon))), attained), [(1, there)], reason="from the height H"), size
