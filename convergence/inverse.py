"""The sharp bound solved for what a user chooses: the step, the bias, the order, the weight, the horizon.

At A² = a the bound is the equation ``(1-h/2)a - |1-h| √a Z - (h/2)Z² = Δ/(ηT) + hσ²/2``, quadratic in Z, in h on either
side of h = 1, and linear in 1/T: every answer here is a closed form.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import scipy  # its parts load when they are first used
from numpy.typing import ArrayLike

from convergence.arguments import instance, number, real
from convergence.assumptions import Assumptions
from convergence.bounds import sharp_bound, sharp_domain
from convergence.mutual import mutual_bias_bound
from convergence.terms import checked_relative_bias, checked_steps, product

__all__ = ["bias_horizon", "largest_bias", "largest_order", "largest_step", "largest_weight"]


def largest_bias(assumptions: Assumptions, step: float, target: float, *, steps: float = math.inf) -> float:
    """The greatest ζ² whose :func:`sharp_bound` is at most a target.

    ``ζ² = ( ((2-h)a - d) / (√(a - hd) + |1-h| √a) )² - m a`` with a the target and d = 2Δ/(ηT) + hσ².

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ, σ² and m; its ζ² is ignored.
    step : float
        η.
    target : float
        The squared gradient norm A² that is wanted.
    steps : float
        T, or ∞ for the floor.

    Returns
    -------
    float
        ζ², a squared norm. At it the bound is the target, up to rounding.

    Raises
    ------
    ValueError
        If the target is missed even with ζ² = 0, or as :func:`sharp_bound`.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from convergence import floor
    >>> at = Assumptions(smoothness=1, gap=1, noise=0.1, bias=0)
    >>> zeta2 = largest_bias(at, 0.5, 0.2)
    >>> round(zeta2, 6), round(float(floor(replace(at, bias=zeta2), 0.5)), 12)
    (0.151669, 0.2)
    """
    a = number("target", target, least=0, strict=True)
    eta, horizon = sharp_domain(
        assumptions, number("step", step), number("steps", steps, infinite=True), "the largest bias"
    )
    h = float(assumptions.smoothness * eta)
    # d/a and all else in units of the target.
    drive = float(product(2, assumptions.gap, over=(eta, horizon, a)))
    drive += float(product(assumptions.smoothness, eta, assumptions.noise, over=(a,)))
    room = 2 - h - drive
    # Without bias the bound is d/(2-h); a target met exactly there leaves room for none.
    if room >= -1e-14:
        room = max(room, 0.0)
        norm = room / (math.sqrt(max(1 - h * drive, 0.0)) + abs(1 - h)) if room else 0.0
        square = norm**2 - assumptions.relative_bias
        if square >= -1e-14:
            return max(square, 0.0) * a
    raise ValueError(
        f"target = {target!r}: the bound exceeds it at step = {step!r} even with ζ² = 0; use a smaller step or less "
        "noise, more steps, or a larger target"
    )


def largest_step(assumptions: Assumptions, target: float, *, steps: float = math.inf) -> float:
    """The greatest η whose :func:`sharp_bound` is at most a target.

    With Z² = m a + ζ², B = a ∓ √a Z and C = (√a ∓ Z)² + σ² (upper signs where the result has h ≤ 1, lower ones beyond):
    ``η = [ B + √(B² - 2CΛΔ/T) ] / (ΛC)``, which for the floor is 2B/(ΛC).

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ, σ², ζ² and m.
    target : float
        The squared gradient norm A² that is wanted.
    steps : float
        T, or ∞ for the floor. With finitely many, steps that are too small miss the target as well.

    Returns
    -------
    float
        η. At it the bound is the target, up to rounding, or it is the last step of the bound's domain.

    Raises
    ------
    ValueError
        If no step reaches the target.

    Examples
    --------
    >>> from convergence import floor
    >>> at = Assumptions(smoothness=2, gap=1, noise=0.1, bias=0.04)
    >>> eta = largest_step(at, 0.1)
    >>> round(eta, 6), round(float(floor(at, eta)), 12)
    (0.323802, 0.1)
    """
    a, at = number("target", target, least=0, strict=True), instance("assumptions", assumptions, Assumptions)
    checked_relative_bias(at, "the largest step")
    horizon = float(checked_steps(number("steps", steps, infinite=True)))
    # Z, σ² and ΛΔ/T in units of the target, or its root.
    pushed = math.hypot(math.sqrt(at.relative_bias), math.sqrt(at.bias) / math.sqrt(a))
    noise, rest = float(product(at.noise, over=(a,))), float(product(at.smoothness, at.gap, over=(horizon, a)))
    limit = math.nextafter(2 / (1 + math.sqrt(at.relative_bias)), 0)

    def root(sign: int) -> float:
        """The larger h at which the bound is the target, on the branch |1-h| = sign (1-h); 0 if there is none."""
        first = 1 - sign * pushed
        second = first * first + noise
        inside = first * first - 2 * second * rest
        return (first + math.sqrt(inside)) / second if first > 0 and inside >= 0 else 0.0

    # At h = 1, where the branches meet, the bound is 2ΛΔ/T + σ² + Z². Bias alone makes it the same for all h ≤ 1, and a
    # target chosen as that value must be met in spite of rounding.
    beyond = 2 * rest + noise + pushed * pushed <= 1 + 1e-13
    h = root(-1) if beyond else root(1)
    if not beyond and not 0 < h <= 1 + 1e-12:
        raise ValueError(
            f"target = {target!r}: no step reaches it with bias ζ² = {at.bias:.6g} in T = {steps} steps; reduce "
            "the bias, take more steps, or a larger target"
        )
    return min(min(h, limit) / at.smoothness, sys.float_info.max)


def _allowed_bias(assumptions: Assumptions, step: float, target: float, steps: float, jacobian: float) -> float:
    """ζ/(√2 G), which β tanh(αρ/4) may not exceed."""
    norm = math.sqrt(largest_bias(assumptions, step, target, steps=steps))
    scale = math.sqrt(2) * number("jacobian", jacobian, least=0)
    return norm / scale if scale else math.inf


def largest_order(
    assumptions: Assumptions, step: float, target: float, *,
    beta: float, jacobian: float, log_ratio_range: ArrayLike, steps: float = math.inf,
) -> float:  # fmt: skip
    """The greatest order α of mutual learning whose bound stays under a target: ``(4/ρ) artanh( ζ/(√2 βG) )``.

    ζ² is :func:`largest_bias`, confronted with the a-priori form of :func:`mutual_bias_bound`.

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ, σ² and m of a student's base loss; ζ² is ignored.
    step, target, steps
        As for :func:`largest_bias`.
    beta : float
        The weight of the mutual loss.
    jacobian : float
        G, as in :func:`mutual_bias_bound`.
    log_ratio_range : float or array
        ρ, a bound of the range of log(p/q) in nats; or its values over inputs and peers, over which tanh² is averaged.

    Returns
    -------
    float
        α ≥ 0; ∞ where every order stays under the target.

    Raises
    ------
    ValueError
        If the target is missed even without bias.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from convergence import floor, mutual_bias_bound
    >>> at = Assumptions(smoothness=1, gap=1, noise=0, bias=0)
    >>> alpha = largest_order(at, 0.5, 0.01, beta=1.0, jacobian=1.0, log_ratio_range=4.0)
    >>> zeta2 = mutual_bias_bound(alpha, beta=1.0, jacobian=1.0, log_ratio_range=4.0)
    >>> round(alpha, 6), round(float(floor(replace(at, bias=zeta2), 0.5)), 12)
    (0.070829, 0.01)
    """
    allowed = _allowed_bias(assumptions, step, target, steps, jacobian)
    weight = number("beta", beta, least=0)
    rho = real("log_ratio_range", log_ratio_range)
    if rho.ndim == 0:
        rho = number("log_ratio_range", log_ratio_range, least=0, infinite=True, remedy="give ρ in nats")
        return math.inf if allowed >= weight or rho == 0 else 4 * math.atanh(allowed / weight) / rho

    mutual_bias_bound(1.0, beta=1.0, jacobian=1.0, log_ratio_range=rho)  # checks ρ
    if not rho.any():
        return math.inf
    most, times = float(rho.max()), float(product(weight, over=(allowed,)))
    if np.isinf(times):  # nothing is allowed, or so little that tanh x is x
        root = math.sqrt(np.mean(np.square(rho / most))) if np.isfinite(most) else math.inf
        return float(product(4.0, allowed, over=(weight, most, root)))

    def excess(alpha: float) -> float:
        # In units of what is allowed, for squares of small numbers are below every float.
        level = mutual_bias_bound(alpha, beta=times, jacobian=1.0, log_ratio_range=rho) / 2
        return min(float(np.mean(level)), 4.0) - 1

    if excess(math.inf) <= 0:
        return math.inf
    if excess(0.0) >= 0:
        return 0.0
    # Half the order if all had the greatest of the finite ranges: in its units the search is over numbers of any size.
    low, units = 2 * math.atanh(min(1 / times, 0.5)) / float(rho[np.isfinite(rho)].max()), 1.0
    if low == 0:
        return 0.0  # below every float
    while excess(low * units) < 0:
        units *= 2
    found = scipy.optimize.root_scalar(
        lambda y: excess(low * y), bracket=(units / 2, units), method="brentq", xtol=1e-300, rtol=1e-14
    )
    assert found.converged
    return low * float(found.root)


def largest_weight(
    assumptions: Assumptions, step: float, target: float, *,
    alpha: float, jacobian: float, log_ratio_range: ArrayLike, steps: float = math.inf,
) -> float:  # fmt: skip
    """The greatest weight β of the mutual loss whose bound stays under a target: ``ζ / (√2 G tanh(αρ/4))``.

    Parameters
    ----------
    assumptions, step, target, jacobian, log_ratio_range, steps
        As for :func:`largest_order`.
    alpha : float
        The order, in [0, ∞].

    Returns
    -------
    float
        β ≥ 0; ∞ where there is no bias at any weight.

    Raises
    ------
    ValueError
        As :func:`largest_order`.

    Examples
    --------
    >>> at = Assumptions(smoothness=1, gap=1, noise=0, bias=0)
    >>> round(largest_weight(at, 0.5, 0.01, alpha=1.0, jacobian=1.0, log_ratio_range=4.0), 6)
    0.092846
    """
    allowed = _allowed_bias(assumptions, step, target, steps, jacobian)
    alpha = number("alpha", alpha, least=0, infinite=True)
    rho = number("log_ratio_range", log_ratio_range, least=0, infinite=True, remedy="give ρ in nats")
    level = mutual_bias_bound(alpha, beta=1.0, jacobian=1.0, log_ratio_range=rho) / 2
    if level > 1e-18:
        return allowed / math.sqrt(level)
    # tanh x is x to the last digit there, and its square may be below every float.
    return float(product(allowed, 4.0, over=(alpha, rho))) if alpha and rho else math.inf


def bias_horizon(assumptions: Assumptions, step: float) -> float:
    """The number of steps from which on the bias term of :func:`sharp_bound` is at least its transient.

    More steps gain little then. ``T = ⌈2Δ/(ηx)⌉``, where x = 2Δ/(ηT) makes the transient and the bias term equal: with
    ``y = |1-h|ζ + √(2((1-h)² + 1)ζ² + h(2-h)σ²)``, it is ``x = (y² - ζ²)/(2-h) - hσ²``.

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ, σ² and ζ²; m must be zero.
    step : float
        η.

    Returns
    -------
    float
        T, a whole number ≥ 1; ∞ without bias.

    Raises
    ------
    ValueError
        With a relative bias, or as :func:`sharp_bound`.

    Examples
    --------
    >>> at = Assumptions(smoothness=1, gap=1, noise=0.1, bias=0.01)
    >>> steps = bias_horizon(at, 0.5)
    >>> before, after = sharp_bound(at, 0.5, steps - 1), sharp_bound(at, 0.5, steps)
    >>> steps, before.transient > before.bias, after.transient > after.bias
    (123.0, True, False)
    """
    checked_relative_bias(assumptions, "the bias horizon", absolute=True)
    eta, _ = sharp_domain(assumptions, number("step", step), 1, "the bias horizon")
    at, h = assumptions, float(assumptions.smoothness * eta)
    if at.bias == 0:
        return math.inf
    zeta, away = math.sqrt(at.bias), abs(1 - h)
    root = math.hypot(math.sqrt(2 * (away**2 + 1)) * zeta, math.sqrt(h * (2 - h)) * math.sqrt(at.noise))
    # (y² - ζ²)/(2-h) - hσ² over ζ, with what cancels left out.
    excess = (away * (3 * away * zeta + 2 * root) + zeta) / (2 - h)
    horizon = float(product(2, at.gap, over=(eta, zeta, excess)))
    if math.isinf(horizon):
        return math.inf
    steps = max(math.ceil(horizon), 1)
    # The formula is exact; its rounding may be off by one.
    for candidate in (steps - 1, steps, steps + 1):
        if candidate >= 1 and (bound := sharp_bound(at, float(eta), float(candidate))).transient <= bound.bias:
            return float(candidate)
    return float(steps)
