"""Searches for evidence against a problem's declared constants.

Each search returns the worst it found with the place, its witness. Finding nothing proves nothing; what is found is a
lower bound of the true constant, up to rounding. :mod:`convergence.moments` does the same for noise and bias.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import scipy  # its parts load when they are first used
from numpy.typing import ArrayLike, NDArray

from convergence.problems.protocol import Problem, start_of, start_size

__all__ = [
    "GradientError", "View", "Witness", "gradient_error", "largest_curvature", "least_value",
    "search_points", "views",
]  # fmt: skip

Array = NDArray[np.float64]

ROWS = 4096
"""Points that an oracle is asked for at a time: what a user's function holds in memory may be large."""


@dataclass(frozen=True)
class Witness:
    """A number and the point at which it was found; for a curvature with the direction."""

    value: float
    point: Array
    direction: Array | None = None


def _power(number: float) -> float:
    """The power of two below a positive number."""
    return float(2.0 ** np.floor(np.log2(number)))


def _reach(start: Array, box: tuple[ArrayLike, ArrayLike] | None) -> float:
    """The unit of length of the searches: the size of the start, but no more than half of the box."""
    size = start_size(start)
    return size if box is None else min(size, float(np.max(np.subtract(box[1], box[0]))) / 2)


Found = TypeVar("Found")


class View:
    """A problem as the searches see it: from ``centre`` in units of length s, with what they need to know of it.

    With x = c + s·y and f̃(y) = f(x)/(λs²) the smoothness is Λ/λ and the unit of length s; gradients are f's times
    1/(λs), noise and bias times 1/(λs)². Both s and λ are powers of two, so that scaling rounds nothing. Of a box it
    shows no more than ``region`` units around the start. By default it shows the problem as it is.
    """

    def __init__(
        self, problem: Any, centre: Array | float = 0.0, unit: float = 1.0, curvature: float = 1.0,
        region: float = np.inf,
    ) -> None:  # fmt: skip
        self.problem, self.dim, self._centre, self._unit = problem, problem.dim, centre, unit
        # Gradients are divided by this, values by it times the unit, curvatures by it over the unit.
        slope = self._slope = curvature * unit
        self.smoothness, self.minimum = problem.smoothness / curvature, problem.minimum / slope / unit
        self.noise, self.bias = (getattr(problem, name) / slope / slope for name in ("noise", "bias"))
        self.relative_bias = getattr(problem, "relative_bias", 0.0)
        self.start, self.far = (start_of(problem) - centre) / unit, getattr(problem, "far", np.inf) / unit
        self.box = None
        if (box := getattr(problem, "box", None)) is not None:
            low, high = ((edge - centre) / unit for edge in box)
            self.box = np.maximum(low, self.start - region), np.minimum(high, self.start + region)
        self.reach = _reach(self.start, self.box)
        self.rounded = float(np.linalg.norm(centre)) / unit
        """The size of what is rounded, besides y, when x is made of y."""

    @classmethod
    def of(cls, problem: Problem | View) -> View:
        """The problem as it is, unless it is a view already."""
        return problem if isinstance(problem, View) else cls(problem)

    def _x(self, y: Array) -> Array:
        x = self._centre + self._unit * y
        if self.box is not None:
            # Rounding must not carry an edge of the box outside.
            inside = (y >= self.box[0]) & (y <= self.box[1])
            x = np.where(inside, np.clip(x, *self.problem.box), x)
        return x

    def value(self, y: Array) -> Array:
        """f̃."""
        return self.problem.value(self._x(y)) / self._slope / self._unit

    def gradient(self, y: Array) -> Array:
        """∇f̃."""
        return self.problem.gradient(self._x(y)) / self._slope

    def sample_gradient(self, y: Array, rng: np.random.Generator) -> Array:
        """A draw of the oracle for ∇f̃."""
        return self.problem.sample_gradient(self._x(y), rng) / self._slope

    def confined(self, y: Array) -> Array:
        """The points, or those next to them in the box."""
        return y if self.box is None else np.clip(y, *self.box)

    def back(self, found: Found, *names: str, slopes: int = 0, units: int = 0) -> Found:
        """What a search found, in units of the problem: these numbers are so many powers of a slope and of a length."""
        unit = self._slope**slopes * self._unit**units
        told: Any = found
        return replace(told, point=self._x(told.point[None])[0], **{n: getattr(told, n) * unit for n in names})


def views(problem: Any, kind: type[View] = View) -> list[View]:
    """From the origin in units of the start's size, and from the start in units of what SGD does, where they differ.

    These are √(2Δ/Λ), the length within which a curvature of Λ explains Δ, or a step's noise or bias at η = 1/Λ if that
    is longer.
    """
    size, curvature = _reach(problem.start, problem.box), _power(problem.smoothness)
    found = [kind(problem, np.zeros(problem.dim), _power(size), curvature)]
    gap = float(problem.value(problem.start[None])[0]) - problem.minimum
    step = float(np.sqrt(max(problem.noise, problem.bias))) / problem.smoothness
    near = max(step, float(np.sqrt(max(2 * gap / problem.smoothness, 0.0))))
    if 1e-8 * float(np.abs(problem.start).max()) < near < size / 10:
        found.append(kind(problem, problem.start, _power(near), curvature, region=16.0))
    return found


def _rounded(problem: View, x: Array) -> Array:
    """The size of the numbers in which x is rounded: its own, and more where x is measured from far off."""
    return np.linalg.norm(x, axis=1) + problem.rounded


def search_points(problem: Problem | View, rng: np.random.Generator, count: int) -> Array:
    """Where to look: along SGD from the start, around it at all scales, and around the origin (in the problem's box).

    >>> from convergence import problems
    >>> search_points(problems.get("quadratic"), np.random.default_rng(0), 30).shape
    (30, 2)
    """
    problem = View.of(problem)
    start, third = problem.start, -(-count // 3)
    stops = np.minimum(rng.geometric(0.01, third), 500)
    path, walker = np.tile(start, (third, 1)), np.tile(start, (min(third, 128), 1))
    with np.errstate(all="ignore"):
        # Many points from few paths: each is taken at a time of its own.
        for t in range(1, int(stops.max()) + 1):
            moved = walker - problem.sample_gradient(walker, rng) / problem.smoothness
            # Where steps diverge, as with Λ far too small, numbers soon have no digits left to judge anything by.
            walker = np.where(np.abs(moved) <= 1e3 * problem.reach, moved, walker)
            (rows,) = np.nonzero(stops == t)
            path[rows] = walker[rows % len(walker)]
    scale = problem.reach * 10 ** rng.uniform(-2, 1, (2 * third, 1))
    cloud = scale * rng.standard_normal((2 * third, problem.dim))
    cloud[:third] += start
    if (box := problem.box) is not None:
        cloud = np.vstack([rng.uniform(box[0], box[1], (third, problem.dim)), cloud[:third]])
    return problem.confined(np.vstack([path, cloud]))[np.linspace(0, 3 * third - 1, count).astype(int)]


def scan_points(problem: View, rng: np.random.Generator, count: int) -> Array:
    """Search points, and as many again spread evenly over cubes up to five times the start's size."""
    spread = count // 2
    if (box := problem.box) is not None:
        even = rng.uniform(box[0], box[1], (spread, problem.dim))
    else:
        half = problem.reach * rng.choice([1.0, 2.0, 3.0, 5.0], (spread, 1))
        even = half * rng.uniform(-1, 1, (spread, problem.dim))
    return np.vstack([search_points(problem, rng, count - spread), even])


def _gradients(problem: View, x: Array) -> Array:
    """∇f, `ROWS` points at a time."""
    return np.concatenate([problem.gradient(x[at : at + ROWS]) for at in range(0, len(x), ROWS)])


def _some(v: Array) -> NDArray[np.bool_]:
    """Which rows are not zero, as a column."""
    return np.linalg.norm(v, axis=1)[:, None] > 0


def unit(v: Array) -> Array:
    """The rows over their lengths."""
    return v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-300)


@dataclass
class _Lines:
    """Points x with unit directions v, and what three gradients at x - hv, x, x + hv say.

    ``bend`` is (∇f(x + hv) - ∇f(x - hv))/2h, about ∇²f v; ``turn`` the second difference, about the gradient of vᵀ∇²fv.
    ``quotient`` and ``third`` are their norms, less what rounding may add.
    """

    x: Array
    v: Array
    h: Array
    bend: Array
    turn: Array
    quotient: Array
    third: Array

    def __getitem__(self, rows: NDArray[Any]) -> _Lines:
        return _Lines(*(getattr(self, name)[rows] for name in _FIELDS))

    def replace(self, better: NDArray[np.bool_], other: _Lines) -> None:
        for name in _FIELDS:
            getattr(self, name)[better] = getattr(other, name)[better]


_FIELDS = ("x", "v", "h", "bend", "turn", "quotient", "third")


def _lines(problem: View, x: Array, v: Array, h: Array) -> _Lines:
    """Evaluate; in a box x is moved so that the whole line is inside."""
    v, h = unit(v), np.broadcast_to(h, len(x)).copy()
    if (box := problem.box) is not None:
        h = np.minimum(h, 0.05 * float(np.min(box[1] - box[0])))
        arm = h[:, None] * np.abs(v)
        x = np.clip(x, box[0] + arm, box[1] - arm)
    arm = h[:, None] * v
    behind, middle, ahead = (_gradients(problem, part) for part in (x - arm, x, x + arm))
    bend, turn = (ahead - behind) / (2 * h[:, None]), (ahead - 2 * middle + behind) / h[:, None] ** 2
    size = np.linalg.norm(behind, axis=1) + np.linalg.norm(ahead, axis=1) + _rounded(problem, x)
    quotient = np.linalg.norm(bend, axis=1) - 1e-14 * size / (2 * h)
    third = np.linalg.norm(turn, axis=1) - 1e-14 * size / h**2
    finite = np.isfinite(quotient) & np.isfinite(third)
    bend[~finite], turn[~finite] = 0.0, 0.0
    return _Lines(x, v, h, bend, turn, np.where(finite, quotient, 0.0), np.where(finite, np.maximum(third, 0.0), 0.0))


def winners(score: Array, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The best of each of ``count`` random groups: good places, and not all the same."""
    shuffled = rng.permutation(len(score))
    return np.array([group[score[group].argmax()] for group in np.array_split(shuffled, count)])


def _uphill(problem: View, rng: np.random.Generator, seeds: _Lines, rounds: int, fine: float) -> _Lines:
    """Climb the curvature: v turns as in power iteration, x follows the gradient of vᵀ∇²fv or now and then chance."""
    reach = problem.reach
    step = seeds.h.copy()
    now = _lines(problem, seeds.x, seeds.v, np.full(len(step), fine))
    for _ in range(4):
        now = _lines(problem, now.x, np.where(_some(now.bend), now.bend, now.v), now.h)
    for _ in range(rounds):
        sign = np.sign((now.bend * now.v).sum(axis=1, keepdims=True))
        jump = unit(rng.standard_normal(now.x.shape))
        by_chance = (rng.random((len(step), 1)) < 0.25) | ~_some(now.turn)
        along = np.where(by_chance, jump, sign * unit(now.turn))
        turned = np.where(_some(now.bend), now.bend, jump)
        tried = _lines(problem, problem.confined(now.x + step[:, None] * along), turned, now.h)
        better = tried.quotient > now.quotient
        now.replace(better, tried)
        step *= np.where(better, 1.6, 0.5)
        tired = step < 1e-5 * reach
        step[tired] = reach * 10 ** rng.uniform(-3, 0, int(tired.sum()))
    now.h = step
    return now


def largest_curvature(problem: Problem | View, rng: np.random.Generator, *, budget: int | None = None) -> Witness:
    """The largest ‖∇f(x) - ∇f(y)‖/‖x - y‖ found over close pairs, less what rounding may add: a lower bound of Λ.

    Lines of three gradients at all scales, spread over the search region, pick places of large curvature and places of
    large third derivative. From both the curvature is climbed, the best on ever finer lines: power iteration for the
    direction, the gradient of vᵀ∇²fv for the place.

    Parameters
    ----------
    problem : Problem
        With ``box``, only pairs inside it count.
    rng : Generator
        Of the search.
    budget : int, optional
        About how many gradients (of one point each) may be taken; by default 4·10⁶/dim, between 2·10⁴ and 6·10⁵.

    Returns
    -------
    Witness

    Notes
    -----
    What it cannot see: N lines (a seventh of the budget) fall into a place of volume V in a region of volume A with
    probability 1 - (1 - V/A)ᴺ, about NV/A where that is small. A bump of width w in d dimensions is felt within some
    r = 2w of it, V = π^(d/2) rᵈ/Γ(d/2 + 1), or within r = 6w on a background that is nearly quadratic.

    Examples
    --------
    >>> from convergence import problems
    >>> found = largest_curvature(problems.get("quadratic_cosine", dim=3), np.random.default_rng(0))
    >>> 0.99 < found.value <= 1 + 1e-9
    True
    """
    problem = View.of(problem)
    dim, reach = problem.dim, problem.reach
    budget = int(np.clip(4_000_000 // dim, 20_000, 600_000)) if budget is None else budget
    with np.errstate(all="ignore"):
        x = scan_points(problem, rng, max(64, budget // 7))
        h = reach * 10 ** rng.uniform(-3, -0.5, len(x))
        scan = _lines(problem, x, rng.standard_normal(x.shape), h)
        count = int(np.clip(budget // 4000, 8, 150))
        # The best of all, and of groups. A narrow bump is felt by the third derivative far out in its tail: beside it a
        # smooth background has small ones.
        places = [
            np.r_[winners(score, count, rng), np.argsort(-score)[:count]] for score in (scan.quotient, scan.third)
        ]
        now = scan[np.concatenate(places)]
        best = Witness(0.0, now.x[0])
        # Waves shorter than the coarser lines are seen by the finer ones, which lose more to rounding.
        for rounds, fineness in ((24, 1e-3), (24, 1e-3), (48, 1e-4), (96, 1e-6)):
            now = _uphill(problem, rng, now, rounds, fineness * reach)
            now = now[np.argsort(-now.quotient)[: max(8, len(now.x) // 2)]]
            if now.quotient[0] > best.value:
                best = Witness(float(now.quotient[0]), now.x[0].copy(), now.v[0].copy())
        return best


@dataclass(frozen=True)
class GradientError:
    """The directional derivative that disagrees most: from the values of f, and as declared."""

    point: Array
    direction: Array
    slope: float
    declared: float
    excess: float
    """The disagreement over what differences, rounding and the declared Λ explain; above 1, the gradient is wrong."""


def gradient_error(problem: Problem | View, rng: np.random.Generator) -> GradientError:
    """Compare the gradient with differences of the values.

    Along one random direction at many points, and at a few, those that are worst among them, along every axis (64 at
    most) and more directions.

    >>> from convergence import problems
    >>> gradient_error(problems.get("pl_sine"), np.random.default_rng(0)).excess < 1
    True
    """
    problem = View.of(problem)
    # In many dimensions the arrays are large.
    share = min(1.0, 2000 / problem.dim)
    points, scanned = max(4, int(24 * share)), max(200, int(2000 * share))
    wide = scan_points(problem, rng, scanned)
    # Where terms cancel, as those of 1 - cos(x) do near 0, the values' errors are as elsewhere.
    values = np.abs(problem.value(wide))
    usual = float(np.median(values[np.isfinite(values)])) if np.isfinite(values).any() else 0.0
    random = unit(rng.standard_normal(wide.shape))
    coarseness = _coarseness(problem, wide, random, usual)
    excess = _disagreement(problem, wide, random, usual, coarseness)[0]
    x = np.vstack([search_points(problem, rng, points), wide[np.argsort(-excess)[:points]]])
    directions = np.vstack(
        [_axes(problem.dim, rng.permutation(problem.dim)[:64]), unit(rng.standard_normal((8, problem.dim)))]
    )
    x, v = np.repeat(x, len(directions), axis=0), np.tile(directions, (len(x), 1))
    excess, slope, declared = _disagreement(problem, x, v, usual, coarseness)
    worst = int(excess.argmax())
    return GradientError(x[worst], v[worst], *(float(part[worst]) for part in (slope, declared, excess)))


def _axes(dim: int, chosen: NDArray[np.int64]) -> Array:
    """These rows of the identity."""
    return (np.arange(dim) == chosen[:, None]).astype(np.float64)


def _rounding(problem: View, x: Array, usual: float) -> Array:
    """What rounding adds to a difference of values: their own errors and those of the points."""
    size = np.linalg.norm(problem.gradient(x), axis=1)
    return 4e-16 * (np.maximum(np.abs(problem.value(x)), usual) + _rounded(problem, x) * size) + 1e-300


def _coarseness(problem: View, x: Array, v: Array, usual: float) -> float:
    """By what factor values are less exact than their size lets expect, at least 1: as R²(√(1 + x²/R²) - 1) is.

    Sixth differences of the values at the steps at which rounding and curvature lose least: a smooth function has none
    there. The largest at any point counts, as values that keep still over many steps and then jump show it at few.
    """
    with np.errstate(all="ignore"):
        rounding = _rounding(problem, x, usual)
        factor = 1.0
        for more in (1.0, 10.0):
            h = more * np.sqrt(rounding / problem.smoothness)[:, None] * v
            sixth = sum(
                c * problem.value(x + k * h) for k, c in zip(range(-3, 4), (1, -6, 15, -20, 15, -6, 1), strict=True)
            )
            ratio = np.abs(sixth) / (np.sqrt(924) * rounding)
            factor = max(factor, float(ratio[np.isfinite(ratio)].max(initial=0.0)))
    return factor


def _disagreement(problem: View, x: Array, v: Array, usual: float, coarseness: float) -> tuple[Array, Array, Array]:
    """|slope - declared| over its uncertainty, and these two, at each point along each direction.

    The slope is extrapolated from two central differences, at steps of fixed sizes and of the size at which rounding
    and curvature lose least. Waves shorter than all steps may deceive it. So the disagreement must also be more than
    a gradient with the declared Λ allows: a central difference at step h is a mean of the slopes within h, which is at
    most Λh/2 away (four times this is allowed, so that a Λ that is too small is not blamed on the gradient).
    ``usual`` is the size of which values' rounding errors are at least, ``coarseness`` a factor of them.
    """
    box = problem.box
    if box is not None:
        # Inside, so that there is room on both sides.
        margin = 1e-3 * (np.asarray(box[1]) - box[0])
        x = np.clip(x, box[0] + margin, box[1] - margin)
    with np.errstate(all="ignore"):
        gradient = problem.gradient(x)
        declared = np.einsum("ij,ij->i", gradient, v)
        size = np.linalg.norm(gradient, axis=1)
        rounding = coarseness * _rounding(problem, x, usual)
        best = np.sqrt(rounding / problem.smoothness)

        def central(h: Array) -> Array:
            ahead, behind = x + h[:, None] * v, x - h[:, None] * v
            slope = (problem.value(ahead) - problem.value(behind)) / (2 * h)
            if box is not None:
                inside = ((ahead >= box[0]) & (ahead <= box[1]) & (behind >= box[0]) & (behind <= box[1])).all(axis=1)
                slope[~inside] = np.nan
            return slope

        slopes, errors, beyond = [], [], np.zeros(len(x))
        for step in (1e-1, 1e-2, 1e-3, 1e-4, *(best * 10.0**k for k in range(4))):
            step = np.broadcast_to(step, len(x))
            fine, coarse = central(step / 2), central(step)
            slopes.append((4 * fine - coarse) / 3)
            errors.append(np.abs(fine - coarse) + rounding / step)
            allowed = 2 * problem.smoothness * step + 10 * rounding / step + 1e-8 * size
            beyond = np.fmax(beyond, np.abs(coarse - declared) / allowed)
        slopes, errors = np.array(slopes), np.array(errors)
        errors[~np.isfinite(errors)] = np.inf
        # At a jump of the second derivative the errors of one step may seem small by chance: the two best must agree.
        pick = np.argsort(errors, axis=0)[:2], np.arange(len(x))
        slope, uncertainty = slopes[pick], 10 * errors[pick] + 1e-8 * size + 1e-12
        excess = np.abs(slope - declared) / uncertainty
        excess = np.minimum(np.nan_to_num(excess), beyond)
        # A gradient that is not finite where the values are is wrong too.
        excess = np.where(np.isfinite(slope) & ~np.isfinite(declared), np.inf, excess)
        least = excess.argmin(axis=0), np.arange(len(x))
    return excess[least], slope[least], declared


def least_value(problem: Problem | View, rng: np.random.Generator, *, points: int = 192, descents: int = 12) -> Witness:
    """The least value found, by descents from the lowest of the search points.

    >>> from convergence import problems
    >>> f = problems.get("double_well", dim=2)
    >>> abs(least_value(f, np.random.default_rng(0)).value - f.minimum) < 1e-9
    True
    """
    problem = View.of(problem)
    x = search_points(problem, rng, points)
    box = problem.box
    bounds = None if box is None else scipy.optimize.Bounds(*box)
    with np.errstate(all="ignore"):
        values = np.where(np.isfinite(found := problem.value(x)), found, np.inf)
        order = np.argsort(values)
        best = Witness(float(values[order[0]]), x[order[0]])
        half = descents // 2
        for at in np.r_[order[:half], rng.choice(order[half:], descents - half, replace=False)]:

            def both(z: Array) -> tuple[float, Array]:
                return float(problem.value(z[None])[0]), problem.gradient(z[None])[0]

            end = scipy.optimize.minimize(
                both, x[at], jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500}
            )
            if np.isfinite(end.fun) and end.fun < best.value:
                best = Witness(float(end.fun), np.asarray(end.x))
    return best
