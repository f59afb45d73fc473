"""All models on which theorems of the kernel are tried: runs, students and distributions, exact to the last outcome.

A theorem whose hypotheses no model satisfies would be vacuous; one whose conclusion fails where they hold would be
false. How to add a model is said in :mod:`verify.checks.coin_runs`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from rdml_theory import escort
from rdml_theory.symbolic import shared_rate
from rdml_theory.symbolic.divergence import names, tilt
from rdml_theory.symbolic.divergence.gradients import SHIFT
from rdml_theory.symbolic.divergence.limits import TOP
from rdml_theory.symbolic.divergence.order import HIGHER
from rdml_theory.symbolic.kernel import Theorem
from rdml_theory.symbolic.kernel.model import Model, Objective, outcomes
from rdml_theory.symbolic.mutual import bias as mutual_bias
from rdml_theory.symbolic.mutual import gram, influence
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import C, alpha, i, j, k
from rdml_theory.symbolic.sgd import minibatch
from verify.checks.coin_runs import accumulated, by_step, sloping
from verify.checks.sgd_instances import sgd_runs
from verify.checks.student_instances import students
from verify.checks.tail_instances import single_runs

__all__ = ["models", "satisfied_by"]

Array = NDArray[np.float64]


@cache
def models() -> tuple[Model, ...]:
    """All of them."""
    others = (*_distributions(), *_values(), *_mutual_gradients(), _mini_batch(), _intervals())
    return (*sgd_runs(), *single_runs(), *students(), *others)


def satisfied_by(theorem: Theorem) -> tuple[list[str], list[str]]:
    """The names of the models on which all hypotheses hold, and of those among them on which the conclusion fails."""
    found = {model.name: model.satisfies(theorem) for model in models()}
    return [name for name, holds in found.items() if holds is not None], [n for n, h in found.items() if h is False]


ORDERS = (0.3, 0.5, 1.0, 1.7, 3.0)


def _numbers(order: float, **families: Array) -> dict[Any, float]:
    """The numbers that theorems of two distributions speak of; the families have the classes on the last axis."""
    ratio = np.log(families["p"] / families["q"])
    classes, least = ratio.shape[-1], float(min(np.min(family) for family in families.values()))
    return {
        alpha: order, C: classes, i: 1, j: 2, k: 1, names.rho: float(np.max(np.ptp(ratio, axis=-1))),
        names.LEAST_PROBABILITY: least, SHIFT: 0.3, beta: 0.7,
    }  # fmt: skip


def _named(alpha: float, p: Array, q: Array, group: Array) -> dict[Any, float]:
    """What single theorems name besides; their letters stand for other things where there is more than p and q."""
    return {
        HIGHER: alpha + 0.9, TOP: float(np.max(p / q)), names.LEAST: float(np.min(np.log(p / q))),
        influence.product: 0.7 * alpha, influence.increase: 0.4, influence.reach: 1.3,
        names.PEER_MASS: float(p @ group), names.STUDENT_MASS: float(q @ group),
    }  # fmt: skip


def _distributions() -> tuple[Model, ...]:
    """Two and three random distributions on four classes, at several orders, and the two classes that move the most."""
    rng = np.random.default_rng(20261127)
    q, p, v = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4)), rng.normal(size=4)
    third = rng.dirichlet(np.ones(4))

    def model(name: str, alpha: float, p: Array, q: Array, v: Array, more: dict[Any, float]) -> Model:
        group = np.array([1.0, 0.0, 1.0, 0.0])[: len(p)]
        families = {
            "p": p, "q": q, "w": escort(p, q, alpha), "v": v, "s": v, "g": group,
            "z": np.log(q) - 0.3 * v, "u": np.log(p) - 0.3 * v,
        }  # fmt: skip
        return Model(name, _numbers(alpha, p=p, q=q) | _named(alpha, p, q, group) | more, families=families)

    # What attains the bound of the student's gradient, and that of the peer's.
    alpha, odds = 1.7, 2.5
    far = odds ** (1 + 2 / (alpha - 1))
    more = {tilt.X: odds, tilt.Y: far, tilt.EXCESS: alpha - 1}
    most = (("student", [odds ** (2 / alpha), odds], [1.0, odds]), ("peer", [1.0, odds], [1.0, far]))
    return (
        *(model(f"two distributions on four classes, α = {a:g}", a, p, q, v, {}) for a in ORDERS),
        *(model(f"three distributions on four classes, α = {a:g}", a, p, q, third, {}) for a in (0.3, 1.7)),
        *(
            model(f"the two classes that move a {who} the most", alpha, p / np.sum(p), q / np.sum(q), v[:2], more)
            for who, p, q in most
        ),
    )


def _values() -> tuple[Model, ...]:
    """Values of four classes, and of two equally likely ones, between the least and the greatest."""
    rng = np.random.default_rng(20261127)
    told = []
    for name, q in (("four", rng.dirichlet(np.ones(4))), ("two equally likely", np.array([0.5, 0.5]))):
        v = np.sort(rng.normal(size=len(q)))
        between = {C: len(q), names.LEAST: v[0], names.GREATEST: v[-1]}
        told.append(Model(f"values of {name} classes", between, families={"q": q, "v": v}))
    return tuple(told)


def _mutual_gradients() -> tuple[Model, ...]:
    """A linear softmax student on five inputs with a peer, and one whose every input pulls alike."""
    rng = np.random.default_rng(20261127)
    inputs, student, peer = rng.normal(size=(5, 2)), rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    q, p = (softmax(inputs @ weights.T, axis=1) for weights in (student, peer))

    def model(name: str, jacobian: Array, p: Array, q: Array, alpha: float = 2.0, odds: float = 1.0) -> Model:
        """``jacobian`` has the shape (inputs, classes, parameters)."""
        w = escort(p, q, alpha)
        slope = np.einsum("ncd,nc->d", jacobian, q - w) / len(q)
        most = float(np.linalg.eigvalsh(np.einsum("ncd,nce->de", jacobian, jacobian) / len(q))[-1])
        count = jacobian.shape[2]
        told = {
            gram.gram: most, gram.theta: np.zeros(count), gram.pull: (q - w)[0], mutual_bias.jacobian: np.sqrt(most),
            **_numbers(alpha, p=p, q=q), tilt.X: odds,
        }  # fmt: skip
        objectives = {
            "R": sloping(slope),
            "ρ": Objective(lambda x: np.ptp(np.log(p / q), axis=1), lambda x: x, np.inf),
        }
        image = {"J": lambda y: np.einsum("ncd,nd->nc", jacobian, y + np.zeros((len(q), count)))}
        return Model(
            name, told, objectives, random={"x": q, "q": q, "w": w, **image}, families={"p": p, "q": q, "w": w},
            chance=np.full(len(q), 1 / len(q)), points=rng.normal(size=(20, count)),
        )  # fmt: skip

    linear = np.einsum("nf,ce->ncef", inputs, np.eye(3)).reshape(5, 3, 6)
    alike = np.broadcast_to(1.5 * np.eye(3), (5, 3, 3))
    same = (np.broadcast_to(p[:1], p.shape), np.broadcast_to(q[:1], q.shape))
    worst = 2.5
    peer, student = worst ** np.array([[1.0, 1.0]]), np.array([[1.0, worst]])
    extremal = (peer / peer.sum(), student / student.sum())
    return (
        *(model(f"linear softmax student on five inputs, α = {a:g}", linear, p, q, a) for a in ORDERS),
        model("student whose logits are its parameters", alike, *same),
        model("student of two classes that moves the most", 1.5 * np.eye(2)[None], *extremal, odds=worst),
    )


def _mini_batch() -> Model:
    """Every batch of two out of three samples."""
    count, size, weight = 3, 2, 0.7
    rng = np.random.default_rng(20261127)
    base, mutual = rng.normal(size=(2, count, 2))
    drawn = np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0]])  # the last is no sample
    whole = base + weight * mutual
    apart = np.vstack([whole - whole.mean(axis=0), np.zeros(2)])
    sums, (total,) = accumulated(drawn[:, :count, None] * apart[:count]), accumulated(apart[None, :count])
    fixed = {"l": base, "r": mutual, "d": apart, "D": total}
    told = {
        minibatch.samples: count, minibatch.batch: size, beta: weight,
        minibatch.spread: float((apart**2).sum() / count),
    }  # fmt: skip
    means = {"g": drawn[:, :count] @ whole / size, "L": base.mean(axis=0), "R": mutual.mean(axis=0)}
    return Model(
        "mini-batches of two out of three samples", told,
        processes={"S": sums} | {name: np.broadcast_to(v, (len(drawn), *v.shape)) for name, v in fixed.items()},
        random={name: np.broadcast_to(v, (len(drawn), 2)) for name, v in means.items()},
        families={"s": by_step(drawn)}, chance=np.full(len(drawn), 1 / len(drawn)), points=rng.normal(size=(10, 2)),
    )  # fmt: skip


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
    rolled = {name: by_step(family) for name, family in families.items()}
    return Model("three intervals that miss independently", told, families=rolled, chance=chance)
