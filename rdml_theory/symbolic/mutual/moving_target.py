"""A student's own objective moves with its peers: what the drift adds."""

from __future__ import annotations

from sympy import Abs, Symbol, sqrt, tanh

from rdml_theory.symbolic.certificates import citation
from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.mutual.bias import jacobian, spread
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Formula, Named, alpha
from rdml_theory.symbolic.relations import at_least, at_most, equal
from rdml_theory.symbolic.sgd.descent import eta, gap, h, horizon, noise

__all__ = ["DRIFT", "MOVING", "drift", "moving_target", "peer_step"]

peer_step: Formula = Symbol("g", nonnegative=True)
drift: Formula = Symbol("d", nonnegative=True)

DRIFT: Formula = beta * jacobian * peer_step * sqrt(2) * alpha * tanh(Abs(alpha - 1) * spread / 4) / Abs(alpha - 1)
"""The drift of a student's objective per step, over η: its peers move by ηg."""

MOVING: Formula = (2 * gap / (eta * horizon) + h * noise**2 + 2 * drift) / (2 - h)
"""The bound of A² for a moving objective."""

_FIRST = Named("A", "A")
_MOVED = Named("d", "d")


def moving_target(right_side: Formula | None = None, rate: Formula | None = None) -> Derivation:
    """``A² ≤ [2Δ/(ηT) + hσ² + 2d]/(2-h)`` for the moving objective F_t = L + βR(·; peers at t), 0 < h < 2.

    ``d = βG‖g‖ √2 α tanh(|α-1|ρ/4)/|α-1|`` bounds the drift per step over η; at α = 1 it is √2 βG‖g‖ρ/4.

    Parameters
    ----------
    right_side, rate : Formula, optional
        The asserted bound of A² and the asserted d.

    Examples
    --------
    >>> moving_target().verify(), moving_target(MOVING.subs(drift, 0)).verify()
    (True, False)
    """
    asserted = MOVING if right_side is None else right_side
    stated = DRIFT if rate is None else rate
    square, here, there, then = (Symbol(s, real=True) for s in ("a²", "F_t(θ)", "F_t(θ₊)", "F₊(θ₊)"))
    pull: Formula = Symbol("B", nonnegative=True)
    averaged = 2 / (2 - h) * (gap / (eta * horizon) + h * noise**2 / 2 + drift)
    beyond: Formula = Symbol("x", positive=True)
    steps = (
        Step(
            "the descent lemma for F_t, whose whole gradient is followed: no bias",
            equal(
                -eta * square + eta * h / 2 * (square + noise**2), -eta * (1 - h / 2) * square + eta * h / 2 * noise**2
            ),
        ),
        Step(
            "telescoping leaves the drift F₊(θ₊) - F_t(θ₊) of each step",
            equal(there - here, (then - here) - (then - there)),
        ),
        Step(
            "sum over t, divide by ηT(1-h/2), with Σ drift ≤ ηTd and F_T(θ_T) ≥ inf F",
            at_least(asserted - averaged, 0),
        ),
        citation("the gradient in the peer's logits", at_most(pull, DRIFT), work="this toolkit", claim="D9"),
        Step(
            "along the peers' way of length Gη‖g‖ in the logits, βR changes by at most β times that gradient times it",
            at_least((stated - DRIFT).subs(Abs(alpha - 1), beyond), 0),
        ),
    )
    statement = at_most(_FIRST**2, asserted.subs(drift, stated) if asserted.has(drift) else asserted)
    return Derivation(statement, steps)
