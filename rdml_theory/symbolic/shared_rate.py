"""N6: several confidence intervals that share an error rate hold together.

``m_i`` is 1 if interval i misses, and ``u_i`` if one of the first i does.
"""

from __future__ import annotations

from typing import Any

from sympy import Integer, Sum, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import (
    AtMost,
    Entry,
    Equal,
    Finite,
    ForAll,
    Mean,
    Proof,
    Theorem,
    assume,
    combine,
    expectation,
    identity,
    induct,
    last_term,
    specialise,
    sum_over,
)  # fmt: skip
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.setting import exact

__all__ = ["ASSUMPTIONS", "LEVEL", "count", "level", "rate", "seeds", "shared_rate", "together_target"]

rate: Formula = Symbol("epsilon", positive=True)
count: Formula = Symbol("M", integer=True, positive=True)
level: Formula = Symbol("lambda", positive=True)
"""λ: the probability with which one interval may miss."""

LEVEL: Formula = rate / count
"""ε/M."""

_i, _j = (Symbol(name, integer=True, nonnegative=True) for name in "ij")
seeds: Formula = Symbol("S", integer=True, positive=True)


def _missed(index: Any) -> Any:
    return Entry("m", index, random=True)


def _some(index: Any) -> Any:
    return Entry("u", index, random=True)


def _level_is(value: Formula) -> Equal:
    return Equal(level, exact(value))


_GIVEN = {
    "none": Equal(_some(Integer(0)), 0),
    "one more": ForAll(_i, Equal(_some(_i + 1), _some(_i) + _missed(_i) - _some(_i) * _missed(_i))),
    "low": ForAll(_i, AtMost(0, _missed(_i))),
    "high": ForAll(_i, AtMost(_missed(_i), 1)),
    "rate": ForAll(_i, AtMost(Mean(_missed(_i)), level)),
}

ASSUMPTIONS = (*(told.text() for told in (*_GIVEN.values(), _level_is(LEVEL))), Finite().text())
"""What the bound assumes, as text."""


def together_target() -> AtMost:
    """The probability that some interval misses ``≤ ε``.

    >>> print(together_target().text())
    E[u_M] ≤ ε
    """
    return AtMost(Mean(_some(count)), rate)


def _given(name: str) -> Theorem:
    theorem = assume(_GIVEN[name], reason="given")
    return specialise(theorem, _i, reason="of interval i") if isinstance(_GIVEN[name], ForAll) else theorem


def _union() -> Theorem:
    """``u_M ≤ Σ m_i``."""

    def at(step: Any) -> AtMost:
        return AtMost(_some(step), Sum(_missed(_j), (_j, 0, step - 1)))

    none, more, low, high = map(_given, ("none", "one more", "low", "high"))
    supposed = assume(AtMost(0, _some(_i)), reason="suppose")
    again = combine(
        AtMost(0, _some(_i + 1)), [(_some(_i), high), (1, low), (-1, more)], known=[supposed], reason="so is the next"
    )
    start = combine(AtMost(0, _some(Integer(0))), [(-1, none)], reason="none has missed yet")
    sign = specialise(induct(start, again, _i, reason="by induction"), _i, reason="it is never negative")
    step = combine(
        at(_i + 1),
        [
            (1, more),
            (1, assume(at(_i), reason="suppose")),
            (_missed(_i), sign),
            (-1, last_term(Sum(_missed(_j), (_j, 0, _i)), reason="the last apart")),
        ],
        known=[low],
        reason="and one more",
    )
    base = combine(at(Integer(0)), [(1, none)], reason="none has missed yet")
    return specialise(induct(base, step, _i, reason="by induction"), count, reason="of all of them")


@of_formulas()
def shared_rate(value: Formula = LEVEL) -> Proof:
    """N6: with ``λ = ε/M`` for each of M intervals, the probability that some interval misses is at most ε.

    Bonferroni 1936. The second theorem says that the mean of differences within seeds is the difference of the means.
    ``value`` is λ.

    Examples
    --------
    >>> shared_rate().verify()
    True
    """
    named = assume(_level_is(value), reason="given: they share the rate")
    each = sum_over(_given("rate"), _i, count, reason="summed over the intervals")
    union = expectation(_union(), reason="take expectations")
    bound = combine(
        together_target(), [(1, union), (1, each), (count, named)], reason="a union is at most its parts together"
    )
    first, second = Entry("a", _i), Entry("b", _i)

    def mean(term: Any) -> Any:
        return Sum(term, (_i, 0, seeds - 1)) / seeds

    pairs = identity(Equal(mean(first - second), mean(first) - mean(second)), reason="within seeds")
    return Proof((bound, pairs))
