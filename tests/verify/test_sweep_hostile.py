"""Sweeps that are hostile, damaged or killed: one clear line and exit 2, or the same numbers in the end."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from convergence.store import Store, own_folder, packed
from convergence.sweep import Cell
from verify.commands.problems import sweep_command
from verify.runner import RunSettings, run_claims
from verify.sweep import MOST_CELLS, SweepError, read_cells, run_sweep
from verify.workers import WorkersLostError, worker_pool

ROOT = Path(__file__).resolve().parents[2]
PLAIN = {
    "problem": ["quadratic", "double_well"], "h": [0.5, 2.5], "steps": 3, "replicas": 8, "noise": 0.1, "bias": 0.01,
    "records": 2,
}  # fmt: skip
GAME = {"problem": "mutual_learning", "step": 0.5, "steps": 2, "alpha": [0.5, 2.0], "students": 2, "replicas": 8}
VALUES = [
    None,
    True,
    False,
    "",
    "x",
    "\x00",
    "[[",
    [],
    [[]],
    {},
    {"a": 1},
    [None],
    -1,
    0,
    2,
    2.5,
    1e-320,
    1e308,
    -1e308,
    1e400,
    float("nan"),
    10**19,
    -(10**19),
    10**400,
    [1, "x"],
    "quadratic",
    "mutual_learning",
    [[0, 4]],
    [0.5, [0.5]],
    1e200,
    2**63,
    list(range(200)),
    "gaussian",
    "orthogonal",
]
RAW = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b"{",
    b"[" * 100_000,
    b'{"sweep":' * 5000,
    b'{"sweep": [{"steps": ' + b"9" * 5000 + b"}]}",
    b'{"sweep": [{"problem": "\\ud800", "steps": 1, "h": 1}]}',
    b"null",
    b"3",
    b'"x"',
    b'{"sweep": 3}',
    b'{"sweep": [3]}',
    b"[[sweep]]\n" * 200,
    b"a.b.c.d = 1\n",
    b"a = " + b"[" * 3000,
    b"x = " + b"9" * 5000,
    b"[[sweep]]\nsteps = 1979-05-27\n",
    b'[[sweep]]\nproblem = "quadratic"\nsteps = 1\nh = 0.5\nradius = 1979-05-27',
    b'[[sweep]]\nproblem = "quadratic"\nsteps = 1\nh = 0.5\nradius = inf',
    b"\xef\xbb\xbf[[sweep]]",
]


def mutated(rng):
    """A file's name and content."""
    if rng.random() < 0.2:
        return rng.choice(["s.json", "s.toml"]), rng.choice(RAW)
    tables = json.loads(json.dumps([PLAIN, GAME]))
    for _ in range(rng.randint(1, 3)):
        table = rng.choice(tables)
        keys = [*table, *rng.sample(["hidden", "dim", "data", "batch", "labels", "seed", "radius", "weight", "colour",
                                     "noise_model", "relative_bias", "smoothness", "size"], 2)]  # fmt: skip
        key, value = rng.choice(keys), rng.choice(VALUES)
        kind = rng.randrange(4)
        if kind == 0:
            table.pop(key, None)
        elif kind == 1 and isinstance(table.get(key), list):
            table[key] = [*table[key], value]
        else:
            table[key] = value
    text = json.dumps({"sweep": tables}).encode()
    if rng.random() < 0.2:
        at = rng.randrange(len(text))
        text = text[:at] + bytes([rng.randrange(256)]) + text[at + rng.randrange(3) :]
    return "s.json", text


def within(seconds, gigabytes):
    """Limit the memory of this process; a clock to ask."""
    begun = time.process_time()
    return lambda: (
        time.process_time() - begun < seconds
        and (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < gigabytes * 2**20)
    )


def hostile(tmp_path, count, seed):
    """Files whose sweep ends otherwise than by a table or one line, within 5 s and 2 GB, Python included."""
    rng, found = random.Random(seed), []
    for number in range(count):
        name, text = mutated(rng)
        path = tmp_path / name
        path.write_bytes(text)
        kept = within(5, 2)
        try:
            cells = read_cells(path)
            # What is legal may be long; a few cells with few steps are run too.
            if number % 4 == 0 and sum(c.steps * c.replicas for c in cells) < 10_000 and len(cells) < 20:
                run_sweep(cells, tmp_path / "out")
        except SweepError as error:
            if "\n" in str(error) or len(str(error)) > 1000:
                found.append((text[:300], str(error)))
        except MemoryError:
            pass  # which the command names
        except BaseException as error:
            found.append((text[:300], repr(error)))
        if not kept():
            found.append((text[:300], "time or memory"))
    return found


def test_hostile_files(tmp_path):
    assert hostile(tmp_path, 60, seed=0) == []


@pytest.mark.slow
def test_hostile_files_by_thousands(tmp_path, seed):
    assert hostile(tmp_path, 2000, seed) == []


def test_a_million_cells_by_product(tmp_path):
    path = tmp_path / "s.json"
    hundred = list(range(1, 101))
    table = {"problem": "quadratic", "h": [0.1 * k for k in hundred], "bias": hundred, "steps": hundred}
    path.write_text(json.dumps({"sweep": [table]}))
    with pytest.raises(SweepError, match=f"describes 1000000 cells: expected at most {MOST_CELLS}"):
        read_cells(path)


CELL = Cell(problem="quadratic", steps=3, h=0.5, replicas=8, records=2)


def damaged(tmp_path, count, seed):
    """Kept cells and unfinished work, damaged at random: computed anew to the same numbers."""
    rng = random.Random(seed)
    first = run_sweep([CELL], tmp_path / "out")
    (kept,) = (tmp_path / "out" / "cells").iterdir()
    whole = kept.read_bytes()
    mark, _, content = whole.partition(b"\n")
    for _ in range(count):
        kind = rng.randrange(3)
        if kind == 0:
            at = rng.randrange(len(whole))
            kept.write_bytes(whole[:at] + bytes([rng.randrange(256)]) + whole[at + rng.randrange(40) :])
        elif kind == 1:
            document = json.loads(content)
            document[rng.choice(list(document))] = rng.choice([v for v in VALUES if v != 1e400])
            kept.write_bytes(mark + b"\n" + json.dumps(document).encode())
        else:
            # Sealed by a forger, too.
            Store(kept.parent).put(kept.name, rng.choice(RAW))
        assert run_sweep([CELL], tmp_path / "out").cells == first.cells


def test_damaged_cells_are_computed_anew(tmp_path):
    damaged(tmp_path, 15, seed=0)


@pytest.mark.slow
def test_damaged_cells_by_thousands(tmp_path, seed):
    damaged(tmp_path, 1000, seed)


def test_a_sealed_cell_of_other_content_is_not_taken(tmp_path):
    """Its digest is right, since whoever wrote it could compute one."""
    result = run_sweep([CELL], tmp_path / "out")
    (kept,) = (tmp_path / "out" / "cells").iterdir()
    other = result.cells[0].model_copy(update={"cell": {"problem": "quadratic"}})
    Store(kept.parent).put(kept.name, other.model_dump_json())
    assert run_sweep([CELL], tmp_path / "out").cells == result.cells


def test_unfinished_work_of_another_shape_is_begun_anew(tmp_path):
    from convergence import problems, simulate

    problem = problems.get("quadratic", noise=0.1)
    run = {"step": 0.5, "steps": 200, "replicas": 8, "seed": 0}
    whole = simulate(problem, **run)

    def part(path):
        from convergence.ensemble import Ensemble, Task

        task = Task(problem, problem.start, 0.5, whole.times, 0, range(1))
        return Ensemble(task).state()

    for change in ({"done": 10**9}, {"norm": [1.0]}, {"streams": "[]"}, {"streams": "{"}, {"x": 3}):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        # The name under which this run would look for its unfinished work.
        from convergence.sgd import problem_fingerprint

        key = problem_fingerprint(problem, problem.start.tolist(), 0.5, whole.times.tolist(), 0, start=problem.start)
        state = part(folder) | change
        store = Store(own_folder(folder))
        store.put(f"{key}.0-1.part", packed(state))
        store.put(f"{key}.0-1.done", packed({"records": [1.0]}))
        again = simulate(problem, **run, checkpoint=folder)
        assert (again.mean_squared_gradient == whole.mean_squared_gradient).all(), change


def test_what_a_cell_refuses_when_it_runs_is_a_line(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text('[[sweep]]\nproblem = "quadratic"\nsteps = 3\nh = 1.0\nradius = 1e200')
    result = CliRunner().invoke(sweep_command, [str(path), "--out", str(tmp_path / "out")], standalone_mode=False)
    assert isinstance(result.exception, click.ClickException)
    assert result.exception.exit_code == 2
    assert "gap = inf" in str(result.exception)


def test_nothing_to_do_takes_no_time(tmp_path, monkeypatch):
    """The sources are read once in a process, and each kept cell once; nothing else."""
    cells = [Cell(problem="quadratic", steps=1, h=0.5, seed=n, replicas=8, records=1) for n in range(40)]
    run_sweep(cells, tmp_path / "out")
    read, original = [], os.open
    monkeypatch.setattr(os, "open", lambda path, flags, *more: read.append(path) or original(path, flags, *more))
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("the sources were read again"))
    assert run_sweep(cells, tmp_path / "out").resumed == 40
    # Each cell, the lock and the table.
    assert len(read) == 42


def test_a_dead_worker_is_one_line(tmp_path, monkeypatch):
    def dying(units, settings, progress):
        raise BrokenProcessPool("a worker was killed")
        yield

    monkeypatch.setattr("verify.runner._parallel", dying)
    monkeypatch.setattr("verify.runner._serial", dying)
    with pytest.raises(WorkersLostError, match=r"a worker process died .* nothing is kept without --out"):
        run_claims(["D11"], RunSettings(jobs=2))
    with pytest.raises(WorkersLostError, match="finished checks are kept in "):
        run_claims(["D11"], RunSettings(jobs=2), journal=Store(tmp_path))


def test_workers_that_start_leave_interrupts_to_their_parent():
    with worker_pool(1) as pool:
        future = pool.submit(os.getpid)
        (worker,) = pool._processes
        # It is importing; without the mask it would die with a traceback.
        os.kill(worker, signal.SIGINT)
        assert future.result(timeout=60) == worker


@pytest.mark.slow
def test_thirty_kills(tmp_path):
    """SIGKILL at random moments: the sweep resumes to the same bits."""
    file = tmp_path / "s.json"
    table = {
        "problem": "quadratic_cosine",
        "h": [0.3, 0.6, 0.9],
        "steps": 3000,
        "noise": 0.1,
        "dim": 2,
        "replicas": 64,
        "records": 4,
    }
    file.write_text(json.dumps({"sweep": [table]}))
    fresh = run_sweep(read_cells(file), tmp_path / "fresh")
    rng = random.Random()
    for number in range(30):
        out = tmp_path / str(number)
        command = [sys.executable, "-m", "verify", "sweep", str(file), "--out", str(out), "--jobs", str(1 + number % 2)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (out / ".lock").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 2))
        process.kill()
        process.wait()
        assert run_sweep(read_cells(file), out).cells == fresh.cells
        assert (out / "sweep.csv").read_text() == (tmp_path / "fresh" / "sweep.csv").read_text()
