"""Runs of library problems, exact to the last outcome, on which theorems of the kernel are tried.

A theorem whose hypotheses no run satisfies would be vacuous; one whose conclusion fails where they hold would be false.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergence import Assumptions, floor, problems, scope_bound
from convergence.momentum import best_potential
from convergence.problems import SyntheticProblem
from convergence.problems.quadratic_cosine import QuadraticCosine
from rdml_theory import escort, renyi_divergence, renyi_gradient
from rdml_theory.symbolic.divergence import names, tilt
from rdml_theory.symbolic.divergence.gradients import SHIFT
from rdml_theory.symbolic.divergence.limits import TOP
from rdml_theory.symbolic.divergence.order import HIGHER
from rdml_theory.symbolic.kernel import Theorem
from rdml_theory.symbolic.kernel.model import Model, Objective, outcomes
from rdml_theory.symbolic.mutual import bias as mutual_bias
from rdml_theory.symbolic.mutual import composed, game, gram, influence, moving_target, tunability
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import C, alpha, i, j, k
from rdml_theory.symbolic.sgd import (
    ascent,
    best_iterate,
    constant_bias,
    descent,
    extremal,
    growth,
    long_run,
    long_steps,
    momentum,
    refinements,
    scope,
    setting,
    tight,
    worst_case,
)
from verify.checks.measured_instances import measured
from verify.checks.student_instances import students
from verify.checks.tail_instances import single_runs
from verify.checks.update_instances import updates

__all__ = [
    "at_rest", "distributions", "following", "games", "mutual_gradients", "on_a_line", "satisfied_by", "sgd_runs",
]  # fmt: skip

STEPS = 4


def satisfied_by(theorem: Theorem) -> tuple[list[str], list[str]]:
    """The names of the runs on which all hypotheses hold, and of those among them on which the conclusion fails."""
    lines = (on_a_line(), on_a_line(greatest=True), on_a_line(law=True), at_rest(), against_the_bias(), turning())
    students_of = (to_and_fro(), *games(), *mutual_gradients(), following(2.0), following(1.0), *students())
    models = (*sgd_runs(), *updates(), *lines, *students_of, *distributions(), *_values(), *measured(), *single_runs())
    found = {model.name: model.satisfies(theorem) for model in models}
    return [name for name, holds in found.items() if holds is not None], [n for n, h in found.items() if h is False]


def _run(
    name: str, problem: SyntheticProblem, h: float, *, sigma: float, Z: float, side: float,
    share: float = 0.0, mu: float = 0.0, nesterov: bool = False, values: Mapping[Any, float] | None = None,
) -> Model:  # fmt: skip
    """All outcomes of a run whose noise is a fair coin's, ±σ orthogonal to ∇f, and whose bias is along ∇f or constant.

    ‖b‖² is ``Z²`` plus ``share`` times ‖∇f‖²; the bias points against the gradient for ``side`` 1, and along the
    first axis at every step for ``side`` 0.
    """
    eta, axis = h / problem.smoothness, np.eye(problem.dim)[0]
    signs = outcomes(STEPS)
    x = [np.broadcast_to(problem.start, (signs.shape[1], problem.dim)).copy()]
    b: list[NDArray[np.float64]] = []
    n: list[NDArray[np.float64]] = []
    v = [0 * x[0]]
    for sign in signs:
        g = problem.gradient(x[-1])
        size = np.linalg.norm(g, axis=1, keepdims=True)
        b.append(-side * np.sqrt(Z**2 + share * size**2) * g / size if side else Z * (axis + 0 * g))
        n.append(sigma * sign[:, None] * _orthogonal(g) / size)
        v.append(mu * v[-1] + g + b[-1] + n[-1])
        x.append(x[-1] - eta * (g + b[-1] + n[-1] + mu * v[-1] if nesterov else v[-1]))
    start, end = (float(np.mean(problem.value(at))) for at in (x[0], x[-1]))
    lam = problem.smoothness
    least = min(float(np.min(np.sum(problem.gradient(at) ** 2, axis=1))) for at in x[:STEPS])
    told = {
        setting.smoothness: lam, descent.h: lam * eta, descent.eta: eta, descent.gap: start - problem.minimum,
        descent.sigma: sigma, descent.Z: Z, descent.horizon: STEPS, setting.infimum: problem.minimum,
        refinements.relative_bias: share, tight.weight: 0.7, constant_bias.ratio: 1 - h, constant_bias.bias: Z,
        constant_bias.distance: float(problem.gradient(problem.start)[0]) + Z, constant_bias.unit: axis,
        scope.pull: Z * axis, best_iterate.BEST: least, worst_case.fall: max(start - end, 0.0),
        **_near(problem, eta, sigma, Z),
        alpha: 0.7, names.rho: 2.0, mutual_bias.jacobian: 4.0, beta: 0.6,
        tunability.increase: 0.3,
    }  # fmt: skip
    if mu:
        told |= {
            descent.mu: mu, momentum.fresh: 1 + mu if nesterov else 1.0, momentum.past: mu**2 if nesterov else mu,
            **_potential(lam, eta, mu, nesterov),
        }  # fmt: skip
    return Model(
        name,
        told | dict(values or {}),
        {"f": Objective(problem.value, problem.gradient, problem.smoothness)},
        {name: np.stack(part, axis=1) for name, part in (("x", x), ("b", b), ("n", n), ("v", v))},
        chance=np.full(signs.shape[1], 1 / signs.shape[1]),
        families=_schedules(),
        points=np.random.default_rng(0).normal(size=(15, problem.dim)) * 3,
    )


def _potential(lam: float, eta: float, mu: float, nesterov: bool) -> dict[Any, float]:
    """The constants of a potential that falls."""
    found = best_potential(
        Assumptions(smoothness=lam, gap=1.0, noise=0.0, bias=1.0), eta, 9, momentum=mu, nesterov=nesterov
    )
    omega, theta, r = (float(part) for part in found.constants())
    return {
        momentum.coupling: eta * omega, momentum.energy: lam * eta**2 * theta, momentum.steepness: r / lam,
        momentum.stiffness: found.stiffness, momentum.level: (0.5 + r - omega**2 / (4 * theta)) / lam,
    }  # fmt: skip


def _schedules() -> dict[str, NDArray[np.float64]]:
    """A falling order, weights and ranges, and steps, by step; the entry at index 0 is the last of an array."""
    steps = np.arange(STEPS)
    falling = {"α": 1 / (1 + steps), "β": 1 + 0 * steps, "ρ": 2 - 0.1 * steps, "η": 0.3 / (1 + steps)}
    return {name: np.roll(values, -1) for name, values in falling.items()}


def at_rest() -> Model:
    """A quadratic whose gradient is the negative of a constant bias."""
    pull = np.array([0.4, 0.0])
    x, b = (np.broadcast_to(value, (1, STEPS + 1, 2)) for value in (-pull / 2.0, pull))
    return Model(
        "quadratic at rest under a constant bias",
        {
            setting.smoothness: 2.0,
            descent.horizon: STEPS,
            scope.pull: pull,
            ascent.growth: 2.0,
            descent.Z: 0.4,
            descent.h: 0.5,
            descent.eta: 0.25,
            descent.mu: 0.6,
        },
        {"f": Objective(lambda x: np.sum(x**2, axis=-1), lambda x: 2.0 * x, 2.0)},
        {"x": x, "b": b, "v": 0 * b},
        families=_schedules(),
        points=np.random.default_rng(0).normal(size=(15, 2)) * 3,
    )


def _near(problem: SyntheticProblem, eta: float, sigma: float, Z: float) -> dict[Any, float]:
    """Near which quadratic the problem is, and what bounds the scope of its iterates."""
    if not isinstance(problem, QuadraticCosine):
        return {scope.curvature: problem.smoothness, scope.perturbation: 0.0}
    bent = problem.amplitude * problem.frequency * float(np.sqrt(problem.dim))
    square = scope_bound(problem.curvature, eta, noise=sigma**2, bias=Z**2, perturbation=bent)
    most = max(float(np.sqrt(square)), float(np.linalg.norm(problem.start)))
    return {scope.curvature: problem.curvature, scope.perturbation: bent, scope.radius: most * (1 + 1e-12)}


def _orthogonal(g: NDArray[np.float64]) -> NDArray[np.float64]:
    """A vector of the same norm, orthogonal to the gradient, in the plane of the first two axes and rescaled."""
    turned = np.zeros_like(g)
    turned[:, 0], turned[:, 1] = -g[:, 1], g[:, 0]
    plane = np.linalg.norm(turned, axis=1, keepdims=True)
    return turned / plane * np.linalg.norm(g, axis=1, keepdims=True)


def _falling(h: float, share: float, sigma: float) -> Model:
    """A run on a quadratic whose bias is in proportion to the gradient; F and Z are what it has."""
    side = 1.0 if h <= 1 else -1.0
    name = f"quadratic, h = {h:g}, ‖b‖ = {share:g}‖∇f‖"
    run = _run(name, _quadratic(1.5), h, sigma=sigma, Z=0.0, side=side, share=share**2)
    squares = (2.0 * run.processes["x"][:, :STEPS]) ** 2  # Λ = 2
    average = float(np.sqrt(run.chance @ squares.sum(axis=2).mean(axis=1)))
    return replace(run, values={**run.values, extremal.floor: average, descent.Z: share * average})


def _quadratic(radius: float) -> SyntheticProblem:
    return problems.get("quadratic", dim=2, smoothness=2.0, radius=radius)


def against_the_bias() -> Model:
    """A quadratic and a constant bias, against which the run starts: what C9 says is attained."""
    mu, eta, reach, gap, axis = 2.0, 0.3, 0.2, 4.0, np.array([1.0, 0.0])
    levels = reach + (1 - eta * mu) ** np.arange(STEPS + 1) * (np.sqrt(gap) - reach)
    values = {
        setting.smoothness: 2.5, ascent.growth: mu, descent.eta: eta, descent.h: 2.5 * eta, extremal.floor: reach,
        descent.gap: gap, descent.horizon: STEPS, constant_bias.unit: axis,
    }  # fmt: skip
    quadratic = Objective(lambda x: np.sum(x**2, axis=-1), lambda x: 2.0 * x, 2.0)
    x = (-levels[:, None] * axis)[None] * np.sqrt(2 / mu)
    return Model("quadratic, against a constant bias", values, {"f": quadratic}, {"x": x}, points=x[0])


def to_and_fro() -> Model:
    """A quadratic on which a bias along the gradient turns every step back: what C9 says is attained."""
    lam, h, zeta, part = 2.0, 1.5, 0.4, 0.05
    eta, c = h / lam, 2 - h
    settled = (h * zeta) ** 2 / (2 * lam * (c**2 - part * h**2))
    x = np.sqrt(2 * settled / lam) * np.outer((-1.0) ** np.arange(STEPS + 1), [1.0, 0.0])
    values = {
        setting.smoothness: lam, descent.eta: eta, descent.h: h, descent.Z: zeta, descent.horizon: STEPS,
        refinements.relative_bias: part, long_steps.lean: c, long_steps.high: settled,
    }  # fmt: skip
    quadratic = Objective(lambda x: lam / 2 * np.sum(x**2, axis=-1), lambda x: lam * x, lam)
    processes = {"x": x[None], "b": (c / h * lam * x)[None]}
    return Model("quadratic, to and fro along the bias", values, {"f": quadratic}, processes, points=x)


def turning() -> Model:
    """A heavy ball on a quadratic, whose iterates turn by one angle: what C11 says is attained."""
    lam, mu, h, zeta = 2.0, 0.6, 0.3, 0.4
    eta, way = h / lam, np.arccos((1 + mu) * (1 + mu - h) / (4 * mu))
    radius = 2 * np.sqrt(mu) * h * zeta / ((1 - mu) * np.sqrt(4 * mu - (1 + mu - h) ** 2)) / lam
    angles = way * np.arange(-1, STEPS + 2)
    path = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    v = (path[:-1] - path[1:]) / eta
    x, b = path[1:], v[1:] - mu * v[:-1] - lam * path[1:-1]
    values = {
        setting.smoothness: lam, descent.mu: mu, descent.h: h, descent.eta: eta, descent.Z: zeta,
        descent.horizon: STEPS,
    }  # fmt: skip
    quadratic = Objective(lambda x: lam / 2 * np.sum(x**2, axis=-1), lambda x: lam * x, lam)
    processes = {"x": x[None], "v": v[None], "b": b[None]}
    return Model("heavy ball that turns on a quadratic", values, {"f": quadratic}, processes, points=x)


def _under_growth(h: float, mu: float, sigma: float, Z: float, share: float) -> Model:
    """A run on a quadratic with Λ = 2, with μ, and the F, r, p, c, s, d, q, γ, ρ and H of C9."""
    name = f"quadratic, h = {h:g}, μ = {mu:g}, m = {share:g}, σ = {sigma:g}"
    run = _run(name, _quadratic(1.5), h, sigma=sigma, Z=Z, side=1.0, share=share)
    kept = 1 - mu / 2 * min(h, 2 - h)

    def pushed(r: float) -> float:
        return float(np.sqrt(share * r**2 + Z**2 / (2 * mu)))

    def after(r: float) -> float:
        return float(np.sqrt((kept * r + h / 2 * mu * pushed(r)) ** 2 + h**2 / 4 * sigma**2))

    r = [float(np.sqrt(run.values[descent.gap]))]
    for _ in range(500):
        r.append(after(r[-1]))
    long = {long_steps.lean: 0.5, ascent.trade: 0.95, long_steps.spare: 0.1}
    values = {**run.values, ascent.growth: mu, growth.floor: r[-1], **long}
    numbers = {letter: value for letter, value in values.items() if np.ndim(value) == 0}
    for told in reversed(long_steps.long_definitions()):
        values[told.left] = numbers[told.left] = float(told.right.subs(numbers))
    once, twice = (float(long_steps.LONG_FLOOR.subs({**numbers, long_steps.high: high})) for high in (0, 1))
    values[long_steps.high] = once / (1 - (twice - once))
    steps = np.array(r[: STEPS + 2])
    families = {"r": np.roll(steps, -1), "p": np.roll([pushed(at) for at in steps], -1)}
    return replace(run, values=values, families={**run.families, **families})


@cache
def sgd_runs() -> tuple[Model, ...]:
    """The runs on which theorems of SGD are tried."""
    sigma, Z, share = 0.3, 0.4, 0.2
    cosine = problems.get("quadratic_cosine", dim=3, amplitude=0.4, frequency=1.5)
    runs = [
        _run(f"quadratic plus cosine, h = {h:g}", cosine, h, sigma=sigma, Z=Z, side=np.sign(1.1 - h))
        for h in (0.5, 1.0, 1.5)
    ]
    runs += [
        _run(f"{method}, μ = 0.6", cosine, 0.1, sigma=sigma, Z=Z, side=1.0, mu=0.6, nesterov=method == "Nesterov")
        for method in ("heavy ball", "Nesterov")
    ]
    runs += [
        _run(f"heavy ball without noise, μ = 0.6, h = {h:g}", cosine, h, sigma=0.0, Z=Z, side=1.0, mu=0.6)
        for h in (0.08, 0.3)
    ]
    for h in (0.5, 1.0, 1.3):
        for part in (0.0, share):
            at = Assumptions(smoothness=2.0, gap=0.0, noise=sigma**2, bias=Z**2, relative_bias=part)
            settled = float(np.sqrt(float(floor(at, h / 2.0))))
            name = f"extremal quadratic, h = {h:g}, m = {part:g}"
            runs.append(
                _run(name, _quadratic(settled / 2), h, sigma=sigma, Z=Z, side=1.0 if h <= 1 else -1.0,
                     share=part, values={extremal.floor: settled, ascent.growth: 2.0})
            )  # fmt: skip
    plain = _quadratic(1.5)
    last = 2 / (1 + np.sqrt(share))
    runs += [
        *(
            _under_growth(h, mu, coin, Z, share)
            for h, mu, coin in ((0.5, 1.0, sigma), (1.0, 2.0, sigma), (1.1, 0.5, sigma), (0.5, 2.0, 0.0))
        ),
        _run("quadratic, constant bias, h = 0.6", plain, 0.6, sigma=0.0, Z=Z, side=0.0),
        _run("quadratic, constant bias and noise, h = 0.6", plain, 0.6, sigma=sigma, Z=Z, side=0.0),
        _falling(0.6, 0.5, sigma),
        _falling(1.4, 0.3, sigma),
        _run("quadratic without bias, h = 0.7", plain, 0.7, sigma=sigma, Z=0.0, side=1.0),
        _run(f"quadratic, h = {last:.4g}, m = {share:g}", plain, last, sigma=0.0, Z=0.0, side=-1.0, share=share),
    ]
    return tuple(runs)


ORDERS = (0.3, 0.5, 1.0, 1.7, 3.0)


def _numbers(order: float, **families: NDArray[np.float64]) -> dict[Any, float]:
    """The numbers that theorems of two distributions speak of; the families have the classes on the last axis."""
    ratio = np.log(families["p"] / families["q"])
    classes, least = ratio.shape[-1], float(min(np.min(family) for family in families.values()))
    return {
        alpha: order, C: classes, i: 1, j: 2, k: 1, names.rho: float(np.max(np.ptp(ratio, axis=-1))),
        names.LEAST_PROBABILITY: least, SHIFT: 0.3, beta: 0.7,
    }  # fmt: skip


def _named(
    order: float, p: NDArray[np.float64], q: NDArray[np.float64], group: NDArray[np.float64]
) -> dict[Any, float]:
    """What single theorems name besides; their letters stand for other things where there is more than p and q."""
    return {
        HIGHER: order + 0.9, TOP: float(np.max(p / q)), names.LEAST: float(np.min(np.log(p / q))),
        influence.product: 0.7 * order, influence.increase: 0.4, influence.reach: 1.3,
        names.PEER_MASS: float(p @ group), names.STUDENT_MASS: float(q @ group),
    }  # fmt: skip


@cache
def distributions() -> tuple[Model, ...]:
    """Two and three random distributions on four classes, at several orders, and the two classes that move the most."""
    rng = np.random.default_rng(20261127)
    q, p, v = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4)), rng.normal(size=4)
    third = rng.dirichlet(np.ones(4))
    pairs = [(f"two distributions on four classes, α = {a:g}", a, p, q, v, {}) for a in ORDERS]
    pairs += [(f"three distributions on four classes, α = {a:g}", a, p, q, third, {}) for a in (0.3, 1.7)]
    order, odds = 1.7, 2.5
    # What attains the bound of the student's gradient, and that of the peer's.
    student, peer = (np.array([1.0, x]) for x in (odds, odds))
    tops = (np.array([odds ** (2 / order), odds]), np.array([1.0, odds ** (1 + 2 / (order - 1))]))
    more = {tilt.X: odds, tilt.Y: tops[1][1], tilt.EXCESS: order - 1}
    for name, first, second in (("student", tops[0], student), ("peer", peer, tops[1])):
        pairs.append(
            (
                f"the two classes that move a {name} the most",
                order, first / first.sum(), second / second.sum(), v[:2], more,
            )
        )  # fmt: skip
    told = []
    for name, order, p, q, v, more in pairs:
        group = np.array([1.0, 0.0, 1.0, 0.0])[: len(p)]
        families = {
            "p": p, "q": q, "w": escort(p, q, order), "v": v, "s": v, "g": group,
            "z": np.log(q) - 0.3 * v, "u": np.log(p) - 0.3 * v,
        }  # fmt: skip
        told.append(Model(name, _numbers(order, p=p, q=q) | _named(order, p, q, group) | more, families=families))
    return tuple(told)


def _values() -> tuple[Model, ...]:
    """Values of four classes, and of two equally likely ones, between the least and the greatest."""
    rng = np.random.default_rng(20261127)
    told = []
    for name, q in (("four", rng.dirichlet(np.ones(4))), ("two equally likely", np.array([0.5, 0.5]))):
        v = np.sort(rng.normal(size=len(q)))
        between = {C: len(q), names.LEAST: v[0], names.GREATEST: v[-1]}
        told.append(Model(f"values of {name} classes", between, families={"q": q, "v": v}))
    return tuple(told)


@cache
def on_a_line(*, greatest: bool = False, law: bool = False) -> Model:
    """A run at a constant gradient: along the line f' falls and rises again at slope Λ, and at the end falls to 0.

    U is that of the gradient, or of the law at the run's R, which is a little greater; V is that of the gradient.
    """
    lam, h, zeta = 1.6, 0.6, 0.5
    most = 2 * zeta * (1 - h) / h
    lower = surplus = most if greatest else 0.6 * most
    eta, level = h / lam, zeta + surplus
    step = eta * surplus
    knots = np.append(np.arange(2 * STEPS + 1) * step / 2, STEPS * step + level / lam)
    heights = np.append(np.where(np.arange(2 * STEPS + 1) % 2, level - lam * step / 2, level), 0.0)
    falls = np.append(0.0, np.cumsum(np.diff(knots) * (heights[:-1] + heights[1:]) / 2))

    def slope(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(-x[..., 0], knots, heights)

    def value(x: NDArray[np.float64]) -> NDArray[np.float64]:
        way, before = -x[..., 0], np.clip(np.searchsorted(knots, -x[..., 0], side="right") - 1, 0, len(knots) - 1)
        return falls[-1] - falls[before] - (way - knots[before]) * (slope(x) + heights[before]) / 2

    x: NDArray[np.float64] = np.arange(STEPS + 1, dtype=np.float64)[None, :, None] * -step
    rate = float(falls[-1]) / (eta * STEPS)
    if law:
        surplus = (np.sqrt(zeta**2 + 4 * (1 - h / 4) * rate) - zeta) / (2 * (1 - h / 4))
        level = zeta + surplus
    ratio = 4 * level / (h * (2 * zeta + (4 - h) * surplus))
    room = ratio * h * (2 - h) / 2 - 1
    cost = 0.0 if greatest else ratio * h**2 / 2 * (ratio / 2 - 1) / room
    held = ratio * h * surplus / (4 * level)
    precision = 1.1 * (cost * zeta**2 + held * level**2) / (1 - held)  # for m = 1
    told = {
        setting.smoothness: lam, descent.h: h, descent.eta: eta, descent.gap: float(falls[-1]), descent.horizon: STEPS,
        setting.infimum: 0.0, descent.zeta: zeta, long_run.surplus: surplus, long_run.multiplier: ratio,
        long_run.cost: cost, long_run.phase: 1, long_run.lower: lower, long_run.precision: precision,
        long_run.rest: STEPS - 2, long_run.rate: rate, long_run.unit: np.ones(1),
    }  # fmt: skip
    return Model(
        f"a line at a constant gradient{', the greatest' if greatest else ', with the law at its R' if law else ''}",
        told,
        {"f": Objective(value, lambda x: slope(x)[..., None], lam)},
        {"x": x, "b": np.full((1, STEPS + 1, 1), -zeta)},
        points=np.linspace(-3, 3, 15)[:, None],
    )


def games() -> tuple[Model, ...]:
    """Logits of two students of three classes, at several orders."""
    rng = np.random.default_rng(20261127)
    logits = {name: rng.normal(size=3) for name in "uzv"}
    told = {C: 3, SHIFT: 0.4, game.peer: 0.2, game.own: 1.1}
    return tuple(Model(f"logits, α = {a:g}", {alpha: a, **told}, families=logits) for a in (0.5, 0.3, 2.0))


@cache
def following(order: float) -> Model:
    """Three logits that follow a peer whose logits go round in a circle, on the divergence, with noise."""
    weight, eta, sigma, way = 0.7, 0.8, 0.1, 0.5

    def value(z: NDArray[np.float64], u: NDArray[np.float64]) -> NDArray[np.float64]:
        peer, student = np.broadcast_arrays(u, z)
        return weight * renyi_divergence(peer, student, order, domain="logits")

    def gradient(z: NDArray[np.float64], u: NDArray[np.float64]) -> NDArray[np.float64]:
        peer, student = np.broadcast_arrays(u, z)
        return weight * renyi_gradient(peer, student, order, wrt="q", domain="logits")

    signs = outcomes(STEPS)
    angles = way * np.arange(STEPS + 1)
    u = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1).astype(np.float64)
    x, n = [np.zeros((signs.shape[1], 3))], []
    for t, sign in enumerate(signs):
        n.append(sigma * sign[:, None] * np.array([1.0, -1.0, 0.0]) / np.sqrt(2))
        x.append(x[-1] - eta * (gradient(x[-1], u[t]) + n[-1]))
    chance = np.full(signs.shape[1], 1 / signs.shape[1])
    drifts = [float(chance @ (value(x[t + 1], u[t + 1]) - value(x[t + 1], u[t]))) for t in range(STEPS)]
    smooth = weight * max(order, 1.0) / 2
    told = {
        setting.smoothness: smooth, descent.h: smooth * eta, descent.eta: eta, descent.sigma: sigma,
        descent.gap: float(chance @ value(x[0], u[0])), descent.horizon: STEPS, setting.infimum: 0.0,
        moving_target.drift: max(float(np.mean(drifts)) / eta, 0.0), moving_target.peer_step: way / eta,
        mutual_bias.jacobian: 1.0, beta: weight, alpha: order, names.rho: 60.0, C: 3, composed.pairs: 1,
    }  # fmt: skip
    # Over (outcome, step, pair, class); the entry at index 0 is the last of an axis.
    peers, student = np.broadcast_to(u[:, None], (len(chance), STEPS + 1, 1, 3)), np.stack(x, axis=1)[:, :, None]
    return Model(
        f"three logits that follow a restless peer, α = {order:g}",
        told,
        {"F": Objective(value, gradient, smooth)},
        {"x": np.stack(x, axis=1), "n": np.stack(n, axis=1), "u": np.broadcast_to(u, (len(chance), *u.shape))},
        families={"u": np.roll(peers, -1, axis=1), "z": np.roll(student, -1, axis=1)},
        chance=chance,
        points=np.random.default_rng(0).normal(size=(8, 3)) * 3,
    )


@cache
def mutual_gradients() -> tuple[Model, ...]:
    """A linear softmax student on five inputs with a peer, and one whose every input pulls alike."""
    rng = np.random.default_rng(20261127)
    inputs, student, peer = rng.normal(size=(5, 2)), rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    q, p = (np.exp(inputs @ weights.T) for weights in (student, peer))
    q, p = q / q.sum(axis=1, keepdims=True), p / p.sum(axis=1, keepdims=True)

    def model(
        name: str, jacobian: NDArray[np.float64], p: NDArray[np.float64], q: NDArray[np.float64], order: float = 2.0,
        odds: float = 1.0,
    ) -> Model:  # fmt: skip
        """``jacobian`` has the shape (inputs, classes, parameters)."""
        w = escort(p, q, order)
        slope = np.einsum("ncd,nc->d", jacobian, q - w) / len(q)
        most = float(np.linalg.eigvalsh(np.einsum("ncd,nce->de", jacobian, jacobian) / len(q))[-1])
        count = jacobian.shape[2]

        def image(y: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.einsum("ncd,nd->nc", jacobian, y + np.zeros((len(q), count)))

        return Model(
            name,
            {
                gram.gram: most,
                gram.theta: np.zeros(count),
                gram.pull: (q - w)[0],
                mutual_bias.jacobian: np.sqrt(most),
                **_numbers(order, p=p, q=q),
                tilt.X: odds,
            },
            {
                "R": Objective(lambda x: 0 * x[:, 0], lambda x: slope + 0 * x, np.inf),
                "ρ": Objective(lambda x: np.ptp(np.log(p / q), axis=1), lambda x: x, np.inf),
            },
            random={
                "x": q,
                "q": q,
                "w": w,
                "J": lambda y: np.einsum("ncd,nd->nc", jacobian, y + np.zeros((len(q), count))),
            },
            families={"p": p, "q": q, "w": w},
            chance=np.full(len(q), 1 / len(q)),
            points=rng.normal(size=(20, count)),
        )

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
