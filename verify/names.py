"""Names by which statements print what is long: divergences, means, sums; each is an equation, name = formula."""

from __future__ import annotations

from typing import Any, cast

from sympy import Eq, Equality, Function, Symbol

from rdml_theory.symbolic.divergence import entries
from rdml_theory.symbolic.kernel import Entry
from rdml_theory.symbolic.notation import Named, i

__all__ = ["along", "divergence_of", "escort_at", "leibler", "mean_of", "named", "variance_of"]


def named(name: Any, formula: Any) -> Equality:
    """What a name stands for, not evaluated; a name given as text is a symbol.

    >>> named("x", 1)
    Eq(x, 1)
    """
    return cast(Equality, Eq(Symbol(name) if isinstance(name, str) else name, formula, evaluate=False))


def divergence_of(variable: Any, formula: Any, name: str = "D") -> Equality:
    """A divergence as a function of what it is differentiated in.

    >>> from sympy import Symbol
    >>> divergence_of(Symbol("s"), Symbol("s") ** 2)
    Eq(D(s), s**2)
    """
    return named(Function(name)(variable), formula)


def along(slope: Any) -> Equality:
    """D(s), of which this is a derivative.

    >>> from sympy import Derivative, Symbol
    >>> along(Derivative(Symbol("s") ** 2, Symbol("s")))
    Eq(D(s), s**2)
    """
    return divergence_of(slope.variables[0], slope.expr)


def leibler(first: str, second: str) -> Equality:
    """KL of two families of entries.

    >>> leibler("p", "q").lhs
    KL(p‖q)
    """
    name = Named(f"KL({first}‖{second})", rf"\mathrm{{KL}}({first}\,\Vert\,{second})")
    return named(name, entries.leibler(*(_family(letter) for letter in (first, second))))


def mean_of(letter: str, values: Any) -> Equality:
    """The mean of values under q, which a letter stands for.

    >>> from sympy import Symbol
    >>> mean_of("s", Symbol("s"))
    Eq(E_q(s), Sum(s*q_i, (i, 1, C)))
    """
    name = Named(f"E_q({letter})", rf"\mathbb{{E}}_q({letter})")
    return named(name, entries.total(entries.q(i) * values))


def variance_of(letter: str, values: Any) -> Equality:
    """Their variance.

    >>> from sympy import Symbol
    >>> variance_of("s", Symbol("s"))
    Eq(Var_q(s), -Sum(s*q_i, (i, 1, C))**2 + Sum(s**2*q_i, (i, 1, C)))
    """
    name = Named(f"Var_q({letter})", rf"\operatorname{{Var}}_q({letter})")
    square, mean = entries.total(entries.q(i) * values**2), entries.total(entries.q(i) * values)
    return named(name, square - mean**2)


def _family(letter: str) -> Any:
    return lambda index: Entry(letter, index, True)


def escort_at(index: Any) -> Equality:
    """An entry of the escort distribution.

    >>> from rdml_theory.symbolic.notation import k
    >>> escort_at(k).lhs
    w_k
    """
    told: Any = entries.is_escort()
    return named(*(side.subs(i, index) for side in told.body.terms()))
