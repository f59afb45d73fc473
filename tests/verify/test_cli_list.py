"""What the program says of its claims: help, list, show, prove, doctor, recipes, and what a shell completes."""

import dataclasses
import io
import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest
from program import ENVIRONMENT, ROOT, SEED, complains, narrow, rdml
from rich.console import Console

from verify.claim import Claim
from verify.claims import all_claims
from verify.commands import catalogue, doctor
from verify.commands.common import sentence
from verify.records import GROUPS, place_of


def test_help_teaches():
    for words in ([], ["run"], ["plot"], ["report"], ["bound"], ["list"], ["show"], ["doctor"], ["recipes"]):
        result = rdml(*words, "--help")
        assert result.returncode == 0
        assert "Usage" in result.stdout
    for line in ("70   internal error", "130  interrupted", "141  the reader of the output is gone"):
        assert line in rdml("--help").stdout
    assert "quick" in rdml("run", "--help").stdout


def unchecked(claim):
    """As if C2 said that a part of it is not machine-checked."""
    return ("a part",) if claim.id == "C2" else ()


def test_list(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(Claim, "unchecked", property(unchecked))
    rows, asked = catalogue._described(), []
    monkeypatch.setattr(catalogue, "_described", lambda: asked.append("the claims") or rows)
    result = rdml("list")
    assert result.returncode == 0
    assert "minus the escort's" in result.stdout
    assert len(narrow("list").stdout.splitlines()) == len(all_claims()) + 2 * len(GROUPS) + 3  # each in one line
    marked = {line.split()[0] for line in result.stdout.splitlines() if re.match(r"  [A-Z]\d+[a-z]?\* ", line)}
    assert marked == {"C2*"}
    assert "* a part of it is not machine-checked" in result.stdout
    # Kept for the sources that said it, and only while it is intact; without a place to keep it, it is the same.
    assert rdml("list").stdout == result.stdout
    assert len(asked) == 1
    (kept,) = (tmp_path / "rdml-theory").iterdir()
    kept.write_bytes(kept.read_bytes().replace(b"minus the escort's", b"plus the escort's"))
    assert rdml("list").stdout == result.stdout
    assert len(asked) == 2
    with monkeypatch.context() as patch:
        patch.setattr("verify.environment.source_digest", lambda: "other")
        patch.setattr(catalogue, "_described", list)
        assert json.loads(rdml("list", "--json").stdout) == []
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    rows = json.loads(rdml("list", "--json").stdout)
    assert len(asked) == 3
    assert {"D1", "D3", "D4", "D7", "C1", "C2", "C5"} <= {row["id"] for row in rows}
    assert "∂D_α(p‖q)" in rows[0]["statement"]
    assert all(row["statement"] and row["kind"] and row["source"] and row["controls"] for row in rows)


def test_show_reads_the_others_only_if_they_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (row,) = (row for row in catalogue.described() if row["id"] == "D12")
    for kept in ("as all are", "not"):
        if kept == "not":
            shutil.rmtree(tmp_path / "rdml-theory")
        with monkeypatch.context() as patch:
            patch.setattr(catalogue, "all_claims", lambda: pytest.fail("reads all claims"))
            shown = json.loads(rdml("show", "D12", "--json").stdout)
        del shown["last_verdict"]
        assert shown == json.loads(json.dumps(row)), kept


def test_sentences_are_broken_on_a_terminal_and_whole_in_a_pipe():
    def written(text, **options):
        console = Console(file=(stream := io.StringIO()), width=20, highlight=False, **options)
        sentence(console, text)
        return stream.getvalue()

    long = "  12. a formula [x] that is longer"
    assert written(long) == long + "\n"
    assert written(long, force_terminal=True, no_color=True) == "  12. a formula [x]\n      that is longer\n"


@pytest.mark.parametrize("words", [["list"], ["show", "C2"], ["show", "N1"], ["recipes"], ["--help"]])
def test_what_is_printed_fits_eighty_columns(words):
    result = narrow(*words)
    assert result.returncode == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "…" not in result.stdout.replace("g₀, …", "")


def test_the_list_has_every_claim_once_in_its_group():
    lines = narrow("list").stdout.splitlines()
    rows = [line.split()[0].rstrip("*") for line in lines if line.startswith("  ")]
    assert sorted(rows, key=place_of) == list(all_claims())
    headings = [line for line in lines if line in GROUPS]
    assert headings == list(GROUPS)
    at = lines.index("Mutual learning")
    assert lines[at + 1].split() == ["C4", *all_claims()["C4"].message.split()]


@pytest.mark.parametrize("words", [["list"], ["show", "C9"], ["prove", "C99"], ["run", "C99"]])
def test_what_needs_no_formula_starts_at_once(words):
    rdml("list")  # fills the cache
    code = """
import resource, runpy, sys
try:
    runpy.run_module("verify", run_name="__main__", alter_sys=True)
except SystemExit as ending:
    print(ending.code, resource.getrusage(resource.RUSAGE_SELF).ru_utime, {"scipy.optimize", "sympy"} & {*sys.modules})
"""
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT)
    code, seconds, loaded = done.stdout.splitlines()[-1].split()
    assert code == ("2" if "C99" in words else "0")
    assert loaded == "set()"
    assert float(seconds) < 1


def test_show_tells_all_about_one_claim(results, tmp_path, monkeypatch):
    folder, _ = results
    text = " ".join(narrow("show", "c2a", "--results", folder).stdout.split())
    claim = all_claims()["C2a"]
    said = [claim.title, claim.meaning, claim.matters, claim.source.work, claim.in_code, *claim.assumptions]
    said += [claim.statement(claim.subject).text(), *(check.question for check in claim.checks)]
    said += [control.falsehood for control in claim.controls]
    for part in said:
        assert " ".join(part.split()) in text
    assert f"confirmed, and 3 of 3 negative controls refuted (quick profile, seed {SEED}" in text
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


def test_what_is_not_machine_checked_is_read_from_the_statement_and_the_assumptions():
    claim = all_claims()["C2"]
    assert claim.unchecked == ()
    told = dataclasses.replace(claim, assumptions=(*claim.assumptions, "not machine-checked: the rest"))
    assert told.unchecked == ("the rest",)


def test_prove_says_what_is_proved_and_by_what(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Claim, "unchecked", property(unchecked))
        assert json.loads(rdml("prove", "c2", "--json").stdout)["not_machine_checked"] == ["a part"]
    told = json.loads(rdml("prove", "c2", "--json").stdout)
    assert told["id"] == "C2"
    assert told["machine_checked"] is True
    assert told["not_machine_checked"] == []
    for claim in all_claims().values():
        if claim.unchecked and claim.derivation:
            assert json.loads(rdml("prove", claim.id, "--json").stdout)["not_machine_checked"] == list(claim.unchecked)
    assert told["axioms"] == ["Cauchy-Schwarz", "descent lemma"]
    assert "h < 2" in told["hypotheses"]
    assert told["conclusion"].startswith("A ≤ ")
    assert len(told["with_it"]) == 4
    printed = rdml("prove", "C1").stdout
    assert printed.startswith("C1: A² ≤ ")
    assert printed.rstrip().endswith("the same theorems.")
    assert rdml("prove", "C1", "--latex").stdout.startswith("\\begin{align*}")
    assert json.loads(rdml("prove", "G3", "--json").stdout)["rests_on"] == ["D7"]
    complains(rdml("prove", "C99"), "unknown claim 'C99'")
    complains(rdml("prove", "V1"), "V1 is measured, not derived")


def test_recipes_are_listed():
    listed = rdml("recipes").stdout
    for path in catalogue.RECIPES.glob("*.toml"):
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


def test_a_shell_completes_claims(monkeypatch):
    for name, value in (("_RDML_COMPLETE", "bash_complete"), ("COMP_WORDS", "rdml show c1"), ("COMP_CWORD", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.modules["__main__"], "__package__", None)  # a script, as `rdml` is, and no module
    done = rdml()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [f"plain,{name}" for name in all_claims() if name.startswith("C1")]


def test_terminals_without_greek():
    assert "?D_?(p?q)" in rdml("show", "D1", encoding="ascii").stdout
    complaint = rdml("run", "Δ", encoding="ascii")
    assert complaint.returncode == 2
    assert complaint.stderr.startswith("error: unknown claim '?'")
    # JSON is UTF-8 everywhere.
    assert "∂D_α(p‖q)" in rdml("list", "--json", encoding="ascii").stdout
