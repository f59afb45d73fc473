"""The quick formulas: pairs of a block of rows from powers and sums of float64, and from differences near consensus.

With A = q^alpha and B = q^(1 - alpha) of each student, every pair is an inner product,

    S_jk = sum_i p_j^alpha q_k^(1 - alpha) = A_j . B_k,        D_jk = log S_jk / (alpha - 1),

so K exponentials and one batched product of K x C by C x K give all K (K - 1) divergences, and a second product gives
all gradients, q_k - mean_j w_jk = q_k - B_k * mean_j A_j / S_jk. At order one the product is that of p_j and log q_k.
Two students need no product: with r = p/q, the terms of S are p r^beta for one of them, and q r^-beta for the other.

Near consensus, where log S has too few digits, D comes from S - 1, summed from terms of second order (`excess`). Where
those lack digits, too, as between students that are equal up to the spacing of their logits, the exact formulas serve
(`Cohort.lost`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from math import inf, log
from typing import Any, NamedTuple

import torch
from torch import Tensor

# powers of probabilities stay within e^+-RANGE, inside the range of float64 also after a sum over classes
RANGE = 600.0
# exponentials of logits over the temperature up to this size need no maximum subtracted
SMALL = 100.0
# relative error of a sum S, and of a probability: a few roundings, times the exponents that enter it
NOISE = 1e-15
# a value is used where its relative error is below this, half a unit of float32
VALUE_ERROR = 3e-8
# the slope in the order from the products divides by alpha - 1; nearer to one, the exact formulas give it
SLOPE_NEAR_ONE = 1e-2
# the base of exponentials is 2, since PyTorch's exp2 is its own vector code on every processor
LN2 = log(2.0)


class Task(NamedTuple):
    """What a loss computes of each row.

    Attributes
    ----------
    order
        The order, in [0, inf]; None where the compiler follows it as a tensor.
    temperature
        Logits are divided by it.
    weight
        Multiplies the divergences, and the gradients before they are rounded.
    learners
        How many of the students learn; they come first. One in distillation, else all.
    needs
        Which tensors of logits need a gradient: one of all students, or one of each.
    slope
        Whether to compute derivatives in the order.
    size
        The largest logit over the temperature, in absolute value; `RANGE` where maxima are to be subtracted.
    """

    order: Any
    temperature: Any
    weight: Any
    learners: int
    needs: Sequence[bool]
    slope: bool
    size: float = RANGE

    @property
    def serves(self) -> bool:
        """Whether these formulas serve this order and temperature."""
        near_one = self.slope and abs(self.order - 1.0) < SLOPE_NEAR_ONE
        return 0.0 < self.order < inf and moderate(self.temperature) and not near_one

    def in_range(self, extent: tuple[float, float] | None, classes: int) -> bool:
        """Whether logits between these numbers have powers in the range of the sums; None is out of range."""
        limit = (RANGE / max(1.0, self.order, abs(1.0 - self.order)) - log(classes)) * self.temperature
        return extent is not None and extent[1] - extent[0] <= limit

    def near(self, classes: int) -> float:
        """Return below which value log S, which errs by `NOISE` times the exponents in it, leaves too few digits."""
        if self.order == 1.0:
            return NOISE * (1.0 + 4.0 * self.size + log(classes)) / VALUE_ERROR
        return NOISE * (1.0 + self.order) * (1.0 + self.size) / VALUE_ERROR / abs(self.order - 1.0)

    @property
    def lost(self) -> float:
        """Below which value `excess` leaves too few digits: D is alpha/2 E t^2, and t = log(p/q) errs as p and q do."""
        return 0.5 * self.order * (2.0 * NOISE * (1.0 + self.size) / VALUE_ERROR) ** 2


class Cohort(NamedTuple):
    """Results for the L students that learn, over n rows.

    Attributes
    ----------
    value
        Mean divergences from the peers, float64, (L, n).
    slope
        Their derivatives in the order, (L, n), or None.
    gradient
        The derivative of each in its own logits over the temperature, q - w with w the mean escort over the peers,
        (L, n, C), or None.
    lost
        Which rows have values, or slopes, without digits; None for no rows.
    """

    value: Tensor
    slope: Tensor | None
    gradient: Tensor | None
    lost: Tensor | None = None


def moderate(temperature: float) -> bool:
    """Whether the sums serve: other temperatures bring all students near consensus, or far from it."""
    return 2.0**-10 <= temperature <= 2.0**10


@cache
def shares(students: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the weight of peer j in the loss of student k, (K, K, 1), and infinity where j = k, which is no pair."""
    alone = torch.eye(students, dtype=torch.float64, device=device).unsqueeze(-1)
    return (1.0 - alone) / (students - 1), torch.zeros_like(alone).masked_fill_(alone > 0.0, inf)


def excess(x: Tensor, beta: float) -> Tensor:
    """Return terms of S - 1, at order one of D, of q from p and of p from q, q and p = x (2, ...); at 1/2 their roots.

    With r = p/q they are p (r^beta - 1) - beta q (r - 1), at order one p log r - q (r - 1), and the same of q/p. They
    are of second order in log r, and so, since the p and the q have the same sum, is the effect of an error of r: what
    is lost is the rounding of p and q over log r. For that r - 1, which is exact near one, and log r must come from the
    same r.
    """
    q, p = x.unbind(0)
    if beta == 1.0:
        return p.sub(q).square_().unsqueeze_(0) / x
    if beta == -0.5:
        return p.sub(q).square_().mul_(-0.5).unsqueeze_(0)
    terms = torch.empty_like(x)
    there, back = terms.unbind(0)
    r = p / q
    t, h = r.log(), r.sub_(1.0)
    if beta == 0.0:
        torch.mul(t, p, out=there)
        torch.neg(t, out=back)
    else:
        torch.mul(t, beta, out=there).expm1_().mul_(p)
        torch.mul(t, -beta, out=back).expm1_()
        h *= beta
    there.addcmul_(h, q, value=-1.0)
    back.add_(h).mul_(q)
    return terms


def near_consensus(x: Tensor, alpha: float) -> Tensor:
    """Return D, where it is small, of q from p and of p from q, which are x (2, ..., C); at order 1/2 their roots."""
    if alpha < 0.5:  # skew symmetry, which keeps the digits of small orders
        return near_consensus(x, 1.0 - alpha).flip(0).mul_(alpha / (1.0 - alpha))
    total = excess(x, alpha - 1.0).sum(-1)
    return total if alpha == 1.0 else total.log1p_().mul_(1.0 / (alpha - 1.0))


def _rows(here: Tensor) -> Tensor:
    """Return the indices of the rows in which something is true, (..., n)."""
    return here.reshape(-1, here.shape[-1]).any(0).nonzero().squeeze(1)


def _lost(value: Tensor, least: float, task: Task, near: float) -> Tensor | None:
    """Return the rows with a value, or a slope, without digits, if any, from values and the least of those of log S."""
    lost = near if task.slope else task.lost
    # log S errs by a share of `near`
    return _rows(value < lost) if least < lost + VALUE_ERROR * near else None


def joined(logits: Sequence[Tensor]) -> Tensor:
    """Return logits (n, C) of each student as float64 (K, n, C)."""
    # under autocast torch.stack does not take all types
    x = logits[0].new_empty((len(logits), *logits[0].shape), dtype=torch.float64)
    for target, source in zip(x, logits, strict=True):
        target.copy_(source)
    return x


def bits(x: Tensor, task: Task, share: float = 1.0) -> Tensor:
    """Make logits those over the temperature, in bits and times `share`, in place."""
    if task.size == RANGE:
        x -= x.amax(-1, keepdim=True)
    x *= share / (LN2 * task.temperature)
    return x


def normalise(x: Tensor) -> Tensor:
    """Make logits in bits their softmax, in place; return the sums of exponentials."""
    mass = x.exp2_().sum(-1, keepdim=True)
    x *= mass.reciprocal()
    return mass


class _Kept(threading.local):
    """What a thread used last on the CPU: float64 of two students (2, n, C) and of their terms, and the views of each.

    Making it anew is a tenth of the time of small losses.
    """

    space: tuple[Tensor, ...] | None = None


_kept = _Kept()


def _space(logits: Tensor) -> tuple[Tensor, ...]:
    """Return float64 for two students with such logits (n, C) as `_Kept` does."""
    space = _kept.space
    # tensors of other kinds (wrappers, fake ones) get their own
    plain = logits.is_cpu and type(logits) is Tensor
    if space is None or not plain or space[-1].shape != logits.shape:
        # what is made in inference mode cannot be used outside of it
        with torch.inference_mode(False):
            x, terms = (logits.new_empty((2, *logits.shape), dtype=torch.float64) for _ in range(2))
            space = (x, terms, *x.unbind(0), *terms.unbind(0))
        if plain and type(x) is Tensor:
            _kept.space = space
    return space


def of_two(logits: Sequence[Tensor], task: Task) -> Cohort:
    """Evaluate two students, from logits (n, C) of each; the gradient is memory that the next call uses again.

    With r = p/q of the first, the terms of S are p r^beta for the first and q r^-beta for the second, and they over S
    are the escort w. At order 1/2 both are the product of the roots. At order one w = p and D = E_p log r, where log r
    is a difference of logits and of log-masses.
    """
    alpha, beta, learners, slope, lost = task.order, task.order - 1.0, task.learners, None, None
    x, terms, own, peer, first, last = _space(logits[0])
    for target, source in zip((own, peer), logits, strict=True):
        target.copy_(source)
    bits(x, task, 0.5 if alpha == 0.5 else 1.0)
    learner = x if learners == 2 else x[:1]
    second = [last] if learners == 2 and alpha != 0.5 else []
    if not second:
        terms = terms[:1]
    if alpha == 1.0:
        torch.sub(peer, own, out=first)
        log_mass = normalise(x).log2_()
        first -= log_mass[1] - log_mass[0]
        for out in second:
            torch.mul(first, own, out=out).neg_()
        first *= peer
    elif alpha == 0.5:
        x.exp2_()
        x *= (x * x).sum(-1, keepdim=True).rsqrt_()
        torch.mul(peer, own, out=first)
    else:
        normalise(x)
        torch.div(peer, own, out=first)
        if beta != 1.0:
            first.log2_().mul_(beta).exp2_()
        for out in second:
            torch.div(own, first, out=out)
        first *= peer
    total = terms.sum(-1, keepdim=True)
    value = total.squeeze(-1)
    value = value.mul_(LN2) if alpha == 1.0 else value.log().mul_(1.0 / beta)
    least, near = value.amin().item(), task.near(x.shape[-1])
    if least < near:
        value = torch.where(value < near, near_consensus(x, alpha)[: len(value)], value)
        lost = _lost(value, least, task, near)
    if alpha == 0.5:
        value, learner = value.expand(learners, -1), learner.square()
    if task.slope:
        # (E_w log(p/q) - D) / beta
        log_r = (peer / own).log_().mul_(2.0 if alpha == 0.5 else 1.0)
        mean = (terms * torch.stack([log_r, -log_r][:learners])).sum(-1) / total.squeeze(-1)
        slope = mean.sub_(value).mul_(1.0 / beta)
    if not any(task.needs):
        return Cohort(value, slope, None, lost)
    if alpha != 1.0:
        return Cohort(value, slope, learner.addcmul_(terms, total.reciprocal_(), value=-1.0), lost)
    torch.sub(own, peer, out=first)
    for out in second:
        torch.neg(first, out=out)
    return Cohort(value, slope, terms, lost)


def of_many(logits: Sequence[Tensor], task: Task) -> Cohort:
    """Evaluate three students or more, from logits (n, C) of each, by batched products."""
    students, alpha, slope, gradient, lost = len(logits), task.order, None, None, None

    def inner(a: Tensor, b: Tensor) -> Tensor:
        """Return a_j . b_k of all pairs."""
        return torch.bmm(a.transpose(0, 1), b.permute(1, 2, 0)).permute(1, 2, 0)

    x = bits(joined(logits), task)
    share, no_pairs = shares(students, x.device)
    # squares need no logarithms
    log_q = x if alpha == 2.0 and not task.slope else x.clone()
    mass, q = normalise(x), x
    if log_q is not x:
        log_q -= mass.log2_()
    a = q * q if alpha == 2.0 else q if alpha == 1.0 else (log_q * alpha).exp2_()
    b = log_q if alpha == 1.0 else a if alpha == 0.5 else q / a
    sums = inner(a, b)
    if alpha == 1.0:
        value = (sums.diagonal().T.unsqueeze(1) - sums).mul_(LN2)
    else:
        value = sums.log().mul_(1.0 / (alpha - 1.0))
    if task.slope:
        # (E_w t - D) / beta with t = log p_j - log q_k
        mean = inner(a * log_q, b) - inner(a, b * log_q)
        slope = (mean / sums).mul_(LN2).sub_(value).mul_(1.0 / (alpha - 1.0))
    apart, near = value + no_pairs, task.near(x.shape[-1])
    least = apart.amin().item()
    if least < near:
        rows = _rows(apart < near)
        some, sharp = (a if alpha == 0.5 else q)[:, rows], value[..., rows]
        close = torch.zeros_like(sharp)
        for j, k in combinations(range(students), 2):
            close[k, j], close[j, k] = near_consensus(some[j : k + 1 : k - j], alpha).expand(2, -1)
        value[..., rows] = torch.where(sharp < near, close, sharp)
        lost = _lost(value + no_pairs, least, task, near)
    if any(task.needs) and alpha == 1.0:
        # q_k - mean over j of p_j
        gradient = q.mul(students / (students - 1.0)).sub_(q.sum(0).mul_(1.0 / (students - 1)))
    elif any(task.needs):
        # q_k - B_k times the mean over j of A_j / S_jk
        mixed = torch.bmm((share / sums).permute(2, 1, 0), a.transpose(0, 1)).transpose(0, 1)
        gradient = q.addcmul_(b, mixed, value=-1.0)
    value, slope = value.mul_(share).sum(0), slope if slope is None else slope.mul_(share).sum(0)
    return Cohort(value, slope, gradient, lost)
