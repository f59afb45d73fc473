"""The divergence seen from the escort: D_α(p‖q) = D_{1/α}(w‖q), and what it says of the gradient q - w.

At a fixed student q the escort w determines the peer, p ∝ w^(1/α) q^(1-1/α). The divergence from the peer is one from
the escort at the reciprocal order, so every bound of a divergence by a distance bounds the gradient.
"""

from __future__ import annotations

from functools import cache

from sympy import Integer, Rational, S, Symbol, log

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.certificates import smt
from rdml_theory.symbolic.divergence.entries import *
from rdml_theory.symbolic.divergence.lemmas import convex_in_the_order
from rdml_theory.symbolic.divergence.names import LEAST_PROBABILITY
from rdml_theory.symbolic.divergence.self_bound import strictly
from rdml_theory.symbolic.elementary import logarithm
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import C, Formula, alpha, i
from rdml_theory.symbolic.notation import q as _q
from rdml_theory.symbolic.notation import w as _w
from rdml_theory.symbolic.relations import at_most

__all__ = [
    "DOMINATED", "DOMINATION_ASSUMPTIONS", "DUAL", "DUALITY_ASSUMPTIONS", "domination_target", "dual_target",
    "escort_duality", "gradient_domination",
]  # fmt: skip

DUAL: Formula = divergence.func(_w[i], _q[i], 1 / alpha, (i, 1, C))
"""D_{1/α}(w‖q)."""

DOMINATED: Formula = LEAST_PROBABILITY * divergence
"""ω D_α(p‖q), ω = min q."""

_FLOOR = ForAll(i, AtMost(LEAST_PROBABILITY, q(i)))
_SPREAD = total(w(i) ** 2 / q(i))
"""1 + χ² of the escort from the student."""

DUALITY_ASSUMPTIONS = (
    *(told.text() for told in (sums_to_one(p), is_escort(), RENYI, NOT_ONE)),
    f"at {ORDER_ONE.text()}, {KULLBACK_LEIBLER.text()}, and KL(w‖q) on the right",
    "p and q positive, α in (0, ∞)",
)
"""What the duality assumes, as text."""

DOMINATION_ASSUMPTIONS = (
    *(told.text() for told in (sums_to_one(p), sums_to_one(q), is_escort(), RENYI, NOT_ONE, _FLOOR)),
    AtMost(Rational(1, 2), alpha).text(),
    f"at {ORDER_ONE.text()}, {KULLBACK_LEIBLER.text()}",
    "p and q positive",
)
"""What the domination assumes, as text."""


def dual_target(right_side: Formula = DUAL) -> Equal:
    """The divergence is the right side.

    >>> print(dual_target().text())
    D = -α·log(Σ_{i ≤ C} (q_i^(1 - 1/α)·w_i^(1/α)))/(α - 1)
    """
    return Equal(D, written_out(right_side))


@of_formulas()
def escort_duality(right_side: Formula = DUAL) -> Proof:
    """D14: D_α(p‖q) = D_{1/α}(w‖q), w the escort of p and q of order α.

    This toolkit's own. The second theorem is that of order one, where w = p and both sides are KL(p‖q).

    Examples
    --------
    >>> escort_duality().axioms
    ()
    >>> escort_duality(2 * DUAL)
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: ... is not this combination: ...
    """
    target = dual_target(right_side)
    dual = combine(
        target, [], where=[renyi(), escort(), mass(p)],
        reason="w^(1/α) q^(1-1/α) is p times a constant, and p sums to one",
    )  # fmt: skip
    at_one = combine(
        Equal(D, leibler(w, q)), [], where=[given(KULLBACK_LEIBLER), escort(), given(ORDER_ONE), mass(p)],
        reason="at order one the escort is p",
    )  # fmt: skip
    return Proof((dual, at_one))


@cache
def _dominated() -> Theorem:
    """``ω χ² ≤ Σ (q-w)²``."""
    x, y = Symbol("x", real=True), Symbol("y", positive=True)
    part = at_most(LEAST_PROBABILITY * x**2 / y, x**2)
    scalar = certified(smt(part, conditions=(at_most(LEAST_PROBABILITY, y),)), reason="as no share is below the least")
    here = instantiate(scalar, {x: w(i) - q(i), y: q(i)}, reason="at a class")
    floor = specialise(given(_FLOOR, "given: ω is at most every share"), i, reason="at this class")
    return combine(
        AtMost(LEAST_PROBABILITY * (_SPREAD - 1), total((q(i) - w(i)) ** 2)),
        [(1, sum_over(discharge(here, floor), i, C))], where=[mass(q), of_escort()], reason="summed over the classes",
    )  # fmt: skip


def _at_most_spread(order: Theorem) -> Theorem:
    """``D ≤ χ²``, for an order from one half that is not one."""
    apart = given(NOT_ONE, "for an order that is not one")
    where = [renyi(), escort(), mass(p)]
    target = AtMost(D, log(_SPREAD))
    low = strictly(Less(alpha, 1), AtMost(alpha, 1))
    below = combine(
        target,
        [
            (
                alpha / (1 - alpha),
                convex_in_the_order(
                    Integer(1), alpha, 2 * alpha, ((2 * alpha - 1) / alpha, (1 - alpha) / alpha), [low, order, apart]
                ),
            )
        ],
        known=[low], where=where, reason="order one lies between α and 2α",
    )  # fmt: skip
    high = strictly(Less(1, alpha), AtMost(1, alpha))
    room = given(Less(1, 2 * alpha), "suppose")
    beyond = combine(
        target,
        [
            (
                (2 * alpha - 1) / (alpha - 1),
                convex_in_the_order(
                    alpha, Integer(1), 2 * alpha, (alpha / (2 * alpha - 1), (alpha - 1) / (2 * alpha - 1)), [high, room]
                ),
            )
        ],
        known=[high, room], where=where, reason="and α between one and 2α",
    )  # fmt: skip
    double = combine(Less(1, 2 * alpha), [(2, high)], slack=Integer(1), reason="from one onwards")
    both = cases(below, discharge(beyond, double), alpha, Integer(1), reason="for every order from 1/2 but one")
    return combine(AtMost(D, _SPREAD - 1), [(1, both), (1, logarithm(_SPREAD))], reason="so at most χ²")


@cache
def _at_most_spread_at_one() -> Theorem:
    """The same for α = 1, where D = KL(p‖q) and w = p."""
    term = combine(
        AtMost(p(i) * log(p(i) / q(i)), p(i) ** 2 / q(i) - p(i)), [(p(i), logarithm(p(i) / q(i)))], reason="times p"
    )
    return combine(
        AtMost(D, _SPREAD - 1), [(1, sum_over(term, i, C))],
        where=[given(KULLBACK_LEIBLER), escort(), given(ORDER_ONE), mass(p)], reason="summed over the classes",
    )  # fmt: skip


def domination_target(left_side: Formula = DOMINATED) -> AtMost:
    """The left side ``≤ ‖q - w‖₂²``.

    >>> print(domination_target().text())
    D·ω ≤ Σ_{i ≤ C} (q_i - w_i)²
    """
    return AtMost(in_entries(left_side), total((q(i) - w(i)) ** 2))


@of_formulas()
def gradient_domination(left_side: Formula = DOMINATED, *, least_order: Formula = S.Half) -> Proof:
    """D16: ω D_α(p‖q) ≤ ‖q - w‖₂² with ω = min q, for orders from 1/2: where the gradient vanishes there is consensus.

    This toolkit's own: a Polyak-Łojasiewicz inequality of the divergence in the student's logits. The second theorem is
    that of order one, where D = KL(p‖q). Below order 1/2 it is false.

    Examples
    --------
    >>> gradient_domination().axioms
    ()
    """
    target = domination_target(left_side)
    order = given(AtMost(least_order, alpha), "given")
    spreads = (_at_most_spread(order), _at_most_spread_at_one())
    return Proof(tuple(
        combine(target, [(LEAST_PROBABILITY, spread), (1, _dominated())], reason="so the gradient dominates")
        for spread in spreads
    ))  # fmt: skip
