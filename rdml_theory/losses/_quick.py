"""The quick formulas: pairs of a block of rows from powers and sums of float64, and from differences near consensus.

With A = q^alpha and B = q^(1 - alpha) of each student, every pair is an inner product,

    S_jk = sum_i p_j^alpha q_k^(1 - alpha) = A_j . B_k,        D_jk = log S_jk / (alpha - 1),

so K exponentials and one batched product of K x C by C x K give all K (K - 1) divergences, and a second product gives
all gradients, q_k - mean_j w_jk = q_k - B_k * mean_j A_j / S_jk. At order one the product is that of p_j and log q_k.
Two students need no product: with r = p/q, the terms of S are q r^alpha for one of them, and p r^-alpha for the other.

Near consensus, where log S has too few digits, D comes from S - 1, summed from terms of second order (`excess`). Where
those lack digits, too, as between students that are equal up to the spacing of their logits, the exact formulas serve
(`Pairs.lost`).
"""

from __future__ import annotations

from functools import cache
from math import inf, log
from typing import NamedTuple

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
    """What to compute for each block of rows.

    Attributes
    ----------
    order, temperature, weight
        As in `evaluate`.
    learners
        How many of the students learn; they come first.
    gradient, slope
        Whether to compute gradients and slopes.
    size
        The largest logit over the temperature, in absolute value; `RANGE` where maxima are to be subtracted.
    """

    order: float
    temperature: float
    weight: float
    learners: int
    gradient: bool
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


class Pairs(NamedTuple):
    """What the sums give for L learners.

    Attributes
    ----------
    value
        Mean divergences from the peers, (L, n).
    slope
        Their derivatives in the order, (L, n), or None.
    gradient
        Q - w of the learners, w the mean escort over the peers, (L, n, C), or None.
    lost
        Which rows have values, or slopes, without digits; None for no rows.
    """

    value: Tensor
    slope: Tensor | None
    gradient: Tensor | None
    lost: Tensor | None


def moderate(temperature: float) -> bool:
    """Whether the sums serve: other temperatures bring all students near consensus, or far from it."""
    return 2.0**-10 <= temperature <= 2.0**10


@cache
def shares(students: int, device: torch.device) -> Tensor:
    """Return the weight of peer j in the loss of student k, (K, K, 1): zero on the diagonal."""
    share = torch.full((students, students, 1), 1.0 / (students - 1), dtype=torch.float64, device=device)
    share.diagonal().zero_()
    return share


@cache
def _no_pairs(students: int, device: torch.device) -> Tensor:
    """Return infinity on the diagonal, which holds no pairs, and zero elsewhere, (K, K, 1)."""
    return torch.zeros_like(shares(students, device)).masked_fill_(shares(students, device) == 0.0, inf)


def excess(p: Tensor, q: Tensor, beta: float) -> Tensor:
    """Return terms of S - 1, p (r^beta - 1) - beta q (r - 1) with r = p/q; at order one of D, p log r - q (r - 1).

    At orders 2 and 1/2 they are q (r - 1)^2 and -q (sqrt r - 1)^2 / 2. They are of second order in log r, and so, since
    the p and the q have the same sum, is the effect of an error of r: what is lost is the rounding of p and q over
    log r. For that r - 1, which is exact near one, and log r must come from the same r.
    """
    r = p / q
    if beta == 1.0:
        return r.sub_(1.0).square_().mul_(q)
    if beta == -0.5:
        return r.sqrt_().sub_(1.0).square_().mul_(q).mul_(-0.5)
    terms = r.log()
    if beta == 0.0:
        return terms.mul_(p).sub_(r.sub_(1.0).mul_(q))
    return terms.mul_(beta).expm1_().mul_(p).sub_(r.sub_(1.0).mul_(q), alpha=beta)


def near_consensus(p: Tensor, q: Tensor, alpha: float) -> Tensor:
    """Return D of p from q where it is small."""
    if alpha < 0.5:  # skew symmetry, which keeps the digits of small orders
        return near_consensus(q, p, 1.0 - alpha).mul_(alpha / (1.0 - alpha))
    beta = alpha - 1.0
    total = excess(p, q, beta).sum(-1)
    return (total if beta == 0.0 else total.log1p_().mul_(1.0 / beta)).clamp_(min=0.0)


def _rows(here: Tensor) -> Tensor:
    """Return the indices of the rows in which something is true, (..., n)."""
    return here.reshape(-1, here.shape[-1]).any(0).nonzero().squeeze(1)


def _lost(value: Tensor, least: float, task: Task, near: float) -> Tensor | None:
    """Return the rows with a value, or a slope, without digits, if any, from values and the least of those of log S."""
    lost = near if task.slope else task.lost
    # log S errs by a share of `near`
    return _rows(value < lost) if least < lost + VALUE_ERROR * near else None


def normalise(x: Tensor) -> Tensor:
    """Make logits in bits their softmax, in place; return the sums of exponentials."""
    mass = x.exp2_().sum(-1, keepdim=True)
    x *= mass.reciprocal()
    return mass


def power(r: Tensor, alpha: float) -> Tensor:
    """Return r^alpha, in place."""
    if alpha == 2.0:
        return r.square_()
    return r.sqrt_() if alpha == 0.5 else r.log2_().mul_(alpha).exp2_()


def of_two(x: Tensor, task: Task) -> Pairs:
    """Evaluate two students, from logits in bits, in place.

    With r = p/q of the first, the terms of S are q r^alpha for the first and p r^-alpha for the second, and they over S
    are the escort w. At order one w = p and D = E_p log r.
    """
    alpha, learners, slope, lost = task.order, task.learners, None, None
    normalise(x)
    own, peer = x.unbind(0)
    terms = torch.empty_like(x[:learners])
    r, *second = terms.unbind(0)
    torch.div(peer, own, out=r)
    if alpha == 1.0:
        total = None
        r.log_()
        for other in second:
            torch.mul(r, own, out=other).neg_()
        r.mul_(peer)
        value = terms.sum(-1)
    else:
        log_r = r.log() if task.slope else None
        power(r, alpha)
        for other in second:
            torch.div(peer, r, out=other)
        r.mul_(own)
        total = terms.sum(-1, keepdim=True)
        value = total.log().squeeze_(-1).mul_(1.0 / (alpha - 1.0))
        if log_r is not None:
            # (E_w log(p/q) - D) / beta
            mean = (terms * torch.stack([log_r, -log_r][:learners])).sum(-1) / total.squeeze(-1)
            slope = mean.sub_(value).mul_(1.0 / (alpha - 1.0))
    least, near = value.amin().item(), task.near(x.shape[-1])
    if least < near:
        p = x[1:] if learners == 1 else x.flip(0)
        value = torch.where(value < near, near_consensus(p, x[:learners], alpha), value)
        lost = _lost(value, least, task, near)
    if not task.gradient:
        return Pairs(value, slope, None, lost)
    if total is not None:
        return Pairs(value, slope, x[:learners].addcmul_(terms, total.reciprocal_(), value=-1.0), lost)
    torch.sub(own, peer, out=r)
    for other in second:
        torch.neg(r, out=other)
    return Pairs(value, slope, terms, lost)


def of_many(x: Tensor, task: Task) -> Pairs:
    """Evaluate three students or more, from logits in bits, in place, by batched products."""
    students, alpha, slope, gradient, lost = x.shape[0], task.order, None, None, None

    def inner(a: Tensor, b: Tensor) -> Tensor:
        """Return a_j . b_k of all pairs."""
        return torch.bmm(a.transpose(0, 1), b.permute(1, 2, 0)).permute(1, 2, 0)

    share, no_pairs = shares(students, x.device), _no_pairs(students, x.device)
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
        some, sharp = q[:, rows], value[..., rows]
        value[..., rows] = torch.where(sharp < near, near_consensus(some.unsqueeze(1), some.unsqueeze(0), alpha), sharp)
        lost = _lost(value + no_pairs, least, task, near)
    if task.gradient and alpha == 1.0:
        # q_k - mean over j of p_j
        gradient = q.mul(students / (students - 1.0)).sub_(q.sum(0).mul_(1.0 / (students - 1)))
    elif task.gradient:
        # q_k - B_k times the mean over j of A_j / S_jk
        mixed = torch.bmm((share / sums).permute(2, 1, 0), a.transpose(0, 1)).transpose(0, 1)
        gradient = q.addcmul_(b, mixed, value=-1.0)
    value, slope = value.mul_(share).sum(0), slope if slope is None else slope.mul_(share).sum(0)
    return Pairs(value, slope, gradient, lost)
