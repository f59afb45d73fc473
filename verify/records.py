"""The records of a run: every number behind every verdict, as one schema-versioned JSON document.

Plots and reports read these records and nothing else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

from verify.reading import in_a_line, read_json

__all__ = [
    "GROUPS", "SCHEMA_VERSION", "CertificateRecord", "CheckRecord", "ClaimRecord", "Comparison", "ControlRecord",
    "Curve", "Environment", "Outcome", "Panel", "RecordError", "RunRecord", "Segment", "Source", "StepRecord",
    "Summary", "combine", "faults_of_panel", "group_of", "place_of", "read_run", "summary_of",
]  # fmt: skip

SCHEMA_VERSION = 6
"""Raised whenever a reader of older documents would misread them."""

Outcome = Literal["confirmed", "refuted", "undecided"]
"""How a claim, a check or a comparison ends."""

Direction = Literal["equality", "upper bound", "tight"]
"""What a claim states: that two sides are equal, that one bounds the other, or also that the bound is attained."""


class RecordError(ValueError):
    """A results document that cannot be used, with the reason and the remedy."""


class _Record(BaseModel):
    # JSON has no infinities: they are written as strings, which every JSON reader accepts.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Segment(_Record):
    """A piece of a statement: words, or a formula in both of its printed forms."""

    text: str
    latex: str | None = None


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Source:
    """The work a statement comes from; ``own`` marks this toolkit's own results."""

    work: str
    arxiv: str | None = None
    own: bool = False


class Curve(_Record):
    """One line, band or set of markers of a panel.

    ``role`` decides how it is drawn, the same in every figure: measured (and a second kind of measurement), what the
    statement says, what a negative control says, a reference. ``contradicted`` is, of a control's curve, where it is
    refuted most clearly: x, what was measured there, and what the control says.
    """

    label: str
    role: Literal["measured", "second", "statement", "control", "reference"]
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    style: Literal["line", "markers", "both"] = "line"
    group: int | None = None
    contradicted: tuple[float, float, float] | None = None


class Panel(_Record):
    """One panel of a figure: labelled axes with their curves. ``x_names``, if there are any, stand at x = 1, 2, ...."""

    title: str
    x_label: str
    y_label: str
    x_scale: Literal["linear", "log"] = "linear"
    y_scale: Literal["linear", "log"] = "linear"
    x_names: tuple[str, ...] = ()
    curves: tuple[Curve, ...]


class Comparison(_Record):
    """One number confronted with what the statement allows.

    ``margin`` is the room left, relative to what is allowed (negative where the statement is violated).
    ``error_rate`` is zero for deterministic comparisons, and ``basis`` says what it rests on for means over replicas: a
    proved envelope of them; clipping to the interval in the name, where the mean is that of the clipped replicas; or
    asymptotics. ``samples`` counts points or replicas, ``cut`` those that were clipped. ``where`` is the point at which
    a search found the number.
    """

    name: str
    outcome: Outcome
    relation: Literal["≤", "≥", "=", "∈", "holds"]
    observed: float | None = None
    allowed: float | None = None
    margin: float | None = None
    interval: tuple[float, float] | None = None
    error_rate: float = 0.0
    basis: Literal["envelope", "cut", "asymptotic"] | None = None
    samples: int | None = None
    cut: int | None = None
    where: str | None = None


class StepRecord(_Record):
    """A proof step and whether it was verified.

    ``given``: of a theorem that the claim states, its hypotheses; None of a step on the way to one.
    """

    reason: str
    text: str
    latex: str
    outcome: Outcome
    given: tuple[str, ...] | None = None


class CertificateRecord(_Record):
    """How a scalar inequality that a proof rests on was discharged.

    ``kind`` says by what means: exact calculus (SymPy), an SMT solver over the reals, exact rational arithmetic or, in
    results of older sources, ball arithmetic. ``evidence`` says in a line what was kept and re-checked, ``content`` is
    what was kept (for a solver the SMT-LIB 2 text) and ``digest`` identifies it.
    """

    kind: Literal["calculus", "smt", "balls", "rational"]
    reason: str
    text: str
    latex: str
    evidence: str
    content: str | None = None
    digest: str | None = None
    outcome: Outcome


class CheckRecord(_Record):
    """What one check found out about one statement."""

    id: str
    kind: Literal["symbolic", "numeric", "monte-carlo", "training"]
    question: str
    outcome: Outcome
    error_rate: float
    comparisons: tuple[Comparison, ...]
    steps: tuple[StepRecord, ...] = ()
    certificates: tuple[CertificateRecord, ...] = ()


class ControlRecord(_Record):
    """A negative control and how the claim's own checks judged it."""

    id: str
    falsehood: str
    statement: tuple[Segment, ...]
    outcome: Outcome
    checks: tuple[CheckRecord, ...]


class ClaimRecord(_Record):
    """A claim with its verdict, its checks, its controls and its figure's data."""

    id: str
    title: str
    direction: Direction
    message: str = ""
    meaning: str = ""
    matters: str = ""
    statement: tuple[Segment, ...]
    assumptions: tuple[str, ...]
    source: Source
    outcome: Outcome
    error_rate: float
    margin: float | None
    checks: tuple[CheckRecord, ...]
    controls: tuple[ControlRecord, ...]
    caption: str
    panels: tuple[Panel, ...]

    @property
    def proved(self) -> bool:
        """Whether the statement is a theorem of the kernel, which a symbolic check proves again."""
        return any(check.kind == "symbolic" for check in self.checks)


class Environment(_Record):
    """Where and with what a run was made, and which claims it judged."""

    versions: dict[str, str]
    python: str
    platform: str
    processor: str
    cores: int
    commit: str | None
    source_digest: str
    started: str
    seconds: float
    jobs: int
    check_seconds: dict[str, float]
    claims: tuple[str, ...] = ()


class Summary(_Record):
    """Counts of outcomes and the exit code they amount to.

    ``vacuous`` names the checks ("C1.nonconvex") that refute none of their claim's negative controls: what they confirm
    says little.
    """

    claims: dict[Outcome, int]
    controls: dict[Outcome, int]
    vacuous: tuple[str, ...] = ()
    exit_code: int


class RunRecord(_Record):
    """A whole run. Everything but ``environment`` and ``earlier`` depends on the seed and the profile only.

    A run of some claims into a directory that holds others, of the same profile, seed and sources, keeps those:
    ``earlier`` says where and with what they were judged.

    By ``digest``, of everything else, a file is known that was damaged, or edited by hand. It keeps no secret: whoever
    wants to forge a record can compute its digest too, as he can change the program.
    """

    schema_version: int = SCHEMA_VERSION
    profile: Literal["quick", "full"]
    seed: int
    error_rate: float
    statistical_tests: int
    summary: Summary
    claims: tuple[ClaimRecord, ...]
    environment: Environment
    earlier: tuple[Environment, ...] = ()
    digest: str = ""

    def sealed(self) -> RunRecord:
        """The same record with its digest."""
        return self.model_copy(update={"digest": self._digest()})

    def intact(self) -> bool:
        """Whether nothing has changed since it was sealed."""
        return self.digest == self._digest()

    def _digest(self) -> str:
        return hashlib.sha256(self.model_dump_json(exclude={"digest"}).encode()).hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# Which claims belong together, and their order

GROUPS: dict[str, tuple[str, ...]] = {
    "Divergence": ("D",),
    "Biased SGD": ("C",),
    "Mutual learning": ("C4", "C4a", "C5", "C6", "C7", "C8", "X", "G"),
    "Networks": ("N",),
    "Experiments": ("E",),
    "Instruments": ("V",),
}
"""What the claims are about: letters of ids, and single ids that differ from the others of their letter."""


def place_of(identifier: str) -> tuple[int, int, str]:
    """Where a claim stands: by its letter, its number and what follows, so that C2 comes before C10.

    >>> sorted(["C10", "D1", "C2a", "C2"], key=place_of)
    ['D1', 'C2', 'C2a', 'C10']

    Raises
    ------
    ValueError
        If this is not the id of a claim.
    """
    match = re.fullmatch(rf"([{_LETTERS}])(\d+)(\w*)", identifier)
    if match is None:
        raise ValueError(f"claim id {identifier!r}: expected one of {', '.join(_LETTERS)} and a number, as in D1")
    return _LETTERS.index(match[1]), int(match[2]), match[3]


_LETTERS = "DCXGNEV"


def group_of(identifier: str) -> str:
    """The group of a claim.

    >>> group_of("C2"), group_of("C4a"), group_of("N1")
    ('Biased SGD', 'Mutual learning', 'Networks')
    """
    for name in (identifier, identifier[:1]):
        for group, members in GROUPS.items():
            if name in members:
                return group
    return "Other"


def combine(outcomes: list[Outcome]) -> Outcome:
    """One refutation refutes; all must confirm to confirm.

    >>> combine(["confirmed", "undecided"]), combine(["undecided", "refuted"]), combine([])
    ('undecided', 'refuted', 'undecided')
    """
    if "refuted" in outcomes:
        return "refuted"
    return "confirmed" if outcomes and all(o == "confirmed" for o in outcomes) else "undecided"


def summary_of(claims: tuple[ClaimRecord, ...]) -> Summary:
    """The counts of outcomes, and the exit code they amount to."""
    kinds: tuple[Outcome, ...] = ("confirmed", "refuted", "undecided")
    verdicts = [c.outcome for c in claims]
    controls = [k.outcome for c in claims for k in c.controls]
    vacuous = tuple(
        f"{claim.id}.{check.id}" for claim in claims for check in claim.checks
        if not any(c.id == check.id and c.outcome == "refuted" for control in claim.controls for c in control.checks)
    )  # fmt: skip
    failed = "refuted" in verdicts or any(o != "refuted" for o in controls) or vacuous
    return Summary(
        claims={k: verdicts.count(k) for k in kinds},
        controls={k: controls.count(k) for k in kinds},
        vacuous=vacuous,
        exit_code=1 if failed else 3 if "undecided" in verdicts else 0,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Reading

_REMEDY = "write it anew with `rdml run --out DIR`"
_ID = re.compile(r"[A-Z]{1,4}\d{1,4}\w{0,8}", re.ASCII)
# Many times what a run writes: the most that a report or a figure is made of in seconds.
_MOST_CLAIMS, _MOST_PANELS, _MOST_CURVES, _MOST_POINTS = 200, 12, 60, 20_000
_MOST_FORMULAS, _MOST_LATEX = 2_500, 250_000
"""Of what a report converts, in up to 15 µs a letter. A run of 58 claims held 549 formulas of 53,725 letters."""
_LONGEST_TITLE, _LONGEST_LABEL = 120, 400
_LARGEST = 32 * 2**20
"""Bytes of a results document."""


def read_run(path: Path) -> RunRecord:
    """Read ``results.json``.

    Raises
    ------
    RecordError
        If the file is missing, truncated, damaged, changed by hand, of another schema, no results document, or beyond
        what any run writes.
    """
    if not path.exists():
        raise RecordError(f"{path}: no such file; {_REMEDY}")
    try:
        document = read_json(path, what="the results file", limit=_LARGEST)
    except ValueError as error:
        raise RecordError(f"{in_a_line(error, None)}; {_REMEDY}") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version is None:
        raise RecordError(f"{path}: not a results document (no schema_version); {_REMEDY}")
    if version != SCHEMA_VERSION:
        raise RecordError(f"{path}: schema version {version!r}, this program reads {SCHEMA_VERSION}; {_REMEDY}")
    try:
        run = RunRecord.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        raise RecordError(f"{path}: damaged at {place} ({first['msg']}); {_REMEDY}") from None
    if (fault := next(_faults(run), None)) is not None:
        raise RecordError(f"{path}: {fault}; {_REMEDY}")
    return run


def _faults(run: RunRecord) -> Iterator[str]:
    """What no run writes, and what would take a report or a figure out of bounds."""
    if not run.intact():
        yield "was changed after it was written: its digest does not fit"
    ids = [claim.id for claim in run.claims]
    if len(ids) > _MOST_CLAIMS:
        yield f"holds {len(ids)} claims, at most {_MOST_CLAIMS} are read"
    if strange := [name for name in ids if not _ID.fullmatch(name)]:
        yield f"holds a claim {strange[0][:40]!r}: expected letters and a number, as D1"
    if twice := [name for name in ids if ids.count(name) > 1]:
        yield f"holds the claim {twice[0]} more than once"
    formulas = [len(latex) for claim in run.claims for latex in _formulas(claim)]
    if len(formulas) > _MOST_FORMULAS or sum(formulas) > _MOST_LATEX:
        yield f"holds {len(formulas)} formulas of {sum(formulas)} letters, at most {_MOST_FORMULAS} of {_MOST_LATEX}"
    for claim in run.claims:
        if len(claim.title) > _LONGEST_TITLE:
            yield f"claim {claim.id} has a title of {len(claim.title)} letters"
        if len(claim.panels) > _MOST_PANELS:
            yield f"claim {claim.id} has {len(claim.panels)} panels"
        for panel in claim.panels:
            yield from (f"claim {claim.id}: {fault}" for fault in faults_of_panel(panel))


def _formulas(claim: ClaimRecord) -> Iterator[str]:
    """The LaTeX that a report converts: the statements, and the steps that refute a negative control."""
    for part in (claim, *claim.controls):
        yield from (segment.latex for segment in part.statement if segment.latex is not None)
    for check in (check for control in claim.controls for check in control.checks):
        yield from (step.latex for step in check.steps if step.outcome == "refuted")


def faults_of_panel(panel: Panel) -> list[str]:
    """What no run writes, and what would take a figure out of bounds; empty for an honest panel."""
    faults = []
    labels = (panel.title, panel.x_label, panel.y_label, *panel.x_names, *(curve.label for curve in panel.curves))
    if max(map(len, labels)) > _LONGEST_LABEL:
        faults.append(f"a label of a figure has more than {_LONGEST_LABEL} letters")
    if len(panel.curves) > _MOST_CURVES:
        faults.append(f"a panel has {len(panel.curves)} curves")
    if len(panel.x_names) > _MOST_CURVES:
        faults.append(f"an axis has {len(panel.x_names)} names")
    if panel.x_names and {x for c in panel.curves for x in c.x} - set(range(1, len(panel.x_names) + 1)):
        faults.append("a point of a panel has no name below it")
    for curve in panel.curves:
        lengths = {len(a) for a in (curve.x, curve.y, curve.low, curve.high) if a is not None}
        if len(lengths) > 1:
            faults.append(f"the curve {curve.label[:60]!r} has arrays of different lengths: {sorted(lengths)}")
        if max(lengths) > _MOST_POINTS:
            faults.append(f"the curve {curve.label[:60]!r} has {max(lengths)} points")
        if curve.group is not None and not 0 <= curve.group < _MOST_CURVES:
            faults.append(f"the curve {curve.label[:60]!r} has group {curve.group}")
    return faults
