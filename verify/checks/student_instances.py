"""Students of mutual learning, exact to the last outcome, on which theorems of the kernel are tried."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sympy import Symbol

from convergence import MutualLearning
from rdml_theory import escort, renyi_divergence, renyi_gradient
from rdml_theory.symbolic.divergence import names
from rdml_theory.symbolic.divergence.gradients import SHIFT
from rdml_theory.symbolic.kernel import Vector
from rdml_theory.symbolic.kernel.model import Model, Objective, outcomes
from rdml_theory.symbolic.mutual import bias as mutual
from rdml_theory.symbolic.mutual import (
    composed,
    gain,
    game,
    influence,
    moving_target,
    one_input,
    plateau,
    resting,
    scaling,
    smooth_potential,
    stability,
)
from rdml_theory.symbolic.notation import C, alpha, k, l
from rdml_theory.symbolic.sgd import descent, setting
from verify.checks.coin_runs import STEPS, by_step, coin_run, quadratic, sloping

__all__ = ["students"]

Array = NDArray[np.float64]


def students() -> tuple[Model, ...]:
    """All of them."""
    return (
        *_logits(), _following(2.0), _following(1.0), *_resting(), _one_input(), *_estimates(), _near_consensus(),
        _at_the_minimiser(), *_together(), _beside_a_peer(), *_cohort(),
    )  # fmt: skip


def _logits() -> tuple[Model, ...]:
    """Logits of two students of three classes, at several orders."""
    rng = np.random.default_rng(20261127)
    logits = {name: rng.normal(size=3) for name in "uzv"}
    told = {C: 3, SHIFT: 0.4, game.peer: 0.2, game.own: 1.1}
    return tuple(Model(f"logits, α = {a:g}", {alpha: a, **told}, families=logits) for a in (0.5, 0.3, 2.0))


def _following(order: float) -> Model:
    """Three logits that follow a peer whose logits go round in a circle, on the divergence, with noise."""
    weight, eta, sigma, way = 0.7, 0.8, 0.1, 0.5

    def value(z: Array, u: Array) -> Array:
        return weight * renyi_divergence(u, z, order, domain="logits")

    def gradient(z: Array, u: Array) -> Array:
        return weight * renyi_gradient(u, z, order, wrt="q", domain="logits")

    angles = way * np.arange(STEPS + 1)
    u = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1, dtype=np.float64)
    run = coin_run(
        Objective(value, gradient, weight * max(order, 1.0) / 2), np.zeros(3), np.full(STEPS, eta), given=u,
        noise=lambda at: sigma * at.coin * np.array([1.0, -1.0, 0.0]) / np.sqrt(2),
    )  # fmt: skip
    drift = float(np.mean(value(run.x[:, 1:], u[1:]) - value(run.x[:, 1:], u[:-1])))
    told = {
        descent.sigma: sigma, moving_target.drift: max(drift / eta, 0.0), moving_target.peer_step: way / eta,
        mutual.jacobian: 1.0, plateau.beta: weight, alpha: order, names.rho: 60.0, C: 3, composed.pairs: 1,
    }  # fmt: skip
    peers = np.broadcast_to(u, run.x.shape)
    # Over (outcome, step, pair, class).
    families = {"u": by_step(peers[:, :, None], axis=1), "z": by_step(run.x[:, :, None], axis=1)}
    name = f"three logits that follow a restless peer, α = {order:g}"
    return run.model(name, told, objective="F", families=families, processes={"u": peers})


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
        still, one = np.broadcast_to(theta, (1, count, 1)), np.ones((1, count, 1))
        return Model(
            name, at, {"f": sloping(base), "R": sloping(mutual_slope)},
            {"x": still, "b": beta * mutual_slope * one, "n": 0 * one}, points=theta[None],
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
        {"f": sloping(slope)}, families={"q": q, "p": p, "w": w, "y": labels, "v": moved},
    )  # fmt: skip


def _estimates() -> tuple[Model, ...]:
    """Three students at rest, with errors alone that are ± vectors, by fair coins."""
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

    return model("three estimates of a mean", 0.0), model("three estimates with common data", 0.3)


def _at_the_minimiser() -> Model:
    """Two students, and three, at the minimiser of one quadratic loss."""
    minimiser, count = np.array([0.5, -1.0]), 3

    def slope(x: Array) -> Array:
        return x / np.sqrt(1 + (x**2).sum(axis=-1, keepdims=True))

    at = {Vector(name): minimiser for name in "θφψ"} | {Vector(name): np.zeros(2) for name in "gh"}
    at |= {
        Vector("v"): slope(minimiser), plateau.beta: 1.0, gain.students: count, Symbol("mu", positive=True): 1.0,
        Symbol("c", nonnegative=True): 1.0,
    }  # fmt: skip
    objectives = {
        "f": Objective(lambda x: ((x - minimiser) ** 2).sum(axis=-1) / 2, lambda x: x - minimiser, 1.0),
        "S": Objective(lambda x: np.sqrt(1 + (x**2).sum(axis=-1)), slope, 1.0),
    }
    return Model(
        "students at the minimiser of a quadratic loss", at, objectives,
        {"x": np.broadcast_to(minimiser, (1, count, 2))}, {"m": minimiser[None]},
        points=np.random.default_rng(0).normal(size=(10, 2)),
    )  # fmt: skip


def _near_consensus() -> Model:
    """A student at rest among three; its optimum and the mean of its peers' are independent signs."""
    size, own, count, order, weight = 0.8, 0.5, 3, 2.0, 0.3
    signs = outcomes(2).T
    optimum = np.sqrt(own * size) * signs[:, :1] * np.array([1.0, 0.0])
    peers = np.sqrt(size / (count - 1)) * signs[:, 1:] * np.array([0.6, 0.8])
    rest = (optimum + order * weight * peers) / (1 + order * weight)
    told = {scaling.constant: size, scaling.own: own, gain.students: count, alpha: order, plateau.beta: weight}
    chance = np.full(len(signs), 1 / len(signs))
    return Model("a student at rest near consensus", told, random={"s": rest, "a": optimum, "m": peers}, chance=chance)


def _together() -> tuple[Model, ...]:
    """Three students near where all agree, and one alone, short of the limit and beyond it, with momentum and not."""
    count, product = 3, 0.8

    def peers(x: Array) -> Array:
        return (x.sum(axis=-1, keepdims=True) - x) / (count - 1)

    def models(stiff: float, mu: float, nesterov: bool) -> tuple[Model, ...]:
        h = stiff / (1 + product * count / (count - 1))
        method = f"μ = {mu:g}{', Nesterov' * nesterov}, s = {stiff:g}"
        # The students are the coordinates.
        pulled = Objective(peers, lambda x: h * (x + product * (x - peers(x))), np.inf)
        several, one = (
            coin_run(f, start, np.ones(STEPS), momentum=mu, nesterov=nesterov)
            for f, start in ((pulled, [1.0, -0.4, 0.7]), (quadratic(stiff), [1.0]))
        )
        x, v = several.x[0], several.v[0]
        at = {
            alpha: 0.5, plateau.beta: 2 * product, gain.students: count, stability.h: h, descent.mu: mu,
        }  # fmt: skip
        told = {"x": x, "v": v, "u": peers(x), "m": x.mean(axis=1), "n": v.mean(axis=1)}
        alone = {"x": one.x[0, :, 0], "v": one.v[0, :, 0]}
        return tuple(
            Model(f"{who}, {method}", values, families={name: by_step(part, axis=0) for name, part in steps.items()})
            for who, values, steps in (
                ("three students near agreement", at, told),
                ("one student", {stability.stiffness: stiff, descent.mu: mu}, alone),
            )
        )

    plain, nesterov = ((1.3, 0.0), (3.3, 0.0), (2.8, 0.5), (3.4, 0.5)), ((1.4, 0.5), (1.7, 0.5))
    settings = [(*pair, pair in nesterov) for pair in (*plain, *nesterov)]
    return tuple(model for setting in settings for model in models(*setting))


def _beside_a_peer() -> Model:
    """A linear softmax student of three classes on two inputs, with one peer at rest, in all outcomes of its noise."""
    sigma, rng = 0.2, np.random.default_rng(20261127)
    played = MutualLearning([rng.normal(size=(2, 2))] * 2, np.array([0, 2]), alpha=1.5, beta=0.7)
    own, other = played.players
    peer = rng.normal(size=other.stop - own.stop)

    def both(x: Array) -> Array:
        return np.concatenate([x, np.broadcast_to(peer, x.shape)], axis=-1)

    f = Objective(
        lambda x: played.base_losses(both(x))[..., 0],
        lambda x: played.gradient(both(x))[..., own],
        played.student_smoothness[0],
    )
    run = coin_run(
        f, np.zeros(own.stop), np.full(STEPS, 0.8 / f.smoothness),
        bias=lambda at: played.gradients(both(at.x))[1][..., own],
        noise=lambda at: sigma * at.coin * np.eye(own.stop)[0],
    )  # fmt: skip
    z, u = played.logits(both(run.x[:, :STEPS]))
    # Over (outcome, step, input, class); J is what the bias does to the logits, which are linear.
    families = {
        "p": softmax(u, axis=-1), "q": softmax(z, axis=-1), "w": escort(u, z, played.alpha, domain="logits"),
        "J": played.logits(both(run.b))[0],
    }  # fmt: skip
    apart = ((families["q"] - families["w"]) ** 2).sum(axis=-1).mean(axis=(0, 2))
    told = {
        descent.sigma: sigma, mutual.jacobian: played.student_jacobian[0], plateau.beta: played.beta,
        alpha: played.alpha, names.rho: float(np.max(np.ptp(u - z, axis=-1))), C: played.classes,
        composed.pairs: played.samples, composed.pull: float(apart.max()),
    }  # fmt: skip
    return run.model(
        "a linear softmax student with a peer at rest, with noise", told,
        families={name: by_step(part, axis=1) for name, part in families.items()},
    )  # fmt: skip


def _cohort() -> tuple[Model, Model]:
    """Three linear softmax students of four classes at order ½: with a way of all their weights, and on their Φ."""
    sigma, rng = 0.2, np.random.default_rng(20261127)
    played = MutualLearning(list(rng.normal(size=(3, 5, 2))), np.array([0, 1, 2, 3, 1]), alpha=0.5, beta=0.7)

    def family(x: Array) -> Array:
        """The logits, over (..., student, input, class)."""
        return np.stack(played.logits(x), axis=-3)

    told: dict[Any, Any] = {
        setting.smoothness: played.smoothness, plateau.beta: played.beta, gain.students: played.students,
        composed.pairs: played.samples, C: played.classes,
    }  # fmt: skip
    # Each student has labels of its own: what they differ by from those of the game adds a linear function.
    labels = rng.dirichlet(np.ones(played.classes), size=(played.students, played.samples))
    apart = (played.targets.T - labels) / played.samples
    slope = (apart * family(np.eye(played.dim))).sum(axis=(1, 2, 3))
    weights, way = rng.normal(size=(2, 1, played.dim))
    at = told | {SHIFT: 0.3, setting.t: 0, smooth_potential.direction: way[0]}
    here = Model(
        "three linear softmax students of four classes", at,
        families={"z": family(weights), "v": family(way), "y": labels},
    )  # fmt: skip
    smooth = (1 + played.beta) * played.smoothness
    run = coin_run(
        Objective(
            lambda x: played.potential(x) + x @ slope, lambda x: np.add(*played.gradients(x)) + slope, smooth
        ), played.start, np.full(STEPS, 1.2 / smooth), noise=lambda at: sigma * at.coin * np.eye(played.dim)[0],
    )  # fmt: skip
    z = family(run.x)
    steps = {"z": by_step(z, axis=1), "v": by_step(np.diff(z, axis=1), axis=1), "y": labels}
    at = told | {descent.sigma: sigma, descent.h: 1.2}
    return here, run.model("three linear softmax students at α = ½, with noise", at, families=steps)
