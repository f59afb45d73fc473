"""The NumPy functions agree with the derived formulas, lambdified, at random points."""

from functools import cache

import numpy as np
import pytest
from sympy import Integer, lambdify

from rdml_theory import escort, renyi_divergence, renyi_gradient, renyi_hessian, symbolic
from rdml_theory.symbolic.divergence import gradients as symbolic_divergence
from rdml_theory.symbolic.notation import C, alpha, in_probabilities, k, l, p, q, w

FORMULAS = {
    "divergence": lambda: symbolic_divergence.divergence.doit(),
    "student": lambda: symbolic.student_gradient().statement.args[1],
    "teacher": lambda: symbolic.teacher_gradient().statement.args[1],
    "order": lambda: symbolic.alpha_derivative().statement.args[1],
    "hessian": lambda: symbolic.student_hessian().statement.args[1],
    "escort": lambda: w[k],
}
# The lambdified formulas subtract: away from consensus and from order one they lose a few digits themselves.
TOLERANCE = 2**13 * np.finfo(float).eps


@cache
def lambdified(name, classes, *at):
    # The escort's own sum first: its definition brings an index of its own.
    expression = in_probabilities(FORMULAS[name]().subs(C, Integer(classes)).doit())
    expression = expression.subs(dict(zip((k, l), map(Integer, at), strict=False))).subs(C, Integer(classes)).doit()
    names = [p[i] for i in range(1, classes + 1)] + [q[i] for i in range(1, classes + 1)]
    return lambdify([alpha, *names], expression, "numpy")


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_agreement_at_random_points(classes):
    rng = np.random.default_rng(21)
    for _ in range(40):
        order = float(rng.choice([0.2, 0.5, 0.7, 1.4, 2.0, 3.5]))
        first, second = rng.dirichlet(np.full(classes, 2.0), 2)

        def value(name, *at, order=order, first=first, second=second):
            return float(lambdified(name, classes, *at)(order, *first, *second))

        def vector(name):
            return np.array([value(name, a) for a in range(1, classes + 1)])

        def close(numeric, formula):
            scale = max(1.0, float(np.abs(formula).max()))
            np.testing.assert_allclose(numeric, formula, rtol=0, atol=TOLERANCE * scale)

        size = range(1, classes + 1)
        logs = np.log(first), np.log(second)
        close(renyi_divergence(first, second, order), value("divergence"))
        close(escort(first, second, order), vector("escort"))
        close(renyi_gradient(*logs, order, wrt="q", domain="logits"), vector("student"))
        close(renyi_gradient(*logs, order, wrt="p", domain="logits"), vector("teacher"))
        close(renyi_gradient(first, second, order, wrt="alpha"), value("order"))
        hessian = np.array([[value("hessian", a, b) for b in size] for a in size])
        close(renyi_hessian(*logs, order, wrt="q"), hessian)
