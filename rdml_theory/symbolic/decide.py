"""Deciding whether an equality or an inequality of symbolic expressions holds.

SymPy's own ``simplify`` fails on powers of sums, so equalities of expressions with symbolic sums are decided by
a normal form: derivatives are taken, Kronecker deltas summed (every free index lies in 1..C), constants pulled
out of sums, equal sums recognised up to the name of their index, and what remains is a rational function. What these
rules do not cover is out of scope.

The answer has three values. ``True``: the normal form of the difference is zero, and so is its value at random points
with one to three classes. ``False``: a point was found at which it is not. ``None``: neither, so nothing is claimed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import cast

from sympy import (
    Add,
    Derivative,
    Dummy,
    Eq,
    Float,
    Ge,
    Gt,
    Indexed,
    Integer,
    KroneckerDelta,
    Le,
    Limit,
    Lt,
    Mul,
    Piecewise,
    Pow,
    Rational,
    S,
    Subs,
    Sum,
    Symbol,
    expand,
    expand_power_base,
    powsimp,
    simplify,
    together,
)  # fmt: skip
from sympy.core.relational import Relational

from rdml_theory.symbolic.notation import Formula, i, j, k, l, m, n

__all__ = [
    "OutOfScopeError", "decide", "evaluate", "is_identity", "is_manifestly_nonnegative", "is_manifestly_positive",
    "normal_form",
]  # fmt: skip

_DIGITS = 40
_INDICES = {i, j, k, l, m, n}
_TOLERANCE = Float(10) ** -25


class OutOfScopeError(ValueError):
    """The normal form does not cover an expression, so nothing is concluded from it.

    >>> from sympy import Piecewise, Symbol
    >>> x = Symbol("x", real=True)
    >>> normal_form(Piecewise((x, x > 0), (-x, True)))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.decide.OutOfScopeError: a case distinction
    """


def is_manifestly_positive(expression: Formula) -> bool:
    """Whether an expression is manifestly positive; SymPy does not look into symbolic sums.

    >>> from rdml_theory.symbolic.notation import alpha, q
    >>> is_manifestly_positive(Sum(q[i] ** alpha, (i, 1, 3))), is_manifestly_positive(alpha - 1)
    (True, False)
    """
    if isinstance(expression, Sum):
        return is_manifestly_positive(expression.function)
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
        if index not in delta.args or other not in _INDICES:
            raise OutOfScopeError(f"a delta of something else than two class indices: {delta}")
        result += constant * (varying / delta).subs(index, other)
    return result


def _taken(expression: Formula) -> Formula:
    """The expression with its derivatives, substitutions and limits taken, its sums left as they are."""
    expression = expression.replace(lambda e: isinstance(e, Derivative), lambda e: e.expr.diff(*e.variables))
    return expression.doit() if expression.has(Limit, Subs) else expression


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
    expression = _taken(expression)
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


def evaluate(expression: Formula, classes: int = 3, seed: int = 0) -> Formula:
    """The value of an expression at a random rational point with a concrete number of classes, to 40 digits.

    Probability vectors are not constrained to sum to one: the identities decided here hold for positive vectors,
    or have been expanded to logits before.

    >>> from rdml_theory.symbolic.notation import k, q
    >>> evaluate(q[k] / q[k])
    1.000000000000000000000000000000000000000
    """
    stream = random.Random(f"{classes}/{seed}")
    expression = _taken(expression)
    point: dict[Formula, Formula] = {
        s: Integer(classes) if s.name == "C" else Integer(stream.randint(1, classes))
        for s in sorted(expression.free_symbols, key=str)
        if isinstance(s, Symbol) and s.is_integer
    }
    expression = expression.subs(point).doit()
    if expression.has(Sum):
        return S.NaN  # a sum whose bounds stay symbolic has no value here
    atoms = sorted(expression.atoms(Indexed), key=str)
    values: dict[Formula, Formula] = {a: Rational(stream.randint(1, 99), 100) for a in atoms}
    expression = expression.xreplace(values)
    for symbol in sorted(expression.free_symbols, key=str):
        low = 1 if symbol.is_nonnegative else -99  # type: ignore[union-attr]
        expression = expression.subs(symbol, Rational(stream.randint(low, 99) or 1, 100))
    return expression.evalf(_DIGITS)


def _points(expression: Formula) -> Iterator[Formula]:
    """Values at random points with one to three classes, where they are finite numbers."""
    for classes in (3, 1, 2):
        for seed in range(2):
            value = evaluate(expression, classes, seed)
            if value.is_number and value.is_extended_real and value.is_finite:
                yield value


def is_identity(left: Formula, right: Formula) -> bool | None:
    """Whether two expressions are equal for all values of their symbols.

    ``True`` needs both a normal form that vanishes and agreement at random points with one to three classes; a single
    point of disagreement makes it ``False``.

    >>> from sympy import Symbol, cos, sin
    >>> x = Symbol("x", real=True)
    >>> is_identity(sin(x) ** 2 + cos(x) ** 2, 1 + 0 * x), is_identity(sin(2 * x), sin(x))
    (True, False)
    """
    difference = left - right
    if any(abs(value) > _TOLERANCE for value in _points(difference)):
        return False
    try:
        return True if normal_form(difference) == 0 else None
    except OutOfScopeError:
        return None


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
        return is_manifestly_nonnegative(expression.base)
    return False


def _is_nonnegative(expression: Formula) -> bool | None:
    if any(value < -_TOLERANCE for value in _points(expression)):
        return False
    if is_manifestly_nonnegative(expression):
        return True
    try:
        return True if normal_form(expression).is_nonnegative else None
    except OutOfScopeError:
        return None


def decide(relation: Relational) -> bool | None:
    """Decide an (unevaluated) equality or inequality: ``True``, ``False`` or, when nothing can be said, ``None``.

    An inequality is decided only when its difference is manifestly signed: a product of squares and of symbols
    declared non-negative. Whoever states it supplies that form.

    >>> from sympy import Symbol
    >>> from rdml_theory.symbolic.relations import at_least, equal
    >>> x = Symbol("x", real=True)
    >>> decide(at_least((x - 1) ** 2, 0)), decide(equal((x - 1) ** 2, x**2 + 1))
    (True, False)
    """
    if not isinstance(relation, Eq | Ge | Gt | Le | Lt):
        raise TypeError(f"cannot decide {relation!r}: expected an equality or an inequality")
    left, right = cast("tuple[Formula, Formula]", relation.args)
    if isinstance(relation, Eq):
        return is_identity(left, right)
    larger = _taken(left - right if isinstance(relation, Ge | Gt) else right - left)
    return larger.is_positive if isinstance(relation, Gt | Lt) else _is_nonnegative(larger)
