"""The command line: list, run, plot, report, bound, train. ``rdml`` and ``python -m verify`` are the same program."""

from __future__ import annotations

import io
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from verify.records import ClaimRecord, RecordError, RunRecord, read_run, write_atomically

if TYPE_CHECKING:
    from verify.problem_check import Trial

__all__ = ["app", "main"]

# Importing SymPy, SciPy and Matplotlib takes a second or two, which `--help` and wrong usage need not pay: the
# commands import what they use.

RESULTS = "results.json"
REPORT = "report.html"
FIGURES = "figures"

Unit = tuple[str, str]

_EPILOG = """\b
Exit codes
  0    every claim confirmed and every control refuted
  1    a claim refuted, a control not refuted, or a check that refutes no control
  2    wrong usage, unusable files, or a missing extra
  3    a claim undecided
  70   internal error, with a traceback
  130  interrupted
  141  the reader of the output is gone
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=_EPILOG)
@click.version_option(package_name="rdml-theory")
def app() -> None:
    """Check the theory of Rényi-divergence deep mutual learning by running it.

    Each claim ties a statement to its derivation, its numeric check, its experiment and its figure. Each has false
    twins (controls), which the same code must refute.

    \b
    Start with
      rdml list                  the claims
      rdml run D1                one of them confirmed, its false twins refuted
      rdml run --out results     all of them; then open results/report.html
    """  # noqa: D301 - click reads the backspace as "do not wrap"


# Options that several commands share.
_ids = click.argument("ids", nargs=-1, metavar="[ID]...")
_profile = click.option(
    "--profile",
    type=click.Choice(["quick", "full"]),
    default="quick",
    show_default=True,
    help="quick: about a minute. full: more points, replicas and steps.",
)
_jobs = click.option(
    "--jobs",
    type=click.IntRange(min=1, max=256),
    default=1,
    show_default=True,
    help="Worker processes. The numbers do not depend on it.",
)
_seed = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same numbers."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output and nothing else there.")


class UsageFault(click.ClickException):
    """One clear line and exit code 2."""

    exit_code = 2


def _errors() -> Console:
    return Console(stderr=True, highlight=False)


def _checked_ids(ids: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """The ids in canonical form, each once."""
    names = {name.casefold(): name for name in known}
    out = []
    for given in ids or []:
        if given.casefold() not in names:
            raise UsageFault(f"unknown claim {given!r}: known are {', '.join(known)}; see `rdml list`")
        out.append(names[given.casefold()])
    return list(dict.fromkeys(out))


def _print_json(text: str) -> None:
    # As bytes: JSON is UTF-8, whatever the encoding of the terminal.
    click.echo(text.encode())


def _refuse_unusable(out: Path) -> None:
    """Refuse a directory that holds foreign files, or others where a run writes its own."""
    from verify.runner import JOURNAL, final_name, foreign_entries

    if not out.exists():
        return
    if not out.is_dir():
        raise UsageFault(f"--out {out}: is a file; name a directory")
    for name, folder in ((RESULTS, False), (REPORT, False), (FIGURES, True), (JOURNAL, True)):
        path = out / name
        if path.exists() and path.is_dir() != folder:
            wrong, right = ("file", "directory") if folder else ("directory", "file")
            raise UsageFault(f"--out {out}: {name} is a {wrong}, where a run writes a {right}; name another directory")
    ours = {RESULTS, REPORT, FIGURES, JOURNAL}
    if not (out / RESULTS).exists() and any(final_name(entry.name) not in ours for entry in out.iterdir()):
        raise UsageFault(
            f"--out {out}: is not empty and holds no {RESULTS}; name a new, an empty or a results directory"
        )
    if foreign := foreign_entries(out / JOURNAL):
        raise UsageFault(f"--out {out}: {JOURNAL}/{foreign[0]} is not a run's; move it or name another directory")
    if not os.access(out, os.W_OK | os.X_OK):
        raise UsageFault(f"--out {out}: is not writable; change its permissions or name another directory")


@contextmanager
def _results_folder(out: Path | None) -> Iterator[Path | None]:
    """OUT as a results directory that this run alone writes to; nothing foreign is touched."""
    from verify.runner import OccupiedError, exclusive

    if out is None:
        yield None
        return
    _refuse_unusable(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageFault(f"--out {out}: cannot be created ({error.strerror}); name another directory") from None
    try:
        with exclusive(out):
            yield out
    except OccupiedError as error:
        raise UsageFault(f"--out: {error}") from None


@app.command("list")
@_json
def list_claims(as_json: bool) -> None:
    """List the claims: id, kind, statement and source."""
    from verify.claims import all_claims

    claims = list(all_claims().values())
    if as_json:
        rows = [
            {
                "id": c.id, "title": c.title, "kind": c.direction, "statement": c.statement(c.subject).text(),
                "source": c.source.work, "arxiv": c.source.arxiv, "checks": [k.id for k in c.checks],
                "controls": [t.id for t in c.twins],
            }
            for c in claims
        ]  # fmt: skip
        _print_json(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "title", "kind", "statement", "source"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "id")
    for c in claims:
        source = c.source.work + (f", arXiv {c.source.arxiv}" if c.source.arxiv else "")
        table.add_row(*(escape(x) for x in (c.id, c.title, c.direction, c.statement(c.subject).text(), source)))
    Console(highlight=False).print(table)


@contextmanager
def _progress_bars() -> Iterator[tuple[Callable[[list[Unit], list[Unit]], None], Callable[[Unit, float], None]]]:
    """Callbacks for the runner that draw on standard error."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_errors(), transient=True) as bars:
        total = bars.add_task("checks", total=None)
        lines: dict[Unit, TaskID] = {}

        def started(units: list[Unit], resumed: list[Unit]) -> None:
            bars.update(total, total=len(units), completed=len(resumed))
            if resumed:
                bars.console.print(f"resumed: {len(resumed)} of {len(units)} checks were finished before")

        def progress(unit: Unit, fraction: float) -> None:
            if unit not in lines:
                lines[unit] = bars.add_task(f"  {unit[0]} {unit[1]}", total=100)
            bars.update(lines[unit], completed=100 * fraction, visible=fraction < 1)
            if fraction >= 1 and not bars.tasks[lines[unit]].fields.get("counted"):
                bars.update(lines[unit], counted=True)
                bars.advance(total)

        yield started, progress


def _run(ids: list[str], profile: Any, jobs: int, seed: int, folder: Path | None, *, cached: bool = True) -> RunRecord:
    from verify.proof_cache import default_folder
    from verify.runner import JOURNAL, RunSettings, run_claims

    with _progress_bars() as (started, progress):
        try:
            return run_claims(
                ids,
                RunSettings(profile, seed, jobs=jobs, cache=default_folder() if cached else None),
                folder=folder,
                started=started,
                progress=progress,
            )
        except KeyboardInterrupt:
            kept = len(list((folder / JOURNAL).glob("*.json"))) if folder else 0
            where = f"; {kept} finished checks are kept in {folder}: run the same command to continue" if folder else ""
            raise Interrupted(f"interrupted, no results written{where}") from None
        except (EOFError, ConnectionError) as error:
            # A pipe to a worker, not one to a reader of the output.
            raise RuntimeError("a worker process ended unexpectedly") from error


class Interrupted(click.ClickException):
    """One line and the conventional exit code of an interrupted program."""

    exit_code = 130


def _write_figures(run: RunRecord, folder: Path, ids: Sequence[str] | None = None) -> list[Path]:
    from verify.plots import write_figures

    target = folder / FIGURES
    target.mkdir(exist_ok=True)
    return write_figures(run, target, ids=ids)


def _remove_other_figures(folder: Path, written: Sequence[Path]) -> None:
    """Remove the figures of earlier runs that are not among those written, and nothing else."""
    from verify.claims import all_claims
    from verify.plots import FORMATS, file_stem
    from verify.runner import final_name

    claims: list[Any] = list(all_claims().values())
    with suppress(RecordError):
        # Claims may have had other titles, hence other files.
        claims += read_run(folder / RESULTS).claims
    named = {f"{file_stem(claim)}.{kind}" for claim in claims for kind in FORMATS}
    for path in (folder / FIGURES).iterdir():
        if final_name(path.name) in named and path not in written and path.is_file():
            path.unlink()


def _save(run: RunRecord, folder: Path) -> None:
    """Figures and report first, results last: a results file means that everything is there."""
    from verify.report import write_report
    from verify.runner import clear_journal

    try:
        _remove_other_figures(folder, _write_figures(run, folder))
        write_report(run, folder / REPORT)
        write_atomically(folder / RESULTS, run.model_dump_json(indent=1))
    except OSError as error:
        raise UsageFault(
            f"--out {folder}: cannot be written ({error.strerror or error}); free space or name another"
        ) from None
    clear_journal(folder)


_COLOURS = {"confirmed": "green", "refuted": "red", "undecided": "yellow"}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def _verdict_table(run: RunRecord) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "title", "kind", "verdict", "margin", "error rate", "controls refuted"):
        table.add_column(heading, justify="right" if heading in ("margin", "error rate") else "left")
    for c in run.claims:
        refuted = sum(k.outcome == "refuted" for k in c.controls)
        controls = f"{refuted} of {len(c.controls)}"
        table.add_row(
            c.id, escape(c.title), c.direction, f"[{_COLOURS[c.outcome]}]{c.outcome}[/]", _number(c.margin),
            _number(c.error_rate), controls if refuted == len(c.controls) else f"[red]{controls}[/]",
        )  # fmt: skip
    return table


def _complaints(claim: ClaimRecord) -> Iterator[str]:
    """What a reader wants to know first about a claim that is not confirmed or a control that is not refuted."""
    for check in claim.checks:
        for part in (*check.comparisons, *check.steps):
            if part.outcome != "confirmed":
                name = part.name if hasattr(part, "name") else part.reason  # type: ignore[union-attr]
                observed = getattr(part, "observed", None)
                numbers = "" if observed is None else f": observed {observed:.6g}, allowed {part.allowed:.6g}"  # type: ignore[union-attr]
                yield f"{claim.id} {check.id} {part.outcome}: {name}{numbers}"
    for control in claim.controls:
        if control.outcome != "refuted":
            yield f"{claim.id} control {control.id} {control.outcome}, not refuted: {control.falsehood}"


def _tell(run: RunRecord, folder: Path | None) -> None:
    console = Console(highlight=False)
    console.print(_verdict_table(run))
    for claim in run.claims:
        for line in _complaints(claim):
            console.print(f"  {escape(line)}", soft_wrap=True)
    for name in run.summary.toothless:
        line = f"{name.replace('.', ' ', 1)} refutes no control: what it confirms says little"
        console.print(f"  {escape(line)}", soft_wrap=True)
    claims, controls = run.summary.claims, run.summary.controls
    console.print(
        f"\n{claims['confirmed']} of {len(run.claims)} claims confirmed, {claims['refuted']} refuted, "
        f"{claims['undecided']} undecided; {controls['refuted']} of {sum(controls.values())} controls refuted; "
        f"{run.profile} profile, seed {run.seed}, {run.environment.seconds:.0f} s"
    )
    if folder is not None:
        console.print(f"results, figures and report: {folder / REPORT}", soft_wrap=True)


@app.command("run", epilog=_EPILOG)
@_ids
@_profile
@_jobs
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write results.json, figures/ and report.html here; an interrupted run continues from here.",
)
@_seed
@click.option("--no-cache", is_flag=True, help="Decide every proof step anew: use and keep no earlier decisions.")
@_json
def run_command(
    ids: Sequence[str], profile: Any, jobs: int, out: Path | None, seed: int, no_cache: bool, as_json: bool
) -> None:
    """Run claims by ID (all by default) with their false twins.

    Symbolic, numeric, Monte Carlo and training checks judge each claim and each of its false twins by the same code.
    Without --out nothing is written but the table of verdicts. Decisions of proof steps are kept in the user's cache
    directory (or $RDML_CACHE) and checked before they are used again.
    """
    from verify.claims import all_claims

    chosen = _checked_ids(ids, list(all_claims()))
    with _results_folder(out) as folder:
        run = _run(chosen, profile, jobs, seed, folder, cached=not no_cache)
        if folder is not None:
            _save(run, folder)
    if as_json:
        _print_json(run.model_dump_json(indent=1))
    else:
        _tell(run, folder)
    click.get_current_context().exit(run.summary.exit_code)


def _read(path: Path) -> RunRecord:
    try:
        return read_run(path)
    except RecordError as error:
        raise UsageFault(str(error)) from None


@app.command("plot")
@_ids
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    required=True,
    help="A results directory; without results in it, the claims are run first.",
)
@_profile
@_jobs
@_seed
def plot_command(ids: Sequence[str], out: Path, profile: Any, jobs: int, seed: int) -> None:
    """Draw the figures of claims (PNG, SVG, PDF) from the records of a run.

    Profile, jobs and seed are those of a run that is needed first.
    """
    if (out / RESULTS).exists():
        run = _read(out / RESULTS)
        chosen = _checked_ids(ids, [c.id for c in run.claims])
    else:
        from verify.claims import all_claims

        chosen = _checked_ids(ids, list(all_claims()))
        with _results_folder(out):
            run = _run(chosen, profile, jobs, seed, out)
            _save(run, out)
    for path in _write_figures(run, out, chosen or None):
        click.echo(path)


@app.command("report")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
def report_command(folder: Path) -> None:
    """Write report.html, one self-contained file, from the records in DIR."""
    from verify.report import write_report

    run = _read(folder / RESULTS)
    try:
        write_report(run, folder / REPORT)
    except OSError as error:
        raise UsageFault(f"{folder / REPORT}: cannot be written ({error.strerror})") from None
    click.echo(folder / REPORT)


def _plain(value: Any) -> Any:
    """JSON has no infinities and no NaN: they are written as strings, as in the records of a run."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


@app.command("sweep")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", required=True, help="Where cells are kept.")
@_jobs
@click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler, whose workers compute in place of --jobs.")
@_json
def sweep_command(file: Path, out: Path, jobs: int, scheduler: str | None, as_json: bool) -> int:
    """Run the simulations that FILE (TOML or JSON) describes, each once.

    Finished cells are kept by their content and not computed again; a sweep that was stopped, or whose file has grown,
    goes on where it is. Writes DIR/sweep.csv. Exit code 1 means that a measured average refutes the sharp bound.
    """
    from verify.sweep import TABLE, SweepError, read_cells, run_sweep

    try:
        cells = read_cells(file)
        if out.exists() and not out.is_dir():
            raise SweepError(f"--out {out}: is a file; name a directory")
        with Progress(TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=_errors(),
                      transient=True) as bars:  # fmt: skip
            task = bars.add_task("cells", total=len(cells))
            result = run_sweep(
                cells, out, jobs=jobs, scheduler=scheduler,
                progress=lambda done, total: bars.update(task, completed=done),
            )  # fmt: skip
    except SweepError as error:
        raise UsageFault(str(error)) from None
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; finished cells are kept in {out}: run the same command to continue") from None
    if as_json:
        _print_json(result.model_dump_json(indent=1))
    else:
        outcomes = [cell.outcome for cell in result.cells]
        counts = ", ".join(f"{outcomes.count(o)} {o}" for o in _COLOURS)
        outside = outcomes.count(None)
        click.echo(
            f"{len(outcomes)} cells, {result.resumed} kept from before; the bound: {counts}, {outside} outside it"
        )
        click.echo(out / TABLE)
    return 1 if any(cell.outcome == "refuted" for cell in result.cells) else 0


@app.command("verify-problem")
@click.argument("reference", metavar="MODULE:NAME")
@click.option("--steps", type=click.IntRange(min=1), default=1000, show_default=True, help="T, steps of SGD.")
@_seed
@_json
def verify_problem_command(reference: str, steps: int, seed: int, as_json: bool) -> int:
    """Judge a problem of your own: its declared constants first, and then the bound on it.

    MODULE:NAME (or FILE.py:NAME) names an object with the attributes of a problem, or a class or function that makes
    one. Whatever constant is wrong is named, with a point at which to see it; the bound is then not judged.
    """
    from verify.problem_check import ProblemError, check_problem, load_problem

    try:
        with _errors().status("importing the problem") as status:
            problem = load_problem(reference)
            trial = check_problem(problem, seed=seed, steps=steps, progress=lambda n: status.update(f"judging {n}"))
    except ProblemError as error:
        raise UsageFault(str(error)) from None
    if as_json:
        parts = [{key: _plain(value) for key, value in asdict(part).items()} for part in trial.parts]
        document = {"problem": trial.problem, "outcome": trial.outcome, "wrong": trial.wrong, "parts": parts}
        _print_json(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2))
    else:
        _print_trial(trial)
    return {"confirmed": 0, "refuted": 1, "undecided": 3}[trial.outcome]


def _print_trial(trial: Trial) -> None:
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("part", "verdict", "declared", "found"):
        table.add_column(heading, justify="right" if heading in ("declared", "found") else "left")
    for part in trial.parts:
        verdict = f"[{_COLOURS[part.outcome]}]{part.outcome}[/]"
        table.add_row(part.name, verdict, f"{part.declared:.6g}", f"{part.found:.6g}")
    console.print(table)
    for part in trial.parts:
        console.print(f"{part.name}: {escape(part.detail)}", soft_wrap=True)
    if trial.wrong:
        console.print(f"wrong: {', '.join(trial.wrong)}; the bound was not judged", soft_wrap=True)


@app.command("bound")
@click.option("--smoothness", type=float, required=True, help="Λ, the Lipschitz constant of the gradient.")
@click.option("--step", type=float, required=True, help="η, the step size.")
@click.option("--gap", type=float, default=1.0, show_default=True, help="Δ = f(x₀) - inf f.")
@click.option("--noise", type=float, default=0.0, show_default=True, help="σ², the variance of the gradient noise.")
@click.option("--bias", type=float, default=0.0, show_default=True, help="ζ², the squared norm of the gradient bias.")
@click.option("--relative-bias", type=float, default=0.0, show_default=True, help="m in ‖b‖² ≤ m‖∇f‖² + ζ².")
@click.option(
    "--steps",
    type=click.IntRange(min=1, max=10**18),
    default=1000,
    show_default=True,
    help="T, the number of steps.",
)
@click.option("--pl-constant", type=float, help="μ of the Polyak-Łojasiewicz inequality, if it holds.")
@click.option("--momentum", type=float, default=0.0, show_default=True, help="μ of SGD with momentum, as in PyTorch.")
@click.option("--nesterov", is_flag=True, help="Whether momentum is Nesterov's.")
@click.option(
    "--exact", is_flag=True, help="Also what a potential proves and, for short runs, the exact worst case (clarabel)."
)
@click.option(
    "--target", type=float, help="A wanted A²: also print the largest step and bias whose sharp bound keeps it."
)
@click.option("--beta", type=float, help="β, the weight of mutual learning: with a target, also the largest order.")
@click.option("--jacobian", type=float, default=1.0, show_default=True, help="G, a bound of ‖∂logits/∂θ‖.")
@click.option(
    "--log-ratio-range", type=float, default=10.0, show_default=True, help="ρ, the range of log(p/q) in nats."
)
@_json
def bound_command(
    smoothness: float,
    step: float,
    gap: float,
    noise: float,
    bias: float,
    relative_bias: float,
    steps: int,
    pl_constant: float | None,
    momentum: float,
    nesterov: bool,
    exact: bool,
    target: float | None,
    beta: float | None,
    jacobian: float,
    log_ratio_range: float,
    as_json: bool,
) -> None:
    """Print every bound for constant-step SGD with biased gradients, term by term.

    With --target, also the inverse: how large a step, a bias or (with --beta) an order of mutual learning may be; the
    sharp bound answers, for SGD without momentum.
    """
    import numpy as np

    from convergence import (
        Assumptions,
        best_iterate_bound,
        bias_horizon,
        classical_bound,
        floor,
        largest_bias,
        largest_order,
        largest_step,
        momentum_bound,
        pl_bound,
        refined_bound,
        sharp_bound,
        stepwise_bound,
        tight_bound,
        worst_case,
    )

    try:
        assumptions = Assumptions(smoothness=smoothness, gap=gap, noise=noise, bias=bias, relative_bias=relative_bias)
    except (TypeError, ValueError) as error:
        raise UsageFault(str(error)) from None
    calls = {
        "classical": lambda: classical_bound(assumptions, step, steps),
        "sharp": lambda: sharp_bound(assumptions, step, steps),
        "refined": lambda: refined_bound(assumptions, step, steps),
        "tight": lambda: tight_bound(assumptions, step, steps),
        "floor": lambda: floor(assumptions, step),
        "best iterate": lambda: best_iterate_bound(assumptions, step, steps),
    }
    if momentum:
        calls = {"momentum": lambda: momentum_bound(assumptions, step, steps, momentum=momentum, nesterov=nesterov)}
    if exact:
        calls["stepwise"] = lambda: stepwise_bound(assumptions, step, steps, momentum=momentum, nesterov=nesterov)
    if pl_constant is not None and not momentum:
        calls["Polyak-Łojasiewicz"] = lambda: pl_bound(assumptions, step, steps, pl_constant=pl_constant)
    rows, refusals = [], {}
    for name, call in calls.items():
        try:
            # A bound too large for a float is shown as infinite, which needs no warning besides.
            with np.errstate(all="ignore"):
                b = call()
        except (ValueError, ImportError, RuntimeError) as error:
            refusals[name] = str(error)
            continue
        except ArithmeticError:
            refusals[name] = "the numbers exceed the range of floats; take other units"
            continue
        terms = {"transient": b.transient, "noise": b.noise, "bias": b.bias, "total": b.total}
        rows.append({"bound": name, "quantity": b.quantity, **terms})
    if not rows:
        raise UsageFault(next(iter(refusals.values())))
    asked: dict[str, Callable[[], float]] = {}
    if not momentum:
        asked["steps after which bias outweighs transient"] = lambda: bias_horizon(assumptions, step)
    if exact:
        asked["exact worst case"] = lambda: float(
            worst_case(assumptions, step, steps, momentum=momentum, nesterov=nesterov)
        )
    if target is not None:
        asked["largest step"] = lambda: largest_step(assumptions, target, steps=steps)
        asked["largest squared bias"] = lambda: largest_bias(assumptions, step, target, steps=steps)
    if target is not None and beta is not None:
        game = {"beta": beta, "jacobian": jacobian, "log_ratio_range": log_ratio_range}
        asked["largest order"] = lambda: largest_order(assumptions, step, target, **game, steps=steps)
    answers: dict[str, float] = {}
    for name, ask in asked.items():
        try:
            with np.errstate(all="ignore"):
                answers[name] = ask()
        except (ValueError, ImportError, RuntimeError) as error:
            refusals[name] = str(error)
        except ArithmeticError:
            refusals[name] = "the numbers exceed the range of floats; take other units"
    if as_json:
        document = {
            "bounds": [{k: _plain(v) for k, v in row.items()} for row in rows],
            "answers": {k: _plain(v) for k, v in answers.items()},
            "not applicable": refusals,
        }
        _print_json(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("bound", "quantity", "transient", "noise", "bias", "total"):
        table.add_column(heading, justify="left" if heading in ("bound", "quantity") else "right")
    for row in rows:
        table.add_row(*(f"{x:.6g}" if isinstance(x, float) else x for x in row.values()))
    console = Console(highlight=False)
    console.print(f"Λη = {smoothness * step:.6g}")
    console.print(table)
    for name, answer in answers.items():
        console.print(f"{name}: {answer:.6g}")
    for name, reason in refusals.items():
        console.print(f"not applicable, {name}: {escape(reason)}", soft_wrap=True)


@app.command("train", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.option("--config", type=click.Path(path_type=Path))
@click.option("--resume", is_flag=True)
@click.option("--compare", is_flag=True)
@click.option("--seeds", type=click.IntRange(min=1), default=8)
@click.option("--rising", is_flag=True)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def train_command(
    config: Path | None, resume: bool, compare: bool, seeds: int, rising: bool, arguments: Sequence[str]
) -> None:
    """Train students that learn from each other, and measure their bias budget.

    --config FILE reads a configuration (TOML or JSON) or a recipe by its name, --resume continues an interrupted run,
    --compare --seeds N trains a table of objectives (--rising: with further rows), and every field of the
    configuration is a flag: see `rdml train --help`.
    """
    try:
        from verify.trainer import StoppedError, TrainerError, command
    except ImportError as error:
        raise UsageFault(f"training needs {error.name}: pip install 'rdml-theory[train]'") from None
    try:
        settings = command.parse(arguments, config)
        if compare:
            command.run_comparison(settings, seeds, rising=rising)
        else:
            command.run(settings, resume=resume)
    except TrainerError as error:
        raise UsageFault(str(error)) from None
    except StoppedError as stopped:
        raise Interrupted(str(stopped)) from None
    except SystemExit:
        # The help of the flags has been printed.
        return


def _leave(code: int) -> NoReturn:
    """Exit; what can no longer be written must not cause a message at shutdown."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _complain(message: str) -> None:
    _errors().print(f"error: {escape(message)}", soft_wrap=True)


def _outcome_of_app() -> int:
    """Run the app; every fault becomes a line on standard error and a documented exit code."""
    try:
        code = app(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        _errors().print("interrupted")
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "")
        return 2
    except click.UsageError as error:
        hint = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        _complain(" ".join(error.format_message().split()) + hint)
        return 2
    except click.ClickException as error:
        _complain(error.format_message())
        return error.exit_code
    except BrokenPipeError:
        return 141
    except SystemExit as ending:
        # click and rich end a program whose reader is gone with 1, which would read as a refuted claim.
        return 141 if ending.code else 0
    except OSError as error:
        _complain(" ".join(str(error).split()))
        return 2
    except Exception as error:
        if isinstance(error, ImportError) and "pip install 'rdml-theory[" in str(error):
            # An extra that some claims need: its error says which.
            _complain(" ".join(str(error).split()))
            return 2
        traceback.print_exc()
        _complain("internal error; please report it with the traceback above")
        return 70
    return code if isinstance(code, int) else 0


def main() -> NoReturn:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        # Terminals that lack a letter show a question mark for it.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = _outcome_of_app()
    except (BrokenPipeError, SystemExit):
        # Nobody reads the error messages either.
        code = 141
    _leave(code)
