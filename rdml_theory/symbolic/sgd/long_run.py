"""The worst case of long runs without noise, for a bias of at most ζ at every step and h < 1: its law as T → ∞.

Setting: that of :mod:`~rdml_theory.symbolic.sgd.descent` with σ = 0, h = Λη < 1 and R = Δ/(ηT) held fixed. α = ‖g‖ is
the size of a gradient, β that of the bias, ω = ‖g - h(g + b)‖ ≤ (1-h)α + hβ, and φ = Λ(f - inf f) ≥ α²/2.
"""

from __future__ import annotations

from sympy import Integer, Interval, Symbol, Tuple, symbols
from sympy.core.relational import Relational

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.certificates import certified, smt
from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.notation import Formula, Named
from rdml_theory.symbolic.relations import at_least, equal
from rdml_theory.symbolic.sgd.descent import h

__all__ = ["DRIFT", "ENOUGH", "LIMIT", "SLOPE", "long_run_law", "rate", "surplus", "zeta"]

zeta: Formula = Symbol("zeta", positive=True)
rate: Formula = Symbol("R", nonnegative=True)
surplus: Formula = Symbol("U", nonnegative=True)
LIMIT = Named("lim W", r"\lim W")
"""The limit of the largest A² as T → ∞ at fixed R = Δ/(ηT)."""

DRIFT: Formula = (1 - h / 4) * surplus**2 + zeta * surplus
"""What a step at the constant gradient ζ + U costs, over η."""

ENOUGH: Formula = 2 * zeta * (1 - h) / h
"""The largest U of a long run: what is left of a greater R goes into the first gradients."""

SLOPE: Formula = 2 / (2 - h)
"""By how much lim W grows with R from there on."""

_alpha, _omega, _beta, _after = symbols("alpha omega beta alpha_1", nonnegative=True)
_g, _d, _next = symbols("g d g_1", real=True)
_u: Formula = Symbol("u", positive=True)
_ZERO = Integer(0)
_UNIT = Interval.open(0, 1)

# The multipliers of a step at u = U/(ζ+U): λ of the values, q of the potential, κ of ω², τ of β².
_LAM = 4 / (h * (2 + (2 - h) * _u))
_RHO = 1 - h * _u
_Q = _LAM * (1 - _RHO) / 4
_KAPPA = _LAM * (1 + _RHO) / (4 * _RHO)
_TAU = _KAPPA * h * _RHO / (1 - _u)


def _lowered(before: Formula, moved: Formula, after: Formula) -> Formula:
    """φ - φ', at least."""
    return (before**2 - moved**2) / 2 + (after - moved) ** 2 / 4


def _coupled() -> tuple[Step, ...]:
    """α² ≤ λ(φ - φ') + q(α² - α'²) + τβ² at every step, and at the last gradient."""
    moved = _g - h * _d
    condition = (_g + _next) * h * _d / 2 + (_g - _next) ** 2 / 4 - (h * _d) ** 2 / 4
    spread = ((1 - h) * _alpha + h * _beta) ** 2
    slack = _LAM * _lowered(_alpha, _omega, _after) - _alpha**2 + _Q * (_alpha**2 - _after**2)
    slack += _KAPPA * (_omega**2 - spread) + _TAU * _beta**2
    weight = _KAPPA * h * (1 - h) / (1 - _u)
    squares = _LAM / (4 * _RHO) * (_omega - _RHO * _after) ** 2 + weight * ((1 - _u) * _alpha - _beta) ** 2
    inside = {h: _UNIT, _u: _UNIT}
    return (
        Step(
            "the condition between consecutive iterates, in w = g - hd, d = g + b; ‖g' - w‖ is at least |α' - ω|",
            equal(condition, _lowered(_g, moved, _next)),
        ),
        Step("for every u the multipliers λ, q, κ and τ of a step leave two squares", equal(slack - squares, _ZERO)),
        certified("whose weights are not negative", at_least(weight, _ZERO), smt, inside),
        certified("and at the last gradient, where φ ≥ α²/2, nothing is owed", at_least(_LAM / 2 + _Q, 1), smt, inside),
    )  # fmt: skip


def _begun(enough: Formula, slope: Formula) -> tuple[Step, ...]:
    """Where the potential starts: the first steps do without it, as long as U stays below ``enough``."""
    spread = ((1 - h) * _alpha + h * _beta) ** 2
    room = _LAM / 2 * (1 - (1 - h) ** 2) - 1
    cost = _LAM * h**2 / 2 * (_LAM / 2 - 1) / room
    plain = _LAM * (_alpha**2 - spread) / 2 - _alpha**2 + cost * _beta**2
    most = enough / (zeta + enough)
    return (
        Step(
            "the potential starts at the least of the first m gradients, which costs q A² T/m at most; a step before "
            "that leaves a square",
            equal(plain, (room * _alpha - _LAM / 2 * (1 - h) * h * _beta) ** 2 / room),
        ),
        Step(
            "that is not negative where u is below the asserted limit of U/(ζ+U)",
            equal(room, (2 - h) * (most - _u) / (2 + (2 - h) * _u)),
        ),
        Step("and there λh is the asserted slope", equal(_LAM * h, slope), (equal(_u, most),)),
    )  # fmt: skip


@of_formulas()
def long_run_law(
    drift: Formula | None = None, enough: Formula | None = None, slope: Formula | None = None
) -> Derivation:
    """lim W = (ζ + U)² where ``DRIFT`` = R, up to U = ``ENOUGH``; from there on it grows by ``SLOPE`` times R.

    Parameters
    ----------
    drift, enough, slope : Formula, optional
        The asserted cost of a step, greatest U and slope. What the argument does not give is disproved.

    Examples
    --------
    >>> long_run_law().verify(), long_run_law(drift=(1 - h / 2) * surplus**2 + zeta * surplus).verify()
    (True, False)
    """
    drift = DRIFT if drift is None else drift
    enough = ENOUGH if enough is None else enough
    slope = SLOPE if slope is None else slope
    level = zeta + surplus
    constant = _lowered(level, (1 - h) * level + h * zeta, level)
    steps = (
        *_coupled(),
        *_begun(enough, slope),
        Step(
            "summed, with m = √T → ∞: lim W ≤ λhR + τζ², which is (ζ+U)² where the asserted cost of a step is R",
            equal(_LAM * h * drift + _TAU * zeta**2, level**2),
            (equal(surplus, zeta * _u / (1 - _u)),),
        ),
        Step(
            "attained up to there: on a line, f' falls from ζ + U at slope Λ and rises again; a step costs the drift",
            equal(constant, h * drift),
        ),
        Step(
            "and beyond: first gradients that shrink by 1-h turn φ = α²/2 into squares at the asserted slope, over h",
            equal(2 / (1 - (1 - h) ** 2), slope / h),
        ),
    )  # fmt: skip
    law: tuple[Relational, ...] = (equal(LIMIT, level**2), equal(rate, drift))
    return Derivation(Tuple(*law), steps, {"enough": equal(surplus, enough)})
