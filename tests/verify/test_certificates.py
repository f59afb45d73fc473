"""Certificates are recorded with their evidence, and what does not hold is refuted."""

import pytest
from sympy import Symbol, log

from rdml_theory.symbolic.certificates import calculus, smt
from rdml_theory.symbolic.relations import at_least, at_most
from verify.checks.proofs import certificate_record

x = Symbol("x", positive=True)


def test_the_record_says_where_and_by_what():
    certificate = calculus(at_most(log(x), x - 1), along=x, at=1, reason="a tangent")
    record = certificate_record(certificate)
    assert record.kind == "calculus"
    assert record.text == "log(x) ≤ x - 1 for x in (0, ∞)"
    assert record.latex.endswith(r"x \in (0, \infty)")
    assert record.digest == certificate.digest
    wrong = certificate_record(calculus(at_most(log(x), x / 3), along=x, at=1))
    assert wrong.outcome == "refuted"
    assert wrong.evidence.startswith("fails at x = ")


def test_a_record_keeps_what_any_solver_can_read():
    z3 = pytest.importorskip("z3")
    x = Symbol("x", real=True)
    record = certificate_record(smt(at_least(x**2 + 1, 2 * x)))
    assert record.content is not None
    solver = z3.Solver()
    solver.from_string(record.content)
    assert solver.check() == z3.unsat
