"""The derivatives of the Rényi divergence, for a symbolic number of classes.

Every function returns a :class:`~rdml_theory.symbolic.engine.derivation.Derivation` whose steps start at the definition

    D_α(p‖q) = 1/(α-1) · log Σ_i p_i^α q_i^(1-α)        (nats)

Source of the definition: Rényi 1961; van Erven & Harremoës 2014, arXiv 1206.2459. The setting (peers' divergence as
a loss): Huang et al. 2023, arXiv 2209.05732.
"""

from __future__ import annotations

from sympy import Derivative, Integer, KroneckerDelta, Sum, log

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.notation import ESCORT, STANDARD, STUDENT, TEACHER, C, Formula, alpha, i, k, l, p, q, u, w, z
from rdml_theory.symbolic.relations import equal

__all__ = ["alpha_derivative", "student_gradient", "student_hessian", "teacher_gradient"]


def _sum(summand: Formula) -> Formula:
    """Σ_i over the classes."""
    return Sum(summand, (i, 1, C))


def _named(reason: str, left: Formula, right: Formula, *, teacher: bool = False) -> Step:
    """A step in the names w, q and p, which stand for their definitions through the logits."""
    return Step(reason, equal(left, right), STANDARD if teacher else (ESCORT, STUDENT))


def _at_order_one(reason: str, left: Formula, right: Formula) -> Step:
    """The case α = 1, where the definition is the Kullback-Leibler divergence."""
    return Step(reason, equal(left, right), (*STANDARD, equal(alpha, Integer(1))))


@of_formulas()
def student_gradient(right_side: Formula | None = None) -> Derivation:
    """∂D_α(p‖q)/∂z_k = q_k - w_k, for every number of classes C and every order α in (0, ∞).

    Parameters
    ----------
    right_side : Formula, optional
        The asserted gradient, in the names ``q[k]`` and ``w[k]``. Anything but ``q[k] - w[k]`` is disproved.

    Examples
    --------
    >>> student_gradient().verify(), student_gradient(q[k] + w[k]).verify()
    (True, False)
    """
    right = q[k] - w[k] if right_side is None else right_side
    left = Derivative(divergence, z[k])
    log_sum = log(_sum(p[i] ** alpha * q[i] ** (1 - alpha)))
    scaled = Derivative(log_sum, z[k]) / (alpha - 1)
    chain = -_sum(w[i] * Derivative(log(q[i]), z[k]))
    inner = -_sum(w[i] * (KroneckerDelta(i, k) - q[k]))
    steps = (
        _named("the definition of the divergence", left, scaled),
        _named("the chain rule; the weights that appear are the escort distribution", scaled, chain),
        _named("the derivative of the log-softmax, ∂log q_i/∂z_k = δ_ik - q_k", chain, inner),
        _named("the escort distribution sums to one", inner, right),
    )
    leibler = Derivative(_sum(p[i] * (log(p[i]) - log(q[i]))), z[k])
    lemma = _at_order_one("at α = 1 the divergence is Σ p log(p/q), the escort p, and the same holds", leibler, right)
    return Derivation(equal(left, right), steps, {"q": STUDENT, "w": ESCORT}, chained=True, lemmas=(lemma,))


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
