"""Six routes to one number: NumPy, the torch losses, autograd, two of SymPy, complex steps, all against mpmath."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import mpmath as mp
import numpy as np
import pytest
import sympy
from numeric_cases import CASES, Case, exact

import rdml_theory as rt
from rdml_theory.symbolic import notation
from rdml_theory.symbolic.divergence import derivatives, gradients
from rdml_theory.symbolic.expression import divergence

EPS = np.finfo(float).eps
Table = dict[str, object]


def numpy_core(teacher, student, alpha) -> Table:
    logits, entries = dict(domain="logits"), Case(teacher, student, alpha).entries
    return {
        "value": rt.renyi_divergence(teacher, student, alpha, **logits),
        "escort": rt.escort(teacher, student, alpha, **logits),
        **{wrt: rt.renyi_gradient(teacher, student, alpha, wrt=wrt, **logits) for wrt in ("q", "p", "alpha")},
        **{name: rt.renyi_hessian(teacher, student, alpha, wrt=wrt) for wrt, name in BLOCKS},
        **{f"{wrt} of entries": rt.renyi_gradient(*entries, alpha, wrt=wrt) for wrt in ("p", "q")},
        **{f"{name} of entries": rt.renyi_hessian(*entries, alpha, wrt=wrt, domain="probs") for wrt, name in BLOCKS},
    }


BLOCKS = (("q", "qq"), ("p", "pp"), ("mixed", "mixed"))


def by_autograd(divergence: Callable) -> Callable[..., Table]:
    """Value and derivatives of a torch function of teacher, student and order."""

    def route(teacher, student, alpha) -> Table:
        import torch

        u, z, a = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (teacher, student, alpha))
        value = divergence(u, z, a)
        d_u, d_z, d_a = torch.autograd.grad(value, (u, z, a), create_graph=True)

        def rows(gradient, x):
            return torch.stack([torch.autograd.grad(g, x, retain_graph=True)[0] for g in gradient]).numpy()

        return {
            "value": value.item(), "q": d_z.detach().numpy(), "p": d_u.detach().numpy(), "alpha": d_a.item(),
            "qq": rows(d_z, z), "pp": rows(d_u, u), "mixed": rows(d_u, z),
        }  # fmt: skip

    return route


def torch_losses(u, z, a):
    from rdml_theory.losses import renyi_divergence

    return renyi_divergence(u, z, a)


def torch_definition(u, z, a):
    import torch

    log_p, log_q = torch.log_softmax(u, -1), torch.log_softmax(z, -1)
    return torch.logsumexp(a * log_p + (1 - a) * log_q, -1) / (a - 1)


@cache
def derived(classes: int):
    """The statements that the symbolic package derives, as functions of the probabilities."""
    symbols = notation.p, notation.q
    names = [x[i] for x in symbols for i in range(1, classes + 1)]
    size = sympy.Integer(classes)

    def function(formula, *at):
        # The escort's own sum first: its definition brings an index of its own.
        formula = notation.in_probabilities(formula.subs(notation.C, size).doit())
        formula = formula.subs(dict(zip((notation.k, notation.l), map(sympy.Integer, at), strict=False)))
        return sympy.lambdify([notation.alpha, *names], formula.subs(notation.C, size).doit(), "numpy")

    at, two = range(1, classes + 1), gradients.STUDENT_HESSIAN
    return {
        "value": [function(divergence.doit())],
        "escort": [function(notation.w[notation.k], i) for i in at],
        "q": [function(gradients.STUDENT_GRADIENT, i) for i in at],
        "p": [function(derivatives.DERIVATIVES.logits, i) for i in at],
        "alpha": [function(derivatives.DERIVATIVES.order)],
        "qq": [function(two, i, j) for i in at for j in at],
    }


def sympy_statements(teacher, student, alpha) -> Table:
    p, q = (np.exp(x - np.max(x)) for x in map(np.array, (teacher, student)))
    arguments = (alpha, *(p / p.sum()), *(q / q.sum()))
    return {name: [f(*arguments) for f in functions] for name, functions in derived(len(teacher)).items()}


@cache
def differentiated(classes: int):
    """The divergence differentiated by SymPy from its definition, as functions of the logits in mpmath."""
    a = sympy.Symbol("a", positive=True)
    u, z = sympy.symbols(f"u:{classes}", real=True), sympy.symbols(f"z:{classes}", real=True)
    p, q = ([sympy.exp(x) / sum(map(sympy.exp, y)) for x in y] for y in (u, z))
    value = sympy.log(sum(x**a * y ** (1 - a) for x, y in zip(p, q, strict=True))) / (a - 1)
    table = {
        "value": [value],
        "q": [sympy.diff(value, x) for x in z],
        "p": [sympy.diff(value, x) for x in u],
        "alpha": [sympy.diff(value, a)],
        "qq": [sympy.diff(value, x, y) for x in z for y in z],
        "pp": [sympy.diff(value, x, y) for x in u for y in u],
        "mixed": [sympy.diff(value, x, y) for x in u for y in z],
    }
    return {name: sympy.lambdify((*u, *z, a), terms, "mpmath", cse=True) for name, terms in table.items()}


def sympy_definition(teacher, student, alpha) -> Table:
    with mp.workdps(50):
        return {
            name: [float(x) for x in f(*map(mp.mpf, (*teacher, *student, alpha)))]
            for name, f in differentiated(len(teacher)).items()
        }


def complex_steps(teacher, student, alpha) -> Table:
    """A complex step differentiates the definition without a difference."""

    def logs(x):
        return x - np.log(np.sum(np.exp(x)))

    def value(u, z, a):
        return np.log(np.sum(np.exp(a * logs(u) + (1 - a) * logs(z)))) / (a - 1)

    def gradient(u, z, a):
        tilted = np.exp(a * u + (1 - a) * z)
        return np.exp(logs(z)) - tilted / tilted.sum()

    u, z, step = np.array(teacher), np.array(student), 1e-100
    shifts = 1j * step * np.eye(len(u))
    return {
        "q": [value(u, z + s, alpha).imag / step for s in shifts],
        "p": [value(u + s, z, alpha).imag / step for s in shifts],
        "alpha": value(u, z, alpha + 1j * step).imag / step,
        "qq": np.array([gradient(u, z + s, alpha).imag / step for s in shifts]).T,
        "mixed": np.array([gradient(u + s, z, alpha).imag / step for s in shifts]),
    }


# Ours keep their digits everywhere: units of the last place of the largest entry. What is evaluated in double precision
# from a definition subtracts numbers of order one, and is good to units of one.
OURS, DEFINITION = 64, 2**11
ROUTES = {
    "numpy": (numpy_core, OURS, CASES),
    "losses": (by_autograd(torch_losses), 4 * OURS, CASES),
    "autograd": (by_autograd(torch_definition), DEFINITION, [case for case in CASES if case.well_conditioned]),
    "sympy-statements": (sympy_statements, DEFINITION, [case for case in CASES if case.well_conditioned]),
    "sympy-definition": (sympy_definition, OURS, [c for c in CASES if c.alpha != 1 and len(c.teacher) == 3]),
    "complex-steps": (complex_steps, DEFINITION, [case for case in CASES if case.well_conditioned]),
}


@pytest.mark.filterwarnings("ignore::rdml_theory.UnnormalisedWarning")
@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name, (*_, cases) in ROUTES.items() for case in cases], ids=str
)
def test_every_route_agrees_with_the_definition(name, case):
    route, units, _ = ROUTES[name]
    if name in ("losses", "autograd"):
        pytest.importorskip("torch")
    target = exact(case)
    for quantity, found in route(*case).items():
        flat = np.ravel(np.asarray(found, dtype=float))
        assert flat.shape == target[quantity].shape, quantity
        error = np.abs(flat - target[quantity]).max()
        size = np.abs(target[quantity]).max()
        assert error <= units * EPS * (max(1.0, size) if units == DEFINITION else size), (quantity, error)
