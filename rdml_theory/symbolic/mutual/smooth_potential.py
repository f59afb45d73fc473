"""C7: the function that a cohort descends at order ½ is (1+β)Λ-smooth, if its students are linear.

At step t student k of K has the logits z of class i on input m of N, which move along a direction V of all weights by
the entries v of V_k x. The labels' part of its loss is linear in the logits, with any weights y.
"""

from __future__ import annotations

from functools import cache

from sympy import Derivative, Integer, Sum, exp, log

from rdml_theory.symbolic.divergence.entries import a, discharged, given, total
from rdml_theory.symbolic.divergence.entries import v as _v
from rdml_theory.symbolic.divergence.gradients import SHIFT
from rdml_theory.symbolic.divergence.variance import variance_not_negative, variance_of_entries
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.mutual.composed import pairs as inputs
from rdml_theory.symbolic.mutual.gain import students
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Formula, i, j, k, l, m
from rdml_theory.symbolic.sgd.bounds import sharp_bound_of_a_run, sharp_target
from rdml_theory.symbolic.sgd.descent import SHARP, Z, eta, h, horizon
from rdml_theory.symbolic.sgd.setting import (
    HYPOTHESES,
    after,
    assumptions,
    b,
    fallen,
    g,
    mean_over_steps,
    smoothness,
    t,
    x,
)  # fmt: skip

__all__ = [
    "ASSUMPTIONS", "BOUND_ASSUMPTIONS", "CURVATURES", "WITHOUT_BIAS", "direction",
    "smooth_potential", "smooth_targets",
]  # fmt: skip

CURVATURES: tuple[Formula, Formula] = (-beta * smoothness, (1 + beta) * smoothness)
"""-βΛ and (1+β)Λ."""

direction = Vector("V")
"""A direction of the weights of all students."""

_SEVERAL = Less(1, students)


def _move(student: Term) -> Term:
    return Entry("v", i, False, True, t, student, m)


def _logits(student: Term) -> Term:
    return Entry("z", i, False, True, t, student, m) + SHIFT * _move(student)


def _label(student: Term) -> Term:
    return Entry("y", i, False, False, student, m)


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
    base = log(total(exp(_logits(k)))) - total(_label(k) * _logits(k))
    mutual = _over(_scale() * _over(_half(_logits(j), _logits(k)), j))
    return _over((_over(base) + mutual) / inputs, m, inputs)


def _slope() -> Term:
    """The derivative of Φ along the direction."""

    def mean(logits: Term, way: Term) -> Term:
        return total(exp(logits) * way) / total(exp(logits))

    base = mean(_logits(k), _move(k)) - total(_label(k) * _move(k))
    both = mean((_logits(j) + _logits(k)) / 2, _move(j) + _move(k))
    pair = mean(_logits(j), _move(j)) + mean(_logits(k), _move(k)) - both
    return _over((_over(base) + _over(_scale() * _over(pair, j))) / inputs, m, inputs)


def _at(term: Term, point: int) -> Term:
    """A term at a point of the line."""
    return term.xreplace({SHIFT: Integer(point)})


_OF_POTENTIAL = {
    "here": ForAll(t, Equal(Value("f", x), _at(_potential(), 0))),
    "there": ForAll(t, Equal(Value("f", after), _at(_potential(), 1))),
    "slope": ForAll(t, Equal(Inner(g, after - x), _at(_slope(), 0))),
}
"""f is Φ at the logits z and z + v of x_t and x_{t+1}, and ∇f is its gradient."""

_STEP = {
    "still": ForAll(t, Equal(b, 0 * b)),
    "linear": ForAll(t, AtMost(_LINEAR.left, smoothness * square(after - x))),
}
"""There is no bias, and the logits are linear."""

BOUND_ASSUMPTIONS = assumptions(
    "bounded", "start", "update", "centred", "noise", "average", "h < 2", *(told.text() for told in _STEP.values()),
    Equal(h, (1 + beta) * smoothness * eta).text(), _SEVERAL.text(),
)  # fmt: skip
"""What the bound of ∇Φ assumes, as text, besides the following."""

WITHOUT_BIAS: Formula = SHARP.subs(Z, 0)
"""The right side of the sharp bound of ∇Φ, with h = (1+β)Λη."""


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
def _room() -> Theorem:
    """``1 < K``."""
    return given(_SEVERAL, "given: there are peers")


@cache
def _slope_of_potential() -> Theorem:
    """``∂Φ/∂s`` along the direction."""
    whole = _potential()
    itself = combine(Equal(whole, whole), [], known=[_room()], reason="the definition of Φ")
    slope = differentiate(itself, SHIFT, reason="differentiate")
    return combine(Equal(Derivative(whole, SHIFT), _slope()), [(1, slope)], reason="means of the moves")


@cache
def _curvature() -> tuple[Theorem, Theorem, Theorem]:
    """Φ'' as a mean of variances, and what it is at most and at least on an input."""
    room, slope = _room(), _slope_of_potential()
    twice = differentiate(slope, SHIFT, reason="and once more")
    pair = _alone(j) + _alone(k) - _together() / 2
    on_input = _over(_alone(k)) + _over(_scale() * _over(pair, j))
    written = combine(
        Equal(twice.conclusion.terms()[0], _over(on_input / inputs, m, inputs)), [(1, twice)],
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
        AtMost(on_input, (1 + beta) * _SIZE), [(1, own(shared)), (1 + beta, above)],
        reason="a student's variance counts once, and β times for its peers",
    )  # fmt: skip
    lower = combine(
        AtMost(-beta * _SIZE, on_input), [(1, own(opposite)), (1 + beta, alone)],
        reason="and pairs take at most their moves' squares away",
    )  # fmt: skip
    return written, upper, lower


def smooth_potential(
    curvatures: tuple[Formula, Formula] = CURVATURES, bound: Formula = WITHOUT_BIAS
) -> tuple[Theorem, ...]:
    """``-βΛ‖V‖² ≤ Φ'' ≤ (1+β)Λ‖V‖²`` along every direction V, so that Φ lies between quadratics of these curvatures.

    The last theorem is the bound of ∇Φ, in which (1+β)Λ stands for Λ and no bias is left.

    Raises
    ------
    ProofError
        If the curvatures or the bound asserted do not follow.

    Examples
    --------
    >>> len(smooth_potential())
    6
    """
    most, least, above, below = _between_quadratics(curvatures)
    bounded = combine(sharp_target(bound), [(1, _without_bias(curvatures))], reason="as asserted")
    return most, least, _slope_of_potential(), above, below, bounded


@cache
def _between_quadratics(curvatures: tuple[Formula, Formula]) -> tuple[Theorem, ...]:
    """What Φ'' is at most and at least along a direction, and Φ there."""
    written, upper, lower = _curvature()
    linear = assume(_LINEAR, reason="given: the logits are linear, and each base loss Λ-smooth")

    def bounded(target: AtMost, theorem: Theorem, sign: int, weight: Term) -> Theorem:
        part = combine(theorem.conclusion.map(lambda side: side / inputs), [(1 / inputs, theorem)], reason="its part")
        mean = sum_over(part, m, inputs, reason="over the inputs")
        return combine(target, [(sign, written), (1, mean), (weight, linear)], reason="as the logits are linear")

    targets = smooth_targets(curvatures)
    second = (bounded(targets[0], upper, 1, 1 + beta), bounded(targets[1], lower, -1, beta))
    slope, room = _slope_of_potential(), [_room()]
    side = "so Φ is on this side of a quadratic"
    return (*second, *(taylor(theorem, slope, known=room, reason=side) for theorem in second))


@cache
def _without_bias(curvatures: tuple[Formula, Formula]) -> Theorem:
    """The sharp bound of ∇Φ without bias."""
    curvature, above = curvatures[1], _between_quadratics(curvatures)[2]
    told = {
        name: specialise(given(part, known=(_room(),)), t, reason="at this step")
        for name, part in (_STEP | _OF_POTENTIAL).items()
    }  # fmt: skip
    step = discharge(instantiate(above, {direction: after - x}, reason="along a step"), told["linear"])
    supposed = specialise(given(HYPOTHESES["descent"]), t, reason="at this step")
    descent = combine(
        supposed.conclusion.map(lambda side: side.xreplace({smoothness: curvature})),
        [(1, step), (1, told["there"]), (-1, told["here"]), (-1, told["slope"])],
        reason="in terms of Φ",
    )  # fmt: skip
    here = instantiate(sharp_bound_of_a_run(), {Z: Integer(0), smoothness: curvature}, reason="for Φ, without bias")
    none = expectation(inner(told["still"], b), reason="take expectations")
    no_bias = combine(
        Equal(0, mean_over_steps(square(b))), [(-1 / horizon, sum_over(none, t, horizon))], reason="there is no bias"
    )  # fmt: skip
    return discharged(here, generalise(descent, t, reason="at every step"), no_bias, fallen())
