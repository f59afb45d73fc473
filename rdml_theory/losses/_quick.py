"""The quick formulas: pairs of a block of rows from powers and sums of float64, and from differences near consensus.

With x = z / temperature, M = log sum_i e^(x_i), and A = e^(alpha x), B = e^((1 - alpha) x) of each student, every pair
is an inner product, S_jk = sum_i p_j^alpha q_k^(1 - alpha) and D_jk = log S_jk / (alpha - 1) with

    log S_jk = log(A_j . B_k) - alpha M_j - (1 - alpha) M_k,

so one batched product of K x C by C x K gives all K (K - 1) divergences, and a second product gives all gradients,
q_k - mean_j w_jk = q_k - B_k * mean_j A_j / (A_j . B_k). At order one the product is that of p_j and x_k. Two students
need no product: the escort w is the softmax of alpha x_j + (1 - alpha) x_k, and A_j . B_k the sum in it. That is 1.2
to 1.7 times as fast (`benchmarks/special_paths_table.json`).

Near consensus, where log S has too few digits, D comes from S - 1, summed from terms of second order (`excess`). Where
those lack digits, too, as between students that are equal up to the spacing of their logits, the exact formulas serve
(`Cohort.lost`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import combinations
from math import inf, log
from typing import Any, NamedTuple

import torch
from torch import Tensor

# powers of probabilities stay within e^+-RANGE, inside the range of float64 also after a sum over classes
RANGE = 600.0
# powers up to e^SMALL err by few roundings; of larger logits maxima are subtracted first, which takes time
SMALL = 16.0
# relative error of a sum S, and of a probability: a few roundings, times the exponents that enter it
NOISE = 1e-15
# a value is used where its relative error is below this, half a unit of float32
VALUE_ERROR = 3e-8
# the slope in the order from the products divides by alpha - 1; nearer to one, the exact formulas give it
SLOPE_NEAR_ONE = 1e-2


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

    @property
    def power(self) -> float:
        """The greatest power, in absolute value, to which probabilities are raised."""
        return max(1.0, self.order, abs(1.0 - self.order))

    def in_range(self, extent: tuple[float, float] | None, classes: int) -> bool:
        """Whether logits between these numbers have powers in the range of the sums; None is out of range."""
        limit = (RANGE / self.power - log(classes)) * self.temperature
        return extent is not None and extent[1] - extent[0] <= limit

    def near(self, classes: int) -> float:
        """Return below which value log S, which errs by `NOISE` times the exponents in it, leaves too few digits."""
        if self.order == 1.0:
            return NOISE * (1.0 + 4.0 * self.size + log(classes)) / VALUE_ERROR
        return NOISE * (1.0 + self.order) * (1.0 + self.size + log(classes)) / VALUE_ERROR / abs(self.order - 1.0)

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


def excess(x: Tensor, offset: float) -> Tensor:
    """Return terms of S - 1, at order one of D, of q from p and of p from q, q and p = x (2, ...); at 1/2 of both.

    With r = p/q they are p (r^offset - 1) - offset q (r - 1), at order one p log r - q (r - 1), and the same of q/p.
    They are of second order in log r, and so, since the p and the q have the same sum, is the effect of an error of r:
    what is lost is the rounding of p and q over log r. For that r - 1, which is exact near one, and log r must come
    from the same r. The orders 1/2 and 2 need neither powers nor logarithms, which makes them up to 1.8 times as fast
    (`benchmarks/special_paths_table.json`).
    """
    q, p = x.unbind(0)
    if offset == 1.0:
        return p.sub(q).square_().unsqueeze_(0) / x
    if offset == -0.5:
        q, p = x.sqrt().unbind(0)
        return p.sub(q).square_().mul_(-0.5).unsqueeze_(0)
    terms = torch.empty_like(x)
    there, back = terms.unbind(0)
    r = p / q
    t, h = r.log(), r.sub_(1.0)
    if offset == 0.0:
        torch.mul(t, p, out=there)
        torch.neg(t, out=back)
    else:
        torch.mul(t, offset, out=there).expm1_().mul_(p)
        torch.mul(t, -offset, out=back).expm1_()
        h *= offset
    there.addcmul_(h, q, value=-1.0)
    back.add_(h).mul_(q)
    return terms


def near_consensus(x: Tensor, alpha: float) -> Tensor:
    """Return D, where it is small, of q from p and of p from q, which are x (2, ..., C); at order 1/2 of both."""
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


class _Kept(threading.local):
    """What a thread used last on the CPU, for the next call: without it two students of 128 x 100 take 6 to 18% longer.

    They would fall below 0.9 of the speed of `F.kl_div`, which is promised. A process whose other arrays are small
    returns such memory to the system each time.
    """

    memory: Tensor | None = None


_kept = _Kept()


def _space(logits: Tensor, *arrays: int) -> Tensor:
    """Return float64 (*arrays, n, C), kept as `_Kept` says, for logits (n, C)."""
    shape = (*arrays, *logits.shape)
    # tensors of other kinds (wrappers, fake ones) get their own
    plain = logits.is_cpu and type(logits) is Tensor
    if plain and _kept.memory is not None and _kept.memory.shape == shape:
        return _kept.memory
    # what is made in inference mode cannot be used outside of it
    with torch.inference_mode(False):
        memory = logits.new_empty(shape, dtype=torch.float64)
    if plain and type(memory) is Tensor:
        _kept.memory = memory
    return memory


def load(x: Tensor, logits: Sequence[Tensor], task: Task) -> None:
    """Fill x (K, n, C) with the logits over the temperature, less their maxima where powers could be out of range."""
    for target, source in zip(x, logits, strict=True):
        target.copy_(source)
    if task.size == RANGE:
        x -= x.amax(-1, keepdim=True)
    if task.temperature != 1.0:
        x /= task.temperature


def normalise(x: Tensor) -> Tensor:
    """Make logits (..., C) their softmax, in place; return the logarithms (...) of the sums of exponentials."""
    mass = x.exp_().sum(-1, keepdim=True)
    x *= mass.reciprocal()
    return mass.log_().squeeze(-1)


def _mean_log_ratio(terms: Tensor, log_mass: Tensor) -> Tensor:
    """Return E log(p/q) of each of two students from the terms of E (x_1 - x_0), and their log-masses."""
    mean = terms.sum(-1).sub_(log_mass[1] - log_mass[0])
    mean[1:].neg_()
    return mean


def of_two(logits: Sequence[Tensor], task: Task) -> Cohort:
    """Evaluate two students, from logits (n, C) of each; the gradient is memory that the next call uses again."""
    alpha, learners, slope, lost = task.order, task.learners, None, None
    space = _space(logits[0], 2 + learners)
    (own, peer, *escorts), x, w = space.unbind(0), space[:2], space[2:]
    load(x, logits, task)
    sides = list(zip(escorts, (own, peer), (peer, own), strict=False))
    if alpha == 1.0:
        ratio, *last = escorts
        torch.sub(peer, own, out=ratio)
        log_mass = normalise(x)
        for out in last:
            torch.mul(own, ratio, out=out)
        ratio *= peer
        value = _mean_log_ratio(w, log_mass)
        for out, first, second in sides if any(task.needs) else ():
            torch.sub(first, second, out=out)
    else:
        ratio = peer - own if task.slope else None
        for out, first, second in sides:
            torch.lerp(first, second, alpha, out=out)
        log_mass = normalise(space)
        two, total = log_mass[:2], log_mass[2:]
        value = (total - torch.lerp(two, two.flip(0), alpha)[:learners]).mul_(1.0 / (alpha - 1.0))
        if ratio is not None:
            slope = _mean_log_ratio(w * ratio, log_mass)
        if any(task.needs):
            torch.sub(x[:learners], w, out=w)
    least, near = value.amin().item(), task.near(x.shape[-1])
    if least < near:
        value = torch.where(value < near, near_consensus(x, alpha)[:learners], value)
        lost = _lost(value, least, task, near)
    if slope is not None:
        slope = slope.sub_(value).mul_(1.0 / (alpha - 1.0))
    return Cohort(value, slope, w if any(task.needs) else None, lost)


def of_many(logits: Sequence[Tensor], task: Task) -> Cohort:
    """Evaluate three students or more, from logits (n, C) of each; the gradient is memory as that of `of_two`."""
    students, alpha, slope, gradient, lost = len(logits), task.order, None, None, None
    share = 1.0 / (students - 1)

    def inner(a: Tensor, b: Tensor) -> Tensor:
        """Return a_j . b_k of all pairs."""
        return torch.bmm(a.transpose(0, 1), b.permute(1, 2, 0)).permute(1, 2, 0)

    def at_diagonal(x: Tensor, number: float) -> Tensor:
        """Put a number where j = k, which is no pair."""
        x.diagonal().fill_(number)
        return x

    space = _space(logits[0], 3, students)
    q, a, b = space.unbind(0)
    load(q, logits, task)
    if alpha == 1.0:
        # E_p of the difference of the logits
        b.copy_(q)
        log_mass = normalise(q)
        sums = inner(q, b)
        value = sums.diagonal().T.unsqueeze(1) - sums
        value -= log_mass.unsqueeze(1) - log_mass
    else:
        torch.mul(q, alpha, out=a)
        torch.sub(q, a, out=b)
        space[1:].exp_()
        sums = inner(a, b)
        mean = (inner(a * q, b) - inner(a, b * q)).div_(sums) if task.slope else None
        log_mass = normalise(q)
        apart = log_mass.unsqueeze(1) - log_mass
        # log S is log sums - alpha log_mass_j - (1 - alpha) log_mass_k
        value = sums.log().sub_(log_mass).mul_(1.0 / (alpha - 1.0)).sub_(apart, alpha=alpha / (alpha - 1.0))
        if mean is not None:
            # (E_w log(p/q) - D) / (alpha - 1)
            slope = mean.sub_(apart).sub_(value).mul_(1.0 / (alpha - 1.0))
    near = task.near(q.shape[-1])
    least = at_diagonal(value, inf).amin().item()
    if least < near:
        rows = _rows(value < near)
        some, sharp = q[:, rows], value[..., rows]
        close = torch.zeros_like(sharp)
        for j, k in combinations(range(students), 2):
            close[k, j], close[j, k] = near_consensus(some[j : k + 1 : k - j], alpha).expand(2, -1)
        value[..., rows] = torch.where(sharp < near, close, sharp)
        lost = _lost(value, least, task, near)
    if any(task.needs) and alpha == 1.0:
        # q_k - mean over j of p_j
        gradient = torch.sub(q, q.mean(0), out=b).mul_(students * share)
    elif any(task.needs):
        # q_k - B_k times the mean over j of A_j / sums_jk
        mixed = torch.bmm((share / at_diagonal(sums, inf)).permute(2, 1, 0), a.transpose(0, 1)).transpose(0, 1)
        gradient = q.addcmul_(b, mixed, value=-1.0)
    value = at_diagonal(value, 0.0).sum(0).mul_(share)
    return Cohort(value, slope if slope is None else at_diagonal(slope, 0.0).sum(0).mul_(share), gradient, lost)
