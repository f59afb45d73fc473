"""The command line as a user meets it: exit codes, one-line errors, nothing half-written, interrupts, resumption."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "verify"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1"}


def rdml(*words, **options):
    return subprocess.run(
        [*PROGRAM, *map(str, words)], capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT, check=False, **options
    )


def complains(result, *parts):
    assert result.returncode == 2, result.stdout + result.stderr
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in result.stderr


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "results"
    result = rdml("run", "D4", "c1", "--out", folder, "--jobs", "2", "--seed", "5")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder, result


def test_help_teaches():
    for words in ([], ["run"], ["plot"], ["report"], ["bound"], ["list"]):
        result = rdml(*words, "--help")
        assert result.returncode == 0
        assert "Usage" in result.stdout
    assert "130  interrupted" in rdml("--help").stdout
    assert "quick" in rdml("run", "--help").stdout


def test_list():
    result = rdml("list")
    assert result.returncode == 0
    assert "∂D_α(p‖q)/∂z_k = q_k - w_k" in result.stdout
    rows = json.loads(rdml("list", "--json").stdout)
    assert [row["id"] for row in rows] == ["D1", "D3", "D4", "D7", "C1", "C2", "C5"]
    assert all(row["statement"] and row["kind"] and row["source"] and row["controls"] for row in rows)


def test_run_writes_results_figures_and_report(results):
    folder, result = results
    assert "2 of 2 claims confirmed" in result.stdout
    assert sorted(p.name for p in folder.iterdir()) == ["figures", "report.html", "results.json"]
    figures = {p.suffix for p in (folder / "figures").iterdir()}
    assert figures == {".png", ".svg", ".pdf"}
    document = json.loads((folder / "results.json").read_text())
    assert document["schema_version"] == 1
    assert [c["id"] for c in document["claims"]] == ["D4", "C1"]
    environment = document["environment"]
    assert environment["versions"]["numpy"]
    assert environment["source_digest"]
    assert (folder / "report.html").read_text().lstrip().startswith("<!")


def test_json_goes_to_standard_output_alone(results):
    folder, _ = results
    result = rdml("run", "D4", "C1", "--json", "--seed", "5")
    document = json.loads(result.stdout)
    assert document["summary"]["claims"]["confirmed"] == 2
    # Another process, one job, no directory: the same numbers.
    assert document["claims"] == json.loads((folder / "results.json").read_text())["claims"]


def test_plot_and_report_from_records(results, tmp_path):
    folder, _ = results
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "results.json").write_bytes((folder / "results.json").read_bytes())
    plotted = rdml("plot", "C1", "--out", copy)
    assert plotted.returncode == 0
    assert len(plotted.stdout.split()) == 3
    assert all(Path(name).stat().st_size > 0 for name in plotted.stdout.splitlines())
    assert rdml("report", copy).returncode == 0
    assert (copy / "report.html").read_bytes() == (folder / "report.html").read_bytes()
    complains(rdml("plot", "D1", "--out", copy), "unknown claim 'D1'", "D4, C1")


def test_wrong_usage(tmp_path):
    complains(rdml("run", "D99"), "unknown claim 'D99'", "D1")
    complains(rdml("run", "--profile", "nonsense"), "nonsense", "quick")
    complains(rdml("run", "--jobs", "0"), "jobs")
    complains(rdml("run", "--seed", "x"), "seed")
    complains(rdml("nonsense"), "nonsense")
    complains(rdml("run", "--nonsense"), "nonsense")
    complains(rdml("report", tmp_path), "no such file")


def test_foreign_and_unusable_directories(tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("mine")
    complains(rdml("run", "D4", "--out", foreign), "is not empty", "results.json")
    assert [p.name for p in foreign.iterdir()] == ["thesis.tex"]
    complains(rdml("run", "D4", "--out", foreign / "thesis.tex"), "is a file")
    complains(rdml("run", "D4", "--out", foreign / "thesis.tex" / "below"), "cannot be created")


@pytest.mark.skipif(os.geteuid() == 0 or sys.platform == "win32", reason="root may write anywhere")
def test_unwritable_directory(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    complains(rdml("run", "D4", "--out", locked / "new"), "cannot be created")


def test_damaged_results(results, tmp_path):
    folder, _ = results
    text = (folder / "results.json").read_text()
    for damaged, reason in (
        (text[:1000], "truncated or not JSON"),
        (text.replace('"schema_version": 1', '"schema_version": 7'), "schema version 7"),
    ):
        (tmp_path / "results.json").write_text(damaged)
        complains(rdml("report", tmp_path), reason)
        complains(rdml("plot", "--out", tmp_path), reason)
        assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(("jobs", "number"), [(1, signal.SIGINT), (2, signal.SIGTERM)])
def test_interrupted_then_resumed_to_the_same_numbers(tmp_path, jobs, number):
    folder = tmp_path / "out"
    words = ["run", "C1", "D3", "D1", "--out", str(folder), "--jobs", str(jobs), "--seed", "9"]
    process = subprocess.Popen(
        [*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=ENVIRONMENT
    )
    deadline = time.monotonic() + 120
    while not list(folder.glob(".checks/*.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.fail("the run ended before it could be interrupted")
    assert process.returncode == 130, out + err
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    assert "interrupted, no results written" in err
    assert [p.name for p in folder.iterdir()] == [".checks"]
    assert all(json.loads(p.read_text()) for p in (folder / ".checks").iterdir())

    resumed = rdml(*words)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed:" in resumed.stderr
    fresh = json.loads(rdml("run", "C1", "D3", "D1", "--seed", "9", "--json").stdout)
    assert json.loads((folder / "results.json").read_text())["claims"] == fresh["claims"]
    assert not (folder / ".checks").exists()


def test_bound():
    result = rdml("bound", "--smoothness", "1", "--step", "1", "--bias", "0.01", "--steps", "8", "--json")
    document = json.loads(result.stdout)
    totals = {row["bound"]: row["total"] for row in document["bounds"]}
    assert totals["classical"] == pytest.approx(0.26)
    assert totals["sharp"] == pytest.approx(0.26)
    for row in document["bounds"]:
        assert row["transient"] + row["noise"] + row["bias"] == pytest.approx(row["total"])
    table = rdml("bound", "--smoothness", "1", "--step", "1.5", "--pl-constant", "0.1")
    assert table.returncode == 0
    assert "not applicable, classical" in table.stdout
    complains(rdml("bound", "--smoothness", "1", "--step", "2.5"), "Λη")
    complains(rdml("bound", "--smoothness", "-1", "--step", "0.5"), "smoothness = -1.0")


def test_exit_codes_follow_the_outcomes():
    from verify.runner import _summary

    class Part:
        def __init__(self, outcome, controls=()):
            self.outcome, self.controls = outcome, controls

    def code(*claims):
        return _summary(claims).exit_code

    good = Part("refuted")
    assert code(Part("confirmed", (good,))) == 0
    assert code(Part("refuted", (good,)), Part("undecided", (good,))) == 1
    assert code(Part("confirmed", (Part("undecided"),))) == 1
    assert code(Part("undecided", (good,)), Part("confirmed", (good,))) == 3
