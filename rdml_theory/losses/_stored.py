"""The losses of a cohort as differentiable functions whose gradient is computed with the value, and stored.

Where the backward pass is itself to be differentiated, it is that of `_pairs`, which is differentiable: the stored
gradient is a constant, and must never meet a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import Function

from rdml_theory.losses import _checks as checks
from rdml_theory.losses import _cohort, _compiled
from rdml_theory.losses._pairs import by_pairs


class _Call(NamedTuple):
    """What a loss computes.

    Attributes
    ----------
    order
        The order; None where the compiler follows it as a tensor.
    temperature, directed
        As in `_cohort.evaluate`.
    factor
        Multiplies the divergences.
    reduce
        Whether to sum them over rows.
    mask
        Which rows count, or None for all.
    kind
        Type of the loss.
    names
        What messages call the logits of each student; none where the values must not be looked at.
    """

    order: float | None
    temperature: Any
    directed: bool
    factor: Any
    reduce: bool
    mask: Tensor | None
    kind: torch.dtype
    names: Sequence[str]


class _Stored(Function):
    """Loss of each learner: `factor` times its mean divergences (L, ...), or their sum (L,).

    Takes the order if it needs a gradient, or is compiled, whether it and the logits need gradients, the fields of a
    `_Call`, and logits (K, ..., C) or K times (..., C). Saves one new array of the logits' size per learner, and
    nothing else of that size; the logits themselves are kept for second derivatives.
    """

    @staticmethod
    def forward(ctx: Any, alpha: Tensor | None, needs: Sequence[bool], slope: bool, *rest: Any) -> Tensor:  # type: ignore[override]
        call, parts = _Call(*rest[: len(_Call._fields)]), rest[len(_Call._fields) :]
        mask = call.mask
        logits = parts if mask is None else [torch.where(mask.unsqueeze(-1), x, 0.0) for x in parts]
        if alpha is not None and not call.names:
            value, slopes, gradients = _compiled.evaluate(
                logits,
                alpha,
                call.order,
                temperature=call.temperature,
                weight=call.factor,
                directed=call.directed,
                needs=needs,
                slope=slope,
            )
        else:
            extent = checks.extremes(parts[0].unbind(0) if len(parts) == 1 else parts, call.names)
            value, slopes, gradient = _cohort.evaluate(
                logits[0].unbind(0) if len(parts) == 1 else logits,
                cast(float, call.order),
                temperature=call.temperature,
                directed=call.directed,
                weight=call.factor,
                gradient=any(needs),
                slope=slope,
                extent=extent if mask is None else None,
            )
            gradients = [] if gradient is None else [gradient]
        if mask is not None:
            value = torch.where(mask, value, 0.0)
            slopes = None if slopes is None else torch.where(mask, slopes, 0.0)
            gradients = [torch.where(mask.unsqueeze(-1), g, 0.0) for g in gradients]
        if call.reduce:
            value = value.reshape(value.shape[0], -1).sum(1)
            slopes = None if slopes is None else slopes.reshape(value.shape[0], -1).sum(1)
        # a mask of the caller's may be refilled before a backward pass that needs it, for second derivatives
        ctx.call = call if mask is None or not call.names else call._replace(mask=mask.clone())
        ctx.needs, ctx.kinds = needs, [x.dtype for x in parts]
        ctx.save_for_backward(slopes, *((alpha, *parts) if call.names else ()), *gradients)
        return value.mul_(call.factor).to(call.kind)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        call, needs = ctx.call, ctx.needs
        slopes, *saved = ctx.saved_tensors
        if call.names and torch.is_grad_enabled():
            alpha, *parts = saved[: len(needs) + 1]
            grads = _differentiable(call, grad, alpha, parts, needs)
            return (grads[0], *[None] * (2 + len(_Call._fields)), *grads[1:])
        gradients = saved[len(needs) + 1 :] if call.names else saved
        found: list[Tensor | None] = [None] * len(needs)
        if gradients and call.names:
            product = _weighed(gradients[0], grad)
            # a teacher has none
            for k, part in enumerate(product.unbind(0) if len(needs) > 1 else [product]):
                found[k] = part.to(ctx.kinds[k]) if needs[k] else None
        elif gradients:
            for k in range(len(needs)):
                if needs[k]:
                    found[k] = _weighed(gradients.pop(0), grad if len(needs) == 1 else grad[k]).to(ctx.kinds[k])
        slope = None if slopes is None else (grad.double() * slopes).sum() * call.factor
        return (slope, *[None] * (2 + len(_Call._fields)), *found)


def _weighed(gradient: Tensor, weight: Tensor) -> Tensor:
    """Return a stored gradient times what arrives: float64 keeps float64, float32 is rounded to half types once."""
    weight = weight.to(gradient.dtype)
    return gradient * weight.reshape(*weight.shape, *(1,) * (gradient.ndim - weight.ndim))


def _differentiable(
    call: _Call, grad: Tensor, alpha: Tensor | None, parts: Sequence[Tensor], needs: Sequence[bool]
) -> list[Tensor | None]:
    """Return the gradients of a call in the order and in the logits, as functions of `grad` and of the arguments."""
    # views, so that a tensor which comes twice gets the gradient of each place
    views = [x.view_as(x) for x in parts]
    order = None if alpha is None else alpha.view_as(alpha)
    value = by_pairs(
        views[0] if len(views) == 1 else views,
        torch.as_tensor(call.order if order is None else order, dtype=torch.float64, device=grad.device),
        temperature=call.temperature,
        mask=call.mask,
        directed=call.directed,
    )
    value = (value.reshape(value.shape[0], -1).sum(1) if call.reduce else value) * call.factor
    wanted = [x for x, need in zip((order, *views), (order is not None, *needs), strict=True) if need]
    found = iter(torch.autograd.grad(value, cast(list[Tensor], wanted), grad.to(value.dtype), create_graph=True))
    return [next(found) if need else None for need in (order is not None, *needs)]


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
        A number, or a float64 tensor that broadcasts against the rows.
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
    batch = first.shape[:-1]
    count = checks.divisor(reduction, batch, mask)
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
    if torch.compiler.is_compiling() or not checks.has_values(first):
        order = _compiled.constant_order(views, alpha, temperature=temperature, directed=directed)
        parts = _compiled.separate(parts if order is None else views)
        trained, tau, factor = (
            x if isinstance(x, Tensor) else torch.full((), x, dtype=torch.float64, device=first.device)
            for x in (alpha, temperature, scale)
        )
        factor, names = factor / count, []
    else:
        order = alpha.item() if isinstance(alpha, Tensor) else alpha
        tau = temperature
        trained, factor = alpha if slope else None, scale / int(count)
    needs = tuple(enabled and x.requires_grad and not (directed and k) for k, x in enumerate(parts))
    call = _Call(order, tau, directed, factor, reduction != "none", mask, kind, names)
    return _Stored.apply(trained, needs, slope, *call, *parts)  # type: ignore[return-value]
