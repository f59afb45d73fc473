"""The worst case of A² between two brackets: a bound that uses the smoothness at every step, and what is attained."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used
from numpy.typing import ArrayLike

from convergence.arguments import number
from convergence.assumptions import Assumptions
from convergence.bounds import floor, refined_bound, sharp_domain
from convergence.terms import Bound, make_bound, product

__all__ = ["extremal_average", "tight_bound"]


def tight_bound(assumptions: Assumptions, step: ArrayLike, steps: ArrayLike) -> Bound:
    """The least, over λ > 0, of a family of bounds that uses ``‖∇f(x_t)‖² ≤ 2Λ(f(x_t) - inf f)`` at every step.

    With ``κ = h(1 - h/2 - |1-h|λ/2)`` and ``c = (1 - (1-2κ)^T)/κ``, every λ > 0 gives

    ``T A² ≤ c ΛΔ + (h/2)(|1-h| ζ²/λ + hζ² + hσ²) (T - c/2)/κ``.

    Without bias the least is at λ → 0 and is the exact worst case at every T: ``u + (2ΛΔ - u) c/(2T)`` with
    ``u = hσ²/(2-h)``. With bias it is at most :func:`refined_bound`, and its T → ∞ floor is attained. With a relative
    bias, κ is less by ``h(|1-h|m/λ + hm)/2``. This toolkit's own.

    Parameters
    ----------
    assumptions, step, steps
        As for :func:`refined_bound`: ζ² and σ² must bound every step's bias and noise.

    Returns
    -------
    Bound
        ``transient`` and ``noise`` are what remains without bias; ``bias`` is all the rest.

    Raises
    ------
    ValueError
        As :func:`sharp_bound`.

    Examples
    --------
    >>> from convergence import sharp_bound
    >>> at = Assumptions(smoothness=1, gap=1, noise=0, bias=0.01)
    >>> [round(bound(at, 0.1, 8).total, 3) for bound in (sharp_bound, refined_bound, tight_bound)]
    [1.43, 1.422, 1.124]
    """
    eta, horizon = np.broadcast_arrays(*sharp_domain(assumptions, step, steps, "the tight bound"))
    terms = np.array([_tight(assumptions, float(e), float(t)) for e, t in zip(eta.flat, horizon.flat, strict=True)]).T
    transient, noise, bias = terms.reshape(3, *eta.shape)
    return make_bound("tight", (transient, noise, bias), eta, horizon)


def _tight(assumptions: Assumptions, eta: float, horizon: float) -> tuple[float, float, float]:
    """The three terms for one step size and horizon."""
    a, m = assumptions, assumptions.relative_bias
    h = a.smoothness * eta
    away = abs(1 - h)

    start, drive = float(product(2, a.smoothness, a.gap)), float(product(a.smoothness, eta, a.noise))

    def times(share: float, whole: float, *parts: float) -> float:
        """A share of a product, which may exceed float64 where the share of it does not."""
        return share * whole if math.isfinite(whole) else float(product(share, *parts))

    def parts(log_weight: float) -> tuple[float, float, float]:
        weight = math.exp(log_weight)
        pull = away * (weight + m / weight if m else weight) / 2 if away else 0.0
        # κ = hu/2; nothing below is divided by h, which may be too small for float64.
        u = 2 * (1 - h / 2 - pull - h * m / 2)
        if math.isinf(horizon):
            share, paid = (0.0, 1 / u) if u > 0 else (math.inf, math.inf)
        else:
            share, rest = (float(part) for part in partial_sums(h * u, horizon))
            paid = h * rest
        if not (math.isfinite(share) and math.isfinite(paid)):
            return math.inf, math.inf, math.inf
        push = away * a.bias / weight if away and a.bias else 0.0
        return (
            times(share, start, 2, a.smoothness, a.gap),
            times(paid, drive, a.smoothness, eta, a.noise) if paid and drive else 0.0,
            paid * (push + h * a.bias) if paid else 0.0,
        )

    free = replace(a, bias=0.0, relative_bias=0.0)
    if away == 0 or (a.bias == 0 and m == 0):
        return parts(-700.0) if m == 0 else parts(0.0)
    # The best λ is near ‖b‖/‖∇f‖ at some time, whose squares lie between these. A grid first: a bounded search alone
    # might stop where the total is flat.
    squares = [x for x in (start, float(floor(a, eta))) if 0 < x < math.inf] or [1.0]
    logs = np.log([m, a.bias], out=np.full(2, -np.inf), where=[m > 0, a.bias > 0])
    low, high = (0.5 * float(np.logaddexp(logs[0], logs[1] - math.log(x))) for x in (max(squares), min(squares)))
    grid = np.clip(np.linspace(low - 4, high + 4, 64), -700, 700)
    totals = [sum(parts(point)) for point in grid]
    best = int(np.argmin(totals))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    with np.errstate(invalid="ignore", over="ignore"):  # of members that are infinite
        found: Any = scipy.optimize.minimize_scalar(
            lambda x: sum(parts(x)), bounds=around, method="bounded", options={"xatol": 1e-10}
        )
    total = min(totals[best], float(refined_bound(a, eta, horizon)), float(found.fun))
    transient, noise, _ = _tight(free, eta, horizon)
    # Bias takes nothing away: what is less than zero is rounding.
    return transient, noise, max(total - transient - noise, 0.0) if math.isfinite(total) else math.inf


def partial_sums(y: ArrayLike, horizon: float) -> tuple[Any, Any]:
    """e = (1 - (1-y)^T)/(yT) and (1-e)/y, for y ≤ 1 (negative too) and finite T: regular at y = 0."""
    y = np.asarray(y, dtype=float)
    if horizon <= 64 and horizon == int(horizon):
        # The sums themselves, whose terms are not negative: the quotients lose digits.
        total, term = np.zeros_like(y), np.zeros_like(y)
        with np.errstate(over="ignore"):
            for _ in range(int(horizon)):
                total = total + term
                term = term * (1 - y) + 1
        return term / horizon, total / horizon
    with np.errstate(all="ignore"):
        e = -np.expm1(horizon * np.log1p(-y)) / (y * horizon)
        # (1-e)/y = (T-1)/2 (1 - y(T-2)/3 (1 - y(T-3)/4 (…))), where the quotient itself would lose digits.
        rest = np.ones_like(y)
        for k in range(15, 1, -1):
            rest = 1 - y * (horizon - k) / (k + 1) * rest
        rest *= (horizon - 1) / 2
        small = np.abs(y) * horizon < 0.5
        return np.where(small, 1 - y * rest, e), np.where(small, rest, (1 - e) / y)


def extremal_average(assumptions: Assumptions, step: float, steps: int) -> float:
    """A² on the extremal problem: no bound of A² can be smaller, so it brackets the worst case from below.

    The problem is f = Λ‖x‖²/2 with f(x₀) = Δ, the bias along ∓∇f and the noise orthogonal to it, where
    ``‖∇f‖² ← (|1-h|‖∇f‖ + h‖b‖)² + h²σ²``, from 2ΛΔ on, exactly.

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ, σ², ζ² and m.
    step, steps : float, int
        η and T ≤ 10⁶.

    Returns
    -------
    float
        The average of ‖∇f(x_t)‖² over the T steps.

    Raises
    ------
    ValueError
        As :func:`sharp_bound`, or if T > 10⁶.

    Examples
    --------
    >>> at = Assumptions(smoothness=1, gap=1, noise=0, bias=1)
    >>> round(extremal_average(at, 1.5, 8), 4), round(tight_bound(at, 1.5, 8).total, 4)
    (7.0497, 7.1903)
    """
    eta, horizon = sharp_domain(
        assumptions, number("step", step), number("steps", steps, infinite=True), "extremal_average"
    )
    if horizon > 1e6:
        raise ValueError(f"steps = {steps!r}: extremal_average takes at most 10⁶ steps; its limit is floor(...)")
    a, h = assumptions, assumptions.smoothness * float(eta)
    # In units of the largest term, as a power of two: no rounding, and no overflow or underflow where the average has
    # none. ΛΔ, h²ζ² and h²σ² may each be out of the range of numbers.
    factors = ((a.smoothness, a.gap), (h, h, a.bias), (h, h, a.noise))
    split = [[math.frexp(x) for x in product_of] for product_of in factors]
    exponents = [sum(e for _, e in parts) if all(m for m, _ in parts) else -5000 for parts in split]
    if horizon == 1:  # neither bias nor noise is in the first gradient, and their unit may be too large for it
        exponents[1:] = -5000, -5000
    unit = max(exponents)
    start, bias, noise = (
        math.ldexp(math.prod(m for m, _ in parts), max(e - unit, -5000))
        for parts, e in zip(split, exponents, strict=True)
    )
    square, total = 2 * start, 0.0
    for _ in range(int(horizon)):
        total += square
        pushed = math.sqrt((h * math.sqrt(a.relative_bias)) ** 2 * square + bias)
        square = (abs(1 - h) * math.sqrt(square) + pushed) ** 2 + noise
    with np.errstate(over="ignore"):
        return float(np.ldexp(total / int(horizon), unit))
