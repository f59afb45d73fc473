"""The gain law (claim G1) as held-out risk on real data: what students of split samples gain, over what the law says.

    python benchmarks/measure_gain_law.py [--json FILE] [--data-dir FOLDER]

Four softmax students, linear in p principal components, each with n samples of its own, who compare predictions on all
4n, at rest. The law's factor holds to leading order as n → ∞ for such students whether or not the model is true: their
Hessian H has no labels in it, so that comparison near agreement has the Hessian αH, too. In place of d/2n for a
student alone stands T/2n with T = tr H⁻¹S, S the covariance of the gradients of samples. So mutual learning lowers
the held-out NLL by (T/2n)(1 - g), g the law's factor, and one student with all 4n samples by (T/2n)(1 - 1/4).

Both sides are measured on random splits: the left one on samples held out, T at the minimum of all 4n training samples.
Splits without replacement change both sides by the same factor. The principal components are those of all samples,
the same in every split, labels unseen. Intervals of ratios of means over splits are Student's, by linearisation, and
hold together with probability 95%, conditionally on the data set. Where a student alone has no minimum, as its
samples are separable, a row has no numbers. A record of the same command that was left is gone on with.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import record
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from convergence import find_stationary
from convergence.problems.mutual_learning import MutualLearning
from rdml_theory.symbolic import notation
from rdml_theory.symbolic.mutual import gain
from rdml_theory.symbolic.mutual.plateau import beta
from verify.checks import function_of
from verify.checks.samples import settle
from verify.trainer.comparison import paired_interval
from verify.trainer.files import read_idx_folder

Array = NDArray[np.float64]

STUDENTS, HELD = 4, 10_000
PAIRS = {
    f"α = {a:g}, β = {b:g}": (a, b)
    for a, b in ((1.0, 0.25), (0.25, 4.0), (1.0, 1.0), (4.0, 0.25), (16.0, 0.0625), (1.0, 4.0))
}
"""(α, β), by αβ."""
POOLED = "one student, all samples"
RATE = 0.05
TOLERANCE = 1e-4
"""Of a student's whole gradient at rest over its mutual part."""

_LAW = function_of(gain.GAIN, notation.alpha, beta, gain.students, gain.lone)


@dataclass(frozen=True)
class Setting:
    """Data, how many components, how many samples for each student, how many splits; whether students learn together.

    Otherwise only one student with all samples stands against students alone.
    """

    data: str
    components: int
    size: int
    splits: int
    together: bool = True


SETTINGS = (
    *(Setting("digits, odd or even", p, 300, s) for p, s in ((2, 40), (4, 40), (8, 40), (16, 24))),
    *(Setting("Fashion-MNIST, odd or even", 8, n, s) for n, s in ((300, 24), (1200, 24), (4800, 8))),
    *(Setting("digits, ten classes", p, 300, 24, together=False) for p in (2, 4)),
)


def arms() -> dict[str, float]:
    """What is measured, and what part of T/2n the law says that it gains over a student alone."""
    pairs = {name: 1 - float(_LAW(*pair, float(STUDENTS), 1.0)) for name, pair in PAIRS.items()}
    return pairs | {POOLED: 1 - 1 / STUDENTS}


def _data(setting: Setting, folder: Path) -> tuple[Array, NDArray[np.int64]]:
    if setting.data.startswith("digits"):
        x, y = load_digits(return_X_y=True)
    else:
        images, y = read_idx_folder(folder)[:2]
        x = images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(len(images), -1)
    y = y % 2 if "odd" in setting.data else y
    x = x - x.mean(axis=0)
    main = np.linalg.eigh(x.T @ x)[1][:, ::-1][:, : setting.components]
    scores = x @ main
    return scores / scores.std(axis=0), np.asarray(y, dtype=np.int64)


def _minimum(game: MutualLearning) -> Array | None:
    """Where one student is best, by Newton's method; None if there is no such place."""
    x, loss = game.start, float(game.value(game.start))
    for _ in range(60):
        slope = game.gradient(x)
        if np.abs(slope).max() < 1e-9:
            return x
        step, part = np.linalg.pinv(game.jacobian(x), rcond=1e-12, hermitian=True) @ slope, 1.0
        while part > 1e-6 and not float(game.value(x - part * step)) <= loss:
            part /= 2
        x = x - part * step
        loss = float(game.value(x))
        if np.abs(x).max() > 1e3:
            return None
    return None


def _sandwich(game: MutualLearning, x: Array) -> float:
    """T = tr H⁻¹S at the minimum x of one student."""
    logits = game.logits(x)[0]
    q = np.exp(logits - logits.max(axis=1, keepdims=True))
    errors = q / q.sum(axis=1, keepdims=True) - game.targets.T
    slopes = (game.inputs[0][:, :, None] * errors[:, None]).reshape(game.samples, -1)
    covariance = slopes.T @ slopes / game.samples
    return float(np.trace(np.linalg.pinv(game.jacobian(x), rcond=1e-9, hermitian=True) @ covariance))


def _rest(game: MutualLearning, start: Array) -> Array:
    """Where students are at rest: by Newton's method with the Jacobian kept, else by damped steps from the start."""
    settled = settle(game, start[None], np.linalg.pinv(game.jacobian(start), rcond=1e-9)).x[0]
    for at, iterations in ((settled, 0), (start, 300)):
        if np.isfinite(at).all():
            rest = find_stationary(game, at, tolerance=TOLERANCE, iterations=iterations)
            if (rest.residual <= TOLERANCE * rest.mutual).all():
                return rest.x
    raise RuntimeError(f"students are not at rest at α = {game.alpha}, β = {game.beta}")


def split(setting: Setting, x: Array, y: NDArray[np.int64], seed: int) -> dict[str, float] | None:
    """T, and mean held-out NLLs in nats: of students alone, together, and of one with all samples."""
    rows = np.random.default_rng(seed).permutation(len(y))
    count = STUDENTS * setting.size
    trained, held = rows[:count], rows[count:][:HELD]
    features, labels = x[trained], y[trained]
    test = MutualLearning([x[held]] * STUDENTS, y[held], beta=0.0)
    pool = MutualLearning([features], labels, beta=0.0)
    owns = [MutualLearning([features[k::STUDENTS]], labels[k::STUDENTS], beta=0.0) for k in range(STUDENTS)]
    found, alone = _minimum(pool), [_minimum(game) for game in owns]
    best = [part for part in alone if part is not None]
    if found is None or len(best) < STUDENTS:
        return None

    def nll(parts: Any) -> float:
        return float(test.base_losses(np.concatenate(list(parts))).mean())

    own = np.zeros((STUDENTS, count))
    for k in range(STUDENTS):
        own[k, k::STUDENTS] = STUDENTS
    together = MutualLearning([features] * STUDENTS, labels, weights=own)
    out = {"T": _sandwich(pool, found), "alone": nll(best)}
    mean = np.mean(best, axis=0)
    for name, (alpha, weight) in PAIRS.items() if setting.together else ():
        shrunk = 1 + alpha * weight * STUDENTS / (STUDENTS - 1)
        start = np.concatenate([mean + (part - mean) / shrunk for part in best])
        out[name] = nll([_rest(together.replaced(alpha=alpha, beta=weight), start)])
    out[POOLED] = nll([found] * STUDENTS)
    return out


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ratios of measured gains to the law's, and to that of pooling, with intervals that hold together."""
    whole = [r for r in runs if all(s is not None for s in r["splits"])]
    measured = [len(r["splits"][0].keys() & arms().keys()) for r in whole]
    share = RATE / max(1, sum(2 * count - 1 for count in measured))
    rows = []
    for r in runs:
        row: dict[str, Any] = {**r["setting"], "without a minimum": sum(s is None for s in r["splits"])}
        rows.append(row)
        if r not in whole:
            continue
        values = {name: np.array([s[name] for s in r["splits"]]) for name in r["splits"][0]}
        scale, pooling = values["T"] / (2 * r["setting"]["size"]), values["alone"] - values[POOLED]
        row |= {"T": values["T"].mean(), "alone": values["alone"].mean()}
        for name, part in ((name, part) for name, part in arms().items() if name in values):
            won = values["alone"] - values[name]
            row[name] = {"gain": won.mean(), "law": part * scale.mean(), "over law": _ratio(won, part * scale, share)}
            if name != POOLED:
                row[name] |= {"of pooling": _ratio(won, pooling, share), "law of pooling": part / (1 - 1 / STUDENTS)}
    return rows


def _ratio(over: Array, under: Array, share: float) -> list[float]:
    """The ratio of means, and its interval by linearisation."""
    ratio = over.mean() / under.mean()
    low, high = paired_interval((over - ratio * under) / under.mean(), share)
    return [float(ratio), float(ratio + low), float(ratio + high)]


def markdown(document: dict[str, Any]) -> str:
    """Measured gains over the law's, then the parts of the gain of pooling."""
    tables = []
    for kind, title, names in (
        ("over law", "measured gain over the law's", list(arms())),
        ("of pooling", f"gain over that of {POOLED}", list(PAIRS)),
    ):
        lines = [f"| {title} | p | n | {' | '.join(names)} |", "|" + " --- |" * (len(names) + 3)]
        if kind == "of pooling":
            law = (f"{arms()[name] / arms()[POOLED]:.3f}" for name in names)
            lines.append(f"| **the law** | | | {' | '.join(law)} |")
        for row in document["summary"]:
            found = [row[name][kind] if name in row else None for name in names]
            cells = ["{:.2f} ({:.2f} to {:.2f})".format(*ends).replace("-", "−") if ends else "" for ends in found]
            if row["without a minimum"] and kind == "over law":
                cells[-1] = f"no minimum in {row['without a minimum']} of {row['splits']} splits"
            if any(cells):
                lines.append(f"| {row['data']} | {row['components']} | {row['size']} | {' | '.join(cells)} |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def main() -> None:
    """Run all settings; what is done is written after each."""
    parser = record.parser(__doc__)
    parser.add_argument("--data-dir", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    options = parser.parse_args()
    began, before = time.process_time(), 0.0
    runs: list[dict[str, Any]] = []
    if done := record.left(options.json):
        runs, before = done["runs"], done["seconds"]
    for setting in SETTINGS:
        if asdict(setting) in [r["setting"] for r in runs]:
            continue
        x, y = _data(setting, options.data_dir)
        runs.append({"setting": asdict(setting), "splits": [split(setting, x, y, s) for s in range(setting.splits)]})
        print(json.dumps(summary(runs)[-1], ensure_ascii=False), flush=True)
        document = {
            "command": "python benchmarks/measure_gain_law.py",
            "seconds": round(before + time.process_time() - began, 1), "rate": RATE, **record.where(),
            "summary": summary(runs), "runs": runs,
        }  # fmt: skip
        record.keep(options.json, document)


if __name__ == "__main__":
    main()
