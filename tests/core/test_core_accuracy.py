"""Errors of values and derivatives against the naive reference, on seeds named by purpose."""

from __future__ import annotations

import math

import hard_sets
import mpmath as mp
import naive_renyi as naive
import numpy as np
import pytest
from core_cases import FIRST_ORDER, SECOND_ORDER, VALUE_ULPS, digits_for, normwise, to_logit_gradient

from rdml_theory import escort, renyi_divergence, renyi_gradient, renyi_hessian, renyi_value_and_gradient

# rows of any sum are the point of many of these cases
pytestmark = pytest.mark.filterwarnings("ignore::rdml_theory.UnnormalisedWarning")

SEED = 20230918  # the date of the conference; any seed must pass
QUICK = 250


def reference_value(case: hard_sets.Case, domain: str = "probs") -> mp.mpf:
    return naive.divergence(naive.normalised(case.p, domain), naive.normalised(case.q, domain), case.alpha)


def value_errors(cases) -> list[float]:
    errors = []
    for case in cases:
        value = float(renyi_divergence(case.p, case.q, case.alpha))
        assert value >= 0.0, case  # also refuses NaN
        with mp.workdps(digits_for(case.kind)):
            exact = reference_value(case)
        if exact < 1e-100:
            # zero, or the reference's own rounding
            assert value <= 1e-100, case
        elif exact > 1e-31:
            # below, the pair is equal up to its own rounding
            errors.append(naive.ulps(value, exact))
            assert errors[-1] <= VALUE_ULPS, (errors[-1], case)
    return errors


@pytest.mark.parametrize("kind", hard_sets.KINDS)
def test_value_on_the_hard_set(kind):
    errors = value_errors(hard_sets.probability_cases(SEED, QUICK, (kind,), (2, 3, 10)))
    assert len(errors) > QUICK // 2
    assert np.median(errors) < 1.0


@pytest.mark.parametrize("kind", hard_sets.KINDS)
def test_value_on_a_thousand_classes(kind):
    assert value_errors(hard_sets.probability_cases(SEED, 3, (kind,), (1000,)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", hard_sets.KINDS)
def test_value_on_a_large_hard_set(kind):
    errors = value_errors(hard_sets.probability_cases(SEED + 1, 6000, (kind,), (2, 3, 10)))
    assert np.median(errors) < 1.0


def random_pairs(seed: int, count: int):
    rng = np.random.default_rng([seed, 3])
    for _ in range(count):
        classes = int(rng.choice([2, 3, 5, 10]))
        p = rng.dirichlet(np.full(classes, rng.choice([0.2, 1.0, 5.0])))
        if rng.random() < 0.5:
            q = rng.dirichlet(np.full(classes, rng.choice([0.2, 1.0, 5.0])))
        else:
            q = p * np.exp(10.0 ** rng.uniform(-12, 0) * rng.standard_normal(classes))
            q /= q.sum()
        alpha = float(rng.choice([0.5, 1.0, 1.5, 2.0, rng.uniform(0, 4), rng.uniform(0, 4)]))
        yield hard_sets.Case("random", p, q, alpha)


def check_random_pairs(seed: int, count: int) -> None:
    errors = []
    with mp.workdps(70):
        for case in random_pairs(seed, count):
            exact = reference_value(case)
            value = float(renyi_divergence(case.p, case.q, case.alpha))
            assert value >= 0.0
            if exact > 1e-26:
                errors.append(naive.ulps(value, exact))
    assert max(errors) <= VALUE_ULPS
    assert np.median(errors) < 1.0


def test_value_on_random_pairs():
    check_random_pairs(SEED, 3000)


@pytest.mark.slow
def test_value_on_a_hundred_thousand_random_pairs():
    check_random_pairs(SEED + 2, 100_000)


@pytest.mark.parametrize("alpha", [0.0, 1e-8, 0.3, 0.5, 1.0, 1.0 + 1e-6, 1.5, 2.0, 30.0, math.inf])
def test_single_precision(alpha):
    rng = np.random.default_rng([SEED, 4])
    for _ in range(60):
        p = rng.dirichlet(np.ones(5)).astype(np.float32)
        near = p * (1 + rng.choice([1e-6, 1e-3, 1]) * rng.uniform(0, 1, 5).astype(np.float32))
        q = (near / near.sum()).astype(np.float32)
        value = renyi_divergence(p, q, alpha)
        assert value.dtype == np.float32
        exact = naive.divergence(naive.normalised(p), naive.normalised(q), alpha)
        assert value == 0.0 if exact < 1e-100 else naive.ulps(float(value), exact, bits=24) <= 1.0


def test_half_precision_is_rounded_once():
    rng = np.random.default_rng([SEED, 5])
    for _ in range(60):
        p, q = (rng.dirichlet(np.ones(4)).astype(np.float16) for _ in range(2))
        value = renyi_divergence(p, q, 1.001)
        exact = naive.divergence(naive.normalised(p), naive.normalised(q), 1.001)
        assert value.dtype == np.float16
        assert abs(float(value) - float(exact)) <= 0.5001 * float(np.spacing(np.float16(float(exact))))


@pytest.mark.parametrize("domain", ["logits", "log_probs"])
def test_value_from_logits(domain):
    for case in hard_sets.logit_cases(SEED, 500, (2, 3, 10)):
        p, q = naive.normalised(case.p, domain), naive.normalised(case.q, domain)
        exact = naive.divergence(p, q, case.alpha)
        value = float(renyi_divergence(case.p, case.q, case.alpha, domain=domain))
        assert value >= 0.0
        if exact < 1e-60:
            continue
        slopes = (*naive.student_gradient(p, q, case.alpha), *naive.teacher_gradient(p, q, case.alpha))
        entries = (*case.q, *case.p)
        condition = mp.fsum(abs(mp.mpf(float(x)) * g) for x, g in zip(entries, slopes, strict=True)) / exact
        assert naive.ulps(value, exact) <= 4.0 * float(1 + condition), case


GRADIENT_KINDS = ("near_equal", "order_near_one", "unnormalised")


@pytest.mark.parametrize("kind", [*GRADIENT_KINDS, "zeros"])
def test_gradients(kind):
    checked = 0
    for case in hard_sets.probability_cases(SEED + 3, 80, (kind,), (2, 3, 10)):
        if not 0.0 < case.alpha < 10.0:
            continue
        p, q = naive.normalised(case.p), naive.normalised(case.q)
        if mp.isinf(naive.divergence(p, q, case.alpha)):
            continue
        student = renyi_gradient(case.p, case.q, case.alpha)
        teacher = renyi_gradient(case.p, case.q, case.alpha, wrt="p")
        if kind != "zeros":
            assert normwise(to_logit_gradient(student, case.q), naive.student_gradient(p, q, case.alpha)) <= FIRST_ORDER
            assert normwise(to_logit_gradient(teacher, case.p), naive.teacher_gradient(p, q, case.alpha)) <= FIRST_ORDER
            exact = [
                g / mp.mpf(float(x)) for g, x in zip(naive.student_gradient(p, q, case.alpha), case.q, strict=True)
            ]
            assert normwise(student, exact) <= FIRST_ORDER
            exact = [
                g / mp.mpf(float(x)) for g, x in zip(naive.teacher_gradient(p, q, case.alpha), case.p, strict=True)
            ]
            assert normwise(teacher, exact) <= FIRST_ORDER
            slope = renyi_gradient(case.p, case.q, case.alpha, wrt="alpha")
            assert normwise(slope, [naive.order_derivative(p, q, case.alpha)]) <= FIRST_ORDER
        assert normwise(escort(case.p, case.q, case.alpha), naive.escort(p, q, case.alpha)) <= FIRST_ORDER
        both = renyi_value_and_gradient(case.p, case.q, case.alpha)
        assert np.array_equal(both.gradient, student)
        assert both.value == renyi_divergence(case.p, case.q, case.alpha)
        checked += 1
    assert checked > 20


@pytest.mark.parametrize("kind", ["tiny_entries", "huge_ratios"])
def test_gradients_with_entries_near_the_smallest(kind):
    # the error of log(p/q) is multiplied by the exponent, which reaches about 700 here
    factor = 700 * 4
    with mp.workdps(digits_for(kind)):
        for case in hard_sets.probability_cases(SEED + 4, 25, (kind,), (2, 3)):
            if not 0.1 < case.alpha < 3.0:
                continue
            p, q = naive.normalised(case.p), naive.normalised(case.q)
            student = to_logit_gradient(renyi_gradient(case.p, case.q, case.alpha), case.q)
            exact = naive.student_gradient(p, q, case.alpha)
            if max(map(abs, exact)) > 1e-290:
                assert normwise(student, exact) <= factor, case


@pytest.mark.parametrize("kind", GRADIENT_KINDS)
@pytest.mark.parametrize("wrt", ["q", "p", "mixed"])
def test_hessians_in_logits(kind, wrt):
    # logits that are exact multiples of a power of two, so that the reference sees the same ones
    rng = np.random.default_rng([SEED, 6])
    for alpha in (0.3, 0.5, 0.9, 1.0, 1.0 + 1e-9, 1.5, 2.0, 5.0):
        for _ in range(4):
            size = int(rng.choice([2, 3, 6]))
            u = rng.integers(-64, 64, size) / 32.0
            step = {"near_equal": 2.0**-20, "order_near_one": 1.0, "unnormalised": 2.0**-6}[kind]
            z = u + rng.integers(-64, 64, size) / 64.0 * step
            block = renyi_hessian(u, z, alpha, wrt=wrt)
            exact = naive.hessian(naive.normalised(u, "logits"), naive.normalised(z, "logits"), alpha, wrt)
            assert normwise(block, list(exact)) <= SECOND_ORDER


def test_array_orders_agree_with_scalar_ones():
    rng = np.random.default_rng([SEED, 7])
    orders = np.array([0.0, 1e-8, 0.3, 0.5, 0.7, 1.0, 1.0 + 1e-9, 1.5, 2.0, 50.0, 1e4, math.inf])
    for classes in (2, 10, 100):
        p, q = rng.dirichlet(np.ones(classes), 40), rng.dirichlet(np.ones(classes), 40)
        q[::3] = p[::3] * (1 + 1e-7 * rng.standard_normal((14, classes)))
        together = renyi_divergence(p, q, orders[:, None])
        gradients = {wrt: renyi_gradient(p, q, orders[:, None], wrt=wrt) for wrt in ("p", "q", "alpha")}
        weights = escort(p, q, orders[:, None])
        for i, alpha in enumerate(orders):
            alone = renyi_divergence(p, q, alpha)
            assert np.allclose(together[i], alone, rtol=2 * VALUE_ULPS * 2.0**-52, atol=0)
            for wrt, values in gradients.items():
                expected = renyi_gradient(p, q, alpha, wrt=wrt)
                scale = np.abs(expected).max(axis=-1, keepdims=True)
                # at order 1e4 the weights carry up to 1e4 times the rounding of t, by a different route for arrays
                assert np.all(np.abs(values[i] - expected) <= 2e4 * 2.0**-52 * scale + 1e-300)
            assert np.allclose(weights[i], escort(p, q, alpha), rtol=1e-11, atol=0)


def test_layouts_agree():
    """Few rows, many rows and other axes take different memory layouts."""
    rng = np.random.default_rng([SEED, 8])
    p, q = rng.dirichlet(np.ones(7), 200), rng.dirichlet(np.ones(7), 200)
    for alpha in (0.3, 1.0, 2.0, 2.7):
        rows = renyi_divergence(p, q, alpha)
        one_by_one = np.array([renyi_divergence(a, b, alpha) for a, b in zip(p, q, strict=True)])
        assert np.allclose(rows, one_by_one, rtol=2 * VALUE_ULPS * 2.0**-52, atol=0)
        assert np.array_equal(rows, renyi_divergence(p.T, q.T, alpha, axis=0))
        gradient = renyi_gradient(p, q, alpha)
        assert np.array_equal(gradient.T, renyi_gradient(p.T, q.T, alpha, axis=0))
