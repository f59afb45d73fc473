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

import torch
from torch import Tensor

from rdml_theory.losses import _exact, _quick
from rdml_theory.losses._checks import extremes
from rdml_theory.losses._quick import RANGE, SMALL, Cohort, Task

# elements of one (K, rows, C) array of float64: large enough to hide the cost of a call, small enough for the cache of
# a CPU; a GPU wants many at once
BLOCK = 65536
BLOCK_GPU = 1 << 22
# with so many classes, on a GPU, Triton's kernels serve up to so many students
MANY = 8192
MOST_STUDENTS = 8


def stored_dtype(logits: Sequence[Tensor]) -> torch.dtype:
    """Return the dtype in which gradients wait for the backward pass: half types are rounded once, there."""
    return torch.float64 if torch.float64 in [x.dtype for x in logits] else torch.float32


def evaluate(logits: Sequence[Tensor], task: Task, extent: tuple[float, float] | None = None) -> Cohort:
    """Evaluate at least two students, from logits (..., C) of each; results are (L, ...) and (L, ..., C).

    `extent` is the smallest and the largest logit, if known.
    """
    shape = logits[0].shape
    views = logits if len(shape) == 2 else [x.reshape(-1, shape[-1]) for x in logits]
    kernels = _kernels(views[0], len(views)) if task.serves and not task.slope else None
    out = _in_blocks(views, task, extent) if kernels is None else _by_kernels(kernels, views, task)
    if len(shape) == 2:
        return out
    value, slope, gradient, _ = out
    return Cohort(
        value.reshape(task.learners, *shape[:-1]),
        slope if slope is None else slope.reshape(task.learners, *shape[:-1]),
        gradient if gradient is None else gradient.reshape(task.learners, *shape),
    )


def _kernels(x: Tensor, students: int) -> ModuleType | None:
    """Return the module of Triton kernels where the user asks for it and it serves logits like x."""
    many = x.is_cuda and x.dtype != torch.float64 and x.shape[-1] >= MANY and students <= MOST_STUDENTS
    asked = many and os.environ.get("RDML_TRITON") == "1"
    return import_module("rdml_theory.losses._triton") if asked else None


def _by_kernels(kernels: ModuleType, views: Sequence[Tensor], task: Task) -> Cohort:
    """Evaluate logits (N, C) of each student by Triton's kernels, and the rows that they refuse by those below."""
    x = torch.stack([view.float() for view in views])
    weight = task.weight / task.temperature if any(task.needs) else None
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
    kind = stored_dtype(views)
    serves = task.serves and kind != torch.float64 and rows > 0
    extent = extent or extremes(views) if serves else None
    everywhere = task.in_range(extent, classes)
    if extent is not None and everywhere:
        size = max(extent[1], -extent[0]) / task.temperature
        task = task._replace(size=size if size * task.power <= SMALL else RANGE)
    step = max(1, (BLOCK if views[0].is_cpu else BLOCK_GPU) // (len(views) * classes))
    if rows <= step:
        return _block(views, task, kind, everywhere)
    gradient = views[0].new_empty((task.learners, rows, classes), dtype=kind) if any(task.needs) else None
    values, slopes = [], []
    for start in range(0, rows, step):
        block = [view[start : start + step] for view in views]
        part = _block(block, task, kind, everywhere or (serves and task.in_range(extremes(block), classes)))
        values.append(part.value)
        if part.slope is not None:
            slopes.append(part.slope)
        if gradient is not None and part.gradient is not None:
            gradient[:, start : start + step] = part.gradient
    return Cohort(torch.cat(values, 1), torch.cat(slopes, 1) if slopes else None, gradient)


def _block(views: Sequence[Tensor], task: Task, kind: torch.dtype, quick: bool) -> Cohort:
    """Evaluate logits (n, C) of each student, by the quick formulas or by the exact ones."""
    if quick:
        value, slope, gradient, lost = (_quick.of_two if len(views) == 2 else _quick.of_many)(views, task)
        if lost is not None and lost.numel():
            exact = _by_formulas([view[lost] for view in views], task._replace(needs=()))
            value = value.index_copy(1, lost, exact.value)
            if slope is not None and exact.slope is not None:
                slope[:, lost] = exact.slope
    else:
        value, slope, gradient, _ = _by_formulas(views, task)
    if gradient is not None:
        gradient = gradient.mul_(task.weight / task.temperature).to(kind)
    return Cohort(value, slope, gradient)


def _by_formulas(views: Sequence[Tensor], task: Task) -> Cohort:
    """Evaluate logits (n, C) of each student by the exact formulas."""
    x = torch.stack([view.double() for view in views]) / task.temperature
    order = x.new_full((1, 1, 1, 1), task.order)
    # of each learner, its peers
    u = torch.stack([torch.cat([x[:k], x[k + 1 :]]) for k in range(task.learners)])
    z = x[: task.learners].unsqueeze(1).expand_as(u)
    pair = _exact.log_ratio(u, z)
    d = _exact.divergence(pair, order)
    slope, gradient = None, None
    if any(task.needs) or task.slope:
        _, each, slopes = _exact.gradients(u, z, order, d, pair)
        slope = slopes.squeeze(-1).mean(1) if task.slope else None
        gradient = each.mean(1) if any(task.needs) else None
    return Cohort(d.squeeze(-1).mean(1), slope, gradient)
