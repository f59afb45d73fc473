"""C11: the floor of a heavy ball with a biased gradient, exactly, for Λη ≤ 1 - μ: of two potentials, and two runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from sympy import Integer, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd import momentum
from rdml_theory.symbolic.sgd.descent import Z, eta, gap, h, horizon, mu, sigma
from rdml_theory.symbolic.sgd.extremal import SLOPE
from rdml_theory.symbolic.sgd.momentum import settling
from rdml_theory.symbolic.sgd.refinements import relative_bias
from rdml_theory.symbolic.sgd.setting import *

__all__ = ["ASSUMPTIONS", "FLOOR", "SLOW", "floor_target", "momentum_floor"]

_APART: Formula = 4 * mu - (1 + mu - h) ** 2
FLOOR: Formula = 4 * mu * h**2 * Z**2 / ((1 - mu) ** 2 * _APART)
"""The floor of A² where the bias turns; it is Z² for h(1+μ) ≤ (1-μ)²."""

_MOVES, _INSIDE = Less(0, mu), Less(mu, 1)
_SHORT = AtMost(h, 1 - mu)
_TURNS, _SLOW = Less(0, _APART), AtMost(h * (1 + mu), (1 - mu) ** 2)

v, v_after = At("v", t), At("v", t + 1)
_start_v, _n = At("v", Integer(0)), At("n", t)
_TURNING = {"coupling": (1 - mu - smoothness * eta) / (2 * smoothness), "energy": eta * mu / 2}
"""ω and θ where the bias turns: then nothing is lost in a turn."""

_PRICE: Formula = smoothness * eta**2 * (1 + mu) / (2 * (1 - mu) ** 2)
_STILL = {"coupling": eta * mu / (1 - mu), "energy": mu * _PRICE}
"""ω and θ for small steps: nothing is lost at rest."""
_VELOCITY = ForAll(t, Equal(v_after, mu * v + g + b))
_UPDATE = momentum.HEAVY_BALL[2]


def _starts(potential: dict[str, Term]) -> str:
    values = {getattr(momentum, letter): value for letter, value in potential.items()}
    start = momentum.begins()
    return AtMost(start.left.subs({**values, momentum.steepness: 0}, simultaneous=True), start.right).text()


ASSUMPTIONS = assumptions(
    "smooth", "bounded", "average", "h", "bias of a step", _MOVES.text(), _INSIDE.text(), _UPDATE.text(),
    momentum.VELOCITY.text(), momentum.CENTRED.text(), ForAll(t, AtMost(Mean(square(_n)), 0)).text(),
    f"for the first: {_TURNS.text()}; {_SHORT.text()}; {_starts(_TURNING)}",
    f"for the second: {_SLOW.text()}; {_starts(_STILL)}",
)  # fmt: skip
"""What the two floors assume, as text; Δ is of the potential, with the velocity at first."""


def floor_target(floor_square: Formula = FLOOR) -> AtMost:
    """``A² ≤`` the floor ``+ 8μh²Δ/((1-μ)(4μ-(1+μ-h)²)ηT)``.

    >>> print(floor_target(Z**2).text())
    A² ≤ 8·Δ·h²·μ/(T·η·(1 - μ)·(4·μ - (μ + 1 - h)²)) + Z²
    """
    left = 8 * mu * h**2 * gap / ((1 - mu) * _APART * eta * horizon)
    return AtMost(average**2, floor_square + left)


SLOW = AtMost(average**2, Z**2 + 2 * (1 - mu) * gap / (eta * horizon))
"""The bound for h(1+μ) ≤ (1-μ)²."""


@of_formulas()
def momentum_floor(floor_square: Formula = FLOOR) -> Proof:
    """The floor of a heavy ball without noise, for h = Λη ≤ 1-μ: ``4μh²Z²/((1-μ)²(4μ-(1+μ-h)²))``, or Z² for small h.

    ``A² ≤ 4μh²Z²/((1-μ)²(4μ-(1+μ-h)²)) + 8μh²Δ/((1-μ)(4μ-(1+μ-h)²)ηT)`` where 4μ > (1+μ-h)², and a run on a quadratic
    whose iterates turn by a fixed angle, with cosine (1+μ)(1+μ-h)/(4μ), has that floor at every T: it is exact for
    h(1+μ) ≥ (1-μ)², where there is such an angle. For h(1+μ) ≤ (1-μ)² it is ``A² ≤ Z² + 2(1-μ)Δ/(ηT)``, and a run at
    rest has A = Z. Δ is what the potential is at first, with the velocity. This toolkit's own.

    Examples
    --------
    >>> momentum_floor().axioms
    ('descent lemma', 'descent lemma, from below')
    """
    bound = combine(floor_target(floor_square), [(1, _turning_bound())], reason="as asserted")
    return Proof((bound, _slow_bound(), *_turning(floor_square), *_resting()))


def _known() -> list[Theorem]:
    inside = given(_INSIDE)
    return [given(_MOVES), inside]


def _of_potential(
    values: dict[Term, Term], known: Sequence[Theorem], often: Theorem, sized: Theorem | None = None
) -> Theorem:
    """``κA² ≤ Δ/T + d`` of a heavy ball without noise, by a potential, whose letters have the values.

    ``often`` says that δ ≥ 1, and ``sized`` what |ξ| is.
    """
    method = {momentum.fresh: Integer(1), momentum.past: mu}
    none = dict.fromkeys((sigma, relative_bias, momentum.steepness), Integer(0))
    every = {**none, momentum.weight: Integer(1), **method, **values}
    bound = discharge(settling(momentum.DRIVE), momentum.moved_by(nesterov=False))
    here = instantiate(bound, every, known=known, reason="for this potential")
    named = [Equal(letter, value) for letter, value in method.items()]
    here = discharge(here, often)
    for told in (*momentum.definitions().values(), momentum.LEVEL, *named):
        mine = instantiate(assume(told), every, known=known).conclusion
        parts = [(HALF, sized)] if sized is not None and told.terms()[0] == momentum.kappa else []
        here = discharge(here, combine(mine, parts, known=known, reason="what its letters are"))
    return here


@cache
def _turning_bound() -> Theorem:
    """With ω = (1-μ-h)/(2Λ), θ = ημ/2, r = 0 and δ = (1-μ)/h: nothing is lost in a turn, and ξ is 0."""
    size, known = smoothness * eta, _known()
    short, turns = given(_SHORT), given(_TURNS, why="there is such an angle")
    stiff = (1 - mu) / size
    room = combine(AtMost(1, stiff), [(1 / size, short)], where=[given("h")], reason="h is at most 1-μ")
    apart = 4 * mu * size - (1 - mu - size) ** 2
    wide = combine(Less(0, apart), [(1, turns)], where=[given("h")], reason="the same, written with 1-μ-h")
    omega = _TURNING["coupling"]
    level, price = apart / (8 * mu * smoothness * size), eta / 2
    values = {
        momentum.coupling: omega, momentum.energy: _TURNING["energy"], momentum.stiffness: stiff, momentum.level: level,
        momentum.kappa: (1 - mu) * level, momentum.price: price, momentum.drag: mu * price,
        momentum.friction: (1 - mu) * mu * price, momentum.excess: eta * mu - (1 - mu) * omega,
        momentum.cross: Integer(0),
    }  # fmt: skip
    signs = [*known, room, wide]
    settled = _of_potential(values, signs, room)
    return combine(
        floor_target(), [(1 / ((1 - mu) * level), settled)], known=[*signs, turns], where=[given("h")],
        reason="divide by κ",
    )  # fmt: skip


@cache
def _slow_bound() -> Theorem:
    """With ω = ημ/(1-μ), r = 0, δ = (1+μ)/(1-μ), and a θ that takes nothing away at rest: ε is 0."""
    size, known = smoothness * eta, _known()
    slow = given(_SLOW, why="a small step")
    less = combine(AtMost(0, (1 - mu) ** 2 - size * (1 + mu)), [(1, slow)], where=[given("h")], reason="not negative")
    price, cross = _PRICE, (eta - 2 * _PRICE) / (1 - mu)
    positive = combine(AtMost(0, cross), [(eta / (1 - mu) ** 3, less)], known=known, reason="so ξ is not negative")
    values = {
        momentum.coupling: _STILL["coupling"], momentum.energy: _STILL["energy"],
        momentum.stiffness: (1 + mu) / (1 - mu), momentum.level: 1 / (2 * smoothness * (1 + mu)),
        momentum.kappa: eta / (2 * (1 - mu)), momentum.price: price, momentum.drag: mu * price,
        momentum.friction: (1 - mu) * mu * price, momentum.excess: Integer(0), momentum.cross: cross,
    }  # fmt: skip
    stiff = values[momentum.stiffness]
    often = combine(AtMost(1, stiff), [], slack=2 * mu / (1 - mu), known=known, reason="more than one")
    sized = magnitude(cross, known=[*known, positive], reason="|ξ| is ξ")
    settled = _of_potential(values, known, often, sized)
    return combine(
        SLOW, [(2 * (1 - mu) / eta, settled), ((1 - mu) * Z**2 / eta, sized)], known=known,
        reason="divide by κ",
    )  # fmt: skip


@cache
def _resting() -> tuple[Theorem, Theorem]:
    """A run at rest, its bias the negative of the gradient: A = Z at every T."""
    against = given(ForAll(t, Equal(b, -g)), t, why="the bias is against ∇f")
    still = given(Equal(_start_v, 0 * _start_v), why="at rest")
    velocity, update = (given(told, t) for told in (_VELOCITY, _UPDATE))
    stays = combine(
        Equal(v_after, 0 * v), [(1, velocity), (1, against), (mu, assume(Equal(v, 0 * v), reason="suppose"))],
        reason="nothing moves it",
    )  # fmt: skip
    always = specialise(induct(still, stays, t, reason="by induction"), t + 1, reason="at the next step")
    back = combine(Equal(x, after), [(-1, update), (eta, always)], reason="so it stays")
    size = assume(Equal(square(g), Z**2), reason="suppose ‖∇f(x_t)‖ = Z")
    begun = given(Equal(square(Gradient("f", first)), Z**2), why="‖∇f(x_0)‖ = Z")
    norms = specialise(
        induct(begun, rewrite(size, back, reason="and so does ∇f"), t, reason="by induction"), t, reason="at every step"
    )  # fmt: skip
    return _averaged(norms, Z**2), combine(
        Equal(square(b), Z**2), [(1, squared(against)), (1, norms)], reason="its size"
    )


def _averaged(norms: Theorem, floor_square: Term) -> Theorem:
    """A² of a run whose gradients all have one norm."""
    total = sum_over(expectation(norms, reason="take expectations"), t, horizon, reason="sum over the steps")
    return combine(Equal(mean_over_steps(square(g)), floor_square), [(1 / horizon, total)], reason="for every T")


turn: Formula = Symbol("q", real=True)
"""q = (1+μ-h)/(2μ): (1+μ)q/2 is the cosine of the angle by which iterates turn."""

_COSINE: Formula = (1 + mu) * turn / 2
_ANGLE = Equal(turn, (1 + mu - h) / (2 * mu))
_TURN = ForAll(t, Equal(b, (1 - mu) * (v + (1 - turn) * x / eta)))
_k = Symbol("k", integer=True, nonnegative=True)


def _around(point: Term, velocity: Term, count: Term, radius_square: Term) -> Equal:
    """``‖x + kηv‖² = r²(1 - 2k(1-c) + 2k²(1-c))``: x and x + ηv have norm r, and an angle of cosine c."""
    far = 1 - 2 * count * (1 - _COSINE) + 2 * count**2 * (1 - _COSINE)
    return Equal(square(point + count * eta * velocity), radius_square * far)


@cache
def _turning(floor_square: Term) -> tuple[Theorem, Theorem]:
    """A run on ``f = Λ‖x‖²/2`` whose iterates turn by a fixed angle: A² is what is asserted, and ‖b‖ = Z."""
    radius_square = floor_square / smoothness**2
    turns, moves = given(_TURNS, why="there is such an angle"), _known()
    slope = given(SLOPE, x, why="f = Λ‖x‖²/2")
    velocity, update, leads = (
        specialise(assume(told, reason=reason), t, reason="at this step")
        for told, reason in (
            (_VELOCITY, "given: no noise"),
            (_UPDATE, "given"),
            (_TURN, "given: the bias, from x and v"),
        )
    )
    known = [*moves, turns]
    angle = combine(
        Equal(h, 1 + mu - 2 * mu * turn), [(2 * mu, assume(_ANGLE, known=moves, reason="given: q"))], known=moves,
        reason="so h is this",
    )  # fmt: skip
    onward = combine(
        Equal(after, (2 * _COSINE - 1) * x - eta * v),
        [(1, update), (-eta, velocity), (-eta, slope), (-eta, leads), (x, given("h")), (-x, angle)],
        reason="where a step leads",
    )  # fmt: skip
    p, q = (1 - _k) * (2 * _COSINE - 1) + _k, _k - 1
    both = combine(
        Equal(after + _k * eta * v_after, p * x + q * eta * v), [(1 - _k, onward), (_k, update)],
        reason="and k times how it came there",
    )  # fmt: skip
    supposed = assume(ForAll(_k, _around(x, v, _k, radius_square)), known=known, reason="suppose it turns")
    weights = (p**2 - 3 * p * q / 2 + q**2 / 2, 2 * p * q - q**2, (q**2 - p * q) / 2)
    again = combine(
        _around(after, v_after, _k, radius_square),
        [
            (1, squared(both)),
            *((w, specialise(supposed, Integer(count))) for count, w in enumerate(weights)),
        ],
        known=known, reason="it turns on, by the same angle",
    )  # fmt: skip
    start = assume(ForAll(_k, _around(first, _start_v, _k, radius_square)), known=known, reason="given: x_0 and v_0")
    always = specialise(induct(start, generalise(again, _k), t, reason="by induction"), t, reason="at every step")
    three = [specialise(always, Integer(count)) for count in range(3)]
    norms = combine(
        Equal(square(g), floor_square),
        [(1, squared(slope)), (smoothness**2, three[0])],
        known=known,
        reason="‖∇f‖ = Λr",
    )
    size_of_step = combine(Equal(smoothness, h / eta), [(-1 / eta, given("h"))], reason="Λ is h/η")
    rest, share = 1 - turn, (1 - mu) ** 2 / eta**2
    weights = (rest**2 - 3 * rest / 2 + HALF, 2 * rest - 1, (1 - rest) / 2)
    size = combine(
        Equal(square(b), Z**2),
        [(1, squared(leads)), *((share * w, one) for w, one in zip(weights, three, strict=True))],
        known=known, where=[size_of_step, angle], reason="the size of the bias",
    )  # fmt: skip
    return _averaged(norms, floor_square), size
