"""G4: αβ for a wanted gain and an order that leaves near peers their pull; what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sympy import Expr, Integer, tanh

from convergence import recipe
from convergence.advice import natural_range
from rdml_theory import renyi_gradient
from rdml_theory.symbolic import notation
from rdml_theory.symbolic.divergence.entries import log_ratio
from rdml_theory.symbolic.mutual import gain, influence
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Named, i
from verify.checks import at_least, at_most, curve, cut_mean, function_of, implementation_check, kernel_check, panel
from verify.checks.samples import Task
from verify.claim import Claim, Context, Control, Found, Panel, Source, Statement, check
from verify.names import named, variance_of

Array = NDArray[np.float64]

TASK = Task()
STUDENTS, COHORTS = 4, 1_024
SIZES = (1_000, 4_000)
ORDERS = (4.0, 16.0, 32.0)
NEAR, COST = 4.0, 0.3
"""Up to this αρ̂ the excess risk is at most this part above that of the gain law."""

ENDS = (-1.0, 1.0)
"""Where differences are cut; their standard deviation is at most 0.2."""

_LAW = function_of(gain.GAIN, notation.alpha, beta, gain.students, gain.lone)


@dataclass(frozen=True)
class Subject:
    """The least part of its pull that a near peer keeps, in x = αρ̂; and the product for a wanted gain, in g and K."""

    kept: Expr
    product: Expr = influence.PRODUCT

    def part(self, x: Any) -> Any:
        """The part at x."""
        return function_of(self.kept, influence.reach)(x) * np.ones_like(x)

    @property
    def needed(self) -> Any:
        """The product as a function of g and K."""
        return function_of(self.product, influence.wanted, gain.students)


def statement(subject: Subject) -> Statement:
    words = (
        "For every pair whose log-ratio t = log(p/q) has a range of at most ρ, and any number of classes, {kept}, "
        "where {spread}. So with αρ̂ = {x}, ρ̂ the range between good students, near peers keep at least {part} of their "
        "linear pull, and far ones have at most √2 αβ/α (G3). By the gain law K students reach {g} times the excess "
        "risk of one alone at {product}"
    )
    product = named(Named("αβ", r"\alpha \beta"), subject.product)
    formulas = {
        "kept": influence.recipe_target(subject.kept).relation(), "x": influence.reach, "part": subject.kept,
        "g": influence.wanted, "product": product,
    }  # fmt: skip
    return Statement(words, formulas, {"spread": variance_of("t", log_ratio(i))})


def _compared(subject: Subject, rng: np.random.Generator) -> list[tuple[float, float]]:
    count = int(rng.integers(2, 20))
    g = float(1 / count + (1 - 1 / count) * rng.uniform(0.01, 0.99))
    rho, x = 10 ** rng.uniform(-2, 1.5, 2)
    found = recipe(students=count, risk=g, log_ratio_range=rho, reach=x)
    law = float(_LAW(found.alpha, found.beta, float(count), 1.0))
    return [
        (found.product, float(subject.needed(g, float(count)))),
        (found.kept, float(subject.part(x))),
        (law, g),
        (found.cap, float(np.sqrt(2) * found.product * rho / x)),
    ]


@check("numeric")
def pairs(subject: Subject, context: Context) -> Found:
    """Does every pair keep that part of its linear pull, and one no more?

    ⟨t, w - q⟩ over α Var_q(t) against the stated part, and a pair that comes near to it.
    """
    rng, count, least = context.rng("pairs"), context.pick(quick=20_000, full=500_000), np.inf
    for classes in (2, 3, 10):
        z = rng.normal(size=(count, classes)) * 10 ** rng.uniform(-1, 0.7, (count, 1))
        t = rng.normal(size=(count, classes)) * 10 ** rng.uniform(-2, 0.7, (count, 1))
        alpha = 10 ** rng.uniform(-1.5, 1.0, count)
        least = min(least, float((_kept(z, t, alpha) / subject.part(alpha * np.ptp(t, axis=1))).min()))
    # Nearly all of the student's mass is where the peer has more of it.
    x = np.array([0.1, 1.0, 4.0, 10.0])
    z, t = np.column_stack([0 * x + 14, 0 * x]), np.column_stack([x, 0 * x])
    near = float((_kept(z, t, np.ones(4)) / subject.part(x)).max())
    yield at_least("least part kept over stated, random pairs", least, 1 - 1e-9, samples=3 * count)
    yield at_most("part kept over stated, the worst pair", near, 1.001)


def _kept(z: Array, t: Array, alpha: Array) -> Array:
    """``<t, w - q>/(α Var_q(t))`` for students with logits z and peers with logits z + t."""
    q = softmax(z, axis=1)
    mean = (q * t).sum(axis=1, keepdims=True)
    pull = renyi_gradient(z + t, z, alpha, wrt="q", domain="logits")
    return np.asarray(-((t - mean) * pull).sum(axis=1) / (alpha * (q * (t - mean) ** 2).sum(axis=1)))


def _rest(weights: Array, alpha: float, beta: float, size: int) -> tuple[Array, float]:
    """Students at rest: excess risks (cohort,), and αρ̂ between them."""
    # Where pulls saturate the kept Jacobian is too steep: part of its step is taken.
    found = TASK.settle(weights, alpha, beta, iterations=80, part=0.7)
    gaps = TASK.gaps(found, slice(None)).reshape(STUDENTS, -1)
    apart = np.array([[np.abs(gaps[j] - own) for j in range(STUDENTS) if j != k] for k, own in enumerate(gaps)])
    return TASK.corrected(found, weights, size), alpha * natural_range(apart)


@check("monte-carlo", tests=2 * len(SIZES) * len(ORDERS), cost=2.0)
def cost(subject: Subject, context: Context) -> Found:
    """Do students at large orders lose no more of the gain than that?"""
    points = []
    for size in SIZES:
        weights = TASK.draws(context.rng(size), COHORTS, STUDENTS, size)
        alone, _ = context.shared(_rest, weights, 1.0, 0.0, size)
        for alpha in ORDERS:
            together, reach = context.shared(_rest, weights, alpha, 1 / alpha, size)
            part = float(subject.part(np.array(reach)))
            least, most = (float(_LAW(1.0, c, float(STUDENTS), 1.0)) for c in (1.0, part))
            at = f"n = {size}, α = {alpha:g}"
            name = f"excess risk less that of the gain law at αβ·kept, over d/2n, {at}"
            yield cut_mean(name, together - most * alone, ENDS, 0.0, context.error_rate)
            if reach <= NEAR:
                name = f"excess risk less {1 + COST:g} times that of the gain law, over d/2n, {at}"
                cheap = together - (1 + COST) * least * alone
                yield cut_mean(name, cheap, ENDS, 0.0, context.error_rate)
            ratio = float(together.mean() / alone.mean())
            error = float(np.std(together - ratio * alone) / alone.mean()) / np.sqrt(COHORTS)
            points.append((reach, ratio, error, size))
    yield _trade_off(subject, points)


def _trade_off(subject: Subject, points: list[tuple[float, float, float, int]]) -> Panel:
    grid = np.geomspace(0.2, 20, 60)
    stated = [float(_LAW(1.0, float(c), float(STUDENTS), 1.0)) for c in subject.part(grid)]
    marks = []
    for size, role in zip(SIZES, ("measured", "second"), strict=True):
        x, y, error = np.array([point[:3] for point in points if point[3] == size]).T
        band = (y - 2 * error, y + 2 * error)
        marks.append(curve(f"measured, $n$ = {size} (band: two standard errors)", x, y, role, style="both", band=band))  # type: ignore[arg-type]
    return panel(
        f"what a large order costs, $K$ = {STUDENTS}, $\\alpha\\beta$ = 1", "reach $\\alpha\\hat\\rho$",
        "excess risk over that alone",
        curve("at most: the gain law at $\\alpha\\beta$ times what is kept", grid, stated, "statement"),
        curve("gain law at $\\alpha\\beta$", grid, float(_LAW(1.0, 1.0, float(STUDENTS), 1.0)), "reference"),
        *marks, log="x",
    )  # fmt: skip


_X = influence.reach

CLAIM = Claim(
    id="G4",
    title="Which order, which weight",
    message="The gain fixes αβ; a larger order costs a bounded part of it",
    meaning=(
        "For a wanted gain the product of order and weight follows from the gain law, and the order from how far good "
        "students naturally are from one another. A larger order holds bad peers back more, and costs a bounded part "
        "of the gain."
    ),
    matters=(
        "It turns the theory into two numbers that one can set before training."
    ),
    direction="upper bound",
    subject=Subject(influence.KEPT),
    statement=statement,
    assumptions=(
        *influence.RECIPE_ASSUMPTIONS,
        "p and q positive, w the escort, t = log(p/q), α in (0, ∞)",
        "the gain law (G1): K students of one model with samples of their own, near consensus",
        "measured, not proved: that students at rest have at most the excess risk of the gain law at αβ times the "
        "part that is kept at ρ̂, the median over pairs of the 95% quantile over inputs; logistic students, K = 4, n "
        "= 1000 and 4000",
    ),
    source=Source("this toolkit", own=True),
    checks=(
        kernel_check(lambda subject: influence.recipe(subject.kept, subject.product)),
        implementation_check(_compared, quick=300, full=10_000, allowed=1e-9),
        pairs, cost,
    ),
    controls=(
        Control("all", "the whole pull is kept", Subject(influence.KEPT * 0 + Integer(1)), drawn=True),
        Control("tanh", "tanh(x/4)/(x/4), the part of the greatest pull", Subject(tanh(_X / 4) / (_X / 4))),
        Control("product", "the product without 1 - 1/K",
                Subject(influence.KEPT, influence.PRODUCT / (1 - 1 / gain.students))),
    ),
    caption=(
        "The excess risk of four students, over that of one alone, against αρ̂: where the order is large for the "
        "disagreement of good students, a part of the gain is lost, less than the bound says."
    ),
    in_code="convergence.recipe",
)  # fmt: skip
