"""The theorems of the literature that proofs may rest on: a short list, each with its source and exact hypotheses."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from sympy import Abs, Rational, Sum, Symbol, exp, oo

from rdml_theory.symbolic.kernel.propositions import (
    AtMost,
    Equal,
    Finite,
    ForAll,
    Proposition,
    Smooth,
    SubGaussian,
    Tends,
)  # fmt: skip
from rdml_theory.symbolic.kernel.terms import (
    At,
    Entry,
    Gradient,
    Inner,
    Mean,
    TermError,
    Value,
    Vector,
    kind,
    require_given,
    square,
)  # fmt: skip

__all__ = ["AXIOMS", "Axiom"]

Schema = Callable[..., tuple[Collection[Proposition], Proposition]]


@dataclass(frozen=True)
class Axiom:
    """A theorem of the literature.

    Attributes
    ----------
    schema : callable
        Hypotheses and conclusion, for the axiom's parameters.
    source : str
        Where it is proved.
    says : str
        What it says, in words.

    Examples
    --------
    >>> AXIOMS["Cauchy-Schwarz"].source
    'Cauchy 1821, Schwarz 1885; Steele, The Cauchy-Schwarz Master Class, 2004, ch. 1'
    """

    schema: Schema
    source: str
    says: str


def _descent(objective: str, smoothness: Any, *given: Any) -> tuple[Collection[Proposition], Proposition]:
    y, v = Vector("y"), Vector("v")
    slope = Inner(Gradient(objective, y, *given), v)
    model = Value(objective, y, *given) + slope + smoothness * Rational(1, 2) * square(v)
    return {Smooth(objective, smoothness)}, AtMost(Value(objective, y + v, *given), model)


def _descent_from_below(objective: str, smoothness: Any, *given: Any) -> tuple[Collection[Proposition], Proposition]:
    y, v = Vector("y"), Vector("v")
    slope = Inner(Gradient(objective, y, *given), v)
    model = Value(objective, y, *given) + slope - smoothness * Rational(1, 2) * square(v)
    return {Smooth(objective, smoothness)}, AtMost(model, Value(objective, y + v, *given))


def _cauchy_schwarz() -> tuple[Collection[Proposition], Proposition]:
    t, n = (Symbol(name, integer=True, nonnegative=True) for name in "tN")
    u, v = At("u", t), At("v", t)

    def total(first: Any, second: Any) -> Any:
        return Sum(Mean(Inner(first, second)), (t, 0, n - 1))

    return {Finite()}, AtMost(total(u, v) ** 2, total(u, u) * total(v, v))


def _polyak() -> tuple[Collection[Proposition], Proposition]:
    t, s = (Symbol(name, integer=True, nonnegative=True) for name in "ts")
    e, u, a, w = (Entry(name, t, name == "w") for name in "euaw")  # only the shares w_t are positive as declared
    end: Any = Symbol("L", real=True)
    whole: Any = Sum(w.at(s), (s, 0, t - 1))
    hypotheses = {
        ForAll(t, AtMost(Abs(e - end), u)),
        ForAll(t, AtMost(u.at(t + 1), (1 - w) * u + w * a)),
        ForAll(t, AtMost(w, 1)),
        ForAll(t, AtMost(0, a)),
        Tends(a, t, oo, 0),
        Tends(1 / (1 + whole), t, oo, 0),
    }
    return hypotheses, Tends(e, t, oo, end)


def _moments(
    noise: Any, given: tuple[Any, ...], vector: Any, factor: Any
) -> tuple[Collection[Proposition], Proposition]:
    if kind(vector) == "scalar" or kind(factor) == "vector":
        raise TermError(f"expected a vector and a number, not {vector} and {factor}")
    for part in (vector, factor):
        require_given(part, given)
    deviation, rank = Symbol("s", nonnegative=True), Symbol("r", integer=True, positive=True)
    weight, room = Symbol("k", nonnegative=True), Symbol("d", positive=True)
    told = SubGaussian(noise, given, deviation, rank)
    smaller = Mean(factor * exp(Inner(vector, noise) + weight * square(noise) / 2))
    larger = Mean(factor * exp(deviation**2 * square(vector) / (2 * room)))
    hypotheses = {told, AtMost(0, factor), Equal(room, 1 - weight * deviation**2), Finite()}
    return hypotheses, AtMost(smaller, larger * room ** (-rank / 2))


def _ascent(objective: str) -> tuple[Collection[Proposition], Proposition]:
    mu, smoothness = (Symbol(name, positive=True) for name in ("mu", "Lambda"))
    infimum, a = (Symbol(name, real=True) for name in ("f_inf", "a"))
    b, tau = (Symbol(name, nonnegative=True) for name in ("b", "tau"))
    y, w = Vector("y"), Vector("w")
    above = Value(objective, w) - infimum
    hypotheses = {
        Smooth(objective, smoothness),
        ForAll(y, AtMost(infimum, Value(objective, y))),
        ForAll(y, AtMost(2 * mu * (Value(objective, y) - infimum), square(Gradient(objective, y)))),
        ForAll(y, AtMost(Value(objective, y), a + b * square(y - w))),
    }
    return hypotheses, AtMost((1 + tau) ** 2 * above, a - infimum + 2 * b * tau**2 / mu * above)


AXIOMS: dict[str, Axiom] = {
    "descent lemma": Axiom(
        _descent,
        "Nesterov, Introductory Lectures on Convex Optimization, 2004, Lemma 1.2.3",
        "a Λ-smooth function lies below its quadratic model of curvature Λ, at every point and in every direction",
    ),
    "descent lemma, from below": Axiom(
        _descent_from_below,
        "Nesterov, Introductory Lectures on Convex Optimization, 2004, Lemma 1.2.3",
        "and above its quadratic model of curvature -Λ",
    ),
    "ascent": Axiom(
        _ascent,
        "Karimi, Nutini & Schmidt 2016, arXiv 1608.04636, appendix A: their gradient flow, followed upwards",
        "where ‖∇f‖² ≥ 2μ(f - inf f), √(f - inf f) rises by √(μ/2) for each unit of length of the ascent; so within "
        "τ√(2(f(w) - inf f)/μ) of w it is (1+τ) times as high, and what is above f everywhere is as high there",
    ),
    "Cauchy-Schwarz": Axiom(
        _cauchy_schwarz,
        "Cauchy 1821, Schwarz 1885; Steele, The Cauchy-Schwarz Master Class, 2004, ch. 1",
        "in the Hilbert space of N random vectors of finite second moment, with inner product Σ_t E⟨u_t, v_t⟩",
    ),
    "sub-Gaussian moments": Axiom(
        _moments,
        "Hsu, Kakade & Zhang 2012, arXiv 1110.2842, from whose proof it is",
        "for sub-Gaussian noise n, and a vector v and a number F ≥ 0 that are functions of what is given with it, "
        "E[F exp(⟨v, n⟩ + k‖n‖²/2)] ≤ d^(-r/2) E[F exp(s²‖v‖²/(2d))], where d = 1 - ks² is positive",
    ),
    "Polyak's lemma": Axiom(
        _polyak,
        "Polyak, Introduction to Optimization, 1987, section 2.2, Lemma 3",
        "what is within u_t of L tends to L, if u_{t+1} ≤ (1 - w_t) u_t + w_t a_t for shares 0 < w_t ≤ 1 whose sum is "
        "infinite, and a_t ≥ 0 tends to 0",
    ),
}
"""The axioms by name."""
