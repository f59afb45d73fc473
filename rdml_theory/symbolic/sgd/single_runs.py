"""V3: single runs of SGD with sub-Gaussian noise keep a bound, but for a probability, with any step sizes.

λη_t ``(-⟨u_t, n_t⟩ + (h_t/2)‖n_t‖²)``, with h_t = Λη_t and ``u_t = (1-h_t)∇f(x_t) - h_t b_t``, is λ times what a step
adds to f by chance. L_t is the sum of these before t, less what their exponential moments given the past allow, so that
E[exp L_t] ≤ 1. Where the mean of ‖∇f(x_t)‖² exceeds the bound, L_T exceeds log(1/δ): by Markov's inequality that has a
probability of at most δ.
"""

from __future__ import annotations

from functools import cache

from sympy import Abs, Integer, Sum, Symbol, exp, log

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.elementary import exponential, schwarz, unsquared
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.descent import eta, gap, horizon, zeta
from rdml_theory.symbolic.sgd.setting import *
from rdml_theory.symbolic.sgd.settling import STEPS

__all__ = [
    "ASSUMPTIONS", "CONSTANT_ASSUMPTIONS", "CONSTANT_LEVEL", "EMPTY", "EXCEEDS", "LEVEL", "ONE_OR_NONE", "PROXY",
    "REACHED", "ROOMS", "SHARES", "START", "SUMS", "allowed", "bound_target", "constant_target", "cross", "deviation",
    "enough_target", "failure", "least", "level", "markov", "over_the_steps", "rank", "room_of_all",
    "shared_out", "single_runs", "supermartingale", "trade",
]  # fmt: skip

level: Formula = Symbol("B", positive=True)
"""B, whose square bounds the mean of ‖∇f(x_t)‖², weighted by the steps."""

trade: Formula = Symbol("lambda", positive=True)
deviation: Formula = Symbol("s", nonnegative=True)
rank: Formula = Symbol("r", integer=True, positive=True)
failure: Formula = Symbol("delta", positive=True)
least: Formula = Symbol("a", real=True)
cross: Formula = Symbol("chi", nonnegative=True)

PROXY: Formula = deviation**2
"""s², the variance proxy of the noise."""

SUMS = Entry("L", t, False, True)
"""L_t, what chance has added before t, times λ, less what is allowed for it."""

ROOMS = Entry("d", t, positive=True)
"""1 - λη_t h_t s²."""

SHARES = Entry("w", t)
"""How the bias is shared out: ``(1-h_t)² ≤ χ w_t d_t²``."""

EXCEEDS = Entry("I", horizon, False, True)
"""1 in the outcomes in which the mean is at least B², and 0 in the others."""

_h = smoothness * STEPS
_u = (1 - _h) * g - _h * b


def allowed(vector: Term, room: Term) -> Term:
    """What the exponential moments allow a step: ``s²‖v‖²/(2d) - (r/2) log d``.

    >>> allowed(Vector("v"), room_of_all)
    -r*log(d)/2 + s**2*‖v‖²/(2*d)
    """
    return deviation**2 * square(vector) / (2 * room) - rank * log(room) / 2


_ADDED = -trade * STEPS * (Inner(_u, n) - _h / 2 * square(n))

_UPDATE = ForAll(t, Equal(after, x - STEPS * (g + b + n)))
_NOISE = SubGaussian(n, (x, b, SUMS), deviation, rank)
_BIAS = ForAll(t, AtMost(square(b), zeta**2))
START = AtMost(Value("f", first) - infimum, gap)
_SUM = ForAll(t, Equal(SUMS.at(t + 1), SUMS + _ADDED - allowed(trade * STEPS * _u, ROOMS)))
EMPTY = Equal(SUMS.at(Integer(0)), 0)
_WEIGHT = ForAll(t, AtMost((1 - _h) ** 2, cross * SHARES * ROOMS**2))
_NOT_NEGATIVE = ForAll(t, AtMost(0, SHARES))
ONE_OR_NONE = Equal(EXCEEDS**2, EXCEEDS)
_RISING = AtMost(zeta * cross, 2 * least * level)


def over_the_steps(term: Term) -> Term:
    """The sum over t < T.

    >>> over_the_steps(STEPS)
    Sum(η_t, (t, 0, T - 1))
    """
    return Sum(term, (t, 0, horizon - 1))


_REACHED = AtMost(EXCEEDS * level**2 * over_the_steps(STEPS), EXCEEDS * over_the_steps(STEPS * square(g)))
_SLOPE = least - zeta * cross / (2 * level)


def _room(proxy: Formula) -> ForAll:
    return ForAll(t, Equal(ROOMS, 1 - trade * STEPS * _h * proxy))


def _least(proxy: Formula) -> ForAll:
    return ForAll(t, AtMost(least, 1 - _h / 2 - trade * STEPS * proxy / (2 * ROOMS) * (1 - _h) ** 2))


LEVEL: Formula = (
    gap + zeta**2 * over_the_steps(STEPS * _h / (2 * ROOMS)) + zeta * level * over_the_steps(STEPS * SHARES) / 2
    - rank * over_the_steps(log(ROOMS)) / (2 * trade) + log(1 / failure) / trade
)  # fmt: skip
"""What ``(a - χζ/(2B)) B² Σ η_t`` has to be at least."""


def enough_target(right_side: Formula = LEVEL) -> AtMost:
    """What B has to satisfy.

    >>> print(enough_target(gap).text())
    Δ ≤ B²·(a - χ·ζ/(2·B))·Σ_{t < T} η_t
    """
    return AtMost(right_side, _SLOPE * level**2 * over_the_steps(STEPS))


_constant_h = smoothness * eta
room_of_all: Term = Symbol("d", positive=True)
_curve = trade * PROXY / room_of_all

CONSTANT_LEVEL: Formula = (
    gap / (eta * horizon) - rank * log(room_of_all) / (2 * trade) + log(1 / failure) / (trade * horizon)
)  # fmt: skip
"""``Δ/(ηT) - (r/2λ) log d + log(1/δ)/(λT)`` for a constant step, λη being called λ."""


def constant_target() -> AtMost:
    """What B has to satisfy with a constant step.

    >>> print(constant_target().right.subs(deviation, 0))
    B**2*(-Lambda*eta/2 + 1) - B*zeta*Abs(Lambda*eta - 1) - Lambda*eta*zeta**2/2
    """
    left = (
        (1 - _constant_h / 2) * level**2 - Abs(1 - _constant_h) * level * zeta - _constant_h / 2 * zeta**2
        - _curve / 2 * (Abs(1 - _constant_h) * level + _constant_h * zeta) ** 2
    )  # fmt: skip
    return AtMost(CONSTANT_LEVEL, left)


_constant_share = Abs(1 - _constant_h) / room_of_all
_constant_least = 1 - _constant_h / 2 - _curve / 2 * (1 - _constant_h) ** 2
_CONSTANT_RISING = AtMost(zeta * _constant_share, 2 * level * _constant_least)
_CONSTANT_ROOM = Equal(room_of_all, 1 - trade * _constant_h * PROXY)
REACHED = AtMost(EXCEEDS * level**2 * horizon, EXCEEDS * over_the_steps(square(g)))
"""What I says, of a constant step."""


_COMMON = (HYPOTHESES["smooth"], HYPOTHESES["bounded"], START, _BIAS, EMPTY, ONE_OR_NONE)

ASSUMPTIONS = texts(
    *_COMMON, _UPDATE, ForAll(t, _NOISE), _room(PROXY), _SUM, _WEIGHT, _NOT_NEGATIVE, _least(PROXY), _RISING, _REACHED,
    enough_target(LEVEL), Finite(),
)  # fmt: skip
"""What the bound assumes, as text; L and d are defined there, and I is 1 where the mean is at least B²."""

CONSTANT_ASSUMPTIONS = texts(_CONSTANT_ROOM, REACHED, constant_target(), _CONSTANT_RISING)
"""What it assumes of B with a constant step, as text."""


@cache
def supermartingale(
    vector: Term, weight: Term, room: Term, noise: SubGaussian, allowed: Theorem, update: ForAll
) -> Theorem:  # fmt: skip
    """``E[exp L_T] ≤ 1``, where a step adds ``⟨v, n_t⟩ + (k/2)‖n_t‖²`` to L_t, less what its moments allow."""
    factor = exp(SUMS - deviation**2 * square(vector) / (2 * room))
    lemma = axiom("sub-Gaussian moments", (n, noise.given, vector, factor), reason="the noise is sub-Gaussian")
    values = {
        Symbol("s", nonnegative=True): deviation, Symbol("d", positive=True): room,
        Symbol("k", nonnegative=True): weight,
    }  # fmt: skip
    here = instantiate(lemma, values, reason="with this weight of ‖n‖²")
    for part in (given(ForAll(t, noise), t), allowed, nonnegative(factor, reason="an exponential")):
        here = discharge(here, part)

    def at(step: Term) -> AtMost:
        return AtMost(Mean(exp(SUMS.at(step))), 1)

    step = combine(
        at(t + 1), [(room ** (rank / 2), here), (1, assume(at(t), reason="suppose"))], where=[given(update, t)],
        reason="what is allowed cancels",
    )  # fmt: skip
    base = combine(at(Integer(0)), [], where=[given(EMPTY)], reason="at first")
    return specialise(induct(base, step, t, reason="by induction"), horizon, reason="at the end")


@cache
def _shared_out() -> Theorem:
    """``⟨u, v⟩ ≤ (Qy + m‖v‖²/y)/2`` where ``‖u‖² ≤ mQ``."""
    u, v = Vector("u"), Vector("v")
    m, q = Symbol("m", nonnegative=True), Symbol("Q", nonnegative=True)
    w = Symbol("y", positive=True)
    most, apart = ((q * w + sign * m * square(v) / w) / 2 for sign in (1, -1))
    squares = combine(
        AtMost(Inner(u, v) ** 2, most**2),
        [(1, schwarz(u, v)), (square(v), assume(AtMost(square(u), m * q), reason="suppose"))],
        slack=apart**2, reason="the mean of two numbers is at least the root of their product",
    )  # fmt: skip
    return unsquared(Inner(u, v), most, squares)


def shared_out(u: Term, v: Term, parts: tuple[Term, Term, Term], known: tuple[Theorem, ...]) -> Theorem:
    """``⟨u, v⟩ ≤ (Qy + m‖v‖²/y)/2`` where ``‖u‖² ≤ mQ``, for the parts m, Q ≥ 0 and y > 0.

    >>> print(shared_out(g, b, (Integer(1), square(b), Integer(1)), (nonnegative(square(b)),)).conclusion.text())
    ⟨b_t, ∇f(x_t)⟩ ≤ ‖b_t‖²
    """
    letters = (Symbol("m", nonnegative=True), Symbol("Q", nonnegative=True), Symbol("y", positive=True))
    values = {Vector("u"): u, Vector("v"): v, **dict(zip(letters, parts, strict=True))}
    return instantiate(_shared_out(), values, known=known, reason="for these")


@cache
def _along_the_bias() -> Theorem:
    """``-(1-h)/d ⟨∇f(x_t), b_t⟩ ≤ ζ(χ‖∇f(x_t)‖²/B + B w_t)/2``."""
    share, some = -(1 - _h) / ROOMS, given(_NOT_NEGATIVE, t)
    small = combine(
        AtMost(square(share * b), zeta**2 * cross * SHARES),
        [(share**2, given(_BIAS, t)), (zeta**2 / ROOMS**2, given(_WEIGHT, t))], reason="as the bias is shared out",
    )  # fmt: skip
    return discharge(shared_out(share * b, g, (zeta * cross, zeta * SHARES, level), (some,)), small)


@cache
def _one_step(proxy: Formula) -> Theorem:
    """What a step lowers f by, surely."""
    lemma = axiom("descent lemma", ("f", smoothness), reason="f is smooth")
    along = instantiate(lemma, {y: x, Vector("v"): -STEPS * (g + b + n)}, reason="from x_t along the update")
    added = zeta**2 * _h / (2 * ROOMS) + zeta * level * SHARES / 2
    chance = (SUMS.at(t + 1) - SUMS - rank * log(ROOMS) / 2) / trade
    pull = STEPS * (_h / 2 * square(b) - (1 - _h) * Inner(g, b)) / ROOMS
    return combine(
        AtMost(Value("f", after) - Value("f", x), -STEPS * _SLOPE * square(g) + STEPS * added + chance),
        [
            (1, moved(along, given(_UPDATE, t))),
            (-1 / trade, given(_SUM, t)),
            (STEPS, _along_the_bias()),
            (STEPS * _h / (2 * ROOMS), given(_BIAS, t)),
            (pull, given(_room(proxy), t)),
            (STEPS * square(g), given(_least(proxy), t)),
        ],
        reason="what chance adds is in L; what is linear in the bias is shared out",
    )


@cache
def _fallen(right_side: Formula, proxy: Formula) -> Theorem:
    """``λ(a - χζ/(2B))`` times what the sum of η‖∇f‖² is above B² Σ η, is at most L_T + log δ."""
    final = given("bounded", At("x", horizon))
    above = over_the_steps(STEPS * square(g)) - level**2 * over_the_steps(STEPS)
    return combine(
        AtMost(_SLOPE * above, (SUMS.at(horizon) + log(failure)) / trade),
        [
            (1, sum_over(_one_step(proxy), t, horizon, reason="sum over the steps")),
            (1, final),
            (1, given(START)),
            (1, given(enough_target(right_side), why="B is large enough")),
            (-1 / trade, given(EMPTY)),
        ],
        reason="values and L telescope",
    )


def bound_target() -> AtMost:
    """``E[I] ≤ δ``: the mean is at least B² with a probability of at most δ.

    >>> print(bound_target().text())
    E[I_T] ≤ δ
    """
    return AtMost(Mean(EXCEEDS), failure)


def markov(fallen: Theorem, reached: AtMost, slope: Term, rising: Theorem, fair: Theorem) -> Theorem:
    """``E[I] ≤ δ``, from what L_T is at least where the mean exceeds B², and E[exp L_T] ≤ 1."""
    told = given(ONE_OR_NONE)
    whether = combine(AtMost(0, EXCEEDS), [(1, told)], slack=EXCEEDS**2, reason="as it is 0 or 1")
    rest = combine(AtMost(0, 1 - EXCEEDS), [(1, told)], slack=(1 - EXCEEDS) ** 2, reason="so is what is left of 1")
    end = SUMS.at(horizon) + log(failure)
    there = combine(
        AtMost(0, EXCEEDS * end),
        [(trade * EXCEEDS, fallen), (trade * slope, given(reached, why="what I says"))],
        known=[whether, rising], reason="in the outcomes in which the mean exceeds it",
    )  # fmt: skip
    most = combine(
        AtMost(EXCEEDS, exp(end)), [(EXCEEDS, exponential(end)), (1, there), (exp(end), rest)], known=[whether],
        reason="Markov's inequality: I is at most this",
    )  # fmt: skip
    return combine(
        bound_target(), [(1, expectation(most, reason="take expectations")), (failure, fair)],
        reason="whose expectation is at most δ",
    )  # fmt: skip


def _varying(right_side: Formula, proxy: Formula) -> Theorem:
    rising = combine(
        AtMost(0, _SLOPE), [(1 / (2 * level), given(_RISING, why="B is beyond the vertex"))],
        reason="so this is not negative",
    )  # fmt: skip
    fair = supermartingale(
        -trade * STEPS * _u, trade * STEPS * _h, ROOMS, _NOISE, given(_room(proxy), t), _SUM
    )  # fmt: skip
    return markov(_fallen(right_side, proxy), _REACHED, _SLOPE, rising, fair)


def _constant(varying: Theorem) -> Theorem:
    """The same for a constant step, λη being called λ, in the terms of the sharp bound."""
    share = _constant_share
    values = {
        trade: trade / eta, STEPS: eta, ROOMS: room_of_all, SHARES: share, cross: share, least: _constant_least,
    }  # fmt: skip
    out = instantiate(varying, values, reason="for a constant step")
    trivial = [
        combine(instantiate(assume(told), values).conclusion.body, parts, slack=slack, reason="with these shares")  # type: ignore[attr-defined]
        for told, parts, slack in ((_WEIGHT, [], 0), (_NOT_NEGATIVE, [], share), (_least(PROXY), [], 0))
    ]  # fmt: skip
    room = given(_CONSTANT_ROOM)
    for told in (*trivial, room):
        out = discharge(out, generalise(told, t, reason="at every step"))
    sums = [instantiate(assume(told), values).conclusion for told in (enough_target(LEVEL), _REACHED, _RISING)]
    weight = eta * horizon * (Abs(1 - _constant_h) * zeta * level + _constant_h * zeta**2 / 2) / room_of_all
    enough = combine(
        sums[0], [(eta * horizon, given(constant_target(), why="B is large enough")), (-weight, room)],
        reason="times ηT",
    )  # fmt: skip
    reached = combine(sums[1], [(eta, given(REACHED, why="what I says"))], reason="times η")
    rising = combine(sums[2], [(1, given(_CONSTANT_RISING, why="B is beyond the vertex"))])
    for told in (enough, reached, rising):
        out = discharge(out, told)
    return out


@of_formulas()
def single_runs(right_side: Formula = LEVEL, proxy: Formula = PROXY) -> Proof:
    """V3: the mean of ‖∇f(x_t)‖² over a run, weighted by the steps, is at least B² with a probability of at most δ.

    For every λ with λη_t h_t s² < 1, shares w_t of the bias and a B that is large enough, beyond the vertex of the
    quadratic that it solves. The second theorem is the first for a constant step, in which B is the larger root of
    ``(1-h/2)B² - |1-h|Bζ - (h/2)ζ² - (C/2)(|1-h|B + hζ)² = Δ/(ηT) - (r/2λ) log d + log(1/δ)/(λT)`` with d = 1 - λhs²
    and C = λs²/d, or more. This toolkit's own. ``right_side`` is what B has to satisfy, and ``proxy`` is s² in d and a.

    Examples
    --------
    >>> single_runs().axioms
    ('descent lemma', 'sub-Gaussian moments')
    """
    varying = _varying(right_side, proxy)
    return Proof((varying, _constant(varying)))
