"""Inverse questions: what they return, put back into the bound, meets the target, and more would miss it."""

from dataclasses import replace

import numpy as np
import pytest

from convergence import (
    Assumptions,
    bias_horizon,
    floor,
    largest_bias,
    largest_order,
    largest_step,
    largest_weight,
    mutual_bias_bound,
    sharp_bound,
)

MORE = 1 + 1e-6


def unit(bias=0.0, noise=0.0, relative_bias=0.0, gap=1.0):
    return Assumptions(smoothness=1.0, gap=gap, noise=noise, bias=bias, relative_bias=relative_bias)


def random_settings(count, seed):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        lam, gap, noise, bias = 10 ** rng.uniform(-2, 2, 4)
        m = rng.choice([0.0, rng.uniform(0, 0.9)])
        at = Assumptions(
            smoothness=lam, gap=gap, noise=noise * rng.integers(2), bias=bias * rng.integers(2), relative_bias=m
        )
        steps = rng.choice([np.inf, np.round(10 ** rng.uniform(0, 5))])
        yield at, rng.uniform(0.01, 0.99) * 2 / (1 + np.sqrt(m)) / lam, steps, rng


def test_largest_bias():
    met = 0
    for at, step, steps, rng in random_settings(150, 1):
        target = float(sharp_bound(replace(at, bias=0.0), step, steps)) * rng.uniform(0.8, 4) + rng.exponential() * 1e-3
        unbiased = float(sharp_bound(replace(at, bias=0.0), step, steps))
        if target < unbiased:
            with pytest.raises(ValueError, match="even with ζ² = 0"):
                largest_bias(at, step, target, steps=steps)
            continue
        met += 1
        zeta2 = largest_bias(at, step, target, steps=steps)
        assert float(sharp_bound(replace(at, bias=zeta2), step, steps)) == pytest.approx(target, rel=1e-9)
        assert float(sharp_bound(replace(at, bias=zeta2 * MORE + 1e-6 * target), step, steps)) > target
    assert met > 75


def test_largest_step_on_a_grid():
    """The answer keeps the target and no larger step of a fine grid does; where there is none, no step does."""
    found = missed = beyond_one = 0
    for at, step, steps, rng in random_settings(120, 2):
        target = float(sharp_bound(at, step, steps)) * rng.choice([0.5, 1.0, 1.5])
        if target == 0:
            continue
        limit = 2 / (1 + np.sqrt(at.relative_bias)) / at.smoothness
        grid = np.linspace(0, limit, 4002)[1:-1]
        good = grid[np.asarray(sharp_bound(at, grid, steps).total) <= target]
        if good.size == 0 and target < 0.999 * float(sharp_bound(at, grid, steps).total.min()):
            with pytest.raises(ValueError, match="no step reaches it"):
                largest_step(at, target, steps=steps)
            missed += 1
            continue
        eta = largest_step(at, target, steps=steps)
        found += 1
        beyond_one += eta * at.smoothness > 1
        assert good.size == 0 or good.max() <= eta * (1 + 1e-9)
        assert float(sharp_bound(at, eta * (1 - 1e-12), steps)) <= target * (1 + 1e-6)
        if eta * MORE < limit * (1 - 1e-9):
            assert float(sharp_bound(at, eta * MORE, steps)) > target
    assert min(found, missed, beyond_one) > 8


def test_largest_step_where_every_step_will_do():
    assert largest_step(unit(), 0.1) == pytest.approx(2.0, rel=1e-15)
    assert float(floor(unit(), largest_step(unit(), 0.1))) == 0.0
    assert largest_step(unit(relative_bias=0.25), 0.1) == pytest.approx(4 / 3, rel=1e-15)
    # Bias alone at h <= 1: the floor is ζ² for every such step.
    assert largest_step(unit(bias=0.1), 0.1) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("steps", [np.inf, 1000])
def test_largest_order_and_weight(steps):
    rng = np.random.default_rng(3)
    for _ in range(60):
        at = unit(noise=rng.exponential() * 0.1, gap=rng.exponential())
        step, beta, jacobian, rho = rng.uniform(0.05, 1.9), *rng.exponential(size=2), 10 * rng.exponential()
        target = float(sharp_bound(at, step, steps)) * (1 + rng.exponential())
        alpha = largest_order(at, step, target, beta=beta, jacobian=jacobian, log_ratio_range=rho, steps=steps)

        def total(alpha, weight, at=at, step=step, jacobian=jacobian, rho=rho):
            zeta2 = mutual_bias_bound(alpha, beta=weight, jacobian=jacobian, log_ratio_range=rho)
            return float(sharp_bound(replace(at, bias=zeta2), step, steps))

        if np.isinf(alpha):
            assert total(np.inf, beta) <= target * (1 + 1e-9)
        else:
            assert total(alpha, beta) == pytest.approx(target, rel=1e-8)
            assert total(alpha * 1.001, beta) > target
        alpha = rng.exponential()
        weight = largest_weight(at, step, target, alpha=alpha, jacobian=jacobian, log_ratio_range=rho, steps=steps)
        assert total(alpha, weight) == pytest.approx(target, rel=1e-8)
    # Of many inputs, tanh² is averaged.
    at, target, common = unit(), 0.1, {"beta": 1.0, "jacobian": 1.0}
    allowed = largest_bias(at, 0.5, target)
    for ranges in ([3.0] * 4, [0.0, 1.0, 5.0, 2.0], [[0.5, 40.0], [1e-3, 3.0]]):
        alpha = largest_order(at, 0.5, target, log_ratio_range=ranges, **common)
        assert np.mean(mutual_bias_bound(alpha, log_ratio_range=ranges, **common)) == pytest.approx(allowed, rel=1e-12)
    one = largest_order(at, 0.5, target, log_ratio_range=3.0, **common)
    assert largest_order(at, 0.5, target, log_ratio_range=[3.0] * 4, **common) == pytest.approx(one, rel=1e-12)
    assert largest_order(at, 0.5, target, log_ratio_range=[0.0] * 99 + [1.0], **common) == np.inf
    assert largest_order(at, 0.5, target, log_ratio_range=[np.inf, np.inf, 0.0], **common) == 0.0
    common = {"jacobian": 1.0, "log_ratio_range": 0.0}
    assert largest_order(unit(), 0.5, 0.1, beta=1.0, **common) == np.inf
    assert largest_weight(unit(), 0.5, 0.1, alpha=2.0, **common) == np.inf
    assert largest_order(unit(), 0.5, 0.1, beta=1.0, jacobian=1.0, log_ratio_range=np.inf) == 0.0


def test_orders_and_weights_of_any_size():
    """Found by hand: squares below every float, an OverflowError, and searches from 1 that ended unfinished."""
    at, rng = unit(), np.random.default_rng(5)

    def total(alpha, weight, jacobian, ranges):
        level = mutual_bias_bound(alpha, beta=weight, jacobian=jacobian, log_ratio_range=ranges)
        return float(sharp_bound(replace(at, bias=float(np.mean(level))), 0.5, np.inf))

    for beta in (1.7e33, 1e139, 1e207, 1e-150):
        for ranges in ([10.4, 0.04, 0.01], [0.0, 1e-150], [1e100, 1e102, 0.0]):
            alpha = largest_order(at, 0.5, 0.1, beta=beta, jacobian=1.0, log_ratio_range=ranges)
            assert np.isinf(alpha) if beta < 1 else total(alpha, beta, 1.0, ranges) == pytest.approx(0.1, rel=1e-9)
    assert largest_order(at, 0.5, 0.1, beta=1e290, jacobian=1.0, log_ratio_range=[1e100, 1e102]) == 0.0
    found = largest_order(at, 0.5, 7e122, beta=1e271, jacobian=1.0, log_ratio_range=[1e100, 4e98])
    assert total(found, 1e271, 1.0, [1e100, 4e98]) == pytest.approx(7e122, rel=1e-9)
    # β over what is allowed is beyond float64, the order is not.
    alpha = largest_order(at, 0.5, 1e-163, beta=8e281, jacobian=1.0, log_ratio_range=[1e-150, 2e-150])
    assert total(alpha, 8e281, 1.0, [1e-150, 2e-150]) == pytest.approx(1e-163, rel=1e-9, abs=0)
    with pytest.raises(ValueError, match="log_ratio_range"):
        largest_order(at, 0.5, 1e-163, beta=8e281, jacobian=1.0, log_ratio_range=[-1.0, 2.0])
    for _ in range(40):
        alpha, rho, jacobian = 10 ** rng.uniform((-140, -40, -100), (40, 20, 100))
        weight = largest_weight(at, 0.5, 0.1, alpha=alpha, jacobian=jacobian, log_ratio_range=rho)
        assert total(alpha, weight, jacobian, rho) == pytest.approx(0.1, rel=1e-9)


def test_bias_horizon_is_the_first():
    for at, step, _, _ in random_settings(300, 4):
        if at.relative_bias:
            continue
        steps = bias_horizon(at, step)
        if at.bias == 0:
            assert steps == np.inf
            continue
        after = sharp_bound(at, step, steps)
        assert after.transient <= after.bias
        assert steps == round(steps)
        if steps > 1:
            before = sharp_bound(at, step, steps - 1)
            assert before.transient > before.bias


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: largest_bias(unit(), 0.5, 0.0), "target = 0.0: expected a finite number > 0"),
        (lambda: largest_bias(unit(), 2.0, 0.1), "the largest bias holds for 0 < Λη < 2"),
        (lambda: largest_bias(unit(noise=1.0), 1.0, 0.5), "target = 0.5: the bound exceeds it at step = 1.0"),
        (lambda: largest_step(unit(bias=1.0), 0.5), "no step reaches it"),
        (lambda: largest_step(unit(), 0.5, steps=0), "at least 1 step"),
        (lambda: largest_order(unit(), 0.5, 0.1, beta=-1, jacobian=1, log_ratio_range=1), "beta = -1"),
        (lambda: largest_order(unit(), 0.5, 0.1, beta=1, jacobian=1, log_ratio_range=-1), "log_ratio_range = -1"),
        (lambda: largest_weight(unit(), 0.5, 0.1, alpha=-1, jacobian=1, log_ratio_range=1), "alpha = -1"),
        (lambda: bias_horizon(unit(relative_bias=0.1), 0.5), "absolute bias"),
        (lambda: bias_horizon(unit(bias=0.1), 2.5), "the bias horizon holds for"),
    ],
)
def test_bad_values_name_the_value_and_the_range(call, message):
    with pytest.raises(ValueError, match=message):
        call()
