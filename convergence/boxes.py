"""Constants of mutual learning that hold on a box of weights: interval arithmetic, rounded outwards.

The constants of students with two layers hold for all weights, those of the worst. A run sees few weights: on boxes
that contain it, the curvature of the losses and the Jacobians of the logits are much smaller, and all that
:func:`convergence.cohort_bound` asks of a loss it asks between consecutive iterates.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.arguments import instance, real, whole
from convergence.problems.mutual_learning import MutualLearning

__all__ = ["BoxConstants", "box_constants", "path_constants"]

Array = NDArray[np.float64]

_EPS = float(np.finfo(float).eps)
_TINY = 1e-300
_ULPS = 8
"""What NumPy's tanh and exp may be off, in units in the last place; a test compares them with python-flint's."""


@dataclass(frozen=True)
class Ball:
    """Arrays of intervals, as midpoints and radii: every operation adds what its rounding may have lost.

    >>> third = Ball(np.array(1.0), np.array(0.0)) * Ball(np.array(1 / 3), np.array(_EPS))
    >>> bool(third.low < 1 / 3 < third.high)
    True
    """

    mid: Array
    rad: Array

    @staticmethod
    def between(low: Array, high: Array) -> Ball:
        """The intervals with these ends."""
        mid = low / 2 + high / 2
        return _widened(mid, np.maximum(high - mid, mid - low), np.abs(low) + np.abs(high))

    @property
    def low(self) -> Array:
        """Lower ends."""
        return np.nextafter(self.mid - self.rad, -np.inf)

    @property
    def high(self) -> Array:
        """Upper ends."""
        return np.nextafter(self.mid + self.rad, np.inf)

    def shaped(self, *shape: int) -> Ball:
        """The same intervals in another shape."""
        return Ball(self.mid.reshape(shape), self.rad.reshape(shape))

    def swapped(self) -> Ball:
        """With its second and third axis swapped."""
        return Ball(self.mid.swapaxes(1, 2), self.rad.swapaxes(1, 2))

    def __getitem__(self, where: Any) -> Ball:
        return Ball(self.mid[where], self.rad[where])

    def __neg__(self) -> Ball:
        return Ball(-self.mid, self.rad)

    def __add__(self, other: Ball) -> Ball:
        mid = self.mid + other.mid
        return _widened(mid, self.rad + other.rad, np.abs(mid))

    def __sub__(self, other: Ball) -> Ball:
        return self + -other

    def __mul__(self, other: Ball) -> Ball:
        mid = self.mid * other.mid
        rad = np.abs(self.mid) * other.rad + self.rad * (np.abs(other.mid) + other.rad)
        return _widened(mid, rad, np.abs(mid))


def _widened(mid: Array, rad: Array, size: Array, count: int = 1) -> Ball:
    """A ball whose midpoint is a sum of ``count`` rounded products, of sizes that sum up to ``size``."""
    roundings = (count + 4) * _EPS
    return Ball(mid, rad * (1 + roundings) + roundings * size + _TINY)


def _sum(subscripts: str, first: Ball, other: Ball) -> Ball:
    """``np.einsum`` of two arrays of intervals."""
    inputs, output = subscripts.split("->")
    sizes = {
        letter: size
        for letters, part in zip(inputs.split(","), (first, other), strict=True)
        for letter, size in zip(letters, part.mid.shape, strict=True)
    }
    count = int(np.prod([size for letter, size in sizes.items() if letter not in output]))

    def product(a: Array, b: Array) -> Array:
        return np.einsum(subscripts, a, b, optimize=True)

    one, two = np.abs(first.mid), np.abs(other.mid)
    rad = product(one, other.rad) + product(first.rad, two + other.rad)
    return _widened(product(first.mid, other.mid), rad * (1 + count * _EPS), product(one, two), count)


def _exact(values: Array) -> Ball:
    return Ball(values, np.zeros_like(values))


def _rounded(values: Array) -> Ball:
    """Numbers of which one rounding is to be covered."""
    return _widened(values, np.zeros_like(values), np.abs(values))


ONE = _exact(np.array(1.0))


def _tanh(a: Ball) -> Ball:
    low, high = np.tanh(a.low), np.tanh(a.high)
    ends = Ball.between(low, high)
    return Ball(ends.mid, ends.rad + _ULPS * _EPS)


def _softmax(z: Ball) -> Ball:
    """Over the last axis: each entry falls in the other logits and rises in its own."""

    def share(own: Array, others: Array) -> Array:
        weights = np.exp(others[..., None, :] - own[..., None])
        weights[..., range(own.shape[-1]), range(own.shape[-1])] = 1.0
        return 1 / weights.sum(axis=-1)

    with np.errstate(over="ignore"):
        ends = Ball.between(share(z.low, z.high), share(z.high, z.low))
    # Relative errors of exp, of its argument's rounding and of the sum; no share is above 1.
    lost = (2 * _ULPS + z.mid.shape[-1] + 4 * (1 + float(np.abs(z.high - z.low).max(initial=0.0)))) * _EPS
    return Ball(ends.mid, ends.rad + (lost + 4 * _EPS * float(np.abs(z.mid).max(initial=0.0))))


def _norm(matrix: Ball) -> float:
    """An upper bound of the spectral norms of symmetric matrices: of the midpoint's and of the radii's.

    The midpoint's, rounded up, is confirmed by two Cholesky decompositions, whose rounding a multiple of the trace
    covers (Rump 2006, doi 10.1007/s10543-006-0056-1). That of the radii, which are not negative, is at most
    max (Rv)_i/v_i for any v > 0 (Collatz 1942).
    """
    mid = (matrix.mid + matrix.mid.T) / 2
    rad = np.maximum(matrix.rad, matrix.rad.T) + _EPS * np.abs(mid)
    size, unit = len(mid), np.eye(len(mid))
    top = float(np.abs(np.linalg.eigvalsh(mid)).max()) * (1 + 1e-9) + 1e-12
    for side in (1, -1):
        less = top * unit - side * mid
        np.linalg.cholesky(less - 2 * (size + 4) * _EPS * float(np.trace(less)) * unit)
    v = np.ones(size)
    for _ in range(30):
        v = rad @ v
        v = np.maximum(v / v.max(), 1e-6)
    return top + float((rad @ v / v).max()) * (1 + (size + 4) * _EPS)


@dataclass(frozen=True, kw_only=True)
class BoxConstants:
    """What holds for all weights of a box, as :func:`convergence.cohort_bound` takes it.

    Attributes
    ----------
    smoothness, jacobian : tuple of float, one for each student
        Λ_k, a bound of the spectral norm of ∇²L_k, and G_k, with ``E JᵀJ ≼ G_k²``.
    log_ratio_range : tuple of float
        ρ_k, of the student's logits less any peer's, over all samples.
    """

    smoothness: tuple[float, ...]
    jacobian: tuple[float, ...]
    log_ratio_range: tuple[float, ...]


def path_constants(game: MutualLearning, path: ArrayLike, *, boxes: int = 6) -> BoxConstants:
    """The greatest of the constants of boxes that cover a run: :func:`box_constants` piece by piece.

    A piece is the smallest box around consecutive iterates, the last of a piece being the first of the next, so that
    each step lies in one of them. The more pieces, the smaller the constants, and the longer it takes.

    Parameters
    ----------
    game : MutualLearning
        As for :func:`box_constants`.
    path : array (T + 1, dim)
        The iterates, the start included.
    boxes : int
        How many pieces, at most T.

    Returns
    -------
    BoxConstants
        One of each for every student.

    Raises
    ------
    ValueError
        As :func:`box_constants`, or if the path is not an array of at least two iterates.

    Examples
    --------
    >>> game = MutualLearning(hidden=[4, 4])
    >>> path = game.start + np.linspace(0, 0.01, 9)[:, None]
    >>> one, four = (path_constants(game, path, boxes=count).smoothness[0] for count in (1, 4))
    >>> four < one < game.student_smoothness[0]
    True
    """
    at = real("path", path)
    if at.ndim != 2 or len(at) < 2:
        raise ValueError(f"path has shape {at.shape}: expected (T + 1, dim), two iterates at least")
    cuts = np.linspace(0, len(at) - 1, min(whole("boxes", boxes, least=1), len(at) - 1) + 1).round().astype(int)
    found = [
        box_constants(game, piece.min(axis=0), piece.max(axis=0))
        for piece in (at[a : b + 1] for a, b in pairwise(cuts))
    ]
    return BoxConstants(**{
        name: tuple(map(max, zip(*(getattr(part, name) for part in found), strict=True)))
        for name in ("smoothness", "jacobian", "log_ratio_range")
    })  # fmt: skip


@dataclass(frozen=True)
class _Student:
    """A student on a box: inputs (N, d), [h, 1], h's slopes (N, u), V, V', V'' (u+1, C) and logits (N, C)."""

    x: Ball
    h: Ball
    s: Ball
    v: Ball
    slope: Ball
    bend: Ball
    logits: Ball

    @staticmethod
    def of(game: MutualLearning, k: int, box: Ball) -> _Student:
        """Student k."""
        x, u = game.inputs[k], game.units[k]
        part, cut = box[game.cuts[k] : game.cuts[k + 1]], x.shape[1] * u
        first, w = part[:cut].shaped(x.shape[1], u), part[cut:].shaped(u + 1, game.classes)
        size, over = _exact(np.array(game.size)), _rounded(np.array(1 / game.size))
        h, t = _tanh(_sum("nd,di->ni", _exact(x), first)), _tanh(w * over)
        slope, v = ONE - t * t, size * t
        ends = [np.column_stack([e, np.full(len(x), last)]) for e, last in ((h.mid, 1.0), (h.rad, 0.0))]
        units = Ball(ends[0], ends[1])
        return _Student(
            _exact(x), units, ONE - h * h, v, slope, -(over + over) * t * slope, _sum("nj,jc->nc", units, v)
        )

    def mean(self, inner: Ball, mixed: Ball, outer: Ball) -> Ball:
        """The matrix of Σ_n x xᵀ ⊗ inner (N, u, u), Σ_n x ⊗ mixed (N, u, u+1, C) and outer (u+1, C, u+1, C), over N."""
        (n, d), u, size = self.x.mid.shape, self.s.mid.shape[1], self.v.mid.size
        pairs = (self.x[:, :, None] * self.x[:, None]).shaped(n, d * d)
        first = _sum("np,nq->pq", pairs, inner.shaped(n, u * u))
        cross = _sum("nd,nq->dq", self.x, mixed.shaped(n, u * size))

        def whole(first: Array, cross: Array, last: Array) -> Array:
            top = first.reshape(d, d, u, u).transpose(0, 2, 1, 3).reshape(d * u, d * u)
            side = cross.reshape(d * u, size)
            return np.block([[top, side], [side.T, last.reshape(size, size)]])

        parts = (first.mid, cross.mid, outer.mid), (first.rad, cross.rad, outer.rad)
        return Ball(whole(*parts[0]), whole(*parts[1])) * _rounded(np.array(1 / n))

    def curvature(self, targets: Array, weights: Array) -> Ball:
        """∇²L: Var_q(z') + e·z'' of :class:`MutualLearning`, block by block."""
        (n, u), (_, c), w = self.s.mid.shape, self.v.mid.shape, _exact(weights[:, None])
        q, own = _softmax(self.logits), self.v[:-1]
        error, unit = w * (q - _exact(targets)), _exact(np.eye(u))
        apart = own[None] - _sum("nc,ic->ni", q, own)[:, :, None]
        spread = (w * q)[:, None] * apart * self.s[:, :, None]
        inner = _sum("nic,njc->nij", spread, apart) * self.s[:, None]
        bent = -(ONE + ONE) * self.h[:, :-1] * self.s * _sum("nc,ic->ni", error, own)
        pulled = self.s[:, :, None] * error[:, None]
        mixed = spread[:, :, None] * self.h[:, None, :, None] * self.slope[None, None]
        ends = _exact(np.eye(u, u + 1)[..., None])
        mixed = mixed + (pulled[:, :, None] * self.slope[None, None]) * ends[None]
        cov = w[:, :, None] * (q[:, :, None] * _exact(np.eye(c)) - q[:, :, None] * q[:, None])
        squares = (self.h[:, :, None] * self.h[:, None]).shaped(n, (u + 1) ** 2)
        outer = _sum("np,nq->pq", squares, cov.shaped(n, c * c)).shaped(u + 1, u + 1, c, c).swapped()
        outer = outer * self.slope[:, :, None, None] * self.slope[None, None]
        last = _sum("nj,nc->jc", self.h, error) * self.bend
        both = _exact(np.eye(u + 1)[:, None, :, None] * np.eye(c)[None, :, None])
        return self.mean(inner + bent[:, :, None] * unit[None], mixed, outer + last[:, :, None, None] * both)

    def gram(self) -> Ball:
        """The mean of JᵀJ."""
        own, classes = self.v[:-1], np.eye(self.v.mid.shape[1])
        inner = self.s[:, :, None] * self.s[:, None] * _sum("ic,jc->ij", own, own)[None]
        reached = (self.s[:, :, None] * self.h[:, None])[..., None]
        mixed = reached * (own[:, None] * self.slope[None])[None]
        squares = _sum("np,nq->pq", self.h, self.h)[:, None, :, None]
        outer = squares * self.slope[:, :, None, None] * self.slope[None, None] * _exact(classes[None, :, None])
        return self.mean(inner, mixed, outer)


def box_constants(game: MutualLearning, low: ArrayLike, high: ArrayLike) -> BoxConstants:
    """Λ_k, G_k and ρ_k of students with two layers, for all weights between two vectors: certified.

    Interval arithmetic gives the mean Hessian and the mean JᵀJ entry by entry; a bound of the norm of their midpoints
    and one of that of their radii add up. A run that stays on the box keeps :func:`convergence.cohort_bound` with these
    constants: the theorem X1 asks of a loss only what it does on the segment of each step, and the box contains it; a
    run that leaves the box need not keep it.

    Parameters
    ----------
    game : MutualLearning
        All its students with two layers, and one set of weights of the samples.
    low, high : array (dim,)
        The ends of the box.

    Returns
    -------
    BoxConstants
        One of each for every student.

    Raises
    ------
    ValueError
        If a student has one layer, the weights have a leading axis, or the ends are not in order.
    numpy.linalg.LinAlgError
        If the norm of a midpoint cannot be confirmed, which needs entries near the limits of float64.

    Notes
    -----
    Rounded outwards. What is trusted is IEEE arithmetic, and that NumPy's exp and tanh err by at most 8 units in the
    last place. This toolkit's own.

    Examples
    --------
    >>> game = MutualLearning(hidden=[4, 4])
    >>> near = box_constants(game, game.start - 1e-3, game.start + 1e-3)
    >>> [round(part, 2) for part in (near.smoothness[0], game.student_smoothness[0])]
    [0.65, 17.64]
    """
    game = instance("game", game, MutualLearning)
    ends = [real(name, end) for name, end in (("low", low), ("high", high))]
    if any(end.shape != (game.dim,) for end in ends) or not (np.isfinite(ends).all() and (ends[0] <= ends[1]).all()):
        raise ValueError(
            f"low and high have shapes {ends[0].shape} and {ends[1].shape}: expected two finite vectors of dim = "
            f"{game.dim} numbers, none of low above that of high"
        )
    if not all(game.units) or game.weights.ndim != 2:
        raise ValueError(
            f"hidden = {list(game.units)}, weights of shape {game.weights.shape}: expected students of two layers and "
            "one set of weights; student_smoothness and student_jacobian hold of students with one layer"
        )
    box = Ball.between(*ends)
    students = [_Student.of(game, k, box) for k in range(game.students)]
    targets = game.targets.T
    spreads = [
        [float(((a := one.logits - other.logits).high.max(axis=1) - a.low.min(axis=1)).max()) for other in students]
        for one in students
    ]
    return BoxConstants(
        smoothness=tuple(_norm(s.curvature(targets, w)) for s, w in zip(students, game.weights, strict=True)),
        jacobian=tuple(float(np.sqrt(_norm(s.gram())) * (1 + 2 * _EPS)) for s in students),
        log_ratio_range=tuple(
            max((r for j, r in enumerate(row) if j != k), default=0.0) * (1 + 2 * _EPS) for k, row in enumerate(spreads)
        ),
    )
