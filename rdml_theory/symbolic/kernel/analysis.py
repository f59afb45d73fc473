"""The rules of derivatives and limits, and of inequalities that come from a certificate."""

from __future__ import annotations

from sys import modules
from typing import Any

from sympy import Abs, Basic, Derivative, Eq, Ge, Gt, Integer, Le, Lt, Rational, Symbol, Tuple, cancel, oo

from rdml_theory.symbolic.certificates import Certificate, Chain, SmtScript
from rdml_theory.symbolic.kernel.forms import is_open, is_zero, require_near, require_value
from rdml_theory.symbolic.kernel.propositions import AtMost, Equal, Less, Proposition, Tends
from rdml_theory.symbolic.kernel.substitution import admit, by_equation, refuse_chance, refuse_free, replaced
from rdml_theory.symbolic.kernel.terms import Term, derivative, is_random, kind, symbol_kind
from rdml_theory.symbolic.kernel.theorem import (
    ProofError,
    Result,
    Theorem,
    all_hypotheses,
    all_sure,
    rule,
    told_signs,
)

__all__ = ["certified", "differentiate", "limit", "rising", "squeeze"]


def _is_open(part: Proposition, variable: Term) -> bool:
    """Whether a hypothesis that holds at a value of the variable holds near it: none that has to in every outcome."""
    chance = isinstance(part, Less) and (is_random(part.left) or is_random(part.right))
    return isinstance(part, Less) and not chance and is_open(told_signs([part])[0], variable)


@rule
def differentiate(theorem: Theorem, variable: Symbol) -> Result:
    """From ``a = b`` for every s, or where polynomials in s are positive, that their derivatives in s are equal."""
    refuse_free([h for h in theorem.hypotheses if not _is_open(h, variable)], variable)
    whole = theorem.conclusion
    if not isinstance(whole, Equal) or kind(whole.left) == "vector":
        raise ProofError(f"{whole.text()} is not an equality of scalars")
    for side in whole.terms():
        kind(Derivative(side, variable))
    return theorem.hypotheses, Equal(Derivative(whole.left, variable), derivative(whole.right, variable)), theorem.sure


@rule
def rising(theorem: Theorem, variable: Symbol, first: Term, last: Term) -> Result:
    """From ``0 ≤ ∂f/∂s`` for every s with ``a ≤ s ≤ b``, ``f(a) ≤ f(b)`` where ``a ≤ b``: the mean value theorem."""
    whole = theorem.conclusion
    slope: Any = whole.right if isinstance(whole, AtMost) and whole.left == 0 else None
    if not isinstance(slope, Derivative) or slope.variable_count != Tuple(Tuple(variable, 1)):
        raise ProofError(f"{whole.text()} does not say that a derivative in {variable} is not negative")
    refuse_free(theorem.hypotheses - {AtMost(first, variable), AtMost(variable, last)}, variable)
    if variable in first.free_symbols | last.free_symbols:
        raise ProofError(f"an end of the interval depends on {variable}")
    signs = told_signs(theorem.hypotheses)
    for end in (first, last):
        refuse_chance(theorem, end, variable)
        admit(variable, end, [fact for fact in signs if variable not in fact[0].free_symbols])
    rest = {h for h in theorem.hypotheses if variable not in h.free()} | {AtMost(first, last)}
    ends = (replaced(slope.expr, {variable: end}, {}) for end in (first, last))
    return rest, AtMost(*ends), theorem.sure


@rule
def limit(
    target: Tends, numerator: Term, power: Term, where: tuple[Theorem, ...] = (), known: tuple[Theorem, ...] = ()
) -> Result:
    """``f(x)/(x-a)ⁿ → f⁽ⁿ⁾(a)/n!`` as x → a, for an f that is analytic there and whose lower derivatives vanish at a.

    That they vanish, and what the limit is, may need equations, as in a combination.
    """
    if not isinstance(target, Tends) or target.point is oo:
        raise ProofError(f"{target.text()} is not a limit at a point")
    if not (isinstance(power, Integer) and power >= 0):
        raise ProofError(f"the power {power} is none of 0, 1, 2, ...")
    target.check()
    variable, point = target.variable, target.point
    hypotheses = all_hypotheses(*where, *known)
    refuse_free(hypotheses, variable)
    if kind(numerator) == "vector":
        raise ProofError(f"{numerator} is not a scalar")
    require_near(numerator, variable, point, told_signs(hypotheses, known), "the numerator", hole=False)
    if not is_zero(target.term * (variable - point) ** power - numerator):
        raise ProofError(f"{target.term} is not the numerator over a power of {variable - point}")
    slope, factorial = numerator, Integer(1)
    for order in range(int(power) + 1):
        left = replaced(slope, {variable: point}, {}) - (target.limit * factorial if order == power else 0)
        kind(left)
        for equation in where:
            left = by_equation(left, equation.conclusion)
        if not is_zero(left):
            raise ProofError(f"{target.text()}: the derivative of order {order} is another at the point")
        slope, factorial = derivative(slope, variable), factorial * (order + 1)
    return hypotheses, target, all_sure(*where, *known)


@rule
def squeeze(theorem: Theorem, target: Tends, start: Term) -> Result:
    """From ``|f - L| ≤ c/(x - b)`` for all x from some point on, ``f → L`` as x → ∞."""
    if not isinstance(target, Tends) or target.point is not oo:
        raise ProofError(f"{target.text()} is not a limit at ∞")
    target.check()
    whole, variable = theorem.conclusion, target.variable
    if not isinstance(whole, AtMost) or not is_zero(whole.left - Abs(target.term - target.limit)):
        raise ProofError(f"{whole.text()} does not bound the distance of {target.term} from {target.limit}")
    rest = {
        h
        for h in theorem.hypotheses
        if not (isinstance(h, AtMost | Less) and h.right == variable and variable not in h.left.free_symbols)
        or is_random(h.left)  # no number need be above it in every outcome
    }
    refuse_free(rest, variable)
    require_value(start, told_signs(rest), "the start")
    distance = variable - start
    if variable in start.free_symbols or variable in cancel(whole.right * distance).free_symbols:
        raise ProofError(f"{whole.right} is not constant over {distance}")
    return rest, target, theorem.sure


@rule
def certified(certificate: Certificate) -> Result:
    """An inequality of a few numbers on a domain, which becomes the hypotheses, from a certificate, checked here."""
    if not _is_certificate(certificate) or certificate.check() is not True:
        raise ProofError(f"{certificate!r} is not a certificate, or its check fails")
    domain = certificate.domain
    hypotheses = {_of_sympy(condition) for condition in domain.conditions}
    for symbol, interval in domain.intervals:
        name = symbol_kind(symbol)
        least = {"real": -oo, "counting": 1}.get(name, 0)
        implied = interval.start == least and (name in ("real", "positive") or not interval.left_open)
        if not implied:
            hypotheses.add((Less if interval.left_open else AtMost)(interval.start, symbol))
        if interval.end != oo:
            hypotheses.add((Less if interval.right_open else AtMost)(symbol, interval.end))
    return hypotheses, _of_sympy(certificate.relation), True


def _is_certificate(value: Any) -> bool:
    evidence = getattr(value, "evidence", None)
    return type(value) is Certificate and type(evidence) in (Chain, SmtScript) and _is_plain(value)


def _is_plain(value: Any) -> bool:
    """Whether all of a value is of classes of Python, SymPy or the certificates, and of none that derive from them."""
    if isinstance(value, Rational):
        return kind(value) != "vector"
    if type(value) is tuple:
        return all(map(_is_plain, value))
    kept = type(value).__module__.startswith(("sympy.", "rdml_theory.symbolic.certificates."))
    if not kept or getattr(modules.get(type(value).__module__), type(value).__qualname__, None) is not type(value):
        return type(value) in (str, int, bool, type(None))
    return all(map(_is_plain, value.args if isinstance(value, Basic) else vars(value).values()))


def _of_sympy(relation: Any) -> Proposition:
    """A relation of SymPy as a proposition."""
    for meant, ascending in ((AtMost, True), (Less, True), (AtMost, False), (Less, False), (Equal, True)):
        if type(relation) is _SYMPY[meant, ascending]:
            return meant(*(relation.args if ascending else reversed(relation.args)))
    raise ProofError(f"{relation} is not a relation of numbers")


_SYMPY = {(AtMost, True): Le, (Less, True): Lt, (AtMost, False): Ge, (Less, False): Gt, (Equal, True): Eq}
