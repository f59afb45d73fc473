"""The mutual-learning game: gradients against autograd, curvature against differences, stationary points, K = 1."""

import numpy as np
import pytest

from convergence import MutualLearning, find_stationary, simulate, train_cohort
from rdml_theory import renyi_divergence, renyi_gradient

torch = pytest.importorskip("torch")


def make(students=3, alpha=1.5, beta=0.7, samples=40, classes=4, seed=0, weighted=False):
    rng = np.random.default_rng(seed)
    features = [rng.normal(size=(samples, 2 + k)) for k in range(students)]
    labels = np.r_[np.arange(classes), rng.integers(0, classes, samples - classes)]
    weights = rng.uniform(0, 3, (students, samples)) if weighted else None
    cohort = MutualLearning(features, labels, alpha=alpha, beta=beta, weights=weights)
    return cohort, 0.5 * rng.normal(size=cohort.dim)


def features_of(cohort):
    return [x[:, :-1] for x in cohort.inputs]


def by_autograd(cohort, theta):
    """∇L_k and β∇R_k from the definition, peers detached."""
    base, mutual = [], []
    parts = [part.reshape(-1, cohort.classes) for part in cohort.split(theta)]
    for k in range(cohort.students):
        own = torch.tensor(parts[k], requires_grad=True)
        logits = [torch.tensor(x) @ (own if j == k else torch.tensor(parts[j])) for j, x in enumerate(cohort.inputs)]
        log_q = torch.log_softmax(logits[k], -1)
        loss = -(torch.tensor(cohort.weights[k]) * log_q[torch.arange(cohort.samples), torch.tensor(cohort.labels)])
        pulls = [
            (
                torch.logsumexp(cohort.alpha * torch.log_softmax(u, -1) + (1 - cohort.alpha) * log_q, -1)
                / (cohort.alpha - 1)
            ).mean()
            for j, u in enumerate(logits)
            if j != k
        ]
        pull = cohort.beta * torch.stack(pulls).mean()
        base.append(torch.autograd.grad(loss.mean(), own, retain_graph=True)[0].numpy().ravel())
        mutual.append(torch.autograd.grad(pull, own)[0].numpy().ravel())
    return np.concatenate(base), np.concatenate(mutual)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [0.5, 1.5, 3.0])
def test_gradients_match_autograd(alpha, weighted):
    cohort, theta = make(alpha=alpha, weighted=weighted)
    for ours, theirs in zip(cohort.gradients(theta), by_autograd(cohort, theta), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0, 2.0, 30.0, np.inf])
def test_mutual_gradient_is_that_of_the_core(alpha):
    cohort, theta = make(alpha=alpha)
    cohort._together = 3  # points are worked on a few at a time; the last part is smaller
    logits = cohort.logits(theta)
    rows = np.stack([0 * theta, -theta, theta, 2 * theta])
    gradient = cohort.gradient(rows)
    mutual = cohort.bias_at(rows, gradient)
    for ours, whole in zip((gradient, mutual), cohort.gradients(theta), strict=True):
        np.testing.assert_allclose(ours[2], whole, rtol=1e-13, atol=1e-15)
    for k, ours in enumerate(cohort.split(mutual[2])):
        peers = [u for j, u in enumerate(logits) if j != k]
        pull = sum(renyi_gradient(u, logits[k], alpha, wrt="q", domain="logits") for u in peers) / len(peers)
        expected = cohort.beta * cohort.inputs[k].T @ pull / cohort.samples
        np.testing.assert_allclose(ours, expected.ravel(), rtol=0, atol=1e-14)
    assert (mutual**2).sum(axis=1).max() <= cohort.bias


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_the_jacobian_is_that_of_the_update(alpha, weighted):
    cohort, theta = make(alpha=alpha, students=2, weighted=weighted)
    moved = 1e-6 * np.eye(cohort.dim)
    numeric = (sum(cohort.gradients(theta + moved)) - sum(cohort.gradients(theta - moved))).T / 2e-6
    jacobian = cohort.jacobian(theta)
    np.testing.assert_allclose(jacobian, numeric, atol=1e-8)
    # At order 1/2 the game has a potential, so its Jacobian is symmetric; elsewhere it has none.
    asymmetry = np.abs(jacobian - jacobian.T).max()
    assert (asymmetry < 1e-12) == (alpha == 0.5)


@pytest.mark.parametrize("weighted", [False, True])
def test_smoothness_bounds_the_base_curvature(weighted):
    cohort, theta = make(students=1, samples=200, weighted=weighted)
    top = np.linalg.eigvalsh(cohort.jacobian(theta)).max()
    assert top <= cohort.student_smoothness[0] == cohort.smoothness


def test_weights_select_each_students_samples():
    cohort, theta = make(students=2, samples=30)
    kept = np.arange(30) % 2 == np.arange(2)[:, None]
    halves = MutualLearning(
        features_of(cohort), cohort.labels, alpha=cohort.alpha, beta=cohort.beta, weights=2.0 * kept
    )
    gradients, losses = halves.split(halves.gradients(theta)[0]), halves.base_losses(theta)
    for k, own in enumerate(cohort.split(theta)):
        alone = MutualLearning([features_of(cohort)[k][kept[k]]], cohort.labels[kept[k]])
        np.testing.assert_allclose(gradients[k], alone.gradient(own), rtol=1e-12, atol=1e-15)
        assert losses[k] == pytest.approx(alone.value(own), rel=1e-12)
        assert halves.student_smoothness[k] == pytest.approx(alone.smoothness, rel=1e-12)
    # The mutual losses are on all samples, whoever's they are.
    np.testing.assert_array_equal(halves.gradients(theta)[1], cohort.gradients(theta)[1])


def test_replicas_may_differ_in_their_data():
    cohort, theta = make(students=2)
    weights = np.random.default_rng(1).uniform(0, 2, (3, 2, cohort.samples))
    many = MutualLearning(features_of(cohort), cohort.labels, alpha=1.5, weights=weights)
    many._together, many._together_of = 2, lambda samples: 2
    rows = np.random.default_rng(2).integers(0, cohort.samples, (3, 7))
    stacked = np.stack([theta] * 3)
    found = [many.gradient(stacked), many._updates(stacked, "both", rows=rows)[0]]
    for r in range(3):
        one = MutualLearning(features_of(cohort), cohort.labels, alpha=1.5, weights=weights[r])
        assert one.smoothness <= many.smoothness
        single = one.gradient(theta), one._updates(theta, "both", rows=rows[r])[0]
        for ours, expected in zip(found, single, strict=True):
            np.testing.assert_allclose(ours[r], expected, rtol=1e-12, atol=1e-15)
    with pytest.raises(ValueError, match="weights of shape"):
        many.jacobian(theta)


@pytest.mark.parametrize("weights", [np.ones((2, 39)), np.ones((3, 40)), -np.ones((2, 40)), np.full((2, 40), np.nan)])
def test_bad_weights(weights):
    cohort, _ = make(students=2)
    with pytest.raises(ValueError, match="weights have shape"):
        MutualLearning(features_of(cohort), cohort.labels, alpha=1.0, weights=weights)


def test_mutual_losses_of_many_points_are_those_of_each_peer_and_student():
    cohort, theta = make(alpha=2.0)
    points = theta * np.linspace(0.2, 1.5, 4).reshape(2, 2, 1)
    found, apart = cohort.mutual_losses(points), cohort.divergences(points)
    assert found.shape == (2, 2, 3)
    for at in np.ndindex(2, 2):
        parts = [part.reshape(-1, 4) for part in cohort.split(points[at])]
        logits = [x @ part for x, part in zip(cohort.inputs, parts, strict=True)]
        np.testing.assert_allclose(np.array(cohort.logits(points))[:, *at], logits, atol=1e-14)
        for k, own in enumerate(logits):
            each = [renyi_divergence(peer, own, 2.0, domain="logits").mean() for peer in logits]
            np.testing.assert_allclose(apart[:, k][:, *at], each, rtol=1e-12)
            assert found[at][k] == pytest.approx(sum(each) / 2, rel=1e-12)


def test_single_student_has_no_mutual_loss():
    cohort, theta = make(students=1)
    assert not cohort.gradients(theta)[1].any()
    assert cohort.mutual_losses(theta).tolist() == [0.0]


def test_training_records_what_it_says():
    cohort, _ = make(students=2)
    run = train_cohort(cohort, step=0.1, steps=20, replicas=2, record=range(1, 21))
    theta, squares = cohort.start, []
    for t in range(20):
        base, mutual = cohort.gradients(theta)
        squares.append(cohort.squares(base))
        theta = theta - 0.1 * (base + mutual)
        np.testing.assert_allclose(run.mean_base[t, 1], np.mean(squares, axis=0), rtol=1e-12)
        np.testing.assert_allclose(run.loss[t, 0], cohort.base_losses(theta), rtol=1e-12)
    base, mutual = cohort.gradients(theta)
    np.testing.assert_allclose(run.final[0], theta, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(run.residual[-1, 0], cohort.squares(base + mutual), rtol=1e-10)
    np.testing.assert_allclose(run.mutual[-1, 0], cohort.squares(mutual), rtol=1e-10)
    assert run.mean_noise.max() < 1e-30


def test_mini_batches_are_reproducible_and_their_noise_is_measured():
    cohort, _ = make(students=2, samples=100)
    runs = [train_cohort(cohort, step=0.1, steps=200, batch=10, seed=s, every=2, record=3) for s in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0].base, runs[1].base)
    assert not np.array_equal(runs[0].base, runs[2].base)
    # Ten times the batch, a tenth of the variance (both at nearly the same points).
    small = train_cohort(cohort, step=1e-4, steps=400, batch=4, seed=3).mean_noise[-1]
    large = train_cohort(cohort, step=1e-4, steps=400, batch=40, seed=3).mean_noise[-1]
    np.testing.assert_allclose(small / large, 10, rtol=0.25)


def test_replicas_are_independent_runs():
    cohort, _ = make(students=2, samples=50)
    run = train_cohort(cohort, step=0.1, steps=30, batch=5, replicas=3, seed=4, record=2)
    assert run.base.shape == (2, 3, 2)
    assert len(np.unique(run.base[-1, :, 0])) == 3
    # As many as there are, each the same.
    more = train_cohort(cohort, step=0.1, steps=30, batch=5, replicas=2 * cohort.block + 1, seed=4, record=2)
    np.testing.assert_array_equal(more.final[:3], run.final)


def test_schedules_of_step_order_and_weight():
    cohort, _ = make(students=2, alpha=1.0, beta=1.0)
    eta, alphas, weights = np.linspace(0.1, 0.05, 12), np.linspace(2, 0.3, 12), np.linspace(1, 0.2, 12)
    run = train_cohort(cohort, step=eta, steps=12, alpha=alphas, beta=weights, record=range(1, 13))
    theta, biases = cohort.start, []
    for t in range(12):
        game = cohort.replaced(alpha=alphas[t], beta=weights[t])
        base, mutual = game.gradients(theta)
        if t:
            np.testing.assert_allclose(run.mutual[t - 1, 0], game.squares(mutual), rtol=1e-12)
        biases.append(game.squares(mutual))
        theta = theta - eta[t] * (base + mutual)
    np.testing.assert_allclose(run.final[0], theta, rtol=1e-12)
    np.testing.assert_allclose(run.mean_mutual[-1, 0], np.mean(biases, axis=0), rtol=1e-12)
    assert run.step == pytest.approx(eta.mean())
    assert cohort.alpha == 1.0
    constant = train_cohort(cohort, step=0.1, steps=12)
    scheduled = train_cohort(cohort, step=np.full(12, 0.1), steps=12, alpha=np.ones(12), beta=np.ones(12))
    np.testing.assert_array_equal(constant.base, scheduled.base)


def test_students_may_move_one_after_the_other():
    cohort, _ = make(students=3)
    run = simulate(cohort, step=0.3, steps=5, replicas=1, seed=0, order="sequential", momentum=0.5)
    theta, velocity = cohort.start.copy(), np.zeros(cohort.dim)
    for _ in range(5):
        for own in cohort.players:
            velocity[own] = 0.5 * velocity[own] + sum(cohort.gradients(theta))[own]
            theta[own] -= 0.3 * velocity[own]
    np.testing.assert_allclose(run.final[0], theta, rtol=1e-12)
    together = simulate(cohort, step=0.3, steps=5, replicas=1, seed=0, momentum=0.5)
    assert np.abs(together.final - run.final).max() > 1e-3


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_the_game_descends_its_potential_at_one_half_only(alpha):
    cohort, theta = make(students=3, alpha=alpha)
    direction = np.random.default_rng(1).normal(size=cohort.dim)
    points = theta + 1e-4 * np.outer((1, -1), direction)
    ahead, behind = cohort.potential(points)
    assert cohort.potential(points[1]) == pytest.approx(behind, rel=1e-14)
    slope = (ahead - behind) / 2e-4
    assert (abs(slope - sum(cohort.gradients(theta)) @ direction) < 1e-8) == (alpha == 0.5)


def test_the_potential_is_as_smooth_as_stated():
    cohort, theta = make(students=3, alpha=0.5, samples=100)
    limit = (1 + cohort.beta) * cohort.smoothness
    for scale in (0.0, 1.0, 4.0):
        hessian = cohort.jacobian(scale * theta)
        np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
        assert np.abs(np.linalg.eigvalsh(hessian)).max() <= limit


def test_stationary_point_balances_the_gradients():
    cohort, theta = make(students=2, samples=200, alpha=2.0, beta=0.5)
    point = find_stationary(cohort, theta, tolerance=1e-9)
    assert (point.residual <= 1e-9 * point.mutual).all()
    np.testing.assert_allclose(point.base, point.mutual, rtol=1e-8)
    np.testing.assert_allclose(point.base**2, cohort.squares(cohort.gradient(point.x)), rtol=1e-12)


def test_errors():
    x = np.zeros((4, 2))
    with pytest.raises(ValueError, match="K arrays"):
        MutualLearning([x, x[:3]], [0, 1, 0, 1])
    with pytest.raises(ValueError, match="integer labels"):
        MutualLearning([x], [0.0, 1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="labels contain -1"):
        MutualLearning([x], [0, -1, 0, 1])
    with pytest.raises(ValueError, match="alpha = -1"):
        MutualLearning([x], [0, 1, 0, 1], alpha=-1)
    with pytest.raises(TypeError, match=r"MutualLearning\(\) got an unexpected keyword argument 'gamma'"):
        MutualLearning([x], [0, 1, 0, 1], gamma=2.0)
    cohort = MutualLearning([x], [0, 1, 0, 1])
    with pytest.raises(ValueError, match="step = 0"):
        train_cohort(cohort, step=0, steps=3)
    with pytest.raises(ValueError, match=r"step has shape \(2,\)"):
        train_cohort(cohort, step=[0.1, 0.1], steps=3)
    with pytest.raises(ValueError, match="expected orders"):
        train_cohort(cohort, step=0.1, steps=3, alpha=[1, 1, -1])
    with pytest.raises(ValueError, match="steps = 0"):
        train_cohort(cohort, step=0.1, steps=0)


@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 1.0), (1.0, 8.0), (16.0, 1.0)])
def test_peers_do_not_hold_students_that_use_no_input(alpha, beta):
    """At weights 0, a saddle, the update's first-order change holds α and β in the output biases alone."""

    def slopes(alpha, beta):
        game = MutualLearning(alpha=alpha, beta=beta, architecture="two-layer")
        moved = 1e-4 * np.eye(game.dim)
        return game, (sum(game.gradients(moved)) - sum(game.gradients(-moved))) / 2e-4

    game, alone = slopes(1.0, 0.0)
    _, together = slopes(alpha, beta)
    biases = np.concatenate([np.arange(part.stop - game.classes, part.stop) for part in game.players])
    rest = np.setdiff1d(np.arange(game.dim), biases)
    np.testing.assert_allclose(together[np.ix_(rest, rest)], alone[np.ix_(rest, rest)], atol=1e-6)
    assert np.linalg.eigvalsh(alone[np.ix_(rest, rest)])[0] < -1e-2, "they leave it"
    assert np.abs(together - alone)[np.ix_(biases, biases)].max() > 0.1, "and the biases are pulled"
