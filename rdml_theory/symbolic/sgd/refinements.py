"""Refinements of the sharp bound: its floor, its last step, a relative bias, and the smoothness used at every step.

The setting and its symbols are those of :mod:`rdml_theory.symbolic.sgd.descent`.
"""

from __future__ import annotations

from sympy import Abs, Interval, Limit, Rational, Symbol, oo, sqrt

from rdml_theory.symbolic.certificates import certified, smt
from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.relations import at_least, at_most, equal
from rdml_theory.symbolic.sgd.descent import AVERAGE, SHARP, bias, eta, gap, h, horizon, noise

__all__ = [
    "COEFFICIENT",
    "DRIVE",
    "FLOOR",
    "REFINED",
    "REFINED_FACTOR",
    "RELATIVE",
    "RELATIVE_LIMIT",
    "floor",
    "kappa",
    "refined_bound",
    "relative_bias",
    "relative_bound",
    "smoothness",
    "tight_bound",
    "weight",
]  # fmt: skip

relative_bias: Formula = Symbol("m", nonnegative=True)
smoothness: Formula = Symbol("Lambda", positive=True)
weight: Formula = Symbol("lambda", positive=True)
kappa: Formula = Symbol("kappa", real=True, nonzero=True)

FLOOR: Formula = (Abs(1 - h) * bias + sqrt(bias**2 + h * (2 - h) * noise**2)) / (2 - h)
"""The limit of the sharp bound of A for T → ∞."""

_A: Formula = AVERAGE
_s: Formula = Symbol("s", nonnegative=True)  # |1-h|
_F: Formula = Symbol("F", positive=True)
_a: Formula = Symbol("a", nonnegative=True)
_b: Formula = Symbol("b", nonnegative=True)
_n: Formula = Symbol("n", nonnegative=True)
_STEPS = {h: Interval.open(0, 2)}


def _for_every_step(reason: str, left: Formula, right: Formula) -> tuple[Step, ...]:
    """An equality with s = |1-h|, on either side of h = 1."""
    relation = equal(*(side.subs(Abs(1 - h), _s) for side in (left, right)))
    return tuple(Step(reason, relation, (equal(_s, away),)) for away in (1 - h, h - 1))


def floor(right_side: Formula | None = None) -> Derivation:
    """``[ |1-h| Z + √( Z² + h(2-h)σ² ) ] / (2-h)``: the least bound of A that holds for T → ∞, for every 0 < h < 2.

    No smaller one holds, since the extremal quadratic keeps this gradient norm and is drawn to it from every start.

    Parameters
    ----------
    right_side : Formula, optional
        The asserted floor of A.

    Examples
    --------
    >>> floor().verify(), floor(sqrt(bias**2 + h * noise**2)).verify()
    (True, False)
    """
    asserted = FLOOR if right_side is None else right_side
    contraction = _s**2 + 2 * _s * h * bias / _F
    step = (_s * _a + h * bias) ** 2 - (_s * _F + h * bias) ** 2
    steps = (
        Step("what the sharp bound leaves for T → ∞", equal(Limit(SHARP, horizon, oo), asserted)),
        *_for_every_step(
            "on Λ‖x‖²/2, bias along ∓∇f and noise orthogonal to it keep this gradient norm",
            (_s * asserted + h * bias) ** 2 + h**2 * noise**2,
            asserted**2,
        ),
        Step(
            "from another norm a, the next squared norm differs from F², F the floor and s = |1-h|, by",
            equal(step, (_a - _F) * (_s**2 * (_a + _F) + 2 * _s * h * bias)),
        ),
        Step(
            "over a² - F², that is at most a factor that does not depend on a",
            at_most(_s**2 + 2 * _s * h * bias / (_a + _F), contraction),
        ),
        Step(
            "with σ² from the floor's equation, that factor is below 1",
            equal(1 - contraction, h**2 * (bias**2 + noise**2) / _F**2),
            (equal(noise, sqrt(_F**2 - (_s * _F + h * bias) ** 2) / h),),
        ),
        Step(
            "so the extremal quadratic is drawn to the floor from every start: it is attained",
            at_least(h**2 * (bias**2 + noise**2) / _F**2, 0),
        ),
    )
    return Derivation(equal(Limit(SHARP, horizon, oo), asserted), steps)


REFINED_FACTOR: Formula = 1 - 1 / horizon
"""What ζ² and σ² may be multiplied by."""


def _refined(factor: Formula) -> Formula:
    inside = bias**2 * factor + (2 - h) * (2 * gap / (eta * horizon) + h * noise**2 * factor)
    return (Abs(1 - h) * bias * sqrt(factor) + sqrt(inside)) / (2 - h)


REFINED: Formula = _refined(REFINED_FACTOR)
"""The sharp bound of A with ζ² and σ² multiplied by 1 - 1/T."""


def refined_bound(right_side: Formula | None = None) -> Derivation:
    """The sharp bound with ζ² and σ² multiplied by 1 - 1/T, for 0 < h < 2; at h = 1 it is the exact worst case.

    Parameters
    ----------
    right_side : Formula, optional
        The asserted bound of A.

    Examples
    --------
    >>> refined_bound().verify(), refined_bound(_refined((1 - 1 / horizon) ** 2)).verify()
    (True, False)
    """
    asserted = REFINED if right_side is None else right_side
    first: Formula = Symbol("B", nonnegative=True)  # B² = (1/T) Σ_{t<T-1} E‖∇f(x_t)‖²
    last: Formula = Symbol("y", nonnegative=True)  # E‖∇f(x_{T-1})‖²/T
    rest: Formula = Symbol("R", nonnegative=True)

    def quadratic(value: Formula) -> Formula:
        return (1 - h / 2) * value**2 - _s * value * bias - h / 2 * bias**2

    value: Formula = Symbol("A", nonnegative=True)
    summed = at_least(rest - quadratic(first) - last / (2 * h), 0)
    whole = equal(value**2, first**2 + last)
    at_one = sqrt((1 - 1 / horizon) * (bias**2 + noise**2) + 2 * gap / (eta * horizon))
    steps = (
        Step(
            "the descent lemma with a step -∇f/Λ: a value above the infimum is at least ‖∇f‖²/(2Λ)",
            equal(_a**2 / smoothness - smoothness / 2 * (_a / smoothness) ** 2, _a**2 / (2 * smoothness)),
        ),
        Step(
            "in the sum over the first T-1 steps it replaces what a T-th step would give, and is worth more",
            equal(1 / (2 * h) - (1 - h / 2), (1 - h) ** 2 / (2 * h)),
        ),
        Step("by a square", at_least((1 - h) ** 2 / (2 * h), 0)),
        certified(
            "so (1-h/2)B² - sBZ - (h/2)Z² + y/(2h) ≤ R, with A² = B² + y, implies the quadratic inequality for A "
            "itself",
            at_most(quadratic(value), rest),
            smt,
            {h: Interval.open(0, 2)},
            (summed, whole, at_least(value, first)),
        ),
        Step(
            "its larger root, with the T-1 biases and noises of the sum: (1-1/T)ζ² and (1-1/T)σ²",
            at_least(asserted - REFINED, 0),
            (equal(horizon, 1 + _n),),
        ),
        Step(
            "at h = 1 the quadratic attains it with any bias and noise: ‖∇f‖² is 2ΛΔ, then ζ² + σ²",
            equal(asserted**2, at_one**2),
            (equal(h, Rational(1)), equal(horizon, 1 + _n)),
        ),
    )
    return Derivation(at_most(AVERAGE, asserted), steps)


RELATIVE: Formula = (
    (1 - h / 2) * _A**2
    - Abs(1 - h) * _A * sqrt(relative_bias * _A**2 + bias**2)
    - h / 2 * (relative_bias * _A**2 + bias**2)
)
"""The left side of the inequality for A with a relative bias."""

RELATIVE_LIMIT: Formula = 2 / (1 + sqrt(relative_bias))
"""The end of its domain."""


def relative_bound(left_side: Formula | None = None, limit: Formula | None = None) -> Derivation:
    """``(1-h/2)A² - |1-h| A B - (h/2)B² ≤ Δ/(ηT) + hσ²/2``, B² = mA² + ζ², for m < 1 and h < 2/(1+√m).

    The extremal quadratic attains the floor that solves it, and at the end of the domain no bound holds.

    Parameters
    ----------
    left_side, limit : Formula, optional
        The asserted left side, a function of A, and the asserted end of the domain.

    Examples
    --------
    >>> relative_bound().verify(), relative_bound(limit=2 + 0 * h).verify()
    (True, False)
    """
    asserted = RELATIVE if left_side is None else left_side
    last = RELATIVE_LIMIT if limit is None else limit
    root: Formula = Symbol("r", nonnegative=True)  # √m
    below = (1 - root) * (1 - h / 2 * (1 - root))
    beyond = (1 + root) * (1 - h / 2 * (1 + root))
    size: Formula = Symbol("B", nonnegative=True)
    greater_size = size + _b
    lost = _s * _a * size + h / 2 * size**2
    next_square = (Abs(1 - h) * _A + h * sqrt(relative_bias * _A**2 + bias**2)) ** 2 + h**2 * noise**2
    steps = (
        Step(
            "the sharp bound's inequality (1-h/2)A² - sAZ - (h/2)Z² ≤ R loses more for a larger Z, and Z² ≤ mA² + ζ²",
            at_least(lost.subs(size, greater_size) - lost, 0),
        ),
        *_for_every_step(
            "on the extremal quadratic, ‖∇f‖² changes in a step by -2h times (left side - hσ²/2), so the floor "
            "is attained",
            next_square - _A**2,
            -2 * h * (asserted - h * noise**2 / 2),
        ),
        Step(
            "the left side grows like A² times this, for h ≤ 1: positive for √m < 1",
            equal(1 - h / 2 - (1 - h) * root - h / 2 * root**2, below),
        ),
        Step(
            "and for h ≥ 1",
            equal(1 - h / 2 - (h - 1) * root - h / 2 * root**2, beyond),
        ),
        Step(
            "which is positive up to the end of the domain, and zero there: beyond it the extremal gradient grows",
            equal(beyond, Rational(0)),
            (equal(h, last), equal(root, sqrt(relative_bias))),
        ),
    )
    return Derivation(at_most(asserted, gap / (eta * horizon) + h * noise**2 / 2), steps)


COEFFICIENT: Formula = (1 - (1 - 2 * kappa) ** horizon) / kappa
"""c, the weight of ΛΔ in the bound of T A², with ``κ = h(1 - h/2 - |1-h|λ/2)``."""

DRIVE: Formula = h / 2 * (Abs(1 - h) * bias**2 / weight + h * bias**2 + h * noise**2)
"""What bias and noise add in a step."""


def tight_bound(coefficient: Formula | None = None, drive: Formula | None = None) -> Derivation:
    """``T A² ≤ c ΛΔ + d (T - c/2)/κ`` for every λ > 0; without bias it is exact at every T.

    κ is not zero; where it would be, the limit holds.

    Parameters
    ----------
    coefficient, drive : Formula, optional
        The asserted c and d.

    Examples
    --------
    >>> tight_bound().verify(), tight_bound(drive=DRIVE.subs(noise, 0)).verify()
    (True, False)
    """
    c = COEFFICIENT if coefficient is None else coefficient
    d = DRIVE if drive is None else drive
    k: Formula = Symbol("k", integer=True, nonnegative=True)
    value: Formula = Symbol("delta", nonnegative=True)
    pull: Formula = Symbol("p", nonnegative=True)
    e: Formula = Symbol("e", real=True)
    now, following = c.subs(horizon, k), c.subs(horizon, k + 1)
    shrink = 1 - 2 * kappa
    gained = (1 - h / 2) * _a**2 - _s * (weight * _a**2 / 2 + bias**2 / (2 * weight)) - h / 2 * (bias**2 + noise**2)
    drift = h / 2 * (_s * bias**2 / weight + h * bias**2 + h * noise**2)
    exact = h**2 * noise**2 / (2 * kappa)
    asserted = c * smoothness * gap + d * (horizon - c / 2) / kappa
    steps = (
        Step(
            "with aζ ≤ λa²/2 + ζ²/(2λ), a step lowers Λ(f - inf f) by κa² up to what bias and noise add (s = |1-h|)",
            equal(h * gained, h * (1 - h / 2 - _s * weight / 2) * _a**2 - drift),
        ),
        Step("which is the asserted d", at_least(d - drift.subs(_s, Abs(1 - h)), 0)),
        Step(
            "suppose k later gradients sum to at most c_k Λδ + e. One more adds a² and passes on a smaller δ",
            equal(
                _a**2 + now * (smoothness * value - kappa * _a**2 + pull) + e,
                (1 - kappa * now) * _a**2 + now * smoothness * value + now * pull + e,
            ),
        ),
        Step("whose factor of a² is a power", equal(1 - kappa * now, shrink**k)),
        Step(
            "of a number that is not negative, for κ with s² = (1-h)²",
            equal(1 - 2 * h * (1 - h / 2 - _s * weight / 2), (1 - h) ** 2 + h * _s * weight),
        ),
        Step("so a² ≤ 2Λδ may be put in, which gives the next c", equal(2 * (1 - kappa * now) + now, following)),
        Step("beginning with none", equal(c, Rational(0)), (equal(horizon, Rational(0)),)),
        Step(
            "and the c_k before it sum to (T - c/2)/κ: they are its differences",
            equal((k + 1 - following / 2) / kappa - (k - now / 2) / kappa, now),
        ),
        Step(
            "without bias (λ → 0), 1-2κ is (1-h)², the factor of ‖∇f‖² in a step on the quadratic",
            equal(1 - 2 * kappa, (1 - h) ** 2),
            (equal(kappa, h * (1 - h / 2)),),
        ),
        Step(
            "where ‖∇f‖² ← (1-h)²‖∇f‖² + h²σ² has this stationary value u",
            equal((1 - 2 * kappa) * exact + h**2 * noise**2, exact),
        ),
        Step(
            "and, from 2ΛΔ, sums over T steps to T u + (2ΛΔ - u)(1 - (1-2κ)^T)/(2κ): the quadratic attains the bound",
            equal(asserted.subs(bias, 0), horizon * exact + (2 * smoothness * gap - exact) * COEFFICIENT / 2),
        ),
    )
    return Derivation(at_most(horizon * AVERAGE**2, asserted), steps)
