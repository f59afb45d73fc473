"""Argument checks of the torch losses: what came, what is allowed, what to do.

Checks that look at the data are made on the CPU only, where they cost no synchronisation, and not inside
`torch.compile` or a `torch.func` transform, where data must not steer the control flow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad

# types that every kernel takes: 8-bit floats lack most operations
TYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
REDUCTIONS = ("batchmean", "mean", "sum", "none")
# probabilities are told from logits by rows that are not negative and sum to one within this many units of roundoff:
# one of their type, since each is rounded relative to itself, and one per class of the type in which softmax sums
SUM_ROUNDINGS = 4


def transforms_active() -> bool:
    """Whether a torch.func transform is active, or forward mode outside of one."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def has_values(x: Tensor) -> bool:
    """Whether `x` holds numbers: meta and fake tensors have a shape only."""
    return not (x.is_meta or isinstance(x, FakeTensor))


def inspectable(x: Tensor) -> bool:
    """Whether the values of `x` may be looked at."""
    return x.is_cpu and not torch.compiler.is_compiling() and not transforms_active() and has_values(x)


def checked_logits(name: str, x: Any) -> Tensor:
    """Return `x` if it is a floating-point tensor with at least one axis and one class."""
    # the usual case, without further calls
    if type(x) is Tensor and x.dtype in TYPES and x.layout is torch.strided and x.ndim:
        return x
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of logits, but got {type(x).__name__}; use torch.as_tensor")
    if not x.is_floating_point():
        raise TypeError(f"{name} must hold floating-point logits, but got {x.dtype}; convert it, e.g. with .float()")
    if x.dtype not in TYPES or x.layout != torch.strided:
        kinds = ", ".join(str(kind).removeprefix("torch.") for kind in TYPES)
        raise TypeError(f"{name} must be a dense tensor of {kinds}, but got {x.dtype}, {x.layout}; convert it")
    if x.ndim == 0:
        raise ValueError(f"{name} must have a class axis, but got a 0-d tensor; expected shape (..., C)")
    return x


def extremes(names: Sequence[str], views: Sequence[Tensor]) -> tuple[float, float] | None:
    """Return the smallest and the largest of all logits, (N, C) each, or None if they are not on the CPU or hold NaN.

    They must have values. Raise if one of them evidently holds probabilities.
    """
    if not views[0].is_cpu or not views[0].numel():
        return None
    least, greatest, total = math.inf, -math.inf, 0.0
    for k, x in enumerate(views):
        low, top = x.aminmax()
        low, top = low.item(), top.item()
        if low >= 0.0:
            refuse_probabilities(names[k], x)
        least, greatest, total = min(low, least), max(top, greatest), total + low
    # NaN may hide from min
    return (least, greatest) if total == total else None


def refuse_probabilities(name: str, x: Tensor) -> None:
    """Raise if `x`, (..., C), evidently holds probabilities: several rows, none negative, each summing to one."""
    classes = x.shape[-1]
    if not inspectable(x) or classes < 2 or x.numel() <= classes or not bool((x.detach() >= 0.0).all()):
        return
    eps = torch.finfo(x.dtype).eps
    tolerance = SUM_ROUNDINGS * (eps + classes * min(eps, torch.finfo(torch.float32).eps))
    if bool(((x.detach().double().sum(-1) - 1.0).abs() <= tolerance).all()):
        raise ValueError(
            f"{name} must hold logits, but every row is non-negative and sums to 1, as probabilities do; "
            "pass the logits before softmax, or probs.log()"
        )


def checked_alpha(alpha: Any) -> float | Tensor:
    """Return the order as a float, or as a tensor if it is one, after checking that it lies in [0, inf]."""
    if isinstance(alpha, Tensor):
        if alpha.dtype == torch.bool or alpha.is_complex():
            raise TypeError(f"alpha must be real, but got a tensor of {alpha.dtype}; use a floating-point tensor")
        if inspectable(alpha) and not bool((alpha.detach() >= 0).all()):
            raise ValueError(f"alpha must lie in [0, inf], but got {_worst(alpha)}; clamp it, or use LearnableOrder")
        return alpha
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)):
        raise TypeError(f"alpha must be a real number or a tensor, but got {alpha!r} ({type(alpha).__name__})")
    if not alpha >= 0:
        raise ValueError(f"alpha must lie in [0, inf], but got {alpha}; use float('inf') for the max-divergence")
    return float(alpha)


def _worst(alpha: Tensor) -> float:
    values = alpha.detach().double().reshape(-1)
    return float("nan") if bool(values.isnan().any()) else values.min().item()


def checked_number(name: str, value: Any, *, positive: bool) -> float:
    """Return a finite number above 0 (`positive`), or at least 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a real number, but got {value!r} ({type(value).__name__})")
    allowed = value > 0 if positive else value >= 0
    if not (allowed and value < math.inf):
        bound = "positive" if positive else "at least 0"
        remedy = "1.0 leaves the logits as they are" if name == "temperature" else "0.0 switches the loss off"
        raise ValueError(f"{name} must be finite and {bound}, but got {value}; {remedy}")
    return float(value)


def check_weights(beta: Tensor, students: int) -> None:
    """Raise unless `beta`, 0-d or (K,), holds real weights that are finite and at least 0."""
    if beta.dtype == torch.bool or beta.is_complex():
        raise TypeError(f"beta must be real, but got a tensor of {beta.dtype}; use a floating-point tensor")
    if beta.ndim and beta.shape != (students,):
        raise ValueError(
            f"beta must be one weight or one per student, shape ({students},), but got {tuple(beta.shape)}"
        )
    if inspectable(beta) and not bool(((beta >= 0) & (beta < math.inf)).all()):
        raise ValueError(f"beta must be finite and at least 0, but got {beta.tolist()}; 0.0 switches a loss off")


def checked_reduction(reduction: Any) -> str:
    """Return a known reduction."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(map(repr, REDUCTIONS))}, but got {reduction!r}")
    return reduction


def kept_rows(mask: Any, targets: Any, ignore_index: Any, batch: Sequence[int]) -> Tensor | None:
    """Return which rows of the batch shape count, as a boolean mask, or None for all."""
    batch = tuple(batch)
    if mask is not None:
        if not isinstance(mask, Tensor):
            raise TypeError(f"mask must be a boolean torch.Tensor, but got {type(mask).__name__}")
        if mask.dtype != torch.bool:
            raise TypeError(f"mask must be boolean, but got {mask.dtype}; use e.g. labels != -100")
        if mask.shape != batch:
            raise ValueError(
                f"mask must have the shape of the logits without classes, {batch}, but got {tuple(mask.shape)}"
            )
    checked_index(ignore_index)
    if targets is None:
        return mask
    if not isinstance(targets, Tensor):
        raise TypeError(f"targets must be a torch.Tensor of class indices, but got {type(targets).__name__}")
    if targets.dtype == torch.bool or targets.is_floating_point() or targets.is_complex():
        raise TypeError(f"targets must hold class indices, but got {targets.dtype}; pass a boolean tensor as mask=")
    if targets.shape != batch:
        raise ValueError(
            f"targets must have the shape of the logits without classes, {batch}, but got {tuple(targets.shape)}"
        )
    counted = targets != ignore_index
    return counted if mask is None else mask & counted


def checked_index(ignore_index: Any) -> int:
    """Return an integer index."""
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
        raise TypeError(f"ignore_index must be an integer, but got {ignore_index!r} ({type(ignore_index).__name__})")
    return ignore_index


def divisor(reduction: str, batch: Sequence[int], mask: Tensor | None) -> int | Tensor:
    """Return by what a sum over rows is divided: at least one, also where no row counts."""
    if reduction == "batchmean":
        return max(batch[0], 1) if len(batch) else 1
    if reduction == "mean":
        return max(math.prod(batch), 1) if mask is None else mask.sum().clamp(min=1)
    return 1


def result_dtype(*logits: Tensor) -> torch.dtype:
    """Return the dtype of a loss: that of the logits, or float32 for half types under autocast, as kl_div does."""
    kind = logits[0].dtype
    for x in logits[1:]:
        if x.dtype != kind:
            kind = torch.promote_types(kind, x.dtype)
    if kind.itemsize < 4 and not logits[0].is_meta and torch.is_autocast_enabled(logits[0].device.type):
        return torch.float32
    return kind
