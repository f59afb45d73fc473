"""Test problems with known constants, one file each.

>>> from convergence import problems
>>> "quadratic" in problems.available()
True
>>> problems.get("quadratic", dim=3, noise=1.0).noise
1.0
"""

from __future__ import annotations

import inspect
import pkgutil
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from convergence.arguments import did_you_mean, real, shown
from convergence.problems._rows import ByRows
from convergence.problems.base import Oracle, SyntheticProblem
from convergence.problems.protocol import Problem

__all__ = ["ByRows", "Problem", "SyntheticProblem", "available", "get", "parameters"]

_PARTS = {"base", "bias_models", "noise_models", "protocol"}  # and modules with an underscore


@cache
def available() -> tuple[str, ...]:
    """The names of the built-in problems, each the name of its module in this package.

    >>> "double_well" in available()
    True
    """
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _PARTS and m.name[0] != "_"))


def get(name: str, **given: Any) -> SyntheticProblem:
    """The built-in problem ``name`` with the given parameters.

    Parameters
    ----------
    name : str
        One of :func:`available`.
    **given
        ``noise`` (σ²), ``bias`` (ζ²), ``noise_model``, ``bias_model``, ``relative_bias`` and the problem's own.

    Raises
    ------
    ValueError
        If there is no problem of that name, or a parameter is of the wrong kind or out of range.

    Examples
    --------
    >>> get("quadratic", dim=2.5)
    Traceback (most recent call last):
    ...
    ValueError: dim = 2.5: expected an integer up to 1000000
    >>> get("cubic")
    Traceback (most recent call last):
    ...
    ValueError: name = 'cubic': no such problem; available are double_well, ...
    """
    allowed = parameters(name)
    if unknown := set(given) - set(allowed):
        meant = did_you_mean(min(unknown), allowed)
        raise ValueError(f"parameters {sorted(unknown)}: not known to {name}; it takes {', '.join(allowed)}{meant}")
    for key, value in given.items():
        _check_kind(key, value, allowed[key])
    return factory(name)(**given)


def parameters(name: str) -> dict[str, str]:
    """What :func:`get` takes for a problem, and the annotation of each.

    Raises
    ------
    ValueError
        If there is no problem of that name.

    Examples
    --------
    >>> parameters("quadratic")["dim"]
    'int'
    """
    return dict(_parameters(factory(name)))


@cache
def _parameters(factory: Any) -> dict[str, str]:
    own = inspect.signature(factory).parameters.values()
    hints = {p.name: str(p.annotation) for p in own if p.name != "oracle"}
    return hints | {n: h.__forward_arg__ for n, h in Oracle.__annotations__.items()}


def factory(name: str) -> type[SyntheticProblem]:
    """The class of the built-in problem ``name``, which says what is known of its constants.

    >>> factory("double_well").tightness, factory("sigmoid_loss").attains_minimum
    (1.0, False)
    """
    if not isinstance(name, str) or name not in available():
        known = available()
        raise ValueError(
            f"name = {shown(name)}: no such problem; available are {', '.join(known)}{did_you_mean(name, known)}"
        )
    module = import_module(f"{__name__}.{name}")
    if not hasattr(module, "problem"):
        raise ValueError(f"{module.__name__}: expected problem = TheClass, a SyntheticProblem, at its end")
    return module.problem


_LARGEST = 10**6  # of an integer: what has as many coordinates, students or samples fills the memory
_WORDS = {
    "float": "a number", "int": f"an integer up to {_LARGEST}", "str": "a name",
    "Sequence[int]": "a list of integers (in a list: [[0, 4]])",
}  # fmt: skip


def _check_kind(name: str, value: Any, hint: str) -> None:
    """Refuse a value that is not of the kind that a parameter's annotation names."""
    parts = hint.split(" | ")
    if not any(_fits(value, part) for part in parts):
        words = " or ".join(dict.fromkeys(_WORDS.get(part, "a list of numbers") for part in parts if part != "None"))
        raise ValueError(f"{name} = {shown(value)}: expected {words}")


def _fits(value: Any, hint: str) -> bool:
    if hint == "int":
        return (
            isinstance(value, int | np.integer)
            and not isinstance(value, bool | np.timedelta64)
            and bool(abs(value) <= _LARGEST)
        )
    if hint == "Sequence[int]":
        return isinstance(value, list | tuple) and all(_fits(one, "int") for one in value)
    if hint in ("str", "None"):
        return isinstance(value, str if hint == "str" else type(None))
    if hint == "Sequence[ArrayLike]":
        return isinstance(value, list | tuple | np.ndarray) and all(_fits(one, "ArrayLike") for one in value)
    try:
        array = real("value", value)
    except (TypeError, ValueError):
        return False
    return not np.isnan(array).any() and (array.ndim == 0) == (hint == "float")
