"""The registry: each module of this package defines one ``CLAIM``. Adding a claim is adding a file."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from verify.reading import ClaimError
from verify.records import place_of

if TYPE_CHECKING:
    from verify.claim import Claim

__all__ = ["all_claims", "claim_ids", "statistical_tests"]


@cache
def claim_ids() -> tuple[str, ...]:
    """The ids, in the order of :func:`verify.records.place_of`: D, C, X, G, N, E, V, each by number.

    They are read from the names of the files, which are quicker to list than to import.

    >>> claim_ids()[:3]
    ('D1', 'D2', 'D3')
    """
    return tuple(sorted(map(_id_of, _modules()), key=place_of))


def _modules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__)]


def _id_of(module: str) -> str:
    return module.partition("_")[0].capitalize()


@cache
def all_claims() -> dict[str, Claim[Any]]:
    """Every claim by its id, in the order of :func:`claim_ids`."""
    found = {name: import_module(f"{__name__}.{name}") for name in _modules()}
    if without := [module.__name__ for module in found.values() if not hasattr(module, "CLAIM")]:
        raise ClaimError(f"{', '.join(without)}: expected a claim, named CLAIM, in every module of verify/claims")
    for name, module in found.items():
        if module.CLAIM.id != _id_of(name):
            raise ClaimError(f"{module.__name__}: expected its claim to be {_id_of(name)}, and not {module.CLAIM.id}")
    claims = {module.CLAIM.id: module.CLAIM for module in found.values()}
    if len(claims) < len(found):
        raise ClaimError(f"two claims share an id: {sorted(map(_id_of, found))}")
    return {name: claims[name] for name in claim_ids()}


def statistical_tests() -> int:
    """How many statistical comparisons a complete run makes: the number that error rates are corrected for."""
    return sum(c.statistical_tests for c in all_claims().values())
