"""X1: the composed theorem of mutual learning, from the sharp bound (C2) and what its peers may add to a gradient."""

from __future__ import annotations

from functools import cache
from typing import Any

from sympy import Abs, Symbol, sqrt

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import (
    AtMost,
    ForAll,
    Mean,
    Proof,
    Theorem,
    absolute,
    assume,
    combine,
    discharge,
    instantiate,
    root,
    specialise,
    square,
    sum_over,
)  # fmt: skip
from rdml_theory.symbolic.mutual.bias import jacobian
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.mutual.resting import tau
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.bounds import sharp_bound, sharp_target
from rdml_theory.symbolic.sgd.descent import SHARP, bias, eta, gap, h, horizon, noise
from rdml_theory.symbolic.sgd.setting import (
    AVERAGED,
    assumptions,
    at_most,
    b,
    exact,
    given,
    positive_room,
    t,
)

__all__ = ["ASSUMPTIONS", "COMPOSED", "PULLED", "composed_bound", "pull"]

Term = Any

pull: Formula = Symbol("V", nonnegative=True)
"""V: a bound of E‖q - w‖² over inputs, peers and chance, at every step."""

PULLED: Formula = SHARP.subs(bias, beta * jacobian * sqrt(pull))
"""The right side of A ≤ … with ζ² = β²G²V."""

COMPOSED: Formula = SHARP.subs(bias, sqrt(2) * beta * jacobian * tau)
"""The right side of A ≤ … with ζ = √2 βG tanh(αρ/4)."""

_PULLED = ForAll(t, AtMost(Mean(square(b)), beta**2 * jacobian**2 * pull))
_FAR = AtMost(pull, 2 * tau**2)

ASSUMPTIONS = (*assumptions(*AVERAGED, "h < 2"), _PULLED.text(), _FAR.text())
"""What the bound assumes, as text: C4a for the bias of each step, D7 for the pull."""


@of_formulas()
def composed_bound(right_side: Formula | None = None) -> Proof:
    """X1: ``A ≤ [ |1-h| ζ + √( ζ² + (2-h)(2Δ/(ηT) + hσ²) ) ] / (2-h)`` for 0 < h < 2 with ``ζ = √2 βG tanh(αρ/4)``.

    This toolkit's own, for every student of a cohort: the theorem of C2 with a bias whose mean square is at most β²G²V
    at every step (C4a), V ≤ 2 tanh²(αρ/4) (D7). With it the form for any V.

    Parameters
    ----------
    right_side : Expr, optional
        The asserted bound of A.

    Raises
    ------
    ProofError
        If the argument does not give what is asserted.

    Examples
    --------
    >>> proof = composed_bound()
    >>> proof.verify(), proof.axioms
    (True, ('Cauchy-Schwarz', 'descent lemma'))
    >>> composed_bound(COMPOSED.subs(tau, tau / 2))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: ... is not this combination: ...
    """
    asserted = COMPOSED if right_side is None else exact(right_side)
    far, general = _bounds()
    return Proof((combine(sharp_target(asserted), [(1, far)], reason="as asserted"), general))


@cache
def _bounds() -> tuple[Theorem, Theorem]:
    """The bound with ζ = √2 βGτ, and that with ζ = βG√V."""
    general = _with_bias_at_most(beta * jacobian * sqrt(pull))
    size = sqrt(2) * beta * jacobian * tau
    most = combine(
        AtMost(beta**2 * jacobian**2 * pull, size**2),
        [(beta**2 * jacobian**2, assume(_FAR, reason="given: D7"))],
        reason="so the bias is at most ζ = √2 βG tanh(αρ/4)",
    )
    return _increasing(general, most, beta * jacobian * sqrt(pull), size), general


def _with_bias_at_most(size: Term) -> Theorem:
    """C2 with ζ in place of Z, from ``E‖b_t‖² ≤ ζ²`` at every step."""
    each = specialise(assume(_PULLED, reason="given: C4a"), t, reason="at this step")
    mean = sum_over(each, t, horizon, reason="sum over the steps")
    squares = combine(
        AtMost(bias**2, size**2), [(1 / horizon, mean), (1, given("bias"))], reason="so Z² is at most this"
    )  # fmt: skip
    return _increasing(sharp_bound().theorems[0], squares, bias, size)


def _increasing(theorem: Theorem, squares: Theorem, small: Term, large: Term) -> Theorem:
    """The bound with a larger bias in its place, from ``small² ≤ large²``."""
    x, y, c = (Symbol(name, nonnegative=True) for name in ("x", "y", "c"))
    room = positive_room()
    given_less = assume(AtMost(x**2, y**2), reason="suppose")
    under = combine(AtMost(sqrt(x**2 + c) ** 2, y**2 + c), [(1, given_less)], reason="add what is not the bias")
    base = sqrt(x**2 + c)
    roots = combine(
        AtMost(base, sqrt(y**2 + c)),
        [(1, root(under, base, reason="take roots")), (1, absolute(base))],
        reason="a number is at most its absolute value",
    )
    rest = (2 - h) * (2 * gap / (eta * horizon) + h * noise**2)
    here = instantiate(roots, {x: small, y: large, c: rest}, known=[room], reason="for this")
    later = discharge(here, squares, reason="which is given")
    less = at_most(small, large, squares)
    return combine(
        sharp_target(SHARP.subs(bias, large)),
        [(1, theorem), (Abs(1 - h) / (2 - h), less), (1 / (2 - h), later)],
        known=[room],
        reason="the bound grows with the bias",
    )
