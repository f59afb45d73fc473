"""N3: mean and variance of the gradient of a mini-batch that is drawn without replacement.

``s_i`` is 1 if sample i is in the batch of B out of N, else 0. Its gradient is ``l_i + βr_i``, of the base and the
mutual loss; ``d_i`` is how far that is from the mean of all. Weights, and so gradients, may be random: the batch is
drawn independently of them, which is what the hypotheses say.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sympy import Integer, Mul, Sum, Symbol, fraction

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.sgd.setting import exact, given, squared

__all__ = [
    "ASSUMPTIONS",
    "VARIANCE",
    "batch",
    "drawn",
    "mean_target",
    "minibatch",
    "samples",
    "spread",
    "variance_target",
]

spread: Formula = Symbol("V", positive=True)
batch: Formula = Symbol("B", positive=True)
samples: Formula = Symbol("N", integer=True, positive=True)

VARIANCE: Formula = spread / batch * (samples - batch) / (samples - 1)
"""(V/B)(N-B)/(N-1), V the variance of the samples' gradients."""

_i, _j, _k, _m = (Symbol(name, integer=True, nonnegative=True) for name in "ijkm")
_y = Vector("y")
_g, _base, _mutual = (Random(name) for name in "gLR")
_whole = _base + beta * _mutual
_one, _two = batch / samples, batch * (batch - 1) / (samples * (samples - 1))
"""The probabilities of one sample, and of two different ones, to be in the batch."""


def _s(index: Any) -> Any:
    return Entry("s", index, random=True)


def _total(term: Any) -> Any:
    return Sum(term, (_i, 0, samples - 1))


def _of_sample(index: Any) -> Any:
    return At("l", index) + beta * At("r", index)


def _means(name: str, whole: Any) -> Proposition:
    """``N⟨whole, y⟩ = Σ⟨name_i, y⟩`` for every y."""
    return ForAll(_y, Equal(samples * Inner(whole, _y), _total(Inner(At(name, _i), _y))))


def _inside(first: Any, second: Any, *indices: Any) -> Equal:
    """A product of gradients counts with the chance of one or two samples, as the draw does not depend on it."""
    product, inside = Inner(first, second), Mul(*map(_s, indices))
    above, below = fraction(_two if len({*indices}) > 1 else _one)
    return Equal(below * Mean(inside * product), above * Mean(product))


MEAN = {
    "base": _means("l", _base),
    "mutual": _means("r", _mutual),
    "batch": ForAll(_y, Equal(batch * Inner(_g, _y), _total(_s(_i) * Inner(_of_sample(_i), _y)))),
    "chance": ForAll(_y, ForAll(_i, _inside(_of_sample(_i), _y, _i))),
}
"""The gradient of the batch, and the chance of a sample to be in it."""


def drawn(count: Any) -> Any:
    """The sum of the deviations of those among the first samples that are in the batch.

    >>> drawn(samples)
    S_N
    """
    return At("S", count)


def _d(index: Any) -> Any:
    return At("d", index)


def _D(index: Any) -> Any:  # noqa: N802
    return At("D", index)


_later = _i + _j + 1

NOISE = {
    "several": Less(1, samples),
    "none": Equal(drawn(Integer(0)), 0 * drawn(Integer(0))),
    "drawn": ForAll(_i, Equal(drawn(_i + 1), drawn(_i) + _s(_i) * _d(_i))),
    "zero": Equal(_D(Integer(0)), 0 * _D(Integer(0))),
    "all": ForAll(_i, Equal(_D(_i + 1), _D(_i) + _d(_i))),
    "deviations": ForAll(_i, Equal(_d(_i), _of_sample(_i) - _whole)),
    "size": Equal(_total(_s(_i)), batch),
    "one": ForAll(_i, _inside(_d(_i), _d(_i), _i, _i)),
    "two": ForAll(_m, ForAll(_k, _inside(_d(_k), _d(_m), _k, _m), _m)),
    "spread": Equal(samples * spread, _total(Mean(square(_d(_i))))),
}
"""Sums S of what is drawn of the deviations from the mean, and D of all; the chances of one and of two samples."""

ASSUMPTIONS = (*(told.text() for told in (*MEAN.values(), *NOISE.values())), Finite().text())
"""What mean and variance assume, as text."""


def mean_target(weight: Formula = beta) -> Equal:
    """``E⟨g, y⟩ = E⟨∇L, y⟩ + weight·E⟨∇R, y⟩``, in every direction y.

    >>> print(mean_target().text())
    E[⟨y, g⟩] = β·E[⟨y, R⟩] + E[⟨y, L⟩]
    """
    return Equal(Mean(Inner(_g, _y)), Mean(Inner(_base, _y)) + exact(weight) * Mean(Inner(_mutual, _y)))


def variance_target(variance: Formula = VARIANCE) -> Equal:
    """``E‖g - ∇L - β∇R‖² =`` the variance.

    >>> print(variance_target().text())
    E[‖g - β·R - L‖²] = V·(N - B)/(B·(N - 1))
    """
    return Equal(Mean(square(_g - _whole)), exact(variance))


def _mean(weight: Formula) -> Theorem:
    told = {name: given(part, _y) for name, part in MEAN.items()}
    each = specialise(told["chance"], _i, reason="for each sample")
    total = sum_over(each, _i, samples, reason="summed over the samples")
    of_batch, base, mutual = (
        expectation(told[name], reason="take expectations") for name in ("batch", "base", "mutual")
    )
    return combine(
        mean_target(weight),
        [(1 / batch, of_batch), (1 / (batch * samples), total), (-1 / samples, base), (-beta / samples, mutual)],
        reason="a sample counts 1/B with probability B/N",
    )


@cache
def _cross() -> Theorem:
    """``E s_i⟨S_i, d_i⟩ = π E⟨D_i, d_i⟩``, π the chance of two: S_i holds the samples before i alone."""

    def at(step: Any) -> ForAll:
        """Of the sums of the first ``step`` samples and any later one."""
        other = step + _j
        left, right = (Inner(vector, _d(other)) for vector in (drawn(step), _D(step)))
        return ForAll(_j, Equal(Mean(_s(other) * left), _two * Mean(right)))

    known = [given(NOISE["several"])]
    nothing = [inner(given(NOISE[name]), _d(_j)) for name in ("none", "zero")]
    first = combine(Equal(_s(_j) * Inner(drawn(Integer(0)), _d(_j)), 0), [(_s(_j), nothing[0])], reason="at first none")
    none, whole = (expectation(told, reason="take expectations") for told in (first, nothing[1]))
    base = combine(at(Integer(0)).body, [(1, none), (-_two, whole)], known=known, reason="at the start")
    supposed = specialise(assume(at(_i), known=known, reason="suppose"), _j + 1, reason="for a later one")
    more = inner(given(NOISE["drawn"], _i), _d(_later))
    longer, parts = more.conclusion.terms()
    added = combine(
        Equal(_s(_later) * longer, _s(_later) * parts), [(_s(_later), more)], reason="where the later one is drawn"
    )
    step = combine(
        at(_i + 1).body,
        [
            (1, expectation(added, reason="take expectations")),
            (1, supposed),
            (1 / (samples * (samples - 1)), given(NOISE["two"], _later, _i)),
            (-_two, expectation(inner(given(NOISE["all"], _i), _d(_later)), reason="take expectations")),
        ],
        reason="two different samples are drawn together with this chance",
    )
    always = induct(generalise(base, _j), generalise(step, _j), _i, reason="by induction")
    return specialise(specialise(always, _i, reason="at every sample"), Integer(0), reason="for itself")


def _noise(variance: Formula) -> Theorem:
    known = [given(NOISE["several"])]

    def at(step: Any) -> Equal:
        squares = Sum(Mean(square(_d(_k))), (_k, 0, step - 1))
        return Equal(Mean(square(drawn(step))), _two * Mean(square(_D(step))) + (_one - _two) * squares)

    starts = [expectation(squared(given(NOISE[name])), reason="take expectations") for name in ("none", "zero")]
    base = combine(at(Integer(0)), [(1, starts[0]), (-_two, starts[1])], known=known, reason="at the start")
    more = [expectation(squared(given(NOISE[name], _i)), reason="take expectations") for name in ("drawn", "all")]
    last = last_term(Sum(Mean(square(_d(_k))), (_k, 0, _i)), reason="the last apart")
    step = combine(
        at(_i + 1),
        [
            (1, more[0]),
            (-_two, more[1]),
            (1, assume(at(_i), known=known, reason="suppose")),
            (2, _cross()),
            (1 / samples, given(NOISE["one"], _i)),
            (-(_one - _two), last),
        ],
        reason="one sample more",
    )
    whole = specialise(induct(base, step, _i, reason="by induction"), samples, reason="of all samples")
    off, ends = (expectation(theorem, reason="take expectations") for theorem in (_off_the_mean(), _none_left()))
    return combine(
        variance_target(variance),
        [(1, off), (1 / batch**2, whole), (_two / batch**2, ends), (-(_one - _two) / batch**2, given(NOISE["spread"]))],
        reason="the deviations sum to zero",
    )


def _along(sums: Any, summand: Any, first: str, more: str) -> Theorem:
    """``⟨sums, y⟩ = Σ summand`` up to all samples, from how the sums go on."""

    def at(step: Any) -> Equal:
        return Equal(Inner(sums(step), _y), Sum(summand.xreplace({_i: _k}), (_k, 0, step - 1)))

    base = combine(at(Integer(0)), [(1, inner(given(NOISE[first]), _y))], reason="at the start")
    last = last_term(at(_i + 1).right, reason="the last apart")
    step = combine(
        at(_i + 1), [(1, inner(given(NOISE[more], _i), _y)), (-1, last), (1, assume(at(_i), reason="suppose"))],
        reason="one sample more",
    )  # fmt: skip
    return specialise(induct(base, step, _i, reason="by induction"), samples, reason="of all samples")


@cache
def _deviation() -> Theorem:
    return inner(given(NOISE["deviations"], _i), _y)


@cache
def _off_the_mean() -> Theorem:
    """``‖g - ∇L - β∇R‖² = ‖S_N/B‖²``: both are the mean of what is drawn of the deviations."""
    total_ = _along(drawn, _s(_i) * Inner(_d(_i), _y), "none", "drawn")
    each = combine(
        Equal(_s(_i) * Inner(_d(_i), _y), _s(_i) * Inner(_of_sample(_i) - _whole, _y)), [(_s(_i), _deviation())],
        reason="a deviation",
    )  # fmt: skip
    summed = sum_over(each, _i, samples, reason="over the samples")
    along = combine(
        Equal(Inner(drawn(samples), _y), batch * Inner(_g - _whole, _y)),
        [(1, total_), (1, summed), (-1, given(MEAN["batch"], _y)), (-Inner(_whole, _y), given(NOISE["size"]))],
        reason="B of them are drawn",
    )
    every = generalise(along, _y, reason="in every direction")
    here = [specialise(every, value, reason="in this direction") for value in (drawn(samples), _g - _whole)]
    return combine(
        Equal(square(_g - _whole), square(drawn(samples) / batch)), [(-1 / batch**2, here[0]), (-1 / batch, here[1])],
        reason="so their squares are one",
    )  # fmt: skip


@cache
def _none_left() -> Theorem:
    """``‖D_N‖² = 0``."""
    total_ = _along(_D, Inner(_d(_i), _y), "zero", "all")
    summed = sum_over(_deviation(), _i, samples, reason="over the samples")
    along = combine(
        Equal(Inner(_D(samples), _y), 0),
        [(1, total_), (1, summed), (-1, given(MEAN["base"], _y)), (-beta, given(MEAN["mutual"], _y))],
        reason="the deviations sum to zero",
    )
    every = generalise(along, _y, reason="in every direction")
    return specialise(every, _D(samples), reason="in its own direction")


@of_formulas()
def minibatch(weight: Formula = beta, variance: Formula = VARIANCE) -> Proof:
    """N3: the gradient of a mini-batch has the mean ``∇L + β∇R`` and the variance ``(V/B)(N-B)/(N-1)``.

    ``weight`` is β.

    Examples
    --------
    >>> minibatch().verify()
    True
    """
    return Proof((_mean(weight), _noise(variance)))
