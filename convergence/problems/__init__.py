"""Test problems with known constants, one file each.

>>> from convergence import problems
>>> len(problems.available())
11
>>> problems.get("quadratic", dim=3, noise=1.0).noise
1.0
"""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from typing import Any

from convergence.problems._rows import ByRows
from convergence.problems.base import Oracle, Problem, SyntheticProblem

__all__ = ["ByRows", "Problem", "SyntheticProblem", "available", "get", "parameters"]

_PARTS = {"base", "bias_models", "noise_models"}  # and modules with an underscore


def available() -> tuple[str, ...]:
    """The names of the built-in problems, each the name of its module in this package.

    >>> available()[:3]
    ('double_well', 'matrix_factorisation', 'mutual_learning')
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
        If there is no problem of that name, or a parameter is out of range.

    Examples
    --------
    >>> get("cubic")
    Traceback (most recent call last):
    ...
    ValueError: name = 'cubic': no such problem; available are double_well, ...
    """
    allowed = parameters(name)
    if unknown := set(given) - set(allowed):
        raise ValueError(f"parameters {sorted(unknown)}: not known to {name}; it takes {', '.join(allowed)}")
    return _factory(name)(**given)


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
    own = inspect.signature(_factory(name)).parameters.values()
    hints = {p.name: str(p.annotation) for p in own if p.name != "oracle"}
    return hints | {n: h.__forward_arg__ for n, h in Oracle.__annotations__.items()}


def _factory(name: str) -> Any:
    if name not in available():
        raise ValueError(f"name = {name!r}: no such problem; available are {', '.join(available())}")
    return import_module(f"{__name__}.{name}").problem
