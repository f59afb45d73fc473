"""Two students: value and gradients from few operations, with the digits kept near consensus at orders 1/2 and 2.

A step of mutual learning between two small students is over in a tenth of a millisecond, so what counts is the number
of tensor operations. With the softmaxes p of the peer and q of the student, the sums over classes are

    order 2      S - 1 = sum q (p / q - 1)^2,          D = log S,              w = p^2 / (q S)
    order 1/2    1 - S = sum (sqrt p - sqrt q)^2 / 2,  D = -2 log S,           w = sqrt(p q) / S
    order 1      D = sum p (log p - log q),                                    w = p
    any other    S = sum q (p / q)^alpha,              D = log S / (alpha-1),  w = q (p / q)^alpha / S

of which the last two lose digits near consensus, and the first two at divergences below the square of the rounding of
p and q, as between students that are equally sure; those rows are told. The differences of the first two are computed
only where some row is so near that log S itself lacks digits.

The weight of the gradients multiplies the softmaxes when they are normalised, which costs nothing. On the CPU each
thread keeps its buffers from call to call.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rdml_theory.losses._base import BASE, rows_at_once

# elements of one (2, rows, C) buffer of float64, of which there are three: they stay in the cache of a CPU
BLOCK = 65536
# powers of probabilities stay within e^+-RANGE, inside the range of float64 also after a sum over classes
RANGE = 600.0
# exponentials of logits up to this size need no maximum subtracted, nor do quotients of their squares
SMALL = 100.0
# weights in this range leave room for the powers: e^RANGE is 4e260
WEIGHTS = (1e-40, 1e40)
# relative error of a sum S: a few roundings, times the exponents that enter it
NOISE = 1e-15
# a value is used where its relative error is below this, half a unit of float32
VALUE_ERROR = 3e-8


class _Space(NamedTuple):
    """Buffers of float64 for two students, and views of them; `q` starts with logits in units of the base."""

    q: Tensor
    part: Tensor
    spare: Tensor
    q0: Tensor
    q1: Tensor
    part0: Tensor
    part1: Tensor
    spare0: Tensor


def _allocate(source: Tensor, rows: int) -> _Space:
    shape = (2, rows, source.shape[-1])
    q, part, spare = (torch.empty(shape, dtype=torch.float64, device=source.device) for _ in range(3))
    return _Space(q, part, spare, q[0], q[1], part[0], part[1], spare[0])


class _Kept(threading.local):
    """The buffers that a thread used last."""

    space: _Space | None = None


_kept = _Kept()


def _space(source: Tensor, rows: int) -> _Space:
    """Return buffers for two students' logits (rows, C)."""
    # tensors of other kinds (fake ones, wrappers) must not meet buffers of this one
    if type(source) is not Tensor or not source.is_cpu:
        return _allocate(source, rows)
    space = _kept.space
    if space is None or space.q0.shape != (rows, source.shape[-1]):
        # a buffer made in inference mode could not be used outside of it
        with torch.inference_mode(False):
            space = _kept.space = _allocate(source, rows)
    return space


# values of the learners (learners, rows, 1), and whether all of them have the digits that S has far from consensus
_Values = tuple[Tensor, bool]


def _softmax(q: Tensor, weight: float) -> Tensor:
    """Make `weight` times the softmax, in place; return the sums of exponentials."""
    BASE.exp_(q)
    mass = q.sum(-1, keepdim=True)
    inverse = mass.reciprocal()
    q.mul_(inverse if weight == 1.0 else inverse.mul_(weight))
    return mass


def _at_two(space: _Space, alpha: float, learners: int, weight: float, gradient: Tensor | None, edge: float) -> _Values:
    q, part, ratio, q0, q1, part0, part1, ratio0 = space
    _softmax(q, weight)
    # w S = p (p / q)
    torch.div(q1, q0, out=part0)
    if learners == 2:
        torch.reciprocal(part0, out=part1).mul_(q0)
        own, w = q, part
    else:
        own, w, ratio = q0, part0, ratio0
    part0.mul_(q1)
    total = w.sum(-1, keepdim=True)
    if weight != 1.0:
        total.mul_(1.0 / weight)
    value = total.log()
    far = value.amin().item() >= edge
    if not far:
        torch.div(q1, q0, out=ratio0)
        if learners == 2:
            torch.reciprocal(ratio0, out=ratio[1])
        # S - 1 = sum q (p / q - 1)^2
        value = ratio.sub_(1.0).square_().mul_(own).sum(-1, keepdim=True).mul_(1.0 / weight).log1p_()
    if gradient is not None:
        gradient.copy_(own.addcmul_(w, total.reciprocal_(), value=-1.0))
    return value, far


def _at_half(
    space: _Space, alpha: float, learners: int, weight: float, gradient: Tensor | None, edge: float
) -> _Values:
    roots, _, q, r0, r1, d, w, q0 = space
    BASE.exp_(roots)
    torch.mul(roots, roots, out=q)
    inverse = q.sum(-1, keepdim=True).reciprocal_()
    torch.mul(r0, r1, out=w)
    total = w.sum(-1, keepdim=True)
    value = (total * total).mul_(inverse.prod(0)).log_().neg_()
    far = value.amin().item() >= edge
    if not far:
        roots.mul_(inverse.sqrt())
        torch.sub(r0, r1, out=d)
        close = d.mul_(d).sum(-1, keepdim=True).mul_(-0.5).log1p_().mul_(-2.0)
        value = torch.where(value < 1.0, close, value)
    if gradient is not None:
        if weight != 1.0:
            inverse.mul_(weight)
        w.mul_(total.reciprocal_().mul_(weight))
        gradient.copy_(q.mul_(inverse).sub_(w) if learners == 2 else q0.mul_(inverse[0]).sub_(w))
    return value.expand(learners, -1, -1), far


def _at_one(space: _Space, alpha: float, learners: int, weight: float, gradient: Tensor | None, edge: float) -> _Values:
    q, part, _, q0, q1, t, part1, d = space
    torch.sub(q1, q0, out=t)
    log_mass = _softmax(q, weight).log_()
    if learners == 2:
        torch.mul(t, q0, out=part1)
    else:
        part = t
    t.mul_(q1)
    # E_p (log q_1 - log q_0) for the peer p of each
    value = part.sum(-1, keepdim=True).mul_(BASE.nats / weight)
    value += log_mass[0].sub_(log_mass[1])
    if learners == 2:
        value[1].neg_()
    if gradient is not None:
        first = gradient[0] if learners == 2 else gradient
        first.copy_(torch.sub(q0, q1, out=d))
        if learners == 2:
            torch.neg(first, out=gradient[1])
    return value, value.amin().item() >= edge


def _at_any(space: _Space, alpha: float, learners: int, weight: float, gradient: Tensor | None, edge: float) -> _Values:
    q, part, _, q0, q1, power, part1, _ = space
    torch.sub(q1, q0, out=power)
    log_mass = BASE.log_(_softmax(q, weight))
    # alpha log (p / q) of student 0, of which that of student 1 is the negative
    power.sub_(log_mass[1].sub_(log_mass[0])).mul_(alpha)
    own, w = (q, part) if learners == 2 else (q0, power)
    if learners == 2:
        torch.neg(power, out=part1)
    BASE.exp_(w).mul_(own)
    total = w.sum(-1, keepdim=True)
    if gradient is not None:
        gradient.copy_(own.addcmul_(w, total.reciprocal().mul_(weight), value=-1.0))
    value = total.mul_(1.0 / weight).log_().mul_(1.0 / (alpha - 1.0))
    return value, value.amin().item() >= edge


def _edge(alpha: float, classes: int, size: float) -> float:
    """Return below which value the sum S, which errs by `NOISE` times the exponents in it, leaves too few digits."""
    if alpha == 1.0:
        return NOISE * (1.0 + 4.0 * size + math.log(classes)) / VALUE_ERROR
    return NOISE * (1.0 + alpha) * (1.0 + size) / VALUE_ERROR / abs(alpha - 1.0)


_RULES = {0.5: _at_half, 1.0: _at_one, 2.0: _at_two}


def evaluate(
    views: Sequence[Tensor],
    alpha: float,
    temperature: float,
    weight: float,
    gradient: Tensor | None,
    learners: int,
    size: float,
) -> tuple[Tensor, Tensor | None]:
    """Return values (learners, N) of two logits (N, C), and which of them have no digits, if any.

    `size` is the largest logit over the temperature, in absolute value, or any larger number. The range of a row must
    be so small that its exponentials, and their powers to alpha and 1 - alpha, stay in float64. Gradients times
    `weight` go to `gradient` (learners, N, C), which may be the memory of the logits.
    """
    x0, x1 = views
    rows, classes = x0.shape
    rule, step = _RULES.get(alpha, _at_any), rows_at_once(x0, rows, 2 * classes, BLOCK)
    # order 1/2 works with square roots
    scale = (0.5 if alpha == 0.5 else 1.0) / (BASE.nats * temperature)
    folded = weight if gradient is not None and WEIGHTS[0] < weight < WEIGHTS[1] else 1.0
    target = gradient if gradient is None or learners == 2 else gradient[0]
    space = _space(x0, step)
    edge = _edge(alpha, classes, min(size, RANGE))
    blocks, far = [], True
    for start in range(0, rows, step):
        y0, y1, out = x0, x1, target
        if step < rows:
            here = slice(start, min(start + step, rows))
            y0, y1, out = x0[here], x1[here], target if target is None else target[..., here, :]
            if y0.shape[0] < step:
                space = _Space(*(buffer[..., : y0.shape[0], :] for buffer in space))
        space.q0.copy_(y0)
        space.q1.copy_(y1)
        if size > SMALL:
            space.q.sub_(space.q.amax(-1, keepdim=True))
        if scale != 1.0:
            space.q.mul_(scale)
        value, here_far = rule(space, alpha, learners, folded, out, edge)
        blocks.append(value)
        far = far and here_far
    value = (blocks[0] if len(blocks) == 1 else torch.cat(blocks, -2)).view(learners, rows)
    if gradient is not None and folded != weight:
        gradient.mul_(weight)
    if far:
        return value, None
    if alpha in (0.5, 2.0):
        # p - q errs by a share of p, and D, of second order, by that share of sqrt(D)
        edge = (2.0 * NOISE * (1.0 + min(size, RANGE)) / VALUE_ERROR) ** 2
        if value.amin().item() >= edge:
            return value, None
    # order 1/2 returns one value for both students
    return value.contiguous(), value < edge
