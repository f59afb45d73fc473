"""Running claims: checks in parallel, kept so that an interrupted run resumes, joined into one record."""

from __future__ import annotations

import math
import multiprocessing
import os
import platform
import queue
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from threadpoolctl import threadpool_limits

from convergence.store import Store, key
from rdml_theory.symbolic.kernel import Proof
from verify import environment
from verify.checks.comparisons import holds
from verify.checks.panels import contradicted
from verify.claim import Check, Claim, Finding
from verify.claims import all_claims, statistical_tests
from verify.context import Context, ProfileName
from verify.records import (
    CheckRecord,
    ClaimRecord,
    Comparison,
    ControlRecord,
    Curve,
    Environment,
    Panel,
    RunRecord,
    combine,
    faults_of_panel,
    summary_of,
)  # fmt: skip
from verify.workers import WorkersLostError, start_worker, terminated_raises, worker_pool

__all__ = ["RunSettings", "Unit", "UnitResult", "as_stated", "run_claims"]

Unit = tuple[str, str]
"""A claim's id and a check's: what one worker does at a time."""

Progress = Callable[[Unit, float], None]

_LARGEST = 16 * 2**20
"""Bytes of a finished check that is kept."""


@dataclass(frozen=True)
class RunSettings:
    """What a run depends on; ``jobs`` changes no number."""

    profile: ProfileName = "quick"
    seed: int = 0
    error_rate: float = 1e-3
    jobs: int = 1

    def __post_init__(self) -> None:
        if self.profile not in get_args(ProfileName):
            raise ValueError(f"profile = {self.profile!r}: expected one of {', '.join(get_args(ProfileName))}")
        if self.seed < 0:
            raise ValueError(f"seed = {self.seed}: expected an integer of at least 0")


class UnitResult(BaseModel):
    """One finished check, on the claim (key "") and on each of its negative controls, as it is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    claim: str
    check: str
    seconds: float
    checks: dict[str, CheckRecord]
    panels: dict[str, tuple[Panel, ...]]


def _record(check: Check[Any], finding: Finding) -> CheckRecord:
    statistical = [c for c in finding.comparisons if c.error_rate > 0]
    if len(statistical) > check.tests:
        raise RuntimeError(
            f"check {check.id!r} made {len(statistical)} statistical comparisons and registered {check.tests}: "
            "raise `tests`, so that error rates are corrected for all of them"
        )
    return CheckRecord(
        id=check.id, kind=check.kind, question=check.question, outcome=finding.outcome,
        error_rate=sum(c.error_rate for c in statistical), comparisons=finding.comparisons, steps=finding.steps,
        certificates=finding.certificates,
    )  # fmt: skip


_OF = "the hypotheses of "
"""Before the id of another claim: an assumption that stands for all of those."""


def as_stated(claim: Claim[Any], proof: Proof) -> tuple[Comparison, Comparison]:
    """Whether a claim prints what its proof proves, and lists every hypothesis of it among its assumptions.

    What the other theorems of a proof assume, such as instances that attain a bound, stands with them in the record.
    """
    lines = list(claim.assumptions)
    lines += [own for line in lines if line.startswith(_OF) for own in all_claims()[line.removeprefix(_OF)].assumptions]
    # Those of one of several theorems stand in a line such as "for the slope: ...; ...".
    said = {part for line in lines for part in (line, *line.partition(": ")[2].split("; "))}
    missing = sorted({told.text() for told in proof.hypotheses} - said)
    listed = "the assumptions list every hypothesis of the proof" + "".join(f"; missing: {told}" for told in missing)
    printed = claim.statement(claim.subject).formulas.values()
    return holds("the statement as printed is the one proved", proof.statement in printed), holds(listed, not missing)


def _run_unit(unit: Unit, settings: RunSettings, progress: Callable[[float], None]) -> UnitResult:
    """Run one check on the claim and on its negative controls, with one thread and the same random streams."""
    claim: Claim[Any] = all_claims()[unit[0]]
    check = next(c for c in claim.checks if c.id == unit[1])
    begin = time.perf_counter()
    share = settings.error_rate / max(statistical_tests(), 1)
    context = Context(claim.id, check.id, settings.profile, settings.seed, share)
    subjects = {"": (claim.subject, False), **{c.id: (c.subject, not c.drawn) for c in claim.controls}}
    records: dict[str, CheckRecord] = {}
    panels: dict[str, tuple[Panel, ...]] = {}
    with threadpool_limits(1):
        for number, (name, (subject, brief)) in enumerate(subjects.items()):
            context.progress = lambda fraction, n=number: progress((n + fraction) / len(subjects))
            finding = check.run(subject, context, brief=brief)
            if check.prove and not name and finding.outcome == "confirmed":
                finding = replace(finding, comparisons=(*finding.comparisons, *as_stated(claim, check.prove(subject))))
            records[name], panels[name] = _record(check, finding), finding.panels
            context.progress(1.0)
    return UnitResult(
        claim=claim.id, check=check.id, seconds=time.perf_counter() - begin, checks=records, panels=panels,
    )  # fmt: skip


# In a worker process: the queue on which progress is reported.
_reports: Any = None


def _start_worker(reports: Any) -> None:
    global _reports
    _reports = reports
    # What is still to be told keeps no worker from ending.
    reports.cancel_join_thread()
    start_worker()


def _work(unit: Unit, settings: RunSettings) -> UnitResult:
    return _run_unit(unit, settings, lambda fraction: _reports.put((unit, fraction)))


def _parallel(units: list[Unit], settings: RunSettings, progress: Progress) -> Iterator[UnitResult]:
    """Results as they finish, from worker processes.

    The first of them begins with the proofs: those that rest on the same lemmas find them proved, and it needs no torch
    meanwhile.
    """
    reports = multiprocessing.get_context("spawn").Queue()
    waiting = list(units)
    with ExitStack() as stack:
        workers = [stack.enter_context(worker_pool(1, _start_worker, (reports,))) for _ in units[: settings.jobs]]
        idle, running = list(workers), dict[Future[UnitResult], ProcessPoolExecutor]()
        while waiting or running:
            while idle and waiting:
                worker = idle.pop()
                unit = next((u for u in waiting if _is_proof(u) == (worker is workers[0])), waiting[0])
                waiting.remove(unit)
                running[worker.submit(_work, unit, settings)] = worker
            done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            with suppress(queue.Empty):
                while True:
                    progress(*reports.get_nowait())
            for future in done:
                idle.append(running.pop(future))
            for future in done:
                yield future.result()


def _is_proof(unit: Unit) -> bool:
    return any(check.kind == "symbolic" for check in all_claims()[unit[0]].checks if check.id == unit[1])


@contextmanager
def _one_thread() -> Iterator[None]:
    """A check has one thread, also in workers, and also the first that needs torch, which only loads then."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


@contextmanager
def _losses_named(journal: Store | None) -> Iterator[None]:
    """Dead workers in one line; a check that raises such an error itself is another matter, but has no pipes."""
    try:
        yield
    except (BrokenExecutor, EOFError, ConnectionError):
        where = None if journal is None else journal.folder.parent
        kept = f"finished checks are kept in {where}" if where else "nothing is kept without --out"
        raise WorkersLostError(
            f"a worker process died (killed, or short of memory); {kept}: run the same command again, with fewer --jobs"
        ) from None


def _serial(units: list[Unit], settings: RunSettings, progress: Progress) -> Iterator[UnitResult]:
    for unit in units:
        yield _run_unit(unit, settings, lambda fraction, u=unit: progress(u, fraction))


def _name(unit: Unit, settings: RunSettings) -> str:
    """Under which a finished check is kept: by it a run with the same sources, seed and profile finds it."""
    return key(environment.source_digest(), settings.profile, settings.seed, settings.error_rate, *unit)


def _kept(journal: Store, unit: Unit, name: str) -> UnitResult | None:
    """The finished check of an interrupted run; None if there is none, or it was changed."""
    try:
        result = UnitResult.model_validate_json(journal.get(name, limit=_LARGEST) or b"")
    except ValidationError:
        return None
    judged = {"", *(control.id for control in all_claims()[unit[0]].controls)}
    if (result.claim, result.check) != unit or not judged == set(result.checks) == set(result.panels):
        return None
    return None if any(faults_of_panel(p) for panels in result.panels.values() for p in panels) else result


def run_claims(
    ids: Sequence[str] | None = None,
    settings: RunSettings | None = None,
    *,
    journal: Store | None = None,
    progress: Progress = lambda unit, fraction: None,
    started: Callable[[list[Unit], list[Unit]], None] = lambda units, resumed: None,
) -> RunRecord:
    """Run claims with their checks and controls.

    Parameters
    ----------
    ids : sequence of str, optional
        Which claims; all by default. A claim's numbers do not depend on which others run.
    settings : RunSettings, optional
        Profile, seed, error rate of the run, and worker processes (which change no number).
    journal : Store, optional
        Where finished checks are kept: an interrupted run, started again with the same sources, seed and profile,
        continues where it stopped and ends with the same numbers.
    progress : callable
        Called with a check and the fraction of it that is done.
    started : callable
        Called once with all checks and with those taken from the journal.

    Returns
    -------
    RunRecord

    Raises
    ------
    KeyError
        If an id is unknown.
    TypeError
        If the ids are one string.
    """
    settings = settings or RunSettings()
    known = all_claims()
    if isinstance(ids, str):
        raise TypeError(f"ids = {ids!r}: expected a list of ids, such as [{ids!r}]")
    for i in ids or ():
        if i not in known:
            raise KeyError(f"unknown claim {i!r}: `rdml list` prints the ids")
    claims = [known[i] for i in ids] if ids else list(known.values())
    now, begin = datetime.now(UTC), time.perf_counter()
    costs = {(claim.id, check.id): check.cost for claim in claims for check in claim.checks}
    units = sorted(costs, key=lambda unit: -costs[unit])
    names = {} if journal is None else {unit: _name(unit, settings) for unit in units}
    results = {u: found for u, name in names.items() if journal and (found := _kept(journal, u, name)) is not None}
    remaining = [unit for unit in units if unit not in results]
    started(units, list(results))
    with terminated_raises(), _one_thread(), _losses_named(journal):
        source = _serial if settings.jobs == 1 or len(remaining) < 2 else _parallel
        for result in source(remaining, settings, progress):
            unit = (result.claim, result.check)
            results[unit] = result
            if journal is not None:
                journal.put(names[unit], result.model_dump_json())
            progress(unit, 1.0)
    records = tuple(_join(claim, [results[claim.id, check.id] for check in claim.checks]) for claim in claims)
    seconds = {f"{r.claim}.{r.check}": round(r.seconds, 3) for r in results.values()}
    return RunRecord(
        profile=settings.profile, seed=settings.seed, error_rate=settings.error_rate,
        statistical_tests=statistical_tests(), summary=summary_of(records), claims=records,
        environment=Environment(
            versions=environment.versions(), python=sys.version.split()[0], platform=platform.platform(),
            processor=environment.processor(), cores=environment.cores(), commit=environment.commit(),
            source_digest=environment.source_digest(), started=now.isoformat(timespec="seconds"),
            seconds=round(time.perf_counter() - begin, 3), jobs=settings.jobs, check_seconds=seconds,
            claims=tuple(claim.id for claim in claims),
        ),
    ).sealed()  # fmt: skip


def _join(claim: Claim[Any], results: list[UnitResult]) -> ClaimRecord:
    checks = tuple(r.checks[""] for r in results)
    controls = tuple(
        ControlRecord(
            id=control.id, falsehood=control.falsehood, statement=claim.statement(control.subject).segments(),
            outcome=combine([r.checks[control.id].outcome for r in results]),
            checks=tuple(r.checks[control.id] for r in results),
        )
        for control in claim.controls
    )  # fmt: skip
    margins = [c.margin for check in checks for c in check.comparisons if c.margin is not None]
    drawn = {control.id: control.falsehood for control in claim.controls if control.drawn}
    return ClaimRecord(
        id=claim.id, title=claim.title, direction=claim.direction,
        message=claim.message, meaning=claim.meaning, matters=claim.matters,
        statement=claim.statement(claim.subject).segments(),
        assumptions=claim.assumptions,
        source=claim.source,
        outcome=combine([c.outcome for c in checks]), error_rate=sum(c.error_rate for c in checks),
        margin=min(margins, default=None), checks=checks, controls=controls, caption=claim.caption,
        panels=tuple(p for r in results for p in _with_controls(r, drawn)),
    )  # fmt: skip


def _with_controls(result: UnitResult, drawn: dict[str, str]) -> Iterator[Panel]:
    """The claim's panels, with the drawn controls' versions of the curves that show the statement.

    Those that do not differ are left out, and a control is left out of a panel where no measurement contradicts it:
    there it would look as good as the statement.
    """
    for panel in result.panels[""]:
        extra: list[Curve] = []
        stated = [c for c in panel.curves if c.role == "statement"]
        for control, falsehood in drawn.items():
            same = next((p for p in result.panels[control] if p.title == panel.title), None)
            curves = [] if same is None else [c for c in same.curves if c.role == "statement"]
            if len(curves) != len(stated):
                continue
            pairs = [(true, false) for true, false in zip(stated, curves, strict=True) if not _same(true, false)]
            found = [(*at, false) for true, false in pairs if (at := contradicted(panel, true, false))]
            if not found:
                continue
            _, point, clearest = max(found, key=lambda f: f[0])
            for _, false in pairs:
                update = {"role": "control", "label": f"false: {falsehood}"}
                extra.append(false.model_copy(update=update | {"contradicted": point if false is clearest else None}))
        yield panel.model_copy(update={"curves": (*panel.curves, *extra)})


def _same(first: Curve, second: Curve) -> bool:
    """Whether two curves agree up to rounding."""
    return (
        len(first.x) == len(second.x)
        and len(first.y) == len(second.y)
        and all(
            math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-300)
            for a, b in zip(first.x + first.y, second.x + second.y, strict=True)
        )
    )
