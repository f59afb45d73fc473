"""The cohort under `torch.compile`: at orders 1/2, 1 and 2 plain tensor operations, which it fuses into one loop.

With p and q the softmaxes of a peer and of the student and offset = alpha - 1, the sum of a pair is
S = sum p^alpha q^(1 - alpha) = 1 + offset Y, where Y has terms of second order that do not cancel at consensus:

    alpha = 2:    (p - q)^2 / q
    alpha = 1/2:  (sqrt p - sqrt q)^2
    alpha = 1:    p t + q - p with t = log(p/q), as a series in t where |t| is small

Its relative error is some 2^-53 over the typical |t|. Other orders have no such form that is cheap, and take
`_cohort.evaluate` as one opaque operation, by which these three would take 1.4 to 2.8 times as long
(`benchmarks/special_paths_table.json`). Where powers could leave the range of float64, and for NaN, infinities and
excluded classes, `torch.cond` takes that operation, too, so that every row is right.

On the CPU the compiler's sum over a contiguous axis ends in a slow loop over the lanes of a vector, for each row and
pair. With few classes that is most of the time, so the rows come last there, and a vector holds several of them: four
students of 128 x 10 would else take 1.2 to 1.3 times as long, and are to be 4 times as fast as `F.kl_div` on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import NamedTuple

import torch
from torch import Tensor

from rdml_theory.losses import _quick
from rdml_theory.losses._cohort import evaluate as cohort
from rdml_theory.losses._cohort import stored_dtype
from rdml_theory.losses._quick import Task

# all pairs are unrolled; with more of them compilation takes long, and the matrix products of the eager loss are faster
MOST_PAIRS = 20
# the orders with a form of their own; they are constants of the compiled code
ORDERS = (0.5, 1.0, 2.0)
# with so few classes the rows come last
FEW = 128


class _Student(NamedTuple):
    """The softmax p, p^alpha and p^(1 - alpha); log p is x less log_mass."""

    p: Tensor
    power: Tensor
    rest: Tensor | float
    x: Tensor
    log_mass: Tensor


def _kept(x: Tensor) -> Tensor:
    """Return x, in memory: the compiler would compute it anew in each loop that reads it, or for each class."""
    return x.as_strided(x.shape, x.stride())


def _student(logits: Tensor, alpha: float, temperature: Tensor, axis: int) -> _Student:
    # Floats of the formulas are literals: with dynamic=True the compiler follows a global one as a symbol, and fails to
    # make code of the symbol in a branch of torch.cond. No maximum is subtracted: `evaluate` knows that the
    # exponentials are in range.
    x = logits.double() * (1.0 / temperature)
    if alpha == 0.5:
        root = _kept((x * 0.5).exp())
        mass = (root * root).sum(axis, keepdim=True)
        root = root * _kept(mass.rsqrt())
        return _Student(root * root, root, root, x, mass.log())
    if alpha == 1.0 and axis == 0:
        # which all pairs read, and whose rows would be brought last for each of them
        x = _kept(x)
    e = _kept(x.exp())
    mass = e.sum(axis, keepdim=True)
    p = e * _kept(1.0 / mass)
    return _Student(p, p * p if alpha == 2.0 else p, 1.0 / p if alpha == 2.0 else 1.0, x, mass.log())


# D, with an axis of length one for the classes, and 1 / S
_Divergence = tuple[Tensor, Tensor | float]


def _pair(peer: _Student, own: _Student, alpha: float, axis: int) -> tuple[_Divergence, _Divergence]:
    """Return the divergence of `own` from `peer`, and that of `peer` from `own`."""
    if alpha == 1.0:
        # differences of logits of at most 24 bits are exact
        t = (peer.x - own.x) - (peer.log_mass - own.log_mass)
        d, square = peer.p - own.p, t * t
        # (e^t - 1 - t) / t^2, to 5e-11
        even = 0.5 + square * (1.0 / 24.0 + square * (1.0 / 720.0))
        odd = t * (1.0 / 6.0 + square * (1.0 / 120.0 + square * (1.0 / 5040.0)))
        near = t.abs() <= 0.1
        there = torch.where(near, peer.p * (square * (even - odd)), peer.p * t - d)
        back = torch.where(near, own.p * (square * (even + odd)), d - own.p * t)
        return (there.sum(axis, keepdim=True), 1.0), (back.sum(axis, keepdim=True), 1.0)
    d = peer.power - own.power if alpha == 0.5 else peer.p - own.p
    if alpha == 2.0:
        there, back = ((d * d * x.rest).sum(axis, keepdim=True) for x in (own, peer))
        return (there.log1p(), 1.0 / (1.0 + there)), (back.log1p(), 1.0 / (1.0 + back))
    # 1 + x loses digits below -1/2, and S is summed by itself
    x = -0.5 * (d * d).sum(axis, keepdim=True)
    total = (peer.power * own.rest).sum(axis, keepdim=True)
    both = -2.0 * torch.where(x > -0.5, x.clamp(min=-0.5).log1p(), total.log()), 1.0 / total
    return both, both


def _fast(
    logits: Sequence[Tensor],
    alpha: float,
    temperature: Tensor,
    weight: Tensor,
    learners: int,
    needs: Sequence[bool],
    kind: torch.dtype,
) -> tuple[Tensor, ...]:
    """Return mean divergences (learners, ...), and the gradients (..., C) of those that need one."""
    shape = logits[0].shape
    axis = 0 if shape[-1] <= FEW and logits[0].is_cpu else 1
    flat = [x.reshape(-1, shape[-1]) for x in logits]
    flat = [x.t().contiguous() if axis == 0 else x.contiguous() for x in flat]
    students = [_student(x, alpha, temperature, axis) for x in flat]
    share = 1.0 / (len(students) - 1)
    pairs: dict[tuple[int, int], _Divergence] = {}
    for k, own in enumerate(students):
        for j in range(k):
            pairs[j, k], pairs[k, j] = _pair(students[j], own, alpha, axis)
    values, gradients = [], []
    for k in range(learners):
        own = students[k]
        value, mixed = torch.zeros(()), torch.zeros(())
        for j, peer in enumerate(students):
            if j != k:
                d, inverse = pairs[j, k]
                value = value + d
                mixed = mixed + peer.power * (inverse * share)
        values.append((value * share).clamp(min=0.0).reshape(shape[:-1]))
        if needs[k]:
            gradient = ((own.p - own.rest * mixed) * (weight / temperature)).to(kind)
            gradient = (gradient.t() if axis == 0 else gradient).reshape(shape)
            # torch.cond demands the same strides of both branches, also along an axis of length one
            gradients.append(gradient.clone(memory_format=torch.contiguous_format))
    return (torch.stack(values), *gradients)


# `learners` is a constant; a schema inferred from the annotations would let it be a symbol
@torch.library.custom_op(
    "rdml_theory::cohort",
    mutates_args=(),
    schema="(Tensor[] parts, Tensor alpha, Tensor temperature, Tensor weight, int learners, bool[] needs, bool slope)"
    " -> Tensor[]",
)
def _cohort_op(
    parts: list[Tensor],
    alpha: Tensor,
    temperature: Tensor,
    weight: Tensor,
    learners: int,
    needs: list[bool],
    slope: bool,
) -> list[Tensor]:
    """Return values, slopes in the order if asked for, and gradients, by `_cohort.evaluate`: one opaque operation."""
    task = Task(alpha.item(), temperature.item(), weight.item(), learners, needs, slope)
    value, slopes, gradient, _ = cohort(parts[0].unbind(0) if len(parts) == 1 else parts, task)
    out = [value] if slopes is None else [value, slopes]
    if gradient is None:
        return out
    if len(parts) == 1:
        return [*out, gradient]
    # no output may share memory with another
    return out + [gradient[k].clone() for k, need in enumerate(needs) if need]


@_cohort_op.register_fake
def _(
    parts: list[Tensor],
    alpha: Tensor,
    temperature: Tensor,
    weight: Tensor,
    learners: int,
    needs: list[bool],
    slope: bool,
) -> list[Tensor]:
    first = parts[0]
    shape = first.shape[1:] if len(parts) == 1 else first.shape
    value = first.new_empty((learners, *shape[:-1]), dtype=torch.float64)
    kind = stored_dtype(parts)
    gradients = [torch.empty_like(x, dtype=kind, memory_format=torch.contiguous_format) for x in parts]
    kept = [g for g, need in zip(gradients, needs, strict=True) if need]
    return [value, *([torch.empty_like(value)] if slope else []), *kept]


def constant_order(
    logits: Sequence[Tensor], alpha: float | Tensor, *, temperature: float, directed: bool
) -> float | None:
    """Return the order, as a constant of the code, if it has a form of its own here: few pairs of at most 24 bits."""
    if not torch.compiler.is_compiling():
        return None  # meta and fake tensors
    pairs = 1 if directed else len(logits) * (len(logits) - 1)
    if pairs > MOST_PAIRS or any(x.dtype == torch.float64 for x in logits) or not logits[0].numel():
        return None
    # the compiler may follow `alpha`, or an element of `ORDERS`, as a symbol, but not a literal
    if isinstance(alpha, Tensor) or alpha not in ORDERS or not _quick.moderate(temperature):
        return None
    return 0.5 if alpha == 0.5 else 1.0 if alpha == 1.0 else 2.0


def separate(parts: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors that share no memory, as operators demand of their arguments; views and constants are copied."""
    out: list[Tensor] = []
    for x in parts:
        alone = x.requires_grad and x._base is None and all(x is not y for y in out)
        out.append(x if alone else x.clone())
    return out


def evaluate(parts: Sequence[Tensor], alpha: Tensor, task: Task) -> tuple[Tensor, Tensor | None, list[Tensor]]:
    """Return mean divergences (learners, ...), slopes, and the gradients of the `parts` that need one.

    The order of the task is that of `constant_order`; if it is None, `alpha` holds it. The temperature and the weight
    are 0-d tensors, since the compiler may follow numbers as symbols, which torch.cond does not take.
    """
    order, learners, needs = task.order, task.learners, list(task.needs)
    numbers = alpha, task.temperature, task.weight
    if order is None:
        value, *gradients = _cohort_op(list(parts), *numbers, learners, needs, task.slope)
        return value, gradients.pop(0) if task.slope else None, gradients
    kind = stored_dtype(parts)
    # one pass over all logits
    size = parts[0].abs()
    for x in parts[1:]:
        size = torch.maximum(size, x.abs())
    # also false where a logit is NaN
    spread = 2.0 * size.amax().double() / task.temperature + log(parts[0].shape[-1])
    inside = spread <= _quick.RANGE / max(1.0, order)

    def fast(alpha: Tensor, temperature: Tensor, weight: Tensor, *x: Tensor) -> tuple[Tensor, ...]:
        return _fast(x, order, temperature, weight, learners, needs, kind)

    def slow(alpha: Tensor, temperature: Tensor, weight: Tensor, *x: Tensor) -> tuple[Tensor, ...]:
        return tuple(_cohort_op(list(x), alpha, temperature, weight, learners, needs, False))

    value, *gradients = torch.cond(inside, fast, slow, (*numbers, *parts))
    return value, None, gradients
