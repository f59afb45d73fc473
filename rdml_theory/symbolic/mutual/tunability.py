"""C6: the order tunes the bias. Its bound lies below a line in the order; schedules of the order or weight remove it.

ζ(α) = √2 βG tanh(αρ/4) is the a-priori bound of the mutual bias (C4). α_t, β_t, ρ_t are the alpha, the weight and the
range of the log-ratio at step t.
"""

from __future__ import annotations

from functools import cache

from sympy import Sum, Symbol, exp, sqrt, tanh

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.divergence.names import rho
from rdml_theory.symbolic.elementary import exponential, tanh_at_least, tanh_at_most
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.mutual.bias import jacobian
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Formula, alpha
from rdml_theory.symbolic.sgd.bounds import classical_bound
from rdml_theory.symbolic.sgd.descent import CLASSICAL, Z, horizon
from rdml_theory.symbolic.sgd.extremal import SLOPE
from rdml_theory.symbolic.sgd.scope import pull
from rdml_theory.symbolic.sgd.setting import (
    after,
    assumptions,
    average,
    b,
    first,
    g,
    given,
    mean_over_steps,
    smoothness,
    squared,
    t,
    x,
)

__all__ = ["ASSUMPTIONS", "BIAS_ROOT", "LINE", "annealed_target", "increase", "line_target", "tunability"]

BIAS_ROOT: Formula = sqrt(2) * beta * jacobian * tanh(alpha * rho / 4)
"""ζ(α), the a-priori bound of the norm of the bias."""

LINE: Formula = sqrt(2) * beta * jacobian * alpha * rho / 4
"""The line that ζ(α) does not exceed, and comes near for small orders."""

increase: Formula = Symbol("delta", nonnegative=True)

_size = alpha * rho / 4
_at_step = {name: Entry(text, t, positive=True) for name, text in ((alpha, "α"), (beta, "β"), (rho, "ρ"))}
_SCHEDULED = ForAll(t, AtMost(Mean(square(b)), BIAS_ROOT.subs(_at_step) ** 2))
_AT_REST = Equal(Gradient("f", first), -pull)
_steps = Entry("η", t, positive=True)

ASSUMPTIONS = assumptions(
    "smooth", "bounded", "start", "update", "centred", "noise", "average", "bias", "h", "h ≤ 1", _SCHEDULED.text()
)
"""What the bound with schedules assumes, as text."""


def line_target(slope: Formula = LINE) -> AtMost:
    """``ζ(α) ≤`` the line.

    >>> print(line_target().text())
    √(2)·G·β·tanh(α·ρ/4) ≤ √(2)·G·α·β·ρ/4
    """
    return AtMost(BIAS_ROOT, slope)


def annealed_target(slope: Formula = LINE) -> AtMost:
    """``A² ≤ 2Δ/(ηT) + hσ²`` and the mean of the line's squares.

    >>> print(annealed_target().text())
    A² ≤ 2·Δ/(T·η) + h·σ² + Σ_{t < T} (G²·α_t²·β_t²·ρ_t²/8)/T
    """
    total = Sum(slope.subs(_at_step) ** 2, (t, 0, horizon - 1)) / horizon
    return AtMost(average**2, CLASSICAL.subs(Z, 0) + total)


@cache
def _below_the_line(slope: Formula) -> Theorem:
    return combine(line_target(slope), [(sqrt(2) * beta * jacobian, tanh_at_most(_size))], reason="times √2 βG")


def _increases() -> Theorem:
    """``ζ(α) ≤ ζ(α + δ)``."""
    before, more = exp(alpha * rho / 2), exp(increase * rho / 2)
    weight = 2 * sqrt(2) * beta * jacobian * before / ((before * more + 1) * (before + 1))
    later = BIAS_ROOT.subs(alpha, alpha + increase)
    return combine(
        AtMost(BIAS_ROOT, later),
        [(weight, exponential(increase * rho / 2))],
        slack=weight * increase * rho / 2,
        reason="tanh is a rational function of exp",
    )


def _near_the_line(slope: Formula) -> Theorem:
    """``(line)(1 - (αρ/4)²/3) ≤ ζ(α)``: no line of a smaller slope bounds it."""
    parts = [(sqrt(2) * beta * jacobian, tanh_at_least(_size))]
    return combine(AtMost(slope * (1 - _size**2 / 3), BIAS_ROOT), parts, reason="times √2 βG")


def _annealed(slope: Formula) -> Theorem:
    """The bound of A² with schedules of order and weight."""
    line = slope.subs(_at_step)
    here = instantiate(_below_the_line(slope), _at_step, reason="at this step")
    root = BIAS_ROOT.subs(_at_step)
    bounded = given(_SCHEDULED, t, why="C4's bound")
    small = combine(
        AtMost(Mean(square(b)), line**2), [(1, bounded), (root + line, here)], reason="so is the square of the line"
    )
    total = sum_over(small, t, horizon, reason="sum over the steps")
    return combine(
        annealed_target(slope),
        [(1, classical_bound().theorems[0]), (1, given("bias")), (1 / horizon, total)],
        reason="in C1",
    )


def _kept() -> Theorem:
    """On ``f = Λ‖x‖²/2`` with a constant bias: a run whose gradient stays what it is, whatever the steps η_t."""
    slope = assume(SLOPE, reason="given: f = Λ‖x‖²/2")
    update = assume(ForAll(t, Equal(after, x - _steps * (g + b))), reason="given: any steps η_t")
    constant = given(ForAll(t, Equal(b, pull)), t, why="a constant bias")
    supposed = assume(Equal(g, -pull), reason="suppose the gradient is against it")
    again = combine(
        Equal(Gradient("f", after), -pull),
        [
            (1, specialise(slope, after, reason="at x_{t+1}")),
            (-1, specialise(slope, x, reason="at x_t")),
            (smoothness, specialise(update, t, reason="at this step")),
            (-smoothness * _steps, constant),
            (1 - smoothness * _steps, supposed),
        ],
        reason="then so it is after a step",
    )
    start = assume(_AT_REST, reason="given: it is at the start")
    always = specialise(induct(start, again, t, reason="by induction"), t, reason="at every step")
    total = sum_over(expectation(squared(always), reason="take expectations"), t, horizon, reason="sum over the steps")
    return combine(
        Equal(mean_over_steps(square(g)), square(pull)), [(1 / horizon, total)], reason="so A² = ‖c‖², for every T"
    )


@of_formulas()
def tunability(slope: Formula = LINE) -> Proof:
    """C6: ``ζ(α) ≤ √2 βGαρ/4``, nondecreasing in α; with schedules ``A² ≤ 2Δ/(ηT) + hσ² + mean of (βGαρ)²/8``.

    So what the bias adds tends to 0 where α_tβ_tρ_t does. No steps η_t remove a constant bias: a run keeps A² = ‖b‖².
    This toolkit's own.

    Examples
    --------
    >>> tunability().axioms
    ('descent lemma',)
    """
    return Proof((_below_the_line(slope), _increases(), _near_the_line(slope), _annealed(slope), _kept()))
