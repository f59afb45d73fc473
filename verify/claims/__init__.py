"""The registry: each module of this package defines one ``CLAIM``. Adding a claim is adding a file."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import Any

from verify.claim import Claim
from verify.records import place_of

__all__ = ["all_claims", "claim", "statistical_tests"]


@cache
def all_claims() -> dict[str, Claim[Any]]:
    """Every claim by its id, in the order of :func:`verify.records.place_of`: D, C, X, G, N, E, V, each by number.

    >>> list(all_claims())[:3]
    ['D1', 'D2', 'D3']
    """
    modules = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    if without := [m.__name__ for m in modules if not hasattr(m, "CLAIM")]:
        raise ValueError(f"{', '.join(without)}: expected a claim, named CLAIM, in every module of verify/claims")
    found = [m.CLAIM for m in modules]
    ids = [c.id for c in found]
    if len(set(ids)) != len(ids):
        raise ValueError(f"two claims share an id: {sorted(ids)}")
    ordered = sorted(found, key=lambda c: place_of(c.id))
    return {c.id: c for c in ordered}


def claim(identifier: str) -> Claim[Any]:
    """The claim with this id.

    Raises
    ------
    KeyError
        If there is none.
    """
    return all_claims()[identifier]


def statistical_tests() -> int:
    """How many statistical comparisons a complete run makes: the number that error rates are corrected for."""
    return sum(c.statistical_tests for c in all_claims().values())
