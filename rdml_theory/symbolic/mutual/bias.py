"""What mutual learning adds to a student's gradient: bounds of the bias."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sympy import Integer, Max, Min, Symbol, log, tanh

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.certificates import smt
from rdml_theory.symbolic.divergence.entries import *
from rdml_theory.symbolic.divergence.names import rho
from rdml_theory.symbolic.divergence.self_bound import bounded_by_divergence, distance_bound, distance_bound_at_one
from rdml_theory.symbolic.divergence.tilt import attained_square, bounded_square
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.mutual import gram
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import C, Formula, Named, alpha, i, j, l
from rdml_theory.symbolic.relations import at_most

__all__ = ["A_PRIORI", "MEAN_DIVERGENCE", "OBSERVABLE", "SCALE", "jacobian", "mutual_bias"]

jacobian: Formula = Symbol("G", positive=True)
"""G: the root of what bounds the mean Gram matrix."""

MEAN_DIVERGENCE = Named("D̄_α", r"\bar D_\alpha")
"""The mean divergence of a student from its peers, over the inputs."""

A_PRIORI: Formula = 2 * tanh(alpha * rho / 4) ** 2
"""What ‖q - w‖² is at most, known beforehand."""

OBSERVABLE: Formula = Max(1, alpha) * MEAN_DIVERGENCE
"""What E‖q - w‖² is at most, observable while training."""

SCALE: Formula = beta**2 * jacobian**2
"""What both are multiplied by."""


def _random(family: Any) -> Any:
    """A family of a random input and peer."""
    return lambda index: Entry(family(index).name, index, positive=True, random=True)


_p, _q, _w = map(_random, (p, q, w))
_square: Term = total((_q(i) - _w(i)) ** 2)
_ENTRIES = Equal(square(gram.q - gram.w), _square)


def _of_an_input(theorem: Theorem, values: Any = None, known: Sequence[Theorem] = ()) -> Theorem:
    """A theorem of two distributions and their escort, of those of a random input and peer."""
    families = {family(i): _random(family)(i) for family in (p, q, w)}
    return instantiate(theorem, {**families, **(values or {})}, known=known, reason="of each input and peer")


def _divergence(at_one: bool) -> Term:
    """The divergence of a random input and peer."""
    formula: Any = (KULLBACK_LEIBLER if at_one else RENYI).right
    return formula.replace(lambda e: isinstance(e, Entry), lambda e: Entry(e.name, e.index, positive=True, random=True))


_rho = Value("ρ", Random("x"))
"""What bounds the range of the log-ratio at an input x."""


_ratio = log(_p(i) / _q(i)) - log(_p(j) / _q(j))
_RANGE = ForAll(i, ForAll(j, AtMost(_ratio, _rho)))


def _averaged(formula: Formula) -> Term:
    """The mean over the inputs of a form in ρ."""
    return Mean(formula.xreplace({rho: _rho}))


@cache
def _a_priori() -> Theorem:
    """``E Σ (q-w)² ≤ 2 E tanh²(αρ(x)/4)``."""
    same = at_classes(_RANGE, l, l, "given: the range of the log-ratio at an input")
    bound = expectation(_of_an_input(bounded_square(), {rho: _rho}, [same]), reason="take expectations")
    return combine(AtMost(Mean(_square), _averaged(A_PRIORI)), [(1, bound)], reason="on average")


@cache
def _a_priori_at_most() -> Theorem:
    """``E Σ (q-w)² ≤ 2 tanh²(αρ/4)``, for a ρ that bounds the range at every input."""
    bound = expectation(_of_an_input(bounded_square()), reason="take expectations")
    return combine(AtMost(Mean(_square), A_PRIORI), [(1, bound)], reason="on average")


@cache
def _observable(at_one: bool) -> Theorem:
    """``E Σ (q-w)² ≤ max(1, α) E D``."""
    value = _divergence(at_one)
    bound = bounded_by_divergence(distance_bound_at_one() if at_one else distance_bound())
    known = [] if at_one else [given(NOT_ONE, "for an order that is not one")]
    here = _of_an_input(bound, {D: value}, known)
    same = combine(Equal(value, value), [], known=known, reason="by its definition")
    mean = given(Equal(D, Mean(value)), "given: the mean divergence", tuple(known))
    return combine(
        AtMost(Mean(_square), OBSERVABLE.xreplace({MEAN_DIVERGENCE: D})),
        [(1, expectation(discharge(here, same), reason="take expectations")), (-Max(1, alpha), mean)],
        reason="on average",
    )


ASSUMPTIONS = (
    gram.ASSUMPTIONS[0],
    gram.mean_gram(jacobian**2).text(),
    Finite().text(),
    *(told.text() for told in (_ENTRIES, sums_to_one(p), sums_to_one(q), is_escort(), _RANGE)),
    Equal(D, Mean(_divergence(False))).text(),
    NOT_ONE.text(),
    f"at {ORDER_ONE.text()}, {Equal(D, Mean(_divergence(True))).text()}",
)
"""What the bound assumes, as text."""


def mutual_bias_target(
    a_priori: Formula = A_PRIORI, observable: Formula = OBSERVABLE, scale: Formula = SCALE
) -> AtMost:
    """``‖β∇R‖² ≤`` the scale times the smaller of both forms.

    >>> print(mutual_bias_target().text())
    β²·‖∇R(θ)‖² ≤ G²·β²·min(D·max(1, α), E[2·tanh(α·ρ(x)/4)²])
    """
    observed = observable.xreplace({MEAN_DIVERGENCE: D})
    return AtMost(beta**2 * square(gram.gradient), scale * Min(_averaged(a_priori), observed))


@of_formulas()
def mutual_bias(a_priori: Formula = A_PRIORI, observable: Formula = OBSERVABLE, scale: Formula = SCALE) -> Proof:
    """C4: ``‖β∇R‖² ≤ β²G² min{ 2 E tanh²(αρ/4), max(1,α) D̄_α }``, from C4a, D7 and D8.

    G² bounds the mean Gram matrix E JᵀJ of the logits' Jacobian, ρ(x) the range of log(p/q) at an input and peer. The
    second theorem is that of order one. The third is the first form at a ρ that bounds all ranges, of every order; the
    last says that it is attained.

    Examples
    --------
    >>> mutual_bias().axioms
    ()
    """
    target = mutual_bias_target(a_priori, observable, scale)
    forms = (_averaged(A_PRIORI), OBSERVABLE.xreplace({MEAN_DIVERGENCE: D}))
    scaled = SCALE
    x, y, z = (Symbol(name, real=True) for name in "xyz")
    least = certified(
        smt(at_most(x, Min(y, z)), conditions=(at_most(x, y), at_most(x, z))), reason="the smaller of two bounds is one"
    )
    entries = expectation(given(_ENTRIES, "given: the entries of q - w"), reason="take expectations")
    pulled = instantiate(gram.gram_bound().theorems[0], {gram.gram: jacobian**2}, reason="with γ = G²")

    def by_way_of(asserted: AtMost, mean: Theorem) -> Theorem:
        parts = [(beta**2, pulled), (scaled, entries), (scaled, mean)]
        return combine(asserted, parts, reason="by way of the mean Gram matrix")

    def bound(at_one: bool) -> Theorem:
        here = instantiate(least, {x: Mean(_square), y: forms[0], z: forms[1]}, reason="of both forms")
        return by_way_of(target, discharged(here, _a_priori(), _observable(at_one)))

    right = scale * a_priori
    constant = by_way_of(AtMost(target.left, right), _a_priori_at_most())
    return Proof((bound(False), bound(True), constant, _attained(target.left, right)))


def _attained(left: Term, right: Term) -> Theorem:
    """Equality with the first form, for J = G, the same pull on every input, and the two classes that attain D7."""
    pulled = instantiate(gram.gram_bound().theorems[1], {gram.gram: jacobian**2}, reason="with γ = G²")
    two = given(Equal(square(gram.q - gram.w), _square.xreplace({C: Integer(2)})), "given: the entries of q - w")
    worst = expectation(_of_an_input(attained_square()), reason="take expectations")
    scaled = SCALE
    return combine(
        Equal(left, right),
        [(beta**2, pulled), (scaled, expectation(two, reason="take expectations")), (scaled, worst)],
        reason="with these the first form is attained",
    )
