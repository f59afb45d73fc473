"""A function that is not convex and yet satisfies the Polyak-Łojasiewicz inequality."""

from __future__ import annotations

from typing import Unpack

from convergence.problems.base import Oracle
from convergence.problems.quadratic_cosine import QuadraticCosine

__all__ = ["PLSine", "problem"]


class PLSine(QuadraticCosine):
    """f(x) = Σ_i [ x_i² + 3 sin² x_i ]: Λ = 8, minimum 0, and ‖∇f‖² ≥ 2μf with μ = 1/6.

    3 sin² x = (3/2)(1 - cos 2x), so this is :class:`~convergence.problems.quadratic_cosine.QuadraticCosine` with λ = 2,
    c = 3/2 and ω = 2: Λ = 2 + 6, and the second derivative falls to -4. The inequality adds up over the
    coordinates (the example is that of Karimi, Nutini & Schmidt 2016, arXiv 1608.04636, with μ = 1/32). In each, for
    x ≥ 0: up to π/2, f' = 2x + 3 sin 2x ≥ 2x and f ≤ 4x²; from 2.35 on, f' ≥ 2x - 3 and f ≤ x² + 3, and
    (2x - 3)² ≥ (x² + 3)/3; between, f' is least where cos 2x = -1/3, 1.5442, and f at most f(2.35) < 7.05, so that
    f'² > 2.38 > 7.05/3. The best constant is 0.1755. Attribute ``pl_constant``: μ.

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
    >>> f.smoothness, round(f.pl_constant, 4)
    (8.0, 0.1667)
    """

    pl_constant = 1 / 6

    def __init__(self, *, dim: int = 5, radius: float = 3.0, **oracle: Unpack[Oracle]) -> None:
        super().__init__(dim=dim, curvature=2.0, amplitude=1.5, frequency=2.0, radius=radius, **oracle)


problem = PLSine
