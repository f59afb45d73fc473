"""The command line as a user meets it: exit codes, one-line errors, nothing half-written, interrupts, resumption."""

import io
import json
import os
import random
import re
import signal
import stat
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from convergence.store import Store, key
from verify import cli, runner
from verify.claims import all_claims
from verify.commands import claims, doctor
from verify.commands.catalogue import RECIPES
from verify.plots import file_stem
from verify.records import GROUPS, combine, place_of, summary_of
from verify.results_folder import FolderError, results_folder

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "verify"]
KEPT = key("a finished check")
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


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "results"
    result = rdml("run", "C14", "c2a", "--out", folder, "--seed", "5")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder, result


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    ENVIRONMENT["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", ENVIRONMENT["XDG_CACHE_HOME"])
        yield


@pytest.fixture
def undrawn(monkeypatch):
    """Figures of a single point, where a test is about the files."""
    stream = io.BytesIO()
    Image.new("RGB", (1, 1)).save(stream, format="PNG")

    def pictures(run, *, ids=None, formats=("png", "svg", "pdf"), jobs=1):
        return {
            claim.id: dict.fromkeys(formats, stream.getvalue())
            for claim in run.claims
            if claim.id in (ids or [claim.id])
        }

    monkeypatch.setattr("verify.plots.render_all", pictures)


def test_help_teaches():
    for words in ([], ["run"], ["plot"], ["report"], ["bound"], ["list"], ["show"], ["doctor"], ["recipes"]):
        result = rdml(*words, "--help")
        assert result.returncode == 0
        assert "Usage" in result.stdout
    for line in ("70   internal error", "130  interrupted", "141  the reader of the output is gone"):
        assert line in rdml("--help").stdout
    assert "quick" in rdml("run", "--help").stdout


def test_list(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    result = rdml("list")
    assert result.returncode == 0
    assert "less the escort's" in result.stdout
    # Kept for the sources that said it, and only while it is intact; without a place to keep it, it is the same.
    with monkeypatch.context() as patch:
        patch.setattr("verify.claims.all_claims", lambda: pytest.fail("the claims were asked again"))
        assert rdml("list").stdout == result.stdout
    (kept,) = (tmp_path / "rdml-theory").iterdir()
    kept.write_bytes(kept.read_bytes().replace(b"less the escort's", b"plus the escort's"))
    assert rdml("list").stdout == result.stdout
    with monkeypatch.context() as patch:
        patch.setattr("verify.environment.source_digest", lambda: "other")
        patch.setattr("verify.commands.catalogue._described", list)
        assert json.loads(rdml("list", "--json").stdout) == []
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    rows = json.loads(rdml("list", "--json").stdout)
    assert {"D1", "D3", "D4", "D7", "C1", "C2", "C5"} <= {row["id"] for row in rows}
    assert "∂D_α(p‖q)" in rows[0]["statement"]
    assert all(row["statement"] and row["kind"] and row["source"] and row["controls"] for row in rows)


def narrow(*words, width=80):
    """The program in a terminal of so many columns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENVIRONMENT, "COLUMNS", str(width))
        return rdml(*words)


@pytest.mark.parametrize("words", [["list"], ["show", "C2"], ["show", "N1"], ["recipes"], ["--help"]])
def test_what_is_printed_fits_eighty_columns(words):
    result = narrow(*words)
    assert result.returncode == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "…" not in result.stdout.replace("g₀, …", "")


def test_the_list_has_every_claim_once_in_its_group():
    lines = narrow("list").stdout.splitlines()
    rows = [line.split()[0] for line in lines if line.startswith("  ")]
    assert sorted(rows, key=place_of) == list(all_claims())
    headings = [line for line in lines if line in GROUPS]
    assert headings == list(GROUPS)
    at = lines.index("Mutual learning")
    assert lines[at + 1].split() == ["C4", *all_claims()["C4"].message.split()]
    marked = {line.split()[0] for line in lines if line.startswith("  ") and line[6] == "°"}
    assert marked == {claim.id for claim in all_claims().values() if claim.proof == "steps"}


def test_the_list_starts_at_once():
    process("list")  # fills the cache
    code = """
import resource, runpy, sys
sys.argv = ["rdml", "list"]
try:
    runpy.run_module("verify", run_name="__main__")
except SystemExit:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_utime, "scipy.optimize" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT)
    seconds, loaded = done.stdout.split()[-2:]
    assert loaded == "False"
    assert float(seconds) < 1


def test_show_tells_all_about_one_claim(results, tmp_path, monkeypatch):
    folder, _ = results
    text = " ".join(narrow("show", "c2a", "--results", folder).stdout.split())
    claim = all_claims()["C2a"]
    said = [claim.title, claim.meaning, claim.matters, claim.source.work, *claim.assumptions]
    said += [claim.statement(claim.subject).text(), *(check.question for check in claim.checks)]
    said += [control.falsehood for control in claim.controls]
    for part in said:
        assert " ".join(part.split()) in text
    assert "confirmed, and 3 of 3 negative controls refuted (quick profile, seed 5" in text
    assert "have changed since" not in text
    assert f"{folder} holds none of D1" in rdml("show", "D1", "--results", folder).stdout
    document = json.loads(rdml("show", "C2a", "--results", folder, "--json").stdout)
    assert document["last_verdict"]["outcome"] == "confirmed"
    monkeypatch.chdir(tmp_path)
    assert "none in results" in rdml("show", "D1").stdout
    monkeypatch.setattr("verify.environment.source_digest", lambda: "other")
    assert "have changed since" in rdml("show", "C2a", "--results", folder).stdout
    complains(rdml("show", "D1", "--results", tmp_path), "no such file")
    complains(rdml("show", "D77"), "did you mean 'D7'?")


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
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        claims._tell(run.model_copy(update={"claims": (wide,) * 4}), None)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("C14 ")]
    assert len(rows) == 4
    assert all(len(row) <= 80 and title in row and "-1.2e-16" in row and "…" not in row for row in rows)


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


def test_recipes_are_listed():
    listed = rdml("recipes").stdout
    for path in RECIPES.glob("*.toml"):
        assert f"{path.stem}\n" in listed


def test_the_doctor_says_what_is_missing_and_what_helps(monkeypatch):
    def told(*words):
        result = rdml("doctor", "--json")
        return {finding["about"]: finding for finding in json.loads(result.stdout)}, result.returncode

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    found, code = told()
    assert code == 0
    assert found["threads"]["state"] == "fine"
    assert "clarabel" in found["extra sdp"]["says"]
    assert found["extra sdp"]["state"] == "fine"
    assert "6035" in found["torch on a CPU"]["says"]
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    version = doctor.version

    def without_clarabel(name):
        if name == "clarabel":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(doctor, "version", without_clarabel)
    found, code = told()
    assert code == 1
    assert "OMP_NUM_THREADS=1" in found["threads"]["remedy"]
    assert found["extra sdp"]["remedy"] == "pip install 'rdml-theory[sdp]'"
    assert found["torch.compile"]["state"] == "wrong"
    assert "TORCHINDUCTOR_CACHE_DIR" in found["torch.compile"]["remedy"]
    printed = narrow("doctor").stdout
    assert max(map(len, printed.splitlines())) <= 80
    assert "pip install 'rdml-theory[sdp]'" in printed


def test_a_shell_completes_claims():
    words = ENVIRONMENT | {"_RDML_COMPLETE": "bash_complete", "COMP_WORDS": "rdml show c1", "COMP_CWORD": "2"}
    code = "import sys; sys.argv = ['rdml']; from verify.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=words, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [f"plain,{name}" for name in all_claims() if name.startswith("C1")]


def test_run_writes_results_figures_and_report(results):
    folder, result = results
    assert "2 of 2 claims confirmed" in result.stdout
    assert sorted(p.name for p in folder.iterdir()) == WRITTEN
    figures = {p.suffix for p in (folder / "figures").iterdir()}
    assert figures == {".png", ".svg", ".pdf"}
    document = json.loads((folder / "results.json").read_text())
    assert document["schema_version"] == 4
    assert [c["id"] for c in document["claims"]] == ["C14", "C2a"]
    environment = document["environment"]
    assert environment["versions"]["numpy"]
    assert environment["source_digest"]
    assert (folder / "report.html").read_text().lstrip().startswith("<!")


def test_json_goes_to_standard_output_alone(results):
    folder, _ = results
    result = process("run", "C2a", "--json", "--seed", "5", "--jobs", "2")
    document = json.loads(result.stdout)
    assert document["summary"]["claims"]["confirmed"] == 1
    # Another process, two workers, no directory: the same numbers.
    assert document["claims"] == json.loads((folder / "results.json").read_text())["claims"][1:]


def test_plot_and_report_from_records(results, tmp_path):
    folder, _ = results
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "results.json").write_bytes((folder / "results.json").read_bytes())
    plotted = rdml("plot", "C2A", "--out", copy)
    assert plotted.returncode == 0
    assert len(plotted.stdout.split()) == 3
    assert all(Path(name).stat().st_size > 0 for name in plotted.stdout.splitlines())
    assert rdml("report", copy).returncode == 0
    for name in ("report.html", "junit.xml", "results.schema.json"):
        assert (copy / name).read_bytes() == (folder / name).read_bytes()
    alone = rdml("plot", "C14", "--panel", "1", "--out", copy).stdout.splitlines()
    assert len(alone) == 3
    assert all("panel_1" in name for name in alone)
    complains(rdml("plot", "C14", "--panel", "9", "--out", copy), "--panel 9", "C14")
    complains(rdml("plot", "C5", "--out", copy), "holds no results of C5 (of C14, C2a)", f"`rdml run C5 --out {copy}`")
    complains(rdml("plot", "C55", "--out", copy), "unknown claim 'C55'")


def test_two_runs_are_compared(results, tmp_path):
    folder, _ = results
    same = rdml("report", folder, folder)
    assert (same.returncode, same.stdout) == (0, "2 claims say the same in both, 0 differences\n")
    run = claims._read(folder / "results.json")
    worse = run.claims[0].model_copy(update={"outcome": "undecided"})
    (tmp_path / "results.json").write_text(
        run.model_copy(update={"claims": (worse,), "seed": 6, "summary": summary_of((worse,))})
        .sealed()
        .model_dump_json()
    )
    result = rdml("report", folder, tmp_path)
    assert result.returncode == 1
    assert "seed: 5, and 6" in result.stdout
    assert "✗ C14: confirmed, now undecided" in result.stdout
    assert "• C2a: only in the first run" in result.stdout
    assert rdml("report", tmp_path, folder).returncode == 0
    complains(rdml("report", folder, tmp_path / "none"), "no such file")


def test_wrong_usage(tmp_path):
    complains(rdml("run", "D99"), "unknown claim 'D99'", "`rdml list`", "did you mean 'D9'?")
    complains(rdml("run", "--profile", "nonsense"), "nonsense", "quick")
    complains(rdml("run", "--profile", "ful"), "expected one of quick, full; did you mean 'full'?")
    complains(rdml("train", "--config", "mnist1d_tabel"), "did you mean 'mnist1d_table'?")
    complains(rdml("run", "--jobs", "0"), "jobs")
    complains(rdml("run", "--jobs", "257"), "jobs", "256")
    complains(rdml("bound", "--smoothness", "1", "--step", "1", "--steps", 10**19), "steps")
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


def lay_out(folder, *entries):
    """Files, and directories where the name ends in a slash."""
    for entry in entries:
        path = folder / entry
        (path if entry.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not entry.endswith("/"):
            path.write_text("mine")


def listing(folder):
    return {str(path.relative_to(folder)): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([".checks/notes.txt"], ".checks/notes.txt is not a run's"),
        (["results.json", ".checks/notes.txt"], ".checks/notes.txt is not a run's"),
        ([f".checks/{KEPT}/"], f".checks/{KEPT} is not a run's"),
        ([f".checks/{KEPT}"], f".checks/{KEPT} is not a run's"),
        ([".lock/"], ".lock is a directory"),
        ([".checks"], ".checks is a file"),
        (["results.json/"], "results.json is a directory"),
        (["report.html/"], "report.html is a directory"),
        (["figures"], "figures is a file"),
        (["figures/", ".checks/", "thesis.tex"], "is not empty"),
    ],
)
def test_nothing_runs_into_a_foreign_directory(tmp_path, entries, message):
    lay_out(tmp_path, *entries)
    before = listing(tmp_path)
    with pytest.raises(FolderError, match=message), results_folder(tmp_path):
        pytest.fail("this would have run")
    assert listing(tmp_path) == before


def test_refusal_is_one_line(tmp_path):
    lay_out(tmp_path, ".checks")
    complains(rdml("run", "D4", "--out", tmp_path), ".checks is a file, where a run writes a directory")


@pytest.mark.parametrize(
    "entries",
    [
        [],
        ["figures/", "report.html", ".results.json.01234567", ".report.html.89abcdef"],
        ["results.json", "thesis.tex", ".report.html.89abcdef"],
        [f".checks/.{KEPT}.01234567"],
    ],
)
def test_what_killed_runs_leave_is_accepted_and_removed(tmp_path, entries):
    lay_out(tmp_path, *entries)
    (tmp_path / ".lock").touch()
    with results_folder(tmp_path) as journal:
        journal.put(KEPT, "a check")
    with results_folder(tmp_path) as journal:
        assert journal.get(KEPT) == b"a check"
        journal.remove()
    left = {entry.strip("/") for entry in entries if entry[0] != "."}
    assert {path.name for path in tmp_path.iterdir()} == left


def test_files_that_appear_in_the_journal_stay(tmp_path):
    with results_folder(tmp_path) as journal:
        journal.put(KEPT, "a check")
        lay_out(tmp_path, ".checks/notes.txt")
        journal.remove()
    assert listing(tmp_path) == {".checks": False, ".checks/notes.txt": b"mine"}


def test_one_run_at_a_time(results, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "results.json").write_bytes((results[0] / "results.json").read_bytes())
    with results_folder(folder):
        for words in (["run", "D4", "--out"], ["plot", "C14", "--out"], ["report"]):
            complains(rdml(*words, folder), f"another process is writing to {folder}", "name another directory")
        assert sorted(p.name for p in folder.iterdir()) == [".checks", ".lock", "results.json"]
    assert [p.name for p in folder.iterdir()] == ["results.json"]


def test_a_run_keeps_the_claims_that_it_does_not_renew(results, tmp_path, undrawn):
    """Claim by claim into one directory: the record, the figures and the report of one run of all of them."""
    mine = ["figures/C1_mine.png", "figures/thesis.pdf", "notes.txt", ".thesis.tex.0a1b2c3d"]
    first = rdml("run", "C14", "--out", tmp_path, "--seed", "5")
    assert first.returncode == 0, first.stderr
    lay_out(tmp_path, *mine, ".results.json.0a1b2c3d")
    second = rdml("run", "C2a", "--out", tmp_path, "--seed", "5")
    assert second.returncode == 0, second.stderr
    assert "1 of 1 claims confirmed" in second.stdout
    assert "1 claims kept" in second.stdout
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
    complains(refused, "holds 1 claim that this run does not renew (C14)", "seed 5 (here 6)", "name another directory")
    complains(rdml("run", "C2a", "--out", tmp_path, "--seed", "5", "--profile", "full"), "profile quick (here full)")
    assert listing(tmp_path) == before
    # A run of all that is there replaces it.
    renewed = rdml("run", "C2a", "C14", "--out", tmp_path, "--seed", "6")
    assert renewed.returncode == 0, renewed.stderr
    document = json.loads((tmp_path / "results.json").read_text())
    assert (document["seed"], document["earlier"]) == (6, [])


def test_claims_of_other_sources_are_not_mixed_in(results, tmp_path, monkeypatch):
    monkeypatch.setattr("verify.environment.source_digest", lambda: "other")
    (tmp_path / "results.json").write_bytes((results[0] / "results.json").read_bytes())
    complains(rdml("run", "C14", "--out", tmp_path, "--seed", "5"), "(C2a), of sources and libraries", "(here other)")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.json"]


@pytest.mark.parametrize("command", ["run", "plot"])
@pytest.mark.parametrize("name", ["figures", ".checks", ".lock", "results.json", "report.html"])
def test_nothing_is_written_or_removed_through_a_link(results, tmp_path, name, command):
    """A hostile directory: links to a user's folder and file, and a record with a claim named like the file."""
    outside, folder = tmp_path / "home", tmp_path / "results"
    lay_out(outside, "thesis.pdf", KEPT, ".lock", f".{KEPT}.0a1b2c3d")
    folder.mkdir()
    document = json.loads((results[0] / "results.json").read_text())
    document["claims"][0] |= {"id": "thesis", "title": ""}
    (folder / "results.json").write_text(json.dumps(document))
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside if name in ("figures", ".checks") else outside / "thesis.pdf")
    before = listing(outside)
    assert rdml(command, "C14", "--out", folder).returncode == 2
    assert listing(outside) == before


@pytest.mark.parametrize("name", ["figures", "figures/C14_x"])
def test_a_plot_goes_through_no_link(results, tmp_path, name, undrawn):
    outside = tmp_path / "home"
    outside.mkdir()
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "results.json").write_bytes((results[0] / "results.json").read_bytes())
    if name == "figures":
        (tmp_path / "r" / "figures").symlink_to(outside)
        assert "is a link" in rdml("plot", "--out", tmp_path / "r").stderr
    else:
        lay_out(outside, "thesis.pdf")
        (tmp_path / "r" / "figures").mkdir()
        (tmp_path / "r" / "figures" / f"{file_stem(all_claims()['C14'])}.pdf").symlink_to(outside / "thesis.pdf")
        assert rdml("plot", "C14", "--out", tmp_path / "r").returncode == 0
        assert (outside / "thesis.pdf").read_text() == "mine"


def test_a_results_directory_is_private_to_its_user(results):
    assert stat.S_IMODE(results[0].stat().st_mode) == 0o700
    assert stat.S_IMODE((results[0] / "figures").stat().st_mode) == 0o700


def edited(path):
    """A kept check whose refuted control was edited into a confirmed one, by hand."""
    mark, _, content = path.read_text().partition("\n")
    document = json.loads(content)
    for check in document["checks"].values():
        check["outcome"] = "confirmed"
        for part in (*check["comparisons"], *check["steps"]):
            part["outcome"] = "confirmed"
    path.write_text(mark + "\n" + json.dumps(document))


def test_an_edited_observation_is_made_anew(results, tmp_path, monkeypatch, undrawn):
    """The journal of an interrupted run: what was changed since is not believed."""

    def stop(*arguments):
        raise KeyboardInterrupt

    words = ["run", "C2a", "--out", tmp_path, "--seed", "5"]
    with monkeypatch.context() as patch:
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


@pytest.mark.skipif(os.geteuid() == 0 or sys.platform == "win32", reason="root may write anywhere")
def test_unwritable_directory(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    complains(rdml("run", "D4", "--out", locked / "new"), "cannot be created")


def test_damaged_results(results, tmp_path):
    folder, _ = results
    text = (folder / "results.json").read_text()
    for damaged, reason in (
        (text[:1000], "not valid JSON"),
        (text.replace('"schema_version": 4', '"schema_version": 7'), "schema version 7"),
        (text.replace('"outcome": "refuted"', '"outcome": "confirmed"', 1), "changed after it was written"),
    ):
        (tmp_path / "results.json").write_text(damaged)
        complains(rdml("report", tmp_path), reason)
        complains(rdml("plot", "--out", tmp_path), reason)
        complains(rdml("run", "C14", "--out", tmp_path), reason)
        assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


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
    complains(rdml("bound", "--smoothness", "1", "--step", "3"), "sharp_bound", "Λη", "below 2")
    complains(rdml("bound", "--smoothness", "-1", "--step", "0.5"), "smoothness = -1.0")


def test_bound_of_a_cohort():
    words = ["bound", "--cohort", "--smoothness", "0.5", "--step", "1", "--alpha", "2", "--beta", "0.1"]
    told = json.loads(rdml(*words, "--log-ratio-range", "3", "--divergence", "0.8", "--json").stdout)
    totals = {row["bound"]: row["total"] for row in told["bounds"]}
    assert list(totals) == ["cohort, D15", "floor, D15"]
    assert totals["floor, D15"] == pytest.approx(2 * 0.01 * (1 - np.exp(-0.8)))
    complains(rdml(*words[:-2]), "--beta")
    complains(rdml(*words, "--bias", "1"), "--cohort finds the bias")
    complains(rdml("bound", "--smoothness", "1", "--step", "1", "--alpha", "2"), "--cohort; add it")
    complains(rdml(*words, "--divergence", "-1"), "divergence", "-1")


def test_advise():
    words = ["advise", "--students", "4", "--gain", "0.38775510204081637", "--log-ratio-range", "2"]
    told = json.loads(rdml(*words, "--jacobian", "3", "--json").stdout)
    assert told["alpha"] == pytest.approx(2.0)
    assert told["product"] == pytest.approx(1.0)
    assert told["bias"] == pytest.approx(2 * 0.25 * 9)
    assert "order α = 2, weight β = 0.5" in rdml(*words).stdout
    complains(rdml(*words[:-4], "--gain", "0.2", "--log-ratio-range", "2"), "above 1/K = 0.25")


def test_bound_with_momentum_and_exactly():
    words = ["bound", "--smoothness", "1", "--bias", "1", "--steps", "8", "--exact", "--json", "--step"]
    plain = json.loads(rdml(*words, "0.5").stdout)
    totals = {row["bound"]: row["total"] for row in plain["bounds"]}
    assert plain["answers"]["exact worst case"] == pytest.approx(1.2370, abs=1e-4)
    assert plain["answers"]["exact worst case"] == pytest.approx(totals["stepwise"], rel=1e-6)
    assert totals["stepwise"] < totals["tight"]
    moving = json.loads(rdml(*words, "0.01", "--momentum", "0.9", "--nesterov").stdout)
    totals = {row["bound"]: row["total"] for row in moving["bounds"]}
    assert set(totals) == {"momentum", "stepwise"}
    assert moving["answers"]["exact worst case"] <= totals["stepwise"] * (1 + 1e-9) < totals["momentum"]
    long = rdml("bound", "--smoothness", "1", "--step", "0.5", "--steps", "100", "--exact")
    assert "not applicable, exact worst case: steps = 100" in long.stdout
    complains(rdml("bound", "--smoothness", "1", "--step", "0.5", "--momentum", "1.5"), "momentum = 1.5")


def test_messages_are_printed_as_they_are(tmp_path):
    # rich would turn a name between colons into a picture
    complains(rdml("verify-problem", f"{tmp_path}/none.py:x"), "none.py:x raised FileNotFoundError")


def test_train_takes_no_option_of_a_comparison_for_one_run():
    complains(rdml("train", "--rising"), "--rising belongs to --compare")
    complains(rdml("train", "--seeds", "3"), "--seeds belongs to --compare")


def test_bound_ignores_no_option():
    words = ["bound", "--smoothness", "1", "--step", "0.01"]
    complains(rdml(*words, "--nesterov"), "--momentum")
    complains(rdml(*words, "--beta", "1"), "--target")
    told = rdml(*words, "--momentum", "0.9", "--pl-constant", "0.1", "--json")
    assert "without momentum" in json.loads(told.stdout)["not applicable"]["Polyak-Łojasiewicz"]


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


def test_inverse_questions():
    words = ["bound", "--smoothness", "1", "--step", "0.5", "--bias", "0.01", "--target", "0.05"]
    document = json.loads(rdml(*words, "--beta", "1", "--json").stdout)
    assert set(document["answers"]) == {
        "steps after which bias outweighs transient", "largest step", "largest squared bias", "largest order",
    }  # fmt: skip
    again = json.loads(rdml(*words[:-4], "--bias", document["answers"]["largest squared bias"], "--json").stdout)
    assert {row["bound"]: row["total"] for row in again["bounds"]}["sharp"] == pytest.approx(0.05)
    totals = {row["bound"]: row["total"] for row in document["bounds"]}
    assert totals["tight"] <= totals["refined"] <= totals["sharp"]
    refused = rdml(*words[:-1], "0.001")
    assert refused.returncode == 0
    assert "not applicable, largest squared bias: target = 0.001" in refused.stdout


def test_bound_beyond_the_range_of_floats():
    def refuse(name):
        pytest.fail(f"{name} is not JSON")

    words = ["bound", "--smoothness", "1e-300", "--step", "1e299", "--gap", "1e308", "--pl-constant", "1e-301"]
    for more in (["--noise", "1e308", "--bias", "1e308"], ["--steps", 10**18]):
        result = rdml(*words, *more, "--json")
        assert (result.returncode, result.stderr) == (0, "")
        json.loads(result.stdout, parse_constant=refuse)
        assert rdml(*words, *more).stderr == ""
    result = rdml("bound", "--smoothness", "1", "--step", "1e-300", "--gap", "1e300", "--steps", "1", "--json")
    assert json.loads(result.stdout, parse_constant=refuse)["bounds"][0]["total"] == "Infinity"
    assert result.stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
@pytest.mark.parametrize("words", [["list", "--json"], ["--help"]])
def test_reader_that_is_gone(words):
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run(
        [*PROGRAM, *words], stdout=write, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=ENVIRONMENT, check=False
    )
    os.close(write)
    assert (result.returncode, result.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    ("words", "outputs", "code"),
    [
        (["--help"], (1,), 2),
        (["--help"], (2,), 0),
        (["--help"], (1, 2), 2),
        (["nonsense"], (2,), 2),
        pytest.param(["run", "C14", "--json"], (2,), 0, marks=pytest.mark.slow),
    ],
)
def test_full_device(words, outputs, code):
    """What cannot be written is told, if it can be; it never looks like a refuted claim."""
    with open("/dev/full", "w") as full:
        streams = {name: full if n in outputs else subprocess.PIPE for n, name in ((1, "stdout"), (2, "stderr"))}
        result = subprocess.run([*PROGRAM, *words], text=True, cwd=ROOT, env=ENVIRONMENT, check=False, **streams)
    assert result.returncode == code
    if outputs == (1,):
        assert "No space left" in result.stderr
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize(("closed", "code"), [("--help >&-", 0), ("nonsense >&- 2>&-", 2)])
def test_closed_streams(closed, code):
    command = f"{sys.executable} -m verify {closed}"
    result = subprocess.run(command, shell=True, capture_output=True, cwd=ROOT, env=ENVIRONMENT, check=False)
    assert (result.returncode, result.stderr) == (code, b"")


def test_terminals_without_greek():
    assert "?D_?(p?q)" in rdml("show", "D1", encoding="ascii").stdout
    complaint = rdml("run", "Δ", encoding="ascii")
    assert complaint.returncode == 2
    assert complaint.stderr.startswith("error: unknown claim '?'")
    # JSON is UTF-8 everywhere.
    assert "∂D_α(p‖q)" in rdml("list", "--json", encoding="ascii").stdout


@pytest.mark.parametrize(
    ("fault", "code", "lines"),
    [
        (OSError(28, "No space left on device"), 2, ["error: [Errno 28] No space left on device"]),
        (BrokenPipeError(), 141, []),
        (KeyboardInterrupt(), 130, ["interrupted"]),
    ],
)
def test_faults_end_in_their_exit_code(monkeypatch, capsys, fault, code, lines):
    def fail(**options):
        raise fault

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ending:
        cli.main()
    assert ending.value.code == code
    assert capsys.readouterr().err.split("\n")[:-1] == lines


def test_a_module_of_an_extra_is_a_line(monkeypatch, capsys):
    def fail(**options):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ending:
        cli.main()
    assert ending.value.code == 2
    assert capsys.readouterr().err == "error: this needs torch; install it with: pip install 'rdml-theory[torch]'\n"


@pytest.mark.parametrize(
    "fault", [RuntimeError("a bug"), ModuleNotFoundError("x", name="verify.x"), KeyError("a bug"), MemoryError("a bug")]
)
def test_bugs_never_look_like_refuted_claims(monkeypatch, capsys, fault):
    def fail(**options):
        raise fault

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ending:
        cli.main()
    assert ending.value.code == 70
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert str(fault.args[0]) in error
    assert "internal error" in error.splitlines()[-1]


def test_exit_codes_follow_the_outcomes():
    class Check:
        def __init__(self, outcome, name):
            self.outcome, self.id = outcome, name

    class Control:
        def __init__(self, *outcomes):
            self.checks = [Check(outcome, name) for outcome, name in zip(outcomes, "klm", strict=False)]
            self.outcome = combine(list(outcomes))

    class Claim:
        id = "X1"

        def __init__(self, outcome, *controls, checks="k"):
            self.outcome, self.controls = outcome, controls
            self.checks = [Check(outcome, name) for name in checks]

    def code(*claims):
        return summary_of(claims).exit_code

    good = Control("refuted")
    assert code(Claim("confirmed", good)) == 0
    assert code(Claim("refuted", good), Claim("undecided", good)) == 1
    assert code(Claim("confirmed", good, Control("undecided"))) == 1
    assert code(Claim("undecided", good), Claim("confirmed", good)) == 3
    # Every check must refute a control, though not every control.
    assert code(Claim("confirmed", Control("refuted", "confirmed"), Control("undecided", "refuted"), checks="kl")) == 0
    idle = Claim("confirmed", Control("refuted", "confirmed"), Control("refuted", "undecided"), checks="kl")
    assert summary_of((idle,)).vacuous == ("X1.l",)
    assert code(idle) == 1
    assert summary_of((Claim("confirmed", checks="kl"),)).vacuous == ("X1.k", "X1.l")
    assert code(Claim("confirmed")) == 1


def test_vacuous_checks_are_told(results, capsys):
    run = claims._read(results[0] / "results.json")
    assert run.summary.vacuous == ()
    claims._tell(run.model_copy(update={"summary": run.summary.model_copy(update={"vacuous": ("C1.k-0.5",)})}), None)
    assert "C1 k-0.5 refutes no negative control" in capsys.readouterr().out


def test_prove_says_what_is_proved_and_by_what():
    told = json.loads(rdml("prove", "c2", "--json").stdout)
    assert told["id"] == "C2"
    assert told["machine_checked"] is True
    assert told["axioms"] == ["Cauchy-Schwarz", "descent lemma"]
    assert "h < 2" in told["hypotheses"]
    assert told["conclusion"].startswith("A ≤ ")
    assert len(told["with_it"]) == 4
    printed = rdml("prove", "C1").stdout
    assert printed.startswith("C1: A² ≤ ")
    assert printed.rstrip().endswith("the same theorems.")
    assert rdml("prove", "C1", "--latex").stdout.startswith("\\begin{align*}")
    steps = json.loads(rdml("prove", "G3", "--json").stdout)
    assert steps["machine_checked"] is False
    assert steps["rests_on"] == ["D7"]
    assert "not machine-checked as a whole" in rdml("prove", "G3").stdout
    complains(rdml("prove", "C99"), "unknown claim 'C99'")
    complains(rdml("prove", "V1"), "V1 is measured, not derived")


def test_interrupted_while_the_program_is_imported(tmp_path):
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from verify.__main__ import main; main()"
    command = [sys.executable, "-c", code, "list"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
