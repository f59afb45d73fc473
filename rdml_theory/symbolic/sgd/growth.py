"""Functions whose gradient grows with the value (Polyak-Łojasiewicz): the value itself converges to a floor."""

from __future__ import annotations

from sympy import Symbol

from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.notation import Formula, Named
from rdml_theory.symbolic.relations import at_least, at_most, equal
from rdml_theory.symbolic.sgd.descent import bias, eta, gap, h, horizon, noise

__all__ = ["PL", "growth", "pl_bound"]

growth: Formula = Symbol("mu", positive=True)
"""μ, with ‖∇f‖² ≥ 2μ(f - inf f)."""

PL: Formula = (1 - eta * growth) ** horizon * gap + (h * noise**2 + bias**2) / (2 * growth)
"""The bound of E f(x_T) - inf f, for 0 < h ≤ 1."""

VALUE = Named("E f(x_T) - inf f", r"\mathbb{E} f(x_T) - \inf f")


def pl_bound(right_side: Formula | None = None) -> Derivation:
    """``E f(x_T) - inf f ≤ (1-ημ)^T Δ + (hσ² + ζ²)/(2μ)`` if ‖∇f‖² ≥ 2μ(f - inf f), for 0 < h ≤ 1.

    Parameters
    ----------
    right_side : Formula, optional
        The asserted bound.

    Examples
    --------
    >>> pl_bound().verify(), pl_bound(PL.subs(bias, 0)).verify()
    (True, False)
    """
    asserted = PL if right_side is None else right_side
    a, z, value = (Symbol(s, nonnegative=True) for s in ("a", "z", "delta"))
    c: Formula = Symbol("c", real=True)
    excess: Formula = Symbol("x", nonnegative=True)
    n: Formula = Symbol("n", integer=True, nonnegative=True)
    kept: Formula = Symbol("r", positive=True)  # 1 - ημ, which lies in [0, 1)
    lost: Formula = Symbol("s", positive=True)  # ημ = 1 - r
    square = a**2 + 2 * c + z**2
    descent = -eta * (a**2 + c) + eta * h / 2 * (square + noise**2)
    push = eta / 2 * (bias**2 + h * noise**2)
    in_rate = asserted.subs(growth, (1 - kept) / eta)
    following, now = in_rate.subs(horizon, n + 1), in_rate.subs(horizon, n)
    # With r = s/(s + …) in place of 1 - ημ both r and 1 - r show their signs.
    share = 1 / (1 + lost)
    steps = (
        Step(
            "the descent lemma for h ≤ 1, as in the classical bound",
            equal(descent, -eta / 2 * a**2 + eta / 2 * (z**2 + h * noise**2) - eta / 2 * (1 - h) * square),
        ),
        Step(
            "with ‖∇f‖² ≥ 2μδ, δ = f - inf f, a step maps δ to at most (1-ημ)δ + (η/2)(ζ² + hσ²)",
            equal(value - eta / 2 * (2 * growth * value + excess), (1 - eta * growth) * value - eta / 2 * excess),
        ),
        Step("the bound is at least Δ at T = 0", at_least(in_rate.subs(horizon, 0) - gap, 0), (equal(kept, share),)),
        Step(
            "and, with r = 1 - ημ, what it is at T gives at most what it is at T + 1",
            at_least((following - kept * now - push).subs(kept, share), 0),
        ),
        Step(
            "for μ = Λ the quadratic attains the bias term: it stops where ‖∇f‖ = ζ",
            at_least((in_rate - in_rate.subs(bias, 0)).subs(kept, share) - eta * bias**2 / (2 * (1 - share)), 0),
        ),
    )
    return Derivation(at_most(VALUE, asserted), steps)
