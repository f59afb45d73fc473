"""Pinsker's inequality for orders up to one, from the definition: grouping, two points, and a mixture of two KLs."""

from __future__ import annotations

from sympy import Interval, Limit, Rational, Sum, Symbol, log, oo, symbols

from rdml_theory.symbolic.certificates import calculus, certified, smt
from rdml_theory.symbolic.derivation import Derivation, Step
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.inequalities_names import DISTANCE, PEER_MASS, STUDENT_MASS, two_point_divergence
from rdml_theory.symbolic.notation import ESCORT, C, Formula, alpha, i, p, q, w
from rdml_theory.symbolic.relations import at_least, at_most, equal

__all__ = ["PINSKER", "TWO_POINTS", "leibler", "pinsker", "two_point_reduction"]

PINSKER: Formula = alpha / 2 * DISTANCE**2
"""(α/2) ‖p - q‖₁²."""

TWO_POINTS: Formula = two_point_divergence(PEER_MASS, STUDENT_MASS)
"""D_α of (P, 1-P) from (Q, 1-Q)."""

_r: Formula = Symbol("r", positive=True)
_open = Interval.open(0, 1)


def _sum(summand: Formula) -> Formula:
    return Sum(summand, (i, 1, C))


def leibler(first: Formula, second: Formula) -> Formula:
    """KL(first‖second) as a sum over the classes.

    >>> leibler(p, q)
    Sum((log(p[i]) - log(q[i]))*p[i], (i, 1, C))
    """
    return _sum(first[i] * (log(first[i]) - log(second[i])))


def mixture(reason: str) -> Step:
    """(1-α) D_α(p‖q) = α KL(w‖p) + (1-α) KL(w‖q), for α < 1.

    >>> mixture("").decide()
    True
    """
    left = -log(_sum(p[i] ** alpha * q[i] ** (1 - alpha)))
    return Step(reason, equal(left, alpha * leibler(w, p) + (1 - alpha) * leibler(w, q)), (ESCORT,))


def two_points_of_leibler() -> tuple[Step, ...]:
    """KL(p‖q) ≥ 2 TV², by grouping into two points.

    >>> [step.decide() for step in two_points_of_leibler()]
    [True, True, True, True]
    """
    first, second = _sum(p[i]), _sum(q[i])
    ratio = p[i] * second / (q[i] * first)
    a, b = symbols("a b", positive=True)
    return (
        certified("r log r lies above its tangent at 1", at_least(_r * log(_r), _r - 1), calculus, along=_r, at=1),
        Step(
            "on a group of classes with masses P = Σ p and Q = Σ q, r_i = p_i Q/(q_i P) has the q-mean 1, so",
            equal(_sum(q[i] / second * (ratio - 1)), Rational(0)),
        ),
        Step(
            "Σ p log(p/q) exceeds P log(P/Q) by a mean of r log r, which is not negative: KL(p‖q) ≥ kl(P, Q)",
            equal(
                _sum(p[i] * (log(p[i]) - log(q[i]))) - first * log(first / second),
                first * _sum(q[i] / second * ratio * (log(p[i]) - log(q[i]) - log(first / second))),
            ),
        ),
        certified(
            "two points, a = P, b = Q, with {p ≥ q} as the group, where P - Q = TV: the slope in b is "
            "(b-a)(1-2b)²/(b(1-b))",
            at_least(two_point_divergence(a, b, 1), 2 * (a - b) ** 2), calculus, {a: _open, b: _open}, along=b, at=a,
        ),
    )  # fmt: skip


def two_point_reduction(right_side: Formula | None = None) -> Derivation:
    """D_α(p‖q) ≥ D_α of (P, 1-P) from (Q, 1-Q), for every set of classes with masses P and Q and every order.

    The data-processing inequality for a grouping into two (van Erven & Harremoës 2014, arXiv 1206.2459, Theorem 9).

    Parameters
    ----------
    right_side : Formula, optional
        What is asserted not to exceed the divergence, a function of ``PEER_MASS``, ``STUDENT_MASS`` and ``alpha``.

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
    return Derivation(at_least(divergence, asserted), steps, lemmas=two_points_of_leibler()[:3])


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

    >>> pinsker().verify(), pinsker(2 * PINSKER).verify(), pinsker(greatest_order=Rational(2)).verify()
    (True, False, False)
    """
    asserted = PINSKER if right_side is None else right_side
    greatest = Rational(1) if greatest_order is None else greatest_order
    up_to = {alpha: Interval.Lopen(0, greatest)}
    x, y, total, distance = symbols("x y V d", nonnegative=True)
    step: Formula = Symbol("h", positive=True)
    near = two_point_divergence(Rational(1, 2) + step, Rational(1, 2))
    steps = (
        *two_points_of_leibler(),
        certified(f"for orders up to {greatest} the weights α and 1-α are not negative", at_most(alpha, 1), smt, up_to),
        mixture("below order one (1-α) D_α = -log Σ p^α q^(1-α) is a mixture of two KLs from the escort w"),
        certified(
            "each is at least twice a squared distance, x = TV(w, p) and y = TV(w, q), and V = TV(p, q) ≤ x + y",
            at_most(2 * alpha * (1 - alpha) * total**2, 2 * alpha * x**2 + 2 * (1 - alpha) * y**2),
            smt, {alpha: Interval.Lopen(0, 1)}, (at_most(total, x + y),),
        ),
        certified(
            "divide by 1-α: with d = ‖p-q‖₁ = 2V the divergence is at least αd²/2, and that at least what is asserted",
            at_most(asserted.xreplace({DISTANCE: distance}), alpha * distance**2 / 2),
            smt, {alpha: Interval.Lopen(0, 1), distance: Interval(0, 2)},
        ),
        Step(
            "the constant is attained at consensus: p = (1/2+h, 1/2-h), q = (1/2, 1/2), where ‖p-q‖₁ = 2h",
            equal(Limit(near / (alpha / 2 * (2 * step) ** 2), step, 0), Rational(1)),
        ),
    )  # fmt: skip
    return Derivation(at_least(divergence, asserted), steps)
