"""C12: the exact worst case, a semidefinite program, is never above the sharp bound; how far below it lies."""

from __future__ import annotations

import numpy as np
from sympy import Expr, Rational, sqrt

from convergence import WorstCase, refined_bound, sharp_bound
from rdml_theory.symbolic.sgd import descent
from rdml_theory.symbolic.sgd import worst_case as symbolic
from verify.checks import at_least, at_most, curve, kernel_check, panel
from verify.checks.bounds import BoundSubject
from verify.checks.performance import worst_case_record
from verify.checks.worst import Setting, solved, worst_case_check
from verify.claim import Claim, Context, Control, Found, Panel, Source, Statement, check

STEPS = 8
BIASES = (0.0, 0.01, 0.25, 1.0)


def _squared(subject: BoundSubject) -> Expr:
    return subject.right_side ** (2 // subject.power)


def statement(subject: BoundSubject) -> Statement:
    words = (
        "For every {h} in (0, {last}) every run of T steps, so the worst case W too, satisfies {bound}; at {h} = 1 a "
        "run has all of that but {rest}"
    )
    formulas = {
        "bound": symbolic.worst_target(_squared(subject)).relation(), "h": descent.h,
        "last": Rational(subject.greatest_step), "rest": symbolic.REST,
    }  # fmt: skip
    return Statement(words, formulas)


def _subject(right_side: Expr, power: int = 1, **product: object) -> BoundSubject:
    return BoundSubject(right_side, power, 2.0, sharp_bound, **product)  # type: ignore[arg-type]


def _ratio_panel(subject: BoundSubject, exact: dict[Setting, float]) -> Panel:
    """The exact worst case over the sharp bound, against the step size; above one where a control is too small."""
    curves = []
    for group, square in enumerate(BIASES):
        at = sorted((s for s in exact if s.bias == square and not s.noise and s.steps == STEPS), key=lambda s: s.h)
        x = tuple(s.h for s in at)
        label = f"$\\zeta^2$ = {square:g} $\\Lambda\\Delta$"
        y = tuple(exact[s] / subject.at(s) for s in at)
        above = (x[int(np.argmax(y))], max(y), 1.0) if max(y) > 1.1 else None
        curves.append(curve(label, x, y, "statement", style="both", group=group, contradicted=above))
    curves.append(curve("attained", (0.1, 1.9), 1.0, "reference"))
    return panel(
        f"exact worst case over the bound, $T$ = {STEPS}", "step size $h = \\Lambda\\eta$",
        "exact worst case / bound",
        *curves, log="y",
    )  # fmt: skip


SETTINGS = (
    *(Setting(round(float(h), 2), STEPS, bias=b) for b in BIASES for h in np.arange(0.1, 1.95, 0.2)),
    *(Setting(h, t, bias=b) for h in (0.3, 1.0, 1.7) for t in (1, 3) for b in (0.0, 0.5)),
    Setting(0.5, 3, bias=0.25, noise=0.5), Setting(1.4, 3, bias=0.25, noise=0.5),
    # Without bias it is attained, up to (1-h)^(2T).
    *(Setting(h, STEPS, slack=1e-4) for h in (0.5, 1.0, 1.5)),
)  # fmt: skip


def _near(setting: Setting, subject: BoundSubject, context: Context) -> tuple[WorstCase, float]:
    return context.shared(solved, setting), subject.at(setting)


def _replay(worst: WorstCase) -> tuple[float, float]:
    """By how much the rebuilt function is not smooth, and what a run on it reaches."""
    return worst.instance.violation(), float(worst.instance.replay().mean())


@check("numeric", cost=2.0)
def approach(subject: BoundSubject, context: Context) -> Found:
    """Does the worst case come near the bound as T grows?"""
    shares: list[tuple[int, float]] = []
    horizons = context.pick(quick=(1, 2, 4, 8, 12), full=(1, 2, 4, 8, 16, 24))
    for steps in context.each(horizons):
        worst, stated = _near(Setting(1.0, steps, bias=0.25), subject, context)
        refined = float(refined_bound(worst.assumptions, 1.0, steps))
        yield at_most(f"|W/refined - 1|, h = 1, T = {steps}", abs(worst.value / refined - 1), 1e-6)
        shares.append((steps, worst.value / stated))
    steps, share = shares[-1]
    rest = 0.25 / steps / (2 / steps + 0.25)
    yield at_least(f"W over the bound, h = 1, T = {steps}: all but ζ²/T is reached", share, 1 - rest - 1e-6)
    yield at_most(f"and never more, h = 1, T = {steps}", share, 1.0)
    yield panel(
        "approach, $h$ = 1, $\\zeta^2$ = 0.25 $\\Lambda\\Delta$", "steps $T$", "exact worst case / bound",
        curve(
            "$\\zeta^2$ = 0.25 $\\Lambda\\Delta$", [t for t, _ in shares], [s for _, s in shares], "statement",
            style="both", group=2,
        ),
        curve("attained", (1.0, float(steps)), 1.0, "reference"), log="x",
    )  # fmt: skip


@check("numeric", id="replay", cost=2.0)
def replayed(subject: BoundSubject, context: Context) -> Found:
    """Does a smooth function, rebuilt from the solution and run, reach the worst case, below the bound?

    A function rebuilt from each solution, run from x₀: what it reaches is above no true bound.
    """
    settings = (
        Setting(0.5, STEPS, bias=1.0), Setting(1.0, 5, bias=0.01), Setting(1.5, STEPS, bias=1.0),
        Setting(0.5, STEPS), Setting(0.5, 3, bias=0.25, noise=1.0),
    )  # fmt: skip
    for setting in context.each(settings):
        worst, stated = _near(setting, subject, context)
        violation, reached = context.shared(_replay, worst)
        name, share = setting.words(), reached / worst.value
        yield at_most(f"conditions on smooth functions violated by, {name}", violation, 1e-7)
        yield at_least(f"what the rebuilt function reaches over W, {name}", share, 1 - 1e-3)
        yield at_most(f"what the rebuilt function reaches, {name}", reached, stated)
        yield context.shared(worst_case_record, worst)
        yield at_most(f"proved worst case, {name}", worst.certificate.bound, stated * (1 + 1e-7))


CLAIM = Claim(
    id="C12",
    title="Exact worst case",
    message="No function does worse than the sharp bound, and some come near it",
    meaning=(
        "A semidefinite program finds the worst of all smooth functions and biases, and the sharp bound is compared "
        "with it. The bound is never exceeded and is approached as runs get longer."
    ),
    matters="It shows how much a better analysis could still gain, which C13 to C15 then do.",
    direction="tight",
    subject=_subject(descent.SHARP, product=sharp_bound),
    statement=statement,
    assumptions=(*symbolic.WORST_CASE, "W is the largest A² over all f, in any dimension, and oracles"),
    source=Source("this toolkit; performance estimation is that of Drori & Teboulle 2014", "1206.3209", own=True),
    checks=(
        kernel_check(lambda subject: symbolic.sharp_multipliers(_squared(subject))),
        worst_case_check(BoundSubject.at, SETTINGS, panel=_ratio_panel, cost=1.5),
        approach,
        replayed,
    ),
    controls=(
        Control("classical", "the classical bound, used beyond h = 1", _subject(descent.CLASSICAL, 2), drawn=True),
        Control("half-bias", "half the bias", _subject(descent.SHARP.subs(descent.Z, descent.Z / 2))),
        Control("half-transient", "half the gap", _subject(descent.SHARP.subs(descent.gap, descent.gap / 2))),
        Control(
            "half-noise", "half the variance", _subject(descent.SHARP.subs(descent.sigma, descent.sigma / sqrt(2)))
        ),
    ),
    caption=(
        "Left: the exact worst case of eight steps over the bound, which it never exceeds and, without bias, attains "
        "where (1-h)^16 is small; the classical bound is exceeded beyond h = 1. Right: at h = 1 all but ζ²/T of the "
        "bound is attained."
    ),
    in_code="convergence.worst_case",
)
