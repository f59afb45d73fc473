"""Constant-step SGD with a biased gradient: the classical and the sharp bound, and what attains them.

Setting: f is Λ-smooth and bounded below, Δ = f(x_0) - inf f, g_t = ∇f(x_t) + b_t + n_t with E[n_t | x_t] = 0 and
E‖n_t‖² ≤ σ², x_{t+1} = x_t - η g_t, h = Λη. A² and Z² are the averages over t < T of E‖∇f(x_t)‖² and E‖b_t‖² (or an
upper bound ζ² of the latter).
"""

from __future__ import annotations

from sympy import Abs, Rational, Symbol, limit, oo, sqrt, symbols
from sympy.core.relational import Relational

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.derivation import Derivation, Step
from rdml_theory.symbolic.notation import Formula, Named
from rdml_theory.symbolic.relations import at_least, at_most, equal

__all__ = [
    "AVERAGE", "CLASSICAL", "SHARP", "bias", "classical_bound", "eta", "gap", "h", "horizon", "noise", "sharp_bound",
]  # fmt: skip

AVERAGE = Named("A", "A")
"""A = √( (1/T) Σ_t E‖∇f(x_t)‖² )."""

h, eta = symbols("h eta", positive=True)
gap: Formula = Symbol("Delta", nonnegative=True)
noise: Formula = Symbol("sigma", nonnegative=True)
bias: Formula = Symbol("Z", nonnegative=True)
horizon: Formula = Symbol("T", positive=True)

CLASSICAL: Formula = 2 * gap / (eta * horizon) + h * noise**2 + bias**2
"""The right side of A² ≤ 2Δ/(ηT) + hσ² + Z², for 0 < h ≤ 1."""

SHARP: Formula = (
    Abs(1 - h) * bias + sqrt(bias**2 + (2 - h) * (2 * gap / (eta * horizon) + h * noise**2))
) / (2 - h)  # fmt: skip
"""The right side of A ≤ [ |1-h| Z + √( Z² + (2-h)(2Δ/(ηT) + hσ²) ) ] / (2-h), for 0 < h < 2."""

# What a step sees: a = ‖∇f‖, z = ‖b‖, c = <∇f, b>, and S = ‖∇f + b‖² = a² + 2c + z².
_a, _z = symbols("a z", nonnegative=True)
_c: Formula = Symbol("c", real=True)
_S: Formula = Symbol("S", nonnegative=True)
_excess: Formula = Symbol("g", nonnegative=True)


def _descent(square: Formula) -> Formula:
    """E f(x_{t+1}) - f(x_t), at most: the descent lemma with ‖∇f + b‖² written as ``square``."""
    return -eta * (_a**2 + _c) + eta * h / 2 * (square + noise**2)


def attained_floor(step: Formula) -> tuple[Formula, Step]:
    """The stationary ‖∇f‖ of f = Λ‖x‖²/2 with bias of size Z along ∓∇f and noise orthogonal to ∇f, at h = ``step``.

    The gradient norm follows a² ← (|1-h| a + h Z)² + h²σ² whatever the noise's sign. The bias points against the
    gradient for h ≤ 1 and along it for h > 1, where the iterate crosses the minimum at every step.

    >>> attained_floor(Rational(1, 2))[1].decide()
    True
    """
    away = Abs(1 - step)
    stationary = (away * bias + sqrt(bias**2 + step * (2 - step) * noise**2)) / (2 - step)
    recursion = (away * stationary + step * bias) ** 2 + step**2 * noise**2
    reason = "on Λ‖x‖²/2, bias along ∓∇f and noise orthogonal to it leave this gradient norm unchanged"
    return stationary, Step(reason + f" (h = {step})", equal(stationary**2, recursion))


def _stationary_for_every_step() -> tuple[Step, ...]:
    """The same for a symbolic h: the floor solves the recursion of the extremal quadratic on either side of h = 1."""

    def stays(away: Formula) -> Relational:
        stationary = (away * bias + sqrt(bias**2 + h * (2 - h) * noise**2)) / (2 - h)
        return equal(stationary**2, (away * stationary + h * bias) ** 2 + h**2 * noise**2)

    reason = "the extremal quadratic keeps this gradient norm, for every h "
    return Step(reason + "up to 1", stays(1 - h)), Step(reason + "from 1 to 2", stays(h - 1))


def _attained(squared_bound: Formula, steps: tuple[Formula, ...]) -> tuple[Step, ...]:
    """The bound's T → ∞ floor is at least what the extremal quadratic attains, at the step sizes ``steps``."""
    floor = limit(squared_bound, horizon, oo)
    out: list[Step] = []
    for value in steps:
        stationary, stays = attained_floor(value)
        reached = stationary**2
        # Without noise and without bias the comparison is between constants, and decides itself.
        for case, chosen in (("σ = 0", {noise: 0, bias: 1}), ("Z = 0", {noise: 1, bias: 0})):
            at = {h: value, **chosen}
            relation = at_least(floor.subs(at), reached.subs(chosen))
            out.append(Step(f"the bound's floor is not below what is attained (h = {value}, {case})", relation))
        out.append(stays)
    return tuple(out)


@of_formulas()
def classical_bound(right_side: Formula | None = None, *, greatest_step: Formula | None = None) -> Derivation:
    """A² ≤ 2Δ/(ηT) + hσ² + Z² for 0 < h ≤ 1.

    After Ajalloeian & Stich 2020, arXiv 2008.00051; the constants are derived here.

    Parameters
    ----------
    right_side : Formula, optional
        The asserted bound of A².
    greatest_step : Formula, optional
        The greatest h for which it is asserted; beyond 1 the derivation fails.

    Examples
    --------
    >>> classical_bound().verify(), classical_bound(greatest_step=Rational(3, 2)).verify()
    (True, False)
    """
    asserted = CLASSICAL if right_side is None else right_side
    greatest = Rational(1) if greatest_step is None else greatest_step
    square = _a**2 + 2 * _c + _z**2
    rearranged = -eta / 2 * _a**2 + eta / 2 * _z**2 + eta * h / 2 * noise**2 - eta / 2 * (1 - h) * square
    averaged = 2 / eta * (gap / horizon + eta / 2 * bias**2 + eta * h / 2 * noise**2)
    steps = (
        Step("the descent lemma, with ‖∇f + b‖² expanded and regrouped", equal(_descent(square), rearranged)),
        Step(
            f"for h ≤ {greatest} the last term only helps: 1-h is not negative",
            at_least(1 - h, Rational(0)),
            (equal(h, greatest - _excess * greatest / (1 + _excess)),),
        ),
        Step("nor is S = ‖∇f + b‖²", at_least(_S, Rational(0))),
        Step("sum over t, divide by ηT/2 and use f(x_T) ≥ inf f", equal(averaged, CLASSICAL)),
        Step("this is at most the asserted bound", at_least(asserted - averaged, Rational(0))),
        *_attained(asserted, (Rational(1, 2), greatest)),
    )
    return Derivation(at_most(AVERAGE**2, asserted), steps)


@of_formulas()
def sharp_bound(right_side: Formula | None = None) -> Derivation:
    """``A ≤ [ |1-h| Z + √( Z² + (2-h)(2Δ/(ηT) + hσ²) ) ] / (2-h)`` for 0 < h < 2.

    This toolkit's own. It implies the classical bound for h ≤ 1, reaches 1 < h < 2, and its floor is attained.

    Parameters
    ----------
    right_side : Formula, optional
        The asserted bound of A. One that the argument does not give, or below what is attained, is disproved.

    Examples
    --------
    >>> sharp_bound().verify(), sharp_bound(SHARP.subs(bias, 0)).verify()
    (True, False)
    """
    asserted = SHARP if right_side is None else right_side
    square = _a**2 + 2 * _c + _z**2
    per_step = (1 - h / 2) * _a**2 + (1 - h) * _c - h / 2 * _z**2
    weight: Formula = Symbol("lambda", positive=True)
    excess: Formula = Symbol("R", nonnegative=True)
    away: Formula = Symbol("s", nonnegative=True)  # |1-h|, with s² = (1-h)²
    root = (away * bias + sqrt(bias**2 + (2 - h) * 2 * excess)) / (2 - h)

    def quadratic(value: Formula) -> Formula:
        return (1 - h / 2) * value**2 - away * value * bias - h / 2 * bias**2 - excess

    derived = root.subs({away: Abs(1 - h), excess: gap / (eta * horizon) + h * noise**2 / 2})
    steps = (
        Step(
            "the descent lemma, regrouped by ‖∇f‖², <∇f, b> and ‖b‖²",
            equal(_descent(square), -eta * per_step + eta * h / 2 * noise**2),
        ),
        Step(
            "Cauchy-Schwarz for the average of <∇f, b>: for every λ > 0 a z is below λa²/2 + z²/(2λ) by a square",
            equal(weight * _a**2 / 2 + _z**2 / (2 * weight) - _a * _z, (weight * _a - _z) ** 2 / (2 * weight)),
        ),
        Step("which is not negative", at_least((weight * _a - _z) ** 2 / (2 * weight), Rational(0))),
        Step(
            "and λ = Z/A makes the averages' bound A Z, so (1-h/2)A² - |1-h| A Z - (h/2)Z² ≤ Δ/(ηT) + hσ²/2 = R",
            equal((weight * _a**2 / 2 + _z**2 / (2 * weight)).subs(weight, _z / _a), _a * _z),
        ),
        Step(
            "the larger root of that quadratic, for h ≤ 1 (s = 1-h)",
            equal(quadratic(root), Rational(0)),
            (equal(away, 1 - h),),
        ),
        Step(
            "and for h ≥ 1 (s = h-1)",
            equal(quadratic(root), Rational(0)),
            (equal(away, h - 1),),
        ),
        Step(
            "beyond the root the quadratic increases: its slope there is this square root",
            equal((2 - h) * root - away * bias, sqrt(bias**2 + (2 - h) * 2 * excess)),
        ),
        Step(
            "so A is at most the root, and the root at most the asserted bound",
            at_least(asserted - derived, Rational(0)),
        ),
        *_stationary_for_every_step(),
        *_attained(asserted**2, (Rational(1, 2), Rational(1), Rational(3, 2))),
    )
    return Derivation(at_most(AVERAGE, asserted), steps)
