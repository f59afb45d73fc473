"""Faults planted in the torch losses, which the claims D1 and D2 must refute."""

import math

import pytest
import torch

from rdml_theory.losses import (
    CosineOrder,
    LearnableOrder,
    OrderSchedule,
    _cohort,
    _exact,
    _stored,
    distillation,
    mutual,
)
from verify.claims import d1_student_gradient, d2_other_gradients
from verify.context import Context

CLAIMS = {"D1": d1_student_gradient.CLAIM, "D2": d2_other_gradients.CLAIM}


def outcome(claim):
    (check,) = [check for check in CLAIMS[claim].checks if check.id == "losses"]
    return check.run(CLAIMS[claim].subject, Context(claim, "losses", "quick", 0, 1e-3)).outcome


def of_order(change):
    """The order changed on its way into the exact formulas and into the products."""

    def plant(patch):
        def tensor(alpha):
            return torch.tensor([change(x) for x in alpha.flatten().tolist()], dtype=torch.float64).reshape(alpha.shape)

        divergence, gradients, cohort = _exact.divergence, _exact.gradients, _cohort.evaluate
        patch.setattr(_exact, "divergence", lambda pair, alpha: divergence(pair, tensor(alpha)))
        patch.setattr(_exact, "gradients", lambda u, z, alpha, *a: gradients(u, z, tensor(alpha), *a))
        patch.setattr(_cohort, "evaluate", lambda x, task, *a: cohort(x, task._replace(order=change(task.order)), *a))

    return plant


def of_gradients(teacher=1.0, student=1.0, slope=1.0):
    """Derivatives of the exact formulas off by factors."""

    def plant(patch):
        gradients = _exact.gradients

        def changed(*arguments, **options):
            u, z, a = gradients(*arguments, **options)
            return u * teacher, z * student, a * slope

        patch.setattr(_exact, "gradients", changed)

    return plant


def of_cohort(**change):
    def plant(patch):
        cohort = _cohort.evaluate
        patch.setattr(_cohort, "evaluate", lambda x, task, *a: cohort(x, task._replace(**change), *a))

    return plant


def of_results(factor):
    """The slope of the products off by a factor."""

    def plant(patch):
        cohort = _cohort.evaluate

        def changed(*arguments, **options):
            result = cohort(*arguments, **options)
            return result._replace(slope=None if result.slope is None else result.slope * factor)

        patch.setattr(_cohort, "evaluate", changed)

    return plant


def of_loss(change):
    def plant(patch):
        loss = _stored.loss
        for module in (distillation, mutual):
            patch.setattr(module, "loss", lambda *a, **k: loss(*a, **(k | change(k))))

    return plant


def unmasked(patch):
    of_loss(lambda k: {"mask": None})(patch)


def half_trained(patch):
    forward = LearnableOrder.forward
    patch.setattr(LearnableOrder, "forward", lambda self: (forward(self) + forward(self).detach()) / 2)


def late(patch):
    patch.setattr(OrderSchedule, "_refresh", lambda self: self.current.fill_(self.value(max(self.steps_taken - 1, 0))))


FAULTS = {
    "orders next to one as one": (of_order(lambda a: 1.0 if abs(a - 1.0) < 1e-4 else a), {"D1", "D2"}),
    "small orders as zero": (of_order(lambda a: 0.0 if a < 1e-3 else a), {"D1", "D2"}),
    "large orders as infinity": (of_order(lambda a: math.inf if a > 1000.0 else a), {"D1", "D2"}),
    "teacher's gradient": (of_gradients(teacher=1.0 + 1e-5), {"D2"}),
    "student's gradient": (of_gradients(student=1.0 + 1e-10), {"D1"}),
    "slope of the exact formulas": (of_gradients(slope=1.0 + 1e-6), {"D2"}),
    "slope of the products": (of_results(1.0 + 1e-6), {"D2"}),
    "logits not divided by the temperature": (of_cohort(temperature=1.0), {"D1", "D2"}),
    "temperature not squared": (of_loss(lambda k: {"scale": k["scale"] / k["temperature"]}), {"D1", "D2"}),
    "mask": (unmasked, {"D1", "D2"}),
    "trained order": (half_trained, {"D2"}),
    "schedule one step late": (late, {"D1"}),
    "cosine as a line": (lambda patch: patch.setattr(CosineOrder, "_share", lambda self, x: x), {"D1"}),
}  # fmt: skip
QUICK = ("orders next to one as one", "mask", "schedule one step late")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in FAULTS]
)
def test_faults_in_the_losses_are_refuted(name, monkeypatch):
    plant, refuted = FAULTS[name]
    plant(monkeypatch)
    for claim in sorted(refuted)[: 1 if name in QUICK else None]:
        assert outcome(claim) == "refuted"


def test_the_losses_as_they_are():
    assert [outcome(claim) for claim in CLAIMS] == ["confirmed", "confirmed"]
