"""Kept decisions are checked, not trusted: forged, stale and damaged entries change no outcome."""

import hashlib
import json
import random
import threading

import pytest
from sympy import Dummy, Sum, srepr

from rdml_theory.symbolic.notation import C, i, k, q
from rdml_theory.symbolic.relations import at_least, equal
from verify import proof_cache
from verify.claims import all_claims
from verify.context import Context
from verify.proof_cache import PROVED_AGAIN, ProofCache, default_folder
from verify.runner import RunSettings, run_claims

TRUE = equal(Sum(2 * q[i], (i, 1, C)), 2 * Sum(q[i], (i, 1, C)))
# Wrong from two classes on.
FALSE = equal(Sum(q[i], (i, 1, C)) ** 2, Sum(q[i] ** 2, (i, 1, C)))
UNKNOWN = at_least(q[k] ** 4 - 2 * q[k] ** 3 + 3 * q[k] ** 2 - 2 * q[k] + 1, 0)


def key(relation):
    return hashlib.sha256(srepr(relation).encode()).hexdigest()


@pytest.fixture
def path(tmp_path):
    kept = ProofCache(tmp_path / "x.json", 0)
    assert [kept.decide(r) for r in (TRUE, FALSE, UNKNOWN)] == [True, False, None]
    kept.save()
    return tmp_path / "x.json"


def change(path, edit):
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def outcomes(path, seed=1):
    kept = ProofCache(path, seed)
    return [kept.decide(r) for r in (TRUE, FALSE, UNKNOWN)], kept


def test_decisions_are_used_again(path, monkeypatch):
    proved = []

    def decide(relation, seed):
        proved.append(relation)
        return

    monkeypatch.setattr(proof_cache, "decide", decide)
    seed = next(s for s in range(99) if not again(s, TRUE))
    found, kept = outcomes(path, seed)
    assert found == [True, False, None]
    assert (kept.reused, kept.discarded) == (2, 0)
    # What is undecided is not kept.
    assert proved == [UNKNOWN]


def again(seed, relation):
    return random.Random(f"{seed}/{key(relation)}").randrange(PROVED_AGAIN) == 0


def test_one_in_eight_is_proved_again(path, monkeypatch):
    seeds = range(400)
    share = sum(again(s, TRUE) for s in seeds) / len(seeds)
    assert share == pytest.approx(1 / PROVED_AGAIN, abs=0.07)
    monkeypatch.setattr(proof_cache, "decide", lambda relation, seed: False)
    seed = next(s for s in seeds if again(s, TRUE))
    assert ProofCache(path, seed).decide(TRUE) is False


@pytest.mark.parametrize("seed", range(5))
def test_a_forged_confirmation_is_refuted(path, seed):
    change(path, lambda d: d["decisions"].update({key(FALSE): {"outcome": True}}))
    found, kept = outcomes(path, seed)
    assert found == [True, False, None]
    assert kept.discarded == 1
    kept.save()
    assert json.loads(path.read_text())["decisions"][key(FALSE)]["outcome"] is False


def test_a_forged_refutation_is_discarded(path):
    point = {"classes": 3, "seed": "0/0", "reach": 1}
    change(path, lambda d: d["decisions"].update({key(TRUE): {"outcome": False, "point": point}}))
    found, kept = outcomes(path)
    assert found == [True, False, None]
    assert kept.discarded == 1


def test_a_moved_refutation_is_discarded(path):
    """With one class the false relation holds: that point refutes nothing."""
    change(path, lambda d: d["decisions"][key(FALSE)]["point"].update(classes=1))
    found, kept = outcomes(path)
    assert found == [True, False, None]
    assert kept.discarded == 1


@pytest.mark.parametrize("field", ["sources", "schema"])
def test_a_stale_file_is_not_read(path, field):
    change(path, lambda d: d.update({field: "other"}))
    found, kept = outcomes(path)
    assert found == [True, False, None]
    assert kept.reused == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000, b'{"schema": 1, "sources": 3, "decisions": {"a": 1}}'],
    ids=["empty", "cut", "list", "bytes", "null", "deep", "types"],
)
def test_a_damaged_file_is_not_read(path, content):
    path.write_bytes(content)
    found, kept = outcomes(path)
    assert found == [True, False, None]
    assert kept.reused == 0


@pytest.mark.parametrize(
    "entry",
    [
        None,
        1,
        {"outcome": 1},
        {"outcome": None},
        {"outcome": True, "more": 1},
        {"outcome": False},
        {"outcome": False, "point": {"classes": 10**9, "seed": "0", "reach": 1}},
        {"outcome": False, "point": {"classes": "3", "seed": "0", "reach": 1}},
        {"outcome": False, "point": {"classes": 3, "seed": "0", "reach": 1, "digits": 1}},
    ],
)
def test_a_malformed_entry_is_not_read(path, entry):
    change(path, lambda d: d["decisions"].update({key(TRUE): entry, key(FALSE): entry}))
    found, _ = outcomes(path)
    assert found == [True, False, None]


def test_writers_leave_whole_files(path):
    """Several writers and readers at once: every read finds a whole document."""
    whole = []

    def work(number):
        for turn in range(20):
            kept = ProofCache(path, number)
            kept._keep(f"{number}/{turn}", TRUE, True)
            kept.save()
            whole.append(key(TRUE) in json.loads(path.read_text())["decisions"])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert whole == [True] * 80
    assert [entry.name for entry in path.parent.iterdir()] == ["x.json"]


def test_no_folder_keeps_nothing(tmp_path):
    kept = ProofCache(None, 0)
    assert kept.decide(TRUE) is True
    kept.save()
    blocked = tmp_path / "file"
    blocked.write_text("")
    kept = ProofCache(blocked / "x.json", 0)
    assert kept.decide(TRUE) is True
    kept.save()
    assert blocked.read_text() == ""


def test_the_folder_is_named_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("RDML_CACHE", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.setenv("RDML_CACHE", "")
    assert default_folder() is None
    monkeypatch.delenv("RDML_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert default_folder() == tmp_path / "rdml-theory"


def test_a_run_is_the_same_with_and_without_kept_decisions(tmp_path):
    """Fresh, kept and forged: the same records, but for the time taken and the count of what was reused."""
    settings = {"seed": 3, "cache": tmp_path / "cache"}
    fresh = run_claims(["D1"], RunSettings(seed=3))
    first = run_claims(["D1"], RunSettings(**settings))
    second = run_claims(["D1"], RunSettings(**settings))
    assert (first.environment.reused_proofs, second.environment.reused_proofs > 0) == (0, True)
    file = tmp_path / "cache" / "D1.symbolic.json"

    def forge(document):
        for entry in document["decisions"]:
            document["decisions"][entry] = {"outcome": True}

    refuted = [e for e in json.loads(file.read_text())["decisions"].values() if e["outcome"] is False]
    assert refuted
    change(file, forge)
    forged = run_claims(["D1"], RunSettings(**settings))
    for other in (first, second, forged):
        assert other.claims == fresh.claims
        assert other.summary == fresh.summary
    assert forged.summary.controls["refuted"] == len(all_claims()["D1"].twins)


def test_a_dummy_is_never_kept(tmp_path):
    x = Dummy("x", real=True)
    kept = ProofCache(tmp_path / "x.json", 0)
    assert kept.decide(equal(x + x, 2 * x)) is True
    kept.save()
    assert not (tmp_path / "x.json").exists()


def test_the_context_counts_what_is_reused(tmp_path):
    for expected in (0, 1):
        context = Context("X1", "symbolic", "quick", 7, 1e-3, cache=tmp_path)
        proof_cache.decided(TRUE, context)
        proof_cache.decided(TRUE, context)
        assert context.reused == expected


def test_the_command_line_keeps_decisions_unless_told_not_to(tmp_path):
    from click.testing import CliRunner

    from verify.cli import app

    folder = tmp_path / "kept"
    for words, kept in ((["--no-cache"], []), ([], ["D1.symbolic.json"])):
        result = CliRunner().invoke(app, ["run", "D1", *words], env={"RDML_CACHE": str(folder)})
        assert result.exit_code == 0, result.output
        assert [path.name for path in folder.glob("*")] == kept
