"""How the program ends: exit codes, one-line errors, streams that are closed, full or gone."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from program import ENVIRONMENT, PROGRAM, ROOT, complains, rdml

from verify import claims, cli, runner
from verify.records import combine, summary_of


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
    complains(rdml("run", "D1,C2"), "'D1,C2'", "spaces")
    complains(rdml("bound", "--smoothness", "1", "--step", "1", "--target", "-1"), "--target -1", "above 0")
    complains(rdml("verify-problem", "math:tau2"), "no 'tau2' in math", "tau")
    complains(rdml("train", "--data", "npz"), "--data-dir is missing")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "d98_mine: expected a claim, named CLAIM"),
        ("from verify.claims.d12_variance import CLAIM", "expected its claim to be D98, and not D12"),
        (
            "{made}, direction='above')",
            "claim D12: expected a direction of equality, upper bound, tight, and not 'above'",
        ),
        ("{made}, controls=())", "claim D12: expected at least one check and one negative control"),
    ],
)
def test_a_file_that_defines_no_claim(text, said, tmp_path, monkeypatch):
    made = "from dataclasses import replace\nfrom verify.claims.d12_variance import CLAIM\nreplace(CLAIM"
    (tmp_path / "d98_mine.py").write_text(text.format(made=made))
    monkeypatch.setattr(claims, "__path__", [*claims.__path__, str(tmp_path)])
    monkeypatch.setattr(claims, "claim_ids", cache(claims.claim_ids.__wrapped__))
    monkeypatch.setattr(claims, "all_claims", cache(claims.all_claims.__wrapped__))
    monkeypatch.delitem(sys.modules, "verify.claims.d98_mine", raising=False)
    monkeypatch.setattr(runner, "all_claims", claims.all_claims)
    complains(rdml("run", "D12"), said)


def test_messages_are_printed_as_they_are(tmp_path):
    # rich would turn a name between colons into a picture
    complains(rdml("verify-problem", f"{tmp_path}/none.py:x"), "none.py:x raised FileNotFoundError")


def test_train_takes_no_option_of_a_comparison_for_one_run():
    complains(rdml("train", "--rising"), "--rising belongs to --compare")
    complains(rdml("train", "--seeds", "3"), "--seeds belongs to --compare")
    complains(rdml("train", "--orders", "2"), "--orders belongs to --compare")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--orders", "2;4"), "--orders 2;4: expected orders with commas between them, such as 0.5,2,4"),
        (("--orders", "-1"), "orders -1: expected orders of at least 0"),
        (("--beta", "0"), "beta = 0: a comparison of objectives needs a positive weight"),
    ],
)
def test_what_cannot_be_compared_is_one_line(words, expected):
    complains(rdml("train", "--compare", *words), expected)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
@pytest.mark.parametrize("words", [["bound", "--smoothness", "1", "--step", "1", "--json"], ["--help"]])
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


@pytest.mark.parametrize(
    ("fault", "code", "lines"),
    [
        (OSError(28, "No space left on device"), 2, ["error: No space left on device"]),
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


@pytest.mark.parametrize("module", ["typing", "click"])
def test_interrupted_while_the_program_is_imported(tmp_path, module):
    """From its first import on."""
    (tmp_path / f"{module}.py").write_text("raise KeyboardInterrupt")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from verify.__main__ import main; main()"
    command = [sys.executable, "-c", code, "list"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
