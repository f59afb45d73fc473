"""Independent routes to the same numbers: SymPy, complex steps, differentiation in mpmath, and torch's autograd."""

from __future__ import annotations

import mpmath as mp
import naive_renyi as naive
import numpy as np
import pytest

from rdml_theory import escort, renyi_divergence, renyi_gradient, renyi_hessian

EPS = 2.0**-52
ORDERS = (0.25, 0.5, 0.75, 1.5, 2.0, 3.25)
SIZE = 3


def random_pair(seed: int, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, 9])
    return rng.dirichlet(np.ones(size)), rng.dirichlet(np.ones(size))


def assert_close(values, exact, factor: float) -> None:
    values, exact = np.asarray(values, dtype=float), np.asarray(exact, dtype=float)
    assert np.abs(values - exact).max() <= factor * EPS * np.abs(exact).max()


@pytest.fixture(scope="module")
def formulas():
    """The divergence and its derivatives, differentiated by SymPy from the definition and evaluated with 40 digits."""
    sympy = pytest.importorskip("sympy")
    a = sympy.Symbol("a", positive=True)
    u, z = sympy.symbols(f"u:{SIZE}", real=True), sympy.symbols(f"z:{SIZE}", real=True)
    p = [sympy.exp(x) / sum(map(sympy.exp, u)) for x in u]
    q = [sympy.exp(x) / sum(map(sympy.exp, z)) for x in z]
    value = sympy.log(sum(x**a * y ** (1 - a) for x, y in zip(p, q, strict=True))) / (a - 1)
    arguments = (*u, *z, a)
    table = {
        "value": [value],
        "q": [sympy.diff(value, x) for x in z],
        "p": [sympy.diff(value, x) for x in u],
        "alpha": [sympy.diff(value, a)],
        "qq": [sympy.diff(value, x, y) for x in z for y in z],
        "pp": [sympy.diff(value, x, y) for x in u for y in u],
        "mixed": [sympy.diff(value, x, y) for x in u for y in z],
    }
    return {name: sympy.lambdify(arguments, terms, "mpmath") for name, terms in table.items()}


@pytest.mark.parametrize("alpha", ORDERS)
def test_sympy(formulas, alpha):
    for seed in range(4):
        rng = np.random.default_rng([seed, 10])
        u, z = rng.normal(size=SIZE), rng.normal(size=SIZE)
        exact = {name: f(*map(mp.mpf, u), *map(mp.mpf, z), mp.mpf(alpha)) for name, f in formulas.items()}
        assert_close([renyi_divergence(u, z, alpha, domain="logits")], exact["value"], 32)
        for wrt in ("p", "q", "alpha"):
            assert_close(np.ravel(renyi_gradient(u, z, alpha, wrt=wrt, domain="logits")), exact[wrt], 64)
        for wrt, name in (("q", "qq"), ("p", "pp"), ("mixed", "mixed")):
            assert_close(renyi_hessian(u, z, alpha, wrt=wrt).ravel(), exact[name], 256)


@pytest.mark.filterwarnings("ignore::rdml_theory.UnnormalisedWarning")
@pytest.mark.parametrize("alpha", [*ORDERS, 1.0, 1.0 + 1e-7])
def test_differentiation_in_probabilities(alpha):
    """Gradients and Hessians in unnormalised probabilities, by differences of 10^-30 at 110 digits."""
    step = mp.mpf(10) ** -30

    def value(x, y):
        return naive.divergence([v / mp.fsum(x) for v in x], [v / mp.fsum(y) for v in y], alpha)

    def moved(x, i, s):
        return [v + (s if k == i else 0) for k, v in enumerate(x)]

    p, q = random_pair(1)
    p, q = 3 * p, 0.7 * q
    x, y = list(map(mp.mpf, p)), list(map(mp.mpf, q))
    half = (step, -step)
    d_q = [sum(value(x, moved(y, i, s)) / (2 * s) for s in half) for i in range(SIZE)]
    d_p = [sum(value(moved(x, i, s), y) / (2 * s) for s in half) for i in range(SIZE)]
    assert_close(renyi_gradient(p, q, alpha), d_q, 64)
    assert_close(renyi_gradient(p, q, alpha, wrt="p"), d_p, 64)

    def second(f):
        signs = [(s, r) for s in half for r in half]
        return [[sum(f(i, j, s, r) / (4 * s * r) for s, r in signs) for j in range(SIZE)] for i in range(SIZE)]

    qq = second(lambda i, j, s, r: value(x, moved(moved(y, i, s), j, r)))
    pp = second(lambda i, j, s, r: value(moved(moved(x, i, s), j, r), y))
    mixed = second(lambda i, j, s, r: value(moved(x, i, s), moved(y, j, r)))
    assert_close(renyi_hessian(p, q, alpha, domain="probs"), qq, 256)
    assert_close(renyi_hessian(p, q, alpha, wrt="p", domain="probs"), pp, 256)
    assert_close(renyi_hessian(p, q, alpha, wrt="mixed", domain="probs"), mixed, 256)


@pytest.mark.parametrize("alpha", ORDERS)
def test_complex_step(alpha):
    """A complex step differentiates the definition without a difference; the definition is good to 1e-13 here."""

    def value(u, z, a):
        log_p, log_q = u - np.log(np.sum(np.exp(u))), z - np.log(np.sum(np.exp(z)))
        return np.log(np.sum(np.exp(a * log_p + (1 - a) * log_q))) / (a - 1)

    step = 1e-100
    rng = np.random.default_rng(11)
    u, z = rng.normal(size=5), rng.normal(size=5)
    shift = 1j * step * np.eye(5)
    tolerance = 1e3
    d_z = [value(u, z + s, alpha).imag / step for s in shift]
    d_u = [value(u + s, z, alpha).imag / step for s in shift]
    assert_close(renyi_gradient(u, z, alpha, domain="logits"), d_z, tolerance)
    assert_close(renyi_gradient(u, z, alpha, wrt="p", domain="logits"), d_u, tolerance)
    d_a = value(u, z, alpha + 1j * step).imag / step
    assert_close([renyi_gradient(u, z, alpha, wrt="alpha", domain="logits")], [d_a], tolerance)
    # the Hessian by complex steps of the gradient q - w
    w_q = [(np.exp(z + s) / np.exp(z + s).sum(), u, z + s) for s in shift]
    columns = []
    for q, first, second in w_q:
        tilt = np.exp(alpha * first + (1 - alpha) * second)
        columns.append((q - tilt / tilt.sum()).imag / step)
    assert_close(renyi_hessian(u, z, alpha), np.array(columns).T, tolerance)


def test_autograd():
    """Torch's log-sum-exp form at moderate scales, where it keeps about twelve digits."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(12)
    for alpha in ORDERS:
        u, z = rng.normal(size=6), rng.normal(size=6)

        def value(first, second, a=alpha):
            log_p, log_q = torch.log_softmax(first, -1), torch.log_softmax(second, -1)
            return torch.logsumexp(a * log_p + (1 - a) * log_q, -1) / (a - 1)

        tensors = torch.tensor(u, requires_grad=True), torch.tensor(z, requires_grad=True)
        result = value(*tensors)
        d_u, d_z = torch.autograd.grad(result, tensors)
        assert_close(renyi_divergence(u, z, alpha, domain="logits"), result.item(), 4e3)
        assert_close(renyi_gradient(u, z, alpha, domain="logits"), d_z.numpy(), 4e3)
        assert_close(renyi_gradient(u, z, alpha, wrt="p", domain="logits"), d_u.numpy(), 4e3)
        blocks = torch.autograd.functional.hessian(value, tuple(t.detach() for t in tensors))
        for wrt, block in (("p", blocks[0][0]), ("mixed", blocks[0][1]), ("q", blocks[1][1])):
            assert_close(renyi_hessian(u, z, alpha, wrt=wrt), block.numpy(), 4e3)


def test_escort_from_its_definition():
    for seed in range(20):
        p, q = random_pair(seed, 6)
        for alpha in ORDERS:
            exact = naive.escort(naive.normalised(p), naive.normalised(q), alpha)
            assert np.all(np.abs(escort(p, q, alpha) / np.array(exact, dtype=float) - 1) <= 64 * EPS)
