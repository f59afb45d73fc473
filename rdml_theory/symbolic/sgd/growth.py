"""C9: functions whose gradient grows with the value (Polyak-Łojasiewicz). The value itself converges to a floor."""

from __future__ import annotations

from typing import Any

from sympy import Integer, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import (
    At,
    AtMost,
    Equal,
    ForAll,
    Gradient,
    Mean,
    Proof,
    Theorem,
    Value,
    assume,
    combine,
    expectation,
    generalise,
    induct,
    specialise,
    square,
)  # fmt: skip
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.descent import bias, eta, gap, h, horizon, noise
from rdml_theory.symbolic.sgd.extremal import HEIGHT, newton_value
from rdml_theory.symbolic.sgd.setting import (
    after,
    assumptions,
    exact,
    first,
    given,
    infimum,
    short_step,
    smoothness,
    t,
    x,
    y,
)  # fmt: skip

__all__ = ["ASSUMPTIONS", "PL", "growth", "pl_bound", "pl_target"]

Term = Any

growth: Formula = Symbol("mu", positive=True)
"""μ, with ‖∇f‖² ≥ 2μ(f - inf f)."""

PL: Formula = (1 - eta * growth) ** horizon * gap + (h * noise**2 + bias**2) / (2 * growth)
"""The bound of E f(x_T) - inf f, for 0 < h ≤ 1."""

GROWS = ForAll(y, AtMost(2 * growth * (Value("f", y) - infimum), square(Gradient("f", y))))
SLOWER = AtMost(growth, smoothness)

ASSUMPTIONS = assumptions(
    "smooth", "start", "update", "centred", "noise", "bias of a step", "h", "h ≤ 1", GROWS.text(), SLOWER.text()
)
"""What the bound assumes, as text."""


def pl_target(right_side: Term = PL) -> AtMost:
    """``E f(x_T) - f_inf ≤`` the right side.

    >>> print(pl_target().text())
    E[f(x_T)] - f_inf ≤ Δ·(1 - η·μ)^T + (Z² + h·σ²)/(2·μ)
    """
    return AtMost(_excess(At("x", horizon)), right_side)


def _excess(point: Term) -> Term:
    return Mean(Value("f", point)) - infimum


@of_formulas()
def pl_bound(right_side: Formula | None = None) -> Proof:
    """``E f(x_T) - inf f ≤ (1-ημ)^T Δ + (hσ² + Z²)/(2μ)`` if ‖∇f‖² ≥ 2μ(f - inf f), for 0 < h ≤ 1; attained at h = 1.

    The inequality is that of Karimi, Nutini & Schmidt 2016, arXiv 1608.04636; the bias has a mean square of at most Z²
    at every step.

    Parameters
    ----------
    right_side : Expr, optional
        The asserted bound.

    Raises
    ------
    ProofError
        If the argument does not give what is asserted.

    Examples
    --------
    >>> pl_bound().verify()
    True
    >>> pl_bound(PL.subs(bias, 0))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: E[f(x_{t + 1})] - f_inf ≤ ... is not this ...
    """
    asserted = PL if right_side is None else exact(right_side)

    def bound(steps: Term) -> Term:
        return asserted.subs(horizon, steps)

    grows = specialise(assume(GROWS, reason="given"), x, reason="at x_t")
    recursion = combine(
        AtMost(_excess(after), (1 - eta * growth) * _excess(x) + eta / 2 * (bias**2 + h * noise**2)),
        [
            (1, short_step()),
            (eta / 2, expectation(grows, reason="take expectations")),
            (eta / 2, given("bias of a step", t)),
        ],
        reason="‖∇f(x_t)‖² is at least 2μ times the value above the infimum",
    )
    shrinks = combine(
        AtMost(0, 1 - eta * growth),
        [(eta, assume(SLOWER, reason="given")), (-1, given("h")), (1, given("h ≤ 1"))],
        reason="so 1-ημ is not negative",
    )
    step = combine(
        AtMost(_excess(after), bound(t + 1)),
        [(1, recursion), (1 - eta * growth, assume(AtMost(_excess(x), bound(t)), reason="suppose it holds at t"))],
        known=[shrinks],
        reason="then it holds at t + 1",
    )
    base = combine(
        AtMost(_excess(first), bound(Integer(0))), [(1, given("start"))], slack=(h * noise**2 + bias**2) / (2 * growth),
        reason="it holds at 0, where the floor is to spare",
    )  # fmt: skip
    always = induct(base, step, t, reason="by induction")
    last = specialise(always, horizon, reason="at the last step")
    return Proof((combine(pl_target(asserted), [(1, last)], reason="as asserted"), _attained(asserted)))


def _attained(asserted: Term) -> Theorem:
    """On ``f = Λ‖x‖²/2``, where μ = Λ, with η = 1/Λ: equality after any number of steps but none."""
    height = specialise(assume(HEIGHT, reason="given: f = Λ‖x‖²/2"), after, reason="at x_{t+1}")
    there = asserted.subs({growth: smoothness, h: 1, horizon: t + 1}).subs(eta, 1 / smoothness)
    equality = combine(
        Equal(Mean(Value("f", after)), there),
        [(1, expectation(height, reason="take expectations")), (1 / (2 * smoothness), newton_value())],
        reason="with μ = Λ and h = 1 the bound is attained: f has the infimum 0",
    )
    return generalise(equality, t, reason="at every horizon")
