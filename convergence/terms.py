"""What every bound returns: its terms, its domain checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.assumptions import Assumptions

__all__ = ["Bound", "checked_step", "checked_steps", "make_bound", "real"]

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
    """

    name: str
    transient: Any
    noise: Any
    bias: Any
    total: Any
    quantity: str
    step: Any
    steps: Any

    def __float__(self) -> float:
        """The total as a float."""
        return float(self.total)


def checked_step(
    assumptions: Assumptions, step: ArrayLike, limit: float, *, closed: bool, name: str
) -> NDArray[np.float64]:
    """η as an array, after checking 0 < Λη ≤ limit (or < limit)."""
    if not isinstance(assumptions, Assumptions):
        raise TypeError(f"assumptions = {assumptions!r}: expected convergence.Assumptions")
    eta = real("step", step)
    h = assumptions.smoothness * eta
    bad = ~((eta > 0) & ((h <= limit * (1 + _ROUNDING)) if closed else (h < limit)))
    if bad.any():
        first = float(np.atleast_1d(eta)[np.atleast_1d(bad)][0])
        remedy = f"take a step above 0 and below {limit / assumptions.smoothness:.6g}"
        if limit == 1.0 and 1.0 < assumptions.smoothness * first < 2.0:
            remedy = "use sharp_bound, valid for Λη < 2"
        sign = "<=" if closed else "<"
        raise ValueError(
            f"step = {first!r} gives Λη = {assumptions.smoothness * first:.6g}: "
            f"{name} holds for 0 < Λη {sign} {limit:.6g}; {remedy}"
        )
    return eta


def real(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """The value as float64; TypeError if it is not real."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} = {value!r}: expected a real number or an array of them")
    return array.astype(np.float64)


def checked_steps(steps: ArrayLike) -> NDArray[np.float64]:
    """T as an array, after checking T ≥ 1."""
    horizon = real("steps", steps)
    if not (horizon >= 1).all():
        raise ValueError(
            f"steps = {steps!r}: expected at least 1 step; give the number of SGD steps T (inf for a floor)"
        )
    return horizon


def make_bound(
    name: str, terms: tuple[Any, Any, Any], step: Any, steps: Any, quantity: str = "squared gradient norm"
) -> Bound:
    """A bound from its transient, noise and bias terms, as floats where they are scalars."""
    transient, noise, bias = (t.item() if np.ndim(t) == 0 else t for t in (np.asarray(t, dtype=float) for t in terms))
    step, steps = (s.item() if np.ndim(s) == 0 else s for s in (np.asarray(step), np.asarray(steps)))
    return Bound(
        name=name, transient=transient, noise=noise, bias=bias, total=transient + noise + bias,
        quantity=quantity, step=step, steps=steps,
    )  # fmt: skip
