"""How often a student of MNIST-1D is lost in its first epochs, by order and weight, and what of it dies.

    python benchmarks/measure_lost_students.py [--seeds 16] [--epochs 6] [--json FILE]

Two 1-D CNNs as in the table of objectives (`rdml train --config mnist1d_table`), stopped after the first epochs of 200.
A student is lost whose cross-entropy on all training samples is at least 0.99 log C; it is dead if at most one of its
last hidden units is above zero on any training sample. Beside orders and weights: a weight that
rises, and rectifiers with a slope below zero, which cannot die.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from verify import trainer as trainer_package
from verify.environment import commit, processor, versions
from verify.trainer.comparison import NO_BETTER
from verify.trainer.config import read_config
from verify.trainer.networks import CNN
from verify.trainer.trainer import Trainer

MOST_ALIVE = 1
"""Hidden units that are above zero somewhere in a student that counts as dead."""


@dataclass(frozen=True)
class Arm:
    """An objective, and what else is changed."""

    name: str
    alpha: float
    beta: float
    warmup: float = 0.0
    slope: float = 0.0


ARMS = (
    Arm("alone", 1.0, 0.0),
    Arm("α = 1, β = 1", 1.0, 1.0),
    Arm("α = 2, β = 1/2", 2.0, 0.5),
    Arm("α = 1, β = 2", 1.0, 2.0),
    Arm("α = 2, β = 1", 2.0, 1.0),
    Arm("α = 4, β = 1/2", 4.0, 0.5),
    Arm("α = 1, β = 4", 1.0, 4.0),
    Arm("α = 2, β = 2", 2.0, 2.0),
    Arm("α = 4, β = 1", 4.0, 1.0),
    Arm("α = 2, β = 2, rising over 5 epochs", 2.0, 2.0, warmup=5.0),
    Arm("α = 2, β = 2, slope 0.1 below zero", 2.0, 2.0, slope=0.1),
)


def run(arm: Arm, seed: int, epochs: int) -> dict[str, Any]:
    """The students' cross-entropies, hidden units alive, and the greatest mutual loss over its weight in a step."""
    table = read_config(Path(str(trainer_package.__file__)).parent / "recipes" / "mnist1d_table.toml")
    config = replace(table, alpha=arm.alpha, beta=arm.beta, beta_warmup=arm.warmup, seed=seed)
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


def main() -> None:
    """Run all arms, seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    began = time.process_time()
    hopeless = NO_BETTER * math.log(10)
    runs: dict[str, list[dict[str, Any]]] = {}
    rows = []
    for arm in ARMS:
        found = runs[arm.name] = [run(arm, seed, options.epochs) for seed in range(options.seeds)]
        both = [(loss, alive) for r in found for loss, alive in zip(r["losses"], r["alive"], strict=True)]
        lost = [alive for loss, alive in both if not loss < hopeless]
        dead = sum(alive <= MOST_ALIVE for alive in lost)
        rows.append({**asdict(arm), "students": len(both), "lost": len(lost), "dead": dead})
        print(f"{arm.name:40} lost {len(lost):3} of {len(both)}, of them dead {dead}", flush=True)
    if options.json is not None:
        document = {
            "command": f"python benchmarks/measure_lost_students.py --seeds {options.seeds} --epochs {options.epochs}",
            "seconds": round(time.process_time() - began, 1), "versions": versions(), "commit": commit(),
            "processor": processor(), "summary": rows, "runs": runs,
        }  # fmt: skip
        options.json.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
