"""One inequality by cases: the interval of a variable is cut, and every piece has a certificate of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sympy import Symbol, Union
from sympy.core.relational import Relational

from rdml_theory.symbolic.certificates.certificate import Certificate, Kind
from rdml_theory.symbolic.certificates.domain import Domain

__all__ = ["Pieces", "by_cases"]


@dataclass(frozen=True)
class Pieces:
    """Certificates of the same inequality on pieces of the domain."""

    along: Symbol
    pieces: tuple[Certificate, ...]

    def text(self) -> str:
        """The pieces with their evidence."""
        return "\n\n".join(
            f"{p.kind} on {p.domain.key()}\n{p.evidence.text() if p.evidence else ''}" for p in self.pieces
        )

    def summary(self) -> str:
        """Each piece in turn."""
        return "; ".join(f"{p.domain.text()}: {p.summary()}" for p in self.pieces)

    def check(self, relation: Relational, domain: Domain) -> bool:
        """Whether every piece holds, and together they cover the domain."""
        intervals = [p.domain.interval(self.along) for p in self.pieces]
        same = all(
            p.relation == relation and p.domain == domain.restricted(self.along, i)
            for p, i in zip(self.pieces, intervals, strict=True)
        )
        return same and Union(*intervals) == domain.interval(self.along) and all(p.check() for p in self.pieces)


def by_cases(along: Symbol, pieces: Sequence[Certificate]) -> Certificate:
    """The certificate of an inequality on an interval from certificates on pieces of it.

    Parameters
    ----------
    along : Symbol
        The variable whose interval is cut.
    pieces : sequence of Certificate
        In the order of their intervals, without gaps; the same inequality, the same other intervals.

    Raises
    ------
    ValueError
        If the pieces are not of one inequality or leave a gap.

    >>> from sympy import Interval, exp, oo
    >>> from rdml_theory.symbolic.certificates import balls, calculus
    >>> from rdml_theory.symbolic.relations import at_least
    >>> x = Symbol("x", real=True)
    >>> relation = at_least(exp(x), 2 * x)
    >>> near, far = balls(relation, {x: Interval(0, 1)}), calculus(relation, {x: Interval(1, oo)})
    >>> by_cases(x, [near, far]).check()
    True
    """
    if not pieces:
        raise ValueError("expected at least one piece")
    first = pieces[0]
    intervals = [p.domain.interval(along) for p in pieces]
    for one, other in pairwise(intervals):
        if one.end < other.start or (one.end == other.start and one.right_open and other.left_open):
            raise ValueError(f"the pieces leave a gap between {one} and {other}")
    whole = first.domain.restricted(along, Union(*intervals))
    if any(p.relation != first.relation or p.domain.restricted(along, whole.interval(along)) != whole for p in pieces):
        raise ValueError("the pieces are not of the same inequality on the same domain")
    false = next((p for p in pieces if p.counterexample is not None), None)
    if false is not None:
        return Certificate(false.kind, "", false.relation, whole, counterexample=false.counterexample)
    # The kind is that of the piece which needs most: balls, then the solver, then calculus.
    kinds = {p.kind for p in pieces}
    kind: Kind = "balls" if "balls" in kinds else "smt" if "smt" in kinds else first.kind
    return Certificate(kind, "", first.relation, whole, Pieces(along, tuple(pieces)))
