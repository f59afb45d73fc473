"""Problems from formulas: the gradient is derived, and the certified constants hold and are near."""

from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from itertools import product
from multiprocessing import get_context

import numpy as np
import pytest
from sympy import (
    Abs,
    E,
    Max,
    Min,
    Ne,
    Piecewise,
    Rational,
    Symbol,
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atanh,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    hessian,
    lambdify,
    log,
    pi,
    sin,
    sinh,
    sqrt,
    symbols,
    tan,
    tanh,
)  # fmt: skip

from convergence import Problem, problems, simulate
from convergence.probes import gradient_error, largest_curvature, least_value
from convergence.problems._formula import INTERVAL_FUNCTIONS, LogSumExp, Share
from rdml_theory.symbolic.enclosures import enclosures

pytest.importorskip("flint")
x, y, z = symbols("x y z")


def huber(u):
    return Piecewise((u**2 / 2, Abs(u) <= 1), (Abs(u) - Rational(1, 2), True))


RADIAL = Piecewise((x**2 + y**2, x**2 + y**2 < 1), (2 * sqrt(x**2 + y**2) - 1, True))

POWERS = [p for p in product(range(5), repeat=4) if 2 <= sum(p) <= 4]

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
    "half logistic": (1 / (1 + exp(-3 * x)), {x: (-9, 9)}, 9 / (6 * np.sqrt(3))),
    "log-sum-exp": (log(exp(x) + exp(y) + exp(z)), {x: (-5, 0), y: (-1, 1), z: (-1, 1)}, 0.5 / (1 + np.exp(-6) / 2)),
    "huber": (huber(3 * x - 4 * y), {x: (-2, 2), y: (-2, 1)}, 25.0),
    "two hubers": (huber(x + y) - 2 * huber(x - y), {x: (-2, 2), y: (-2, 1)}, 4.0),
    "radial huber": (RADIAL, {x: (-2, 2), y: (-2, 1)}, 2.0),
    "squared hinge": (Max(0, 1 - 2 * x) ** 2, {x: (0, 2), y: (0, 1)}, 8.0),
    "one side of a kink": (Abs(x - 3) ** 3 + Abs(y), {x: (0, 2), y: (1, 2)}, 18.0),
    "kinks that cancel": (Abs(x) - 2 * Max(0, x) + y**2, {x: (-1, 2), y: (-1, 1)}, 2.0),
    "root of a square": (sqrt(x**2 - 2 * x * y + y**2) ** 3, {x: (-1, 1), y: (-1, 1)}, 24.0),
    "three": (x * y * z, {x: (-1, 1), y: (-1, 1), z: (-1, 1)}, 2.0),
}


w = symbols("w")
QUARTIC = sum(Fraction(k * k % 7 - 3, 5) * x**a * y**b * z**c * w**d for k, (a, b, c, d) in enumerate(POWERS))
# Large boxes.
NEAR = {
    "log-sum-exp": (log(exp(x) + exp(y) + exp(z)), dict.fromkeys((x, y, z), (-2, 2))),
    "forms": (log(exp(x - 2 * y) + exp(y + z) + exp(z / 2 - x) + 1), dict.fromkeys((x, y, z), (-2, 2))),
    "logistic": (log(1 + exp(x - 2 * y)), {x: (-2, 2), y: (-2, 2)}),
    "himmelblau": ((x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2, {x: (-5, 5), y: (-5, 5)}),
    "quartic": (QUARTIC, dict.fromkeys((x, y, z, w), (-1, 1))),
}


# What is left when the budget is spent: entries that are sums of like terms are wider than their ranges.
SPENT = {"log-sum-exp": 0.09, "forms": 0.08}


@pytest.mark.parametrize("name", NEAR)
def test_the_gap_is_closed_on_large_boxes(name):
    formula, box = NEAR[name]
    problem = Problem.from_sympy(formula, box, minimum=0.0)
    assert problem.gap == problem.smoothness / problem.attained - 1 <= SPENT.get(name, 0.0201)
    found = largest_curvature(problem, np.random.default_rng(1)).value
    assert 0.98 * problem.attained <= found <= problem.smoothness * (1 + 1e-9)


# Where a border passes at which ∇²f jumps, a part that meets it counts as much of both sides as it holds.
LOOSE = {"two hubers": 1.25, "radial huber": 1.51, "log-sum-exp": 1.06}


@pytest.mark.parametrize("name", KNOWN)
def test_known_constants_are_enclosed(name):
    formula, box, known = KNOWN[name]
    problem = Problem.from_sympy(formula, box)
    assert problem.attained <= known * (1 + 1e-12)
    assert known <= problem.smoothness <= LOOSE.get(name, 1.0201) * known * (1 + 1e-9)
    assert problem.attained >= 0.98 * known
    assert problem.gap == problem.smoothness / problem.attained - 1


@pytest.mark.parametrize("seed", [pytest.param(s, marks=[] if s < 4 else [pytest.mark.slow]) for s in range(16)])
def test_random_formulas_are_never_below_a_dense_search(seed):
    rng = np.random.default_rng(seed)

    def number():
        return Fraction(int(rng.integers(-9, 10)), 5)

    def form():
        return number() * x + number() * y + number()

    wraps = [
        sin, tanh, atan, erf, lambda u: exp(-(u**2)), lambda u: log(1 + u**2), lambda u: u**3, lambda u: sqrt(1 + u**2),
        lambda u: asin(u / 30), lambda u: cosh(u / 4), lambda u: 1 / (1 + exp(u)),
        lambda u: log(1 + exp(u) + exp(-2 * u)),
        lambda u: u * Abs(u), lambda u: Max(u, 0) ** 2, huber,
    ]  # fmt: skip
    formula = sum(number() * wraps[rng.integers(len(wraps))](form()) for _ in range(3)) + form() * form()
    low, width = rng.integers(-2, 1, 2), rng.integers(1, 3, 2)
    box = {v: (int(a), int(a + w)) for v, a, w in zip((x, y), low, width, strict=True)}
    problem = Problem.from_sympy(formula, box, budget=600)
    symbols_ = sorted(problem.formula.free_symbols, key=str)
    second = lambdify(symbols_, hessian(problem.formula, symbols_), ["scipy", "numpy"])
    written = lambdify([x, y], formula, ["scipy", "numpy"])
    grid = np.stack(np.meshgrid(*[np.linspace(*map(float, box[v]), 81) for v in (x, y)]), axis=-1).reshape(-1, 2)
    seen = max(np.abs(np.linalg.eigvalsh(np.array(second(*p), dtype=float))).max() for p in grid)
    values = problem.value(grid)
    np.testing.assert_allclose(values, written(*grid.T), rtol=1e-12, atol=1e-12)
    assert gradient_error(problem, rng).excess < 1
    assert seen <= problem.smoothness * (1 + 1e-12)
    assert problem.attained <= problem.smoothness
    # The float64 search for a start of the bound is at least as good as the grid.
    assert problem.attained >= 0.999 * seen
    assert problem.minimum <= values.min() + 1e-12


def test_powers_of_intervals_hold_every_value_and_no_more_than_need():
    t = Symbol("t", real=True)
    for exponent in (-3, -2, 2, 3, 4, 5):
        power = enclosures([t**exponent], [t])
        for low, high in ((1, 9), (-7, -1), (-2, 5), (-5, 0), (0, 3), (2, 2), (0, 0)):
            if exponent < 0 and low <= 0 <= high:
                continue
            least, most = (float(end[0, 0]) for end in power(np.array([[low]]), np.array([[high]])))
            values = [Fraction(low) ** exponent, Fraction(high) ** exponent, *([Fraction(0)] if low < 0 < high else [])]
            assert least <= min(values)
            assert max(values) <= most
            assert most - least <= (max(values) - min(values)) * (1 + 1e-6) + 1e-12
    least, most = (
        float(end[0, 0]) for end in enclosures([1 / (1 + sinh(t) ** 2)], [t])(np.zeros((1, 1)), np.array([[800.0]]))
    )
    assert -1e-300 < least <= 0.0 < 1.0 <= most < 1 + 1e-9


# Of every kind that intervals know, in two variables near zero.
FUNCTIONS = [
    x * y / 3 - x, x / sqrt(1 + x**2), sqrt(1 + x**2) ** -3, (2 + x) ** Rational(5, 3), (2 - y) ** Rational(-1, 3),
    sin(9 * x) * cos(y), cos(4 * x - y), atan(x) * erf(y), pi * erfc(x), asin(x / 3) + acos(y / 3), asinh(x) / E,
    cosh(x) ** -3 * tanh(y), sinh(x + y), Rational(2) ** x, x**3 * (y + 3) ** -2, log(2 + x * y / 2), atanh(x / 4),
    acosh(3 + y), exp(-x) / (1 + exp(-x)) ** 2, Share(x, 2 * y - 1), LogSumExp(x, y, 3 * x),
    Piecewise((x**2, (x < 1) & (y > 0)), (y, (x + y <= 2) | (x > 1)), (x, True)), Piecewise((y, ~(x < 0)), (x, True)),
]  # fmt: skip


def test_intervals_hold_every_value():
    rng = np.random.default_rng(0)
    middle = rng.uniform(-1, 1, (2, 600))
    radius = rng.uniform(0, 0.5, (2, 600)) * rng.integers(0, 2, (2, 600))
    low, high = enclosures(FUNCTIONS, [x, y], INTERVAL_FUNCTIONS)(middle - radius, middle + radius)
    assert np.isfinite(low).all()
    assert (low <= high).all()
    plain = {
        "Share": lambda *d: 1 / (1 + sum(map(np.exp, d))),
        "LogSumExp": lambda *u: np.log(sum(map(np.exp, u))),
    }
    evaluate = lambdify([x, y], FUNCTIONS, [plain, "scipy", "numpy"])
    for _ in range(40):
        values = np.array(evaluate(*(middle + radius * rng.uniform(-1, 1, (2, 600)))))
        slack = 1e-13 * (1 + np.abs(values))
        assert (low - slack <= values).all()
        assert (values <= high + slack).all()
    # At points nothing but rounding is left.
    point = (radius == 0).all(axis=0)
    assert (high - low)[:, point].max() < 1e-12


def test_intervals_know_nothing_beside_poles_and_outside_of_domains():
    bounds = enclosures([1 / x, log(x), sqrt(x - 1), asin(x), x**-2, Piecewise((y, x > 5))], [x, y])
    low, high = bounds(np.array([[-1.0], [0.0]]), np.array([[2.0], [1.0]]))
    assert np.isneginf(low).all()
    assert np.isposinf(high).all()


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
        (1 / x, {x: (-1, 1)}, "use a smaller box"),
        (log(x), {x: (0, 1)}, "use a smaller box"),
        (sqrt(x**2 + y**2), {x: (-1, 1), y: (-1, 2)}, "use a smaller box"),
        (tan(x), {x: (0, 1)}, "no interval function for tan"),
        (asin(x), {x: (0, 1)}, "use a smaller box"),
        ((x - y) ** Rational(5, 2), {x: (0, 1), y: (0, 1)}, "use a smaller box"),
        (abs(x), {x: (-1, 1)}, "where x = 0 the derivative in x of .* jumps by -2"),
        (Min(x**2, 1), {x: (0, 2)}, "where x - 1 = 0 the derivative in x of .* jumps by 2"),
        (Max(x, y) ** 2, {x: (1, 2), y: (1, 2)}, "use a box on one side of the border, or a smooth function"),
        (Piecewise((x**2, x < 1), (2 * x, True)), {x: (0, 2)}, "the value of .* jumps by -1"),
        (Piecewise((x**2, Ne(x, 1)), (2, True)), {x: (0, 2)}, "is not an inequality"),
        (Max(sin(x), 0) ** 2, {x: (-1, 1)}, "no way to check the border"),
        (Abs(x) ** Rational(3, 2), {x: (-1, 1)}, "is not proved to be continuous"),
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


def test_a_pole_is_refused_without_a_warning():
    with pytest.raises(ValueError, match="no finite bound"):
        Problem.from_sympy(1 / x + y**2, {x: (-1, 1), y: (0, 1)})
