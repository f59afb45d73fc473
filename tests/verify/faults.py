"""Copies of the sources with one fault in them, and what a run of claims or a part of the tests says of it."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def misfits(faults):
    """The faults, by name, whose text their file does not hold once, and how often it does."""
    counts = {name: (ROOT / file).read_text().count(before) for name, (file, before, *_) in faults.items()}
    return {name: count for name, count in counts.items() if count != 1}


def _python(tmp_path, folders, file, before, after, *words):
    """What a module of a copy with one fault does."""
    for name in folders:  # with what is compiled, which is that of files of the same time and size
        shutil.copytree(ROOT / name, tmp_path / name)
    path = tmp_path / file
    source = path.read_text()
    assert source.count(before) == 1, f"{file} no longer holds {before!r} once"
    path.write_text(source.replace(before, after))
    Path(importlib.util.cache_from_source(path)).unlink(missing_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(tmp_path), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )  # fmt: skip


PACKAGES = ("rdml_theory", "convergence", "verify")


def run_with(tmp_path, file, before, after, ids):
    return _python(tmp_path, PACKAGES, file, before, after, "verify", "run", *ids, "--json")


def suite_with(tmp_path, file, before, after, tests):
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, tmp_path)
    words = ("pytest", "-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", *tests.split())
    return _python(tmp_path, (*PACKAGES, "tests", "benchmarks", "docs"), file, before, after, *words)
