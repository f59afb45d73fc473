"""What a person sees of a run: progress, the table of scores, the figure of the bias budget, and the report.

Figure and report are made from the run's files alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from markupsafe import Markup
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from convergence.store import locked, write
from verify.monitor import BiasRecord
from verify.plots import FORMATS, pictures
from verify.reading import read_json
from verify.records import Curve, Panel
from verify.report import templates
from verify.trainer.config import read_config
from verify.trainer.errors import TrainerError
from verify.trainer.folder import CONFIG, ENVIRONMENT, METRICS, final_scores, read_metrics
from verify.trainer.networks import parse_students
from verify.trainer.trainer import Trainer

__all__ = ["fitted", "progress_bar", "score_table", "write_report"]

FIGURE, REPORT = "bias_budget", "report.html"


class _Bars(Progress):
    """A progress bar with the words of its task in lines of their own, so that no terminal is too narrow for them."""

    def get_renderables(self) -> Iterator[RenderableType]:
        """What is drawn, from top to bottom."""
        yield from (Text(task.description) for task in self.tasks if task.description)
        yield self.make_tasks_table(self.tasks)


@contextmanager
def progress_bar(console: Console) -> Iterator[Callable[[Trainer, dict[str, Any]], None]]:
    """A callback for :func:`verify.trainer.train` that draws steps per second, losses, accuracies and time left."""
    columns = (
        BarColumn(12),
        TextColumn("{task.completed}/{task.total} steps"),
        TextColumn("{task.fields[speed]:.0f}/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    bars = _Bars(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bars.add_task("", total=None, speed=0.0)
    begin: tuple[float, int] | None = None
    words = ""

    def report(trainer: Trainer, values: dict[str, Any]) -> None:
        nonlocal begin, words
        if begin is None:
            begin = (time.perf_counter(), trainer.number)
            bars.start()
        if values:
            words = f"epoch {values['epoch']}  loss {_few(values['base'])}  mutual {_few(values['mutual'])}"
            if "validation" in values:
                words += f"  acc {_few([100 * s.accuracy for s in values['validation'][:-1]], '.1f')}%"
        if values or trainer.number % 20 == 0:
            speed = (trainer.number - begin[1]) / max(time.perf_counter() - begin[0], 1e-9)
            bars.update(task, total=trainer.steps, completed=trainer.number, description=words, speed=speed)

    try:
        yield report
    finally:
        bars.stop()


def _few(numbers: Sequence[float], form: str = ".3f") -> str:
    return " ".join(format(v, form) for v in numbers[:4]) + (" …" if len(numbers) > 4 else "")


def _rows(folder: Path) -> list[list[str]]:
    """Heading and rows of the table of scores."""
    final = final_scores(folder)
    if final is None:
        raise TrainerError(
            f"{folder}: the run is not finished: `rdml train --config {folder / CONFIG} --resume` continues it"
        )
    students = parse_students(read_config(folder / CONFIG).students)
    if len(students) != len(final.test) - 1:
        raise TrainerError(f"{folder}: {CONFIG} and {METRICS} have differing numbers of students; name another run")
    names = [f"{k} {name}" for k, name in enumerate(students)] + ["ensemble"]
    rows = [["student", "validation", "test", "test, best weights", "NLL (nats)", "calibration error"]]
    for k, name in enumerate(names):
        test, best = final.test[k], final.best[k]
        held_out = f"{100 * final.validation[k].accuracy:.1f}%" if final.validation else "-"
        rows.append([
            name, held_out, f"{100 * test.accuracy:.1f}%", f"{100 * best.accuracy:.1f}%",
            f"{test.nll:.3f}", f"{test.ece:.3f}",
        ])  # fmt: skip
    return rows


def score_table(folder: Path, width: int) -> Table:
    """The table of a finished run for a terminal."""
    return fitted(_rows(folder), width)


def fitted(rows: Sequence[Sequence[str]], width: int) -> Table:
    """Heading and rows for a terminal of so many columns, cells broken between words alone; bold what has asterisks.

    An equation such as α = 2 is one word.
    """
    rows = [[cell.replace(" = ", "=") for cell in row] for row in rows]
    cells = [[cell.strip("*") for cell in column] for column in zip(*rows, strict=True)]
    whole = [max(map(len, column)) for column in cells]
    widths = [max(len(word) for cell in column for word in cell.split() or [""]) for column in cells]
    spare = width - (len(widths) - 1) - sum(widths)
    # What is left goes first to the columns that then need no breaks.
    for number in sorted(range(len(widths)), key=lambda n: whole[n] - widths[n]):
        more = max(min(whole[number] - widths[number], spare), 0)
        widths[number], spare = widths[number] + more, spare - more
    gap = 2 if spare > len(widths) else 1
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False)
    for number, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if number else "left", width=widths[number])
    for row in rows[1:]:
        table.add_row(*(Text(c.strip("*"), style="bold" if c.startswith("**") else "") for c in row))
    return table


def bias_panels(records: Sequence[BiasRecord]) -> tuple[Panel, ...]:
    """Squared norms, C4's bounds and the curvature along the path, of the first student."""
    steps = tuple(float(r.step) for r in records)

    def curve(label: str, role: Any, name: str, *, group: int | None = None) -> Curve:
        return Curve(label=label, role=role, group=group, x=steps, y=tuple(getattr(r, name)[0] for r in records))

    noise = Curve(
        label=r"noise $\sigma^2$", role="second", group=0, x=steps, y=tuple(r.noise[0] for r in records),
        low=tuple(r.noise[0] - 2 * r.noise_error[0] for r in records),
        high=tuple(r.noise[0] + 2 * r.noise_error[0] for r in records),
    )  # fmt: skip
    curved = [(float(r.step), r.rate * s) for r in records if (s := r.smoothness[0]) is not None]
    return (
        Panel(
            title="what moves the first student", x_label="step", y_label="squared norm (nats²)", y_scale="log",
            curves=(
                curve(r"base gradient $\|\nabla L\|^2$", "measured", "base", group=0),
                curve(r"bias $\|b\|^2 = \beta^2\|\nabla R\|^2$", "measured", "mutual", group=1), noise,
            ),
        ),
        Panel(
            title="the bias under its bounds", x_label="step", y_label="squared norm (nats²)", y_scale="log",
            curves=(
                curve(r"bias $\|b\|^2 = \beta^2\|\nabla R\|^2$", "measured", "mutual", group=1),
                curve("bound by the order", "statement", "order_bound", group=0),
                curve("bound by the divergence", "statement", "divergence_bound", group=1),
            ),
        ),
        Panel(
            title="curvature along the path", x_label="step", y_label=r"$\eta\Lambda_t$",
            curves=(
                Curve(
                    label=r"$\eta\Lambda_t$", role="measured", group=0, style="markers",
                    x=tuple(s for s, _ in curved), y=tuple(v for _, v in curved),
                ),
                Curve(
                    label="2: plain gradient steps descend below", role="reference", x=(steps[0], steps[-1]), y=(2, 2)
                ),
            ),
        ),
    )  # fmt: skip


def write_report(folder: Path) -> Path:
    """Write the figure of the bias budget and a self-contained report of a finished run.

    Raises
    ------
    TrainerError
        If a file of the run is missing or damaged, the run is not finished, or the folder cannot be written.
    """
    try:
        with locked(folder, (REPORT, *(f"{FIGURE}.{kind}" for kind in FORMATS))):
            return _write_report(folder)
    except OSError as error:
        raise TrainerError(f"{folder}: the report cannot be written ({error.strerror or error})") from None


def _write_report(folder: Path) -> Path:
    rows = _rows(folder)
    records = [line for line in read_metrics(folder) if isinstance(line, BiasRecord)]
    drawing = None
    if records:
        drawn = pictures(bias_panels(records))
        for kind, content in drawn.items():
            write(folder / f"{FIGURE}.{kind}", content)
        svg = drawn["svg"].decode()
        drawing = Markup(svg[svg.index("<svg") :])
    documents = {}
    for name in (CONFIG, ENVIRONMENT):
        try:
            content = read_json(folder / name, what="a file of the run")
        except ValueError as error:
            raise TrainerError(str(error)) from None
        if not isinstance(content, dict):
            raise TrainerError(f"{folder / name}: is damaged, expected a table; name another run")
        documents[name.removesuffix(".json").capitalize()] = {key: json.dumps(v) for key, v in content.items()}
    page = templates().get_template("training.html.j2")
    write(folder / REPORT, page.render(title=folder.name, scores=rows, drawing=drawing, documents=documents) + "\n")
    return folder / REPORT
