"""Faults planted in the theory of SGD, its simulator and its verdicts: each is refuted by a claim, or fails a test."""

import json

import pytest
from faults import misfits, run_with, suite_with

# file in convergence/, what is there, what is put in its place, the claim that must be refuted
CLAIMED = {
    "transient of the sharp bound halved": (
        "bounds.py",
        "    tau = product(2, assumptions.gap, over=(eta, horizon))",
        "    tau = product(1, assumptions.gap, over=(eta, horizon))",
        "C2",
    ),
    "cross term of bias and gradient halved": ("bounds.py", "2 * away * root)", "away * root)", "C2"),
    "refined bound one step too small": (
        "bounds.py",
        "_sharp(assumptions, eta, horizon, 1 - 1 / horizon,",
        "_sharp(assumptions, eta, horizon, 1 - 2 / (horizon + 1),",
        "C2b",
    ),
    "best iterate with the last step's factor": (
        "bounds.py",
        "before * (1 - h / 4) + last / 2",
        "before * (1 - h / 2) + last / 2",
        "C2d",
    ),
    "noise of the value's bound dropped": (
        "bounds.py",
        "spread = product(h, np.sqrt(assumptions.noise), over=(double, np.sqrt(q)))",
        "spread = 0 * product(h, np.sqrt(assumptions.noise), over=(double, np.sqrt(q)))",
        "C9",
    ),
    "value's bound of a shorter run": (
        "bounds.py",
        "horizon * np.log1p(-np.minimum(loss, 1.0))",
        "(horizon - 1) * np.log1p(-np.minimum(share * lost, 1.0))",
        "C9",
    ),
    "lag of the noises a percent less, in a run's tail": ("tails.py", "+ c * s)\n", "+ 0.99 * c * s)\n", "V3"),
    "lag of the bias a percent less, in a run's tail": (
        "tails.py",
        "foreign = h + h * c / (1 - self.mu)",
        "foreign = h + 0.99 * h * c / (1 - self.mu)",
        "V3",
    ),
    "chance a percent less, in a run's tail with momentum": (
        "tails.py",
        "rest = inverse * self.rank * float(np.log1p(odds)) / 2",
        "rest = inverse * self.rank * float(np.log1p(odds)) / 2.02",
        "V3",
    ),
    "chance a percent less, in a run's tail": (
        "tails.py",
        "rest = self.tau - inverse * self.rank * moments / 2",
        "rest = self.tau - inverse * self.rank * moments / 2.02",
        "V3",
    ),
    "series of the tight bound cut short": ("tight.py", "range(15, 1, -1)", "range(6, 1, -1)", "C2e"),
    "bias of the tight bound without its own step": (
        "tight.py",
        "paid * (push + h * a.bias) if paid",
        "paid * push if paid",
        "C2e",
    ),
    "noise of the extremal problem": ("tight.py", "(h, h, a.noise))", "(h, a.noise))", "C2e"),
    "next gradient of momentum forgotten": (
        "momentum.py",
        "nu = theta + used * psi**2 / 4 + now**2 / delta",
        "nu = theta + used * psi**2 / 4",
        "C11",
    ),
    "noise of momentum that of plain steps": (
        "momentum.py",
        "cost * bias + h * nu * noise",
        "cost * bias + h / 2 * noise",
        "C11",
    ),
    "curvature of the long-run law": (
        "long_run.py",
        "product(assumptions.gap, over=(eta, horizon))), 1 - h / 4",
        "product(assumptions.gap, over=(eta, horizon))), 1 - h / 2",
        "C15",
    ),
    "spread of the stationary law": (
        "scope.py",
        "variance=float(product(eta, noise, over=(lam, room)))",
        "variance=float(product(eta, noise, over=(lam, 2)))",
        "C10",
    ),
    "scope without the perturbation": ("scope.py", "pull = float(product(pushed, over=(lam,))) + ", "pull = ", "C10"),
    "interpolation between consecutive iterates": (
        "performance/stepwise.py",
        "coupling: Fraction = Fraction(1, 4)",
        "coupling: Fraction = Fraction(1, 3)",
        "C13",
    ),
    "mutual bias halved": (
        "mutual.py",
        "product(2.0, *weights, root, root)",
        "product(1.0, *weights, root, root)",
        "C4",
    ),
    "drift of moving peers": ("mutual.py", "large = product(np.sqrt(2.0),", "large = product(1.0,", "C8"),
    "order in the observable bias": (
        "mutual.py",
        "product(*weights, np.maximum(1.0, alpha), mean)",
        "product(*weights, np.minimum(1.0, alpha), mean)",
        "C4",
    ),
    "variance of Gaussian noise": (
        "problems/noise_models.py",
        "        stream.standard_normal(out=part)\n    memory *= deviation / np.sqrt(gradient.shape[-1])",
        "        stream.standard_normal(out=part)\n    memory *= deviation",
        "C2",
    ),
    "verdicts not corrected for skewness": (
        "estimators.py",
        "    skewness = math.sqrt(",
        "    skewness = 0.0 * math.sqrt(",
        "V1",
    ),
    "verdicts not corrected for looks": (
        "verdict.py",
        "mean_interval(x, rate / planned)",
        "mean_interval(x, rate)",
        "V1",
    ),
    "constant of a problem 5% low": (
        "problems/double_well.py",
        "smoothness=max(curvature + 2 * height * np.exp(-1.5), height - curvature)",
        "smoothness=0.95 * max(curvature + 2 * height * np.exp(-1.5), height - curvature)",
        "V2",
    ),
    "constant of the game 5% low": (
        "problems/mutual_learning.py",
        "smoothness=max(self.",
        "smoothness=0.95 * max(self.",
        "V2",
    ),
}

# The same, and the tests that must fail
TESTED = {
    "certificates not checked for definiteness": (
        "performance/certificate.py",
        "            is_positive_definite(block.slack(self._flat, copy))\n",
        "            True\n",
        "tests/convergence/test_worst_case.py",
    ),
    "potential not checked at every step": (
        "performance/certificate.py",
        "for copy in range(len(block.columns))",
        "for copy in range(1)",
        "tests/convergence/test_stepwise.py",
    ),
    "interpolation conditions": (
        "performance/interpolation.py",
        "(change**2).sum(-1) / (4 * smoothness)",
        "(change**2).sum(-1) / (8 * smoothness)",
        "tests/convergence/test_worst_case.py",
    ),
    "schedules: noise weighted by the steps once": (
        "bounds.py",
        "(share * weights).sum()),",
        "weights.sum()),",
        "tests/convergence/test_bounds_refined.py",
    ),
    "largest step on half the gap": (
        "inverse.py",
        "first * first - 2 * second * rest",
        "first * first - second * rest",
        "tests/convergence/test_bounds_inverse.py",
    ),
    "largest bias without the relative one": (
        "inverse.py",
        "square = norm**2 - assumptions.relative_bias",
        "square = norm**2",
        "tests/convergence/test_bounds_inverse.py",
    ),
    "weights of the samples in the game": (
        "problems/mutual_learning.py",
        'parts["base"] *= self._own(k, rows, some)',
        "pass",
        "tests/convergence/test_cohort.py",
    ),
    "least gradient lost when a run is resumed": (
        "ensemble.py",
        '"total", "part", "least", "records", "left")',
        '"total", "part", "records", "left")',
        "tests/convergence/test_sgd.py",
    ),
    "random streams not restored": (
        "ensemble.py",
        "stream.bit_generator.state = kept",
        "pass",
        "tests/convergence/test_sgd.py",
    ),
    "Nesterov's momentum that is a heavy ball's": (
        "ensemble.py",
        "sample += task.momentum * velocity",
        "sample[...] = velocity",
        "tests/convergence/test_sgd.py",
    ),
    "scheduled gradients not weighted by their steps": (
        "ensemble.py",
        "self.part += step * self.norm if scheduled else self.norm",
        "self.part += self.norm",
        "tests/convergence/test_sgd.py",
    ),
    "students in turn who do not see each other move": (
        "ensemble.py",
        "                    self._ask(problem, gradient=True, sample=True)\n",
        "",
        "tests/convergence/test_cohort.py",
    ),
    "velocity lost when a run is resumed": (
        "ensemble.py",
        '("_x", "_velocity", "total"',
        '("_x", "total"',
        "tests/convergence/test_sgd.py",
    ),
    "average over one step more": (
        "ensemble.py",
        "mean = (self.total + self.part) / (self._weight(t) or 1.0)",
        "mean = (self.total + self.part) / (self._weight(t) + 1.0)",
        "tests/convergence/test_sgd.py",
    ),
    "what lies below an envelope forgotten": (
        "estimators.py",
        "(abs(low) + abs(floor)) - lacking",
        "(abs(low) + abs(floor))",
        "tests/convergence/test_tails.py",
    ),
    "what lies beyond an envelope forgotten": (
        "verdict.py",
        "upper=enclosing.upper, excess=enclosing.excess, lower",
        "upper=enclosing.upper, lower",
        "tests/convergence/test_tails.py",
    ),
    "values judged by the envelope of gradients": (
        "verdict.py",
        'known if known and (known.alike or bound.quantity != "value above the infimum") else None',
        "known",
        "tests/convergence/test_tails.py",
    ),
    "bets on replicas that are not raised to the lower end": (
        "estimators.py",
        "away = np.maximum(away / mean, TINY)",
        "away = away / mean",
        "tests/convergence/test_tails.py",
    ),
    "start left out of where iterates may be": (
        "tails.py",
        "left * start + (1 - left) * pull / curvature",
        "(1 - left) * pull / curvature",
        "tests/convergence/test_tails.py",
    ),
    "noise of the last step alone": (
        "tails.py",
        "float(((sizes * later) ** 2).sum())",
        "float(((sizes * later) ** 2)[-1])",
        "tests/convergence/test_tails.py",
    ),
    "excess of a square without its mean": (
        "tails.py",
        "steep = slope * (1 + away / float(np.sqrt(size)))",
        "steep = slope * (1 + 0 * away / float(np.sqrt(size)))",
        "tests/convergence/test_tails.py",
    ),
    "a third moment of any one replica": (
        "verdict.py",
        "ALONE * float(((away / most) ** 3).sum()) < 1",
        "ALONE * float(((away / most) ** 3).sum()) < 0",
        "tests/convergence/test_tails.py",
    ),
    "overflow taken for a refutation": (
        "verdict.py",
        '"refuted" if limit < OVERFLOW else "undecided"',
        '"refuted"',
        "tests/convergence/test_extremes.py",
    ),
}


def test_faults_fit_the_sources():
    assert misfits({name: (f"convergence/{file}", *rest) for name, (file, *rest) in (CLAIMED | TESTED).items()}) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMED)
def test_a_claim_is_refuted(tmp_path, name):
    file, before, after, claim = CLAIMED[name]
    result = run_with(tmp_path, f"convergence/{file}", before, after, [claim])
    assert result.returncode == 1, result.stdout[-2000:] + result.stderr
    assert [c["outcome"] for c in json.loads(result.stdout)["claims"]] == ["refuted"]


@pytest.mark.slow
@pytest.mark.parametrize("name", TESTED)
def test_a_test_fails(tmp_path, name):
    file, before, after, tests = TESTED[name]
    result = suite_with(tmp_path, f"convergence/{file}", before, after, tests)
    assert result.returncode == 1, result.stdout[-2000:] + result.stderr
