"""Runs of library problems, exact to the last outcome, on which theorems of the kernel are tried.

A theorem whose hypotheses no run satisfies would be vacuous; one whose conclusion fails where they hold would be false.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergence import Assumptions, floor, problems, scope_bound
from convergence.problems import SyntheticProblem
from convergence.problems.quadratic_cosine import QuadraticCosine
from rdml_theory import escort
from rdml_theory.symbolic.kernel import Theorem
from rdml_theory.symbolic.kernel.model import Model, Objective
from rdml_theory.symbolic.mutual import gram
from rdml_theory.symbolic.sgd import (
    best_iterate,
    constant_bias,
    descent,
    extremal,
    growth,
    refinements,
    scope,
    setting,
    tight,
)
from verify.checks.student_instances import pulled, students

__all__ = ["mutual_gradients", "satisfied_by", "sgd_runs"]

STEPS = 4


def satisfied_by(theorem: Theorem) -> tuple[list[str], list[str]]:
    """The names of the runs on which all hypotheses hold, and of those among them on which the conclusion fails."""
    found = {model.name: model.satisfies(theorem) for model in (*sgd_runs(), *mutual_gradients(), *students())}
    return [name for name, holds in found.items() if holds is not None], [n for n, h in found.items() if h is False]


def _run(
    name: str, problem: SyntheticProblem, h: float, *, noise: float, bias: float, side: float,
    share: float = 0.0, values: Mapping[Any, float] | None = None,
) -> Model:  # fmt: skip
    """All outcomes of a run whose noise is a fair coin's, ±σ orthogonal to ∇f, and whose bias is along ∇f or constant.

    ‖b‖² is ``bias²`` plus ``share`` times ‖∇f‖²; the bias points against the gradient for ``side`` 1, and along the
    first axis at every step for ``side`` 0.
    """
    eta, axis = h / problem.smoothness, np.eye(problem.dim)[0]
    signs = np.array(np.meshgrid(*([[-1.0, 1.0]] * STEPS), indexing="ij")).reshape(STEPS, -1)
    x = [np.broadcast_to(problem.start, (signs.shape[1], problem.dim)).copy()]
    b: list[NDArray[np.float64]] = []
    n: list[NDArray[np.float64]] = []
    for sign in signs:
        g = problem.gradient(x[-1])
        size = np.linalg.norm(g, axis=1, keepdims=True)
        b.append(-side * np.sqrt(bias**2 + share * size**2) * g / size if side else bias * (axis + 0 * g))
        n.append(noise * sign[:, None] * _orthogonal(g) / size)
        x.append(x[-1] - eta * (g + b[-1] + n[-1]))
    start = float(np.mean(problem.value(x[0])))
    lam = problem.smoothness
    least = min(float(np.min(np.sum(problem.gradient(at) ** 2, axis=1))) for at in x[:STEPS])
    told = {
        setting.smoothness: lam, descent.h: lam * eta, descent.eta: eta, descent.gap: start - problem.minimum,
        descent.noise: noise, descent.bias: bias, descent.horizon: STEPS, setting.infimum: problem.minimum,
        refinements.relative_bias: share, tight.weight: 0.7, constant_bias.ratio: 1 - h, constant_bias.bias: bias,
        constant_bias.distance: float(problem.gradient(problem.start)[0]) + bias, constant_bias.unit: axis,
        scope.pull: bias * axis, best_iterate.BEST: least, **_near(problem, eta, noise, bias),
        **pulled(bias),
    }  # fmt: skip
    return Model(
        name,
        told | dict(values or {}),
        {"f": Objective(problem.value, problem.gradient, problem.smoothness)},
        {"x": np.stack(x, axis=1), "b": np.stack(b, axis=1), "n": np.stack(n, axis=1)},
        chance=np.full(signs.shape[1], 1 / signs.shape[1]),
        points=np.random.default_rng(0).normal(size=(40, problem.dim)) * 3,
    )


def _near(problem: SyntheticProblem, eta: float, noise: float, bias: float) -> dict[Any, float]:
    """Near which quadratic the problem is, and what bounds the scope of its iterates."""
    if not isinstance(problem, QuadraticCosine):
        return {scope.curvature: problem.smoothness, scope.perturbation: 0.0}
    bent = problem.amplitude * problem.frequency * float(np.sqrt(problem.dim))
    square = scope_bound(problem.curvature, eta, noise=noise**2, bias=bias**2, perturbation=bent)
    most = max(float(np.sqrt(square)), float(np.linalg.norm(problem.start)))
    return {scope.curvature: problem.curvature, scope.perturbation: bent, scope.radius: most * (1 + 1e-12)}


def _orthogonal(g: NDArray[np.float64]) -> NDArray[np.float64]:
    """A vector of the same norm, orthogonal to the gradient, in the plane of the first two axes and rescaled."""
    turned = np.zeros_like(g)
    turned[:, 0], turned[:, 1] = -g[:, 1], g[:, 0]
    plane = np.linalg.norm(turned, axis=1, keepdims=True)
    return turned / plane * np.linalg.norm(g, axis=1, keepdims=True)


def _quadratic(radius: float) -> SyntheticProblem:
    return problems.get("quadratic", dim=2, smoothness=2.0, radius=radius)


@cache
def sgd_runs() -> tuple[Model, ...]:
    """The runs on which theorems of SGD are tried."""
    noise, bias, share = 0.3, 0.4, 0.2
    cosine = problems.get("quadratic_cosine", dim=3, amplitude=0.4, frequency=1.5)
    runs = [
        _run(f"quadratic plus cosine, h = {h:g}", cosine, h, noise=noise, bias=bias, side=np.sign(1.1 - h))
        for h in (0.5, 1.0, 1.5)
    ]
    for h in (0.5, 1.0, 1.3):
        for part in (0.0, share):
            at = Assumptions(smoothness=2.0, gap=0.0, noise=noise**2, bias=bias**2, relative_bias=part)
            settled = float(np.sqrt(float(floor(at, h / 2.0))))
            name = f"extremal quadratic, h = {h:g}, m = {part:g}"
            runs.append(
                _run(name, _quadratic(settled / 2), h, noise=noise, bias=bias, side=1.0 if h <= 1 else -1.0,
                     share=part, values={extremal.floor: settled, growth.growth: 2.0})
            )  # fmt: skip
    plain = _quadratic(1.5)
    last = 2 / (1 + np.sqrt(share))
    runs += [
        _run("quadratic, h = 1", plain, 1.0, noise=noise, bias=bias, side=1.0, values={growth.growth: 2.0}),
        _run("quadratic, constant bias, h = 0.6", plain, 0.6, noise=0.0, bias=bias, side=0.0),
        _run("quadratic, constant bias and noise, h = 0.6", plain, 0.6, noise=noise, bias=bias, side=0.0),
        _run("quadratic without bias, h = 0.7", plain, 0.7, noise=noise, bias=0.0, side=1.0),
        _run(f"quadratic, h = {last:.4g}, m = {share:g}", plain, last, noise=0.0, bias=0.0, side=-1.0, share=share),
    ]
    return tuple(runs)


@cache
def mutual_gradients() -> tuple[Model, ...]:
    """A linear softmax student on five inputs with a peer, and one whose every input pulls alike."""
    rng = np.random.default_rng(20261127)
    inputs, student, peer = rng.normal(size=(5, 2)), rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    q, p = (np.exp(inputs @ weights.T) for weights in (student, peer))
    q, p = q / q.sum(axis=1, keepdims=True), p / p.sum(axis=1, keepdims=True)
    w = escort(p, q, 2.0)

    def model(name: str, jacobian: NDArray[np.float64], q: NDArray[np.float64], w: NDArray[np.float64]) -> Model:
        """``jacobian`` has the shape (inputs, classes, parameters)."""
        slope = np.einsum("ncd,nc->d", jacobian, q - w) / len(q)
        most = float(np.linalg.eigvalsh(np.einsum("ncd,nce->de", jacobian, jacobian) / len(q))[-1])
        count = jacobian.shape[2]
        return Model(
            name,
            {gram.gram: most, gram.theta: np.zeros(count), gram.pull: (q - w)[0]},
            {"R": Objective(lambda x: 0 * x[:, 0], lambda x: slope + 0 * x, np.inf)},
            random={"q": q, "w": w, "J": lambda y: np.einsum("ncd,nd->nc", jacobian, y + np.zeros((len(q), count)))},
            chance=np.full(len(q), 1 / len(q)),
            points=rng.normal(size=(20, count)),
        )

    linear = np.einsum("nf,ce->ncef", inputs, np.eye(3)).reshape(5, 3, 6)
    alike = np.broadcast_to(1.5 * np.eye(3), (5, 3, 3))
    same = (np.broadcast_to(q[:1], q.shape), np.broadcast_to(w[:1], w.shape))
    return (
        model("linear softmax student on five inputs", linear, q, w),
        model("student whose logits are its parameters", alike, *same),
    )
