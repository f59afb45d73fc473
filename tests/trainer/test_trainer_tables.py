"""The tables of the trainer's page are those of the records, and its words say what the records say."""

import importlib.util
import json
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from verify.trainer.comparison import read_comparison

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("trainer_mnist1d_table", "trainer_fashion_mnist_table", "trainer_cifar10_small_table")


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("trainer_tables", ROOT / "benchmarks" / "trainer_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_tables_of_the_records(tables):
    text = tables.PAGE.read_text(encoding="utf-8")
    assert tables.page(text) == text
    for name in NAMES:
        assert f"<!-- {name}.json -->\n\n| objective | " in text
    # A number that is changed by hand is found.
    row = next(line for line in text.splitlines() if line.startswith("| DML (KL) | "))
    changed = text.replace(row, row.replace("9", "8", 1))
    assert changed != text
    assert tables.page(changed) == text


def record(name):
    return read_comparison(ROOT / "benchmarks" / f"{name}.json")


@pytest.mark.parametrize(("name", "seeds"), [(NAMES[0], 8), (NAMES[1], 5), (NAMES[2], 5)])
def test_a_record_says_how_it_was_made(name, seeds):
    table = record(name)
    assert table.seeds == tuple(range(seeds))
    assert all(len(values) == seeds for metrics in table.scores.values() for values in metrics.values())
    for run in table.environment["runs"]:
        assert run["commit"]
        assert run["versions"]["numpy"]
    assert table.config["out"] == "runs"


def resolved(table):
    """The pairs whose interval is without 0, with its sign."""
    out = {}
    for arm, reference in table.pairs:
        _, low, high = table.difference(arm, reference, "accuracy", len(table.pairs))
        if low > 0 or high < 0:
            out[arm, reference] = 1 if low > 0 else -1
    return out


def test_what_the_page_says_of_mnist1d():
    table = record(NAMES[0])
    lost = {arm: sum(metrics["lost"]) for arm, metrics in table.scores.items()}
    assert {arm for arm, count in lost.items() if count} == {"RDML, α = 2"}
    assert lost["RDML, α = 2"] == 1
    better = {"RDML, α = 0.5", "RDML, α = 1.5", "KL, β = 0.5", "KL, β = 1.5"}
    rising = {"RDML, α = 1.5, β rising", "RDML, α = 2, β rising", "KL, β = 2, β rising"}
    expected = {(arm, "independent"): 1 for arm in better | rising} | {("RDML, α = 2, β rising", "DML (KL)"): 1}
    assert resolved(table) == expected


def test_what_the_page_says_of_fashion_mnist():
    table = record(NAMES[1])
    assert resolved(table) == {}
    assert not any(sum(metrics["lost"]) for metrics in table.scores.values())
    means = {arm: sum(metrics["accuracy"]) for arm, metrics in table.scores.items()}
    assert max(means, key=means.__getitem__) == "independent"


def test_what_the_page_says_of_the_lost_student():
    rows = json.loads((ROOT / "benchmarks" / "lost_student_trace.json").read_text())["trace"]
    text = (ROOT / "docs" / "howto" / "lost_students.md").read_text(encoding="utf-8")
    head = "| step | curvature"
    lines = text[text.index(head) :].split("\n\n")[0].splitlines()
    told = [line.strip("| ").split(" | ") for line in lines[2:]]
    assert len(told) > 8
    for step, *shown in told:
        row = rows[int(step)]
        numbers = (f"{row['curvature']:.2f}", f"{row['over the limit']:.2f}", f"{row['apart']:.0f}")
        assert tuple(shown) == (*numbers, f"{row['cosine']:+.2f}")
    assert [row["over the limit"] > 1 for row in rows].index(True) == 32
    for before, row in pairwise(rows[36:40]):
        assert 1.8 < row["apart"] / before["apart"] < 2.1
        assert row["cosine"] < 0


def test_what_the_page_says_of_how_many_are_lost():
    rows = json.loads((ROOT / "benchmarks" / "lost_students_table.json").read_text())["summary"]
    text = (ROOT / "docs" / "howto" / "lost_students.md").read_text(encoding="utf-8")
    for row in rows:
        alive = row["alive in the lost"]
        told = f"{len(alive)} | {', '.join(map(str, alive)) or 'none'} | {row['least alive else']} |"
        assert f"| {row['name']} | {row['alpha'] * row['beta']:g} | {told}" in text


def test_the_page_on_orders_has_the_table_of_bad_peers():
    spec = importlib.util.spec_from_file_location("bad_peers", ROOT / "benchmarks" / "measure_wrong_peer.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["bad_peers"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (ROOT / "docs" / "which_order.md").read_text(encoding="utf-8")
    for name in ("wrong_peer_mnist1d_table.json", "wrong_peer_table.json"):
        record = json.loads((ROOT / "benchmarks" / name).read_text())
        assert f"<!-- {name} -->\n\n{module.markdown(record)}\n\n<!-- end -->" in text
        assert record["command"] in text
        again = {row["arm"]: row for row in module.summary(record["scores"])}
        for row in record["summary"]:
            for key, value in row.items():
                # quantiles of Student's law differ by 1e-11 between versions of SciPy
                assert again[row["arm"]][key] == (value if key == "arm" else pytest.approx(value, rel=1e-9, abs=0))
    accuracy, nll = module.panels(record)
    rows = {row["arm"]: row for row in record["summary"]}
    drawn = {curve.label: dict(zip(curve.x, curve.y, strict=True)) for curve in accuracy.curves}
    apart = 100 * (rows["α = 2, wrong peer"]["accuracy"] - rows["alone"]["accuracy"])
    assert drawn["wrong peer"][2.0] == pytest.approx(apart)
    assert drawn["good peers, KL, $\\beta$ = 1/16"][1.0] == pytest.approx(
        100 * (rows["KL, β = 1/16"]["accuracy"] - rows["alone"]["accuracy"])
    )
    assert [curve.low[0] > 0 for curve in nll.curves if curve.label == "wrong peer"] == [True]
    assert "(figures/wrong_peer.png)" in text
