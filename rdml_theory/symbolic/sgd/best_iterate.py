"""C2d: the best iterate of gradient descent with a biased gradient, min_t ‖∇f(x_t)‖². There is no noise."""

from __future__ import annotations

from functools import cache

from sympy import Symbol, sqrt

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.elementary import schwarz, unsquared
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.descent import Z, eta, gap, h, horizon
from rdml_theory.symbolic.sgd.setting import *
from rdml_theory.symbolic.sgd.smooth import between, u

__all__ = ["ASSUMPTIONS", "BEST", "DECREASE", "UPDATE", "best_iterate", "best_target", "falls"]

BEST: Formula = Symbol("W", positive=True)
"""What ‖∇f(x_t)‖² is at least, for every t < T."""

DECREASE: Formula = (1 - h / 4) * BEST - (1 - h / 2) * Z * sqrt(BEST) - h / 4 * Z**2
"""What a step lowers the value by, over η, at least, while both gradients are at least √W ≥ Z."""

UPDATE = ForAll(t, Equal(after, x - eta * (g + b)))
_START = AtMost(Value("f", first) - infimum, gap)
_BIAS = ForAll(t, AtMost(square(b), Z**2))
_LEAST = ForAll(t, AtMost(BEST, square(g)), horizon)
_ROOM = AtMost(Z**2, 2 * smoothness * gap)

ASSUMPTIONS = tuple(
    hypothesis.text()
    for hypothesis in (
        *(HYPOTHESES[name] for name in ("smooth", "bounded", "h", "h ≤ 1")), UPDATE, _START, _BIAS, _LEAST, _ROOM,
    )
)  # fmt: skip
"""What the bound assumes, as text."""

p = Gradient("f", after)
level = sqrt(BEST)


def best_target(decrease: Formula = DECREASE) -> AtMost:
    """``(T-1)η(decrease) + W/(2Λ) ≤ Δ``.

    >>> print(best_target().text())
    η·(T - 1)·(W·(1 - h/4) - √(W)·Z·(1 - h/2) - Z²·h/4) + W/(2·Λ) ≤ Δ
    """
    return AtMost((horizon - 1) * eta * decrease + BEST / (2 * smoothness), gap)


@cache
def falls() -> Theorem:
    """What a step lowers the value by, at least, in inner products of both gradients and the bias."""
    apart = instantiate(between(), {y: x, u: after}, reason="between x_t and x_{t+1}")
    update = given(UPDATE, t)
    moved = combine(Equal(x - after, eta * (g + b)), [(-1, update)], reason="the step")
    lost = Inner(g + p, g + b) / 2 + square(g - p) / (4 * h) - h / 4 * square(g + b)
    return combine(
        AtMost(eta * lost, Value("f", x) - Value("f", after)),
        [
            (1, apart),
            (-HALF, inner(moved, g + p)),
            (smoothness / 4, squared(moved)),
            (-square(g - p) / (4 * h * smoothness) - eta / 4 * square(g + b), given("h")),
        ],
        reason="with the update",
    )


def _step(decrease: Formula) -> Theorem:
    """A step before the last, if Z ≤ √W: the value falls by η times the decrease."""
    steps = horizon - 1
    before = assume(Less(t, steps), reason="at a step but the last")
    here = combine(Less(t, horizon), [(1, before)], slack=1, reason="so it is one of them")
    later = combine(Less(t + 1, horizon), [(1, before)], reason="and so is the next")
    least = given(_LEAST)
    at_x = specialise(least, t, known=[here], reason="at x_t")
    at_next = specialise(least, t + 1, known=[later], reason="at x_{t+1}")
    small = given(_BIAS, t)
    norm, next_norm = sqrt(square(g)), sqrt(square(p))
    along = unsquared(Inner(g, p), norm * next_norm, schwarz(g, p))
    pulls = []
    for slope, size in ((g, norm), (p, next_norm)):
        product = combine(
            AtMost(Inner(slope, b) ** 2, square(slope) * Z**2),
            [(1, schwarz(slope, b)), (square(slope), small)],
            reason="with the bound of the bias",
        )
        pulls.append(unsquared(-Inner(slope, b), size * Z, product))
    low, next_low = unsquared(level, norm, at_x), unsquared(level, next_norm, at_next)
    above = assume(AtMost(Z, level), reason="suppose Z ≤ √W")
    room = given("h ≤ 1")
    wide = combine(Less(0, 3 - h), [(1, room)], slack=2, reason="3-h is positive")
    half = combine(Less(0, 1 - h / 2), [(HALF, room)], slack=HALF, reason="1-h/2 too")
    more, even_more, excess = norm - level, next_norm - level, level - Z
    return combine(
        AtMost(eta * decrease, Value("f", x) - Value("f", after)),
        [
            (1, falls()),
            (eta * (1 - h) / (2 * h), along),
            (eta * (1 - h) / 2, pulls[0]),
            (eta / 2, pulls[1]),
            (eta * h / 4, small),
            (eta * (Z + (3 - h) / 2 * excess), low),
            (eta * excess / 2, next_low),
        ],
        slack=eta * ((even_more - (1 - h) * more) ** 2 / (4 * h) + (1 - h / 2) * more**2),
        known=[room, wide, half, above],
        reason="least where both gradients are √W along each other, the bias against them",
    )


@of_formulas()
def best_iterate(decrease: Formula = DECREASE) -> Proof:
    """C2d: ``(T-1)η[(1-h/4)W - (1-h/2)Z√W - (h/4)Z²] + W/(2Λ) ≤ Δ`` without noise, for 0 < h ≤ 1 and Z² ≤ 2ΛΔ.

    W is the least ‖∇f(x_t)‖² over t < T, or less. ``decrease``, in brackets, is that of a step over η.

    Examples
    --------
    >>> best_iterate().axioms
    ('descent lemma', 'descent lemma, from below')
    """
    steps = horizon - 1
    at_last = given(_LEAST, steps)
    pays = instantiate(surely_above_the_infimum(), {y: At("x", steps)}, reason="at the last iterate")
    target = best_target(decrease)
    large = combine(
        target,
        [
            (1, sum_over(_step(decrease), t, steps, reason="sum over the steps but the last")),
            (1, pays),
            (1 / (2 * smoothness), at_last),
            (1, given(_START)),
        ],
        reason="the values telescope; the last gradient pays for itself",
    )
    below = assume(AtMost(level, Z), reason="suppose √W ≤ Z")
    room = combine(Less(0, 1 - h / 4), [(HALF / 2, given("h ≤ 1"))], slack=3 * HALF / 2, reason="1-h/4 > 0")
    slope = (1 - h / 4) * level + h / 4 * Z
    small = combine(
        target,
        [
            (steps * eta * slope + (level + Z) / (2 * smoothness), below),
            (1 / (2 * smoothness), given(_ROOM)),
        ],
        known=[room],
        reason="then the decrease is not positive, and W ≤ Z² ≤ 2ΛΔ",
    )
    return Proof((cases(small, large, level, Z, reason="either way"),))
