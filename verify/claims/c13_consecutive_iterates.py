"""C13: consecutive iterates decide the worst case, so that a quadratic potential proves it step by step."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from sympy import Rational

from convergence import Assumptions, floor, problems, sharp_bound, simulate, stepwise_bound, tight_bound
from convergence.performance import ConsecutivePairs, DualCertificate, Method, prove
from rdml_theory.symbolic.sgd import smooth
from verify.checks import Role, Worst, at_least, at_most, curve, kernel_check, panel
from verify.checks.performance import chain_record
from verify.checks.worst import Setting, solved
from verify.claim import Claim, Context, Control, Curve, Found, Panel, Source, Statement, check


@dataclass(frozen=True)
class Subject:
    """The coefficients of ‖g - g'‖²/Λ and ‖g‖²/Λ in what a smooth function is said to satisfy."""

    coupling: Fraction = Fraction(1, 4)
    infimum: Fraction = Fraction(1, 2)


def _coefficients(subject: Subject) -> tuple[Rational, Rational]:
    return tuple(Rational(f.numerator, f.denominator) for f in (subject.coupling, subject.infimum))  # type: ignore[return-value]


def statement(subject: Subject) -> Statement:
    coupling, infimum = _coefficients(subject)
    words = (
        "For all points y and u, such as two consecutive iterates, {between}, and {above}, with equality on a "
        "quadratic; by these two a quadratic potential proves a bound of SGD, which without noise and momentum agrees "
        "with the exact worst case wherever both were computed"
    )
    formulas = {"between": smooth.between_target(coupling).relation(), "above": smooth.above_target(infimum).relation()}
    return Statement(words, formulas)


def _solve(subject: Subject, setting: Setting) -> DualCertificate:
    method = Method(
        setting.steps, Fraction(setting.h), Fraction(setting.momentum), setting.nesterov,
        biased=setting.bias > 0 or setting.relative_bias > 0, noisy=setting.noise > 0,
        relative_bias=Fraction(setting.relative_bias),
    )  # fmt: skip
    right = (Fraction(1), Fraction(setting.bias), Fraction(setting.noise))
    return prove(ConsecutivePairs(method, subject.coupling, subject.infimum), right, average=setting.average)[0]


PLAIN = (
    *(Setting(h, t, bias=b) for h in (0.1, 0.5, 1.0, 1.5, 1.9) for t, b in ((2, 0.5), (6, 0.05), (8, 1.0))),
    *(Setting(h, 5, bias=0.1, relative_bias=0.2) for h in (0.4, 1.2)), *(Setting(h, 6) for h in (0.4, 1.6)),
    *(Setting(h, 5, bias=b, average=False) for h in (0.5, 1.4) for b in (0.0, 0.2, 4.0)),
)  # fmt: skip
OTHERS = (
    *(Setting(h, 3, bias=b, noise=0.5) for h in (0.3, 1.0, 1.6) for b in (0.0, 0.3)),
    *(Setting(h, 8, bias=0.1, momentum=m, nesterov=n) for h, m in ((0.3, 0.5), (0.05, 0.9)) for n in (False, True)),
)

NEAR = 0.02
"""How near the exact value the potential comes with noise or momentum, where other pairs of iterates matter too."""


@check("numeric", cost=2.0)
def exact(subject: Subject, context: Context) -> Found:
    """Is what a potential proves the exact worst case?"""
    worst = Worst()
    for number, setting in enumerate(worst.over(context.each((*PLAIN, *OTHERS)))):
        found = context.shared(solved, setting).value
        certificate = _solve(subject, setting)
        ratio = certificate.bound / found
        worst.see("below the exact worst case, relatively", 1 - ratio, 1e-7)
        plain = setting in PLAIN
        name = f"above it {'without noise and momentum' if plain else 'otherwise'}, relatively"
        worst.see(name, ratio - 1, 1e-6 if plain else NEAR)
        if number % 6 == 0 and subject == Subject():
            yield chain_record(certificate)
    yield from worst.comparisons()
    yield from (_looseness(subject, h, context) for h in (0.2, 1.5))


def _looseness(subject: Subject, h: float, context: Context) -> Panel:
    """What the potential proves, a closed form and the exact value over the sharp bound, against T."""
    square = 0.05
    times = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64, 128)
    a = Assumptions(smoothness=1.0, gap=1.0, noise=0.0, bias=square)
    sharp = [float(sharp_bound(a, h, t)) for t in times]
    proved = [_solve(subject, Setting(h, t, bias=square)).bound for t in times]
    closed = [float(tight_bound(a, h, t)) for t in times]
    exact = [context.shared(solved, Setting(h, t, bias=square)).value for t in times[:6]]

    def over(label: str, values: list[float], role: Role, **how: Any) -> Curve:
        few = len(values)
        return curve(label, times[:few], np.divide(values, sharp[:few]), role, **how)

    return panel(
        f"$h$ = {h:g}, $\\zeta^2$ = {square:g} $\\Lambda\\Delta$", "steps $T$", "over the sharp bound",
        over("proved by a potential", proved, "statement"),
        over("exact worst case", exact, "measured", style="markers"),
        over("closed form (C2e)", closed, "reference"), log="x",
    )  # fmt: skip


@check("numeric", cost=1.0)
def long_runs(subject: Subject, context: Context) -> Found:
    """Do long runs keep what is proved, below the closed forms?"""
    steps = context.pick(quick=150, full=1_500)
    for h, bias, noise in context.each(((0.1, 0.05, 0.0), (0.6, 0.1, 0.2), (1.6, 0.05, 0.05))):
        setting = Setting(h, steps, bias=bias, noise=noise)
        certificate = _solve(subject, setting)
        bound = certificate.bound
        if subject == Subject():
            yield chain_record(certificate)
        closed = float(tight_bound(setting.assumptions, h, steps))
        yield at_least(f"closed form over what is proved, {setting.words()}", closed / bound, 1 - 1e-7)
        low = float(floor(setting.assumptions, h)) * (1 - 1 / steps)
        name = f"what is proved over the floor without its last step, {setting.words()}"
        yield at_least(name, bound / low, 1.0)
        model = "against_gradient" if h <= 1 else "along_gradient"
        problem = problems.get("quadratic", radius=2**0.5, noise=noise, bias=bias, bias_model=model)
        values = context.shared(_mean_squares, problem, h, steps, context.seed_for(setting.words()))
        yield at_most(f"the extremal quadratic, {setting.words()}", values, bound * (1 + 1e-7))


def _mean_squares(problem: object, h: float, steps: int, seed: int) -> float:
    """The noise is orthogonal to the gradient and of constant size, so that every run has the same average."""
    run = simulate(problem, step=h, steps=steps, replicas=1, seed=seed)  # type: ignore[arg-type]
    return float(run.mean_squared_gradient[-1, 0])


@check("numeric", id="implementation", cost=2.0)
def public(subject: Subject, context: Context) -> Found:
    """Does `stepwise_bound` compute the statement?"""
    settings = (
        Setting(0.3, 40, bias=0.1), Setting(1.3, 12, bias=0.2, noise=0.3), Setting(0.02, 20, bias=0.1, momentum=0.9),
        Setting(0.7, 9, bias=0.1, average=False),
    )  # fmt: skip
    for setting in settings:
        found = context.shared(stepwise_bound, setting.assumptions, setting.h, setting.steps, **setting.how)
        total, parts = found.total, found.transient + found.noise + found.bias
        stated = _solve(subject, setting).bound
        yield at_most(f"difference from the statement, {setting.words()}", abs(total / stated - 1), 1e-6)
        yield at_most(f"and of its terms' sum, {setting.words()}", abs(parts / total - 1), 1e-9)


CLAIM = Claim(
    id="C13",
    title="Consecutive iterates",
    message="Two inequalities between iterates prove the exact worst case",
    meaning=(
        "Two inequalities between one iterate and the next are all that a proof of such a bound needs. Without "
        "noise and momentum, what they prove agrees with the exact worst case wherever both were computed."
    ),
    matters="It says which facts about smooth functions matter, and lets the worst case be computed for long runs.",
    direction="tight",
    subject=Subject(),
    statement=statement,
    assumptions=(
        *smooth.ASSUMPTIONS,
        "the potential: SGD as in C2, E‖b‖² ≤ m E‖∇f‖² + ζ² at every step; any step η, with or without momentum",
    ),
    source=Source("this toolkit; smooth interpolation: Taylor, Hendrickx & Glineur 2017", "1502.05666", own=True),
    checks=(
        kernel_check(lambda subject: smooth.consecutive_iterates(*_coefficients(subject))),
        exact, long_runs, public,
    ),
    controls=(
        Control("coupling", "a third in place of a quarter", Subject(coupling=Fraction(1, 3)), drawn=True),
        Control("infimum", "a whole in place of a half: f falls twice as far", Subject(infimum=Fraction(1))),
    ),
    caption=(
        "What a quadratic potential proves lies on the exact worst case of the semidefinite program where that is "
        "within reach, and below the sharp bound and a closed form. That it is an upper bound is proved in rational "
        "arithmetic; that it is attained is computed, to six digits. With a false condition between the iterates it "
        "falls below the exact value."
    ),
    in_code="convergence.stepwise_bound",
)  # fmt: skip
