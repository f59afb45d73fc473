"""SymPy expressions as functions of balls (python-flint's ``arb``), with no rounding left unaccounted for."""

# SymPy's printers dispatch on class names.
# ruff: noqa: N802, N815

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from sympy import (
    Abs,
    Add,
    E,
    Float,
    Mul,
    Pow,
    Rational,
    Symbol,
    cos,
    cosh,
    exp,
    lambdify,
    log,
    pi,
    preorder_traversal,
    sign,
    sin,
    sinh,
    tanh,
)
from sympy.printing.lambdarepr import LambdaPrinter

from rdml_theory.symbolic.certificates.extras import engine
from rdml_theory.symbolic.notation import Formula

__all__ = ["PRECISION", "BallPrinter", "ball", "compiled"]

PRECISION = 64
"""Bits of the midpoints."""

_FUNCTIONS = ("exp", "log", "sqrt", "sinh", "cosh", "tanh", "sin", "cos")

_KNOWN = (Add, Mul, Pow, Abs, sign, exp, log, sinh, cosh, tanh, sin, cos)


class BallPrinter(LambdaPrinter):
    """Python in which every constant is an exact integer, or a ball around an exact one."""

    def _print_Rational(self, expr: Any) -> str:
        return f"_rational({expr.p}, {expr.q})"

    _print_Half = _print_Rational

    def _print_Integer(self, expr: Any) -> str:
        # A plain Python integer divided by another would become a float.
        return f"_rational({expr.p}, 1)"

    _print_Zero = _print_One = _print_NegativeOne = _print_Integer

    def _print_Pow(self, expr: Any, **hints: Any) -> str:
        base, exponent = expr.args
        if exponent.is_Integer:
            return f"(({self._print(base)})**({int(exponent)}))"
        if exponent.is_Rational and exponent.q == 2:
            return f"(_sqrt({self._print(base)})**({exponent.p}))"
        # x^y = exp(y log x), for positive x.
        return f"_exp(({self._print(exponent)})*_log({self._print(base)}))"

    def _print_Exp1(self, expr: Any) -> str:
        return "_exp(_rational(1, 1))"

    def _print_Pi(self, expr: Any) -> str:
        return "_pi()"

    def _print_Abs(self, expr: Any) -> str:
        return f"abs({self._print(expr.args[0])})"

    def _print_sign(self, e: Any) -> str:
        # All of [-1, 1] where the sign is not known.
        return f"({self._print(e.args[0])}).sgn()"

    def _print_Function(self, expr: Any) -> str:
        name = type(expr).__name__
        return f"_{name}({self._print(expr.args[0])})"

    _print_exp = _print_log = _print_tanh = _print_sinh = _print_cosh = _print_sin = _print_cos = _print_Function


def ball(low: Fraction, high: Fraction) -> Any:
    """A ball that contains an interval with rational ends.

    >>> ball(Fraction(1, 3), Fraction(2, 3)).contains(engine("flint").fmpq(1, 2))
    True
    """
    flint = engine("flint")
    middle, half = (low + high) / 2, (high - low) / 2
    # For dyadic ends both are exact; a union of the ends would be slightly wider.
    exact = [flint.arb(flint.fmpq(x.numerator, x.denominator)) for x in (middle, half)]
    return flint.arb(exact[0], exact[1])


def compiled(expression: Formula, symbols: Sequence[Symbol]) -> Callable[..., Any]:
    """The expression as a function of balls, in the order of the symbols.

    Raises
    ------
    ValueError
        If it holds an inexact number or a function that is not known.

    >>> from sympy import Symbol, log
    >>> x = Symbol("x")
    >>> value = compiled(log(x) / 3, [x])(ball(Fraction(1), Fraction(2)))
    >>> bool(value > -1), bool(value > 0)
    (True, False)
    """
    if expression.atoms(Float):
        raise ValueError(f"balls need exact numbers, got {expression}: write decimals as Rational")
    for part in preorder_traversal(expression):
        # SymPy's printers know more (Max, floor, case distinctions), but would compare balls or take their midpoints.
        if not (isinstance(part, (*_KNOWN, Rational, Symbol)) or part in (pi, E)):
            name = type(part).__name__
            raise ValueError(f"balls do not know {name}: expected sums, products, powers, Abs, {', '.join(_FUNCTIONS)}")
    flint = engine("flint")
    arb = flint.arb
    modules = {f"_{name}": getattr(arb, name) for name in _FUNCTIONS}
    modules |= {"_pi": arb.pi, "_rational": lambda p, q: arb(flint.fmpq(p, q))}
    printer = BallPrinter({"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True})
    return lambdify(list(symbols), expression, [modules], printer=printer, cse=True)
