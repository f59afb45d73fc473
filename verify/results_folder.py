"""A results directory: what a run writes in it, keeps from it, and removes from it.

It may come from anybody, with links and files of others in it. A run writes to the names below and to no link; it
removes its own finished checks, which bear its seal, and what a kill left under temporary names.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergence.store import LOCK, Store, final_name, locked, own_folder, remove_unfinished, write
from verify.claims import all_claims, claim_ids
from verify.exports import json_schema, junit
from verify.reading import obstacle
from verify.records import RecordError, RunRecord, read_run, summary_of

if TYPE_CHECKING:
    from verify.figure_style import SizeName

__all__ = [
    "FIGURES", "JOURNAL", "JUNIT", "REPORT", "RESULTS", "SCHEMA", "FolderError", "earlier_results", "merged",
    "results_folder", "write_figures", "write_report", "writing",
]  # fmt: skip

RESULTS = "results.json"
REPORT = "report.html"
SCHEMA = "results.schema.json"
JUNIT = "junit.xml"
FIGURES = "figures"
JOURNAL = ".checks"
"""The folder that keeps finished checks until the whole run is written."""

TRAINING = "train"
"""The folder where `rdml train` writes, beside the results of claims, unless another is named."""


class FolderError(OSError):
    """A results directory that cannot be used, with the reason and the remedy."""


def _refuse_unusable(out: Path) -> None:
    """Refuse a directory that holds foreign files, or links or others where a run writes its own."""
    if not out.exists():
        return
    if not out.is_dir():
        raise FolderError(f"{out}: is a file; name a directory")
    files = dict.fromkeys((RESULTS, REPORT, SCHEMA, JUNIT, LOCK), False)
    for name, folder in (files | {FIGURES: True, JOURNAL: True}).items():
        try:
            mode = (out / name).lstat().st_mode
        except FileNotFoundError:
            continue
        if not (stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)):
            found = "directory" if stat.S_ISDIR(mode) else "link" if stat.S_ISLNK(mode) else "file"
            right = "directory" if folder else "regular file"
            raise FolderError(f"{out}: {name} is a {found}, where a run writes a {right}; name another directory")
    ours = {*files, FIGURES, JOURNAL, TRAINING}
    if not (out / RESULTS).exists() and any(final_name(entry.name) not in ours for entry in out.iterdir()):
        raise FolderError(f"{out}: is not empty and holds no {RESULTS}; name a new, an empty or a results directory")
    if (out / JOURNAL).exists() and (foreign := Store(out / JOURNAL).foreign()):
        raise FolderError(f"{out}: {JOURNAL}/{foreign[0]} is not a run's; move it or name another directory")
    if not os.access(out, os.W_OK | os.X_OK):
        raise FolderError(f"{out}: is not writable; change its permissions or name another directory")


@contextmanager
def results_folder(out: Path) -> Iterator[Store]:
    """OUT as a results directory that this run alone writes to: an existing one, or a new one, private to its user.

    The store is that of its finished checks.

    Raises
    ------
    FolderError
        If it cannot be used.
    BlockingIOError
        If another process is writing there.
    """
    _refuse_unusable(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise FolderError(f"{out}: cannot be created ({obstacle(out, error)}); name another directory") from None
    with writing(out):
        journal = own_folder(out / JOURNAL)
        try:
            yield Store(journal)
        finally:
            # Unless finished checks, or somebody else's files, are in it.
            with suppress(OSError):
                journal.rmdir()


def write_report(run: RunRecord, page: str, folder: Path) -> None:
    """Write the report of a run, and beside it what other programs read: JSON Schema and JUnit XML."""
    write(folder / REPORT, page)
    write(folder / SCHEMA, json_schema())
    write(folder / JUNIT, junit(run))


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Keep other processes out of an existing results directory, and remove what killed ones have left half-written.

    Raises
    ------
    BlockingIOError
        If another process is writing there.
    """
    with locked(folder, (RESULTS, REPORT, SCHEMA, JUNIT)):
        remove_unfinished(folder / FIGURES, _figure_names())
        yield


def _figure_names() -> Iterator[str]:
    # Matplotlib, which workers need not import.
    from verify.plots import FORMATS, SIZES, file_stem

    stems = (file_stem(claim, size) for claim in all_claims().values() for size in SIZES)  # type: ignore[arg-type]
    return (f"{stem}.{kind}" for stem in stems for kind in FORMATS)


def write_figures(
    run: RunRecord, pictures: Mapping[str, Mapping[Any, bytes]], folder: Path, size: SizeName = "screen"
) -> list[Path]:
    """Write the figures of a run, by claim and format, into its folder for them; the files, claim by claim."""
    from verify.plots import file_stem

    place = own_folder(folder / FIGURES)
    paths = []
    for claim in run.claims:
        for kind, picture in pictures.get(claim.id, {}).items():
            # The numbers are the same at every size.
            paths.append(place / f"{file_stem(claim, 'screen' if kind == 'csv' else size)}.{kind}")
            write(paths[-1], picture)
    return paths


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
    order = {name: number for number, name in enumerate(claim_ids())}
    claims = tuple(sorted((*run.claims, *kept), key=lambda claim: order.get(claim.id, len(order))))
    environments = []
    for environment in (*earlier.earlier, earlier.environment):
        if names := tuple(name for name in environment.claims if name not in run.environment.claims):
            seconds = {k: v for k, v in environment.check_seconds.items() if k.partition(".")[0] in names}
            environments.append(environment.model_copy(update={"claims": names, "check_seconds": seconds}))
    update = {"claims": claims, "summary": summary_of(claims), "earlier": tuple(environments)}
    return run.model_copy(update=update).sealed()
