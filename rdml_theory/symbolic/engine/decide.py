"""Deciding whether an equality or an inequality of symbolic expressions holds.

SymPy's own ``simplify`` fails on powers of sums, so equalities of expressions with symbolic sums are decided by
a normal form: derivatives are taken, Kronecker deltas summed (every free index lies in 1..C), constants pulled
out of sums, equal sums recognised up to the name of their index, and what remains is a rational function. What these
rules do not cover is out of scope.

The answer has three values. ``True``: the normal form of the difference is zero, and so is its value at random points
with one to four classes. ``False``: a point was found at which it is not. ``None``: neither, so nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, cast

import mpmath as mp
from sympy import (
    Add,
    Derivative,
    Dummy,
    Eq,
    Ge,
    Gt,
    Integer,
    KroneckerDelta,
    Le,
    Limit,
    Lt,
    Mul,
    Piecewise,
    Pow,
    Subs,
    Sum,
    Symbol,
    expand,
    expand_power_base,
    factorial,
    powsimp,
    simplify,
    together,
)  # fmt: skip
from sympy.core.relational import Relational

from rdml_theory.symbolic.engine.evaluation import Point, points
from rdml_theory.symbolic.engine.substitution import substitute
from rdml_theory.symbolic.notation import Formula, i, j, k, l, m, n
from rdml_theory.symbolic.relations import equal

__all__ = [
    "INDICES", "OutOfScopeError", "counterexample", "decide", "is_identity", "is_manifestly_nonnegative",
    "is_manifestly_positive", "normal_form", "taken",
]  # fmt: skip

INDICES = {i, j, k, l, m, n}
"""The class indices, each in 1..C."""

_TOLERANCE = mp.mpf(10) ** -25


class OutOfScopeError(ValueError):
    """The normal form does not cover an expression, so nothing is concluded from it.

    >>> from sympy import Piecewise, Symbol
    >>> x = Symbol("x", real=True)
    >>> normal_form(Piecewise((x, x > 0), (-x, True)))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.engine.decide.OutOfScopeError: a case distinction
    """


def is_manifestly_positive(expression: Formula) -> bool:
    """Whether an expression is manifestly positive; SymPy does not look into symbolic sums.

    >>> from rdml_theory.symbolic.notation import alpha, q
    >>> is_manifestly_positive(Sum(q[i] ** alpha, (i, 1, 3))), is_manifestly_positive(alpha - 1)
    (True, False)
    """
    if isinstance(expression, Sum):
        # An empty sum is zero.
        some = all((high - low).is_nonnegative for _, low, high in expression.limits)
        return some and is_manifestly_positive(expression.function)
    if isinstance(expression, Add | Mul):
        return all(is_manifestly_positive(part) for part in expression.args)
    if isinstance(expression, Pow):
        return is_manifestly_positive(expression.base) and expression.exp.is_extended_real is True
    return expression.is_positive is True


def _check_scope(expression: Formula) -> None:
    """Refuse what the rules of the normal form would get wrong."""
    if expression.has(Piecewise):
        raise OutOfScopeError("a case distinction")
    for total in expression.atoms(Sum):
        if len(total.limits) != 1 or total.limits[0][1] != 1 or not isinstance(total.limits[0][2], Symbol):
            raise OutOfScopeError(f"a sum that does not run over 1..n for a symbol n: {total}")
    for power in expression.atoms(Pow):
        # (x y)^e = x^e y^e for positive x, whatever the sign of one other factor.
        if not power.exp.is_integer and sum(not is_manifestly_positive(f) for f in Mul.make_args(power.base)) > 1:
            raise OutOfScopeError(f"a power whose base is not manifestly positive: {power}")


def _split_sum(total: Formula) -> Formula:
    """``Σ (c f_i + d δ_ik g_i)`` becomes ``c Σ f_i + d g_k``, for a class index k, which lies in 1..C."""
    index, low, high = total.limits[0]
    result: Formula = Integer(0)
    for term in Add.make_args(expand(expand_power_base(total.function, force=True))):
        constant, varying = term.as_independent(index, as_Add=False)
        delta = next((f for f in Mul.make_args(varying) if isinstance(f, KroneckerDelta)), None)
        if delta is None:
            result += constant * Sum(varying, (index, low, high))
            continue
        other = next(a for a in delta.args if a != index)
        if index not in delta.args or other not in INDICES:
            raise OutOfScopeError(f"a delta of something else than two class indices: {delta}")
        result += constant * substitute(varying / delta, {index: other})
    return result


@lru_cache(maxsize=4096)
def taken(expression: Formula) -> Formula:
    """The expression with its derivatives, substitutions and limits taken, its sums left as they are.

    What has a ``definition()`` is replaced by it.

    >>> from sympy import Derivative
    >>> from rdml_theory.symbolic.notation import alpha
    >>> taken(Subs(Derivative(alpha**2, alpha), alpha, 3))
    6
    """
    if not expression.args:
        return expression
    if hasattr(expression, "definition"):
        return taken(expression.definition())
    if isinstance(expression, Subs):
        body, variables, values = cast("tuple[Formula, Formula, Formula]", expression.args)
        return substitute(taken(body), dict(zip(variables, values, strict=True)))
    if isinstance(expression, Limit):
        # Not `doit` of the parts: it looks for closed forms of symbolic sums.
        # Nor the definition of the body: an expression that has limits of its own takes them.
        body, *where = cast("tuple[Formula, ...]", expression.args)
        if hasattr(body, "definition"):
            return taken(Limit(body, *where).doit(deep=False))
        body = taken(body)
        slope = _by_lhopital(body, *where[:2])
        return taken(Limit(body, *where).doit(deep=False)) if slope is None else slope
    if isinstance(expression, Derivative):
        return taken(expression.expr).diff(*expression.variables)
    arguments = [taken(a) for a in expression.args]
    unchanged = all(a is b for a, b in zip(arguments, expression.args, strict=True))
    return expression if unchanged else expression.func(*arguments)


def _by_lhopital(body: Formula, variable: Formula, point: Formula) -> Formula | None:
    """The limit of ``f/(x-a)^n`` at a, for f with symbolic sums (SymPy's limit does not cover those): f^(n)(a)/n!.

    It is first verified that f and its derivatives below the n-th vanish there. ``None`` if the body has another form.
    """
    if not body.has(Sum) or not point.is_finite:
        return None
    rest, order, slope = Integer(1), 0, Integer(1)
    for factor in Mul.make_args(body):
        base, exponent = factor.as_base_exp()
        if (
            exponent.is_negative
            and exponent.is_Integer
            and base.is_polynomial(variable)
            and base.subs(variable, point) == 0
        ):
            steepness = base.diff(variable)
            if steepness.has(variable):
                return None
            order, slope = order - int(exponent), slope * steepness ** (-exponent)
        else:
            rest *= factor
    for _ in range(order):
        if normal_form(substitute(rest, {variable: point})) != 0:
            return None
        rest = rest.diff(variable)
    return substitute(rest, {variable: point}) / (factorial(order) * slope)


def normal_form(expression: Formula) -> Formula:
    """The expression with derivatives and limits taken and its sums in a canonical form.

    Raises
    ------
    OutOfScopeError
        If it holds a case distinction, a sum that does not run over 1..n, a delta of anything but two class indices,
        or a power of a product that is not manifestly positive.

    Examples
    --------
    >>> from rdml_theory.symbolic.notation import C, i, k, q
    >>> from sympy import KroneckerDelta, Sum
    >>> normal_form(Sum(2 * q[i] * KroneckerDelta(i, k), (i, 1, C)))
    2*q[k]
    """
    expression = taken(expression)
    _check_scope(expression)
    expression = expression.replace(lambda e: isinstance(e, Sum), _split_sum)
    expression = expand_power_base(expression, force=True)
    names: dict[object, Dummy] = {}
    replacements = {}
    for total in sorted(expression.atoms(Sum), key=str):
        index, *bounds = total.limits[0]
        summand = powsimp(expand(total.function.subs(index, Symbol("_index")), power_base=True))
        replacements[total] = names.setdefault((summand, *bounds), Dummy(f"S{len(names)}", positive=True))
    expression = together(expression.xreplace(replacements))
    _check_scope(expression)
    return simplify(powsimp(expand(expand_power_base(expression, force=True), power_exp=True)))


def is_manifestly_nonnegative(expression: Formula) -> bool:
    """Whether an expression is a sum of products of squares and of what is declared or manifestly not negative.

    >>> from sympy import Symbol
    >>> x, y = Symbol("x", real=True), Symbol("y", nonnegative=True)
    >>> is_manifestly_nonnegative(x**2 * y + 1), is_manifestly_nonnegative(x * y)
    (True, False)
    """
    if is_manifestly_positive(expression) or expression.is_nonnegative is True:
        return True
    if isinstance(expression, Sum):
        return is_manifestly_nonnegative(expression.function)
    if isinstance(expression, Add | Mul):
        return all(is_manifestly_nonnegative(part) for part in expression.args)
    if isinstance(expression, Pow) and expression.exp.is_real:
        square = expression.exp.is_even and expression.base.is_real
        return bool(square) or is_manifestly_nonnegative(expression.base)
    return False


def counterexample(relation: Relational, seed: object = 0, count: int = 3) -> Point | None:
    """A random point at which a relation does not hold, if one is found: ``count`` points of one to four classes each.

    >>> from rdml_theory.symbolic.notation import k, q
    >>> from rdml_theory.symbolic.relations import at_most
    >>> point = counterexample(at_most(q[k], q[k] ** 2))
    >>> bool(point.value(q[k]) < 1)
    True
    """
    left, right = (taken(side) for side in relation.args)
    return _sampled(left, right, relation, points(seed, count))[1]


def _sampled(left: Formula, right: Formula, relation: Relational, at: Iterable[Point]) -> tuple[int, Point | None]:
    """At how many points both sides have a value, up to the first at which the relation does not hold, and that one.

    None have, if the sides hold something that cannot be evaluated.
    """
    valued = 0
    for point in at:
        try:
            difference = _difference(point, left, right)
        except TypeError:
            return 0, None
        if difference is None:
            continue
        valued += 1
        if _fails(relation, point, left, right):
            return valued, point
    return valued, None


def _fails(relation: Relational, point: Point, left: Formula, right: Formula) -> bool:
    """Whether the relation fails at the point; twice the digits tell a violation from cancellation."""
    return not any(_holds(relation, _difference(at, left, right)) for at in (point, point.finer()))


def _difference(point: Point, left: Formula, right: Formula) -> Any | None:
    """Left minus right at a point, relative to their size if that is above one."""
    first, second = point.value(left), point.value(right)
    return None if first is None or second is None else (first - second) / max(1, abs(first), abs(second))


def _holds(relation: Relational, difference: Any | None) -> bool:
    """Whether a relation holds up to rounding where its sides have this difference (or none)."""
    if difference is None:
        return True
    if isinstance(relation, Eq):
        return abs(difference) <= _TOLERANCE
    return difference >= -_TOLERANCE if isinstance(relation, Ge | Gt) else difference <= _TOLERANCE


def _is_proved(left: Formula, right: Formula, relation: Relational) -> bool:
    try:
        if isinstance(relation, Eq):
            return left == right or normal_form(left - right) == 0
        larger = left - right if isinstance(relation, Ge | Gt) else right - left
        if isinstance(relation, Gt | Lt):
            return is_manifestly_positive(larger)
        return is_manifestly_nonnegative(larger) or normal_form(larger).is_nonnegative is True
    except OutOfScopeError:
        return False


@lru_cache(maxsize=4096)
def decide(relation: Relational, seed: object = 0) -> bool | None:
    """Decide an (unevaluated) equality or inequality: ``True``, ``False`` or, when nothing can be said, ``None``.

    An inequality is decided only when its difference is manifestly signed: a product of squares and of symbols
    declared non-negative. Whoever states it supplies that form.

    Parameters
    ----------
    relation : Eq, Ge, Gt, Le or Lt
        The relation, for all values of its symbols with the signs they are declared with.
    seed : hashable
        Names the random points.

    Examples
    --------
    >>> from sympy import Symbol
    >>> from rdml_theory.symbolic.relations import at_least, equal
    >>> x = Symbol("x", real=True)
    >>> decide(at_least((x - 1) ** 2, 0)), decide(equal((x - 1) ** 2, x**2 + 1))
    (True, False)
    """
    if not isinstance(relation, Eq | Ge | Gt | Le | Lt):
        raise TypeError(f"cannot decide {relation!r}: expected an equality or an inequality")
    left, right = cast("tuple[Formula, Formula]", tuple(taken(side) for side in relation.args))
    valued, violation = _sampled(left, right, relation, points(seed))
    if violation is not None:
        return False
    return True if valued and _is_proved(left, right, relation) else None


def is_identity(left: Formula, right: Formula) -> bool | None:
    """Whether two expressions are equal for all values of their symbols: :func:`decide` for an equality.

    >>> from sympy import Symbol, cos, sin
    >>> x = Symbol("x", real=True)
    >>> is_identity(sin(x) ** 2 + cos(x) ** 2, 1 + 0 * x), is_identity(sin(2 * x), sin(x))
    (True, False)
    """
    return decide(equal(left, right))
