"""How good students are: accuracy, negative log-likelihood, calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from verify.trainer.data import Split

__all__ = ["Scores", "evaluate", "score"]

BINS = 15


@dataclass(frozen=True)
class Scores:
    """Of one predictor on one set of samples.

    ``nll`` is the mean negative log-likelihood in nats, ``ece`` the expected calibration error with 15 equal bins of
    confidence (Guo et al. 2017, arXiv 1706.04599).
    """

    accuracy: float
    nll: float
    ece: float


def score(log_probabilities: Tensor, y: Tensor) -> Scores:
    """Scores of log-probabilities (N, C) against labels (N,).

    >>> score(torch.tensor([[0.8, 0.2], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
    Scores(accuracy=0.5, nll=0.5697..., ece=0.400...)
    """
    logs = log_probabilities.double()
    confidence, predicted = logs.exp().max(1)
    right = (predicted == y).double()
    bins = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    gap = torch.zeros(BINS, dtype=torch.float64, device=y.device).index_add_(0, bins, right - confidence)
    nll = -logs.gather(1, y[:, None]).mean()
    return Scores(float(right.mean()), float(nll), float(gap.abs().sum() / len(y)))


@contextmanager
def evaluating(students: Sequence[nn.Module]) -> Iterator[None]:
    """Students in evaluation mode, and in their own mode again afterwards."""
    modes = [s.training for s in students]
    for s in students:
        s.eval()
    try:
        yield
    finally:
        for s, mode in zip(students, modes, strict=True):
            s.train(mode)


@torch.no_grad()
def evaluate(
    students: Sequence[nn.Module], split: Split, prepare: Callable[[Tensor], Tensor], batch: int = 1000
) -> list[Scores]:
    """Scores of each student and, last, of the mean of their probabilities."""
    with evaluating(students):
        parts = [
            torch.stack([s(prepare(x)).float().log_softmax(-1) for s in students]) for x in split.x.split(batch)
        ]  # fmt: skip
    logs = torch.cat(parts, dim=1)
    mean = logs.double().logsumexp(0) - torch.tensor(float(len(students)), dtype=torch.float64).log()
    return [score(z, split.y) for z in (*logs, mean)]
