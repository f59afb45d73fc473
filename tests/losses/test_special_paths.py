"""The page of the benchmarks says what the record of `bench_special_paths.py` holds."""

import json
from itertools import chain
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RECORD = json.loads((BENCHMARKS / "special_paths_table.json").read_text(encoding="utf-8"))
# besides, what bears no name of a path: other losses beside these
BESIDE = {"kl_div", "eager"}
# gain less than half, but a promise falls without them
PROMISED = {"kept memory", "rows last"}


def gains(rows):
    """The least and the greatest gain of each path, and how many settings they are from."""
    found = {}
    for name, (gain, *_) in chain.from_iterable(row["ratios"].items() for row in rows):
        if name not in BESIDE:
            found.setdefault(name, []).append(gain)
    return {name: (min(x), max(x), len(x)) for name, x in found.items()}


def test_the_page_says_which_paths_gain_half_and_which_less():
    page = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    kept, below = gains(RECORD["records"]), gains(RECORD["without"])
    assert {name for name, (_, most, _) in kept.items() if most < 1.5} == {"stacked"}
    assert max(most for _, most, _ in below.values()) < 1.5
    for name, (least, most, count) in (kept | below).items():
        verdict = "kept" if name in kept else "kept: without it" if name in PROMISED else "below 1.5"
        assert f"| {name} | {least:.2f} to {most:.2f} | {count} | {verdict}" in page
    assert RECORD["processor"] in page
