"""The bounds: their values, terms, domains, and what they imply for each other."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy

from convergence import (
    Assumptions,
    best_iterate_bound,
    classical_bound,
    floor,
    momentum_bound,
    mutual_bias_bound,
    pl_bound,
    refined_bound,
    schedule_bound,
    sharp_bound,
    tight_bound,
)
from convergence.performance import conic


def unit(bias=0.0, noise=0.0, relative_bias=0.0, gap=1.0):
    return Assumptions(smoothness=1.0, gap=gap, noise=noise, bias=bias, relative_bias=relative_bias)


# zeta, h, sharp, classical at Λ = Δ = 1, T = 8 (None: outside the classical domain).
TABLE = [
    (0.0, 0.5, 0.3333, 0.5),
    (0.0, 1.5, 0.3333, None),
    (0.1, 0.1, 1.430, 2.510),
    (0.1, 1.0, 0.2600, 0.2600),
    (1.0, 0.5, 1.477, 1.500),
    (1.0, 1.0, 1.250, 1.250),
    (1.0, 1.5, 9.497, None),
]


@pytest.mark.parametrize(("zeta", "h", "sharp", "classical"), TABLE)
def test_known_values(zeta, h, sharp, classical):
    assumptions = unit(bias=zeta**2)
    assert sharp_bound(assumptions, h, 8).total == pytest.approx(sharp, rel=5e-4)
    if classical is None:
        with pytest.raises(ValueError, match="use the sharp bound"):
            classical_bound(assumptions, h, 8)
    else:
        assert classical_bound(assumptions, h, 8).total == pytest.approx(classical, rel=5e-4)


def random_points(count, rng, greatest):
    for _ in range(count):
        lam, gap, noise, bias = 10 ** rng.uniform(-2, 2, 4)
        yield (
            Assumptions(smoothness=lam, gap=gap, noise=noise, bias=bias),
            rng.uniform(0.01, greatest) / lam,
            10 ** rng.uniform(0, 5),
        )


def test_sharp_implies_classical_with_equality_at_one():
    rng = np.random.default_rng(1)
    for assumptions, step, steps in random_points(500, rng, 1.0):
        sharp, classical = sharp_bound(assumptions, step, steps), classical_bound(assumptions, step, steps)
        assert sharp.total <= classical.total * (1 + 8 * np.finfo(float).eps)
    at_one = unit(bias=0.3, noise=0.7)
    assert sharp_bound(at_one, 1.0, 9).total == pytest.approx(classical_bound(at_one, 1.0, 9).total, rel=1e-15)


def test_terms_add_up_and_vanish_with_their_causes():
    rng = np.random.default_rng(2)
    for assumptions, step, steps in random_points(200, rng, 0.99):
        for bound in (
            classical_bound(assumptions, step, steps),
            sharp_bound(assumptions, step, steps),
            pl_bound(assumptions, step, steps, pl_constant=assumptions.smoothness / 3),
        ):
            assert bound.transient + bound.noise + bound.bias == pytest.approx(bound.total, rel=1e-14)
            assert min(bound.transient, bound.noise, bound.bias) >= 0
    for bound in (classical_bound(unit(), 0.5, np.inf), sharp_bound(unit(), 1.5, np.inf)):
        assert (bound.transient, bound.noise, bound.bias) == (0, 0, 0)


def test_without_bias_its_term_is_zero_and_no_rounding():
    rng = np.random.default_rng(4)
    for assumptions, step, steps in random_points(60, rng, 0.99):
        free = replace(assumptions, bias=0.0)
        bounds = [f(free, step, steps) for f in (sharp_bound, refined_bound, tight_bound)]
        bounds += [floor(free, step), momentum_bound(free, step / 20, steps, momentum=0.5, nesterov=True)]
        assert [b.bias for b in bounds] == [0.0] * 5
        small = sharp_bound(replace(assumptions, bias=0.0, relative_bias=1e-30), step, steps)
        assert small.bias >= 0


@pytest.mark.parametrize("m", [0.0, 0.1, 0.5, 0.9])
def test_relative_bias_solves_its_equation(m):
    rng = np.random.default_rng(3)
    for _ in range(200):
        h = rng.uniform(0.01, 0.999) * 2 / (1 + np.sqrt(m))
        assumptions = unit(bias=rng.exponential(), noise=rng.exponential(), relative_bias=m, gap=rng.exponential())
        steps = int(10 ** rng.uniform(0, 4))
        a2 = sharp_bound(assumptions, h, steps).total
        z2 = m * a2 + assumptions.bias
        left = (1 - h / 2) * a2 - abs(1 - h) * np.sqrt(a2 * z2) - h / 2 * z2
        right = assumptions.gap / (h * steps) + h * assumptions.noise / 2
        assert left == pytest.approx(right, rel=1e-9, abs=1e-9 * a2)


def test_relative_bias_limits_to_absolute():
    small = sharp_bound(unit(bias=0.5, noise=0.2, relative_bias=1e-14), 0.7, 50).total
    assert small == pytest.approx(sharp_bound(unit(bias=0.5, noise=0.2), 0.7, 50).total, rel=1e-10)


@pytest.mark.parametrize("h", [0.1, 0.5, 1.0, 1.5, 1.9])
@pytest.mark.parametrize(("noise", "bias"), [(0.0, 1.0), (1.0, 0.0), (0.4, 0.3)])
def test_floor_is_the_fixed_point_of_the_extremal_recursion(h, noise, bias):
    a = np.sqrt(float(floor(unit(bias=bias, noise=noise), h)))
    after = (abs(1 - h) * a + h * np.sqrt(bias)) ** 2 + h**2 * noise
    assert np.sqrt(after) == pytest.approx(a, rel=1e-13)


def test_floor_of_the_bias_beyond_one():
    assert float(floor(unit(bias=1.0), 1.5)) == pytest.approx(9.0, rel=1e-14)
    assert float(floor(unit(bias=1.0), 0.3)) == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_best_iterate_of_gradient_descent(steps):
    # Without bias and with step 1/Λ the exact worst case is 4ΛΔ/(3(T-1) + 2).
    bound = best_iterate_bound(unit(), 1.0, steps)
    assert bound.total == pytest.approx(4 / (3 * (steps - 1) + 2), rel=1e-14)
    assert bound.bias == pytest.approx(0, abs=1e-15)


def test_best_iterate_is_below_the_average():
    rng = np.random.default_rng(4)
    for _ in range(200):
        h, bias, steps = rng.uniform(0.05, 1), rng.uniform(0, 2), int(rng.integers(1, 200))
        assert best_iterate_bound(unit(bias=bias), h, steps).total <= sharp_bound(unit(bias=bias), h, steps).total * (
            1 + 1e-12
        )


def test_broadcasting():
    bound = sharp_bound(unit(bias=0.1), np.array([0.5, 1.0])[:, None], np.array([10, 100, 1000]))
    assert np.shape(bound.total) == (2, 3)
    assert bound.total[1, 2] == sharp_bound(unit(bias=0.1), 1.0, 1000).total


def test_one_over_smoothness_is_accepted_in_spite_of_rounding():
    for lam in np.random.default_rng(5).uniform(0.1, 100, 500):
        assert classical_bound(Assumptions(smoothness=lam, gap=1.0, noise=0.0, bias=0.0), 1 / lam, 10).total > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sharp_bound(unit(), 2.0, 10), r"step = 2.0 .*0 < Λη < 2; use a step above 0 and below 2"),
        (lambda: sharp_bound(unit(), -0.1, 10), "step = -0.1"),
        (lambda: sharp_bound(unit(), float("nan"), 10), "step = nan"),
        (lambda: sharp_bound(unit(), 0.5, 0), "at least 1 step"),
        (lambda: sharp_bound(unit(relative_bias=0.25), 1.4, 10), r"0 < Λη < 1.33333"),
        (lambda: sharp_bound(unit(relative_bias=1.0), 0.1, 10), "holds for m < 1"),
        (lambda: classical_bound(unit(relative_bias=1.5), 0.1, 10), "holds for m < 1"),
        (lambda: best_iterate_bound(unit(noise=1.0), 0.5, 10), "use the sharp bound"),
        (lambda: best_iterate_bound(unit(bias=2.5), 0.5, 10), "ζ² <= 2ΛΔ = 2"),
        (lambda: pl_bound(unit(), 0.5, 10, pl_constant=2.0), "0 < μ <= Λ"),
        (
            lambda: pl_bound(unit(relative_bias=0.25), 1.4, 10, pl_constant=0.5),
            r"Łojasiewicz bound holds for 0 < Λη < 1.33333",
        ),
        (lambda: schedule_bound(unit(relative_bias=0.1), [0.5]), "absolute bias only"),
        (lambda: Assumptions(smoothness=0, gap=1, noise=0, bias=0), "smoothness = 0"),
        (lambda: Assumptions(smoothness=1, gap=1, noise=-1, bias=0), "noise = -1.*variance"),
        (lambda: Assumptions(smoothness=1, gap=1, noise=0, bias=float("inf")), "bias = inf"),
        (lambda: mutual_bias_bound(1.0, beta=1, jacobian=1), "both missing"),
        (lambda: mutual_bias_bound(-1.0, beta=1, jacobian=1, divergence=1), "alpha"),
        (lambda: mutual_bias_bound(1.0, beta=1, jacobian=1, divergence=float("nan")), "divergence"),
    ],
)
def test_bad_values_name_the_value_and_the_range(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_bad_types():
    with pytest.raises(TypeError, match="smoothness = '1'"):
        Assumptions(smoothness="1", gap=1, noise=0, bias=0)
    with pytest.raises(TypeError, match=r"expected convergence\.Assumptions"):
        sharp_bound({"smoothness": 1}, 0.5, 10)
    with pytest.raises(TypeError, match="step"):
        sharp_bound(unit(), "0.5", 10)


def test_mutual_bias_bound_bounds_the_gradient():
    from rdml_theory import renyi_divergence, renyi_gradient

    rng = np.random.default_rng(6)
    u, z = rng.normal(size=(2, 2000, 5)) * 2
    for alpha in (0.1, 0.5, 1.0, 2.0, 8.0):
        square = (renyi_gradient(u, z, alpha, wrt="q", domain="logits") ** 2).sum(-1)
        spread = np.ptp(u - z, axis=-1)
        mean = renyi_divergence(u, z, alpha, domain="logits")
        allowed = mutual_bias_bound(alpha, beta=1.0, jacobian=1.0, log_ratio_range=spread, divergence=mean)
        assert (square <= allowed * (1 + 1e-12)).all()
        assert mutual_bias_bound(alpha, beta=3.0, jacobian=2.0, divergence=0.5) == pytest.approx(18 * max(1, alpha))
    assert mutual_bias_bound(np.inf, beta=1, jacobian=1, log_ratio_range=0.0) == 0


@pytest.mark.parametrize("h", [1e-6, 0.3, 1 - 1e-9, 1.0, 1 + 1e-9, 1.5, 1.99])
@pytest.mark.parametrize("noise", [0.0, 0.7, 1e200])
@pytest.mark.parametrize("bias", [0.0, 0.2, 1e-200])
def test_under_growth_the_floor_is_never_above_that_of_the_gradient(h, noise, bias):
    at, mu = Assumptions(smoothness=2.0, gap=3.0, noise=noise, bias=bias), 0.5
    long = pl_bound(at, h / 2, np.inf, pl_constant=mu).total
    least = float(floor(at, h / 2)) / (2 * mu)
    assert long == pytest.approx(least, rel=1e-6) if noise == 0 and h <= 1 else long <= least * (1 + 1e-9)
    if h <= 1:
        kept, reach = 1 - h * mu / 2, np.sqrt(bias / (2 * mu))
        again = (kept * np.sqrt(long) + (1 - kept) * reach) ** 2 + h**2 * noise / 4
        assert again == pytest.approx(long, rel=1e-9, abs=0)
        for steps in (1, 7, 1000):
            before = (1 - h / 2 * mu) ** steps * at.gap + (h * noise + bias) / (2 * mu)
            assert pl_bound(at, h / 2, steps, pl_constant=mu).total <= before * (1 + 1e-12)


@pytest.mark.parametrize("h", [0.1, 0.7, 1.0])
@pytest.mark.parametrize("mu", [0.05, 0.6, 1.0])
@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_under_growth_a_quadratic_of_least_curvature_attains_it_at_every_step(h, mu, bias):
    x, zeta = 3.0 / mu, np.sqrt(bias)
    at = Assumptions(smoothness=1.0, gap=mu * x**2 / 2, noise=0.0, bias=bias)
    for steps in range(1, 30):
        x = x - h * (mu * x - zeta)
        assert pl_bound(at, h, steps, pl_constant=mu).total == pytest.approx(mu * x**2 / 2, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("h", [0.1, 0.6, 1.0])
@pytest.mark.parametrize("m", [0.04, 0.3, 0.36])
@pytest.mark.parametrize(("noise", "bias"), [(0.0, 0.3), (0.0, 0.0), (0.4, 0.3), (0.4, 0.0)])
def test_under_growth_and_a_relative_bias_it_is_between_the_recursion_and_twice_that(h, m, noise, bias):
    mu, q = 0.3, h
    at = Assumptions(smoothness=1.0, gap=4.0 / mu, noise=noise, bias=bias, relative_bias=m)
    r, squares = np.sqrt(at.gap), []
    for _ in range(2000):
        r = np.hypot((1 - mu * q) * r + h * mu * np.sqrt(m * r**2 + bias / (2 * mu)), h * np.sqrt(noise / 2))
        squares.append(r**2)
    seen = np.flatnonzero(np.array(squares) > 1e-300)
    ratios = pl_bound(at, h, seen + 1, pl_constant=mu).total / np.array(squares)[seen]
    assert ratios.min() >= 1 - 1e-9
    assert ratios.max() < (2 if noise or bias else 1 + 1e-9)
    settled = r if noise or bias else 0.0
    assert pl_bound(at, h, np.inf, pl_constant=mu).total == pytest.approx(settled**2, rel=1e-6)
    if not noise:
        assert pl_bound(at, h, np.inf, pl_constant=mu).total == pytest.approx(bias / (2 * mu * (1 - m)), rel=1e-12)


@pytest.mark.parametrize(
    ("h", "mu", "most"), [(1.2, 0.1, 1.33), (1.5, 0.1, 2.2), (1.5, 0.5, 4.501), (1.95, 0.1, 152.11)]
)
@pytest.mark.parametrize("m", [0.0, 0.0004])
def test_under_growth_and_beyond_one_it_is_above_quadratics_and_near_them_in_the_end(h, mu, most, m):
    """A bias of the worst sign, found step by step; the floor is in units of ζ²/(2μ)."""
    bias, times = 0.3, np.arange(1, 400)
    found = []
    for curvature in (mu, 1.0):
        x, values = 5.0 / curvature, []
        at = Assumptions(smoothness=1.0, gap=curvature * x**2 / 2, noise=0.0, bias=bias, relative_bias=m)
        for _ in times:
            g = curvature * x
            x = max((x - h * (g + sign * np.sqrt(m * g**2 + bias)) for sign in (1, -1)), key=abs)
            values.append(curvature * x**2 / 2)
        assert (values <= pl_bound(at, h, times, pl_constant=mu).total * (1 + 1e-9)).all()
        found.append(values[-1] * 2 * mu / bias)
    stated = pl_bound(at, h, np.inf, pl_constant=mu).total * 2 * mu / bias
    assert stated < most * (1 + 40 * m / (2 - h) ** 2)
    if (h, mu) in ((1.5, 0.5), (1.95, 0.1)) and not m:
        assert max(found) == pytest.approx(stated, rel=1e-6)


def three_points(h, mu):
    """The least rate that smoothness, growth and the ascent from x - ∇f prove of one step, by a semidefinite program.

    Between x, the w = x - ∇f and x - h∇f, at Λ = 1; the last conditions are those of the ascents that C9 takes.
    """
    points, gradients = np.array([[0, 0, 0], [-1, 0, 0], [-h, 0, 0]], dtype=float), np.eye(3)
    told = []  # the weights of the three values, and a quadratic form in the gradients; their sum is at most 0

    def square(u, v):
        return (np.outer(u, v) + np.outer(v, u)) / 2

    for i, j in itertools.permutations(range(3), 2):
        shift, change = points[i] - points[j], gradients[i] - gradients[j]
        form = square(gradients[i] + gradients[j], shift) / 2 + (square(change, change) - square(shift, shift)) / 4
        told.append((np.eye(3)[j] - np.eye(3)[i], form))
    for value, g in zip(np.eye(3), gradients, strict=True):
        told += [(2 * mu * value, -square(g, g)), (-value, square(g, g) / 2)]
    told.append((np.array([mu - 1, 1, 0]), (1 - mu) / 2 * square(gradients[0], gradients[0])))
    rows, columns, scale = conic.triangle(3)
    forms = scipy.sparse.csc_array(np.array([np.zeros(6), *(form[rows, columns] * scale for _, form in told)]).T)
    equalities = np.array([[1.0, 0, 0], *(values for values, _ in told)]).T
    found = conic.minimise(
        np.eye(len(told) + 1)[0], (scipy.sparse.csc_array(equalities), np.array([0.0, 0.0, 1.0])), forms, [3],
        signed=np.arange(len(told) + 1) > 0, margin=0.0,
    )  # fmt: skip
    return found.multipliers[0]


@pytest.mark.parametrize("h", [1.05, 1.2, 1.5, 1.7, 1.9])
@pytest.mark.parametrize("mu", [0.01, 0.1, 0.5])
def test_under_growth_and_beyond_one_the_rate_is_near_the_best_that_three_points_prove(h, mu):
    at = Assumptions(smoothness=1.0, gap=1.0, noise=0.0, bias=0.0)
    rate = pl_bound(at, h, 1, pl_constant=mu).total
    assert 1 - 1e-6 < rate / three_points(h, mu) < 1.005
    assert rate > max((1 - mu * h) ** 2, (1 - h) ** 2) * (1 - 1e-9)
