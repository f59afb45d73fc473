"""Runs of SGD, of signs and of Adam, in all outcomes: on quadratics, a nonconvex function and a line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from convergence import Assumptions, floor, problems, scope_bound
from convergence.momentum import best_potential
from convergence.problems import SyntheticProblem
from convergence.problems.quadratic_cosine import QuadraticCosine
from rdml_theory.symbolic.divergence import names
from rdml_theory.symbolic.kernel.model import Model, Objective, outcomes
from rdml_theory.symbolic.mutual import bias as mutual_bias
from rdml_theory.symbolic.mutual import tunability
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import alpha
from rdml_theory.symbolic.sgd import (
    adam,
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
    sign_descent,
    step_condition,
    tight,
    worst_case,
)
from verify.checks.coin_runs import STEPS, Part, Step, by_step, coin_run, leaning, quadratic, rms, sideways

__all__ = ["sgd_runs"]

Array = NDArray[np.float64]

SIGMA, ZETA, SHARE = 0.3, 0.4, 0.2


def sgd_runs() -> tuple[Model, ...]:
    """The runs on which theorems of SGD are tried."""
    bent, cosine = (problems.get("quadratic_cosine", dim=d, amplitude=0.4, frequency=1.5) for d in (2, 3))
    plain, last = _quadratic(1.5), 2 / (1 + np.sqrt(SHARE))
    return (
        *(_run(f"quadratic plus cosine, h = {h:g}", cosine, h) for h in (0.5, 1.0, 1.5)),
        _run("heavy ball, μ = 0.6", cosine, 0.1, mu=0.6),
        _run("Nesterov, μ = 0.6", cosine, 0.1, mu=0.6, nesterov=True),
        *(_run(f"heavy ball without noise, μ = 0.6, h = {h:g}", cosine, h, sigma=0.0, mu=0.6) for h in (0.08, 0.3)),
        *(_extremal(h, share) for h in (0.5, 1.0, 1.3) for share in (0.0, SHARE)),
        *(
            _under_growth(h, mu, sigma)
            for h, mu, sigma in ((0.5, 1.0, SIGMA), (1.0, 2.0, SIGMA), (1.1, 0.5, SIGMA), (0.5, 2.0, 0.0))
        ),
        _run("quadratic, constant bias, h = 0.6", plain, 0.6, sigma=0.0, constant=True),
        _run("quadratic, constant bias and noise, h = 0.6", plain, 0.6, constant=True),
        _run("quadratic, h = 0.6, ‖b‖ = 0.5‖∇f‖", plain, 0.6, zeta=0.0, share=0.25),
        _run("quadratic, h = 1.4, ‖b‖ = 0.3‖∇f‖", plain, 1.4, zeta=0.0, share=0.09),
        _run("quadratic without bias, h = 0.7", plain, 0.7, zeta=0.0),
        _run(f"quadratic, h = {last:.4g}, m = {SHARE:g}", plain, last, sigma=0.0, zeta=0.0, share=SHARE),
        _decreasing_steps(), _on_a_line(), _on_a_line(greatest=True), _on_a_line(law=True),
        _at_rest(), _against_the_bias(), _to_and_fro(), _turning(),
        *_gradient_steps(), _adam("Adam", 0.0), _adam("AdamW", 0.3),
        _signed("signs on a quadratic plus cosine", bent, lambda at: 0.4 * at.coin),
        _signed("signs to and fro on a quadratic", _quadratic(1.5), lambda at: (at.t % 2 - 1) * at.g),
    )  # fmt: skip


def _run(
    name: str, problem: SyntheticProblem, h: float, *, sigma: float = SIGMA, zeta: float = ZETA, share: float = 0.0,
    constant: bool = False, mu: float = 0.0, nesterov: bool = False,
) -> Model:  # fmt: skip
    """A run with noise ±σ orthogonal to ∇f, and a bias that is constant, or against ∇f, and along it for h > 1."""
    lam, axis = problem.smoothness, np.eye(problem.dim)[0]
    eta = h / lam
    run = coin_run(
        problem, problem.start, np.full(STEPS, eta), momentum=mu, nesterov=nesterov,
        bias=(lambda at: zeta * axis) if constant else leaning(zeta, share, way=-1.0 if h <= 1 else 1.0),
        noise=sideways(sigma) if sigma else None,
    )  # fmt: skip
    fall = run.level - float(np.mean(problem.value(run.x[:, -1])))
    told = {
        descent.sigma: sigma, descent.Z: zeta, extremal.floor: rms(run.g),
        refinements.relative_bias: share, tight.weight: 0.7, constant_bias.ratio: 1 - h, constant_bias.bias: zeta,
        constant_bias.distance: float(problem.gradient(problem.start)[0]) + zeta, constant_bias.unit: axis,
        scope.pull: zeta * axis, best_iterate.BEST: float(np.min(np.sum(run.g**2, axis=2))),
        worst_case.fall: max(fall, 0.0), **_near(problem, eta, sigma, zeta),
        alpha: 0.7, names.rho: 2.0, mutual_bias.jacobian: 4.0, beta: 0.6, tunability.increase: 0.3,
    }  # fmt: skip
    if mu:
        told |= {
            descent.mu: mu, momentum.fresh: 1 + mu if nesterov else 1.0, momentum.past: mu**2 if nesterov else mu,
            **_potential(lam, eta, mu, nesterov),
        }  # fmt: skip
    return run.model(name, told, families=_schedules())


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


def _schedules() -> dict[str, Array]:
    """A falling order, weights and ranges, and steps."""
    steps = np.arange(STEPS)
    falling = {"α": 1 / (1 + steps), "β": 1 + 0 * steps, "ρ": 2 - 0.1 * steps, "η": 0.3 / (1 + steps)}
    return {name: by_step(values) for name, values in falling.items()}


def _near(problem: SyntheticProblem, eta: float, sigma: float, zeta: float) -> dict[Any, float]:
    """Near which quadratic the problem is, and what bounds the scope of its iterates."""
    if not isinstance(problem, QuadraticCosine):
        return {scope.curvature: problem.smoothness, scope.perturbation: 0.0, ascent.growth: problem.smoothness}
    bent = problem.amplitude * problem.frequency * float(np.sqrt(problem.dim))
    square = scope_bound(problem.curvature, eta, noise=sigma**2, bias=zeta**2, perturbation=bent)
    most = max(float(np.sqrt(square)), float(np.linalg.norm(problem.start)))
    return {scope.curvature: problem.curvature, scope.perturbation: bent, scope.radius: most * (1 + 1e-12)}


def _quadratic(radius: float) -> SyntheticProblem:
    return problems.get("quadratic", dim=2, smoothness=2.0, radius=radius)


def _extremal(h: float, share: float) -> Model:
    """The quadratic that attains the sharp bound, from where its gradient is as large as the floor."""
    at = Assumptions(smoothness=2.0, gap=0.0, noise=SIGMA**2, bias=ZETA**2, relative_bias=share)
    settled = float(np.sqrt(float(floor(at, h / 2.0))))
    return _run(f"extremal quadratic, h = {h:g}, m = {share:g}", _quadratic(settled / 2), h, share=share)


def _under_growth(h: float, mu: float, sigma: float) -> Model:
    """A run on a quadratic with Λ = 2, with μ, and the F, r, p, c, s, d, q, γ, ρ and H of C9."""
    name = f"quadratic, h = {h:g}, μ = {mu:g}, m = {SHARE:g}, σ = {sigma:g}"
    run = _run(name, _quadratic(1.5), h, sigma=sigma, share=SHARE)
    kept = 1 - mu / 2 * min(h, 2 - h)

    def pushed(r: float) -> float:
        return float(np.sqrt(SHARE * r**2 + ZETA**2 / (2 * mu)))

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
    steps = r[: STEPS + 2]
    families = {"r": by_step(steps), "p": by_step([pushed(at) for at in steps])}
    return replace(run, values=values, families={**run.families, **families})


def _decreasing_steps() -> Model:
    """A quadratic with a constant bias, noise along one direction, and steps that fall."""
    pull, steps = np.array([0.4, 0.0]), 0.3 / (1 + np.arange(STEPS + 1))
    run = coin_run(
        quadratic(2.0), [1.5, -0.5], steps[:STEPS], bias=lambda at: pull,
        noise=lambda at: SIGMA * at.coin * np.array([0.6, 0.8]),
    )  # fmt: skip
    told = {scope.curvature: 2.0, scope.pull: pull, descent.sigma: SIGMA, descent.Z: 0.4}
    return run.model(
        "quadratic with a constant bias and decreasing steps", told, families={"η": by_step(steps)}
    )  # fmt: skip


def _at_rest() -> Model:
    """A quadratic whose gradient is the negative of a constant bias."""
    pull = np.array([0.4, 0.0])
    told = {scope.pull: pull, ascent.growth: 2.0, descent.Z: 0.4, descent.mu: 0.6}
    run = coin_run(quadratic(2.0), -pull / 2.0, np.full(STEPS, 0.25), bias=lambda at: pull, momentum=0.6)
    return run.model("quadratic at rest under a constant bias", told, families=_schedules())


def _against_the_bias() -> Model:
    """A quadratic and a constant bias, against which the run starts: what C9 says is attained."""
    reach, axis = 0.2, np.array([1.0, 0.0])
    run = coin_run(quadratic(2.0), [-2.0, 0.0], np.full(STEPS, 0.3), bias=lambda at: 2.0 * reach * axis)
    told = {
        setting.smoothness: 2.5,
        descent.h: 0.75,
        ascent.growth: 2.0,
        extremal.floor: reach,
        constant_bias.unit: axis,
    }
    return run.model("quadratic, against a constant bias", told)


def _to_and_fro() -> Model:
    """A quadratic on which a bias along the gradient turns every step back: what C9 says is attained."""
    lam, h, zeta, part = 2.0, 1.5, 0.4, 0.05
    c = 2 - h
    settled = (h * zeta) ** 2 / (2 * lam * (c**2 - part * h**2))
    run = coin_run(
        quadratic(lam), [np.sqrt(2 * settled / lam), 0.0], np.full(STEPS, h / lam), bias=lambda at: c / h * at.g
    )  # fmt: skip
    told = {descent.Z: zeta, refinements.relative_bias: part, long_steps.lean: c, long_steps.high: settled}
    return run.model("quadratic, to and fro along the bias", told)


def _turning() -> Model:
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
    processes = {"x": x[None], "v": v[None], "b": b[None]}
    return Model("heavy ball that turns on a quadratic", values, {"f": quadratic(lam)}, processes, points=x)


def _on_a_line(*, greatest: bool = False, law: bool = False) -> Model:
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

    def slope(x: Array) -> Array:
        return np.interp(-x[..., 0], knots, heights)

    def value(x: Array) -> Array:
        way, before = -x[..., 0], np.clip(np.searchsorted(knots, -x[..., 0], side="right") - 1, 0, len(knots) - 1)
        return falls[-1] - falls[before] - (way - knots[before]) * (slope(x) + heights[before]) / 2

    run = coin_run(
        Objective(value, lambda x: slope(x)[..., None], lam), [0.0], np.full(STEPS, eta), bias=lambda at: -zeta
    )  # fmt: skip
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
        descent.zeta: zeta, long_run.surplus: surplus, long_run.multiplier: ratio, long_run.cost: cost,
        long_run.phase: 1, long_run.lower: lower, long_run.precision: precision, long_run.rest: STEPS - 2,
        long_run.rate: rate, long_run.unit: np.ones(1),
    }  # fmt: skip
    which = ", the greatest" if greatest else ", with the law at its R" if law else ""
    return run.model(f"a line at a constant gradient{which}", told)


def _gradient_steps() -> tuple[Model, ...]:
    """A short and a long step of gradient descent on a quadratic."""
    here = {step_condition.theta: np.array([0.1, -0.1]), step_condition.curvature: 2.0}
    steps = (("short", 0.4), ("long", 1.3))
    return tuple(
        Model(f"a {name} gradient step on a quadratic", here | {descent.eta: eta}, {"f": quadratic(2.0)})
        for name, eta in steps
    )


def _signed(name: str, problem: SyntheticProblem, error: Part) -> Model:
    """All outcomes of sign descent with an error; it is SGD whose noise turns ∇f into signs, that of 0 the error's."""
    eta, errors = 0.1, []

    def noise(at: Step) -> Array:
        e = error(at) + 0 * at.g
        errors.append(e)
        return np.sign(np.where(at.g + e == 0, e, at.g + e)) - at.g

    run = coin_run(problem, [1.5, -0.5], np.full(STEPS, eta), noise=noise)
    told = {"g": run.g, "e": np.stack(errors, axis=1), "s": run.g + run.n}
    size, wrong = (float(np.mean(np.sum(np.abs(told[part]), axis=2))) for part in "ge")
    values = {
        sign_descent.dimension: 2, sign_descent.size: size, sign_descent.error: wrong,
    }  # fmt: skip
    families = {part: by_step(steps, axis=1) for part, steps in told.items()}
    return run.model(name, values, families=families, processes={"s": told["s"]})


def _adam(name: str, decay: float) -> Model:
    """On √(1+x²)/2, with noise that is -1, or 3 with probability 1/4; the noise before the first step has no effect."""
    theta, first, eta, chance = 0.9, 0.6, 0.2, 0.25
    happens = outcomes(2 * STEPS - 1, (0.0, 1.0))  # from STEPS - 1 before the first step on
    x, g, m, v = ([np.zeros(happens.shape[1])] for _ in range(4))
    for t in range(STEPS):
        g.append(x[-1] / (2 * np.sqrt(1 + x[-1] ** 2)) - 1 + 4 * happens[STEPS - 1 + t])
        m.append(first * m[-1] + (1 - first) * g[-1])
        v.append(theta**2 * v[-1] + (1 - theta**2) * g[-1] ** 2)
        corrected = m[-1] / (1 - first ** (t + 1)) / np.sqrt(v[-1] / (1 - theta ** (2 * (t + 1))))
        x.append((1 - eta * decay) * x[-1] - eta * corrected)
    lagged = ("G", [*(4 * happens[: STEPS - 1] - 1), *g[1:]]), ("R", happens)
    # Over (outcome, step, lag).
    families = {
        part: sliding_window_view(np.array(values), STEPS, axis=0)[..., ::-1].swapaxes(0, 1) for part, values in lagged
    }
    families |= {part: np.stack(values, axis=1) for part, values in (("x", x), ("m", m[1:]), ("v", v[1:]))}
    families |= {"u": families["v"] ** -0.5, "q": np.sqrt(1 - theta ** (2 * (1 + np.arange(STEPS))))}
    families = {part: by_step(values, axis=min(1, values.ndim - 1)) for part, values in families.items()}
    least, greatest, rare = 0.5, 1.5, 3.5
    spread = float(np.sqrt((1 - chance) * greatest**2 + chance * rare**2))
    values = {
        adam.ratio: first / theta, adam.root_of_second: theta, adam.complement: float(np.sqrt(1 - theta**2)),
        adam.probability: chance, adam.least: least, adam.greatest: greatest, adam.rare: rare, adam.deviation: spread,
        adam.decay: decay, descent.eta: eta, descent.horizon: STEPS,
    }  # fmt: skip
    weights = np.prod(np.where(happens == 1, chance, 1 - chance), axis=0)
    return Model(name, values, families=families, chance=weights)
