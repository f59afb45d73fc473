"""The theorems of training: their assumptions are printed and hold of a problem, and a changed statement is refused."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from sympy import Add, Expr, I, Indexed, Mul, Pow, Rational, Symbol, lambdify, log

from rdml_theory.symbolic.divergence import (
    consensus,
    derivatives,
    entries,
    escort,
    gradients,
    limits,
    order,
    pinsker,
    self_bound,
    sharp,
    tilt,
    variance,
)
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.kernel import AXIOMS, ProofError
from rdml_theory.symbolic.mutual import bias, game, gram, moving_target, tunability
from rdml_theory.symbolic.notation import C, alpha, k, l
from rdml_theory.symbolic.sgd import (
    adam,
    best_iterate,
    bounds,
    constant_bias,
    descent,
    growth,
    lagged_runs,
    long_run,
    long_steps,
    momentum,
    momentum_floor,
    refinements,
    scope,
    setting,
    sign_descent,
    single_runs,
    smooth,
    tight,
    worst_case,
)
from verify.checks.instances import satisfied_by


@dataclass(frozen=True)
class Case:
    """A proof, the formulas that may be asserted to it, and the printed assumptions of the theorems that state it."""

    prove: Any
    formulas: dict[str, Expr]
    assumptions: tuple[str, ...]
    stated: int = 1


LIMITS = {
    "zero": -log(limits.SUPPORT), "one": limits.KULLBACK_LEIBLER, "infinity": log(limits.TOP),
}  # fmt: skip

CASES = {
    "C1": Case(
        bounds.classical_bound, {"right_side": descent.CLASSICAL}, setting.assumptions(*setting.AVERAGED, "h ≤ 1")
    ),
    "C2": Case(bounds.sharp_bound, {"right_side": descent.SHARP}, setting.assumptions(*setting.AVERAGED, "h < 2")),
    "C2a": Case(
        refinements.floor_bound,
        {"right_side": refinements.FLOOR},
        setting.assumptions(*setting.AVERAGED, "h < 2"),
    ),
    "C2b": Case(refinements.refined_bound, {"right_side": refinements.REFINED}, refinements.LAST_STEP),
    "C2c": Case(
        refinements.relative_bound,
        {"left_side": refinements.RELATIVE, "limit": refinements.RELATIVE_LIMIT},
        refinements.RELATIVE_ASSUMPTIONS,
    ),
    "C2d": Case(best_iterate.best_iterate, {"decrease": best_iterate.DECREASE}, best_iterate.ASSUMPTIONS),
    "C2e": Case(tight.tight_bound, {"coefficient": tight.COEFFICIENT, "drive": tight.DRIVE}, tight.ASSUMPTIONS),
    "C3": Case(constant_bias.bias_plateau, {"plateau": constant_bias.PLATEAU}, constant_bias.ASSUMPTIONS),
    "C10": Case(
        scope.bounded_scope,
        {"offset": scope.OFFSET, "variance": scope.VARIANCE, "radius_formula": scope.RADIUS},
        scope.ASSUMPTIONS,
    ),
    "C4": Case(
        bias.mutual_bias,
        {
            "a_priori": bias.A_PRIORI,
            "observable": bias.OBSERVABLE.xreplace({bias.MEAN_DIVERGENCE: entries.D}),
            "scale": bias.beta**2 * bias.jacobian**2,
        },
        (*bias.ASSUMPTIONS[:-1], entries.NOT_ONE.text()),
    ),
    "C4a": Case(gram.gram_bound, {"factor": gram.gram}, gram.ASSUMPTIONS),
    "C11, the floor": Case(
        momentum_floor.momentum_floor, {"floor_square": momentum_floor.FLOOR}, momentum_floor.ASSUMPTIONS, stated=2
    ),
    "C11": Case(
        momentum.momentum_bound,
        {
            "coefficient": momentum.COEFFICIENT,
            "drive": momentum.DRIVE,
            "price": momentum.PRICE,
            "drag": momentum.DRAG,
            "start": momentum.START,
        },
        momentum.ASSUMPTIONS,
    ),
    "C12": Case(worst_case.sharp_multipliers, {"squared_bound": descent.SHARP**2}, worst_case.WORST_CASE),
    "C13": Case(
        smooth.consecutive_iterates,
        {"coupling": smooth.COUPLING, "infimum": smooth.INFIMUM},
        smooth.ASSUMPTIONS,
        stated=2,
    ),
    "C14": Case(worst_case.every_horizon, {"right_side": worst_case.DESCENT}, worst_case.EVERY_HORIZON),
    "C6": Case(tunability.tunability, {"slope": tunability.LINE}, tunability.ASSUMPTIONS, stated=4),
    "C7": Case(game.potential, {"order": game.ORDER}, game.ASSUMPTIONS),
    "C8": Case(
        moving_target.moving_target,
        {"right_side": moving_target.MOVING, "rate": moving_target.DRIFT},
        moving_target.ASSUMPTIONS,
    ),
    "C15": Case(
        long_run.long_run_law,
        {"drift": long_run.DRIFT, "enough": long_run.ENOUGH, "slope": long_run.SLOPE},
        long_run.ASSUMPTIONS,
    ),
    "C16": Case(sign_descent.sign_bound, {"right_side": sign_descent.SIGNED}, sign_descent.ASSUMPTIONS),
    "C17": Case(adam.adam_drift, {"drift": adam.DRIFT}, adam.ASSUMPTIONS),
    "D1": Case(gradients.student_gradient, {"right_side": gradients.STUDENT_GRADIENT}, gradients.ASSUMPTIONS),
    "D2": Case(
        lambda **sides: derivatives.derivatives(derivatives.DERIVATIVES._replace(**sides)),
        derivatives.DERIVATIVES._asdict(),
        derivatives.ASSUMPTIONS,
        stated=7,
    ),
    "D3": Case(gradients.student_hessian, {}, gradients.ASSUMPTIONS),
    "D4": Case(lambda **sides: limits.limits(tuple((LIMITS | sides).values())), LIMITS, limits.ASSUMPTIONS, stated=6),
    "D5": Case(
        lambda **sides: order.order_theorem(order.ORDER._replace(**sides)),
        {
            "slope": order.ORDER.slope,
            "skew": alpha * order.MIRROR,
            "mixture": order.ORDER.mixture.xreplace({divergence: entries.D}),
        },
        order.ASSUMPTIONS,
        stated=9,
    ),
    "D6": Case(
        variance.curvature_bounds,
        {"lower": variance.CURVATURES[0], "upper": variance.CURVATURES[1]},
        gradients.ASSUMPTIONS,
    ),
    "D7": Case(tilt.bounded_gradient, {"right_side": tilt.GRADIENT_BOUND}, tilt.ASSUMPTIONS),
    "D8": Case(
        self_bound.self_bounding,
        {"right_side": self_bound.SELF_BOUND.xreplace({divergence: entries.D})},
        (*self_bound.ASSUMPTIONS[:4], entries.NOT_ONE.text()),
    ),
    "D9": Case(
        tilt.bounded_teacher_gradient,
        {"right_side": tilt.TEACHER_BOUND},
        (*tilt.TEACHER_ASSUMPTIONS[:3], entries.NOT_ONE.text()),
    ),
    "D15": Case(
        self_bound.saturating_bound,
        {"right_side": self_bound.SATURATION.xreplace({divergence: entries.D})},
        (*self_bound.ASSUMPTIONS[:4], entries.NOT_ONE.text()),
    ),
    "D10": Case(
        lambda **sides: consensus.consensus_expansion(consensus.CONSENSUS._replace(**sides)),
        consensus.CONSENSUS._asdict(),
        consensus.ASSUMPTIONS,
        stated=3,
    ),
    "D12": Case(
        variance.variance_bounds,
        {"bhatia_davis": variance.BHATIA_DAVIS, "popoviciu": variance.POPOVICIU},
        variance.ASSUMPTIONS,
        stated=2,
    ),
    "D13": Case(
        pinsker.two_point_reduction,
        {"right_side": pinsker.TWO_POINTS},
        pinsker.GROUPS_ASSUMPTIONS[:10],
    ),
    "D11": Case(
        pinsker.pinsker,
        {"right_side": pinsker.PINSKER, "greatest_order": Rational(1)},
        (*pinsker.PINSKER_ASSUMPTIONS[:3], entries.NOT_ONE.text(), "α ≤ 1"),
    ),
    "D14": Case(
        escort.escort_duality,
        {},
        (*escort.DUALITY_ASSUMPTIONS[:3], entries.NOT_ONE.text()),
    ),
    "D16": Case(
        escort.gradient_domination,
        {
            "left_side": escort.DOMINATED.xreplace({divergence: entries.D}),
            "least_order": Rational(1, 2),
        },
        escort.DOMINATION_ASSUMPTIONS[:7],
    ),
    "D17": Case(
        sharp.sharp_self_bounding,
        {"greatest_order": Rational(1, 2)},
        (*sharp.ASSUMPTIONS, "α ≤ 1/2"),
    ),
    "V3": Case(single_runs.single_runs, {"proxy": single_runs.PROXY}, single_runs.ASSUMPTIONS),
    "V3 with momentum": Case(lagged_runs.lagged_runs, {"right_side": lagged_runs.LEVEL}, lagged_runs.ASSUMPTIONS),
    "C9": Case(
        growth.pl_bound,
        {
            "right_side": growth.PL,
            "closer": growth.CLOSER,
            "floor_square": growth.FLOOR,
            "push_square": growth.PUSH,
            "longer": long_steps.LONG,
            "long_floor": long_steps.LONG_FLOOR,
            "long_rate": long_steps.LONG_RATE,
        },
        growth.ASSUMPTIONS,
        stated=4,
    ),
}


def said(assumptions):
    """The hypotheses printed, also those of one of several theorems: "for the slope: ...; ..."."""
    parts = ((line, re.fullmatch(r"for [^:]*: (.*)", line)) for line in assumptions)
    return {told for line, several in parts for told in (several[1].split("; ") if several else [line])}


@cache
def proved(name):
    return CASES[name].prove()


@pytest.mark.parametrize("name", CASES)
def test_it_follows_from_what_is_printed(name):
    proof = proved(name)
    assert set(proof.axioms) <= set(AXIOMS)
    stated = proof.theorems[: CASES[name].stated]
    assert {h.text() for theorem in stated for h in theorem.hypotheses} == said(CASES[name].assumptions)


@pytest.mark.parametrize(
    "name", [name if name == "C2" else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_it_runs_again(name):
    assert proved(name).verify()


@pytest.mark.parametrize("name", CASES)
def test_its_hypotheses_hold_of_a_problem_and_then_it_does(name):
    for theorem in proved(name).theorems:
        found, false = satisfied_by(theorem)
        assert found, theorem
        assert not false, theorem


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
    """Whether two formulas differ at a point of their domain, or for distributions of two classes."""
    first, second = (side.subs({C: 2, k: 1, l: 2}).doit() for side in (first, second))
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


def refused(case, argument, *, every):
    """Each ``every``-th of the false statements that differ from a formula in one place, or else one, is no theorem."""
    formula = case.formulas[argument]

    def false(changed):
        return not changed.has(I) and differ(formula, changed)

    made = list(dict.fromkeys(changes(formula)))
    for changed in list(filter(false, made[::every])) or [next(filter(false, made))]:
        with pytest.raises(ProofError):
            case.prove(**{argument: changed})


@pytest.mark.parametrize(
    "wrong",
    [
        single_runs.LEVEL.subs(single_runs.failure, 1),
        single_runs.LEVEL.subs(descent.gap, 0),
        single_runs.LEVEL.subs(single_runs.zeta, 0),
        single_runs.LEVEL.subs(single_runs.rank, 0),
        single_runs.LEVEL.subs(single_runs.trade, 2 * single_runs.trade),
        Rational(49, 50) * single_runs.LEVEL,
    ],
)
def test_a_bound_of_single_runs_without_one_of_its_terms_is_refused(wrong):
    with pytest.raises(ProofError):
        single_runs.single_runs(wrong)


ARGUMENTS = [(name, argument) for name, case in CASES.items() for argument in case.formulas]


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_a_changed_statement_is_refused(name, argument):
    refused(CASES[name], argument, every=20)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_each_changed_statement_is_refused(name, argument):
    refused(CASES[name], argument, every=1)


def test_sums_and_products_are_changed_inside():
    a, b = descent.h, descent.eta
    found = set(changes(a + Mul(2, Pow(b, 2))))
    assert {a, 2 * b**2, -a + 2 * b**2, a - 2 * b**2, a + 2 * b**4} <= found
