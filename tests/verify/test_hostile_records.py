"""Results and journals that anybody may have written: refused in a line, or read, in seconds and in bounded memory."""

import functools
import io
import json
import random
import resource
import shutil
import signal
import sys
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from pydantic import ValidationError

from convergence.store import Store
from verify import cli, plots, runner
from verify.claims import all_claims
from verify.records import RunRecord, Segment, StepRecord
from verify.runner import UnitResult

SECONDS = 5.0
LATEX = [r"\href{javascript:1}{x}", r"\style{}{", "x" * 10_000, r"_{\substack{" + " " * 800, "{" * 500, r"\left(" * 500]
LABELS = [
    "$",
    "$\\frac{$",
    "$x^{x^{x}}$",
    "\N{PILE OF POO}",
    "a\nb" * 99,
    "$" * 300,
    "x" * 10_000,
    "\x00",
    "\u202e",
    "",
]
VALUES = [
    None, True, -1, 0, 1e308, -1e308, 5e-324, "NaN", "Infinity", "-Infinity", "", "1", [], {}, [[]], {"a": 1}, 10**30,
    10**400, [1.0] * 3, ["NaN"] * 6, "quick", "D1", "confirmed", "../../x", "thesis", *LATEX, *LABELS,
]  # fmt: skip
TEXTS = ['"' + "x" * 200_000 + '"', "[" * 50_000 + "]" * 50_000, "9" * 5_000, "1e999999999", "-", '"\\ud800"', "NaN"]


def places(value, path=()):
    """The path of every value in a document."""
    yield path
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(part, (*path, key))


def mutated(text, rng):
    """A document with one to three of its values, or some of its bytes, changed."""
    if rng.random() < 0.15:
        data = bytearray(text.encode())
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            match rng.randrange(3):
                case 0:
                    data[at] = rng.randrange(256)
                case 1:
                    del data[at : at + rng.choice([1, 10, 10_000])]
                case 2:
                    data[at:at] = bytes(rng.randrange(256) for _ in range(5))
        return bytes(data)
    document, raw = json.loads(text), {}
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        path = rng.choice([p for p in places(document) if p])
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        match rng.randrange(8):
            case 0:
                del parent[path[-1]]
            case 1 if isinstance(parent, dict):
                parent["more"] = parent[path[-1]]
            case 1 | 2 if isinstance(parent, list):
                parent.append(parent[path[-1]])
            case 3:
                raw["\x01"] = rng.choice(TEXTS)
                parent[path[-1]] = "\x01"
            case _:
                parent[path[-1]] = rng.choice(VALUES)
    return json.dumps(document).replace('"\\u0001"', raw.get("\x01", '""')).encode()


def resealed(data):
    """The same with the digest that a forger would compute; as it is, where no record can be made of it."""
    try:
        return RunRecord.model_validate_json(data).sealed().model_dump_json().encode()
    except (ValidationError, ValueError):
        return data


@pytest.fixture(scope="module")
def text(finished):
    """The results of a claim with short curves, which draw fast, and all that a record can hold."""
    document = json.loads(finished.run("C2a").model_dump_json())
    for claim in document["claims"]:
        for panel in claim["panels"]:
            for curve in panel["curves"]:
                for name in ("x", "y", "low", "high"):
                    curve[name] = curve[name] and curve[name][:6]
            # One of each kind.
            panel["curves"] = list({(c["role"], c["low"] is None): c for c in panel["curves"]}.values())
        claim["controls"] = claim["controls"][:1]
    document["earlier"] = [document["environment"]]
    return RunRecord.model_validate(document).sealed().model_dump_json()


class Late(BaseException):
    """Nothing of the program catches it."""


def late(*_):
    raise Late


@contextmanager
def bounded():
    """A gigabyte more than the process has now, where it can be set, and each figure is drawn once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "pictures", functools.lru_cache(8)(plots.pictures))
        if sys.platform != "linux":
            yield
            return
        before = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**30, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)


def outcome(*words):
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    begin = time.process_time()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["rdml", *map(str, words)])
        before = signal.signal(signal.SIGPROF, late)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            with pytest.raises(SystemExit) as ending:
                cli.main()
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)
    taken = time.process_time() - begin
    return ending.value.code, err.buffer.getvalue().decode(), taken


@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")
@pytest.mark.parametrize(
    ("seed", "count"),
    [
        (1, 30),
        pytest.param(2, 2_000, marks=pytest.mark.slow, id="fixed"),
        pytest.param(None, 2_000, marks=pytest.mark.slow, id="fresh"),
    ],
)
def test_hostile_results_end_in_a_line_or_a_report(text, tmp_path, seed, count):
    seed = time.time_ns() if seed is None else seed
    print(f"seed {seed}")
    codes = []
    with bounded():
        for number in range(count):
            rng = random.Random(f"{seed}/{number}")
            data = mutated(text, rng)
            if rng.random() < 0.8:
                data = resealed(data)
            folder = tmp_path / f"r{number}"
            folder.mkdir()
            (folder / "results.json").write_bytes(data)
            words = ["plot", "--out", folder] if rng.random() < 0.15 else ["report", folder]
            code, err, taken = outcome(*words)
            codes.append(code)
            assert (code, len(err.splitlines())) in ((0, 0), (2, 1)), (seed, number, err)
            assert "MemoryError" not in err, (seed, number, err)
            assert taken < SECONDS, (seed, number, words)
            allowed = (
                {"results.json", "report.html", "results.schema.json", "junit.xml"}
                if words[0] == "report"
                else {"results.json", "figures"}
            )
            assert {p.name for p in folder.iterdir()} <= allowed, (seed, number)
            shutil.rmtree(folder)
    # Both kinds are there: the mutations reach behind the digest.
    assert {0, 2} == set(codes)
    print(f"{count} mutations, {codes.count(2)} refused")


@pytest.mark.parametrize(
    ("seed", "count"),
    [
        (1, 60),
        pytest.param(2, 2_000, marks=pytest.mark.slow, id="fixed"),
        pytest.param(None, 2_000, marks=pytest.mark.slow, id="fresh"),
    ],
)
def test_hostile_journals_are_made_anew_or_joined(finished, tmp_path, seed, count):
    """A finished check that was changed is not taken; one that was forged with its digest at least joins the others."""
    seed = time.time_ns() if seed is None else seed
    print(f"seed {seed}")
    finished.run("C2a")
    finished.lay_out(tmp_path)
    claim, settings, journal = all_claims()["C2a"], finished.settings, Store(tmp_path / ".checks")
    names = {(claim.id, check.id): runner._name((claim.id, check.id), settings) for check in claim.checks}
    units = list(names)
    files = {unit: (journal.folder / name).read_bytes() for unit, name in names.items()}
    intact = {unit: content.partition(b"\n")[2].decode() for unit, content in files.items()}
    taken = forged = 0
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        unit = rng.choice(units)
        data = mutated(intact[unit], rng)
        path = journal.folder / names[unit]
        path.write_bytes(files[unit].partition(b"\n")[0] + b"\n" + data)
        begin = time.process_time()
        found = runner._kept(journal, unit, names[unit])
        assert found is None or found == UnitResult.model_validate_json(intact[unit]), (seed, number)
        journal.put(names[unit], data)
        found = runner._kept(journal, unit, names[unit])
        if found is not None:
            results = {u: UnitResult.model_validate_json(kept) for u, kept in intact.items()} | {unit: found}
            runner._join(claim, [results[u] for u in units])
            forged += 1
        assert time.process_time() - begin < SECONDS, (seed, number)
        path.write_bytes(files[unit])
        taken += runner._kept(journal, unit, names[unit]) is not None
    print(f"{count} mutations, {forged} forged with their digest and joined")
    assert taken == count
    assert 0 < forged < count


@pytest.mark.parametrize("data", [b"[" * 10**6, b"9" * 5_000, b'{"schema_version": 1e999}', b" " * (33 * 2**20)])
def test_documents_beyond_any_run(tmp_path, data):
    (tmp_path / "results.json").write_bytes(data)
    code, err, taken = outcome("report", tmp_path)
    assert (code, len(err.splitlines())) == (2, 1)
    assert taken < SECONDS


def with_formulas(run, count, latex, part="statement"):
    """A run whose only claim, or first step that refutes its negative control, has more formulas."""
    claim = run.claims[0]
    if part == "statement":
        claim = claim.model_copy(update={"statement": (Segment(text="q", latex=latex),) * count})
    else:
        step = StepRecord(reason="r", text="q", latex=latex, outcome="refuted")
        control = claim.controls[0]
        checks = (control.checks[0].model_copy(update={"steps": (step,) * count}),)
        claim = claim.model_copy(update={"controls": (control.model_copy(update={"checks": checks}),)})
    return run.model_copy(update={"claims": (claim,)}).sealed()


@pytest.mark.parametrize("part", ["statement", "steps"])
def test_more_formulas_than_any_run_has_are_not_converted(text, tmp_path, part):
    """Each takes milliseconds, and a file within the limit could hold a million."""
    run = RunRecord.model_validate_json(text)
    for count, latex in ((2_501, "q"), (251, "q" * 1_000)):
        (tmp_path / "results.json").write_text(with_formulas(run, count, latex, part).model_dump_json())
        code, err, taken = outcome("report", tmp_path)
        assert (code, len(err.splitlines())) == (2, 1)
        assert "formulas" in err
        assert taken < SECONDS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "latex"), [(2_400, "q" * 100), (2_400, "q_1^2" * 20), (80, r"\hat x" * 500)], ids=["q", "scripts", "hats"]
)
def test_as_many_formulas_as_a_run_may_have_take_seconds(text, tmp_path, count, latex):
    run = RunRecord.model_validate_json(text)
    (tmp_path / "results.json").write_text(with_formulas(run, count, latex).model_dump_json())
    code, _, taken = outcome("report", tmp_path)
    assert code == 0
    assert (tmp_path / "report.html").read_text(encoding="utf-8").count("<math") >= count
    assert taken < SECONDS
