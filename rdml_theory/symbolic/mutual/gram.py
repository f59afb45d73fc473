"""C4a: the mutual gradient ∇R = E[Jᵀ(q - w)] against the mean Gram matrix E[JᵀJ] of the logits' Jacobian."""

from __future__ import annotations

from sympy import Symbol, sqrt

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.notation import Formula

__all__ = ["ASSUMPTIONS", "gram", "gram_bound", "gram_target", "greatest", "mean_gram"]

gram: Formula = Symbol("gamma", positive=True)
"""γ: a bound of the greatest eigenvalue of E[JᵀJ]."""

greatest: Formula = Symbol("J_max", positive=True)
"""The greatest ‖J‖² of an input, which is at least γ."""

theta, y, pull = Vector("θ"), Vector("y"), Vector("c")
q, w = Random("q"), Random("w")
gradient = Gradient("R", theta)

_CHAIN = ForAll(y, Equal(Inner(gradient, y), Mean(Inner(q - w, Random("J", y)))))


def mean_gram(factor: Term) -> ForAll:
    """``E[JᵀJ] ≼`` a factor, read in every direction.

    >>> print(mean_gram(gram).text())
    E[‖J(y)‖²] ≤ γ·‖y‖² for every y
    """
    return ForAll(y, AtMost(Mean(square(Random("J", y))), factor * square(y)))


ASSUMPTIONS = (_CHAIN.text(), mean_gram(gram).text(), Finite().text())
"""What the bound assumes, as text: ∇R = E[Jᵀ(q - w)] and E[JᵀJ] ≼ γ, read in every direction y."""


def gram_target(factor: Formula = gram) -> AtMost:
    """``‖∇R‖² ≤`` the factor times ``E‖q - w‖²``.

    >>> print(gram_target().text())
    ‖∇R(θ)‖² ≤ γ·E[‖q - w‖²]
    """
    return AtMost(square(gradient), factor * Mean(square(q - w)))


@of_formulas()
def gram_bound(factor: Formula = gram) -> Proof:
    """C4a: ``‖∇R(θ)‖² ≤ γ E‖q - w‖²`` for ∇R = E[Jᵀ(q - w)] and E[JᵀJ] ≼ γ, attained where all pulls are alike.

    E is over inputs and peers. ``factor`` is γ.

    Examples
    --------
    >>> gram_bound().axioms
    ()
    """
    image = Random("J", gradient)
    chain = specialise(assume(_CHAIN, reason="given: ∇R = E[Jᵀ(q - w)]"), gradient, reason="in its own direction")
    most = specialise(assume(mean_gram(gram), reason="given: E[JᵀJ] ≼ γ"), gradient, reason="in its own direction")
    both = expectation(nonnegative(square(image - gram * (q - w)), reason="a squared norm"), reason="take expectations")
    bound = combine(
        gram_target(factor),
        [(2, chain), (1 / gram, both), (1 / gram, most)],
        reason="2⟨J∇R, q - w⟩ is at most ‖J∇R‖²/γ + γ‖q - w‖²",
    )
    return Proof((bound, _attained(factor)))


def _attained(factor: Formula) -> Theorem:
    """Equality for J = √γ and the same pull on every input."""
    scale = sqrt(gram)
    alike = assume(ForAll(y, Equal(Random("J", y), scale * y)), reason="given: J = √γ, so that E[JᵀJ] = γ")
    same = assume(Equal(q - w, pull), reason="given: the same pull on every input")
    chain = assume(_CHAIN, reason="given: ∇R = E[Jᵀ(q - w)]")

    def along(direction: Term) -> Theorem:
        image = specialise(alike, direction, reason="in this direction")
        pulled = combine(
            Equal(Inner(q - w, Random("J", direction)), scale * Inner(pull, direction)),
            [(1, inner(image, q - w)), (scale, inner(same, direction))],
            reason="the same for every outcome",
        )
        mean = expectation(pulled, reason="take expectations")
        return combine(
            Equal(Inner(gradient, direction), scale * Inner(pull, direction)),
            [(1, specialise(chain, direction, reason="in this direction")), (1, mean)],
            reason="so ∇R = √γ c",
        )

    size = combine(
        Equal(Mean(square(q - w)), square(pull)),
        [(1, expectation(inner(same, q - w))), (1, expectation(inner(same, pull)))],
        reason="the size of the pull",
    )
    return combine(
        Equal(square(gradient), factor * Mean(square(q - w))),
        [(1, along(gradient)), (scale, along(pull)), (-gram, size)],
        reason="with these the bound is attained",
    )
