"""The exact formulas: the divergence of two rows of logits and its first derivatives, in float64, for any order.

With t = log p - log q, h(x) = e^x - 1 - x >= 0 and offset = alpha - 1, each class contributes a non-negative term,

    alpha >= 1:  y = p h(offset t) / offset + p h(-t)                (alpha = 1: p h(-t))
    alpha < 1:   y = s [alpha h(-offset t) / -offset + h(-alpha t)],  s = p^alpha q^(1 - alpha),

so that S = sum p^alpha q^(1 - alpha) = 1 + offset Y with Y = sum y, and D = log(S) / offset. Nothing cancels at
consensus (t -> 0) and nothing is singular at alpha = 1. Everything is element-wise or a reduction over the last axis,
and no control flow depends on the data, so the same code runs eagerly, under `vmap` and under `torch.compile`, and
derivatives of the derivatives are PyTorch's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# h(x) = expm1(x) x (1/2 - x c(x^2)) for |x| <= NEAR, where x / (e^x - 1) = 1 - x/2 + x^2 c(x^2). The rational function
# interpolates c at seven Chebyshev nodes of [0, NEAR^2] to 6e-17. Beyond, expm1(x) - x loses a factor of at most 2.5.
NEAR = 2.0
NUMERATOR = (0.08333333333333333, 0.0013874199184768256, 4.5587589918272914e-06, 1.90084183720002e-09)
DENOMINATOR = (1.0, 0.03331570568838845, 0.00021314147255017724, 2.7528476743500975e-07)
# 1 + offset Y keeps its digits while offset Y >= -CANCEL, and is within range below HUGE_SUM; otherwise log S is a
# shifted log-sum-exp.
CANCEL = 0.5
HUGE_SUM = 2.0**100
# below this |x|, log1p(x) / x is 1 - x/2 + x^2/3 to all digits.
SMALL_SUM = 1e-6
# two Newton steps bring the common shift of the log-ratios to full relative accuracy while the overlap exceeds this.
CLOSE = 0.5
# q - w = -q expm1(log(w/q)) while |log(w/q)| is below this; beyond, the difference is as good and cannot overflow.
RATIO = 1.0
# alpha t - offset D, which rounds like its terms, serves while alpha max t is below; beyond, log w is a log-softmax of
# alpha (t - max t), which no order makes less accurate. Exponents below -FAR are as good as -inf, and finite.
LARGE = 1000.0
FAR = 1e5
# Taylor series of (e^x - 1)/x and (e^x - 1 - x)/x^2 for |x| <= 1: the first dropped term is below 1e-17.
SERIES_TERMS = 18


class LogRatio(NamedTuple):
    """Two distributions on the last axis and their log-ratio.

    Attributes
    ----------
    p
        First argument, the teacher or peer.
    q
        Second argument, the student.
    log_p
        Logarithm of p.
    log_q
        Logarithm of q.
    t
        Log(p/q), accurate relative to itself; 0 on classes that one of the arguments excludes.
    d
        P - q, accurate relative to itself.
    no_p
        Classes that the first argument excludes (logit -inf).
    no_q
        The same of the second.
    """

    p: Tensor
    q: Tensor
    log_p: Tensor
    log_q: Tensor
    t: Tensor
    d: Tensor
    no_p: Tensor
    no_q: Tensor

    def ratio(self) -> Tensor:
        """Return log(p/q) as it is: infinite on classes that one of the arguments excludes."""
        return torch.where(self.no_p, -torch.inf, torch.where(self.no_q, torch.inf, self.t))


def _two_difference(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return a - b rounded, and its rounding error (Knuth)."""
    s = a - b
    v = s - a
    return s, (a - (s - v)) - (b + v)


def _softmax(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the probabilities, their logarithms, the largest logit and the log-sum relative to it."""
    top = x.amax(-1, keepdim=True)
    log_p = x - top
    p = log_p.exp()
    mass = p.sum(-1, keepdim=True)
    log_mass = mass.log()
    return p / mass, log_p - log_mass, top, log_mass


def _difference(p: Tensor, q: Tensor, t: Tensor, gone: Tensor) -> Tensor:
    """Return p - q, from the log-ratio where the plain difference would cancel."""
    small = -t.abs().clamp(max=1.0)
    # max(p, q) (1 - e^-|t|): no exponential above one
    near = torch.copysign(torch.maximum(p, q) * -small.expm1(), t)
    return torch.where((t.abs() <= 1.0) & ~gone, near, p - q)


def log_ratio(u: Tensor, z: Tensor) -> LogRatio:
    """Return both distributions of float64 logits (..., C) and log(p/q); two log-softmaxes are never subtracted.

    c = u - z is formed with its rounding error and centred on the class that carries most mass, so that constants added
    to either argument drop out without rounding. What is left of the common shift is a difference of small log-sums.
    """
    p, log_p, u_top, log_u = _softmax(u)
    q, log_q, z_top, log_z = _softmax(z)
    no_p, no_q = u == -torch.inf, z == -torch.inf
    gone = no_p | no_q
    u, z = torch.where(no_p, u_top, u), torch.where(no_q, z_top, z)
    pivot = torch.where(gone, -1.0, p + q).argmax(-1, keepdim=True)
    at_u, at_z = u.gather(-1, pivot), z.gather(-1, pivot)
    shift = ((u_top - at_u) - (z_top - at_z)) + (log_u - log_z)
    c, c_low = _two_difference(u, z)
    at_c, at_low = _two_difference(at_u, at_z)
    t, t_low = _two_difference(c, at_c)
    t = torch.where(gone, 0.0, (t - shift) + (t_low + (c_low - at_low)))
    overlap = torch.minimum(p, q).sum(-1, keepdim=True)
    for _ in range(2):
        # Newton's step for sum q (e^t - 1) = 0
        step = _difference(p, q, t, gone).sum(-1, keepdim=True) / overlap
        t = torch.where(gone, 0.0, t - torch.where(overlap >= CLOSE, step, 0.0))
    return LogRatio(p, q, log_p, log_q, t, _difference(p, q, t, gone), no_p, no_q)


def _correction(x: Tensor) -> Tensor:
    """Return 1/2 - x c(x^2), for |x| <= NEAR."""
    square = (x * x).clamp(max=NEAR * NEAR)
    top = square * NUMERATOR[3] + NUMERATOR[2]
    bottom = square * DENOMINATOR[3] + DENOMINATOR[2]
    for k in (1, 0):
        top = top * square + NUMERATOR[k]
        bottom = bottom * square + DENOMINATOR[k]
    return 0.5 - x * (top / bottom)


def _exponent(pair: LogRatio, alpha: Tensor) -> Tensor:
    """Return log(p^alpha q^(1 - alpha)), from whichever of p and q weighs more, so that the terms cancel less."""
    return torch.where(alpha < 0.5, pair.log_q + alpha * pair.t, pair.log_p + (alpha - 1.0) * pair.t)


def _balanced(gradient: Tensor, size: Tensor) -> Tensor:
    """Redo the entry with the largest `size`, which bounds the rounding, as minus the sum of the others."""
    main = torch.arange(size.shape[-1], device=size.device) == size.argmax(-1, keepdim=True)
    rest = torch.where(main, 0.0, gradient)
    return torch.where(main, -rest.sum(-1, keepdim=True), gradient)


def _terms(pair: LogRatio, alpha: Tensor) -> Tensor:
    """Return y for every class; may be NaN or infinite where p^alpha q^(1 - alpha) leaves the range."""
    p, q, t, d = pair.p, pair.q, pair.t, pair.d
    offset = alpha - 1.0
    above = alpha >= 1.0
    x = torch.where(above, offset, -offset) * t
    slope = torch.where(above, t, alpha * t)
    # k is only used where |offset t| > NEAR, so offset is not zero there
    k = torch.where(above, 1.0, alpha) / torch.where(offset == 0.0, 1.0, offset.abs())
    s = _exponent(pair, alpha).exp()
    base = torch.where(above, p, s)
    e = x.expm1()
    near = base * e * slope * _correction(x)
    far = torch.where(above, p * (e - x), p - s - s * x) * k
    y = torch.where(x.abs() <= NEAR, near, far)
    x = torch.where(above, -t, -alpha * t)
    difference = torch.where(above, -d, base * x.expm1())
    near = difference * x * _correction(x)
    far = q - base - base * x
    return y + torch.where(x.abs() <= NEAR, near, far)


def divergence(pair: LogRatio, alpha: Tensor) -> Tensor:
    """Return D for each row, shape (..., 1); `alpha` broadcasts against it and may be anything in [0, inf].

    Infinite where the second argument excludes a class that the first allows and alpha >= 1, or where they share none.
    """
    infinite = torch.isinf(alpha)
    order = torch.where(infinite, 1.0, alpha)
    offset = order - 1.0
    y = _terms(pair, order)
    # Beyond the range of S, above order one its terms are taken relative to the largest ratio: no order overflows.
    above = order >= 1.0
    gone = pair.no_p | pair.no_q
    lead = torch.where(gone, -torch.inf, pair.t).amax(-1, keepdim=True).clamp(min=-1e300)
    exponent = torch.where(above, pair.log_p + offset * (pair.t - lead), _exponent(pair, order))
    exponent = torch.where(gone, -torch.inf, exponent)
    # p = 0: y = q; q = 0 < p: y = alpha p / (1 - alpha) below order one, and D is infinite above
    y = torch.where(pair.no_q, order / torch.where(above, 1.0, -offset) * pair.p, y)
    total = torch.where(pair.no_p, pair.q, y).sum(-1, keepdim=True)
    x = offset * total
    safe = torch.where(offset == 0.0, 1.0, offset)
    small = total * (1.0 - x * (0.5 - x / 3.0))
    out = torch.where((x.abs() <= SMALL_SUM) | (offset == 0.0), small, x.log1p() / safe)
    top = exponent.amax(-1, keepdim=True).clamp(min=-1e300)
    extreme = (top + (exponent - top).exp().sum(-1, keepdim=True).log()) / safe + torch.where(above, lead, 0.0)
    inside = (x >= -CANCEL) & (x <= HUGE_SUM)
    out = torch.where(inside | (offset == 0.0), out, extreme)
    lost = (pair.no_q & ~pair.no_p).any(-1, keepdim=True)
    out = torch.where(lost & (alpha >= 1.0), torch.inf, out)
    out = torch.where(infinite, pair.ratio().amax(-1, keepdim=True), out)
    # zero up to rounding: the exact value is never negative
    return out.clamp(min=0.0)


def _series(x: Tensor, shift: int) -> Tensor:
    """Return sum_k x^k / (k + shift)!, an entire function: (e^x - 1)/x for shift 1, (e^x - 1 - x)/x^2 for 2."""
    factorials = [1.0]
    for k in range(1, SERIES_TERMS + shift):
        factorials.append(factorials[-1] * k)
    out = torch.full_like(x, 1.0 / factorials[-1])
    for k in range(SERIES_TERMS + shift - 2, shift - 1, -1):
        out = out * x + 1.0 / factorials[k]
    return out


def _behind(u: Tensor, z: Tensor, t: Tensor, gone: Tensor) -> tuple[Tensor, Tensor]:
    """Return the class of the largest log-ratio, (..., 1), and t - max t, accurate relative to itself, at most zero."""
    u, z, t = torch.where(gone, 0.0, u), torch.where(gone, 0.0, z), torch.where(gone, -torch.inf, t)
    lead = t.argmax(-1, keepdim=True)
    c, c_low = _two_difference(u, z)
    gap, gap_low = _two_difference(c, c.gather(-1, lead))
    gap = torch.where(gone, -torch.inf, gap + (gap_low + (c_low - c_low.gather(-1, lead))))
    # two ratios may be so close that their roundings exchange them
    return lead, torch.where(gone, 0.0, gap - gap.amax(-1, keepdim=True).clamp(min=0.0))


def gradients(
    u: Tensor, z: Tensor, alpha: Tensor, value: Tensor, pair: LogRatio | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return dD/du, dD/dz and dD/dalpha, the last of shape (..., 1), as differentiable functions of their arguments.

    dD/dz = q - w, dD/du = alpha (w - p) / offset and dD/dalpha = KL(w || p) / offset^2, where log w = log q + alpha t -
    offset D; the last two in the forms alpha p delta (e^x - 1)/x and sum w delta^2 h(-x)/x^2, x = offset delta,
    delta = t - D, which are regular at alpha = 1. Where two classes tie at alpha = inf, w is uniform over them (a
    subgradient).

    Parameters
    ----------
    u
        Logits of the first argument, float64, shape (..., C).
    z
        Logits of the second.
    alpha
        Orders, shape (..., 1).
    value
        D, shape (..., 1); its own derivatives are these gradients, which makes them twice differentiable.
    pair
        What `log_ratio` returns for them, if it is known.
    """
    if pair is None:
        with torch.no_grad():
            pair = log_ratio(u.detach(), z.detach())
    gone = pair.no_p | pair.no_q
    # p = 0 or q = 0 there: any finite logarithm will do, and its derivative must vanish
    log_p, log_q = (torch.where(gone, 0.0, torch.log_softmax(x, -1)) for x in (u, z))
    p, q = torch.softmax(u, -1), torch.softmax(z, -1)
    t = log_p - log_q
    # the accurate ratio, with the derivative of the plain one
    t = t + (pair.t - t).detach()

    infinite = torch.isinf(alpha)
    unbounded = torch.isinf(value)
    order = torch.where(infinite, 1.0, alpha)
    offset = order - 1.0
    value = torch.where(infinite | unbounded, 0.0, value)

    # log(w/q), and w
    large = order * pair.t.amax(-1, keepdim=True) > LARGE
    calm = torch.where(large, 1.0, order)
    x = calm * t - (calm - 1.0) * value
    lead, gap = _behind(u.detach(), z.detach(), pair.t, gone)
    distance = t - t.gather(-1, lead)
    distance = distance + (gap - distance).detach()
    power = torch.where(gone, -2.0 * FAR, log_q + (order * distance).clamp(min=-FAR))
    log_w = torch.log_softmax(power, -1)
    w = torch.where(gone, 0.0, torch.where(large, log_w, log_q + x).exp())
    x = torch.where(large, log_w - log_q, x)
    close = (x.abs() <= RATIO) & ~large
    student = torch.where(close, -q * torch.where(close, x, 0.0).expm1(), q - w)
    student = torch.where(gone, q, student)

    # log(w/p)
    delta = t - value
    x = torch.where(large, x - t, (calm - 1.0) * delta)
    close = (x.abs() <= RATIO) & ~large
    inner = torch.where(close, x, 0.0)
    far = torch.where(offset == 0.0, 1.0, offset)
    gain = torch.where(infinite, 1.0, order / far)
    teacher = torch.where(close, p * (calm * delta) * _series(inner, 1), (w - p) * gain)
    teacher = torch.where(gone, -p * gain, teacher)
    # w h(-x)/x^2, and p - w + w x where e^-x would overflow: w e^-x = p
    outer = torch.where(x > 0.0, w * ((-x.clamp(min=0.0)).expm1() + x), p - w + w * x) / (far * far)
    slope = torch.where(close, w * delta * delta * _series(-inner, 2), outer)
    slope = torch.where(gone, torch.where(pair.no_p, 0.0, p / (far * far)), slope).sum(-1, keepdim=True)

    # order infinity: w is uniform over the classes with the largest ratio
    ratio = torch.where(gone, pair.ratio(), gap)
    ties = (ratio == ratio.amax(-1, keepdim=True)).to(p.dtype)
    ties = ties / ties.sum(-1, keepdim=True)
    # D infinite at a finite order above one: the limit as the excluded q vanish together, w ~ p^alpha there
    lost = pair.no_q & ~pair.no_p
    heavy = torch.where(lost, order * torch.log_softmax(u, -1), -torch.inf)
    limit = torch.where(lost, (heavy - heavy.amax(-1, keepdim=True).clamp(min=-1e300)).exp(), 0.0)
    ties = torch.where(infinite, ties, limit / limit.sum(-1, keepdim=True).clamp(min=1e-300))
    special = infinite | unbounded
    w = torch.where(special, ties, w)
    student, teacher = torch.where(special, q - ties, student), torch.where(special, gain * (ties - p), teacher)
    slope = torch.where(special, 0.0, slope)
    return _balanced(teacher, (p + w).detach()), _balanced(student, (q + w).detach()), slope
