"""The report of a run: one HTML file that needs no network, with its figures inside and its formulas as MathML."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from verify import plots
from verify.formulas import MINUS, mathml, with_indices
from verify.paragraphs import Line, changed, lines
from verify.records import (
    GROUPS,
    CertificateRecord,
    CheckRecord,
    ClaimRecord,
    Comparison,
    Outcome,
    RunRecord,
    Segment,
    group_of,
)

__all__ = ["Sentence", "abstract", "decisive", "number", "render_report", "sound", "templates"]

_TEMPLATES = Path(__file__).parent / "templates"
_ABSTRACT = Path(__file__).parent / "abstract.md"
_POLICY = "default-src 'none'; img-src data:; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'"
"""What a browser may do with the page: show its pictures and its one style sheet, and nothing else."""

_SYMBOLS: dict[Outcome, str] = {"confirmed": "✓", "refuted": "✗", "undecided": "?"}
_ARXIV = re.compile(r"(\d{4}\.\d{4,5}|[a-z-]+(\.[A-Z]{2})?/\d{7})(v\d+)?")


def templates() -> Templates:
    """The pages that are made here: what they are given is escaped, and nothing may be undefined."""
    return Templates(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip


def render_report(run: RunRecord, pictures: Mapping[str, bytes] | None = None) -> str:
    """The report of a run as one HTML document.

    Parameters
    ----------
    run : RunRecord
        The run.
    pictures : mapping of str to bytes, optional
        The PNG of each claim's figure; they are drawn if they are not given.

    Returns
    -------
    str
        HTML without any reference to another file; equal records give equal text.
    """
    made = templates()
    made.filters.update(
        number=number, prose=_prose, outcome=_outcome, symbol=_SYMBOLS.__getitem__, tightness=_tightness, sound=sound
    )
    made.globals.update(
        mathml=mathml, sentence=_sentence, statement=_statement, decisive=decisive, count=_count, arxiv=_arxiv,
        anchor=_anchor, changed=changed, kinds=_kinds, means=_MEANS, sound=sound, in_words=_in_words,
        doubt=_doubt, first_shown={}, spoken=_spoken,
    )  # fmt: skip
    if pictures is None:
        pictures = {name: drawn["png"] for name, drawn in plots.render_all(run, formats=("png",)).items()}
    figures = {name: _figure(png) for name, png in pictures.items()}
    style = Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8"))
    policy = _POLICY.format(base64.b64encode(hashlib.sha256(style.encode()).digest()).decode())
    page = made.get_template("report.html.j2")
    environments = (run.environment, *run.earlier)
    judged = {claim.id: claim for claim in run.claims}
    sentences = abstract()
    if not any(name in judged for sentence in sentences for name in sentence.claims):
        sentences = []
    return page.render(
        run=run, groups=_grouped(run.claims), figures=figures, environments=environments, style=style, policy=policy,
        sentences=sentences, judged=judged,
    ).strip() + "\n"  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Numbers and words


_WIDEST_ON_PAPER = 128
"""Letters of a formula; a browser cannot break longer ones, and would print every page smaller for the widest."""


def _statement(segments: Sequence[Segment]) -> Markup:
    """Words with short formulas, and long formulas in lines of their own."""
    kinds = {False: "line", True: "line displayed"}
    parts = ((kinds[line.displayed], _sentence(_spaced(line))) for line in lines(segments))
    return Markup("").join(Markup('<span class="{}">{}</span>').format(*part) for part in parts)


def _spaced(line: Line) -> tuple[Segment, ...]:
    """The pieces of a line; an "and" behind a displayed formula stands apart from it."""
    formula, *rest = line.segments
    marks = (Segment(text=re.sub(r"^(?=\w)", "\N{EM SPACE}", mark.text)) for mark in rest)
    return (formula, *marks) if line.displayed else line.segments


def _sentence(segments: Sequence[Segment]) -> Markup:
    """Words and formulas; punctuation stays with the formula it follows.

    On paper, where nothing scrolls, long formulas are printed in letters, which can be broken.
    """
    out, rest = Markup(), ""
    for segment, following in zip_longest(segments, segments[1:]):
        words, rest = segment.text[len(rest) :] if segment.latex is None else "", ""
        if segment.latex is None:
            out += _prose(words)
            continue
        if following is not None and following.latex is None and (mark := re.match(r"[,;.:]+", following.text)):
            rest = mark[0]
        long = len(segment.text) > _WIDEST_ON_PAPER
        kind = "keep long" if long else "keep"
        out += Markup('<span class="{}">{}{}</span>').format(kind, mathml(segment.latex, segment.text), rest)
        if long:
            out += Markup('<span class="on-paper">{}{}</span>').format(_prose(segment.text), rest)
    return out


def _shortened(value: float, digits: int) -> str:
    if value == int(value) and abs(value) < 1e5:
        return str(int(value))
    exponent = math.floor(math.log10(abs(value)))
    if -3 <= exponent < 5:
        return f"{value:#.{digits}g}".rstrip("0").rstrip(".") if exponent < digits else f"{value:.0f}"
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa} × 10<sup>{int(power)}</sup>"


def number(value: float | None, digits: int = 3) -> Markup:
    r"""A number to a few significant digits, with ten of them in its ``title``.

    Parameters
    ----------
    value : float, optional
        The number; None is a dash.
    digits : int
        How many significant digits.

    Examples
    --------
    >>> print(number(0.25), number(2_000), number(None), number(float("-inf")))
    0.25 2000 – −∞
    >>> print(number(1.23456e-21).replace("\N{NO-BREAK SPACE}", " "))
    <span title="1.23456e-21">1.23 × 10<sup>−21</sup></span>
    >>> print(number(1 - 1e-15))
    1
    """
    if value is None:
        return Markup("–")
    if not math.isfinite(value):
        return Markup("undefined" if math.isnan(value) else "∞" if value > 0 else "−∞")
    told = f"{value:.10g}"
    short = _shortened(float(value), digits).replace("-", "−").replace(" ", "\N{NO-BREAK SPACE}")
    if "<" not in short and float(short.replace("−", "-")) == float(told):
        return Markup(short)
    return Markup(f'<span title="{told}">{short}</span>')


_SIGNS = (
    (MINUS, "\N{MINUS SIGN}"),
    (re.compile(r"(?<=\w\w)'(?=\w|\s|$)"), "’"),
    (re.compile(r'"([^"]*)"'), r"“\1”"),
)


def _prose(text: str) -> Markup:
    """Words with names in backticks set as code, and with indices, powers, minus signs and quotation marks set as such.

    >>> print(_prose("the student's mean of D_α, by `rdml run`, less 1 - h or (1-μ)"))
    the student’s mean of D<sub>α</sub>, by <code>rdml run</code>, less 1 − h or (1−μ)
    """
    out = Markup("")
    for number, part in enumerate(re.split(r"`([^`]+)`", text)):
        if number % 2:
            out += Markup("<code>{}</code>").format(part)
            continue
        for pattern, better in _SIGNS:
            part = pattern.sub(better, part)
        for kind, words in with_indices(part):
            out += words if kind == "text" else Markup(f"<{kind}>{{}}</{kind}>").format(words)
    return out


def _outcome(outcome: Outcome, expected: Outcome = "confirmed") -> Markup:
    """An outcome as a symbol and a word, coloured by whether it is the one that should come out."""
    tone = "good" if outcome == expected else "open" if outcome == "undecided" else "bad"
    return Markup('<span class="outcome {}"><span aria-hidden="true">{}</span> {}</span>').format(
        tone, _SYMBOLS[outcome], outcome
    )


def _count(number_of: int, total: int, noun: str, word: str) -> str:
    """``3 of 3 claims confirmed``."""
    return f"{number_of} of {total} {noun}{'' if total == 1 else 's'} {word}"


def _spoken(time: str) -> str:
    """A time as people write it, to the minute.

    >>> _spoken("2026-11-27T12:57:35+00:00")
    '2026-11-27 12:57 UTC'
    """
    return re.sub(r"^([^T]+)T(\d+:\d+).*\+00:00$", r"\1 \2 UTC", time)


def _anchor(identifier: str) -> str:
    return "claim-" + re.sub(r"[^A-Za-z0-9_-]", "-", identifier)


def _arxiv(identifier: str | None) -> str | None:
    """The address of a paper, if the identifier is one."""
    return f"https://arxiv.org/abs/{identifier}" if identifier and _ARXIV.fullmatch(identifier) else None


# ---------------------------------------------------------------------------------------------------------------------
# What the records say


def _grouped(claims: Sequence[ClaimRecord]) -> list[tuple[str, list[ClaimRecord]]]:
    """The claims by what they are about."""
    groups: dict[str, list[ClaimRecord]] = {group: [] for group in (*GROUPS, "Other")}
    for claim in claims:
        groups[group_of(claim.id)].append(claim)
    return [(group, members) for group, members in groups.items() if members]


def sound(claim: ClaimRecord) -> bool:
    """Whether a claim is confirmed and all of its negative controls are refuted."""
    return claim.outcome == "confirmed" and all(control.outcome == "refuted" for control in claim.controls)


class Sentence(NamedTuple):
    """A sentence of the paper's abstract, and what the claims that speak of it find."""

    says: str
    verdict: str
    claims: tuple[str, ...]
    finds: str
    remains: str


def abstract() -> list[Sentence]:
    """The table of ``verify/abstract.md``: the paper's abstract, sentence by sentence.

    >>> abstract()[4].claims
    ('C5', 'C9', 'C10', 'E1', 'N5')
    """
    lines = _ABSTRACT.read_text(encoding="utf-8").splitlines()
    cells = [
        re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line).strip("| ").split(" | ") for line in lines if line[:1] == "|"
    ]
    return [
        Sentence(says, verdict, tuple(re.findall(r"[A-Z]\d+[a-z]?", claims)), finds, remains)
        for says, verdict, claims, finds, remains in cells[2:]
    ]


def _doubt(sentence: Sentence, judged: Mapping[str, ClaimRecord]) -> str:
    """Why a run does not bear out the verdict on a sentence; nothing if all of its claims are as they must be."""
    if failed := [name for name in sentence.claims if name in judged and not sound(judged[name])]:
        return f"not borne out by {', '.join(failed)}"
    missing = [name for name in sentence.claims if name not in judged]
    return f"open here: {', '.join(missing)} not run" if missing else ""


_TOLD = ("D1", "D7", "D8", "C2", "C3", "C4", "C5", "C6", "X1", "X2", "G1", "G2", "N1", "N5", "E1", "E3", "V1", "V2")
"""The claims whose messages a first page has room for."""


def _in_words(claims: Sequence[ClaimRecord]) -> str:
    """What those say that are confirmed."""
    said = [claim.message for claim in claims if claim.id in _TOLD and claim.message and sound(claim)]
    return "".join(f"{message}. " for message in said)


def decisive(check: CheckRecord) -> Comparison | None:
    """The comparison that refutes most clearly: the one with the least margin.

    Examples
    --------
    >>> worst = Comparison(name="b", outcome="refuted", relation="≤", margin=-2.0)
    >>> check = CheckRecord(
    ...     id="numeric", kind="numeric", question="?", outcome="refuted", error_rate=0.0,
    ...     comparisons=(Comparison(name="a", outcome="refuted", relation="≤", margin=-1.0), worst),
    ... )
    >>> decisive(check).name
    'b'
    """
    refuting = [c for c in check.comparisons if c.outcome == "refuted"]
    return min(refuting, key=lambda c: math.inf if c.margin is None or math.isnan(c.margin) else c.margin, default=None)


_MEANS = {
    "calculus": "exact calculus",
    "smt": "an SMT solver",
    "balls": "ball arithmetic",
    "rational": "rational arithmetic",
}


def _kinds(certificates: Sequence[CertificateRecord]) -> str:
    """``2 by exact calculus, 1 by an SMT solver``: how many inequalities were certified by which means."""
    counted = Counter(_MEANS[c.kind] for c in certificates)
    return ", ".join(f"{number_of} by {means}" for means, number_of in counted.items())


def _tightness(claim: ClaimRecord) -> tuple[Comparison, ...]:
    """The comparisons that say how close a bound came to being attained, and where."""
    searched = [c for check in claim.checks for c in check.comparisons if c.where is not None]
    return tuple(c for c in searched if c.relation == "≤")


APART, RARE, COMMON = 50, 100, 2000
"""The least distance of a colour of a figure's palette from those that more pixels have, in steps of 256 along each
axis: where so many pixels have it, and where fewer do."""


def _figure(png: bytes) -> Markup:
    """The figure as a data address: as WebP of few colours, a seventh as large as the PNG.

    The palette is the picture's own most frequent colours: those in which its curves and words are drawn.
    """
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    counted: Any = picture.getcolors(picture.width * picture.height)
    kept: list[tuple[int, ...]] = []
    for number_of, colour in sorted(counted, reverse=True):
        apart = APART if number_of >= COMMON else RARE
        if not kept or (number_of >= 12 and all(math.dist(colour, other) >= apart for other in kept)):
            kept.append(colour)
    palette = Image.new("P", (1, 1))
    palette.putpalette([level for colour in kept for level in colour])
    stream = io.BytesIO()
    picture.quantize(palette=palette, dither=Image.Dither.NONE).convert("RGB").save(
        stream, format="WEBP", lossless=True, quality=100
    )
    return Markup("data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode())
