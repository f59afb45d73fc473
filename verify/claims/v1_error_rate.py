"""V1: the error rate of the verdicts themselves: whatever the replicas, with an envelope; with mild ones, without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special
from sympy import Le, Rational, Symbol

from convergence import Envelope, judge_mean, sequential_verdict
from convergence.estimators import mean_interval
from verify.checks import curve, panel
from verify.checks.comparisons import counted
from verify.claim import Claim, Comparison, Context, Control, Found, Outcome, Source, Statement, check

Array = NDArray[np.float64]
Draw = Callable[[int, int], Array]

RATE, ENCLOSED = 0.02, 0.2
"""δ at which the rules are tried, without an envelope and with one: large enough for errors to be counted."""

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


def one_look(draw: Draw, allowed: float, *, error_rate: float) -> Outcome:
    """The sequential rule as if each of its looks were the only one."""
    size = FIRST
    while True:
        outcome = judge_mean(draw(0, size), allowed, error_rate=error_rate).outcome
        if outcome != "undecided" or size >= BUDGET:
            return outcome
        size *= 2


def looks(draw: Draw, allowed: float, *, error_rate: float) -> Outcome:
    """The sequential rule of the claims, without an envelope."""
    return sequential_verdict(draw, allowed, error_rate=error_rate, first=FIRST, budget=BUDGET).outcome


def enclosed(draw: Draw, allowed: float, envelope: Envelope) -> Outcome:
    """The sequential rule of the claims, with an envelope."""
    return sequential_verdict(
        draw, allowed, error_rate=ENCLOSED, first=FIRST, budget=BUDGET // 2, envelope=envelope
    ).outcome


def unenclosed(draw: Draw, allowed: float, envelope: Envelope) -> Outcome:
    """The same without its envelope."""
    return sequential_verdict(draw, allowed, error_rate=ENCLOSED, first=FIRST, budget=BUDGET // 2).outcome


def cut_short(draw: Draw, allowed: float, envelope: Envelope) -> Outcome:
    """The same with an envelope that ends at the greatest replica."""
    most = float(draw(0, BUDGET // 2).max())
    return enclosed(draw, allowed, Envelope(upper=most))


@dataclass(frozen=True)
class Family:
    """A distribution of mean 1 on [0, ∞), with its envelope."""

    draw: Callable[[np.random.Generator, int], Array]
    envelope: Envelope


def _rare(chance: float) -> Family:
    """½, and a rare event that carries the other half of the mean."""
    high = 0.5 + 0.5 / chance
    return Family(lambda rng, n: np.where(rng.random(n) < chance, high, 0.5), Envelope(upper=high))


def _beyond(tail: Callable[[Array], Array], upper: float) -> Envelope:
    """Cut at a point, with what is beyond: ∫ P(X > x) dx."""
    x = upper * np.exp(np.linspace(0, 60, 60_001))
    return Envelope(upper=upper, excess=1.01 * float(np.trapezoid(tail(x), x)))


def _swings(rng: np.random.Generator, n: int) -> Array:
    """Mean 1 given the past, but with a spread that depends on it: large values come in runs."""
    x, spread = np.empty(n), 0.5
    for t, u in enumerate(rng.choice([-1.0, 1.0], n)):
        x[t] = 1 + spread * u
        spread = 0.95 if u > 0 else max(0.5 * spread, 0.01)
    return x


FAMILIES: dict[str, Family] = {
    "1 in 100 carries half the mean": _rare(1e-2),
    "1 in 10,000 carries half the mean": _rare(1e-4),
    "Pareto of exponent 1.5": Family(
        lambda rng, n: (rng.pareto(1.5, n) + 1) / 3, _beyond(lambda x: (3 * x) ** -1.5, 1e6)
    ),
    "lognormal, σ = 2": Family(
        lambda rng, n: rng.lognormal(-2.0, 2.0, n), _beyond(lambda x: special.ndtr(-(np.log(x) + 2) / 2), 1e3)
    ),
    "chi-square": Family(lambda rng, n: rng.chisquare(1, n), _beyond(lambda x: special.erfc(np.sqrt(x / 2)), 60.0)),
    "mixture of 0.9 and 1.9": Family(lambda rng, n: np.where(rng.random(n) < 0.1, 1.9, 0.9), Envelope(upper=1.9)),
    "spread that depends on the past": Family(_swings, Envelope(upper=1.95)),
}
SHORT_NAMES = ("1 in 100", "1 in 10,000", "Pareto", "lognormal", "chi-square", "mixture", "changing spread")


@dataclass(frozen=True)
class Subject:
    """How a mean is enclosed without an envelope, and how rules with repeated looks decide without and with one."""

    interval: Callable[[Array, float], tuple[float, float]] = mean_interval
    rule: Callable[..., Outcome] = looks
    with_envelope: Callable[[Draw, float, Envelope], Outcome] = enclosed


def statement(subject: Subject) -> Statement:
    rate, wrong = Symbol("delta", positive=True), Symbol("P", positive=True)
    bounds = "corrected for skewness" if subject.interval is mean_interval else "as Student's"
    shared = "that share {rate}" if subject.rule is looks else "at {rate} each"
    rule: Any = subject.with_envelope
    words = {enclosed: "with an envelope", unenclosed: "without an envelope"}
    return Statement(
        f"A verdict {words.get(rule, 'cut at the greatest replica')} at error rate {{rate}} is wrong with a "
        "probability {exact}, whatever the replicas' distribution and after any number of looks, tried at {fifth}; one "
        "without an envelope with a probability {bound}, by confidence bounds of 64 replicas with skewness 2.8, "
        f"{bounds}, and by up to four looks at 64 to 512 replicas, {shared}, tried at {{value}}",
        {"rate": rate, "exact": Le(wrong, rate), "fifth": Rational(1, 5), "bound": Le(wrong, ALLOWED * rate),
         "value": Rational(1, 50)},
    )  # fmt: skip


def _misses(
    interval: Callable[..., tuple[float, float]], replicas: int, trials: int, context: Context
) -> tuple[int, int]:
    """How often the lower bound is above the mean and the upper one below it, for χ²₁, whose mean is 1."""
    x = context.rng("chi-square", replicas).chisquare(1, size=(trials, replicas))
    ends = np.array([interval(row, RATE) for row in x])
    return int((ends[:, 0] > 1).sum()), int((ends[:, 1] < 1).sum())


def _outcomes(rule: Callable[..., Outcome], name: str, trials: int, rng: np.random.Generator) -> list[Outcome]:
    """What a rule says of "mean ≤ 1" of a family, again and again."""
    family = FAMILIES[name]
    return [rule(partial(_part, family.draw(rng, BUDGET // 2)), 1.0, family.envelope) for _ in range(trials)]


def _errors(
    outcomes: list[Outcome], trials: int, allowed: float, context: Context, of: str = ""
) -> tuple[Comparison, ...]:
    """Of "mean ≤ 1" where the mean is 1."""
    return tuple(
        counted(words + of, sum(o == outcome for o in outcomes), trials, allowed, context.error_rate)
        for outcome, words in (("refuted", "refuted though true"), ("confirmed", "confirmed though false by nothing"))
    )


@check("monte-carlo", id="distributions", tests=2 * len(FAMILIES), cost=3.0)
def any_distribution(subject: Subject, context: Context) -> Found:
    """Does the rule with an envelope err as rarely as it says, whatever the replicas?

    Every family has mean 1, which is the limit: to refute "mean ≤ 1" or to confirm "mean < 1" is wrong.
    """
    trials = context.pick(quick=250, full=10_000)
    wrong: list[float] = []
    for name in context.each(FAMILIES):
        outcomes = context.shared(_outcomes, subject.with_envelope, name, trials, context.rng("families", name))
        yield from _errors(outcomes, trials, ENCLOSED, context, f": {name}")
        wrong.append(max(outcomes.count("refuted"), outcomes.count("confirmed")) / trials)
    x = tuple(float(n) for n in range(1, len(wrong) + 1))
    most = int(np.argmax(wrong))
    yield panel(
        "with an envelope", "distribution of the replicas", "share of wrong verdicts",
        curve(
            "wrong verdicts", x, wrong, "statement", style="markers",
            contradicted=(x[most], wrong[most], ENCLOSED) if wrong[most] > ENCLOSED else None,
        ),
        curve("$\\delta$, stated at most", (x[0], x[-1]), ENCLOSED, "reference", group=0), log="",
        x_names=SHORT_NAMES,
    )  # fmt: skip


@check("monte-carlo", id="skewness", tests=2, cost=1)
def skewed(subject: Subject, context: Context) -> Found:
    """Do the bounds of a mean err as rarely as they say?"""
    trials = context.pick(quick=6000, full=60_000)
    low, high = context.shared(_misses, subject.interval, REPLICAS, trials, context)
    context.progress(0.6)
    sizes = (16, 32, 128)
    few = trials // 6
    shown = {n: context.shared(_misses, subject.interval, n, few, context)[1] / few for n in sizes}
    shown[REPLICAS] = high / trials
    x = tuple(float(n) for n in sorted(shown))
    figure = panel(
        "without one, skewed replicas ($\\chi^2_1$)", "replicas", "probability of error",
        curve(
            "upper bound below the mean", x, lambda n: shown[int(n)], "statement", style="both",
            contradicted=(float(REPLICAS), high / trials, ALLOWED * RATE) if high > ALLOWED * RATE * trials else None,
        ),
        curve(f"stated at most, at {REPLICAS} replicas", (x[0], x[-1]), ALLOWED * RATE, "reference", group=2),
        curve("$\\delta$", (x[0], x[-1]), RATE, "reference", group=0), log="x",
    )  # fmt: skip
    yield counted("lower bound above the mean", low, trials, ALLOWED * RATE, context.error_rate)
    yield counted("upper bound below the mean", high, trials, ALLOWED * RATE, context.error_rate)
    yield figure


def _repeated(rule: Callable[..., Outcome], trials: int, rng: np.random.Generator) -> list[Outcome]:
    draws = (rng.exponential(size=BUDGET) for _ in range(trials))
    return [rule(partial(_part, x), 1.0, error_rate=RATE) for x in draws]


@check("monte-carlo", id="looks", tests=2, cost=3)
def repeated(subject: Subject, context: Context) -> Found:
    """Does the rule that looks again err as rarely as it says?

    Exponential replicas with mean 1, which is the limit: to refute "mean ≤ 1" or to confirm "mean < 1" is wrong.
    """
    trials = context.pick(quick=4000, full=40_000)
    outcomes = context.shared(_repeated, subject.rule, trials, context.rng("looks"))
    yield from _errors(outcomes, trials, ALLOWED * RATE, context)


def _part(x: Array, begin: int, end: int) -> Array:
    return x[begin:end]


CLAIM = Claim(
    id="V1",
    title="Error rate of verdicts",
    message="With an envelope, verdicts err no more often than they say",
    meaning=(
        "Verdicts from simulations can err, and this measures how often. Where a proof bounds the tail of the "
        "replicas, they err no more often than stated, whatever the replicas are; elsewhere at most twice as often, "
        "with 64 skewed replicas."
    ),
    matters="Every statistical verdict of the report rests on these intervals.",
    direction="upper bound",
    subject=Subject(),
    statement=statement,
    assumptions=(
        "with an envelope, E max(X - u, 0) ≤ e: replicas ≥ 0 with one mean, each given those before it",
        "without: independent replicas with a finite third moment; the looks are planned beforehand",
    ),
    source=Source(
        "With an envelope, Waudby-Smith & Ramdas 2024; without, Hall 1992, J. R. Statist. Soc. B 54: the rates at "
        "these sizes are this toolkit's measurements",
        "2010.09686",
    ),
    checks=(any_distribution, skewed, repeated),
    controls=(
        Control(
            "no-skewness", "Student's bounds, not corrected for skewness", Subject(interval=plain_interval), drawn=True
        ),
        Control("no-looks", "every look at the whole error rate", Subject(rule=one_look)),
        Control("no-envelope", "judged as if nothing rare could happen", Subject(with_envelope=unenclosed), drawn=True),
        Control("cut-short", "an envelope that ends at the greatest replica", Subject(with_envelope=cut_short)),
    ),
    caption=(
        "Left: how often verdicts with an envelope are wrong, for replicas of which 1 in 100 or 1 in 10,000 carries "
        "half the mean, for Pareto, lognormal, chi-square and mixed ones, and for ones whose spread depends on the "
        "past. Right: how often, without an envelope, the upper confidence bound of a mean lies below "
        "it, for skewed replicas: nearly the error rate from some 64 replicas on, three times that without the "
        "correction for skewness."
    ),
    in_code="convergence.check_bound",
)
