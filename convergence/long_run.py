"""The exact worst case of long runs without noise, in closed form."""

from __future__ import annotations

import math

from convergence.arguments import number
from convergence.assumptions import Assumptions
from convergence.terms import checked_step, checked_steps, product

__all__ = ["long_run_law"]


def long_run_law(assumptions: Assumptions, step: float, steps: float) -> float:
    """The largest average of ‖∇f‖² as T → ∞ at a fixed R = Δ/(ηT), without noise, for 0 < h ≤ 1: exact.

    It is (ζ + U)² where ``(1 - h/4) U² + ζU = R``, up to U = 2ζ(1-h)/h; from there on it grows by 2/(2-h) times R. The
    sharp bound has 1 - h/2 in place of 1 - h/4. For finite T it is neither an upper nor a lower bound: see
    :func:`stepwise_bound` for one. This toolkit's own.

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ and ζ², which bounds every single bias; σ² and m must be zero.
    step, steps : float
        η and T, which enter through h = Λη and R.

    Returns
    -------
    float
        A squared gradient norm.

    Raises
    ------
    ValueError
        With noise, a relative bias, or Λη outside (0, 1].

    Examples
    --------
    >>> from convergence import sharp_bound, stepwise_bound
    >>> at = Assumptions(smoothness=1, gap=300, noise=0, bias=1)
    >>> [round(float(f(at, 0.5, 200)), 2) for f in (long_run_law, stepwise_bound, sharp_bound)]
    [5.6, 5.61, 5.96]
    """
    eta = float(checked_step(assumptions, number("step", step), 1.0, closed=True, name="the long-run law"))
    horizon = float(checked_steps(number("steps", steps, infinite=True)))
    if assumptions.noise or assumptions.relative_bias:
        raise ValueError(
            f"noise = {assumptions.noise!r}, relative_bias = {assumptions.relative_bias!r}: the long-run law holds "
            "without either; use the stepwise bound"
        )
    h, zeta = min(assumptions.smoothness * eta, 1.0), math.sqrt(assumptions.bias)
    rate, curve = float(product(assumptions.gap, over=(eta, horizon))), 1 - h / 4
    if math.isinf(rate):
        return math.inf
    # Where the surplus U is most, the first gradients begin to matter.
    most = 0.0 if zeta == 0 or h == 1 else 2 * zeta * (1 - h) / h if h else math.inf
    turn = most * (curve * most + zeta) if most else 0.0
    if rate >= turn:
        return (zeta + most) * (zeta + most) + 2 / (2 - h) * (rate - turn)
    surplus = 2 * rate / (zeta + math.hypot(zeta, 2 * math.sqrt(curve) * math.sqrt(rate))) if rate else 0.0
    return (zeta + surplus) * (zeta + surplus)
