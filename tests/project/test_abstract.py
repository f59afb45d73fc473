"""The paper's abstract, sentence by sentence: one table, for documentation, README and report."""

import re
from pathlib import Path

from verify.claims import all_claims
from verify.report import abstract

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_names_claims_that_exist():
    named = {name for sentence in abstract() for name in sentence.claims}
    assert len(abstract()) == 8
    assert named >= {"C2", "C3", "X1", "X2", "C10", "G1", "N6"}
    assert named <= set(all_claims())
    # What the words of a row rest on is in its list.
    for sentence in abstract():
        assert set(re.findall(r"\b[DCXGNE]\d+[a-e]?\b", sentence.finds)) <= set(sentence.claims)


def test_readme_and_documentation_say_the_same():
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("|")]
    for sentence in abstract():
        claims = ", ".join(sentence.claims) or "[benchmarks](benchmarks/README.md)"
        assert f"| {sentence.says} | {sentence.verdict} | {claims} |" in rows
    included = (ROOT / "docs" / "abstract.md").read_text()
    assert "{include} ../verify/abstract.md" in included
    assert "|" not in included
