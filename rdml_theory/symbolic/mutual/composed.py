"""X1: the composed theorem of mutual learning, from the sharp bound (C2) and what its peers may add to a gradient.

Inputs and peers are the pairs m = 1, ..., N. At each step t, and for each outcome of chance, a pair has its peer's and
the student's distributions p and q, the escort w, and the entries (J b)_i of its Jacobian applied to the bias. The mean
over the pairs is a sum over m, so that E is over chance alone: the noise of all steps before.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sympy import Abs, Integer, Sum, Symbol, sqrt, tanh

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.divergence import entries
from rdml_theory.symbolic.divergence.names import rho
from rdml_theory.symbolic.divergence.tilt import RANGE, bounded_square
from rdml_theory.symbolic.elementary import unsquared
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.mutual.bias import jacobian
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.mutual.resting import tau
from rdml_theory.symbolic.notation import Formula, alpha, i, m
from rdml_theory.symbolic.sgd.bounds import sharp_bound_of_a_run, sharp_target
from rdml_theory.symbolic.sgd.descent import SHARP, Z, eta, gap, h, horizon, sigma, zeta
from rdml_theory.symbolic.sgd.growth import CLOSER, closer_bound, pl_target
from rdml_theory.symbolic.sgd.refinements import relative_bias
from rdml_theory.symbolic.sgd.setting import *
from rdml_theory.symbolic.sgd.single_runs import single_runs

__all__ = ["ASSUMPTIONS", "COMPOSED", "PULLED", "composed_bound", "composed_target", "last_target", "pairs", "pull"]

pull: Formula = Symbol("V", nonnegative=True)
"""V: a bound of E‖q - w‖² over inputs, peers, steps and chance."""

PULLED: Formula = SHARP.subs(Z, beta * jacobian * sqrt(pull))
"""The right side of A ≤ … with ζ² = β²G²V."""

COMPOSED: Formula = SHARP.subs(Z, sqrt(2) * beta * jacobian * tau)
"""The right side of A ≤ … with ζ = √2 βG tanh(αρ/4)."""

pairs: Formula = Symbol("N", integer=True, positive=True)
"""N: how many pairs of an input and a peer there are."""


def _random(family: Any) -> Any:
    """A family at each step, input and peer."""
    return lambda index: Entry(family(index).name, index, family(index).traits[0], True, t, m)


_p, _q, _w = map(_random, (entries.p, entries.q, entries.w))
_pushed = _random(lambda index: Entry("J", index))(i)


def _over_pairs(summand: Term) -> Term:
    """The mean over the pairs of a sum over the classes."""
    return Sum(entries.total(summand) / pairs, (m, 1, pairs))


def _at_each(told: Proposition) -> Proposition:
    """What is told of two distributions and their escort, of those of every step, input and peer."""
    families = {family(0).name: _random(family) for family in (entries.p, entries.q, entries.w)}

    def change(term: Term) -> Term:
        return term.replace(lambda e: isinstance(e, Entry), lambda e: families[e.name](e.index))

    return ForAll(t, ForAll(m, told.map(change)))


_apart = (_q(i) - _w(i)) ** 2
_CHAIN = ForAll(t, Equal(square(b), beta * _over_pairs(_pushed * (_q(i) - _w(i)))))
_GRAM = ForAll(t, AtMost(_over_pairs(_pushed**2), jacobian**2 * square(b)))
_PULLED = AtMost(mean_over_steps(_over_pairs(_apart)), pull)
_FAR = tuple(map(_at_each, (entries.sums_to_one(entries.q), entries.is_escort(), RANGE)))
_TAU = Equal(tau, tanh(alpha * rho / 4))

ASSUMPTIONS = (
    *assumptions("descent", "fall", *AVERAGED[3:], "h < 2"),
    *(told.text() for told in (_CHAIN, _GRAM, *_FAR, _TAU)),
    f"in place of the last four, for any V: {_PULLED.text()}",
)  # fmt: skip
"""What the bound assumes, as text: the bias is that of mutual learning, and ρ bounds the range of all log-ratios."""


def composed_target(right_side: Formula = COMPOSED) -> AtMost:
    """``A ≤`` the right side.

    >>> print(composed_target(PULLED).text())
    A ≤ (G·√(V)·β·|h - 1| + √(G²·V·β² + (2 - h)·(2·Δ/(T·η) + h·σ²)))/(2 - h)
    """
    return sharp_target(right_side)


@of_formulas()
def composed_bound(right_side: Formula = COMPOSED) -> Proof:
    """X1: ``A ≤ [ |1-h| ζ + √( ζ² + (2-h)(2Δ/(ηT) + hσ²) ) ] / (2-h)`` for 0 < h < 2 with ``ζ = √2 βG tanh(αρ/4)``.

    This toolkit's own, for every student of a cohort: C2 with b_t = β∇R, whose square is at most β²G² times the mean
    of ‖q - w‖² over inputs and peers (C4a) at each step and in each outcome, and so 2β²G² tanh²(αρ/4) (D7). With it
    the form for any V that bounds the mean of E‖q - w‖² over the steps. Of the loss they ask only that each step of the
    run keeps the descent inequality with Λ, as it does where Λ bounds the curvature between x_t and x_{t+1}, and that
    it falls by at most Δ; that a loss with Λ everywhere does the one, and one that starts Δ above its infimum the
    other, are the third theorem and the fourth. The last two are V3 and C9 with this ζ: of each single run, with
    sub-Gaussian noise, and of the last iterate, where the gradient grows with the loss.

    Examples
    --------
    >>> proof = composed_bound()
    >>> proof.verify(), proof.axioms
    (True, ('Cauchy-Schwarz', 'ascent', 'descent lemma', 'sub-Gaussian moments'))
    """
    far, general = _bounds()
    asserted = combine(composed_target(right_side), [(1, far)], reason="as asserted")
    return Proof((asserted, general, _smooth(), fallen(), _single(), _last()))


@cache
def _bounds() -> tuple[Theorem, Theorem]:
    """The bound with ζ = √2 βGτ, and that with ζ = βG√V."""
    given_mean = given(_PULLED, why="V bounds the mean square")
    general = _with_bias_at_most(beta * jacobian * sqrt(pull), given_mean)
    return _with_bias_at_most(sqrt(2) * beta * jacobian * tau, _far()), general


@cache
def _biased() -> Theorem:
    """``‖b_t‖² ≤ β²G² (1/N) Σ ‖q - w‖²``, surely: C4a at each step, in each outcome."""
    chain = given(_CHAIN, t, why="b = β∇R, in its own direction")
    most = given(_GRAM, t, why="E JᵀJ ≼ G², in the direction of b")
    both = nonnegative(_over_pairs((_pushed - beta * jacobian**2 * (_q(i) - _w(i))) ** 2), reason="a sum of squares")
    return combine(
        AtMost(square(b), beta**2 * jacobian**2 * _over_pairs(_apart)),
        [(2, chain), (1 / jacobian**2, both), (1 / jacobian**2, most)],
        reason="2β⟨Jb, q - w⟩ is at most ‖Jb‖²/G² + β²G²‖q - w‖²",
    )


@cache
def _far_surely() -> Theorem:
    """``(1/N) Σ ‖q - w‖² ≤ 2τ²``: D7 at each step, input and peer, in each outcome."""
    families = {family(i): _random(family)(i) for family in (entries.p, entries.q, entries.w)}
    here = instantiate(bounded_square(), families, reason="D7, of each input and peer")
    for told in _FAR:
        each = given(told, t, m)
        here = discharge(here, each, reason="which is given")
    share = combine(
        here.conclusion.map(lambda side: side / pairs), [(1 / pairs, here)], reason="a pair's part of the mean"
    )  # fmt: skip
    return combine(
        AtMost(_over_pairs(_apart), 2 * tau**2), [(1, sum_over(share, m, pairs, reason="over the pairs"))],
        where=[given(_TAU, why="τ")], reason="on average over the pairs",
    )  # fmt: skip


@cache
def _far() -> Theorem:
    """``(1/T) Σ (1/N) Σ E‖q - w‖² ≤ 2τ²``."""
    each = expectation(_far_surely(), reason="take expectations")
    total = sum_over(each, t, horizon, reason="sum over the steps")
    target = AtMost(mean_over_steps(_over_pairs(_apart)), 2 * tau**2)
    return combine(target, [(1 / horizon, total)], reason="divide by T")


@cache
def _surely() -> Theorem:
    """``‖b_t‖² ≤ 2β²G²τ²``."""
    return combine(
        AtMost(square(b), 2 * beta**2 * jacobian**2 * tau**2),
        [(1, _biased()), (beta**2 * jacobian**2, _far_surely())],
        reason="so the bias of a step has this square",
    )


@cache
def _single() -> Theorem:
    """V3 for a constant step, with ζ = √2 βGτ."""
    runs = instantiate(single_runs().theorems[1], {zeta: sqrt(2) * beta * jacobian * tau}, reason="V3, with this ζ")
    return discharge(runs, generalise(_surely(), t, reason="at every step"), reason="which bounds the bias")


@cache
def last_target() -> AtMost:
    """What the loss of the last iterate is at most.

    >>> print(last_target().text())
    E[f(x_T)] - f_inf ≤ (F + a^T·(√(Δ) - F))²
    """
    return pl_target(CLOSER.subs(relative_bias, 0))


@cache
def _last() -> Theorem:
    """C9 with this ζ: the last iterate, where the gradient grows with the loss."""
    values = {Z: sqrt(2) * beta * jacobian * tau, relative_bias: Integer(0)}
    loss = instantiate(closer_bound(), values, reason="C9, with this ζ")
    mean = expectation(_surely(), reason="take expectations")
    each = combine(AtMost(Mean(square(b)), 2 * beta**2 * jacobian**2 * tau**2), [(1, mean)], reason="a constant's mean")
    return discharge(loss, generalise(each, t, reason="at every step"), reason="which bounds the bias")


def _with_bias_at_most(size: Term, mean: Theorem) -> Theorem:
    """C2 with ζ = ``size`` in place of Z, where ``(1/T) Σ (1/N) Σ E‖q - w‖² ≤ ζ²/(β²G²)``."""
    each = expectation(_biased(), reason="take expectations")
    squares = combine(
        AtMost(Z**2, size**2),
        [
            (1 / horizon, sum_over(each, t, horizon, reason="sum over the steps")),
            (beta**2 * jacobian**2, mean),
            (1, given("bias")),
        ],
        reason="so Z² is at most this",
    )
    return _increasing(sharp_bound_of_a_run(), squares, Z, size)


@cache
def _smooth() -> Theorem:
    """A Λ-smooth loss keeps the descent inequality at every step."""
    lemma = axiom("descent lemma", ("f", smoothness), reason="f is smooth")
    along = instantiate(lemma, {y: x, Vector("v"): after - x}, reason="from x_t to x_{t+1}")
    told = HYPOTHESES["descent"]
    assert isinstance(told, ForAll)
    return generalise(combine(told.body, [(1, along)], reason="as it is"), t, reason="at every step")


def _increasing(theorem: Theorem, squares: Theorem, small: Term, large: Term) -> Theorem:
    """The bound with a larger bias in its place, from ``small² ≤ large²``."""
    rest = (2 - h) * (2 * gap / (eta * horizon) + h * sigma**2)
    less = unsquared(small, large, squares)
    later = unsquared(sqrt(small**2 + rest), sqrt(large**2 + rest), squares, [given("h < 2")])
    return combine(
        sharp_target(SHARP.subs(Z, large)),
        [(1, theorem), (Abs(1 - h) / (2 - h), less), (1 / (2 - h), later)],
        reason="the bound grows with the bias",
    )
