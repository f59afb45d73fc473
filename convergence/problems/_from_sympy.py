"""A problem from a formula: its gradient derived, its constants certified on a box by interval arithmetic.

With the modules it needs, the one of this package that imports SymPy, when it is first needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import fsum
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Add, Expr, Float, Piecewise, Symbol, lambdify, nsimplify, sympify

from convergence.problems._branching import LargestEigenvalue
from convergence.problems._formula import joined, shared
from convergence.problems.base import Oracle, SyntheticProblem
from rdml_theory.symbolic.enclosures import Intervals, enclosures

__all__ = ["SymbolicProblem"]

Array = NDArray[np.float64]


def _fraction(number: Any) -> Fraction:
    return Fraction(str(number)) if isinstance(number, float) else Fraction(number)


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


class SymbolicProblem(SyntheticProblem):
    """f as a SymPy expression on a box: ∇f derived, Λ and a lower bound of f certified there.

    Λ is an upper bound of ‖∇²f‖ over the box by branch and bound on interval matrices, and so is the lower bound of f
    (:class:`~convergence.problems._branching.LargestEigenvalue`). log Σ exp and its derivatives are taken in a form
    without quotients of sums (:func:`~convergence.problems._formula.shared`). Sums over separate variables are
    certified one by one. The constants hold on the box only: replicas that leave it are reported, and not judged.

    Case distinctions (Piecewise, Abs, Max, Min, sign) that the box does not decide are allowed where the gradient is
    proved to be continuous (:func:`~convergence.problems._formula.joined`): Λ is then the largest ‖∇²f‖ on either side
    of each border, as for Huber's loss.

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
        If a variable has no finite interval, no bound is found (a pole in the box), a function is not known, or the
        gradient jumps or is not proved to be continuous.

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
        minimum: float | None = None, start: ArrayLike | None = None, tolerance: float = 0.02, budget: int = 20_000,
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
            rounded = {s: (Intervals.of(low), Intervals.of(high)) for s, (low, high) in ends.items()}
            # The box and a little more, since its ends may be no floats; points are taken a little inside.
            outer = {s: (float(low.low), float(high.high)) for s, (low, high) in rounded.items()}
            inner = {s: (float(low.high), float(high.low)) for s, (low, high) in rounded.items()}
            self.formula = joined(self.formula, self._symbols, *np.array(list(outer.values())).T)
            parts = [(shared(part), own) for part, own in _parts(self.formula, self._symbols)]
            constants = [self._certify(*part, outer, inner, tolerance, budget, minimum is None) for part in parts]
            bound, self.attained = (max(c[k] for c in constants) for k in (0, 1))
            self.gap = bound / self.attained - 1 if self.attained else (np.inf if bound else 0.0)
            # A linear function has no curvature; any positive constant serves.
            smoothness = (bound or float(np.finfo(float).tiny)) if smoothness is None else smoothness
            if minimum is None:
                minimum = float(np.nextafter(fsum(c[2] for c in constants), -np.inf))
            if not (np.isfinite(smoothness) and np.isfinite(minimum)):
                raise ValueError(f"no finite bound of {exact} or its second derivatives on the box: use a smaller box")
            self.box = tuple(np.array([float(low_high[k]) for low_high in ends.values()]) for k in (0, 1))
            x0 = self.box[0] + 0.75 * (self.box[1] - self.box[0])
        self._compile()
        start = x0 if start is None else np.asarray(start, dtype=np.float64)
        super().__init__(dim=len(given), smoothness=smoothness, minimum=minimum, start=start, **oracle)

    def _compile(self) -> None:
        slopes = [self.formula.diff(s) for s in self._symbols]
        self._value, self._gradient = (
            lambdify([self._symbols], part, ["scipy", "numpy"], cse=True) for part in (self.formula, slopes)
        )
        # All branches of a case distinction are computed, also where they are not defined.
        self._errors: Literal["ignore"] | None = "ignore" if self.formula.has(Piecewise) else None

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the compiled functions, which no other process could read."""
        return {name: value for name, value in vars(self).items() if name not in ("_value", "_gradient")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Compile them again."""
        vars(self).update(state)
        self._compile()

    @staticmethod
    def _certify(
        part: Expr, symbols: list[Symbol], outer: Mapping[Symbol, Any], inner: Mapping[Symbol, Any], tolerance: float,
        budget: int, floor: bool,
    ) -> tuple[float, float, float]:  # fmt: skip
        """Upper bound and attained value of the curvature, and a lower bound of the value."""
        if not symbols:
            return 0.0, 0.0, float(enclosures([part], [])(*np.empty((2, 0, 1)))[0][0, 0])
        outside, inside = (np.array([ends[s] for s in symbols]).T for ends in (outer, inner))
        limits: dict[str, Any] = {"tolerance": tolerance, "budget": budget}
        upper, attained = LargestEigenvalue(part, symbols, curvature=True).maximum(outside, inside, **limits)
        if not floor:
            return upper, attained, 0.0
        # Near enough for a bound of a value that may be zero.
        least = 1e-9 * upper * float(((outside[1] - outside[0]) ** 2).sum())
        negative = LargestEigenvalue(part, symbols, curvature=False)
        return upper, attained, -negative.maximum(outside, inside, least=least, **limits)[0]

    def value(self, x: Array) -> Array:
        """f."""
        with np.errstate(all=self._errors):
            return np.broadcast_to(self._value(np.moveaxis(x, -1, 0)), x.shape[:-1]) + 0.0

    def gradient(self, x: Array) -> Array:
        """∇f."""
        with np.errstate(all=self._errors):
            parts = self._gradient(np.moveaxis(x, -1, 0))
        return np.stack([np.broadcast_to(part, x.shape[:-1]) for part in parts], axis=-1) + 0.0
