"""The bias monitor in loops as others write them: what networks take and return, labels, loaders, autocast."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from rdml_theory.losses import mutual_loss
from verify.monitor import BiasMonitor

N, STEPS, RATE = 64, 24, 0.2
X = torch.randn(N, 5, generator=torch.Generator().manual_seed(1))
Y = torch.randint(0, 3, (N,), generator=torch.Generator().manual_seed(2))


class Wrapped(nn.Module):
    """A linear network that takes a dictionary's entries, and returns logits in one of the usual ways."""

    def __init__(self, form):
        super().__init__()
        self.layer, self.form = nn.Linear(5, 3), form

    def forward(self, features, shift=None):
        z = self.layer(features if shift is None else features + shift[:, None])
        forms = {"dict": {"loss": 0.0, "logits": z}, "tuple": (z, "hidden"), "object": SimpleNamespace(logits=z)}
        return forms.get(self.form, z)


def networks(make):
    torch.manual_seed(0)
    return [make() for _ in range(2)]


def train(students, monitor, call, y=Y, steps=STEPS, context=None):
    """Plain SGD with full gradients; ``call(student, rows)`` gives logits."""
    optimizer = torch.optim.SGD([p for s in students for p in s.parameters()], lr=RATE)
    for step in range(steps):
        optimizer.zero_grad()
        logits = [call(s) for s in students]
        base = torch.stack([cross_entropy(z, y) for z in logits])
        (base + mutual_loss(logits, 2.0)).sum().backward()
        with monitor.observe(step, rate=RATE):
            optimizer.step()
    return monitor


TOLD = {"alpha": 2.0, "batch": N, "overhead": 100.0, "plain": True}


def reference():
    students = networks(lambda: Wrapped("tensor"))
    return train(students, BiasMonitor(students, X, Y, **TOLD), lambda s: s(X))


def the_same(found, expected):
    for k in range(2):
        a, b = found.budget(k), expected.budget(k)
        assert a.bound is not None, a.reason
        for name in ("base", "mutual", "smoothness", "bound", "floor"):
            assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-4)


@pytest.mark.parametrize("form", ["dict", "tuple", "object"])
def test_networks_that_return_more_than_logits(form):
    students = networks(lambda: Wrapped(form))
    monitor = BiasMonitor(students, X, Y, **TOLD)
    the_same(train(students, monitor, lambda s: s.layer(X)), reference())


def test_samples_in_a_dictionary():
    students = networks(lambda: Wrapped("object"))
    batch = {"features": X - 1, "shift": torch.ones(N)}
    monitor = BiasMonitor(students, batch, Y, **TOLD)
    the_same(train(students, monitor, lambda s: s(**batch).logits), reference())


def test_samples_in_a_tuple_for_a_function_that_prepares_them():
    students = networks(lambda: Wrapped("tensor"))
    monitor = BiasMonitor(students, (X - 1, [torch.ones(N)]), Y, prepare=lambda x: x[0] + x[1][0][:, None], **TOLD)
    the_same(train(students, monitor, lambda s: s(X)), reference())


def test_labels_that_are_distributions():
    students = networks(lambda: Wrapped("tensor"))
    the_same(train(students, BiasMonitor(students, X, one_hot(Y, 3).double(), **TOLD), lambda s: s(X)), reference())
    soft = 0.7 * one_hot(Y, 3).float() + 0.1
    students = networks(lambda: Wrapped("tensor"))
    told = train(students, BiasMonitor(students, X, soft, **TOLD), lambda s: s(X), y=soft)
    assert told.budget(0).bound is not None
    # The monitor that is told the labels, and not their soft form, notices.
    students = networks(lambda: Wrapped("tensor"))
    lied = train(students, BiasMonitor(students, X, Y, **TOLD), lambda s: s(X), y=soft)
    assert "not those of the stated losses" in lied.budget(0).reason


class Rows(Dataset):
    """Samples as dictionaries, as tokenised data sets come."""

    def __len__(self):
        return N

    def __getitem__(self, n):
        return {"features": X[n], "labels": Y[n]}


@pytest.mark.parametrize("loader", [DataLoader(TensorDataset(X, Y), N), DataLoader(Rows(), N)], ids=["pairs", "dicts"])
def test_a_loader(loader):
    students = networks(lambda: Wrapped("tensor"))
    told = {name: value for name, value in TOLD.items() if name != "batch"}
    monitor = BiasMonitor.of_loader(students, loader, **told)
    assert (monitor.batch, monitor.total) == (N, N)
    the_same(train(students, monitor, lambda s: s(X)), reference())


def test_a_loader_of_batches_with_their_noise():
    students = networks(lambda: Wrapped("tensor"))
    loader = DataLoader(TensorDataset(X, Y), 16, shuffle=True, generator=torch.Generator().manual_seed(3))
    monitor = BiasMonitor.of_loader(students, loader, alpha=2.0, overhead=100.0, plain=True)
    optimizer = torch.optim.SGD([p for s in students for p in s.parameters()], lr=RATE)
    step = 0
    for _ in range(12):
        for x, y in loader:
            optimizer.zero_grad()
            logits = [s(x) for s in students]
            (torch.stack([cross_entropy(z, y) for z in logits]) + mutual_loss(logits, 2.0)).sum().backward()
            with monitor.observe(step, rate=RATE):
                optimizer.step()
            step += 1
    budget = monitor.budget(0)
    assert budget.base <= budget.bound
    assert budget.noise > 0
    with pytest.raises(TypeError, match=r'expected a pair \(x, y\) or a dictionary with "labels"'):
        BiasMonitor.of_loader(students, [torch.zeros(3)], alpha=2.0)
    with pytest.raises(ValueError, match="no batches"):
        BiasMonitor.of_loader(students, [], alpha=2.0)


SET, RANDOM = TensorDataset(X, Y), torch.Generator().manual_seed(4)
PARTS = {
    "as many as asked for": (DataLoader(SET, 16), {"samples": 20}, 32, N),
    "of a list of batches": ([(X[n : n + 16], Y[n : n + 16]) for n in range(0, N, 16)], {"samples": 20}, 32, math.inf),
    "a last batch dropped": (DataLoader(SET, 24, shuffle=True, drop_last=True, generator=RANDOM), {}, 48, N),
    "other samples each epoch": (DataLoader(SET, 16, sampler=RandomSampler(SET, num_samples=32, generator=RANDOM)), {},
                                 32, N),
    "a share of several processes": (DataLoader(SET, 16, sampler=DistributedSampler(SET, 2, 0)), {}, 32, N),
    "with replacement": (DataLoader(SET, 16, sampler=WeightedRandomSampler([1.0] * N, N, generator=RANDOM)), {}, N,
                         math.inf),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_what_a_loader_has_not_shown_gives_no_bound(name):
    loader, told, read, total = PARTS[name]
    students = networks(lambda: Wrapped("tensor"))
    monitor = BiasMonitor.of_loader(students, loader, alpha=2.0, overhead=100.0, plain=True, **told)
    assert (len(monitor.y), monitor.total) == (read, total)
    train(students, monitor, lambda s: s(X))
    budget = monitor.budget(0)
    assert budget.bound is None
    assert budget.reason.startswith("measured on a part of the samples")
    assert budget.floor is not None


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(Subset(SET, range(32)), 16),
        DataLoader(SET, 16, sampler=SubsetRandomSampler(range(32), generator=RANDOM)),
        [(X[:16], Y[:16]), (X[16:32], Y[16:32])],
    ],
    ids=["subset", "sampler", "list"],
)
def test_a_loader_that_shows_all_of_its_samples_gives_one(loader):
    students = networks(lambda: Wrapped("tensor"))
    monitor = BiasMonitor.of_loader(students, loader, alpha=2.0, overhead=100.0, plain=True)
    assert (monitor.batch, monitor.total) == (16, 32)
    train(students, monitor, lambda s: s(X[:32]), y=Y[:32])
    assert monitor.budget(0).bound is not None


def test_noise_of_samples_drawn_from_more_than_were_read():
    """A batch of B of N varies by (1/B - 1/N) S²; where N is not known, as if it were infinite."""
    students = networks(lambda: Wrapped("tensor"))
    noise = []
    for loader in (DataLoader(SET, 16), PARTS["of a list of batches"][0], DataLoader(Subset(SET, range(32)), 16)):
        monitor = BiasMonitor.of_loader(students, loader, alpha=2.0, samples=20, overhead=100.0)
        with monitor.observe(0, rate=0.1):
            pass
        noise.append(monitor.records[0].noise[0])
    shares = [1 / 16 - 1 / N, 1 / 16, 1 / 16 - 1 / 32]
    assert [n / noise[1] for n in noise] == pytest.approx([share / shares[1] for share in shares])


def test_autocast():
    def low(student):
        with torch.autocast("cpu", torch.bfloat16):
            return student(X)

    students = networks(lambda: Wrapped("tensor"))
    first = [cross_entropy(low(s).float(), Y).item() for s in students]
    told = train(students, BiasMonitor(students, X, Y, autocast=torch.bfloat16, **TOLD), low)
    assert told.records[0].loss == pytest.approx(first, rel=1e-6)
    assert told.records[0].loss != pytest.approx(reference().records[0].loss, rel=1e-6)
    assert told.budget(0).bound is not None, told.budget(0).reason
    assert told.budget(0).base == pytest.approx(reference().budget(0).base, rel=0.05)
    # An order that is wrong by a fifth is more than the precision can explain.
    students = networks(lambda: Wrapped("tensor"))
    lied = train(students, BiasMonitor(students, X, Y, autocast=torch.bfloat16, **{**TOLD, "alpha": 2.4}), low)
    assert "not those of the stated losses" in lied.budget(0).reason
    with pytest.raises(TypeError, match=r"autocast = .*float64: expected torch.bfloat16"):
        BiasMonitor(students, X, Y, autocast=torch.float64, **TOLD)


def test_a_short_training_is_measured_twenty_times():
    students = networks(lambda: Wrapped("tensor"))
    told = {"alpha": 2.0, "batch": 4, "overhead": 0.01}
    assert BiasMonitor(students, X, Y, **told).every > 1000
    monitor = BiasMonitor(students, X, Y, steps=100, **told)
    assert sum(monitor.due(step) for step in range(100)) >= 20
    assert BiasMonitor(students, X, Y, steps=7, **told).every == 1


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ({"a": X, "b": "text"}, Y, r"x\['b'\] has type str: expected a torch.Tensor"),
        ({"a": X, "b": X[:3]}, Y, r"x\['b'\] of shape \(3, 5\) and y of \(64,\)"),
        ([X, X.log()], Y, r"x\[1\] holds NaN"),
        ({}, Y, "x is an empty dict"),
        (X, torch.ones(N, 3), "not distributions"),
        (X, torch.full((N, 4), 0.25), "y has rows of 4 numbers: expected 3"),
    ],
)
def test_samples_that_are_none(x, y, message):
    students = networks(lambda: nn.Linear(5, 3))
    with pytest.raises((TypeError, ValueError), match=message):
        BiasMonitor(students, x, y, alpha=2.0, batch=4, prepare=lambda x: x["a"] if isinstance(x, dict) else x)
