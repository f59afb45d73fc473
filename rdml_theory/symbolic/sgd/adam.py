"""C17: Adam with a constant step goes the wrong way for ever, where gradients that outweigh all others are rare.

In one dimension ``x_{t+1} = x_t - η m̂_t/√v̂_t``, as in PyTorch with ε = 0, β₁ = rθ and β₂ = θ² for r, θ < 1.
``G_{t,k}`` is the gradient of k - 1 steps before t. It lies between -b and -a, but for an event of probability p, in
which it may be as large as c; the events of two steps are not correlated. Whatever the gradients are on average, a step
moves x by at least ηD.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from sympy import Integer, Sum, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.elementary import powers, summed, unsquared
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula, j, k
from rdml_theory.symbolic.sgd.descent import eta, horizon
from rdml_theory.symbolic.sgd.setting import given, t

__all__ = [
    "ASSUMPTIONS", "DRIFT", "WITH_DECAY", "adam_drift", "complement", "decay", "decayed_target", "deviation",
    "drift_target", "greatest", "least", "probability", "rare", "ratio", "root_of_second",
]  # fmt: skip

ratio: Formula = Symbol("r", positive=True)
root_of_second: Formula = Symbol("theta", positive=True)
complement: Formula = Symbol("phi", positive=True)
probability: Formula = Symbol("p", nonnegative=True)
least: Formula = Symbol("a", positive=True)
greatest: Formula = Symbol("b", positive=True)
rare: Formula = Symbol("c", positive=True)
deviation: Formula = Symbol("s", positive=True)
decay: Formula = Symbol("lambda", nonnegative=True)

_r, _theta, _phi, _p, _a, _b, _c, _s = (
    ratio, root_of_second, complement, probability, least, greatest, rare, deviation,
)  # fmt: skip

DRIFT: Formula = _a * (1 - _p) / _s - _p * (1 - _r * _theta) / (_phi * (1 - _r))
"""D, by which x moves in a step of η = 1, at least."""

_AGE = t + 1

_x, _m, _v = (Entry(name, t, name == "v", True) for name in "xmv")
_u = Entry("u", t, True, True)
_q = Entry("q", t, True)


def _lagged(name: str, lag: Term) -> Term:
    return Entry(name, lag, False, True, t)


_g, _happens = _lagged("G", k), _lagged("R", k)
_first = (1 - _r * _theta) * (_r * _theta) ** (k - 1)


def _lags(summand: Term, index: Symbol = k) -> Term:
    return Sum(summand, (index, 1, _AGE))


def _always(*bodies: Proposition, lags: Sequence[Symbol] = ()) -> tuple[ForAll, ...]:
    out = []
    for body in bodies:
        for lag in reversed(lags):
            body = ForAll(lag, body)
        out.append(ForAll(t, body))
    return tuple(out)


_SHARES = (Less(_r, 1), Less(_theta, 1), Equal(_phi**2, 1 - _theta**2), AtMost(_p, 1))


def _update(shrinks: Term) -> ForAll:
    return _always(Equal((1 - (_r * _theta) ** _AGE) * (shrinks * _x - _x.at(t + 1)), eta * _q * _m * _u))[0]


_PLAIN, _UPDATE = _update(1), _update(1 - eta * decay)
_MOMENT, _SQUARES, _INVERSE, _WARM = _always(
    Equal(_m, _lags(_first * _g)),
    Equal(_v, _lags(_phi**2 * _theta ** (2 * (k - 1)) * _g**2)),
    Equal(_u**2 * _v, 1),
    Equal(_q**2, 1 - _theta ** (2 * _AGE)),
)
_EVENT, _CHANCE, _COMMON, _MOST = _always(
    Equal(_happens**2, _happens),
    Equal(Mean(_happens), _p),
    AtMost((1 - _happens) * (_g + _a), 0),
    AtMost(_g**2, (1 - _happens) * _b**2 + _happens * _c**2),
    lags=[k],
)
_MOST_AT_J = (1 - _lagged("R", j)) * _b**2 + _lagged("R", j) * _c**2
(_APART,) = _always(AtMost(Mean((1 - _happens) * _lagged("R", j)), _p * (1 - _p)), lags=[k, j])
_SHORT = AtMost(eta * decay, 1)
_SIZES = (AtMost(_b**2, _c**2), Equal(_s**2, (1 - _p) * _b**2 + _p * _c**2))

ASSUMPTIONS = tuple(
    told.text()
    for told in (
        *_SHARES,
        _PLAIN,
        _MOMENT,
        _SQUARES,
        _INVERSE,
        _WARM,
        _EVENT,
        _CHANCE,
        _APART,
        _COMMON,
        _MOST,
        *_SIZES,
        Finite(),
    )
)
"""What the drift assumes, as text."""

WITH_DECAY = f"with decay, in place of Adam's update: {_UPDATE.text()}; {_SHORT.text()}"
"""What AdamW has in its place."""


def drift_target(drift: Formula = DRIFT) -> AtMost:
    """``E x_0 + ηTD ≤ E x_T``.

    >>> print(drift_target(DRIFT.subs(probability, 0)).text())
    T·a·η/s + E[x_0] ≤ E[x_T]
    """
    return AtMost(Mean(_x.at(Integer(0))) + eta * horizon * drift, Mean(_x.at(horizon)))


def decayed_target(drift: Formula = DRIFT) -> AtMost:
    """``(1-ηλ)^T (λ E x_0 - D) ≤ λ E x_T - D``: with decay λ, E x_T comes to D/λ, or stays above.

    >>> print(decayed_target(least).text())
    (λ·E[x_0] - a)·(1 - η·λ)^T ≤ λ·E[x_T] - a
    """
    start, end = (decay * Mean(_x.at(step)) - drift for step in (Integer(0), horizon))
    return AtMost((1 - eta * decay) ** horizon * start, end)


@cache
def _rooms() -> tuple[Theorem, ...]:
    """``r < 1``, ``θ < 1``, ``p ≤ 1`` and ``b² ≤ c²``."""
    return tuple(map(given, (*_SHARES[:2], _SHARES[3], _SIZES[0])))


@cache
def _geometric(value: Term) -> Theorem:
    """``Σ_{k≤t+1} (1-z)z^{k-1} = 1 - z^{t+1}``, of a value z."""
    z, count = Symbol("z", positive=True), Symbol("N", integer=True, nonnegative=True)

    def total(steps: Term) -> Equal:
        return Equal(Sum((1 - z) * z ** (k - 1), (k, 1, steps)), 1 - z**steps)

    whole = specialise(summed(total, count), _AGE, reason="up to t")
    return instantiate(whole, {z: value}, reason="for this")


@cache
def _tangent() -> Theorem:
    """``3/(2w) - v/(2w³) ≤ u`` for ``u²v = 1``: the tangent of 1/√v at v = w²."""
    u, v, w = (Symbol(name, positive=True) for name in ("u", "v", "w"))
    return combine(
        AtMost(3 / (2 * w) - v / (2 * w**3), u),
        [(u - 3 / (2 * w), assume(Equal(u**2 * v, 1), reason="suppose"))],
        slack=(w * u - 1) ** 2 * (2 * w * u + 1) * v / (2 * w**3),
        reason="1/√v is above its tangents",
    )


@cache
def _of_a_lag() -> Theorem:
    """``E[G_{t,k} u_t] ≤ p/(φθ^{k-1}) - a(1-p)/(s q_t)`` for k ≤ t+1."""
    event, level = given(_EVENT, t, k), _s * _q
    none = combine(AtMost(0, 1 - _happens), [(1, nonnegative((1 - _happens) ** 2)), (1, event)], reason="R is 0 or 1")
    some = combine(AtMost(0, _happens), [(1, nonnegative(_happens**2)), (1, event)], reason="R is 0 or 1")
    most = _phi * _theta ** (k - 1) * _g * _u
    rarely = combine(
        AtMost(_happens * _g * _u, _happens / (_phi * _theta ** (k - 1))),
        [
            (_happens / (_phi * _theta ** (k - 1)), part)
            for part in (root(_normed(), most, reason="take roots"), absolute(most))
        ],
        known=[some],
        reason="a rare gradient makes its own v_t",
    )
    mostly = combine(
        AtMost((1 - _happens) * _g * _u, -_a * (1 - _happens) * _u), [(_u, given(_COMMON, t, k))],
        reason="the others are at most -a",
    )  # fmt: skip
    names = (Symbol(name, positive=True) for name in "uvw")
    tangent = instantiate(_tangent(), dict(zip(names, (_u, _v, level), strict=True)), reason="at w = s q_t")
    straight = discharge(tangent, given(_INVERSE, t), reason="u is 1/√v")
    surely = combine(
        AtMost(
            _g * _u, _happens / (_phi * _theta ** (k - 1)) - _a * (1 - _happens) * (3 - _v / level**2) / (2 * level)
        ),
        [(1, rarely), (1, mostly), (_a * (1 - _happens), straight)],
        known=[none],
        reason="together",
    )
    return combine(
        AtMost(Mean(_g * _u), _p / (_phi * _theta ** (k - 1)) - _a * (1 - _p) / level),
        [
            (1, expectation(surely, reason="take expectations")),
            (_a / (2 * level**3), _elsewhere(none)),
            (1 / (_phi * _theta ** (k - 1)) + 3 * _a / (2 * level), given(_CHANCE, t, k)),
        ],
        reason="on average",
    )


def _normed() -> Theorem:
    """``(φθ^{k-1} G_{t,k} u_t)² ≤ 1``: a gradient makes v_t as large as that."""
    room = assume(AtMost(k, _AGE), reason="suppose: k is one of the lags")
    square = _phi**2 * _theta ** (2 * (j - 1)) * _lagged("G", j) ** 2
    part = one_term(nonnegative(square), j, _AGE, k, known=[room], reason="one term of v_t")
    return combine(
        AtMost((_phi * _theta ** (k - 1) * _g * _u) ** 2, 1),
        [(_u**2, part), (-(_u**2), given(_SQUARES, t)), (1, given(_INVERSE, t))],
        reason="so it is at most √v_t",
    )


def _termwise(weight: Term, lag: Symbol, value: Term) -> Theorem:
    """``E[Σ_k c_k H_k] = Σ_k c_k E[H_k]``, where the value of H_k may have a part that is the same for all k."""
    family = Entry("H", lag, False, True)
    whole = identity(Equal(Mean(_lags(weight * family, lag)), _lags(weight * Mean(family), lag)), reason="term by term")
    return instantiate(whole, {family: value}, reason="for this")


def _elsewhere(none: Theorem) -> Theorem:
    """``E[(1 - R_{t,k}) v_t] ≤ (1-p) s² q_t²``."""
    outside, weight = 1 - _happens, _phi**2 * _theta ** (2 * (j - 1))
    surely = combine(
        AtMost(outside * _lagged("G", j) ** 2, outside * _MOST_AT_J), [(outside, given(_MOST, t, j))],
        known=[none], reason="if it is not a rare one at k",
    )  # fmt: skip
    each = combine(
        AtMost(Mean(outside * _lagged("G", j) ** 2), (1 - _p) * _s**2),
        [
            (1, expectation(surely, reason="take expectations")),
            (_c**2 - _b**2, given(_APART, t, k, j)),
            (-(_b**2), given(_CHANCE, t, k)),
            (-(1 - _p), given(_SIZES[1])),
        ],
        known=_rooms(),
        reason="the events of two steps are not correlated",
    )
    part = combine(
        AtMost(weight * Mean(outside * _lagged("G", j) ** 2), weight * (1 - _p) * _s**2), [(weight, each)],
        reason="with its weight",
    )  # fmt: skip
    named = combine(
        Equal(outside * _v, _lags(weight * outside * _lagged("G", j) ** 2, j)), [(outside, given(_SQUARES, t))],
        reason="v_t",
    )  # fmt: skip
    return combine(
        AtMost(Mean(outside * _v), (1 - _p) * _s**2 * _q**2),
        [
            (1, sum_over(part, j, _AGE, reason="over the lags")),
            (1, _termwise(weight, j, outside * _lagged("G", j) ** 2)),
            (1, expectation(named, reason="take expectations")),
            ((1 - _p) * _s**2, _geometric(_theta**2)),
            ((1 - _p) * _s**2 * _lags(weight / _phi**2, j), given(_SHARES[2])),
            (-(1 - _p) * _s**2, given(_WARM, t)),
        ],
        reason="the weights of v_t have the sum q_t²",
    )


def _on_average() -> Theorem:
    """``E[m_t u_t] ≤ p(1-rθ)(1-r^{t+1})/(φ(1-r)) - a(1-p)(1-(rθ)^{t+1})/(s q_t)``."""
    inside, lag = _inside(), _of_a_lag()
    part = combine(
        AtMost(_first * Mean(_g * _u), _first * lag.conclusion.terms()[1]), [(_first, lag)], known=[inside],
        reason="with its weight in m_t",
    )  # fmt: skip
    named = combine(Equal(_m * _u, _lags(_first * _g * _u)), [(_u, given(_MOMENT, t))], reason="m_t")
    both, alone = _geometric(_r * _theta), _geometric(_r)
    return combine(
        AtMost(
            Mean(_m * _u),
            _p * (1 - _r * _theta) * (1 - _r**_AGE) / (_phi * (1 - _r))
            - _a * (1 - _p) * (1 - (_r * _theta) ** _AGE) / (_s * _q),
        ),
        [
            (1, sum_over(part, k, _AGE, reason="over the lags")),
            (1, _termwise(_first, k, _g * _u)),
            (1, expectation(named, reason="take expectations")),
            (-_a * (1 - _p) / (_s * _q), both),
            (_p * (1 - _r * _theta) / (_phi * (1 - _r)), alone),
        ],
        reason="sums of powers",
    )


@cache
def _inside() -> Theorem:
    """``0 < 1 - rθ``."""
    below, small, *_ = _rooms()
    return combine(Less(0, 1 - _r * _theta), [(1, below), (_r, small)], reason="so is this")


def _moves() -> Theorem:
    """``(1-ηλ)E x_t + ηD ≤ E x_{t+1}``."""
    known, inside = _rooms(), _inside()
    younger = _r**_AGE
    shrunk = {}
    for value, room in ((_r, known[0]), (_theta, known[1]), (_r * _theta, inside)):
        power = discharge(powers(value)[0], combine(Less(value, 1), [(1, room)], reason="it is below 1"))
        shrunk[value] = combine(Less(0, 1 - value**_AGE), [(value, power), (1, room)], reason="and so are its powers")
    warm = combine(
        AtMost(_q**2, Integer(1) ** 2), [(1, given(_WARM, t))], slack=_theta ** (2 * _AGE), reason="at most 1"
    )  # fmt: skip
    corrected = combine(
        AtMost(_q * (1 - younger), 1 - (_r * _theta) ** _AGE),
        [(1 - younger, unsquared(_q, Integer(1), warm)), (younger, shrunk[_theta])],
        known=[shrunk[_r]],
        reason="the corrections do not make it more",
    )
    age = 1 - (_r * _theta) ** _AGE
    update = expectation(given(_UPDATE, t), reason="take expectations")
    return combine(
        AtMost((1 - eta * decay) * Mean(_x) + eta * DRIFT, Mean(_x.at(t + 1))),
        [
            (1 / age, update),
            (eta * _q / age, _on_average()),
            (eta * _p * (1 - _r * _theta) / (_phi * (1 - _r) * age), corrected),
        ],
        known=[*known, inside, shrunk[_r * _theta]],
        reason="a step",
    )


@of_formulas()
def adam_drift(drift: Formula = DRIFT) -> Proof:
    """C17: ``E x_0 + ηTD ≤ E x_T`` for Adam, ``D = a(1-p)/s - p(1-β₁)/(√(1-β₂) (1 - β₁/√β₂))``, s² = (1-p)b² + pc².

    The example is that of Reddi, Kale & Kumar 2018, arXiv 1904.09237, Theorem 3; D, and that it holds from the first
    step on, is this toolkit's own. ``drift`` is D.

    Examples
    --------
    >>> adam_drift().axioms
    ()
    """
    known = _rooms()[:1]
    adam = instantiate(_moves(), {decay: Integer(0)}, reason="without decay")

    def after(steps: Term) -> AtMost:
        return AtMost(Mean(_x.at(Integer(0))) + eta * steps * DRIFT, Mean(_x.at(steps)))

    whole = _unrolled(after, [(1, assume(after(t), known=known, reason="suppose")), (1, adam)], known)
    moved = combine(drift_target(drift), [(1, whole)], reason="as asserted")
    return Proof((moved, _decayed(drift)))


def _decayed(drift: Term) -> Theorem:
    """That of AdamW."""
    short = assume(_SHORT, reason="given")
    known = [*_rooms()[:1], short]

    def after(steps: Term) -> AtMost:
        return AtMost(
            (1 - eta * decay) ** steps * (decay * Mean(_x.at(Integer(0))) - DRIFT), decay * Mean(_x.at(steps)) - DRIFT
        )

    supposed = assume(after(t), known=known, reason="suppose")
    whole = _unrolled(after, [(1 - eta * decay, supposed), (decay, _moves())], known)
    return combine(decayed_target(drift), [(1, whole)], reason="as asserted")


def _unrolled(
    after: Callable[[Term], AtMost], parts: list[tuple[Term, Theorem]], known: Sequence[Theorem]
) -> Theorem:  # fmt: skip
    """What holds after T steps, from what one more takes."""
    base = combine(after(Integer(0)), [], known=known, reason="none yet")
    step = combine(after(t + 1), parts, reason="one more")
    return specialise(induct(base, step, t, reason="by induction"), horizon, reason="T of them")
