"""Values at random points, names replaced without capture: what a decision rests on beside the normal form."""

import mpmath as mp
import pytest
from sympy import Derivative, I, KroneckerDelta, Max, Piecewise, Rational, Sum, Symbol, exp, log, oo, sqrt, tanh

from rdml_theory.symbolic.engine.decide import counterexample, decide, is_identity
from rdml_theory.symbolic.engine.evaluation import Point, points
from rdml_theory.symbolic.engine.substitution import replace_names, substitute
from rdml_theory.symbolic.notation import C, alpha, i, j, k, l, p, q, z
from rdml_theory.symbolic.relations import at_most, equal, greater

x = Symbol("x", real=True)


def entries(point, family):
    return [point.value(family[n]) for n in range(1, point.classes + 1)]


@pytest.mark.parametrize("point", list(points()), ids=lambda p: f"{p.classes}-{p.seed}-{p.reach}")
def test_values_agree_with_plain_sums(point):
    P, Q, a = entries(point, p), entries(point, q), point.value(alpha)
    total = mp.fsum(s**a * t ** (1 - a) for s, t in zip(P, Q, strict=True))
    formula = log(Sum(p[i] ** alpha * q[i] ** (1 - alpha), (i, 1, C))) / (alpha - 1)
    assert point.value(formula) == pytest.approx(mp.log(total) / (a - 1), rel=1e-15)
    nested = Sum(p[i] * Sum(q[j], (j, 1, i)), (i, 1, C))
    assert point.value(nested) == pytest.approx(sum(P[n] * sum(Q[: n + 1]) for n in range(len(P))))
    assert point.value(Sum(p[j], (j, 1, i), (i, 1, C))) == pytest.approx(sum(sum(P[: n + 1]) for n in range(len(P))))
    assert point.value(Sum(KroneckerDelta(i, k) * q[i], (i, 1, C))) == point.value(q[k])


def test_functions_and_numbers():
    point = Point(2, 0)
    y = point.value(x)
    assert point.value(tanh(x) + sqrt(2)) == pytest.approx(mp.tanh(y) + mp.sqrt(2))
    assert point.value(Piecewise((x, x > 2), (Max(x, -1) * Rational(1, 3), True))) == pytest.approx(y / 3)
    assert point.value(1 / (x - x)) is None
    assert point.value(I * x) is None
    assert point.value(I**2 * x) == pytest.approx(-y)
    assert point.value(oo * exp(x)) is None
    with pytest.raises(TypeError, match="take it first"):
        point.value(Derivative(exp(x), x))


def test_both_sides_see_the_same_point_and_other_seeds_others():
    assert Point(3, 0).value(q[k]) == Point(3, 0).value(q[k])
    assert len({Point(3, seed).value(x) for seed in range(20)}) > 10
    assert Point(3, 0).finer().value(q[k]) == pytest.approx(Point(3, 0).value(q[k]), rel=1e-40)


def test_orders_beyond_one_are_visited():
    assert any(point.value(alpha) > 1 for point in points())
    assert any(point.value(alpha) < 1 for point in points())


def test_a_counterexample_is_a_point_where_the_relation_fails():
    point = counterexample(at_most(q[k], q[k] ** 2))
    assert point is not None
    assert point.value(q[k]) > point.value(q[k] ** 2)
    assert int(point.assignment()["k"]) == point.value(k)
    assert counterexample(equal(q[k] * 2, q[k] + q[k])) is None


def test_cancellation_is_no_counterexample():
    large = Symbol("y", real=True) * Rational(10) ** 45
    assert counterexample(equal((large + x) - large, x)) is None


def test_what_has_no_value_anywhere_is_undecided():
    nowhere = sqrt(-1 - x**2)
    assert decide(equal(nowhere, nowhere + 0 * x)) is None


def test_strict_inequalities():
    assert decide(greater(exp(x), 0)) is True
    assert decide(greater(x, 0)) is False
    assert decide(greater(x**2, 0)) is None


def test_a_bound_index_captures_nothing():
    total = Sum(exp(z[j] - z[k]), (j, 1, C))
    renamed = substitute(total, {k: j})
    assert renamed.free_symbols >= {j}
    assert is_identity(renamed, Sum(exp(z[i]), (i, 1, C)) / exp(z[j])) is True
    assert substitute(total, {j: l}) == total
    picked = Sum(KroneckerDelta(i, j) * total.subs(k, i), (i, 1, C))
    assert is_identity(picked, C) is False
    assert is_identity(picked, Sum(exp(z[l]), (l, 1, C)) / exp(z[j])) is True


def test_a_derivative_at_a_point_is_taken_before_the_point_is_put_in():
    slope = replace_names(Derivative(p[i] ** alpha, alpha), [equal(alpha, Rational(1))])
    assert decide(equal(slope, p[i] * log(p[i]))) is True


def test_names_only():
    with pytest.raises(ValueError, match="is no name"):
        replace_names(x**2, [equal(x**2, x)])
