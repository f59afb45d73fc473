"""What each special path of the losses, and of the trainer, gains over the general one that would take its place.

    python benchmarks/bench_special_paths.py [--settled 0.05] [--rounds N] [--only KIND ...] [--json FILE]

A path stays if it is 1.5 times as fast on a size that people use, or if a promise about speed falls without it. One
thread, float32. With all paths, without each of them, and `F.kl_div`, a forward and backward pass (in the trainer, a
step) runs interleaved, round after round, in one process; the figures are medians over the rounds of ratios of
processor time. Rounds are repeated until the 95% intervals of these medians are within ``--settled`` of them, but not
more than ``--rounds`` times. Without a path:

two students    take the batched products of three or more
kept memory     float64 is allocated at each call
short sums      students near consensus, at the orders 1/2 and 2, take the terms of any order
fused orders    compiled orders 1/2, 1 and 2 call the eager loss, as all others do
rows last       compiled sums over few classes run along memory
stacked         identical perceptrons are called one after the other
"""

from __future__ import annotations

import inspect
import math
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import patch

import record
import torch
from bench_losses import NEAR, eager, kl_div, step
from torch import Tensor

from rdml_theory.losses import _compiled, _quick
from verify.trainer import Config, Trainer, update

SIZES = ((128, 10), (128, 100), (1024, 1000))
COHORTS = (2, 4)
ORDERS = (0.5, 1.0, 2.0)
STUDENTS = (("mlp:2", 100), ("mlp:4", 100))
KINDS = ("eager", "near", "compiled", "trainer")
FEWEST = 15
# what a round takes of each contestant, in seconds, if a call is not longer
SHARE = 0.01

Off = Callable[[], AbstractContextManager[Any]]


def rewritten(function: Callable[..., Any], changes: dict[str, str]) -> Callable[..., Any]:
    """The function with other source text."""
    text = inspect.getsource(function)
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    names = dict(function.__globals__)
    exec(text, names)
    return names[function.__name__]


LONG_SUMS = rewritten(_quick.excess, {"offset == 1.0": "False", "offset == -0.5": "False"})


def new_memory(logits: Tensor, *arrays: int) -> Tensor:
    return logits.new_empty((*arrays, *logits.shape), dtype=torch.float64)


def paths(kind: str, students: int, classes: int, alpha: float) -> dict[str, Off]:
    """How to do without each path that serves such a loss."""
    if kind == "compiled":
        fused: dict[str, Off] = {"fused orders": lambda: patch.object(_compiled, "ORDERS", ())}
        return fused | ({"rows last": lambda: patch.object(_compiled, "FEW", 0)} if classes <= _compiled.FEW else {})
    found: dict[str, Off] = {"kept memory": lambda: patch.object(_quick, "_space", new_memory)}
    if students == 2:
        found["two students"] = lambda: patch.object(_quick, "of_two", _quick.of_many)
    if kind == "near" and alpha != 1.0:
        found["short sums"] = lambda: patch.object(_quick, "excess", LONG_SUMS)
    return found


def race(calls: dict[str, tuple[Callable[[], None], Off]], rounds: int, settled: float) -> dict[str, Any]:
    """Times of all over that of the first, with 95% intervals, and how many rounds it took."""

    def seconds(name: str, repeats: int) -> float:
        call, off = calls[name]
        with off():
            call()
            start = time.process_time()
            for _ in range(repeats):
                call()
            return (time.process_time() - start) / repeats

    for name in calls:
        seconds(name, 2)
    repeats = {name: min(100, math.ceil(SHARE / max(1e-6, seconds(name, 1)))) for name in calls}
    base, *others = calls
    times: dict[str, list[float]] = {name: [] for name in calls}
    found: dict[str, list[float]] = {}
    for number in range(1, rounds + 1):
        for name in calls:
            times[name].append(seconds(name, repeats[name]))
        # ranks between which the median of so many lies
        reach = round(0.98 * math.sqrt(number))
        for name in others:
            ratios = sorted(b / a for a, b in zip(times[base], times[name], strict=True))
            ends = ratios[max(0, number // 2 - reach)], ratios[min(number - 1, number // 2 + reach)]
            found[name] = [statistics.median(ratios), *ends]
        if number >= FEWEST and all(max(high - x, x - low) <= settled * x for x, low, high in found.values()):
            break
    return {
        "ms": {name: round(1e3 * statistics.median(t), 4) for name, t in times.items()}, "rounds": number,
        "ratios": {name: [round(x, 3) for x in ends] for name, ends in found.items()},
    }  # fmt: skip


def losses(kind: str, students: int, rows: int, classes: int, alpha: float, **limits: Any) -> dict[str, Any]:
    random = torch.Generator().manual_seed(rows * classes + students)
    logits = [torch.randn(rows, classes, generator=random) for _ in range(students)]
    if kind == "near":
        logits = [logits[0] + NEAR * x for x in logits]
    for x in logits:
        x.requires_grad_()

    def run(function: Callable[..., Tensor]) -> Callable[[], None]:
        return lambda: step(function, logits, alpha)

    def contestant() -> Callable[[], None]:
        # code of its own, so that what is compiled for one is not tried for the others
        return run(torch.compile(rewritten(eager, {}), fullgraph=True) if kind == "compiled" else eager)

    torch._dynamo.reset()
    calls: dict[str, tuple[Callable[[], None], Off]] = {"all": (contestant(), nullcontext)}
    calls |= {name: (contestant(), off) for name, off in paths(kind, students, classes, alpha).items()}
    if kind == "compiled":
        calls["eager"] = run(eager), nullcontext
    calls["kl_div"] = run(kl_div), nullcontext
    setting = {"kind": kind, "students": students, "rows": rows, "classes": classes, "alpha": alpha}
    return setting | race(calls, **limits)


def trainer(students: str, batch: int, **limits: Any) -> dict[str, Any]:
    config = Config(students=students, batch=batch, alpha=2.0, epochs=10_000, monitor=0.0, lr_schedule="constant")
    together = Trainer(config)
    with patch.object(update, "stackable", lambda students: False):
        apart = Trainer(config)
    calls = {"all": (together.step, nullcontext), "stacked": (apart.step, nullcontext)}
    return {"kind": "trainer", "students": students, "rows": batch, "alpha": 2.0} | race(calls, **limits)  # type: ignore[arg-type]


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="interleaved repetitions, at most")
    parser.add_argument("--settled", type=float, default=0.05, help="relative half-width of the intervals")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    limits = {"rounds": options.rounds, "settled": options.settled}
    found: list[dict[str, Any]] = []

    def tell(row: dict[str, Any]) -> None:
        found.append(row)
        setting = " ".join(str(row[name]) for name in ("kind", "students", "rows", "classes", "alpha") if name in row)
        ratios = ", ".join("{} {:.2f} ({:.2f} to {:.2f})".format(name, *x) for name, x in row["ratios"].items())
        print(f"{setting}: {row['ms']['all']:.3f} ms; without {ratios}; {row['rounds']} rounds", flush=True)
        record.keep(options.json, {"threads": 1, **limits, **record.where(), "records": found})

    for kind in KINDS[:3]:
        for students in COHORTS if kind in options.only else ():
            for rows, classes in SIZES:
                for alpha in ORDERS:
                    tell(losses(kind, students, rows, classes, alpha, **limits))
    for students, batch in STUDENTS if "trainer" in options.only else ():
        tell(trainer(students, batch, **limits))


if __name__ == "__main__":
    main()
