"""The records of a run: every number behind every verdict, as one schema-versioned JSON document.

Plots and reports read these records and nothing else.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = [
    "SCHEMA_VERSION", "CertificateRecord", "CheckRecord", "ClaimRecord", "Comparison", "ControlRecord", "Curve",
    "Environment", "Outcome", "Panel", "RecordError", "RunRecord", "Segment", "SourceRecord", "StepRecord", "Summary",
    "combine", "read_run", "write_atomically",
]  # fmt: skip

SCHEMA_VERSION = 1
"""Raised whenever a reader of older documents would misread them."""

Outcome = Literal["confirmed", "refuted", "undecided"]


class RecordError(ValueError):
    """A results document that cannot be used, with the reason and the remedy."""


class _Record(BaseModel):
    # JSON has no infinities: they are written as strings, which every JSON reader accepts.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Segment(_Record):
    """A piece of a statement: words, or a formula in both of its printed forms."""

    text: str
    latex: str | None = None


class SourceRecord(_Record):
    """Where a statement comes from."""

    work: str
    arxiv: str | None = None
    own: bool = False


class Curve(_Record):
    """One line, band or set of markers of a panel.

    ``role`` decides how it is drawn, the same in every figure: measured (and a second kind of measurement), what the
    statement says, what a false twin says, a reference.
    """

    label: str
    role: Literal["measured", "second", "statement", "control", "reference"]
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    style: Literal["line", "markers", "both"] = "line"
    group: int | None = None


class Panel(_Record):
    """One panel of a figure: labelled axes with their curves."""

    title: str
    x_label: str
    y_label: str
    x_scale: Literal["linear", "log"] = "linear"
    y_scale: Literal["linear", "log"] = "linear"
    curves: tuple[Curve, ...]


class Comparison(_Record):
    """One number confronted with what the statement allows.

    ``margin`` is the room left, relative to what is allowed (negative where the statement is violated).
    ``error_rate`` is zero for deterministic comparisons; ``samples`` counts points or replicas. ``where`` is the point
    at which a search found the number.
    """

    name: str
    outcome: Outcome
    relation: Literal["≤", "≥", "=", "∈", "holds"]
    observed: float | None = None
    allowed: float | None = None
    margin: float | None = None
    interval: tuple[float, float] | None = None
    error_rate: float = 0.0
    samples: int | None = None
    where: str | None = None


class StepRecord(_Record):
    """A proof step and whether it was verified."""

    reason: str
    text: str
    latex: str
    outcome: Outcome


class CertificateRecord(_Record):
    """How a scalar inequality that a proof rests on was discharged, or which cited theorem it is.

    ``kind`` says by what means: exact calculus (SymPy), an SMT solver over the reals, ball arithmetic over boxes,
    exact rational arithmetic, or a citation, which proves nothing by itself. ``evidence`` says in a line what was kept
    and re-checked, ``content`` is what was kept (for a solver the SMT-LIB 2 text) and ``digest`` identifies it.
    """

    kind: Literal["calculus", "smt", "balls", "rational", "citation"]
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
    """A false twin and how the claim's own checks judged it."""

    id: str
    falsehood: str
    statement: tuple[Segment, ...]
    outcome: Outcome
    checks: tuple[CheckRecord, ...]


class ClaimRecord(_Record):
    """A claim with its verdict, its checks, its controls and its figure's data."""

    id: str
    title: str
    direction: Literal["equality", "upper bound", "tight"]
    statement: tuple[Segment, ...]
    assumptions: tuple[str, ...]
    source: SourceRecord
    outcome: Outcome
    error_rate: float
    margin: float | None
    checks: tuple[CheckRecord, ...]
    controls: tuple[ControlRecord, ...]
    caption: str
    panels: tuple[Panel, ...]


class Environment(_Record):
    """Where and with what a run was made.

    ``reused_proofs`` counts decisions of proof steps that an earlier run made and this one checked.
    """

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
    reused_proofs: int = 0


class Summary(_Record):
    """Counts of outcomes and the exit code they amount to.

    ``toothless`` names the checks ("C1.nonconvex") that refute none of their claim's false twins: what they confirm
    says little.
    """

    claims: dict[Outcome, int]
    controls: dict[Outcome, int]
    toothless: tuple[str, ...] = ()
    exit_code: int


class RunRecord(_Record):
    """A whole run. Everything but ``environment`` depends on the seed and the profile only."""

    schema_version: int = SCHEMA_VERSION
    profile: Literal["quick", "full"]
    seed: int
    error_rate: float
    statistical_tests: int
    summary: Summary
    claims: tuple[ClaimRecord, ...]
    environment: Environment


def combine(outcomes: list[Outcome]) -> Outcome:
    """One refutation refutes; all must confirm to confirm.

    >>> combine(["confirmed", "undecided"]), combine(["undecided", "refuted"]), combine([])
    ('undecided', 'refuted', 'undecided')
    """
    if "refuted" in outcomes:
        return "refuted"
    return "confirmed" if outcomes and all(o == "confirmed" for o in outcomes) else "undecided"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name beside its place, then rename it: readers see all of it or nothing."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_run(path: Path) -> RunRecord:
    """Read ``results.json``.

    Raises
    ------
    RecordError
        If the file is missing, truncated, of another schema or not a results document.
    """
    remedy = "write it anew with `rdml run --out DIR`"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(f"{path}: no such file; {remedy}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: cannot be read ({error}); {remedy}") from None
    except json.JSONDecodeError as error:
        raise RecordError(f"{path}: truncated or not JSON (line {error.lineno}: {error.msg}); {remedy}") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version is None:
        raise RecordError(f"{path}: not a results document (no schema_version); {remedy}")
    if version != SCHEMA_VERSION:
        raise RecordError(f"{path}: schema version {version!r}, this program reads {SCHEMA_VERSION}; {remedy}")
    try:
        return RunRecord.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        raise RecordError(f"{path}: damaged at {place} ({first['msg']}); {remedy}") from None
