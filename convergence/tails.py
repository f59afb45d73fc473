"""How far a single run may lie above what bounds its mean: bounds that hold with high probability, and envelopes.

The mean of a few hundred replicas says nothing of an event that happens once in ten thousand runs, unless something is
known of the tail. For sub-Gaussian noise it is: each run keeps a bound of its own but with a probability as small as
wanted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used
from numpy.typing import ArrayLike, NDArray

from convergence.arguments import flag, instance, number
from convergence.assumptions import Assumptions
from convergence.problems.base import SyntheticProblem
from convergence.problems.noise_models import SubGaussian
from convergence.terms import Bound, checked_relative_bias, checked_step, checked_steps, make_bound, product

__all__ = ["CERTAIN", "Envelope", "SubGaussian", "high_probability_bound", "run_envelope"]

CERTAIN = 30.0
"""-log of the probability with which a run may exceed the end of an envelope: 1e-13."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A random variable X ≥ 0 with E max(X - upper, 0) ≤ excess: all that its mean needs to be judged from replicas.

    Attributes
    ----------
    upper : float
        Where replicas may be cut off.
    excess : float
        What that takes from their mean, at most.
    alike : bool
        Whether X is no random variable at all: all replicas are the same.

    Examples
    --------
    >>> Envelope(upper=1.0)
    Envelope(upper=1.0, excess=0.0, alike=False)
    """

    upper: float
    excess: float = 0.0
    alike: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        number("upper", self.upper, least=0, infinite=True)
        number("excess", self.excess, least=0)
        flag("alike", self.alike)


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

    def squared(self, doubt: float, share: float) -> tuple[float, float]:
        """A² as a function of log 1/δ at λ = share (2-h)/s², and its derivative."""
        inverse, part = self.proxy / (share * (2 - self.h)), share * (2 - self.h) * self.sizes  # 1/λ, λs²
        h, weights = self.h * self.sizes, self.sizes / self.sizes.sum()
        away = np.abs(1 - h)
        curve = part / (1 - part * h) if self.proxy else np.zeros_like(h)
        moments = float((scipy.special.log1p(-part * h) / self.sizes.sum()).sum())
        rest = self.tau - inverse * self.rank * moments / 2 + inverse * doubt / self.steps
        a = float((1 - h / 2 - curve * away**2 / 2).min())
        b = float(np.sqrt(self.zeta2 * (weights * (away * (1 + curve * h)) ** 2).sum()))
        c = float((weights * (h / 2 + curve * h * h / 2)).sum()) * self.zeta2 + rest
        root = float(np.sqrt(b * b + 4 * a * c))
        size = float(b + root) / (2 * a)
        return size * size, 2 * size / root * inverse / self.steps if root else 0.0

    def best(self, doubt: float) -> float:
        """The share at which the bound is least; each of them gives a bound."""
        if not self.proxy:
            return 0.5

        def total(x: float) -> float:
            return np.log(self.squared(doubt, float(scipy.special.expit(x)))[0])

        found: Any = scipy.optimize.minimize_scalar(
            total, bounds=(-30.0, 30.0), method="bounded", options={"xatol": 1e-6}
        )
        return float(scipy.special.expit(found.x))


_CONSTANT = np.ones(1)
"""The sizes of a constant step."""


def _scaled(
    at: Assumptions, step: float, steps: float, tail: SubGaussian, sizes: NDArray[np.float64] = _CONSTANT
) -> tuple[_Run, float]:
    """A run and its unit; ``step`` is the longest, ``steps`` the sum of all over it, ``sizes`` each over it."""
    tau = float(product(at.gap, over=(step, steps)))
    unit = max(at.bias, tau, tail.proxy) or 1.0
    if np.isinf(unit):
        unit = 1.0
    return _Run(at.smoothness * step, steps, at.bias / unit, tau / unit, tail.proxy / unit, tail.rank, sizes), unit


def high_probability_bound(
    assumptions: Assumptions, step: ArrayLike, steps: float, *, tail: SubGaussian, failure: float
) -> Bound:
    r"""(1/T) Σ_{t<T} ‖∇f(x_t)‖² ≤ A² for a single run, but with probability ``failure``, for 0 < h < 2.

    For sub-Gaussian noise (s², r), a bias of at most ζ at every step and every λ in (0, (2-h)/s²), A is the larger root
    of ``(1-h/2)A² - |1-h|Aζ - (h/2)ζ² - (c/2)(|1-h|A + hζ)² = Δ/(ηT) - (r/2λ) log(1-λhs²) + log(1/δ)/(λT)`` with
    c = λs²/(1-λhs²); the best λ is taken. It tends to the floor of :func:`~convergence.sharp_bound` with σ² = r s² as
    T → ∞: on the long run no replica lies above what bounds the mean.

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

    Returns
    -------
    Bound
        Of the "squared gradient norm of a run". ``transient`` is 2Δ/(ηT(2-h)), h that of the longest step, ``bias``
        what ζ adds, ``noise`` the rest.

    Raises
    ------
    ValueError
        If a Λη is outside (0, 2), T < 1 or not the number of the steps, δ outside (0, 1), or there is a relative bias.

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
    checked_relative_bias(assumptions, "high_probability_bound", absolute=True)
    each = np.atleast_1d(checked_step(assumptions, step, 2.0, closed=False, name="high_probability_bound"))
    horizon = float(checked_steps(number("steps", steps, infinite=True)))
    constant = np.ndim(step) == 0
    if not constant and each.shape != (horizon,):
        raise ValueError(f"step has shape {each.shape} and steps = {steps!r}: expected a number, or one per step, (T,)")
    eta = float(each.max())
    sizes = each / eta
    delta = number("failure", failure)
    if not 0 < delta < 1:
        raise ValueError(f"failure = {failure!r}: expected a probability between 0 and 1")
    doubt = -float(np.log(delta))
    length = horizon if constant else float(sizes.sum())
    run, unit = _scaled(assumptions, eta, length, instance("tail", tail, SubGaussian), sizes)
    share = run.best(doubt)
    total, unbiased = (r.squared(doubt, share)[0] for r in (run, replace(run, zeta2=0.0)))
    transient = min(2 * run.tau / (2 - run.h), unbiased)
    parts = (transient, unbiased - transient, total - unbiased)
    terms = [float(product(max(part, 0.0), unit)) for part in parts]
    words = "squared gradient norm of a run" + ("" if constant else ", weighted by the steps")
    return make_bound("high probability", (terms[0], terms[1], terms[2]), float(each.mean()), steps, words)


def run_envelope(
    problem: SyntheticProblem, assumptions: Assumptions, step: float, steps: float, *, doubt: float = CERTAIN
) -> Envelope | None:
    """The envelope of a run's (1/T) Σ ‖∇f(x_t)‖², for plain SGD with a constant step; None where none is proved.

    At one λ the bound of :func:`high_probability_bound` is concave in log(1/δ), so that beyond its value U at
    δ = e^-d it grows by at most its slope there: E max(X - U, 0) ≤ slope · e^-d.

    Parameters
    ----------
    problem : SyntheticProblem
        With noise whose ``tail`` is known.
    assumptions : Assumptions
        Its constants, with Δ from where the run starts.
    step, steps : float
        η and T.
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
    if problem.tail is None or assumptions.relative_bias or not 0 < assumptions.smoothness * step < 2:
        return None
    run, unit = _scaled(assumptions, step, steps, problem.tail)
    upper, slope = run.squared(doubt, run.best(doubt))
    return Envelope(upper=float(product(upper, unit)), excess=float(product(slope, np.exp(-doubt), unit)))
