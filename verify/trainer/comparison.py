"""A table of objectives on one data set: the same seeds for all, differences within seeds, intervals for all at once.

Near consensus order α acts as a weight α on the Kullback-Leibler divergence, so an honest table of orders has that
weight beside each. What comes out is reported, never judged.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from verify.records import write_atomically
from verify.trainer.config import Config, TrainerError
from verify.trainer.metrics import Scores
from verify.trainer.run import METRICS, Report, open_run, train
from verify.trainer.trainer import DivergedError

__all__ = ["ARMS", "Arm", "Comparison", "compare", "markdown"]

ERROR_RATE = 0.05
"""With which any interval of a table may miss its difference."""


@dataclass(frozen=True)
class Arm:
    """One row: its name and what it changes in the configuration."""

    name: str
    alpha: float = 1.0
    beta: float = 1.0


ARMS = (
    Arm("independent", 1.0, 0.0),
    Arm("DML (KL)", 1.0, 1.0),
    *(Arm(f"RDML, α = {a:g}", a, 1.0) for a in (0.5, 1.5, 2.0)),
    *(Arm(f"KL, β = {a:g}", 1.0, a) for a in (0.5, 1.5, 2.0)),
)


@dataclass(frozen=True)
class Comparison:
    """The scores of all arms and seeds, averaged over the students of a run, and what they amount to.

    ``scores[arm][metric]`` holds a value a seed, None where the run diverged.
    """

    config: dict[str, Any]
    seeds: tuple[int, ...]
    scores: dict[str, dict[str, tuple[float | None, ...]]]

    def difference(self, arm: str, against: str, metric: str, tests: int) -> tuple[float, float, float]:
        """Mean paired difference with its interval, which is Bonferroni's for so many differences (Student's t).

        >>> two = {"a": {"accuracy": (0.1, 0.2, 0.4)}, "b": {"accuracy": (0.0, 0.1, 0.3)}}
        >>> [round(v, 6) for v in Comparison({}, (0, 1, 2), two).difference("a", "b", "accuracy", 1)]
        [0.1, 0.1, 0.1]
        """
        pairs = zip(self.scores[arm][metric], self.scores[against][metric], strict=True)
        d = np.array([a - b for a, b in pairs if a is not None and b is not None])
        if len(d) < 2:
            return (float(d.mean()) if len(d) else math.nan, -math.inf, math.inf)
        half = float(stats.t.ppf(1 - ERROR_RATE / (2 * tests), len(d) - 1) * d.std(ddof=1) / math.sqrt(len(d)))
        return float(d.mean()), float(d.mean()) - half, float(d.mean()) + half


def compare(
    base: Config,
    seeds: Sequence[int],
    *,
    arms: Sequence[Arm] = ARMS,
    report: Report = lambda trainer, values: None,
    started: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Comparison:
    """Train every arm with every seed; what has been trained before in the same folder is not trained again.

    A seed fixes starting weights and the order of the samples for all arms, so that differences within a seed are
    between objectives.

    Parameters
    ----------
    base : Config
        What the arms share.
    seeds : sequence of int
        One run each.
    arms : sequence of Arm
        The rows.
    report : callable
        As in :func:`verify.trainer.train`.
    started : callable
        Called with each run's name, its number and how many there are.
    """
    scores: dict[str, dict[str, list[float | None]]] = {
        arm.name: {"accuracy": [], "nll": [], "ece": [], "ensemble accuracy": []} for arm in arms
    }
    total = len(seeds) * len(arms)
    for n, seed in enumerate(seeds):
        for m, arm in enumerate(arms):
            config = replace(base, alpha=arm.alpha, beta=arm.beta, seed=seed)
            started(config.name, n * len(arms) + m, total)
            test = _scores(config, report)
            into = scores[arm.name]
            for metric in ("accuracy", "nll", "ece"):
                own = None if test is None else float(np.mean([getattr(s, metric) for s in test[:-1]]))
                into[metric].append(own)
            into["ensemble accuracy"].append(None if test is None else test[-1].accuracy)
    frozen = {arm: {metric: tuple(v) for metric, v in metrics.items()} for arm, metrics in scores.items()}
    out = Comparison(base.to_json(), tuple(seeds), frozen)
    write_atomically(base.out / "comparison.json", json.dumps(asdict(out), indent=1) + "\n")
    write_atomically(base.out / "comparison.md", markdown(out))
    return out


def _scores(config: Config, report: Report) -> list[Scores] | None:
    """The test scores of a run with its last weights, trained now or before; None if it diverged."""
    path = config.out / config.name / METRICS
    if not path.exists():
        resume = (config.out / config.name).exists()
        return _trained(config, resume, report)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    for entry in lines:
        if entry["kind"] == "final":
            return [Scores(**s) for s in entry["test"]]
    return _trained(config, True, report)


def _trained(config: Config, resume: bool, report: Report) -> list[Scores] | None:
    if resume and open_run(config, resume=True).name != config.name:
        raise TrainerError(f"{config.out}: holds other runs named {config.name}; name another --out")
    try:
        result = train(config, resume=resume, report=report)
    except DivergedError:
        return None
    return None if result is None else result.test


def markdown(comparison: Comparison) -> str:
    """The table with mean ± standard deviation over seeds, and paired differences with their intervals."""
    arms = list(comparison.scores)
    references = [name for name in ("independent", "DML (KL)") if name in arms]
    pairs = [(arm, ref) for arm in arms for ref in references if arm not in references[: references.index(ref) + 1]]
    lines = [
        f"| objective | accuracy (%) | of the mean (%) | NLL (nats) | calibration error | "
        f"{' | '.join(f'accuracy − {ref} (points)' for ref in references)} |",
        "|" + " --- |" * (5 + len(references)),
    ]

    def spread(arm: str, metric: str, scale: float, digits: int) -> str:
        values = [scale * v for v in comparison.scores[arm][metric] if v is not None]
        if not values:
            return "diverged"
        deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
        lost = len(comparison.seeds) - len(values)
        return f"{np.mean(values):.{digits}f}{deviation}" + (f" ({lost} diverged)" if lost else "")

    for arm in arms:
        cells = [spread(arm, "accuracy", 100, 2), spread(arm, "ensemble accuracy", 100, 2), spread(arm, "nll", 1, 3)]
        cells.append(spread(arm, "ece", 1, 3))
        for ref in references:
            if (arm, ref) not in pairs:
                cells.append("")
                continue
            mean, low, high = (100 * v for v in comparison.difference(arm, ref, "accuracy", len(pairs)))
            cells.append(f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]")
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    lines.append("")
    lines.append(
        f"{len(comparison.seeds)} seeds; ± is the standard deviation over seeds of the students' mean. Differences are "
        f"within seeds; their {len(pairs)} intervals hold together with probability {1 - ERROR_RATE:g} (Student's t, "
        "Bonferroni)."
    )
    return "\n".join(lines) + "\n"
