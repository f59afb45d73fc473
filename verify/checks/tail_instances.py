"""Runs with sub-Gaussian noise, in all outcomes of their coins, on which the theorems of single runs are tried."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from rdml_theory.symbolic.divergence import names
from rdml_theory.symbolic.kernel.model import Model
from rdml_theory.symbolic.mutual import composed, resting
from rdml_theory.symbolic.mutual.bias import jacobian
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import C, alpha
from rdml_theory.symbolic.sgd import ascent, descent, growth
from rdml_theory.symbolic.sgd import lagged_runs as lagged
from rdml_theory.symbolic.sgd import single_runs as tails
from verify.checks.coin_runs import STEPS, accumulated, by_step, coin_run, leaning, quadratic, sideways

__all__ = ["single_runs"]

Array = NDArray[np.float64]

SMOOTHNESS, DEVIATION, BIAS, FAILURE = 2.0, 0.3, 0.2, 0.6
START = [0.3, 0.3]
KNOWN = {tails.deviation: DEVIATION, tails.rank: 1, tails.failure: FAILURE, descent.zeta: BIAS}


def exceeds(mean: Array, level: float) -> Array:
    """I_T, at index T."""
    return np.repeat(np.asarray(mean >= level**2, dtype=np.float64)[:, None], STEPS, axis=1)


def _run(name: str, steps: Array, *, constant: bool) -> Model:
    """A run without momentum; its B is the least for this λ."""
    trade, far = 2.0, steps[:STEPS]
    run = coin_run(quadratic(SMOOTHNESS), START, far, bias=leaning(BIAS), noise=sideways(DEVIATION))
    h = SMOOTHNESS * steps
    room = 1 - trade * steps * h * DEVIATION**2
    each = slice(0, STEPS)
    u = (1 - h[each, None]) * run.g - h[each, None] * run.b
    chance = -np.sum(u * run.n, axis=2) + h[each] / 2 * np.sum(run.n**2, axis=2)
    cost = trade * far * DEVIATION**2 / (2 * room[each]) * np.sum(u**2, axis=2)
    sums = accumulated(trade * far * (chance - cost) + np.log(room[each]) / 2)
    total = float(far.sum())
    mean = np.sum(run.g**2, axis=2) @ far / total
    cross = float(np.sqrt((far * ((1 - h) / room)[each] ** 2).sum() / total))
    shares = ((1 - h) / room) ** 2 / cross
    least = float((1 - h / 2 - trade * steps * DEVIATION**2 / (2 * room) * (1 - h) ** 2).min())
    rest = run.level + BIAS**2 * float((steps * h / (2 * room))[each].sum())
    rest -= float(np.log(room[each]).sum()) / (2 * trade) + np.log(FAILURE) / trade
    linear = BIAS * (cross * total + float((far * shares[each]).sum())) / 2
    level = float((linear + np.sqrt(linear**2 + 4 * least * total * rest)) / (2 * least * total)) * (1 + 1e-12)
    told: dict[Any, float] = KNOWN | {
        tails.trade: trade * steps[0] if constant else trade, tails.cross: cross, tails.least: least,
        tails.level: level,
    }  # fmt: skip
    families = {
        "η": by_step(steps), "d": by_step(room), "w": by_step(shares), "L": by_step(sums), "I": exceeds(mean, level),
    }  # fmt: skip
    if constant:
        values, pulled = _pulled(float(steps[0]))
        told |= {tails.room_of_all: room[0], **values}
        families |= pulled
    return run.model(name, told, families=families)


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
        ascent.growth: 1.0, growth.push: push, growth.kept: kept, growth.floor: float(floor.max()),
        descent.sigma: DEVIATION,
    }  # fmt: skip
    return values, {name: np.broadcast_to(part, (STEPS, 1, 2)) for name, part in families.items()}


def _with_momentum(name: str, *, nesterov: bool) -> Model:
    """A run with momentum; its B is the least for these λ, φ, κ and ν."""
    mu, gamma, trade, paid, zeta = 0.5, 0.2, 0.5, 0.3, BIAS
    lag, h = mu**2 if nesterov else mu, SMOOTHNESS * gamma
    far, heavy = h * lag, trade * (h + 2 * paid)
    room = 1 - heavy * DEVIATION**2
    run = coin_run(
        quadratic(SMOOTHNESS), START, np.full(STEPS, gamma * (1 - mu)), bias=leaning(BIAS),
        noise=sideways(DEVIATION), momentum=mu, nesterov=nesterov,
    )  # fmt: skip
    ahead = {"z": run.x - lag * gamma * run.v}
    ahead |= {key: accumulated(part, mu) for key, part in (("G", run.g), ("E", run.b), ("N", run.n))}
    drawn = run.g + run.b
    u = SMOOTHNESS * ahead["z"][:, :STEPS] - h * drawn - 2 * mu * paid * ahead["N"][:, :STEPS]
    allowed = trade**2 * DEVIATION**2 * np.sum(u**2, axis=2) / (2 * room) - np.log(room) / 2
    sums = accumulated(heavy / 2 * np.sum(run.n**2, axis=2) - trade * np.sum(u * run.n, axis=2) - allowed)
    squares = accumulated(np.sum(drawn**2, axis=2), mu)
    slow = 1 / (1 - mu)
    theta = h * (1 + 2 * lag * (1 - mu ** ((STEPS - 1) / 2)) * slow + lag)
    along, against = abs(1 - h) + far * slow, h + far * slow
    bent = trade * DEVIATION**2 / room

    def width(level: float) -> float:
        return along * level + against * zeta + (far + 2 * mu * paid)

    def short(level: float) -> float:
        side, spread = abs(1 - theta) * zeta / 2, bent / 2 * width(level)
        slope = 1 - theta / 2 - side / level - spread * along / level
        most = run.level / (gamma * STEPS) + theta * zeta**2 / 2 + side * level + spread * against * zeta
        return slope * level**2 - most + np.log(room) / (2 * trade) + np.log(FAILURE) / (trade * STEPS)

    level = float(brentq(short, 0.3, 30.0, xtol=1e-13)) * (1 + 1e-9)  # type: ignore[arg-type]
    mean = np.sum(run.g**2, axis=2).mean(axis=1)
    told: dict[Any, float] = KNOWN | {
        descent.mu: mu, lagged.gamma: gamma, lagged.split: 1.0, lagged.paid: paid, lagged.scale: 1.0,
        lagged.slowness: slow, lagged.theta: theta, lagged.width: width(level), tails.trade: trade,
        tails.level: level, tails.room_of_all: room,
    }  # fmt: skip
    families = {"L": by_step(sums), "Q": by_step(squares), "I": exceeds(mean, level)}
    return run.model(name, told, families=families, processes=ahead)


def single_runs() -> tuple[Model, ...]:
    """All of them."""
    steps = np.arange(STEPS + 1, dtype=np.float64)
    return (
        _run("sub-Gaussian noise, steps that fall", 0.3 * (1 + steps) ** -0.5, constant=False),
        _run("sub-Gaussian noise, a constant step", 0.3 + 0.0 * steps, constant=True),
        _with_momentum("sub-Gaussian noise, a heavy ball", nesterov=False),
        _with_momentum("sub-Gaussian noise, Nesterov's momentum", nesterov=True),
    )
