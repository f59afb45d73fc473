"""A valley that narrows downhill on one side: under the Polyak-Łojasiewicz inequality long steps fall slower in it."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from convergence.problems.base import Oracle, SyntheticProblem, check_positive

__all__ = ["NarrowingValley", "problem"]

Array = NDArray[np.float64]

_WALL, _CHANGE, _LENGTH, _WIDTH = 0.82, 0.58, 0.6, 0.6
"""c, r, l and w."""


class NarrowingValley(SyntheticProblem):
    """f(x, y) = μx²/2 + y²/2 for y ≤ 0, and μx²/2 + cy²/2 - a(x)B(y) for y ≥ 0: Λ = 1, minimum 0, ‖∇f‖² ≥ 2μf.

    With c = 0.82 and l = w = 0.6: B = y²/2 up to w, w² - (2w-y)²/2 up to 2w and w² beyond; a = 0.58 l(u - u|u|/2) for
    u = (x - 1/μ)/l in [-1, 1], and constant beyond. So the wall y > 0 grows steeper downhill near x = 1/μ, where
    ∂f/∂x is less than μx. A step from there is short along the valley, and one of more than 1/c also crosses it: it
    keeps more of f than a quadratic of curvature μ or Λ lets it (claim C9). For y in [0, w] the second derivatives are
    μ - a''y²/2, -a'y and c - a, and (‖∇f‖² - 2μf)/y² is (c-a)(c-a-μ) - μxa' + a'²y²/4. A test bounds both there and up
    to 2w by Bernstein coefficients, at μ = 1/10, which is the worst of all μ below: beyond, ``‖∇f‖² - 2μf`` grows with
    ``|y|`` and does not depend on x where a is constant. Attribute ``pl_constant``: μ.

    Parameters
    ----------
    pl_constant : float
        0 < μ ≤ 1/10.
    offset : float
        The y of the default starting point (1/μ, y). Steps of 1.3/Λ, 1.5/Λ and 1.8/Λ keep most for 0.62, 0.7 and 0.86.
    **oracle
        As :class:`~convergence.problems.SyntheticProblem`.

    Raises
    ------
    ValueError
        If not 0 < μ ≤ 1/10.

    Examples
    --------
    A step of 1.5/Λ: what it keeps of f, and what it keeps on a quadratic of curvature μ.

    >>> f = NarrowingValley()
    >>> after = f.start - 1.5 * f.gradient(f.start)
    >>> print(f"{f.value(after) / f.value(f.start):.4f} {(1 - 1.5 * f.pl_constant) ** 2:.4f}")
    0.7309 0.7225
    """

    def __init__(self, *, pl_constant: float = 0.1, offset: float = 0.7, **oracle: Unpack[Oracle]) -> None:
        check_positive(pl_constant=pl_constant)
        if pl_constant > 0.1:
            raise ValueError(f"pl_constant = {pl_constant!r}: expected at most 1/10")
        super().__init__(dim=2, smoothness=1.0, minimum=0.0, start=np.array([1 / pl_constant, offset]), **oracle)
        self.pl_constant = pl_constant

    def _along(self, x: Array) -> tuple[Array, Array, Array]:
        """a and its derivatives."""
        u = np.clip((x - 1 / self.pl_constant) / _LENGTH, -1.0, 1.0)
        size = np.abs(u)
        bend = np.where(size < 1, -np.sign(u), 0.0)
        return _CHANGE * _LENGTH * (u - u * size / 2), _CHANGE * (1 - size), _CHANGE / _LENGTH * bend

    @staticmethod
    def _across(y: Array) -> tuple[Array, Array, Array]:
        """B and its derivatives."""
        near, far = np.clip(y, 0.0, _WIDTH), np.clip(2 * _WIDTH - y, 0.0, _WIDTH)
        bend = np.where(y < 0, 0.0, np.where(y < _WIDTH, 1.0, np.where(y < 2 * _WIDTH, -1.0, 0.0)))
        return (near**2 + _WIDTH**2 - far**2) / 2, near + far - _WIDTH, bend

    def value(self, x: Array) -> Array:
        """f at x of shape (..., 2)."""
        along, y = x[..., 0], x[..., 1]
        wall = np.where(y > 0, _WALL, 1.0)
        return (self.pl_constant * along**2 + wall * y**2) / 2 - self._along(along)[0] * self._across(y)[0]

    def gradient(self, x: Array) -> Array:
        """∇f at x, the shape of x."""
        along, y = x[..., 0], x[..., 1]
        (a, slope, _), (b, rise, _) = self._along(along), self._across(y)
        return np.stack([self.pl_constant * along - slope * b, np.where(y > 0, _WALL, 1.0) * y - a * rise], axis=-1)

    def hessian(self, x: Array) -> Array:
        """The second derivatives at x of shape (..., 2), where they exist: (..., 2, 2)."""
        along, y = x[..., 0], x[..., 1]
        (a, slope, bend), (b, rise, curve) = self._along(along), self._across(y)
        mixed = -slope * rise
        first, last = self.pl_constant - bend * b, np.where(y > 0, _WALL, 1.0) - a * curve
        return np.stack([np.stack([first, mixed], axis=-1), np.stack([mixed, last], axis=-1)], axis=-2)


problem = NarrowingValley
