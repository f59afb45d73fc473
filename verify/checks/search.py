"""Adversarial searches: the ratio of an inequality's two sides is maximised over distributions, orders and classes.

A search that finds nothing proves nothing, but it is the check that a wrong constant, exponent or domain fails,
whatever the proof says; and where a statement says that its constant is attained, the search must come within 0.1% of
it. What differential evolution and a simplex find in float64 is judged by the definitions at 60 digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import mpmath as mp
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import differential_evolution, minimize
from sympy import Expr

from rdml_theory.symbolic.divergence import names
from verify.checks import reference
from verify.checks.comparisons import at_least, at_most
from verify.checks.quantities import ExactPoint, Points, evaluator
from verify.claim import Check, Found, check
from verify.context import Context
from verify.records import Comparison, Panel

__all__ = ["ATTAINED", "SEARCH", "Side", "search_check"]

S = TypeVar("S")

SEARCH = "search"
"""The id of these checks."""

ATTAINED = 0.999
"""The ratio that must be reached where a constant is attained, possibly only in the limit."""

_ENOUGH = 1.01
"""A ratio with which a search ends: the inequality is false."""

_ROUNDING = 4 * float(np.finfo(float).eps)
_NOTHING = mp.mpf(10) ** -40
"""What 60 digits leave of a quantity that vanishes."""

_LEAST = 1e-8

_ORDERS = (0.01, 100.0)
_SCALES = {"student": (-2.0, 1.7), "ratio": (-3.0, 2.0)}  # powers of ten


@dataclass(frozen=True)
class Side:
    """One inequality, smaller ≤ larger, with what is expected of a search.

    Parameters
    ----------
    name : str
        What it is called in the records.
    smaller, larger : Expr
        Expressions of the quantities in ``verify.checks.quantities``.
    attained : bool
        Whether the constant is attained, at least in the limit.
    orders : (float, float)
        The range of orders for which it is stated.
    path : Points, optional
        Points at each of which the constant is attained.
    """

    name: str
    smaller: Expr
    larger: Expr
    attained: bool = False
    alphas: tuple[float, float] = (0.0, float("inf"))
    path: Points | None = None


def _interpolated(low: float, high: float, x: NDArray[np.float64]) -> NDArray[np.float64]:
    return low + (high - low) * x


def _points(x: NDArray[np.float64], classes: int, alphas: tuple[float, float]) -> Points:
    """Points from a unit cube: an order, two scales, and the directions of logits, log-ratio and (if any) vector."""
    low, high = (float(np.log(np.clip(o, *_ORDERS))) for o in alphas)
    alpha = np.exp(_interpolated(low, high, x[:, 0]))
    scales = [10 ** _interpolated(*_SCALES[name], x[:, 1 + n : 2 + n]) for n, name in enumerate(_SCALES)]
    student, ratio, *rest = (2 * part - 1 for part in np.split(x[:, 3:], x[:, 3:].shape[1] // classes, axis=1))
    vector = rest[0] if rest else np.zeros_like(student)
    student, ratio = student * scales[0], ratio * scales[1]
    return Points(student + ratio, student, np.clip(alpha, *alphas), vector)


def _float_ratio(smaller: Any, larger: Any) -> Callable[[Points], NDArray[np.float64]]:
    def ratio(points: Points) -> NDArray[np.float64]:
        with np.errstate(all="ignore"):
            bound = larger(points)
            value = smaller(points) / bound
        # Where the larger side is this small, rounding could look like a violation; its limit shows at larger values.
        return np.where(np.isfinite(value) & ((bound > _LEAST) | (bound == 0)), value, -1.0)

    return ratio


def _exact_ratio(smaller: Any, larger: Any, point: ExactPoint) -> float:
    """The ratio at 60 digits; where the larger side vanishes and the smaller does not, infinite."""
    above, below = smaller(point), larger(point)
    if abs(below) < _NOTHING:
        return float("inf") if above > _NOTHING else 0.0
    # A negative larger side cannot bound anything from above.
    return float(above / below) if below > 0 else float("inf" if above > below else 0.0)


def _has_vector(side: Side) -> bool:
    return (side.smaller + side.larger).has(names.VARIANCE, names.MEAN, names.LEAST, names.GREATEST)


def _with_slopes(loss: Any, x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """The loss and its central differences, from one batch of points."""
    width = 1e-6
    steps = width * np.eye(x.size)
    values = loss(np.concatenate([x[None], x + steps, x - steps]).T)
    up, down = values[1 : 1 + x.size], values[1 + x.size :]
    return float(values[0]), (up - down) / (2 * width)


def _strongest(
    ratio: Callable[[Points], NDArray[np.float64]], classes: int, side: Side, rng: np.random.Generator, effort: int
) -> Points:
    """The point with the greatest ratio that differential evolution and a simplex find, or one that refutes."""
    size, least = 3 + (3 if _has_vector(side) else 2) * classes, np.inf

    def loss(x: NDArray[np.float64]) -> NDArray[np.float64]:
        nonlocal least
        found = -ratio(_points(np.clip(x.T, 0, 1), classes, side.alphas))
        least = min(least, float(found.min()))
        return found

    start = rng.random((8 * size, size))
    # The generator's argument is called `rng` in newer releases of SciPy; all of them take `seed`.
    options: dict[str, Any] = {"seed": rng, "vectorized": True, "updating": "deferred", "init": start}
    global_ = differential_evolution(
        loss, [(0, 1)] * size, polish=False, maxiter=effort, tol=1e-10, strategy="currenttobest1bin",
        callback=lambda x, convergence: least < -_ENOUGH, **options,
    )  # fmt: skip
    if global_.fun < -_ENOUGH:
        return _points(np.clip(global_.x, 0, 1)[None], classes, side.alphas)
    local = minimize(
        lambda x: _with_slopes(loss, x), global_.x, jac=True, method="L-BFGS-B", bounds=[(0, 1)] * size,
        options={"maxiter": effort, "maxfun": 2 * effort},
    )  # fmt: skip
    best = local.x if local.fun < global_.fun else global_.x
    return _points(np.clip(best, 0, 1)[None], classes, side.alphas)


def _compare(side: Side, context: Context, classes: Sequence[int], effort: int) -> list[Comparison]:
    smaller, larger = (evaluator(x, "numpy") for x in (side.smaller, side.larger))
    exact_smaller, exact_larger = (evaluator(x, "mpmath") for x in (side.smaller, side.larger))
    found: tuple[float, str] | None = None
    for count in classes:
        best = _strongest(_float_ratio(smaller, larger), count, side, context.rng(side.name, count), effort)
        with mp.workdps(reference.DIGITS):
            point = best.at(0)
            ratio = _exact_ratio(exact_smaller, exact_larger, point)
            if found is None or ratio > found[0]:
                found = (ratio, f"C = {count}, {point.describe()}")
        if ratio > _ENOUGH:
            break
    assert found is not None
    ratio, where = found
    out = [at_most(f"{side.name}: greatest ratio of the sides found", ratio, 1 + _ROUNDING, where=where)]
    if side.attained:
        out.append(at_least(f"{side.name}: attained to 0.1%", ratio, ATTAINED, where=where))
    if side.path is not None:
        ratios = []
        with mp.workdps(reference.DIGITS):
            for place in range(len(side.path.alpha)):
                point = side.path.at(place)
                ratios.append((_exact_ratio(exact_smaller, exact_larger, point), point.describe()))
        most, least = max(ratios), min(ratios)
        out.append(at_most(f"{side.name}: greatest ratio on the path", most[0], 1 + _ROUNDING, where=most[1]))
        out.append(at_least(f"{side.name}: attained along the path", least[0], ATTAINED, where=least[1]))
    return out


def search_check(
    sides: Callable[[S], Sequence[Side]],
    *,
    panels: Callable[[S, Context], tuple[Panel, ...]] | None = None,
    classes: Sequence[int] = (2, 3, 6),
    cost: float = 3.0,
) -> Check[S]:
    """A check that maximises smaller/larger over distributions, orders and numbers of classes, from many starts.

    Parameters
    ----------
    sides : callable
        The inequalities that a subject states.
    panels : callable, optional
        The figure's panels for a subject.
    classes : sequence of int
        The numbers of classes to try.
    cost : float
        Rough seconds in the quick profile.
    """

    @check("numeric", cost=cost)
    def search(subject: S, context: Context) -> Found:
        """Can an adversarial search over p, q, α and C, from many starts, make the smaller side exceed the larger, and
        does it reach it where the constant is attained?
        """
        effort = context.pick(quick=60, full=600)
        for side in context.each(sides(subject)):
            # A negative control that is false on another side has this one from its claim.
            yield from context.shared(_compare, side, context, classes, effort)
        if panels:
            yield from panels(subject, context)

    return search
