"""What a wrong peer does to good students on handwritten digits, by the order at αβ = 1; and what good peers give.

    python benchmarks/measure_wrong_peer.py [--seeds 8] [--steps 200] [--json FILE]

Three linear softmax students, each with a third of 1197 of scikit-learn's digits as its own sample, who compare their
predictions on all 1197; 600 digits are held out. With the three, in half of the arms, a frozen peer that is confidently
wrong: it gives the digit after the true one six units of log-odds more than each other. Full gradients with momentum
0.9, all students at once, each arm with the step that its curvature allows and as many steps as make the same time ηT.
Seeds choose the split and are the same for all arms; the intervals of the differences from students alone are
Student's, and hold together for all arms and both metrics with probability 95%.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from convergence import MutualLearning
from verify.environment import commit, processor, versions
from verify.trainer.comparison import paired_interval

Array = NDArray[np.float64]

GOOD, TRAINED, CLASSES, FIRM = 3, 1197, 10, 6.0
ORDERS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
ARMS = (
    ("alone", 1.0, 0.0, False),
    *((f"α = {a:g}", a, 1 / a, False) for a in ORDERS),
    ("KL, β = 1/16", 1.0, 1 / 16, False),
    *((f"α = {a:g}, wrong peer", a, 1 / a, True) for a in ORDERS),
    ("KL, β = 1/16, wrong peer", 1.0, 1 / 16, True),
)
RATE = 0.05


def run(seed: int, order: float, beta: float, wrong: bool, steps: int) -> tuple[float, float]:
    """Held-out accuracy and NLL in nats, means over the good students."""
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels - 8.0) / 16.0
    rows = np.random.default_rng(seed).permutation(len(labels))
    trained, held = rows[:TRAINED], rows[TRAINED:]
    own = np.zeros((GOOD + wrong, TRAINED))
    for k in range(GOOD):
        own[k, k::GOOD] = GOOD
    features = [pixels[trained]] * GOOD
    if wrong:
        features.append(np.eye(CLASSES)[(labels[trained] + 1) % CLASSES])
    game = MutualLearning(features, labels[trained], order=order, beta=beta, weights=own)
    x = game.start.copy()
    if wrong:
        frozen = np.zeros((CLASSES + 1, CLASSES))
        frozen[:CLASSES] = FIRM * np.eye(CLASSES)
        x[game.players[-1]] = frozen.ravel()
    moving = np.ones(game.dim)
    if wrong:
        moving[game.players[-1]] = 0.0
    curved = 1 + beta * max(1.0, order)
    step = 1 / (max(game.student_smoothness[:GOOD]) * curved)
    speed = np.zeros(game.dim)
    for _ in range(round(steps * curved)):
        speed = 0.9 * speed + moving * np.add(*game.gradients(x))
        x = x - step * speed
    accuracy, nll = [], []
    seen = np.column_stack([pixels[held], np.ones(len(held))])
    for part in game.split(x)[:GOOD]:
        logits = seen @ part.reshape(-1, CLASSES)
        logits -= logits.max(axis=1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        accuracy.append(float((logs.argmax(axis=1) == labels[held]).mean()))
        nll.append(float(-logs[np.arange(len(held)), labels[held]].mean()))
    return float(np.mean(accuracy)), float(np.mean(nll))


def summary(scores: dict[str, list[tuple[float, float]]]) -> list[dict[str, Any]]:
    """A row for each arm: means, and the differences from students alone with intervals that hold together."""
    alone, out = np.array(scores["alone"]), []
    share = RATE / (2 * (len(scores) - 1))
    for name, values in scores.items():
        found = np.array(values)
        row: dict[str, Any] = {"arm": name, "accuracy": found[:, 0].mean(), "nll": found[:, 1].mean()}
        if name != "alone":
            low, high = paired_interval((found - alone).T, share)
            row |= {"accuracy difference": [low[0], high[0]], "nll difference": [low[1], high[1]]}
        out.append(row)
    return out


def main() -> None:
    """Run all arms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    began = time.process_time()
    scores: dict[str, list[tuple[float, float]]] = {}
    for name, order, beta, wrong in ARMS:
        scores[name] = [run(seed, order, beta, wrong, options.steps) for seed in range(options.seeds)]
        accuracy, nll = np.mean(scores[name], axis=0)
        print(f"{name:28} accuracy {100 * accuracy:5.1f}%  NLL {nll:.3f}", flush=True)
    rows = summary(scores)
    if options.json is not None:
        document = {
            "command": f"python benchmarks/measure_wrong_peer.py --seeds {options.seeds} --steps {options.steps}",
            "seconds": round(time.process_time() - began, 1), "rate": RATE, "seeds": list(range(options.seeds)),
            "versions": versions(), "commit": commit(), "processor": processor(), "scores": scores, "summary": rows,
        }  # fmt: skip
        options.json.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
