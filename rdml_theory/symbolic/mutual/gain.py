"""G1: what students with samples of their own gain from one another, in the Gaussian model.

Student k, alone, would estimate the truth with the error ``e_k``; together the students rest at the errors ``x_k``. The
inner product is that of the Fisher information F, so that half a squared norm is an excess risk in nats. For Gaussian
outputs of equal covariance ``D_α = (α/2)‖x_j - x_k‖²`` exactly; else to leading alpha, near consensus (D10).
"""

from __future__ import annotations

from sympy import Rational, Sum, Symbol

from rdml_theory.symbolic.arguments import formula, of_formulas
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Formula, alpha
from rdml_theory.symbolic.sgd.setting import assumptions, exact, given, squared

__all__ = [
    "ALIKE",
    "ALIKE_ASSUMPTIONS",
    "ASSUMPTIONS",
    "GAIN",
    "SHARED",
    "alike_target",
    "all_alike_target",
    "gain_law",
    "gain_target",
    "lone",
    "share",
    "shared_law",
    "students",
]  # fmt: skip

students: Formula = Symbol("K", integer=True, positive=True)
lone: Formula = Symbol("r", nonnegative=True)
"""r: the excess risk of a student alone, d/2n for d parameters and n samples."""

GAIN: Formula = lone * (1 / students + (1 - 1 / students) / (1 + alpha * beta * students / (students - 1)) ** 2)
"""The excess risk of one of K students at rest."""

share: Formula = Symbol("kappa", nonnegative=True)
"""κ: the correlation of the errors of any two students, for samples that overlap the share that is common."""

_kept = (1 + (students - 1) * share) / students
SHARED: Formula = lone * (_kept + (1 - _kept) / (1 + alpha * beta * students / (students - 1)) ** 2)
"""The same where errors are correlated: r for κ = 1."""

k, j = (Symbol(name, integer=True, nonnegative=True) for name in "kj")
x, e, u = At("x", k), At("e", k), At("u", k)
m, a, y = Random("m"), Random("a"), Vector("y")


def _sum(term: Term) -> Term:
    return Sum(term.subs(k, j), (j, 0, students - 1))


HYPOTHESES = {
    "several": Less(1, students),
    "rest": ForAll(k, Equal(x, e - alpha * beta * (x - u))),
    "peers": ForAll(k, Equal((students - 1) * u, students * m - x)),
    "mean": ForAll(y, Equal(students * Inner(m, y), _sum(Inner(x, y)))),
    "alone": ForAll(y, Equal(students * Inner(a, y), _sum(Inner(e, y)))),
    "size": ForAll(k, Equal(Mean(square(e)), 2 * lone)),
    "apart": ForAll(k, Equal(students * Mean(Inner(e, a)), 2 * lone)),
    "average": Equal(students * Mean(square(a)), 2 * lone),
}
"""Students at rest; u_k is the mean of k's peers, m that of all, a that of the errors alone. The last three hold for
errors of equal size that are uncorrelated between students."""

_TOGETHER = 2 * lone * (1 + (students - 1) * share)
CORRELATED = HYPOTHESES | {
    "apart": ForAll(k, Equal(students * Mean(Inner(e, a)), _TOGETHER)),
    "average": Equal(students * Mean(square(a)), _TOGETHER),
}

ASSUMPTIONS = assumptions(*(part.text() for part in HYPOTHESES.values()))
"""What the law assumes, as text."""


def gain_target(right_side: Term = GAIN) -> Equal:
    """``E‖x_k‖²/2 =`` the right side.

    >>> print(gain_target().text())
    E[‖x_k‖²]/2 = r·((1 - 1/K)/(K·α·β/(K - 1) + 1)² + 1/K)
    """
    return Equal(Mean(square(x)) / 2, right_side)


@of_formulas()
def gain_law(right_side: Formula = GAIN) -> Proof:
    """G1: the excess risk of one of K students is ``(d/2n) [1/K + (1 - 1/K)/(1 + αβK/(K-1))²]``: it depends on αβ.

    This toolkit's own. At rest ``x_k - e_k + αβ(x_k - mean of the peers) = 0``: the mean over the students stays what
    it would be alone, and deviations from it shrink.

    Examples
    --------
    >>> gain_law().axioms
    ()
    """
    return Proof((_law(right_side, HYPOTHESES),))


def _law(asserted: Term, told: dict[str, Proposition]) -> Theorem:
    """The law, for errors as they are given."""
    more = given(told["several"])
    own, pulled = students - 1, alpha * beta * students
    rest = combine(
        Equal((own + pulled) * x, own * e + pulled * m),
        [(own, given(told["rest"], k)), (alpha * beta, given(told["peers"], k))],
        reason="the mean of the peers is (K m - x_k)/(K - 1)",
    )
    along = instantiate(inner(rest, y), {k: j}, reason="for student j")
    total = sum_over(along, j, students, reason="sum over the students")
    means = [((own + pulled) / students, given(told["mean"], y)), (-own / students, given(told["alone"], y))]
    equal = combine(
        Equal(own * Inner(m, y), own * Inner(a, y)),
        [(1 / students, total), *means],
        reason="the pulls cancel: the mean is that of the students alone",
    )
    same = combine(Equal(Inner(m, y), Inner(a, y)), [(1 / own, equal)], known=[more], reason="divide by K - 1")
    anywhere = generalise(same, y, reason="in every direction")
    along_error, along_mean, along_alone = (specialise(anywhere, v, reason="in this direction") for v in (e, m, a))
    size = combine(
        Equal(
            (own + pulled) ** 2 * square(x), own**2 * square(e) + 2 * own * pulled * Inner(e, a) + pulled**2 * square(a)
        ),
        [
            (1, squared(rest)),
            (2 * own * pulled, along_error),
            (pulled**2, along_mean),
            (pulled**2, along_alone),
        ],
        reason="the square of a student's error",
    )
    grown = own + pulled
    room = combine(Less(0, grown), [(1, more)], slack=pulled, reason="which is positive")
    return combine(
        gain_target(asserted),
        [
            (Rational(1, 2) / grown**2, expectation(size, reason="take expectations")),
            (own**2 / (2 * grown**2), given(told["size"], k)),
            (own * pulled / (students * grown**2), given(told["apart"], k)),
            (pulled**2 / (2 * students * grown**2), given(told["average"])),
        ],
        known=[more, room],
        reason="deviations shrink by 1 + αβK/(K-1), the mean does not",
    )


# ---------------------------------------------------------------------------------------------------------------------
# The same data

_theta, _phi, _psi, _g, _h, _s, _t = (Vector(name) for name in "θφψghst")
_strong: Term = Symbol("mu", positive=True)
_steep: Term = Symbol("c", nonnegative=True)

ALIKE = {
    "convex": ForAll(_s, ForAll(_t, AtMost(
        _strong * square(_s - _t), Inner(Gradient("f", _s) - Gradient("f", _t), _s - _t)
    ))),
    "first": Equal(Gradient("f", _theta), -beta * _g),
    "second": Equal(Gradient("f", _phi), -beta * _h),
    "toward": AtMost(0, Inner(_g, _theta - _phi)),
    "back": AtMost(0, Inner(_h, _phi - _theta)),
    "vanishes": AtMost(square(_g), _steep * square(_theta - _phi)),
    "alone": Equal(Gradient("f", _psi), 0 * _psi),
}  # fmt: skip
"""Two students θ and φ at rest with one convex loss, whose pulls g and h lead to each other; ψ is the minimiser."""

_SMOOTH = ForAll(
    _s, ForAll(_t, AtMost(-_strong * square(_s - _t), Inner(Gradient("f", _s) - Gradient("f", _t), _s - _t)))
)

_v = Vector("v")


def _at_rest(pull: Term) -> ForAll:
    """Every student k rests between its loss and the pulls of all others."""
    pulls = Sum(Inner(pull, y), (j, 0, students - 1))
    return ForAll(k, ForAll(y, Equal((students - 1) * Inner(Gradient("f", x), y), -beta * pulls)))


ALL_ALIKE = {
    "several": HYPOTHESES["several"],
    "rest": _at_rest(Gradient("S", x) - Gradient("S", At("x", j))),
    "toward": ForAll(_s, ForAll(_t, AtMost(0, Inner(Gradient("S", _s) - Gradient("S", _t), _s - _t)))),
    "mean": HYPOTHESES["mean"],
    "slope": ForAll(y, Equal(students * Inner(_v, y), _sum(Inner(Gradient("S", x), y)))),
}
"""K students x_k at rest with that loss at order one, where pulls are differences of the gradients of a convex S."""

_ANY_ORDER = {
    "rest": _at_rest(Gradient("D", x, At("x", j))),
    "toward": ForAll(_s, ForAll(_t, AtMost(0, Inner(Gradient("D", _s, _t), _s - _t)))),
}
"""The same at any order, where all that is known of a pull is that it leads to the peer."""

ALIKE_ASSUMPTIONS = assumptions(
    *dict.fromkeys(part.text() for told in (CORRELATED, ALIKE, ALL_ALIKE) for part in told.values())
)
"""What the law for correlated errors assumes, and that of students with the same data, as text."""


def shared_law(right_side: Formula = SHARED, *, convex: bool = True, any_order: bool = False) -> Proof:
    """G2: no gain without diversity: with correlation κ of the errors, ``(d/2n)[m + (1-m)/(1 + αβK/(K-1))²]``.

    Here ``m = (1 + (K-1)κ)/K``. With it, for one strongly convex loss: two students at rest are at its minimiser at any
    order, and K students at order one, so that mutual learning changes nothing. This toolkit's own.

    Parameters
    ----------
    right_side : Expr, optional
        The asserted excess risk.
    convex : bool
        Whether the common loss is asserted to be strongly convex; if not, smooth alone.
    any_order : bool
        Whether it is asserted of K students at any order; if not, at order one.

    Raises
    ------
    ProofError
        If the argument does not give what is asserted.

    Examples
    --------
    >>> proof = shared_law()
    >>> proof.verify(), [theorem.conclusion.text() for theorem in proof.theorems[1:]]
    (True, ['‖θ - ψ‖² ≤ 0', 'Σ_{k < K} ‖x_k - ψ‖² ≤ 0'])
    >>> shared_law(GAIN)
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: combine: ... is not this combination: ...
    """
    law = _law(exact(formula("right_side", right_side)), CORRELATED)
    return Proof((law, _alike(convex), _all_alike(convex, any_order)))


def alike_target() -> AtMost:
    """``‖θ - ψ‖² ≤ 0`` for a student θ and the minimiser ψ.

    >>> print(alike_target().text())
    ‖θ - ψ‖² ≤ 0
    """
    return AtMost(square(_theta - _psi), 0)


def all_alike_target() -> AtMost:
    """``Σ ‖x_k - ψ‖² ≤ 0`` over K students.

    >>> print(all_alike_target().text())
    Σ_{k < K} ‖x_k - ψ‖² ≤ 0
    """
    return AtMost(Sum(square(x - _psi), (k, 0, students - 1)), 0)


def _apart(u: Term, v: Term, convex: bool) -> Theorem:
    """What the common loss tells of two points."""
    return given(ALIKE["convex"] if convex else _SMOOTH, u, v)


def _alike(convex: bool) -> Theorem:
    """Two students at rest with the same strongly convex loss are its minimiser."""

    def apart(u: Term, v: Term) -> Theorem:
        return _apart(u, v, convex)

    agree = combine(
        AtMost(square(_theta - _phi), 0),
        [
            (1 / _strong, apart(_theta, _phi)),
            (1 / _strong, inner(given(ALIKE["first"]), _theta - _phi)),
            (1 / _strong, inner(given(ALIKE["second"]), _phi - _theta)),
            (beta / _strong, given(ALIKE["toward"])),
            (beta / _strong, given(ALIKE["back"])),
        ],
        reason="convexity holds them together, and so do the pulls: they agree",
    )
    both = nonnegative(square(_strong * (_theta - _psi) + beta * _g), reason="a squared norm")
    return combine(
        alike_target(),
        [
            (2 / _strong, apart(_theta, _psi)),
            (2 / _strong, inner(given(ALIKE["first"]), _theta - _psi)),
            (2 / _strong, inner(given(ALIKE["alone"]), _psi - _theta)),
            (1 / _strong**2, both),
            (beta**2 / _strong**2, given(ALIKE["vanishes"])),
            (beta**2 * _steep / _strong**2, agree),
        ],
        reason="where they agree there is no pull, and the gradient of the common loss vanishes",
    )


def _all_alike(convex: bool, any_order: bool) -> Theorem:
    """K students at rest with that loss, at order one, are its minimiser."""
    told = ALL_ALIKE | (_ANY_ORDER if any_order else {})

    def slope(at: Term) -> Term:
        return Gradient("S", at)

    more, off = given(told["several"]), x - _psi
    one = combine(
        AtMost((students - 1) * _strong * square(off), -beta * students * Inner(slope(x) - _v, off)),
        [
            (students - 1, _apart(x, _psi, convex)),
            (1, given(told["rest"], k, off)),
            (-beta, given(told["slope"], off)),
            (students - 1, inner(given(ALIKE["alone"]), -off)),
        ],
        known=[more],
        reason="the pulls on a student are K times its slope of S less the mean of all",
    )
    total = sum_over(one, k, students, reason="sum over the students")
    ahead = sum_over(given(told["toward"], x, m), k, students, reason="S is convex, seen from the mean of the students")
    weight = 1 / (_strong * (students - 1))
    pulls = weight * beta * students
    return combine(
        all_alike_target(),
        [
            (weight, total),
            (pulls, ahead),
            (-pulls, given(told["slope"], _psi)),
            (-pulls, given(told["mean"], _v)),
            (pulls, given(told["slope"], m)),
            (pulls, given(told["mean"], slope(m))),
        ],
        known=[more],
        reason="the pulls add up to what leads to the mean, so that no student is away from the minimiser",
    )
