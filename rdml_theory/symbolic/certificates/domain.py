"""Where an inequality is asserted: an interval for each variable, and conditions between them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sympy import Eq, Interval, Symbol, oo, srepr
from sympy.core.relational import Relational

from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.printing import to_latex, to_text

__all__ = ["Domain"]


def _assumed(symbol: Symbol) -> Any:
    """The interval that a symbol's assumptions allow."""
    if symbol.is_positive:
        return Interval.open(0, oo)
    if symbol.is_nonnegative:
        return Interval(0, oo)
    if symbol.is_negative:
        return Interval.open(-oo, 0)
    if symbol.is_nonpositive:
        return Interval(-oo, 0)
    if symbol.is_nonzero:
        raise ValueError(f"the variable {symbol} is declared nonzero, which is no interval: declare its sign, or less")
    if symbol.is_real:
        return Interval(-oo, oo)
    raise ValueError(f"the variable {symbol} is not declared real: give it an interval in a real domain")


@dataclass(frozen=True)
class Domain:
    """A product of intervals, cut by conditions.

    Attributes
    ----------
    intervals : tuple of (Symbol, Interval)
        One for each variable, sorted by name.
    conditions : tuple of Relational
        Further relations between the variables that are assumed.

    >>> from sympy import Symbol
    >>> x = Symbol("x", positive=True)
    >>> Domain.of([x], {x: Interval(0, 1, left_open=True)}).text()
    'x in (0, 1]'
    """

    intervals: tuple[tuple[Symbol, Interval], ...]
    conditions: tuple[Relational, ...] = ()

    @classmethod
    def of(
        cls,
        formulas: Any,
        given: Mapping[Symbol, Interval] | None = None,
        conditions: tuple[Relational, ...] = (),
    ) -> Domain:
        """The domain of the variables of some formulas; those without an interval get what they are declared to be.

        Raises
        ------
        ValueError
            If two variables share a name, one is not real, or an interval is wider than what a variable is declared
            to be: SymPy would then simplify by rules that do not hold.
        """
        chosen: dict[Symbol, Any] = dict(given or {})
        symbols: set[Any] = set().union(*(f.free_symbols for f in (*formulas, *conditions))) | set(chosen)
        strange = [s for s in symbols if not isinstance(s, Symbol)]
        if strange:
            raise ValueError(f"expected real variables, got {', '.join(map(str, strange))}")
        ordered = sorted(symbols, key=lambda s: s.name)
        names = [s.name for s in ordered]
        if len(set(names)) != len(names):
            raise ValueError(f"two variables share a name: {', '.join(names)}")
        intervals = []
        for symbol in ordered:
            allowed = _assumed(symbol)
            interval = chosen.get(symbol, allowed)
            if not interval.is_subset(allowed):
                raise ValueError(
                    f"{symbol} is declared to lie in {to_text(allowed)} and cannot range over {to_text(interval)}: "
                    "declare it with weaker assumptions"
                )
            intervals.append((symbol, interval))
        return cls(tuple(intervals), tuple(conditions))

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """The variables, sorted by name."""
        return tuple(s for s, _ in self.intervals)

    def interval(self, symbol: Symbol) -> Any:
        """The interval of a variable."""
        return dict(self.intervals)[symbol]

    def restricted(self, symbol: Symbol, interval: Any) -> Domain:
        """The same domain with another interval of one variable."""
        return Domain(tuple((s, interval if s == symbol else i) for s, i in self.intervals), self.conditions)

    def contains(self, point: Mapping[Symbol, Formula]) -> bool:
        """Whether an exact point lies in the domain."""
        values: Any = dict(point)
        inside = all(bool(i.contains(point[s])) for s, i in self.intervals)
        whole = all(point[s].is_integer for s in self.symbols if s.is_integer)
        return inside and whole and all(bool(c.subs(values)) for c in self.conditions)

    def points(self, count: int) -> Iterator[dict[Symbol, Fraction]]:
        """Rational points, spread over every interval and crowded at its ends; conditions are not looked at."""
        stream = random.Random(0)
        ends = {s: (_rational_end(i.start, 1), _rational_end(i.end, -1)) for s, i in self.intervals}
        for _ in range(count):
            yield {s: _draw(pair, stream) for s, pair in ends.items()}

    def _parts(self) -> list[Any]:
        return [(s, i) for s, i in self.intervals if i != Interval(-oo, oo)]

    def text(self) -> str:
        """One line of Unicode text."""
        parts = [f"{to_text(s)} in {_interval(i, to_text, '∞')}" for s, i in self._parts()]
        return ", ".join(parts + [to_text(c) for c in self.conditions])

    def latex(self) -> str:
        r"""LaTeX, as in ``x \in (0, 1]``."""
        infinity = r"\infty"
        parts = [rf"{to_latex(s)} \in {_interval(i, to_latex, infinity)}" for s, i in self._parts()]
        return r",\; ".join(parts + [to_latex(c) for c in self.conditions])

    def key(self) -> str:
        """A canonical text, from which digests are made."""
        return "; ".join([f"{srepr(s)} {srepr(i)}" for s, i in self.intervals] + [srepr(c) for c in self.conditions])

    @property
    def has_equations(self) -> bool:
        """Whether a condition is an equality, which random points never meet."""
        return any(isinstance(c, Eq) for c in self.conditions)


def _interval(interval: Any, show: Any, infinity: str) -> str:
    left, right = interval.start, interval.end
    opening = "(" if interval.left_open else "["
    closing = ")" if interval.right_open else "]"
    low = f"-{infinity}" if left == -oo else show(left)
    high = infinity if right == oo else show(right)
    return f"{opening}{low}, {high}{closing}"


def _rational_end(end: Any, inwards: int) -> Fraction | None:
    """An end of an interval, moved inwards to a rational number if it is irrational; ``None`` if there is no end."""
    if not end.is_finite:
        return None
    if end.is_Rational:
        return Fraction(int(end.p), int(end.q))
    scale = 10**12
    return Fraction(int((end * scale).evalf(30)) + 2 * inwards, scale)


def _draw(ends: tuple[Fraction | None, Fraction | None], stream: random.Random) -> Fraction:
    """A rational point of an interval: uniform, or close to an end, or far out where there is no end."""
    low, high = ends
    small = Fraction(stream.randint(1, 999), 1000 * 10 ** stream.choice((0, 0, 0, 1, 2, 4)))
    if low is not None and high is not None:
        return low + (high - low) * (small if stream.random() < 0.5 else 1 - small)
    far = small * 10 ** stream.choice((0, 1, 2, 3))
    if low is not None:
        return low + far
    if high is not None:
        return high - far
    return far * stream.choice((-1, 1))
