"""Autograd rules of the fused losses: the gradient is computed with the value and waits for the backward pass."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import Function

from rdml_theory.losses._checks import divisor, extremes, has_values
from rdml_theory.losses._cohort import Plan, cohort, gathered_dtype
from rdml_theory.losses._traced import traced


class _OnceOnly(Function):
    """The identity, whose own backward pass says what to use instead of a second derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        raise RuntimeError(
            "the fused Rényi losses store their gradient and cannot be differentiated twice; "
            "build the loss from rdml_theory.losses.renyi_divergence, which can"
        )


def _refuse_twice(x: Tensor | None) -> Tensor | None:
    """Mark a gradient made under create_graph, so that its use is refused rather than treated as a constant."""
    return x if x is None else _OnceOnly.apply(x.detach().requires_grad_())  # type: ignore[return-value]


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

    Takes the order if it needs a gradient, a call, and logits (K, N, C) or K times (N, C). Saves one array of the
    logits' size per learner, and nothing else of that size.
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
        ctx.factor, ctx.kinds = factor, [x.dtype for x in logits]
        ctx.save_for_backward(slope, gradient)
        return value.mul_(factor).to(kind) if reduce else (value * factor).to(kind)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        slope, saved = ctx.saved_tensors
        grads: list[Tensor | None] = [None, None]
        if slope is not None:
            grads[0] = (grad.double() * slope).sum() * ctx.factor
        if saved is None:
            grads += [None] * len(ctx.kinds)
        else:
            kind = saved.dtype
            if grad.dtype != kind:
                # float64 logits keep float64 weights; float32 products are rounded to half types once
                grad = grad.to(kind)
            product = saved * grad.reshape(*grad.shape, *(1,) * (saved.ndim - grad.ndim))
            parts = (product,) if ctx.stacked else product.unbind(0)
            for x, t, need in zip(parts, ctx.kinds, ctx.needs_input_grad[2:], strict=False):
                grads.append(None if not need else x if t == kind else x.to(t))
            grads += [None] * (2 + len(ctx.kinds) - len(grads))
        return tuple(map(_refuse_twice, grads)) if torch.is_grad_enabled() else tuple(grads)


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
        stored = gathered_dtype([sample] if stacked else logits)
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
