"""Bounded scope: the stationary law on a quadratic, and a region that the iterates never leave."""

from __future__ import annotations

from sympy import Abs, Limit, Symbol, Tuple, sqrt

from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.notation import Formula, Named
from rdml_theory.symbolic.relations import at_least, at_most, equal
from rdml_theory.symbolic.sgd.descent import bias, eta, noise

__all__ = ["OFFSET", "RADIUS", "VARIANCE", "bounded_scope", "curvature", "perturbation"]

curvature: Formula = Symbol("lambda", positive=True)
perturbation: Formula = Symbol("M", nonnegative=True)

OFFSET: Formula = bias / curvature
"""‖E x‖ on f = λ‖x‖²/2 with a constant bias, for t → ∞."""

VARIANCE: Formula = eta * noise**2 / (curvature * (2 - eta * curvature))
"""E‖x - E x‖² there."""

_h = eta * curvature
_pushed = perturbation + bias

RADIUS: Formula = (Abs(1 - _h) * _pushed + sqrt(_pushed**2 + _h * (2 - _h) * noise**2)) / (curvature * (2 - _h))
"""R, with sup_t E‖x_t‖² ≤ max(‖x_0‖², R²) where ‖∇f(x) - λx‖ ≤ M."""


def bounded_scope(
    offset: Formula | None = None, variance: Formula | None = None, radius: Formula | None = None
) -> Derivation:
    """On a quadratic the iterates end with offset ζ/λ and variance ησ²/(λ(2-ηλ)); near one they stay within R.

    Parameters
    ----------
    offset, variance, radius : Formula, optional
        The asserted offset, variance and R.

    Examples
    --------
    >>> bounded_scope().verify(), bounded_scope(variance=VARIANCE * eta).verify()
    (True, False)
    """
    ends = OFFSET if offset is None else offset
    spreads = VARIANCE if variance is None else variance
    r = RADIUS if radius is None else radius
    s: Formula = Symbol("s", nonnegative=True)  # |1-ηλ|
    x, m, w = (Symbol(name, nonnegative=True) for name in ("x", "m", "v"))
    n, c, pushed = (Symbol(name, nonnegative=True) for name in ("n", "c", "p"))
    lost = w * (2 * m * (1 - s) + w * (1 - s) * (1 + s) + 2 * s * n)
    named = r.subs(Abs(1 - _h), s)
    push = eta * _pushed

    def stays(away: Formula) -> Step:
        return Step(
            "R solves the recursion's equation (s = |1-ηλ|)",
            equal((s * named + push) ** 2 + eta**2 * noise**2, named**2),
            (equal(s, away),),
        )

    steps = (
        Step(
            "on the quadratic the mean follows m ← (1-ηλ)m - ηb: its distance from 0 stays at the offset",
            equal((1 - _h) * ends + eta * bias, ends),
        ),
        Step(
            "and the variance v ← (1-ηλ)²v + η²σ²; both are contractions for 0 < ηλ < 2",
            equal((1 - _h) ** 2 * spreads + eta**2 * noise**2, spreads),
        ),
        Step(
            "for small steps the variance is linear in η, the spread like √η; the offset does not depend on η",
            equal(Limit(spreads / eta, eta, 0), noise**2 / (2 * curvature)),
        ),
        Step(
            "the iterates go on moving by η²λ²v + η²σ² in the mean square, at least η²σ²: they converge to no point",
            equal(_h**2 * spreads + eta**2 * noise**2 - eta**2 * noise**2, _h**2 * spreads),
        ),
        Step("as the rest is not negative", at_least(_h**2 * (eta * w), 0)),
        Step(
            "with ∇f(x) = λx + r(x), ‖r‖ ≤ M and ‖b‖ ≤ ζ, ‖x - η(∇f + b)‖ ≤ s‖x‖ + η(M+ζ), s = |1-ηλ|; with m = "
            "E‖x‖ and "
            "x = √E‖x‖² the mean of its square falls short of (sx + η(M+ζ))² by",
            equal((s * x + push) ** 2 - (s**2 * x**2 + 2 * s * m * push + push**2), 2 * s * push * (x - m)),
        ),
        Step("which is not negative, since m ≤ x", at_least(2 * s * push * (x - m), 0), (equal(x, m + w),)),
        stays(1 - _h),
        stays(_h - 1),
        Step("below R the next norm is below R too: the recursion increases", at_least(s * w, 0)),
        Step(
            "from x = R + v above R, x² - R² loses in a step (with what the noise adds to R, η(M+ζ) = (1-s)R - n)",
            equal(x**2 - m**2 - (s * x + pushed) ** 2 + (s * m + pushed) ** 2, lost),
            (equal(x, m + w), equal(pushed, (1 - s) * m - n)),
        ),
        Step("which is not negative, so lim sup E‖x_t‖² ≤ R²", at_least(lost, 0), (equal(s, 1 / (1 + c)),)),
    )
    mean, spread_, square = (
        Named("‖E x_t‖", r"\lVert \mathbb{E} x_t \rVert"),
        Named("Var x_t", r"\operatorname{Var} x_t"),
        Named("lim sup E‖x_t‖²", r"\limsup \mathbb{E} \lVert x_t \rVert^2"),
    )
    return Derivation(Tuple(equal(mean, ends), equal(spread_, spreads), at_most(square, r**2)), steps)
