"""E3: decreasing step sizes remove the noise's part of the plateau, and not the bias's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Integer

from convergence import Envelope, Trajectory, problems, simulate
from convergence.problems import SyntheticProblem
from convergence.problems.noise_models import tail_of
from convergence.tails import last_noise, square_envelope
from rdml_theory.symbolic.sgd import descent
from rdml_theory.symbolic.sgd.settling import DECREASING, decreasing_steps, decreasing_target
from verify.checks import close_to, curve, kernel_check, panel, plateau_function
from verify.claim import Claim, Context, Control, Found, Source, Statement, check

Array = NDArray[np.float64]

NOISE, BIAS = 0.02, 0.04
CLOSE = 0.05 * BIAS
"""How near the last squared norm must be to the stated limit; the last steps' noise adds half a percent."""

GONE = 0.1 * BIAS
"""What may be left after the same steps without bias, where the statement says 0."""

SCHEDULES: dict[str, Callable[[Array], Array]] = {
    "1/√t": lambda t: 1 / np.sqrt(t),
    "1/t^0.75": lambda t: t**-0.75,
    "1/t": lambda t: 4 / (t + 3),
}
"""Λη_t, for t = 1, 2, …"""

TEX = {"1/√t": "1/\\sqrt{t}", "1/t^0.75": "t^{-3/4}", "1/t": "4/(t+3)"}

PROBLEMS = ("quadratic", "double_well", "quadratic_cosine", "pl_sine")


def statement(value: Expr) -> Statement:
    words = "With a constant bias of size Z and decreasing steps, not summable, {limit}"
    return Statement(words, {"limit": decreasing_target(value).relation()})


def _problem(name: str, bias: float, noise: float = NOISE) -> SyntheticProblem:
    return problems.get(name, dim=2, noise=noise, bias=bias, noise_model="gaussian", bias_model="constant")


def _etas(problem: SyntheticProblem, schedule: str, steps: int) -> Array:
    return SCHEDULES[schedule](np.arange(1.0, steps + 1)) / problem.smoothness


def _run(name: str, schedule: str, bias: float, steps: int, seed: int, context: Context) -> Trajectory:
    problem = _problem(name, bias)
    etas = _etas(problem, schedule, steps)
    return simulate(problem, step=etas, steps=steps, replicas=1_024, seed=seed, record=40, progress=context.progress)


def _envelope(schedule: str, bias: float, steps: int) -> Envelope:
    """Of ``‖∇f(x_T)‖²`` on the quadratic with curvature 1: of a run without noise, and of what noise adds to x_T."""
    etas = _etas(_problem("quadratic", bias), schedule, steps)
    quiet = simulate(_problem("quadratic", bias, 0.0), step=etas, steps=steps, replicas=1, seed=0, record=1)
    added = last_noise(tail_of("gaussian", NOISE, 2), 1.0, etas, steps)
    return square_envelope(added, float(np.sqrt(quiet.squared_gradient[-1, 0])))


@check("monte-carlo", tests=len(PROBLEMS) + len(SCHEDULES), cost=3.0)
def schedules(value: Expr, context: Context) -> Found:
    """Does ‖∇f‖² end at the squared bias though the steps decrease?"""
    steps = context.pick(quick=4_000, full=40_000)
    stated = plateau_function(value)(0.0, NOISE, BIAS)

    def measured(name: str, schedule: str, bias: float) -> Trajectory:
        key = f"{name}, Λη = {schedule}, ζ² = {bias:g}"
        seed = context.seed_for(key)
        return context.shared(_run, name, schedule, bias, steps, seed, context)

    curves = []
    runs = [(name, "1/√t") for name in PROBLEMS] + [("quadratic", schedule) for schedule in list(SCHEDULES)[1:]]
    for number, (name, schedule) in enumerate(runs):
        run = measured(name, schedule, BIAS)
        label = f"‖∇f(x_T)‖², {name}, Λη = {schedule}, T = {steps}, σ² = {NOISE:g}, ζ² = {BIAS:g}"
        known = context.shared(_envelope, schedule, BIAS, steps) if name == "quadratic" else None
        values = run.squared_gradient[-1]
        yield close_to(label, values, stated, CLOSE, context.error_rate, absolute=True, envelope=known)
        if name == "quadratic":
            label = f"measured, $h_t = {TEX[schedule]}$"
            role, mean = "second" if number else "measured", run.squared_gradient.mean(axis=1)
            curves.append(curve(label, run.times, mean, role, group=number))
    curves.append(curve("stated limit", (1, steps), stated, "statement"))
    free = measured("quadratic", "1/√t", 0.0)
    mean = free.squared_gradient.mean(axis=1)
    label, gone = f"‖∇f(x_T)‖², quadratic without bias, T = {steps}", plateau_function(value)(0.0, NOISE, 0.0)
    known = context.shared(_envelope, "1/√t", 0.0, steps)
    last = free.squared_gradient[-1]
    yield close_to(label, last, gone, GONE, context.error_rate, absolute=True, envelope=known)
    curves.append(curve("the same without bias, $h_t = 1/\\sqrt{t}$", free.times, mean, "reference"))
    yield panel("decreasing steps", "steps $t$", "mean $\\|\\nabla f(x_t)\\|^2$", *curves)


CLAIM = Claim(
    id="E3",
    title="Decreasing steps",
    message="Decreasing steps remove the noise and not the bias",
    meaning=(
        "Where steps decrease to zero, but not so fast that they stop, the squared gradient ends at the squared bias. "
        "Without bias the same steps bring the gradient to zero."
    ),
    matters=(
        "A learning-rate schedule is therefore no remedy for the bias of mutual learning, whereas a schedule of its "
        "weight is."
    ),
    direction="equality",
    subject=descent.Z**2,
    statement=statement,
    assumptions=(
        *DECREASING,
        "that is, η_t → 0 if there is noise, and Σ η_t = ∞; t counts from where λη_t ≤ 1",
        "f is a positive definite quadratic; the experiments add nonconvex problems, inside a well",
    ),
    source=Source("this toolkit; the setting is that of Ajalloeian & Stich 2020", "2008.00051", own=True),
    checks=(kernel_check(decreasing_steps, cost=0.5), schedules),
    controls=(
        Control("removed", "decreasing steps remove the bias", Integer(0) * descent.Z),
        Control("half", "they halve the bias", descent.Z**2 / 4, drawn=True),
        Control("noise-stays", "the noise's variance stays", descent.Z**2 + descent.sigma**2),
    ),
    caption=(
        "The mean squared gradient norm under step sizes that decrease to zero ends at the squared bias; without bias "
        "the same steps bring it down to nothing."
    ),
    in_code="convergence.simulate",
)
