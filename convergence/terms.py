"""What every bound returns: its terms, its domain checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.arguments import broadcast, instance, real, shown
from convergence.assumptions import Assumptions
from convergence.notebook import table

__all__ = ["Bound", "checked_relative_bias", "checked_step", "checked_steps", "make_bound", "product"]

# Λ · (1/Λ) may exceed 1 by a rounding; a step chosen as 1/Λ must be accepted.
_ROUNDING = 4 * np.finfo(float).eps


@dataclass(frozen=True, kw_only=True)
class Bound:
    """An upper bound, split into what vanishes with the horizon, with the noise and with the bias.

    Attributes
    ----------
    name : str
        The bound's name.
    transient, noise, bias : float or ndarray
        The part that vanishes as T → ∞; the part due to σ²; what remains, zero without bias.
    total : float or ndarray
        Their sum. ``float(bound)`` is the total.
    quantity : str
        What is bounded.
    step, steps : float or ndarray
        η and T (∞ for a floor).
    momentum, nesterov : float, bool
        Of the runs that it bounds.
    """

    name: str
    transient: Any
    noise: Any
    bias: Any
    total: Any
    quantity: str
    step: Any
    steps: Any
    momentum: float = 0.0
    nesterov: bool = False

    def __float__(self) -> float:
        """The total as a float."""
        return float(self.total)

    def _repr_html_(self) -> str:
        """In a notebook: its terms and their sum."""
        names = ("transient", "noise", "bias", "total", "step", "steps")
        return table(f"{self.name} bound of the {self.quantity}", {name: getattr(self, name) for name in names})


def checked_relative_bias(assumptions: Assumptions, name: str, *, absolute: bool = False) -> float:
    """m, after checking m < 1, or m = 0 where the bound is one for absolute bias only."""
    m = instance("assumptions", assumptions, Assumptions).relative_bias
    if m and absolute:
        raise ValueError(f"relative_bias = {m!r}: {name} holds for absolute bias only; use 0")
    if m >= 1:
        raise ValueError(f"relative_bias = {m!r}: {name} holds for m < 1; reduce the relative bias")
    return m


def checked_step(
    assumptions: Assumptions, step: ArrayLike, limit: float, *, closed: bool, name: str
) -> NDArray[np.float64]:
    """η as an array, after checking 0 < Λη ≤ limit (or < limit)."""
    eta, limit = real("step", step), float(limit)
    with np.errstate(over="ignore", under="ignore"):
        h = instance("assumptions", assumptions, Assumptions).smoothness * eta
    bad = ~((eta > 0) & ((h <= limit * (1 + _ROUNDING)) if closed else (h < limit)))
    if bad.any():
        first = float(np.atleast_1d(eta)[np.atleast_1d(bad)][0])
        remedy = f"use a step above 0 and below {limit / assumptions.smoothness:.6g}"
        if limit == 1.0 and 1.0 < assumptions.smoothness * first < 2.0:
            remedy = "use the sharp bound, valid for Λη < 2"
        sign = "<=" if closed else "<"
        raise ValueError(
            f"step = {first!r} gives Λη = {assumptions.smoothness * first:.6g}: "
            f"{name} holds for 0 < Λη {sign} {limit:.6g}; {remedy}"
        )
    return eta


def product(*factors: ArrayLike, over: tuple[ArrayLike, ...] = ()) -> NDArray[np.float64]:
    """The factors' product over that of ``over``, where parts of it may exceed float64 while the whole does not.

    For numbers >= 0; 0/∞ is 0, and so is 0 · ∞ here: a cause that is zero has no effect.

    >>> float(product(1e-200, 1e-200, 1e300, over=(1e-90,))), float(product(1e300, 1e300))
    (1e-10, inf)
    """
    value, exponent = np.float64(1.0), np.int64(0)
    zero: Any = False
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        for inverse, group in ((False, factors), (True, over)):
            for factor in group:
                mantissa, power = np.frexp(np.asarray(factor, dtype=np.float64))
                value, carry = np.frexp(value / mantissa if inverse else value * mantissa)
                exponent = exponent + carry + (-power.astype(np.int64) if inverse else power)
                if not inverse:
                    zero = zero | (np.asarray(factor) == 0)
        # Beyond these every float has become zero or infinite.
        return np.where(zero, 0.0, np.ldexp(value, np.clip(exponent, -5000, 5000).astype(np.int32)))


def checked_steps(steps: ArrayLike, step: ArrayLike = 1.0) -> NDArray[np.float64]:
    """T as an array, after checking T ≥ 1 and that its shape goes with that of η."""
    horizon = real("steps", steps)
    if not (horizon >= 1).all():
        raise ValueError(
            f"steps = {shown(steps)}: expected at least 1 step; give the number of SGD steps T (inf for a floor)"
        )
    broadcast(steps=horizon, step=np.asarray(step))
    return horizon


def make_bound(
    name: str, terms: tuple[Any, Any, Any], step: Any, steps: Any, quantity: str = "squared gradient norm",
    **momentum: Any,
) -> Bound:  # fmt: skip
    """A bound from its transient, noise and bias terms, as floats where they are scalars."""
    transient, noise, bias = (t.item() if np.ndim(t) == 0 else t for t in (np.asarray(t, dtype=float) for t in terms))
    step, steps = (s.item() if np.ndim(s) == 0 else s for s in (np.asarray(step), np.asarray(steps)))
    with np.errstate(over="ignore"):
        total = transient + noise + bias
    return Bound(
        name=name, transient=transient, noise=noise, bias=bias, total=total,
        quantity=quantity, step=step, steps=steps, **momentum,
    )  # fmt: skip
