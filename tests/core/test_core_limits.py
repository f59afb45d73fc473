"""The orders 0, 1 and infinity, zeros, and infinite divergences with the derivatives that are documented for them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rdml_theory import escort, renyi_divergence, renyi_gradient, renyi_hessian, renyi_value_and_gradient

# rows of any sum are the point of many of these cases
pytestmark = pytest.mark.filterwarnings("ignore::rdml_theory.UnnormalisedWarning")

INF = math.inf
ALL = np.array([0.0, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, INF])


def test_orders_zero_one_and_infinity():
    p, q = np.array([0.5, 0.25, 0.25, 0.0]), np.array([0.25, 0.25, 0.25, 0.25])
    log2 = math.log(2)
    assert renyi_divergence(p, q, 0.0) == pytest.approx(-math.log(0.75), rel=2**-51)
    assert renyi_divergence(p, q, 1.0) == pytest.approx(0.5 * log2, rel=2**-51)
    assert renyi_divergence(p, q, INF) == pytest.approx(log2, rel=2**-51)
    assert renyi_divergence(q, q * 7, 0.0) == 0.0


def test_order_zero_counts_only_the_support():
    rng = np.random.default_rng(1)
    p, q = rng.dirichlet(np.ones(5), 9), rng.dirichlet(np.ones(5), 9)
    assert np.all(renyi_divergence(p, q, 0.0) == 0.0)
    assert not np.signbit(renyi_divergence(p, q, 0.0)).any()
    # nearly all of q lies outside the support of p
    assert renyi_divergence([1.0, 0.0], [1e-200, 1.0], 0.0) == pytest.approx(200 * math.log(10), rel=2**-51)


def test_limits_are_approached():
    rng = np.random.default_rng(2)
    p, q = rng.dirichlet(np.ones(6), 20), rng.dirichlet(np.ones(6), 20)
    for alpha, neighbour in ((1.0, 1 + 2**-50), (1.0, 1 - 2**-50), (INF, 1e18), (0.0, 1e-18)):
        exact, near = renyi_divergence(p, q, alpha), renyi_divergence(p, q, neighbour)
        assert np.allclose(exact, near, rtol=1e-14, atol=1e-15)
        assert np.allclose(escort(p, q, alpha), escort(p, q, neighbour), rtol=1e-13, atol=1e-13)
        for wrt in ("p", "q"):
            a, b = (renyi_gradient(p, q, x, wrt=wrt) for x in (alpha, neighbour))
            assert np.allclose(a, b, rtol=1e-12, atol=1e-13)


def test_zeros():
    q = [0.5, 0.5]
    assert np.allclose(renyi_divergence([1.0, 0.0], q, ALL), math.log(2), rtol=2**-51)
    values = renyi_divergence(q, [1.0, 0.0], ALL)
    assert np.array_equal(np.isinf(values), ALL >= 1.0)
    # a class that neither allows is as good as absent
    assert np.array_equal(
        renyi_divergence([0.5, 0.0, 0.5], [0.2, 0.0, 0.8], ALL), renyi_divergence([0.5, 0.5], [0.2, 0.8], ALL)
    )
    assert np.all(renyi_divergence([1.0, 0.0], [0.0, 1.0], ALL) == INF)


def test_excluded_classes_in_logits():
    p, q = np.array([0.5, 0.0, 0.5, 0.0]), np.array([0.25, 0.25, 0.5, 0.0])
    with np.errstate(divide="ignore"):
        u, z = np.log(p), np.log(q)
    for domain in ("logits", "log_probs"):
        assert np.allclose(renyi_divergence(u, z, ALL, domain=domain), renyi_divergence(p, q, ALL), rtol=1e-14)
        assert np.allclose(renyi_divergence(z, u, ALL, domain=domain), renyi_divergence(q, p, ALL), rtol=1e-14)
        assert np.allclose(escort(u, z, 2.0, domain=domain), escort(p, q, 2.0), rtol=1e-14)


def test_single_class():
    for domain in ("probs", "log_probs", "logits"):
        assert np.all(renyi_divergence([3.0], [5.0], ALL, domain=domain) == 0.0)
        assert np.all(renyi_gradient([3.0], [5.0], ALL, domain=domain) == 0.0)
        assert np.all(renyi_gradient([3.0], [5.0], ALL, wrt="p", domain=domain) == 0.0)
        assert np.all(renyi_gradient([3.0], [5.0], ALL, wrt="alpha", domain=domain) == 0.0)
        assert np.all(renyi_hessian([3.0], [5.0], 2.0, domain=domain) == 0.0)
        assert np.all(escort([3.0], [5.0], ALL, domain=domain) == 1.0)


def test_consensus_has_zero_gradient():
    p = np.array([0.2, 0.3, 0.5])
    for wrt in ("p", "q", "alpha"):
        assert np.all(renyi_gradient(p, p, ALL[:-1], wrt=wrt) == 0.0)
    assert np.allclose(escort(p, p, ALL[:-1]), p, rtol=2**-51)
    q = p / p.sum()
    for alpha in (0.5, 1.0, 2.0):
        assert np.allclose(renyi_hessian(p, p, alpha, domain="probs"), alpha * (np.diag(1 / q) - 1), rtol=1e-14)
        assert np.allclose(
            renyi_hessian(np.log(p), np.log(p), alpha), alpha * (np.diag(q) - np.outer(q, q)), rtol=1e-13
        )


def test_max_divergence_subgradient_is_uniform_over_ties():
    p, q = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.125, 0.625])
    assert np.array_equal(escort(p, q, INF), [0.5, 0.5, 0.0])
    assert np.allclose(renyi_gradient(p, q, INF) * q, q - [0.5, 0.5, 0.0])


def test_gradients_at_zero_entries():
    # raising q where p > 0 = q lowers D without bound; raising q where p = 0 only takes mass from the others
    assert np.array_equal(renyi_gradient([0.5, 0.5, 0.0], [0.25, 0.75, 0.0], 2.0)[2:], [1.0])
    assert renyi_gradient([0.5, 0.5], [1.0, 0.0], 0.5)[1] == -INF
    # raising p from zero
    assert renyi_gradient([1.0, 0.0], [0.5, 0.5], 0.5, wrt="p")[1] == -INF
    assert renyi_gradient([1.0, 0.0], [0.5, 0.5], 1.0, wrt="p")[1] == -INF
    assert renyi_gradient([1.0, 0.0], [0.5, 0.5], 2.0, wrt="p")[1] == -2.0
    assert renyi_gradient([1.0, 0.0], [1.0, 0.0], 2.0, wrt="p")[1] == INF
    step = 1e-9
    for alpha in (0.5, 2.0, 3.0):
        p, q = np.array([1.0, 0.0, 1.0]), np.array([0.5, 0.0, 1.5])
        slope = renyi_gradient(p, q, alpha)[1]
        moved = renyi_divergence(p, q + np.array([0, step, 0]), alpha) - renyi_divergence(p, q, alpha)
        assert slope == pytest.approx(moved / step, rel=1e-5)


def test_infinite_divergence():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([1.0, 0.0, 0.0])
    assert np.array_equal(escort(p, q, 1.0), p)
    assert np.allclose(escort(p, q, 2.0), [0.0, 9 / 13, 4 / 13], rtol=2**-51)
    assert np.array_equal(escort(p, q, INF), [0.0, 0.5, 0.5])
    assert np.isnan(renyi_gradient(p, q, [1.0, 2.0, INF], wrt="alpha")).all()
    with np.errstate(divide="ignore"):
        u, z = np.log(p), np.log(q)
    assert np.allclose(renyi_gradient(u, z, 2.0, domain="logits"), [1.0, -9 / 13, -4 / 13])
    assert np.allclose(renyi_gradient(u, z, 1.0, domain="logits"), q - p)
    assert np.isnan(renyi_gradient(u, z, 1.0, wrt="p", domain="logits")).all()
    assert np.isnan(renyi_gradient([1.0, 0.0], [0.0, 1.0], 0.5)).any()
    result = renyi_value_and_gradient(u, z, 2.0, domain="logits")
    assert result.value == INF
    assert np.isfinite(result.gradient).all()


def test_lost_mass_below_order_one():
    """Classes with q = 0 < p, alpha < 1: the escort ignores them, so q - w vanishes where w is all of q."""
    u, z = np.log([0.5, 0.2, 0.3]), np.array([0.0, -INF, -INF])
    for alpha in (1e-9, 0.3, 0.5, 0.9, 1 - 1e-10):
        assert np.array_equal(renyi_gradient(u, z, alpha, domain="logits"), [0.0, 0.0, 0.0])
        assert renyi_divergence(u, z, alpha, domain="logits") == pytest.approx(
            -alpha / (1 - alpha) * math.log(0.5), rel=1e-14
        )


def test_hessians_at_order_infinity_and_zero():
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.5, 0.3, 0.2])
    u, z = np.log(p), np.log(q)
    assert np.allclose(renyi_hessian(u, z, INF), np.diag(q) - np.outer(q, q), rtol=1e-14)
    assert np.allclose(renyi_hessian(u, z, INF, wrt="p"), np.outer(p, p) - np.diag(p), rtol=1e-14)
    assert np.all(renyi_hessian(u, z, INF, wrt="mixed") == 0.0)
    for wrt in ("p", "q", "mixed"):
        assert np.all(renyi_hessian(u, z, 0.0, wrt=wrt) == 0.0)
    expected = np.zeros((3, 3))
    expected[2, 2] = 1 / 0.04
    assert np.allclose(renyi_hessian(p, q, INF, domain="probs"), expected - 1.0, rtol=1e-13)
