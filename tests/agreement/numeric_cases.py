"""The table of cases on which all routes to the divergence must agree, and the exact values of each case.

A numeric case is one line of ``CASES``: every route in ``test_routes.py`` is then tried on it.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import mpmath as mp
import naive_renyi as naive
import numpy as np


class Case(NamedTuple):
    """Logits of a teacher and of a student, and an order, finite and above zero."""

    teacher: tuple[float, ...]
    student: tuple[float, ...]
    alpha: float

    @property
    def entries(self) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities whose sums are not one."""
        return 3 * np.exp(self.teacher), 0.7 * np.exp(self.student)

    @property
    def well_conditioned(self) -> bool:
        """Whether the definition keeps digits in double precision: away from order one and from consensus."""
        return abs(self.alpha - 1) > 0.05 and (self.teacher, self.student) != NEAR


TWO = ((0.5, -0.25), (-1.0, 1.5))
THREE = ((0.3, -1.2, 2.0), (1.0, 0.0, -0.5))
FOUR = ((4.0, -3.0, 0.0, 1.0), (-2.0, 2.0, 0.5, 1.0))
NEAR = ((0.7, -0.2, 0.1), (0.71, -0.2, 0.09))
FIVE = ((0.1, -0.4, 1.3, 0.0, -2.2), (0.9, -1.4, 0.2, 0.3, -1.0))
ORDERS = (0.25, 0.5, 0.9, 1.0, 1.0 + 1e-7, 1.5, 2.0, 5.0)
CASES = [Case(*pair, alpha) for pair in (TWO, THREE, FOUR, NEAR, FIVE) for alpha in ORDERS]


@cache
def exact(case: Case) -> dict[str, np.ndarray]:
    """Every quantity of a case, from its definition in mpmath, rounded once."""
    with mp.workdps(naive.DIGITS):
        p, q = (naive.normalised(x, "logits") for x in (case.teacher, case.student))
        table = {
            "value": [naive.divergence(p, q, case.alpha)],
            "escort": naive.escort(p, q, case.alpha),
            "q": naive.student_gradient(p, q, case.alpha),
            "p": naive.teacher_gradient(p, q, case.alpha),
            "alpha": [naive.order_derivative(p, q, case.alpha)],
            **{wrt * 2: list(naive.hessian(p, q, case.alpha, wrt)) for wrt in ("q", "p")},
            "mixed": list(naive.hessian(p, q, case.alpha, "mixed")),
        }
        table |= in_entries(*([mp.mpf(float(x)) for x in values] for values in case.entries), case.alpha)
        return {name: np.array([float(x) for x in values]) for name, values in table.items()}


def in_entries(x: list[mp.mpf], y: list[mp.mpf], alpha: float) -> dict[str, list[mp.mpf]]:
    """Derivatives in probabilities of any sum, whose logarithms are logits."""
    p, q = naive.normalised(x), naive.normalised(y)
    slopes, blocks = {"p": naive.teacher_gradient(p, q, alpha), "q": naive.student_gradient(p, q, alpha)}, {}
    for name, wrt, rows, columns in (("pp", "p", x, x), ("qq", "q", y, y), ("mixed", "mixed", x, y)):
        block = naive.hessian(p, q, alpha, wrt)
        for i, slope in enumerate(slopes.get(wrt, ())):
            block[i, i] -= slope
        blocks[name] = [block[i, j] / a / b for i, a in enumerate(rows) for j, b in enumerate(columns)]
    gradients = {wrt: [g / a for g, a in zip(slopes[wrt], each, strict=True)] for wrt, each in (("p", x), ("q", y))}
    return {f"{name} of entries": values for name, values in (gradients | blocks).items()}
