"""What each extra brings: the losses need torch, the bounds NumPy and SciPy, and nothing else."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OF_THE_CLAIMS = (
    "sympy", "mpmath", "matplotlib", "sklearn", "click", "rich", "pydantic", "jinja2", "latex2mathml", "threadpoolctl",
    "safetensors", "z3", "flint", "clarabel", "distributed",
)  # fmt: skip
# What torch itself requires comes with it.
NOT_OF_TORCH = tuple(name for name in OF_THE_CLAIMS if name not in ("sympy", "mpmath", "jinja2"))
WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""
CORE = """
import numpy as np
import convergence, rdml_theory
assert rdml_theory.renyi_divergence([0.5, 0.5], [0.25, 0.75], 2.0).round(4) == 0.2877
problem = convergence.problems.get("quadratic_cosine", noise=0.02, bias=0.04)
run = convergence.simulate(problem, step=0.5, steps=200, replicas=64, seed=0)
print(convergence.check_bound(run, convergence.sharp_bound(run.assumptions, run.step, run.steps)).outcome)
for name in convergence.problems.available():
    convergence.problems.get(name)
"""
LOSSES = """
import torch
from rdml_theory.losses import MutualLoss, RenyiDivLoss
logits = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]]], requires_grad=True)
MutualLoss(2.0)(logits).sum().backward()
RenyiDivLoss(0.5)(logits[0], logits[1]).backward()
print(bool(logits.grad.isfinite().all()))
"""


def without(absent, code, *words):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(absent=absent) + code, *words],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip


def test_only_numpy_and_scipy_come_with_the_package():
    assert [entry.partition(">")[0] for entry in PROJECT["dependencies"]] == ["numpy", "scipy"]
    assert PROJECT["optional-dependencies"]["torch"] == ["torch>=2.13"]


@pytest.mark.parametrize(
    ("absent", "code", "said"),
    [((*OF_THE_CLAIMS, "torch"), CORE, "confirmed\n"), (NOT_OF_TORCH, LOSSES, "True\n")],
    ids=["core", "losses"],
)
def test_they_are_enough(absent, code, said):
    result = without(absent, code)
    assert (result.returncode, result.stdout) == (0, said), result.stderr


@pytest.mark.parametrize(
    ("absent", "code", "said"),
    [
        (
            "sympy",
            "import rdml_theory.symbolic",
            "rdml_theory.symbolic needs sympy: pip install 'rdml-theory[symbolic]'",
        ),
        (
            "sklearn",
            "sys.modules['sklearn'] = None; from convergence.data import real_data; real_data('iris')",
            "data = 'iris' needs sklearn: pip install 'rdml-theory[verify]'",
        ),
        (
            "click",
            "from verify.__main__ import main; main()",
            "error: this command needs click: pip install 'rdml-theory[verify]'",
        ),
        (
            "matplotlib",
            "sys.argv = ['rdml', 'run', 'D12', '--out', sys.argv[1]]; from verify.__main__ import main; main()",
            "error: this needs matplotlib; install it with: pip install 'rdml-theory[verify]'",
        ),
    ],
)
def test_what_is_missing_is_named_with_its_extra(absent, code, said, tmp_path):
    result = without((absent,), code, str(tmp_path / "out"))
    assert result.returncode != 0
    assert result.stderr.splitlines()[-1].endswith(said)


def test_the_workflow_tries_every_version_that_is_declared():
    """Of Python, and with the options of `make test`."""
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text()
    declared = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    assert re.findall(r'"(3\.\d+)"', workflow) == declared
    ours = re.search(r"\(BIN\)/python -m pytest (.*)", (ROOT / "Makefile").read_text())
    assert ours
    assert f"python -m pytest {ours[1].replace('$(JOBS)', '2')}\n" in workflow


def test_a_release_has_one_number_and_one_day():
    """Above it there may be changes that are not released."""
    told = re.search(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    cited = dict(re.findall(r"^(version|date-released): (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE))
    assert told
    assert (cited["version"], cited["date-released"]) == told.groups()
    assert PROJECT["version"] == told[1]
