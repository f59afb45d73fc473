"""D6: the curvature in the student's logits lies between -(1-α)₊/2 and max(1, α)/2."""

from __future__ import annotations

import numpy as np
from sympy import Expr, Max, Rational

from rdml_theory.symbolic.divergence.entries import ORDER_ONE
from rdml_theory.symbolic.divergence.gradients import ASSUMPTIONS
from rdml_theory.symbolic.divergence.names import GREATEST_CURVATURE, LEAST_CURVATURE
from rdml_theory.symbolic.divergence.variance import CURVATURES, curvature_bounds, curvature_targets
from rdml_theory.symbolic.notation import alpha
from verify.checks import curve, function_of, kernel_check, panel
from verify.checks.quantities import Points
from verify.checks.search import Side, search_check
from verify.claim import Claim, Context, Control, Panel, Source, Statement
from verify.names import along

Subject = tuple[Expr, Expr]


def statement(subject: Subject) -> Statement:
    above, below = curvature_targets(*subject)
    words = (
        "For every order α in (0, ∞), number of classes and direction v of the logits z, {above} and {below}, where "
        "{divergence}"
    )
    formulas = {"above": above.relation(), "below": below.relation()}
    return Statement(words, formulas, {"divergence": along(above.left)})


def sides(subject: Subject) -> tuple[Side, ...]:
    lower, upper = subject
    return (
        Side("greatest curvature, orders up to 1", GREATEST_CURVATURE, upper, attained=True, alphas=(0, 1)),
        Side("greatest curvature, orders from 1", GREATEST_CURVATURE, upper, attained=True, alphas=(1, np.inf)),
        Side("least curvature, orders below 1", -LEAST_CURVATURE, -lower, attained=True, alphas=(0, 0.999)),
    )


def panels(subject: Subject, context: Context) -> tuple[Panel, ...]:
    """Eigenvalues of random pairs and of the two worst ones, against the order."""
    lower, upper = (function_of(bound, alpha) for bound in subject)
    points = Points.random(context.rng("figure"), 300, 3, (0.05, 5.0))
    grid, coarse = np.geomspace(0.05, 5, 80), np.geomspace(0.05, 5, 13)

    def eigenvalues(escort: float, student: float) -> np.ndarray:
        """Greatest and least, for two classes with these log-odds of escort and student."""
        return Points.two_classes(student, (escort - student) / coarse, coarse).curvatures

    escort_away, student_away, consensus = eigenvalues(40.0, 0.0), eigenvalues(0.0, 40.0), eigenvalues(0.0, 0.0)
    worst = np.maximum(escort_away[:, -1], consensus[:, -1])
    return (
        panel(
            "curvature in the student's logits", "order $\\alpha$",
            "eigenvalue of $\\partial^2 D_\\alpha/\\partial z^2$ (nats)",
            curve("greatest, random pairs", points.alpha, points.curvatures[:, -1], style="markers", group=0),
            curve("least, random pairs", points.alpha, points.curvatures[:, 0], "second", style="markers", group=0),
            curve("greatest, worst two classes", coarse, worst, style="markers", group=1),
            curve("least, worst two classes", coarse, student_away[:, 0], "second", style="markers", group=1),
            curve("upper bound", grid, upper, "statement", group=0),
            curve("lower bound", grid, lower, "statement", group=1), log="x",
        ),
    )  # fmt: skip


CLAIM = Claim(
    id="D6",
    title="Curvature",
    message="The curvature in the logits is at most ½ max(1, α)",
    meaning=(
        "Seen from the student's logits, the divergence curves upwards at most by half the greater of 1 and α, and "
        "downwards at most by half of 1 - α. From order one on it is convex, as the cross-entropy is."
    ),
    matters=(
        "The curvature limits the step size, so that a large order costs a smaller step and a small one costs "
        "convexity."
    ),
    direction="upper bound",
    subject=CURVATURES,
    statement=statement,
    assumptions=(*ASSUMPTIONS, f"at {ORDER_ONE.text()}, KL(p‖q)", "p positive, α in (0, ∞)"),
    source=Source("this toolkit", own=True),
    checks=(kernel_check(lambda subject: curvature_bounds(*subject)), search_check(sides, panels=panels, cost=3.0)),
    controls=(
        Control("half", "the upper bound halved", (CURVATURES[0], CURVATURES[1] / 2), drawn=True),
        Control("convex", "convex at every order", (Rational(0) * alpha, CURVATURES[1])),
        Control("exchanged", "orders above and below one exchanged", (-Max(alpha - 1, 0) / 2, Max(1, 1 / alpha) / 2)),
        Control("square", "(1-α)² in place of 1-α", (-(Max(1 - alpha, 0) ** 2) / 2, CURVATURES[1])),
    ),
    caption=(
        "The eigenvalues of the Hessian of random pairs lie between the bounds. Two classes reach both: escort at a "
        "vertex and student uniform, and the reverse. From order one the divergence is convex in the logits."
    ),
    in_code="rdml_theory.renyi_hessian",
)
