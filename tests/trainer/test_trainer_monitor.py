"""The bias monitor: its numbers against direct computations, its estimators' means, and that it disturbs nothing."""

import copy
import itertools
import math
from dataclasses import replace
from random import Random

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev, vmap

from convergence import Assumptions, floor, largest_bias, mutual_bias_bound, sharp_bound
from rdml_theory.losses import mutual_loss
from verify.monitor import BiasMonitor, BiasRecord
from verify.trainer import Config, Trainer
from verify.trainer.data import Data, Split
from verify.trainer.networks import MLP, build_students
from verify.trainer.update import base_loss

N, FEATURES, CLASSES, BATCH = 96, 5, 4, 8


def problem(seed=0, students=2, width=6):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(N, FEATURES, generator=random, dtype=torch.float64)
    y = torch.randint(0, CLASSES, (N,), generator=random)
    torch.manual_seed(seed)
    return [MLP((FEATURES,), CLASSES, width).double() for _ in range(students)], x, y


def gradients(students, x, y, alpha, beta, decay=0.0, smoothing=0.0):
    """Full-data gradients by plain autograd, student by student."""
    out = []
    for k, student in enumerate(students):
        parameters = list(student.parameters())
        logits = torch.stack([s(x) if j == k else s(x).detach() for j, s in enumerate(students)])
        penalty = 0.5 * decay * sum(p.square().sum() for p in parameters)
        base = torch.autograd.grad(base_loss(logits, y, smoothing)[k] + penalty, parameters, retain_graph=True)
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
@pytest.mark.parametrize(("decay", "smoothing"), [(0.0, 0.2), (0.1, 0.0)])
def test_numbers_are_those_of_a_direct_computation(alpha, decay, smoothing):
    students, x, y = problem(students=3)
    rate, beta = 0.1, 0.7
    expected = gradients(students, x, y, alpha, beta, decay, smoothing)
    start = copy.deepcopy(students)
    told = {"weight_decay": decay, "label_smoothing": smoothing}
    monitor = BiasMonitor(students, x, y, alpha=alpha, beta=beta, batch=BATCH, **told)
    record = observe(monitor, students, rate, [g + b for g, b in expected])
    for k, (g, b) in enumerate(expected):
        assert record.base[k] == pytest.approx(float(g @ g), rel=1e-9)
        assert record.mutual[k] == pytest.approx(float(b @ b), rel=1e-6)
        assert record.inner[k] == pytest.approx(float(g @ b), rel=1e-6, abs=1e-12)

        def loss(cohort, k=k):
            with torch.no_grad():
                value = nn.functional.cross_entropy(cohort[k](x), y, label_smoothing=smoothing)
                return float(value + 0.5 * decay * sum(p.square().sum() for p in cohort[k].parameters()))

        move = -rate * (g + b)
        lam = 2 * (loss(students) - loss(start) - float(g @ move)) / float(move @ move)
        assert record.smoothness[k] == pytest.approx(lam, rel=1e-6)
        assert record.loss[k] == pytest.approx(loss(start), rel=1e-12)


def orders(samples, batch):
    """Every choice of the first two parts that a measurement's order of the samples can have, but for their order."""
    first, second = (len(part) for part in torch.arange(samples).tensor_split(max(samples // batch, 2))[:2])
    for a in itertools.combinations(range(samples), first):
        rest = [n for n in range(samples) if n not in a]
        for b in itertools.combinations(rest, second):
            if first == second and b < a:
                continue
            yield torch.tensor([*a, *b, *(n for n in rest if n not in b)])


def measured(monkeypatch, order, students, x, y, **settings):
    """A record of the order of samples given, instead of a random one."""
    monkeypatch.setattr(torch, "randperm", lambda n, generator=None: order if n == len(order) else torch.arange(n))
    monitor = BiasMonitor(students, x, y, alpha=2.0, **settings)
    return observe(monitor, students, 0.0, [torch.zeros(()), torch.zeros(())])


def few(samples):
    random = torch.Generator().manual_seed(samples)
    torch.manual_seed(samples)
    x, y = torch.randn(samples, 2, generator=random), torch.randint(0, 2, (samples,), generator=random)
    return [nn.Linear(2, 2).double() for _ in range(2)], x.double(), y


@pytest.mark.parametrize(("samples", "batch"), [(6, 2), (6, 3), (6, 4), (5, 2), (3, 2), (4, 4), (1, 1)])
def test_noise_is_exactly_that_of_batches_without_replacement(monkeypatch, samples, batch):
    """The variance over all batches is the estimate's mean over all orders; batches are a third of the samples too."""
    students, x, y = few(samples)
    full = [g + b for g, b in gradients(students, x, y, 2.0, 1.0)]
    squares = []
    for rows in map(list, itertools.combinations(range(samples), batch)):
        part = [g + b for g, b in gradients(students, x[rows], y[rows], 2.0, 1.0)]
        squares.append([float((p - f).square().sum()) for p, f in zip(part, full, strict=True)])
    exact = torch.tensor(squares).mean(0).tolist()
    every = orders(samples, batch) if batch < samples else [torch.arange(samples)]
    found = [measured(monkeypatch, order, students, x, y, batch=batch).noise for order in every]
    assert torch.tensor(found).mean(0).tolist() == pytest.approx(exact, rel=1e-5)


def test_the_stated_error_of_the_noise_is_that_of_the_estimate():
    students, x, y = few(32)
    records = []
    for seed in range(32):
        monitor = BiasMonitor(students, x, y, alpha=2.0, batch=4, seed=seed)
        records.append(observe(monitor, students, 0.0, [torch.zeros(()), torch.zeros(())]))
    for k in range(2):
        deviation = torch.tensor([r.noise[k] for r in records]).std()
        # To the precision that four pairs allow.
        assert 0.6 < torch.tensor([r.noise_error[k] for r in records]).square().mean().sqrt() / deviation < 1.6


@pytest.mark.parametrize("samples", [6])
def test_a_sample_gives_unbiased_squared_norms(monkeypatch, samples):
    students, x, y = few(samples)
    settings = {"batch": 2, "samples": 4}
    found = []
    for a in itertools.combinations(range(samples), 2):
        for b in itertools.combinations([n for n in range(a[0], samples) if n not in a], 2):
            order = torch.tensor([*a, *b, *(n for n in range(samples) if n not in (*a, *b))])
            record = measured(monkeypatch, order, students, x, y, **settings)
            found.append([record.base, record.mutual])
    means = torch.tensor(found).mean(0)
    for k, parts in enumerate(gradients(students, x, y, 2.0, 1.0)):
        assert means[:, k].tolist() == pytest.approx([float(g @ g) for g in parts], rel=1e-5)


def test_all_samples_count_where_batches_do_not_divide_them():
    students, x, y = few(11)
    record = observe(BiasMonitor(students, x, y, alpha=2.0, batch=4), students, 0.0, [torch.zeros(())] * 2)
    for k, (g, b) in enumerate(gradients(students, x, y, 2.0, 1.0)):
        assert (record.base[k], record.mutual[k]) == pytest.approx((float(g @ g), float(b @ b)), rel=1e-9)


def test_the_jacobian_probe_has_the_right_mean_and_bounds_the_spectral_norm(monkeypatch):
    """Over all signs of two samples and three classes; those of the other sign give the same."""
    torch.manual_seed(0)
    student, x = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3)).double(), torch.randn(2, 2).double()
    parameters = dict(student.named_parameters())
    rows = vmap(jacrev(lambda p, v: functional_call(student, p, (v[None],))[0]), in_dims=(None, 0))(parameters, x)
    jacobian = torch.cat([j.flatten(2) for j in rows.values()], dim=2).detach()
    centred = jacobian - jacobian.mean(1, keepdim=True)
    exact = float(centred.square().sum((1, 2)).mean())
    values = []
    for signs in itertools.product((0, 1), repeat=5):
        signs = (1, *signs)
        monkeypatch.setattr(torch, "randint", lambda *_, signs=signs, **__: torch.tensor(signs).view(1, 2, 3))
        monitor = BiasMonitor([student], x, torch.tensor([0, 2]), alpha=2.0, batch=2)
        values.append(observe(monitor, [student], 0.0, [torch.zeros(())]).jacobian[0] ** 2)
    assert sum(values) / len(values) == pytest.approx(exact, rel=1e-9)
    spectral = float(torch.linalg.matrix_norm(centred, 2).square().mean())
    assert spectral <= exact


class Free(nn.Module):
    """Logits that are parameters, the same for all samples: G = 1."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits, dtype=torch.float64))

    def forward(self, x):
        return self.logits.expand(len(x), -1)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_the_bounds_are_reached_at_every_temperature(monkeypatch, temperature, alpha):
    """D7 is attained by two classes, D8 near consensus: a factor of the temperature more or less would show."""
    # Signs that do not cancel: what the probe finds is divided out.
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor([1, 0]))

    def record(spread, share):
        z = [math.log(share), math.log(1 - share)]
        students = [Free([temperature * v for v in z]), Free([temperature * (z[0] + spread), temperature * z[1]])]
        x, y = torch.zeros(9, 1), torch.zeros(9, dtype=torch.long)
        monitor = BiasMonitor(
            students, x, y, alpha=alpha, beta=0.7, batch=9, temperature=temperature, overhead=100.0, plain=True
        )
        out = observe(monitor, students, 0.0, [torch.zeros(()), torch.zeros(())])
        return out.mutual[0], out.order_bound[0] / out.jacobian[0] ** 2, out.divergence_bound[0] / out.jacobian[0] ** 2

    bias, by_order, by_divergence = record(3.0 / alpha, 1 / (1 + math.exp(1.5)))
    assert bias == pytest.approx(by_order, rel=1e-6)
    assert bias <= by_divergence
    bias, by_order, by_divergence = record(1e-3, 0.5)
    assert bias <= by_order * (1 + 1e-6)
    assert bias == pytest.approx(by_divergence * min(alpha, 1.0), rel=1e-3)


def test_an_infinite_order_has_finite_bounds():
    students, x, y = few(6)
    students.append(copy.deepcopy(students[0]))
    record = observe(BiasMonitor(students[::2], x, y, alpha=math.inf, batch=6), students[::2], 0.0, [0.0, 0.0])
    assert record.order_bound == record.divergence_bound == (0.0, 0.0)
    record = observe(BiasMonitor(students[:2], x, y, alpha=math.inf, batch=6), students[:2], 0.0, [0.0, 0.0])
    assert record.order_bound == pytest.approx([2 * g**2 for g in record.jacobian])
    # The probe of a student may cancel, and infinity does not make that NaN.
    assert record.divergence_bound == tuple(math.inf if g > 0 else 0.0 for g in record.jacobian)


def test_observing_changes_nothing():
    """Weights, running statistics, gradients, random state and mode are those of a loop without a monitor."""
    config = Config(alpha=2.0, monitor=0.0)
    results = []
    for watched in (False, True):
        data = Data(*3 * [Split(torch.zeros(128, 1, 40), torch.zeros(128, dtype=torch.long))], CLASSES)
        students = build_students("resnet:2", (1, 40), CLASSES, width=4)
        cohort = Trainer(config, data=data, students=students).cohort
        torch.manual_seed(3)
        x, y = torch.randn(N, 1, 40), torch.randint(0, CLASSES, (N,))
        monitor = BiasMonitor(students, x, y, alpha=2.0, batch=BATCH, overhead=100.0)
        torch.manual_seed(5)  # Not that of the monitor.
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


def test_measuring_that_fails_leaves_running_statistics(monkeypatch):
    students = build_students("resnet:2", (1, 40), CLASSES, width=4)
    x, y = torch.randn(N, 1, 40), torch.randint(0, CLASSES, (N,))
    monitor = BiasMonitor(students, x, y, alpha=2.0, batch=BATCH)
    before = [b.clone() for s in students for b in s.buffers()]

    def short(*logits):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(monitor, "_base_loss", short)
    with pytest.raises(RuntimeError, match="memory"), monitor.observe(0, rate=0.1):
        pass
    assert before
    assert all(torch.equal(a, b) for a, b in zip(before, (b for s in students for b in s.buffers()), strict=True))


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


def trained(
    optimizer=torch.optim.SGD, *, students=2, steps=60, batch=24, rate=0.2, beta=1.0, seed=1, every=1, clip=0.0,
    zero=False, spread=1.0, temperature=1.0, watched=None, **settings,
):  # fmt: skip
    """A monitor after a loop of anybody's; what it is told beside the truth in ``watched``."""
    random = torch.Generator().manual_seed(seed)
    x, y = torch.randn(N, FEATURES, generator=random), torch.randint(0, CLASSES, (N,), generator=random)
    torch.manual_seed(seed)
    networks = [nn.Linear(FEATURES, CLASSES) for _ in range(students)]
    for network in networks:
        network.weight.data *= spread
    moved = optimizer([p for s in networks for p in s.parameters()], lr=rate, **settings)
    told = {"alpha": 2.0, "beta": beta, "batch": batch, "overhead": 3 * N / batch / every, "plain": True, "rate": rate}
    told |= {"temperature": temperature} | (watched or {})
    stated = told.pop("rate")
    monitor = BiasMonitor(networks, x, y, **told)
    for step in range(steps):
        rows = torch.randperm(N, generator=random)[:batch]
        logits = torch.stack([s(x[rows]) for s in networks])
        moved.zero_grad()
        mutual = mutual_loss(logits, 2.0, beta=beta, temperature=temperature)
        (base_loss(logits, y[rows]) + mutual).sum().backward()
        if clip:
            for s in networks:
                nn.utils.clip_grad_norm_(s.parameters(), clip)
        with monitor.observe(step, rate=stated):
            moved.step()
            if zero:
                moved.zero_grad()
    return monitor


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_budget_and_advice(temperature):
    monitor = trained(batch=N, temperature=temperature)
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
    # The order's bound of the bias is then what is allowed to the student that allows least.
    last, levels = monitor.records[-1], []
    for k, b in enumerate(budgets):
        known = Assumptions(smoothness=b.smoothness, gap=0.0, noise=b.noise, bias=0.0)
        at = {"beta": temperature, "jacobian": last.jacobian[k], "log_ratio_range": monitor._ranges[k]}
        reached = mutual_bias_bound(advice.alpha, **at).mean()
        levels.append(float(reached) / largest_bias(known, 0.2, target))
    assert max(levels) == pytest.approx(1.0)
    hopeless = trained(steps=5).advice(1e-9)
    assert hopeless.beta is None
    assert "use a smaller step or less noise" in hopeless.reason


@pytest.mark.parametrize("every", [1, 7, 14])
@pytest.mark.parametrize("settings", [{"batch": N}, {"batch": N, "students": 1}, {"batch": N // 3}, {"batch": 8}])
def test_the_bound_holds_over_the_steps_measured_however_few(every, settings):
    for rate in (0.05, 0.5):
        monitor = trained(every=every, rate=rate, seed=2, steps=20, **settings)
        assert len(monitor.records) == -(-20 // every)
        for k in range(len(monitor.students)):
            budget = monitor.budget(k)
            assert budget.base <= budget.bound * (1 + 1e-6), budget.reason
            budget = monitor.budget(k, since=9)
            assert budget.base <= budget.bound * (1 + 1e-6), budget.reason


@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_the_bound_of_one_step_is_that_of_its_exact_descent(rate):
    """Measured decrease and noise enter it just so that (1-h/2)a² + (1-h)<∇L, b> - (h/2)(z² + ‖n‖²) is Δ/(ηT)."""
    monitor = trained(batch=8, steps=6, rate=rate, spread=2.0)
    positive = 0
    for r in monitor.records[1:]:
        monitor.records = [r]
        for k in range(2):
            h = rate * r.smoothness[k]
            excess = (1 - h / 2) * r.base[k] + (1 - h) * r.inner[k] - h / 2 * (r.mutual[k] + r.step_noise[k])
            known = Assumptions(
                smoothness=r.smoothness[k], gap=max(excess, 0.0) * rate, noise=r.step_noise[k], bias=r.mutual[k]
            )
            assert monitor.budget(k).bound == pytest.approx(float(sharp_bound(known, rate, 1)), rel=1e-3)
            positive += excess > 0
    assert positive >= 5


def test_over_every_step_the_decrease_is_that_of_the_whole_path():
    monitor = trained(batch=N, students=1, steps=20)
    monitor.records.append(replace(monitor.records[-1], step=20, loss=(float(monitor._loss_now()),)))
    total = sum(r.decrease[0] for r in monitor.records[:-1])
    assert total == pytest.approx(monitor.records[0].loss[0] - monitor.records[-1].loss[0], rel=1e-5)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"momentum": 0.9}, "step 7 is not"), ({"momentum": 0.05}, "step 7 is not"),
        ({"momentum": 0.9, "nesterov": True}, "step 0 is not"), ({"weight_decay": 1e-3}, "step 0 is not"),
        ({"optimizer": torch.optim.AdamW}, "step 0 is not"), ({"optimizer": torch.optim.Adam}, "step 0 is not"),
        ({"optimizer": torch.optim.RMSprop}, "step 0 is not"), ({"watched": {"rate": 0.21}}, "step 0 is not"),
        ({"watched": {"weight_decay": 1e-3}}, "step 0 is not"), ({"zero": True}, "leave .grad"),
        ({"watched": {"plain": False}}, "plain SGD"), ({"momentum": 0.9, "every": 100}, "only the first step"),
        ({"watched": {"samples": 48}, "batch": 8}, "part of the samples"),
    ],
)  # fmt: skip
def test_where_the_bound_is_no_theorem_there_is_none(made, reason):
    monitor = trained(**{"every": 7, "steps": 20} | made)
    budget = monitor.budget(0)
    assert budget.bound is None
    assert reason in budget.reason
    if "samples" in reason:
        assert budget.floor is not None
    else:
        assert budget.floor is None
        assert monitor.advice(1.0).beta is None


def test_a_rate_that_changes_gives_no_bound():
    """Also where each step is the plain one of its own rate."""
    monitor = trained(steps=6)
    assert monitor.budget(0).bound is not None
    monitor.records[3] = replace(monitor.records[3], rate=0.1)
    budget = monitor.budget(0)
    assert (budget.bound, budget.floor) == (None, None)
    assert budget.reason == "the rate changed, from 0.2 to 0.1: the bound is for a constant one"


@pytest.mark.parametrize(
    "made", [{"watched": {"beta": 0.5}}, {"watched": {"beta": 0.0}}, {"watched": {"alpha": 1.0}}, {"clip": 0.2}]
)
@pytest.mark.parametrize(("batch", "steps"), [(N, 2), (N // 3, 80)])
def test_gradients_of_other_losses_than_stated_are_noticed(made, batch, steps):
    """By exact comparison where a batch is all samples, else by the mean of what should be noise."""
    monitor = trained(batch=batch, steps=steps, rate=0.005, beta=2.0, spread=6.0, **made)
    reasons = [monitor.budget(k).reason for k in range(2)]
    assert any("those of the stated losses" in reason for reason in reasons)
    assert all(reason.startswith("the gradients") or not reason for reason in reasons)


def test_honest_noise_is_not_taken_for_another_loss():
    """Judgements of a false-alarm rate of 1e-6."""
    for seed in range(2):
        monitor = trained(batch=N // 3, seed=seed, spread=3.0)
        assert [monitor.budget(k, since=s).reason for k in range(2) for s in (0, 25)] == [""] * 4


def test_a_measurement_that_is_not_finite_bounds_nothing():
    monitor = trained(steps=3)
    monitor.records[1] = replace(monitor.records[1], base=(math.nan, math.nan))
    assert "diverged" in monitor.budget(0).reason


def test_records_of_former_versions_give_no_bound():
    monitor = trained(steps=3)
    added = ("pull", "step_noise", "decrease", "departure")
    old = {k: v for k, v in vars(monitor.records[2]).items() if k not in added}
    monitor.records[2] = BiasRecord(**old)
    assert "leave .grad" in monitor.budget(0).reason


def test_a_student_without_peers_may_have_any_order():
    assert trained(batch=N, students=1, steps=5).advice(1.0).alpha == math.inf


def test_a_recipe_is_made_of_what_was_measured():
    students, x, y = problem(students=4)
    with torch.no_grad():  # one that is off
        list(students[3].parameters())[-1].copy_(30.0 * torch.eye(CLASSES, dtype=torch.float64)[0])
    monitor = BiasMonitor(students, x, y, alpha=2.0, batch=N, overhead=100.0)
    with pytest.raises(ValueError, match="observe a step"):
        monitor.recipe(0.5)
    observe(monitor, students, 0.0, [0.0] * 4)
    logits = torch.stack([s(x) for s in students]).detach()
    good = []
    for k in range(3):
        gaps = [logits[j] - logits[k] for j in range(3) if j != k]
        good += [float((g.amax(1) - g.amin(1)).quantile(0.95)) for g in gaps]
    found = monitor.recipe(0.5)
    assert min(good) <= found.log_ratio_range <= max(good)
    assert found.alpha == pytest.approx(4.0 / found.log_ratio_range)
    assert monitor.recipe(0.5, reach=1.0).beta == pytest.approx(4 * found.beta)
    with pytest.raises(ValueError, match="above 1/K"):
        monitor.recipe(0.25)
    alone, x, y = problem(students=1)
    single = BiasMonitor(alone, x, y, alpha=2.0, batch=N, overhead=100.0)
    observe(single, alone, 0.0, [0.0])
    with pytest.raises(ValueError, match="at least two students"):
        single.recipe(0.5)


def test_advice_needs_a_measurement_of_its_own():
    first = trained(batch=N)
    again = BiasMonitor(first.students, first.x, first.y, alpha=2.0, batch=N, plain=True)
    again.records = first.records
    assert "observe a step first" in again.advice(1.0).reason


ANY = [None, "one", b"", 1j, object(), [], {}, (), math.nan, math.inf, -1, -0.5, 10**400, True, torch.tensor(1j), int]


def without(*allowed):
    return [v for v in ANY if not any(v is a for a in allowed)]


def bad_values():
    """By the argument."""
    _, x, y = few(6)
    good, broken, wide = (nn.Linear(2, 2).double(), nn.Linear(2, 2).double(), nn.Linear(2, 3).double())
    nn.init.constant_(broken.weight, math.nan)
    return {
        "students": [
            *ANY, [], [None], [good, good], [nn.Flatten()], good, [good, None], [good, wide], [broken],
            [nn.Linear(5, 2).double()], [good, nn.Linear(2, 2)],
        ],
        "x": [*ANY, x[:5], x.new_zeros(6, 3), x * math.nan, x.tolist(), torch.tensor(1.0), x[:0], x.numpy(), x.float()],
        "y": [*ANY, y[:5], y + 1, y - 1, y + 5, y.double(), y[:, None], y.tolist(), y.bool(), y.numpy(), y[:0]],
        "alpha": without(math.inf, int), "beta": without(int), "batch": [*ANY, 0, 7, 2.0],
        "temperature": [*ANY, 0, 0.0], "weight_decay": ANY, "label_smoothing": [*ANY, 1, 1.0], "overhead": [*ANY, 0],
        "samples": ANY, "plain": without(True), "prepare": without(int), "seed": ANY,
        "rate": ANY, "step": [*ANY, 0.5], "student": [*ANY, 2], "since": ANY, "target": ANY,
    }  # fmt: skip


def refuses(name, value):
    students, x, y = few(6)
    given = {"students": students, "x": x, "y": y, "alpha": 2.0, "batch": 2, "overhead": 20.0, "plain": True}
    calls = {"rate": 0.1, "step": 0, "student": 0, "since": 0, "target": 1.0}
    late = name in calls
    if late:
        calls[name] = value
    else:
        given[name] = value
    monitor = BiasMonitor(given.pop("students"), given.pop("x"), given.pop("y"), **given)
    with monitor.observe(calls["step"], rate=calls["rate"]):
        pass
    monitor.budget(calls["student"], since=calls["since"])
    monitor.advice(calls["target"])


@pytest.mark.parametrize("count", [60, pytest.param(300, marks=pytest.mark.slow)])
def test_bad_calls_name_the_argument(count):
    random = Random(count)
    values = bad_values()
    for _ in range(count):
        name = random.choice(list(values))
        value = random.choice(values[name])
        with pytest.raises((TypeError, ValueError)) as caught:
            refuses(name, value)
        names = {"x": ("x ", "x[", "students"), "y": ("y ", "y[", "x ")}.get(name, (name,))
        assert any(str(caught.value).startswith(n) for n in names), f"{name} = {value!r}: {caught.value}"


@pytest.mark.parametrize(
    ("changes", "bounded"),
    [({}, True), ({"momentum": 0.9}, False), ({"augment": "crop-flip"}, False), ({"update": "sequential"}, False)],
)
def test_the_trainer_says_plain_only_where_it_is(changes, bounded):
    settings = {"momentum": 0.0, "lr_schedule": "constant", "monitor": 60.0, "monitor_samples": 0, "epochs": 1}
    trainer = Trainer(Config(data="digits", students="mlp:2", width=8, batch=256, alpha=2.0, **settings | changes))
    for _ in range(4):
        trainer.step()
    for k in range(2):
        budget = trainer.monitor.budget(k)
        assert (budget.bound is not None) == bounded, budget.reason
        assert not bounded or budget.base <= budget.bound
