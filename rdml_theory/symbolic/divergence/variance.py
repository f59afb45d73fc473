"""Variances: Bhatia-Davis and Popoviciu, and with them the curvature of the divergence in the student's logits."""

from __future__ import annotations

from functools import cache
from typing import Any

from sympy import Integer, Max, Rational, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.certificates import smt
from rdml_theory.symbolic.divergence import entries
from rdml_theory.symbolic.divergence.gradients import MOVED, hessian_target, student_hessian
from rdml_theory.symbolic.divergence.names import GREATEST, LEAST, MEAN
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import C, Formula, alpha, i, j, k
from rdml_theory.symbolic.relations import at_most

__all__ = [
    "ASSUMPTIONS", "BHATIA_DAVIS", "CURVATURES", "POPOVICIU", "curvature_bounds", "curvature_targets",
    "variance_bounds", "variance_not_negative", "variance_of_entries", "variance_targets",
]  # fmt: skip

BHATIA_DAVIS: Formula = (GREATEST - MEAN) * (MEAN - LEAST)
"""(M - μ)(μ - m)."""

POPOVICIU: Formula = (GREATEST - LEAST) ** 2 / 4
"""(M - m)²/4."""

CURVATURES: tuple[Formula, Formula] = (-Max(1 - alpha, 0) / 2, Max(1, alpha) / 2)
"""The least and the greatest curvature: -(1-α)₊/2 and max(1, α)/2."""


_HYPOTHESES = {
    "mean": Equal(MEAN, entries.total(entries.q(i) * entries.v(i))),
    "least": ForAll(i, AtMost(LEAST, entries.v(i))),
    "greatest": ForAll(i, AtMost(entries.v(i), GREATEST)),
}

ASSUMPTIONS = (entries.sums_to_one(entries.q).text(), *(told.text() for told in _HYPOTHESES.values()))
"""What the bounds of the variance assume, as text."""


def variance_targets(bhatia_davis: Formula = BHATIA_DAVIS, popoviciu: Formula = POPOVICIU) -> tuple[AtMost, AtMost]:
    """The variance ``≤`` either bound.

    >>> print(variance_targets()[1].text())
    Σ_{i ≤ C} (q_i·v_i²) - (Σ_{i ≤ C} (q_i·v_i))² ≤ (M - m)²/4
    """
    return AtMost(_variance(entries.q), bhatia_davis), AtMost(_variance(entries.q), popoviciu)


@of_formulas()
def variance_bounds(bhatia_davis: Formula = BHATIA_DAVIS, popoviciu: Formula = POPOVICIU) -> Proof:
    """D12: Var_q(v) ≤ (M - μ)(μ - m) ≤ (M - m)²/4 for m ≤ v ≤ M with mean μ.

    Bhatia & Davis 2000, Popoviciu 1935; derived here. The last two theorems say that two classes attain them, the
    second where they are equally likely.

    Examples
    --------
    >>> variance_bounds().verify()
    True
    """
    q, v = entries.q, entries.v
    targets = variance_targets(bhatia_davis, popoviciu)
    mean = entries.given(_HYPOTHESES["mean"], "given: the mean")
    low, high = (specialise(entries.given(_HYPOTHESES[name]), i, reason="at a class") for name in ("least", "greatest"))
    part = combine(
        AtMost(0, q(i) * (GREATEST - v(i)) * (v(i) - LEAST)), [(q(i) * (GREATEST - v(i)), low)], known=[high],
        reason="the product of both distances is not negative",
    )  # fmt: skip
    first = combine(
        targets[0], [(1, sum_over(part, i, C))], where=[mean, entries.mass(q)],
        reason="summed over the classes, of a distribution",
    )  # fmt: skip
    middle = nonnegative((MEAN - (GREATEST + LEAST) / 2) ** 2, reason="a square")
    second = combine(targets[1], [(1, first), (1, middle)], reason="wherever the mean lies")
    return Proof((first, second, *_attained(bhatia_davis, popoviciu)))


def _attained(*asserted: Formula) -> tuple[Theorem, ...]:
    """Two classes attain both bounds, the second where they are equally likely."""
    q, v, two = entries.q, entries.v, Integer(2)
    variance = _variance(q, two)
    told = (
        Equal(q(1), 1 - q(2)), Equal(LEAST, v(1)), Equal(GREATEST, v(2)),
        Equal(MEAN, entries.total(q(i) * v(i), count=two)),
    )  # fmt: skip
    facts = [entries.given(part, "given: two classes") for part in told]
    half = entries.given(Equal(q(2), Rational(1, 2)), "given: equally likely")
    return (
        combine(Equal(variance, asserted[0]), [], where=[facts[3], *facts[:3]], reason="two classes attain the first"),
        combine(Equal(variance, asserted[1]), [], where=[*facts[:3], half], reason="and, at even odds, the second"),
    )


@cache
def variance_of_entries() -> Theorem:
    """``Σ a v² - (Σ a v)² ≤ ½ Σ v²``, of a distribution.

    (v_i + v_j)² is not negative; times a_i a_j and summed over j, the term j = i is at most the sum.

    >>> print(variance_of_entries().conclusion.text())
    Σ_{i ≤ C} (a_i·v_i²) - (Σ_{i ≤ C} (a_i·v_i))² ≤ Σ_{i ≤ C} v_i²/2
    """
    a, v, total = entries.a, entries.v, entries.total
    square = nonnegative(a(k) * a(j) * (v(k) + v(j)) ** 2, reason="a square")
    one = one_term(square, j, C, k, known=[entries.is_class(k)], reason="one term of a sum of these")
    mean = total(a(i) * v(i))
    row = combine(
        AtMost(4 * a(k) ** 2 * v(k) ** 2, a(k) * v(k) ** 2 + 2 * a(k) * v(k) * mean + a(k) * total(a(i) * v(i) ** 2)),
        [(1, one)], where=[entries.mass(a)], reason="written out",
    )  # fmt: skip
    share = nonnegative(2 * v(k) ** 2 * (a(k) - Rational(1, 2)) ** 2, reason="a square")
    return combine(
        AtMost(_variance(a), total(v(i) ** 2) / 2), [(Rational(1, 2), sum_over(row, k, C)), (1, sum_over(share, k, C))],
        where=[entries.mass(a)], reason="summed over the classes, as 2a(1-a) ≤ 1/2",
    )  # fmt: skip


def _variance(family: Any, count: Term = C) -> Term:
    """``Σ a v² - (Σ a v)²``."""
    v = entries.v
    return entries.total(family(i) * v(i) ** 2, count=count) - entries.total(family(i) * v(i), count=count) ** 2


@cache
def variance_not_negative() -> Theorem:
    """``0 ≤ Σ a v² - (Σ a v)²``."""
    a, v = entries.a, entries.v
    centre: Term = Symbol("c", real=True)
    summed = sum_over(nonnegative(a(i) * (v(i) - centre) ** 2, reason="a square"), i, C, reason="summed")
    free = combine(
        AtMost(0, entries.total(a(i) * v(i) ** 2) - 2 * centre * entries.total(a(i) * v(i)) + centre**2),
        [(1, summed)], where=[entries.mass(a)], reason="written out",
    )  # fmt: skip
    here = instantiate(free, {centre: entries.total(a(i) * v(i))}, reason="about the mean")
    return combine(AtMost(0, _variance(a)), [(1, here)], reason="a variance is not negative")


def curvature_targets(lower: Formula, upper: Formula, *, order_one: bool = False) -> tuple[AtMost, AtMost]:
    """The second derivative along v ``≤ upper·Σ v²``, and ``lower·Σ v² ≤`` the second derivative.

    >>> [str(target.right) for target in curvature_targets(*CURVATURES)][:1]
    ['Max(1, alpha)*Sum(v_i**2, (i, 1, C))/2']
    """
    slope = hessian_target(order_one=order_one).left
    size = entries.total(entries.v(i) ** 2)
    return AtMost(slope, upper * size), AtMost(lower * size, slope)


@of_formulas()
def curvature_bounds(lower: Formula = CURVATURES[0], upper: Formula = CURVATURES[1]) -> Proof:
    """D6: the curvature of D_α in the student's logits lies between -(1-α)₊/2 and max(1, α)/2, for every order.

    Said along a direction v: the second derivative lies between these times Σ v². The last two theorems are those of
    order one.

    Examples
    --------
    >>> curvature_bounds().axioms
    ()
    """
    x, y, size = (Symbol(name, nonnegative=True) for name in ("x", "y", "S"))
    inside = (at_most(x, size / 2), at_most(y, size / 2))
    curvature = x - (1 - alpha) * y
    places = {x: _variance(entries.q), y: _variance(entries.w), size: entries.total(entries.v(i) ** 2)}
    moved = entries.given(MOVED, "given: q = softmax(z + s·v)")
    sums = {
        entries.q: combine(Equal(entries.total(entries.q(i)), 1), [], where=[moved], reason="the softmax sums to one"),
        entries.w: entries.of_escort(),
    }

    def of(theorem: Theorem, family: Any) -> Theorem:
        return discharge(instantiate(theorem, {entries.a(i): family(i)}, reason="of this distribution"), sums[family])

    signs = [of(variance_not_negative(), family) for family in sums]
    halves = [of(variance_of_entries(), family) for family in sums]

    def bounded(relation: Any) -> Theorem:
        scalar = certified(smt(relation, conditions=inside), reason="of two variances")
        return entries.discharged(instantiate(scalar, places, known=signs, reason="of q and of w"), *halves)

    below, above = CURVATURES
    found = (bounded(at_most(curvature, above * size)), bounded(at_most(below * size, curvature)))

    def theorems(hessian: Theorem, where: list[Theorem], *, order_one: bool) -> list[Theorem]:
        targets = curvature_targets(lower, upper, order_one=order_one)
        return [
            combine(target, [(sign, hessian), (1, bound)], where=where, reason="by the Hessian along v")
            for target, sign, bound in zip(targets, (1, -1), found, strict=True)
        ]

    other, at_one = student_hessian().theorems
    return Proof((*theorems(other, [], order_one=False), *theorems(at_one, [], order_one=True)))
