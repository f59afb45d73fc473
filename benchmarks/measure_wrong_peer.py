"""What a bad peer does to good students, by the order at αβ = 1; what good peers give; what people do instead.

    python benchmarks/measure_wrong_peer.py [--data digits] [--peers none wrong ...] [--seeds 8] [--steps 100]
        [--json FILE]
    python benchmarks/measure_wrong_peer.py --figure FILE --json RECORD

The second form draws what a record holds.

Three softmax students, each with a third of the training samples as its own, who compare their predictions on all of
them. On scikit-learn's digits (1197 samples, 600 held out) they are linear in the pixels; on MNIST-1D (1200, 1800 held
out) in 100 rectified random features of the signal, the same for all. With them, but for the peer "none", a frozen one:

* wrong: gives the class after the true one six units of log-odds more than each other;
* noisy: has learnt labels by heart, as firmly, of which half were drawn at random;
* shifted: learnt all true labels, and sees inputs that are shifted, by two pixels or ten points of the signal;
* untrained: random weights, logits of standard deviation one;
* diverged: random weights, logits of standard deviation one hundred.

Beside the orders stand KL with the weight 1/16, and KL at β = 1 with the gradient of each student clipped at norm one,
with the softmax of the peers' mean logits as teacher, and without the peer that is farthest at that step. Full
gradients with momentum 0.9, float32, all students at once, each arm with the step that its curvature allows and as many
steps as make the same time ηT. Seeds choose the split and are the same for all arms; the intervals of the differences
from students alone are Student's, and hold together for all arms and both metrics with probability 95%.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from verify.checks import Role, curve, panel
from verify.environment import commit, processor, versions
from verify.plots import pictures
from verify.records import Curve, Panel
from verify.trainer.comparison import paired_interval
from verify.trainer.mnist1d import mnist1d

Array = NDArray[np.float32]

GOOD, CLASSES, FIRM = 3, 10, 6.0
ORDERS = (0.25, 0.5, 1.0, 2.0, 4.0, 16.0)
PEERS = ("none", "wrong", "noisy", "shifted", "untrained", "diverged")
RATE = 0.05


@dataclass(frozen=True)
class Arm:
    """An order and a weight, or KL with what people do instead."""

    name: str
    order: float = 1.0
    beta: float = 1.0
    instead: str = ""


ARMS = (
    *(Arm(f"α = {a:g}", a, 1 / a) for a in ORDERS),
    Arm("KL, β = 1/16", beta=1 / 16),
    Arm("KL, clipped", instead="clip"),
    Arm("KL, mean logits", instead="mean"),
    Arm("KL, farthest peer left out", instead="leave"),
)


def _data(name: str) -> tuple[Array, Array, NDArray[np.int64], int]:
    """Features, those of shifted inputs, labels, and how many samples are for training."""
    if name == "digits":
        pixels, labels = load_digits(return_X_y=True)
        shifted = np.roll(pixels.reshape(-1, 8, 8), 2, axis=2).reshape(len(pixels), -1)
        both, trained = [(part - 8.0) / 16.0 for part in (pixels, shifted)], 1197
    else:
        signals, labels = mnist1d(5000)
        signals, labels = signals[:3000], labels[:3000]
        hidden = np.random.default_rng(0).standard_normal((41, 100)) / np.sqrt(41)
        with_one = [np.column_stack([x, np.ones(len(x))]) for x in (signals, np.roll(signals, 10, axis=1))]
        both, trained = [np.maximum(x @ hidden, 0) for x in with_one], 1200
    seen, moved = (np.column_stack([x, np.ones(len(x))]).astype(np.float32) for x in both)
    return seen, moved, np.asarray(labels, dtype=np.int64), trained


def _softmax(logits: Array) -> Array:
    """Of classes along the last axis but one: over a short last axis NumPy reduces slowly."""
    weights = np.exp(logits - logits.max(axis=-2, keepdims=True))
    weights /= weights.sum(axis=-2, keepdims=True)
    return weights


def _peer(kind: str, x: Array, shifted: Array, y: NDArray[np.int64], rng: np.random.Generator) -> Array:
    """The logits (classes, samples) of the frozen peer on the training samples."""
    firm = FIRM * np.eye(CLASSES, dtype=np.float32)
    if kind == "wrong":
        return firm[:, (y + 1) % CLASSES]
    if kind == "noisy":
        return firm[:, np.where(rng.random(len(y)) < 0.5, y, rng.integers(0, CLASSES, len(y)))]
    if kind == "shifted":
        alone = _train(x, y, np.ones((1, len(y)), dtype=np.float32), Arm("", beta=0.0), None, 300)
        return alone[0] @ shifted.T
    logits = rng.standard_normal((CLASSES, x.shape[1])).astype(np.float32) @ x.T
    return logits / logits.std() * (100 if kind == "diverged" else 1)


def _pulled(logits: Array, k: int, arm: Arm) -> Array:
    """The mean escort of student k from its peers, or what is taken for it."""
    peers = np.delete(logits, k, axis=0)
    if arm.instead == "mean":
        return _softmax(peers.mean(axis=0))
    if arm.instead == "leave":
        p, q = _softmax(peers), _softmax(logits[k])
        far = (p * (np.log(p + 1e-30) - np.log(q + 1e-30))).sum(axis=1).mean(axis=1)
        peers = np.delete(peers, int(far.argmax()), axis=0)
    escorts: Array = _softmax(arm.order * peers + (1 - arm.order) * logits[k]).mean(axis=0)
    return escorts


def _train(x: Array, y: NDArray[np.int64], own: Array, arm: Arm, frozen: Array | None, steps: int) -> Array:
    """The students' weights (student, class, feature) after training; ``own`` weights the samples of each."""
    truth, across = np.eye(CLASSES, dtype=np.float32)[:, y], np.ascontiguousarray(x.T)
    most = max(np.linalg.eigvalsh((x * w[:, None]).T @ x / len(x))[-1] for w in own) / 2
    curved = 1 + arm.beta * max(1.0, arm.order)
    step = np.float32(1 / (most * curved))
    theta = np.zeros((len(own), CLASSES, x.shape[1]), dtype=np.float32)
    speed: Any = np.zeros_like(theta)
    fixed = [] if frozen is None else [frozen]
    for _ in range(round(steps * curved)):
        logits = np.stack([*(theta @ across), *fixed])
        q = _softmax(logits[: len(own)])
        error = own[:, None] * (q - truth)
        if arm.beta:
            error += np.float32(arm.beta) * (q - np.stack([_pulled(logits, k, arm) for k in range(len(own))]))
        slope = error @ x / np.float32(len(x))
        if arm.instead == "clip":
            slope /= np.maximum(1, np.linalg.norm(slope, axis=(1, 2), keepdims=True))
        speed = np.float32(0.9) * speed + slope
        theta = theta - step * speed
    return theta


def run(data: str, peer: str, arm: Arm, seed: int, steps: int) -> tuple[float, float]:
    """Held-out accuracy and NLL in nats, means over the good students."""
    seen, moved, labels, count = _data(data)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(labels))
    trained, held = rows[:count], rows[count:]
    own = np.zeros((GOOD, count), dtype=np.float32)
    for k in range(GOOD):
        own[k, k::GOOD] = GOOD
    x, y = seen[trained], labels[trained]
    frozen = None if peer == "none" else _peer(peer, x, moved[trained], y, rng)
    accuracy, nll = [], []
    for part in _train(x, y, own, arm, frozen, steps):
        logits = (seen[held] @ part.T).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        accuracy.append(float((logs.argmax(axis=1) == labels[held]).mean()))
        nll.append(float(-logs[np.arange(len(held)), labels[held]].mean()))
    return float(np.mean(accuracy)), float(np.mean(nll))


def summary(scores: dict[str, list[tuple[float, float]]]) -> list[dict[str, Any]]:
    """A row for each arm: means, and the differences from students alone with intervals that hold together."""
    alone, out = np.array(scores["alone"]), []
    share = RATE / (2 * max(len(scores) - 1, 1))
    for name, values in scores.items():
        found = np.array(values)
        row: dict[str, Any] = {"arm": name, "accuracy": found[:, 0].mean(), "nll": found[:, 1].mean()}
        if name != "alone":
            low, high = paired_interval((found - alone).T, share)
            row |= {"accuracy difference": [low[0], high[0]], "nll difference": [low[1], high[1]]}
        out.append(row)
    return out


METRICS = (("accuracy", 100.0, 1), ("nll", 1.0, 3))
"""What the page shows of a record, in which unit and to how many places."""


def markdown(document: dict[str, Any]) -> str:
    """A table for each metric: means, and in brackets the interval of the difference from students alone."""
    rows = {row["arm"]: row for row in document["summary"]}
    peers = [p for p in PEERS if any(name.endswith(f", {p} peer") for name in rows)]
    tables = []
    for metric, unit, places in METRICS:
        title = "accuracy (%)" if metric == "accuracy" else "NLL (nats)"
        heads = [f"{title}, good peers", *(f"{p} peer" for p in peers)]
        lines = [" | ".join(["", "αβ = 1", *heads]).strip() + " |", "|" + " --- |" * (len(heads) + 1)]
        for arm in ARMS:
            cells = []
            for name in (arm.name, *(f"{arm.name}, {p} peer" for p in peers)):
                low, high = (unit * end for end in rows[name][f"{metric} difference"])
                mean = f"{unit * rows[name][metric]:.{places}f}"
                cells.append(f"{mean} ({low:+.{places}f} to {high:+.{places}f})".replace("-", "−"))
            lines.append(f"| {arm.name} | {' | '.join(cells)} |")
        lines.append(f"| alone | {unit * rows['alone'][metric]:.{places}f} |" + " |" * (len(heads) - 1))
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def panels(document: dict[str, Any], peer: str = "wrong") -> tuple[Panel, ...]:
    """The orders, and KL with a small weight, against students alone: with good peers, and with a bad one, too."""
    rows = {row["arm"]: row for row in document["summary"]}

    def line(name: str, metric: str, unit: float, arms: dict[str, float], role: Role, group: int) -> Curve:
        y = [unit * (rows[arm][metric] - rows["alone"][metric]) for arm in arms]
        low, high = unit * np.array([rows[arm][f"{metric} difference"] for arm in arms]).T
        return curve(name, list(arms.values()), y, role, band=(low, high), style="both", group=group)

    out = []
    cases: tuple[tuple[str, str, Role], ...] = (
        ("good peers", "", "measured"),
        (f"{peer} peer", f", {peer} peer", "second"),
    )
    for metric, unit, label in (("accuracy", 100.0, "accuracy (points)"), ("nll", 1.0, "NLL (nats)")):
        curves = [curve("students alone", ORDERS, 0.0, "reference")]
        for group, (case, end, role) in enumerate(cases):
            orders, small = {f"α = {a:g}{end}": a for a in ORDERS}, {f"KL, β = 1/16{end}": 1.0}
            curves.append(line(case, metric, unit, orders, role, group))
            curves.append(line(f"{case}, KL, $\\beta$ = 1/16", metric, unit, small, role, group + 2))
        title = f"held-out {label}, $\\alpha\\beta$ = 1"
        out.append(panel(title, "order $\\alpha$", "difference from students alone", *curves, log="x"))
    return tuple(out)


def _write(options: argparse.Namespace, scores: dict[str, list[tuple[float, float]]], seconds: float) -> None:
    """What is done so far; the intervals are those of as many arms as that."""
    command = f"python benchmarks/measure_wrong_peer.py --data {options.data} --peers {' '.join(options.peers)}"
    document = {
        "command": f"{command} --seeds {options.seeds} --steps {options.steps}", "seconds": round(seconds, 1),
        "rate": RATE, "seeds": list(range(options.seeds)), "versions": versions(), "commit": commit(),
        "processor": processor(), "scores": scores, "summary": summary(scores),
    }  # fmt: skip
    options.json.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run all arms with all peers; what is done is written after each arm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("digits", "mnist1d"), default="digits")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    if options.figure is not None:
        record = json.loads(options.json.read_text(encoding="utf-8"))
        options.figure.write_bytes(pictures(panels(record), ("png",), heading="Good students and a bad peer")["png"])
        return
    began = time.process_time()
    plan = [("alone", "none", Arm("alone", beta=0.0))]
    plan += [(arm.name if p == "none" else f"{arm.name}, {p} peer", p, arm) for p in options.peers for arm in ARMS]
    scores: dict[str, list[tuple[float, float]]] = {}
    for name, peer, arm in plan:
        scores[name] = [run(options.data, peer, arm, seed, options.steps) for seed in range(options.seeds)]
        accuracy, nll = np.mean(scores[name], axis=0)
        print(f"{name:42} accuracy {100 * accuracy:5.1f}%  NLL {nll:.3f}", flush=True)
        if options.json is not None:
            _write(options, scores, time.process_time() - began)


if __name__ == "__main__":
    main()
