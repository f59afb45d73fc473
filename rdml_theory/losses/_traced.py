"""The mutual loss in plain tensor operations, for `torch.compile` to fuse into one loop over the rows.

With p and q the softmaxes of a peer and of the student, t = log(p/q) and beta = alpha - 1, the sum of a pair is
S = sum p^alpha q^(1 - alpha) = 1 + beta Y, where Y has terms that are not negative and do not cancel at consensus:

    alpha = 2:    (p - q)^2 / q
    alpha = 1/2:  (sqrt p - sqrt q)^2
    otherwise:    p expm1(beta t) / beta + q - p, as a series in t where |t| is small.

The differences of logits of at most 24 bits are exact in float64, so Y has a relative error of some 2^-53 over the
typical |t|. Where powers could leave the range of float64, and for NaN, infinities and excluded classes, `torch.cond`
takes the kernels of the eager loss instead, so that every row is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial, log
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import Function

from rdml_theory.losses._cohort import Plan, cohort, many_classes
from rdml_theory.losses._two import RANGE

# all pairs are unrolled; with more of them compilation takes long, and the matrix products of the eager loss are faster
MOST_PAIRS = 20
# other orders take the eager kernels
LEAST_ORDER, GREATEST_ORDER = 0.01, 100.0
# the series serves |t| up to this over max(1, |beta|), to a relative error of 1e-10
SERIES_EDGE = 0.5
SERIES_TERMS = 9
# 1 + x loses digits below, and S is summed by itself
CANCEL = -0.5


# orders with a cheaper form, which are constants of the compiled code; any other order is a tensor in it
PLAIN_ORDERS = (0.5, 1.0, 2.0)


class _Student(NamedTuple):
    """Logits over the temperature; softmax p and its log-normaliser; p^alpha and p^(1 - alpha)."""

    x: Tensor
    p: Tensor
    log_mass: Tensor
    power: Tensor
    rest: Tensor | float


def _student(logits: Tensor, alpha: float | Tensor, scale: Tensor) -> _Student:
    # no maximum is subtracted: `_evaluate` knows that the exponentials are in range
    x = logits.double() * scale
    e = x.exp()
    mass = e.sum(-1, keepdim=True)
    p = e * (1.0 / mass)
    log_mass = mass.log()
    if isinstance(alpha, Tensor):
        log_p = x - log_mass
        return _Student(x, p, log_mass, (log_p * alpha).exp(), (log_p * (1.0 - alpha)).exp())
    if alpha == 2.0:
        return _Student(x, p, log_mass, p * p, 1.0 / p)
    if alpha == 0.5:
        root = p.sqrt()
        return _Student(x, p, log_mass, root, root)
    return _Student(x, p, log_mass, p, 1.0)


def _terms(peer: _Student, own: _Student, alpha: float | Tensor) -> Tensor:
    """Return the terms of Y."""
    p, q = peer.p, own.p
    if not isinstance(alpha, Tensor) and alpha != 1.0:
        d = p - q if alpha == 2.0 else peer.power - own.power
        return d * d * own.rest if alpha == 2.0 else d * d
    beta = alpha - 1.0
    t = (peer.x - own.x) - (peer.log_mass - own.log_mass)
    # y = p t^2 sum_k (beta^(k+1) + (-1)^k) t^k / (k+2)!
    coefficients = [(beta ** (k + 1) + (-1.0) ** k) * (1.0 / factorial(k + 2)) for k in range(SERIES_TERMS)]
    series = coefficients[-1] * t
    for c in coefficients[-2:0:-1]:
        series = (series + c) * t
    near = (series + coefficients[0]) * t * t * p
    edge: float | Tensor = SERIES_EDGE
    growth = t
    if isinstance(beta, Tensor):
        edge = SERIES_EDGE / beta.abs().clamp(min=1.0)
        growth = torch.where(beta == 0.0, t, (beta * t).expm1() / torch.where(beta == 0.0, 1.0, beta))
    return torch.where(t.abs() <= edge, near, p * growth + (q - p))


def _pair(peer: _Student, own: _Student, alpha: float | Tensor) -> tuple[Tensor, Tensor | float]:
    """Return D, (N, 1), and 1 / S."""
    y = _terms(peer, own, alpha).sum(-1, keepdim=True)
    if not isinstance(alpha, Tensor) and alpha != 0.5:
        return (y, 1.0) if alpha == 1.0 else (y.log1p(), 1.0 / (1.0 + y))
    beta = alpha - 1.0
    x = y * beta
    total = (peer.power * own.rest).sum(-1, keepdim=True)
    logarithm = torch.where(x > CANCEL, x.clamp(min=CANCEL).log1p(), total.log())
    if isinstance(beta, Tensor):
        return torch.where(beta == 0.0, y, logarithm / torch.where(beta == 0.0, 1.0, beta)), 1.0 / total
    return logarithm * (1.0 / beta), 1.0 / total


def _fast(
    logits: Sequence[Tensor],
    alpha: float | Tensor,
    scale: Tensor,
    learners: int,
    needs: Sequence[bool],
    kind: torch.dtype,
) -> tuple[Tensor, ...]:
    """Return mean divergences (learners, N), and the gradients (N, C) of those that need one."""
    students = [_student(x, alpha, scale) for x in logits]
    share = 1.0 / (len(students) - 1)
    pairs: dict[tuple[int, int], tuple[Tensor, Tensor | float]] = {}
    values, gradients = [], []
    for k in range(learners):
        own = students[k]
        value = mixed = None
        for j, peer in enumerate(students):
            if j == k:
                continue
            if (k, j) in pairs and not isinstance(alpha, Tensor) and alpha == 0.5:
                pairs[j, k] = pairs[k, j]  # symmetric
            else:
                pairs[j, k] = _pair(peer, own, alpha)
            d, inverse = pairs[j, k]
            part = peer.power * (inverse * share)
            value = d if value is None else value + d
            mixed = part if mixed is None else mixed + part
        assert value is not None
        assert mixed is not None
        values.append((value * share).clamp(min=0.0).squeeze(-1))
        if needs[k]:
            gradients.append((own.p - own.rest * mixed).to(kind))
    return (torch.stack(values), *gradients)


@torch.library.custom_op("rdml_theory::eager_cohort", mutates_args=())
def _eager_cohort(
    logits: list[Tensor], alpha: Tensor, scale: Tensor, learners: int, needs: list[bool], kind: torch.dtype
) -> list[Tensor]:
    """Return the same from the eager kernels, as one opaque operation."""
    plan = Plan(alpha.item(), 1.0 / scale.item(), gradient=any(needs), directed=learners < len(logits))
    shape = logits[0].shape
    result = cohort([x.reshape(-1, shape[-1]) for x in logits], plan)
    gradients = [] if result.gradient is None else [result.gradient[k] for k in range(learners) if needs[k]]
    value = result.value.reshape(learners, *shape[:-1]).contiguous()
    return [value, *(g.reshape(shape).to(kind, copy=True) for g in gradients)]


@_eager_cohort.register_fake
def _(
    logits: list[Tensor], alpha: Tensor, scale: Tensor, learners: int, needs: list[bool], kind: torch.dtype
) -> list[Tensor]:
    shape = logits[0].shape
    value = logits[0].new_empty((learners, *shape[:-1]), dtype=torch.float64)
    return [value, *(logits[0].new_empty(shape, dtype=kind) for k in range(learners) if needs[k])]


def _evaluate(
    alpha: Tensor,
    plain: float | None,
    scale: Tensor,
    learners: int,
    needs: tuple[bool, ...],
    kind: torch.dtype,
    mask: Tensor | None,
    logits: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor]]:
    """Return mean divergences (learners, ...) and gradients, by the formulation above or by the eager kernels."""
    operands = logits
    if mask is not None:
        operands = [torch.where(mask.unsqueeze(-1), x, 0.0) for x in logits]
    # one pass over all logits
    size = operands[0].abs()
    for x in operands[1:]:
        size = torch.maximum(size, x.abs())
    exponent = torch.maximum(alpha, (1.0 - alpha).abs()).clamp(min=1.0)
    # also false where a logit is NaN
    inside = (2.0 * size.amax().double() * scale + log(logits[0].shape[-1])) * exponent <= RANGE
    if plain is None:
        inside = inside & (alpha >= LEAST_ORDER) & (alpha <= GREATEST_ORDER)

    def fast(alpha: Tensor, scale: Tensor, *x: Tensor) -> tuple[Tensor, ...]:
        return _fast(x, alpha if plain is None else plain, scale, learners, needs, kind)

    def slow(alpha: Tensor, scale: Tensor, *x: Tensor) -> tuple[Tensor, ...]:
        return tuple(_eager_cohort(x, alpha, scale, learners, needs, kind))  # type: ignore[arg-type]

    value, *gradients = torch.cond(inside, fast, slow, (alpha, scale, *operands))
    if mask is not None:
        value = torch.where(mask, value, 0.0)
        gradients = [torch.where(mask.unsqueeze(-1), g, 0.0) for g in gradients]
    return value, gradients


class _Traced(Function):
    """The value; saves one array of the logits' size per learner."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        alpha: Tensor,
        plain: float | None,
        scale: Tensor,
        learners: int,
        needs: tuple[bool, ...],
        kind: torch.dtype,
        mask: Tensor | None,
        *logits: Tensor,
    ) -> Tensor:
        value, gradients = _evaluate(alpha, plain, scale, learners, needs, kind, mask, logits)
        ctx.needs, ctx.dtypes = needs, [x.dtype for x in logits]
        ctx.save_for_backward(scale, *gradients)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        scale, *saved = ctx.saved_tensors
        out: list[Any] = []
        for k, dtype in enumerate(ctx.dtypes):
            if ctx.needs[k]:
                g = saved.pop(0)
                weight = (grad[k].double() * scale).to(g.dtype)
                out.append((g * weight.unsqueeze(-1)).to(dtype))
            else:
                out.append(None)
        return (None, None, None, None, None, None, None, *out)


def traceable(logits: Sequence[Tensor], alpha: float | Tensor, *, directed: bool) -> bool:
    """Whether this formulation serves: logits of at most 24 bits, an order that is not trained, few pairs."""
    pairs = 1 if directed else len(logits) * (len(logits) - 1)
    if many_classes(logits[0], alpha, len(logits)):
        return False  # the opaque operation calls Triton's kernels
    if pairs > MOST_PAIRS or any(x.dtype == torch.float64 for x in logits) or not logits[0].numel():
        return False
    return not (isinstance(alpha, Tensor) and alpha.requires_grad)


def _separate(logits: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors that share no memory, as torch.cond demands; views and constants are copied."""
    out: list[Tensor] = []
    for x in logits:
        alone = x.requires_grad and x._base is None and all(x is not y for y in out)
        out.append(x if alone else x.clone())
    return out


def traced(
    logits: Sequence[Tensor],
    alpha: float | Tensor,
    *,
    temperature: float,
    mask: Tensor | None,
    directed: bool,
    kind: torch.dtype,
) -> Tensor:
    """Return mean divergences of the learners, (learners, ...), of K tensors (..., C); gradients wait as `kind`."""
    learners = 1 if directed else len(logits)
    enabled = torch.is_grad_enabled()
    needs = tuple(enabled and k < learners and x.requires_grad for k, x in enumerate(logits))
    plain = None
    if not isinstance(alpha, Tensor):
        # a constant of the code, also if the compiler follows `alpha` as a symbol
        plain = next((a for a in PLAIN_ORDERS if a == alpha), None)
        alpha = torch.full((), alpha, dtype=torch.float64, device=logits[0].device)
    # a tensor, since the compiler may follow numbers as symbols, which torch.cond does not take
    scale = torch.full((), 1.0 / temperature, dtype=torch.float64, device=logits[0].device)
    views = _separate(logits)
    if not any(needs):
        return _evaluate(alpha, plain, scale, learners, needs, kind, mask, views)[0]
    return _Traced.apply(alpha, plain, scale, learners, needs, kind, mask, *views)  # type: ignore[return-value]
