"""A formula made ready for certification: kinks told from smooth joints, exponentials in a form without poles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import reduce
from operator import methodcaller
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import (
    Abs,
    Add,
    And,
    Dummy,
    Expr,
    Function,
    Heaviside,
    Max,
    Min,
    Mul,
    Not,
    Or,
    Piecewise,
    Poly,
    Pow,
    Symbol,
    cosh,
    exp,
    expand,
    factor,
    factor_list,
    false,
    log,
    piecewise_fold,
    roots,
    sign,
    simplify,
    true,
)  # fmt: skip
from sympy.core.relational import Equality, Relational, Unequality
from sympy.core.traversal import bottom_up

from rdml_theory.symbolic.enclosures import Intervals, enclosures

__all__ = ["INTERVAL_FUNCTIONS", "LogSumExp", "Share", "joined", "shared"]

Array = NDArray[np.float64]


class Share(Function):
    """1/(1 + Σ exp(d_j)): the share of one of several exponentials in their sum, from the differences of exponents.

    Between 0 and 1 for exponents in any interval, and falling in each difference: no quotient of two sums is.
    """

    @classmethod
    def eval(cls, *differences: Any) -> Any:
        """In one order."""
        ordered = sorted(differences, key=str)
        return cls(*ordered) if ordered != list(differences) else None

    def fdiff(self, argindex: int = 1) -> Any:
        """Minus the product of this share and that of the other exponential."""
        args: Any = self.args
        chosen = args[argindex - 1]
        others = [expand(d - chosen) for k, d in enumerate(args) if k != argindex - 1]
        return -self * Share(expand(-chosen), *others)


class LogSumExp(Function):
    """log Σ exp(u_j)."""

    def fdiff(self, argindex: int = 1) -> Any:
        """The share of exp(u_j)."""
        args: Any = self.args
        chosen = args[argindex - 1]
        return Share(*[expand(u - chosen) for k, u in enumerate(args) if k != argindex - 1])


def _exp(x: Intervals) -> Intervals:
    return x.monotone(methodcaller("exp"))


def _interval_share(*differences: Intervals) -> Intervals:
    return reduce(Intervals.__add__, [_exp(d) for d in differences], Intervals.of(Fraction(1))).inverse()


def _interval_log_sum_exp(*exponents: Intervals) -> Intervals:
    most = reduce(np.maximum, [u.high for u in exponents])
    shift = Intervals(most, most)
    return shift + reduce(Intervals.__add__, [_exp(u - shift) for u in exponents]).monotone(methodcaller("log"))


INTERVAL_FUNCTIONS: dict[str, Callable[..., Intervals]] = {
    "Share": _interval_share,
    "LogSumExp": _interval_log_sum_exp,
}


def _arguments(e: Any) -> Any:
    return e.args


def _exponents(total: Any) -> list[Any] | None:
    """u_j of a sum Σ exp(u_j) with an exponential in it; None if it is another sum."""
    out = []
    for term in Add.make_args(total):
        number, rest = term.as_coeff_Mul()
        if not (number.is_positive and (rest == 1 or isinstance(rest, exp))):
            return None
        out.append((rest.args[0] if isinstance(rest, exp) else 0) + log(number))
    return out if len(out) > 1 else None


def shared(formula: Any) -> Any:
    """The same function with log Σ exp and exp/Σ exp as :class:`LogSumExp` and :class:`Share`.

    >>> from sympy import symbols
    >>> x, y = symbols("x y", real=True)
    >>> shared(log(exp(x) + exp(y))), shared(exp(x) / (1 + 2 * exp(x)))
    (LogSumExp(x, y), Share(-x - log(2))/2)
    """

    def replaced(e: Any, kind: Any) -> Any:
        if isinstance(e, log):
            inner: Any = e.args[0]
            if isinstance(inner, cosh):
                (u,) = _arguments(inner)
                return LogSumExp(u, -u) - log(2)
            exponents = _exponents(inner)
            return e if exponents is None else LogSumExp(*exponents)
        factors: Any = Mul.make_args(e) if isinstance(e, kind) else ()
        for k, part in enumerate(factors):
            if isinstance(part, Pow) and part.exp.is_Integer and part.exp < 0 and (us := _exponents(part.base)):
                others: list[Any] = [*factors[:k], *factors[k + 1 :]]
                rest: list[Any] = [o for o in others if not isinstance(o, exp)]
                above: Any = expand(Add(*[_arguments(o)[0] for o in others if isinstance(o, exp)]))
                for _ in range(-int(part.exp)):
                    # The share of the exponential that stands above, or of the first.
                    chosen = min(range(len(us)), key=lambda j: (not expand(above - us[j]).is_number, j))
                    above = expand(above - us[chosen])
                    rest.append(Share(*[expand(u - us[chosen]) for j, u in enumerate(us) if j != chosen]))
                return replaced(Mul(*rest, exp(above)), kind)
        return e

    # Products first: their factors alone know of no exponential above them.
    for kind in (Mul, Pow):
        formula = bottom_up(formula, lambda e, kind=kind: replaced(e, kind))
    return formula


def _certain(borders: Sequence[Expr], symbols: Sequence[Symbol], low: Array, high: Array) -> list[bool | None]:
    """Whether each expression is negative inside the whole box, or nowhere: by a grid of parts; None if neither."""
    if not borders:
        return []
    count = max(1, int(4096 ** (1 / len(symbols))))
    ends = np.linspace(low, high, count + 1)
    ends[0], ends[-1] = low, high
    parts = [np.stack(np.meshgrid(*e.T, indexing="ij")).reshape(len(symbols), -1) for e in (ends[:-1], ends[1:])]
    bounds = zip(*enclosures(borders, symbols)(*parts), strict=True)
    return [True if (b <= 0).all() else False if (a >= 0).all() else None for a, b in bounds]


class _Conditions:
    """Inequalities as symbols: one for all of g < 0, g ≤ 0, -g > 0 and -g ≥ 0, for a border is of measure zero."""

    def __init__(self) -> None:
        self.symbols: dict[Expr, Symbol] = {}

    def below(self, g: Any) -> Any:
        """g < 0."""
        g = expand(g)
        if g.is_number:
            return true if g.is_negative else false
        if g.could_extract_minus_sign():
            return Not(self.symbols.setdefault(-g, Dummy(f"{-g}<0")))
        return self.symbols.setdefault(g, Dummy(f"{g}<0"))

    def normal(self, condition: Any) -> Any:
        """A condition in these symbols."""
        inequality: Any = condition
        if isinstance(condition, (And, Or, Not)):
            return condition.func(*[self.normal(c) for c in condition.args])
        if condition in (true, false) or condition in self.symbols.values():
            return condition
        if isinstance(condition, (Equality, Unequality)) or not isinstance(condition, Relational):
            raise ValueError(f"the condition {condition} is not an inequality: write cases with < and >")
        return self._positive(expand(inequality.gts - inequality.lts))

    def _positive(self, g: Any) -> Any:
        for size in g.atoms(Abs):
            number = g.coeff(size)
            rest = expand(g - number * size)
            if number.is_number and number.is_real and number.is_nonzero and not rest.has(Abs):
                # |u| < c where u < c and -u < c.
                sides = [self.below(-rest - number * s * size.args[0]) for s in (1, -1)]
                return And(*sides) if number.is_negative else Or(*sides)
        if g.has(Abs, Max, Min, sign, Piecewise):
            raise ValueError(f"the condition {g} > 0 has cases of its own: write it with < and > of smooth terms")
        return self.below(-g)

    def cases(self, formula: Any) -> Any:
        """With ``|u|``, max, min, sign and steps as case distinctions too."""

        def two(g: Any, below: Any, above: Any) -> Any:
            if g.has(Piecewise):
                return Piecewise(*[(two(u, below, above), c) for u, c in _arguments(piecewise_fold(g))])
            return Piecewise((below, self.below(g)), (above, True))

        def turned(e: Any) -> Any:
            if isinstance(e, Abs):
                return two(e.args[0], -e.args[0], e.args[0])
            if isinstance(e, Max):
                return reduce(lambda a, b: two(a - b, b, a), e.args)
            if isinstance(e, Min):
                return reduce(lambda a, b: two(a - b, a, b), e.args)
            if isinstance(e, sign):
                return two(e.args[0], -1, 1)
            if isinstance(e, Heaviside):
                return two(e.args[0], 0, 1)
            if isinstance(e, Pow) and isinstance(e.base, Add) and (2 * e.exp).is_odd:
                # √(x² - 2xy + y²) is |x - y|.
                found: Any = factor(e.base) ** e.exp
                return _outside_conditions(found, turned) if found.has(Abs) and not e.has(Abs) else e
            return e

        # Conditions first, while |u| still stands in them.
        formula = formula.replace(
            lambda e: isinstance(e, Piecewise),
            lambda e: Piecewise(*[(value, self.normal(c)) for value, c in e.args]),
        )
        return _outside_conditions(formula, turned)


def _outside_conditions(e: Any, function: Callable[[Any], Any]) -> Any:
    """A function applied to all parts of an expression but the conditions of its cases, the innermost first."""
    if isinstance(e, Piecewise):
        return Piecewise(*[(_outside_conditions(value, function), c) for value, c in _arguments(e)])
    return function(e.func(*[_outside_conditions(a, function) for a in e.args])) if e.args else e


def joined(formula: Any, symbols: Sequence[Symbol], low: Array, high: Array) -> Any:
    """The formula as a sum of case distinctions with conditions g < 0, proved to have a continuous gradient on a box.

    Cases that the box decides are gone. At each border g = 0 that is left, solved for a variable of which g is a
    polynomial of degree one or two, the formulas of both sides and their gradients must agree identically.

    Parameters
    ----------
    formula : Expr
        May hold Abs, Max, Min, sign, Heaviside and Piecewise.
    symbols : sequence of Symbol
        Its variables, real.
    low, high : arrays
        The ends of the box.

    Raises
    ------
    ValueError
        If the gradient jumps at a border, or it cannot be proved that it does not.

    Examples
    --------
    >>> from sympy import symbols
    >>> x = Symbol("x", real=True)
    >>> joined(x * Abs(x), [x], np.array([-1.0]), np.array([2.0]))
    Piecewise((-x**2, x < 0), (x**2, True))
    >>> joined(Abs(x), [x], np.array([1.0]), np.array([2.0]))
    x
    """
    conditions = _Conditions()
    cased = conditions.cases(formula)
    if not conditions.symbols:
        return cased
    borders = list(conditions.symbols)
    decided = dict(zip(borders, _certain(borders, symbols, low, high), strict=True))
    cased = cased.subs({conditions.symbols[g]: true if d else false for g, d in decided.items() if d is not None})
    open_ = {g: conditions.symbols[g] for g, d in decided.items() if d is None}
    terms = [piecewise_fold(term) for term in Add.make_args(cased)]
    try:
        for term in terms:
            _check(term, open_, symbols)
    except ValueError:
        if sum(term.has(Piecewise) for term in terms) < 2:
            raise
        # The kinks of several terms may cancel.
        terms = [piecewise_fold(cased)]
        _check(terms[0], open_, symbols)
    names = {dummy: g < 0 for g, dummy in open_.items()}
    joints: list[Any] = [t.xreplace(names) for t in terms]
    return Add(*joints)


def _check(cased: Any, borders: Mapping[Expr, Symbol], symbols: Sequence[Symbol]) -> None:
    """Raise ValueError unless the value and the gradient agree on both sides of each border."""
    for g, dummy in borders.items():
        sides = [cased.subs(dummy, value) for value in (true, false)]
        if sides[0] == sides[1]:
            continue
        for border, variable, place in _solved(g, symbols):
            others = {d: simplify(h.subs(variable, place)) < 0 for h, d in borders.items() if h != g}
            for by in (None, *symbols):
                below, above = (side if by is None else side.diff(by) for side in sides)
                jump = (below - above).subs(variable, place).subs(others)
                off = next((v for v in map(simplify, _values(piecewise_fold(jump))) if v != 0), None)
                if off is None:
                    continue
                what = "value" if by is None else f"derivative in {by}"
                shown = cased.xreplace({d: h < 0 for h, d in borders.items()})
                raise ValueError(
                    f"not smooth: where {border} = 0 the {what} of {shown} jumps by {off}, or is not proved to be "
                    "continuous. Λ is for gradients that are Lipschitz: use a box on one side of the border, or a "
                    "smooth function, such as sqrt(u**2 + 1) for Abs(u)"
                )


def _values(e: Any) -> list[Any]:
    return [value for value, _ in _arguments(e)] if isinstance(e, Piecewise) else [e]


def _solved(g: Expr, symbols: Sequence[Symbol]) -> Iterator[tuple[Expr, Symbol, Expr]]:
    """The irreducible factors of g, each with a variable and its value where the factor is zero: all there are."""
    factors = [f for f, _ in factor_list(g)[1]] if g.is_polynomial(*symbols) else [g]
    for border in factors:
        own = [s for s in symbols if border.has(s) and border.is_polynomial(s)]
        degrees = {s: Poly(border, s).degree() for s in own}
        usable = sorted((d, str(s), s) for s, d in degrees.items() if d in (1, 2))
        if not usable:
            raise ValueError(f"no way to check the border {border} = 0: write it as a polynomial of degree one or two")
        variable = usable[0][-1]
        for place in roots(Poly(border, variable)):
            yield border, variable, place
