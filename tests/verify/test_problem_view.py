"""Units are the user's: a problem measured in millionths or millions is judged as it is in ones."""

import numpy as np
import pytest

from convergence.probes import views
from verify.problem_check import check_problem, judge_constant
from verify.problem_interface import watch


class InUnits:
    """Σ (x/u)²/2 + sin²(x/u), with Gaussian noise, a constant bias, and units u of its own in each coordinate."""

    minimum = 0.0
    box: "tuple[np.ndarray, np.ndarray] | None" = None

    def __init__(self, units, at=0.0, height=1.0):
        self.units, self.at, self.height = np.asarray(units, dtype=float), at, height
        self.dim = self.units.size
        self.stiff = int(self.units.argmin())
        unit = self.units[self.stiff]
        self.smoothness = 3 * height / unit**2
        self.start = at + 2 * self.units
        self.slope = height / unit
        self.noise, self.bias = self.slope**2, 0.01 * self.slope**2

    def value(self, x):
        z = (x - self.at) / self.units
        return self.height * (z**2 / 2 + np.sin(z) ** 2).sum(axis=1)

    def gradient(self, x):
        z = (x - self.at) / self.units
        return self.height * (z + np.sin(2 * z)) / self.units

    def sample_gradient(self, x, rng):
        shift = 0.1 * self.slope * np.eye(self.dim)[self.stiff]
        return self.gradient(x) + shift + self.slope / np.sqrt(self.dim) * rng.standard_normal(x.shape)


KINDS = {
    "small": {"units": [1e-6, 1e-6]},
    "large": {"units": [1e6, 1e6]},
    "far": {"units": [1.0, 1.0], "at": 1e4},
    "stiff and far": {"units": [1e-2, 1.0], "at": 1e3},
    "mixed": {"units": [1.0, 1e-3, 1e3]},
    "high": {"units": [1.0, 1.0], "height": 1e6},
    "low": {"units": [1.0, 1.0], "height": 1e-6},
}


SLOW = [kind for kind in KINDS if kind != "stiff and far"]


@pytest.mark.parametrize("kind", [k if k not in SLOW else pytest.param(k, marks=pytest.mark.slow) for k in KINDS])
def test_honest_and_false_constants_in_all_units(kind):
    trial = check_problem(InUnits(**KINDS[kind]), steps=200)
    assert trial.outcome == "confirmed", trial.parts
    assert trial.parts[1].found > 0.99 * trial.parts[1].declared
    for constant in ("smoothness", "noise", "bias"):
        liar = InUnits(**KINDS[kind])
        setattr(liar, constant, 0.8 * getattr(liar, constant))
        assert judge_constant(liar, constant).outcome == "refuted", constant
    liar = InUnits(**KINDS[kind])
    true = liar.gradient
    liar.gradient = lambda x: 1.001 * true(x)
    assert judge_constant(liar, "gradient").outcome == "refuted"


def test_witnesses_are_in_the_users_units():
    for kind in KINDS.values():
        f = InUnits(**kind)
        f.smoothness *= 0.8
        for view in views(watch(f)):
            y = view.start + np.array([[0.0], [0.25], [-0.5]]) * np.ones(f.dim)
            x = view._centre + view._unit * y
            np.testing.assert_allclose(view.value(y) * view._slope * view._unit, f.value(x), rtol=1e-12)
            np.testing.assert_allclose(view.gradient(y) * view._slope, f.gradient(x), rtol=1e-12)
            assert 1 <= view.smoothness < 2
        part = judge_constant(f, "smoothness")
        assert part.declared == f.smoothness
        assert part.found == pytest.approx(f.smoothness / 0.8, rel=0.01)


def test_a_view_of_a_box_stays_inside():
    f = InUnits([1e-6, 1e-6])
    asked = []
    inner = f.value
    f.box = (np.zeros(2), np.ones(2))
    f.value = lambda x: (asked.append(x), inner(x))[1]
    near = views(watch(f))[1]
    assert near._unit < 1e-5
    assert near.box is not None
    assert 0 < (near.box[1] - near.box[0]).max() <= 32  # of the whole box, which is a million units wide
    corners = np.array([near.box[0], near.box[1]])
    assert np.isfinite(near.value(corners)).all()
    assert np.isnan(near.value(corners - np.array([[1e-3], [1e6]]))).tolist() == [True, True]
    x = np.vstack(asked)
    assert (x >= 0).all()
    assert (x <= 1).all()


class Cancelling(InUnits):
    """R²(√(1 + x²/R²) - 1) is near x²/2, and its rounding errors are near R²ε."""

    def __init__(self, radius):
        super().__init__(np.ones(3))
        self.radius, self.smoothness, self.factor = radius, 1.0, 1.0

    def value(self, x):
        return self.radius**2 * (np.sqrt(1 + (x / self.radius) ** 2) - 1).sum(axis=1)

    def gradient(self, x):
        return self.factor * x / np.sqrt(1 + (x / self.radius) ** 2)


@pytest.mark.parametrize("radius", [1e2, 1e4, 1e6])
def test_values_that_lose_digits_do_not_make_a_gradient_wrong(radius):
    for seed in range(3):
        f = Cancelling(radius)
        assert judge_constant(f, "gradient", seed=seed).outcome == "confirmed"
        f.factor = 1.1
        assert judge_constant(f, "gradient", seed=seed).outcome == "refuted"


class Plain(InUnits):
    """½‖x‖² without noise: the bound holds with equality."""

    def __init__(self):
        super().__init__(np.ones(2))
        self.smoothness, self.noise, self.bias = 1.0, 0.0, 0.0

    def value(self, x):
        return (x**2).sum(axis=1) / 2

    def gradient(self, x):
        return x.copy()

    def sample_gradient(self, x, rng):
        return x.copy()


def test_a_bound_that_is_attained_without_noise_is_confirmed():
    trial = check_problem(Plain())
    assert trial.outcome == "confirmed", trial.parts
    assert trial.parts[-1].found == pytest.approx(trial.parts[-1].declared, rel=1e-12)


def test_what_is_not_seen_among_units_that_differ_a_million_times():
    f = InUnits(**KINDS["mixed"])
    true = f.gradient
    f.gradient = lambda x: true(x) * np.array([0.0, 1.0, 1.0])
    assert judge_constant(f, "gradient").outcome == "refuted"
    f.gradient = lambda x: true(x) * np.array([1.0, 1.0, 0.0])
    assert judge_constant(f, "gradient").outcome == "confirmed"


def test_waves_of_a_millionth_of_the_start_are_averaged_over():
    f = InUnits([1e-6, 1e-6])
    f.start = np.ones(2)
    assert judge_constant(f, "smoothness").outcome == "confirmed"
    f.smoothness *= 0.8
    assert judge_constant(f, "smoothness").outcome == "confirmed"
