"""Refinements of the sharp bound: C2a its floor, C2b its last step, C2c a relative bias."""

from __future__ import annotations

from sympy import Abs, Symbol, sqrt

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.elementary import unsquared
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.bounds import (
    attained,
    completed_square,
    quadratic_inequality,
    sharp_target,
    solved,
)  # fmt: skip
from rdml_theory.symbolic.sgd.descent import Z, eta, gap, h, horizon, sigma
from rdml_theory.symbolic.sgd.extremal import HEIGHT, SLOPE, floor, newton_value, quadratic, stationary, unmoved
from rdml_theory.symbolic.sgd.setting import *

__all__ = [
    "FLOOR", "LAST_STEP", "REFINED", "REFINED_FACTOR", "RELATIVE", "RELATIVE_ASSUMPTIONS", "RELATIVE_BIAS",
    "RELATIVE_LIMIT", "floor_bound", "floor_target", "last_step_attained", "refined_bound", "relative_bias",
    "relative_bound", "relative_inequality", "relative_target",
]  # fmt: skip

FLOOR: Formula = (Abs(1 - h) * Z + sqrt(Z**2 + h * (2 - h) * sigma**2)) / (2 - h)
"""The limit of the sharp bound of A for T → ∞."""


def floor_target(right_side: Formula = FLOOR) -> AtMost:
    """``A ≤ F + √(2(2-h)Δ/(ηT))/(2-h)`` for the floor F.

    >>> print(floor_target().text())
    A ≤ √(Δ)·√(4 - 2·h)/(√(T)·√(η)·(2 - h)) + (Z·|h - 1| + √(Z² + h·σ²·(2 - h)))/(2 - h)
    """
    return AtMost(average, right_side + sqrt(2 * (2 - h) * gap / (eta * horizon)) / (2 - h))


@of_formulas()
def floor_bound(right_side: Formula = FLOOR) -> Proof:
    """C2a: ``A ≤ F + √(2(2-h)Δ/(ηT))/(2-h)``, ``F = [ |1-h| Z + √( Z² + h(2-h)σ² ) ] / (2-h)``, and A = F is attained.

    ``right_side`` is F.

    Examples
    --------
    >>> floor_bound().axioms
    ('Cauchy-Schwarz', 'descent lemma')
    """
    base, completed = completed_square(quadratic_inequality(), Z)
    settled, transient = sqrt(Z**2 + h * (2 - h) * sigma**2), sqrt(2 * (2 - h) * gap / (eta * horizon))
    room = given("h < 2")
    apart = combine(
        AtMost(base**2, (settled + transient) ** 2), [(1, completed)], slack=2 * settled * transient,
        reason="a sum of squares is at most the square of the sum",
    )  # fmt: skip
    bound = combine(
        floor_target(right_side),
        [(1 / (2 - h), unsquared(base, settled + transient, apart, (room,)))],
        reason="divide by 2-h",
    )
    return Proof((bound, *attained(1, right_side), *attained(-1, right_side)))


REFINED_FACTOR: Formula = 1 - 1 / horizon
"""What Z² and σ² may be multiplied by."""


def _refined(factor: Formula) -> Formula:
    inside = Z**2 * factor + (2 - h) * (2 * gap / (eta * horizon) + h * sigma**2 * factor)
    return (Abs(1 - h) * Z * sqrt(factor) + sqrt(inside)) / (2 - h)


REFINED: Formula = _refined(REFINED_FACTOR)
"""The sharp bound of A with Z² and σ² multiplied by 1 - 1/T, for a bias of mean square at most Z² at every step."""

LAST_STEP = assumptions(
    "smooth", "bounded", "start", "update", "centred", "noise", "bias of a step", "average", "h", "h < 2"
)
"""What it assumes, as text."""


def _before_the_last() -> Theorem:
    """The quadratic inequality of C2 with the biases and noises of T-1 steps: (1-1/T)Z² and (1-1/T)σ²."""
    steps, fewer = horizon - 1, sqrt(1 - 1 / horizon) * Z
    cross, biases = mean_over_steps(Inner(g, b), steps), mean_over_steps(square(b), steps)
    gradients, last = mean_over_steps(square(g), steps), Mean(square(Gradient("f", At("x", steps)))) / horizon
    whole = combine(
        Equal(average**2, gradients + last),
        [(1, given("average")), (1 / horizon, last_term(horizon * mean_over_steps(square(g))))],
        reason="the last gradient apart",
    )
    small = combine(
        AtMost(biases, fewer**2),
        [(1 / horizon, sum_over(given("bias of a step", t), t, steps, reason="sum over the steps but the last"))],
        reason="divide by T",
    )
    product = combine(
        AtMost(cross**2, average**2 * fewer**2),
        [(1, cauchy_schwarz(steps)), (gradients, small), (-(fewer**2), whole)],
        slack=last * fewer**2,
        reason="with the definition of A and the bound of the bias",
    )
    away = Abs(1 - h)
    return combine(
        AtMost(
            quadratic(average, fewer, away),
            gap / (eta * horizon) + h * sigma**2 / 2 * (1 - 1 / horizon),
        ),
        [
            (1 / (eta * horizon), sum_over(one_step(), t, steps, reason="sum over the steps but the last")),
            (1 / (eta * horizon), instantiate(above_the_infimum(), {t: steps}, reason="at the last step")),
            (1 / (eta * horizon), given("start")),
            (1 - h / 2, whole),
            (h / 2, small),
            (away, root(product, cross, reason="take roots")),
            (1, absolute((h - 1) * cross, reason="a number is at most its absolute value")),
            (-last / (2 * h * smoothness * eta), given("h")),
        ],
        slack=(1 - h) ** 2 * last / (2 * h),
        reason="the values telescope; what the last gradient pays is worth more than a step",
    )


@of_formulas()
def refined_bound(right_side: Formula = REFINED) -> Proof:
    """C2b: the sharp bound with Z² and σ² multiplied by 1 - 1/T, for 0 < h < 2; at h = 1 it is attained at every T.

    The bias has a mean square of at most Z² at every step: for a mean over the steps alone it is false.

    Examples
    --------
    >>> refined_bound().axioms
    ('Cauchy-Schwarz', 'descent lemma')
    """
    bound = solved(sharp_target(right_side), _before_the_last(), sqrt(1 - 1 / horizon) * Z)
    return Proof((bound, last_step_attained(right_side**2)))


def last_step_attained(square_of_a: Formula) -> Theorem:
    """On ``f = Λ‖x‖²/2`` with η = 1/Λ: a run whose A² is what is asserted at h = 1, for every T.

    >>> print(last_step_attained(REFINED**2).conclusion.text())
    Σ_{t < T} E[‖∇f(x_t)‖²]/T = 2·Δ·Λ/T + Z²·(1 - 1/T) + σ²·(1 - 1/T)
    """
    slope = given(SLOPE, x, why="f = Λ‖x‖²/2")
    norms = sum_over(expectation(squared(slope)), t, horizon, reason="take expectations, sum over the steps")
    later = sum_over(newton_value(), t, horizon - 1, reason="sum over the steps but the last")
    start = given(Equal(Mean(Value("f", first)), gap), why="E f(x_0) = Δ, above the infimum 0")
    height = given(HEIGHT, first, why="f = Λ‖x‖²/2")
    there = square_of_a.subs(h, 1).subs(eta, 1 / smoothness)
    return combine(
        Equal(mean_over_steps(square(g)), there),
        [
            (1 / horizon, norms),
            (smoothness**2 / horizon, last_term(horizon * mean_over_steps(square(x)), reason="the last apart")),
            (1 / horizon, later),
            (2 * smoothness / horizon, start),
            (-2 * smoothness / horizon, expectation(height, reason="take expectations")),
        ],
        reason="with h = 1 the bound is attained: the first gradient, and all others of mean square Z² + σ²",
    )


relative_bias: Formula = Symbol("m", nonnegative=True)

RELATIVE_BIAS: Formula = relative_bias * average**2 + Z**2
"""B² = mA² + Z²."""

RELATIVE: Formula = quadratic(average, sqrt(RELATIVE_BIAS), Abs(1 - h))
"""The left side of the inequality for A with a relative bias."""

RELATIVE_LIMIT: Formula = 2 / (1 + sqrt(relative_bias))
"""The h from which on it bounds nothing."""

BIAS_OF_A_STEP = ForAll(t, AtMost(Mean(square(b)), relative_bias * Mean(square(g)) + Z**2))

RELATIVE_ASSUMPTIONS = assumptions(
    "smooth", "bounded", "start", "update", "centred", "noise", "average", "h", BIAS_OF_A_STEP.text()
)
"""What it assumes, as text."""


def relative_target(left_side: Formula = RELATIVE) -> AtMost:
    """The left side ``≤ Δ/(ηT) + hσ²/2``.

    >>> print(relative_target().text())
    A²·(1 - h/2) - A·√(A²·m + Z²)·|h - 1| - h·(A²·m + Z²)/2 ≤ Δ/(T·η) + h·σ²/2
    """
    return AtMost(left_side, gap / (eta * horizon) + h * sigma**2 / 2)


def relative_inequality(left_side: Formula = RELATIVE) -> Theorem:
    """The inequality for A with a relative bias.

    >>> relative_inequality().axioms()
    ('Cauchy-Schwarz', 'descent lemma')
    """
    cross, biases = mean_over_steps(Inner(g, b)), mean_over_steps(square(b))
    of_a_step = given(BIAS_OF_A_STEP, t)
    size = combine(
        AtMost(biases, RELATIVE_BIAS),
        [
            (1 / horizon, sum_over(of_a_step, t, horizon, reason="sum over the steps")),
            (-relative_bias, given("average")),
        ],
        reason="divide by T, with the definition of A",
    )
    product = combine(
        AtMost(cross**2, average**2 * RELATIVE_BIAS),
        [(1, cauchy_schwarz()), (-biases, given("average")), (average**2, size)],
        reason="with the definition of A and the bound of the bias",
    )
    away = Abs(1 - h)
    return combine(
        relative_target(left_side),
        [
            (1, averaged()),
            (away, root(product, cross, reason="take roots")),
            (1, absolute((h - 1) * cross, reason="a number is at most its absolute value")),
            (h / 2, size),
        ],
        reason="bound the cross term by |1-h| A B, and the mean square of the bias by B²",
    )


@of_formulas()
def relative_bound(left_side: Formula = RELATIVE, limit: Formula = RELATIVE_LIMIT) -> Proof:
    """C2c: ``(1-h/2)A² - |1-h|AB - (h/2)B² ≤ Δ/(ηT) + hσ²/2``, B² = mA² + Z², if E‖b_t‖² ≤ mE‖∇f(x_t)‖² + Z².

    Runs of any length attain the floor that solves it, and at h = 2/(1+√m) a run keeps any gradient norm it starts
    with. ``left_side`` is a function of A, and ``limit`` this h.

    Examples
    --------
    >>> relative_bound().axioms
    ('Cauchy-Schwarz', 'descent lemma')
    """
    bound = relative_inequality(left_side)
    mean_square = sqrt(asserted_bias(floor))
    theorems = [bound]
    for side in (1, -1):
        equation = given(
            Equal(left_side.subs(Abs(1 - h), side * (1 - h)).subs(average, floor), h * sigma**2 / 2),
            why="F solves the inequality with equality, for T → ∞",
        )
        theorems += stationary(side, mean_square, equation)
    step = given(Equal(h, limit), why="the end of the domain")
    return Proof((*theorems, unmoved(sqrt(relative_bias), step)))


def asserted_bias(value: Term) -> Term:
    """``m A² + Z²``."""
    return RELATIVE_BIAS.subs(average, value)
