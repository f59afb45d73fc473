"""N2: the condition on the step along a path: a gradient step lowers the loss just when ηΛ_t is below 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Expr, Rational

from rdml_theory.symbolic.sgd.descent import eta
from rdml_theory.symbolic.sgd.step_condition import ASSUMPTIONS, CHANGE, NORM, change_target, curvature, step_condition
from verify.checks import at_least, at_most, curve, function_of, kernel_check, panel
from verify.checks.networks import SETTING, Setting
from verify.claim import Claim, Context, Control, Curve, Found, Source, Statement, check

if TYPE_CHECKING:
    from verify.checks.training import TrainingPath

LARGE = 1.0
"""A step with which the path runs into the edge of stability, where sharpness hovers about 2/η."""

USUAL = 0.1


def statement(right_side: Expr) -> Statement:
    return Statement(
        "A full-gradient step changes the loss f of a network by {law}, Λ_t the mean curvature along the step; so it "
        "lowers the loss just when ηΛ_t is below the root of the right side",
        {"law": change_target(right_side).relation()},
    )


def _predicted(right_side: Expr) -> Callable[..., Any]:
    return function_of(right_side, eta, curvature, NORM)


ALONE = Setting(beta=0.0, students=1)


def _alone(context: Context, steps: int, times: list[int]) -> TrainingPath:
    from verify.checks.training import follow

    start = ALONE.start(context.seed_for("start"))
    return follow(ALONE, start, step=LARGE, steps=steps, times=times, keep=times, progress=context.progress)


def _curvatures(path: TrainingPath) -> np.ndarray:
    """Λ_t from Hessians, which know nothing of the losses."""
    return np.array([here.curvature(0, -path.step * here.base(0)) for here in path.kept.values()])


@check("training", cost=5.0)
def edge(right_side: Expr, context: Context) -> Found:
    """Does Λ_t from Hessians predict up and down with a large step?"""
    steps = context.pick(quick=250, full=2000)
    chosen = list(range(0, steps, context.pick(quick=3, full=1)))
    path = context.shared(_alone, context, steps, chosen)
    hessian = context.shared(_curvatures, path)
    norm = np.sqrt(path.base[:, 0])
    change = (path.after - path.loss)[:, 0]
    predicted = _predicted(right_side)(path.step, hessian, norm)
    off = np.abs(predicted - change).max() / np.abs(change).max()
    product = path.step * hessian
    wrong = float((np.sign(predicted) != np.sign(change)).mean())
    comparisons = (
        at_most("greatest error of the predicted change, relative to the greatest change", float(off), 1e-6),
        at_most(
            "share of steps whose direction, up or down, is not the predicted one", wrong, 0.0, samples=len(chosen)
        ),
        at_least("steps with ηΛ_t between 1 and 2", float(((product > 1) & (product < 2)).sum()), 5.0),
        at_least("steps with ηΛ_t above 2", float((product > 2).sum()), 5.0),
    )
    yield panel(
        f"one network, $\\eta$ = {LARGE:g}", "step", r"$\eta\Lambda_t$",
        curve(r"$\eta\Lambda_t$ from Hessians", chosen, product), curve("2", chosen, 2.0, "reference"), log="",
    )  # fmt: skip
    grid = np.linspace(min(product), max(product), 50)
    yield panel(
        "change of the loss in a step", r"$\eta\Lambda_t$", r"change over $\eta\|\nabla L\|^2$",
        curve("measured", product, change / (path.step * norm**2), style="markers"),
        curve("stated", grid, _predicted(right_side)(1.0, grid, 1.0) + 0 * grid, "statement"), log="",
    )  # fmt: skip
    yield from comparisons


def _usual(setting: Setting, steps: int, context: Context) -> TrainingPath:
    from verify.checks.training import follow

    start = setting.start(context.seed_for("start"))
    return follow(setting, start, step=USUAL, steps=steps, progress=context.progress)


@check("training", cost=6.0)
def usual(right_side: Expr, context: Context) -> Found:
    """Is ηΛ_t below 2 on the paths of the other claims?"""
    steps = context.pick(quick=300, full=3000)
    curves: list[Curve] = []
    for number, (alpha, beta) in enumerate(((1.0, 0.0), (0.5, 1.0), (2.0, 1.0))):
        path = context.shared(_usual, Setting(alpha, beta=beta), steps, context)
        name = f"α = {alpha:g}, β = {beta:g}"
        product = USUAL * path.smoothness.max(1)
        yield at_most(f"greatest ηΛ_t on the path, {name}", float(product.max()), 2.0)
        if beta == 0:
            # No bias: the law holds for every student and step.
            change = path.after - path.loss
            stated = _predicted(right_side)(USUAL, path.smoothness, np.sqrt(path.base))
            off = float(np.abs(stated - change).max() / np.abs(change).max())
            yield at_most(f"greatest error of the predicted change, {name}", off, 1e-6)
        label = f"$\\alpha$ = {alpha:g}, $\\beta$ = 1" if beta else r"$\beta$ = 0"
        curves.append(curve(label, range(steps), product, group=number))
    labels = (f"two networks, $\\eta$ = {USUAL:g}", "step", r"greatest $\eta\Lambda_t$")
    yield panel(*labels, *curves, curve("2", (0, steps), 2.0, "reference"), log="y")


CLAIM = Claim(
    id="N2",
    title="Step condition along the path",
    message="The curvature along a step says whether the loss falls",
    meaning=(
        "The change of a network's loss in one step is what its mean curvature along that step says. The loss falls "
        "exactly when the step is below two over that curvature."
    ),
    matters="The bounds assume a smoothness constant, and this measures it for networks, which have none in advance.",
    direction="equality",
    subject=CHANGE,
    statement=statement,
    assumptions=(
        *ASSUMPTIONS,
        "plain gradient descent on one network's own loss; mutual learning adds its bias to the step",
        "Λ_t = 2∫(1-s) ⟨Δθ, ∇²L(θ + sΔθ) Δθ⟩ ds / ‖Δθ‖², which makes Taylor's second order exact",
        "free to fail: that the trainer's step is -η∇L, and at the large step that Hessians predict what it does; at "
        "the usual one Λ_t comes from the change of the loss, so that the predicted change tests the step alone",
        SETTING,
    ),
    source=Source("Cohen et al. 2021 (edge of stability); the identity is Taylor's", "2103.00065"),
    checks=(kernel_check(step_condition), edge, usual),
    controls=(
        Control("one", "a step above 1 over the curvature goes up", -eta * (1 - eta * curvature) * NORM**2, drawn=True),
        Control(
            "four",
            "only a step above 4 over the curvature goes up",
            -eta * (1 - Rational(1, 4) * eta * curvature) * NORM**2,
        ),
    ),
    caption=(
        "Left: with a large step the curvature hovers about the edge of stability. Middle: the change of the loss in "
        "each step is what the curvature says, up and down. Right: with the step of the other claims the condition "
        "holds."
    ),
    in_code="verify.monitor.BiasMonitor",
)
