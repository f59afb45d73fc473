"""Students of mutual learning, exact to the last outcome, on which theorems of the kernel are tried."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from sympy import Symbol

from rdml_theory import escort
from rdml_theory.symbolic.divergence import names
from rdml_theory.symbolic.divergence.gradients import SHIFT
from rdml_theory.symbolic.kernel import Vector
from rdml_theory.symbolic.kernel.model import Model, Objective, outcomes
from rdml_theory.symbolic.mutual import bias as mutual
from rdml_theory.symbolic.mutual import (
    composed,
    gain,
    influence,
    one_input,
    plateau,
    resting,
    smooth_potential,
    stability,
)
from rdml_theory.symbolic.notation import C, alpha, k, l
from rdml_theory.symbolic.sgd import descent, setting

__all__ = ["students"]

STEPS = 4


def students() -> tuple[Model, ...]:
    """All of them."""
    return (*_resting(), _one_input(), *_estimates(), *_together(), *_training(), _linear(), _descending())


@cache
def _resting() -> tuple[Model, ...]:
    """Students of mutual learning on one input: at rest, also with labels of one class, and jumping between points."""
    order, spread, jacobian = 1.0, 1.5, 1.3
    tau, odds = np.tanh(order * spread / 4), -order * spread / 2
    q, w = 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(odds))

    def model(name: str, beta: float, h: float, q: float, w: float, y: float) -> Model:
        """With the shares q, w and y of the student, its escort and its labels; log-odds are √2 Gθ, and Λ = G²/2."""
        scale = np.sqrt(2) * jacobian
        theta = np.array([odds / scale])
        base, mutual_slope = scale * (q - y), scale * (q - w)
        lam, count = jacobian**2 / 2, STEPS + 1
        size = np.sqrt(2) * beta * jacobian * tau
        at = {
            alpha: order, names.rho: spread, mutual.jacobian: jacobian, plateau.beta: beta,
            resting.tau: tau, resting.q: q, resting.w: w, resting.y: y, resting.theta: theta,
            resting.e: np.ones(1), descent.eta: h / lam, descent.h: h, descent.horizon: STEPS, descent.Z: size,
            setting.t: 0,
        }  # fmt: skip
        slopes = {"f": base, "R": mutual_slope}
        still = np.broadcast_to(theta, (1, count, 1))
        bias = np.full((1, count, 1), beta * mutual_slope)
        objectives = {
            f: Objective(lambda x: 0 * x[..., 0], lambda x, c=c: c + 0 * x, np.inf) for f, c in slopes.items()
        }
        return Model(
            name, at, objectives,
            {"x": still, "b": bias, "n": np.zeros((1, count, 1))}, points=theta[None],
        )  # fmt: skip

    beta, strong = 0.4, 2.0
    # All labels of one class: what balances the pull is known in closed form.
    odds_ratio = np.exp(order * spread) - 1
    own = (strong * odds_ratio - 1) / ((1 + strong) * odds_ratio)
    return (
        model("student whose labels are all of one class", strong, 0.7, own, (1 + 1 / strong) * own, 0.0),
        model("student at rest, α = 1, ρ = 1.5", beta, 0.7, q, w, q + beta * (q - w)),
        model("student that jumps, α = 1, ρ = 1.5", beta, order * spread / (tau * (2 + 4 * beta)), q, w, 0.5),
    )


@cache
def _one_input() -> Model:
    """A student of three classes whose logits are G times its parameters, at rest on one input between two peers."""
    order, weight, jacobian = 1.0, 2.6, 1.3
    q, p = np.array([0.5, 0.3, 0.2]), np.array([[0.65, 0.2, 0.15], [0.55, 0.3, 0.15]])
    w = np.stack([escort(peer, q, order) for peer in p])
    slope = weight * jacobian * (w - q).mean(axis=0)
    labels, moved = q - slope / jacobian, jacobian * slope
    at = {
        plateau.beta: weight, mutual.jacobian: jacobian, alpha: order, C: 3, one_input.peers: 2,
        Vector("θ"): np.zeros(3),
        names.rho: float(np.ptp(np.log(p / q), axis=1).max()), l: int(moved.argmin()) + 1,
        k: int(moved.argmax()) + 1,
    }  # fmt: skip
    return Model(
        "student of three classes at rest on one input", at,
        {"f": Objective(lambda x: 0 * x[..., 0], lambda x: slope + 0 * x, np.inf)},
        families={"q": q, "p": p, "w": w, "y": labels, "v": moved},
    )  # fmt: skip


@cache
def _estimates() -> tuple[Model, ...]:
    """Students at rest: three with errors alone that are ± vectors, by fair coins; some of one quadratic loss."""
    count, product = 3, 0.8
    signs = outcomes(count + 1).T
    ways = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, -1.0]])
    pulled = product * count / (count - 1)

    def model(name: str, share: float) -> Model:
        common = np.sqrt(share) * signs[:, -1, None, None] * np.array([0.8, -0.6])
        alone = common + np.sqrt(1 - share) * signs[:, :count, None] * ways
        mean = alone.mean(axis=1)
        rest = (alone + pulled * mean[:, None]) / (1 + pulled)
        peers = (count * mean[:, None] - rest) / (count - 1)
        at = {
            alpha: 2.0, plateau.beta: product / 2, gain.students: count, gain.lone: 0.5, gain.k: 1,
            gain.share: share, influence.wanted: 1 / count + (1 - 1 / count) / (1 + pulled) ** 2,
        }  # fmt: skip
        return Model(
            name, at, processes={"x": rest, "e": alone, "u": peers}, random={"m": mean, "a": mean},
            chance=np.full(len(signs), 1 / len(signs)), points=np.random.default_rng(0).normal(size=(10, 2)),
        )  # fmt: skip

    minimiser, nothing = np.array([0.5, -1.0]), np.zeros(2)
    same = {Vector(name): minimiser for name in "θφψ"} | {Vector(name): nothing for name in "gh"}
    quadratic = Objective(lambda x: ((x - minimiser) ** 2).sum(axis=-1) / 2, lambda x: x - minimiser, 1.0)

    def slope(x: Any) -> Any:
        return x / np.sqrt(1 + (x**2).sum(axis=-1, keepdims=True))

    return (
        model("three estimates of a mean", 0.0),
        model("three estimates with common data", 0.3),
        Model(
            "two students at the minimiser of a quadratic loss",
            same | {plateau.beta: 1.0, Symbol("mu", positive=True): 1.0, Symbol("c", nonnegative=True): 1.0},
            {"f": quadratic}, points=np.random.default_rng(0).normal(size=(10, 2)),
        ),
        Model(
            "three students at the minimiser of a quadratic loss",
            {Vector("ψ"): minimiser, Vector("v"): slope(minimiser), plateau.beta: 1.0, gain.students: count,
             Symbol("mu", positive=True): 1.0},
            {"f": quadratic, "S": Objective(lambda x: np.sqrt(1 + (x**2).sum(axis=-1)), slope, 1.0)},
            {"x": np.broadcast_to(minimiser, (1, count, 2))}, {"m": minimiser[None]},
            points=np.random.default_rng(0).normal(size=(10, 2)),
        ),
    )  # fmt: skip


@cache
def _together() -> tuple[Model, ...]:
    """Three students near where all agree, and one alone, short of the limit and beyond it, with momentum and not."""
    count, product, steps = 3, 0.8, 5
    start = np.array([1.0, -0.4, 0.7])

    def family(values: Any) -> Any:
        """By step: the entry at index 0 is the last of an axis."""
        return np.roll(np.array(values), -1, axis=0)

    def run(x: Any, stiff: float, mu: float, nesterov: bool, pull: Any) -> tuple[Any, Any]:
        v = [0 * x]
        x = [x]
        for _ in range(steps):
            slope = stiff * pull(x[-1])
            v.append(mu * v[-1] + slope)
            x.append(x[-1] - (slope + mu * v[-1] if nesterov else v[-1]))
        return np.array(x), np.array(v)

    def peers(x: Any) -> Any:
        return (x.sum(axis=-1, keepdims=True) - x) / (count - 1)

    def pulled(x: Any) -> Any:
        return x + product * (x - peers(x))

    def model(stiff: float, mu: float, nesterov: bool = False) -> tuple[Model, Model]:
        h = stiff / (1 + product * count / (count - 1))
        method = f"μ = {mu:g}{', Nesterov' * nesterov}, s = {stiff:g}"
        x, v = run(start, h, mu, nesterov, pulled)
        told = {"x": x, "v": v, "u": peers(x), "m": x.mean(axis=1), "n": v.mean(axis=1)}
        at = {
            alpha: 0.5, plateau.beta: 2 * product, gain.students: count, stability.h: h, descent.mu: mu,
        }  # fmt: skip
        several = Model(
            f"three students near agreement, {method}", at, families={name: family(part) for name, part in told.items()}
        )
        x, v = run(np.array(1.0), stiff, mu, nesterov, lambda x: x)
        one = {stability.stiffness: stiff, descent.mu: mu}
        return several, Model(f"one student, {method}", one, families={"x": family(x), "v": family(v)})

    made = (model(1.3, 0.0), model(3.3, 0.0), model(2.8, 0.5), model(3.4, 0.5), model(1.4, 0.5, True),
            model(1.7, 0.5, True))  # fmt: skip
    return tuple(part for pair in made for part in pair)


@cache
def _training() -> tuple[Model, ...]:
    """A linear softmax student of three classes on two inputs, with one peer at rest, in all outcomes of its noise."""
    order, weight, h, sigma = 1.5, 0.7, 0.8, 0.2
    rng = np.random.default_rng(20261127)
    inputs, peer = rng.normal(size=(2, 2)), rng.normal(size=(3, 2))
    labels = np.eye(3)[:2]
    most = float(np.linalg.eigvalsh(inputs.T @ inputs / 2)[-1])

    def predicted(x: Any) -> Any:
        """Over (..., input, class), of weights on the last axis."""
        logits = np.einsum("...cf,nf->...nc", np.reshape(x, (*np.shape(x)[:-1], 3, 2)), inputs)
        odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return odds / odds.sum(axis=-1, keepdims=True)

    def slope(apart: Any) -> Any:
        """The mean of Jᵀ times a vector for each input."""
        return np.einsum("...nc,nf->...cf", apart, inputs).reshape(*apart.shape[:-2], 6) / 2

    p = predicted(peer.ravel())
    objective = Objective(
        lambda x: -np.log((predicted(x) * labels).sum(axis=-1)).mean(axis=-1),
        lambda x: slope(predicted(x) - labels),
        most / 2,
    )
    eta, signs = 2 * h / most, outcomes(STEPS)
    x: list[Any] = [np.zeros((signs.shape[1], 6))]
    b, n, told = [], [], []
    for sign in signs:
        q = predicted(x[-1])
        w = escort(np.broadcast_to(p, q.shape), q, order)
        b.append(weight * slope(q - w))
        n.append(sigma * sign[:, None] * np.eye(6)[0])
        told.append((np.broadcast_to(p, q.shape), q, w, np.einsum("ocf,nf->onc", b[-1].reshape(-1, 3, 2), inputs)))
        x.append(x[-1] - eta * (objective.gradient(x[-1]) + b[-1] + n[-1]))
    # Over (outcome, step, input, class); the entry at index 0 is the last of an axis.
    families = {
        name: np.roll(np.stack([row[place] for row in told], axis=1), -1, axis=1) for place, name in enumerate("pqwJ")
    }
    spread = float(np.max(np.ptp(np.log(families["p"] / families["q"]), axis=-1)))
    apart = ((families["q"] - families["w"]) ** 2).sum(axis=-1).mean(axis=(0, 2))
    at = {
        setting.smoothness: most / 2, descent.h: h, descent.eta: eta, descent.sigma: sigma, descent.horizon: STEPS,
        descent.gap: float(np.mean(objective.value(x[0]))), setting.infimum: 0.0, mutual.jacobian: np.sqrt(most),
        plateau.beta: weight, alpha: order, names.rho: spread, C: 3, composed.pairs: 2,
        composed.pull: float(apart.max()),
    }  # fmt: skip
    return (
        Model(
            "a linear softmax student with a peer at rest, with noise", at, {"f": objective},
            {name: np.stack(part, axis=1) for name, part in (("x", x), ("b", b), ("n", n))}, families=families,
            chance=np.full(signs.shape[1], 1 / signs.shape[1]), points=rng.normal(size=(10, 6)) * 3,
        ),
    )  # fmt: skip


_COHORT = (3, 5, 4)
"""How many linear softmax students, inputs and classes there are."""


@cache
def _linear() -> Model:
    """Three linear softmax students of four classes on five inputs, with a direction of all their weights."""
    rng = np.random.default_rng(20261127)
    inputs, (weights, way) = rng.normal(size=(5, 2)), rng.normal(size=(2, 3, 4, 2))
    logits, moves = (np.einsum("kcf,nf->knc", part, inputs)[None] for part in (weights, way))
    at = {**_cohort(inputs), SHIFT: 0.3, setting.t: 0, smooth_potential.direction: way.ravel()}
    families = {"z": logits, "v": moves, "y": rng.dirichlet(np.ones(4), size=(3, 5))}
    return Model("three linear softmax students of four classes", at, families=families)


def _cohort(inputs: Any) -> dict[Any, float]:
    """The numbers of three linear softmax students on these inputs."""
    students, count, classes = _COHORT
    most = float(np.linalg.eigvalsh(inputs.T @ inputs / count)[-1])
    return {
        setting.smoothness: most / 2, plateau.beta: 0.7, gain.students: students, composed.pairs: count, C: classes,
    }  # fmt: skip


@cache
def _descending() -> Model:
    """Three linear softmax students at order ½, in all outcomes of a noise: descent on their potential."""
    students, count, classes = _COHORT
    rng = np.random.default_rng(20261127)
    inputs = rng.normal(size=(count, 2))
    labels = rng.dirichlet(np.ones(classes), size=(students, count))
    told, h, sigma = _cohort(inputs), 1.2, 0.2
    weight = told[plateau.beta] / (students - 1)

    def logits(x: Any) -> Any:
        return np.einsum("...kcf,nf->...knc", np.reshape(x, (*np.shape(x)[:-1], students, classes, 2)), inputs)

    def pairs(z: Any) -> Any:
        """The mean logits of every two students, over (..., student, peer, input, class)."""
        return (z[..., :, None, :, :] + z[..., None, :, :, :]) / 2

    def value(x: Any) -> Any:
        z = logits(x)
        own = np.log(np.exp(z).sum(axis=-1))
        base = own - (labels * z).sum(axis=-1)
        apart = own[..., :, None, :] + own[..., None, :, :] - 2 * np.log(np.exp(pairs(z)).sum(axis=-1))
        return (base.sum(axis=-2) + weight / 2 * apart.sum(axis=(-3, -2))).mean(axis=-1)

    def softmax(z: Any) -> Any:
        return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)

    def gradient(x: Any) -> Any:
        z = logits(x)
        pull = softmax(z)[..., :, None, :, :] - softmax(pairs(z))
        slope = softmax(z) - labels + weight * pull.sum(axis=-3)
        return np.einsum("...knc,nf->...kcf", slope, inputs).reshape(np.shape(x)) / count

    eta = h / ((1 + told[plateau.beta]) * told[setting.smoothness])
    signs, x, noises = outcomes(STEPS), [np.zeros((2**STEPS, students * classes * 2))], []
    for sign in signs:
        noises.append(sigma * sign[:, None] * np.eye(x[0].shape[1])[0])
        x.append(x[-1] - eta * (gradient(x[-1]) + noises[-1]))
    z = np.stack([logits(at) for at in x], axis=1)
    # Over (outcome, step, student, input, class); the entry at index 0 is the last of an axis.
    families = {"z": np.roll(z, -1, axis=1), "v": np.roll(np.diff(z, axis=1), -1, axis=1), "y": labels}
    told |= {
        descent.eta: eta, descent.h: h, descent.sigma: sigma, descent.horizon: STEPS, setting.infimum: 0.0,
        descent.gap: float(np.mean(value(x[0]))),
    }  # fmt: skip
    return Model(
        "three linear softmax students at α = ½, with noise", told, {"f": Objective(value, gradient, np.inf)},
        {"x": np.stack(x, axis=1), "b": np.zeros((2**STEPS, STEPS, x[0].shape[1])), "n": np.stack(noises, axis=1)},
        families=families, chance=np.full(2**STEPS, 0.5**STEPS), points=rng.normal(size=(10, x[0].shape[1])) * 3,
    )  # fmt: skip
