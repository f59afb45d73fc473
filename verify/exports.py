"""A run for other programs: its JSON Schema, its outcomes as JUnit XML, and what differs between two runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from verify.records import ClaimRecord, ControlRecord, RunRecord

__all__ = ["Difference", "differences", "json_schema", "junit"]


def json_schema() -> str:
    """The JSON Schema of ``results.json``, made from the records themselves.

    >>> json.loads(json_schema())["title"]
    'RunRecord'
    """
    schema = RunRecord.model_json_schema(mode="serialization")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=1) + "\n"


def junit(run: RunRecord) -> str:
    """A run as JUnit XML, which test servers read: a suite a claim, a case for each check and negative control.

    A check that is refuted is a failure, and so is a negative control that is not refuted. Undecided is an error: it
    was not settled.
    """
    root = ElementTree.Element("testsuites", name="rdml-theory")
    for claim in run.claims:
        cases = list(_cases(claim))
        suite = ElementTree.SubElement(
            root, "testsuite", name=f"{claim.id} {claim.title}", tests=str(len(cases)),
            failures=str(sum(fault == "failure" for _, fault, _ in cases)),
            errors=str(sum(fault == "error" for _, fault, _ in cases)),
        )  # fmt: skip
        for name, fault, said in cases:
            case = ElementTree.SubElement(suite, "testcase", classname=claim.id, name=name)
            if fault:
                ElementTree.SubElement(case, fault, message=said)
    for element in root.iter():  # XML has no control characters, and records may come from anybody
        element.attrib.update({k: "".join(c if c.isprintable() else "�" for c in v) for k, v in element.items()})
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _cases(claim: ClaimRecord) -> Iterator[tuple[str, str, str]]:
    """Name, fault and words of each case."""
    for check in claim.checks:
        fault = {"confirmed": "", "refuted": "failure", "undecided": "error"}[check.outcome]
        yield check.id, fault, f"{check.outcome}: {check.question}"
    for control in claim.controls:
        fault = {"refuted": "", "confirmed": "failure", "undecided": "error"}[control.outcome]
        yield f"negative control {control.id}", fault, f"{control.outcome}, not refuted: {control.falsehood}"


@dataclass(frozen=True)
class Difference:
    """Something that two runs say differently; ``worse`` if the second is no longer what a run should be."""

    claim: str
    says: str
    worse: bool = False


def differences(first: RunRecord, second: RunRecord) -> list[Difference]:
    """What a second run says differently from a first: claims, statements, outcomes, and margins that halved or more.

    Seeds, profiles and versions that differ are the reader's to judge: they are not in the list.
    """
    old, new = ({claim.id: claim for claim in run.claims} for run in (first, second))
    found = [Difference(name, "only in the first run") for name in old if name not in new]
    found += [Difference(name, "only in the second run") for name in new if name not in old]
    for name in (name for name in old if name in new):
        found += _changes(old[name], new[name])
    return found


def _changes(old: ClaimRecord, new: ClaimRecord) -> Iterator[Difference]:
    if old.statement != new.statement:
        yield Difference(new.id, "the statement has changed")
    if old.outcome != new.outcome:
        yield Difference(new.id, f"{old.outcome}, now {new.outcome}", new.outcome != "confirmed")
    elif old.margin is not None and new.margin is not None and new.margin < old.margin / 2 and old.margin > 1e-9:
        yield Difference(new.id, f"margin {old.margin:.2g}, now {new.margin:.2g}")
    before = {control.id: control for control in old.controls}
    for control in new.controls:
        earlier: ControlRecord | None = before.pop(control.id, None)
        if earlier is None:
            yield Difference(new.id, f"new negative control {control.id}", control.outcome != "refuted")
        elif earlier.outcome != control.outcome:
            said = f"negative control {control.id} {earlier.outcome}, now {control.outcome}"
            yield Difference(new.id, said, control.outcome != "refuted")
    for name in before:
        yield Difference(new.id, f"negative control {name} is gone")
