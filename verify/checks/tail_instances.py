"""Runs with sub-Gaussian noise, in all outcomes of their coins, on which the theorems of single runs are tried."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from rdml_theory.symbolic.divergence import names
from rdml_theory.symbolic.kernel.model import Model, Objective, outcomes
from rdml_theory.symbolic.mutual import composed, resting
from rdml_theory.symbolic.mutual.bias import jacobian
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import C, alpha
from rdml_theory.symbolic.sgd import ascent, descent, growth, setting
from rdml_theory.symbolic.sgd import lagged_runs as lagged
from rdml_theory.symbolic.sgd import single_runs as tails

__all__ = ["single_runs"]

Array = NDArray[np.float64]

STEPS, SMOOTHNESS, DEVIATION, BIAS, FAILURE = 4, 2.0, 0.3, 0.2, 0.6
SIGNS = outcomes(STEPS)


def by_step(values: Any) -> Array:
    """Steps on the last axis; the entry at index 0 is the last."""
    return np.roll(np.array(values, dtype=np.float64), -1, axis=-1)


def exceeds(mean: Array, level: float) -> Array:
    """I_T, at index T."""
    return np.repeat(np.asarray(mean >= level**2, dtype=np.float64)[:, None], STEPS, axis=1)


def noise_of(slope: Array, sign: Array) -> Array:
    """A coin's, orthogonal to the gradient."""
    turned = np.stack([-slope[:, 1], slope[:, 0]], axis=1)
    return DEVIATION * sign[:, None] * turned / np.linalg.norm(turned, axis=1, keepdims=True)


def model_of(
    name: str, values: dict[Any, float], processes: dict[str, list[Array]], families: dict[str, Array]
) -> Model:  # fmt: skip
    """The model of a run on ``Λ‖x‖²/2``."""
    common = {
        setting.smoothness: SMOOTHNESS, setting.infimum: 0.0, descent.horizon: STEPS, tails.deviation: DEVIATION,
        tails.rank: 1, tails.failure: FAILURE, descent.gap: float(SMOOTHNESS * (processes["x"][0][0] ** 2).sum() / 2),
    }  # fmt: skip
    return Model(
        name,
        common | values,
        {"f": Objective(lambda x: SMOOTHNESS * np.sum(x**2, axis=-1) / 2, lambda x: SMOOTHNESS * x, SMOOTHNESS)},
        {key: np.stack(part, axis=1) for key, part in processes.items()},
        families=families,
        chance=np.full(SIGNS.shape[1], 1 / SIGNS.shape[1]),
        points=np.random.default_rng(0).normal(size=(10, 2)),
    )


def _run(name: str, steps: Array, *, constant: bool) -> Model:
    """A run without momentum; its B is the least."""
    trade = 2.0
    h = SMOOTHNESS * steps
    room = 1 - trade * steps * h * DEVIATION**2
    x, b, n, sums = [np.full((SIGNS.shape[1], 2), 0.3)], [], [], [np.zeros(SIGNS.shape[1])]
    for t, sign in enumerate(SIGNS):
        g = SMOOTHNESS * x[-1]
        b.append(-BIAS * g / np.linalg.norm(g, axis=1, keepdims=True))
        n.append(noise_of(g, sign))
        u = (1 - h[t]) * g - h[t] * b[-1]
        chance = -np.sum(u * n[-1], axis=1) + h[t] / 2 * np.sum(n[-1] ** 2, axis=1)
        cost = trade * steps[t] * DEVIATION**2 / (2 * room[t]) * np.sum(u**2, axis=1)
        sums.append(sums[-1] + trade * steps[t] * (chance - cost) + np.log(room[t]) / 2)
        x.append(x[-1] - steps[t] * (g + b[-1] + n[-1]))
    slopes = np.sum((SMOOTHNESS * np.stack(x[:STEPS], axis=1)) ** 2, axis=2)
    mean = slopes @ steps[:STEPS] / steps[:STEPS].sum()
    each, gap = slice(0, STEPS), float(SMOOTHNESS * (x[0][0] ** 2).sum() / 2)
    cross = float(np.sqrt((steps[each] * ((1 - h[each]) / room[each]) ** 2).sum() / steps[each].sum()))
    shares = ((1 - h) / room) ** 2 / cross
    least = float((1 - h / 2 - trade * steps * DEVIATION**2 / (2 * room) * (1 - h) ** 2).min())
    total = float(steps[each].sum())
    rest = gap + BIAS**2 * float((steps * h / (2 * room))[each].sum()) - float(np.log(room[each]).sum()) / (2 * trade)
    rest -= np.log(FAILURE) / trade
    linear = BIAS * (cross * total + float((steps * shares)[each].sum())) / 2
    level = float((linear + np.sqrt(linear**2 + 4 * least * total * rest)) / (2 * least * total)) * (1 + 1e-12)
    told: dict[Any, float] = {
        tails.trade: trade * steps[0] if constant else trade, descent.zeta: BIAS, tails.cross: cross,
        tails.least: least, tails.level: level,
    }  # fmt: skip
    families = {
        "η": by_step(steps), "d": by_step(room), "w": by_step(shares), "L": by_step(np.stack(sums, axis=1)),
        "I": exceeds(mean, level),
    }  # fmt: skip
    if constant:
        values, pulled = _pulled(float(steps[0]))
        told |= {descent.eta: steps[0], tails.room_of_all: room[0], **values}
        families |= pulled
    return model_of(name, told, {"x": x, "b": b, "n": n}, families)


def _pulled(step: float) -> tuple[dict[Any, float], dict[str, Array]]:
    """A peer at order one whose pull is that bias: as far from the student as D7 allows, along its Jacobian."""
    spread, weight = 1.5, 0.5
    q = 1 / (1 + np.exp(spread / 2 * np.array([1.0, -1.0])))
    pull, tau = q - q[::-1], np.tanh(spread / 4)
    families = {"q": q, "p": q[::-1], "w": q[::-1], "J": BIAS**2 * pull / (weight * pull @ pull)}
    values = {
        alpha: 1.0, names.rho: spread, beta: weight, jacobian: BIAS / (weight * np.sqrt(2) * tau), resting.tau: tau,
        composed.pairs: 1, C: 2,
    }  # fmt: skip
    # Half the square grows with the loss at the rate of one: the floor F of the last iterate, and P.
    h, push = SMOOTHNESS * step, BIAS / np.sqrt(2)
    kept, noise = 1 - step, step * h * DEVIATION**2 / 2
    floor = np.roots([1 - kept**2, -2 * kept * step * push, -((step * push) ** 2) - noise])
    values |= {
        ascent.growth: 1.0, growth.push: push, growth.kept: kept, growth.floor: float(floor.max()), descent.h: h,
        descent.sigma: DEVIATION,
    }  # fmt: skip
    return values, {name: np.broadcast_to(part, (STEPS, 1, 2)) for name, part in families.items()}


def _with_momentum(name: str, *, nesterov: bool) -> Model:
    """A run with momentum; its B is the least for these λ, φ, κ and ν."""
    mu, gamma, trade, paid, zeta = 0.5, 0.2, 0.5, 0.3, BIAS
    lag, step, h = mu**2 if nesterov else mu, gamma * (1 - mu), SMOOTHNESS * gamma
    far, heavy = h * lag, trade * (h + 2 * paid)
    room = 1 - heavy * DEVIATION**2
    start = np.full((SIGNS.shape[1], 2), 0.3)
    runs: dict[str, list[Array]] = {key: [0 * start] for key in "vGEN"} | {"x": [start], "z": [start], "b": [], "n": []}
    sums, squares = [np.zeros(len(start))], [np.zeros(len(start))]
    for sign in SIGNS:
        g, slope = SMOOTHNESS * runs["x"][-1], SMOOTHNESS * runs["z"][-1]
        b, n = -BIAS * g / np.linalg.norm(g, axis=1, keepdims=True), noise_of(g, sign)
        u = slope - h * (g + b) - 2 * mu * paid * runs["N"][-1]
        allowed = trade**2 * DEVIATION**2 * np.sum(u**2, axis=1) / (2 * room) - np.log(room) / 2
        sums.append(sums[-1] - trade * np.sum(u * n, axis=1) + heavy / 2 * np.sum(n**2, axis=1) - allowed)
        squares.append(mu * squares[-1] + np.sum((g + b) ** 2, axis=1))
        for key, new in (("v", g + b + n), ("G", g), ("E", b), ("N", n)):
            runs[key].append(mu * runs[key][-1] + new)
        v = runs["v"][-1]
        runs["x"].append(runs["x"][-1] - step * (g + b + n + mu * v if nesterov else v))
        runs["z"].append(runs["x"][-1] - lag * gamma * v)
        runs["b"].append(b)
        runs["n"].append(n)
    slow, gap = 1 / (1 - mu), float(SMOOTHNESS * (start[0] ** 2).sum() / 2)
    theta = h * (1 + 2 * lag * (1 - mu ** ((STEPS - 1) / 2)) * slow + lag)
    along, against = abs(1 - h) + far * slow, h + far * slow
    bent = trade * DEVIATION**2 / room

    def width(level: float) -> float:
        return along * level + against * zeta + (far + 2 * mu * paid)

    def short(level: float) -> float:
        side, spread = abs(1 - theta) * zeta / 2, bent / 2 * width(level)
        slope = 1 - theta / 2 - side / level - spread * along / level
        most = gap / (gamma * STEPS) + theta * zeta**2 / 2 + side * level + spread * against * zeta
        return slope * level**2 - most + np.log(room) / (2 * trade) + np.log(FAILURE) / (trade * STEPS)

    level = float(brentq(short, 0.3, 30.0, xtol=1e-13)) * (1 + 1e-9)  # type: ignore[arg-type]
    mean = np.sum((SMOOTHNESS * np.stack(runs["x"][:STEPS], axis=1)) ** 2, axis=2).mean(axis=1)
    told: dict[Any, float] = {
        descent.mu: mu, lagged.gamma: gamma, descent.zeta: zeta, lagged.split: 1.0, lagged.paid: paid,
        lagged.scale: 1.0, lagged.slowness: slow, lagged.theta: theta, lagged.width: width(level),
        tails.trade: trade, tails.level: level, tails.room_of_all: room,
    }  # fmt: skip
    families = {
        "L": by_step(np.stack(sums, axis=1)), "Q": by_step(np.stack(squares, axis=1)), "I": exceeds(mean, level),
    }  # fmt: skip
    return model_of(name, told, runs, families)


@cache
def single_runs() -> tuple[Model, ...]:
    """All of them."""
    steps = np.arange(STEPS + 1, dtype=np.float64)
    return (
        _run("sub-Gaussian noise, steps that fall", 0.3 * (1 + steps) ** -0.5, constant=False),
        _run("sub-Gaussian noise, a constant step", 0.3 + 0.0 * steps, constant=True),
        _with_momentum("sub-Gaussian noise, a heavy ball", nesterov=False),
        _with_momentum("sub-Gaussian noise, Nesterov's momentum", nesterov=True),
    )
