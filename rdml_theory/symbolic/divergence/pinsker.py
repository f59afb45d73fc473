"""Grouping into two points, and Pinsker's inequality for orders up to one, both from scalar inequalities."""

from __future__ import annotations

from sympy import Abs, Integer, Interval, Limit, Rational, Sum, Symbol, log, oo

from rdml_theory.symbolic.certificates import calculus, certified, smt
from rdml_theory.symbolic.divergence.names import DISTANCE, PEER_MASS, STUDENT_MASS, two_point_divergence
from rdml_theory.symbolic.engine.derivation import Derivation, Premise, Step
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.notation import ESCORT, STANDARD, C, Formula, Named, alpha, i, p, q, w
from rdml_theory.symbolic.relations import at_least, at_most, equal

__all__ = ["PINSKER", "TWO_POINTS", "leibler", "pinsker", "two_point_reduction"]

PINSKER: Formula = alpha / 2 * DISTANCE**2
"""(α/2) ‖p - q‖₁²."""

TWO_POINTS: Formula = two_point_divergence(PEER_MASS, STUDENT_MASS)
"""D_α of (P, 1-P) from (Q, 1-Q)."""

_r: Formula = Symbol("r", positive=True)


def _sum(summand: Formula) -> Formula:
    return Sum(summand, (i, 1, C))


def leibler(first: Formula, second: Formula) -> Formula:
    """KL(first‖second) as a sum over the classes.

    >>> leibler(p, q)
    Sum(log(p[i]/q[i])*p[i], (i, 1, C))
    """
    return _sum(first[i] * log(first[i] / second[i]))


def distance(first: Formula, second: Formula, name: Named) -> Formula:
    """``name`` = Σ |first_i - second_i|.

    >>> distance(p, q, DISTANCE).args[0] == DISTANCE
    True
    """
    return equal(name, _sum(Abs(first[i] - second[i])))


_x: Formula = Symbol("x", positive=True)
_y: Formula = Symbol("y", positive=True)
_slope: Formula = Symbol("lambda", nonnegative=True)
_SCALAR = at_least((4 + 2 * _x) * (_x * log(_x) - _x + 1), 3 * (_x - 1) ** 2)
_SQUARE = at_least((_slope * (4 * _y + 2 * _x) - 3 * Abs(_x - _y)) ** 2, 0)
_TERM = at_most(2 * _slope * Abs(_x - _y), _slope**2 * (4 * _y + 2 * _x) / 3 + _x * log(_x / _y) - _x + _y)
_TRIANGLE = at_most(Abs(_x - _y), Abs(_r - _x) + Abs(_r - _y))


def pinsker_term() -> tuple[Step, ...]:
    """``2λ|x-y| ≤ λ²(4y+2x)/3 + x log(x/y) - x + y`` for λ ≥ 0: one class of Pinsker's inequality.

    >>> [step.decide() for step in pinsker_term()]
    [True, True, True]
    """
    return (
        certified("x log x - x + 1 against (x-1)²", _SCALAR, calculus, along=_x, at=1),
        Step("a square", _SQUARE),
        Step(
            "so for every λ ≥ 0, by the first at x/y, one class of a sum contributes",
            _TERM,
            premises=(Premise(_SCALAR, 3 * _y**2, (equal(_x, _x / _y),)), Premise(_SQUARE)),
            factor=3 * (4 * _y + 2 * _x),
        ),
    )


def pinsker_of(first: Formula, second: Formula, name: Named) -> Step:
    """KL(first‖second) ≥ ½ ‖first - second‖₁², by :func:`pinsker_term` at λ = ½ ‖first - second‖₁.

    >>> pinsker_of(p, q, DISTANCE).decide()
    True
    """
    at = (equal(_x, first[i]), equal(_y, second[i]), equal(_slope, name / 2))
    return Step(
        f"summed over the classes at λ = {name.text}/2: Pinsker's inequality for KL({first.label}‖{second.label})",
        at_least(leibler(first, second), name**2 / 2),
        (distance(first, second, name), *STANDARD),
        (Premise(_TERM, at=at, over=(i, 1, C)),),
    )


def triangle(first: Formula, second: Formula, via: Formula, names: tuple[Named, Named, Named]) -> Step:
    """‖first - second‖₁ ≤ ‖via - first‖₁ + ‖via - second‖₁, from |x-y| ≤ |r-x| + |r-y|.

    >>> names = tuple(Named(n, n) for n in ("d", "e", "f"))
    >>> triangle(p, q, w, names).decide()
    True
    """
    whole, one, other = names
    at = (equal(_x, first[i]), equal(_y, second[i]), equal(_r, via[i]))
    return Step(
        "summed over the classes",
        at_most(whole, one + other),
        (distance(first, second, whole), distance(via, first, one), distance(via, second, other)),
        (Premise(_TRIANGLE, at=at, over=(i, 1, C)),),
    )


def triangle_term() -> Step:
    """|x-y| ≤ |r-x| + |r-y|.

    >>> triangle_term().decide()
    True
    """
    return certified("the triangle inequality", _TRIANGLE, smt)


MIXTURE: Formula = equal((1 - alpha) * divergence, alpha * leibler(w, p) + (1 - alpha) * leibler(w, q))
"""(1-α) D_α(p‖q) = α KL(w‖p) + (1-α) KL(w‖q)."""


def _grouped_leibler() -> tuple[Step, ...]:
    """KL(p‖q) ≥ kl(P, Q), the case of order one."""
    first, second = _sum(p[i]), _sum(q[i])
    ratio = p[i] * second / (q[i] * first)
    return (
        certified(
            "at order one: r log r lies above its tangent at 1",
            at_least(_r * log(_r), _r - 1),
            calculus,
            along=_r,
            at=1,
        ),
        Step("the q-mean of the tangents at r_i is 0", equal(_sum(q[i] / second * (ratio - 1)), Integer(0))),
        Step(
            "and Σ p log(p/q) exceeds P log(P/Q) by P times the q-mean of r log r, which is not negative",
            equal(
                _sum(p[i] * log(p[i] / q[i])) - first * log(first / second),
                first * _sum(q[i] / second * ratio * (log(p[i] / q[i]) - log(first / second))),
            ),
        ),
    )


def two_point_reduction(right_side: Formula | None = None) -> Derivation:
    """D_α(p‖q) ≥ D_α of (P, 1-P) from (Q, 1-Q), for every set of classes with masses P and Q and every order.

    The data-processing inequality for a grouping into two (van Erven & Harremoës 2014, arXiv 1206.2459, Theorem 9).

    Parameters
    ----------
    right_side : Formula, optional
        What is asserted not to exceed the divergence, a function of ``PEER_MASS``, ``STUDENT_MASS`` and ``alpha``.

    Examples
    --------
    >>> two_point_reduction().verify(), two_point_reduction(2 * TWO_POINTS).verify()
    (True, False)
    """
    asserted = TWO_POINTS if right_side is None else right_side
    first, second = _sum(p[i]), _sum(q[i])
    ratio = p[i] * second / (q[i] * first)
    tangent = 1 + alpha * (_r - 1)
    steps = (
        certified(
            "up to order one a power lies below its tangent at 1", at_most(_r**alpha, tangent), calculus,
            {alpha: Interval.Lopen(0, 1)}, along=_r, at=1,
        ),
        certified(
            "from order one it lies above", at_least(_r**alpha, tangent), calculus,
            {alpha: Interval(1, oo)}, along=_r, at=1,
        ),
        Step(
            "on a group with masses P = Σ p, Q = Σ q, r_i = p_i Q/(q_i P): the q-mean of the tangents is 1",
            equal(_sum(q[i] / second * (1 + alpha * (ratio - 1))), Rational(1)),
        ),
        Step(
            "and that of the powers is the group's share of Σ p^α q^(1-α), relative to P^α Q^(1-α)",
            equal(_sum(q[i] / second * ratio**alpha), _sum(p[i] ** alpha * q[i] ** (1 - alpha))
                  / (first**alpha * second ** (1 - alpha))),
        ),
        Step(
            "so Σ p^α q^(1-α) is at most (α < 1) or at least (α > 1) its value for the two groups, and log(·)/(α-1) "
            "turns either into D_α ≥ its value for the two groups, which is at least what is asserted",
            at_least(TWO_POINTS, asserted),
        ),
    )  # fmt: skip
    return Derivation(at_least(divergence, asserted), steps, lemmas=_grouped_leibler())


def pinsker(right_side: Formula | None = None, *, greatest_order: Formula | None = None) -> Derivation:
    """D_α(p‖q) ≥ (α/2) ‖p - q‖₁² for orders in (0, 1].

    Pinsker 1964 and Csiszár 1967 at order one, Gilardoni 2010 below (van Erven & Harremoës 2014, arXiv 1206.2459,
    Theorem 31); derived here from the definition.

    Parameters
    ----------
    right_side : Formula, optional
        The asserted lower bound, a function of ``alpha`` and ``DISTANCE``.
    greatest_order : Formula, optional
        The greatest order for which it is asserted; beyond 1 the derivation fails.

    Examples
    --------
    >>> pinsker().verify(), pinsker(2 * PINSKER).verify(), pinsker(greatest_order=Rational(2)).verify()
    (True, False, False)
    """
    asserted = PINSKER if right_side is None else right_side
    greatest = Rational(1) if greatest_order is None else greatest_order
    to_peer, to_student = Named("‖w - p‖₁", r"\lVert w - p \rVert_1"), Named("‖w - q‖₁", r"\lVert w - q \rVert_1")
    more: Formula = Symbol("b", positive=True)
    below = equal(alpha, 1 / (1 + more))  # so that 1 - α = bα, and signs are visible
    pair, peer, student = (pinsker_of(*which) for which in ((p, q, DISTANCE), (w, p, to_peer), (w, q, to_student)))
    mixture = Step("below order one the divergence is a mixture of two KLs from the escort", MIXTURE, STANDARD)
    apart = triangle(p, q, w, (DISTANCE, to_peer, to_student))
    square = Step("a square", at_least((to_peer - more * to_student) ** 2, 0))
    step: Formula = Symbol("h", positive=True)
    near = two_point_divergence(Rational(1, 2) + step, Rational(1, 2))
    steps = (
        certified(
            f"for orders up to {greatest} the weights α and 1-α are not negative",
            at_most(alpha, 1),
            smt,
            {alpha: Interval.Lopen(0, greatest)},
        ),
        *pinsker_term(),
        pair,
        peer,
        student,
        triangle_term(),
        apart,
        mixture,
        square,
        Step(
            "so below order one, as ‖p-q‖₁ is at most the sum of the two distances from the escort",
            at_least(divergence, asserted),
            (below,),
            (
                Premise(mixture.relation),
                Premise(peer.relation, alpha),
                Premise(student.relation, more * alpha),
                Premise(square.relation, alpha**2 / 2),
                Premise(apart.relation, more * alpha**2 / 2 * (to_peer + to_student + DISTANCE)),
            ),
            more * alpha,
        ),
        Step(
            "and at order one, where the divergence is KL(p‖q)",
            at_least(leibler(p, q), asserted),
            (equal(alpha, Integer(1)),),
            (Premise(pair.relation),),
        ),
        Step(
            "the constant is attained at consensus: p = (1/2+h, 1/2-h), q = (1/2, 1/2), where ‖p-q‖₁ = 2h",
            equal(Limit(near / (alpha / 2 * (2 * step) ** 2), step, 0), Integer(1)),
        ),
    )
    return Derivation(at_least(divergence, asserted), steps, {"w": ESCORT})
