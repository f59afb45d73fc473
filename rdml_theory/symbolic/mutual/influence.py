"""G3 and G4: how far a peer can pull at a fixed product αβ, and which order leaves near peers their pull."""

from __future__ import annotations

from sympy import IndexedBase, Integer, Subs, Sum, Symbol, exp, sqrt, tanh

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.certificates import calculus, certified, citation
from rdml_theory.symbolic.divergence.names import GRADIENT_NORM
from rdml_theory.symbolic.engine.derivation import Derivation, Premise, Step
from rdml_theory.symbolic.mutual.bias import order
from rdml_theory.symbolic.mutual.gain import GAIN, lone, students
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import C, Formula, Named, i, q
from rdml_theory.symbolic.relations import at_least, at_most, equal

__all__ = ["INFLUENCE", "KEPT", "PRODUCT", "alpha", "influence", "product", "reach", "recipe", "rho", "wanted"]

product: Formula = Symbol("c", positive=True)
"""c = αβ."""

alpha: Formula = Symbol("alpha", positive=True)
rho: Formula = Symbol("rho", nonnegative=True)

INFLUENCE: Formula = sqrt(2) * product * tanh(alpha * rho / 4) / alpha
"""What the pull of a peer is at most at αβ = c."""


wanted: Formula = Symbol("g", positive=True)
"""g: the excess risk that is wanted, over that of a student alone; more than 1/K and at most 1."""

PRODUCT: Formula = (1 - 1 / students) * (sqrt((1 - 1 / students) / (wanted - 1 / students)) - 1)
"""αβ, for which the gain law gives g."""

reach: Formula = Symbol("x", positive=True)
"""x = αρ̂, ρ̂ the greatest range of log-ratios between good students."""

KEPT: Formula = (1 - exp(-reach)) / reach
"""The least part of the linear pull that a peer within ρ̂ keeps."""


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


TOWARD = Named("<t, w - q>", r"\langle t, w - q \rangle")
"""The pull along the log-ratio t, which leads to the peer."""

VARIANCE = Named("Var_q(t)", r"\operatorname{Var}_q(t)")
"""Σ q_i t_i² - (Σ q_i t_i)²: near consensus <t, w - q> is α times it."""


@of_formulas()
def recipe(kept: Formula | None = None, wanted_product: Formula | None = None) -> Derivation:
    """G4: ``<t, w - q> ≥ α Var_q(t) (1 - exp(-x))/x`` for pairs within ρ̂, x = αρ̂; and αβ for a wanted gain.

    This toolkit's own: how much of its linear pull a peer keeps, whatever the number of classes. With the cap
    ``√2 c/α`` of far peers (G3) it says what an order costs and gains.

    Parameters
    ----------
    kept : Expr, optional
        The asserted part of the linear pull, in x.
    wanted_product : Expr, optional
        The asserted product αβ, in g and K.

    Examples
    --------
    >>> recipe().verify(), recipe(kept=Integer(1)).verify()
    (True, False)
    """
    part = (KEPT if kept is None else kept).subs(reach, alpha * rho)
    chosen = PRODUCT if wanted_product is None else wanted_product
    t: Formula = IndexedBase("t", real=True)
    a, shrink, ratio = (Symbol(name, positive=True) for name in ("a", "s", "r"))
    mean, first, second, low, spread = (Symbol(name, real=True) for name in ("mu", "M_1", "M_2", "m", "v"))

    def moment(power: int) -> Formula:
        return Sum(t[i] ** power * q[i] * exp(a * t[i]), (i, 1, C))

    at = 1 / students + (1 - 1 / students) * shrink**2
    law = GAIN.subs(beta, (1 - 1 / students) * (1 / shrink - 1) / order)
    steps = (
        Step(
            "along the path w_a ∝ q exp(at) from q to the escort, a from 0 to α, the mean of t grows by its variance",
            equal((moment(1) / moment(0)).diff(a), moment(2) / moment(0) - (moment(1) / moment(0)) ** 2),
        ),
        Step(
            "each class keeps at least exp(-aρ) of its mass: exp(at) is at least exp(am), and its mean at most "
            "exp(a(m+ρ))",
            equal(exp(a * low) / exp(a * (low + spread)), exp(-a * spread)),
        ),
        Step(
            "the mean square about any μ is the variance and a square, so Var_w ≥ exp(-aρ) Var_q",
            equal(second - 2 * mean * first + mean**2, second - first**2 + (first - mean) ** 2),
        ),
        Step(
            "what is stated grows by exp(-αρ) Var_q, as little as that bound,",
            equal((part * alpha).diff(alpha), exp(-alpha * rho)),
        ),
        Step("from 0 at α = 0", equal(Subs(part * alpha, alpha, 0), Integer(0))),
        certified("it is at least 1 - x/2: of near peers little is lost", at_most(1 - reach / 2, KEPT), calculus),
        Step("the gain law at the product that is chosen: with g = 1/K + (1 - 1/K)s²", equal(law, at * lone)),
        Step(
            "since s² = (g - 1/K)/(1 - 1/K); the product of that s is the one stated",
            equal(chosen.subs(wanted, at).subs(students, 1 + ratio), (1 - 1 / (1 + ratio)) * (1 / shrink - 1)),
        ),
    )
    return Derivation(at_least(TOWARD, part * alpha * VARIANCE), steps)
