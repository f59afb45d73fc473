"""The check of a proof: identities decided by SymPy, and scalar inequalities whose certificates are checked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rdml_theory.symbolic import Derivation, to_latex, to_text
from rdml_theory.symbolic.certificates import Certificate, CertifiedStep
from rdml_theory.symbolic.engine.decide import decide
from verify.checks.comparisons import holds
from verify.claim import Check, Finding
from verify.context import Context
from verify.records import CertificateRecord, Outcome, StepRecord

__all__ = ["certificate_record", "proof_check"]

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
        content=None if evidence is None or certificate.kind == "citation" else evidence.text(),
        digest=certificate.digest,
        outcome=_OUTCOMES[certificate.check()],
    )


def proof_check(derivation: Callable[[S], Derivation], *, cost: float = 2.0) -> Check[S]:
    """A check that verifies a derivation whose steps are identities, manifest signs and certified inequalities.

    Parameters
    ----------
    derivation : callable
        The derivation of a subject. Its steps made by ``rdml_theory.symbolic.certificates.certified`` are recorded
        as certificates, the others as proof steps.
    cost : float
        Rough seconds in the quick profile.
    """

    def run(subject: S, context: Context) -> Finding:
        derived = derivation(subject)
        every = derived.all_steps()
        steps, certificates = [], []
        for number, step in enumerate(every, 1):
            if isinstance(step, CertifiedStep):
                record = certificate_record(step.certificate)
                certificates.append(record)
                outcome = record.outcome
            else:
                outcome = _OUTCOMES[decide(step.decided(), context.seed) if step.admissible() else False]
            text, latex = to_text(step.relation), step.latex()
            steps.append(StepRecord(reason=step.words(), text=text, latex=latex, outcome=outcome))
            context.progress(number / len(every))
        joints = derived.joints()
        joined = "each step begins where the one before ended" if derived.chained else "premises come before their use"
        comparisons = (holds(joined, all(joints)),) if joints else ()
        return Finding(comparisons=comparisons, steps=tuple(steps), certificates=tuple(certificates))

    question = (
        "Does every step of the proof hold: the identities by SymPy, the scalar inequalities by certificates that "
        "are checked again?"
    )
    return Check("symbolic", "symbolic", question, run, cost=cost)
