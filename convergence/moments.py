"""Searches for evidence against a problem's declared noise and bias.

As in :mod:`convergence.probes`, each returns the worst it found with the place. What is found is a lower bound of the
true constant, up to a stated error rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convergence.estimators import mean_interval
from convergence.probes import ROWS, View, scan_points, unit, winners
from convergence.problems.protocol import Problem

__all__ = ["Moment", "bias_excess", "noise_variance", "oracle_errors"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moment:
    """A moment of the oracle at a point: the estimate, and its lower and upper confidence bound.

    ``exceeds`` says that it is significantly more than allowed, in two samples, of which this is the second.
    """

    point: Array
    estimate: float
    low: float
    high: float
    draws: int
    allowed: float
    exceeds: bool


def oracle_errors(problem: View, x: Array, count: int, rng: np.random.Generator) -> Array:
    """Oracle errors g - ∇f, shape (points, count, dim); `ROWS` rows at a time."""
    rows = np.repeat(x, count, axis=0)
    parts = [problem.sample_gradient(rows[at : at + ROWS], rng) for at in range(0, len(rows), ROWS)]
    return np.concatenate(parts).reshape(len(x), count, -1) - problem.gradient(x)[:, None]


Score = Callable[[Array, Array], Array]
"""Of points (count, dim) and oracle errors there (count, draws, dim): an array (count,), large at a place wanted."""


def _scores(problem: View, score: Score, x: Array, draws: int, rng: np.random.Generator) -> Array:
    """With fresh draws at each point, or with those of ``rng``'s seed; -inf for what is no number."""
    with np.errstate(all="ignore"):
        found = score(x, oracle_errors(problem, x, draws, rng))
    return np.where(np.isfinite(found), found, -np.inf)


def _evolve(problem: View, rng: np.random.Generator, score: Score, points: int) -> Array:
    """The points with the highest scores, best first: pilot samples at many, ascents from some, larger samples at few.

    The ascents find what is largest in some ten dimensions, where chance does not come near it; chance finds a small
    region, and what the ascents' differences do not feel.
    """
    reach, dim = problem.reach, problem.dim

    def ranked(x: Array, draws: int) -> Array:
        parts = np.array_split(x, max(1, len(x) * draws // 20_000))
        return x[np.argsort(-np.concatenate([_scores(problem, score, part, draws, rng) for part in parts]))]

    # Work in high dimensions is held down by the number of random numbers; in few, where points are cheap, more of
    # them find a small region, and a place there is not lost for a noisy pilot sample.
    few = dim <= 20
    wide = int(np.clip(4_000_000 // (8 * dim), points, (200 if few else 40) * points))
    draws = int(np.clip(4_000_000 // (points * dim), 8, 128))
    x = ranked(scan_points(problem, rng, wide), 8)
    if few:
        x = ranked(x[: 40 * points], 24)
    pilot = min(64 if few else 32, draws)
    x = ranked(x[: 4 * points], pilot)
    kept = points // 4
    # The best of all, and those of random groups, which are not all at one place.
    seeds = np.r_[0 : kept // 8, winners(-np.arange(len(x), dtype=float), kept // 2, rng)]
    x = np.vstack([_ascend(problem, rng, score, x[seeds], pilot), x[: points - len(seeds)]])
    for _ in range(4 if few else 2):
        x = ranked(x, draws)
        parents = rng.integers(0, kept, points - kept)
        scale = reach * 10 ** rng.uniform(-2, 0.3, (parents.size, 1))
        children = problem.confined(x[parents] + scale * rng.standard_normal((parents.size, dim)))
        x = np.vstack([x[:kept], children])
    return ranked(ranked(x, draws)[: max(3, points // 8)], 8 * draws)


def _ascend(problem: View, rng: np.random.Generator, score: Score, x: Array, draws: int) -> Array:
    """Climb from each x, in every round with random numbers common to all trials: differences have little noise.

    An oracle that is called with as many rows and the same seed draws the same numbers, wherever it is. Slopes along
    at most twelve random directions, then the best of five steps; fresh numbers in the next round, so that the search
    does not climb chance.
    """
    reach, dim = problem.reach, problem.dim
    directions = min(dim, 12)
    step = reach * 10 ** rng.uniform(-1.5, -0.5, (len(x), 1))
    for _ in range(int(np.clip(2_000_000 // (len(x) * draws * dim * (directions + 5)), 0, 16))):
        seed = int(rng.integers(2**63))

        def common(y: Array, seed: int = seed) -> Array:
            return _scores(problem, score, y, draws, np.random.default_rng(seed))

        now = common(x)
        axes = np.linalg.qr(rng.standard_normal((dim, directions)))[0].T
        ahead = np.stack([common(problem.confined(x + 0.1 * step * v)) for v in axes], axis=1)
        along = unit(np.nan_to_num(ahead - now[:, None], posinf=0.0, neginf=0.0) @ axes)
        factors = np.array([0.0, 0.25, 0.5, 1.0, 2.0, 4.0])
        tried = np.stack([x, *(problem.confined(x + factor * step * along) for factor in factors[1:])])
        pick = np.stack([now, *(common(y) for y in tried[1:])]).argmax(axis=0)
        x = tried[pick, np.arange(len(x))]
        step *= np.maximum(factors[pick], 0.25)[:, None]
        # What has come to rest starts again at another scale.
        tired = step[:, 0] < 1e-3 * reach
        step[tired] = reach * 10 ** rng.uniform(-1.5, -0.5, (int(tired.sum()), 1))
    return x


def _half_squares(errors: Array) -> Array:
    """‖n - n'‖²/2 of pairs of draws: independent, with mean E‖n‖², where squares about a common mean are not."""
    pairs = errors[: len(errors) // 2 * 2].reshape(-1, 2, errors.shape[1])
    return ((pairs[:, 0] - pairs[:, 1]) ** 2).sum(axis=1) / 2


Numbers = Callable[[Array], Array]
"""Of oracle errors (draws, dim): independent numbers with the mean that is judged."""

Judged = tuple[Numbers, float, float]
"""Of these numbers, the mean that is allowed, and what rounding may add to it."""


def _look_twice(
    problem: View, rng: np.random.Generator, x: Array, numbers: Numbers, count: int, allowed: float, slack: float,
    error_rate: float,
) -> Moment:  # fmt: skip
    """The moment over ``count`` draws at x; if it exceeds what is allowed, over four times as many fresh ones.

    An honest one exceeds with probability error_rate² at most. The second factor holds at x however x was found: the
    second sample knows nothing of the first.
    """
    chunk = 12 * ROWS
    for draws in (count, 4 * count):
        counts = [min(chunk, draws - at) for at in range(0, draws, chunk)]
        values = np.concatenate([numbers(oracle_errors(problem, x[None], part, rng)[0]) for part in counts])
        # Third powers of tiny numbers are none.
        size = float(np.abs(values).max()) or 1.0
        low, high = (size * end for end in mean_interval(values / size, error_rate))
        found = Moment(x, float(values.mean()), low, high, draws, allowed, low > allowed * (1 + 1e-9) + slack)
        if not found.exceeds:
            break
    return found


def _worst(
    problem: View, rng: np.random.Generator, score: Score, judged: Callable[[Array, Array], Judged], *,
    error_rate: float, points: int, finalists: int, budget: int,
) -> Moment:  # fmt: skip
    """The worst of the places with the highest scores, each judged with fresh draws.

    ``judged`` is asked of a place and a pilot sample there. As many draws are taken as make the standard error a
    sixtieth of what is allowed, or an eighth of what the pilot found beyond it, if the budget of random numbers allows
    them.
    """
    found = []
    most = max(4000, budget // (2 * finalists * problem.dim))
    for x in _evolve(problem, rng, score, points)[:finalists]:
        pilot = oracle_errors(problem, x[None], min(20_000, most), rng)[0]
        numbers, allowed, slack = judged(x, pilot)
        values, limit = numbers(pilot), max(allowed, slack)
        gap, each = float(values.mean()) - limit, len(pilot) // len(values)
        error = np.clip(gap / 8, limit / 240, (limit + gap) / 60) if gap > 0 else limit / 60
        count = each * int(np.clip((values.std() / error) ** 2, 1000, most // each))
        found.append(_look_twice(problem, rng, x, numbers, count, allowed, slack, error_rate / finalists))
    return max(found, key=lambda m: (m.exceeds, m.low - m.allowed))


def noise_variance(
    problem: Problem | View, rng: np.random.Generator, *, error_rate: float, points: int = 96, finalists: int = 3,
    budget: int = 24_000_000,
) -> Moment:  # fmt: skip
    """E‖n‖² where it is largest, with fresh draws at the places that a pilot sample picked.

    Where its lower confidence bound exceeds the declared σ², four times as many are drawn afresh, and only what exceeds
    σ² again does. An honest oracle does with probability error_rate²/finalists at most (asymptotically in the number of
    draws), and error_rate by the second sample alone.

    >>> from convergence import problems
    >>> m = noise_variance(problems.get("quadratic", noise=0.5), np.random.default_rng(0), error_rate=1e-3)
    >>> m.low < 0.5 < m.high, m.exceeds
    (True, False)
    """
    problem = View.of(problem)

    def variance(x: Array, errors: Array) -> Array:
        return errors.var(axis=1, ddof=1).sum(axis=-1)

    def judged(x: Array, pilot: Array) -> Judged:
        return _half_squares, problem.noise, 1e-20 * (1 + float((problem.gradient(x[None]) ** 2).sum()))

    return _worst(
        problem, rng, variance, judged, error_rate=error_rate, points=points, finalists=finalists, budget=budget
    )


def bias_excess(
    problem: Problem | View, rng: np.random.Generator, *, error_rate: float, points: int = 96, finalists: int = 3,
    budget: int = 8_000_000,
) -> Moment:  # fmt: skip
    """‖b‖ where it exceeds the declared √(m‖∇f‖² + ζ²) most: a lower bound by projection on a pilot's direction.

    The mean of (g - ∇f)·u over fresh draws is b·u ≤ ‖b‖ for any unit u. A second look as in :func:`noise_variance`,
    with the same u, at the same rates.

    >>> from convergence import problems
    >>> f = problems.get("quadratic_cosine", noise=0.1, bias=0.25)
    >>> m = bias_excess(f, np.random.default_rng(0), error_rate=1e-3)
    >>> m.low < 0.5 < m.high, m.exceeds
    (True, False)
    """
    problem = View.of(problem)

    def allowed(x: Array) -> Array:
        return np.sqrt(problem.bias + problem.relative_bias * (problem.gradient(x) ** 2).sum(axis=-1))

    def excess(x: Array, errors: Array) -> Array:
        # The squared mean less its expected noise, so that noisy places do not win for being noisy.
        square = (errors.mean(axis=1) ** 2).sum(axis=-1) - errors.var(axis=1, ddof=1).sum(axis=-1) / errors.shape[1]
        return np.sqrt(np.maximum(square, 0.0)) - allowed(x)

    def judged(x: Array, pilot: Array) -> Judged:
        mean = pilot.mean(axis=0)
        direction = mean / (np.linalg.norm(mean) or 1.0)
        slack = 1e-9 * (1 + float(np.linalg.norm(problem.gradient(x[None]))))
        return lambda errors: errors @ direction, float(allowed(x[None])[0]), slack

    return _worst(
        problem, rng, excess, judged, error_rate=error_rate, points=points, finalists=finalists, budget=budget
    )
