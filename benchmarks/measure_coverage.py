"""How often verdicts on means err, for replicas with heavy tails and rare events; the record is coverage_table.json.

    python benchmarks/measure_coverage.py [--trials 100000] [--json FILE]

The distributions are those of claim V1, each of mean 1. With an envelope: how often a bettor's capital against the true
mean ever reaches 1/δ within 512 replicas, which is how often either confidence bound is wrong at any of them. Without
one: how often the corrected bounds of Student are wrong at 256 replicas. Trials are drawn in chunks of their own seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from convergence.estimators import STAKES, mean_interval
from verify.claims.v1_error_rate import FAMILIES, Family
from verify.environment import commit, processor, versions

RATES = (0.05, 0.001)
LOOKS, ASYMPTOTIC, CHUNK = 512, 256, 500


def reached(gains: np.ndarray) -> np.ndarray:
    """The log of the greatest capital of each trial, for gains of shape (trial, replica)."""
    with np.errstate(divide="ignore"):
        logs = np.stack([np.cumsum(np.log1p(np.maximum(c * gains, -1)), axis=1) for c in STAKES])
    most = np.maximum(logs.max(axis=0), -700)
    return (most + np.log(np.exp(logs - most).mean(axis=0))).max(axis=1)


def wrong(family: Family, chunk: int) -> dict[str, np.ndarray]:
    """Errors in a chunk of trials, for each rate and side."""
    rng = np.random.default_rng([17, chunk])
    x = np.stack([family.draw(rng, LOOKS) for _ in range(CHUNK)])
    upper, limit = family.envelope.upper, 1 - family.envelope.excess
    below, above = reached(x - 1), reached((limit - np.minimum(x, upper)) / (upper - limit))
    few = x[:, :ASYMPTOTIC]
    out = {}
    for rate in RATES:
        ends = np.array([mean_interval(row, rate) for row in few])
        goal = -np.log(rate)
        errors = (below >= goal, above >= goal, ends[:, 0] > 1, ends[:, 1] < 1)
        out[f"{rate:g}"] = np.array([e.sum() for e in errors])
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    table: dict[str, Any] = {}
    began = time.process_time()
    for name, family in FAMILIES.items():
        counts = {f"{rate:g}": np.zeros(4, dtype=int) for rate in RATES}
        for chunk in track(range(options.trials // CHUNK), name, transient=True):
            for rate, errors in wrong(family, chunk).items():
                counts[rate] += errors
        trials = options.trials // CHUNK * CHUNK
        table[name] = {
            rate: {
                "envelope": {"lower": int(c[0]) / trials, "upper": int(c[1]) / trials},
                "asymptotic": {"lower": int(c[2]) / trials, "upper": int(c[3]) / trials},
            }
            for rate, c in counts.items()
        }  # fmt: skip
        print(f"{name}: {table[name]}")
        if options.json:
            record = {
                "trials": trials, "looks": LOOKS, "asymptotic replicas": ASYMPTOTIC, "families": table,
                "seconds": round(time.process_time() - began), "versions": versions(), "commit": commit(),
                "processor": processor(),
            }  # fmt: skip
            options.json.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
