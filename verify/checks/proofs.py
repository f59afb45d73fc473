"""The check of a theorem: the kernel proves the statement, rule by rule, again, and of something that exists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from rdml_theory.symbolic import to_latex, to_text
from rdml_theory.symbolic.certificates import Certificate
from rdml_theory.symbolic.kernel import Proof, ProofError, Theorem
from verify.checks.comparisons import holds
from verify.checks.instances import satisfied_by
from verify.claim import Check, Found, Part, check
from verify.context import Context
from verify.records import CertificateRecord, Comparison, Outcome, StepRecord

__all__ = ["certificate_record", "kernel_check"]

S = TypeVar("S")

_OUTCOMES: dict[bool | None, Outcome] = {True: "confirmed", False: "refuted", None: "undecided"}


def certificate_record(certificate: Certificate) -> CertificateRecord:
    """The record of a certificate, whose evidence is checked here.

    >>> from sympy import Symbol
    >>> from rdml_theory.symbolic.certificates import smt
    >>> from rdml_theory.symbolic.relations import at_least
    >>> x = Symbol("x", real=True)
    >>> record = certificate_record(smt(at_least(x**2 + 1, 2 * x), reason="a square"))
    >>> record.kind, record.outcome, record.text
    ('smt', 'confirmed', 'x² + 1 ≥ 2·x')
    """
    where = certificate.domain
    relation, evidence = certificate.relation, certificate.evidence
    return CertificateRecord(
        kind=certificate.kind,
        reason=certificate.reason,
        text=to_text(relation) + (f" for {where.text()}" if where.text() else ""),
        latex=to_latex(relation) + (rf" \quad {where.latex()}" if where.latex() else ""),
        evidence=certificate.summary(),
        content=None if evidence is None else evidence.text(),
        digest=certificate.digest,
        outcome=_OUTCOMES[certificate.check()],
    )


_SHOWN = ("axiom", "combine", "expectation", "induct", "root", "sum_over")
"""The rules whose lines a record keeps; `rdml prove` prints all."""


def _not_vacuous(theorem: Theorem) -> Comparison:
    """Whether a run of the library satisfies every hypothesis, and then the conclusion."""
    found, false = satisfied_by(theorem)
    name = f"{theorem.conclusion.text()}: all its hypotheses hold on {found[0] if found else 'no run'}"
    return holds(name + (f", and it fails on {false[0]}" if false else ""), bool(found) and not false)


def _judged(proof: Proof) -> list[Part]:
    """Its rules run again, its hypotheses are tried, and its certificates checked."""
    again, stated = proof.verify(), set(proof.theorems)
    rules = f"{len(proof.lines)} rules, on {', '.join(proof.axioms) or 'no axiom'}"
    found: list[Part] = [holds(f"the proof runs again to the same theorems ({rules})", again)]
    found += [_not_vacuous(theorem) for theorem in proof.theorems]
    for theorem in (line.theorem for line in proof.lines):
        if theorem.rule in _SHOWN or theorem in stated:
            # The lines are not all here, so that their numbers would mislead.
            found.append(
                StepRecord(
                    reason=f"{theorem.reason} ({theorem.rule})", text=theorem.conclusion.text(),
                    latex=theorem.conclusion.latex(), outcome="confirmed" if again else "refuted",
                    given=tuple(h.text() for h in proof.hypotheses_of(theorem)) if theorem in stated else None,
                )
            )  # fmt: skip
        if theorem.rule == "certified":
            found.append(certificate_record(replace(theorem.arguments["certificate"], reason=theorem.reason)))
    return found


def kernel_check(prove: Callable[[S], Proof], *, cost: float = 2.0) -> Check[S]:
    """A check that the kernel proves the statement of a subject.

    A negative control that is false elsewhere may have the very theorems of its claim: they are judged once.

    Parameters
    ----------
    prove : callable
        The proof of a subject: a script of rules of the kernel, which refuses what does not follow.
    cost : float
        Rough seconds in the quick profile.
    """

    @check("symbolic", cost=cost, prove=prove)
    def symbolic(subject: S, context: Context) -> Found:
        """Does the kernel prove the statement from the assumptions listed, and no others, and do they hold of a
        problem?
        """
        try:
            proof = prove(subject)
        except ProofError as refused:
            yield holds(f"the kernel proves it; it refuses at {refused}", False)
            return
        context.progress(0.5)
        yield from context.shared(_judged, proof)

    return symbolic
