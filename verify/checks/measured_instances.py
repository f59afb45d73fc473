"""Instances of the theorems behind experiments and measurements, exact to the last outcome."""

from __future__ import annotations

from functools import cache

import numpy as np

from rdml_theory.symbolic import shared_rate
from rdml_theory.symbolic.kernel.model import Model, Objective, outcomes
from rdml_theory.symbolic.mutual import gain, plateau, scaling
from rdml_theory.symbolic.notation import alpha
from rdml_theory.symbolic.sgd import descent, minibatch, scope, step_condition

__all__ = ["measured"]

POINTS = np.random.default_rng(0).normal(size=(10, 2))


@cache
def measured() -> tuple[Model, ...]:
    """All of them."""
    return (*_gradient_steps(), _decreasing_steps(), _mini_batch(), _student_near_consensus(), _intervals())


def _quadratic(curvature: float) -> Objective:
    return Objective(lambda x: curvature * np.sum(x**2, axis=-1) / 2, lambda x: curvature * x, curvature)


def _gradient_steps() -> tuple[Model, ...]:
    """A short and a long step of gradient descent on a quadratic."""
    curvature = 2.0
    return tuple(
        Model(
            f"a {name} gradient step on a quadratic",
            {step_condition.theta: POINTS[0], step_condition.curvature: curvature, descent.eta: eta},
            {"f": _quadratic(curvature)},
        )
        for name, eta in (("short", 0.4), ("long", 1.3))
    )


def _decreasing_steps() -> Model:
    """All outcomes of a run on a quadratic with a constant bias, noise of ±σ and steps that fall."""
    curvature, sigma, count = 2.0, 0.3, 4
    pull = np.array([0.4, 0.0])
    signs = outcomes(count)
    steps = 0.3 / (1 + np.arange(count + 1))
    x, n = [np.broadcast_to([1.5, -0.5], (signs.shape[1], 2))], []
    for t, sign in enumerate(signs):
        n.append(sigma * sign[:, None] * np.array([0.6, 0.8]))
        x.append(x[-1] - steps[t] * (curvature * x[-1] + pull + n[-1]))
    constant = np.broadcast_to(pull, (signs.shape[1], count, 2))
    told = {
        scope.curvature: curvature, scope.pull: pull, descent.sigma: sigma, descent.Z: float(np.linalg.norm(pull)),
    }  # fmt: skip
    return Model(
        "quadratic with a constant bias and decreasing steps",
        told,
        {"f": _quadratic(curvature)},
        {"x": np.stack(x, axis=1), "b": constant, "n": np.stack(n, axis=1)},
        families={"η": np.roll(steps, -1)},
        chance=np.full(signs.shape[1], 1 / signs.shape[1]),
        points=POINTS,
    )


def _mini_batch() -> Model:
    """Every batch of two out of three samples."""
    count, size, weight = 3, 2, 0.7
    rng = np.random.default_rng(20261127)
    base, mutual = rng.normal(size=(2, count, 2))
    drawn = np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0]])  # the last is no sample
    whole = base + weight * mutual
    apart = np.vstack([whole - whole.mean(axis=0), np.zeros(2)])
    sums = np.zeros((len(drawn), count + 1, 2))
    sums[:, 1:] = np.cumsum(drawn[:, :count, None] * apart[:count], axis=1)
    total = np.vstack([np.zeros(2), np.cumsum(apart[:count], axis=0)])
    fixed = {"l": base, "r": mutual, "d": apart, "D": total}
    told = {
        minibatch.samples: count, minibatch.batch: size, plateau.beta: weight,
        minibatch.spread: float((apart**2).sum() / count),
    }  # fmt: skip
    means = {"g": drawn[:, :count] @ whole / size, "L": base.mean(axis=0), "R": mutual.mean(axis=0)}
    return Model(
        "mini-batches of two out of three samples",
        told,
        processes={"S": sums} | {name: np.broadcast_to(v, (len(drawn), *v.shape)) for name, v in fixed.items()},
        random={name: np.broadcast_to(v, (len(drawn), 2)) for name, v in means.items()},
        families={"s": np.roll(drawn, -1, axis=1)},
        chance=np.full(len(drawn), 1 / len(drawn)),
        points=POINTS,
    )


def _student_near_consensus() -> Model:
    """A student at rest among three; its optimum and the mean of its peers' are independent signs."""
    size, own, count, order, weight = 0.8, 0.5, 3, 2.0, 0.3
    signs = np.array([[a, b] for a in (-1.0, 1.0) for b in (-1.0, 1.0)])
    optimum = np.sqrt(own * size) * signs[:, :1] * np.array([1.0, 0.0])
    peers = np.sqrt(size / (count - 1)) * signs[:, 1:] * np.array([0.6, 0.8])
    rest = (optimum + order * weight * peers) / (1 + order * weight)
    told = {scaling.constant: size, scaling.own: own, gain.students: count, alpha: order, plateau.beta: weight}
    chance = np.full(len(signs), 1 / len(signs))
    return Model("a student at rest near consensus", told, random={"s": rest, "a": optimum, "m": peers}, chance=chance)


def _intervals() -> Model:
    """Three intervals that miss independently of each other."""
    level, count = 0.05, 3
    missed = outcomes(count, (0.0, 1.0)).T
    chance = np.prod(np.where(missed == 1, level, 1 - level), axis=1)
    some = np.column_stack([np.zeros(len(missed)), np.maximum.accumulate(missed, axis=1)])
    scores = np.random.default_rng(0).normal(size=(2, count))
    told = {
        shared_rate.level: level, shared_rate.rate: count * level, shared_rate.count: count, shared_rate.seeds: count,
    }  # fmt: skip
    families = {"m": np.column_stack([missed, missed[:, :1]]), "u": some, "a": scores[0], "b": scores[1]}
    rolled = {name: np.roll(family, -1, axis=-1) for name, family in families.items()}
    return Model("three intervals that miss independently", told, families=rolled, chance=chance)
