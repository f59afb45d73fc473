"""N1: the bias budget of real networks: the update that mutual learning makes, and the sharp bound of what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Expr, Integer, lambdify

from rdml_theory.symbolic.kernel import Proof
from rdml_theory.symbolic.sgd import bounds as sgd
from rdml_theory.symbolic.sgd import descent
from verify.checks.comparisons import at_most
from verify.checks.networks import SAMPLES, SETTING, Setting
from verify.checks.proofs import kernel_check
from verify.checks.updates import FALSE, TRUE, Update, applied_update
from verify.claim import Check, Claim, Control, Finding, Source, Statement
from verify.context import Context
from verify.records import Comparison, Curve, Panel

if TYPE_CHECKING:
    from verify.checks.training import Path

STEP = 0.1

ROUNDING = 1e-3
"""Of ‖n‖ over the greatest ‖b‖, where there is no noise. The weights are single precision's: |θ|u/η is 1e-5 of b."""


@dataclass(frozen=True)
class Budget:
    """The bound of A, and the law of the update."""

    bound: Expr
    update: Update = TRUE


def derivation(subject: Budget) -> Proof:
    return sgd.sharp_bound(subject.bound)


def statement(subject: Budget) -> Statement:
    law = subject.update
    return Statement(
        ("All students move at once" if law.at_once else "The students move one after the other")
        + " by -η(∇L_k + b_k + n_k), with b_k = {b}, q_k = softmax(z_k/{warmth}) and w_jk the escort of order {order} "
        "of q_j and q_k. Along the path of a network, with Λ the greatest Λ_t measured and {h} = Λη below 2: {bound}, "
        "where {A}², {Z}² and {sigma}² are the measured means of ‖∇L‖², ‖b‖² and ‖n‖²",
        {
            "b": law.bias, "warmth": law.temperature, "order": law.order, "h": descent.h,
            "bound": sgd.sharp_target(subject.bound).relation(), "A": descent.AVERAGE, "Z": descent.bias,
            "sigma": descent.noise,
        },
    )  # fmt: skip


@cache
def _bound(right_side: Expr) -> Callable[..., Any]:
    names = (descent.h, descent.eta, descent.gap, descent.noise, descent.bias, descent.horizon)
    return lambdify(names, right_side, "numpy")


def runs(path: Path, first: int, last: int) -> dict[str, np.ndarray]:
    """Averages (K,) of a path over the steps from ``first`` to ``last``: A², Z², S², max Λ_t, Δ/(ηT) and M.

    M is what the noise adds along this one path: with h = η max Λ_t, summing the steps' exact descent gives
    (1-h/2)A² + (1-h) mean <∇L, b> - (h/2)Z² ≤ Δ/(ηT) + (h/2)S² + M, M = mean of h<b, n> - (1-h)<∇L, n>.
    """
    part = slice(first, last)
    smoothness = path.smoothness[part].max(0)
    h = path.step * smoothness
    return {
        "A2": path.base[part].mean(0), "Z2": path.bias[part].mean(0), "S2": path.noise[part].mean(0),
        "Lambda": smoothness, "gap": (path.loss[first] - path.after[last - 1]) / (path.step * (last - first)),
        "M": (h * path.pull[part] - (1 - h) * path.drift[part]).mean(0),
    }  # fmt: skip


def _allowed(right_side: Expr, measured: dict[str, np.ndarray], student: int) -> float:
    """The bound of A²; what the noise adds along this path counts as a part of Δ/(ηT)."""
    h = STEP * measured["Lambda"][student]
    excess = float(measured["gap"][student] + measured["M"][student])
    noise, bias = float(measured["S2"][student]) ** 0.5, float(measured["Z2"][student]) ** 0.5
    with np.errstate(invalid="ignore"):
        value = float(_bound(right_side)(float(h), 1.0, excess, noise, bias, 1.0))
    # A negative radicand states that no such path exists: nothing is allowed.
    return value**2 if np.isfinite(value) and value > 0 else 0.0


def _path(alpha: float, beta: float, batch: int, steps: int, context: Context) -> Path:
    from verify.checks.training import follow

    setting = Setting(alpha, beta=beta, students=2 if beta else 1)
    seed = context.seed_for(alpha, beta, batch)
    return follow(
        setting, setting.start(seed), step=STEP, steps=steps, batch=batch, seed=seed + 1, progress=context.progress
    )


def _judge(right_side: Expr, path: Path, name: str, windows: tuple[tuple[int, int], ...]) -> list[Comparison]:
    out = []
    for first, last in windows:
        measured = runs(path, first, last)
        for k, smoothness in enumerate(measured["Lambda"]):
            where = f"{name}, student {k}, steps {first} to {last}"
            out.append(at_most(f"ηΛ, {where}", float(STEP * smoothness), 2.0))
            out.append(
                at_most(f"A² against the bound, {where}", float(measured["A2"][k]), _allowed(right_side, measured, k))
            )
    return out


def full_gradient(subject: Budget, context: Context) -> Finding:
    """Without noise the inequality holds along every path, to rounding."""
    right_side = subject.bound
    steps = context.pick(quick=400, full=4000)
    comparisons: list[Comparison] = []
    panels: list[Panel] = []
    for alpha in (0.5, 2.0):
        path = context.shared(f"{alpha}", lambda alpha=alpha: _path(alpha, 1.0, SAMPLES, steps, context))
        windows = ((0, steps // 40), (0, steps), (steps // 2, steps))
        comparisons += _judge(right_side, path, f"full gradients, α = {alpha:g}", windows)
        left = np.sqrt(path.noise.max(0) / path.bias.max(0))
        comparisons += [
            at_most(f"‖n‖ over ‖b‖ without noise, greatest, α = {alpha:g}, student {k}", float(share), ROUNDING)
            for k, share in enumerate(left)
        ]
        panels.append(_panel(right_side, path, f"full gradients, $\\alpha$ = {alpha:g}"))
    return Finding(comparisons=tuple(comparisons), panels=tuple(panels))


def mini_batches(subject: Budget, context: Context) -> Finding:
    """With mini-batches, where the noise of this very path is part of the budget."""
    right_side = subject.bound
    steps = context.pick(quick=400, full=4000)
    comparisons: list[Comparison] = []
    panels: list[Panel] = []
    for beta, batch in ((1.0, 200), (0.0, 20)):
        path = context.shared(f"{beta}", lambda b=beta, n=batch: _path(2.0, b, n, steps, context))
        name = f"mini-batches of {batch}, β = {beta:g}"
        comparisons += _judge(right_side, path, name, ((0, steps), (steps // 2, steps)))
        panels.append(_panel(right_side, path, f"mini-batches of {batch}, $\\beta$ = {beta:g}"))
    return Finding(comparisons=tuple(comparisons), panels=tuple(panels))


def update(subject: Budget, context: Context) -> Finding:
    """What the trainer really does to its students."""
    return applied_update(subject.update, context)


def _panel(right_side: Expr, path: Path, title: str) -> Panel:
    """The first student's budget from the start to T: what remains of the bound without noise and without bias."""
    steps = len(path.base)
    times = np.unique(np.geomspace(10, steps, 40).astype(int))
    unbiased: Any = right_side.xreplace({descent.bias: Integer(0)})
    bare: Any = unbiased.xreplace({descent.noise: Integer(0)})
    stack: dict[str, list[float]] = {"transient": [], "with noise": [], "all": []}
    measured = [runs(path, 0, int(t)) for t in times]
    for m in measured:
        stack["transient"].append(_allowed(bare, m, 0))
        stack["with noise"].append(_allowed(unbiased, m, 0))
        stack["all"].append(_allowed(right_side, m, 0))
    x = tuple(float(t) for t in times)

    def layer(label: str, top: str, bottom: str | None, group: int) -> Curve:
        low = stack[bottom] if bottom else [0.0] * len(x)
        return Curve(
            label=label, role="second", group=group, x=x, y=tuple(stack[top]), low=tuple(low), high=tuple(stack[top])
        )  # fmt: skip

    return Panel(
        title=title, x_label="steps $T$", y_label="mean squared norm", x_scale="log", y_scale="log",
        curves=(
            layer("what the start leaves", "transient", None, 0),
            layer("and the noise", "with noise", "transient", 1),
            Curve(
                label="and the bias: the bound",
                role="statement",
                x=x,
                y=tuple(stack["all"]),
                low=tuple(stack["with noise"]),
                high=tuple(stack["all"]),
            ),
            Curve(label="measured $A^2$", role="measured", x=x, y=tuple(float(m["A2"][0]) for m in measured)),
        ),
    )  # fmt: skip


CLAIM = Claim(
    id="N1",
    title="Bias budget of networks",
    message="What the start leaves fades, what the peers add remains",
    meaning=(
        "On real networks everything that enters the sharp bound is measured along the path, and the bound is drawn "
        "layer by layer beside the measured gradient. What the start leaves fades, and what the peers add remains."
    ),
    matters="It shows how large the bias of mutual learning is for a network, in the same units as its gradient.",
    direction="upper bound",
    subject=Budget(descent.SHARP),
    statement=statement,
    derivation=derivation,
    assumptions=(
        "plain gradient steps of one size; the loss of a student is L + βτ²/(K-1) Σ_j E D_α, its peers held constant",
        "Λ_t makes L(θ_t+1) = L(θ_t) + <∇L, Δθ> + (Λ_t/2)‖Δθ‖² exact; Δ = L(θ_0) - L(θ_T) is measured too",
        "along one path the terms linear in the noise, which vanish on the average, are added to Δ/(ηT)",
        SETTING,
    ),
    source=Source("this toolkit; the setting is that of Huang et al. 2023", "2209.05732", own=True),
    checks=(
        kernel_check(derivation),
        Check(
            "full-gradient",
            "training",
            "Are the trainer's steps -η(∇L + b), and does A² keep the bound?",
            full_gradient,
            cost=3.0,
        ),
        Check("mini-batch", "training", "Does it with the noise of mini-batches?", mini_batches, cost=4.0),
        Check("update", "training", "Does the trainer add the stated bias to every student's step?", update, cost=2.0),
    ),
    controls=(
        Control("no-bias", "the bias dropped", Budget(descent.SHARP.subs(descent.bias, Integer(0)))),
        Control("no-noise", "the noise dropped", Budget(descent.SHARP.subs(descent.noise, Integer(0)))),
        Control("no-start", "the start dropped", Budget(descent.SHARP.subs(descent.gap, Integer(0)))),
        *(Control(false.id, false.falsehood, Budget(descent.SHARP, false.subject)) for false in FALSE),
    ),
    caption=(
        "The sharp bound layer by layer, for the first of two networks trained by mutual learning and, at β = 0, for "
        "one trained alone, with everything in it measured on the path. What the start leaves vanishes with T; the "
        "bias stays."
    ),
)
