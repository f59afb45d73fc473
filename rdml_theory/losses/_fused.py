"""Autograd rules of the fused losses: the gradient is computed with the value and waits for the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from rdml_theory.losses._checks import divisor
from rdml_theory.losses._cohort import Plan, cohort, stored_dtype
from rdml_theory.losses._traced import traceable, traced


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
    return x if x is None or not torch.is_grad_enabled() else _OnceOnly.apply(x.detach().requires_grad_())  # type: ignore[return-value]


# the gradients of order, temperature, directed, factor, reduce, mask, extent, stacked and kind
_NOT_TENSORS = (None,) * 9


class _Fused(Function):
    """Loss of each learner in the type `kind`: `factor` times its divergences (K, N), or with `reduce` their sum (K,).

    Saves one array of the logits' size per learner, and nothing else of that size.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        alpha: Tensor | None,
        order: float,
        temperature: float,
        directed: bool,
        factor: float,
        reduce: bool,
        mask: Tensor | None,
        extent: tuple[float, float] | None,
        stacked: bool,
        kind: torch.dtype,
        *logits: Tensor,
    ) -> Tensor:
        needs = ctx.needs_input_grad
        plan = Plan(order, temperature, any(needs[10:]), needs[0], directed, factor / temperature)
        result = cohort(logits[0] if stacked else list(logits), plan, mask, extent)
        value, slope = result.value, result.slope
        if reduce:
            value = value.sum(1)
            slope = None if slope is None else slope.sum(1)
        ctx.stacked, ctx.factor, ctx.dtypes = stacked, factor, [x.dtype for x in logits]
        ctx.save_for_backward(slope, result.gradient)
        return (value * factor).to(kind)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        slope, saved = ctx.saved_tensors
        alpha_grad = (grad.double() * slope).sum() * ctx.factor if slope is not None else None
        if saved is None:
            return (_refuse_twice(alpha_grad), *_NOT_TENSORS, *(None for _ in ctx.dtypes))
        # float64 logits keep float64 weights; float32 products are rounded to half types once
        product = saved * grad.to(saved.dtype).reshape(*grad.shape, *[1] * (saved.ndim - grad.ndim))
        if ctx.stacked:
            grads = [product.to(ctx.dtypes[0])]
        else:
            needed = ctx.needs_input_grad[10:]
            grads = [x.to(kind) if need else None for x, kind, need in zip(product, ctx.dtypes, needed, strict=False)]
            grads += [None] * (len(ctx.dtypes) - len(grads))
        return (_refuse_twice(alpha_grad), *_NOT_TENSORS, *map(_refuse_twice, grads))


@torch.library.custom_op("rdml_theory::cohort", mutates_args=())
def _cohort_op(
    logits: Tensor, alpha: Tensor, mask: Tensor | None, temperature: float, directed: bool, slope: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return values, slopes and gradients of logits (K, N, C): one opaque node for `torch.compile`."""
    plan = Plan(alpha.item(), temperature=temperature, slope=slope, directed=directed)
    result = cohort(logits, plan, mask)
    slopes = torch.zeros_like(result.value) if result.slope is None else result.slope
    gradient = logits.new_empty(0) if result.gradient is None else result.gradient
    return result.value.contiguous(), slopes.contiguous(), gradient


@_cohort_op.register_fake
def _(
    logits: Tensor, alpha: Tensor, mask: Tensor | None, temperature: float, directed: bool, slope: bool
) -> tuple[Tensor, Tensor, Tensor]:
    students, rows, classes = logits.shape
    learners = 1 if directed else students
    value = logits.new_empty((learners, rows), dtype=torch.float64)
    return value, torch.empty_like(value), logits.new_empty((learners, rows, classes), dtype=stored_dtype(logits.dtype))


def _save_for_op(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    _, slope, grads = output
    ctx.set_materialize_grads(False)
    ctx.students, ctx.dtype, ctx.temperature = inputs[0].shape[0], inputs[0].dtype, inputs[3]
    ctx.save_for_backward(slope, grads)


def _backward_of_op(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Any, ...]:
    slope, grads = ctx.saved_tensors
    if grad is None:
        return (None,) * 6
    out = (grads * (grad.unsqueeze(-1) / ctx.temperature).to(grads.dtype)).to(ctx.dtype)
    if out.shape[0] < ctx.students:
        out = torch.cat([out, out.new_zeros((ctx.students - out.shape[0], *out.shape[1:]))])
    return out, (grad * slope).sum(), None, None, None, None


_cohort_op.register_autograd(_backward_of_op, setup_context=_save_for_op)


def fused_loss(
    logits: Tensor | list[Tensor],
    alpha: float | Tensor,
    *,
    temperature: float,
    scale: float,
    reduction: str,
    mask: Tensor | None,
    kind: torch.dtype = torch.float64,
    directed: bool = False,
    extent: tuple[float, float] | None = None,
) -> Tensor:
    """Return the losses of the learners in the type `kind`, (K,), or (K, ...) for the reduction "none".

    With `directed` only the first of two students learns, from the second; `extent` is the smallest and largest logit.

    Logits are (K, ..., C) or a list of K tensors (..., C), a mask is (...), `alpha` a number or a 0-d float64 tensor.
    """
    stacked = isinstance(logits, Tensor)
    first = logits[0]
    batch = first.shape[:-1]
    reduce = reduction != "none"
    count = divisor(reduction, batch, mask)
    if torch.compiler.is_compiling():
        value = _compiled(logits, alpha, temperature, mask, directed)
        if reduce:
            value = value.flatten(1).sum(1)
        return (value * (scale / count)).to(kind)
    scale /= int(count)
    if len(batch) > 1:
        logits = logits.flatten(1, -2) if stacked else [x.flatten(0, -2) for x in logits]
        mask = None if mask is None else mask.flatten()
    parts = (logits,) if isinstance(logits, Tensor) else logits
    order, weights = (alpha.item(), alpha) if isinstance(alpha, Tensor) else (alpha, None)
    out: Tensor = _Fused.apply(
        weights, order, temperature, directed, scale, reduce, mask, extent, stacked, kind, *parts
    )  # type: ignore[assignment]
    return out if reduce or len(batch) == 1 else out.reshape(-1, *batch)


def _compiled(
    logits: Tensor | list[Tensor], alpha: float | Tensor, temperature: float, mask: Tensor | None, directed: bool
) -> Tensor:
    """Return mean divergences (learners, ...): in operations that the compiler fuses where they serve, or opaquely."""
    views = list(logits.unbind(0)) if isinstance(logits, Tensor) else logits
    kind = views[0].dtype
    for x in views[1:]:
        kind = torch.promote_types(kind, x.dtype)
    if traceable(views, alpha, directed=directed):
        stored = stored_dtype(kind)
        return traced(views, alpha, temperature=temperature, mask=mask, directed=directed, kind=stored)
    if not isinstance(alpha, Tensor):
        alpha = torch.full((), alpha, dtype=torch.float64)
    x = logits if isinstance(logits, Tensor) else torch.stack([x.to(kind) for x in views])
    mask = None if mask is None else mask.flatten()
    value = _cohort_op(x.flatten(1, -2), alpha, mask, temperature, directed, alpha.requires_grad)[0]
    return value.reshape(-1, *views[0].shape[:-1])
