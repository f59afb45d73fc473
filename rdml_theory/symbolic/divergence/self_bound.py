"""The student's gradient is bounded by the divergence itself: linearly, and in a form that saturates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sympy import Abs, Integer, Max, Symbol, exp, log, sqrt

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.certificates import smt
from rdml_theory.symbolic.divergence.entries import *
from rdml_theory.symbolic.divergence.lemmas import (
    apart,
    convex_in_the_order,
    in_exponentials,
    pinsker,
    triangle,
    two_norm,
)
from rdml_theory.symbolic.elementary import logarithm
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import C, Formula, alpha, i, j
from rdml_theory.symbolic.relations import at_most

__all__ = [
    "ASSUMPTIONS", "SATURATION", "SELF_BOUND", "bounded_by_divergence", "distance_bound", "distance_bound_at_one",
    "distance_of_gradient", "mixture", "of_two", "saturating_bound", "self_bounding",
    "self_bounding_target", "square_target", "strictly",
]  # fmt: skip

ASSUMPTIONS = (
    *(told.text() for told in (sums_to_one(p), sums_to_one(q), is_escort(), RENYI, NOT_ONE)),
    f"at {ORDER_ONE.text()}, {KULLBACK_LEIBLER.text()}",
    "p and q positive, α in (0, ∞)",
)
"""What the bounds assume, as text."""

SELF_BOUND: Formula = Max(1, alpha) * divergence
"""max(1, α) D_α(p‖q)."""

SATURATION: Formula = 2 * (1 - exp(-Max(1, alpha - 1) * divergence))
"""2 (1 - exp(-max(1, α-1) D_α(p‖q)))."""


def of_two(theorem: Theorem, first: Any, second: Any, *sums: Theorem) -> Theorem:
    """A theorem of two distributions, of these."""
    return discharged(instantiate(theorem, {a(i): first(i), b(i): second(i)}, reason="of these two"), *sums)


def strictly(target: Less, weak: AtMost, alpha: Formula = alpha) -> Theorem:
    """``α < 1`` from ``α ≤ 1`` and ``α ≠ 1``, or the same from above, or of another order."""
    x = Symbol("x", positive=True)
    relations: Any = [told.relation().xreplace({alpha: x}) for told in (target, weak, Less(0, (alpha - 1) ** 2))]
    strict = smt(relations[0], conditions=tuple(relations[1:]))
    return instantiate(certified(strict, reason="as it is not one"), {x: alpha}, reason="for the order")


@cache
def distance_of_gradient() -> Theorem:
    """``Σ (q-w)² ≤ ½ (Σ |q-w|)²``.

    >>> print(distance_of_gradient().conclusion.text())
    Σ_{i ≤ C} (q_i - w_i)² ≤ (Σ_{i ≤ C} |q_i - w_i|)²/2
    """
    return of_two(two_norm(), q, w, of_escort())


_DISTANCE = apart(q, w) ** 2 / 2
"""2 TV(q, w)²."""


@cache
def mixture() -> Theorem:
    """``(1-α) D = α KL(w‖p) + (1-α) KL(w‖q)``: the divergence is a mixture of KLs from the escort.

    >>> print(mixture().conclusion.right)
    alpha*Sum(log(w_i/p_i)*w_i, (i, 1, C)) + (1 - alpha)*Sum(log(w_i/q_i)*w_i, (i, 1, C))
    """
    return combine(
        Equal((1 - alpha) * D, alpha * leibler(w, p) + (1 - alpha) * leibler(w, q)), [],
        where=[renyi(), escort()], reason="log w = α log p + (1-α) log q - log S",
    )  # fmt: skip


@cache
def _below_one() -> Theorem:
    """``½ (Σ |q-w|)² ≤ D`` for α < 1: the divergence is a mixture of KLs from the escort."""
    low = AtMost(alpha, 1)
    strict = strictly(Less(alpha, 1), low)
    to_student, to_peer = (of_two(pinsker(), w, x, of_escort()) for x in (q, p))
    peer = combine(AtMost(0, leibler(w, p)), [(1, to_peer)], slack=apart(w, p) ** 2 / 2, reason="which is not negative")
    return combine(
        AtMost(_DISTANCE, D),
        [(-1 / (1 - alpha), mixture()), (1, to_student), (alpha / (1 - alpha), peer)],
        known=[strict],
        reason="so below order one",
    )


@cache
def _beyond_one() -> Theorem:
    """``½ (Σ |q-w|)² ≤ α D`` for α > 1: the divergence is one of KLs from the peer."""
    high = AtMost(1, alpha)
    strict = strictly(Less(1, alpha), high)
    more = alpha - 1
    peers = combine(
        Equal(more * D, leibler(p, w) + more * leibler(p, q)), [(-log(power_mean()), mass(p))],
        where=[renyi(), escort()], reason="log w = α log p + (1-α) log q - log S",
    )  # fmt: skip
    first, second, whole = apart(p, w), apart(p, q), apart(q, w)
    split = instantiate(triangle(), {a(i): q(i), b(i): w(i)}, reason="by way of the peer")
    square = nonnegative((first - more * second) ** 2, reason="a square")
    return combine(
        AtMost(_DISTANCE, alpha * D),
        [
            (-alpha / more, peers),
            (alpha / more, of_two(pinsker(), p, w, of_escort())),
            (alpha, of_two(pinsker(), p, q)),
            (1 / (2 * more), square),
            ((first + second + whole) / 2, split),
        ],
        known=[strict],
        reason="and beyond order one, as ‖q-w‖₁ is at most the sum of the two distances from the peer",
    )


def _larger(value: Term, greatest: Term, theorem: Theorem, sign: Theorem) -> Theorem:
    """``left ≤ max(...)·D`` from ``left ≤ value·D``, for a value among those of the maximum and a D ≥ 0."""
    x = Symbol("x", positive=True)
    among = certified(smt(at_most(value.xreplace({alpha: x}), greatest.xreplace({alpha: x}))), reason="one of the two")
    here = instantiate(among, {x: alpha}, reason="for the order")
    left, _ = theorem.conclusion.terms()
    return combine(AtMost(left, greatest * D), [(1, theorem), (D, here)], known=[sign], reason="which is not more")


def _nonnegative(theorem: Theorem) -> Theorem:
    """``0 ≤ D``, from a bound of what is not negative by a multiple of it."""
    left, right = theorem.conclusion.terms()
    factor = right / D
    return combine(
        AtMost(0, D), [(1 / factor, theorem)], slack=left / factor, reason="so the divergence is not negative"
    )


@cache
def distance_bound() -> Theorem:
    """``½ (Σ |q-w|)² ≤ max(1, α) D``, for α ≠ 1."""
    both = ((Integer(1), _below_one()), (alpha, _beyond_one()))
    parts = (_larger(value, Max(1, alpha), theorem, _nonnegative(theorem)) for value, theorem in both)
    return cases(*parts, alpha, 1, reason="for every order that is not one")


@cache
def distance_bound_at_one() -> Theorem:
    """The same for α = 1, where D = KL(p‖q) and w = p."""
    return combine(
        AtMost(_DISTANCE, Max(1, alpha) * D),
        [(1, of_two(pinsker(), p, q))],
        where=[given(KULLBACK_LEIBLER), escort(), given(ORDER_ONE), mass(p)],
        reason="at order one the escort is p",
    )


def self_bounding_target(right_side: Formula = SELF_BOUND) -> AtMost:
    """``2 TV(q, w)² ≤`` the right side.

    >>> print(self_bounding_target().text())
    (Σ_{i ≤ C} |q_i - w_i|)²/2 ≤ D·max(1, α)
    """
    return AtMost(_DISTANCE, in_entries(right_side))


def square_target(right_side: Formula = SELF_BOUND) -> AtMost:
    """``‖q - w‖₂² ≤`` the right side.

    >>> print(square_target().text())
    Σ_{i ≤ C} (q_i - w_i)² ≤ D·max(1, α)
    >>> print(square_target(SATURATION).text())
    Σ_{i ≤ C} (q_i - w_i)² ≤ 2 - 2·exp(-D·max(1, α - 1))
    """
    return AtMost(total((q(i) - w(i)) ** 2), in_entries(right_side))


def bounded_by_divergence(distance: Theorem) -> Theorem:
    """``Σ (q-w)² ≤ max(1, α) D``, from the bound of 2 TV²."""
    return combine(square_target(), [(1, distance_of_gradient()), (1, distance)], reason="as Σ (q-w)² ≤ 2 TV²")


@of_formulas()
def self_bounding(right_side: Formula = SELF_BOUND) -> Proof:
    """D8: ``‖q - w‖₂² ≤ 2 TV(q, w)² ≤ max(1, α) D_α(p‖q)``, for every order in (0, ∞).

    This toolkit's own. Up to order one the divergence is a mixture of KLs from the escort, beyond it one of KLs from
    the peer; Pinsker's inequality bounds each. The second theorem is that of order one, where D = KL(p‖q); the third
    says that the square of the norm is at most 2 TV².

    Examples
    --------
    >>> self_bounding().axioms
    ()
    """
    target = self_bounding_target(right_side)
    bounds = (
        combine(target, [(1, told)], reason="as asserted") for told in (distance_bound(), distance_bound_at_one())
    )
    return Proof((*bounds, distance_of_gradient()))


_B: Term = total(sqrt(w(i) * q(i)))
"""The Bhattacharyya coefficient of the escort and the student."""


@cache
def _overlap() -> Theorem:
    """``½ (Σ |q-w|)² ≤ 2 (1 - B²)``, after Bretagnolle & Huber 1979."""
    x, y = Symbol("x", positive=True), Symbol("y", positive=True)
    half, whole = Symbol("V", nonnegative=True), Symbol("B", positive=True)
    scalar = at_most(
        2 * half * (1 + whole) * Abs(x**2 - y**2), (1 + whole) ** 2 * (x - y) ** 2 + half**2 * (x + y) ** 2
    )
    of_numbers = certified(smt(scalar), reason="a geometric mean is at most the arithmetic one")
    here = instantiate(of_numbers, {x: sqrt(w(i)), y: sqrt(q(i))}, reason="of the roots of two shares")
    summed = combine(
        AtMost(2 * half * (1 + whole) * apart(q, w), 2 * (1 + whole) ** 2 * (1 - _B) + 2 * half**2 * (1 + _B)),
        [(1, sum_over(here, i, C))], where=[of_escort(), mass(q)], reason="summed over the classes",
    )  # fmt: skip
    best = instantiate(summed, {half: apart(q, w) / 2, whole: _B}, reason="at V = TV(q, w) and B")
    return combine(AtMost(_DISTANCE, 2 * (1 - _B**2)), [(1 / (1 + _B), best)], reason="divided by 1 + B")


def _coefficient(
    factor: Term, convex: Theorem, weight: Term, sums: Sequence[Theorem], known: Sequence[Theorem]
) -> Theorem:
    """``-2 log B ≤ factor·D``, from the convexity in the order."""
    return combine(
        AtMost(-2 * log(_B), factor * D), [(weight, convex)], where=[renyi(), escort(), *sums], known=[*known],
        reason="log B is log Σ p^(α/2) q^(1-α/2) - ½ log S",
    )  # fmt: skip


@cache
def _coefficients() -> Theorem:
    """``-2 log B ≤ max(1, α-1) D``, for α ≠ 1."""
    half, one = alpha / 2, Integer(1)
    low = strictly(Less(alpha, 1), AtMost(alpha, 1))
    room = given(Less(alpha, 2), "suppose")
    below = _coefficient(
        one,
        convex_in_the_order(alpha, half, one, (2 * (1 - alpha) / (2 - alpha), alpha / (2 - alpha)), [low, room]),
        (2 - alpha) / (1 - alpha), [mass(p)], [low, room],
    )  # fmt: skip
    below = discharge(below, combine(Less(alpha, 2), [(1, low)], slack=one, reason="an order below one is below two"))
    high = strictly(Less(1, alpha), AtMost(1, alpha))
    short = given(AtMost(alpha, 2), "for an order up to two")
    between = _coefficient(
        one,
        convex_in_the_order(one, half, alpha, (2 * (alpha - 1) / alpha, (2 - alpha) / alpha), [high, short]),
        alpha / (alpha - 1), [mass(p)], [high, short],
    )  # fmt: skip
    long = given(AtMost(2, alpha), "for an order from two")
    beyond = _coefficient(
        alpha - 1,
        convex_in_the_order(one, half, Integer(0), (2 / alpha, (alpha - 2) / alpha), [long]),
        alpha, [mass(p), mass(q)], [long],
    )  # fmt: skip
    sign = _nonnegative(distance_bound())
    parts = [
        _larger(value, Max(1, alpha - 1), theorem, sign)
        for value, theorem in ((one, below), (one, between), (alpha - 1, beyond))
    ]
    from_one = cases(parts[1], parts[2], alpha, Integer(2), reason="for every order from one")
    return cases(parts[0], from_one, alpha, one, reason="for every order that is not one")


@cache
def _coefficient_at_one() -> Theorem:
    """The same for α = 1, where D = KL(p‖q) and w = p."""
    whole = total(sqrt(p(i) * q(i)))
    term = combine(
        AtMost(p(j) * log(q(j) / p(j)) / 2 - p(j) * log(whole), sqrt(p(j) * q(j)) / whole - p(j)),
        [(p(j), logarithm(sqrt(q(j) / p(j)) / whole))], reason="times p",
    )  # fmt: skip
    return combine(
        AtMost(-2 * log(_B), Max(1, alpha - 1) * D), [(2, sum_over(term, j, C))],
        where=[given(KULLBACK_LEIBLER), escort(), given(ORDER_ONE), mass(p)], reason="summed over the classes",
    )  # fmt: skip


@of_formulas()
def saturating_bound(right_side: Formula = SATURATION) -> Proof:
    """D15: ``‖q - w‖₂² ≤ 2 (1 - exp(-max(1, α-1) D_α(p‖q)))``, for every order in (0, ∞).

    This toolkit's own; unlike max(1, α) D_α it never exceeds 2. For KL(w‖q) in place of D_α it is the inequality of
    Bretagnolle & Huber 1979. The second theorem is that of order one, where D = KL(p‖q).

    Examples
    --------
    >>> saturating_bound().axioms
    ()
    """
    target = square_target(right_side)

    def bound(coefficient: Theorem) -> Theorem:
        parts = [(1, distance_of_gradient()), (1, _overlap()), (2, in_exponentials(coefficient))]
        return combine(target, parts, reason="and 2 TV² is at most 2 (1 - B²)")

    return Proof((bound(_coefficients()), bound(_coefficient_at_one())))
