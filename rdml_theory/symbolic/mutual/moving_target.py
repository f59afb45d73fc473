"""C8: a student's own objective moves with its peers; its gradient is bounded up to the drift.

The objective of step t is ``F(·; u_t)``, for the peers' logits u_t on all inputs. The run is ``x_{t+1} = x_t -
η(∇F(x_t; u_t) + n_t)``, with noise of mean zero given x_t and u_t.
"""

from __future__ import annotations

from functools import cache

from sympy import Integer, Sum, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.divergence import entries
from rdml_theory.symbolic.divergence.entries import NOT_ONE, total
from rdml_theory.symbolic.divergence.peers import APART, WAY, moved_peer, of_logits, peer_bound, range_of_logits, there
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.mutual.bias import jacobian
from rdml_theory.symbolic.mutual.composed import pairs
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Formula, i, m
from rdml_theory.symbolic.sgd.descent import eta, gap, h, horizon, sigma
from rdml_theory.symbolic.sgd.setting import *

__all__ = [
    "ASSUMPTIONS", "DRIFT", "DRIFT_AT_ONE", "FURTHER", "MOVING", "bound_target", "drift", "moving_target", "peer_step",
]  # fmt: skip

peer_step: Formula = Symbol("g", positive=True)
drift: Formula = Symbol("d", nonnegative=True)

DRIFT: Formula = beta * jacobian * peer_step * peer_bound()
"""The drift of a student's objective per step, over η: its peers move by ηg."""

DRIFT_AT_ONE: Formula = beta * jacobian * peer_step * peer_bound(order_one=True)
"""The same at order one."""

MOVING: Formula = (2 * gap / (eta * horizon) + h * sigma**2 + 2 * drift) / (2 - h)
"""The bound of A² for a moving objective."""

u, u_after = At("u", t), At("u", t + 1)
v, w = Vector("v"), Vector("w")
slope = Gradient("F", x, u)

_BOUNDED = ForAll(y, ForAll(w, AtMost(infimum, Value("F", y, w))))
_START = AtMost(Mean(Value("F", first, At("u", Integer(0)))) - infimum, gap)
_UPDATE = ForAll(t, Equal(after, x - eta * (slope + n)))
_CENTRED = ForAll(t, Centred(n, (x, u)))
_AVERAGE = Equal(average**2, mean_over_steps(square(slope)))


def _drifts(most: Term) -> AtMost:
    return AtMost(mean_over_steps(Value("F", after, u_after) - Value("F", after, u)), eta * most)


def _logits(name: str, step: Term) -> Term:
    """The logits of class i of a pair m of an input and a peer, at a step, for each outcome."""
    return Entry(name, i, False, True, step, m)


_before, _later, _student = _logits("u", t), _logits("u", t + 1), _logits("z", t + 1)


def _over_pairs(summand: Term) -> Term:
    return Sum(summand / pairs, (m, 1, pairs))


def _changed(order_one: bool) -> Equal:
    """F changes as the mean of β D over inputs and peers."""
    after_it, before_it = (of_logits(u, _student, order_one=order_one) for u in (_later, _before))
    change = Value("F", after, u_after) - Value("F", after, u)
    return Equal(change, beta * _over_pairs(after_it - before_it))


_PEERS = ForAll(t, AtMost(_over_pairs(total((_later - _before) ** 2)), (jacobian * eta * peer_step) ** 2))
_RANGES = tuple(ForAll(t, ForAll(m, range_of_logits(end, _student))) for end in (_before, _later))

_COMMON = (Smooth("F", smoothness), _BOUNDED, _START, _UPDATE, _CENTRED, _AVERAGE)

ASSUMPTIONS = assumptions("noise", "h", "h < 2", *(told.text() for told in (*_COMMON, _drifts(drift))))
"""What the bound assumes, as text; d bounds the mean drift."""

FURTHER = tuple(told.text() for told in (ForAll(t, _changed(False)), *_RANGES, _PEERS, APART, NOT_ONE))
"""What gives the drift: F is L + βR, the range of the log-ratios, and how far the peers' logits move."""


def bound_target(right_side: Formula = MOVING) -> AtMost:
    """``A² ≤`` the right side.

    >>> print(bound_target().text())
    A² ≤ (2·Δ/(T·η) + 2·d + h·σ²)/(2 - h)
    """
    return AtMost(average**2, right_side)


@cache
def _step() -> Theorem:
    """What a step gains for the objective of its time."""
    lemma = axiom("descent lemma", ("F", smoothness, w), reason="F is smooth in its first argument")
    along = instantiate(lemma, {y: x, v: -eta * (slope + n), w: u}, reason="from x_t along the update")
    descent = expectation(moved(along, given(_UPDATE, t)), reason="take expectations")
    centred = given(_CENTRED, t)
    size = Mean(square(slope))
    return combine(
        AtMost(Mean(Value("F", after, u)), Mean(Value("F", x, u)) - eta * (1 - h / 2) * size + eta * h / 2 * sigma**2),
        [
            (1, descent),
            (eta * (smoothness * eta - 1), orthogonal(centred, slope, reason="the noise has mean zero given x_t, u_t")),
            (smoothness * eta**2 / 2, given("noise", t)),
            (-eta / 2 * (size + sigma**2), given("h")),
        ],
        reason="multiply out: the whole gradient of F(·; u_t) is followed, without bias",
    )


def _bounded(asserted: Formula) -> Theorem:
    bounded = given(_BOUNDED)
    last = specialise(specialise(bounded, At("x", horizon)), At("u", horizon), reason="at the end")
    mean, weight = mean_over_steps(square(slope)), 1 / (eta * horizon)
    gained = combine(
        AtMost((1 - h / 2) * mean, gap / (eta * horizon) + h * sigma**2 / 2 + drift),
        [
            (weight, sum_over(_step(), t, horizon, reason="sum over the steps")),
            (weight, expectation(last, reason="take expectations")),
            (weight, given(_START)),
            (1 / eta, given(_drifts(drift), why="the mean drift is at most ηd")),
        ],
        reason="telescoping leaves the drift of each step; divide by ηT",
    )
    return combine(
        bound_target(asserted),
        [(2 / (2 - h), gained), (1, given(_AVERAGE))],
        known=[given("h < 2")],
        reason="divide by 1-h/2",
    )


def _drifting(rate: Formula, *, order_one: bool = False) -> Theorem:
    """The mean drift is at most η times the rate."""
    way, most = jacobian * eta * peer_step, peer_bound(order_one=order_one)
    families = {entries.u(i): _before, there: _later, entries.z(i): _student}
    here = instantiate(moved_peer(order_one=order_one), {**families, WAY: way}, reason="D9, of each input and peer")
    for told in _RANGES:
        each = given(told, t, m, why="ρ")
        here = discharge(here, each, reason="which is given")
    part = combine(here.conclusion.map(lambda side: side / pairs), [(1 / pairs, here)], reason="a pair's part")
    mean = sum_over(part, m, pairs, reason="over the pairs")
    signs = [] if order_one else [assume(NOT_ONE, reason="for an order that is not one")]
    whole = assume(ForAll(t, _changed(order_one)), known=signs, reason="given: F is L + βR")
    changed = specialise(whole, t, reason="at this step")
    moved = given(_PEERS, t, why="the peers' logits move by at most Gηg")
    signs.append(given(APART, why="not all log-ratios are equal"))
    surely = combine(
        AtMost(changed.conclusion.terms()[0], beta * most * way),
        [(1, changed), (beta, mean), (beta * most / (2 * way), moved)],
        reason="so F changes by at most that",
    )
    total_drift = sum_over(expectation(surely, reason="take expectations"), t, horizon, reason="sum over the steps")
    return combine(_drifts(rate), [(1 / horizon, total_drift)], reason="the mean, over T")


@of_formulas()
def moving_target(right_side: Formula = MOVING, rate: Formula = DRIFT) -> Proof:
    """C8: ``A² ≤ [2Δ/(ηT) + hσ² + 2d]/(2-h)`` for the moving objective F(·; u_t) = L + βR(·; peers at t), 0 < h < 2.

    d, the ``rate``, bounds the mean drift over η. It is ``βGg √2 α tanh(|α-1|ρ/4)/|α-1|`` by D9, and √2 βGgρ/4 at
    α = 1, if the peers' logits move by at most Gηg in a step, in the root mean square over inputs and peers. This
    toolkit's own.

    Examples
    --------
    >>> moving_target().axioms
    ('descent lemma',)
    """
    bound = _bounded(right_side)

    def with_drift(most: Formula, *, order_one: bool) -> Theorem:
        signs = [] if order_one else [assume(NOT_ONE, reason="for an order that is not one")]
        whole = instantiate(bound, {drift: most}, known=signs, reason="with this drift")
        return discharge(whole, _drifting(most, order_one=order_one), reason="as found")

    return Proof((bound, with_drift(rate, order_one=False), with_drift(DRIFT_AT_ONE, order_one=True)))
