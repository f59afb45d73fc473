"""V3: how far a single run lies above its mean, which verdicts on means rest on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from sympy import Expr, Rational, log

from convergence import (
    Assumptions,
    SubGaussian,
    Trajectory,
    high_probability_bound,
    momentum_bound,
    problems,
    schedule_bound,
    sharp_bound,
    simulate,
)
from convergence.tails import scaled_run
from rdml_theory.symbolic.kernel import Proof
from rdml_theory.symbolic.sgd import descent, setting
from rdml_theory.symbolic.sgd import lagged_runs as lagged
from rdml_theory.symbolic.sgd import single_runs as symbolic
from rdml_theory.symbolic.sgd.settling import STEPS
from verify.checks import curve, evaluate, implementation_check, kernel_check, panel
from verify.checks.comparisons import counted
from verify.claim import Claim, Context, Control, Found, Source, Statement, check

RATES = (0.5, 0.1, 0.01)
"""δ."""

RUNS: tuple[tuple[str, dict[str, Any], float, int, str, dict[str, Any]], ...] = (
    ("quadratic", {"dim": 1}, 1.0, 200, "gaussian", {}),
    ("quadratic", {"dim": 10}, 0.1, 1000, "gaussian", {}),
    ("quadratic", {"dim": 3}, 0.5, 8, "gaussian", {}),
    ("quadratic", {"dim": 4}, 1.5, 500, "rademacher", {}),
    ("quadratic", {"dim": 2}, 0.5, 50, "orthogonal", {}),
    ("quadratic_cosine", {"dim": 10, "amplitude": 0.4, "frequency": 1.5}, 0.3, 1000, "gaussian", {}),
    ("rastrigin", {"dim": 4}, 0.9, 500, "rademacher", {}),
    ("quadratic", {"dim": 2}, 0.005, 500, "gaussian", {"momentum": 0.9}),
    ("quadratic", {"dim": 2}, 0.008, 500, "rademacher", {"momentum": 0.9, "nesterov": True}),
    ("quadratic", {"dim": 2}, 1.0, 200, "gaussian", {"decreasing": True}),
)
"""Problem, its parameters, h, T and noise, of variance 1, and how it moves; the bias is the worst of square ¼. Steps
that decrease are h/√(t+1)."""


@dataclass(frozen=True)
class Subject:
    """The bound of a single run, and what it is asserted to solve, for a proxy of the noise."""

    bound: Callable[..., float]
    words: str = "A²(δ) of `high_probability_bound`"
    level: Expr = symbolic.LEVEL
    proxy: Expr = symbolic.PROXY


def proved(at: Assumptions, step: Any, steps: float, tail: SubGaussian, failure: float, **method: Any) -> float:
    """The bound that users get."""
    return float(high_probability_bound(at, step, steps, tail=tail, failure=failure, **method))


def certain(at: Assumptions, step: Any, steps: float, tail: SubGaussian, failure: float, **method: Any) -> float:
    """The bound of the mean, as if every run kept it."""
    if np.ndim(step):
        return float(schedule_bound(at, step))
    return float(momentum_bound(at, step, steps, **method) if method else sharp_bound(at, step, steps))


def without_doubt(at: Assumptions, step: Any, steps: float, tail: SubGaussian, failure: float, **method: Any) -> float:
    """Without the term log(1/δ)."""
    return proved(at, step, steps, tail, 1 - 1e-12, **method)


def half_proxy(at: Assumptions, step: Any, steps: float, tail: SubGaussian, failure: float, **method: Any) -> float:
    """Half of s²."""
    return proved(at, step, steps, SubGaussian(proxy=tail.proxy / 2, rank=tail.rank), failure, **method)


_LAGGED = set(lagged.ASSUMPTIONS) - set(symbolic.ASSUMPTIONS)


def _proved(subject: Subject) -> Proof:
    return Proof((*symbolic.single_runs(subject.level, subject.proxy).theorems, *lagged.lagged_runs().theorems))


_CHANCE = log(1 / symbolic.failure) / symbolic.trade - symbolic.rank * symbolic.over_the_steps(log(symbolic.ROOMS)) / (
    2 * symbolic.trade
)
_OF_THE_MEAN = (
    symbolic.LEVEL
    - _CHANCE
    + symbolic.rank * symbolic.PROXY * symbolic.over_the_steps(setting.smoothness * STEPS**2) / 2
)
"""What the mean's bound solves, with the mean square of the noise for what chance may add."""


def statement(subject: Subject) -> Statement:
    words = (
        "In a run of SGD with sub-Gaussian noise, the mean of ‖∇f(x_t)‖² is at least {square} with a probability "
        "{bound}, where I_T is 1 in such a run and 0 in others. With a constant step this holds for every {trade} and "
        "every {level} beyond the vertex of a quadratic with {constant}. Where the steps vary, it holds of the mean "
        "weighted by them, with the sums of the steps' terms; and with momentum, where {momentum}.\n"
        "The least such {square} is " + subject.words + ", tried at δ = {half}, {tenth} and {hundredth}"
    )
    return Statement(
        words,
        {
            "square": symbolic.level**2, "level": symbolic.level, "trade": symbolic.trade,
            "bound": symbolic.bound_target().relation(),
            "constant": symbolic.constant_target().relation(), "momentum": lagged.enough_target().relation(),
            "half": Rational(1, 2), "tenth": Rational(1, 10), "hundredth": Rational(1, 100),
        },
    )  # fmt: skip


def _run(
    name: str, parameters: dict[str, Any], step: Any, steps: int, model: str, replicas: int, seed: int,
    method: dict[str, Any],
) -> Any:  # fmt: skip
    """The trajectory and the noise's tail, from steps in units of 1/Λ."""
    worst = "against_gradient" if np.max(step) <= 1 else "along_gradient"
    f = problems.get(name, noise=1.0, bias=0.25, noise_model=model, bias_model=worst, **parameters)
    run = simulate(f, step=step / f.smoothness, steps=steps, replicas=replicas, seed=seed, record=1, **method)
    return run, f.tail


def _point(rng: np.random.Generator) -> tuple[Assumptions, SubGaussian, int, float]:
    """A run's constants, its noise, T and δ."""
    lam, gap, noise, bias = np.exp(rng.uniform(-2, 2, 4))
    at, rank = Assumptions(smoothness=lam, gap=gap, noise=noise, bias=bias), int(rng.integers(1, 9))
    return at, SubGaussian(proxy=noise / rank, rank=rank), round(10 ** rng.uniform(0.5, 3)), 10 ** rng.uniform(-9, -0.2)


def _numbers(at: Assumptions, tail: SubGaussian, steps: int, failure: float, level: float) -> dict[Any, Any]:
    """What both theorems know."""
    t = symbolic
    return {
        setting.smoothness: at.smoothness, descent.gap: at.gap, descent.horizon: steps, t.rank: tail.rank,
        t.failure: failure, t.level: level, t.deviation: np.sqrt(tail.proxy), descent.zeta: np.sqrt(at.bias),
    }  # fmt: skip


def _evaluated(subject: Subject, rng: np.random.Generator) -> list[tuple[float, float]]:
    """B of the function that users call, in what both theorems ask of it: equal at the parameters that are taken."""
    at, tail, steps, failure = _point(rng)
    step = rng.uniform(0.05, 1.95) / at.smoothness
    level, share = _solved(at, step, steps, tail, failure)
    h, t = at.smoothness * step, symbolic
    numbers = _numbers(at, tail, steps, failure, level)
    proxy = evaluate(subject.proxy, numbers)
    # λη is what the constant step calls λ. The bias is shared out evenly, and a is the greatest.
    trade = share * (2 - h) / tail.proxy / step
    room = 1 - trade * step * h * proxy
    even = abs(1 - h) / room
    numbers |= {
        t.trade: trade, STEPS: step, t.ROOMS: room, t.SHARES: even, t.cross: even,
        t.least: 1 - h / 2 - trade * step * proxy / (2 * room) * (1 - h) ** 2,
    }  # fmt: skip
    enough = symbolic.enough_target(subject.level)
    mu, nesterov, steps = rng.uniform(0.05, 0.98), bool(rng.integers(2)), round(10 ** rng.uniform(0.5, 3))
    lagging = _with_momentum(at, tail, failure, mu, nesterov, steps, rng.uniform(0.05, 1.9))
    return [(evaluate(enough.right, numbers), evaluate(enough.left, numbers)), *lagging]


@cache
def _solved(at: Assumptions, step: float, steps: int, tail: SubGaussian, failure: float) -> tuple[float, float]:
    """A(δ) of the function that users call, and the share at which it is found: the same for every subject."""
    level = np.sqrt(high_probability_bound(at, step, steps, tail=tail, failure=failure).total)
    return float(level), float(scaled_run(at, step, steps, tail)[0].best(-np.log(failure)))


@cache
def _with_momentum(
    at: Assumptions, tail: SubGaussian, failure: float, mu: float, nesterov: bool, steps: int, share: float
) -> list[tuple[float, float]]:
    """The same with momentum, ``share`` of what the step must stay below; no subject plays a part in it."""
    lag = mu**2 if nesterov else mu
    delay = 1 + 2 * lag * (1 - mu ** ((steps - 1) / 2)) / (1 - mu)
    gamma = share / (at.smoothness * delay)
    step, method = gamma * (1 - mu), {"momentum": mu, "nesterov": nesterov}
    total = high_probability_bound(at, step, steps, tail=tail, failure=failure, **method).total
    run: Any = scaled_run(at, step, steps, tail, **method)[0]
    curve, split, paid, odds, more = run.parameters(run.best(-np.log(failure)))
    numbers = _numbers(at, tail, steps, failure, np.sqrt(total)) | {
        lagged.gamma: gamma, descent.mu: mu, symbolic.trade: curve / ((1 + odds) * tail.proxy), lagged.split: split,
        lagged.paid: at.smoothness * gamma * paid, lagged.slowness: 1 / (1 - mu), lagged.lag: lag, lagged.scale: 0.0,
    }  # fmt: skip
    for told in (lagged.ROOM, lagged.THETA, lagged.WIDTH):
        numbers[told.left] = evaluate(told.right, numbers)
    # The width so far is that without ν, of which ν's part is ε.
    widest = more * numbers[lagged.width]
    per_scale = evaluate(lagged.WIDTH.right, numbers | {lagged.scale: 1.0}) - numbers[lagged.width]
    numbers |= {lagged.scale: (widest - numbers[lagged.width]) / per_scale, lagged.width: widest}
    return [(evaluate(a.right, numbers), evaluate(a.left, numbers)) for a in (lagged.enough_target(), lagged.PAID)]


@check("monte-carlo", tests=len(RUNS) * len(RATES), cost=2.5)
def runs(subject: Subject, context: Context) -> Found:
    """Do as few runs exceed the bound as it says?"""
    figure: tuple[Trajectory, SubGaussian] | None = None
    replicas = context.pick(quick=4096, full=65_536)
    for name, parameters, h, steps, model, how in context.each(RUNS):
        words = "".join(f", {key}" if value is True else f", {key} {value:g}" for key, value in how.items())
        label = f"{name} in {parameters['dim']} dimensions, h = {h:g}{words}, T = {steps}, {model} noise"
        step = h / np.sqrt(np.arange(1.0, steps + 1)) if "decreasing" in how else h
        method = {key: value for key, value in how.items() if key != "decreasing"}
        seed = context.seed_for(label)
        run, tail = context.shared(_run, name, parameters, step, steps, model, replicas, seed, method)
        figure = figure or (run, tail)
        values = run.mean_squared_gradient[-1]
        steady = step / run.assumptions.smoothness
        for rate in RATES:
            above = int((values > subject.bound(run.assumptions, steady, steps, tail, rate, **method)).sum())
            yield counted(f"{label}, δ = {rate:g}", above, replicas, rate, context.error_rate)
    assert figure is not None
    yield _panel(subject, *figure)


def _panel(subject: Subject, run: Trajectory, tail: SubGaussian) -> Any:
    """The part of the runs that lies above a level, and what is stated of it."""
    values = np.sort(run.mean_squared_gradient[-1])[::-1]
    ranks = np.unique(np.geomspace(1, len(values), 60).astype(int))
    rates = np.geomspace(1 / len(values), 0.9, 40)
    stated = [subject.bound(run.assumptions, run.step, run.steps, tail, float(rate)) for rate in rates]
    return panel(
        "runs above a level: quadratic, $h$ = 1, $T$ = 200", "probability", "mean of $\\|\\nabla f(x_t)\\|^2$ in a run",
        curve("measured", ranks / len(values), values[ranks - 1]),
        curve("stated", rates, stated, "statement"),
        curve("bound of the mean", (rates[0], rates[-1]), certain(run.assumptions, run.step, run.steps, tail, 0.5),
              "reference"), log="x",
    )  # fmt: skip


CLAIM = Claim(
    id="V3",
    title="Tails of single runs",
    message="A single run obeys a bound, except with a stated probability",
    meaning=(
        "The other bounds limit the mean over many runs; this one limits each run, except with a probability as small "
        "as you like. Over a long time it comes down to the same floor."
    ),
    matters="It bounds what a simulation has not seen, so that verdicts on means hold at any number of runs.",
    direction="upper bound",
    subject=Subject(proved),
    statement=statement,
    assumptions=(
        *symbolic.ASSUMPTIONS,
        f"for a constant step: {'; '.join(symbolic.CONSTANT_ASSUMPTIONS)}",
        f"with a heavy ball, for any φ, κ and ν: {'; '.join(sorted(_LAGGED))}",
        f"with Nesterov's momentum: the same with {'; '.join(lagged.NESTEROV)}, where the heavy ball has c = μ",
        "there is such a B where 0 < Λη_t < 2, or with momentum Λη(1+2cℓ)/(1-μ) < 2 and η_t = η",
        "sub-Gaussian: E[exp⟨v, n_t⟩ | past] ≤ exp(s²‖v‖²/2) for every v, in a subspace of r dimensions; P is E[I_T]",
    ),
    source=Source(
        "this toolkit; the exponential moment of ‖n‖² is that of Hsu, Kakade & Zhang 2012 (arXiv 1110.2842), the "
        "method that of Liu et al. 2023", "2302.14843", own=True,
    ),
    checks=(
        kernel_check(_proved, cost=4.0),
        implementation_check(_evaluated, quick=60, full=1_000, allowed=1e-9),
        runs,
    ),
    controls=(
        Control("certain", "the bound of the mean, as if every run kept it",
                Subject(certain, "the sharp bound of the mean", level=_OF_THE_MEAN), drawn=True),
        Control("no-doubt", "without the term log(1/δ)",
                Subject(without_doubt, "A²(1)", level=symbolic.LEVEL.subs(symbolic.failure, 1))),
        Control("half-proxy", "half the variance proxy",
                Subject(half_proxy, "A²(δ) at s²/2", proxy=symbolic.PROXY / 2)),
    ),
    caption=(
        "The share of the runs that lie above each level is smaller than stated. The bound of the mean is exceeded by "
        "nearly half of the runs."
    ),
    in_code="convergence.high_probability_bound",
)  # fmt: skip
