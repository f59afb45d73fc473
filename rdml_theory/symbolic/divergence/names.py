"""The quantities that the inequalities speak of."""

from __future__ import annotations

from sympy import Symbol, log

from rdml_theory.symbolic.notation import Formula, Named, alpha

__all__ = [
    "DISTANCE", "ESCORT_DISTANCE", "FLOOR", "GRADIENT_NORM", "GREATEST", "GREATEST_CURVATURE", "LEAST",
    "LEAST_CURVATURE", "LEAST_PROBABILITY", "MEAN", "PEER_MASS", "SPREAD", "STUDENT_MASS",
    "TEACHER_NORM", "VARIANCE", "SignedName", "rho", "two_point_divergence",
]  # fmt: skip


class SignedName(Named):
    r"""A named quantity of either sign.

    >>> SignedName("λ", r"\lambda").is_nonnegative
    """

    is_nonnegative = None
    __slots__ = ()


GRADIENT_NORM = Named("‖q - w‖₂", r"\lVert q - w \rVert_2")
"""The Euclidean norm of the student gradient in the logits."""

TEACHER_NORM = Named("‖∂D_α/∂u‖₂", r"\lVert \partial D_{\alpha} / \partial u \rVert_2")
"""The Euclidean norm of the peer's gradient in its logits."""

ESCORT_DISTANCE = Named("TV(q, w)", r"\mathrm{TV}(q, w)")
"""Half of the sum of ``|q_i - w_i|``, the total variation distance."""

DISTANCE = Named("‖p - q‖₁", r"\lVert p - q \rVert_1")
"""The sum of ``|p_i - q_i|``."""

GREATEST_CURVATURE = Named("λ_max(∂²D_α/∂z²)", r"\lambda_{\max}(\partial^2 D_{\alpha} / \partial z^2)")
"""The greatest eigenvalue of the student Hessian."""

LEAST_CURVATURE = SignedName("λ_min(∂²D_α/∂z²)", r"\lambda_{\min}(\partial^2 D_{\alpha} / \partial z^2)")
"""The least eigenvalue of the student Hessian; it may be negative."""

SPREAD = Symbol("delta", nonnegative=True)
"""δ = αρ: the order times the range of the log-ratio log(p/q)."""

rho: Formula = Symbol("rho", nonnegative=True)
"""ρ = max log(p/q) - min log(p/q)."""

VARIANCE = Named("Var_q(v)", r"\operatorname{Var}_q(v)")
"""Σ q_i v_i² - (Σ q_i v_i)²."""

MEAN: Formula = Symbol("mu", real=True)
"""μ = Σ q_i v_i."""

LEAST: Formula = Symbol("m", real=True)
"""m = min v."""

GREATEST: Formula = Symbol("M", real=True)
"""M = max v."""

LEAST_PROBABILITY: Formula = Symbol("omega", positive=True)
"""ω = min q."""

FLOOR: Formula = Symbol("omega_0", positive=True)
"""ω_0, the least of all probabilities of p and q."""

PEER_MASS: Formula = Symbol("P", positive=True)
"""P = p(A), the peer's mass of a set A of classes."""

STUDENT_MASS: Formula = Symbol("Q", positive=True)
"""Q = q(A), the student's mass of a set A of classes."""


def two_point_divergence(first: Formula, second: Formula, alpha: Formula = alpha) -> Formula:
    """D_α of (P, 1-P) from (Q, 1-Q).

    >>> from sympy import Rational
    >>> two_point_divergence(Rational(1, 2), Rational(1, 4), 2)
    log(4/3)
    """
    if alpha == 1:
        return first * log(first / second) + (1 - first) * log((1 - first) / (1 - second))
    total = first**alpha * second ** (1 - alpha) + (1 - first) ** alpha * (1 - second) ** (1 - alpha)
    return log(total) / (alpha - 1)
