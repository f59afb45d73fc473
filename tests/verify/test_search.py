"""Searches find what is there: constants that are attained, and violations of constants that are too small."""

import mpmath as mp
import numpy as np
import pytest
from sympy import Rational, Symbol

from rdml_theory.symbolic.divergence import names
from rdml_theory.symbolic.divergence.pinsker import PINSKER
from rdml_theory.symbolic.divergence.self_bound import SELF_BOUND
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.notation import alpha
from verify.checks import function_of, reference
from verify.checks.quantities import QUANTITIES, Points, evaluator
from verify.checks.search import ATTAINED, Side, search_check
from verify.context import Context

CONTEXT = Context("D0", "search", "quick", 3, 1e-3)


def outcomes(*sides):
    return search_check(lambda subject: sides, classes=(2, 3)).run(None, CONTEXT).comparisons


@pytest.fixture(scope="module")
def points():
    return Points.random(np.random.default_rng(5), 12, 4)


@pytest.mark.parametrize("name", list(QUANTITIES), ids=str)
def test_each_quantity_is_computed_as_it_is_defined(points, name):
    computed = QUANTITIES[name].computed(points)
    with mp.workdps(reference.DIGITS):
        exact = [float(QUANTITIES[name].exact(points.at(place))) for place in range(12)]
    np.testing.assert_allclose(computed, exact, rtol=1e-9, atol=1e-12)


def test_a_vanishing_gap_and_order_one():
    """At p = q, and where the peer's gradient has its limit."""
    same = Points(np.zeros((1, 3)), np.zeros((1, 3)), np.array([1.0]), np.zeros((1, 3)))
    other = Points(np.array([[1.0, 0.0, -2.0]]), np.zeros((1, 3)), np.array([1.0]), np.zeros((1, 3)))
    with mp.workdps(reference.DIGITS):
        assert QUANTITIES[divergence].exact(same.at(0)) == 0
        exact = float(QUANTITIES[names.TEACHER_NORM].exact(other.at(0)))
    assert QUANTITIES[names.TEACHER_NORM].computed(other)[0] == pytest.approx(exact, rel=1e-12)


def test_an_attained_constant_is_reached_and_a_smaller_one_exceeded():
    true, reached = outcomes(Side("D8", names.GRADIENT_NORM**2, SELF_BOUND, attained=True))
    assert true.outcome == reached.outcome == "confirmed"
    assert ATTAINED <= true.observed <= 1
    assert true.where is not None
    assert true.where.startswith("C = ")
    (false,) = outcomes(Side("D8", names.GRADIENT_NORM**2, Rational(99, 100) * SELF_BOUND))
    assert false.outcome == "refuted"
    assert false.observed == pytest.approx(100 / 99, rel=1e-3)


def test_a_constant_that_is_too_large_is_not_attained():
    bounded, reached = outcomes(Side("D8", names.GRADIENT_NORM**2, 2 * SELF_BOUND, attained=True))
    assert (bounded.outcome, reached.outcome) == ("confirmed", "refuted")


def test_orders_are_kept():
    low = Side("Pinsker", PINSKER, divergence, alphas=(0, 1))
    high = Side("Pinsker", PINSKER, divergence, alphas=(2, 4))
    assert [c.outcome for c in outcomes(low, high)] == ["confirmed", "refuted"]


def test_a_bound_that_vanishes_or_is_negative_is_refuted():
    zero = 0 * alpha
    assert outcomes(Side("zero", names.GRADIENT_NORM, zero))[0].outcome == "refuted"
    assert outcomes(Side("negative", names.GRADIENT_NORM, -divergence))[0].outcome == "refuted"


def test_a_path_must_attain_everywhere():
    bound = names.GRADIENT_NORM**2 / alpha
    consensus = Points(np.array([[1e-3, 0.0]] * 2), np.zeros((2, 2)), np.array([1.0, 3.0]), np.zeros((2, 2)))
    far = Points(np.array([[9.0, 0.0]] * 2), np.zeros((2, 2)), np.array([1.0, 3.0]), np.zeros((2, 2)))
    on, off = (outcomes(Side("path", bound, divergence, alphas=(1, 4), path=p)) for p in (consensus, far))
    assert [c.outcome for c in on] == ["confirmed"] * 3
    assert [c.outcome for c in off] == ["confirmed", "confirmed", "refuted"]


def test_the_same_seed_finds_the_same():
    side = Side("D8", names.GRADIENT_NORM**2, SELF_BOUND)
    again = Context("D0", "search", "quick", 4, 1e-3)
    first, second = outcomes(side), outcomes(side)
    other = search_check(lambda subject: (side,), classes=(2, 3)).run(None, again).comparisons
    assert first == second
    assert first[0].where != other[0].where


def test_what_no_point_has_is_refused():
    with pytest.raises(ValueError, match="for which there is no number"):
        evaluator(Symbol("x", real=True) * alpha, "numpy")
    assert function_of(PINSKER, alpha, names.DISTANCE)(1.0, 2.0) == 2.0
