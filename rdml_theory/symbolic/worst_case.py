"""The worst case as a semidefinite program: what smooth functions satisfy, and multipliers that prove the sharp bound.

Setting: that of :mod:`rdml_theory.symbolic.descent`. Vectors enter through coordinates: an identity of quadratic forms
in one coordinate holds for the sum over all of them.
"""

from __future__ import annotations

from sympy import Integer, Rational, Symbol, Tuple, sqrt, symbols

from rdml_theory.symbolic.derivation import Derivation, Premise, Step
from rdml_theory.symbolic.descent import SHARP, bias, eta, gap, h, horizon, noise
from rdml_theory.symbolic.notation import Formula, Named
from rdml_theory.symbolic.relations import at_least, at_most, equal

__all__ = ["COUPLING", "INFIMUM", "WORST", "consecutive_iterates", "sharp_multipliers", "smoothness"]

WORST = Named("W", "W")
"""The largest A² over all Λ-smooth f and all oracles."""

COUPLING, INFIMUM = Rational(1, 4), Rational(1, 2)
"""The coefficients of ‖g - g'‖²/Λ and of ‖g‖²/Λ in what smooth functions satisfy."""

smoothness: Formula = Symbol("Lambda", positive=True)

_g, _b, _x, _y, _u = symbols("g b x y u", real=True)
_next: Formula = Symbol("g_1", real=True)
_after: Formula = Symbol("x_1", real=True)
_ratio, _part = symbols("v p", positive=True)
_k: Formula = Symbol("k", nonnegative=True)  # |1-h|
_root: Formula = Symbol("A", positive=True)
_ZERO = Integer(0)


def sharp_multipliers(squared_bound: Formula | None = None) -> Derivation:
    """W ≤ SHARP², by multipliers of the semidefinite program whose dual slack is a square.

    The descent lemma at each step, with λ, and ‖b‖² ≤ Z², with τ, leave a square; their value at v = Z/A is A² exactly
    where A solves the sharp bound's quadratic.

    Parameters
    ----------
    squared_bound : Formula, optional
        The asserted bound of W. One below the sharp bound is disproved.

    >>> sharp_multipliers().verify(), sharp_multipliers(SHARP.subs(gap, gap / 2) ** 2).verify()
    (True, False)
    """
    asserted = SHARP**2 if squared_bound is None else squared_bound
    rho = _k + h * _ratio
    weight, tau = 2 / (1 - _k * rho), h * rho / (_ratio * (1 - _k * rho))

    def slack(sign: int) -> Formula:
        descent = h * _g * (_g + _b) - h**2 / 2 * (_g + _b) ** 2
        square = _k * h / (_ratio * (1 - _k * rho)) * (_ratio * _g + sign * _b) ** 2
        return weight * descent - _g**2 + tau * _b**2 - square

    def quadratic(value: Formula, away: Formula) -> Formula:
        return (1 - h / 2) * value**2 - away * value * bias - h / 2 * bias**2 - gap / (eta * horizon) - h * noise**2 / 2

    proved = weight * (h * gap / (eta * horizon) + h**2 * noise**2 / 2) + tau * bias**2
    at = {_ratio: bias / _root}
    below, above = equal(h, 1 - _part / (1 + _part)), equal(h, 1 + _part / (1 + _part))
    steps = (
        Step(
            "for h ≤ 1 (k = 1-h) the multipliers λ = 2/(1-kρ) and τ = hρ/(v(1-kρ)), ρ = k + hv, leave a square",
            equal(slack(1), _ZERO),
            (equal(_k, 1 - h),),
        ),
        Step("for h ≥ 1 (k = h-1) too", equal(slack(-1), _ZERO), (equal(_k, h - 1),)),
        Step(
            "what they prove, at v = Z/A, is A² up to the sharp bound's quadratic in A, for h ≤ 1",
            equal(
                ((_root**2 - proved) * (1 - _k * rho)).subs(at), 2 * h * quadratic(_root, _k)
            ),
            (equal(_k, 1 - h),),
        ),
        Step(
            "and for h ≥ 1",
            equal(((_root**2 - proved) * (1 - _k * rho)).subs(at), 2 * h * quadratic(_root, _k)),
            (equal(_k, h - 1),),
        ),
        Step(
            "at the asserted bound the quadratic is not negative, for h ≤ 1",
            at_least(quadratic(sqrt(asserted), _k), _ZERO),
            (equal(_k, 1 - h), below),
        ),
        Step(
            "nor is it for h ≥ 1",
            at_least(quadratic(sqrt(asserted), _k), _ZERO),
            (equal(_k, h - 1), above),
        ),
    )  # fmt: skip
    return Derivation(at_most(WORST, asserted), steps)


def consecutive_iterates(coupling: Formula = COUPLING, infimum: Formula = INFIMUM) -> Derivation:
    """What a Λ-smooth f satisfies between two points, and at one: all that a chain of steps uses.

    ``f(x) - f(x') ≥ <g + g', x - x'>/2 + ‖g - g'‖²/(4Λ) - Λ‖x - x'‖²/4`` and ``f(x) - inf f ≥ ‖g‖²/(2Λ)``.

    Parameters
    ----------
    coupling, infimum : Formula
        The asserted coefficients, a quarter and a half.

    >>> consecutive_iterates().verify(), consecutive_iterates(coupling=Rational(1, 2)).verify()
    (True, False)
    """
    lam = smoothness
    first, second, middle = symbols("f f_1 f_y", real=True)
    least = Named("inf f", r"\inf f")
    upper = at_most(middle, first + _g * (_y - _x) + lam / 2 * (_y - _x) ** 2)
    lower = at_least(middle, second + _next * (_y - _after) - lam / 2 * (_y - _after) ** 2)
    bounded = at_least(middle, least)
    between = at_least(
        first - second,
        (_g + _next) * (_x - _after) / 2 + coupling * (_g - _next) ** 2 / lam - lam / 4 * (_x - _after) ** 2,
    )
    above = at_least(first - least, infimum * _g**2 / lam)
    where = equal(_y, (_x + _after) / 2 + (_next - _g) / (2 * lam))
    steps = (
        Step(
            "smoothness from above at x and from below at x', at the point y where both are tightest",
            between, (where,), (Premise(upper), Premise(lower)),
        ),
        Step(
            "smoothness from above at x, a gradient step away",
            above, (equal(_y, _x - _g / lam),), (Premise(upper), Premise(bounded)),
        ),
    )  # fmt: skip
    return Derivation(Tuple(between, above), steps, hypotheses=(upper, lower, bounded))
