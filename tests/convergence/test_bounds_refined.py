"""The refinements of the sharp bound against each other, against the extremal problem, and by random multipliers."""

import numpy as np
import pytest

from convergence import (
    Assumptions,
    extremal_average,
    floor,
    refined_bound,
    schedule_bound,
    sharp_bound,
    tight_bound,
)


def unit(bias=0.0, noise=0.0, relative_bias=0.0, gap=1.0):
    return Assumptions(smoothness=1.0, gap=gap, noise=noise, bias=bias, relative_bias=relative_bias)


def random_settings(count, seed, *, relative=False, unbiased=False):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        lam, gap, noise, bias = 10 ** rng.uniform(-2, 2, 4)
        m = rng.uniform(0, 0.9) if relative else 0.0
        at = Assumptions(smoothness=lam, gap=gap, noise=noise, bias=0 if unbiased else bias, relative_bias=m)
        h = rng.uniform(0.005, 0.995) * 2 / (1 + np.sqrt(m))
        yield at, h / lam, int(10 ** rng.uniform(0, 3.5))


@pytest.mark.parametrize("relative", [False, True])
def test_the_bounds_are_ordered_and_above_what_is_attained(relative):
    for at, step, steps in random_settings(100, 1, relative=relative):
        attained = extremal_average(at, step, steps)
        tight, refined, sharp = (float(b(at, step, steps)) for b in (tight_bound, refined_bound, sharp_bound))
        assert attained <= tight * (1 + 1e-12)
        assert tight <= refined * (1 + 1e-12)
        assert refined <= sharp * (1 + 1e-12)


def test_exact_without_bias():
    for at, step, steps in random_settings(100, 2, unbiased=True):
        assert float(tight_bound(at, step, steps)) == pytest.approx(extremal_average(at, step, steps), rel=1e-10)


def test_exact_at_one():
    for at, _, steps in random_settings(100, 3):
        exact = 2 * at.smoothness * at.gap / steps + (1 - 1 / steps) * (at.bias + at.noise)
        for bound in (tight_bound, refined_bound):
            assert float(bound(at, 1 / at.smoothness, steps)) == pytest.approx(exact, rel=1e-12)
        assert extremal_average(at, 1 / at.smoothness, steps) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("h", [0.05, 0.5, 1.0, 1.4, 1.9])
def test_all_end_at_the_same_floor(h):
    at = unit(bias=0.3, noise=0.7)
    for bound in (tight_bound, refined_bound):
        assert float(bound(at, h, np.inf)) == pytest.approx(float(floor(at, h)), rel=1e-9)
    assert extremal_average(at, h, 200_000) == pytest.approx(float(floor(at, h)), rel=1e-3)


# ζ, h and the exact worst case at Λ = Δ = 1, T = 8, from a semidefinite program; and how far the bound
# may be from it.
EXACT = [
    (0.0, 0.5, 0.3333, 3e-4), (0.0, 1.5, 0.3333, 3e-4), (0.1, 0.1, 1.1229, 1e-3), (0.1, 1.0, 0.2587, 3e-4),
    (1.0, 0.5, 1.237, 4e-3), (1.0, 1.0, 1.125, 1e-4), (1.0, 1.5, 7.050, 0.021),
]  # fmt: skip


@pytest.mark.parametrize(("zeta", "h", "exact", "excess"), EXACT)
def test_near_the_exact_worst_case(zeta, h, exact, excess):
    total = float(tight_bound(unit(bias=zeta**2), h, 8))
    assert exact * (1 - 2e-4) <= total <= exact * (1 + excess)


def relaxed_worst_case(at, h, steps, rng):
    """A feasible point of the relaxation that tight_bound solves: values δ and gradients a with a² ≤ 2δ (Λ = 1)."""
    value, total = at.gap, 0.0
    zeta = np.sqrt(at.bias)
    for _ in range(steps):
        a = np.sqrt(2 * value) * rng.choice([1.0, rng.uniform()])
        total += a * a
        value -= h * ((1 - h / 2) * a * a - abs(1 - h) * a * zeta - h / 2 * (at.bias + at.noise))
        assert value >= 0
    return total / steps


def test_no_feasible_point_of_the_relaxation_exceeds_the_bound():
    rng = np.random.default_rng(4)
    for _ in range(150):
        at = unit(bias=rng.exponential(), noise=rng.exponential() * rng.integers(2), gap=rng.exponential())
        h, steps = rng.uniform(0.05, 1.9), int(rng.integers(1, 30))
        assert relaxed_worst_case(at, h, steps, rng) <= float(tight_bound(at, h, steps)) * (1 + 1e-12)


def test_terms_add_up():
    bound = tight_bound(unit(bias=0.1, noise=0.2), np.array([0.5, 1.0])[:, None], np.array([10, 100, np.inf]))
    assert np.shape(bound.total) == (2, 3)
    np.testing.assert_allclose(bound.transient + bound.noise + bound.bias, bound.total, rtol=1e-14)
    assert (np.array(bound.transient)[:, 2] == 0).all()
    assert bound.total[1, 1] == tight_bound(unit(bias=0.1, noise=0.2), 1.0, 100).total


def test_schedule_with_constant_steps_is_the_classical_bound():
    from convergence import classical_bound

    at = unit(bias=0.3, noise=0.2)
    constant, classical = schedule_bound(at, np.full(50, 0.4)), classical_bound(at, 0.4, 50)
    for name in ("transient", "noise", "bias", "total"):
        assert getattr(constant, name) == pytest.approx(getattr(classical, name), rel=1e-13)


def test_schedule_weighs_the_bias_by_the_steps():
    bound = schedule_bound(unit(noise=0.5), [1.0, 0.1], bias=[0.0, 1.0])
    assert bound.bias == pytest.approx(0.1 / 1.1, rel=1e-14)
    assert bound.noise == pytest.approx(0.5 * 1.01 / 1.1, rel=1e-14)
    assert bound.transient == pytest.approx(2 / 1.1, rel=1e-14)


def test_decreasing_steps_keep_the_bias_and_annealing_removes_it():
    at = unit(bias=0.3, noise=0.2)
    eta = 1 / np.sqrt(np.arange(1, 1_000_001))
    assert schedule_bound(at, eta).bias == pytest.approx(0.3, rel=1e-12)
    assert schedule_bound(at, eta).noise < 0.002
    assert schedule_bound(at, eta, bias=at.bias / np.arange(1, 1_000_001)).bias < 4e-4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: refined_bound(unit(), 2.0, 10), "the refined bound holds for 0 < Λη < 2"),
        (lambda: tight_bound(unit(relative_bias=0.25), 1.4, 10), "the tight bound holds for 0 < Λη < 1.33333"),
        (lambda: tight_bound(unit(), 0.5, 0), "at least 1 step"),
        (lambda: extremal_average(unit(), 0.5, 10_000_000), "at most 10⁶ steps"),
        (lambda: schedule_bound(unit(), [0.5, 1.5]), "step = 1.5"),
        (lambda: schedule_bound(unit(), [0.5, 0.5], bias=[1.0]), "one number per step"),
        (lambda: schedule_bound(unit(), [0.5], bias=[-1.0]), "finite squared norms"),
        (lambda: schedule_bound(unit(relative_bias=0.1), [0.5]), "absolute bias only"),
    ],
)
def test_bad_values_name_the_value_and_the_range(call, message):
    with pytest.raises(ValueError, match=message):
        call()
