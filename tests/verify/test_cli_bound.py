"""`rdml bound` and `rdml advise`: the calculator of bounds, forwards and backwards."""

import json
import re

import numpy as np
import pytest
from program import complains, narrow, rdml


def test_bound():
    result = rdml("bound", "--smoothness", "1", "--step", "1", "--bias", "0.01", "--steps", "8", "--json")
    document = json.loads(result.stdout)
    totals = {row["bound"]: row["total"] for row in document["bounds"]}
    assert totals["classical"] == pytest.approx(0.26)
    assert totals["sharp"] == pytest.approx(0.26)
    for row in document["bounds"]:
        assert row["transient"] + row["noise"] + row["bias"] == pytest.approx(row["total"])
    table = rdml("bound", "--smoothness", "1", "--step", "1.5", "--pl-constant", "0.1")
    assert table.returncode == 0
    assert "not applicable, classical" in table.stdout
    told = rdml("bound", "--smoothness", "1", "--step", "0.5", "--noise", "0.1", "--bias", "0.01", "--gap", "2").stdout
    assert "Λη = 0.5, T = 1000, Δ = 2" in told
    words = ["bound", "--smoothness", "1", "--step", "0.5", "--noise", "0.1234567", "--pl-constant", "0.01"]
    numbers = re.findall(r"\d+[.\d]*e?[-\d]*", rdml(*words).stdout)
    for width in (40, 60, 80):
        printed = narrow(*words, width=width).stdout
        assert all(part in printed for part in ("Polyak-Łojasiewicz", *numbers))
        assert all(len(line) <= width for line in printed.splitlines() if not re.search("The|steps|not app", line))
    # Of the tight bound, the least: not of the floor, which is lower, but holds for no number of steps.
    assert "averaged over the 1000 steps, is at most 0.0579841" in told
    assert "0.0193619 of it is due to the bias." in told
    complains(rdml("bound", "--smoothness", "1", "--step", "3"), "the sharp bound", "Λη", "below 2")
    complains(rdml("bound", "--smoothness", "-1", "--step", "0.5"), "smoothness = -1.0")


def test_bound_of_a_cohort():
    words = ["bound", "--cohort", "--smoothness", "0.5", "--step", "1", "--alpha", "2", "--beta", "0.1"]
    told = json.loads(rdml(*words, "--log-ratio-range", "3", "--divergence", "0.8", "--json").stdout)
    totals = {row["bound"]: row["total"] for row in told["bounds"]}
    assert list(totals) == ["cohort, D15", "floor, D15"]
    assert totals["floor, D15"] == pytest.approx(2 * 0.01 * (1 - np.exp(-0.8)))
    complains(rdml(*words[:-2]), "--beta")
    complains(rdml(*words, "--bias", "1"), "--cohort finds the bias")
    complains(rdml("bound", "--smoothness", "1", "--step", "1", "--alpha", "2"), "--cohort; add it")
    complains(rdml(*words, "--divergence", "-1"), "divergence", "-1")


def test_advise():
    words = ["advise", "--students", "4", "--risk", "0.38775510204081637", "--log-ratio-range", "2"]
    told = json.loads(rdml(*words, "--jacobian", "3", "--json").stdout)
    assert told["alpha"] == pytest.approx(2.0)
    assert told["product"] == pytest.approx(1.0)
    assert told["bias"] == pytest.approx(2 * 0.25 * 9)
    assert told["step_share"] == pytest.approx(3 / 7)
    assert "order α = 2, weight β = 0.5" in rdml(*words).stdout
    complains(rdml(*words[:-4], "--risk", "0.2", "--log-ratio-range", "2"), "risk = 0.2", "above 1/K = 0.25")
    former = ["--gain" if word == "--risk" else word for word in words]
    assert json.loads(rdml(*former, "--json").stdout)["risk"] == told["risk"] == pytest.approx(0.38775510204081637)


def test_bound_with_momentum_and_exactly():
    words = ["bound", "--smoothness", "1", "--bias", "1", "--steps", "8", "--exact", "--json", "--step"]
    plain = json.loads(rdml(*words, "0.5").stdout)
    totals = {row["bound"]: row["total"] for row in plain["bounds"]}
    assert plain["answers"]["exact worst case"] == pytest.approx(1.2370, abs=1e-4)
    assert plain["answers"]["exact worst case"] == pytest.approx(totals["stepwise"], rel=1e-6)
    assert totals["stepwise"] < totals["tight"]
    moving = json.loads(rdml(*words, "0.01", "--momentum", "0.9", "--nesterov").stdout)
    totals = {row["bound"]: row["total"] for row in moving["bounds"]}
    assert set(totals) == {"momentum", "stepwise"}
    assert moving["answers"]["exact worst case"] <= totals["stepwise"] * (1 + 1e-9) < totals["momentum"]
    long = rdml("bound", "--smoothness", "1", "--step", "0.5", "--steps", "100", "--exact")
    assert "not applicable, exact worst case: steps = 100" in long.stdout
    complains(rdml("bound", "--smoothness", "1", "--step", "0.5", "--momentum", "1.5"), "momentum = 1.5")


def test_bound_says_what_does_not_apply_without_names_of_functions():
    told = rdml("bound", "--smoothness", "1", "--step", "0.5", "--relative-bias", "0.25", "--noise", "1", "--json")
    reasons = json.loads(told.stdout)["not applicable"]
    assert "relative bias = 0.25: the best iterate bound holds if both are 0; use the sharp" in reasons["best iterate"]
    assert "the bias horizon holds" in reasons["steps after which bias outweighs transient"]
    assert "_" not in "".join(reasons.values())


def test_bound_ignores_no_option():
    words = ["bound", "--smoothness", "1", "--step", "0.01"]
    complains(rdml(*words, "--nesterov"), "--momentum")
    complains(rdml(*words, "--beta", "1"), "--target")
    complains(rdml(*words, "--log-ratio-range", "3"), "--log-ratio-range is for --cohort, or for the largest order")
    complains(rdml(*words, "--target", "1", "--jacobian", "1"), "--jacobian goes with --beta")
    cohort = [*words, "--cohort", "--alpha", "2", "--beta", "1", "--target", "0.1"]
    complains(rdml(*cohort), "without --bias", "and --target")
    told = rdml(*words, "--momentum", "0.9", "--pl-constant", "0.1", "--json")
    assert "without momentum" in json.loads(told.stdout)["not applicable"]["Polyak-Łojasiewicz"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--pl-constant 0", "--pl-constant 0: expected a number above 0 and at most Λ = 1"),
        ("--pl-constant 2", "--pl-constant 2: expected"),
        ("--pl-constant nan", "--pl-constant nan: expected"),
        ("--target 1 --beta -1", "--beta -1: expected a number of at least 0"),
        ("--target 1 --beta 1 --jacobian -2", "--jacobian -2: expected"),
        ("--target 1 --beta 1 --log-ratio-range nan", "--log-ratio-range nan: expected"),
        ("--noise 0,5", "'0,5': expected a number such as 0.5 or 1e-3"),
        ("--steps 1e3", "'1e3': expected an integer of at least 1, and at most 1,000,000,000,000,000,000"),
        ("--steps 0", "'0': expected an integer of at least 1"),
    ],
)
def test_impossible_numbers_are_wrong_usage(words, said):
    complains(rdml("bound", "--smoothness", "1", "--step", "0.1", *words.split()), said)


def test_inverse_questions():
    words = ["bound", "--smoothness", "1", "--step", "0.5", "--bias", "0.01", "--target", "0.05"]
    document = json.loads(rdml(*words, "--beta", "1", "--json").stdout)
    assert set(document["answers"]) == {
        "steps after which bias outweighs transient", "largest step", "largest squared bias", "largest order",
    }  # fmt: skip
    again = json.loads(rdml(*words[:-4], "--bias", document["answers"]["largest squared bias"], "--json").stdout)
    assert {row["bound"]: row["total"] for row in again["bounds"]}["sharp"] == pytest.approx(0.05)
    totals = {row["bound"]: row["total"] for row in document["bounds"]}
    assert totals["tight"] <= totals["refined"] <= totals["sharp"]
    refused = rdml(*words[:-1], "0.001")
    assert refused.returncode == 0
    assert "not applicable, largest squared bias: target = 0.001" in refused.stdout


def test_bound_beyond_the_range_of_floats():
    def refuse(name):
        pytest.fail(f"{name} is not JSON")

    words = ["bound", "--smoothness", "1e-300", "--step", "1e299", "--gap", "1e308", "--pl-constant", "1e-301"]
    for more in (["--noise", "1e308", "--bias", "1e308"], ["--steps", 10**18]):
        result = rdml(*words, *more, "--json")
        assert (result.returncode, result.stderr) == (0, "")
        json.loads(result.stdout, parse_constant=refuse)
        assert rdml(*words, *more).stderr == ""
    result = rdml("bound", "--smoothness", "1", "--step", "1e-300", "--gap", "1e300", "--steps", "1", "--json")
    assert json.loads(result.stdout, parse_constant=refuse)["bounds"][0]["total"] == "Infinity"
    assert result.stderr == ""
