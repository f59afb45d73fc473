"""C10: with constant steps the iterates neither come to rest nor leave the neighbourhood of stationary points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sympy import Expr, lambdify

from convergence import judge_mean, problems, scope_bound, stationary_law
from convergence.problems import SyntheticProblem
from rdml_theory.symbolic.kernel import Proof
from rdml_theory.symbolic.sgd import descent, scope
from rdml_theory.symbolic.sgd.scope import OFFSET, RADIUS, VARIANCE
from verify.checks.comparisons import at_most, from_verdict
from verify.checks.proofs import kernel_check
from verify.claim import Check, Claim, Finding, Source, Statement, Twin
from verify.context import Context
from verify.records import Comparison, Curve, Panel

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

    @cached_property
    def _formulas(self) -> tuple[Any, Any, Any]:
        names = (scope.curvature, descent.eta, descent.noise, descent.bias, scope.perturbation)
        return tuple(lambdify(names, e, "numpy") for e in (self.offset, self.variance, self.radius))  # type: ignore[return-value]

    def law(self, curvature: float, step: float, noise: float, bias: float) -> tuple[float, float]:
        """Offset and variance for σ² and ζ²."""
        values = (curvature, step, np.sqrt(noise), np.sqrt(bias), 0.0)
        return float(self._formulas[0](*values)), float(self._formulas[1](*values))

    def squared_radius(self, curvature: float, step: float, noise: float, bias: float, perturbation: float) -> float:
        """R²."""
        return float(self._formulas[2](curvature, step, np.sqrt(noise), np.sqrt(bias), perturbation)) ** 2


def derivation(subject: Subject) -> Proof:
    return scope.bounded_scope(subject.offset, subject.variance, subject.radius)


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


def implementation(subject: Subject, context: Context) -> Finding:
    """The functions that users call against the formulas."""
    rng = context.rng("points")
    count = context.pick(quick=300, full=2_000)
    worst = 0.0
    for _ in range(count):
        curvature, noise, bias, perturbation = np.exp(rng.uniform(-2, 2, 4))
        step = rng.uniform(0.01, 1.99) / curvature
        law = stationary_law(curvature, step, noise=noise, bias=bias)
        offset, variance = subject.law(curvature, step, noise, bias)
        square = scope_bound(curvature, step, noise=noise, bias=bias, perturbation=perturbation)
        stated = subject.squared_radius(curvature, step, noise, bias, perturbation)
        worst = max(worst, abs(law.offset / offset - 1), abs(law.variance / variance - 1), abs(square / stated - 1))
    return Finding(comparisons=(at_most("relative difference from the formula", worst, 1e-12, samples=count),))


@dataclass(frozen=True)
class _Run:
    """x_T; for each replica the mean of the last ‖x_{t+1} - x_t‖²; sup_t of the mean of ‖x_t‖², and of all |x_i|."""

    last: Array
    moved: Array
    greatest: float
    farthest: float


def _run(
    problem: SyntheticProblem, step: float, steps: int, replicas: int, rng: np.random.Generator, start: Array
) -> _Run:
    """SGD with Gaussian noise and a constant bias along the first axis."""
    x = np.tile(start, (replicas, 1))
    bias = np.zeros(problem.dim)
    bias[0] = np.sqrt(problem.bias)
    deviation = np.sqrt(problem.noise / problem.dim)
    greatest = farthest = 0.0
    moved = np.zeros(replicas)
    for t in range(steps):
        g = problem.gradient(x) + bias
        if deviation:
            g += deviation * rng.standard_normal(x.shape)
        x = x - step * g
        greatest = max(greatest, float(np.einsum("ij,ij->", x, x)) / replicas)
        farthest = max(farthest, float(x.max()), -float(x.min()))
        if t >= steps - MOVES:
            moved += step**2 * np.einsum("ij,ij->i", g, g) / MOVES
    return _Run(x, moved, greatest, farthest)


def _settled(step: float) -> int:
    return round(8 / step)


def quadratic(subject: Subject, context: Context) -> Finding:
    """Mean and variance on a quadratic, over a range of steps, and the exponent of the variance in the step."""
    comparisons: list[Comparison] = []
    noise, bias, dim = 1.0, 0.04, 4
    replicas = context.pick(quick=8_192, full=32_768)
    logs, means, law = [], [], []
    for step in STEPS:
        problem = problems.get(
            "quadratic", dim=dim, noise=noise, bias=bias, noise_model="gaussian", bias_model="constant"
        )
        rng = context.rng("quadratic", step)
        run = context.shared(
            f"{step}", lambda p=problem, s=step, r=rng: _run(p, s, _settled(s), replicas, r, np.full(dim, 0.0))
        )
        x = run.last
        offset, variance = subject.law(1.0, step, noise, bias)
        mean = np.zeros(dim)
        mean[0] = -offset
        verdict = judge_mean(
            -x[:, 0], offset * (1 + WIDE), error_rate=context.error_rate, least=offset * (1 - WIDE)
        )  # fmt: skip
        comparisons.append(from_verdict(f"-E x along the bias on the quadratic, η = {step:g}", verdict, attained=True))
        squares = ((x - mean) ** 2).sum(axis=1)
        stated = variance
        # After 8/η steps, e^-8 of the start's offset is left, which is 0.2 here.
        verdict = judge_mean(
            squares, stated * (1 + 2 * WIDE), error_rate=context.error_rate, least=stated * (1 - 2 * WIDE)
        )
        comparisons.append(from_verdict(f"E‖x - E x‖² on the quadratic, η = {step:g}", verdict, attained=True))
        verdict = judge_mean(-run.moved, -(step**2) * noise * (1 - WIDE), error_rate=context.error_rate)
        comparisons.append(from_verdict(f"-E‖x_(t+1) - x_t‖² against -η²σ² (within 5%), η = {step:g}", verdict))
        logs.append(np.log(squares.reshape(-1, GROUP).mean(axis=1)))
        law = [np.sort(x[:, 0]), norm(-offset, np.sqrt(variance / dim))]
        means.append((float(squares.mean()), float(stated)))
    axis = np.log(STEPS) - np.mean(np.log(STEPS))
    slopes = (axis[:, None] * np.array(logs)).sum(axis=0) / (axis**2).sum()
    expected = float((axis * np.log([m for _, m in means])).sum() / (axis**2).sum())
    verdict = judge_mean(slopes, expected + 2 * WIDE, error_rate=context.error_rate, least=expected - 2 * WIDE)
    comparisons.append(from_verdict("exponent of the variance in η", verdict, attained=True))
    panel = Panel(
        title="quadratic", x_label="step $\\eta$", y_label="spread $(E\\|x - E x\\|^2)^{1/2}$", x_scale="log",
        y_scale="log",
        curves=(
            Curve(label="measured", role="measured", style="markers", x=STEPS,
                  y=tuple(float(np.sqrt(a)) for a, _ in means)),
            Curve(label="stationary law", role="statement", x=STEPS, y=tuple(float(np.sqrt(b)) for _, b in means)),
        ),
    )  # fmt: skip
    return Finding(comparisons=tuple(comparisons), panels=(panel, _law_panel(*law)))


def _law_panel(measured: Array, stated: Any) -> Panel:
    """The distribution of the iterates along the bias at the largest step."""
    shares = np.linspace(0.001, 0.999, 60)
    grid = np.linspace(measured[0], measured[-1], 120)
    return Panel(
        title=f"quadratic, $\\eta$ = {STEPS[-1]:g}", x_label="$x_1$, along the bias",
        y_label="share of the iterates below",
        curves=(
            Curve(label="measured", role="measured", style="markers", x=tuple(np.quantile(measured, shares)),
                  y=tuple(shares)),
            Curve(label="normal, with the stated mean and variance", role="statement", x=tuple(grid),
                  y=tuple(stated.cdf(grid))),
        ),
    )  # fmt: skip


def basin(subject: Subject, context: Context) -> Finding:
    """A nonconvex problem: near a minimum of curvature λ the law holds to first order, and nobody leaves."""
    comparisons: list[Comparison] = []
    replicas = context.pick(quick=8_192, full=65_536)
    sizes, offsets = [], []
    for zeta in BIASES:
        problem = problems.get("quadratic_cosine", dim=2, curvature=0.1, amplitude=0.9, frequency=1.0, bias=zeta**2)
        x = _run(problem, 0.2, 400, 1, context.rng("unused"), np.zeros(2)).last
        offset, _ = subject.law(problem.smoothness, 0.2, 0.0, zeta**2)
        sizes.append(float(np.linalg.norm(x[0])))
        offsets.append(offset)
        comparisons.append(
            at_most(f"|offset/stated - 1| without noise, ζ = {zeta:g}", abs(sizes[-1] / offset - 1), WIDE)
        )
    exponent = float(np.polyfit(np.log(BIASES), np.log(sizes), 1)[0])
    comparisons.append(at_most("|exponent of the offset in ζ - 1|", abs(exponent - 1), WIDE))
    problem = problems.get("quadratic_cosine", dim=2, curvature=0.1, amplitude=0.9, frequency=1.0, noise=0.5, bias=0.04)
    spreads, laws, farthest = [], [], []
    for step in BASIN:
        rng = context.rng("basin", step)
        run = context.shared(f"{step}", lambda s=step, r=rng: _run(problem, s, _settled(s), replicas, r, np.zeros(2)))
        x = run.last
        _, variance = subject.law(problem.smoothness, step, problem.noise, problem.bias)
        squares = ((x - x.mean(axis=0)) ** 2).sum(axis=1) * replicas / (replicas - 1)
        verdict = judge_mean(
            squares, variance * (1 + CURVED), error_rate=context.error_rate, least=variance * (1 - CURVED)
        )
        comparisons.append(from_verdict(f"E‖x - E x‖² in the basin, η = {step:g}", verdict, attained=True))
        comparisons.append(at_most(f"greatest |x_i| of all times, η = {step:g}", run.farthest, EDGE, samples=replicas))
        spreads.append(float(np.sqrt(squares.mean())))
        laws.append(float(np.sqrt(variance)))
        farthest.append(run.farthest)
    noisy = Panel(
        title="nonconvex, with noise", x_label="step $\\eta$", y_label="distance from the minimum", x_scale="log",
        y_scale="log",
        curves=(
            Curve(label="spread $(E\\|x - E x\\|^2)^{1/2}$", role="measured", style="markers", x=BASIN,
                  y=tuple(spreads)),
            Curve(label="stationary law", role="statement", x=BASIN, y=tuple(laws)),
            Curve(label="greatest $|x_i|$ of all times and replicas", role="second", style="both", x=BASIN,
                  y=tuple(farthest)),
            Curve(label="the basin's edge", role="reference", x=(BASIN[0], BASIN[-1]), y=(EDGE, EDGE)),
        ),
    )  # fmt: skip
    panel = Panel(
        title="nonconvex, without noise", x_label="bias $\\zeta$", y_label="distance from the minimum", x_scale="log",
        y_scale="log",
        curves=(
            Curve(label="measured", role="measured", style="markers", x=BIASES, y=tuple(sizes)),
            Curve(label="stationary law", role="statement", x=BIASES, y=tuple(offsets)),
        ),
    )  # fmt: skip
    return Finding(comparisons=tuple(comparisons), panels=(panel, noisy))


def region(subject: Subject, context: Context) -> Finding:
    """A quadratic plus cosines, with many minima: E‖x_t‖² never exceeds max(‖x₀‖², R²), and ‖∇f‖² is rarely large."""
    comparisons: list[Comparison] = []
    curvature, amplitude, frequency, dim = 0.2, 1.0, 1.5, 3
    perturbation = amplitude * frequency * np.sqrt(dim)
    for step, noise, bias, origin in ((0.3, 0.5, 0.04, 3.2), (0.05, 0.0, 0.04, 3.2), (0.6, 4.0, 1.0, 0.5)):
        problem = problems.get(
            "quadratic_cosine",
            dim=dim,
            curvature=curvature,
            amplitude=amplitude,
            frequency=frequency,
            noise=noise,
            bias=bias,
        )
        start = np.full(dim, origin)
        rng = context.rng("region", step)
        run = context.shared(f"{step}", lambda p=problem, s=step, r=rng, x0=start: _run(p, s, 600, 256, r, x0))
        square = subject.squared_radius(curvature, step, noise, bias, perturbation)
        allowed = max(float((start**2).sum()), square)
        name = f"sup_t of the mean of ‖x_t‖², η = {step:g}, σ² = {noise:g}, ζ² = {bias:g}"
        # The mean of 256 replicas stays far from R² if at all below it.
        comparisons.append(at_most(name, run.greatest, allowed, samples=256))
    return Finding(comparisons=tuple(comparisons))


CLAIM = Claim(
    id="C10",
    title="Bounded scope",
    direction="tight",
    subject=Subject(OFFSET, VARIANCE, RADIUS),
    statement=statement,
    derivation=derivation,
    assumptions=scope.ASSUMPTIONS,
    source=Source("this toolkit; \"a bounded scope\" is the conclusion of Huang et al. 2023", "2209.05732", own=True),
    checks=(
        kernel_check(derivation),
        Check("implementation", "numeric", "Do the users' functions compute the formulas?", implementation, cost=0.5),
        Check("quadratic", "monte-carlo", "Do mean, variance, its exponent in η, and motion agree with the law?",
              quadratic, tests=3 * len(STEPS) + 1, cost=2.0),
        Check("basin", "monte-carlo", "Does the law describe a basin of a nonconvex problem, which is not left?", basin,
              tests=len(BASIN), cost=1.0),
        Check("region", "numeric", "Do the iterates of a problem with many minima stay within R?", region, cost=1.0),
    ),
    twins=(
        Twin("variance", "a variance that falls like η²", Subject(OFFSET, VARIANCE * descent.eta, RADIUS), drawn=True),
        Twin("at-rest", "half the variance", Subject(OFFSET, VARIANCE / 2, RADIUS)),
        Twin("offset", "an offset that falls with η", Subject(OFFSET * descent.eta, VARIANCE, RADIUS)),
        Twin("no-perturbation", "the perturbation M dropped from R",
             Subject(OFFSET, VARIANCE, RADIUS.subs(scope.perturbation, 0))),
    ),
    caption=(
        "On a quadratic the iterates spread around their mean like the root of the step, and never come to rest; their "
        "law is normal, and the bias shifts it. In a well of a nonconvex problem they end without noise at a distance "
        "from the minimum that is proportional to the bias; with noise they spread by the law, and none of them ever "
        "comes near the edge of the basin."
    ),
)  # fmt: skip
