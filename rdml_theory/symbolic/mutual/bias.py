"""What mutual learning adds to a student's gradient: bounds of the bias, and how the order tunes it."""

from __future__ import annotations

from sympy import IndexedBase, Max, Min, Subs, Sum, Symbol, exp, sqrt, tanh

from rdml_theory.symbolic.certificates import calculus, certified, citation
from rdml_theory.symbolic.engine.derivation import Derivation, Premise, Step
from rdml_theory.symbolic.mutual.plateau import MUTUAL_NORM, beta
from rdml_theory.symbolic.notation import Formula, Named, i
from rdml_theory.symbolic.relations import at_least, at_most, equal

__all__ = [
    "A_PRIORI", "BIAS_ROOT", "MEAN_DIVERGENCE", "OBSERVABLE", "jacobian", "mutual_bias", "order", "spread",
    "tunability",
]  # fmt: skip

order: Formula = Symbol("alpha", nonnegative=True)
spread: Formula = Symbol("rho", nonnegative=True)
jacobian: Formula = Symbol("G", nonnegative=True)

MEAN_DIVERGENCE = Named("D̄_α", r"\bar D_\alpha")
"""The mean divergence of a student from its peers, over the inputs."""

A_PRIORI: Formula = 2 * tanh(order * spread / 4) ** 2
"""What ‖q - w‖² is at most, known beforehand."""

OBSERVABLE: Formula = Max(1, order) * MEAN_DIVERGENCE
"""What E‖q - w‖² is at most, observable while training."""


def mutual_bias(
    a_priori: Formula | None = None, observable: Formula | None = None, scale: Formula | None = None
) -> Derivation:
    """``‖β∇R‖² ≤ β²G² min{ 2 tanh²(αρ/4), max(1,α) D̄_α }``.

    G bounds the Jacobian of the logits, or is the root of the greatest eigenvalue of its mean Gram matrix E JᵀJ.

    Parameters
    ----------
    a_priori, observable, scale : Formula, optional
        The asserted forms of the bound, and their factor β²G².

    Examples
    --------
    >>> mutual_bias().verify(), mutual_bias(a_priori=A_PRIORI / 2).verify()
    (True, False)
    """
    first = A_PRIORI if a_priori is None else a_priori
    second = OBSERVABLE if observable is None else observable
    factor = beta**2 * jacobian**2 if scale is None else scale
    count: Formula = Symbol("N", integer=True, positive=True)
    v: Formula = IndexedBase("v", real=True)
    mean: Formula = Symbol("μ", real=True)
    size: Formula = Symbol("x", nonnegative=True)
    p: Formula = IndexedBase("π", nonnegative=True)
    # Two classes near consensus: q = (½, ½), log-ratio (t, 0); to second order D = αt²/8 and ‖q - w‖² = α²t²/8.
    t: Formula = Symbol("t", positive=True)
    divergence = order * t**2 / 8
    length: Formula = Symbol("r", positive=True)
    paired = at_most(length**2, jacobian * length * sqrt(size))
    excess: Formula = Symbol("ε", nonnegative=True)
    steps = (
        Step(
            "∇R = E[Jᵀv] with v = q - w, over inputs and peers (weights π). For each coordinate and every μ",
            equal(
                Sum(p[i] * (v[i] - mean) ** 2, (i, 1, count)),
                Sum(p[i] * v[i] ** 2, (i, 1, count))
                - 2 * mean * Sum(p[i] * v[i], (i, 1, count))
                + mean**2 * Sum(p[i], (i, 1, count)),
            ),
        ),
        Step(
            "which for μ = E v and E 1 = 1 is Jensen's inequality, since the left side is not negative",
            equal(size - 2 * mean * mean + mean**2, size - mean**2),
        ),
        Step("and ‖Jᵀv‖ ≤ G‖v‖: the factor is β²G²", at_least(factor - beta**2 * jacobian**2, 0)),
        Step(
            "or, with r = ‖E[Jᵀv]‖ and g = E[Jᵀv]: r² = E<Jg, v> ≤ √(gᵀE[JᵀJ]g E‖v‖²) ≤ G r √x, which gives r² ≤ "
            "G²x: the "
            "mean Gram matrix will do",
            at_most(length**2, jacobian**2 * size),
            premises=(Premise(paired, factor=(jacobian * sqrt(size) + length) / length),),
        ),
        citation(
            "the gradient's bound in the range of the log-ratio",
            at_most(size, A_PRIORI),
            work="this toolkit",
            claim="D7",
        ),
        citation("the gradient's bound by the divergence", at_most(size, OBSERVABLE), work="this toolkit", claim="D8"),
        Step(
            "two classes attain the first form, and no smaller one can hold",
            at_least(first, A_PRIORI),
        ),
        Step(
            "with q = (½, ½) and a log-ratio of ±t/2, the second: for α ≥ 1, ‖q - w‖² = α²t²/8 + … = α D + …",
            at_least(second.subs(MEAN_DIVERGENCE, divergence), order**2 * t**2 / 8),
            (equal(order, 1 + excess),),
        ),
    )
    statement = at_most((beta * MUTUAL_NORM) ** 2, factor * Min(first, second, evaluate=False))
    return Derivation(statement, steps, hypotheses=(paired,))


BIAS_ROOT: Formula = sqrt(2) * beta * jacobian * tanh(order * spread / 4)
"""ζ(α), the a-priori bound of the norm of the bias."""


def tunability(slope: Formula | None = None) -> Derivation:
    """``ζ(α) ≤ √2 βGαρ/4``, ζ nondecreasing in α: as the order goes to zero, so does the bias.

    Parameters
    ----------
    slope : Formula, optional
        The asserted bound of ζ(α).

    Examples
    --------
    >>> tunability().verify(), tunability(BIAS_ROOT.subs(order, 0)).verify()
    (True, False)
    """
    stated = sqrt(2) * beta * jacobian * order * spread / 4 if slope is None else slope
    x: Formula = Symbol("x", nonnegative=True)
    scale = sqrt(2) * beta * jacobian
    unit = stated / (scale * order * spread)
    derivative = scale * spread / 4 * (1 - tanh(order * spread / 4) ** 2)
    count: Formula = Symbol("T", integer=True, positive=True)
    orders: Formula = IndexedBase("alpha", nonnegative=True)
    steps = (
        Step("ζ(α) increases with α: its derivative is", equal(BIAS_ROOT.diff(order), derivative)),
        Step("where", equal(1 - tanh(x).rewrite(exp) ** 2, 4 / (exp(x) + exp(-x)) ** 2)),
        Step("is not negative", at_least(4 / (exp(x) + exp(-x)) ** 2, 0)),
        Step(
            "its slope at α = 0 is that of the stated line, which is therefore the least one",
            equal(Subs(BIAS_ROOT.diff(order), order, 0), stated.diff(order)),
        ),
        certified("tanh x ≤ x, with x = αρ/4", at_most(tanh(x), x), calculus),
        certified("that is, tanh x ≤ 4 (the stated factor) x", at_most(tanh(x), 4 * unit * x), calculus, along=x),
        Step(
            "so a schedule α_t has a mean squared bias of at most the line's square at the mean of α_t²",
            equal(
                Sum(scale**2 * orders[i] ** 2 * spread**2 / 16, (i, 1, count)) / count,
                scale**2 * spread**2 / 16 * Sum(orders[i] ** 2, (i, 1, count)) / count,
            ),
        ),
    )
    return Derivation(at_most(Named("ζ(α)", r"\zeta(\alpha)"), stated), steps)
