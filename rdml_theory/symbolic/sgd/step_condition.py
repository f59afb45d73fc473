"""N2: what one step of gradient descent does to a loss, in terms of the mean curvature along that step."""

from __future__ import annotations

from typing import Any

from sympy import Symbol, sqrt

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula, Named
from rdml_theory.symbolic.sgd.descent import eta
from rdml_theory.symbolic.sgd.setting import exact

__all__ = ["ASSUMPTIONS", "CHANGE", "NORM", "change_target", "curvature", "step_condition", "theta"]

NORM = Named("‖∇f‖", r"\lVert \nabla f \rVert")
curvature: Formula = Symbol("Lambda_t", real=True)
"""Λ_t: twice the mean of the curvature along the step, weighted by 1-s at the part s of it."""

CHANGE: Formula = -eta * (1 - eta * curvature / 2) * NORM**2
"""The change of f in a step of gradient descent."""

theta = Vector("θ")
_slope = Gradient("f", theta)
_move = -eta * _slope
_before, _after = Value("f", theta), Value("f", theta + _move)
_TAYLOR = Equal(_after, _before + Inner(_slope, _move) + curvature / 2 * square(_move))

ASSUMPTIONS = (_TAYLOR.text(),)
"""What the law assumes, as text: the definition of Λ_t, which makes Taylor's second order exact."""


def change_target(right_side: Formula = CHANGE) -> Equal:
    """``f(θ - η∇f) - f(θ) =`` the right side.

    >>> print(change_target().text())
    f(θ - η·∇f(θ)) - f(θ) = -η·(1 - Λ_t·η/2)·‖∇f(θ)‖²
    """
    norm: dict[Any, Any] = {NORM: sqrt(square(_slope))}
    return Equal(_after - _before, exact(right_side).xreplace(norm))


@of_formulas()
def step_condition(right_side: Formula = CHANGE) -> Proof:
    """N2: a step changes f by ``-η(1 - ηΛ_t/2)‖∇f‖²``: it lowers f for ηΛ_t < 2, and does not for ηΛ_t ≥ 2.

    Examples
    --------
    >>> step_condition().verify()
    True
    """
    told = assume(_TAYLOR, reason="given: Λ_t makes Taylor's second order exact")
    changed = combine(change_target(right_side), [(1, told)], reason="for the step -η∇f")
    small = assume(Less(eta * curvature, 2), reason="given: a small step")
    moves = assume(Less(0, square(_slope)), reason="given: the gradient is not zero")
    fall = eta / 2 * square(_slope) * (2 - eta * curvature)
    large = assume(AtMost(2, eta * curvature), reason="given: a large step")
    return Proof((
        changed,
        combine(Less(_after, _before), [(1, changed)], slack=fall, known=[moves, small], reason="so f falls"),
        combine(AtMost(_before, _after), [(-1, changed), (eta / 2 * square(_slope), large)], reason="so it does not"),
    ))  # fmt: skip
