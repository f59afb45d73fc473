"""One table of cases, four routes: SymPy, NumPy, torch autograd and mpmath must agree."""

import mpmath as mp
import numpy as np
import pytest
from sympy import Integer, lambdify

from rdml_theory import renyi_divergence, renyi_gradient, renyi_hessian
from rdml_theory.symbolic.divergence import gradients as symbolic_divergence
from rdml_theory.symbolic.notation import C, alpha, i, p, q, u, z
from rdml_theory.symbolic.notation import softmax_of as softmax
from verify.checks import reference

torch = pytest.importorskip("torch")

ORDERS = (0.25, 0.5, 0.9, 1.5, 2.0, 5.0)
CASES = [
    (np.array([0.3, -1.2, 2.0]), np.array([1.0, 0.0, -0.5]), order) for order in ORDERS
] + [
    (np.array([4.0, -3.0, 0.0, 1.0]), np.array([-2.0, 2.0, 0.5, 1.0]), order) for order in ORDERS
]  # fmt: skip
# Well-conditioned cases: a few hundred roundings of double precision.
TOLERANCE = 512 * np.finfo(float).eps


def from_sympy(teacher, student, order):
    """Value and gradient from the symbolic expression, evaluated with NumPy."""
    size = len(teacher)
    expression = symbolic_divergence.divergence.doit().subs({C: Integer(size), alpha: order}).doit()
    expression = expression.subs({q[a]: softmax(z, a, i) for a in range(1, size + 1)})
    expression = expression.subs({p[a]: softmax(u, a, i) for a in range(1, size + 1)}).subs(C, Integer(size)).doit()
    names = [u[a] for a in range(1, size + 1)] + [z[a] for a in range(1, size + 1)]
    outputs = [expression, *(expression.diff(z[a]) for a in range(1, size + 1))]
    value, *gradient = lambdify(names, outputs, "numpy")(*teacher, *student)
    return float(value), np.array(gradient, dtype=float)


def from_torch(teacher, student, order):
    a = torch.tensor(teacher, dtype=torch.float64)
    b = torch.tensor(student, dtype=torch.float64, requires_grad=True)

    def value(logits):
        lp, lq = torch.log_softmax(a, -1), torch.log_softmax(logits, -1)
        return torch.logsumexp(order * lp + (1 - order) * lq, -1) / (order - 1)

    (gradient,) = torch.autograd.grad(value(b), b)
    hessian = torch.autograd.functional.hessian(value, b.detach())
    return value(b).item(), gradient.numpy(), hessian.numpy()


@pytest.mark.parametrize(("teacher", "student", "order"), CASES)
def test_routes_agree(teacher, student, order):
    pair = reference.Pair(teacher, student, order)
    with mp.workdps(reference.DIGITS):
        exact = float(reference.divergence(reference.softmax(list(teacher)), reference.softmax(list(student)), order))
    exact_gradient = np.array([float(x) for x in reference.gradient(pair)])
    size = range(len(teacher))
    exact_hessian = np.array([[float(reference.hessian_entry(pair, a, b)) for b in size] for a in size])

    value, gradient = from_sympy(teacher, student, order)
    torch_value, torch_gradient, torch_hessian = from_torch(teacher, student, order)
    for other in (value, torch_value, renyi_divergence(teacher, student, order, domain="logits")):
        assert other == pytest.approx(exact, rel=TOLERANCE)
    for other in (gradient, torch_gradient, renyi_gradient(teacher, student, order, wrt="q", domain="logits")):
        np.testing.assert_allclose(other, exact_gradient, rtol=0, atol=TOLERANCE * np.abs(exact_gradient).max())
    for other in (torch_hessian, renyi_hessian(teacher, student, order, wrt="q", domain="logits")):
        np.testing.assert_allclose(other, exact_hessian, rtol=0, atol=TOLERANCE * max(1, order))
