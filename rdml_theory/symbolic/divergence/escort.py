"""The divergence seen from the escort: D_α(p‖q) = D_{1/α}(w‖q), and what it says of the gradient q - w.

At a fixed student q the escort w determines the peer, p ∝ w^(1/α) q^(1-1/α). The divergence from the peer is one from
the escort at the reciprocal order, so every bound of a divergence by a distance bounds the gradient.
"""

from __future__ import annotations

from typing import Any

from sympy import Integer, Interval, Limit, Pow, Rational, Sum, Symbol, log, oo

from rdml_theory.symbolic.certificates import calculus, certified, smt
from rdml_theory.symbolic.divergence.names import GRADIENT_NORM, LEAST_PROBABILITY
from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.notation import ESCORT, STUDENT, TEACHER, C, Formula, alpha, i, k, p, q, w
from rdml_theory.symbolic.relations import at_least, at_most, equal

__all__ = [
    "DOMINATED", "DUAL", "escort_duality", "gradient_domination",
]  # fmt: skip

DUAL: Formula = divergence.func(w[i], q[i], 1 / alpha, (i, 1, C))
"""D_{1/α}(w‖q)."""

DOMINATED: Formula = LEAST_PROBABILITY * divergence
"""ω D_α(p‖q), ω = min q."""

_r: Formula = Symbol("r", positive=True)


def _sum(summand: Formula) -> Formula:
    return Sum(summand, (i, 1, C))


_total = _sum(p[i] ** alpha * q[i] ** (1 - alpha))


def _with(value: Formula, expression: Formula) -> Formula:
    """An expression of the divergence with a symbol for it, whose sign is declared."""
    return expression.xreplace({divergence: value})


def _dual_sum(first: Formula, order: Formula) -> Formula:
    """Σ_i first^order q^(1-order)."""
    return _sum(first[i] ** order * q[i] ** (1 - order))


def _escort_of_the_escort(words: str) -> Step:
    """Σ w^(1/α) q^(1-1/α) = (Σ p^α q^(1-α))^(-1/α): all that the duality needs."""
    return Step(words, equal(_dual_sum(w, 1 / alpha), _sum(p[i]) * Pow(_total, -1 / alpha)), (ESCORT,))


def escort_duality(right_side: Formula | None = None) -> Derivation:
    """D_α(p‖q) = D_{1/α}(w‖q), w the escort of p and q of order α, for α ≠ 1.

    This toolkit's own.

    Parameters
    ----------
    right_side : Formula, optional
        What the divergence is asserted to be.

    Examples
    --------
    >>> escort_duality().verify(), escort_duality(DUAL.subs(q[i], p[i])).verify()
    (True, False)
    """
    right = DUAL if right_side is None else right_side
    inverse = 1 / alpha
    definition = log(_total) / (alpha - 1)
    scaled = log(Pow(_total, -inverse)) / (inverse - 1)
    dual = log(_dual_sum(w, inverse)) / (inverse - 1)
    normal = (ESCORT, STUDENT, TEACHER)
    steps = (
        Step("the definition of the divergence", equal(divergence, definition), normal),
        Step("1/(α-1) = -(1/α)/(1/α-1)", equal(definition, scaled), normal),
        Step(
            "the powers of the escort: w^(1/α) q^(1-1/α) is p times a constant, and p sums to one",
            equal(scaled, dual),
            normal,
        ),
        Step("the definition again, at the reciprocal order", equal(dual, right), normal),
    )
    return Derivation(equal(divergence, right), steps, {"w": ESCORT}, chained=True)


_gamma: Formula = Symbol("gamma", real=True)


def _tangent(words: str, powers: Any, *, concave: bool) -> Step:
    """r^γ against its tangent at 1."""
    tangent = 1 + _gamma * (_r - 1)
    relation = at_most(_r**_gamma, tangent) if concave else at_least(_r**_gamma, tangent)
    return certified(words, relation, calculus, {_gamma: powers}, along=_r, at=1)


def _mean_of_powers(reason: str, first: Formula, base: Formula) -> tuple[Step, Step]:
    """For r_i = base_i over its mean: that mean is one, and the mean of r^γ as a sum over that of base.

    The weights are ``first[i]`` over their sum, which is one for a distribution.
    """
    weights, total = first[i] / _sum(first[i]), _sum(first[i] * base)
    ratio = base * _sum(first[i]) / total
    return (
        Step(f"{reason}: the mean of the tangents is 1", equal(_sum(weights * (1 + _gamma * (ratio - 1))), Integer(1))),
        Step(
            "and that of the powers",
            equal(
                _sum(weights * ratio**_gamma),
                _sum(first[i] * base**_gamma) * _sum(first[i]) ** (_gamma - 1) / total**_gamma,
            ),
        ),
    )


def gradient_domination(left_side: Formula | None = None, *, least_order: Formula | None = None) -> Derivation:
    """ω D_α(p‖q) ≤ ‖q - w‖₂² with ω = min q, for orders from 1/2: where the gradient vanishes there is consensus.

    This toolkit's own: a Polyak-Łojasiewicz inequality of the divergence in the student's logits.

    Parameters
    ----------
    left_side : Formula, optional
        What is asserted not to exceed ‖q - w‖₂², a function of ``LEAST_PROBABILITY``, ``alpha`` and the divergence.
    least_order : Formula, optional
        The least order for which it is asserted; below 1/2 it is false.

    Examples
    --------
    >>> gradient_domination().verify(), gradient_domination(2 * DOMINATED).verify()
    (True, False)
    """
    asserted = DOMINATED if left_side is None else left_side
    least = Rational(1, 2) if least_order is None else least_order
    x: Formula = Symbol("x", real=True)
    y: Formula = Symbol("y", positive=True)
    value: Formula = Symbol("D", nonnegative=True)
    step: Formula = Symbol("h", positive=True)
    order: Formula = Symbol("lambda", positive=True)
    mixed = _dual_sum(w, order)
    ratio = (q[i] / w[i]) ** (1 - order) * _sum(w[i]) / mixed
    square = _sum((w[i] - q[i]) ** 2 / q[i])
    steps = (
        _escort_of_the_escort("with λ = 1/α the divergence D_α(p‖q) is D_λ(w‖q) (D14)"),
        certified(
            f"for orders from {least} λ is at most 2", at_most(1 / alpha, 2), smt, {alpha: Interval(least, oo)}
        ),
        certified("log r lies below its tangent at 1", at_most(log(_r), _r - 1), calculus, along=_r, at=1),
        Step(
            "λ ≤ 1: r_i = (q_i/w_i)^(1-λ) over its mean under w, so the mean of log r is at most 0: D_λ ≤ KL(w‖q)",
            equal(_sum(w[i] / _sum(w[i]) * (ratio - 1)), Integer(0)),
        ),
        Step(
            "and KL(w‖q) ≤ Σ w (w/q - 1), again by that tangent; as w and q sum to one, this is χ² = Σ (w-q)²/q",
            equal(_sum(w[i] * (w[i] / q[i] - 1)), square + _sum(w[i]) - _sum(q[i])),
        ),
        _tangent("1 < λ ≤ 2: r^γ lies below its tangent at 1, γ = λ-1", Interval(0, 1), concave=True),
        *_mean_of_powers("r_i = w_i/q_i over its mean 1 + χ² under w", w, w[i] / q[i]),
        Step(
            "so Σ w^λ q^(1-λ) ≤ (1+χ²)^(λ-1) and D_λ ≤ log(1+χ²) ≤ χ²",
            equal(w[k] * (w[k] / q[k]) ** _gamma, w[k] ** (1 + _gamma) * q[k] ** (-_gamma)),
        ),
        certified(
            "with x = w_i - q_i and y = q_i ≥ ω each term of ω χ² is at most",
            at_most(LEAST_PROBABILITY * x**2 / y, x**2), smt, conditions=(at_most(LEAST_PROBABILITY, y),),
        ),
        Step(
            "so ω D_α ≤ ‖q-w‖₂², and what is asserted is not more",
            at_most(_with(value, asserted), _with(value, DOMINATED)),
        ),
        Step(
            "the constant is attained at order 1/2 and consensus: q = (1/2, 1/2), w = (1/2+h, 1/2-h), D_2(w‖q) = "
            "log(1+4h²)",
            equal(Limit(log(1 + 4 * step**2) / 2 / (2 * step**2), step, 0), Integer(1)),
        ),
    )  # fmt: skip
    return Derivation(at_most(asserted, GRADIENT_NORM**2), steps)
