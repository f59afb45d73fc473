"""C2d: the best iterate with a biased gradient, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import brentq
from sympy import Expr, Rational, sqrt

from convergence import Assumptions, best_iterate_bound, sharp_bound, simulate
from convergence.problems import SyntheticProblem
from rdml_theory.symbolic.sgd import best_iterate, descent
from rdml_theory.symbolic.sgd.best_iterate import BEST, DECREASE
from verify.checks import at_least, at_most, function_of, implementation_check, kernel_check
from verify.checks.worst import Setting, horizon_panel, worst_case_check
from verify.claim import Claim, Context, Control, Found, Source, Statement, check

SHOWN = tuple(Setting(0.5, t, bias=0.3, average=False, slack=1e-5) for t in (1, 2, 4, 8, 12))
OTHERS = product((0.2, 1.0), (3, 6), (0.0, 0.05, 1.5))
SETTINGS = (*SHOWN, *(Setting(h, t, bias=b, average=False, slack=1e-5) for h, t, b in OTHERS))


@dataclass(frozen=True)
class Subject:
    """The asserted decrease of the value in a step, over η."""

    decrease: Expr

    def best(self, h: float, steps: float, zeta: float, gap: float = 1.0) -> float:
        """W at Λ = 1: the root of the equation beyond ζ²."""
        decrease = function_of(self.decrease, BEST, descent.h, descent.Z)

        def excess(root: float) -> float:
            return float((steps - 1) * h * decrease(root**2, h, zeta) + root**2 / 2 - gap)

        high = 1.0 + zeta + np.sqrt(2 * gap)
        low = 0.0 if excess(0.0) < 0 else zeta
        if not excess(low) < 0 < excess(high):
            return low**2
        return float(brentq(excess, low, high, xtol=1e-15)) ** 2  # type: ignore[arg-type]


def statement(subject: Subject) -> Statement:
    words = "Without noise, for {h} in (0, 1] and Z² ≤ 2ΛΔ, {best}, the least ‖∇f(x_t)‖² over t < T, satisfies {bound}"
    bound = best_iterate.best_target(subject.decrease).relation()
    return Statement(words, {"h": descent.h, "best": BEST, "bound": bound})


def _compared(subject: Subject, rng: np.random.Generator) -> list[tuple[float, float]]:
    gap = 10 ** rng.uniform(-2, 2)
    at = Assumptions(smoothness=1.0, gap=gap, noise=0.0, bias=rng.uniform(0, 2) * gap)
    h, steps = rng.uniform(0.01, 1), round(10 ** rng.uniform(0, 4))
    return [(float(best_iterate_bound(at, h, steps)), subject.best(h, steps, np.sqrt(at.bias), gap))]


class _Dipping(SyntheticProblem):
    """The extremal function, Λ = 1, with the bias -ζ: its slope is √W at 0, -l, -2l, … with dips between.

    From (T-1)l on it falls straight down to the minimum.
    """

    def __init__(self, root: float, zeta: float, h: float, steps: int) -> None:
        # A subject whose root is below ζ has no such function; its step then has no length.
        self.root, self.length = root, max(h * (root - zeta), 1e-12)
        self.last = (steps - 1) * self.length
        knots = np.append(np.arange(2 * steps - 1) * self.length / 2, self.last + root)
        self.knots = np.unique(knots)
        super().__init__(dim=1, smoothness=1.0, minimum=0.0, start=np.zeros(1), bias=zeta**2)

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """f'."""
        within = np.mod(-x, self.length)
        dip = np.where(x > 0, x, np.minimum(within, self.length - within))
        return np.where(-x <= self.last, self.root - dip, self.root + x + self.last)

    def value(self, x: np.ndarray) -> np.ndarray:
        """The value at 0 above the minimum, by quadrature of the slope; no other is asked for."""
        middle = -(self.knots[:-1] + self.knots[1:]) / 2
        return np.full(x.shape[:-1], (self.gradient(middle) * np.diff(self.knots)).sum())

    def bias_at(self, x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """-ζ."""
        return np.full_like(x, -np.sqrt(self.bias))


@check("numeric", cost=0.5)
def extremal(subject: Subject, context: Context) -> Found:
    """Does an explicit function attain the bound exactly?

    Gradient descent with bias -ζ on it: every gradient it meets is √W, and f(x₀) - inf f is Δ.
    """
    for h, steps, bias in product((0.2, 0.6, 1.0), (1, 2, 5, 20), (0.0, 0.1, 1.0)):
        best = subject.best(h, steps, np.sqrt(bias))
        problem = _Dipping(np.sqrt(best), np.sqrt(bias), h, steps)
        run = simulate(problem, step=h, steps=steps, replicas=1, seed=0, record=1)
        gap, least = run.assumptions.gap, float(run.least_squared_gradient[-1, 0])
        at = f"h = {h:g}, T = {steps}, ζ² = {bias:g}"
        yield at_most(f"f(x₀) - inf f on the extremal function, {at}", gap, 1 + 1e-9)
        yield at_least(f"least ‖∇f‖² over stated, {at}", least / best if best else np.inf, 1 - 1e-9)
        yield at_least(f"f(x₀) - inf f is all used, {at}", gap, 1 - 1e-9)


def _stated(subject: Subject, setting: Setting) -> float:
    return subject.best(setting.h, setting.steps, np.sqrt(setting.bias))


CLAIM = Claim(
    id="C2d",
    title="Best iterate",
    message="The best iterate has a smaller bound than the average",
    meaning=(
        "Instead of the average, this bounds the smallest gradient seen on the way, without noise. It agrees with the "
        "exact worst case wherever that was computed."
    ),
    matters="Whoever keeps the best checkpoint is entitled to this smaller number.",
    direction="upper bound",
    subject=Subject(DECREASE),
    statement=statement,
    assumptions=best_iterate.ASSUMPTIONS,
    source=Source("this toolkit, with the smooth interpolation of Taylor et al. 2017", "1502.05666", own=True),
    checks=(
        kernel_check(lambda subject: best_iterate.best_iterate(subject.decrease)),
        implementation_check(
            _compared, quick=400, full=20_000, allowed=1e-9, name="relative difference from the root of the equation",
            question="Does the users' bound solve the equation?",
        ),
        extremal,
        worst_case_check(
            _stated, SETTINGS,
            panel=horizon_panel(
                "best iterate, $h$ = 0.5, $\\zeta^2$ = 0.3", SHOWN, _stated, "bound of the average (C2)", sharp_bound
            ),
        ),
    ),
    controls=(
        Control("no-bias", "the terms with the bias dropped", Subject(DECREASE.subs(descent.Z, 0))),
        Control(
            "from-average",
            "the decrease that the bound of the average uses",
            Subject(
                (1 - descent.h / 2) * BEST
                - (1 - descent.h) * descent.Z * sqrt(BEST)
                - descent.h / 2 * descent.Z**2
            ),
        ),
        Control("eighth", "h/8 in place of h/4 in the factor of W", Subject(DECREASE + descent.h / 8 * BEST)),
        Control("half-bias", "half the term linear in the bias",
             Subject(DECREASE + Rational(1, 2) * (1 - descent.h / 2) * descent.Z * sqrt(BEST)), drawn=True),
    ),
    caption=(
        "The exact worst case of the least gradient norm, a semidefinite program over all smooth functions, lies "
        "on the stated root at every horizon."
    ),
    in_code="convergence.best_iterate_bound",
)  # fmt: skip
