"""A problem from a formula: its gradient derived, its constants certified on a box by ball arithmetic.

The one module of this package that imports SymPy, when it is first needed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import count
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Add, DiracDelta, Expr, Float, Integer, Matrix, Symbol, hessian, lambdify, nsimplify, sympify

from convergence.problems.base import Oracle, SyntheticProblem
from rdml_theory.symbolic.certificates.arb import PRECISION, ball, compiled
from rdml_theory.symbolic.certificates.extras import engine

__all__ = ["PartBounds", "SymbolicProblem", "certified_maximum"]

Array = NDArray[np.float64]
Sides = tuple[tuple[Fraction, Fraction], ...]

_OUTWARD = 1 + 2.0**-40  # covers the roundings of a conversion to float64 and of a small eigenvalue problem


@dataclass(frozen=True)
class PartBounds:
    """What is known of a function on a part of the box.

    Attributes
    ----------
    upper : float
        An upper bound over the part.
    attained : float
        A value in it.
    faces : tuple
        Parts of its boundary on one of which the maximum is taken, where the function is monotone; else empty.
    axis : int
        Across which to halve it.
    """

    upper: float
    attained: float
    faces: tuple[Sides, ...] = ()
    axis: int = 0


def certified_maximum(
    bounds: Callable[[Sides], PartBounds], sides: Sides, *, tolerance: float, budget: int, attained: float = -np.inf
) -> tuple[float, float]:
    """An upper bound of a maximum over a box, and a value that is attained: branch and bound.

    The part with the greatest upper bound is halved until that bound is within the tolerance of what is attained, or
    the budget of parts is spent: the bound holds in either case. A part on which the function is monotone gives way to
    its faces, parts that cannot hold the maximum are dropped.

    Parameters
    ----------
    bounds : callable
        :class:`PartBounds` of a part.
    sides : tuple of pairs of Fraction
        The box.
    tolerance : float
        Relative to the attained value.
    budget : int
        Parts to evaluate.
    attained : float
        A value that is known to be attained.

    Returns
    -------
    tuple of float

    Examples
    --------
    >>> from fractions import Fraction
    >>> def bounds(sides):  # x(1 - x) is at most high(1 - low)
    ...     (low, high), = sides
    ...     middle = float(low + high) / 2
    ...     return PartBounds(float(high * (1 - low)), middle * (1 - middle))
    >>> upper, attained = certified_maximum(bounds, ((Fraction(0), Fraction(1)),), tolerance=0.01, budget=1000)
    >>> attained, 0.25 <= upper <= 0.2525
    (0.25, True)
    """
    ticket, heap = count(), []
    spent, settled = 0, -np.inf

    def enter(part: Sides, limit: float) -> None:
        """Evaluate a part, whose bound is no greater than that of the whole it was cut from, or its faces."""
        nonlocal spent, settled, attained
        spent += 1
        found = bounds(part)
        upper, attained = min(found.upper, limit), max(attained, found.attained)
        if found.faces and spent < budget:
            for face in found.faces:
                enter(face, upper)
        elif upper <= attained or all(low == high for low, high in part):
            settled = max(settled, upper)
        else:
            heapq.heappush(heap, (-upper, next(ticket), part, found.axis))

    enter(sides, np.inf)
    while heap and spent < budget and -heap[0][0] > max(attained + tolerance * abs(attained), settled):
        upper, _, part, axis = heapq.heappop(heap)
        low, high = part[axis]
        for half in ((low, (low + high) / 2), ((low + high) / 2, high)):
            enter((*part[:axis], half, *part[axis + 1 :]), -upper)
    # What is left in the heap holds no less than what is attained, or was dropped against it.
    return max(settled, attained, -heap[0][0] if heap else -np.inf), attained


def _fraction(number: Any) -> Fraction:
    return Fraction(str(number)) if isinstance(number, float) else Fraction(number)


def _middle(sides: Sides) -> list[Any]:
    return [ball((low + high) / 2, (low + high) / 2) for low, high in sides]


def _float(arb: Any) -> tuple[float, float]:
    """Midpoint and radius."""
    return float(arb.mid()), float(arb.rad())


@dataclass(frozen=True)
class _Symmetric:
    """All symmetric matrices with entries in balls: the middle, a bound of the norm of what is added, and extremes."""

    middle: Array
    spread: float
    rows: float

    @staticmethod
    def of(entries: Sequence[Any], size: int) -> _Symmetric:
        """From the upper triangle, row by row."""
        pairs, corner = np.zeros((2, size, size)), np.triu_indices(size)
        pairs[:, *corner] = np.array([_float(e) for e in entries]).T
        middle, radius = pairs + np.triu(pairs, 1).swapaxes(1, 2)
        if not (np.isfinite(middle).all() and np.isfinite(radius).all()):
            return _Symmetric(np.zeros((size, size)), np.inf, np.inf)
        # Beside a pole the sums may overflow: a bound of infinity.
        with np.errstate(over="ignore"):
            spread = min(float(np.linalg.norm(radius)), float(radius.sum(axis=1).max()))
            return _Symmetric(middle, spread, float((np.abs(middle) + radius).sum(axis=1).max()))

    @cached_property
    def eigenvalues(self) -> Array:
        """Of the middle, ascending."""
        return np.asarray(np.linalg.eigvalsh(self.middle), dtype=np.float64)

    @property
    def norm(self) -> float:
        """Of the middle."""
        return float(np.abs(self.eigenvalues).max())

    @property
    def upper(self) -> float:
        """Of the norm of all of them."""
        return min(self.norm + self.spread, self.rows) * _OUTWARD

    @property
    def definite(self) -> bool:
        """Whether all of them are positive, or all negative semidefinite."""
        slack = self.spread + self.norm * (_OUTWARD - 1)
        return bool(self.eigenvalues[0] >= slack or self.eigenvalues[-1] <= -slack)


def _widest(sides: Sides, weights: Sequence[float]) -> int:
    """The side across which the function may change most: the derivative's size times the width."""
    changes = [w * float(high - low) for w, (low, high) in zip(weights, sides, strict=True)]
    finite = [c if np.isfinite(c) else -1.0 for c in changes]
    if max(finite) > 0 and all(np.isfinite(changes)):
        return int(np.argmax(finite))
    return int(np.argmax([float(high - low) for low, high in sides]))


def _collapsed(sides: Sides, axis: int, ends: Sequence[int]) -> tuple[Sides, ...]:
    at = [sides[axis][end] for end in ends]
    return tuple((*sides[:axis], (end, end), *sides[axis + 1 :]) for end in at)


class _Curvature:
    """Bounds of ‖∇²f‖ on parts, from the Hessian on the part, or in its middle and its derivatives on the part.

    With D_k = ∂_k∇²f on the part and the half widths r_k, ‖∇²f‖ is at most ‖∇²f(middle)‖ + Σ r_k ‖D_k‖. Where D_k is
    semidefinite on the whole part the eigenvalues are monotone in x_k: the greatest ``|λ|`` is on one of two faces.
    """

    def __init__(self, formula: Expr, symbols: list[Symbol]) -> None:
        self.symbols, self.size = symbols, len(symbols)
        second: Any = Matrix(hessian(formula, symbols))
        self.upper = [second[i, j] for i in range(self.size) for j in range(i, self.size)]
        if any(e.has(DiracDelta) for e in self.upper):
            raise ValueError(f"the second derivatives of {formula} hold DiracDelta: write a smooth function")
        self.second = [compiled(e + Integer(0), symbols, wide=True) for e in self.upper]
        try:
            self.third = [[compiled(e.diff(s) + Integer(0), symbols, wide=True) for e in self.upper] for s in symbols]
        except ValueError:
            # The derivatives may need functions that balls do not know.
            self.third = None

    def at(self, point: Sequence[Any]) -> float:
        """A lower bound of ‖∇²f‖ at an exact point."""
        found = _Symmetric.of([e(*point) for e in self.second], self.size)
        return max(0.0, found.norm - found.spread) / _OUTWARD if np.isfinite(found.spread) else 0.0

    def __call__(self, sides: Sides) -> PartBounds:
        balls, middle = [ball(*side) for side in sides], _middle(sides)
        direct = _Symmetric.of([e(*balls) for e in self.second], self.size).upper
        attained = self.at(middle)
        if self.third is None:
            return PartBounds(direct, attained, axis=_widest(sides, [1.0] * self.size))
        changes = [_Symmetric.of([e(*balls) for e in third], self.size) for third in self.third]
        for axis, (change, (low, high)) in enumerate(zip(changes, sides, strict=True)):
            if low < high and change.definite:
                return PartBounds(direct, attained, _collapsed(sides, axis, (0, 1)))
        centre = _Symmetric.of([e(*middle) for e in self.second], self.size).upper
        moved = sum(
            c.upper * float(high - low) / 2 for c, (low, high) in zip(changes, sides, strict=True) if low < high
        )
        upper = min(direct, (centre + moved) * _OUTWARD)
        return PartBounds(
            upper if not np.isnan(upper) else direct, attained, axis=_widest(sides, [c.upper for c in changes])
        )


def _parts(formula: Expr, symbols: Sequence[Symbol]) -> list[tuple[Expr, list[Symbol]]]:
    """The formula as a sum of formulas of separate variables.

    Expanded only if that separates more: balls are narrower on (x - y)² than on its three terms.
    """
    written, expanded = (_grouped(f, symbols) for f in (formula, formula.expand()))
    separated = [sum(bool(own) for _, own in groups) for groups in (written, expanded)]
    return expanded if separated[1] > separated[0] else written


def _grouped(formula: Expr, symbols: Sequence[Symbol]) -> list[tuple[Expr, list[Symbol]]]:
    groups: list[set[Symbol]] = []
    terms = Add.make_args(formula)
    for term in terms:
        used: set[Any] = set(term.free_symbols)
        for group in [g for g in groups if g & used]:
            groups.remove(group)
            used |= group
        if used:
            groups.append(used)
    out = []
    for group in groups:
        inside = [t for t in terms if t.free_symbols and t.free_symbols <= group]
        out.append((Add(*inside), [s for s in symbols if s in group]))
    constants = [t for t in terms if not t.free_symbols]
    return [*out, (Add(*constants), [])] if constants else out


def _curved(curvature: _Curvature, sides: Sides) -> list[list[Fraction]]:
    """Points where the Hessian is large, by a search in float64: nothing rests on it but how soon the cutting ends."""
    size = len(sides)
    low, high = (np.array([float(side[k]) for side in sides]) for k in (0, 1))
    entries = lambdify([curvature.symbols], curvature.upper, "numpy", cse=True)
    corner = np.triu_indices(size)

    def norms(x: Array) -> Array:
        second = np.zeros((len(x), size, size))
        for i, j, entry in zip(*corner, entries(x.T), strict=True):
            second[:, i, j] = second[:, j, i] = entry
        finite = np.isfinite(second).all(axis=(1, 2))
        second[~finite] = 0.0
        return np.abs(np.linalg.eigvalsh(second)).max(axis=1)

    rng = np.random.default_rng(0)
    x = rng.uniform(low, high, (2000, size))
    x[: 2 ** min(size, 9)] = np.where((np.arange(2 ** min(size, 9))[:, None] >> np.arange(size)) & 1, high, low)
    with np.errstate(all="ignore"):
        for turn in range(12):
            best = x[np.argsort(-norms(x))[:20]]
            moved = best[rng.integers(0, 20, 400)] + (high - low) * 3.0**-turn / 4 * rng.standard_normal((400, size))
            x = np.vstack([best, np.clip(moved, low, high)])
        best = x[np.argsort(-norms(x))[:3]]
    # Ends that are no floats stay ends.
    return [
        [s[0] if v <= a else s[1] if v >= b else Fraction(v) for v, a, b, s in zip(p, low, high, sides, strict=True)]
        for p in best.tolist()
    ]


class SymbolicProblem(SyntheticProblem):
    """f as a SymPy expression on a box: ∇f derived, Λ and a lower bound of f certified there.

    Λ is an upper bound of ‖∇²f‖ over the box by branch and bound in ball arithmetic: on each part the norm of the
    middle matrix plus that of the radii, or the norm in the middle plus the third derivatives over the half widths;
    parts on which a derivative of the Hessian is semidefinite give way to two faces. So is the lower bound of f. Sums
    over separate variables are certified one by one. The constants hold on the box only: replicas that leave it are
    reported, and not judged.

    Parameters
    ----------
    formula : Expr
        f. Decimal numbers are read as fractions.
    box : mapping of Symbol to (low, high), optional
        The variables in their order, each with a finite interval. Without it they are ordered by name, and smoothness
        and minimum must be given.
    smoothness, minimum : float, optional
        Λ and inf f, or bounds of them; certified over the box if not given.
    start : array, optional
        x₀; by default three quarters of the way through each interval, or a vector of ones.
    tolerance : float
        How near Λ shall come to what is attained.
    budget : int
        Parts to evaluate at most; a bound that is not yet as near holds all the same.
    **oracle
        As :class:`~convergence.problems.SyntheticProblem`.

    Attributes
    ----------
    box : tuple of two arrays, or None
        The lower and upper ends.
    attained : float or None
        The largest ‖∇²f‖ found at a point, rounded down: the least Λ is between that and ``smoothness``.
    gap : float or None
        The certified upper bound of ‖∇²f‖ over ``attained``, less 1: how much too large Λ may be. At most the
        tolerance, unless the budget was spent.

    Raises
    ------
    ValueError
        If a variable has no finite interval, or no bound is found (a pole in the box).

    Examples
    --------
    >>> from convergence import Problem
    >>> from sympy import cos, symbols
    >>> x, y = symbols("x y")
    >>> f = Problem.from_sympy(x**2 * y**2 / 4 + 1 - cos(x), {x: (-1, 1), y: (-2, 2)}, noise=0.1)
    >>> bool(f.attained <= f.smoothness < 1.03 * f.attained)
    True
    >>> f.gradient(np.array([[1.0, 2.0]])).round(4)
    array([[2.8415, 1.    ]])
    """

    def __init__(
        self, formula: Expr, box: Mapping[Symbol, tuple[Any, Any]] | None = None, *, smoothness: float | None = None,
        minimum: float | None = None, start: ArrayLike | None = None, tolerance: float = 0.02, budget: int = 4000,
        **oracle: Unpack[Oracle],
    ) -> None:  # fmt: skip
        formula = sympify(formula)
        exact: Any = nsimplify(formula, rational=True) if formula.atoms(Float) else formula
        given: list[Any] = sorted(exact.free_symbols, key=str) if box is None else list(box)
        # Real variables, whatever the symbols assume: |x| then has a derivative that can be told.
        real: dict[Any, Any] = {s: Symbol(s.name, real=True) for s in given}
        if missing := exact.free_symbols - set(given):
            raise ValueError(f"no interval for {', '.join(sorted(map(str, missing)))}: give one in the box")
        self.formula, self._symbols = exact.xreplace(real), list(real.values())
        self.box, self.attained, self.gap = None, None, None
        if box is None:
            if smoothness is None or minimum is None or not given:
                raise ValueError("without a box nothing is certified: give one, or smoothness and minimum")
            x0 = np.ones(len(given))
        else:
            ends = {real[s]: tuple(_fraction(end) for end in box[s]) for s in given}
            if not ends or any(not low < high for low, high in ends.values()):
                raise ValueError(
                    f"box = {box!r}: expected each variable with a finite interval (low, high), low < high"
                )
            parts = _parts(self.formula, self._symbols)
            constants = [self._certify(*part, ends, tolerance, budget, minimum is None) for part in parts]
            bound, self.attained = (max(c[k] for c in constants) for k in (0, 1))
            self.gap = bound / self.attained - 1 if self.attained else (np.inf if bound else 0.0)
            # A linear function has no curvature; any positive constant serves.
            smoothness = (bound or float(np.finfo(float).tiny)) if smoothness is None else smoothness
            minimum = sum(c[2] for c in constants) if minimum is None else minimum
            if not (np.isfinite(smoothness) and np.isfinite(minimum)):
                raise ValueError(f"no finite bound of {exact} or its second derivatives on the box: take a smaller box")
            self.box = tuple(np.array([float(low_high[k]) for low_high in ends.values()]) for k in (0, 1))
            x0 = self.box[0] + 0.75 * (self.box[1] - self.box[0])
        self._compile()
        start = x0 if start is None else np.asarray(start, dtype=np.float64)
        super().__init__(dim=len(given), smoothness=smoothness, minimum=minimum, start=start, **oracle)

    def _compile(self) -> None:
        slopes = [self.formula.diff(s) for s in self._symbols]
        self._value = lambdify([self._symbols], self.formula, "numpy", cse=True)
        self._gradient = lambdify([self._symbols], slopes, "numpy", cse=True)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the compiled functions, which no other process could read."""
        return {name: value for name, value in vars(self).items() if name not in ("_value", "_gradient")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Compile them again."""
        vars(self).update(state)
        self._compile()

    @staticmethod
    def _certify(
        part: Expr, symbols: list[Symbol], ends: Mapping[Symbol, Any], tolerance: float, budget: int, floor: bool
    ) -> tuple[float, float, float]:
        """Upper bound and attained value of the curvature, and a lower bound of the value."""
        if not symbols:
            return 0.0, 0.0, float(part)
        sides: Sides = tuple(ends[s] for s in symbols)
        with engine("flint").ctx.workprec(PRECISION):
            curvature = _Curvature(part, symbols)
            known = max((curvature.at([ball(c, c) for c in point]) for point in _curved(curvature, sides)), default=0.0)
            upper, attained = certified_maximum(curvature, sides, tolerance=tolerance, budget=budget, attained=known)
            terms = Add.make_args(part)
            if upper > (1 + tolerance) * attained and len(terms) > 1:
                # The budget was spent. The norm of a sum is at most the sum of the norms, of terms in fewer variables.
                own = [(t, [s for s in symbols if s in t.free_symbols]) for t in terms]
                share = max(1, budget // len(own))
                found = [SymbolicProblem._certify(*o, ends, tolerance, share, False)[0] for o in own]
                upper = min(upper, sum(found) * _OUTWARD)
            if not floor:
                return upper, attained, 0.0
            value = compiled(part, symbols, wide=True)
            slopes = [compiled(part.diff(s), symbols, wide=True) for s in symbols]

            def negative(sides: Sides) -> PartBounds:
                balls = [ball(*side) for side in sides]
                middle = value(*_middle(sides))
                # The function of the balls, or its middle and the slopes over the half widths.
                direct = -value(*balls)
                linear, steep = -middle, []
                for axis, (slope, (low, high)) in enumerate(zip(slopes, sides, strict=True)):
                    change = slope(*balls)
                    if low < high and (change >= 0 or change <= 0):
                        least = _collapsed(sides, axis, [0 if change >= 0 else 1])
                        return PartBounds(np.inf, -np.inf, least)
                    steep.append(float(change.abs_upper()))
                    linear = linear + change.abs_upper() * ball(Fraction(0), (high - low) / 2)
                found = [m + r for m, r in (_float(direct), _float(linear)) if np.isfinite(m + r)]
                top = min(found, default=np.inf)
                return PartBounds(top + abs(top) * 2.0**-50 + 1e-300, -sum(_float(middle)), axis=_widest(sides, steep))

            most, _ = certified_maximum(negative, sides, tolerance=tolerance, budget=budget)
        return upper, attained, -most

    def value(self, x: Array) -> Array:
        """f."""
        return np.broadcast_to(self._value(np.moveaxis(x, -1, 0)), x.shape[:-1]) + 0.0

    def gradient(self, x: Array) -> Array:
        """∇f."""
        parts = self._gradient(np.moveaxis(x, -1, 0))
        return np.stack([np.broadcast_to(part, x.shape[:-1]) for part in parts], axis=-1) + 0.0
