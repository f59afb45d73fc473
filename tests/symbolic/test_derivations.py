"""Every derivation verifies, every false variant is disproved, and nothing is claimed where nothing is known."""

import pytest
from sympy import (
    Abs,
    Eq,
    Ge,
    Indexed,
    Integer,
    Interval,
    KroneckerDelta,
    Piecewise,
    Rational,
    Sum,
    Symbol,
    cos,
    log,
    sin,
    sqrt,
)

from rdml_theory import symbolic
from rdml_theory.symbolic.certificates import calculus, certified
from rdml_theory.symbolic.engine.decide import decide, is_identity
from rdml_theory.symbolic.engine.derivation import Derivation, Premise, Step
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.notation import ESCORT, STUDENT, C, Named, alpha, i, in_logits, j, k, l, p, q, w, z
from rdml_theory.symbolic.relations import at_least, at_most, equal, greater

DERIVATIONS = {}


@pytest.mark.parametrize("name", DERIVATIONS)
def test_every_step_is_verified(name):
    derivation = DERIVATIONS[name]()
    assert [step.decide() for step in derivation.all_steps()] == [True] * len(derivation.all_steps())
    assert all(derivation.joints())
    assert derivation.verify()
    assert derivation.latex()


FALSE = {}


@pytest.mark.parametrize("name", FALSE)
def test_false_variants_are_disproved(name):
    derivation = FALSE[name]()
    assert not derivation.verify()
    assert derivation.decide() is False


def test_what_is_decided_is_an_instance_of_what_is_printed():
    """Names are replaced by the engine; a form of one's own, or another meaning of q, p or w, is refused."""
    step = Step("the escort sums to one", equal(q[k] * Sum(w[i], (i, 1, C)), q[k]), (ESCORT, STUDENT))
    assert {a.base for a in step.relation.atoms(Indexed)} == {q, w}
    assert {a.base for a in step.instance.atoms(Indexed)} == {p, z}
    with pytest.raises(TypeError, match="the instance that is decided follows"):
        Step("", step.relation, equal(q[k], q[k]))  # type: ignore[arg-type]
    convenient = Step("", equal(w[k], q[k]), (equal(w[k], q[k]),))
    assert decide(convenient.instance) is True
    assert convenient.decide() is False
    special = Step("", equal(alpha**2, alpha), (equal(alpha, Integer(1)),))
    assert special.decide() is True
    assert special.words().endswith("(with α = 1)")


def test_names_keep_their_meaning_along_a_chain():
    a, b, c = (Symbol(x, real=True) for x in "abc")
    steps = (Step("", equal(a, b), (equal(b, a),)), Step("", equal(b, c), (equal(b, c),)))
    chain = Derivation(equal(a, c), steps, chained=True)
    assert [s.decide() for s in steps] == [True, True]
    assert chain.decide() is False


def test_an_inequality_does_not_join_a_chain_of_equalities():
    a, b = Symbol("a", real=True), Symbol("b", nonnegative=True)
    step = Step("", at_most(a, a + b))
    assert Derivation(equal(a, a + b), (step,), chained=True).decide() is False
    assert Derivation(at_most(a, a + b), (step,), chained=True).verify()
    assert Derivation(at_least(a, a + b), (step,), chained=True).decide() is False


class TestPremises:
    """A² ≤ B² for 0 ≤ A ≤ B, from A ≤ B."""

    A, B = (Symbol(s, nonnegative=True) for s in "AB")
    given = at_most(A, B)
    squares = at_most(A**2, B**2)

    def derivation(self, factor, **change):
        step = Step("multiply by A + B", self.squares, premises=(Premise(self.given, factor),))
        return Derivation(self.squares, (step,), hypotheses=(self.given,), **change)

    def test_the_statement_follows(self):
        good = self.derivation(self.A + self.B)
        assert good.joins == "conclusion"
        assert good.verify()

    def test_a_wrong_factor_is_refuted(self):
        assert self.derivation(self.A + 2 * self.B).decide() is not True
        assert self.derivation(self.B).decide() is False

    def test_a_negative_factor_is_refuted(self):
        wrong = Step("", at_least(self.A**2, self.B**2), premises=(Premise(self.given, -self.A - self.B),))
        assert decide(wrong.decided()) is True
        assert wrong.decide() is False

    def test_an_unknown_premise_is_refuted(self):
        step = self.derivation(self.A + self.B).steps[0]
        assert step.decide() is True
        assert Derivation(self.squares, (step,)).decide() is False

    def test_a_lemma_is_used_where_it_holds(self):
        t, s = Symbol("t", nonnegative=True), Symbol("s", real=True)
        lemma = Step("t is not negative", at_least(t, 0))
        square = Step("nor is s²", at_least(s**2, 0), premises=(Premise(lemma.relation, at=(equal(t, s**2),)),))
        assert Derivation(square.relation, (lemma, square)).verify()
        sign = Step("nor is s", at_least(s, 0), premises=(Premise(lemma.relation, at=(equal(t, s),)),))
        assert decide(sign.decided()) is True
        assert Derivation(sign.relation, (lemma, sign)).decide() is False

    def test_a_lemma_is_summed_over_the_classes(self):
        t = Symbol("t", real=True)
        lemma = Step("a square", at_least(t**2, 0))
        total = at_least(Sum(q[i] * log(p[i]) ** 2, (i, 1, C)), 0)
        used = Premise(lemma.relation, q[i], (equal(t, log(p[i])),), (i, 1, C))
        assert Derivation(total, (lemma, Step("", total, premises=(used,)))).verify()
        signed = Premise(lemma.relation, q[i] - p[i], (equal(t, log(p[i])),), (i, 1, C))
        assert Derivation(total, (lemma, Step("", total, premises=(signed,)))).decide() is False

    def test_a_special_case_is_no_lemma(self):
        """What holds at s = 1 only may not be used at other values."""
        s, r = Symbol("s", positive=True), Symbol("r", positive=True)
        special = Step("at one", at_least(s, 1), (equal(s, Integer(1)),))
        used = Step("", at_least(r, 1), premises=(Premise(special.relation, at=(equal(s, r),)),))
        assert special.decide() is True
        assert used.decide() is True
        assert Derivation(used.relation, (special, used)).decide() is False

    def test_a_premise_keeps_the_meaning_of_its_names(self):
        name, s = Named("N", "N"), Symbol("s", positive=True)
        one = Step("", equal(name, s + 1), (equal(name, s + 1),))
        relation = equal(2 * name, 2 * s + 2)
        twice = Step("", relation, (), (Premise(one.relation, Integer(2)),))
        assert Derivation(relation, (one, twice)).verify()
        other = Step("", equal(name, s), (equal(name, s),))
        assert Derivation(relation, (other, one, twice)).decide() is False

    def test_what_holds_at_a_number_is_no_premise_elsewhere(self):
        s = Symbol("s", positive=True)
        special = Step("", at_least(s, 1), (equal(s, Integer(1)),))
        relation = at_least(2 * s, 2)
        for where, expected in (((equal(s, Integer(1)),), True), ((), False)):
            used = Step("", relation, where, (Premise(special.relation, Integer(2)),))
            assert Derivation(relation, (special, used)).decide() is expected

    def test_what_is_certified_on_an_interval_is_no_lemma_elsewhere(self):
        s, r = Symbol("s", positive=True), Symbol("r", positive=True)
        for domain, expected in (({s: Interval(1, 2)}, False), (None, True)):
            relation = at_most(log(s), s - 1)
            lemma = certified("", relation, calculus, domain, along=s, at=1)
            used = Step("", at_most(log(r), r - 1), premises=(Premise(relation, at=(equal(s, r),)),))
            assert Derivation(used.relation, (lemma, used)).decide() is expected

    def test_a_lemma_is_used_for_values_of_its_symbols_kind(self):
        """A root may be imaginary, an excluded value stays excluded, and an entry or an index is no variable."""
        t, x = Symbol("t", real=True), Symbol("x", real=True)
        square = Step("", at_least(t**2, 0))
        root = Step("", at_least(x, 0), premises=(Premise(square.relation, at=(equal(t, sqrt(x)),)),))
        assert decide(root.decided()) is True
        assert Derivation(root.relation, (square, root)).decide() is False
        nonzero = Symbol("t", nonzero=True, real=True)
        assert not Premise(at_least(nonzero**2, 0), at=(equal(nonzero, Integer(0)),)).in_domain()
        picked = Step("", equal(Sum(q[i] * KroneckerDelta(i, k), (i, 1, C)), q[k]))
        for name, value in ((q[k], Integer(7)), (k, C + 1)):
            premise = Premise(picked.relation, at=(equal(name, value),))
            used = Step("", premise.instance(), premises=(premise,))
            assert decide(used.decided()) is True
            assert Derivation(used.relation, (picked, used)).decide() is False

    def test_a_premise_is_not_divided_by_zero(self):
        x, y = Symbol("x", real=True), Symbol("y", real=True)
        for given, relation, factor in (
            (equal(x * y, 0), equal(y, Integer(0)), 1 / x),
            (at_least(x**2 * y, 0), at_least(y, 0), x**-2),
        ):
            step = Step("", relation, premises=(Premise(given, factor),))
            assert decide(step.decided()) is True
            assert Derivation(relation, (step,), hypotheses=(given,)).decide() is False
        # Where the statement divides by it as well, nothing is said at zero.
        step = Step("", equal(y / x, Integer(0)), premises=(Premise(equal(x * y, 0), x**-2),))
        assert Derivation(step.relation, (step,), hypotheses=(equal(x * y, 0),)).verify()

    def test_what_is_assumed_is_not_derived(self):
        step = Step("", self.given, premises=(Premise(self.given),))
        assert step.decide() is True
        assert Derivation(self.given, (step,), hypotheses=(self.given,)).decide() is False

    def test_a_special_case_is_no_conclusion(self):
        x, y = Symbol("x", real=True), Symbol("y", real=True)
        relation, at_one = equal(x**2, x), (equal(x, Integer(1)),)
        special = Step("", relation, at_one)
        assert special.decide() is True
        assert Derivation(relation, (special,)).joins == "words"
        assert Derivation(relation, (special,), chained=True).decide() is False
        assert Derivation(equal(z[k], z[1]), (Step("", equal(z[k], z[1]), (equal(z[k], y),)),)).joins == "words"
        # Nor does what follows from it become one.
        start = Step("", at_least(x, 0), (equal(x, y**2),))
        follows = Step("", at_least(x, -1), premises=(Premise(start.relation),))
        assert Derivation(follows.relation, (start, follows)).verify()
        assert Derivation(follows.relation, (start, follows)).joins == "words"
        # A name that is defined with the statement is no special case.
        assert Derivation(start.relation, (start,), {"x": equal(x, y**2)}).joins == "conclusion"

    def test_a_statement_that_no_step_states_is_joined_by_words(self):
        step = self.derivation(self.A + self.B).steps[0]
        assert Derivation(at_most(self.A**3, self.B**3), (step,), hypotheses=(self.given,)).joins == "words"


def test_an_empty_sum_is_not_positive():
    number = Symbol("n", integer=True, nonnegative=True)
    assert decide(greater(Sum(q[i], (i, 1, number)), 0)) is not True
    assert decide(greater(Sum(q[i], (i, 1, C)), 0)) is True


def test_decide_has_three_answers():
    x = Symbol("x", real=True)
    assert decide(Eq(sin(x) ** 2, 1 - cos(x) ** 2, evaluate=False)) is True
    assert decide(Eq(sin(x), x, evaluate=False)) is False
    # True, but not manifestly signed: no claim is made.
    assert decide(Ge(x**4 - 2 * x**3 + 3 * x**2 - 2 * x + 1, 0, evaluate=False)) is None
    with pytest.raises(TypeError, match="expected an equality or an inequality"):
        decide(Integer(1))  # type: ignore[arg-type]


def test_no_steps_prove_nothing():
    statement = symbolic.plateau_law().statement
    assert symbolic.Derivation(statement, ()).decide() is None


x, y = Symbol("x", real=True), Symbol("y", real=True)
FALSE_IDENTITIES = {
    "two limits": (Sum(q[i], (i, 1, C), (j, 1, C)), Sum(q[i], (i, 1, C))),
    "a bound index set free": (Sum(q[i] * p[j], (i, 1, C), (j, 1, C)), p[j] * Sum(q[i], (i, 1, C))),
    "delta from two": (Sum(KroneckerDelta(i, k) * q[i], (i, 2, C)), q[k]),
    "delta up to C-1": (Sum(KroneckerDelta(i, k) * q[i], (i, 1, C - 1)), q[k]),
    "delta beyond the range": (Sum(KroneckerDelta(i, k + 1) * q[i], (i, 1, C)), q[k + 1]),
    "root of a product": (sqrt(x * y), sqrt(x) * sqrt(y)),
    "power of a product": ((x * y) ** alpha, x**alpha * y**alpha),
    "first case only": (Piecewise((x, x > 0), (-x, True)), x),
    "sums with other bounds": (Sum(q[i], (i, 1, C)), Sum(q[i], (i, 1, C - 1))),
    "product of sums as a sum of products": (Sum(q[i], (i, 1, C)) * Sum(p[i], (i, 1, C)), Sum(q[i] * p[i], (i, 1, C))),
}


@pytest.mark.parametrize("name", FALSE_IDENTITIES)
def test_false_identities_are_never_proved(name):
    assert is_identity(*FALSE_IDENTITIES[name]) is not True


def test_what_is_out_of_scope_is_undecided_when_true():
    assert is_identity(Piecewise((x, x > 0), (-x, True)), Abs(x)) is None
    nested = Sum(Sum(q[j], (j, 1, i)), (i, 1, C))
    assert is_identity(nested, 2 * nested) is not True


def test_identity_recognises_sums_up_to_the_name_of_their_index():
    total, renamed = in_logits(w[k]), in_logits(w[l]).subs(l, k)
    assert is_identity(total, renamed) is True


def test_divergence_is_an_expression():
    two = divergence.subs({Symbol("C", integer=True, positive=True): 2, alpha: 2})
    value = two.doit().subs({p[1]: Rational(1, 2), p[2]: Rational(1, 2), q[1]: Rational(1, 4), q[2]: Rational(3, 4)})
    assert value == log(Rational(4, 3))


def test_limit_rejects_other_orders():
    with pytest.raises(ValueError, match="take 0, 1 or ∞"):
        symbolic.limit(2)


def test_what_is_derived_shows_itself_in_a_notebook():
    derivation = symbolic.plateau_law()
    assert isinstance(derivation, Derivation)
    assert derivation._repr_latex_() == rf"$\displaystyle {derivation.latex()}$"
    proof = symbolic.sharp_bound()
    assert proof._repr_latex_() == rf"$\displaystyle {proof.theorems[0].conclusion.latex()}$"
