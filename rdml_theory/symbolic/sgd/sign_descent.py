"""C16: sign descent with errors in the gradient, from the descent lemma, and runs that attain it.

The run is ``x_{t+1} = x_t - η s_t``, where each coordinate of s_t is the sign of that of ``∇f(x_t) + e_t``, and
anything from -1 to 1 where that is zero. The error e_t is bias and noise together: nothing is assumed of it. The bound
is of ``M = (1/T) Σ_t E‖∇f(x_t)‖₁``, in terms of ``ε = (1/T) Σ_t E‖e_t‖₁``.
"""

from __future__ import annotations

from functools import cache

from sympy import Abs, Integer, Sum, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula, i
from rdml_theory.symbolic.sgd.descent import eta, gap, horizon
from rdml_theory.symbolic.sgd.extremal import HEIGHT, SLOPE
from rdml_theory.symbolic.sgd.setting import *

__all__ = [
    "ASSUMPTIONS", "ATTAINED", "SIGNED", "attained_target", "dimension", "error", "sign_bound", "sign_target", "size",
]  # fmt: skip

dimension: Formula = Symbol("d", integer=True, positive=True)
size: Formula = Symbol("M", nonnegative=True)
error: Formula = Symbol("epsilon", nonnegative=True)

SIGNED: Formula = gap / (eta * horizon) + 2 * error + eta * smoothness * dimension / 2
"""The right side of M ≤ Δ/(ηT) + 2ε + ηΛd/2."""

s = At("s", t)
_slope, _error, _sign = (Entry(name, i, False, True, t) for name in ("g", "e", "s"))


def _over_coordinates(term: Term) -> Term:
    return Sum(term, (i, 1, dimension))


def _mean_size(term: Term) -> Term:
    return Sum(Mean(_over_coordinates(Abs(term))), (t, 0, horizon - 1)) / horizon


def _each(body: Proposition) -> ForAll:
    return ForAll(t, ForAll(i, body))


_UPDATE = ForAll(t, Equal(after, x - eta * s))
_ALONG = ForAll(t, Equal(Inner(g, s), _over_coordinates(_slope * _sign)))
_LENGTH = ForAll(t, Equal(square(s), _over_coordinates(_sign**2)))
_IS_SIGN = _each(Equal(_sign * (_slope + _error), Abs(_slope + _error)))
_AT_MOST_ONE = _each(AtMost(_sign**2, 1))
_SIZE = Equal(size, _mean_size(_slope))
_ERROR = Equal(error, _mean_size(_error))

_ONE = _each(Equal(_sign**2, 1))
_TURNED = _each(Equal(_sign * _slope, Abs(_slope) - 2 * Abs(_error)))
_BACK = Equal(Mean(Value("f", At("x", horizon))), Mean(Value("f", first)))


_MEASURED = (_UPDATE, _ALONG, _LENGTH, _SIZE, _ERROR)

ASSUMPTIONS = assumptions("smooth", "bounded", "start", *texts(*_MEASURED, _IS_SIGN, _AT_MOST_ONE))
"""What the bound assumes, as text."""

ATTAINED = "; ".join(texts(SLOPE, HEIGHT, _ONE, _TURNED, _BACK))
"""What a run has in place of smoothness, a lower bound, Δ and signs, that attains what is left for T → ∞."""


def sign_target(right_side: Formula = SIGNED) -> AtMost:
    """``M ≤`` the right side.

    >>> print(sign_target().text())
    M ≤ Δ/(T·η) + Λ·d·η/2 + 2·ε
    """
    return AtMost(size, right_side)


def attained_target(right_side: Formula = SIGNED) -> Equal:
    """``M =`` the right side without what T takes away.

    >>> print(attained_target().text())
    M = Λ·d·η/2 + 2·ε
    """
    return Equal(size, right_side.subs(gap, 0))


@cache
def _coordinate() -> Theorem:
    """``|g| - 2|e| ≤ s g`` for the sign s of g + e."""
    one, wrong, sign = (Symbol(name, real=True) for name in ("a", "b", "c"))
    known = assume(Equal(sign * (one + wrong), Abs(one + wrong)), reason="suppose: the sign of the sum")
    small = assume(AtMost(sign**2, 1), reason="suppose")
    below, above = (assume(told, reason="suppose") for told in (AtMost(one, 0), AtMost(0, one)))
    triangle = AtMost(Abs(one), Abs(one + wrong) + Abs(wrong))
    inside = cases(
        combine(
            triangle, [(1, magnitude(-one, [below])), (1, absolute(-one - wrong)), (1, absolute(wrong))],
            reason="if it is not positive",
        ),
        combine(
            triangle, [(1, magnitude(one, [above])), (1, absolute(one + wrong)), (1, absolute(-wrong))],
            reason="if it is not negative",
        ),
        one, Integer(0), reason="the triangle inequality",
    )  # fmt: skip
    product = sign * wrong
    squares = combine(AtMost(product**2, wrong**2), [(wrong**2, small)], reason="as s² ≤ 1")
    most = root(squares, product, reason="take roots")
    return combine(
        AtMost(Abs(one) - 2 * Abs(wrong), sign * one),
        [(1, inside), (-1, known), (1, most), (1, absolute(product))],
        reason="an error of |e| costs at most 2|e|",
    )


@cache
def _per_coordinate() -> Theorem:
    """The same of each coordinate at each step, surely."""
    names = (Symbol(name, real=True) for name in ("a", "b", "c"))
    here = instantiate(_coordinate(), dict(zip(names, (_slope, _error, _sign), strict=True)), reason="of a coordinate")
    for told in (_IS_SIGN, _AT_MOST_ONE):
        here = discharge(here, given(told, t, i), reason="which is given")
    return here


def _on_average(each: Theorem) -> Theorem:
    """From a relation of each coordinate at each step, that of the sums over all steps of the expectations."""
    whole = expectation(sum_over(each, i, dimension, reason="over the coordinates"), reason="take expectations")
    return sum_over(whole, t, horizon, reason="sum over the steps")


def _walked(fall: Theorem) -> list[tuple[Term, Theorem]]:
    """From what a step changes f by, the parts that leave M, ε and sums over the signs, divided by ηT."""
    step = expectation(moved(fall, given(_UPDATE, t)), reason="take expectations")
    over_steps = [
        sum_over(expectation(given(told, t), reason="take expectations"), t, horizon, reason="sum over the steps")
        for told in (_ALONG, _LENGTH)
    ]
    weight = 1 / (eta * horizon)
    return [
        (weight, sum_over(step, t, horizon, reason="sum over the steps")),
        (-1 / horizon, over_steps[0]),
        (eta * smoothness / (2 * horizon), over_steps[1]),
        (1, given(_SIZE)),
        (-2, given(_ERROR)),
    ]


@of_formulas()
def sign_bound(right_side: Formula = SIGNED) -> Proof:
    """C16: ``M ≤ Δ/(ηT) + 2ε + ηΛd/2`` for sign descent with any errors; runs attain what T leaves.

    The argument is that of Bernstein et al. 2018, arXiv 1802.04434, without their assumptions on the noise; that its
    constants cannot be improved is this toolkit's own.

    Examples
    --------
    >>> proof = sign_bound()
    >>> proof.verify(), proof.axioms
    (True, ('descent lemma',))
    """
    lemma = axiom("descent lemma", ("f", smoothness), reason="f is smooth")
    along = instantiate(lemma, {y: x, Vector("v"): -eta * s}, reason="from x_t along the signs")
    bound = combine(
        sign_target(right_side),
        [
            *_walked(along),
            (1 / (eta * horizon), fallen()),
            (1 / horizon, _on_average(_per_coordinate())),
            (eta * smoothness / (2 * horizon), _on_average(given(_AT_MOST_ONE, t, i))),
        ],
        reason="the values telescope; divide by ηT",
    )
    return Proof((bound, _attained(right_side)))


def _attained(right_side: Term) -> Theorem:
    """On ``f = Λ‖x‖²/2``, where errors turn the whole gradient round or are none, and f ends as high as it began."""
    heights = [given(HEIGHT, at, why="f = Λ‖x‖²/2") for at in (x, x - eta * s)]
    slope = given(SLOPE, x)
    flat = combine(
        Equal(Value("f", x - eta * s), Value("f", x) - eta * Inner(g, s) + smoothness * eta**2 / 2 * square(s)),
        [(1, heights[1]), (-1, heights[0]), (eta, inner(slope, s))],
        reason="what a step changes f by",
    )
    return combine(
        attained_target(right_side),
        [
            *_walked(flat),
            (-1 / (eta * horizon), given(_BACK, why="f ends where it began")),
            (-1 / horizon, _on_average(given(_TURNED, t, i))),
            (eta * smoothness / (2 * horizon), _on_average(given(_ONE, t, i))),
        ],
        reason="the values telescope; divide by ηT",
    )
