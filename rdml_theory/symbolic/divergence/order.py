"""The divergence as a function of its order: nondecreasing, skew symmetric, a minimum over distributions."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from sympy import Derivative, IndexedBase, Integer, Sum, Symbol, log

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.divergence import entries
from rdml_theory.symbolic.divergence.derivatives import DERIVATIVES, slope_in_the_order
from rdml_theory.symbolic.divergence.entries import D, discharged, given, in_entries, power_mean, written_out
from rdml_theory.symbolic.divergence.lemmas import convex_in_the_order, pinsker
from rdml_theory.symbolic.divergence.self_bound import of_two, strictly
from rdml_theory.symbolic.elementary import logarithm
from rdml_theory.symbolic.expression import RenyiDivergence, divergence
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import C, Formula, alpha, i, p, q, w

__all__ = [
    "ASSUMPTIONS",
    "HIGHER",
    "MIRROR",
    "ORDER",
    "Order",
    "order_targets",
    "order_theorem",
    "relative_entropy",
    "v",
]

v: Formula = IndexedBase("v", positive=True)
"""Any distribution."""

HIGHER: Formula = Symbol("gamma", positive=True)
"""γ, an order above α."""


def relative_entropy(first: Formula, second: Formula) -> Formula:
    """KL of two families, Σ a log(a/b)."""
    return Sum(first[i] * log(first[i] / second[i]), (i, 1, C))


_SKEWED = RenyiDivergence(q[i], p[i], 1 - alpha, (i, 1, C))


class Order(NamedTuple):
    """Right sides: of ∂D/∂α, of (1-α) D_α(p‖q) by its mirror image, and of the mixture αKL(v‖p) + (1-α)KL(v‖q)."""

    slope: Formula
    skew: Formula
    mixture: Formula


ORDER = Order(
    slope=DERIVATIVES.order,
    skew=alpha * _SKEWED,
    mixture=relative_entropy(v, w) + (1 - alpha) * divergence,
)
"""The right sides that hold."""

_any = in_entries(v[i]).at
_MIXED = in_entries(alpha * relative_entropy(v, p) + (1 - alpha) * relative_entropy(v, q))
_ABOVE = Less(alpha, HIGHER)
_HIGHER_NOT_ONE = Less(0, (HIGHER - 1) ** 2)
_BELOW_ONE, _ABOVE_ONE = Less(alpha, 1), Less(1, alpha)

MIRROR: Term = Symbol("M", real=True)
"""M = D_{1-α}(q‖p), the mirror image."""

_IS_MIRROR = Equal(MIRROR, log(entries.total(entries.q(i) ** (1 - alpha) * entries.p(i) ** alpha)) / (1 - alpha - 1))

ASSUMPTIONS = (
    entries.NOT_ONE.text(),
    *(
        f"for {words}: {'; '.join(told.text() for told in more)}"
        for words, more in (
            ("the slope and its sign", (entries.is_escort(), entries.sums_to_one(entries.p))),
            ("skew symmetry", (entries.RENYI, _IS_MIRROR)),
            (
                "the mixture",
                (entries.RENYI, entries.is_escort(), entries.sums_to_one(_any)),
            ),
            ("two orders α and γ", (_ABOVE, _HIGHER_NOT_ONE, entries.sums_to_one(entries.p))),
            ("D_α ≤ KL", (_BELOW_ONE, entries.sums_to_one(entries.p))),
            ("KL ≤ D_α", (_ABOVE_ONE, entries.sums_to_one(entries.p))),
        )
    ),
)  # fmt: skip
"""What the theorems assume, as text: all of them, and each besides."""


def _renyi(alpha: Term) -> Term:
    return log(power_mean(alpha)) / (alpha - 1)


def order_targets(sides: Order = ORDER) -> tuple[Equal | AtMost, ...]:
    """What is said: the slope, its sign, skew symmetry, the mixture, that it is least at w, and growth, through KL.

    >>> print(order_targets()[2].text())
    D·(1 - α) = M·α
    """
    slope = Derivative(_renyi(alpha), alpha)
    least = (1 - alpha) * D
    return (
        Equal(slope, in_entries(sides.slope)),
        AtMost(0, slope),
        Equal(least, written_out(sides.skew.xreplace({_SKEWED: MIRROR}))),
        Equal(_MIXED, in_entries(sides.mixture)),
        AtMost(least, _MIXED),
        Equal(_MIXED.replace(_is_any, lambda e: entries.w(e.index)), least),
        AtMost(_renyi(alpha), _renyi(HIGHER)),
        AtMost(_renyi(alpha), entries.leibler(entries.p, entries.q)),
        AtMost(entries.leibler(entries.p, entries.q), _renyi(alpha)),
    )


def _is_any(term: Any) -> bool:
    return isinstance(term, entries.Entry) and term.name == "v"


def _gibbs(first: Any, second: Any, *lemmas: Theorem) -> Theorem:
    """KL(first‖second) ≥ 0, for distributions."""
    here = of_two(pinsker(), first, second, *lemmas)
    left, right = here.conclusion.terms()
    return combine(AtMost(0, right), [(1, here)], slack=left, reason="so a relative entropy is not negative")


@cache
def _growth() -> Theorem:
    """``D_α ≤ D_γ`` for α < γ, neither of them one: log Σ p^s q^(1-s) is convex in s and vanishes at one."""
    rising = given(_ABOVE, "given: another order, above")
    apart = [given(told, "for an order that is not one") for told in (entries.NOT_ONE, _HIGHER_NOT_ONE)]
    one, target = Integer(1), order_targets()[6]
    low, low_too = (strictly(Less(x, one), AtMost(x, one), x) for x in (alpha, HIGHER))
    high, high_too = (strictly(Less(one, x), AtMost(one, x), x) for x in (alpha, HIGHER))
    lower = combine(Less(alpha, one), [(1, rising), (1, low_too)], reason="so the lower one is below it too")
    higher = combine(Less(one, HIGHER), [(1, rising), (1, high)], reason="so the higher one is above it too")

    def proved(middle: Term, first: Term, last: Term, weight: Term, *sides: Theorem) -> Theorem:
        known = [rising, *(given(side.conclusion, "suppose") for side in sides)]
        shares = (last - middle) / (last - first), (middle - first) / (last - first)
        convex = convex_in_the_order(middle, first, last, shares, known)
        made = combine(
            target, [(weight, convex)], known=[*known, *apart], where=[entries.mass(entries.p)],
            reason="divided by the distances from one",
        )  # fmt: skip
        return discharged(made, *sides)

    below = proved(HIGHER, alpha, one, 1 / (1 - HIGHER), lower, low_too)
    above = proved(alpha, one, HIGHER, 1 / (alpha - 1), high, higher)
    across = proved(one, alpha, HIGHER, (HIGHER - alpha) / ((HIGHER - 1) * (1 - alpha)), low, high_too)
    upper = cases(across, above, alpha, one, reason="with α on either side of one")
    return cases(below, upper, HIGHER, one, reason="and γ")


@cache
def _through_one() -> tuple[Theorem, Theorem]:
    """``D_α ≤ KL`` for α < 1 and ``KL ≤ D_α`` for α > 1."""
    ratio = (entries.p(i) / entries.q(i)) ** (alpha - 1) / power_mean()
    term = combine(
        AtMost(entries.p(i) * log(ratio), entries.p(i) * (ratio - 1)),
        [(entries.p(i), logarithm(ratio))],
        reason="times p",
    )
    mean = (alpha - 1) * entries.leibler(entries.p, entries.q)
    jensen = combine(
        AtMost(mean, log(power_mean())), [(1, sum_over(term, i, C))], where=[entries.mass(entries.p)],
        reason="summed over the classes: Jensen's inequality",
    )  # fmt: skip
    below, above = (given(told, "given: on this side of one") for told in (_BELOW_ONE, _ABOVE_ONE))
    targets = order_targets()[7:]
    return (
        combine(targets[0], [(1 / (1 - alpha), jensen)], known=[below], reason="divided by 1-α"),
        combine(targets[1], [(1 / (alpha - 1), jensen)], known=[above], reason="and by α-1"),
    )


@of_formulas(Order, 3)
def order_theorem(right_sides: Order = ORDER) -> Proof:
    """D5: the slope in the order and its sign, skew symmetry, the variational form with its remainder, and growth.

    ``∂D_α/∂α = KL(w‖p)/(1-α)² ≥ 0``; ``(1-α) D_α(p‖q) = α D_{1-α}(q‖p)``; and for every distribution v
    ``α KL(v‖p) + (1-α) KL(v‖q) = KL(v‖w) + (1-α) D_α(p‖q)``. As KL(v‖w) ≥ 0, with equality at v = w,
    ``(1-α) D_α(p‖q)`` is the minimum of the left side, attained at the escort. And ``D_α ≤ D_γ`` for any two orders
    α < γ other than one, with KL(p‖q) between those below one and those above.
    Van Erven & Harremoës 2014, arXiv 1206.2459, have all of it.

    Examples
    --------
    >>> order_theorem().verify()
    True
    """
    _, rising, skew, mixture, least, attained, *_ = order_targets(right_sides)
    slope = slope_in_the_order(right_sides.slope)
    sign = _gibbs(entries.w, entries.p, entries.of_escort())
    grows = combine(rising, [(-1, slope), ((1 - alpha) ** -2, sign)], reason="so D does not decrease in the order")
    mirror = given(_IS_MIRROR, "given: the divergence of order 1-α of q from p")
    mirrored = combine(skew, [], where=[entries.renyi(), mirror], reason="both sides are -log S")
    sums = (entries.mass(_any), entries.of_escort())
    where = [entries.renyi(), entries.escort(), sums[0]]
    mixed = combine(mixture, [], where=where, reason="log w = α log p + (1-α) log q - log S")
    lowest = combine(
        least, [(-1, mixed), (1, _gibbs(_any, entries.w, *sums))], reason="so the mixture is least where v = w"
    )
    there = instantiate(mixed, {_any(i): entries.w(i)}, reason="at the escort")
    reached = combine(attained, [(1, discharged(there, sums[1]))], reason="where it is (1-α) D")
    return Proof((slope, grows, mirrored, mixed, lowest, reached, _growth(), *_through_one()))
