"""C3: the bias is real: no step size, schedule or horizon removes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, sqrt

from convergence import Assumptions, Trajectory, floor, problems, simulate
from rdml_theory.symbolic.sgd import constant_bias as symbolic
from verify.checks import at_least, at_most, curve, function_of, kernel_check, panel
from verify.claim import Claim, Context, Control, Curve, Found, Panel, Source, Statement, check

STEPS = (0.01, 0.03, 0.3, 1.0, 1.7, 1.97)
ZETA, RADIUS = 0.5, 2.0
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Subject:
    """The asserted limit of A²."""

    plateau: Expr = symbolic.PLATEAU

    def _at(self, formula: Any, h: float, steps: Any) -> Any:
        # One at a time: with the smallest steps 1 - h rounds to one, where only the limit can be evaluated.
        s = symbolic
        return function_of(formula, s.ratio, s.bias, s.distance, s.horizon)(1 - h, ZETA, RADIUS + ZETA, steps)

    def average(self, h: float, times: Array) -> Array:
        """A² of Λx²/2 with Λ = 1 and b = ζ, started at RADIUS, as stated."""
        return self._at(symbolic.plateau_target(self.plateau).right, h, times) + 0 * times

    def limit(self, h: float, steps: float) -> float:
        """The stated limit (at T, if it depends on T)."""
        return float(self._at(self.plateau, h, steps))


def statement(subject: Subject) -> Statement:
    s = symbolic
    closed = s.plateau_target(subject.plateau).relation()
    settles = s.settled_target(subject.plateau).relation()
    words = (
        "On Λ‖x‖²/2 with constant bias {b}, |b| = ζ, with {r} = 1-Λη and {u} = g_0 + b, for every |r| < 1, that is "
        "0 < Λη < 2: {closed}, and {settles}, so that A² tends to ζ²"
    )
    return Statement(words, {"b": s.bias, "r": s.ratio, "u": s.distance, "closed": closed, "settles": settles})


def _run(step: Any, steps: int, record: Any = 1) -> Trajectory:
    problem = problems.get(
        "quadratic", dim=1, radius=RADIUS, bias=ZETA**2, noise_model="gaussian", bias_model="constant"
    )
    return simulate(problem, step=step, steps=steps, replicas=1, seed=0, record=record)


@check("numeric", cost=1.0)
def runs(subject: Subject, context: Context) -> Found:
    """Do runs follow the closed form to one plateau at every step size?"""
    last = context.pick(quick=10_000, full=1_000_000)
    curves: list[Curve] = []
    ends: list[float] = []
    for number, h in enumerate(context.each(STEPS)):
        run = context.shared(_run, h, last, 40)
        times, measured = run.times, run.mean_squared_gradient[:, 0]
        stated = subject.average(h, times.astype(float))
        apart = float(np.abs(measured / stated - 1).max())
        # T additions, each with a rounding; the powers of r lose a few digits more.
        allowed = 16 * last * float(np.finfo(float).eps)
        yield at_most(f"|measured/stated - 1| up to T = {last}, h = {h:g}", apart, allowed, samples=len(times))
        ends.append(float(measured[-1]))
        off = abs(ends[-1] / subject.limit(h, last) - 1)
        rest = (4 * ZETA * (RADIUS + ZETA) / h + (RADIUS + ZETA) ** 2 / (h * (2 - h))) / (last * ZETA**2)
        yield at_most(f"|A²/plateau - 1| at T = {last}, h = {h:g}", off, rest)
        if number in (1, 2, 4):
            curves.append(curve(f"measured, $h$ = {h:g}", times, measured, style="markers", group=number // 2))
            curves.append(curve(f"stated, $h$ = {h:g}", times, stated, "statement", group=number // 2))
    curves.append(curve("$\\zeta^2$", (1, last), ZETA**2, "reference"))
    yield panel("constant bias, $f = \\Lambda x^2/2$", "steps $T$", "mean squared gradient norm", *curves)
    yield _plateaus(subject, last, ends)


def _plateaus(subject: Subject, last: int, ends: list[float]) -> Panel:
    """The plateau against the step size: flat, where a bias that followed the gradient would do worse beyond h = 1."""
    grid = np.geomspace(STEPS[0], STEPS[-1], 60)
    worst = Assumptions(smoothness=1.0, gap=0.0, noise=0.0, bias=ZETA**2)
    return panel(
        f"plateau, $T$ = {last}", "step size $h = \\Lambda\\eta$", "mean squared gradient norm",
        curve("measured $A^2$", STEPS, ends, style="markers"),
        curve("stated limit", grid, lambda h: subject.limit(float(h), last), "statement"),
        curve("worst bias: floor of the sharp bound", grid, floor(worst, grid).total, "reference"),
    )  # fmt: skip


SCHEDULES = {
    "h = 1/√(t+1)": lambda t: 1 / np.sqrt(t + 1.0),
    "h = 1.9/(1 + t/100)": lambda t: 1.9 / (1 + t / 100.0),
    "h = 1, halved every 1000 steps": lambda t: 0.5 ** (t // 1000),
}


def _scheduled(name: str, steps: int) -> float:
    """The squared gradient at the end of a run with falling step sizes."""
    return float(_run(SCHEDULES[name](np.arange(steps)), steps).squared_gradient[-1, 0])


@check("numeric", cost=1.0)
def schedules(subject: Subject, context: Context) -> Found:
    """Do falling step sizes end at the same plateau?"""
    steps = context.pick(quick=10_000, full=200_000)
    for name in SCHEDULES:
        end = context.shared(_scheduled, name, steps)
        # The smallest step a schedule makes; a limit that depended on the step would be another one.
        h = float(SCHEDULES[name](steps - 1.0))
        stated = subject.limit(h, steps)
        yield at_least(f"‖∇f‖² at the end, against the plateau, {name}", end, (1 - 1e-3) * stated)
        yield at_most(f"and not above, {name}", end, (1 + 1e-3) * stated)


CLAIM = Claim(
    id="C3",
    title="The bias is real",
    message="A constant bias leaves its square in the squared gradient at any step",
    meaning=(
        "In the long run a constant bias on a quadratic leaves a squared gradient of exactly its own squared size. "
        "Neither a smaller step nor a longer run changes that."
    ),
    matters="It answers whether the O(1) bias of the paper is real or an artefact of the proof: it is real.",
    direction="equality",
    subject=Subject(),
    statement=statement,
    assumptions=symbolic.ASSUMPTIONS,
    source=Source("this toolkit; that the term cannot vanish is known from Ajalloeian & Stich 2020", "2008.00051"),
    checks=(kernel_check(lambda subject: symbolic.bias_plateau(subject.plateau)), runs, schedules),
    controls=(
        Control("step", "proportional to the step size", Subject(symbolic.bias**2 * (1 - symbolic.ratio)), drawn=True),
        Control("horizon", "a plateau that falls with the horizon", Subject(symbolic.bias**2 / sqrt(symbolic.horizon))),
        Control("half", "half the plateau", Subject(symbolic.bias**2 / 2)),
    ),
    caption=(
        "Left: the average of the squared gradient falls to ζ² and stays there, the later the smaller the step. Right: "
        "where it ends does not depend on the step size; up to h = 1 it is the worst that any bias of this size does, "
        "the floor of the sharp bound."
    ),
    in_code="convergence.bias_horizon",
)
