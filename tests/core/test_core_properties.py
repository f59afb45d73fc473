"""Laws of the Rényi divergence, on distributions that are exact in floating point (integer weights, dyadic logits)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdml_theory import escort, renyi_divergence, renyi_gradient, renyi_hessian

# rows of any sum are the point of many of these cases
pytestmark = pytest.mark.filterwarnings("ignore::rdml_theory.UnnormalisedWarning")

ULP = 2.0**-52
# two values, each within eight units of its exact one
TWO_VALUES = 2 * 8 * ULP

weights = st.integers(0, 2**40)
positive = st.integers(1, 2**40)
orders = st.one_of(
    st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 64.0, math.inf]),
    st.floats(0.0, 50.0),
    st.integers(-40, -3).map(lambda k: 1.0 + 2.0**k),
    st.integers(-40, -3).map(lambda k: 1.0 - 2.0**k),
)


@st.composite
def pairs(draw, element=weights, least=1):
    """Two integer-weighted distributions over the same classes, often close to one another."""
    floor, nudges = float(least > 1), st.integers(-3, 3)
    size = draw(st.integers(least, 7))
    p = np.array(draw(st.lists(element, min_size=size, max_size=size)), dtype=float)
    if draw(st.booleans()):
        q = np.maximum(p + np.array(draw(st.lists(nudges, min_size=size, max_size=size))), floor)
    else:
        q = np.array(draw(st.lists(element, min_size=size, max_size=size)), dtype=float)
    for x in (p, q):
        if not x.sum():
            x[draw(st.integers(0, size - 1))] = 1.0
    return p, q


def close(a: float, b: float, tolerance: float = TWO_VALUES) -> bool:
    return a == b or abs(a - b) <= tolerance * max(abs(a), abs(b))


@given(pairs(), orders)
def test_non_negative(pair, alpha):
    value = renyi_divergence(*pair, alpha)
    assert value >= 0.0


@given(pairs(), orders, orders)
def test_monotone_in_the_order(pair, first, second):
    low, high = sorted((first, second))
    assert renyi_divergence(*pair, low) <= renyi_divergence(*pair, high) * (1 + TWO_VALUES)


@given(pairs(), orders.filter(lambda a: a > 0))
def test_zero_iff_equal(pair, alpha):
    p, q = pair
    proportional = all(int(a) * int(q.sum()) == int(b) * int(p.sum()) for a, b in zip(p, q, strict=True))
    value = renyi_divergence(p, q, alpha)
    # below 1e-300 a divergence of order alpha < 1e-270 may be lost to the range of float64
    assert (value == 0.0) == proportional or alpha < 1e-250
    assert renyi_divergence(p, 3.0 * p, alpha) == 0.0


@given(pairs(), st.integers(1, 2**20 - 1))
def test_skew_symmetry(pair, k):
    alpha = k / 2.0**20  # 1 - alpha is exact
    left = (1 - alpha) * renyi_divergence(*pair, alpha)
    right = alpha * renyi_divergence(*pair[::-1], 1 - alpha)
    assert close(left, right, TWO_VALUES + 2 * ULP)


@given(pairs(), orders, st.randoms(use_true_random=False))
def test_permutation(pair, alpha, random):
    p, q = pair
    order = list(range(p.size))
    random.shuffle(order)
    assert close(renyi_divergence(p, q, alpha), renyi_divergence(p[order], q[order], alpha))


@given(pairs(), orders, st.integers(0, 5))
def test_data_processing(pair, alpha, cut):
    """Merging classes, which is exact for integers, never increases the divergence."""
    p, q = pair
    cut = min(cut, p.size - 1)
    merged = [np.concatenate([x[:cut], [x[cut:].sum()]]) for x in (p, q)]
    assert renyi_divergence(*merged, alpha) <= renyi_divergence(p, q, alpha) * (1 + TWO_VALUES)


@given(
    st.lists(st.tuples(st.integers(-(2**28), 2**28), st.integers(-(2**28), 2**28)), min_size=1, max_size=7),
    orders,
    st.integers(-(10**4), 10**4),
    st.integers(-(10**4), 10**4),
)
def test_a_constant_added_to_logits_changes_nothing(entries, alpha, shift_u, shift_z):
    u, z = np.array(entries, dtype=float).T / 2.0**20  # sums with the integers below 2^15 are exact
    value = renyi_divergence(u, z, alpha, domain="logits")
    assert renyi_divergence(u + shift_u, z + shift_z, alpha, domain="logits") == value
    if alpha > 0:
        for wrt in ("p", "q"):
            gradient = renyi_gradient(u, z, alpha, wrt=wrt, domain="logits")
            assert np.array_equal(
                renyi_gradient(u + shift_u, z + shift_z, alpha, wrt=wrt, domain="logits"), gradient, equal_nan=True
            )


@given(pairs(positive, 2), orders)
def test_logit_gradients_sum_to_zero(pair, alpha):
    u, z = np.log(pair[0]), np.log(pair[1])
    for wrt in ("p", "q"):
        gradient = renyi_gradient(u, z, alpha, wrt=wrt, domain="logits")
        assert abs(gradient.sum()) <= 16 * ULP * np.abs(gradient).sum()


@given(pairs(positive, 2), orders)
def test_escort_is_a_distribution(pair, alpha):
    w = escort(*pair, alpha)
    assert np.all(w >= 0.0)
    assert abs(w.sum() - 1.0) <= 8 * ULP


@given(pairs(positive, 2), st.floats(0.01, 20))
@settings(max_examples=50)
def test_hessians_are_symmetric_with_zero_row_sums(pair, alpha):
    u, z = np.log(pair[0]), np.log(pair[1])
    for wrt in ("p", "q", "mixed"):
        block = renyi_hessian(u, z, alpha, wrt=wrt)
        assert np.array_equal(block, block.T)
        assert np.all(np.abs(block.sum(axis=1)) <= 32 * ULP * np.abs(block).max() + 1e-300)


@given(pairs(positive, 2), st.floats(0.01, 0.99))
def test_variational_form(pair, alpha):
    """(1 - a) D_a(p||q) = a KL(w||p) + (1 - a) KL(w||q) at the escort w, and less nowhere."""
    p, q = pair
    w = escort(p, q, alpha)
    value = (1 - alpha) * renyi_divergence(p, q, alpha)
    at_escort = alpha * renyi_divergence(w, p, 1.0) + (1 - alpha) * renyi_divergence(w, q, 1.0)
    # w is rounded: the form is stationary there, and each KL feels its rounding at first order
    slack = 16 * ULP * (1 + abs(np.log(p / q)).max())
    assert abs(value - at_escort) <= slack
    other = np.ones_like(p)
    assert alpha * renyi_divergence(other, p, 1.0) + (1 - alpha) * renyi_divergence(other, q, 1.0) >= value - slack


@given(pairs(positive, 2))
def test_pinsker(pair):
    p, q = pair[0] / pair[0].sum(), pair[1] / pair[1].sum()
    for alpha in (0.25, 0.5, 1.0):
        assert renyi_divergence(p, q, alpha) >= alpha / 2 * np.abs(p - q).sum() ** 2 * (1 - 64 * ULP) - 1e-30
