"""Training the mutual-learning game: what its students record, and where they come to rest.

The game is :class:`~convergence.problems.mutual_learning.MutualLearning`: θ_k ← θ_k - η(∇L_k + β∇R_k), all at once.
(The setting of Huang et al. 2023, arXiv 2209.05732.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.arguments import called, instance, number, real, shown, whole
from convergence.problems.mutual_learning import MutualLearning
from convergence.sgd import MOST_REPLICAS, MOST_STEPS, Observed, per_step, record_times, simulate

__all__ = ["CohortTrajectory", "StationaryPoint", "find_stationary", "train_cohort"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CohortTrajectory:
    """What a training run recorded: arrays over (record, replica, student), from full-data gradients.

    Attributes
    ----------
    times : ndarray of int, shape (record,)
        Steps taken.
    base, mutual : ndarray
        ‖∇L_k‖² and β²‖∇R_k‖².
    residual : ndarray
        ‖∇L_k + β∇R_k‖², zero at a stationary point.
    mean_base, mean_mutual, mean_residual, mean_noise : ndarray
        Averages over the steps so far of ‖∇L_k‖², of ‖b_k‖² = β²‖∇R_k‖², of ‖∇L_k + β∇R_k‖², and of the squared
        deviation of the mini-batch gradient from the full one (zero for full gradients).
    drift_base, drift_mutual, drift_residual : ndarray, shape (replica, student)
        The norms of the averages over the second half of the run of ∇L_k, of β∇R_k and of their sum (not the averages
        of their norms).
    loss : ndarray
        L_k in nats.
    first_loss : ndarray, shape (student,)
        L_k at the start.
    step : float
        η, its mean over the steps.
    final : ndarray, shape (replica, dim)
        θ at the end; ``MutualLearning.split`` says which are whose.

    With scheduled weights, each record and average takes the β_t and α_t of its own step.
    """

    times: NDArray[np.int64]
    base: Array
    mutual: Array
    residual: Array
    mean_base: Array
    mean_mutual: Array
    mean_residual: Array
    mean_noise: Array
    drift_base: Array
    drift_mutual: Array
    drift_residual: Array
    loss: Array
    first_loss: Array
    step: float
    final: Array


class _Record:
    """What a cohort's replicas recorded, as an observer of :func:`simulate`."""

    def __init__(self, at: Callable[[int], MutualLearning], times: NDArray[np.int64], replicas: int) -> None:
        self._at, self._rows = at, dict(zip(times.tolist(), range(len(times)), strict=True))
        self._steps = int(times[-1])
        game = at(0)
        shape = (len(times), replicas, game.students)
        # Squared norms of ∇L, β∇R and the update; their averages, and the noise's; the losses.
        self.ends, self.means, self.loss = np.zeros((3, *shape)), np.zeros((4, *shape)), np.zeros(shape)
        self._sums, self._seen, self._late = np.zeros((4, *shape[1:])), np.zeros(replicas), np.zeros(replicas)
        self._drifts = np.zeros((2, replicas, game.dim))

    def __call__(self, seen: Observed) -> None:
        game, who, base = self._at(min(seen.t, self._steps - 1)), seen.replicas, seen.gradient
        if seen.sample is None or game.noise:
            mutual = game.gradients(seen.x)[1]
        else:
            mutual = seen.sample - base
        update = base + mutual
        noise = np.zeros_like(update) if seen.sample is None else seen.sample - update
        squares = game.squares(np.stack([base, mutual, update, noise]))
        if (row := self._rows.get(seen.t)) is not None:
            self.ends[:, row, who], self.loss[row, who] = squares[:3], game.base_losses(seen.x)
            self.means[:, row, who] = self._sums[:, who] / np.maximum(self._seen[who], 1)[:, None]
        if seen.measured and seen.sample is not None:
            self._sums[:, who] += squares
            self._seen[who] += 1
            if 2 * seen.t >= self._steps:
                self._late[who] += 1
                self._drifts[:, who] += base, mutual

    def drifts(self) -> list[Array]:
        """The norms of the averages of ∇L_k, β∇R_k and their sum over the second half."""
        base, mutual = self._drifts
        count = np.maximum(self._late, 1)[:, None]
        return [np.sqrt(self._at(0).squares(part)) / count for part in (base, mutual, base + mutual)]


def train_cohort(
    cohort: MutualLearning,
    *,
    step: ArrayLike,
    steps: int,
    alpha: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    batch: int | None = None,
    replicas: int = 1,
    seed: int = 0,
    record: int | ArrayLike = 48,
    every: int = 1,
    progress: Callable[[float], None] | None = None,
) -> CohortTrajectory:
    """Train all students at once, with constant or scheduled step, order and weight: :func:`simulate` with records.

    Parameters
    ----------
    cohort : MutualLearning
        The students and their data.
    step : float or array of shape (T,)
        η, or η_t for each step.
    steps : int
        T.
    alpha, beta : array of shape (T,), optional
        α_t and β_t for each step, in place of the cohort's.
    batch : int, optional
        Mini-batch size, drawn with replacement so that the noise is unbiased; by default the cohort's own, or full
        gradients.
    replicas : int
        Independent runs, which differ in their mini-batches only.
    seed : int
        For the mini-batches.
    record : int or array of int
        How many records, spaced evenly in log t, or the times.
    every : int
        With mini-batches, full gradients are taken at every ``every``-th step (from a random phase) for the
        averages, which estimates them without bias; always at the records. Without, at every step.
    progress : callable, optional
        Called now and then with the fraction done.

    Returns
    -------
    CohortTrajectory

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [2.0]])
    >>> cohort = MutualLearning([x, -x], [0, 1, 1], alpha=0.5)
    >>> run = train_cohort(cohort, step=0.5, steps=100)
    >>> bool(run.loss[-1, 0, 0] < run.first_loss[0])
    True
    """
    game = instance("cohort", cohort, MutualLearning).replaced(batch=batch)
    steps, replicas = (
        whole("steps", steps, least=1, most=MOST_STEPS),
        whole("replicas", replicas, least=1, most=MOST_REPLICAS),
    )
    times = record_times(steps, record)
    alphas = None if alpha is None else per_step("alpha", alpha, steps)
    betas = None if beta is None else per_step("beta", beta, steps)
    for name, values, infinite in (("alpha", alphas, True), ("beta", betas, False)):
        if values is not None and not ((values >= 0) & (infinite | np.isfinite(values))).all():
            raise ValueError(f"{name} = {shown(values)}: expected orders in [0, inf] and finite weights >= 0")

    # The run and its record ask for the same step, one after the other.
    @lru_cache(maxsize=1)
    def at(t: int) -> MutualLearning:
        if alphas is None and betas is None:
            return game
        return game.replaced(
            alpha=None if alphas is None else float(alphas[t]), beta=None if betas is None else float(betas[t])
        )

    rows = replicas if not game.noise else -(-replicas // game.block) * game.block
    kept = _Record(at, times, rows)
    run = simulate(
        game, step=step, steps=steps, replicas=replicas, seed=seed, record=times, oracle=at, observe=kept,
        every=every if game.noise else 1, progress=progress,
    )  # fmt: skip
    # Replicas without noise are alike, and only the first was seen.
    who = np.arange(replicas) if game.noise else np.zeros(replicas, dtype=np.intp)
    (base, mutual, residual), means, drifts = kept.ends[:, :, who], kept.means[:, :, who], kept.drifts()
    return CohortTrajectory(
        times=times, base=base, mutual=mutual, residual=residual, mean_base=means[0], mean_mutual=means[1],
        mean_residual=means[2], mean_noise=means[3], drift_base=drifts[0][who], drift_mutual=drifts[1][who],
        drift_residual=drifts[2][who], loss=kept.loss[:, who], first_loss=game.base_losses(game.start),
        step=run.step, final=run.final,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class StationaryPoint:
    """Where the cohort's update (nearly) vanishes.

    Attributes
    ----------
    x : ndarray, shape (dim,)
        θ.
    base, mutual, residual : ndarray, shape (student,)
        ‖∇L_k‖, β‖∇R_k‖ and ‖∇L_k + β∇R_k‖.
    iterations : int
        Newton steps tried.
    """

    x: Array
    base: Array
    mutual: Array
    residual: Array
    iterations: int


def find_stationary(
    cohort: MutualLearning,
    x: ArrayLike,
    *,
    tolerance: float = 1e-2,
    iterations: int = 60,
    progress: Callable[[float], None] | None = None,
) -> StationaryPoint:
    """Approach a stationary point of the cohort by damped Newton steps, which gradient descent reaches only slowly.

    Parameters
    ----------
    cohort : MutualLearning
        The students and their data.
    x : array of shape (dim,)
        Where to start.
    tolerance : float
        Stop when every student's ‖∇L_k + β∇R_k‖ is at most this fraction of β‖∇R_k‖.
    iterations : int
        Newton steps at most; whether the tolerance was reached is for the caller to see.
    progress : callable, optional
        Called with the fraction of the iterations done.

    Returns
    -------
    StationaryPoint

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [2.0], [1.5]])
    >>> cohort = MutualLearning([x, x**2], [0, 1, 1, 0], alpha=2.0)
    >>> point = find_stationary(cohort, cohort.start, tolerance=1e-8)
    >>> bool(abs(point.base - point.mutual).max() < 1e-8)
    True
    """
    game, theta = instance("cohort", cohort, MutualLearning), real("x", x)
    if theta.shape != (game.dim,) or not np.isfinite(theta).all():
        raise ValueError(f"x = {shown(x)}: expected finite numbers of shape ({game.dim},)")
    tolerance, iterations = (
        number("tolerance", tolerance, least=0),
        whole("iterations", iterations, least=0, most=10**6),
    )
    called("progress", progress)

    def norms(of: Array) -> Array:
        return np.sqrt(game.squares(of))

    base, mutual = game.gradients(theta)
    damping, count = 1e-2, 0
    curvature: Array | None = None
    while count < iterations and (norms(base + mutual) > tolerance * norms(mutual)).any():
        count += 1
        if curvature is None:
            curvature = game.jacobian(theta)
        trial = theta - np.linalg.solve(curvature + damping * np.eye(game.dim), base + mutual)
        there = game.gradients(trial)
        if np.linalg.norm(sum(there)) < np.linalg.norm(base + mutual):
            theta, (base, mutual), curvature = trial, there, None
            damping /= 4
        else:
            damping *= 4
        if progress is not None:
            progress(count / iterations)
    return StationaryPoint(
        x=theta, base=norms(base), mutual=norms(mutual), residual=norms(base + mutual), iterations=count
    )
