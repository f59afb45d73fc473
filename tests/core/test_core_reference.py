"""The committed table: the product against it, and a few of its rows against their generator."""

from __future__ import annotations

import json
import math
from pathlib import Path

import make_table
import mpmath as mp
import naive_renyi as naive
import numpy as np
import pytest
from core_cases import FIRST_ORDER, VALUE_ULPS, normwise

from rdml_theory import renyi_divergence, renyi_gradient

# rows of any sum are the point of many of these cases
pytestmark = pytest.mark.filterwarnings("ignore::rdml_theory.UnnormalisedWarning")

TABLE = json.loads(make_table.TABLE.read_text())
ROWS = TABLE["rows"]


def number(text: str) -> mp.mpf:
    return mp.inf if text == "inf" else mp.mpf(text)


def arguments(row):
    return np.array(row["p"]), np.array(row["q"]), float(row["alpha"])


@pytest.mark.parametrize("row", [r for r in ROWS if r["domain"] == "probs"], ids=lambda r: f"{r['kind']}-{r['alpha']}")
def test_probabilities(row):
    p, q, alpha = arguments(row)
    exact = number(row["divergence"])
    value = float(renyi_divergence(p, q, alpha))
    if exact < 1e-300:
        assert 0.0 <= value <= 1e-300
    else:
        assert naive.ulps(value, exact) <= VALUE_ULPS
    if "student" in row and row["kind"] in ("near_equal", "order_near_one", "unnormalised"):
        assert normwise(renyi_gradient(p, q, alpha) * q, map(number, row["student"])) <= FIRST_ORDER
        assert normwise(renyi_gradient(p, q, alpha, wrt="p") * p, map(number, row["teacher"])) <= FIRST_ORDER
        assert normwise(renyi_gradient(p, q, alpha, wrt="alpha"), [number(row["order"])]) <= FIRST_ORDER


@pytest.mark.parametrize("row", [r for r in ROWS if r["domain"] == "logits"], ids=lambda r: f"logits-{r['alpha']}")
def test_logits(row):
    u, z, alpha = arguments(row)
    exact = number(row["divergence"])
    slopes = [*map(number, row["student"]), *map(number, row["teacher"])]
    size = mp.fsum(abs(mp.mpf(float(x)) * g) for x, g in zip((*z, *u), slopes, strict=True))
    value = float(renyi_divergence(u, z, alpha, domain="logits"))
    if exact > 1e-300:
        assert naive.ulps(value, exact) <= 4.0 * (1.0 + float(size / exact))


def test_the_table_is_what_its_generator_writes():
    cases = list(make_table.hard_sets.probability_cases(make_table.SEED, make_table.PER_KIND, classes=(2, 4)))
    with mp.workdps(make_table.DIGITS):
        for i in range(0, len(cases), 9):
            assert make_table.row(cases[i]) == ROWS[i]


def test_the_table_is_small_and_complete():
    assert Path(make_table.TABLE).stat().st_size < 300_000
    assert {r["kind"] for r in ROWS} == {*make_table.hard_sets.KINDS, "logits"}
    assert any(float(r["alpha"]) == math.inf for r in ROWS)
