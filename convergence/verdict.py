"""From replicas to a verdict: confirmed, refuted or undecided, with its error rate and margin.

Sampling never proves. A verdict compares a confidence bound of the replicas' mean with what a statement allows, and
states the probability with which it may be wrong, and what that rests on. With an :class:`Envelope` it is exact at any
number of replicas, whatever their distribution. Without one it is asymptotic and presumes a finite third moment, which
is tested: where one replica has more than half of it, the verdict is undecided. What no replica shows is not seen: an
event of probability 10⁻⁴ that carries half the mean is missed by most samples of 4,096, and no rule that sees these
alone can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy  # its parts load when they are first used
from numpy.typing import ArrayLike, NDArray

from convergence.arguments import instance, number, real, shown, whole
from convergence.bounds import Bound
from convergence.estimators import ROUNDING, bounded_interval, mean_interval
from convergence.notebook import table
from convergence.sgd import MOST_REPLICAS, Trajectory
from convergence.tails import Envelope

__all__ = ["Outcome", "Verdict", "check_bound", "detectable_violation", "judge_mean", "sequential_verdict"]

Outcome = Literal["confirmed", "refuted", "undecided"]

ALONE = 0.5
"""What part of Σ|x - mean|³ a single replica may have, that a finite third moment is believed without an envelope."""

OVERFLOW = 1e290
"""A limit that an infinite mean exceeds. Beyond it the sum over as many as 10¹⁵ steps may overflow while the mean does
not."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of confronting a statement with replicas.

    Attributes
    ----------
    outcome : {"confirmed", "refuted", "undecided"}
        Confirmed: the confidence bound lies on the statement's side. Refuted: on the other. Undecided: the bounds
        enclose the limit, both the mean and the limit are beyond float64, or, without an envelope, one replica has
        more than half of Σ|x - mean|³, which a finite third moment does not let many replicas have.
    observed : float
        The replicas' mean.
    allowed : float
        What the statement allows at most (or, for an equality, the value it states).
    margin : float
        (allowed - observed)/allowed: positive where the statement has room. With a lower limit, the room to the nearer
        of the two.
    interval : tuple of float
        The lower and upper confidence bound of the mean; each errs with probability ``error_rate / looks``.
    error_rate : float
        The probability that the verdict is wrong, at most.
    replicas : int
        How many were used.
    looks : int
        How often the rule was allowed to look at the data.
    basis : {"envelope", "asymptotic"}
        What the error rate rests on: a proved envelope, at any number of replicas; or the normal approximation with its
        correction for skewness, for replicas with a finite third moment.
    """

    outcome: Outcome
    observed: float
    allowed: float
    margin: float
    interval: tuple[float, float]
    error_rate: float
    replicas: int
    looks: int = 1
    basis: Literal["envelope", "asymptotic"] = "asymptotic"

    def _repr_html_(self) -> str:
        """In a notebook: the outcome, and the numbers that it rests on."""
        low, high = self.interval
        names = ("observed", "allowed", "margin", "error_rate", "replicas", "looks", "basis")
        rows = {name.replace("_", " "): getattr(self, name) for name in names}
        return table(self.outcome, rows | {"interval": f"{low:.6g} to {high:.6g}"})

    @property
    def detectable(self) -> float:
        """The smallest relative violation that replicas like these refute with probability 0.9."""
        rate = self.error_rate / (self.looks if self.basis == "asymptotic" else 1)
        return detectable_violation(self.observed, self.interval[0], self.allowed, error_rate=rate)


def detectable_violation(
    observed: float, low: float, allowed: float, *, error_rate: float, power: float = 0.9
) -> float:
    """How far a mean must exceed its limit, relative to the limit, to be refuted with probability ``power``.

    A mean that lies w = observed - low above the limit is refuted with probability ½, one that lies
    w(1 + z_power/z_δ) above it with probability ``power``, z being normal quantiles and δ the error rate.

    Parameters
    ----------
    observed, low : float
        The replicas' mean and its lower confidence bound.
    allowed : float
        The limit.
    error_rate : float
        δ, that of the lower bound.
    power : float
        The probability of a refutation.

    Returns
    -------
    float
        0.01 for one percent; infinite where the limit is 0 or infinite, or the replicas are infinite.

    Examples
    --------
    >>> verdict = judge_mean([0.9, 1.1] * 128, 2.0)
    >>> round(detectable_violation(verdict.observed, verdict.interval[0], 2.0, error_rate=1e-3), 4)
    0.0138
    >>> round(verdict.detectable, 4)
    0.0138
    """
    found, least, limit = (number(n, v, infinite=True) for n, v in
                           (("observed", observed), ("low", low), ("allowed", allowed)))  # fmt: skip
    for name, rate, most in (("error_rate", error_rate, 0.5), ("power", power, 1.0)):
        if not 0 < number(name, rate) < most:
            raise ValueError(f"{name} = {rate!r}: expected a probability between 0 and {most:g}")
    if not limit or not np.isfinite([found, least, limit]).all():
        return float("inf")
    factor = float(1 + scipy.special.ndtri(power) / -scipy.special.ndtri(error_rate))
    return factor * (found / abs(limit) - least / abs(limit))


def judge_mean(
    values: ArrayLike, allowed: float, *, error_rate: float = 1e-3, least: float | None = None, looks: int = 1,
    envelope: Envelope | None = None,
) -> Verdict:  # fmt: skip
    """Judge the statement ``mean ≤ allowed``, or ``least ≤ mean ≤ allowed``.

    Parameters
    ----------
    values : array of shape (n,)
        Independent replicas.
    allowed : float
        The upper limit.
    error_rate : float
        The probability of a wrong verdict, shared by ``looks``.
    least : float, optional
        A lower limit: for a statement that says "attained".
    looks : int
        The number of looks planned; each gets ``error_rate / looks``, unless there is an envelope.
    envelope : Envelope, optional
        What is proved of replicas: the verdict then holds at any number of them and of looks
        (:func:`convergence.estimators.bounded_interval`), else asymptotically (:func:`~.estimators.mean_interval`).

    Returns
    -------
    Verdict

    Raises
    ------
    ValueError
        As these two.

    Examples
    --------
    >>> judge_mean([0.9, 1.1] * 50, 2.0).outcome, judge_mean([0.9, 1.1] * 50, 0.5).outcome
    ('confirmed', 'refuted')
    >>> judge_mean([0.9, 1.1] * 50, 1.0).outcome
    'undecided'

    What 1 in 10,000 replicas might show is not ruled out by a thousand:

    >>> judge_mean([0.5] * 1000, 0.6).outcome, judge_mean([0.5] * 1000, 0.6, envelope=Envelope(upper=5e3)).outcome
    ('confirmed', 'undecided')
    """
    x, limit = real("values", values), number("allowed", allowed, infinite=True)
    floor = -np.inf if least is None else number("least", least)
    rate, planned = number("error_rate", error_rate), whole("looks", looks, least=1, most=MOST_REPLICAS)
    known = None if envelope is None else instance("envelope", envelope, Envelope)
    enclosing = None if known is None or known.alike else known
    if enclosing is None:
        low, high = mean_interval(x, rate / planned)
    else:
        low, high = bounded_interval(
            x, rate, upper=enclosing.upper, excess=enclosing.excess, lower=enclosing.lower, lack=enclosing.lack
        )
    outcome: Outcome = "undecided"
    if low == np.inf:
        # Overflow is no evidence but against a limit so low that no sum over steps can have caused it.
        observed, outcome = np.inf, "refuted" if limit < OVERFLOW else "undecided"
    else:
        observed = float(x.mean()) if np.abs(x).max() < OVERFLOW else float((x / x.size).sum())
        # Where replicas have no spread and a limit is attained, rounding must not leave the verdict open.
        slack = 2 * ROUNDING * abs(observed)
        if low > limit or high < floor:
            outcome = "refuted"
        elif floor <= low + slack and high - slack <= limit and (limit < np.inf or least is not None):
            outcome = "confirmed"
        if outcome != "undecided" and enclosing is None and _carried_by_one(x):
            # What is known of the mean, if it is finite, is that one replica more or less would change it.
            outcome = "undecided"
    margin = _room(limit - observed if observed != limit else 0.0, limit)
    if least is not None:
        margin = min(margin, _room(observed - floor, floor) if floor else np.inf)
    return Verdict(
        outcome=outcome, observed=observed, allowed=limit, margin=margin, interval=(low, high),
        error_rate=rate, replicas=x.size, looks=planned, basis="envelope" if known else "asymptotic",
    )  # fmt: skip


def _carried_by_one(x: NDArray[np.float64]) -> bool:
    """Whether one replica has more than its part of Σ|x - mean|³; of replicas without spread, none has."""
    if not np.isfinite(x).all():
        return False
    scaled = x / (np.abs(x).max() or 1.0)
    away = np.abs(scaled - scaled.mean())
    most = float(away.max())
    return most > ROUNDING and ALONE * float(((away / most) ** 3).sum()) < 1


def _room(room: float, limit: float) -> float:
    """What is left, relative to the limit: all of it below an infinite one."""
    if not room:
        return 0.0
    if not limit or np.isinf(room):
        return float(np.copysign(np.inf, room)) if not np.isinf(limit) else 1.0
    return room / abs(limit)


def check_bound(trajectory: Trajectory, bound: Bound, *, error_rate: float = 1e-3) -> Verdict:
    """Judge whether a simulated trajectory obeys a bound.

    The mean over replicas of (1/T) Σ_{t<T} ‖∇f(x_t)‖² (f(x_T) - minimum for a bound of the function's value, the least
    for one of the least gradient) is compared with the bound's total.

    Parameters
    ----------
    trajectory : Trajectory
        From :func:`convergence.simulate`, with at least 8 replicas.
    bound : Bound
        For the same step and number of steps.
    error_rate : float
        The probability of a wrong verdict.

    Returns
    -------
    Verdict

    Raises
    ------
    ValueError
        If the bound was made for another step, horizon or momentum, or a constant step for varying ones, replicas left
        the problem's ``box``, or there are fewer than 8 of them.

    Examples
    --------
    >>> from convergence import problems, sharp_bound, simulate
    >>> run = simulate(problems.get("double_well", noise=1.0), step=0.3, steps=200, replicas=256, seed=1)
    >>> check_bound(run, sharp_bound(run.assumptions, 0.3, 200)).outcome
    'confirmed'
    """
    instance("trajectory", trajectory, Trajectory)
    instance("bound", bound, Bound)
    for name, have, need in (("step", trajectory.step, bound.step), ("steps", trajectory.steps, bound.steps)):
        if np.ndim(need) or not (abs(have / need - 1) <= 1e-12 or (name == "steps" and np.isinf(need))):
            raise ValueError(
                f"the bound has {name} = {need!r} and the trajectory {have!r}: make the bound for the same"
            )
    moved = [(x.momentum, x.nesterov and x.momentum > 0) for x in (bound, trajectory)]
    if moved[0] != moved[1]:
        said = [f"{mu:g}" + " of Nesterov" * nesterov for mu, nesterov in moved]
        raise ValueError(
            f"the bound is one of momentum {said[0]} and the trajectory has {said[1]}: use momentum_bound with "
            "the trajectory's"
        )
    if trajectory.scheduled and "weighted" not in bound.quantity:
        raise ValueError("the bound is one of a constant step and the trajectory's differ: use schedule_bound")
    if left := int(trajectory.left.sum()):
        raise ValueError(
            f"{left} of {trajectory.left.size} replicas left the box on which the problem's constants hold: enlarge "
            "the box, or use a smaller step, less noise or a start farther inside"
        )
    recorded = {
        "squared gradient norm": trajectory.mean_squared_gradient,
        "squared gradient norm, weighted by the steps": trajectory.mean_squared_gradient,
        "least squared gradient norm": trajectory.least_squared_gradient,
        "value above the infimum": trajectory.value - trajectory.minimum,
    }
    if bound.quantity not in recorded:
        raise ValueError(f"the bound is one of the {bound.quantity}: a trajectory records {', '.join(recorded)}")
    values, known = recorded[bound.quantity][-1], trajectory.envelope
    # The least squared gradient norm of a run is below their average; of values no envelope is proved.
    known = known if known and (known.alike or bound.quantity != "value above the infimum") else None
    return judge_mean(values, float(bound), error_rate=error_rate, envelope=known)


def sequential_verdict(
    draw: Callable[[int, int], NDArray[np.float64]],
    allowed: float,
    *,
    error_rate: float,
    first: int = 256,
    budget: int = 4096,
    least: float | None = None,
    envelope: Envelope | None = None,
) -> Verdict:
    """Add replicas while the verdict is undecided, doubling them up to a budget.

    The number of looks is fixed before the first one, and each may err with an equal share of the error rate: looking
    repeatedly does not raise the probability of a wrong verdict above it. With an envelope the bounds hold at all looks
    at once, and nothing is shared.

    Parameters
    ----------
    draw : callable
        ``draw(begin, end)`` returns the values of the replicas with these indices.
    allowed : float
        The upper limit of the mean.
    error_rate : float
        For the whole rule.
    first, budget : int
        Replicas at the first and at the last look.
    least : float, optional
        A lower limit of the mean.
    envelope : Envelope, optional
        As for :func:`judge_mean`.

    Returns
    -------
    Verdict
        The first that is decided, or the last.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.exponential(size=4096)
    >>> verdict = sequential_verdict(lambda a, b: x[a:b], 1.1, error_rate=1e-3)
    >>> verdict.outcome, verdict.replicas
    ('confirmed', 2048)
    """
    start, most = (whole(n, v, least=8, most=MOST_REPLICAS) for n, v in (("first", first), ("budget", budget)))
    if not callable(draw):
        raise TypeError(f"draw = {shown(draw)}: expected a function of two replicas' indices")
    looks = 1
    while start * 2 ** (looks - 1) < most:
        looks += 1
    values = np.empty(0)
    size = start
    while True:
        drawn = real("draw's result", draw(values.size, size))
        if drawn.shape != (size - values.size,):
            raise ValueError(f"draw returned shape {drawn.shape}: expected ({size - values.size},)")
        values = np.concatenate([values, drawn])
        verdict = judge_mean(values, allowed, error_rate=error_rate, least=least, looks=looks, envelope=envelope)
        if verdict.outcome != "undecided" or size >= most:
            return verdict
        size = min(2 * size, most)
