"""The update that the trainer applies, against one computed without its losses, its autograd and its schedules.

Of the trainer nothing is used but its batches, and the weights before and after each of its steps; the stated update
comes from :mod:`verify.checks.networks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr, Integer, Mul, Symbol

from rdml_theory.symbolic import notation
from rdml_theory.symbolic.mutual.gain import students
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Formula, Named
from verify.checks.comparisons import at_most
from verify.checks.formulas import function_of
from verify.checks.networks import Array, Snapshot, digits, flat
from verify.claim import Control, Found
from verify.context import Context

__all__ = ["FALSE", "TRUE", "Update", "applied_update", "stated_bias"]

temperature: Formula = Symbol("tau", positive=True)
PULL = Named("Σ_{j≠k} E[J_kᵀ(q_k - w_jk)]", r"\sum_{j \ne k} \mathbb{E}\bigl[J_k^\top (q_k - w_{jk})\bigr]")
BOTH = Named(
    "Σ_{j≠k} E[J_kᵀ(q_k - w_jk + ∂D(q_k‖q_j)/∂z_k)]",
    r"\sum_{j \ne k} \mathbb{E}\bigl[J_k^\top (q_k - w_{jk} + \partial_{z_k} D(q_k \| q_j))\bigr]",
)


@dataclass(frozen=True)
class Update:
    """What moves student k beside ∇L_k: ``factor`` times :data:`PULL`, w_jk the escort of an order.

    q_k = softmax(z_k/``temperature``). All students move at once, or each sees its peers' latest weights; peers are
    held constant, or not (:data:`BOTH`); α and β are those of so many steps before; E is over one in so many samples.
    """

    factor: Expr
    alpha: Expr
    temperature: Expr
    at_once: bool = True
    constant: bool = True
    late: int = 0
    one_in: int = 1

    @property
    def bias(self) -> Expr:
        """b_k."""
        return Mul(self.factor, PULL if self.constant else BOTH)

    @property
    def words(self) -> str:
        """At which step, and over which samples."""
        when = "α and β those of the step" + (f" {self.late} before" if self.late else "")
        return f"{when}, E over " + (
            "the samples of the batch" if self.one_in == 1 else f"one in {self.one_in} samples"
        )


TRUE = Update(beta * temperature / (students - 1), notation.alpha, temperature)

FALSE: tuple[Control[Update], ...] = (
    Control("sign", "the pull of the peers reversed", Update(-TRUE.factor, TRUE.alpha, temperature)),
    Control("weight", "the weight doubled", Update(2 * TRUE.factor, TRUE.alpha, temperature)),
    Control("order", "the order doubled", Update(TRUE.factor, 2 * TRUE.alpha, temperature)),
    Control("sum", "the sum over the peers for their mean", Update(beta * temperature, TRUE.alpha, temperature)),
    Control(
        "scale", "the loss without the square of the temperature",
        Update(beta / temperature / (students - 1), TRUE.alpha, temperature),
    ),
    Control("cold", "logits that are not divided by the temperature", Update(TRUE.factor, TRUE.alpha, Integer(1))),
    Control("in-turn", "one student after the other", Update(TRUE.factor, TRUE.alpha, temperature, at_once=False)),
    Control("moving", "peers that are not held constant", Update(TRUE.factor, TRUE.alpha, temperature, constant=False)),
    Control("late", "order and weight of the step before", Update(TRUE.factor, TRUE.alpha, temperature, late=1)),
    Control("masked", "every second sample left out", Update(TRUE.factor, TRUE.alpha, temperature, one_in=2)),
)  # fmt: skip
"""Laws that the trainer must not be found to follow."""

COUNT, RATE, DECAY, SMOOTHING, TEMPERATURE = 3, 0.5, 0.01, 0.1, 2.5
ORDER, WEIGHT, WARM_UP = (0.4, 3.0), (0.5, 2.0), 0.4
"""Order and weight at the first and the last step; epochs over which the weight, or the rate, rises from zero."""

SAMPLES, BATCH = 1250, 250

RUNS = {"float64": (1e-12, 0.0, False), "float32": (2e-5, 0.0, False),
        "float64, heavy ball": (1e-12, 0.9, False), "float64, Nesterov": (1e-12, 0.9, True)}  # fmt: skip
"""How near the applied bias must come to the stated one, relative to the greatest applied; momentum, and whether it is
Nesterov's. The step over the rate has an error of |θ|u/η, u the unit roundoff, which is 2e-15 and 1e-6 of the bias
here; the rest is room. With momentum the rate rises and then follows a cosine, down to a tenth in the last step."""


@dataclass(frozen=True)
class _Step:
    """A cohort at a step on a batch, with the gradients that its way shows; order and weight, at it and before it."""

    before: Snapshot
    after: Snapshot
    gradients: list[Array]
    alphas: tuple[float, ...]
    weights: tuple[float, ...]

    def applied(self, k: int) -> Array:
        """What the trainer added to ∇L_k."""
        return self.gradients[k] - self.before.base(k)

    def stated(self, law: Update, k: int) -> Array:
        """b_k by the law."""
        return stated_bias(
            law, self.before, self.after, k, self.alphas[law.late], self.weights[law.late], TEMPERATURE
        )  # fmt: skip


def stated_bias(
    law: Update, before: Snapshot, after: Snapshot, k: int, alpha: float, weight: float, warmth: float
) -> Array:
    """b_k by a law, at a step of this order, weight and temperature from ``before`` to ``after``."""
    stated = function_of((law.factor, law.alpha, law.temperature), beta, notation.alpha, temperature, students)
    factor, own, divided = map(float, stated(weight, alpha, warmth, len(before.layers)))
    both = zip(before.logits, after.logits, strict=True)
    peers = [now if law.at_once or j >= k else moved for j, (now, moved) in enumerate(both)]
    counts = np.arange(len(before.labels)) % law.one_in == 0
    out = before.pull(k, own, divided, peers, share=counts / counts.mean())
    return factor * (out if law.constant else out + before.push(k, own, divided))


def _rate(number: int, total: int, momentum: float) -> float:
    """The rate of a step: a constant or, with momentum, one that rises and then follows a cosine."""
    warm = round(WARM_UP * total)
    if not momentum:
        return RATE
    return RATE * ((number + 1) / warm if number < warm else np.cos(np.pi / 2 * (number - warm) / (total - warm)) ** 2)


def _steps(name: str, seed: int) -> list[_Step]:
    """A short run of the trainer with everything that changes an update."""
    from verify.checks.training import own_data, read, undisturbed
    from verify.trainer import Config, Trainer

    _, mu, nesterov = RUNS[name]
    precision: Any = name.split(",")[0]
    config = Config(
        students=f"mlp:{COUNT}", width=8, seed=seed % 2**31, batch=BATCH, epochs=1, precision=precision,
        alpha=ORDER[0], alpha_end=ORDER[1], alpha_schedule="linear", beta=WEIGHT[0], beta_end=WEIGHT[1],
        beta_schedule="linear", beta_warmup=WARM_UP, temperature=TEMPERATURE, lr=RATE,
        lr_schedule="cosine" if mu else "constant", lr_warmup=WARM_UP if mu else 0.0, momentum=mu, nesterov=nesterov,
        weight_decay=DECAY, label_smoothing=SMOOTHING, monitor=0.0, device="cpu",
    )  # fmt: skip
    halves, labels = digits()
    velocity = [np.zeros(1)] * COUNT
    out: list[_Step] = []
    with undisturbed():
        trainer = Trainer(config, data=own_data(halves[:, :SAMPLES].transpose(1, 0, 2), labels[:SAMPLES]))
        before = read(trainer)
        for number in range(trainer.steps):
            x, y = trainer.batches(number)
            trainer.step()
            after = read(trainer)
            inputs = [x.double().flatten(1).numpy()] * COUNT
            one, two = (
                Snapshot(layers, inputs, y.numpy(), decay=DECAY, smoothing=SMOOTHING, rectified=True)
                for layers in (before, after)
            )
            gradients = []
            for k in range(COUNT):
                way = (flat(one.layers[k]) - flat(two.layers[k])) / _rate(number, trainer.steps, mu)
                # The way is v = μv' + g, or g + μv after Nesterov.
                g = (way - mu**2 * velocity[k]) / (1 + mu) if nesterov else way - mu * velocity[k]
                velocity[k] = mu * velocity[k] + g
                gradients.append(g)
            shares = [max(n, 0) / (trainer.steps - 1) for n in (number, number - 1)]
            rises = [min(1.0, max(n, 0) / (WARM_UP * trainer.per_epoch)) for n in (number, number - 1)]
            alphas = tuple(ORDER[0] + share * (ORDER[1] - ORDER[0]) for share in shares)
            weights = tuple(
                r * (WEIGHT[0] + share * (WEIGHT[1] - WEIGHT[0])) for r, share in zip(rises, shares, strict=True)
            )
            out.append(_Step(one, two, gradients, alphas, weights))
            before = after
    return out


def applied_update(law: Update, context: Context) -> Found:
    """Every update of a short run, student by student, against the law."""
    for run, (allowed, *_) in RUNS.items():
        steps = context.shared(_steps, run, context.seed_for("start"))
        for k in range(COUNT):
            applied = [step.applied(k) for step in steps]
            size = max(np.linalg.norm(a) for a in applied)
            off = max(np.linalg.norm(step.stated(law, k) - a) for step, a in zip(steps, applied, strict=True))
            name = f"greatest |stated - applied bias|, relative, {run}, student {k}"
            yield at_most(name, float(off / size) if size else float("inf"), allowed, samples=len(steps))
