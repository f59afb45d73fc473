"""Rate, order and weight of a run: functions of the step, made from the configuration once."""

from __future__ import annotations

import math

from rdml_theory.losses import CosineOrder, LearnableOrder, LinearOrder
from verify.trainer.config import Config
from verify.trainer.update import Objective, Schedule

__all__ = ["make_objective", "make_rate"]


def make_rate(config: Config, per_epoch: int) -> Schedule:
    """The learning rate at a step, of so many an epoch.

    >>> rate = make_rate(Config(lr=0.1, epochs=10, lr_warmup=1), per_epoch=4)
    >>> [round(rate(n), 4) for n in (0, 3, 4, 39)]
    [0.025, 0.1, 0.1, 0.0002]
    """
    lr, kind, gamma, milestones = config.lr, config.lr_schedule, config.lr_gamma, config.lr_milestones
    warm = round(config.lr_warmup * per_epoch)
    rest = max(config.epochs * per_epoch - warm, 1)

    def rate(step: int) -> float:
        if step < warm:
            return lr * (step + 1) / warm
        if kind == "cosine":
            return lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / rest))
        if kind == "step":
            return lr * gamma ** sum(step // per_epoch >= m for m in milestones)
        return lr

    return rate


def make_objective(config: Config, per_epoch: int) -> Objective:
    """What the students minimise at a step, of so many an epoch.

    >>> objective = make_objective(Config(epochs=10, beta_warmup=2, alpha_end=2.0, alpha_schedule="linear"), 4)
    >>> [objective.weight(n) for n in (0, 4, 8)], [objective.order(n) for n in (0, 39)]
    ([0.0, 0.5, 1.0], [1.0, 2.0])
    """
    last = config.epochs * per_epoch - 1

    def ramp(start: float, end: float | None, curve: str) -> Schedule:
        if end is None:
            return lambda step: start
        # The last step is at the end value.
        return (LinearOrder if curve == "linear" else CosineOrder)(start, end, max(last, 1)).value

    warm = config.beta_warmup * per_epoch
    full = ramp(config.beta, config.beta_end, config.beta_schedule)

    def weight(step: int) -> float:
        return full(step) * (min(1.0, step / warm) if warm else 1.0)

    learned = config.alpha_schedule == "learned"
    order = LearnableOrder(config.alpha) if learned else ramp(config.alpha, config.alpha_end, config.alpha_schedule)
    return Objective(order, weight, config.temperature, config.label_smoothing)
