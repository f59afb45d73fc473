"""The Rényi divergence of two rows of logits as a differentiable function, and its autograd rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from rdml_theory.losses import _exact
from rdml_theory.losses._checks import forward_levels, inspectable, transforms_active

# rows are evaluated in blocks of about this many logits, so that the temporaries stay in the cache
BLOCK = 32768


def _value(u: Tensor, z: Tensor, alpha: Tensor) -> Tensor:
    return _exact.divergence(_exact.log_ratio(u.double(), z.double()), alpha).squeeze(-1)


def _value_in_blocks(u: Tensor, z: Tensor, alpha: Tensor) -> Tensor:
    """Return D of equally shaped logits (..., C) at orders (..., 1), evaluated over blocks of rows."""
    classes = u.shape[-1]
    rows = u.numel() // classes
    step = max(1, BLOCK // classes)
    if rows <= step or not inspectable(u):
        return _value(u, z, alpha)
    batch = u.shape[:-1]
    u, z, alpha = u.reshape(rows, classes), z.reshape(rows, classes), alpha.reshape(rows, 1)
    parts = zip(u.split(step), z.split(step), alpha.split(step), strict=True)
    return torch.cat([_value(*part) for part in parts]).reshape(batch)


def _gradients(ctx: Any) -> tuple[Tensor, Tensor, Tensor]:
    # read once, as checkpointing demands
    u, z, alpha, value = ctx.saved_tensors
    return _exact.gradients(u.double(), z.double(), alpha, value.unsqueeze(-1))


class _Divergence(Function):
    """D(u, z, alpha): u and z of one shape (..., C), alpha float64 of shape (..., 1); D is float64.

    The backward pass is written in differentiable operations on the saved arguments and on D itself, which makes every
    higher derivative available without a second rule.
    """

    @staticmethod
    def forward(u: Tensor, z: Tensor, alpha: Tensor) -> Tensor:  # type: ignore[override]
        return _value_in_blocks(u, z, alpha)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        u, z, alpha = inputs
        ctx.kinds = u.dtype, z.dtype
        ctx.save_for_backward(u, z, alpha, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        teacher, student, slope = _gradients(ctx)
        grad = grad.unsqueeze(-1)
        needs = ctx.needs_input_grad
        return (
            (grad * teacher).to(ctx.kinds[0]) if needs[0] else None,
            (grad * student).to(ctx.kinds[1]) if needs[1] else None,
            grad * slope if needs[2] else None,
        )


class _TransformableDivergence(_Divergence):
    """The same with rules for `vmap` and forward mode, which `torch.compile` does not accept in a traced function."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _Divergence.setup_context(ctx, inputs, output)
        ctx.save_for_forward(*inputs, output)

    @staticmethod
    def jvp(ctx: Any, du: Tensor | None, dz: Tensor | None, da: Tensor | None) -> Tensor:  # type: ignore[override]
        teacher, student, slope = _gradients(ctx)
        out = torch.zeros_like(slope).squeeze(-1)
        if du is not None:
            out = out + (teacher * du).sum(-1)
        if dz is not None:
            out = out + (student * dz).sum(-1)
        if da is not None:
            out = out + (slope * da).squeeze(-1)
        return out

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:  # type: ignore[override]
        tensors = [
            x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
            for x, dim in zip(inputs, in_dims, strict=True)
        ]
        return _TransformableDivergence.apply(*tensors), 0  # type: ignore[return-value]


def pairwise(u: Tensor, z: Tensor, alpha: Tensor) -> Tensor:
    """Return D in float64 for broadcastable logits (..., C) and float64 orders that broadcast against (...)."""
    shape = torch.broadcast_shapes(u.shape[:-1], z.shape[:-1], alpha.shape)
    classes = u.shape[-1]
    u, z = u.expand(*shape, classes), z.expand(*shape, classes)
    alpha = alpha.expand(shape).unsqueeze(-1)
    if torch.compiler.is_compiling():
        if transforms_active():
            # PyTorch would take the gradient for a constant, and give second derivatives of zero
            raise RuntimeError(
                "torch.compile does not differentiate twice what a transform of torch.func (grad, vmap, jvp, …) takes "
                "inside of it; leave out the compilation, or fullgraph=True"
            )
        return _Divergence.apply(u, z, alpha)  # type: ignore[return-value]
    if forward_levels() > 1:
        raise RuntimeError(
            "forward mode over forward mode (jvp of jvp, jacfwd of jacfwd) would take the inner derivative for a "
            "constant; use reverse mode for one of the two, as torch.func.hessian does"
        )
    return _TransformableDivergence.apply(u, z, alpha)  # type: ignore[return-value]


def by_pairs(
    logits: Tensor | Sequence[Tensor], order: Tensor, *, temperature: float, mask: Tensor | None, directed: bool
) -> Tensor:
    """Return mean divergences of the learners from their constant peers, (learners, ...), float64.

    Any order per row, any transform, any derivative; K^2 arrays. Logits are (K, ..., C) or K tensors (..., C), a mask
    is (...). With `directed` only the first of two learns, from the second, which then is no constant.
    """
    x = logits if isinstance(logits, Tensor) else torch.stack([y.double() for y in logits])
    batch = x.shape[1:-1]
    try:
        order = order.expand(batch)
    except RuntimeError:
        raise ValueError(
            f"alpha has shape {tuple(order.shape)}: expected one order, or a shape that broadcasts to the rows, "
            f"{tuple(batch)}"
        ) from None
    if mask is not None:
        x = torch.where(mask.unsqueeze(-1), x, 0.0)
    x = x.double() / temperature
    if directed:
        value = pairwise(x[1], x[0], order).unsqueeze(0)
    else:
        own = torch.arange(x.shape[0], device=x.device)
        peers = (own.unsqueeze(1) + own[1:]) % x.shape[0]
        value = pairwise(x.detach()[peers], x.unsqueeze(1), order).mean(1)
    return value if mask is None else torch.where(mask, value, 0.0)


@torch.library.custom_op("rdml_theory::compiled_once", mutates_args=())
def _compiled_once(value: Tensor, arguments: list[Tensor], differentiated: bool) -> Tensor:
    """Return a copy of `value`, as an operation that the compiler does not see through."""
    return value.clone()


@_compiled_once.register_fake
def _(value: Tensor, arguments: list[Tensor], differentiated: bool) -> Tensor:
    return torch.empty_like(value)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, arguments, ctx.differentiated = inputs
    ctx.save_for_backward(*arguments)


def _once(ctx: Any, grad: Tensor) -> tuple[Tensor, list[None], None]:
    if ctx.differentiated:
        raise RuntimeError(
            "torch.compile does not support second derivatives (create_graph=True); leave the loss out of the compiled "
            "function, where it has all"
        )
    arguments = list(ctx.saved_tensors)
    return _compiled_once(grad, arguments, True), [None] * len(arguments), None


_compiled_once.register_autograd(_once, setup_context=_keep)


def once_if_compiled(value: Tensor, *arguments: Any) -> Tensor:
    """Return the value of a loss, such that its second derivative is refused where it is compiled.

    The arguments are those of the user (other things than tensors are ignored), not copies or views of them. Compiled
    code takes what it kept from the forward pass for constants, so that PyTorch computes second derivatives of compiled
    functions as if most of their first ones did not depend on the arguments, without an error. It does refuse them
    where the backward pass takes the arguments themselves: here, in an operation that needs them for nothing else. (The
    tracer's backend "eager", which is for debugging it, drops the graph of any backward pass, and is not helped.)
    """
    if not (torch.compiler.is_compiling() and torch.is_grad_enabled()):
        return value
    kept = [x for x in arguments if isinstance(x, Tensor) and x.requires_grad]
    return _compiled_once(value, kept, False) if kept else value
