"""The derivatives that the student gradient is not: in the probabilities, in the peer's logits and in the order.

At α = 1 the formulas for u and α have limits. That for p has none: off the simplex Σ p = 1 the divergence itself is
log(Σp)/(α-1) away from any limit. Its differences have one: along the simplex nothing else matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from sympy import Derivative, Integer, Sum, exp, log

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.divergence import entries
from rdml_theory.symbolic.divergence.entries import in_entries, total
from rdml_theory.symbolic.divergence.gradients import SHIFT
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import C, Formula, alpha, i, j, k, l, p, q, w

__all__ = [
    "ASSUMPTIONS", "DERIVATIVES", "Derivatives", "alpha_derivative", "derivative_targets", "derivatives",
    "slope_in_the_order", "teacher_gradient",
]  # fmt: skip


def _log_ratio(index: Formula) -> Formula:
    return log(p[index] / q[index])


def _mean(summand: Formula) -> Formula:
    """The mean under p."""
    return Sum(p[i] * summand, (i, 1, C))


_KL = _mean(_log_ratio(i))


class Derivatives(NamedTuple):
    """Right sides: ∂D/∂q_k, ∂D/∂p_k, ∂D/∂u_k and ∂D/∂α, and the limits of the last three as α tends to 1."""

    student: Formula
    teacher: Formula
    logits: Formula
    order: Formula
    teacher_at_one: Formula
    logits_at_one: Formula
    order_at_one: Formula


DERIVATIVES = Derivatives(
    student=-w[k] / q[k],
    teacher=alpha / (alpha - 1) * w[k] / p[k],
    logits=alpha / (alpha - 1) * (w[k] - p[k]),
    order=Sum(w[i] * log(w[i] / p[i]), (i, 1, C)) / (1 - alpha) ** 2,
    teacher_at_one=_log_ratio(k) - _log_ratio(l),
    logits_at_one=p[k] * (_log_ratio(k) - _KL),
    order_at_one=(_mean(_log_ratio(i) ** 2) - _KL**2) / 2,
)
"""The right sides that hold; the one for p at α = 1 is of the difference of two entries, k and l."""


def _moved(logits: Formula) -> Formula:
    return exp(logits(i) + SHIFT * entries.v(i))


_SOFTMAX = _moved(entries.u) / total(exp(entries.u(j) + SHIFT * entries.v(j)), j)

_CURVES: dict[str, tuple[Formula, Formula, Formula]] = {
    "student": (entries.q, _moved(entries.z), entries.q(i)),
    "teacher": (entries.p, _moved(entries.u), entries.p(i)),
    "logits": (entries.p, _SOFTMAX, Integer(1)),
}
"""What moves with s, how, and what times v_i is the velocity of the argument: of q_i, of p_i, and of u_i."""


def _curve(name: str) -> Proposition:
    family, moved, _ = _CURVES[name]
    return ForAll(i, Equal(family(i), moved))


ASSUMPTIONS = tuple(
    told.text()
    for told in (entries.NOT_ONE, entries.is_escort(), *map(_curve, _CURVES), entries.sums_to_one(entries.p))
)
"""What one or another of the seven theorems assumes, as text."""


def _divergence(name: str, *, order_one: bool = False) -> Formula:
    """The divergence along a curve, by its definition."""
    family, moved, _ = _CURVES[name]
    first, second = (moved if family is other else other(i) for other in (entries.p, entries.q))
    if order_one:
        return total(first * log(first / second))
    return log(total(first**alpha * second ** (1 - alpha))) / (alpha - 1)


def _along(name: str, entry: Formula, *, order_one: bool = False) -> Equal:
    """The derivative along a curve is the inner product of its velocity and the asserted gradient, given as entry k."""
    slope = Derivative(_divergence(name, order_one=order_one), SHIFT)
    return Equal(slope, total(entries.v(i) * _CURVES[name][2] * in_entries(entry).xreplace({k: i})))


_RENYI = log(entries.power_mean()) / (alpha - 1)


def _in_the_order(right_side: Formula) -> Equal:
    return Equal(Derivative(_RENYI, alpha), in_entries(right_side))


def _with_escort(formula: Formula) -> Term:
    """A formula with w written out, as a limit in α needs it."""

    def at(index: Term) -> Term:
        return entries.p(index) ** alpha * entries.q(index) ** (1 - alpha) / entries.power_mean(index=j)

    return in_entries(formula).replace(lambda e: isinstance(e, entries.Entry) and e.name == "w", lambda e: at(e.index))


_TERMS = (
    DERIVATIVES.teacher - DERIVATIVES.teacher.xreplace({k: l}),
    DERIVATIVES.logits,
    DERIVATIVES.order,
)
"""What has a limit at order one."""

_NUMERATORS = (
    alpha * (w[k] / p[k] - w[l] / p[l]),
    alpha * (w[k] - p[k]),
    Sum(w[i] * log(w[i] / p[i]), (i, 1, C)),
)
"""The same, times α - 1, and the last times its square."""


def derivative_targets(sides: Derivatives = DERIVATIVES) -> tuple[Equal | Tends, ...]:
    """The seven statements: three derivatives along curves, that in the order, and three limits.

    >>> print(derivative_targets()[1].right)
    Sum(alpha*v_i*w_i/(alpha - 1), (i, 1, C))
    """
    curves = (_along(name, side) for name, side in zip(_CURVES, sides[:3], strict=True))
    limits = (_at_one(place, side) for place, side in enumerate(sides[4:]))
    return (*curves, _in_the_order(sides.order), *limits)


def _at_one(place: int, side: Formula) -> Tends:
    """One of the terms tends to an asserted limit."""
    return Tends(_with_escort(_TERMS[place]), alpha, 1, in_entries(side))


def _not_one() -> Theorem:
    return entries.given(entries.NOT_ONE, "for an order that is not one")


def _slope(formula: Formula, variable: Formula, known: Sequence[Theorem], reason: str) -> Theorem:
    itself = combine(Equal(formula, formula), [], known=known, reason="the definition of the divergence")
    return differentiate(itself, variable, reason=reason)


@cache
def _gradient(name: str, entry: Formula, *, order_one: bool = False) -> Theorem:
    known = [] if order_one else [_not_one()]
    slope = _slope(_divergence(name, order_one=order_one), SHIFT, known, "differentiate along the curve")
    at_one = [entries.given(entries.ORDER_ONE), entries.mass(entries.p)] if order_one else []
    curve = entries.given(_curve(name), "given: how the distribution moves")
    return combine(
        _along(name, entry, order_one=order_one), [(1, slope)], where=[entries.escort(), curve, *at_one],
        reason="collect: the weights that appear are those of the escort",
    )  # fmt: skip


@cache
def _order_slope() -> Theorem:
    return _slope(_RENYI, alpha, [_not_one()], "differentiate in the order, near which it is not one either")


@cache
def slope_in_the_order(right_side: Formula = DERIVATIVES.order) -> Theorem:
    """``∂D/∂α``, for α ≠ 1.

    >>> print(slope_in_the_order().conclusion.right)
    Sum(log(w_i/p_i)*w_i, (i, 1, C))/(1 - alpha)**2
    """
    return combine(
        _in_the_order(right_side), [(1, _order_slope())], where=[entries.escort()],
        reason="collect: log w = α log p + (1-α) log q - log S",
    )  # fmt: skip


@cache
def _limit(place: int, side: Formula) -> Theorem:
    reason = (
        "Taylor: w_k/p_k is 1 at order one, and its slope there is t_k - KL",
        "Taylor: w_k is p_k at order one, and its slope there is p_k (t_k - KL)",
        "Taylor: KL(w‖p) has a minimum there",
    )[place]
    return limit(
        _at_one(place, side), _with_escort(_NUMERATORS[place]), (1, 1, 2)[place], where=[entries.mass(entries.p)],
        reason=reason,
    )  # fmt: skip


@of_formulas(Derivatives, 7)
def derivatives(right_sides: Derivatives = DERIVATIVES) -> Proof:
    """D2: all first derivatives but the student gradient, and their limits at order one.

    ``∂D/∂q_k = -w_k/q_k``, ``∂D/∂p_k = α/(α-1) w_k/p_k`` (entries as independent positive numbers),
    ``∂D/∂u_k = α/(α-1) (w_k - p_k)`` for ``p = softmax(u)``, and ``∂D/∂α = KL(w‖p)/(1-α)²``. With t = log p/q the last
    three tend, as α tends to 1, to t_k - t_l (for the difference of two entries of ∂D/∂p), p_k (t_k - KL(p‖q)) and
    Var_p(t)/2. Gradients are said along every direction v: in q_k along q_i = exp(z_i + s v_i), whose velocity is
    q_i v_i, and so for p. The last theorem is the first one at order one.

    Examples
    --------
    >>> derivatives().verify()
    True
    """
    gradients = (_gradient(name, side) for name, side in zip(_CURVES, right_sides[:3], strict=True))
    limits = (_limit(place, side) for place, side in enumerate(right_sides[4:]))
    at_one = _gradient("student", right_sides.student, order_one=True)
    return Proof((*gradients, slope_in_the_order(right_sides.order), *limits, at_one))


@of_formulas()
def teacher_gradient(right_side: Formula = DERIVATIVES.logits) -> Proof:
    """∂D_α(p‖q)/∂u_k = α/(α-1) · (w_k - p_k) for p = softmax(u) and α ≠ 1, said along every direction.

    >>> teacher_gradient().verify()
    True
    """
    return Proof((_gradient("logits", right_side),))


@of_formulas()
def alpha_derivative(right_side: Formula = DERIVATIVES.order) -> Proof:
    """∂D_α(p‖q)/∂α = KL(w‖p)/(1-α)², for α ≠ 1.

    >>> alpha_derivative().verify()
    True
    """
    return Proof((slope_in_the_order(right_side),))
