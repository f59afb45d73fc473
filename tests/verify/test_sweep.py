"""Sweeps: each cell once, kept by its content, the same numbers whoever computes, also after a kill."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import nullcontext
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from convergence import problems, simulate
from convergence.store import locked
from convergence.sweep import Cell
from verify.commands.problems import sweep_command
from verify.sweep import SweepError, read_cells, run_sweep

ROOT = Path(__file__).resolve().parents[2]

FILE = """
[[sweep]]
problem = ["quadratic_cosine", "double_well"]
h = [0.5, 2.5]
steps = 60
bias = [0.0, 0.04]
noise = 0.02
replicas = 16

[[sweep]]
problem = "mutual_learning"
step = 0.5
steps = 5
alpha = [0.5, 2.0]
students = 3
beta = 0.5
replicas = 8
"""


GAME = '[[sweep]]\nproblem = "mutual_learning"\nsteps = 3\nh = 1.0\n'


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text(FILE)
    return path


def numbers(result):
    return [cell.model_dump() for cell in result.cells]


def test_cells_are_crossed_and_kept_once(file, tmp_path):
    cells = read_cells(file)
    assert len(cells) == 2 * 2 * 2 + 2
    assert len({cell.key() for cell in cells}) == len(cells)
    twice = tmp_path / "twice.json"
    table = {"problem": "quadratic", "h": [0.5, 0.5], "steps": 3}
    twice.write_text(json.dumps({"sweep": [table, table]}))
    assert len(read_cells(twice)) == 1


def test_numbers_are_those_of_the_simulator_and_the_table_holds_them(file, tmp_path):
    result = run_sweep(read_cells(file), tmp_path / "out")
    first = result.cells[0]
    problem = problems.get("quadratic_cosine", noise=0.02, bias=0.0)
    run = simulate(problem, step=0.5 / problem.smoothness, steps=60, replicas=16, seed=0)
    assert first.average == run.mean_squared_gradient[-1].mean()
    assert first.low < first.average < first.high < first.bound
    assert first.outcome == "confirmed"
    # Beyond h = 2 nothing is asserted.
    assert {cell.outcome for cell in result.cells if cell.h > 2} == {None}
    rows = list(csv.DictReader((tmp_path / "out" / "sweep.csv").read_text().splitlines()))
    assert [float(row["average"]) for row in rows] == [cell.average for cell in result.cells]
    assert [row["students"] for row in rows] == [""] * 8 + ["3"] * 2


def test_finished_cells_are_not_computed_again(file, tmp_path, monkeypatch):
    cells = read_cells(file)
    part = run_sweep(cells[:4], tmp_path / "out")
    computed = []
    from verify import sweep

    original = sweep.run_cell
    monkeypatch.setattr(sweep, "run_cell", lambda cell, folder: computed.append(cell) or original(cell, folder))
    damaged, changed, *_ = sorted((tmp_path / "out" / "cells").iterdir())
    damaged.write_text("{")
    # Still a record, with one other digit.
    text = changed.read_text()
    digit = re.search(r'"average": \d*\.(\d)', text)
    assert digit
    changed.write_text(text[: digit.start(1)] + str((int(digit[1]) + 1) % 10) + text[digit.end(1) :])
    whole = run_sweep(cells, tmp_path / "out")
    assert (part.resumed, whole.resumed) == (0, 2)
    assert len(computed) == len(cells) - 2
    monkeypatch.undo()
    assert numbers(whole) == numbers(run_sweep(cells, tmp_path / "fresh"))


def test_the_example_of_the_documentation():
    pytest.importorskip("sklearn")
    cells = read_cells(ROOT / "docs" / "examples" / "games.toml")
    assert len(cells) == 30
    given = [cell.parameters for cell in cells if cell.problem == "mutual_learning"]
    assert {p["data"] for p in given} == {"breast_cancer", "iris"}
    assert {p.get("architecture") for p in given} == {None, "linear", "two-layer", "mixed"}
    assert {p["students"] for p in given} == {2, 4}
    models = [(c.parameters["noise_model"], c.parameters["bias_model"]) for c in cells if c.problem == "double_well"]
    assert len(set(models)) == 4


def test_another_setting_is_another_cell():
    plain = Cell(problem="quadratic", steps=10, h=0.5)
    others = [
        Cell(problem="quadratic", steps=11, h=0.5), Cell(problem="quadratic", steps=10, step=0.5),
        Cell(problem="quadratic", steps=10, h=0.5, seed=1), Cell(problem="quadratic", steps=10, h=0.5, replicas=8),
        Cell(problem="quadratic", steps=10, h=0.5, parameters={"bias": 0.1}),
    ]  # fmt: skip
    assert len({cell.key() for cell in [plain, *others]}) == 6


def test_worker_processes_change_no_number(file, tmp_path):
    cells = read_cells(file)
    alone = run_sweep(cells, tmp_path / "one")
    seen = []
    shared = run_sweep(cells, tmp_path / "two", jobs=2, progress=lambda done, total: seen.append((done, total)))
    assert numbers(alone) == numbers(shared)
    assert seen == [(n, 10) for n in range(11)]


@pytest.mark.slow
def test_killed_and_resumed(tmp_path):
    file = tmp_path / "long.json"
    table = {"problem": "quadratic_cosine", "h": [0.3, 0.6, 0.9], "steps": 6000, "noise": 0.1, "dim": 3}
    file.write_text(json.dumps({"sweep": [table]}))
    command = [sys.executable, "-m", "verify", "sweep", str(file), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    while not list((tmp_path / "out").glob("cells/[!.]*")) and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it was over before it was killed"
    done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert 1 <= document["resumed"] < 3
    fresh = run_sweep(read_cells(file), tmp_path / "fresh")
    assert [c["average"] for c in document["cells"]] == [c.average for c in fresh.cells]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_gives_the_same_numbers_though_a_worker_is_killed(file, tmp_path):
    distributed = pytest.importorskip("distributed")
    cells = read_cells(file)
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        victim = next(iter(client.run(os.getpid).values()))
        killed = []

        def kill(done, total):
            if done == 1:
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

        spread = run_sweep(cells, tmp_path / "dask", scheduler=cluster.scheduler_address, progress=kill)
    assert killed
    assert numbers(spread) == numbers(run_sweep(cells, tmp_path / "one"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "not valid TOML"),
        ("x = 1", "list of tables named sweep"),
        ("[[sweep]]\nsteps = 3", "expected problem, steps"),
        ('[[sweep]]\nproblem = "quadratic"\nsteps = 3', "expected exactly one of them"),
        ('[[sweep]]\nproblem = "cubic"\nsteps = 3\nh = 1.0', "no such problem"),
        ('[[sweep]]\nproblem = "quadratic"\nsteps = 3\nh = 1.0\ncolour = 1', "not known to quadratic"),
        ('[[sweep]]\nproblem = "quadratic"\nsteps = 3\nh = 1.0\nnois = 1', "noise_model, .*; did you mean 'noise'"),
        ('[[sweep]]\nproblem = "quadratic"\nsteps = []\nh = 1.0', "at least one value"),
        ('[[sweep]]\nproblem = "quadratic"\nsteps = 3\nh = -1.0', "finite number > 0"),
        ('[[sweep]]\nproblem = "quadratic"\nsteps = 3\nh = 1.0\ndim = 1000000000000000', "an integer up to 1000000"),
        ('[[sweep]]\nproblem = "quadratic"\nsteps = 3\nh = 1.0\nreplicas = 2', "integer from 8 to 10000000"),
        ('[[sweep]]\nproblem = "quadratic"\nsteps = 3\nh = 1.0\nreplicas = 100000000000000', "integer from 8"),
        ('[[sweep]]\nproblem = "quadratic"\nsteps = 100000000000000000000\nh = 1.0', "integer from 1 to 10000"),
        ('[[sweep]]\nproblem = "quadratic"\nsteps = 3\nh = 1.0\nrecords = 100000000000', "integer from 1 to 1000"),
        (GAME + 'data = "mnist"', "no such data; available are"),
        (GAME + "data = 3", "data = 3: expected a name"),
        (GAME + 'alpha = "two"', "alpha = 'two': expected a number"),
        (GAME + "alpha = true", "alpha = True: expected a number"),
        (GAME + "students = 2.0", "students = 2.0: expected an integer"),
        (GAME + "hidden = [[0, 1.5]]", "expected an integer up to 1000000 or a list of integers"),
        (GAME + "hidden = [[0, 4, 4]]", "one for each of 2 students"),
        (GAME + 'architecture = "deep"', "expected one of linear, two-layer, mixed"),
        (GAME + 'bias_model = "constant"', "the bias is the mutual gradient"),
        (GAME + "batch = 4\nnoise = 0.1", "no other noise than that of batch"),
        (GAME + 'labels = "x"', "labels = 'x': expected a list"),
        ('other = 1\n[[sweep]]\nproblem = "quadratic"\nsteps = 3\nh = 1.0', "unknown entry other"),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(SweepError, match=message):
        read_cells(path)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_the_sweep(tmp_path, ending):
    path, out = tmp_path / "long.toml", tmp_path / "out"
    path.write_text('[[sweep]]\nproblem = "quadratic_cosine"\nsteps = 1000000000\nh = [0.5, 1.0]\nnoise = 0.1')
    command = [sys.executable, "-m", "verify", "sweep", str(path), "--out", str(out), "--jobs", "2"]
    parent = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    # Workers that have begun keep what they have.
    while len(list((out / ".unfinished").glob("*.part"))) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    assert len(children) >= 2
    parent.send_signal(ending)
    assert parent.wait(timeout=60) == (-9 if ending == signal.SIGKILL else 130)
    while (alive := [c for c in children if Path(f"/proc/{c}").exists()]) and time.monotonic() < until:
        time.sleep(0.1)
    assert not alive


class Losing(Executor):
    """An engine that loses its workers a few times, and then computes."""

    def __init__(self, losses, error):
        self.losses, self.error = losses, error

    def submit(self, fn, /, *arguments, **named):
        future = Future()
        if self.losses:
            self.losses -= 1
            future.set_exception(self.error)
        else:
            future.set_result(fn(*arguments, **named))
        return future


class KilledWorker(Exception):  # noqa: N818 - the name of Dask's
    pass


@pytest.mark.parametrize("error", [BrokenExecutor(), CancelledError(), KilledWorker()])
def test_lost_workers_and_schedulers_are_asked_again(file, tmp_path, monkeypatch, error):
    cells = read_cells(file)[:2]
    for losses in (3, 4):
        engine = Losing(losses, error)
        monkeypatch.setattr("verify.sweep._executor", lambda jobs, scheduler, engine=engine: nullcontext(engine))
        out = tmp_path / str(losses)
        if losses == 3:
            assert len(run_sweep(cells, out, scheduler="tcp://nowhere").cells) == 2
        else:
            engine.losses = 100
            with pytest.raises(SweepError, match="workers died 4 times; 0 cells are kept"):
                run_sweep(cells, out, scheduler="tcp://nowhere")


def test_errors_of_a_cell_are_not_taken_for_lost_workers(file, tmp_path, monkeypatch):
    engine = Losing(1, ValueError("of the cell"))
    monkeypatch.setattr("verify.sweep._executor", lambda jobs, scheduler: nullcontext(engine))
    with pytest.raises(ValueError, match="of the cell"):
        run_sweep(read_cells(file)[:1], tmp_path)


def test_equal_numbers_are_one_cell(tmp_path):
    path = tmp_path / "equal.toml"
    path.write_text('[[sweep]]\nproblem = "quadratic"\nsteps = 3\nh = [1, 1.0]\nnoise = [1, 1.0, 2]\ndim = 2')
    cells = read_cells(path)
    assert [cell.content()["parameters"] for cell in cells] == [{"dim": 2, "noise": 1.0}, {"dim": 2, "noise": 2.0}]
    assert {type(cell.content()["parameters"]["dim"]) for cell in cells} == {int}


def test_no_memory_for_a_cell_is_a_line(file, tmp_path, monkeypatch):
    def starving(cell, folder):
        raise MemoryError("Unable to allocate 7 PiB")

    monkeypatch.setattr("verify.sweep.run_cell", starving)
    result = CliRunner().invoke(sweep_command, [str(file), "--out", str(tmp_path / "out")], standalone_mode=False)
    assert isinstance(result.exception, click.ClickException)
    assert "not enough memory for a cell" in str(result.exception)


def test_occupied_folder_and_no_scheduler(file, tmp_path):
    cells = read_cells(file)[:1]
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"), pytest.raises(BlockingIOError, match="another process is writing to"):
        run_sweep(cells, tmp_path / "out")
    words = [str(tmp_path / "none.toml"), "--out", str(tmp_path / "o")]
    result = CliRunner().invoke(sweep_command, words, standalone_mode=False)
    assert isinstance(result.exception, click.ClickException)
    assert (result.exception.exit_code, str(result.exception).count("\n")) == (2, 0)
