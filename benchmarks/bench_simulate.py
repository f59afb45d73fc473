"""The simulator beside the cost of its random numbers and beside a plain Python loop, in one run on one core.

    python benchmarks/bench_simulate.py [--json FILE] [--replicas 4096] [--steps 2000]

The quadratic-plus-cosine problem in ten dimensions. Ratios are medians of interleaved rounds; the plain loop runs a few
replicas, and its time is scaled to all of them. The numbers alone are drawn by NumPy's default generator.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import record
from threadpoolctl import threadpool_limits

from convergence import problems, simulate

DIM, STEP, LOOPED = 10, 0.3, 2


def draw_only(replicas: int, steps: int) -> None:
    """The normal numbers that the simulation needs, and nothing else."""
    rng = np.random.default_rng(0)
    block = np.empty((256, DIM))
    for _ in range(steps * (replicas // 256)):
        rng.standard_normal(out=block)


def plain_loop(steps: int, rng: np.random.Generator) -> float:
    """One replica as one would write it first."""
    x = np.full(DIM, 3.0)
    total = 0.0
    for _ in range(steps):
        gradient = 0.1 * x + 0.9 * np.sin(x)
        total += gradient @ gradient
        x = x - STEP * (gradient + rng.standard_normal(DIM) / np.sqrt(DIM))
    return total / steps


def interface_loop(problem: problems.SyntheticProblem, steps: int, rng: np.random.Generator) -> float:
    """One replica through the methods of a problem."""
    x = problem.start.copy()
    total = 0.0
    for _ in range(steps):
        gradient = problem.gradient(x)
        total += gradient @ gradient
        x = x - STEP * problem.sample_gradient(x[None], rng)[0]
    return total / steps


def clock(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def measure(replicas: int, steps: int, rounds: int) -> dict[str, float]:
    models = {
        m: problems.get("quadratic_cosine", dim=DIM, noise=1.0, noise_model=m) for m in ("gaussian", "rademacher")
    }
    arguments = {"step": STEP, "steps": steps, "replicas": replicas, "seed": 0}
    names = ("numbers alone", "gaussian", "rademacher", "hand-written loop", "loop over sample_gradient")
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        times["numbers alone"].append(clock(lambda: draw_only(replicas, steps)))
        for name, problem in models.items():
            times[name].append(clock(lambda p=problem: simulate(p, **arguments)))
        looped = clock(lambda: [plain_loop(steps, np.random.default_rng(r)) for r in range(LOOPED)])
        times["hand-written loop"].append(looped * replicas / LOOPED)
        looped = clock(
            lambda: [interface_loop(models["gaussian"], steps, np.random.default_rng(r)) for r in range(LOOPED)]
        )
        times["loop over sample_gradient"].append(looped * replicas / LOOPED)
    tracemalloc.start()
    simulate(models["gaussian"], **(arguments | {"steps": 20 * steps, "replicas": 256}))
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()

    def ratio(a: str, b: str) -> float:
        return statistics.median(x / y for x, y in zip(times[a], times[b], strict=True))

    return {
        "numbers alone, s": statistics.median(times["numbers alone"]),
        "simulate with Gaussian noise, s": statistics.median(times["gaussian"]),
        "simulate / numbers alone": ratio("gaussian", "numbers alone"),
        "Rademacher / Gaussian noise": ratio("rademacher", "gaussian"),
        "hand-written loop / simulate": ratio("hand-written loop", "gaussian"),
        "loop over sample_gradient / simulate": ratio("loop over sample_gradient", "gaussian"),
        "hand-written loop / numbers alone": ratio("hand-written loop", "numbers alone"),
        f"peak memory at {20 * steps} steps, MiB": peak,
    }


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = record.parser(__doc__)
    parser.add_argument("--replicas", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    with threadpool_limits(1):
        figures = measure(options.replicas, options.steps, options.rounds)
    for name, value in figures.items():
        print(f"{name:44s} {value:10.3g}")
    record.keep(options.json, figures)
    return figures


if __name__ == "__main__":
    main()
