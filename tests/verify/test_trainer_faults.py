"""Deliberate faults in the trainer, its schedules and its losses: the claims on networks see each of them."""

import json

import pytest
import torch
from faults import ROOT, misfits, run_with, suite_with

from rdml_theory.losses import mutual_loss, renyi_divergence
from verify.checks import updates
from verify.checks.updates import TRUE, applied_update
from verify.claim import Finding
from verify.claims import n1_bias_budget as n1
from verify.claims import n3_batch_noise as n3
from verify.claims import n4_bias_bounds as n4
from verify.context import Context
from verify.trainer import update
from verify.trainer.update import Cohort

UPDATE, TRAINER = (f"verify/trainer/{name}.py" for name in ("update", "trainer"))
MUTUAL = "rdml_theory/losses/mutual.py"
BLOCKS, QUICK = "rdml_theory/losses/_cohort.py", "rdml_theory/losses/_quick.py"
LOSS = "return base, mutual_loss(logits, self.alpha(step), beta=weight, temperature=self.temperature)"
MOVING = """from rdml_theory.losses import renyi_divergence
        warm, own = self.temperature, self.alpha(step)
        pairs = [[renyi_divergence(p / warm, q / warm, own).mean() for p in logits] for q in logits]
        return base, weight * warm**2 / (len(logits) - 1) * torch.stack([sum(row) for row in pairs])"""

# file, what is there, what is put in its place
FAULTS = {
    "sign of the mutual loss": (UPDATE, LOSS, LOSS.replace("mutual_loss", "-mutual_loss")),
    "order doubled": (UPDATE, LOSS, LOSS.replace("self.alpha", "2 * self.alpha")),
    "weight doubled": (UPDATE, LOSS, LOSS.replace("=weight", "=2 * weight")),
    "weight 1% off": (UPDATE, LOSS, LOSS.replace("=weight", "=1.01 * weight")),
    "temperature dropped": (UPDATE, LOSS, LOSS.replace(", temperature=self.temperature", "")),
    "students that move in turn": (TRAINER, 'sequential=config.update == "sequential"', "sequential=True"),
    "weight without its schedule": (TRAINER, "return full(step) * (", "return config.beta * ("),
    "weight a step late": (TRAINER, "return full(step) * (", "return full(max(step - 1, 0)) * ("),
    "weight without its warm-up": (TRAINER, "min(1.0, step / warm) if warm else 1.0", "1.0"),
    "order without its schedule": (TRAINER, "ramp(config.alpha, config.alpha_end,", "ramp(config.alpha, None,"),
    "ramps that end a step late": (TRAINER, "(start, end, max(last, 1))", "(start, end, last + 1)"),
    "momentum unasked": (TRAINER, "lr=config.lr, momentum=config.momentum", "lr=config.lr, momentum=0.01"),
    "weight decay 1% off": (
        TRAINER, "        weight_decay=config.weight_decay,", "        weight_decay=1.01 * config.weight_decay,"
    ),
    "label smoothing dropped": (UPDATE, "base_loss(logits, y, self.label_smoothing)", "base_loss(logits, y)"),
    "rate 1% off": (UPDATE, 'settings["lr"] = rate', 'settings["lr"] = 1.01 * rate'),
    "base gradient of a sum": (UPDATE, "return losses.mean(1)", "return losses.sum(1) / (losses.shape[1] - 1)"),
    "gradients that add up": (UPDATE, "        self.optimizer.zero_grad(set_to_none=self.stacked is None)\n", ""),
    "factor of the temperature": (MUTUAL, "scale = temperature * temperature * (", "scale = temperature * ("),
    "sum over the peers": (QUICK, "share = 1.0 / (students - 1)", "share = 1.0"),
    "temperature of the powers": (QUICK, "x /= task.temperature", "x /= 1.0"),
    "temperature of the gradient": (BLOCKS, "mul_(task.weight / task.temperature)", "mul_(task.weight)"),
    "peers that are not held constant": (UPDATE, LOSS, MOVING),
    "rows masked": (UPDATE, LOSS, LOSS.replace("=self.temperature)", "=self.temperature, mask=y > 0)")),
    "momentum 1% off": (TRAINER, "momentum=config.momentum, nesterov", "momentum=0.99 * config.momentum, nesterov"),
    "momentum never Nesterov's": (TRAINER, "nesterov=config.nesterov and config.momentum > 0", "nesterov=False"),
    "momentum always Nesterov's": (TRAINER, "nesterov=config.nesterov and config", "nesterov=config"),
    "rate without its schedule": (TRAINER, "lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / rest))", "lr"),
    "rate whose cosine is a step early": (TRAINER, "(step - warm) / rest", "(step + 1 - warm) / rest"),
    "rate that rises a step late": (TRAINER, "lr * (step + 1) / warm", "lr * step / warm"),
    "biases of stacked students": (UPDATE, "torch.baddbmm(layer[1], out, layer[0])", "torch.bmm(out, layer[0])"),
}  # fmt: skip


MONITOR, BUDGET, SAMPLES = (f"verify/monitor/{name}.py" for name in ("monitor", "budget", "samples"))
COMPARISON, DATA, FOLDER = (f"verify/trainer/{name}.py" for name in ("comparison", "data", "folder"))

# What the check of the monitor refutes in a run of N1
MONITORED = {
    "weight left out of the bias": (MONITOR, '"mutual": beta * self._flat(', '"mutual": self._flat('),
    "order of the monitor 1% off": (MONITOR, "loss(logits, alpha, temp", "loss(logits, 1.01 * alpha, temp"),
    "temperature of the monitor dropped": (MONITOR, "alpha, temperature=self.temperature)", "alpha)"),
    "label smoothing of the monitor dropped": (MONITOR, ", label_smoothing=self.label_smoothing).mean", ").mean"),
    "bounds without the temperature": (
        MONITOR, '{"beta": beta * self.temperature, "jacobian": norm}', '{"beta": beta, "jacobian": norm}'
    ),
    "divergence with a temperature left": (MONITOR, "/ self.temperature**2", "/ self.temperature"),
    "bound of C4 doubled": (
        "convergence/mutual.py", "2 * (given[\"beta\"], given[\"jacobian\"])",
        "(2.0, *2 * (given[\"beta\"], given[\"jacobian\"]))"
    ),
    "weight decay no part of the loss": (MONITOR, "decay = self.weight_decay * weights", "decay = 0.0 * weights"),
    "curvature halved": (MONITOR, "float(2 * e / s)", "float(e / s)"),
    "noise along the steps not counted": (
        BUDGET, "_mean(h * o.pull - (1 - h) * o.martingale for o in own)", "0.0"
    ),
    "bound 1% off": (BUDGET, "float(sharp_bound(known, rate, steps))", "1.01 * float(sharp_bound(known, rate, steps))"),
    "weight decay kept from the monitor": (
        TRAINER, 'weight_decay=config.weight_decay if config.optimizer == "sgd" else 0.0', "weight_decay=0.0"
    ),
    "temperature kept from the monitor": (TRAINER, "temperature=config.temperature, weight", "weight"),
    "rate told to the monitor 1% off": (TRAINER, "rate=self.cohort.rate(", "rate=1.01 * self.cohort.rate("),
}  # fmt: skip

# What no update of N1 shows, and the test in tests/trainer that does: file, what is there, what is put in its place
TESTED = {
    "noise of batches with replacement": (
        MONITOR, "1 / self.batch - 1 / self.total", "1 / self.batch",
        "monitor.py::test_noise_is_exactly_that_of_batches_without_replacement",
    ),
    "squared norms of a sample, biased": (
        MONITOR, "1 / len(order) - 1 / self.total", "0.0",
        "monitor.py::test_a_sample_gives_unbiased_squared_norms",
    ),
    "noise of pairs that share a part": (
        MONITOR, "            if n % 2:\n", "            if n:\n",
        "monitor.py::test_noise_is_exactly_that_of_batches_without_replacement",
    ),
    "autocast left out of the monitor": (
        MONITOR, "enabled=self.autocast is not None", "enabled=False", "loops.py::test_autocast"
    ),
    "probe of the Jacobian not centred": (
        MONITOR, "probe = probe - probe.mean(-1, keepdim=True)", "pass",
        "monitor.py::test_the_jacobian_probe_has_the_right_mean_and_bounds_the_spectral_norm",
    ),
    "steps that are never other than told": (
        MONITOR, "float(off[k] / step[k]) if not off[k] <= allowed else 0.0", "0.0",
        "monitor.py::test_where_the_bound_is_no_theorem_there_is_none",
    ),
    "running statistics that measuring moves": (
        MONITOR, "                buffer.copy_(value)", "                pass",
        "monitor.py::test_observing_changes_nothing",
    ),
    "random state that measuring moves": (
        MONITOR, "with torch.random.fork_rng(devices=devices):", "if True:",
        "monitor.py::test_observing_changes_nothing",
    ),
    "a short training measured seldom": (
        MONITOR, "min(self.every, steps // RECORDS)", "self.every",
        "loops.py::test_a_short_training_is_measured_twenty_times",
    ),
    "noise of any mean": (
        BUDGET, "if abs(sum(values)) > max(", "if False and abs(sum(values)) > max(",
        "monitor.py::test_gradients_of_other_losses_than_stated_are_noticed",
    ),
    "full gradients of other losses": (
        BUDGET, 'return reason if far else ""', 'return ""',
        "monitor.py::test_gradients_of_other_losses_than_stated_are_noticed",
    ),
    "a rate that changes": (
        BUDGET, "elif len(rates := {o.rate for o in own}) > 1:", "elif len(rates := {o.rate for o in own}) > 99:",
        "monitor.py::test_a_rate_that_changes_gives_no_bound",
    ),
    "a loader that draws with replacement": (
        SAMPLES, 'if getattr(sampler, "replacement", False):', "if False:",
        "loops.py::test_what_a_loader_has_not_shown_gives_no_bound",
    ),
    "a loader that was not read to its end": (
        SAMPLES, "math.inf if rest else len(y)", "len(y)", "loops.py::test_what_a_loader_has_not_shown_gives_no_bound"
    ),
    "students in turn taken for plain": (
        TRAINER, ' and config.augment == "none" and config.update == "simultaneous"', ' and config.augment == "none"',
        "monitor.py::test_the_trainer_says_plain_only_where_it_is",
    ),
    "clipping of all students together": (
        UPDATE, "clip_grad_norm_(self.students[k].parameters()", "clip_grad_norm_(self.parameters()",
        "cohort.py::test_clipping_is_for_each_student_alone",
    ),
    "clipping of scaled gradients": (
        UPDATE, "            self.scaler.unscale_(self.optimizer)\n", "",
        "cohort.py::test_clipping_is_for_each_student_alone",
    ),
    "a learned order that decays": (
        UPDATE, '"weight_decay": 0.0}', "}", "cohort.py::test_a_learned_order_does_not_decay"
    ),
    "Adam for AdamW": (
        TRAINER, "partial(torch.optim.AdamW, lr", "partial(torch.optim.Adam, lr",
        "cohort.py::test_adamw_is_that_of_torch",
    ),
    "losses of logits in half precision": (
        UPDATE, "return wide(torch.stack([student(x) for student in self.called]))",
        "return torch.stack([student(x) for student in self.called])", "cohort.py::test_low_precision_trains",
    ),
    "students in turn who see old weights": (
        UPDATE, "            seen[k] = self._without_state(x, k)\n", "",
        "cohort.py::test_sequential_students_see_their_peers_latest_weights",
    ),
    "running statistics counted twice": (
        UPDATE, "            buffer.copy_(value)", "            pass",
        "cohort.py::test_sequential_counts_running_statistics_once_a_step",
    ),
    "one order of the samples for all epochs": (
        DATA, 'generator(seed, "order", epoch)', 'generator(seed, "order")',
        "data.py::test_every_epoch_has_an_order_of_its_own",
    ),
    "momentum lost when a run goes on": (
        "verify/trainer/checkpoint.py", '{**description, "state": state}', '{**description, "state": {}}',
        "run.py::test_a_stopped_run_resumes_bit_for_bit",
    ),
    "random state lost when a run goes on": (
        "verify/trainer/checkpoint.py", '        torch.set_rng_state(tensors["random.cpu"])\n', "",
        "run.py::test_every_kind_of_state_resumes",
    ),
    "loss scaling lost when a run goes on": (
        "verify/trainer/checkpoint.py", "            cohort.scaler.load_state_dict(scaler)", "            pass",
        "run.py::test_every_kind_of_state_resumes",
    ),
    "losses of the epoch lost when a run goes on": (
        TRAINER, "self.history.copy_(history)", "pass", "run.py::test_a_stopped_run_resumes_bit_for_bit"
    ),
    "scores of networks in training mode": (
        "verify/trainer/metrics.py", "        s.eval()\n", "        pass\n",
        "selection.py::test_students_are_evaluated_in_evaluation_mode",
    ),
    "calibration error sample by sample": (
        "verify/trainer/metrics.py", "right - confidence)", "(right - confidence).abs())",
        "selection.py::test_the_calibration_error_is_that_of_bins",
    ),
    "best weights chosen by the test samples": (
        FOLDER, "scores = evaluate(trainer.students, trainer.data.validation,",
        "scores = evaluate(trainer.students, trainer.data.test,",
        "selection.py::test_the_best_weights_are_chosen_by_the_validation_samples",
    ),
    "validation scores of the test samples": (
        FOLDER, "validation = evaluate(trainer.students, data.validation, data.prepare)",
        "validation = evaluate(trainer.students, data.test, data.prepare)",
        "selection.py::test_the_best_weights_are_chosen_by_the_validation_samples",
    ),
    "a table whose rows are runs of another configuration": (
        FOLDER, "        if differing:\n            reasons", "        if False:\n            reasons",
        "recipes.py::test_a_run_of_another_configuration_is_not_taken_for_a_row",
    ),
    "scores that count the ensemble as a student": (
        COMPARISON, "getattr(s, metric) for s in test[:-1]]", "getattr(s, metric) for s in test]",
        "recipes.py::test_a_comparison_is_paired_and_not_repeated",
    ),
    "scores of the best weights where a run was found": (
        COMPARISON, "return folder, done.test", "return folder, done.best",
        "recipes.py::test_a_comparison_is_paired_and_not_repeated",
    ),
    "intervals that hold one by one": (
        COMPARISON, "paired_interval(d, ERROR_RATE / tests,", "paired_interval(d, ERROR_RATE,",
        "tables.py::test_the_page_has_the_tables_of_the_records",
    ),
    "intervals without the lattice": (
        COMPARISON, 'self.lattice if "accuracy" in metric else 0.0', "0.0",
        "recipes.py::test_equal_seeds_are_not_resolved",
    ),
}  # fmt: skip


def test_faults_fit_the_sources():
    every = {**FAULTS, **MONITORED, **TESTED}
    assert len(every) == len(FAULTS) + len(MONITORED) + len(TESTED)
    page = (ROOT / "docs/trainer.md").read_text()
    assert f"lists {len(every)} faults" in page
    assert f"- {len(FAULTS)} are refused by `rdml run N1`" in page
    assert f"- {len(MONITORED)} of the bias monitor are refused by `rdml run N1`" in page
    assert f"- {len(TESTED)} that N1 cannot show" in page
    assert misfits(every) == {}
    for name, (*_, test) in TESTED.items():
        path, _, function = test.partition("::")
        assert f"def {function}(" in (ROOT / "tests/trainer" / f"test_trainer_{path}").read_text(), name


@pytest.mark.slow
@pytest.mark.parametrize("name", TESTED)
def test_a_test_fails(tmp_path, name):
    *fault, test = TESTED[name]
    result = suite_with(tmp_path, *fault, f"tests/trainer/test_trainer_{test}")
    assert result.returncode == 1, result.stdout[-2000:] + result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FAULTS, *MONITORED])
def test_fault_is_caught(tmp_path, name):
    fault, check = (FAULTS[name], "update") if name in FAULTS else (MONITORED[name], "monitor")
    result = run_with(tmp_path, *fault, ["N1"])
    assert result.returncode == 1, result.stderr
    (claim,) = json.loads(result.stdout)["claims"]
    assert {c["id"]: c["outcome"] for c in claim["checks"]}[check] == "refuted"


def outcome():
    return Finding.of(applied_update(TRUE, Context("N1", "update", "quick", 0, 1e-3))).outcome


@pytest.mark.parametrize("stacked", [True, False])
def test_the_trainer_follows_the_law(monkeypatch, stacked):
    if not stacked:
        monkeypatch.setattr(update, "stackable", lambda students: False)
    assert outcome() == "confirmed"


def moving(logits, alpha, *, beta, temperature):
    z = logits / temperature
    pairs = [[renyi_divergence(p, q, alpha).mean() for p in z] for q in z]
    return beta * temperature**2 / (len(z) - 1) * torch.stack([sum(row) for row in pairs])


def masked(logits, alpha, **told):
    return mutual_loss(logits, alpha, mask=torch.arange(logits.shape[1]) % 2 == 0, **told)


@pytest.mark.parametrize(
    ("law", "wrong"),
    [("moving", moving), pytest.param("masked", masked, marks=pytest.mark.slow)],
    ids=["moving", "masked"],
)
def test_a_false_law_is_the_law_of_the_trainer_with_that_fault(monkeypatch, law, wrong):
    """So a control is what it says to be, and is not refuted for another reason."""
    monkeypatch.setattr(updates, "RUNS", {"float64": updates.RUNS["float64"]})
    monkeypatch.setattr(update, "mutual_loss", wrong)
    (false,) = (c.subject for c in updates.FALSE if c.id == law)
    context = Context("N1", "update", "quick", 0, 1e-3)
    assert Finding.of(applied_update(false, context)).outcome == "confirmed"
    assert Finding.of(applied_update(TRUE, context)).outcome == "refuted"


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


# N1 takes full gradients, and what is wrong shows at once; N3 takes means, which need more steps. N4 takes none.
PATHS = {"N1": (n1, n1.full_gradient, 40), "N3": (n3, n3.martingale, 120), "N4": (n4, n4.attained, 0)}


def judged(claim, monkeypatch):
    module, check, steps = PATHS[claim]
    context = Context(claim, check.id, "quick", 0, 1e-3)
    monkeypatch.setattr(Context, "pick", lambda self, *, quick, full: steps if isinstance(quick, int) else quick)
    return check.run(module.CLAIM.subject, context).outcome


def test_the_paths_of_the_trainer_are_confirmed(monkeypatch):
    assert [judged(claim, monkeypatch) for claim in PATHS] == ["confirmed"] * 3


@pytest.mark.parametrize(
    ("fault", "claims"),
    [
        pytest.param(("mutual_loss", with_order(1, -1.0)), ("N1", "N3"), marks=pytest.mark.slow, id="sign"),
        pytest.param(("mutual_loss", with_order(2)), ("N1", "N3", "N4"), id="order doubled"),
        pytest.param(
            ("mutual_loss", with_order(1, 2.0)), ("N1", "N3", "N4"), marks=pytest.mark.slow, id="weight doubled"
        ),
        pytest.param(("update", in_turn), ("N1",), id="in turn"),
    ],
)
def test_a_trainer_that_goes_wrong_is_seen_along_its_path(monkeypatch, fault, claims):
    name, wrong = fault
    monkeypatch.setattr(update if name == "mutual_loss" else Cohort, name, wrong)
    assert [judged(claim, monkeypatch) for claim in claims] == ["refuted"] * len(claims)
