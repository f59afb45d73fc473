"""Symbolic expressions as functions of NumPy arrays, for a given number of classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import mpmath as mp
import numpy as np
from sympy import Derivative, Indexed, Integer, Limit, Number, Symbol, lambdify

from rdml_theory._validation import FloatArray, choice, float_array, real_array
from rdml_theory.symbolic.arguments import formula
from rdml_theory.symbolic.notation import C, Formula

__all__ = ["as_function"]


MOST_CLASSES = 1000


def _floats(name: str, value: Any) -> FloatArray:
    """Real numbers in double precision."""
    return float_array(name, float(value) if isinstance(value, Number) else value).astype(np.float64, copy=False)


def _numbers(name: str, value: Any) -> np.ndarray:
    """Real numbers of any kind, exactly."""
    array = real_array(name, value).astype(object)
    try:
        exact = [mp.mpf(x) for x in array.flat]
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} has type {type(value).__name__}: expected a real number or a sequence of them"
        ) from error
    return np.array(exact, dtype=object).reshape(array.shape)


def _written_out(expression: Formula) -> Formula:
    """Derivatives and limits taken, and what has a ``definition()`` replaced by it."""
    taken = expression.replace(lambda e: isinstance(e, Derivative | Limit), lambda e: e.doit(deep=False))
    return taken.replace(lambda e: hasattr(e, "definition"), lambda e: e.definition())


def as_function(
    expression: Formula, classes: int, *, modules: Literal["numpy", "mpmath"] = "numpy"
) -> Callable[..., Any]:
    """An expression, or one of its derivatives, as a NumPy function for a given number of classes.

    Parameters
    ----------
    expression : Expr
        In the theory's symbols; each free class index must be a number (``D.diff(z[1])``).
    classes : int
        The number of classes.
    modules : {"numpy", "mpmath"}
        What computes it; with mpmath each family is one sequence of numbers.

    Returns
    -------
    callable
        Takes each family that occurs (``p``, ``q``, ``w``, ``u``, ``z``) as an array with the classes on the last axis,
        and each symbol (``alpha``) as a number or an array, by keyword; broadcasts over all other axes. Its attribute
        ``names`` is the set of them.

    Raises
    ------
    ValueError
        If a class index has no number.
    TypeError
        From the returned function, if an argument is missing, unknown, or has another number of classes.

    Examples
    --------
    >>> from rdml_theory import renyi_divergence, renyi_gradient
    >>> from rdml_theory.symbolic.expression import divergence
    >>> from rdml_theory.symbolic.notation import alpha, u, z
    >>> p, q = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]), np.array([0.2, 0.2, 0.6])
    >>> value = as_function(divergence, 3)
    >>> bool(np.allclose(value(p=p, q=q, alpha=0.7), renyi_divergence(p, q, 0.7), rtol=1e-13))
    True
    >>> slope = as_function(divergence.diff(z[1]), 3)
    >>> exact = renyi_gradient(np.log(p), np.log(q), 2.0, wrt="q", domain="logits")[:, 0]
    >>> bool(np.allclose(slope(u=np.log(p), z=np.log(q), alpha=2.0), exact, rtol=1e-13))
    True
    """
    if isinstance(classes, bool) or not isinstance(classes, int | np.integer | Integer):
        raise TypeError(f"classes has type {type(classes).__name__}: expected an integer")
    if not 1 <= classes <= MOST_CLASSES:
        raise ValueError(f"classes: expected 1 to {MOST_CLASSES}, for sums are written out term by term")
    choice("modules", modules, ("numpy", "mpmath"))
    explicit = _written_out(formula("expression", expression)).subs(C, int(classes)).doit()
    entries = sorted(explicit.atoms(Indexed), key=str)
    if free := [e for e in entries if not all(n.is_Integer for n in e.indices)]:
        raise ValueError(f"{free[0]} has an index without a number: substitute one, as in `.subs(k, 1)`")
    places = {e: Symbol(f"{e.base.label}_{e.indices[0]}") for e in entries}
    explicit = explicit.xreplace(places)
    scalars = sorted(explicit.free_symbols - set(places.values()), key=str)
    families = sorted({str(e.base.label) for e in entries})
    compiled = lambdify((*places.values(), *scalars), explicit, modules, cse=True)
    names = {*families, *map(str, scalars)}
    read = _floats if modules == "numpy" else _numbers

    def function(**values: Any) -> Any:
        if set(values) != names:
            raise TypeError(f"the arguments are {sorted(values)}: expected {sorted(names)}")
        arrays = {name: read(name, value) for name, value in values.items()}
        for name, array in ((name, arrays[name]) for name in families):
            if array.shape[-1:] != (classes,):
                raise TypeError(f"{name} has shape {array.shape}: expected {classes} classes on the last axis")
        # Of one axis the entries are numbers, not arrays without axes, in which mpmath computes slowly.
        entry = [arrays[str(e.base.label)][..., int(e.indices[0]) - 1][()] for e in places]
        return compiled(*entry, *(arrays[str(s)][()] for s in scalars))

    function.names = names  # type: ignore[attr-defined]
    return function
