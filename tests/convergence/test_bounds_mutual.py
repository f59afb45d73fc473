"""Drift, moving targets, scope and stationary law: values against direct computation, domains, errors."""

from itertools import pairwise

import numpy as np
import pytest

from convergence import (
    Assumptions,
    MutualLearning,
    SubGaussian,
    cohort_bound,
    drift_bound,
    floor,
    high_probability_bound,
    moving_target_bound,
    mutual_bias_bound,
    occupation_bound,
    pl_bound,
    scope_bound,
    sharp_bound,
    simulate,
    stationary_law,
)
from rdml_theory import renyi_gradient
from verify.checks.mutual import resting


def unit(bias=0.0, noise=0.0, gap=1.0):
    return Assumptions(smoothness=1.0, gap=gap, noise=noise, bias=bias)


def test_drift_bounds_the_gradient_in_the_peers_logits():
    rng = np.random.default_rng(1)
    u, z = 2 * rng.normal(size=(2, 2000, 4))
    for alpha in (0.0, 0.2, 1.0, 1.0 + 1e-9, 3.0, 50.0):
        size = np.linalg.norm(renyi_gradient(u, z, alpha, wrt="p", domain="logits"), axis=-1)
        spread = np.ptp(u - z, axis=-1)
        allowed = drift_bound(alpha, beta=1.0, jacobian=1.0, peer_gradient=1.0, log_ratio_range=spread)
        assert (size <= allowed * (1 + 1e-9) + 1e-15).all()


def test_drift_limits():
    common = {"beta": 2.0, "jacobian": 3.0, "peer_gradient": 0.5}
    assert drift_bound(0.0, **common) == 0
    assert drift_bound(1.0, **common, log_ratio_range=2.0) == pytest.approx(3 * np.sqrt(2) / 2, rel=1e-14)
    for near in (1 - 1e-7, 1 + 1e-7):
        assert drift_bound(near, **common, log_ratio_range=2.0) == pytest.approx(3 * np.sqrt(2) / 2, rel=1e-6)
    assert drift_bound(np.inf, **common) == pytest.approx(3 * np.sqrt(2), rel=1e-14)
    assert drift_bound(1.0, **common) == np.inf
    assert drift_bound(2.0, **common | {"peer_gradient": 0.0}) == 0
    assert np.shape(drift_bound([0.5, 2.0], **common, log_ratio_range=1.0)) == (2,)


def test_moving_target_without_drift_is_the_sharp_bound_without_bias():
    for h in (0.1, 1.0, 1.7):
        at = unit(noise=0.3)
        moving, sharp = moving_target_bound(at, h, 40, drift=0.0), sharp_bound(at, h, 40)
        for name in ("transient", "noise", "bias", "total"):
            assert getattr(moving, name) == pytest.approx(getattr(sharp, name), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("h", [0.2, 1.0, 1.6])
def test_moving_target_is_exact_for_a_quadratic_that_moves(h):
    """F_t = (x - c_t)²/2 obeys the descent lemma with equality, so the bound is attained if F ends at its minimum."""
    centres = np.sin(0.3 * np.arange(201))
    x, squares, drift = 2.0, [], 0.0
    first = (x - centres[0]) ** 2 / 2
    for now, then in pairwise(centres):
        squares.append((x - now) ** 2)
        x -= h * (x - now)
        drift += ((x - then) ** 2 - (x - now) ** 2) / 2
    gap = first - (x - centres[-1]) ** 2 / 2
    bound = moving_target_bound(unit(gap=gap), h, 200, drift=drift / (h * 200))
    assert np.mean(squares) == pytest.approx(bound.total, rel=1e-11)
    assert bound.bias > 0.3 * bound.total


def test_stationary_law_by_iteration():
    mean, variance = 1.0, 0.0
    for _ in range(400):
        mean, variance = (1 - 0.3 * 0.5) * mean - 0.3 * 0.2, (1 - 0.3 * 0.5) ** 2 * variance + 0.3**2 * 0.7
    law = stationary_law(0.5, 0.3, noise=0.7, bias=0.04)
    assert law.offset == pytest.approx(-mean, rel=1e-10)
    assert law.variance == pytest.approx(variance, rel=1e-10)
    assert law.step_variance == pytest.approx(0.3**2 * (0.5**2 * variance + 0.7), rel=1e-10)


def test_scope_is_kept_by_the_worst_pushes():
    """‖x‖² ← (|1-ηλ|‖x‖ + η(M+ζ))² + η²σ² from any start stays below, and ends at R²."""
    rng = np.random.default_rng(2)
    for _ in range(40):
        lam, noise, zeta, perturbation = rng.exponential(size=4)
        step = rng.uniform(0.05, 1.95) / lam
        for start in (0.0, 10.0):
            allowed = scope_bound(lam, step, noise=noise, bias=zeta**2, perturbation=perturbation, start=start)
            square = start**2
            for _ in range(3000):
                square = (abs(1 - step * lam) * np.sqrt(square) + step * (perturbation + zeta)) ** 2 + step**2 * noise
                assert square <= allowed * (1 + 1e-10)
        end = scope_bound(lam, step, noise=noise, bias=zeta**2, perturbation=perturbation)
        assert square == pytest.approx(end, rel=1e-3)


def test_the_law_lies_in_the_scope():
    law = stationary_law(2.0, 0.3, noise=1.0, bias=0.5)
    assert law.offset**2 + law.variance <= scope_bound(2.0, 0.3, noise=1.0, bias=0.5)


def test_occupation_is_markovs_inequality():
    bound = floor(unit(bias=0.2, noise=0.1), 0.5)
    assert occupation_bound(bound, 4 * bound.total) == pytest.approx(0.25, rel=1e-14)
    assert occupation_bound(bound, 0.5 * bound.total) == 1.0


def test_the_mean_gram_matrix_will_do_as_jacobian():
    rng = np.random.default_rng(3)
    for _ in range(200):
        x = rng.normal(size=(20, 3))
        z, u = rng.normal(size=(2, 20, 4))
        pull = renyi_gradient(u, z, 1.5, wrt="q", domain="logits")
        square = float(((x.T @ pull / 20) ** 2).sum())
        gram = np.linalg.norm(x, 2) / np.sqrt(20)
        spread = np.ptp(u - z, axis=1)
        allowed = np.mean(mutual_bias_bound(1.5, beta=1.0, jacobian=gram, log_ratio_range=spread))
        assert square <= allowed
        assert gram <= np.linalg.norm(x, axis=1).max()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: drift_bound(-1.0, beta=1, jacobian=1, peer_gradient=1), "alpha"),
        (lambda: drift_bound(1.0, beta=np.inf, jacobian=1, peer_gradient=1), "beta"),
        (lambda: moving_target_bound(unit(bias=0.1), 0.5, 10, drift=0.0), "both must be 0"),
        (lambda: moving_target_bound(unit(), 0.5, 10, drift=-1.0), "drift = -1.0"),
        (lambda: moving_target_bound(unit(), 2.0, 10, drift=0.0), "the moving target bound holds for 0 < Λη < 2"),
        (lambda: stationary_law(-1.0, 0.5, noise=0, bias=0), "curvature = -1.0"),
        (lambda: stationary_law(2.0, 1.0, noise=0, bias=0), "λη = 2: the iterates stay bounded for 0 < λη < 2"),
        (lambda: scope_bound(1.0, 0.5, noise=0, bias=0, perturbation=-1), "perturbation = -1"),
        (lambda: scope_bound(1.0, 0.5, noise=-1, bias=0), "noise = -1"),
        (lambda: occupation_bound(floor(unit(), 0.5), 0.0), "threshold = 0.0"),
        (lambda: occupation_bound(pl_bound(unit(), 0.5, 10, pl_constant=0.5), 1.0), "value above the infimum"),
    ],
)
def test_bad_values_name_the_value_and_the_range(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("alpha", "known", "binds", "pull"),
    [
        (1.0, {}, "D7, any ρ", 2.0),
        (2.0, {"log_ratio_range": 1.0, "divergence": 5.0}, "D7", 2 * np.tanh(0.5) ** 2),
        (2.0, {"log_ratio_range": 9.0, "divergence": 0.1}, "D15", 2 * (1 - np.exp(-0.1))),
        (4.0, {"divergence": 0.01}, "D8", 0.04),
        (1.0, {"divergence": 0.1}, "D8", 0.1),
        (0.5, {"divergence": 0.1}, "D17", 0.08146),
        (np.inf, {"log_ratio_range": 1.0, "divergence": 0.1}, "D15", 2.0),
        (np.inf, {"log_ratio_range": 0.0}, "D7", 0.0),
        (1.0, {"divergence": [0.0, 9.0]}, "D15", 1 - np.exp(-9.0)),
    ],
)
def test_the_bound_of_a_cohort_takes_the_least_form(alpha, known, binds, pull):
    found = cohort_bound(unit(noise=0.3), 0.5, 100, alpha=alpha, beta=0.5, jacobian=2.0, **known)
    stated = sharp_bound(unit(noise=0.3, bias=pull), 0.5, 100)
    assert found.name == f"cohort, {binds}"
    assert float(found) == pytest.approx(float(stated), rel=1e-14)
    assert found.steps == 100


def test_the_bound_of_a_cohort_refuses_what_it_would_ignore():
    with pytest.raises(ValueError, match="the cohort bound finds the bias"):
        cohort_bound(unit(bias=1.0), 0.5, 100, alpha=1.0, beta=1.0, jacobian=1.0)
    for wrong in (
        {"alpha": -1.0}, {"beta": np.inf}, {"jacobian": -1.0}, {"log_ratio_range": -1.0}, {"log_ratio_range": []},
        {"divergence": ()},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(wrong))):
            cohort_bound(unit(), 0.5, 100, **({"alpha": 1.0, "beta": 1.0, "jacobian": 1.0} | wrong))


@pytest.mark.parametrize("hidden", [0, 3])
def test_a_students_jacobian_and_noise_are_bounds(hidden):
    game = MutualLearning(hidden=hidden, batch=4, alpha=2.0, beta=0.7)
    rng = np.random.default_rng(3)
    x = 2 * rng.normal(size=game.dim)
    assert sum(game.student_noise) == pytest.approx(game.noise)
    for k, part in enumerate(game.players):
        # E‖J v‖² by differences, for directions of this student.
        for _ in range(20):
            v = np.zeros(game.dim)
            v[part] = rng.normal(size=part.stop - part.start)
            v /= np.linalg.norm(v)
            moved = (game.logits(x + 1e-6 * v)[k] - game.logits(x - 1e-6 * v)[k]) / 2e-6
            assert (moved**2).sum(axis=1).mean() <= game.student_jacobian[k] ** 2 * (1 + 1e-6)
    if not hidden:
        top = np.linalg.eigvalsh(game.inputs[0].T @ game.inputs[0] / game.samples)[-1]
        assert game.student_jacobian[0] ** 2 == pytest.approx(top)


def test_the_bound_of_a_single_student_s_run():
    """It is that of V3 with X1's bias, as many runs exceed it as it says, and without the bias all would."""
    tail, at = SubGaussian(proxy=0.01, rank=4), Assumptions(smoothness=0.5, gap=1.0, noise=7.0, bias=0.0)
    ranges = [1.0, 3.0]
    known = {"alpha": 2.0, "beta": 0.3, "jacobian": 1.5}
    found = cohort_bound(at, 1.0, 500, **known, log_ratio_range=ranges, tail=tail, failure=0.01)
    zeta2 = mutual_bias_bound(2.0, beta=0.3, jacobian=1.5, log_ratio_range=3.0)
    biased = Assumptions(smoothness=0.5, gap=1.0, noise=0.0, bias=zeta2)
    assert found.total == pytest.approx(high_probability_bound(biased, 1.0, 500, tail=tail, failure=0.01).total)
    assert found.name == "cohort, D7, high probability"
    for half in ({"tail": tail}, {"failure": 0.01}):
        with pytest.raises(ValueError, match="expected both"):
            cohort_bound(at, 1.0, 500, **known, **half)


def test_few_runs_of_students_exceed_it():
    """Noisy students about a point of rest of mutual learning; ρ is the greatest that any of the runs has seen."""
    runs, steps, noise, alpha, weight = 512, 300, 4e-4, 1.0, 0.3
    still, start = resting(np.array([[-1.0, 0.0], [1.0, 0.0]]), alpha, weight)
    shares = {"weights": still.weights, "alpha": alpha, "beta": weight}
    game = MutualLearning(
        [x[:, :-1] for x in still.inputs], still.labels, **shares, noise=noise, noise_model="gaussian"
    )
    game.block = runs  # all replicas pass the observer at once
    rho, total = 0.0, np.zeros((runs, 2))

    def see(seen):
        nonlocal rho, total
        total += game.squares(seen.gradient) * (seen.t < steps)
        mine, its = (part.reshape(runs, -1, 2)[:, -1] for part in game.split(seen.x))
        rho = max(rho, float(np.abs((mine - its) @ [1.0, -1.0]).max()))

    simulate(game, step=1.0, steps=steps, replicas=runs, seed=0, record=1, start=start, observe=see)
    at = Assumptions(smoothness=game.student_smoothness[0], gap=float(game.base_losses(start)[0]), noise=0.0, bias=0.0)
    told = {"alpha": alpha, "jacobian": game.student_jacobian[0], "log_ratio_range": rho}
    tail = SubGaussian(proxy=noise / game.dim, rank=4)
    for failure in (0.5, 0.01):
        most = cohort_bound(at, 1.0, steps, **told, beta=weight, tail=tail, failure=failure).total
        assert (total[:, 0] / steps > most).mean() <= failure
    free = cohort_bound(at, 1.0, np.inf, **told, beta=0.0, tail=tail, failure=0.01).total
    assert (total[:, 0] / steps > free).all(), "without the bias it would be false"


@pytest.mark.parametrize(("alpha", "spread"), [(1.0, 1e-180), (1e-20, 1e-170), (1e-200, 1e-200)])
def test_a_tiny_pull_on_a_huge_jacobian_does_not_vanish(alpha, spread):
    """αρ has squares, or is itself, below every float: 2 tanh²(αρ/4) is (αρ)²/8, and β²G² makes it a float again."""
    scale = 8**0.5 / (alpha * 1e200) / (spread * 1e200) * 1e300  # βG = scale · 1e100 gives ζ² = 1
    given = {"beta": 1e100, "jacobian": scale, "log_ratio_range": spread}
    assert mutual_bias_bound(alpha, **given) == pytest.approx(1.0)
    assert mutual_bias_bound(alpha, **given, divergence=1.0) == pytest.approx(1.0)
    assert mutual_bias_bound(alpha, **{**given, "log_ratio_range": [spread, 0.0]}) == pytest.approx([1.0, 0.0])
    at = Assumptions(smoothness=1, gap=1, noise=0, bias=0)
    for ranges, bias in ((spread, 1.0), ([spread, 0.0], 0.5)):
        bound = cohort_bound(at, 1.0, np.inf, alpha=alpha, **{**given, "log_ratio_range": ranges})
        assert (bound.name, bound.bias) == ("cohort, D7", pytest.approx(bias))


def test_a_huge_order_and_divergence_with_a_tiny_weight_are_finite():
    assert mutual_bias_bound(1e200, beta=1e-150, jacobian=1.0, divergence=1e200) == pytest.approx(1e100)
