"""What follows from the rules so often that it has a name. Nothing here is trusted: all of it calls rules."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sympy import Abs, Derivative, Integer, Rational, Sum, Symbol

from rdml_theory.symbolic.kernel.analysis import differentiate, rising
from rdml_theory.symbolic.kernel.logic import (
    assume,
    cases,
    combine,
    discharge,
    generalise,
    instantiate,
    magnitude,
    rewrite,
    specialise,
)
from rdml_theory.symbolic.kernel.propositions import AtMost, Equal, ForAll
from rdml_theory.symbolic.kernel.substitution import replaced
from rdml_theory.symbolic.kernel.sums import induct, last_term, sum_over
from rdml_theory.symbolic.kernel.terms import Entry, Inner, Term, Vector, symbol_kind
from rdml_theory.symbolic.kernel.theorem import ProofError, Theorem

__all__ = ["absolute", "identity", "inner", "nonnegative", "one_term", "taylor"]


def identity(target: Equal, *, reason: str = "both sides are one") -> Theorem:
    """``⊢ a = b``, by the normal form of the difference: a combination of nothing.

    >>> identity(Equal(Symbol("a", real=True), Symbol("b", real=True)))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: a = b is not this combination: ...
    """
    if type(target) is not Equal:
        raise ProofError(f"identity: {target!r} is not an equality")
    return combine(target, [], reason=reason)


def nonnegative(term: Term, known: Sequence[Theorem] = (), *, reason: str = "it is not negative") -> Theorem:
    """``⊢ 0 ≤ e``, by the manifest sign of e.

    >>> print(nonnegative(Symbol("a", real=True) ** 2))
    ⊢ 0 ≤ a²
    """
    return combine(AtMost(Integer(0), term), [], slack=term, known=known, reason=reason)


@cache
def _absolute() -> Theorem:
    x: Term = Symbol("x", real=True)
    above, below = (assume(told, reason="suppose") for told in (AtMost(0, x), AtMost(x, 0)))
    target = AtMost(x, Abs(x))
    plain = combine(target, [(-1, magnitude(x, [above], reason="|x| is x"))], reason="then they are one")
    turned = combine(AtMost(0, -x), [(1, below)], reason="turned around")
    other = combine(
        target, [(-1, magnitude(-x, [turned], reason="|x| is -x"))], slack=-2 * x, known=[turned],
        reason="then one is not positive",
    )  # fmt: skip
    return cases(other, plain, x, Integer(0), reason="in either case")


def absolute(term: Term, known: Sequence[Theorem] = (), *, reason: str = "") -> Theorem:
    """``⊢ e ≤ |e|``, for an e that has a value under what is known.

    >>> print(absolute(Symbol("a", real=True)))
    ⊢ a ≤ |a|
    """
    return instantiate(_absolute(), {Symbol("x", real=True): term}, known=known, reason=reason)


@cache
def _inner() -> Theorem:
    u, v, w = (Vector(name) for name in "uvw")
    same: Term = Symbol("x", real=True)
    named = assume(Equal(same, Inner(u, w)), reason="suppose")
    moved = rewrite(named, assume(Equal(u, v), reason="suppose"), reason="the same vector")
    both = combine(Equal(Inner(u, w), Inner(v, w)), [(-1, named), (1, moved)], reason="both are one number")
    itself = identity(Equal(Inner(u, w), Inner(u, w)))
    return discharge(instantiate(both, {same: Inner(u, w)}, reason="take that number"), itself, reason="so")


def inner(theorem: Theorem, vector: Term, *, reason: str = "") -> Theorem:
    """From an equality of vectors ``u = v``, ``⟨u, w⟩ = ⟨v, w⟩``.

    >>> print(inner(assume(Equal(Vector("u"), Vector("v"))), Vector("w")))
    u = v ⊢ ⟨u, w⟩ = ⟨v, w⟩
    """
    told = theorem.conclusion
    if not isinstance(told, Equal):
        raise ProofError(f"inner: {told.text()} is not an equality")
    values = {Vector("u"): told.left, Vector("v"): told.right, Vector("w"): vector}
    return discharge(instantiate(_inner(), values), theorem, reason=reason)


@cache
def _one_term(index: Symbol) -> Theorem:
    """``f_r ≤ Σ f_i`` over ``i ≤ N``, or ``i < N``, for a nonnegative family f: by induction from r upwards."""
    classes = symbol_kind(index) == "counting"
    first = Integer(1 if classes else 0)
    which, count, more = (Symbol(name, integer=True, nonnegative=True) for name in "rNd")
    if classes:
        which = Symbol("r", integer=True, positive=True)
    nonneg = assume(ForAll(index, AtMost(0, Entry("f", index))), reason="given: none is negative")

    def total(last: Term) -> Any:
        return Sum(Entry("f", index), (index, first, last))

    def at(further: Term) -> AtMost:
        return AtMost(Entry("f", which), total(which + further))

    before = sum_over(specialise(nonneg, index), index, which if not classes else which - 1, reason="those before")
    base = combine(
        at(Integer(0)), [(-1, last_term(total(which), reason="the last apart")), (1, before)],
        reason="the term is the last",
    )  # fmt: skip
    longer = last_term(total(which + more + 1), reason="the last apart")
    step = combine(
        at(more + 1),
        [(-1, longer), (1, assume(at(more), reason="suppose")), (1, specialise(nonneg, which + more + 1))],
        reason="one more",
    )
    inside = AtMost(which, count if classes else count - 1)
    room = combine(AtMost(0, inside.right - which), [(1, assume(inside, reason="given: it is one of them"))])
    return specialise(induct(base, step, more), inside.right - which, known=[room], reason="up to the last")


def one_term(
    theorem: Theorem, index: Symbol, count: Term, which: Term, known: Sequence[Theorem] = (), *, reason: str = ""
) -> Theorem:
    """From ``0 ≤ f_i`` for every i, ``f_k ≤ Σ f_i``, for a k that is among the indices by what is known.

    >>> i, C = (Symbol(name, integer=True, positive=True) for name in "iC")
    >>> print(one_term(nonnegative(Entry("q", i, positive=True)), i, C, C))
    ⊢ q_C ≤ Σ_{i ≤ C} q_i
    """
    told = theorem.conclusion
    if not isinstance(told, AtMost) or told.left != 0:
        raise ProofError(f"one_term: {told.text()} does not say that something is nonnegative")
    lemma = _one_term(index)
    names = {s.name: s for part in (*lemma.hypotheses, lemma.conclusion) for s in part.free() if isinstance(s, Symbol)}
    values = {names["r"]: which, names["N"]: count, Entry("f", index): told.right}
    here = instantiate(lemma, values, known=known)
    last = count if symbol_kind(index) == "counting" else count - 1
    inside = combine(AtMost(which, last), [], slack=last - which, known=known, reason="it is one of them")
    return discharge(discharge(here, generalise(theorem, index, reason="for each of them")), inside, reason=reason)


def taylor(theorem: Theorem, slope: Theorem, known: Sequence[Theorem] = (), *, reason: str = "") -> Theorem:
    """From ``∂²f/∂s² ≤ c`` for every s, or ``c ≤ ∂²f/∂s²``, that f(1) is at most, or at least, ``f(0) + f'(0) + c/2``.

    ``slope`` says what the derivative of f is. Twice the mean value theorem: c s - f' rises, and with it the remainder.

    >>> from sympy import exp
    >>> s, p = Symbol("s", real=True), Symbol("p", positive=True)
    >>> slope = differentiate(identity(Equal(exp(p * s), exp(p * s))), s)
    >>> twice = differentiate(slope, s)
    >>> convex = combine(AtMost(0, twice.conclusion.left), [(-1, twice)], slack=twice.conclusion.right)
    >>> print(taylor(convex, slope))
    ⊢ p + 1 ≤ exp(p)
    """
    told, first = theorem.conclusion, slope.conclusion
    if not isinstance(told, AtMost) or not isinstance(first, Equal) or type(first.left) is not Derivative:
        raise ProofError(f"taylor: {told.text()} and {first.text()} bound no second derivative and give no first")
    s, value, rate = first.left.variables[0], first.left.expr, first.right
    second = Derivative(value, (s, 2))
    if second not in told.terms():
        raise ProofError(f"taylor: {told.text()} does not bound {second}")
    sign, curvature = (1, told.right) if told.left == second else (-1, told.left)
    end: Term = Symbol("r", real=True)

    def at(term: Term, point: Term) -> Term:
        return replaced(term, {s: point}, {})

    def slope_of(term: Term, variable: Term) -> Theorem:
        itself = combine(Equal(term, term), [], known=known, reason="what is left")
        return differentiate(itself, variable, reason="its derivative")

    bend = slope_of(sign * (curvature * s - rate), s)
    bends = combine(
        AtMost(0, bend.conclusion.terms()[0]),
        [(1, theorem), (-1, bend), (-sign, differentiate(slope, s, reason="differentiate"))],
        known=known, reason="as the second derivative is bounded",
    )  # fmt: skip
    steeper = rising(bends, s, Integer(0), end, reason="so the slope is")
    start = at(rate, Integer(0))
    gap = slope_of(sign * (start * end + curvature * end**2 / 2 - at(value, end)), end)
    grows = combine(
        AtMost(0, gap.conclusion.terms()[0]), [(1, steeper), (-1, gap)], known=known, reason="so this grows"
    )  # fmt: skip
    whole = rising(grows, end, Integer(0), Integer(1), reason="and the values differ by no more")
    here = discharge(whole, nonnegative(Integer(1)))
    sides = [at(value, Integer(1)), at(value, Integer(0)) + start + curvature * Rational(1, 2)]
    return combine(AtMost(*sides[::sign]), [(1, here)], known=known, reason=reason)
