"""A results directory: what a run writes in it, keeps from it, and removes from it.

It may come from anybody, with links and files of others in it. A run writes to the names below and to no link; it
removes its own finished checks and what a kill left under temporary names, by names that the registry of claims gives.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

from verify.claims import all_claims
from verify.records import RecordError, RunRecord, read_run, summary_of
from verify.safe_files import locked, own_folder, remove_files

__all__ = [
    "FIGURES", "JOURNAL", "REPORT", "RESULTS", "FolderError", "clear_journal", "earlier_results", "exclusive",
    "final_name", "foreign_entries", "journal_name", "merged", "results_folder", "sweep_up",
]  # fmt: skip

RESULTS = "results.json"
REPORT = "report.html"
FIGURES = "figures"
JOURNAL = ".checks"
"""The folder that keeps finished checks until the whole run is written."""

_LOCK = "lock"
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.\w{8}")

Unit = tuple[str, str]


class FolderError(ValueError):
    """A results directory that cannot be used, with the reason and the remedy."""


def final_name(name: str) -> str:
    """The name a file has once it is written: a killed run may leave files under their temporary names.

    >>> final_name(".results.json.0a1b2c3d"), final_name("results.json")
    ('results.json', 'results.json')
    """
    found = _TEMPORARY.fullmatch(name)
    return found["name"] if found else name


def journal_name(unit: Unit) -> str:
    """The name under which a finished check is kept."""
    return f"{unit[0]}.{unit[1]}.json"


@cache
def _journal_names() -> frozenset[str]:
    units = ((claim.id, check.id) for claim in all_claims().values() for check in claim.checks)
    return frozenset(map(journal_name, units))


def foreign_entries(journal: Path) -> list[str]:
    """The names of what no run has put into a journal; empty if there is no such folder."""
    if not journal.is_dir():
        return []
    ours = _journal_names() | {_LOCK}
    plain = (p for p in journal.iterdir() if stat.S_ISREG(p.lstat().st_mode) and final_name(p.name) in ours)
    return sorted({p.name for p in journal.iterdir()} - {p.name for p in plain})


def _refuse_unusable(out: Path) -> None:
    """Refuse a directory that holds foreign files, or links or others where a run writes its own."""
    if not out.exists():
        return
    if not out.is_dir():
        raise FolderError(f"{out}: is a file; name a directory")
    for name, folder in ((RESULTS, False), (REPORT, False), (FIGURES, True), (JOURNAL, True)):
        try:
            mode = (out / name).lstat().st_mode
        except FileNotFoundError:
            continue
        if not (stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)):
            found = "directory" if stat.S_ISDIR(mode) else "link" if stat.S_ISLNK(mode) else "file"
            right = "directory" if folder else "regular file"
            raise FolderError(f"{out}: {name} is a {found}, where a run writes a {right}; name another directory")
    ours = {RESULTS, REPORT, FIGURES, JOURNAL}
    if not (out / RESULTS).exists() and any(final_name(entry.name) not in ours for entry in out.iterdir()):
        raise FolderError(f"{out}: is not empty and holds no {RESULTS}; name a new, an empty or a results directory")
    if foreign := foreign_entries(out / JOURNAL):
        raise FolderError(f"{out}: {JOURNAL}/{foreign[0]} is not a run's; move it or name another directory")
    if not os.access(out, os.W_OK | os.X_OK):
        raise FolderError(f"{out}: is not writable; change its permissions or name another directory")


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep other runs out of an existing results directory.

    Raises
    ------
    FolderError
        If another run is writing there.
    """
    journal = own_folder(folder / JOURNAL)
    with ExitStack() as held:
        # Unless finished checks, or somebody else's files, are in it.
        held.callback(lambda: _rmdir(journal))
        try:
            held.enter_context(locked(journal / _LOCK))
        except (BlockingIOError, FileNotFoundError):
            # Not found: the other run has just ended and removed its journal.
            raise FolderError(f"another run is writing to {folder}; wait for it or name another directory") from None
        yield


def _rmdir(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


@contextmanager
def results_folder(out: Path) -> Iterator[Path]:
    """OUT as a results directory that this run alone writes to: an existing one, or a new one, private to its user.

    Raises
    ------
    FolderError
        If it cannot be used, or another run is writing there.
    """
    _refuse_unusable(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise FolderError(f"{out}: cannot be created ({error.strerror}); name another directory") from None
    with exclusive(out):
        yield out


def clear_journal(folder: Path) -> None:
    """Remove the finished checks once the whole run is written, and nothing else."""
    journal = folder / JOURNAL
    remove_files(journal, {p.name for p in journal.iterdir()} - {_LOCK, *foreign_entries(journal)})


def sweep_up(folder: Path) -> None:
    """Remove what a killed run has left half-written, under temporary names."""
    # Matplotlib, which workers need not import.
    from verify.plots import FORMATS, file_stem

    figures = {f"{file_stem(claim)}.{kind}" for claim in all_claims().values() for kind in FORMATS}  # type: ignore[arg-type]
    for place, ours in ((folder, {RESULTS, REPORT}), (folder / FIGURES, figures)):
        if place.is_dir():
            names = (path.name for path in place.iterdir())
            remove_files(place, [name for name in names if final_name(name) != name and final_name(name) in ours])


# ---------------------------------------------------------------------------------------------------------------------
# A run into a directory that holds results


def earlier_results(folder: Path, ids: Sequence[str], profile: str, seed: int, digest: str) -> RunRecord | None:
    """The results that a directory holds, of which a run of these claims keeps the others; ``None`` if it has none.

    Raises
    ------
    FolderError
        If the results cannot be read, or hold claims that this run would neither renew nor may keep: those of another
        profile, another seed or other sources and libraries.
    """
    if not (folder / RESULTS).exists():
        return None
    try:
        earlier = read_run(folder / RESULTS)
    except RecordError as error:
        raise FolderError(f"{error}; or move the file, or name another directory") from None
    others = [claim.id for claim in earlier.claims if claim.id not in ids]
    here = {"profile": profile, "seed": seed, "sources and libraries": digest}
    there = {
        "profile": earlier.profile, "seed": earlier.seed, "sources and libraries": earlier.environment.source_digest,
    }  # fmt: skip
    if others and (different := [name for name in here if here[name] != there[name]]):
        what = ", ".join(f"{name} {there[name]} (here {here[name]})" for name in different)
        known = f"{', '.join(others[:8])}{', …' if len(others) > 8 else ''}"
        raise FolderError(
            f"{folder}: holds {len(others)} claim{'s' if len(others) > 1 else ''} that this run does not renew "
            f"({known}), of {what}; run those too, or name another directory"
        )
    return earlier


def merged(run: RunRecord, earlier: RunRecord | None) -> RunRecord:
    """A run together with the claims that only the earlier results have, which keep their environments.

    Both are of the same profile, seed and sources, so the whole is what one run of all these claims would have found;
    in particular its error rate: each statistical comparison has the same share of it, whichever claims are run.
    """
    if earlier is None or not (kept := [c for c in earlier.claims if c.id not in run.environment.claims]):
        return run
    order = {name: number for number, name in enumerate(all_claims())}
    claims = tuple(sorted((*run.claims, *kept), key=lambda claim: order.get(claim.id, len(order))))
    environments = []
    for environment in (*earlier.earlier, earlier.environment):
        if names := tuple(name for name in environment.claims if name not in run.environment.claims):
            seconds = {k: v for k, v in environment.check_seconds.items() if k.partition(".")[0] in names}
            environments.append(environment.model_copy(update={"claims": names, "check_seconds": seconds}))
    update = {"claims": claims, "summary": summary_of(claims), "earlier": tuple(environments)}
    return run.model_copy(update=update).sealed()
