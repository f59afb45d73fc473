"""Inequalities on a box by ball arithmetic: the box is cut until every part has a lower bound above zero.

A ball is a midpoint with an error radius; a function of balls returns one that contains every value (Johansson 2017,
arXiv 1611.02831). The evidence is the list of parts with their bounds; a fresh check evaluates each part again and
shows, in rational arithmetic, that the parts cover the box.

Where both sides touch at an end of the box no bound above zero exists. There the parts at that end are judged by the
first derivative that does not vanish: if f and its derivatives below order n are zero at a, identically in the other
variables, then f(x) = f⁽ⁿ⁾(ξ) (x-a)ⁿ/n!, and a sign of f⁽ⁿ⁾ on the part is one of f.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sympy import Gt, Interval, Lt, Rational, Symbol, simplify, sympify
from sympy.core.relational import Relational

from rdml_theory.symbolic.certificates.arb import PRECISION, ball, compiled
from rdml_theory.symbolic.certificates.certificate import Certificate, difference, refutes, search_counterexample
from rdml_theory.symbolic.certificates.domain import Domain
from rdml_theory.symbolic.certificates.extras import engine
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.printing import to_text

__all__ = ["Box", "Subdivision", "Touching", "balls"]

Sides = tuple[tuple[Fraction, Fraction], ...]

_LEAST_WIDTH = Fraction(1, 2**40)


@dataclass(frozen=True)
class Touching:
    """Where both sides of an inequality meet at an end of the box, and to which order.

    Attributes
    ----------
    variable : Symbol
        The variable whose interval ends there.
    at : Formula
        That end.
    order : int
        The difference and its derivatives below this order vanish there.
    """

    variable: Symbol
    at: Formula
    order: int


@dataclass(frozen=True)
class Box:
    """One part: its sides, and a positive lower bound of the difference, or of its derivative where both sides touch.

    Attributes
    ----------
    sides : tuple of (Fraction, Fraction)
        The ends of its intervals, in the order of the domain's variables.
    bound : float
        The lower bound, rounded down for display.
    by_derivative : bool
        Whether it bounds the derivative.
    """

    sides: Sides
    bound: float
    by_derivative: bool = False


def _precisely() -> AbstractContextManager[Any]:
    return engine("flint").ctx.workprec(PRECISION)


class _Bounds:
    """Lower bounds of the difference, and of the derivative that decides where both sides touch."""

    def __init__(self, relation: Relational, domain: Domain, touching: Touching | None) -> None:
        self.symbols = domain.symbols
        self.strict = isinstance(relation, Gt | Lt)
        function = difference(relation)
        self.value = self._with_slopes(function)
        self.touching = touching
        self.derivative: tuple[Any, list[Any]] | None = None
        if touching is not None:
            derivative = function.diff(touching.variable, touching.order)
            whole = domain.interval(touching.variable)
            if touching.at == whole.end and touching.order % 2:
                derivative = -derivative
            self.derivative = self._with_slopes(derivative)

    def _with_slopes(self, function: Formula) -> tuple[Any, list[Any]]:
        return compiled(function, self.symbols), [compiled(function.diff(s), self.symbols) for s in self.symbols]

    def touches(self, sides: Sides) -> bool:
        """Whether a part lies at the end where both sides touch."""
        if self.touching is None:
            return False
        low, high = sides[self.symbols.index(self.touching.variable)]
        return _fraction(self.touching.at) in (low, high)

    def lower(self, sides: Sides, *, by_derivative: bool) -> tuple[Any, list[float]]:
        """The better of two lower bounds, and how much each variable's width costs.

        The first is the function of the balls; the second its value in the middle plus slopes times half widths.
        """
        pair = self.derivative if by_derivative else self.value
        assert pair is not None
        function, slopes = pair
        parts = [ball(*side) for side in sides]
        direct = function(*parts)
        middles = [ball(m, m) for m in ((low + high) / 2 for low, high in sides)]
        slopes_ = [slope(*parts) for slope in slopes]
        spreads = [s * (p - m) for s, p, m in zip(slopes_, parts, middles, strict=True)]
        centred = function(*middles)
        for spread in spreads:
            centred += spread
        costs = [float(abs(s).upper()) if s.is_finite() else float("inf") for s in spreads]
        bounds = [b.lower() for b in (direct, centred) if b.is_finite()]
        return (max(bounds) if bounds else None), costs

    def accepted(self, sides: Sides, *, by_derivative: bool) -> tuple[Box | None, list[float]]:
        """The part with its bound, if that is positive (or zero, for a weak inequality)."""
        lower, costs = self.lower(sides, by_derivative=by_derivative)
        if lower is None or not (lower > 0 or (lower >= 0 and not self.strict)):
            return None, costs
        return Box(sides, _down(lower), by_derivative), costs


def _down(bound: Any) -> float:
    value = float(bound)
    return value if engine("flint").arb(value) <= bound else value * (1 - 2**-52)


def _fraction(value: Any) -> Fraction:
    exact = sympify(value)
    if not isinstance(exact, Rational):
        raise ValueError(f"a box needs rational ends, got {exact}")
    return Fraction(int(exact.p), int(exact.q))


def _root(domain: Domain) -> Sides:
    """The closure of the domain as a box."""
    if domain.conditions:
        raise ValueError(f"balls cover boxes, without conditions: got {domain.text()}")
    for symbol, interval in domain.intervals:
        if not (interval.start.is_finite and interval.end.is_finite):
            raise ValueError(
                f"balls cover bounded boxes, got {to_text(symbol)} in an unbounded interval: substitute, "
                "or prove the tail by other means"
            )
    return tuple((_fraction(i.start), _fraction(i.end)) for _, i in domain.intervals)


def _halves(sides: Sides, place: int) -> tuple[Sides, Sides]:
    low, high = sides[place]
    middle = (low + high) / 2
    first, second = ((low, middle), (middle, high))
    return (*sides[:place], first, *sides[place + 1 :]), (*sides[:place], second, *sides[place + 1 :])


def covers(boxes: Sequence[Sides], whole: Sides) -> bool:
    """Whether boxes made by halving cover a box, shown by the halvings themselves.

    >>> left, right = ((Fraction(0), Fraction(1, 2)),), ((Fraction(1, 2), Fraction(1)),)
    >>> covers([left, right], ((Fraction(0), Fraction(1)),)), covers([left], ((Fraction(0), Fraction(1)),))
    (True, False)
    """
    if whole in boxes:
        return True
    for place in range(len(whole)):
        middle = sum(whole[place]) / 2
        below = [b for b in boxes if b[place][1] <= middle]
        above = [b for b in boxes if b[place][0] >= middle]
        if below and above and len(below) + len(above) == len(boxes):
            first, second = _halves(whole, place)
            return covers(below, first) and covers(above, second)
    return False


@dataclass(frozen=True)
class Subdivision:
    """The parts of a box and their lower bounds."""

    boxes: tuple[Box, ...]
    touching: Touching | None = None

    def text(self) -> str:
        """One line for each part."""

        def line(box: Box) -> str:
            sides = " x ".join(f"[{low}, {high}]" for low, high in box.sides)
            return f"{sides} {box.bound!r}{' by derivative' if box.by_derivative else ''}"

        return "\n".join([repr(self.touching), *map(line, self.boxes)])

    def summary(self) -> str:
        """How many parts, and the least bound."""
        plain = [b.bound for b in self.boxes if not b.by_derivative]
        count = len(self.boxes)
        words = f"{count} box{'es' * (count > 1)} cover the domain"
        if plain:
            words += f", least lower bound {min(plain):.3g}"
        if self.touching is not None and len(plain) < count:
            order = "" if self.touching.order == 1 else f" of order {self.touching.order}"
            bound = min(b.bound for b in self.boxes if b.by_derivative)
            words += (
                f"; {count - len(plain)} of them at {to_text(self.touching.variable)} = {to_text(self.touching.at)} by "
                f"a derivative{order}, least lower bound {bound:.3g}"
            )
        return words + f" (balls of {PRECISION} bits)"

    def check(self, relation: Relational, domain: Domain) -> bool:
        """Whether every part has its bound when evaluated afresh, and the parts cover the domain."""
        if not covers([b.sides for b in self.boxes], _root(domain)):
            return False
        if self.touching is not None and not vanishes(self.touching, relation, domain):
            return False
        with _precisely():
            bounds = _Bounds(relation, domain, self.touching)
            for box in self.boxes:
                if box.by_derivative and not bounds.touches(box.sides):
                    return False
                if bounds.accepted(box.sides, by_derivative=box.by_derivative)[0] != box:
                    return False
        return True


def vanishes(touching: Touching, relation: Relational, domain: Domain) -> bool:
    """Whether the difference vanishes to the stated order at an end of the domain, identically in the rest."""
    whole = domain.interval(touching.variable)
    if touching.order < 1 or touching.at not in (whole.start, whole.end) or isinstance(relation, Gt | Lt):
        return False
    function = difference(relation)
    for _ in range(touching.order):
        if simplify(function.subs(touching.variable, touching.at)) != 0:
            return False
        function = function.diff(touching.variable)
    return True


def _subdivide(bounds: _Bounds, whole: Sides, most: int, wrong: Callable[[Sides], bool]) -> list[Box] | Sides | None:
    """The parts; or a part in whose middle the inequality fails; or nothing after ``most`` parts."""
    pending, boxes = [whole], []
    while pending:
        if len(boxes) + len(pending) > most:
            return None
        sides = pending.pop()
        by_derivative = bounds.touches(sides)
        box, costs = bounds.accepted(sides, by_derivative=by_derivative)
        if box is None and by_derivative:
            # Far from the touching end the difference itself is larger than its derivative says.
            box, costs = bounds.accepted(sides, by_derivative=False)
        if box is not None:
            boxes.append(box)
            continue
        if wrong(sides):
            return sides
        widths = [high - low for low, high in sides]
        costs = [c if w > _LEAST_WIDTH else -1.0 for c, w in zip(costs, widths, strict=True)]
        if max(costs) < 0:
            return None
        infinite = [n for n, c in enumerate(costs) if c == float("inf")]
        place = max(infinite, key=lambda n: widths[n]) if infinite else costs.index(max(costs))
        pending += reversed(_halves(sides, place))
    return boxes


def balls(
    relation: Relational,
    domain: Mapping[Symbol, Interval] | None = None,
    *,
    touching: tuple[Symbol, Any, int] | None = None,
    most: int = 20_000,
    reason: str = "",
) -> Certificate:
    """Certify an inequality on a bounded box by ball arithmetic.

    Parameters
    ----------
    relation : Relational
        An inequality between expressions of sums, products, powers, exponentials, logarithms, roots, trigonometric and
        hyperbolic functions and absolute values, with exact numbers.
    domain : mapping of Symbol to Interval
        Bounded intervals with rational ends; their ends are included.
    touching : (Symbol, number, int), optional
        The variable and the end of its interval where both sides touch, and to which order.
    most : int
        How many parts may be made before giving up.
    reason : str
        What the inequality is for.

    Returns
    -------
    Certificate
        With the subdivision, or with a point at which the inequality fails, or with neither.

    Raises
    ------
    ValueError
        If the domain is not a bounded box with rational ends, or the expression is not exact.
    MissingProofsError
        If python-flint is not installed.

    >>> from sympy import Symbol, exp, log
    >>> from rdml_theory.symbolic.relations import at_least
    >>> x = Symbol("x", real=True)
    >>> balls(at_least(exp(x) - 3 * x, Rational(7, 25)), {x: Interval(0, 2)}).check()
    False
    >>> certificate = balls(at_least(log(1 + x), x * Rational(3, 5)), {x: Interval(0, 1)}, touching=(x, 0, 1))
    >>> certificate.check()
    True
    """
    where = Domain.of(relation.args, domain)
    whole = _root(where)
    meets = None if touching is None else Touching(touching[0], sympify(touching[1]), touching[2])
    if meets is not None and not vanishes(meets, relation, where):
        meets = None  # then nothing is proved at that end, and the counterexample is looked for all the same
    found = search_counterexample(relation, where)
    if found is not None:
        return Certificate("balls", reason, relation, where, counterexample=found)

    def middle(sides: Sides) -> dict[Symbol, Formula]:
        return {
            s: Rational((low + high).numerator, 2 * (low + high).denominator)
            for s, (low, high) in zip(where.symbols, sides, strict=True)
        }

    with _precisely():
        bounds = _Bounds(relation, where, meets)

        def wrong(sides: Sides) -> bool:
            points = [ball(m, m) for m in ((low + high) / 2 for low, high in sides)]
            return bool(bounds.value[0](*points) < 0) and refutes(middle(sides), relation, where)

        result = _subdivide(bounds, whole, most, wrong)
    if isinstance(result, list):
        return Certificate("balls", reason, relation, where, Subdivision(tuple(result), meets))
    if result is not None:
        return Certificate("balls", reason, relation, where, counterexample=tuple(middle(result).items()))
    return Certificate("balls", reason, relation, where)
