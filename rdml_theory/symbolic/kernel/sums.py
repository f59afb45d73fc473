"""The rules of sums over steps and classes, of induction, and of expectations."""

from __future__ import annotations

from sympy import Sum, Symbol

from rdml_theory.symbolic.kernel.propositions import AtMost, Centred, Equal, ForAll, Less
from rdml_theory.symbolic.kernel.substitution import first_index, refuse_free, replaced, substituted
from rdml_theory.symbolic.kernel.terms import Inner, Mean, Term, kind, require_given
from rdml_theory.symbolic.kernel.theorem import ProofError, Result, Theorem, all_sure, rule

__all__ = ["expectation", "induct", "last_term", "orthogonal", "sum_over"]


@rule
def expectation(theorem: Theorem) -> Result:
    """From a relation that holds surely, the same for the expectations of its sides."""
    whole = theorem.conclusion
    if not isinstance(whole, Equal | AtMost) or kind(whole.left) == "vector":
        raise ProofError(f"{whole.text()} is not a relation (= or ≤) of scalars")
    return theorem.hypotheses, whole.map(Mean), False


@rule
def orthogonal(theorem: Theorem, vector: Term) -> Result:
    """From ``E[n | x, b] = 0``, ``E⟨n, v⟩ = 0`` for a vector v that is a function of x and b alone."""
    told = theorem.conclusion
    if not isinstance(told, Centred):
        raise ProofError(f"{told.text()} does not say that a noise has mean zero given something")
    if kind(vector) == "scalar":
        raise ProofError(f"{vector} is not a vector")
    require_given(vector, told.given)
    product = Mean(Inner(told.noise, vector))
    return theorem.hypotheses, Equal(product, product * 0), False


@rule
def sum_over(theorem: Theorem, index: Symbol, count: Term) -> Result:
    """From a relation for every step or class, or those below n, the same for the sums over ``0..n-1`` or ``1..n``."""
    below = Less(index, count) if first_index(index) == 0 else AtMost(index, count)
    rest = theorem.hypotheses - {below}
    refuse_free(rest, index)
    whole = theorem.conclusion
    if not isinstance(whole, Equal | AtMost) or kind(whole.left) == "vector":
        raise ProofError(f"{whole.text()} is not a relation (= or ≤) of scalars")
    if index in whole.bound():
        raise ProofError(f"{index} is bound in {whole.text()}")
    ends = (first_index(index), count - 1 + first_index(index))
    return rest, whole.map(lambda term: Sum(term, (index, *ends))), theorem.sure


@rule
def last_term(total: Term) -> Result:
    """``⊢ Σ_{t<n+1} a_t = Σ_{t<n} a_t + a_n``."""
    if not isinstance(total, Sum):
        raise ProofError(f"{total} is not a sum")
    kind(total)
    (index, low, last), summand = total.limits[0], total.function
    if (last - low).is_nonnegative is not True:
        raise ProofError(f"{total} may have no terms")
    if summand.atoms(Sum):
        raise ProofError(f"the summand of {total} has a sum, which could bind the last step")
    rest = Sum(summand, (index, low, last - 1))
    target = Equal(total, rest + replaced(summand, {index: last}, {}))
    return (), target, True


@rule
def induct(base: Theorem, step: Theorem, index: Symbol) -> Result:
    """From φ at 0, or at 1 for a class, and φ at t + 1 under φ at t: ``φ for every t``."""
    later = {h: substituted(h, {index: index + 1}, {}) for h in step.hypotheses if index in h.free()}
    premise = [h for h, next_one in later.items() if next_one == step.conclusion]
    if len(premise) != 1:
        raise ProofError(f"no hypothesis of {step} is its conclusion one step earlier")
    if base.conclusion != substituted(premise[0], {index: first_index(index)}, {}):
        raise ProofError(f"{base.conclusion.text()} is not {premise[0].text()} at {index} = {first_index(index)}")
    rest = step.hypotheses - {premise[0]}
    refuse_free(rest | base.hypotheses, index)
    return rest | base.hypotheses, ForAll(index, premise[0]), all_sure(base, step)
