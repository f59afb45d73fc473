"""C10: with constant steps the iterates neither come to rest nor leave the neighbourhood of stationary points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from sympy import Expr

from convergence import Envelope, Observed, problems, scope_bound, simulate, stationary_law
from convergence.problems import SyntheticProblem
from convergence.problems.noise_models import tail_of
from convergence.tails import last_noise, line_envelope, reach_envelope, square_envelope
from rdml_theory.symbolic.sgd import descent, scope
from rdml_theory.symbolic.sgd.scope import OFFSET, RADIUS, VARIANCE
from verify.checks import (
    at_most,
    close_to,
    curve,
    exponents,
    function_of,
    implementation_check,
    judged,
    kernel_check,
    panel,
)
from verify.checks.comparisons import counted
from verify.claim import Claim, Context, Control, Found, Panel, Source, Statement, check

Array = NDArray[np.float64]

STEPS = (0.01, 0.02, 0.04, 0.08)
"""η, with curvature 1."""

BIASES = (0.05, 0.1, 0.2)
"""ζ."""

GROUP = 16
"""Replicas are grouped, and each group gives one exponent: they are independent, and judged as such."""

MOVES = 32
"""How many of the last moves are averaged."""

BASIN, EDGE = (0.02, 0.04, 0.08), 3.4
"""η in the basin of 0 of a quadratic plus cosines, which ends where the derivative vanishes again, beyond this."""

SELDOM = 0.01
"""The probability with which a run may ever come to the basin's edge."""

PILOT = 1024
"""Replicas that give the mean in the basin, about which the others are measured."""

TIMES = (1, 4, 16, 60, 200, 600)
"""At which E‖x_t‖² is judged."""

WIDE = 0.05
"""How far a measured exponent's or variance's confidence interval may reach from what is stated, relatively."""


CURVED = 0.15
"""The same in the basin, whose curvature falls by two percent over the spread, with room for the interval."""


@dataclass(frozen=True)
class Subject:
    """Offset and variance on a quadratic, and the radius near one."""

    offset: Expr
    variance: Expr
    radius: Expr

    def _at(self, curvature: float, step: float, noise: float, bias: float, perturbation: float) -> Any:
        names = (scope.curvature, descent.eta, descent.sigma, descent.Z, scope.perturbation)
        law = function_of((self.offset, self.variance, self.radius), *names)
        return law(curvature, step, np.sqrt(noise), np.sqrt(bias), perturbation)

    def law(self, curvature: float, step: float, noise: float, bias: float) -> tuple[float, float]:
        """Offset and variance for σ² and ζ²."""
        offset, variance, _ = self._at(curvature, step, noise, bias, 0.0)
        return float(offset), float(variance)

    def squared_radius(self, curvature: float, step: float, noise: float, bias: float, perturbation: float) -> float:
        """R²."""
        return float(self._at(curvature, step, noise, bias, perturbation)[2]) ** 2


def statement(subject: Subject) -> Statement:
    words = (
        "Where ‖∇f(x) - λx‖ ≤ M: {stays} for every t and every P with {far} and E‖x_0‖² ≤ P²; on a quadratic a run "
        "keeps the norm R. On {lam}‖x‖²/2 with a constant bias c: {size}, E x_t tends to -c/λ, and {law}. And "
        "E‖x_(t+1) - x_t‖² ≥ η²E‖n_t‖²"
    )
    formulas = {
        "lam": scope.curvature, "stays": scope.stays_target().relation(), "far": scope.far(subject.radius).relation(),
        "size": scope.offset_target(subject.offset).relation(), "law": scope.law_of(subject.variance).relation(),
    }  # fmt: skip
    return Statement(words, formulas)


def _compared(subject: Subject, rng: np.random.Generator) -> list[tuple[float, float]]:
    curvature, noise, bias, perturbation = np.exp(rng.uniform(-2, 2, 4))
    step = rng.uniform(0.01, 1.99) / curvature
    law = stationary_law(curvature, step, noise=noise, bias=bias)
    offset, variance = subject.law(curvature, step, noise, bias)
    square = scope_bound(curvature, step, noise=noise, bias=bias, perturbation=perturbation)
    stated = subject.squared_radius(curvature, step, noise, bias, perturbation)
    return [(law.offset, offset), (law.variance, variance), (square, stated)]


@dataclass(frozen=True)
class _Run:
    """Of each replica x_T, the mean of the last ‖x_{t+1} - x_t‖², ‖x_t‖² at some times, and the greatest |x_i|."""

    last: Array
    moved: Array
    squares: dict[int, Array]
    farthest: Array


def _run(problem: SyntheticProblem, step: float, steps: int, replicas: int, seed: int, start: Array) -> _Run:
    """SGD, observed at every step."""
    squares = {t: np.zeros(replicas) for t in TIMES}
    moved, farthest = np.zeros(replicas), np.zeros(replicas)

    def keep(seen: Observed) -> None:
        if seen.t in squares:
            squares[seen.t][seen.replicas] = np.einsum("ij,ij->i", seen.x, seen.x)
        farthest[seen.replicas] = reduce(np.maximum, np.abs(seen.x).T, farthest[seen.replicas])
        if seen.sample is not None and seen.t >= steps - MOVES:
            moved[seen.replicas] += step**2 * np.einsum("ij,ij->i", seen.sample, seen.sample) / MOVES

    run = simulate(problem, step=step, steps=steps, replicas=replicas, seed=seed, start=start, record=1, observe=keep)
    return _Run(run.final, moved, squares, farthest)


def _settled(step: float) -> int:
    return round(8 / step)


@check("monte-carlo", tests=3 * len(STEPS) + 1, cost=2.0)
def quadratic(subject: Subject, context: Context) -> Found:
    """Do mean, variance, its exponent in η, and motion agree with the law?"""
    noise, bias, dim, rate = 1.0, 0.04, 4, context.error_rate
    replicas = context.pick(quick=8_192, full=32_768)
    problem = problems.get("quadratic", dim=dim, noise=noise, bias=bias, noise_model="gaussian", bias_model="constant")
    levels, stated, law = [], [], []
    for step in STEPS:
        seed = context.seed_for("quadratic", step)
        run = context.shared(_run, problem, step, _settled(step), replicas, seed, np.zeros(dim))
        offset, variance = subject.law(1.0, step, noise, bias)
        mean = np.r_[-offset, np.zeros(dim - 1)]
        squares = ((run.last - mean) ** 2).sum(axis=1)
        # After 8/η steps, e^-8 of the start's offset is left, which is 0.2 here.
        name = f"on the quadratic, η = {step:g}"
        reached = np.sqrt(bias) * (1 - (1 - step) ** _settled(step))
        tail, moves = last_noise(tail_of("gaussian", noise, dim), 1.0, step, _settled(step)), step**2 * noise
        known = line_envelope(tail.proxy, reached)
        yield close_to(f"-E x along the bias {name}", -run.last[:, 0], offset, WIDE, rate, envelope=known)
        known = square_envelope(tail, abs(offset - reached))
        yield close_to(f"E‖x - E x‖² {name}", squares, variance, 2 * WIDE, rate, envelope=known)
        # Moves are cut where they are long: that takes from a mean which must not be small.
        known, name = (
            Envelope(lower=-2 * moves, upper=0.0),
            f"-E‖x_(t+1) - x_t‖² against -η²σ² (within 5%), η = {step:g}",
        )
        yield judged(name, np.maximum(-run.moved, -2 * moves), -moves * (1 - WIDE), rate, envelope=known)
        levels.append(squares.reshape(-1, GROUP).mean(axis=1))
        stated.append(variance)
        law = [np.sort(run.last[:, 0]), -offset, np.sqrt(variance / dim)]
    expected = float(exponents(STEPS, stated))
    slopes = exponents(STEPS, levels)
    yield close_to("exponent of the variance in η", slopes, expected, 2 * WIDE, rate, absolute=True)
    spread = [np.sqrt(level.mean()) for level in levels]
    yield panel(
        "quadratic", "step $\\eta$", "spread $(E\\|x - E x\\|^2)^{1/2}$",
        curve("measured", STEPS, spread, style="markers"),
        curve("stationary law", STEPS, np.sqrt(stated), "statement"),
    )  # fmt: skip
    yield _law_panel(*law)


def _law_panel(measured: Array, mean: float, deviation: float) -> Panel:
    """The distribution of the iterates along the bias at the largest step."""
    shares, grid = np.linspace(0.001, 0.999, 60), np.linspace(measured[0], measured[-1], 120)
    return panel(
        f"quadratic, $\\eta$ = {STEPS[-1]:g}", "$x_1$, along the bias", "share of the iterates below",
        curve("measured", np.quantile(measured, shares), shares, style="markers"),
        curve("normal, with the stated mean and variance", grid, ndtr((grid - mean) / deviation), "statement"), log="",
    )  # fmt: skip


@check("monte-carlo", tests=2 * len(BASIN), cost=1.0)
def basin(subject: Subject, context: Context) -> Found:
    """Does the law describe a basin of a nonconvex problem, which is not left?"""
    replicas = context.pick(quick=8_192, full=65_536)
    well = {"dim": 2, "curvature": 0.1, "amplitude": 0.9, "frequency": 1.0}
    sizes, offsets = [], []
    for zeta in BIASES:
        problem = problems.get("quadratic_cosine", bias=zeta**2, **well)
        end = simulate(problem, step=0.2, steps=400, replicas=1, seed=0, start=[0.0, 0.0], record=1).final[0]
        offset, _ = subject.law(problem.smoothness, 0.2, 0.0, zeta**2)
        sizes.append(float(np.linalg.norm(end)))
        offsets.append(offset)
        yield at_most(f"|offset/stated - 1| without noise, ζ = {zeta:g}", abs(sizes[-1] / offset - 1), WIDE)
    yield at_most("|exponent of the offset in ζ - 1|", abs(float(exponents(BIASES, sizes)) - 1), WIDE)
    problem = problems.get("quadratic_cosine", noise=0.5, bias=0.04, **well)
    spreads, laws, farthest = [], [], []
    for step in BASIN:
        seed = context.seed_for("basin", step)
        run = context.shared(_run, problem, step, _settled(step), replicas, seed, np.zeros(2))
        _, variance = subject.law(problem.smoothness, step, problem.noise, problem.bias)
        # About the mean of others: replicas stay independent.
        squares = ((run.last[PILOT:] - run.last[:PILOT].mean(axis=0)) ** 2).sum(axis=1)
        name = f"E‖x - E x‖² in the basin, η = {step:g}"
        yield close_to(name, squares, variance, CURVED, context.error_rate, cut=60.0)
        name = f"share of runs that ever come to the basin's edge, η = {step:g}"
        yield counted(name, int((run.farthest > EDGE).sum()), replicas, SELDOM, context.error_rate)
        spreads.append(np.sqrt(squares.mean()))
        laws.append(np.sqrt(variance))
        farthest.append(run.farthest.max())
    noisy = panel(
        "nonconvex, with noise", "step $\\eta$", "distance from the minimum",
        curve("spread $(E\\|x - E x\\|^2)^{1/2}$", BASIN, spreads, style="markers"),
        curve("stationary law", BASIN, laws, "statement"),
        curve("greatest $|x_i|$ of all times and replicas", BASIN, farthest, "second", style="both"),
        curve("the basin's edge", BASIN, EDGE, "reference"),
    )  # fmt: skip
    yield panel(
        "nonconvex, without noise", "bias $\\zeta$", "distance from the minimum",
        curve("measured", BIASES, sizes, style="markers"), curve("stationary law", BIASES, offsets, "statement"),
    )  # fmt: skip
    yield noisy


@check("monte-carlo", tests=2 * len(TIMES), cost=1.0)
def region(subject: Subject, context: Context) -> Found:
    """Do the iterates of a problem with many minima stay within R?

    E‖x_t‖² does not exceed max(‖x₀‖², R²).
    """
    hills = {"dim": 3, "curvature": 0.2, "amplitude": 1.0, "frequency": 1.5}
    perturbation = hills["amplitude"] * hills["frequency"] * np.sqrt(hills["dim"])
    for step, noise, bias, origin in ((0.3, 0.5, 0.04, 3.2), (0.05, 0.0, 0.04, 3.2), (0.6, 4.0, 1.0, 0.5)):
        problem = problems.get("quadratic_cosine", noise=noise, bias=bias, **hills)
        start, replicas = np.full(3, origin), 256 if noise else 1
        seed = context.seed_for("region", step)
        run = context.shared(_run, problem, step, 600, replicas, seed, start)
        square = subject.squared_radius(hills["curvature"], step, noise, bias, perturbation)
        allowed = max(float((start**2).sum()), square)
        for t, squares in run.squares.items():
            name = f"E‖x_t‖² at t = {t}, η = {step:g}, σ² = {noise:g}, ζ² = {bias:g}"
            if noise:
                known = reach_envelope(
                    tail_of("gaussian", noise, 3), hills["curvature"], step, t, start=float(np.linalg.norm(start)),
                    pull=perturbation + float(np.sqrt(bias)),
                )  # fmt: skip
                yield judged(name, squares, allowed, context.error_rate, envelope=known)
            else:
                yield at_most(name, float(squares[0]), allowed)


CLAIM = Claim(
    id="C10",
    title="Bounded scope",
    message="Iterates stay within a ball and never come to rest",
    meaning=(
        "Where a function is close to a quadratic, iterates stay in the mean square within a ball of a stated radius, "
        "and on a quadratic their stationary law is known in full. The noise keeps them moving: each step is at least "
        "as long, in the mean square, as its noise."
    ),
    matters=(
        "The paper concludes that parameters converge within a bounded scope, and this says how large that scope "
        "is."
    ),
    direction="tight",
    subject=Subject(OFFSET, VARIANCE, RADIUS),
    statement=statement,
    assumptions=scope.ASSUMPTIONS,
    source=Source("this toolkit; \"a bounded scope\" is the conclusion of Huang et al. 2023", "2209.05732", own=True),
    checks=(
        kernel_check(lambda subject: scope.bounded_scope(subject.offset, subject.variance, subject.radius)),
        implementation_check(_compared, quick=300, full=2_000, allowed=1e-12),
        quadratic, basin, region,
    ),
    controls=(
        Control(
            "variance", "a variance that falls like η²",
            Subject(OFFSET, VARIANCE * descent.eta, RADIUS), drawn=True,
        ),
        Control("at-rest", "half the variance", Subject(OFFSET, VARIANCE / 2, RADIUS)),
        Control("offset", "an offset that falls with η", Subject(OFFSET * descent.eta, VARIANCE, RADIUS)),
        Control("no-perturbation", "the perturbation M dropped from R",
             Subject(OFFSET, VARIANCE, RADIUS.subs(scope.perturbation, 0))),
    ),
    caption=(
        "On a quadratic the iterates spread around their mean like the root of the step, and never come to rest; their "
        "law is normal, and the bias shifts it. In a well of a nonconvex problem they end without noise at a distance "
        "from the minimum that is proportional to the bias; with noise they spread by the law, and none of them ever "
        "comes near the edge of the basin."
    ),
    in_code="convergence.scope_bound",
)  # fmt: skip
