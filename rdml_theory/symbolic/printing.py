"""Two printed forms of a formula, LaTeX and one line of text, both made from the SymPy object that was verified."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from sympy import Basic, Derivative, Sum, Tuple, sympify
from sympy.core.relational import Relational
from sympy.printing.latex import LatexPrinter
from sympy.printing.precedence import PRECEDENCE, precedence
from sympy.printing.str import StrPrinter

__all__ = ["to_latex", "to_text"]

_GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eta": "η", "theta": "θ", "kappa": "κ",
    "lambda": "λ", "ell": "ℓ", "mu": "μ", "nu": "ν", "xi": "ξ", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ",
    "chi": "χ", "psi": "ψ", "omega": "ω", "zeta": "ζ",
    "Delta": "Δ", "Lambda": "Λ",
}  # fmt: skip
_RELATIONS = {"==": "=", "!=": "≠", "<=": "≤", ">=": "≥", "<": "<", ">": ">"}
_LATEX_RELATIONS = {"==": "=", "!=": r"\ne", "<=": r"\le", ">=": r"\ge", "<": "<", ">": ">"}
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


class _SignOrder:
    """Print ``q - w``, not ``-w + q``: terms with a minus sign come last."""

    def _as_ordered_terms(self, expr: Any, order: Any = None) -> list[Any]:
        return [*_ordered(expr)]


@lru_cache(maxsize=5_000, typed=True)
def _ordered(total: Any) -> list[Any]:
    """The terms of a sum in the order in which both forms print them; kept, as to find it takes long."""
    return sorted(total.as_ordered_terms(), key=lambda term: term.as_coeff_Mul()[0].is_negative or False)


def _derivative_parts(expr: Any) -> tuple[int, list[tuple[Any, int]], bool]:
    """The total order, the variables in the order of differentiation, and whether the body needs brackets."""
    order = sum(count for _, count in expr.variable_count)
    return order, list(reversed(expr.variable_count)), expr.expr.is_Add or expr.expr.is_Mul


def _power_of_norm(power: Any) -> Any:
    """The exponent of a positive whole power of a norm, the root of ``Inner(v, v)`` of the kernel; 0 for all others."""
    base, exponent = power.base, 2 * power.exp
    norm = type(base).__name__ == "Inner" and base.args[0] == base.args[1]
    return exponent if norm and exponent.is_Integer and exponent > 0 else 0


class _Latex(_SignOrder, LatexPrinter):
    def _print_Symbol(self, expr: Any, style: str = "plain") -> str:
        # An index that is an operator's name stands upright; letters have the forms that they have in text.
        latex = re.sub(r"_\{(inf|max)\}", r"_{\\\1}", super()._print_Symbol(expr, style))
        return re.sub(r"\\(phi|epsilon)(?![a-z])", r"\\var\1", latex)

    def _print_Indexed(self, expr: Any) -> str:
        return f"{self._print(expr.base)}_{{{','.join(self._print(a) for a in expr.indices)}}}"

    def _print_KroneckerDelta(self, expr: Any, exp: Any = None) -> str:
        return r"\delta_{" + "".join(self._print(a) for a in expr.args) + "}"

    def _print_Derivative(self, expr: Any) -> str:
        order, variables, bracket = _derivative_parts(expr)
        below = r"\,".join(rf"\partial {self._print(v)}" + (f"^{{{c}}}" if c > 1 else "") for v, c in variables)
        above = r"\partial" + (f"^{{{order}}}" if order > 1 else "")
        body = self._print(expr.expr)
        return rf"\frac{{{above}}}{{{below}}} " + (rf"\left({body}\right)" if bracket else body)

    def _print_Pow(self, expr: Any) -> str:
        if exponent := _power_of_norm(expr):
            return self._print(expr.base).removesuffix("^{2}") + (f"^{{{exponent}}}" if exponent > 1 else "")
        return super()._print_Pow(expr)

    def _print_Named(self, expr: Any, exp: Any = None) -> str:
        return expr.latex if exp is None else f"{expr.latex}^{{{exp}}}"


class _Text(_SignOrder, StrPrinter):
    # Indexed brings a printing method of its own for "_sympystr"; another name bypasses it.
    printmethod = "_rdmltext"

    def _print_Symbol(self, expr: Any) -> str:
        head, _, tail = expr.name.partition("_")
        name = _GREEK.get(head, head)
        return f"{name}" + (f"_{_GREEK.get(tail, tail)}" if tail else "")

    _print_Dummy = _print_Symbol

    def _print_Indexed(self, expr: Any) -> str:
        return f"{self._print(expr.base.label)}_{','.join(self._print(a) for a in expr.indices)}"

    def _print_IndexedBase(self, expr: Any) -> str:
        return self._print(expr.label)

    def _print_KroneckerDelta(self, expr: Any) -> str:
        return "δ_" + "".join(self._print(a) for a in expr.args)

    def _print_Derivative(self, expr: Any) -> str:
        order, variables, bracket = _derivative_parts(expr)
        power = str(order).translate(_SUPERSCRIPTS) if order > 1 else ""
        below = " ".join(
            f"∂{self._print(v)}" + (str(c).translate(_SUPERSCRIPTS) if c > 1 else "") for v, c in variables
        )
        body = self._print(expr.expr)
        return f"∂{power}" + (f"({body})" if bracket else body) + (f"/({below})" if " " in below else f"/{below}")

    def _print_Sum(self, expr: Any) -> str:
        return f"Σ_{{{self._range(*expr.limits[0])}}} {self.parenthesize(expr.function, PRECEDENCE['Mul'])}"

    def _range(self, index: Any, low: Any, high: Any) -> str:
        """Steps count from 0 (t < T), classes from 1 (i ≤ C)."""
        if low == 0:
            return f"{self._print(index)} < {self._print(high + 1)}"
        if low == 1:
            return f"{self._print(index)} ≤ {self._print(high)}"
        return f"{self._print(low)} ≤ {self._print(index)} ≤ {self._print(high)}"

    def _print_Relational(self, expr: Any) -> str:
        left, right = (self._print(a) for a in expr.args)
        return f"{left} {_RELATIONS[expr.rel_op]} {right}"

    def _print_Tuple(self, expr: Any) -> str:
        return ",  ".join(self._print(a) for a in expr.args)

    def _print_Pow(self, expr: Any, rational: bool = False) -> str:
        if exponent := _power_of_norm(expr):
            return self._print(expr.base)[:-1] + (str(exponent).translate(_SUPERSCRIPTS) if exponent > 1 else "")
        if isinstance(expr.base, Derivative) and expr.exp.is_Integer and expr.exp > 0:  # not a higher derivative
            return f"({self._print(expr.base)})" + str(expr.exp).translate(_SUPERSCRIPTS)
        if isinstance(expr.base, Sum) and not expr.exp.is_Rational:  # not the sum of the powers
            return f"({self._print(expr.base)})**{self.parenthesize(expr.exp, precedence(expr))}"
        if expr.exp.is_Integer and expr.exp > 0:
            if isinstance(expr.base, Sum):
                return f"({self._print(expr.base)})" + str(expr.exp).translate(_SUPERSCRIPTS)
            return self.parenthesize(expr.base, precedence(expr)) + str(expr.exp).translate(_SUPERSCRIPTS)
        return super()._print_Pow(expr, rational=rational)

    def _print_Piecewise(self, expr: Any) -> str:
        *cases, (last, condition) = expr.args
        words = [f"{self._print(value)} if {self._print(where)}" for value, where in cases]
        return f"({', '.join([*words, f'{self._print(last)} otherwise' if condition == True else ''])})"  # noqa: E712

    def _print_Abs(self, expr: Any) -> str:
        return f"|{self._print(expr.args[0])}|"

    def _print_Min(self, expr: Any) -> str:
        return f"min({', '.join(self._print(a) for a in expr.args)})"

    def _print_Max(self, expr: Any) -> str:
        return f"max({', '.join(self._print(a) for a in expr.args)})"

    def _print_Infinity(self, expr: Any) -> Any:
        return "∞"

    def _print_Limit(self, expr: Any) -> str:
        body, variable, point, _ = expr.args
        return f"lim({self._print(variable)} → {self._print(point)}) {self._print(body)}"

    def _print_Named(self, expr: Any) -> str:
        return expr.text


def _printable(value: Any) -> Basic:
    if isinstance(value, Basic):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return sympify(value)
    raise TypeError(f"formula has type {type(value).__name__}: expected a SymPy object or a number")


def to_latex(formula: Any) -> str:
    r"""LaTeX of a formula.

    >>> from rdml_theory.symbolic.notation import k, q, w
    >>> print(to_latex(q[k] - w[k]))
    q_{k} - w_{k}
    """
    return _in_latex(_printable(formula))


@lru_cache(maxsize=5_000, typed=True)
def _in_latex(formula: Basic) -> str:
    if isinstance(formula, Tuple):
        return r",\quad ".join(to_latex(a) for a in formula.args)
    if isinstance(formula, Relational):
        # Side by side, so that nothing is evaluated or reordered.
        relation: Any = formula
        left, right = (_Latex().doprint(a) for a in relation.args)
        return f"{left} {_LATEX_RELATIONS[relation.rel_op]} {right}"
    return _Latex().doprint(formula)


def to_text(formula: Any) -> str:
    """One line of Unicode text.

    >>> from rdml_theory.symbolic.notation import k, q, w
    >>> print(to_text(q[k] - w[k]))
    q_k - w_k
    """
    return _in_text(_printable(formula))


@lru_cache(maxsize=20_000, typed=True)
def _in_text(formula: Basic) -> str:
    return _Text().doprint(formula).replace("**", "^").replace("*", "·").replace("sqrt(", "√(")
