"""The losses of a cohort of K students at once: values, gradients in the logits, and the slope in the order.

Logits of at most 24 bits are evaluated by products (`_products`) over blocks of rows that stay in the cache. What has
powers outside of the range of float64 (large logits, excluded classes, NaN) goes to the exact formulas (`_exact`) block
by block, as do float64 logits and the orders 0 and infinity.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from rdml_theory.losses import _exact, _products
from rdml_theory.losses._checks import extremes
from rdml_theory.losses._products import RANGE, SMALL, Task

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


def stored_dtype(parts: Sequence[Tensor]) -> torch.dtype:
    """Return the dtype in which gradients wait for the backward pass: half types are rounded once, there."""
    return torch.float64 if any(x.dtype == torch.float64 for x in parts) else torch.float32


def evaluate(
    parts: Sequence[Tensor],
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
    parts
        K tensors of logits (..., C), or one (K, ..., C).
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
    stacked = len(parts) == 1
    shape = parts[0].shape[stacked:]
    views = parts[0].unbind(0) if stacked else parts
    if len(shape) != 2:
        views = [x.reshape(-1, shape[-1]) for x in views]
    task = Task(order, temperature, weight, 1 if directed else len(views), gradient, slope)
    kernels = _kernels(views[0], len(views)) if task.serves and not slope else None
    value, slopes, grads = _in_blocks(views, task, extent) if kernels is None else _by_kernels(kernels, views, task)
    if len(shape) != 2:
        value = value.reshape(-1, *shape[:-1])
        slopes = None if slopes is None else slopes.reshape(value.shape)
        grads = None if grads is None else grads.reshape(-1, *shape)
    return Cohort(value, slopes, grads)


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
    kind = stored_dtype(views)
    serves = task.serves and kind != torch.float64
    extent = (extent or extremes(views)) if serves else None
    everywhere = task.in_range(extent, classes)
    if everywhere and extent is not None:
        size = max(extent[1], -extent[0]) / task.temperature
        task = task._replace(size=size if size <= SMALL else RANGE)
    gradient = views[0].new_empty((task.learners, rows, classes), dtype=kind) if task.gradient else None
    step = max(1, min(rows, (BLOCK if views[0].is_cpu else BLOCK_GPU) // (len(views) * classes)))
    x, work = (views[0].new_empty((len(views), step, classes), dtype=torch.float64) for _ in range(2))
    values, slopes = [], []
    for start in range(0, rows, step):
        block = views
        if step < rows:
            block = [view[start : start + step] for view in views]
            x, work = x[:, : len(block[0])], work[:, : len(block[0])]
        for target, logits in zip(x.unbind(0), block, strict=True):
            target.copy_(logits)
        if everywhere or (serves and task.in_range(extremes(block), classes)):
            part = _by_products(block, x, work, task)
        else:
            part = _by_formulas(x, task)
        values.append(part.value)
        if part.slope is not None:
            slopes.append(part.slope)
        if gradient is not None and part.gradient is not None:
            gradient[:, start : start + step].copy_(part.gradient.mul_(task.weight / task.temperature))
    none = x.new_empty((task.learners, 0))
    value = values[0] if len(values) == 1 else torch.cat([none, *values], 1)
    return Cohort(value, torch.cat([none, *slopes], 1) if task.slope else None, gradient)


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


def _by_products(views: Sequence[Tensor], x: Tensor, work: Tensor, task: Task) -> Cohort:
    """Evaluate logits (n, C) of each student by products, in memory (K, n, C): x, which holds them, and work."""
    if task.size == RANGE:
        x -= x.amax(-1, keepdim=True)
    x *= 1.0 / (_products.LN2 * task.temperature)
    value, slope, gradient = (_products.of_two if len(views) == 2 else _products.of_many)(x, work, task)
    share = None if len(views) == 2 else _products.shares(len(views), x.device)
    edge = _products.edge(task, x.shape[-1])
    # the diagonal of many students is no pair
    least = value if share is None else value + (share == 0.0) * (2.0 * edge)
    rows = None
    if least.amin().item() < edge:
        near = least < edge
        rows = near.any(0).any(0).nonzero().squeeze(1)
        x = torch.stack([view[rows] for view in views]).double()
        if slope is None:
            value[..., rows] = torch.where(near[..., rows], _products.near_consensus(x, task), value[..., rows])
        value.clamp_(min=0.0)
    value = value[0] if share is None else value.mul_(share).sum(0)
    if slope is not None:
        slope = slope[0] if share is None else slope.mul_(share).sum(0)
        if rows is not None:
            value[:, rows], slope[:, rows] = _by_formulas(x, task._replace(gradient=False))[:2]  # type: ignore[index]
    return Cohort(value, slope, gradient)
