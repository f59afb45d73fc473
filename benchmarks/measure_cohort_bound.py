"""What students of the library's games have of X1's bound: A² over it, with more and more known of the run.

    python benchmarks/measure_cohort_bound.py [--json FILE]

All games, orders and steps of claim X1. At first V = 2, Δ is the first loss, and Λ and G hold for all weights. A run
shows ρ and the mean divergence D, by how much the loss has fallen, which is Δ then, and both for each input, peer and
step. Small networks are trained a second time with a longer step, with constants certified on the box of each step:
first the greatest of all, and then those of each step apart. A run without noise with Λ_t and ζ_t at each step obeys

    Σ_t [(1 - h_t/2) a_t² - |1 - h_t| ζ_t a_t - (h_t/2) ζ_t²] ≤ Δ/η,  a_t = ‖∇L(θ_t)‖, h_t = Λ_t η,

(the descent lemma), so that Σ a_t² is at most the greatest under this, which every multiplier λ > 1/(1 - h_t/2) bounds.
The last column is no bound: it has E‖q - w‖² as measured in the place of V.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import record
from numpy.typing import NDArray

from convergence import Assumptions, MutualLearning, Observed, box_constants, cohort_bound, sharp_bound, simulate
from rdml_theory import renyi_divergence, renyi_gradient
from verify.claims.x1_composed import BOXED_STEP, GAMES, ORDERS, STEPS, H

Array = NDArray[np.float64]

COLUMNS = (
    "V = 2", "ρ and D", "and the fall of L", "and D of each input", "and Λ of each step", "and G of each step",
    "V as measured",
)  # fmt: skip
"""What is known of the run."""
AT_REST = Assumptions(smoothness=1, gap=0, noise=0, bias=0)
"""At h = 1 the bound is then ζ²."""
BOXED = {"two-layer students", "networks, digits"}


def each_step(gap: float, step: float, h: Array, zeta: Array) -> float:
    """The least bound of the mean of a_t² that a multiplier gives, on a fine grid of them."""
    room, away = 1 - h / 2, np.abs(1 - h) * zeta
    multipliers = (1 + np.geomspace(1e-9, 1e6, 4000))[:, None] / room.min()
    excess = (multipliers * away) ** 2 / (4 * (multipliers * room - 1)) + multipliers * h / 2 * zeta**2
    return float((excess.sum(axis=1) + multipliers[:, 0] * gap / step).min()) / len(h)


def _run(game: MutualLearning, step: float, steps: int) -> tuple[Array, Array, Array]:
    """The iterates, ‖∇L‖² (step, student), and ρ, D and ‖q - w‖² (quantity, step, student, peer and input)."""
    path: list[Array] = []
    base: list[Array] = []
    pairs: list[Array] = []

    def see(seen: Observed) -> None:
        x = seen.x[0].copy()
        path.append(x)
        if seen.sample is not None:
            base.append(game.squares(seen.gradient[0]))
            z = game.logits(x)
            pairs.append(np.array([np.concatenate([_apart(u, own, game.alpha) for u in z], 1) for own in z]))

    simulate(game, step=step, steps=steps, replicas=1, seed=0, record=1, observe=see)
    return np.array(path), np.array(base), np.moveaxis(np.array(pairs), 2, 0)


def _apart(u: Array, z: Array, alpha: float) -> Array:
    """ρ, D and ‖q - w‖² of each input; nothing of a student and itself."""
    if u is z:
        return np.zeros((3, 0))
    pull = renyi_gradient(u, z, alpha, wrt="q", domain="logits")
    return np.array([np.ptp(u - z, axis=1), renyi_divergence(u, z, alpha, domain="logits"), (pull**2).sum(axis=1)])


def measure(name: str, alpha: float, *, boxed: bool) -> list[list[float]]:
    """A² over each bound, by the student and column."""
    game = MutualLearning(alpha=alpha, **GAMES[name])
    steps = 12 if boxed else STEPS.get(name, 60)
    step = BOXED_STEP if boxed else H / game.smoothness
    path, base, (spread, mean, pull) = _run(game, step, steps)
    first, last = game.base_losses(path[[0, -1]])
    smoothness, jacobian = (np.tile(of, (steps, 1)) for of in (game.student_smoothness, game.student_jacobian))
    if boxed:
        boxes = [box_constants(game, ends.min(axis=0), ends.max(axis=0)) for ends in np.stack([path[:-1], path[1:]], 1)]
        smoothness, jacobian = (np.array([getattr(box, of) for box in boxes]) for of in ("smoothness", "jacobian"))
    rows = []
    for k in range(game.students):
        known = {"alpha": alpha, "beta": game.beta, "jacobian": (size := jacobian[:, k].max())}
        fall = max(float(first[k] - last[k]), 0.0)
        start = Assumptions(smoothness=smoothness[:, k].max(), gap=float(first[k]), noise=0, bias=0)
        fallen = replace(start, gap=fall)
        seen = {"log_ratio_range": spread[:, k].max(), "divergence": mean[:, k].mean()}
        inputs = {"log_ratio_range": spread[:, k], "divergence": mean[:, k]}
        steps_of = [{name: values[t] for name, values in inputs.items()} for t in range(steps)]
        zeta = np.sqrt([cohort_bound(AT_REST, 1, 1, **known, **of).total for of in steps_of])
        measured = replace(fallen, bias=float((game.beta * size) ** 2 * pull[:, k].mean()))
        bounds = [
            cohort_bound(start, step, steps, **known).total,
            cohort_bound(start, step, steps, **known, **seen).total,
            cohort_bound(fallen, step, steps, **known, **seen).total,
            cohort_bound(fallen, step, steps, **known, **inputs).total,
            each_step(fall, step, smoothness[:, k] * step, zeta),
            each_step(fall, step, smoothness[:, k] * step, zeta * jacobian[:, k] / size),
            sharp_bound(measured, step, steps).total,
        ]
        rows.append([float(f"{base[:, k].mean() / bound:.3g}") for bound in bounds])
    return rows


def markdown(record: dict[str, Any]) -> str:
    """The table of the page on bounds."""
    lines = ["| A² over the bound | α | " + " | ".join(COLUMNS) + " |", "| --- " * (len(COLUMNS) + 2) + "|"]
    for row in record["rows"]:
        cells = (", ".join(f"{value:.2g}" for value in column) for column in zip(*row["students"], strict=True))
        name = row["game"] + (", on boxes" if row["boxed"] else "")
        lines.append(f"| {name} | {row['alpha']:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    options = record.parser(__doc__).parse_args()
    began, rows = time.process_time(), []
    for boxed in (False, True):
        for name in GAMES:
            for alpha in ORDERS if name in BOXED or not boxed else ():
                students = measure(name, alpha, boxed=boxed)
                rows.append({"game": name, "alpha": alpha, "boxed": boxed, "students": students})
    document = {
        "command": "python benchmarks/measure_cohort_bound.py", "rows": rows,
        "seconds": round(time.process_time() - began, 1), **record.where(),
    }  # fmt: skip
    record.keep(options.json, document)
    print(markdown(document))


if __name__ == "__main__":
    main()
