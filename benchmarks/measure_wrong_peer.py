"""What a bad peer does to good students, by the order at αβ = 1; what good peers give; what people do instead.

    python benchmarks/measure_wrong_peer.py [--data digits] [--peers none wrong ...] [--seeds 8] [--steps 100]
        [--json FILE] [--data-dir FOLDER]
    python benchmarks/measure_wrong_peer.py --figure FILE --json RECORD

The first form goes on where a record of the same command was left, and ends with the pulls of each bad peer in one
seed. The second draws what a record holds.

Three softmax students, each with a third of the training samples as its own, who compare their predictions on all of
them. On scikit-learn's digits (1197 samples, 600 held out) they are linear in the pixels; on MNIST-1D (1200, 1800 held
out) in 100 rectified random features of the signal, the same for all; on Fashion-MNIST (3000, 10,000 held out, means
over 4 × 4 pixels) they are networks with 16 rectified units. With them, but for the peer "none", a frozen one:

* wrong: gives the class after the true one six units of log-odds more than each other;
* noisy: has learnt labels by heart, as firmly, of which half were drawn at random;
* shifted: learnt all true labels, and sees inputs that are shifted, by two pixels (one of Fashion-MNIST's means) or ten
  points of the signal;
* untrained: random weights, logits of standard deviation one;
* diverged: random weights, logits of standard deviation one hundred;
* two: not one wrong peer but two, who agree.

Beside the orders stand KL with the weight 1/16, and KL at β = 1 with the gradient of each student clipped at norm one,
with the pull q - p of each peer on each sample clipped at norm √2/16, which is as much as α = 16 allows, with the
softmax of the peers' mean logits as teacher, and without the peer that is farthest at that step. Full gradients with
momentum 0.9, float32, all students at once, each arm with the step that its curvature allows (networks: a given one,
shortened alike) and as many steps as make the same time ηT. Seeds choose the split, and the networks' first
weights, and are the same for all arms; the intervals of the differences
from students alone are Student's, and hold together for all arms and both metrics with probability 95%.
"""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import record
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from verify.checks import Role, curve, panel
from verify.plots import pictures
from verify.records import Curve, Panel
from verify.trainer.comparison import paired_interval
from verify.trainer.files import read_idx_folder
from verify.trainer.mnist1d import mnist1d

Array = NDArray[np.float32]

GOOD, CLASSES, FIRM = 3, 10, 6.0
ORDERS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
PEERS = ("none", "wrong", "noisy", "shifted", "untrained", "diverged", "two")
HEADS = {"none": "good peers", "two": "two wrong peers"}
RATE = 0.05
PULL = np.sqrt(2) / 16
"""Pulls are clipped at the norm that they have at most at α = 16, β = 1/16 (claim G3)."""


@dataclass(frozen=True)
class Arm:
    """An order and a weight, or KL with what people do instead."""

    name: str
    alpha: float = 1.0
    beta: float = 1.0
    instead: str = ""


ARMS = (
    *(Arm(f"α = {a:g}", a, 1 / a) for a in ORDERS),
    Arm("KL, β = 1/16", beta=1 / 16),
    Arm("KL, clipped", instead="clip"),
    Arm("KL, pulls clipped", instead="pulls"),
    Arm("KL, mean logits", instead="mean"),
    Arm("KL, farthest peer left out", instead="leave"),
)


@dataclass(frozen=True)
class Data:
    """Features of samples, with the constant, and of shifted ones; labels; how many are to train on, how many held out.

    Students are linear, or have ``hidden`` units and the step that a ``curvature`` allows.
    """

    seen: Array
    shifted: Array
    labels: NDArray[np.int64]
    trained: int
    held: int
    hidden: int = 0
    curvature: float = 0.0


@cache
def _data(name: str, folder: Path) -> Data:
    if name == "digits":
        pixels, labels = load_digits(return_X_y=True)
        shifted = np.roll(pixels.reshape(-1, 8, 8), 2, axis=2).reshape(len(pixels), -1)
        both, sizes = [(part - 8.0) / 16.0 for part in (pixels, shifted)], (1197, 600)
    elif name == "fashion":
        images, labels = (part[:13_000] for part in read_idx_folder(folder)[:2])
        small = images.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)) / 255 - 0.5
        both, sizes = (
            [part.reshape(len(part), -1) for part in (small, np.roll(small, 1, axis=2))],
            (3000, 10_000, 16, 2.5),
        )
    else:
        signals, labels = mnist1d(5000)
        signals, labels = signals[:3000], labels[:3000]
        hidden = np.random.default_rng(0).standard_normal((41, 100)) / np.sqrt(41)
        with_one = [np.column_stack([x, np.ones(len(x))]) for x in (signals, np.roll(signals, 10, axis=1))]
        both, sizes = [np.maximum(x @ hidden, 0) for x in with_one], (1200, 1800)
    seen, moved = (np.column_stack([x, np.ones(len(x))]).astype(np.float32) for x in both)
    return Data(seen, moved, np.asarray(labels, dtype=np.int64), *sizes)


def _softmax(logits: Array) -> Array:
    """Of classes along the last axis but one: over a short last axis NumPy reduces slowly."""
    weights = np.exp(logits - logits.max(axis=-2, keepdims=True))
    weights /= weights.sum(axis=-2, keepdims=True)
    return weights


def _peers(kind: str, data: Data, rows: NDArray[np.int64], rng: np.random.Generator) -> Array:
    """The logits (peer, class, sample) of the frozen peers on the training samples."""
    x, y = data.seen[rows], data.labels[rows]
    firm = FIRM * np.eye(CLASSES, dtype=np.float32)
    if kind in ("wrong", "two"):
        return np.stack([firm[:, (y + 1) % CLASSES]] * (2 if kind == "two" else 1))
    if kind == "noisy":
        return firm[None, :, np.where(rng.random(len(y)) < 0.5, y, rng.integers(0, CLASSES, len(y)))]
    if kind == "shifted":
        alone = _train(data, rows, np.ones((1, len(y)), dtype=np.float32), Arm("", beta=0.0), None, 300, rng)
        return _forward(alone, data.shifted[rows].T)[-1]
    logits = rng.standard_normal((1, CLASSES, x.shape[1])).astype(np.float32) @ x.T
    return logits / logits.std() * (100 if kind == "diverged" else 1)


def _pulled(logits: Array, q: Array, k: int, arm: Arm) -> Array:
    """The mean escort of student k, who predicts q[k], from its peers, or what is taken for it."""
    peers = np.delete(logits, k, axis=0)
    if arm.instead == "mean":
        return _softmax(peers.mean(axis=0))
    if arm.instead == "pulls":
        pull = _softmax(peers) - q[k]
        sizes = np.linalg.norm(pull, axis=1, keepdims=True)
        clipped: Array = q[k] + (pull / np.maximum(1, sizes / np.float32(PULL))).mean(axis=0)
        return clipped
    if arm.instead == "leave":
        p = _softmax(peers)
        far = (p * (np.log(p + 1e-30) - np.log(q[k] + 1e-30))).sum(axis=1).mean(axis=1)
        peers = np.delete(peers, int(far.argmax()), axis=0)
    escorts: Array = _softmax(arm.alpha * peers + (1 - arm.alpha) * logits[k]).mean(axis=0)
    return escorts


def _start(data: Data, students: int, rng: np.random.Generator) -> list[Array]:
    """The weights (student, out, in) of each layer: nothing for linear students, else random."""
    sizes = (data.seen.shape[1], data.hidden, CLASSES) if data.hidden else (data.seen.shape[1], CLASSES)
    shapes = [(students, out, inputs) for inputs, out in pairwise(sizes)]
    if not data.hidden:
        return [np.zeros(shape, dtype=np.float32) for shape in shapes]
    return [rng.standard_normal(s, dtype=np.float32) * np.float32(np.sqrt(2 / s[-1])) for s in shapes]


def _forward(layers: Sequence[Array], across: Array) -> list[Array]:
    """What comes out of each layer for samples (feature, sample); the logits (student, class, sample) are the last."""
    out = [layers[0] @ across]
    for weights in layers[1:]:
        out.append(weights @ np.maximum(out[-1], 0))
    return out


def _slopes(layers: Sequence[Array], x: Array, out: Sequence[Array], error: Array) -> list[Array]:
    """The gradients of mean losses whose gradients in the logits are ``error``."""
    slopes = []
    for at in reversed(range(1, len(layers))):
        slopes.append(error @ np.maximum(out[at - 1], 0).swapaxes(1, 2) / np.float32(len(x)))
        error = (layers[at].swapaxes(1, 2) @ error) * (out[at - 1] > 0)
    return [error @ x / np.float32(len(x)), *reversed(slopes)]


def _train(
    data: Data, rows: NDArray[np.int64], own: Array, arm: Arm, frozen: Array | None, steps: int,
    rng: np.random.Generator,
) -> list[Array]:  # fmt: skip
    """The students' layers after training; ``own`` (student, sample) weights the samples of each."""
    x, truth = data.seen[rows], np.eye(CLASSES, dtype=np.float32)[:, data.labels[rows]]
    across = np.ascontiguousarray(x.T)
    most = data.curvature or max(np.linalg.eigvalsh((x * w[:, None]).T @ x / len(x))[-1] for w in own) / 2
    curved = 1 + arm.beta * max(1.0, arm.alpha)
    step = np.float32(1 / (most * curved))
    layers = _start(data, len(own), rng)
    speeds: list[Any] = [np.zeros_like(part) for part in layers]
    fixed = () if frozen is None else frozen
    for _ in range(round(steps * curved)):
        out = _forward(layers, across)
        logits = np.stack([*out[-1], *fixed])
        q = _softmax(out[-1])
        error = own[:, None] * (q - truth)
        if arm.beta:
            error += np.float32(arm.beta) * (q - np.stack([_pulled(logits, q, k, arm) for k in range(len(own))]))
        slopes = _slopes(layers, x, out, error)
        if arm.instead == "clip":
            size = np.sqrt(sum(np.square(slope).sum(axis=(1, 2), keepdims=True) for slope in slopes))
            slopes = [slope / np.maximum(1, size) for slope in slopes]
        speeds = [np.float32(0.9) * speed + slope for speed, slope in zip(speeds, slopes, strict=True)]
        layers = [part - step * speed for part, speed in zip(layers, speeds, strict=True)]
    return layers


@dataclass(frozen=True)
class Rest:
    """The good students' layers after training, the frozen peers' logits, and the rows trained on and held out."""

    layers: list[Array]
    frozen: Array | None
    trained: NDArray[np.int64]
    held: NDArray[np.int64]


def _rest(data: Data, peer: str, arm: Arm, seed: int, steps: int) -> Rest:
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(data.labels))
    trained, held = rows[: data.trained], rows[data.trained :][: data.held]
    own = np.zeros((GOOD, len(trained)), dtype=np.float32)
    for k in range(GOOD):
        own[k, k::GOOD] = GOOD
    frozen = None if peer == "none" else _peers(peer, data, trained, rng)
    layers = _train(data, trained, own, arm, frozen, steps, np.random.default_rng([seed, 1]))
    return Rest(layers, frozen, trained, held)


def pulls(data: Data, peer: str, alpha: float, seed: int, steps: int) -> list[tuple[float, float]]:
    """ρ and β‖q - w‖ of a good student and the bad peer at αβ = 1, for the samples at nine levels of ρ."""
    rest = _rest(data, peer, Arm("", alpha, 1 / alpha), seed, steps)
    assert rest.frozen is not None
    z = _forward(rest.layers, data.seen[rest.trained].T)[-1][0].astype(np.float64)
    u = rest.frozen[0].astype(np.float64)
    pull = np.linalg.norm(_softmax(z) - _softmax(alpha * u + (1 - alpha) * z), axis=0) / alpha
    rho = np.ptp(u - z, axis=0)
    chosen = np.argsort(rho)[np.linspace(0, len(rho) - 1, 9).astype(int)]
    return [(float(rho[n]), float(pull[n])) for n in chosen]


def run(data: Data, peer: str, arm: Arm, seed: int, steps: int) -> tuple[float, float]:
    """Held-out accuracy and NLL in nats, means over the good students."""
    rest = _rest(data, peer, arm, seed, steps)
    layers, held = rest.layers, rest.held
    logits = _forward(layers, data.seen[held].T)[-1].astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    labels = data.labels[held]
    nll = -logs[:, labels, np.arange(len(held))].mean()
    return float((logs.argmax(axis=1) == labels).mean()), float(nll)


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


def _end(peer: str) -> str:
    """What a record's name of an arm ends with."""
    return "" if peer == "none" else f", {HEADS.get(peer, f'{peer} peer')}"


METRICS = (("accuracy", 100.0, 1), ("nll", 1.0, 3))
"""What the page shows of a record, in which unit and to how many places."""


def markdown(document: dict[str, Any]) -> str:
    """A table for each metric: means, and in brackets the interval of the difference from students alone."""
    rows = {row["arm"]: row for row in document["summary"]}
    peers = [p for p in PEERS if f"{ARMS[0].name}{_end(p)}" in rows]
    tables = []
    for metric, unit, places in METRICS:
        title = "accuracy (%)" if metric == "accuracy" else "NLL (nats)"
        heads = [HEADS.get(p, f"{p} peer") for p in peers]
        heads[0] = f"{title}, {heads[0]}"
        lines = [" | ".join(["", "αβ = 1", *heads]).strip() + " |", "|" + " --- |" * (len(heads) + 1)]
        for arm in ARMS:
            cells = []
            for name in (f"{arm.name}{_end(p)}" for p in peers):
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
            alphas, small = {f"α = {a:g}{end}": a for a in ORDERS}, {f"KL, β = 1/16{end}": 1.0}
            curves.append(line(case, metric, unit, alphas, role, group))
            curves.append(line(f"{case}, KL, $\\beta$ = 1/16", metric, unit, small, role, group + 2))
        title = f"held-out {label}, $\\alpha\\beta$ = 1"
        out.append(panel(title, "order $\\alpha$", "difference from students alone", *curves, log="x"))
    return (*out, *_influence(document))


SHOWN = (1.0, 4.0, 16.0)
"""The orders whose pulls are measured."""


def bound(alpha: float, rho: Any) -> Any:
    """The greatest pull at αβ = 1 (claim G3)."""
    return np.sqrt(2) * np.tanh(alpha * np.asarray(rho) / 4) / alpha


def _influence(document: dict[str, Any]) -> Iterator[Panel]:
    """The pulls of bad peers against ρ, and what bounds them."""
    if not (found := document.get("pulls")):
        return
    roles: tuple[Role, ...] = ("measured", "second", "measured")
    points = {a: np.concatenate([one[f"{a:g}"] for one in found.values()]).T for a in SHOWN}
    grid = np.geomspace(points[1.0][0].min(), points[1.0][0].max(), 80)
    curves = [curve("KL, $\\beta$ = 1/16", grid, bound(1.0, grid) / 16, "reference")]
    for group, (a, role) in enumerate(zip(SHOWN, roles, strict=True)):
        curves.append(curve(f"bound, $\\alpha$ = {a:g}", grid, bound(a, grid), "statement", group=group))
        curves.append(curve(f"pulls, $\\alpha$ = {a:g}", *points[a], role, style="markers", group=group))
    title = f"pulls of {len(found)} bad peers, $\\alpha\\beta$ = 1"
    yield panel(title, "range $\\rho$ of the log-ratio", "$\\beta\\|q-w\\|_2$", *curves)


def _command(options: Namespace) -> str:
    command = f"python benchmarks/measure_wrong_peer.py --data {options.data} --peers {' '.join(options.peers)}"
    return f"{command} --seeds {options.seeds} --steps {options.steps}"


def _left(options: Namespace) -> tuple[dict[str, list[tuple[float, float]]], float]:
    """The scores and seconds of a record of the same command, so far."""
    done = record.left(options.json, command=_command(options))
    return (done["scores"], done["seconds"]) if done else ({}, 0.0)


def _write(
    options: Namespace, scores: dict[str, list[tuple[float, float]]], seconds: float, **more: Any
) -> None:  # fmt: skip
    """What is done so far; the intervals are those of as many arms as that."""
    document = {
        "command": _command(options), "seconds": round(seconds, 1), "rate": RATE, "seeds": list(range(options.seeds)),
        **record.where(), "scores": scores, "summary": summary(scores), **more,
    }  # fmt: skip
    record.keep(options.json, document)


def main() -> None:
    """Run all arms with all peers; what is done is written after each arm."""
    parser = record.parser(__doc__)
    parser.add_argument("--data", choices=("digits", "mnist1d", "fashion"), default="digits")
    parser.add_argument("--data-dir", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    if options.figure is not None:
        document = json.loads(options.json.read_text(encoding="utf-8"))
        options.figure.write_bytes(
            pictures(panels(document), ("png",), heading="Beside a wrong peer, a larger order loses less")["png"]
        )
        return
    scores, before = _left(options)
    began = time.process_time()
    data = _data(options.data, options.data_dir)
    plan = [("alone", "none", Arm("alone", beta=0.0))]
    plan += [(f"{arm.name}{_end(p)}", p, arm) for p in options.peers for arm in ARMS]
    for name, peer, arm in plan:
        if name not in scores:
            scores[name] = [run(data, peer, arm, seed, options.steps) for seed in range(options.seeds)]
            _write(options, scores, before + time.process_time() - began)
        accuracy, nll = np.mean(scores[name], axis=0)
        print(f"{name:42} accuracy {100 * accuracy:5.1f}%  NLL {nll:.3f}", flush=True)
    if options.json is not None:
        single = [peer for peer in options.peers if peer not in ("none", "two")]
        found = {peer: {f"{a:g}": pulls(data, peer, a, 0, options.steps) for a in SHOWN} for peer in single}
        _write(options, scores, before + time.process_time() - began, pulls=found)


if __name__ == "__main__":
    main()
