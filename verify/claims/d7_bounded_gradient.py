"""D7: the student gradient is bounded by √2 tanh(αρ/4), whatever the probabilities."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
from scipy.optimize import minimize
from sympy import Expr, lambdify, sqrt, tanh

from rdml_theory import renyi_gradient, symbolic
from rdml_theory.symbolic.derivation import Derivation
from rdml_theory.symbolic.inequalities import SPREAD
from verify.checks import reference
from verify.checks.comparisons import at_least, at_most
from verify.checks.symbolic import symbolic_check
from verify.claim import Check, Claim, Finding, Source, Statement, Twin
from verify.context import Context
from verify.records import Curve, Panel


def derivation(right_side: Expr) -> Derivation:
    return symbolic.bounded_gradient(right_side)


def statement(right_side: Expr) -> Statement:
    words = "For every order in (0, ∞) and number of classes, {bound}, {delta} = αρ, ρ = max log(p/q) - min log(p/q)"
    return Statement(words, {"bound": derivation(right_side).statement, "delta": SPREAD})


def _spread(teacher: Any, student: Any) -> Any:
    t = teacher - student
    return t.max(axis=-1) - t.min(axis=-1)


SPREADS = (0.1, 1.0, 4.0, 16.0)
CLASSES = (2, 3, 10)


def _pair(x: np.ndarray, classes: int, spread: float, order: float) -> tuple[np.ndarray, np.ndarray]:
    """Teacher and student logits from free parameters, with order · (range of the log-ratio) = spread."""
    student, ratio = x[:classes], x[classes:]
    width = max(float(ratio.max() - ratio.min()), 1e-9)
    return student + ratio * (spread / (order * width)), student


def _norm(x: np.ndarray, classes: int, spread: float, order: float) -> float:
    teacher, student = _pair(x, classes, spread, order)
    return float(np.linalg.norm(renyi_gradient(teacher, student, order, wrt="q", domain="logits")))


def _exact_ratio(teacher: np.ndarray, student: np.ndarray, order: float, bound: Any) -> float:
    """‖q - w‖ over the bound at 60 digits."""
    with mp.workdps(reference.DIGITS):
        p, s = reference.softmax(list(teacher)), reference.softmax(list(student))
        size = mp.norm([a - b for a, b in zip(s, reference.escort(p, s, order), strict=True)])
        t = [mp.mpf(float(a)) - mp.mpf(float(b)) for a, b in zip(teacher, student, strict=True)]
        return float(size / bound(mp.mpf(order) * (max(t) - min(t))))


def search(right_side: Expr, context: Context) -> Finding:
    """Maximise ‖q - w‖ at several spreads δ and numbers of classes; judge what is found at 60 digits."""
    bound = lambdify(SPREAD, right_side, "mpmath")
    starts = context.pick(quick=2, full=40)

    def strongest(spread: float, classes: int) -> tuple[np.ndarray, np.ndarray, float]:
        rng = context.rng("search", spread, classes)
        best, found = -1.0, (np.zeros(classes), np.zeros(classes), 1.0)
        for _ in range(starts):
            order = float(np.exp(rng.uniform(-2, 2)))
            x = rng.standard_normal(2 * classes)

            def loss(x: np.ndarray, order: float = order) -> float:
                return -_norm(x, classes, spread, order)

            end = minimize(loss, x, method="Powell", options={"ftol": 1e-10})
            if -end.fun > best:
                best, found = -float(end.fun), (*_pair(end.x, classes, spread, order), order)
        return found

    comparisons = []
    eps = float(np.finfo(float).eps)
    for number, spread in enumerate(SPREADS):
        for classes in CLASSES:
            # The bound does not enter the search, so the claim and its twins face the same pairs.
            found = context.shared(f"{spread}/{classes}", lambda s=spread, c=classes: strongest(s, c))
            ratio = _exact_ratio(*found, bound)
            name = f"greatest ratio found, δ = {spread:g}, C = {classes}"
            comparisons.append(at_most(name, ratio, 1 + 4 * eps, samples=starts))
            if classes == 2:
                comparisons.append(at_least(f"attained at C = 2, δ = {spread:g}", ratio, 0.999, samples=starts))
        context.progress((number + 1) / len(SPREADS))
    return Finding(comparisons=tuple(comparisons), panels=(_panel(right_side, context),))


def _panel(right_side: Expr, context: Context) -> Panel:
    bound = lambdify(SPREAD, right_side, "numpy")
    rng = context.rng("figure")
    deltas, norms = [], []
    for _ in range(400):
        classes = int(rng.choice([2, 3, 5, 10]))
        order = float(np.exp(rng.uniform(-2, 2)))
        student = 2 * rng.standard_normal(classes)
        teacher = student + np.exp(rng.uniform(-1, 1.5)) * rng.standard_normal(classes)
        deltas.append(float(order * _spread(teacher, student)))
        norms.append(float(np.linalg.norm(renyi_gradient(teacher, student, order, wrt="q", domain="logits"))))
    inside = [(d, n) for d, n in zip(deltas, norms, strict=True) if d <= 24]
    grid = np.linspace(0.01, 24, 120)
    worst = np.linspace(0.5, 24, 16)
    # At C = 2 with q = (s, 1-s), s = 1/(1+exp(δ/2)), order 1 and log-ratio (δ, 0).
    attained = [
        float(np.linalg.norm(renyi_gradient([-d / 2 + d, 0.0], [-d / 2, 0.0], 1.0, wrt="q", domain="logits")))
        for d in worst
    ]
    return Panel(
        title="gradient norm against spread",
        x_label="$\\delta = \\alpha\\rho$",
        y_label="$\\|q - w\\|_2$",
        curves=(
            Curve(
                label="random pairs",
                role="measured",
                style="markers",
                x=tuple(d for d, _ in inside),
                y=tuple(n for _, n in inside),
            ),
            Curve(label="worst two classes", role="second", style="markers", x=tuple(worst), y=tuple(attained)),
            Curve(label="statement", role="statement", x=tuple(grid), y=tuple(float(bound(d)) for d in grid)),
            Curve(label="$\\sqrt{2}$", role="reference", x=(grid[0], grid[-1]), y=(2**0.5, 2**0.5)),
        ),
    )


CLAIM = Claim(
    id="D7",
    title="Bounded gradient",
    direction="tight",
    subject=sqrt(2) * tanh(SPREAD / 4),
    statement=statement,
    derivation=derivation,
    assumptions=("q = softmax(z), p and q positive; no floor on the probabilities is needed", "α in (0, ∞)"),
    source=Source("this toolkit", own=True),
    checks=(
        symbolic_check(derivation),
        Check(
            "search",
            "numeric",
            "Can an adversarial search over p, q, α and C exceed the bound, and does it reach it?",
            search,
            cost=8.0,
        ),
    ),
    twins=(
        Twin("half-spread", "tanh(αρ/8) in place of tanh(αρ/4)", sqrt(2) * tanh(SPREAD / 8), drawn=True),
        Twin("no-root", "without the factor √2", tanh(SPREAD / 4)),
    ),
    caption=(
        "The norm of the student gradient of random pairs stays below the bound, and the worst pair of two classes "
        "lies on it; half the spread would not do."
    ),
)
