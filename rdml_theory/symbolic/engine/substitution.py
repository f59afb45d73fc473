"""Replacing names by their meanings without capturing a bound index.

SymPy's own ``subs`` turns ``Σ_j exp(z_j - z_k)`` at ``k = j`` into ``Σ_j 1``. Here the bound index is renamed first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sympy import Basic, Derivative, Indexed, Limit, Subs, Symbol
from sympy.core.relational import Relational

from rdml_theory.symbolic.maximum import Maximum
from rdml_theory.symbolic.notation import Formula

__all__ = ["replace_names", "substitute"]


def _fresh(taken: set[Formula]) -> Symbol:
    """A class index that is not among ``taken``."""
    number = 1
    while (index := Symbol(f"j{number}", integer=True, positive=True)) in taken:
        number += 1
    return index


def substitute(expression: Formula, replacements: Mapping[Formula, Formula]) -> Formula:
    """The expression with its free occurrences replaced, bound indices renamed where they would capture a new one.

    >>> from sympy import Sum, exp
    >>> from rdml_theory.symbolic.notation import C, j, k, z
    >>> substitute(Sum(exp(z[j] - z[k]), (j, 1, C)), {k: j})
    Sum(exp(z[j1] - z[j]), (j1, 1, C))
    """
    if not isinstance(expression, Basic) or not expression.args:
        return replacements.get(expression, expression)
    if expression in replacements:
        return replacements[expression]
    if isinstance(expression, Derivative) and any(v in replacements for v in expression.variables):
        # A derivative at a point: its variable is bound, and the point is where it is taken.
        at = {v: replacements[v] for v in dict.fromkeys(expression.variables) if v in replacements}
        rest = {old: new for old, new in replacements.items() if old not in at}
        return Subs(substitute(expression, rest), tuple(at), tuple(at.values()))
    bound = {expression.args[1]} if isinstance(expression, Limit) else set(getattr(expression, "bound_symbols", ()))
    inner = {old: new for old, new in replacements.items() if old not in bound}
    incoming: set[Formula] = set().union(*(new.free_symbols for new in inner.values())) if inner else set()
    for index in bound & incoming:
        expression = expression.xreplace({index: _fresh(incoming | expression.atoms(Symbol))})
    arguments = [substitute(a, inner) for a in expression.args]
    if all(a is b for a, b in zip(arguments, expression.args, strict=True)):
        return expression
    return (
        expression.func(*arguments, evaluate=False)
        if isinstance(expression, Relational)
        else expression.func(*arguments)
    )


def replace_names(expression: Formula, definitions: Iterable[Relational]) -> Formula:
    """The expression with each name replaced by its meaning, one ``name = meaning`` after the other.

    A name is a symbol, a :class:`~rdml_theory.symbolic.notation.Named` quantity, a maximum over the classes, or an
    entry ``q[k]`` of a family, whose index stands for any.

    Raises
    ------
    ValueError
        If a left side is something else.

    Examples
    --------
    >>> from sympy import exp
    >>> from rdml_theory.symbolic.notation import j, k, q, z
    >>> from rdml_theory.symbolic.relations import equal
    >>> replace_names(q[k] + q[j], [equal(q[k], exp(z[k]))])
    exp(z[j]) + exp(z[k])
    """
    if isinstance(expression, Relational):
        # Side by side: SymPy would evaluate the relation.
        definitions = tuple(definitions)
        return expression.func(*(replace_names(side, definitions) for side in expression.args), evaluate=False)
    for definition in definitions:
        name, meaning = definition.args
        if isinstance(name, Indexed):
            family, indices = name.base, name.indices
            expression = expression.replace(
                lambda e, family=family: isinstance(e, Indexed) and e.base == family,
                lambda e, to=meaning, indices=indices: substitute(to, dict(zip(indices, e.indices, strict=True))),
            )
        elif name.is_Atom or isinstance(name, Maximum):
            expression = substitute(expression, {name: meaning})
        else:
            raise ValueError(f"{name} is no name: expected a symbol, a named quantity or an indexed entry")
    return expression
