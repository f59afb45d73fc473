"""SymPy expressions on many boxes at once: arrays of intervals in float64, rounded outward."""

# SymPy's printers dispatch on class names.
# ruff: noqa: N802, N815

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import reduce
from operator import and_, methodcaller, or_
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Add, E, Expr, Float, Mul, Piecewise, Pow, Rational, Symbol, lambdify, pi, preorder_traversal
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean
from sympy.printing.lambdarepr import LambdaPrinter

from rdml_theory.symbolic.certificates.extras import engine

__all__ = ["Intervals", "Truth", "enclosures"]

PRECISION = 64
"""Bits of the midpoints of balls (python-flint's ``arb``), in which functions of a point are enclosed."""

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def _down(x: Any) -> Any:
    return np.nextafter(x, -np.inf)


def _up(x: Any) -> Any:
    return np.nextafter(x, np.inf)


class Intervals:
    """Intervals [low, high], each the ends of a value that is known no better; nan where nothing is known.

    Sums, products and quotients of float64 are correctly rounded, so that the next number outward bounds them. The
    elementary functions are taken at the ends by ball arithmetic, and rounded outward too.

    Parameters
    ----------
    low, high : arrays of one shape

    Examples
    --------
    >>> x = Intervals([1.0, -1.0], [2.0, 2.0])
    >>> y = x * x - x
    >>> y.low.round(9), y.high.round(9)
    (array([-1., -4.]), array([3., 5.]))
    """

    __slots__ = ("high", "low")

    def __init__(self, low: ArrayLike, high: ArrayLike) -> None:
        self.low, self.high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)

    @staticmethod
    def of(number: Fraction) -> Intervals:
        """A rational number.

        >>> third = Intervals.of(Fraction(1, 3))
        >>> Fraction(float(third.low)) < Fraction(1, 3) < Fraction(float(third.high))
        True
        """
        near = np.float64(number)
        return Intervals(near, near) if Fraction(float(near)) == number else Intervals(_down(near), _up(near))

    def __neg__(self) -> Intervals:
        return Intervals(-self.high, -self.low)

    def __add__(self, other: Intervals) -> Intervals:
        return Intervals(_down(self.low + other.low), _up(self.high + other.high))

    def __sub__(self, other: Intervals) -> Intervals:
        return Intervals(_down(self.low - other.high), _up(self.high - other.low))

    def __mul__(self, other: Intervals) -> Intervals:
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        low = np.minimum(np.minimum(ends[0], ends[1]), np.minimum(ends[2], ends[3]))
        high = np.maximum(np.maximum(ends[0], ends[1]), np.maximum(ends[2], ends[3]))
        return Intervals(_down(low), _up(high))

    def __truediv__(self, other: Intervals) -> Intervals:
        return self * other.inverse()

    def inverse(self) -> Intervals:
        """1/x; unknown where it may be infinite."""
        known = (self.low > 0) | (self.high < 0)
        return Intervals(np.where(known, _down(1 / self.high), np.nan), np.where(known, _up(1 / self.low), np.nan))

    def size(self) -> Intervals:
        """``|x|``."""
        return Intervals(np.maximum(np.maximum(self.low, -self.high), 0.0), np.maximum(-self.low, self.high))

    def power(self, exponent: int) -> Intervals:
        """An integer power, by the ends: no lower than zero where it is even."""
        if exponent < 0:
            return self.power(-exponent).inverse()
        if exponent % 2:
            up, down = (Intervals(np.maximum(x.low, 0.0), np.maximum(x.high, 0.0)) for x in (self, -self))
            return up._rising(exponent) - down._rising(exponent)
        return self.size()._rising(exponent)

    def _rising(self, exponent: int) -> Intervals:
        """A positive power of what is not negative: products of like ends, none of which is 0 · ∞."""
        low, high = self.low, self.high
        for _ in range(exponent - 1):
            low, high = np.maximum(_down(low * self.low), 0.0), _up(high * self.high)
        return Intervals(low, high)

    def monotone(self, function: Callable[[Any], Any], grows: bool = True) -> Intervals:
        """A function of balls that grows, or falls, where it is defined: by the ends."""
        low, high = (self.low, self.high) if grows else (self.high, self.low)
        return Intervals(_ends(function, low)[0], _ends(function, high)[1])

    def cosh(self) -> Intervals:
        """cosh x, least at zero."""
        return self.size().monotone(methodcaller("cosh"))

    def _wave(self, name: str, peak: float) -> Intervals:
        """A function of period 2π between -1, half a period after its peak, and 1."""
        (a, b), (c, d) = (_ends(methodcaller(name), end) for end in (self.low, self.high))
        # In turns of the wave; their rounding is far below the margin, which errs on the wide side.
        first, last = ((end - peak) / (2 * np.pi) for end in (self.low, self.high))
        margin = 1e-12 * (1 + np.maximum(np.abs(first), np.abs(last)))
        top, bottom = (np.floor(last + margin - o) >= np.ceil(first - margin - o) for o in (0.0, 0.5))
        return Intervals(np.where(bottom, -1.0, np.minimum(a, c)), np.where(top, 1.0, np.maximum(b, d)))

    def sin(self) -> Intervals:
        """sin x."""
        return self._wave("sin", np.pi / 2)

    def cos(self) -> Intervals:
        """cos x."""
        return self._wave("cos", 0.0)

    def negative(self) -> Truth:
        """Whether x < 0 in the inside; undecided for zero alone."""
        return Truth((self.high <= 0) & (self.low < 0), (self.low >= 0) & (self.high > 0))


class Truth(NamedTuple):
    """Where a condition is certainly true, and where certainly false."""

    true: Mask
    false: Mask


def _ends(function: Callable[[Any], Any], points: Array) -> tuple[Array, Array]:
    """A function at points, from below and from above; halves share their ends, so each is taken once."""
    flint = engine("flint")
    unique, where = np.unique(points, return_inverse=True)
    found = np.empty((2, unique.size))
    with flint.ctx.workprec(PRECISION):
        for k, point in enumerate(unique.tolist()):
            value = function(flint.arb(point))
            found[:, k] = (float(value.lower()), float(value.upper())) if not value.is_nan() else (np.nan, np.nan)
    low, high = found[:, where.reshape(points.shape)]
    return _down(low), _up(high)


def _select(*branches: tuple[Truth | None, Intervals]) -> Intervals:
    """The hull of all branches that a case distinction may take; None is true."""
    shape = np.broadcast_shapes(*[v.low.shape for _, v in branches], *[c.true.shape for c, _ in branches if c])
    low, high, left = np.full(shape, np.inf), np.full(shape, -np.inf), np.ones(shape, dtype=bool)
    for condition, value in branches:
        possible = left if condition is None else left & ~condition.false
        low = np.where(possible, np.minimum(low, value.low), low)
        high = np.where(possible, np.maximum(high, value.high), high)
        left = left & (False if condition is None else ~condition.true)
    # Where no branch need be taken nothing is known.
    return Intervals(np.where(left, np.nan, low), np.where(left, np.nan, high))


class _Printer(LambdaPrinter):
    """Python in which constants are intervals around exact ones, and case distinctions the hull of what is possible."""

    def _print_Rational(self, expr: Any) -> str:
        return f"_rational({expr.p}, {expr.q})"

    _print_Half = _print_Rational

    def _print_Integer(self, expr: Any) -> str:
        # A plain Python integer divided by another would become a float.
        return f"_rational({expr.p}, 1)"

    _print_Zero = _print_One = _print_NegativeOne = _print_Integer

    def _print_Exp1(self, expr: Any) -> str:
        return "_exp(_rational(1, 1))"

    def _print_Pi(self, expr: Any) -> str:
        return "_pi()"

    def _print_Pow(self, expr: Any, **hints: Any) -> str:
        base, exponent = expr.args
        if exponent.is_Integer:
            return f"_power({self._print(base)}, {int(exponent)})"
        if exponent.is_Rational:
            return f"_root({self._print(base)}, {exponent.p}, {exponent.q})"
        # x^y = exp(y log x), for positive x.
        return f"_exp(({self._print(exponent)})*_log({self._print(base)}))"

    def _print_Function(self, expr: Any) -> str:
        return f"_{type(expr).__name__}({', '.join(self._print(a) for a in expr.args)})"

    def _print_Piecewise(self, expr: Any) -> Any:
        pairs = [f"({'None' if c == True else self._print(c)}, {self._print(e)})" for e, c in expr.args]  # noqa: E712
        return f"_select({', '.join(pairs)})"

    _print_And = _print_Or = _print_Not = _print_Function

    def _print_Relational(self, expr: Any) -> str:
        # < and ≤ alike: the border is of measure zero, and no derivative needs it.
        return f"_negative({self._print(expr.lts - expr.gts)})"

    _print_StrictLessThan = _print_StrictGreaterThan = _print_LessThan = _print_GreaterThan = _print_Relational


_GROWING = ("exp", "log", "sinh", "tanh", "atan", "asin", "asinh", "atanh", "acosh", "erf")
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: (lambda x, function=methodcaller(name): x.monotone(function)) for name in _GROWING},
    **{name: (lambda x, function=methodcaller(name): x.monotone(function, grows=False)) for name in ("acos", "erfc")},
    "cosh": Intervals.cosh,
    "sin": Intervals.sin,
    "cos": Intervals.cos,
}
for _name in _FUNCTIONS:
    # SymPy's printers name each function in its own way.
    setattr(_Printer, f"_print_{_name}", _Printer._print_Function)


def enclosures(
    expressions: Sequence[Expr],
    symbols: Sequence[Symbol],
    functions: Mapping[str, Callable[..., Intervals]] | None = None,
) -> Callable[[Array, Array], tuple[Array, Array]]:
    """Lower and upper ends of expressions on boxes: their common parts are evaluated once.

    Parameters
    ----------
    expressions : sequence of Expr
        Without inexact numbers.
    symbols : sequence of Symbol
        The variables.
    functions : mapping, optional
        More functions of intervals, by the names of their SymPy classes.

    Returns
    -------
    callable
        Takes the ends of the boxes, arrays (symbols, boxes), and returns two arrays (expressions, boxes), infinite
        where there is no bound: beside a pole, or where a function may be undefined.

    Raises
    ------
    ValueError
        If an expression holds an inexact number or a function that is not known.

    Examples
    --------
    >>> from sympy import Symbol, exp
    >>> x = Symbol("x")
    >>> bounds = enclosures([exp(x), 1 / x, x**2], [x])
    >>> low, high = bounds(np.array([[-1.0, 1.0]]), np.array([[1.0, 2.0]]))
    >>> low.round(3), high.round(3)
    (array([[0.368, 2.718],
           [ -inf, 0.5  ],
           [0.   , 1.   ]]), array([[2.718, 7.389],
           [  inf, 1.   ],
           [1.   , 4.   ]]))
    """
    known = {**_FUNCTIONS, **(functions or {})}
    for part in {part for e in expressions for part in preorder_traversal(e)}:
        if isinstance(part, Float):
            raise ValueError(f"intervals need exact numbers, got {part}: write decimals as Rational")
        simple = isinstance(part, (Add, Mul, Pow, Rational, Symbol, Piecewise, Boolean, Relational)) or part in (pi, E)
        # SymPy's printers know more, but would compare intervals or take them for numbers.
        if not simple and type(part).__name__ not in known and type(part).__name__ != "ExprCondPair":
            raise ValueError(
                f"no interval function for {type(part).__name__}: expected sums, products, powers, Piecewise, "
                f"{', '.join(sorted(known))}"
            )
    modules = {f"_{name}": function for name, function in known.items()} | {
        "_pi": lambda: Intervals(np.float64(3.141592653589793), _up(np.float64(3.141592653589793))),
        "_rational": lambda p, q: Intervals.of(Fraction(p, q)),
        "_power": Intervals.power,
        "_root": lambda x, over, under: x.monotone(lambda v: v.root(under) ** over, grows=over > 0),
        "_select": _select,
        "_negative": Intervals.negative,
        "_And": lambda *parts: Truth(reduce(and_, [p.true for p in parts]), reduce(or_, [p.false for p in parts])),
        "_Or": lambda *parts: Truth(reduce(or_, [p.true for p in parts]), reduce(and_, [p.false for p in parts])),
        "_Not": lambda part: Truth(part.false, part.true),
    }
    printer = _Printer({"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True})
    evaluate = lambdify(list(symbols), list(expressions), [modules], printer=printer, cse=True)

    def bounds(low: Array, high: Array) -> tuple[Array, Array]:
        with np.errstate(all="ignore"):
            found = evaluate(*[Intervals(a, b) for a, b in zip(low, high, strict=True)])
        ends = np.empty((2, len(found), low.shape[1]))
        for k, interval in enumerate(found):
            ends[0, k], ends[1, k] = interval.low, interval.high
        unknown = ~np.isfinite(ends).all(axis=0)
        ends[0][unknown], ends[1][unknown] = -np.inf, np.inf
        return ends[0], ends[1]

    return bounds
