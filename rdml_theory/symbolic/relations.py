"""Relations that SymPy must not evaluate: a statement is printed and decided as it stands."""

from __future__ import annotations

from typing import Any, cast

from sympy import Eq, Ge, Le
from sympy.core.relational import Relational

from rdml_theory.symbolic.notation import Formula

__all__ = ["at_least", "at_most", "equal"]


def _relation(kind: Any, left: Formula, right: Formula) -> Relational:
    return cast(Relational, kind(left, right, evaluate=False))


def equal(left: Formula, right: Formula) -> Relational:
    """``left = right``.

    >>> from sympy import Integer
    >>> equal(Integer(1), Integer(1))
    Eq(1, 1)
    """
    return _relation(Eq, left, right)


def at_least(left: Formula, right: Formula) -> Relational:
    """``left ≥ right``.

    >>> from sympy import Integer
    >>> at_least(Integer(2), Integer(1))
    2 >= 1
    """
    return _relation(Ge, left, right)


def at_most(left: Formula, right: Formula) -> Relational:
    """``left ≤ right``.

    >>> from sympy import Integer
    >>> at_most(Integer(1), Integer(2))
    1 <= 2
    """
    return _relation(Le, left, right)
