"""How often a student of MNIST-1D is lost in its first epochs, by order and weight, and what of it dies.

    python benchmarks/measure_lost_students.py [--seeds 8] [--epochs 6] [--json FILE]
    python benchmarks/measure_lost_students.py --trace 2 [--json FILE]

Two 1-D CNNs as in the table of objectives (`rdml train --config mnist1d_table`), stopped after the first epochs of 200.
A student is lost whose cross-entropy on all training samples is at least 0.99 log C. A hidden unit of the last layer,
of 125, is alive if it is above zero on some training sample. Beside orders and weights: a weight that rises, and
rectifiers with a slope below zero, which cannot die.

The second form follows the first 46 steps at α = 2, β = 1 with one seed: λ, the greatest eigenvalue of E Jᵀ Cov_q J on
1500 samples, mean of both students, by power iteration; ηλ(1 + 2αβ) over the limit of Nesterov's momentum,
(2 + 2μ)/(1 + 2μ) (claim X3); and the difference between the students' logits: its norm, and its cosine with that of the
step before.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import record
import torch
from torch import nn
from torch.func import functional_call, jvp, vjp

from verify import trainer as trainer_package
from verify.trainer.comparison import NO_BETTER
from verify.trainer.config import read_config
from verify.trainer.networks import CNN
from verify.trainer.trainer import Trainer

RECIPE = Path(str(trainer_package.__file__)).parent / "recipes" / "mnist1d_table.toml"


@dataclass(frozen=True)
class Arm:
    """An objective, and what else is changed."""

    name: str
    alpha: float
    beta: float
    warmup: float = 0.0
    slope: float = 0.0


ARMS = (
    Arm("α = 2, β = 1", 2.0, 1.0),
    Arm("α = 1, β = 2", 1.0, 2.0),
    Arm("α = 2, β = 2", 2.0, 2.0),
    Arm("α = 2, β = 2, slope 0.1 below zero", 2.0, 2.0, slope=0.1),
    Arm("α = 1, β = 1", 1.0, 1.0),
    Arm("α = 2, β = 2, rising over 5 epochs", 2.0, 2.0, warmup=5.0),
    Arm("α = 1, β = 4", 1.0, 4.0),
    Arm("alone", 1.0, 0.0),
    Arm("α = 2, β = 1/2", 2.0, 0.5),
)


def run(arm: Arm, seed: int, epochs: int) -> dict[str, Any]:
    """The students' cross-entropies, hidden units alive, and the greatest mutual loss over its weight in a step."""
    config = replace(read_config(RECIPE), alpha=arm.alpha, beta=arm.beta, beta_warmup=arm.warmup, seed=seed)
    trainer = Trainer(config)
    if arm.slope:
        for student in trainer.students:
            for name, layer in list(student.named_children()):
                if isinstance(layer, nn.ReLU):
                    setattr(student, name, nn.LeakyReLU(arm.slope))
    apart = 0.0
    for _ in range(epochs):
        for _ in range(trainer.per_epoch):
            trainer.step()
        weight = trainer.cohort.objective.weight(trainer.number - 1)
        if weight:
            apart = max(apart, float(trainer.history[:, 1].max()) / weight)
    x, y = trainer.data.prepare(trainer.data.train.x), trainer.data.train.y
    losses, alive = [], []
    with torch.no_grad():
        for student in trainer.students:
            assert isinstance(student, CNN)
            *body, last = student.children()
            features = nn.Sequential(*body)(x)
            losses.append(float(nn.functional.cross_entropy(last(features), y)))
            alive.append(int((features > 0).any(0).sum()))
    return {"seed": seed, "losses": losses, "alive": alive, "greatest divergence": apart}


def _curvature(student: nn.Module, x: torch.Tensor, way: list[torch.Tensor] | None) -> tuple[float, list[torch.Tensor]]:
    """The greatest eigenvalue of E Jᵀ Cov_q J, and its direction, from that of the step before."""
    names = [name for name, _ in student.named_parameters()]
    parameters = [part.detach() for part in student.parameters()]

    def logits(*values: torch.Tensor) -> torch.Tensor:
        return functional_call(student, dict(zip(names, values, strict=True)), (x,))

    found: Any = vjp(logits, *parameters)
    q, back, size = found[0].softmax(1), found[1], 0.0
    v = way or [torch.randn_like(part) for part in parameters]
    for _ in range(8 if way else 30):
        norm = torch.stack([part.square().sum() for part in v]).sum().sqrt()
        v = [part / norm for part in v]
        u = jvp(logits, tuple(parameters), tuple(v))[1]
        v = list(back(q * (u - (q * u).sum(1, keepdim=True)) / len(x)))
        size = float(torch.stack([part.square().sum() for part in v]).sum().sqrt())
    return size, v


def trace(seed: int, steps: int = 46) -> list[dict[str, float]]:
    """Curvature and disagreement before each step at α = 2, β = 1."""
    table = read_config(RECIPE)
    trainer = Trainer(replace(table, alpha=2.0, beta=1.0, seed=seed))
    x, rows = trainer.data.prepare(trainer.data.train.x[:1500]), []
    limit = (2 + 2 * table.momentum) / (1 + 2 * table.momentum) / (1 + 2 * 2.0)
    ways: list[Any] = [None, None]
    before = None
    for step in range(steps):
        sizes = []
        for k, student in enumerate(trainer.students):
            size, ways[k] = _curvature(student, x, ways[k])
            sizes.append(size)
        with torch.no_grad():
            apart = trainer.students[0](x) - trainer.students[1](x)
        mean = sum(sizes) / 2
        row = {"step": step, "curvature": mean, "over the limit": trainer.cohort.rate(step) * mean / limit}
        row |= {"apart": float(apart.norm())}
        if before is not None:
            row["cosine"] = float((apart * before).sum() / apart.norm() / before.norm())
        rows.append(row)
        print("  ".join(f"{name} {value:.3g}" for name, value in row.items()), flush=True)
        before = apart
        trainer.step()
    return rows


def summary(runs: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """For each arm how many students are lost, and how many hidden units of theirs are alive."""
    rows: list[dict[str, Any]] = []
    for arm in ARMS:
        if arm.name in runs:
            pairs = [pair for r in runs[arm.name] for pair in zip(r["losses"], r["alive"], strict=True)]
            lost = [alive for loss, alive in pairs if not loss < NO_BETTER * math.log(10)]
            least = min((alive for loss, alive in pairs if loss < NO_BETTER * math.log(10)), default=None)
            rows.append({**asdict(arm), "students": len(pairs), "alive in the lost": lost, "least alive else": least})
    return rows


def measured(seeds: int, epochs: int) -> Iterator[dict[str, Any]]:
    """The runs, as arm after arm is done, and their summary."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for arm in ARMS:
        runs[arm.name] = [run(arm, seed, epochs) for seed in range(seeds)]
        row = summary(runs)[-1]
        print(f"{arm.name:40} of {row['students']} lost: units alive {row['alive in the lost']}", flush=True)
        yield {"summary": summary(runs), "runs": runs}


def main() -> None:
    """Run all arms, or follow one run; what is done is written after each arm."""
    parser = record.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--trace", type=int, metavar="SEED")
    options = parser.parse_args()
    began = time.process_time()
    if options.trace is None:
        command, results = f"--seeds {options.seeds} --epochs {options.epochs}", measured(options.seeds, options.epochs)
    else:
        command, results = f"--trace {options.trace}", iter([{"trace": trace(options.trace)}])
    for found in results:
        document = {
            "command": f"python benchmarks/measure_lost_students.py {command}",
            "seconds": round(time.process_time() - began, 1), **record.where(), **found,
        }  # fmt: skip
        record.keep(options.json, document)


if __name__ == "__main__":
    main()
