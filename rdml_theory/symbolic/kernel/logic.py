"""The rules of logic and algebra: hypotheses, combinations of relations, values for variables, cases."""

from __future__ import annotations

from typing import Any

from sympy import Abs, Sum, Symbol, sqrt

from rdml_theory.symbolic.kernel import axioms
from rdml_theory.symbolic.kernel.expansion import expand
from rdml_theory.symbolic.kernel.forms import is_zero, require_value, sign
from rdml_theory.symbolic.kernel.propositions import AtMost, Equal, ForAll, Less, Proposition
from rdml_theory.symbolic.kernel.substitution import (
    admit,
    by_equation,
    family,
    refuse_chance,
    refuse_free,
    substituted,
)
from rdml_theory.symbolic.kernel.terms import At, Entry, Term, Vector, is_random, kind, symbol_kind
from rdml_theory.symbolic.kernel.theorem import (
    ProofError,
    Result,
    Theorem,
    all_hypotheses,
    all_sure,
    rule,
    told_signs,
)

__all__ = [
    "assume", "axiom", "cases", "combine", "discharge", "generalise", "instantiate", "magnitude", "rewrite",
    "root", "specialise",
]  # fmt: skip


@rule
def assume(proposition: Proposition, known: tuple[Theorem, ...] = ()) -> Result:
    """``φ ⊢ φ``; what is known joins the hypotheses, for a φ that has a value only under it."""
    return all_hypotheses(*known) | {proposition}, proposition, all_sure(*known)


@rule
def axiom(name: str, parameters: tuple[Any, ...] = ()) -> Result:
    """A theorem of the literature, from the short list of :mod:`~rdml_theory.symbolic.kernel.axioms`."""
    if name not in axioms.AXIOMS:
        raise ProofError(f"no axiom is called {name!r}: expected one of {', '.join(axioms.AXIOMS)}")
    hypotheses, conclusion = axioms.AXIOMS[name].schema(*parameters)
    return hypotheses, conclusion, True


@rule
def magnitude(term: Term, known: tuple[Theorem, ...] = ()) -> Result:
    """``⊢ |e| = e``, for an e that is manifestly nonnegative under what is known."""
    if sign(term, told_signs(all_hypotheses(*known), known)) is None:
        raise ProofError(f"{term} has no manifest sign")
    return all_hypotheses(*known), Equal(Abs(term), term), all_sure(*known)


@rule
def combine(
    target: Proposition,
    parts: tuple[tuple[Term, Theorem], ...],
    slack: Term = 0,
    known: tuple[Theorem, ...] = (),
    where: tuple[Theorem, ...] = (),
) -> Result:
    """A linear combination of relations.

    The difference of the target's sides is the sum of those of the parts, each times its weight, plus a slack.
    Weights of inequalities, and the slack of one, have a manifest sign, under the hypotheses and what is known. Both
    may differ by equations, which are used from left to right, one after the other.
    """
    if not isinstance(target, Equal | AtMost | Less):
        raise ProofError(f"{target.text()} is not a relation")
    theorems = (*(theorem for _, theorem in parts), *known, *where)
    hypotheses = all_hypotheses(*theorems)
    signs = told_signs(hypotheses, known)
    target.check()
    if kind(slack) == "vector":
        raise ProofError(f"the slack {slack} is not a scalar")
    require_value(slack, signs, "the slack")
    strict = sign(slack, signs) == "positive"
    if not strict and slack != 0 and (isinstance(target, Equal) or sign(slack, signs) is None):
        raise ProofError(f"the slack {slack} has no manifest sign")
    if isinstance(target, Equal) and slack != 0:
        raise ProofError("an equality has no slack")
    total = slack
    for weight, theorem in parts:
        part = theorem.conclusion
        if not isinstance(part, Equal | AtMost | Less):
            raise ProofError(f"{part.text()} is not a relation")
        if kind(weight) == "vector" and not isinstance(part, Equal):
            raise ProofError(f"the weight {weight} of {part.text()} is not a scalar")
        require_value(weight, signs, "the weight")
        if not isinstance(part, Equal):
            if isinstance(target, Equal):
                raise ProofError(f"an equality does not follow from {part.text()}")
            found = sign(weight, signs)
            if found is None:
                raise ProofError(f"the weight {weight} of {part.text()} has no manifest sign")
            strict |= isinstance(part, Less) and found == "positive"
        total += weight * (part.right - part.left)
    if isinstance(target, Less) and not strict:
        raise ProofError(f"{target.text()} is strict, and nothing it follows from is")
    left = target.right - target.left - total
    vector = kind(left) == "vector"
    if where and vector:
        raise ProofError(f"{target.text()} relates vectors, in which no equation of numbers is used")
    for equation in where:
        left = by_equation(left, equation.conclusion)
    if not is_zero(left, vector=vector):
        raise ProofError(f"{target.text()} is not this combination: the normal form of what is left is not zero")
    return hypotheses, target, all_sure(*theorems)


@rule
def instantiate(theorem: Theorem, values: tuple[tuple[Term, Term], ...], known: tuple[Theorem, ...] = ()) -> Result:
    """Values for free variables, in hypotheses and conclusion.

    A symbol takes a scalar of its kind, a vector a vector. A process ``At(u, t)`` takes a vector in t, for every step,
    and a family ``Entry(q, i)`` a scalar in i, for every i. What is not random takes a random value only where the
    theorem is sure.
    """
    signs = told_signs(all_hypotheses(*known), known)
    changes: dict[Term, Term] = {}
    families: dict[tuple[Any, ...], tuple[Term, Term]] = {}
    for variable, value in values:
        if type(variable) is At:
            index = variable.step
            if not isinstance(index, Symbol) or symbol_kind(index) != "natural" or kind(value) == "scalar":
                raise ProofError(f"{variable}: expected a process at a step t, and a vector in t")
            if value.atoms(Sum):
                raise ProofError(f"{value} has a bound variable, which a step could meet")
            everywhere = [fact for fact in signs if index not in fact[0].free_symbols]
            require_value(value, everywhere, "the value")
            families[family(variable)] = (index, value)
        elif type(variable) is Entry:
            index = variable.index
            if not isinstance(index, Symbol) or symbol_kind(index) not in ("natural", "counting") or variable.of:
                raise ProofError(f"{variable}: expected an entry of each index i, and a scalar in i")
            refuse_chance(theorem, value, variable)
            everywhere = [fact for fact in signs if index not in fact[0].free_symbols]
            admit(Symbol(variable.name, **_TRAIT[variable.traits[0]]), value, everywhere)
            families[family(variable)] = (index, value)
        elif isinstance(variable, Symbol | Vector):
            refuse_chance(theorem, value, variable)
            admit(variable, value, signs)
            changes[variable] = value
        else:
            raise ProofError(f"{variable} is not a variable")
    hypotheses = {substituted(part, changes, families) for part in theorem.hypotheses} | all_hypotheses(*known)
    return hypotheses, substituted(theorem.conclusion, changes, families), all_sure(theorem, *known)


_TRAIT: dict[bool, dict[str, bool]] = {True: {"positive": True}, False: {"real": True}}


@rule
def specialise(theorem: Theorem, value: Term, known: tuple[Theorem, ...] = ()) -> Result:
    """From "φ for every v", φ at a value of v's kind; a random one only where the theorem is sure."""
    whole = theorem.conclusion
    if not isinstance(whole, ForAll):
        raise ProofError(f"{whole.text()} is not said for every value of anything")
    refuse_chance(theorem, value, whole.variable)
    signs = told_signs(all_hypotheses(*known), known)
    admit(whole.variable, value, signs)
    if whole.below is not None and sign(whole.below - value, signs) != "positive":
        raise ProofError(f"{value} is not known to be below {whole.below}")
    body = substituted(whole.body, {whole.variable: value}, {})
    return all_hypotheses(theorem, *known), body, all_sure(theorem, *known)


@rule
def generalise(theorem: Theorem, variable: Term) -> Result:
    """``φ for every v``, where no hypothesis speaks of v."""
    refuse_free(theorem.hypotheses, variable)
    return theorem.hypotheses, ForAll(variable, theorem.conclusion), theorem.sure


@rule
def rewrite(theorem: Theorem, equation: Theorem) -> Result:
    """The conclusion with the left side of an equation replaced by its right side."""
    told = equation.conclusion
    if not isinstance(told, Equal):
        raise ProofError(f"{told.text()} is not an equation")
    if told.left.free_symbols & theorem.conclusion.bound() or told.right.free_symbols & theorem.conclusion.bound():
        raise ProofError(f"{told.text()} speaks of a bound variable of {theorem.conclusion.text()}")
    old = expand(told.left)
    out = theorem.conclusion.map(lambda term: term.xreplace({old: told.right}))
    if out == theorem.conclusion:
        raise ProofError(f"{told.left} does not occur in {theorem.conclusion.text()}")
    return all_hypotheses(theorem, equation), out, all_sure(theorem, equation)


@rule
def root(theorem: Theorem, base: Term) -> Result:
    """From ``a² ≤ b``, ``|a| ≤ √b``."""
    whole = theorem.conclusion
    if kind(base) == "vector":
        raise ProofError(f"{base} is not a scalar")
    if not isinstance(whole, AtMost | Less) or kind(whole.left) == "vector" or not is_zero(whole.left - base**2):
        raise ProofError(f"{whole.text()} does not bound the square of {base}")
    require_value(base, told_signs(theorem.hypotheses), "the root")
    return theorem.hypotheses, AtMost(Abs(base), sqrt(whole.right)), theorem.sure


@rule
def cases(first: Theorem, second: Theorem, left: Term, right: Term) -> Result:
    """One conclusion under ``a ≤ b`` and under ``b ≤ a`` needs neither."""
    if first.conclusion != second.conclusion:
        raise ProofError(f"{first.conclusion.text()} is not {second.conclusion.text()}")
    one, other = AtMost(left, right), AtMost(right, left)
    if "vector" in (kind(left), kind(right)):
        raise ProofError(f"{one.text()} does not relate scalars")
    if is_random(left) or is_random(right):
        raise ProofError(f"{one.text()} may hold for some outcomes and not for others")
    rest = (first.hypotheses - {one}) | (second.hypotheses - {other})
    for side in (left, right):
        require_value(side, told_signs(rest), "the side")
    return rest, first.conclusion, all_sure(first, second)


@rule
def discharge(theorem: Theorem, lemma: Theorem) -> Result:
    """Remove a hypothesis that another theorem proves."""
    if lemma.conclusion not in theorem.hypotheses:
        raise ProofError(f"{lemma.conclusion.text()} is not a hypothesis of {theorem}")
    rest = theorem.hypotheses - {lemma.conclusion}
    return rest | lemma.hypotheses, theorem.conclusion, all_sure(theorem, lemma)
