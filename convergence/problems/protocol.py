"""What a problem is: a smooth function and a noisy, biased gradient oracle with known constants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.arguments import real, whole

if TYPE_CHECKING:
    from convergence.problems._from_sympy import SymbolicProblem

__all__ = ["Problem", "start_of", "start_size"]

Array = NDArray[np.float64]


class _WithFactories(type(Protocol)):  # type: ignore[misc]
    """Where the factories of problems live: as attributes of the protocol itself they would be part of it."""

    def from_sympy(cls, formula: Any, box: Mapping[Any, Any] | None = None, **options: Any) -> SymbolicProblem:
        """f as a SymPy expression, its gradient derived and, on a box, its constants certified.

        Takes the parameters of :class:`~convergence.problems._from_sympy.SymbolicProblem`, and needs python-flint, the
        extra ``proofs``.
        """
        from convergence.problems._from_sympy import SymbolicProblem

        return SymbolicProblem(formula, box, **options)


@runtime_checkable
class Problem(Protocol, metaclass=_WithFactories):
    """What :func:`convergence.simulate` needs; users pass their own class with these names.

    Optional attributes: ``start`` (x₀, a vector of ones by default), ``relative_bias`` (m in ‖b‖² ≤ m‖∇f‖² + ζ²) and
    ``box`` (a pair of arrays (dim,), or of numbers for every coordinate, where the constants hold).

    Attributes
    ----------
    dim : int
        The dimension of x.
    smoothness : float
        Λ, a Lipschitz constant of the gradient.
    minimum : float
        inf f, or a lower bound of it.
    noise : float
        σ², a bound of the variance E‖n‖² of the oracle.
    bias : float
        ζ², a bound of the squared norm of the oracle's bias.
    """

    dim: int
    smoothness: float
    minimum: float
    noise: float
    bias: float

    def value(self, x: Array) -> Array:
        """f at x of shape (replicas, dim): shape (replicas,)."""
        ...

    def gradient(self, x: Array) -> Array:
        """∇f at x, the shape of x."""
        ...

    def sample_gradient(self, x: Array, rng: np.random.Generator) -> Array:
        """One draw of ∇f + b + n for each replica, the shape of x."""
        ...


def start_of(problem: Problem, start: ArrayLike | None = None) -> Array:
    """Where SGD starts: at a given point, or the problem's own, or at ones."""
    origin = getattr(problem, "start", None) if start is None else start
    return np.ones(whole("dim", problem.dim, least=1)) if origin is None else real("start", origin)


def start_size(start: Array) -> float:
    """The largest coordinate of a start, at least 1.

    >>> start_size(np.array([0.5, -3.0]))
    3.0
    """
    return max(1.0, float(np.abs(start).max()))
