"""What the bias monitor is given: each argument is right, or an error names it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["checked_integer", "checked_number", "checked_samples", "checked_students"]


def checked_number(name: str, value: Any, low: float, high: float = math.inf, *, above: bool = False) -> float:
    """A finite number of at least (or, if that is asked, above) ``low`` and below ``high``."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} = {value!r}: expected a real number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (low < number if above else low <= number) or not number < high:
        allowed = f"{'above' if above else 'of at least'} {low:g}"
        got = repr(value) if abs(number) < math.inf or isinstance(value, float) else "a number beyond any float"
        raise ValueError(
            f"{name} = {got}: expected a number {allowed}" + (f" and below {high:g}" if math.isfinite(high) else "")
        )
    return number


def checked_integer(name: str, value: Any, low: int) -> int:
    """An integer of at least ``low`` that fits in 64 bits."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} = {value!r}: expected an integer")
    number = int(value)
    if not low <= number < 2**63:
        got = f"{number}" if abs(number) < 2**64 else "an integer of many digits"
        raise ValueError(f"{name} = {got}: expected at least {low}, and less than 2^63")
    return number


def checked_students(students: Any) -> list[nn.Module]:
    """Different networks with trainable weights, as a list."""
    if not isinstance(students, Sequence | nn.ModuleList):
        raise TypeError(f"students must be a list of networks, but got {type(students).__name__}")
    out = list(students)
    for k, student in enumerate(out):
        if not isinstance(student, nn.Module):
            raise TypeError(f"students[{k}] must be a torch.nn.Module, but got {type(student).__name__}")
        if not any(p.requires_grad for p in student.parameters()):
            raise ValueError(f"students[{k}] has no trainable weights: leave it out")
    weights = [id(p) for s in out for p in s.parameters() if p.requires_grad]
    if not out or len(set(weights)) < len(weights):
        raise ValueError("students must be at least one network, none of which shares weights with another")
    return out


def checked_samples(x: Any, y: Any) -> None:
    """Raise unless these are samples (N, ...), finite, and integer labels (N,)."""
    for name, value in (("x", x), ("y", y)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, but got {type(value).__name__}; use torch.as_tensor")
    if y.ndim != 1 or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise TypeError(f"y must hold integer labels (N,), but got {y.dtype} of shape {tuple(y.shape)}")
    if x.ndim < 1 or len(x) != len(y) or not len(y):
        raise ValueError(
            f"x of shape {tuple(x.shape)} and y of {tuple(y.shape)}: expected as many samples as labels, at least one"
        )
    if x.device != y.device:
        raise ValueError(f"x is on {x.device} and y on {y.device}: move one with .to()")
    if (x.is_floating_point() or x.is_complex()) and not bool(x.isfinite().all()):
        raise ValueError("x holds NaN or infinite values: remove those samples")
