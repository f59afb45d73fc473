"""Triton kernels for many classes on a GPU: each logit is read twice, and each gradient written once.

The first pass over a row finds, for all students at once and blockwise, the maxima m_k, the masses sum e^(z_k - m_k),
and for all pairs T_jk = sum e^(alpha (z_j - m_j) + (1 - alpha) (z_k - m_k)); when a maximum moves, they are rescaled.
The second pass writes q_k - mean over j of the escorts, and sums the terms of Y = (S - 1) / offset of each pair in the
form that does not cancel at consensus (see `_quick`). Terms are float32, sums over blocks float64. Rows whose powers
could leave the range of float32, that exclude classes or hold NaN are reported, and left to `_quick`.

Tested in Triton's interpreter, and compiled for compute capability 9.0; not yet run on a GPU.
"""

# pyright: reportMissingImports=false, reportIndexIssue=false

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

# classes of one step
BLOCK = 512
# compiled for compute capability 9.0, four students then take 121 registers and spill none
WARPS = 8
# all exponents to the base 2 stay below
RANGE = 100.0
LOG2E = 1.4426950408889634
# edge of the series in t over max(1, |offset|)
SERIES_EDGE = tl.constexpr(0.5)
SERIES_TERMS = tl.constexpr(9)


@triton.jit
def _tile(logits, row, rows, classes, start, students: tl.constexpr, size: tl.constexpr, block: tl.constexpr):
    """Return the logits of all students (size, block), zero outside, and where they are."""
    k = tl.arange(0, size)[:, None]
    c = start + tl.arange(0, block)[None, :]
    inside = (k < students) & (c < classes)
    place = (k.to(tl.int64) * rows + row) * classes + c
    x = tl.load(logits + place, mask=inside, other=0.0).to(tl.float32)
    return x, inside, place


@triton.jit
def _sums(
    logits,
    tops,
    lows,
    masses,
    totals,
    rows,
    classes,
    alpha,
    scale,
    students: tl.constexpr,
    size: tl.constexpr,
    block: tl.constexpr,
):
    """Fill maxima, minima, masses (rows, size), and sums of all pairs (rows, size, size); scale is log2(e) / tau."""
    row = tl.program_id(0).to(tl.int64)
    top = tl.full((size,), float("-inf"), tl.float32)
    low = tl.full((size,), float("inf"), tl.float32)
    mass = tl.zeros((size,), tl.float64)
    total = tl.zeros((size, size), tl.float64)
    for start in range(0, classes, block):
        x, inside, _ = _tile(logits, row, rows, classes, start, students, size, block)
        low = tl.minimum(low, tl.min(tl.where(inside, x, float("inf")), axis=1))
        highest = tl.maximum(top, tl.max(tl.where(inside, x, float("-inf")), axis=1))
        # rows of the tile without a student stay at zero
        base = tl.where(highest == float("-inf"), 0.0, highest)
        # how far each maximum moves; nothing has been summed before the first block
        move = (tl.where(top == float("-inf"), base, top) - base) * scale
        e = tl.where(inside, (x - base[:, None]) * scale, 0.0)
        p = tl.where(inside, tl.exp2(e), 0.0)
        a = tl.where(inside, tl.exp2(alpha * e), 0.0)
        b = tl.where(inside, tl.exp2((1.0 - alpha) * e), 0.0)
        mass = mass * tl.exp2(move).to(tl.float64) + tl.sum(p, axis=1).to(tl.float64)
        shift = tl.exp2(alpha * move[:, None] + (1.0 - alpha) * move[None, :])
        total = total * shift.to(tl.float64) + tl.sum(a[:, None, :] * b[None, :, :], axis=2).to(tl.float64)
        top = highest
    k = tl.arange(0, size)
    tl.store(tops + row * size + k, top)
    tl.store(lows + row * size + k, low)
    tl.store(masses + row * size + k, mass)
    tl.store(totals + (row * size + k[:, None]) * size + k[None, :], total)


@triton.jit
def _gradients(
    logits,
    tops,
    masses,
    shares,
    shifts,
    terms,
    gradient,
    rows,
    classes,
    alpha,
    scale,
    weight,
    students: tl.constexpr,
    learners: tl.constexpr,
    size: tl.constexpr,
    block: tl.constexpr,
    with_gradient: tl.constexpr,
):
    """Fill Y of all pairs (rows, size, size) and the gradients (learners, rows, classes).

    `shares` are 1 / T over the number of peers, zero on the diagonal; `shifts` the differences of the log-masses, from
    the maxima.
    """
    row = tl.program_id(0).to(tl.int64)
    k = tl.arange(0, size)
    pair = (row * size + k[:, None]) * size + k[None, :]
    top = tl.load(tops + row * size + k)
    inverse = (1.0 / tl.load(masses + row * size + k)).to(tl.float32)
    share = tl.load(shares + pair).to(tl.float32)
    shift = tl.load(shifts + pair).to(tl.float32)
    offset = alpha - 1.0
    edge = SERIES_EDGE / tl.maximum(1.0, tl.abs(offset))
    total = tl.zeros((size, size), tl.float64)
    for start in range(0, classes, block):
        x, inside, place = _tile(logits, row, rows, classes, start, students, size, block)
        e = tl.where(inside, (x - top[:, None]) * scale, 0.0)
        p = tl.where(inside, tl.exp2(e) * inverse[:, None], 0.0)
        if with_gradient:
            a, b = tl.exp2(alpha * e), tl.exp2((1.0 - alpha) * e)
            mixed = tl.sum(a[:, None, :] * share[:, :, None], axis=0)
            learns = inside & (k[:, None] < learners)
            tl.store(gradient + place, (p - b * mixed) * weight, mask=learns)
        # t = log(p_j / p_k), its differences of logits exact before the constants are taken off
        t = (x[:, None, :] - x[None, :, :]) * (scale / 1.4426950408889634) - shift[:, :, None]
        # y = p t^2 sum (offset^(i+1) + (-1)^i) t^i / (i+2)!
        series = tl.zeros_like(t)
        for i in tl.static_range(SERIES_TERMS - 1, -1, -1):
            power = 1.0
            factorial = 1.0
            sign = 1.0
            for n in tl.static_range(0, i + 2):
                factorial = factorial * (n + 1)
            for _ in tl.static_range(0, i):
                sign = -sign
            for _ in tl.static_range(0, i + 1):
                power = power * offset
            series = series * t + (power + sign) / factorial
        z = offset * t
        near_one = 1.0 + z * (1 / 2 + z * (1 / 6 + z * (1 / 24 + z * (1 / 120 + z * (1 / 720 + z / 5040)))))
        safe = tl.where(tl.abs(z) < 0.5, 1.0, z)
        growth = t * tl.where(tl.abs(z) < 0.5, near_one, (tl.exp2(safe * 1.4426950408889634) - 1.0) / safe)
        peer, own = p[:, None, :], p[None, :, :]
        y = tl.where(tl.abs(t) <= edge, peer * t * t * series, peer * growth + (own - peer))
        total += tl.sum(y, axis=2).to(tl.float64)
    tl.store(terms + pair, total)


def evaluate(x: Tensor, alpha: float, temperature: float, learners: int, weight: float | None) -> tuple[Any, ...]:
    """Return mean divergences (learners, N), float64, gradients (learners, N, C) or None, and which rows are in range.

    Parameters
    ----------
    x
        Logits (K, N, C), contiguous, of at most 24 bits.
    alpha
        Order, positive and finite.
    temperature
        Divides the logits.
    learners
        How many of the students learn; they come first.
    weight
        Multiplies the gradients of the learners, taken in the logits over the temperature; None for no gradients.
    """
    students, rows, classes = x.shape
    size = max(2, triton.next_power_of_2(students))
    scale = LOG2E / temperature
    tops, lows = (x.new_empty((rows, size), dtype=torch.float32) for _ in range(2))
    masses = x.new_empty((rows, size), dtype=torch.float64)
    totals, terms = (x.new_empty((rows, size, size), dtype=torch.float64) for _ in range(2))
    _sums[(rows,)](x, tops, lows, masses, totals, rows, classes, alpha, scale, students, size, BLOCK, num_warps=WARPS)
    tops, masses, totals = tops[:, :students], masses[:, :students], totals[:, :students, :students]
    exponent = max(1.0, alpha, abs(1.0 - alpha)) * scale
    # a NaN may pass the maxima, but not the sums
    inside = ((tops - lows[:, :students]) * exponent <= RANGE).all(1) & totals.isfinite().all(2).all(1)
    peers = students - 1
    log_mass = masses.log()
    # log S of each pair, and the difference of the log-normalisers
    level = totals.log() - alpha * log_mass.unsqueeze(2) - (1.0 - alpha) * log_mass.unsqueeze(1)
    whole = tops.double() / temperature + log_mass
    pad = (0, size - students)
    shares = torch.nn.functional.pad((1.0 - torch.eye(students, device=x.device)) / totals / peers, pad + pad)
    shifts = torch.nn.functional.pad(whole.unsqueeze(2) - whole.unsqueeze(1), pad + pad)
    gradient = x.new_empty((learners, rows, classes) if weight is not None else (1,), dtype=torch.float32)
    _gradients[(rows,)](
        x,
        torch.nn.functional.pad(tops, pad).contiguous(),
        torch.nn.functional.pad(masses, pad, value=1.0).contiguous(),
        shares.contiguous(),
        shifts.contiguous(),
        terms,
        gradient,
        rows,
        classes,
        alpha,
        scale,
        1.0 if weight is None else weight,
        students,
        learners,
        size,
        BLOCK,
        weight is not None,
        num_warps=WARPS,
    )
    offset = alpha - 1.0
    y = terms[:, :students, :students].clamp(min=0.0)
    excess = offset * y
    value = y if offset == 0.0 else torch.where(excess > -0.5, excess.clamp(min=-0.5).log1p(), level) / offset
    value = value.diagonal_scatter(torch.zeros_like(masses), dim1=1, dim2=2).clamp(min=0.0)
    return value.sum(1)[:, :learners].T / peers, gradient if weight is not None else None, inside
