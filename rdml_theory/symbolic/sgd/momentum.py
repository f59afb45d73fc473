"""C11: SGD with momentum and a biased gradient: a bound from a potential that joins the value and the velocity.

With ``v_{t+1} = μv_t + ∇f(x_t) + b_t + n_t`` from 0, an update is ``x_{t+1} = x_t - η(ψ(∇f(x_t) + b_t + n_t) + χv_t)``:
PyTorch's heavy ball has ψ = 1 and χ = μ, Nesterov's momentum ψ = 1+μ and χ = μ². The potential is
``f(x_t) - inf f - ω⟨∇f(x_t), v_t⟩ + θ‖v_t‖² + r‖∇f(x_t)‖²``, for any ω, θ > 0 and r ≥ 0.
"""

from __future__ import annotations

from functools import cache

from sympy import Abs, Integer, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.elementary import young
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.descent import Z, eta, gap, horizon, mu, sigma
from rdml_theory.symbolic.sgd.refinements import BIAS_OF_A_STEP, relative_bias
from rdml_theory.symbolic.sgd.setting import *
from rdml_theory.symbolic.sgd.smooth import between, u
from rdml_theory.symbolic.sgd.tight import NOT_ZERO, accumulated, kappa, weight

__all__ = [
    "ASSUMPTIONS", "COEFFICIENT", "COST", "DRAG", "DRIVE", "LEVEL", "NESTEROV", "OFTEN", "PRICE", "START", "begins",
    "coupling", "definitions", "energy", "fresh", "kappa", "level", "momentum_bound", "momentum_targets", "moved_by",
    "past", "settling", "steepness", "stiffness", "weight",
]  # fmt: skip

fresh: Formula = Symbol("psi", real=True)
past: Formula = Symbol("chi", real=True)
coupling: Formula = Symbol("omega", real=True)
energy: Formula = Symbol("theta", positive=True)
steepness: Formula = Symbol("r", nonnegative=True)
stiffness: Formula = Symbol("delta", positive=True)
"""δ: -δ/(4Λ) is the coefficient of ‖∇f(x_{t+1})‖² in what bounds the next potential."""
level: Formula = Symbol("ell", positive=True)

price: Formula = Symbol("nu", nonnegative=True)
drag: Formula = Symbol("tau", real=True)
friction: Formula = Symbol("phi", positive=True)
excess: Formula = Symbol("epsilon", real=True)
cross: Formula = Symbol("xi", real=True)

_USED = stiffness + 4 * smoothness * steepness
"""How often what smooth functions satisfy between x_t and x_{t+1} is used, from either end: once more from x_t."""
OFTEN = AtMost(1, _USED)
_NOW, _BEFORE = eta * fresh / 2 + coupling, eta * past / 2 + mu * coupling
_TILT = 4 * smoothness * steepness / stiffness

PRICE: Formula = energy + smoothness * (_USED * (eta * fresh) ** 2 / 4 + _NOW**2 / stiffness)
"""ν: what ‖∇f + b + n‖² costs."""

DRAG: Formula = mu * energy + smoothness * (_USED * eta**2 * fresh * past / 4 + _NOW * _BEFORE / stiffness)
"""τ: what 2⟨∇f + b, v⟩ costs."""

_FRICTION: Formula = (1 - mu**2) * energy - smoothness * (_USED * (eta * past) ** 2 / 4 + _BEFORE**2 / stiffness)
_EXCESS: Formula = eta * past - (1 - mu) * coupling + _TILT * _BEFORE
_APART: Formula = excess - 2 * drag
_GAIN: Formula = eta * fresh + coupling + _TILT * _NOW
_SPEED: Formula = _GAIN - price
COST: Formula = price + drag**2 / friction + Abs(cross) / (2 * weight)
_KAPPA: Formula = (
    _SPEED - _TILT * steepness - _APART**2 / (4 * friction) - weight * Abs(cross) / 2 - relative_bias * COST
)
_CROSS: Formula = _SPEED - price + _APART * drag / friction

START: Formula = (1 + 2 * smoothness * steepness) * gap
"""What the potential is at most at the start of a run at rest."""

COEFFICIENT: Formula = (1 - (1 - kappa / level) ** horizon) / kappa
"""c, the weight of Δ in the bound of T A²."""

DRIVE: Formula = COST * Z**2 + price * sigma**2
"""d: what bias and noise add in a step."""

v, v_after = At("v", t), At("v", t + 1)
d = g + b
_MOVE = eta * (fresh * (d + n) + past * v)

_UPDATE = ForAll(t, Equal(after, x - _MOVE))
VELOCITY = ForAll(t, Equal(v_after, mu * v + d + n))
_AT_REST = Equal(At("v", Integer(0)), 0)
CENTRED = ForAll(t, Centred(n, (x, b, v)))
LEVEL = AtMost(level, 1 / (2 * smoothness) + steepness - coupling**2 / (4 * energy))
_SHORT = AtMost(kappa, level)
HEAVY_BALL = (Equal(fresh, 1), Equal(past, mu), ForAll(t, Equal(after, x - eta * v_after)))
_NESTEROV = (Equal(fresh, 1 + mu), Equal(past, mu**2), ForAll(t, Equal(after, x - eta * (d + n + mu * v_after))))


def definitions(nu: Formula = PRICE, tau: Formula = DRAG) -> dict[str, Equal]:
    """What the letters of the bound are.

    >>> print(definitions()["epsilon"].text())
    ε = 4·Λ·r·(χ·η/2 + μ·ω)/δ + χ·η - ω·(1 - μ)
    """
    return {
        "kappa": Equal(kappa, _KAPPA), "xi": Equal(cross, _CROSS), "nu": Equal(price, nu),
        "tau": Equal(drag, tau), "phi": Equal(friction, _FRICTION), "epsilon": Equal(excess, _EXCESS),
    }  # fmt: skip


def begins(height: Term = gap) -> AtMost:
    """That the potential is at most this at the start."""
    return AtMost(_potential(Integer(0)), height)


def _texts(*update: Proposition) -> tuple[str, ...]:
    further = (BIAS_OF_A_STEP, VELOCITY, _AT_REST, CENTRED, LEVEL, _SHORT, NOT_ZERO, OFTEN, *definitions().values())
    told = (told.text() for told in (*update, *further))
    return assumptions("smooth", "bounded", "start", "noise", "average", *told)


ASSUMPTIONS = _texts(*HEAVY_BALL)
"""What the bound assumes with a heavy ball, as text."""

NESTEROV = tuple(told.text() for told in _NESTEROV)
"""What Nesterov's momentum has in place of the heavy ball's weights and update."""


def momentum_targets(
    coefficient: Formula = COEFFICIENT, drive: Formula = DRIVE, start: Formula = START
) -> tuple[AtMost, AtMost]:
    """``T A² ≤ c(1+2Λr)Δ + d(T - ℓc)/κ`` for κ ≤ ℓ, and ``κA² ≤ (1+2Λr)Δ/T + d`` for κ > 0.

    >>> print(momentum_targets(drive=sigma, start=gap)[1].text())
    A²·κ ≤ Δ/T + σ
    """
    whole = coefficient * start + drive * (horizon - level * coefficient) / kappa
    return AtMost(horizon * average**2, whole), AtMost(kappa * average**2, start / horizon + drive)


def _potential(step: Term) -> Term:
    there, velocity = At("x", step), At("v", step)
    joined = coupling * Mean(Inner(Gradient("f", there), velocity))
    squares = energy * Mean(square(velocity)) + steepness * Mean(square(Gradient("f", there)))
    return Mean(Value("f", there)) - infimum - joined + squares


def moved_by(nesterov: bool) -> Theorem:
    """``x_{t+1} = x_t - η(ψ(∇f(x_t) + b_t + n_t) + χv_t)``."""
    now, before, update = _NESTEROV if nesterov else HEAVY_BALL
    plain = combine(
        _UPDATE.body,
        [
            (1, given(update, t)),
            (-eta * mu if nesterov else -eta, given(VELOCITY, t)),
            (eta * (d + n), given(now)),
            (eta * v, given(before)),
        ],
        reason="with the weights of this method",
    )
    return generalise(plain, t, reason="at every step")


@cache
def _dissipates() -> Theorem:
    """What a step takes from the potential, as a quadratic form in ∇f(x_t), b_t and v_t."""

    def named(theorem: Theorem) -> Theorem:
        return expectation(moved(theorem, given(_UPDATE, t)), reason="take expectations")

    there = named(instantiate(between(), {y: x, u: x - _MOVE}, reason="from x_t to x_{t+1}"))
    again = named(instantiate(between(), {y: x - _MOVE, u: x}, reason="and from x_{t+1} to x_t"))
    often = combine(AtMost(0, _USED - 1), [(1, given(OFTEN))], reason="so this is not negative")
    changed = stiffness / (2 * smoothness) * (Gradient("f", after) - g)
    best = nonnegative(square(changed + _MOVE / 2 + coupling * v_after - 2 * steepness * g), reason="a squared norm")
    velocity, centred, share = given(VELOCITY, t), given(CENTRED, t), smoothness / stiffness
    joined = inner(velocity, share * coupling * _MOVE - (1 + _TILT) * coupling * g, reason="along the move and ∇f(x_t)")
    noises = "the noise has mean zero given x_t, b_t and v_t"
    taken = (
        _GAIN * Mean(Inner(g, d)) + _EXCESS * Mean(Inner(g, v)) + _FRICTION * Mean(square(v))
        - _TILT * steepness * Mean(square(g)) - 2 * DRAG * Mean(Inner(d, v)) - PRICE * (Mean(square(d)) + sigma**2)
    )  # fmt: skip
    return combine(
        AtMost(_potential(t + 1), _potential(t) - taken),
        [
            ((_USED + 1) / 2, there),
            ((_USED - 1) / 2, again),
            (share, expectation(best, reason="take expectations")),
            (1, expectation(joined, reason="take expectations")),
            (share * coupling**2 + energy, expectation(squared(velocity), reason="take expectations")),
            (2 * PRICE - _GAIN, orthogonal(centred, g, reason=noises)),
            (2 * PRICE, orthogonal(centred, b, reason=noises)),
            (2 * DRAG, orthogonal(centred, v, reason=noises)),
            (PRICE, given("noise", t)),
        ],
        known=[often],
        reason="the gradient after the step, which is not known, is taken away by a square",
    )


@cache
def _falls(drive: Term, nu: Term, tau: Term) -> Theorem:
    """``V_{t+1} ≤ V_t - κE‖∇f(x_t)‖² + d`` in expectation."""
    told = {name: given(definition) for name, definition in definitions(nu, tau).items()}
    pull, squares = Mean(Inner(g, b)), Mean(square(g))
    product = expectation(young(-cross, g, b, weight), reason="take expectations")
    slowed = nonnegative(square(2 * friction * v + excess * g - 2 * drag * d), reason="a squared norm")
    return combine(
        AtMost(_potential(t + 1), _potential(t) - kappa * squares + drive),
        [
            (1, _dissipates()),
            (1 / (4 * friction), expectation(slowed, reason="take expectations")),
            (Mean(square(v)), told["phi"]),
            (-2 * Mean(Inner(d, v)), told["tau"]),
            (Mean(Inner(g, v)), told["epsilon"]),
            (-Mean(square(d)) - sigma**2, told["nu"]),
            (1, product),
            (pull, told["xi"]),
            (COST, given(BIAS_OF_A_STEP, t)),
            (squares, told["kappa"]),
        ],
        reason="so is the velocity; and ⟨∇f, b⟩ is at most λ/2 ‖∇f‖² + ‖b‖²/(2λ) in size",
    )


@cache
def _above() -> Theorem:
    """``ℓE‖∇f(x_t)‖² ≤ V_t`` in expectation."""
    least = nonnegative(square(energy * v - coupling / 2 * g), reason="a squared norm")
    return combine(
        AtMost(level * Mean(square(g)), _potential(t)),
        [
            (1, above_the_infimum()),
            (1 / energy, expectation(least, reason="take expectations")),
            (Mean(square(g)), given(LEVEL)),
        ],
        reason="the value pays for the gradient, and the velocity for what it is coupled to",
    )


@cache
def _begun() -> Theorem:
    """``V_0 ≤ (1+2Λr)Δ``."""
    rest = given(_AT_REST, why="at rest")
    joined = expectation(inner(rest, Gradient("f", first), reason="along ∇f(x_0)"), reason="take expectations")
    return combine(
        begins(START),
        [
            (1 + 2 * smoothness * steepness, given("start")),
            (2 * smoothness * steepness, instantiate(above_the_infimum(), {t: Integer(0)}, reason="at x_0")),
            (-coupling, joined),
            (energy, expectation(squared(rest), reason="take expectations")),
        ],
        reason="there is no velocity at first, and the value pays for the gradient",
    )


@cache
def settling(drive: Term, nu: Term = PRICE, tau: Term = DRAG) -> Theorem:
    """``κA² ≤ Δ/T + d`` for a run whose potential is at most Δ at the start, whatever its velocity."""
    falls = _falls(drive, nu, tau)
    last = combine(
        AtMost(0, _potential(horizon)), [(1, instantiate(_above(), {t: horizon}, reason="at x_T"))],
        slack=level * Mean(square(Gradient("f", At("x", horizon)))), reason="the potential is not negative",
    )  # fmt: skip
    return combine(
        momentum_targets(drive=drive, start=gap)[1],
        [
            (1 / horizon, sum_over(falls, t, horizon, reason="sum over the steps")),
            (1 / horizon, given(begins(), why="Δ")),
            (1 / horizon, last),
            (kappa, given("average")),
        ],
        reason="what is left at the end is not negative",
    )


@of_formulas()
def momentum_bound(
    coefficient: Formula = COEFFICIENT, drive: Formula = DRIVE, *, price: Formula = PRICE, drag: Formula = DRAG,
    start: Formula = START,
) -> Proof:  # fmt: skip
    """C11: ``T A² ≤ c(1+2Λr)Δ + d(T - ℓc)/κ`` with ``c = (1 - (1-κ/ℓ)^T)/κ``, and ``κA² ≤ (1+2Λr)Δ/T + d``.

    For a heavy ball and for Nesterov's momentum, every coupling ω, energy θ > 0, steepness r ≥ 0, stiffness δ > 0 and
    trade λ > 0 with ``δ + 4Λr ≥ 1``, φ > 0 and ``ℓ ≤ 1/(2Λ) + r - ω²/(4θ)``: the first if κ ≤ ℓ is not zero, the second
    if κ and ℓ are positive. This toolkit's own. ``coefficient`` and ``drive`` are c and d, ``price`` and ``drag`` the ν
    and τ from which κ and d are made, and ``start`` is what the potential is at most at the start.

    Examples
    --------
    >>> momentum_bound().axioms
    ('descent lemma', 'descent lemma, from below')
    """
    short, whole = momentum_targets(coefficient, drive, start)
    falls = _falls(drive, price, drag)
    shrinks = combine(AtMost(0, 1 - kappa / level), [(1 / level, given(_SHORT))], reason="κ is at most ℓ")
    known = (given(NOT_ZERO), shrinks)
    sign, sums = accumulated(
        _potential, falls, _above(), level=level, coefficient=coefficient, drive=drive, known=known
    )
    settled = instantiate(settling(drive, price, drag), {gap: START}, reason="from there on")
    bounds = (
        combine(
            short, [(1, sums), (horizon, given("average")), (coefficient, _begun())], known=[sign],
            reason="with the definitions of A and Δ",
        ),
        discharge(combine(whole, [(1, settled)], reason="as asserted"), _begun()),
    )  # fmt: skip
    methods = [moved_by(nesterov) for nesterov in (False, True)]
    return Proof(tuple(discharge(bound, method) for bound in bounds for method in methods))
