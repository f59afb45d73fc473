"""The sharp bound solved for what a user chooses: the step, the bias, the order, the weight, the horizon.

At A² = a the bound is the equation ``(1-h/2)a - |1-h| √a Z - (h/2)Z² = Δ/(ηT) + hσ²/2``, quadratic in Z, in h on either
side of h = 1, and linear in 1/T: every answer here is a closed form.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from convergence.assumptions import Assumptions
from convergence.bounds import sharp_bound, sharp_domain
from convergence.terms import real

__all__ = ["bias_horizon", "largest_bias", "largest_order", "largest_step", "largest_weight"]


def _positive(name: str, value: float, *, least: float = 0.0) -> float:
    number = float(real(name, value))
    if not (number >= least and np.isfinite(number)) or (name == "target" and number == 0):
        raise ValueError(f"{name} = {value!r}: expected a finite number {'> 0' if name == 'target' else '>= 0'}")
    return number


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
    a = _positive("target", target)
    eta, horizon = sharp_domain(assumptions, step, steps, "largest_bias")
    h = float(assumptions.smoothness * eta)
    drive = float(2 * assumptions.gap / (eta * horizon)) + h * assumptions.noise
    room = (2 - h) * a - drive
    # Without bias the bound is d/(2-h); a target met exactly there leaves room for none.
    if room >= -1e-14 * a:
        room = max(room, 0.0)
        norm = room / (math.sqrt(max(a - h * drive, 0.0)) + abs(1 - h) * math.sqrt(a)) if room else 0.0
        square = norm**2 - assumptions.relative_bias * a
        if square >= -1e-14 * a:
            return max(square, 0.0)
    raise ValueError(
        f"target = {target!r}: the bound exceeds it at step = {step!r} even with ζ² = 0; take a smaller step or less "
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
    a, at = _positive("target", target), assumptions
    # Checks T and m; any step of the domain would do.
    _, horizon = sharp_domain(at, 1e-3 / at.smoothness, steps, "largest_step")
    pushed = math.sqrt(at.relative_bias * a + at.bias)
    rest = at.smoothness * at.gap / float(horizon)
    limit = math.nextafter(2 / (1 + math.sqrt(at.relative_bias)), 0)

    def root(sign: int) -> float:
        """The larger h at which the bound is the target, on the branch |1-h| = sign (1-h); 0 if there is none."""
        norm = math.sqrt(a)
        first, second = norm * (norm - sign * pushed), (norm - sign * pushed) ** 2 + at.noise
        inside = first**2 - 2 * second * rest
        return (first + math.sqrt(inside)) / second if first > 0 and inside >= 0 else 0.0

    # At h = 1, where the branches meet, the bound is 2ΛΔ/T + σ² + Z². Bias alone makes it the same for all h ≤ 1, and a
    # target chosen as that value must be met in spite of rounding.
    beyond = 2 * rest + at.noise + pushed**2 <= a * (1 + 1e-13)
    h = root(-1) if beyond else root(1)
    if not beyond and not 0 < h <= 1 + 1e-12:
        raise ValueError(
            f"target = {target!r}: no step reaches it with bias ζ² = {at.bias:.6g} in T = {steps} steps; reduce "
            "the bias, take more steps, or a larger target"
        )
    return min(h, limit) / at.smoothness


def _allowed_bias(assumptions: Assumptions, step: float, target: float, steps: float, jacobian: float) -> float:
    """ζ/(√2 G), which β tanh(αρ/4) may not exceed."""
    norm = math.sqrt(largest_bias(assumptions, step, target, steps=steps))
    scale = math.sqrt(2) * _positive("jacobian", jacobian)
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
    log_ratio_range : float
        ρ, a bound of the range of log(p/q) in nats.

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
    >>> order = largest_order(at, 0.5, 0.01, beta=1.0, jacobian=1.0, log_ratio_range=4.0)
    >>> zeta2 = mutual_bias_bound(order, beta=1.0, jacobian=1.0, log_ratio_range=4.0)
    >>> round(order, 6), round(float(floor(replace(at, bias=zeta2), 0.5)), 12)
    (0.070829, 0.01)
    """
    allowed = _allowed_bias(assumptions, step, target, steps, jacobian)
    weight, rho = _positive("beta", beta), float(real("log_ratio_range", log_ratio_range))
    if not rho >= 0:
        raise ValueError(f"log_ratio_range = {log_ratio_range!r}: expected a number >= 0, in nats")
    if allowed >= weight or rho == 0:
        return math.inf
    return 4 / rho * math.atanh(allowed / weight)


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
    order, rho = float(real("alpha", alpha)), float(real("log_ratio_range", log_ratio_range))
    if not (order >= 0 and rho >= 0):
        raise ValueError(f"alpha = {alpha!r}, log_ratio_range = {log_ratio_range!r}: expected numbers >= 0")
    pull = math.tanh(order * rho / 4) if order and rho else 0.0
    return allowed / pull if pull else math.inf


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
    if isinstance(assumptions, Assumptions) and assumptions.relative_bias:
        raise ValueError(f"relative_bias = {assumptions.relative_bias!r}: bias_horizon holds for absolute bias; take 0")
    eta, _ = sharp_domain(assumptions, step, 1, "bias_horizon")
    at, h = assumptions, float(assumptions.smoothness * eta)
    if at.bias == 0:
        return math.inf
    zeta, away = math.sqrt(at.bias), abs(1 - h)
    root = math.sqrt(2 * (away**2 + 1) * at.bias + h * (2 - h) * at.noise)
    # (y² - ζ²)/(2-h) - hσ², with what cancels left out.
    excess = (away * zeta * (3 * away * zeta + 2 * root) + at.bias) / (2 - h)
    steps = max(math.ceil(2 * at.gap / (float(eta) * excess)), 1)
    # The formula is exact; its rounding may be off by one.
    for candidate in (steps - 1, steps, steps + 1):
        if candidate >= 1 and (bound := sharp_bound(at, float(eta), candidate)).transient <= bound.bias:
            return float(candidate)
    return float(steps)
