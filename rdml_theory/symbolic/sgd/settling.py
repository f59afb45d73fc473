"""E1 and E3: where ‖∇f‖² of SGD with a constant bias settles on a quadratic, with constant steps and decreasing ones.

On ``f = λ‖x‖²/2`` a bias c shifts the point to which steps lead: ``∇f + c`` shrinks by ``1 - ηλ`` in every step.
"""

from __future__ import annotations

from functools import cache

from sympy import Abs, Interval, Sum, Symbol, oo

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.certificates import smt
from rdml_theory.symbolic.elementary import powers, sized
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.descent import Z, eta, h, sigma
from rdml_theory.symbolic.sgd.extremal import NOISE_SIZE
from rdml_theory.symbolic.sgd.scope import CONSTANT, PULL_SIZE, SLOPE, STABLE, bounded_scope, curvature, pull
from rdml_theory.symbolic.sgd.setting import *

__all__ = [
    "ASSUMPTIONS", "DECREASING", "PLATEAU", "STEPS", "decreasing_steps", "decreasing_target", "plateau_of_quadratic",
    "plateau_target", "settled_target",
]  # fmt: skip

PLATEAU: Formula = Z**2 + h * sigma**2 / (2 - h)
"""Z² + hσ²/(2-h): the mean of ‖∇f(x_t)‖² when nothing is left of the start."""

_slope_at_start = Gradient("f", first)
_SHIFTED = Mean(square(_slope_at_start + pull))
_ALONG = Mean(Inner(_slope_at_start + pull, pull))

_GIVEN = (SLOPE, CONSTANT, PULL_SIZE, NOISE_SIZE)

ASSUMPTIONS = assumptions("update", "centred", *(told.text() for told in (*_GIVEN, STABLE)))
"""What the plateau assumes, as text."""


def plateau_target(plateau: Formula = PLATEAU) -> Equal:
    """``E‖∇f(x_t)‖² =`` the plateau, and what is left of the start.

    >>> print(plateau_target().text()[:45])
    E[‖∇f(x_t)‖²] = Z² + η·λ·σ²/(2 - η·λ) + (1 -
    """
    rate, spread = 1 - eta * curvature, (PLATEAU - Z**2).xreplace({h: eta * curvature})
    left = rate ** (2 * t) * (_SHIFTED - spread) - 2 * rate**t * _ALONG
    return Equal(Mean(square(g)), exact(plateau).xreplace({h: eta * curvature}) + left)


@cache
def _shifted(point: Term) -> Theorem:
    """``∇f + c = λ(x + c/λ)``."""
    slope = given(SLOPE, point, why="f = λ‖x‖²/2")
    return combine(
        Equal(Gradient("f", point) + pull, curvature * (point + pull / curvature)),
        [(1, slope)],
        reason="the same point",
    )


def _in_gradients(point: Term) -> tuple[Theorem, Theorem]:
    """``E‖∇f + c‖²`` and ``E⟨∇f + c, c⟩`` by the distance from -c/λ."""
    whole = _shifted(point)
    square_of, product = squared(whole), inner(whole, pull)
    return expectation(square_of, reason="take expectations"), expectation(product, reason="take expectations")


@of_formulas()
def plateau_of_quadratic(plateau: Formula = PLATEAU) -> Proof:
    """E1: ``E‖∇f(x_t)‖² = Z² + hσ²/(2-h) + (1-h)^{2t}(U - hσ²/(2-h)) - 2(1-h)^t W`` on ``λ‖x‖²/2``, h = ηλ.

    U and W are E‖∇f(x_0) + c‖² and E⟨∇f(x_0) + c, c⟩ for the bias c: what is left of the start shrinks by 1-h in every
    step. From the law of the iterates (C10). The second theorem is the limit as t → ∞, the plateau.

    Examples
    --------
    >>> plateau_of_quadratic().verify()
    True
    """
    scope = bounded_scope().theorems
    law = specialise(scope[3], t, reason="at step t")
    along = instantiate(specialise(scope[1], t, reason="at step t"), {y: pull}, reason="along the bias")
    rate = 1 - eta * curvature
    here, start = _in_gradients(x), _in_gradients(first)
    settles = combine(
        plateau_target(plateau),
        [
            (1, here[0]),
            (curvature**2, law),
            (-(rate ** (2 * t)), start[0]),
            (-2, here[1]),
            (-2 * curvature, along),
            (2 * rate**t, start[1]),
            (1, given(PULL_SIZE, why="the size of the bias")),
        ],
        reason="‖∇f‖² is ‖∇f + c‖² - 2⟨∇f + c, c⟩ + ‖c‖²",
    )
    return Proof((settles, _settled(settles, plateau)))


def settled_target(plateau: Formula = PLATEAU) -> Tends:
    """``E‖∇f(x_t)‖²`` tends to the plateau.

    >>> print(settled_target().text())
    E[‖∇f(x_t)‖²] → Z² + η·λ·σ²/(2 - η·λ) as t → ∞
    """
    return Tends(Mean(square(g)), t, oo, exact(plateau).xreplace({h: eta * curvature}))


@cache
def _shrinks() -> Theorem:
    """``|1-h| < 1`` for 0 < h < 2."""
    size: Term = Symbol("y", positive=True)
    inside = certified(smt(Abs(1 - size) < 1, {size: Interval.open(0, 2)}), reason="between 0 and 2")
    here = instantiate(inside, {size: eta * curvature}, reason="for ηλ")
    return discharge(here, given(STABLE))


@cache
def _left() -> Theorem:
    """``|r^{2t} P - 2 r^t W| ≤ (|P| + 2|W|)/(1-|r|)/(t + 1/(1-|r|))`` for |r| < 1."""
    size = Abs(_r)
    once, falls = powers(size)
    known = [assume(Less(size, 1), reason="suppose")]
    square_, product, most = _r ** (2 * t) * _P, _r**t * _W, Abs(_P) + 2 * Abs(_W)

    def bound(sign: int) -> Theorem:
        return combine(
            AtMost(sign * (square_ - 2 * product), most / (1 - size) / (t + 1 / (1 - size))),
            [
                (1, absolute(sign * square_)), (2, absolute(-sign * product)), (size**t * Abs(_P), once), (most, falls),
            ],
            reason="as |r|^t is at most one",
        )  # fmt: skip

    return sized(bound(1), bound(-1), known)


_r, _P, _W = (Symbol(name, real=True) for name in "rPW")


def _settled(settles: Theorem, plateau: Term) -> Theorem:
    """What is left of the start falls to zero."""
    rate, spread = 1 - eta * curvature, (PLATEAU - Z**2).xreplace({h: eta * curvature})
    known = [given(STABLE), assume(Less(Abs(rate), 1), reason="suppose")]
    values = {_r: rate, _P: _SHIFTED - spread, _W: _ALONG}
    left = instantiate(_left(), values, known=known, reason="what is left of the start")
    size, most = left.conclusion.terms()
    rest = size.args[0]
    target = settled_target(plateau)

    def bound(sign: int) -> Theorem:
        return combine(
            AtMost(sign * (target.term - target.limit), most),
            [(sign, settles), (1, absolute(sign * rest, known)), (1, left)], reason="the distance from the plateau",
        )  # fmt: skip

    near = sized(bound(1), bound(-1), known)
    return discharge(squeeze(near, target, -1 / (1 - Abs(rate)), reason="which falls to zero"), _shrinks())


# ---------------------------------------------------------------------------------------------------------------------
# Decreasing steps

STEPS = Entry("η", t, positive=True)
"""The step size of step t."""

_UPDATE = ForAll(t, Equal(after, x - STEPS * (g + b + n)))
_SHORT = ForAll(t, AtMost(curvature * STEPS, 1))
_s: Term = Symbol("s", integer=True, nonnegative=True)
_FADES = Tends(curvature * STEPS * sigma**2, t, oo, 0)


def _taken() -> Term:
    """``λ Σ_{s<t} η_s``."""
    return Sum(curvature * STEPS.at(_s), (_s, 0, t - 1))


_ENDLESS = Tends(1 / (1 + _taken()), t, oo, 0)

DECREASING = assumptions("centred", *(told.text() for told in (*_GIVEN, _UPDATE, _SHORT, _FADES, _ENDLESS)))
"""What the limit with decreasing steps assumes, as text; t counts from where the steps have become short."""


def decreasing_target(value: Formula = Z**2) -> Tends:
    """``E‖∇f(x_t)‖²`` tends to a value.

    >>> print(decreasing_target().text())
    E[‖∇f(x_t)‖²] → Z² as t → ∞
    """
    return Tends(Mean(square(g)), t, oo, exact(value))


@cache
def _step_on() -> Theorem:
    """``∇f(x_{t+1}) + c = (1 - λη_t)(∇f(x_t) + c) - λη_t n_t``."""
    slope = given(SLOPE, why="f = λ‖x‖²/2")
    update, constant = (given(told, t) for told in (_UPDATE, CONSTANT))
    return combine(
        Equal(Gradient("f", after) + pull, (1 - curvature * STEPS) * (g + pull) - curvature * STEPS * n),
        [
            (1, specialise(slope, after, reason="at x_{t+1}")),
            (-1, specialise(slope, x, reason="at x_t")),
            (curvature, update),
            (-curvature * STEPS, constant),
        ],
        reason="a step shrinks it and adds noise",
    )


_SQUARE, _PRODUCT = Mean(square(g + pull)), Mean(Inner(g + pull, pull))
_DISTANCE = _SQUARE + 2 * Abs(_PRODUCT)
"""``E‖∇f(x_t) + c‖² + 2|E⟨∇f(x_t) + c, c⟩|``, which bounds ``|E‖∇f(x_t)‖² - Z²|``."""


def _shrinks_but_for_noise() -> Theorem:
    """The distance at t + 1 is at most ``1 - λη_t`` times that at t, and ``(λη_tσ)²``."""
    size = curvature * STEPS
    short = given(_SHORT, t, why="short steps")
    centred = given("centred", t)
    noisy = given(NOISE_SIZE, t, why="E‖n_t‖² = σ²")
    moved = combine(
        Equal(_PRODUCT.subs(t, t + 1), (1 - size) * _PRODUCT),
        [
            (1, expectation(inner(_step_on(), pull), reason="take expectations")),
            (-size, orthogonal(centred, pull, reason="the noise has mean zero")),
        ],
        reason="along the bias",
    )  # fmt: skip

    def sides(sign: int) -> Theorem:
        target = AtMost(sign * _PRODUCT.subs(t, t + 1), (1 - size) * Abs(_PRODUCT))
        return combine(target, [(sign, moved), (1 - size, absolute(sign * _PRODUCT))], known=[short])

    left = expectation(nonnegative(square(g + pull), reason="a squared norm"), reason="take expectations")
    return combine(
        AtMost(_DISTANCE.subs(t, t + 1), (1 - size) * _DISTANCE + size * _FADES.term),
        [
            (1, expectation(squared(_step_on()), reason="take expectations")),
            (-2 * size * (1 - size), orthogonal(centred, g + pull, reason="the noise has mean zero given x_t")),
            (size**2, noisy),
            (size * (1 - size), left),
            (2, sized(sides(1), sides(-1), [short])),
        ],
        known=[short],
        reason="(1 - s)² is at most 1 - s",
    )


def _near(value: Term) -> Theorem:
    """``|E‖∇f(x_t)‖² - Z²|`` is at most the distance."""
    named = given(PULL_SIZE, why="the size of the bias")
    left = expectation(nonnegative(square(g + pull), reason="a squared norm"), reason="take expectations")
    gap = Mean(square(g)) - value
    return sized(
        combine(
            AtMost(gap, _DISTANCE), [(2, absolute(-_PRODUCT)), (1, named)],
            reason="‖∇f‖² is ‖∇f + c‖² - 2⟨∇f + c, c⟩ + ‖c‖²",
        ),
        combine(AtMost(-gap, _DISTANCE), [(2, left), (2, absolute(_PRODUCT)), (-1, named)], reason="and from below"),
    )  # fmt: skip


@of_formulas()
def decreasing_steps(value: Formula = Z**2) -> Proof:
    """E3: ``E‖∇f(x_t)‖²`` tends to Z² where λη_tσ² tends to 0 and the steps, with λη_t ≤ 1, are not summable.

    ``E‖∇f(x_t) + c‖² + 2|E⟨∇f(x_t) + c, c⟩|``, which bounds its distance from Z², shrinks by 1 - λη_t in a step, but
    for ``(λη_tσ)²``: Polyak's lemma. The second theorem says so.

    Examples
    --------
    >>> decreasing_steps().axioms
    ("Polyak's lemma",)
    """
    target = decreasing_target(value)
    size, step = curvature * STEPS, _shrinks_but_for_noise()
    values = {
        Entry("e", t): target.term, Entry("u", t): _DISTANCE, Entry("w", t, positive=True): size,
        Entry("a", t): _FADES.term, Symbol("L", real=True): target.limit,
    }  # fmt: skip
    polyak = axiom("Polyak's lemma", reason="Polyak's lemma")
    lemma = instantiate(polyak, values, reason="for this distance and the shares λη_t")
    noise_fades = nonnegative(_FADES.term, reason="what noise adds is not negative")
    for told in (_near(target.limit), step, noise_fades):
        lemma = discharge(lemma, generalise(told, t, reason="at every step"))
    return Proof((lemma, step))
