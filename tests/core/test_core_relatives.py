"""The relatives of the Rényi divergence against their own definitions in mpmath."""

from __future__ import annotations

import math

import mpmath as mp
import naive_renyi as naive
import numpy as np
import pytest

import rdml_theory as rt

# rows of any sum are the point of many of these cases
pytestmark = pytest.mark.filterwarnings("ignore::rdml_theory.UnnormalisedWarning")

ULPS = 16.0


def pairs():
    rng = np.random.default_rng([1, 13])
    for spread in (1e-12, 1e-6, 1e-2, 1.0):
        for _ in range(10):
            p = rng.dirichlet(np.ones(4))
            q = p * np.exp(spread * rng.standard_normal(4))
            yield p, q / q.sum()


def test_distances():
    for p, q in pairs():
        x, y = naive.normalised(p), naive.normalised(q)
        affinity = mp.fsum(mp.sqrt(a * b) for a, b in zip(x, y, strict=True))
        assert naive.ulps(float(rt.bhattacharyya_distance(p, q)), -mp.log(affinity)) <= ULPS
        assert naive.ulps(float(rt.hellinger_distance(p, q)), mp.sqrt(1 - affinity)) <= ULPS
        chi = mp.fsum((a - b) ** 2 / b for a, b in zip(x, y, strict=True))
        # exp amplifies the error of D_2 by D_2 (1 + 1/chi)
        amplification = 1 + float(mp.log1p(chi) * (1 + chi) / chi)
        assert naive.ulps(float(rt.chi_square_divergence(p, q)), chi) <= ULPS * amplification
        assert rt.kl_divergence(p, q) == rt.renyi_divergence(p, q, 1.0)
        assert rt.max_divergence(p, q) == rt.renyi_divergence(p, q, math.inf)


def test_disjoint_supports():
    assert rt.hellinger_distance([1, 0], [0, 1]) == 1.0
    assert rt.bhattacharyya_distance([1, 0], [0, 1]) == math.inf
    assert rt.chi_square_divergence([1, 0], [0, 1]) == math.inf


ORDERS = (1e-6, 0.3, 1.0 - 1e-9, 1.0, 1.0 + 1e-9, 2.0, 50.0, 1e4)


def exact_cross_entropy(p, q, alpha):
    x, y = naive.normalised(p), naive.normalised(q)
    kept = [(a, b) for a, b in zip(x, y, strict=True) if a > 0]
    if alpha == 1:
        return -mp.fsum(a * mp.log(b) for a, b in kept)
    return mp.log(mp.fsum(a * b ** (mp.mpf(alpha) - 1) for a, b in kept)) / (1 - mp.mpf(alpha))


@pytest.mark.parametrize("alpha", ORDERS)
def test_entropies(alpha):
    rng = np.random.default_rng([2, 13])
    for _ in range(20):
        p, q = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))
        confident = np.array([1.0, 10.0 ** rng.uniform(-20, -1), 10.0 ** rng.uniform(-200, -1), 0.0])
        for x in (p, confident):
            value = float(rt.renyi_entropy(x, alpha))
            assert abs(value - float(exact_cross_entropy(x, x, alpha))) <= ULPS * 2.0**-52 * abs(value) * 4
        value = float(rt.renyi_cross_entropy(p, q, alpha))
        assert naive.ulps(value, exact_cross_entropy(p, q, alpha)) <= ULPS
        logs = float(rt.renyi_cross_entropy(np.log(p) + 3, np.log(q) - 5, alpha, domain="logits"))
        assert logs == pytest.approx(value, rel=1e-14)


def test_entropy_limits():
    p = [0.5, 0.25, 0.25, 0.0]
    assert rt.renyi_entropy(p, 0.0) == pytest.approx(math.log(3), rel=2**-50)
    assert rt.renyi_entropy(p, 1.0) == pytest.approx(1.5 * math.log(2), rel=2**-50)
    assert rt.renyi_entropy(p, math.inf) == pytest.approx(math.log(2), rel=2**-50)
    assert np.all(rt.renyi_entropy([0.0, 1.0], [0.0, 0.5, 1.0, 2.0, math.inf]) == 0.0)
    uniform = np.ones(8)
    assert np.allclose(rt.renyi_entropy(uniform, [0.0, 0.5, 1.0, 2.0, 1e3, math.inf]), math.log(8), rtol=2**-50)
    assert np.array_equal(rt.renyi_cross_entropy([0.5, 0.5], [1.0, 0.0], [0.5, 1.0]), [math.inf, math.inf])
    assert rt.renyi_cross_entropy([0.5, 0.5], [1.0, 0.0], 2.0) == pytest.approx(math.log(2), rel=2**-50)
    assert rt.renyi_cross_entropy([0.0, 1.0], [1.0, 0.0], 2.0) == math.inf


def test_entropy_is_the_gap_to_the_uniform_distribution():
    rng = np.random.default_rng([3, 13])
    p = rng.dirichlet(np.ones(6), 10)
    for alpha in (0.0, 0.5, 1.0, 2.0, math.inf):
        gap = math.log(6) - rt.renyi_divergence(p, np.ones(6), alpha)
        assert np.allclose(rt.renyi_entropy(p, alpha), gap, rtol=1e-13, atol=1e-14)


def test_shapes_types_and_errors():
    p = np.full((2, 3, 4), 0.25, dtype=np.float32)
    assert rt.renyi_entropy(p, 2.0).shape == (2, 3)
    assert rt.renyi_entropy(p, 2.0).dtype == np.float32
    assert rt.renyi_entropy(p, 2.0, axis=1).shape == (2, 4)
    assert rt.renyi_entropy(np.zeros((0, 3)), 2.0).shape == (0,)
    with pytest.raises(ValueError, match="negative"):
        rt.renyi_entropy([-1.0, 2.0], 2.0)
    with pytest.raises(ValueError, match=r"alpha = -2.0: expected orders in \[0, inf\]"):
        rt.renyi_cross_entropy([1.0, 2.0], [1.0, 2.0], -2.0)
