"""Proofs of worst cases: multipliers of inequalities, found by a solver and checked in exact rational arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import product
from typing import Any, Protocol

import numpy as np
import scipy  # its parts load when they are first used
from numpy.typing import NDArray

from convergence.performance.conic import REMEDY, Solution, minimise, triangle
from convergence.performance.method import Method
from convergence.performance.rational import integers, is_positive_definite, rounded
from convergence.store import seal

__all__ = ["UNITS", "Block", "DualCertificate", "Inequalities", "Program", "between", "prove"]

Exact = NDArray[Any]
IntArray = NDArray[np.intp]
Product = tuple[Any, Exact, Exact]
"""c <u, v>: a coefficient, or one for each row, and rows of coefficients over a basis of vectors."""
RightSides = tuple[Fraction, Fraction, Fraction]

UNITS = 2**96
"""Units in one, in which what must be positive definite is rounded: margins are some 10⁻⁹ of it."""

_MARGINS = (1e-9, 5e-9, 3e-8, 1e-6, 3e-5)
"""How strictly multipliers satisfy their inequalities, to survive rounding: it costs about as much, relatively."""


def between(g: Exact, other: Exact, shift: Exact, coupling: Fraction = Fraction(1, 4)) -> list[Product]:
    """<g + g', x - x'>/2 + ‖g - g'‖²/4 - ‖x - x'‖²/4, with ``shift`` x - x', as products of rows of coefficients.

    With f' - f added it is at most 0 for every 1-smooth f (Taylor, Hendrickx & Glineur 2017, arXiv 1502.05666). A
    negative control has another coefficient, the ``coupling``, in the place of the first quarter.
    """
    change = g - other
    return [(Fraction(1, 4), shift, 2 * (g + other) - shift), (coupling, change, change)]


@dataclass(frozen=True)
class Block:
    """Copies of a matrix inequality: Σ_k y_{columns[i, k]} c_k (u_k v_kᵀ + v_k u_kᵀ)/2 is positive definite for each i.

    Attributes
    ----------
    columns : ndarray of int, shape (copies, terms)
        Which multiplier y weighs the inner product <u_k, v_k>.
    factors : ndarray, shape (terms,)
        c_k.
    left, right : ndarray, shape (terms, size)
        u_k and v_k, exact coefficients over a basis of vectors.
    basis : ndarray, shape (size, size), or None
        Better coordinates for the solver, as columns: it sees Bᵀ S B.
    """

    columns: IntArray
    factors: Exact
    left: Exact
    right: Exact
    basis: NDArray[np.float64] | None

    @property
    def size(self) -> int:
        """Of the matrix."""
        return self.left.shape[1]

    @cached_property
    def _whole(self) -> tuple[tuple[Exact, int], tuple[Exact, int]]:
        return integers(self.left), integers(self.right)

    def slack(self, multipliers: Exact, copy: int = 0) -> Exact:
        """A matrix below that of one copy, in whole ``UNITS``: of numbers so short that it is quickly judged."""
        (left, below), (right, under) = self._whole
        weights, unit = integers(self.factors * multipliers[self.columns[copy]])
        half = left.T.dot(weights[:, None] * right)
        # Each entry is rounded down by less than a unit, and so no form by more than ``size`` units.
        return (half + half.T) * UNITS // (2 * below * under * unit) - self.size * np.eye(self.size, dtype=int)

    def packed(self, count: int, *, turned: bool = True) -> Any:
        """The matrices of all copies, linear in the multipliers, as the solver packs them."""
        rows, columns, scale = triangle(self.size)
        u, v = self.left.astype(float), self.right.astype(float)
        if turned and self.basis is not None:
            u, v = u @ self.basis, v @ self.basis
        terms = (u[:, rows] * v[:, columns] + u[:, columns] * v[:, rows]) * (scale / 2)
        terms *= self.factors.astype(float)[:, None]
        k, entry = np.nonzero(terms)
        copies = np.arange(len(self.columns))[:, None]
        places = ((copies * len(rows) + entry).ravel(), self.columns[:, k].ravel())
        # Terms of the same multiplier are added.
        return scipy.sparse.csc_array(
            (np.tile(terms[k, entry], len(copies)), places), shape=(len(copies) * len(rows), count)
        )


class Program:
    """Weighted inequalities that prove a bound: what their multipliers cost, and what they must satisfy.

    An inequality f_j - f_i + Q ≤ r, with Q a quadratic form in gradients and oracle errors, is weighed by a multiplier
    y ≥ 0. If the values f_v cancel in the weighted sum, the weights w_t of the criterion sum to one, and what is left
    of the forms beside -Σ w_t ‖g_t‖² is positive definite, then Σ w_t ‖g_t‖² ≤ Σ y r.

    Parameters
    ----------
    nodes : int
        How many values f_v there are.

    Attributes
    ----------
    parts : dict of str to slice
        Where the multipliers of each kind of inequality are.
    right_sides : list of Fraction
        r, one for each multiplier.
    blocks : list of Block
        What must be positive definite.
    """

    def __init__(self, nodes: int):
        self.nodes = nodes
        self.parts: dict[str, slice] = {}
        self.right_sides: list[Fraction] = []
        self.blocks: list[Block] = []
        self._signed: list[bool] = []
        # The equations: a row for each value and one for the weights, which sum to one.
        self._entries: list[tuple[IntArray, IntArray, int]] = []
        self._repairs: dict[int, tuple[IntArray, int]] = {}

    def weigh(self, name: str, count: int, right_side: Fraction = Fraction(0), *, free: bool = False) -> IntArray:
        """The columns of the multipliers of ``count`` inequalities (or, if free, equations) with this right side."""
        begin = len(self.right_sides)
        self.parts[name] = slice(begin, begin + count)
        self.right_sides += [right_side] * count
        self._signed += [not free] * count
        return np.arange(begin, begin + count)

    def flow(self, columns: IntArray, *, out: Any = None, into: Any = None, repairs: bool = False) -> None:
        """These inequalities hold f_into - f_out; if they repair, they take up what rounding leaves of that value."""
        for nodes, sign in ((out, -1), (into, 1)):
            if nodes is not None:
                rows = np.broadcast_to(np.asarray(nodes, dtype=np.intp), columns.shape)
                self._entries.append((rows, columns, sign))
                if repairs:
                    self._repairs |= {int(row): (columns[k : k + 1], sign) for k, row in enumerate(rows)}

    def criterion(self, steps: int, average: bool) -> tuple[IntArray, Fraction]:
        """The column of each time's weight and a factor of it: one weight for all, over T, or a weight for each."""
        columns = self.weigh("weights", 1 if average else steps)
        self._entries.append((np.full(len(columns), self.nodes), columns, 1))
        self._repairs[self.nodes] = columns, 1
        return np.broadcast_to(columns, steps), Fraction(1, steps if average else 1)

    def require(self, terms: Iterable[tuple[IntArray, Product]], basis: NDArray[np.float64] | None = None) -> None:
        """Positive definite: a sum of products, weighed by the multipliers of columns (copies, rows of the product)."""
        columns, products = zip(*terms, strict=True)
        left, right = (np.concatenate([product[side] for product in products]) for side in (1, 2))
        factors = np.concatenate([np.full(len(u), c, dtype=object) for c, u, _ in products])
        self.blocks.append(Block(np.concatenate(columns, axis=1), factors, left, right, basis))

    @property
    def signed(self) -> NDArray[np.bool_]:
        """Which multipliers may not be negative."""
        return np.array(self._signed)

    def residual(self, multipliers: Exact) -> Exact:
        """What is left of each value, and of the weights less one; zeros if the equations hold."""
        whole, unit = integers(multipliers)
        left = np.zeros(self.nodes + 1, dtype=object)
        left[-1] = -unit
        for rows, columns, sign in self._entries:
            np.add.at(left, rows, sign * whole[columns])
        return left * Fraction(1, unit)

    def solve(self, margin: float, *, turned: bool = True) -> Solution:
        """Approximate multipliers, with the matrices and values that are dual to what they must satisfy."""
        unit, scale = float(max(self.right_sides)), float(self.nodes)
        cost = np.array([float(r) for r in self.right_sides]) / unit
        rows, columns = (np.concatenate([entry[k] for entry in self._entries]) for k in (0, 1))
        signs = np.concatenate([np.full(len(nodes), float(sign)) for nodes, _, sign in self._entries])
        equations = scipy.sparse.csc_array((signs, (rows, columns)), shape=(self.nodes + 1, len(cost)))
        # Weights of a larger sum keep the multipliers of order one at every T.
        total = np.append(np.zeros(self.nodes), scale)
        forms = scipy.sparse.vstack([block.packed(len(cost), turned=turned) for block in self.blocks], format="csc")
        sizes = [block.size for block in self.blocks for _ in block.columns]
        found = minimise(cost, (equations, total), forms, sizes, signed=self.signed, margin=margin)
        return Solution(found.multipliers / scale, tuple(unit * m for m in found.matrices), unit * found.values)

    def exactly(self, multipliers: NDArray[np.float64]) -> Exact:
        """The multipliers as fractions, with the equations repaired."""
        exact = np.array([rounded(y) for y in multipliers.tolist()], dtype=object)
        left = self.residual(exact)
        for row, (columns, sign) in self._repairs.items():
            exact[columns[np.argmax(multipliers[columns])]] -= sign * left[row]
        return exact


class Inequalities(Protocol):
    """What is asked of the function and the oracle: which conditions between which iterates of a method."""

    @property
    def method(self) -> Method:
        """How the iterates come about."""
        ...

    def program(self, right_sides: RightSides, *, average: bool) -> Program:
        """The program of all multipliers, for ΛΔ, ζ² and σ²."""
        ...


@lru_cache(maxsize=1)  # who proves a bound asks for it, and then the certificate
def _program(inequalities: Inequalities, right_sides: RightSides, average: bool) -> Program:
    return inequalities.program(right_sides, average=average)


@dataclass(frozen=True, kw_only=True)
class DualCertificate:
    """Multipliers that prove an upper bound of the worst case, in units in which Λ = 1.

    Attributes
    ----------
    inequalities : Inequalities
        What is weighed: :class:`~convergence.performance.AllPairs` or
        :class:`~convergence.performance.ConsecutivePairs`.
    right_sides : tuple of Fraction
        ΛΔ, ζ² and σ², exactly the floating-point numbers given.
    average : bool
        Whether the average over the iterates is bounded, or the best of them.
    multipliers : dict of str to tuple of Fraction
        By the kinds of inequalities, in the order of :attr:`Program.parts`.
    """

    inequalities: Inequalities
    right_sides: RightSides
    average: bool
    multipliers: dict[str, tuple[Fraction, ...]]

    @property
    def method(self) -> Method:
        """The method, with exact step and momentum."""
        return self.inequalities.method

    @property
    def program(self) -> Program:
        """What the multipliers must satisfy, made from the inequalities and not by the solver."""
        return _program(self.inequalities, self.right_sides, self.average)

    @cached_property
    def _flat(self) -> Exact:
        return np.array([y for part in self.multipliers.values() for y in part], dtype=object)

    @cached_property
    def exact_bound(self) -> Fraction:
        """The proved bound of the squared gradient norm."""
        return sum((y * r for y, r in zip(self._flat, self.program.right_sides, strict=True) if r), Fraction(0))

    @property
    def bound(self) -> float:
        """The proved bound, rounded up."""
        nearest = float(self.exact_bound)
        return nearest if Fraction(nearest) >= self.exact_bound else float(np.nextafter(nearest, np.inf))

    @property
    def digest(self) -> str:
        """SHA-256 of the inequalities and of every number."""
        return seal(repr(self))

    def check(self) -> bool:
        """Whether the certificate proves its bound: completeness, signs, equations and definiteness, exactly.

        Nothing here comes from the solver but the numbers themselves.
        """
        return self._proves

    @cached_property
    def _proves(self) -> bool:
        method, (_, bias, noise) = self.method, self.right_sides
        if min(*self.right_sides, method.relative_bias) < 0:
            return False
        if (noise and not method.noisy) or ((bias or method.relative_bias) and not method.biased):
            return False  # a right side without what it bounds
        program = self.program
        lengths = {name: part.stop - part.start for name, part in program.parts.items()}
        if lengths != {name: len(part) for name, part in self.multipliers.items()}:
            return False
        if not all(isinstance(x, Fraction) for x in (*self._flat, *self.right_sides)):
            return False
        if min(self._flat[program.signed]) < 0 or program.residual(self._flat).any():
            return False
        return all(
            is_positive_definite(block.slack(self._flat, copy))
            for block in program.blocks
            for copy in range(len(block.columns))
        )


def prove(
    inequalities: Inequalities, right_sides: RightSides, *, average: bool = True
) -> tuple[DualCertificate, Solution]:
    """The least bound that the inequalities give: its certificate, and the solution from which it was rounded.

    Parameters
    ----------
    inequalities : Inequalities
        The method, and what is asked of the function and the oracle.
    right_sides : tuple of Fraction
        ΛΔ, ζ² and σ².
    average : bool
        Whether the average or the best iterate is bounded.

    Raises
    ------
    ImportError
        Without clarabel, the extra ``sdp``.
    RuntimeError
        If the solver fails, or no certificate withstands the exact check.

    Examples
    --------
    >>> from convergence.performance import ConsecutivePairs
    >>> chain = ConsecutivePairs(Method(8, Fraction(1, 2), biased=True))
    >>> round(prove(chain, (Fraction(1), Fraction(1), Fraction(0)))[0].bound, 4)
    1.237
    """
    program = _program(inequalities, right_sides, average)
    turns = (True, False) if any(block.basis is not None for block in program.blocks) else (False,)
    for margin, turned in product(_MARGINS, turns):
        with suppress(RuntimeError):
            solution = program.solve(margin, turned=turned)
            exact = program.exactly(solution.multipliers)
            certificate = DualCertificate(
                inequalities=inequalities, right_sides=right_sides, average=average,
                multipliers={name: tuple(map(Fraction, exact[part])) for name, part in program.parts.items()},
            )  # fmt: skip
            if certificate.check():
                return certificate, solution
    raise RuntimeError(f"no certificate for steps = {inequalities.method.steps!r} withstands the exact check: {REMEDY}")
