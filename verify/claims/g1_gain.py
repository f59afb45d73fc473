"""G1: what students with samples of their own gain from one another, and that it depends on the product αβ alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sympy import Expr

from rdml_theory.symbolic import notation
from rdml_theory.symbolic.mutual import gain as symbolic
from rdml_theory.symbolic.mutual.plateau import beta
from verify.checks import Role, Worst, close_to, curve, exponents, function_of, kernel_check, panel
from verify.checks.samples import Task
from verify.claim import Claim, Context, Control, Found, Panel, Source, Statement, check

Array = NDArray[np.float64]

TASK = Task()
STUDENTS = 4
SIZE = 16_000
"""n."""

PAIRS = ((1.0, 1.0), (2.0, 0.5), (0.5, 2.0), (2.0, 2.0), (0.5, 0.5), (8.0, 0.125))
"""(α, β) that are judged."""

ORDERS, PRODUCTS = (0.5, 1.0, 2.0, 4.0), (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Those of the figure."""

TOLERANCE = 0.015
SLOPES = ((1.0, 1.0), (0.5, 2.0), (4.0, 0.25))


@dataclass(frozen=True)
class Subject:
    """The excess risk of one of K students at rest."""

    right_side: Expr

    def ratio(self, alpha: float, weight: float, students: int) -> float:
        """It over that of a student alone."""
        law = function_of(self.right_side, notation.alpha, beta, symbolic.students, symbolic.lone)
        return float(law(alpha, weight, float(students), 1.0))


def statement(subject: Subject) -> Statement:
    words = (
        "{K} ≥ 2 students of one model, each with a sample of its own, who compare their predictions on common inputs, "
        "are at rest where each has the expected excess risk {law}, {r} = d/2n that of a student alone; exactly for "
        "Gaussian outputs, else to leading order as n → ∞. It depends on α and β by their product alone, and falls "
        "from d/2n to d/2n{K}"
    )
    law = symbolic.gain_target(subject.right_side).relation()
    return Statement(words, {"K": symbolic.students, "r": symbolic.lone, "law": law})


@check("numeric")
def gaussian(subject: Subject, context: Context) -> Found:
    """Do students with Gaussian outputs, at rest, have this excess risk?"""
    rng, worst = context.rng("cohorts"), Worst()
    for _ in range(context.pick(quick=200, full=5_000)):
        students, dim = int(rng.integers(2, 9)), int(rng.integers(1, 5))
        alpha, weight = 10 ** rng.uniform(-1.5, 1.5, 2)
        # Everybody's peers on average, as a matrix; the gradient of D_α = (α/2)‖x_j - x_k‖² in units of F.
        peers = (np.ones((students, students)) - np.eye(students)) / (students - 1)
        system = np.eye(students) + alpha * weight * (np.eye(students) - peers)
        solved = np.linalg.solve(system, np.eye(students))
        # Errors of variance 1/n in each of d directions: half their mean square over d/2n.
        risk = float((solved**2).sum(axis=1)[0]) * dim / 2
        stated = subject.ratio(alpha, weight, students) * dim / 2
        worst.see("relative difference from the solved equations", abs(stated / risk - 1), 1e-11)
    yield from worst.comparisons()


def _remainders(alpha: float, weight: float, weights: Array) -> Array:
    """The excess risk less its quadratic part, relative, at samples 1, 4 and 16 times as large, (size, cohort).

    Larger samples by smaller deviations from what is expected; each with its mirror image, so that odd orders cancel.
    """
    expected = 2 * TASK.points * TASK.joint()
    out = []
    for share in (0.5, 0.25, 0.125):
        sides = []
        for sign in (1, -1):
            moved = expected + sign * share * (weights - expected)
            linear = TASK.quadratic(TASK.settle(moved, alpha, weight, iterations=1))
            sides.append((TASK.excess(TASK.settle(moved, alpha, weight)) - linear) / linear)
        out.append(np.abs(np.mean(sides, axis=0)))
    return np.stack(out)


@check("monte-carlo", tests=len(PAIRS) + len(SLOPES), cost=2.0)
def logistic(subject: Subject, context: Context) -> Found:
    """Do logistic students have it at n = 16000, and does what it leaves out vanish as 1/n?"""
    count = context.pick(quick=1_024, full=4_096)
    weights = TASK.draws(context.rng("samples"), count, STUDENTS, SIZE)
    for alpha, weight in PAIRS:
        values = context.shared(TASK.risk, weights, alpha, weight, SIZE)
        stated = subject.ratio(alpha, weight, STUDENTS)
        name = f"excess risk over d/2n, K = {STUDENTS}, n = {SIZE}, α = {alpha:g}, β = {weight:g}"
        yield close_to(name, values, stated, TOLERANCE, context.error_rate, cut=20.0)
    few = weights[:256]
    for alpha, weight in SLOPES:
        rest = context.shared(_remainders, alpha, weight, few)
        slopes = exponents((1.0, 4.0, 16.0), rest)
        name = f"exponent in n of what the law leaves out, relative, α = {alpha:g}, β = {weight:g}"
        yield close_to(name, slopes, -1.0, 0.1, context.error_rate, absolute=True)
    yield _collapse(subject, context, weights[:256])


def _collapse(subject: Subject, context: Context, weights: Array) -> Panel:
    """Excess risk against αβ, for several orders."""
    grid = np.geomspace(PRODUCTS[0] / 2, PRODUCTS[-1] * 2, 60)
    curves = [curve("law", grid, [subject.ratio(1.0, float(c), STUDENTS) for c in grid], "statement")]
    roles: tuple[Role, ...] = ("measured", "second", "measured", "second")
    for number, alpha in enumerate(ORDERS):
        levels = [float(context.shared(TASK.risk, weights, alpha, c / alpha, SIZE).mean()) for c in PRODUCTS]
        curves.append(curve(f"$\\alpha$ = {alpha:g}", PRODUCTS, levels, roles[number], style="markers", group=number))
    curves.append(curve("the ensemble, $1/K$", grid, 1 / STUDENTS, "reference"))
    labels = (
        f"logistic students, $K$ = {STUDENTS}, $n$ = {SIZE}",
        "product $\\alpha\\beta$",
        "excess risk over $d/2n$",
    )
    return panel(*labels, *curves, log="x")


_LAW, _K = symbolic.GAIN, symbolic.students
_PULLED = notation.alpha * beta * _K / (_K - 1)

CLAIM = Claim(
    id="G1",
    title="Gain from diversity",
    message="The gain depends on the product of order and weight",
    meaning=(
        "Students that have data of their own and compare predictions each come near to the error of the whole "
        "ensemble. How near depends on the product of order and weight and on nothing else."
    ),
    matters=(
        "It says when mutual learning helps and by how much, and that a comparison of orders at one weight "
        "compares weights."
    ),
    direction="equality",
    subject=Subject(_LAW),
    statement=statement,
    assumptions=(
        *symbolic.ASSUMPTIONS,
        "norms are those of the Fisher information F: E‖e_k‖²/2 = d/2n for maximum likelihood on n samples; E D_α = "
        "(α/2)‖x_j - x_k‖², exactly for Gaussian outputs of equal covariance, else to second order (D10)",
        "the model is true, and inputs are those of the samples in distribution",
    ),
    source=Source("this toolkit", own=True),
    checks=(kernel_check(lambda subject: symbolic.gain_law(subject.right_side)), gaussian, logistic),
    controls=(
        Control("weight", "the weight alone counts", Subject(_LAW.subs(notation.alpha, 1))),
        Control(
            "all",
            "the mean of all in place of that of the peers",
            Subject(symbolic.lone * (1 / _K + (1 - 1 / _K) / (1 + notation.alpha * beta) ** 2)),
        ),
        Control("linear", "no square", Subject(symbolic.lone * (1 / _K + (1 - 1 / _K) / (1 + _PULLED))), drawn=True),
    ),
    caption=(
        "The excess risk of logistic students with a sample each, over that of a student alone, against the product of "
        "order and weight: all orders lie on one curve, which falls to that of the ensemble."
    ),
    in_code="convergence.recipe",
)
