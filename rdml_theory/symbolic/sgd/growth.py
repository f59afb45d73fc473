"""C9: functions whose gradient grows with the value (Polyak-Łojasiewicz). The value itself converges to a floor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from sympy import Abs, Integer, Symbol, sqrt

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.elementary import unsquared, young
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd import constant_bias
from rdml_theory.symbolic.sgd.ascent import (
    FALL,
    GROWS,
    SLOWER,
    by_induction,
    climbed,
    excess,
    growth,
    k,
    kicked,
    trade,
    value_bound,
    w,
)  # fmt: skip
from rdml_theory.symbolic.sgd.descent import Z, eta, gap, h, horizon, sigma
from rdml_theory.symbolic.sgd.extremal import HEIGHT, NOISE_SIZE, SLOPE, floor, newton_step
from rdml_theory.symbolic.sgd.long_steps import (
    FOURTH,
    LONG,
    LONG_FLOOR,
    LONG_RATE,
    high_equation,
    long_bound,
    long_definitions,
    to_and_fro,
)
from rdml_theory.symbolic.sgd.refinements import BIAS_OF_A_STEP, relative_bias
from rdml_theory.symbolic.sgd.setting import *

__all__ = [
    "ABOVE", "ASSUMPTIONS", "CLOSER", "FALLING", "FLOOR", "KEPT", "PL", "PUSH", "RATE", "ROOM", "closer_bound", "falls",
    "floor", "floor_equation", "kept", "pl_bound", "pl_target", "push", "push_equation", "pushed", "recursion",
]  # fmt: skip

push: Formula = Symbol("P", positive=True)
"""P, the bias at the floor, as F is the floor of √(f - inf f): 2μP² is its mean square."""

kept: Formula = Symbol("a", nonnegative=True)
"""a, what a step keeps of √(f - inf f): ``1 - (μ/Λ)(1-|1-h|)``, for h ≤ 1 that is 1 - ημ."""

_AWAY = Abs(1 - h)
RATE: Formula = (kept + eta * growth * push / floor) * (kept + eta * growth * relative_bias * floor / push)
FLOOR: Formula = (kept * floor + eta * growth * push) ** 2 + eta * h * sigma**2 / 2
"""What F² is equal to."""

PUSH: Formula = relative_bias * floor**2 + Z**2 / (2 * growth)
"""What P² is equal to."""

PL: Formula = floor**2 + RATE**horizon * (gap - floor**2)
CLOSER: Formula = (floor + (kept + eta * growth * sqrt(relative_bias)) ** horizon * (sqrt(gap) - floor)) ** 2
"""The bounds of E f(x_T) - inf f: with noise, and from above the floor."""

STRICTLY = Less(growth, smoothness)
ROOM = Less(_AWAY + h * sqrt(relative_bias), 1)
ABOVE = Less(floor, sqrt(gap))
KEPT = Equal(kept, 1 - growth * (1 - _AWAY) / smoothness)
NOISY = Less(0, sigma)
GENTLE = ForAll(y, Equal(Value("f", y), growth * square(y) / 2))
GENTLE_SLOPE = ForAll(y, Equal(Gradient("f", y), growth * y))


def falls(step: Term) -> Term:
    """r_t: the exact bound of √(E f(x_t) - inf f)."""
    return Entry("r", step, True)


def pushed(step: Term) -> Term:
    """p_t, the bias there: 2μp_t² is its mean square."""
    return Entry("p", step, True)


def recursion(floor_square: Term = FLOOR, push_square: Term = PUSH) -> tuple[Equal, Equal, Equal]:
    """What r_t and p_t are, step by step: a step leads from r to what F stays at, and p goes with r as P with F.

    >>> print(recursion()[1].text())
    r_{t + 1}² = η·h·σ²/2 + (a·r_t + η·μ·p_t)²
    """

    def there(formula: Term) -> Term:
        return formula.subs({floor: falls(t), push: pushed(t)}, simultaneous=True)

    return (
        Equal(falls(Integer(0)) ** 2, gap),
        Equal(falls(t + 1) ** 2, there(floor_square)),
        Equal(pushed(t) ** 2, there(push_square)),
    )


def _recursion(floor_square: Term = FLOOR, push_square: Term = PUSH) -> tuple[Proposition, ForAll, ForAll]:
    """The same, of every step."""
    begun, onward, pushes = recursion(floor_square, push_square)
    return begun, ForAll(t, onward), ForAll(t, pushes)


FALLING = ForAll(t, Less(kept + eta * growth * pushed(t) / falls(t), 1))


def pl_target(right_side: Term = PL) -> AtMost:
    """``E f(x_T) - f_inf ≤`` the right side.

    >>> print(pl_target(CLOSER).text())
    E[f(x_T)] - f_inf ≤ (F + (√(Δ) - F)·(a + η·√(m)·μ)^T)²
    """
    return value_bound(right_side, horizon)


def floor_equation(floor_square: Term = FLOOR) -> Equal:
    """What F solves.

    >>> print(floor_equation().text())
    F² = η·h·σ²/2 + (F·a + P·η·μ)²
    """
    return Equal(floor**2, floor_square)


def push_equation(push_square: Term = PUSH) -> Equal:
    """What P is.

    >>> print(push_equation().text())
    P² = F²·m + Z²/(2·μ)
    """
    return Equal(push**2, push_square)


_ALWAYS = (
    "smooth", "bounded", "start", "update", "centred", "noise", "h", BIAS_OF_A_STEP.text(), GROWS.text(), KEPT.text(),
)  # fmt: skip
_SETTLED = f"{floor_equation().text()}; {push_equation().text()}"
ASSUMPTIONS = assumptions(
    *_ALWAYS,
    f"for the first: {_SETTLED}; {NOISY.text()}; {SLOWER.text()}",
    f"for the second: {_SETTLED}; {ROOM.text()}; {ABOVE.text()}; {STRICTLY.text()}",
    f"for the third: {'; '.join(told.text() for told in (*_recursion(), FALLING, SLOWER))}",
    f"for the fourth: {'; '.join(told.text() for told in (SLOWER, *FOURTH, high_equation(), *long_definitions()))}",
)
"""What the four bounds assume, as text."""


@of_formulas()
def pl_bound(
    right_side: Formula = PL, closer: Formula = CLOSER, floor_square: Formula = FLOOR, push_square: Formula = PUSH,
    longer: Formula = LONG, long_floor: Formula = LONG_FLOOR, long_rate: Formula = LONG_RATE,
) -> Proof:  # fmt: skip
    """``E f(x_T) - inf f ≤ F² + ρ^T (Δ - F²)``, ``≤ (F + (a+ημ√m)^T (√Δ - F))²``, and r_T², if ‖∇f‖² ≥ 2μ(f - inf f).

    The bias has a mean square of at most mE‖∇f‖² + Z² at every step, with ``|1-h| + h√m < 1``. With
    ``a = 1 - (μ/Λ)(1 - |1-h|)``, F and P are the positive roots of ``F² = (aF + ημP)² + ηhσ²/2`` and
    ``P² = mF² + Z²/(2μ)``, and ``ρ = (a + ημP/F)(a + ημmF/P)``. The first needs noise, the second Δ > F². The third is
    the recursion that both solve with less: ``r_{t+1}² = (ar_t + ημp_t)² + ηhσ²/2``, ``p_t² = mr_t² + Z²/(2μ)`` from
    r_0² = Δ, as long as it falls without noise. Without noise and for h ≤ 1 it is attained at every horizon, for every
    μ < Λ, and so is the second where m = 0: there a function that is not convex is no slower than a quadratic of
    curvature μ. The first is attained at h = 1 and μ = Λ. The fourth, for h ≥ 1, is lower: ``H + ρ^T (Δ - H)`` for
    every c > 0, s < 1 and d ≥ 0 that leave room. Without bias, c → 0 and s → 0, ρ is the larger of (h-1)² and
    ``(1-μ/Λ)²(h - (h-1)μ/(2Λ)) - (h-1)(1-hμ/Λ)``. For c = 2-h and the least d, where that is positive, H is what a
    quadratic of curvature Λ has at every horizon, which is then exact. This toolkit's own; for other rates see Karimi,
    Nutini & Schmidt 2016, arXiv 1608.04636, and Abbaszadehpeivasti, de Klerk & Zamani 2023, arXiv 2204.00647.

    ``right_side`` and ``closer`` are the first two bounds, ``floor_square`` and ``push_square`` are F² and P²,
    ``longer`` is the fourth bound, and ``long_floor`` and ``long_rate`` are its H and ρ.

    Examples
    --------
    >>> pl_bound().axioms
    ('ascent', 'descent lemma', 'descent lemma, from below')
    """
    at_floor = floor_square, push_square
    bounds = _settling(right_side, *at_floor), _closing(closer, *at_floor), _stepwise(*at_floor)
    longest = long_bound(longer, long_floor, long_rate), _attained(right_side), _keeps(closer), *_kept_up()
    return Proof((*bounds, *longest, *to_and_fro(longer, long_floor, long_rate)))


@cache
def closer_bound() -> Theorem:
    """The second of them.

    >>> print(closer_bound().conclusion.text())
    E[f(x_T)] - f_inf ≤ (F + (√(Δ) - F)·(a + η·√(m)·μ)^T)²
    """
    return _closing(CLOSER, FLOOR, PUSH)


def _named(floor_square: Term) -> Theorem:
    return given(floor_equation(floor_square), why="F, the floor of √(f - inf f)")


def _pressed(push_square: Term) -> Theorem:
    """``mF² + Z²/(2μ) ≤ P²``."""
    told = given(push_equation(push_square), why="P, the bias there")
    return combine(AtMost(PUSH, push**2), [(-1, told)], reason="so the bias is at most P")


def _slower() -> Theorem:
    return combine(SLOWER, [(1, given(STRICTLY))], reason="μ is less than Λ")


def _moves() -> Theorem:
    """``Λ²‖x_t - η(∇f + b) - x_t + ∇f/Λ‖² ≤ (|1-h| + hs)(|1-h|‖∇f‖² + h‖b‖²/s)``."""
    moved_by = at_update() - x + g / smoothness
    return combine(
        AtMost(
            smoothness * square(moved_by),
            (_AWAY + h * trade) * (_AWAY * square(g) + h * square(b) / trade) / smoothness,
        ),
        [(2 * h / smoothness, young(h - 1, g, b, trade))],
        where=[given("h")],
        reason="multiply out",
    )


_r, _p = Symbol("r", positive=True), Symbol("p", positive=True)
_GRIP = kept + eta * growth * _p / _r
_PRESS = AtMost(PUSH.subs(floor, _r), _p**2)


@cache
def _step() -> Theorem:
    """``E f(x_{t+1}) - inf f ≤ (a + ημp/r)(a(E f(x_t) - inf f) + ημ(m(E f(x_t) - inf f) + Z²/(2μ))r/p) + ηhσ²/2``.

    For all p and r with ``mr² + Z²/(2μ) ≤ p²`` and ``a + ημp/r < 1``.
    """
    width = _AWAY + h * trade
    near = assume(Less(width, 1), reason="suppose")
    fall = FALL.subs(k, width)
    strong = assume(AtMost(relative_bias, trade**2), reason="suppose")
    room = combine(
        AtMost(0, 1 - _AWAY - h * relative_bias / trade), [(h / trade, strong), (1, near)],
        reason="the relative part of the bias takes less than a step gains",
    )  # fmt: skip
    falls_ = combine(
        AtMost(0, fall),
        [(1 / smoothness, given(SLOWER))],
        slack=growth * width / smoothness,
        reason="this is not negative",
    )
    risen = instantiate(climbed(), {w: at_update(), k: width}, known=[near], reason="at x_t - η(∇f + b), with s")
    grows = given(GROWS, x)
    of_a_step = given(BIAS_OF_A_STEP, t)
    keeps = 1 - growth * (1 - _AWAY) / smoothness
    left = keeps * excess(x) + eta / trade * (growth * relative_bias * excess(x) + Z**2 / 2)
    gained = combine(
        AtMost(excess(after), fall * left + eta * h / 2 * sigma**2),
        [
            (1, kicked()),
            (1, expectation(risen, reason="take expectations")),
            (fall / (2 * width), expectation(_moves(), reason="take expectations")),
            (
                fall * (1 - _AWAY - h * relative_bias / trade) / (2 * smoothness),
                expectation(grows, reason="take expectations"),
            ),
            (fall * eta / (2 * trade), of_a_step),
        ],
        known=[falls_, room],
        where=[given("h")],
        reason="‖∇f(x_t)‖² is at least 2μ times the value above the infimum",
    )
    here = instantiate(gained, {trade: _p / _r}, reason="for s = p/r")
    told = given(KEPT, why="a is what a step keeps")
    near_too = combine(
        Less(width.subs(trade, _p / _r), 1),
        [(smoothness / growth, assume(Less(_GRIP, 1), reason="suppose")), (-smoothness / growth, told)],
        where=[given("h")],
        reason="so this is below one",
    )
    strong_too = combine(
        AtMost(relative_bias, (_p / _r) ** 2), [(1 / _r**2, assume(_PRESS, reason="suppose"))],
        slack=Z**2 / (2 * growth * _r**2), reason="and p² is at least mr²",
    )  # fmt: skip
    here = discharge(discharge(here, near_too, reason="as it is"), strong_too, reason="as it is")
    push_here = relative_bias * excess(x) + Z**2 / (2 * growth)
    return combine(
        AtMost(excess(after), _GRIP * (kept * excess(x) + eta * growth * push_here * _r / _p) + eta * h / 2 * sigma**2),
        [(1, here)],
        where=[told, given("h")],
        reason="with the definition of a",
    )


@cache
def _grown() -> Theorem:
    """``E f(x_{t+1}) - inf f ≤ (ar + ημp)² + ηhσ²/2`` from ``E f(x_t) - inf f ≤ r²``, for p and r as above."""
    left = kept * _r + eta * growth * _p
    supposed = assume(AtMost(excess(x), _r**2), reason="suppose it is at most this before")
    return combine(
        AtMost(excess(after), left**2 + eta * h * sigma**2 / 2),
        [
            (1, _step()),
            (_GRIP * (kept + eta * growth * relative_bias * _r / _p), supposed),
            (left * eta * growth / _p, assume(_PRESS, reason="suppose")),
        ],
        reason="at this height",
    )


def _at(lemma: Theorem, r: Term, p: Term, grip: Theorem, press: Theorem, known: Sequence[Theorem] = ()) -> Theorem:
    """The lemma at an r and a p, by ``a + ημp/r < 1`` and ``mr² + Z²/(2μ) ≤ p²``."""
    here = instantiate(lemma, {_r: r, _p: p}, known=known, reason="at this r and p")
    return discharge(discharge(here, grip, reason="as it is"), press, reason="as it is")


@cache
def _settling(asserted: Term, floor_square: Term, push_square: Term) -> Theorem:
    """The first bound: at r = F what noise and bias add is in balance with what a step takes away."""
    named, press = _named(floor_square), _pressed(push_square)
    left = kept * floor + eta * growth * push
    noisy, whole = given(NOISY, why="there is noise"), floor * (floor + left)
    grip = combine(
        Less(kept + eta * growth * push / floor, 1), [(-1 / whole, named)], slack=eta * h * sigma**2 / (2 * whole),
        known=[noisy], reason="what is lost of F² without noise is what the noise adds",
    )  # fmt: skip
    supposed = assume(value_bound(asserted, t), reason="suppose it holds at t")
    parts = [
        (1, _at(_step(), floor, push, grip, press)), (RATE, supposed), (left * eta * growth / push, press), (-1, named),
    ]  # fmt: skip
    return by_induction(asserted, parts)


@cache
def _closing(asserted: Term, floor_square: Term, push_square: Term) -> Theorem:
    """The second bound: at r = F + d, d = (a + ημ√m)^t (√Δ - F), and p = P + √m d."""
    named, press, strictly = _named(floor_square), _pressed(push_square), given(STRICTLY)
    told, rooted = given(KEPT, why="a is what a step keeps"), sqrt(relative_bias)
    some = combine(
        Less(0, kept), [(-1, told), (1 / smoothness, strictly)], slack=growth * _AWAY / smoothness,
        reason="so a is positive",
    )  # fmt: skip
    slope = kept + eta * growth * rooted
    loses = combine(
        Less(slope, 1), [(1, told), (growth / smoothness, given(ROOM))], where=[given("h")],
        reason="a step does not keep all",
    )  # fmt: skip
    higher = given(ABOVE)
    left, distance = kept * floor + eta * growth * push, slope**t * (sqrt(gap) - floor)
    below = combine(
        AtMost(left, floor), [(-1 / (floor + left), named)], slack=eta * h * sigma**2 / (2 * (floor + left)),
        reason="noise only adds",
    )  # fmt: skip
    known = [some, higher]
    r, p = floor + distance, push + rooted * distance
    grip = combine(
        Less(kept + eta * growth * p / r, 1), [(1 / r, below), (distance / r, loses)], known=known,
        reason="so at r it keeps less than all",
    )  # fmt: skip
    relative = combine(
        AtMost((rooted * floor) ** 2, push**2), [(1, press)], slack=Z**2 / (2 * growth), reason="the relative part"
    )
    harder = combine(
        AtMost(PUSH.subs(floor, r), p**2),
        [(1, press), (2 * rooted * distance, unsquared(rooted * floor, push, relative))],
        known=known, reason="the bias grows by √m for each unit of r, or less",
    )  # fmt: skip
    supposed = assume(value_bound(asserted, t), known=known, reason="suppose it holds at t")
    here = discharge(_at(_grown(), r, p, grip, harder, known), supposed, reason="as it is")
    parts = [(1, here), (-1, named), (2 * slope * distance, below)]
    return discharge(by_induction(asserted, parts, known=known), _slower(), reason="as it is")


@cache
def _stepwise(floor_square: Term, push_square: Term) -> Theorem:
    """The third bound: r_T², by the step at r_t and p_t."""
    start, onward, pushes = (given(told, why="r, step by step") for told in _recursion(floor_square, push_square))
    press = combine(
        AtMost(PUSH.subs(floor, falls(t)), pushed(t) ** 2), [(-1, specialise(pushes, t, reason="at this step"))],
        reason="the bias is at most p_t",
    )  # fmt: skip
    grip = given(FALLING, t, why="it falls, but for the noise")
    here = _at(_grown(), falls(t), pushed(t), grip, press)
    parts = [(1, here), (-1, specialise(onward, t, reason="at this step"))]
    return by_induction(falls(horizon) ** 2, parts, [(-1, start)])


@cache
def _attained(asserted: Term) -> Theorem:
    """On ``f = Λ‖x‖²/2``, where μ = Λ, with η = 1/Λ: equality after any number of steps."""
    height, slope = (given(told, why="f = Λ‖x‖²/2") for told in (HEIGHT, SLOPE))
    values = {growth: smoothness, h: Integer(1), eta: 1 / smoothness, kept: Integer(0)}
    named, pressed = (
        given(
            Equal(*(side.subs(h, 1).subs(values) for side in told.terms())),
            why="F, and P, at h = 1 and μ = Λ, where a = 0",
        )
        for told in (floor_equation(), push_equation())
    )
    size = given(ForAll(t, Equal(Mean(square(b)), relative_bias * Mean(square(g)) + Z**2)), why="with all its bias")
    centred, noises = given("centred", t), given(NOISE_SIZE, t, why="E‖n_t‖² = σ²")

    def holds(steps: Term) -> Equal:
        there = asserted.subs({h: Integer(1), horizon: steps}).subs(values)
        return Equal(Mean(Value("f", At("x", steps))), there)

    here = specialise(slope, x, reason="at x_t")
    before, after_it = (
        expectation(specialise(height, point, reason="at this point"), reason="take expectations")
        for point in (x, after)
    )
    share = relative_bias / (2 * smoothness)
    step = combine(
        holds(t + 1),
        [
            (1, after_it),
            (smoothness / 2, expectation(squared(newton_step()), reason="take expectations")),
            (1 / smoothness, orthogonal(centred, b, reason="the noise has mean zero given b_t")),
            (1 / (2 * smoothness), specialise(size, t, reason="at this step")),
            (1 / (2 * smoothness), noises),
            (share, expectation(squared(here), reason="take expectations")),
            (-relative_bias, before),
            (relative_bias, assume(holds(t), reason="suppose it holds at t")),
            (-1, named),
            (-1, pressed),
        ],
        reason="with μ = Λ and h = 1 the bound is attained: f has the infimum 0",
    )
    start = given(Equal(Mean(Value("f", first)), gap), why="E f(x_0) = Δ")
    base = combine(holds(Integer(0)), [(1, start)], reason="it holds at 0")
    return specialise(induct(base, step, t, reason="by induction"), horizon, reason="at every horizon")


def _gentle(point: Term) -> tuple[Theorem, Theorem]:
    """``∇f = μx`` and ``f = μ‖x‖²/2`` at a point."""
    return tuple(given(form, point, why="f = μ‖x‖²/2") for form in (GENTLE_SLOPE, GENTLE))  # type: ignore[return-value]


def _slow() -> Theorem:
    """``a = 1 - ημ`` for h ≤ 1."""
    sign = given("h ≤ 1")
    told = given(KEPT, why="a is what a step keeps")
    plain = rewrite(told, magnitude(1 - h, known=[sign], reason="|1-h| is this"), reason="without absolute values")
    return combine(Equal(kept, 1 - eta * growth), [(1, plain)], where=[given("h")], reason="so a is 1 - ημ")


@cache
def _keeps(asserted: Term) -> Theorem:
    """On ``f = μ‖x‖²/2`` with h ≤ 1 and a constant bias, against which the run starts: equality at every horizon."""
    size = sqrt(2 * growth) * floor
    values = {
        smoothness: growth, constant_bias.ratio: 1 - eta * growth, constant_bias.bias: size,
        constant_bias.distance: size - sqrt(2 * growth * gap), t: horizon,
    }  # fmt: skip
    run = instantiate(constant_bias.gradient_size(), values, reason="with μ for Λ, from the height Δ")
    run = discharge(run, identity(Equal(1 - eta * growth, 1 - eta * growth)), reason="as it is")
    slope, height = _gentle(At("x", horizon))
    return combine(
        Equal(Mean(Value("f", At("x", horizon))), asserted.subs(relative_bias, 0)),
        [
            (1, expectation(height, reason="take expectations")),
            (-1 / (2 * growth), expectation(squared(slope), reason="take expectations")),
            (1 / (2 * growth), run),
        ],
        where=[_slow()],
        reason="f has the infimum 0, and without noise and a relative bias F is Z/√(2μ)",
    )


@cache
def _kept_up() -> tuple[Theorem, Theorem]:
    """On ``f = μ‖x‖²/2`` with h ≤ 1 and no noise, all its bias against the gradient: r_T², at every horizon."""
    start, onward, pushes = (given(told.map(lambda e: e.subs(sigma, 0)), why="r") for told in _recursion())
    share = pushed(t) / falls(t)
    leads = given(ForAll(t, Equal(b, -share * g)), t, why="the bias is against the gradient")
    update = given(ForAll(t, Equal(after, x - eta * (g + b))), why="there is no noise")
    (here, value), (there, later) = _gentle(x), _gentle(after)
    moved_to = combine(
        Equal(Gradient("f", after), (kept + eta * growth * share) * g),
        [
            (1, there),
            (-1, here),
            (growth, specialise(update, t, reason="at this step")),
            (-eta * growth, leads),
            (-g, _slow()),
        ],
        reason="the gradient after a step",
    )

    def holds(steps: Term) -> Equal:
        return Equal(Value("f", At("x", steps)), falls(steps) ** 2)

    supposed = assume(holds(t), reason="suppose it holds at t")
    keeps = kept + eta * growth * share
    step = combine(
        holds(t + 1),
        [
            (1, later), (-1 / (2 * growth), squared(there)), (1 / (2 * growth), squared(moved_to)),
            (keeps**2 / (2 * growth), squared(here)), (-(keeps**2), value), (keeps**2, supposed),
            (-1, specialise(onward, t, reason="at this step")),
        ],
        reason="a step keeps a part of the gradient",
    )  # fmt: skip
    begun = given(Equal(Value("f", first), gap), why="f(x_0) = Δ")
    always = induct(combine(holds(Integer(0)), [(1, begun), (-1, start)]), step, t, reason="by induction")
    now = specialise(always, t, reason="at this step")
    size = combine(
        Equal(square(b), relative_bias * square(g) + Z**2),
        [
            (1, squared(leads)), (share**2 - relative_bias, squared(here)),
            (-2 * growth * (share**2 - relative_bias), value), (2 * growth * (share**2 - relative_bias), now),
            (2 * growth, specialise(pushes, t, reason="at this step")),
        ],
        reason="with a bias of this size",
    )  # fmt: skip
    last = expectation(specialise(always, horizon, reason="at the last step"), reason="take expectations")
    attained = Equal(Mean(Value("f", At("x", horizon))), falls(horizon) ** 2)
    return combine(attained, [(1, last)], reason="f has the infimum 0"), size
