"""A certificate: an inequality over a domain, the evidence for it, and how to check that evidence again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, cast

from sympy import Eq, Float, Ge, Gt, Le, Lt, Rational, Symbol, lambdify, srepr
from sympy.core.relational import Relational

from rdml_theory.symbolic.certificates.domain import Domain
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.printing import to_text

__all__ = ["Certificate", "Evidence", "Kind", "difference"]

Kind = Literal["calculus", "smt", "rational"]

_DIGITS = 40
_TOLERANCE = Float(10) ** -25
_SAMPLES = 400


class Evidence(Protocol):
    """What is kept of a proof."""

    def text(self) -> str:
        """All of it, in a canonical form."""
        ...

    def summary(self) -> str:
        """A line about it."""
        ...

    def check(self, relation: Relational, domain: Domain) -> bool:
        """Whether it proves the relation on the domain, checked from the beginning."""
        ...


@dataclass(frozen=True)
class Certificate:
    """A scalar inequality over a domain, with evidence.

    Attributes
    ----------
    kind : {"calculus", "smt", "rational"}
        By what means it was discharged.
    reason : str
        What the inequality is for, in words.
    relation : Relational
        The inequality.
    domain : Domain
        Where it is asserted.
    evidence : Evidence, optional
        What is kept of the proof; ``None`` where none was found.
    counterexample : tuple of (Symbol, Expr), optional
        A point of the domain at which the inequality fails.

    >>> from sympy import Symbol
    >>> from rdml_theory.symbolic.certificates import smt
    >>> from rdml_theory.symbolic.relations import at_least
    >>> x = Symbol("x", real=True)
    >>> certificate = smt(at_least(x**2 + 1, 2 * x))
    >>> certificate.check(), len(certificate.digest)
    (True, 16)
    """

    kind: Kind
    reason: str
    relation: Relational
    domain: Domain
    evidence: Evidence | None = None
    counterexample: tuple[tuple[Symbol, Formula], ...] | None = None

    def check(self) -> bool | None:
        """Check the evidence from the beginning: ``True``, ``False`` (a point refutes it) or ``None`` (undecided)."""
        if self.counterexample is not None:
            return False if refutes(dict(self.counterexample), self.relation, self.domain) else None
        if self.evidence is None:
            return None
        return True if self.evidence.check(self.relation, self.domain) else None

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that identify inequality, domain and evidence."""
        evidence = "" if self.evidence is None else self.evidence.text()
        whole = "\n".join((self.kind, srepr(self.relation), self.domain.key(), evidence, repr(self.counterexample)))
        return hashlib.sha256(whole.encode()).hexdigest()[:16]

    def summary(self) -> str:
        """A line about the evidence, or about the point at which the inequality fails."""
        if self.counterexample is not None:
            at = ", ".join(f"{to_text(s)} = {float(v):.10g}" for s, v in self.counterexample)
            return f"fails at {at}" if at else "fails"
        return "no proof found" if self.evidence is None else self.evidence.summary()


def difference(relation: Relational) -> Formula:
    """What an inequality says is not negative: the larger side minus the smaller."""
    if not isinstance(relation, Ge | Gt | Le | Lt):
        raise TypeError(f"cannot certify {relation!r}: expected an inequality (≤, ≥, <, >)")
    left, right = cast("tuple[Formula, Formula]", relation.args)
    return left - right if isinstance(relation, Ge | Gt) else right - left


def refutes(point: Mapping[Symbol, Formula], relation: Relational, domain: Domain) -> bool:
    """Whether the relation fails at an exact point of the domain, by more than any rounding."""
    if not domain.contains(point):
        return False
    if isinstance(relation, Eq):
        left, right = cast("tuple[Formula, Formula]", relation.args)
        gap = -abs(left - right)
    else:
        gap = difference(relation)
    value = gap.subs(point).evalf(_DIGITS)
    if not (value.is_number and value.is_extended_real):
        return False
    # A strict inequality also fails where its sides are equal, which only exact arithmetic shows.
    strict = isinstance(relation, Gt | Lt) and gap.subs(point).is_zero
    return bool(strict or value < -_TOLERANCE)


def search_counterexample(relation: Relational, domain: Domain) -> tuple[tuple[Symbol, Formula], ...] | None:
    """A point at which the relation fails, among a fixed set of rational points of the domain."""
    if domain.has_equations:
        return None
    symbols = domain.symbols
    # Conditions are judged in floating point first: exact arithmetic is for what looks like a counterexample.
    gaps = [lambdify(symbols, difference(r), "math") for r in (relation, *domain.conditions)]
    found: list[tuple[int, dict[Symbol, Formula]]] = []
    for point in domain.points(_SAMPLES if symbols else 1):
        place = [float(x) for x in point.values()]
        try:
            value, *room = (gap(*place) for gap in gaps)
            wrong = value < 0 and all(r >= 0 for r in room)
        except (ArithmeticError, ValueError, TypeError):
            continue
        if wrong:
            # Of several counterexamples the one of the shortest numbers is shown.
            length = sum(x.numerator.bit_length() + x.denominator.bit_length() for x in point.values())
            found.append((length, {s: Rational(x.numerator, x.denominator) for s, x in point.items()}))
    for _, point in sorted(found, key=lambda pair: pair[0])[:8]:
        if refutes(point, relation, domain):
            return tuple(point.items())
    return None
