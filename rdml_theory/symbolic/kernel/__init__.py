"""A kernel for proofs: theorems are values that only a few rules make.

After LCF (Milner 1972) and HOL Light (Harrison): what has to be trusted are the rules (:mod:`.logic`, :mod:`.sums`,
:mod:`.analysis`), how a theorem is made (:mod:`.theorem`) and a value replaces a variable (:mod:`.substitution`), the
terms (:mod:`.terms`), multiplied out (:mod:`.expansion`), when two are equal, have a sign or a value (:mod:`.forms`),
the propositions (:mod:`.propositions`) and the axioms (:mod:`.axioms`), SymPy's arithmetic of polynomials below them,
and, where a proof rests on a certificate, the checkers of :mod:`rdml_theory.symbolic.certificates`. Whatever else a
proof is made with can refuse, but cannot prove what is false.

>>> from sympy import Symbol
>>> from rdml_theory.symbolic.kernel import AtMost, Less, assume, combine
>>> a, b, c = (Symbol(name, real=True) for name in "abc")
>>> print(combine(AtMost(a, c), [(1, assume(AtMost(a, b))), (1, assume(AtMost(b, c)))]))
a ≤ b; b ≤ c ⊢ a ≤ c
"""

from rdml_theory.symbolic.kernel.analysis import certified, differentiate, limit, rising, squeeze
from rdml_theory.symbolic.kernel.axioms import AXIOMS, Axiom
from rdml_theory.symbolic.kernel.derived import absolute, identity, inner, nonnegative, one_term, taylor
from rdml_theory.symbolic.kernel.logic import (
    assume,
    axiom,
    cases,
    combine,
    discharge,
    generalise,
    instantiate,
    magnitude,
    rewrite,
    root,
    specialise,
)
from rdml_theory.symbolic.kernel.proof import Line, Proof
from rdml_theory.symbolic.kernel.propositions import (
    AtMost,
    Centred,
    Equal,
    Finite,
    ForAll,
    Less,
    Proposition,
    Smooth,
    SubGaussian,
    Tends,
)  # fmt: skip
from rdml_theory.symbolic.kernel.sums import expectation, induct, last_term, orthogonal, sum_over
from rdml_theory.symbolic.kernel.terms import (
    At,
    Entry,
    Gradient,
    Inner,
    Mean,
    Random,
    Term,
    TermError,
    Value,
    Vector,
    square,
)  # fmt: skip
from rdml_theory.symbolic.kernel.theorem import RULES, ProofError, Theorem

__all__ = [
    "AXIOMS", "RULES", "At", "AtMost", "Axiom", "Centred", "Entry", "Equal", "Finite", "ForAll", "Gradient", "Inner",
    "Less", "Line", "Mean", "Proof", "ProofError", "Proposition", "Random", "Smooth", "SubGaussian", "Tends", "Term",
    "TermError", "Theorem", "Value", "Vector", "absolute", "assume", "axiom", "cases", "certified", "combine",
    "differentiate", "discharge", "expectation", "generalise", "identity", "induct", "inner", "instantiate",
    "last_term", "limit", "magnitude", "nonnegative", "one_term", "orthogonal", "rewrite", "rising", "root",
    "specialise", "square", "squeeze", "sum_over", "taylor",
]  # fmt: skip
