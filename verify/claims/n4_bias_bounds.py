"""N4: two bounds of the bias that mutual learning adds to a network's gradient: one known beforehand, one observed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr, Integer, Max

from rdml_theory import renyi_divergence
from rdml_theory.symbolic import notation
from rdml_theory.symbolic.divergence.entries import D
from rdml_theory.symbolic.kernel import Proof
from rdml_theory.symbolic.mutual import bias as mutual
from rdml_theory.symbolic.mutual.bias import A_PRIORI, MEAN_DIVERGENCE, jacobian
from rdml_theory.symbolic.mutual.plateau import beta
from verify.checks import at_least, at_most, curve, function_of, kernel_check, panel
from verify.checks.networks import SETTING, Setting, Snapshot, flat
from verify.claim import Claim, Context, Control, Found, Source, Statement, check

STEP = 0.1
ORDERS = (0.5, 2.0, 4.0)


@dataclass(frozen=True)
class Subject:
    """The factors of the two bounds of ‖b‖²: β² ``jacobian`` times ``order`` E tanh²(αρ/4) or ``divergence`` E D."""

    jacobian: Expr
    order: Expr
    divergence: Expr


TRUE = Subject(jacobian**2, Integer(2), Max(1, notation.alpha))


def derivation(subject: Subject) -> Proof:
    """That of C4, which is about any student, with G² the mean of the squared norms."""
    return mutual.mutual_bias(
        subject.order / 2 * A_PRIORI, subject.divergence * MEAN_DIVERGENCE, beta**2 * subject.jacobian
    )


def statement(subject: Subject) -> Statement:
    bound = mutual.mutual_bias_target(
        subject.order / 2 * A_PRIORI, subject.divergence * MEAN_DIVERGENCE, beta**2 * subject.jacobian
    )
    return Statement(
        "For a network {bound}, E over inputs and peers, G the root mean square over inputs of the spectral norm of "
        "the logits' Jacobian, ρ(x) the range of log(p/q), {mean} the mean divergence",
        {"bound": bound.relation(), "mean": D},
    )


def _factors(subject: Subject) -> Callable[..., Any]:
    """(α, G) → the factors of the two bounds, for β = 1."""
    terms = (subject.jacobian * subject.order, subject.jacobian * subject.divergence)
    return function_of(terms, notation.alpha, jacobian)


def _quantities(here: Snapshot, alpha: float, bias: float) -> dict[str, float]:
    """Of the first student: ‖b‖² as it was applied, G², E tanh² and E D."""
    ratio = here.logits[1] - here.logits[0]
    rho = ratio.max(-1) - ratio.min(-1)
    return {
        "b": bias, "G2": float(here.jacobian_norms(0).mean()),
        "tanh": float(np.mean(np.tanh(alpha * rho / 4) ** 2)), "D": here.divergence(0, alpha),
    }  # fmt: skip


def _together(rows: list[dict[str, float]]) -> dict[str, np.ndarray]:
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _measured(alpha: float, steps: int, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Times on a path of the trainer, and the quantities there; b is what it added to ∇L."""
    from verify.checks.training import follow

    setting = Setting(alpha)
    times = sorted({0, *np.unique(np.geomspace(1, steps, 16).astype(int)).tolist()} - {steps})
    path = follow(setting, setting.start(seed), step=STEP, steps=steps, times=times, keep=times)
    applied = path.bias[:, 0] + 2 * path.pull[:, 0] + path.noise[:, 0]
    rows = [_quantities(path.kept[t], alpha, float(b)) for t, b in zip(times, applied, strict=True)]
    return np.array(times, float), _together(rows)


def _alone(alpha: float, samples: int, seed: int) -> dict[str, np.ndarray]:
    """The quantities where the training data is a single sample, so that no pulls cancel, at the start."""
    from verify.checks.training import own_trainer, put, read, undisturbed

    setting = Setting(alpha)
    start, rows = setting.start(seed), []
    with undisturbed():
        trainer = own_trainer(setting, start, step=STEP)
        start = read(trainer)
        for n in range(samples):
            here = setting.snapshot(start, np.array([n]))
            trainer.cohort.update(trainer.data.train.x[[n]], trainer.data.train.y[[n]], n)
            way = flat(start[0]) - flat(read(trainer)[0])
            rows.append(_quantities(here, alpha, float(np.square(way / STEP - here.base(0)).sum())))
            for student, layers in zip(trainer.students, start, strict=True):
                put(student, layers)
    return _together(rows)


@check("training", cost=6.0)
def networks(subject: Subject, context: Context) -> Found:
    """Does the measured bias stay below both bounds?"""
    steps = context.pick(quick=400, full=4000)
    for done, alpha in enumerate(ORDERS):
        seed = context.seed_for("start")
        times, m = context.shared(_measured, alpha, steps, seed)
        one = context.shared(_alone, alpha, 24, seed)
        bounds: dict[str, np.ndarray] = {}
        for number, name in enumerate(("order", "divergence")):
            quantity = ("tanh", "D")[number]
            for values, where in ((m, "greatest on the path"), (one, "greatest of 24 data sets of one sample")):
                bound = np.asarray(_factors(subject)(alpha, np.sqrt(values["G2"]))[number]) * values[quantity]
                bounds.setdefault(name, bound)
                worst = float((values["b"] / bound).max())
                yield at_most(f"‖b‖² over the bound by the {name}, α = {alpha:g}, {where}", worst, 1.0)
        x = np.maximum(times, 0.5)
        yield panel(
                f"two networks, $\\alpha$ = {alpha:g}", "step", "squared norm", curve(r"bias $\|b\|^2$", x, m["b"]),
                curve("bound by the order", x, bounds["order"], "statement", group=0),
                curve("bound by the divergence", x, bounds["divergence"], "statement", group=1),
            )  # fmt: skip
        context.progress((done + 1) / len(ORDERS))


def _two_classes(alpha: float, spread: float, share: float) -> tuple[float, float, float]:
    """‖b‖² as the trainer applies it, tanh²(αρ/4) and D, where a student's parameters are its two logits: G = 1."""
    from verify.checks.training import free_run

    own = np.log([share, 1 - share])
    peer = own + np.array([spread, 0.0])
    before, after = free_run([own, peer], np.zeros(1, dtype=np.int64), alpha=alpha, beta=1.0, step=1.0, steps=1)
    b = before - after - (np.array([share, 1 - share]) - np.array([1.0, 0.0]))
    divergence = renyi_divergence(peer, own, alpha, domain="logits")
    return float(b @ b), float(np.tanh(alpha * spread / 4) ** 2), float(divergence)


@check("numeric", cost=5.0)
def attained(subject: Subject, context: Context) -> Found:
    """Are both bounds reached where G = 1 and there are two classes?"""
    grid = context.pick(quick=(0.1, 1.0, 4.0), full=tuple(np.geomspace(0.01, 20, 40)))
    for alpha in (0.5, 2.0, 8.0):
        by_order, by_divergence = _factors(subject)(alpha, 1.0)
        ratios = []
        for delta in grid:
            b, hyperbolic, divergence = _two_classes(alpha, delta / alpha, 1 / (1 + float(np.exp(delta / 2))))
            ratios.append(b / (by_order * hyperbolic))
            yield at_most(
                f"over the bound by the divergence, α = {alpha:g}, αρ = {delta:g}",
                b / (by_divergence * divergence),
                1 + 1e-9,
            )
        yield at_most(f"greatest ‖b‖² over the bound by the order, α = {alpha:g}", max(ratios), 1 + 1e-9)
        yield at_least(f"least ‖b‖² over the bound by the order, α = {alpha:g}", min(ratios), 1 - 1e-9)
        if alpha >= 1:
            # Near consensus and at equal probabilities D ≈ (α/2) Var t, and q - w ≈ -α Cov_q t.
            b, _, divergence = _two_classes(alpha, 1e-3, 0.5)
            ratio = b / (by_divergence * divergence)
            yield at_most(f"near consensus, over the bound by the divergence, α = {alpha:g}", ratio, 1 + 1e-6)
            yield at_least(f"near consensus, its share of the bound, α = {alpha:g}", ratio, 0.99)


CLAIM = Claim(
    id="N4",
    title="Bounds of the bias on networks",
    message="On networks the bounds of the bias hold with room to spare",
    meaning=(
        "Measured on networks, the squared bias is a small part of what either bound allows. The pulls on different "
        "inputs largely cancel in the mean, which no bound on single inputs can know."
    ),
    matters="It says how pessimistic the theory is in practice.",
    direction="tight",
    subject=TRUE,
    statement=statement,
    assumptions=(
        "the hypotheses of C4",
        "the peers are held constant; R_k is the mean divergence from the peers",
        "G is measured: the root mean square of the spectral norm, not its supremum",
        "free to fail: the bias that the trainer applied, under bounds whose G, ρ and D are measured at the weights",
        "both bounds are attained by two classes and free logits; on networks the inputs' pulls largely cancel",
        SETTING,
    ),
    source=Source("this toolkit; the setting is that of Huang et al. 2023", "2209.05732", own=True),
    checks=(kernel_check(derivation), networks, attained),
    controls=(
        Control(
            "half-order", "half the constant of the order's bound", Subject(jacobian**2, Integer(1), TRUE.divergence)
        ),
        Control("no-weight", "max(1, α) dropped", Subject(jacobian**2, TRUE.order, Integer(1))),
        Control("no-jacobian", "the Jacobian dropped", Subject(Integer(1), TRUE.order, TRUE.divergence), drawn=True),
    ),
    caption=(
        "The squared bias of the first of two networks under its two bounds. They hold with room: the pulls of "
        "different inputs largely cancel in the mean. Without the Jacobian they would fail."
    ),
    in_code="verify.monitor.BiasMonitor",
)
