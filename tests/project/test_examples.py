"""The files of docs/examples do what their how-tos say.

The loops run and learn: with the real package where it is installed, else with a stand-in for it.

A stand-in implements what the package documents, as far as the loop uses it. `test_with_the_real_package` runs where
the package is, and is skipped elsewhere.
"""

import importlib
import inspect
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from rdml_theory import losses
from verify.__main__ import main

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
LOOPS = EXAMPLES / "loops"
STAND_INS = Path(__file__).parent / "stand_ins"
NEEDS = {
    "plain_torch": "torch", "lightning_module": "lightning", "hugging_face": "transformers", "timm_networks": "timm",
}  # fmt: skip
REAL = {name: find_spec(package) is not None for name, package in NEEDS.items()}


@pytest.fixture
def loop(monkeypatch):
    """A function that imports a loop anew, with the stand-ins before everything else."""
    known = set(sys.modules)

    def imported(name, *, real=False):
        monkeypatch.syspath_prepend(str(LOOPS))
        if not real:
            monkeypatch.syspath_prepend(str(STAND_INS))
        return importlib.import_module(name)

    yield imported
    ours = (str(LOOPS), str(STAND_INS))
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(ours):
            del sys.modules[name]


def check(module, monkeypatch):
    """It learns, every batch has its mutual loss, and of that each student gets its own, once."""
    values = []

    class Watched(losses.MutualLoss):
        def forward(self, *logits, **told):
            value = super().forward(*logits, **told)
            value.retain_grad()
            values.append(value)
            return value

    monkeypatch.setattr(module, "MutualLoss", Watched)
    accuracies = module.train()
    assert len(accuracies) == 2
    assert min(accuracies) > 0.75
    epochs = inspect.signature(module.train).parameters["epochs"].default
    assert len(values) == 30 * epochs
    assert torch.equal(values[-1].grad, torch.ones(2))
    return accuracies


@pytest.mark.parametrize("name", [n if n == "plain_torch" else pytest.param(n, marks=pytest.mark.slow) for n in NEEDS])
def test_it_learns_with_the_documented_contract(name, loop, monkeypatch):
    check(loop(name), monkeypatch)


def test_lightning_trains_as_the_plain_loop_does(loop):
    assert loop("lightning_module").train(epochs=4) == loop("plain_torch").train(epochs=4)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in NEEDS if n != "plain_torch"])
def test_with_the_real_package(name, loop, monkeypatch):
    if not REAL[name]:
        pytest.skip(f"{NEEDS[name]} is not installed")
    check(loop(name, real=True), monkeypatch)


@pytest.mark.parametrize(
    ("declared", "code", "shown"),
    [pytest.param("2.0", 0, 0, marks=pytest.mark.slow), ("1.5", 1, 1)],
)
def test_the_problem_to_copy(declared, code, shown, tmp_path, monkeypatch, capsys):
    """The page shows what is printed: the table, and for the wrong constant the lines about it."""
    page = (EXAMPLES.parent / "howto" / "own_problem.md").read_text()
    block = re.findall(r"^```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[shown]
    text = (EXAMPLES / "my_problem.py").read_text()
    assert "smoothness = 2.0" in text
    (tmp_path / "mine.py").write_text(text.replace("smoothness = 2.0", f"smoothness = {declared}"))
    monkeypatch.setattr(sys, "argv", ["rdml", "verify-problem", f"{tmp_path}/mine.py:mine"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    lines = capsys.readouterr().out.splitlines()
    if shown == 1:
        lines = [line for line in lines if line.startswith(("smoothness:", "wrong:"))]
    assert " ".join(block.split()) in " ".join(" ".join(lines).split())
