"""``rdml prove``: the proof of a claim, line by line, and whether the kernel has made it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from verify.commands.catalogue import checked_ids
from verify.commands.common import UsageFault, json_option, output, print_json, sentence

if TYPE_CHECKING:
    from rdml_theory.symbolic.kernel import Proof
    from verify.claim import Claim

__all__ = ["prove_command"]


def _rests_on(claim: Claim[Any], proof: Proof) -> list[str]:
    """The claims whose printed conclusion is that of a line of the proof, other than one that is assumed."""
    from rdml_theory.symbolic.kernel import AtMost, Equal, Less
    from verify.claims import all_claims

    said = (line.theorem.conclusion for line in proof.lines if line.theorem.rule != "assume")
    proved = {told.relation() for told in said if isinstance(told, AtMost | Equal | Less)}
    proved.discard(proof.statement)
    found = []
    for other in all_claims().values():
        there = proved & set(other.statement(other.subject).formulas.values())
        if other is not claim and other.derivation is not None and there:
            found.append(other.id)
            proved -= there  # of claims that share a theorem, the first
    return found


def _facts(claim: Claim[Any], proof: Proof) -> dict[str, Any]:
    return {
        "id": claim.id,
        "hypotheses": [hypothesis.text() for hypothesis in proof.hypotheses],
        "conclusion": proof.theorems[0].conclusion.text(),
        "with_it": [
            {"conclusion": theorem.conclusion.text(), "hypotheses": [h.text() for h in proof.hypotheses_of(theorem)]}
            for theorem in proof.theorems[1:]
        ],
        "rests_on": _rests_on(claim, proof),
        "axioms": list(proof.axioms),
        "machine_checked": proof.verify(afresh=True),
        "not_machine_checked": list(claim.unchecked),
        "size": len(proof.lines),
    }


@click.command("prove", short_help="Print the proof of a claim, line by line.")
@click.argument("claim", metavar="ID")
@click.option("--latex", is_flag=True, help="Print the proof as LaTeX.")
@json_option
def prove_command(claim: str, latex: bool, as_json: bool) -> None:
    """Print the proof of a claim line by line, each hypothesis where it enters.

    The theorem is proved again, and then every rule of its proof is checked again.
    """
    (name,) = checked_ids([claim])
    from verify.claims import claim_of

    found = claim_of(name)
    if found.derivation is None:
        raise UsageFault(f"{found.id} is measured, not derived: it has no proof")
    proof = found.derivation(found.subject)
    if as_json:
        print_json(json.dumps(_facts(found, proof), ensure_ascii=False, indent=2))
    elif latex:
        click.echo(proof.latex())
    else:
        rests = "; ".join(proof.axioms) or "no axiom"  # a name may have a comma
        console = output()
        sentence(console, f"{found.id}: {proof.theorems[0].conclusion.text()}")
        sentence(console, f"proved by the kernel in {len(proof.lines)} lines, on {rests}")
        console.print()
        for line in proof.text().splitlines():
            sentence(console, line)
        console.print()
        sentence(
            console, "Run again: " + ("the same theorems." if proof.verify(afresh=True) else "NOT the same theorems.")
        )
