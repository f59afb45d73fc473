"""What inequalities of the divergence speak of, each twice: by the product in float64, and by its definition in mpmath.

A search maximises over the first, on batches of points; what it finds is judged by the second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mpmath as mp
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sympy import Basic, Expr

from rdml_theory import escort, renyi_gradient, renyi_hessian, renyi_value_and_gradient
from rdml_theory.symbolic.divergence import names
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.notation import C, alpha
from verify.checks import reference
from verify.checks.formulas import function_of

__all__ = ["QUANTITIES", "ExactPoint", "Points", "Quantity", "evaluator"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """A batch: logits of peer and student and a vector v, of shape (N, C), and orders, of shape (N,)."""

    teacher: Array
    student: Array
    alpha: Array
    vector: Array

    @classmethod
    def random(
        cls, rng: np.random.Generator, count: int, classes: int, alphas: tuple[float, float] = (0.1, 10.0)
    ) -> Points:
        """Pairs from near consensus to far from it, of confident and of hesitant students, at orders in a range."""
        student = 10 ** rng.uniform(-1, 0.7, (count, 1)) * rng.standard_normal((count, classes))
        ratio = 10 ** rng.uniform(-1, 0.9, (count, 1)) * rng.standard_normal((count, classes))
        alpha = np.exp(rng.uniform(np.log(alphas[0]), np.log(alphas[1]), count))
        return cls(student + ratio, student, alpha, rng.uniform(0, 1, (count, classes)))

    @classmethod
    def two_classes(cls, odds: ArrayLike, ratio: ArrayLike, alpha: ArrayLike) -> Points:
        """Students and log-ratios of two classes, the first class's less the second's; the escort's is odds + α ratio.

        >>> Points.two_classes(0.0, [1.0, 2.0], 0.5).teacher.tolist()
        [[1.0, 0.0], [2.0, 0.0]]
        """
        odds, ratio, alpha = np.broadcast_arrays(*(np.atleast_1d(np.asarray(x, float)) for x in (odds, ratio, alpha)))
        student, between = (np.column_stack([x, 0 * x]) for x in (odds, ratio))
        return cls(student + between, student, alpha, 0 * student)

    def at(self, place: int) -> ExactPoint:
        """One point, exactly."""
        rows = (x[place].tolist() for x in (self.teacher, self.student, self.vector))
        return ExactPoint(*(tuple(mp.mpf(x) for x in row) for row in rows), alpha=mp.mpf(float(self.alpha[place])))

    @cached_property
    def ratio(self) -> Array:
        """log p/q, up to a constant."""
        return self.teacher - self.student

    @cached_property
    def p(self) -> Array:
        """The peer's distribution."""
        return softmax(self.teacher, axis=-1)

    @cached_property
    def q(self) -> Array:
        """The student's distribution."""
        return softmax(self.student, axis=-1)

    @cached_property
    def w(self) -> Array:
        """The escort distribution."""
        return escort(self.teacher, self.student, self.alpha, domain="logits")

    @cached_property
    def divergence_and_gradient(self) -> tuple[Array, Array]:
        """D, and q - w."""
        return renyi_value_and_gradient(self.teacher, self.student, self.alpha, domain="logits")

    @cached_property
    def curvatures(self) -> Array:
        """The eigenvalues of the student Hessian in ascending order."""
        hessian = renyi_hessian(self.teacher, self.student, self.alpha, wrt="q", domain="logits")
        return np.asarray(np.linalg.eigvalsh(hessian), dtype=np.float64)


@dataclass(frozen=True)
class ExactPoint:
    """One point with its distributions in mpmath, at the precision in force."""

    teacher: tuple[Any, ...]
    student: tuple[Any, ...]
    vector: tuple[Any, ...]
    alpha: Any

    @cached_property
    def p(self) -> list[Any]:
        """The peer's distribution."""
        return reference.softmax(self.teacher)

    @cached_property
    def q(self) -> list[Any]:
        """The student's distribution."""
        return reference.softmax(self.student)

    @cached_property
    def w(self) -> list[Any]:
        """The escort distribution."""
        return reference.escort(self.p, self.q, self.alpha)

    @cached_property
    def curvatures(self) -> list[Any]:
        """The eigenvalues of Cov_q - (1-α) Cov_w in ascending order."""
        size = range(len(self.q))

        def covariance(v: Sequence[Any], a: int, b: int) -> Any:
            return (v[a] if a == b else 0) - v[a] * v[b]

        rows = [[covariance(self.q, a, b) - (1 - self.alpha) * covariance(self.w, a, b) for b in size] for a in size]
        return list(mp.eigsy(mp.matrix(rows), eigvals_only=True))

    def describe(self) -> str:
        """Order and distributions in a line, to a few digits."""

        def short(v: Sequence[Any]) -> str:
            return "(" + ", ".join(f"{float(x):.3g}" for x in v) + ")"

        return f"α = {float(self.alpha):.3g}, p = {short(self.p)}, q = {short(self.q)}"


@dataclass(frozen=True)
class Quantity:
    """One number of a point, by the product and by its definition."""

    computed: Callable[[Points], Array]
    exact: Callable[[ExactPoint], Any]


def _half(v: Any) -> int:
    """How many classes form the set A: the first half of them."""
    return (v.shape[-1] if isinstance(v, np.ndarray) else len(v)) // 2


def _range(t: Any) -> Any:
    return max(t) - min(t)


def _log_ratio(x: ExactPoint) -> list[Any]:
    return [mp.log(a / b) for a, b in zip(x.p, x.q, strict=True)]


def _distance(x: Sequence[Any], y: Sequence[Any], alpha: int) -> Any:
    return mp.norm([a - b for a, b in zip(x, y, strict=True)], alpha)


def _exact_teacher_norm(x: ExactPoint) -> Any:
    if x.alpha == 1:
        t = _log_ratio(x)
        mean = mp.fsum(a * b for a, b in zip(x.p, t, strict=True))
        return mp.norm([a * (b - mean) for a, b in zip(x.p, t, strict=True)])
    return abs(x.alpha / (x.alpha - 1)) * _distance(x.w, x.p, 2)


def _exact_variance(x: ExactPoint) -> Any:
    mean = mp.fsum(a * b for a, b in zip(x.q, x.vector, strict=True))
    return mp.fsum(a * (b - mean) ** 2 for a, b in zip(x.q, x.vector, strict=True))


def _variance(x: Points) -> Array:
    mean = (x.q * x.vector).sum(axis=-1, keepdims=True)
    return (x.q * (x.vector - mean) ** 2).sum(axis=-1)


QUANTITIES: dict[Basic, Quantity] = {
    alpha: Quantity(lambda x: x.alpha, lambda x: x.alpha),
    divergence: Quantity(lambda x: x.divergence_and_gradient[0], lambda x: reference.divergence(x.p, x.q, x.alpha)),
    names.rho: Quantity(lambda x: np.ptp(x.ratio, axis=-1), lambda x: _range(_log_ratio(x))),
    names.SPREAD: Quantity(lambda x: x.alpha * np.ptp(x.ratio, axis=-1), lambda x: x.alpha * _range(_log_ratio(x))),
    names.GRADIENT_NORM: Quantity(
        lambda x: np.linalg.norm(x.divergence_and_gradient[1], axis=-1), lambda x: _distance(x.q, x.w, 2)
    ),
    names.ESCORT_DISTANCE: Quantity(
        lambda x: np.abs(x.divergence_and_gradient[1]).sum(axis=-1) / 2, lambda x: _distance(x.q, x.w, 1) / 2
    ),
    names.TEACHER_NORM: Quantity(
        lambda x: np.linalg.norm(renyi_gradient(x.teacher, x.student, x.alpha, wrt="p", domain="logits"), axis=-1),
        _exact_teacher_norm,
    ),
    names.DISTANCE: Quantity(lambda x: np.abs(x.p - x.q).sum(axis=-1), lambda x: _distance(x.p, x.q, 1)),
    names.GREATEST_CURVATURE: Quantity(lambda x: x.curvatures[..., -1], lambda x: x.curvatures[-1]),
    names.LEAST_CURVATURE: Quantity(lambda x: x.curvatures[..., 0], lambda x: x.curvatures[0]),
    names.VARIANCE: Quantity(_variance, _exact_variance),
    names.MEAN: Quantity(
        lambda x: (x.q * x.vector).sum(axis=-1), lambda x: mp.fsum(a * b for a, b in zip(x.q, x.vector, strict=True))
    ),
    names.LEAST: Quantity(lambda x: x.vector.min(axis=-1), lambda x: min(x.vector)),
    names.GREATEST: Quantity(lambda x: x.vector.max(axis=-1), lambda x: max(x.vector)),
    names.PEER_MASS: Quantity(lambda x: x.p[..., : _half(x.p)].sum(axis=-1), lambda x: mp.fsum(x.p[: _half(x.p)])),
    names.STUDENT_MASS: Quantity(lambda x: x.q[..., : _half(x.q)].sum(axis=-1), lambda x: mp.fsum(x.q[: _half(x.q)])),
    names.FLOOR: Quantity(lambda x: np.minimum(x.p.min(axis=-1), x.q.min(axis=-1)), lambda x: min(min(x.p), min(x.q))),
    C: Quantity(lambda x: np.full(x.alpha.shape, x.p.shape[-1]), lambda x: mp.mpf(len(x.p))),
    names.LEAST_PROBABILITY: Quantity(lambda x: x.q.min(axis=-1), lambda x: min(x.q)),
}
"""What can stand in an inequality that is searched."""


def evaluator(expression: Expr, modules: str) -> Callable[[Points | ExactPoint], Any]:
    """An expression of the quantities as a function of points ("numpy") or of one exact point ("mpmath").

    >>> from rdml_theory.symbolic.notation import C, alpha
    >>> points = Points(np.zeros((1, 2)), np.zeros((1, 2)), np.array([2.0]), np.zeros((1, 2)))
    >>> evaluator(3 * alpha, "numpy")(points).tolist()
    [6.0]
    """
    used = [name for name in QUANTITIES if expression.has(name)]
    function = function_of(expression, *used, modules=modules)
    quantities = [QUANTITIES[name] for name in used]

    def evaluate(x: Points | ExactPoint) -> Any:
        if isinstance(x, Points):
            value = function(*(quantity.computed(x) for quantity in quantities))
            return np.broadcast_to(np.asarray(value, dtype=float), x.alpha.shape)
        return mp.mpf(function(*(quantity.exact(x) for quantity in quantities)))

    return evaluate
