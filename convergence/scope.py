"""Bounded scope: constant-step SGD neither converges to a point nor leaves the neighbourhood of stationary points."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from convergence.assumptions import Assumptions
from convergence.bounds import floor
from convergence.terms import Bound

__all__ = ["StationaryLaw", "occupation_bound", "scope_bound", "stationary_law"]


@dataclass(frozen=True, kw_only=True)
class StationaryLaw:
    """Where the iterates end on f = λ‖x‖²/2 with a constant bias, and how far they spread there.

    Attributes
    ----------
    offset : float
        ‖E x‖ = ζ/λ, which does not depend on the step.
    variance : float
        E‖x - E x‖² = ησ²/(λ(2-ηλ)).
    step_variance : float
        E‖x_{t+1} - x_t‖² = 2η²σ²/(2-ηλ): the iterates go on moving.
    """

    offset: float
    variance: float
    step_variance: float


def _constants(curvature: float, step: float, noise: float, bias: float) -> Assumptions:
    """λ in the place of Λ; the errors name it so."""
    if not (np.isfinite(curvature) and curvature > 0):
        raise ValueError(f"curvature = {curvature!r}: expected a finite number > 0")
    if not (0 < curvature * step < 2):
        raise ValueError(
            f"step = {step!r} gives λη = {curvature * step:.6g}: the iterates stay bounded for 0 < λη < 2; take a step "
            f"below {2 / curvature:.6g}"
        )
    return Assumptions(smoothness=curvature, gap=0.0, noise=noise, bias=bias)


def stationary_law(curvature: float, step: float, *, noise: float, bias: float) -> StationaryLaw:
    """The stationary law of x ← x - η(λx + b + n), exactly: offset ζ/λ and variance ησ²/(λ(2-ηλ)).

    The variance is linear in η for small steps (the spread grows like √η), the offset does not depend on η. On another
    function this describes the neighbourhood of a minimum with curvature λ to first order.

    Parameters
    ----------
    curvature : float
        λ > 0.
    step : float
        η with ηλ < 2.
    noise, bias : float
        σ² = E‖n‖² and ζ² = ‖b‖², b constant.

    Returns
    -------
    StationaryLaw

    Raises
    ------
    ValueError
        If ηλ is outside (0, 2) or a constant out of range.

    Examples
    --------
    >>> stationary_law(2.0, 0.5, noise=1.0, bias=0.25)
    StationaryLaw(offset=0.25, variance=0.25, step_variance=0.5)
    """
    at = _constants(curvature, step, noise, bias)
    variance = step * at.noise / (curvature * (2 - curvature * step))
    return StationaryLaw(
        offset=math.sqrt(at.bias) / curvature, variance=variance, step_variance=2 * step * curvature * variance
    )


def scope_bound(
    curvature: float, step: float, *, noise: float, bias: float, perturbation: float = 0.0, start: float = 0.0
) -> float:
    """sup_t E‖x_t‖² ≤ max(‖x₀‖², R²) if ‖∇f(x) - λx‖ ≤ M everywhere: the iterates never leave this scope.

    ``R = [ |1-h| (M+ζ) + √( (M+ζ)² + h(2-h)σ² ) ] / (λ(2-h))`` with h = ηλ: the floor of the sharp bound with
    M + ζ as the bias, over λ². Whatever the start, lim sup E‖x_t‖² ≤ R². Attained by the quadratic with M = 0. This
    toolkit's own.

    Parameters
    ----------
    curvature : float
        λ > 0.
    step : float
        η with ηλ < 2.
    noise, bias : float
        σ² and ζ²; the bias may depend on x.
    perturbation : float
        M: f is a quadratic plus a function whose gradient is at most M.
    start : float
        ‖x₀‖.

    Returns
    -------
    float
        A squared distance.

    Raises
    ------
    ValueError
        If ηλ is outside (0, 2) or a constant out of range.

    Examples
    --------
    >>> scope_bound(2.0, 0.5, noise=1.0, bias=0.0)
    0.25
    >>> scope_bound(2.0, 0.5, noise=1.0, bias=0.0, start=3.0)
    9.0
    """
    for name, value in (("perturbation", perturbation), ("start", start)):
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"{name} = {value!r}: expected a finite norm >= 0")
    at = _constants(curvature, step, noise, bias)
    pushed = Assumptions(smoothness=curvature, gap=0.0, noise=noise, bias=(perturbation + math.sqrt(at.bias)) ** 2)
    return max(start**2, float(floor(pushed, step)) / curvature**2)


def occupation_bound(bound: Bound, threshold: float) -> float:
    """The share of the steps at which ‖∇f‖² reaches a threshold, in expectation: at most A²/threshold.

    On a coercive f the region below a threshold is bounded, and the iterates are in it most of the time.

    Parameters
    ----------
    bound : Bound
        Of the averaged squared gradient norm.
    threshold : float
        A squared gradient norm > 0.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If the threshold is not positive, or the bound is not one of an average.

    Examples
    --------
    >>> at = Assumptions(smoothness=1, gap=1, noise=0, bias=0.25)
    >>> occupation_bound(floor(at, 0.5), 1.0)
    0.25
    """
    if not threshold > 0:
        raise ValueError(f"threshold = {threshold!r}: expected a squared gradient norm > 0")
    if bound.quantity != "squared gradient norm":
        raise ValueError(
            f"the bound is one of the {bound.quantity}: expected one of the averaged squared gradient norm"
        )
    return min(float(bound) / threshold, 1.0)
