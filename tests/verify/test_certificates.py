"""The proof check: certificates are recorded with their evidence, and what does not hold is refuted."""

import pytest
from sympy import Rational, Symbol, log

from rdml_theory.symbolic import Derivation, Premise, Step
from rdml_theory.symbolic.certificates import CertifiedStep, calculus, certified, citation, smt
from rdml_theory.symbolic.relations import at_least, at_most, equal
from verify.checks.certificates import certificate_record, proof_check
from verify.claims import all_claims
from verify.context import Context

CONTEXT = Context("D0", "symbolic", "quick", 0, 1e-3)
x, y = Symbol("x", positive=True), Symbol("y", positive=True)


def test_no_proof_cites_a_claim_in_place_of_its_theorem():
    cited = {
        (claim.id, step.cited.claim)
        for claim in all_claims().values()
        if claim.derivation is not None and claim.proof == "steps"
        for step in claim.derivation(claim.subject).steps
        if isinstance(step, CertifiedStep) and step.cited is not None
    }
    assert not cited


def test_the_record_says_where_and_by_what():
    step = certified("a tangent", at_most(log(x), x - 1), calculus, along=x, at=1)
    record = certificate_record(step.certificate)
    assert record.kind == "calculus"
    assert record.text == "log(x) ≤ x - 1 for x in (0, ∞)"
    assert record.latex.endswith(r"x \in (0, \infty)")
    assert record.digest == step.certificate.digest
    wrong = certificate_record(certified("none", at_most(log(x), x / 3), calculus, along=x, at=1).certificate)
    assert wrong.outcome == "refuted"
    assert wrong.evidence.startswith("fails at x = ")


def test_a_certified_inequality_is_not_used_beyond_its_domain():
    limited = certified("small", at_most(x, y), smt, conditions=(at_most(x, y),))
    moved = Step("everywhere", at_most(2 * y, y), premises=(Premise(limited.relation, at=(equal(x, 2 * y),)),))
    kept = Step("again", at_least(2 * y, 2 * x), premises=(Premise(limited.relation, Rational(2)),))
    good = proof_check(lambda _: Derivation(kept.relation, (limited, kept))).run(None, CONTEXT)
    bad = proof_check(lambda _: Derivation(moved.relation, (limited, moved))).run(None, CONTEXT)
    assert moved.decide() is True
    assert good.outcome == "confirmed"
    assert bad.outcome == "refuted"


def test_a_record_keeps_what_any_solver_can_read():
    z3 = pytest.importorskip("z3")
    x = Symbol("x", real=True)
    record = certificate_record(smt(at_least(x**2 + 1, 2 * x)))
    assert record.content is not None
    solver = z3.Solver()
    solver.from_string(record.content)
    assert solver.check() == z3.unsat
    assert certificate_record(citation("c", at_least(x**2, 0), work="w", claim="D12").certificate).content is None
