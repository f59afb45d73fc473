"""C13: what a Λ-smooth function satisfies between two points, and above its infimum; a quadratic has equality."""

from __future__ import annotations

from functools import cache

from sympy import Rational

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.extremal import HEIGHT, SLOPE
from rdml_theory.symbolic.sgd.setting import *

__all__ = [
    "ASSUMPTIONS", "COUPLING", "INFIMUM", "above_target", "between", "between_target", "consecutive_iterates",
    "lipschitz", "u",
]  # fmt: skip

COUPLING, INFIMUM = Rational(1, 4), Rational(1, 2)
"""The coefficients of ‖∇f(y) - ∇f(u)‖²/Λ and of ‖∇f(y)‖²/Λ in what smooth functions satisfy."""

ASSUMPTIONS = tuple(HYPOTHESES[name].text() for name in ("smooth", "bounded"))
"""What the two inequalities assume, as text."""

u = Vector("u")
_f, _fu = Value("f", y), Value("f", u)
_g, _gu = Gradient("f", y), Gradient("f", u)


def between_target(coupling: Formula = COUPLING) -> AtMost:
    """``⟨∇f(y) + ∇f(u), y - u⟩/2 + (coupling)‖∇f(y) - ∇f(u)‖²/Λ - Λ‖y - u‖²/4 ≤ f(y) - f(u)``.

    >>> print(between_target().text())
    ⟨y - u, ∇f(u) + ∇f(y)⟩/2 + ‖∇f(u) - ∇f(y)‖²/(4·Λ) - Λ·‖y - u‖²/4 ≤ f(y) - f(u)
    """
    apart = Inner(_g + _gu, y - u) / 2 + coupling * square(_gu - _g) / smoothness - smoothness / 4 * square(y - u)
    return AtMost(apart, _f - _fu)


def above_target(coefficient: Formula = INFIMUM) -> AtMost:
    """``(coefficient)‖∇f(y)‖²/Λ ≤ f(y) - f_inf``.

    >>> print(above_target().text())
    ‖∇f(y)‖²/(2·Λ) ≤ f(y) - f_inf
    """
    return AtMost(coefficient * square(_g) / smoothness, _f - infimum)


@cache
def between(coupling: Formula = COUPLING) -> Theorem:
    """What holds between two points."""
    middle = (y + u) / 2 + (_gu - _g) / (2 * smoothness)
    v = Vector("v")
    upper = axiom("descent lemma", ("f", smoothness), reason="f is smooth")
    lower = axiom("descent lemma, from below", ("f", smoothness), reason="f is smooth")
    return combine(
        between_target(coupling),
        [
            (1, instantiate(upper, {v: middle - y}, reason="from y to a middle point")),
            (1, instantiate(lower, {y: u, v: middle - u}, reason="and from u, from below")),
        ],
        reason="smoothness from above at y and from below at u, where both are tightest",
    )


@cache
def lipschitz() -> Theorem:
    """``‖∇f(u) - ∇f(y)‖² ≤ Λ²‖y - u‖²``."""
    back = instantiate(between(), {y: u, u: y}, reason="the same from u to y")
    return combine(
        AtMost(square(_gu - _g), smoothness**2 * square(y - u)),
        [(2 * smoothness, between()), (2 * smoothness, back)],
        reason="both ways the values cancel",
    )


@of_formulas()
def consecutive_iterates(coupling: Formula = COUPLING, infimum: Formula = INFIMUM) -> Proof:
    """C13: what a Λ-smooth f satisfies between two points, and at one; a quadratic has equality in both.

    ``f(y) - f(u) ≥ ⟨∇f(y)+∇f(u), y-u⟩/2 + ‖∇f(y)-∇f(u)‖²/(4Λ) - Λ‖y-u‖²/4`` and ``f(y) - inf f ≥ ‖∇f(y)‖²/(2Λ)``.
    After Taylor, Hendrickx & Glineur 2017, arXiv 1502.05666. ``coupling`` and ``infimum`` are the coefficients 1/4 and
    1/2 of the squared norms.

    Examples
    --------
    >>> consecutive_iterates().axioms
    ('descent lemma', 'descent lemma, from below')
    """
    return Proof((between(coupling), surely_above_the_infimum(infimum), *_attained(coupling, infimum)))


def _attained(coupling: Formula, coefficient: Formula) -> tuple[Theorem, Theorem]:
    """On ``f = Λ‖x‖²/2``, whose infimum is 0."""
    slope, height = (given(told, why="f = Λ‖x‖²/2") for told in (SLOPE, HEIGHT))
    at_y, at_u = (specialise(slope, point, reason="at this point") for point in (y, u))
    difference = combine(Equal(_gu - _g, smoothness * (u - y)), [(1, at_u), (-1, at_y)], reason="their difference")
    mean = combine(Equal(_gu + _g, smoothness * (u + y)), [(1, at_u), (1, at_y)], reason="and their sum")
    both = between_target(coupling)
    apart = combine(
        Equal(both.left, both.right),
        [
            (Rational(1, 2), inner(mean, y - u)),
            (coupling / smoothness, squared(difference)),
            (-1, specialise(height, y, reason="f(y)")),
            (1, specialise(height, u, reason="f(u)")),
        ],
        reason="on the quadratic there is equality",
    )
    pays = combine(
        Equal(above_target(coefficient).left, _f),
        [(coefficient / smoothness, squared(at_y)), (-1, specialise(height, y, reason="f(y)"))],
        reason="and here, with f_inf = 0",
    )
    return apart, pays
