"""Scores are of networks in evaluation mode, and the best weights are chosen by the validation samples alone."""

import contextlib
import dataclasses

import pytest
import torch

from verify.trainer import Config, Trainer, train
from verify.trainer import folder as folder_module
from verify.trainer import metrics as metrics_module
from verify.trainer import trainer as trainer_module
from verify.trainer.checkpoint import load_checkpoint, load_students
from verify.trainer.data import Split, load_data
from verify.trainer.folder import BEST, LAST, Epoch, read_metrics
from verify.trainer.metrics import evaluate, score

SMALL = {"data": "digits", "students": "mlp:2", "width": 8, "batch": 256, "epochs": 6, "monitor": 0.0, "lr": 0.3}


def check_evaluation_mode():
    """Against the formula of batch normalisation with running statistics, and without dropout."""
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm1d(3, affine=False)
    norm.running_mean, norm.running_var = torch.tensor([1.0, 0.0, -2.0]), torch.tensor([4.0, 1.0, 0.25])
    student = torch.nn.Sequential(norm, torch.nn.Dropout(0.5)).train()
    x, y = torch.randn(50, 3), torch.randint(0, 3, (50,))
    logits = (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    before = {k: v.clone() for k, v in student.state_dict().items()}
    scores = evaluate([student], Split(x, y), lambda x: x, batch=20)
    assert scores[0].nll == pytest.approx(torch.nn.functional.cross_entropy(logits, y).item(), rel=1e-5)
    assert scores[0].accuracy == pytest.approx((logits.argmax(1) == y).double().mean().item(), abs=1e-12)
    assert all(torch.equal(v, before[k]) for k, v in student.state_dict().items())
    assert student.training
    assert norm.training


def test_students_are_evaluated_in_evaluation_mode(monkeypatch):
    check_evaluation_mode()
    monkeypatch.setattr(metrics_module, "evaluating", lambda students: contextlib.nullcontext())
    with pytest.raises(AssertionError):
        check_evaluation_mode()


def test_the_last_score_is_that_of_the_mean_of_probabilities():
    torch.manual_seed(0)
    students, x, y = [torch.nn.Linear(3, 4) for _ in range(3)], torch.randn(50, 3), torch.randint(0, 4, (50,))
    mean = torch.stack([s(x).softmax(-1) for s in students]).mean(0)
    scores = evaluate(students, Split(x, y), lambda x: x, batch=20)
    assert scores[-1].nll == pytest.approx(torch.nn.functional.nll_loss(mean.log(), y).item(), rel=1e-5)
    assert scores[-1].accuracy == pytest.approx((mean.argmax(1) == y).double().mean().item(), abs=1e-12)
    assert scores[-1].nll < sum(s.nll for s in scores[:-1]) / 3


def test_the_calibration_error_is_that_of_bins():
    """Where 7 of 10 predictions of 70% are right there is none."""
    logs = torch.tensor([[0.7, 0.3]] * 10, dtype=torch.float64).log()
    assert score(logs, torch.tensor([0] * 7 + [1] * 3)).ece == pytest.approx(0.0, abs=1e-12)
    assert score(logs, torch.tensor([0] * 4 + [1] * 6)).ece == pytest.approx(0.3)


def check_selection(out, monkeypatch):
    """Other test samples change no weight and no step of a run; the best epoch is that of the validation samples."""
    honest = train(Config(**SMALL, out=out / "honest"))

    def load(*source, **settings):
        data = load_data(*source, **settings)
        # Samples on which every epoch scores differently than on the true ones.
        rows = torch.arange(len(data.test) // 3)
        labels = (data.test.y[rows] + rows) % data.classes
        return dataclasses.replace(data, test=Split(data.test.x[rows], labels))

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "load_data", load)
        other = train(Config(**SMALL, out=out / "other"))
    (one, meta), (two, meta_of_other) = (load_checkpoint(r.folder / BEST) for r in (honest, other))
    assert meta["step"] == meta_of_other["step"]
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert honest.test != other.test
    lines = [[e for e in read_metrics(r.folder) if isinstance(e, Epoch)] for r in (honest, other)]
    assert lines[0] == lines[1]
    # By hand: the scores of the best epoch are those of its weights on the validation samples.
    trainer = Trainer(Config(**SMALL, out=out))
    load_students(trainer.students, one, honest.folder)
    scores = evaluate(trainer.students, trainer.data.validation, trainer.data.prepare)
    means = [sum(s.accuracy for s in e.validation[:-1]) / 2 for e in lines[0]]
    assert sum(s.accuracy for s in scores[:-1]) / 2 == pytest.approx(max(means), abs=1e-12)
    assert meta["step"] == lines[0][means.index(max(means))].step
    assert evaluate(trainer.students, trainer.data.test, trainer.data.prepare) == honest.best
    load_students(trainer.students, load_checkpoint(honest.folder / LAST)[0], honest.folder)
    for found, part in ((honest.validation, trainer.data.validation), (honest.test, trainer.data.test)):
        assert evaluate(trainer.students, part, trainer.data.prepare) == found


def test_the_best_weights_are_chosen_by_the_validation_samples(tmp_path, monkeypatch):
    check_selection(tmp_path, monkeypatch)


@pytest.mark.parametrize("part", ["test", "train"])
def test_a_choice_by_other_samples_is_noticed(tmp_path, monkeypatch, part):
    """The planted fault: what is evaluated after an epoch is another part of the data."""
    after = folder_module.RunFiles.after_epoch

    def wrong(files, losses):
        kept = files.trainer.data
        files.trainer.data = dataclasses.replace(kept, validation=getattr(kept, part))
        try:
            return after(files, losses)
        finally:
            files.trainer.data = kept

    monkeypatch.setattr(folder_module.RunFiles, "after_epoch", wrong)
    with pytest.raises(AssertionError):
        check_selection(tmp_path, monkeypatch)


def test_a_choice_of_the_last_epoch_is_noticed(tmp_path, monkeypatch):
    """The planted fault: every epoch counts as the best so far."""
    monkeypatch.setattr(folder_module.RunFiles, "better", lambda files, score: True)
    with pytest.raises(AssertionError):
        check_selection(tmp_path, monkeypatch)
