"""C12 and C14: the worst case of SGD with a biased gradient against the sharp bound, and when that is attained."""

from __future__ import annotations

from sympy import Integer, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.bounds import quadratic_inequality, settles, sharp_target, solved
from rdml_theory.symbolic.sgd.descent import SHARP, Z, eta, gap, h, horizon, sigma
from rdml_theory.symbolic.sgd.extremal import falling
from rdml_theory.symbolic.sgd.refinements import last_step_attained, relative_bias, relative_inequality
from rdml_theory.symbolic.sgd.setting import *

__all__ = [
    "DESCENT",
    "EVERY_HORIZON",
    "REST",
    "WORST_CASE",
    "every_horizon",
    "fall",
    "sharp_multipliers",
    "worst_target",
]

fall: Formula = Symbol("D", nonnegative=True)
"""What E f(x_0) - E f(x_T) is at most."""

DESCENT: Formula = SHARP.subs(gap, fall)
"""The sharp bound of A with what f has fallen in place of Δ."""

EVERY_HORIZON = tuple(
    text.replace("Δ", "D")
    for text in assumptions("smooth", "fall", "update", "centred", "noise", "average", "bias", "h", "h < 2")
)
"""What it assumes, as text."""


WORST_CASE = assumptions(
    "smooth", "bounded", "start", "update", "centred", "noise", "bias of a step", "average", "h", "h < 2"
)
"""What the bound of the worst case assumes, as text."""


def worst_target(squared_bound: Formula = SHARP**2) -> AtMost:
    """``A² ≤`` the bound: what holds for every run holds for the worst one.

    >>> print(worst_target(Z**2).text())
    A² ≤ Z²
    """
    return AtMost(average**2, squared_bound)


REST: Formula = (Z**2 + sigma**2) / horizon
"""What a run misses of the bound of A², at h = 1."""


@of_formulas()
def sharp_multipliers(squared_bound: Formula = SHARP**2) -> Proof:
    """C12: ``A² ≤ SHARP²`` for every run, so for the worst; at h = 1 a run has all of it but (Z² + σ²)/T.

    From C2c's inequality at m = 0: the descent lemma at each step, and E‖b_t‖² ≤ Z², each with its multiplier.

    Examples
    --------
    >>> sharp_multipliers().axioms
    ('Cauchy-Schwarz', 'descent lemma')
    """
    absolute_bias = instantiate(relative_inequality(), {relative_bias: Integer(0)}, reason="C2c, without m")
    bound = solved(sharp_target(), absolute_bias, Z)
    squares = combine(
        worst_target(squared_bound),
        [(average + SHARP, bound)],
        reason="and so are the squares",
    )
    return Proof((squares, last_step_attained(squared_bound - REST)))


@of_formulas()
def every_horizon(right_side: Formula = DESCENT) -> Proof:
    """C14: the sharp bound of A with the fall ``D`` of f in place of Δ, attained at every T, h, σ, Z and D > 0.

    This toolkit's own. On Λ‖x‖²/2 the bias is against the gradient for h ≤ 1, along it for h ≥ 1, in proportion to it;
    the noise is orthogonal to it. Where neither f falls nor there is noise, see :func:`~.refinements.floor_bound`.

    Examples
    --------
    >>> every_horizon().axioms
    ('Cauchy-Schwarz', 'descent lemma')
    """
    asserted = right_side.subs(fall, gap)
    bound = solved(sharp_target(asserted), quadratic_inequality(given("fall")), Z)
    excess = gap / (eta * horizon) + h * sigma**2 / 2
    runs = [theorem for side in (1, -1) for theorem in falling(side, Z, settles(side, asserted, excess, "the bound"))]
    return Proof(tuple(instantiate(theorem, {gap: fall}, reason="D for Δ") for theorem in (bound, *runs)))
