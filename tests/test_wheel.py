"""What users install: the versions that `make` takes, with their hashes, and the files in the wheel."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any, get_overloads, get_type_hints

import numpy as np
import pytest
from numpy.typing import NDArray
from packaging.requirements import Requirement

import rdml_theory

ROOT = Path(__file__).resolve().parents[1]
LOCKS = {name: (ROOT / name).read_text() for name in ("requirements.lock", "requirements-dev.lock")}
PACKAGES = ("rdml_theory", "convergence", "verify")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUN = """
from importlib.metadata import version
from pathlib import Path
import convergence, rdml_theory, verify
from verify.__main__ import main

(site,) = {Path(package.__file__).parents[1] for package in (rdml_theory, convergence, verify)}
print(version("rdml-theory"), site, flush=True)
main()
"""


def test_the_packages_are_marked_as_typed():
    assert all((ROOT / package / "py.typed").read_text() == "" for package in PACKAGES)


def test_type_checkers_see_the_arrays_that_functions_return():
    """What is a scalar for one pair is declared `Any`, as in NumPy, for no type depends on shapes."""
    p, q = [0.5, 0.5], np.array([[0.25, 0.75]], dtype=np.float32)
    for function in (rdml_theory.escort, rdml_theory.renyi_hessian, *get_overloads(rdml_theory.renyi_gradient)[:1]):
        assert get_type_hints(function)["return"] == NDArray[Any]
    for function in (rdml_theory.escort, rdml_theory.renyi_hessian, rdml_theory.renyi_gradient):
        assert all(isinstance(function(p, student, 2.0, domain="logits"), np.ndarray) for student in (p, q))


def test_the_lock_holds_the_pinned_versions_with_hashes():
    """All that constraints.txt pins but torch, and the build backend."""
    pinned = set(re.findall(r"^([\w.-]+==\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    lock = "".join(LOCKS.values())
    entries = re.findall(r"^([\w.-]+==\S+) (?:; \S.*)?\\\n((?: +--hash=\S+(?: \\)?\n)+)", lock, re.MULTILINE)
    locked = {requirement for requirement, _ in entries}
    assert len(locked) == len(entries) == lock.count("==") - 1  # one is in the comment

    def canonical(requirements):
        return {
            re.sub(r"[-_.]+", "-", name).lower() + "==" + version
            for name, version in (x.split("==") for x in requirements)
        }

    backend = {"hatchling", "editables", "pathspec", "trove-classifiers"}
    own = {x for x in canonical(locked) if x.split("==")[0] not in backend}
    assert own == {x for x in canonical(pinned) if not x.startswith("torch==")}
    assert all(re.fullmatch(r"( +--hash=sha256:[0-9a-f]{64}( \\)?\n)+", hashes) for _, hashes in entries)


def test_what_the_claims_need_is_locked_for_them():
    """`make verify` installs the extras of its rule with `requirements.lock` alone: all that they require but torch."""
    (extras,) = re.findall(r"--editable '\.\[(train\S*)\]'", (ROOT / "Makefile").read_text())
    versions = dict(re.findall(r"^([\w.-]+)==(\S+)", LOCKS["requirements.lock"], re.MULTILINE))
    own = PROJECT["optional-dependencies"]
    needed: set[str] = set()

    def visit(requirement: Requirement) -> None:
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        mine = name == "rdml-theory"
        if name in needed or name == "torch":
            return
        if not mine:
            needed.add(name)
            if metadata.version(name) != versions.get(name, metadata.version(name)):
                pytest.skip(f"{name} is installed in another version than the locked one, and may require other things")
        lines = [line for e in requirement.extras for line in own[e]] if mine else metadata.requires(name)
        for line in lines or []:
            inner = Requirement(line)
            if inner.marker is None or any(inner.marker.evaluate({"extra": e}) for e in ("", *requirement.extras)):
                visit(inner)

    for line in [f"rdml-theory[{extras}]", *PROJECT["dependencies"]]:
        visit(Requirement(line))
    assert {"numpy", "pillow", "rich", "safetensors", "z3-solver"} <= needed
    assert needed <= versions.keys()


@pytest.mark.slow
def test_the_wheel_holds_what_the_packages_hold_and_runs(tmp_path):
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "No matching distribution found for hatchling" in built.stderr:
        pytest.skip("no index from which to take the build backend")
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("rdml_theory-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.startswith("rdml_theory-")}
    files = {
        str(path.relative_to(ROOT))
        for package in PACKAGES for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }  # fmt: skip
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert names == files
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel],
        check=True, capture_output=True,
    )  # fmt: skip
    told = subprocess.run(
        [sys.executable, "-c", RUN, "run", "D1", "--json"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    version, _, record = told.stdout.partition("\n")
    assert version == f"{PROJECT['version']} {site}"
    assert json.loads(record)["claims"][0]["outcome"] == "confirmed"
