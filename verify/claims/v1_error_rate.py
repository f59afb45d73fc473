"""V1: the error rate of the verdicts themselves, with skewed replicas and with repeated looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import special
from sympy import Le, Rational, Symbol

from convergence import judge_mean, sequential_verdict
from convergence.estimators import mean_interval
from verify.checks import curve, panel
from verify.claim import Check, Claim, Control, Finding, Source, Statement
from verify.context import Context
from verify.records import Comparison, Outcome

Array = NDArray[np.float64]

RATE = 0.02
"""δ at which the rule is tried: large enough for errors to be counted."""

ALLOWED = 2
"""The rule errs with probability δ for many replicas; at 64 of χ²₁, whose skewness is 2.8, with 1.3 δ, and without the
correction with 3 δ."""

REPLICAS = 64
FIRST, BUDGET = 64, 512


def plain_interval(values: Array, error_rate: float) -> tuple[float, float]:
    """Student's bounds without the correction for skewness."""
    n, mean = len(values), float(values.mean())
    width = float(special.stdtrit(n - 1, 1 - error_rate)) * float(values.std(ddof=1)) / np.sqrt(n)
    return mean - width, mean + width


def one_look(draw: Callable[[int, int], Array], allowed: float, *, error_rate: float) -> Outcome:
    """The sequential rule as if each of its looks were the only one."""
    size = FIRST
    while True:
        outcome = judge_mean(draw(0, size), allowed, error_rate=error_rate).outcome
        if outcome != "undecided" or size >= BUDGET:
            return outcome
        size *= 2


def looks(draw: Callable[[int, int], Array], allowed: float, *, error_rate: float) -> Outcome:
    """The sequential rule of the claims."""
    return sequential_verdict(draw, allowed, error_rate=error_rate, first=FIRST, budget=BUDGET).outcome


@dataclass(frozen=True)
class Subject:
    """How a mean is enclosed and how a rule with repeated looks decides."""

    interval: Callable[[Array, float], tuple[float, float]] = mean_interval
    rule: Callable[..., Outcome] = looks


def statement(subject: Subject) -> Statement:
    rate, wrong = Symbol("delta", positive=True), Symbol("P", positive=True)
    bounds = "corrected for skewness" if subject.interval is mean_interval else "as Student's"
    shared = "that share {rate}" if subject.rule is looks else "at {rate} each"
    return Statement(
        "A verdict at error rate {rate} is wrong with a probability {bound}: by confidence bounds of 64 replicas with "
        f"skewness 2.8, {bounds}, and by up to four looks at 64 to 512 replicas, {shared}, tried at {{value}}",
        {"rate": rate, "bound": Le(wrong, ALLOWED * rate), "value": Rational(1, 50)},
    )


def counted(name: str, errors: int, trials: int, context: Context) -> Comparison:
    """A probability from its count, by the exact (Clopper-Pearson) bounds."""
    rate, allowed = context.error_rate, ALLOWED * RATE
    low = float(special.betaincinv(errors, trials - errors + 1, rate)) if errors else 0.0
    high = float(special.betaincinv(errors + 1, trials - errors, 1 - rate)) if errors < trials else 1.0
    outcome: Outcome = "confirmed" if high <= allowed else "refuted" if low > allowed else "undecided"
    observed = errors / trials
    return Comparison(
        name=name, outcome=outcome, relation="≤", observed=observed, allowed=allowed,
        margin=(allowed - observed) / allowed, interval=(low, high), error_rate=rate, samples=trials,
    )  # fmt: skip


def _misses(subject: Subject, context: Context, replicas: int, trials: int) -> tuple[int, int]:
    """How often the lower bound is above the mean and the upper one below it, for χ²₁, whose mean is 1."""
    x = context.rng("chi-square", replicas).chisquare(1, size=(trials, replicas))
    ends = np.array([subject.interval(row, RATE) for row in x])
    return int((ends[:, 0] > 1).sum()), int((ends[:, 1] < 1).sum())


def skewed(subject: Subject, context: Context) -> Finding:
    trials = context.pick(quick=6000, full=60_000)
    low, high = _misses(subject, context, REPLICAS, trials)
    context.progress(0.6)
    sizes = (16, 32, 128)
    shown = {n: _misses(subject, context, n, trials // 6)[1] / (trials // 6) for n in sizes} | {REPLICAS: high / trials}
    x = tuple(float(n) for n in sorted(shown))
    figure = panel(
        "skewed replicas ($\\chi^2_1$)", "replicas", "probability of error",
        curve("upper bound below the mean", x, lambda n: shown[int(n)], style="both"),
        curve("stated, at 64 replicas", (x[0], x[-1]), ALLOWED * RATE, "statement"),
        curve("$\\delta$", (x[0], x[-1]), RATE, "reference"), log="x",
    )  # fmt: skip
    return Finding(
        comparisons=(
            counted("lower bound above the mean", low, trials, context),
            counted("upper bound below the mean", high, trials, context),
        ),
        panels=(figure,),
    )


def repeated(subject: Subject, context: Context) -> Finding:
    """Exponential replicas with mean 1, which is the limit: to refute "mean ≤ 1" or to confirm "mean < 1" is wrong."""
    trials = context.pick(quick=4000, full=40_000)
    rng = context.rng("looks")
    outcomes: list[Outcome] = []
    for number in range(trials):
        x = rng.exponential(size=BUDGET)
        outcomes.append(subject.rule(partial(_part, x), 1.0, error_rate=RATE))
        if number % 100 == 0:
            context.progress(number / trials)
    return Finding(
        comparisons=(
            counted("refuted though true", outcomes.count("refuted"), trials, context),
            counted("confirmed though false by nothing", outcomes.count("confirmed"), trials, context),
        )
    )


def _part(x: Array, begin: int, end: int) -> Array:
    return x[begin:end]


CLAIM = Claim(
    id="V1",
    title="Error rate of verdicts",
    meaning=(
        "Verdicts from simulations can err, and this measures how often: with 64 skewed replicas at most at twice "
        "the stated rate. Without the correction for skewness the intervals fail about three times as often as "
        "stated."
    ),
    matters="Every statistical verdict of the report rests on these intervals.",
    direction="upper bound",
    subject=Subject(),
    statement=statement,
    assumptions=("independent replicas with a finite third moment; the looks are planned beforehand",),
    source=Source("Hall 1992, J. R. Statist. Soc. B 54; the rates at these sizes are this toolkit's measurements"),
    checks=(
        Check("skewness", "monte-carlo", "Do the bounds of a mean err as rarely as they say?", skewed, tests=2, cost=3),
        Check("looks", "monte-carlo", "Does the rule that looks again err as rarely as it says?", repeated, tests=2,
              cost=3),
    ),
    controls=(
        Control("no-skewness", "Student's bounds, not corrected for skewness", Subject(interval=plain_interval),
             drawn=True),
        Control("no-looks", "every look at the whole error rate", Subject(rule=one_look)),
    ),
    caption=(
        "How often the upper confidence bound of a mean lies below it, for skewed replicas: nearly the error rate from "
        "some 64 replicas on, three times that without the correction for skewness."
    ),
)  # fmt: skip
