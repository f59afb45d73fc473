"""Constant-step SGD with biased gradients on smooth functions: C1 and C2, from the descent lemma to the printed bound.

The run is ``x_{t+1} = x_t - η (∇f(x_t) + b_t + n_t)``, with noise of mean zero given x_t and b_t; its bounds are of
``A² = (1/T) Σ_t E‖∇f(x_t)‖²``, in terms of ``Z² = (1/T) Σ_t E‖b_t‖²`` and h = Λη.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sympy import Abs, Float, Integer, Rational, Sum, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import (
    At,
    AtMost,
    Centred,
    Equal,
    Finite,
    ForAll,
    Gradient,
    Inner,
    Less,
    Mean,
    Proof,
    Smooth,
    Theorem,
    Value,
    Vector,
    absolute,
    assume,
    axiom,
    combine,
    expectation,
    induct,
    inner,
    instantiate,
    magnitude,
    nonnegative,
    orthogonal,
    rewrite,
    root,
    specialise,
    square,
    sum_over,
)  # fmt: skip
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.descent import CLASSICAL, SHARP, bias, eta, gap, h, horizon, noise

__all__ = ["SETTING", "assumptions", "average", "classical_bound", "classical_target", "sharp_bound", "sharp_target"]

Term = Any

smoothness: Term = Symbol("Lambda", positive=True)
infimum: Term = Symbol("f_inf", real=True)
average: Term = Symbol("A", nonnegative=True)
floor: Term = Symbol("F", positive=True)
t: Term = Symbol("t", integer=True, nonnegative=True)

x, b, n = At("x", t), At("b", t), At("n", t)
y = Vector("y")
g = Gradient("f", x)


def _mean_over_steps(term: Term) -> Term:
    return Sum(Mean(term), (t, 0, horizon - 1)) / horizon


SETTING = {
    "smooth": Smooth("f", smoothness),
    "bounded": ForAll(y, AtMost(infimum, Value("f", y))),
    "start": AtMost(Mean(Value("f", At("x", Integer(0)))) - infimum, gap),
    "update": ForAll(t, Equal(At("x", t + 1), x - eta * (g + b + n))),
    "centred": ForAll(t, Centred(n, (x, b))),
    "noise": ForAll(t, AtMost(Mean(square(n)), noise**2)),
    "average": Equal(average**2, _mean_over_steps(square(g))),
    "bias": Equal(bias**2, _mean_over_steps(square(b))),
    "h": Equal(h, smoothness * eta),
}
"""The hypotheses, each with a name."""


def assumptions(*further: str) -> tuple[str, ...]:
    """The hypotheses of the setting as text, and further ones.

    >>> assumptions("h < 2")[-2:]
    ('h < 2', 'all expectations are finite')
    """
    return (*(hypothesis.text() for hypothesis in SETTING.values()), *further, Finite().text())


_CROSS = _mean_over_steps(Inner(g, b))


def _exact(formula: Formula) -> Formula:
    """The formula with its floats as the fractions that they are."""
    return formula.xreplace({number: Rational(number) for number in formula.atoms(Float)})


def _given(name: str, value: Term = None) -> Theorem:
    """A hypothesis, at a value of its variable."""
    theorem = assume(SETTING[name], reason="given")
    return theorem if value is None else specialise(theorem, value, reason="given, at this value")


def _moved(theorem: Theorem) -> Theorem:
    """A theorem in which x_t - η(...) is called x_{t+1}."""
    update = _given("update", t)
    told: Any = update.conclusion
    back = combine(Equal(told.right, told.left), [(-1, update)], reason="the update, read from right to left")
    return rewrite(theorem, back, reason="which leads to x_{t+1}")


@cache
def one_step() -> Theorem:
    """What one step gains: E f(x_{t+1}) against E f(x_t)."""
    lemma = axiom("descent lemma", ("f", smoothness), reason="f is smooth")
    along = instantiate(lemma, {y: x, Vector("v"): -eta * (g + b + n)}, reason="from x_t along the update")
    descent = expectation(_moved(along), reason="take expectations")
    centred = _given("centred", t)
    inner, squares = Mean(Inner(g, b)), Mean(square(b))
    whole = Mean(square(g)) + 2 * inner + squares
    gained = (1 - h / 2) * Mean(square(g)) + (1 - h) * inner - h / 2 * squares
    return combine(
        AtMost(Mean(Value("f", At("x", t + 1))), Mean(Value("f", x)) - eta * gained + eta * h / 2 * noise**2),
        [
            (1, descent),
            (eta * (smoothness * eta - 1), orthogonal(centred, g, reason="the noise has mean zero given x_t")),
            (smoothness * eta**2, orthogonal(centred, b, reason="and given b_t")),
            (smoothness * eta**2 / 2, _given("noise", t)),
            (-eta / 2 * (whole + noise**2), _given("h")),
        ],
        reason="multiply out: the noise is orthogonal to ∇f(x_t) and to b_t",
    )


@cache
def averaged() -> Theorem:
    """The average over the steps, with the cross term (1/T) Σ E⟨∇f, b⟩."""
    last = specialise(_given("bounded"), At("x", horizon), reason="the last value is not below the infimum")
    weight = 1 / (eta * horizon)
    return combine(
        AtMost(
            (1 - h / 2) * average**2 + (1 - h) * _CROSS - h / 2 * bias**2,
            gap / (eta * horizon) + h * noise**2 / 2,
        ),
        [
            (weight, sum_over(one_step(), t, horizon, reason="sum over the steps")),
            (weight, expectation(last, reason="take expectations")),
            (weight, _given("start")),
            (1 - h / 2, _given("average")),
            (-h / 2, _given("bias")),
        ],
        reason="the values telescope; divide by ηT",
    )


@cache
def cross_term() -> Theorem:
    """The cross term is at most A Z in size."""
    general = axiom("Cauchy-Schwarz", reason="Cauchy-Schwarz over steps and chance")
    here = instantiate(general, {At("u", t): g, At("v", t): b}, reason="for ∇f(x_t) and b_t")
    product = combine(
        AtMost(_CROSS**2, average**2 * bias**2),
        [
            (1 / horizon**2, here),
            (-_mean_over_steps(square(b)), _given("average")),
            (-(average**2), _given("bias")),
        ],
        reason="divide by T², with the definitions of A and Z",
    )
    return root(product, _CROSS, reason="take roots")


def classical_target(right_side: Term = CLASSICAL) -> AtMost:
    """``A² ≤`` the right side."""
    return AtMost(average**2, right_side)


@of_formulas()
def classical_bound(right_side: Formula | None = None, *, greatest_step: Formula | None = None) -> Proof:
    """C1: ``A² ≤ 2Δ/(ηT) + hσ² + Z²`` for h ≤ 1.

    After Ajalloeian & Stich 2020, arXiv 2008.00051; the constants are derived here.

    Parameters
    ----------
    right_side : Expr, optional
        The asserted bound of A².
    greatest_step : Expr, optional
        The greatest h for which it is asserted.

    Raises
    ------
    ProofError
        If the argument does not give what is asserted.

    Examples
    --------
    >>> classical_bound().verify()
    True
    >>> classical_bound(greatest_step=Integer(3) / 2)
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: 0 ≤ 1 - h is not this combination: ...
    """
    both = expectation(nonnegative(square(g + b), reason="a squared norm"), reason="take expectations")
    squares = combine(
        AtMost(0, average**2 + 2 * _CROSS + bias**2),
        [
            (1 / horizon, sum_over(both, t, horizon, reason="sum over the steps")),
            (-1, _given("average")),
            (-1, _given("bias")),
        ],
        reason="divide by T, with the definitions of A and Z",
    )
    room = combine(
        AtMost(0, 1 - h),
        [(1, assume(AtMost(h, 1 if greatest_step is None else _exact(greatest_step)), reason="given"))],
        reason="so h ≤ 1",
    )
    bound = combine(
        classical_target(CLASSICAL if right_side is None else _exact(right_side)),
        [(2, averaged()), (1 - h, squares)],
        known=[room],
        reason="(1-h) times the average of ‖∇f + b‖², which is not negative, takes the cross term away",
    )
    return Proof((bound,))


def sharp_target(right_side: Term = SHARP) -> AtMost:
    """``A ≤`` the right side."""
    return AtMost(average, right_side)


@of_formulas()
def sharp_bound(right_side: Formula | None = None) -> Proof:
    """C2: ``A ≤ [ |1-h| Z + √( Z² + (2-h)(2Δ/(ηT) + hσ²) ) ] / (2-h)`` for 0 < h < 2, and its floor is attained.

    This toolkit's own. It implies the classical bound for h ≤ 1 and reaches 1 < h < 2.

    Parameters
    ----------
    right_side : Expr, optional
        The asserted bound of A.

    Raises
    ------
    ProofError
        If the argument does not give what is asserted.

    Examples
    --------
    >>> proof = sharp_bound()
    >>> proof.verify(), proof.axioms
    (True, ('Cauchy-Schwarz', 'descent lemma'))
    >>> sharp_bound(SHARP.subs(bias, 0))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: A ≤ √(2·Δ/(T·η) + h·σ²)/√(2 - h) is not this ...
    """
    asserted = SHARP if right_side is None else _exact(right_side)
    away, excess = Abs(1 - h), 2 * gap / (eta * horizon) + h * noise**2
    quadratic = combine(
        AtMost((1 - h / 2) * average**2 - away * average * bias - h / 2 * bias**2, excess / 2),
        [
            (1, averaged()),
            (away, cross_term()),
            (1, absolute((h - 1) * _CROSS, reason="a number is at most its absolute value")),
        ],
        reason="bound the cross term by |1-h| A Z",
    )
    room = combine(Less(0, 2 - h), [(1, assume(Less(h, 2), reason="given"))], reason="so 2-h is positive")
    base = (2 - h) * average - away * bias
    completed = combine(
        AtMost(base**2, bias**2 + (2 - h) * excess),
        [(2 * (2 - h), quadratic)],
        known=[room],
        reason="complete the square: (1-h)² + h(2-h) = 1",
    )
    bound = combine(
        sharp_target(asserted),
        [
            (1 / (2 - h), root(completed, base, reason="take roots")),
            (1 / (2 - h), absolute(base, reason="a number is at most its absolute value")),
        ],
        known=[room],
        reason="divide by 2-h",
    )
    return Proof((bound, *attained(1, asserted), *attained(-1, asserted)))


def attained(side: int, right_side: Term = SHARP) -> tuple[Theorem, Theorem]:
    """On ``f = Λ‖x‖²/2`` a run of any length has A = F, the bound's limit for T → ∞, with a bias of mean square Z².

    The bias points against the gradient for h ≤ 1 (``side`` 1) and along it for h ≥ 1 (``side`` -1); the noise is
    orthogonal to it. So no smaller limit bounds A.
    """
    away, one = side * (1 - h), AtMost(h, 1) if side == 1 else AtMost(1, h)
    limit = right_side.subs(gap, 0)
    after, shrink = Gradient("f", At("x", t + 1)), 1 - h + side * h * bias / floor
    room = combine(Less(0, 2 - h), [(1, assume(Less(h, 2), reason="given"))], reason="so 2-h is positive")
    sign = combine(AtMost(0, away), [(1, assume(one, reason="given"))], reason="which gives |1-h| its sign")
    is_floor = assume(Equal(floor, limit), known=[room], reason="given: F is the limit of the bound for T → ∞")
    if limit.has(Abs):
        is_floor = rewrite(is_floor, magnitude(away, known=[sign], reason="|1-h| is this"), reason="written out")
    else:
        away = Integer(0)
    limit = is_floor.conclusion.terms()[1]
    quadratic = assume(ForAll(y, Equal(Gradient("f", y), smoothness * y)), reason="given: f = Λ‖x‖²/2")
    here = specialise(quadratic, x, reason="at x_t")
    leads = assume(ForAll(t, Equal(b, -side * bias / floor * g)), reason="given: the bias is along the gradient")
    leads_here = specialise(leads, t, reason="at this step")
    apart = assume(ForAll(t, Equal(Inner(n, x), 0)), reason="given: the noise is orthogonal to the gradient")
    size = assume(ForAll(t, Equal(square(n), noise**2)), reason="given: and of size σ")
    stays = assume(Equal(square(g), floor**2), reason="suppose ‖∇f(x_t)‖ = F")
    moved = combine(
        Equal(after, shrink * g - h * n),
        [
            (1, specialise(quadratic, At("x", t + 1), reason="at x_{t+1}")),
            (smoothness, _given("update", t)),
            (-1, here),
            (-smoothness * eta, leads_here),
            ((1 - side * bias / floor) * g + n, _given("h")),
        ],
        reason="the gradient after a step",
    )
    squared = combine(
        Equal(square(after), square(shrink * g - h * n)),
        [(1, inner(moved, after)), (1, inner(moved, shrink * g - h * n))],
        reason="its square",
    )
    product = combine(
        Equal(Inner(g, n), 0),
        [(1, inner(here, n)), (smoothness, specialise(apart, t, reason="at this step"))],
        reason="the noise is orthogonal to Λx_t",
    )
    again = combine(
        Equal(square(after), floor**2),
        [
            (1, squared),
            (shrink**2, stays),
            (-2 * shrink * h, product),
            (h**2, specialise(size, t, reason="at this step")),
            (-h * ((2 - h) * (floor + limit) - 2 * away * bias), is_floor),
        ],
        known=[room],
        reason="F solves the equation of the step",
    )
    start = assume(Equal(square(Gradient("f", At("x", Integer(0)))), floor**2), reason="given: ‖∇f(x_0)‖ = F")
    always = specialise(induct(start, again, t, reason="by induction"), t, reason="at every step")
    mean = sum_over(expectation(always, reason="take expectations"), t, horizon, reason="sum over the steps")
    bias_squared = combine(
        Equal(square(b), bias**2),
        [(1, inner(leads_here, b)), (-side * bias / floor, inner(leads_here, g)), (bias**2 / floor**2, always)],
        reason="the size of the bias",
    )
    total = sum_over(expectation(bias_squared, reason="take expectations"), t, horizon, reason="sum over the steps")
    return (
        combine(Equal(_mean_over_steps(square(g)), floor**2), [(1 / horizon, mean)], reason="so A = F, for every T"),
        combine(Equal(_mean_over_steps(square(b)), bias**2), [(1 / horizon, total)], reason="with this Z"),
    )
