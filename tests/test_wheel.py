"""What users install: the versions that `make` takes, with their hashes, and the files in the wheel."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
PACKAGES = ("rdml_theory", "convergence", "verify")


def test_the_packages_are_marked_as_typed():
    assert all((ROOT / package / "py.typed").read_text() == "" for package in PACKAGES)


def test_the_lock_holds_the_pinned_versions_with_hashes():
    """All that constraints.txt pins but torch, and the build backend."""
    pinned = set(re.findall(r"^([\w.-]+==\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    entries = re.findall(r"^([\w.-]+==\S+) (?:; \S.*)?\\\n((?: +--hash=\S+(?: \\)?\n)+)", LOCK, re.MULTILINE)
    locked = {requirement for requirement, _ in entries}
    assert len(locked) == LOCK.count("==") - 1  # one is in the comment

    def canonical(requirements):
        return {
            re.sub(r"[-_.]+", "-", name).lower() + "==" + version
            for name, version in (x.split("==") for x in requirements)
        }

    backend = {"hatchling", "editables", "pathspec", "trove-classifiers"}
    own = {x for x in canonical(locked) if x.split("==")[0] not in backend}
    assert own == {x for x in canonical(pinned) if not x.startswith("torch==")}
    assert all(re.fullmatch(r"( +--hash=sha256:[0-9a-f]{64}( \\)?\n)+", hashes) for _, hashes in entries)


@pytest.mark.slow
def test_the_wheel_holds_what_the_packages_hold(tmp_path):
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
