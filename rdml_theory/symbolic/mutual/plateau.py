"""The plateau law: where the cohort's update vanishes, base and mutual gradient balance."""

from __future__ import annotations

from sympy import IndexedBase, Rational, Sum, Symbol

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.notation import Formula, Named, i
from rdml_theory.symbolic.relations import at_least, equal

__all__ = ["BASE_NORM", "MUTUAL_NORM", "beta", "plateau_law"]

BASE_NORM = Named("‖∇L_k‖", r"\lVert \nabla L_k \rVert")
"""The norm of the gradient of the student's base loss."""

MUTUAL_NORM = Named("‖∇R_k‖", r"\lVert \nabla R_k \rVert")
"""The norm of the gradient of the student's mutual loss."""

beta: Formula = Symbol("beta", nonnegative=True)

_size: Formula = Symbol("d", integer=True, positive=True)
_r: Formula = IndexedBase("r", real=True)


@of_formulas()
def plateau_law(right_side: Formula | None = None) -> Derivation:
    """At a stationary point of the cohort, ‖∇L_k‖ = β ‖∇R_k‖ for every student k.

    Parameters
    ----------
    right_side : Formula, optional
        The asserted norm, a multiple of ``MUTUAL_NORM``.

    Examples
    --------
    >>> plateau_law().verify(), plateau_law(beta / 2 * MUTUAL_NORM).verify()
    (True, False)
    """
    asserted = beta * MUTUAL_NORM if right_side is None else right_side
    # Where the update ∇L_k + β∇R_k vanishes, each coordinate of ∇L_k is -β times that of ∇R_k.
    base = Sum((-beta * _r[i]) ** 2, (i, 1, _size))
    mutual = Sum(_r[i] ** 2, (i, 1, _size))
    factor = asserted / MUTUAL_NORM
    steps = (
        Step("coordinates g_i = -β r_i, so the squared norms agree up to β²", equal(base, beta**2 * mutual)),
        Step("which is the square of the asserted factor", equal(beta**2 * mutual, factor**2 * mutual)),
        Step("and the factor is not negative, as norms are not", at_least(factor, Rational(0))),
    )
    return Derivation(equal(BASE_NORM, asserted), steps)
