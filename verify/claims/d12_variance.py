"""D12: the variance of bounded values, after Bhatia and Davis and after Popoviciu."""

from __future__ import annotations

import numpy as np
from sympy import Expr

from rdml_theory.symbolic.divergence.names import GREATEST, LEAST, MEAN, VARIANCE
from rdml_theory.symbolic.divergence.variance import (
    ASSUMPTIONS,
    BHATIA_DAVIS,
    POPOVICIU,
    variance_bounds,
    variance_targets,
)
from verify.checks import curve, function_of, kernel_check, panel
from verify.checks.quantities import Points, evaluator
from verify.checks.search import Side, search_check
from verify.claim import Claim, Context, Control, Panel, Source, Statement

Subject = tuple[Expr, Expr]


def statement(subject: Subject) -> Statement:
    first, second = (target.relation() for target in variance_targets(*subject))
    words = "For {least} ≤ v ≤ {greatest} with q-mean {mean}, {first} and {second}"
    formulas = {"least": LEAST, "greatest": GREATEST, "mean": MEAN, "first": first, "second": second}
    return Statement(words, formulas)


def sides(subject: Subject) -> tuple[Side, ...]:
    names = ("Bhatia-Davis", "Popoviciu")
    return tuple(Side(name, VARIANCE, bound, attained=True) for name, bound in zip(names, subject, strict=True))


def panels(subject: Subject, context: Context) -> tuple[Panel, ...]:
    """Variance against mean, for values scaled to [0, 1]."""
    points = Points.random(context.rng("figure"), 300, 4)
    low, high = points.vector.min(axis=1, keepdims=True), points.vector.max(axis=1, keepdims=True)
    points = Points(points.teacher, points.student, points.alpha, (points.vector - low) / (high - low))
    mean, variance = (evaluator(name, "numpy")(points) for name in (MEAN, VARIANCE))
    two = np.linspace(0.02, 0.98, 13)
    two_logits = np.column_stack([np.log(two / (1 - two)), 0 * two])
    pair = Points(two_logits, two_logits, np.ones(13), np.tile([1.0, 0.0], (13, 1)))
    grid = np.linspace(0, 1, 81)
    bounds = [function_of(bound, MEAN, LEAST, GREATEST) for bound in subject]
    return (
        panel(
            "values between 0 and 1", "mean $\\mu$", "variance",
            curve("random, 4 classes", mean, variance, style="markers"),
            curve("two classes", two, evaluator(VARIANCE, "numpy")(pair), "second", style="markers"),
            *(
                curve(label, grid, bound(grid, 0.0, 1.0) + 0 * grid, "statement", group=group)
                for group, (label, bound) in enumerate(zip(("Bhatia-Davis", "Popoviciu"), bounds, strict=True))
            ), log="",
        ),
    )  # fmt: skip


CLAIM = Claim(
    id="D12",
    title="Variance of bounded values",
    message="The variance of bounded values is at most a quarter of the squared range",
    meaning=(
        "The variance of values confined to an interval is at most the product of the distances of their mean from "
        "the two ends, and at most a quarter of the squared length. Two values at the ends attain it."
    ),
    matters="It is the lemma from which the bounds of curvature and gradient take their sharp constants.",
    direction="tight",
    subject=(BHATIA_DAVIS, POPOVICIU),
    statement=statement,
    assumptions=(*ASSUMPTIONS, "q positive, for any number of classes"),
    source=Source("Bhatia & Davis 2000; Popoviciu 1935; derived here"),
    checks=(kernel_check(lambda subject: variance_bounds(*subject)), search_check(sides, panels=panels, cost=1.0)),
    controls=(
        Control("eighth", "(M-m)²/8 in place of (M-m)²/4", (BHATIA_DAVIS, POPOVICIU / 2), drawn=True),
        Control("half", "half of (M-μ)(μ-m)", (BHATIA_DAVIS / 2, POPOVICIU)),
        Control("linear", "the range not squared", (BHATIA_DAVIS, (GREATEST - LEAST) / 4)),
    ),
    caption="Variance against mean, values scaled to [0, 1]. Two classes lie on the first bound and touch the second.",
)
