"""One page for each claim, from the registry: statement, assumptions, proof steps, checks and false twins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rdml_theory.symbolic import to_latex
from verify.claim import Claim, Statement
from verify.claims import all_claims

_JOINS = {
    "chain": "Each begins where the one before ended, from the left side of the statement to its right side.",
    "conclusion": "The statement is the relation of a step.",
    "words": "What leads from them to the statement is in their words.",
}


def _math(statement: Statement) -> str:
    return "".join(s.text if s.latex is None else f"${s.latex}$" for s in statement.segments())


def page(claim: Claim[Any]) -> str:
    """The page of a claim in MyST Markdown."""
    source = claim.source.work
    if claim.source.arxiv:
        source += f", [arXiv {claim.source.arxiv}](https://arxiv.org/abs/{claim.source.arxiv})"
    own = " This toolkit's own result." if claim.source.own else ""
    lines = [
        f"# {claim.id}: {claim.title}", "", f"*{claim.direction.capitalize()}.* {source}.{own}", "",
        _math(claim.statement(claim.subject)) + ".", "", "## Assumptions", "",
        *(f"- {a}" for a in claim.assumptions), "",
    ]  # fmt: skip
    if claim.derivation is not None:
        derived = claim.derivation(claim.subject)
        lines += ["## Derivation", "", f"SymPy verifies each step. {_JOINS[derived.joins]}", ""]
        if derived.hypotheses:
            lines += ["Given:", "", *(f"- ${to_latex(h)}$" for h in derived.hypotheses), ""]
        for number, step in enumerate(derived.all_steps(), 1):
            lines += [f"{number}. {step.words()}", "", "   $$", f"   {to_latex(step.relation)}", "   $$", ""]
    lines += ["## Checks", ""]
    lines += [f"- **{c.id}** ({c.kind}): {c.question}" for c in claim.checks]
    lines += ["", "## False twins", "", "The same checks must refute each of these.", ""]
    lines += [f"- **{t.id}**, {t.falsehood}: {_math(claim.statement(t.subject))}" for t in claim.twins]
    lines += ["", "Run it:", "", "```", f"rdml run {claim.id}", "```", ""]
    return "\n".join(lines)


def write_pages(folder: Path) -> list[Path]:
    """Write all pages; unchanged ones keep their time stamp, so that builds stay incremental."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for claim in all_claims().values():
        name = re.sub(r"\W+", "_", claim.title.lower()).strip("_")
        path = folder / f"{claim.id.lower()}_{name}.md"
        text = page(claim)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
