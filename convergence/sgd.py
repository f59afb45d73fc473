"""SGD with biased gradients, vectorised over replicas: constant or scheduled steps, momentum, games."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.arguments import called, flag, folder, number, real, shown, whole
from convergence.assumptions import Assumptions
from convergence.ensemble import BLOCK, GROUP, Observed, Task, asked, run_task
from convergence.notebook import table
from convergence.problems.base import SyntheticProblem
from convergence.problems.protocol import Problem, start_of, start_size
from convergence.store import Store, key, packed, seal, unpacked, version_of
from convergence.tails import Envelope, run_envelope

__all__ = [
    "BLOCK",
    "MOST_REPLICAS",
    "MOST_STEPS",
    "Observed",
    "Trajectory",
    "per_step",
    "problem_fingerprint",
    "record_times",
    "simulate",
    "workers_lost",
]

Array = NDArray[np.float64]

MOST_STEPS, MOST_RECORDS, MOST_REPLICAS = 10**15, 10**7, 10**7
"""Up to here the times of records are whole numbers in float64; more records or replicas fill the memory."""

_PARTS = ("dim", "smoothness", "minimum", "noise", "bias", "value", "gradient", "sample_gradient")


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """What a simulation recorded. Arrays over (record, replica) unless stated.

    Attributes
    ----------
    problem : str
        The problem's description.
    assumptions : Assumptions
        The problem's declared constants, with Δ = f(x₀) - minimum.
    minimum : float
        The problem's declared minimum.
    step, steps, seed
        η (the mean of scheduled steps), T and the seed.
    scheduled : bool
        Whether the steps differ.
    momentum, nesterov : float, bool
        μ, and whether it is Nesterov's.
    times : ndarray of int, shape (record,)
        The numbers of steps taken at each record; the last is T.
    value : ndarray
        f(x_t).
    squared_gradient : ndarray
        ‖∇f(x_t)‖².
    mean_squared_gradient : ndarray
        (1/t) Σ_{s<t} ‖∇f(x_s)‖², whose expectation the bounds limit; with scheduled steps weighted by them,
        Σ η_s ‖∇f(x_s)‖²/Σ η_s. Over every k-th s only, if no others are measured.
    least_squared_gradient : ndarray
        min_{s<t} ‖∇f(x_s)‖².
    final : ndarray, shape (replica, dim)
        x_T.
    left : ndarray of bool, shape (replica,)
        Who was ever outside the problem's ``box``; nobody if it has none.
    enclosed : tuple, optional
        The problem, η or η_t, μ and whether it is Nesterov's, where something may be proved of each run: of one player
        on a problem of the library, with its own oracle and every gradient measured, or of a problem without noise.
    """

    problem: str
    assumptions: Assumptions
    minimum: float
    step: float
    steps: int
    seed: int
    times: NDArray[np.int64]
    value: Array
    squared_gradient: Array
    mean_squared_gradient: Array
    least_squared_gradient: Array
    final: Array
    left: NDArray[np.bool_]
    scheduled: bool = False
    momentum: float = 0.0
    nesterov: bool = False
    enclosed: tuple[SyntheticProblem, float | Array, float, bool] | None = field(default=None, repr=False)

    @cached_property
    def envelope(self) -> Envelope | None:
        """What is proved of the last ``mean_squared_gradient``, where something is: where noise is sub-Gaussian.

        It is found when first asked for: of short runs it takes longer than the run.
        """
        if self.enclosed is None:
            return None
        problem, step, momentum, nesterov = self.enclosed
        return run_envelope(problem, self.assumptions, step, self.steps, momentum=momentum, nesterov=nesterov)

    def _repr_html_(self) -> str:
        """In a notebook: what was run, and where its replicas ended."""
        last = {
            name.replace("_", " "): getattr(self, name)[-1].mean()
            for name in ("value", "squared_gradient", "mean_squared_gradient", "least_squared_gradient")
        }
        replicas = {"replicas": self.final.shape[0], "seed": self.seed}
        rows = (
            {"step": self.step, "steps": self.steps} | replicas | {f"{k}, mean at the end": v for k, v in last.items()}
        )
        return table(self.problem, rows)


def record_times(steps: int, record: int | ArrayLike) -> NDArray[np.int64]:
    """The times at which to record: about ``record`` of them spaced evenly in log t, or those given; T is always last.

    >>> record_times(1000, 4)
    array([   1,   10,  100, 1000])
    """
    given = real("record", record)  # type: ignore[arg-type]
    if given.ndim == 0:
        count = whole("record", record, least=1, most=MOST_RECORDS)
        times = np.unique(np.geomspace(1, steps, count).round().astype(np.int64)) if count > 1 else np.array([steps])
    else:
        if not given.size or not ((given >= 1) & (given <= steps) & (given == given.round())).all():
            raise ValueError(f"record = {shown(record)}: expected integers, times between 1 and steps = {steps}")
        times = np.unique(given).astype(np.int64)
    return times if times[-1] == steps else np.append(times, steps)


def per_step(name: str, values: ArrayLike, steps: int) -> Array:
    """A number for each step, from one for all or as many as there are steps.

    >>> per_step("step", 0.5, 3)
    array([0.5, 0.5, 0.5])
    """
    array = real(name, values)
    if array.shape not in ((), (steps,)):
        raise ValueError(f"{name} has shape {array.shape}: expected a number, or one for each of the {steps} steps")
    return np.broadcast_to(array, (steps,))


def problem_fingerprint(problem: Problem, *numbers: object, start: ArrayLike | None = None) -> str:
    """A digest of what a problem is: its name, its constants, and its values, gradients and samples around the start.

    It is the same in every process: where the description of a problem holds addresses in memory, as Python's own does,
    they do not count.

    >>> from convergence import problems
    >>> problem_fingerprint(problems.get("quadratic")) == problem_fingerprint(problems.get("quadratic", smoothness=2.0))
    False
    """
    rng = np.random.default_rng(0)
    x0 = start_of(problem, start)
    scale = start_size(x0) * np.array([0.0, 1e-6, 1e-4, 1e-2, 0.1, 0.5, 1.0, 2.0, 5.0])
    x = x0 + scale[:, None] * rng.standard_normal((scale.size, problem.dim))
    if (box := getattr(problem, "box", None)) is not None:
        x = np.clip(x, *box)
    described = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(problem))
    names = ("dim", "smoothness", "minimum", "noise", "bias", "relative_bias")
    constants = {name: repr(getattr(problem, name, 0.0)) for name in names}
    with np.errstate(all="ignore"):
        answers = (problem.value(x), problem.gradient(x), problem.sample_gradient(x, rng))
    around = seal(*(np.ascontiguousarray(answer).tobytes() for answer in answers))
    return key(version_of("numpy"), type(problem).__qualname__, described, repr(numbers), constants, around)


def simulate(
    problem: Problem,
    *,
    step: ArrayLike,
    steps: int,
    replicas: int,
    seed: int,
    momentum: float = 0.0,
    nesterov: bool = False,
    order: Literal["simultaneous", "sequential"] = "simultaneous",
    oracle: Callable[[int], Problem] | None = None,
    observe: Callable[[Observed], object] | None = None,
    every: int = 1,
    start: ArrayLike | None = None,
    record: int | ArrayLike = 64,
    first: int = 0,
    executor: Executor | None = None,
    checkpoint: str | Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> Trajectory:
    """Run x_{t+1} = x_t - η_t g_t for T steps on independent replicas.

    With momentum μ and v_{-1} = 0: v_t = μ v_{t-1} + g_t, and x_{t+1} = x_t - η_t v_t (heavy ball) or
    x_{t+1} = x_t - η_t (g_t + μ v_t) (Nesterov), as in PyTorch without dampening.

    Memory does not grow with the number of steps: averages run, and records are spaced evenly in log t. A problem of
    the library without noise is run once, since its replicas are alike.

    Parameters
    ----------
    problem : Problem
        A built-in problem or an object with the same attributes.
    step : float or array of shape (T,)
        η > 0, or η_t for each step. It is not checked against Λ: that is the bound's business.
    steps : int
        T ≥ 1.
    replicas : int
        Independent runs.
    seed : int
        Same seed, same numbers, however many replicas run: replica r uses stream r // 256 of the seed (r // B, where
        the problem has a smaller ``block`` B).
    momentum : float
        μ in [0, 1).
    nesterov : bool
        Whether momentum is Nesterov's.
    order : {"simultaneous", "sequential"}
        How the ``players`` of a game move (those of :class:`~convergence.problems.MutualLearning` are its students):
        all at once by the gradients at x_t, or one after the other, each by a gradient at where the others are by then.
        Others have one player.
    oracle : callable, optional
        ``oracle(t)`` answers at step t in place of the problem: the same f and the same σ² with another bias, for one
        that is annealed.
    observe : callable, optional
        Called with an ``Observed`` before each step, and at the end: to keep what no record holds. Runs of more than
        some thousand numbers pass in groups of replicas, one after the other. What it is shown is to be copied if kept.
    every : int
        ∇f is measured at every k-th step only, from a random one of the first k on, and at the records: for averages
        without bias of gradients that cost more than a draw of the oracle.
    start : array of shape (dim,), optional
        x₀, the same for all replicas; ``problem.start`` by default, or a vector of ones.
    record : int or array of int
        How many records, or at which times.
    first : int
        The index of the first replica, a multiple of 256 (or of ``block``): to add replicas to an earlier run.
    executor : concurrent.futures.Executor, optional
        Who shares the replicas: a process pool, or Dask's ``client.get_executor()``. The numbers do not depend on it;
        what a lost worker had is computed anew, by the engine or else here.
    checkpoint : path, optional
        A folder for unfinished work, renewed every few seconds: the same call after a kill continues from there, and
        ends with the same numbers. Emptied at the end.
    progress : callable, optional
        Called with the fraction done.

    Returns
    -------
    Trajectory
        Arrays over (record, replica), float64.

    Raises
    ------
    ValueError
        If an argument is out of range, ``value`` or ``gradient`` returns another shape than it should, f(x₀) is below
        the declared minimum, ``sample_gradient`` adds the same noise to every row, or a run with an observer or an
        oracle of its own is to be shared or kept.

    Examples
    --------
    >>> from convergence import problems
    >>> run = simulate(problems.get("quadratic"), step=0.5, steps=3, replicas=1, seed=0, record=[1, 2, 3])
    >>> run.squared_gradient[:, 0].tolist()
    [0.25, 0.0625, 0.015625]
    >>> path = []
    >>> run = simulate(
    ...     problems.get("quadratic"), step=[0.5, 0.25], steps=2, replicas=1, seed=0, momentum=0.5,
    ...     observe=lambda seen: path.append(float(seen.x[0, 0])),
    ... )
    >>> path
    [1.0, 0.5, 0.25]
    """
    steps, replicas = (
        whole("steps", steps, least=1, most=MOST_STEPS),
        whole("replicas", replicas, least=1, most=MOST_REPLICAS),
    )
    seed, first = whole("seed", seed, least=0), whole("first", first, least=0, most=2**62)
    eta: float | Array = real("step", step)  # type: ignore[arg-type]
    if np.ndim(eta) == 0:
        eta = number("step", step, least=0, strict=True)
    elif not (np.isfinite(per_step("step", eta, steps)) & (eta > 0)).all():
        raise ValueError(f"step = {shown(step)}: expected finite numbers > 0")
    mu, every = number("momentum", momentum, least=0), whole("every", every, least=1, most=MOST_STEPS)
    if mu >= 1:
        raise ValueError(f"momentum = {momentum!r}: expected a number in [0, 1); 0 means none")
    flag("nesterov", nesterov)
    if not isinstance(order, str) or order not in ("simultaneous", "sequential"):
        raise ValueError(f"order = {shown(order)}: expected 'simultaneous' or 'sequential'")
    if lacking := [name for name in _PARTS if not hasattr(problem, name)]:
        raise TypeError(f"problem = {shown(problem)}: expected a convergence.Problem; it lacks {', '.join(lacking)}")
    if executor is not None and not hasattr(executor, "submit"):
        raise TypeError(f"executor = {shown(executor)}: expected a concurrent.futures.Executor")
    for name, function in (("progress", progress), ("observe", observe), ("oracle", oracle)):
        called(name, function)
    unfinished = folder("checkpoint", checkpoint)
    if (observe or oracle) and (executor or unfinished):
        raise ValueError("observe, oracle: these are called here; expected neither executor nor checkpoint beside them")
    library = isinstance(problem, SyntheticProblem)
    block = problem.block if library else BLOCK
    if first % block:
        raise ValueError(f"first = {first!r}: expected a multiple of {block}, where a random stream starts")
    alike = library and not problem.noise
    if alike:
        block = 1
    x0 = start_of(problem, start)
    if x0.shape != (problem.dim,):
        raise ValueError(f"start has shape {x0.shape}: expected ({problem.dim},), the problem's dimension")
    times = record_times(steps, record)
    if not np.isfinite(x0).all():
        raise ValueError(f"start = {shown(x0)}: expected finite numbers")
    # Constants that cannot be are refused before the run, not after it.
    with np.errstate(over="ignore", invalid="ignore"):
        at_start, infimum = float(asked(problem, "value", x0[None], (1,))[0]), number("minimum", problem.minimum)
        gap = at_start - infimum
    # At the minimum, rounding may leave the start a little below it.
    if gap < -1e-9 * max(abs(at_start), abs(infimum)):
        raise ValueError(
            f"minimum = {infimum!r}: f(x_0) = {at_start!r} is less; give the infimum of f, or a lower bound of it"
        )
    assumptions = Assumptions(
        smoothness=problem.smoothness, gap=max(gap, 0.0), noise=problem.noise, bias=problem.bias,
        relative_bias=getattr(problem, "relative_bias", 0.0),
    )  # fmt: skip
    if problem.noise and not library and replicas > 1:
        _refuse_shared_noise(problem, x0)
    players = tuple(problem.players) if library and order == "sequential" else (slice(None),)
    count, offset = (1, 0) if alike else (-(-replicas // block), first // block)
    group = max(1, min(GROUP // (block * problem.dim), count if executor is None else -(-count // 8)))
    tasks = [
        Task(
            problem, x0, eta, times, seed, range(offset + at, offset + min(at + group, count)), block, mu, nesterov,
            players, every, observe, oracle,
        )
        for at in range(0, count, group)
    ]  # fmt: skip
    store, key = None, ""
    if unfinished is not None:
        unfinished.mkdir(parents=True, exist_ok=True)
        store = Store(unfinished.resolve())
        how = (np.asarray(eta).tolist(), times.tolist(), seed, mu, nesterov, order, every)
        key = problem_fingerprint(problem, x0.tolist(), *how, start=x0)
    parts = _run_tasks(tasks, executor, store, key, progress)
    plain = oracle is None and len(players) == 1 and every == 1
    # Full blocks are drawn even where fewer replicas are asked for: replica r must not depend on how many run.
    kept = np.zeros(replicas, dtype=np.intp) if alike else np.arange(replicas)
    value, squared, mean, least = np.concatenate([part["records"] for part in parts], axis=-1)[..., kept]
    return Trajectory(
        problem=repr(problem), assumptions=assumptions,
        minimum=float(problem.minimum), step=float(np.mean(eta)), steps=steps, seed=seed, times=times,
        value=value, squared_gradient=squared, mean_squared_gradient=mean, least_squared_gradient=least,
        final=np.concatenate([part["final"] for part in parts])[kept],
        left=np.concatenate([part["left"] for part in parts])[kept] > 0,
        scheduled=bool(np.ptp(eta)), momentum=mu, nesterov=bool(nesterov and mu),
        enclosed=(problem, eta, mu, nesterov)
        if isinstance(problem, SyntheticProblem) and (plain or alike) else None,
    )  # fmt: skip


def _refuse_shared_noise(problem: Problem, start: Array) -> None:
    """Refuse an oracle that adds the same noise to all rows: its replicas would be one run, however many there are."""
    x = np.repeat(start[None], 8, axis=0)
    with np.errstate(all="ignore"):
        draws = np.array([asked(problem, "sample_gradient", x, x.shape, np.random.default_rng(n)) for n in range(8)])
        # The order of a sum over rows may matter for the last digits.
        last = 1e-9 * np.abs(draws).max()
        if (np.ptp(draws, axis=1) <= last).all() and (np.ptp(draws, axis=0) > last).any():
            raise ValueError(
                "sample_gradient adds the same noise to every row of x: expected independent rows, one for each "
                "replica; draw with size x.shape"
            )


def workers_lost(error: BaseException) -> bool:
    """Whether an executor's error says that its workers, or Dask's scheduler, are gone: that work may be done again."""
    # Dask's own, which may not be installed.
    return isinstance(error, BrokenExecutor | CancelledError) or type(error).__name__ in (
        "KilledWorker", "CommClosedError"
    )  # fmt: skip


def _outcome(future: Future[dict[str, Array]]) -> dict[str, Array] | None:
    """The result of a task; None if its workers are lost, so that the work goes on here."""
    try:
        return future.result()
    except (Exception, CancelledError) as error:
        if workers_lost(error):
            return None
        raise


def _finished(task: Task, content: bytes | None) -> dict[str, Array] | None:
    """The result of a task that an earlier run has kept."""
    found, count = unpacked(content), len(task.blocks) * task.block
    shapes = {"records": (4, len(task.times), count), "final": (count, task.start.size), "left": (count,)}
    return found if found is not None and {name: a.shape for name, a in found.items()} == shapes else None


def _run_tasks(
    tasks: list[Task], executor: Executor | None, store: Store | None, key: str,
    progress: Callable[[float], None] | None,
) -> list[dict[str, Array]]:  # fmt: skip
    """The results of all tasks, from the store of unfinished work where they are there."""
    names = [f"{key}.{task.blocks.start}-{task.blocks.stop}" for task in tasks]

    def report(done: float) -> None:
        if progress is not None:
            progress(done / len(tasks))

    results = [
        None if store is None else _finished(task, store.get(f"{name}.done"))
        for task, name in zip(tasks, names, strict=True)
    ]
    missing = [number for number, result in enumerate(results) if result is None]
    futures = {n: executor.submit(run_task, tasks[n], store, f"{names[n]}.part") for n in missing} if executor else {}
    try:
        for before, number in enumerate(missing, len(tasks) - len(missing)):
            result = _outcome(futures[number]) if futures else None
            if result is None:
                result = run_task(
                    tasks[number], store, f"{names[number]}.part",
                    progress=lambda part, before=before: report(before + part),
                )  # fmt: skip
            results[number] = result
            if store is not None:
                store.put(f"{names[number]}.done", packed(result))
            report(before + 1)
    finally:
        for future in futures.values():
            future.cancel()
    if store is not None:
        # What a kill left half written, too, and the parts of another number of workers.
        store.remove(key)
    return [result for result in results if result is not None]
