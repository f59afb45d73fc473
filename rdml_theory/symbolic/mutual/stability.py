"""X3: which steps keep students together: near agreement, what a step makes of their mean and of their differences.

``x_k`` is how far student k is from where all agree, ``y_k`` the same after a step, along a direction in which the base
loss has the curvature λ, and h = ηλ. For a cross-entropy of a linear softmax model that is the curvature of
``E Jᵀ Cov_q J`` too, which the mutual loss has α times there (D3, D10).
"""

from __future__ import annotations

from typing import Any

from sympy import Sum, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import (
    At,
    Equal,
    ForAll,
    Inner,
    Less,
    Proof,
    Theorem,
    Vector,
    assume,
    combine,
    generalise,
    inner,
    instantiate,
    specialise,
    square,
    sum_over,
)  # fmt: skip
from rdml_theory.symbolic.mutual.bias import order
from rdml_theory.symbolic.mutual.gain import students
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.setting import assumptions, exact, squared

__all__ = ["ASSUMPTIONS", "LIMIT", "h", "step_limit", "step_target"]

Term = Any

h: Formula = Symbol("h", positive=True)
"""h = ηλ."""

LIMIT: Formula = 2 / (1 + order * beta * students / (students - 1))
"""The greatest h at which differences between students do not grow; that of a student alone is 2."""

_k, _j = (Symbol(name, integer=True, nonnegative=True) for name in "kj")
_x, _u, _y = At("x", _k), At("u", _k), At("y", _k)
_m, _n, _v = Vector("m"), Vector("n"), Vector("v")


def _mean(mean: Term, part: Term) -> ForAll:
    total = Sum(Inner(part, _v).subs(_k, _j), (_j, 0, students - 1))
    return ForAll(_v, Equal(students * Inner(mean, _v), total))


HYPOTHESES = {
    "several": Less(1, students),
    "step": ForAll(_k, Equal(_y, _x - h * (_x + order * beta * (_x - _u)))),
    "peers": ForAll(_k, Equal((students - 1) * _u, students * _m - _x)),
    "mean": _mean(_m, _x),
    "next": _mean(_n, _y),
}
"""A step of students near where all agree; u_k is the mean of k's peers, m that of all, n that of all after it."""

BEYOND = Less(2 * (students - 1), h * (students - 1 + order * beta * students))

ASSUMPTIONS = assumptions(*(part.text() for part in (*HYPOTHESES.values(), BEYOND)))
"""What the limit assumes, the last for steps beyond it, as text."""


def step_target(limit: Term = LIMIT) -> Equal:
    """``‖y_k - n‖² = (1 - 2h/limit)² ‖x_k - m‖²``.

    >>> print(step_target().text())
    ‖y_k - n‖² = (1 - 2·h·(K·α·β/(2·(K - 1)) + 1/2))²·‖x_k - m‖²
    """
    return Equal(square(_y - _n), (1 - 2 * h / limit) ** 2 * square(_x - _m))


@of_formulas()
def step_limit(limit: Formula = LIMIT) -> Proof:
    """X3: differences between students are multiplied by ``1 - h(1 + αβK/(K-1))`` in a step, their mean by ``1 - h``.

    So for ``h > 2/(1 + αβK/(K-1))`` differences grow, though each student alone would be stable up to 2. This
    toolkit's own; that coupling shortens the stable step is known of decentralised descent (Yuan, Ling & Yin 2016,
    arXiv 1310.7063).

    Parameters
    ----------
    limit : Expr, optional
        The asserted limit of h.

    Raises
    ------
    ProofError
        If the argument does not give what is asserted.

    Examples
    --------
    >>> step_limit().verify()
    True
    >>> step_limit(2)
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: ... is not this combination: ...
    """
    at = exact(limit)
    together = _together()
    return Proof((_apart(at, together), specialise(together, _m, reason="along the mean"), _grows(at)))


def _given(name: str, value: Term) -> Theorem:
    return specialise(assume(HYPOTHESES[name], reason="given"), value, reason="given, here")


def _moved() -> Theorem:
    """``(K-1)y = ((K-1)(1-h) - hαβK) x + hαβK m``."""
    own, pulled = students - 1, h * order * beta * students
    return combine(
        Equal(own * _y, (own * (1 - h) - pulled) * _x + pulled * _m),
        [(own, _given("step", _k)), (h * order * beta, _given("peers", _k))],
        reason="the mean of the peers is (K m - x_k)/(K - 1)",
    )


def _room() -> Theorem:
    several = assume(HYPOTHESES["several"], reason="given")
    return combine(Less(0, students - 1), [(1, several)], reason="there are peers")


def _together() -> Theorem:
    """``<n, v> = (1-h) <m, v>`` for every v."""
    own, pulled = students - 1, h * order * beta * students
    along = instantiate(inner(_moved(), _v), {_k: _j}, reason="for student j")
    total = sum_over(along, _j, students, reason="sum over the students")
    equal = combine(
        Equal(own * Inner(_n, _v), own * (1 - h) * Inner(_m, _v)),
        [
            (1 / students, total),
            (own / students, _given("next", _v)),
            (-(own * (1 - h) - pulled) / students, _given("mean", _v)),
        ],
        reason="the pulls cancel: the mean moves as a student alone",
    )
    same = combine(
        Equal(Inner(_n, _v), (1 - h) * Inner(_m, _v)), [(1 / own, equal)], known=[_room()], reason="divide by K - 1"
    )
    return generalise(same, _v, reason="in every direction")


def _apart(at: Term, together: Theorem) -> Theorem:
    own = students - 1
    moved = _moved()
    along = [specialise(together, v, reason="in this direction") for v in (_y, _n, _m)]
    return combine(
        step_target(at),
        [
            (1 / own**2, squared(moved)),
            (-2, along[0]),
            (1, along[1]),
            (1 - h, along[2]),
            (-2 * (1 - h) / own, inner(moved, _m)),
        ],
        known=[_room()],
        reason="differences from the mean are multiplied by 1 - h(1 + αβK/(K-1))",
    )


def _grows(at: Term) -> Theorem:
    """``1 < (1 - 2h/limit)²`` beyond the limit."""
    size = h * (1 + order * beta * students / (students - 1))
    beyond = assume(BEYOND, reason="given: a longer step")
    over = combine(Less(0, size - 2), [(1 / (students - 1), beyond)], known=[_room()], reason="so this is positive")
    return combine(
        Less(1, (1 - 2 * h / at) ** 2), [], slack=size * (size - 2), known=[over, _room()],
        reason="so the factor is more than one in size: differences grow",
    )  # fmt: skip
