"""Arguments of the public functions: real formulas, or an error that names what came instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

from sympy import Basic, Expr, Float, I, Rational, nan, sympify, zoo

from rdml_theory.symbolic.notation import Formula

__all__ = ["exact", "formula", "of_formulas"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_FORMULA = "a number or a SymPy expression"


def formula(name: str, value: Any) -> Formula:
    """A number or an expression as SymPy has it.

    Raises
    ------
    TypeError
        For what is neither; text is not parsed.
    ValueError
        For an expression that holds the imaginary unit, NaN or complex infinity.

    Examples
    --------
    >>> formula("order", 2)
    2
    >>> formula("order", 1j)
    Traceback (most recent call last):
    ValueError: order = 1.0*I: expected a real number or expression
    """
    try:
        expression = value if isinstance(value, Basic) else sympify(value, strict=True)
    except Exception as error:  # of whatever kind the object's own conversion raises
        raise TypeError(f"{name} has type {type(value).__name__}: expected {_FORMULA}") from error
    if isinstance(value, bool) or not isinstance(expression, Expr) or expression.is_Matrix:
        raise TypeError(f"{name} has type {type(value).__name__}: expected {_FORMULA}")
    if expression.has(I, nan, zoo):
        raise ValueError(f"{name} = {expression}: expected a real number or expression")
    return expression


def exact(formula: Formula) -> Formula:
    """The formula with its floats as the fractions that they are.

    >>> from sympy import Symbol
    >>> exact(0.5 * Symbol("h"))
    h/2
    """
    return formula.xreplace({number: Rational(number) for number in formula.atoms(Float)})


_SECTIONS = """\
Parameters
----------
{names} : {kind}, optional
    What is asserted; by default, what is proved.

Raises
------
ProofError
    If the proof does not give what is asserted.

"""


def of_formulas(
    family: type[tuple[Any, ...]] | None = None, count: int = 0
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Decorate a proof of formulas, each optional, or of one ``family`` of ``count`` formulas: of what they assert.

    A float is taken for the fraction that it is. What is returned cannot be changed, and is kept: what was proved once
    in a process is not proved again. The docstring is completed by the parameters and by what a false assertion raises.

    >>> @of_formulas()
    ... def square(side: Formula = 2) -> Formula:
    ...     return side**2
    >>> square(3), square()
    (9, 4)
    >>> square("3")
    Traceback (most recent call last):
    TypeError: side has type str: expected a number or a SymPy expression
    """

    def one(signature: inspect.Signature, name: str, value: Any) -> Any:
        value = signature.parameters[name].default if value is None else value
        if family is None:
            return exact(formula(name, value))
        if not isinstance(value, tuple) or len(value) != count:
            raise TypeError(f"{name} has type {type(value).__name__}: expected a tuple of {count} formulas")
        parts = [exact(formula(f"{name}[{place}]", part)) for place, part in enumerate(value)]
        return tuple(parts) if family is tuple else family(*parts)

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        signature, kept = inspect.signature(function), cache(function)

        @wraps(function)
        def checked(*arguments: Parameters.args, **named: Parameters.kwargs) -> Result:
            bound = signature.bind(*arguments, **named)
            bound.apply_defaults()
            values = {name: one(signature, name, value) for name, value in bound.arguments.items()}
            return kept(**values)

        kind = "Expr" if family is None else f"tuple of {count} Expr" if family is tuple else family.__name__
        told = _SECTIONS.format(names=", ".join(signature.parameters), kind=kind)
        checked.__doc__ = inspect.cleandoc(function.__doc__ or "").replace("Examples\n", f"{told}Examples\n", 1)
        return checked

    return decorate
