"""The divergence at the orders 0, 1 and ∞, as limits: by Taylor at 0 and 1, between two bounds at ∞."""

from __future__ import annotations

from functools import cache

from sympy import Abs, Integer, Rational, Sum, Symbol, log, oo

from rdml_theory.symbolic.arguments import formula, of_formulas
from rdml_theory.symbolic.divergence.entries import (
    Term,
    given,
    in_entries,
    is_class,
    mass,
    p,
    power_mean,
    q,
    share,
    sums_to_one,
    total,
)  # fmt: skip
from rdml_theory.symbolic.divergence.lemmas import in_exponentials, in_logarithms
from rdml_theory.symbolic.elementary import sized
from rdml_theory.symbolic.kernel import (
    AtMost,
    Equal,
    ForAll,
    Less,
    Proof,
    Tends,
    Theorem,
    combine,
    nonnegative,
    one_term,
    specialise,
    squeeze,
    sum_over,
)  # fmt: skip
from rdml_theory.symbolic.kernel import limit as by_taylor
from rdml_theory.symbolic.maximum import Maximum
from rdml_theory.symbolic.notation import C, Formula, Named, alpha, i, k
from rdml_theory.symbolic.notation import p as _p
from rdml_theory.symbolic.notation import q as _q

__all__ = [
    "ASSUMPTIONS", "GREATEST_RATIO", "KULLBACK_LEIBLER", "RATES", "SUPPORT", "TOP", "far_target", "limit",
    "limit_targets", "limits", "rate_targets",
]  # fmt: skip

SUPPORT: Formula = Named("q(p > 0)", r"q(p > 0)")
"""The mass that q puts on the support of p."""

GREATEST_RATIO: Formula = Maximum(_p[i] / _q[i], (i, 1, C))
"""The greatest ratio of the two probabilities."""

KULLBACK_LEIBLER: Formula = Sum(_p[i] * log(_p[i] / _q[i]), (i, 1, C))

TOP: Formula = Symbol("L", positive=True)
"""L, the greatest ratio of the two probabilities in the kernel's terms."""

_LIMITS: dict[Formula, Formula] = {Rational(0): -log(SUPPORT), Rational(1): KULLBACK_LEIBLER, oo: log(GREATEST_RATIO)}

_ROOF = ForAll(i, AtMost(p(i), TOP * q(i)))
_REACHED = Equal(p(k), TOP * q(k))
_BEYOND = Less(1, alpha)

ASSUMPTIONS = tuple(told.text() for told in (sums_to_one(p), _ROOF, _REACHED, AtMost(k, C), _BEYOND))
"""What one or another of the theorems assumes, as text: p is a distribution; L is the greatest ratio, at class k."""

_RENYI = log(power_mean(index=i)) / (alpha - 1)
_DISTANCE = log(total(q(i)) / q(k)) / (alpha - 1)


def _side(side: Formula) -> Term:
    """An asserted limit in the terms of the kernel; the classes are those where p > 0."""
    return in_entries(side.xreplace({SUPPORT: total(q(i)), GREATEST_RATIO: TOP}))


def limit_targets(right_sides: tuple[Formula, ...] = tuple(_LIMITS.values())) -> tuple[Tends, ...]:
    """The three limits.

    >>> print(limit_targets()[0].limit)
    -log(Sum(q_i, (i, 1, C)))
    """
    return tuple(Tends(_RENYI, alpha, point, _side(side)) for point, side in zip(_LIMITS, right_sides, strict=True))


RATES: tuple[Formula, Formula] = (
    Sum(_q[i] * log(_q[i] / _p[i]), (i, 1, C)) / SUPPORT - log(SUPPORT),
    (Sum(_p[i] * log(_p[i] / _q[i]) ** 2, (i, 1, C)) - KULLBACK_LEIBLER**2) / 2,
)
"""The slopes at 0 and at 1: KL of q restricted to the support, scaled to one, from p, and half of Var_p(log p/q)."""


def rate_targets(
    right_sides: tuple[Formula, ...] = tuple(_LIMITS.values()), rates: tuple[Formula, Formula] = RATES
) -> tuple[Tends, Tends]:
    """The distance from the limit over that of the order, at 0 and at 1, has a limit: the distances are in proportion.

    >>> print(rate_targets()[1].text())
    (log(Σ_{i ≤ C} (p_i^α·q_i^(1 - α)))/(α - 1) - Σ_{i ≤ C} (log(p_i/q_i)·p_i))/(α - 1) → ... as α → 1
    """
    zero, one = (
        Tends((_RENYI - _side(limit)) / (alpha - point), alpha, point, _side(rate))
        for point, limit, rate in zip((0, 1), right_sides, rates, strict=False)
    )
    return zero, one


def _rates(right_sides: tuple[Formula, ...], rates: tuple[Formula, Formula]) -> tuple[Theorem, Theorem]:
    zero, one = rate_targets(right_sides, rates)
    numerators = (_RENYI - _side(right_sides[0]), log(power_mean(index=i)) - (alpha - 1) * _side(right_sides[1]))
    return (
        by_taylor(zero, numerators[0], 1, reason="Taylor: in proportion to the order"),
        by_taylor(one, numerators[1], 2, where=[mass(p)], reason="Taylor: in proportion to the distance from one"),
    )


def far_target(right_side: Formula = _LIMITS[oo]) -> AtMost:
    """How far the divergence is from its limit at ∞, at every order above one.

    >>> print(far_target().right)
    log(Sum(q_i, (i, 1, C))/q_k)/(alpha - 1)
    """
    return AtMost(Abs(_RENYI - _side(right_side)), _DISTANCE)


@cache
def _between() -> tuple[Theorem, Theorem]:
    """``q_k L^α ≤ S ≤ L^α Σ q``, in logarithms, for L the greatest ratio, at class k."""
    roof = specialise(given(_ROOF, "given: L is at least every ratio"), i, reason="at a class")
    ratio = combine(AtMost(p(i) / q(i), TOP), [(1 / q(i), roof)], reason="divided by q")
    logarithms = in_logarithms(ratio)
    powers = in_exponentials(
        combine(AtMost(-alpha * log(TOP), -alpha * log(p(i) / q(i))), [(alpha, logarithms)], reason="times the order")
    )
    term = combine(
        AtMost(p(i) ** alpha * q(i) ** (1 - alpha), TOP**alpha * q(i)), [(q(i), powers)],
        reason="each summand is at most q L^α",
    )  # fmt: skip
    above = in_logarithms(sum_over(term, i, C, reason="summed over the classes"))
    summand = nonnegative(p(i) ** alpha * q(i) ** (1 - alpha), reason="a summand is not negative")
    one = one_term(summand, i, C, k, known=[is_class(k)], reason="one of them is at most their sum")
    reached = given(_REACHED, "given: L is the ratio at class k")
    below = in_logarithms(
        combine(AtMost(q(k) * TOP**alpha, power_mean(index=i)), [(1, one)], where=[reached], reason="and it is q L^α")
    )
    return below, above


@cache
def _within(right_side: Term) -> Theorem:
    """``|D_α - log L| ≤ log(Σq/q_k)/(α-1)``."""
    below, above = _between()
    beyond = given(_BEYOND, "given: an order above one")
    gap, most = _RENYI - right_side, _DISTANCE
    reached = given(_REACHED, "given: L is the ratio at class k")
    small = in_logarithms(share(p))
    roof = sum_over(specialise(given(_ROOF), i, reason="at a class"), i, C, reason="summed over the classes")
    least = combine(AtMost(1, TOP * total(q(i))), [(1, roof)], where=[mass(p)], reason="where p has a mass of one")
    large = in_logarithms(least)
    over = 1 / (alpha - 1)
    upper = combine(
        AtMost(gap, most), [(over, above), (over, small)], known=[beyond], where=[reached], reason="from above"
    )
    lower = combine(AtMost(-gap, most), [(over, below), (over, large)], known=[beyond], reason="from below")
    return sized(upper, lower, [beyond])


def _at_infinity(target: Tends) -> tuple[Theorem, Theorem]:
    near = _within(target.limit)
    return squeeze(near, target, Integer(1), reason="and the distance falls to zero"), near


def limit(order: Formula | float, right_side: Formula | None = None) -> Proof:
    """The limit of D_α(p‖q) as α tends to 0, 1 or ∞; at ∞ a second theorem says how far it is at each order.

    Parameters
    ----------
    order : 0, 1 or ∞
        Where the limit is taken (``sympy.oo`` or ``math.inf`` for ∞).
    right_side : Formula, optional
        The asserted limit.

    Raises
    ------
    ValueError
        If ``order`` is not 0, 1 or ∞.
    ProofError
        If the limit does not follow.

    Examples
    --------
    >>> limit(1).verify()
    True
    >>> limit(1, KULLBACK_LEIBLER / 2)
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: limit: ... the derivative of order 1 is another at the point
    """
    key = formula("order", order)
    key = next((known for known in _LIMITS if known == key or (known - key).is_zero), None)
    if key is None:
        raise ValueError(f"limit at order {order}: the divergence is its own value there; use 0, 1 or ∞")
    asserted = _LIMITS[key] if right_side is None else formula("right_side", right_side)
    target = Tends(_RENYI, alpha, key, _side(asserted))
    if key is oo:
        return Proof(_at_infinity(target))
    if key == 0:
        return Proof((by_taylor(target, _RENYI, 0, reason="the divergence has no pole there, and p⁰ = 1"),))
    slope = by_taylor(
        target, log(power_mean(index=i)), 1, where=[mass(p)],
        reason="Taylor: log S vanishes at order one, and its slope there is KL",
    )  # fmt: skip
    return Proof((slope,))


@of_formulas(tuple, 3)
def limits(right_sides: tuple[Formula, Formula, Formula] = tuple(_LIMITS.values())) -> Proof:  # type: ignore[assignment]
    """D4: D_0 = -log q(p>0), D_1 = KL(p‖q) and D_∞ = log max p/q, as limits; the classes are those where p > 0.

    Others add nothing to the sum at any order above zero, so that q need not sum to one. The fourth theorem says how
    far the divergence is from log max p/q at any order above one, the last two that its distance from the other limits
    is in proportion to that of the order.

    Examples
    --------
    >>> limits().verify()
    True
    """
    parts = [limit(order, side) for order, side in zip(_LIMITS, right_sides, strict=True)]
    return Proof((*(theorem for part in parts for theorem in part.theorems), *_rates(right_sides, RATES)))
