"""What is in the wheel that users install."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("rdml_theory", "convergence", "verify")


def test_the_packages_are_marked_as_typed():
    assert all((ROOT / package / "py.typed").read_text() == "" for package in PACKAGES)


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
