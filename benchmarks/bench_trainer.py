"""Steps per second of the trainer against the published update scheme, and what the bias monitor costs.

    python benchmarks/bench_trainer.py [--rounds N] [--json FILE]

One thread, float32, MNIST-1D, SGD with Nesterov's momentum and weight decay. The contestants of a line run interleaved,
round after round, in one process; times are CPU times, so that a shared machine matters less, and they and their ratios
are medians over the rounds. Contestants:

published    the scheme of research code: K forward passes, a pairwise loss of softmaxes clamped at 1e-8, then for each
             student in turn a backward pass, a step of an optimizer of its own, and an .item()
trainer      `Trainer.step`: fetching the batch, one backward pass, one optimizer, losses kept on the device
monitored    the same with the bias monitor at its default, over whole multiples of its cadence

Memory is the growth of the peak resident size over 300 steps, in a process of its own for each contestant (Linux).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional

from verify.trainer import Config, Trainer
from verify.trainer.networks import build_students

SETTINGS = (("mlp:4", 100), ("mlp:2", 100), ("cnn:2", 128))
ALPHA = 2.0


def published(config: Config, trainer: Trainer):
    """One step of the published scheme, on the trainer's own batches."""
    students = build_students(config, trainer.data.shape, trainer.data.classes)
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
        x, y = trainer.batch(number)
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
    record: dict[str, float | str] = {"students": students, "batch": batch}
    record |= {name: 1 / statistics.median(values) for name, values in times.items()}
    return {**record, "speedup": statistics.median(ratios)}


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


def peak_growth(students: str, batch: int, contestant: str) -> float:
    """In MiB, by Linux's own account; called in a process of its own."""
    config = configuration(students, batch)
    trainer = Trainer(config)
    step = trainer.step if contestant == "trainer" else published(config, trainer)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = resident("VmRSS")
    seconds(step, 300)
    return (resident("VmHWM") - before) / 1024


def resident(field: str) -> int:
    """In KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field)))


def memory(students: str, batch: int) -> dict[str, float]:
    out = {}
    for name in ("published", "trainer"):
        command = [sys.executable, __file__, "--peak", students, str(batch), name]
        out[name] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write all numbers to this file")
    parser.add_argument("--rounds", type=int, default=100, help="interleaved repetitions")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        students, batch, name = options.peak
        print(peak_growth(students, int(batch), name))
        return
    records = []
    print(f"one thread, torch {torch.__version__}, float32, order {ALPHA:g}\n")
    print("| students | batch | published | trainer | speed-up | monitor | peak memory, published / trainer |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for students, batch in SETTINGS:
        r = speed(students, batch, options.rounds)
        r["monitor"] = overhead(students, batch, options.rounds)
        peak = memory(students, batch)
        r |= {f"memory_{name}": value for name, value in peak.items()}
        records.append(r)
        print(
            f"| {students} | {batch} | {r['published']:.0f}/s | {r['trainer']:.0f}/s | {r['speedup']:.2f}x | "
            f"+{100 * float(r['monitor']):.0f}% | {peak['published']:.1f} / {peak['trainer']:.1f} MiB |",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps({"torch": torch.__version__, "threads": 1, "records": records}, indent=1))


if __name__ == "__main__":
    main()
