"""What the product's bias monitor records while the product's trainer runs, beside the same numbers without its code.

The monitor is the one that the trainer makes for itself. The numbers that it should find come from
:mod:`verify.checks.networks`, at the weights before and after each step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from verify.checks.networks import Array, Layers, Setting, Snapshot, digits, flat
from verify.checks.updates import Update, stated_bias
from verify.monitor import BiasMonitor

__all__ = ["COUNT", "MonitoredRun", "repeated", "watched"]

COUNT, RATE, DECAY, SMOOTHING, TEMPERATURE, ORDER, WEIGHT = 3, 0.5, 0.01, 0.1, 2.5, 2.0, 0.7
SAMPLES, BATCH, EPOCHS = 1250, 250, 2


@dataclass(frozen=True)
class MonitoredRun:
    """A run of the trainer with its monitor, which measured every step; and the cohort before and after each."""

    monitor: BiasMonitor
    before: list[Snapshot]
    after: list[Snapshot]

    def recorded(self, k: int) -> dict[str, Array]:
        """What the monitor says of a student, by the step; its bounds over its own G², which is a random probe."""
        records = self.monitor.records
        names = (
            "loss", "divergence", "base", "mutual", "inner", "smoothness", "martingale", "pull", "step_noise",
            "decrease", "departure",
        )  # fmt: skip
        out = {name: np.array([getattr(r, name)[k] for r in records], dtype=np.float64) for name in names}
        for name in ("order_bound", "divergence_bound"):
            out[name] = np.array([getattr(r, name)[k] / r.jacobian[k] ** 2 for r in records])
        return out

    def computed(self, law: Update, k: int) -> dict[str, Array]:
        """The same from the weights, by a law of the update."""
        steps = zip(self.before, self.after, (mean[k] for mean in self.divergences), strict=True)
        rows = [self._row(law, k, *step) for step in steps]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    @cached_property
    def divergences(self) -> list[list[float]]:
        """The mean from the peers before each step, of every student: no law of the update plays a part in it."""
        return [[before.divergence(k, ORDER, TEMPERATURE) for k in range(COUNT)] for before in self.before]

    def _row(self, law: Update, k: int, before: Snapshot, after: Snapshot, mean: float) -> dict[str, float]:
        move = flat(after.layers[k]) - flat(before.layers[k])
        gradient = before.base(k)
        bias = stated_bias(law, before, after, k, ORDER, WEIGHT, TEMPERATURE)
        noise, change = -move / RATE - gradient - bias, float(after.loss[k] - before.loss[k])
        ranges, scale = before.ranges(k, TEMPERATURE), (WEIGHT * TEMPERATURE) ** 2
        row = {
            "loss": before.loss[k], "divergence": mean, "base": gradient @ gradient, "mutual": bias @ bias,
            "inner": gradient @ bias, "smoothness": 2 * (change - gradient @ move) / (move @ move),
            "martingale": gradient @ noise, "pull": bias @ noise, "step_noise": noise @ noise, "decrease": -change,
            "departure": 0.0, "order_bound": 2 * scale * np.mean(np.tanh(ORDER * ranges / 4) ** 2),
            "divergence_bound": scale * max(1.0, ORDER) * mean,
        }  # fmt: skip
        return {name: float(value) for name, value in row.items()}


def watched(seed: int) -> MonitoredRun:
    """A short run in double precision by mini-batches, with everything that changes what is measured."""
    from verify.checks.training import own_data, read, undisturbed
    from verify.trainer import Config, Trainer

    config = Config(
        students=f"mlp:{COUNT}", width=8, seed=seed % 2**31, batch=BATCH, epochs=EPOCHS, precision="float64",
        alpha=ORDER, beta=WEIGHT, temperature=TEMPERATURE, lr=RATE, lr_schedule="constant", momentum=0.0,
        weight_decay=DECAY, label_smoothing=SMOOTHING, monitor=99.0, monitor_samples=0, device="cpu",
    )  # fmt: skip
    halves, labels = digits()
    x, y = halves[:, :SAMPLES].transpose(1, 0, 2), labels[:SAMPLES]
    with undisturbed():
        trainer = Trainer(config, data=own_data(x, y))
        weights = [read(trainer)]
        for _ in range(trainer.steps):
            trainer.step()
            weights.append(read(trainer))
        monitor = trainer.monitor
    if monitor is None or len(monitor.records) != trainer.steps:
        raise RuntimeError("the trainer's monitor has not measured every step")
    inputs = [x.reshape(SAMPLES, -1)] * COUNT
    seen = [Snapshot(layers, inputs, y, decay=DECAY, smoothing=SMOOTHING, rectified=True) for layers in weights]
    return MonitoredRun(monitor, seen[:-1], seen[1:])


def repeated(setting: Setting, layers: list[Layers], batch: int, times: int, seed: int) -> tuple[Array, Array]:
    """σ² and G² as the monitor measures them so many times at one point, (times, K) each."""
    from verify.checks.training import own_trainer, undisturbed

    with undisturbed():
        trainer = own_trainer(setting, layers, step=1.0)
        monitor = BiasMonitor(
            trainer.students, trainer.data.train.x, trainer.data.train.y, alpha=setting.alpha,
            beta=setting.beta, batch=batch, overhead=1e6, seed=seed,
        )  # fmt: skip
        for n in range(times):
            with monitor.observe(n, rate=0.0):
                pass
    pairs = [(r.noise, np.square(r.jacobian)) for r in monitor.records]
    return np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
