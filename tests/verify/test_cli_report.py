"""`rdml plot` and `rdml report`: from records alone, and from no damaged ones."""

from pathlib import Path

from PIL import Image
from program import SEED, complains, rdml

from verify import runner
from verify.commands import claims
from verify.records import summary_of


def test_plot_and_report_from_records(results, tmp_path):
    folder, _ = results
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "results.json").write_bytes((folder / "results.json").read_bytes())
    plotted = rdml("plot", "C2A", "--out", copy)
    assert plotted.returncode == 0
    assert [Path(name).suffix for name in plotted.stdout.split()] == [".png", ".svg", ".pdf", ".csv"]
    assert all(Path(name).stat().st_size > 0 for name in plotted.stdout.splitlines())
    assert rdml("report", copy).returncode == 0
    for name in ("report.html", "junit.xml", "results.schema.json"):
        assert (copy / name).read_bytes() == (folder / name).read_bytes()
    alone = rdml("plot", "C14", "--panel", "1", "--size", "column", "--out", copy).stdout.splitlines()
    assert len(alone) == 4
    assert all("panel_1" in name for name in alone)
    # For a paper, beside those for the screen; the numbers are the same.
    assert [name.rpartition("panel_1")[2] for name in alone] == ["_column.png", "_column.svg", "_column.pdf", ".csv"]
    with Image.open(alone[0]) as picture:
        assert picture.width == 528
    complains(rdml("plot", "C14", "--size", "poster", "--out", copy), "--size", "poster")
    complains(rdml("plot", "C14", "--panel", "9", "--out", copy), "--panel 9", "C14")
    complains(rdml("plot", "C5", "--out", copy), "holds no results of C5 (of C14, C2a)", f"`rdml run C5 --out {copy}`")
    complains(rdml("plot", "C55", "--out", copy), "unknown claim 'C55'")


def test_a_plot_without_results_says_what_it_runs(finished, tmp_path, undrawn, monkeypatch):
    finished.run("C14")
    monkeypatch.setattr(runner, "_run_unit", finished.unit)
    plotted = rdml("plot", "c14", "--out", tmp_path / "mistyped", "--seed", SEED)
    assert plotted.returncode == 0
    said = f"{tmp_path / 'mistyped'} holds no results: running C14 (profile quick, seed {SEED}) first"
    assert plotted.stderr == said + "\n"
    assert len(plotted.stdout.splitlines()) == 4
    again = rdml("plot", "C14", "--out", tmp_path / "mistyped")
    assert (again.stdout, again.stderr) == (plotted.stdout, "")
    (tmp_path / "thesis.tex").touch()
    complains(rdml("plot", "C14", "--out", tmp_path), "is not empty and holds no results.json")


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
    assert f"seed: {SEED}, now 6" in result.stdout
    assert "✗ C14: confirmed, now undecided" in result.stdout
    assert "• only in the first run: C2a\n" in result.stdout
    assert rdml("report", tmp_path, folder).returncode == 0
    complains(rdml("report", folder, tmp_path / "none"), "no such file")


def test_damaged_results(results, tmp_path):
    folder, _ = results
    text = (folder / "results.json").read_text()
    for damaged, reason in (
        (text[:1000], "not valid JSON"),
        (text.replace('"schema_version": 6', '"schema_version": 7'), "schema version 7"),
        (text.replace('"outcome": "refuted"', '"outcome": "confirmed"', 1), "changed after it was written"),
    ):
        (tmp_path / "results.json").write_text(damaged)
        complains(rdml("report", tmp_path), reason)
        complains(rdml("plot", "--out", tmp_path), reason)
        complains(rdml("run", "C14", "--out", tmp_path), reason)
        assert [p.name for p in tmp_path.iterdir()] == ["results.json"]
