"""Distributions as the kernel has them, families of entries: what is assumed of them, and what follows at once."""

from __future__ import annotations

from functools import cache
from typing import Any

from sympy import Indexed, Sum, Symbol, factor, log, together

from rdml_theory.symbolic.expression import RenyiDivergence, divergence
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import C, Formula, alpha, i, j, k, l, m

__all__ = [
    "KULLBACK_LEIBLER", "NOT_ONE", "ORDER_ONE", "RENYI", "D", "a", "at_classes", "b", "discharged", "escort",
    "everywhere", "given", "in_entries", "is_class", "is_escort", "leibler", "log_ratio", "mass", "of_escort", "p",
    "power_mean", "q", "renyi", "share", "sums_to_one", "total", "u", "v", "w", "written_out", "z",
]  # fmt: skip

D: Term = Symbol("D", real=True)
"""The divergence D_α(p‖q)."""


def _positive(name: str) -> Any:
    return lambda index: Entry(name, index, positive=True)


def _real(name: str) -> Any:
    return lambda index: Entry(name, index)


p, q, w, a, b = (_positive(name) for name in "pqwab")
z, u, v = (_real(name) for name in "zuv")


def total(summand: Term, index: Term = i, count: Term = C) -> Term:
    """``Σ_i`` over the classes.

    >>> total(q(i))
    Sum(q_i, (i, 1, C))
    """
    return Sum(summand, (index, 1, count))


def in_entries(formula: Formula) -> Term:
    """A formula in ``p[i]``, ``q[i]``, their kin and the divergence, in the terms of the kernel.

    >>> from rdml_theory.symbolic.notation import q
    >>> in_entries(q[k] ** 2)
    q_k**2
    """
    return formula.xreplace({divergence: D}).replace(
        lambda e: isinstance(e, Indexed),
        lambda e: Entry(str(e.base.label), e.indices[0], positive=e.is_positive is True),
    )


def written_out(formula: Formula) -> Term:
    """The same with divergences of an order that is not one by their definition.

    >>> written_out(divergence)
    log(Sum(p_i**alpha*q_i**(1 - alpha), (i, 1, C)))/(alpha - 1)
    """

    def logarithm(first: Formula, second: Formula, alpha: Formula, _: Formula) -> Formula:
        return log(total(first**alpha * second ** (1 - alpha))) / factor(together(alpha - 1))

    return in_entries(formula.replace(RenyiDivergence, logarithm))


def power_mean(alpha: Term = alpha, index: Term = k, count: Term = C) -> Term:
    """``Σ p^α q^(1-α)``.

    >>> power_mean(2, i)
    Sum(p_i**2/q_i, (i, 1, C))
    """
    return total(p(index) ** alpha * q(index) ** (1 - alpha), index, count)


def log_ratio(index: Term) -> Term:
    """``log(p_i/q_i)``.

    >>> log_ratio(k)
    log(p_k/q_k)
    """
    return log(p(index) / q(index))


def leibler(first: Any, second: Any) -> Term:
    """The Kullback-Leibler divergence of one family from another.

    >>> leibler(p, q)
    Sum(log(p_i/q_i)*p_i, (i, 1, C))
    """
    return total(first(i) * log(first(i) / second(i)))


def sums_to_one(family: Any) -> Proposition:
    """The entries of a family sum to one."""
    return Equal(total(family(i)), 1)


def is_escort(count: Term = C) -> Proposition:
    """w is the escort distribution of p and q."""
    return ForAll(i, Equal(w(i), p(i) ** alpha * q(i) ** (1 - alpha) / power_mean(count=count)))


NOT_ONE = Less(0, (alpha - 1) ** 2)
"""α ≠ 1."""

ORDER_ONE = Equal(alpha, 1)
"""α = 1."""

RENYI = Equal(D, log(power_mean()) / (alpha - 1))
"""D is the Rényi divergence of order α ≠ 1."""

KULLBACK_LEIBLER = Equal(D, leibler(p, q))
"""D is that of order one."""


def given(proposition: Proposition, reason: str = "given", known: tuple[Theorem, ...] = ()) -> Theorem:
    """Assume something.

    >>> print(given(sums_to_one(q)))
    Σ_{i ≤ C} q_i = 1 ⊢ Σ_{i ≤ C} q_i = 1
    """
    return assume(proposition, known=known, reason=reason)


def mass(family: Any) -> Theorem:
    """Assume that a family is a distribution."""
    return given(sums_to_one(family), "given: a distribution")


def escort(count: Term = C) -> Theorem:
    """Assume that w is the escort distribution."""
    return given(is_escort(count), "given: w is the escort")


def renyi() -> Theorem:
    """Assume that D is the divergence of order α ≠ 1."""
    return given(RENYI, "given: the divergence of order α", (given(NOT_ONE, "for an order that is not one"),))


@cache
def of_escort() -> Theorem:
    """``Σ w = 1``, of the escort.

    >>> print(of_escort().conclusion.text())
    Σ_{i ≤ C} w_i = 1
    """
    return combine(Equal(total(w(i)), 1), [], where=[escort()], reason="the escort sums to one")


def is_class(index: Term) -> Theorem:
    """Assume that an index is one of the classes."""
    return given(AtMost(index, C), "for a class")


def share(family: Any) -> Theorem:
    """``a_k ≤ 1``, of an entry of a distribution.

    >>> print(share(q).conclusion.text())
    q_k ≤ 1
    """
    one = one_term(nonnegative(family(j)), j, C, k, known=[is_class(k)], reason="one of what sums to one")
    return combine(AtMost(family(k), 1), [(1, one), (1, mass(family))], reason="which is at most one")


def everywhere(theorem: Theorem, *indices: Term) -> Theorem:
    """What holds at an index, for every index: the last one given is the outermost.

    >>> print(everywhere(nonnegative(q(i)), i))
    ⊢ 0 ≤ q_i for every i
    """
    for index in indices:
        theorem = generalise(theorem, index, reason="for every one")
    return theorem


def at_classes(proposition: Proposition, first: Term, second: Term, reason: str = "suppose") -> Theorem:
    """What is assumed of every two classes, at two."""
    pair = specialise(specialise(given(proposition, reason), l), m, reason="at two classes")
    return instantiate(pair, {l: first, m: second}, reason="at these")


def discharged(theorem: Theorem, *lemmas: Theorem) -> Theorem:
    """A theorem without the hypotheses that the lemmas prove.

    >>> print(discharged(given(AtMost(0, q(i))), nonnegative(q(i))))
    ⊢ 0 ≤ q_i
    """
    for lemma in lemmas:
        theorem = discharge(theorem, lemma)
    return theorem
