"""The divergence as a function of its order: nondecreasing, skew symmetric, a minimum over distributions."""

from __future__ import annotations

from typing import NamedTuple

from sympy import Derivative, IndexedBase, Integer, Sum, Symbol, Tuple, log

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.certificates import calculus, certified
from rdml_theory.symbolic.engine.derivation import Derivation, Premise, Step
from rdml_theory.symbolic.expression import RenyiDivergence, divergence
from rdml_theory.symbolic.notation import (
    ESCORT,
    STANDARD,
    STUDENT,
    TEACHER,
    C,
    Formula,
    alpha,
    i,
    k,
    l,
    p,
    q,
    softmax_of,
    w,
)  # fmt: skip
from rdml_theory.symbolic.relations import at_least, at_most, equal

__all__ = ["ORDER", "Order", "order_theorem", "v"]

v: Formula = IndexedBase("v", positive=True)
"""Any distribution, ``v = softmax(y)``."""

_y: Formula = IndexedBase("y", real=True)
_ANY = equal(v[k], softmax_of(_y, k, l))


def relative_entropy(first: Formula, second: Formula) -> Formula:
    """KL of two families, Σ a log(a/b)."""
    return Sum(first[i] * log(first[i] / second[i]), (i, 1, C))


_SKEWED = RenyiDivergence(q[i], p[i], 1 - alpha, (i, 1, C))


class Order(NamedTuple):
    """Right sides: of ∂D/∂α, of (1-α) D_α(p‖q) by its mirror image, and of the mixture αKL(v‖p) + (1-α)KL(v‖q)."""

    slope: Formula
    skew: Formula
    mixture: Formula


ORDER = Order(
    slope=relative_entropy(w, p) / (1 - alpha) ** 2,
    skew=alpha * _SKEWED,
    mixture=relative_entropy(v, w) + (1 - alpha) * divergence,
)
"""The right sides that hold."""


@of_formulas(Order, 3)
def order_theorem(right_sides: Order | None = None) -> Derivation:
    """The slope in the order and its sign, skew symmetry, and the variational form as an identity with its remainder.

    ``∂D_α/∂α = KL(w‖p)/(1-α)² ≥ 0``; ``(1-α) D_α(p‖q) = α D_{1-α}(q‖p)``; and for every distribution v
    ``α KL(v‖p) + (1-α) KL(v‖q) = KL(v‖w) + (1-α) D_α(p‖q)``. As KL(v‖w) ≥ 0, with equality at v = w,
    ``(1-α) D_α(p‖q)`` is the minimum of the left side, attained at the escort.

    Parameters
    ----------
    right_sides : Order, optional
        What is asserted; a false one is disproved.

    Notes
    -----
    That a relative entropy is not negative is itself a step: Σ a log(a/b) = Σ b φ(a/b) for distributions, with
    φ(x) = x log x - x + 1, and φ ≥ 0 by calculus. Van Erven & Harremoës 2014, arXiv 1206.2459, have all three.

    >>> order_theorem().verify(), order_theorem(ORDER._replace(skew=(1 - alpha) * ORDER.skew / alpha)).verify()
    (True, False)
    """
    stated = ORDER if right_sides is None else right_sides
    x: Formula = Symbol("x", positive=True)
    convex = at_least(x * log(x) - x + 1, 0)
    certificate = certified("x log x lies above its tangent at 1", convex, calculus, along=x, at=1)

    def gibbs(first: Formula, second: Formula, reason: str, where: tuple[Formula, ...]) -> Step:
        """KL(first‖second) ≥ 0."""
        used = Premise(convex, second[i], (equal(x, first[i] / second[i]),), (i, 1, C))
        return Step(reason, at_least(relative_entropy(first, second), 0), where, (used,))

    in_order = gibbs(w, p, "so a relative entropy is not negative: sum p_i φ(w_i/p_i)", STANDARD)
    in_form = gibbs(v, w, "likewise KL(v‖w)", (_ANY, *STANDARD))
    slope = Step("the derivative in the order", equal(Derivative(divergence, alpha), stated.slope), STANDARD)
    rising = Step(
        "so D does not decrease in the order",
        at_least(Derivative(divergence, alpha), 0),
        STANDARD,
        (Premise(slope.relation), Premise(in_order.relation, (1 - alpha) ** -2)),
    )
    skew = Step("skew symmetry: both sides are -log S", equal((1 - alpha) * divergence, stated.skew))
    mixed = alpha * relative_entropy(v, p) + (1 - alpha) * relative_entropy(v, q)
    mixture = Step("log w = α log p + (1-α) log q - log S", equal(mixed, stated.mixture), (_ANY, *STANDARD))
    least = Step(
        "so the mixture is least at v = w, where it is (1-α) D",
        at_most((1 - alpha) * divergence, mixed),
        (_ANY, *STANDARD),
        (Premise(mixture.relation, Integer(1)), Premise(in_form.relation)),
    )
    at_escort = mixed.xreplace({v: w})
    attained = Step("which it attains there", equal(at_escort, (1 - alpha) * divergence), STANDARD)
    statement = Tuple(slope.relation, rising.relation, skew.relation, mixture.relation, least.relation)
    steps = (certificate, in_order, slope, rising, skew, mixture, in_form, least, attained)
    return Derivation(statement, steps, {"q": STUDENT, "p": TEACHER, "w": ESCORT, "v": _ANY})
