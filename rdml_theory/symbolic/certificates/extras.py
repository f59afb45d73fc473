"""The proof engines, imported when first needed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

__all__ = ["MissingProofsError", "engine"]

_DISTRIBUTIONS = {"z3": "z3-solver", "flint": "python-flint"}


class MissingProofsError(ImportError):
    """A proof engine is not installed.

    >>> raise MissingProofsError("z3-solver")
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.certificates.extras.MissingProofsError: this certificate needs z3-solver, which is not
    installed: pip install 'rdml-theory[proofs]'
    """

    def __init__(self, distribution: str) -> None:
        super().__init__(
            f"this certificate needs {distribution}, which is not installed: pip install 'rdml-theory[proofs]'"
        )


def engine(name: str) -> ModuleType:
    """The module ``z3`` or ``flint``.

    Raises
    ------
    MissingProofsError
        If it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise MissingProofsError(_DISTRIBUTIONS[name]) from error
