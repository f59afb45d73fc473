"""D13: grouping the classes into two does not raise the divergence."""

from __future__ import annotations

import numpy as np
from sympy import Expr, Integer

from rdml_theory.symbolic.divergence.entries import D
from rdml_theory.symbolic.divergence.names import PEER_MASS, STUDENT_MASS, two_point_divergence
from rdml_theory.symbolic.divergence.pinsker import (
    GROUPS_ASSUMPTIONS,
    TWO_POINTS,
    two_point_reduction,
    two_points_target,
)
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.notation import alpha
from verify.checks import curve, function_of, kernel_check, panel, reference
from verify.checks.search import Side, search_check
from verify.claim import Claim, Context, Control, Panel, Source, Statement


def statement(right_side: Expr) -> Statement:
    words = (
        "For every order α in (0, ∞) and every set of classes, neither empty nor full, with masses {first} under p and "
        "{second} under q, {bound}, {D} = D_α(p‖q), and at α = 1 {one}; two classes attain both"
    )
    bound = two_points_target(right_side).relation()
    one = two_points_target(two_point_divergence(PEER_MASS, STUDENT_MASS, Integer(1))).relation()
    formulas = {"first": PEER_MASS, "second": STUDENT_MASS, "bound": bound, "D": D, "one": one}
    return Statement(words, formulas)


def sides(right_side: Expr) -> tuple[Side, ...]:
    return (
        Side("two groups, orders below 1", right_side, divergence, attained=True, alphas=(0, 0.99)),
        Side("two groups, orders above 1", right_side, divergence, attained=True, alphas=(1.01, np.inf)),
    )


def panels(right_side: Expr, context: Context) -> tuple[Panel, ...]:
    """The divergence of one pair of four classes, and of its groupings into two, against the order."""
    grouped = function_of(right_side, alpha, PEER_MASS, STUDENT_MASS)
    p, q = np.array([0.04, 0.36, 0.35, 0.25]), np.array([0.4, 0.2, 0.3, 0.1])
    orders = np.geomspace(0.053, 11, 40)
    whole = [float(reference.divergence(p.tolist(), q.tolist(), a)) for a in orders]
    x = tuple(map(float, orders))
    groups = {"{1}": [0], "{1, 2}": [0, 1], "{1, 3}": [0, 2]}
    return (
        panel(
            "four classes and their groupings", "order $\\alpha$", "$D_\\alpha$ (nats)",
            curve("four classes", x, whole),
            *(
                curve(
                    f"{name} and the rest",
                    x,
                    [grouped(a, p[chosen].sum(), q[chosen].sum()) for a in orders],
                    "statement",
                    group=group,
                )
                for group, (name, chosen) in enumerate(groups.items())
            ), log="x",
        ),
    )  # fmt: skip


CLAIM = Claim(
    id="D13",
    title="Two-point reduction",
    message="Merging classes can only lower the divergence",
    meaning=(
        "Two groups of classes, each with the sum of its probabilities, never differ by more than the classes "
        "themselves. A question about many classes can thus be answered, as a lower bound, by one about two "
        "probabilities."
    ),
    matters="It is the lemma that brings Pinsker's inequality (D11) down to a calculation in two numbers.",
    direction="tight",
    subject=TWO_POINTS,
    statement=statement,
    assumptions=(*GROUPS_ASSUMPTIONS, "g_i = 1 for the classes of the set and 0 for the others; any share will do"),
    source=Source("the data-processing inequality: van Erven & Harremoës 2014, Theorem 9; derived here", "1206.2459"),
    checks=(kernel_check(two_point_reduction), search_check(sides, panels=panels, cost=2.0)),
    controls=(
        Control("double", "twice the grouped divergence", 2 * TWO_POINTS),
        Control("exchanged", "P and Q exchanged", two_point_divergence(STUDENT_MASS, PEER_MASS), drawn=True),
        Control(
            "order", "the grouped divergence at order 2α", two_point_divergence(PEER_MASS, STUDENT_MASS, 2 * alpha)
        ),
    ),
    caption=(
        "The divergence of one pair of four classes at every order, and that of three of its groupings into two, which "
        "lie below it."
    ),
)
