"""C2e: a family of bounds that uses the smoothness at every step; without bias its limit is the exact worst case."""

from __future__ import annotations

from collections.abc import Callable

from sympy import Abs, Integer, Rational, Sum, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.elementary import summed, young
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.descent import Z, eta, gap, h, horizon, sigma
from rdml_theory.symbolic.sgd.extremal import HEIGHT, NOISE_SIZE, SLOPE
from rdml_theory.symbolic.sgd.setting import *

__all__ = ["ASSUMPTIONS", "COEFFICIENT", "DRIVE", "KAPPA", "kappa", "tight_bound", "tight_target", "weight"]

weight: Formula = Symbol("lambda", positive=True)
kappa: Formula = Symbol("kappa", real=True)

KAPPA: Formula = h * (1 - h / 2 - Abs(1 - h) * weight / 2)
"""κ: what a step lowers Λ(f - inf f) by, for each ‖∇f‖²."""

COEFFICIENT: Formula = (1 - (1 - 2 * kappa) ** horizon) / kappa
"""c, the weight of ΛΔ in the bound of T A²."""

DRIVE: Formula = h / 2 * (Abs(1 - h) * Z**2 / weight + h * Z**2 + h * sigma**2)
"""d: what bias and noise add in a step."""

IS_KAPPA = Equal(kappa, KAPPA)
NOT_ZERO = Less(0, kappa**2)

ASSUMPTIONS = assumptions(
    "smooth", "bounded", "start", "update", "centred", "noise", "bias of a step", "average", "h", IS_KAPPA.text(),
    NOT_ZERO.text(),
)  # fmt: skip
"""What the bound assumes, as text; κ = 0 is left out."""


def _right_side(coefficient: Formula, drive: Formula) -> Formula:
    return coefficient * smoothness * gap + drive * (horizon - coefficient / 2) / kappa


def tight_target(coefficient: Formula = COEFFICIENT, drive: Formula = DRIVE) -> AtMost:
    """``T A² ≤ c ΛΔ + d (T - c/2)/κ``.

    >>> print(tight_target().text())
    A²·T ≤ Δ·Λ·(1 - (1 - 2·κ)^T)/κ + h·(T - (1 - (1 - 2·κ)^T)/(2·κ))·(Z²·h + Z²·|h - 1|/λ + h·σ²)/(2·κ)
    """
    return AtMost(horizon * average**2, _right_side(coefficient, drive))


def _falls(drive: Term) -> Theorem:
    """``Λδ_{t+1} ≤ Λδ_t - κE‖∇f(x_t)‖² + d`` for δ = E f - f_inf."""
    product = expectation(young(h - 1, g, b, weight), reason="take expectations")
    lost = h / 2 * (Abs(1 - h) / weight + h)
    return combine(
        AtMost(_height(t + 1), _height(t) - kappa * Mean(square(g)) + drive),
        [
            (smoothness, one_step()),
            (h, product),
            (lost, given("bias of a step", t)),
            (_gained(), given("h")),
            (Mean(square(g)), given(IS_KAPPA)),
        ],
        reason="with E⟨∇f, b⟩ at most λ/2 E‖∇f‖² + E‖b‖²/(2λ) in size",
    )


def _gained() -> Term:
    cross, squares = Mean(Inner(g, b)), Mean(square(b))
    return (1 - h / 2) * Mean(square(g)) + (1 - h) * cross - h / 2 * squares - h / 2 * sigma**2


def _height(step: Term) -> Term:
    return smoothness * (Mean(Value("f", At("x", step))) - infimum)


def _gradients(start: Term, count: Term) -> Term:
    """The sum of E‖∇f(x_{s+t})‖² over t < n."""
    return Sum(Mean(square(Gradient("f", At("x", start + t)))), (t, 0, count - 1))


def accumulated(
    height: Callable[[Term], Term], falls: Theorem, above: Theorem, *, level: Term, coefficient: Term,
    drive: Term, known: tuple[Theorem, Theorem],
) -> tuple[Theorem, Theorem]:  # fmt: skip
    """``Σ_{t<T} E‖∇f(x_t)‖² ≤ c H_0 + d (T - ac)/κ``, and 0 ≤ c, for a height H that falls and is not too low.

    Parameters
    ----------
    height : callable
        H at a step.
    falls, above : Theorem
        ``H_{t+1} ≤ H_t - κE‖∇f(x_t)‖² + d`` and ``a E‖∇f(x_t)‖² ≤ H_t``.
    level, coefficient, drive : Expr
        a, the asserted c, a function of T, and d.
    known : (Theorem, Theorem)
        That κ is not zero, and that 1 - κ/a is not negative.
    """
    k, s = (Symbol(name, integer=True, nonnegative=True) for name in "ks")
    not_zero, shrinks = known

    def weight_of(count: Term) -> Term:
        return coefficient.subs(horizon, count)

    def holds(start: Term, count: Term) -> AtMost:
        later = drive * (count - level * weight_of(count)) / kappa
        return AtMost(_gradients(start, count), weight_of(count) * height(start) + later)

    left = (1 - kappa / level) ** k / level
    grows = combine(
        AtMost(0, weight_of(k + 1)), [(1, assume(AtMost(0, weight_of(k)), known=[not_zero], reason="suppose"))],
        slack=left, known=[shrinks], reason="c grows by a power of it",
    )  # fmt: skip
    signs = induct(nonnegative(Integer(0), reason="none"), grows, k, reason="so c is not negative")
    supposed = assume(ForAll(s, holds(s, k)), known=[not_zero], reason="suppose it holds for k later gradients")
    step = combine(
        holds(s, k + 1),
        [
            (1, last_term(_gradients(s, k + 1), reason="the last apart")),
            (1, specialise(supposed, s + 1, reason="from x_{s+1} on")),
            (weight_of(k), instantiate(falls, {t: s}, reason="at x_s")),
            (left, instantiate(above, {t: s}, reason="at x_s")),
        ],
        known=[specialise(signs, k, reason="at k steps"), shrinks],
        reason="one more adds its square, and passes on a smaller value",
    )
    base = combine(holds(s, Integer(0)), [], reason="none is nothing")
    always = induct(
        generalise(base, s), generalise(step, s, reason="from every x_s"), k, reason="for any number of gradients"
    )
    whole = specialise(specialise(always, horizon, reason="all T of them"), Integer(0), reason="from x_0 on")
    return specialise(signs, horizon, reason="at T steps"), whole


@of_formulas()
def tight_bound(coefficient: Formula = COEFFICIENT, drive: Formula = DRIVE) -> Proof:
    """``T A² ≤ c ΛΔ + d (T - c/2)/κ`` for every λ > 0 with κ ≠ 0; for λ → 0 it is exact without bias.

    ``coefficient`` and ``drive`` are c and d.

    Examples
    --------
    >>> tight_bound().axioms
    ('descent lemma',)
    """
    not_zero = given(NOT_ZERO)
    shrinks = combine(
        AtMost(0, 1 - 2 * kappa), [(2, given(IS_KAPPA))],
        slack=(1 - h) ** 2 + h * Abs(1 - h) * weight, reason="1-2κ is not negative",
    )  # fmt: skip
    above = combine(AtMost(Mean(square(g)) / 2, _height(t)), [(smoothness, above_the_infimum())], reason="times Λ")
    sign, whole = accumulated(
        _height,
        _falls(drive),
        above,
        level=Rational(1, 2),
        coefficient=coefficient,
        drive=drive,
        known=(not_zero, shrinks),
    )
    begun = combine(AtMost(_height(Integer(0)), smoothness * gap), [(smoothness, given("start"))], reason="times Λ")
    bound = combine(
        tight_target(coefficient, drive),
        [
            (1, whole),
            (horizon, given("average")),
            (coefficient, begun),
        ],
        known=[sign],
        reason="with the definitions of A and Δ",
    )
    return Proof((bound, _unbiased(coefficient, drive)))


def _unbiased(coefficient: Formula, drive: Formula) -> Theorem:
    """Without bias, on ``f = Λ‖x‖²/2``: equality at κ = h(1-h/2), the limit for λ → 0."""
    limit = h * (1 - h / 2)
    c, d = coefficient.subs(kappa, limit), drive.subs(Z, 0)
    k = Symbol("k", integer=True, nonnegative=True)
    room = given("h < 2")
    shrink, settled = 1 - 2 * limit, h**2 * sigma**2 / (2 * limit)

    def at(step: Term) -> Equal:
        norm = Mean(square(Gradient("f", At("x", step))))
        return Equal(norm, 2 * smoothness * gap * shrink**step + settled * (1 - shrink**step))

    slope = given(SLOPE, why="f = Λ‖x‖²/2")
    here = specialise(slope, x, reason="at x_t")
    update = given(ForAll(t, Equal(after, x - eta * (g + n))), why="there is no bias")
    moved = combine(
        Equal(Gradient("f", after), (1 - h) * g - h * n),
        [
            (1, specialise(slope, after, reason="at x_{t+1}")),
            (smoothness, specialise(update, t, reason="at this step")),
            (-1, here),
            (g + n, given("h")),
        ],
        reason="the gradient after a step",
    )
    size = given(NOISE_SIZE, t, why="E‖n_t‖² = σ²")
    centred = orthogonal(given("centred", t), g, reason="given x_t")
    supposed = assume(at(t), known=[room], reason="suppose")
    again = combine(
        at(t + 1),
        [
            (1, expectation(squared(moved), reason="take expectations")),
            ((1 - h) ** 2, supposed),
            (-2 * h * (1 - h), centred),
            (h**2, size),
        ],
        reason="a step shrinks it and adds the noise",
    )
    start = given(Equal(Mean(Value("f", first)), gap), why="E f(x_0) = Δ, above the infimum 0")
    height = given(HEIGHT, first, why="f = Λ‖x‖²/2")
    begun = specialise(slope, first, reason="at x_0")
    base = combine(
        at(Integer(0)),
        [
            (1, expectation(squared(begun), reason="take expectations")),
            (-2 * smoothness, expectation(height, reason="take expectations")),
            (2 * smoothness, start),
        ],
        known=[room],
        reason="at the start",
    )
    norms = induct(base, again, t, reason="so ‖∇f‖² is known at every step")

    def total(count: Term) -> Equal:
        there = c.subs(horizon, count)
        later = d * (count - there / 2) / limit
        return Equal(_gradients(Integer(0), count), there * smoothness * gap + later)

    each = summed(total, k, [(1, specialise(norms, k, reason="at step k"))], [room])
    whole = specialise(each, horizon, reason="all T of them")
    return combine(
        Equal(horizon * mean_over_steps(square(g)), total(horizon).right), [(1, whole)], reason="the sum of all"
    )
