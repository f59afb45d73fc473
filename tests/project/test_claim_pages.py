"""The pages of the claims print what was certified and found while they were written."""

import importlib.util
import re
from pathlib import Path

import pytest

from verify.claims import all_claims

PATH = Path(__file__).resolve().parents[2] / "docs" / "claim_pages.py"


@pytest.fixture(scope="module")
def pages():
    spec = importlib.util.spec_from_file_location("claim_pages", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_page_prints_certificates_and_tightness(pages):
    text = pages.page(all_claims()["D12"])
    assert "SymPy verifies each step, or a certificate does. The statement is the relation of a step." in text
    assert re.search(r"By an SMT solver: its negation in SMT-LIB 2, .* \(`[0-9a-f]{16}`\)\.", text)
    assert r"\qquad M \in" not in text  # the whole real line is no restriction
    found = re.search(r"Popoviciu: greatest ratio of the sides found: ([0-9.]+), at C = \d, α = ", text)
    assert found is not None
    assert 0.999 <= float(found[1]) <= 1


def test_steps_are_one_list(pages):
    """Every line of a step is indented as far as its words, beyond the ninth step too."""
    lines = pages.page(all_claims()["D8"]).splitlines()
    tenth = next(n for n, line in enumerate(lines) if line.startswith("10. "))
    assert lines[tenth + 2] == "    $$"
    assert lines[tenth + 4] == "    $$"


def test_the_table_of_evidence_counts(pages, monkeypatch):
    few = {i: all_claims()[i] for i in ("D1", "D10", "D12", "C4", "C8")}
    monkeypatch.setattr(pages, "all_claims", lambda: few)
    rows = [line for line in pages.evidence().splitlines() if line.startswith("| ")][2:]
    assert rows[0].startswith("| D1 | Student gradient | ")
    assert " | - | the kernel | numeric | " in rows[0]
    given = rows[1].split(" | ")[-2]
    assert int(given) >= 1, "the remainder of the expansion rests on the mean value theorem, which no step proves"
    assert rows[2] == "| D12 | Variance of bounded values | 6 | 2 smt | premises | numeric | 0 | 0 |"
    assert rows[3].split(" | ")[4] == "the kernel"
    assert rows[4].split(" | ")[4] == "the kernel"
