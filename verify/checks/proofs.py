"""The check of a theorem: the kernel proves the statement, rule by rule, and proves it again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rdml_theory.symbolic.kernel import Proof, ProofError
from verify.checks.comparisons import holds
from verify.claim import Check, Finding
from verify.context import Context
from verify.records import StepRecord

__all__ = ["kernel_check"]

S = TypeVar("S")

_SHOWN = ("axiom", "combine", "expectation", "induct", "root", "sum_over")
"""The rules whose lines a record keeps; `rdml prove` prints all."""


def kernel_check(prove: Callable[[S], Proof], *, cost: float = 2.0) -> Check[S]:
    """A check that the kernel proves the statement of a subject.

    Parameters
    ----------
    prove : callable
        The proof of a subject: a script of rules of the kernel, which refuses what does not follow.
    cost : float
        Rough seconds in the quick profile.
    """

    def run(subject: S, context: Context) -> Finding:
        try:
            proof = prove(subject)
        except ProofError as refused:
            return Finding(comparisons=(holds(f"the kernel proves it; it refuses at {refused}", False),))
        context.progress(0.5)
        again = proof.verify()
        steps = tuple(
            StepRecord(
                # The lines are not all here, so that their numbers would mislead.
                reason=f"{line.theorem.reason} ({line.theorem.rule})",
                text=line.theorem.conclusion.text(),
                latex=line.theorem.conclusion.latex(),
                outcome="confirmed" if again else "refuted",
            )
            for line in proof.lines
            if line.theorem.rule in _SHOWN
        )
        rules = f"{len(proof.lines)} rules, on {', '.join(proof.axioms) or 'no axiom'}"
        return Finding(comparisons=(holds(f"the proof runs again to the same theorems ({rules})", again),), steps=steps)

    question = "Does the kernel prove the statement from the assumptions listed, and no others?"
    return Check("symbolic", "symbolic", question, run, cost=cost)
