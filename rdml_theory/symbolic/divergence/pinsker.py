"""Grouping into two points, and Pinsker's inequality for orders up to one, both from scalar inequalities."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from sympy import Integer, Symbol, log

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.divergence import entries, lemmas
from rdml_theory.symbolic.divergence.names import DISTANCE, PEER_MASS, STUDENT_MASS, two_point_divergence
from rdml_theory.symbolic.divergence.self_bound import mixture, of_two, strictly
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import C, Formula, alpha, i

__all__ = [
    "GROUPS_ASSUMPTIONS", "PINSKER", "PINSKER_ASSUMPTIONS", "TWO_POINTS", "pinsker", "pinsker_target",
    "two_point_reduction", "two_points_target",
]  # fmt: skip

PINSKER: Formula = alpha / 2 * DISTANCE**2
"""(α/2) ‖p - q‖₁²."""

TWO_POINTS: Formula = two_point_divergence(PEER_MASS, STUDENT_MASS)
"""D_α of (P, 1-P) from (Q, 1-Q)."""

_PAIR: Formula = PEER_MASS**alpha * STUDENT_MASS ** (1 - alpha) + (1 - PEER_MASS) ** alpha * (1 - STUDENT_MASS) ** (
    1 - alpha
)

GROUPS = {
    "share": ForAll(i, AtMost(0, lemmas.of_group(i))),
    "no more": ForAll(i, AtMost(lemmas.of_group(i), 1)),
    "peer": Equal(PEER_MASS, entries.total(lemmas.of_group(i) * entries.p(i))),
    "student": Equal(STUDENT_MASS, entries.total(lemmas.of_group(i) * entries.q(i))),
    "peer's rest": Less(PEER_MASS, 1),
    "student's rest": Less(STUDENT_MASS, 1),
}
"""A set of classes: g_i is 1 for those in it and 0 for the others, or any share between."""

GROUPS_ASSUMPTIONS = (
    *(told.text() for told in (entries.sums_to_one(entries.p), entries.sums_to_one(entries.q), *GROUPS.values())),
    *(told.text() for told in (entries.RENYI, entries.NOT_ONE)),
    f"at {entries.ORDER_ONE.text()}, {entries.KULLBACK_LEIBLER.text()}",
    "p and q positive, α in (0, ∞)",
)
"""What the reduction to two points assumes, as text."""


def two_points_target(right_side: Formula = TWO_POINTS) -> AtMost:
    """The right side ``≤ D``.

    >>> print(two_points_target(two_point_divergence(PEER_MASS, STUDENT_MASS, 2)).text())
    log(P²/Q + (1 - P)²/(1 - Q)) ≤ D
    """
    return AtMost(entries.in_entries(right_side), entries.D)


def _groups(lemma: Theorem, order: Mapping[Term, Term] | None = None) -> tuple[Theorem, Theorem]:
    """A theorem of the shares g of p and q, of the set and of the classes outside."""
    told = {name: entries.given(part, "given: a set of classes") for name, part in GROUPS.items()}
    families = {entries.a(i): entries.p(i), entries.b(i): entries.q(i), **(order or {})}
    masses = {lemmas.FIRST: PEER_MASS, lemmas.SECOND: STUDENT_MASS}
    inside = instantiate(lemma, families | masses, reason="of the set")
    rest = [told[name] for name in ("peer's rest", "student's rest")]
    others = {lemmas.of_group(i): 1 - lemmas.of_group(i), **{symbol: 1 - mass for symbol, mass in masses.items()}}
    outside = instantiate(lemma, families | others, known=rest, reason="of the classes outside")
    high = specialise(told["no more"], i, reason="at a class")
    shares = entries.everywhere(
        combine(AtMost(0, 1 - lemmas.of_group(i)), [(1, high)], reason="what is left of one"), i
    )
    sums = [
        combine(
            Equal(1 - mass, entries.total((1 - lemmas.of_group(i)) * family(i))), [(-1, told[name])],
            where=[entries.mass(family)], reason="the mass outside",
        )
        for mass, name, family in ((PEER_MASS, "peer", entries.p), (STUDENT_MASS, "student", entries.q))
    ]  # fmt: skip
    return inside, entries.discharged(outside, shares, *sums)


def _grouped(*, above: bool) -> Theorem:
    """``D_α`` of the two groups ``≤ D``, for orders above one or below it."""
    sums = [(1, group) for group in _groups(lemmas.grouped(above=above), {lemmas.theta: alpha})]
    sides = (_PAIR, entries.power_mean()) if above else (entries.power_mean(), _PAIR)
    both = combine(AtMost(*sides), sums, reason="both together")
    one, other = (Integer(1), alpha) if above else (alpha, Integer(1))
    strict = strictly(Less(one, other), AtMost(one, other))
    return combine(
        two_points_target(), [(1 / (other - one), lemmas.in_logarithms(both)), (-1, entries.renyi())],
        known=[strict], reason="so the logarithms, over α-1",
    )  # fmt: skip


@of_formulas()
def two_point_reduction(right_side: Formula = TWO_POINTS) -> Proof:
    """D13: D_α(p‖q) ≥ D_α of (P, 1-P) from (Q, 1-Q), for a set of classes of masses P and Q and every order.

    The data-processing inequality for a grouping into two (van Erven & Harremoës 2014, arXiv 1206.2459, Theorem 9);
    the set is neither empty nor full. The second theorem is that of order one, where D = KL(p‖q), and the others say
    that two classes attain both.

    Examples
    --------
    >>> two_point_reduction().verify()
    True
    """
    both = cases(_grouped(above=False), _grouped(above=True), alpha, Integer(1), reason="for every order but one")
    whole = combine(two_points_target(right_side), [(1, both)], reason="as asserted")
    where = [entries.given(entries.KULLBACK_LEIBLER)]
    one = two_point_divergence(PEER_MASS, STUDENT_MASS, Integer(1))
    at_one = combine(
        two_points_target(one), [(1, group) for group in _groups(lemmas.grouped_leibler())], where=where,
        reason="and at order one",
    )  # fmt: skip
    return Proof((whole, at_one, _nothing_merged(right_side), _nothing_merged(one, order_one=True)))


def _nothing_merged(asserted: Formula, *, order_one: bool = False) -> Theorem:
    """Two classes, one of them the set: there is nothing to merge."""
    first, second, other, rest = (Symbol(name, positive=True) for name in "xyXY")
    told = {entries.p(1): first, entries.q(1): second, entries.p(2): other, entries.q(2): rest}
    facts = [entries.given(Equal(entry, value), "given: two classes") for entry, value in told.items()]
    two = log(entries.power_mean(count=Integer(2))) / (alpha - 1)
    value = log(first**alpha * second ** (1 - alpha) + other**alpha * rest ** (1 - alpha)) / (alpha - 1)
    known = [] if order_one else [entries.given(entries.NOT_ONE)]
    if order_one:
        two = entries.leibler(entries.p, entries.q).xreplace({C: Integer(2)})
        value = first * log(first / second) + other * log(other / rest)
    same = combine(Equal(two, value), [], known=known, where=facts, reason="written out")
    masses = {first: PEER_MASS, second: STUDENT_MASS, other: 1 - PEER_MASS, rest: 1 - STUDENT_MASS}
    left = [entries.given(GROUPS[name]) for name in ("peer's rest", "student's rest")]
    here = instantiate(same, masses, known=left, reason="of the two classes")
    return combine(Equal(two, asserted), [(1, here)], reason="nothing is merged")


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
    itself = combine(Equal(weight, weight), [], reason="it equals itself")
    return discharge(written, generalise(itself, i, reason="for every class"), reason="so")


def pinsker_target(right_side: Formula = PINSKER) -> AtMost:
    """The right side ``≤ D``.

    >>> print(pinsker_target().text())
    α·(Σ_{i ≤ C} |p_i - q_i|)²/2 ≤ D
    """
    apart = lemmas.apart(entries.p, entries.q)
    return AtMost(entries.in_entries(right_side.xreplace({DISTANCE: apart})), entries.D)


GREATEST_ORDER: Formula = Integer(1)
"""Up to which Pinsker's inequality holds."""


@of_formulas()
def pinsker(right_side: Formula = PINSKER, *, greatest_order: Formula = GREATEST_ORDER) -> Proof:
    """D11: D_α(p‖q) ≥ (α/2) ‖p - q‖₁² for orders in (0, 1].

    Pinsker 1964 and Csiszár 1967 at order one, Gilardoni 2010 below (van Erven & Harremoës 2014, arXiv 1206.2459,
    Theorem 31); derived here from the definition. The second theorem is that of order one, where D = KL(p‖q).

    Examples
    --------
    >>> pinsker().axioms
    ()
    """
    target = pinsker_target(right_side)
    order = entries.given(AtMost(alpha, greatest_order))
    low = combine(AtMost(alpha, 1), [(1, order)], slack=1 - greatest_order, reason="so the order is at most one")
    below = combine(target, [(1, discharge(_below_one(), low))], reason="as asserted")
    where = [entries.given(entries.KULLBACK_LEIBLER), entries.given(entries.ORDER_ONE)]
    two = of_two(lemmas.pinsker(), entries.p, entries.q)
    return Proof((below, combine(target, [(1, two)], where=where, reason="and at order one, Pinsker's")))
