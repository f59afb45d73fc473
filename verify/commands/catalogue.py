"""What there is: the claims, one of them, and the recipes of the trainer."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape

from convergence.arguments import did_you_mean
from verify.claims import all_claims, claim_ids, claim_of
from verify.commands.common import UsageFault, errors, json_option, output, print_json, told, told_lines
from verify.paragraphs import plain_lines
from verify.records import ClaimRecord, RecordError, RunRecord, group_of, read_run

if TYPE_CHECKING:
    from verify.claim import Claim

__all__ = ["checked_ids", "described", "ids_argument", "list_command", "recipes_command", "show_command"]

RECIPES = Path(__file__).parent.parent / "trainer" / "recipes"
RESULTS = Path("results")
"""Where `make verify` writes: what `rdml show` looks at unless another folder is named."""

_WIDEST = 96
"""Columns: longer lines are hard to read."""


def _described() -> list[dict[str, Any]]:
    """The claims as plain data."""
    return [_row(claim) for claim in all_claims().values()]


def _row(c: Claim[Any]) -> dict[str, Any]:
    return {
        "id": c.id, "title": c.title, "message": c.message, "group": group_of(c.id), "kind": c.direction,
        "statement": c.statement(c.subject).text(),
        "statement_lines": plain_lines(c.statement(c.subject).segments()),
        "meaning": c.meaning, "matters": c.matters, "in_code": c.in_code,
        "assumptions": c.assumptions, "source": c.source.work, "arxiv": c.source.arxiv, "own": c.source.own,
        "proof": c.derivation is not None, "not_machine_checked": c.unchecked,
        "checks": [{"id": k.id, "kind": k.kind, "question": k.question} for k in c.checks],
        "controls": [
            {"id": t.id, "falsehood": t.falsehood, "statement": c.statement(t.subject).text()} for t in c.controls
        ],
    }  # fmt: skip


def described(only: str | None = None) -> list[dict[str, Any]]:
    """The claims as plain data, kept from the last time for these sources: importing SymPy and all takes seconds.

    Where nothing is kept and one of them is all that is asked for, no other is read.
    """
    from convergence.store import Store, key, own_folder
    from verify.environment import source_digest

    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        caches.mkdir(mode=0o700, parents=True, exist_ok=True)
        store, name = Store(own_folder(caches / "rdml-theory")), key("claims", source_digest())
    except (OSError, RuntimeError):  # no home, or one that cannot be written
        store, name = None, ""
    if store and (kept := store.get(name, limit=2**22)) is not None:
        return json.loads(kept)
    if only is not None:
        return [_row(claim_of(only))]
    with errors().status("reading the claims, which is kept for the next time"):
        rows = _described()
    if store:
        with suppress(OSError):
            store.remove()
            store.put(name, json.dumps(rows))
    return rows


def checked_ids(ids: Sequence[str] | None, others: Sequence[str] = ()) -> list[str]:
    """The ids in canonical form, each once: those of claims, or others that a record holds."""
    known = (*claim_ids(), *others)
    names = {name.casefold(): name for name in known}
    out = []
    for given in ids or []:
        if given.casefold() not in names:
            hint = "; put spaces between ids" if "," in given else did_you_mean(given.upper(), known)
            raise UsageFault(f"unknown claim {given!r}, see `rdml list`{hint}")
        out.append(names[given.casefold()])
    return list(dict.fromkeys(out))


def _completed(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The ids that a shell offers for what has been typed."""
    return [name for name in claim_ids() if name.casefold().startswith(incomplete.casefold())]


ids_argument = click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=_completed)


@click.command("list", short_help="List the claims, one per line.")
@json_option
def list_command(as_json: bool) -> None:
    """List the claims, one per line; `rdml show ID` shows one in full."""
    rows = described()
    if as_json:
        print_json(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    console = output()
    for number, (group, members) in enumerate(groupby(sorted(rows, key=_by_group(rows)), key=lambda row: row["group"])):
        console.print(("\n" if number else "") + f"[bold]{group}[/]")
        for row in members:
            told(console, row["message"], mark=f"{row['id'] + '*' * bool(row['not_machine_checked']):<4} ")
    if any(row["not_machine_checked"] for row in rows):
        console.print("\n* a part of it is not machine-checked: `rdml show` says which")
    console.print("\n`rdml show D1` shows one in full, `rdml run D1` tests it")


def _by_group(rows: Sequence[dict[str, Any]]) -> Any:
    groups = list(dict.fromkeys(row["group"] for row in rows))
    return lambda row: groups.index(row["group"])


@click.command("show", short_help="Show one claim: its statement, meaning and basis.")
@click.argument("identifier", metavar="ID", shell_complete=_completed)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help=f"Results directory with the last verdict (default: {RESULTS}, if it exists).",
)
@json_option
def show_command(identifier: str, results: Path | None, as_json: bool) -> None:
    """Show one claim: its statement, its meaning, what it rests on, and its last verdict."""
    (name,) = checked_ids([identifier])
    row = next(row for row in described(name) if row["id"] == name)
    run, record = _last_verdict(name, results)
    if as_json:
        verdict = None if record is None else {"outcome": record.outcome, "margin": record.margin}
        print_json(json.dumps(row | {"last_verdict": verdict}, ensure_ascii=False, indent=2))
        return
    console = output()
    console.width = min(console.width, _WIDEST)
    console.print(f"[bold]{name}  {escape(row['title'])}[/]  ({row['group'].lower()}, {row['kind']})\n")
    told_lines(console, row["statement_lines"])
    console.print()
    told(console, f"{row['meaning']} {row['matters']}")
    own = "; the result is this toolkit's own" if row["own"] and not row["source"].startswith("this toolkit") else ""
    source = row["source"] + (f", arXiv {row['arxiv']}" if row["arxiv"] else "") + own
    _listed(console, "Assumptions", row["assumptions"])
    _listed(console, "Proof", [_PROOFS[row["proof"]]])
    _listed(console, "Source", [source])
    if row["in_code"]:
        _listed(console, "In code", [row["in_code"]])
    _listed(console, "Checks", [f"{check['id']} ({check['kind']}): {check['question']}" for check in row["checks"]])
    false = [f"{control['id']}: {control['falsehood']}" for control in row["controls"]]
    _listed(console, "Negative controls, which the checks must refute", false)
    _listed(console, "Last verdict", list(_verdict(name, run, record, results)))
    proof = f"; rdml prove {name}: its proof" if row["proof"] else ""
    console.print()
    told(console, f"rdml run {name}: test it{proof}", indent=0)


_PROOFS = {
    True: "a theorem of the kernel: every step from the assumptions to the statement is checked by its rules",
    False: "none: the statement is measured",
}


def _listed(console: Console, heading: str, lines: Sequence[str]) -> None:
    console.print(f"\n[bold]{heading}[/]")
    for line in lines:
        told(console, line, mark="- ")


def _last_verdict(name: str, folder: Path | None) -> tuple[RunRecord | None, ClaimRecord | None]:
    from verify.results_folder import RESULTS as FILE

    if folder is None and not (RESULTS / FILE).exists():
        return None, None
    try:
        run = read_run((folder or RESULTS) / FILE)
    except RecordError as error:
        if folder is None:  # nobody asked for it
            return None, None
        raise UsageFault(str(error)) from None
    return run, next((claim for claim in run.claims if claim.id == name), None)


def _verdict(name: str, run: RunRecord | None, record: ClaimRecord | None, folder: Path | None) -> Iterator[str]:
    if run is None:
        yield f"none in {folder or RESULTS}; `rdml run {name} --out {folder or RESULTS}` keeps one"
    elif record is None:
        yield f"{folder or RESULTS} holds none of {name}"
    else:
        from verify.environment import source_digest

        refuted = sum(control.outcome == "refuted" for control in record.controls)
        started = next((e.started for e in (run.environment, *run.earlier) if name in e.claims), "")
        yield (
            f"{record.outcome}, and {refuted} of {len(record.controls)} negative controls refuted "
            f"({run.profile} profile, seed {run.seed}, {started})"
        )
        if run.environment.source_digest != source_digest():
            yield "the sources or libraries have changed since"


@click.command("recipes", short_help="List the recipes of rdml train.")
def recipes_command() -> None:
    """List the recipes for `rdml train --config NAME`: data, networks and the purpose of each."""
    console = output()
    for path in sorted(RECIPES.glob("*.toml")):
        text = path.read_text(encoding="utf-8")
        recipe = tomllib.loads(text)
        comments = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
        console.print(f"[bold]{path.stem}[/]")
        told(console, f"{recipe['students']} on {recipe['data']}")
        for line in comments:
            told(console, line)
