"""D4: the divergence at the orders 0, 1 and ∞."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
from sympy import Rational, Sum, Symbol, log

from rdml_theory import renyi_divergence, symbolic
from rdml_theory.symbolic.divergence.entries import power_mean
from rdml_theory.symbolic.divergence.limits import (
    ASSUMPTIONS,
    GREATEST_RATIO,
    KULLBACK_LEIBLER,
    SUPPORT,
    TOP,
    far_target,
    limit_targets,
    rate_targets,
)
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.notation import C, Formula, alpha, i, p, q
from verify.checks import at_most, curve, kernel_check, panel, reference
from verify.checks.formulas import value
from verify.claim import Claim, Context, Control, Found, Panel, Source, Statement, check
from verify.names import divergence_of, leibler

ROUNDING = 64 * float(np.finfo(float).eps)
"""The rounding of the sums and logarithms of up to five classes; the divergences are of order one."""

ULPS = 16.0
"""Twice what docs/accuracy.md promises of values; another processor's logarithms may differ by a unit."""

Sides = tuple[Formula, Formula, Formula]
POINTS = (0.0, 1.0, float("inf"))
LIMITS: Sides = (-log(SUPPORT), KULLBACK_LEIBLER, log(GREATEST_RATIO))
REVERSED: Formula = Sum(q[i] * log(q[i] / p[i]), (i, 1, C))


def statement(sides: Sides) -> Statement:
    words = (
        "Let {divergence} be D_α(p‖q), with sums over the classes where p > 0. It tends to {none} at order 0, {zero}; "
        "to KL(p‖q) at order 1, {one}; and to {greatest}, with {M} the greatest ratio, at order ∞, {infinity}, so "
        "fast that {far}. At 0 and 1 its distance from the limit, over that of the order, tends to a number: {slope} "
        "and {curvature}, where {mean}"
    )
    rates = (told.relation() for told in rate_targets(sides))
    limits = zip(("zero", "one", "infinity"), limit_targets(sides), strict=True)
    named = {"none": sides[0], "greatest": sides[2], "M": TOP, "far": far_target(sides[2]).relation()}
    named |= dict(zip(("slope", "curvature"), rates, strict=True))
    names = {"divergence": divergence_of(alpha, log(power_mean(index=i)) / (alpha - 1)), "mean": leibler("p", "q")}
    return Statement(words, named | {name: told.relation() for name, told in limits}, names)


def _value(side: Formula, first: list[Any], second: list[Any]) -> Any:
    """The asserted limit for concrete distributions."""
    pairs = [(x, y) for x, y in zip(first, second, strict=True) if x > 0]
    support, ratio = Symbol("support"), Symbol("ratio")
    named = side.xreplace({SUPPORT: support, GREATEST_RATIO: ratio})
    known = {"support": mp.fsum(y for _, y in pairs), "ratio": max(x / y for x, y in pairs)}
    return value(named, len(pairs), p=[x for x, _ in pairs], q=[y for _, y in pairs], **known)


def _as_expression(first: list[Any], second: list[Any]) -> float:
    """The greatest error of the SymPy expression `divergence` at orders that are no limit, nats."""
    with mp.workdps(reference.DIGITS):
        return max(
            float(abs(_value(divergence.at_order(alpha), first, second) - reference.divergence(first, second, at)))
            for alpha, at in ((Rational(1, 2), mp.mpf(1) / 2), (Rational(3), mp.mpf(3)))
        )


def _near(point: float, distance: Any) -> Any:
    return 1 / distance if point == float("inf") else point + distance


def _distributions(rng: np.random.Generator, count: int) -> list[tuple[list[Any], list[Any]]]:
    """Random pairs; every second p has a zero, so that the order 0 says something."""
    out = []
    for number in range(count):
        size = int(rng.integers(2, 6))
        weights = rng.integers(1, 1000, (2, size)).tolist()
        if number % 2 and size > 2:
            weights[0][int(rng.integers(size))] = 0
        with mp.workdps(reference.DIGITS):
            out.append(tuple([mp.mpf(x) / sum(row) for x in row] for row in weights))
    return out


def _beside(first: list[Any], second: list[Any]) -> float:
    """The greatest error of the core where an order is close to a limit and not it, order by order and all at once."""
    p, q = (np.array([float(x) for x in v]) for v in (first, second))
    with mp.workdps(reference.DIGITS):
        x, y = ([mp.mpf(x) / mp.fsum(v.tolist()) for x in v.tolist()] for v in (p, q))
        exact = [reference.divergence(x, y, mp.mpf(alpha)) for alpha in reference.BESIDE_LIMITS]
        computed = [
            [float(renyi_divergence(p, q, alpha)) for alpha in reference.BESIDE_LIMITS],
            renyi_divergence(p, q, np.array(reference.BESIDE_LIMITS)).tolist(),
        ]
        return max(
            float(abs(mp.mpf(value) - truth)) / float(np.spacing(float(truth)))
            for values in computed for value, truth in zip(values, exact, strict=True)
        )  # fmt: skip


def _off(point: float, side: Formula, first: list[Any], second: list[Any]) -> tuple[float, float]:
    """How far a limit is from the definition beside it, and from the core."""
    with mp.workdps(reference.DIGITS):
        asserted = _value(side, first, second)
        # D is smooth in the order, so at a distance of 1e-25 from the limit it agrees to at least 20 digits.
        close = reference.divergence(first, second, _near(point, mp.mpf(10) ** -25))
        computed = renyi_divergence([float(x) for x in first], [float(x) for x in second], point)
        return float(abs(close - asserted)), float(abs(mp.mpf(float(computed)) - asserted))


@check("numeric", cost=3.0)
def numeric(sides: Sides, context: Context) -> Found:
    """Does the definition, at 60 digits, approach the stated limits, and does `renyi_divergence` return them?"""
    pairs = _distributions(context.rng("pairs"), context.pick(quick=40, full=1_000))
    comparisons = []
    for point, side in zip(POINTS, sides, strict=True):
        gap, product = (max(off) for off in zip(*(context.shared(_off, point, side, *p) for p in pairs), strict=True))
        name = "∞" if np.isinf(point) else f"{point:g}"
        comparisons += [
            at_most(f"|D - limit| at a distance of 1e-25 from α = {name}, nats", gap, 1e-20, samples=len(pairs)),
            at_most(f"rdml_theory.renyi_divergence at α = {name}, nats", product, ROUNDING, samples=len(pairs)),
        ]
        context.progress(len(comparisons) / 8)
    comparisons.append(
        at_most(
            "rdml_theory.renyi_divergence at orders beside 0, 1 and ∞ against the definition, units in the last place",
            max(context.shared(_beside, *pair) for pair in pairs), ULPS,
            samples=len(pairs) * len(reference.BESIDE_LIMITS),
        )
    )  # fmt: skip
    some = pairs[:8]
    worst = max(context.shared(_as_expression, *pair) for pair in some)
    comparisons.append(
        at_most("|symbolic.divergence - definition| at orders 1/2 and 3, nats", worst, 1e-20, samples=2 * len(some))
    )
    yield from comparisons
    yield from _panels(sides)


def _panels(sides: Sides) -> tuple[Panel, ...]:
    with mp.workdps(reference.DIGITS):
        first = [mp.mpf(x) / 10 for x in (6, 4, 0)]
        second = [mp.mpf(x) / 10 for x in (2, 5, 3)]
        alphas = np.geomspace(1e-3, 1e3, 90)
        values = [reference.divergence(first, second, mp.mpf(a)) for a in alphas]
        limits = [float(_value(side, first, second)) for side in sides]
        distances = np.geomspace(1e-12, 0.3, 24)
        gaps = [
            [
                abs(float(reference.divergence(first, second, _near(point, mp.mpf(d))) - mp.mpf(limit)))
                for d in distances
            ]
            for point, limit in zip(POINTS, limits, strict=True)
        ]
    against, from_limit = [curve("$D_\\alpha$, definition", alphas, values)], []
    for number, (name, limit, gap) in enumerate(zip(("0", "1", "\\infty"), limits, gaps, strict=True)):
        against.append(curve(f"limit at $\\alpha \\to {name}$", alphas, limit, "statement", group=number))
        false = (distances[0], gap[0], distances[0]) if gap[0] > 1e3 * distances[0] else None
        label = f"$\\alpha \\to {name}$"
        from_limit.append(curve(label, distances, gap, "statement", style="both", group=number, contradicted=false))
    axes = ("$\\alpha$, $|\\alpha - 1|$ or $1/\\alpha$", "$|D_\\alpha$ - limit$|$ (nats)")
    return (
        panel("divergence against order", "order $\\alpha$", "$D_\\alpha$ (nats)", *against, log="x"),
        panel("distance from the limit", *axes, *from_limit),
    )


CLAIM = Claim(
    id="D4",
    title="Limits at 0, 1 and ∞",
    message="The order joins known divergences at 0, 1 and ∞",
    meaning=(
        "The order joins three known quantities in one family: at 0 the divergence only asks which classes are "
        "possible, at 1 it is the Kullback-Leibler divergence, and at ∞ the logarithm of the worst ratio. Each is "
        "approached at least as fast as the order comes near, at 0 and 1 in proportion."
    ),
    matters="An implementation has to switch formulas at these orders, and here is what it must give there.",
    direction="equality",
    subject=LIMITS,
    statement=statement,
    assumptions=(
        *ASSUMPTIONS,
        "the C classes are those where p > 0, and q > 0 there; others add nothing at any order above zero",
    ),
    source=Source("van Erven & Harremoës 2014, derived here", "1206.2459"),
    checks=(kernel_check(symbolic.limits), numeric),
    controls=(
        Control(
            "reversed", "the arguments of the Kullback-Leibler divergence exchanged", (LIMITS[0], REVERSED, LIMITS[2])
        ),
        Control(
            "half", "half the Kullback-Leibler divergence", (LIMITS[0], KULLBACK_LEIBLER / 2, LIMITS[2]), drawn=True
        ),
        Control("support", "log q(p > 0), without the minus", (log(SUPPORT), LIMITS[1], LIMITS[2])),
        Control(
            "infinity", "half the logarithm of the greatest ratio", (LIMITS[0], LIMITS[1], log(GREATEST_RATIO) / 2)
        ),
    ),
    caption=(
        "Left: the divergence of one pair against its order, with its three limits. Right: its distance from each "
        "limit falls in proportion to the distance of the order; from a false limit it does not."
    ),
    in_code="rdml_theory.renyi_divergence",
)
