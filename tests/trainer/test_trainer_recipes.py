"""The recipes run end to end, on small files of the formats that they name."""

import dataclasses
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import stats
from trainer_files import write_cifar, write_idx, write_npz

from verify.commands.train import train_command
from verify.commands.training import RECIPES, _baselines, configured, run, run_comparison
from verify.trainer import TrainerError, read_config
from verify.trainer.comparison import (
    Arm,
    Table,
    compare,
    difference_rows,
    in_words,
    markdown,
    notes,
    objectives,
    paired_interval,
    read_comparison,
    score_rows,
)
from verify.trainer.folder import Result, final_scores
from verify.trainer.show import fitted

NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))


def test_there_are_recipes():
    assert {"cifar10_resnet18", "cifar100_resnet18", "fashion_mnist", "mnist1d_table"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_recipes_run_end_to_end(tmp_path, name, capsys):
    config = configured({}, Path(name))
    assert config == read_config(RECIPES / f"{name}.toml")
    small = {"epochs": 1, "out": tmp_path / "runs", "width": 16, "precision": "float32", "monitor": 0.0}
    if config.data == "idx":
        # 28 x 28, as the files that the recipe names.
        small |= {"data_dir": write_idx(tmp_path / "data", size=28), "batch": 16}
    elif config.data == "npz":
        small |= {"data_dir": write_npz(tmp_path / "data.npz"), "batch": 16}
    elif config.data.startswith("cifar"):
        classes = int(config.data[5:])
        small |= {"data_dir": write_cifar(tmp_path / "data", classes, records=4 if classes == 10 else 20), "batch": 8}
    folder = run(dataclasses.replace(config, **small), resume=False)
    assert "ensemble" in capsys.readouterr().out
    assert (folder / "report.html").is_file()
    final = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert final["kind"] == "final"
    assert len(final["test"]) == 3


def test_a_comparison_is_paired_and_not_repeated(tmp_path):
    base = dataclasses.replace(
        read_config({"students": "mlp:2", "data": "digits", "epochs": 1, "monitor": 0.0, "validation": 0.0}),
        out=tmp_path,
    )
    arms = (Arm("independent", 1.0, 0.0), Arm("DML (KL)"), Arm("nearly DML", 1.0, 1.00001))
    steps = []
    first = compare(base, (0, 1), arms=arms, report=lambda trainer, values: steps.append(trainer.number))
    taken = len(steps)
    assert taken > 0
    # What is found again is the last weights' score, whatever the best ones'.
    kept = tmp_path / dataclasses.replace(base, seed=0).name / "metrics.jsonl"
    *lines, final = map(json.loads, kept.read_text().splitlines())
    final["best"] = [{**scores, "nll": scores["nll"] + 1} for scores in final["best"]]
    kept.write_text("".join(json.dumps(line) + "\n" for line in (*lines, final)))
    again = compare(base, (0, 1), arms=arms, report=lambda trainer, values: steps.append(trainer.number))
    assert len(steps) == taken
    assert again == first
    # The same seed means the same start and batches: what hardly differs in the objective hardly differs.
    assert first.scores["DML (KL)"]["nll"] == pytest.approx(first.scores["nearly DML"]["nll"], rel=1e-4)
    assert len(list(tmp_path.glob("*/config.json"))) == 6
    assert first.scores["DML (KL)"]["nll"] != first.scores["independent"]["nll"]
    # Of the students with their last weights, trained now or found.
    *students, ensemble = final_scores(tmp_path / dataclasses.replace(base, seed=0).name).test
    for metric in ("accuracy", "nll", "ece"):
        mean = sum(getattr(s, metric) for s in students) / 2
        assert first.scores["DML (KL)"][metric][0] == pytest.approx(mean, rel=1e-12)
    assert first.scores["DML (KL)"]["ensemble accuracy"][0] == ensemble.accuracy
    table = markdown(first)
    assert table.count("\n|") == 4 + 4
    assert "within seeds" in table
    assert "| DML (KL) | " in table
    assert "0 of 4" in table
    read = read_comparison(tmp_path / "comparison.json")
    assert (read.seeds, read.scores, read.environment) == (first.seeds, first.scores, first.environment)
    assert markdown(read) == table
    assert first.environment["runs"][0]["versions"]["torch"]


def test_a_run_of_another_configuration_is_not_taken_for_a_row(tmp_path):
    """It may have the same name: two epochs are not one, whatever the folder is called."""
    base = dataclasses.replace(
        read_config({"students": "mlp:2", "data": "digits", "epochs": 1, "monitor": 0.0, "validation": 0.0}),
        out=tmp_path,
    )
    arms = objectives((1.0,))
    longer = dataclasses.replace(base, epochs=2)
    short, long, again = (compare(config, (0,), arms=arms) for config in (base, longer, longer))
    assert short.scores != long.scores == again.scores
    epochs = [json.loads(p.read_text())["epochs"] for p in tmp_path.glob("*/config.json")]
    assert sorted(epochs) == [1, 1, 2, 2]


def test_one_run_says_how_it_is_compared_and_counts_as_a_row(tmp_path, capsys):
    """The command it names trains the baselines of its own order and weight alone, and ends in sentences."""
    settings = ["--data", "digits", "--students", "mlp:2", "--epochs", "1", "--monitor", "0", "--alpha", "2"]
    assert train_command.main([*settings, "--beta", "0.5", "--out", str(tmp_path)], standalone_mode=False) is None
    said = capsys.readouterr().err
    (command,) = re.findall(r"`rdml train (--config \S+ --compare)`", said)
    assert "it trains 3 baselines too, each objective from 8 starts. That is 32 runs, about " in said
    train_command.main([*command.split(), "--seeds", "2"], standalone_mode=False)
    table = read_comparison(tmp_path / "comparison.json")
    assert list(table.scores) == ["independent", "DML (KL)", "RDML, α = 2, β = 0.5", "KL, β = 1"]
    assert ("RDML, α = 2, β = 0.5", "KL, β = 1") in table.pairs
    weights = [json.loads(p.read_text())["beta"] for p in sorted(tmp_path.glob("*/config.json"))]
    # The one run has not been trained again: three others and four of the second seed.
    assert sorted(weights) == [0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0]
    page = capsys.readouterr().out
    assert "DML (KL): β = 0.5." in page
    assert " against KL, same αβ: 1 of 1 objectives" in page or " accurate than KL, same αβ: " in page


def test_the_command_of_a_run_is_not_given_where_there_is_no_table(tmp_path):
    config = read_config({"students": "mlp:2", "data": "digits", "beta": 0.0})
    result = Result(tmp_path, [], [], [], 1, 100.0)
    assert _baselines(config, result) is None
    assert "it trains 1 baseline too, each objective from 8 starts. That is 16 runs, about 27 min;" in str(
        _baselines(dataclasses.replace(config, beta=1.0), result)
    )
    learned = dataclasses.replace(config, beta=1.0, alpha_schedule="learned")
    assert _baselines(learned, result) is None
    with pytest.raises(TrainerError, match="alpha_schedule must be constant"):
        run_comparison(learned, 2)


def test_rising_weights_start_from_nothing(tmp_path):
    """In a folder of their own, with what the plain row of the same order and weight does not have."""
    base = dataclasses.replace(
        read_config({"students": "mlp:2", "data": "digits", "epochs": 2, "monitor": 0.0, "validation": 0.0}),
        out=tmp_path,
    )
    arms = (Arm("RDML, α = 2", 2.0, 1.0), dataclasses.replace(objectives((2.0,), rising=True)[-2], warmup=0.5))
    first = compare(base, (0,), arms=arms)
    warmups = [json.loads(p.read_text())["beta_warmup"] for p in sorted(tmp_path.glob("*/config.json"))]
    assert warmups == [0.0, 1.0]
    assert first.scores["RDML, α = 2"]["nll"] != first.scores["RDML, α = 2, β rising"]["nll"]


def test_the_pairs_of_a_table():
    """Each row against both references, and each order against KL of the same αβ; none twice."""
    arms = objectives((0.5, 1.5, 2.0), rising=True)
    pairs = Table({}, (), {arm.name: {} for arm in arms}, arms=arms).pairs
    assert len(set(pairs)) == len(pairs) == 10 + 9 + 4
    assert ("RDML, α = 2", "KL, β = 2") in pairs
    assert ("RDML, α = 2, β rising", "KL, β = 2, β rising") in pairs
    assert not any(first == second for first, second in pairs)
    # By their fields: names are labels, and with the names exchanged so are the pairs.
    swapped = {"RDML, α = 2": "KL, β = 2", "KL, β = 2": "RDML, α = 2"}
    renamed = tuple(dataclasses.replace(arm, name=swapped.get(arm.name, arm.name)) for arm in arms)
    pairs = Table({}, (), {arm.name: {} for arm in renamed}, arms=renamed).pairs
    assert ("KL, β = 2", "RDML, α = 2") in pairs
    assert ("RDML, α = 2", "KL, β = 2") not in pairs


def test_an_interval_is_that_of_scipy():
    d = np.array([[0.1, 0.4, -0.2, 0.3, 0.9], [1.0, 2.0, 3.0, 4.0, 5.0]])
    low, high = paired_interval(d, 0.01)
    for n, row in enumerate(d):
        expected = stats.ttest_1samp(row, 0.0).confidence_interval(0.99)
        assert (low[n], high[n]) == pytest.approx((expected.low, expected.high))
    with pytest.raises(ValueError, match="at least two seeds"):
        paired_interval([1.0], 0.05)


@pytest.mark.parametrize("seeds", [2, 3, 5, 8, 20])
@pytest.mark.parametrize("tests", [1, 16])
def test_intervals_hold_for_differences_on_a_lattice(seeds, tests):
    """Also where the spread is a fraction of the lattice: what a few equal seeds show is not the mean."""
    rng = np.random.default_rng([seeds, tests])
    step, replicas, rate = 1 / 718, 20_000, 0.05 / tests
    alone = 1.0
    for spread in (0.05, 0.2, 0.5, 1.0, 5.0):
        for offset in (0.0, 0.1, 0.3, 0.5, 0.8):
            normal = offset + spread * rng.standard_normal((replicas, seeds))
            d = step * np.round(normal)
            # The mean of the lattice's points with their probabilities, not that of the normal distribution.
            points = np.arange(-60, 61)
            mean = step * float((points * np.diff(stats.norm.cdf(np.arange(-60.5, 61), offset, spread))).sum())
            low, high = paired_interval(d, rate, lattice=step)
            held = ((low <= mean) & (mean <= high)).mean()
            # Three standard errors of the simulation.
            assert held > 1 - rate - 3 * math.sqrt(rate / replicas), (spread, offset, held)
            low, high = paired_interval(d, rate)
            alone = min(alone, ((low <= mean) & (mean <= high)).mean())
    # Without the lattice, equal seeds give a point.
    assert alone < 1 - 2 * rate


def test_equal_seeds_are_not_resolved():
    """Three seeds that all differ by 3/718, as was printed in bold with the interval [+0.42, +0.42]."""
    first, second = (0.9, 0.91, 0.92), tuple(v + 3 / 718 for v in (0.9, 0.91, 0.92))
    arms = {
        name: dict.fromkeys(("accuracy", "ensemble accuracy", "nll", "ece", "lost"), values)
        for name, values in (("independent", first), ("DML (KL)", second))
    }
    for samples in (0, 359):
        table = Table({"students": "mlp:2"}, (0, 1, 2), arms, samples=samples)
        page = markdown(table)
        assert "| DML (KL) | +0.42, not resolved |" in page
        assert "**" not in page
        assert "Not resolved: one seed, or equal for all." in page
    mean, low, high = table.difference("DML (KL)", "independent", "accuracy", 1)
    assert (table.lattice, mean) == (1 / 718, pytest.approx(3 / 718))
    assert mean - low == pytest.approx(stats.t.isf(0.025, 2) / (2 * 718 * 3**0.5))
    assert mean - low == pytest.approx(high - mean)


def test_seeds_that_remain_after_others_diverged_resolve_nothing():
    """The runs that did not diverge were chosen by that, so their differences say nothing of the objective."""
    first = (0.5, 0.51, 0.5, 0.52)
    arms = {
        name: dict.fromkeys(("accuracy", "ensemble accuracy", "nll", "ece", "lost"), values)
        for name, values in (("independent", first), ("DML (KL)", (0.9, 0.92, 0.9, None)))
    }
    table = Table({"students": "mlp:2"}, (0, 1, 2, 3), arms, samples=500)
    assert "**" not in markdown(table)
    assert "Not resolved: one seed, equal for all, or runs that diverged." in markdown(table)
    words = in_words(table)
    assert "accurate" not in words
    assert "Diverged, and so compared with nothing: DML (KL) (1 of 4 seeds)." in words


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_comparison_fits_a_terminal(width):
    arms = {
        name: dict.fromkeys(("accuracy", "ensemble accuracy", "nll", "ece", "lost"), (0.1 + n / 10, 0.2 + n / 5, 0.31))
        for n, name in enumerate(("independent", "DML (KL)", "RDML, α = 0.5, β = 2, β rising", "KL, β = 2, β rising"))
    }
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    rising = (Arm("RDML, α = 0.5, β = 2, β rising", 0.5, 4.0, 0.1), Arm("KL, β = 2, β rising", 1.0, 2.0, 0.1))
    comparison = Table({"students": "mlp:2"}, (0, 1, 2), arms, arms=(*objectives(()), *rising))
    for rows in (score_rows(comparison), difference_rows(comparison)):
        console.print(fitted(rows, width))
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    words = {word for line in lines for word in line.split()}
    # Broken between words alone: none is cut short.
    assert {
        "independent",
        "calibration",
        "accuracy",
        "α=0.5,",
        "rising",
        "students",
        "20.33",
        "±",
        "10.50",
    } <= words
    assert not any("…" in word for word in words)


def test_lost_students_are_counted():
    """A student with the uniform prediction has the NLL log C."""
    scores = {"accuracy": (0.5,), "ensemble accuracy": (0.9,), "nll": (1.2,), "ece": (0.1,), "lost": (1.0,)}
    table = markdown(Table({"students": "mlp:2"}, (0,), {"DML (KL)": scores}))
    assert "| 1 of 2 |" in table


def test_intervals_without_zero_are_bold():
    def arm(*accuracy):
        return dict.fromkeys(("accuracy", "ensemble accuracy", "nll", "ece", "lost"), accuracy)

    scores = {"independent": arm(0.1, 0.2, 0.3), "DML (KL)": arm(0.2, 0.301, 0.4), "RDML, α = 2": arm(0.3, 0.2, 0.3)}
    rows = markdown(Table({"students": "mlp:2"}, (0, 1, 2), scores)).splitlines()
    assert sum("| **+10.03 [" in row for row in rows) == 1
    assert sum(row.count("**") for row in rows) == 2


def test_a_foreign_comparison_is_one_error(tmp_path):
    path = tmp_path / "table.json"
    for content in ("{", '{"seeds": 3}', "[]"):
        path.write_text(content)
        with pytest.raises(TrainerError, match="not a comparison"):
            read_comparison(path)


def test_a_comparison_in_words():
    """Better, worse or not resolved, with the seeds that would resolve it."""
    eight = {
        "independent": (0.90, 0.91, 0.92, 0.90, 0.91, 0.92, 0.90, 0.91),
        "DML (KL)": (0.95, 0.96, 0.97, 0.95, 0.96, 0.97, 0.951, 0.961),
        "RDML, α = 2": (0.91, 0.90, 0.93, 0.90, 0.92, 0.91, 0.91, 0.91),
        "KL, β = 2": (0.80, 0.81, 0.82, 0.80, 0.81, 0.82, 0.801, 0.811),
    }
    scores = {
        arm: dict.fromkeys(("accuracy", "nll", "ece", "ensemble accuracy", "lost"), v) for arm, v in eight.items()
    }
    table = Table({"students": "mlp:2"}, tuple(range(8)), scores, {}, 1000, objectives((2.0,)))
    first, second, third, *rest = in_words(table).splitlines()
    assert first == "More accurate than independent students: DML (KL) (+5.02 points)."
    assert second == "Less accurate than independent students: KL, β = 2 (-9.98 points)."
    assert third.startswith(
        "Not resolved by 8 seeds against independent students: 1 of 3 objectives; the nearest, RDML"
    )
    needed = int(third.split("about ")[1].split()[0])
    assert rest == [
        "Less accurate than deep mutual learning (KL): RDML, α = 2 (-4.77 points).",
        # The same difference for all seeds.
        "Not resolved by 8 seeds against deep mutual learning (KL): 1 of 2 objectives.",
        "More accurate than KL, same αβ: RDML, α = 2 (+10.23 points).",
    ]
    # So many seeds of the same spread and mean do resolve it, and one less does not.
    d = np.subtract(eight["RDML, α = 2"], eight["independent"])
    half = np.hypot(d.std(ddof=1), table.lattice / 2)
    for seeds, resolved in ((needed, True), (needed - 1, False)):
        quantile = stats.t.isf(0.05 / len(table.pairs) / 2, seeds - 1)
        assert (abs(d.mean()) > quantile * half / np.sqrt(seeds)) == resolved
    one = Table({"students": "mlp:2"}, (0,), {arm: {m: v[:1] for m, v in s.items()} for arm, s in scores.items()})
    two = Table({"students": "mlp:2"}, tuple(range(8)), {arm: scores[arm] for arm in list(scores)[:2]}, {}, 1000)
    assert difference_rows(two)[0] == ["accuracy (points)", "− independent"]
    assert "the interval holds with probability 0.95 (Student's t)." in notes(two)
    assert "their 6 intervals hold together with probability 0.95 (Student's t, Bonferroni)." in notes(table)
    assert "Not resolved by 1 seed against" in in_words(one)
    assert "more" not in in_words(one).lower()
