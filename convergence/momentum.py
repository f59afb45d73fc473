"""SGD with heavy-ball and Nesterov momentum and biased gradients: a bound from a potential."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.arguments import flag, instance, number, real
from convergence.assumptions import Assumptions
from convergence.terms import Bound, checked_relative_bias, checked_steps, make_bound, product
from convergence.tight import partial_sums, tight_bound

__all__ = ["Potential", "best_potential", "lagging", "momentum_bound"]


@dataclass(frozen=True, kw_only=True)
class Potential:
    """``f - inf f - ω⟨∇f, v⟩ + θ‖v‖² + r‖∇f‖²`` and what a step takes from it, at Λ = 1, in the letters of claim C11.

    ω, ε, κ and d are in units of η, and θ, ν, τ and φ in units of η². The arrays broadcast.

    Attributes
    ----------
    momentum, step : float
        μ in (0, 1), and h = Λη.
    nesterov : bool
        Whether momentum is Nesterov's.
    friction, slack : float or array
        φ, and ``(ε - 2τ)/(2√φ)``, whose square κ loses: they fix ω and θ.
    stiffness, trade : float or array
        δ, which gives ``r = (1-δ)₊/4``, and λ.
    """

    momentum: float
    nesterov: bool
    step: float
    friction: Any
    slack: Any
    stiffness: Any
    trade: Any

    def constants(self) -> tuple[Any, Any, Any]:
        """ω, θ and r."""
        mu, h, phi, delta = self.momentum, self.step, self.friction, self.stiffness
        psi, chi = _weights(mu, self.nesterov)
        room, apart = (1 - mu) * (1 + mu), 2 * self.slack * np.sqrt(h * phi)
        used = np.maximum(delta, 1.0)
        # ε - 2τ is what it should be: a quadratic equation for ω.
        square, rest = 2 * h * mu / (delta * room), used + 1 / delta
        slope = 1 - used / delta * mu + 2 * h * (mu * mu * chi / room + (chi + psi * mu) / 2) / delta
        left = (1 + used / delta) * chi / 2 - apart
        left = left - 2 * h * (mu * (phi + rest * chi**2 / 4) / room + rest * psi * chi / 4)
        omega = 2 * left / (slope + np.sqrt(slope**2 + 4 * square * left))  # not a number where there is none
        theta = (phi + used * chi**2 / 4 + (chi / 2 + mu * omega) ** 2 / delta) / room
        return omega, theta, (used - delta) / 4

    def rates(self, bias: float, noise: float, relative_bias: float = 0.0) -> tuple[Any, Any, Any, Any]:
        """κ, d, ℓ and 1+2Λr, for ζ², σ² and m; without bias λ is taken to be zero."""
        mu, h, phi, delta = self.momentum, self.step, self.friction, self.stiffness
        psi, chi = _weights(mu, self.nesterov)
        omega, theta, r = self.constants()
        used, tilt, now, before = delta + 4 * r, 4 * r / delta, psi / 2 + omega, chi / 2 + mu * omega
        nu = theta + used * psi**2 / 4 + now**2 / delta
        tau = mu * theta + used * psi * chi / 4 + now * before / delta
        speed = psi + omega + tilt * now - h * nu
        kappa, cost = speed - tilt * r / h - self.slack * self.slack, h * (nu + tau * tau / phi)
        if bias or relative_bias:
            cross = np.abs(speed - h * nu + 2 * self.slack * np.sqrt(h * phi) * tau / phi)
            cost = cost + cross / (2 * self.trade)
            kappa = kappa - self.trade * cross / 2 - relative_bias * cost
        return kappa, cost * bias + h * nu * noise, 0.5 + r - omega**2 / (4 * theta), 1 + 2 * r

    def bound(self, assumptions: Assumptions, steps: float) -> NDArray[np.float64]:
        """The bound of A² at Λ = 1 that it proves; infinite where it proves none."""
        a = assumptions
        with np.errstate(all="ignore"):
            kappa, drive, level, start = self.rates(a.bias, a.noise, a.relative_bias)
            return _bound(kappa, drive, level, start * a.gap, self.step, steps)


def _bound(kappa: Any, drive: Any, level: Any, gap: Any, h: float, steps: float) -> NDArray[np.float64]:
    """The bound of A² at Λ = 1; infinite where there is none."""
    if math.isinf(steps):
        value = np.where(kappa > 0, drive / kappa, np.inf)
    else:
        ratio = h * kappa / level
        share, rest = partial_sums(np.minimum(ratio, 1.0), steps)
        value = np.where(ratio <= 1, (share * gap + rest * h * drive) / level, (gap / steps / h + drive) / kappa)
    return np.where((level > 0) & ~np.isnan(value), value, np.inf)


ROUNDS, TRIED, KEPT = 60, 384, 16
"""Of the search around the best potential: rounds, potentials tried in each, and how many of them shape the next."""

GROWTH, NEAR = 2.0, 1e-9
"""What the covariance is multiplied by in a round, and how near, relatively, those kept are at the end."""

FARTHEST = 14.0
"""Of the logarithms of stiffness from where a search begins, and of λ from ‖b‖/‖∇f‖, at most."""

LEAST = 1e-6
"""The least friction, over χ: without bias the best is zero, where κ divides by it."""


def _weights(mu: float, nesterov: bool) -> tuple[float, float]:
    """ψ and χ."""
    return (1 + mu, mu * mu) if nesterov else (1.0, mu)


def lagging(mu: float, nesterov: bool, steps: float = math.inf) -> tuple[float, float, float]:
    """The lag c, the ℓ of T steps, and (1+2cℓ)/(1-μ): the step that momentum makes of one, in bounds.

    z = x - cγv moves by γ = η/(1-μ), and ℓ bounds Σ_t Σ_{s<t} μ^{t-1-s} d_s d_t / Σ_t d_t².

    >>> lagging(0.5, nesterov=False)
    (0.5, 2.0, 6.0)
    """
    c, total = _weights(mu, nesterov)[1], (1 - mu ** ((steps - 1) / 2)) / (1 - mu)
    return c, total, (1 + 2 * c * total) / (1 - mu)


def momentum_bound(
    assumptions: Assumptions, step: ArrayLike, steps: ArrayLike, *, momentum: float, nesterov: bool = False
) -> Bound:
    """``T A² ≤ c(1+2Λr)Δ + d(T - ℓc)/κ`` with ``c = (1 - (1-κ/ℓ)^T)/κ``, or ``κA² ≤ (1+2Λr)Δ/T + d``: the least found.

    For v ← μv + g, x ← x - ηv (heavy ball) and x ← x - η(g + μv) (Nesterov), as in PyTorch without dampening. Every
    potential ``f - inf f - ω⟨∇f, v⟩ + θ‖v‖² + r‖∇f‖²`` for which ``ℓ = 1/(2Λ) + r - ω²/(4θ)`` is positive proves such a
    bound: κ is what a step takes from it for each ‖∇f‖², and d what bias and noise add; claim C11 has both. Whichever
    potential the search ends with, its bound holds. At μ = 0 it is :func:`tight_bound`.

    For a heavy ball without noise, the floor (T → ∞) is ζ² up to ϑ = Λη(1+μ)/(1-μ)² = 1, and
    ``ζ²/(1 - (1+μ)²(ϑ-1)²/(4μϑ²))`` from there to Λη = 1-μ: a quadratic with a bias that turns attains it. For longer
    steps, up to 2(1-μ), and after Nesterov, there are runs within 5% of it where tried, for μ from 0.05 to 0.99: of a
    nonconvex function, on quadratics or at rest. For the first of such steps it may be four times too large, where
    :func:`stepwise_bound` is not. This toolkit's own.

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ, σ², ζ² and m; σ² and ζ² must bound the noise and bias of every step.
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
        ``transient`` is what remains without bias and noise, ``noise`` what noise adds, ``bias`` all the rest.

    Raises
    ------
    ValueError
        If μ is outside [0, 1), T < 1, m ≥ 1, η ≤ 0, or no potential was found that proves a bound: steps as short as
        ``Λη(1+2c/(1-μ))/(1-μ) < 2/(1+√m)``, c = μ or μ² after Nesterov, have one, and longer ones often.

    Examples
    --------
    >>> assumptions = Assumptions(smoothness=1, gap=1, noise=0.1, bias=0.01)
    >>> bound = momentum_bound(assumptions, 0.001, 10_000, momentum=0.9)
    >>> round(bound.transient, 4), round(bound.noise, 4), round(bound.bias, 4)
    (0.011, 0.0005, 0.016)
    """
    mu = number("momentum", momentum)
    if not 0 <= mu < 1:
        raise ValueError(f"momentum = {momentum!r}: expected a number in [0, 1); 0 means none")
    instance("assumptions", assumptions, Assumptions)
    flag("nesterov", nesterov)
    etas, horizons = np.broadcast_arrays(real("step", step), checked_steps(steps, real("step", step)))
    terms = [
        _terms(assumptions, float(eta), float(horizon), mu, nesterov)
        for eta, horizon in zip(etas.flat, horizons.flat, strict=True)
    ]
    transient, noise, bias = np.array(terms).T.reshape(3, *etas.shape)
    return make_bound(
        "momentum", (transient, noise, bias), etas, horizons, momentum=mu, nesterov=nesterov
    )  # fmt: skip


def best_potential(
    assumptions: Assumptions, step: float, steps: float, *, momentum: float, nesterov: bool = False
) -> Potential:
    """The potential with which :func:`momentum_bound` proves its total, for μ > 0.

    >>> at = Assumptions(smoothness=1, gap=1, noise=0, bias=1)
    >>> found = best_potential(at, 0.01, 10_000, momentum=0.9)
    >>> float(found.bound(at, 10_000)) == momentum_bound(at, 0.01, 10_000, momentum=0.9).total
    True
    >>> best_potential(at, 0.01, 10_000, momentum=0.0)
    Traceback (most recent call last):
    ...
    ValueError: momentum = 0.0: expected a number in (0, 1); without momentum no potential is needed
    """
    eta, mu = number("step", step), number("momentum", momentum)
    if not 0 < mu < 1:
        raise ValueError(
            f"momentum = {momentum!r}: expected a number in (0, 1); without momentum no potential is needed"
        )
    at, horizon = instance("assumptions", assumptions, Assumptions), number("steps", steps, least=1, infinite=True)
    return _searched(at, eta, horizon, mu, flag("nesterov", nesterov))[0]


@lru_cache(maxsize=4096)  # who has a bound asks for its potential, and for what else is said of the same run
def _searched(
    a: Assumptions, eta: float, horizon: float, mu: float, nesterov: bool
) -> tuple[Potential, tuple[float, float, float]]:
    """The best potential, and the bounds with everything, without bias, and without bias and noise."""
    m = checked_relative_bias(a, "the momentum bound")
    h = a.smoothness * eta
    # In units of the greatest of ΛΔ, ζ² and σ², which may leave float64 alone.
    parts = {"gap": (a.smoothness, a.gap), "bias": (1.0, a.bias), "noise": (1.0, a.noise)}
    unit = max(parts.values(), key=lambda pair: float(product(*pair)))
    scaled = {name: float(product(*pair, over=unit)) if min(pair) > 0 else 0.0 for name, pair in parts.items()}
    here = Assumptions(smoothness=1.0, **scaled, relative_bias=m)
    free = replace(here, bias=0.0, relative_bias=0.0)
    found: dict[Assumptions, tuple[float, Potential]] = {}
    cases = (here, free, replace(free, noise=0.0))
    best = _uncoupled(mu, h, nesterov, math.sqrt(m) or 1.0) if h > 0 else None
    for case in cases:
        if best is not None and case not in found:
            # Each search begins where the one before ended, and so ends below it.
            found[case] = _least(case, horizon, best)
            best = found[case][1]
    if here not in found or math.isinf(found[here][0]):
        limit = 2 / (1 + math.sqrt(m)) / lagging(mu, nesterov)[2] / a.smoothness
        raise ValueError(
            f"step = {eta!r}: the momentum bound found no potential that proves a bound; a step above 0 and below "
            f"{limit:.6g} has one, or use the stepwise bound"
        )
    total, unbiased, transient = (float(product(found[case][0], *unit)) for case in cases)
    return found[here][1], (total, unbiased, transient)


def _terms(a: Assumptions, eta: float, horizon: float, mu: float, nesterov: bool) -> tuple[float, float, float]:
    """The three terms for one step size and horizon."""
    if _weights(mu, nesterov)[1] ** 2 == 0:
        plain = tight_bound(a, eta, horizon)
        return float(plain.transient), float(plain.noise), float(plain.bias)
    total, unbiased, transient = _searched(a, eta, horizon, mu, nesterov)[1]
    noise, bias = (
        max(more - less, 0.0) if less < math.inf else 0.0 for more, less in ((unbiased, transient), (total, unbiased))
    )
    return transient, noise, bias


def _uncoupled(mu: float, h: float, nesterov: bool, trade: float) -> Potential:
    """One with ε = 0, which proves a bound wherever ϑ < 2/(1+√m)."""
    psi, chi = _weights(mu, nesterov)
    omega = chi / (1 - mu)
    twice, now, before = 1 + 2 * omega / psi, psi / 2 + omega, chi / 2 + mu * omega
    least = twice * chi**2 / 4 + before**2 / twice
    theta = least * (1 + 1 / mu) / ((1 - mu) * (1 + mu))
    tau = mu * theta + twice * psi * chi / 4 + now * before / twice
    slack = -tau * math.sqrt(h) / math.sqrt(least / mu)
    return Potential(
        momentum=mu, nesterov=nesterov, step=h, friction=least / mu, slack=slack, stiffness=twice, trade=trade
    )  # fmt: skip


def _floor(begin: Potential) -> list[Potential]:
    """What is best for the floor of a heavy ball's bias from ϑ = 1 to h = 1-μ: there 2ν = 1/h, τ = μν and ξ = 0."""
    mu, h = begin.momentum, begin.step
    if begin.nesterov or h > 1 - mu:
        return []
    slack = -((1 - mu) / h - 1) * math.sqrt((1 - mu) / (8 * mu))
    return [replace(begin, friction=mu * (1 - mu) / (2 * h), slack=slack, stiffness=(1 - mu) / h, trade=1.0)]


@cache
def _normals() -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=(ROUNDS, 4, TRIED))


def _least(a: Assumptions, steps: float, begin: Potential) -> tuple[float, Potential]:
    """The least bound found around the one that begins, or the best on a grid if that has none, and its potential.

    At Λ = 1. The search compares bounds, so that it cannot end with less than one. Around the best it goes on as
    evolution strategies do (Hansen & Ostermeier 2001): the best moves of a round are the covariance of the next.
    """
    h, mu, (psi, chi) = begin.step, begin.momentum, _weights(begin.momentum, begin.nesterov)
    value, best, biased = math.inf, begin, a.bias > 0 or a.relative_bias > 0

    def take(one: Potential, bound: Any) -> None:
        nonlocal value, best
        if bound < value:
            value, best = float(bound), one

    def look(points: NDArray[np.float64], allowed: Any = True) -> NDArray[np.float64]:
        with np.errstate(over="ignore"):
            friction, _, stiffness, trade = np.exp(points)
        tried = {
            "friction": np.maximum(friction, LEAST * chi), "slack": points[1], "stiffness": stiffness, "trade": trade
        }  # fmt: skip
        bounds = np.where(allowed, replace(begin, **tried).bound(a, steps), math.inf)
        lowest = int(np.argmin(bounds))
        take(replace(begin, **{name: float(part[lowest]) for name, part in tried.items()}), bounds[lowest])
        return bounds

    # λ is near ‖b‖/‖∇f‖, and ‖∇f‖² between ζ² and about ΛΔ + ζ² + σ².
    size = a.bias / (2 * a.gap + a.bias + a.noise) if a.bias else 0.0
    trade = math.sqrt(max(size, a.relative_bias)) or 1.0
    for one in (begin, replace(begin, trade=trade), *_floor(begin)):
        take(one, one.bound(a, steps))
    far = 1 / math.sqrt(1 - mu)
    if math.isinf(value):
        near = max(min(chi / (1 - mu), ((1 - mu) / h - 1) / 2), 0.05) / psi
        axes = [
            np.linspace(math.log(chi) - 8, math.log(chi) + 4 - min(math.log(h), 0.0), 14), np.linspace(-far, far, 11),
            np.log([0.25, 0.5, 0.8, 1.0, 1 + near / 2, 1 + 2 * near, 1 + 6 * near]),
            math.log(trade) - 2 * np.arange(5),
        ]  # fmt: skip
        look(np.reshape(np.meshgrid(*axes, indexing="ij"), (4, -1)))
    spread = np.diag([2.0, 0.3 * far, 1.0, 3.0 * biased])
    # At T = 1 a potential may be as extreme as any, and its formula then has no digits left.
    begun = np.array([[math.log(best.stiffness)], [math.log(trade)]])
    for normals in _normals():
        centre = [[math.log(best.friction)], [best.slack], [math.log(best.stiffness)], [math.log(best.trade)]]
        moves = spread @ normals
        points = centre + moves
        bounds = look(points, np.abs(points[2:] - begun).max(axis=0) <= FARTHEST)
        kept = np.argsort(bounds)[:KEPT]
        last = bounds[kept[-1]]
        if last <= value * (1 + NEAR):
            break
        if last < math.inf:
            sizes, ways = np.linalg.eigh(GROWTH / KEPT * moves[:, kept] @ moves[:, kept].T)
            spread = ways * np.sqrt(np.maximum(sizes, 0.0))
        else:
            spread = spread / 2
    return value, best
