"""G3 and G4: how far a peer can pull at a fixed product αβ, and which order leaves near peers their pull."""

from __future__ import annotations

from sympy import Subs, Symbol, exp, sqrt, tanh

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.certificates import calculus, certified, citation
from rdml_theory.symbolic.divergence.names import GRADIENT_NORM
from rdml_theory.symbolic.engine.derivation import Derivation, Premise, Step
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.relations import at_least, at_most, equal

__all__ = ["INFLUENCE", "alpha", "influence", "product", "rho"]

product: Formula = Symbol("c", positive=True)
"""c = αβ."""

alpha: Formula = Symbol("alpha", positive=True)
rho: Formula = Symbol("rho", nonnegative=True)

INFLUENCE: Formula = sqrt(2) * product * tanh(alpha * rho / 4) / alpha
"""What the pull of a peer is at most at αβ = c."""


@of_formulas()
def influence(right_side: Formula | None = None) -> Derivation:
    """G3: ``β‖q - w‖₂ ≤ √2 c tanh(αρ/4)/α`` at αβ = c, falling in α, with the slope ``√2 c/4`` at ρ = 0 for every α.

    This toolkit's own, on D7. Its greatest value, for far peers, is ``√2 c/α``: the order is the knee of a bounded
    influence function, at ρ ≈ 4/α.

    Parameters
    ----------
    right_side : Expr, optional
        The asserted bound of the pull.

    Examples
    --------
    >>> influence().verify(), influence(INFLUENCE / 2).verify()
    (True, False)
    """
    asserted = INFLUENCE if right_side is None else right_side
    x: Formula = Symbol("x", nonnegative=True)
    bounded = at_most(GRADIENT_NORM, sqrt(2) * tanh(alpha * rho / 4))
    fall = alpha * rho / 4 * (1 - tanh(alpha * rho / 4) ** 2) - tanh(alpha * rho / 4)
    size: Formula = Symbol("v", nonnegative=True)
    cited = citation(
        "v = ‖q - w‖₂ is bounded in the range of the log-ratio", at_most(size, sqrt(2) * tanh(alpha * rho / 4)),
        work="this toolkit", claim="D7",
    )  # fmt: skip
    pull = at_most(product / alpha * GRADIENT_NORM, asserted)
    steps = (
        cited,
        Step(
            "times β = c/α",
            pull,
            premises=(Premise(bounded, factor=product / alpha),),
        ),
        Step(
            "near consensus it grows with the slope √2 c/4, whatever the order",
            equal(Subs(asserted.diff(rho), rho, 0), sqrt(2) * product / 4),
        ),
        Step(
            "its derivative in α has the sign of x(1 - tanh² x) - tanh x, x = αρ/4",
            equal(asserted.diff(alpha), sqrt(2) * product / alpha**2 * fall),
        ),
        certified(
            "which is not positive, and zero at consensus alone: it falls strictly in α",
            at_most(x * (1 - tanh(x) ** 2), tanh(x)),
            calculus,
        ),
        Step("for far peers it is √2 c/α at most: tanh x ≤ 1", at_least(1 - tanh(x).rewrite(exp), 0)),
    )
    return Derivation(pull, steps, hypotheses=(bounded,))
