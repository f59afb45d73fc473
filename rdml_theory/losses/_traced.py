"""The mutual loss in plain tensor operations, for `torch.compile` to fuse into one loop over the rows.

With p and q the softmaxes of a peer and of the student, t = log(p/q) and beta = alpha - 1, the sum of a pair is
S = sum p^alpha q^(1 - alpha) = 1 + beta Y, where Y has terms that are not negative and do not cancel at consensus:

    alpha = 2:    (p - q)^2 / q
    alpha = 1/2:  (sqrt p - sqrt q)^2
    alpha = 1:    p t + q - p, as a series in t where |t| is small.

Other orders have no such form that is cheap, and take the kernels of the eager loss, as one opaque operation. The
differences of logits of at most 24 bits are exact in float64, so Y has a relative error of some 2^-53 over the typical
|t|. Where powers could leave the range of float64, and for NaN, infinities and excluded classes, `torch.cond` takes the
kernels of the eager loss, too, so that every row is right.

On the CPU the compiler's sum over a contiguous axis ends in a slow loop over the lanes of a vector, for each row and
pair. With few classes that is most of the time, so the rows come last there, and a vector holds several of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial, log
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import Function

from rdml_theory.losses._checks import moderate
from rdml_theory.losses._cohort import Plan, cohort, many_classes
from rdml_theory.losses._two import RANGE

# all pairs are unrolled; with more of them compilation takes long, and the matrix products of the eager loss are faster
MOST_PAIRS = 20
# the orders with a form of their own; they are constants of the compiled code
ORDERS = (0.5, 1.0, 2.0)
# terms of the series, for a relative error of 1e-10 where |t| is at most a half
SERIES_TERMS = 9
# with so few classes the rows come last
FEW = 128


class _Student(NamedTuple):
    """Logits over the temperature; softmax p and the log-normaliser of x; p^alpha and p^(1 - alpha)."""

    x: Tensor
    p: Tensor
    log_mass: Tensor
    power: Tensor
    rest: Tensor | float


def _kept(x: Tensor) -> Tensor:
    """Return x, in memory: the compiler would compute it anew in each loop that reads it, or for each class."""
    return x.as_strided(x.shape, x.stride())


def _student(logits: Tensor, alpha: float, scale: Tensor, axis: int) -> _Student:
    # Floats of the formulas are literals: with dynamic=True the compiler follows a global one as a symbol, and fails to
    # make code of the symbol in a branch of torch.cond. No maximum is subtracted: `_evaluate` knows that the
    # exponentials are in range. They are to the base 2, log2(e) = 1.44..., which is faster.
    x = logits.double() * scale
    if alpha == 0.5:
        root = _kept((x * (0.5 * 1.4426950408889634)).exp2())
        mass = (root * root).sum(axis, keepdim=True)
        root = root * _kept(mass.rsqrt())
        return _Student(x, root * root, mass.log(), root, root)
    e = _kept((x * 1.4426950408889634).exp2())
    mass = e.sum(axis, keepdim=True)
    p = e * _kept(1.0 / mass)
    log_mass = mass.log()
    return _Student(x, p, log_mass, p * p if alpha == 2.0 else p, 1.0)


def _with_inverses(students: list[_Student], learners: int) -> list[_Student]:
    """Return the students, with 1 / p as the rest of those that learn: one division serves two of them."""
    out = list(students)
    for k in range(0, learners, 2):
        p = out[k].p
        if k + 1 == learners:
            out[k] = out[k]._replace(rest=1.0 / p)
        else:
            q = out[k + 1].p
            inverse = 1.0 / (p * q)  # logits in range leave room for the product
            out[k : k + 2] = out[k]._replace(rest=inverse * q), out[k + 1]._replace(rest=inverse * p)
    return out


def _terms(peer: _Student, own: _Student, alpha: float, first: bool) -> Tensor:
    """Return the terms of Y; `first` tells one direction of a pair from the other."""
    p, q = peer.p, own.p
    if alpha != 1.0:
        # the same difference for both directions
        a, b = (peer, own) if first else (own, peer)
        d = a.p - b.p if alpha == 2.0 else a.power - b.power
        return d * d * own.rest if alpha == 2.0 else d * d
    t = (peer.x - own.x) - (peer.log_mass - own.log_mass)
    # p (t + e^-t - 1) = p t^2 sum_k (-t)^k / (k+2)!
    coefficients = [(-1.0) ** k / factorial(k + 2) for k in range(SERIES_TERMS)]
    series = coefficients[-1] * t
    for c in coefficients[-2:0:-1]:
        series = (series + c) * t
    near = (series + coefficients[0]) * t * t * p
    return torch.where(t.abs() <= 0.5, near, p * t + (q - p))


def _pair(peer: _Student, own: _Student, alpha: float, axis: int, first: bool) -> tuple[Tensor, Tensor | float]:
    """Return D, with an axis of length one for the classes, and 1 / S."""
    y = _terms(peer, own, alpha, first).sum(axis, keepdim=True)
    if alpha == 1.0:
        return y, 1.0
    if alpha == 2.0:
        return y.log1p(), 1.0 / (1.0 + y)
    # 1 + x loses digits below -1/2, and S is summed by itself
    x = -0.5 * y
    total = (peer.power * own.rest).sum(axis, keepdim=True)
    return -2.0 * torch.where(x > -0.5, x.clamp(min=-0.5).log1p(), total.log()), 1.0 / total


def _fast(
    logits: Sequence[Tensor],
    alpha: float,
    scale: Tensor,
    learners: int,
    needs: Sequence[bool],
    kind: torch.dtype,
) -> tuple[Tensor, ...]:
    """Return mean divergences (learners, ...), and the gradients (..., C) of those that need one."""
    shape = logits[0].shape
    axis = 0 if shape[-1] <= FEW and logits[0].is_cpu else 1
    flat = [x.reshape(-1, shape[-1]) for x in logits]
    flat = [x.t().contiguous() if axis == 0 else x.contiguous() for x in flat]
    students = [_student(x, alpha, scale, axis) for x in flat]
    if alpha == 2.0:
        students = _with_inverses(students, learners)
    share = 1.0 / (len(students) - 1)
    pairs: dict[tuple[int, int], tuple[Tensor, Tensor | float]] = {}
    values, gradients = [], []
    for k in range(learners):
        own = students[k]
        value = mixed = None
        for j, peer in enumerate(students):
            if j == k:
                continue
            if (k, j) in pairs and alpha == 0.5:
                pairs[j, k] = pairs[k, j]  # symmetric
            else:
                pairs[j, k] = _pair(peer, own, alpha, axis, j < k)
            d, inverse = pairs[j, k]
            part = peer.power * (inverse * share)
            value = d if value is None else value + d
            mixed = part if mixed is None else mixed + part
        assert value is not None
        assert mixed is not None
        values.append((value * share).clamp(min=0.0).reshape(shape[:-1]))
        if needs[k]:
            gradient = (own.p - own.rest * mixed).to(kind)
            gradient = (gradient.t() if axis == 0 else gradient).reshape(shape)
            # torch.cond demands the same strides of both branches, also along an axis of length one
            gradients.append(gradient.clone(memory_format=torch.contiguous_format))
    return (torch.stack(values), *gradients)


@torch.library.custom_op("rdml_theory::cohort", mutates_args=())
def _cohort_op(
    parts: list[Tensor],
    alpha: Tensor,
    scale: Tensor,
    directed: bool,
    needs: list[bool],
    slope: bool,
    kind: torch.dtype,
) -> list[Tensor]:
    """Return values, slopes in the order if asked for, and gradients, by the eager kernels: one opaque operation.

    Logits are K tensors (..., C), or one (K, ..., C).
    """
    shape = parts[0].shape
    flat = [x.reshape(-1, shape[-1]) for x in parts]
    source = None
    if len(parts) == 1:
        source = parts[0].reshape(shape[0], -1, shape[-1])
        flat, shape = list(source.unbind(0)), shape[1:]
    plan = Plan(alpha.item(), 1.0 / scale.item(), gradient=any(needs), slope=slope, directed=directed)
    result = cohort(flat, plan, None, None, source)
    learners = plan.learners(len(flat))
    # no output may share memory with another
    out = [result.value.reshape(learners, *shape[:-1]).contiguous()]
    if result.slope is not None:
        out.append(result.slope.reshape(out[0].shape).clone())
    if result.gradient is not None:
        if source is not None:
            out.append(result.gradient.reshape(parts[0].shape).to(kind))
        else:
            out += [result.gradient[k].reshape(shape).to(kind, copy=True) for k in range(learners) if needs[k]]
    return out


@_cohort_op.register_fake
def _(
    parts: list[Tensor],
    alpha: Tensor,
    scale: Tensor,
    directed: bool,
    needs: list[bool],
    slope: bool,
    kind: torch.dtype,
) -> list[Tensor]:
    first = parts[0]
    students, shape = (first.shape[0], first.shape[1:]) if len(parts) == 1 else (len(parts), first.shape)
    value = first.new_empty((1 if directed else students, *shape[:-1]), dtype=torch.float64)
    gradients = [torch.empty_like(x, dtype=kind, memory_format=torch.contiguous_format) for x in parts]
    kept = [g for g, need in zip(gradients, needs, strict=True) if need]
    return [value, *([torch.empty_like(value)] if slope else []), *kept]


def _evaluate(
    alpha: Tensor,
    order: float | None,
    scale: Tensor,
    directed: bool,
    needs: tuple[bool, ...],
    slope: bool,
    kind: torch.dtype,
    mask: Tensor | None,
    parts: Sequence[Tensor],
) -> tuple[Tensor, Tensor | None, list[Tensor]]:
    """Return mean divergences (learners, ...), slopes and gradients: by the formulation above for an `order` of it."""
    operands = list(parts)
    if mask is not None:
        operands = [torch.where(mask.unsqueeze(-1), x, 0.0) for x in parts]
    if order is None:
        value, *gradients = _cohort_op(operands, alpha, scale, directed, list(needs), slope, kind)
    else:
        # one pass over all logits
        size = operands[0].abs()
        for x in operands[1:]:
            size = torch.maximum(size, x.abs())
        # also false where a logit is NaN
        inside = 2.0 * size.amax().double() * scale + log(parts[0].shape[-1]) <= RANGE / max(1.0, order)

        def fast(alpha: Tensor, scale: Tensor, *x: Tensor) -> tuple[Tensor, ...]:
            return _fast(x, order, scale, 1 if directed else len(x), needs, kind)

        def slow(alpha: Tensor, scale: Tensor, *x: Tensor) -> tuple[Tensor, ...]:
            return tuple(_cohort_op(list(x), alpha, scale, directed, list(needs), False, kind))

        value, *gradients = torch.cond(inside, fast, slow, (alpha, scale, *operands))
    slopes = gradients.pop(0) if slope else None
    if mask is not None:
        value = torch.where(mask, value, 0.0)
        slopes = None if slopes is None else torch.where(mask, slopes, 0.0)
        gradients = [torch.where(mask.unsqueeze(-1), g, 0.0) for g in gradients]
    return value, slopes, gradients


class _Traced(Function):
    """The value; saves one array of the logits' size per learner."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        alpha: Tensor,
        order: float | None,
        scale: Tensor,
        directed: bool,
        needs: tuple[bool, ...],
        slope: bool,
        kind: torch.dtype,
        mask: Tensor | None,
        *parts: Tensor,
    ) -> Tensor:
        value, slopes, gradients = _evaluate(alpha, order, scale, directed, needs, slope, kind, mask, parts)
        ctx.needs, ctx.dtypes, ctx.stacked = needs, [x.dtype for x in parts], len(parts) == 1
        ctx.save_for_backward(scale, slopes, *gradients)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        scale, slopes, *saved = ctx.saved_tensors
        out: list[Any] = []
        for k, dtype in enumerate(ctx.dtypes):
            if ctx.needs[k]:
                g = saved.pop(0)
                weight = ((grad if ctx.stacked else grad[k]).double() * scale).to(g.dtype)
                out.append((g * weight.unsqueeze(-1)).to(dtype))
            else:
                out.append(None)
        slope = None if slopes is None else (grad * slopes).sum()
        return (slope, None, None, None, None, None, None, None, *out)


def traced_order(
    logits: Sequence[Tensor], alpha: float | Tensor, *, temperature: float, directed: bool
) -> float | None:
    """Return the order, as a constant of the code, if this formulation serves: few pairs of at most 24 bits."""
    pairs = 1 if directed else len(logits) * (len(logits) - 1)
    if not moderate(temperature) or many_classes(logits[0], alpha, len(logits)):
        return None  # the opaque operation calls Triton's kernels
    if pairs > MOST_PAIRS or any(x.dtype == torch.float64 for x in logits) or not logits[0].numel():
        return None
    # the compiler may follow `alpha`, or an element of `ORDERS`, as a symbol, but not a literal
    if isinstance(alpha, Tensor) or alpha not in ORDERS:
        return None
    return 0.5 if alpha == 0.5 else 1.0 if alpha == 1.0 else 2.0


def _separate(logits: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors that share no memory, as torch.cond demands; views and constants are copied."""
    out: list[Tensor] = []
    for x in logits:
        alone = x.requires_grad and x._base is None and all(x is not y for y in out)
        out.append(x if alone else x.clone())
    return out


def traced(
    logits: Tensor | Sequence[Tensor],
    alpha: float | Tensor,
    *,
    temperature: float,
    mask: Tensor | None,
    directed: bool,
    kind: torch.dtype,
) -> Tensor:
    """Return mean divergences of the learners, (learners, ...), of K tensors (..., C) or one (K, ..., C).

    In operations that the compiler fuses where they serve, or else opaquely, as also where tensors hold no numbers.
    Gradients wait as `kind`.
    """
    views = list(logits.unbind(0)) if isinstance(logits, Tensor) else logits
    order = None
    if torch.compiler.is_compiling():
        order = traced_order(views, alpha, temperature=temperature, directed=directed)
    if order is not None:
        parts = _separate(views)
    elif isinstance(logits, Tensor):
        parts = [logits]
    else:
        # the tracer refuses a tensor that comes twice
        parts = [x.view_as(x) if any(x is y for y in logits[:k]) else x for k, x in enumerate(logits)]
    device = views[0].device
    if not isinstance(alpha, Tensor):
        alpha = torch.full((), alpha, dtype=torch.float64, device=device)
    # a tensor, since the compiler may follow numbers as symbols, which torch.cond does not take
    scale = torch.full((), 1.0 / temperature, dtype=torch.float64, device=device)
    enabled = torch.is_grad_enabled()
    needs = tuple(enabled and x.requires_grad and not (directed and k) for k, x in enumerate(parts))
    slope = enabled and alpha.requires_grad
    if not any(needs) and not slope:
        return _evaluate(alpha, order, scale, directed, needs, slope, kind, mask, parts)[0]
    return _Traced.apply(alpha, order, scale, directed, needs, slope, kind, mask, *parts)  # type: ignore[return-value]
