"""Inequalities of the mutual gradient, reduced to identities between manifestly signed expressions."""

from __future__ import annotations

from sympy import Rational, Subs, Symbol, exp, sqrt, symbols, tanh

from rdml_theory.symbolic.derivation import Derivation, Step
from rdml_theory.symbolic.notation import Formula, Named
from rdml_theory.symbolic.relations import at_least, at_most, equal

__all__ = ["GRADIENT_NORM", "SPREAD", "bounded_gradient"]

GRADIENT_NORM = Named("‖q - w‖₂", r"\lVert q - w \rVert_2")
"""The Euclidean norm of the student gradient in the logits."""

SPREAD = Symbol("delta", nonnegative=True)
"""δ = αρ, the order times the range of the log-ratio log(p/q)."""


def bounded_gradient(right_side: Formula | None = None) -> Derivation:
    """‖q - w‖₂ ≤ √2 tanh(δ/4) with δ = αρ, ρ = max log(p/q) - min log(p/q): the gradient never exceeds √2.

    The escort is q tilted by exp(α log(p/q)). A set of classes of q-mass s whose average tilt is r times that of the
    others gains s(1-s)(r-1)/(1+s(r-1)) of mass, and r ≤ exp(δ). The gain is greatest at s = 1/(1+exp(δ/2)), which two
    classes realise, so the bound is attained there.

    Parameters
    ----------
    right_side : Formula, optional
        The asserted bound, a function of ``SPREAD``. One below √2 tanh(δ/4) is disproved by the attaining pair.

    >>> bounded_gradient().verify(), bounded_gradient(sqrt(2) * tanh(SPREAD / 8)).verify()
    (True, False)
    """
    bound = sqrt(2) * tanh(SPREAD / 4) if right_side is None else right_side
    s, inside, outside = symbols("s a b", positive=True)
    rest = Symbol("c", nonnegative=True)  # c = 1 - s, so that signs are visible
    x = 1 + Symbol("y", nonnegative=True)  # x = exp(δ/2) ≥ 1
    r = inside / outside
    gain = s * (1 - s) * (r - 1) / (1 + s * (r - 1))
    ratio = Symbol("r", positive=True)
    gain_of_ratio = s * (1 - s) * (ratio - 1) / (1 + s * (ratio - 1))
    worst = s * (1 - s) * (x**2 - 1) / (1 + s * (x**2 - 1))
    slack = (x - 1) * (1 - s * (x + 1)) ** 2 / ((x + 1) * (1 + s * (x**2 - 1)))
    gained, lost = symbols("v_+ v_-", nonnegative=True)
    steps = (
        Step(
            "a set of q-mass s with average tilt a, the others b: its escort mass minus s",
            equal(s * inside / (s * inside + (1 - s) * outside) - s, gain),
        ),
        Step(
            "that gain increases in the ratio r = a/b ≤ exp(δ)",
            equal(gain_of_ratio.diff(ratio), s * (1 - s) / (1 + s * (ratio - 1)) ** 2),
        ),
        Step("indeed its slope is not negative", at_least(s * rest / (rest + s * ratio) ** 2, 0)),
        Step(
            "with x = exp(δ/2): the gain stays below (x-1)/(x+1) by a square", equal((x - 1) / (x + 1) - worst, slack)
        ),
        Step("which is not negative", at_least(slack, 0)),
        Step(
            "and vanishes at s = 1/(1+x), so the maximum is attained", equal(Subs(slack, s, 1 / (1 + x)), Rational(0))
        ),
        Step(
            "(x-1)/(x+1) = tanh(δ/4) bounds the total variation distance of q and w",
            equal((exp(SPREAD / 2) - 1) / (exp(SPREAD / 2) + 1), tanh(SPREAD / 4).rewrite(exp)),
        ),
        Step(
            "q - w sums to zero: its positive and its negative part both weigh TV, and ‖v‖₂² ≤ v_+² + v_-²",
            equal((gained + lost) ** 2 - gained**2 - lost**2, 2 * gained * lost),
        ),
        Step("as the mixed terms are not negative", at_least(2 * gained * lost, 0)),
        Step(
            "two classes are such a set and its rest: there q - w = (-gain, gain), and its norm is √2 times the gain",
            equal(sqrt((-worst) ** 2 + worst**2).subs(s, 1 / (1 + x)), sqrt(2) * (x - 1) / (x + 1)),
        ),
        Step(
            "so ‖q - w‖₂ ≤ √2 TV; two classes attain √2 tanh(δ/4), and no smaller bound can hold",
            at_least(bound, sqrt(2) * tanh(SPREAD / 4)),
        ),
    )
    return Derivation(at_most(GRADIENT_NORM, bound), steps)
