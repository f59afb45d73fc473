"""The folder of results: nothing foreign is written to or removed, and one run writes at a time."""

import json
import os
import stat
import sys

import pytest
from program import KEPT, ROOT, complains, lay_out, listing, rdml

from verify.claims import all_claims
from verify.commands.catalogue import RESULTS
from verify.plots import file_stem
from verify.results_folder import FolderError, results_folder


def test_foreign_and_unusable_directories(tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("mine")
    complains(rdml("run", "D4", "--out", foreign), "is not empty", "results.json")
    assert [p.name for p in foreign.iterdir()] == ["thesis.tex"]
    complains(rdml("run", "D4", "--out", foreign / "thesis.tex"), "is a file")
    below, games = foreign / "thesis.tex" / "a" / "b", ROOT / "docs" / "examples" / "games.toml"
    for command in (("run", "D4"), ("sweep", games), ("train", "--data", "digits")):
        complains(rdml(*command, "--out", below), f"{foreign / 'thesis.tex'} is not a directory")


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
        ["train/"],
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


def test_training_runs_stand_where_results_are_written(tmp_path):
    """Both write into `results` unless another folder is named."""
    from verify.results_folder import TRAINING
    from verify.trainer import Config

    assert Config().out.parts == (str(RESULTS), TRAINING)
    lay_out(tmp_path, "train/run/metrics.jsonl", "train/thesis.tex")
    before = listing(tmp_path)
    with results_folder(tmp_path):
        pass
    assert listing(tmp_path) == before


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


@pytest.mark.skipif(os.geteuid() == 0 or sys.platform == "win32", reason="root may write anywhere")
def test_unwritable_directory(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    complains(rdml("run", "D4", "--out", locked / "new"), "cannot be created")
