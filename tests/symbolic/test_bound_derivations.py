"""The derivations of bounds: each verifies, and each disproves variants that are false."""

import pytest
from sympy import Rational, sqrt

from rdml_theory.symbolic.mutual import bias as mutual
from rdml_theory.symbolic.mutual import game, moving_target
from rdml_theory.symbolic.notation import alpha
from rdml_theory.symbolic.sgd import descent

pytest.importorskip("z3")

DERIVATIONS = {
    "tunability": mutual.tunability,
    "potential": game.potential,
    "dual_pair": game.dual_pair,
    "moving_target": moving_target.moving_target,
}


@pytest.mark.parametrize("name", DERIVATIONS)
def test_every_step_is_verified(name):
    derivation = DERIVATIONS[name]()
    assert [(s.reason, s.decide()) for s in derivation.all_steps() if s.decide() is not True] == []
    assert derivation.latex()


h, T = descent.h, descent.horizon
FALSE = {
    "half the slope": lambda: mutual.tunability(
        sqrt(2) * mutual.beta * mutual.jacobian * mutual.order * mutual.spread / 8
    ),
    "potential at 1/3": lambda: game.potential(Rational(1, 3)),
    "potential at 1": lambda: game.potential(Rational(1)),
    "dual pair, weights exchanged": lambda: game.dual_pair((alpha, 1 - alpha)),
    "drift dropped": lambda: moving_target.moving_target(moving_target.MOVING.subs(moving_target.drift, 0)),
    "half the drift": lambda: moving_target.moving_target(rate=moving_target.DRIFT / 2),
}


@pytest.mark.parametrize("name", FALSE)
def test_false_variants_are_disproved(name):
    assert FALSE[name]().decide() is False
