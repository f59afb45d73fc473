"""Variances: Bhatia-Davis and Popoviciu, and with them the curvature of the divergence in the student's logits."""

from __future__ import annotations

from functools import cache
from typing import Any

from sympy import IndexedBase, Integer, Max, Rational, Sum, Symbol, Tuple

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.certificates import certified as certified_step
from rdml_theory.symbolic.certificates import smt
from rdml_theory.symbolic.divergence import entries
from rdml_theory.symbolic.divergence.entries import Term
from rdml_theory.symbolic.divergence.gradients import MOVED, hessian_target, student_hessian
from rdml_theory.symbolic.divergence.names import GREATEST, LEAST, MEAN, VARIANCE
from rdml_theory.symbolic.engine.derivation import Derivation, Premise, Step
from rdml_theory.symbolic.kernel import (
    AtMost,
    Equal,
    Proof,
    Theorem,
    certified,
    combine,
    discharge,
    instantiate,
    nonnegative,
    one_term,
    sum_over,
)  # fmt: skip
from rdml_theory.symbolic.notation import STUDENT, C, Formula, alpha, i, j, k, q
from rdml_theory.symbolic.relations import at_least, at_most, equal

__all__ = ["BHATIA_DAVIS", "CURVATURES", "POPOVICIU", "curvature_bounds", "curvature_targets", "variance_bounds"]

BHATIA_DAVIS: Formula = (GREATEST - MEAN) * (MEAN - LEAST)
"""(M - μ)(μ - m)."""

POPOVICIU: Formula = (GREATEST - LEAST) ** 2 / 4
"""(M - m)²/4."""

CURVATURES: tuple[Formula, Formula] = (-Max(1 - alpha, 0) / 2, Max(1, alpha) / 2)
"""The least and the greatest curvature: -(1-α)₊/2 and max(1, α)/2."""

_v: Formula = IndexedBase("v", real=True)


def variance_bounds(bhatia_davis: Formula | None = None, popoviciu: Formula | None = None) -> Derivation:
    """Var_q(v) ≤ (M - μ)(μ - m) ≤ (M - m)²/4 for m ≤ v ≤ M with mean μ.

    Bhatia & Davis 2000, Popoviciu 1935; derived here.

    Parameters
    ----------
    bhatia_davis, popoviciu : Formula, optional
        The asserted bounds, functions of ``GREATEST``, ``LEAST`` and ``MEAN``. Smaller ones are disproved.

    Examples
    --------
    >>> variance_bounds().verify(), variance_bounds(popoviciu=POPOVICIU / 2).verify()
    (True, False)
    """
    first = BHATIA_DAVIS if bhatia_davis is None else bhatia_davis
    second = POPOVICIU if popoviciu is None else popoviciu
    above: Formula = IndexedBase("a", nonnegative=True)
    below: Formula = IndexedBase("b", nonnegative=True)
    mean = Sum(q[i] * _v[i], (i, 1, C))
    names = (
        equal(VARIANCE, Sum(q[i] * _v[i] ** 2, (i, 1, C)) - MEAN**2),
        equal(MEAN, mean),
        equal(above[k], GREATEST - _v[k]),
        equal(below[k], _v[k] - LEAST),
        STUDENT,
    )
    between = (at_most(LEAST, MEAN), at_most(MEAN, GREATEST))
    product = Sum(q[i] * above[i] * below[i], (i, 1, C))
    positive = Step("a_i = M - v_i and b_i = v_i - m are not negative", at_least(product, Integer(0)))
    identity = Step("and the mean of their product is", equal(product, BHATIA_DAVIS - VARIANCE), names)
    largest = Step(
        "so", at_most(VARIANCE, BHATIA_DAVIS),
        premises=(Premise(positive.relation), Premise(identity.relation, Integer(-1))),
    )  # fmt: skip
    tight = certified_step("which is at most the asserted bound", at_most(BHATIA_DAVIS, first), smt, conditions=between)
    wide = certified_step("wherever the mean lies", at_most(BHATIA_DAVIS, second), smt, conditions=between)

    def conclusion(bound: Formula, step: Step) -> Step:
        return Step("so", at_most(VARIANCE, bound), premises=(Premise(largest.relation), Premise(step.relation)))

    concluded = () if first == BHATIA_DAVIS else (conclusion(first, tight),)
    s: Formula = Symbol("s", positive=True)
    two_points = s * GREATEST**2 + (1 - s) * LEAST**2 - (s * GREATEST + (1 - s) * LEAST) ** 2
    steps = (
        positive,
        identity,
        largest,
        tight,
        *concluded,
        wide,
        conclusion(second, wide),
        Step(
            "two values m and M, the latter with probability s, attain the first bound",
            equal(two_points, BHATIA_DAVIS.subs(MEAN, s * GREATEST + (1 - s) * LEAST)),
        ),
        Step("and at s = 1/2 the second", equal(two_points.subs(s, Rational(1, 2)), POPOVICIU)),
    )
    meanings = {"Var": names[0], "mu": names[1]}
    return Derivation(Tuple(at_most(VARIANCE, first), at_most(VARIANCE, second)), steps, meanings)


@cache
def variance_of_entries() -> Theorem:
    """``Σ a v² - (Σ a v)² ≤ ½ Σ v²``, of a distribution.

    (v_i + v_j)² is not negative; times a_i a_j and summed over j, the term j = i is at most the sum.

    >>> print(variance_of_entries().conclusion.text())
    Σ_{i ≤ C} (a_i·v_i²) - (Σ_{i ≤ C} (a_i·v_i))² ≤ (Σ_{i ≤ C} v_i²)/2
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


def _variance(family: Any) -> Term:
    """``Σ a v² - (Σ a v)²``."""
    return entries.total(family(i) * entries.v(i) ** 2) - entries.total(family(i) * entries.v(i)) ** 2


@cache
def _not_negative() -> Theorem:
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
def curvature_bounds(lower: Formula | None = None, upper: Formula | None = None) -> Proof:
    """D6: the curvature of D_α in the student's logits lies between -(1-α)₊/2 and max(1, α)/2, for every order.

    Said along a direction v: the second derivative lies between these times Σ v². The last two theorems are those of
    order one.

    Parameters
    ----------
    lower, upper : Expr, optional
        The asserted bounds, functions of ``alpha``.

    Raises
    ------
    ProofError
        If they do not follow.

    Examples
    --------
    >>> curvature_bounds().verify()
    True
    """
    least = CURVATURES[0] if lower is None else lower
    greatest = CURVATURES[1] if upper is None else upper
    x, y, size = (Symbol(name, nonnegative=True) for name in ("x", "y", "S"))
    order: Term = Symbol("r", positive=True)
    inside = (at_most(x, size / 2), at_most(y, size / 2))
    curvature = x - (1 - order) * y
    places = {order: alpha, x: _variance(entries.q), y: _variance(entries.w), size: entries.total(entries.v(i) ** 2)}
    moved = entries.given(MOVED, "given: q = softmax(z + s·v)")
    sums = {
        entries.q: combine(Equal(entries.total(entries.q(i)), 1), [], where=[moved], reason="the softmax sums to one"),
        entries.w: entries.of_escort(),
    }

    def of(theorem: Theorem, family: Any) -> Theorem:
        return discharge(instantiate(theorem, {entries.a(i): family(i)}, reason="of this distribution"), sums[family])

    signs = [of(_not_negative(), family) for family in sums]
    halves = [of(variance_of_entries(), family) for family in sums]

    def bounded(relation: Any) -> Theorem:
        scalar = certified(smt(relation, conditions=inside), reason="of two variances")
        return entries.discharged(instantiate(scalar, places, known=signs, reason="of q and of w"), *halves)

    above, below = (bound.xreplace({alpha: order}) for bound in CURVATURES[::-1])
    found = (bounded(at_most(curvature, above * size)), bounded(at_most(below * size, curvature)))

    def theorems(hessian: Theorem, where: list[Theorem], *, order_one: bool) -> list[Theorem]:
        targets = curvature_targets(least, greatest, order_one=order_one)
        return [
            combine(target, [(sign, hessian), (1, bound)], where=where, reason="by the Hessian along v")
            for target, sign, bound in zip(targets, (1, -1), found, strict=True)
        ]

    other, at_one = student_hessian().theorems
    return Proof((*theorems(other, [], order_one=False), *theorems(at_one, [], order_one=True)))
