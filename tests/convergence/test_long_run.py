"""The law of long runs against proved bounds, the sharp bound and its special cases."""

import numpy as np
import pytest

from convergence import Assumptions, best_iterate_bound, long_run_law, sharp_bound, stepwise_bound


def at(rate, h, steps, zeta2=1.0, smoothness=1.0):
    gap = rate * h / smoothness * steps
    return Assumptions(smoothness=smoothness, gap=gap, noise=0.0, bias=zeta2)


@pytest.mark.parametrize(("h", "rate"), [(0.2, 3.0), (0.5, 3.0), (0.8, 20.0), (1.0, 2.0)])
def test_proved_bounds_tend_to_it(h, rate):
    assumptions = at(rate, h, 200)
    assert stepwise_bound(assumptions, h, 200).total == pytest.approx(long_run_law(assumptions, h, 200), rel=0.015)


def test_at_most_the_sharp_bound():
    rng = np.random.default_rng(4)
    for _ in range(200):
        h, rate, steps = rng.uniform(0.01, 1.0), 10 ** rng.uniform(-3, 3), 10 ** rng.uniform(0, 4)
        assumptions = at(rate, h, steps, zeta2=10 ** rng.uniform(-2, 1))
        law, sharp = long_run_law(assumptions, h, steps), sharp_bound(assumptions, h, steps).total
        assert 0.9 * sharp < law <= sharp * (1 + 1e-12)


def test_without_bias_and_at_the_classical_step_it_is_the_sharp_bound():
    for h, zeta2 in ((0.3, 0.0), (1.0, 0.7)):
        assumptions = at(0.4, h, 50, zeta2)
        assert long_run_law(assumptions, h, 50) == pytest.approx(sharp_bound(assumptions, h, 50).total, rel=1e-12)


def test_a_constant_gradient_is_the_worst_for_the_best_iterate():
    """Before the first gradients matter, the worst run keeps its gradient: the best iterate is no better."""
    assumptions = at(0.01, 0.5, 1e7)
    best = best_iterate_bound(assumptions, 0.5, 10_000_000).total
    assert long_run_law(assumptions, 0.5, 1e7) == pytest.approx(best, rel=1e-5)


def test_units():
    plain = long_run_law(at(2.0, 0.3, 10), 0.3, 10)
    scaled = long_run_law(Assumptions(smoothness=5.0, gap=2.0 * 4 * 0.06 * 10, noise=0, bias=4.0), 0.06, 10)
    assert scaled == pytest.approx(4 * plain, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 1.5}, "the long-run law holds for 0 < Λη <= 1"),
        ({"assumptions": Assumptions(smoothness=1, gap=1, noise=1, bias=0)}, "use the stepwise bound"),
        ({"steps": 0}, "expected at least 1 step"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        long_run_law(**({"assumptions": at(1.0, 0.5, 10), "step": 0.5, "steps": 10} | change))
