"""All pairs of a block of rows by products of float64, and by differences near consensus.

With A = q^alpha and B = q^(1 - alpha) of each student, every pair is an inner product,

    S_jk = sum_i p_j^alpha q_k^(1 - alpha) = A_j . B_k,        D_jk = log S_jk / (alpha - 1),

so K exponentials and one batched product of K x C by C x K give all K (K - 1) divergences, and a second product gives
all gradients, q_k - mean_j w_jk = q_k - B_k * mean_j A_j / S_jk. At order one the product is that of p_j and log q_k.
Where log S has too few digits, near consensus, D comes from Y = (S - 1) / (alpha - 1), summed from terms that are not
negative (`excess`).
"""

from __future__ import annotations

from functools import cache
from math import factorial, inf, log
from typing import NamedTuple

import torch
from torch import Tensor

# powers of probabilities stay within e^+-RANGE, inside the range of float64 also after a sum over classes
RANGE = 600.0
# exponentials of logits over the temperature up to this size need no maximum subtracted
SMALL = 100.0
# relative error of a sum S: a few roundings, times the exponents that enter it
NOISE = 1e-15
# log S is used where its relative error is below this, half a unit of float32
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
        """Whether the products serve this order and temperature."""
        near_one = self.slope and abs(self.order - 1.0) < SLOPE_NEAR_ONE
        return 0.0 < self.order < inf and moderate(self.temperature) and not near_one

    def in_range(self, extent: tuple[float, float] | None, classes: int) -> bool:
        """Whether logits between these numbers have powers in the range of the products; None is out of range."""
        limit = (RANGE / max(1.0, self.order, abs(1.0 - self.order)) - log(classes)) * self.temperature
        return extent is not None and extent[1] - extent[0] <= limit


class Pairs(NamedTuple):
    """What the products give of all pairs, as arrays (P, L, n), P peers of L learners.

    Of two students each has one peer, the other. Of more, every student is a peer of every one, and the diagonal has no
    meaning.

    Attributes
    ----------
    value
        Divergences.
    slope
        Their derivatives in the order, or None.
    gradient
        Q - w of the learners, w the mean escort over the peers, (L, n, C), or None.
    """

    value: Tensor
    slope: Tensor | None
    gradient: Tensor | None


def moderate(temperature: float) -> bool:
    """Whether the products serve: other temperatures bring all students near consensus, or far from it."""
    return 2.0**-10 <= temperature <= 2.0**10


@cache
def shares(students: int, device: torch.device) -> Tensor:
    """Return the weight of peer j in the loss of student k, (K, K, 1): zero on the diagonal."""
    share = torch.full((students, students, 1), 1.0 / (students - 1), dtype=torch.float64, device=device)
    share.diagonal().zero_()
    return share


def edge(task: Task, classes: int) -> float:
    """Return below which value the sums, which err by `NOISE` times the exponents in them, leave too few digits."""
    if task.order == 1.0:
        return NOISE * (1.0 + 4.0 * task.size + log(classes)) / VALUE_ERROR
    return NOISE * (1.0 + task.order) * (1.0 + task.size) / VALUE_ERROR / abs(task.order - 1.0)


def normalise(e: Tensor) -> Tensor:
    """Make logits in bits their softmax, in place; return the sums of exponentials."""
    mass = e.exp2_().sum(-1, keepdim=True)
    e.mul_(mass.reciprocal())
    return mass


def of_two(e: Tensor, work: Tensor, task: Task) -> Pairs:
    """Evaluate two students, from logits in bits: element by element, with t = log2(p/q) of the peer and the student.

    The escort is w = q r / S, r = (p/q)^alpha, whose inverse is that of the other student; at order one w = p and
    D = E_p t.
    """
    alpha, both, slope, gradient = task.order, task.learners == 2, None, None
    (q0, q1), (r0, r1) = e.unbind(0), work.unbind(0)
    own, r = (e, work) if both else (q0, r0)
    squares, t = alpha == 2.0 and not task.slope, r0
    if not squares:
        torch.sub(q1, q0, out=t)
    mass = normalise(e)
    if squares:
        torch.div(q1, q0, out=r0).mul_(r0)
    else:
        first, second = mass.log2_().unbind(0)
        t -= second.sub_(first)
    if alpha == 1.0:
        if both:
            torch.mul(t, q0, out=r1).neg_()
        t.mul_(q1)
        value = r.sum(-1).mul_(LN2)
        if task.gradient:
            torch.sub(q0, q1, out=r0)
            if both:
                torch.neg(r0, out=r1)
            gradient = r
    else:
        ratios = None
        if task.slope:
            ratios = torch.stack([t, -t]) if both else t.clone()
        if not squares:
            t.mul_(alpha).exp2_()
        if both:
            torch.reciprocal(r0, out=r1)
        w = r.mul_(own)
        total = w.sum(-1, keepdim=True)
        value = total.log().squeeze_(-1).mul_(1.0 / (alpha - 1.0))
        if ratios is not None:
            # (E_w t - D) / beta
            mean = (w * ratios).sum(-1).mul_(LN2) / total.squeeze(-1)
            slope = mean.sub_(value).mul_(1.0 / (alpha - 1.0)).view(1, -1, e.shape[1])
        if task.gradient:
            gradient = own.addcmul_(w, total.reciprocal_(), value=-1.0)
    shape = (task.learners, *e.shape[1:])
    return Pairs(value.view(1, *shape[:2]), slope, gradient if gradient is None else gradient.view(shape))


def of_many(e: Tensor, work: Tensor, task: Task) -> Pairs:
    """Evaluate three students or more, from logits in bits, by batched products."""
    students, alpha, slope, gradient = e.shape[0], task.order, None, None

    def inner(a: Tensor, b: Tensor) -> Tensor:
        """Return a_j . b_k of all pairs."""
        return torch.bmm(a.transpose(0, 1), b.permute(1, 2, 0)).permute(1, 2, 0)

    logits = e if alpha == 2.0 and not task.slope else work.copy_(e)
    mass, q = normalise(e), e
    if alpha == 1.0:
        log_q = logits.sub_(mass.log2_())
        sums = inner(q, log_q)
        value = (sums.diagonal().T.unsqueeze(1) - sums).mul_(LN2)
        if task.gradient:
            # q_k - mean over j of p_j
            mean = q.sum(0).mul_(1.0 / (students - 1))
            gradient = q.mul_(students / (students - 1.0)).sub_(mean)
        return Pairs(value, None, gradient)
    squares = logits is e
    log_q = q if squares else logits.sub_(mass.log2_())
    a = q * q if squares else (log_q * alpha).exp2_()
    b = a if alpha == 0.5 else q / a
    sums = inner(a, b)
    value = sums.log().mul_(1.0 / (alpha - 1.0))
    if task.slope:
        # (E_w t - D) / beta with t = log p_j - log q_k
        mean = inner(a * log_q, b) - inner(a, b * log_q)
        slope = (mean / sums).mul_(LN2).sub_(value).mul_(1.0 / (alpha - 1.0))
    if task.gradient:
        # q_k - B_k times the mean over j of A_j / S_jk
        weights = (shares(students, e.device) / sums).permute(2, 1, 0)
        mixed = torch.bmm(weights, a.transpose(0, 1)).transpose(0, 1)
        gradient = q.addcmul_(b, mixed, value=-1.0)
    return Pairs(value, slope, gradient)


def near_consensus(x: Tensor, task: Task) -> Tensor:
    """Return divergences (P, L, m) of all pairs near consensus, from logits (K, m, C).

    They come from the differences of the logits, which are exact. An error of the common shift of the log-ratios has no
    first-order effect.
    """
    x -= x.amax(-1, keepdim=True)
    x /= task.temperature
    q = x.exp()
    mass = q.sum(-1, keepdim=True)
    q /= mass
    log_mass = mass.log()
    pairs = []
    for k in range(task.learners):
        peers = slice(1 - k, 2 - k) if len(x) == 2 else slice(None)
        t = (x[peers] - x[k]) - (log_mass[peers] - log_mass[k])
        pairs.append(_small_divergence(q[peers], q[k], t, task.order))
    return torch.stack(pairs, 1)


def _small_divergence(p: Tensor, q: Tensor, t: Tensor, alpha: float) -> Tensor:
    """Return D near zero from p, q and t = log(p/q)."""
    if alpha < 0.5:  # skew symmetry, which keeps the digits of small orders
        return _small_divergence(q, p, -t, 1.0 - alpha) * (alpha / (1.0 - alpha))
    beta = alpha - 1.0
    small = t.abs().amax().item() <= 0.5 / max(1.0, abs(beta))
    total = (_small_excess(p, t, beta) if small else excess(p, q, t, beta)).sum(-1)
    return total if beta == 0.0 else (total * beta).log1p() / beta


def excess(p: Tensor, q: Tensor, t: Tensor, beta: float) -> Tensor:
    """Return the terms of Y = (S - 1) / beta, p (e^(beta t) - 1) / beta + q - p, which are not negative."""
    growth = t if beta == 0.0 else (beta * t).expm1() / beta
    # a literal: the compiler follows numbers outside of a function as symbols, for which it has no code in a branch
    return torch.where(t.abs() <= 0.5 / max(1.0, abs(beta)), _small_excess(p, t, beta), p * growth + (q - p))


def _small_excess(p: Tensor, t: Tensor, beta: float) -> Tensor:
    """Return the same terms where max(1, |beta|) |t| is at most a half, as a series, to 1e-10.

    They are p t^2 sum_k (beta^(k+1) + (-1)^k) t^k / (k+2)!.
    """
    first, *others, last = ((beta ** (k + 1) + (-1.0) ** k) / factorial(k + 2) for k in range(9))
    series = last * t
    for c in reversed(others):
        series.add_(c).mul_(t)
    return series.add_(first).mul_(t).mul_(t).mul_(p)
