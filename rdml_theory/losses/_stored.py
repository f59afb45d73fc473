"""The losses of a cohort as differentiable functions whose gradient is computed with the value, and stored.

Where the backward pass is itself to be differentiated, it is that of `_pairs`, which is differentiable: the stored
gradient is a constant, and must never meet a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import Function

from rdml_theory.losses import _checks as checks
from rdml_theory.losses import _cohort, _compiled
from rdml_theory.losses._pairs import by_pairs
from rdml_theory.losses._quick import Task

# the arguments of `_Stored` before the logits, of which the first is differentiable
ARGUMENTS = 11


def _unrecorded() -> AbstractContextManager[Any]:
    """Small operations take a sixth less time without the layers of autograd, which record nothing in a forward pass.

    A dispatch mode, such as that of selective checkpointing, may keep what it sees, and needs their counts of changes.
    """
    if torch._C._len_torch_dispatch_stack():
        return nullcontext()
    return torch._C._AutoDispatchBelowADInplaceOrView()


class _Stored(Function):
    """Loss of each learner: its mean divergences (L, ...) times the weight of the task, or their sum over rows (L,).

    Takes the order if it needs a gradient, or is compiled; which rows count; whether to sum over them; the type of the
    loss; what messages call the logits of each student, nothing where the values must not be looked at; the fields of
    a `Task`, but for the last; and logits (K, ..., C) or K times (..., C). Saves one new array of the logits' size per
    learner, and nothing else of that size; the logits themselves are kept for second derivatives.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        alpha: Tensor | None,
        mask: Tensor | None,
        reduce: bool,
        kind: torch.dtype,
        names: Sequence[str],
        *rest: Any,
    ) -> Tensor:
        task, parts = Task(*rest[: ARGUMENTS - 5]), rest[ARGUMENTS - 5 :]
        logits = parts if mask is None else [torch.where(mask.unsqueeze(-1), x, 0.0) for x in parts]
        if names:
            with _unrecorded():
                extent = checks.extremes(_students(parts), names)
                value, slopes, gradient, _ = _cohort.evaluate(_students(logits), task, extent if mask is None else None)
            gradients = [] if gradient is None else [gradient]
        else:
            value, slopes, gradients = _compiled.evaluate(logits, cast(Tensor, alpha), task)
        if mask is not None:
            value = torch.where(mask, value, 0.0)
            slopes = None if slopes is None else torch.where(mask, slopes, 0.0)
            gradients = [torch.where(mask.unsqueeze(-1), g, 0.0) for g in gradients]
        if reduce:
            value = value.reshape(value.shape[0], -1).sum(1)
            slopes = None if slopes is None else slopes.reshape(value.shape[0], -1).sum(1)
        # a mask of the caller's may be refilled before a backward pass that needs it, for second derivatives
        ctx.mask = mask if mask is None or not names else mask.clone()
        ctx.task, ctx.reduce, ctx.eager, ctx.kinds = task, reduce, bool(names), [x.dtype for x in parts]
        ctx.save_for_backward(slopes, *((alpha, *parts) if names else ()), *gradients)
        return (value * task.weight).to(kind)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        task, needs = ctx.task, ctx.task.needs
        slopes, *saved = ctx.saved_tensors
        if ctx.eager:
            alpha, parts, saved = saved[0], saved[1 : len(needs) + 1], saved[len(needs) + 1 :]
            if torch.is_grad_enabled():
                order, *found = _differentiable(task, ctx.mask, ctx.reduce, grad, alpha, parts)
                return (order, *[None] * (ARGUMENTS - 1), *found)
        found: list[Tensor | None] = [None] * len(needs)
        if ctx.eager and saved:
            product = _weighed(saved[0], grad)
            # a teacher has none
            for k, part in enumerate(product.unbind(0) if len(needs) > 1 else [product]):
                found[k] = part.to(ctx.kinds[k]) if needs[k] else None
        elif saved:
            for k in range(len(needs)):
                if needs[k]:
                    found[k] = _weighed(saved.pop(0), grad if len(needs) == 1 else grad[k]).to(ctx.kinds[k])
        order = None if slopes is None else (grad.double() * slopes).sum() * task.weight
        return (order, *[None] * (ARGUMENTS - 1), *found)


def _students(parts: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return the logits of each student, of which there are at least two."""
    return parts[0].unbind(0) if len(parts) == 1 else parts


def _weighed(gradient: Tensor, weight: Tensor) -> Tensor:
    """Return a stored gradient times what arrives: float64 keeps float64, float32 is rounded to half types once."""
    if weight.ndim:
        weight = weight.to(gradient.dtype).reshape(*weight.shape, *(1,) * (gradient.ndim - weight.ndim))
    return gradient * weight


def _differentiable(
    task: Task, mask: Tensor | None, reduce: bool, grad: Tensor, alpha: Tensor | None, parts: Sequence[Tensor]
) -> list[Tensor | None]:
    """Return the gradients of a call in the order and in the logits, as functions of `grad` and of the arguments."""
    # views, so that a tensor which comes twice gets the gradient of each place
    views = [x.view_as(x) for x in parts]
    order = None if alpha is None else alpha.view_as(alpha)
    value = by_pairs(
        views[0] if len(views) == 1 else views,
        torch.as_tensor(task.order if order is None else order, dtype=torch.float64, device=grad.device),
        temperature=task.temperature,
        mask=mask,
        directed=task.learners == 1,
    )
    value = (value.reshape(value.shape[0], -1).sum(1) if reduce else value) * task.weight
    needs = (order is not None, *task.needs)
    wanted = [x for x, need in zip((order, *views), needs, strict=True) if need]
    found = iter(torch.autograd.grad(value, cast(list[Tensor], wanted), grad.to(value.dtype), create_graph=True))
    return [next(found) if need else None for need in needs]


def loss(
    logits: Tensor | list[Tensor],
    alpha: float | Tensor,
    *,
    temperature: float,
    scale: float,
    reduction: str,
    mask: Tensor | None,
    names: list[str],
    kind: torch.dtype,
    directed: bool = False,
) -> Tensor:
    """Return `scale` times the losses of the learners in the type `kind`, (L,), or (L, ...) for the reduction "none".

    Parameters
    ----------
    logits
        Logits (K, ..., C), or a list of K tensors (..., C).
    alpha
        A number, or a tensor that broadcasts against the rows.
    temperature
        Logits are divided by it.
    scale
        Multiplies the losses.
    reduction
        One of `checks.REDUCTIONS`.
    mask
        Which rows count, (...), or None for all.
    names
        What messages call the logits of each student.
    kind
        The type of the losses.
    directed
        Whether only the first of two students learns, from the second.
    """
    views = logits.unbind(0) if isinstance(logits, Tensor) else logits
    first = views[0]
    if isinstance(alpha, Tensor):
        alpha = alpha.to(device=first.device, dtype=torch.float64)
    count = checks.divisor(reduction, first.shape[:-1], mask)
    per_row = isinstance(alpha, Tensor) and alpha.ndim > 0
    if per_row or checks.transforms_active() or (directed and views[1].requires_grad):
        for name, view in zip(names, views, strict=True):
            checks.refuse_probabilities(name, view)
        order = torch.as_tensor(alpha, dtype=torch.float64, device=first.device)
        out = by_pairs(logits, order, temperature=temperature, mask=mask, directed=directed)
        out = out if reduction == "none" else out.reshape(out.shape[0], -1).sum(1)
        return (out * scale / count).to(kind)
    enabled = torch.is_grad_enabled()
    slope = isinstance(alpha, Tensor) and enabled and alpha.requires_grad
    parts = [logits] if isinstance(logits, Tensor) else logits
    tau: Any = temperature
    if torch.compiler.is_compiling() or not checks.has_values(first):
        order = _compiled.constant_order(views, alpha, temperature=temperature, directed=directed)
        parts = _compiled.separate(parts if order is None else views)
        trained, tau, weight = (
            x if isinstance(x, Tensor) else torch.full((), x, dtype=torch.float64, device=first.device)
            for x in (alpha, temperature, scale)
        )
        weight, names = weight / count, []
    else:
        order = alpha.item() if isinstance(alpha, Tensor) else alpha
        trained, weight = alpha if slope else None, scale / int(count)
    needs = tuple(enabled and x.requires_grad and not (directed and k) for k, x in enumerate(parts))
    task = order, tau, weight, 1 if directed else len(views), needs, slope
    return _Stored.apply(trained, mask, reduction != "none", kind, names, *task, *parts)  # type: ignore[return-value]
