"""X2: cohorts that stand still, or jump between two points, where the composed theorem's floor is reached.

One input and two classes: a student's logits are ``(θ, -θ) G/√2``, its log-odds ``√2 Gθ``. ``E = exp(αρ/2)`` and
``τ = tanh(αρ/4) = (E-1)/(E+1)``.
"""

from __future__ import annotations

from sympy import Rational, Symbol, exp, sqrt, tanh

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.divergence.names import rho
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.mutual.bias import jacobian
from rdml_theory.symbolic.mutual.one_input import ASSUMPTIONS as ONE_INPUT
from rdml_theory.symbolic.mutual.one_input import at_most_saturated
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Formula, alpha
from rdml_theory.symbolic.sgd.descent import SHARP, Z, eta, gap, h, horizon, sigma
from rdml_theory.symbolic.sgd.extremal import floor
from rdml_theory.symbolic.sgd.setting import (
    after,
    assumptions,
    b,
    first,
    g,
    given,
    mean_over_steps,
    n,
    squared,
    t,
    turned,
    x,
)

__all__ = ["ASSUMPTIONS", "ONE_INPUT", "RESTING", "SATURATED", "TURNING", "resting_cohort", "resting_target", "tau"]

tau: Formula = Symbol("tau", nonnegative=True)
"""τ = tanh(αρ/4), as the kernel has it: τ (E + 1) = E - 1."""

RESTING: Formula = 2 * beta**2 * jacobian**2 * tau**2
"""‖∇L‖² of the student at rest."""

TURNING: Formula = jacobian**2 * tau**2 / 2
"""‖∇L‖² of the student that jumps between two points, at both."""

_F: Term = exp(alpha * rho)

SATURATED: Formula = 2 * jacobian**2 * ((beta * (_F - 1) - 1) / ((1 + beta) * (_F - 1))) ** 2
"""‖∇L‖² of the student at rest all of whose labels are of one class, where β(E - 1) ≥ 1."""

_E: Term = exp(alpha * rho / 2)
q, w = (Symbol(name, positive=True) for name in ("q", "w"))
y: Term = Symbol("y", real=True)
theta, e = Vector("θ"), Vector("e")
_scale = sqrt(2) * jacobian
_r = Gradient("R", x)
# The student has the log-odds s, its peer u = s + ρ; those of the escort are αu + (1-α)s.
_s = -alpha * rho / 2
_u = rho * (1 - alpha / 2)

HYPOTHESES = {
    "tau": Equal(tau * (_E + 1), _E - 1),
    "unit": Equal(square(e), 1),
    "student": Equal(q * (1 + exp(-_s)), 1),
    "escort": Equal(w * (1 + exp(-(alpha * _u + (1 - alpha) * _s))), 1),
    "label": Equal(y, q + beta * (q - w)),
    "base": Equal(Gradient("f", theta), _scale * (q - y) * e),
    "mutual": Equal(Gradient("R", theta), _scale * (q - w) * e),
    "bias": ForAll(t, Equal(b, beta * _r)),
    "quiet": ForAll(t, Equal(n, 0 * n)),
    "start": Equal(first, theta),
}
"""What the resting cohort is: shares q, w and y of one class for the student, its escort and its labels."""

ASSUMPTIONS = assumptions("update", *(part.text() for part in HYPOTHESES.values()))
"""What the statement assumes, as text."""


def resting_target(right_side: Term = RESTING) -> Equal:
    """``(1/T) Σ E‖∇f(x_t)‖² =`` the right side.

    >>> print(resting_target().text())
    Σ_{t < T} E[‖∇f(x_t)‖²]/T = 2·G²·β²·τ²
    """
    return Equal(mean_over_steps(square(g)), right_side)


def _given(name: str, *values: Term) -> Theorem:
    return given(HYPOTHESES[name], *values)


def _escort_is_the_rest() -> Theorem:
    """``q + w = 1``: the escort's log-odds are those of the student with the sign changed."""
    return combine(
        Equal(q + w, 1),
        [(_E / (_E + 1), _given("escort")), (1 / (_E + 1), _given("student"))],
        reason="the log-odds of student and escort are -αρ/2 and αρ/2",
    )


def _apart() -> Theorem:
    """``w - q = τ``."""
    return combine(
        Equal(w - q, tau),
        [
            (_E / (_E + 1), _given("escort")),
            (-1 / (_E + 1), _given("student")),
            (-1 / (_E + 1), _given("tau")),
        ],
        reason="what lies between them",
    )


@of_formulas()
def resting_cohort(
    right_side: Formula = RESTING, *, saturated: Formula = SATURATED, turning: Formula = TURNING
) -> Proof:
    """X2: students of mutual learning that reach the floor ``2β²G² tanh²(αρ/4)`` of X1, for every α, ρ, G and h ≤ 1.

    This toolkit's own. The student's label share is ``y = q + β(q - w)``, not negative while ``β(E - 1) ≤ 1``; its peer
    rests by its own, ``p + β(p - w')``. Beyond that weight all labels are of one class, and no student at rest on one
    input has a greater gradient. For h > 1, with the label share ½, the student jumps between θ and -θ. ``saturated``
    is ‖∇L‖² beyond that weight, and ``turning`` that of the student that jumps.

    Examples
    --------
    >>> resting_cohort().axioms
    ()
    """
    there = assume(Equal(x, theta), reason="suppose it is at θ at step t")
    back = turned(there)
    base = rewrite(_given("base"), back, reason="so is its gradient")
    mutual = rewrite(_given("mutual"), back, reason="and that of the mutual loss")
    here = [(1, there), (-eta, base), (-eta, _given("bias", t)), (-eta * beta, mutual), (-eta, _given("quiet", t))]
    stays = combine(
        Equal(after, theta),
        [(1, given("update", t)), *here, (eta * _scale * e, _given("label"))],
        reason="the labels balance the pull: ∇L + β∇R = √2G(q - y + β(q - w))e = 0",
    )
    always = specialise(induct(_given("start"), stays, t, reason="by induction"), t, reason="at every step")
    at_theta = turned(always)
    slope = rewrite(_given("base"), at_theta, reason="the gradient is always this")
    pull = rewrite(_given("mutual"), at_theta, reason="and so is the mutual gradient")
    whole = combine(
        Equal(g, beta * _scale * tau * e),
        [(1, slope), (-_scale * e, _given("label")), (beta * _scale * e, _apart())],
        reason="which is β√2 Gτ e",
    )
    bias_is = combine(
        Equal(b, -beta * _scale * tau * e),
        [(1, _given("bias", t)), (beta, pull), (-beta * _scale * e, _apart())],
        reason="and the bias is its opposite",
    )
    return Proof((
        _mean(whole, resting_target(right_side)),
        _mean(bias_is, Equal(mean_over_steps(square(b)), right_side)),
        _is_the_floor(right_side),
        _label_is_a_share(),
        _saturated(saturated),
        at_most_saturated(saturated),
        *_turning(turning),
    ))  # fmt: skip


def _mean(vector: Theorem, target: Equal) -> Theorem:
    """The mean over the steps of the square of what is c e at every step."""
    left, _ = vector.conclusion.terms()
    length = combine(
        Equal(square(left), RESTING), [(1, squared(vector)), (RESTING, _given("unit"))], reason="its square"
    )
    total = sum_over(expectation(length, reason="take expectations"), t, horizon, reason="sum over the steps")
    return combine(target, [(1 / horizon, total)], reason="divide by T")


def _floor(side: int) -> tuple[Theorem, Theorem]:
    """What the right side of C2 and X1 is for T → ∞, without noise, on one side of h = 1; and what its ζ² is."""
    one = AtMost(h, 1) if side == 1 else AtMost(1, h)
    room = assume(one, reason="given")
    named = assume(Equal(Z**2, RESTING), reason="given: ζ² = 2β²G² tanh²(αρ/4)")
    size = magnitude(side * (1 - h), known=[room], reason="|1-h| is this")
    value = assume(
        Equal(floor, SHARP.subs({gap: 0, sigma: 0})), known=[given("h < 2")],
        reason="given: F is X1's right side for T → ∞ and σ = 0",
    )  # fmt: skip
    return rewrite(value, size, reason="written out"), named


def _is_the_floor(asserted: Term) -> Theorem:
    """The right side of C2 and X1 for T → ∞, without noise and for h ≤ 1, is ζ: with ζ² as asserted, its square."""
    plain, named = _floor(1)
    _, right = plain.conclusion.terms()
    return combine(
        Equal(floor**2, asserted),
        [(floor + right, plain), (1, named)],
        reason="which is the floor that the student keeps",
    )


def _label_is_a_share() -> Theorem:
    """``0 ≤ y`` while ``β(E - 1) ≤ 1``."""
    room = assume(AtMost(beta * (_E - 1), 1), reason="given: the weight is not too large")
    return combine(
        AtMost(0, y),
        [
            (1 / (_E + 1), room),
            (-1, _given("label")),
            (-(1 + beta) / (_E + 1), _given("student")),
            (beta * _E / (_E + 1), _given("escort")),
        ],
        reason="y = (1 - β(E - 1))/(E + 1) is a share",
    )


def _saturated(asserted: Term) -> Theorem:
    """With no label of the class to which its escort leans, and at rest: ``(1+β)q = βw``."""
    pulled = 1 + (_F - 1) * q
    apart = assume(Less(0, _F - 1), reason="given: αρ is not zero")
    rest = assume(Equal((1 + beta) * q, beta * w), reason="given: q + β(q - w) = 0")
    tilt = assume(Equal(w * pulled, _F * q), reason="given: the log-odds of w are those of q and αρ")
    share = combine(
        Equal(q, (beta * (_F - 1) - 1) / ((1 + beta) * (_F - 1))),
        [(beta / (q * (1 + beta) * (_F - 1)), tilt), (pulled / (q * (1 + beta) * (_F - 1)), rest)],
        known=[apart],
        reason="solve for q",
    )
    _, value = share.conclusion.terms()
    gradient = assume(Equal(g, _scale * q * e), reason="given: ∇f = √2G q e")
    return combine(
        Equal(square(g), asserted),
        [(1, squared(gradient)), (2 * jacobian**2 * q**2, _given("unit")), (2 * jacobian**2 * (q + value), share)],
        reason="the square of its norm",
    )


def _turning(asserted: Term) -> tuple[Theorem, ...]:
    """For the label share ½ a step of ``h = αρ/(τ(2 + 4β))`` leads from log-odds αρ/2 to -αρ/2 and back.

    By symmetry q and w change places there; at α = 1 the peer is the student's mirror image. What is asserted, times
    4β², is F² times the square of ``((4 + 8β)τ - αρ)/(αρ)``, which tends to 2β: for small αρ it comes near to F².
    """
    odds = alpha * rho / 2
    step = assume(Equal(h * tau * (2 + 4 * beta), alpha * rho), reason="given: the step")
    rest, apart = _escort_is_the_rest(), _apart()
    # The student stands at -αρ/2; the log-odds move by η(√2G)² = 4h times the gradient's coefficient, as Λ = G²/2.
    moved = combine(
        Equal(-odds - 4 * h * (q - Rational(1, 2) + beta * (q - w)), odds),
        [(-2 * h, rest), (2 * h * (1 + 2 * beta), apart), (1, step)],
        reason="the student overshoots to the other side",
    )
    gradient = assume(Equal(g, _scale * (q - Rational(1, 2)) * e), reason="given: half of the labels are of each class")
    half = combine(
        Equal(g, -_scale * tau / 2 * e),
        [(1, gradient), (_scale / 2 * e, rest), (-_scale / 2 * e, apart)],
        reason="its gradient there",
    )
    length = combine(
        Equal(square(g), asserted), [(1, squared(half)), (TURNING, _given("unit"))], reason="the square of its norm"
    )
    return moved, length, _near_the_floor(asserted, step), _nearly()


def _near_the_floor(asserted: Term, step: Theorem) -> Theorem:
    """``F² ((4 + 8β)τ - αρ)² = (αρ)² 4β²`` times what is asserted, with X1's right side F for T → ∞ and h ≥ 1."""
    plain, named = _floor(-1)
    whole, angle = tau * (2 + 4 * beta), alpha * rho
    product = combine(Equal(floor * (2 - h), h * Z), [(2 - h, plain)], reason="times 2 - h")
    moved = combine(
        Equal(floor * (2 * whole - angle), angle * Z), [(whole, product), (floor + Z, step)],
        reason="for this step",
    )  # fmt: skip
    left, right = moved.conclusion.terms()
    return combine(
        Equal(left**2, angle**2 * 4 * beta**2 * asserted), [(left + right, moved), (angle**2, named)],
        reason="its square",
    )  # fmt: skip


def _nearly() -> Theorem:
    """``((4 + 8β) tanh(r/4) - r)/r → 2β`` as r = αρ tends to zero."""
    angle: Term = Symbol("r", real=True)
    numerator = (4 + 8 * beta) * tanh(angle / 4) - angle
    return limit(Tends(numerator / angle, angle, 0, 2 * beta), numerator, 1, reason="so F is nearly reached")
