"""C10: bounded scope. Near a quadratic the iterates stay within a radius; on it their law is known; they never rest.

``h`` is ηλ here, for the curvature λ.
"""

from __future__ import annotations

from sympy import Abs, Integer, Symbol, sqrt

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.bounds import attained
from rdml_theory.symbolic.sgd.descent import Z, eta, h, sigma
from rdml_theory.symbolic.sgd.extremal import NOISE_SIZE
from rdml_theory.symbolic.sgd.setting import *

__all__ = [
    "ASSUMPTIONS", "CONSTANT", "OFFSET", "PULL_SIZE", "RADIUS", "SLOPE", "VARIANCE", "bounded_scope", "curvature",
    "far", "law_of",
    "offset_target", "perturbation", "pull", "radius", "stays_target",
]  # fmt: skip

curvature: Formula = Symbol("lambda", positive=True)
perturbation: Formula = Symbol("M", nonnegative=True)
radius: Formula = Symbol("P", positive=True)

OFFSET: Formula = Z / curvature
"""The distance from the minimum of f = λ‖x‖²/2 to the point where a constant bias holds the iterates."""

VARIANCE: Formula = eta * sigma**2 / (curvature * (2 - eta * curvature))
"""Their mean squared distance from it, for t → ∞."""

_h = eta * curvature
_pushed = perturbation + Z

RADIUS: Formula = (Abs(1 - _h) * _pushed + sqrt(_pushed**2 + _h * (2 - _h) * sigma**2)) / (curvature * (2 - _h))
"""R, with sup_t E‖x_t‖² ≤ max(E‖x_0‖², R²) where ‖∇f(x) - λx‖ ≤ M."""

NEARLY = ForAll(y, AtMost(square(Gradient("f", y) - curvature * y), perturbation**2))
STABLE = Less(_h, 2)
STARTED = AtMost(Mean(square(first)), radius**2)
SLOPE = ForAll(y, Equal(Gradient("f", y), curvature * y))

pull = Vector("c")
CONSTANT = ForAll(t, Equal(b, pull))
PULL_SIZE = Equal(square(pull), Z**2)


def stays_target() -> AtMost:
    """``E‖x_t‖² ≤ P²``.

    >>> print(stays_target().text())
    E[‖x_t‖²] ≤ P²
    """
    return AtMost(Mean(square(x)), radius**2)


def far(asserted: Formula = RADIUS) -> AtMost:
    """``R ≤ P``.

    >>> print(far().text())
    ((M + Z)·|η·λ - 1| + √(η·λ·σ²·(2 - η·λ) + (M + Z)²))/(λ·(2 - η·λ)) ≤ P
    """
    return AtMost(asserted, radius)


ASSUMPTIONS = assumptions(
    "update", "centred", "noise", "bias of a step", *(told.text() for told in (NEARLY, STABLE, STARTED, far()))
)
"""What the bounded scope assumes, as text."""


def _pushed_at_most() -> Theorem:
    """``E‖∇f(x_t) - λx_t + b_t‖² ≤ (M + Z)²``."""
    rest = g - curvature * x
    near = expectation(given(NEARLY, x), reason="take expectations")
    small = given("bias of a step", t)
    product = combine(
        AtMost(Mean(Inner(rest, b)) ** 2, perturbation**2 * Z**2),
        [(1, of_a_step(rest, b)), (Mean(square(b)), near), (perturbation**2, small)],
        reason="with the bounds of both",
    )
    cross = Mean(Inner(rest, b))
    return combine(
        AtMost(Mean(square(rest + b)), _pushed**2),
        [
            (1, near),
            (1, small),
            (2, root(product, cross, reason="take roots")),
            (2, absolute(cross, reason="a number is at most its absolute value")),
        ],
        reason="multiply out",
    )


def _stays(asserted: Formula) -> Theorem:
    """``E‖x_t‖² ≤ P²`` for every t, for a P that is neither below R nor below the start."""
    push, supposed = g - curvature * x + b, assume(AtMost(Mean(square(x)), radius**2), reason="suppose")
    bounded = _pushed_at_most()
    cross = Mean(Inner(x, push))
    product = combine(
        AtMost(cross**2, radius**2 * _pushed**2),
        [(1, of_a_step(x, push)), (Mean(square(push)), supposed), (radius**2, bounded)],
        reason="with the bounds of both",
    )
    centred, away = given("centred", t), Abs(1 - _h)
    next_one = combine(
        AtMost(Mean(square(after)), (away * radius + eta * _pushed) ** 2 + eta**2 * sigma**2),
        [
            (1, expectation(squared(given("update", t)), reason="take expectations")),
            (-2 * eta, orthogonal(centred, x, reason="the noise has mean zero given x_t")),
            (2 * eta**2, orthogonal(centred, g, reason="so it has given ∇f(x_t)")),
            (2 * eta**2, orthogonal(centred, b, reason="and given b_t")),
            ((1 - _h) ** 2, supposed),
            (2 * eta * away, root(product, cross, reason="take roots")),
            (2 * eta, absolute(-(1 - _h) * cross, reason="a number is at most its absolute value")),
            (eta**2, bounded),
            (eta**2, given("noise", t)),
        ],
        reason="x_t - η(∇f + b) is (1-ηλ)x_t but for a push of at most η(M+Z)",
    )
    room = given(STABLE)
    settled = sqrt(_pushed**2 + _h * (2 - _h) * sigma**2)
    base = (2 - _h) * curvature * radius - away * _pushed
    enough = combine(
        AtMost(settled, base),
        [(curvature * (2 - _h), assume(far(asserted), known=[room], reason="given: P is not below R"))],
        reason="times λ(2-ηλ)",
    )
    positive = combine(AtMost(0, base + settled), [(1, enough)], slack=2 * settled, reason="so this is")
    solved = combine(
        AtMost((away * radius + eta * _pushed) ** 2 + eta**2 * sigma**2, radius**2),
        [(eta * (base + settled) / (curvature * (2 - _h)), enough)],
        known=[room, positive],
        reason="beyond R the step does not lead further out: (1-ηλ)² + ηλ(2-ηλ) = 1",
    )
    again = combine(AtMost(Mean(square(after)), radius**2), [(1, next_one), (1, solved)], reason="so it stays")
    always = induct(given(STARTED), again, t, reason="by induction")
    return specialise(always, t, reason="at every step")


_HOLD = pull / curvature


def _moved() -> Theorem:
    """``x_{t+1} + c/λ = (1-ηλ)(x_t + c/λ) - ηn_t`` on the quadratic."""
    slope = given(SLOPE, x, why="f = λ‖x‖²/2")
    constant = given(CONSTANT, t, why="the bias is constant")
    return combine(
        Equal(after + _HOLD, (1 - _h) * (x + _HOLD) - eta * n),
        [(1, given("update", t)), (-eta, slope), (-eta, constant)],
        reason="the distance from -c/λ after a step",
    )


def law_of(variance: Formula = VARIANCE) -> Equal:
    """``E‖x_t + c/λ‖² = (1-ηλ)^{2t} E‖x_0 + c/λ‖² + V (1 - (1-ηλ)^{2t})``.

    >>> print(law_of().text())
    E[‖x_t + c/λ‖²] = η·σ²·(1 - (1 - η·λ)^(2·t))/(λ·(2 - η·λ)) + (1 - η·λ)^(2·t)·E[‖x_0 + c/λ‖²]
    """
    return _law(t, variance)


def _law(step: Term, variance: Formula) -> Equal:
    shrunk = (1 - _h) ** (2 * step)
    start = Mean(square(first + _HOLD))
    return Equal(Mean(square(At("x", step) + _HOLD)), shrunk * start + variance * (1 - shrunk))


def _spread(variance: Formula) -> Theorem:
    known = [given(STABLE)]
    centred = given("centred", t)
    size = given(NOISE_SIZE, t, why="E‖n_t‖² = σ²")
    step = combine(
        _law(t + 1, variance),
        [
            (1, expectation(squared(_moved()), reason="take expectations")),
            (-2 * eta * (1 - _h), orthogonal(centred, x + _HOLD, reason="the noise has mean zero given x_t")),
            (eta**2, size),
            ((1 - _h) ** 2, assume(_law(t, variance), known=known, reason="suppose")),
        ],
        reason="a step shrinks it and adds the noise",
    )
    return induct(combine(_law(Integer(0), variance), [], known=known, reason="at the start"), step, t, reason="always")


def _mean() -> Theorem:
    """``E⟨x_t + c/λ, y⟩ = (1-ηλ)^t E⟨x_0 + c/λ, y⟩``: the mean tends to -c/λ in every direction y."""
    start = Mean(Inner(first + _HOLD, y))

    def at(step: Term) -> Equal:
        return Equal(Mean(Inner(At("x", step) + _HOLD, y)), (1 - _h) ** step * start)

    step = combine(
        at(t + 1),
        [
            (1, expectation(inner(_moved(), y), reason="take expectations")),
            (-eta, orthogonal(given("centred", t), y, reason="the noise has mean zero")),
            (1 - _h, assume(at(t), reason="suppose")),
        ],
        reason="a step shrinks it",
    )
    return induct(identity(at(Integer(0)), reason="at the start"), step, t, reason="always")


def offset_target(offset: Formula = OFFSET) -> Equal:
    """``‖c/λ‖²`` is the square of the offset.

    >>> print(offset_target().text())
    ‖c/λ‖² = Z²/λ²
    """
    return Equal(square(_HOLD), offset**2)


def _restless() -> Theorem:
    """``η² E‖n_t‖² ≤ E‖x_{t+1} - x_t‖²``."""
    centred = given("centred", t)
    update = given("update", t)
    moved = combine(Equal(after - x, -eta * (g + b + n)), [(1, update)], reason="the step")
    both = expectation(nonnegative(square(g + b), reason="a squared norm"), reason="take expectations")
    still = combine(
        AtMost(eta**2 * Mean(square(n)), Mean(square(after - x))),
        [
            (-1, expectation(squared(moved), reason="take expectations")),
            (-2 * eta**2, orthogonal(centred, g, reason="the noise has mean zero given ∇f(x_t)")),
            (-2 * eta**2, orthogonal(centred, b, reason="and given b_t")),
            (eta**2, both),
        ],
        reason="the noise alone moves it that far",
    )
    return generalise(still, t, reason="at every step")


@of_formulas()
def bounded_scope(offset: Formula = OFFSET, variance: Formula = VARIANCE, radius_formula: Formula = RADIUS) -> Proof:
    """C10: near a quadratic E‖x_t‖² ≤ max(E‖x_0‖², R²); on it the law of x_t is that of a spread about the offset.

    Examples
    --------
    >>> bounded_scope().axioms
    ('Cauchy-Schwarz',)
    """
    stays = _stays(radius_formula)
    size = combine(offset_target(offset), [(1 / curvature**2, given(PULL_SIZE, why="‖c‖ = Z"))], reason="over λ²")
    return Proof((stays, _mean(), size, _spread(variance), _restless(), *_radius_attained(radius_formula)))


def _radius_attained(asserted: Formula) -> tuple[Theorem, ...]:
    """On ``f = Λ‖x‖²/2``, where λ = Λ and M = 0, runs keep ‖∇f(x_t)‖ = F = ΛR, that is ‖x_t‖ = R."""
    there = asserted.subs({perturbation: 0, curvature: smoothness}).subs(eta, h / smoothness)
    return tuple(attained(side, smoothness * there)[0] for side in (1, -1))
