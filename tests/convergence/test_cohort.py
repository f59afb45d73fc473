"""The mutual-learning game: gradients against autograd, curvature against differences, stationary points, K = 1."""

import numpy as np
import pytest

from convergence import SoftmaxCohort, find_stationary, train_cohort
from rdml_theory import renyi_gradient

torch = pytest.importorskip("torch")


def make(students=3, order=1.5, beta=0.7, samples=40, classes=4, seed=0, weighted=False):
    rng = np.random.default_rng(seed)
    features = [rng.normal(size=(samples, 2 + k)) for k in range(students)]
    labels = np.r_[np.arange(classes), rng.integers(0, classes, samples - classes)]
    weights = rng.uniform(0, 3, (students, samples)) if weighted else None
    cohort = SoftmaxCohort(features, labels, order=order, beta=beta, weights=weights)
    return cohort, [0.5 * rng.normal(size=t.shape) for t in cohort.start()]


def by_autograd(cohort, theta):
    """∇L_k and ∇R_k from the definition, peers detached."""
    base, mutual = [], []
    for k in range(cohort.students):
        own = torch.tensor(theta[k], requires_grad=True)
        logits = [torch.tensor(x) @ (own if j == k else torch.tensor(theta[j])) for j, x in enumerate(cohort.inputs)]
        log_q = torch.log_softmax(logits[k], -1)
        weight = 1.0 if cohort.weights is None else torch.tensor(cohort.weights[k])
        loss = -(weight * log_q[torch.arange(cohort.samples), torch.tensor(cohort.labels)]).mean()
        pulls = [
            (
                torch.logsumexp(cohort.order * torch.log_softmax(u, -1) + (1 - cohort.order) * log_q, -1)
                / (cohort.order - 1)
            ).mean()
            for j, u in enumerate(logits)
            if j != k
        ]
        pull = torch.stack(pulls).mean()
        base.append(torch.autograd.grad(loss, own, retain_graph=True)[0].numpy())
        mutual.append(torch.autograd.grad(pull, own)[0].numpy())
    return base, mutual


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("order", [0.5, 1.5, 3.0])
def test_gradients_match_autograd(order, weighted):
    cohort, theta = make(order=order, weighted=weighted)
    for ours, theirs in zip(cohort.gradients(theta), by_autograd(cohort, theta), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("order", [0.0, 0.25, 1.0, 2.0, 30.0, np.inf])
def test_mutual_gradient_is_that_of_the_core(order):
    cohort, theta = make(order=order)
    logits = [x @ t for x, t in zip(cohort.inputs, theta, strict=True)]
    for k, ours in enumerate(cohort.gradients(theta)[1]):
        peers = [u for j, u in enumerate(logits) if j != k]
        pull = sum(renyi_gradient(u, logits[k], order, wrt="q", domain="logits") for u in peers) / len(peers)
        np.testing.assert_allclose(ours, cohort.inputs[k].T @ pull / cohort.samples, rtol=0, atol=1e-14)


def test_rows_select_a_mini_batch():
    cohort, theta = make()
    rows = np.arange(cohort.samples)
    for whole, part in zip(cohort.gradients(theta), cohort.gradients(theta, rows), strict=True):
        np.testing.assert_allclose(
            np.concatenate([a.ravel() for a in whole]), np.concatenate([a.ravel() for a in part])
        )
    halves = [cohort.gradients(theta, r)[0][0] for r in np.split(rows, 2)]
    np.testing.assert_allclose(sum(halves) / 2, cohort.gradients(theta)[0][0], rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("order", [0.5, 2.0])
def test_curvature_is_the_jacobian_of_the_update(order, weighted):
    cohort, theta = make(order=order, students=2, weighted=weighted)

    def update(flat):
        parts = np.split(flat, np.cumsum([t.size for t in theta])[:-1])
        base, mutual = cohort.gradients([p.reshape(t.shape) for p, t in zip(parts, theta, strict=True)])
        return np.concatenate([(g + cohort.beta * r).ravel() for g, r in zip(base, mutual, strict=True)])

    flat = np.concatenate([t.ravel() for t in theta])
    numeric = np.stack([(update(flat + e) - update(flat - e)) / 2e-6 for e in 1e-6 * np.eye(flat.size)], axis=1)
    curvature = cohort.curvature(theta)
    np.testing.assert_allclose(curvature, numeric, atol=1e-8)
    # At order 1/2 the game has a potential, so its Jacobian is symmetric; elsewhere it has none.
    asymmetry = np.abs(curvature - curvature.T).max()
    assert (asymmetry < 1e-12) == (order == 0.5)


@pytest.mark.parametrize("weighted", [False, True])
def test_smoothness_bounds_the_base_curvature(weighted):
    cohort, theta = make(students=1, samples=200, weighted=weighted)
    top = np.linalg.eigvalsh(cohort.curvature(theta)).max()
    assert top <= cohort.smoothness()[0]


def test_weights_select_each_students_samples():
    cohort, theta = make(students=2, samples=30)
    kept = np.arange(30) % 2 == np.arange(2)[:, None]
    halves = SoftmaxCohort(
        [x[:, :-1] for x in cohort.inputs], cohort.labels, order=cohort.order, beta=cohort.beta, weights=2.0 * kept
    )
    for k, (gradient, loss) in enumerate(zip(halves.gradients(theta)[0], halves.base_losses(theta), strict=True)):
        alone = SoftmaxCohort([cohort.inputs[k][kept[k], :-1]], cohort.labels[kept[k]], order=1.0)
        own = theta[k]
        np.testing.assert_allclose(gradient, alone.gradients([own])[0][0], rtol=1e-12, atol=1e-15)
        assert loss == pytest.approx(alone.base_losses([own])[0], rel=1e-12)
        assert halves.smoothness()[k] == pytest.approx(alone.smoothness()[0], rel=1e-12)
    # The mutual losses are on all samples, whoever's they are.
    for ours, whole in zip(halves.gradients(theta)[1], cohort.gradients(theta)[1], strict=True):
        np.testing.assert_array_equal(ours, whole)


def test_replicas_may_differ_in_their_data():
    cohort, theta = make(students=2)
    features = [x[:, :-1] for x in cohort.inputs]
    weights = np.random.default_rng(1).uniform(0, 2, (3, 2, cohort.samples))
    rows = np.random.default_rng(2).integers(0, cohort.samples, (3, 7))
    many = SoftmaxCohort(features, cohort.labels, order=1.5, weights=weights)
    stacked = [np.stack([t] * 3) for t in theta]
    for taken in (None, rows):
        found = many.gradients(stacked, taken)[0]
        for r in range(3):
            one = SoftmaxCohort(features, cohort.labels, order=1.5, weights=weights[r])
            for k, single in enumerate(one.gradients(theta, None if taken is None else taken[r])[0]):
                np.testing.assert_allclose(found[k][r], single, rtol=1e-12, atol=1e-15)
    with pytest.raises(ValueError, match="here, expected"):
        many.base_losses(theta)


@pytest.mark.parametrize("weights", [np.ones((2, 39)), np.ones((3, 40)), -np.ones((2, 40)), np.full((2, 40), np.nan)])
def test_bad_weights(weights):
    cohort, _ = make(students=2)
    with pytest.raises(ValueError, match="weights have shape"):
        SoftmaxCohort([x[:, :-1] for x in cohort.inputs], cohort.labels, order=1.0, weights=weights)


def test_single_student_has_no_mutual_loss():
    cohort, theta = make(students=1)
    _, mutual = cohort.gradients(theta)
    assert not mutual[0].any()
    assert cohort.divergences(theta) == [0.0]


def test_training_records_what_it_says():
    cohort, _ = make(students=2)
    run = train_cohort(cohort, step=0.1, steps=20, record=range(1, 21))
    theta = cohort.start()
    squares = []
    for t in range(20):
        base, mutual = cohort.gradients(theta)
        squares.append([float((g**2).sum()) for g in base])
        theta = [p - 0.1 * (g + cohort.beta * r) for p, g, r in zip(theta, base, mutual, strict=True)]
        np.testing.assert_allclose(run.mean_base[t, 0], np.mean(squares, axis=0), rtol=1e-12)
        np.testing.assert_allclose(run.loss[t, 0], cohort.base_losses(theta), rtol=1e-12)
    base, mutual = cohort.gradients(theta)
    for k in range(2):
        np.testing.assert_allclose(run.parameters[k][0], theta[k], rtol=1e-12, atol=1e-14)
        both = base[k] + cohort.beta * mutual[k]
        np.testing.assert_allclose(run.residual[-1, 0, k], (both**2).sum(), rtol=1e-10)
        np.testing.assert_allclose(run.mutual[-1, 0, k], cohort.beta**2 * (mutual[k] ** 2).sum(), rtol=1e-10)
    assert not run.mean_noise.any()


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
    cohort, theta = make(students=2, samples=50)
    run = train_cohort(cohort, step=0.1, steps=30, batch=5, replicas=3, seed=4, record=2)
    assert run.base.shape == (2, 3, 2)
    assert len(np.unique(run.base[-1, :, 0])) == 3
    stacked = cohort.gradients([np.stack([t, 2 * t]) for t in theta])
    single = cohort.gradients([2 * t for t in theta])
    for many, one in zip(stacked, single, strict=True):
        for a, b in zip(many, one, strict=True):
            np.testing.assert_allclose(a[1], b, rtol=1e-12, atol=1e-15)


def test_schedules_of_step_order_and_weight():
    cohort, _ = make(students=2, order=1.0, beta=1.0)
    eta, orders, weights = np.linspace(0.1, 0.05, 12), np.linspace(2, 0.3, 12), np.linspace(1, 0.2, 12)
    run = train_cohort(cohort, step=eta, steps=12, order=orders, beta=weights, record=range(1, 13))
    theta, biases = cohort.start(), []
    for t in range(12):
        game = cohort.replaced(order=orders[t], beta=weights[t])
        base, mutual = game.gradients(theta)
        if t:
            np.testing.assert_allclose(run.mutual[t - 1, 0], [game.beta**2 * (r**2).sum() for r in mutual], rtol=1e-12)
        biases.append([game.beta**2 * (r**2).sum() for r in mutual])
        theta = [p - eta[t] * (g + weights[t] * r) for p, g, r in zip(theta, base, mutual, strict=True)]
    for ours, expected in zip(run.parameters, theta, strict=True):
        np.testing.assert_allclose(ours[0], expected, rtol=1e-12)
    np.testing.assert_allclose(run.mean_mutual[-1, 0], np.mean(biases, axis=0), rtol=1e-12)
    assert run.step == pytest.approx(eta.mean())
    assert cohort.order == 1.0
    constant = train_cohort(cohort, step=0.1, steps=12)
    scheduled = train_cohort(cohort, step=np.full(12, 0.1), steps=12, order=np.ones(12), beta=np.ones(12))
    np.testing.assert_array_equal(constant.base, scheduled.base)


@pytest.mark.parametrize("order", [0.5, 1.0])
def test_the_game_descends_its_potential_at_one_half_only(order):
    cohort, theta = make(students=3, order=order)
    base, mutual = cohort.gradients(theta)
    rng = np.random.default_rng(1)
    worst = 0.0
    for k in range(3):
        direction = rng.normal(size=theta[k].shape)

        def along(shift, k=k, direction=direction):
            return cohort.potential([t + shift * direction if j == k else t for j, t in enumerate(theta)])

        slope = (along(1e-4) - along(-1e-4)) / 2e-4
        worst = max(worst, abs(slope - np.vdot(base[k] + cohort.beta * mutual[k], direction)))
    assert (worst < 1e-8) == (order == 0.5)


def test_the_potential_is_as_smooth_as_stated():
    cohort, theta = make(students=3, order=0.5, samples=100)
    limit = (1 + cohort.beta) * max(cohort.smoothness())
    for scale in (0.0, 1.0, 4.0):
        hessian = cohort.curvature([scale * t for t in theta])
        np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
        assert np.abs(np.linalg.eigvalsh(hessian)).max() <= limit


def test_stationary_point_balances_the_gradients():
    cohort, theta = make(students=2, samples=200, order=2.0, beta=0.5)
    point = find_stationary(cohort, theta, tolerance=1e-9)
    assert (point.residual <= 1e-9 * point.mutual).all()
    np.testing.assert_allclose(point.base, point.mutual, rtol=1e-8)
    base, _ = cohort.gradients(point.parameters)
    np.testing.assert_allclose(point.base, [np.linalg.norm(g) for g in base], rtol=1e-12)


def test_errors():
    x = np.zeros((4, 2))
    with pytest.raises(ValueError, match="K arrays"):
        SoftmaxCohort([x, x[:3]], [0, 1, 0, 1], order=1.0)
    with pytest.raises(ValueError, match="integer labels"):
        SoftmaxCohort([x], [0.0, 1.0, 0.0, 1.0], order=1.0)
    with pytest.raises(ValueError, match="labels contain -1"):
        SoftmaxCohort([x], [0, -1, 0, 1], order=1.0)
    with pytest.raises(ValueError, match="order = -1"):
        SoftmaxCohort([x], [0, 1, 0, 1], order=-1)
    cohort = SoftmaxCohort([x], [0, 1, 0, 1], order=1.0)
    with pytest.raises(ValueError, match="step = 0"):
        train_cohort(cohort, step=0, steps=3)
    with pytest.raises(ValueError, match=r"step has shape \(2,\)"):
        train_cohort(cohort, step=[0.1, 0.1], steps=3)
    with pytest.raises(ValueError, match="expected orders"):
        train_cohort(cohort, step=0.1, steps=3, order=[1, 1, -1])
    with pytest.raises(ValueError, match="steps = 0"):
        train_cohort(cohort, step=0.1, steps=0)
