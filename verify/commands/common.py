"""What the commands share: options, faults and their exit codes, output."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from convergence.arguments import did_you_mean

EXIT_CODES = """\b
Exit codes
  0    every claim was confirmed and every negative control refuted
  1    a claim was refuted, a control was not, or a check refutes no control
  2    wrong usage, unusable files, or a missing extra
  3    a claim is undecided
  70   internal error, with a traceback
  130  interrupted
  141  the reader of the output is gone
"""


class Choice(click.Choice):  # a generic class since click 8.2 only
    """One of a few words; an error names the nearest."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """The error about a word that is none of them."""
        return f"{value!r}: expected one of {', '.join(self.choices)}{did_you_mean(value, self.choices)}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word, if it is one of them."""
        if value not in self.choices:
            self.fail(self.get_invalid_choice_message(value, ctx), param, ctx)
        return value


class Number(click.ParamType):
    """A real number; an error says how one is written."""

    name = "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r}: expected a number such as 0.5 or 1e-3", param, ctx)


class Whole(click.IntRange):
    """An integer in a range; an error says which."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The integer, if it is in the range."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            most = "" if self.max is None else f", and at most {self.max:,}"
            self.fail(f"{value!r}: expected an integer of at least {self.min}{most}", param, ctx)


profile_option = click.option(
    "--profile",
    type=Choice(["quick", "full"]),
    default="quick",
    show_default=True,
    help="quick: a few minutes for all claims. full: more points, replicas and steps; several times as long.",
)
jobs_option = click.option(
    "--jobs",
    type=Whole(min=1, max=256),
    default=1,
    show_default=True,
    help="Number of worker processes; it does not affect the numbers.",
)
seed_option = click.option(
    "--seed", type=Whole(min=0), default=0, show_default=True, help="Seed of the random numbers."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on standard output.")


COLOURS = {"confirmed": "green", "refuted": "red", "undecided": "yellow"}


def outcome_word(outcome: str) -> str:
    """A verdict in its colour."""
    return f"[{COLOURS.get(outcome, 'yellow')}]{outcome}[/]"


class UsageFault(click.ClickException):
    """One clear line and exit code 2."""

    exit_code = 2


def output() -> Console:
    """Return a console on standard output."""
    return Console(highlight=False, emoji=False)


def errors() -> Console:
    """Return a console on standard error."""
    return Console(stderr=True, highlight=False, emoji=False)


def told(console: Console, text: str, *, indent: int = 2, mark: str = "", further: int = 0) -> None:
    """A paragraph as wide as the console, behind a mark if one is given; all but its first line indented further."""
    for line in Text(text).wrap(console, console.width - indent - len(mark) - further):
        console.print(Text(" " * indent + mark + line.plain.rstrip()), no_wrap=True)
        mark = " " * (len(mark) + further)
        further = 0


def told_lines(console: Console, statement: Sequence[str]) -> None:
    """The lines of a statement; those of formulas are indented, and what of them goes on in the next line is, more."""
    for line in statement:
        formula = line.lstrip()
        told(console, formula, indent=2 + len(line) - len(formula), further=2 if formula != line else 0)


def tabled(
    console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = (),
    broken: Collection[str] = (),
) -> None:  # fmt: skip
    """Rows under their headings; lines of them where the terminal is too narrow for cells that are whole.

    Numbers are in the columns ``right``; only cells of the columns ``broken`` may be broken between words.
    """
    table, least = Table(box=None, pad_edge=False), 2 * len(headings) - 2
    plain_rows = [[Text.from_markup(cell).plain for cell in row] for row in rows]
    for heading, *cells in zip(headings, *plain_rows, strict=True):
        table.add_column(heading, justify="right" if heading in right else "left", no_wrap=heading in right)
        parts = [word for cell in cells for word in (cell.split() if heading in broken else [cell])]
        least += max(map(len, (*heading.split(), *parts)))
    for row in rows:
        table.add_row(*row)
    if least <= console.width:
        console.print(table)
        return
    console.print(f"{headings[0]}:")
    for name, *cells in plain_rows:
        said = (f"{heading} {cell}" for heading, cell in zip(headings[1:], cells, strict=True) if cell)
        told(console, f"{name}: {', '.join(said)}".replace("\n", " "))


def sentence(console: Console, text: str) -> None:
    """A line: broken between words on a terminal, whole in a pipe, where programs look for it.

    What is broken is indented as its beginning is, a number of a list left standing out.
    """
    if console.is_terminal:
        parts = re.fullmatch(r"(\s*)(\d+\. )?(.*)", text)
        assert parts is not None
        told(console, parts[3], indent=len(parts[1]), mark=parts[2] or "")
    else:
        console.print(Text(text), soft_wrap=True)


class Interrupted(click.ClickException):
    """One line and the conventional exit code of an interrupted program."""

    exit_code = 130


def print_json(text: str) -> None:
    """Print a JSON document on standard output."""
    # As bytes: JSON is UTF-8, whatever the encoding of the terminal.
    click.echo(text.encode())


def plain(value: Any) -> Any:
    """Return what JSON can hold: it has no infinities and no NaN; they are strings, as in the records of a run."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
