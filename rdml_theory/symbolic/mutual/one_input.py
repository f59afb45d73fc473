"""X2: how great the gradient of a student at rest on one input can be, where its labels limit it.

L is the student's own loss, θ where it rests, q its distribution on the input, y its labels' and w_m the escort of peer
m of N. Whatever its Jacobian J is, v = J ∇L(θ) says how the logits move along the gradient: most in class k, least in
class l. Less v_l, the means of v under q, y and the escorts lie between 0 and v_k - v_l, as if there were two classes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sympy import Integer, Sum, Symbol, exp

from rdml_theory.symbolic.divergence import entries
from rdml_theory.symbolic.divergence.entries import discharged, given, is_class, mass, q, total, v
from rdml_theory.symbolic.divergence.names import rho
from rdml_theory.symbolic.divergence.tilt import RANGE, escort_ratio
from rdml_theory.symbolic.elementary import unsquared
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.mutual.bias import jacobian
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import C, Formula, alpha, i, j, k, l, m
from rdml_theory.symbolic.sgd import setting

__all__ = ["ASSUMPTIONS", "at_most_saturated", "peers"]

peers: Formula = Symbol("N", integer=True, positive=True)
"""N: how many peers there are."""

_s, _a, _d, _kappa = (Symbol(name, nonnegative=True) for name in ("s", "a", "d", "kappa"))
_e: Term = Symbol("e", positive=True)

_size = square(Gradient("f", Vector("θ")))
_width = v(k) - v(l)
_shifted = total(q(i) * (v(i) - v(l)))


def _label(index: Term) -> Term:
    return Entry("y", index)


def _of_peer(family: Any) -> Any:
    return lambda index: Entry(family(index).name, index, True, False, m)


_p, _w = map(_of_peer, (entries.p, entries.w))


def _each_peer(told: Proposition) -> Proposition:
    """What is told of p and w, of those of every peer."""
    families = {entries.p(0).name: _p, entries.w(0).name: _w}

    def change(e: Any) -> Term:
        return families[e.name](e.index) if e.name in families else e

    return ForAll(m, told.map(lambda term: term.replace(lambda e: isinstance(e, Entry), change)))


HYPOTHESES: dict[str, Proposition] = {
    "least": ForAll(i, AtMost(v(l), v(i))),
    "greatest": ForAll(i, AtMost(v(i), v(k))),
    "labels": ForAll(i, AtMost(0, _label(i))),
    "one label": Equal(total(_label(i)), 1),
    "base": Equal(_size, total(v(i) * (q(i) - _label(i)))),
    "rest": Equal(_size, beta * Sum(total(v(i) * (_w(i) - q(i))) / peers, (m, 1, peers))),
    "gram": AtMost(total(v(i) ** 2), jacobian**2 * _size),
    "escort": _each_peer(entries.is_escort()),
    "range": _each_peer(RANGE),
    "not zero": Less(0, exp(alpha * rho) - 1),
    "weight": AtMost(1, beta * (exp(alpha * rho / 2) - 1)),
}
"""A student at rest on one input: ∇L = Jᵀ(q - y) = -βJᵀ(q - w), along ∇L itself, and JᵀJ ≼ G² there."""

_CLASSES = (entries.sums_to_one(q), AtMost(l, C), AtMost(k, C))

ASSUMPTIONS = tuple(told.text() for told in (*HYPOTHESES.values(), *_CLASSES))
"""What the bound assumes, as text."""


def _given(name: str, *values: Term) -> Theorem:
    return setting.given(HYPOTHESES[name], *values)


def _bounds(index: Term) -> tuple[Theorem, Theorem]:
    """``0 ≤ v_i - v_l`` and ``0 ≤ v_k - v_i``."""
    return _given("least", index), _given("greatest", index)


@cache
def _of_one_peer() -> Theorem:
    """``B (D - A) ≤ exp(αρ) A (D - B)``, of the shifted means A under q and B under w, where D = v_k - v_l."""
    weight = (v(i) - v(l)) * (v(k) - v(j))
    pair = combine(
        escort_ratio().conclusion.map(lambda side: weight * side), [(weight, escort_ratio())],
        known=[*_bounds(i), *_bounds(j)], reason="times what is not negative",
    )  # fmt: skip
    w, factor = entries.w, exp(alpha * rho)

    def rest(family: Any) -> Term:
        return total(family(j) * (v(k) - v(j)), j)

    half = combine(
        AtMost((v(i) - v(l)) * w(i) * rest(q), factor * (v(i) - v(l)) * q(i) * rest(w)),
        [(1, sum_over(pair, j, C))], reason="summed over j",
    )  # fmt: skip
    moved = total(w(i) * (v(i) - v(l)))
    return combine(
        AtMost(moved * (_width - _shifted), factor * _shifted * (_width - moved)), [(1, sum_over(half, i, C))],
        where=[mass(q), entries.of_escort()], reason="and over i",
    )  # fmt: skip


@cache
def _pulled() -> Theorem:
    """``S (D + (E-1)A) ≤ β(E-1) A (D - A)`` with S = ‖∇L‖² and E = exp(αρ), of all peers."""
    families = {entries.p(i): _p(i), entries.w(i): _w(i)}
    lemmas = [specialise(_given(name), m, reason="of a peer") for name in ("escort", "range")]

    def of_a_peer(theorem: Theorem, *facts: Theorem) -> Theorem:
        here = discharged(instantiate(theorem, families, reason="of a peer"), *facts)
        part = combine(
            here.conclusion.map(lambda side: side / peers), [(1 / peers, here)], reason="its part of the mean"
        )  # fmt: skip
        return sum_over(part, m, peers, reason="over the peers")

    every, ones = of_a_peer(_of_one_peer(), *lemmas), of_a_peer(entries.of_escort(), lemmas[0])
    excess = exp(alpha * rho) - 1
    drag = _width + excess * _shifted
    return combine(
        AtMost(_size * drag, beta * excess * _shifted * (_width - _shifted)),
        [(beta, every), (drag, _given("rest")), (beta * drag * v(l), ones)],
        where=[mass(q)], reason="on average, at rest",
    )  # fmt: skip


@cache
def _labelled() -> Theorem:
    """``S ≤ A``: no label has a negative share."""
    part = combine(
        AtMost(0, _label(i) * (v(i) - v(l))), [(v(i) - v(l), _given("labels", i))], known=[_bounds(i)[0]],
        reason="times what is not negative",
    )  # fmt: skip
    return combine(
        AtMost(_size, _shifted), [(1, _given("base")), (1, sum_over(part, i, C))],
        where=[mass(q), _given("one label")], reason="summed over the classes",
    )  # fmt: skip


def _none_left(theorem: Theorem, left: Term, right: Term) -> Theorem:
    """``a ≤ b`` from ``(a - b)² ≤ 0`` where b ≤ a."""
    target = AtMost(left, right)
    least = unsquared(left - right, Integer(0), theorem)
    more = combine(target, [(1, least)], reason="so nothing is left")
    return cases(more, given(target, "suppose"), right, left, reason="in either case")


@cache
def _of_numbers() -> Theorem:
    """``s ≤ κd`` for ``κ(1+β)(e²-1) = β(e²-1) - 1``, from ``s ≤ a``, the bound of all peers, and ``1 ≤ β(e-1)``."""
    excess, most = _e**2 - 1, _kappa * _d
    below, pulled, apart, weight, share = (
        given(told, "suppose")
        for told in (
            AtMost(_s, _a),
            AtMost(_s * (_d + excess * _a), beta * excess * _a * (_d - _a)),
            Less(0, excess),
            AtMost(1, beta * (_e - 1)),
            Equal(_kappa * (1 + beta) * excess, beta * excess - 1),
        )
    )
    over = given(AtMost(most, _s), "suppose it exceeds this")
    also = combine(AtMost(most, _a), [(1, over), (1, below)], reason="then so does a")
    # βκ(e²-1) - 1 is (β²e² - (1+β)²)/(1+β), which is not negative.
    product = _d * (_a - most) / (excess * (1 + beta))
    slack = beta * (_a - most) ** 2 + product * (beta * (_e - 1) - 1) * (beta * _e + beta + 1)
    slack += (_s - most) * (_a - _s) + (_s - most) * _d * (_kappa + 1 / excess)
    vanishes = combine(
        AtMost((_s - most) ** 2, 0), [(1 / excess, pulled), (-beta * product - _a * _d / excess, share)], slack=slack,
        known=[apart, weight, below, over, also], reason="the excess pays for itself",
    )  # fmt: skip
    return _none_left(vanishes, _s, most)


@cache
def _of_entries() -> Theorem:
    """``(v_k - v_l)² ≤ 2 Σ v²``, also where k is l."""
    squares = total(v(i) ** 2)
    room = _given("least", k)
    parts = []
    for name, index, weight in (("least", k, v(j) - v(l)), ("greatest", l, v(k) - v(j))):
        part = combine(
            AtMost(0, v(j) ** 2 * weight), [(v(j) ** 2, _given(name, j))], reason="times what is not negative"
        )  # fmt: skip
        parts.append(one_term(part, j, C, index, known=[is_class(index)], reason="one term of a sum of these"))
    lost = combine(
        AtMost(_width * (_width**2 - 2 * squares), 0), [(2, part) for part in parts],
        slack=_width * (v(k) + v(l)) ** 2, known=[room], reason="together, times v_k - v_l",
    )  # fmt: skip
    scaled = given(AtMost(_d * (_d**2 - 2 * _s), 0), "suppose")
    over = given(AtMost(2 * _s, _d**2), "suppose it exceeds this")
    vanishes = combine(
        AtMost((_d**2 - 2 * _s) ** 2, 0), [(_d, scaled)], slack=2 * _s * (_d**2 - 2 * _s), known=[over],
        reason="the excess pays for itself",
    )  # fmt: skip
    lemma = _none_left(vanishes, _d**2, 2 * _s)
    return discharged(instantiate(lemma, {_d: _width, _s: squares}, known=[room], reason="for these"), lost)


_root = exp(alpha * rho / 2)
_share = (beta * (_root**2 - 1) - 1) / ((1 + beta) * (_root**2 - 1))
"""κ: the share that a student of two classes gives one of them at rest, where all its labels are of the other."""


@cache
def _lessened() -> Theorem:
    """``S ≤ κD`` with ``κ = (β(E-1) - 1)/((1+β)(E-1))``."""
    not_zero, weight = _given("not zero"), _given("weight")
    known = [
        _given("least", k),
        _mean_not_negative(),
        not_zero,
        combine(
            AtMost(0, _share), [],
            slack=(_root + (beta * (_root - 1) - 1) * (_root + 1)) / ((1 + beta) * (_root**2 - 1)),
            known=[not_zero, weight], reason="the weight is large enough",
        ),
    ]  # fmt: skip
    values = {_s: _size, _a: _shifted, _d: _width, _e: _root, _kappa: _share}
    here = instantiate(_of_numbers(), values, known=known, reason="here")
    defined = combine(
        Equal(_share * (1 + beta) * (_root**2 - 1), beta * (_root**2 - 1) - 1), [], known=[not_zero], reason="what κ is"
    )  # fmt: skip
    return discharged(here, _labelled(), _pulled(), not_zero, weight, defined)


def at_most_saturated(asserted: Formula) -> Theorem:
    """``‖∇L‖² ≤`` what is asserted, at rest on one input where ``1 ≤ β(exp(αρ/2) - 1)``.

    Raises
    ------
    ProofError
        If it does not follow.
    """
    return combine(
        AtMost(_size, asserted),
        [(2, _lessened()), (1 / (2 * jacobian**2), _of_entries()), (1 / jacobian**2, _given("gram"))],
        slack=2 * (_width / (2 * jacobian) - jacobian * _share) ** 2,
        reason="(v_k - v_l)² is at most 2‖v‖², and that at most 2G²‖∇L‖²",
    )  # fmt: skip


def _mean_not_negative() -> Theorem:
    """``0 ≤ A``."""
    part = combine(AtMost(0, q(i) * (v(i) - v(l))), [(q(i), _given("least", i))], reason="times the share")
    return combine(AtMost(0, _shifted), [(1, sum_over(part, i, C))], reason="summed over the classes")
