"""The game of mutual learning: when its joint update is the gradient of one function, a potential."""

from __future__ import annotations

from sympy import Derivative, KroneckerDelta, Rational, Sum, Symbol, Tuple, cosh, exp, log

from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.notation import C, Formula, Named, alpha, j, k, l, u, z
from rdml_theory.symbolic.relations import at_least, equal, greater

__all__ = ["DUAL_WEIGHTS", "cross_derivative", "dual_pair", "potential"]

DUAL_WEIGHTS: tuple[Formula, Formula] = (1 - alpha, alpha)
"""The weights of D_α(p‖q) and D_{1-α}(q‖p) in the losses of two students that descend one function."""


def _escort(order: Formula, first: Formula, second: Formula, index: Formula) -> Formula:
    """Entry of the softmax of (order · first + (1 - order) · second)."""

    def tilted(at: Formula) -> Formula:
        return exp(order * first[at] + (1 - order) * second[at])

    return tilted(index) / Sum(tilted(j), (j, 1, C))


def cross_derivative(order: Formula, first: Formula, second: Formula) -> Formula:
    """How the gradient of D(first‖second) in the second's logits changes with the first's: -α Cov_w, entry k, l.

    >>> from rdml_theory.symbolic.notation import alpha
    >>> cross_derivative(alpha, u, z).has(KroneckerDelta)
    True
    """
    at_k, at_l = (_escort(order, first, second, index) for index in (k, l))
    return -order * (KroneckerDelta(k, l) * at_k - at_k * at_l)


def _named(order: Formula, swapped: bool) -> Named:
    text, tex = ("D_α(q‖p)", r"D_\alpha(q \Vert p)") if swapped else ("D_α(p‖q)", r"D_\alpha(p \Vert q)")
    return Named(text.replace("α", str(order)), tex.replace(r"\alpha", f"{{{order}}}"))


def potential(order: Formula | None = None) -> Derivation:
    """At α = ½ the joint update of the students is a gradient: its Jacobian is symmetric, for any number of classes.

    Elsewhere (but at α = 0, where the students do not see each other) it is not.

    Parameters
    ----------
    order : Rational, optional
        The order for which symmetry is asserted.

    Examples
    --------
    >>> potential().verify(), potential(Rational(1, 3)).verify()
    (True, False)
    """
    a = Rational(1, 2) if order is None else order
    logit: Formula = Symbol("ℓ", real=True)
    x2, y2, xy = (Symbol(s, nonnegative=True) for s in ("‖x‖²", "‖y‖²", "‖x-y‖²"))
    uniform = (exp(logit / 2) + exp(-logit / 2)) ** 2
    own, peer = cross_derivative(a, u, z), cross_derivative(a, z, u)
    two, p1, q1 = Rational(2), Rational(1, 2), Rational(1, 5)
    first = p1**two / q1 / (p1**two / q1 + p1**two / (1 - q1))
    second = q1**two / p1 / (q1**two / p1 + (1 - q1) ** two / p1)
    steps = (
        Step(
            "the student's gradient q - w depends on the peer's logits through the escort w only",
            equal(-Derivative(_escort(alpha, u, z, k), u[l]), cross_derivative(alpha, u, z)),
        ),
        Step(
            "the peer's gradient p - w' depends on the student's in the same way, w' the escort of (q, p): the "
            "Jacobian is "
            "symmetric if and only if both are equal",
            equal(own, peer),
        ),
        Step(
            "at α = ½ they are, since w' = w",
            equal(_escort(Rational(1, 2), u, z, k), _escort(Rational(1, 2), z, u, k)),
        ),
        Step(
            "each gradient is then that of D_½, which is symmetric: Φ = ΣL + β/(K-1) Σ D_½ of all pairs is the "
            "potential",
            equal(-2 * log(Sum(exp((u[j] + z[j]) / 2), (j, 1, C))), -2 * log(Sum(exp((z[j] + u[j]) / 2), (j, 1, C)))),
        ),
    )
    lemmas = (
        Step(
            "elsewhere: two classes, a uniform peer, log-odds ℓ. The escorts have log-odds (1-α)ℓ and αℓ, and "
            "the entries "
            "are α over these (here for a log-odds of ℓ)",
            equal(1 / uniform, 1 / (4 * cosh(logit / 2) ** 2).rewrite(exp)),
        ),
        Step("which differ unless |1-α| = |α|, that is α = ½", equal((1 - alpha) ** 2 - alpha**2, 1 - 2 * alpha)),
        Step("exactly, at α = 2 with p = (½, ½) and q = (1/5, 4/5): w has the entry", equal(first, Rational(4, 5))),
        Step("and w' the entry", equal(second, Rational(1, 17))),
        Step(
            "so the two entries of the Jacobian, 2·(4/5)(1/5) and 2·(1/17)(16/17), differ",
            greater(2 * first * (1 - first), 2 * second * (1 - second)),
        ),
        Step(
            "Φ is (1+β)Λ-smooth: in the logits Var_q x + Var_p y - ½Var_w(x+y) lies within ±½(‖x‖²+‖y‖²), since "
            "Var v ≤ ½‖v‖² and",
            equal(x2 + y2 - (2 * x2 + 2 * y2 - xy) / 2, xy / 2),
        ),
        Step("is not negative", at_least(xy / 2, 0)),
    )
    left = Derivative(_named(a, False), u[l], z[k])
    right = Derivative(_named(a, True), z[k], u[l])
    return Derivation(equal(left, right), steps, lemmas=lemmas)


def dual_pair(weights: tuple[Formula, Formula] | None = None) -> Derivation:
    """``(1-α) D_α(p‖q) = α D_{1-α}(q‖p)``: orders α and 1-α with weights in the ratio (1-α) : α share a potential.

    Parameters
    ----------
    weights : tuple, optional
        The asserted weights of D_α(p‖q) and D_{1-α}(q‖p), functions of α.

    Examples
    --------
    >>> dual_pair().verify(), dual_pair(DUAL_WEIGHTS[::-1]).verify()
    (True, False)
    """
    first, second = DUAL_WEIGHTS if weights is None else weights

    def divergence(order: Formula, a: Formula, b: Formula) -> Formula:
        """With logits normalised so that Σ exp = 1."""
        return log(Sum(exp(order * a[j] + (1 - order) * b[j]), (j, 1, C))) / (order - 1)

    steps = (
        Step(
            "both sides are the same function of the log-probabilities",
            equal(first * divergence(alpha, u, z), second * divergence(1 - alpha, z, u)),
        ),
    )
    left = first * Named("D_α(p‖q)", r"D_\alpha(p \Vert q)")
    right = second * Named("D_{1-α}(q‖p)", r"D_{1-\alpha}(q \Vert p)")
    return Derivation(Tuple(equal(left, right)), steps)
