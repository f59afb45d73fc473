"""One page for each claim, from the registry: meaning, figure, statement, assumptions, proof, checks and controls.

Certificates are made and checked, and searches run, while the pages are written, so that what they print was found.
Figures are drawn from the records of a run, if there is one of the present sources.
"""

from __future__ import annotations

import ast
import os
import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rdml_theory.symbolic import certificates
from rdml_theory.symbolic.kernel import AXIOMS, RULES, Proof, Theorem, terms
from verify import paragraphs
from verify.checks.search import SEARCH
from verify.claim import Claim
from verify.claims import all_claims
from verify.context import Context
from verify.environment import source_digest
from verify.plots import render_all
from verify.records import GROUPS, RunRecord, Segment, group_of, read_run
from verify.results_folder import RESULTS


def _math(segments: Sequence[Segment], indent: str = "") -> list[str]:
    """Words with formulas, paragraph by paragraph, each long formula displayed."""
    out = []
    for line in paragraphs.lines(segments):
        if line.displayed:
            formula, *marks = line.segments
            out += [f"$${formula.latex}{''.join(_mark(mark.text) for mark in marks)}$$", ""]
        else:
            out += ["".join(s.text if s.latex is None else f"${s.latex}$" for s in line.segments), ""]
    return [indent + part if part else part for part in out]


def _mark(text: str) -> str:
    """What follows a formula in its line, such as a comma or an "and"."""
    return re.sub(r"\w+", r"\\quad\\text{\g<0>}", text)


def _assumption(text: str, typeset: dict[str, str]) -> list[str]:
    """One in a line, with its formula; those of one of several theorems below it."""
    several = re.fullmatch(r"((?:for|with|where) [^:]*): (.*; .*)", text)
    if several is None:
        return [f"- {typeset.get(text, text)}"]
    parts: list[str] = []
    for part in several[2].split("; "):
        # A semicolon within brackets, as in F(x; u), parts nothing.
        if parts and parts[-1].count("(") > parts[-1].count(")"):
            parts[-1] += f"; {part}"
        else:
            parts.append(part)
    return [f"- {several[1]}:", *(f"  - {typeset.get(part, part)}" for part in parts)]


_MEANS = {
    "calculus": "exact calculus",
    "smt": "an SMT solver",
    "rational": "rational arithmetic",
}


def _certificate(theorem: Theorem) -> str:
    """By what evidence a certified inequality holds, checked here."""
    certificate = theorem.arguments["certificate"]
    if certificate.check() is not True:
        raise RuntimeError(f"a certificate does not hold: {theorem.reason}")
    return f"By {_MEANS[certificate.kind]}: {certificate.summary()} (`{certificate.digest}`)."


def _proof(proof: Proof) -> list[str]:
    """A proof of the kernel, line by line, and the axioms it rests on."""
    cited = "; ".join(f"{name} ({AXIOMS[name].source})" for name in proof.axioms)
    rests = f"and what is cited: {cited}" if cited else "alone"
    lines = ["## Proof", "", f"By the rules of the kernel, from the assumptions {rests}.", ""]
    if len(proof.theorems) > 1:
        lines += [f"{len(proof.theorems)} theorems, each from hypotheses of its own:", "", *_theorems(proof)]
    for line in proof.lines:
        mark = f"{line.number}. "
        whole = [line.words(), "", "$$", line.theorem.conclusion.latex(), "$$", ""]
        if line.theorem.rule == "certified":
            whole += [_certificate(line.theorem), ""]
        lines += [mark + whole[0], *((" " * len(mark) + part) if part else "" for part in whole[1:])]
    return lines


def _theorems(proof: Proof) -> list[str]:
    """Every theorem with its own hypotheses."""
    lines = []
    for theorem in proof.theorems:
        # Marks within the formulas begin no line.
        given = ";$ $".join(h.latex() for h in proof.hypotheses_of(theorem))
        lines.append(f"- ${theorem.conclusion.latex()}" + (f",$ given ${given}$" if given else "$"))
    return [*lines, ""]


def _typeset(proof: Proof) -> dict[str, str]:
    """The hypotheses of a proof as formulas, by their text; those of words alone are left out."""
    given = (hypothesis for theorem in proof.theorems for hypothesis in proof.hypotheses_of(theorem))
    formulas = {hypothesis.text(): hypothesis.latex() for hypothesis in given}
    return {text: f"${latex}$" for text, latex in formulas.items() if not re.fullmatch(r"\\text\{[^{}]*\}", latex)}


def _tightness(claim: Claim[Any]) -> list[str]:
    """What the claim's searches find, with the point; the seed is that of a run by default."""
    searches = [check for check in claim.checks if check.id == SEARCH]
    lines = []
    for check in searches:
        context = Context(claim.id, check.id, "quick", seed=0, error_rate=1e-3)
        for found in check.run(claim.subject, context).comparisons:
            if found.where is not None and found.relation == "≤":
                lines.append(f"- {found.name}: {found.observed:.9g}, at {found.where}")
    if not lines:
        return []
    words = "What the search of a quick run finds, as the ratio of the smaller side to the larger:"
    return ["## Tightness", "", words, "", *lines, ""]


def _in_code(claim: Claim[Any]) -> str:
    """How to use a claim: by a function, and by its proof."""
    ways = []
    if claim.in_code:
        module, _, name = claim.in_code.rpartition(".")
        ways.append(f"{{py:obj}}`{name} <{claim.in_code}>` of `{module}`")
    if claim.derivation is not None:
        ways.append(f"`rdml prove {claim.id}` prints the theorem and its proof")
    return f"In code: {'; '.join(ways)}."


def _figure(claim: Claim[Any], svg: str) -> list[str]:
    """The figure of a claim with its caption; the style sheet fits one of a single column to a small screen."""
    width = re.search(r'width="([\d.]+)pt"', svg)
    column = [":figclass: column"] if width and float(width[1]) < _COLUMN else []
    start = [f"```{{figure}} figures/{claim.id}.svg", f":alt: {claim.title}", *column]
    return ["", *start, "", claim.caption, "```", ""]


_COLUMN = 360
"""Wider than a figure of one column is, in points."""


def page(claim: Claim[Any], *, drawn: str = "") -> str:
    """The page of a claim in MyST Markdown; with its figure, if there is one: its SVG."""
    source = claim.source.work[0].upper() + claim.source.work[1:]
    if claim.source.arxiv:
        source += f", [arXiv {claim.source.arxiv}](https://arxiv.org/abs/{claim.source.arxiv})"
    # Who is named first has found it.
    own = " The result is this toolkit's own." if claim.source.own and not source.startswith("This toolkit") else ""
    proof = None if claim.derivation is None else claim.derivation(claim.subject)
    typeset = {} if proof is None else _typeset(proof)
    lines = [
        f"# {claim.id}: {claim.title}", "", f"**{claim.message}.** {claim.meaning}", "", claim.matters, "",
        *(_figure(claim, drawn) if drawn else ()),
        "## Statement", "", f"*{claim.direction.capitalize()}.* {source}.{own}", "",
        *_math((*claim.statement(claim.subject).segments(), Segment(text="."))), "Assuming:", "",
        *(line for assumption in claim.assumptions for line in _assumption(assumption, typeset)), "",
    ]  # fmt: skip
    lines += [_in_code(claim), ""]
    if proof is not None:
        lines += _proof(proof)
    lines += _tightness(claim)
    lines += ["## Checks", ""]
    lines += [f"- **{c.id}** ({c.kind}): {c.question}" for c in claim.checks]
    lines += ["", "## Negative controls", "", "The same checks must refute each of these.", ""]
    told = claim.statement(claim.subject).segments()
    for control in claim.controls:
        differs = paragraphs.changed(claim.statement(control.subject).segments(), told)
        lines += [f"- **{control.id}**, {control.falsehood}{':' if differs else '.'}", ""]
        lines += _math(differs, "  ") if differs else []
    lines += ["", "Run it:", "", "```", f"rdml run {claim.id}", "```", ""]
    return "\n".join(lines)


_EVIDENCE = """# What is proved, and how

For each claim the table below says what supports it, how much of that is proof, and what the proof takes for granted.
Its columns:

- **lines**: the size of the claim's proof: rules of the kernel, from the assumptions to the statement. A claim without
  one is measured.
- **certified**: inequalities of a few real numbers among them, discharged exactly, by calculus (`calculus`), by an SMT
  solver over the reals (`smt`) or in rationals (`rational`), with evidence that every run checks again.
- **also checked**: in floating point against 60 digits or by search (`numeric`), by simulation with an error rate
  (`monte-carlo`), or on trained models (`training`). These support; they do not prove.
- **given**: the hypotheses, printed on the claim's page: the setting, and what defines the quantities.
- **axioms**: theorems of the literature that the proof rests on, listed below.

What has to be trusted: SymPy, z3 and python-flint; NumPy and SciPy for what is checked in floating point; and of the
kernel its terms and propositions, its rules and its axioms. Code that runs in the same process could change the
kernel's own functions, or results that it and SymPy keep; what is said here holds of the sources as they are.
"""


def _code(path: Path) -> int:
    """The lines of a file that hold code: without comments, docstrings and blank lines."""
    text = path.read_text(encoding="utf-8")
    words = {
        node.body[0].value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None
        and isinstance(node.body[0], ast.Expr)
    }  # fmt: skip
    said = {line for docstring in words for line in range(docstring.lineno, (docstring.end_lineno or 0) + 1)}
    lines = enumerate(text.splitlines(), start=1)
    return sum(
        number not in said and not line.lstrip().startswith("#") and bool(line.strip()) for number, line in lines
    )


def _kernel() -> list[str]:
    """The part of the page that lists what is trusted in the kernel."""
    folder = Path(terms.__file__).parent
    sizes = {name: _code(folder / f"{name}.py") for name in _TRUSTED}
    said = {name: (rule.__doc__ or "").strip().splitlines()[0] for name, rule in sorted(RULES.items())}
    rules = [f"- `{name}`: {re.sub(':[a-z]+:`~?', '`', line)}" for name, line in said.items()]
    named = [f"- **{name}**: {a.says}. {a.source}." for name, a in AXIOMS.items()]
    sources = Path(certificates.__path__[0]).glob("*.py")
    checkers = sum(map(_code, sources))
    files = ", ".join(f"`{name}.py` ({size})" for name, size in sizes.items())
    return [
        "## The kernel", "", f"Trusted, with their lines of code: {files}, {sum(sizes.values())} together; SymPy's "
        f"arithmetic of polynomials; and the checkers of certificates ({checkers}), where a proof "
        "is certified. What else proofs are made with, `derived.py` among it, calls rules and is not trusted.", "",
        f"{len(RULES)} rules:", "", *rules, "", f"{len(AXIOMS)} axioms, each with a numeric test:", "", *named, "",
    ]  # fmt: skip


_TRUSTED = (
    "expansion", "terms", "forms", "propositions", "axioms", "theorem", "substitution", "logic", "sums", "analysis",
)  # fmt: skip


def _rests_on(claim: Claim[Any]) -> list[str]:
    """One row of the table of evidence."""
    size, certified, given, axioms = 0, Counter[str](), 0, 0
    if claim.derivation is not None:
        proof = claim.derivation(claim.subject)
        size, given, axioms = len(proof.lines), len(proof.hypotheses), len(proof.axioms)
        rules = (line.theorem for line in proof.lines)
        certified.update(theorem.arguments["certificate"].kind for theorem in rules if theorem.rule == "certified")
    means = ", ".join(f"{number_of} {kind}" for kind, number_of in certified.items())
    floating = ", ".join(dict.fromkeys(c.kind for c in claim.checks if c.kind != "symbolic"))
    return [claim.id, claim.title, str(size or "-"), means or "-", floating or "-", str(given), str(axioms)]


def evidence() -> str:
    """The page that says what is proved by exact means, what is checked in floating point, what is cited."""
    rows = [_rests_on(claim) for claim in all_claims().values()]
    heads = ["claim", "title", "lines", "certified", "also checked", "given", "axioms"]
    table = [heads, ["---"] * len(heads), *rows]
    return "\n".join([_EVIDENCE, *(f"| {' | '.join(row)} |" for row in table), "", *_kernel()])


_ABOUT = {
    "Divergence": "The Rényi divergence between two predictions: its gradients, its bounds, and what the order does.",
    "Biased SGD": "How small the gradient gets when steps have noise and bias, and what no analysis can improve.",
    "Mutual learning": "What students do to each other's gradients: how large that bias is, and when it is none.",
    "Networks": "The same on networks that are really trained, with everything measured along the way.",
    "Experiments": "Simulations that show the plateau, its scaling, and how tight the bound is.",
    "Instruments": "How far the verdicts and the test problems themselves can be trusted.",
}


def page_name(claim: Claim[Any]) -> str:
    """The name of a claim's page, without its suffix."""
    return f"{claim.id.lower()}_" + re.sub(r"\W+", "_", claim.title.lower()).strip("_")


def group_page(group: str, members: list[Claim[Any]]) -> str:
    """The claims of a group: what each means, in their order, and the contents that lead to them."""
    lines = [f"# {group}", "", _ABOUT[group], ""]
    for claim in members:
        lines += [f"[{claim.id}: {claim.title}]({page_name(claim)}.md)", f": {claim.message}", ""]
    return "\n".join([*lines, "```{toctree}", ":hidden:", "", *map(page_name, members), "```", ""])


def gallery(drawn: dict[str, str]) -> str:
    """What a reader takes away from each figure, and every figure with what it shows."""
    lines = ["# Gallery", ""]
    if not drawn:
        lines += ["Figures are drawn from the records of a run: `make verify`, and then `make docs` again.", ""]
    lines += [
        "Above each figure stands what it shows at a glance; the colours, rings and files are explained in "
        "[figures](../../howto/figures.md).", "", "| | at a glance |", "| --- | --- |",
        *(f"| [{claim.id}]({page_name(claim)}.md) | {claim.message} |" for claim in all_claims().values()), "",
    ]  # fmt: skip
    for claim in all_claims().values():
        if claim.id in drawn:
            lines += [f"## {claim.id}: {claim.title}", "", *_figure(claim, drawn[claim.id])]
            lines += [f"[The claim]({page_name(claim)}.md)", ""]
    return "\n".join(lines)


def recorded(results: Path) -> RunRecord | None:
    """The run whose figures are drawn; None without one, or if it is of other sources."""
    if not (results / RESULTS).exists():
        print(f"no figures of claims: {results} holds no results; `make verify` writes them")
        return None
    run = read_run(results / RESULTS)
    if run.environment.source_digest != source_digest():
        print(f"no figures of claims: {results} holds results of other sources; `make verify` writes them anew")
        return None
    return run


def _compact(svg: str) -> str:
    """The same picture in a third of the bytes: coordinates to a tenth of a point, short names, no comments."""
    svg = re.sub(r"<!--.*?-->|<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = svg.replace("xlink:href", "href")

    def rounded(text: str) -> str:
        return re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.1f}".removesuffix(".0"), text)

    def path(match: re.Match[str]) -> str:
        words = " ".join(rounded(match[1]).split())
        return ' d="' + re.sub(r" ?([A-Za-z]) ?", r"\1", words) + '"'

    svg = re.sub(r' d="([^"]*)"', path, svg)
    svg = re.sub(r' [xy]="[^"]*"|translate\([^)]*\)', lambda m: rounded(m[0]), svg)

    # Glyphs come in units of a 64th of their grid, and half of it is finer than any screen.
    def glyph(match: re.Match[str]) -> str:
        return re.sub(r"-?\d+(?:\.\d+)?", lambda m: str(round(float(m[0]) / 32)), match[1]) + ' transform="scale(0.5)"'

    svg = re.sub(r'( d="[^"]*") transform="scale\(0\.015625\)"', glyph, svg)
    # Each style once, as a class.
    styles = dict.fromkeys(re.findall(r' style="([^"]*)"', svg))
    classes = {style: f"s{n}" for n, style in enumerate(styles)}
    svg = re.sub(r' style="([^"]*)"', lambda m: f' class="{classes[m[1]]}"', svg)
    sheet = "".join(f".{name}{{{style.replace(': ', ':').replace('; ', ';')}}}" for style, name in classes.items())
    svg = svg.replace("</style>", sheet + "</style>", 1)
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    short = {name: f"i{n}" for n, name in enumerate(used)}
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{short[m[1]]}"' if m[1] in short else "", svg)
    svg = re.sub(r'(href="#|url\(#)([^")]+)', lambda m: m[1] + short[m[2]], svg)
    svg = re.sub(r">\s+<", "><", svg).strip()
    # Groups that only held a name; markers that share a style take it from their group.
    svg = re.sub(r"<g>(<(?:use|path)[^>]*/>)</g>", r"\1", svg)
    marks = r'<g((?: clip-path="[^"]*")?)>((?:<use href="#\w+" x="[^"]*" y="[^"]*" class="(s\d+)"/>)+)</g>'

    def shared(match: re.Match[str]) -> str:
        if set(re.findall(r'class="(s\d+)"', match[2])) != {match[3]}:
            return match[0]
        return f'<g{match[1]} class="{match[3]}">{match[2].replace(f" class={chr(34)}{match[3]}{chr(34)}", "")}</g>'

    return re.sub(marks, shared, svg)


def write_pages(folder: Path, results: Path) -> None:
    """Write all pages, and the figures; unchanged ones keep their time stamp, so that builds stay incremental."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    run = recorded(results)
    pictures = {} if run is None else render_all(run, formats=("svg",), jobs=min(4, os.cpu_count() or 1))
    drawn = {name: _compact(picture["svg"].decode()) for name, picture in pictures.items() if name in all_claims()}
    texts = {"evidence.md": evidence(), "gallery.md": gallery(drawn)}
    texts |= {f"figures/{name}.svg": svg for name, svg in drawn.items()}
    claims = sorted(all_claims().values(), key=lambda claim: list(GROUPS).index(group_of(claim.id)))
    for group, members in groupby(claims, key=lambda claim: group_of(claim.id)):
        texts[f"{group.lower().replace(' ', '_')}.md"] = group_page(group, list(members))
    texts |= {f"{page_name(claim)}.md": page(claim, drawn=drawn.get(claim.id, "")) for claim in claims}
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.rglob("*.*"):
        if str(path.relative_to(folder)) not in texts:  # of a claim that is no more
            path.unlink()
