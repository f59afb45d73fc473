"""A problem from a formula: its gradient derived, its constants certified on a box by ball arithmetic.

The one module of this package that imports SymPy, when it is first needed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import count
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Add, Expr, Float, Integer, Matrix, Symbol, hessian, lambdify, nsimplify, sympify

from convergence.problems.base import Oracle, SyntheticProblem
from rdml_theory.symbolic.certificates.arb import PRECISION, ball, compiled
from rdml_theory.symbolic.certificates.extras import engine

__all__ = ["SymbolicProblem", "certified_maximum"]

Array = NDArray[np.float64]
Sides = tuple[tuple[Fraction, Fraction], ...]

_OUTWARD = 1 + 2.0**-40  # covers the roundings of a conversion to float64 and of a small eigenvalue problem


def certified_maximum(
    bounds: Callable[[Sides], tuple[float, float]], sides: Sides, *, tolerance: float, budget: int
) -> tuple[float, float]:
    """An upper bound of a maximum over a box, and a value that is attained.

    The part with the greatest upper bound is cut in half until that bound is within the tolerance of what is attained,
    or the budget of parts is spent: the bound holds in either case.

    Parameters
    ----------
    bounds : callable
        The upper bound over a part, and the value in its middle.
    sides : tuple of pairs of Fraction
        The box.
    tolerance : float
        Relative to the attained value.
    budget : int
        Parts to evaluate.

    Returns
    -------
    tuple of float

    Examples
    --------
    >>> from fractions import Fraction
    >>> def bounds(sides):  # x(1 - x) is at most high(1 - low)
    ...     (low, high), = sides
    ...     middle = float(low + high) / 2
    ...     return float(high * (1 - low)), middle * (1 - middle)
    >>> upper, attained = certified_maximum(bounds, ((Fraction(0), Fraction(1)),), tolerance=0.01, budget=1000)
    >>> attained, 0.25 <= upper <= 0.2525
    (0.25, True)
    """
    ticket = count()
    upper, attained = bounds(sides)
    heap = [(-upper, next(ticket), sides)]
    widths = [high - low for low, high in sides]
    for _ in range(budget):
        if -heap[0][0] <= attained + tolerance * abs(attained):
            break
        _, _, part = heapq.heappop(heap)
        axis = max(range(len(part)), key=lambda i: (part[i][1] - part[i][0]) / (widths[i] or 1))
        low, high = part[axis]
        for half in ((low, (low + high) / 2), ((low + high) / 2, high)):
            child = (*part[:axis], half, *part[axis + 1 :])
            upper, middle = bounds(child)
            attained = max(attained, middle)
            heapq.heappush(heap, (-upper, next(ticket), child))
    return -heap[0][0], attained


def _fraction(number: Any) -> Fraction:
    return Fraction(str(number)) if isinstance(number, float) else Fraction(number)


def _middle(sides: Sides) -> list[Any]:
    return [ball((low + high) / 2, (low + high) / 2) for low, high in sides]


def _float(arb: Any) -> tuple[float, float]:
    """Midpoint and radius."""
    return float(arb.mid()), float(arb.rad())


def _spectral_norm(entries: Sequence[Any], size: int) -> tuple[float, float]:
    """An upper bound of the norm of all symmetric matrices with entries in these balls, and the middle one's norm."""
    pairs = np.array([_float(e) for e in entries])
    if not np.isfinite(pairs).all():
        return np.inf, 0.0
    middle, radius = (pairs[:, k].reshape(size, size) for k in (0, 1))
    norm = float(np.abs(np.linalg.eigvalsh(middle)).max())
    spread = min(float(np.linalg.norm(radius)), float(radius.sum(axis=1).max()))
    rows = float((np.abs(middle) + radius).sum(axis=1).max())
    return min(norm + spread, rows) * _OUTWARD, norm


def _parts(formula: Expr, symbols: Sequence[Symbol]) -> list[tuple[Expr, list[Symbol]]]:
    """The formula as a sum of formulas of separate variables."""
    groups: list[set[Symbol]] = []
    terms = Add.make_args(formula.expand())
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


class SymbolicProblem(SyntheticProblem):
    """f as a SymPy expression on a box: ∇f derived, Λ and a lower bound of f certified there.

    Λ is an upper bound of ‖∇²f‖ over the box, by ball arithmetic on its parts (the norm of the middle matrix plus that
    of the radii); so is the lower bound of f. Sums over separate variables are certified one by one. The
    constants hold on the box only: replicas that leave it are reported, and not judged.

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
        The largest ‖∇²f‖ found in the middle of a part: Λ is at least that.

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
        self.box, self.attained = None, None
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
        size = len(symbols)
        with engine("flint").ctx.workprec(PRECISION):
            second: Any = Matrix(hessian(part, symbols))
            entries = [compiled(e + Integer(0), symbols) for e in second]

            def curvature(sides: Sides) -> tuple[float, float]:
                balls, middle = [ball(*side) for side in sides], _middle(sides)
                upper, _ = _spectral_norm([e(*balls) for e in entries], size)
                return upper, _spectral_norm([e(*middle) for e in entries], size)[1]

            upper, attained = certified_maximum(curvature, sides, tolerance=tolerance, budget=budget)
            if not floor:
                return upper, attained, 0.0
            value = compiled(part, symbols)
            slopes = [compiled(part.diff(s), symbols) for s in symbols]

            def negative(sides: Sides) -> tuple[float, float]:
                balls = [ball(*side) for side in sides]
                middle = value(*_middle(sides))
                # The function of the balls, or its middle and the slopes over the half widths.
                direct = -value(*balls)
                linear = -middle
                for slope, (low, high) in zip(slopes, sides, strict=True):
                    linear = linear + slope(*balls).abs_upper() * ball(Fraction(0), (high - low) / 2)
                found = [m + r for m, r in (_float(direct), _float(linear)) if np.isfinite(m + r)]
                top = min(found, default=np.inf)
                return top + abs(top) * 2.0**-50 + 1e-300, -_float(middle)[0]

            most, _ = certified_maximum(negative, sides, tolerance=tolerance, budget=budget)
        return upper, attained, -most

    def value(self, x: Array) -> Array:
        """f."""
        return np.broadcast_to(self._value(np.moveaxis(x, -1, 0)), x.shape[:-1]) + 0.0

    def gradient(self, x: Array) -> Array:
        """∇f."""
        parts = self._gradient(np.moveaxis(x, -1, 0))
        return np.stack([np.broadcast_to(part, x.shape[:-1]) for part in parts], axis=-1) + 0.0
