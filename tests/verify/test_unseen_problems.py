"""Problems that nobody showed the searches: honest ones pass, a false constant is caught, kind by kind."""

import sys
from pathlib import Path

import numpy as np
import pytest

from convergence.probes import largest_curvature, noise_variance
from verify.problem_check import check_problem, judge_constant

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))
import unseen_problems


@pytest.mark.parametrize("seed", range(4))
def test_a_narrow_bump_in_four_dimensions_is_found(seed):
    problem = unseen_problems.make("narrow_bump_in_four", seed)
    found = largest_curvature(problem, np.random.default_rng(seed))
    assert 0.95 * problem.peaks["smoothness"] <= found.value <= problem.smoothness
    part = judge_constant(problem.lie("smoothness"), "smoothness", seed=seed)
    assert part.outcome == "refuted"


def test_the_search_stays_in_its_budget():
    problem, counted = unseen_problems.make("narrow_bump_in_four", 0), []
    inner = problem.gradient
    problem.gradient = lambda x: (counted.append(len(x)), inner(x))[1]
    for budget in (50_000, 200_000, 600_000):
        counted.clear()
        largest_curvature(problem, np.random.default_rng(0), budget=budget)
        assert 0.5 * budget < sum(counted) < 1.2 * budget


def test_noise_of_constant_size_is_not_refuted():
    """Signs in one dimension: the squares about their own mean hardly spread, and their mean is nearly always high."""

    class Signs:
        dim, smoothness, minimum, noise, bias = 1, 1.0, 0.0, 1.0, 0.0

        def value(self, x):
            return x[:, 0] ** 2 / 2

        def gradient(self, x):
            return x

        def sample_gradient(self, x, rng):
            return x + 2.0 * rng.integers(0, 2, x.shape) - 1

    rate = 0.05
    wrong = sum(
        noise_variance(Signs(), np.random.default_rng(s), error_rate=rate, points=12, budget=20_000).low > 1
        for s in range(100)
    )
    # 5 expected at most; 16 or more have a probability below 1e-4.
    assert wrong < 16


@pytest.mark.slow
@pytest.mark.parametrize("kind", unseen_problems.KINDS)
def test_unseen_problems(kind):
    """Five of each kind: no honest one refuted, at most one false Λ or ζ² missed, no wrong gradient missed."""
    caught = 0
    for seed in range(100, 105):
        problem = unseen_problems.make(kind, seed)
        trial = check_problem(problem, seed=seed, steps=200)
        assert trial.wrong == [], trial.parts
        # A bound is not judged if replicas leave the box.
        assert trial.outcome == "confirmed" or (problem.box and trial.outcome == "undecided"), trial.parts
        assert trial.parts[1].found <= problem.smoothness * (1 + 1e-6)
        caught += sum(judge_constant(problem.lie(c), c, seed=seed).outcome == "refuted" for c in ("smoothness", "bias"))
        for fault in unseen_problems.FAULTS:
            part = judge_constant(unseen_problems.with_fault(problem, fault), "gradient", seed=seed)
            assert part.outcome == "refuted", fault
    assert caught >= 9
