"""G3 and G4: how far a peer can pull at a fixed product αβ, and which order leaves near peers their pull."""

from __future__ import annotations

from functools import cache

from sympy import Integer, Max, Symbol, exp, sqrt, tanh

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.certificates import calculus, smt
from rdml_theory.symbolic.divergence.entries import *
from rdml_theory.symbolic.divergence.lemmas import in_exponentials, tangent, theta
from rdml_theory.symbolic.divergence.names import rho
from rdml_theory.symbolic.divergence.tilt import ASSUMPTIONS, RANGE, attained_square, bounded_gradient
from rdml_theory.symbolic.elementary import tanh_at_least, tanh_at_most
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.mutual.gain import HYPOTHESES as GAIN_HYPOTHESES
from rdml_theory.symbolic.mutual.gain import gain_law, lone, students
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import C, Formula, alpha, i, j, k
from rdml_theory.symbolic.relations import at_least, at_most

__all__ = [
    "INFLUENCE", "INFLUENCE_ASSUMPTIONS", "KEPT", "PRODUCT", "RECIPE_ASSUMPTIONS", "increase", "influence",
    "influence_target", "product", "reach", "recipe", "recipe_target", "wanted",
]  # fmt: skip

product: Formula = Symbol("c", positive=True)
"""c = αβ."""

increase: Formula = Symbol("delta", positive=True)
"""By how much an order is larger than another."""


INFLUENCE: Formula = sqrt(2) * product * tanh(alpha * rho / 4) / alpha
"""What the pull of a peer is at most at αβ = c."""

_PRODUCT = Equal(product, alpha * beta)

INFLUENCE_ASSUMPTIONS = (*ASSUMPTIONS, _PRODUCT.text())
"""What the bound of the pull assumes, as text."""


def influence_target(right_side: Formula = INFLUENCE) -> AtMost:
    """``β‖q - w‖₂ ≤`` the right side.

    >>> print(influence_target().text())
    β·√(Σ_{i ≤ C} (q_i - w_i)²) ≤ √(2)·c·tanh(α·ρ/4)/α
    """
    return AtMost(beta * sqrt(total((q(i) - w(i)) ** 2)), right_side)


@cache
def _bounded() -> Theorem:
    """D7."""
    return bounded_gradient().theorems[0]


@cache
def _falls() -> Theorem:
    """``x tanh(x + t) < (x + t) tanh x`` for positive x and t: tanh(x)/x falls."""
    x, t, free = (Symbol(name, positive=True) for name in ("x", "t", "y"))
    slope = certified(calculus(at_most(free * (1 - tanh(free) ** 2), tanh(free))), reason="the slope of tanh falls")
    first, second = tanh(x), tanh(t)
    over = 1 / (1 + first * second)
    return combine(
        Less(x * tanh(x + t), (x + t) * first),
        [
            (over * second, instantiate(slope, {free: x}, reason="at x")),
            (over * first, tanh_at_most(t)),
        ],
        slack=over * t * first**2 * second,
        reason="tanh(x + t) is (tanh x + tanh t)/(1 + tanh x tanh t)",
    )


def _shape(asserted: Formula) -> tuple[Theorem, ...]:
    """What is asserted falls in the order; its slope at consensus is √2 c/4; far peers pull with √2 c/α at most."""
    far = given(Less(0, rho), "given: the students differ")
    values = {Symbol("x", positive=True): alpha * rho / 4, Symbol("t", positive=True): increase * rho / 4}
    ratio = instantiate(_falls(), values, known=[far], reason="for αρ/4 and δρ/4")
    later = asserted.xreplace({alpha: alpha + increase})
    line, scale, size = sqrt(2) * product * rho / 4, sqrt(2) * product / alpha, alpha * rho / 4
    return (
        combine(
            Less(later, asserted), [(4 * scale / (rho * (alpha + increase)), ratio)],
            reason="so the bound falls strictly in the order",
        ),
        combine(
            AtMost(asserted, line), [(scale, tanh_at_most(size))],
            reason="it lies below a line that is that of every order",
        ),
        combine(
            AtMost(line * (1 - size**2 / 3), asserted), [(scale, tanh_at_least(size))],
            reason="which it meets at consensus",
        ),
        combine(
            Less(asserted, scale), [], slack=2 * scale / (exp(alpha * rho / 2) + 1),
            reason="and for far peers it stays below √2 c/α, as tanh is below one",
        ),
    )  # fmt: skip


@of_formulas()
def influence(right_side: Formula = INFLUENCE) -> Proof:
    """G3: ``β‖q - w‖₂ ≤ √2 c tanh(αρ/4)/α`` at αβ = c, attained by two classes.

    This toolkit's own, on D7. The next theorems say that the bound falls strictly in α; that it lies between
    ``(√2 cρ/4)(1 - (αρ/4)²/3)`` and ``√2 cρ/4``, so that its slope at ρ = 0 is √2 c/4 for every α; and that it stays
    below ``√2 c/α``: the order is the knee of a bounded influence function, at ρ ≈ 4/α.

    Examples
    --------
    >>> influence().verify()
    True
    """
    told = given(_PRODUCT, "given: the product of order and weight")
    slope = tanh(alpha * rho / 4)
    pull = combine(
        influence_target(right_side), [(beta, _bounded()), (-sqrt(2) * slope / alpha, told)],
        reason="times β = c/α",
    )  # fmt: skip
    square = attained_square()
    attained = combine(
        Equal(beta**2 * square.conclusion.terms()[0], right_side**2),
        [(beta**2, square), (-2 * slope**2 / alpha**2 * (product + alpha * beta), told)],
        reason="which two classes attain",
    )
    return Proof((pull, attained, *_shape(right_side)))


# ---------------------------------------------------------------------------------------------------------------------
# What near peers keep

wanted: Formula = Symbol("g", positive=True)
"""g: the excess risk that is wanted, over that of a student alone; more than 1/K and at most 1."""

PRODUCT: Formula = (1 - 1 / students) * (sqrt((1 - 1 / students) / (wanted - 1 / students)) - 1)
"""αβ, for which the gain law gives g."""

reach: Formula = Symbol("x", positive=True)
"""x = αρ̂, ρ̂ the greatest range of log-ratios between good students."""

KEPT: Formula = (1 - exp(-reach)) / reach
"""The least part of the linear pull that a peer within ρ̂ keeps."""

RECIPE_ASSUMPTIONS = (*(told.text() for told in (sums_to_one(q), is_escort(), RANGE)), Less(0, rho).text())
"""What the bound of the pull from below assumes, as text."""

_rate: Term = Symbol("lambda", nonnegative=True)


def _apart(rate: Term, first: tuple[Term, Term], second: tuple[Term, Term]) -> AtMost:
    """``λ (v_i - v_j)² max(b_i, b_j) ≤ (v_i - v_j)(b_i - b_j)``."""
    (x, f), (y, g) = first, second
    return AtMost(rate * (x - y) ** 2 * Max(f, g), (x - y) * (f - g))


_RISING = ForAll(i, ForAll(j, _apart(_rate, (v(i), b(i)), (v(j), b(j)))))


def _mean(theorem: Theorem, *indices: Term) -> Theorem:
    """The mean over the classes, index by index."""
    for index in indices:
        left, right = (a(index) * side for side in theorem.conclusion.terms())
        share = combine(AtMost(left, right), [(a(index), theorem)], reason="times the share")
        theorem = sum_over(share, index, C, reason="summed over the classes")
    return theorem


@cache
def _covariance() -> Theorem:
    """``λ Σab Var_a(v) ≤ Σ avb - Σav Σab``, where b rises at least so fast with v, relative to itself.

    Of any three classes the three variances of two, weighted by how much the greater b of the two exceeds that of the
    third, add up to what is not negative: the two with the greatest b outweigh the others.

    >>> print(_covariance().conclusion.text()[:40])
    λ·(Σ_{i ≤ C} (a_i·v_i²) - (Σ_{i ≤ C} (a_
    """
    x, y, z = (Symbol(name, real=True) for name in "xyz")
    f, g, h = (Symbol(name, positive=True) for name in "fgh")
    told = [at_least((x - y) * (f - g), 0), at_least((x - z) * (f - h), 0), at_least((y - z) * (g - h), 0)]
    three = (x - y) ** 2 * (Max(f, g) - h) + (x - z) ** 2 * (Max(f, h) - g) + (y - z) ** 2 * (Max(g, h) - f)
    scalar = certified(smt(at_least(three, 0), conditions=tuple(told)), reason="of three classes in any order")
    here = instantiate(scalar, {x: v(i), y: v(j), z: v(k), f: b(i), g: b(j), h: b(k)}, reason="at three classes")
    pair = at_classes(_RISING, i, j, "given: how b rises with v")
    left, right = pair.conclusion.terms()
    rise = combine(AtMost(0, right), [(1, pair)], slack=left, reason="so they rise together")
    rises = (rise, *(instantiate(rise, places, reason="at these") for places in ({j: k}, {i: j, j: k})))
    triples, pairs = _mean(discharged(here, *rises), k, j, i), _mean(pair, j, i)
    mean, level = total(a(i) * v(i)), total(a(i) * b(i))
    variance = total(a(i) * v(i) ** 2) - mean**2
    return combine(
        AtMost(_rate * variance * level, total(a(i) * v(i) * b(i)) - mean * level),
        [(Integer(1) / 2, pairs), (_rate / 6, triples)], where=[mass(a)], reason="the mean of b comes out of the three",
    )  # fmt: skip


_RATE = (1 - exp(-alpha * rho)) / rho


def _lifted(index: Term) -> Term:
    """``(p/q)^α``."""
    return (p(index) / q(index)) ** alpha


def _rising(far: Theorem, rate: Theorem) -> Theorem:
    """How (p/q)^α rises with log(p/q): ``1 - exp(-αd)`` is concave in a distance d, which is at most ρ."""
    x, size = Symbol("x", positive=True), Symbol("r", nonnegative=True)
    f, g = Symbol("f", positive=True), Symbol("g", positive=True)
    above = given(AtMost(log_ratio(j), log_ratio(i)), "suppose")
    distance = log_ratio(i) - log_ratio(j)
    within = combine(
        AtMost(distance / rho, 1), [(1 / rho, at_classes(RANGE, i, j, "given: the range of the log-ratio"))],
        known=[far], reason="it is at most ρ",
    )  # fmt: skip
    chord = instantiate(
        tangent(above=False), {x: exp(-alpha * rho), theta: distance / rho}, known=[far, above], reason="on a chord"
    )
    rises = combine(
        AtMost(_RATE * distance * _lifted(i), _lifted(i) - _lifted(j)),
        [(_lifted(i), discharged(chord, within))], reason="times (p_i/q_i)^α",
    )  # fmt: skip
    conditions = (at_most(_rate * size * f, f - g),)
    relation = at_most(_rate * size**2 * Max(f, g), size * (f - g))
    most = certified(smt(relation, conditions=conditions), reason="the greater is the first")
    values = {_rate: _RATE, size: distance, f: _lifted(i), g: _lifted(j)}
    one = discharged(instantiate(most, values, known=[far, rate, above], reason="of these two"), rises)
    target = _apart(_RATE, *((log_ratio(index), _lifted(index)) for index in (i, j)))
    first = combine(target, [(1, one)], reason="so it rises this much")
    swapped = instantiate(first, {i: j, j: i}, reason="the classes exchanged")
    second = combine(target, [(1, swapped)], reason="which says the same")
    return everywhere(cases(first, second, log_ratio(j), log_ratio(i), reason="in either order"), j, i)


@cache
def _near() -> Theorem:
    """How the pull grows with the variance of the log-ratio, times ``Σ p^α q^(1-α)``."""
    far = given(Less(0, rho), "given: the students differ")
    shrinks = in_exponentials(nonnegative(alpha * rho, reason="not negative"))
    rate = combine(AtMost(0, _RATE), [(1 / rho, shrinks)], known=[far], reason="nor is this rate")
    values = {a(i): q(i), v(i): log_ratio(i), b(i): _lifted(i), _rate: _RATE}
    here = instantiate(_covariance(), values, known=[far, rate], reason="of the log-ratio and its exponential")
    return discharged(here, _rising(far, rate))


def recipe_target(kept: Formula = KEPT) -> AtMost:
    """The part of the linear pull ``α Var_q(t)`` that is kept ``≤ Σ t(w - q)``, for t = log(p/q) and x = αρ.

    >>> print(recipe_target(Integer(1) - reach / 2).right)
    Sum((-q_i + w_i)*log(p_i/q_i), (i, 1, C))
    """
    variance = total(q(i) * log_ratio(i) ** 2) - total(q(i) * log_ratio(i)) ** 2
    return AtMost(kept.xreplace({reach: alpha * rho}) * alpha * variance, total(log_ratio(i) * (w(i) - q(i))))


@of_formulas()
def recipe(kept: Formula = KEPT, wanted_product: Formula = PRODUCT) -> Proof:
    """G4: ``<t, w - q> ≥ α Var_q(t) (1 - exp(-x))/x`` for pairs within ρ, x = αρ; and αβ for a wanted gain.

    This toolkit's own: how much of its linear pull a peer keeps, whatever the number of classes; the second theorem
    says that it is at least 1 - x/2. With the cap ``√2 c/α`` of far peers (G3) it says what an order costs and gains.
    The third, by the gain law (G1), is the excess risk at the product that is chosen. ``kept`` is the part in x, and
    ``wanted_product`` is αβ in g and K.

    Examples
    --------
    >>> recipe().verify()
    True
    """
    pull = combine(
        recipe_target(kept), [(1 / power_mean(), _near())], where=[escort(), mass(q)], reason="over Σ p^α q^(1-α)",
    )  # fmt: skip
    little = certified(calculus(at_most(1 - reach / 2, kept)), reason="of near peers little is lost")
    return Proof((pull, little, _gained(wanted_product)))


def _gained(chosen: Formula) -> Theorem:
    """The excess risk at a product αβ is g times that of a student alone."""
    law = gain_law().theorems[0]
    excess, own = law.conclusion.terms()[0], students - 1
    several = given(GAIN_HYPOTHESES["several"])
    told = given(Less(1 / students, wanted), "given: no more than the ensemble gains")
    known = [several, told]
    shrunk, root = 1 + alpha * beta * students / own, sqrt((1 - 1 / students) / (wanted - 1 / students))
    at = given(Equal(alpha * beta, chosen), "given: the product", tuple(known))
    same = combine(Equal(shrunk, root), [(students / own, at)], reason="so deviations shrink by this")
    x, y = Symbol("x", positive=True), Symbol("y", positive=True)
    squares = combine(Equal(x**-2, y**-2), [(-(x + y) / (x**2 * y**2), given(Equal(x, y), "suppose"))])
    alike = discharge(instantiate(squares, {x: shrunk, y: root}, known=known, reason="of the two"), same)
    return combine(
        Equal(excess, wanted * lone),
        [(1, law), (lone * (1 - 1 / students), alike)], reason="by the gain law",
    )  # fmt: skip
