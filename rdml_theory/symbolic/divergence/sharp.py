"""The sharp constant of the self-bounding gradient for orders up to one half."""

from __future__ import annotations

from functools import cache
from typing import Any

from sympy import Abs, Integer, Interval, Rational, S, Symbol, log

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.certificates import calculus, smt
from rdml_theory.symbolic.divergence.entries import *
from rdml_theory.symbolic.divergence.lemmas import apart, convex_in_the_order, in_logarithms
from rdml_theory.symbolic.divergence.self_bound import distance_of_gradient
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import C, Formula, alpha, i
from rdml_theory.symbolic.relations import at_least, at_most

__all__ = ["ASSUMPTIONS", "SHARP_CONSTANT", "sharp_self_bounding", "sharp_target"]

SHARP_CONSTANT: Formula = Rational(4073, 5000)
"""0.8146, from above the greatest value 0.81453… of 2V²/(-log(1-V))."""

ASSUMPTIONS = (
    *(told.text() for told in (sums_to_one(p), sums_to_one(q), is_escort(), RENYI, NOT_ONE)),
    AtMost(alpha, Rational(1, 2)).text(),
)
"""What the bound assumes, as text, for α ≤ 1/2."""

_V: Formula = Symbol("V", nonnegative=True)
_s: Formula = Symbol("S", positive=True)
_x: Formula = Symbol("x", positive=True)
_y: Formula = Symbol("y", positive=True)

_APART = apart(q, w)
_SPREAD = total(w(i) ** 2 / q(i))
"""1 + χ² of the escort from the student."""

_LEFT = Equal(_s, 1 - _APART / 2)


_PLACE = Rational(7153, 10_000)
"""Nearly where 2V²/(-log(1-V)) is greatest."""

_LESS = 4 * _PLACE * (1 - _PLACE)
"""A constant hardly below the asserted one, for which ``-c log(1-V) - 2V²`` is least at that place."""


@cache
def _near() -> Theorem:
    """``(Σ |q-w|)²/2 ≤ c log(1 + (Σ |q-w|)²)`` for TV(q, w) ≤ 1/2: ``log(1+x) ≥ 2x/(2+x)``, and c is beyond 3/4."""
    rises = certified(calculus(at_least(log(1 + _V), 2 * _V / (2 + _V))), reason="a bound of the logarithm")
    square = _APART**2
    here = instantiate(rises, {_V: square}, reason="at its square")
    near = given(AtMost(_APART / 2, Rational(1, 2)), "suppose")
    return combine(
        AtMost(square / 2, _LESS * log(1 + square)),
        [(_LESS, here), (square * (1 + _APART) / (2 + square), near)],
        slack=(4 * _LESS - 3) * square / (2 * (2 + square)), reason="for TV up to 1/2",
    )  # fmt: skip


@cache
def _beyond() -> Theorem:
    """``2V² ≤ -c log(1-V)``, for V from 1/2 on."""
    inside: Any = {_V: Interval.Ropen(Rational(1, 2), 1)}
    return certified(calculus(at_most(2 * _V**2, -_LESS * log(1 - _V)), inside, at=_PLACE), reason="for TV from 1/2")


def _least_divergence(order: Theorem) -> Theorem:
    """``log(1+χ²) ≤ D``, for orders up to one half."""
    below = combine(Less(alpha, 1), [(1, order)], slack=Rational(1, 2), reason="so it is below one")
    known = [given(NOT_ONE, "for an order that is not one"), below, order]
    shares = ((1 - 2 * alpha) / (1 - alpha), alpha / (1 - alpha))
    convex = convex_in_the_order(2 * alpha, alpha, Integer(1), shares, known)
    return combine(
        AtMost(log(_SPREAD), D), [(1, convex)], where=[renyi(), escort(), mass(p)],
        reason="Σ w²/q is such a sum of the order 2α, over the square of that of the order α",
    )  # fmt: skip


@cache
def _square() -> Theorem:
    """``1 + (Σ |q-w|)² ≤ 1 + χ²``."""
    slope: Term = Symbol("c", nonnegative=True)
    square = nonnegative((slope * q(i) - Abs(q(i) - w(i))) ** 2 / q(i), reason="a square")
    summed = combine(
        AtMost(2 * slope * _APART, slope**2 + _SPREAD - 1), [(1, sum_over(square, i, C))],
        where=[mass(q), of_escort()], reason="summed over the classes",
    )  # fmt: skip
    best = instantiate(summed, {slope: _APART}, reason="at the best slope")
    return combine(AtMost(1 + _APART**2, _SPREAD), [(1, best)], reason="so χ² is at least (Σ |q-w|)²")


@cache
def _far() -> Theorem:
    """``1/S ≤ 1 + χ²``, S = 1 - TV(q, w), for TV ≥ 1/2."""
    tangent = at_least(
        _s**2 * (_x / _y - 1) ** 2,
        Abs(_x / _y - 1) / 2 + (2 * _s * (1 - _s) - Rational(1, 2)) * (_x / _y - 1) - (1 - _s) ** 2,
    )
    below = certified(smt(tangent, {_s: Interval.Lopen(0, Rational(1, 2))}), reason="it touches at 0 and at 1/S")
    here = instantiate(below, {_x: w(i), _y: q(i)}, reason="at the ratio of a class")
    term = combine(
        AtMost(
            Abs(q(i) - w(i)) / 2 + (2 * _s * (1 - _s) - Rational(1, 2)) * (w(i) - q(i)) - (1 - _s) ** 2 * q(i),
            _s**2 * (w(i) - q(i)) ** 2 / q(i),
        ),
        [(q(i), here)],
        reason="times the share",
    )
    return combine(
        AtMost(1 / _s, _SPREAD), [(1 / _s**2, sum_over(term, i, C)), (-1 / _s**2, given(_LEFT, "what is left"))],
        where=[mass(q), of_escort()], reason="summed over the classes",
    )  # fmt: skip


@cache
def _below_two() -> Theorem:
    """``Σ |q-w| < 2``."""
    most = at_most(Abs(_x - _y), _x + _y - 2 * _x * _y / (_x + _y))
    scalar = certified(smt(most), reason="two positive numbers overlap")
    here = instantiate(scalar, {_x: q(i), _y: w(i)}, reason="at a class")
    overlap = total(2 * q(i) * w(i) / (q(i) + w(i)))
    return combine(
        Less(_APART, 2), [(1, sum_over(here, i, C))], slack=overlap, where=[mass(q), of_escort()],
        reason="summed over the classes",
    )  # fmt: skip


def sharp_target(constant: Formula = SHARP_CONSTANT) -> AtMost:
    """``‖q - w‖₂² ≤`` the constant times the divergence.

    >>> print(sharp_target().text())
    Σ_{i ≤ C} (q_i - w_i)² ≤ 4073·D/5000
    """
    return AtMost(total((q(i) - w(i)) ** 2), constant * D)


@of_formulas()
def sharp_self_bounding(constant: Formula = SHARP_CONSTANT, *, greatest_order: Formula = S.Half) -> Proof:
    """D17: ``‖q - w‖₂² ≤ 0.8146 D_α(p‖q)`` for orders up to 1/2.

    This toolkit's own. For these orders the divergence is at least log(1+χ²) of the escort from the student, and χ² at
    least 4V² and, beyond V = 1/2, V/(1-V), where V = TV(q, w).

    Examples
    --------
    >>> sharp_self_bounding().axioms
    ()
    """
    order = given(AtMost(alpha, greatest_order), "given")
    least = _least_divergence(order)
    target = AtMost(_APART**2 / 2, _LESS * D)
    first = combine(target, [(1, _near()), (_LESS, in_logarithms(_square())), (_LESS, least)], reason="so up to 1/2")
    large = instantiate(_beyond(), {_V: _APART / 2}, reason="at TV(q, w)")
    second = combine(
        target, [(1, large), (_LESS, in_logarithms(_far())), (_LESS, least)], where=[given(_LEFT)],
        reason="and from 1/2",
    )  # fmt: skip
    two = _below_two()
    room = combine(Less(_APART / 2, 1), [(Rational(1, 2), two)], reason="which is below one")
    there = instantiate(second, {_s: 1 - _APART / 2}, known=[two], reason="with what is left of one")
    same = combine(Equal(1 - _APART / 2, 1 - _APART / 2), [], reason="by definition")
    half = given(AtMost(Rational(1, 2), _APART / 2), "beyond")
    rest = combine(AtMost(1 - _APART / 2, Rational(1, 2)), [(1, half)], reason="so at most half is left")
    bound = cases(first, discharged(there, same, room, rest), _APART / 2, Rational(1, 2), reason="in both cases")
    share = constant / _LESS
    asserted = combine(
        sharp_target(constant), [(1, distance_of_gradient()), (share, bound)], slack=(share - 1) * _APART**2 / 2,
        reason="as Σ (q-w)² ≤ 2 TV²",
    )  # fmt: skip
    return Proof((asserted,))
