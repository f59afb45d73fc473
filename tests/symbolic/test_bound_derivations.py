"""The derivations of bounds: each verifies, and each disproves variants that are false."""

import pytest
from sympy import Abs, Rational, sqrt

from rdml_theory.symbolic.mutual import bias as mutual
from rdml_theory.symbolic.mutual import game, moving_target
from rdml_theory.symbolic.notation import alpha
from rdml_theory.symbolic.sgd import best_iterate, descent, growth, refinements, scope
from rdml_theory.symbolic.sgd.best_iterate import BEST, DECREASE

pytest.importorskip("z3")

DERIVATIONS = {
    "floor": refinements.floor,
    "refined_bound": refinements.refined_bound,
    "relative_bound": refinements.relative_bound,
    "tight_bound": refinements.tight_bound,
    "best_iterate": best_iterate.best_iterate,
    "mutual_bias": mutual.mutual_bias,
    "tunability": mutual.tunability,
    "potential": game.potential,
    "dual_pair": game.dual_pair,
    "moving_target": moving_target.moving_target,
    "pl_bound": growth.pl_bound,
    "bounded_scope": scope.bounded_scope,
}


@pytest.mark.parametrize("name", DERIVATIONS)
def test_every_step_is_verified(name):
    derivation = DERIVATIONS[name]()
    assert [(s.reason, s.decide()) for s in derivation.all_steps() if s.decide() is not True] == []
    assert derivation.latex()


h, T = descent.h, descent.horizon
FALSE = {
    "floor of the classical bound": lambda: refinements.floor(sqrt(descent.bias**2 + h * descent.noise**2)),
    "floor, 1% higher": lambda: refinements.floor(refinements.FLOOR * Rational(101, 100)),
    "factor 1 - 2/(T+1)": lambda: refinements.refined_bound(
        refinements.REFINED.subs(descent.noise, descent.noise * sqrt((1 - 2 / (T + 1)) / (1 - 1 / T)))
    ),
    "relative bias up to 2": lambda: refinements.relative_bound(limit=2 + 0 * h),
    "relative bias without cross term": lambda: refinements.relative_bound(refinements.RELATIVE.subs(Abs(1 - h), 0)),
    "rate of the tight bound": lambda: refinements.tight_bound((1 - (1 - refinements.kappa) ** T) / refinements.kappa),
    "tight bound, half the noise": lambda: refinements.tight_bound(
        drive=refinements.DRIVE.subs(descent.noise, descent.noise / 2)
    ),
    "best iterate, h/8": lambda: best_iterate.best_iterate(DECREASE + h / 8 * BEST),
    "best iterate without bias": lambda: best_iterate.best_iterate(DECREASE.subs(descent.bias, 0)),
    "half the bias": lambda: mutual.mutual_bias(a_priori=mutual.A_PRIORI / 2),
    "no order in the observable form": lambda: mutual.mutual_bias(observable=mutual.MEAN_DIVERGENCE),
    "G not squared": lambda: mutual.mutual_bias(scale=mutual.beta**2 * mutual.jacobian),
    "half the slope": lambda: mutual.tunability(
        sqrt(2) * mutual.beta * mutual.jacobian * mutual.order * mutual.spread / 8
    ),
    "potential at 1/3": lambda: game.potential(Rational(1, 3)),
    "potential at 1": lambda: game.potential(Rational(1)),
    "dual pair, weights exchanged": lambda: game.dual_pair((alpha, 1 - alpha)),
    "drift dropped": lambda: moving_target.moving_target(moving_target.MOVING.subs(moving_target.drift, 0)),
    "half the drift": lambda: moving_target.moving_target(rate=moving_target.DRIFT / 2),
    "PL, squared rate": lambda: growth.pl_bound(
        (1 - descent.eta * growth.growth) ** (2 * T) * descent.gap
        + (h * descent.noise**2 + descent.bias**2) / (2 * growth.growth)
    ),
    "PL without bias": lambda: growth.pl_bound(growth.PL.subs(descent.bias, 0)),
    "variance without 2 - ηλ": lambda: scope.bounded_scope(variance=scope.VARIANCE.subs(scope.curvature, 1)),
    "offset with η": lambda: scope.bounded_scope(offset=scope.OFFSET * descent.eta),
    "scope without M": lambda: scope.bounded_scope(radius=scope.RADIUS.subs(scope.perturbation, 0)),
}


@pytest.mark.parametrize("name", FALSE)
def test_false_variants_are_disproved(name):
    assert FALSE[name]().decide() is False
