"""Problems from formulas: the gradient is derived, and the certified constants hold and are near."""

from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from multiprocessing import get_context

import numpy as np
import pytest
from sympy import Symbol, cos, exp, log, sin, sqrt, symbols, tan, tanh

from convergence import Problem, problems, simulate
from convergence.probes import gradient_error, largest_curvature, least_value

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
        (tan(x), {x: (0, 1)}, "balls do not know tan"),
        (abs(x), {x: (-1, 1)}, "balls do not know"),
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
