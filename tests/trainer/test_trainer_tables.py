"""The tables of the trainer's page are those of the records, and its words say what the records say."""

import importlib
import json
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from convergence import Assumptions, sharp_bound
from verify.trainer.comparison import paired_interval, read_comparison
from verify.trainer.errors import TrainerError

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("trainer_mnist1d_table", "trainer_fashion_mnist_table", "trainer_cifar10_small_table")


def benchmark(name):
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(ROOT / "benchmarks")
        return importlib.import_module(name)


def test_a_run_goes_on_only_where_it_began(tmp_path):
    record = benchmark("record")
    path = tmp_path / "record.json"
    assert record.left(path, command="a") is None
    made = {"command": "a", **record.where()}
    record.keep(path, made)
    assert record.left(path, command="a") == made
    with pytest.raises(SystemExit, match="command 'a', not 'b'"):
        record.left(path, command="b")
    record.keep(path, made | {"processor": "another"})
    with pytest.raises(SystemExit, match="processor 'another'"):
        record.left(path, command="a")


@pytest.fixture(scope="module")
def tables():
    return benchmark("trainer_tables")


@pytest.fixture(scope="module")
def peers():
    return benchmark("measure_wrong_peer")


@pytest.fixture(scope="module")
def law():
    return benchmark("measure_gain_law")


@pytest.fixture(scope="module")
def cohorts():
    return benchmark("measure_cohort_bound")


def alike(found, recorded):
    """Equal but for numbers by roundings: quantiles of Student's law differ by 1e-11 between versions of SciPy."""
    if isinstance(recorded, dict):
        return found.keys() == recorded.keys() and all(alike(found[key], recorded[key]) for key in recorded)
    if isinstance(recorded, list | tuple):
        return len(found) == len(recorded) and all(map(alike, found, recorded))
    return found == (pytest.approx(recorded, rel=1e-9, abs=0) if isinstance(recorded, float) else recorded)


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


@pytest.mark.parametrize("name", NAMES)
def test_a_record_from_before_the_arms_were_recorded_reads_the_same(name, tmp_path):
    content = json.loads((ROOT / "benchmarks" / f"{name}.json").read_text())
    arms = content.pop("arms")
    assert len(arms) == len(content["scores"])
    old = tmp_path / "comparison.json"
    old.write_text(json.dumps(content))
    assert read_comparison(old) == record(name)
    # Arms of another table are refused, not guessed again.
    old.write_text(json.dumps(content | {"arms": arms[1:]}))
    with pytest.raises(TrainerError, match="its arms are not those that have scores"):
        read_comparison(old)


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


def test_what_the_page_says_of_cifar10():
    table = record(NAMES[2])
    strong, half = "KL, β = 4", "RDML, α = 0.5"
    kl = "DML (KL)"
    assert resolved(table) == {(strong, "independent"): -1, (strong, kl): -1, (half, kl): 1}
    assert not any(sum(metrics["lost"]) for metrics in table.scores.values())


def test_what_the_page_says_of_the_lattice():
    for name, samples in ((NAMES[0], 1000), (NAMES[1], 10_000)):
        table = record(name)
        assert table.samples == 0
        known = replace(table, samples=samples)
        for pair in table.pairs:
            own, other = (t.difference(*pair, "accuracy", len(table.pairs)) for t in (table, known))
            assert np.abs(np.subtract(own, other)).max() < 2e-5


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


WRONG_PEERS = {
    "mnist1d": "wrong_peer_mnist1d_table",
    "fashion": "wrong_peer_fashion_table",
    "digits": "wrong_peer_table",
}


def bad_peers(data):
    return json.loads((ROOT / "benchmarks" / f"{WRONG_PEERS[data]}.json").read_text())


@pytest.mark.parametrize("data", WRONG_PEERS)
def test_the_page_on_orders_has_the_table_of_bad_peers(peers, data):
    text, record = (ROOT / "docs" / "which_order.md").read_text(encoding="utf-8"), bad_peers(data)
    assert f"<!-- {WRONG_PEERS[data]}.json -->\n\n{peers.markdown(record)}\n\n<!-- end -->" in text
    assert record["command"] in text
    again = {row["arm"]: row for row in peers.summary(record["scores"])}
    assert all(alike(again[row["arm"]], row) for row in record["summary"])
    assert {len(scores) for scores in record["scores"].values()} == {8}


def test_the_figure_of_bad_peers_draws_what_the_record_says(peers):
    record = bad_peers("digits")
    accuracy, nll, influence = peers.panels(record)
    rows = {row["arm"]: row for row in record["summary"]}
    drawn = {curve.label: dict(zip(curve.x, curve.y, strict=True)) for curve in accuracy.curves}
    apart = 100 * (rows["α = 2, wrong peer"]["accuracy"] - rows["alone"]["accuracy"])
    assert drawn["wrong peer"][2.0] == pytest.approx(apart)
    assert drawn["good peers, KL, $\\beta$ = 1/16"][1.0] == pytest.approx(
        100 * (rows["KL, β = 1/16"]["accuracy"] - rows["alone"]["accuracy"])
    )
    assert [curve.low[0] > 0 for curve in nll.curves if curve.label == "wrong peer"] == [True]
    pulls = next(curve for curve in influence.curves if curve.label == "pulls, $\\alpha$ = 4")
    assert (min(pulls.x), max(pulls.y)) == tuple(
        end(pair[place] for found in record["pulls"].values() for pair in found["4"])
        for place, end in enumerate((min, max))
    )
    assert "figures/wrong_peer.png" in (ROOT / "docs" / "which_order.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("data", "peer", "name"),
    [("digits", "two", "α = 8"), ("mnist1d", "noisy", "KL, pulls clipped"), ("digits", "shifted", "α = 16")],
)
def test_a_cell_of_the_record_of_bad_peers_is_measured_again(peers, data, peer, name):
    arm = next(arm for arm in peers.ARMS if arm.name == name)
    found = peers.run(peers._data(data, ROOT), peer, arm, 3, 100)
    told = bad_peers(data)["scores"][f"{name}{peers._end(peer)}"][3]
    # Thousands of float32 steps, in the order of summation of another library.
    assert found[1] == pytest.approx(told[1], rel=1e-3)
    assert found[0] == pytest.approx(told[0], abs=3e-3)


def test_the_pulls_of_the_record_are_bounded_and_measured_again(peers):
    pulls = bad_peers("digits")["pulls"]
    assert set(pulls) == set(peers.PEERS) - {"none", "two"}
    for peer, found in pulls.items():
        for alpha in peers.SHOWN:
            rho, pull = np.array(found[f"{alpha:g}"]).T
            assert (pull <= (1 + 1e-5) * peers.bound(alpha, rho)).all(), peer
        assert (pull > 0.9 * peers.bound(alpha, rho)).any(), f"{peer} comes nowhere near at α = 16"
    again = np.array(peers.pulls(peers._data("digits", ROOT), "untrained", 16.0, 0, 100))
    assert again == pytest.approx(np.array(pulls["untrained"]["16"]), rel=1e-3)


def test_the_networks_of_the_measurement_descend_their_gradients(peers):
    rng = np.random.default_rng(0)
    x, targets = rng.standard_normal((7, 3)), rng.standard_normal((2, 4, 7))
    layers = [rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 4, 5))]
    slopes = peers._slopes(layers, x, out := peers._forward(layers, x.T), out[-1] - targets)
    for at, slope in enumerate(slopes):
        way, losses = rng.standard_normal(slope.shape), []
        for share in (1e-6, -1e-6):
            end = peers._forward([*layers[:at], layers[at] + share * way, *layers[at + 1 :]], x.T)[-1]
            losses.append(((end - targets) ** 2).sum() / (2 * len(x)))
        assert (losses[0] - losses[1]) / 2e-6 == pytest.approx((slope * way).sum(), rel=1e-5)


def test_clipped_pulls_are_bounded_one_by_one(peers):
    logits = np.random.default_rng(0).standard_normal((3, 10, 50)).astype(np.float32)
    logits[2] *= 100
    q, arm = peers._softmax(logits), next(arm for arm in peers.ARMS if arm.instead == "pulls")
    pull = peers._pulled(logits, q, 0, arm) - q[0]
    parts = [(p := q[j] - q[0]) * np.minimum(1, np.sqrt(2) / 16 / np.linalg.norm(p, axis=0)) for j in (1, 2)]
    assert pull == pytest.approx(np.mean(parts, axis=0), abs=1e-6)
    assert np.linalg.norm(parts[1], axis=0) == pytest.approx(np.sqrt(2) / 16, rel=1e-5)


def gain_law():
    return json.loads((ROOT / "benchmarks" / "gain_law_table.json").read_text())


def test_the_page_on_orders_has_the_table_of_the_gain_law(law):
    text, record = (ROOT / "docs" / "which_order.md").read_text(encoding="utf-8"), gain_law()
    assert f"<!-- gain_law_table.json -->\n\n{law.markdown(record)}\n\n<!-- end -->" in text
    assert record["command"] in text
    assert alike(json.loads(json.dumps(law.summary(record["runs"]))), record["summary"])
    assert [run["setting"] for run in record["runs"]] == [asdict(setting) for setting in law.SETTINGS]


def test_a_split_of_the_record_of_the_gain_law_is_measured_again(law):
    setting = law.SETTINGS[1]
    found = law.split(setting, *law._data(setting, ROOT), 5)
    assert found == pytest.approx(gain_law()["runs"][1]["splits"][5], rel=1e-5)


def test_what_the_page_says_of_the_gain_law(law):
    rows = [row for row in gain_law()["summary"] if not row["without a minimum"]]
    assert len(rows) == 7

    def missed(arm, kind, stated):
        places = [(i, row[arm][kind]) for i, row in enumerate(rows)]
        return [i for i, (_, low, high) in places if not low <= stated <= high]

    parts = {arm: part / 0.75 for arm, part in law.arms().items()}
    missing = {arm: missed(arm, "of pooling", parts[arm]) for arm in law.PAIRS}
    assert missing == {
        "α = 1, β = 0.25": [1, 2, 3, 4, 5], "α = 0.25, β = 4": [], "α = 1, β = 1": [2, 3, 4, 5],
        "α = 4, β = 0.25": [3, 5], "α = 16, β = 0.0625": [1, 2], "α = 1, β = 4": [],
    }  # fmt: skip
    for arm, most in (("α = 1, β = 0.25", 0.11), ("α = 1, β = 1", 0.06)):
        over = [row[arm]["of pooling"][0] - parts[arm] for row in rows]
        assert all(0 < value < most for value in over)
        assert all(over[i] < 0.021 for i in (0, 1, 5, 6))
    for arm in law.arms():
        if arm != "α = 16, β = 0.0625":
            assert not set(missed(arm, "over law", 1.0)) & {0, 1, 5, 6}
            assert 3 in missed(arm, "over law", 1.0)


def test_what_the_page_says_of_clipped_pulls(peers):
    differences = []
    for data in ("digits", "mnist1d", "fashion"):
        scores = bad_peers(data)["scores"]
        for end in map(peers._end, peers.PEERS):
            if f"α = 16{end}" in scores:
                clipped, alpha = (np.array(scores[name + end])[:, 1] for name in ("KL, pulls clipped", "α = 16"))
                differences.append(clipped - alpha)
    assert len(differences) == 20
    assert (paired_interval(differences, 0.05 / 20)[1] < 0).all()
    means = np.mean(differences, axis=1)
    for own, least, most in ((means[:7], -0.039, -0.016), (means[7:13], -0.034, -0.021), (means[13:], -0.041, -0.017)):
        assert (own.min().round(3), own.max().round(3)) == (least, most)


def test_what_the_page_says_of_networks_on_fashion_mnist(peers):
    rows = {row["arm"]: row for row in bad_peers("fashion")["summary"]}

    def orders(peer, metric, end, sign):
        """The orders at which an end of the interval of the difference from students alone has a sign."""
        every = {a: rows[f"α = {a:g}{peers._end(peer)}"][f"{metric} difference"][end] for a in peers.ORDERS}
        return [a for a, value in every.items() if sign * value > 0]

    def lowest(peer):
        return sorted(peers.ARMS, key=lambda arm: rows[arm.name + peers._end(peer)]["nll"])

    assert orders("none", "accuracy", 0, 1) == [0.25, 0.5, 1.0, 2.0, 8.0]
    assert orders("none", "nll", 1, -1) == [0.25, 0.5, 1.0, 2.0]
    kl = rows["KL, β = 1/16"]
    assert kl["accuracy difference"][0] > 0 > kl["nll difference"][1]
    for peer in ("wrong", "shifted", "diverged", "two"):
        assert orders(peer, "accuracy", 1, -1) == [0.25, 0.5, 1.0]
        means = [rows[f"α = {a:g}{peers._end(peer)}"]["accuracy"] for a in peers.ORDERS]
        assert means[:5] == sorted(means[:5])
        assert np.abs(np.array(means[4:]) - rows["alone"]["accuracy"]).max() < 0.006
        assert set(orders(peer, "nll", 0, 1)) >= {0.25, 0.5, 1.0, 2.0, 4.0}
        assert not orders(peer, "nll", 1, -1)
        assert orders(peer, "accuracy", 0, 1) == ([4.0] if peer == "shifted" else [])
    assert orders("noisy", "accuracy", 0, 1) == [0.25, 0.5, 1.0, 2.0]
    assert max((row["accuracy"], arm) for arm, row in rows.items())[1] == "α = 0.25, noisy peer"
    assert orders("noisy", "nll", 1, -1) == [0.25]
    assert orders("noisy", "nll", 0, 1) == [0.5, 1.0]
    assert not orders("untrained", "accuracy", 1, -1)
    assert orders("untrained", "accuracy", 0, 1) == [16.0]
    assert orders("untrained", "nll", 0, 1) == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    clipped, out = "KL, pulls clipped", "KL, farthest peer left out"
    for peer in ("wrong", "shifted", "untrained", "diverged"):
        assert [arm.name for arm in lowest(peer)[:2]] == [out, clipped]
    assert [arm.name for arm in lowest("noisy")[:3]] == [out, "α = 0.25", clipped]
    assert lowest("two")[0].name == clipped
    assert 100 * (rows["alone"]["accuracy"] - rows[f"{out}, two wrong peers"]["accuracy"]) == pytest.approx(2, abs=0.3)
    for peer in ("wrong", "diverged"):
        row = rows[clipped + peers._end(peer)]
        assert row["accuracy difference"][0] > 0 > row["nll difference"][1]
    low, high = rows[f"{clipped}, two wrong peers"]["nll difference"]
    assert low < 0 < high


def cohort_bounds():
    return json.loads((ROOT / "benchmarks" / "cohort_bound_table.json").read_text(encoding="utf-8"))


def test_the_page_on_bounds_has_the_table_of_the_games(cohorts):
    text, record = (ROOT / "docs" / "bounds.md").read_text(encoding="utf-8"), cohort_bounds()
    assert f"<!-- cohort_bound_table.json -->\n\n{cohorts.markdown(record)}\n\n<!-- end -->" in text
    assert record["command"] in text
    assert {row["game"] for row in record["rows"]} == set(cohorts.GAMES)
    *_, row = (row for row in record["rows"] if row["game"] == "linear students")
    assert alike(cohorts.measure(row["game"], row["alpha"], boxed=False), row["students"])


def test_what_the_page_says_of_the_games(cohorts):
    shares = np.array([student for row in cohort_bounds()["rows"] for student in row["students"]])
    gains = shares[:, 1:] / shares[:, :-1]
    assert shares.max() < 1
    assert gains.min() > 0.99  # three digits are kept
    gain = dict(zip(cohorts.COLUMNS[1:], gains.max(axis=0), strict=True))
    told = [gain[f"and {what}"] for what in ("the fall of L", "Λ of each step", "G of each step")]
    assert np.round(told, 1).tolist() == [8.1, 1.1, 1.3]
    assert np.round([100 * shares[:, -1].min(), 100 * shares[:, -1].max()], 2).tolist() == [0.07, 86.7]


@pytest.mark.parametrize("h", [0.4, 1.3])
def test_with_the_same_constants_at_each_step_the_bound_is_that_of_the_theorem(cohorts, h):
    step, zeta = 0.5, 0.3
    stated = sharp_bound(Assumptions(smoothness=h / step, gap=2.0, noise=0, bias=zeta**2), step, 10).total
    assert cohorts.each_step(2.0, step, np.full(10, h), np.full(10, zeta)) == pytest.approx(stated, rel=1e-4)
    # A step with a smaller bias lowers it.
    assert cohorts.each_step(2.0, step, np.full(10, h), np.linspace(0, zeta, 10)) < 0.99 * stated
