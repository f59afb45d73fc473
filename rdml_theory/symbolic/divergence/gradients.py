"""The derivatives of the Rényi divergence, for a symbolic number of classes.

The student gradient is a theorem of the kernel; the other functions return a
:class:`~rdml_theory.symbolic.engine.derivation.Derivation` whose steps start at the definition

    D_α(p‖q) = 1/(α-1) · log Σ_i p_i^α q_i^(1-α)        (nats)

Source of the definition: Rényi 1961; van Erven & Harremoës 2014, arXiv 1206.2459. The setting (peers' divergence as
a loss): Huang et al. 2023, arXiv 2209.05732.
"""

from __future__ import annotations

from sympy import Derivative, Integer, KroneckerDelta, Sum, Symbol, exp, log

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.divergence import entries
from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.kernel import Equal, ForAll, Proof, Theorem, combine, differentiate
from rdml_theory.symbolic.notation import (
    ESCORT,
    STANDARD,
    STUDENT,
    TEACHER,
    C,
    Formula,
    alpha,
    i,
    j,
    k,
    l,
    p,
    q,
    u,
    w,
    z,
)  # fmt: skip
from rdml_theory.symbolic.relations import equal

__all__ = [
    "STUDENT_GRADIENT", "alpha_derivative", "student_gradient", "student_hessian", "student_target", "teacher_gradient",
]  # fmt: skip


def _sum(summand: Formula) -> Formula:
    """Σ_i over the classes."""
    return Sum(summand, (i, 1, C))


def _named(reason: str, left: Formula, right: Formula, *, teacher: bool = False) -> Step:
    """A step in the names w, q and p, which stand for their definitions through the logits."""
    return Step(reason, equal(left, right), STANDARD if teacher else (ESCORT, STUDENT))


def _at_order_one(reason: str, left: Formula, right: Formula) -> Step:
    """The case α = 1, where the definition is the Kullback-Leibler divergence."""
    return Step(reason, equal(left, right), (*STANDARD, equal(alpha, Integer(1))))


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
def student_gradient(right_side: Formula | None = None) -> Proof:
    """D1: the gradient of D_α(p‖q) in the student's logits is q - w, for every number of classes and every order.

    Said along a direction: the derivative in s of the divergence of p from softmax(z + s v) is Σ v_i (q_i - w_i), for
    every z, v and s. The second theorem is that of order one, where the divergence is KL(p‖q) and w = p.

    Parameters
    ----------
    right_side : Expr, optional
        The asserted entry k of the gradient, in the names ``q[k]`` and ``w[k]``.

    Raises
    ------
    ProofError
        If it does not follow.

    Examples
    --------
    >>> student_gradient().verify()
    True
    >>> student_gradient(q[k] + w[k])
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: ... is not this combination: ...
    """
    asserted = STUDENT_GRADIENT if right_side is None else right_side
    moved = entries.given(MOVED, "given: q = softmax(z + s·v)")

    def theorem(order_one: bool) -> Theorem:
        known = [] if order_one else [entries.given(entries.NOT_ONE, "for an order that is not one")]
        formula = _divergence(order_one)
        itself = combine(Equal(formula, formula), [], known=known, reason="the definition of the divergence")
        slope = differentiate(itself, SHIFT, reason="differentiate along v")
        at_one = [entries.given(entries.ORDER_ONE), entries.mass(entries.p)] if order_one else []
        return combine(
            student_target(asserted, order_one=order_one), [(1, slope)], where=[entries.escort(), moved, *at_one],
            reason="collect: the weights that appear are q and w",
        )  # fmt: skip

    return Proof((theorem(False), theorem(True)))


@of_formulas()
def student_hessian(right_side: Formula | None = None) -> Derivation:
    """∂²D_α/∂z_k∂z_l = Cov_q - (1-α) Cov_w, entry (k, l), where Cov_q = diag(q) - q qᵀ.

    Parameters
    ----------
    right_side : Formula, optional
        The asserted entry (k, l), in the names ``q``, ``w`` and ``alpha``.

    Examples
    --------
    >>> student_hessian().verify()
    True
    """
    cov_q = KroneckerDelta(k, l) * q[k] - q[k] * q[l]
    cov_w = KroneckerDelta(k, l) * w[k] - w[k] * w[l]
    right = cov_q - (1 - alpha) * cov_w if right_side is None else right_side
    left = Derivative(divergence, z[k], z[l])
    once = Derivative(q[k] - w[k], z[l])
    split = Derivative(q[k], z[l]) - Derivative(w[k], z[l])
    half = cov_q - Derivative(w[k], z[l])
    steps = (
        _named("the student gradient", left, once),
        _named("linearity", once, split),
        _named("the Jacobian of the softmax is its covariance", split, half),
        _named("the escort is itself a softmax, of αu + (1-α)z: its Jacobian is (1-α) Cov_w", half, right),
    )
    lemma = _at_order_one("at α = 1, where the gradient is q - p, the same holds", Derivative(q[k] - p[k], z[l]), right)
    return Derivation(equal(left, right), steps, {"q": STUDENT, "w": ESCORT}, chained=True, lemmas=(lemma,))


@of_formulas()
def teacher_gradient(right_side: Formula | None = None) -> Derivation:
    """∂D_α(p‖q)/∂u_k = α/(α-1) · (w_k - p_k), for α ≠ 1.

    >>> teacher_gradient().verify()
    True
    """
    right = alpha / (alpha - 1) * (w[k] - p[k]) if right_side is None else right_side
    left = Derivative(divergence, u[k])
    chain = alpha / (alpha - 1) * _sum(w[i] * (KroneckerDelta(i, k) - p[k]))
    steps = (
        _named("the chain rule, with ∂log p_i/∂u_k = δ_ik - p_k", left, chain, teacher=True),
        _named("the escort distribution sums to one", chain, right, teacher=True),
    )
    return Derivation(equal(left, right), steps, {"q": STUDENT, "p": TEACHER, "w": ESCORT}, chained=True)


@of_formulas()
def alpha_derivative(right_side: Formula | None = None) -> Derivation:
    """∂D_α(p‖q)/∂α = KL(w‖p)/(1-α)², for α ≠ 1.

    >>> alpha_derivative().verify()
    True
    """
    right = _sum(w[i] * log(w[i] / p[i])) / (1 - alpha) ** 2 if right_side is None else right_side
    left = Derivative(divergence, alpha)
    spread = _sum(w[i] * (log(w[i]) - log(p[i]))) / (1 - alpha) ** 2
    steps = (
        _named("differentiate the definition and collect log w_i = α log p_i + (1-α) log q_i - log S", left, spread),
        _named("the definition of the Kullback-Leibler divergence", spread, right),
    )
    return Derivation(equal(left, right), steps, {"q": STUDENT, "w": ESCORT}, chained=True)
