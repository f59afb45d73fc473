"""Argument checks of the torch losses: what came, what is allowed, what to do.

Checks that look at the data are made on the CPU only, where they cost no synchronisation, and not inside
`torch.compile` or a `torch.func` transform, where data must not steer the control flow.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import TransformType, get_interpreter_stack  # pyright: ignore[reportMissingImports]
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad

from rdml_theory._validation import real_number, shown

# types that every kernel takes: 8-bit floats lack most operations
TYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
REDUCTIONS = ("batchmean", "mean", "sum", "none")
# probabilities are told from logits by rows that are not negative and sum to one within this many units of roundoff:
# one of their type, since each is rounded relative to itself, and one per class of the type in which softmax sums
SUM_ROUNDINGS = 4
# temperatures: the square of any, the divergence that it multiplies, and logits over it stay in the range of float64
TEMPERATURES = (1e-100, 1e100)
# weights: a gradient of float32 stays in its range
MOST_WEIGHT = 1e35
# logits of one student with more axes than (B, S, C) may be images, whose classes torch has on axis 1
MOST_AXES = 3


def transforms_active() -> bool:
    """Whether a torch.func transform is active, or forward mode outside of one."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def forward_levels() -> int:
    """Return how many levels of torch.func's forward mode are active."""
    return sum(level.key() == TransformType.Jvp for level in get_interpreter_stack() or [])


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
        raise TypeError(f"{name} has type {type(x).__name__}: expected a torch.Tensor of logits; use torch.as_tensor")
    if not x.is_floating_point():
        raise TypeError(f"{name} has dtype {x.dtype}: expected floating-point logits; convert it, e.g. with .float()")
    if x.dtype not in TYPES or x.layout != torch.strided:
        kinds = ", ".join(str(kind).removeprefix("torch.") for kind in TYPES)
        raise TypeError(f"{name} has {x.dtype}, {x.layout}: expected a dense tensor of {kinds}; convert it")
    if x.ndim == 0:
        raise ValueError(f"{name} is a 0-d tensor: expected shape (..., C), with a class axis")
    return x


def extremes(views: Sequence[Tensor], names: Sequence[str] = ()) -> tuple[float, float] | None:
    """Return the smallest and the largest of all logits, (N, C) each, or None if some are NaN.

    With names, raise if some on the CPU evidently hold probabilities.
    """
    least, greatest = math.inf, -math.inf
    broken = False
    for k, x in enumerate(views if views[0].numel() else ()):
        low, top = x.aminmax()
        low, top = low.item(), top.item()
        if names and low >= 0.0:
            refuse_probabilities(names[k], x)
        # a NaN is both ends, and may hide from min
        broken = broken or low != low
        least, greatest = min(low, least), max(top, greatest)
    return None if broken else (least, greatest)


def refuse_probabilities(name: str, x: Tensor) -> None:
    """Raise if `x`, (..., C), evidently holds probabilities: several rows, none negative, each summing to one.

    One-hot rows are no softmax of finite logits, unless rounded: they are taken as logits, with a warning, since they
    may be labels.
    """
    classes = x.shape[-1]
    if not inspectable(x) or classes < 2 or x.numel() <= classes or not bool((x.detach() >= 0.0).all()):
        return
    eps = torch.finfo(x.dtype).eps
    tolerance = SUM_ROUNDINGS * (eps + classes * min(eps, torch.finfo(torch.float32).eps))
    if bool(((x.detach().double().sum(-1) - 1.0).abs() <= tolerance).all()):
        if bool(((x == 0.0) | (x == 1.0)).all()):
            warnings.warn(f"{name} has one-hot rows, which are taken as logits, not as labels", stacklevel=_outside())
            return
        raise ValueError(
            f"{name} has non-negative rows that all sum to 1, as probabilities do: expected logits; pass those before "
            "softmax, or probs.log(); if these are logits, subtract 1, which does not change the softmax"
        )


def checked_alpha(alpha: Any) -> float | Tensor:
    """Return the order as a float, or as a tensor if it is one, after checking that it lies in [0, inf]."""
    if isinstance(alpha, Tensor):
        _check_real("alpha", alpha)
        if inspectable(alpha) and not bool((alpha.detach() >= 0).all()):
            raise ValueError(f"alpha = {_worst(alpha)}: expected orders in [0, inf]; clamp it, or use LearnableOrder")
        return alpha
    value = _real("alpha", alpha, "a real number or a tensor")
    if not value >= 0:
        raise ValueError(f"alpha = {alpha}: expected an order in [0, inf]; use float('inf') for the max-divergence")
    return value


def _real(name: str, value: Any, kind: str = "a real number") -> float:
    """Return a real number of Python or NumPy as a float."""
    # exact types first: the tracer of torch.compile knows them, and they are the usual case
    if type(value) is float:
        return value
    try:
        number = real_number(value)
    except OverflowError:
        raise ValueError(
            f"{name} is beyond float64: expected a number of at most 1.8e308, the largest float, or float('inf')"
        ) from None
    if number is None:
        raise TypeError(f"{name} = {shown(value)} ({type(value).__name__}): expected {kind}")
    return number


def _check_real(name: str, x: Tensor) -> None:
    if x.dtype == torch.bool or x.is_complex():
        raise TypeError(f"{name} has dtype {x.dtype}: expected real numbers; use a floating-point tensor")
    if x.layout is not torch.strided or (x.dtype.itemsize < 2 and x.is_floating_point()):
        raise TypeError(f"{name} has {x.dtype}, {x.layout}: expected a dense tensor; convert it, e.g. with .float()")


def _worst(alpha: Tensor) -> float:
    values = alpha.detach().double().reshape(-1)
    return float("nan") if bool(values.isnan().any()) else values.min().item()


def checked_temperature(value: Any) -> float:
    """Return a temperature in the range in which all losses are right."""
    number = _real("temperature", value)
    if not TEMPERATURES[0] <= number <= TEMPERATURES[1]:
        raise ValueError(
            f"temperature = {value}: expected a number from {TEMPERATURES[0]:g} to {TEMPERATURES[1]:g}; "
            "1.0 leaves the logits unchanged"
        )
    return number


def checked_weight(value: Any) -> float:
    """Return the weight of a loss."""
    number = _real("beta", value)
    if not 0.0 <= number <= MOST_WEIGHT:
        raise ValueError(f"beta = {value}: expected a number from 0 to {MOST_WEIGHT:g}; 0.0 switches the loss off")
    return number


def checked_positive(name: str, value: Any) -> float:
    """Return a positive finite number."""
    number = _real(name, value)
    if not 0.0 < number < math.inf:
        raise ValueError(f"{name} = {value}: expected a finite number > 0")
    return number


def checked_integer(name: str, value: Any) -> int:
    """Return an integer of Python or NumPy."""
    if isinstance(value, bool) or not isinstance(value, (int, Integral)):
        raise TypeError(f"{name} = {shown(value)} ({type(value).__name__}): expected an integer")
    return int(value)


def checked_flag(name: str, value: Any) -> bool:
    """Return a truth value."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} = {shown(value)} ({type(value).__name__}): expected True or False")
    return value


def checked_axis(dim: Any) -> int | None:
    """Return an axis, or None for the last one unless that is in doubt."""
    return None if dim is None else checked_integer("dim", dim)


def classes_last(name: str, x: Tensor, dim: int | None, *, students: int = 0) -> Tensor:
    """Return logits with their classes on the last axis, from axis `dim` of one student's.

    `students` is the number of leading axes before those of one student. With no axis given the last is taken, with a
    warning where there are so many that they may be (B, C, H, W).
    """
    axes = x.ndim - students
    if dim is None:
        if axes > MOST_AXES and not torch.compiler.is_compiling():
            warnings.warn(
                f"{name} has shape {tuple(x.shape)}, and its last axis is taken for the classes; pass dim=1 if they "
                "are on axis 1, as in images (B, C, H, W), or dim=-1 to say that they are last",
                stacklevel=_outside(),
            )
        return x
    if not -axes <= dim < axes:
        counted = " for one student" if students else ""
        raise ValueError(f"dim = {dim}: expected an axis of {name}, from {-axes} to {axes - 1}{counted}")
    return x if dim in (-1, axes - 1) else x.movedim(dim if dim < 0 else dim + students, -1)


def _outside() -> int:
    """Return how many frames above the function that warns the caller of this package is."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(("rdml_theory.", "torch.")):
        frame, level = frame.f_back, level + 1
    return level


def check_weights(beta: Tensor, students: int) -> None:
    """Raise unless `beta`, 0-d or (K,), holds real weights that are finite and at least 0."""
    _check_real("beta", beta)
    if beta.ndim and beta.shape != (students,):
        raise ValueError(
            f"beta has shape {tuple(beta.shape)}: expected one weight, or one per student, shape ({students},)"
        )
    if inspectable(beta) and not bool(((beta >= 0) & (beta <= MOST_WEIGHT)).all()):
        raise ValueError(f"beta = {beta.tolist()}: expected numbers from 0 to {MOST_WEIGHT:g}; 0.0 switches a loss off")


def checked_reduction(reduction: Any) -> str:
    """Return a known reduction."""
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        raise ValueError(f"reduction = {shown(reduction)}: expected one of {', '.join(map(repr, REDUCTIONS))}")
    return reduction


def checked_students(logits: Sequence[Any], names: Sequence[str], dim: int | None) -> list[Tensor]:
    """Return logits (..., C) of several students, their classes last, after checking that they fit together."""
    parts = [checked_logits(name, x) for name, x in zip(names, logits, strict=True)]
    if dim is not None or parts[0].ndim > MOST_AXES:
        parts = [classes_last(name, x, dim) for name, x in zip(names, parts, strict=True)]
    shape, device = parts[0].shape, parts[0].device
    for name, x in zip(names, parts, strict=True):
        if x.shape != shape:
            raise ValueError(
                f"{names[0]} has shape {tuple(shape)} and {name} {tuple(x.shape)}: expected the same "
                f"{'batch' if x.shape[-1] == shape[-1] else 'classes'}"
            )
        if x.device != device:
            raise ValueError(
                f"{names[0]} is on {device} and {name} on {x.device}: expected one device; move them with .to()"
            )
    if shape[-1] == 0:
        raise ValueError(f"{names[0]} has shape {tuple(shape)}: expected at least one class")
    return parts


def kept_rows(mask: Any, targets: Any, ignore_index: Any, batch: Sequence[int]) -> Tensor | None:
    """Return which rows of the batch shape count, as a boolean mask, or None for all."""
    ignore_index = checked_integer("ignore_index", ignore_index)
    for name, x in (("mask", mask), ("targets", targets)):
        if x is None:
            continue
        if not isinstance(x, Tensor):
            kind = "a boolean torch.Tensor" if x is mask else "a torch.Tensor of class indices"
            raise TypeError(f"{name} has type {type(x).__name__}: expected {kind}")
        flags, dense = x.dtype == torch.bool, x.layout is torch.strided
        if x is mask and not (flags and dense):
            raise TypeError(f"mask has {x.dtype}, {x.layout}: expected a dense boolean tensor; use e.g. labels != -100")
        if x is targets and (flags or x.is_floating_point() or x.is_complex() or not dense):
            raise TypeError(
                f"targets has {x.dtype}, {x.layout}: expected class indices; pass a boolean tensor as mask="
            )
        if x.shape != batch:
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}: expected that of the logits without classes, {tuple(batch)}; "
                "dim= says which axis the classes are on"
            )
    if targets is None:
        return mask
    counted = targets != ignore_index
    return counted if mask is None else mask & counted


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
