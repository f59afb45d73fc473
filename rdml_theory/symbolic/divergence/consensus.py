"""Near consensus: the divergence is α/2 times a variance, with the next term and a bound of what remains.

Two readings. Along p_k ∝ q_k exp(ε s_k) the expansion in ε is taken, order by order. For any p, with t = log p/q, the
cumulant generating function K(x) = log Σ q exp(x t) is (α-1) D at x = α and vanishes at 0 and 1, so that D is α/2
times its second derivative, the variance of t under an escort distribution, at some order between.
"""

from __future__ import annotations

from typing import NamedTuple

from sympy import Derivative, IndexedBase, Integer, Limit, Max, Rational, Sum, Symbol, Tuple, exp, log

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.engine.derivation import Derivation, Premise, Step
from rdml_theory.symbolic.expression import RenyiDivergence
from rdml_theory.symbolic.notation import (
    STANDARD,
    STUDENT,
    TEACHER,
    C,
    Formula,
    Named,
    alpha,
    i,
    j,
    k,
    p,
    q,
    w,
)  # fmt: skip
from rdml_theory.symbolic.relations import at_most, equal

__all__ = ["CONSENSUS", "RANGE", "Expansion", "consensus_expansion", "direction", "epsilon"]

epsilon: Formula = Symbol("epsilon", real=True)
"""The distance ε from consensus."""

direction: Formula = IndexedBase("s", real=True)
"""The direction s in which the log-ratio moves."""

RANGE: Formula = Symbol("rho", nonnegative=True)
"""ρ = max t - min t."""

_r: Formula = IndexedBase("r", positive=True)
_TILTED = equal(
    _r[k], q[k] * exp(epsilon * direction[k]) / Sum(q[j] * exp(epsilon * direction[j]), (j, 1, C))
)  # fmt: skip
_divergence = RenyiDivergence(_r[i], q[i], alpha, (i, 1, C))


def _raw(weights: Formula, x: Formula, n: int) -> Formula:
    return Sum(weights[i] * x**n, (i, 1, C))


def _moments(weights: Formula, x: Formula) -> tuple[Formula, Formula]:
    """The variance and the third central moment of x_i under weights that sum to one."""
    first, second, third = (_raw(weights, x, n) for n in (1, 2, 3))
    return second - first**2, third - 3 * first * second + 2 * first**3


_variance, _third = _moments(q, direction[i])


class Expansion(NamedTuple):
    """Right sides: the coefficients of ε² and of ε³, and the bound of what the variance of t leaves of D."""

    second: Formula
    third: Formula
    remainder: Formula


CONSENSUS = Expansion(
    second=alpha / 2 * _variance,
    third=alpha * (alpha + 1) / 6 * _third,
    remainder=alpha * Max(1, alpha) * RANGE**3 / 8,
)
"""The right sides that hold."""

_REMAINDER = Named("|D_α(p‖q) - α/2 Var_q(t)|", r"\lvert D_{\alpha}(p \Vert q) - \tfrac{\alpha}{2} Var_q(t) \rvert")
_AT = Named("ξ", r"\xi")
_SKEW = Named("|κ₃|", r"\lvert \kappa_3 \rvert")
_SPREAD = Named("Var", r"Var")


@of_formulas(Expansion, 3)
def consensus_expansion(right_sides: Expansion | None = None) -> Derivation:
    """``D_α = (α/2) Var_q(t) + O(|t|³)``: its terms of second and third order, and an explicit remainder.

    For ``r_k ∝ q_k exp(ε s_k)``: ``D_α(r‖q)/ε² → (α/2) Var_q(s)``, and what is left, divided by ε³, tends to
    ``α(α+1)/6`` times the third central moment of s. For all p and q with t = log p/q of range ρ:
    ``|D_α(p‖q) - (α/2) Var_q(t)| ≤ α max(1, α) ρ³/8``. This toolkit's own.

    Parameters
    ----------
    right_sides : Expansion, optional
        What is asserted; a false one is disproved.

    Notes
    -----
    Rolle's theorem and the mean value theorem (for ξ and the order at which κ₃ is taken) and Popoviciu's inequality
    for the variance are hypotheses of the derivation.

    >>> wrong = CONSENSUS._replace(second=CONSENSUS.second / alpha)
    >>> consensus_expansion().verify(), consensus_expansion(wrong).verify()
    (True, False)
    """
    stated = CONSENSUS if right_sides is None else right_sides
    along = (_TILTED, STUDENT)
    second = Step(
        "l'Hôpital twice, at consensus",
        equal(Limit(_divergence / epsilon**2, epsilon, 0, "+-"), stated.second),
        along,
    )
    rest = (_divergence - CONSENSUS.second * epsilon**2) / epsilon**3
    third = Step("l'Hôpital three times, for what is left", equal(Limit(rest, epsilon, 0, "+-"), stated.third), along)

    ratio = log(p[i] / q[i])
    generating = log(Sum(p[i] ** alpha * q[i] ** (1 - alpha), (i, 1, C)))
    variance, skew = _moments(w, ratio)
    mean = Sum(w[j] * log(p[j] / q[j]), (j, 1, C))
    above, below = at_most(ratio - mean, RANGE), at_most(mean - ratio, RANGE)
    weight = w[i] * (ratio - mean) ** 2
    between = equal(_REMAINDER, alpha / 2 * _AT * _SKEW)
    within = at_most(_AT, Max(1, alpha))
    skewness = at_most(_SKEW, RANGE * _SPREAD)
    popoviciu = at_most(_SPREAD, RANGE**2 / 4)
    over = (i, 1, C)
    half = alpha / 2 * Max(1, alpha)
    bound = at_most(_REMAINDER, stated.remainder)
    steps = (
        second,
        third,
        Step(
            "K = log Σ p^α q^(1-α) vanishes at α = 0, as q sums to one",
            equal(generating.subs(alpha, 0), Rational(0)), (STUDENT,),
        ),
        Step(
            "and at α = 1, as p does: so K = (α-1) D is α(α-1)/2 times K'' at an order between",
            equal(generating.subs(alpha, 1), Rational(0)), (TEACHER,),
        ),
        Step("K'' is the variance of t under w", equal(Derivative(generating, (alpha, 2)), variance), STANDARD),
        Step("its derivative is the third central moment", equal(Derivative(generating, (alpha, 3)), skew), STANDARD),
        Step(
            "which is at most ρ times the variance, as t - mean ≤ ρ",
            at_most(skew, RANGE * variance), STANDARD, (Premise(above, weight, over=over),),
        ),
        Step(
            "and at least -ρ times the variance",
            at_most(-skew, RANGE * variance), STANDARD, (Premise(below, weight, over=over),),
        ),
        Step(
            "so the remainder, α/2 |K''(ξ) - K''(0)| = α/2 ξ |κ₃|, is bounded",
            bound,
            (),
            (
                Premise(between, Integer(-1)), Premise(within, alpha / 2 * _SKEW), Premise(skewness, half),
                Premise(popoviciu, half * RANGE),
            ),
        ),
    )  # fmt: skip
    return Derivation(
        Tuple(second.relation, third.relation, bound),
        steps,
        {"r": _TILTED, "q": STUDENT},
        hypotheses=(above, below, between, within, skewness, popoviciu),
    )
