"""The divergence at the orders 0, 1 and ∞, as limits that are taken, not as cases that are asserted."""

from __future__ import annotations

from sympy import (
    Derivative,
    IndexedBase,
    Limit,
    Piecewise,
    Pow,
    Rational,
    Subs,
    Sum,
    Symbol,
    Tuple,
    exp,
    log,
    oo,
    symbols,
)

from rdml_theory.symbolic.arguments import formula, of_formulas
from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.expression import RenyiDivergence, divergence
from rdml_theory.symbolic.maximum import Maximum
from rdml_theory.symbolic.notation import TEACHER, C, Formula, Named, alpha, i, p, q
from rdml_theory.symbolic.relations import equal, greater

__all__ = ["GREATEST_RATIO", "KULLBACK_LEIBLER", "SUPPORT", "limit", "limits"]

SUPPORT: Formula = Named("q(p > 0)", r"q(p > 0)")
"""The mass that q puts on the support of p."""

GREATEST_RATIO: Formula = Maximum(p[i] / q[i], (i, 1, C))
"""The greatest ratio of the two probabilities."""

_partial: Formula = IndexedBase("p", nonnegative=True)
_on_support = Sum(Piecewise((q[i], _partial[i] > 0), (0, True)), (i, 1, C))
_DIVERGENCES: dict[Formula, Formula] = {Rational(0): RenyiDivergence(_partial[i], q[i], alpha, (i, 1, C))}

KULLBACK_LEIBLER: Formula = Sum(p[i] * log(p[i] / q[i]), (i, 1, C))

_LIMITS: dict[Formula, Formula] = {Rational(0): -log(SUPPORT), Rational(1): KULLBACK_LEIBLER, oo: log(GREATEST_RATIO)}


def _order_zero(asserted: Formula) -> tuple[Step, ...]:
    x, y = symbols("p_i q_i", positive=True)
    term = x**alpha * y ** (1 - alpha)
    return (
        Step("where p_i > 0, the summand tends to q_i", equal(Limit(term, alpha, 0, "+"), y)),
        Step("where p_i = 0, the factor p_i^α is 0 for every α > 0", equal(Pow(0, alpha, evaluate=False), Rational(0))),
        Step(
            "so the sum tends to q(p > 0), and 1/(α-1) to -1",
            equal(Limit(log(SUPPORT) / (alpha - 1), alpha, 0, "+"), asserted),
            (equal(SUPPORT, _support),),
        ),
    )


_support = Symbol("q_support", positive=True)


def _order_one(asserted: Formula) -> tuple[Step, ...]:
    exponent = log(Sum(p[i] ** alpha * q[i] ** (1 - alpha), (i, 1, C)))
    slope = Subs(Derivative(exponent, alpha), alpha, 1)
    # With p = softmax(u) the constraint Σ p = 1 is part of the expression.
    return (
        Step(
            "log Σ p_i^α q_i^(1-α) vanishes at α = 1, since p sums to one",
            equal(Subs(exponent, alpha, 1), Rational(0)),
            (TEACHER,),
        ),
        Step(
            "l'Hôpital: the limit is its derivative there, divided by d(α-1)/dα = 1",
            equal(slope, asserted),
            (TEACHER,),
        ),
    )


def _order_infinity(asserted: Formula) -> tuple[Step, ...]:
    top, mass = symbols("M q_m", positive=True)
    log_top, log_mass = symbols("L l", real=True)  # log M may have either sign
    upper, lower = alpha * log(top), log(mass) + alpha * log(top)
    in_logs = (equal(GREATEST_RATIO, top), equal(top, exp(log_top)), equal(mass, exp(log_mass)))
    return (
        Step(
            "with M = max p_i/q_i at i = m, each summand q_i (p_i/q_i)^α is at most q_i M^α: x^α increases in x",
            greater(Derivative(top**alpha, top), 0),
        ),
        Step("and one summand is q_m M^α > 0, so q_m M^α ≤ S ≤ M^α", greater(mass * top**alpha, 0)),
        *(
            Step(
                f"the {side} bound of log S, divided by α-1, tends to the limit",
                equal(Limit(bound / (alpha - 1), alpha, oo), asserted),
                in_logs,
            )
            for side, bound in (("lower", lower), ("upper", upper))
        ),
    )


def limit(order: Formula | float, right_side: Formula | None = None) -> Derivation:
    """The limit of D_α(p‖q) as α tends to 0, 1 or ∞.

    Parameters
    ----------
    order : 0, 1 or ∞
        Where the limit is taken (``sympy.oo`` or ``math.inf`` for ∞).
    right_side : Formula, optional
        The asserted limit. Anything but the true one is disproved.

    Raises
    ------
    ValueError
        If ``order`` is not 0, 1 or ∞.

    Examples
    --------
    >>> limit(1).verify(), limit(1, KULLBACK_LEIBLER / 2).verify()
    (True, False)
    """
    key = formula("order", order)
    key = next((known for known in _LIMITS if known == key or (known - key).is_zero), None)
    if key is None:
        raise ValueError(f"limit at order {order}: the divergence is its own value there; take 0, 1 or ∞")
    asserted = _LIMITS[key] if right_side is None else formula("right_side", right_side)
    steps = {Rational(0): _order_zero, Rational(1): _order_one, oo: _order_infinity}[key](asserted)
    direction = "+-" if key == 1 else "+"
    statement = equal(Limit(_DIVERGENCES.get(key, divergence), alpha, key, direction), asserted)
    meaning = {Rational(0): (equal(SUPPORT, _on_support),), Rational(1): (TEACHER,), oo: ()}[key]
    return Derivation(statement, (*steps, Step("so this is the limit of the divergence", statement, meaning)))


@of_formulas(tuple, 3)
def limits(right_sides: tuple[Formula, Formula, Formula] | None = None) -> Derivation:
    """The limits at 0, 1 and ∞ together: D_0 = -log q(p>0), D_1 = KL(p‖q), D_∞ = log max p/q.

    Parameters
    ----------
    right_sides : tuple of three Expr, optional
        The asserted limits, in this order.

    Examples
    --------
    >>> limits().verify()
    True
    """
    asserted = tuple(_LIMITS.values()) if right_sides is None else right_sides
    parts = [limit(order, side) for order, side in zip(_LIMITS, asserted, strict=True)]
    statement = Tuple(*(part.statement for part in parts))
    return Derivation(statement, tuple(step for part in parts for step in part.steps))
