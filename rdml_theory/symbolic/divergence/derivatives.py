"""The derivatives that the student gradient is not: in the probabilities, in the peer's logits and in the order.

At α = 1 the formulas for u and α have limits, taken here. That for p has none: off the simplex Σ p = 1 the divergence
itself is log(Σp)/(α-1) away from any limit. Its differences have one: along the simplex nothing else matters.
"""

from __future__ import annotations

from typing import NamedTuple

from sympy import Derivative, KroneckerDelta, Limit, Sum, Tuple, log

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.notation import ESCORT, STANDARD, STUDENT, TEACHER, C, Formula, alpha, i, k, l, p, q, u, w
from rdml_theory.symbolic.relations import equal

__all__ = ["DERIVATIVES", "Derivatives", "derivatives"]


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


@of_formulas(Derivatives, 7)
def derivatives(right_sides: Derivatives | None = None) -> Derivation:
    """All first derivatives but the student gradient, and their limits at order one.

    ``∂D/∂q_k = -w_k/q_k``, ``∂D/∂p_k = α/(α-1) w_k/p_k`` (entries as independent positive numbers),
    ``∂D/∂u_k = α/(α-1) (w_k - p_k)`` for ``p = softmax(u)``, and ``∂D/∂α = KL(w‖p)/(1-α)²``. With t = log p/q the last
    three tend, as α tends to 1, to t_k - t_l (for the difference of two entries of ∂D/∂p), p_k (t_k - KL(p‖q)) and
    Var_p(t)/2.

    Parameters
    ----------
    right_sides : Derivatives, optional
        What is asserted; a false one is disproved.

    Examples
    --------
    >>> derivatives().verify(), derivatives(DERIVATIVES._replace(student=-q[k] / w[k])).verify()
    (True, False)
    """
    stated = DERIVATIVES if right_sides is None else right_sides
    scaled = alpha / (alpha - 1)
    chain = scaled * Sum(w[i] * (KroneckerDelta(i, k) - p[k]), (i, 1, C))
    spread = Sum(w[i] * (log(w[i]) - log(p[i])), (i, 1, C)) / (1 - alpha) ** 2
    named, logits = (ESCORT,), (ESCORT, STUDENT)
    gap = scaled * (w[k] / p[k] - w[l] / p[l])

    def at_one(formula: Formula, value: Formula) -> Formula:
        return equal(Limit(formula, alpha, 1, "+-"), value)

    parts = (
        Step("one entry of q in the sum", equal(Derivative(divergence, q[k]), stated.student), named),
        Step("one entry of p in the sum", equal(Derivative(divergence, p[k]), stated.teacher), named),
        Step("the escort distribution sums to one", equal(Derivative(divergence, u[k]), stated.logits), STANDARD),
        Step("which is a divergence", equal(Derivative(divergence, alpha), stated.order), logits),
        Step("l'Hôpital: (d/dα) w_k/p_k = t_k - KL", at_one(gap, stated.teacher_at_one), (ESCORT, TEACHER)),
        Step("l'Hôpital: (d/dα) w_k = p_k (t_k - KL)", at_one(DERIVATIVES.logits, stated.logits_at_one), STANDARD),
        Step("l'Hôpital twice: KL(w‖p) has a minimum there", at_one(DERIVATIVES.order, stated.order_at_one), STANDARD),
    )
    in_logits = equal(Derivative(divergence, u[k]), chain)
    chain_rule = Step("the chain rule, with ∂log p_i/∂u_k = δ_ik - p_k", in_logits, STANDARD)
    collected = Step(
        "differentiate the definition and collect log w_i = α log p_i + (1-α) log q_i - log S",
        equal(Derivative(divergence, alpha), spread),
        logits,
    )
    steps = (*parts[:2], chain_rule, parts[2], collected, *parts[3:])
    meanings = {"q": STUDENT, "p": TEACHER, "w": ESCORT}
    return Derivation(Tuple(*(part.relation for part in parts)), steps, meanings)
