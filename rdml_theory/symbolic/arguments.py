"""Arguments of the public functions: real formulas, or an error that names what came instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

from sympy import Basic, Expr, I, nan, sympify, zoo

from rdml_theory.symbolic.notation import Formula

__all__ = ["formula", "of_formulas", "require"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def require(name: str, value: Any, kind: type | tuple[type, ...], expected: str) -> None:
    """Refuse a value of another kind.

    >>> require("steps", [1], tuple, "a tuple of steps")
    Traceback (most recent call last):
    TypeError: steps must be a tuple of steps; got list
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {expected}; got {type(value).__name__}")


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
    ValueError: order must be real; got 1.0*I
    """
    try:
        expression = value if isinstance(value, Basic) else sympify(value, strict=True)
    except Exception as error:  # of whatever kind the object's own conversion raises
        raise TypeError(f"{name} must be a number or a SymPy expression; got {type(value).__name__}") from error
    if isinstance(value, bool) or not isinstance(expression, Expr) or expression.is_Matrix:
        raise TypeError(f"{name} must be a number or a SymPy expression; got {type(value).__name__}")
    if expression.has(I, nan, zoo):
        raise ValueError(f"{name} must be real; got {expression}")
    return expression


def of_formulas(
    family: type[tuple[Any, ...]] | None = None, count: int = 0
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Decorate a function of formulas, each optional, or of one ``family`` of ``count`` formulas.

    What it returns cannot be changed, and is kept: what was proved once in a process is not proved again.

    >>> @of_formulas()
    ... def square(side: Formula = 2) -> Formula:
    ...     return side**2
    >>> square(3), square()
    (9, 4)
    >>> square("3")
    Traceback (most recent call last):
    TypeError: side must be a number or a SymPy expression; got str
    """

    def one(signature: inspect.Signature, name: str, value: Any) -> Any:
        value = signature.parameters[name].default if value is None else value
        if family is None:
            return formula(name, value)
        if not isinstance(value, tuple) or len(value) != count:
            raise TypeError(f"{name} must be a tuple of {count} formulas; got {type(value).__name__}")
        parts = [formula(f"{name}[{place}]", part) for place, part in enumerate(value)]
        return tuple(parts) if family is tuple else family(*parts)

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        signature, kept = inspect.signature(function), cache(function)

        @wraps(function)
        def checked(*arguments: Parameters.args, **named: Parameters.kwargs) -> Result:
            bound = signature.bind(*arguments, **named)
            bound.apply_defaults()
            values = {name: one(signature, name, value) for name, value in bound.arguments.items()}
            return kept(**values)

        return checked

    return decorate
