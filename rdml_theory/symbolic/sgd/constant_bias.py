"""C3: the bias is real. On f = Λ‖x‖²/2 with a constant bias the squared gradient settles at ζ², whatever the step size.

The run is ``x_{t+1} = x_t - η(∇f(x_t) + b e)`` on the line of a unit vector e; r = 1 - Λη, and u e = ∇f(x_0) + b e says
how far the gradient is from -b e, where it ends.
"""

from __future__ import annotations

from sympy import Abs, Integer, Sum, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.elementary import powers, sized, summed
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.descent import eta, horizon
from rdml_theory.symbolic.sgd.extremal import SLOPE
from rdml_theory.symbolic.sgd.setting import *

__all__ = [
    "ASSUMPTIONS", "PLATEAU", "bias", "bias_plateau", "distance", "gradient_size", "plateau_target", "ratio",
    "settled_target",
]  # fmt: skip

bias: Formula = Symbol("b", real=True)
ratio: Formula = Symbol("r", real=True)
distance: Formula = Symbol("u", real=True)
unit = Vector("e")

PLATEAU: Formula = bias**2
"""What the average tends to: ζ²."""

_UNIT = Equal(square(unit), Integer(1))
_UPDATE = ForAll(t, Equal(after, x - eta * (g + bias * unit)))
_START = Equal(Gradient("f", first), (distance - bias) * unit)
_RATIO = Equal(ratio, 1 - smoothness * eta)
_BELOW, _ABOVE = Less(ratio, 1), Less(-1, ratio)

ASSUMPTIONS = assumptions("average", *(h.text() for h in (SLOPE, _UNIT, _UPDATE, _START, _RATIO, _BELOW, _ABOVE)))
"""What the closed form assumes, as text."""


def _transient(steps: Term) -> Term:
    """T (A² - b²)."""
    once, twice = 1 - ratio**steps, 1 - ratio ** (2 * steps)
    return -2 * bias * distance * once / (1 - ratio) + distance**2 * twice / ((1 - ratio) * (1 + ratio))


def plateau_target(plateau: Formula = PLATEAU) -> Equal:
    """``A² = ζ² + [-2bu(1-r^T)/(1-r) + u²(1-r^{2T})/(1-r²)]/T``.

    >>> print(plateau_target().text())
    A² = b² + (u²·(1 - r^(2·T))/((1 - r)·(r + 1)) - 2·b·u·(1 - r^T)/(1 - r))/T
    """
    return Equal(average**2, plateau + _transient(horizon) / horizon)


def settled_target(plateau: Formula = PLATEAU) -> AtMost:
    """``T |A² - ζ²| ≤ 4|bu|/(1-r) + u²/(1-r²)``.

    >>> print(settled_target().text())
    T·|A² - b²| ≤ u²/((1 - r)·(r + 1)) + 4·|b·u|/(1 - r)
    """
    most = 4 * Abs(bias * distance) / (1 - ratio) + distance**2 / ((1 - ratio) * (1 + ratio))
    return AtMost(horizon * Abs(average**2 - plateau), most)


def _inside() -> tuple[Theorem, Theorem]:
    """``r < 1`` and ``-1 < r``."""
    return given(_BELOW), given(_ABOVE)


def gradient_size() -> Theorem:
    """``E‖∇f(x_t)‖² = (u r^t - b)²`` for every t."""
    slope = given(SLOPE, why="f = Λ‖x‖²/2")
    told = given(_RATIO)
    moved = combine(
        Equal(Gradient("f", after), ratio * g - (1 - ratio) * bias * unit),
        [
            (1, specialise(slope, after, reason="at x_{t+1}")),
            (-1, specialise(slope, x, reason="at x_t")),
            (smoothness, given(_UPDATE, t)),
            (-g - bias * unit, told),
        ],
        reason="the gradient after a step",
    )
    supposed = assume(Equal(g, (distance * ratio**t - bias) * unit), reason="suppose")
    step = combine(
        Equal(Gradient("f", after), (distance * ratio ** (t + 1) - bias) * unit),
        [(1, moved), (ratio, supposed)],
        reason="what is left of u shrinks by r",
    )
    always = induct(given(_START), step, t, reason="by induction")
    here = specialise(always, t, reason="at every step")
    norm = combine(
        Equal(square(g), (distance * ratio**t - bias) ** 2),
        [(1, squared(here)), ((distance * ratio**t - bias) ** 2, given(_UNIT))],
        reason="e has norm one",
    )
    return expectation(norm, reason="take expectations")


def _closed(plateau: Formula) -> Theorem:
    count = Symbol("k", integer=True, nonnegative=True)
    known = _inside()
    norm = gradient_size()

    def total(steps: Term) -> Equal:
        sums = Sum(Mean(square(g)), (t, 0, steps - 1))
        return Equal(sums, steps * bias**2 + _transient(steps))

    each = summed(total, count, [(1, instantiate(norm, {t: count}, reason="the last"))], known)
    whole = specialise(each, horizon, reason="all T of them")
    return combine(plateau_target(plateau), [(1 / horizon, whole), (1, given("average"))], reason="divide by T")


def _small_powers() -> tuple[Theorem, Theorem, Theorem]:
    """``r^{2T} ≤ 1``, ``r^T ≤ 1`` and ``-1 ≤ r^T``."""
    below, above = _inside()
    shrinks = combine(Less(ratio**2, 1), [(1 + ratio, below)], known=[above], reason="r² is below 1")
    squares = instantiate(discharge(powers(ratio**2)[0], shrinks), {t: horizon}, reason="at T")
    power = ratio**horizon
    size = root(squares, power, reason="take roots")
    return (
        squares,
        combine(AtMost(power, 1), [(1, absolute(power)), (1, size)], reason="from above"),
        combine(AtMost(-power, 1), [(1, absolute(-power)), (1, size)], reason="and from below"),
    )


def _settled(plateau: Formula, closed: Theorem) -> Theorem:
    """``T |A² - ζ²|`` is bounded, whatever T: A² tends to ζ²."""
    known = _inside()
    squares, high, low = _small_powers()
    target = settled_target(plateau)
    value, most = horizon * (average**2 - plateau), target.right
    product, power = bias * distance, ratio**horizon
    share = distance**2 / ((1 - ratio) * (1 + ratio))
    above, below = (
        combine(
            AtMost(sign * value, most),
            [
                (sign * horizon, closed),
                (2 * (1 - power) / (1 - ratio), absolute(-sign * product, reason="a number is at most its size")),
                (2 * Abs(product) / (1 - ratio), low),
                *more,
            ],
            slack=slack,
            known=[*known, high],
            reason="1-r^T lies between 0 and 2, and 1-r^{2T} between 0 and 1",
        )
        for sign, more, slack in ((1, [], share * power**2), (-1, [(share, squares)], share))
    )
    size = sized(above, below, known)
    return combine(target, [(1, size)], reason="so T times the distance stays bounded")


@of_formulas()
def bias_plateau(plateau: Formula = PLATEAU) -> Proof:
    """C3: ``A² = ζ² + [-2bu(1-r^T)/(1-r) + u²(1-r^{2T})/(1-r²)]/T`` for ``|r| < 1``, and ``T |A² - ζ²|`` stays bounded.

    ``plateau`` is the limit of A².

    Examples
    --------
    >>> bias_plateau().axioms
    ()
    """
    closed = _closed(plateau)
    return Proof((closed, _settled(plateau, closed)))
