"""V3 with momentum: single runs keep a bound, but for a probability, along a sequence that makes plain steps.

``z_t = x_t - cγv_t`` makes steps of size γ = η/(1-μ) along ∇f(x_t) + b_t + n_t, for c = μ, or μ² after Nesterov (Yang,
Lin & Li 2016, arXiv 1604.03257); v_t is G_t + E_t + N_t, what gradients, biases and noises have left. ∇f(z_t) lags
behind ∇f(x_t), by at most hc‖v_t‖ with h = Λγ: this costs hcℓ times the sum of ‖∇f(x_t) + b_t‖², and ‖N_t‖², which κ
pays for.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sympy import Abs, Integer, Rational, Symbol, log

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.elementary import powers, young
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.descent import gap, horizon, mu, zeta
from rdml_theory.symbolic.sgd.setting import *
from rdml_theory.symbolic.sgd.single_runs import (
    EMPTY,
    ONE_OR_NONE,
    PROXY,
    REACHED,
    START,
    SUMS,
    allowed,
    deviation,
    failure,
    level,
    markov,
    over_the_steps,
    rank,
    room_of_all,
    shared_out,
    supermartingale,
    trade,
)  # fmt: skip
from rdml_theory.symbolic.sgd.smooth import lipschitz

__all__ = [
    "ASSUMPTIONS", "LAG", "LEVEL", "NESTEROV", "PAID", "ROOM", "SLOPE", "THETA", "WIDTH", "enough_target", "gamma",
    "lag", "lag_inequality", "lagged_runs", "paid", "scale", "slowness", "split", "theta", "width",
]  # fmt: skip

gamma: Formula = Symbol("gamma", positive=True)
lag: Formula = Symbol("c", positive=True)
split: Formula = Symbol("phi", positive=True)
"""How the lag of the noise is shared out."""

paid: Formula = Symbol("kappa", nonnegative=True)
scale: Formula = Symbol("nu", positive=True)
slowness: Formula = Symbol("u", positive=True)
"""u = 1/(1-μ)."""

theta: Formula = Symbol("theta", positive=True)
"""θ = h(1 + 2cℓ + cφ)."""

width: Formula = Symbol("W", positive=True)
"""W = pB + qζ + (hc + 2μκ)ν, with ``p = |1-h| + hcu`` and ``q = h + hcu``."""

_v, _z, _G, _E, _N = (At(name, t) for name in "vzGEN")
_Q = Entry("Q", t, False, True)
_pull, _D = g + b, _G + _E
_h, _far, _noisy = smoothness * gamma, smoothness * gamma * lag, 2 * mu * paid
_slope = Gradient("f", _z)
_late = _slope - g
_turned = _slope - _h * _pull - _noisy * _N
_heavy = trade * (_h + 2 * paid)
_bent = trade * PROXY / room_of_all
_along, _against = Abs(1 - _h) + _far * slowness, _h + _far * slowness  # p and q

LAG: Formula = (1 - mu ** ((horizon - 1) * Rational(1, 2))) / (1 - mu)
"""ℓ: what a step weighs later, and has of those before, at most twice this."""

SLOPE: Formula = 1 - theta / 2 - Abs(1 - theta) * zeta / (2 * level) - _bent / 2 * width * _along / level
LEVEL: Formula = (
    gap / (gamma * horizon) + theta * zeta**2 / 2 + Abs(1 - theta) * zeta * level / 2
    + _bent / 2 * width * _against * zeta - rank * log(room_of_all) / (2 * trade) + log(1 / failure) / (trade * horizon)
)  # fmt: skip
"""What ``SLOPE`` B² has to be at least."""


def _recursion(part: Term, new: Term) -> tuple[ForAll, Equal]:
    return ForAll(t, Equal(part.subs(t, t + 1), mu * part + new)), Equal(part.subs(t, 0), 0)


_PARTS = tuple(_recursion(part, new) for part, new in ((_v, _pull + n), (_G, g), (_E, b), (_N, n)))
_SQUARES = (ForAll(t, Equal(_Q.at(t + 1), mu * _Q + square(_pull))), Equal(_Q.at(Integer(0)), 0))
_MOVING, _SLOW, _SLOWNESS = Less(0, mu), Less(mu, 1), Equal(slowness * (1 - mu), 1)
_MIDDLE = ForAll(t, Equal(_z, x - lag * gamma * _v))
_MOVES = ForAll(t, Equal(_z.subs(t, t + 1), _z - gamma * (_pull + n)))
ROOM = Equal(room_of_all, 1 - _heavy * PROXY)
_NOISE = SubGaussian(n, (x, b, _z, _N, SUMS), deviation, rank)
_SUM = ForAll(
    t, Equal(
        SUMS.at(t + 1),
        SUMS - trade * Inner(_turned, n) + _heavy / 2 * square(n) - allowed(trade * _turned, room_of_all),
    )
)  # fmt: skip
_BIAS, _SOME = ForAll(t, AtMost(square(b), zeta**2)), Less(0, zeta)
THETA = Equal(theta, _h * (1 + 2 * lag * LAG + lag * split))
WIDTH = Equal(width, _along * level + _against * zeta + (_far + _noisy) * scale)
PAID = AtMost(_far / (2 * split) + _bent / 2 * width * (_far + _noisy) / scale, paid * (1 - mu**2))
_RISING = AtMost(0, SLOPE)

_step = gamma * (1 - mu)
_METHODS = (
    (mu, ForAll(t, Equal(after, x - _step * _v.subs(t, t + 1)))),
    (mu**2, ForAll(t, Equal(after, x - _step * (_pull + n + mu * _v.subs(t, t + 1))))),
)
"""c and the update, of a heavy ball and of Nesterov's momentum, with η = γ(1-μ)."""


def enough_target(right_side: Formula = LEVEL) -> AtMost:
    """What B has to satisfy.

    >>> print(enough_target(gap).text())
    Δ ≤ B²·(1 - θ/2 - W·λ·s²·(Λ·c·γ·u + |Λ·γ - 1|)/(2·B·d) - ζ·|θ - 1|/(2·B))
    """
    return AtMost(right_side, SLOPE * level**2)


_HYPOTHESES = (
    HYPOTHESES["smooth"], HYPOTHESES["bounded"], START, _BIAS, _SOME, EMPTY, ONE_OR_NONE, Finite(),
    *(told for pair in (*_PARTS, _SQUARES) for told in pair), _METHODS[0][1], _MOVING, _SLOW, _SLOWNESS, _MIDDLE, ROOM,
    ForAll(t, _NOISE), _SUM, THETA, WIDTH, PAID, _RISING, REACHED, enough_target(),
)  # fmt: skip

ASSUMPTIONS = tuple(told.map(lambda term: term.xreplace({lag: mu})).text() for told in _HYPOTHESES)
"""What the bound assumes for a heavy ball, as text."""

NESTEROV = (Equal(lag, mu**2).text(), _METHODS[1][1].text())
"""What Nesterov's momentum has for the heavy ball's c = μ and update."""


def _small() -> Theorem:
    return given(_SLOW)


def _moving() -> Theorem:
    return given(_MOVING, why="without momentum nothing lags behind")


def _some() -> Theorem:
    return given(_SOME, why="ζ, by which the bias is shared out, is not zero")


@cache
def _apart() -> Theorem:
    """``x_t - z_t`` in the parts of the velocity."""
    signs = (1, -1, -1, -1)
    parts, starts = ([pair[place] for pair in _PARTS] for place in (0, 1))

    def at(step: Term) -> Equal:
        return Equal(*(term.subs(t, step) for term in (_v, _D + _N)))

    again = [*zip(signs, (given(part, t) for part in parts), strict=True), (mu, assume(at(t), reason="suppose"))]
    step = combine(at(t + 1), again, reason="one step more")
    still = [(s, given(told, why="at rest")) for s, told in zip(signs, starts, strict=True)]
    base = combine(at(Integer(0)), still, reason="at rest")
    always = specialise(induct(base, step, t, reason="by induction"), t, reason="at every step")
    whole = lag * gamma * (_D + _N)
    return combine(Equal(x - _z, whole), [(-1, given(_MIDDLE, t)), (lag * gamma, always)], reason="so this")


_memory = (1 - mu**t) / (1 - mu)


def _cross(first_: Term, second: Term, weight: Term, known: list[Theorem]) -> Theorem:
    return shared_out(first_, second, (_memory, _Q, weight), tuple(known))


@cache
def _remembered() -> tuple[Theorem, Theorem, Theorem]:
    """``0 ≤ m_t``, ``0 ≤ Q_t`` and ``‖G_t + E_t‖² ≤ m_t Q_t``."""
    small = _small()
    long = combine(AtMost(0, _memory), [(1 / (1 - mu), powers(mu)[0])], reason="so m_t is not negative")
    more, none = given(_SQUARES[0], t), given(_SQUARES[1])
    again = combine(
        AtMost(0, _Q.at(t + 1)), [(-1, more), (mu, assume(AtMost(0, _Q), reason="suppose"))], slack=square(_pull),
        reason="one step more",
    )  # fmt: skip
    base = combine(AtMost(0, _Q.at(Integer(0))), [(-1, none)], reason="at first")
    some = specialise(induct(base, again, t, reason="by induction"), t, reason="at every step")

    def at(step: Term) -> AtMost:
        return AtMost(square(_D.subs(t, step)), _memory.subs(t, step) * _Q.at(step))

    told = assume(at(t), known=[small], reason="suppose")
    product = discharge(_cross(_D, _pull, Integer(1), [long, some]), told)
    parts = [(1, given(_PARTS[place][0], t)) for place in (1, 2)]
    moved = combine(Equal(_D.subs(t, t + 1), mu * _D + _pull), parts, reason="together")
    step = combine(
        at(t + 1), [(1, squared(moved)), (mu**2, told), (2 * mu, product), (-_memory.subs(t, t + 1), more)],
        reason="one step more",
    )  # fmt: skip
    rest = [(1, given(_PARTS[place][1])) for place in (1, 2)]
    still = combine(Equal(_D.subs(t, 0), 0 * _G), rest, reason="at rest")
    first_one = combine(at(Integer(0)), [(1, squared(still))], known=[small], reason="at first")
    return long, some, specialise(induct(first_one, step, t, reason="by induction"), t, reason="at every step")


@cache
def lag_inequality() -> Theorem:
    """``Σ (Q_t + m_t ‖d_t‖²) ≤ 2ℓ Σ ‖d_t‖²`` for ``d_t = ∇f(x_t) + b_t``, with ``ℓ = (1-μ^((T-1)/2))/(1-μ)``.

    ``Q_t = Σ_{s<t} μ^(t-1-s) ‖d_s‖²`` and ``m_t = (1-μ^t)/(1-μ)``, so that ``Σ_{s<t} μ^(t-1-s) ‖d_s‖ ‖d_t‖`` summed
    over t is at most half of the left side.
    """
    a: Term = Symbol("a", positive=True)  # μ, but known not to be zero: powers of it are divided by

    def of(told: Any) -> Any:
        return told.map(lambda term: term.xreplace({mu: a}))

    small = given(of(_SLOW))
    more = given(of(_SQUARES[0]), t)
    once = sum_over(more, t, horizon, reason="sum over the steps")
    scaled = combine(
        Equal(_Q.at(t + 1) * a ** (-t - 1), _Q * a**-t + square(_pull) * a ** (-t - 1)),
        [(a ** (-t - 1), more)], reason="divided by a power of μ",
    )  # fmt: skip
    part = Entry("a", t)
    difference = Equal(over_the_steps(part.at(t + 1) - part), part.at(horizon) - part.at(Integer(0)))
    ends = instantiate(identity(difference, reason="a sum of differences"), {part: _Q * a**-t}, reason="of these")
    half = Rational(1, 2)
    root = (a ** (t * half) - a ** ((horizon - 1 - t) * half)) ** 2
    mean = combine(
        AtMost(2 * a ** ((horizon - 1) * half) * square(_pull), (a**t + a ** (horizon - 1 - t)) * square(_pull)), [],
        slack=root * square(_pull), reason="the mean of two numbers is at least the root of their product",
    )  # fmt: skip
    over, last = 1 / (1 - a), a**horizon / (1 - a)
    left, right = over_the_steps(_Q + _memory * square(_pull)), 2 * LAG * over_the_steps(square(_pull))
    weighed = combine(
        of(AtMost(left, right)),
        [
            (over, once),
            (-last, sum_over(scaled, t, horizon, reason="sum over the steps")),
            (last, ends),
            (over, sum_over(mean, t, horizon, reason="sum over the steps")),
            (over - last, given(of(_SQUARES[1]))),
        ],
        known=[small],
        reason="what each step weighs later, and has of those before",
    )
    return instantiate(weighed, {a: mu}, known=[_moving()], reason="for μ")


@cache
def _behind() -> Theorem:
    """``‖∇f(z_t) - ∇f(x_t)‖² ≤ (hc)² ‖G_t + E_t + N_t‖²``."""
    near = instantiate(lipschitz(), {y: x, Vector("u"): _z}, reason="from x_t to z_t")
    return combine(
        AtMost(square(_late), _far**2 * square(_D + _N)), [(1, near), (smoothness**2, squared(_apart()))],
        reason="which is as far as the velocity says",
    )  # fmt: skip


@cache
def _lagged() -> Theorem:
    """``-⟨∇f(z_t) - ∇f(x_t), d_t⟩ ≤ (hc/2)(Q_t + ‖N_t‖²/φ + (m_t + φ)‖d_t‖²)``."""
    long, some, kept = _remembered()
    product = discharge(_cross(_D, _N, split, [long, some]), kept)
    whole = _memory + split
    wide = combine(Less(0, whole), [(1, long)], slack=split, reason="so this is positive")
    pushed = nonnegative(square(_late + _far * whole * _pull), known=[_small()], reason="a squared norm")
    weight = 1 / (2 * _far * whole)
    return combine(
        AtMost(-Inner(_late, _pull), _far / 2 * (_Q + square(_N) / split + whole * square(_pull))),
        [(weight, pushed), (weight, _behind()), (_far / (2 * whole), kept), (_far / whole, product)],
        known=[wide, _small()], reason="the product of two norms, shared out",
    )  # fmt: skip


def _cauchy(parts: list[tuple[Term, Term, Term]]) -> tuple[Term, Term, Term]:
    """``W = Σ cβ``, ``Σ c‖y‖²/β`` and what W times it exceeds ``‖Σ cy‖²`` by, for c ≥ 0, β > 0 and vectors y."""
    whole = sum((c * beta for c, beta, _ in parts), Integer(0))
    squares = sum((c * square(part) / beta for c, beta, part in parts), Integer(0))
    rest: Term = Integer(0)
    for number, (c, beta, one) in enumerate(parts):
        for e, other_beta, other in parts[:number]:
            rest += c * e * beta * other_beta * square(one / beta - other / other_beta)
    return whole, squares, rest


_P, _S, _K = Symbol("P", nonnegative=True), Symbol("S", positive=True), Symbol("k", nonnegative=True)
_part, _hh = Symbol("p", real=True), Symbol("h", positive=True)


@cache
def _mixed() -> Theorem:
    """``‖(1-h)g + Y‖² ≤ W(|1-h|‖g‖²/B + ...)`` for ``Y = -hb + e - kN``, with fixed vectors."""
    v, late, noise = Vector("b"), Vector("e"), Vector("N")
    whole, squares, rest = _cauchy([(_hh, zeta, -v), (Integer(1), _S, late), (_K, scale, -noise)])
    others = -_hh * v + late - _K * noise
    most = combine(AtMost(square(others), whole * squares), [], slack=rest, known=[_some()], reason="Cauchy-Schwarz")
    _, weighed, _ = _cauchy([(_hh, zeta, -v), (_K, scale, -noise)])
    small = assume(AtMost(square(late), _S * _P), reason="suppose")
    bounded = combine(
        AtMost(square(others), whole * (weighed + _P)), [(1, most), (whole / _S, small)], reason="with what bounds e",
    )  # fmt: skip
    added = instantiate(_added(), {Vector("u"): others, _M: whole, _q: weighed + _P}, known=[_some()])
    return discharge(added, bounded)


_M, _q = Symbol("M", positive=True), Symbol("q", real=True)


@cache
def _added() -> Theorem:
    """``‖pg + u‖² ≤ (|p|B + M)(|p|‖g‖²/B + q)`` where ``‖u‖² ≤ Mq``."""
    along, other = Vector("g"), Vector("u")
    told = assume(AtMost(square(other), _M * _q), reason="suppose")
    whole = Abs(_part) * level + _M
    return combine(
        AtMost(square(_part * along + other), whole * (Abs(_part) * square(along) / level + _q)),
        [(2, young(_part, along, other, _M / level)), (whole / _M, told)], reason="multiplied out",
    )  # fmt: skip


_reach, _lags, _rest = _cauchy(
    [(Integer(1), level * slowness, _G), (Integer(1), zeta * slowness, _E), (Integer(1), scale, _N)]
)
_spent = Abs(1 - _h) * square(g) / level + _h * square(b) / zeta + _far * _lags + _noisy * square(_N) / scale


@cache
def _turned_at_most() -> Theorem:
    """``‖∇f(z_t) - h d_t - 2μκN_t‖² ≤ W (|1-h|‖∇f(x_t)‖²/B + ...)``."""
    behind = combine(
        AtMost(square(_late), _far * _reach * _far * _lags), [(1, _behind())], slack=_far**2 * _rest,
        known=[_some()], reason="Cauchy-Schwarz, for the parts of the velocity",
    )  # fmt: skip
    values = {
        Vector("g"): g, Vector("b"): b, Vector("e"): _late, Vector("N"): _N, _part: 1 - _h, _hh: _h, _K: _noisy,
        _S: _far * _reach, _P: _far * _lags,
    }  # fmt: skip
    here = discharge(instantiate(_mixed(), values, known=[_some()], reason="at this step"), behind)
    named = given(WIDTH, why="W")
    return combine(AtMost(square(_turned), width * _spent), [(1, here), (-_spent, named)], reason="and W is this")


@cache
def _one_step() -> Theorem:
    """What a step lowers f(z_t) by, surely, but for what is left of biases and noises."""
    lemma = axiom("descent lemma", ("f", smoothness), reason="f is smooth")
    along = instantiate(lemma, {y: _z, Vector("v"): -gamma * (_pull + n)}, reason="from z_t along its move")
    chance = (SUMS.at(t + 1) - SUMS - rank * log(room_of_all) / 2) / trade
    fall = (Value("f", _z.subs(t, t + 1)) - Value("f", _z)) / gamma
    left_over = paid * (square(_N.subs(t, t + 1)) - square(_N))
    costs = (_h + _far * (_memory + split)) / 2 * square(_pull) + _far / 2 * _Q
    costs += _bent / 2 * width * (_spent - (_far + _noisy) * square(_N) / scale)
    return combine(
        AtMost(fall + left_over - chance, costs - Inner(g, _pull)),
        [
            (1 / gamma, moved(along, given(_MOVES, t))),
            (-1 / trade, given(_SUM, t)),
            (paid, squared(given(_PARTS[3][0], t))),
            (1, _lagged()),
            (_bent / 2, _turned_at_most()),
            (square(_N), given(PAID, why="κ pays for what noises leave")),
        ],
        reason="what chance adds is in L",
    )


@cache
def _geometric(part: Term, new: Term, place: int) -> Theorem:
    """``Σ ‖G_t‖² ≤ u² Σ ‖∇f(x_t)‖²``."""
    told, start = _PARTS[place]
    slow, small = given(_SLOWNESS, why="u = 1/(1-μ)"), _small()
    each = combine(
        AtMost(square(part.subs(t, t + 1)), mu * square(part) + slowness * square(new)),
        [
            (1, squared(given(told, t))),
            ((mu * slowness - 1) * square(new) - 2 * mu * Inner(part, new), slow),
        ],
        slack=mu * (1 - mu) * square(part - slowness * new), known=[small], reason="the square of a mean",
    )  # fmt: skip
    return combine(
        AtMost(over_the_steps(square(part)), slowness**2 * over_the_steps(square(new))),
        [
            (slowness, sum_over(each, t, horizon, reason="sum over the steps")),
            (slowness, squared(given(start))),
            (-over_the_steps(square(part)), slow),
        ],
        slack=slowness * square(part.subs(t, horizon)), reason="of a geometric series",
    )  # fmt: skip


@cache
def _along_the_bias() -> Theorem:
    """``-(1-θ)⟨∇f(x_t), b_t⟩ ≤ |1-θ|ζ(‖∇f(x_t)‖²/B + B)/2``."""
    size = Abs(1 - theta)
    return combine(
        AtMost((theta - 1) * Inner(g, b), size * zeta * (square(g) / level + level) / 2),
        [
            (1, young(theta - 1, g, b, zeta / level, (_some(),))),
            (size * level / (2 * zeta), given(_BIAS, t)),
        ],
        known=[_some()], reason="with the bound of the bias",
    )  # fmt: skip


def _fallen(right_side: Formula) -> Theorem:
    """``λ SLOPE`` times what the sum of ‖∇f‖² is above B² T, is at most L_T + log δ."""
    final = given("bounded", _z.subs(t, horizon))
    middle = given(_MIDDLE, Integer(0))
    same = combine(
        Equal(first, _z.subs(t, 0)), [(-1, middle), (lag * gamma, given(_PARTS[0][1]))],
        reason="where there is no velocity",
    )  # fmt: skip
    start = rewrite(given(START), same, reason="where z starts too")
    spread, norms = _bent / 2 * width, over_the_steps(square(_pull))
    biases, along, steps = (
        sum_over(told, t, horizon, reason="sum over the steps")
        for told in (given(_BIAS, t), _along_the_bias(), _one_step())
    )
    return combine(
        AtMost(SLOPE * (over_the_steps(square(g)) - level**2 * horizon), (SUMS.at(horizon) + log(failure)) / trade),
        [
            (1, steps),
            (1 / gamma, final),
            (1 / gamma, start),
            (_far / 2, lag_inequality()),
            (-norms / 2, assume(THETA, known=[_small()], reason="given: θ")),
            (spread * _far / (level * slowness), _geometric(_G, g, 1)),
            (spread * _far / (zeta * slowness), _geometric(_E, b, 2)),
            (1, along),
            (theta / 2 + spread * _against / zeta, biases),
            (paid, squared(given(_PARTS[3][1]))),
            (horizon, given(enough_target(right_side), why="B is large enough")),
            (-1 / trade, given(EMPTY)),
        ],
        slack=paid * square(_N.subs(t, horizon)),
        reason="values, noises and L telescope",
    )


def _moves(method: tuple[Term, ForAll]) -> Theorem:
    """``z_{t+1} = z_t - γ(∇f(x_t) + b_t + n_t)``."""
    behind, update = method
    middle = given(ForAll(t, Equal(_z, x - behind * gamma * _v)), why="z")
    here, there = (specialise(middle, step, reason="at this step") for step in (t, t + 1))
    velocity = given(_PARTS[0][0], t)
    plain = combine(
        _MOVES.body, [(1, there), (-1, here), (1, given(update, t)), (-gamma * behind / mu, velocity)],
        known=[_moving()], reason="a plain step",
    )  # fmt: skip
    return generalise(plain, t, reason="at every step")


@of_formulas()
def lagged_runs(right_side: Formula = LEVEL) -> Proof:
    """V3 with momentum: the mean of ‖∇f(x_t)‖² over a run is at least B² with a probability of at most δ.

    For a heavy ball and for Nesterov's momentum, and every λ, φ, κ and ν for which κ pays for what noises leave, and a
    B that is large enough, where the slope in B² is not negative. The third theorem is the inequality of the lag.
    ``right_side`` is what B has to satisfy.

    Examples
    --------
    >>> lagged_runs().axioms
    ('descent lemma', 'descent lemma, from below', 'sub-Gaussian moments')
    """
    rising = given(_RISING, why="B is beyond the vertex")
    fair = supermartingale(-trade * _turned, _heavy, room_of_all, _NOISE, given(ROOM, why="d"), _SUM)
    whole = markov(_fallen(right_side), REACHED, SLOPE, rising, fair)
    methods = [
        discharge(instantiate(whole, {lag: method[0]}, known=[_moving()], reason="for this method"), _moves(method))
        for method in _METHODS
    ]
    return Proof((*methods, lag_inequality()))
