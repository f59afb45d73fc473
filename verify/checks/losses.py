"""The torch losses on random cohorts, for claims to compare with their formulas; needs the extra torch.

Cohorts are logits that float32 holds exactly, at temperatures that are powers of two, so that the exact gradient of
what the losses are given is known. Rows run from near consensus to far from it, and orders lie inside the
neighbourhoods in which a cheap implementation would take a limit for the order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import mpmath as mp
import numpy as np

from verify.checks.reference import ROUNDING, softmax
from verify.claim import Check

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ALLOWED", "KEPT", "ORDERS", "Case", "cases", "if_torch", "tensors"]

ORDERS = (5e-5, 5e-4, 0.5, 1 - 5e-5, 1.0, 1 + 5e-5, 2.0, 5.0, 2000.0)
KEPT = (True, True, False, True)
"""Which rows count; the others hold NaN."""
ALLOWED = {"float64": ROUNDING, "float32": 2.0**-22}
"""Errors relative to the norm of the gradient of a row; float32 gradients are rounded to it."""


class Case(NamedTuple):
    """Logits of three students, (3, rows, classes), an order, a temperature and the type of the tensors."""

    logits: np.ndarray
    alpha: float
    temperature: float
    kind: str

    def rows(self) -> Iterator[tuple[int, list[list[Any]]]]:
        """Index and exact distributions of every row that counts."""
        for row, kept in enumerate(KEPT):
            if kept:
                yield row, [softmax([mp.mpf(float(x)) / self.temperature for x in z]) for z in self.logits[:, row]]


def cases(rng: np.random.Generator, alphas: Sequence[float] = ORDERS) -> Iterator[Case]:
    """One case for every order and type."""
    for number, alpha in enumerate(alphas):
        for kind in ALLOWED:
            base = rng.standard_normal((1, len(KEPT), 4))
            apart = np.geomspace(1e-3, 1.0, len(KEPT))[:, None] * rng.standard_normal((3, len(KEPT), 4))
            logits = (base + apart).astype(np.float32).astype(np.float64)
            logits[:, [not kept for kept in KEPT]] = np.nan
            yield Case(logits, alpha, (1.0, 4.0)[number % 2], kind)


def tensors(case: Case) -> tuple[list[Tensor], Tensor]:
    """Leaves that require a gradient, one of each student, and the mask."""
    # Importing torch takes seconds, which a list of claims need not pay.
    import torch

    kind = getattr(torch, case.kind)
    return [torch.tensor(z, dtype=kind, requires_grad=True) for z in case.logits], torch.tensor(KEPT)


def if_torch(check: Check[Any]) -> tuple[Check[Any], ...]:
    """The check of the losses, or none where torch is not installed."""
    return () if find_spec("torch") is None else (check,)
