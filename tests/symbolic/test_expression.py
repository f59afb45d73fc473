"""The Rényi divergence as an expression: limits that are taken, derivatives, functions of arrays."""

import math

import mpmath as mp
import numpy as np
import pytest
from sympy import Derivative, IndexedBase, Limit, Rational, Sum, lambdify, limit, log, mathml, oo, symbols

from rdml_theory import renyi_divergence, renyi_gradient, renyi_hessian
from rdml_theory.symbolic import RenyiDivergence, as_function, to_latex, to_text
from rdml_theory.symbolic.expression import divergence
from rdml_theory.symbolic.maximum import Maximum
from rdml_theory.symbolic.notation import C, alpha, i, k, p, q, u, z

D = divergence
P = np.array([[0.5, 0.3, 0.2], [0.05, 0.05, 0.9]])
Q = np.array([[0.2, 0.2, 0.6], [0.3, 0.6, 0.1]])
KL = Sum(p[i] * log(p[i] / q[i]), (i, 1, C))


@pytest.mark.parametrize("order", [0.3, 0.999, 1.7, 5.0])
def test_values_and_derivatives_as_functions_of_arrays(order):
    known = {"p": P, "q": Q, "alpha": order}
    logits = {"u": np.log(P), "z": np.log(Q), "alpha": order}
    close = {"rtol": 1e-11, "atol": 0}
    np.testing.assert_allclose(as_function(D, 3)(**known), renyi_divergence(P, Q, order), **close)
    exact = renyi_gradient(P, Q, order, wrt="alpha")
    np.testing.assert_allclose(as_function(D.diff(alpha), 3)(**known), exact, rtol=1e-8)
    for wrt, family in (("q", z), ("p", u)):
        exact = renyi_gradient(np.log(P), np.log(Q), order, wrt=wrt, domain="logits")
        for n in (1, 3):
            np.testing.assert_allclose(as_function(D.diff(family[n]), 3)(**logits), exact[:, n - 1], rtol=1e-9)
    exact = renyi_hessian(np.log(P), np.log(Q), order, wrt="q", domain="logits")[:, 0, 1]
    np.testing.assert_allclose(as_function(D.diff(z[1]).diff(z[2]), 3)(**logits), exact, rtol=1e-8)


def test_limits_are_values_of_the_core():
    for point in (0, 1, oo):
        value = as_function(limit(D, alpha, point), 3)
        names = {"p": P, "q": Q}
        used = {n: names[n] for n in ("p", "q") if point != 0 or n == "q"}
        exact = renyi_divergence(P, Q, math.inf if point is oo else point)
        np.testing.assert_allclose(value(**used), exact, rtol=1e-13, atol=1e-15)


def test_limits_do_not_depend_on_the_side():
    assert limit(D, alpha, 1, "-") == limit(D, alpha, 1, "+") == limit(D, alpha, 1, "+-")
    np.testing.assert_allclose(as_function(limit(D, alpha, 1) - KL, 3)(p=P, q=Q), 0, atol=1e-15)
    assert limit(D.subs(alpha, 2 * alpha), alpha, Rational(1, 2)) == limit(D, alpha, 1)
    assert limit(D, alpha, 2) == D.subs(alpha, 2).doit()


def test_limits_and_derivatives_that_wait_are_taken():
    waiting = as_function(Limit(D, alpha, 1), 3)(p=P, q=Q)
    np.testing.assert_allclose(waiting, renyi_divergence(P, Q, 1), rtol=1e-13)
    known = {"u": np.log(P), "z": np.log(Q), "alpha": 2.0}
    exact = renyi_gradient(np.log(P), np.log(Q), 2.0, wrt="q", domain="logits")
    np.testing.assert_allclose(as_function(Derivative(D, z[1]), 3)(**known), exact[:, 0], rtol=1e-9)


def test_zeros_of_the_first_argument_leave_the_sum_at_order_zero():
    partial = IndexedBase("p", nonnegative=True)
    value = limit(RenyiDivergence(partial[i], q[i], alpha, (i, 1, C)), alpha, 0)
    at = {partial[1]: 0, partial[2]: Rational(1, 2), partial[3]: Rational(1, 2)}
    explicit = value.subs(C, 3).doit().subs(at)
    assert explicit == -log(q[2] + q[3])


def test_what_does_not_sum_to_one_has_no_limit_at_one():
    a = IndexedBase("a", positive=True)
    with pytest.raises(ValueError, match="does not sum to one"):
        RenyiDivergence(a[i], q[i], 1, (i, 1, C)).doit()


@pytest.mark.parametrize("point", [0, 1, oo])
def test_the_definition_approaches_its_limits(point):
    """The written-out definition knows nothing of the limits."""
    entries = (p[1], p[2], q[1], q[2])
    explicit = lambdify((alpha, *entries), D.subs(C, 2).doit(), "mpmath")
    value = lambdify(entries, limit(D, alpha, point).subs(C, 2).doit(), "mpmath")
    with mp.workdps(80):
        numbers = [mp.mpf(n) / d for n, d in ((1, 3), (2, 3), (1, 4), (3, 4))]
        near = mp.mpf(10) ** 30 if point is oo else point + mp.mpf(10) ** -30
        assert 0 < abs(explicit(near, *numbers) - value(*numbers)) < 1e-29


def test_logits_are_what_the_names_stand_for():
    assert D.diff(z[k]) != 0
    known = {"u": np.log(P), "z": np.log(Q), "alpha": 2.0}
    first, second = (as_function(slope, 3)(**known) for slope in (D.diff(z[1], z[2]), D.diff(z[2], z[1])))
    np.testing.assert_allclose(first, second, rtol=1e-12)
    t = symbols("t")
    assert D.diff(t) == 0


def test_printed():
    assert to_text(D) == "D_α(p‖q)"
    assert to_latex(D.subs(alpha, 2) ** 2) == r"D_{2}(p \Vert q)^{2}"
    assert to_latex(sum(symbols("f_inf x_in"))) == r"f_{\inf} + x_{in}"
    assert "<mi>&#945;</mi>" in mathml(D, printer="presentation")
    assert to_latex(Maximum(p[i] / q[i], (i, 1, C))) == r"\max_{i} \frac{p_{i}}{q_{i}}"


def test_functions_say_what_they_need():
    value = as_function(D, 3)
    with pytest.raises(TypeError, match=r"expected \['alpha', 'p', 'q'\]"):
        value(p=P, q=Q)
    with pytest.raises(TypeError, match="expected 3 classes"):
        value(p=P[:, :2], q=Q, alpha=2)
    with pytest.raises(ValueError, match="index without a number"):
        as_function(q[k], 3)


def test_exact_functions():
    value = as_function(D, 2, modules="mpmath")
    with mp.workdps(50):
        half = [mp.mpf(1) / 2] * 2
        third = [mp.mpf(1) / 3, mp.mpf(2) / 3]
        exact = mp.log(mp.mpf(3) / 4 + mp.mpf(3) / 8)
        assert abs(value(p=half, q=third, alpha=mp.mpf(2)) - exact) < 1e-48
