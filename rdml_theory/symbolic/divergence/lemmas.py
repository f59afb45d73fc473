"""Inequalities of sums over classes, each from one of a few numbers that is certified and then summed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sympy import Abs, Integer, Interval, Symbol, exp, log, oo

from rdml_theory.symbolic.certificates import calculus, smt
from rdml_theory.symbolic.divergence.entries import *
from rdml_theory.symbolic.elementary import exponential
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import C, i, j, k
from rdml_theory.symbolic.relations import at_least, at_most

__all__ = [
    "FIRST", "SECOND", "apart", "convex_in_the_order", "grouped", "grouped_leibler", "hoelder", "in_exponentials",
    "in_logarithms", "of_group", "pinsker", "tangent", "theta", "triangle", "two_norm",
]  # fmt: skip

_x: Term = Symbol("x", positive=True)
_y: Term = Symbol("y", positive=True)
_slope: Term = Symbol("lambda", nonnegative=True)
theta: Term = Symbol("theta", nonnegative=True)


def apart(first: Any, second: Any) -> Term:
    """``Σ |a_i - b_i|``, twice the total variation distance.

    >>> apart(a, b)
    Sum(Abs(a_i - b_i), (i, 1, C))
    """
    return total(Abs(first(i) - second(i)))


@cache
def _rising() -> Theorem:
    more: Term = Symbol("t", nonnegative=True)
    rising = certified(calculus(at_least(log(1 + more), 0)), reason="a logarithm from one upwards is not negative")
    order = given(AtMost(_x, _y), "suppose")
    room = combine(AtMost(0, _y / _x - 1), [(1 / _x, order)], reason="a ratio that is at least one")
    above = instantiate(rising, {more: _y / _x - 1}, known=[room], reason="for this ratio")
    return combine(AtMost(log(_x), log(_y)), [(1, above)], reason="so the logarithms are in order")


def in_logarithms(theorem: Theorem) -> Theorem:
    """``log x ≤ log y`` from ``x ≤ y``, for numbers that are manifestly positive under its hypotheses."""
    x, y = theorem.conclusion.terms()
    here = instantiate(_rising(), {_x: x, _y: y}, known=[theorem], reason="of these")
    return discharged(here, theorem)


def in_exponentials(theorem: Theorem) -> Theorem:
    """``exp(-y) ≤ exp(-x)`` from ``x ≤ y``."""
    x, y = theorem.conclusion.terms()
    parts = [(exp(-y), exponential(y - x)), (exp(-y), theorem)]
    return combine(AtMost(exp(-y), exp(-x)), parts, reason="so the exponentials are in order")


@cache
def two_norm() -> Theorem:
    """``Σ (a-b)² ≤ ½ (Σ |a-b|)²``, for two distributions.

    >>> print(two_norm().conclusion.text())
    Σ_{i ≤ C} (a_i - b_i)² ≤ (Σ_{i ≤ C} |a_i - b_i|)²/2
    """
    x: Term = Symbol("x", real=True)
    half: Term = Symbol("r", real=True)

    def others(sign: int) -> Theorem:
        gap = sign * (a(j) - b(j))
        one = combine(AtMost(0, Abs(gap) + gap), [(1, absolute(-gap))], reason="a number and its absolute value")
        part = one_term(one, j, C, k, known=[is_class(k)], reason="one term of a sum of these")
        here = sign * (a(k) - b(k))
        return combine(
            AtMost(Abs(a(k) - b(k)) + here, apart(a, b)), [(1, part)], where=[mass(a), mass(b)],
            reason="where both distributions sum to one",
        )  # fmt: skip

    both = (at_most(Abs(x) + x, 2 * half), at_most(Abs(x) - x, 2 * half))
    most = certified(smt(at_most(Abs(x), half), conditions=both), reason="so it is at most half of the sum")
    here = instantiate(most, {x: a(k) - b(k), half: apart(a, b) / 2}, reason="at one class")
    one = discharged(here, *(others(sign) for sign in (1, -1)))
    gap = Abs(a(k) - b(k))
    square = combine(AtMost(gap**2, gap * apart(a, b) / 2), [(gap, one)], reason="times |a_k - b_k|")
    return combine(
        AtMost(total((a(i) - b(i)) ** 2), apart(a, b) ** 2 / 2), [(1, sum_over(square, k, C))],
        reason="summed over the classes",
    )  # fmt: skip


@cache
def pinsker() -> Theorem:
    """``½ (Σ |a-b|)² ≤ KL(a‖b)``: Pinsker's inequality, from one of two numbers.

    >>> print(pinsker().conclusion.text())
    (Σ_{i ≤ C} |a_i - b_i|)²/2 ≤ Σ_{i ≤ C} (log(a_i/b_i)·a_i)
    """
    curved = at_least((4 + 2 * _x) * (_x * log(_x) - _x + 1), 3 * (_x - 1) ** 2)
    scalar = certified(calculus(curved, along=_x, at=1), reason="x log x - x + 1 against (x-1)²")
    ratio = instantiate(scalar, {_x: _x / _y}, reason="at a ratio")
    gap = Abs(_x - _y)
    square = nonnegative((_slope * (4 * _y + 2 * _x) - 3 * gap) ** 2, reason="a square")
    weight = 1 / (3 * (4 * _y + 2 * _x))
    term = combine(
        AtMost(2 * _slope * gap, _slope**2 * (4 * _y + 2 * _x) / 3 + _x * log(_x / _y) - _x + _y),
        [(3 * _y**2 * weight, ratio), (weight, square)],
        reason="so one class contributes, for every slope",
    )
    here = instantiate(term, {_x: a(i), _y: b(i)}, reason="at a class")
    summed = combine(
        AtMost(2 * _slope * apart(a, b), 2 * _slope**2 + leibler(a, b)), [(1, sum_over(here, i, C))],
        where=[mass(a), mass(b)], reason="summed over the classes",
    )  # fmt: skip
    best = instantiate(summed, {_slope: apart(a, b) / 2}, reason="at the best slope")
    return combine(AtMost(apart(a, b) ** 2 / 2, leibler(a, b)), [(1, best)], reason="Pinsker's inequality")


@cache
def triangle() -> Theorem:
    """``Σ |a-b| ≤ Σ |p-a| + Σ |p-b|``.

    >>> print(triangle().conclusion.text())
    Σ_{i ≤ C} |a_i - b_i| ≤ Σ_{i ≤ C} |a_i - p_i| + Σ_{i ≤ C} |b_i - p_i|
    """
    x, y, via = (Symbol(name, real=True) for name in "xyr")
    scalar = certified(smt(at_most(Abs(x - y), Abs(via - x) + Abs(via - y))), reason="the triangle inequality")
    here = instantiate(scalar, {x: a(i), y: b(i), via: p(i)}, reason="at a class")
    sums = apart(a, p) + apart(b, p)
    return combine(AtMost(apart(a, b), sums), [(1, sum_over(here, i, C))], reason="summed over the classes")


FIRST, SECOND = Symbol("P", positive=True), Symbol("Q", positive=True)
"""The masses of a group of classes."""


def of_group(index: Term) -> Term:
    """The share of a class in a group.

    >>> of_group(k)
    g_k
    """
    return Entry("g", index)


_SHARE = ForAll(i, AtMost(0, of_group(i)))
_MASSES = tuple(Equal(mass, total(of_group(i) * family(i))) for mass, family in ((FIRST, a), (SECOND, b)))


def _of_group(part: Theorem, weights: tuple[Term, Term], target: AtMost) -> Theorem:
    """A theorem of a class summed over the group; the weights are those of both masses."""
    summed = sum_over(part, i, C, reason="summed over the group")
    masses = zip(weights, (given(told, "given: the masses of a group") for told in _MASSES), strict=True)
    return combine(target, [(1, summed), *masses], reason="in its masses")


@cache
def tangent(*, above: bool) -> Theorem:
    """``1 + θ(x - 1) ≤ x^θ`` for θ ≥ 1, and ``≥`` for θ ≤ 1.

    >>> print(tangent(above=True))
    1 ≤ θ ⊢ θ·(x - 1) + 1 ≤ x^θ
    """
    inside: Any = {theta: Interval(1, oo) if above else Interval(0, 1)}
    line = 1 + theta * (_x - 1)
    scalar = at_least(_x**theta, line) if above else at_most(_x**theta, line)
    words = f"a power lies {'above' if above else 'below'} its tangent at 1"
    return certified(calculus(scalar, inside, along=_x, at=1), reason=words)


@cache
def grouped(*, above: bool) -> Theorem:
    """``Σ g a^θ b^(1-θ) ≤ P^θ Q^(1-θ)`` for θ ≤ 1, and ``≥`` for θ ≥ 1, with P = Σ g a, Q = Σ g b and shares g ≥ 0.

    >>> print(grouped(above=True).conclusion.text())
    P^θ·Q^(1 - θ) ≤ Σ_{i ≤ C} (a_i^θ·b_i^(1 - θ)·g_i)
    """
    ratio = a(i) * SECOND / (b(i) * FIRST)
    here = instantiate(tangent(above=above), {_x: ratio}, reason="at the ratio of the shares")
    scale = of_group(i) * b(i) * (FIRST / SECOND) ** theta
    share = specialise(given(_SHARE, "given: a group"), i, reason="at a class")

    def order(power: Term, other: Term) -> AtMost:
        return AtMost(other, power) if above else AtMost(power, other)

    part = combine(
        order(of_group(i) * a(i) ** theta * b(i) ** (1 - theta), scale * (1 + theta * (ratio - 1))), [(scale, here)],
        known=[share], reason="times b, the share and the ratio of the masses",
    )  # fmt: skip
    whole = (FIRST / SECOND) ** theta
    sign = 1 if above else -1
    return _of_group(
        part, (sign * whole * theta * SECOND / FIRST, sign * whole * (1 - theta)),
        order(total(of_group(i) * a(i) ** theta * b(i) ** (1 - theta)), FIRST**theta * SECOND ** (1 - theta)),
    )  # fmt: skip


@cache
def grouped_leibler() -> Theorem:
    """``P log(P/Q) ≤ Σ g a log(a/b)``, the same at order one.

    >>> print(grouped_leibler().conclusion.text())
    P·log(P/Q) ≤ Σ_{i ≤ C} (log(a_i/b_i)·a_i·g_i)
    """
    scalar = certified(calculus(at_least(_x * log(_x), _x - 1), along=_x, at=1), reason="x log x above its tangent")
    ratio = a(i) * SECOND / (b(i) * FIRST)
    here = instantiate(scalar, {_x: ratio}, reason="at the ratio of the shares")
    scale = of_group(i) * b(i) * FIRST / SECOND
    share = specialise(given(_SHARE, "given: a group"), i, reason="at a class")
    part = combine(
        AtMost(of_group(i) * (a(i) - b(i) * FIRST / SECOND), of_group(i) * a(i) * log(ratio)), [(scale, here)],
        known=[share], reason="times b, the share and the ratio of the masses",
    )  # fmt: skip
    logarithm = log(FIRST / SECOND)
    return _of_group(
        part, (1 + logarithm, -FIRST / SECOND), AtMost(FIRST * logarithm, total(of_group(i) * a(i) * log(a(i) / b(i))))
    )


@cache
def hoelder() -> Theorem:
    """``Σ a^θ b^(1-θ) ≤ (Σ a)^θ (Σ b)^(1-θ)``, for θ ≤ 1.

    >>> print(hoelder())
    θ ≤ 1 ⊢ Σ_{i ≤ C} (a_i^θ·b_i^(1 - θ)) ≤ (Σ_{i ≤ C} a_i)^θ·(Σ_{i ≤ C} b_i)^(1 - θ)
    """
    sums = {FIRST: total(a(i)), SECOND: total(b(i))}
    here = instantiate(grouped(above=False), {of_group(i): 1, **sums}, reason="of all classes")
    one = generalise(nonnegative(Integer(1)), i, reason="all of each")
    same = [combine(Equal(value, value), [], reason="by definition") for value in sums.values()]
    return discharged(here, one, *same)


@cache
def _convex() -> Theorem:
    """``log Σ p^s q^(1-s)`` is convex in s: at ``s = θx + (1-θ)y`` it is at most the mixture of those at x and y."""
    mixed = theta * _first + (1 - theta) * _second
    parts = {a(i): p(i) ** _first * q(i) ** (1 - _first), b(i): p(i) ** _second * q(i) ** (1 - _second)}
    here = instantiate(hoelder(), parts, reason="of these")
    told = given(Equal(_order, mixed), "for an order between")
    sums = combine(
        AtMost(power_mean(_order), power_mean(_first) ** theta * power_mean(_second) ** (1 - theta)), [(1, here)],
        where=[told], reason="which is again such a sum",
    )  # fmt: skip
    logarithms = in_logarithms(sums)
    return combine(
        AtMost(log(power_mean(_order)), theta * log(power_mean(_first)) + (1 - theta) * log(power_mean(_second))),
        [(1, logarithms)],
        reason="so the logarithm is convex in the order",
    )


_order, _first, _second = (Symbol(name, real=True) for name in "sxy")


def convex_in_the_order(
    order: Term, first: Term, second: Term, shares: tuple[Term, Term], known: Sequence[Theorem] = ()
) -> Theorem:
    """``log Σ p^s q^(1-s)`` at an order is at most its mixture at two others, ``order = θ first + (1-θ) second``.

    The shares are θ and 1-θ, not negative under what is known.
    """
    share, rest = shares
    values = {_order: order, _first: first, _second: second, theta: share}
    here = instantiate(_convex(), values, known=known, reason="between these orders")
    same = combine(
        Equal(order, share * first + (1 - share) * second),
        [],
        known=known,
        reason="the first lies so between the others",
    )
    most = combine(AtMost(share, 1), [], slack=rest, known=known, reason="with this share")
    return discharged(here, same, most)
