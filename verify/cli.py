"""The command line: list, run, plot, report, bound. ``rdml`` and ``python -m verify`` are the same program."""

from __future__ import annotations

import enum
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import click
import typer
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

__all__ = ["app", "main"]

# Importing SymPy, SciPy and Matplotlib takes a second or two, which `--help` and wrong usage need not pay: the
# commands import what they use.

RESULTS = "results.json"
REPORT = "report.html"
FIGURES = "figures"

_EPILOG = (
    "Exit codes: 0 every claim confirmed and every control refuted; 1 a claim refuted or a control not refuted; "
    "2 wrong usage or unusable files; 3 a claim undecided; 130 interrupted."
)

app = typer.Typer(
    name="rdml",
    help="Check the theory of Rényi-divergence deep mutual learning by running it.\n\n"
    "Each claim ties a statement to its derivation, its numeric check, its experiment and its figure; each has false "
    "twins (controls), which the same code must refute. Start with `list`, then `run D1`, then `run --out DIR` and open "
    "DIR/report.html.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


Unit = tuple[str, str]


class Profile(enum.StrEnum):
    """How much work the checks do."""

    quick = "quick"
    full = "full"


Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Claims by id, e.g. D1 C2. All by default.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else there.")]


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


def _results_folder(out: Path) -> Path:
    """Make sure that OUT is a results directory of ours, or becomes one; nothing foreign is touched."""
    from verify.runner import JOURNAL

    if out.exists() and not out.is_dir():
        raise UsageFault(f"--out {out}: is a file; name a directory")
    if out.is_dir():
        names = {entry.name for entry in out.iterdir()}
        if names and not names & {RESULTS, JOURNAL}:
            raise UsageFault(
                f"--out {out}: is not empty and holds no {RESULTS}; name a new, an empty or a results directory"
            )
        if not os.access(out, os.W_OK | os.X_OK):
            raise UsageFault(f"--out {out}: is not writable; change its permissions or name another directory")
        return out
    try:
        out.mkdir(parents=True)
    except OSError as error:
        raise UsageFault(f"--out {out}: cannot be created ({error.strerror}); name another directory") from None
    return out


@app.command("list")
def list_claims(as_json: AsJson = False) -> None:
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
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
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


def _run(ids: list[str], profile: Profile, jobs: int, seed: int, folder: Path | None) -> RunRecord:
    from verify.runner import JOURNAL, RunSettings, run_claims

    with _progress_bars() as (started, progress):
        try:
            return run_claims(
                ids,
                RunSettings(profile.value, seed, jobs=jobs),
                folder=folder,
                started=started,
                progress=progress,
            )
        except KeyboardInterrupt:
            kept = len(list((folder / JOURNAL).glob("*.json"))) if folder else 0
            where = f"; {kept} finished checks are kept in {folder}: run the same command to continue" if folder else ""
            raise Interrupted(f"interrupted, no results written{where}") from None


class Interrupted(click.ClickException):
    """One line and the conventional exit code of an interrupted program."""

    exit_code = 130


def _write_figures(run: RunRecord, folder: Path, ids: Sequence[str] | None = None) -> list[Path]:
    from verify.plots import write_figures

    target = folder / FIGURES
    target.mkdir(exist_ok=True)
    return write_figures(run, target, ids=ids)


def _save(run: RunRecord, folder: Path) -> None:
    """Figures and report first, results last: a results file means that everything is there."""
    from verify.report import write_report
    from verify.runner import clear_journal

    try:
        _write_figures(run, folder)
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
    claims, controls = run.summary.claims, run.summary.controls
    console.print(
        f"\n{claims['confirmed']} of {len(run.claims)} claims confirmed, {claims['refuted']} refuted, "
        f"{claims['undecided']} undecided; {controls['refuted']} of {sum(controls.values())} controls refuted; "
        f"{run.profile} profile, seed {run.seed}, {run.environment.seconds:.0f} s"
    )
    if folder is not None:
        console.print(f"results, figures and report: {folder / REPORT}", soft_wrap=True)


@app.command("run", epilog=_EPILOG)
def run_command(
    ids: Ids = None,
    profile: Annotated[
        Profile, typer.Option(help="quick: a minute. full: more points, replicas and steps.")
    ] = Profile.quick,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes. The numbers do not depend on it.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(help="Write results.json, figures/ and report.html here; an interrupted run resumes from here."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same numbers.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Run claims: symbolic, numeric, Monte Carlo and training checks, on each claim and on its false twins."""
    from verify.claims import all_claims

    chosen = _checked_ids(ids, list(all_claims()))
    folder = None if out is None else _results_folder(out)
    run = _run(chosen, profile, jobs, seed, folder)
    if folder is not None:
        _save(run, folder)
    if as_json:
        typer.echo(run.model_dump_json(indent=1))
    else:
        _tell(run, folder)
    raise typer.Exit(run.summary.exit_code)


def _read(path: Path) -> RunRecord:
    try:
        return read_run(path)
    except RecordError as error:
        raise UsageFault(str(error)) from None


@app.command("plot")
def plot_command(
    out: Annotated[Path, typer.Option(help="A results directory; without results there, the claims are run first.")],
    ids: Ids = None,
    profile: Annotated[Profile, typer.Option(help="For a run that is needed.")] = Profile.quick,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes, for a run that is needed.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="For a run that is needed.")] = 0,
) -> None:
    """Draw the figures of claims (PNG, SVG, PDF) from the records of a run."""
    if (out / RESULTS).exists():
        run = _read(out / RESULTS)
        chosen = _checked_ids(ids, [c.id for c in run.claims])
        folder = out
    else:
        from verify.claims import all_claims

        chosen = _checked_ids(ids, list(all_claims()))
        folder = _results_folder(out)
        run = _run(chosen, profile, jobs, seed, folder)
        _save(run, folder)
    for path in _write_figures(run, folder, chosen or None):
        typer.echo(path)


@app.command("report")
def report_command(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A results directory.")]) -> None:
    """Write report.html, one self-contained file, from the records of a run."""
    from verify.report import write_report

    run = _read(folder / RESULTS)
    try:
        write_report(run, folder / REPORT)
    except OSError as error:
        raise UsageFault(f"{folder / REPORT}: cannot be written ({error.strerror})") from None
    typer.echo(folder / REPORT)


@app.command("bound")
def bound_command(
    smoothness: Annotated[float, typer.Option(help="Λ, the Lipschitz constant of the gradient.")],
    step: Annotated[float, typer.Option(help="η, the step size.")],
    gap: Annotated[float, typer.Option(help="Δ = f(x₀) - inf f.")] = 1.0,
    noise: Annotated[float, typer.Option(help="σ², the variance of the gradient noise.")] = 0.0,
    bias: Annotated[float, typer.Option(help="ζ², the squared norm of the gradient bias.")] = 0.0,
    relative_bias: Annotated[float, typer.Option(help="m in ‖b‖² ≤ m‖∇f‖² + ζ².")] = 0.0,
    steps: Annotated[int, typer.Option(min=1, help="T, the number of steps.")] = 1000,
    pl_constant: Annotated[
        float | None, typer.Option(help="μ of the Polyak-Łojasiewicz inequality, if it holds.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print every bound for constant-step SGD with biased gradients, term by term."""
    from convergence import Assumptions, best_iterate_bound, classical_bound, floor, pl_bound, sharp_bound

    try:
        assumptions = Assumptions(smoothness=smoothness, gap=gap, noise=noise, bias=bias, relative_bias=relative_bias)
    except (TypeError, ValueError) as error:
        raise UsageFault(str(error)) from None
    calls = {
        "classical": lambda: classical_bound(assumptions, step, steps),
        "sharp": lambda: sharp_bound(assumptions, step, steps),
        "floor": lambda: floor(assumptions, step),
        "best iterate": lambda: best_iterate_bound(assumptions, step, steps),
    }
    if pl_constant is not None:
        calls["Polyak-Łojasiewicz"] = lambda: pl_bound(assumptions, step, steps, pl_constant=pl_constant)
    rows, refusals = [], {}
    for name, call in calls.items():
        try:
            b = call()
        except ValueError as error:
            refusals[name] = str(error)
            continue
        terms = {"transient": b.transient, "noise": b.noise, "bias": b.bias, "total": b.total}
        rows.append({"bound": name, "quantity": b.quantity, **terms})
    if not rows:
        raise UsageFault(next(iter(refusals.values())))
    if as_json:
        typer.echo(json.dumps({"bounds": rows, "not applicable": refusals}, ensure_ascii=False, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("bound", "quantity", "transient", "noise", "bias", "total"):
        table.add_column(heading, justify="left" if heading in ("bound", "quantity") else "right")
    for row in rows:
        table.add_row(*(f"{x:.6g}" if isinstance(x, float) else x for x in row.values()))
    console = Console(highlight=False)
    console.print(f"Λη = {smoothness * step:.6g}")
    console.print(table)
    for name, reason in refusals.items():
        console.print(f"not applicable, {name}: {escape(reason)}", soft_wrap=True)


def main() -> NoReturn:
    """Run the command line; every foreseeable fault is one line on standard error and a documented exit code."""
    try:
        code = app(standalone_mode=False)
    except click.exceptions.Abort:
        _errors().print("interrupted")
        sys.exit(130)
    except KeyboardInterrupt:
        _errors().print("interrupted")
        sys.exit(130)
    except click.UsageError as error:
        hint = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        _errors().print(f"error: {escape(error.format_message())}{escape(hint)}", soft_wrap=True)
        sys.exit(2)
    except click.ClickException as error:
        _errors().print(f"error: {escape(error.format_message())}", soft_wrap=True)
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)
