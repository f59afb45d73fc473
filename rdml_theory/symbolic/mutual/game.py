"""C7: the game of mutual learning, and when its joint update is the gradient of one function, a potential.

u and z are the logits of two students, p and q their distributions over C classes. The second student's own loss is
``D_α(p‖q)``, the first's ``D_α(q‖p)``: each is the second argument of its own.
"""

from __future__ import annotations

from sympy import Rational, Sum, Symbol, exp, log

from rdml_theory.symbolic.divergence.gradients import SHIFT
from rdml_theory.symbolic.elementary import exponential
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.mutual import smooth_potential as smooth
from rdml_theory.symbolic.notation import C, Formula, alpha, i
from rdml_theory.symbolic.sgd.setting import exact

__all__ = [
    "ASSUMPTIONS", "CURVATURES", "DUAL_WEIGHTS", "ORDER", "WITHOUT_BIAS", "divergence", "dual_target", "own",
    "peer", "potential", "potential_target",
]  # fmt: skip

ORDER: Formula = Rational(1, 2)
"""The order at which there is a potential, for every number of classes."""

DUAL_WEIGHTS: tuple[Formula, Formula] = (1 - alpha, alpha)
"""The weights of D_α(p‖q) and D_{1-α}(q‖p) in the losses of two students that descend one function."""

_u, _z, _v = (Entry(name, i) for name in "uzv")
_BELOW_ONE = Less(alpha, 1)

ASSUMPTIONS = (Equal(alpha, ORDER).text(), _BELOW_ONE.text())
"""What the symmetry assumes, as text."""

CURVATURES = smooth.CURVATURES
"""The least and the greatest second derivative of Φ along a direction V, over ‖V‖²."""

WITHOUT_BIAS = smooth.WITHOUT_BIAS
"""What the root mean square of ‖∇Φ‖ is at most, with h = (1+β)Λη."""


def divergence(order: Formula, first: Formula, second: Formula, count: Formula = C) -> Formula:
    """``D_α`` of the softmax of the first logits from that of the second, entries of class i.

    >>> divergence(2, Entry("u", i), Entry("z", i), 1)
    log(Sum(exp(2*u_i - z_i), (i, 1, 1))) - 2*log(Sum(exp(u_i), (i, 1, 1))) + log(Sum(exp(z_i), (i, 1, 1)))
    """

    def total(logits: Formula) -> Formula:
        return log(Sum(exp(logits), (i, 1, count)))

    return (total(order * first + (1 - order) * second) - order * total(first) - (1 - order) * total(second)) / (
        order - 1
    )


def potential_target() -> Equal:
    """``D_α(q‖p) = D_α(p‖q)``: both students descend one function.

    >>> print(potential_target().text()[:60])
    (log(Σ_{i ≤ C} exp(α·z_i + (1 - α)·u_i)) - α·log(Σ_{i ≤ C} e
    """
    return Equal(divergence(alpha, _z, _u), divergence(alpha, _u, _z))


def dual_target(weights: tuple[Formula, Formula] = DUAL_WEIGHTS) -> Equal:
    """``(1-α) D_α(p‖q) = α D_{1-α}(q‖p)``.

    >>> len(dual_target().text()) > 0
    True
    """
    first, second = weights
    return Equal(first * divergence(alpha, _u, _z), second * divergence(1 - alpha, _z, _u))


def _symmetric(order: Formula) -> Theorem:
    """Both divergences are one where α is the order."""
    named = assume(Equal(alpha, order), reason="given: the order")
    below = combine(_BELOW_ONE, [(1, named)], slack=1 - order, reason="which is below one")
    return combine(
        potential_target(), [], known=[below, assume(_BELOW_ONE, reason="given")], where=[named],
        reason="the same function of the logits",
    )  # fmt: skip


def _same_update(order: Formula) -> Theorem:
    """Along every direction v, what the second student descends changes as the one function does."""
    there = _z + SHIFT * _v
    both = identity(
        Equal(divergence(order, there, _u), divergence(order, _u, there)), reason="the same, for moved logits too"
    )
    return differentiate(both, SHIFT, reason="so the update is the gradient of the one function")


peer, own = Symbol("r", real=True), Symbol("d", real=True)
"""The log-odds of two students of two classes."""


def _pull(of: Formula, towards: Formula) -> Formula:
    """The first entry of q - w, which a student of two classes follows (D1), for log-odds of it and of its peer."""
    return _odds(of) - _odds(alpha * towards + (1 - alpha) * of)


def _odds(logit: Formula) -> Formula:
    return exp(logit) / (1 + exp(logit))


_APART, _ABOVE = Less(peer, own), Less(0, peer + own)


def _more_than_one(log_ratio: Formula, known: tuple[Theorem, ...]) -> Theorem:
    """``1 < exp(x)`` for a positive x."""
    size = Symbol("w", positive=True)
    more = combine(Less(1, exp(size)), [(1, exponential(size))], slack=size, reason="so it exceeds 1")
    return instantiate(more, {size: log_ratio}, known=known, reason="here")


def _asymmetric(above: bool) -> Theorem:
    """For α > ½, or below it: the cross derivatives of two students' pulls differ, for two classes and d > r > -d."""
    order = Less(ORDER, alpha) if above else Less(alpha, ORDER)
    apart, plus = (assume(told, reason="given: log-odds") for told in (_APART, _ABOVE))
    side = assume(order, reason="given: the order")
    ratio = ((2 * alpha - 1) if above else (1 - 2 * alpha)) * (own - peer)
    grown, product = _more_than_one(ratio, (apart, side)), _more_than_one(own + peer, (plus,))
    # exp of the log-odds of both escorts; one is exp(ratio) times the other.
    least = exp(alpha * peer + (1 - alpha) * own) if above else exp(alpha * own + (1 - alpha) * peer)
    most = least * exp(ratio)
    pulls = (_pull(own, peer), _pull(peer, own))
    slopes = [
        differentiate(identity(Equal(pull, pull)), variable, reason="how the pull changes with the peer's log-odds")
        for pull, variable in zip(pulls, (peer, own), strict=True)
    ]
    first, second = slopes if above else slopes[::-1]
    excess = alpha * least * (exp(ratio) - 1) * (exp(own + peer) - 1) / ((1 + most) ** 2 * (1 + least) ** 2)
    return combine(
        Less(first.conclusion.terms()[0], second.conclusion.terms()[0]),
        [(1, first), (-1, second)],
        slack=excess,
        known=[grown, product],
        reason="so the Jacobian of the joint update is not symmetric",
    )


def potential(
    order: Formula = ORDER, weights: tuple[Formula, Formula] = DUAL_WEIGHTS,
    curvatures: tuple[Formula, Formula] = CURVATURES, bound: Formula = WITHOUT_BIAS,
) -> Proof:  # fmt: skip
    """C7: ``D_½(p‖q) = D_½(q‖p)``, so that the joint update is the gradient of ΣL + β/(K-1) Σ D_½ of all pairs.

    For any number of classes. For every other order α > 0 the Jacobian of the joint update is not symmetric, shown for
    two classes; two students with orders α and 1-α and weights in the ratio (1-α) : α share a potential. For linear
    softmax students of Λ-smooth base losses the second derivative of Φ along a direction V of all weights is between
    -βΛ‖V‖² and (1+β)Λ‖V‖², so that Φ lies between quadratics of these curvatures, and the sharp bound (C2) holds for Φ
    with h = (1+β)Λη and without bias.

    Parameters
    ----------
    order : Expr, optional
        The order for which symmetry is asserted.
    weights : tuple of Expr, optional
        The asserted weights of D_α(p‖q) and D_{1-α}(q‖p), functions of α.
    curvatures : tuple of Expr, optional
        The asserted least and greatest second derivative of Φ, over ‖V‖².
    bound : Expr, optional
        The asserted bound of the root mean square of ‖∇Φ‖.

    Raises
    ------
    ProofError
        If the argument does not give what is asserted.

    Examples
    --------
    >>> potential().axioms
    ('Cauchy-Schwarz',)
    >>> potential(Rational(1, 3))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: ... is not this combination: ...
    """
    at = exact(order)
    below = assume(_BELOW_ONE, reason="given")
    dual = combine(dual_target(weights), [], known=[below], reason="the same function of the logits")
    curved = smooth.smooth_potential(curvatures, exact(bound))
    return Proof((_symmetric(at), _same_update(at), dual, _asymmetric(above=True), _asymmetric(above=False), *curved))
