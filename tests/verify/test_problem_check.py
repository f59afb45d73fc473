"""Problems of users on trial: honest ones pass, each false constant is named, with a witness that holds up."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from convergence import problems
from convergence.probes import bias_excess, noise_variance
from verify.problem_check import ProblemError, check_problem, load_problem

ROOT = Path(__file__).resolve().parents[2]

HONEST = {
    "double_well": {"noise": 0.5, "bias": 0.04, "bias_model": "against_gradient"},
    "pl_sine": {"noise": 2.0, "bias": 0.25, "noise_model": "heavy_tailed", "dim": 2},
    "quadratic": {"noise": 1.0, "bias": 0.5, "smoothness": 3.0},
    "quadratic_cosine": {"noise": 0.3, "bias": 0.01, "noise_model": "rademacher", "dim": 30},
    "robust_regression": {"noise": 0.1, "bias": 0.01, "bias_model": "along_gradient"},
    "nonconvex_logistic": {"noise": 0.2, "bias": 0.09},
}


def made(name, **change):
    problem = problems.get(name, **HONEST[name])
    # The oracle keeps what it was made with: only the declarations change.
    sampled = problem.sample_gradient
    honest = problems.get(name, **HONEST[name])
    problem.sample_gradient = honest.sample_gradient
    assert sampled is not problem.sample_gradient
    for constant, factor in change.items():
        setattr(problem, constant, getattr(problem, constant) * factor)
    return Plain(problem, honest)


class Plain:
    """A user's object: the declarations of one problem, the behaviour of another."""

    def __init__(self, declared, true):
        for name in ("dim", "smoothness", "minimum", "noise", "bias", "start"):
            setattr(self, name, getattr(declared, name))
        self.value, self.gradient, self.sample_gradient = true.value, true.gradient, true.sample_gradient


@pytest.mark.parametrize("name", HONEST)
def test_honest_problems_are_confirmed(name):
    trial = check_problem(made(name), steps=500)
    assert trial.outcome == "confirmed", trial.parts
    assert [p.name for p in trial.parts][:5] == ["gradient", "smoothness", "minimum", "noise", "bias"]
    assert len(trial.parts) == 8


@pytest.mark.parametrize("name", HONEST)
@pytest.mark.parametrize("constant", ["smoothness", "noise", "bias"])
def test_a_constant_a_fifth_too_small_is_named(name, constant):
    trial = check_problem(made(name, **{constant: 0.8}))
    assert trial.outcome == "refuted"
    assert trial.wrong == [constant]
    assert not any(p.name.startswith("bound") for p in trial.parts)


def test_unseen_honest_problems():
    rng = np.random.default_rng(1)
    spectrum = np.concatenate([[2.0], rng.uniform(0, 1.5, 29)])
    turn = np.linalg.qr(rng.standard_normal((30, 30)))[0]

    class Wide:
        """A quadratic in 30 dimensions whose largest curvature has one direction."""

        dim, minimum, noise, bias = 30, 0.0, 1.0, 0.0

        def __init__(self, smoothness):
            self.smoothness = smoothness

        def value(self, x):
            return ((x @ turn) ** 2 @ spectrum) / 2

        def gradient(self, x):
            return (x @ turn * spectrum) @ turn.T

        def sample_gradient(self, x, rng):
            return self.gradient(x) + rng.standard_normal(x.shape) / np.sqrt(30)

    assert check_problem(Wide(2.0), steps=100).outcome == "confirmed"
    assert check_problem(Wide(1.6)).wrong == ["smoothness"]

    class Far:
        """Huber-like, curved most at a point that the start does not know, with noise that grows there."""

        dim, smoothness, minimum, noise, bias = 4, 1.0, 1.0, 1.0, 0.0
        centre = np.array([9.0, -4.0, 2.0, 0.0])

        def value(self, x):
            return np.sqrt(1 + ((x - self.centre) ** 2).sum(axis=1))

        def gradient(self, x):
            return (x - self.centre) / self.value(x)[:, None]

        def sample_gradient(self, x, rng):
            size = np.exp(-((x - self.centre) ** 2).sum(axis=1) / 20)[:, None]
            return self.gradient(x) + size * rng.standard_normal(x.shape) / 2

    assert check_problem(Far(), steps=200).outcome == "confirmed"
    for constant in ("smoothness", "noise"):
        liar = Far()
        setattr(liar, constant, 0.8)
        assert check_problem(liar).wrong == [constant]


@pytest.mark.parametrize("fault", ["factor", "sign", "missing term", "small"])
def test_a_wrong_gradient_is_caught_first(fault):
    problem = made("quadratic_cosine")
    true = problem.gradient
    faults = {
        "factor": lambda x: true(x) * 1.1,
        "sign": lambda x: -true(x),
        "missing term": lambda x: true(x) - 0.1 * x,
        "small": lambda x: true(x) + 1e-4 * np.eye(problem.dim)[7],
    }
    problem.gradient = faults[fault]
    trial = check_problem(problem)
    assert trial.wrong == ["gradient"]
    assert len(trial.parts) == 1


def test_a_minimum_that_is_undercut_and_an_oracle_that_is_biased():
    problem = made("double_well")
    problem.minimum += 0.1
    assert check_problem(problem).wrong == ["minimum"]
    problem = made("double_well", bias=0.0)
    trial = check_problem(problem)
    assert trial.wrong == ["bias"]
    assert "the oracle is biased" in trial.parts[-1].detail


def test_the_witness_of_a_smoothness_holds_up():
    problem = made("pl_sine", smoothness=0.8)
    part = check_problem(problem).parts[1]
    x, v = (np.array(json.loads(t)) for t in re.findall(r"\[[^]]*\]", part.detail)[:2])
    step = 1e-4
    pair = problem.gradient(np.stack([x + step * v, x - step * v]))
    assert np.linalg.norm(pair[0] - pair[1]) / (2 * step) > problem.smoothness * 1.2


def test_false_alarms_are_rare():
    """A hundred honest oracles with constants met exactly, at an error rate of 0.05 for each of two judgements."""
    problem, wrong = made("pl_sine"), 0
    problem.noise *= 1 - 1e-6
    for seed in range(100):
        rng = np.random.default_rng(seed)
        options = {"error_rate": 0.05, "points": 12, "budget": 100_000}
        wrong += noise_variance(problem, rng, **options).low > problem.noise
        moment = bias_excess(problem, rng, **options)
        wrong += moment.low > moment.allowed
    # 10 expected at most; more than 25 has a probability below 1e-5.
    assert wrong <= 25


def test_a_constant_that_does_not_hold_outside_the_box():
    class Quartic:
        dim, smoothness, minimum, noise, bias = 1, 12.0, 0.0, 0.01, 0.0
        box = (np.array([-2.0]), np.array([2.0]))

        def value(self, x):
            return x[:, 0] ** 4 / 4

        def gradient(self, x):
            return x**3

        def sample_gradient(self, x, rng):
            return self.gradient(x) + 0.1 * rng.standard_normal(x.shape)

    trial = check_problem(Quartic(), steps=200)
    assert trial.outcome == "confirmed"
    without = Quartic()
    Quartic.box = None
    assert check_problem(without).wrong == ["smoothness"]


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("dim", 2.5, "dim = 2.5"),
        ("smoothness", 0.0, "smoothness = 0.0: expected a finite number > 0"),
        ("noise", float("nan"), "noise = nan"),
        ("bias", "large", "bias = 'large'"),
        ("value", lambda x: x, "value returned shape"),
        ("gradient", lambda x: x * np.nan, "gradient is not finite at the start"),
        ("gradient", lambda x: x.astype(np.float32), "gradient returned numbers of type float32: expected float64"),
        ("gradient", lambda x: np.multiply(x, 2, out=x), "changed its argument"),
    ],
)
def test_what_is_no_problem(attribute, value, message):
    problem = made("quadratic")
    setattr(problem, attribute, value)
    with pytest.raises(ProblemError, match=re.escape(message)):
        check_problem(problem)


def test_references():
    assert load_problem("convergence.problems.double_well:DoubleWell").dim == 5
    for reference, message in (
        ("nothing", "expected module:name"),
        ("no_such_module:x", "ModuleNotFoundError"),
        ("math:nothing", "AttributeError"),
        ("/no/such.py:x", "no such file"),
    ):
        with pytest.raises(ProblemError, match=message):
            load_problem(reference)


OWN = """
import numpy as np

class Mine:
    dim, smoothness, minimum, noise, bias = 2, 2.0, 0.0, 1.0, 0.25

    def value(self, x):
        return (x**2 / 2 + 1 - np.cos(x)).sum(axis=1)

    def gradient(self, x):
        return x + np.sin(x)

    def sample_gradient(self, x, rng):
        return self.gradient(x) + [0.3, 0.4] + rng.standard_normal(x.shape) / np.sqrt(2)

class Liar(Mine):
    noise = 0.8
"""


@pytest.mark.parametrize(("name", "code"), [("Mine", 0), ("Liar", 1), ("Nobody", 2)])
def test_command(tmp_path, name, code):
    (tmp_path / "own.py").write_text(OWN)
    command = [
        sys.executable,
        "-m",
        "verify",
        "verify-problem",
        f"{tmp_path}/own.py:{name}",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == code, done.stderr
    if code == 2:
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
    else:
        document = json.loads(done.stdout)
        assert document["wrong"] == (["noise"] if code else [])
        assert document["outcome"] == ("refuted" if code else "confirmed")
