"""What a divergence changes by when its peer's logits move: the mean value theorem with D9's bound of the gradient."""

from __future__ import annotations

from functools import cache
from typing import Any

from sympy import Derivative, Integer, Symbol, exp, log, sqrt

from rdml_theory.symbolic.divergence import entries
from rdml_theory.symbolic.divergence.entries import *
from rdml_theory.symbolic.divergence.gradients import SHIFT
from rdml_theory.symbolic.divergence.names import rho
from rdml_theory.symbolic.divergence.tilt import TEACHER_BOUND, bounded_teacher_gradient
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula, alpha, i, j, l

__all__ = ["APART", "WAY", "moved_peer", "of_logits", "peer_bound", "range_of_logits", "there"]

WAY: Formula = Symbol("r", positive=True)
"""r, any length; the best is that of the way."""

APART = Less(0, rho)
"""ρ > 0."""

there: Any = Entry("y", i)
"""The peer's logits after it has moved."""

_moved = entries.u(i) + SHIFT * entries.v(i)


def _exponentials(logits: Term) -> Term:
    return total(exp(logits.xreplace({i: l})), l)


def _softmax(logits: Term) -> Term:
    return exp(logits) / _exponentials(logits)


def of_logits(first: Term, second: Term, *, order_one: bool = False) -> Term:
    """D_α, or KL, of the softmax of some logits from that of others, entries of class i.

    >>> of_logits(entries.u(i), entries.u(i), order_one=True)
    Sum(0, (l, 1, C))/Sum(exp(u_l), (l, 1, C))
    """
    sums = log(_exponentials(first)), log(_exponentials(second))
    if order_one:
        mean = total((exp(first) * (first - second)).xreplace({i: l}), l) / _exponentials(first)
        return mean - sums[0] + sums[1]
    mixed = log(_exponentials(alpha * first + (1 - alpha) * second))
    return (mixed - alpha * sums[0] - (1 - alpha) * sums[1]) / (alpha - 1)


def range_of_logits(first: Term, second: Term) -> ForAll:
    """ρ bounds the range of the difference of two families of logits, entries of class i.

    >>> print(range_of_logits(entries.u(i), entries.z(i)).text())
    u_i + z_j - u_j - z_i ≤ ρ for every j for every i
    """
    ratio = first - second
    return ForAll(i, ForAll(j, AtMost(ratio - ratio.xreplace({i: j}), rho)))


def peer_bound(*, order_one: bool = False) -> Formula:
    """D9's bound of the gradient in the peer's logits.

    >>> peer_bound(order_one=True)
    sqrt(2)*rho/4
    """
    return sqrt(2) * rho / 4 if order_one else TEACHER_BOUND


@cache
def _along() -> Theorem:
    """``κ Σ v c ≤ B (Σ v²/(2r) + r/2)`` from ``Σ (κc)² ≤ B²``, for a B that is positive."""
    most, factor = Symbol("B", positive=True), Symbol("kappa", real=True)
    v, c = entries.v(i), entries.z(i)
    apart = nonnegative(total((most * v - WAY * factor * c) ** 2), reason="a sum of squares")
    size = given(AtMost(total((factor * c) ** 2), most**2), "suppose")
    return combine(
        AtMost(factor * total(v * c), most * (total(v**2) / (2 * WAY) + WAY / 2)),
        [(1 / (2 * most * WAY), apart), (WAY / (2 * most), size)],
        reason="Cauchy-Schwarz, with the lengths shared out",
    )


def _opened(told: Proposition) -> tuple[Proposition, tuple[Term, ...]]:
    """What is told of every index, and the indices, the outermost last."""
    if not isinstance(told, ForAll):
        return told, ()
    body, indices = _opened(told.body)
    return body, (*indices, told.variable)


@cache
def _gradient(order_one: bool) -> tuple[Theorem, Term, Term]:
    """D9 on the way, its factor, and the gradient but for that, where the peer's logits are u + s v."""
    student = entries.z(i)
    p, q, w = (_softmax(logits) for logits in (_moved, student, alpha * _moved + (1 - alpha) * student))
    values: dict[Any, Any] = {entries.p(i): p, entries.q(i): q}
    if order_one:
        mean: Term = Symbol("mu", real=True)
        told, factor = bounded_teacher_gradient().theorems[2], Integer(1)
        values[mean] = of_logits(_moved, student, order_one=True)
        pull = p * (_moved - log(_exponentials(_moved)) - student + log(_exponentials(student)) - values[mean])
    else:
        bound = bounded_teacher_gradient().theorems[0]
        length, most = bound.conclusion.terms()
        told = combine(AtMost(length**2, most**2), [(length + most, bound)], reason="squared")
        factor = alpha / (alpha - 1)
        values[entries.w(i)], pull = w, w - p
    here = instantiate(told, values, reason="D9, on the way")
    ends = [
        at_classes(range_of_logits(end, student), i, j, "given: the range of the log-ratio at an end")
        for end in (entries.u(i), entries.u(i) + entries.v(i))
    ]
    start, stop = given(AtMost(0, SHIFT), "from the start"), given(AtMost(SHIFT, 1), "to the end")
    for told in sorted(here.hypotheses - {NOT_ONE, APART}, key=lambda told: told.text()):
        body, indices = _opened(told)
        if isinstance(body, Equal):
            lemma = identity(body, reason="a softmax, its escort or its mean")
        else:
            lemma = combine(
                body, [(1 - SHIFT, ends[0]), (SHIFT, ends[1])], known=[start, stop],
                reason="the log-ratio is linear on the way",
            )  # fmt: skip
        here = discharge(here, everywhere(lemma, *indices))
    return here, factor, pull


@cache
def moved_peer(*, order_one: bool = False) -> Theorem:
    """``D(y) - D(u) ≤ B (Σ (y-u)²/(2r) + r/2)`` for any r > 0: the divergence of moved logits.

    B is D9's bound, for a ρ > 0 that bounds the range of the log-ratio at both ends; on the way it is linear.

    >>> print(moved_peer(order_one=True).conclusion.right)
    sqrt(2)*rho*(r/2 + Sum((-u_i + y_i)**2, (i, 1, C))/(2*r))/4
    """
    bound, factor, pull = _gradient(order_one)
    known = [given(APART, "given: not all log-ratios are equal")]
    known += [] if order_one else [given(NOT_ONE, "for an order that is not one")]
    most = peer_bound(order_one=order_one)
    values = {entries.z(i): pull, Symbol("B", positive=True): most, Symbol("kappa", real=True): factor}
    along = instantiate(_along(), values, known=known, reason="along the way")
    square = total((factor * pull) ** 2)
    along = discharge(along, combine(AtMost(square, most**2), [(1, bound)], known=known, reason="by D9"))
    rate = along.conclusion.terms()[1]
    gap = rate * SHIFT - of_logits(_moved, entries.z(i), order_one=order_one)
    slope = differentiate(combine(Equal(gap, gap), [], known=known), SHIFT, reason="differentiate along the way")
    grows = combine(
        AtMost(0, Derivative(gap, SHIFT)), [(-1, slope), (1, along)], reason="the gradient is α/(α-1) (w-p)",
    )  # fmt: skip
    whole = rising(grows, SHIFT, Integer(0), Integer(1), reason="the mean value theorem")
    whole = discharge(whole, nonnegative(Integer(1)))
    moved = instantiate(whole, {entries.v(i): there - entries.u(i)}, reason="up to y")
    after, before = (of_logits(end, entries.z(i), order_one=order_one) for end in (there, entries.u(i)))
    change = rate.replace(lambda e: e == entries.v(i), lambda e: there - entries.u(i))
    return combine(AtMost(after - before, change), [(1, moved)], reason="so the divergence changes by so much")
