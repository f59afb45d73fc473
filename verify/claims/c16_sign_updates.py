"""C16: sign descent with errors in the gradient: a bound, attained; noise does not average out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from sympy import Expr, Symbol

from convergence import Assumptions, floor, problems
from rdml_theory.symbolic.sgd import sign_descent as symbolic
from rdml_theory.symbolic.sgd.descent import eta, gap, horizon
from rdml_theory.symbolic.sgd.setting import smoothness
from verify.checks import at_least, at_most, curve, evaluate, kernel_check, panel
from verify.claim import Claim, Context, Control, Found, Source, Statement, check

EXPECTED = Symbol("epsilon_0", nonnegative=True)
"""The mean size of what is expected of an error, given the past: that of a bias, without noise."""


@dataclass(frozen=True)
class Subject:
    """The asserted bound of M."""

    right_side: Expr = symbolic.SIGNED

    def bound(
        self, error: float, step: float, *, dim: int = 1, lam: float = 1.0, rate: float = 0.0, expected: float = 0.0
    ) -> float:  # fmt: skip
        """The bound, at a rate Δ/(ηT)."""
        numbers = {symbolic.error: error, EXPECTED: expected, eta: step, smoothness: lam, symbolic.dimension: dim}
        return float(evaluate(self.right_side, numbers | {gap: rate * step, horizon: 1}))


def statement(subject: Subject) -> Statement:
    words = (
        "With M and ε the means over t < T of E‖∇f(x_t)‖₁ and of E‖e_t‖₁, for x_{{t+1}} = x_t - η sign(∇f(x_t) + e_t) "
        "with any errors, bias and noise together: {bound}. On Λ‖x‖²/2, with errors that are nothing or turn the whole "
        "gradient round, runs that end as high as they began have {limit}"
    )
    target = symbolic.sign_target(subject.right_side)
    limit = symbolic.attained_target(subject.right_side)
    expected = " (ε_0 that of what is expected of e_t)" if subject.right_side.has(EXPECTED) else ""
    return Statement(words + expected, {"bound": target.relation(), "limit": limit.relation()})


Slope = Callable[[Fraction], Fraction]


def _walk(slope: Slope, error: Callable[[int, Fraction], Fraction], start: Fraction, step: Fraction, count: int) -> (
    tuple[Fraction, Fraction, Fraction]
):  # fmt: skip
    """Means of |f'| and of |e| over a walk in rational numbers, and where it ends; sign 0 goes where e points."""
    x, sizes, errors = start, Fraction(0), Fraction(0)
    for t in range(count):
        g = slope(x)
        e = error(t, g)
        sizes, errors = sizes + abs(g), errors + abs(e)
        way = g + e if g + e else e
        x -= step * ((way > 0) - (way < 0))
    return sizes / count, errors / count, x


def _saw(steep: Fraction, slope: Fraction) -> tuple[Slope, Fraction]:
    """A periodic f' with |f''| ≤ 1, and its period: at ``slope`` for long, down to ``-steep`` and up again."""
    flat = (steep**2 - slope**2) / slope
    period = flat + 2 * (slope + steep)

    def derivative(x: Fraction) -> Fraction:
        x %= period
        return slope if x < flat else max(slope - (x - flat), -2 * steep - slope + (x - flat))

    return derivative, period


STEPS = tuple(Fraction(n, 20) for n in (1, 5, 10, 20, 40))


@check("numeric")
def walks(subject: Subject, context: Context) -> Found:
    """Do walks obey the bound, exactly, and do those that go to and fro attain it?"""
    lam, low, measured, stated = Fraction(3, 2), Fraction(1, 2), [], []
    for step in STEPS:
        # From x to x + η against the gradient, which the error turns round, and back without an error.
        size, error, end = _walk(
            lambda x: lam * x, lambda t, g: -g if t % 2 == 0 else Fraction(0), low / lam, step, 10
        )  # fmt: skip
        assert end == low / lam
        limit = subject.bound(float(error), float(step), lam=float(lam))
        yield at_most(f"mean |f'| to and fro, over stated, η = {step}", float(size) / limit, 1 + 1e-12)
        yield at_least(f"and it is attained, η = {step}", float(size) / limit, 1 - 1e-12)
        measured.append(float(size))
        stated.append(limit)
    steep = Fraction(context.pick(quick=30, full=300))
    derivative, period = _saw(steep, Fraction(99, 100))
    count = 2 * int(steep) ** 2  # the period grows so, and a step must stay below one
    size, error, end = _walk(derivative, lambda t, g: Fraction(-1), Fraction(0), period / count, count)
    assert end % period == 0
    limit = subject.bound(float(error), float(period / count))
    yield at_most("mean |f'| up a saw under a constant error, over stated", float(size) / limit, 1.0)
    yield at_least("and constant errors, too, come near", float(size) / limit, 0.8)
    for name in ("double_well", "rastrigin", "quadratic_cosine", "pl_sine"):
        yield at_most(f"mean ‖∇f‖₁ over stated, {name}", max(_on(subject, context, name)), 1.0, samples=48)
    h = [float(lam * step) for step in STEPS]
    yield panel(
        "to and fro on $\\Lambda x^2/2$, $\\epsilon$ = 1/4", "step size $\\Lambda\\eta$", "mean of $|f'|$",
        curve("measured, exactly", h, measured, style="markers"), curve("bound for $T \\to \\infty$", h, stated,
                                                                        "statement"),
        curve("$2\\epsilon$", h, 0.5, "reference"), log="",
    )  # fmt: skip


def _on(subject: Subject, context: Context, name: str) -> list[float]:
    """Mean ‖∇f‖₁ over the bound, run by run, with errors that mostly point along the gradient, or against it."""
    f, rng, out = problems.get(name), context.rng(name), []
    step, steps = 0.01, 400
    for side, zeta in ((-1, 0.1), (-1, 1.0), (1, 1.0)):
        x = f.start[None] + rng.normal(size=(16, f.dim))
        rise, sizes, errors = f.value(x) - f.minimum, np.zeros(16), np.zeros(16)
        for _ in range(steps):
            g = f.gradient(x)
            e = side * zeta * np.where(rng.random(g.shape) < 0.8, np.sign(g), -np.sign(g))
            sizes, errors = sizes + np.abs(g).sum(axis=1), errors + np.abs(e).sum(axis=1)
            x = x - step * np.sign(g + e)
        rates = rise / (step * steps)
        runs = zip(sizes / steps, errors / steps, rates, strict=True)
        out += [
            float(size) / subject.bound(float(error), step, dim=f.dim, lam=f.smoothness, rate=float(rate))
            for size, error, rate in runs
        ]
    return out


ODDS = (Fraction(1, 4), Fraction(2, 5))
SHORT = tuple(Fraction(1, n) for n in (10, 30, 100, 300))


def _law(p: Fraction, step: Fraction) -> tuple[Fraction, Fraction]:
    """Mean |x| at rest on x²/2, exactly, and all that is left out, as a part of the whole.

    The noise is -1, or (1-p)/p with probability p. On odd multiples of η/2 it is a chain of births and deaths.
    """

    def rises(x: Fraction) -> Fraction:
        return (1 - p) * (x < 1) + p * (x + (1 - p) / p < 0)

    lattice = [(2 * k + 1) * step / 2 for k in range(round(-1 / step), round(1 / step) + 1)]
    law = [Fraction(1)]
    for here, above in pairwise(lattice):
        law.append(law[-1] * rises(here) / (1 - rises(above)))
    assert rises(lattice[-1]) == 0, "the chain ends above"
    whole = sum(law, Fraction(0))
    return sum((w * abs(x) for w, x in zip(law, lattice, strict=True)), Fraction(0)) / whole, law[0] / whole


@check("numeric")
def unbiased_noise(subject: Subject, context: Context) -> Found:
    """Does noise of mean zero keep sign descent from the minimum at every step, where plain descent nears it?"""
    curves = []
    for number, p in enumerate(ODDS):
        noise, variance = float(2 * (1 - p)), float((1 - p) / p)
        sizes, bounds = [], []
        for step in SHORT:
            size, beyond = _law(p, step)
            sizes.append(float(size))
            bounds.append(subject.bound(noise, float(step)))
            at = f"p = {p}, η = {step}"
            yield at_most(f"mean |f'| at rest over stated, {at}", sizes[-1] / bounds[-1], 1.0)
            yield at_most(f"| |f'| - σ√(p/(1-p)) | in steps, {at}", abs(sizes[-1] - 1) / float(step), 3.0)
            yield at_most(f"what is left out of the law, {at}", float(beyond), 0.02)
        if number == 0:
            plain = floor(Assumptions(smoothness=1.0, gap=0.0, noise=variance, bias=0.0), np.array(SHORT, dtype=float))
            h = [float(step) for step in SHORT]
            curves += [
                curve("sign descent at rest", h, sizes, style="both"),
                curve("bound", h, bounds, "statement"),
                curve("plain descent, at most", h, np.sqrt(plain.total), "reference"),
            ]
    yield panel(
        f"noise of mean zero, $p$ = {ODDS[0]}, $f = x^2/2$", "step size $\\eta$", "mean of $|f'|$", *curves
    )  # fmt: skip


CLAIM = Claim(
    id="C16",
    title="Sign updates",
    message="Sign descent pays twice for a bias, and for noise as for a bias",
    meaning=(
        "Where an update uses only the sign of each coordinate, the mean gradient is bounded by twice the mean error, "
        "and runs attain that. Noise counts as an error in full: even where its mean is zero, no small step removes "
        "it."
    ),
    matters="Adam without memory is sign descent, so that what is proved of plain SGD does not carry over to it.",
    direction="tight",
    subject=Subject(),
    statement=statement,
    assumptions=(*symbolic.ASSUMPTIONS, f"where it is attained, in place of f's and of s_t's: {symbolic.ATTAINED}"),
    source=Source("Bernstein et al. 2018, with any errors; that it is attained is this toolkit's", "1802.04434"),
    checks=(kernel_check(lambda subject: symbolic.sign_bound(subject.right_side)), walks, unbiased_noise),
    controls=(
        Control("half", "half of what the errors cost, as in plain descent",
                Subject(symbolic.SIGNED.subs(symbolic.error, symbolic.error / 2)), drawn=True),
        Control("step", "half of what the step costs",
                Subject(symbolic.SIGNED - eta * smoothness * symbolic.dimension / 4)),
        Control("expected", "noise averages out, and only what is expected of an error counts",
                Subject(symbolic.SIGNED.subs(symbolic.error, EXPECTED))),
    ),
    caption=(
        "Left: a walk to and fro on a quadratic, which errors turn round at every other step, has exactly the mean "
        "gradient that the bound allows. Right: noise that is -1, or (1-p)/p with probability p, has mean zero, and "
        "keeps sign descent near |f'| = 1 at every step; plain descent comes nearer as its step falls."
    ),
)  # fmt: skip
