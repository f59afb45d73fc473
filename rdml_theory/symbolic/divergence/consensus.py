"""Near consensus: the divergence is α/2 times a variance, with the next term and a bound of what remains.

Two readings. Along p_k ∝ q_k exp(ε s_k) the expansion in ε is taken, order by order. For any p, with t = log p/q, the
cumulant generating function K(x) = log Σ p^x q^(1-x) is (α-1) D at x = α and vanishes at 0 and 1; its second derivative
is the variance of t under an escort distribution, and its third is bounded by the range of t.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from sympy import Abs, Derivative, IndexedBase, Integer, Sum, Symbol, exp, log

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.divergence import entries
from rdml_theory.symbolic.divergence.entries import a, discharged, given, in_entries, mass, power_mean, total
from rdml_theory.symbolic.divergence.names import LEAST, rho
from rdml_theory.symbolic.divergence.self_bound import strictly
from rdml_theory.symbolic.elementary import sized
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import C, Formula, alpha, i, j, q

__all__ = [
    "ASSUMPTIONS", "CONSENSUS", "LEAST_RATIO", "Expansion", "consensus_expansion", "direction", "epsilon",
    "expansion_targets", "remainder_target",
]  # fmt: skip

epsilon: Formula = Symbol("epsilon", real=True)
"""The distance ε from consensus."""

direction: Formula = IndexedBase("s", real=True)
"""The direction s in which the log-ratio moves."""

LEAST_RATIO: Formula = LEAST
"""m = min t."""


def _raw(weights: Formula, x: Formula, n: int) -> Formula:
    return Sum(weights[i] * x**n, (i, 1, C))


def _moments(weights: Formula, x: Formula) -> tuple[Formula, Formula]:
    """The variance and the third central moment of x_i under weights that sum to one."""
    first, second, third = (_raw(weights, x, n) for n in (1, 2, 3))
    return second - first**2, third - 3 * first * second + 2 * first**3


_variance, _third = _moments(q, direction[i])


class Expansion(NamedTuple):
    """Right sides: the coefficients of ε² and of ε³, and the bound of what the variance of t leaves of D."""

    second: Formula
    third: Formula
    remainder: Formula


CONSENSUS = Expansion(
    second=alpha / 2 * _variance,
    third=alpha * (alpha + 1) / 6 * _third,
    remainder=2 * alpha * (alpha + 1) * rho**3 / 81,
)
"""The right sides that hold."""

_FLOOR = ForAll(i, AtMost(LEAST_RATIO, log(entries.p(i) / entries.q(i))))
_ROOF = ForAll(i, AtMost(log(entries.p(i) / entries.q(i)), LEAST_RATIO + rho))

ASSUMPTIONS = tuple(
    told.text()
    for told in (entries.NOT_ONE, entries.sums_to_one(entries.q), entries.sums_to_one(entries.p), _FLOOR, _ROOF)
)
"""What one or another of the theorems assumes, as text."""


def _s(index: Term) -> Term:
    return in_entries(direction[index])


def _tilted(index: Term) -> Term:
    """The entry of the distribution at a distance ε from q."""
    weight = entries.q(j) * exp(epsilon * _s(j))
    return entries.q(index) * exp(epsilon * _s(index)) / total(weight, j)


def _from_consensus(*, order_one: bool) -> Term:
    """The divergence of the tilted distribution from q, by its definition."""
    if order_one:
        return total(_tilted(i) * log(_tilted(i) / entries.q(i)))
    return log(total(_tilted(i) ** alpha * entries.q(i) ** (1 - alpha))) / (alpha - 1)


def _in_generating(*, order_one: bool) -> Term:
    """The same, as Taylor's formula takes it: through cumulant generating functions of s under q."""

    def generating(order: Term) -> Term:
        return total(entries.q(i) * exp(order * epsilon * _s(i)))

    if order_one:
        mean = total(entries.q(i) * exp(epsilon * _s(i)) * _s(i)) / generating(Integer(1))
        return epsilon * mean - log(generating(Integer(1)))
    return (log(generating(alpha)) - alpha * log(generating(Integer(1)))) / (alpha - 1)


def _at(order_one: bool, side: Formula) -> Term:
    return in_entries(side).xreplace({alpha: Integer(1)} if order_one else {})


def expansion_targets(sides: Expansion = CONSENSUS, *, order_one: bool = False) -> tuple[Tends, Tends]:
    """What D/ε² tends to, and what is left of it over ε.

    >>> expansion_targets()[0].point
    0
    """
    whole, known = _from_consensus(order_one=order_one), _at(order_one, CONSENSUS.second)
    second, third = (_at(order_one, side) for side in sides[:2])
    return (
        Tends(whole / epsilon**2, epsilon, 0, second),
        Tends((whole - known * epsilon**2) / epsilon**3, epsilon, 0, third),
    )


def _t(index: Term) -> Term:
    return log(entries.p(index) / entries.q(index))


_HALF = alpha * (total(entries.q(i) * _t(i) ** 2) - total(entries.q(i) * _t(i)) ** 2) / 2


def remainder_target(right_side: Formula = CONSENSUS.remainder, *, order_one: bool = False) -> AtMost:
    """``|D_α(p‖q) - (α/2) Var_q(t)| ≤`` the right side.

    >>> print(remainder_target().right)
    2*alpha*rho**3*(alpha + 1)/81
    """
    if order_one:
        gap = entries.leibler(entries.p, entries.q) - _HALF.xreplace({alpha: Integer(1)})
        return AtMost(Abs(gap), right_side.xreplace({alpha: Integer(1)}))
    return AtMost(Abs(log(power_mean(index=i)) / (alpha - 1) - _HALF), right_side)


@cache
def _expansion(place: int, side: Formula, *, order_one: bool) -> Theorem:
    target = expansion_targets(CONSENSUS._replace(**{Expansion._fields[place]: side}), order_one=order_one)[place]
    numerator = _in_generating(order_one=order_one)
    if place:
        numerator -= _at(order_one, CONSENSUS.second) * epsilon**2
    known = [] if order_one else [given(entries.NOT_ONE, "for an order that is not one")]
    return limit(
        target, numerator, 2 + place, where=[mass(entries.q)], known=known,
        reason="Taylor: of cumulant generating functions, whose derivatives at zero are the cumulants",
    )  # fmt: skip


@cache
def _third_moment() -> Theorem:
    """``Σ a v³ - 3 Σ a v Σ a v² + 2 (Σ a v)³ ≤ (4/27) ρ³`` for m ≤ v ≤ m + ρ and a distribution a.

    >>> print(_third_moment().conclusion.right)
    4*rho**3/27
    """
    v = entries.v
    first, second, third = (total(a(j) * v(j) ** n, j) for n in (1, 2, 3))
    low = specialise(given(ForAll(i, AtMost(LEAST_RATIO, v(i))), "given: the least value"), i, reason="at a class")
    top = LEAST_RATIO + rho
    high = specialise(given(ForAll(i, AtMost(v(i), top)), "given: the greatest value"), i, reason="at a class")
    one = mass(a)

    def summed(theorem: Theorem, target: Proposition, weight: Term, reason: str) -> Theorem:
        smaller, greater = theorem.conclusion.terms()
        term = combine(AtMost(0, weight * (greater - smaller)), [(weight, theorem)])
        return combine(target, [(1, sum_over(term, i, C))], where=[one], reason=reason)

    floor = summed(low, AtMost(LEAST_RATIO, first), a(i), "so the mean is not below the least value")
    roof = summed(high, AtMost(first, top), a(i), "nor above the greatest")
    cubes = summed(
        high, AtMost(third - 3 * first * second + 2 * first**3, (top - first) * (second - first**2)),
        a(i) * (v(i) - first) ** 2, "the third central moment is at most the variance times the greatest deviation",
    )  # fmt: skip
    product = combine(
        AtMost(0, a(i) * (top - v(i)) * (v(i) - LEAST_RATIO)), [(a(i) * (v(i) - LEAST_RATIO), high)],
        known=[low], reason="each value lies between",
    )  # fmt: skip
    spread = combine(
        AtMost(second - first**2, (top - first) * (first - LEAST_RATIO)), [(1, sum_over(product, i, C))], where=[one],
        reason="so the variance is at most the product of the distances of the mean",
    )  # fmt: skip
    up, down = top - first, first - LEAST_RATIO
    square = (up - 2 * down) ** 2 / 27
    return combine(
        AtMost(third - 3 * first * second + 2 * first**3, 4 * rho**3 / 27),
        [(1, cubes), (up, spread), (4 * square, roof), (square, floor)], known=[roof],
        reason="and x²y is at most 4/27 of (x+y)³",
    )  # fmt: skip


_x, _y, _z = (Symbol(name, real=True) for name in "xyz")
_CUBE = 4 * rho**3 / 27
"""What bounds the third central moment."""


def _moment(alpha: Term, n: int) -> Term:
    """The mean of the n-th power of the log-ratio under the escort of an order."""
    weight = entries.p(i) ** alpha * entries.q(i) ** (1 - alpha)
    return total(weight * _t(i) ** n) / power_mean(alpha, index=i)


def _spread(alpha: Term) -> Term:
    return _moment(alpha, 2) - _moment(alpha, 1) ** 2


def _skew(alpha: Term) -> Term:
    return _moment(alpha, 3) - 3 * _moment(alpha, 1) * _moment(alpha, 2) + 2 * _moment(alpha, 1) ** 3


_AT_ZERO = total(entries.q(i) * _t(i) ** 2) - total(entries.q(i) * _t(i)) ** 2


def _slope(formula: Term, value: Term) -> Theorem:
    """The derivative in x of a formula, in a form that is asserted."""
    itself = identity(Equal(formula, formula))
    return combine(Equal(Derivative(formula, _x), value), [(1, differentiate(itself, _x))], reason="differentiate")


@cache
def _bounded_skew(sign: int) -> Theorem:
    """``±κ ≤ (4/27) ρ³`` for the third central moment of the log-ratio under the escort of any order x."""
    weight = entries.p(i) ** _x * entries.q(i) ** (1 - _x) / power_mean(_x)
    floor, roof = (specialise(given(told, "given: the range of the log-ratio"), i) for told in (_FLOOR, _ROOF))
    least = LEAST_RATIO if sign == 1 else -LEAST_RATIO - rho
    values = {a(i): weight, entries.v(i): sign * _t(i), LEAST_RATIO: least}
    here = instantiate(_third_moment(), values, reason="of the log-ratio under an escort")
    lemmas = [combine(Equal(total(weight), 1), [], reason="the escort sums to one")]
    if sign == -1:
        turned = AtMost(least, -_t(i)), AtMost(-_t(i), least + rho)
        lemmas += [
            entries.everywhere(combine(told, [(1, given_one)], reason="the range, turned round"), i)
            for told, given_one in zip(turned, (roof, floor), strict=True)
        ]
    return combine(AtMost(sign * _skew(_x), _CUBE), [(1, discharged(here, *lemmas))], reason="collect")


def _between(sign: int, alpha: Term) -> tuple[Term, Term]:
    """``g = ±(K - V₀ x²/2) - c x³/6``, where K is the generating function, and its derivative."""
    value = sign * (log(power_mean(alpha, index=i)) - _AT_ZERO * alpha**2 / 2) - _CUBE * alpha**3 / 6
    return value, sign * (_moment(alpha, 1) - _AT_ZERO * alpha) - _CUBE * alpha**2 / 2


@cache
def _falling(sign: int) -> Theorem:
    """``g'(z) ≤ g'(y)`` for ``0 ≤ y ≤ z``: the variance of the log-ratio grows no faster than c."""
    gap = _CUBE * _x - sign * _spread(_x)
    grows = combine(
        AtMost(0, Derivative(gap, _x)), [(-1, _slope(gap, _CUBE - sign * _skew(_x))), (1, _bounded_skew(sign))],
        reason="the derivative of the variance in the order is the third central moment",
    )  # fmt: skip
    variance = instantiate(rising(grows, _x, Integer(0), _y, reason="so, from order zero,"), {_y: _x})
    second = combine(
        AtMost(sign * (_spread(_x) - _AT_ZERO), _CUBE * _x), [(1, variance)], where=[mass(entries.q)],
        reason="the variance differs from that at order zero by at most so much",
    )  # fmt: skip
    turned = -_between(sign, _x)[1]
    slope = _slope(turned, _CUBE * _x - sign * (_spread(_x) - _AT_ZERO))
    concave = combine(AtMost(0, Derivative(turned, _x)), [(-1, slope), (1, second)], reason="g is concave")
    start, way = given(AtMost(0, _y), "from an order"), given(AtMost(_y, _x), "upwards")
    positive = combine(AtMost(0, _x), [(1, start), (1, way)], reason="which is not below zero")
    return rising(discharged(concave, positive), _x, _y, _z, reason="so its slope does not rise")


@cache
def _chords(sign: int) -> tuple[Theorem, Theorem]:
    """``g(0) ≤ g(y) - y g'(y)`` and ``g(z) ≤ g(y) + (z-y) g'(y)``, for ``0 ≤ y ≤ z``."""
    tangent = _between(sign, _y)[1]
    value, slope = _between(sign, _x)
    below, above = value - _x * tangent, -value + _x * tangent
    back = instantiate(_falling(sign), {_y: _x, _z: _y}, reason="below an order")
    on = instantiate(_falling(sign), {_z: _x}, reason="above it")
    first = combine(
        AtMost(0, Derivative(below, _x)), [(-1, _slope(below, slope - tangent)), (1, back)],
        reason="g less its tangent there rises",
    )  # fmt: skip
    second = combine(
        AtMost(0, Derivative(above, _x)), [(-1, _slope(above, tangent - slope)), (1, on)], reason="and then falls"
    )
    return (
        rising(first, _x, Integer(0), _y, reason="so g lies below its tangent at zero"),
        rising(second, _x, _y, _z, reason="and beyond"),
    )


def _at_orders(theorem: Theorem, near: Term, far: Term, *lemmas: Theorem) -> Theorem:
    """A chord, for two orders, the first of which is not negative."""
    here = instantiate(theorem, {_y: near, _z: far}, reason="for these orders")
    proved = [nonnegative(near), *lemmas]
    return discharged(here, *(lemma for lemma in proved if lemma.conclusion in here.hypotheses))


@cache
def _one_side(sign: int) -> tuple[Theorem, Theorem]:
    """``±(D_α - (α/2) Var_q(t)) ≤ 2α(α+1)ρ³/81``, for α ≠ 1 and for α = 1."""
    back, on = _chords(sign)
    one = Integer(1)
    where = [mass(entries.q), mass(entries.p)]
    target = AtMost(sign * (log(power_mean(index=i)) / (alpha - 1) - _HALF), CONSENSUS.remainder)
    low, high = strictly(Less(alpha, 1), AtMost(alpha, 1)), strictly(Less(1, alpha), AtMost(1, alpha))
    under, over = given(AtMost(alpha, 1), "suppose"), given(AtMost(1, alpha), "suppose")
    below = combine(
        target,
        [(one, _at_orders(back, alpha, one)), (alpha / (1 - alpha), _at_orders(on, alpha, one, under))],
        known=[low], where=where, reason="g vanishes at zero, and D is K over α-1",
    )  # fmt: skip
    beyond = combine(
        target,
        [(one, _at_orders(back, one, alpha)), (1 / (alpha - 1), _at_orders(on, one, alpha, over))],
        known=[high], where=where, reason="likewise beyond order one",
    )  # fmt: skip
    whole = cases(below, beyond, alpha, one, reason="for every order but one")
    gap = remainder_target(order_one=True).left.args[0]
    at_one = combine(
        AtMost(sign * gap, CONSENSUS.remainder.xreplace({alpha: one})), [(one, _at_orders(back, one, one))],
        where=where, reason="and at order one, where D is the slope of K",
    )  # fmt: skip
    return whole, at_one


@cache
def _within(*, order_one: bool) -> Theorem:
    known = [] if order_one else [given(entries.NOT_ONE, "for an order that is not one")]
    above, below = (_one_side(sign)[order_one] for sign in (1, -1))
    return sized(above, below, known)


def _remainder(right_side: Formula, *, order_one: bool) -> Theorem:
    target = remainder_target(right_side, order_one=order_one)
    return combine(target, [(1, _within(order_one=order_one))], reason="so what remains is bounded")


@of_formulas(Expansion, 3)
def consensus_expansion(right_sides: Expansion = CONSENSUS) -> Proof:
    """D10: ``D_α = (α/2) Var_q(t) + O(|t|³)``: its terms of second and third order, and an explicit remainder.

    For ``r_k ∝ q_k exp(ε s_k)``: ``D_α(r‖q)/ε² → (α/2) Var_q(s)``, and what is left, divided by ε³, tends to
    ``α(α+1)/6`` times the third central moment of s. For all p and q with t = log p/q of range ρ:
    ``|D_α(p‖q) - (α/2) Var_q(t)| ≤ 2α(α+1)ρ³/81``. This toolkit's own. The last three theorems are those of order one.

    Examples
    --------
    >>> consensus_expansion().verify()
    True
    """

    def theorems(*, order_one: bool) -> Sequence[Theorem]:
        expanded = (_expansion(place, side, order_one=order_one) for place, side in enumerate(right_sides[:2]))
        return (*expanded, _remainder(right_sides.remainder, order_one=order_one))

    return Proof((*theorems(order_one=False), *theorems(order_one=True)))
