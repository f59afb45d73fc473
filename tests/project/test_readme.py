"""Every number in the README that was measured stands in a record, and the README says what the record says."""

import json
import os
import re
from importlib.metadata import distribution
from pathlib import Path

import pytest

from verify.claims import all_claims
from verify.environment import source_digest
from verify.records import read_run

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
WORDS = " ".join(README.split())
OF_A_RUN = ("0.283", "0.5%", "6%", "2%", "1%")
OF_RECORDS = ("2.2", "0.6", "3.8", "0.4", "0.7", "0.04", "83.8%", "94.6%")
OF_THE_INSTALLATION = ("1.8", "0.75")
SETTINGS = ("0.25", "1.5", "3.11")
"""The bias ζ² of the quadratic, an order, and Python's version: chosen, not measured."""


def test_no_number_is_without_a_check():
    """Decimals and percentages before the list of claims, outside of code and of the table of speeds."""
    prose = README.partition("## The claims")[0]
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)|arXiv \d+\.\d+|^\|.*$|^    .*$", "", prose, flags=re.MULTILINE)
    numbers = set(re.findall(r"\d+\.\d+%?|\d+%", prose))
    assert numbers == {*OF_A_RUN, *OF_RECORDS, *OF_THE_INSTALLATION, *SETTINGS}


def test_the_tables_say_what_the_records_say():
    speeds = json.loads((ROOT / "benchmarks" / "losses_table.json").read_text())["summary"]
    for name, label in (
        ("published", "the clamped power sums"),
        ("eager", "`MutualLoss` |"),
        ("compiled", "`torch.compile`"),
    ):
        row = next(line for line in README.splitlines() if line.startswith("|") and label in line)
        for students in (2, 4):
            assert f"| {speeds[f'{name}, K = {students}']['mean']:.2f} |" in row
    table = (ROOT / "docs" / "trainer.md").read_text()
    assert "2.2 [0.6, 3.8] points" in README
    assert "**+2.22 [+0.62, +3.83]**" in table
    peers = json.loads((ROOT / "benchmarks" / "wrong_peer_table.json").read_text())["summary"]
    kl, high, clipped = (
        next(row for row in peers if row["arm"] == f"{name}, wrong peer")
        for name in ("α = 1", "α = 16", "KL, pulls clipped")
    )
    assert (
        f"reach {100 * kl['accuracy']:.1f}% at α = 1 (Kullback–Leibler) and {100 * high['accuracy']:.1f}% at" in WORDS
    )
    assert high["accuracy difference"][0] < 0 < high["accuracy difference"][1]  # as alone
    assert f"{100 * clipped['accuracy']:.1f}" == f"{100 * high['accuracy']:.1f}"
    assert clipped["nll"] < high["nll"]
    assert "one student in 16 stops learning" in WORDS
    assert "1 of 16 |" in table
    assert "16 steps with a biased gradient takes `worst_case` 0.4 to 0.7 s" in WORDS
    assert "and the check of the certificate 0.04 s" in WORDS
    assert "| | 16 | 0.4 to 0.7 | 0.04 |" in (ROOT / "benchmarks" / "README.md").read_text()


def cells(start):
    """The rows of the table that begins so, a list of cells each; an empty first cell repeats the last."""
    rows, name = [], ""
    for line in README.partition(start)[2].partition("\n\n")[0].splitlines()[2:]:
        row = [cell.strip() for cell in line.strip("|").split("|")]
        name = row[0] = row[0] or name
        rows.append(row)
    return rows


def test_the_table_of_peers_says_what_was_measured():
    record = json.loads((ROOT / "benchmarks" / "peers_table.json").read_text())
    versions = record["environment"]["versions"]

    def told(number):
        return "NaN" if number is None else f"{number:.2g}".replace("e-0", "e-")

    rows = cells("| | order | value, near")
    for row, found in zip(rows, record["losses"], strict=True):
        package = re.sub(r"[ ,].*", "", found["peer"].removeprefix("the ").replace("torch.nn.", "torch "))
        assert package in row[0]
        assert versions.get(package, "").partition("+")[0] in row[0]
        negative = f" ({found['near']['negative']} of 32 negative)" if found["near"]["negative"] else ""
        errors = [told(found[kind][of]) for kind in ("near", "confident") for of in ("value", "gradient")]
        time = "" if found["time"] is None else f"{found['time']:.2f}".removesuffix(".00")
        assert row[1:] == [str(found["order"]), errors[0] + negative, *errors[1:], time]
    assert {row["confident"]["not finite"] for row in record["losses"] if "InfoLM" in row["peer"]} == {32}
    assert "InfoLM's is NaN for every pair" in WORDS
    kd_lib = record["KD_Lib"]
    assert kd_lib == {"students": 4, "forward passes": 32, "default loss": "MSELoss"}
    assert f"(`kd-lib=={versions['kd-lib']}`) {kd_lib['forward passes']} forward passes" in WORDS
    worst = {(row["by"], row["bias"]): row for row in record["worst cases"]}
    for row in cells("| | ζ² = 0 | ζ² = 1"):
        name = re.match(r"`?(\w+)", row[0])[1]
        assert versions.get(name.lower(), "") in row[0]
        found = [worst[name, bias] for bias in (0.0, 1.0) if (name, bias) in worst]
        assert row[1:3] == [*(f"{one['value']:.6f}" for one in found), *row[2:3]][:2]
        assert row[3] == ", ".join(f"{one['seconds']:.2g}" for one in found)
    checked = [worst["the check of its certificate", bias]["seconds"] for bias in (0.0, 1.0)]
    assert "in {:.2g} and {:.2g} s |".format(*checked) in README
    assert worst["AutoLyap", 0.0]["value"] < worst["worst_case", 0.0]["value"]  # too low


def differences(name):
    """Of a table of objectives: the cells of each row, less independent training, KL, and KL of the same weight."""
    part = (ROOT / "docs" / "trainer.md").read_text().partition(f"<!-- {name} -->")[2].partition("<!-- end -->")[0]
    rows = part.partition("| accuracy (points)")[2].partition("\n\n")[0].splitlines()[2:]
    return {row.split("|")[1].strip(): [cell.strip() for cell in row.split("|")[2:5]] for row in rows}


def test_what_did_not_hold_up_is_what_the_tables_do_not_resolve():
    """A resolved difference is bold; docs/trainer.md is held against the records by the tests of the trainer."""
    constant = {name: row for name, row in differences("trainer_mnist1d_table.json").items() if "rising" not in name}
    assert "no order at a constant weight differs from Kullback–Leibler" in WORDS
    assert len(constant) == 7
    assert not any(cell.startswith("**") for row in constant.values() for cell in row[1:])
    assert "on Fashion-MNIST nothing differs" in WORDS
    fashion = differences("trainer_fashion_mnist_table.json")
    assert len(fashion) == 7
    assert not any(cell.startswith("**") for row in fashion.values() for cell in row)
    assert "on a small CIFAR-10 no objective beats independent training" in WORDS
    cifar = differences("trainer_cifar10_small_table.json")
    assert len(cifar) == 7
    assert not any(row[0].startswith("**+") for row in cifar.values())


def test_the_table_of_speeds_says_what_is_kept_and_how_it_was_measured():
    records = json.loads((ROOT / "benchmarks" / "losses_table.json").read_text())["records"]
    kept = {(r["students"], r["saved_kl_div"], r["saved_eager"]) for r in records}
    assert kept == {(2, 4, 2), (4, 24, 4)}
    speeds = README.partition("how accurate losses are")[0].splitlines()
    rows = [line.split("|")[-2].strip() for line in speeds if line.startswith("| ") and "`MutualLoss`" in line]
    assert rows == ["4", "4"]  # the compiled one is held by the tests of the losses
    assert "Kullback–Leibler only | 1 | 1 | 24 |" in README
    assert len({(r["rows"], r["classes"]) for r in records}) == 5
    assert len({r["alpha"] for r in records}) == 3
    assert "over five sizes and three orders" in WORDS


def what_a_run_found(run):
    """The numbers of `OF_A_RUN` from the records of a run, as the README writes them."""

    def values(claim, name):
        (record,) = (c for c in run.claims if c.id == claim)
        found = [c.observed for check in record.checks for c in check.comparisons if re.match(name, c.name)]
        assert found, f"{claim} compares nothing named {name}"
        return found

    (last,) = values("E1", r"mean of ‖∇f\(x_t\)‖² on the quadratic, .*ζ² = 0.25 for t from 10000 to 100000")
    least = min(values("E4", r"least A²/bound over h in \(0, 2\)"))
    networks = max(values("N4", r"‖b‖² over the bound by the .*, greatest on the path"))
    plateaus = max(values("N5", r"\|‖∇L‖/stated - 1\| at the end"))
    annealed = max(values("C6", r"‖∇L‖² after \d+ steps with decreasing (order|weight)"))
    return {
        "0.283": f"{last:.3f}" == "0.283",
        "0.5%": 0.004 < 1 - least <= 0.005,
        "6%": 0.05 < networks < 0.06,
        "2%": 0.01 < plateaus <= 0.02,
        "1%": annealed < 0.01,
    }


@pytest.fixture(scope="module")
def verified():
    """A run of all claims by the present sources, in `results`, as CI has it before the tests."""
    path = ROOT / "results" / "results.json"
    if not path.exists() or (run := read_run(path)).environment.source_digest != source_digest():
        pytest.skip("results/ holds no run of these sources: `make verify` makes one")
    if run.profile != "quick" or run.seed != 0 or len(run.claims) < len(all_claims()):
        pytest.skip("the README tells of all claims in the quick profile with seed 0")
    return run


def test_it_says_what_a_run_finds(verified):
    assert "at 0.283 from step 100 to step 100,000" in WORDS
    assert what_a_run_found(verified) == dict.fromkeys(OF_A_RUN, True)


def test_the_report_of_all_claims_can_be_sent_by_mail(verified):
    assert (ROOT / "results" / "report.html").stat().st_size < 3_000_000


@pytest.mark.slow
def test_the_size_of_an_installation():
    """To a tenth; of the environment that `make install` creates."""
    torch = sum(path.stat().st_size for f in distribution("torch").files or () if (path := Path(f.locate())).is_file())
    assert torch == pytest.approx(0.75e9, rel=0.1)
    folder = ROOT / ".venv"
    if not (folder / ".installed").exists():
        pytest.skip("not installed by make")
    sizes = (os.lstat(os.path.join(where, name)).st_size for where, _, names in os.walk(folder) for name in names)
    assert sum(sizes) == pytest.approx(1.8e9, rel=0.1)
    assert "holds 1.8 GB, of which 0.75 are torch" in WORDS


def test_the_table_of_claims_holds_each_once_with_its_kind():
    """A row names claims, or the first and the last of some, and the kinds that they have."""
    claims, told = all_claims(), []
    order = list(claims)
    for line in README.partition("| id | statement | kind |")[2].partition("\n\n")[0].splitlines()[2:]:
        names, _, kind = (cell.strip() for cell in line.replace("\\|", "").strip("|").split("|"))
        row = []
        for name in names.split(", "):
            first, _, last = name.partition("–")
            row += order[order.index(first) : order.index(last or first) + 1]
        assert kind == ", ".join(sorted({claims[name].direction for name in row})), names
        told += row
    assert sorted(told) == sorted(order), f"not in the table once each: {set(told) ^ set(order) or told}"


def test_its_links_lead_somewhere():
    for text in (README, (ROOT / "CONTRIBUTING.md").read_text(), (ROOT / "verify" / "abstract.md").read_text()):
        base = ROOT / "verify" if text.startswith("# The paper") else ROOT
        for link in re.findall(r"\]\((?!https?:)([^)#\s]+)", text):
            assert (base / link).exists(), link
