"""How a statement stands on a page: short formulas within its words, long ones in lines of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from verify.records import Segment

__all__ = ["Line", "changed", "lines", "plain_lines"]

_IN_A_LINE = 32
"""Letters of the longest formula that stands within words."""

_BETWEEN = re.compile(r"[,;]? (and )?")
"""What stands between formulas that follow one another."""

_SIGN = re.compile(r" [=≤≥<>] ")


class Line(NamedTuple):
    """A paragraph; or a displayed formula, and behind it the mark or the "and" that belongs to it."""

    segments: tuple[Segment, ...]
    displayed: bool

    def text(self) -> str:
        """As a line of Unicode text."""
        if not self.displayed:
            return "".join(segment.text for segment in self.segments)
        formula, *rest = (segment.text for segment in self.segments)
        return formula + "".join(mark if mark[0] in ",;.:" else f" {mark}" for mark in rest)


def lines(segments: Sequence[Segment]) -> list[Line]:
    r"""Words and formulas, line by line: a new line in the words begins a paragraph.

    A formula of more than 32 letters is displayed; and relations that follow one another are, if one of them is that
    long or there are three.

    Examples
    --------
    >>> long = Segment(text="x" * 40, latex="x")
    >>> for line in lines([Segment(text="If so, "), long, Segment(text=", always.\nNever else")]):
    ...     print(line.displayed, line.text())
    False If so,
    True xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx,
    False always.
    False Never else
    """
    shown, out, paragraph = _displayed(segments), [], list[Segment]()

    def close() -> None:
        if line := _trimmed(paragraph):
            out.append(Line(line, displayed=False))
        paragraph.clear()

    for n, segment in enumerate(segments):
        if n in shown:
            close()
            out.append(Line((segment,), displayed=True))
        elif segment.latex is not None:
            paragraph.append(segment)
        else:
            text = segment.text
            if n - 1 in shown:
                between = n + 1 in shown and _BETWEEN.fullmatch(text)
                mark = text if between else text[: len(text) - len(text.lstrip(",;.:"))]
                text = text[len(mark) :]
                if mark.strip():
                    out[-1] = Line((segments[n - 1], Segment(text=mark.strip())), displayed=True)
            for number, part in enumerate(text.split("\n")):
                if number:
                    close()
                paragraph.append(Segment(text=part))
    close()
    return out


def _displayed(segments: Sequence[Segment]) -> set[int]:
    """The places of the formulas that stand in lines of their own."""
    long = {n for n, segment in enumerate(segments) if segment.latex is not None and len(segment.text) > _IN_A_LINE}
    return long.union(*(run for run in _runs(segments) if len(run) > 2 or long & {*run}))


def _runs(segments: Sequence[Segment]) -> Iterator[list[int]]:
    """The places of relations that follow one another."""
    outside = [re.sub(r"_\{[^{}]*\}", "", segment.text) for segment in segments]
    relations = [n for n, s in enumerate(segments) if s.latex is not None and _SIGN.search(outside[n])]
    run = relations[:1]
    for before, n in pairwise(relations):
        if n != before + 2 or segments[n - 1].latex is not None or not _BETWEEN.fullmatch(segments[n - 1].text):
            yield run
            run = []
        run.append(n)
    yield run


def _trimmed(paragraph: Sequence[Segment]) -> tuple[Segment, ...]:
    """The same without space at either end."""
    parts = [part for part in paragraph if part.text]
    for place, strip in ((0, str.lstrip), (-1, str.rstrip)):
        if parts and parts[place].latex is None:
            parts[place] = Segment(text=strip(parts[place].text))
    return tuple(part for part in parts if part.text)


def plain_lines(segments: Sequence[Segment]) -> list[str]:
    """The lines as Unicode text, those of formulas indented."""
    return [" " * 2 * line.displayed + line.text() for line in lines(segments)]


_NUMBER = re.compile(r"\d[\d\s]*(\.\d+)?|\d+/\d+")


def changed(control: Sequence[Segment], claim: Sequence[Segment]) -> list[Segment]:
    r"""The formulas of a negative control that are not the claim's; none if they are numbers, which its own words tell.

    Where the words differ, too, or a formula is too short to say anything alone: the paragraphs that are not the
    claim's.

    Examples
    --------
    >>> claim = [Segment(text="So it is.\nIt ends at "), Segment(text="x + 1", latex="x+1")]
    >>> [part.text for part in changed([Segment(text="So it is.\nIt stops at "), claim[1]], claim)]
    ['It stops at ', 'x + 1']
    >>> [part.text for part in changed([claim[0], Segment(text="∞", latex=r"\infty")], claim)]
    ['It ends at ', '∞']
    >>> changed([claim[0], Segment(text="3", latex="3")], claim)
    []
    """
    if [s.text for s in control if s.latex is None] == [s.text for s in claim if s.latex is None]:
        known = {segment.latex for segment in claim}
        formulas = [segment for segment in control if segment.latex not in known]
        if all(_NUMBER.fullmatch(formula.text) for formula in formulas):
            return []
        if all(len(formula.text) >= 3 for formula in formulas):
            return [part for formula in formulas for part in (formula, Segment(text=", "))][:-1]
    ours, theirs = _paragraphs(control), _paragraphs(claim)
    if len(ours) != len(theirs):
        return list(control)
    other = [own for own, told in zip(ours, theirs, strict=True) if own != told]
    return [segment for part in other for segment in (Segment(text="\n"), *part)][1:]


def _paragraphs(segments: Sequence[Segment]) -> list[list[Segment]]:
    out = [list[Segment]()]
    for segment in segments:
        if segment.latex is not None:
            out[-1].append(segment)
            continue
        first, *rest = (Segment(text=part) for part in segment.text.split("\n"))
        out[-1].append(first)
        out += [[begun] for begun in rest]
    return [[segment for segment in paragraph if segment.text] for paragraph in out]
