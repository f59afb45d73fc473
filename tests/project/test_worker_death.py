"""A worker that dies is the failure of the one test that it died in: all others still run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_worker_that_dies_takes_no_other_test_with_it(tmp_path):
    """With the options of `make test`; with `--dist loadfile` pytest-xdist 3.8 hangs or ends in INTERNALERROR."""
    options = set(
        re.findall(r"-m pytest (-n \$\(JOBS\).*?)(?: -m .*)?$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    )
    assert len(options) == 1
    (tmp_path / "pytest.ini").touch()
    healthy = (
        "import pytest\n"
        "@pytest.fixture(scope='module')\n"
        "def costly():\n    print('made')\n    return 1\n"
        "@pytest.mark.parametrize('n', range(20))\n"
        "def test_healthy(n, costly): assert costly\n"
    )
    dying = "import os\ndef test_before(): pass\ndef test_dies(): os.abort()\ndef test_after(): pass\n"
    for name in "abcd":
        (tmp_path / f"test_{name}.py").write_text(healthy)
    (tmp_path / "test_b2.py").write_text(dying)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-rA",
        "-p",
        "no:cacheprovider",
        *options.pop().replace("$(JOBS)", "2").split(),
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 1, done.stdout
    assert "INTERNALERROR" not in done.stdout
    assert re.search(r"\n=+ 1 failed, 82 passed in ", done.stdout), done.stdout[-2000:]
    assert re.search(r"worker 'gw\d' crashed while running 'test_b2.py::test_dies'", done.stdout)
    # What a fixture of a module costs when its tests go to both workers: it is made at most once in each, and again
    # in the worker that takes the place of the dead one.
    assert 4 <= done.stdout.count("made\n") <= 4 + 4 + 2
