"""C2d: the best iterate with a biased gradient, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import brentq
from sympy import Expr, Rational, Symbol, lambdify, sqrt

from convergence import best_iterate_bound, sharp_bound
from rdml_theory.symbolic.kernel import Proof
from rdml_theory.symbolic.sgd import best_iterate, descent
from rdml_theory.symbolic.sgd.best_iterate import BEST, DECREASE
from verify.checks.comparisons import at_least, at_most
from verify.checks.proofs import kernel_check
from verify.checks.worst import Setting, horizon_panel, worst_case_check
from verify.claim import Check, Claim, Finding, Source, Statement, Twin
from verify.context import Context
from verify.records import Panel

SHOWN = tuple(Setting(0.5, t, bias=0.3, slack=1e-5) for t in (1, 2, 4, 8, 12))
SETTINGS = (
    *SHOWN,
    *(Setting(h, t, bias=b, slack=1e-5) for h in (0.2, 1.0) for t in (3, 6) for b in (0.0, 0.05, 1.5)),
)


@dataclass(frozen=True)
class Subject:
    """The asserted decrease of the value in a step, over η."""

    decrease: Expr

    @cached_property
    def _formula(self) -> Any:
        root = Symbol("root", nonnegative=True)
        symbols = (root, descent.h, descent.bias)
        return lambdify(symbols, self.decrease.subs({sqrt(BEST): root, BEST: root**2}), "numpy")

    def best(self, h: float, steps: float, zeta: float, gap: float = 1.0) -> float:
        """W at Λ = 1: the root of the equation beyond ζ²."""

        def excess(root: float) -> float:
            return float((steps - 1) * h * self._formula(root, h, zeta) + root**2 / 2 - gap)

        high = 1.0 + zeta + np.sqrt(2 * gap)
        low = 0.0 if excess(0.0) < 0 else zeta
        if not excess(low) < 0 < excess(high):
            return low**2
        return float(brentq(excess, low, high, xtol=1e-15)) ** 2  # type: ignore[arg-type]


def derivation(subject: Subject) -> Proof:
    return best_iterate.best_iterate(subject.decrease)


def statement(subject: Subject) -> Statement:
    words = "Without noise, for {h} in (0, 1] and Z² ≤ 2ΛΔ, {best}, the least ‖∇f(x_t)‖² over t < T, satisfies {bound}"
    bound = best_iterate.best_target(subject.decrease).relation()
    return Statement(words, {"h": descent.h, "best": BEST, "bound": bound})


def implementation(subject: Subject, context: Context) -> Finding:
    """The bound that users get solves the equation."""
    rng = context.rng("points")
    count = context.pick(quick=400, full=20_000)
    worst = 0.0
    for _ in range(count):
        gap = 10 ** rng.uniform(-2, 2)
        at = Setting(rng.uniform(0.01, 1), 1, bias=rng.uniform(0, 2) * gap).assumptions
        at = type(at)(smoothness=1.0, gap=gap, noise=0.0, bias=at.bias)
        h, steps = rng.uniform(0.01, 1), round(10 ** rng.uniform(0, 4))
        stated = subject.best(h, steps, np.sqrt(at.bias), gap)
        worst = max(worst, abs(stated / float(best_iterate_bound(at, h, steps)) - 1))
    return Finding(
        comparisons=(at_most("relative difference from the root of the equation", worst, 1e-9, samples=count),)
    )


def _dipping_slope(x: np.ndarray, root: float, length: float, steps: int) -> np.ndarray:
    """f' of the extremal function, Λ = 1: √W at 0, -l, -2l, … with dips between, then straight down to the minimum."""
    position = -x
    within = np.mod(position, length)
    dip = np.minimum(within, length - within)
    end = (steps - 1) * length
    return np.where(position <= end, root - np.where(position < 0, -position, dip), root - (position - end))


def extremal(subject: Subject, context: Context) -> Finding:
    """Gradient descent with bias -ζ on the extremal function: every gradient it meets is √W, and f(x₀) - inf f is Δ."""
    comparisons = []
    for h in (0.2, 0.6, 1.0):
        for steps in (1, 2, 5, 20):
            for bias in (0.0, 0.1, 1.0):
                zeta = np.sqrt(bias)
                root = np.sqrt(subject.best(h, steps, zeta))
                # A twin whose root is below ζ has no such function; its step then has no length.
                length = max(h * (root - zeta), 1e-12)
                x, least = np.zeros(1), np.inf
                for _ in range(steps):
                    slope = _dipping_slope(x, root, length, steps)
                    least = min(least, float(slope[0] ** 2))
                    x = x - h * (slope - zeta)
                # The value above the minimum by quadrature of the slope, from 0 down to where it vanishes.
                end = (steps - 1) * length + root
                knots = np.unique(np.concatenate([np.arange(2 * steps - 1) * length / 2, [end]]))
                middle = np.concatenate([-(knots[:-1] + knots[1:]) / 2, -knots])
                areas = _dipping_slope(middle[: knots.size - 1], root, length, steps) * np.diff(knots)
                gap = float(areas.sum())
                at = f"h = {h:g}, T = {steps}, ζ² = {bias:g}"
                comparisons.append(at_most(f"f(x₀) - inf f on the extremal function, {at}", gap, 1 + 1e-9))
                comparisons.append(
                    at_least(f"least ‖∇f‖² over stated, {at}", least / subject.best(h, steps, zeta), 1 - 1e-9)
                )
                comparisons.append(at_least(f"f(x₀) - inf f is all used, {at}", gap, 1 - 1e-9))
    return Finding(comparisons=tuple(comparisons))


def _panel(subject: Subject, exact: dict[Setting, float]) -> Panel:
    at = SHOWN[0].assumptions
    return horizon_panel(
        "best iterate, $h$ = 0.5, $\\zeta^2$ = 0.3",
        0.5,
        {"bias": 0.3},
        lambda t: subject.best(0.5, t, np.sqrt(0.3)),
        {s.steps: exact[s] for s in SHOWN},
        {"bound of the average (C2)": lambda t: float(sharp_bound(at, 0.5, t))},
        criterion="best",
    )


CLAIM = Claim(
    id="C2d",
    title="Best iterate",
    direction="upper bound",
    subject=Subject(DECREASE),
    statement=statement,
    derivation=derivation,
    assumptions=best_iterate.ASSUMPTIONS,
    source=Source("this toolkit, with the smooth interpolation of Taylor et al. 2017", "1502.05666", own=True),
    checks=(
        kernel_check(derivation),
        Check("implementation", "numeric", "Does the users' bound solve the equation?", implementation, cost=0.5),
        Check("extremal", "numeric", "Does an explicit function attain the bound exactly?", extremal, cost=0.5),
        worst_case_check(
            lambda subject, s: subject.best(s.h, s.steps, np.sqrt(s.bias)),
            SETTINGS,
            criterion="best",
            panel=_panel,
        ),
    ),
    twins=(
        Twin("no-bias", "the terms with the bias dropped", Subject(DECREASE.subs(descent.bias, 0))),
        Twin(
            "from-average",
            "the decrease that the bound of the average uses",
            Subject(
                (1 - descent.h / 2) * BEST
                - (1 - descent.h) * descent.bias * sqrt(BEST)
                - descent.h / 2 * descent.bias**2
            ),
            drawn=True,
        ),
        Twin("eighth", "h/8 in place of h/4 in the factor of W", Subject(DECREASE + descent.h / 8 * BEST)),
        Twin("half-bias", "half the term linear in the bias",
             Subject(DECREASE + Rational(1, 2) * (1 - descent.h / 2) * descent.bias * sqrt(BEST))),
    ),
    caption=(
        "The exact worst case of the least gradient norm, a semidefinite program over all smooth functions, lies "
        "on the "
        "stated root at every horizon."
    ),
)  # fmt: skip
