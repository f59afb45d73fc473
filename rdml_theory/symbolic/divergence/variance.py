"""Variances: Bhatia-Davis and Popoviciu, and with them the curvature of the divergence in the student's logits."""

from __future__ import annotations

from sympy import (
    IndexedBase,
    Integer,
    Interval,
    KroneckerDelta,
    Limit,
    Max,
    Rational,
    Subs,
    Sum,
    Symbol,
    Tuple,
    oo,
    symbols,
)

from rdml_theory.symbolic.certificates import certified, smt
from rdml_theory.symbolic.divergence.names import (
    GREATEST,
    GREATEST_CURVATURE,
    LEAST,
    LEAST_CURVATURE,
    MEAN,
    VARIANCE,
)
from rdml_theory.symbolic.engine.derivation import Derivation, Premise, Step
from rdml_theory.symbolic.notation import STUDENT, C, Formula, alpha, i, k, l, q
from rdml_theory.symbolic.relations import at_least, at_most, equal

__all__ = ["BHATIA_DAVIS", "CURVATURES", "POPOVICIU", "curvature_bounds", "variance_bounds"]

BHATIA_DAVIS: Formula = (GREATEST - MEAN) * (MEAN - LEAST)
"""(M - μ)(μ - m)."""

POPOVICIU: Formula = (GREATEST - LEAST) ** 2 / 4
"""(M - m)²/4."""

CURVATURES: tuple[Formula, Formula] = (-Max(1 - alpha, 0) / 2, Max(1, alpha) / 2)
"""The least and the greatest curvature: -(1-α)₊/2 and max(1, α)/2."""

_v: Formula = IndexedBase("v", real=True)


def variance_bounds(bhatia_davis: Formula | None = None, popoviciu: Formula | None = None) -> Derivation:
    """Var_q(v) ≤ (M - μ)(μ - m) ≤ (M - m)²/4 for m ≤ v ≤ M with mean μ.

    Bhatia & Davis 2000, Popoviciu 1935; derived here.

    Parameters
    ----------
    bhatia_davis, popoviciu : Formula, optional
        The asserted bounds, functions of ``GREATEST``, ``LEAST`` and ``MEAN``. Smaller ones are disproved.

    Examples
    --------
    >>> variance_bounds().verify(), variance_bounds(popoviciu=POPOVICIU / 2).verify()
    (True, False)
    """
    first = BHATIA_DAVIS if bhatia_davis is None else bhatia_davis
    second = POPOVICIU if popoviciu is None else popoviciu
    above: Formula = IndexedBase("a", nonnegative=True)
    below: Formula = IndexedBase("b", nonnegative=True)
    mean = Sum(q[i] * _v[i], (i, 1, C))
    names = (
        equal(VARIANCE, Sum(q[i] * _v[i] ** 2, (i, 1, C)) - MEAN**2),
        equal(MEAN, mean),
        equal(above[k], GREATEST - _v[k]),
        equal(below[k], _v[k] - LEAST),
        STUDENT,
    )
    between = (at_most(LEAST, MEAN), at_most(MEAN, GREATEST))
    product = Sum(q[i] * above[i] * below[i], (i, 1, C))
    positive = Step("a_i = M - v_i and b_i = v_i - m are not negative", at_least(product, Integer(0)))
    identity = Step("and the mean of their product is", equal(product, BHATIA_DAVIS - VARIANCE), names)
    largest = Step(
        "so", at_most(VARIANCE, BHATIA_DAVIS),
        premises=(Premise(positive.relation), Premise(identity.relation, Integer(-1))),
    )  # fmt: skip
    tight = certified("which is at most the asserted bound", at_most(BHATIA_DAVIS, first), smt, conditions=between)
    wide = certified("wherever the mean lies", at_most(BHATIA_DAVIS, second), smt, conditions=between)

    def conclusion(bound: Formula, step: Step) -> Step:
        return Step("so", at_most(VARIANCE, bound), premises=(Premise(largest.relation), Premise(step.relation)))

    concluded = () if first == BHATIA_DAVIS else (conclusion(first, tight),)
    s: Formula = Symbol("s", positive=True)
    two_points = s * GREATEST**2 + (1 - s) * LEAST**2 - (s * GREATEST + (1 - s) * LEAST) ** 2
    steps = (
        positive,
        identity,
        largest,
        tight,
        *concluded,
        wide,
        conclusion(second, wide),
        Step(
            "two values m and M, the latter with probability s, attain the first bound",
            equal(two_points, BHATIA_DAVIS.subs(MEAN, s * GREATEST + (1 - s) * LEAST)),
        ),
        Step("and at s = 1/2 the second", equal(two_points.subs(s, Rational(1, 2)), POPOVICIU)),
    )
    meanings = {"Var": names[0], "mu": names[1]}
    return Derivation(Tuple(at_most(VARIANCE, first), at_most(VARIANCE, second)), steps, meanings)


def curvature_bounds(lower: Formula | None = None, upper: Formula | None = None) -> Derivation:
    """The eigenvalues of ∂²D_α/∂z² lie between -(1-α)₊/2 and max(1, α)/2, for every order in (0, ∞).

    Parameters
    ----------
    lower, upper : Formula, optional
        The asserted bounds, functions of ``alpha``. Narrower ones are disproved.

    Examples
    --------
    >>> curvature_bounds().verify(), curvature_bounds(upper=Max(1, alpha) / 4).verify()
    (True, False)
    """
    least = CURVATURES[0] if lower is None else lower
    greatest = CURVATURES[1] if upper is None else upper
    mean: Formula = Sum(q[i] * _v[i], (i, 1, C))
    variance = Sum(q[k] * _v[k] ** 2, (k, 1, C)) - mean**2
    row = Sum(_v[l] * (KroneckerDelta(k, l) * q[k] - q[k] * q[l]), (l, 1, C))
    form = Sum(_v[k] * q[k] * (_v[k] - mean), (k, 1, C))
    a, b = symbols("a b", nonnegative=True)
    half = {a: Interval(0, Rational(1, 2)), b: Interval(0, Rational(1, 2))}
    x: Formula = Symbol("x", positive=True)
    spread = 2 * x / (1 + x) ** 2
    small, large = 1 / (1 + x), x / (1 + x)
    steps = (
        Step("a row of Cov_q times a vector v", equal(row, q[k] * (_v[k] - mean)), (STUDENT,)),
        Step(
            "so vᵀ Cov_q v is the variance of v under q, and vᵀ(∂²D/∂z²)v = Var_q(v) - (1-α) Var_w(v) by D3",
            equal(form, variance),
            (STUDENT,),
        ),
        certified(
            "a variance is at most (M-μ)(μ-m) (D12), so at most (M-m)²/4",
            at_most(BHATIA_DAVIS, POPOVICIU), smt, conditions=(at_most(LEAST, MEAN), at_most(MEAN, GREATEST)),
        ),
        certified(
            "M and m are two entries of v, so this is at most ‖v‖²/2",
            at_most(POPOVICIU, (GREATEST**2 + LEAST**2) / 2), smt,
        ),
        certified(
            "with ‖v‖ = 1, a = Var_q(v) and b = Var_w(v) in [0, 1/2]: the greatest curvature",
            at_most(a - (1 - alpha) * b, greatest), smt, half,
        ),
        certified("and the least", at_least(a - (1 - alpha) * b, least), smt, half),
        Step(
            "two classes, v = (1, -1)/√2, masses x:1 give the variance 2x/(1+x)²",
            equal((large + small) / 2 - ((large - small) ** 2) / 2, spread),
        ),
        Step(
            "at consensus q = w = (1/2, 1/2) the curvature is α/2, which is max(1, α)/2 for α ≥ 1",
            equal(Subs(spread - (1 - alpha) * spread, x, 1), alpha / 2),
        ),
        Step(
            "for α < 1 the curvature 1/2 is reached in the limit: q = (1/2, 1/2), the escort at a vertex",
            equal(Limit(Rational(1, 2) - (1 - alpha) * spread, x, oo), Rational(1, 2)),
        ),
        Step(
            "and -(1-α)/2 too: the escort (1/2, 1/2), q at a vertex",
            equal(Limit(spread - (1 - alpha) / 2, x, oo), -(1 - alpha) / 2),
        ),
    )  # fmt: skip
    return Derivation(Tuple(at_most(GREATEST_CURVATURE, greatest), at_least(LEAST_CURVATURE, least)), steps)
