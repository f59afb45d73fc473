"""The problems' declared constants are true: gradient, smoothness, minimum, noise and bias."""

import mpmath as mp
import numpy as np
import pytest

from convergence import problems
from convergence.problems._sine import sine
from convergence.problems.bias_models import BIAS_MODELS
from convergence.problems.noise_models import NOISE_MODELS

PARAMETERS = {
    "quadratic": {"dim": 3, "smoothness": 2.5},
    "quadratic_cosine": {"dim": 3, "curvature": 0.3, "amplitude": 0.7, "frequency": 1.7},
}


def test_every_problem_is_covered():
    assert set(PARAMETERS) == set(problems.available())


@pytest.fixture(params=sorted(PARAMETERS))
def problem(request):
    return problems.get(request.param, noise=0.49, bias=0.36, **PARAMETERS[request.param])


def test_gradient_is_the_derivative(problem):
    x = np.random.default_rng(0).normal(size=(20, problem.dim)) * 3
    for axis in range(problem.dim):
        shift = np.zeros(problem.dim)
        shift[axis] = 1e-5
        difference = (problem.value(x + shift) - problem.value(x - shift)) / 2e-5
        np.testing.assert_allclose(problem.gradient(x)[:, axis], difference, rtol=1e-7, atol=1e-8)


def test_no_pair_of_points_beats_the_smoothness_and_one_reaches_it(problem):
    rng = np.random.default_rng(1)
    x = rng.uniform(-8, 8, (200_000, problem.dim))
    y = x + rng.normal(size=x.shape) * 10 ** rng.uniform(-4, 0, (len(x), 1))
    ratio = np.linalg.norm(problem.gradient(x) - problem.gradient(y), axis=1) / np.linalg.norm(x - y, axis=1)
    assert ratio.max() <= problem.smoothness * (1 + 1e-9)
    near = np.array([[1e-4] * problem.dim])
    reached = np.linalg.norm(problem.gradient(near)) / np.linalg.norm(near)
    assert reached >= 0.999 * problem.smoothness


def test_minimum_is_a_lower_bound_and_reached(problem):
    x = np.random.default_rng(2).uniform(-8, 8, (100_000, problem.dim))
    assert problem.value(x).min() >= problem.minimum
    assert problem.value(np.zeros((1, problem.dim)))[0] == pytest.approx(problem.minimum, abs=1e-15)


@pytest.mark.parametrize("model", NOISE_MODELS)
def test_noise_has_mean_zero_and_the_declared_variance(model):
    rng = np.random.default_rng(3)
    gradient = np.tile([0.3, -2.0, 1.0, 0.0], (400_000, 1))
    draw = NOISE_MODELS[model](gradient, 0.7, rng)
    squares = (draw**2).sum(axis=1)
    # Six standard errors: one false alarm in 5e8.
    assert abs(squares.mean() - 0.49) <= 6 * squares.std() / np.sqrt(len(draw)) + 1e-12
    assert (np.abs(draw.mean(axis=0)) <= 6 * draw.std(axis=0) / np.sqrt(len(draw)) + 1e-15).all()


def test_orthogonal_noise_is_orthogonal_and_defined_at_zero():
    rng = np.random.default_rng(4)
    gradient = np.vstack([rng.normal(size=(100, 3)), np.zeros((3, 3)), [[0.0, 0.0, 2.0]]])
    gradient[:100, 2] = 0
    draw = NOISE_MODELS["orthogonal"](gradient, 1.5, rng)
    np.testing.assert_allclose((draw * gradient).sum(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(draw, axis=1), 1.5, rtol=1e-14)


@pytest.mark.parametrize("model", BIAS_MODELS)
def test_bias_has_the_declared_norm(model):
    gradient = np.vstack([np.random.default_rng(5).normal(size=(50, 3)), np.zeros((1, 3))])
    norms = np.linalg.norm(BIAS_MODELS[model](gradient, 0.6), axis=1)
    declared = np.full(51, 0.6)
    if model == "adversarial":
        # It stops SGD where the gradient is that small.
        declared = np.minimum(declared, np.linalg.norm(gradient, axis=1))
        assert 0 < (declared < 0.6).sum() < 51
    np.testing.assert_allclose(norms, declared, rtol=1e-14)


def test_sine_agrees_with_mpmath_near_and_far():
    rng = np.random.default_rng(7)
    multiples = np.arange(-40, 41) * np.pi / 2
    far = rng.uniform(-1e6, 1e6, 2_000)
    x = np.concatenate([rng.uniform(-10, 10, 5_000), far, multiples, 10 ** rng.uniform(-300, 0, 200), [2.0**21, 1e15]])
    with mp.workprec(160):
        exact = np.array([float(mp.sin(mp.mpf(v))) for v in x])
    error = np.abs(sine(x) - exact)
    assert (error <= np.maximum(2 * np.spacing(np.abs(exact)), 1e-19)).all()
    assert np.isnan(sine(np.array([np.inf, np.nan]))).all()


def test_sine_does_not_depend_on_shape_or_memory_order():
    x = np.random.default_rng(8).normal(size=(3, 5, 256)) * 4
    x[1, 2, 3] = 1e7
    whole = sine(x)
    np.testing.assert_array_equal(whole[1], sine(x[1].copy()))
    np.testing.assert_array_equal(whole.swapaxes(1, 2), sine(x.swapaxes(1, 2)))
    np.testing.assert_array_equal(whole[0, 0, :7], sine(x[0, 0, :7].copy()))
    np.testing.assert_array_equal(whole[:, ::2, ::3], sine(x[:, ::2, ::3]))


def test_oracle_is_gradient_plus_bias_plus_noise(problem):
    x = np.tile(problem.start, (200_000, 1))
    sample = problem.sample_gradient(x, np.random.default_rng(6))
    centred = sample - sample.mean(axis=0)
    bias = sample.mean(axis=0) - problem.gradient(problem.start[None])[0]
    squares = (centred**2).sum(axis=1)
    assert abs(squares.mean() - problem.noise) <= 6 * squares.std() / np.sqrt(len(x)) + 1e-9
    error = np.sqrt(problem.noise / len(x))
    assert abs(np.linalg.norm(bias) - np.sqrt(problem.bias)) <= 6 * error


def test_protocol_and_errors():
    assert isinstance(problems.get("quadratic"), problems.Problem)
    cases = {
        "no such problem": lambda: problems.get("cubic"),
        "dim = 1": lambda: problems.get("quadratic", dim=1),
        "noise = -1": lambda: problems.get("quadratic", noise=-1),
        "bias = nan": lambda: problems.get("quadratic", bias=float("nan")),
        "noise_model = 'loud'": lambda: problems.get("quadratic", noise_model="loud"),
        "bias_model = 'mean'": lambda: problems.get("quadratic", bias_model="mean"),
        "smoothness = 0": lambda: problems.get("quadratic", smoothness=0),
        "amplitude = -1": lambda: problems.get("quadratic_cosine", amplitude=-1),
        "parameters .'colour'.*takes dim": lambda: problems.get("quadratic", colour=1),
        "finite radius": lambda: problems.get("quadratic", radius=float("nan")),
        "frequency = 0": lambda: problems.get("quadratic_cosine", frequency=0),
    }
    for message, call in cases.items():
        with pytest.raises(ValueError, match=message):
            call()
