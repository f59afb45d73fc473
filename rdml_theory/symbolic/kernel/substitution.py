"""Replacing variables, families and processes by values, and the side conditions of that: what a value has to be.

Trusted, as the rules are that use it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sympy import Derivative, Integer, Sum, Symbol

from rdml_theory.symbolic.kernel.forms import Sign, canonical, normal, require_value, sign
from rdml_theory.symbolic.kernel.propositions import Equal, ForAll, Proposition, walk
from rdml_theory.symbolic.kernel.terms import At, Entry, Term, Vector, bound_symbols, is_random, kind, symbol_kind
from rdml_theory.symbolic.kernel.theorem import ProofError, Theorem

__all__ = [
    "Families", "admit", "by_equation", "family", "first_index", "refuse_chance", "refuse_free", "replaced",
    "substituted",
]  # fmt: skip


def by_equation(term: Term, told: Proposition) -> Term:
    """A term with the left side of an equation replaced by its right side, also where the index of a sum is bound.

    The left side is a symbol, an entry, a sum, or the entry i of a family, said for every i.
    """
    index, whole = (told.variable, told.body) if isinstance(told, ForAll) and told.below is None else (None, told)
    if not isinstance(whole, Equal):
        raise ProofError(f"{told.text()} is not an equation")
    left, right = whole.terms()
    if isinstance(left, Entry) and index is not None and left.index == index and not left.of:
        return replaced(normal(term), {}, {family(left): (index, right)})
    if index is None and isinstance(left, Symbol | Entry):
        return replaced(normal(term), {left: right}, {})
    if index is None and isinstance(left, Sum) and isinstance(canonical(left), Sum):
        return replaced(canonical(term), {canonical(left): right}, {})
    raise ProofError(f"{told.text()} defines no symbol, no sum, and no family of entries")


def admit(variable: Term, value: Term, signs: Collection[tuple[Term, Sign]]) -> None:
    """Refuse a value that is not all a variable is declared to be."""
    what = kind(value)  # before anything is computed from it
    require_value(value, signs, "the value")
    if type(variable) is Vector:
        if what == "scalar":
            raise ProofError(f"{variable} is a vector, {value} is none")
        return
    wanted = symbol_kind(variable)
    if what == "vector":
        raise ProofError(f"{variable} is a scalar, {value} is none")
    if wanted in ("natural", "counting") and value.is_integer is not True:
        raise ProofError(f"{variable} is an integer, {value} is not known to be one")
    found = sign(value, signs)
    if (wanted in ("positive", "counting") and found != "positive") or (wanted != "real" and found is None):
        raise ProofError(f"{variable} is {wanted}, {value} is not known to be")


def family(term: At | Entry) -> tuple[Any, ...]:
    """What tells one process, or one family of entries, from another."""
    return (At, term.name) if isinstance(term, At) else (Entry, term.name, term.traits)


Families = Mapping[tuple[Any, ...], tuple[Term, Term]]
"""Of families and processes, each by `family`: an index, and the term in it that replaces the members."""


def substituted(proposition: Proposition, changes: Mapping[Term, Term], families: Families) -> Proposition:
    """A proposition with variables and families replaced, all at once; refused where a value would be captured."""
    free, bound = proposition.free(), proposition.bound()
    changes = {variable: value for variable, value in changes.items() if variable in free}
    if families:
        named = {family(e) for e in walk(proposition) if isinstance(e, At | Entry)}
        families = {name: told for name, told in families.items() if name in named}
    incoming = [value.free_symbols for value in changes.values()]
    incoming += [value.free_symbols - {index} for index, value in families.values()]
    caught = (set(changes) | set().union(*incoming)) & bound
    if caught:
        raise ProofError(f"{', '.join(map(str, caught))} is bound in {proposition.text()}")
    return proposition.map(lambda term: replaced(term, changes, families))


def replaced(
    term: Term, changes: Mapping[Term, Term], families: Families, bound: frozenset[Term] = frozenset()
) -> Term:
    """A term with variables and families replaced, all at once; refused where a value would be captured."""
    caught: Any = ()
    out = term
    if term in changes:
        out = changes[term]
        caught = (term.free_symbols | out.free_symbols) & bound
    elif isinstance(term, At | Entry) and family(term) in families:
        step = replaced(term.args[1], changes, families, bound)
        index, value = families[family(term)]
        if symbol_kind(index) == "counting" and step.is_positive is not True:
            raise ProofError(f"{term} may come before the first that is spoken of, {index} = 1")
        out = replaced(value, {index: step}, {})  # refused where a sum within binds the index
        caught = (bound & (value.free_symbols - {index})) | (bound_symbols(value) & step.free_symbols)
    elif isinstance(term, Sum):
        limits, within = [], bound
        for index, *ends in reversed(term.limits):  # a normal form may have a sum of sums as one
            limits.insert(0, (index, *(replaced(end, changes, families, within) for end in ends)))
            within |= {index}
        out = Sum(replaced(term.function, changes, families, within), *limits)
    elif isinstance(term, Derivative):
        body = replaced(term.expr, changes, families, bound | set(term.variables))
        out = Derivative(body, *term.variable_count)
    elif term.args:
        parts = [replaced(part, changes, families, bound) for part in term.args]
        if any(new is not old for new, old in zip(parts, term.args, strict=True)):
            out = term.func(*parts)
    if caught:
        raise ProofError(f"{', '.join(map(str, caught))} is bound where {term} stands")
    return out


def refuse_chance(theorem: Theorem, value: Term, variable: Term) -> None:
    """Refuse a random value where an expectation took what stands there for constant."""
    if is_random(value) and not is_random(variable) and not theorem.sure:
        raise ProofError(f"{value} depends on chance, and an expectation entered the proof of {theorem}")


def refuse_free(hypotheses: Collection[Proposition], variable: Term) -> None:
    """Refuse a hypothesis that speaks of a variable which a rule binds, or takes for any."""
    for part in hypotheses:
        if variable in part.free():
            raise ProofError(f"the hypothesis {part.text()} speaks of {variable}")


def first_index(index: Symbol) -> Integer:
    """Where an index starts: steps at 0, classes at 1."""
    return Integer(1 if symbol_kind(index) == "counting" else 0)
