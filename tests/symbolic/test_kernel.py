"""The kernel proves what follows, and refuses every forgery that anybody thought of."""

import ast
import copy
import importlib.util
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest
from forgeries import FORGERIES, RISES, SHRINKS, SLOPE_OF_SQUARE, a, c, d, noise, p, t, u, v, x
from sympy import Abs, Add, Basic, Derivative, Integer, Max, Mul, Rational, Sum, Symbol, Tuple, exp, log, oo, sqrt, tanh
from sympy import expand as sympy_expand

import rdml_theory.symbolic.kernel as kernel
from rdml_theory.symbolic.kernel import (
    AtMost,
    Entry,
    Equal,
    Finite,
    ForAll,
    Gradient,
    Inner,
    Less,
    Mean,
    Proof,
    ProofError,
    Tends,
    TermError,
    Theorem,
    Value,
    assume,
    axiom,
    cases,
    combine,
    differentiate,
    discharge,
    generalise,
    identity,
    induct,
    instantiate,
    limit,
    nonnegative,
    orthogonal,
    rising,
    root,
    specialise,
    square,
    squeeze,
    taylor,
)  # fmt: skip
from rdml_theory.symbolic.kernel.expansion import expand
from rdml_theory.symbolic.kernel.model import Model, Objective
from rdml_theory.symbolic.kernel.terms import derivative
from rdml_theory.symbolic.mutual import game
from rdml_theory.symbolic.sgd import bounds as sgd
from rdml_theory.symbolic.sgd import descent
from rdml_theory.symbolic.sgd.setting import average

FALSE = {
    "the sharp bound, 1% too small": lambda: sgd.sharp_bound(Rational(99, 100) * descent.SHARP),
    "the sharp bound, 1% too large, which is not tight": lambda: sgd.sharp_bound(Rational(101, 100) * descent.SHARP),
    "the sharp bound without bias": lambda: sgd.sharp_bound(descent.SHARP.subs(descent.Z, 0)),
    "the sharp bound with half the gap": lambda: sgd.sharp_bound(descent.SHARP.subs(descent.gap, descent.gap / 2)),
    "the sharp bound with 1-h": lambda: sgd.sharp_bound(descent.SHARP.subs(Abs(1 - descent.h), 1 - descent.h)),
    "A² ≤ 0.98 times the classical bound": lambda: sgd.classical_bound(Rational(98, 100) * descent.CLASSICAL),
    "the classical bound without noise": lambda: sgd.classical_bound(descent.CLASSICAL.subs(descent.sigma, 0)),
    "the classical bound beyond one": lambda: sgd.classical_bound(greatest_step=Rational(11, 10)),
    "a potential at α = 1/3": lambda: game.potential(Rational(1, 3)),
    "a potential of the KL divergence": lambda: game.potential(Rational(1)),
    "a potential at α = 2": lambda: game.potential(Rational(2)),
    "a potential that is 0.98(1+β)Λ-smooth": lambda: game.potential(
        curvatures=(game.CURVATURES[0], Rational(98, 100) * game.CURVATURES[1])
    ),
    "a bound of a potential's gradient, 2% too small": lambda: game.potential(
        bound=Rational(98, 100) * game.WITHOUT_BIAS
    ),
    "a potential that is convex": lambda: game.potential(curvatures=(Integer(0), game.CURVATURES[1])),
    "a dual pair with its weights exchanged": lambda: game.potential(weights=game.DUAL_WEIGHTS[::-1]),
}  # fmt: skip


@pytest.mark.parametrize("name", FALSE)
def test_a_false_bound_is_refused(name):
    with pytest.raises(ProofError):
        FALSE[name]()


@pytest.mark.parametrize("name", FORGERIES)
def test_refused(name):
    with pytest.raises((ProofError, TermError, TypeError, AttributeError)):
        FORGERIES[name]()


def made_behind_its_back(conclusion):
    forged = object.__new__(Theorem)
    values = dict(
        hypotheses=frozenset(), conclusion=conclusion, rule="identity", arguments={"target": Equal(a, a)},
        reason="", sure=True,
    )  # fmt: skip
    for name, value in values.items():
        object.__setattr__(forged, name, value)
    return forged


def test_a_theorem_made_behind_the_kernels_back_does_not_replay():
    forged = made_behind_its_back(AtMost(1, 0))
    assert not forged.replay()
    assert not Proof((identity(Equal(a, a)), forged)).verify()
    assert combine(AtMost(1, 0), [(1, forged)]).replay() is False
    object.__setattr__(forged, "rule", "no rule")
    assert not forged.replay()


class EqualToASum(Add):
    """The sum a + c, which is equal to a + p."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return hash(a + p)


def test_a_theorem_from_a_cache_that_was_given_something_else_does_not_replay_afresh():
    fake = EqualToASum(a, c, evaluate=False)
    assert fake.args == (a, c)
    product = -d * (a + p)
    poison = Mul(*(fake if part == a + p else part for part in product.args), evaluate=False)
    try:
        Inner(poison, u)  # what somebody has SymPy compute, before anything is proved
        forged = identity(Equal(d * (a + p), d * a + d * c))
        assert forged.replay()  # else this tries nothing
        assert not Proof((identity(Equal(a, a)), forged)).verify(afresh=True)
    finally:
        assert Proof((identity(Equal(a, a)),)).verify(afresh=True)


class EqualToAll(Equal):
    """An equation that is equal to every proposition."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1


def test_a_replay_is_not_fooled_by_what_it_compares_or_by_what_hides_a_theorem():
    forged = made_behind_its_back(EqualToAll(1, 0))
    assert not forged.replay()
    object.__setattr__(forged, "conclusion", AtMost(1, 0))
    consequence = combine(AtMost(1, 0), [(1, forged)])
    object.__setattr__(consequence, "arguments", {**consequence.arguments, "parts": [[Integer(1), forged]]})
    assert not consequence.replay()


class Parts:
    """Parts of a combination that are read by their numbers."""

    def __init__(self, *parts):
        self.parts = parts

    def __getitem__(self, number):
        return self.parts[number]


@pytest.mark.parametrize("hide", [Parts, lambda part: Basic.__new__(Tuple, Basic.__new__(Tuple, *part))])
def test_no_axiom_hides_in_an_argument(hide):
    lemma = axiom("descent lemma", ("f", p))
    assert combine(lemma.conclusion, hide((Integer(1), lemma))).axioms() == ("descent lemma",)


def test_a_power_is_printed_so_that_it_cannot_be_read_as_another_term():
    slope, norm = Derivative(a**2, a), square(u)
    assert Equal(slope**2, norm**2).text() == "(∂a²/∂a)² = ‖u‖⁴"
    assert Equal(norm**2, sqrt(norm)).latex() == r"\Vert u\Vert^{4} = \Vert u\Vert"


def test_copies_are_the_theorem_itself():
    theorem = assume(AtMost(a, c))
    assert copy.copy(theorem) is copy.deepcopy(theorem) is theorem


def test_what_is_assumed_stays_in_sight():
    absurd = assume(Less(p, 0))
    anything = combine(AtMost(a, c), [(1, absurd), (1, assume(AtMost(a, c + p)))])
    assert Less(p, 0) in anything.hypotheses
    # A name that is given a value gives it to the hypotheses that speak of it.
    bound = sgd.classical_bound().theorems[0]
    special = instantiate(bound, {average: Integer(0)})
    assert any(h.text().startswith("0 = ") for h in special.hypotheses)


def test_rules_give_what_they_say():
    assert (
        cases(
            combine(AtMost(0, a**2), [], slack=a**2, known=[assume(AtMost(a, 0))]),
            combine(AtMost(0, a**2), [], slack=a**2, known=[assume(AtMost(0, a))]),
            a,
            Integer(0),
        ).hypotheses
        == frozenset()
    )
    assert str(discharge(assume(AtMost(0, p)), nonnegative(p))) == "⊢ 0 ≤ p"
    step = combine(AtMost(0, (t + 1) * p), [(1, assume(AtMost(0, t * p)))], slack=p)
    assert str(induct(nonnegative(Integer(0)), step, t)) == "⊢ 0 ≤ p·t for every t"
    assert str(generalise(nonnegative(t), t)) == "⊢ 0 ≤ t for every t"
    assert str(nonnegative(exp(a))) == "⊢ 0 ≤ exp(a)"
    assert str(squeeze(SHRINKS, Tends(c / (p + 1), p, oo, 0), Integer(0))) == "⊢ c/(p + 1) → 0 as p → ∞"
    assert str(limit(Tends((exp(p) - 1 - p) / p**2, p, 0, Rational(1, 2)), exp(p) - 1 - p, 2)).endswith("as p → 0")
    assert str(rising(RISES, a, Integer(0), c)) == "0 ≤ c ⊢ 0 ≤ 3·c"
    bent = combine(AtMost(Derivative(a**2, (a, 2)), 3), [(1, differentiate(SLOPE_OF_SQUARE, a))], slack=Integer(1))
    assert str(taylor(bent, SLOPE_OF_SQUARE)) == "⊢ 1 ≤ 3/2"
    away = assume(Less(0, (a - 1) ** 2))
    slope = differentiate(combine(Equal(1 / (a - 1), 1 / (a - 1)), [], known=[away]), a)
    assert str(slope) == "0 < (a - 1)² ⊢ ∂1/(a - 1)/∂a = -1/(a - 1)²"
    assert orthogonal(specialise(noise, t), Gradient("f", x)).conclusion.text() == "E[⟨n_t, ∇f(x_t)⟩] = 0"


def test_an_expectation_of_a_sum_is_the_sum_of_expectations():
    s = Entry("s", t, random=True)
    count = Symbol("N", integer=True, positive=True)
    whole, parts = Mean(Sum(p * s, (t, 0, count - 1))), Sum(Mean(s), (t, 0, count - 1))
    assert Finite() in identity(Equal(whole, p * parts)).hypotheses
    other = Entry("r", Integer(0), random=True)
    for false in (p * count * Mean(s.at(Integer(0))), p * parts * Mean(other)):
        with pytest.raises(ProofError):
            identity(Equal(whole, false))
    with pytest.raises(ProofError):
        identity(Equal(Mean(other * Sum(s, (t, 0, count - 1))), Mean(other) * parts))


def test_whatever_speaks_of_an_expectation_takes_it_to_be_finite():
    # Of a square of infinite expectation the first hypothesis holds, and the second conclusion does not.
    mean = Mean(square(x))
    grows = combine(AtMost(1, 0), [(1, assume(AtMost(mean + 1, mean)))])
    less = instantiate(combine(Less(a, a + 1), [], slack=Integer(1)), {a: mean})
    for theorem in (grows, less, assume(AtMost(mean, 1)), root(assume(AtMost(mean**2, p)), mean)):
        assert Finite() in theorem.hypotheses


def test_nothing_holds_for_every_vector_where_there_is_none():
    every = assume(ForAll(u, AtMost(1, 0)))
    assert Model("empty", {}).satisfies(every) is None


def test_a_point_far_out_excuses_no_error_at_another():
    square_of = Objective(lambda y: np.sum(y**2, axis=-1), lambda y: 2 * y, 2.0)
    above = Objective(lambda y: np.sum(y**2, axis=-1) + 1e-3 * (np.abs(y[..., 0]) < 2), lambda y: 2 * y, 2.0)
    below = assume(ForAll(u, AtMost(Value("f", u), Value("g", u))))
    for far in (3.0, 1e4, 1e200):
        points = np.array([[1.0], [far]])
        for f, holds in ((square_of, True), (above, None)):
            with np.errstate(over="ignore"):
                found = Model("points", {}, {"f": f, "g": square_of}, points=points).satisfies(below)
            assert found is (holds if far < 1e100 else None), (far, holds)


def test_a_proof_is_printed():
    made = sgd.classical_bound()
    assert made.latex().count("\\\\\n") == len(made.lines) - 1
    assert made.text().endswith(made.lines[-1].words())


def test_a_proof_has_words_for_rules_and_letters_for_indices():
    i, C = (Symbol(name, integer=True, positive=True) for name in "iC")
    made = Proof((kernel.one_term(kernel.nonnegative(Entry("q", i, positive=True)), i, C, C),))
    said = [line.words() for line in made.lines]
    assert any("(sum from" in words for words in said)
    assert any("(last term)" in words for words in said)
    assert not any("_" in words or words == "combine" for words in said)
    names = {s.name for line in made.lines for s in line.theorem.conclusion.free() if isinstance(s, Symbol)}
    assert {len(name) for name in names} == {1}, names


def test_the_axioms_hold_for_numbers():
    rng = np.random.default_rng(20261127)
    for _ in range(200):
        # The descent lemma, on f = Σ_i c_i cos(w_i·y): Λ = Σ |c_i| |w_i|².
        weights, waves = rng.normal(size=3), rng.normal(size=(3, 4))
        smoothness = float(np.sum(np.abs(weights) * np.sum(waves**2, axis=1)))
        at, move = rng.normal(size=4), rng.normal(size=4) * 10.0 ** rng.uniform(-2, 1)
        value = [float(weights @ np.cos(waves @ z)) for z in (at, at + move)]
        slope = -(weights * np.sin(waves @ at)) @ waves
        assert value[1] <= value[0] + slope @ move + smoothness / 2 * move @ move + 1e-12
        assert value[1] >= value[0] + slope @ move - smoothness / 2 * move @ move - 1e-12
        # The ascent, on f = Σ_i y_i² + 3 sin² y_i, with μ = 0.175, below a parabola around w that touches f.
        w, b, tau = rng.normal(size=2) * 3, float(rng.uniform(4.1, 9)), float(10 ** rng.uniform(-2, 1))
        line = np.linspace(-40, 40, 4001)
        heights = line**2 + 3 * np.sin(line) ** 2
        above = sum(float(np.max(heights - b * (line - centre) ** 2)) for centre in w)
        here = float(np.sum(w**2 + 3 * np.sin(w) ** 2))
        assert (1 + tau) ** 2 * here <= above + 2 * b * tau**2 / 0.175 * here + 1e-2
        # On y²/2 with μ = 1 it is an equation, at the best τ.
        best, touching = 1 / (2 * b - 1), b * w[0] ** 2 / (2 * b - 1)
        assert (1 + best) ** 2 * w[0] ** 2 / 2 == pytest.approx(touching + b * best**2 * w[0] ** 2)
        # Cauchy-Schwarz, over T steps and a finite probability space.
        first, second = rng.normal(size=(2, 5, 7, 3))
        chance = rng.dirichlet(np.ones(7))

        def total(one, other, chance=chance):
            return float(np.sum(chance * np.sum(one * other, axis=2)))

        assert total(first, second) ** 2 <= total(first, first) * total(second, second) * (1 + 1e-12)


@pytest.mark.parametrize("law", ["gaussian", "signs"])
def test_sub_gaussian_moments_hold(law):
    """E[exp(⟨v, n⟩ + k‖n‖²/2)], with equality for normal noise; its s² is least for both laws."""
    rng = np.random.default_rng(20261127)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    points, chance = (nodes, weights / weights.sum()) if law == "gaussian" else (np.array([-1.0, 1.0]), np.full(2, 0.5))
    for _ in range(30):
        rank, deviation = int(rng.integers(1, 4)), rng.uniform(0.2, 1.2)
        k = rng.uniform(0, 0.6) / deviation**2
        v, room = rng.normal(size=rank), 1 - k * deviation**2
        each = [chance @ np.exp(c * deviation * points + k * (deviation * points) ** 2 / 2) for c in v]
        bound = room ** (-rank / 2) * np.exp(deviation**2 * v @ v / (2 * room))
        assert np.prod(each) <= bound * (1 + 1e-9)
        assert law == "signs" or np.prod(each) == pytest.approx(bound, rel=1e-6)
        assert np.prod(each) > np.exp((0.9 * deviation) ** 2 * v @ v / 2) * (law == "gaussian")


@pytest.mark.parametrize(("shares", "rest"), [(0.5, 0.5), (0.5, 1.0), (1.0, 0.3), (2.0, 1.0), (0.5, 0.0)])
def test_polyaks_lemma_holds_for_powers_and_not_without_its_hypotheses(shares, rest):
    """u_{t+1} = (1 - w_t) u_t + w_t a_t tends to zero where Σ w_t is infinite and a_t tends to zero, and only there."""
    u, found = 3.0, {}
    for step in range(1, 20_001):
        w = 0.9 * step**-shares
        found[step] = u = (1 - w) * u + w * step**-rest
    assert (found[20_000] < 0.6 * found[2_000]) == (shares <= 1 and rest > 0)
    told = axiom("Polyak's lemma").hypotheses
    assert {h.text() for h in told if isinstance(h, Tends)} == {
        "a_t → 0 as t → ∞", "1/(Σ_{s < t} w_s + 1) → 0 as t → ∞"
    }  # fmt: skip


def test_terms_are_expanded_as_sympy_expands_them():
    i, C = (Symbol(name, integer=True, positive=True) for name in "iC")
    q = Entry("q", i, positive=True)
    terms = [side for step in sgd.classical_bound().theorems[0].proof() for side in step.conclusion.terms()]
    terms += [
        a * (c + 1) * (a - c), p ** (a + 1) * (a + c) ** 2, log(p * (p + 1) / q), exp(a * (c + 1)) * (1 + exp(-a)),
        Sum(a * (q + c) ** 2, (i, 1, C)), sqrt(p * (a + 1) ** 2), (a + c) / (p * (p + 1)), ((a + 1) ** 2 + 1) ** -2,
        2 * (a + c) * Sum(q * (1 + q), (i, 1, C)) ** 2, Abs(a * (c + 1)) * Inner(u, a * (u + v)), p ** (a * (c + 1)),
    ]  # fmt: skip
    for term in terms:
        assert expand(term) == sympy_expand(term), term
    assert sum(expand(term) != term for term in terms) > 10


def test_derivatives_are_those_of_sympy_and_there_are_no_others():
    i, C = (Symbol(name, integer=True, positive=True) for name in "iC")
    q, v_i = Entry("q", i, positive=True), Entry("v", i)
    weights = Sum(q * exp(p * v_i) * p**-v_i, (i, 1, C))
    terms = [
        a, Integer(3), p**3 * exp(a * p) / (1 + p**2), log(p * (p + 1)) * tanh(a * p) ** 2, p ** (a * p), a**2 * p**C,
        log(weights) / (p - a), (weights / C) ** (1 / p) + p, Sum(Mean(q) * p ** (v_i + a), (i, 1, C)) ** 2,
    ]  # fmt: skip
    for term in terms:
        for variable in (p, a):
            assert derivative(term, variable) == term.diff(variable), (term, variable)
    assert derivative(Derivative(p**p, p), p) == Derivative(p**p, (p, 2))
    for term in (Abs(a), Mean(a * q), Max(a, p), Inner(a * u, v), Sum(q, (i, 1, a))):
        with pytest.raises(KeyError):
            derivative(term, a)


def test_values_of_objectives_are_looked_up_where_they_are():
    assert Value("f", 2 * (u + v)) == Value("f", 2 * u + 2 * v)
    assert Inner(u, v) == Inner(v, u)


# The rules that say no, each in turn told to say yes.
MODULES = (
    "expansion", "terms", "forms", "propositions", "axioms", "theorem", "substitution", "logic", "sums", "analysis",
    "derived",
)  # fmt: skip
TRUSTED = MODULES[:-1]
FOLDER = Path(kernel.__file__).parent


class _Accept(ast.NodeTransformer):
    """Takes the n-th refusal of a module away."""

    def __init__(self, number):
        self.left = number
        self.line = None

    def visit_Raise(self, node):
        self.left -= 1
        if self.left != -1:
            return node
        self.line = node.lineno
        return ast.copy_location(ast.Pass(), node)


def _load(name, source, path):
    tree = source if isinstance(source, ast.Module) else ast.parse(source)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, None))
    sys.modules[name] = module
    exec(compile(ast.fix_missing_locations(tree), str(path), "exec"), module.__dict__)
    return module


def _renamed(path):
    return path.read_text().replace("rdml_theory.symbolic.kernel", "lenient_kernel")


def _outcomes(changed, number, met=None):
    """What becomes of each forgery, one after the other, in a kernel without one of its refusals; first its line.

    Those that meet it, by the places that each has met in the kernel as it is, come first.
    """
    accept = _Accept(number)
    try:
        package = _load("lenient_kernel", "", FOLDER)
        package.__path__ = []
        for name in MODULES:
            tree = ast.parse(_renamed(FOLDER / f"{name}.py"))
            if name == changed:
                tree = accept.visit(tree)
            module = _load(f"lenient_kernel.{name}", tree, FOLDER / f"{name}.py")
            vars(package).update({key: getattr(module, key) for key in module.__all__})
        tried = _load("lenient_forgeries", _renamed(Path(__file__).with_name("forgeries.py")), "forgeries.py")
        yield accept.line
        meeting = [name for name, (_, places) in (met or {}).items() if (changed, accept.line) in places]
        for name in dict.fromkeys((*meeting, *tried.FORGERIES)):
            yield name, *_outcome(tried.FORGERIES[name])
    finally:
        for name in [name for name in sys.modules if name.startswith(("lenient_kernel", "lenient_forgeries"))]:
            del sys.modules[name]


def _outcome(forge):
    """What becomes of a forgery, and the places in the kernel where an error has passed."""
    try:
        forge()
    except Exception as error:
        places, told, cause = set(), f"{type(error).__name__}: {error}", error
        while cause is not None:
            places |= {(Path(f.f_code.co_filename).stem, line) for f, line in traceback.walk_tb(cause.__traceback__)}
            cause = cause.__context__
        return told, places
    return "accepted", set()


def _refusals():
    for name in TRUSTED:
        count = sum(isinstance(node, ast.Raise) for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text())))
        yield from ((name, number) for number in range(count))


@pytest.fixture(scope="module")
def as_it_is():
    _, *outcomes = _outcomes(None, 0)
    return {name: told for name, *told in outcomes}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "number"), list(_refusals()))
def test_every_refusal_refuses_something(as_it_is, name, number):
    outcomes = _outcomes(name, number, as_it_is)
    line = next(outcomes)
    assert line is not None
    differs = any(as_it_is[forgery][0] != outcome for forgery, outcome, _ in outcomes)
    outcomes.close()
    assert differs, f"{name}.py, line {line}: no forgery meets this refusal"


@pytest.mark.parametrize("path", sorted(FOLDER.parent.rglob("*.py")), ids=lambda path: path.stem)
def test_no_name_that_a_proof_opens_is_imported_from_elsewhere_too(path):
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    opened, named = [], []
    for node in imports:
        if node.names[0].name == "*":
            opened += importlib.import_module(node.module).__all__
        else:
            named += [alias.asname or alias.name for alias in node.names]
    assert len(set(opened)) == len(opened)
    assert set(opened).isdisjoint(named)
