"""Deliberate faults in the trainer, its schedules and its losses: claim N1 sees each of them."""

import importlib.util
import json
from pathlib import Path

import pytest

from rdml_theory.losses import mutual_loss
from verify.checks.updates import TRUE, applied_update
from verify.context import Context
from verify.trainer import cohort
from verify.trainer.cohort import Cohort

spec = importlib.util.spec_from_file_location("faults", Path(__file__).with_name("test_faults.py"))
assert spec is not None
faults = importlib.util.module_from_spec(spec)
spec.loader.exec_module(faults)

COHORT, MUTUAL = "verify/trainer/cohort.py", "rdml_theory/losses/mutual.py"
FUSED, KERNEL = "rdml_theory/losses/_fused.py", "rdml_theory/losses/_cohort.py"
LOSS = "return base, mutual_loss(logits, self.order(step), beta=weight, temperature=self.config.temperature)"

# file, what is there, what is put in its place
FAULTS = {
    "sign of the mutual loss": (COHORT, LOSS, LOSS.replace("mutual_loss", "-mutual_loss")),
    "order doubled": (COHORT, LOSS, LOSS.replace("self.order", "2 * self.order")),
    "weight doubled": (COHORT, LOSS, LOSS.replace("=weight", "=2 * weight")),
    "weight 1% off": (COHORT, LOSS, LOSS.replace("=weight", "=1.01 * weight")),
    "temperature dropped": (COHORT, LOSS, LOSS.replace(", temperature=self.config.temperature", "")),
    "weight without its schedule": (COHORT, "weight = self.schedule.weight(step)", "weight = self.config.beta"),
    "weight a step late": (COHORT, "self.schedule.weight(step)", "self.schedule.weight(max(step - 1, 0))"),
    "weight without its warm-up": (COHORT, "share = min(1.0, step / warm) if warm else 1.0", "share = 1.0"),
    "order without its schedule": (COHORT, "return self.schedule.order(step) if", "return self.config.alpha if"),
    "ramps that end a step late": (COHORT, "max(self.steps - 1, 1))", "max(self.steps, 1))"),
    "momentum unasked": (COHORT, "lr=config.lr, momentum=config.momentum", "lr=config.lr, momentum=0.01"),
    "weight decay 1% off": (COHORT, '_decay": config.weight_decay', '_decay": 1.01 * config.weight_decay'),
    "label smoothing dropped": (COHORT, "base_loss(logits, y, self.config.label_smoothing)", "base_loss(logits, y)"),
    "rate 1% off": (COHORT, 'settings["lr"] = rate', 'settings["lr"] = 1.01 * rate'),
    "base gradient of a sum": (COHORT, "(grad / logs.shape[2])", "(grad / (logs.shape[2] - 1))"),
    "factor of the temperature": (MUTUAL, "scale = temperature * temperature * (", "scale = temperature * ("),
    "sum over the peers": (KERNEL, "students), 1.0 / (students - 1), dtype", "students), 1.0, dtype"),
    "temperature of the powers": (KERNEL, "scale = 1.0 / (BASE.nats * plan.temperature)", "scale = 1.0 / BASE.nats"),
    "temperature of the fused gradient": (FUSED, "directed, factor / temperature)", "directed, factor)"),
}  # fmt: skip


def test_faults_fit_the_sources():
    misfits = [
        name for name, (file, before, _) in FAULTS.items() if (faults.ROOT / file).read_text().count(before) != 1
    ]
    assert not misfits


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_caught(tmp_path, name):
    result = faults.run_with(tmp_path, *FAULTS[name], ["N1"])
    assert result.returncode == 1, result.stderr
    (claim,) = json.loads(result.stdout)["claims"]
    assert {c["id"]: c["outcome"] for c in claim["checks"]}["update"] == "refuted"


def outcome():
    return applied_update(TRUE, Context("N1", "update", "quick", 0, 1e-3)).outcome


@pytest.mark.parametrize("stacked", [True, False])
def test_the_trainer_follows_the_law(monkeypatch, stacked):
    if not stacked:
        monkeypatch.setattr(Cohort, "_stacked", lambda self: None)
    assert outcome() == "confirmed"


def in_turn(self, x, y, step, *, visible=False, out=None):
    for settings in self.optimizer.param_groups:
        settings["lr"] = self.schedule.rate(step)
    return out.copy_(self._sequential(x, y, step))


def test_students_that_move_in_turn_are_noticed(monkeypatch):
    monkeypatch.setattr(Cohort, "_stacked", lambda self: None)
    monkeypatch.setattr(Cohort, "update", in_turn)
    assert outcome() == "refuted"


@pytest.mark.parametrize("weight", [-1, 1.001])
def test_a_mutual_loss_a_thousandth_off_is_noticed(monkeypatch, weight):
    monkeypatch.setattr(cohort, "mutual_loss", lambda *a, **k: weight * mutual_loss(*a, **k))
    assert outcome() == "refuted"
