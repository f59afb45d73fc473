"""Deciding whether an equality or an inequality of symbolic expressions holds.

SymPy's own ``simplify`` fails on powers of sums, so equalities of expressions with symbolic sums are decided by
a normal form: derivatives are taken, Kronecker deltas summed (every free index lies in 1..C), constants pulled
out of sums, equal sums recognised up to the name of their index, and what remains is a rational function.

The answer has three values. ``True``: the difference is identically zero. ``False``: a point was found at which it
is not. ``None``: neither, so nothing is claimed.
"""

from __future__ import annotations

import random
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
    Rational,
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

from rdml_theory.symbolic.notation import Formula

__all__ = ["decide", "evaluate", "is_identity", "normal_form"]

_DIGITS = 40
_TOLERANCE = Float(10) ** -25


def _split_sum(total: Formula) -> Formula:
    """``Σ (c f_i + d δ_ik g_i)`` becomes ``c Σ f_i + d g_k``."""
    assert isinstance(total, Sum)
    index, low, high = total.limits[0]
    result: Formula = Integer(0)
    for term in Add.make_args(expand(expand_power_base(total.function, force=True))):
        constant, varying = term.as_independent(index, as_Add=False)
        delta = next((f for f in Mul.make_args(varying) if isinstance(f, KroneckerDelta)), None)
        if delta is None:
            result += constant * Sum(varying, (index, low, high))
        else:
            other = next(a for a in delta.args if a != index)
            result += constant * (varying / delta).subs(index, other)
    return result


def normal_form(expression: Formula) -> Formula:
    """The expression with derivatives and limits taken and its sums in a canonical form.

    All bases of powers must be positive, as probabilities, exponentials and their sums are.

    >>> from rdml_theory.symbolic.notation import C, i, k, q
    >>> from sympy import KroneckerDelta, Sum, simplify
    >>> normal_form(Sum(2 * q[i] * KroneckerDelta(i, k), (i, 1, C)))
    2*q[k]
    """
    if expression.has(Derivative, Limit, Subs):
        expression = expression.doit()
    # Summing a delta makes SymPy ask whether 1 <= k <= C; it always is.
    expression = expression.replace(lambda e: isinstance(e, Piecewise), lambda e: e.args[0].expr)
    expression = expression.replace(lambda e: isinstance(e, Sum), _split_sum)
    expression = expand_power_base(expression, force=True)
    names: dict[object, Dummy] = {}
    replacements = {}
    for total in sorted(expression.atoms(Sum), key=str):
        index, *bounds = total.limits[0]
        summand = powsimp(expand(total.function.subs(index, Symbol("_index")), power_base=True))
        replacements[total] = names.setdefault((summand, *bounds), Dummy(f"S{len(names)}", positive=True))
    expression = expression.xreplace(replacements)
    expression = powsimp(expand(expand_power_base(together(expression), force=True), power_exp=True))
    return simplify(expression)


def evaluate(expression: Formula, classes: int = 3, seed: int = 0) -> Formula:
    """The value of an expression at a random rational point with a concrete number of classes, to 40 digits.

    Probability vectors are not constrained to sum to one: the identities decided here hold for positive vectors,
    or have been expanded to logits before.

    >>> from rdml_theory.symbolic.notation import k, q
    >>> evaluate(q[k] / q[k])
    1.000000000000000000000000000000000000000
    """
    stream = random.Random(seed)
    expression = expression.doit() if expression.has(Derivative, Limit, Subs) else expression
    expression = expression.replace(lambda e: isinstance(e, Piecewise), lambda e: e.args[0].expr)
    point: dict[Formula, Formula] = {
        s: Integer(classes) if s.name == "C" else Integer(stream.randint(1, classes))
        for s in sorted(expression.free_symbols, key=str)
        if isinstance(s, Symbol) and s.is_integer
    }
    expression = expression.subs(point).doit()
    atoms = sorted(expression.atoms(Indexed), key=str) or []
    values: dict[Formula, Formula] = {a: Rational(stream.randint(1, 99), 100) for a in atoms}
    expression = expression.xreplace(values)
    for symbol in sorted(expression.free_symbols, key=str):
        low = 1 if symbol.is_nonnegative else -99  # type: ignore[union-attr]
        expression = expression.subs(symbol, Rational(stream.randint(low, 99) or 1, 100))
    return expression.evalf(_DIGITS)


def is_identity(left: Formula, right: Formula) -> bool | None:
    """Whether two expressions are equal for all values of their symbols.

    >>> from sympy import Symbol, cos, sin
    >>> x = Symbol("x", real=True)
    >>> is_identity(sin(x) ** 2 + cos(x) ** 2, 1 + 0 * x), is_identity(sin(2 * x), sin(x))
    (True, False)
    """
    difference = left - right
    if normal_form(difference) == 0:
        return True
    for seed in range(5):
        value = evaluate(difference, seed=seed)
        if value.is_number and value.is_finite and abs(value) > _TOLERANCE:
            return False
    return None


def _is_nonnegative(expression: Formula) -> bool | None:
    for form in (lambda: expression, lambda: normal_form(expression)):
        if (verdict := form().is_nonnegative) is not None:
            return verdict
    for seed in range(5):
        value = evaluate(expression, seed=seed)
        if value.is_number and value.is_extended_real and value < -_TOLERANCE:
            return False
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
    larger = left - right if isinstance(relation, Ge | Gt) else right - left
    return larger.is_positive if isinstance(relation, Gt | Lt) else _is_nonnegative(larger)
