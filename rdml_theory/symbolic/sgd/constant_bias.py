"""The bias is real: on f(x) = Λx²/2 with a constant bias the squared gradient settles at ζ², whatever the step size.

Setting: x' = x - η(Λx + b), |b| = ζ, r = 1 - Λη with |r| < 1; g_t = Λx_t, and u = g_0 + b is how far g_0 is from -b.
"""

from __future__ import annotations

from sympy import Integer, Limit, Symbol, Tuple, oo, symbols

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.notation import Formula, Named
from rdml_theory.symbolic.relations import at_least, equal

__all__ = ["AVERAGE", "PLATEAU", "bias", "bias_plateau", "distance", "horizon", "ratio"]

AVERAGE = Named("A²", "A^2")
"""(1/T) Σ_{t<T} g_t²."""

ratio, bias, distance = symbols("r b u", real=True)
horizon: Formula = Symbol("T", integer=True, positive=True)

PLATEAU: Formula = bias**2
"""What the average tends to: ζ²."""

_time: Formula = Symbol("t", integer=True, nonnegative=True)
_part: Formula = Symbol("p", positive=True)
_power, _rest = symbols("q R", real=True)
_ZERO = Integer(0)


def _transient(power: Formula) -> Formula:
    """T (A² - b²) where ``power`` stands for r^T."""
    return -2 * bias * distance * (1 - power) / (1 - ratio) + distance**2 * (1 - power**2) / (1 - ratio**2)


@of_formulas()
def bias_plateau(plateau: Formula | None = None) -> Derivation:
    """``A² = ζ² + [-2bu(1-r^T)/(1-r) + u²(1-r^{2T})/(1-r²)]/T``, which tends to ζ² for every ``|r| < 1``.

    Parameters
    ----------
    plateau : Formula, optional
        The asserted limit of A², in b and r (and T).

    Examples
    --------
    >>> bias_plateau().verify(), bias_plateau(bias**2 * (1 - ratio)).verify()
    (True, False)
    """
    asserted = PLATEAU if plateau is None else plateau

    def gradient(time: Formula) -> Formula:
        return -bias + distance * ratio**time

    def total(steps: Formula) -> Formula:
        return steps * bias**2 + _transient(ratio**steps)

    average = asserted + _transient(ratio**horizon) / horizon
    closed = equal(AVERAGE, average)
    settles = equal(Limit(asserted + _rest / horizon, horizon, oo), bias**2)
    inside = (equal(_power, (1 - _part) / (1 + _part)),)
    steps = (
        Step(
            "g_t = -b + u r^t solves g' = g - h(g + b), h = 1 - r",
            equal(gradient(_time + 1), gradient(_time) - (1 - ratio) * (gradient(_time) + bias)),
        ),
        Step(
            "the sum of g_t² over t < T grows by the next one",
            equal(total(horizon + 1) - total(horizon), gradient(horizon) ** 2),
        ),
        Step("and begins with the first", equal(total(Integer(1)), gradient(_ZERO) ** 2)),
        Step("so the average is this", closed, (equal(AVERAGE, total(horizon) / horizon),)),
        Step("r^T lies between -1 and 1, so 1 - r^T lies between 0", at_least(1 - _power, _ZERO), inside),
        Step("and 2", at_least(2 - (1 - _power), _ZERO), inside),
        Step("and r^(2T) below 1: what is divided by T stays bounded", at_least(1 - _power**2, _ZERO), inside),
        Step("and the average tends to ζ²", settles),
    )  # fmt: skip
    return Derivation(Tuple(closed, settles), steps)
