"""Problems of users: sweep, verify-problem."""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from verify.commands.common import (
    COLOURS,
    Interrupted,
    Number,
    UsageFault,
    Whole,
    errors,
    jobs_option,
    json_option,
    outcome_word,
    output,
    plain,
    print_json,
    seed_option,
    sentence,
    tabled,
)

if TYPE_CHECKING:
    from verify.problem_check import Trial


@click.command("sweep", short_help="Run many simulations from a file, each once.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", required=True, help="Folder for the results.")
@jobs_option
@click.option("--scheduler", metavar="ADDRESS", help="Use the workers of this Dask scheduler instead of --jobs.")
@json_option
def sweep_command(file: Path, out: Path, jobs: int, scheduler: str | None, as_json: bool) -> int:
    """Run the simulations that FILE (TOML or JSON) describes, each once.

    Finished simulations are kept and not run again; a sweep that was stopped, or whose file has grown, continues where
    it stopped. Writes DIR/sweep.csv. Exit code 1 means that a measured average refutes the sharp bound.
    """
    from verify.sweep import TABLE, SweepError, read_cells, run_sweep
    from verify.workers import terminated_raises

    try:
        cells = read_cells(file)
        if out.exists() and not out.is_dir():
            raise SweepError(f"--out {out}: is a file; name a directory")
        columns = (TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with (
            terminated_raises(),
            Progress(*columns, console=(log := errors()), transient=True, disable=not log.is_terminal) as bars,
        ):
            task = bars.add_task("cells", total=len(cells))
            result = run_sweep(
                cells, out, jobs=jobs, scheduler=scheduler,
                progress=lambda done, total: bars.update(task, completed=done),
            )  # fmt: skip
    except SweepError as error:
        raise UsageFault(str(error)) from None
    except MemoryError as error:
        raise UsageFault(f"not enough memory for a cell ({error}): use fewer replicas, records or dim") from None
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; finished cells are kept in {out}: run the same command to continue") from None
    if as_json:
        print_json(result.model_dump_json(indent=1))
    else:
        outcomes = [cell.outcome for cell in result.cells]
        counts = ", ".join(f"{outcomes.count(o)} {o}" for o in COLOURS)
        outside = outcomes.count(None)
        click.echo(
            f"{len(outcomes)} cells, {result.resumed} kept from before; the bound: {counts}, {outside} outside it"
        )
        click.echo(out / TABLE)
    return 1 if any(cell.outcome == "refuted" for cell in result.cells) else 0


@click.command("verify-problem", short_help="Judge a problem of your own: constants, then bound.")
@click.argument("reference", metavar="MODULE:NAME")
@click.option("--steps", type=Whole(min=1), default=1000, show_default=True, help="T, the number of steps of SGD.")
@click.option(
    "--step", type=Number(), multiple=True, metavar="η", help="Judge the bound at this step size; repeatable."
)
@click.option(
    "--single-point", is_flag=True, help="Call the functions with one point of shape (dim,) at a time (slow)."
)
@seed_option
@click.option("--traceback", "trace", is_flag=True, help="Show the traceback of an exception in the problem's code.")
@json_option
def verify_problem_command(
    reference: str, steps: int, step: tuple[float, ...], single_point: bool, seed: int, trace: bool, as_json: bool
) -> int:
    """Judge a problem of your own: its declared constants first, and then the bound on it.

    MODULE:NAME (or FILE.py:NAME) names an object with the attributes of a problem, or a class or function that makes
    one. Every wrong constant is named, with a point that shows it, and constants that are not declared are estimated;
    the bound is then not judged.

    Exit code 0: nothing refuted, and the bound confirmed at every step size. 1: something refuted. 2: not a problem,
    with the reason. 3: undecided or not judged, such as a bound outside its domain.
    """
    from convergence import ByRows
    from verify.problem_check import ProblemError, check_problem, load_problem

    try:
        # What the problem's own code prints must not mix with the result.
        with errors().status("importing the problem") as status, contextlib.redirect_stdout(sys.stderr):
            problem = load_problem(reference)
            trial = check_problem(
                ByRows(problem) if single_point else problem, seed=seed, steps=steps, step=step,
                progress=lambda n: status.update(f"judging {n}"),
            )  # fmt: skip
    except ProblemError as error:
        if trace and (cause := error.__cause__) is not None:
            traceback.print_exception(cause)
        raise UsageFault(str(error)) from None
    except MemoryError as error:
        raise UsageFault(f"not enough memory ({error}): use a problem of fewer dimensions") from None
    if as_json:
        parts = [{key: plain(value) for key, value in asdict(part).items()} for part in trial.parts]
        document = {"problem": trial.problem, "outcome": trial.outcome, "wrong": trial.wrong, "parts": parts}
        print_json(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2))
    else:
        _print_trial(trial)
    return {"confirmed": 0, "refuted": 1, "undecided": 3}[trial.outcome]


_LABELS = {"gradient": "gradient, a slope", "smoothness": "smoothness Λ", "noise": "noise σ²", "bias": "bias ζ²"}


def _print_trial(trial: Trial) -> None:
    console = output()
    rows = []
    for part in trial.parts:
        numbers = ("-" if number is None else f"{number:.6g}" for number in (part.declared, part.found))
        rows.append((_LABELS.get(part.name, part.name), outcome_word(part.outcome), *numbers))
    tabled(console, ("part", "verdict", "declared", "found"), rows, right=("declared", "found"))
    for part in trial.parts:
        sentence(console, f"{part.name}: {part.detail}")
    missing = [part.name for part in trial.parts if part.outcome == "not judged" and not part.name.startswith("bound")]
    for what, names in (("wrong", trial.wrong), ("not declared", missing)):
        if names:
            sentence(console, f"{what}: {', '.join(names)}; the bound was not judged")
