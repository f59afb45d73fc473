"""C5, the plateau law: where an update leaves a student where it is, base and mutual gradient balance."""

from __future__ import annotations

from typing import Any

from sympy import Symbol, sqrt

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula, Named
from rdml_theory.symbolic.sgd.descent import eta
from rdml_theory.symbolic.sgd.setting import exact, squared

__all__ = ["ASSUMPTIONS", "BASE_NORM", "MUTUAL_NORM", "beta", "plateau_law", "plateau_target"]

BASE_NORM = Named("‖∇L_k‖", r"\lVert \nabla L_k \rVert")
"""The norm of the gradient of the student's base loss."""

MUTUAL_NORM = Named("‖∇R_k‖", r"\lVert \nabla R_k \rVert")
"""The norm of the gradient of the student's mutual loss."""

beta: Formula = Symbol("beta", nonnegative=True)

_theta = Vector("θ")
_base, _mutual = (Gradient(name, _theta) for name in "fR")
_STATIONARY = Equal(_theta - eta * (_base + beta * _mutual), _theta)

ASSUMPTIONS = (_STATIONARY.text(),)
"""What the law assumes, as text: a step leads back to θ."""


def plateau_target(right_side: Formula = beta * MUTUAL_NORM) -> Equal:
    """``‖∇f‖ =`` the right side.

    >>> print(plateau_target().text())
    ‖∇f(θ)‖ = β·‖∇R(θ)‖
    """
    norms: dict[Any, Any] = {MUTUAL_NORM: sqrt(square(_mutual)), BASE_NORM: sqrt(square(_base))}
    return Equal(norms[BASE_NORM], exact(right_side).xreplace(norms))


@of_formulas()
def plateau_law(right_side: Formula = beta * MUTUAL_NORM) -> Proof:
    """C5: at a stationary point of the cohort, ‖∇f‖ = β ‖∇R‖ for every student, with base loss f and mutual loss R.

    Examples
    --------
    >>> plateau_law().verify()
    True
    """
    still = assume(_STATIONARY, reason="given: the step leads back to θ")
    balance = combine(Equal(_base, -beta * _mutual), [(-1 / eta, still)], reason="so the two gradients balance")
    squares = combine(
        Equal(square(_base), beta**2 * square(_mutual)), [(1, squared(balance))], reason="and so do their squares"
    )
    x, y = Symbol("x", nonnegative=True), Symbol("y", nonnegative=True)
    suppose = assume(Equal(x, beta**2 * y), reason="suppose")
    roots = combine(Equal(sqrt(x), beta * sqrt(y)), [], where=[suppose], reason="take roots")
    here = instantiate(roots, {x: square(_base), y: square(_mutual)}, reason="of both squares")
    norms = discharge(here, squares, reason="as found")
    return Proof((combine(plateau_target(right_side), [(1, norms)], reason="as asserted"),))
