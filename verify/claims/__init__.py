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

__all__ = ["all_claims", "claim_ids", "claim_of", "statistical_tests"]


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
def claim_of(name: str) -> Claim[Any]:
    """The claim with an id of :func:`claim_ids`, from its file alone.

    >>> claim_of("D12").title
    'Variance of bounded values'
    """
    return _claim_in(next(module for module in _modules() if _id_of(module) == name))


def _claim_in(name: str) -> Claim[Any]:
    module = import_module(f"{__name__}.{name}")
    if not hasattr(module, "CLAIM"):
        raise ClaimError(f"{module.__name__}: expected a claim, named CLAIM, in every module of verify/claims")
    if module.CLAIM.id != _id_of(name):
        raise ClaimError(f"{module.__name__}: expected its claim to be {_id_of(name)}, and not {module.CLAIM.id}")
    return module.CLAIM


@cache
def all_claims() -> dict[str, Claim[Any]]:
    """Every claim by its id, in the order of :func:`claim_ids`."""
    found = [_claim_in(name) for name in _modules()]
    claims = {claim.id: claim for claim in found}
    if len(claims) < len(found):
        raise ClaimError(f"two claims share an id: {sorted(claim.id for claim in found)}")
    return {name: claims[name] for name in claim_ids()}


def statistical_tests() -> int:
    """How many statistical comparisons a complete run makes: the number that error rates are corrected for."""
    return sum(c.statistical_tests for c in all_claims().values())
