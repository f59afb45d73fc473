"""The update that the trainer applies, against one computed without its losses, its autograd and its schedules.

The networks and their Jacobian are written out in NumPy, and the escort distributions are those of the NumPy core. Of
the trainer nothing is used but its batches, and the weights before and after each of its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Integer, Mul, Symbol, lambdify

from rdml_theory import escort
from rdml_theory.symbolic.mutual.bias import order
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Formula, Named
from verify.checks.comparisons import at_most
from verify.claim import Finding, Twin
from verify.context import Context

__all__ = ["FALSE", "TRUE", "Update", "applied_update"]

Array = NDArray[np.float64]
Layers = list[tuple[Array, Array]]
"""Weights (out, in) and biases (out,) of a network of linear layers with rectifiers between them."""

students: Formula = Symbol("K", integer=True, positive=True)
temperature: Formula = Symbol("tau", positive=True)
PULL = Named("Σ_{j≠k} E[J_kᵀ(q_k - w_jk)]", r"\sum_{j \ne k} \mathbb{E}\bigl[J_k^\top (q_k - w_{jk})\bigr]")


@dataclass(frozen=True)
class Update:
    """What moves student k beside ∇L_k: ``factor`` times :data:`PULL`, w_jk the escort of an order.

    q_k = softmax(z_k/``temperature``). All students move at once, or each sees its peers' latest weights.
    """

    factor: Expr
    order: Expr
    temperature: Expr
    at_once: bool = True

    @property
    def bias(self) -> Expr:
        """b_k."""
        return Mul(self.factor, PULL)


TRUE = Update(beta * temperature / (students - 1), order, temperature)

FALSE: tuple[Twin[Update], ...] = (
    Twin("sign", "the pull of the peers reversed", Update(-TRUE.factor, order, temperature)),
    Twin("weight", "the weight doubled", Update(2 * TRUE.factor, order, temperature)),
    Twin("order", "the order doubled", Update(TRUE.factor, 2 * order, temperature)),
    Twin("sum", "the sum over the peers for their mean", Update(beta * temperature, order, temperature)),
    Twin(
        "scale", "the loss without the square of the temperature",
        Update(beta / temperature / (students - 1), order, temperature),
    ),
    Twin("cold", "logits that are not divided by the temperature", Update(TRUE.factor, order, Integer(1))),
    Twin("in-turn", "one student after the other", Update(TRUE.factor, order, temperature, at_once=False)),
)  # fmt: skip
"""Laws that the trainer must not be found to follow."""

COUNT, RATE, DECAY, SMOOTHING, TEMPERATURE = 3, 0.5, 0.01, 0.1, 2.5
ORDER, WEIGHT, WARM_UP = (0.4, 3.0), (0.5, 2.0), 0.4
"""Order and weight at the first and the last step; epochs over which the weight rises from zero."""

BATCH, EPOCHS = 250, 1

ROUNDING = {"float64": 1e-12, "float32": 2e-5}
"""How near the applied bias must come to the stated one, relative to the greatest applied. The step over the rate has
an error of |θ|u/η, u the unit roundoff, which is 2e-15 and 1e-6 of the bias here; the rest is room."""


@cache
def _law(formula: Expr) -> Callable[..., Any]:
    return lambdify((beta, order, temperature, students), formula, "numpy")


def _forward(layers: Layers, x: Array) -> list[Array]:
    """The inputs of all layers, and last the logits."""
    out = [x]
    for number, (weight, bias) in enumerate(layers):
        out.append(out[-1] @ weight.T + bias)
        if number + 1 < len(layers):
            out[-1] = np.maximum(out[-1], 0.0)
    return out


def _pulled_back(layers: Layers, passed: list[Array], v: Array) -> Array:
    """E[Jᵀv], flat, for vectors v of the logits of all samples."""
    parts: list[Array] = []
    for (weight, _), inputs in zip(reversed(layers), reversed(passed[:-1]), strict=True):
        parts = [(v.T @ inputs).ravel() / len(v), v.mean(0), *parts]
        v = (v @ weight) * (inputs > 0)
    return np.concatenate(parts)


def _softmax(z: Array) -> Array:
    shifted = np.exp(z - z.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


@dataclass(frozen=True)
class _Step:
    """Weights of all students before and after a step on a batch, whose order and weight are known."""

    x: Array
    y: NDArray[np.int64]
    before: list[Layers]
    after: list[Layers]
    order: float
    weight: float

    @cached_property
    def passed(self) -> list[list[Array]]:
        """All students' layers before the step."""
        return [_forward(layers, self.x) for layers in self.before]

    def base(self, k: int) -> Array:
        """∇L_k: smoothed cross-entropy and weight decay."""
        layers, passed = self.before[k], self.passed[k]
        classes = passed[-1].shape[1]
        targets = (1 - SMOOTHING) * np.eye(classes)[self.y] + SMOOTHING / classes
        return _pulled_back(layers, passed, _softmax(passed[-1]) - targets) + DECAY * _flat(layers)

    def bias(self, law: Update, k: int) -> Array:
        """b_k by the law."""
        given = (self.weight, self.order, TEMPERATURE, len(self.before))
        warmth, alpha = float(_law(law.temperature)(*given)), float(_law(law.order)(*given))
        own = self.passed[k][-1] / warmth
        pull = np.zeros_like(own)
        for j in range(len(self.before)):
            if j != k:
                moved = j < k and not law.at_once
                peer = (_forward(self.after[j], self.x) if moved else self.passed[j])[-1] / warmth
                pull += _softmax(own) - escort(peer, own, alpha, domain="logits")
        return float(_law(law.factor)(*given)) * _pulled_back(self.before[k], self.passed[k], pull)

    @cached_property
    def applied(self) -> list[Array]:
        """What the trainer added to ∇L_k, from the way that the students went."""
        ways = [_flat(before) - _flat(after) for before, after in zip(self.before, self.after, strict=True)]
        return [way / RATE - self.base(k) for k, way in enumerate(ways)]


def _flat(layers: Layers) -> Array:
    return np.concatenate([part.ravel() for layer in layers for part in layer])


@contextmanager
def _precision(name: str) -> Iterator[None]:
    """Networks are built in this precision; threads and random state are afterwards as before."""
    import torch

    threads, before = torch.get_num_threads(), torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        try:
            torch.set_default_dtype(getattr(torch, name))
            yield
        finally:
            torch.set_default_dtype(before)
            torch.set_num_threads(threads)


def _steps(precision: str, seed: int) -> list[_Step]:
    """A short run of the trainer with everything that changes an update."""
    from dataclasses import replace

    from verify.trainer import Config, Trainer

    config = Config(
        data="digits", students=f"mlp:{COUNT}", width=8, seed=seed % 2**31, batch=BATCH, epochs=EPOCHS, validation=0.0,
        alpha=ORDER[0], alpha_end=ORDER[1], alpha_schedule="linear", beta=WEIGHT[0], beta_end=WEIGHT[1],
        beta_schedule="linear", beta_warmup=WARM_UP, temperature=TEMPERATURE, lr=RATE, lr_schedule="constant",
        momentum=0.0, weight_decay=DECAY, label_smoothing=SMOOTHING, monitor=0.0, device="cpu",
    )  # fmt: skip
    out: list[_Step] = []
    with _precision(precision):
        trainer = Trainer(config)
        data = trainer.data
        train = replace(data.train, x=data.prepare(data.train.x).to(next(trainer.cohort.parameters())))
        trainer.data = replace(data, train=train, mean=None, scale=None)

        def layers() -> list[Layers]:
            tensors = [[p.detach().double().numpy().copy() for p in s.parameters()] for s in trainer.students]
            return [list(zip(t[::2], t[1::2], strict=True)) for t in tensors]

        before = layers()
        for number in range(trainer.steps):
            x, y = trainer.batch(number)
            trainer.step()
            after = layers()
            share = number / (trainer.steps - 1)
            rise = min(1.0, number / (WARM_UP * trainer.per_epoch))
            out.append(
                _Step(
                    x.double().flatten(1).numpy(), y.numpy(), before, after,
                    order=ORDER[0] + share * (ORDER[1] - ORDER[0]),
                    weight=rise * (WEIGHT[0] + share * (WEIGHT[1] - WEIGHT[0])),
                )
            )  # fmt: skip
            before = after
    return out


def applied_update(law: Update, context: Context) -> Finding:
    """Every update of a short run, student by student, against the law."""
    comparisons = []
    for precision, allowed in ROUNDING.items():
        steps = context.shared(precision, lambda p=precision: _steps(p, context.seed_for("start")))
        for k in range(COUNT):
            applied = [step.applied[k] for step in steps]
            size = max(np.linalg.norm(a) for a in applied)
            off = max(np.linalg.norm(step.bias(law, k) - a) for step, a in zip(steps, applied, strict=True))
            name = f"greatest |stated - applied bias|, relative, {precision}, student {k}"
            comparisons.append(at_most(name, float(off / size) if size else float("inf"), allowed, samples=len(steps)))
    return Finding(comparisons=tuple(comparisons))
