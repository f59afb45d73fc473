"""Mutual gradients with everything that bounds them: on cohorts while they train, and on small networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from convergence import MutualLearning, Observed, simulate
from convergence.sgd import record_times
from rdml_theory import escort, renyi_divergence
from verify.checks.networks import Snapshot

__all__ = [
    "Measured", "central_slope", "history", "iris_cohort", "measure_cohort", "measure_networks", "one_input", "resting",
    "safe_step", "turning",
]  # fmt: skip

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


def iris_cohort(alpha: float, beta: float = 1.0, **more: Any) -> MutualLearning:
    """Two linear softmax students: one sees the sepals of Fisher's irises, the other the petals."""
    return MutualLearning(data="iris", alpha=alpha, beta=beta, **more)


def central_slope(along: Callable[[float], float]) -> float:
    """The derivative at 0, by Richardson's extrapolation of central differences.

    >>> round(central_slope(lambda e: (1 + e) ** 4), 9)
    4.0
    """
    coarse, fine = ((along(e) - along(-e)) / (2 * e) for e in (2e-3, 1e-3))
    return (4 * fine - coarse) / 3


def safe_step(cohort: MutualLearning) -> float:
    """1/Λ for every student's base loss plus β times a mutual loss of order at most one."""
    return 1 / ((1 + cohort.beta) * cohort.smoothness)


def history(cohort: MutualLearning, steps: int) -> list[tuple[int, list[Measured]]]:
    """Every student at some times of a full-gradient run, spaced evenly in log t from the first step on."""
    rows: list[tuple[int, list[Measured]]] = []
    marks = set(record_times(steps, 12).tolist())

    def keep(seen: Observed) -> None:
        if seen.t in marks:
            rows.append((seen.t, measure_cohort(cohort, seen.x[0])))

    simulate(cohort, step=safe_step(cohort), steps=steps, replicas=1, seed=0, record=1, observe=keep)
    return rows


def measure_cohort(cohort: MutualLearning, x: Array) -> list[Measured]:
    """Every student of a cohort of linear softmax students, whose Jacobian at an input x is x ⊗ I."""
    logits, squares = np.array(cohort.logits(x)), cohort.squares(cohort.gradients(x)[1]) / cohort.beta**2
    out = []
    for k, features in enumerate(cohort.inputs):
        peers = np.delete(logits, k, axis=0)
        spread = float(np.mean(2 * np.tanh(cohort.alpha * np.ptp(peers - logits[k], axis=-1) / 4) ** 2))
        divergence = float(np.mean(renyi_divergence(peers, logits[k], cohort.alpha, domain="logits")))
        norms = np.einsum("ij,ij->i", features, features)
        gram = 2 * cohort.student_smoothness[k]
        out.append(Measured(float(squares[k]), spread, divergence, float(norms.max()), gram))
    return out


def measure_networks(rng: np.random.Generator, alpha: float, count: int) -> list[Measured]:
    """So many random students of two layers, each with two peers from close to it to far away."""
    return [_measure_network(rng, alpha) for _ in range(count)]


def _measure_network(rng: np.random.Generator, alpha: float) -> Measured:
    samples, classes, width, dim = 12, 3, int(rng.integers(2, 6)), int(rng.integers(1, 4))
    scale = np.exp(rng.uniform(-1, 1))
    own = [
        (scale * rng.normal(size=(out, into)), rng.normal(size=out)) for out, into in ((width, dim), (classes, width))
    ]
    cohort = [own]
    for apart in np.exp(rng.uniform(-3, 1, 2)):
        cohort.append([(w + apart * rng.normal(size=w.shape), b + apart * rng.normal(size=b.shape)) for w, b in own])
    here = Snapshot(cohort, [rng.normal(size=(samples, dim))] * 3, np.zeros(samples, dtype=np.int64))
    slope = here.bias(0, alpha, 1.0)
    rows = [here.pulled_back(0, np.tile(unit, (samples, 1))) for unit in np.eye(classes)]
    return Measured(
        float(slope @ slope), float(np.mean(2 * np.tanh(alpha * here.ranges(0) / 4) ** 2)), here.divergence(0, alpha),
        float(here.jacobian_norms(0).max()), float(np.linalg.norm(np.concatenate(rows), 2) ** 2 / samples),
    )  # fmt: skip


def one_input(
    logits: Array, shares: Array, alpha: float, beta: float, *, scale: Sequence[float] | None = None
) -> tuple[MutualLearning, Array]:
    """Students who all see one input, with these logits (K, C) at the start and these shares (K, C) of its labels.

    ``scale`` is G of each student, at least 1 (1 by default, the constant feature alone): its Λ is G²/2.
    """
    count, classes = shares.shape
    sizes = np.ones(count) if scale is None else np.asarray(scale, dtype=np.float64)
    features = [np.full((classes, 1), np.sqrt(max(size**2 - 1, 0.0))) for size in sizes]
    game = MutualLearning(features, np.arange(classes), alpha=alpha, beta=beta, weights=classes * shares)
    start = [
        np.outer(x[0], z) / (x[0] @ x[0])
        for x, z in zip(game.inputs, np.asarray(logits, dtype=np.float64), strict=True)
    ]
    return game, np.concatenate([part.ravel() for part in start])


def resting(logits: Array, alpha: float, beta: float) -> tuple[MutualLearning, Array]:
    """Students on one input whose labels make these logits (K, C) a point of rest: y = q + β(q - w), w over the peers.

    Raises
    ------
    ValueError
        If that is no share of the labels, but below 0.

    Examples
    --------
    >>> game, start = resting(np.array([[-0.5, 0.5], [0.5, -0.5]]), 1.0, 0.5)
    >>> bool(np.abs(np.add(*game.gradients(start))).max() < 1e-15)
    True
    """
    q, rows = softmax(logits, axis=1), []
    for k, own in enumerate(q):
        peers = [escort(p, own, alpha) for j, p in enumerate(q) if j != k]
        rows.append(own + beta * (own - np.mean(peers, axis=0)))
    shares = np.array(rows)
    if shares.min() < -1e-12:
        raise ValueError(f"a label's share would be {shares.min():.3g}: use a smaller weight")
    return one_input(logits, np.maximum(shares, 0.0), alpha, beta)


def turning(alpha: float, spread: float, beta: float) -> tuple[MutualLearning, Array, float]:
    """Two students on one input who jump between two points for labels in equal shares, with the step h > 1 of both.

    The student's log-odds are ±αρ/2, its peer's ±(αρ/2 - ρ), for α in (0, 2); the peer's Jacobian G is such that it
    jumps too (that of the student at α = 1). The step is in units of the student's Λ.
    """
    tau = np.tanh(alpha * spread / 4)
    h = alpha * spread / (tau * (2 + 4 * beta))
    s, u = alpha * spread / 2, (alpha / 2 - 1) * spread
    p, own = 1 / (1 + np.exp(-u)), 1 / (1 + np.exp(-(u + alpha * spread)))
    other = u / (2 * (p - 0.5 + beta * (p - own)))
    sizes = np.sqrt([1.0, other / h])
    sizes /= sizes.min()
    logits = np.array([[s / 2, -s / 2], [u / 2, -u / 2]])
    game, start = one_input(logits, np.full((2, 2), 0.5), alpha, beta, scale=sizes.tolist())
    return game, start, h
