"""The greatest of finitely many terms, as :class:`~sympy.concrete.summations.Sum` is their sum."""

from __future__ import annotations

from typing import Any

from sympy import Expr, Max, sympify

from rdml_theory.symbolic.notation import Formula

__all__ = ["Maximum"]


class Maximum(Expr):
    r"""max_i of a term over ``(index, 1, classes)``; ``doit`` writes it out if the number of classes is a number.

    >>> from rdml_theory.symbolic.notation import C, i, p, q
    >>> greatest = Maximum(p[i] / q[i], (i, 1, C))
    >>> greatest
    max_i(p[i]/q[i])
    >>> greatest.subs(C, 2).doit()
    Max(p[1]/q[1], p[2]/q[2])
    """

    is_commutative = True
    is_real = True

    def __new__(cls, term: Any, limits: Any) -> Maximum:
        """The maximum of this term over the range of its index."""
        return Expr.__new__(cls, sympify(term), sympify(limits))

    def _eval_is_positive(self) -> bool | None:
        return self.args[0].is_positive or None

    @property
    def bound_symbols(self) -> list[Any]:
        """The index."""
        return [self.args[1].args[0]]

    @property
    def free_symbols(self) -> set[Any]:
        """The symbols of the term and of the range, without the index."""
        term, (index, low, high) = self.args  # type: ignore[misc]
        return (term.free_symbols - {index}) | low.free_symbols | high.free_symbols

    def terms(self) -> list[Formula]:
        """The terms, for a range of numbers."""
        term, (index, low, high) = self.args  # type: ignore[misc]
        return [term.subs(index, n) for n in range(int(low), int(high) + 1)]

    def doit(self, **hints: Any) -> Formula:
        """``Max`` of the terms if their number is known."""
        low, high = self.args[1].args[1:]
        return Max(*self.terms()) if low.is_Integer and high.is_Integer else self

    def _latex(self, printer: Any, exp: Any = None) -> str:
        printed = rf"\max_{{{printer._print(self.bound_symbols[0])}}} {printer._print(self.args[0])}"
        return printed if exp is None else rf"\left({printed}\right)^{{{exp}}}"

    def _sympystr(self, printer: Any) -> str:
        return f"max_{printer._print(self.bound_symbols[0])}({printer._print(self.args[0])})"

    _rdmltext = _sympystr
