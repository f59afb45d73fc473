"""SGD with heavy-ball and Nesterov momentum and biased gradients: an analytic bound."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used
from numpy.typing import ArrayLike

from convergence.arguments import flag, instance, number, real
from convergence.assumptions import Assumptions
from convergence.bounds import sharp_terms
from convergence.terms import Bound, checked_relative_bias, checked_steps, make_bound, product

__all__ = ["EffectiveProblem", "effective_problem", "momentum_bound"]


@dataclass(frozen=True, kw_only=True)
class EffectiveProblem:
    """The plain SGD whose sharp bound holds for SGD with momentum.

    Attributes
    ----------
    assumptions : Assumptions
        With smoothness θ/γ and noise νσ²/θ in place of Λ and σ².
    step : float
        γ = η/(1-μ).
    curvature, noise_factor : float
        θ = Λγ(1 + 2cℓ + cs), which replaces h, and ν = Λγ(1 + c/(s(1-μ²))), which replaces h in front of σ².
    """

    assumptions: Assumptions
    step: float
    curvature: float
    noise_factor: float


def lag(momentum: float, steps: float, nesterov: bool) -> tuple[float, float]:
    """The lag c (z - x = -cγv) and ℓ, which bounds Σ_t Σ_{s<t} μ^{t-1-s} d_s d_t / Σ_t d_t²."""
    c = momentum**2 if nesterov else momentum
    return c, (1 - momentum ** ((steps - 1) / 2)) / (1 - momentum)


def effective_problem(
    assumptions: Assumptions, step: float, steps: float, *, momentum: float, nesterov: bool = False, trade: float = 0.0
) -> EffectiveProblem:
    """The plain problem whose sharp bound holds for SGD with momentum, at the weight s = ``trade`` of noise.

    Parameters
    ----------
    assumptions, step, steps, momentum, nesterov
        As for :func:`momentum_bound`.
    trade : float
        s ≥ 0: every s > 0 gives a bound, and s = 0 one without noise.

    Examples
    --------
    >>> plain = effective_problem(Assumptions(smoothness=1, gap=1, noise=0, bias=0), 0.01, 1e9, momentum=0.9)
    >>> round(plain.step, 12), round(plain.curvature, 12)
    (0.1, 1.9)
    """
    gamma = step / (1 - momentum)
    c, behind = lag(momentum, steps, nesterov)
    stretch = 1 + 2 * c * behind + c * trade
    spread = 1 + (c / (trade * (1 - momentum**2)) if c and assumptions.noise else 0.0)
    at = replace(assumptions, smoothness=assumptions.smoothness * stretch, noise=assumptions.noise * spread / stretch)
    scale = assumptions.smoothness * gamma
    return EffectiveProblem(assumptions=at, step=gamma, curvature=scale * stretch, noise_factor=scale * spread)


def momentum_bound(
    assumptions: Assumptions, step: ArrayLike, steps: ArrayLike, *, momentum: float, nesterov: bool = False
) -> Bound:
    """``A ≤ [ |1-θ| ζ + √( ζ² + (2-θ)(2Δ/(γT) + νσ²) ) ] / (2-θ)`` for θ < 2, squared, with γ = η/(1-μ).

    For v ← μv + g, x ← x - ηv (heavy ball, c = μ) and x ← x - η(g + μv) (Nesterov, c = μ²), as in PyTorch without
    dampening. With ℓ = (1 - μ^((T-1)/2))/(1-μ) ≤ 1/(1-μ) and any s > 0, which is chosen for the least bound,

    - θ = Λγ(1 + 2cℓ + cs) takes the place of h in :func:`sharp_bound`,
    - ν = Λγ(1 + c/(s(1-μ²))) that of h in front of σ².

    At μ = 0 it is :func:`sharp_bound`. This toolkit's own; the auxiliary sequence z = x - cγv, which makes plain steps
    of size γ, is that of Ghadimi, Feyzmahdavian & Johansson 2015, arXiv 1412.7457, and Yang, Lin & Li 2016, arXiv
    1604.03257. Beyond θ = 2 see :func:`stepwise_bound`.

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ, σ², ζ² and m.
    step : float or array
        The step size η; arrays broadcast against ``steps``.
    steps : float or array
        The number of steps T, ``inf`` for the floor.
    momentum : float
        μ in [0, 1).
    nesterov : bool
        Whether momentum is Nesterov's.

    Returns
    -------
    Bound
        As of :func:`sharp_bound`: ``transient`` and ``noise`` are what remains without bias.

    Raises
    ------
    ValueError
        If μ is outside [0, 1), Λη(1 + 2cℓ)/(1-μ) outside (0, 2/(1+√m)), T < 1, or m ≥ 1.

    Examples
    --------
    >>> assumptions = Assumptions(smoothness=1, gap=1, noise=0.1, bias=0.01)
    >>> bound = momentum_bound(assumptions, 0.001, 10_000, momentum=0.9)
    >>> round(bound.transient, 4), round(bound.noise, 4), round(bound.bias, 4)
    (0.0117, 0.0008, 0.0156)
    """
    mu = number("momentum", momentum)
    if not 0 <= mu < 1:
        raise ValueError(f"momentum = {momentum!r}: expected a number in [0, 1); 0 means none")
    instance("assumptions", assumptions, Assumptions)
    flag("nesterov", nesterov)
    etas, horizons = np.broadcast_arrays(real("step", step), checked_steps(steps, real("step", step)))
    terms = [
        _one(assumptions, float(eta), float(horizon), mu, nesterov)
        for eta, horizon in zip(etas.flat, horizons.flat, strict=True)
    ]
    transient, noise, bias = np.array(terms).T.reshape(3, *etas.shape)
    return make_bound("momentum", (transient, noise, bias), etas, horizons)


def _one(a: Assumptions, eta: float, horizon: float, momentum: float, nesterov: bool) -> tuple[float, float, float]:
    """The three terms for one step size and horizon."""
    m = checked_relative_bias(a, "momentum_bound")
    c, behind = lag(momentum, horizon, nesterov)
    limit = 2 / (1 + math.sqrt(m))
    stretch = a.smoothness * (1 + 2 * c * behind) / (1 - momentum)
    # θ grows with s from its least on, up to its limit.
    least = eta * stretch
    if not (eta > 0 and least < limit):
        raise ValueError(
            f"step = {eta!r} gives Λη(1+2cℓ)/(1-μ) = {least:.6g}: momentum_bound holds for 0 < "
            f"Λη(1+2cℓ)/(1-μ) < {limit:.6g}; take a step above 0 and below {limit / stretch:.6g}, or stepwise_bound"
        )
    tau = float(product(2, a.gap, 1 - momentum, over=(eta, horizon)))
    plain = float(product(a.smoothness, eta, a.noise, over=(1 - momentum,)))

    def at(log_trade: float) -> tuple[float, float, float]:
        # cs and c/s in logarithms, since s may be far from one for small steps and small momentum.
        more = float(product(a.smoothness, eta, math.exp(log_c + log_trade), over=(1 - momentum,)))
        spread = math.exp(min(log_c - log_trade - math.log1p(-(momentum**2)), 700.0))
        with np.errstate(over="ignore"):
            transient, noise, bias = sharp_terms(least + more, tau, plain + float(product(plain, spread)), a.bias, m)
        return float(transient), float(noise), float(bias)

    if a.noise == 0 or c == 0:
        transient, noise, bias = sharp_terms(least, tau, plain, a.bias, m)
        return float(transient), float(noise), float(bias)
    log_c = math.log(c)
    unit = math.log(a.smoothness) + math.log(eta) - math.log1p(-momentum)
    highest = math.log(limit - least) - unit - log_c
    grid = np.clip(highest - np.geomspace(1e-6, 40.0, 80), -700.0 - log_c, 700.0 - log_c)
    totals = [sum(at(point)) for point in grid]
    best = int(np.argmin(totals))
    around = sorted((grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]))
    with np.errstate(invalid="ignore", over="ignore"):  # where the bound is infinite
        found: Any = scipy.optimize.minimize_scalar(lambda point: sum(at(point)), bounds=around, method="bounded")
    return min((at(float(point)) for point in (found.x, grid[best])), key=sum)
