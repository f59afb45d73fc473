"""D10: near consensus the order is a weight: D is α/2 times the variance of the log-ratio, up to third order."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
from sympy import Rational, log

from rdml_theory import renyi_divergence, symbolic
from rdml_theory.symbolic.divergence import entries
from rdml_theory.symbolic.divergence.consensus import (
    ASSUMPTIONS,
    CONSENSUS,
    Expansion,
    expansion_targets,
    remainder_target,
)
from rdml_theory.symbolic.divergence.entries import ORDER_ONE
from rdml_theory.symbolic.divergence.names import rho
from rdml_theory.symbolic.kernel import Entry
from rdml_theory.symbolic.notation import alpha, i
from verify.checks import Worst, at_least, curve, kernel_check, panel, reference
from verify.checks.formulas import value
from verify.claim import Claim, Context, Control, Found, Panel, Source, Statement, check
from verify.names import divergence_of, mean_of, variance_of

ORDERS = (0.25, 0.5, 1.0, 1.5, 2.0, 5.0)
Vector = list[Any]


def statement(sides: Expansion) -> Statement:
    words = (
        "For every number of classes, the divergence D(ε) of the distribution in proportion to q exp(ε s) from q is of "
        "second order in ε: {second}, and then {third}, where {tilted}, {spread} and {mean}.\n"
        "For all p and q whose log-ratio t = log(p/q) has the range {rho}, {remainder}, where {divergence} and {own}"
    )
    second, third = expansion_targets(sides)
    formulas = {"second": second.relation(), "third": third.relation(), "rho": rho}
    shift, log_ratio = Entry("s", i), entries.log_ratio(i)
    names = {
        "tilted": divergence_of(second.variable, second.term * second.variable**2), "spread": variance_of("s", shift),
        "mean": mean_of("s", shift), "own": variance_of("t", log_ratio),
        "divergence": divergence_of(alpha, log(entries.power_mean(index=i)) / (alpha - 1)),
    }  # fmt: skip
    return Statement(words, formulas | {"remainder": remainder_target(sides.remainder).relation()}, names)


def _tilted(q: Vector, s: Vector, distance: Any) -> Vector:
    weights = [x * mp.exp(distance * y) for x, y in zip(q, s, strict=True)]
    total = mp.fsum(weights)
    return [x / total for x in weights]


def _terms(sides: Expansion, q: Vector, s: Vector, alpha: Any) -> tuple[Any, Any]:
    """The stated coefficients of ε² and ε³."""
    known = {"q": q, "s": s, "alpha": mp.mpf(alpha)}
    return value(sides.second, len(q), **known), value(sides.third, len(q), **known)


def _half_variance(p: Vector, q: Vector, alpha: Any) -> tuple[Any, Any]:
    """(α/2) Var_q(t), and the range of t."""
    t = [mp.log(x / y) for x, y in zip(p, q, strict=True)]
    mean = mp.fsum(x * y for x, y in zip(q, t, strict=True))
    return alpha / 2 * mp.fsum(x * (y - mean) ** 2 for x, y in zip(q, t, strict=True)), max(t) - min(t)


def _allowed(sides: Expansion, order: Any, spread: Any) -> Any:
    return mp.mpf(str(sides.remainder.subs({alpha: float(order), rho: mp.nstr(spread, 30)}).evalf(30)))


@check("numeric", cost=3.0)
def numeric(sides: Expansion, context: Context) -> Found:
    """Does the definition approach both terms, is the rest of third order and below its bound, and does the core agree
    near consensus?
    """
    rng = context.rng("pairs")
    count = context.pick(quick=30, full=600)
    worst, slopes = Worst(), []
    for number in worst.over(context.each(range(count))):
        alpha = mp.mpf(ORDERS[number % len(ORDERS)])
        size = int(rng.integers(2, 5))
        logits, move = rng.standard_normal(size), rng.standard_normal(size)
        with mp.workdps(2 * reference.DIGITS):
            q, s = reference.softmax(list(logits)), [mp.mpf(x) for x in move]
            leading, following = _terms(sides, q, s, alpha)
            near = [mp.mpf(10) ** -n for n in (20, 21)]
            pairs = [_tilted(q, s, e) for e in near]
            exact = [reference.divergence(p, q, alpha) for p in pairs]
            second = float(abs(leading * near[0] ** 2 / exact[0] - 1))
            worst.see("D/ε² at ε = 1e-20 against the second-order term, relative", second, 1e-17)
            left = [d - _half_variance(p, q, alpha)[0] for d, p in zip(exact, pairs, strict=True)]
            third = float(abs(left[0] / near[0] - following * near[0] ** 2) / exact[0])
            worst.see("(D - (α/2) Var)/ε³ against the third-order term, relative to the second", third, 1e-17)
            slopes.append(float(mp.log(abs(left[0] / left[1]), 10)))
            for distance in (1e-3, 1.0, 5.0):
                p = _tilted(q, s, mp.mpf(distance))
                half, spread = _half_variance(p, q, alpha)
                gap = abs(reference.divergence(p, q, alpha) - half)
                worst.see("|D - (α/2) Var_q(t)| over its bound", float(gap / _allowed(sides, alpha, spread)), 1.0)
            # Against the core: what the expansion leaves out is relatively of size ε² ρ².
            distance = mp.mpf(2) ** -20
            computed = float(renyi_divergence(logits + float(distance) * move, logits, float(alpha), domain="logits"))
            exact_logits = [mp.mpf(x) for x in logits + float(distance) * move]
            steps = [(x - mp.mpf(y)) / distance for x, y in zip(exact_logits, logits, strict=True)]
            leading, following = _terms(sides, q, steps, alpha)
            expanded = leading * distance**2 + following * distance**3
            error = float(abs(expanded / computed - 1))
            worst.see("renyi_divergence at ε = 2^-20 against both terms, relative", error, 1e-9)
    yield at_least("least order in ε of what the variance leaves", min(slopes), 3 - 1e-9, samples=len(slopes))
    yield from worst.comparisons()
    yield from _panels(sides)


def _panels(sides: Expansion) -> tuple[Panel, ...]:
    fine, coarse = np.geomspace(1e-3, 3, 50), np.geomspace(1e-3, 3, 12)
    with mp.workdps(reference.DIGITS):
        q, s = ([mp.mpf(x) / 10 for x in row] for row in ((6, 3, 1), (10, -5, 0)))

        def scaled(alpha: Any, distance: float) -> float:
            p = _tilted(q, s, mp.mpf(distance))
            return float(reference.divergence(p, q, alpha) / mp.mpf(distance) ** 2)

        alphas, two = [mp.mpf(x) for x in (0.5, 1.5, 2.5)], mp.mpf(2)
        measured = [tuple(scaled(a, e) for e in coarse) for a in alphas]
        stated = [float(_terms(sides, q, s, a)[0]) for a in alphas]
        points = [_tilted(q, s, mp.mpf(e)) for e in coarse]
        halves = [_half_variance(p, q, two) for p in points]
        gaps = [float(abs(reference.divergence(p, q, two) - h)) for p, (h, _) in zip(points, halves, strict=True)]
        bounds = [float(_allowed(sides, two, spread)) for _, spread in halves]
        cubic = float(abs(_terms(sides, q, s, two)[1]))
    curves = []
    for group, (a, values, level) in enumerate(zip(alphas, measured, stated, strict=True)):
        name = f"$\\alpha = {float(a):g}$"
        curves.append(curve(f"definition, {name}", coarse, values, style="markers", group=group))
        curves.append(curve(f"stated limit, {name}", fine, level, "statement", group=group))
    labels = ("distance from consensus $\\varepsilon$", "$D_\\alpha/\\varepsilon^2$ (nats)")
    left = panel("divergence over squared distance", *labels, *curves, log="x")
    right = panel(
        "what the variance leaves, order 2", "distance from consensus $\\varepsilon$",
        "$|D_\\alpha - (\\alpha/2) Var_q(t)|$ (nats)",
        curve("definition", coarse, gaps, style="markers"),
        curve("third-order term", fine, cubic * fine**3, "statement", group=0),
        curve("bound", coarse, bounds, "statement", group=1),
    )  # fmt: skip
    return left, right


CLAIM = Claim(
    id="D10",
    title="Consensus expansion",
    message="Near agreement the order only scales: α/2 times a variance",
    meaning=(
        "When two students nearly agree, the divergence is α/2 times the variance of their log-ratio; the next term "
        "and a bound of the rest are given as well. In this regime the order acts only as a factor."
    ),
    matters="Near agreement a change of α cannot be told from a change of the weight β: only their product counts.",
    direction="equality",
    subject=CONSENSUS,
    statement=statement,
    assumptions=(*ASSUMPTIONS, f"at {ORDER_ONE.text()} the same of KL", "p and q positive, α in (0, ∞)"),
    source=Source("derived here", own=True),
    checks=(kernel_check(symbolic.consensus_expansion, cost=20.0), numeric),
    controls=(
        Control("weight", "no weight α", CONSENSUS._replace(second=CONSENSUS.second / alpha)),
        Control("half", "the whole variance", CONSENSUS._replace(second=2 * CONSENSUS.second), drawn=True),
        Control(
            "complement", "1 - α in place of α", CONSENSUS._replace(second=CONSENSUS.second.subs(alpha, 1 - alpha))
        ),
        Control(
            "third", "α - 1 in place of α + 1", CONSENSUS._replace(third=CONSENSUS.third * (alpha - 1) / (alpha + 1))
        ),
        Control("exponent", "ρ to the fourth power", CONSENSUS._replace(remainder=CONSENSUS.remainder * rho)),
        Control(
            "constant", "a tenth of the bound", CONSENSUS._replace(remainder=CONSENSUS.remainder * Rational(1, 10))
        ),
    ),
    caption=(
        "Left: over the squared distance, the divergence tends to α/2 times the variance of the direction. Right: what "
        "is left of it is of third order, the stated term, and below its bound at every distance."
    ),
    in_code="rdml_theory.renyi_divergence",
)
