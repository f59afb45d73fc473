"""How often `rdml verify-problem` judges random unseen problems right: honest ones, and ones with a false constant.

    python benchmarks/measure_problem_trials.py [--instances 20] [--first 1000] [--json FILE] [--kinds narrow_bump ...]

The problems are those of `tests/reference/unseen_problems.py`. For each instance the searches judge the honest problem,
and the problem with Λ, σ² or ζ² declared a fifth below what it reaches (the constant in question only); and four wrong
gradients. What a constant reaches is known, or the most that ascents found which know the problem; `found` is the least
and the greatest of what the trial found over that. Of the honest declarations some, as those of finite sums, are bounds
that are not reached. The record is written after each instance of all kinds. Instances below 1000 were looked at when
the searches were made.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import record

from verify.problem_check import check_problem, judge_constant

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "reference"))
import unseen_problems

CONSTANTS = ("smoothness", "noise", "bias")


def judge(kind: str, seed: int, steps: int, row: dict[str, Any]) -> None:
    """Add one instance to the counts of its kind."""
    problem = unseen_problems.make(kind, seed)
    began = time.process_time()
    trial = check_problem(problem, seed=seed, steps=steps)
    row["seconds"].append(round(time.process_time() - began, 3))
    row["instances"] += 1
    row["honest"][trial.outcome] = row["honest"].get(trial.outcome, 0) + 1
    if trial.outcome != "confirmed":
        row["not confirmed"].append(
            [seed, [[p.name, p.outcome, p.detail] for p in trial.parts if p.outcome != "confirmed"]]
        )
    for constant in CONSTANTS:
        part = judge_constant(problem.lie(constant), constant, seed=seed)
        row["found"][constant].append(round(part.found / problem.peaks[constant], 3))
        row["caught"][constant] += part.outcome == "refuted"
        if part.outcome != "refuted":
            row["missed"].append([seed, constant])
    for fault in unseen_problems.FAULTS:
        part = judge_constant(unseen_problems.with_fault(problem, fault), "gradient", seed=seed)
        row["gradients"][fault] += part.outcome == "refuted"
        if part.outcome != "refuted":
            row["missed"].append([seed, fault])


def summary(row: dict[str, Any]) -> dict[str, Any]:
    """The lists of a kind's numbers in short."""
    found = {c: [min(v), max(v)] for c, v in row["found"].items()}
    return {**row, "found": found, "seconds": float(np.median(row["seconds"]))}


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--instances", type=int, default=20)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--kinds", nargs="*", default=list(unseen_problems.KINDS))
    options = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {
        kind: {
            "instances": 0, "honest": {}, "caught": dict.fromkeys(CONSTANTS, 0),
            "gradients": dict.fromkeys(unseen_problems.FAULTS, 0), "missed": [],
            "found": {c: [] for c in CONSTANTS}, "not confirmed": [], "seconds": [],
        }
        for kind in options.kinds
    }  # fmt: skip
    for seed in range(options.first, options.first + options.instances):
        for kind, row in rows.items():
            judge(kind, seed, options.steps, row)
        table = {kind: summary(row) for kind, row in rows.items()}
        record.keep(options.json, table)
        print(seed, json.dumps(table), flush=True)


if __name__ == "__main__":
    main()
