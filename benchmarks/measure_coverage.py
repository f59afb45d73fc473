"""How often verdicts on means err, for replicas with heavy tails and rare events: coverage_ and verdicts_table.json.

    python benchmarks/measure_coverage.py [--trials 100000] [--json FILE]
    python benchmarks/measure_coverage.py --verdicts [--trials 2000] [--json FILE]

The distributions are those of claim V1, each of mean 1. With an envelope: how often a bettor's capital against the true
mean ever reaches 1/δ within 512 replicas, which is how often either confidence bound is wrong at any of them. Without
one: how often the corrected bounds of Student are wrong at 256 replicas. Trials are drawn in chunks of their own seeds.

With ``--verdicts``: what the rules say where no envelope is known, at the error rate of a claim's comparison, of a
false limit and of a true one: Student's, at 256 to 4,096 replicas, and of 256 cut at four times the limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import record
from rich.progress import track

from convergence import sequential_verdict
from convergence.estimators import STAKES, mean_interval
from verify.checks import cut_mean
from verify.claims.v1_error_rate import FAMILIES, Family

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


CUT, NOMINAL, LIMITS = 256, 1e-6, {"false": 0.75, "true": 1.35}
HEAVY = ("1 in 10,000 carries half the mean", "Pareto of exponent 1.5", "chi-square")
DRAWS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    **{name: FAMILIES[name].draw for name in HEAVY},
    "lognormal, σ = 3": lambda rng, n: rng.lognormal(-4.5, 3.0, n),
}


def verdicts(name: str, trials: int) -> dict[str, dict[str, dict[str, float]]]:
    """The shares of outcomes of "mean ≤ limit" for replicas of mean 1, by the rule and the limit."""
    shares: dict[str, dict[str, dict[str, float]]] = {}
    for words, limit in LIMITS.items():
        counts = {rule: dict.fromkeys(("confirmed", "refuted", "undecided"), 0) for rule in ("asymptotic", "cut")}
        for trial in range(trials):
            x = DRAWS[name](np.random.default_rng([18, trial]), 4096)
            plain = sequential_verdict(lambda a, b, x=x: x[a:b], limit, error_rate=NOMINAL)
            counts["asymptotic"][plain.outcome] += 1
            counts["cut"][cut_mean("", x[:CUT], (0.0, 4 * limit), limit, NOMINAL).outcome] += 1
        for rule, found in counts.items():
            shares.setdefault(rule, {})[words] = {outcome: n / trials for outcome, n in found.items()}
    return shares


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--verdicts", action="store_true")
    options = parser.parse_args()
    table: dict[str, Any] = {}
    began = time.process_time()
    if options.verdicts:
        trials = options.trials or 2000
        for name in track(DRAWS, "families", transient=True):
            table[name] = verdicts(name, trials)
            print(f"{name}: {table[name]}")
            told = {"trials": trials, "error rate": NOMINAL, "limits": LIMITS, "families": table}
            record.keep(options.json, {**told, "seconds": round(time.process_time() - began), **record.where()})
        return
    chunks = (options.trials or 100_000) // CHUNK
    for name, family in FAMILIES.items():
        counts = {f"{rate:g}": np.zeros(4, dtype=int) for rate in RATES}
        for chunk in track(range(chunks), name, transient=True):
            for rate, errors in wrong(family, chunk).items():
                counts[rate] += errors
        trials = chunks * CHUNK
        table[name] = {
            rate: {
                "envelope": {"lower": int(c[0]) / trials, "upper": int(c[1]) / trials},
                "asymptotic": {"lower": int(c[2]) / trials, "upper": int(c[3]) / trials},
            }
            for rate, c in counts.items()
        }  # fmt: skip
        print(f"{name}: {table[name]}")
        told = {"trials": trials, "looks": LOOKS, "asymptotic replicas": ASYMPTOTIC, "families": table}
        record.keep(options.json, {**told, "seconds": round(time.process_time() - began), **record.where()})


if __name__ == "__main__":
    main()
