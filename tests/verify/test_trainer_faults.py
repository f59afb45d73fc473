"""Deliberate faults in the trainer, its schedules and its losses: the claims on networks see each of them."""

import importlib.util
import json
from pathlib import Path

import pytest

from rdml_theory.losses import mutual_loss
from verify.checks.updates import TRUE, applied_update
from verify.claims import n1_bias_budget as n1
from verify.claims import n3_batch_noise as n3
from verify.claims import n4_bias_bounds as n4
from verify.context import Context
from verify.trainer import update
from verify.trainer.update import Cohort

spec = importlib.util.spec_from_file_location("faults", Path(__file__).with_name("test_faults.py"))
assert spec is not None
faults = importlib.util.module_from_spec(spec)
spec.loader.exec_module(faults)

UPDATE, SCHEDULES, TRAINER = (f"verify/trainer/{name}.py" for name in ("update", "schedules", "trainer"))
MUTUAL = "rdml_theory/losses/mutual.py"
BLOCKS, QUICK = "rdml_theory/losses/_cohort.py", "rdml_theory/losses/_quick.py"
LOSS = "return base, mutual_loss(logits, self.alpha(step), beta=weight, temperature=self.temperature)"

# file, what is there, what is put in its place
FAULTS = {
    "sign of the mutual loss": (UPDATE, LOSS, LOSS.replace("mutual_loss", "-mutual_loss")),
    "order doubled": (UPDATE, LOSS, LOSS.replace("self.alpha", "2 * self.alpha")),
    "weight doubled": (UPDATE, LOSS, LOSS.replace("=weight", "=2 * weight")),
    "weight 1% off": (UPDATE, LOSS, LOSS.replace("=weight", "=1.01 * weight")),
    "temperature dropped": (UPDATE, LOSS, LOSS.replace(", temperature=self.temperature", "")),
    "students that move in turn": (TRAINER, 'sequential=config.update == "sequential"', "sequential=True"),
    "weight without its schedule": (SCHEDULES, "return full(step) * (", "return config.beta * ("),
    "weight a step late": (SCHEDULES, "return full(step) * (", "return full(max(step - 1, 0)) * ("),
    "weight without its warm-up": (SCHEDULES, "min(1.0, step / warm) if warm else 1.0", "1.0"),
    "order without its schedule": (SCHEDULES, "ramp(config.alpha, config.alpha_end,", "ramp(config.alpha, None,"),
    "ramps that end a step late": (SCHEDULES, "(start, end, max(last, 1))", "(start, end, last + 1)"),
    "momentum unasked": (TRAINER, "lr=config.lr, momentum=config.momentum", "lr=config.lr, momentum=0.01"),
    "weight decay 1% off": (
        TRAINER, "        weight_decay=config.weight_decay,", "        weight_decay=1.01 * config.weight_decay,"
    ),
    "label smoothing dropped": (UPDATE, "base_loss(logits, y, self.label_smoothing)", "base_loss(logits, y)"),
    "rate 1% off": (UPDATE, 'settings["lr"] = rate', 'settings["lr"] = 1.01 * rate'),
    "base gradient of a sum": (UPDATE, "return losses.mean(1)", "return losses.sum(1) / (losses.shape[1] - 1)"),
    "gradients that add up": (UPDATE, "        self.optimizer.zero_grad(set_to_none=self.stacked is None)\n", ""),
    "factor of the temperature": (MUTUAL, "scale = temperature * temperature * (", "scale = temperature * ("),
    "sum over the peers": (QUICK, "students, 1), 1.0 / (students - 1), dtype", "students, 1), 1.0, dtype"),
    "temperature of the powers": (BLOCKS, "x *= 1.0 / (_quick.LN2 * task.temperature)", "x *= 1.0 / _quick.LN2"),
    "temperature of the gradient": (BLOCKS, "mul_(task.weight / task.temperature)", "mul_(task.weight)"),
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
        monkeypatch.setattr(update, "stackable", lambda students: False)
    assert outcome() == "confirmed"


@pytest.mark.parametrize("weight", [-1, 1.001])
def test_a_mutual_loss_a_thousandth_off_is_noticed(monkeypatch, weight):
    monkeypatch.setattr(update, "mutual_loss", lambda *a, **k: weight * mutual_loss(*a, **k))
    assert outcome() == "refuted"


def with_order(factor, sign=1.0):
    """The mutual loss of another order, or its opposite."""
    return lambda logits, alpha, **k: sign * mutual_loss(logits, factor * alpha, **k)


def in_turn(self, x, y, step, *, out=None):
    for settings in self.optimizer.param_groups:
        settings["lr"] = self.rate(step)
    return out.copy_(self._one_by_one(x, y, step))


PATHS = {"N1": (n1, n1.full_gradient), "N3": (n3, n3.martingale), "N4": (n4, n4.attained)}


def judged(claim, monkeypatch):
    module, check = PATHS[claim]
    context = Context(claim, check.__name__, "quick", 0, 1e-3)
    monkeypatch.setattr(Context, "pick", lambda self, *, quick, full: 60 if isinstance(quick, int) else quick)
    return check(module.CLAIM.subject, context).outcome


def test_the_paths_of_the_trainer_are_confirmed(monkeypatch):
    assert [judged(claim, monkeypatch) for claim in PATHS] == ["confirmed"] * 3


@pytest.mark.parametrize(
    ("fault", "claims"),
    [
        (("mutual_loss", with_order(1, -1.0)), ("N1", "N3")), (("mutual_loss", with_order(2)), ("N1", "N3", "N4")),
        (("mutual_loss", with_order(1, 2.0)), ("N1", "N3", "N4")), (("update", in_turn), ("N1",)),
    ],
    ids=["sign", "order doubled", "weight doubled", "in turn"],
)  # fmt: skip
def test_a_trainer_that_goes_wrong_is_seen_along_its_path(monkeypatch, fault, claims):
    name, wrong = fault
    monkeypatch.setattr(update if name == "mutual_loss" else Cohort, name, wrong)
    assert [judged(claim, monkeypatch) for claim in claims] == ["refuted"] * len(claims)
