"""The derivatives of the Rényi divergence in the student's logits, for a symbolic number of classes.

The student's gradient and Hessian, theorems of the kernel, from the definition

    D_α(p‖q) = 1/(α-1) · log Σ_i p_i^α q_i^(1-α)        (nats)

Source of the definition: Rényi 1961; van Erven & Harremoës 2014, arXiv 1206.2459. The setting (peers' divergence as
a loss): Huang et al. 2023, arXiv 2209.05732.
"""

from __future__ import annotations

from functools import cache

from sympy import Derivative, Integer, KroneckerDelta, Symbol, exp, expand, log

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.divergence import entries
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula, alpha, i, j, k, l, q, w

__all__ = [
    "STUDENT_GRADIENT", "STUDENT_HESSIAN", "hessian_target", "student_gradient", "student_hessian", "student_target",
]  # fmt: skip


STUDENT_GRADIENT: Formula = q[k] - w[k]
"""The entry k of the gradient in the student's logits."""

SHIFT: Formula = Symbol("s", real=True)
"""How far the logits are moved along a direction v."""

_weight = exp(entries.z(j) + SHIFT * entries.v(j))
_student = exp(entries.z(i) + SHIFT * entries.v(i)) / entries.total(_weight, j)

MOVED = ForAll(i, Equal(entries.q(i), _student))
"""q = softmax(z + s v)."""

ASSUMPTIONS = tuple(told.text() for told in (MOVED, entries.is_escort(), entries.NOT_ONE))
"""What the student gradient assumes, as text."""


def _divergence(order_one: bool) -> Formula:
    """The divergence of p from softmax(z + s v), by its definition."""
    if order_one:
        return entries.total(entries.p(i) * log(entries.p(i) / _student))
    return log(entries.total(entries.p(i) ** alpha * _student ** (1 - alpha))) / (alpha - 1)


def student_target(right_side: Formula = STUDENT_GRADIENT, *, order_one: bool = False) -> Equal:
    """The derivative of the divergence along v is ``Σ_i v_i`` times the right side, given as its entry k.

    >>> print(student_target().right)
    Sum((q_i - w_i)*v_i, (i, 1, C))
    """
    slope = Derivative(_divergence(order_one), SHIFT)
    return Equal(slope, entries.total(entries.v(i) * entries.in_entries(right_side).xreplace({k: i})))


@of_formulas()
def student_gradient(right_side: Formula = STUDENT_GRADIENT) -> Proof:
    """D1: the gradient of D_α(p‖q) in the student's logits is q - w, for every number of classes and every order.

    Said along a direction: the derivative in s of the divergence of p from softmax(z + s v) is Σ v_i (q_i - w_i), for
    every z, v and s. The second theorem is that of order one, where the divergence is KL(p‖q) and w = p. ``right_side``
    is entry k, in the names ``q[k]`` and ``w[k]``.

    Examples
    --------
    >>> student_gradient().axioms
    ()
    """
    moved = entries.given(MOVED, "given: q = softmax(z + s·v)")

    def theorem(order_one: bool) -> Theorem:
        known = [] if order_one else [entries.given(entries.NOT_ONE, "for an order that is not one")]
        formula = _divergence(order_one)
        itself = combine(Equal(formula, formula), [], known=known, reason="the definition of the divergence")
        slope = differentiate(itself, SHIFT, reason="differentiate along v")
        at_one = [entries.given(entries.ORDER_ONE), entries.mass(entries.p)] if order_one else []
        return combine(
            student_target(right_side, order_one=order_one), [(1, slope)], where=[entries.escort(), moved, *at_one],
            reason="collect: the weights that appear are q and w",
        )  # fmt: skip

    return Proof((theorem(False), theorem(True)))


def _covariance(family: Formula) -> Formula:
    return KroneckerDelta(k, l) * family[k] - family[k] * family[l]


STUDENT_HESSIAN: Formula = _covariance(q) - (1 - alpha) * _covariance(w)
"""The entry (k, l) of the Hessian in the student's logits, Cov_q - (1-α) Cov_w with Cov_q = diag(q) - q qᵀ."""


def _form(entry: Formula) -> Formula:
    """``Σ_k Σ_l v_k v_l`` times the entry (k, l) of a matrix."""
    delta: Formula = Symbol("delta", real=True)
    places = {k: i}
    plain = expand(entry.xreplace({KroneckerDelta(k, l): delta}))
    diagonal, rest = (entries.in_entries(plain.coeff(delta, power)).xreplace(places) for power in (1, 0))
    row = entries.total(entries.v(l) * rest, l)
    return entries.total(entries.v(i) ** 2 * diagonal.xreplace({l: i})) + entries.total(entries.v(i) * row)


def hessian_target(right_side: Formula = STUDENT_HESSIAN, *, order_one: bool = False) -> Equal:
    """The second derivative of the divergence along v is the quadratic form of the right side, its entry (k, l).

    >>> hessian_target().left.variable_count
    ((s, 2),)
    """
    return Equal(Derivative(_divergence(order_one), (SHIFT, 2)), _form(right_side))


@cache
def _curvature(order_one: bool) -> Theorem:
    """The second derivative along v, of the divergence from softmax(z + s v)."""
    moved, v = exp(entries.z(i) + SHIFT * entries.v(i)), entries.v(i)

    def tilted(factor: Formula) -> Formula:
        return entries.total(entries.p(i) ** alpha * moved ** (1 - alpha) * factor)

    formula, known, where = _divergence(order_one), [], []
    weighted: Formula = tilted(v) / tilted(Integer(1))
    if order_one:
        weighted, where = entries.total(entries.p(i) * v), [entries.mass(entries.p)]
    else:
        known = [entries.given(entries.NOT_ONE, "for an order that is not one")]
    itself = combine(Equal(formula, formula), [], known=known, reason="the definition of the divergence")
    slope = differentiate(itself, SHIFT, reason="differentiate along v")
    short = combine(
        Equal(slope.conclusion.terms()[0], entries.total(moved * v) / entries.total(_weight, j) - weighted),
        [(1, slope)], where=where, reason="collect",
    )  # fmt: skip
    return differentiate(short, SHIFT, reason="and once more")


@of_formulas()
def student_hessian(right_side: Formula = STUDENT_HESSIAN) -> Proof:
    """D3: the Hessian of D_α(p‖q) in the student's logits is Cov_q - (1-α) Cov_w, where Cov_q = diag(q) - q qᵀ.

    Said along a direction, which determines a symmetric matrix: the second derivative in s of the divergence of p from
    softmax(z + s v) is the quadratic form of v, for every z, v and s. The second theorem is that of order one.
    ``right_side`` is entry (k, l), in the names ``q``, ``w`` and ``alpha``.

    Examples
    --------
    >>> student_hessian().axioms
    ()
    """

    def theorem(order_one: bool) -> Theorem:
        at_one = [entries.given(entries.ORDER_ONE), entries.mass(entries.p)] if order_one else []
        return combine(
            hessian_target(right_side, order_one=order_one), [(1, _curvature(order_one))],
            where=[entries.escort(), entries.given(MOVED, "given: q = softmax(z + s·v)"), *at_one],
            reason="collect: the weights that appear are q and w",
        )  # fmt: skip

    return Proof((theorem(False), theorem(True)))
