"""The symbolic check: every step of a derivation is decided by SymPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rdml_theory.symbolic import Derivation, to_latex, to_text
from verify.checks.comparisons import holds
from verify.claim import Check, Finding
from verify.context import Context
from verify.proof_cache import decided
from verify.records import StepRecord

__all__ = ["symbolic_check"]

S = TypeVar("S")


def symbolic_check(derivation: Callable[[S], Derivation], *, cost: float = 2.0) -> Check[S]:
    """A check that verifies the derivation of a subject step by step, and what joins the steps, if it is not words."""

    def run(subject: S, context: Context) -> Finding:
        derived = derivation(subject)
        steps = []
        for number, step in enumerate(derived.all_steps(), 1):
            decision = decided(step.decided(), context) if step.admissible() else False
            outcome = "undecided" if decision is None else "confirmed" if decision else "refuted"
            steps.append(
                StepRecord(
                    reason=step.words(), text=to_text(step.relation), latex=to_latex(step.relation), outcome=outcome
                )
            )
            context.progress(number / len(derived.all_steps()))
        joints = derived.joints()
        joined = "each step begins where the one before ended" if derived.chained else "premises come before their use"
        comparisons = (holds(joined, all(joints)),) if joints else ()
        return Finding(comparisons=comparisons, steps=tuple(steps))

    question = "Does SymPy verify every step of the derivation, for a symbolic number of classes where one appears?"
    return Check("symbolic", "symbolic", question, run, cost=cost)
