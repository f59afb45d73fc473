"""The paths that are there for speed alone are worth their code, by the record of `bench_special_paths.py`."""

import json
from itertools import chain
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RECORD = json.loads((BENCHMARKS / "special_paths_table.json").read_text(encoding="utf-8"))
# besides, what bears no name of a path: other losses beside these
BESIDE = {"kl_div", "eager"}


def gains(rows):
    """The least and the greatest gain of each path, and how many settings they are from."""
    found = {}
    for name, (gain, *_) in chain.from_iterable(row["ratios"].items() for row in rows):
        if name not in BESIDE:
            found.setdefault(name, []).append(gain)
    return {name: (min(x), max(x), len(x)) for name, x in found.items()}


def test_what_is_there_is_worth_it_and_what_was_not_is_gone():
    kept, gone = gains(RECORD["records"]), gains(RECORD["without"])
    assert set(kept) == {"two students", "short sums", "fused orders", "stacked"}
    assert {name for name, (_, most, _) in kept.items() if most < 1.5} == {"stacked"}
    assert set(gone) == {"kept memory", "kept shares", "base 2", "base 2, compiled", "orders 1/2 and 2", "rows last"}
    assert max(most for _, most, _ in gone.values()) < 1.5
    # the trainer's promise, which falls without it: 2.57 and 1.44 are on its page
    four, two = (r["ratios"]["stacked"][0] for k in (4, 2) for r in RECORD["records"] if r["students"] == f"mlp:{k}")
    assert 2.57 / four < 2.5
    assert 1.44 / two < 1.4


def test_the_page_says_what_the_record_says():
    page = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    for rows, verdict in (("records", "kept"), ("without", "gone")):
        for name, (least, most, count) in gains(RECORD[rows]).items():
            assert f"| {name} | {least:.2f} to {most:.2f} | {count} | {verdict}" in page
    assert RECORD["processor"] in page
