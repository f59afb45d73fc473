"""The cohorts that the claims on real networks are tested on: small networks that each see half of a digit."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from convergence.data import game_data

if TYPE_CHECKING:
    from torch import Tensor

    from verify.trainer.paths import Path, SmallCohort

__all__ = ["SAMPLES", "SETTING", "cohort", "held_out", "runs"]

SAMPLES = 600
HIDDEN = 8
DECAY = 5e-3

SETTING = (
    f"experiment: networks with {HIDDEN} hidden tanh units in double precision, each on the upper or the lower half of "
    f"{SAMPLES} of scikit-learn's digits, cross-entropy with a weight decay of {DECAY:g}, plain gradient descent"
)


def cohort(
    alpha: float, *, beta: float = 1.0, students: int = 2, alike: bool = False, hidden: int = HIDDEN
) -> SmallCohort:
    """Students that see the upper and the lower halves in turn or, where they are alike, the same upper half."""
    # Importing torch takes seconds, which a list of claims need not pay.
    import torch

    from verify.trainer.paths import SmallCohort

    halves, labels = _standardised()
    x = [halves[0 if alike else k % 2][:SAMPLES] for k in range(students)]
    return SmallCohort(torch.tensor(np.stack(x)), torch.tensor(labels[:SAMPLES]), alpha, beta, hidden, DECAY)


def held_out(students: int = 2) -> tuple[Tensor, Tensor]:
    """The digits that no cohort trains on: their halves (K, N', d), and their labels (N',)."""
    import torch

    halves, labels = _standardised()
    x = [halves[k % 2][SAMPLES:] for k in range(students)]
    return torch.tensor(np.stack(x)), torch.tensor(labels[SAMPLES:])


@cache
def _standardised() -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    halves, labels, _ = game_data("digits", 2)
    pixels = np.stack(halves)
    return tuple((h - pixels.mean()) / pixels.std() for h in halves), labels


def runs(path: Path, first: int, last: int) -> dict[str, np.ndarray]:
    """Averages (K,) of a path over the steps from ``first`` to ``last``: A², Z², S², max Λ_t, Δ/(ηT) and M.

    M is what the noise adds along this one path: with h = η max Λ_t, summing the steps' exact descent gives
    (1-h/2)A² + (1-h) mean <∇L, b> - (h/2)Z² ≤ Δ/(ηT) + (h/2)S² + M, M = mean of h<b, n> - (1-h)<∇L, n>.
    """
    part = slice(first, last)
    smoothness = path.smoothness[part].amax(0)
    h = path.step * smoothness
    values = {
        "A2": path.base[part].mean(0), "Z2": path.bias[part].mean(0), "S2": path.noise[part].mean(0),
        "Lambda": smoothness,
        "gap": (path.loss[first] - path.loss[last]) / (path.step * (last - first)),
        "M": (h * path.pull[part] - (1 - h) * path.drift[part]).mean(0),
    }  # fmt: skip
    return {name: v.numpy() for name, v in values.items()}
