"""A function that is not convex and yet satisfies the Polyak-Łojasiewicz inequality."""

from __future__ import annotations

from typing import Unpack

from convergence.problems.base import Oracle
from convergence.problems.quadratic_cosine import QuadraticCosine

__all__ = ["PLSine", "problem"]


class PLSine(QuadraticCosine):
    """f(x) = Σ_i [ x_i² + 3 sin² x_i ]: Λ = 8, minimum 0, and ‖∇f‖² ≥ 2μf with μ = 1/32.

    3 sin² x = (3/2)(1 - cos 2x), so this is :class:`~convergence.problems.quadratic_cosine.QuadraticCosine` with λ = 2,
    c = 3/2 and ω = 2: Λ = 2 + 6, and the second derivative falls to -4. The inequality holds in each coordinate
    (Karimi, Nutini & Schmidt 2016, arXiv 1608.04636, with μ = 1/32) and adds up over them. Attribute ``pl_constant``:
    μ.

    Parameters
    ----------
    dim : int
        The dimension.
    radius : float
        Every coordinate of the default starting point.
    **oracle
        As :class:`~convergence.problems.SyntheticProblem`.

    Examples
    --------
    >>> f = PLSine(dim=2)
    >>> f.smoothness, f.pl_constant
    (8.0, 0.03125)
    """

    pl_constant = 1 / 32

    def __init__(self, *, dim: int = 5, radius: float = 3.0, **oracle: Unpack[Oracle]) -> None:
        super().__init__(dim=dim, curvature=2.0, amplitude=1.5, frequency=2.0, radius=radius, **oracle)


problem = PLSine
