"""One page for each claim, from the registry: statement, assumptions, proof, tightness, checks and controls.

Certificates are made and checked, and searches run, while the pages are written, so that what they print was found.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from rdml_theory.symbolic import Step, certificates, to_latex
from rdml_theory.symbolic.certificates import CertifiedStep
from rdml_theory.symbolic.kernel import AXIOMS, RULES, Proof, terms
from verify.checks.search import SEARCH
from verify.claim import Claim, Statement
from verify.claims import all_claims
from verify.context import Context

_JOINS = {
    "chain": "Each begins where the one before ended, from the left side of the statement to its right side.",
    "conclusion": "The statement is the relation of a step.",
    "words": "What leads from them to the statement is in their words.",
}


def _math(statement: Statement) -> str:
    return "".join(s.text if s.latex is None else f"${s.latex}$" for s in statement.segments())


_MEANS = {
    "calculus": "By exact calculus",
    "smt": "By an SMT solver",
    "balls": "By ball arithmetic",
    "rational": "By rational arithmetic",
    "citation": "Cited",
}


def _step(number: int, step: Step) -> list[str]:
    """A proof step and, if it is certified, where it holds and by what evidence."""
    mark = f"{number}. "
    lines = [step.words(), "", "$$", to_latex(step.relation), "$$", ""]
    if isinstance(step, CertifiedStep):
        certificate = step.certificate
        if certificate.check() is not True:
            raise RuntimeError(f"a certificate does not hold: {step.reason}")
        if certificate.domain.latex():
            lines[3] += rf" \qquad {certificate.domain.latex()}"
        lines += [f"{_MEANS[certificate.kind]}: {certificate.summary()} (`{certificate.digest}`).", ""]
    indented = [(" " * len(mark) + line) if line else "" for line in lines]
    return [mark + lines[0], *indented[1:]]


def _proof(proof: Proof) -> list[str]:
    """A proof of the kernel, line by line, and the axioms it rests on."""
    rests = ", ".join(f"{name} ({AXIOMS[name].source})" for name in proof.axioms) or "no axiom"
    lines = ["## Proof", "", f"By the rules of the kernel from the assumptions, on {rests}.", ""]
    for line in proof.lines:
        mark = f"{line.number}. "
        whole = [line.words(), "", "$$", line.theorem.conclusion.latex(), "$$", ""]
        lines += [mark + whole[0], *((" " * len(mark) + part) if part else "" for part in whole[1:])]
    return lines


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


def page(claim: Claim[Any]) -> str:
    """The page of a claim in MyST Markdown."""
    source = claim.source.work[0].upper() + claim.source.work[1:]
    if claim.source.arxiv:
        source += f", [arXiv {claim.source.arxiv}](https://arxiv.org/abs/{claim.source.arxiv})"
    own = " The result is its own." if claim.source.own else ""
    lines = [
        f"# {claim.id}: {claim.title}", "", f"*{claim.direction.capitalize()}.* {source}.{own}", "",
        _math(claim.statement(claim.subject)) + ".", "", "## Assumptions", "",
        *(f"- {a}" for a in claim.assumptions), "",
    ]  # fmt: skip
    if claim.derivation is not None:
        derived = claim.derivation(claim.subject)
    else:
        derived = None
    if isinstance(derived, Proof):
        lines += _proof(derived)
    elif derived is not None:
        certified = any(isinstance(step, CertifiedStep) for step in derived.all_steps())
        means = "SymPy verifies each step" + (", or a certificate does." if certified else ".")
        lines += ["## Derivation", "", f"{means} {_JOINS[derived.joins]}", ""]
        if derived.hypotheses:
            lines += ["Given:", "", *(f"- ${to_latex(h)}$" for h in derived.hypotheses), ""]
        for number, step in enumerate(derived.all_steps(), 1):
            lines += _step(number, step)
    lines += _tightness(claim)
    lines += ["## Checks", ""]
    lines += [f"- **{c.id}** ({c.kind}): {c.question}" for c in claim.checks]
    lines += ["", "## Negative controls", "", "The same checks must refute each of these.", ""]
    lines += [f"- **{t.id}**, {t.falsehood}: {_math(claim.statement(t.subject))}" for t in claim.controls]
    lines += ["", "Run it:", "", "```", f"rdml run {claim.id}", "```", ""]
    return "\n".join(lines)


_EVIDENCE = """# What is proved, and how

- **decided**: proof steps that SymPy decides, as identities or as manifest signs, for a symbolic number of classes
  where one appears.
- **certified**: scalar inequalities discharged exactly, by calculus (`calculus`), by an SMT solver over the reals
  (`smt`), by ball arithmetic (`balls`) or in rationals (`rational`), with evidence that every run checks again.
- **joined by**: what leads from the steps to the statement: **the kernel**, whose rules alone make theorems; a chain of
  equalities; premises that a step combines; or the words beside the steps. Words are for the reader; no program
  checks them.
- **also checked**: in floating point against 60 digits or by search (`numeric`), by simulation with an error rate
  (`monte-carlo`), or on trained models (`training`). These support; they do not prove.
- **given**: what the proof assumes as hypotheses, printed on the claim's page: the setting (descent lemma, smoothness),
  or facts that no step proves (Rolle's theorem, Popoviciu's inequality in D10).
- **cited**: steps that rest on a theorem of the literature.

Trusted are SymPy, z3 and python-flint themselves, and for what is checked in floating point NumPy and SciPy; in the
kernel, its terms and propositions, its rules and its axioms.
"""


def _kernel() -> list[str]:
    """The part of the page that lists what is trusted in the kernel."""
    folder = Path(terms.__file__).parent
    sizes = {name: len((folder / f"{name}.py").read_text(encoding="utf-8").splitlines()) for name in _TRUSTED}
    rules = [f"- `{name}`: {(rule.__doc__ or '').strip().splitlines()[0]}" for name, rule in sorted(RULES.items())]
    named = [f"- **{name}**: {a.says}. {a.source}." for name, a in AXIOMS.items()]
    sources = Path(certificates.__path__[0]).glob("*.py")
    checkers = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in sources)
    files = ", ".join(f"`{name}.py` ({size} lines)" for name, size in sizes.items())
    return [
        "## The kernel", "", f"Trusted: {files}, SymPy's arithmetic of polynomials and its derivatives, and the "
        f"checkers of certificates, {checkers} lines, where a proof is certified.", "",
        f"{len(RULES)} rules:", "", *rules, "", f"{len(AXIOMS)} axioms, each with a numeric test:", "", *named, "",
    ]  # fmt: skip


_TRUSTED = ("terms", "forms", "propositions", "axioms", "theorem")


def _rests_on(claim: Claim[Any]) -> list[str]:
    """One row of the table of evidence."""
    decided, certified, given, cited = 0, Counter[str](), 0, 0
    joined = "-"
    if claim.derivation is not None:
        derived = claim.derivation(claim.subject)
        given = len(derived.hypotheses)
        if isinstance(derived, Proof):
            joined, decided, cited = "the kernel", len(derived.lines), len(derived.axioms)
            rules = (line.theorem for line in derived.lines)
            certified.update(theorem.arguments["certificate"].kind for theorem in rules if theorem.rule == "certified")
        else:
            joined = {"chain": "a chain", "conclusion": "premises", "words": "words"}[derived.joins]
        for step in () if isinstance(derived, Proof) else derived.all_steps():
            if isinstance(step, CertifiedStep):
                certified[step.certificate.kind] += 1
            else:
                decided += 1
    means = ", ".join(f"{number_of} {kind}" for kind, number_of in certified.items() if kind != "citation")
    kinds = [c.kind for c in claim.checks]
    floating = ", ".join(dict.fromkeys(kind for kind in kinds if kind != "symbolic"))
    cited = str(cited + certified["citation"])
    return [claim.id, claim.title, str(decided), means or "-", joined, floating or "-", str(given), cited]


def evidence() -> str:
    """The page that says what is proved by exact means, what is checked in floating point, what is cited."""
    rows = [_rests_on(claim) for claim in all_claims().values()]
    heads = ["claim", "", "decided", "certified", "joined by", "also checked", "given", "cited"]
    table = [heads, ["---"] * len(heads), *rows]
    return "\n".join([_EVIDENCE, *(f"| {' | '.join(row)} |" for row in table), "", *_kernel()])


def write_pages(folder: Path) -> list[Path]:
    """Write all pages; unchanged ones keep their time stamp, so that builds stay incremental."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    texts = {"evidence": evidence()}
    for claim in all_claims().values():
        name = re.sub(r"\W+", "_", claim.title.lower()).strip("_")
        texts[f"{claim.id.lower()}_{name}"] = page(claim)
    for name, text in texts.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
