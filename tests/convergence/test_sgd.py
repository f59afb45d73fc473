"""The simulator: reproducible whatever the number of replicas, exact where theory is exact, open to users' problems."""

import numpy as np
import pytest

from convergence import Assumptions, check_bound, problems, sharp_bound, simulate
from convergence.sgd import BLOCK, record_times


def test_deterministic_quadratic_follows_its_recursion():
    run = simulate(problems.get("quadratic", radius=2.0), step=0.3, steps=50, replicas=1, seed=0, record=range(1, 51))
    expected = 4 * 0.7 ** (2 * np.arange(1, 51))
    np.testing.assert_allclose(run.squared_gradient[:, 0], expected, rtol=1e-12)
    np.testing.assert_allclose(run.value[:, 0], expected / 2, rtol=1e-12)
    averages = np.cumsum(np.r_[4.0, expected[:-1]]) / np.arange(1, 51)
    np.testing.assert_allclose(run.mean_squared_gradient[:, 0], averages, rtol=1e-12)
    np.testing.assert_allclose(run.least_squared_gradient[:, 0], np.r_[4.0, expected[:-1]], rtol=1e-12)
    np.testing.assert_allclose(run.final, [[2 * 0.7**50, 0.0]], rtol=1e-12)


def test_numbers_depend_on_seed_and_index_only():
    f = problems.get("quadratic_cosine", noise=1.0, dim=3)
    arguments = {"step": 0.3, "steps": 40, "seed": 7}
    long = simulate(f, replicas=2 * BLOCK + 5, **arguments)
    short = simulate(f, replicas=10, **arguments)
    np.testing.assert_array_equal(long.mean_squared_gradient[:, :10], short.mean_squared_gradient)
    second = simulate(f, replicas=20, first=BLOCK, **arguments)
    np.testing.assert_array_equal(long.value[:, BLOCK : BLOCK + 20], second.value)
    np.testing.assert_array_equal(long.final[BLOCK : BLOCK + 20], second.final)
    other = simulate(f, replicas=10, step=0.3, steps=40, seed=8)
    assert not np.array_equal(other.value, short.value)
    assert len(np.unique(long.value[-1])) == 2 * BLOCK + 5


def test_stationary_variance_of_linear_noise():
    # E‖∇f‖² = hσ²/(2-h) for isotropic noise on the quadratic.
    f = problems.get("quadratic", dim=4, noise=1.0, noise_model="gaussian", radius=0.0)
    run = simulate(f, step=0.5, steps=60, replicas=40 * BLOCK, seed=1, record=1)
    values = run.squared_gradient[-1]
    assert abs(values.mean() - 0.5 / 1.5) <= 5 * values.std() / np.sqrt(values.size)


class Own:
    """A user's problem: f = ½‖x‖² with constant bias, no perturb, no start."""

    dim, smoothness, minimum, noise, bias = 2, 1.0, 0.0, 0.0, 0.25

    def value(self, x):
        return 0.5 * (x**2).sum(axis=-1)

    def gradient(self, x):
        return x.copy()

    def sample_gradient(self, x, rng):
        return x + np.array([0.5, 0.0])


def test_a_users_own_problem():
    run = simulate(Own(), step=0.5, steps=500, replicas=16, seed=0)
    assert run.assumptions == Assumptions(smoothness=1.0, gap=1.0, noise=0.0, bias=0.25)
    assert run.squared_gradient[-1, 0] == pytest.approx(0.25, rel=1e-12)
    assert check_bound(run, sharp_bound(run.assumptions, 0.5, 500)).outcome == "confirmed"


def test_a_users_lie_about_the_bias_is_refuted():
    liar = Own()
    liar.bias = 0.2
    run = simulate(liar, step=0.5, steps=500, replicas=16, seed=0)
    assert check_bound(run, sharp_bound(run.assumptions, 0.5, 500)).outcome == "refuted"


def test_divergence_is_recorded_as_infinite_and_refuted():
    run = simulate(problems.get("quadratic", smoothness=10.0), step=1.0, steps=2000, replicas=8, seed=0)
    assert np.isinf(run.mean_squared_gradient[-1]).all()
    claimed = Assumptions(smoothness=1.0, gap=run.assumptions.gap, noise=0.0, bias=0.0)
    verdict = check_bound(run, sharp_bound(claimed, 1.0, 2000))
    assert verdict.outcome == "refuted"
    assert verdict.observed == np.inf


def test_record_times():
    assert record_times(1000, 4).tolist() == [1, 10, 100, 1000]
    assert record_times(7, 1).tolist() == [7]
    assert record_times(5, 100).tolist() == [1, 2, 3, 4, 5]
    assert record_times(10, [2, 4]).tolist() == [2, 4, 10]


def test_progress_is_reported():
    seen = []
    simulate(problems.get("quadratic"), step=0.5, steps=5, replicas=3 * BLOCK, seed=0, progress=seen.append)
    assert seen == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 0.0}, "step = 0.0"),
        ({"step": float("inf")}, "step = inf"),
        ({"steps": 0}, "steps = 0"),
        ({"steps": 2.5}, "steps = 2.5"),
        ({"replicas": 0}, "replicas = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"first": 3}, "multiple of 256"),
        ({"start": [1.0, 2.0, 3.0]}, r"start has shape \(3,\)"),
        ({"record": 0}, "record = 0"),
        ({"record": [0, 5]}, "times between 1 and steps"),
    ],
)
def test_bad_arguments(change, message):
    arguments = {"step": 0.5, "steps": 10, "replicas": 2, "seed": 0} | change
    with pytest.raises(ValueError, match=message):
        simulate(problems.get("quadratic"), **arguments)


def test_wrong_gradient_shape():
    class Wrong(Own):
        def gradient(self, x):
            return x[:, :1]

    with pytest.raises(ValueError, match="gradient returned shape"):
        simulate(Wrong(), step=0.5, steps=3, replicas=1, seed=0)
