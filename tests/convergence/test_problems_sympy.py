"""Problems from formulas: the gradient is derived, and the certified constants hold and are near."""

from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from multiprocessing import get_context

import numpy as np
import pytest
from sympy import Abs, Symbol, cos, exp, hessian, lambdify, log, sin, sqrt, symbols, tan, tanh

from convergence import Problem, problems, simulate
from convergence.probes import gradient_error, largest_curvature, least_value
from rdml_theory.symbolic.certificates.arb import ball, compiled

pytest.importorskip("flint")
x, y, z = symbols("x y z")

CASES = {
    "coupled": (x**2 * y**2 / 4 + 1 - cos(x), {x: (-1, 1), y: (-2, 2)}),
    "rosenbrock": ((1 - x) ** 2 + 100 * (y - x**2) ** 2, {x: (-2, 2), y: (-1, 3)}),
    "separate": (x**2 / 20 + 0.9 * (1 - cos(x)) + tanh(y) ** 2 + exp(-(z**2)), {x: (-9, 9), y: (-2, 3), z: (-1, 2)}),
    "root": (sqrt(1 + x**2 + y**2), {x: (-1, 2), y: (-1, 1)}),
    "constant and linear": (7 + 2 * x + y**2, {x: (-1, 1), y: (0, 1)}),
}


@pytest.mark.parametrize("name", CASES)
def test_constants_hold_and_are_near(name):
    formula, box = CASES[name]
    problem = Problem.from_sympy(formula, box, noise=0.1)
    assert isinstance(problem, Problem)
    assert gradient_error(problem, np.random.default_rng(0)).excess < 1
    found = largest_curvature(problem, np.random.default_rng(1)).value
    assert found <= problem.smoothness * (1 + 1e-9)
    assert problem.attained <= problem.smoothness <= 1.03 * max(found, problem.attained)
    least = least_value(problem, np.random.default_rng(2)).value
    assert problem.minimum <= least <= problem.minimum + 0.1 * max(1.0, abs(least))


# The largest ‖∇²f‖ on the box is known.
KNOWN = {
    "quartic": (x**4, {x: (-1, 2)}, 48.0),
    "saddle": (x * y, {x: (-1, 1), y: (-3, 2)}, 1.0),
    "cosine": (1 - cos(3 * x) + y**2, {x: (-1, 1), y: (-1, 1)}, 9.0),
    "bump": (exp(-50 * (x - Fraction(1, 3)) ** 2), {x: (-2, 2)}, 100.0),
    "root": (sqrt(1 + x**2 + y**2), {x: (-1, 2), y: (-1, 1)}, 1.0),
    "logistic": (log(1 + exp(x - 2 * y)), {x: (0, 1), y: (0, Fraction(1, 2))}, 1.25),
    # [[2 + 12x² - 4y, -4x], [-4x, 2]] at x = ±2, y = -1.
    "rosenbrock": ((1 - x) ** 2 + (y - x**2) ** 2, {x: (-2, 2), y: (-1, 3)}, 28 + np.sqrt(26**2 + 8**2)),
    "three": (x * y * z, {x: (-1, 1), y: (-1, 1), z: (-1, 1)}, 2.0),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_constants_are_enclosed(name):
    formula, box, known = KNOWN[name]
    problem = Problem.from_sympy(formula, box)
    assert problem.attained <= known * (1 + 1e-12)
    assert known <= problem.smoothness <= 1.0201 * known
    assert problem.gap == problem.smoothness / problem.attained - 1 <= 0.0201


@pytest.mark.parametrize("seed", range(6))
def test_random_formulas_are_never_below_a_dense_search(seed):
    rng = np.random.default_rng(seed)

    def number():
        return Fraction(int(rng.integers(-9, 10)), 5)

    def form():
        return number() * x + number() * y + number()

    wraps = [sin, tanh, lambda u: exp(-(u**2)), lambda u: log(1 + u**2), lambda u: u**3, lambda u: sqrt(1 + u**2)]
    formula = sum(number() * wraps[rng.integers(6)](form()) for _ in range(3)) + form() * form()
    low, width = rng.integers(-2, 1, 2), rng.integers(1, 3, 2)
    box = {v: (int(a), int(a + w)) for v, a, w in zip((x, y), low, width, strict=True)}
    problem = Problem.from_sympy(formula, box, budget=600)
    second = lambdify([x, y], hessian(formula, (x, y)), "numpy")
    grid = np.stack(np.meshgrid(*[np.linspace(*map(float, box[v]), 81) for v in (x, y)]), axis=-1).reshape(-1, 2)
    seen = max(np.abs(np.linalg.eigvalsh(np.array(second(*p), dtype=float))).max() for p in grid)
    values = problem.value(grid)
    assert seen <= problem.smoothness * (1 + 1e-12)
    assert problem.attained <= problem.smoothness
    # The float64 search for a start of the bound is at least as good as the grid.
    assert problem.attained >= 0.999 * seen
    assert problem.minimum <= values.min() + 1e-12


def test_powers_of_wide_balls_hold_every_value_and_no_more_than_need():
    t = Symbol("t", real=True)
    for exponent in (-3, -2, 2, 3, 4, 5):
        power = compiled(t**exponent, [t], wide=True)
        for low, high in ((1, 9), (-7, -1), (-2, 5), (-5, 0), (0, 3), (2, 2), (0, 0)):
            if exponent < 0 and low <= 0 <= high:
                continue
            found = power(ball(Fraction(low), Fraction(high)))
            values = [Fraction(low) ** exponent, Fraction(high) ** exponent, *([Fraction(0)] if low < 0 < high else [])]
            least, most = float(found.lower()), float(found.upper())
            assert least <= min(values)
            assert max(values) <= most
            assert most - least <= (max(values) - min(values)) * (1 + 1e-6) + 1e-12


def test_agrees_with_the_built_in_problem():
    formula = sum(Fraction(1, 20) * v**2 + Fraction(9, 10) * (1 - cos(v)) for v in (x, y))
    made = Problem.from_sympy(formula, {x: (-9, 9), y: (-9, 9)})
    known = problems.get("quadratic_cosine", dim=2)
    points = np.random.default_rng(3).uniform(-9, 9, (50, 2))
    np.testing.assert_allclose(made.gradient(points), known.gradient(points), atol=1e-13)
    np.testing.assert_allclose(made.value(points), known.value(points), atol=1e-13)
    assert known.smoothness <= made.smoothness <= 1.02


def test_a_spent_budget_still_bounds():
    formula, box = log(1 + x**2 + y**2) + sin(x * y), {x: (-2, 2), y: (-2, 2)}
    loose = Problem.from_sympy(formula, box, budget=60, minimum=0.0)
    near = Problem.from_sympy(formula, box, minimum=0.0)
    assert loose.smoothness > 1.2 * near.smoothness > near.attained
    assert near.minimum == 0.0


@pytest.mark.parametrize(
    ("formula", "box", "message"),
    [
        (x * y, {x: (0, 1)}, "no interval for y"),
        (x, {x: (1, 1)}, "finite interval"),
        (1 / x, {x: (-1, 1)}, "take a smaller box"),
        (log(x), {x: (0, 1)}, "take a smaller box"),
        (sqrt(x**2 + y**2), {x: (-1, 1), y: (-1, 2)}, "take a smaller box"),
        (tan(x), {x: (0, 1)}, "balls do not know tan"),
        (abs(x), {x: (-1, 1)}, "hold DiracDelta: write a smooth function"),
        (Symbol("x"), {}, "no interval for x"),
    ],
)
def test_errors(formula, box, message):
    with pytest.raises(ValueError, match=message):
        Problem.from_sympy(formula, box, budget=50)


def test_a_constant_part_keeps_its_value():
    problem = Problem.from_sympy(sin(x) + 3, {x: (0, 1)})
    assert problem.value(np.array([[0.0], [1.0]])) == pytest.approx([3, 3 + np.sin(1)])
    assert problem.minimum <= 3


def test_without_a_box_constants_are_given():
    problem = Problem.from_sympy(y**2 / 2 + 1 - cos(x), smoothness=1.0, minimum=0.0, noise=0.1)
    assert (problem.dim, problem.smoothness, problem.minimum, problem.box) == (2, 1.0, 0.0, None)
    # Ordered by name.
    np.testing.assert_allclose(problem.gradient(np.array([[1.0, 3.0]])), [[np.sin(1.0), 3.0]])
    with pytest.raises(ValueError, match="give one, or smoothness and minimum"):
        Problem.from_sympy(x**2)


def test_workers_can_read_it():
    problem = Problem.from_sympy(*CASES["coupled"], noise=0.1)
    run = {"step": 0.1, "steps": 5, "replicas": 8, "seed": 0}
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        shared = simulate(problem, executor=pool, **run)
    np.testing.assert_array_equal(shared.final, simulate(problem, **run).final)


def test_a_kink_and_a_pole_are_refused_without_a_warning():

    with pytest.raises(ValueError, match=r"second derivatives of .* hold DiracDelta"):
        Problem.from_sympy(Abs(x) + y**2, {x: (-1, 1), y: (0, 1)})
    with pytest.raises(ValueError, match="no finite bound"):
        Problem.from_sympy(1 / x + y**2, {x: (-1, 1), y: (0, 1)})
