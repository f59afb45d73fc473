"""How often `rdml verify-problem` judges random unseen problems right: honest ones, and ones with a false constant.

    python benchmarks/measure_problem_trials.py [--instances 20] [--json FILE] [--kinds narrow_bump ...]

The problems are those of `tests/reference/unseen_problems.py`. For each instance the searches judge the honest problem,
and the problem with Λ, σ² or ζ² declared a fifth below what it reaches (the constant in question only); and four wrong
gradients. What a constant reaches is known, or the most that ascents found which know the problem; `found` is the least
and the greatest of what the trial found over that. Of the honest declarations some, as those of finite sums, are bounds
that are not reached.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from verify.problem_check import check_problem, judge_constant

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "reference"))
import unseen_problems

CONSTANTS = ("smoothness", "noise", "bias")


def measure(kind: str, instances: int, steps: int) -> dict[str, object]:
    """Counts of one kind."""
    caught = dict.fromkeys(CONSTANTS, 0)
    gradients = dict.fromkeys(unseen_problems.FAULTS, 0)
    honest: dict[str, int] = {}
    found: dict[str, list[float]] = {c: [] for c in CONSTANTS}
    missed, others, seconds = [], [], []
    for seed in range(instances):
        problem = unseen_problems.make(kind, seed)
        began = time.process_time()
        trial = check_problem(problem, seed=seed, steps=steps)
        seconds.append(time.process_time() - began)
        honest[trial.outcome] = honest.get(trial.outcome, 0) + 1
        if trial.outcome != "confirmed":
            others.append([seed, [[p.name, p.outcome, p.detail] for p in trial.parts if p.outcome != "confirmed"]])
        for constant in CONSTANTS:
            part = judge_constant(problem.lie(constant), constant, seed=seed)
            found[constant].append(part.found / problem.peaks[constant])
            caught[constant] += part.outcome == "refuted"
            if part.outcome != "refuted":
                missed.append([seed, constant])
        for fault in gradients:
            liar = unseen_problems.with_fault(problem, fault)
            wrong = judge_constant(liar, "gradient", seed=seed).outcome == "refuted"
            gradients[fault] += wrong
            if not wrong:
                missed.append([seed, fault])
    return {
        "instances": instances, "honest": honest, "caught": caught, "gradients": gradients, "missed": missed,
        "found": {c: [round(min(v), 3), round(max(v), 3)] for c, v in found.items()},
        "not confirmed": others, "seconds": round(float(np.median(seconds)), 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=20)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--kinds", nargs="*", default=list(unseen_problems.KINDS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    table = {}
    for kind in options.kinds:
        table[kind] = measure(kind, options.instances, options.steps)
        print(kind, json.dumps(table[kind]), flush=True)
        if options.json:
            options.json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
