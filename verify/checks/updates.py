"""The update that the trainer applies, against one computed without its losses, its autograd and its schedules.

Of the trainer nothing is used but its batches, and the weights before and after each of its steps; the stated update
comes from :mod:`verify.checks.networks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr, Integer, Mul, Symbol

from rdml_theory.symbolic.mutual.bias import order
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Formula, Named
from verify.checks.comparisons import at_most
from verify.checks.formulas import function_of
from verify.checks.networks import Array, Snapshot, digits, flat
from verify.claim import Control, Found
from verify.context import Context

__all__ = ["FALSE", "TRUE", "Update", "applied_update"]

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

FALSE: tuple[Control[Update], ...] = (
    Control("sign", "the pull of the peers reversed", Update(-TRUE.factor, order, temperature)),
    Control("weight", "the weight doubled", Update(2 * TRUE.factor, order, temperature)),
    Control("order", "the order doubled", Update(TRUE.factor, 2 * order, temperature)),
    Control("sum", "the sum over the peers for their mean", Update(beta * temperature, order, temperature)),
    Control(
        "scale", "the loss without the square of the temperature",
        Update(beta / temperature / (students - 1), order, temperature),
    ),
    Control("cold", "logits that are not divided by the temperature", Update(TRUE.factor, order, Integer(1))),
    Control("in-turn", "one student after the other", Update(TRUE.factor, order, temperature, at_once=False)),
)  # fmt: skip
"""Laws that the trainer must not be found to follow."""

COUNT, RATE, DECAY, SMOOTHING, TEMPERATURE = 3, 0.5, 0.01, 0.1, 2.5
ORDER, WEIGHT, WARM_UP = (0.4, 3.0), (0.5, 2.0), 0.4
"""Order and weight at the first and the last step; epochs over which the weight rises from zero."""

SAMPLES, BATCH = 1250, 250

ROUNDING = {"float64": 1e-12, "float32": 2e-5}
"""How near the applied bias must come to the stated one, relative to the greatest applied. The step over the rate has
an error of |θ|u/η, u the unit roundoff, which is 2e-15 and 1e-6 of the bias here; the rest is room."""


@dataclass(frozen=True)
class _Step:
    """A cohort before and after a step on a batch, whose order and weight are known."""

    before: Snapshot
    after: Snapshot
    order: float
    weight: float

    def applied(self, k: int) -> Array:
        """What the trainer added to ∇L_k, from the way that student k went."""
        way = flat(self.before.layers[k]) - flat(self.after.layers[k])
        return way / RATE - self.before.base(k)

    def stated(self, law: Update, k: int) -> Array:
        """b_k by the law."""
        stated = function_of((law.factor, law.order, law.temperature), beta, order, temperature, students)
        factor, alpha, warmth = map(float, stated(self.weight, self.order, TEMPERATURE, COUNT))
        both = zip(self.before.logits, self.after.logits, strict=True)
        peers = [now if law.at_once or j >= k else moved for j, (now, moved) in enumerate(both)]
        return factor * self.before.pull(k, alpha, warmth, peers)


def _steps(precision: Any, seed: int) -> list[_Step]:
    """A short run of the trainer with everything that changes an update."""
    from verify.checks.training import own_data, read, undisturbed
    from verify.trainer import Config, Trainer

    config = Config(
        students=f"mlp:{COUNT}", width=8, seed=seed % 2**31, batch=BATCH, epochs=1, precision=precision,
        alpha=ORDER[0], alpha_end=ORDER[1], alpha_schedule="linear", beta=WEIGHT[0], beta_end=WEIGHT[1],
        beta_schedule="linear", beta_warmup=WARM_UP, temperature=TEMPERATURE, lr=RATE, lr_schedule="constant",
        momentum=0.0, weight_decay=DECAY, label_smoothing=SMOOTHING, monitor=0.0, device="cpu",
    )  # fmt: skip
    halves, labels = digits()
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
            share = number / (trainer.steps - 1)
            rise = min(1.0, number / (WARM_UP * trainer.per_epoch))
            weight = rise * (WEIGHT[0] + share * (WEIGHT[1] - WEIGHT[0]))
            out.append(_Step(one, two, order=ORDER[0] + share * (ORDER[1] - ORDER[0]), weight=weight))
            before = after
    return out


def applied_update(law: Update, context: Context) -> Found:
    """Every update of a short run, student by student, against the law."""
    for precision, allowed in ROUNDING.items():
        steps = context.shared(precision, lambda p=precision: _steps(p, context.seed_for("start")))
        for k in range(COUNT):
            applied = [step.applied(k) for step in steps]
            size = max(np.linalg.norm(a) for a in applied)
            off = max(np.linalg.norm(step.stated(law, k) - a) for step, a in zip(steps, applied, strict=True))
            name = f"greatest |stated - applied bias|, relative, {precision}, student {k}"
            yield at_most(name, float(off / size) if size else float("inf"), allowed, samples=len(steps))
