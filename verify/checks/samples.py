"""Students of one model, each with a sample of its own: where they come to rest, and how much they are off.

Two classes, whose log-odds are linear in the features; inputs are one of a few points, all as probable, so that counts
hold a sample of any size, and cohorts that differ in their samples are solved together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from convergence import MutualLearning, find_stationary

__all__ = ["Cohorts", "Task", "settle"]

Array = NDArray[np.float64]

RESTED = 1e-9
"""The greatest update left, over the first base gradient, that counts as none."""


@dataclass(frozen=True)
class Cohorts:
    """Many cohorts at rest: parameters (cohort, dim), and the greatest update left over the first base gradient."""

    game: MutualLearning
    x: Array
    left: float


def settle(game: MutualLearning, x: Array, inverse: Array, *, iterations: int = 12, part: float = 1.0) -> Cohorts:
    """Newton's method from x (cohort, dim), with the inverse of a Jacobian that is kept, for all cohorts at once.

    ``part`` of each step is taken: less than all where the Jacobian is another one. It ends before ``iterations`` where
    all cohorts are at rest.
    """
    first, done = float(np.abs(game.gradient(x)).max()) or 1.0, 0
    while True:
        update = game.sample_gradient(x, np.random.default_rng(0))  # of which nothing is drawn: there is no noise
        left = float(np.abs(update).max()) / first
        if done == iterations or left <= RESTED:
            return Cohorts(game, x, left)
        x, done = x - part * update @ inverse.T, done + 1


@cache
def _near_truth(task: Task, students: int, alpha: float, beta: float) -> Array:
    weights = np.tile(2 * task.points * task.joint(), (students, 1))
    jacobian = task.game(weights, alpha, beta).jacobian(task.start(students))
    return np.asarray(np.linalg.pinv(jacobian, rcond=1e-9), dtype=np.float64)


@dataclass(frozen=True)
class Task:
    """The true model: log-odds ``features @ truth`` of class 0, the last feature constant.

    Parameters
    ----------
    points, features : int
        How many inputs, and features of each without the constant.
    size : float
        The standard deviation of the log-odds.
    """

    points: int = 8
    features: int = 3
    size: float = 1.5

    @cached_property
    def inputs(self) -> Array:
        """Features at the points, whitened: (points, features), with the mean zero."""
        rng = np.random.default_rng(20261127)
        raw = rng.standard_normal((self.points, self.features))
        left, _, right = np.linalg.svd(raw - raw.mean(axis=0), full_matrices=False)
        out: Array = np.sqrt(self.points) * left @ right
        return out

    @cached_property
    def odds(self) -> Array:
        """The true log-odds at the points."""
        slope = np.random.default_rng(1).standard_normal(self.features)
        return self.inputs @ (self.size * slope / np.linalg.norm(slope)) + 0.3

    @property
    def dim(self) -> int:
        """d, the free parameters of a student."""
        return self.features + 1

    @cached_property
    def share(self) -> Array:
        """The true probability of class 0 at the points."""
        return 1 / (1 + np.exp(-self.odds))

    def joint(self, odds: Array | None = None) -> Array:
        """Probabilities of (point, class), flat, as the samples of the game are; by default those of the truth."""
        share = self.share if odds is None else 1 / (1 + np.exp(-odds))
        return np.stack([share, 1 - share], axis=1).ravel() / self.points

    def draws(self, rng: np.random.Generator, cohorts: int, students: int, size: int) -> Array:
        """Weights (cohort, student, sample) of samples of this size."""
        counts = rng.multinomial(size, self.joint(), (cohorts, students))
        out: Array = (counts * (2 * self.points / size)).astype(np.float64)
        return out

    def start(self, students: int, odds: Array | None = None) -> Array:
        """θ of students who all are the truth, or have these log-odds (least squares)."""
        design = np.column_stack([self.inputs, np.ones(self.points)])
        coefficients = np.linalg.lstsq(design, self.odds if odds is None else odds, rcond=None)[0]
        out: Array = np.tile(np.column_stack([coefficients, -coefficients]).ravel() / 2, students).astype(np.float64)
        return out

    def game(self, weights: Array, alpha: float, beta: float) -> MutualLearning:
        """Students with these weights (..., student, sample) of (point, class)."""
        features = np.repeat(self.inputs, 2, axis=0)
        labels = np.tile([0, 1], self.points)
        return MutualLearning([features] * weights.shape[-2], labels, alpha=alpha, beta=beta, weights=weights)

    def near_truth(self, students: int, alpha: float, beta: float) -> Array:
        """The inverse of the game's Jacobian with all students at the truth, but for shifts of all logits."""
        return _near_truth(self, students, alpha, beta)

    def settle(
        self, weights: Array, alpha: float, beta: float, *, x: Array | None = None, inverse: Array | None = None,
        iterations: int = 12, part: float = 1.0,
    ) -> Cohorts:  # fmt: skip
        """Cohorts at rest, by :func:`settle` from the truth with the Jacobian there, or from another x with another."""
        students = weights.shape[-2]
        game = self.game(weights, alpha, beta)
        at = np.broadcast_to(self.start(students) if x is None else x, (len(weights), game.dim))
        kept = self.near_truth(students, alpha, beta) if inverse is None else inverse
        return settle(game, at, kept, iterations=iterations, part=part)

    def gaps(self, cohorts: Cohorts, students: slice) -> Array:
        """The log-odds of some students less the true ones, (student, cohort, point)."""
        parts = [part.reshape(len(cohorts.x), -1, 2) for part in cohorts.game.split(cohorts.x)[students]]
        design = np.column_stack([self.inputs, np.ones(self.points)])
        return np.stack([(part[..., 0] - part[..., 1]) @ design.T for part in parts]) - self.odds

    def with_wrong_peer(self, weights: Array, *, firm: float) -> Array:
        """One student more, whose labels are those of -3 times the true log-odds; ``firm`` is its own weight."""
        wrong = 2 * self.points * firm * self.joint(-3.0 * self.odds)
        return np.concatenate([weights, np.broadcast_to(wrong, (*weights.shape[:-2], 1, len(wrong)))], axis=-2)

    def beside_wrong_peer(
        self, weights: Array, alphas: Sequence[float], product: float, *, firm: float
    ) -> dict[float, Cohorts]:
        """Cohorts at rest beside a wrong peer, at each order α with β = product/α.

        What is expected of all cohorts is solved first, from the greatest order downwards, each from the one before.
        """
        good = weights.shape[-2]
        expected = self.with_wrong_peer(np.tile(2 * self.points * self.joint(), (good, 1)), firm=firm)
        x = np.concatenate([self.start(good), self.start(1, -3.0 * self.odds)])
        out = {}
        for alpha in sorted(alphas, reverse=True):
            game = self.game(expected, alpha, product / alpha)
            x = find_stationary(game, x, tolerance=1e-10).x
            inverse: Array = np.linalg.pinv(game.jacobian(x), rcond=1e-9).astype(np.float64)
            together = self.with_wrong_peer(weights, firm=firm)
            out[alpha] = self.settle(together, alpha, product / alpha, x=x, inverse=inverse)
        return {alpha: out[alpha] for alpha in alphas}

    def excess(self, cohorts: Cohorts, students: slice = slice(None)) -> Array:
        """The mean over some students of the excess risk E KL(truth‖student) in nats, (cohort,)."""
        gap = self.gaps(cohorts, students)
        # KL of two classes in log-odds, without cancellation near the truth.
        value = np.log1p(self.share * np.expm1(gap)) - self.share * gap
        return np.asarray(value.mean(axis=(0, 2)))

    def quadratic(self, cohorts: Cohorts) -> Array:
        """The excess risk to second order about the truth, for students one Newton step from it."""
        value = self.share * (1 - self.share) * self.gaps(cohorts, slice(None)) ** 2 / 2
        return np.asarray(value.mean(axis=(0, 2)))

    def mean_quadratic(self, students: int, alpha: float, beta: float, *, common: float = 0.0) -> float:
        """The mean over samples of :meth:`quadratic`, over 1/n, for samples with a common share: by its covariance."""
        joint, at = self.joint(), self.start(students)
        inverse, expected = self.near_truth(students, alpha, beta), np.tile(2 * self.points * joint, (students, 1))
        single = np.tile(expected, (2 * self.points, 1, 1))
        shared = np.repeat(2 * self.points * np.eye(2 * self.points)[:, None], students, axis=1)
        # A sample moves the base gradient of its student alone, or those of all.
        single[:, 0] = shared[:, 0]
        means = []
        for weights in (single, shared):
            game = self.game(weights, alpha, beta)
            step = game.gradient(np.tile(at, (len(weights), 1))) @ inverse.T
            means.append(float(joint @ self.quadratic(Cohorts(game, at - step, 0.0))))
        # The mean over students, each of whom has samples of its own: students times that of the first one's.
        return (1 - common) * students * means[0] + common * means[1]

    def risk(self, weights: Array, alpha: float, beta: float, size: int, *, common: float = 0.0) -> Array:
        """Excess risks at rest over d/2n, (cohort,); what is linear in the samples is replaced by its mean."""
        return self.corrected(self.settle(weights, alpha, beta), weights, size, common=common)

    def corrected(self, rest: Cohorts, weights: Array, size: int, *, common: float = 0.0) -> Array:
        """Excess risks over d/2n of cohorts at rest, what is linear in their samples replaced by its mean."""
        alpha, beta, students = rest.game.alpha, rest.game.beta, weights.shape[-2]
        if rest.left > 1e-4:
            raise RuntimeError(f"cohorts at α = {alpha}, β = {beta} are not at rest: an update of {rest.left} is left")
        linear = self.quadratic(self.settle(weights, alpha, beta, iterations=1))
        mean = self.mean_quadratic(students, alpha, beta, common=common) / size
        return (self.excess(rest) - linear + mean) / (self.dim / (2 * size))
