"""Autograd rules of the fused losses: the gradient is computed with the value and waits for the backward pass.

Where that pass is itself to be differentiated, it is that of the row kernel, which is differentiable: the stored
gradient is a constant, and must never meet a graph.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import Function

from rdml_theory.losses._checks import divisor, extremes, has_values, moderate
from rdml_theory.losses._cohort import Plan, cohort, gathered_dtype
from rdml_theory.losses._pair import by_pairs
from rdml_theory.losses._traced import traced


class _Call(NamedTuple):
    """What a fused loss computes.

    Attributes
    ----------
    order, temperature, directed
        As in a plan.
    factor
        Multiplies the divergences.
    reduce
        Whether to sum them over rows.
    mask
        Which rows count, (N,), or None for all.
    kind
        Type of the loss.
    names
        What messages call the logits of each student.
    """

    order: float
    temperature: float
    directed: bool
    factor: float
    reduce: bool
    mask: Tensor | None
    kind: torch.dtype
    names: list[str]


class _Fused(Function):
    """Loss of each learner: `factor` times its divergences (K, N), or their sum (K,).

    Takes the order if it needs a gradient, a call, and logits (K, N, C) or K times (N, C). Saves one new array of the
    logits' size per learner, and nothing else of that size; the logits themselves are kept for second derivatives.
    """

    @staticmethod
    def forward(ctx: Any, alpha: Tensor | None, call: _Call, *logits: Tensor) -> Tensor:  # type: ignore[override]
        needs = ctx.needs_input_grad
        order, temperature, directed, factor, reduce, mask, kind, names = call
        plan = Plan(order, temperature, any(needs[2:]), needs[0], directed, factor / temperature)
        ctx.stacked = logits[0].ndim == 3
        views, source = (logits[0].unbind(0), logits[0]) if ctx.stacked else (logits, None)
        extent = extremes(names, views)
        value, slope, gradient = cohort(views, plan, mask, extent, source)
        if reduce:
            value = value.sum(1)
            slope = None if slope is None else slope.sum(1)
        ctx.call, ctx.kinds = call, [x.dtype for x in logits]
        ctx.save_for_backward(slope, gradient, alpha, *logits)
        return value.mul_(factor).to(kind) if reduce else (value * factor).to(kind)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        slope, saved, *inputs = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable(ctx.call, grad, inputs, ctx.needs_input_grad)
        grads: list[Tensor | None] = [None, None]
        if slope is not None:
            grads[0] = (grad.double() * slope).sum() * ctx.call.factor
        if saved is None:
            return (*grads, *[None] * len(ctx.kinds))
        kind = saved.dtype
        if grad.dtype != kind:
            # float64 logits keep float64 weights; float32 products are rounded to half types once
            grad = grad.to(kind)
        product = saved * grad.reshape(*grad.shape, *(1,) * (saved.ndim - grad.ndim))
        parts = (product,) if ctx.stacked else product.unbind(0)
        for x, t, need in zip(parts, ctx.kinds, ctx.needs_input_grad[2:], strict=False):
            grads.append(None if not need else x if t == kind else x.to(t))
        return (*grads, *[None] * (2 + len(ctx.kinds) - len(grads)))


def _differentiable(
    call: _Call, grad: Tensor, inputs: list[Tensor | None], needs: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """Return the gradients of a call as functions of the gradient that arrives and of the arguments."""
    # views, so that a tensor which comes twice gets the gradient of each place
    alpha, *logits = (x if x is None else x.view_as(x) for x in inputs)
    views = cast(list[Tensor], logits)
    order = torch.as_tensor(call.order if alpha is None else alpha, dtype=torch.float64, device=grad.device)
    value = by_pairs(
        views[0] if len(views) == 1 else views,
        order,
        temperature=call.temperature,
        mask=call.mask,
        directed=call.directed,
    )
    value = (value.sum(1) if call.reduce else value) * call.factor
    wanted = [x for x, need in zip((alpha, None, *views), needs, strict=True) if need]
    found = iter(torch.autograd.grad(value, cast(list[Tensor], wanted), grad.to(value.dtype), create_graph=True))
    return tuple(next(found) if need else None for need in needs)


def fused_loss(
    logits: Tensor | list[Tensor],
    alpha: float | Tensor,
    *,
    temperature: float,
    scale: float,
    reduction: str,
    mask: Tensor | None,
    names: list[str],
    kind: torch.dtype = torch.float64,
    directed: bool = False,
) -> Tensor:
    """Return the losses of the learners in the type `kind`, (K,), or (K, ...) for the reduction "none".

    With `directed` only the first of two students learns, from the second; `names` is what messages call the logits.

    Logits are (K, ..., C) or a list of K tensors (..., C), a mask is (...), `alpha` a number or a 0-d float64 tensor.
    """
    stacked = isinstance(logits, Tensor)
    # the first student of a stack would be a view with a history of its own
    sample = logits if isinstance(logits, Tensor) else logits[0]
    batch = sample.shape[1:-1] if stacked else sample.shape[:-1]
    reduce = reduction != "none"
    count = divisor(reduction, batch, mask)
    if torch.compiler.is_compiling() or not has_values(sample):
        stored = gathered_dtype([sample] if stacked else logits) if moderate(temperature) else torch.float64
        value = traced(logits, alpha, temperature=temperature, mask=mask, directed=directed, kind=stored)
        if reduce:
            value = value.flatten(1).sum(1)
        return (value * (scale / count)).to(kind)
    if len(batch) > 1:
        logits = logits.flatten(1, -2) if stacked else [x.flatten(0, -2) for x in logits]
        mask = None if mask is None else mask.flatten()
    order, weights = (alpha.item(), alpha) if isinstance(alpha, Tensor) else (alpha, None)
    call = _Call(order, temperature, directed, scale / int(count), reduce, mask, kind, names)
    out: Tensor = _Fused.apply(weights, call, *((logits,) if isinstance(logits, Tensor) else logits))  # type: ignore[assignment]
    return out if reduce or len(batch) == 1 else out.reshape(-1, *batch)
