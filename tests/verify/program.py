"""The program as a user meets it, in this process or in one of its own, and the claims that its tests run."""

import io
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from convergence.store import Store, key
from verify import cli, runner
from verify.results_folder import results_folder
from verify.runner import RunSettings

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "verify"]
KEPT = key("a finished check")
SEED = 20_261_124  # one that no verdict was tuned to
WRITTEN = ["figures", "junit.xml", "report.html", "results.json", "results.schema.json"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1"}


def process(*words, **options):
    """The program in a process of its own."""
    return subprocess.run(
        [*PROGRAM, *map(str, words)], capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT, check=False, **options
    )


def rdml(*words, encoding="utf-8"):
    """The same program in this process, which has imported SymPy and Matplotlib already."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["rdml", *map(str, words)])
        for name in ("COLUMNS", "NO_COLOR"):
            patch.setenv(name, ENVIRONMENT[name])
        with pytest.raises(SystemExit) as ending:
            cli.main()
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return subprocess.CompletedProcess(words, ending.value.code, *texts)


def complains(result, *parts):
    assert result.returncode == 2, result.stdout + result.stderr
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in result.stderr


def narrow(*words, width=80):
    """The program in a terminal of so many columns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENVIRONMENT, "COLUMNS", str(width))
        return rdml(*words)


def lay_out(folder, *entries):
    """Files, and directories where the name ends in a slash."""
    for entry in entries:
        path = folder / entry
        (path if entry.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not entry.endswith("/"):
            path.write_text("mine")


def listing(folder):
    return {str(path.relative_to(folder)): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


class Finished:
    """Finished checks of claims with the seed of the tests, kept as an interrupted run keeps them."""

    settings = RunSettings(seed=SEED)

    def __init__(self, folder):
        self.journal = Store(folder)

    def run(self, *ids):
        """The record of a run that takes from here what is there, and leaves here what was not."""
        return runner.run_claims(ids, self.settings, journal=self.journal)

    def lay_out(self, folder):
        """Leave a folder of results as if a run into it had been interrupted."""
        with results_folder(folder):
            shutil.copytree(self.journal.folder, folder / ".checks", dirs_exist_ok=True)

    def unit(self, unit, settings, progress):
        """What stands in for the run of a check, whatever its seed."""
        return runner._kept(self.journal, unit, runner._name(unit, self.settings))
