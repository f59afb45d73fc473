"""C1 and C2: the average squared gradient of constant-step SGD with biased gradients, from the descent lemma."""

from __future__ import annotations

from functools import cache

from sympy import Abs

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.descent import CLASSICAL, SHARP, Z, eta, gap, h, horizon, sigma
from rdml_theory.symbolic.sgd.extremal import floor, quadratic, stationary
from rdml_theory.symbolic.sgd.setting import *

__all__ = [
    "attained", "classical_bound", "classical_target", "completed_square", "quadratic_inequality", "settles",
    "sharp_bound", "sharp_bound_of_a_run", "sharp_target", "solved",
]  # fmt: skip

_CROSS = mean_over_steps(Inner(g, b))


def classical_target(right_side: Term = CLASSICAL) -> AtMost:
    """``A² ≤`` the right side."""
    return AtMost(average**2, right_side)


@of_formulas()
def classical_bound(right_side: Formula = CLASSICAL, *, greatest_step: Formula = 1) -> Proof:
    """C1: ``A² ≤ 2Δ/(ηT) + hσ² + Z²`` for h ≤ 1.

    After Ajalloeian & Stich 2020, arXiv 2008.00051; the constants are derived here.

    Examples
    --------
    >>> classical_bound().axioms
    ('descent lemma',)
    >>> classical_bound(greatest_step=1.5)
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: 0 ≤ 1 - h is not this combination: ...
    """
    both = expectation(nonnegative(square(g + b), reason="a squared norm"), reason="take expectations")
    squares = combine(
        AtMost(0, average**2 + 2 * _CROSS + mean_over_steps(square(b))),
        [
            (1 / horizon, sum_over(both, t, horizon, reason="sum over the steps")),
            (-1, given("average")),
        ],
        reason="divide by T, with the definition of A",
    )
    room = combine(
        AtMost(0, 1 - h),
        [(1, given(AtMost(h, greatest_step)))],
        reason="so h ≤ 1",
    )
    bound = combine(
        classical_target(right_side),
        [(2, averaged()), (1 - h, squares), (-1, given("bias"))],
        known=[room],
        reason="(1-h) times the average of ‖∇f + b‖², which is not negative, takes the cross term away",
    )
    return Proof((bound,))


def sharp_target(right_side: Term = SHARP) -> AtMost:
    """``A ≤`` the right side."""
    return AtMost(average, right_side)


def quadratic_inequality(fall: Theorem | None = None, step: Theorem | None = None) -> Theorem:
    """``(1-h/2)A² - |1-h|AZ - (h/2)Z² ≤ Δ/(ηT) + hσ²/2``, by the fall of f and the step given to ``averaged``."""
    away = Abs(1 - h)
    return combine(
        AtMost(quadratic(average, Z, away), gap / (eta * horizon) + h * sigma**2 / 2),
        [
            (1, averaged(fall, step)),
            (-h / 2, given("bias")),
            (away, cross_term()),
            (1, absolute((h - 1) * _CROSS, reason="a number is at most its absolute value")),
        ],
        reason="bound the cross term by |1-h| A Z",
    )


def completed_square(inequality: Theorem, size: Term) -> tuple[Term, Theorem]:
    """The base of a square, and ``base² ≤ B² + (2-h)·2R``, from ``(1-h/2)A² - |1-h|AB - (h/2)B² ≤ R``."""
    _, excess = inequality.conclusion.terms()
    base = (2 - h) * average - Abs(1 - h) * size
    completed = combine(
        AtMost(base**2, size**2 + 2 * (2 - h) * excess),
        [(2 * (2 - h), inequality)],
        known=[given("h < 2")],
        reason="complete the square: (1-h)² + h(2-h) = 1",
    )
    return base, completed


def solved(target: AtMost, inequality: Theorem, size: Term) -> Theorem:
    """A bound of A that the larger root of the quadratic inequality gives."""
    base, completed = completed_square(inequality, size)
    return combine(
        target,
        [
            (1 / (2 - h), root(completed, base, reason="take roots")),
            (1 / (2 - h), absolute(base, reason="a number is at most its absolute value")),
        ],
        reason="divide by 2-h",
    )


@of_formulas()
def sharp_bound(right_side: Formula = SHARP) -> Proof:
    """C2: ``A ≤ [ |1-h| Z + √( Z² + (2-h)(2Δ/(ηT) + hσ²) ) ] / (2-h)`` for 0 < h < 2, and its floor is attained.

    This toolkit's own. It implies the classical bound for h ≤ 1 and reaches 1 < h < 2.

    Examples
    --------
    >>> proof = sharp_bound()
    >>> proof.verify(), proof.axioms
    (True, ('Cauchy-Schwarz', 'descent lemma'))
    """
    bound = solved(sharp_target(right_side), quadratic_inequality(), Z)
    limit = right_side.subs(gap, 0)
    return Proof((bound, *attained(1, limit), *attained(-1, limit)))


@cache
def sharp_bound_of_a_run() -> Theorem:
    """C2 for an f that need not be smooth anywhere but where the run steps, nor bounded: it falls by at most Δ.

    >>> sharp_bound_of_a_run().axioms()  # the descent lemma, which needs a smooth f, is not among them
    ('Cauchy-Schwarz',)
    """
    along = given("descent", t)
    return solved(sharp_target(), quadratic_inequality(given("fall"), one_step(along)), Z)


def attained(side: int, limit: Term) -> tuple[Theorem, Theorem]:
    """On ``f = Λ‖x‖²/2`` a run of any length has A = F, the bound's limit for T → ∞, with a bias of mean square Z².

    The bias points against the gradient for h ≤ 1 (``side`` 1) and along it for h ≥ 1 (``side`` -1); the noise is
    orthogonal to it. So no smaller limit bounds A.
    """
    return stationary(side, Z, settles(side, limit, h * sigma**2 / 2, "the limit of the bound for T → ∞"))


def settles(side: int, asserted: Term, excess: Term, what: str) -> Theorem:
    """``(1-h/2)F² - |1-h|FZ - (h/2)Z² = R`` for an F that is what is asserted, on one side of h = 1."""
    away, one = side * (1 - h), AtMost(h, 1) if side == 1 else AtMost(1, h)
    room = given("h < 2")
    sign = given(one)
    named = assume(Equal(floor, asserted), known=[room], reason=f"given: F is {what}")
    is_floor = rewrite(named, magnitude(away, known=[sign], reason="|1-h| is this"), reason="written out")
    value = is_floor.conclusion.terms()[1]
    return combine(
        Equal(quadratic(floor, Z, away), excess),
        [((1 - h / 2) * (floor + value) - away * Z, is_floor)],
        reason="F solves the quadratic equation",
    )
