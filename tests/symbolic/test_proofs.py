"""All theorems: their assumptions are printed and hold of a problem, and a changed statement is refused.

The theorems are those of the claims; what may be asserted is found by the parameters of the functions that prove.
"""

import inspect
import pkgutil
import re
from functools import cache
from importlib import import_module

import numpy as np
import pytest
from sympy import Add, I, Indexed, Pow, Rational, Sum, Symbol, lambdify, sympify

from rdml_theory import symbolic
from rdml_theory.symbolic.divergence import sharp
from rdml_theory.symbolic.expression import RenyiDivergence
from rdml_theory.symbolic.kernel import Entry, ProofError
from rdml_theory.symbolic.mutual import composed, gain
from rdml_theory.symbolic.notation import C, k, l
from rdml_theory.symbolic.sgd import descent, growth, single_runs
from verify.checks.instances import satisfied_by
from verify.claims import all_claims
from verify.claims.g2_diversity import three_apart

PROVED = [claim.id for claim in all_claims().values() if claim.derivation]

STATED = {
    "C3": range(2), "C6": range(4), "C7": (0, 1, 2, 5, 6, 7, 8, 9), "C9": range(4), "C11": (0, 2), "C13": range(2),
    "D2": range(7), "D4": range(6), "D5": range(9), "D10": range(6), "D12": range(2), "E1": range(2), "E2": range(3),
    "E3": range(2), "G2": range(3), "G4": range(2), "N3": range(2), "N6": range(2), "V3": (0, 2), "X2": (0, 1, 5),
    "X3": range(3),
}  # fmt: skip
"""Which theorems of a proof have their hypotheses among the assumptions, where it is not the first alone."""


@cache
def proved(name):
    claim = all_claims()[name]
    assert claim.derivation
    return claim.derivation(claim.subject)


def words(text):
    return set(re.findall(r"[A-Za-z]{2,}", text))


@pytest.mark.parametrize("name", PROVED)
def test_it_follows_from_what_is_printed(name):
    """And no formula is printed that it does not need: other lines say in words what no hypothesis does."""
    claim, theorems = all_claims()[name], proved(name).theorems
    needed, stated = (
        {h.text() for theorem in those for h in theorem.hypotheses}
        for those in (theorems, [theorems[place] for place in STATED.get(name, (0,))])
    )
    said = {line: {line, *line.partition(": ")[2].split("; ")} for line in claim.assumptions}
    own = [line for line in claim.assumptions if line.startswith("the hypotheses of ")]
    said |= {line: {h.text() for h in proved(line.split()[-1]).hypotheses} for line in own}
    assert stated <= set().union(*said.values())
    told = words(" ".join(needed))
    assert [line for line, parts in said.items() if not parts & needed and words(line) <= told] == []


@pytest.mark.parametrize("name", PROVED)
def test_its_hypotheses_hold_of_a_problem_and_then_it_does(name):
    for theorem in proved(name).theorems:
        found, false = satisfied_by(theorem)
        assert found, theorem
        assert not false, theorem


@pytest.mark.parametrize(
    "name", [name if name == "C2" else pytest.param(name, marks=pytest.mark.slow) for name in PROVED]
)
def test_it_runs_again(name):
    assert proved(name).verify()


def _arguments():
    """What may be asserted: each parameter of a function that returns a proof, or each place of one that is a tuple."""
    for file in pkgutil.walk_packages(symbolic.__path__, f"{symbolic.__name__}."):
        for function in vars(import_module(file.name)).values():
            if not inspect.isfunction(function) or function.__module__ != file.name:
                continue
            form = inspect.signature(function)
            defaults = {name: parameter.default for name, parameter in form.parameters.items()}
            if form.return_annotation != "Proof" or form.empty in defaults.values():
                continue
            for name, value in defaults.items():
                if isinstance(value, tuple):
                    yield from ((function, name, place) for place in range(len(value)))
                elif not isinstance(value, bool):
                    yield function, name, None


def default(function, name, place):
    value = inspect.signature(function).parameters[name].default
    return sympify(value if place is None else value[place])


def prove(function, name, place, formula):
    """What the function makes of a formula in the place of one of its own."""
    if place is not None:
        parts = [*inspect.signature(function).parameters[name].default]
        parts[place], formula = formula, parts
    return function(**{name: formula if place is None else tuple(formula)})


def changes(formula):
    """Formulas that differ in one place: a constant by 2%, a sign, a term dropped, an exponent."""
    factor = Rational(51, 50)
    yield factor * formula
    for where, part in _places(formula):
        if isinstance(part, Add):
            for term in part.args:
                for other in (0, -term, factor * term):
                    yield _put(formula, where, part - term + other)
        elif isinstance(part, Pow):
            yield _put(formula, where, part.base ** (2 * part.exp))


def _places(formula, where=()):
    yield where, formula
    for number, part in enumerate(formula.args):
        yield from _places(part, (*where, number))


def _put(formula, where, part):
    if not where:
        return part
    args = list(formula.args)
    args[where[0]] = _put(args[where[0]], where[1:], part)
    return formula.func(*args)


def differ(first, second):
    """Whether two formulas differ at a point of their domain, or for distributions of two classes.

    Divergences, and sums over steps, are numbers here.
    """
    parts = first.atoms(RenyiDivergence, Sum) | second.atoms(RenyiDivergence, Sum)
    taken = (e for e in parts if isinstance(e, RenyiDivergence) or e.has(Entry))
    numbers = {e: Symbol(f"n{number}") for number, e in enumerate(taken)}
    first, second = (side.xreplace(numbers).subs({C: 2, k: 1, l: 2}).doit() for side in (first, second))
    names = sorted(set().union(*map(_unknowns, (first, second))), key=str)
    plain = {name: Symbol(f"x{number}") for number, name in enumerate(names)}
    both = lambdify(list(plain.values()), [first.xreplace(plain), second.xreplace(plain)], "numpy")
    rng = np.random.default_rng(1)
    for _ in range(20):
        one, other = both(*(complex(v) for v in rng.uniform(0.3, 0.9, len(names))))
        if np.isfinite(other) and abs(one - other) > 1e-9 * (1 + abs(one)):
            return True
    return False


def _unknowns(formula):
    entries_of = formula.atoms(Indexed)
    return entries_of | (formula.free_symbols - set().union(*(e.free_symbols for e in entries_of)))


def refused(function, name, place, *, every):
    """Each ``every``-th of the false statements that differ from a formula in one place, or else one, is no theorem."""
    formula = default(function, name, place)

    def false(changed):
        return not changed.has(I) and differ(formula, changed)

    made = list(dict.fromkeys(changes(formula)))
    for changed in list(filter(false, made[::every])) or [next(filter(false, made))]:
        with pytest.raises(ProofError):
            prove(function, name, place, changed)


LOOSE = {("sharp_self_bounding", "constant")}
"""What may be greater: a number from above."""

ARGUMENTS = [
    pytest.param(*told, id="-".join(str(part) for part in (told[0].__name__, *told[1:]) if part is not None))
    for told in _arguments()
    if (told[0].__name__, told[1]) not in LOOSE
]


@pytest.mark.parametrize(("function", "name", "place"), ARGUMENTS)
def test_a_changed_statement_is_refused(function, name, place):
    refused(function, name, place, every=20)


@pytest.mark.slow
@pytest.mark.parametrize(("function", "name", "place"), ARGUMENTS)
def test_each_changed_statement_is_refused(function, name, place):
    refused(function, name, place, every=1)


def test_a_smaller_constant_is_refused():
    with pytest.raises(ProofError):
        sharp.sharp_self_bounding(Rational(49, 50) * sharp.SHARP_CONSTANT)


def test_sums_and_products_are_changed_inside():
    a, b = descent.h, descent.eta
    found = set(changes(a + 2 * b**2))
    assert {a, 2 * b**2, -a + 2 * b**2, a - 2 * b**2, a + 2 * b**4} <= found


def test_the_theorems_and_what_they_assert_are_found():
    found = {function.__name__ for function, *_ in _arguments()}
    assert {"student_gradient", "lagged_runs", "shared_law", "potential", "shared_rate"} <= found
    assert {"D1", "V3"} <= set(PROVED)


@pytest.mark.parametrize(
    ("place", "of", "bias"),
    [
        (-2, lambda: single_runs.single_runs().theorems[1], "‖b_t‖² ≤ ζ² for every t"),
        (-1, growth.closer_bound, "E[‖b_t‖²] ≤ Z² + m·E[‖∇f(x_t)‖²] for every t"),
    ],
    ids=["V3", "C9"],
)
def test_x1_has_the_hypotheses_of_another_claim_with_its_own_bias(place, of, bias):
    """Of single runs, and of the last iterate."""
    theorem, given = composed.composed_bound().theorems[place], {h.text() for h in of().hypotheses}
    told = {h.text() for h in theorem.hypotheses} - set(composed.ASSUMPTIONS)
    assert bias in given - told
    new = told - given
    assert len(new) == 2
    assert all("G" in text or text == "|h - 1| < 1" for text in new)


@pytest.mark.parametrize("wider", [{"convex": False}, {"any_order": True}], ids=str)
def test_the_same_data_change_nothing_for_convex_losses_alone_and_many_students_at_order_one(wider):
    with pytest.raises(ProofError):
        gain.shared_law(**wider)


def test_three_students_of_one_strongly_convex_loss_may_rest_apart_where_two_may_not():
    """G2 holds for two: here are three, α = 1/10 and β = 1, at rest on a quadratic; the point is not stable."""
    found = three_apart()
    assert (found.share > 0).all()
    assert np.linalg.eigvalsh(found.hessian).min() > 1e-5
    assert np.abs(found.forces(found.logits)).max() < 1e-12
    assert np.abs(found.logits - found.minimiser).max(axis=1).min() > 0.05
    steps = 1e-4 * np.eye(9).reshape(9, 3, 3)
    forces = [[found.forces(found.logits + sign * step) for sign in (1, -1)] for step in steps]
    slopes = np.array([(ahead - behind).ravel() / 2e-4 for ahead, behind in forces])
    assert np.linalg.eigvals(slopes).real.min() < -1e-3
