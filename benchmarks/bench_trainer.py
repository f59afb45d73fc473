"""Steps per second of the trainer against the published update scheme, and what the bias monitor costs.

    python benchmarks/bench_trainer.py [--rounds N] [--json FILE]

One thread, float32, MNIST-1D, SGD with Nesterov's momentum and weight decay. The contestants of a line run interleaved,
round after round, in one process; times are CPU times, so that a shared machine matters less, and they and their ratios
are medians over the rounds. Contestants:

published    the scheme of research code: K forward passes, a pairwise loss of softmaxes clamped at 1e-8, then for each
             student in turn a backward pass, a step of an optimizer of its own, and an .item()
trainer      `Trainer.step`: fetching the batch, one backward pass, one optimizer, losses kept on the device
monitored    the same with the bias monitor at its default, over whole multiples of its cadence

Memory is the peak of what a step allocates for tensors, gradients included, by torch's own account. (The resident size
of a process says more about the library's code that it has loaded: at these sizes that is six times as much.)
"""

from __future__ import annotations

import itertools
import statistics
import time
from dataclasses import replace
from typing import Any

import record
import torch
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from verify.trainer import Config, Trainer
from verify.trainer.networks import build_students

SETTINGS = (("mlp:4", 100), ("mlp:2", 100), ("cnn:2", 128))
ALPHA = 2.0


def published(config: Config, trainer: Trainer):
    """One step of the published scheme, on the trainer's own batches."""
    students = build_students(config.students, trainer.data.shape, trainer.data.classes, seed=config.seed)
    optimizers = [
        torch.optim.SGD(
            s.parameters(), lr=config.lr, momentum=config.momentum, nesterov=True, weight_decay=config.weight_decay
        )
        for s in students
    ]
    losses: list[float] = []
    number = 0

    def divergence(peer, own):
        p = torch.clamp(functional.softmax(peer, dim=1), 1e-8, 1)
        q = torch.clamp(functional.softmax(own, dim=1), 1e-8, 1)
        return (torch.log(torch.sum(q * torch.pow(p / q, ALPHA), dim=1)) / (ALPHA - 1)).mean()

    def step():
        nonlocal number
        x, y = trainer.batches(number)
        number += 1
        outputs = [s(x) for s in students]
        for i, optimizer in enumerate(optimizers):
            mutual = sum(divergence(outputs[j].detach(), outputs[i]) for j in range(len(students)) if j != i)
            loss = functional.cross_entropy(outputs[i], y) + mutual / (len(students) - 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

    return step


def seconds(step, calls):
    start = time.process_time()
    for _ in range(calls):
        step()
    return (time.process_time() - start) / calls


def configuration(students: str, batch: int) -> Config:
    return Config(
        students=students, batch=batch, alpha=ALPHA, epochs=10_000, monitor=0.0, lr_schedule="constant", lr=0.01
    )


def speed(students: str, batch: int, rounds: int) -> dict[str, float | str]:
    config = configuration(students, batch)
    ours = Trainer(config)
    steps = {"published": published(config, Trainer(config)), "trainer": ours.step}
    for step in steps.values():
        seconds(step, 50)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(seconds(step, 8))
    ratios = [a / b for a, b in zip(times["published"], times["trainer"], strict=True)]
    row: dict[str, float | str] = {"students": students, "batch": batch}
    row |= {name: 1 / statistics.median(values) for name, values in times.items()}
    return {**row, "speedup": statistics.median(ratios)}


def overhead(students: str, batch: int, rounds: int) -> float:
    """The monitored time over the plain one, less one."""
    config = configuration(students, batch)
    plain, watched = Trainer(config), Trainer(replace(config, monitor=Config().monitor))
    assert watched.monitor is not None
    every = watched.monitor.every
    for trainer in (plain, watched):
        seconds(trainer.step, every)
    ratios = []
    for _ in range(max(3, rounds // 10)):
        ratios.append(seconds(watched.step, every) / seconds(plain.step, every))
    return statistics.median(ratios) - 1


def memory(students: str, batch: int, contestant: str) -> float:
    """In KiB, over three steps."""
    config = configuration(students, batch)
    trainer = Trainer(config)
    step = trainer.step if contestant == "trainer" else published(config, trainer)
    seconds(step, 10)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        seconds(step, 3)
    assert recorded.profiler is not None
    assert recorded.profiler.kineto_results is not None
    events: list[Any] = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    sizes = [e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]
    return max(itertools.accumulate(sizes)) / 1024


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="interleaved repetitions")
    options = parser.parse_args()
    torch.set_num_threads(1)
    records = []
    print(f"one thread, torch {torch.__version__}, float32, order {ALPHA:g}\n")
    print("| students | batch | published | trainer | speed-up | monitor | tensors, published / trainer |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for students, batch in SETTINGS:
        r = speed(students, batch, options.rounds)
        r["monitor"] = overhead(students, batch, options.rounds)
        peak = {name: memory(students, batch, name) for name in ("published", "trainer")}
        r |= {f"memory_{name}": value for name, value in peak.items()}
        records.append(r)
        print(
            f"| {students} | {batch} | {r['published']:.0f}/s | {r['trainer']:.0f}/s | {r['speedup']:.2f}x | "
            f"+{100 * float(r['monitor']):.0f}% | {peak['published']:.0f} / {peak['trainer']:.0f} KiB |",
            flush=True,
        )
    record.keep(options.json, {"torch": torch.__version__, "threads": 1, "records": records})


if __name__ == "__main__":
    main()
