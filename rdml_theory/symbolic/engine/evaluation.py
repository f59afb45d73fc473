"""Values of expressions at random points: the part of a decision that shares nothing with SymPy's simplification.

A point has a concrete number of classes and a value for every atom, drawn from the point's seed and the atom's name
only, so that both sides of a relation see the same one. Values are computed with mpmath; sums are summed term by term.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import mpmath as mp
from sympy import (
    Add,
    Basic,
    Indexed,
    KroneckerDelta,
    Mul,
    Piecewise,
    Pow,
    S,
    Sum,
    Symbol,
    false,
    lambdify,
    symbols,
    true,
)  # fmt: skip

from rdml_theory.symbolic.maximum import Maximum
from rdml_theory.symbolic.notation import Formula, Named

__all__ = ["DIGITS", "Point", "points"]

DIGITS = 50
"""Digits that are computed with; comparisons allow for the loss of half of them."""


@dataclass
class Point:
    """A random point: classes, and values of symbols and indexed entries.

    Real symbols lie in (-reach, reach), those declared positive or non-negative and all indexed entries in (0, reach);
    integers in 1..classes. Probabilities are not constrained to sum to one: what is decided holds for positive vectors,
    or has been expanded to logits before.

    Parameters
    ----------
    classes : int
        The value of ``C``.
    seed : object
        Names the point.
    reach : int
        The largest value is below it. A probability exceeds one beyond ``reach=1``, as a positive vector may.

    Examples
    --------
    >>> from sympy import Sum
    >>> from rdml_theory.symbolic.notation import C, i, k, q
    >>> point = Point(classes=3, seed=0)
    >>> point.value(Sum(q[i] / q[k], (i, 1, C)) - Sum(q[i], (i, 1, C)) / q[k]) < 1e-45
    True
    """

    classes: int
    seed: object
    reach: int = 1
    digits: int = DIGITS
    _drawn: dict[Basic, Any] = field(default_factory=dict, repr=False)
    _sums: dict[Any, Any] = field(default_factory=dict, repr=False)

    def value(self, expression: Formula) -> Any | None:
        """The value as an mpmath number; ``None`` if it is not finite and real there.

        Raises
        ------
        TypeError
            If the expression holds something without a value, such as a derivative that was not taken.
        """
        with mp.workdps(self.digits):
            try:
                value = mp.mpmathify(self._at(expression, {}))
            except (ZeroDivisionError, ValueError, OverflowError):
                return None
            if isinstance(value, mp.mpc):
                if abs(value.imag) > mp.mpf(10) ** (-self.digits // 2) * (1 + abs(value.real)):
                    return None
                value = value.real
            return value if mp.isfinite(value) else None

    def finer(self) -> Point:
        """The same point, computed with twice the digits."""
        return Point(self.classes, self.seed, self.reach, 2 * self.digits)

    def assignment(self) -> dict[str, str]:
        """The values drawn so far, by name."""
        return {str(atom): str(value) for atom, value in sorted(self._drawn.items(), key=str)}

    def _draw(self, atom: Formula, name: str) -> Any:
        if atom not in self._drawn:
            stream = random.Random(f"{self.seed}/{self.classes}/{self.reach}/{name}")
            if atom.is_integer:
                self._drawn[atom] = self.classes if name == "C" else stream.randint(1, self.classes)
            else:
                low = 1 if isinstance(atom, Indexed) or atom.is_nonnegative else 1 - 100 * self.reach
                self._drawn[atom] = mp.mpf(stream.randint(low, 100 * self.reach - 1) or 1) / 100
        return self._drawn[atom]

    def _at(self, e: Formula, indices: Mapping[Formula, int]) -> Any:
        """The value of a node, where bound indices have the values ``indices``."""
        if isinstance(e, Indexed):
            where = [int(self._at(a, indices)) for a in e.indices]
            return self._draw(e.func(e.base, *where), f"{e.base}{where}")
        if e.is_Atom:
            return self._atom(e, indices)
        if isinstance(e, Sum):
            return self._sum(e, indices)
        if isinstance(e, Maximum):
            limits: Any = e.args[1]
            index, low, high = limits
            first, last = (int(self._at(b, indices)) for b in (low, high))
            return max(self._at(e.args[0], {**indices, index: n}) for n in range(first, last + 1))
        if isinstance(e, Piecewise):
            cases: Any = e.args
            return next(self._at(value, indices) for value, condition in cases if self._holds(condition, indices))
        values = [self._at(a, indices) for a in e.args]
        if isinstance(e, Add):
            return mp.fsum(values)
        if isinstance(e, Mul):
            return mp.fprod(values)
        if isinstance(e, Pow):
            return mp.power(*values)
        if isinstance(e, KroneckerDelta):
            return int(values[0] == values[1])
        return _numeric(e.func, len(values))(*values)

    def _atom(self, e: Formula, indices: Mapping[Formula, int]) -> Any:
        if e.is_Rational:
            return mp.mpf(e.p) / e.q
        if e.is_number and e not in (S.ImaginaryUnit, S.ComplexInfinity):
            return mp.make_mpf(e._as_mpf_val(mp.mp.prec))
        if e is S.ImaginaryUnit:
            return mp.j
        if not isinstance(e, Symbol | Named):
            raise ValueError(f"{e} is no finite number")
        return indices[e] if e in indices else self._draw(e, str(e))

    def _holds(self, condition: Any, indices: Mapping[Formula, int]) -> bool:
        if condition in (true, false):
            return condition is true
        compare = _COMPARE.get(getattr(condition, "rel_op", None))
        if compare is None:
            raise TypeError(f"cannot evaluate the condition {condition}")
        left, right = (self._at(a, indices) for a in condition.args)
        return bool(compare(left, right))

    def _sum(self, total: Formula, indices: Mapping[Formula, int]) -> Any:
        free = total.free_symbols
        key = (total, *sorted((str(i), v) for i, v in indices.items() if i in free))
        if key not in self._sums:
            *inner, (index, low, high) = total.limits
            summand = Sum(total.function, *inner) if inner else total.function
            first, last = (int(self._at(b, indices)) for b in (low, high))
            self._sums[key] = mp.fsum(self._at(summand, {**indices, index: n}) for n in range(first, last + 1))
        return self._sums[key]


_COMPARE: dict[Any, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip

_FUNCTIONS: dict[Any, Callable[..., Any]] = {}


def _numeric(function: Any, arity: int) -> Callable[..., Any]:
    """A SymPy function as an mpmath function."""
    if (function, arity) not in _FUNCTIONS:
        if not getattr(function, "is_Function", False) or not hasattr(function, "nargs"):
            raise TypeError(f"{function.__name__} has no value at a point: take it first")
        arguments = symbols(f"x:{arity}")
        _FUNCTIONS[function, arity] = lambdify(arguments, function(*arguments, evaluate=False), "mpmath")
    return _FUNCTIONS[function, arity]


def points(seed: object = 0, count: int = 3) -> Iterator[Point]:
    """Points with one to four classes, ``count`` of each, alternately within reach 1 and 4.

    >>> [(p.classes, p.reach) for p in points(count=2)][:4]
    [(3, 1), (3, 4), (1, 4), (1, 1)]
    """
    for place, classes in enumerate((3, 1, 2, 4)):
        for number in range(count):
            yield Point(classes, f"{seed}/{number}", 4 if (number + place) % 2 else 1)
