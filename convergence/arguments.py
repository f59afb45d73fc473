"""What the public functions accept: numbers, arrays and objects, with one clear error where they do not."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdml_theory._validation import flag, real_number, shown

__all__ = ["broadcast", "called", "did_you_mean", "flag", "folder", "instance", "number", "real", "shown", "whole"]

BEYOND = "expected a real number of at most 1.8e308, the largest float"

T = TypeVar("T")


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: the known one that looks most like it, if any does.

    >>> did_you_mean("quadratik", ["double_well", "quadratic"])
    "; did you mean 'quadratic'?"
    >>> did_you_mean("lobster", ["double_well", "quadratic"])
    ''
    """
    near = get_close_matches(word, known, n=1) if isinstance(word, str) else ()
    return f"; did you mean {near[0]!r}?" if near else ""


def real(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """The value as float64.

    >>> real("step", [1, 2.5])
    array([1. , 2.5])
    >>> real("step", 1j)
    Traceback (most recent call last):
    ...
    TypeError: step = 1j: expected a real number or an array of them
    """
    if type(value) is np.ndarray and value.dtype == np.float64:
        return value.copy()
    try:
        found = real_number(value)
        array = np.asarray(None if value is np.ma.masked else value if found is None else found)
    except OverflowError:
        raise ValueError(f"{name} = {shown(value)}: {BEYOND}") from None
    except Exception:  # what a foreign __array__ raises, or lists of unequal lengths
        array = np.asarray(None)
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        raise ValueError(f"{name} = {shown(value)}: expected no masked entries; fill or drop them")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} = {shown(value)}: expected a real number or an array of them")
    with np.errstate(over="ignore"):
        out = array.astype(np.float64)
    if array.dtype != np.float64 and np.any(np.isinf(out) & np.isfinite(array)):
        raise ValueError(f"{name} = {shown(value)}: {BEYOND}")
    return out


def broadcast(**arrays: NDArray[np.float64]) -> None:
    """Refuse arrays whose shapes do not go together.

    >>> broadcast(alpha=np.ones(2), beta=np.ones(3))
    Traceback (most recent call last):
    ...
    ValueError: alpha has shape (2,), beta (3,): expected shapes that broadcast
    """
    shapes = {name: array.shape for name, array in arrays.items()}
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError:
        told = ", ".join(f"{name} {shape}" for name, shape in shapes.items()).replace(" ", " has shape ", 1)
        raise ValueError(f"{told}: expected shapes that broadcast") from None


def number(
    name: str, value: Any, *, least: float = -np.inf, strict: bool = False, most: float = np.inf,
    infinite: bool = False, remedy: str = "",
) -> float:  # fmt: skip
    """One real number from ``least`` (above it if ``strict``) to ``most``, finite unless ``infinite``; never NaN.

    >>> number("gap", 3, least=0)
    3.0
    >>> number("gap", -1, least=0, remedy="give f(x_0) - inf f")
    Traceback (most recent call last):
    ...
    ValueError: gap = -1: expected a finite number >= 0; give f(x_0) - inf f
    """
    found, after = value, f"; {remedy}" if remedy else ""
    if type(value) is not float:
        array = real(name, value)
        if array.ndim:
            raise TypeError(f"{name} = {shown(value)}: expected one real number{after}")
        found = float(array)
    inside = (found > least if strict else found >= least) and found <= most
    if not inside or (math.isinf(found) and not infinite):
        low = "" if least == -np.inf else f" {'>' if strict else '>='} {least:g}"
        high = "" if most == np.inf else f"{' and' if low else ''} <= {most:g}"
        raise ValueError(f"{name} = {shown(value)}: expected a {'' if infinite else 'finite '}number{low}{high}{after}")
    return found


def whole(name: str, value: Any, *, least: int, most: int | None = None) -> int:
    """An integer from ``least`` to ``most``.

    >>> whole("steps", 2.0, least=1)
    Traceback (most recent call last):
    ...
    ValueError: steps = 2.0: expected an integer >= 1
    """
    integer = isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64)
    if not integer or value < least or (most is not None and value > most):
        allowed = f">= {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} = {shown(value)}: expected an integer {allowed}")
    return int(value)


def instance(name: str, value: Any, kind: type[T]) -> T:
    """An object of a class of this package.

    >>> from convergence import Bound
    >>> instance("bound", 3, Bound)
    Traceback (most recent call last):
    ...
    TypeError: bound = 3: expected convergence.Bound
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} = {shown(value)}: expected convergence.{kind.__name__}")
    return value


def called(name: str, value: Callable[..., Any] | None) -> None:
    """Refuse what is neither None nor a function."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} = {shown(value)}: expected a function")


def folder(name: str, value: str | os.PathLike[str] | None) -> Path | None:
    """A path, or None."""
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} = {shown(value)}: expected a path")
    return Path(value)
