"""All pairs of a cohort of K students at once: values, gradients in the logits, and the slope in the order.

Far from consensus every pair is an inner product. With e = z - max z, E = exp(e), A = E^alpha and B = E^(1 - alpha),

    sum_i p_j^alpha q_k^(1-alpha) = A_j . B_k / (m_j^alpha m_k^(1-alpha)),     m = sum E,

so K exponentials and one batched product of K x C by C x K give all K (K - 1) divergences, and a second product gives
all gradients, q_k - mean_j w_jk = q_k - B_k * mean_j A_j / (A_j . B_k). It is done in float64 over blocks of rows that
stay in the cache, for logits of at most 24 bits. What the products cannot do with full accuracy (pairs near consensus,
logits whose powers leave the range, excluded classes, float64 logits) goes to the row kernel, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial, inf

import torch
from torch import Tensor

from rdml_theory.losses import _kernel

# elements of one (K, rows, C) buffer of float64: four buffers stay in a core's cache
BLOCK = 65536
# elements of one (pairs, rows, C) array of the row kernel, which has about twenty of them
PAIR_BLOCK = 65536
# powers of E stay within e^+-RANGE, inside the range of float64 also after a sum over classes
RANGE = 600.0
# a value from the products is used where its relative error is below this, half a unit of float32
VALUE_ERROR = 3e-8
# the slope in the order from the products divides by alpha - 1; nearer to one, the row kernel computes it
SLOPE_NEAR_ONE = 1e-2
# near consensus a series of this many terms serves log-ratios up to this size (over max(1, |beta|)), to 1e-10
SERIES_EDGE = 0.5
SERIES_TERMS = 9
EPS = 2.0**-52


@dataclass(frozen=True)
class Plan:
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
    """

    alpha: float
    temperature: float = 1.0
    gradient: bool = True
    slope: bool = False
    directed: bool = False

    def learners(self, students: int) -> int:
        """Return how many of the rows learn; they come first."""
        return 1 if self.directed else students


@dataclass(frozen=True)
class Cohort:
    """Results for the students that learn, K of them.

    Attributes
    ----------
    value
        Mean divergence from the peers, float64, shape (K, N).
    slope
        Its derivative in the order, or None.
    gradients
        For each student its derivative in the logits, shape (N, C).
    """

    value: Tensor
    slope: Tensor | None
    gradients: list[Tensor]


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
    step = max(1, PAIR_BLOCK // (students * peers * classes))
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
    step = max(1, PAIR_BLOCK // (students * peers * classes))
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
            coefficients = [(beta ** (k + 1) + (-1.0) ** k) / factorial(k + 2) for k in range(SERIES_TERMS)]
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


class _Products:
    """Buffers and formulas of the product form for blocks of at most `rows` rows."""

    def __init__(self, students: int, rows: int, classes: int, plan: Plan, device: torch.device) -> None:
        self.plan = plan
        shape = (students, rows, classes)
        self.e = torch.empty(shape, dtype=torch.float64, device=device)
        self.exp = torch.empty_like(self.e)
        self.a = torch.empty_like(self.e)
        self.b = torch.empty_like(self.e)
        off = 1.0 - torch.eye(students, dtype=torch.float64, device=device)
        # weight of each pair in the mean over peers; zero on the diagonal
        self.weight = off / (students - 1)
        self.learners = plan.learners(students)
        self.weight[:, self.learners :] = 0.0

    def load(self, views: list[Tensor], rows: slice | Tensor) -> tuple[Tensor, Tensor]:
        """Copy a block of logits, divide by the temperature, and return it and the largest logits of its rows."""
        n = rows.stop - rows.start if isinstance(rows, slice) else rows.numel()
        e = self.e[:, :n]
        for target, view in zip(e, views, strict=True):
            target.copy_(view[rows])
        if self.plan.temperature != 1.0:
            e /= self.plan.temperature
        return e, e.amax(-1, keepdim=True)

    def in_range(self, e: Tensor, top: Tensor) -> bool:
        """Whether all powers of exp(e - top) are safe; False for NaN and infinite logits."""
        alpha = self.plan.alpha
        spread = (top - e.amin(-1, keepdim=True)).amax().item()
        return spread * max(1.0, alpha, abs(1.0 - alpha)) <= RANGE

    def evaluate(self, e: Tensor, top: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor]:
        """Return values (n, K, K) over peers and students, slopes, gradients (a buffer), and the pairs near consensus.

        Slopes are means over peers, (K, n); values near consensus have lost their digits.
        """
        plan, alpha = self.plan, self.plan.alpha
        n = e.shape[1]
        e -= top
        exp, a, b = self.exp[:, :n], self.a[:, :n], self.b[:, :n]
        torch.exp(e, out=exp)
        mass = exp.sum(-1, keepdim=True)
        log_mass = mass.log().squeeze(-1)
        if alpha == 1.0:
            return self._order_one(e, exp, mass, log_mass)
        if alpha == 2.0:
            torch.mul(exp, exp, out=a)
        elif alpha == 0.5:
            torch.sqrt(exp, out=a)
        else:
            torch.mul(e, alpha, out=a)
            a.exp_()
        if alpha == 0.5:
            b = a
        else:
            torch.div(exp, a, out=b)
        rows_a, rows_b = a.transpose(0, 1), b.transpose(0, 1)
        dots = torch.bmm(rows_a, rows_b.transpose(1, 2))  # (n, j, k)
        offset = alpha * log_mass.T.unsqueeze(2) + (1.0 - alpha) * log_mass.T.unsqueeze(1)
        log_sum = dots.log() - offset
        value = (log_sum / (alpha - 1.0)).clamp_(min=0.0)
        # the logarithms carry an absolute error of a few units of their largest part
        noise = 4.0 * EPS * (1.0 + (abs(alpha) + abs(1.0 - alpha)) * float(log_mass.amax()))
        near = (log_sum.abs() < noise / VALUE_ERROR) & (self.weight > 0.0)
        slope = None
        if plan.slope:
            # E_w t = E_w (e_j - e_k) - (log m_j - log m_k); the slope is (E_w t - D) / (alpha - 1)
            up = torch.bmm((a * e).transpose(0, 1), rows_b.transpose(1, 2))
            down = torch.bmm(rows_a, (b * e).transpose(0, 1).transpose(1, 2))
            shift = log_mass.T.unsqueeze(2) - log_mass.T.unsqueeze(1)
            slope = (((up - down) / dots - shift - value) / (alpha - 1.0) * self.weight).sum(1).T[: self.learners]
        gradient = None
        if plan.gradient:
            k = self.learners
            mixed = torch.bmm((self.weight / dots)[:, :, :k].transpose(1, 2), rows_a)  # (n, k, C)
            # e is no longer needed: it receives q - B * sum
            gradient = torch.div(exp[:k], mass[:k], out=e[:k])
            gradient.addcmul_(b[:k], mixed.transpose(0, 1), value=-1.0)
        return value, slope, gradient, near

    def _order_one(
        self, e: Tensor, exp: Tensor, mass: Tensor, log_mass: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor]:
        students = e.shape[0]
        q = exp.div_(mass)
        rows_q = q.transpose(0, 1)
        dots = torch.bmm(rows_q, e.transpose(0, 1).transpose(1, 2))  # sum p_j e_k
        own = dots.diagonal(dim1=1, dim2=2).unsqueeze(2)
        value = (own - dots - (log_mass.T.unsqueeze(2) - log_mass.T.unsqueeze(1))).clamp_(min=0.0)
        noise = 4.0 * EPS * (1.0 + float(-dots.amin()) + float(log_mass.amax()))
        near = (value < noise / VALUE_ERROR) & (self.weight > 0.0)
        gradient = None
        if self.plan.gradient:
            # q_k - mean over peers of p_j = (K q_k - sum of all) / (K - 1)
            k = self.learners
            gradient = torch.mul(q[:k], students / (students - 1), out=e[:k])
            gradient.sub_(q.sum(0), alpha=1.0 / (students - 1))
        return value, None, gradient, near


def cohort(views: list[Tensor], plan: Plan, mask: Tensor | None = None, out: list[Tensor] | None = None) -> Cohort:
    """Evaluate students whose logits are `views`, at least two of them, each (N, C); only the rows of a mask (N,).

    Rows outside the mask get zeros. Gradients go to `out`, or to new tensors of `stored_dtype`.
    """
    students, (total, classes), device = len(views), views[0].shape, views[0].device
    learners = plan.learners(students)
    wide = any(x.dtype == torch.float64 for x in views)
    index = None if mask is None else mask.nonzero().squeeze(1)
    make = torch.empty if index is None else torch.zeros
    value = make((learners, total), dtype=torch.float64, device=device)
    slope = make((learners, total), dtype=torch.float64, device=device) if plan.slope else None
    if out is None:
        out = [x.new_empty(x.shape, dtype=stored_dtype(x.dtype)) for x in views[:learners]] if plan.gradient else []
    if index is not None:
        for x in out:
            x.zero_()
    count = total if index is None else index.numel()
    step = max(1, min(count, BLOCK // (students * classes)))
    products = _Products(students, step, classes, plan, device)
    by_products = not wide and 0.0 < plan.alpha < inf
    peer, student = (i[: learners * (students - 1)] for i in _pairs(students, device))
    exact_slope = plan.slope and abs(plan.alpha - 1.0) < SLOPE_NEAR_ONE
    for start in range(0, count, step):
        stop = min(start + step, count)
        rows = slice(start, stop) if index is None else index[start:stop]
        block, top = products.load(views, rows)
        grads: Tensor | None
        if by_products and products.in_range(block, top):
            matrix, slopes, grads, near = products.evaluate(block, top)
            any_near = near.flatten(1).any(1)
            odd = torch.arange(stop - start, device=device) if exact_slope else any_near.nonzero().squeeze(1)
            if odd.numel():
                # values and slopes near consensus need the differences of the logits; the gradients are fine
                odd_rows = odd + start if index is None else index[start:stop][odd]
                x = torch.stack([view[odd_rows].double() for view in views])
                if plan.temperature != 1.0:
                    x /= plan.temperature
                here = (odd.unsqueeze(1), peer, student)
                marked = near[here]
                matrix[here] = torch.where(marked, _near_pairs(x, plan, marked.T).T, matrix[here])
                if plan.slope:
                    _, _, exact = _exact_rows(x, plan, wide=False, gradient=False, slope=True)
                    slopes = exact if slopes is None else slopes.index_copy(1, odd, exact)
            values = (matrix * products.weight).sum(1).T[:learners]
        else:
            values, grads, slopes = _exact_rows(block, plan, wide=True, gradient=plan.gradient, slope=plan.slope)
        value[:, rows] = values
        if slope is not None and slopes is not None:
            slope[:, rows] = slopes
        if plan.gradient and grads is not None:
            if plan.temperature != 1.0:
                grads /= plan.temperature
            for target, grad in zip(out, grads, strict=True):
                target[rows] = grad.to(target.dtype) if index is not None else grad
    return Cohort(value, slope, out)


def stored_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which gradients wait for the backward pass: half types are rounded once, there."""
    return dtype if dtype.itemsize >= 4 else torch.float32
