"""Claims: run, plot, report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from rich.table import Column

from verify.commands.catalogue import checked_ids, ids_argument
from verify.commands.common import (
    EXIT_CODES,
    Choice,
    Interrupted,
    UsageFault,
    Whole,
    errors,
    jobs_option,
    json_option,
    outcome_word,
    output,
    print_json,
    profile_option,
    seed_option,
    tabled,
    told,
    told_lines,
)
from verify.commands.train import is_training_run, report_of_training
from verify.paragraphs import plain_lines
from verify.records import ClaimRecord, RecordError, RunRecord, read_run

if TYPE_CHECKING:
    from convergence.store import Store
    from verify.runner import RunSettings

Unit = tuple[str, str]


@contextmanager
def _progress_bars() -> Iterator[tuple[Callable[[list[Unit], list[Unit]], None], Callable[[Unit, float], None]]]:
    """Callbacks for the runner that draw on standard error."""
    whole = Column(no_wrap=True)  # where a terminal is too narrow, the name takes two lines and no number is cut
    columns = (
        SpinnerColumn(table_column=whole),
        TextColumn("{task.description}", table_column=Column(overflow="fold")),
        BarColumn(bar_width=20, table_column=whole),
        MofNCompleteColumn(table_column=whole),
        TimeElapsedColumn(table_column=whole),
    )
    with Progress(*columns, console=(log := errors()), transient=True, disable=not log.is_terminal) as bars:
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


def _run(ids: list[str], settings: RunSettings, journal: Store | None) -> RunRecord:
    from verify.runner import run_claims

    with _progress_bars() as (started, progress):
        try:
            return run_claims(ids, settings, journal=journal, started=started, progress=progress)
        except KeyboardInterrupt:
            where = ""
            if journal is not None:
                kept, folder = len(list(journal.folder.iterdir())), journal.folder.parent
                where = f"; {kept} finished checks are kept in {folder}: run the same command to continue"
            raise Interrupted(f"interrupted, no results written{where}") from None


def _run_into(ids: list[str], settings: RunSettings, out: Path, said: str = "") -> tuple[RunRecord, RunRecord]:
    """Run claims into a results directory, once ``said`` is told: what was run, and what the directory then holds."""
    import verify.plots  # noqa: F401  a missing Matplotlib is named before anything is run
    from verify.claims import claim_ids
    from verify.environment import source_digest
    from verify.results_folder import earlier_results, merged, results_folder

    with results_folder(out) as journal:
        # Refused before anything is run.
        earlier = earlier_results(out, ids or claim_ids(), settings.profile, settings.seed, source_digest())
        if said:
            errors().print(escape(said), soft_wrap=True)
        run = _run(ids, settings, journal)
        whole = merged(run, earlier)
        _save(whole, out, settings.jobs)
        journal.remove()
    return run, whole


def _drawing_fault(folder: Path, error: ValueError) -> UsageFault:
    return UsageFault(f"{folder}: {error}; write the results again with `rdml run --out DIR`")


def _save(run: RunRecord, folder: Path, jobs: int) -> None:
    """Figures and report first, results last: a results file means that everything is there."""
    from convergence.store import write
    from verify.plots import DrawingError, render_all
    from verify.report import render_report
    from verify.results_folder import RESULTS, write_figures, write_report

    try:
        pictures = render_all(run, jobs=jobs)
        write_figures(run, pictures, folder)
        page = render_report(run, {name: drawn["png"] for name, drawn in pictures.items()})
        write_report(run, page, folder)
        write(folder / RESULTS, run.model_dump_json(indent=1))
    except DrawingError as error:
        if not run.earlier:
            raise
        raise _drawing_fault(folder, error) from None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


_TOLD_WHOLE = 3
"""Of so few claims a run prints the statement and what each check found; of more, a table."""


def _tell_verdicts(console: Console, run: RunRecord) -> None:
    rows = [
        (c.id, escape(c.title), outcome_word(c.outcome), _number(c.margin), _number(c.error_rate), _refuted(c))
        for c in run.claims
    ]
    headings = ("id", "title", "verdict", "margin", "error rate", "controls\nrefuted")
    tabled(console, headings, rows, right=("margin", "error rate"), broken=("title",))


def _refuted(claim: ClaimRecord) -> str:
    refuted = sum(control.outcome == "refuted" for control in claim.controls)
    words = f"{refuted} of {len(claim.controls)}"
    return words if refuted == len(claim.controls) else f"[red]{words}[/]"


def _tell_whole(console: Console, claim: ClaimRecord) -> None:
    """A claim with its statement, what each check found, and its negative controls."""
    console.print(f"[bold]{claim.id}  {escape(claim.title)}[/]: {outcome_word(claim.outcome)}\n")
    told_lines(console, plain_lines(claim.statement))
    console.print()
    for check in claim.checks:
        agree = sum(part.outcome == "confirmed" for part in (*check.comparisons, *check.steps))
        parts = "steps" if check.steps else "comparisons"
        kind = "" if check.kind == check.id else f" ({check.kind})"
        counted = f"{agree} of {len(check.comparisons) + len(check.steps)} {parts}"
        told(console, f"{check.outcome} by the check {check.id}{kind}: {counted}")
    console.print(f"  negative controls refuted: {_refuted(claim)}")
    for control in claim.controls:
        told(console, f"{control.outcome}: {control.falsehood}", indent=4)


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
            yield f"{claim.id} negative control {control.id} {control.outcome}, not refuted: {control.falsehood}"


def _tell(run: RunRecord, folder: Path | None, kept: int = 0) -> None:
    console = output()
    if len(run.claims) <= _TOLD_WHOLE:
        for number, claim in enumerate(run.claims):
            console.print(end="\n" if number else "")
            _tell_whole(console, claim)
    else:
        _tell_verdicts(console, run)
    for claim in run.claims:
        for line in _complaints(claim):
            console.print(f"  {escape(line)}", soft_wrap=True)
    for name in run.summary.vacuous:
        line = f"{name.replace('.', ' ', 1)} refutes no negative control, so what it confirms says little"
        console.print(f"  {escape(line)}", soft_wrap=True)
    claims, controls = run.summary.claims, run.summary.controls
    console.print(
        f"\n{claims['confirmed']} of {len(run.claims)} claims confirmed, {claims['refuted']} refuted, "
        f"{claims['undecided']} undecided; {controls['refuted']} of {sum(controls.values())} negative controls "
        f"refuted; {run.profile} profile, seed {run.seed}, {run.environment.seconds:.0f} s"
    )
    if folder is not None:
        also = f" (with {kept} claim{'s' * (kept != 1)} kept from earlier runs)" if kept else ""
        console.print(f"results, figures and report{also}: {folder / 'report.html'}", soft_wrap=True)


@click.command("run", short_help="Test claims and their negative controls.", epilog=EXIT_CODES)
@ids_argument
@profile_option
@jobs_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write results.json, figures/ and report.html here. An interrupted run continues; other claims here are kept.",
)
@seed_option
@json_option
def run_command(ids: Sequence[str], profile: Any, jobs: int, out: Path | None, seed: int, as_json: bool) -> None:
    """Run claims by ID (all by default) with their negative controls.

    Symbolic, numeric, Monte Carlo and training checks judge each claim and its negative controls by the same code.
    Without --out, only the verdicts are printed. A directory that holds other claims of the same profile,
    seed and sources keeps them, and its report shows all.
    """
    chosen = checked_ids(ids)
    from verify.runner import RunSettings

    settings = RunSettings(profile, seed, jobs=jobs)
    if out is None:
        run = whole = _run(chosen, settings, None)
    else:
        run, whole = _run_into(chosen, settings, out)
    if as_json:
        print_json(run.model_dump_json(indent=1))
    else:
        _tell(run, out, len(whole.claims) - len(run.claims))
    click.get_current_context().exit(run.summary.exit_code)


def _read(path: Path) -> RunRecord:
    try:
        return read_run(path)
    except RecordError as error:
        raise UsageFault(str(error)) from None


@click.command("plot", short_help="Draw the figures again from the records.")
@ids_argument
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    required=True,
    help="Results directory; if it holds no results, the claims are run first.",
)
@click.option("--panel", type=Whole(min=1), help="Draw only this panel, by number, in a file of its own.")
@click.option(
    "--size",
    type=Choice(["screen", "column", "page"]),
    default="screen",
    show_default=True,
    help="column: 3.3 inches wide, for one column of a paper. page: 6.9 inches, for both.",
)
@profile_option
@jobs_option
@seed_option
def plot_command(
    ids: Sequence[str], out: Path, panel: int | None, size: Any, profile: Any, jobs: int, seed: int
) -> None:
    """Draw the figures of claims (PNG, SVG, PDF) from the records of a run, and write their numbers as CSV.

    Files for a paper have the size in their names, and embedded fonts.

    Profile, jobs and seed are used if the claims have to be run first.
    """
    from verify.results_folder import RESULTS, write_figures, writing

    if (out / RESULTS).exists():
        run = _read(out / RESULTS)
        there = [c.id for c in run.claims]
        chosen = checked_ids(ids, there)
        if missing := [name for name in chosen if name not in there]:
            names = " ".join(missing)
            raise UsageFault(
                f"{out}: holds no results of {names} (of {', '.join(there)}); `rdml run {names} --out {out}`"
            )
    else:
        chosen = checked_ids(ids)
        from verify.runner import RunSettings

        what = f"{' '.join(chosen) or 'all claims'} (profile {profile}, seed {seed})"
        said = f"{out} holds no results: running {what} first"
        _, run = _run_into(chosen, RunSettings(profile, seed, jobs=jobs), out, said)
    from verify.plots import DrawingError, render_all

    if panel is not None:
        run = _with_one_panel(run, chosen, panel)
    try:
        pictures = render_all(run, ids=chosen or None, size=size, jobs=jobs)
        with writing(out):
            for path in write_figures(run, pictures, out, size):
                click.echo(path)
    except DrawingError as error:
        raise _drawing_fault(out, error) from None


def _with_one_panel(run: RunRecord, chosen: Sequence[str], number: int) -> RunRecord:
    """The claims with one of their panels, and a title of its own, from which the name of the file is made."""
    claims = []
    for claim in run.claims:
        if chosen and claim.id not in chosen:
            continue
        if number > len(claim.panels):
            count = len(claim.panels)
            raise UsageFault(f"--panel {number}: the figure of {claim.id} has {count} panel{'s' if count != 1 else ''}")
        update = {"panels": (claim.panels[number - 1],), "title": f"{claim.title} panel {number}"}
        claims.append(claim.model_copy(update=update))
    return run.model_copy(update={"claims": tuple(claims)})


@click.command("report", short_help="Write the report again, or compare two runs.")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.argument("other", type=click.Path(path_type=Path), metavar="[OTHER]", required=False)
def report_command(folder: Path, other: Path | None) -> int:
    """Write report.html, one self-contained file, from the records in DIR: those of claims or of a training run.

    Beside it are results.schema.json, the JSON Schema of the records, and junit.xml, for test servers. With OTHER,
    nothing is written; the command prints where the run in OTHER differs, and exits with 1 if a claim there is no
    longer confirmed, or a negative control no longer refuted.
    """
    from verify.plots import DrawingError
    from verify.report import render_report
    from verify.results_folder import REPORT, RESULTS, write_report, writing

    if other is not None:
        return _compare(_read(folder / RESULTS), _read(other / RESULTS))
    if is_training_run(folder):
        click.echo(report_of_training(folder))
        return 0
    run = _read(folder / RESULTS)
    try:
        page = render_report(run)
        with writing(folder):
            write_report(run, page, folder)
    except DrawingError as error:
        raise _drawing_fault(folder, error) from None
    click.echo(folder / REPORT)
    return 0


def _compare(first: RunRecord, second: RunRecord) -> int:
    from verify.exports import differences

    console = output()
    for name in ("profile", "seed"):
        if (one := getattr(first, name)) != (two := getattr(second, name)):
            console.print(f"{name}: {one}, now {two}")
    one, two = (run.environment.versions | {"sources": run.environment.source_digest} for run in (first, second))
    for name in sorted(one.keys() | two.keys()):
        if one.get(name) != two.get(name):
            console.print(f"{name}: {one.get(name, 'none')}, now {two.get(name, 'none')}")
    found = differences(first, second)
    shared = {c.id for c in first.claims} & {c.id for c in second.claims}
    for said in ("only in the first run", "only in the second run"):
        if names := [d.claim for d in found if d.claim not in shared and d.says == said]:
            told(console, f"{said}: {', '.join(names)}", indent=0, mark="• ")
    for difference in (d for d in found if d.claim in shared):
        told(console, f"{difference.claim}: {difference.says}", indent=0, mark="✗ " if difference.worse else "• ")
    same, different = len(shared - {d.claim for d in found}), len(found)
    console.print(
        f"{same} claim{'s say' if same != 1 else ' says'} the same in both, "
        f"{different} difference{'s' if different != 1 else ''}"
    )
    return 1 if any(difference.worse for difference in found) else 0
