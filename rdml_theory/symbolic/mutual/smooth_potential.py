"""C7: the function that a cohort descends at order ½ is (1+β)Λ-smooth, if its students are linear.

Student k of K has the logits z of class i on input m of N, which move along a direction V of all weights by the entries
v of V_k x. The labels' part of its loss is linear in the logits, with any weights y.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sympy import Derivative, Sum, exp, log

from rdml_theory.symbolic.divergence.entries import a, discharged, given, total
from rdml_theory.symbolic.divergence.entries import v as _v
from rdml_theory.symbolic.divergence.gradients import SHIFT
from rdml_theory.symbolic.divergence.variance import variance_not_negative, variance_of_entries
from rdml_theory.symbolic.kernel import (
    AtMost,
    Entry,
    Equal,
    Less,
    Theorem,
    Vector,
    assume,
    combine,
    differentiate,
    identity,
    instantiate,
    nonnegative,
    one_term,
    square,
    sum_over,
)  # fmt: skip
from rdml_theory.symbolic.mutual.composed import pairs as inputs
from rdml_theory.symbolic.mutual.gain import students
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Formula, i, j, k, l, m
from rdml_theory.symbolic.sgd.setting import smoothness

__all__ = ["ASSUMPTIONS", "CURVATURES", "direction", "smooth_potential", "smooth_targets"]

Term = Any

CURVATURES: tuple[Formula, Formula] = (-beta * smoothness, (1 + beta) * smoothness)
"""-βΛ and (1+β)Λ."""

direction = Vector("V")
"""A direction of the weights of all students."""

_SEVERAL = Less(1, students)


def _move(student: Term) -> Term:
    return Entry("v", i, False, False, student, m)


def _logits(student: Term) -> Term:
    return Entry("z", i, False, False, student, m) + SHIFT * _move(student)


def _over(summand: Term, index: Term = k, count: Term = students) -> Term:
    return Sum(summand, (index, 1, count))


_SIZE = _over(total(_move(k) ** 2) / 2)
_LINEAR = AtMost(_over(_SIZE / inputs, m, inputs), smoothness * square(direction))

ASSUMPTIONS = (_LINEAR.text(), _SEVERAL.text())
"""What the smoothness assumes, as text: the logits are linear, and Λ is at least that of every base loss."""


def _scale() -> Term:
    """Of each ordered pair of students, also of a student and itself, for which the divergence is 0."""
    return beta / (2 * (students - 1))


def _half(first: Term, second: Term) -> Term:
    """D_½ of the softmax of some logits from that of others."""
    sums = (log(total(exp(logits))) for logits in (first, second, (first + second) / 2))
    one, other, mixed = sums
    return one + other - 2 * mixed


def _potential() -> Term:
    """Φ along the direction: the mean over inputs of the losses, and of the divergences of all pairs."""
    label = total(Entry("y", i, False, False, k, m) * _logits(k))
    base = log(total(exp(_logits(k)))) - label
    mutual = _over(_scale() * _over(_half(_logits(j), _logits(k)), j))
    return _over((_over(base) + mutual) / inputs, m, inputs)


def smooth_targets(curvatures: tuple[Formula, Formula] = CURVATURES) -> tuple[AtMost, AtMost]:
    """``Φ'' ≤ (1+β)Λ‖V‖²`` and ``-βΛ‖V‖² ≤ Φ''``, along every direction V.

    >>> print(smooth_targets()[1].left)
    -Lambda*beta*‖V‖²
    """
    slope, size = Derivative(_potential(), (SHIFT, 2)), square(direction)
    return AtMost(slope, curvatures[1] * size), AtMost(curvatures[0] * size, slope)


def _variance(logits: Term, way: Term) -> Term:
    """Of the entries of a direction, under the softmax of some logits."""
    mass = total(exp(logits))
    return total(exp(logits) * way**2) / mass - (total(exp(logits) * way) / mass) ** 2


def _alone(student: Term) -> Term:
    return _variance(_logits(student), _move(student))


def _together() -> Term:
    """Of the sum of two moves, under the softmax of the mean of their logits."""
    return _variance((_logits(j) + _logits(k)) / 2, _move(j) + _move(k))


def _between(logits: Term, way: Term) -> tuple[Theorem, Theorem]:
    """``0 ≤ Var`` and ``Var ≤ ½ Σ v²``."""
    softmax = exp(logits) / total(exp(logits.xreplace({i: l})), l)
    one = identity(Equal(total(softmax), 1), reason="a softmax")
    values = {a(i): softmax, _v(i): way}
    least, most = (
        discharged(instantiate(theorem, values, reason="of this"), one)
        for theorem in (variance_not_negative(), variance_of_entries())
    )
    return least, most


@cache
def _curvature() -> tuple[Theorem, Theorem, Theorem]:
    """Φ'' as a mean of variances, and what it is at most and at least on an input."""
    several = given(_SEVERAL, "given: there are peers")
    room = combine(Less(0, students - 1), [(1, several)], reason="so K-1 is positive")
    whole = _potential()
    itself = combine(Equal(whole, whole), [], known=[room], reason="the definition of Φ")
    twice = differentiate(differentiate(itself, SHIFT, reason="differentiate"), SHIFT, reason="and once more")
    pair = _alone(j) + _alone(k) - _together() / 2
    on_input = _over(_alone(k)) + _over(_scale() * _over(pair, j))
    written = combine(
        Equal(twice.conclusion.terms()[0], _over(on_input / inputs, m, inputs)), [(1, twice)], known=[room],
        reason="variances of the moves, and of those of pairs",
    )  # fmt: skip
    least, most = _between(_logits(k), _move(k))
    shared, bounded = _between((_logits(j) + _logits(k)) / 2, _move(j) + _move(k))
    squares = {index: total(_move(index) ** 2) for index in (j, k)}
    apart = nonnegative(total((_move(j) - _move(k)) ** 2) / 2, reason="a sum of squares")
    opposite = combine(
        AtMost(0, squares[j] + squares[k] - _together()),
        [(1, bounded), (1, apart)],
        reason="(v_j + v_k)² is at most 2v_j² + 2v_k²",
    )
    student = given(AtMost(k, students), "for a student")

    def own(theorem: Theorem) -> Theorem:
        one = one_term(theorem, j, students, k, known=[student], reason="a student with itself")
        scaled = one.conclusion.map(lambda side: _scale() / 2 * side)
        part = combine(scaled, [(_scale() / 2, one)], known=[room], reason="in Φ")
        return sum_over(part, k, students, reason="over the students")

    alone, above = (sum_over(theorem, k, students, reason="over the students") for theorem in (least, most))
    upper = combine(
        AtMost(on_input, (1 + beta) * _SIZE), [(1, own(shared)), (1 + beta, above)], known=[room],
        reason="a student's variance counts once, and β times for its peers",
    )  # fmt: skip
    lower = combine(
        AtMost(-beta * _SIZE, on_input), [(1, own(opposite)), (1 + beta, alone)], known=[room],
        reason="and pairs take at most their moves' squares away",
    )  # fmt: skip
    return written, upper, lower


def smooth_potential(curvatures: tuple[Formula, Formula] = CURVATURES) -> tuple[Theorem, Theorem]:
    """``-βΛ‖V‖² ≤ Φ'' ≤ (1+β)Λ‖V‖²`` along every direction V: Φ is (1+β)Λ-smooth.

    Raises
    ------
    ProofError
        If the curvatures asserted do not follow.

    Examples
    --------
    >>> len(smooth_potential())
    2
    """
    written, upper, lower = _curvature()
    linear = assume(_LINEAR, reason="given: the logits are linear, and each base loss Λ-smooth")

    def bound(target: AtMost, theorem: Theorem, sign: int, weight: Term) -> Theorem:
        part = combine(theorem.conclusion.map(lambda side: side / inputs), [(1 / inputs, theorem)], reason="its part")
        mean = sum_over(part, m, inputs, reason="over the inputs")
        return combine(target, [(sign, written), (1, mean), (weight, linear)], reason="as the logits are linear")

    targets = smooth_targets(curvatures)
    return bound(targets[0], upper, 1, 1 + beta), bound(targets[1], lower, -1, beta)
