"""The page on the paper's abstract."""

import re
from pathlib import Path

from verify.claims import all_claims

PAGE = Path(__file__).resolve().parents[2] / "docs" / "abstract.md"


def test_the_table_of_the_abstract_names_claims_that_exist():
    text = PAGE.read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    named = {name for row in rows for name in re.findall(r"\b[DCXGNE]\d+[a-e]?\b", row[1])}
    assert len(rows) == 8
    assert named >= {"C2", "C3", "X1", "X2", "C10", "G1", "N6"}
    assert named <= set(all_claims())
