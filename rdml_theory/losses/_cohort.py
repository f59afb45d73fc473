"""All pairs of a cohort of K students at once: values, gradients in the logits, and the slope in the order.

Far from consensus every pair is an inner product. With A = q^alpha and B = q^(1 - alpha) of each student,

    S_jk = sum_i p_j^alpha q_k^(1 - alpha) = A_j . B_k,

so K exponentials and one batched product of K x C by C x K give all K (K - 1) divergences, and a second product gives
all gradients, q_k - mean_j w_jk = q_k - B_k * mean_j A_j / S_jk. It is done in float64 over blocks of rows that stay in
the cache, for logits of at most 24 bits. What the products cannot do with full accuracy (pairs near consensus, logits
whose powers leave the range, excluded classes, float64 logits) goes to the row kernel, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from math import expm1, factorial, inf, log, log1p
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from rdml_theory.losses import _kernel, _two
from rdml_theory.losses._base import BASE, rows_at_once
from rdml_theory.losses._checks import moderate
from rdml_theory.losses._two import NOISE, RANGE, VALUE_ERROR

# elements of one (K, rows, C) buffer of float64, of which there are four: large enough to hide the cost of a call,
# small enough for the cache
BLOCK = 65536
# elements of one (pairs, rows, C) array of the row kernel, which has about twenty of them
PAIR_BLOCK = 65536
# the slope in the order from the products divides by alpha - 1; nearer to one, the row kernel computes it
SLOPE_NEAR_ONE = 1e-2
# near consensus a series of this many terms serves log-ratios up to this size (over max(1, |beta|)), to 1e-10
SERIES_EDGE = 0.5
SERIES_TERMS = 9
# with so many classes, on a GPU, Triton's kernels are used, up to so many students
MANY = 8192
MOST_STUDENTS = 8


class Plan(NamedTuple):
    """What to compute for a cohort.

    Attributes
    ----------
    alpha
        The order, in [0, inf].
    temperature
        Logits are divided by it.
    gradient
        Whether to compute gradients.
    slope
        Whether to compute derivatives in the order.
    directed
        Whether only the first row learns, from the second (distillation), instead of all from all.
    weight
        Multiplies the gradients before they are rounded.
    """

    alpha: float
    temperature: float = 1.0
    gradient: bool = True
    slope: bool = False
    directed: bool = False
    weight: float = 1.0

    @property
    def exact(self) -> bool:
        """Whether only the row kernel serves this order and temperature."""
        return not (0.0 < self.alpha < inf and moderate(self.temperature))

    def learners(self, students: int) -> int:
        """Return how many of the rows learn; they come first."""
        return 1 if self.directed else students


class Cohort(NamedTuple):
    """Results for the students that learn, K of them.

    Attributes
    ----------
    value
        Mean divergence from the peers, float64, shape (K, N).
    slope
        Its derivative in the order, or None.
    gradient
        The derivative of each in its own logits over the temperature, times the plan's weight, shape (K, N, C), in
        `stored_dtype`; or None.
    """

    value: Tensor
    slope: Tensor | None
    gradient: Tensor | None


@cache
def _pairs(students: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the peer and the student of all ordered pairs, grouped by student; the first of them is (1, 0)."""
    student = torch.arange(students, device=device).repeat_interleave(students - 1)
    offset = torch.arange(1, students, device=device).repeat(students)
    return (student + offset) % students, student


def _exact_rows(x: Tensor, plan: Plan, *, wide: bool, gradient: bool, slope: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return values (K, n), gradients (K, n, C) and slopes (K, n) of rows (K, n, C) by the row kernel."""
    _, rows, classes = x.shape
    peers = x.shape[0] - 1
    students = plan.learners(x.shape[0])
    peer, student = (i[: students * peers] for i in _pairs(x.shape[0], x.device))
    value = x.new_empty(students, rows)
    grads = x.new_empty(students, rows if gradient else 0, classes)
    slopes = x.new_empty(students, rows if slope else 0)
    step = rows_at_once(x, rows, students * peers * classes, PAIR_BLOCK)
    excluded = bool(x.min() == -inf)
    for start in range(0, rows, step):
        part = x[:, start : start + step]
        n = part.shape[1]
        u, z = part[peer], part[student]
        alpha = x.new_full((1, 1, 1), plan.alpha)
        pair = _kernel.log_ratio(u, z, wide=wide, excluded=excluded)
        d = _kernel.divergence(pair, alpha)
        here = slice(start, start + n)
        value[:, here] = d.view(students, peers, n).mean(1)
        if gradient or slope:
            _, g, s = _kernel.gradients(u, z, alpha, d, wide=wide, excluded=excluded)
            if gradient:
                grads[:, here] = g.view(students, peers, n, classes).mean(1)
            if slope:
                slopes[:, here] = s.view(students, peers, n).mean(1)
    return value, grads, slopes


def _near_pairs(x: Tensor, plan: Plan, near: Tensor) -> Tensor:
    """Return values (pairs, n) of rows (K, n, C) for the pairs near consensus, which `near` (pairs, n) tells.

    They come from the differences of the logits, which have at most 24 bits; other pairs get arbitrary values.

    Chunk by chunk, by the cheapest form that holds for all its log-ratios: y = q (e^t - 1)^2 at alpha = 2, half of
    q (e^(t/2) - 1)^2 over beta at 1/2, the series y = p t^2 sum (beta^(k+1) + (-1)^k) t^k / (k+2)! for small t, or else
    the row kernel. An error of the common shift has no first-order effect on any of them.
    """
    _, rows, classes = x.shape
    peers = x.shape[0] - 1
    students = plan.learners(x.shape[0])
    peer, student = (i[: students * peers] for i in _pairs(x.shape[0], x.device))
    alpha, beta = plan.alpha, plan.alpha - 1.0
    value = x.new_empty(near.shape)
    step = rows_at_once(x, rows, students * peers * classes, PAIR_BLOCK)
    for start in range(0, rows, step):
        here = slice(start, start + step)
        part = x[:, here]
        e = part - part.amax(-1, keepdim=True)
        q = e.exp()
        mass = q.sum(-1, keepdim=True)
        q /= mass
        log_mass = mass.log()
        t = e[peer]
        t -= e[student]
        t -= log_mass[peer] - log_mass[student]
        t *= near[:, here].unsqueeze(-1)
        if alpha == 2.0:
            r = t.expm1_()
            d = ((r * r).mul_(q[student])).sum(-1).log1p()
        elif alpha == 0.5:
            r = t.mul_(0.5).expm1_()
            d = ((r * r).mul_(q[student])).sum(-1).mul_(-0.5).log1p().mul_(-2.0)
        elif t.abs().amax().item() * max(1.0, abs(beta)) <= SERIES_EDGE:
            coefficients = [_gain(alpha, k) / factorial(k + 2) for k in range(SERIES_TERMS)]
            y = t * coefficients[-1]
            for c in coefficients[-2:0:-1]:
                y.add_(c).mul_(t)
            total = y.add_(coefficients[0]).mul_(t).mul_(t).mul_(q[peer]).sum(-1)
            d = total if beta == 0.0 else (total * beta).log1p() / beta
        else:
            u, z = part[peer], part[student]
            pair = _kernel.log_ratio(u, z, wide=False, excluded=False)
            d = _kernel.divergence(pair, x.new_full((1, 1, 1), alpha)).squeeze(-1)
        value[:, here] = d
    return value.clamp_(min=0.0)


def _gain(alpha: float, k: int) -> float:
    """Return beta^(k+1) + (-1)^k, which is proportional to small orders."""
    if alpha < 0.5:
        return -expm1((k + 1) * log1p(-alpha)) * (-1.0) ** k
    return (alpha - 1.0) ** (k + 1) + (-1.0) ** k


class _Sums(NamedTuple):
    """What the products give for all pairs, grouped by student as `_pairs` orders them.

    Attributes
    ----------
    value
        Divergences, shape (pairs, N); without digits near consensus.
    slope
        Their derivatives in the order, or None.
    near
        Which pairs are near consensus, or None where the values are exact there too.
    """

    value: Tensor
    slope: Tensor | None
    near: Tensor | None


def _powers(e: Tensor, q: Tensor, a: Tensor, alpha: float) -> Tensor:
    """Fill q = softmax of the logits e and a = q^alpha; return the sums of exponentials before normalisation."""
    BASE.exp(e, out=q)
    mass = q.sum(-1, keepdim=True)
    q *= mass.reciprocal()
    if alpha == 2.0:
        torch.mul(q, q, out=a)
    elif alpha != 1.0:
        torch.mul(e, alpha, out=a)
        BASE.exp_(a)
        a *= mass.pow(-alpha)
    return mass


def _by_products(source: Tensor, plan: Plan, gradient: Tensor | None) -> _Sums:
    """Evaluate logits (K, N, C) by products; gradients go to `gradient`, (learners, N, C), maybe the same memory."""
    students, rows, classes = source.shape
    learners, alpha = plan.learners(students), plan.alpha
    kl = alpha == 1.0
    with_slope = plan.slope and not kl
    peer, student = (i[: learners * (students - 1)] for i in _pairs(students, source.device))
    step = rows_at_once(source, rows, students * classes, BLOCK)
    buffers = source.new_empty((2 if kl else 4, students, step, classes), dtype=torch.float64)
    sums = source.new_empty((rows, students, students), dtype=torch.float64)
    tilts = torch.empty_like(sums) if with_slope else None
    log_mass = source.new_empty((students, rows), dtype=torch.float64) if kl or with_slope else None
    weight = None if kl else _weights(students, learners, source.device)
    scale = 1.0 / (BASE.nats * plan.temperature)
    for start in range(0, rows, step):
        here = slice(start, start + step)
        x = source[:, here]
        n = x.shape[1]
        e, q, a, b = (buffer[:, :n] for buffer in (*buffers, *buffers)[:4])
        e.copy_(x)
        e -= e.amax(-1, keepdim=True)
        e *= scale
        mass = _powers(e, q, a, alpha)
        if log_mass is not None:
            log_mass[:, here] = mass.squeeze(-1).log()
        if kl:
            sums[here] = torch.bmm(q.transpose(0, 1), e.transpose(0, 1).transpose(1, 2))  # p_j . e_k
            if gradient is not None:
                # q_k - mean over peers of p_j = (K q_k - sum of all) / (K - 1)
                total = q.sum(0)
                total *= 1.0 / (students - 1)
                q *= students / (students - 1)
                gradient[:, here] = q[:learners].sub_(total).mul_(plan.weight)
            continue
        torch.div(q, a, out=b)
        rows_a, columns_b = a.transpose(0, 1), b.transpose(0, 1).transpose(1, 2)
        product = torch.bmm(rows_a, columns_b)  # (n, j, k)
        sums[here] = product
        if tilts is not None:
            tilts[here] = torch.bmm((a * e).transpose(0, 1), columns_b)
            tilts[here] -= torch.bmm(rows_a, (b * e).transpose(0, 1).transpose(1, 2))
        if gradient is not None and weight is not None:
            share = weight / product
            mixed = torch.bmm(share[:, :, :learners].transpose(1, 2), rows_a).transpose(0, 1)
            gradient[:, here] = q[:learners].addcmul_(b[:learners], mixed, value=-1.0).mul_(plan.weight)
    if kl and log_mass is not None:
        own = sums.diagonal(dim1=1, dim2=2)
        inner = (own[:, peer] - sums[:, peer, student]).T
        value = inner * BASE.nats - (log_mass[peer] - log_mass[student])
        noise = NOISE * (1.0 + BASE.nats * sums.abs().amax((1, 2)) + log_mass.amax(0))
        return _Sums(value, None, value < noise / VALUE_ERROR)
    beta = alpha - 1.0
    places = peer * students + student
    total = sums.view(rows, -1).index_select(1, places).T
    value = total.log() / beta
    near = (total - 1.0).abs_() < NOISE * (1.0 + alpha) / VALUE_ERROR
    slope = None
    if tilts is not None and log_mass is not None:
        # the slope is (E_w t - D) / beta, with E_w t = E_w (e_j - e_k) - (log m_j - log m_k)
        mean = tilts[:, peer, student].T / total * BASE.nats - (log_mass[peer] - log_mass[student])
        slope = (mean - value) / beta
    return _Sums(value, slope, near)


def _sums(source: Tensor, plan: Plan, gradient: Tensor | None, size: float) -> _Sums:
    if source.shape[0] > 2 or plan.slope:
        return _by_products(source, plan, gradient)
    value, near = _two.evaluate(
        source.unbind(0),
        plan.alpha,
        plan.temperature,
        plan.weight,
        gradient,
        plan.learners(2),
        size / plan.temperature,
    )
    return _Sums(value, None, near)


@cache
def _weights(students: int, learners: int, device: torch.device) -> Tensor:
    """Return the weight of peer j in the loss of student k, (K, K): zero on the diagonal and for mere teachers."""
    weight = torch.full((students, students), 1.0 / (students - 1), dtype=torch.float64, device=device)
    weight.fill_diagonal_(0.0)
    weight[:, learners:] = 0.0
    return weight


def _limit(plan: Plan, classes: int) -> float:
    """Return the range of a row's logits up to which their powers stay in the range of the products."""
    alpha = plan.alpha
    return (RANGE / max(1.0, alpha, abs(1.0 - alpha)) - log(classes)) * plan.temperature


def _in_range(source: Tensor, plan: Plan, extent: tuple[float, float] | None) -> tuple[Tensor | bool, float]:
    """Return which rows (N,) have powers in the range of the products, or True for all; NaN and infinities are not.

    And the largest logit, in absolute value, or infinity where some rows are out of range.
    """
    limit = _limit(plan, source.shape[-1])
    low, top = extent or (x.item() for x in torch.aminmax(source))
    if top - low <= limit:
        return True, max(top, -low)
    spread = source.amax(-1) - source.amin(-1)
    return (spread <= limit).all(0), inf


def _dense(
    source: Tensor, views: Sequence[Tensor], plan: Plan, gradient: Tensor | None, extent: tuple[float, float] | None
) -> tuple[Tensor, Tensor | None]:
    """Return values and slopes (K, N) of all rows; `views` keep the logits if `gradient` overwrites the source."""
    students, rows, _ = source.shape
    learners = plan.learners(students)
    exact = source.dtype == torch.float64 or plan.exact
    inside, size = (False, 0.0) if exact else _in_range(source, plan, extent)
    if inside is True:
        return _merge(views, None, plan, _sums(source, plan, gradient, size))
    value = source.new_empty((learners, rows), dtype=torch.float64)
    slope = torch.empty_like(value) if plan.slope else None
    every = torch.arange(rows, device=source.device)
    for by_products in (True, False):
        if inside is False:
            index = every[:0] if by_products else every
        else:
            index = every[inside] if by_products else every[~inside]
        if not index.numel():
            continue
        part = source[:, index]
        if by_products:
            grads = part.new_empty((learners, *part.shape[1:])) if gradient is not None else None
            values, slopes = _merge(views, index, plan, _sums(part, plan, grads, size))
        else:
            x = part.double() / plan.temperature
            values, grads, slopes = _exact_rows(x, plan, wide=True, gradient=gradient is not None, slope=plan.slope)
            grads.mul_(plan.weight)
        value[:, index] = values
        if slope is not None and slopes is not None:
            slope[:, index] = slopes
        if gradient is not None and grads is not None:
            gradient[:, index] = grads.to(gradient.dtype)
    return value, slope


def _merge(views: Sequence[Tensor], index: Tensor | None, plan: Plan, sums: _Sums) -> tuple[Tensor, Tensor | None]:
    """Return means over peers, (K, n), after replacing what the products could not do; gradients are fine."""
    value, slope, near = sums
    if near is None:
        return value, None
    students = len(views)
    learners, peers = plan.learners(students), students - 1
    redo_slopes = plan.slope and abs(plan.alpha - 1.0) < SLOPE_NEAR_ONE
    rows = None
    if redo_slopes:
        rows = torch.arange(value.shape[1], device=value.device)
        slope = torch.zeros_like(value)
    elif bool(near.any()):
        rows = near.any(0).nonzero().squeeze(1)
    average = None
    if rows is not None and rows.numel():
        places = rows if index is None else index[rows]
        x = torch.stack([view[places].double() for view in views])
        if plan.temperature != 1.0:
            x /= plan.temperature
        marked = near[:, rows]
        value[:, rows] = torch.where(marked, _near_pairs(x, plan, marked), value[:, rows])
        if plan.slope:
            average = _exact_rows(x, plan, wide=False, gradient=False, slope=True)[2]
    value.clamp_(min=0.0)
    if peers > 1:
        value = value.view(learners, peers, -1).mean(1)
    if slope is None:
        return value, None
    slope = slope.view(learners, peers, -1).mean(1)
    if average is not None and rows is not None:
        slope = slope.index_copy(1, rows, average)
    return value, slope


@cache
def _kernels() -> ModuleType | None:
    """Return the module of Triton kernels where Triton is installed."""
    found = find_spec("triton")
    # a mere folder of that name has no origin
    return import_module("rdml_theory.losses._large") if found and found.origin else None


def many_classes(x: Tensor, alpha: float | Tensor, students: int) -> bool:
    """Whether Triton's kernels serve logits like `x`."""
    regular = isinstance(alpha, Tensor) or 0.01 <= alpha <= 100.0
    fits = x.is_cuda and x.dtype != torch.float64 and x.shape[-1] >= MANY and students <= MOST_STUDENTS
    return regular and fits and _kernels() is not None


def _by_kernels(x: Tensor, plan: Plan) -> Cohort:
    """Evaluate logits (K, N, C) by Triton's kernels, and the rows that they refuse by those above."""
    kernels = _kernels()
    assert kernels is not None
    weight = plan.weight if plan.gradient else None
    value, gradient, inside = kernels.evaluate(
        x.contiguous(), plan.alpha, plan.temperature, plan.learners(x.shape[0]), weight
    )
    rows = (~inside).nonzero().squeeze(1)
    if rows.numel():
        rest = _cohort([y[rows] for y in x], plan, None, None)
        value = value.index_copy(1, rows, rest.value)
        if gradient is not None and rest.gradient is not None:
            gradient.index_copy_(1, rows, rest.gradient)
    return Cohort(value, None, gradient)


def cohort(
    views: Sequence[Tensor],
    plan: Plan,
    mask: Tensor | None = None,
    extent: tuple[float, float] | None = None,
    source: Tensor | None = None,
) -> Cohort:
    """Evaluate at least two students, K logits (N, C); only the rows of a mask (N,), if given; the others get zeros.

    `extent` is the smallest and the largest logit, if known, and `source` the logits as one tensor (K, N, C), if there
    is one.
    """
    if mask is None:
        return _of_two(views, plan, extent) or _unmasked(views, plan, extent, source)
    rows, classes = views[0].shape
    learners = plan.learners(len(views))
    index = mask.nonzero().squeeze(1)
    value, slope, gradient = _unmasked([x[index] for x in views], plan, None, None)
    full = value.new_zeros((learners, rows))
    return Cohort(
        full.index_copy(1, index, value),
        None if slope is None else full.index_copy(1, index, slope),
        None if gradient is None else gradient.new_zeros((learners, rows, classes)).index_copy_(1, index, gradient),
    )


def _of_two(views: Sequence[Tensor], plan: Plan, extent: tuple[float, float] | None) -> Cohort | None:
    """Return the results of two students with logits of ordinary size, without any detour, or None for others."""
    if extent is None or len(views) > 2 or plan.slope or plan.exact:
        return None
    x0, x1 = views
    kind = stored_dtype(x0.dtype)
    low, top = extent
    if kind == torch.float64 or stored_dtype(x1.dtype) != kind or top - low > _limit(plan, x0.shape[1]):
        return None
    learners = plan.learners(2)
    gradient = x0.new_empty((learners, *x0.shape), dtype=kind) if plan.gradient else None
    size = max(top, -low) / plan.temperature
    value, near = _two.evaluate(views, plan.alpha, plan.temperature, plan.weight, gradient, learners, size)
    if near is not None:
        value, _ = _merge(views, None, plan, _Sums(value, None, near))
    return Cohort(value, None, gradient)


def _unmasked(views: Sequence[Tensor], plan: Plan, extent: tuple[float, float] | None, source: Tensor | None) -> Cohort:
    serves = many_classes(views[0], plan.alpha, len(views)) and not plan.slope and not plan.exact
    if serves and len({x.dtype for x in views}) == 1:
        return _by_kernels(torch.stack(list(views)) if source is None else source, plan)
    return _cohort(views, plan, extent, source)


def _cohort(views: Sequence[Tensor], plan: Plan, extent: tuple[float, float] | None, source: Tensor | None) -> Cohort:
    first = views[0]
    learners = plan.learners(len(views))
    kind = gathered_dtype(views)
    ours = source is None or source.dtype != kind
    if source is None or ours:
        source = gathered(views)
    gradient = None
    if plan.gradient:
        gradient = source if ours and learners == len(views) else source.new_empty((learners, *first.shape))
    if source.numel():
        value, slope = _dense(source, views, plan, gradient, extent)
    else:
        value = source.new_zeros(source.shape[:2], dtype=torch.float64)[:learners]
        slope = value if plan.slope else None
    return Cohort(value, slope, gradient)


def gathered_dtype(views: Sequence[Tensor]) -> torch.dtype:
    """Return the dtype in which logits of these types are gathered, and their gradients stored."""
    kind = stored_dtype(views[0].dtype)
    for x in views[1:]:
        kind = torch.promote_types(kind, stored_dtype(x.dtype))
    return kind


def gathered(views: Sequence[Tensor]) -> Tensor:
    """Return K logits (N, C) as one new tensor (K, N, C)."""
    kind = gathered_dtype(views)
    if all(x.dtype == kind for x in views):
        return torch.stack(list(views))
    source = views[0].new_empty((len(views), *views[0].shape), dtype=kind)
    for target, x in zip(source.unbind(0), views, strict=True):
        target.copy_(x)
    return source


def stored_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which gradients wait for the backward pass: half types are rounded once, there."""
    return dtype if dtype.itemsize >= 4 else torch.float32
