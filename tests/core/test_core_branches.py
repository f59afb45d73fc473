"""Both sides of every threshold in `rdml_theory._branches`."""

from __future__ import annotations

import math

import mpmath as mp
import naive_renyi as naive
import numpy as np
import pytest
from core_cases import DEEP_DIGITS, FIRST_ORDER, VALUE_ULPS, normwise

from rdml_theory import _branches as branches
from rdml_theory import escort, renyi_divergence, renyi_gradient
from rdml_theory._blocks import NARROW

# rows of any sum are the point of many of these cases
pytestmark = pytest.mark.filterwarnings("ignore::rdml_theory.UnnormalisedWarning")

ORDERS = (0.1, 0.3, 0.499, 0.5, 0.501, 0.8, 1.0 - 1e-9, 1.0, 1.0 + 1e-9, 1.3, 1.5, 2.0, 2.5, 7.0, 1e3)
SIDES = (1.0 - 1e-9, 1.0 - 1e-15, 1.0, 1.0 + 1e-15, 1.0 + 1e-9)


def check(p, q, alpha, factor=VALUE_ULPS):
    value = float(renyi_divergence(p, q, alpha))
    exact = naive.divergence(naive.normalised(p), naive.normalised(q), alpha)
    assert naive.ulps(value, exact) <= factor, (p, q, alpha, value, exact)
    return value


def pair_with_ratio(t: float) -> tuple[np.ndarray, np.ndarray]:
    """Return two distributions over three classes with log-ratio close to t in the first."""
    q = np.array([0.05, 0.35, 0.6])
    p = q.copy()
    p[0] *= math.exp(t)
    p[1:] *= (1 - p[0]) / p[1:].sum()
    return p, q


@pytest.mark.parametrize("alpha", ORDERS)
def test_near_and_far_ratios(alpha):
    edge = float(branches.split_order(alpha).near)
    for side in SIDES:
        for sign in (1, -1):
            check(*pair_with_ratio(sign * side * edge), alpha)


def test_the_series_has_enough_terms():
    """At the edge of the series its first dropped term is below a tenth of the unit roundoff of the result."""
    for alpha in (0.5, 0.75, 0.999, 1.0, 2.0, 10.0):
        order = branches.split_order(alpha)
        offset, n = alpha - 1.0, len(order.coefficients)
        edge = order.near * order.scale
        dropped = (abs(offset) * abs(offset / order.scale) ** n + 1 / order.scale**n) / math.factorial(n + 2) * edge**n
        total = min(abs(sum(c * s**k for k, c in enumerate(order.coefficients))) for s in (-edge, edge))
        assert dropped / total < 0.1 * 2.0**-53


@pytest.mark.parametrize("alpha", [0.1, 0.5001, 0.8, 0.999, 1.0, 1.3, 2.5, 50.0])
def test_the_two_series(alpha):
    """All elements near, the largest ratio on both sides of MIXED_EDGE; and log1p on both sides of SMALL_SUM."""
    scale = max(1.0, abs(alpha - 1.0))
    for edge in (1e-3, 0.1, *(branches.MIXED_EDGE * x for x in SIDES), 0.51, 0.9):
        for sign in (1, -1):
            q = np.array([0.3, 0.3, 0.4])
            p = q * np.exp(np.array([sign * edge / scale, 0.0, 0.0]))
            check(p, q * p.sum(), alpha)
    for side in SIDES:
        step = math.sqrt(branches.SMALL_SUM * side / max(abs(alpha - 1.0), 1e-3) / alpha)
        check(np.array([0.5 + step / 2, 0.5 - step / 2]), np.array([0.5, 0.5]), alpha)


def test_the_mixed_series_has_enough_terms():
    for alpha in (0.5001, 0.9, 1.0, 1.7, 5.0):
        order = branches.split_order(alpha)
        edge = branches.NEAR if alpha >= 1.0 else branches.MIXED_EDGE
        for tau in (-edge, edge):
            t = mp.mpf(tau) / mp.mpf(order.scale)
            exact = (mp.expm1(order.offset * t) / order.offset if order.offset else t) + mp.expm1(-t)
            series = mp.fsum(mp.mpf(float(c)) * mp.mpf(tau) ** k for k, c in enumerate(order.mixed_coefficients))
            assert abs(series * -mp.expm1(-t) * t / exact - 1) < 2.0 * 2.0**-53


def test_the_far_difference_keeps_its_digits():
    """Beyond the series p (e^(offset t) - 1) / offset - (p - q) is a fair part of its two terms."""
    for alpha in (0.5, 0.51, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.999, 1.0, 1.001, 1.5, 2.0, 3.0, 10.0, 1e4):
        order = branches.split_order(alpha)
        for factor in (1.0, 1.05, 1.2, 1.5, 2.0, 4.0, 20.0):
            for sign in (1.0, -1.0):
                t = sign * factor * order.near
                a, d = (math.expm1(order.offset * t) / order.offset if order.offset else t), -math.expm1(-t)
                assert (abs(a) + abs(d)) / (a - d) <= 5.6


@pytest.mark.parametrize("alpha", [1.01, 1.5, 1.7, 2.0, 3.0, 50.0, 1e4])
def test_power_and_exponential(alpha):
    for side in SIDES:
        t = side * branches.POWER / (alpha - 1.0)
        if t < 600:
            q = np.array([1e-280, 0.4, 0.6])
            p = np.array([1e-280 * math.exp(t), 0.4, 0.6])
            with mp.workdps(DEEP_DIGITS):
                check(p, q, alpha)


def test_quotients_beyond_the_range():
    """p/q overflows for a subnormal q, while its power does not."""
    for offset in (0.01, 0.05, 0.2, 0.45):
        for q0 in (1e-310, 5e-324):
            check(np.array([0.3, 0.7]), np.array([q0, 1.0]), 1.0 + offset)
            check(np.array([1e-3, 0.999]), np.array([q0, 1.0]), 1.0 + offset)


@pytest.mark.parametrize("alpha", [1.5, 2.0, 2.3, 3.0, 3.0 + 1e-9, 5.0, 40.0])
def test_the_power_undoes_the_rounding_of_the_quotient(alpha):
    """A tiny p over a far tinier q decides D while S is near one: exp(offset log(p/q)) would lose offset t units."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        q_digits = rng.uniform(50, 290)
        p_digits = (q_digits * (alpha - 1.0) + rng.uniform(0.5, 10.0)) / alpha
        p, q = 10.0**-p_digits, 10.0**-q_digits
        with mp.workdps(DEEP_DIGITS):
            check(np.array([p, 1.0 - p]), np.array([q, 1.0]), alpha)


@pytest.mark.parametrize("alpha", [0.2, 0.49, 0.5, 0.6, 0.9, 0.999])
def test_small_sums(alpha):
    """S on both sides of 1 - CANCEL and of TINY_SUM."""
    for target in (1.0 - branches.CANCEL, branches.TINY_SUM):
        for side in (0.9, 0.999999, 1.0, 1.000001, 1.1):
            # p = (1 - e, e) and q = (e, 1 - e): S is about e^min(alpha, 1 - alpha)
            def excess(e, goal=target * side):
                p = [1 - mp.mpf(e), mp.mpf(e)]
                return naive.power_sum(p, p[::-1], alpha) - goal

            low, high = -690.0, math.log(0.5)
            if excess(math.exp(low)) > 0:
                continue
            for _ in range(60):
                middle = 0.5 * (low + high)
                low, high = (middle, high) if excess(math.exp(middle)) < 0 else (low, middle)
            e = math.exp(high)
            check(np.array([1 - e, e]), np.array([e, 1 - e]), alpha)


@pytest.mark.parametrize("alpha", [2.0, 3.5, 1e3, 1e5])
def test_huge_sums(alpha):
    """S on both sides of HUGE_SUM and of the largest number."""
    for exponent in (799.0, 799.999999, 800.0, 800.000001, 801.0, 1020.0, 1023.9, 1024.1, 5000.0):
        t = exponent * math.log(2.0) / (alpha - 1.0)
        if t < 600:
            q0 = 0.25 * math.exp(-t)
            check(np.array([0.25, 0.75]), np.array([q0, 1.0 - q0]), alpha)


def test_both_sides_of_the_swap():
    rng = np.random.default_rng(2)
    for alpha in (0.5, math.nextafter(0.5, 0), math.nextafter(0.5, 1)):
        for _ in range(10):
            check(rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4)), alpha)


@pytest.mark.parametrize("centre", branches.CLOSED_FORMS)
def test_closed_forms_and_their_neighbours(centre):
    rng = np.random.default_rng(3)
    alpha = 1.0 + centre
    for _ in range(20):
        p, q = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))
        for order in (alpha, math.nextafter(alpha, 0), math.nextafter(alpha, 9)):
            check(p, q, order)
        exact = naive.student_gradient(naive.normalised(p), naive.normalised(q), alpha)
        assert normwise(renyi_gradient(p, q, alpha) * q, exact) <= FIRST_ORDER


def test_smallest_order():
    p, q = np.array([0.25, 0.75]), np.array([0.5, 0.5])
    tiny = branches.SMALLEST_ORDER
    kl = renyi_divergence(q, p, 1.0)
    assert renyi_divergence(p, q, tiny) == pytest.approx(tiny * kl, rel=VALUE_ULPS * 2.0**-52)
    assert renyi_divergence(p, q, math.nextafter(tiny, 0)) == 0.0
    with_zero = np.array([0.25, 0.0, 0.75]), np.array([0.25, 0.5, 0.25])
    for alpha in (tiny, math.nextafter(tiny, 0), 0.0):
        assert renyi_divergence(*with_zero, alpha) == pytest.approx(math.log(2), rel=VALUE_ULPS * 2.0**-52)


@pytest.mark.parametrize("alpha", [0.5, 0.9, 1.0, 1.1, 2.0, 1e3])
def test_scales(alpha):
    """Take rho on both sides of ROUNDING_SCALE and of FAR_SCALES."""
    rng = np.random.default_rng(4)
    edges = [branches.ROUNDING_SCALE * x for x in (0.5, 0.99, 1.0, 1.01, 2.0)]
    edges += [branches.FAR_SCALES[0] + x for x in (-1e-3, 0.0, 1e-3)] + [
        branches.FAR_SCALES[1] + x for x in (-1e-3, 0, 1e-3)
    ]
    for rho in edges:
        p = rng.dirichlet(np.ones(4))
        for spread in (1e-13, 1e-6, 0.1):
            q = p * (1 + spread * rng.uniform(-1, 1, 4))
            q *= p.sum() / q.sum() / (1 + rho)
            check(p, q, alpha)


def test_scales_that_leave_the_range():
    for scale in (2.0**-420, 2.0**-399, 2.0**399, 2.0**420, 2.0**1000):
        assert renyi_divergence([scale, 3 * scale], [1.0, 1.0], 2.0) == renyi_divergence([1, 3], [1, 1], 2.0)


def test_proportional_pairs_are_equal():
    rng = np.random.default_rng(5)
    for _ in range(300):
        counts = rng.integers(0, 1000, rng.integers(1, 9))
        counts[0] += 1
        first, second = rng.integers(1, 10**6, 2)
        assert np.all(
            renyi_divergence(counts * first, counts * second, [0.0, 0.3, 0.5, 1.0, 2.0, 7.0, math.inf]) == 0.0
        )


def test_total_variation_on_both_sides_of_the_refinement():
    for shift in (-1e-6, -1e-12, 0.0, 1e-12, 1e-6):
        # TV((a, 1-a), (1-a, a)) = 1 - 2 a
        a = 0.5 * (1.0 - branches.CLOSE) + shift
        logit = math.log(a) - math.log1p(-a)
        u, z = np.array([logit, 0.0]), np.array([0.0, logit])
        for alpha in (0.3, 1.0, 2.0):
            exact = naive.divergence(naive.normalised(u, "logits"), naive.normalised(z, "logits"), alpha)
            assert naive.ulps(float(renyi_divergence(u, z, alpha, domain="logits")), exact) <= 4 * VALUE_ULPS


@pytest.mark.parametrize("offset", [0.4, 1.0, 3.0, -0.7])
def test_order_derivative_series(offset):
    """The exponent offset (t - D) on both sides of SMALL_EXPONENT."""
    for side in SIDES:
        q = np.array([0.05, 0.35, 0.6])
        p = q.copy()
        p[0] *= math.exp(side / abs(offset) * 1.02)
        p /= p.sum()
        exact = naive.order_derivative(naive.normalised(p), naive.normalised(q), 1 + offset)
        assert normwise(renyi_gradient(p, q, 1 + offset, wrt="alpha"), [exact]) <= FIRST_ORDER


def test_balance_of_one_hot_gradients():
    """One class holds nearly all of p, q or w: its entry is the sum of the others."""
    with mp.workdps(400):
        for e in (1e-3, 1e-10, 1e-20, 1e-100):
            p, q = np.array([0.5, 0.5]), np.array([1 - e, e])
            for first, second in ((p, q), (q, p)):
                for alpha in (0.3, 0.5, 0.8, 1.0, 1.0 + 1e-12, 2.0, 3.0):
                    x, y = naive.normalised(first), naive.normalised(second)
                    student = renyi_gradient(first, second, alpha) * second
                    teacher = renyi_gradient(first, second, alpha, wrt="p") * first
                    assert normwise(student, naive.student_gradient(x, y, alpha)) <= 4 * FIRST_ORDER
                    assert normwise(teacher, naive.teacher_gradient(x, y, alpha)) <= 4 * FIRST_ORDER


@pytest.mark.parametrize("classes", [NARROW, NARROW + 1])
def test_both_layouts(classes):
    rng = np.random.default_rng(6)
    p, q = rng.dirichlet(np.ones(classes), 20), rng.dirichlet(np.ones(classes), 20)
    for alpha in (0.3, 0.7, 1.0, 3.0):
        for value, x, y in zip(renyi_divergence(p, q, alpha), p, q, strict=True):
            assert (
                naive.ulps(float(value), naive.divergence(naive.normalised(x), naive.normalised(y), alpha))
                <= VALUE_ULPS
            )


def test_underflowed_logits_still_count():
    """From logits, probabilities of e^-2000 decide the divergence at large orders, and S may be e^-1000."""
    u, z = np.array([0.0, -2000.0]), np.array([0.0, -3000.0])
    for alpha in (2.0, 2.9999, 3.0, 3.0001, 5.0):
        exact = naive.divergence(naive.normalised(u, "logits"), naive.normalised(z, "logits"), alpha)
        value = float(renyi_divergence(u, z, alpha, domain="logits"))
        assert value == pytest.approx(float(exact), rel=1e-12, abs=1e-300)
    for alpha in (0.3, 0.5, 0.7):
        value = renyi_divergence(u, u[::-1], alpha, domain="logits")
        with mp.workdps(2000):
            exact = naive.divergence(naive.normalised(u, "logits"), naive.normalised(u[::-1], "logits"), alpha)
        assert naive.ulps(float(value), exact) <= VALUE_ULPS
    assert np.allclose(escort(u, u[::-1], 0.5, domain="logits"), 0.5)
