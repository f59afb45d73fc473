"""``rdml prove``: the proof of a claim, line by line, and whether the kernel has made it."""

from __future__ import annotations

import json
from typing import Any

import click

from verify.commands.catalogue import checked_ids
from verify.commands.common import UsageFault, json_option, print_json

__all__ = ["prove_command"]


def _of_the_kernel(proof: Any) -> dict[str, Any]:
    return {
        "hypotheses": [hypothesis.text() for hypothesis in proof.hypotheses],
        "conclusion": proof.theorems[0].conclusion.text(),
        "with_it": [theorem.conclusion.text() for theorem in proof.theorems[1:]],
        "rests_on": [],
        "axioms": list(proof.axioms),
        "machine_checked": proof.verify(),
        "size": len(proof.lines),
    }


def _of_steps(derivation: Any) -> dict[str, Any]:
    from rdml_theory.symbolic import to_text

    cited = [getattr(step, "cited", None) for step in derivation.all_steps()]
    return {
        "hypotheses": [to_text(hypothesis) for hypothesis in derivation.hypotheses],
        "conclusion": to_text(derivation.statement),
        "with_it": [],
        "rests_on": sorted({citation.claim for citation in cited if citation is not None}),
        "axioms": sorted({citation.work for citation in cited if citation is not None}),
        "machine_checked": False,
        "size": len(derivation.all_steps()),
    }


_JOINED = {
    "chain": "each step begins where the one before ended",
    "conclusion": "the statement is the relation of a step",
    "words": "the steps are joined to the statement by words",
}


@click.command("prove", short_help="The proof of a claim, line by line.")
@click.argument("claim", metavar="ID")
@click.option("--latex", is_flag=True, help="Print the proof as LaTeX.")
@json_option
def prove_command(claim: str, latex: bool, as_json: bool) -> None:
    """Print the proof of a claim with the hypotheses as they enter, and whether the kernel has made it.

    A theorem of the kernel is proved anew and run again. Other proofs are lists of steps, each of which is verified by
    `rdml run`, and the first line says what joins them to the statement.
    """
    from rdml_theory.symbolic import to_text
    from rdml_theory.symbolic.kernel import Proof
    from verify.claims import all_claims

    known = all_claims()
    (found,) = checked_ids([claim], list(known))
    subject = known[found]
    if subject.derivation is None:
        raise UsageFault(f"{found} is measured, not derived: it has no proof")
    proof = subject.derivation(subject.subject)
    if as_json:
        facts = _of_the_kernel(proof) if isinstance(proof, Proof) else _of_steps(proof)
        print_json(json.dumps({"id": found} | facts, ensure_ascii=False, indent=2))
    elif latex:
        click.echo(proof.latex() if isinstance(proof, Proof) else "\n".join(s.latex() for s in proof.all_steps()))
    elif isinstance(proof, Proof):
        rests = ", ".join(proof.axioms) or "no axiom"
        click.echo(f"{found}: {proof.theorems[0].conclusion.text()}")
        click.echo(f"proved by the kernel in {len(proof.lines)} lines, on {rests}\n")
        click.echo(proof.text())
        click.echo("\nRun again: " + ("the same theorems." if proof.verify() else "NOT the same theorems."))
    else:
        click.echo(f"{found}: {to_text(proof.statement)}")
        click.echo(f"not machine-checked as a whole: {_JOINED[proof.joins]}\n")
        for number, step in enumerate(proof.all_steps(), 1):
            click.echo(f"{number:4}. {to_text(step.relation)}\n        {step.words()}")
