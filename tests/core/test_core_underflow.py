"""Logits so far apart that probabilities underflow: their classes count as the definition says."""

from __future__ import annotations

import math

import mpmath as mp
import naive_renyi as naive
import numpy as np
import pytest

from rdml_theory import _branches as branches
from rdml_theory import escort, renyi_cross_entropy, renyi_divergence, renyi_entropy, renyi_gradient

INF = math.inf
# classes of e^-3000 beside others need this many digits
DIGITS = 420


@pytest.mark.parametrize("depth", [-744.0, -746.0, -1e5, -1e300])
def test_a_class_that_only_the_peer_allows(depth):
    """q = 0 < p: infinite from order one on, however small p is, with the limits of the derivatives."""
    u, z = [depth, 0.0], [-INF, 0.0]
    alphas = np.array([0.0, 0.3, 0.5, 0.9, 1.0, 1.5, 2.0, 3.0, 1e6, INF])
    for teacher in (u, np.tile(u, (20, 1))):
        values = renyi_divergence(teacher, z, alphas if teacher is u else np.tile(alphas, 2), domain="logits")
        assert np.array_equal(np.isinf(values), np.tile(alphas, values.size // 10) >= 1.0)
    for alpha in (1.0, 1.5, 2.0, 3.0, INF):
        single = renyi_divergence(u, z, alpha, domain="logits")
        assert single == INF
        weights = [math.exp(depth), 1.0] if alpha == 1.0 else [1.0, 0.0]
        assert np.array_equal(escort(u, z, alpha, domain="logits"), weights)
        assert np.array_equal(
            renyi_gradient(u, z, alpha, domain="logits"), [-weights[0], 1.0 - weights[1] if alpha > 1 else weights[0]]
        )
        assert np.isnan(renyi_gradient(u, z, alpha, wrt="alpha", domain="logits"))
    entropies = renyi_cross_entropy(u, z, [0.0, 0.5, 1.0, 1.5], domain="logits")
    assert np.array_equal(np.isinf(entropies), [True, True, True, False])


def test_order_zero_of_what_underflows():
    u, z = [0.0, -INF], [-1e5, 0.0]
    assert renyi_divergence(u, z, 0.0, domain="logits") == 1e5
    assert np.array_equal(escort(u, z, 0.0, domain="logits"), [1.0, 0.0])
    assert np.array_equal(renyi_gradient(u, z, 0.0, domain="logits"), [-1.0, 1.0])


def test_entropy_counts_classes_that_underflow():
    u = [0.0, -800.0, -INF]
    assert renyi_entropy(u, 0.0, domain="logits") == pytest.approx(math.log(2.0), rel=2**-50)
    exact = float(mp.log1p(mp.exp(-8)) / mp.mpf(0.99))
    assert renyi_entropy(u, 0.01, domain="logits") == pytest.approx(exact, rel=1e-12)
    assert renyi_entropy(u, 2.0, domain="logits") == 0.0


def test_differences_that_overflow_are_refused():
    with pytest.raises(ValueError, match=r"differences exceed float64.*scale them down"):
        renyi_divergence([1.7e308, -1.7e308, 0.0], [0.0, 1.0, 2.0], 0.5, domain="logits")
    # the most negative number as a mask is no such case
    lowest = np.finfo(float).min
    assert renyi_divergence([1.0, lowest], [2.0, lowest], 2.0, domain="logits") == 0.0


def draw(rng, spread=(0.0, 1.0, 10.0, 740.0, 746.0, 1e3, 3e3, 1e5)):
    """Return logits with underflowing and excluded classes, and an order, half of them where such a class weighs."""
    size = int(rng.integers(2, 5))
    u, z = (rng.choice(spread, size) * rng.choice([-1, -1, 1], size) + rng.standard_normal(size) for _ in range(2))
    if rng.random() < 0.3:
        z = u + rng.choice([1e-8, 1e-3, 1.0, 50.0]) * rng.standard_normal(size)
    for x in (u, z):
        x[1:][rng.random(size - 1) < 0.15] = -INF
    alpha = float(10 ** rng.uniform(-3, 3)) if rng.random() < 0.7 else float(rng.choice([0.0, 0.5, 1.0, 1.5, 2.0, INF]))
    if rng.random() < 0.5:
        # the order at which p^alpha q^(1 - alpha) of one class is about one
        logs = [x - np.logaddexp.reduce(x) for x in (u, z)]
        at = int(rng.integers(size))
        with np.errstate(invalid="ignore"):
            ratio = logs[0][at] - logs[1][at]
        if 0.0 < ratio < INF:
            alpha = float(1.0 - logs[0][at] / ratio + 1e-3 * rng.standard_normal())
    return u, z, abs(alpha)


def check_against_the_definition(u, z, alpha):
    p, q = (naive.normalised(x, "logits") for x in (u, z))
    if alpha == 0.0:
        kept = mp.fsum(y for x, y in zip(p, q, strict=True) if x > 0)
        exact = -mp.log(kept) if kept else mp.inf
    else:
        exact = naive.divergence(p, q, alpha)
    value = float(renyi_divergence(u, z, alpha, domain="logits"))
    if mp.isinf(exact):
        assert value == INF
        return
    slopes = [renyi_gradient(u, z, alpha, wrt=wrt, domain="logits") for wrt in ("p", "q")]
    size = sum(np.abs(x[np.isfinite(x)] * g[np.isfinite(x)]).sum() for x, g in zip((u, z), slopes, strict=True))
    assert abs(mp.mpf(value) - exact) <= 4 * 2.0**-52 * (exact + size) + 1e-290
    if alpha == 0.0 or math.isinf(alpha):
        return
    reach = max(abs(x) for x in (*u, *z) if math.isfinite(x))
    for computed, stated, scale in (
        (slopes[1], naive.student_gradient(p, q, alpha), 1.0),
        (slopes[0], naive.teacher_gradient(p, q, alpha), 1.0 if alpha == 1.0 else max(1.0, alpha / abs(alpha - 1.0))),
    ):
        rounding = scale * (64 + 8 * max(alpha, 1.0) * (1.0 + reach)) * 2.0**-53
        assert max(abs(mp.mpf(float(a)) - b) for a, b in zip(computed, stated, strict=True)) <= rounding


@pytest.mark.parametrize("side", [-1e-9, 1e-9])
@pytest.mark.parametrize("alpha", [0.5, 1.0 + 1e-5, 4 / 3, 1.5, 2.0])
def test_beside_the_threshold(side, alpha):
    edge = math.log(branches.TINY_PROBABILITY) + side
    with mp.workdps(DIGITS):
        for u, z in (([edge, 0.0], [4 * edge, 0.0]), ([0.0, edge], [edge, 0.0]), ([edge / 2, 0.0], [edge, 0.0])):
            check_against_the_definition(np.array(u), np.array(z), alpha)


@pytest.mark.parametrize("seed", range(4))
def test_values_and_gradients(seed):
    rng = np.random.default_rng([seed, 27])
    with mp.workdps(DIGITS):
        for _ in range(25):
            check_against_the_definition(*draw(rng))


@pytest.mark.slow
def test_values_and_gradients_of_many_pairs():
    rng = np.random.default_rng([2026, 27])
    with mp.workdps(DIGITS):
        for _ in range(1_500):
            check_against_the_definition(*draw(rng))


@pytest.mark.parametrize("alpha", [1e-3, 0.5, 1 - 2.0**-53, 1.0, 1.5, 3.0, 1e30, np.inf])
@pytest.mark.parametrize("tiny", [5e-324, 1e-320, 1e-310, 1e-300])
def test_least_probabilities_keep_their_digits_when_sums_are_made_equal(tiny, alpha):
    """Of p or q, in sums of any size; the logarithms of the entries hold the same digits, and need no sum."""
    pairs = (
        ([1.0] * 8, [tiny, *[1e-200] * 6, 1.0]), ([1.0] * 3, [tiny, 1.0, tiny]), ([3e-200] * 3, [tiny, 1.0, tiny]),
        ([tiny, 0.3, tiny], [1.0, 2.0, tiny]), ([1e200] * 2, [1e-118 * (tiny > 1e-305) or tiny, 1.0]),
    )  # fmt: skip
    for p, q in pairs:
        found = renyi_divergence(p, q, alpha, normalise=True)
        assert found == pytest.approx(renyi_divergence(np.log(p), np.log(q), alpha, domain="logits"), rel=1e-12)
