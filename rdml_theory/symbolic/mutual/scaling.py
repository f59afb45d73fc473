"""E2: how the plateau of a cohort near consensus scales with its weight, its order and the number of its students.

Near consensus the mutual gradient is ``αF(θ - m)``, m the mean of the peers, and the base gradient ``F(θ - o)``, o the
student's own optimum; x, a and m stand here for θ, o and the mean of the peers with F applied.
"""

from __future__ import annotations

from typing import Any

from sympy import Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.mutual.gain import students
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Formula, alpha
from rdml_theory.symbolic.sgd.setting import assumptions, exact, squared

__all__ = ["ASSUMPTIONS", "COHORT", "constant", "own", "plateau_of_cohort", "plateau_target"]

constant: Formula = Symbol("V", positive=True)
"""V: the variance of a peer's optimum, in the norm of F²."""

own: Formula = Symbol("u", nonnegative=True)
"""The variance of the student's own optimum over that of a peer's: 1 for students alike, 0 with the data of all."""

COHORT: Formula = constant * alpha**2 * beta**2 * (own + 1 / (students - 1))
"""‖∇L‖² of a student at rest, for small α and β."""

_s, _a, _m = (Random(name) for name in "sam")
_product = alpha * beta
_MORE = Less(1, students)
_GIVEN = (
    Equal(_s - _a + _product * (_s - _m), 0 * _s),
    Equal(Mean(square(_a)), own * constant),
    Equal((students - 1) * Mean(square(_m)), constant),
    Equal(Mean(Inner(_a, _m)), 0),
)

ASSUMPTIONS = assumptions(*(told.text() for told in (_MORE, *_GIVEN)))
"""What the law assumes, as text: the student is at rest; its optimum and those of its peers are independent."""


def plateau_target(right_side: Formula = COHORT) -> Equal:
    """``(1 + αβ)² E‖∇L‖² =`` the right side, for the base gradient s - a.

    >>> print(plateau_target().text())
    (α·β + 1)²·E[‖s - a‖²] = V·α²·β²·(u + 1/(K - 1))
    """
    return Equal((1 + _product) ** 2 * Mean(square(_s - _a)), exact(right_side))


@of_formulas()
def plateau_of_cohort(right_side: Formula = COHORT) -> Proof:
    """E2: a student near consensus and at rest has ``(1 + αβ)² E‖∇L‖² = V α²β² (u + 1/(K-1))``.

    This toolkit's own.

    Examples
    --------
    >>> plateau_of_cohort().verify()
    True
    """
    rest, size, mean, apart = (assume(told, reason="given") for told in _GIVEN)
    leans: Any = combine(
        Equal((1 + _product) * (_s - _a), _product * (_m - _a)), [(1, rest)], reason="at rest it leans to its peers"
    )
    law = combine(
        plateau_target(right_side),
        [
            (1, expectation(squared(leans), reason="take expectations")),
            (_product**2, size),
            (_product**2 / (students - 1), mean),
            (-2 * _product**2, apart),
        ],
        known=[assume(_MORE, reason="given")],
        reason="the variances of its own optimum and of the mean of its peers add up",
    )
    return Proof((law,))
