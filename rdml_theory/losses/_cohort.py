"""The losses of a cohort of K students at once: values, gradients in the logits, and the slope in the order.

Logits of at most 24 bits take the quick formulas (`_quick`), over blocks of rows that stay in the cache. Blocks with
powers outside of the range of float64 (large logits, excluded classes, NaN) take the exact ones (`_exact`), as do
float64 logits and the orders 0 and infinity, and rows whose values have no digits left near consensus.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from rdml_theory.losses import _exact, _quick
from rdml_theory.losses._checks import extremes
from rdml_theory.losses._quick import RANGE, SMALL, Task

# elements of one (K, rows, C) array of float64: large enough to hide the cost of a call, small enough for the cache of
# a CPU; a GPU wants many at once
BLOCK = 65536
BLOCK_GPU = 1 << 22
# with so many classes, on a GPU, Triton's kernels serve up to so many students
MANY = 8192
MOST_STUDENTS = 8


class Cohort(NamedTuple):
    """Results for the students that learn, L of them.

    Attributes
    ----------
    value
        Mean divergence from the peers, float64, shape (L, ...).
    slope
        Its derivative in the order, or None.
    gradient
        The derivative of each in its own logits, times the weight, shape (L, ..., C), or None.
    """

    value: Tensor
    slope: Tensor | None
    gradient: Tensor | None


def stored_dtype(logits: Sequence[Tensor]) -> torch.dtype:
    """Return the dtype in which gradients wait for the backward pass: half types are rounded once, there."""
    return torch.float64 if torch.float64 in [x.dtype for x in logits] else torch.float32


def evaluate(
    logits: Sequence[Tensor],
    order: float,
    *,
    temperature: float = 1.0,
    directed: bool = False,
    weight: float = 1.0,
    gradient: bool = True,
    slope: bool = False,
    extent: tuple[float, float] | None = None,
) -> Cohort:
    """Evaluate at least two students.

    Parameters
    ----------
    logits
        Logits (..., C) of each student.
    order
        The order, in [0, inf].
    temperature
        Logits are divided by it.
    directed
        Whether only the first student learns, from the second (distillation), instead of all from all.
    weight
        Multiplies the gradients before they are rounded to `stored_dtype`.
    gradient
        Whether to compute gradients.
    slope
        Whether to compute derivatives in the order.
    extent
        The smallest and the largest logit, if known.
    """
    shape = logits[0].shape
    views = logits if len(shape) == 2 else [x.reshape(-1, shape[-1]) for x in logits]
    task = Task(order, temperature, weight, 1 if directed else len(views), gradient, slope)
    kernels = _kernels(views[0], len(views)) if task.serves and not slope else None
    out = _in_blocks(views, task, extent) if kernels is None else _by_kernels(kernels, views, task)
    if len(shape) == 2:
        return out
    value, slopes, grads = out
    return Cohort(
        value.reshape(task.learners, *shape[:-1]),
        slopes if slopes is None else slopes.reshape(task.learners, *shape[:-1]),
        grads if grads is None else grads.reshape(task.learners, *shape),
    )


def _kernels(x: Tensor, students: int) -> ModuleType | None:
    """Return the module of Triton kernels where the user asks for it and it serves logits like x."""
    many = x.is_cuda and x.dtype != torch.float64 and x.shape[-1] >= MANY and students <= MOST_STUDENTS
    asked = many and os.environ.get("RDML_TRITON") == "1"
    return import_module("rdml_theory.losses._triton") if asked else None


def _by_kernels(kernels: ModuleType, views: Sequence[Tensor], task: Task) -> Cohort:
    """Evaluate logits (N, C) of each student by Triton's kernels, and the rows that they refuse by those below."""
    x = torch.stack([view.float() for view in views])
    weight = task.weight / task.temperature if task.gradient else None
    value, gradient, inside = kernels.evaluate(x, task.order, task.temperature, task.learners, weight)
    rows = (~inside).nonzero().squeeze(1)
    if rows.numel():
        rest = _in_blocks([view[rows] for view in views], task)
        value = value.index_copy(1, rows, rest.value)
        if rest.gradient is not None:
            gradient.index_copy_(1, rows, rest.gradient)
    return Cohort(value, None, gradient)


def _in_blocks(views: Sequence[Tensor], task: Task, extent: tuple[float, float] | None = None) -> Cohort:
    """Evaluate logits (N, C) of each student over blocks of rows."""
    rows, classes = views[0].shape
    kind, everywhere = stored_dtype(views), False
    serves = task.serves and kind != torch.float64 and rows > 0
    if serves:
        extent = extent or extremes(views)
        everywhere = task.in_range(extent, classes)
        if everywhere and extent is not None:
            size = max(extent[1], -extent[0]) / task.temperature
            task = task._replace(size=size if size <= SMALL else RANGE)
    step = max(1, (BLOCK if views[0].is_cpu else BLOCK_GPU) // (len(views) * classes))
    if rows <= step:
        return _block(views, task, kind, everywhere)
    gradient = views[0].new_empty((task.learners, rows, classes), dtype=kind) if task.gradient else None
    values, slopes = [], []
    for start in range(0, rows, step):
        block = [view[start : start + step] for view in views]
        part = _block(block, task, kind, everywhere or (serves and task.in_range(extremes(block), classes)))
        values.append(part.value)
        if part.slope is not None:
            slopes.append(part.slope)
        if gradient is not None and part.gradient is not None:
            gradient[:, start : start + step] = part.gradient
    return Cohort(torch.cat(values, 1), torch.cat(slopes, 1) if task.slope else None, gradient)


def _block(views: Sequence[Tensor], task: Task, kind: torch.dtype, quick: bool) -> Cohort:
    """Evaluate logits (n, C) of each student, by the quick formulas or by the exact ones."""
    x = views[0].new_empty((len(views), *views[0].shape), dtype=torch.float64)
    for target, logits in zip(x.unbind(0), views, strict=True):
        target.copy_(logits)
    if quick:
        if task.size == RANGE:
            x -= x.amax(-1, keepdim=True)
        x *= 1.0 / (_quick.LN2 * task.temperature)
        value, slope, gradient, lost = (_quick.of_two if len(views) == 2 else _quick.of_many)(x, task)
        if lost is not None and lost.numel():
            exact = _by_formulas(torch.stack([view[lost] for view in views]).double(), task._replace(gradient=False))
            value[:, lost] = exact.value
            if slope is not None and exact.slope is not None:
                slope[:, lost] = exact.slope
    else:
        value, slope, gradient = _by_formulas(x, task)
    if gradient is not None:
        gradient = gradient.mul_(task.weight / task.temperature).to(kind)
    return Cohort(value, slope, gradient)


def _by_formulas(x: Tensor, task: Task) -> Cohort:
    """Evaluate logits (K, n, C), float64, by the exact formulas."""
    x = x / task.temperature
    value, slope = (x.new_empty((task.learners, x.shape[1])) for _ in range(2))
    gradient = torch.empty_like(x[: task.learners]) if task.gradient else None
    order = x.new_full((1, 1, 1), task.order)
    for k in range(task.learners):
        u = torch.cat([x[:k], x[k + 1 :]])
        z = x[k].expand_as(u)
        d = _exact.divergence(_exact.log_ratio(u, z), order)
        value[k] = d.squeeze(-1).mean(0)
        if task.gradient or task.slope:
            _, g, s = _exact.gradients(u, z, order, d)
            slope[k] = s.squeeze(-1).mean(0)
            if gradient is not None:
                gradient[k] = g.mean(0)
    return Cohort(value, slope if task.slope else None, gradient)
