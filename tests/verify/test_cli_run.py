"""`rdml run`: what it prints and writes, resumption, and what interrupts and kills leave."""

import io
import json
import multiprocessing
import os
import random
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from program import ENVIRONMENT, PROGRAM, ROOT, SEED, WRITTEN, complains, lay_out, listing, process, rdml
from rich.console import Console

from convergence.store import Store
from verify import runner
from verify.claims import all_claims
from verify.commands import claims
from verify.results_folder import results_folder
from verify.workers import worker_pool


def test_a_run_of_few_claims_prints_their_statements(results):
    printed = " ".join(results[1].stdout.split())
    for name in ("C14", "C2a"):
        claim = all_claims()[name]
        assert f"{name} {claim.title}: confirmed" in printed
        assert claim.statement(claim.subject).text() in printed
        assert all(f"refuted: {control.falsehood}" in printed for control in claim.controls)


def test_verdicts_of_many_claims_fit_a_terminal(results, capsys):
    run = claims._read(results[0] / "results.json")
    title = max((claim.title for claim in all_claims().values()), key=len)
    wide = run.claims[0].model_copy(update={"title": title, "margin": -1.2e-16, "error_rate": 1.3e-05})
    many = run.model_copy(update={"claims": (wide,) * 4})
    with pytest.MonkeyPatch.context() as patch:
        for width in (40, 60, 80):
            patch.setenv("COLUMNS", str(width))
            claims._tell(many, None)
            told = capsys.readouterr().out
            assert max(map(len, told.splitlines())) <= width
            words = (*title.split(), "-1.2e-16", "1.3e-05", "confirmed")
            assert all(told.count(word) >= 4 for word in words)
        claims._tell(many, None)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("C14 ")]
    assert len(rows) == 4
    assert all(len(row) <= 80 and title in row and "-1.2e-16" in row and "…" not in row for row in rows)


def test_vacuous_checks_are_told(results, capsys):
    run = claims._read(results[0] / "results.json")
    assert run.summary.vacuous == ()
    claims._tell(run.model_copy(update={"summary": run.summary.model_copy(update={"vacuous": ("C1.k-0.5",)})}), None)
    assert "C1 k-0.5 refutes no negative control" in capsys.readouterr().out


def test_progress_is_not_cut(monkeypatch):
    unit = ("C15", max((check.id for claim in all_claims().values() for check in claim.checks), key=len))
    terminal = Console(file=io.StringIO(), width=80, force_terminal=True)
    monkeypatch.setattr(claims, "errors", lambda: terminal)
    with claims._progress_bars() as (started, progress):
        started([unit] * 188, [])
        progress(unit, 0.5)
    drawn = terminal.file.getvalue()
    assert f"{unit[0]} {unit[1]}" in drawn
    assert re.search(r"\b50/100\b", drawn)
    assert re.search(r"\b0/188\b", drawn)
    assert "…" not in drawn


def test_run_writes_results_figures_and_report(results):
    folder, result = results
    assert "2 of 2 claims confirmed" in result.stdout
    assert sorted(p.name for p in folder.iterdir()) == WRITTEN
    figures = {p.suffix for p in (folder / "figures").iterdir()}
    assert figures == {".csv", ".pdf", ".png", ".svg"}
    document = json.loads((folder / "results.json").read_text())
    assert document["schema_version"] == 6
    assert [c["id"] for c in document["claims"]] == ["C14", "C2a"]
    environment = document["environment"]
    assert environment["versions"]["numpy"]
    assert environment["source_digest"]
    assert (folder / "report.html").read_text().lstrip().startswith("<!")


def test_json_goes_to_standard_output_alone(finished, capfd):
    result = rdml("run", "C1", "--json", "--seed", SEED, "--jobs", "2")
    document = json.loads(result.stdout)
    assert document["summary"]["claims"]["confirmed"] == 1
    assert document["claims"][0]["error_rate"] > 0
    # Other processes, two workers, no directory: the same numbers, those of simulations too.
    assert document["claims"] == json.loads(finished.run("C1").model_dump_json())["claims"]
    # The workers' output is that of the process, which `rdml` above does not catch.
    assert capfd.readouterr().out == ""


def test_a_run_keeps_the_claims_that_it_does_not_renew(results, finished, tmp_path, undrawn, monkeypatch):
    """Claim by claim into one directory: the record, the figures and the report of one run of all of them."""
    mine = ["figures/C1_mine.png", "figures/thesis.pdf", "notes.txt", ".thesis.tex.0a1b2c3d"]
    monkeypatch.setattr(runner, "_run_unit", finished.unit)
    first = rdml("run", "C14", "--out", tmp_path, "--seed", SEED)
    assert first.returncode == 0, first.stderr
    lay_out(tmp_path, *mine, ".results.json.0a1b2c3d")
    second = rdml("run", "C2a", "--out", tmp_path, "--seed", SEED)
    assert second.returncode == 0, second.stderr
    assert "1 of 1 claims confirmed" in second.stdout
    assert "1 claim kept" in second.stdout
    whole, both = (json.loads((folder / "results.json").read_text()) for folder in (results[0], tmp_path))
    # In the order of the registry.
    assert [c["id"] for c in both["claims"]] == ["C2a", "C14"]
    assert sorted(whole["claims"], key=lambda c: c["id"]) == sorted(both["claims"], key=lambda c: c["id"])
    assert whole["summary"] == both["summary"]
    for name in ("profile", "seed", "error_rate", "statistical_tests"):
        assert whole[name] == both[name]
    assert (both["environment"]["claims"], [e["claims"] for e in both["earlier"]]) == (["C2a"], [["C14"]])
    figures = {p.name for p in (results[0] / "figures").iterdir()}
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {*figures, "C1_mine.png", "thesis.pdf"}
    assert all((tmp_path / name).read_text() == "mine" for name in mine)
    assert not (tmp_path / ".results.json.0a1b2c3d").exists()
    report = (tmp_path / "report.html").read_text()
    assert "Kept from an earlier run of the same sources, profile and seed: C14" in report

    before = listing(tmp_path)
    refused = rdml("run", "C2a", "--out", tmp_path, "--seed", "6")
    complains(
        refused, "holds 1 claim that this run does not renew (C14)", f"seed {SEED} (here 6)", "name another directory"
    )
    complains(rdml("run", "C2a", "--out", tmp_path, "--seed", SEED, "--profile", "full"), "profile quick (here full)")
    assert listing(tmp_path) == before
    # A run of all that is there replaces it.
    renewed = rdml("run", "C2a", "C14", "--out", tmp_path, "--seed", "6")
    assert renewed.returncode == 0, renewed.stderr
    document = json.loads((tmp_path / "results.json").read_text())
    assert (document["seed"], document["earlier"]) == (6, [])


def test_claims_of_other_sources_are_not_mixed_in(results, tmp_path, monkeypatch):
    monkeypatch.setattr("verify.environment.source_digest", lambda: "other")
    (tmp_path / "results.json").write_bytes((results[0] / "results.json").read_bytes())
    complains(rdml("run", "C14", "--out", tmp_path, "--seed", SEED), "(C2a), of sources and libraries", "(here other)")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.json"]


def edited(path):
    """A kept check whose refuted control was edited into a confirmed one, by hand."""
    mark, _, content = path.read_text().partition("\n")
    document = json.loads(content)
    for check in document["checks"].values():
        check["outcome"] = "confirmed"
        for part in (*check["comparisons"], *check["steps"]):
            part["outcome"] = "confirmed"
    path.write_text(mark + "\n" + json.dumps(document))


def test_an_edited_observation_is_made_anew(results, finished, tmp_path, monkeypatch, undrawn):
    """The journal of an interrupted run: what was changed since is not believed."""

    def stop(*arguments):
        raise KeyboardInterrupt

    words = ["run", "C2a", "--out", tmp_path, "--seed", SEED]
    with monkeypatch.context() as patch:
        patch.setattr(runner, "_run_unit", finished.unit)
        patch.setattr(runner, "_join", stop)
        assert rdml(*words).returncode == 130
    kept = sorted((tmp_path / ".checks").iterdir())
    assert kept
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    with monkeypatch.context() as patch:
        patch.setattr(runner, "_join", stop)
        assert f"resumed: {len(kept)} of {len(kept)}" in rdml(*words).stderr
    intact = kept[0].read_bytes()
    edited(kept[0])
    assert kept[0].read_bytes() != intact
    again = rdml(*words)
    assert again.returncode == 0
    assert f"resumed: {len(kept)} of" not in again.stderr
    claims_now = json.loads((tmp_path / "results.json").read_text())["claims"]
    assert claims_now == json.loads((results[0] / "results.json").read_text())["claims"][1:]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_workers_have_one_thread_where_nothing_says_so(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    reports = multiprocessing.get_context("spawn").Queue()
    with runner._one_thread(), worker_pool(1, runner._start_worker, (reports,)) as pool:
        assert pool.submit(torch.get_num_threads).result() == 1
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_check_that_loads_torch_has_one_thread_without_workers():
    """BLAS is limited when a check begins; torch is not there yet, and would take all cores."""
    code = (
        "from verify import runner\n"
        "def record(*_):\n"
        "    import torch\n"
        "    raise SystemExit(f'{torch.get_num_threads()} thread')\n"
        "runner._record = record\n"
        "runner.run_claims(['D12'], runner.RunSettings())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.stderr == "1 thread\n"


@pytest.mark.slow
def test_killed_run_leaves_no_workers_and_no_lock(tmp_path):
    words = ["run", "D3", "D1", "--out", str(tmp_path), "--jobs", "2"]
    process = subprocess.Popen([*PROGRAM, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    # Multiprocessing's resource tracker and two workers.
    while len(started := children.read_text().split()) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait(timeout=60)
    assert len(started) == 3

    def running(number):
        try:
            # A process that has ended may wait for somebody to ask for its exit code.
            return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    deadline = time.monotonic() + 30
    while any(map(running, started)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(running, started))
    assert (tmp_path / ".lock").exists()
    with results_folder(tmp_path):
        pass


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(("jobs", "number"), [(2, signal.SIGINT), (1, signal.SIGINT), (2, signal.SIGTERM)])
def test_interrupted_then_resumed_to_the_same_numbers(tmp_path, jobs, number):
    folder = tmp_path / "out"
    words = ["run", "C1", "C2a", "C2d", "--out", str(folder), "--jobs", str(jobs), "--seed", "9"]
    process = subprocess.Popen(
        [*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=ENVIRONMENT
    )
    deadline = time.monotonic() + 120
    while not list(folder.glob(".checks/[0-9a-f]*")) and process.poll() is None and time.monotonic() < deadline:
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
    assert Store(folder / ".checks").foreign() == []

    resumed = rdml(*words)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed:" in resumed.stderr
    fresh = json.loads(rdml("run", *words[1:4], "--seed", "9", "--json").stdout)
    assert json.loads((folder / "results.json").read_text())["claims"] == fresh["claims"]
    assert not (folder / ".checks").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_killed_thirty_times_it_ends_with_the_same_numbers_and_report(tmp_path):
    """SIGKILL at random times, the last while figures and report are written: the next run continues."""
    words = ["run", "C1", "C2a", "C2d", "C14", "--seed", "9"]
    straight = rdml(*words, "--out", tmp_path / "straight")
    assert straight.returncode == 0, straight.stderr
    begin = time.monotonic()
    assert process(*words, "--jobs", "2", "--out", tmp_path / "timed").returncode == 0
    whole = time.monotonic() - begin
    expected = json.loads((tmp_path / "straight" / "results.json").read_text())
    rng, kills, number = random.Random(time.time_ns()), 0, 0
    while kills < 30:
        folder = tmp_path / f"killed-{number}"
        number += 1
        for _ in range(3):
            running = subprocess.Popen(
                [*PROGRAM, *words, "--jobs", "2", "--out", folder],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=ENVIRONMENT,
            )  # fmt: skip
            try:
                running.wait(timeout=rng.uniform(0.1, 1.0) * whole)
            except subprocess.TimeoutExpired:
                running.kill()
                kills += 1
            _, err = running.communicate()
            assert running.returncode in (0, -signal.SIGKILL), err
        ended = process(*words, "--jobs", "2", "--out", folder)
        assert ended.returncode == 0, ended.stderr
        assert sorted(p.name for p in folder.iterdir()) == WRITTEN
        found = json.loads((folder / "results.json").read_text())
        assert (found["claims"], found["summary"]) == (expected["claims"], expected["summary"])
        for figure in (tmp_path / "straight" / "figures").iterdir():
            assert (folder / "figures" / figure.name).read_bytes() == figure.read_bytes()
        reports = [
            (f / "report.html").read_text().partition('id="environment"')[0] for f in (folder, tmp_path / "straight")
        ]
        assert reports[0].partition("<h2>")[2] == reports[1].partition("<h2>")[2]
        assert len(list((folder / "figures").iterdir())) == len(list((tmp_path / "straight" / "figures").iterdir()))


def test_a_missing_extra_is_named_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "clarabel", None)
    complains(rdml("run", "C12"), "pip install 'rdml-theory[sdp]'")


@pytest.mark.slow
def test_an_extra_that_workers_miss_is_named_in_one_line(tmp_path):
    """clarabel is hidden from the program and its workers by a module of its name that cannot be imported."""
    (tmp_path / "clarabel.py").write_text("raise ImportError('hidden')\n")
    result = subprocess.run(
        [*PROGRAM, "run", "C12", "--jobs", "2"], capture_output=True, text=True, cwd=ROOT, check=False,
        env=ENVIRONMENT | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
    )  # fmt: skip
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert result.stderr.strip().splitlines()[-1].endswith("pip install 'rdml-theory[sdp]'")
