"""The symbolic check: every step of a derivation is decided by SymPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from rdml_theory.symbolic import Derivation
from verify.checks.certificates import proof_check
from verify.claim import Check

__all__ = ["symbolic_check"]

S = TypeVar("S")


def symbolic_check(derivation: Callable[[S], Derivation], *, cost: float = 2.0) -> Check[S]:
    """The check of a proof that needs no certificates: every step is an identity or has a manifest sign."""
    question = "Does SymPy verify every step of the derivation, for a symbolic number of classes where one appears?"
    return replace(proof_check(derivation, cost=cost), question=question)
