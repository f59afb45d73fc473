"""Tilting a distribution moves little mass: bounds of the student's and of the peer's gradient.

The escort w is q tilted by exp(α log(p/q)), and p tilted by exp((α-1) log(p/q)).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sympy import Abs, Integer, Interval, Rational, Symbol, exp, log, sqrt, tanh

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.certificates import smt
from rdml_theory.symbolic.divergence.entries import *
from rdml_theory.symbolic.divergence.lemmas import in_logarithms
from rdml_theory.symbolic.divergence.names import FLOOR, SPREAD, rho
from rdml_theory.symbolic.elementary import exponential, scaled, unsquared
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import C, Formula, alpha, i, j, k
from rdml_theory.symbolic.relations import at_most

__all__ = [
    "ASSUMPTIONS", "EXCESS", "GRADIENT_BOUND", "RANGE_WITH_FLOOR", "TEACHER_ASSUMPTIONS", "TEACHER_BOUND", "X", "Y",
    "attained_square", "bounded_gradient", "bounded_square", "bounded_teacher_gradient", "escort_ratio",
    "gradient_target", "range_with_floor", "teacher_target", "tilted",
]  # fmt: skip

GRADIENT_BOUND: Formula = sqrt(2) * tanh(SPREAD / 4)
"""√2 tanh(δ/4), δ = αρ."""

_SQUARE: Formula = 2 * tanh(alpha * rho / 4) ** 2

TEACHER_BOUND: Formula = sqrt(2) * alpha * tanh(Abs(alpha - 1) * rho / 4) / Abs(alpha - 1)
"""``√2 α tanh(|α-1|ρ/4)/|α-1|``; at α = 1 its limit, √2 ρ/4."""

RANGE_WITH_FLOOR: Formula = 2 * log((1 - (C - 1) * FLOOR) / FLOOR)
"""2 log((1-(C-1)ω_0)/ω_0), which the range of the log-ratio does not exceed."""

X: Term = Symbol("X", positive=True)
"""exp(αρ/2), of the two classes that attain the bound."""

Y: Term = Symbol("Y", positive=True)
"""The odds of the student in the example that attains the bound of the peer's gradient."""

EXCESS: Term = Symbol("e", positive=True)
"""α - 1, in that example."""

_tau: Term = Symbol("tau", nonnegative=True)
_PAIRS = ForAll(i, ForAll(j, AtMost((1 - _tau) ** 2 * b(i) * a(j), (1 + _tau) ** 2 * a(i) * b(j))))
_floor: Term = Symbol("omega", positive=True)


RANGE = ForAll(i, ForAll(j, AtMost(log_ratio(i) - log_ratio(j), rho)))
"""ρ bounds the range of log(p/q)."""

ASSUMPTIONS = tuple(told.text() for told in (sums_to_one(q), is_escort(), RANGE))
"""What the bound assumes, as text."""


TEACHER_ASSUMPTIONS = (
    *(told.text() for told in (sums_to_one(p), is_escort(), RANGE, NOT_ONE)),
    "at α = 1, where ∂D/∂u_k = p_k·(log(p_k/q_k) - KL), ρ > 0",
    "p and q positive, α in (0, ∞)",
)
"""What the bound of the peer's gradient assumes, as text."""


@cache
def _gain() -> Theorem:
    """``b_k - a_k ≤ τ``: no class gains more."""
    pair = at_classes(_PAIRS, k, j)
    left, right = pair.conclusion.terms()
    gap = combine(AtMost(0, right - left), [(1, pair)], reason="so this is not negative")
    others = combine(
        AtMost((1 - _tau) ** 2 * b(k) * (1 - a(k)), (1 + _tau) ** 2 * a(k) * (1 - b(k))),
        [(1, one_term(gap, j, C, k, known=[is_class(k)], reason="one term of a sum of these"))],
        where=[mass(a), mass(b)],
        reason="what the other classes add is not negative",
    )
    x, y = Symbol("x", positive=True), Symbol("y", positive=True)
    inside: Any = {_tau: Interval.Ropen(0, 1), x: Interval.Lopen(0, 1), y: Interval.Lopen(0, 1)}
    told = at_most((1 - _tau) ** 2 * y * (1 - x), (1 + _tau) ** 2 * x * (1 - y))
    most = certified(smt(at_most(y - x, _tau), inside, (told,)), reason="so a share grows by τ at most")
    return discharged(instantiate(most, {x: a(k), y: b(k)}, reason="at a class"), others, share(a), share(b))


@cache
def _loss() -> Theorem:
    """``a_k - b_k ≤ τ``: nor does it lose more."""
    pair = at_classes(_PAIRS, j, i)
    turned = combine(
        AtMost((1 - _tau) ** 2 * a(i) * b(j), (1 + _tau) ** 2 * b(i) * a(j)),
        [(1, pair)],
        reason="the classes exchanged",
    )
    swapped = instantiate(_gain(), {a(i): b(i), b(i): a(i)}, reason="the distributions exchanged")
    return discharge(swapped, everywhere(turned, j, i))


@cache
def tilted() -> Theorem:
    """``Σ (a-b)² ≤ 2τ²``, if ratios of b to a differ by a factor of at most (1+τ)²/(1-τ)².

    With d = b - a, every class has τ ± d ≥ 0. The inequality of two classes i and j, times (τ+d_i)(τ-d_j) and summed
    over both, is one between Σ a d and Σ b d, whose difference is Σ d².

    >>> print(tilted().conclusion.text())
    Σ_{i ≤ C} (a_i - b_i)² ≤ 2·τ²
    """

    def d(index: Term) -> Term:
        return b(index) - a(index)

    def bounds(index: Term) -> tuple[Theorem, Theorem]:
        gain, loss = (instantiate(theorem, {k: index}, reason="at this class") for theorem in (_gain(), _loss()))
        return gain, loss

    def rest(family: Any) -> Term:
        return total(family(j) * (_tau - d(j)), j)

    def mean(family: Any, sign: int) -> Theorem:
        one = bounds(i)[0 if sign == 1 else 1]
        part = combine(AtMost(sign * family(i) * d(i), family(i) * _tau), [(family(i), one)], reason="times the share")
        return combine(
            AtMost(sign * total(family(i) * d(i)), _tau), [(1, sum_over(part, i, C))], where=[mass(family)],
            reason="so its mean is at most τ",
        )  # fmt: skip

    weight = (_tau + d(i)) * (_tau - d(j))
    pair = combine(
        AtMost((1 - _tau) ** 2 * weight * b(i) * a(j), (1 + _tau) ** 2 * weight * a(i) * b(j)),
        [(weight, at_classes(_PAIRS, i, j))],
        known=[*bounds(i), *bounds(j)],
        reason="times what is not negative",
    )
    half = combine(
        AtMost((1 - _tau) ** 2 * (_tau + d(i)) * b(i) * rest(a), (1 + _tau) ** 2 * (_tau + d(i)) * a(i) * rest(b)),
        [(1, sum_over(pair, j, C))],
        reason="summed over j",
    )
    first, second = total(a(i) * d(i)), total(b(i) * d(i))
    both = combine(
        AtMost((1 - _tau) ** 2 * (_tau + second) * (_tau - first), (1 + _tau) ** 2 * (_tau + first) * (_tau - second)),
        [(1, sum_over(half, i, C))],
        where=[mass(a), mass(b)],
        reason="and over i",
    )
    x, y = Symbol("x", real=True), Symbol("y", real=True)
    conditions = (
        at_most((1 - _tau) ** 2 * (_tau + y) * (_tau - x), (1 + _tau) ** 2 * (_tau + x) * (_tau - y)),
        *(at_most(sign * value, _tau) for value in (x, y) for sign in (1, -1)),
    )
    most = certified(
        smt(at_most(y - x, 2 * _tau**2), {_tau: Interval.Ropen(0, 1)}, conditions), reason="of two numbers"
    )
    here = discharged(
        instantiate(most, {x: first, y: second}, reason="at the two means"),
        both, *(mean(family, sign) for family in (a, b) for sign in (1, -1)),
    )  # fmt: skip
    return combine(AtMost(total((a(i) - b(i)) ** 2), 2 * _tau**2), [(1, here)], reason="their difference is Σ d²")


def _moved_apart(first: Any, width: Term, base: Theorem) -> Theorem:
    """``w_i first_j ≤ exp(width) first_i w_j``, for a w that is ``first`` tilted by exponents of this range.

    ``base`` says that the exponents of two classes i and j differ by at most the width.
    """
    left, right = base.conclusion.terms()
    weight = w(i) * first(j)
    return combine(
        AtMost(weight, exp(width) * first(i) * w(j)), [(weight, exponential(right - left)), (weight, base)],
        where=[escort()], reason="no ratio is more than that times another",
    )  # fmt: skip


@cache
def _scaled_range() -> Theorem:
    told = at_classes(RANGE, i, j, "given: the range of the log-ratio")
    return combine(
        AtMost(alpha * (log_ratio(i) - log_ratio(j)), alpha * rho),
        [(alpha, told)],
        reason="times the order",
    )


@cache
def escort_ratio() -> Theorem:
    """``w_i q_j ≤ exp(αρ) q_i w_j``: what a student follows is it, tilted by a factor of at most exp(αρ).

    >>> print(escort_ratio().conclusion.text())
    q_j·w_i ≤ exp(α·ρ)·q_i·w_j
    """
    return _moved_apart(q, alpha * rho, _scaled_range())


def _tilt(first: Any, width: Term, base: Theorem) -> Theorem:
    """``Σ (first - w)² ≤ 2 tanh²(width/4)``, for a w that is ``first`` tilted by exponents of this range.

    ``base`` says that the exponents of two classes i and j differ by at most the width.
    """
    slope = tanh(width / 4)
    pair = combine(
        AtMost((1 - slope) ** 2 * w(i) * first(j), (1 + slope) ** 2 * first(i) * w(j)),
        [((1 - slope) ** 2, _moved_apart(first, width, base))],
        reason="so the ratios of any two classes differ by that much",
    )
    short = combine(Less(slope, 1), [], slack=2 / (exp(width / 2) + 1), reason="tanh is below one")
    general = instantiate(
        tilted(), {a(i): first(i), b(i): w(i), _tau: slope}, reason="of this distribution and the escort"
    )
    return discharged(general, everywhere(pair, j, i), short, of_escort())


@cache
def bounded_square() -> Theorem:
    """``Σ (q-w)² ≤ 2 tanh²(αρ/4)``, for every order and number of classes.

    >>> print(bounded_square().conclusion.text())
    Σ_{i ≤ C} (q_i - w_i)² ≤ 2·tanh(α·ρ/4)²
    """
    return _tilt(q, alpha * rho, _scaled_range())


def gradient_target(right_side: Formula = GRADIENT_BOUND) -> AtMost:
    """``‖q - w‖₂ ≤`` the right side, a function of δ = αρ.

    >>> print(gradient_target().text())
    √(Σ_{i ≤ C} (q_i - w_i)²) ≤ √(2)·tanh(α·ρ/4)
    """
    return AtMost(sqrt(total((q(i) - w(i)) ** 2)), right_side.xreplace({SPREAD: alpha * rho}))


@of_formulas()
def bounded_gradient(right_side: Formula = GRADIENT_BOUND) -> Proof:
    """D7: ``‖q - w‖₂ ≤ √2 tanh(αρ/4)``, where ρ bounds log(p_i/q_i) - log(p_j/q_j): the gradient never exceeds √2.

    Attained by two classes. With a floor ω_0 under all probabilities, ρ ≤ 2 log((1-(C-1)ω_0)/ω_0).

    Examples
    --------
    >>> bounded_gradient().axioms
    ()
    >>> bounded_gradient(sqrt(2) * tanh(SPREAD / 8))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: ... is not this combination: ...
    """
    target = gradient_target(right_side)
    bound = unsquared(target.left, target.right, bounded_square())
    return Proof((bound, attained_square(target.right**2), range_with_floor()))


def attained_square(right_side: Formula = _SQUARE) -> Theorem:
    """Equality for q = (1, X)/(1+X) and the log-ratio (ρ, 0), with X = exp(αρ/2).

    >>> print(attained_square().conclusion.text())
    Σ_{i ≤ 2} (q_i - w_i)² = 2·tanh(α·ρ/4)²
    """
    top = X ** (2 / alpha)
    told = [
        Equal(rho, 2 * log(X) / alpha),
        Equal(q(1), 1 / (1 + X)),
        Equal(q(2), X / (1 + X)),
        Equal(p(1), top / (top + X)),
        Equal(p(2), X / (top + X)),
    ]
    square = total((q(i) - w(i)) ** 2, count=Integer(2))
    facts = list(map(given, told))
    return combine(
        Equal(square, right_side), [], where=[*_moved(facts, X, Integer(1)), *facts],
        reason="with these the bound is attained",
    )  # fmt: skip


@cache
def range_with_floor() -> Theorem:
    """``log(p_i/q_i) - log(p_j/q_j) ≤ 2 log(M/ω)``, M = 1-(C-1)ω, where no entry of p and q is below ω.

    >>> print(range_with_floor().conclusion.text())
    log(p_i/q_i) - log(p_j/q_j) ≤ 2·log(M/ω)
    """
    most: Term = Symbol("M", positive=True)
    told = given(Equal(most, 1 - (C - 1) * _floor), "what the floor leaves to one class")

    def least(family: Any, index: Term) -> Theorem:
        told = given(ForAll(i, AtMost(_floor, family(i))), "given: a floor under all probabilities")
        return specialise(told, index, reason="at this class")

    def greatest(family: Any, index: Term) -> Theorem:
        part = combine(AtMost(0, family(k) - _floor), [(1, least(family, k))], reason="so this is not negative")
        one = one_term(part, k, C, index, known=[is_class(index)], reason="one term of a sum of these")
        return combine(
            AtMost(family(index), most), [(1, one), (1, mass(family)), (-1, told)], reason="of what sums to one"
        )

    def ratio(above: Any, below: Any, index: Term) -> Theorem:
        """``ω a ≤ (1-(C-1)ω) b``, in logarithms."""
        top = greatest(above, index)
        bound = combine(
            AtMost(_floor * above(index), most * below(index)),
            [(_floor, top), (most, least(below, index))],
            reason="the greatest over the least",
        )
        return in_logarithms(bound)

    return combine(
        AtMost(log_ratio(i) - log_ratio(j), 2 * log(most / _floor)),
        [(1, ratio(p, q, i)), (1, ratio(q, p, j))],
        reason="so the range of the log-ratio is bounded",
    )


@cache
def _bounded_teacher_square() -> Theorem:
    """``Σ (p-w)² ≤ 2 tanh²(|α-1|ρ/4)``."""
    ratio = log_ratio(i) - log_ratio(j)
    there, back = (at_classes(RANGE, *pair, "given: the range of the log-ratio") for pair in ((i, j), (j, i)))
    turned = combine(AtMost(-ratio, rho), [(1, back)], reason="the classes exchanged")
    return _tilt(p, Abs(alpha - 1) * rho, scaled(alpha - 1, there, turned))


def teacher_target(right_side: Formula = TEACHER_BOUND) -> AtMost:
    """``‖∂D/∂u‖₂ ≤`` the right side, where ∂D/∂u = α/(α-1) · (w - p).

    >>> print(teacher_target().text())
    √(Σ_{i ≤ C} (α²·(w_i - p_i)²/(α - 1)²)) ≤ √(2)·α·tanh(ρ·|α - 1|/4)/|α - 1|
    """
    return AtMost(sqrt(total((alpha / (alpha - 1) * (w(i) - p(i))) ** 2)), right_side)


@of_formulas()
def bounded_teacher_gradient(right_side: Formula = TEACHER_BOUND) -> Proof:
    """D9: ``‖∂D_α/∂u‖₂ ≤ √2 α tanh(|α-1|ρ/4)/|α-1|`` for α ≠ 1: the gradient in the peer's logits, by D2.

    At α = 1, where ∂D/∂u_k = p_k (t_k - KL) and t = log(p/q), the second theorem bounds it by √2 ρ/4.

    Examples
    --------
    >>> bounded_teacher_gradient().axioms
    ()
    """
    target = teacher_target(right_side)
    known = given(NOT_ONE, "for an order that is not one")
    scaled_ = combine(
        AtMost(target.left**2, target.right**2), [(alpha**2 / (alpha - 1) ** 2, _bounded_teacher_square())],
        known=[known], reason="times the square of α/(α-1)",
    )  # fmt: skip
    bound = unsquared(target.left, target.right, scaled_, [known])
    return Proof((bound, _teacher_attained(target), _teacher_at_one()))


def _teacher_attained(target: AtMost) -> Theorem:
    """Equality for p = (1, X)/(1+X) and the log-ratio (ρ, 0), with X = exp(eρ/2) and α = 1 + e."""
    beyond = given(Equal(alpha, 1 + EXCESS), "given: an order beyond one")
    told = [
        Equal(rho, 2 * log(X) / EXCESS),
        Equal(p(1), 1 / (1 + X)),
        Equal(p(2), X / (1 + X)),
        Equal(q(1), 1 / (1 + Y)),
        Equal(q(2), Y / (1 + Y)),
        Equal(Y, X ** (1 + 2 / EXCESS)),
    ]
    facts = [beyond, *map(given, told)]
    sides = [(side**2).xreplace({C: Integer(2)}) for side in target.terms()]
    apart = given(NOT_ONE, "which is not one")
    return combine(
        Equal(*sides),
        [],
        known=[apart],
        where=[*_moved(facts, X, Integer(1)), *facts],
        reason="with these the bound is attained",
    )


def _moved(facts: Sequence[Theorem], first: Term, second: Term) -> list[Theorem]:
    """The escort of two classes, which has these odds."""
    return [
        combine(
            Equal(w(place), odds / (first + second)), [], where=[escort(Integer(2)), *facts],
            reason="the escort of the two",
        )
        for place, odds in ((1, first), (2, second))
    ]  # fmt: skip


@cache
def _teacher_at_one() -> Theorem:
    """``Σ (p (t - KL))² ≤ ρ²/8``, t = log(p/q), for a ρ > 0."""
    mean: Term = Symbol("mu", real=True)
    told = given(Equal(mean, total(p(i) * log_ratio(i))), "the mean of the log-ratio")
    apart = given(Less(0, rho), "given: not all log-ratios are equal")
    most = rho / 4

    def d(index: Term) -> Term:
        return p(index) * (log_ratio(index) - mean)

    def one_class(sign: int) -> Theorem:
        pair = at_classes(RANGE, *((k, j) if sign == 1 else (j, k)), "given: the range of the log-ratio")
        room = rho - sign * (log_ratio(k) - log_ratio(j))
        part = combine(AtMost(0, p(k) * p(j) * room), [(p(k) * p(j), pair)], reason="times both shares")
        others = one_term(part, j, C, k, known=[is_class(k)], reason="one term of a sum of these")
        return combine(
            AtMost(sign * d(k), most), [(1, others), (1, nonnegative(rho * (p(k) - Rational(1, 2)) ** 2))],
            where=[mass(p), told], reason="and a share times its complement is at most 1/4",
        )  # fmt: skip

    def bounds(index: Term) -> list[Theorem]:
        return [instantiate(one_class(sign), {k: index}, reason="at this class") for sign in (1, -1)]

    weight = (most + d(i)) * (most - d(j)) * p(i) * p(j)
    ratio = log_ratio(i) - log_ratio(j)
    pair = combine(
        AtMost(weight * ratio, weight * rho), [(weight, at_classes(RANGE, i, j))],
        known=[*bounds(i), *bounds(j)], reason="times what is not negative",
    )  # fmt: skip
    first, below = total(p(i) * d(i)), p(j) * (most - d(j))
    share_of_i, rest = p(i) * (most + d(i)), total(below, j)
    half = combine(
        AtMost(
            share_of_i * (log_ratio(i) * rest - total(below * log_ratio(j), j)),
            share_of_i * rho * rest,
        ),
        [(1, sum_over(pair, j, C))], reason="summed over j",
    )  # fmt: skip
    square = total(d(i) ** 2)
    return combine(
        AtMost(square, rho**2 / 8),
        [(2 / rho, sum_over(half, i, C))],
        slack=2 * first**2, known=[apart], where=[mass(p), told], reason="and over i",
    )  # fmt: skip
