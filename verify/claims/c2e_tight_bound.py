"""C2e: a family of bounds that uses the smoothness at every step; exact without bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np
from sympy import Abs, Expr, Integer

from convergence import extremal_average, sharp_bound, tight_bound
from rdml_theory.symbolic.sgd import descent, setting, tight
from rdml_theory.symbolic.sgd.tight import COEFFICIENT, DRIVE, kappa, weight
from verify.checks import at_least, at_most, function_of, implementation_check, kernel_check
from verify.checks.worst import Setting, horizon_panel, worst_case_check
from verify.claim import Claim, Context, Control, Found, Source, Statement, check

SHOWN = tuple(Setting(0.3, t, bias=0.05) for t in (1, 2, 4, 8, 16))
UNBIASED = tuple(Setting(h, t, slack=1e-5) for h in (0.2, 0.7, 1.6) for t in (2, 7))
SETTINGS = (
    *SHOWN,
    *UNBIASED,
    Setting(0.5, 3, noise=0.4, slack=1e-5),
    *(Setting(h, 8, bias=b, slack=0.05) for h in (0.1, 0.6, 1.5) for b in (0.01, 0.3, 3.0)),
    Setting(0.6, 3, bias=0.5, noise=0.5, slack=0.05),
)
"""Where the exact worst case must come near: without bias it is the bound, with bias within 5% at these."""

ROUNDED = 1e-12
"""What `tight_bound` and `extremal_average` may lose to rounding in sums of up to ten thousand terms."""


@dataclass(frozen=True)
class Subject:
    """The weight c of ΛΔ and what bias and noise add in a step, as functions of κ and λ."""

    coefficient: Expr
    drive: Expr

    def _bound(self, modules: str) -> Any:
        """The bound of A², for arrays or in mpmath."""
        c, d = self.coefficient, self.drive
        s = descent
        whole = (c * setting.smoothness * s.gap + d * (s.horizon - c / 2) / kappa) / s.horizon
        symbols = (s.h, setting.smoothness, s.gap, s.sigma, s.Z, s.horizon, kappa, weight)
        return function_of(whole, *symbols, modules=modules)

    def member(self, setting: Setting, multipliers: np.ndarray) -> np.ndarray:
        """The bound of A² at each λ."""
        h = setting.h
        k = h * (1 - h / 2 - abs(1 - h) * multipliers / 2)
        a = setting.assumptions
        with np.errstate(over="ignore", invalid="ignore"):
            values = (h, 1.0, a.gap, np.sqrt(a.noise), np.sqrt(a.bias), float(setting.steps))
            out = self._bound("numpy")(*values, k, multipliers)
        return np.where((np.abs(k) * setting.steps > 1e-3) & np.isfinite(out), out, np.inf)

    def least(self, setting: Setting) -> float:
        """The least over a fine grid of λ; without bias it is at λ → 0.

        Found with floats, which lose digits where κ is nearly zero, and evaluated there with 40 digits.
        """
        grid = np.geomspace(1e-7, 1e4, 8001) if setting.bias else np.array([1e-30])
        best = mp.mpf(float(grid[int(np.argmin(self.member(setting, grid)))]))
        a = setting.assumptions
        with mp.workdps(40):
            h = mp.mpf(setting.h)
            k = h * (1 - h / 2 - abs(1 - h) * best / 2)
            values = (h, 1, mp.mpf(a.gap), mp.sqrt(a.noise), mp.sqrt(a.bias), setting.steps, k, best)
            return float(self._bound("mpmath")(*values))


def statement(subject: Subject) -> Statement:
    words = (
        "For every {h} > 0 and {l} > 0, with {kappa} = {value} ≠ 0: {bound}, whose limit for {l} → 0 is attained "
        "without bias for every T"
    )
    return Statement(
        words,
        {"h": descent.h, "l": weight, "kappa": kappa, "value": tight.KAPPA,
         "bound": tight.tight_target(subject.coefficient, subject.drive).relation()},
    )  # fmt: skip


def _unbiased(subject: Subject, rng: np.random.Generator) -> list[tuple[float, float]]:
    """The function and the formula without bias, where there is no λ to find."""
    # From short runs of tiny steps, which the function takes by a series, on.
    at = Setting(10 ** rng.uniform(-6, 0.29), round(10 ** rng.uniform(0, 5)), noise=rng.exponential())
    return [(float(tight_bound(at.assumptions, at.h, at.steps)), subject.least(at))]


def _points(count: int, rng: np.random.Generator) -> list[tuple[Setting, float, float]]:
    """Settings with and without bias and noise, what the function that users call returns, and what is attained."""
    points = []
    for _ in range(count):
        bias, noise = rng.exponential(size=2) * rng.integers(0, 2, 2)
        at = Setting(rng.uniform(0.02, 1.98), round(10 ** rng.uniform(0, 4)), bias=bias, noise=noise)
        where = at.assumptions, at.h, at.steps
        points.append((at, float(tight_bound(*where)), extremal_average(*where)))
    return points


@check("numeric")
def brackets(subject: Subject, context: Context) -> Found:
    """Is the function that users call the least of the family; does the extremal problem stay below it, and reach it
    without bias?
    """
    count = context.pick(quick=60, full=2000)
    points = context.shared(_points, count, context.rng("points"))
    least = np.array([max(subject.least(at), 1e-300) for at, *_ in points])
    function, attained = np.array([values for _, *values in points]).T / least
    free = np.array([not at.bias for at, *_ in points])
    yield at_most("function over the least of the family", float(function.max()), 1 + ROUNDED, samples=count)
    yield at_least("function over the least on a grid of λ", float(function.min()), 1 - 1e-4, samples=count)
    yield at_most("attained over stated", float(attained.max()), 1 + ROUNDED, samples=count)
    yield at_least("attained over stated, without bias", float(attained[free].min()), 1 - 1e-6, samples=int(free.sum()))


CLAIM = Claim(
    id="C2e",
    title="Tight bound",
    message="This bound is within a percent of the exact worst case from step one on",
    meaning=(
        "The bound has one free number, which is chosen for each run so that the bound is least. Unlike the sharp "
        "bound it is not loose for short runs."
    ),
    matters="It is the bound to use when η·T is small, as at the start of training.",
    direction="tight",
    subject=Subject(COEFFICIENT, DRIVE),
    statement=statement,
    assumptions=tight.ASSUMPTIONS,
    source=Source("this toolkit", own=True),
    checks=(
        kernel_check(lambda subject: tight.tight_bound(subject.coefficient, subject.drive)),
        implementation_check(_unbiased, quick=60, full=2000, allowed=ROUNDED), brackets,
        worst_case_check(
            Subject.least, SETTINGS,
            panel=horizon_panel("$h$ = 0.3, $\\zeta^2$ = 0.05", SHOWN, Subject.least, "sharp bound (C2)", sharp_bound),
        ),
    ),
    controls=(
        Control("no-noise", "the noise dropped", Subject(COEFFICIENT, DRIVE.subs(descent.sigma, Integer(0)))),
        Control("no-multiplier", "the term ζ²/λ dropped",
             Subject(COEFFICIENT, DRIVE.subs(Abs(1 - descent.h), Integer(0))), drawn=True),
        Control("rate", "(1-κ)^T in place of (1-2κ)^T", Subject((1 - (1 - kappa) ** descent.horizon) / kappa, DRIVE)),
        Control("saturated", "the limit of c for T → ∞ in place of c", Subject(1 / kappa, DRIVE)),
    ),
    caption=(
        "The bound lies within a percent of the exact worst case, a semidefinite program over all smooth "
        "functions, from "
        "the first step on; the sharp bound is loose while ηT is small. The extremal problem brackets it from below."
    ),
    in_code="convergence.tight_bound",
)  # fmt: skip
