"""C11: SGD with momentum and a biased gradient keeps the sharp bound of a plain run with other constants.

The velocity is D + N, a part of gradients and biases and a part of noises: ``D_{t+1} = μD_t + ∇f(x_t) + b_t`` and
``N_{t+1} = μN_t + n_t``, from 0. The update is ``x_{t+1} = x_t - η(D_{t+1} + N_{t+1})`` (heavy ball), or
``x_{t+1} = x_t - η(∇f(x_t) + b_t + n_t + μ(D_{t+1} + N_{t+1}))`` (Nesterov). With γ = η/(1-μ) and the lag c = μ or μ²,
``z_t = x_t - cγ(D_t + N_t)`` makes plain steps of size γ.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sympy import Abs, Integer, Sum, Symbol, sqrt

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import (
    At,
    AtMost,
    Centred,
    Equal,
    ForAll,
    Gradient,
    Inner,
    Less,
    Mean,
    Proof,
    Proposition,
    Theorem,
    Value,
    Vector,
    absolute,
    assume,
    axiom,
    combine,
    discharge,
    expectation,
    generalise,
    induct,
    instantiate,
    last_term,
    nonnegative,
    orthogonal,
    rewrite,
    specialise,
    square,
)  # fmt: skip
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.bounds import sharp_target, solved
from rdml_theory.symbolic.sgd.descent import bias, eta, gap, h, horizon, noise
from rdml_theory.symbolic.sgd.extremal import quadratic
from rdml_theory.symbolic.sgd.setting import (
    HALF,
    after,
    assumptions,
    average,
    b,
    cross_term,
    exact,
    g,
    given,
    infimum,
    mean_over_steps,
    n,
    smoothness,
    squared,
    t,
    x,
    y,
)  # fmt: skip
from rdml_theory.symbolic.sgd.smooth import lipschitz, u

__all__ = [
    "ASSUMPTIONS", "CURVATURE", "LAG_SUM", "NESTEROV", "NOISE_FACTOR", "SHARP", "curvature", "definitions", "gamma",
    "lag", "lag_sum", "momentum_bound", "momentum_target", "mu", "noise_factor", "trade",
]  # fmt: skip

Term = Any

mu: Formula = Symbol("mu", positive=True)
gamma: Formula = Symbol("gamma", positive=True)
trade: Formula = Symbol("s", positive=True)
lag: Formula = Symbol("c", positive=True)
lag_sum: Formula = Symbol("ell", nonnegative=True)
curvature: Formula = Symbol("theta", positive=True)
noise_factor: Formula = Symbol("nu", positive=True)

LAG_SUM: Formula = (1 - mu ** ((horizon - 1) / 2)) / (1 - mu)
"""ℓ, which bounds Σ_t Σ_{s<t} μ^(t-1-s) d_s d_t / Σ_t d_t²."""

CURVATURE: Formula = smoothness * gamma * (1 + 2 * lag * lag_sum + lag * trade)
"""θ, which takes the place of h in the sharp bound."""

NOISE_FACTOR: Formula = smoothness * gamma * (1 + lag / (trade * ((1 - mu) * (1 + mu))))
"""ν, which takes the place of h in front of σ²."""

SHARP: Formula = (
    Abs(1 - curvature) * bias
    + sqrt(bias**2 + (2 - curvature) * (2 * gap / (gamma * horizon) + noise_factor * noise**2))
) / (2 - curvature)  # fmt: skip
"""The right side of A ≤ [ |1-θ| Z + √( Z² + (2-θ)(2Δ/(γT) + νσ²) ) ] / (2-θ), for 0 < θ < 2."""

D, N = At("D", t), At("N", t)
D_after, N_after = At("D", t + 1), At("N", t + 1)
d = g + b
z, z_after = x - lag * gamma * (D + N), after - lag * gamma * (D_after + N_after)
slope = Gradient("f", z)

_SIGNAL = ForAll(t, Equal(D_after, mu * D + d))
_NOISES = ForAll(t, Equal(N_after, mu * N + n))
_AT_REST = (Equal(At("D", Integer(0)), 0), Equal(At("N", Integer(0)), 0))
_CENTRED = ForAll(t, Centred(n, (x, b, D, N)))
_DAMPED = Less(mu, 1)
_GAMMA = Equal(eta, (1 - mu) * gamma)
_PLAIN = ForAll(t, Equal(z_after, z - gamma * (d + n)))
_HEAVY_BALL = (Equal(lag, mu), ForAll(t, Equal(after, x - eta * (D_after + N_after))))
_NESTEROV = (Equal(lag, mu**2), ForAll(t, Equal(after, x - eta * (d + n + mu * (D_after + N_after)))))
_BELOW_TWO = Less(curvature, 2)


def momentum_target(right_side: Formula = SHARP) -> AtMost:
    """``A ≤`` the right side.

    >>> print(momentum_target(curvature).text())
    A ≤ θ
    """
    return sharp_target(right_side)


def definitions(theta: Formula = CURVATURE, nu: Formula = NOISE_FACTOR) -> dict[str, Equal]:
    """What θ, ν and ℓ are.

    >>> print(definitions()["theta"].text())
    θ = Λ·γ·(2·c·ℓ + c·s + 1)
    """
    return {"theta": Equal(curvature, theta), "nu": Equal(noise_factor, nu), "ell": Equal(lag_sum, LAG_SUM)}


_CENTRAL = ("smooth", "bounded", "start", "noise", "average", "bias")
_FURTHER = (*_AT_REST, _SIGNAL, _NOISES, _CENTRED, _DAMPED, _GAMMA, _BELOW_TWO, *definitions().values())


def _texts(*update: Proposition) -> tuple[str, ...]:
    return assumptions(*_CENTRAL, *(told.text() for told in (*update, *_FURTHER)))


ASSUMPTIONS = _texts(*_HEAVY_BALL)
"""What the bound assumes with a heavy ball, as text."""

NESTEROV = tuple(told.text() for told in _NESTEROV)
"""What Nesterov's momentum has in place of the heavy ball's lag and update."""

_KAPPA = smoothness * lag * gamma**2 / 2
"""What a squared velocity costs, over its weight."""


def _damped() -> Theorem:
    """``0 < 1 - μ``."""
    damped = assume(_DAMPED, reason="given")
    return combine(Less(0, 1 - mu), [(1, damped)], reason="so 1-μ is positive")


def _at(proposition: Proposition, reason: str = "at this step") -> Theorem:
    return specialise(assume(proposition, reason="given"), t, reason=reason)


def _makes_plain_steps(nesterov: bool) -> Theorem:
    """``z_{t+1} = z_t - γ(∇f(x_t) + b_t + n_t)``."""
    told, update = _NESTEROV if nesterov else _HEAVY_BALL
    moved = d + n + mu * (D_after + N_after) if nesterov else D_after + N_after
    share = mu * gamma if nesterov else gamma
    plain = combine(
        Equal(z_after, z - gamma * (d + n)),
        [
            (1, _at(update)),
            (-moved, assume(_GAMMA, reason="given")),
            (-gamma * (D_after + N_after - D - N), assume(told, reason="given")),
            (-share, _at(_SIGNAL)),
            (-share, _at(_NOISES)),
        ],
        reason="z = x - cγ(D+N) makes plain steps of size γ",
    )
    return generalise(plain, t, reason="at every step")


@cache
def _descends() -> Theorem:
    """``E f(z_{t+1}) ≤ E f(z_t) - γE⟨∇f(z_t), ∇f(x_t) + b_t⟩ + Λγ²(E‖∇f(x_t) + b_t‖² + σ²)/2``."""
    lemma = axiom("descent lemma", ("f", smoothness), reason="f is smooth")
    along = instantiate(lemma, {y: z, Vector("v"): -gamma * (d + n)}, reason="from z_t along its step")
    plain = _at(_PLAIN)
    left, right = plain.conclusion.terms()
    back = combine(Equal(right, left), [(-1, plain)], reason="the step of z, read from right to left")
    descent = expectation(rewrite(along, back, reason="which leads to z_{t+1}"), reason="take expectations")
    centred = _at(_CENTRED)
    cost = smoothness * gamma**2
    return combine(
        AtMost(
            Mean(Value("f", z_after)),
            Mean(Value("f", z)) - gamma * Mean(Inner(slope, d)) + cost / 2 * (Mean(square(d)) + noise**2),
        ),
        [
            (1, descent),
            (-gamma, orthogonal(centred, slope, reason="the noise has mean zero given x_t, D_t and N_t")),
            (cost, orthogonal(centred, g, reason="so it has given ∇f(x_t)")),
            (cost, orthogonal(centred, b, reason="and given b_t")),
            (cost / 2, given("noise", t)),
        ],
        reason="multiply out: the noise is orthogonal to ∇f(z_t) and to ∇f(x_t) + b_t",
    )


@cache
def _noise_in_the_velocity() -> Theorem:
    """``E‖N_t‖² ≤ σ²/(1-μ²)``."""
    room = _damped()
    most = noise**2 / ((1 - mu) * (1 + mu))
    grown = expectation(squared(_at(_NOISES)), reason="take expectations")
    step = combine(
        AtMost(Mean(square(N_after)), most),
        [
            (1, grown),
            (2 * mu, orthogonal(_at(_CENTRED), N, reason="the noise has mean zero given N_t")),
            (1, given("noise", t)),
            (mu**2, assume(AtMost(Mean(square(N)), most), known=[room], reason="suppose")),
        ],
        known=[room],
        reason="it shrinks by μ², and new noise joins it",
    )
    start = expectation(squared(assume(_AT_REST[1], reason="given: at rest")), reason="take expectations")
    base = combine(
        AtMost(Mean(square(At("N", Integer(0)))), most), [(1, start)], slack=most, known=[room], reason="none at first"
    )
    return specialise(induct(base, step, t, reason="by induction"), t, reason="at every step")


_now, _next = Symbol("a", positive=True), Symbol("p", positive=True)
_later: Term = Symbol("w", nonnegative=True)
_WEIGHTS = (Equal(_next, mu * _now + 1), AtMost(_now + _later, 2 * lag_sum))


@cache
def _step() -> Theorem:
    """What a step lowers f(z) by, with the weights a of the way from ∇f(x_t) to ∇f(z_t) and w of what comes.

    After it the first is p = μa + 1, and the step's gradient enters with a + w ≤ 2ℓ.
    """
    room = _damped()
    apart = instantiate(lipschitz(), {y: x, u: z}, reason="between x_t and z_t")
    epsilon = smoothness * lag * gamma * (_now + trade)
    weight = gamma / (2 * epsilon)
    turned = nonnegative(square(slope - g + epsilon * d), reason="a squared norm")
    mixed = nonnegative(square(trade * D - _now * N), reason="a squared norm")
    convex = nonnegative(square(D - _now * d), reason="a squared norm")
    grown, most = (assume(told, reason="given: the weights") for told in _WEIGHTS)
    lost = gamma / 2 * (CURVATURE * Mean(square(d)) + NOISE_FACTOR * noise**2)
    potential = _KAPPA * (1 + mu * _later) / _now * Mean(square(D))
    return combine(
        AtMost(
            Mean(Value("f", z_after)) + _KAPPA * _later / _next * Mean(square(D_after)),
            Mean(Value("f", z)) + potential - gamma * Mean(Inner(g, d)) + lost,
        ),
        [
            (1, _descends()),
            (weight, expectation(apart, reason="take expectations")),
            (weight, expectation(turned, reason="take expectations")),
            (_KAPPA / ((_now + trade) * _now * trade), expectation(mixed, reason="take expectations")),
            (_KAPPA / trade, _noise_in_the_velocity()),
            (_KAPPA * _later / _next, expectation(squared(_at(_SIGNAL)), reason="take expectations")),
            (_KAPPA * _later * mu / (_now * _next), expectation(convex, reason="take expectations")),
            (-_KAPPA * _later * (mu * Mean(square(D)) / _now + Mean(square(d))) / _next, grown),
            (_KAPPA * Mean(square(d)), most),
        ],
        known=[room],
        reason="the gradient at z_t is off by Λcγ‖D+N‖ at most; squares share that among D, N and ∇f + b",
    )


k, i, j = (Symbol(name, integer=True, nonnegative=True) for name in "kij")


@cache
def _powers() -> Theorem:
    """``μ^k ≤ 1`` for every k."""
    damped = assume(_DAMPED, reason="given")
    supposed = assume(AtMost(mu**k, 1), reason="suppose")
    step = combine(AtMost(mu ** (k + 1), 1), [(mu, supposed), (1, damped)], reason="and so is the next")
    base = combine(AtMost(mu ** Integer(0), 1), [], reason="1 is at most 1")
    return induct(base, step, k, reason="so powers of μ are at most 1")


def _geometric(count: Term) -> Term:
    """1 + μ + ... + μ^(n-1)."""
    return (1 - mu**count) / (1 - mu)


def _way(before: Term) -> Term:
    """The same for n = 1 + before, as a sum, which is manifestly positive."""
    return 1 + mu * Sum(mu**j, (j, 0, before - 1))


@cache
def _summed() -> Theorem:
    """The sum is the closed form."""
    damped = _damped()

    def at(count: Term) -> Equal:
        return Equal(_way(count), _geometric(count + 1))

    step = combine(
        at(i + 1),
        [
            (mu, last_term(Sum(mu**j, (j, 0, i)), reason="the last apart")),
            (1, assume(at(i), known=[damped], reason="suppose")),
        ],
        known=[damped],
        reason="one more power",
    )
    none = combine(at(Integer(0)), [], known=[damped], reason="the first is 1")
    return specialise(induct(none, step, i, reason="the geometric series"), i, reason="for any number")


def _small(count: Term) -> Theorem:
    """``0 ≤ 1 - μ^n``."""
    power = specialise(_powers(), count, reason="at this power")
    return combine(AtMost(0, 1 - mu**count), [(1, power)], reason="so this is not negative")


def _cost(count: Term) -> Term:
    """Half of θ, for this many steps."""
    return CURVATURE.subs(lag_sum, LAG_SUM).subs(horizon, count) / 2


def _from(start: Term, count: Term) -> tuple[Term, Term]:
    """Σ E⟨∇f, ∇f + b⟩ and Σ E‖∇f + b‖², over ``count`` steps from ``start`` on."""
    gained, lost = (Sum(Mean(term.subs(t, start + t)), (t, 0, count - 1)) for term in (Inner(g, d), square(d)))
    return gained, lost


def _holds(before: Term, count: Term) -> AtMost:
    """What ``count`` steps gain after the first and ``before`` more."""
    start = before + 1
    gained, lost = _from(start, count)
    there = {t: start}
    settled = _KAPPA * _geometric(count) / _way(before) * Mean(square(D.subs(there)))
    return AtMost(
        gamma * (gained - _cost(start + count) * lost),
        Mean(Value("f", z.subs(there))) - infimum + settled + count * gamma * NOISE_FACTOR / 2 * noise**2,
    )


@cache
def _later_steps() -> Theorem:
    """What any number of steps from the second on gains."""
    known = [_damped(), _small(k)]
    start, summed = i + 1, _summed()
    roots = mu ** (start * HALF) - mu ** (k * HALF)
    now, following, longest = _way(i), _way(i + 1), LAG_SUM.subs(horizon, start + k + 1)
    grown = combine(
        Equal(following, mu * now + 1),
        [(1, instantiate(summed, {i: i + 1}, reason="and one more")), (-mu, summed)],
        known=known,
        reason="from one to the next",
    )
    most = combine(
        AtMost(now + _geometric(k), 2 * longest), [(1, summed)], slack=roots**2 / (1 - mu), known=known,
        reason="the weights of a step sum up to 2ℓ at most",
    )  # fmt: skip
    positive = combine(
        AtMost(0, longest), [(HALF, most)], slack=(now + _geometric(k)) / 2, known=known, reason="so ℓ is not negative"
    )
    here = instantiate(
        instantiate(_step(), {t: start}, reason="at this step"),
        {_now: now, _next: following, _later: _geometric(k), lag_sum: longest}, known=[*known, positive],
        reason="with these weights",
    )  # fmt: skip
    here = discharge(discharge(here, grown, reason="as found"), most, reason="as found")
    supposed = assume(ForAll(i, _holds(i, k)), known=[_damped()], reason="suppose it holds for k later steps")
    gained, lost = _from(start, k + 1)
    step = combine(
        _holds(i, k + 1),
        [
            (gamma, last_term(gained, reason="the last apart")),
            (-gamma * _cost(start + k + 1), last_term(lost, reason="the last apart")),
            (1, specialise(supposed, i + 1, reason="from the next step on")),
            (1, here),
        ],
        known=known,
        reason="one more",
    )
    bounded = expectation(specialise(given("bounded"), z.subs(t, start), reason="given"), reason="take expectations")
    base = combine(_holds(i, Integer(0)), [(1, bounded)], known=known, reason="none gains nothing")
    every = (generalise(part, i, reason="from every step on") for part in (base, step))
    return induct(*every, k, reason="for any number of steps")


@cache
def _whole() -> Theorem:
    """``Σ E⟨∇f, ∇f + b⟩ - (θ/2) Σ E‖∇f + b‖² ≤ Δ/γ + Tνσ²/2``, with θ and ν written out."""
    zero = {t: Integer(0)}
    rest = [assume(told, reason="given: at rest") for told in _AT_REST]
    begun = instantiate(_descends(), zero, reason="at the first step")
    for told in rest:
        begun = rewrite(begun, told, reason="where z_0 = x_0")
    d0, signal = d.subs(zero), At("D", Integer(1))
    moved = combine(
        Equal(signal, d0), [(1, instantiate(_at(_SIGNAL), zero, reason="at the first step")), (mu, rest[0])],
        reason="the first gradient",
    )  # fmt: skip
    later = specialise(
        specialise(_later_steps(), horizon - 1, reason="all but the first"), Integer(0), reason="after it"
    )
    weight = _geometric(horizon - 1)
    known = [_damped(), _small(horizon - 1)]
    gained, lost = _from(Integer(0), horizon)
    root = 1 - mu ** ((horizon - 1) * HALF)
    return combine(
        AtMost(gamma * (gained - _cost(horizon) * lost), gap + horizon * gamma * NOISE_FACTOR / 2 * noise**2),
        [
            (1, begun),
            (1, later),
            (1, given("start")),
            (_KAPPA * weight, expectation(squared(moved), reason="take expectations")),
            (gamma, last_term(gained, reason="the last apart")),
            (-gamma * _cost(horizon), last_term(lost, reason="the last apart")),
        ],
        slack=_KAPPA * ((trade + root**2 / (1 - mu)) * Mean(square(d0)) + noise**2 / (trade * ((1 - mu) * (1 + mu)))),
        known=known,
        reason="and the first step, before which z_0 = x_0",
    )


def _averaged(theta: Formula, nu: Formula) -> Theorem:
    """``(1-θ/2)A² - |1-θ|AZ - (θ/2)Z² ≤ Δ/(γT) + νσ²/2``."""
    cross, known = mean_over_steps(Inner(g, b)), [_damped()]
    told = {
        name: assume(definition, known=known, reason="given") for name, definition in definitions(theta, nu).items()
    }
    away, weight = Abs(1 - curvature), 1 / (gamma * horizon)
    lost = mean_over_steps(square(d))
    return combine(
        AtMost(
            quadratic(average, bias, away).subs(h, curvature), gap / (gamma * horizon) + noise_factor * noise**2 / 2
        ),
        [
            (weight, _whole()),
            (-lost * HALF, told["theta"]),
            (-(noise**2) * HALF, told["nu"]),
            (-smoothness * gamma * lag * lost, told["ell"]),
            (1 - curvature / 2, given("average")),
            (-curvature / 2, given("bias")),
            (away, cross_term()),
            (1, absolute((curvature - 1) * cross, reason="a number is at most its absolute value")),
        ],
        known=known,
        reason="expand ‖∇f + b‖², bound the cross term by |1-θ| A Z",
    )


def _bound(right_side: Formula, theta: Formula, nu: Formula) -> Theorem:
    """The bound, for whatever method makes plain steps of z."""
    excess = Symbol("E", nonnegative=True)
    inequality = assume(AtMost(quadratic(average, bias, Abs(1 - h)), excess), reason="suppose")
    root = (Abs(1 - h) * bias + sqrt(bias**2 + 2 * (2 - h) * excess)) / (2 - h)
    lemma = solved(sharp_target(root), inequality, bias)
    found = _averaged(theta, nu)
    there = {h: curvature, excess: found.conclusion.terms()[1]}
    largest = discharge(instantiate(lemma, there, reason="with θ for h"), found, reason="as found")
    return combine(momentum_target(right_side), [(1, largest)], reason="as asserted")


@of_formulas()
def momentum_bound(right_side: Formula = SHARP, *, theta: Formula = CURVATURE, nu: Formula = NOISE_FACTOR) -> Proof:
    """C11: ``A ≤ [ |1-θ| Z + √( Z² + (2-θ)(2Δ/(γT) + νσ²) ) ] / (2-θ)`` for 0 < θ < 2, γ = η/(1-μ).

    For a heavy ball with c = μ, and for Nesterov's momentum with c = μ². This toolkit's own. At μ = 0 it is the sharp
    bound.

    Parameters
    ----------
    right_side : Expr, optional
        The asserted bound of A, in θ, γ and ν.
    theta, nu : Expr, optional
        The asserted θ and ν.

    Raises
    ------
    ProofError
        If the argument does not give what is asserted.

    Examples
    --------
    >>> momentum_bound().axioms
    ('Cauchy-Schwarz', 'descent lemma', 'descent lemma, from below')
    >>> momentum_bound(SHARP.subs(bias, bias / 2))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: A ≤ ... is not this combination: ...
    """
    bound = _bound(
        exact(right_side),
        exact(theta),
        exact(nu),
    )
    return Proof(tuple(discharge(bound, _makes_plain_steps(nesterov)) for nesterov in (False, True)))
