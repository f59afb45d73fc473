"""The product's own trainer on the networks of the claims, and what its updates are made of.

The trainer moves the weights; all else is read off them. The update that it applied is the way that the weights went,
over the step; what it consists of is computed by :mod:`verify.checks.networks`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from verify.checks.networks import DECAY, HIDDEN, SAMPLES, Array, Layers, Setting, Snapshot, digits, flat
from verify.trainer import Config, Trainer
from verify.trainer.data import Data, Split
from verify.trainer.update import Cohort, Objective

__all__ = [
    "TrainingPath", "follow", "free_run", "generalise", "own_data", "own_trainer", "put",
    "read", "undisturbed",
]  # fmt: skip


@contextmanager
def undisturbed() -> Iterator[None]:
    """Threads and random state are afterwards as before."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


class _Half(nn.Module):
    """A network with a hidden layer that sees its half of every digit."""

    def __init__(self, half: int) -> None:
        super().__init__()
        self.sees = half
        self.layers = nn.Sequential(nn.Linear(digits()[0].shape[2], HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x[:, self.sees])


def put(student: nn.Module, layers: Layers) -> None:
    """Give a network its weights."""
    with torch.no_grad():
        for p, value in zip(student.parameters(), [part for layer in layers for part in layer], strict=True):
            p.copy_(torch.from_numpy(value))


def read(trainer: Trainer) -> list[Layers]:
    """The weights of all students."""
    tensors = [[p.detach().double().numpy().copy() for p in s.parameters()] for s in trainer.students]
    return [list(zip(t[::2], t[1::2], strict=True)) for t in tensors]


def own_data(x: NDArray[Any], y: NDArray[np.int64], classes: int = 10) -> Data:
    """Training samples for a trainer, which nothing is tested on."""
    split = Split(torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(y))
    return Data(split, split.take(torch.arange(0)), split, classes)


def own_trainer(
    setting: Setting, start: list[Layers], *, step: float, batch: int = SAMPLES, seed: int = 0,
    precision: Literal["float32", "float64"] = "float32", momentum: float = 0.0,
) -> Trainer:  # fmt: skip
    """A trainer of this cohort by plain gradient descent, or by heavy ball."""
    config = Config(
        alpha=setting.alpha, beta=setting.beta, lr=step, lr_schedule="constant", momentum=momentum, nesterov=False,
        weight_decay=DECAY, batch=batch, epochs=10**6, seed=seed % 2**31, monitor=0.0, device="cpu",
        precision=precision,
    )  # fmt: skip
    halves, labels = digits()
    data = own_data(halves[:, :SAMPLES].transpose(1, 0, 2).astype(np.float32), labels[:SAMPLES])
    students = [_Half(setting.half(k)).to(getattr(torch, precision)) for k in range(setting.students)]
    for student, layers in zip(students, start, strict=True):
        put(student, layers)
    return Trainer(config, data=data, students=students)


@dataclass
class TrainingPath:
    """What was measured at the steps ``times``: arrays (T, K), before each step; ``after`` is the loss after it.

    ``base`` is ‖∇L‖², ``bias`` ‖b‖², ``inner`` <∇L, b>, ``noise`` ‖n‖² of the noise n = u - ∇L - b of the update u
    that was applied, ``drift`` <∇L, n>, ``pull`` <b, n>, ``smoothness`` Λ_t with L(θ') = L + <∇L, Δ> + (Λ_t/2)‖Δ‖².
    """

    step: float
    times: Array
    loss: Array
    after: Array
    base: Array
    bias: Array
    inner: Array
    noise: Array
    drift: Array
    pull: Array
    smoothness: Array
    end: list[Layers]
    kept: dict[int, Snapshot] = field(default_factory=dict)


def follow(
    setting: Setting,
    start: list[Layers],
    *,
    step: float,
    steps: int,
    batch: int = SAMPLES,
    seed: int = 0,
    times: Collection[int] | None = None,
    keep: Collection[int] = (),
    precision: Literal["float32", "float64"] = "float32",
    momentum: float = 0.0,
    see: Callable[[Snapshot, Snapshot], None] = lambda before, after: None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> TrainingPath:
    """Train, and measure every update, or those of the steps ``times``; ``keep`` are steps whose snapshots are kept.

    ``see`` is called with the cohort before and after each update that is measured.
    """
    names = [f.name for f in fields(TrainingPath)][2:-2]
    rows: dict[str, list[list[float]]] = {name: [] for name in names}
    measured = sorted(range(steps) if times is None else times)
    chosen, kept = set(measured), {}
    with undisturbed():
        how: dict[str, Any] = {"batch": batch, "seed": seed, "precision": precision, "momentum": momentum}
        trainer = own_trainer(setting, start, step=step, **how)
        before = setting.snapshot(read(trainer))
        for number in range(steps):
            if number in chosen and before is None:
                before = setting.snapshot(read(trainer))
            trainer.step()
            if number in chosen and before is not None:
                after = setting.snapshot(read(trainer))
                for name, value in _measured(setting, before, after, step).items():
                    rows[name].append(value)
                see(before, after)
                if number in keep:
                    kept[number] = before
                before = after
            else:
                before = None
            if number % 50 == 0:
                progress(number / steps)
        end = read(trainer)
    arrays = {name: np.array(values) for name, values in rows.items()}
    return TrainingPath(step, np.array(measured), **arrays, end=end, kept=kept)


def _measured(setting: Setting, before: Snapshot, after: Snapshot, step: float) -> dict[str, list[float]]:
    """Of one update, student by student."""
    out: dict[str, list[float]] = {name: [] for name in ("base", "bias", "inner", "noise", "drift", "pull")}
    curvature = []
    for k in range(setting.students):
        move = flat(after.layers[k]) - flat(before.layers[k])
        gradient, bias = before.base(k), before.bias(k, setting.alpha, setting.beta)
        noise = -move / step - gradient - bias
        pairs = {
            "base": (gradient, gradient), "bias": (bias, bias), "inner": (gradient, bias), "noise": (noise, noise),
            "drift": (gradient, noise), "pull": (bias, noise),
        }  # fmt: skip
        for name, (first, second) in pairs.items():
            out[name].append(float(first @ second))
        change = float(after.loss[k] - before.loss[k])
        curvature.append(2 * (change - float(gradient @ move)) / float(move @ move))
    return {**out, "smoothness": curvature, "loss": list(before.loss), "after": list(after.loss)}


class _Free(nn.Module):
    """Logits that are parameters, the same for all samples: the norm of their Jacobian is 1."""

    def __init__(self, logits: Array) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.from_numpy(logits))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1)


def free_run(
    logits: list[Array], labels: NDArray[np.int64], *, alpha: float, beta: float, step: float, steps: int
) -> list[Array]:
    """Logits (steps + 1, C) of a student that is nothing else, while it trains beside peers whose logits are fixed.

    ``logits`` are those of the student at its start and of its peers; all samples of these labels look the same.
    """
    config = Config(
        alpha=alpha, beta=beta, lr=step, lr_schedule="constant", momentum=0.0, weight_decay=0.0, batch=len(labels),
        epochs=steps, monitor=0.0, precision="float64", device="cpu",
    )  # fmt: skip
    with undisturbed():
        data = own_data(np.zeros((len(labels), 1)), labels, len(logits[0]))
        students = [_Free(z.copy()) for z in logits]
        for peer in students[1:]:
            peer.logits.requires_grad_(False)
        trainer = Trainer(config, data=data, students=students)
        seen = [students[0].logits.detach().numpy().copy()]
        for _ in range(steps):
            trainer.step()
            seen.append(students[0].logits.detach().numpy().copy())
    return seen


class _Seeds(nn.Module):
    """Networks as `_Half`, one of each seed: logits (S·B, C) of samples (S, B, 2, d)."""

    def __init__(self, half: int, first: Tensor, last: Tensor) -> None:
        super().__init__()
        self.sees = half
        self.weights = nn.ParameterList([first, last])
        self.shifts = nn.ParameterList([torch.zeros(len(w), 1, w.shape[2]) for w in (first, last)])

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(torch.baddbmm(self.shifts[0], x[:, :, self.sees], self.weights[0]))
        return torch.baddbmm(self.shifts[1], hidden, self.weights[1]).flatten(0, 1)


def generalise(
    objectives: Sequence[tuple[float, float]], *, step: float, steps: int, batch: int, seeds: int, seed: int,
    progress: Callable[[float], None] = lambda fraction: None,
) -> tuple[Array, Array]:  # fmt: skip
    """Train two students from many seeds at once, by the trainer's update in float32, and score held-out digits.

    ``objectives`` are orders and weights. A seed's start and batches are the same for all, so that any two are paired.
    Samples are shuffled once an epoch.

    Returns
    -------
    tuple of ndarray
        Accuracy and NLL in nats, the means over the students, shape (objective, seed) each.
    """
    halves, classes = digits()
    x, y = torch.from_numpy(halves).float().transpose(0, 1), torch.from_numpy(classes)
    random = torch.Generator().manual_seed(seed % 2**63)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(2, seeds, *shape, generator=random) * shape[0] ** -0.5

    first, last = drawn(x.shape[2], HIDDEN), drawn(HIDDEN, 10)

    def cohort(alpha: float, weight: float) -> Cohort:
        # All seeds are one batch of the losses, which are means over it: a seed's own gradient is S times as large.
        return Cohort(
            [_Seeds(half, first[half].clone(), last[half].clone()) for half in range(2)],
            Objective(lambda _: alpha, lambda _: weight),
            lambda groups: torch.optim.SGD(groups, weight_decay=DECAY / seeds), lambda _: step * seeds,
        )  # fmt: skip

    cohorts = [cohort(*objective) for objective in objectives]
    per_epoch = SAMPLES // batch
    order = torch.empty(0)
    for number in range(steps):
        at = number % per_epoch
        if at == 0:
            order = torch.rand(seeds, SAMPLES, generator=random).argsort(1)
        rows = order[:, at * batch : (at + 1) * batch]
        inputs, labels = x[rows], y[rows].flatten()
        for each in cohorts:
            each.update(inputs, labels, number)
        progress((number + 1) / steps)
    accuracy, nll = np.empty((2, len(cohorts), seeds))
    held_out, chosen = x[SAMPLES:].expand(seeds, -1, -1, -1), y[SAMPLES:].view(1, 1, -1, 1).expand(2, seeds, -1, 1)
    with torch.no_grad():
        for n, each in enumerate(cohorts):
            z = each.forward(held_out).unflatten(1, (seeds, -1))
            accuracy[n] = (z.argmax(-1) == y[SAMPLES:]).double().mean((0, 2))
            nll[n] = (z.logsumexp(-1) - z.gather(-1, chosen)[..., 0]).double().mean((0, 2))
    return accuracy, nll
