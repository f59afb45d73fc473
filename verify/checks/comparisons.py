"""Comparisons: a number, what is allowed, and the outcome."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from convergence import Envelope, Verdict, judge_mean
from verify.records import Comparison, Outcome

__all__ = ["Worst", "at_least", "at_most", "close_to", "counted", "cut_mean", "from_verdict", "holds", "judged"]

T = TypeVar("T")


def _margin(room: float, allowed: float) -> float:
    return room / abs(allowed) if allowed else math.copysign(math.inf, room) if room else 0.0


def at_most(
    name: str, observed: float, allowed: float, *, samples: int | None = None, where: str | None = None
) -> Comparison:
    """A deterministic comparison: confirmed if ``observed ≤ allowed``, else (and for NaN) refuted.

    >>> at_most("error", 1e-16, 1e-12).outcome, at_most("error", float("nan"), 1.0).outcome
    ('confirmed', 'refuted')
    """
    ok = observed <= allowed
    return Comparison(
        name=name, outcome="confirmed" if ok else "refuted", relation="≤", observed=observed, allowed=allowed,
        margin=_margin(allowed - observed, allowed), samples=samples, where=where,
    )  # fmt: skip


def at_least(
    name: str, observed: float, allowed: float, *, samples: int | None = None, where: str | None = None
) -> Comparison:
    """A deterministic comparison: confirmed if ``observed ≥ allowed``, else refuted."""
    ok = observed >= allowed
    return Comparison(
        name=name, outcome="confirmed" if ok else "refuted", relation="≥", observed=observed, allowed=allowed,
        margin=_margin(observed - allowed, allowed), samples=samples, where=where,
    )  # fmt: skip


class Worst:
    """The greatest error of each kind that a loop meets, with what is allowed; an error that is no number is the worst.

    A loop over ``worst.over(points)`` ends where a point refutes, so that negative controls take few.

    >>> worst = Worst()
    >>> for error in (1e-17, 3e-16, 0.0):
    ...     worst.see("rounding", error, 1e-15)
    >>> [(c.name, c.observed, c.samples, c.outcome) for c in worst.comparisons()]
    [('rounding', 3e-16, 3, 'confirmed')]
    >>> for error in worst.over((0.0, 1e-9, 1e-6)):
    ...     worst.see("rounding", error, 1e-15)
    >>> [(c.observed, c.samples, c.outcome) for c in worst.comparisons()]
    [(1e-09, 5, 'refuted')]
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, float, int]] = {}

    def see(self, name: str, error: float, allowed: float) -> None:
        """Count an error; all of one name are against the same."""
        worst, before, count = self._seen.get(name, (0.0, allowed, 0))
        if allowed != before:
            raise ValueError(f"allowed = {allowed!r}: {name!r} was seen with {before!r}; give it a name of its own")
        # In this order the comparison with NaN is false either way, and NaN stays.
        greatest = worst if error <= worst or math.isnan(worst) else error
        self._seen[name] = (float(greatest), allowed, count + 1)

    def over(self, points: Iterable[T]) -> Iterator[T]:
        """The points of a loop, up to the first whose error is more than is allowed: no later one takes that back."""
        for point in points:
            if any(not worst <= allowed for worst, allowed, _ in self._seen.values()):
                return
            yield point

    def comparisons(self) -> tuple[Comparison, ...]:
        """One for each kind, in the order in which they were met."""
        return tuple(at_most(name, worst, allowed, samples=n) for name, (worst, allowed, n) in self._seen.items())


def holds(name: str, decision: bool | None) -> Comparison:
    """A yes, a no, or no answer."""
    outcome = "undecided" if decision is None else "confirmed" if decision else "refuted"
    return Comparison(name=name, outcome=outcome, relation="holds")


def counted(name: str, events: int, trials: int, allowed: float, error_rate: float) -> Comparison:
    """A probability from its count, by the exact (Clopper-Pearson) bounds, against what is allowed.

    >>> counted("errors", 3, 1000, 0.1, 1e-6).outcome, counted("errors", 300, 1000, 0.1, 1e-6).outcome
    ('confirmed', 'refuted')
    """
    low = float(special.betaincinv(events, trials - events + 1, error_rate)) if events else 0.0
    high = float(special.betaincinv(events + 1, trials - events, 1 - error_rate)) if events < trials else 1.0
    outcome: Outcome = "confirmed" if high <= allowed else "refuted" if low > allowed else "undecided"
    observed = events / trials
    return Comparison(
        name=name, outcome=outcome, relation="≤", observed=observed, allowed=allowed,
        margin=(allowed - observed) / allowed, interval=(low, high), error_rate=error_rate, samples=trials,
    )  # fmt: skip


def from_verdict(name: str, verdict: Verdict, *, attained: bool = False) -> Comparison:
    """The record of a statistical verdict."""
    return Comparison(
        name=name, outcome=verdict.outcome, relation="∈" if attained else "≤", observed=verdict.observed,
        allowed=verdict.allowed, margin=verdict.margin, interval=verdict.interval, error_rate=verdict.error_rate,
        basis=verdict.basis, samples=verdict.replicas,
    )  # fmt: skip


def judged(
    name: str, values: NDArray[np.float64], allowed: float, error_rate: float, *, envelope: Envelope,
    least: float | None = None,
) -> Comparison:  # fmt: skip
    """The mean of replicas against what is allowed at most, and at least; where no envelope is proved they are cut."""
    verdict = judge_mean(values, allowed, error_rate=error_rate, least=least, envelope=envelope)
    return from_verdict(name, verdict, attained=least is not None)


def cut_mean(
    name: str, values: NDArray[np.float64], ends: tuple[float, float], allowed: float, error_rate: float, *,
    least: float | None = None,
) -> Comparison:  # fmt: skip
    """The mean of replicas that are cut to an interval: exact at any number of them, whatever their tail.

    What lies beyond counts as the end it is beyond. Of how much that carries in the mean nothing is said: the
    comparison is one of the mean of the clipped replicas, and says so.

    >>> x = np.random.default_rng(0).standard_cauchy(4096)
    >>> found = cut_mean("a mean", x, (-10.0, 10.0), 1.0, 1e-6, least=-1.0)
    >>> found.name, found.outcome, found.basis, found.cut
    ('a mean, replicas clipped to [-10, 10]', 'confirmed', 'cut', 250)
    """
    low, high = ends
    if not low < high:
        raise ValueError(f"ends = {ends!r}: expected an interval; replicas clipped to a point all agree")
    interval = ", ".join(f"{round(end, 9) + 0.0:.4g}" for end in ends)
    found = judged(
        f"{name}, replicas clipped to [{interval}]", np.clip(values, low, high), allowed, error_rate, least=least,
        envelope=Envelope(lower=low, upper=high),
    )  # fmt: skip
    return found.model_copy(update={"basis": "cut", "cut": int(((values < low) | (values > high)).sum())})


CUT = 10.0
"""How far from what is stated replicas are cut, over the tolerance: the bounds are then 160/n of it apart, or more."""


def close_to(
    name: str, values: NDArray[np.float64], stated: float, tolerance: float, error_rate: float, *,
    absolute: bool = False, envelope: Envelope | None = None, cut: float = CUT,
) -> Comparison:  # fmt: skip
    """The mean of replicas within a tolerance of what is stated, relative or absolute; cut if there is no envelope."""
    room = tolerance if absolute else tolerance * stated
    if envelope is not None:
        return judged(name, values, stated + room, error_rate, least=stated - room, envelope=envelope)
    low = stated - cut * room
    ends = low if absolute else max(low, 0.0), stated + cut * room
    return cut_mean(name, values, ends, stated + room, error_rate, least=stated - room)
