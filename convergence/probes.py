"""Searches for evidence against a problem's declared constants.

Each search returns the worst it found with the place, its witness. Finding nothing proves nothing; what is found is a
lower bound of the true constant, up to rounding (curvature) or to a stated error rate (noise, bias).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from convergence.estimators import mean_interval
from convergence.problems.base import Problem

__all__ = [
    "GradientError", "Moment", "Witness", "bias_excess", "gradient_error", "largest_curvature", "least_value",
    "noise_variance", "search_points",
]  # fmt: skip

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Witness:
    """A number and the point at which it was found; for a curvature with the direction."""

    value: float
    point: Array
    direction: Array | None = None


def _confine(problem: Problem, x: Array) -> Array:
    box = getattr(problem, "box", None)
    return x if box is None else np.clip(x, box[0], box[1])


def _start(problem: Problem) -> Array:
    start = getattr(problem, "start", None)
    return np.ones(problem.dim) if start is None else np.asarray(start, dtype=np.float64)


def search_points(problem: Problem, rng: np.random.Generator, count: int) -> Array:
    """Where to look: along SGD from the start, around it at all scales, and around the origin (in the problem's box).

    >>> from convergence import problems
    >>> search_points(problems.get("quadratic"), np.random.default_rng(0), 30).shape
    (30, 2)
    """
    start, third = _start(problem), -(-count // 3)
    path = np.tile(start, (third, 1))
    stops = rng.geometric(0.01, third)
    with np.errstate(all="ignore"):
        # Each row of the path stops at its own time.
        for t in range(min(int(stops.max()), 500)):
            moved = path - problem.sample_gradient(path, rng) / problem.smoothness
            path = np.where((stops > t)[:, None] & np.isfinite(moved), moved, path)
    scale = 10 ** rng.uniform(-2, 1, (2 * third, 1)) * max(1.0, float(np.abs(start).max()))
    cloud = scale * rng.standard_normal((2 * third, problem.dim))
    cloud[:third] += start
    if (box := getattr(problem, "box", None)) is not None:
        cloud = np.vstack([rng.uniform(box[0], box[1], (third, problem.dim)), cloud[:third]])
    return _confine(problem, np.vstack([path, cloud]))[np.linspace(0, 3 * third - 1, count).astype(int)]


def _differences(problem: Problem, x: Array, v: Array) -> tuple[Array, Array]:
    """(∇f(x + εv) - ∇f(x - εv))/2ε for unit v, and what rounding may add to its norm."""
    step = 1e-4 * np.maximum(1.0, np.linalg.norm(x, axis=1, keepdims=True) / np.sqrt(x.shape[1]))
    ahead, behind = _confine(problem, x + step * v), _confine(problem, x - step * v)
    length = np.linalg.norm(ahead - behind, axis=1, keepdims=True)
    length[length == 0] = np.inf
    first, second = problem.gradient(ahead), problem.gradient(behind)
    size = np.linalg.norm(first, axis=1) + np.linalg.norm(second, axis=1) + np.linalg.norm(x, axis=1)
    return (first - second) / length, 1e-14 * size / length[:, 0]


def largest_curvature(problem: Problem, rng: np.random.Generator, *, points: int = 192, rounds: int = 16) -> Witness:
    """The largest ‖∇f(x) - ∇f(y)‖/‖x - y‖ found over close pairs, less what rounding may add: a lower bound of Λ.

    Power iterations with gradient differences find the direction, an evolution of the best points the place.

    >>> from convergence import problems
    >>> found = largest_curvature(problems.get("quadratic_cosine", dim=3), np.random.default_rng(0))
    >>> 0.99 < found.value <= 1 + 1e-9
    True
    """
    # The first turn looks at ten times as many points, for places that are curved and narrow.
    x = search_points(problem, rng, max(points, min(10 * points, 400_000 // problem.dim)))
    v = rng.standard_normal(x.shape)
    reach = max(1.0, float(np.abs(_start(problem)).max()))
    best = Witness(0.0, x[0])
    with np.errstate(all="ignore"):
        for turn in range(rounds):
            along, rounding = v, np.zeros(len(x))
            for _ in range(12 if turn == 1 else 4):
                v /= np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-300)
                along = v
                v, rounding = _differences(problem, x, v)
                v = np.where(np.isfinite(v), v, 0.0)
                v[~v.any(axis=1)] = rng.standard_normal(problem.dim)
            quotient = np.linalg.norm(v, axis=1) - rounding
            quotient[~np.isfinite(quotient)] = 0.0
            order = np.argsort(-quotient)
            if quotient[order[0]] > best.value:
                best = Witness(float(quotient[order[0]]), x[order[0]].copy(), along[order[0]].copy())
            elite = order[: points // 8]
            parents = rng.choice(elite, points - elite.size)
            scale = reach * 10 ** rng.uniform(-3 - turn / 8, 0.3 - turn / 8, (parents.size, 1))
            children = _confine(problem, x[parents] + scale * rng.standard_normal((parents.size, problem.dim)))
            x = np.vstack([x[elite], children])
            v = np.vstack([v[elite], v[parents] + 0.1 * quotient[parents, None] * rng.standard_normal(children.shape)])
    return best


@dataclass(frozen=True)
class GradientError:
    """The directional derivative that disagrees most: from the values of f, as declared, and what differences lose."""

    point: Array
    direction: Array
    slope: float
    declared: float
    uncertainty: float

    @property
    def excess(self) -> float:
        """The disagreement over what differences and rounding explain; above 1, the gradient is wrong."""
        return abs(self.slope - self.declared) / self.uncertainty


def gradient_error(problem: Problem, rng: np.random.Generator, *, points: int = 24) -> GradientError:
    """Compare the gradient with differences of the values, along random directions and along every axis (64 at most).

    >>> from convergence import problems
    >>> gradient_error(problems.get("pl_sine"), np.random.default_rng(0)).excess < 1
    True
    """
    x = search_points(problem, rng, points)
    axes = np.eye(problem.dim)[rng.permutation(problem.dim)[:64]]
    turned = rng.standard_normal((8, problem.dim))
    directions = np.vstack([axes, turned / np.linalg.norm(turned, axis=1, keepdims=True)])
    x, v = np.repeat(x, len(directions), axis=0), np.tile(directions, (len(x), 1))
    with np.errstate(all="ignore"):
        gradient = problem.gradient(x)
        declared = np.einsum("ij,ij->i", gradient, v)
        size = np.linalg.norm(gradient, axis=1)
        slopes, errors = [], []
        for step in (1e-1, 1e-2, 1e-3, 1e-4):

            def central(h: float) -> Array:
                return (problem.value(x + h * v) - problem.value(x - h * v)) / (2 * h)

            fine, coarse = central(step / 2), central(step)
            slopes.append((4 * fine - coarse) / 3)
            errors.append(np.abs(fine - coarse) + 4e-16 * np.abs(problem.value(x)) / step)
        slopes, errors = np.array(slopes), np.array(errors)
        errors[~np.isfinite(errors)] = np.inf
        pick = errors.argmin(axis=0), np.arange(len(x))
        slope, uncertainty = slopes[pick], 10 * errors[pick] + 1e-8 * size + 1e-12
        excess = np.abs(slope - declared) / uncertainty
        # A gradient that is not finite where the values are is wrong too.
        excess = np.where(np.isfinite(slope) & ~np.isfinite(declared), np.inf, np.nan_to_num(excess))
    worst = int(excess.argmax())
    return GradientError(x[worst], v[worst], float(slope[worst]), float(declared[worst]), float(uncertainty[worst]))


def least_value(problem: Problem, rng: np.random.Generator, *, points: int = 192, descents: int = 12) -> Witness:
    """The least value found, by descents from the lowest of the search points.

    >>> from convergence import problems
    >>> f = problems.get("double_well", dim=2)
    >>> abs(least_value(f, np.random.default_rng(0)).value - f.minimum) < 1e-9
    True
    """
    x = search_points(problem, rng, points)
    box = getattr(problem, "box", None)
    bounds = None if box is None else list(zip(box[0], box[1], strict=True))
    with np.errstate(all="ignore"):
        values = np.where(np.isfinite(found := problem.value(x)), found, np.inf)
        order = np.argsort(values)
        best = Witness(float(values[order[0]]), x[order[0]])
        half = descents // 2
        for at in np.r_[order[:half], rng.choice(order[half:], descents - half, replace=False)]:

            def both(z: Array) -> tuple[float, Array]:
                return float(problem.value(z[None])[0]), problem.gradient(z[None])[0]

            end = optimize.minimize(both, x[at], jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
            if np.isfinite(end.fun) and end.fun < best.value:
                best = Witness(float(end.fun), np.asarray(end.x))
    return best


@dataclass(frozen=True)
class Moment:
    """A moment of the oracle at a point: the estimate, and its lower and upper confidence bound."""

    point: Array
    estimate: float
    low: float
    high: float
    draws: int
    allowed: float


def _draws(problem: Problem, x: Array, count: int, rng: np.random.Generator) -> Array:
    """Oracle errors g - ∇f, shape (points, count, dim)."""
    rows = np.repeat(x, count, axis=0)
    return (problem.sample_gradient(rows, rng) - problem.gradient(rows)).reshape(len(x), count, -1)


def _evolve(
    problem: Problem, rng: np.random.Generator, score: Callable[[Array, Array], Array], points: int, rounds: int = 4
) -> Array:
    """The points with the highest scores, by pilot samples, best first."""
    x = search_points(problem, rng, points)
    reach = max(1.0, float(np.abs(_start(problem)).max()))
    count = max(8, min(64, 200_000 // (points * problem.dim)))
    for turn in range(rounds):
        with np.errstate(all="ignore"):
            errors = _draws(problem, x, count, rng)
            scores = score(x, errors)
        order = np.argsort(-np.where(np.isfinite(scores), scores, -np.inf))
        x = x[order]
        if turn < rounds - 1:
            kept = points // 4
            parents = rng.integers(0, kept, points - kept)
            scale = reach * 10 ** rng.uniform(-2, 0.3, (parents.size, 1))
            x = np.vstack(
                [x[:kept], _confine(problem, x[parents] + scale * rng.standard_normal((parents.size, problem.dim)))]
            )
    return x


def noise_variance(
    problem: Problem, rng: np.random.Generator, *, error_rate: float, points: int = 96, finalists: int = 3,
    budget: int = 8_000_000,
) -> Moment:  # fmt: skip
    """E‖n‖² where it is largest, with fresh draws at the places that a pilot sample picked.

    As many draws as make the standard error a sixtieth of the estimate, if the budget of random numbers allows them.

    >>> from convergence import problems
    >>> m = noise_variance(problems.get("quadratic", noise=0.5), np.random.default_rng(0), error_rate=1e-3)
    >>> bool(abs(m.estimate - 0.5) < 1e-3)
    True
    """

    def variance(x: Array, errors: Array) -> Array:
        return errors.var(axis=1, ddof=1).sum(axis=-1)

    found = []
    for x in _evolve(problem, rng, variance, points)[:finalists]:
        most = max(2000, budget // (2 * finalists * problem.dim))
        pilot = (_draws(problem, x[None], min(20_000, most), rng)[0] ** 2).sum(axis=1)
        count = int(np.clip((60 * pilot.std() / (pilot.mean() or 1.0)) ** 2, 2000, most))
        errors = _draws(problem, x[None], count, rng)[0]
        squares = ((errors - errors.mean(axis=0)) ** 2).sum(axis=1) * count / (count - 1)
        low, high = mean_interval(squares, error_rate / finalists)
        found.append(Moment(x, float(squares.mean()), low, high, count, problem.noise))
    return max(found, key=lambda m: m.low)


def bias_excess(
    problem: Problem, rng: np.random.Generator, *, error_rate: float, points: int = 96, finalists: int = 3,
    budget: int = 8_000_000,
) -> Moment:  # fmt: skip
    """‖b‖ where it exceeds the declared √(m‖∇f‖² + ζ²) most: a lower bound by projection on a pilot's direction.

    The mean of (g - ∇f)·u over fresh draws is b·u ≤ ‖b‖ for any unit u. Draws are added until their standard error is
    a sixtieth of what is declared, or the budget of random numbers is spent.

    >>> from convergence import problems
    >>> f = problems.get("quadratic_cosine", noise=0.1, bias=0.25)
    >>> m = bias_excess(f, np.random.default_rng(0), error_rate=1e-3)
    >>> m.low < 0.5 < m.high
    True
    """
    m = getattr(problem, "relative_bias", 0.0)

    def allowed(x: Array) -> Array:
        return np.sqrt(problem.bias + m * (problem.gradient(x) ** 2).sum(axis=-1))

    def excess(x: Array, errors: Array) -> Array:
        # The squared mean less its expected noise, so that noisy places do not win for being noisy.
        square = (errors.mean(axis=1) ** 2).sum(axis=-1) - errors.var(axis=1, ddof=1).sum(axis=-1) / errors.shape[1]
        return np.sqrt(np.maximum(square, 0.0)) - allowed(x)

    found = []
    most = max(4000, budget // (2 * finalists * problem.dim))
    for x in _evolve(problem, rng, excess, points)[:finalists]:
        limit = float(allowed(x[None])[0])
        pilot = _draws(problem, x[None], min(20_000, most), rng)[0]
        mean = pilot.mean(axis=0)
        direction = mean / (np.linalg.norm(mean) or 1.0)
        spread = float((pilot @ direction).std())
        count = int(np.clip((60 * spread / limit) ** 2 if limit else most, 2000, most))
        parts = [
            _draws(problem, x[None], min(50_000, count - at), rng)[0] @ direction for at in range(0, count, 50_000)
        ]
        along = np.concatenate(parts)
        low, high = mean_interval(along, error_rate / finalists)
        found.append(Moment(x, float(along.mean()), low, high, count, limit))
    return max(found, key=lambda moment: moment.low - moment.allowed)
