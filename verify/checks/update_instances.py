"""Runs of sign descent, of Adam and of AdamW, in all outcomes, on which the theorems of C16 and C17 are tried."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from convergence import problems
from convergence.problems import SyntheticProblem
from rdml_theory.symbolic.kernel.model import Model, Objective, outcomes
from rdml_theory.symbolic.sgd import adam, descent, setting, sign_descent

__all__ = ["updates"]

STEPS = 4


@cache
def updates() -> tuple[Model, ...]:
    """Sign descent, on a nonconvex function with errors by a coin and on a quadratic to and fro; Adam and AdamW."""
    cosine = problems.get("quadratic_cosine", dim=2, amplitude=0.4, frequency=1.5)
    return (
        _signed("signs on a quadratic plus cosine", cosine, lambda t, g, coin: 0.4 * coin + 0 * g),
        _signed(
            "signs to and fro on a quadratic",
            problems.get("quadratic", dim=2, smoothness=2.0, radius=1.5),
            lambda t, g, coin: (t % 2 - 1) * g,
        ),
        _adam("Adam", 0.0),
        _adam("AdamW", 0.3),
    )


def _signed(name: str, problem: SyntheticProblem, error: Callable[..., NDArray[np.float64]]) -> Model:
    """All outcomes of sign descent with an error of the step, the gradient and a coin; the sign of 0 is the error's."""
    eta, coins = 0.1, outcomes(STEPS)
    x = [np.broadcast_to([1.5, -0.5], (coins.shape[1], 2))]
    told: dict[str, list[NDArray[np.float64]]] = {"g": [], "e": [], "s": []}
    for t, coin in enumerate(coins):
        g = problem.gradient(x[-1])
        e = error(t, g, coin[:, None])
        s = np.sign(np.where(g + e == 0, e, g + e))
        for part, value in zip(told.values(), (g, e, s), strict=True):
            part.append(value)
        x.append(x[-1] - eta * s)
    size, wrong = (float(np.mean(np.sum(np.abs(told[part]), axis=2))) for part in "ge")
    values = {
        setting.smoothness: problem.smoothness, descent.eta: eta, descent.horizon: STEPS,
        setting.infimum: problem.minimum, descent.gap: float(np.mean(problem.value(x[0]))) - problem.minimum,
        sign_descent.dimension: 2, sign_descent.size: size, sign_descent.error: wrong,
    }  # fmt: skip
    return Model(
        name,
        values,
        {"f": Objective(problem.value, problem.gradient, problem.smoothness)},
        {"x": np.stack(x, axis=1), "s": np.stack(told["s"], axis=1)},
        families={part: np.roll(np.stack(steps, axis=1), -1, axis=1) for part, steps in told.items()},
        chance=np.full(coins.shape[1], 1 / coins.shape[1]),
        points=np.random.default_rng(0).normal(size=(15, 2)) * 3,
    )


def _adam(name: str, decay: float) -> Model:
    """On √(1+x²)/2, with noise that is -1, or 3 with probability 1/4; the noise before the first step has no effect."""
    theta, first, eta, chance = 0.9, 0.6, 0.2, 0.25
    happens = outcomes(2 * STEPS - 1, (0.0, 1.0))  # from STEPS - 1 before the first step on
    x, g, m, v = [np.zeros(happens.shape[1])], [], [], []
    for t in range(STEPS):
        g.append(x[-1] / (2 * np.sqrt(1 + x[-1] ** 2)) - 1 + 4 * happens[STEPS - 1 + t])
        ages = np.arange(t, -1, -1)[:, None]
        m.append(np.sum((1 - first) * first**ages * np.array(g), axis=0))
        v.append(np.sum((1 - theta**2) * theta ** (2 * ages) * np.array(g) ** 2, axis=0))
        corrected = m[-1] / (1 - first ** (t + 1)) / np.sqrt(v[-1] / (1 - theta ** (2 * (t + 1))))
        x.append((1 - eta * decay) * x[-1] - eta * corrected)
    before = [4 * one - 1 for one in happens[: STEPS - 1]]
    lagged = {
        part: np.array([[values[STEPS - 1 + t - lag] for lag in range(STEPS)] for t in range(STEPS)])
        for part, values in (("G", [*before, *g]), ("R", list(happens)))
    }  # over (step, lag, outcome)
    families = {part: np.moveaxis(values, 2, 0) for part, values in lagged.items()}
    families |= {part: np.stack(values, axis=1) for part, values in (("x", x), ("m", m), ("v", v))}
    families |= {"u": families["v"] ** -0.5, "q": np.sqrt(1 - theta ** (2 * (1 + np.arange(STEPS))))}
    # The entry at index 0 is the last of an array.
    by_step = {part: np.roll(values, -1, axis=min(1, values.ndim - 1)) for part, values in families.items()}
    least, greatest, rare = 0.5, 1.5, 3.5
    spread = float(np.sqrt((1 - chance) * greatest**2 + chance * rare**2))
    values = {
        adam.ratio: first / theta, adam.root_of_second: theta, adam.complement: float(np.sqrt(1 - theta**2)),
        adam.probability: chance, adam.least: least, adam.greatest: greatest, adam.rare: rare, adam.deviation: spread,
        adam.decay: decay, descent.eta: eta, descent.horizon: STEPS,
    }  # fmt: skip
    weights = np.prod(np.where(happens == 1, chance, 1 - chance), axis=0)
    return Model(name, values, families=by_step, chance=weights)
