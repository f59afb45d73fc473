"""N6: how well students generalise: reported with paired seeds, and what is judged is the intervals alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, oo

from rdml_theory.symbolic import shared_rate
from rdml_theory.symbolic.relations import equal
from verify.checks import curve, kernel_check, panel
from verify.checks.comparisons import counted
from verify.claim import Claim, Context, Control, Curve, Found, Panel, Source, Statement, check

if TYPE_CHECKING:
    from verify.trainer.comparison import Table

ORDERS = (0.5, 1.5, 2.0)

TABLE = 8
"""Seeds of a table."""

DRAWN = (3, 5, TABLE, 16)
"""Seeds of the tables of the figure."""

METRICS = {"accuracy": ("accuracy", 100.0, "points"), "nll": ("NLL", 1.0, "nats")}


@dataclass(frozen=True)
class Interval:
    """The probability with which a single interval may miss, and the degrees of freedom of its t quantile."""

    level: Expr
    freedom: Expr


TRUE = Interval(shared_rate.LEVEL, shared_rate.seeds - 1)


def statement(subject: Interval) -> Statement:
    return Statement(
        "The held-out accuracies of networks that are trained from the same {S} seeds by several objectives, and "
        "likewise their NLL, differ within seeds by amounts whose {M} intervals hold together: {bound}, u_M being 1 "
        "if one of them misses, where each is the mean ∓ s/√S times Student's quantile of {level} at {freedom} degrees "
        "of freedom. The differences themselves are reported and judged nowhere",
        {
            "S": shared_rate.seeds, "M": shared_rate.count, "bound": shared_rate.together_target().relation(),
            "level": equal(shared_rate.level, subject.level), "freedom": subject.freedom,
        },
    )  # fmt: skip


def _population(context: Context) -> dict[str, Table]:
    """The scores of every objective from many seeds, as tables, by the metric."""
    from verify.checks.training import generalise
    from verify.trainer.comparison import Table, objectives

    arms = objectives(ORDERS)
    seeds = context.pick(quick=128, full=1024)
    found = generalise(
        [(arm.alpha, arm.beta) for arm in arms], step=0.3, steps=context.pick(quick=100, full=600), batch=60,
        seeds=seeds, seed=context.seed_for("seeds"), progress=context.progress,
    )  # fmt: skip
    scores: dict[str, dict[str, tuple[float | None, ...]]] = {
        arm.name: {"accuracy": tuple(accuracy.tolist()), "nll": tuple(nll.tolist())}
        for arm, accuracy, nll in zip(arms, *found, strict=True)
    }
    return {metric: Table({}, tuple(range(seeds)), scores, arms=arms) for metric in METRICS}


def _differences(table: Table, metric: str) -> NDArray[np.float64]:
    """Of all compared pairs and seeds, (M, seeds)."""
    scores = {arm: np.array(values[metric], dtype=np.float64) for arm, values in table.scores.items()}
    return np.stack([scores[arm] - scores[reference] for arm, reference in table.pairs])


def _interval(subject: Interval, d: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of the differences (M, ..., S), as the trainer's tables have them."""
    from verify.trainer.comparison import ERROR_RATE, paired_interval

    level: Any = subject.level.subs({shared_rate.rate: ERROR_RATE, shared_rate.count: len(d)})
    freedom: Any = subject.freedom.subs(shared_rate.seeds, d.shape[-1])
    return paired_interval(d, float(level), float(freedom))


def _missed(subject: Interval, d: NDArray[np.float64], seeds: int, tables: int, context: Context) -> NDArray[np.bool_]:
    """Whether some interval misses, for tables whose seeds are drawn independently from those trained."""
    truth = d.mean(1)
    random = context.rng("tables", seeds)
    out = []
    for _ in range(tables // 1000):
        rows = random.integers(0, d.shape[1], (1000, seeds))
        # Seeds before tables in memory: NumPy reduces fastest over an axis that is not the last.
        low, high = _interval(subject, np.moveaxis(d.take(rows.T, axis=1), 1, -1))
        out.append(((truth[:, None] < low) | (truth[:, None] > high)).any(0))
    return np.concatenate(out)


QUESTION = f"Do all intervals of a table of {TABLE} seeds hold as often as stated?"


@check("monte-carlo", question=QUESTION, tests=len(METRICS), cost=8.0)
def coverage(subject: Interval, context: Context) -> Found:
    from verify.trainer.comparison import ERROR_RATE

    tables = context.shared(_population, context)
    number = context.pick(quick=40_000, full=200_000)
    shares: list[float] = []
    for metric, (name, _, _) in METRICS.items():
        d = _differences(tables[metric], metric)
        missed = _missed(subject, d, TABLE, number, context)
        words = f"tables of {TABLE} seeds with an interval that misses, {name}"
        yield counted(words, int(missed.sum()), len(missed), ERROR_RATE, context.error_rate)
        if metric == "accuracy":
            few = number // 4
            shares = [float(_missed(subject, d, seeds, few, context).mean()) for seeds in DRAWN]
    most, where = max(zip(shares, DRAWN, strict=True))
    false = (float(where), most, ERROR_RATE) if most > 1.5 * ERROR_RATE else None
    yield from _report(subject, tables)
    yield panel(
        "tables with an interval that misses", "seeds $S$", "share of the tables",
        curve("stated at most", DRAWN, ERROR_RATE, "reference"),
        curve(
            f"intervals as stated (of {DRAWN[0]} seeds, some have no width)", DRAWN, shares, "statement", style="both",
            contradicted=false,
        ), log="y",
    )  # fmt: skip


def _report(subject: Interval, tables: dict[str, Table]) -> Iterator[Panel]:
    """What one table of the first seeds says of each objective, beside the mean over all seeds."""
    from verify.trainer.comparison import objectives

    arms = objectives(ORDERS)
    alphas = {arm.name: arm.alpha for arm in arms if arm.beta == 1}
    weights = {arm.name: arm.beta for arm in arms if arm.alpha == 1 and arm.beta}
    for metric, (name, scale, unit) in METRICS.items():
        table, d = tables[metric], scale * _differences(tables[metric], metric)
        low, high = _interval(subject, d[:, :TABLE])

        def rows(
            at: dict[str, float], role: Literal["measured", "second"], label: str, table: Table = table, d: Any = d,
            low: Any = low, high: Any = high,
        ) -> Curve:  # fmt: skip
            """The rows that have a place against independent training, from the least order or weight."""
            found = [(at[arm], n) for n, (arm, other) in enumerate(table.pairs) if other == "independent" and arm in at]
            x, chosen = map(list, zip(*sorted(found), strict=True))
            mean = d[chosen, :TABLE].mean(1)
            return curve(label, x, mean, role, band=(low[chosen], high[chosen]), style="both")

        labels = (f"held-out {name}", r"order $\alpha$ or weight $\beta$", f"difference from independent ({unit})")
        measured = (
            rows(alphas, "measured", r"order $\alpha$, $\beta = 1$"), rows(weights, "second", r"KL, weight $\beta$"),
        )  # fmt: skip
        alone = curve("independent training", (0.5, 2.0), 0.0, "reference")
        yield panel(*labels, alone, *measured, log="")


CLAIM = Claim(
    id="N6",
    title="Generalisation of networks",
    message="Whether mutual learning helps, with intervals that hold together",
    meaning=(
        "Held-out accuracy and likelihood of mutual learning are compared with those of independent training, seed by "
        "seed, and one chance of error covers the whole table. What the comparison says is reported and not judged."
    ),
    matters=(
        "The paper says that it improves generalisation, which theory here does not prove, so that only a "
        "measurement can speak."
    ),
    direction="upper bound",
    subject=TRUE,
    statement=statement,
    assumptions=(
        *shared_rate.ASSUMPTIONS,
        "the seeds are independent; a seed fixes starting weights and batches for all objectives",
        "Student's law is exact for normal differences: how far it holds for networks is what the check measures",
        "objectives: independent, KL with β in {½, 1, 1.5, 2}, orders {½, 1.5, 2} with β = 1; each against independent "
        "and against KL, and each order against KL of the same αβ: 16 differences, ε = 5%",
        "experiment: the networks and the digits of N1 to N5, trained from all seeds at once in single precision, by "
        "mini-batches of 60 and the trainer's update",
    ),
    source=Source("Student 1908 and Bonferroni 1936; the objectives are those of Huang et al. 2023", "2209.05732"),
    checks=(kernel_check(lambda subject: shared_rate.shared_rate(subject.level)), coverage),
    controls=(
        Control(
            "uncorrected", "each interval has the rate of the table", Interval(shared_rate.rate, TRUE.freedom),
            drawn=True,
        ),
        Control("normal", "normal quantiles in place of Student's", Interval(TRUE.level, oo), drawn=True),
    ),
    caption=(
        "Left and middle: held-out accuracy and NLL of networks trained by mutual learning, less those of independent "
        "training, within 8 seeds, with intervals that hold together; reported, not judged. Right: how often a table "
        "of a few seeds, drawn from all seeds trained, has an interval that misses the mean over all; what is judged "
        f"is tables of {TABLE} seeds. With {DRAWN[0]}, all may differ by the same number of samples: an interval "
        "without width, which misses."
    ),
    in_code="verify.trainer.train",
)  # fmt: skip
