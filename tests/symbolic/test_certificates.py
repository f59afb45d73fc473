"""Certificates: true inequalities are certified, false ones refuted by a point, and doctored evidence is rejected."""

import subprocess
import sys
from dataclasses import replace

import pytest
from sympy import (
    Abs,
    Eq,
    Gt,
    Integer,
    Interval,
    Max,
    Min,
    Piecewise,
    Rational,
    Symbol,
    cosh,
    exp,
    log,
    oo,
    sin,
    sqrt,
    tanh,
)

from rdml_theory.symbolic.certificates import (
    Certificate,
    Chain,
    Domain,
    MissingProofsError,
    SmtScript,
    calculus,
    smt,
)
from rdml_theory.symbolic.certificates.calculus import Link
from rdml_theory.symbolic.certificates.certificate import refutes
from rdml_theory.symbolic.certificates.extras import engine
from rdml_theory.symbolic.certificates.signs import is_smooth_on, sign_on
from rdml_theory.symbolic.certificates.smt import encode
from rdml_theory.symbolic.relations import at_least, at_most

x, y, s = (Symbol(n, positive=True) for n in "xys")
a, b, t = (Symbol(n, real=True) for n in "abt")
n = Symbol("n", nonnegative=True)

ALGEBRAIC = {
    "arithmetic and geometric mean": (at_most(sqrt(x * y), (x + y) / 2), {}),
    "three means": (at_most(x * y * s, ((x + y + s) / 3) ** 3), {}),
    "absolute values": (at_most(Abs(a + b), Abs(a) + Abs(b)), {}),
    "maximum": (at_most(Abs(x - y), Max(x, y)), {}),
    "minimum": (at_most(Min(a, b), (a + b) / 2), {}),
    "a quotient": (at_most(1 / x, 1 / sqrt(x)), {x: Interval(1, oo)}),
    "an irrational end": (at_most(t**2, 2), {t: Interval(0, sqrt(2))}),
    "a quotient in an absolute value": (at_most(Abs(a / x), (a**2 + 1) / x), {}),
    "a strict one": (t**2 + Rational(1, 4) + Rational(1, 1000) > t, {}),
    "nested roots": (at_most(sqrt(x + sqrt(x)), sqrt(x) + 1), {}),
}
FALSE_ALGEBRAIC = {
    "a third of the sum": (at_most(sqrt(x * y), (x + y) / 3), {}),
    "without a term": (at_least(t**2 + Rational(1, 4) - Rational(1, 1000), t), {}),
    "outside the interval": (at_most(t**2, 2), {t: Interval(0, 2)}),
    "minimum above the mean": (at_least(Min(a, b), (a + b) / 2), {}),
}


@pytest.mark.parametrize("name", ALGEBRAIC)
def test_algebraic_inequalities(name):
    relation, domain = ALGEBRAIC[name]
    certificate = smt(relation, domain)
    assert certificate.check() is True
    assert isinstance(certificate.evidence, SmtScript)
    assert "(check-sat)" in certificate.evidence.text()


@pytest.mark.parametrize("name", FALSE_ALGEBRAIC)
def test_false_algebraic_inequalities_come_with_a_point(name):
    relation, domain = FALSE_ALGEBRAIC[name]
    certificate = smt(relation, domain)
    assert certificate.check() is False
    assert certificate.summary().startswith("fails at ")
    assert refutes(dict(certificate.counterexample or ()), relation, certificate.domain)


def test_the_solver_finds_the_points_that_sampling_misses():
    needle = Rational(123_456_789, 1_000_000_000)
    certificate = smt(at_least((t - needle) ** 2, Rational(1, 10**9)), {t: Interval(0, 1)})
    assert certificate.check() is False


def test_an_undefined_expression_is_not_certified():
    assert smt(at_least(1 / t, 1 / t)).check() is True  # no quotient is left in the difference
    assert smt(at_least((t**2 + 1) / (t - 1) ** 2, 0)).check() is None
    assert smt(at_least(sqrt(t), 0)).check() is None
    assert smt(at_least(1 / sqrt(x - 1), 0), {x: Interval(1, oo)}).check() is None
    assert smt(at_least(1 / sqrt(x - 1), 0), {x: Interval.open(1, oo)}).check() is True


def test_conditions_are_used():
    squares = at_least((1 + x * y) ** 2, 4 * x * y)
    assert smt(squares).check() is True
    below = at_most(x, 1)
    assert smt(below).check() is False
    assert smt(below, conditions=(at_most(x + y, 1),)).check() is True
    assert smt(below, conditions=(Eq(x, y), at_most(x + y, 2))).check() is True


def test_a_doctored_script_is_rejected():
    relation = at_most(sqrt(x * y), (x + y) / 3)
    domain = Domain.of(relation.args)
    unsatisfiable = SmtScript(encode(relation, domain).replace("(check-sat)", "(assert false)\n(check-sat)"))
    assert unsatisfiable.check(relation, domain) is False
    other = smt(at_most(sqrt(x * y), (x + y) / 2))
    assert Certificate("smt", "", relation, domain, other.evidence).check() is None


def test_the_script_can_be_read_by_a_solver_as_it_stands():
    z3 = pytest.importorskip("z3")
    certificate = smt(at_most(sqrt(x * y), (x + y) / 2))
    solver = z3.Solver()
    solver.from_string(certificate.evidence.text())  # type: ignore[union-attr]
    assert solver.check() == z3.unsat


def test_transcendental_expressions_are_refused():
    with pytest.raises(ValueError, match="use `calculus`"):
        smt(at_most(exp(x), 1 + x))


TANGENTS = {
    "logarithm": (at_most(log(x), x - 1), {}, {"along": x, "at": 1}),
    "exponential": (at_least(exp(t), 1 + t), {}, {"at": 0}),
    "cubic of the exponential": (at_least(exp(n), 1 + n + n**2 / 2 + n**3 / 6), {}, {}),
    "hyperbolic tangent": (at_most(tanh(n), n), {}, {}),
    "hyperbolic cosine": (at_least(cosh(t), 1 + t**2 / 2), {}, {"at": 0}),
    "Bernoulli, up to one": (at_most(x**s, 1 + s * (x - 1)), {s: Interval(0, 1, True)}, {"along": x, "at": 1}),
    "Bernoulli, from one": (at_least(x**s, 1 + s * (x - 1)), {s: Interval(1, oo)}, {"along": x, "at": 1}),
    "two-point Pinsker": (
        at_least(y * log(y / x) + (1 - y) * log((1 - y) / (1 - x)), 2 * (x - y) ** 2),
        {x: Interval.open(0, 1), y: Interval.open(0, 1)},
        {"along": x, "at": y},
    ),
    "x log x": (at_least(x * log(x), x - 1), {}, {"at": 1}),
}
FALSE_TANGENTS = {
    "logarithm": (at_most(log(x), (x - 1) * Rational(99, 100)), {}, {"at": 1}),
    "hyperbolic cosine": (at_least(cosh(t), 1 + Rational(501, 1000) * t**2), {}, {"at": 0}),
    "Bernoulli beyond one": (at_most(x**s, 1 + s * (x - 1)), {s: Interval(0, 2, True)}, {"along": x, "at": 1}),
    "Pinsker with a greater constant": (
        at_least(y * log(y / x) + (1 - y) * log((1 - y) / (1 - x)), Rational(201, 100) * (x - y) ** 2),
        {x: Interval.open(0, 1), y: Interval.open(0, 1)},
        {"along": x, "at": y},
    ),
}


@pytest.mark.parametrize("name", TANGENTS)
def test_chains_of_derivatives(name):
    relation, domain, options = TANGENTS[name]
    certificate = calculus(relation, domain, **options)
    assert certificate.check() is True
    assert isinstance(certificate.evidence, Chain)


@pytest.mark.parametrize("name", FALSE_TANGENTS)
def test_false_tangents_come_with_a_point(name):
    relation, domain, options = FALSE_TANGENTS[name]
    certificate = calculus(relation, domain, **options)
    assert certificate.check() is False


def test_what_calculus_cannot_show_is_undecided():
    assert calculus(at_least(n, sin(n))).check() is None


def test_a_doctored_chain_is_rejected():
    certificate = calculus(at_most(tanh(n), n))
    chain = certificate.evidence
    assert isinstance(chain, Chain)
    for change in ({"start": Integer(1)}, {"factor": Integer(2)}, {"factor": Integer(-1)}, {"function": 2 * n}):
        links = (replace(chain.links[0], **change), *chain.links[1:])
        assert replace(certificate, evidence=replace(chain, links=links)).check() is None
    assert replace(certificate, evidence=replace(chain, links=chain.links[:1])).check() is None
    assert replace(certificate, evidence=replace(chain, links=())).check() is None


def test_a_pole_breaks_a_chain():
    relation = at_least(-1 / (t - 1), 0)
    chain = Chain(t, Integer(0), (Link(1, -1 / (t - 1), Integer(1), Integer(1)), Link(1, (t - 1) ** -2)))
    assert chain.check(relation, Domain.of([t], {t: Interval(0, oo)})) is False
    assert chain.check(relation, Domain.of([t], {t: Interval.Ropen(0, 1)})) is True


def test_a_chain_must_reach_the_whole_domain():
    certificate = calculus(at_least(n**3, n**2), {n: Interval(1, oo)})
    assert certificate.check() is True
    wider = replace(certificate, domain=Domain.of([n]))
    assert wider.check() is None
    with pytest.raises(ValueError, match="does not lie"):
        calculus(at_most(log(x), x - 1), {x: Interval(2, 3)}, at=1)
    with pytest.raises(ValueError, match="2 variables"):
        calculus(at_least(x**2 + y**2, 0))


def test_signs():
    on = Domain.of([t], {t: Interval(0, 2)})
    assert sign_on(t * (2 - t) * (t - 1) ** 2, on) == 1
    assert sign_on((t - 3) * t, on) == -1
    assert sign_on(t - 1, on) is None
    assert sign_on((t - 1) * exp(t), on, {t - 1: 1}) == 1
    assert sign_on((1 - t) * exp(t), on, {t - 1: 1}) == -1
    assert sign_on(sqrt(t - 3), on) is None
    assert is_smooth_on(sqrt(t), on, t)
    assert not is_smooth_on(sqrt(1 - t), on, t)
    assert not is_smooth_on(Abs(t - 1), on, t)
    assert not is_smooth_on(Piecewise((t, t > 1), (0, True)), on, t)


def test_domains():
    with pytest.raises(ValueError, match="weaker assumptions"):
        Domain.of([x], {x: Interval(-1, 1)})
    with pytest.raises(ValueError, match="share a name"):
        Domain.of([x, Symbol("x", real=True)])
    with pytest.raises(ValueError, match="not declared real"):
        Domain.of([Symbol("x")])
    domain = Domain.of([x, t], {x: Interval.Lopen(0, 1)}, (at_most(t, x),))
    assert domain.text() == "x in (0, 1], t ≤ x"
    assert domain.latex() == r"x \in (0, 1],\; t \le x"
    assert domain.contains({x: Rational(1), t: Rational(1)})
    assert not domain.contains({x: Rational(1, 2), t: Rational(1)})
    assert not domain.contains({x: Rational(0), t: Rational(0)})
    whole = Symbol("k", integer=True, positive=True)
    assert not Domain.of([whole]).contains({whole: Rational(1, 2)})


def test_other_relations_are_refused():
    with pytest.raises(TypeError, match="expected a weak inequality"):
        calculus(Eq(x, y, evaluate=False), along=x)
    with pytest.raises(TypeError, match="expected a weak inequality"):
        calculus(Gt(x + 1, x, evaluate=False), along=x)
    with pytest.raises(TypeError, match="expected an inequality"):
        smt(Eq(x, y, evaluate=False))


def test_digests_depend_on_all_parts():
    one = smt(at_least(t**2 + 1, 2 * t), reason="r")
    digests = {
        one.digest,
        smt(at_least(t**2 + 2, 2 * t)).digest,
        smt(at_least(t**2 + 1, 2 * t), {t: Interval(0, 1)}).digest,
        replace(one, kind="calculus").digest,
        replace(one, evidence=None).digest,
    }
    assert len(digests) == 5
    assert smt(at_least(t**2 + 1, 2 * t), reason="another").digest == one.digest


def test_a_missing_engine_is_one_clear_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "z3", None)
    with pytest.raises(MissingProofsError, match=r"needs z3-solver.*pip install 'rdml-theory\[proofs\]'"):
        engine("z3")


def test_the_solver_is_loaded_when_needed():
    # SymPy itself loads python-flint where it finds it.
    code = "import sys, rdml_theory.symbolic.certificates; print('z3' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False"]


def test_nothing_is_certified_on_an_empty_domain():
    nowhere = smt(at_most(t, -5), conditions=(at_least(t, 2), at_most(t, 1)))
    assert nowhere.check() is not True
    assert smt(at_most(t, 5), conditions=(at_least(t, 1), at_most(t, 2))).check()


def test_an_even_power_of_what_is_negative_is_not():
    """The root is not known to be real from the declaration of t, only from its interval."""
    on = Domain.of([t], {t: Interval(1, 2)})
    negative = -1 - sqrt(t)
    assert [sign_on(negative**power, on) for power in (1, 2, 3)] == [-1, 1, -1]
    false = at_least(-(negative**2), 0)
    assert not Chain(t, Integer(1), (Link(1, -(negative**2)),)).check(false, on)


def test_a_domain_keeps_to_what_variables_are_declared():
    for signed in (Symbol("n", negative=True), Symbol("n", nonpositive=True)):
        with pytest.raises(ValueError, match="weaker assumptions"):
            Domain.of([signed], {signed: Interval(0, 1)})
        assert Domain.of([signed], {signed: Interval.open(-1, 0)}).symbols == (signed,)
    with pytest.raises(ValueError, match="nonzero"):
        Domain.of([Symbol("n", real=True, nonzero=True)])
