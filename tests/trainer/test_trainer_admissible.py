"""The budget's inequality on random runs: it holds wherever the monitor gives a bound, and where none may be, none is.

Admissible is a loop of plain SGD at one rate with ηΛ below 2, all of whose samples the monitor has: any cohort,
network, order, weight, temperature, smoothing, decay, batch, rate, precision and cadence.
"""

import random

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from rdml_theory.losses import mutual_loss
from verify.monitor import BiasMonitor

COUNTS = [pytest.param(4), pytest.param(200, marks=pytest.mark.slow)]
LEAST = 1 + 1e-5
"""Beyond which a base is no longer below its bound but for the rounding of float32."""


def drawn(rng):
    """A setting: everything that a loop may choose."""
    samples, double = rng.randint(12, 80), rng.random() < 0.5
    batch = samples if rng.random() < 0.3 else rng.randint(1, samples)
    return {
        "samples": samples, "features": rng.randint(1, 6), "classes": rng.randint(2, 6), "students": rng.randint(1, 4),
        "hidden": rng.choice([0, 3, 8]), "alpha": 10 ** rng.uniform(-2, 1), "beta": rng.choice([0.0, 0.1, 1.0, 3.0]),
        "temperature": rng.choice([0.5, 1.0, 4.0]), "label_smoothing": rng.choice([0.0, 0.1]),
        "weight_decay": rng.choice([0.0, 0.01]), "batch": batch, "rate": 10 ** rng.uniform(-2, 0),
        "every": rng.choice([1, 1, 2, 7]), "steps": rng.randint(2, 40), "spread": rng.choice([0.3, 1.0, 3.0]),
        "double": double, "seed": rng.randrange(2**31),
    }  # fmt: skip


def run(s, *, optimizer=None, clip=0.0, rate=None, told=None, cleared=False, scaled=False):
    """A monitor after a loop with this setting; the faults are what the loop does and the monitor is not told."""
    torch.manual_seed(s["seed"])
    dtype = torch.float64 if s["double"] else torch.float32
    x = torch.randn(s["samples"], s["features"], dtype=dtype)
    y = torch.randint(0, s["classes"], (s["samples"],))
    students = [made(s).to(dtype) for _ in range(s["students"])]
    for p in (p for student in students for p in student.parameters()):
        p.data *= s["spread"]
    parameters = [p for student in students for p in student.parameters()]
    moved = (optimizer or torch.optim.SGD)(parameters, lr=s["rate"], weight_decay=s["weight_decay"])
    names = ("alpha", "beta", "temperature", "label_smoothing", "weight_decay", "batch")
    stated = {name: s[name] for name in names} | (told or {})
    # WORK of three steps for each measured batch: so every, whatever the number of samples.
    overhead = 3 * s["samples"] / s["batch"] / s["every"]
    monitor = BiasMonitor(students, x, y, plain=True, overhead=overhead, **stated)
    for step in range(s["steps"]):
        if rate is not None:
            moved.param_groups[0]["lr"] = rate(step)
        rows = torch.randperm(s["samples"])[: s["batch"]]
        logits = torch.stack([student(x[rows]) for student in students])
        losses = torch.stack([cross_entropy(z, y[rows], label_smoothing=s["label_smoothing"]) for z in logits])
        moved.zero_grad()
        mutual = mutual_loss(logits, s["alpha"], beta=s["beta"], temperature=s["temperature"])
        ((1024.0 if scaled else 1.0) * (losses + mutual).sum()).backward()
        for student in students if clip else ():
            nn.utils.clip_grad_norm_(student.parameters(), clip)
        with monitor.observe(step, rate=moved.param_groups[0]["lr"]):
            if scaled:
                for p in parameters:
                    p.data -= s["rate"] * (p.grad / 1024 + s["weight_decay"] * p.data)
            else:
                moved.step()
            if cleared:
                moved.zero_grad()
    return monitor


def made(s):
    if not s["hidden"]:
        return nn.Linear(s["features"], s["classes"])
    return nn.Sequential(nn.Linear(s["features"], s["hidden"]), nn.Tanh(), nn.Linear(s["hidden"], s["classes"]))


@pytest.mark.parametrize("count", COUNTS)
def test_the_inequality_holds_on_random_admissible_runs(count):
    rng, found, withheld = random.Random(0), 0, {}
    while found < count:
        s = drawn(rng)
        monitor = run(s)
        budgets = [monitor.budget(k) for k in range(s["students"])]
        for budget in budgets:
            if budget.bound is None:
                withheld[budget.reason] = withheld.get(budget.reason, 0) + 1
            else:
                assert budget.base <= budget.bound * LEAST, s
        found += all(b.bound is not None for b in budgets)
    # What is withheld is withheld for what the run is, never as if it had been told something false.
    allowed = ("ηΛ reached", "no curvature", "only the first step")
    assert all(reason.startswith(allowed) for reason in withheld), withheld
    assert sum(withheld.values()) < found * 2


def factory(optimizer, **settings):
    return lambda parameters, **given: optimizer(parameters, **{**given, **settings})


FAULTS = {
    "heavy ball": lambda s: run(s, optimizer=factory(torch.optim.SGD, momentum=0.9)),
    "little momentum": lambda s: run(s, optimizer=factory(torch.optim.SGD, momentum=0.05)),
    "Nesterov": lambda s: run(s, optimizer=factory(torch.optim.SGD, momentum=0.9, nesterov=True)),
    "AdamW": lambda s: run(s, optimizer=torch.optim.AdamW),
    "Adam": lambda s: run(s, optimizer=torch.optim.Adam),
    "RMSprop": lambda s: run(s, optimizer=torch.optim.RMSprop),
    "decay not told": lambda s: run(s | {"weight_decay": 0.05}, told={"weight_decay": 0.0}),
    "changing rate": lambda s: run(s, rate=lambda step: s["rate"] / (1 + step)),
    "gradients cleared": lambda s: run(s, cleared=True),
    "gradients left scaled": lambda s: run(s, scaled=True),
    "clipped": lambda s: run(exact(s), clip=1e-3),
    "another order": lambda s: run(exact(s), told={"alpha": 1.3 * exact(s)["alpha"]}),
    "another weight": lambda s: run(exact(s), told={"beta": 1.1}),
    "no mutual loss": lambda s: run(exact(s), told={"beta": 0.0}),
    "another temperature": lambda s: run(exact(s), told={"temperature": 1.3}),
    "smoothing not told": lambda s: run(exact(s) | {"label_smoothing": 0.1}, told={"label_smoothing": 0.0}),
    "a step too long": lambda s: run(exact(s) | {"rate": 1e3, "hidden": 8}),
}  # fmt: skip


def exact(s):
    """With full gradients, so that no noise can hide it, and with a pull above the resolution of 0.1%."""
    pull = {"students": max(s["students"], 2), "beta": 1.0, "alpha": min(max(s["alpha"], 0.5), 2.0), "temperature": 1.0}
    return s | pull | {"batch": s["samples"], "spread": 1.0, "steps": 3}


@pytest.mark.parametrize("count", COUNTS)
def test_no_bound_is_given_on_random_runs_that_are_not_admissible(count):
    rng = random.Random(1)
    names = list(FAULTS)
    for n in range(max(count, len(names))):
        s = drawn(rng)
        # Few steps show each fault once; the many runs take as many as are drawn.
        # Where the gradient is at the rounding of the weights, no step tells anything, and none is bounded either.
        s |= {"every": 1, "steps": min(max(s["steps"], 4), 40 if count > len(names) else 8)}
        monitor = FAULTS[names[n % len(names)]](s)
        assert [b.bound for b in map(monitor.budget, range(len(monitor.students)))].count(None), (
            names[n % len(names)],
            s,
        )
