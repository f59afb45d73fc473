"""A proof that a worst case is at most a number, checked in exact rational arithmetic without the solver."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergence.performance.method import Method
from convergence.performance.rational import integers, is_positive_definite

__all__ = ["Certificate"]

Exact = tuple[Fraction, ...]


def _sum(left: NDArray[Any], weights: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Leftᵀ W right, symmetrised and doubled, for weights that are a vector (a diagonal) or a matrix."""
    inside = weights[:, None] * right if weights.ndim == 1 else weights.dot(right)
    product = left.T.dot(inside)
    return product + product.T


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """Multipliers that prove an upper bound of the worst case.

    In units in which Λ = 1, with f* = 0 and nodes i, j, v of the method, they weigh what every Λ-smooth f satisfies,

    - f_j - f_i + <g_i + g_j, x_i - x_j>/2 + ‖g_i - g_j‖²/4 - ‖x_i - x_j‖²/4 ≤ 0 (``interpolation[i][j]``),
    - ‖g_v‖²/2 - f_v ≤ 0 (``lower[v]``) and f_0 ≤ Δ (``start``),
    - ‖b_v‖² - m‖g_v‖² ≤ ζ² (``bias[v]``) and ‖n_v‖² ≤ σ² (``noise[v]``),

    and ``weights[t]`` those of E‖∇f(x_t)‖². If the values f_v cancel and the quadratic form S of all that is positive
    definite, the sum of the right sides bounds the weighted squared gradient norm, for every function and oracle.

    Attributes
    ----------
    method : Method
        The method, with exact step and momentum.
    right_sides : tuple of Fraction
        ΛΔ, ζ² and σ², exactly the floating-point numbers given.
    relative_bias : Fraction
        m.
    average : bool
        Whether the weights must be equal, or may be any that sum to one (the best iterate).
    """

    method: Method
    right_sides: tuple[Fraction, Fraction, Fraction]
    relative_bias: Fraction
    average: bool
    interpolation: tuple[Exact, ...]
    lower: Exact
    start: Fraction
    bias: Exact
    noise: Exact
    weights: Exact

    @cached_property
    def exact_bound(self) -> Fraction:
        """The proved bound of the squared gradient norm."""
        gap, bias, noise = self.right_sides
        return self.start * gap + sum(self.bias, Fraction(0)) * bias + sum(self.noise, Fraction(0)) * noise

    @property
    def bound(self) -> float:
        """The proved bound, rounded up."""
        nearest = float(self.exact_bound)
        return nearest if Fraction(nearest) >= self.exact_bound else float(np.nextafter(nearest, np.inf))

    @property
    def digest(self) -> str:
        """SHA-256 of the method and of every number."""
        return hashlib.sha256(repr(self).encode()).hexdigest()

    def check(self) -> bool:
        """Whether the certificate proves its bound: completeness, signs, equalities and that S is definite, exactly.

        Nothing here comes from the solver but the numbers themselves.
        """
        if not self._is_complete():
            return False
        multipliers = (*(x for row in self.interpolation for x in row), *self.lower, self.start, *self.bias)
        if min((*multipliers, *self.noise, *self.weights)) < 0 or sum(self.weights) != 1:
            return False
        if self.average and len(set(self.weights)) > 1:
            return False
        return self._values_cancel() and is_positive_definite(self.slack())

    def _is_complete(self) -> bool:
        """Whether there is one number for everything that is weighed, and no right side without what it bounds."""
        method, sides = self.method, self.right_sides
        inner = method.inner
        lengths = (
            (self.interpolation, method.nodes), *((row, method.nodes) for row in self.interpolation),
            (self.lower, method.nodes), (self.bias, inner * method.biased), (self.noise, inner * method.noisy),
            (self.weights, method.steps),
        )  # fmt: skip
        exact = (*(x for numbers, _ in lengths[1:] for x in numbers), self.start, self.relative_bias, *sides)
        return (
            all(len(numbers) == length for numbers, length in lengths)
            and all(isinstance(x, Fraction) for x in exact)
            and min(*sides, self.relative_bias) >= 0
            and (method.biased or not (sides[1] or self.relative_bias))
            and (method.noisy or not sides[2])
        )

    def _values_cancel(self) -> bool:
        flow = np.array(self.interpolation, dtype=object)
        left = flow.sum(axis=0) - flow.sum(axis=1) - np.array(self.lower, dtype=object)
        left[0] += self.start
        return not left.any()

    def slack(self) -> NDArray[Any]:
        """A positive multiple of S, as a matrix of integers: 8 S over common denominators."""
        points = self.method.points(Fraction)
        stacked, _ = integers(np.concatenate([points.gradient, points.bias, points.noise, points.position]))
        cuts = np.cumsum([len(points.gradient), len(points.bias), len(points.noise)])
        g, b, n, x = np.split(stacked, cuts)
        chance = np.array([Fraction(1, 2**t) if self.method.noisy else Fraction(1) for t in self.method.depth.tolist()])
        weights = np.array(self.weights, dtype=object)[self.method.depth] * chance
        tau = np.array(self.bias, dtype=object)
        inner = np.zeros(self.method.nodes, dtype=object)
        inner[: len(tau)] = tau * self.relative_bias
        flow = np.array(self.interpolation, dtype=object)
        # Σ λ_ij (u_i - u_j)(u_i - u_j)ᵀ = Uᵀ Laplacian U, and Σ λ_ij (g_i + g_j)(x_i - x_j)ᵀ = Gᵀ (skew) X.
        both = flow + flow.T
        laplacian = np.diag(both.sum(axis=1)) - both
        skew = np.diag(flow.sum(axis=1) - flow.sum(axis=0)) + flow.T - flow
        diagonal = 2 * np.array(self.lower, dtype=object) - 4 * (inner + weights)
        parts = [laplacian.ravel(), skew.ravel(), diagonal, tau, np.array(self.noise, dtype=object)]
        whole, _ = integers(np.concatenate(parts))
        laplacian, skew, diagonal, tau, kappa = np.split(whole, np.cumsum([len(p) for p in parts])[:-1])
        square = (self.method.nodes,) * 2
        laplacian, skew = laplacian.reshape(square), skew.reshape(square)
        total = _sum(g, laplacian, g) - _sum(x, laplacian, x) + 2 * _sum(g, skew, x) + _sum(g, diagonal, g)
        return total + 4 * (_sum(b, tau, b) + _sum(n, kappa, n))
