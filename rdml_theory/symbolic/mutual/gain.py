"""G1: what students with samples of their own gain from one another, in the Gaussian model.

Student k, alone, would estimate the truth with the error ``e_k``; together the students rest at the errors ``x_k``. The
inner product is that of the Fisher information F, so that half a squared norm is an excess risk in nats. For Gaussian
outputs of equal covariance ``D_α = (α/2)‖x_j - x_k‖²`` exactly; else to leading order, near consensus (D10).
"""

from __future__ import annotations

from typing import Any

from sympy import Rational, Sum, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import (
    At,
    Equal,
    ForAll,
    Inner,
    Less,
    Mean,
    Proof,
    Random,
    Theorem,
    Vector,
    assume,
    combine,
    expectation,
    generalise,
    inner,
    instantiate,
    specialise,
    square,
    sum_over,
)  # fmt: skip
from rdml_theory.symbolic.mutual.bias import order
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.setting import assumptions, exact, squared

__all__ = ["ASSUMPTIONS", "GAIN", "gain_law", "gain_target", "lone", "students"]

Term = Any

students: Formula = Symbol("K", integer=True, positive=True)
lone: Formula = Symbol("r", nonnegative=True)
"""r: the excess risk of a student alone, d/2n for d parameters and n samples."""

GAIN: Formula = lone * (1 / students + (1 - 1 / students) / (1 + order * beta * students / (students - 1)) ** 2)
"""The excess risk of one of K students at rest."""

k, j = (Symbol(name, integer=True, nonnegative=True) for name in "kj")
x, e, u = At("x", k), At("e", k), At("u", k)
m, a, y = Random("m"), Random("a"), Vector("y")


def _sum(term: Term) -> Term:
    return Sum(term.subs(k, j), (j, 0, students - 1))


HYPOTHESES = {
    "several": Less(1, students),
    "rest": ForAll(k, Equal(x, e - order * beta * (x - u))),
    "peers": ForAll(k, Equal((students - 1) * u, students * m - x)),
    "mean": ForAll(y, Equal(students * Inner(m, y), _sum(Inner(x, y)))),
    "alone": ForAll(y, Equal(students * Inner(a, y), _sum(Inner(e, y)))),
    "size": ForAll(k, Equal(Mean(square(e)), 2 * lone)),
    "apart": ForAll(k, Equal(students * Mean(Inner(e, a)), 2 * lone)),
    "average": Equal(students * Mean(square(a)), 2 * lone),
}
"""Students at rest; u_k is the mean of k's peers, m that of all, a that of the errors alone. The last three hold for
errors of equal size that are uncorrelated between students."""

ASSUMPTIONS = assumptions(*(part.text() for part in HYPOTHESES.values()))
"""What the law assumes, as text."""


def gain_target(right_side: Term = GAIN) -> Equal:
    """``E‖x_k‖²/2 =`` the right side.

    >>> print(gain_target().text())
    E[‖x_k‖²]/2 = r·((1 - 1/K)/(K·α·β/(K - 1) + 1)² + 1/K)
    """
    return Equal(Mean(square(x)) / 2, right_side)


def _given(name: str, value: Term) -> Theorem:
    return specialise(assume(HYPOTHESES[name], reason="given"), value, reason="given, here")


@of_formulas()
def gain_law(right_side: Formula | None = None) -> Proof:
    """G1: the excess risk of one of K students is ``(d/2n) [1/K + (1 - 1/K)/(1 + αβK/(K-1))²]``: it depends on αβ.

    This toolkit's own. At rest ``x_k - e_k + αβ(x_k - mean of the peers) = 0``: the mean over the students stays what
    it would be alone, and deviations from it shrink.

    Parameters
    ----------
    right_side : Expr, optional
        The asserted excess risk.

    Raises
    ------
    ProofError
        If the argument does not give what is asserted.

    Examples
    --------
    >>> gain_law().verify()
    True
    >>> gain_law(GAIN.subs(order, 1))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: ... is not this combination: ...
    """
    asserted = GAIN if right_side is None else exact(right_side)
    more = combine(
        Less(0, students - 1), [(1, assume(HYPOTHESES["several"], reason="given"))], reason="so there are peers"
    )
    own, pulled = students - 1, order * beta * students
    rest = combine(
        Equal((own + pulled) * x, own * e + pulled * m),
        [(own, _given("rest", k)), (order * beta, _given("peers", k))],
        reason="the mean of the peers is (K m - x_k)/(K - 1)",
    )
    along = instantiate(inner(rest, y), {k: j}, reason="for student j")
    total = sum_over(along, j, students, reason="sum over the students")
    means = [((own + pulled) / students, _given("mean", y)), (-own / students, _given("alone", y))]
    equal = combine(
        Equal(own * Inner(m, y), own * Inner(a, y)),
        [(1 / students, total), *means],
        reason="the pulls cancel: the mean is that of the students alone",
    )
    same = combine(Equal(Inner(m, y), Inner(a, y)), [(1 / own, equal)], known=[more], reason="divide by K - 1")
    anywhere = generalise(same, y, reason="in every direction")
    along_error, along_mean, along_alone = (specialise(anywhere, v, reason="in this direction") for v in (e, m, a))
    size = combine(
        Equal(
            (own + pulled) ** 2 * square(x), own**2 * square(e) + 2 * own * pulled * Inner(e, a) + pulled**2 * square(a)
        ),
        [
            (1, squared(rest)),
            (2 * own * pulled, along_error),
            (pulled**2, along_mean),
            (pulled**2, along_alone),
        ],
        reason="the square of a student's error",
    )
    grown = own + pulled
    room = combine(Less(0, grown), [(1, more)], slack=pulled, reason="which is positive")
    law = combine(
        gain_target(asserted),
        [
            (Rational(1, 2) / grown**2, expectation(size, reason="take expectations")),
            (own**2 / (2 * grown**2), _given("size", k)),
            (own * pulled / (students * grown**2), _given("apart", k)),
            (pulled**2 / (2 * students * grown**2), assume(HYPOTHESES["average"], reason="given")),
        ],
        known=[more, room],
        reason="deviations shrink by 1 + αβK/(K-1), the mean does not",
    )
    return Proof((law,))
