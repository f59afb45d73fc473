"""Bounded scope: constant-step SGD neither converges to a point nor leaves the neighbourhood of stationary points."""

from __future__ import annotations

import math
from dataclasses import dataclass

from convergence.arguments import instance, number
from convergence.terms import Bound, product

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


def _constants(curvature: float, step: float, noise: float, bias: float) -> tuple[float, float, float, float]:
    """λ, η, σ and ζ."""
    lam, eta = number("curvature", curvature, least=0, strict=True), number("step", step)
    if not (eta > 0 and lam * eta < 2):
        raise ValueError(
            f"step = {eta!r} and curvature = {lam!r} give λη = {lam * eta:.6g}: the iterates stay bounded for "
            f"0 < λη < 2; use a step below {2 / lam:.6g}"
        )
    sigma2 = number("noise", noise, least=0, remedy="give the variance σ², not the standard deviation")
    zeta2 = number("bias", bias, least=0, remedy="give the squared norm ζ²")
    return lam, eta, math.sqrt(sigma2), math.sqrt(zeta2)


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
    lam, eta, _, zeta = _constants(curvature, step, noise, bias)
    room = 2 - lam * eta
    return StationaryLaw(
        offset=float(product(zeta, over=(lam,))),
        variance=float(product(eta, noise, over=(lam, room))),
        step_variance=float(product(2, eta, eta, noise, over=(room,))),
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
    pushed, first = number("perturbation", perturbation, least=0), number("start", start, least=0)
    lam, eta, sigma, zeta = _constants(curvature, step, noise, bias)
    h = lam * eta
    # σ√(h(2-h)) and M + ζ, both over λ.
    spread = float(product(math.sqrt(eta), sigma, math.sqrt(2 - h), over=(math.sqrt(lam),)))
    pull = float(product(pushed, over=(lam,))) + float(product(zeta, over=(lam,)))
    away = abs(1 - h) * pull if pull < math.inf or h != 1 else 0.0
    furthest = max(first, (away + math.hypot(pull, spread)) / (2 - h))
    return furthest * furthest


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
    >>> from convergence import Assumptions, floor
    >>> at = Assumptions(smoothness=1, gap=1, noise=0, bias=0.25)
    >>> occupation_bound(floor(at, 0.5), 1.0)
    0.25
    """
    level = number("threshold", threshold, least=0, strict=True)
    if instance("bound", bound, Bound).quantity != "squared gradient norm":
        raise ValueError(
            f"the bound is one of the {bound.quantity}: expected one of the averaged squared gradient norm"
        )
    return min(number("bound", bound.total, least=0, infinite=True) / level, 1.0)
