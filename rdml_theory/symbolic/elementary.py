"""Inequalities of numbers and of vectors, on which proofs of the divergence and of SGD rest alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from sympy import Abs, Integer, Symbol, exp, log, tanh

from rdml_theory.symbolic import relations
from rdml_theory.symbolic.certificates import calculus
from rdml_theory.symbolic.kernel import *

__all__ = [
    "exponential", "logarithm", "powers", "scaled", "schwarz", "sized", "summed", "tanh_at_least", "tanh_at_most",
    "unsquared", "young",
]  # fmt: skip

_x, _y, _m, _a = (Symbol(name, real=True) for name in "xyma")
_u, _v = Vector("u"), Vector("v")


def unsquared(value: Term, most: Term, squares: Theorem, known: Sequence[Theorem] = ()) -> Theorem:
    """``v ≤ m`` from ``v² ≤ m²``, for an m that is not negative under what is known.

    >>> m = Symbol("m", nonnegative=True)
    >>> print(unsquared(_x, m, assume(AtMost(_x**2, m**2))))
    x² ≤ m² ⊢ x ≤ m
    """
    m = Symbol("m", nonnegative=True)
    size = root(assume(AtMost(_x**2, m**2), reason="suppose"), _x, reason="take roots")
    lemma = combine(AtMost(_x, m), [(1, size), (1, absolute(_x))], reason="a number is at most its absolute value")
    here = instantiate(lemma, {_x: value, m: most}, known=known, reason="for this")
    same = combine(AtMost(value**2, most**2), [(1, squares)], reason="as found")
    return discharge(here, same, reason="so the roots are in order")


@cache
def _of_either_sign(scale: bool) -> Theorem:
    """``|x| ≤ m`` from ``x ≤ m`` and ``-x ≤ m``, or ``ax ≤ |a|m``: on either side of zero."""
    above, below = (assume(AtMost(side, _m), reason="suppose") for side in (_x, -_x))
    number, target = (_a, AtMost(_a * _x, Abs(_a) * _m)) if scale else (_x, AtMost(Abs(_x), _m))
    sides = []
    for sign, where, told in ((1, AtMost(0, number), above), (-1, AtMost(number, 0), below)):
        side = combine(AtMost(0, sign * number), [(1, assume(where, reason="on this side"))], reason="so it is")
        size = magnitude(sign * number, [side], reason="the absolute value is this")
        parts = [(sign * number, told), (-_m, size)] if scale else [(1, told), (1, size)]
        sides.append(combine(target, parts, known=[side], reason="with the absolute value"))
    return cases(*sides, Integer(0), number, reason="on either side of zero")


def sized(above: Theorem, below: Theorem, known: Sequence[Theorem] = ()) -> Theorem:
    """``|x| ≤ m`` from ``x ≤ m`` and ``-x ≤ m``.

    >>> print(sized(assume(AtMost(_y, 1)), assume(AtMost(-_y, 1))))
    -y ≤ 1; y ≤ 1 ⊢ |y| ≤ 1
    """
    left, right = above.conclusion.terms()
    here = instantiate(_of_either_sign(False), {_x: left, _m: right}, known=known, reason="here")
    return discharge(discharge(here, above), below)


def scaled(factor: Term, above: Theorem, below: Theorem) -> Theorem:
    """``ax ≤ |a|m`` from ``x ≤ m`` and ``-x ≤ m``.

    >>> print(scaled(_a, assume(AtMost(_y, 1)), assume(AtMost(-_y, 1))))
    -y ≤ 1; y ≤ 1 ⊢ a·y ≤ |a|
    """
    left, right = above.conclusion.terms()
    here = instantiate(_of_either_sign(True), {_a: factor, _x: left, _m: right}, reason="a product and that of sizes")
    return discharge(discharge(here, above), below)


@cache
def _young() -> Theorem:
    weight = Symbol("w", positive=True)
    mean = (weight * square(_u) + square(_v) / weight) / 2
    sides = (
        combine(
            AtMost(sign * Inner(_u, _v), mean), [], slack=square(weight * _u - sign * _v) / (2 * weight),
            reason="a squared norm",
        )
        for sign in (1, -1)
    )  # fmt: skip
    return scaled(_a, *sides)


def young(factor: Term, u: Term, v: Term, weight: Term, known: Sequence[Theorem] = ()) -> Theorem:
    """Young's inequality: ``a⟨u, v⟩ ≤ |a|(w‖u‖² + ‖v‖²/w)/2``, for a w that is positive under what is known.

    >>> print(young(_x, _u, _v, Integer(2)))
    ⊢ x·⟨u, v⟩ ≤ (‖u‖² + ‖v‖²/4)·|x|
    """
    values = {_a: factor, Symbol("w", positive=True): weight, _u: u, _v: v}
    return instantiate(_young(), values, known=known, reason="the product of two norms, shared out")


@cache
def _schwarz() -> Theorem:
    first, second, product = square(_u), square(_v), Inner(_u, _v)
    missing = first * second - product**2
    negative = combine(AtMost(0, -missing), [(1, assume(AtMost(missing, 0), reason="suppose"))], reason="turned around")
    one = nonnegative(square(second * _u - product * _v), reason="a squared norm")
    other = nonnegative(square(product * _u - (first + 1) * _v), reason="a squared norm")  # where v = 0
    whole = first + 2
    none = combine(
        AtMost(missing**2, 0), [(1 / whole, one), (-missing / whole, other)], known=[negative],
        reason="then it is zero",
    )  # fmt: skip
    size = root(none, missing, reason="take roots")
    target = AtMost(product**2, first * second)
    below = combine(target, [(1, size), (1, absolute(-missing))], reason="so nothing is missing")
    above = combine(target, [(1, assume(AtMost(0, missing), reason="suppose"))], reason="as it is")
    return cases(below, above, missing, Integer(0), reason="in either case")


def schwarz(u: Term, v: Term) -> Theorem:
    """``⟨u, v⟩² ≤ ‖u‖² ‖v‖²``, outcome by outcome.

    >>> print(schwarz(_u, _v))
    ⊢ ⟨u, v⟩² ≤ ‖u‖²·‖v‖²
    """
    return instantiate(_schwarz(), {_u: u, _v: v}, reason="Cauchy-Schwarz")


def exponential(value: Term) -> Theorem:
    """``1 + v ≤ exp(v)``.

    >>> print(exponential(2 * _x))
    ⊢ 2·x + 1 ≤ exp(2·x)
    """
    told = calculus(relations.at_most(1 + _x, exp(_x)), along=_x, at=0)
    return instantiate(certified(told, reason="exp x ≥ 1 + x"), {_x: value}, reason="for this")


def logarithm(value: Term) -> Theorem:
    """``log v ≤ v - 1``, for a v that is manifestly positive.

    >>> print(logarithm(exp(_x)))
    ⊢ x ≤ exp(x) - 1
    """
    x = Symbol("x", positive=True)
    told = calculus(relations.at_most(log(x), x - 1), along=x, at=1)
    return instantiate(certified(told, reason="log x lies below its tangent at 1"), {x: value}, reason="for this")


def tanh_at_most(value: Term) -> Theorem:
    """``tanh v ≤ v``, for a v that is manifestly not negative.

    >>> print(tanh_at_most(_x**2))
    ⊢ tanh(x²) ≤ x²
    """
    x = Symbol("x", nonnegative=True)
    told = certified(calculus(relations.at_most(tanh(x), x)), reason="tanh x ≤ x")
    return instantiate(told, {x: value}, reason="for this")


def tanh_at_least(value: Term) -> Theorem:
    """``v - v³/3 ≤ tanh v``, for a v that is manifestly not negative.

    >>> print(tanh_at_least(_x**2))
    ⊢ x² - x⁶/3 ≤ tanh(x²)
    """
    x = Symbol("x", nonnegative=True)
    told = calculus(relations.at_most(x - x**3 / 3, tanh(x)), along=x)
    return instantiate(certified(told, reason="tanh x ≥ x - x³/3"), {x: value}, reason="for this")


@cache
def _powers() -> tuple[Theorem, Theorem]:
    a, t = Symbol("a", nonnegative=True), Symbol("t", integer=True, nonnegative=True)
    below = assume(Less(a, 1), reason="suppose")

    def at(steps: Term) -> AtMost:
        return AtMost(a**steps, 1)

    def longer(steps: Term) -> AtMost:
        return AtMost(a**steps * (1 + steps * (1 - a)), 1)

    base = combine(at(Integer(0)), [], reason="at first")
    step = combine(
        at(t + 1), [(a, assume(at(t), reason="suppose"))], slack=1 - a, known=[below], reason="one step more"
    )
    least = specialise(induct(base, step, t, reason="by induction"), t, reason="at every step")
    further = combine(
        longer(t + 1), [(a, assume(longer(t), reason="suppose")), (a * (1 - a), least)],
        slack=(1 - a) ** 2, reason="one step more",
    )  # fmt: skip
    start = combine(longer(Integer(0)), [], reason="at first")
    whole = specialise(induct(start, further, t, reason="by induction"), t, reason="at every step")
    total = 1 + t * (1 - a)
    return least, combine(AtMost(a**t, 1 / total), [(1 / total, whole)], reason="divided")


def powers(base: Term) -> tuple[Theorem, Theorem]:
    """``a^t ≤ 1`` and, after Bernoulli, ``a^t ≤ 1/(1 + t(1-a))``, under ``a < 1`` for an a that is not negative.

    >>> print(powers(Abs(_x))[0])
    |x| < 1 ⊢ |x|^t ≤ 1
    """
    least, falls = (instantiate(told, {Symbol("a", nonnegative=True): base}, reason="for this") for told in _powers())
    return least, falls


def summed(
    holds: Callable[[Term], Equal], k: Symbol, last: Sequence[tuple[Term, Theorem]] = (), known: Sequence[Theorem] = ()
) -> Theorem:
    """A sum in closed form: ``Σ_{t<k} a_t = F(k)`` for every k, where ``last`` add up to ``a_k = F(k+1) - F(k)``.

    >>> from sympy import Sum
    >>> t, k = (Symbol(name, integer=True, nonnegative=True) for name in "tk")
    >>> print(summed(lambda k: Equal(Sum(2 * t, (t, 0, k - 1)), k * (k - 1)), k))
    ⊢ Σ_{t < k} (2·t) = k·(k - 1) for every k
    """
    apart = last_term(holds(k + 1).left, reason="the last apart")
    supposed = assume(holds(k), known=known, reason="suppose")
    step = combine(holds(k + 1), [(1, apart), (1, supposed), *last], known=known, reason="one more")
    return induct(combine(holds(Integer(0)), [], known=known, reason="none is nothing"), step, k, reason="by induction")
