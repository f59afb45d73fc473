"""Grouping into two points, and Pinsker's inequality for orders up to one, both from scalar inequalities."""

from __future__ import annotations

from functools import cache

from sympy import Integer, Interval, Sum, Symbol, log, oo

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.certificates import calculus, certified
from rdml_theory.symbolic.divergence import entries, lemmas
from rdml_theory.symbolic.divergence.names import DISTANCE, PEER_MASS, STUDENT_MASS, two_point_divergence
from rdml_theory.symbolic.divergence.self_bound import mixture, of_two, strictly
from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.kernel import (
    AtMost,
    Equal,
    Less,
    Proof,
    Theorem,
    combine,
    discharge,
    generalise,
    instantiate,
    nonnegative,
)  # fmt: skip
from rdml_theory.symbolic.notation import C, Formula, alpha, i, p, q
from rdml_theory.symbolic.relations import at_least, at_most, equal

__all__ = ["PINSKER", "PINSKER_ASSUMPTIONS", "TWO_POINTS", "pinsker", "pinsker_target", "two_point_reduction"]

PINSKER: Formula = alpha / 2 * DISTANCE**2
"""(α/2) ‖p - q‖₁²."""

TWO_POINTS: Formula = two_point_divergence(PEER_MASS, STUDENT_MASS)
"""D_α of (P, 1-P) from (Q, 1-Q)."""

_r: Formula = Symbol("r", positive=True)


def _sum(summand: Formula) -> Formula:
    return Sum(summand, (i, 1, C))


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
            equal(_sum(q[i] / second * (1 + alpha * (ratio - 1))), Integer(1)),
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


PINSKER_ASSUMPTIONS = (
    entries.sums_to_one(entries.p).text(),
    entries.sums_to_one(entries.q).text(),
    *(told.text() for told in (entries.RENYI, entries.NOT_ONE, AtMost(alpha, 1))),
    f"at {entries.ORDER_ONE.text()}, {entries.KULLBACK_LEIBLER.text()}",
    "p and q positive, 0 < α",
)
"""What Pinsker's inequality assumes, as text."""


@cache
def _below_one() -> Theorem:
    """``(α/2)(Σ |p-q|)² ≤ D`` for α < 1."""
    p, q, w = entries.p, entries.q, entries.w
    strict = strictly(Less(alpha, 1), AtMost(alpha, 1))
    to_peer, to_student, apart = lemmas.apart(w, p), lemmas.apart(w, q), lemmas.apart(p, q)
    via = {entries.a(i): p(i), entries.b(i): q(i), p(i): w(i)}
    split = instantiate(lemmas.triangle(), via, reason="by way of the escort")
    square = nonnegative((alpha * to_peer - (1 - alpha) * to_student) ** 2, reason="a square")
    bound = combine(
        AtMost(alpha / 2 * apart**2, entries.D),
        [
            (-1 / (1 - alpha), mixture()),
            (alpha / (1 - alpha), of_two(lemmas.pinsker(), w, p, entries.of_escort())),
            (1, of_two(lemmas.pinsker(), w, q, entries.of_escort())),
            (1 / (2 * (1 - alpha)), square),
            (alpha / 2 * (to_peer + to_student + apart), split),
        ],
        known=[strict],
        reason="so below order one, as ‖p-q‖₁ is at most the sum of the two distances from the escort",
    )
    weight = p(i) ** alpha * q(i) ** (1 - alpha) / entries.power_mean()
    written = instantiate(bound, {w(i): weight}, reason="with the escort written out")
    return discharge(written, generalise(combine(Equal(weight, weight), []), i))


def pinsker_target(right_side: Formula = PINSKER) -> AtMost:
    """The right side ``≤ D``.

    >>> print(pinsker_target().text())
    α·(Σ_{i ≤ C} |p_i - q_i|)²/2 ≤ D
    """
    apart = lemmas.apart(entries.p, entries.q)
    return AtMost(entries.in_entries(right_side.xreplace({DISTANCE: apart})), entries.D)


@of_formulas()
def pinsker(right_side: Formula | None = None, *, greatest_order: Formula | None = None) -> Proof:
    """D11: D_α(p‖q) ≥ (α/2) ‖p - q‖₁² for orders in (0, 1].

    Pinsker 1964 and Csiszár 1967 at order one, Gilardoni 2010 below (van Erven & Harremoës 2014, arXiv 1206.2459,
    Theorem 31); derived here from the definition. The second theorem is that of order one, where D = KL(p‖q).

    Parameters
    ----------
    right_side : Expr, optional
        The asserted lower bound, a function of ``alpha`` and ``DISTANCE``.
    greatest_order : Expr, optional
        The greatest order for which it is asserted, up to 1.

    Raises
    ------
    ProofError
        If it does not follow.

    Examples
    --------
    >>> pinsker().verify()
    True
    >>> pinsker(2 * PINSKER)
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: ... is not this combination: ...
    """
    target = pinsker_target(PINSKER if right_side is None else right_side)
    greatest = Integer(1) if greatest_order is None else greatest_order
    order = entries.given(AtMost(alpha, greatest))
    low = combine(AtMost(alpha, 1), [(1, order)], slack=1 - greatest, reason="so the order is at most one")
    below = combine(target, [(1, discharge(_below_one(), low))], reason="as asserted")
    where = [entries.given(entries.KULLBACK_LEIBLER), entries.given(entries.ORDER_ONE)]
    two = of_two(lemmas.pinsker(), entries.p, entries.q)
    return Proof((below, combine(target, [(1, two)], where=where, reason="and at order one, Pinsker's")))
