"""The pages of the claims print what was certified and found while they were written."""

import importlib.util
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from rdml_theory.symbolic.kernel import RULES, terms
from verify.claims import all_claims
from verify.environment import source_digest
from verify.records import GROUPS, place_of

PATH = Path(__file__).resolve().parents[2] / "docs" / "claim_pages.py"


@pytest.fixture(scope="module")
def pages():
    spec = importlib.util.spec_from_file_location("claim_pages", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.page = cache(module.page)
    return module


def test_a_page_prints_certificates_and_tightness(pages):
    certified = pages.page(all_claims()["D13"])
    assert re.search(r"By exact calculus: a chain of \d+ exact signs .* \(`[0-9a-f]{16}`\)\.", certified)
    text = pages.page(all_claims()["D12"])
    assert "By the rules of the kernel, from the assumptions alone." in text
    found = re.search(r"Popoviciu: greatest ratio of the sides found: ([0-9.]+), at C = \d, α = ", text)
    assert found is not None
    assert 0.999 <= float(found[1]) <= 1


@pytest.mark.slow
def test_every_claim_has_a_page(pages, tmp_path):
    pages.write_pages(tmp_path, tmp_path / "no results")
    written = {path.name.partition("_")[0] for path in tmp_path.glob("*.md")}
    assert {name.lower() for name in all_claims()} <= written


def test_steps_are_one_list(pages):
    """Every line of a step is indented as far as its words, beyond the ninth step too."""
    lines = pages.page(all_claims()["D8"]).splitlines()
    tenth = next(n for n, line in enumerate(lines) if line.startswith("10. "))
    assert lines[tenth + 2] == "    $$"
    assert lines[tenth + 4] == "    $$"


def test_assumptions_are_parted_where_no_bracket_is_open(pages):
    assert pages._assumption("for drift: F(x; u) = F(x_{t + 1}; (u)); 0 < h", {"0 < h": "$0 < h$"}) == [
        "- for drift:", "  - F(x; u) = F(x_{t + 1}; (u))", "  - $0 < h$",
    ]  # fmt: skip
    assert len(pages._assumption("with momentum: a < 1; b < 1", {})) == 3


def test_the_table_of_evidence_counts(pages, monkeypatch):
    few = {i: all_claims()[i] for i in ("D1", "D10", "D12", "C4", "C8")}
    monkeypatch.setattr(pages, "all_claims", lambda: few)
    rows = [line for line in pages.evidence().splitlines() if line.startswith("| ")][2:]
    assert rows[0].startswith("| D1 | Student gradient | ")
    assert " | - | numeric | " in rows[0]
    assert rows[2] == "| D12 | Variance of bounded values | 18 | - | numeric | 4 | 0 |"
    assert all(int(row.split(" | ")[2]) > 10 for row in rows)


def test_the_page_of_evidence_tells_the_size_of_what_is_trusted(pages):
    told = "\n".join(pages._kernel())
    sizes = [int(size) for size in re.findall(r"`\w+\.py` \((\d+)\)", told)]
    folder = Path(terms.__file__).parent
    assert sum(sizes) == int(re.search(r"(\d+) together", told)[1])
    whole = [len((folder / f"{name}.py").read_text().splitlines()) for name in pages._TRUSTED]
    assert all(size < lines for size, lines in zip(sizes, whole, strict=True))
    assert sum(sizes) < 1700
    assert f"{len(RULES)} rules:" in told
    assert len(RULES) <= 21


def test_claims_are_in_natural_order_and_each_in_one_group(pages, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "page", lambda claim, drawn="": f"# {claim.id}\n")
    monkeypatch.setattr(pages, "evidence", lambda: "# evidence\n")
    (tmp_path / "d0_of_old.md").write_text("a claim that is no more")
    pages.write_pages(tmp_path, tmp_path / "no results")
    assert not (tmp_path / "d0_of_old.md").exists()
    gallery = (tmp_path / "gallery.md").read_text()
    assert "make verify" in gallery
    told = dict(re.findall(r"^\| \[(\w+)\]\(\w+\.md\) \| (.*) \|$", gallery, re.MULTILINE))
    assert told == {claim.id: claim.message for claim in all_claims().values()}
    listed = []
    for group in GROUPS:
        text = (tmp_path / f"{group.lower().replace(' ', '_')}.md").read_text()
        listed += re.findall(r"^\[([A-Z]\w+): ", text, re.MULTILINE)
        for name in text.partition(":hidden:")[2].split()[:-1]:
            assert (tmp_path / f"{name}.md").exists()
    assert sorted(listed, key=place_of) == list(all_claims())
    assert listed.index("C2") < listed.index("C2a") < listed.index("C10")


def test_a_page_says_what_the_claim_means_and_shows_its_figure(pages):
    claim = all_claims()["D13"]
    text = pages.page(claim, drawn='<svg width="316.8pt" height="200pt">')
    assert ":figclass: column" in text
    assert ":figclass:" not in pages.page(claim, drawn='<svg width="504pt" height="200pt">')
    assert text.index(claim.meaning) < text.index("figures/D13.svg") < text.index(claim.caption)
    assert text.index(claim.caption) < text.index("## Statement")
    assert claim.matters in text
    assert "figures/" not in pages.page(claim)


def test_figures_of_other_sources_are_not_shown(pages, tmp_path, monkeypatch):
    run = SimpleNamespace(environment=SimpleNamespace(source_digest="other"))
    (tmp_path / "results.json").write_text("{}")
    monkeypatch.setattr(pages, "read_run", lambda path: run)
    assert pages.recorded(tmp_path) is None
    run.environment.source_digest = source_digest()
    assert pages.recorded(tmp_path) is run


@pytest.mark.parametrize("claim", [c for c in all_claims().values() if c.in_code], ids=lambda claim: claim.id)
def test_the_function_that_a_claim_names_exists(claim, pages):
    module, _, function = claim.in_code.rpartition(".")
    assert callable(getattr(importlib.import_module(module), function))
    assert f"<{claim.in_code}>` of `{module}`" in pages._in_code(claim)


def test_mathematics_needs_no_network_or_ends_the_build():
    pytest.importorskip("sphinx")
    from docutils import nodes

    spec = importlib.util.spec_from_file_location("offline_math", PATH.parent / "offline_math.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    body = []
    with pytest.raises(nodes.SkipNode):
        module._inline(SimpleNamespace(body=body), nodes.math("", "x^2"))
    assert body[0].startswith("<math")
    with pytest.raises(module.ExtensionError, match="nonsense"):
        module._block(SimpleNamespace(body=body), nodes.math_block("", r"\nonsense{x}"))


def test_a_number_is_not_printed_below_words_that_give_it(pages):
    text = pages.page(all_claims()["C1"])
    assert "- **step-1.5**, used up to h = 3/2.\n\n- **no-bias**, the bias term dropped:\n\n  $" in text
