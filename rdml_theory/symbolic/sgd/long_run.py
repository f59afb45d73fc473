"""C15: the worst case of long runs without noise, for a bias of mean square at most ζ² at every step and h < 1.

R = Δ/(ηT) is held fixed as T → ∞. The bound has a potential, a multiple of ‖∇f‖², that is let in over the first m
steps; λ is the multiplier of the values.
"""

from __future__ import annotations

from functools import cache

from sympy import Integer, Rational, Sum, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.elementary import summed
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.best_iterate import UPDATE, falls
from rdml_theory.symbolic.sgd.descent import eta, gap, h, horizon, zeta
from rdml_theory.symbolic.sgd.setting import *

__all__ = [
    "ASSUMPTIONS", "COST", "DRIFT", "ENOUGH", "LIMIT_ASSUMPTIONS", "MULTIPLIER", "NEAR_ASSUMPTIONS", "SLOPE", "cost",
    "law_target", "long_run_law", "lower", "multiplier", "phase", "precision", "rate", "reached_target", "rest",
    "supremum_targets", "surplus", "unit",
]  # fmt: skip

rate: Formula = Symbol("R", nonnegative=True)
surplus: Formula = Symbol("U", nonnegative=True)
multiplier: Formula = Symbol("lambda", positive=True)
cost: Formula = Symbol("C", nonnegative=True)
phase: Formula = Symbol("m", integer=True, positive=True)
rest: Formula = Symbol("r", integer=True, nonnegative=True)

DRIFT: Formula = (1 - h / 4) * surplus**2 + zeta * surplus
"""What a step at the constant gradient ζ + U costs, over η."""

ENOUGH: Formula = 2 * zeta * (1 - h) / h
"""The largest U of a long run: what is left of a greater R goes into the first gradients."""

SLOPE: Formula = 2 / (2 - h)
"""By how much the law grows with R from there on."""

_level = zeta + surplus
_ROOM = multiplier * h * (2 - h) / 2 - 1

_SMALL_STEP = Less(h, 1)
_BIAS, _SOME = ForAll(t, AtMost(Mean(square(b)), zeta**2)), Less(0, zeta)
MULTIPLIER = Equal(multiplier * h * (2 * zeta + (4 - h) * surplus), 4 * _level)
COST = Equal(cost * _ROOM, multiplier * h**2 / 2 * (multiplier / 2 - 1))
_RATE = Equal(rate, gap / (eta * horizon))
_PARTS = Equal(horizon, phase + rest + 1)


def _short(enough: Formula) -> Less:
    return Less(surplus, enough)


_TOLD = (UPDATE, _BIAS, _SOME, _SMALL_STEP, MULTIPLIER, COST, _RATE, _PARTS, _short(ENOUGH))

ASSUMPTIONS = assumptions("smooth", "bounded", "start", "average", "h", *(told.text() for told in _TOLD))
"""What the bound assumes, as text."""

_held = multiplier * h * surplus / (4 * _level)  # q, the potential's multiple of ‖∇f‖²
_lost = multiplier * h * (2 * zeta + surplus + (1 - h) * surplus) / (4 * zeta)  # τ
p = Gradient("f", after)
_moved = (1 - h) * g - h * b


def law_target(drift: Formula = DRIFT) -> AtMost:
    """``(1 - q/m)A² ≤ (ζ+U)² + λh(R - drift) + Cζ²m/T``, with q = λhU/(4(ζ+U)).

    >>> print(law_target().text())
    A²·(1 - U·h·λ/(m·(4·U + 4·ζ))) ≤ C·m·ζ²/T + h·λ·(R - U²·(1 - h/4) - U·ζ) + (U + ζ)²
    """
    beyond = multiplier * h * (rate - drift)
    return AtMost((1 - _held / phase) * average**2, _level**2 + beyond + cost * zeta**2 * phase / horizon)


def _mean(term: Term) -> Term:
    return Mean(square(term))


def _fall(earlier: Term, later: Term) -> Term:
    return multiplier * smoothness * (Mean(Value("f", earlier)) - Mean(Value("f", later)))


@cache
def _small() -> tuple[Theorem, ...]:
    """``h < 1`` and what follows from it, with ``0 < ζ``."""
    small, some = given(_SMALL_STEP), given(_SOME, why="over which the bias is shared out")
    wide = combine(
        Less(0, 2 * zeta + (4 - h) * surplus), [(surplus, small)], slack=2 * zeta + 3 * surplus, known=[some]
    )
    return small, wide, some


def _step(last: Term, parts: list[tuple[Term, Theorem]], known: tuple[Theorem, ...], reason: str) -> Theorem:
    """``E‖∇f(x_t)‖² ≤ λΛ(E f(x_t) - E f(x_{t+1})) + ...``, from what the value falls by and further parts."""
    lost = Inner(g + p, g + b) / 2 + square(g - p) / (4 * h) - h / 4 * square(g + b)
    fallen = expectation(falls(), reason="take expectations")
    return combine(
        AtMost(_mean(g), _fall(x, after) + last),
        [(multiplier * smoothness, fallen), (multiplier * Mean(lost), given("h")), *parts],
        known=known,
        reason=reason,
    )


@cache
def _coupled() -> Theorem:
    """A step under the potential."""
    part: Term = Symbol("v", positive=True)  # ζ/(ζ+U)
    known, share = _small(), 1 - h + h * part
    told = Equal(multiplier * h * (2 + (2 - h) * (1 - part)), 4)
    positive = combine(Less(0, share), [(1, known[0])], slack=h * part, reason="so 1-h+hv is positive")
    along = expectation(nonnegative(square(_moved - share * p), reason="a squared norm"), reason="take expectations")
    apart = nonnegative(square(part * g + b), reason="a squared norm")
    weight = (multiplier / (4 * share) + multiplier / 4) * h * (1 - h) / part
    parts: list[tuple[Term, Theorem]] = [
        (multiplier / (4 * share), along),
        (weight, expectation(apart, reason="take expectations")),
        (-_mean(g) / 4, assume(told, reason="suppose")),
    ]
    held, lost = multiplier * h * (1 - part) / 4, multiplier * (1 + share) * h / (4 * part)
    last = held * (_mean(g) - _mean(p)) + lost * _mean(b)
    step = _step(last, parts, (*known, positive), "two squares are left: ∇f after a step along it, the bias against it")
    here = instantiate(step, {part: zeta / _level}, known=known, reason="for v = ζ/(ζ+U)")
    same = combine(
        Equal(multiplier * h * (2 + (2 - h) * (1 - zeta / _level)), 4),
        [(1 / _level, given(MULTIPLIER))],
        known=known,
        reason="over ζ+U",
    )
    return discharge(here, same, reason="as λ is given")


@cache
def _plain(enough: Formula) -> Theorem:
    """A step without the potential, for a U below the greatest."""
    known = _small()
    wide = 2 * zeta + (4 - h) * surplus
    short = combine(
        Less(0, _ROOM),
        [
            (h / wide, given(_short(enough))),
            (-(2 - h) / (2 * wide), given(MULTIPLIER)),
        ],
        known=known,
        reason="so λh(2-h)/2 - 1 is positive",
    )
    known = (*known, short)
    turned = nonnegative(square(p - _moved), reason="a squared norm")
    mixed = nonnegative(square(_ROOM * g + multiplier / 2 * (1 - h) * h * b), reason="a squared norm")
    parts = [
        (multiplier / 4, expectation(turned, reason="take expectations")),
        (1 / _ROOM, expectation(mixed, reason="take expectations")),
        (-_mean(b) / _ROOM, given(COST)),
    ]
    return _step(cost * _mean(b), parts, known, "one square is left")


k: Term = Symbol("k", integer=True, nonnegative=True)


def _total(start: Term, count: Term) -> Term:
    """The sum of E‖∇f‖² over ``count`` steps from ``start`` on."""
    return Sum(_mean(g.subs(t, start + t)), (t, 0, count - 1))


@cache
def _split() -> Theorem:
    """The sum over m + k + 1 steps: the first m, one, and k more."""

    def at(count: Term) -> Equal:
        apart = _total(Integer(0), phase) + _mean(g.subs(t, phase)) + _total(phase + 1, count)
        return Equal(_total(Integer(0), phase + count + 1), apart)

    base = combine(at(Integer(0)), [(1, last_term(at(Integer(0)).left, reason="the last apart"))], reason="none more")
    step = combine(
        at(k + 1),
        [
            (1, last_term(at(k + 1).left, reason="the last apart")),
            (-1, last_term(_total(phase + 1, k + 1), reason="there too")),
            (1, assume(at(k), reason="suppose")),
        ],
        reason="one more",
    )
    return specialise(induct(base, step, k, reason="however many"), rest, reason="for r more")


@cache
def _let_in() -> Theorem:
    """What a potential that is let in step by step adds up to: ``Σ t(G_t - G_{t+1}) = Σ G_{t+1} - mG_m``."""

    def at(count: Term) -> Equal:
        gained = Sum(t * (_mean(g) - _mean(p)), (t, 0, count - 1))
        return Equal(gained, Sum(_mean(p), (t, 0, count - 1)) - count * _mean(g.subs(t, count)))

    there = last_term(Sum(_mean(p), (t, 0, k)), reason="there too")
    return specialise(summed(at, k, [(-1, there)]), phase, reason="for the first m")


def _bound(drift: Formula, enough: Formula) -> Theorem:
    """The bound for every m, r and U below the greatest."""
    before = assume(Less(t, phase), reason="while the potential is let in")
    small, bias = _small(), given(_BIAS, t)
    under, without = _coupled(), _plain(enough)
    share = t / phase
    mixed = combine(
        AtMost(_mean(g), _fall(x, after) + share * _held * (_mean(g) - _mean(p)) + (_lost + cost) * zeta**2),
        [(share, under), (1 - share, without), (share * _lost + (1 - share) * cost, bias)],
        slack=((1 - share) * _lost + share * cost) * zeta**2,
        known=[*small, before],
        reason="t/m of the one, 1-t/m of the other",
    )
    later = combine(
        AtMost(_mean(g), _fall(x, after) + _held * (_mean(g) - _mean(p)) + _lost * zeta**2),
        [(1, under), (_lost, bias)],
        reason="with the bound of the bias",
    )
    final, held = phase + rest + 1, _held / phase
    bounded = specialise(given("bounded"), At("x", final), reason="the last value is not below the infimum")
    middle = instantiate(later, {t: phase}, reason="the step after them")
    others = sum_over(instantiate(later, {t: phase + 1 + t}, reason="and r more"), t, rest, reason="sum over them")
    whole = combine(
        AtMost(
            (1 - held) * _total(Integer(0), final),
            multiplier * smoothness * gap + (final * _lost + phase * cost) * zeta**2,
        ),
        [
            (1, sum_over(mixed, t, phase, reason="sum over the first m steps")),
            (held, _let_in()),
            (1, middle),
            (1, others),
            (multiplier * smoothness, expectation(bounded, reason="take expectations")),
            (multiplier * smoothness, given("start")),
            (1 - held, _split()),
        ],
        slack=_held * _mean(Gradient("f", At("x", final)))
        + held * (_mean(Gradient("f", first)) + _total(phase + 1, rest)),
        reason="values and potential telescope; the potential starts as a mean of the first gradients",
    )
    parts = given(_PARTS)
    mean = rewrite(given("average"), parts, reason="T = m + r + 1")
    told = rewrite(given(_RATE), parts, reason="T = m + r + 1")
    return combine(
        law_target(drift),
        [
            (1 / final, whole),
            (1 - held, mean),
            (-multiplier * h, told),
            (-multiplier * gap / (eta * final), given("h")),
            (_level / 4, given(MULTIPLIER)),
            (cost * zeta**2 * phase / (horizon * final), parts),
        ],
        reason="divide by T: what is left of ζ² and R is (ζ+U)² where R is the drift",
    )


precision: Formula = Symbol("epsilon", positive=True)
lower: Formula = Symbol("V", nonnegative=True)
"""A surplus below U, at which a run is within what is allowed for R."""

_LAW = Equal(rate, DRIFT)
_LONG = AtMost(phase**2, horizon)
_PRECISE = Less(_held * (_level**2 + precision) + cost * zeta**2, phase * precision)
_LOWER = Less(lower, surplus)
_NEAR = AtMost(2 * _level * (surplus - lower), precision)

LIMIT_ASSUMPTIONS = tuple(told.text() for told in (_LAW, _LONG, _PRECISE))
"""What the bound of all long runs assumes besides, as text: R is the drift at U, and T is at least some m²."""

NEAR_ASSUMPTIONS = tuple(told.text() for told in (_LAW, _LOWER, _NEAR))
"""What the run assumes that comes near to it, besides that it is at the gradient ζ + V, as text."""


def supremum_targets() -> tuple[AtMost, AtMost]:
    """``A² ≤ (ζ+U)² + ε`` for all long runs, and ``(ζ+U)² - ε ≤ A²`` for one of them.

    >>> for target in supremum_targets():
    ...     print(target.text())
    A² ≤ ε + (U + ζ)²
    (U + ζ)² - ε ≤ A²
    """
    return AtMost(average**2, _level**2 + precision), AtMost(_level**2 - precision, average**2)


def _never_above(bound: Theorem, drift: Formula) -> Theorem:
    """No run of at least m² steps is above (ζ+U)² + ε, for an m that ε determines."""
    named = given(Equal(rate, drift), why="R is the drift at U")
    length = given(_LONG, why="so many steps")
    known = _small()
    precise = assume(_PRECISE, known=known, reason="given: an m that is large enough for ε")
    over = (_held * _level**2 + cost * zeta**2) / precision
    room = combine(Less(0, phase - _held), [(1 / precision, precise)], slack=over, reason="so m is beyond q")
    weight = phase / (phase - _held)
    return combine(
        supremum_targets()[0],
        [
            (weight, bound),
            (weight * multiplier * h, named),
            (weight * cost * zeta**2 / (phase * horizon), length),
            (1 / (phase - _held), precise),
        ],
        known=[room, *known], reason="m/T is at most 1/m",
    )  # fmt: skip


def reached_target() -> AtMost:
    """``(E f(x_0) - f_inf)/(ηT) ≤ R``.

    >>> print(reached_target().text())
    (E[f(x_0)] - f_inf)/(T·η) ≤ R
    """
    return AtMost(attained_target().left, rate)


def _nearly_reached(attained: tuple[Theorem, Theorem], drift: Formula) -> tuple[Theorem, ...]:
    """A run at the constant gradient ζ + V is one for R and as near to (ζ+U)² as ε asks, from some T on."""
    below = given(_LOWER, why="a smaller surplus")
    named = given(Equal(rate, drift), why="R is the drift at U")
    there = drift.subs(surplus, lower)
    small, _, some = _small()
    spare = combine(
        Less(there, rate), [(-1, named), ((surplus - lower) * (surplus + lower) / 4, small)],
        slack=(surplus - lower) * (zeta + Rational(3, 4) * (surplus + lower)), known=[below, some],
        reason="so some T is large enough: the drift grows with the surplus",
    )  # fmt: skip
    at_lower = [instantiate(theorem, {surplus: lower}, reason="at the smaller surplus") for theorem in attained]
    mean = given("average")
    near = combine(
        supremum_targets()[1],
        [(-1, mean), (-1, at_lower[0]), (1, given(_NEAR, why="as near as ε asks"))],
        slack=(surplus - lower) ** 2, known=[below], reason="the levels differ by little",
    )  # fmt: skip
    long = given(AtMost((zeta + lower) ** 2, 2 * h * horizon * (rate - there)), why="so many steps")
    reached = combine(
        reached_target(), [(1, at_lower[1]), (1 / (2 * h * horizon), long)],
        reason="what the end costs is within the difference",
    )  # fmt: skip
    return near, reached, spare


unit = Vector("e")

_UNIT = Equal(square(unit), Integer(1))
_CONSTANT = ForAll(t, Equal(g, _level * unit))
_AGAINST = ForAll(t, Equal(b, -zeta * unit))
_LEAST_FALL = ForAll(
    t,
    Equal(
        Value("f", x) - Value("f", after),
        Inner(g + p, x - after) / 2 + square(g - p) / (4 * smoothness) - smoothness / 4 * square(x - after),
    ),
)
_LEAST_END = Equal(Value("f", At("x", horizon)) - infimum, square(Gradient("f", At("x", horizon))) / (2 * smoothness))


def attained_target(drift: Formula = DRIFT) -> Equal:
    """``(E f(x_0) - f_inf)/(ηT) = drift + (ζ+U)²/(2hT)``.

    >>> print(attained_target().text())
    (E[f(x_0)] - f_inf)/(T·η) = U²·(1 - h/4) + U·ζ + (U + ζ)²/(2·T·h)
    """
    begun = Mean(Value("f", first)) - infimum
    return Equal(begun / (eta * horizon), drift + _level**2 / (2 * h * horizon))


def _attained(drift: Formula) -> tuple[Theorem, Theorem]:
    """A run at the constant gradient ζ + U, on a line along which f falls as little as smoothness allows."""
    real = [given("smooth"), given("bounded")]  # of an f such as the bound is for
    one, constant = given(_UNIT), given(_CONSTANT, why="the gradient is constant")
    here, there = specialise(constant, t, reason="at x_t"), specialise(constant, t + 1, reason="and at x_{t+1}")
    against = given(_AGAINST, t, why="the bias is against it")
    update = given(UPDATE, t)
    way = combine(
        Equal(x - after, eta * surplus * unit), [(-1, update), (eta, here), (eta, against)], reason="the step"
    )
    same = combine(Equal(g - p, 0 * unit), [(1, here), (-1, there)], reason="between equal gradients")
    mean = combine(Equal(g + p, 2 * _level * unit), [(1, here), (1, there)], reason="whose sum is this")
    pays = given(_LEAST_FALL, t, why="f falls as little as it can")
    lost = eta * surplus * (_level - h * surplus / 4)
    fall = combine(
        Equal(Value("f", x) - Value("f", after), lost),
        [
            (1, pays),
            (HALF, inner(mean, x - after)),
            (_level, inner(way, unit)),
            (1 / (4 * smoothness), inner(same, g - p)),
            (-smoothness / 4, squared(way)),
            (eta * surplus * _level - smoothness / 4 * eta**2 * surplus**2, one),
            (eta * surplus**2 / 4, given("h")),
        ],
        reason="so a step costs the drift",
    )
    norm = combine(Equal(square(g), _level**2), [(1, squared(here)), (_level**2, one)], reason="at every step")
    gradients = sum_over(expectation(norm, reason="take expectations"), t, horizon, reason="sum over the steps")
    falls_by = sum_over(expectation(fall, reason="take expectations"), t, horizon, reason="sum over the steps")
    end = expectation(given(_LEAST_END, why="and beyond the last"), reason="take expectations")
    last = expectation(instantiate(norm, {t: horizon}, reason="at the last"), reason="take expectations")
    weight = 1 / (eta * horizon)
    return (
        combine(
            Equal(mean_over_steps(square(g)), _level**2),
            [(1 / horizon, gradients)],
            known=real,
            reason="so A = ζ + U, for every T",
        ),
        combine(
            attained_target(drift),
            [
                (weight, falls_by),
                (weight, end),
                (weight / (2 * smoothness), last),
                (_level**2 * weight / (2 * smoothness * h), given("h")),
            ],
            known=real,
            reason="with an R that tends to the drift",
        ),
    )


def _slope(enough: Formula, slope: Formula) -> Theorem:
    """``λh`` is the slope at the greatest U."""
    ratio = 2 * zeta * (2 - h) ** 2 / h
    return combine(
        Equal(multiplier * h, slope),
        [
            (1 / ratio, given(MULTIPLIER)),
            (-(multiplier * h * (4 - h) - 4) / ratio, given(Equal(surplus, enough), why="the greatest U")),
        ],
        known=[given("h < 2"), _small()[-1]],
        reason="the weight of what is left of R",
    )


@of_formulas()
def long_run_law(drift: Formula = DRIFT, enough: Formula = ENOUGH, slope: Formula = SLOPE) -> Proof:
    """C15: ``(1 - q/m)A² ≤ (ζ+U)² + λh(R - DRIFT) + Cζ²m/T`` for every m < T and U < ``ENOUGH``; attained at R = DRIFT.

    As T → ∞ at a fixed R the worst case tends to (ζ+U)², DRIFT at U being R, as long as U < ``ENOUGH``. From above: for
    every m it is at most ((ζ+U)² m + Cζ²)/(m - q) from T = m² on, which tends to (ζ+U)² as m grows. From below: for
    every smaller U the run at the gradient ζ + U is one for R, from some T on. Beyond ``ENOUGH`` it exceeds no line of
    slope ``SLOPE`` = λh. C does not depend on m or T. This toolkit's own.

    Examples
    --------
    >>> long_run_law().axioms
    ('descent lemma', 'descent lemma, from below')
    """
    bound, attained = _bound(drift, enough), _attained(drift)
    limits = (_never_above(bound, drift), *_nearly_reached(attained, drift))
    return Proof((bound, *attained, _slope(enough, slope), *limits))
