"""The worst case as a semidefinite program: what smooth functions satisfy, and multipliers that prove the sharp bound.

Setting: that of :mod:`~rdml_theory.symbolic.sgd.descent`. Vectors enter through coordinates: an identity of quadratic
forms in one coordinate holds for the sum over all of them.
"""

from __future__ import annotations

from sympy import Integer, Rational, Symbol, Tuple, sqrt, symbols

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.engine.derivation import Derivation, Premise, Step
from rdml_theory.symbolic.notation import Formula, Named
from rdml_theory.symbolic.relations import at_least, at_most, equal
from rdml_theory.symbolic.sgd.descent import AVERAGE, SHARP, bias, eta, gap, h, horizon, noise

__all__ = [
    "COUPLING", "DESCENT", "DROP", "INFIMUM", "WORST", "consecutive_iterates", "every_horizon", "sharp_multipliers",
    "smoothness",
]  # fmt: skip

WORST = Named("W", "W")
"""The largest A² over all Λ-smooth f and all oracles."""

COUPLING, INFIMUM = Rational(1, 4), Rational(1, 2)
"""The coefficients of ‖g - g'‖²/Λ and of ‖g‖²/Λ in what smooth functions satisfy."""

smoothness: Formula = Symbol("Lambda", positive=True)

DROP = Named("(f(x_0) - E f(x_T))", r"\left(f(x_0) - \mathrm{E} f(x_T)\right)")
"""By how much f has fallen after T steps."""

DESCENT: Formula = SHARP.subs(gap, DROP)
"""The sharp bound of A with what f has fallen in place of Δ."""

_g, _b, _x, _y, _u = symbols("g b x y u", real=True)
_next: Formula = Symbol("g_1", real=True)
_after: Formula = Symbol("x_1", real=True)
_ratio, _part = symbols("v p", positive=True)
_k: Formula = Symbol("k", nonnegative=True)  # |1-h|
_root: Formula = Symbol("A", positive=True)
_ZERO = Integer(0)


@of_formulas()
def sharp_multipliers(squared_bound: Formula | None = None) -> Derivation:
    """W ≤ SHARP², by multipliers of the semidefinite program whose dual slack is a square.

    The descent lemma at each step, with λ, and ‖b‖² ≤ Z², with τ, leave a square; their value at v = Z/A is A² exactly
    where A solves the sharp bound's quadratic.

    Parameters
    ----------
    squared_bound : Formula, optional
        The asserted bound of W. One below the sharp bound is disproved.

    Examples
    --------
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


@of_formulas()
def consecutive_iterates(coupling: Formula = COUPLING, infimum: Formula = INFIMUM) -> Derivation:
    """What a Λ-smooth f satisfies between two points, and at one: all that a chain of steps uses.

    ``f(x) - f(x') ≥ <g + g', x - x'>/2 + ‖g - g'‖²/(4Λ) - Λ‖x - x'‖²/4`` and ``f(x) - inf f ≥ ‖g‖²/(2Λ)``.

    Parameters
    ----------
    coupling, infimum : Formula
        The asserted coefficients, a quarter and a half.

    Examples
    --------
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


@of_formulas()
def every_horizon(right_side: Formula | None = None) -> Derivation:
    """A ≤ DESCENT for every Λ-smooth f, with equality at every T, h, σ and Z/A on a quadratic.

    On Λ‖x‖²/2 a bias b = ∓k∇f (against the gradient for h ≤ 1, along it for h ≥ 1) and noise orthogonal to the gradient
    make ``‖∇f‖² ← (|1-h| + hk)²‖∇f‖² + h²σ²``, so that A² solves the sharp bound's quadratic at Z = kA.

    Parameters
    ----------
    right_side : Formula, optional
        The asserted bound of A.

    Examples
    --------
    >>> every_horizon().verify(), every_horizon(DESCENT.subs(noise, 0)).verify()
    (True, False)
    """
    asserted = DESCENT if right_side is None else right_side
    share: Formula = Symbol("kappa", nonnegative=True)
    side: Formula = Symbol("s", real=True)
    below, above = equal(h, 1 - _part / (1 + _part)), equal(h, 1 + _part / (1 + _part))

    def quadratic(value: Formula, size: Formula) -> Formula:
        return (1 - h / 2) * value**2 - _k * value * size - h / 2 * size**2 - DROP / (eta * horizon) - h * noise**2 / 2

    lost = (1 - h / 2) * _g**2 + (1 - h) * _g * _b - h / 2 * _b**2
    # 2Λ(f(x_0) - f(x_T)) = ‖g_0‖² - ‖g_T‖², summed over T steps.
    balance = _root**2 * (1 - (_k + h * share) ** 2) - 2 * h * DROP / (eta * horizon) - h**2 * noise**2
    steps = (
        Step(
            "the descent lemma, summed without giving away f(x_T) - inf f, regrouped as for the sharp bound",
            equal(_g * (_g + _b) - h / 2 * (_g + _b) ** 2, lost),
        ),
        Step(
            "on the quadratic a step makes ‖g‖² this, for h ≤ 1 and a bias against the gradient",
            equal((_g - h * (_g - share * _g)) ** 2 + (h * side) ** 2, (_k + h * share) ** 2 * _g**2 + h**2 * side**2),
            (equal(_k, 1 - h),),
        ),
        Step(
            "and for h ≥ 1 and a bias along it",
            equal((_g - h * (_g + share * _g)) ** 2 + (h * side) ** 2, (_k + h * share) ** 2 * _g**2 + h**2 * side**2),
            (equal(_k, h - 1),),
        ),
        Step(
            "so A² solves the sharp bound's quadratic with equality, for h ≤ 1",
            equal(balance, 2 * h * quadratic(_root, share * _root)),
            (equal(_k, 1 - h),),
        ),
        Step("and for h ≥ 1", equal(balance, 2 * h * quadratic(_root, share * _root)), (equal(_k, h - 1),)),
        Step(
            "which the asserted bound solves, for h ≤ 1",
            equal(quadratic(asserted, bias), _ZERO), (equal(_k, 1 - h), below),
        ),
        Step("and for h ≥ 1, too", equal(quadratic(asserted, bias), _ZERO), (equal(_k, h - 1), above)),
    )  # fmt: skip
    return Derivation(at_most(AVERAGE, asserted), steps)
