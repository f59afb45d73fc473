"""The extremal quadratic: runs on ``f = Λ‖x‖²/2`` whose gradient keeps its norm, which attain the bounds of SGD.

The bias points against the gradient for h ≤ 1 (``side`` 1) and along it for h ≥ 1 (``side`` -1).
"""

from __future__ import annotations

from functools import cache

from sympy import Symbol

from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.sgd.descent import Z, eta, gap, h, horizon, sigma
from rdml_theory.symbolic.sgd.setting import *

__all__ = ["falling", "floor", "newton_step", "newton_value", "quadratic", "stationary", "unmoved"]

floor: Term = Symbol("F", positive=True)

SLOPE = ForAll(y, Equal(Gradient("f", y), smoothness * y))
HEIGHT = ForAll(y, Equal(Value("f", y), smoothness * square(y) / 2))
APART = ForAll(t, Equal(Inner(n, x), 0))
SIZE = ForAll(t, Equal(square(n), sigma**2))
BIAS_SIZE = ForAll(t, Equal(Mean(square(b)), Z**2))
NOISE_SIZE = ForAll(t, Equal(Mean(square(n)), sigma**2))


def quadratic(value: Term, size: Term, away: Term) -> Term:
    """``(1-h/2)A² - |1-h|AB - (h/2)B²``: what the bounds of A limit."""
    return (1 - h / 2) * value**2 - away * value * size - h / 2 * size**2


def _along(side: int, size: Term) -> tuple[Theorem, Theorem, Theorem]:
    """The gradient at x_t, the bias there, and the gradient after a step, for a bias of ``-side (size) ∇f``."""
    slope = given(SLOPE, why="f = Λ‖x‖²/2")
    here = specialise(slope, x, reason="at x_t")
    leads = given(ForAll(t, Equal(b, -side * size * g)), why="the bias is along the gradient")
    leads_here = specialise(leads, t, reason="at this step")
    moved = combine(
        Equal(Gradient("f", after), (1 - h + side * h * size) * g - h * n),
        [
            (1, specialise(slope, after, reason="at x_{t+1}")),
            (smoothness, given("update", t)),
            (-1, here),
            (-smoothness * eta, leads_here),
            ((1 - side * size) * g + n, given("h")),
        ],
        reason="the gradient after a step",
    )
    return here, leads_here, moved


def _shrink(side: int, share: Term) -> Term:
    """What a step multiplies the gradient by, with a bias of ``-side (share) ∇f``."""
    return 1 - h + side * h * share


def _shrinks(side: int, share: Term) -> tuple[Theorem, Theorem]:
    """The bias, and ``‖∇f(x_{t+1})‖² = (|1-h| + hr)²‖∇f(x_t)‖² + h²σ²``, for a bias of ``-side r ∇f``."""
    here, leads, moved = _along(side, share)
    apart = given(APART, why="the noise is orthogonal to the gradient")
    noise_size = given(SIZE, why="and of size σ")
    product = combine(
        Equal(Inner(g, n), 0),
        [(1, inner(here, n)), (smoothness, specialise(apart, t, reason="at this step"))],
        reason="the noise is orthogonal to Λx_t",
    )
    shrink = _shrink(side, share)
    shrunk = combine(
        Equal(square(Gradient("f", after)), shrink**2 * square(g) + h**2 * sigma**2),
        [
            (1, squared(moved)),
            (-2 * shrink * h, product),
            (h**2, specialise(noise_size, t, reason="at this step")),
        ],
        reason="the gradient shrinks, and the noise comes at a right angle",
    )
    return leads, shrunk


def stationary(side: int, size: Term, equation: Theorem) -> tuple[Theorem, Theorem]:
    """A run with ``A = F`` and a bias of mean square ``B²`` for every T, where F solves the quadratic equation.

    Parameters
    ----------
    side : int
        1 for h ≤ 1, -1 for h ≥ 1.
    size : Expr
        B.
    equation : Theorem
        ``(1-h/2)F² - |1-h|FB - (h/2)B² = hσ²/2`` without the absolute value.
    """
    leads, shrunk = _shrinks(side, size / floor)
    stays = assume(Equal(square(g), floor**2), reason="suppose ‖∇f(x_t)‖ = F")
    again = combine(
        Equal(square(Gradient("f", after)), floor**2),
        [(1, shrunk), (_shrink(side, size / floor) ** 2, stays), (-2 * h, equation)],
        reason="F solves the equation of the step",
    )
    start = given(Equal(square(Gradient("f", first)), floor**2), why="‖∇f(x_0)‖ = F")
    always = specialise(induct(start, again, t, reason="by induction"), t, reason="at every step")
    mean = sum_over(expectation(always, reason="take expectations"), t, horizon, reason="sum over the steps")
    bias_squared = combine(
        Equal(square(b), size**2),
        [(1, squared(leads)), (size**2 / floor**2, always)],
        reason="the size of the bias",
    )
    total = sum_over(expectation(bias_squared, reason="take expectations"), t, horizon, reason="sum over the steps")
    return (
        combine(Equal(mean_over_steps(square(g)), floor**2), [(1 / horizon, mean)], reason="so A = F, for every T"),
        combine(Equal(mean_over_steps(square(b)), size**2), [(1 / horizon, total)], reason="with this bias"),
    )


FALL = Equal(Mean(Value("f", first)) - Mean(Value("f", At("x", horizon))), gap)
NOT_STILL = Less(0, gap / (eta * horizon) + h * sigma**2 / 2)


def falling(side: int, size: Term, equation: Theorem) -> tuple[Theorem, Theorem]:
    """A run of T steps, in which f falls by Δ, with ``A = F`` and a bias of mean square ``B²``, for every T.

    Parameters
    ----------
    side : int
        1 for h ≤ 1, -1 for h ≥ 1.
    size : Expr
        B.
    equation : Theorem
        ``(1-h/2)F² - |1-h|FB - (h/2)B² = Δ/(ηT) + hσ²/2`` without the absolute value; the right side is not zero.
    """
    share = size / floor
    leads, shrunk = _shrinks(side, share)
    slope, height = (given(told, why="f = Λ‖x‖²/2") for told in (SLOPE, HEIGHT))
    ends = []
    for point in (first, At("x", horizon)):
        pays = combine(
            Equal(square(Gradient("f", point)), 2 * smoothness * Value("f", point)),
            [(1, squared(specialise(slope, point))), (-2 * smoothness, specialise(height, point))],
            reason="‖∇f‖² = 2Λf",
        )
        ends.append(expectation(pays, reason="take expectations"))
    total = sum_over(expectation(shrunk, reason="take expectations"), t, horizon, reason="sum over the steps")
    mean, most = mean_over_steps(square(g)), 2 * h * (gap / (eta * horizon) + h * sigma**2 / 2)
    left = 1 - _shrink(side, share) ** 2
    lost = combine(
        Equal(left * mean, most),
        [
            (1 / horizon, total),
            (1 / horizon, ends[0]),
            (-1 / horizon, ends[1]),
            (2 * smoothness / horizon, given(FALL, why="f falls by Δ")),
            (-2 * gap / (eta * horizon), given("h")),
        ],
        reason="the squared gradients telescope; they are 2Λf",
    )
    moves = given(NOT_STILL, why="f falls, or there is noise")
    average = combine(
        Equal(mean, floor**2),
        [(floor**2 / most, lost), (-2 * h * mean / most, equation)],
        known=[moves],
        reason="and F² solves the same equation",
    )
    bias_squared = combine(Equal(square(b), share**2 * square(g)), [(1, squared(leads))], reason="the size of the bias")
    biases = sum_over(expectation(bias_squared, reason="take expectations"), t, horizon, reason="sum over the steps")
    return average, combine(
        Equal(mean_over_steps(square(b)), size**2),
        [(1 / horizon, biases), (share**2, average)],
        reason="with this bias",
    )


def unmoved(size: Term, step: Theorem) -> Theorem:
    """A run without noise, its bias ``r∇f``, that keeps any gradient norm it starts with: nothing bounds its average.

    Parameters
    ----------
    size : Expr
        r.
    step : Theorem
        ``h = 2/(1+r)``, as somebody asserts it.
    """
    _, _, moved = _along(-1, size)
    still = given(ForAll(t, Equal(n, 0 * n)), t, why="there is no noise")
    start = square(Gradient("f", first))
    again = combine(
        Equal(square(Gradient("f", after)), start),
        [
            (1, squared(moved)),
            (1, assume(Equal(square(g), start), reason="suppose ‖∇f(x_t)‖ = ‖∇f(x_0)‖")),
            (h**2, inner(still, n)),
            (-2 * h * (1 - h - h * size), inner(still, g)),
            (h * (1 + size) ** 2 * square(g), step),
        ],
        reason="the step reverses the gradient",
    )
    base = identity(Equal(start, start), reason="at the start")
    always = specialise(induct(base, again, t, reason="by induction"), t, reason="at every step")
    mean = sum_over(expectation(always, reason="take expectations"), t, horizon, reason="sum over the steps")
    return combine(
        Equal(mean_over_steps(square(g)), Mean(start)), [(1 / horizon, mean)], reason="so A stays, for every T"
    )


@cache
def newton_step() -> Theorem:
    """``x_{t+1} = -(b_t + n_t)/Λ`` on the quadratic for η = 1/Λ."""
    update = instantiate(given("update"), {eta: 1 / smoothness}, reason="for η = 1/Λ")
    slope = given(SLOPE, x, why="f = Λ‖x‖²/2")
    return combine(
        Equal(after, -(b + n) / smoothness),
        [(1, specialise(update, t, reason="at this step")), (-1 / smoothness, slope)],
        reason="a step of 1/Λ takes the gradient away",
    )


@cache
def newton_value() -> Theorem:
    """``E‖Λx_{t+1}‖² = Z² + σ²`` for η = 1/Λ, with biases and noises of mean square Z² and σ²."""
    mean = expectation(squared(newton_step()), reason="take expectations")
    centred = given("centred", t)
    return combine(
        Equal(smoothness**2 * Mean(square(after)), Z**2 + sigma**2),
        [
            (smoothness**2, mean),
            (2, orthogonal(centred, b, reason="the noise has mean zero given b_t")),
            (1, given(BIAS_SIZE, t, why="E‖b_t‖² = Z²")),
            (1, given(NOISE_SIZE, t, why="E‖n_t‖² = σ²")),
        ],
        reason="multiply out",
    )
