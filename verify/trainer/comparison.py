"""A table of objectives on one data set: the same seeds for all, differences within seeds, intervals for all at once.

Near consensus order α acts as a weight α on the Kullback-Leibler divergence, so an honest table of orders has that
weight beside each, and their difference. What comes out is reported, never judged; that the intervals hold is claim N6.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from convergence.store import locked, write
from verify.reading import read_json
from verify.trainer.config import Config, read_config
from verify.trainer.data import load_data
from verify.trainer.errors import DivergedError, TrainerError
from verify.trainer.folder import ENVIRONMENT, final_scores, open_run
from verify.trainer.metrics import Scores
from verify.trainer.networks import parse_students
from verify.trainer.run import Report, train

__all__ = [
    "Arm", "Table", "compare", "difference_rows", "in_words", "markdown", "notes", "objectives", "paired_interval",
    "read_comparison", "score_rows",
]  # fmt: skip

ERROR_RATE = 0.05
"""With which any interval of a table may miss its difference."""

NO_BETTER = 0.99
"""A student is lost if its NLL is at least this share of log C, which the uniform prediction has."""


@dataclass(frozen=True)
class Arm:
    """One row: its name and what it changes in the configuration."""

    name: str
    alpha: float = 1.0
    beta: float = 1.0
    warmup: float = 0.0
    """Share of the training over which the weight rises from 0."""


def objectives(alphas: Sequence[float], weight: float = 1.0, *, rising: bool = False) -> tuple[Arm, ...]:
    """The rows of a table: independent students, KL, and each order beside KL of the weight that it acts as.

    Parameters
    ----------
    orders : sequence of float
        α of each row; one is that of KL, which is there already.
    weight : float
        β of all rows.
    rising : bool
        With the orders above one also with a weight that rises from 0 over the first tenth of the training, and KL of
        the greatest such weight likewise: such objectives may lose a student in the first epochs.

    Raises
    ------
    TrainerError
        If an order is negative, or there is no weight.

    Examples
    --------
    >>> [(arm.name, arm.alpha, arm.beta) for arm in objectives((2.0,), 0.5)][2:]
    [('RDML, α = 2, β = 0.5', 2.0, 0.5), ('KL, β = 1', 1.0, 1.0)]
    """
    if not all(alpha >= 0 for alpha in alphas):
        raise TrainerError(f"orders {', '.join(f'{alpha:g}' for alpha in alphas)}: expected orders of at least 0")
    if not 0 < weight < math.inf:
        raise TrainerError(f"beta = {weight:g}: a comparison of objectives needs a positive weight")
    others = [alpha for alpha in dict.fromkeys(alphas) if alpha != 1]
    # An order of zero pulls nowhere and one of infinity has no weight on KL.
    acting = [alpha for alpha in others if 0 < alpha < math.inf]
    shown = "" if weight == 1 else f", β = {weight:g}"
    rows = [
        Arm("independent", 1.0, 0.0),
        Arm("DML (KL)", 1.0, weight),
        *(Arm(f"RDML, α = {alpha:g}{shown}", alpha, weight) for alpha in others),
        *(Arm(f"KL, β = {alpha * weight:g}", 1.0, alpha * weight) for alpha in acting),
    ]
    if rising and (strong := [alpha for alpha in acting if alpha > 1]):
        rows += [Arm(f"RDML, α = {alpha:g}{shown}, β rising", alpha, weight, 0.1) for alpha in strong]
        most = max(strong) * weight
        rows.append(Arm(f"KL, β = {most:g}, β rising", 1.0, most, 0.1))
    return tuple(rows)


def paired_interval(
    differences: ArrayLike, error_rate: float, freedom: float | None = None, lattice: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Student's interval of a mean of differences within seeds, which lie along the last axis.

    Differences of accuracies are multiples of a step h, and a few of them may be equal by chance: their standard
    deviation would be 0, and so the interval a point. The least variance on such a lattice, with a mean at a fraction p
    between two of its points, is h²p(1 - p); its greatest value h²/4 is added to the variance that the seeds show.

    Parameters
    ----------
    differences : array of shape (..., S)
        One a seed, S ≥ 2.
    error_rate : float
        The probability with which the interval misses, for normal differences.
    freedom : float, optional
        Degrees of freedom, S - 1 unless it is given.
    lattice : float
        The step h of which all differences are multiples, 0 if they are continuous.

    Returns
    -------
    tuple of arrays of shape (...)
        The lower and the upper end.

    Examples
    --------
    >>> low, high = paired_interval([0.0, 1.0, 2.0], 0.05)
    >>> round(float(low), 3), round(float(high), 3)
    (-1.484, 3.484)
    >>> low, high = paired_interval([0.003, 0.003, 0.003], 0.05, lattice=0.001)
    >>> round(float(low), 5), round(float(high), 5)
    (0.00176, 0.00424)
    """
    d = np.asarray(differences, dtype=np.float64)
    seeds = d.shape[-1]
    if seeds < 2:
        raise ValueError(f"differences has shape {d.shape}: expected at least two seeds along the last axis")
    quantile = stats.t.isf(error_rate / 2, seeds - 1 if freedom is None else freedom)
    half = quantile * np.hypot(d.std(-1, ddof=1), lattice / 2) / math.sqrt(seeds)
    mean = d.mean(-1)
    return mean - half, mean + half


@dataclass(frozen=True)
class Table:
    """The scores of all arms and seeds, averaged over the students of a run, and what they amount to.

    ``scores[arm][metric]`` holds a value a seed, None where the run diverged; the metric "lost" counts students that
    are no better than the uniform distribution. ``environment`` has the versions, processors and commits of the runs,
    ``samples`` is the number of test samples, 0 if it is not known, ``arms`` are the rows of ``scores`` with
    their orders and weights.
    """

    config: dict[str, Any]
    seeds: tuple[int, ...]
    scores: dict[str, dict[str, tuple[float | None, ...]]]
    environment: dict[str, Any] = field(default_factory=dict)
    samples: int = 0
    arms: tuple[Arm, ...] = ()

    @property
    def lattice(self) -> float:
        """The step of accuracies averaged over the students, 0 if it is not known."""
        return 1 / (self.samples * len(parse_students(self.config["students"]))) if self.samples else 0.0

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The arms whose accuracies are compared: with independent students, with KL, with KL of the same αβ."""
        arms = list(self.scores)
        out = []
        for n, reference in enumerate(REFERENCES):
            if reference in arms:
                out += [(arm, reference) for arm in arms if arm not in REFERENCES[: n + 1]]
        return (*out, *self.same_weight.items())

    @cached_property
    def same_weight(self) -> dict[str, str]:
        """The arm of order one with the weight αβ of another, and so its curvature at consensus, by the other's name.

        >>> arms = (Arm("RDML, α = 4, β = 0.5", 4.0, 0.5), Arm("KL, β = 2", 1.0, 2.0))
        >>> Table({}, (), {arm.name: {} for arm in arms}, arms=arms).same_weight
        {'RDML, α = 4, β = 0.5': 'KL, β = 2'}
        """
        weighed = {(a.beta, a.warmup): a.name for a in self.arms if a.alpha == 1 and a.name not in REFERENCES}
        others = (a for a in self.arms if a.alpha != 1 and (a.alpha * a.beta, a.warmup) in weighed)
        return {a.name: weighed[a.alpha * a.beta, a.warmup] for a in others}

    def difference(self, arm: str, against: str, metric: str, tests: int) -> tuple[float, float, float]:
        """Mean paired difference with its interval, which is Bonferroni's for so many differences (Student's t).

        The interval is the whole line where it cannot be told: of fewer than two seeds.

        >>> two = {"a": {"accuracy": (0.1, 0.2, 0.4)}, "b": {"accuracy": (0.0, 0.1, 0.3)}}
        >>> [round(v, 6) for v in Table({}, (0, 1, 2), two).difference("a", "b", "accuracy", 1)]
        [0.1, 0.1, 0.1]
        """
        d = self.differences(arm, against, metric)
        if len(d) < 2:
            return (float(d.mean()) if len(d) else math.nan, -math.inf, math.inf)
        lattice = self.lattice if "accuracy" in metric else 0.0
        low, high = paired_interval(d, ERROR_RATE / tests, lattice=lattice)
        return float(d.mean()), float(low), float(high)

    def differences(self, arm: str, against: str, metric: str) -> NDArray[np.float64]:
        """Within the seeds for which neither run diverged."""
        pairs = zip(self.scores[arm][metric], self.scores[against][metric], strict=True)
        return np.array([a - b for a, b in pairs if a is not None and b is not None], dtype=np.float64)

    def diverged(self, arm: str) -> int:
        """Of how many seeds the run diverged."""
        return sum(value is None for value in self.scores[arm]["accuracy"])

    def resolved(self, arm: str, against: str, metric: str) -> bool:
        """Whether the seeds differ at all in a difference, and none is missing because its run diverged.

        Equal ones do not show how far others would be, and those that are left were chosen by how they ended.
        """
        if self.diverged(arm) or self.diverged(against):
            return False
        d = self.differences(arm, against, metric)
        # Half a step of the lattice, or what rounding leaves of equal differences.
        return len(d) > 1 and float(np.ptp(d)) > max(self.lattice / 2, 1e-9)


REFERENCES = ("independent", "DML (KL)")
SAME_WEIGHT = "KL, same αβ"
"""The product of the row's order and weight, which is the weight of KL that acts alike at consensus."""


def read_comparison(path: Path) -> Table:
    """A comparison that :func:`compare` wrote.

    Raises
    ------
    TrainerError
        If the file cannot be read.
    """
    try:
        table = _FORM.validate_python(read_json(path, what="the table"), strict=False)
    except ValidationError as error:
        fault = error.errors()[0]
        reason = f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
        raise TrainerError(f"{path}: not a comparison that `rdml train --compare` wrote ({reason})") from None
    except ValueError as error:
        raise TrainerError(f"{error}: not a comparison that `rdml train --compare` wrote") from None
    if "students" not in table.config:
        raise TrainerError(f"{path}: not a comparison, its configuration names no students")
    config = read_config(table.config)
    parse_students(config.students)
    for arm, metrics in table.scores.items():
        if missing := _METRICS - metrics.keys():
            raise TrainerError(f"{path}: not a comparison, {arm!r} lacks {', '.join(sorted(missing))}")
        for metric, values in metrics.items():
            if len(values) != len(table.seeds) or not all(v is None or abs(v) < 1e100 for v in values):
                raise TrainerError(f"{path}: not a comparison, {metric} of {arm!r} is not a finite number per seed")
    if not table.arms:
        return replace(table, arms=_arms_of_an_old_table(table, config.beta))
    if [arm.name for arm in table.arms] != list(table.scores):
        raise TrainerError(f"{path}: not a comparison, its arms are not those that have scores")
    return table


def _arms_of_an_old_table(table: Table, weight: float) -> tuple[Arm, ...]:
    """A table of 0.2 or before holds no arms: they are those of :func:`objectives`, whose names say the orders."""
    named = re.compile(r"RDML, α = (\d+(?:\.\d+)?(?:e[+-]\d+)?|inf)(?:, β = [^,]+)?(, β rising)?")
    found = [match for name in table.scores if (match := named.fullmatch(name))]
    if not found:
        return ()
    every = objectives([float(match[1]) for match in found], weight, rising=any(match[2] for match in found))
    return tuple(arm for arm in every if arm.name in table.scores)


_FORM = TypeAdapter(Table)
_METRICS = {"accuracy", "nll", "ece", "ensemble accuracy", "lost"}


def compare(
    base: Config,
    seeds: Sequence[int],
    *,
    arms: Sequence[Arm],
    report: Report = lambda trainer, values: None,
    started: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Table:
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
        arm.name: {metric: [] for metric in ("accuracy", "nll", "ece", "ensemble accuracy", "lost")} for arm in arms
    }
    data = load_data(base.data, base.data_dir, validation=base.validation, seed=base.seed)
    hopeless = NO_BETTER * math.log(data.classes)
    environments: list[dict[str, Any]] = []
    total = len(seeds) * len(arms)
    for n, seed in enumerate(seeds):
        for m, arm in enumerate(arms):
            warmup = arm.warmup * base.epochs if arm.warmup else base.beta_warmup
            config = replace(base, alpha=arm.alpha, beta=arm.beta, beta_warmup=warmup, seed=seed)
            started(config.name, n * len(arms) + m, total)
            folder, test = _trained(config, report)
            into = scores[arm.name]
            for metric in ("accuracy", "nll", "ece"):
                own = None if test is None else float(np.mean([getattr(s, metric) for s in test[:-1]]))
                into[metric].append(own)
            into["ensemble accuracy"].append(None if test is None else test[-1].accuracy)
            into["lost"].append(None if test is None else float(sum(s.nll >= hopeless for s in test[:-1])))
            try:
                environment = read_json(folder / ENVIRONMENT, what="the environment of a run")
            except ValueError as error:
                raise TrainerError(str(error)) from None
            if environment not in environments:
                environments.append(environment)
    frozen = {arm: {metric: tuple(v) for metric, v in metrics.items()} for arm, metrics in scores.items()}
    out = Table(base.to_json(), tuple(seeds), frozen, {"runs": environments}, len(data.test), tuple(arms))
    with locked(base.out, ("comparison.json", "comparison.md")):
        write(base.out / "comparison.json", json.dumps(asdict(out), indent=1) + "\n")
        write(base.out / "comparison.md", markdown(out))
    return out


def _trained(config: Config, report: Report) -> tuple[Path, list[Scores] | None]:
    """The folder of a run, trained now or before, and its test scores with its last weights; None if it diverged.

    Only a run of this very configuration counts: one of the same name may have had other epochs or another rate.
    """
    folder = config.out / config.name

    def started(opened: Path, step: int) -> None:
        nonlocal folder
        folder = opened

    try:
        folder, resume = open_run(config, resume=True), True
    except TrainerError:
        resume = False
    if resume and (done := final_scores(folder)) is not None:
        return folder, done.test
    try:
        result = train(config, resume=resume, report=report, started=started)
    except DivergedError:
        return folder, None
    # No result in all but the first of several processes.
    return folder, None if result is None else result.test


MOST_SEEDS = 1000


def _seeds_to_resolve(table: Table, arm: str, against: str) -> int | None:
    """How many seeds would keep 0 out of the interval of a difference, if they differ as these do; None beyond 1,000.

    >>> three = {"a": {"accuracy": (0.1, 0.2, 0.4)}, "DML (KL)": {"accuracy": (0.05, 0.1, 0.45)}}
    >>> _seeds_to_resolve(Table({"students": "mlp:2"}, (0, 1, 2), three), "a", "DML (KL)")
    23
    """
    d = table.differences(arm, against, "accuracy")
    if len(d) < 2 or not d.mean():
        return None
    spread = float(np.hypot(d.std(ddof=1), table.lattice / 2))
    rate = ERROR_RATE / len(table.pairs)
    for seeds in range(2, MOST_SEEDS + 1):
        if stats.t.isf(rate / 2, seeds - 1) * spread < abs(float(d.mean())) * math.sqrt(seeds):
            return seeds
    return None


def in_words(table: Table) -> str:
    """What the table says of mutual learning: more or less accurate, or not resolved by so many seeds."""
    lines, count = [], "1 seed" if len(table.seeds) == 1 else f"{len(table.seeds)} seeds"
    words = {"independent": "independent students", "DML (KL)": "deep mutual learning (KL)", SAME_WEIGHT: SAME_WEIGHT}
    pairs: dict[str, list[tuple[str, str]]] = {name: [] for name in words}
    for arm, against in table.pairs:
        pairs[against if against in REFERENCES else SAME_WEIGHT].append((arm, against))
    for reference, compared in pairs.items():
        found: dict[str, list[str]] = {"more": [], "less": []}
        nearest: list[tuple[int, str]] = []
        for arm, against in compared:
            mean, low, high = table.difference(arm, against, "accuracy", len(table.pairs))
            shown = f"{arm} ({100 * mean:+z.2f} points)"
            if not table.resolved(arm, against, "accuracy"):
                continue  # equal for all seeds, one seed, or diverged: nothing shows how far others would be
            if low > 0 or high < 0:
                found["more" if low > 0 else "less"].append(shown)
            elif needed := _seeds_to_resolve(table, arm, against):
                nearest.append((needed, shown))
        for which, them in found.items():
            if them:
                lines.append(f"{which.capitalize()} accurate than {words[reference]}: {', '.join(them)}.")
        if rest := len(compared) - sum(map(len, found.values())):
            line = f"Not resolved by {count} against {words[reference]}: {rest} of {len(compared)} objectives"
            if nearest:
                needed, shown = min(nearest)
                line += f"; the nearest, {shown}, would take about {needed} seeds if they differ as these do"
            lines.append(line + ".")
    if gone := [f"{arm} ({n} of {count})" for arm in table.scores if (n := table.diverged(arm))]:
        lines.append(f"Diverged, and so compared with nothing: {', '.join(gone)}.")
    return "\n".join(lines)


def score_rows(table: Table) -> list[list[str]]:
    """Heading and rows of the table of scores, with their standard deviations over seeds."""
    students = len(parse_students(table.config["students"]))

    def spread(arm: str, metric: str, scale: float, digits: int) -> str:
        values = [scale * v for v in table.scores[arm][metric] if v is not None]
        if not values:
            return "diverged"
        deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
        lost = table.diverged(arm)
        return f"{np.mean(values):.{digits}f}{deviation}" + (f" ({lost} diverged)" if lost else "")

    rows = [["objective", "accuracy (%)", "ensemble (%)", "NLL (nats)", "calibration error", "lost students"]]
    for arm in table.scores:
        cells = [spread(arm, "accuracy", 100, 2), spread(arm, "ensemble accuracy", 100, 2), spread(arm, "nll", 1, 3)]
        cells.append(spread(arm, "ece", 1, 3))
        lost = sum(v or 0 for v in table.scores[arm]["lost"])
        rows.append([arm, *cells, f"{lost:g} of {students * len(table.seeds)}"])
    return rows


def difference_rows(table: Table) -> list[list[str]]:
    """Heading and rows of the table of paired differences; with asterisks where the interval is without 0."""
    arms, pairs = list(table.scores), table.pairs
    columns = [name for name in REFERENCES if any(against == name for _, against in pairs)]
    own = any(pair not in ((arm, name) for arm in arms for name in columns) for pair in pairs)
    heads = [f"− {name}" for name in columns] + ([f"− {SAME_WEIGHT}"] if own else [])
    rows = [["accuracy (points)", *heads]]
    for arm in arms:
        references = columns + ([table.same_weight.get(arm, "")] if own else [])
        cells = []
        for ref in references:
            if (arm, ref) in pairs:
                mean, low, high = (100 * v for v in table.difference(arm, ref, "accuracy", len(pairs)))
                if not table.resolved(arm, ref, "accuracy"):
                    cells.append(f"{mean:+z.2f}, not resolved")
                    continue
                mark = "**" if low > 0 or high < 0 else ""
                cells.append(f"{mark}{mean:+z.2f} [{low:+z.2f}, {high:+z.2f}]{mark}")
            else:
                cells.append("")
        if any(cells):
            rows.append([arm, *cells])
    return rows


def notes(table: Table) -> str:
    """What the numbers of the two tables are."""
    shown = any("not resolved" in cell for row in difference_rows(table) for cell in row)
    gone = ", equal for all, or runs that diverged" if any(map(table.diverged, table.scores)) else ""
    count = len(table.pairs)
    together = f"their {count} intervals hold together" if count > 1 else "the interval holds"
    return (
        f"{len(table.seeds)} seeds; ± is the standard deviation over seeds of the students' mean; a student is "
        f"lost whose NLL is at least {NO_BETTER:g} log C, C classes. Differences are within seeds; {together} with "
        f"probability {1 - ERROR_RATE:g} (Student's t{', Bonferroni' if count > 1 else ''}). Bold: without 0."
        + (f" DML (KL): β = {beta:g}." if (beta := table.config.get("beta", 1.0)) != 1 else "")
        + (f" Not resolved: one seed{gone or ', or equal for all'}." if shown else "")
    )


def markdown(table: Table) -> str:
    """Two tables: scores with their standard deviation over seeds, and paired differences with their intervals."""
    lines = []
    for rows in (score_rows(table), difference_rows(table)):
        head, *rest = (f"| {' | '.join(row)} |" for row in rows)
        lines += [head, "|" + " --- |" * len(rows[0]), *rest, ""]
    return "\n".join([*lines, notes(table)]) + "\n"
