"""How far a single run may lie above what bounds its mean: bounds that hold with high probability, and envelopes.

The mean of a few hundred replicas says nothing of an event that happens once in ten thousand runs, unless something is
known of the tail. For sub-Gaussian noise it is: each run obeys a bound of its own but with a probability as small as
wanted.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used
from numpy.typing import ArrayLike, NDArray

from convergence.arguments import flag, instance, number
from convergence.assumptions import Assumptions
from convergence.momentum import lagging
from convergence.problems.base import SyntheticProblem
from convergence.problems.noise_models import SubGaussian
from convergence.terms import Bound, checked_relative_bias, checked_step, checked_steps, make_bound, product

__all__ = [
    "CERTAIN", "Envelope", "SubGaussian", "high_probability_bound", "last_noise", "line_envelope", "reach_envelope",
    "run_envelope", "square_envelope",
]  # fmt: skip

CERTAIN = 30.0
"""-log of the probability with which a run may exceed the end of an envelope: 1e-13."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A random variable X with E max(X - upper, 0) ≤ excess and E max(lower - X, 0) ≤ lack.

    It is all that its mean needs to be judged from replicas.

    Attributes
    ----------
    upper : float
        Where replicas may be cut off.
    excess : float
        What that takes from their mean, at most.
    alike : bool
        Whether X is no random variable at all: all replicas are the same.
    lower, lack : float
        The same at the other end, below ``upper``.

    Examples
    --------
    >>> Envelope(upper=1.0)
    Envelope(upper=1.0, excess=0.0, alike=False, lower=0.0, lack=0.0)
    """

    upper: float
    excess: float = 0.0
    alike: bool = False
    lower: float = 0.0
    lack: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        number("upper", self.upper, least=number("lower", self.lower), infinite=True)
        number("excess", self.excess, least=0)
        number("lack", self.lack, least=0)
        flag("alike", self.alike)


def line_envelope(proxy: float, mean: float, doubt: float = CERTAIN) -> Envelope:
    """Of a sub-Gaussian number with this variance proxy s² and mean: m ± s√(2d), beyond which E is at most se⁻ᵈ/√(2d).

    P(|X - m| > s√(2d)) ≤ e⁻ᵈ on either side, and the root is concave in d (as in :func:`run_envelope`).

    >>> found = line_envelope(4.0, 1.0)
    >>> round(found.lower, 2), round(found.upper, 2), found.excess == found.lack < 1e-13
    (-14.49, 16.49, True)
    """
    far, left = float(np.sqrt(2 * proxy * doubt)), float(np.sqrt(proxy / (2 * doubt)) * np.exp(-doubt))
    return Envelope(upper=mean + far, excess=left, lower=mean - far, lack=left)


def square_envelope(tail: SubGaussian, away: float = 0.0, doubt: float = CERTAIN) -> Envelope:
    """Of ‖m + N‖² with ‖m‖ ≤ ``away``, whatever m depends on, and N sub-Gaussian in a fixed space of r dimensions.

    P(‖N‖² > s²(r + 2√(rd) + 2d)) ≤ e⁻ᵈ (Hsu, Kakade & Zhang 2012, arXiv 1110.2842), and (away + the root of that)²
    is concave in d (as in :func:`run_envelope`).

    >>> found = square_envelope(SubGaussian(proxy=0.5, rank=2), away=1.0)
    >>> round(found.upper, 1), found.excess < 1e-12
    (52.2, True)
    """
    root = float(np.sqrt(tail.rank * doubt))
    size, slope = tail.proxy * (tail.rank + 2 * root + 2 * doubt), tail.proxy * (root / doubt + 2)
    steep = slope * (1 + away / float(np.sqrt(size))) if size else 0.0
    return Envelope(upper=(away + float(np.sqrt(size))) ** 2, excess=float(steep * np.exp(-doubt)))


def last_noise(tail: SubGaussian, curvature: float, step: float | NDArray[np.float64], steps: int) -> SubGaussian:
    """The tail of Σ_t η_t ∏_{s>t} (1-η_sλ) n_t, what the noise adds to x_T on a quadratic of curvature λ.

    Noise is that of a space which does not depend on the past: Gaussian, or independent signs.

    >>> last_noise(SubGaussian(proxy=1.0, rank=2), 1.0, 0.5, 1)
    SubGaussian(proxy=0.25, rank=2)
    """
    sizes = np.broadcast_to(step, (steps,))
    later = np.cumprod(np.r_[1.0, 1 - curvature * sizes[:0:-1]])[::-1]
    return replace(tail, proxy=tail.proxy * float(((sizes * later) ** 2).sum()))


def reach_envelope(
    tail: SubGaussian, curvature: float, step: float, steps: int, *, start: float, pull: float, doubt: float = CERTAIN
) -> Envelope:
    """Of ‖x_T‖² where ‖∇f(x) + b(x) - λx‖ ≤ ``pull`` everywhere, ηλ ≤ 1 and ‖x_0‖ = ``start``.

    x_(t+1) = (1-ηλ)x_t - η(pull) - ηn_t: the noise adds what :func:`last_noise` has, and all else is at most (1-ηλ)^T
    times the start and the rest of pull/λ, whatever the noise was.

    >>> reach_envelope(SubGaussian(proxy=0.0, rank=1), 1.0, 0.5, 1, start=4.0, pull=2.0)
    Envelope(upper=9.0, excess=0.0, alike=False, lower=0.0, lack=0.0)
    """
    left = (1 - step * curvature) ** steps
    away = left * start + (1 - left) * pull / curvature
    return square_envelope(last_noise(tail, curvature, step, steps), away, doubt)


@dataclass(frozen=True)
class _Run:
    """A run's constants over their greatest, so that no square of them overflows: h, T, ζ², Δ/(ηT), s² and r.

    Where steps vary, h is that of the longest, T the sum of all over it, and ``sizes`` each over it; a constant one has
    the single size 1.
    """

    h: float
    steps: float
    zeta2: float
    tau: float
    proxy: float
    rank: int
    sizes: NDArray[np.float64]

    def squared(self, doubt: float, choice: Any) -> tuple[float, float]:
        """A² as a function of log 1/δ at λ = share (2-h)/s², and its derivative; the choice is the share."""
        share = float(choice)
        inverse, part = self.proxy / (share * (2 - self.h)), share * (2 - self.h) * self.sizes  # 1/λ, λs²
        h, weights = self.h * self.sizes, self.sizes / self.sizes.sum()
        away = np.abs(1 - h)
        curve = part / (1 - part * h) if self.proxy else np.zeros_like(h)
        moments = float((scipy.special.log1p(-part * h) / self.sizes.sum()).sum())
        rest = self.tau - inverse * self.rank * moments / 2 + inverse * doubt / self.steps
        a = float((1 - h / 2 - curve * away**2 / 2).min())
        b = float(np.sqrt(self.zeta2 * (weights * (away * (1 + curve * h)) ** 2).sum()))
        c = float((weights * (h / 2 + curve * h * h / 2)).sum()) * self.zeta2 + rest
        return _larger_root(a, b, c, inverse / self.steps)

    def best(self, doubt: float) -> Any:
        """The share at which the bound is least; each of them gives a bound."""
        if not self.proxy:
            return 0.5

        def total(x: float) -> float:
            return _logarithm(self.squared(doubt, float(scipy.special.expit(x)))[0])

        found: Any = scipy.optimize.minimize_scalar(
            total, bounds=(-30.0, 30.0), method="bounded", options={"xatol": 1e-6}
        )
        return float(scipy.special.expit(found.x))


def _logarithm(value: float) -> float:
    """A search subtracts logarithms: that of what overflows is greater than all others, but finite."""
    return min(float(np.log(value)), 1e3)


def _larger_root(a: float, b: float, c: float, growth: float) -> tuple[float, float]:
    """A² for the larger root A of aA² - bA = c, and its derivative in log 1/δ, in which c grows at this rate."""
    root = float(np.sqrt(b * b + 4 * a * c))
    size = (b + root) / (2 * a)
    return size * size, 2 * size / root * growth if root else 0.0


@dataclass(frozen=True)
class _MomentumRun(_Run):
    """The same with momentum: h and Δ/(γT) are those of γ = η/(1-μ)."""

    mu: float
    lag: float
    lag_sum: float

    def parameters(self, choice: Any) -> tuple[float, float, float, float, float]:
        """``C = λs²/(1-λ(h+2k)s²)``, s, k/h, λ(h+2k)s²/(1-λ(h+2k)s²) and 1+ε.

        The choice is logit λs²e²/(2(1-λ(h+2k)s²)), where e is ``own``, log s and log(2sk'/(hc) - 1): of no number that
        a small step makes small.
        """
        mu, h, c = self.mu, self.h, self.lag
        curve, s = 2 * float(scipy.special.expit(choice[0])) / self.own**2, float(np.exp(choice[1]))
        weight = c / (2 * s)  # of Σ‖N_t‖², and what is added to it; as k, over h
        spare = weight * float(np.exp(choice[2]))
        k = (weight + spare) / ((1 - mu) * (1 + mu))
        room = 2 * spare / (curve * h * (c + 2 * mu * k) ** 2) if curve * h else np.inf
        return curve, s, k, curve * h * (1 + 2 * k), 1 / (1 - 1 / room) if room > 1 else np.inf

    @property
    def own(self) -> float:
        """p, what ‖u_t‖ has of A."""
        return abs(1 - self.h) + self.h * self.lag / (1 - self.mu)

    def squared(self, doubt: float, choice: Any) -> tuple[float, float]:
        """A² and its derivative in log 1/δ for a choice of λ, s and k; infinite is what it does not bound."""
        h, c, own = self.h, self.lag, self.own
        foreign = h + h * c / (1 - self.mu)
        if self.proxy:
            curve, s, _, odds, more = self.parameters(choice)
            inverse = (1 + odds) * self.proxy / curve
            rest = inverse * self.rank * float(np.log1p(odds)) / 2
        else:
            s, inverse, curve, more, rest = 0.0, 0.0, 0.0, 1.0, 0.0
        theta = h * (1 + 2 * c * self.lag_sum + c * s)
        a = 1 - theta / 2 - curve * more * own**2 / 2
        if not a > 0:
            return np.inf, np.inf
        b = float(np.sqrt(self.zeta2)) * (abs(1 - theta) + curve * more * own * foreign)
        fixed = self.zeta2 * (theta + curve * more * foreign**2) / 2
        return _larger_root(a, b, fixed + self.tau + rest + inverse * doubt / self.steps, inverse / self.steps)

    def best(self, doubt: float) -> Any:
        """The choice at which the bound is least, as far as a descent from the best of a grid finds it."""

        def total(choice: Any) -> float:
            return _logarithm(self.squared(doubt, choice)[0])

        if not self.proxy:
            return (0.0, 0.0, 0.0)
        grid = itertools.product(np.linspace(-18.0, 0.0, 10), np.linspace(-9.0, 3.0, 7), (-2.0, 0.0, 2.0))
        start = min(grid, key=total)
        found: Any = scipy.optimize.minimize(total, start, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-9})
        return tuple(found.x)


_CONSTANT = np.ones(1)
"""The sizes of a constant step."""


def scaled_run(
    at: Assumptions, step: float, steps: float, tail: SubGaussian, sizes: NDArray[np.float64] = _CONSTANT,
    momentum: float = 0.0, nesterov: bool = False,
) -> tuple[_Run, float]:  # fmt: skip
    """A run and its unit; ``step`` is the longest, ``steps`` the sum of all over it, ``sizes`` each over it."""
    step /= 1 - momentum
    tau = float(product(at.gap, over=(step, steps)))
    unit = max(at.bias, tau, tail.proxy) or 1.0
    if np.isinf(unit):
        unit = 1.0
    parts = (at.smoothness * step, steps, at.bias / unit, tau / unit, tail.proxy / unit, tail.rank, sizes)
    return (_MomentumRun(*parts, momentum, *lagging(momentum, nesterov, steps)[:2]) if momentum else _Run(*parts)), unit


def high_probability_bound(
    assumptions: Assumptions, step: ArrayLike, steps: float, *, tail: SubGaussian, failure: float,
    momentum: float = 0.0, nesterov: bool = False,
) -> Bound:  # fmt: skip
    r"""(1/T) Σ_{t<T} ‖∇f(x_t)‖² ≤ A² for a single run, but with probability ``failure``, for 0 < h < 2.

    For sub-Gaussian noise (s², r), a bias of at most ζ at every step and every λ in (0, (2-h)/s²), A is the larger root
    of ``(1-h/2)A² - |1-h|Aζ - (h/2)ζ² - (c/2)(|1-h|A + hζ)² = Δ/(ηT) - (r/2λ) log(1-λhs²) + log(1/δ)/(λT)`` with
    c = λs²/(1-λhs²); the best λ is taken. It tends to the floor of :func:`~convergence.sharp_bound` with σ² = r s² as
    T → ∞: on the long run no replica lies above what bounds the mean.

    A theorem of the kernel (claim V3) for each λ, s and k, with momentum too; that the best are found is not needed.
    The descent lemma leaves Σ (-⟨u_t, n_t⟩ + (h/2)‖n_t‖²) with u_t = (1-h)∇f(x_t) - h b_t, of which λ times the sum,
    less what its conditional exponential moments allow, has an exponential of mean at most one. This toolkit's own; the
    exponential moment of ‖n‖² is that of Hsu, Kakade & Zhang 2012, arXiv 1110.2842, and the method that of Liu et al.
    2023, arXiv 2302.14843.

    Steps may vary, each with h_t = Λη_t in (0, 2): then A² is Σ η_t ‖∇f(x_t)‖²/Σ η_t, as of
    :func:`~convergence.schedule_bound`, and A the larger root of ``aA² - bζA - gζ² = [Δ + log(1/δ)/λ - (r/2λ) Σ
    log(1-λη_t h_t s²)]/Σ η_t`` for every λ with λη_t s² < 2 - h_t at all t. With c_t = λη_t s²/(1-λη_t h_t s²), a is
    the least 1 - h_t/2 - c_t(1-h_t)²/2, and b² and g are the means, weighted by the steps, of (1-h_t)²(1+c_t h_t)² and
    h_t(1+c_t h_t)/2. The descent lemma is summed as it is, so that λη_t is what λ is above; the Cauchy-Schwarz
    inequality bounds the terms that are linear in ‖∇f(x_t)‖.

    With momentum μ and a constant step, γ = η/(1-μ), h = Λγ and c = μ, or μ² after Nesterov, z_t = x_t - cγv_t makes
    steps of size γ (Yang, Lin & Li 2016, arXiv 1604.03257), and ‖∇f(z_t) - ∇f(x_t)‖ ≤ hc‖D_t + N_t‖, the velocity's
    parts of gradients and of noises. As ‖D_t‖ is at most Σ_{s<t} μ^(t-1-s) ‖d_s‖, of the d_t = ∇f(x_t) + b_t, the
    former cost hcℓ Σ‖d_t‖² with ℓ = (1 - μ^((T-1)/2))/(1-μ), and s shares the latter out: θ = h(1 + 2cℓ + cs). Of the
    latter (1-μ²) Σ‖N_t‖² ≤ Σ (‖n_t‖² + 2μ⟨N_t, n_t⟩). With k ≥ hc/(2s(1-μ²)) added k times, the sum above is one of
    u_t = ∇f(z_t) - h(∇f(x_t) + b_t) - 2μkN_t with h + 2k for h in front of ‖n_t‖², and its C = λs²/(1-λ(h+2k)s²) costs
    (C/2) Σ‖u_t‖² ≤ (C/2)(1+ε)T(pA + qζ)² + (C/2)(1+1/ε)(hc + 2μk)² Σ‖N_t‖², where ``p = |1-h| + hc/(1-μ)`` and ``q
    = h + hc/(1-μ)``. The ε with which k(1-μ²) - hc/(2s) pays for the last term is taken: A is the larger root of
    ``(1-θ/2)A² - |1-θ|Aζ - (θ/2)ζ² - (C/2)(1+ε)(pA + qζ)² = Δ/(γT) - (r/2λ) log(1-λ(h+2k)s²) + log(1/δ)/(λT)``, for
    the best λ, s and k that are found.

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ and ζ²; m must be zero, and σ² is not used: the noise is that of ``tail``.
    step : float or array of shape (T,)
        η, or η_t.
    steps : float
        T (``inf`` for the floor).
    tail : SubGaussian
        s² and r.
    failure : float
        δ in (0, 1).
    momentum, nesterov : float, bool
        μ in [0, 1), and whether momentum is Nesterov's; with a constant step.

    Returns
    -------
    Bound
        Of the "squared gradient norm of a run". ``transient`` is 2Δ/(ηT(2-h)), h that of the longest step, ``bias``
        what ζ adds, ``noise`` the rest.

    Raises
    ------
    ValueError
        If a Λη, or Λη(1+2cℓ)/(1-μ) with momentum, is outside (0, 2), T < 1 or not the number of the steps, δ outside
        (0, 1), μ outside [0, 1), steps vary with momentum, or there is a relative bias.

    Examples
    --------
    >>> at = Assumptions(smoothness=1, gap=1, noise=1.0, bias=0.01)
    >>> noise = SubGaussian(proxy=0.1, rank=10)
    >>> round(high_probability_bound(at, 0.1, 10_000, tail=noise, failure=1e-6).total, 4)
    0.0872
    >>> from convergence import sharp_bound
    >>> round(sharp_bound(at, 0.1, 10_000).total, 4)
    0.0812
    """
    checked_relative_bias(assumptions, "the high-probability bound", absolute=True)
    each = np.atleast_1d(checked_step(assumptions, step, 2.0, closed=False, name="the high-probability bound"))
    horizon = float(checked_steps(number("steps", steps, infinite=True)))
    constant = np.ndim(step) == 0
    if not constant and each.shape != (horizon,):
        raise ValueError(f"step has shape {each.shape} and steps = {steps!r}: expected a number, or one per step, (T,)")
    eta = float(each.max())
    sizes = each / eta
    delta = number("failure", failure)
    if not 0 < delta < 1:
        raise ValueError(f"failure = {failure!r}: expected a probability between 0 and 1")
    mu = number("momentum", momentum, least=0)
    if mu >= 1 or (mu and not constant):
        raise ValueError(f"momentum = {momentum!r}: expected a number in [0, 1), and 0 where steps vary")
    if (above := assumptions.smoothness * eta * lagging(mu, flag("nesterov", nesterov), horizon)[2]) >= 2:
        raise ValueError(
            f"step = {eta!r} gives Λη(1+2cℓ)/(1-μ) = {above:.6g}: the high-probability bound holds below 2; use a "
            f"step below {2 * eta / above:.6g}"
        )
    doubt = -float(np.log(delta))
    length = horizon if constant else float(sizes.sum())
    run, unit = scaled_run(assumptions, eta, length, instance("tail", tail, SubGaussian), sizes, mu, nesterov)
    choice = run.best(doubt)
    total, unbiased = (r.squared(doubt, choice)[0] for r in (run, replace(run, zeta2=0.0)))
    transient = min(2 * run.tau / (2 - run.h), unbiased)
    # Only the first term grows as the step falls: where a bound overflows, it is that one's.
    parts = (transient, unbiased - transient, total - unbiased) if np.isfinite(total) else (np.inf, 0.0, 0.0)
    terms = [float(product(max(part, 0.0), unit)) for part in parts]
    words = "squared gradient norm of a run" + ("" if constant else ", weighted by the steps")
    return make_bound("high probability", (terms[0], terms[1], terms[2]), float(each.mean()), steps, words)


def run_envelope(
    problem: SyntheticProblem, assumptions: Assumptions, step: float | NDArray[np.float64], steps: float, *,
    momentum: float = 0.0, nesterov: bool = False, doubt: float = CERTAIN,
) -> Envelope | None:  # fmt: skip
    """The envelope of a run's ``mean_squared_gradient``, for SGD whose steps vary or with momentum; None if unproved.

    At one λ (and s and k) the bound of :func:`high_probability_bound` is concave in log(1/δ), so that beyond its value
    U at δ = e^-d it grows by at most its slope there: E max(X - U, 0) ≤ slope · e^-d.

    Parameters
    ----------
    problem : SyntheticProblem
        With noise whose ``tail`` is known.
    assumptions : Assumptions
        Its constants, with Δ from where the run starts.
    step, steps : float
        η, or η_t for each step, and T.
    momentum, nesterov : float, bool
        μ, and whether momentum is Nesterov's. Nothing is proved of momentum in a box, which the sequence z of the proof
        may leave: it is x_t + (x_t - x_{t-1})μ/(1-μ). Nor with steps that vary: there z makes steps of ``γ_t = Σ_{s≥t}
        μ^(s-t) η_s``, and what the proof could give is an average weighted by these, which the one by η_t may exceed
        1/(1-μ) times.
    doubt : float
        d.

    Examples
    --------
    >>> from convergence import problems, simulate
    >>> f = problems.get("quadratic", noise=1.0)
    >>> run = simulate(f, step=0.5, steps=1000, replicas=1, seed=0)
    >>> found = run_envelope(f, run.assumptions, 0.5, 1000)
    >>> round(float(run.mean_squared_gradient[-1, 0]), 3), round(found.upper, 3), found.excess < 1e-14
    (0.334, 0.516, True)
    """
    if not problem.noise:
        return Envelope(upper=np.inf, alike=True)
    if problem.tail is None or assumptions.relative_bias:
        return None
    if momentum and (np.ndim(step) or getattr(problem, "box", None) is not None):
        return None
    eta = float(np.max(step))
    if not assumptions.smoothness * eta * lagging(momentum, nesterov, steps)[2] < 2:
        return None
    sizes = np.atleast_1d(step) / eta
    length = float(sizes.sum()) if np.ndim(step) else steps
    run, unit = scaled_run(assumptions, eta, length, problem.tail, sizes, momentum, nesterov)
    if not np.isfinite(run.tau):
        return None
    upper, slope = run.squared(doubt, run.best(doubt))
    return Envelope(upper=float(product(upper, unit)), excess=float(product(slope, np.exp(-doubt), unit)))
