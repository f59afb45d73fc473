"""C8: a student's own objective moves with its peers; its gradient is bounded up to the drift.

The objective of step t is ``F(·; u_t)``, for the peers' logits u_t on all inputs. The run is ``x_{t+1} = x_t -
η(∇F(x_t; u_t) + n_t)``, with noise of mean zero given x_t and u_t.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sympy import Abs, Integer, Symbol, sqrt, tanh

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import (
    At,
    AtMost,
    Centred,
    Equal,
    ForAll,
    Gradient,
    Less,
    Mean,
    Proof,
    Smooth,
    Theorem,
    Value,
    Vector,
    assume,
    axiom,
    combine,
    discharge,
    expectation,
    instantiate,
    orthogonal,
    rewrite,
    specialise,
    square,
    sum_over,
)  # fmt: skip
from rdml_theory.symbolic.mutual.bias import jacobian, spread
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Formula, alpha
from rdml_theory.symbolic.sgd.descent import eta, gap, h, horizon, noise
from rdml_theory.symbolic.sgd.setting import (
    after,
    assumptions,
    at_most,
    average,
    exact,
    first,
    given,
    infimum,
    mean_over_steps,
    n,
    positive_room,
    smoothness,
    t,
    x,
    y,
)  # fmt: skip

__all__ = [
    "ASSUMPTIONS", "DRIFT", "FURTHER", "MOVING", "bound_target", "drift", "moving_target", "peer_step", "pull",
]  # fmt: skip

Term = Any

peer_step: Formula = Symbol("g", nonnegative=True)
drift: Formula = Symbol("d", nonnegative=True)
pull: Formula = Symbol("B", nonnegative=True)

_PULL = sqrt(2) * alpha * tanh(Abs(alpha - 1) * spread / 4) / Abs(alpha - 1)

DRIFT: Formula = beta * jacobian * peer_step * _PULL
"""The drift of a student's objective per step, over η: its peers move by ηg."""

MOVING: Formula = (2 * gap / (eta * horizon) + h * noise**2 + 2 * drift) / (2 - h)
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


_LIPSCHITZ = ForAll(
    y, ForAll(v, ForAll(w, AtMost(Value("F", y, w) - Value("F", y, v), beta * pull * sqrt(square(w - v)))))
)  # fmt: skip
_PEERS = ForAll(t, AtMost(square(u_after - u), (jacobian * eta * peer_step) ** 2))
_OTHER_ORDER = Less(0, Abs(alpha - 1))
_IS_PULL = Equal(pull, _PULL)

_COMMON = (Smooth("F", smoothness), _BOUNDED, _START, _UPDATE, _CENTRED, _AVERAGE)

ASSUMPTIONS = assumptions("noise", "h", "h < 2", *(told.text() for told in (*_COMMON, _drifts(drift))))
"""What the bound assumes, as text; d bounds the mean drift."""

FURTHER = tuple(told.text() for told in (_LIPSCHITZ, _IS_PULL, _PEERS, _OTHER_ORDER))
"""What gives the drift: the peers' pull, which D9 bounds, and how far their logits move."""


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
    update = specialise(assume(_UPDATE, reason="given"), t, reason="at this step")
    left, right = update.conclusion.terms()
    back = combine(Equal(right, left), [(-1, update)], reason="the update, read from right to left")
    descent = expectation(rewrite(along, back, reason="which leads to x_{t+1}"), reason="take expectations")
    centred = specialise(assume(_CENTRED, reason="given"), t, reason="at this step")
    size = Mean(square(slope))
    return combine(
        AtMost(Mean(Value("F", after, u)), Mean(Value("F", x, u)) - eta * (1 - h / 2) * size + eta * h / 2 * noise**2),
        [
            (1, descent),
            (eta * (smoothness * eta - 1), orthogonal(centred, slope, reason="the noise has mean zero given x_t, u_t")),
            (smoothness * eta**2 / 2, given("noise", t)),
            (-eta / 2 * (size + noise**2), given("h")),
        ],
        reason="multiply out: the whole gradient of F(·; u_t) is followed, without bias",
    )


def _bounded(asserted: Formula) -> Theorem:
    bounded = assume(_BOUNDED, reason="given")
    last = specialise(specialise(bounded, At("x", horizon)), At("u", horizon), reason="at the end")
    mean, weight = mean_over_steps(square(slope)), 1 / (eta * horizon)
    gained = combine(
        AtMost((1 - h / 2) * mean, gap / (eta * horizon) + h * noise**2 / 2 + drift),
        [
            (weight, sum_over(_step(), t, horizon, reason="sum over the steps")),
            (weight, expectation(last, reason="take expectations")),
            (weight, assume(_START, reason="given")),
            (1 / eta, assume(_drifts(drift), reason="given: the mean drift is at most ηd")),
        ],
        reason="telescoping leaves the drift of each step; divide by ηT",
    )
    return combine(
        bound_target(asserted),
        [(2 / (2 - h), gained), (1, assume(_AVERAGE, reason="given"))],
        known=[positive_room()],
        reason="divide by 1-h/2",
    )


def _drifting(rate: Formula) -> Theorem:
    """The mean drift is at most η times the rate."""
    other = assume(_OTHER_ORDER, reason="given: α is not 1")
    lipschitz = assume(_LIPSCHITZ, reason="given, by D9: the peers' logits pull with B at most")
    here: Theorem = lipschitz
    for value in (after, u, u_after):
        here = specialise(here, value, reason="for x_{t+1}, from u_t to u_{t+1}")
    moved = specialise(assume(_PEERS, reason="given: the peers' logits move by at most Gηg"), t, reason="at this step")
    way = at_most(sqrt(square(u_after - u)), jacobian * eta * peer_step, moved)
    surely = combine(
        AtMost(Value("F", after, u_after) - Value("F", after, u), beta * pull * jacobian * eta * peer_step),
        [(1, here), (beta * pull, way)],
        reason="so F changes by at most that",
    )
    total = sum_over(expectation(surely, reason="take expectations"), t, horizon, reason="sum over the steps")
    named = assume(_IS_PULL, known=[other], reason="given: B is D9's bound")
    return combine(
        _drifts(rate),
        [(1 / horizon, total), (beta * jacobian * eta * peer_step, named)],
        known=[other],
        reason="the mean, over T",
    )


@of_formulas()
def moving_target(right_side: Formula | None = None, rate: Formula | None = None) -> Proof:
    """C8: ``A² ≤ [2Δ/(ηT) + hσ² + 2d]/(2-h)`` for the moving objective F(·; u_t) = L + βR(·; peers at t), 0 < h < 2.

    d bounds the mean drift over η. It is ``βGg √2 α tanh(|α-1|ρ/4)/|α-1|`` if the divergence changes with the peers'
    logits at most as D9 says, and these move by at most Gηg in a step; at α = 1 it is √2 βGgρ/4. This toolkit's own.

    Parameters
    ----------
    right_side, rate : Expr, optional
        The asserted bound of A² and the asserted d.

    Raises
    ------
    ProofError
        If the argument does not give what is asserted.

    Examples
    --------
    >>> moving_target().axioms
    ('descent lemma',)
    >>> moving_target(MOVING.subs(drift, 0))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: A² ≤ ... is not this combination: ...
    """
    asserted = MOVING if right_side is None else exact(right_side)
    stated = DRIFT if rate is None else exact(rate)
    bound, drifting = _bounded(asserted), _drifting(stated)
    other = assume(_OTHER_ORDER, reason="given: α is not 1")
    whole = instantiate(bound, {drift: stated}, known=[other], reason="with this drift")
    return Proof((bound, discharge(whole, drifting, reason="as found")))
