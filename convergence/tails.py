"""How far a single run may lie above what bounds its mean: bounds that hold with high probability, and envelopes.

The mean of a few hundred replicas says nothing of an event that happens once in ten thousand runs, unless something is
known of the tail. For sub-Gaussian noise it is: each run keeps a bound of its own but with a probability as small as
wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special

from convergence.arguments import instance, number
from convergence.assumptions import Assumptions
from convergence.problems.base import SyntheticProblem
from convergence.problems.noise_models import SubGaussian
from convergence.terms import Bound, checked_relative_bias, checked_step, checked_steps, make_bound

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


def _solve(
    at: Assumptions, h: float, steps: float, tail: SubGaussian, doubt: float, share: float
) -> tuple[float, float]:
    """A² as a function of ``doubt`` = log 1/δ at one λ = share (2-h)/s², and its derivative."""
    zeta2, away = at.bias, abs(1 - h)
    tau = at.gap * at.smoothness / (h * steps)
    if tail.proxy == 0:
        curve, rest, per_doubt = 0.0, tau, 0.0
    else:
        u = share * h * (2 - h)  # λhs²
        drive = h * tail.proxy / u
        curve = u / (h * (1 - u))
        per_doubt = drive / steps
        rest = tau - drive * tail.rank * float(special.log1p(-u)) / 2 + per_doubt * doubt
    a = 1 - h / 2 - curve * away**2 / 2
    b = away * np.sqrt(zeta2) * (1 + curve * h)
    c = (h / 2 + curve * h * h / 2) * zeta2 + rest
    root = float(np.sqrt(b * b + 4 * a * c))
    size = (b + root) / (2 * a)
    return size * size, 2 * size / root * per_doubt if root else 0.0


def _best(at: Assumptions, h: float, steps: float, tail: SubGaussian, doubt: float) -> float:
    """The share at which the bound is least; each of them gives a bound."""
    if tail.proxy == 0:
        return 0.5

    def total(x: float) -> float:
        return np.log(_solve(at, h, steps, tail, doubt, float(special.expit(x)))[0])

    found: Any = optimize.minimize_scalar(total, bounds=(-30.0, 30.0), method="bounded", options={"xatol": 1e-6})
    return float(special.expit(found.x))


def high_probability_bound(
    assumptions: Assumptions, step: float, steps: float, *, tail: SubGaussian, failure: float
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

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ and ζ²; m must be zero, and σ² is not used: the noise is that of ``tail``.
    step, steps : float
        η and T (``inf`` for the floor).
    tail : SubGaussian
        s² and r.
    failure : float
        δ in (0, 1).

    Returns
    -------
    Bound
        Of the "squared gradient norm of a run". ``transient`` is 2Δ/(ηT(2-h)), ``bias`` what ζ adds, ``noise``
        the rest.

    Raises
    ------
    ValueError
        If Λη is outside (0, 2), T < 1, δ outside (0, 1), or there is a relative bias.

    Examples
    --------
    >>> at = Assumptions(smoothness=1, gap=1, noise=1.0, bias=0.01)
    >>> noise = SubGaussian(proxy=0.1, rank=10)
    >>> round(high_probability_bound(at, 0.1, 10_000, tail=noise, failure=1e-6).total, 4)
    0.0872
    >>> from convergence import sharp_bound
    >>> round(sharp_bound(at, 0.1, 10_000).total, 4)
    0.0787
    """
    h, horizon = _domain(assumptions, step, steps)
    delta = number("failure", failure)
    if not 0 < delta < 1:
        raise ValueError(f"failure = {failure!r}: expected a probability between 0 and 1")
    doubt, noise = -float(np.log(delta)), instance("tail", tail, SubGaussian)
    share = _best(assumptions, h, horizon, noise, doubt)
    total = _solve(assumptions, h, horizon, noise, doubt, share)[0]
    quiet = Assumptions(smoothness=assumptions.smoothness, gap=assumptions.gap, noise=0.0, bias=0.0)
    unbiased = _solve(quiet, h, horizon, noise, doubt, share)[0]
    transient = 2 * assumptions.gap * assumptions.smoothness / (h * horizon * (2 - h))
    terms = (transient, unbiased - transient, total - unbiased)
    return make_bound("high probability", terms, step, steps, "squared gradient norm of a run")


def _domain(assumptions: Assumptions, step: float, steps: float) -> tuple[float, float]:
    """h and T, checked."""
    checked_relative_bias(assumptions, "high_probability_bound", absolute=True)
    eta = float(checked_step(assumptions, number("step", step), 2.0, closed=False, name="high_probability_bound"))
    return assumptions.smoothness * eta, float(checked_steps(number("steps", steps, infinite=True)))


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
    (0.35, 0.43, True)
    """
    if not problem.noise:
        return Envelope(upper=np.inf, alike=True)
    tail, h = problem.tail, assumptions.smoothness * step
    if tail is None or assumptions.relative_bias or not 0 < h < 2:
        return None
    share = _best(assumptions, h, steps, tail, doubt)
    upper, slope = _solve(assumptions, h, steps, tail, doubt, share)
    return Envelope(upper=upper, excess=slope * float(np.exp(-doubt)))
