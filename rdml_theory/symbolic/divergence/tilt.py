"""Tilting a distribution moves little mass: bounds of the student's and of the peer's gradient.

The escort w is q tilted by exp(α log(p/q)), and p tilted by exp((α-1) log(p/q)).
"""

from __future__ import annotations

from sympy import Abs, Integer, Interval, Limit, Subs, Sum, Symbol, exp, log, oo, sqrt, symbols, tanh

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.certificates import certified, smt
from rdml_theory.symbolic.divergence.names import FLOOR, GRADIENT_NORM, LOG_RATIO_RANGE, SPREAD, TEACHER_NORM
from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.notation import ESCORT, C, Formula, alpha, i, k, p, q, w
from rdml_theory.symbolic.relations import at_least, at_most, equal

__all__ = ["RANGE_WITH_FLOOR", "TEACHER_BOUND", "bounded_gradient", "bounded_teacher_gradient"]

TEACHER_BOUND: Formula = sqrt(2) * alpha * tanh(Abs(alpha - 1) * LOG_RATIO_RANGE / 4) / Abs(alpha - 1)
"""√2 α tanh(|α-1|ρ/4)/|α-1|; at α = 1 its limit, √2 ρ/4."""

RANGE_WITH_FLOOR: Formula = 2 * log((1 - (C - 1) * FLOOR) / FLOOR)
"""2 log((1-(C-1)ω_0)/ω_0), which the range of the log-ratio does not exceed."""

_s: Formula = Symbol("s", positive=True)
_r: Formula = Symbol("r", positive=True)
_X: Formula = Symbol("X", positive=True)


def _gain(ratio: Formula) -> Formula:
    """The mass that a set of mass s gains if its average tilt is ``ratio`` times that of the others."""
    return _s * (1 - _s) * (ratio - 1) / (1 + _s * (ratio - 1))


def _tilted(reason: str, base: Formula, power: Formula) -> Step:
    """w as a tilted distribution."""
    tilt = (p[k] / q[k]) ** power
    right = base[k] * tilt / Sum((base[k] * tilt).subs(k, i), (i, 1, C))
    return Step(reason, equal(w[k], right), (ESCORT,))


def two_norm_of_zero_sum() -> Step:
    """‖v‖₂² ≤ 2 TV² for the difference v of two distributions.

    >>> two_norm_of_zero_sum().decide()
    True
    """
    a, b = symbols("a b", nonnegative=True)
    return certified(
        "the difference sums to zero, so its positive and its negative part weigh TV each; squares of non-negative "
        "numbers add up to at most the square of their sum, so its squared 2-norm is at most TV² + TV²",
        at_most(a**2 + b**2, (a + b) ** 2),
        smt,
    )


def _transport(spread: Formula) -> tuple[Step, ...]:
    """TV ≤ tanh(δ/4) for a tilt whose logarithm has the range δ, and where it is attained."""
    inside, outside = symbols("a b", positive=True)
    more: Formula = Symbol("y", nonnegative=True)
    worst = _gain(_X**2).subs(_s, 1 / (1 + _X))
    return (
        Step(
            "a set of mass s with average tilt a, the others b: what it gains, r = a/b",
            equal(_s * inside / (_s * inside + (1 - _s) * outside) - _s, _gain(inside / outside)),
        ),
        certified(
            "averages lie between the extremes, so r ≤ X² = exp(δ); the gain of any set is then at most",
            at_most(_gain(_r), (_X - 1) / (_X + 1)),
            smt,
            {_s: Interval.open(0, 1), _r: Interval(1, oo), _X: Interval(1, oo)},
            (at_most(_r, _X**2),),
        ),
        Step(
            "which is tanh(δ/4), and bounds the total variation distance",
            equal((exp(spread / 2) - 1) / (exp(spread / 2) + 1), tanh(spread / 4).rewrite(exp)),
        ),
        Step(
            "it is attained by two classes at s = 1/(1+X)",
            equal(Subs(_gain(_X**2), _s, 1 / (1 + _X)), (_X - 1) / (_X + 1)),
        ),
        two_norm_of_zero_sum(),
        Step(
            "so the norm is at most √2 TV, with equality for two classes",
            equal(sqrt((-worst) ** 2 + worst**2), sqrt(2) * (_X - 1) / (_X + 1)),
            (equal(_X, 1 + more),),
        ),
    )


def _floor() -> tuple[Step, ...]:
    """With all probabilities at least ω the log-ratio has a range of at most 2 log((1-(C-1)ω)/ω)."""
    first, second, count = symbols("x y n", positive=True)
    most = 1 - (count - 1) * FLOOR
    where = {count: Interval(2, oo), FLOOR: Interval.open(0, 1)}
    inside = (at_most(count * FLOOR, Integer(1)), at_most(first, most), at_least(second, FLOOR))
    return (
        certified(
            "corollary: with a floor ω_0 on n classes no probability exceeds 1-(n-1)ω_0, so a ratio p_i/q_i = x/y is "
            "at most (1-(n-1)ω_0)/ω_0 and, exchanging p and q, at least the inverse: ρ ≤ 2 log((1-(n-1)ω_0)/ω_0)",
            at_most(first / second, most / FLOOR),
            smt,
            where,
            inside,
        ),
    )


@of_formulas()
def bounded_gradient(right_side: Formula | None = None) -> Derivation:
    """‖q - w‖₂ ≤ √2 tanh(δ/4) with δ = αρ, ρ = max log(p/q) - min log(p/q): the gradient never exceeds √2.

    The escort is q tilted by exp(α log(p/q)). A set of classes of q-mass s whose average tilt is r times that of the
    others gains s(1-s)(r-1)/(1+s(r-1)) of mass, and r ≤ exp(δ). The gain is greatest at s = 1/(1+exp(δ/2)), which two
    classes realise, so the bound is attained there.

    Parameters
    ----------
    right_side : Formula, optional
        The asserted bound, a function of ``SPREAD``. One below √2 tanh(δ/4) is disproved by the attaining pair.

    Examples
    --------
    >>> bounded_gradient().verify(), bounded_gradient(sqrt(2) * tanh(SPREAD / 8)).verify()
    (True, False)
    """
    bound = sqrt(2) * tanh(SPREAD / 4) if right_side is None else right_side
    steps = (
        _tilted("the escort is q tilted by (p/q)^α", q, alpha),
        *_transport(SPREAD),
        Step(
            "two classes attain √2 tanh(δ/4), and no smaller bound can hold",
            at_least(bound, sqrt(2) * tanh(SPREAD / 4)),
        ),
    )
    return Derivation(at_most(GRADIENT_NORM, bound), steps, lemmas=_floor())


def bounded_teacher_gradient(right_side: Formula | None = None) -> Derivation:
    """``‖∂D_α/∂u‖₂ ≤ √2 α tanh(|α-1|ρ/4)/|α-1|``, and at α = 1 √2 ρ/4: the gradient in the peer's logits.

    Parameters
    ----------
    right_side : Formula, optional
        The asserted bound, a function of ``alpha`` and ``LOG_RATIO_RANGE``. A smaller one is disproved.

    Examples
    --------
    >>> bounded_teacher_gradient().verify(), bounded_teacher_gradient(TEACHER_BOUND / 2).verify()
    (True, False)
    """
    bound = TEACHER_BOUND if right_side is None else right_side
    rho = LOG_RATIO_RANGE
    away: Formula = Symbol("x", positive=True)
    a, b = symbols("a b", real=True)
    mean = _s * a + (1 - _s) * b
    width: Formula = Symbol("t", nonnegative=True)
    steps = (
        _tilted("the escort is p tilted by (p/q)^(α-1), and ∂D/∂u = α/(α-1) · (w - p) by D2", p, alpha - 1),
        *_transport(Abs(alpha - 1) * rho),
        Step(
            "at α = 1, where ∂D/∂u_k = p_k (t_k - Σ p t), t = log(p/q): a set of mass s with mean a, the others b",
            equal(_s * (a - mean), _s * (1 - _s) * (a - b)),
        ),
        certified(
            "means lie between the extremes, so a - b = t ≤ ρ: what any set gains is at most",
            at_most(_s * (1 - _s) * width, rho / 4),
            smt,
            {_s: Interval.open(0, 1)},
            (at_most(width, rho),),
        ),
        Step(
            "which is the limit α → 1, with x = |α-1|",
            equal(Limit(tanh(away * rho / 4) / away, away, 0), rho / 4),
        ),
        Step(
            "two classes attain the bound, and no smaller one can hold",
            at_least(bound, TEACHER_BOUND),
        ),
    )
    return Derivation(at_most(TEACHER_NORM, bound), steps)
