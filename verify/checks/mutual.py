"""Mutual gradients with everything that bounds them: on cohorts while they train, and on small networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convergence import SoftmaxCohort
from convergence.data import game_data
from rdml_theory import renyi_divergence, renyi_gradient

__all__ = ["Measured", "iris_cohort", "measure_cohort", "measure_network", "safe_step"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One student's mutual gradient, squared, and what bounds it.

    Attributes
    ----------
    square : float
        ‖∇R‖².
    spread : float
        The mean over inputs and peers of 2 tanh²(αρ/4).
    divergence : float
        The mean divergence from the peers, in nats.
    jacobian, gram : float
        The greatest ‖J‖² of an input, and the greatest eigenvalue of the mean of JᵀJ.
    """

    square: float
    spread: float
    divergence: float
    jacobian: float
    gram: float


def iris_cohort(order: float, beta: float = 1.0) -> SoftmaxCohort:
    """Two linear softmax students: one sees the sepals of Fisher's irises, the other the petals."""
    parts, labels, _ = game_data("iris", 2)
    return SoftmaxCohort(parts, labels, order=order, beta=beta)


def safe_step(cohort: SoftmaxCohort) -> float:
    """1/Λ for every student's base loss plus β times a mutual loss of order at most one."""
    return 1 / ((1 + cohort.beta) * max(cohort.smoothness()))


def _pairs(student: Array, peers: Sequence[Array], order: float) -> tuple[Array, float, float]:
    """Mean over peers of q - w for each input, of 2 tanh²(αρ/4) and of the divergence."""
    pulls, spreads, divergences = [], [], []
    for peer in peers:
        pulls.append(renyi_gradient(peer, student, order, wrt="q", domain="logits"))
        spreads.append(2 * np.tanh(order * np.ptp(peer - student, axis=-1) / 4) ** 2)
        divergences.append(renyi_divergence(peer, student, order, domain="logits"))
    return np.mean(pulls, axis=0), float(np.mean(spreads)), float(np.mean(divergences))


def measure_cohort(cohort: SoftmaxCohort, parameters: Sequence[Array]) -> list[Measured]:
    """Every student of a cohort of linear softmax students, whose Jacobian at an input x is x ⊗ I."""
    logits = [x @ t for x, t in zip(cohort.inputs, parameters, strict=True)]
    out = []
    for k, x in enumerate(cohort.inputs):
        pull, spread, divergence = _pairs(logits[k], [u for j, u in enumerate(logits) if j != k], cohort.order)
        gradient = x.T @ pull / cohort.samples
        norms = np.einsum("ij,ij->i", x, x)
        gram = float(np.linalg.norm(x, 2) ** 2 / cohort.samples)
        out.append(Measured(float((gradient**2).sum()), spread, divergence, float(norms.max()), gram))
    return out


def measure_network(rng: np.random.Generator, order: float, *, inputs: int = 12, classes: int = 3) -> Measured:
    """A random student z = V tanh(Wx + a) + c with two random peers; its Jacobian in (W, a, V, c) is exact."""
    width, dim = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    scale = np.exp(rng.uniform(-1, 1))
    x = rng.normal(size=(inputs, dim))
    w, a = scale * rng.normal(size=(width, dim)), rng.normal(size=width)
    v, c = scale * rng.normal(size=(classes, width)), rng.normal(size=classes)
    hidden = np.tanh(x @ w.T + a)
    student = hidden @ v.T + c
    peers = [student + np.exp(rng.uniform(-3, 1)) * rng.normal(size=student.shape) for _ in range(2)]
    slope = v[None] * (1 - hidden**2)[:, None, :]  # ∂z/∂(Wx + a), (inputs, classes, width)
    by_w = slope[..., None] * x[:, None, None, :]
    eye = np.broadcast_to(np.eye(classes), (inputs, classes, classes))
    by_v = eye[..., None] * hidden[:, None, None, :]
    jacobian = np.concatenate(
        [by_w.reshape(inputs, classes, -1), slope, by_v.reshape(inputs, classes, -1), eye], axis=-1
    )
    pull, spread, divergence = _pairs(student, peers, order)
    gradient = np.einsum("nc,ncp->p", pull, jacobian) / inputs
    stacked = jacobian.reshape(inputs * classes, -1)
    return Measured(
        float((gradient**2).sum()), spread, divergence,
        float(max(np.linalg.norm(j, 2) ** 2 for j in jacobian)), float(np.linalg.norm(stacked, 2) ** 2 / inputs),
    )  # fmt: skip
