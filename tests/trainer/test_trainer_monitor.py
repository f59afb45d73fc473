"""The bias monitor: its numbers against direct computations, its estimators' means, and that it disturbs nothing."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev, vmap

from convergence import Assumptions, floor
from rdml_theory.losses import mutual_loss
from verify.trainer import BiasMonitor, Config
from verify.trainer.cohort import Cohort, base_loss
from verify.trainer.networks import MLP, build_students

N, FEATURES, CLASSES, BATCH = 96, 5, 4, 8


def problem(seed=0, students=2, width=6):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(N, FEATURES, generator=random, dtype=torch.float64)
    y = torch.randint(0, CLASSES, (N,), generator=random)
    torch.manual_seed(seed)
    return [MLP((FEATURES,), CLASSES, width).double() for _ in range(students)], x, y


def gradients(students, x, y, alpha, beta, decay=0.0):
    """Full-data gradients by plain autograd, student by student."""
    out = []
    for k, student in enumerate(students):
        parameters = list(student.parameters())
        logits = torch.stack([s(x) if j == k else s(x).detach() for j, s in enumerate(students)])
        penalty = 0.5 * decay * sum(p.square().sum() for p in parameters)
        base = torch.autograd.grad(base_loss(logits, y)[k] + penalty, parameters, retain_graph=True)
        mutual = torch.autograd.grad(beta * mutual_loss(logits, alpha)[k], parameters)
        out.append([torch.cat([g.flatten() for g in gs]) for gs in (base, mutual)])
    return out


def observe(monitor, students, rate, gradient=None):
    """One plain gradient step of all students under observation."""
    with monitor.observe(0, rate=rate):
        for s, g in zip(students, gradient or [None] * len(students), strict=True):
            nn.utils.vector_to_parameters(
                nn.utils.parameters_to_vector(s.parameters()).detach() - rate * g, s.parameters()
            )
    return monitor.records[-1]


@pytest.mark.parametrize("alpha", [0.5, 2.0])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_numbers_are_those_of_a_direct_computation(alpha, decay):
    students, x, y = problem(students=3)
    rate, beta = 0.1, 0.7
    expected = gradients(students, x, y, alpha, beta, decay)
    start = copy.deepcopy(students)
    monitor = BiasMonitor(students, x, y, alpha=alpha, beta=beta, batch=BATCH, weight_decay=decay)
    record = observe(monitor, students, rate, [g + b for g, b in expected])
    for k, (g, b) in enumerate(expected):
        assert record.base[k] == pytest.approx(float(g @ g), rel=1e-9)
        assert record.mutual[k] == pytest.approx(float(b @ b), rel=1e-6)
        assert record.inner[k] == pytest.approx(float(g @ b), rel=1e-6, abs=1e-12)

        def loss(cohort, k=k):
            with torch.no_grad():
                value = nn.functional.cross_entropy(cohort[k](x), y)
                return float(value + 0.5 * decay * sum(p.square().sum() for p in cohort[k].parameters()))

        move = -rate * (g + b)
        lam = 2 * (loss(students) - loss(start) - float(g @ move)) / float(move @ move)
        assert record.smoothness[k] == pytest.approx(lam, rel=1e-6)
        assert record.loss[k] == pytest.approx(loss(start), rel=1e-12)


def test_noise_is_that_of_batches_without_replacement():
    """Against all partitions' average: the estimator's mean over its own choice of batches is the exact variance."""
    students, x, y = problem()
    single = []
    for n in range(N):
        single.append([g + b for g, b in gradients(students, x[n : n + 1], y[n : n + 1], 2.0, 1.0)])
    for k in range(2):
        rows = torch.stack([s[k] for s in single])
        spread = float((rows - rows.mean(0)).square().sum(1).sum() / (N - 1))
        exact = spread / BATCH * (1 - BATCH / N)
        estimates, errors = [], []
        for seed in range(60):
            monitor = BiasMonitor(students, x, y, alpha=2.0, batch=BATCH, seed=seed)
            record = observe(monitor, students, 0.0, [torch.zeros(()), torch.zeros(())])
            estimates.append(record.noise[k])
            errors.append(record.noise_error[k])
        mean, deviation = torch.tensor(estimates).mean(), torch.tensor(estimates).std()
        assert abs(mean - exact) < 4 * deviation / math.sqrt(len(estimates))
        # The stated error is that of the estimate, to the precision that six pairs allow.
        assert 0.6 < torch.tensor(errors).square().mean().sqrt() / deviation < 1.6


def test_a_sample_gives_unbiased_squared_norms():
    students, x, y = problem()
    expected = gradients(students, x, y, 2.0, 1.0)
    values = []
    for seed in range(150):
        monitor = BiasMonitor(students, x, y, alpha=2.0, batch=BATCH, samples=32, seed=seed)
        assert len(monitor.y) == 32
        values.append(observe(monitor, students, 0.0, [torch.zeros(()), torch.zeros(())]))
    for k, (g, b) in enumerate(expected):
        for name, exact in (("base", float(g @ g)), ("mutual", float(b @ b))):
            sample = torch.tensor([getattr(v, name)[k] for v in values], dtype=torch.float64)
            assert abs(sample.mean() - exact) < 4 * sample.std() / math.sqrt(len(sample))


def test_the_jacobian_probe_has_the_right_mean_and_bounds_the_spectral_norm():
    students, x, y = problem()
    student = students[0]
    parameters = dict(student.named_parameters())
    rows = vmap(jacrev(lambda p, v: functional_call(student, p, (v[None],))[0]), in_dims=(None, 0))(parameters, x)
    jacobian = torch.cat([j.flatten(2) for j in rows.values()], dim=2).detach()
    centred = jacobian - jacobian.mean(1, keepdim=True)
    exact = float(centred.square().sum((1, 2)).mean())
    spectral = float(torch.linalg.matrix_norm(jacobian, 2).square().mean())
    values = []
    for seed in range(60):
        monitor = BiasMonitor(students, x, y, alpha=2.0, batch=BATCH, seed=seed)
        values.append(observe(monitor, students, 0.0, [torch.zeros(()), torch.zeros(())]).jacobian[0] ** 2)
    sample = torch.tensor(values, dtype=torch.float64)
    assert abs(sample.mean() - exact) < 4 * sample.std() / math.sqrt(len(sample))
    assert spectral <= exact * (1 + 1e-9) + float(jacobian.mean(1).square().sum(1).mean()) * CLASSES


def test_observing_changes_nothing():
    """Weights, running statistics, gradients, random state and mode are those of a loop without a monitor."""
    config = Config(students="resnet:2", width=4, alpha=2.0)
    results = []
    for watched in (False, True):
        students = build_students(config, (1, 40), CLASSES)
        torch.manual_seed(3)
        cohort = Cohort(config, students, 10)
        x, y = torch.randn(N, 1, 40), torch.randint(0, CLASSES, (N,))
        monitor = BiasMonitor(students, x, y, alpha=2.0, batch=BATCH, overhead=100.0)
        for step in range(3):
            if watched:
                with monitor.observe(step, rate=0.05):
                    cohort.update(x[:32], y[:32], step)
            else:
                cohort.update(x[:32], y[:32], step)
        assert len(monitor.records) == 3 * watched
        state = [v for s in students for v in s.state_dict().values()]
        results.append([*state, *(p.grad for p in cohort.parameters()), torch.rand(3)])
        assert all(s.training for s in students)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_the_martingale_term_is_that_of_the_batch():
    students, x, y = problem()
    expected = gradients(students, x, y, 2.0, 1.0)
    batch = gradients(students, x[:BATCH], y[:BATCH], 2.0, 1.0)
    monitor = BiasMonitor(students, x, y, alpha=2.0, batch=BATCH)
    with monitor.observe(0, rate=0.1):
        for s, (g, b) in zip(students, batch, strict=True):
            total = g + b
            for p in s.parameters():
                p.grad, total = total[: p.numel()].view_as(p), total[p.numel() :]
    for k, ((g, b), (part, pull)) in enumerate(zip(expected, batch, strict=True)):
        assert monitor.records[0].martingale[k] == pytest.approx(float(g @ (part + pull - g - b)), rel=1e-6)


def test_cadence_follows_from_the_stated_overhead():
    students, x, y = problem()
    assert BiasMonitor(students, x, y, alpha=1.0, batch=8, overhead=0.25).every == 144
    assert BiasMonitor(students, x, y, alpha=1.0, batch=8, overhead=0.25, samples=16).every == 24
    monitor = BiasMonitor(students, x, y, alpha=1.0, batch=8, overhead=0.25)
    assert [n for n in range(300) if monitor.due(n)] == [0, 144, 288]
    for wrong in ({"batch": 0}, {"batch": N + 1}, {"batch": 8, "overhead": 0.0}):
        with pytest.raises(ValueError, match="expected"):
            BiasMonitor(students, x, y, alpha=1.0, **wrong)
    with pytest.raises(ValueError, match="no measurement"):
        monitor.budget(0)


def trained(plain=True, rate=0.2, steps=200):
    students, x, y = problem(1)
    monitor = BiasMonitor(students, x, y, alpha=2.0, beta=1.0, batch=N // 2, overhead=5.0, plain=plain)
    for step in range(steps):
        moves = [g + b for g, b in gradients(students, x, y, 2.0, 1.0)]
        with monitor.observe(step, rate=rate):
            for s, g in zip(students, moves, strict=True):
                flat = nn.utils.parameters_to_vector(s.parameters()).detach() - rate * g
                nn.utils.vector_to_parameters(flat, s.parameters())
    return monitor


def test_budget_and_advice():
    monitor = trained()
    for k in range(2):
        budget = monitor.budget(k)
        assert budget.base <= budget.bound
        assert budget.stability < 2
        known = Assumptions(smoothness=budget.smoothness, gap=0.0, noise=budget.noise, bias=budget.mutual)
        assert budget.floor == pytest.approx(float(floor(known, 0.2)))
    budgets = [monitor.budget(k) for k in range(2)]

    def lowered(factor):
        """The greatest floor with the bias times a factor."""
        known = [Assumptions(smoothness=b.smoothness, gap=0.0, noise=b.noise, bias=b.mutual * factor) for b in budgets]
        return max(float(floor(k, 0.2)) for k in known)

    target = (lowered(0.0) + lowered(1.0)) / 2
    advice = monitor.advice(target)
    assert 0 < advice.beta < 1
    assert lowered(advice.beta**2) == pytest.approx(target, rel=1e-9)
    assert 0 < advice.alpha < 2
    hopeless = monitor.advice(1e-9)
    assert hopeless.beta is None
    assert "smaller step or a larger batch" in hopeless.reason


def test_where_the_bound_is_no_theorem_there_is_none():
    monitor = trained(plain=False, steps=30)
    assert monitor.budget(0).bound is None
    assert "plain SGD" in monitor.budget(0).reason
    assert monitor.advice(1.0).beta is None
