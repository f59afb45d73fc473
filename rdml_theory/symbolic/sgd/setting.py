"""Constant-step SGD with biased gradients, as the kernel has it: its hypotheses, and what a step and a run give.

The run is ``x_{t+1} = x_t - η (∇f(x_t) + b_t + n_t)``, with noise of mean zero given x_t and b_t. Its bounds are of
``A² = (1/T) Σ_t E‖∇f(x_t)‖²``, in terms of ``Z² = (1/T) Σ_t E‖b_t‖²``, or of a Z that bounds ``E‖b_t‖²`` at every
step, and h = Λη.
"""

from __future__ import annotations

from functools import cache

from sympy import Integer, Rational, Sum, Symbol

from rdml_theory.symbolic.arguments import exact
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.sgd.descent import Z, eta, gap, h, horizon, sigma

__all__ = [
    "AVERAGED", "HALF", "HYPOTHESES", "above_the_infimum", "after", "assumptions", "at_update", "average",
    "averaged", "b", "cauchy_schwarz", "cross_term", "exact", "fallen", "first", "g", "given", "infimum",
    "mean_over_steps", "moved", "n", "of_a_step", "one_step", "smoothness", "squared",
    "surely_above_the_infimum", "t", "texts", "turned", "x", "y",
]  # fmt: skip

HALF = Rational(1, 2)
smoothness: Term = Symbol("Lambda", positive=True)
infimum: Term = Symbol("f_inf", real=True)
average: Term = Symbol("A", nonnegative=True)
t: Term = Symbol("t", integer=True, nonnegative=True)

x, b, n = At("x", t), At("b", t), At("n", t)
y = Vector("y")
g = Gradient("f", x)
first = At("x", Integer(0))
after = At("x", t + 1)


def mean_over_steps(term: Term, count: Term = horizon) -> Term:
    """``(1/T) Σ_{t<T} E[term]``, or the sum over fewer steps divided by T."""
    return Sum(Mean(term), (t, 0, count - 1)) / horizon


HYPOTHESES: dict[str, Proposition] = {
    "smooth": Smooth("f", smoothness),
    "descent": ForAll(
        t, AtMost(Value("f", after), Value("f", x) + Inner(g, after - x) + smoothness / 2 * square(after - x))
    ),
    "bounded": ForAll(y, AtMost(infimum, Value("f", y))),
    "start": AtMost(Mean(Value("f", first)) - infimum, gap),
    "fall": AtMost(Mean(Value("f", first)) - Mean(Value("f", At("x", horizon))), gap),
    "update": ForAll(t, Equal(after, x - eta * (g + b + n))),
    "centred": ForAll(t, Centred(n, (x, b))),
    "noise": ForAll(t, AtMost(Mean(square(n)), sigma**2)),
    "average": Equal(average**2, mean_over_steps(square(g))),
    "bias": Equal(Z**2, mean_over_steps(square(b))),
    "bias of a step": ForAll(t, AtMost(Mean(square(b)), Z**2)),
    "h": Equal(h, smoothness * eta),
    "h < 2": Less(h, 2),
    "h ≤ 1": AtMost(h, 1),
}
"""The hypotheses, each with a name."""

AVERAGED = ("smooth", "bounded", "start", "update", "centred", "noise", "average", "bias", "h")
"""Those of a bound of A in terms of the mean square Z² of the bias."""


def assumptions(*names: str) -> tuple[str, ...]:
    """Hypotheses as text: those of these names, and words that are none as they are.

    >>> assumptions("smooth", "h < 2")
    ('f is Λ-smooth', 'h < 2', 'all expectations are finite')
    """
    return (*(HYPOTHESES[name].text() if name in HYPOTHESES else name for name in names), Finite().text())


def texts(*told: Proposition) -> tuple[str, ...]:
    """Propositions as text.

    >>> texts(HYPOTHESES["smooth"])
    ('f is Λ-smooth',)
    """
    return tuple(part.text() for part in told)


def given(told: str | Proposition, *values: Term, why: str = "") -> Theorem:
    """A hypothesis, or that of a name, and why; at values of its variables.

    >>> print(given("noise", t).conclusion.text(), given(Less(0, eta)))
    E[‖n_t‖²] ≤ σ² 0 < η ⊢ 0 < η
    """
    proposition = HYPOTHESES[told] if isinstance(told, str) else told
    theorem = assume(proposition, reason=f"given: {why}" if why else "given")
    for value in values:
        theorem = specialise(theorem, value, reason="given, at this value")
    return theorem


def squared(equation: Theorem) -> Theorem:
    """From an equality of vectors ``u = v``, ``‖u‖² = ‖v‖²``."""
    left, right = equation.conclusion.terms()
    return combine(
        Equal(square(left), square(right)), [(1, inner(equation, left)), (1, inner(equation, right))],
        reason="its square",
    )  # fmt: skip


def turned(equation: Theorem) -> Theorem:
    """From ``a = b``, ``b = a``."""
    left, right = equation.conclusion.terms()
    return combine(Equal(right, left), [(-1, equation)], reason="read from right to left")


def moved(theorem: Theorem, update: Theorem | None = None) -> Theorem:
    """The theorem in which the point that an update leads to, by default x_t - η(...), is called what it is there."""
    back = turned(given("update", t) if update is None else update)
    return rewrite(theorem, back, reason="which is where the update leads")


def at_update() -> Term:
    """Where the step leads to without noise."""
    return x - eta * (g + b)


@cache
def one_step(descent: Theorem | None = None) -> Theorem:
    """What one step gains: E f(x_{t+1}) against E f(x_t), of a smooth f, or by the inequality of a step."""
    if descent is None:
        lemma = axiom("descent lemma", ("f", smoothness), reason="f is smooth")
        along = instantiate(lemma, {y: x, Vector("v"): -eta * (g + b + n)}, reason="from x_t along the update")
    else:
        along = rewrite(descent, given("update", t), reason="along the update")
    fall = expectation(moved(along), reason="take expectations")
    centred = given("centred", t)
    inner, squares = Mean(Inner(g, b)), Mean(square(b))
    whole = Mean(square(g)) + 2 * inner + squares
    gained = (1 - h / 2) * Mean(square(g)) + (1 - h) * inner - h / 2 * squares
    return combine(
        AtMost(Mean(Value("f", after)), Mean(Value("f", x)) - eta * gained + eta * h / 2 * sigma**2),
        [
            (1, fall),
            (eta * (smoothness * eta - 1), orthogonal(centred, g, reason="the noise has mean zero given x_t")),
            (smoothness * eta**2, orthogonal(centred, b, reason="and given b_t")),
            (smoothness * eta**2 / 2, given("noise", t)),
            (-eta / 2 * (whole + sigma**2), given("h")),
        ],
        reason="multiply out: the noise is orthogonal to ∇f(x_t) and to b_t",
    )


@cache
def surely_above_the_infimum(coefficient: Term = HALF) -> Theorem:
    """``‖∇f(y)‖²/(2Λ) ≤ f(y) - f_inf``: a step of -∇f/Λ would not go below the infimum."""
    slope = Gradient("f", y)
    lemma = axiom("descent lemma", ("f", smoothness), reason="f is smooth")
    along = instantiate(lemma, {Vector("v"): -slope / smoothness}, reason="from y along -∇f/Λ")
    below = specialise(given("bounded"), y - slope / smoothness, reason="where f is not below the infimum")
    return combine(
        AtMost(coefficient * square(slope) / smoothness, Value("f", y) - infimum),
        [(1, along), (1, below)],
        reason="so the value pays for the gradient",
    )


@cache
def above_the_infimum() -> Theorem:
    """``E‖∇f(x_t)‖²/(2Λ) ≤ E f(x_t) - f_inf``."""
    here = instantiate(surely_above_the_infimum(), {y: x}, reason="at x_t")
    target = AtMost(Mean(square(g)) / (2 * smoothness), Mean(Value("f", x)) - infimum)
    return combine(target, [(1, expectation(here, reason="take expectations"))], reason="which are linear")


@cache
def fallen() -> Theorem:
    """``E f(x_0) - E f(x_T) ≤ Δ``, where no value is below the infimum."""
    last = specialise(given("bounded"), At("x", horizon), reason="the last value is not below the infimum")
    return combine(
        HYPOTHESES["fall"],
        [(1, expectation(last, reason="take expectations")), (1, given("start"))],
        reason="so f has fallen by at most Δ",
    )


@cache
def averaged(fall: Theorem | None = None, step: Theorem | None = None) -> Theorem:
    """The average over the steps, with the cross term (1/T) Σ E⟨∇f, b⟩.

    ``fall`` says that f falls by at most Δ over the run, and ``step`` what a step gains: by default, what follows from
    a bounded and smooth f.
    """
    weight = 1 / (eta * horizon)
    return combine(
        AtMost(
            (1 - h / 2) * average**2 + (1 - h) * mean_over_steps(Inner(g, b)) - h / 2 * mean_over_steps(square(b)),
            gap / (eta * horizon) + h * sigma**2 / 2,
        ),
        [
            (weight, sum_over(one_step() if step is None else step, t, horizon, reason="sum over the steps")),
            (weight, fallen() if fall is None else fall),
            (1 - h / 2, given("average")),
        ],
        reason="the values telescope; divide by ηT",
    )


@cache
def cauchy_schwarz(count: Term = horizon) -> Theorem:
    """``((1/T) Σ E⟨∇f, b⟩)² ≤ (1/T) Σ E‖∇f‖² · (1/T) Σ E‖b‖²``, over the steps before ``count``."""
    general = axiom("Cauchy-Schwarz", reason="Cauchy-Schwarz over steps and chance")
    here = instantiate(
        general, {At("u", t): g, At("v", t): b, Symbol("N", integer=True, nonnegative=True): count},
        reason="for ∇f(x_t) and b_t",
    )  # fmt: skip
    whole = mean_over_steps(square(g), count) * mean_over_steps(square(b), count)
    cross = mean_over_steps(Inner(g, b), count)
    return combine(AtMost(cross**2, whole), [(1 / horizon**2, here)], reason="divide by T²")


def of_a_step(u: Term, v: Term) -> Theorem:
    """Cauchy-Schwarz at the step t: ``(E⟨u, v⟩)² ≤ E‖u‖² E‖v‖²``."""
    k = Symbol("k", integer=True, nonnegative=True)  # the step, which the axiom counts from
    general = axiom("Cauchy-Schwarz", reason="Cauchy-Schwarz over chance")
    one = {At("u", t): u.subs(t, t + k), At("v", t): v.subs(t, t + k), Symbol("N", integer=True, nonnegative=True): 1}
    means: list[Term] = [Mean(Inner(*pair)) for pair in ((u, v), (u, u), (v, v))]
    product, left, right = (mean.subs(t, k) for mean in means)
    sums = [last_term(Sum(mean.subs(t, t + k), (t, 0, 0)), reason="a sum of one") for mean in means]
    cross, first_sum = (theorem.conclusion.terms()[0] for theorem in sums[:2])
    written = combine(
        AtMost(product**2, left * right),
        [
            (1, instantiate(general, one, reason="for one step")),
            (-(product + cross), sums[0]),
            (right, sums[1]),
            (first_sum, sums[2]),
        ],
        reason="written out",
    )
    return instantiate(written, {k: t}, reason="at the step t")


@cache
def cross_term() -> Theorem:
    """The cross term is at most A Z in size."""
    cross = mean_over_steps(Inner(g, b))
    product = combine(
        AtMost(cross**2, average**2 * Z**2),
        [
            (1, cauchy_schwarz()),
            (-mean_over_steps(square(b)), given("average")),
            (-(average**2), given("bias")),
        ],
        reason="with the definitions of A and Z",
    )
    return root(product, cross, reason="take roots")
