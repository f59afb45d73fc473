"""SGD in all outcomes of its coins, exactly: runs on which theorems of the kernel are tried.

A theorem is tried on every model that has what its hypotheses speak of (:mod:`verify.checks.instances`). For a new kind
of hypothesis, write one such model in the module of its kind, where the first function lists them all:

>>> def drifting() -> Model:
...     run = coin_run(
...         quadratic(2.0), [1.5, 0.0], np.full(STEPS, 0.3), bias=lambda at: 0.1 * (at.t + 1) * np.eye(2)[0],
...         noise=sideways(0.2),
...     )
...     return run.model("quadratic with a bias that grows", {descent.sigma: 0.2, descent.Z: 0.4})
>>> drifting().processes["b"][0, :, 0].round(1).tolist()
[0.1, 0.2, 0.3, 0.4]

Its constants (Λ, η, h, T, Δ) are those of the run; ``values`` adds others, ``families`` and ``processes`` what else a
theorem names by class or by step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.problems import SyntheticProblem
from rdml_theory.symbolic.kernel.model import Model, Objective, outcomes
from rdml_theory.symbolic.sgd import descent, setting

__all__ = [
    "STEPS", "CoinRun", "Part", "Step", "accumulated", "by_step", "coin_run", "leaning", "quadratic", "rms", "sideways",
    "sloping",
]  # fmt: skip

Array = NDArray[np.float64]

STEPS = 4


class Step(NamedTuple):
    """A step in all outcomes: its number, the points and the gradients (outcomes, d), and its coin ±1 (outcomes, 1)."""

    t: int
    x: Array
    g: Array
    coin: Array

    @property
    def unit(self) -> Array:
        """∇f/‖∇f‖."""
        return self.g / np.linalg.norm(self.g, axis=1, keepdims=True)


Part = Callable[[Step], Any]
"""A part of what is added to the gradient at a step."""


@dataclass(frozen=True)
class CoinRun:
    """A run: arrays over (outcome, step, d), of T + 1 steps for the points x and the momentum v, else of T."""

    objective: Objective | SyntheticProblem
    steps: Array
    x: Array
    g: Array
    b: Array
    n: Array
    v: Array
    level: float
    """E f(x_0)."""

    def model(
        self, name: str, values: Mapping[Any, Any], *, objective: str = "f",
        families: Mapping[str, Array] | None = None, processes: Mapping[str, Array] | None = None,
    ) -> Model:  # fmt: skip
        """The run with its constants, of which ``values`` may replace some; f_inf is 0 unless f has a ``minimum``."""
        f, eta, infimum = self.objective, float(self.steps[0]), getattr(self.objective, "minimum", 0.0)
        told = {
            setting.smoothness: f.smoothness, setting.infimum: infimum, descent.gap: self.level - infimum,
            descent.horizon: len(self.steps),
        }  # fmt: skip
        if np.ptp(self.steps) == 0:
            told |= {descent.eta: eta, descent.h: f.smoothness * eta}
        return Model(
            name,
            told | dict(values),
            {objective: Objective(f.value, f.gradient, f.smoothness)},
            {"x": self.x, "b": self.b, "n": self.n, "v": self.v} | dict(processes or {}),
            families=dict(families or {}),
            chance=np.full(len(self.x), 1 / len(self.x)),
            points=np.random.default_rng(0).normal(size=(15, self.x.shape[2])) * 3,
        )


def coin_run(
    objective: Objective | SyntheticProblem, start: ArrayLike, steps: Array, *, bias: Part | None = None,
    noise: Part | None = None, momentum: float = 0.0, nesterov: bool = False, given: Array | None = None,
) -> CoinRun:  # fmt: skip
    """x_{t+1} = x_t - η_t (∇f(x_t) + b_t + n_t) in all outcomes of one coin a step; in the one there is without noise.

    With momentum as :func:`convergence.simulate`. Where f depends on a second vector, too, that is ``given`` by step.
    """
    coins = np.zeros((len(steps), 1)) if noise is None else outcomes(len(steps))
    x = [np.broadcast_to(np.asarray(start, dtype=np.float64), (coins.shape[1], np.size(start)))]
    v = [0 * x[0]]
    parts: list[tuple[Array, Array, Array]] = []
    second = [()] * len(steps) if given is None else [(vector,) for vector in given]
    for t, eta in enumerate(steps):
        g = objective.gradient(x[-1], *second[t])
        at = Step(t, x[-1], g, coins[t][:, None])
        b, n = (0 * g if part is None else part(at) + 0 * g for part in (bias, noise))
        parts.append((g, b, n))
        v.append(momentum * v[-1] + g + b + n)
        x.append(x[-1] - eta * (g + b + n + momentum * v[-1] if nesterov else v[-1]))
    g, b, n = (np.stack(part, axis=1) for part in zip(*parts, strict=True))
    level = float(np.mean(objective.value(x[0], *second[0])))
    return CoinRun(objective, np.asarray(steps), np.stack(x, axis=1), g, b, n, np.stack(v, axis=1), level)


def leaning(zeta: float, share: float = 0.0, *, way: float = -1.0) -> Part:
    """A bias against the gradient, or along it for ``way`` 1, with ‖b‖² = ζ² + share ‖∇f‖²."""
    return lambda at: way * np.sqrt(zeta**2 + share * np.sum(at.g**2, axis=1, keepdims=True)) * at.unit


def sideways(sigma: float) -> Part:
    """Noise ±σ, orthogonal to the gradient, in the plane of the first two axes."""

    def noise(at: Step) -> Array:
        turned = np.zeros_like(at.g)
        turned[:, 0], turned[:, 1] = -at.g[:, 1], at.g[:, 0]
        return sigma * at.coin * turned / np.linalg.norm(turned, axis=1, keepdims=True)

    return noise


def quadratic(curvature: float) -> Objective:
    """Λ‖x‖²/2."""
    return Objective(lambda x: curvature * np.sum(x**2, axis=-1) / 2, lambda x: curvature * x, curvature)


def sloping(slope: ArrayLike) -> Objective:
    """A function of which no more is said than its gradient at a point: this one everywhere, and a value of 0."""
    return Objective(lambda x: 0 * x[..., 0], lambda x: np.asarray(slope) + 0 * x, np.inf)


def rms(part: Array) -> float:
    """The root of the mean squared norm of (outcomes, T, d)."""
    return float(np.sqrt(np.mean(np.sum(part**2, axis=2))))


def accumulated(parts: Array, kept: float = 1.0) -> Array:
    """s_0 = 0 and s_{t+1} = kept s_t + part_t, by outcome and step.

    >>> accumulated(np.ones((1, 3)), 0.5).tolist()
    [[0.0, 1.0, 1.5, 1.75]]
    """
    sums = [0 * parts[:, 0]]
    for t in range(parts.shape[1]):
        sums.append(kept * sums[-1] + parts[:, t])
    return np.stack(sums, axis=1)


def by_step(values: ArrayLike, axis: int = -1) -> Array:
    """A family whose entries are steps, along an axis: a model counts from 1, so that entry 0 is the last."""
    return np.roll(np.asarray(values, dtype=np.float64), -1, axis=axis)
