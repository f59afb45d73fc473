"""The simulator: reproducible whatever the number of replicas, exact where theory is exact, open to users' problems."""

import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from dataclasses import fields, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from convergence import Assumptions, check_bound, problems, sharp_bound, simulate
from convergence.sgd import BLOCK, record_times


def test_deterministic_quadratic_follows_its_recursion():
    run = simulate(problems.get("quadratic", radius=2.0), step=0.3, steps=50, replicas=1, seed=0, record=range(1, 51))
    expected = 4 * 0.7 ** (2 * np.arange(1, 51))
    np.testing.assert_allclose(run.squared_gradient[:, 0], expected, rtol=1e-12)
    np.testing.assert_allclose(run.value[:, 0], expected / 2, rtol=1e-12)
    averages = np.cumsum(np.r_[4.0, expected[:-1]]) / np.arange(1, 51)
    np.testing.assert_allclose(run.mean_squared_gradient[:, 0], averages, rtol=1e-12)
    np.testing.assert_allclose(run.least_squared_gradient[:, 0], np.r_[4.0, expected[:-1]], rtol=1e-12)
    np.testing.assert_allclose(run.final, [[2 * 0.7**50, 0.0]], rtol=1e-12)


def test_numbers_depend_on_seed_and_index_only():
    f = problems.get("quadratic_cosine", noise=1.0, dim=3)
    arguments = {"step": 0.3, "steps": 40, "seed": 7}
    long = simulate(f, replicas=2 * BLOCK + 5, **arguments)
    short = simulate(f, replicas=10, **arguments)
    np.testing.assert_array_equal(long.mean_squared_gradient[:, :10], short.mean_squared_gradient)
    second = simulate(f, replicas=20, first=BLOCK, **arguments)
    np.testing.assert_array_equal(long.value[:, BLOCK : BLOCK + 20], second.value)
    np.testing.assert_array_equal(long.final[BLOCK : BLOCK + 20], second.final)
    other = simulate(f, replicas=10, step=0.3, steps=40, seed=8)
    assert not np.array_equal(other.value, short.value)
    assert len(np.unique(long.value[-1])) == 2 * BLOCK + 5


def test_stationary_variance_of_linear_noise():
    # E‖∇f‖² = hσ²/(2-h) for isotropic noise on the quadratic.
    f = problems.get("quadratic", dim=4, noise=1.0, noise_model="gaussian", radius=0.0)
    run = simulate(f, step=0.5, steps=60, replicas=40 * BLOCK, seed=1, record=1)
    values = run.squared_gradient[-1]
    assert abs(values.mean() - 0.5 / 1.5) <= 5 * values.std() / np.sqrt(values.size)


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
@pytest.mark.parametrize("scheduled", [False, True])
def test_momentum_and_scheduled_steps_are_those_of_a_loop(momentum, nesterov, scheduled, noise):
    f = problems.get("quadratic_cosine", dim=3, noise=noise, bias=0.04)
    steps = 40
    eta = 0.2 / np.sqrt(np.arange(1, steps + 1)) if scheduled else np.full(steps, 0.05)
    seen = []
    run = simulate(
        f, step=eta if scheduled else 0.05, steps=steps, replicas=4, seed=3, momentum=momentum, nesterov=nesterov,
        record=range(1, steps + 1), observe=lambda s: seen.append((s.t, s.x.copy(), s.sample)),
    )  # fmt: skip
    assert [t for t, *_ in seen] == list(range(steps + 1))
    assert seen[-1][2] is None
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(3, spawn_key=(0,))))
    x = np.tile(f.start, (256, 1))
    velocity, squares = np.zeros_like(x), []
    for t in range(steps):
        np.testing.assert_allclose(seen[t][1][:1], x[:1], rtol=1e-12, atol=1e-14)
        gradient = f.gradient(x)
        squares.append((gradient**2).sum(axis=1))
        sample = np.empty_like(x)
        # As the simulator: numbers are drawn with coordinates outermost.
        sample = np.ascontiguousarray(sample.T).T
        f.sample_into(x, gradient, rng, sample)
        velocity = momentum * velocity + sample
        x = x - eta[t] * (sample + momentum * velocity if nesterov else velocity)
        average = np.average(squares, axis=0, weights=eta[: t + 1])
        np.testing.assert_allclose(run.mean_squared_gradient[t], average[:4], rtol=1e-11)
    np.testing.assert_allclose(run.final, x[:4], rtol=1e-11, atol=1e-13)
    assert run.step == pytest.approx(eta.mean())


def test_scheduled_steps_are_judged_by_their_own_bound():
    from convergence import schedule_bound

    eta = 1 / np.sqrt(np.arange(1, 401))
    f = problems.get("quadratic", noise=0.1, bias=0.04)
    run = simulate(f, step=eta, steps=400, replicas=4096, seed=0, record=1)
    verdict = check_bound(run, schedule_bound(run.assumptions, eta))
    assert (verdict.outcome, verdict.basis) == ("confirmed", "envelope")
    false = schedule_bound(run.assumptions, eta, bias=0 * eta)
    assert check_bound(run, replace(false, total=0.9 * run.mean_squared_gradient[-1].min())).outcome == "refuted"


def test_momentum_with_its_curvature_forgotten_is_refuted():
    # At the end of what plain SGD may do, momentum diverges; the bound with momentum refuses the step.
    run = simulate(problems.get("quadratic"), step=0.5, steps=300, replicas=8, seed=0, momentum=0.9, nesterov=True)
    assert np.isfinite(run.value[-1]).all()
    run = simulate(problems.get("quadratic"), step=1.9, steps=300, replicas=8, seed=0, momentum=0.9, nesterov=True)
    false = replace(sharp_bound(run.assumptions, 1.9, 300), momentum=0.9, nesterov=True)
    assert check_bound(run, false).outcome == "refuted"


def test_gradients_may_be_measured_now_and_then():
    f = problems.get("mutual_learning", batch=4)
    seen = []
    arguments = {"step": 0.1, "steps": 60, "replicas": 3, "seed": 1, "record": [20, 60]}
    run = simulate(f, every=7, observe=lambda s: seen.append((s.t, s.measured, s.gradient.copy())), **arguments)
    measured = [t for t, counts, _ in seen if counts]
    assert set(np.diff(measured)) == {7}
    assert measured[0] < 7
    assert [t for t, *_ in seen if t not in measured] == sorted({20, 60} - set(measured))
    squares = [(g**2).sum(axis=1)[:3] for _, counts, g in seen if counts]
    np.testing.assert_allclose(run.mean_squared_gradient[-1], np.mean(squares, axis=0), rtol=1e-12)
    np.testing.assert_allclose(run.least_squared_gradient[-1], np.min(squares, axis=0), rtol=1e-12)
    # It measures less and does the same.
    np.testing.assert_array_equal(simulate(f, **arguments).final, run.final)


def test_an_observer_cannot_change_the_run():
    def meddle(seen):
        seen.x[...] = 0.0

    with pytest.raises(ValueError, match="read-only"):
        simulate(problems.get("quadratic"), step=0.5, steps=3, replicas=1, seed=0, observe=meddle)


def test_an_oracle_may_change_its_bias():
    f = problems.get("quadratic", dim=2)
    biases = 0.25 / np.arange(1, 31)

    def oracle(t):
        return problems.get("quadratic", dim=2, bias=biases[t])

    run = simulate(f, step=0.3, steps=30, replicas=2, seed=0, oracle=oracle)
    x = f.start.copy()
    for t in range(30):
        x = x - 0.3 * oracle(t).sample_gradient(x[None], np.random.default_rng(0))[0]
    np.testing.assert_allclose(run.final, [x, x], rtol=1e-12)
    assert run.assumptions.bias == 0


class Own:
    """A user's problem: f = ½‖x‖² with constant bias, no perturb, no start."""

    dim, smoothness, minimum, noise, bias = 2, 1.0, 0.0, 0.0, 0.25

    def value(self, x):
        return 0.5 * (x**2).sum(axis=-1)

    def gradient(self, x):
        return x.copy()

    def sample_gradient(self, x, rng):
        return x + np.array([0.5, 0.0])


def test_a_users_own_problem():
    run = simulate(Own(), step=0.5, steps=500, replicas=16, seed=0)
    assert run.assumptions == Assumptions(smoothness=1.0, gap=1.0, noise=0.0, bias=0.25)
    assert run.squared_gradient[-1, 0] == pytest.approx(0.25, rel=1e-12)
    assert check_bound(run, sharp_bound(run.assumptions, 0.5, 500)).outcome == "confirmed"


SIGNS = np.array([-1.0, 1.0])
SHARED = {
    "one draw for all rows": lambda x, rng: x + rng.standard_normal(x.shape[1]),
    "one batch for all rows": lambda x, rng: x * (1 + SIGNS[rng.integers(2)]),
}
ROW_BY_ROW = {
    "none": lambda x, rng: x,
    "a coin for each row": lambda x, rng: x * (1 + rng.choice(SIGNS, size=(len(x), 1))),
    "rare": lambda x, rng: x + 9.0 * (rng.random((len(x), 1)) < 0.01),
    "below rounding": lambda x, rng: x + 1e-17 * rng.standard_normal(x.shape),
}


@pytest.mark.parametrize("draw", [*SHARED.values(), *ROW_BY_ROW.values()], ids=[*SHARED, *ROW_BY_ROW])
def test_noise_that_replicas_share_is_refused(draw):
    own = Own()
    own.sample_gradient, own.noise = draw, 2.0
    if draw in ROW_BY_ROW.values():
        assert simulate(own, step=0.5, steps=3, replicas=16, seed=0).final.shape == (16, 2)
    else:
        with pytest.raises(ValueError, match=r"adds the same noise to every row of x: .* draw with size x.shape"):
            simulate(own, step=0.5, steps=3, replicas=16, seed=0)
        simulate(own, step=0.5, steps=3, replicas=1, seed=0)


def test_a_users_lie_about_the_bias_is_refuted():
    liar = Own()
    liar.bias = 0.2
    run = simulate(liar, step=0.5, steps=500, replicas=16, seed=0)
    assert check_bound(run, sharp_bound(run.assumptions, 0.5, 500)).outcome == "refuted"


def test_divergence_is_recorded_as_infinite_and_refuted():
    run = simulate(problems.get("quadratic", smoothness=10.0), step=1.0, steps=2000, replicas=8, seed=0)
    assert np.isinf(run.mean_squared_gradient[-1]).all()
    claimed = Assumptions(smoothness=1.0, gap=run.assumptions.gap, noise=0.0, bias=0.0)
    verdict = check_bound(run, sharp_bound(claimed, 1.0, 2000))
    assert verdict.outcome == "refuted"
    assert verdict.observed == np.inf


COSINE = problems.get("quadratic_cosine", noise=0.5, dim=4)
RUN = {"step": 0.3, "steps": 30, "replicas": 12 * BLOCK + 7, "seed": 5}


def same(first, second):
    for field in fields(first):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))


def test_numbers_do_not_depend_on_the_grouping(monkeypatch):
    for model in ("gaussian", "heavy_tailed", "orthogonal", "rademacher"):
        f = problems.get(
            "quadratic_cosine", noise=0.5, dim=3, noise_model=model, bias=0.1, bias_model="against_gradient"
        )
        runs = []
        for group in (1, 5_000, 50_000):
            monkeypatch.setattr("convergence.sgd.GROUP", group)
            runs.append(simulate(f, **RUN))
        same(runs[0], runs[1])
        same(runs[0], runs[2])


def test_workers_share_the_replicas():
    alone = simulate(COSINE, **RUN)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        same(simulate(COSINE, executor=pool, **RUN), alone)


class Suicide:
    """A problem that ends the worker process that evaluates it, but not the parent."""

    dim, smoothness, minimum, noise, bias = 2, 1.0, 0.0, 0.0, 0.0
    start = np.ones(2)

    def __init__(self, parent):
        self.parent = parent

    def value(self, x):
        return 0.5 * (x**2).sum(axis=-1)

    def gradient(self, x):
        import os
        import signal

        if os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return x.copy()

    def sample_gradient(self, x, rng):
        return x + rng.standard_normal(x.shape)


def test_a_lost_pool_costs_time_only():
    import os

    problem = Suicide(os.getpid())
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        same(simulate(problem, executor=pool, **RUN), simulate(problem, **RUN))


class Losing(Executor):
    """Does the first of three tasks, and ends the others with an error."""

    def __init__(self, error):
        self.error, self.submitted = error, 0

    def submit(self, function, /, *args, **options):
        future, self.submitted = Future(), self.submitted + 1
        if self.submitted % 3 == 1:
            future.set_result(function(*args, **options))
        else:
            future.set_exception(self.error)
        return future


DASKS = [type(name, (Exception,), {})() for name in ("KilledWorker", "CommClosedError")]  # known by their names


@pytest.mark.parametrize("error", [*DASKS, CancelledError(), BrokenExecutor()], ids=repr)
def test_what_a_scheduler_loses_is_done_again(error):
    pool = Losing(error)
    same(simulate(COSINE, executor=pool, **RUN), simulate(COSINE, **RUN))
    assert pool.submitted > 3


def test_an_error_of_the_work_is_no_lost_worker():
    with pytest.raises(ZeroDivisionError):
        simulate(COSINE, executor=Losing(ZeroDivisionError()), **RUN)


SCRIPT = """
import sys
from convergence import ensemble, problems, simulate
ensemble.SAVE_EVERY = 0.02
run = simulate(
    problems.get("quadratic_cosine", noise=0.5, dim=4), step=0.1, steps={steps}, replicas=1200, seed=3, record=9,
    momentum=0.8, checkpoint=sys.argv[1],
)
run.mean_squared_gradient.tofile(sys.argv[1] + ".mean")
run.final.tofile(sys.argv[1] + ".final")
run.least_squared_gradient.tofile(sys.argv[1] + ".least")
"""


def killed_and_resumed(tmp_path, kills, steps):
    """Kill the same run again and again at random moments; it must end with the numbers of an undisturbed one."""
    folder = tmp_path / "work"
    command = [sys.executable, "-c", SCRIPT.format(steps=steps), str(folder)]
    rng, interrupted = np.random.default_rng(20), 0
    for _ in range(kills):
        process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        # Imports take a while; the clock starts when work has begun.
        while not (folder.is_dir() and any(folder.iterdir())) and process.poll() is None:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.15))
        process.kill()
        interrupted += process.wait() != 0
    assert interrupted == kills, "the run was over too soon to be interrupted"
    assert any(folder.iterdir()), "nothing was kept to resume from"
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    whole = simulate(COSINE, step=0.1, steps=steps, replicas=1200, seed=3, record=9, momentum=0.8)
    np.testing.assert_array_equal(np.fromfile(f"{folder}.mean"), whole.mean_squared_gradient.ravel())
    np.testing.assert_array_equal(np.fromfile(f"{folder}.final"), whole.final.ravel())
    np.testing.assert_array_equal(np.fromfile(f"{folder}.least"), whole.least_squared_gradient.ravel())
    assert not list(folder.iterdir())


def test_killed_and_resumed(tmp_path):
    killed_and_resumed(tmp_path, kills=2, steps=4_000)


@pytest.mark.slow
def test_killed_ten_times_and_resumed(tmp_path):
    killed_and_resumed(tmp_path, kills=10, steps=30_000)


def test_a_checkpoint_of_another_run_is_not_taken(tmp_path):
    from convergence import sgd

    other = problems.get("quadratic_cosine", noise=0.51, dim=4)
    assert sgd.problem_fingerprint(COSINE) != sgd.problem_fingerprint(other)
    assert sgd.problem_fingerprint(COSINE, 1, 2) != sgd.problem_fingerprint(COSINE, 2, 1)


OWN_FILE = """
import sys
import numpy as np
from types import SimpleNamespace
from convergence.sgd import problem_fingerprint

class Mine:  # without a __repr__: Python's own has an address in memory
    dim, smoothness, minimum, noise, bias = 2, 2.0, 0.0, 0.0, 0.0
    value = staticmethod(lambda x: (x**2).sum(axis=1))
    gradient = staticmethod(lambda x: 2 * x)
    sample_gradient = staticmethod(lambda x, rng: 2 * x)

ballast = [object() for _ in range(int(sys.argv[1]))]
plain = SimpleNamespace(**{n: getattr(Mine, n) for n in dir(Mine) if not n.startswith("_")})
print(problem_fingerprint(Mine()), problem_fingerprint(plain))
"""


def test_a_users_problem_is_known_again_in_another_process():
    said = {
        subprocess.run(
            [sys.executable, "-c", OWN_FILE, str(size)], capture_output=True, text=True, check=True,
            cwd=Path(__file__).parents[2],
        ).stdout
        for size in (1, 100_000)
    }  # fmt: skip
    assert len(said) == 1


def test_problems_that_differ_near_the_start_only_are_told_apart():
    from convergence.sgd import problem_fingerprint

    class Far(Own):
        start = np.array([1e3, -1e3])

    class FarBump(Far):
        def value(self, x):
            return super().value(x) + np.exp(-((x - self.start) ** 2).sum(axis=1))

    Far.__qualname__ = FarBump.__qualname__ = "Far"
    assert problem_fingerprint(Far()) != problem_fingerprint(FarBump())


def test_a_checkpoints_folder_is_emptied_of_what_a_kill_left(tmp_path):
    from convergence import sgd

    run = {"step": 0.3, "steps": 5, "replicas": 8, "seed": 0, "record": [5]}
    key = sgd.problem_fingerprint(COSINE, COSINE.start.tolist(), 0.3, [5], 0, 0.0, False, "simultaneous", 1)
    (tmp_path / f".{key}.0-1.part.0123abcd").write_bytes(b"half")
    (tmp_path / "thesis.tex").write_text("mine")
    simulate(COSINE, checkpoint=tmp_path, **run)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_memory_does_not_grow_with_the_steps():
    import tracemalloc

    def peak(steps):
        tracemalloc.start()
        # as many records of either: those of more steps are a few more by default
        simulate(problems.get("quadratic", noise=1.0), step=0.1, steps=steps, replicas=8, seed=0, record=1)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    for steps in (500, 8_000):
        peak(steps)  # fills caches: some by the first call, some by the first of many steps
    assert peak(8_000) < 1.1 * peak(500) + 20_000


def test_replicas_outside_the_box_are_reported_and_not_judged():
    class Boxed(Own):
        box = (np.array([-2.0, -2.0]), np.array([0.9, 2.0]))

    run = simulate(Boxed(), step=0.5, steps=20, replicas=16, seed=0)
    # From (1, 1) the first step leads inside.
    assert not run.left.any()
    run = simulate(Boxed(), step=0.05, steps=20, replicas=16, seed=0)
    assert run.left.all()
    with pytest.raises(ValueError, match="16 of 16 replicas left the box"):
        check_bound(run, sharp_bound(run.assumptions, 0.05, 20))


def test_record_times():
    assert record_times(1000, 4).tolist() == [1, 10, 100, 1000]
    assert record_times(7, 1).tolist() == [7]
    assert record_times(5, 100).tolist() == [1, 2, 3, 4, 5]
    assert record_times(10, [2, 4]).tolist() == [2, 4, 10]


def test_progress_is_reported():
    seen = []
    f = problems.get("quadratic", dim=100, noise=1.0)
    simulate(f, step=0.5, steps=5, replicas=3 * BLOCK, seed=0, progress=seen.append)
    assert seen == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 0.0}, "step = 0.0"),
        ({"step": float("inf")}, "step = inf"),
        ({"step": "a"}, "step = 'a'"),
        ({"step": np.array([0.1, 0.2])}, r"step has shape \(2,\): expected a number, or one for each of the 10 steps"),
        ({"step": np.r_[np.ones(9), 0.0]}, "step = array"),
        ({"momentum": 1.0}, r"momentum = 1.0: expected a number in \[0, 1\)"),
        ({"nesterov": 1}, "nesterov = 1: expected True or False"),
        ({"order": "random"}, "order = 'random': expected 'simultaneous' or 'sequential'"),
        ({"every": 0}, "every = 0"),
        ({"observe": 3}, "observe = 3"),
        ({"observe": print, "checkpoint": "here"}, "expected neither executor nor checkpoint"),
        ({"start": [np.nan, 0.0]}, "start = .*: expected finite numbers"),
        ({"record": [1.5]}, "record = .*: expected integers"),
        ({"steps": 0}, "steps = 0"),
        ({"steps": 2.5}, "steps = 2.5"),
        ({"steps": 10**20}, "steps = 1"),
        ({"replicas": 0}, "replicas = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"first": 3}, "multiple of 256"),
        ({"start": [1.0, 2.0, 3.0]}, r"start has shape \(3,\)"),
        ({"record": 0}, "record = 0"),
        ({"record": [0, 5]}, "times between 1 and steps"),
    ],
)
def test_bad_arguments(change, message):
    arguments = {"step": 0.5, "steps": 10, "replicas": 2, "seed": 0} | change
    with pytest.raises((TypeError, ValueError), match=message):
        simulate(problems.get("quadratic"), **arguments)


def test_replicas_without_noise_are_alike():
    f = problems.get("quadratic_cosine", bias=0.04)
    run = simulate(f, step=0.3, steps=20, replicas=BLOCK + 3, seed=0, first=BLOCK)
    assert run.value.shape[1] == len(run.final) == len(run.left) == BLOCK + 3
    assert (run.final == run.final[0]).all()


def test_wrong_gradient_shape():
    class Wrong(Own):
        def gradient(self, x):
            return x[:, :1]

    with pytest.raises(ValueError, match="gradient returned shape"):
        simulate(Wrong(), step=0.5, steps=3, replicas=1, seed=0)


@pytest.mark.parametrize("wrong", [lambda self, x: (x**2).sum(), lambda self, x: (x**2).sum(axis=1, keepdims=True)])
def test_wrong_shape_of_the_value_at_the_start(wrong):
    """Of a single point, above all."""
    with pytest.raises(ValueError, match=r"value returned shape .* for 1 replicas: expected \(1,\)"):
        simulate(type("Wrong", (Own,), {"value": wrong})(), step=0.5, steps=3, replicas=8, seed=0)


def test_a_start_below_the_declared_minimum_is_refused():
    """The gap would be 0, and the bound too low: it would be refuted."""
    high = type("High", (Own,), {"minimum": 10.0})()
    with pytest.raises(ValueError, match=r"minimum = 10\.0: f\(x_0\) = .* is less"):
        simulate(high, step=0.5, steps=3, replicas=8, seed=0)


@pytest.mark.parametrize("name", ["value", "gradient", "sample_gradient"])
def test_a_users_function_cannot_change_the_run(name):
    class Changing(Own):
        pass

    def change(self, x, *more):
        x *= 2
        return getattr(Own, name)(self, x, *more)

    setattr(Changing, name, change)
    with pytest.raises(ValueError, match=f"{name} changed its argument x: compute in a copy"):
        simulate(Changing(), step=0.5, steps=3, replicas=1, seed=0)
