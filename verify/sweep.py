"""Sweeps: a file that describes many simulations, each computed once and kept by its content.

A file is TOML or JSON with a list of tables named ``sweep``. In a table, a list means that each of its values is tried,
crossed with all the others; what is not a setting of the simulation is a parameter of the problem.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, as_completed
from contextlib import contextmanager
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from convergence.arguments import shown
from convergence.sgd import workers_lost
from convergence.store import Store, locked, own_folder, remove_unfinished, write
from convergence.sweep import Cell, run_cell
from verify.reading import LIMIT, obstacle, read_json, read_toml
from verify.workers import worker_pool

__all__ = ["CellRecord", "SweepError", "SweepResult", "read_cells", "run_sweep"]

CELLS, UNFINISHED, TABLE = "cells", ".unfinished", "sweep.csv"
MOST_CELLS = 20_000
"""Of one file: their tables and records fit into a gigabyte."""

_SETTINGS = ("problem", "step", "h", "steps", "replicas", "seed", "records")
_RESTARTS = 3
"""How often a pool that lost its workers, or a scheduler, is asked again before the sweep gives up."""


class SweepError(ValueError):
    """A sweep's file or folder that cannot be used, with the reason and the remedy."""


class CellRecord(BaseModel):
    """A finished cell, as it is kept: see :func:`convergence.sweep.run_cell`."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    key: str
    cell: dict[str, Any]
    step: float
    h: float
    constants: dict[str, float]
    average: float
    low: float
    high: float
    last: float
    bound: float | None
    ratio: float | None
    outcome: Literal["confirmed", "refuted", "undecided"] | None
    times: tuple[int, ...]
    mean_squared_gradient: tuple[float, ...]
    squared_gradient: tuple[float, ...]


class SweepResult(BaseModel):
    """All cells of a sweep in the order of its file, and how many of them were there before."""

    model_config = ConfigDict(frozen=True)

    cells: tuple[CellRecord, ...]
    resumed: int


def read_cells(path: Path) -> list[Cell]:
    """The cells that a file describes, each once.

    Raises
    ------
    SweepError
        If the file cannot be read, or a cell is refused; the message says which.
    """
    try:
        read = read_json if path.suffix == ".json" else read_toml
        document = read(path, what="a sweep")
    except ValueError as error:
        raise SweepError(str(error)) from None
    tables = document.get("sweep") if isinstance(document, dict) else None
    if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
        raise SweepError(f"{path}: expected a list of tables named sweep ([[sweep]] in TOML)")
    if unknown := set(document) - {"sweep"}:
        raise SweepError(f"{path}: unknown entry {', '.join(sorted(unknown))}: expected [[sweep]] tables only")
    count = sum(prod(len(v) if isinstance(v, list) else 1 for v in table.values()) for table in tables)
    if count > MOST_CELLS:
        raise SweepError(f"{path}: describes {count} cells: expected at most {MOST_CELLS}; make several sweeps of it")
    found: dict[str, Cell] = {}
    for number, table in enumerate(tables, 1):
        for cell in _crossed(f"{path}, sweep {number}", table):
            found.setdefault(cell.key(), cell)
    return list(found.values())


def _crossed(where: str, table: dict[str, Any]) -> Iterator[Cell]:
    if "problem" not in table or "steps" not in table:
        raise SweepError(f"{where}: expected problem, steps and one of step and h")
    # A parameter whose one value is a list is written as a list in a list.
    choices = {name: value if isinstance(value, list) else [value] for name, value in table.items()}
    for name, values in choices.items():
        if not values:
            raise SweepError(f"{where}: {name} = []: expected at least one value")
    for values in product(*choices.values()):
        chosen = dict(zip(choices, values, strict=True))
        settings = {name: chosen.pop(name) for name in _SETTINGS if name in chosen}
        try:
            yield Cell(**settings, parameters=chosen)
        except (TypeError, ValueError, ArithmeticError, MemoryError) as error:
            raise SweepError(f"{where}, {shown(settings | chosen)}: {error or 'not enough memory'}") from None


def _kept(store: Store, key: str, cell: Cell) -> CellRecord | None:
    try:
        record = CellRecord.model_validate_json(store.get(key, limit=LIMIT) or b"")
    except ValidationError:
        return None
    return record if record.key == key and record.cell == cell.content() else None


@contextmanager
def _executor(jobs: int, scheduler: str | None) -> Iterator[Executor | None]:
    """Who computes: this process, a pool of processes, or the workers of a Dask cluster."""
    if scheduler is not None:
        try:
            from distributed import Client
        except ImportError:
            raise SweepError("a scheduler needs distributed: pip install 'rdml-theory[distributed]'") from None
        try:
            client = Client(scheduler, timeout="10s")
        except (OSError, ValueError) as error:
            raise SweepError(f"no scheduler at {scheduler}: {error}; finished cells are kept") from None
        with client, client.get_executor() as executor:
            yield executor
    elif jobs > 1:
        with worker_pool(jobs) as pool:
            yield pool
    else:
        yield None


def run_sweep(
    cells: list[Cell],
    folder: Path,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SweepResult:
    """Compute the cells that the folder does not have, and write a table of all.

    Parameters
    ----------
    cells : list of Cell
        From :func:`read_cells`.
    folder : Path
        Where finished cells are kept (``cells/KEY``), unfinished ones continue, and ``sweep.csv`` is written.
    jobs : int
        Worker processes; no number depends on it.
    scheduler : str, optional
        The address of a Dask scheduler, whose workers compute instead.
    progress : callable
        Called with the numbers of finished and of all cells.

    Returns
    -------
    SweepResult

    Raises
    ------
    SweepError
        If the folder cannot be created, no scheduler answers, or workers die again and again.
    OSError
        If the folder cannot be used, or another process is writing to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SweepError(f"--out {folder}: cannot be created ({obstacle(folder, error)}); name another") from None
    store, unfinished = (Store(own_folder(folder / name)) for name in (CELLS, UNFINISHED))
    with locked(folder, (TABLE,)):
        keys = [cell.key() for cell in cells]
        remove_unfinished(store.folder, keys)
        wanted = dict(zip(keys, cells, strict=True))
        done = {key: kept for key in keys if (kept := _kept(store, key, wanted[key])) is not None}
        resumed = len(done)
        progress(resumed, len(keys))

        def keep(key: str, result: dict[str, Any]) -> None:
            done[key] = CellRecord(key=key, **result)
            store.put(key, done[key].model_dump_json(indent=1))
            progress(len(done), len(keys))

        for attempt in range(_RESTARTS + 1):
            try:
                _compute({k: c for k, c in wanted.items() if k not in done}, unfinished.folder, jobs, scheduler, keep)
                break
            except (Exception, CancelledError) as error:
                if not workers_lost(error):
                    raise
                if attempt == _RESTARTS:
                    raise SweepError(f"workers died {_RESTARTS + 1} times; {len(done)} cells are kept") from None
        result = SweepResult(cells=tuple(done[key] for key in keys), resumed=resumed)
        write(folder / TABLE, _table(result))
        return result


@contextmanager
def _named(cell: Cell) -> Iterator[None]:
    """What a cell refuses only when it runs, such as a start at which f is infinite, is a fault of the sweep's file."""
    try:
        yield
    except ValueError as error:
        raise SweepError(f"{shown(cell.content())}: {error}") from None


def _compute(
    missing: dict[str, Cell], unfinished: Path, jobs: int, scheduler: str | None, keep: Callable[[str, Any], None]
) -> None:
    if not missing:
        return
    unfinished = unfinished.resolve()
    with _executor(min(jobs, len(missing)), scheduler) as executor:
        if executor is None:
            for key, cell in missing.items():
                with _named(cell):
                    result = run_cell(cell, unfinished)
                keep(key, result)
            return
        futures: dict[Future[Any], str] = {executor.submit(run_cell, c, unfinished): k for k, c in missing.items()}
        try:
            for future in as_completed(futures):
                with _named(missing[futures[future]]):
                    result = future.result()
                keep(futures[future], result)
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _table(result: SweepResult) -> str:
    """Every cell as a line: settings, parameters and scalars."""
    parameters = sorted({name for record in result.cells for name in record.cell["parameters"]})
    scalars = ("step", "h", "average", "low", "high", "last", "bound", "ratio", "outcome")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["key", "problem", "steps", "replicas", "seed", *parameters, *scalars])
    for record in result.cells:
        settings = [record.cell[name] for name in ("problem", "steps", "replicas", "seed")]
        given = [record.cell["parameters"].get(name, "") for name in parameters]
        numbers = ["" if (v := getattr(record, name)) is None else v for name in scalars]
        writer.writerow([record.key[:12], *settings, *given, *numbers])
    return out.getvalue()
