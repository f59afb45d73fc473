"""The report of a run: one HTML file that needs no network, with its figures inside and its formulas as MathML."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader, StrictUndefined
from markupsafe import Markup

from verify import plots
from verify.formulas import mathml
from verify.records import (
    CertificateRecord,
    CheckRecord,
    ClaimRecord,
    Comparison,
    Outcome,
    RunRecord,
    Segment,
)

__all__ = ["decisive", "number", "render_report"]

_TEMPLATES = Path(__file__).parent / "templates"
_POLICY = "default-src 'none'; img-src data:; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'"
"""What a browser may do with the page: show its pictures and its one style sheet, and nothing else."""

_SYMBOLS: dict[Outcome, str] = {"confirmed": "✓", "refuted": "✗", "undecided": "?"}
_ARXIV = re.compile(r"(\d{4}\.\d{4,5}|[a-z-]+(\.[A-Z]{2})?/\d{7})(v\d+)?")


def render_report(run: RunRecord, pictures: Mapping[str, bytes] | None = None) -> str:
    """The report of a run as one HTML document.

    Parameters
    ----------
    run : RunRecord
        The run.
    pictures : mapping of str to bytes, optional
        The SVG of each claim's figure; they are drawn if they are not given.

    Returns
    -------
    str
        HTML without any reference to another file; equal records give equal text.
    """
    templates = Templates(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(
        number=number, prose=_prose, outcome=_outcome, symbol=_SYMBOLS.__getitem__, tightness=_tightness
    )
    templates.globals.update(
        mathml=mathml, sentence=_sentence, decisive=decisive, count=_count, arxiv=_arxiv,
        anchor=_anchor, kinds=_kinds, means=_MEANS,
    )  # fmt: skip
    if pictures is None:
        pictures = {name: drawn["svg"] for name, drawn in plots.render_all(run, formats=("svg",)).items()}
    figures = {name: _figure(svg) for name, svg in pictures.items()}
    style = Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8"))
    policy = _POLICY.format(base64.b64encode(hashlib.sha256(style.encode()).digest()).decode())
    page = templates.get_template("report.html.j2")
    environments = (run.environment, *run.earlier)
    return page.render(run=run, figures=figures, environments=environments, style=style, policy=policy).strip() + "\n"


# ---------------------------------------------------------------------------------------------------------------------
# Numbers and words


def _sentence(segments: Sequence[Segment]) -> Markup:
    """Words and formulas; punctuation stays with the formula it follows."""
    out, rest = Markup(), ""
    for segment, following in zip_longest(segments, segments[1:]):
        words, rest = segment.text[len(rest) :] if segment.latex is None else "", ""
        if segment.latex is None:
            out += _prose(words)
            continue
        if following is not None and following.latex is None and (mark := re.match(r"[,;.:]+", following.text)):
            rest = mark[0]
        out += Markup('<span class="keep">{}{}</span>').format(mathml(segment.latex, segment.text), rest)
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
    r"""A number to a few significant digits, with all of them in its ``title``.

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
    """
    if value is None:
        return Markup("–")
    if not math.isfinite(value):
        return Markup("undefined" if math.isnan(value) else "∞" if value > 0 else "−∞")
    short = _shortened(float(value), digits).replace("-", "−").replace(" ", "\N{NO-BREAK SPACE}")
    if "<" not in short and float(short.replace("−", "-")) == value:
        return Markup(short)
    return Markup(f'<span title="{value!r}">{short}</span>')


def _prose(text: str) -> Markup:
    """Words with names in backticks set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(Markup.escape(text))))


def _outcome(outcome: Outcome, expected: Outcome = "confirmed") -> Markup:
    """An outcome as a symbol and a word, coloured by whether it is the one that should come out."""
    tone = "good" if outcome == expected else "open" if outcome == "undecided" else "bad"
    return Markup('<span class="outcome {}"><span aria-hidden="true">{}</span> {}</span>').format(
        tone, _SYMBOLS[outcome], outcome
    )


def _count(number_of: int, total: int, noun: str, word: str) -> str:
    """``3 of 3 claims confirmed``."""
    return f"{number_of} of {total} {noun}{'' if total == 1 else 's'} {word}"


def _anchor(identifier: str) -> str:
    return "claim-" + re.sub(r"[^A-Za-z0-9_-]", "-", identifier)


def _arxiv(identifier: str | None) -> str | None:
    """The address of a paper, if the identifier is one."""
    return f"https://arxiv.org/abs/{identifier}" if identifier and _ARXIV.fullmatch(identifier) else None


# ---------------------------------------------------------------------------------------------------------------------
# What the records say


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
    "citation": "citation",
}


def _kinds(certificates: Sequence[CertificateRecord]) -> str:
    """``2 by exact calculus, 1 by an SMT solver``: how many inequalities were certified by which means."""
    counted = Counter(_MEANS[c.kind] for c in certificates)
    return ", ".join(f"{number_of} by {means}" for means, number_of in counted.items())


def _tightness(claim: ClaimRecord) -> tuple[Comparison, ...]:
    """The comparisons that say how close a bound came to being attained, and where."""
    searched = [c for check in claim.checks for c in check.comparisons if c.where is not None]
    return tuple(c for c in searched if c.relation == "≤")


def _figure(svg: bytes) -> Markup:
    """The figure as a data address."""
    # Percent-encoding is a fifth shorter than base64 here; what it leaves means nothing to HTML.
    picture = _compact(svg.decode()).replace('"', "'")
    return Markup("data:image/svg+xml," + quote(picture, safe=" =':/;,()!*$@+-._~[]"))


def _compact(svg: str) -> str:
    """The same picture in about half the bytes: coordinates to a hundredth of a point, short names, no comments."""
    svg = re.sub(r"<!--.*?-->|<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = svg.replace("xlink:href", "href")

    def rounded(text: str) -> str:
        return re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), text)

    def path(match: re.Match[str]) -> str:
        words = " ".join(rounded(match[1]).split())
        return ' d="' + re.sub(r" ?([A-Za-z]) ?", r"\1", words) + '"'

    svg = re.sub(r' d="([^"]*)"', path, svg)
    svg = re.sub(r' [xy]="[^"]*"|translate\([^)]*\)', lambda m: rounded(m[0]), svg)
    svg = re.sub(r'style="([^"]*)"', lambda m: f'style="{m[1].replace(": ", ":").replace("; ", ";")}"', svg)
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    short = {name: f"i{n}" for n, name in enumerate(used)}
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{short[m[1]]}"' if m[1] in short else "", svg)
    svg = re.sub(r'(href="#|url\(#)([^")]+)', lambda m: m[1] + short[m[2]], svg)
    svg = re.sub(r">\s+<", "><", svg).strip()
    # Groups that only held a name.
    return re.sub(r"<g>(<(?:use|path)[^>]*/>)</g>", r"\1", svg)
