"""Inequalities by exact calculus: derivatives are taken from a point outwards until one has a manifest sign.

To show f ≥ 0 to the right of a, it is enough that f(a) ≥ 0 and f' ≥ 0 there; f' may be divided by anything positive
before the same is asked of it. To the left of a the slopes are reversed. This covers convexity, tangents, and
inequalities between logarithms, exponentials and powers that touch at one point.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from sympy import (
    Ge,
    Integer,
    Interval,
    Le,
    Mul,
    Pow,
    Symbol,
    expand,
    factor,
    limit,
    powsimp,
    srepr,
    sympify,
    together,
)
from sympy.core.relational import Relational

from rdml_theory.symbolic.certificates.certificate import Certificate, difference, search_counterexample
from rdml_theory.symbolic.certificates.domain import Domain
from rdml_theory.symbolic.certificates.signs import is_smooth_on, sign_on, simplified
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.printing import to_text

__all__ = ["Chain", "Link", "calculus"]

_DEPTH = 6


@dataclass(frozen=True)
class Link:
    """One function of a chain: it is not negative on its side of the point, because of the next.

    Attributes
    ----------
    side : {1, -1}
        To the right or to the left of the point.
    function : Formula
        What is not negative.
    start : Formula, optional
        Its limit at the point; ``None`` in the last link, whose sign is manifest.
    factor : Formula, optional
        A positive factor: side · function' = factor · (the next function).
    """

    side: int
    function: Formula
    start: Formula | None = None
    factor: Formula | None = None


def _side(domain: Domain, along: Symbol, at: Formula, side: int) -> Domain:
    """The part of a domain on one side of the point; all of it if the point varies, which is safe."""
    whole = domain.interval(along)
    if at.free_symbols:
        return domain
    if side > 0:
        return domain.restricted(along, Interval(at, whole.end, at not in whole, whole.right_open))
    return domain.restricted(along, Interval(whole.start, at, whole.left_open, at not in whole))


def _reachable(domain: Domain, along: Symbol, at: Formula) -> bool:
    """Whether the point lies in the closed interval of the variable; it may be another variable of the domain."""
    whole = domain.interval(along)
    if at in domain.symbols and at != along:
        return bool(domain.interval(at).is_subset(whole))
    return not at.free_symbols and bool(whole.start <= at) and bool(at <= whole.end)


def _sides(domain: Domain, along: Symbol, at: Formula) -> list[int]:
    whole = domain.interval(along)
    if at.free_symbols:
        return [1, -1]
    return [s for s, end in ((1, whole.end), (-1, whole.start)) if bool(at != end)]


def _manifest(function: Formula, domain: Domain, along: Symbol, at: Formula, side: int) -> bool:
    return sign_on(function, domain, {along - at: side}) == 1


@dataclass(frozen=True)
class Chain:
    """Links, on one side of a point or on both."""

    along: Symbol
    at: Formula
    links: tuple[Link, ...]

    def text(self) -> str:
        """All links."""
        rows = [[str(k.side), *(srepr(part) for part in (k.function, k.start, k.factor))] for k in self.links]
        return "\n".join([srepr(self.along), srepr(self.at), *("; ".join(row) for row in rows)])

    def summary(self) -> str:
        """How many signs it rests on."""
        count = len(self.links)
        return f"a chain of {count} exact sign{'s' * (count > 1)} along {to_text(self.along)} from {to_text(self.at)}"

    def check(self, relation: Relational, domain: Domain) -> bool:
        """Whether every link holds, and whether they cover the domain."""
        if not isinstance(relation, Ge | Le):
            return False  # the signs of a chain are weak
        sides = _sides(domain, self.along, self.at) if _reachable(domain, self.along, self.at) else ()
        return bool(sides) and all(self._holds(side, relation, domain) for side in sides)

    @lru_cache(maxsize=500, typed=True)  # noqa: B019 - chains are few and small
    def _holds(self, side: int, relation: Relational, domain: Domain) -> bool:
        links = [k for k in self.links if k.side == side]
        part = _side(domain, self.along, self.at, side)
        if not links or links[0].function != difference(relation):
            return False
        for link, following in pairwise(links):
            slope = side * link.function.diff(self.along)
            start = _start(link.function, self.along, self.at, side)
            if link.factor is None or not _is_zero(slope - link.factor * following.function):
                return False
            if sign_on(link.factor, part, {self.along - self.at: side}) != 1:
                return False
            # A pole inside would break the argument from the slope to the function.
            if not is_smooth_on(link.function, part, self.along):
                return False
            if not _is_zero(start - link.start) or sign_on(start, domain) != 1:
                return False
        return _manifest(links[-1].function, part, self.along, self.at, side)


def _is_zero(expression: Formula) -> bool:
    return expand(expression) == 0 or simplified(expression) == 0


@lru_cache(maxsize=500, typed=True)
def _start(function: Formula, along: Symbol, at: Formula, side: int) -> Formula:
    """The limit at the point, from its side."""
    # SymPy gives 0**0, and 1 to any power, a value; where the exponent moves too the limit may be another.
    powers = (p for p in function.atoms(Pow) if along in p.exp.free_symbols)
    if at.is_finite and all(p.base.subs(along, at).is_positive for p in powers):
        value = function.subs(along, at)
        if value.is_finite:
            return simplified(value)
    return limit(function, along, at, "+" if side > 0 else "-")


def _reduced(slope: Formula, domain: Domain, known: Mapping[Formula, int]) -> tuple[Formula, Formula]:
    """A positive factor of the slope, as large as can be seen, and the rest."""
    form: Any = factor(together(powsimp(simplified(slope))))
    positive: list[Formula] = [p for p in Mul.make_args(form) if not p.is_number and sign_on(p, domain, known) == 1]
    rest = Mul(*(p for p in Mul.make_args(form) if p not in positive))
    return Mul(*positive), rest


def _plain(slope: Formula, domain: Domain, known: Mapping[Formula, int]) -> tuple[Formula, Formula]:
    """The slope as it is: its derivative is simpler than that of a quotient."""
    return Integer(1), simplified(slope)


def _links(function: Formula, domain: Domain, along: Symbol, at: Formula, side: int, reduce: Any) -> Iterator[Link]:
    """The chain on one side, as far as it leads; its last link has neither start nor factor if it is complete."""
    part = _side(domain, along, at, side)
    known = {along - at: side}
    for _ in range(_DEPTH):
        if _manifest(function, part, along, at, side):
            yield Link(side, function)
            return
        start = _start(function, along, at, side)
        if sign_on(start, domain) != 1:
            return
        positive, following = reduce(side * function.diff(along), part, known)
        yield Link(side, function, start, positive)
        function = following


def calculus(
    relation: Relational,
    domain: Mapping[Symbol, Interval] | None = None,
    *,
    along: Symbol | None = None,
    at: Any = None,
    reason: str = "",
) -> Certificate:
    """Certify an inequality by exact derivatives along one variable.

    Parameters
    ----------
    relation : Relational
        A weak inequality.
    domain : mapping of Symbol to Interval, optional
        Where the variables lie; by default where they are declared to lie.
    along : Symbol, optional
        The variable of differentiation; may be left out if there is only one.
    at : Expr, optional
        Where the chain begins: the point where both sides touch, possibly another variable. By default the left end of
        the variable's interval.
    reason : str
        What the inequality is for.

    Returns
    -------
    Certificate
        With the chain, or with a point at which the inequality fails, or with neither.

    Raises
    ------
    TypeError
        If the relation is not a weak inequality.
    ValueError
        If the variable or the point is not given or not possible.

    >>> from sympy import Symbol, tanh
    >>> from rdml_theory.symbolic.relations import at_most
    >>> x = Symbol("x", nonnegative=True)
    >>> calculus(at_most(tanh(x), x)).check(), calculus(at_most(tanh(x), x / 2)).check()
    (True, False)
    """
    if not isinstance(relation, Ge | Le):
        raise TypeError(f"cannot certify {relation!r} by calculus: expected a weak inequality (≤ or ≥)")
    where = Domain.of(relation.args, domain)
    if along is None:
        if len(where.symbols) != 1:
            raise ValueError(f"the inequality has {len(where.symbols)} variables: say `along` which to differentiate")
        along = where.symbols[0]
    point = where.interval(along).start if at is None else sympify(at)
    if not _reachable(where, along, point):
        raise ValueError(f"the point {point} does not lie where {along} ranges, {where.interval(along)}")
    found = search_counterexample(relation, where)
    if found is not None:
        return Certificate("calculus", reason, relation, where, counterexample=found)
    links: list[Link] = []
    for side in _sides(where, along, point):
        for reduce in (_plain, _reduced):
            chain = list(_links(difference(relation), where, along, point, side, reduce))
            if chain and chain[-1].factor is None:
                links += chain
                break
        else:
            return Certificate("calculus", reason, relation, where)
    return Certificate("calculus", reason, relation, where, Chain(along, point, tuple(links)))
