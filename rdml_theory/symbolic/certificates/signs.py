"""Signs that can be read off: products of factors each of which is manifestly signed on a domain."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sympy import (
    Add,
    Interval,
    Mul,
    Pow,
    Symbol,
    cosh,
    exp,
    expand,
    factor,
    factor_terms,
    fraction,
    log,
    powsimp,
    simplify,
    sinh,
    tanh,
    together,
)  # fmt: skip

from rdml_theory.symbolic.certificates.domain import Domain
from rdml_theory.symbolic.notation import Formula

__all__ = ["is_smooth_on", "sign_on", "simplified"]


def _from_zero(symbol: Symbol, interval: Any) -> Formula | None:
    """The variable as a function of one that starts at zero: every point of the interval, up to its right end."""
    low, high = interval.start, interval.end
    is_open = interval.left_open if low.is_finite else interval.right_open
    t: Any = Symbol(f"_{symbol.name}", **({"positive": True} if is_open else {"nonnegative": True}))
    if low.is_finite and high.is_finite:
        return (low + high * t) / (1 + t)
    if low.is_finite:
        return low + t
    if high.is_finite:
        return high - t
    return None


def _term_sign(expression: Formula) -> int | None:
    """1 if every term is manifestly not negative, -1 if every term is manifestly not positive."""
    terms = Add.make_args(expression)
    if expression.is_nonnegative or all(term.is_nonnegative for term in terms):
        return 1
    return -1 if all(term.is_nonpositive for term in terms) else None


def _factor_sign(expression: Formula, domain: Domain) -> int | None:
    """The weak sign of one factor on the domain, by its terms after moving every interval to [0, ∞)."""
    known = _term_sign(expression)
    if known is not None:
        return known
    above, below = (_term_sign(expand(part)) for part in _moved(expression, domain))
    return None if above is None or below is None else above * below


def _moved(expression: Formula, domain: Domain) -> tuple[Formula, Formula]:
    """Numerator and denominator after moving every interval to [0, ∞)."""
    moved = {}
    for symbol, interval in domain.intervals:
        if symbol in expression.free_symbols:
            image = _from_zero(symbol, interval)
            if image is not None:
                moved[symbol] = image
    return fraction(together(expression.subs(moved)))


def _is_positive(expression: Formula, domain: Domain) -> bool:
    """Whether every term is manifestly not negative on the domain and one is positive."""
    if expression.is_positive:
        return True
    parts = [Add.make_args(expand(part)) for part in _moved(expression, domain)]
    return all(all(t.is_nonnegative for t in terms) and any(t.is_positive for t in terms) for terms in parts)


def is_smooth_on(expression: Formula, domain: Domain, along: Symbol) -> bool:
    """Whether an expression is manifestly smooth in one variable inside its interval, at every value of the others.

    It must be built from sums, products, exponentials, hyperbolic sines, cosines and tangents, logarithms and powers
    of what is manifestly positive there, and integer powers of what is manifestly not zero.

    >>> from sympy import Interval, Symbol, log
    >>> x = Symbol("x", real=True)
    >>> on = Domain.of([x], {x: Interval(0, 2)})
    >>> is_smooth_on(log(x) / (2 - x), on, x), is_smooth_on(1 / (x - 1), on, x)
    (True, False)
    """
    whole = domain.interval(along)
    inside = domain.restricted(along, Interval.open(whole.start, whole.end))

    def smooth(part: Formula) -> bool:
        if not part.args or part.is_number:
            return True
        if not all(map(smooth, part.args)):
            return False
        if isinstance(part, Add | Mul | exp | sinh | cosh | tanh):
            return True
        if isinstance(part, log):
            return _is_positive(part.args[0], inside)
        if isinstance(part, Pow):
            base, exponent = part.args
            if exponent.is_Integer and exponent > 0:
                return True
            return _is_positive(base, inside) or (exponent.is_integer is True and _is_positive(-base, inside))
        return False

    return smooth(expression)


def sign_on(expression: Formula, domain: Domain, known: Mapping[Formula, int] | None = None) -> int | None:
    """The weak sign of an expression on a domain: 1 (nowhere negative), -1 (nowhere positive) or ``None`` (unknown).

    The expression is factored. An even power of a real factor is not negative; any other factor has a sign if all of
    its terms have the same one once each variable is written as the image of [0, ∞): x = (a + b t)/(1 + t) on [a, b].

    Parameters
    ----------
    expression : Formula
        A real expression.
    domain : Domain
        Where the variables lie; its conditions are not used.
    known : mapping of Formula to int, optional
        Factors whose sign is known by other means.

    >>> from sympy import Interval, Symbol
    >>> x = Symbol("x", real=True)
    >>> on = Domain.of([x], {x: Interval(0, 2)})
    >>> sign_on(x * (2 - x) * (x - 1) ** 2, on), sign_on(x - 3, on), sign_on(x - 1, on)
    (1, -1, None)
    """
    forms: tuple[Any, ...] = (expression, factor_terms(expression), factor(together(powsimp(expression))))
    for form in forms:
        result = 1
        for part in Mul.make_args(form):
            sign = _part_sign(part, domain, known or {})
            if sign is None:
                break
            result *= sign
        else:
            return result
    return None


@lru_cache(maxsize=2_000, typed=True)
def simplified(expression: Formula) -> Formula:
    """What SymPy makes of it; kept, for whoever checks a chain asks again what was asked to find it.

    >>> x = Symbol("x", real=True)
    >>> simplified((x**2 - 1) / (x - 1))
    x + 1
    """
    return simplify(expression)


def _part_sign(part: Formula, domain: Domain, known: Mapping[Formula, int]) -> int | None:
    base, exponent = part.as_base_exp() if isinstance(part, Pow) else (part, 1)
    if getattr(exponent, "is_even", False) and base.is_extended_real:
        return 1
    for factor_, sign in known.items():
        for ratio in (base / factor_, base / -factor_):
            if ratio == 1 and getattr(exponent, "is_odd", exponent == 1):
                return sign if base == factor_ else -sign
    sign = _factor_sign(base, domain)
    if sign is None or sign > 0:
        return sign
    # An even power of what is not positive is not negative; of other powers than odd ones nothing is known.
    return 1 if getattr(exponent, "is_even", False) else -1 if getattr(exponent, "is_odd", exponent == 1) else None
