"""Arrows point one way, importing the core is light, and the check that says so can fail."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c())"]


def lint(folder):
    pytest.importorskip("importlinter")
    return subprocess.run(LINT, cwd=folder, capture_output=True, text=True, check=False)


def test_layers_are_kept():
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("rdml_theory/divergence.py", "import convergence.bounds"),
        ("convergence/bounds.py", "import verify.records"),
        ("convergence/sgd.py", "import sympy"),
        ("convergence/cohort.py", "import torch"),
        ("verify/plots.py", "import convergence"),
        ("verify/report.py", "import verify.runner"),
    ],
)
def test_a_wrong_arrow_is_caught(tmp_path, module, line):
    for name in ("rdml_theory", "convergence", "verify"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / module
    # At the end: `from __future__` must stay first.
    path.write_text(path.read_text() + f"\n{line}\n")
    result = lint(tmp_path)
    assert result.returncode != 0
    assert "BROKEN" in result.stdout


@pytest.mark.parametrize("package", ["convergence", "verify"])
def test_where_to_look_names_what_is_there(package):
    folder = ROOT / package
    told = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    lines = [line for line in told.partition("Where to look")[2].splitlines() if line.startswith("``")]
    names = re.findall(r"``([\w/]+)``", " ".join(lines))
    assert len(names) > 10
    paths = [folder / (name if name.endswith("/") else f"{name}.py") for name in names]
    assert [path for path in paths if not path.exists()] == []


def test_importing_the_core_is_light():
    code = (
        "import sys, json, time; t = time.perf_counter(); import numpy; u = time.perf_counter(); import rdml_theory;"
        "print(json.dumps([sorted(m for m in sys.modules if '.' not in m), time.perf_counter() - u]))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    modules, _ = json.loads(out)
    assert not {"torch", "sympy", "matplotlib", "scipy", "sklearn", "convergence", "verify"} & set(modules)


def test_a_simulation_loads_no_torch_no_sympy_and_no_optimiser():
    code = (
        "import sys; from convergence import problems, simulate;"
        "simulate(problems.get('quadratic', noise=1), step=1, steps=1, replicas=1, seed=0);"
        "print(*({'torch', 'sympy', 'matplotlib', 'scipy.optimize'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert out.split() == []
