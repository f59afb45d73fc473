"""The sharp constant of the self-bounding gradient for orders up to one half."""

from __future__ import annotations

from typing import Any

from sympy import Integer, Interval, Pow, Rational, Sum, Symbol, log, oo, symbols
from sympy.core.relational import Relational

from rdml_theory.symbolic.certificates import Certificate, balls, by_cases, calculus, certified, smt
from rdml_theory.symbolic.divergence.names import GRADIENT_NORM
from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.notation import ESCORT, C, Formula, alpha, i, p, q, w
from rdml_theory.symbolic.relations import at_least, at_most, equal

__all__ = ["SHARP_CONSTANT", "sharp_self_bounding"]

SHARP_CONSTANT: Formula = Rational(4073, 5000)
"""0.8146, from above the greatest value 0.81453… of 2V²/(-log(1-V))."""

_V: Formula = Symbol("V", nonnegative=True)


def _sum(summand: Formula) -> Formula:
    return Sum(summand, (i, 1, C))


def _up_to_one(relation: Relational, *, reason: str, **options: Any) -> Certificate:
    """On [1/2, 15/16] by balls, on [15/16, 1) by calculus: at 1 the logarithm has no bound."""
    near_half: Any = {_V: Interval(Rational(1, 2), Rational(15, 16))}
    near_one: Any = {_V: Interval.Ropen(Rational(15, 16), 1)}
    near = balls(relation, near_half, reason=reason)
    far = calculus(relation, near_one, reason=reason)
    return by_cases(_V, [near, far], reason=reason)


def sharp_self_bounding(constant: Formula | None = None, *, greatest_order: Formula | None = None) -> Derivation:
    """‖q - w‖₂² ≤ 0.8146 D_α(p‖q) for orders up to 1/2; no constant below 0.8145 will do.

    This toolkit's own. With λ = 1/α ≥ 2 the divergence D_α(p‖q) = D_λ(w‖q) is at least that of order two, log(1+χ²).

    Parameters
    ----------
    constant : Formula, optional
        The asserted constant.
    greatest_order : Formula, optional
        The greatest order for which it is asserted.

    Examples
    --------
    >>> sharp_self_bounding().verify(), sharp_self_bounding(Rational(4, 5)).verify()
    (True, False)
    """
    factor = SHARP_CONSTANT if constant is None else constant
    greatest = Rational(1, 2) if greatest_order is None else greatest_order
    r: Formula = Symbol("r", positive=True)
    power: Formula = Symbol("gamma", positive=True)
    s: Formula = Symbol("s", positive=True)
    a, b, c, x = symbols("a b c x", real=True)
    y: Formula = Symbol("y", positive=True)
    total = _sum(p[i] ** alpha * q[i] ** (1 - alpha))
    ratio = w[i] * _sum(w[i]) / (q[i] * _sum(w[i] ** 2 / q[i]))
    steps = (
        Step(
            "with λ = 1/α the divergence D_α(p‖q) is D_λ(w‖q) (D14)",
            equal(_sum(w[i] ** (1 / alpha) * q[i] ** (1 - 1 / alpha)), _sum(p[i]) * Pow(total, -1 / alpha)),
            (ESCORT,),
        ),
        certified(
            f"for orders up to {greatest} λ is at least 2",
            at_least(1 / alpha, 2),
            smt,
            {alpha: Interval.Lopen(0, greatest)},
        ),
        certified(
            "r^γ lies above its tangent at 1, γ = λ-1 ≥ 1",
            at_least(r**power, 1 + power * (r - 1)),
            calculus,
            {power: Interval(1, oo)},
            along=r,
            at=1,
        ),
        Step(
            "r_i = w_i/q_i over its mean 1+χ² under w, χ² = Σ (w-q)²/q: the mean of the tangents is 1, so "
            "Σ w^λ q^(1-λ) ≥ (1+χ²)^(λ-1) and D_λ ≥ log(1+χ²)",
            equal(_sum(w[i] / _sum(w[i]) * (1 + power * (ratio - 1))), Integer(1)),
        ),
        certified(
            "one class of χ², x = w_i - q_i and y = q_i; summed over a set of q-mass s at c = a/s, a its sum of w - q, "
            "the right side is a²/s",
            at_least(x**2 / y, 2 * c * x - c**2 * y),
            smt,
        ),
        certified(
            "so χ² ≥ a²/s + b²/(1-s), b the sum over the rest; on the set {w ≥ q} a = V = TV(q, w) and b = -V, so "
            "χ² ≥ V²/(s(1-s))",
            at_least(a**2 / s + b**2 / (1 - s), a**2 / (s * (1 - s))),
            smt,
            {s: Interval.open(0, 1)},
            (equal(b, -a),),
        ),
        certified("which is at least 4V²", at_least(_V**2 / (s * (1 - s)), 4 * _V**2), smt, {s: Interval.open(0, 1)}),
        certified(
            "and, as s + V ≤ 1, for V ≥ 1/2 at least V/(1-V): then log(1+χ²) ≥ -log(1-V)",
            at_least(_V**2 / (s * (1 - s)), _V / (1 - _V)),
            smt,
            {s: Interval.open(0, 1), _V: Interval.Ropen(Rational(1, 2), 1)},
            (at_most(s + _V, Integer(1)),),
        ),
        certified(
            "‖q-w‖₂² ≤ 2V² (D8): for V ≤ 1/2",
            at_most(2 * _V**2, factor * log(1 + 4 * _V**2)),
            balls,
            {_V: Interval(0, Rational(1, 2))},
            touching=(_V, 0, 2),
        ),
        certified("and for V ≥ 1/2", at_most(2 * _V**2, -factor * log(1 - _V)), _up_to_one),
    )
    return Derivation(at_most(GRADIENT_NORM**2, factor * divergence), steps, {"w": ESCORT})
