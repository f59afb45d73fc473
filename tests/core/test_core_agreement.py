"""Derivatives in unnormalised probabilities by differences in mpmath; in logits see tests/agreement."""

from __future__ import annotations

import mpmath as mp
import naive_renyi as naive
import numpy as np
import pytest

from rdml_theory import escort, renyi_gradient, renyi_hessian

EPS = 2.0**-52
ORDERS = (0.25, 0.5, 0.75, 1.5, 2.0, 3.25)
SIZE = 3


def random_pair(seed: int, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, 9])
    return rng.dirichlet(np.ones(size)), rng.dirichlet(np.ones(size))


def assert_close(values, exact, factor: float) -> None:
    values, exact = np.asarray(values, dtype=float), np.asarray(exact, dtype=float)
    assert np.abs(values - exact).max() <= factor * EPS * np.abs(exact).max()


@pytest.mark.filterwarnings("ignore::rdml_theory.UnnormalisedWarning")
@pytest.mark.parametrize("alpha", [*ORDERS, 1.0, 1.0 + 1e-7])
def test_differentiation_in_probabilities(alpha):
    """Gradients and Hessians in unnormalised probabilities, by differences of 10^-30 at 110 digits."""
    step = mp.mpf(10) ** -30

    def value(x, y):
        return naive.divergence([v / mp.fsum(x) for v in x], [v / mp.fsum(y) for v in y], alpha)

    def moved(x, i, s):
        return [v + (s if k == i else 0) for k, v in enumerate(x)]

    p, q = random_pair(1)
    p, q = 3 * p, 0.7 * q
    x, y = list(map(mp.mpf, p)), list(map(mp.mpf, q))
    half = (step, -step)
    d_q = [sum(value(x, moved(y, i, s)) / (2 * s) for s in half) for i in range(SIZE)]
    d_p = [sum(value(moved(x, i, s), y) / (2 * s) for s in half) for i in range(SIZE)]
    assert_close(renyi_gradient(p, q, alpha), d_q, 64)
    assert_close(renyi_gradient(p, q, alpha, wrt="p"), d_p, 64)

    def second(f):
        signs = [(s, r) for s in half for r in half]
        return [[sum(f(i, j, s, r) / (4 * s * r) for s, r in signs) for j in range(SIZE)] for i in range(SIZE)]

    qq = second(lambda i, j, s, r: value(x, moved(moved(y, i, s), j, r)))
    pp = second(lambda i, j, s, r: value(moved(moved(x, i, s), j, r), y))
    mixed = second(lambda i, j, s, r: value(moved(x, i, s), moved(y, j, r)))
    assert_close(renyi_hessian(p, q, alpha, domain="probs"), qq, 256)
    assert_close(renyi_hessian(p, q, alpha, wrt="p", domain="probs"), pp, 256)
    assert_close(renyi_hessian(p, q, alpha, wrt="mixed", domain="probs"), mixed, 256)


def test_escort_from_its_definition():
    for seed in range(20):
        p, q = random_pair(seed, 6)
        for alpha in ORDERS:
            exact = naive.escort(naive.normalised(p), naive.normalised(q), alpha)
            assert np.all(np.abs(escort(p, q, alpha) / np.array(exact, dtype=float) - 1) <= 64 * EPS)
