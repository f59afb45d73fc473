"""Bounds and inverse questions at extreme arguments: the value of exact arithmetic, ∞ beyond float64, never NaN."""

import sys
from dataclasses import replace
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest

from convergence import (
    Assumptions,
    best_iterate_bound,
    bias_horizon,
    classical_bound,
    drift_bound,
    extremal_average,
    floor,
    judge_mean,
    largest_bias,
    largest_order,
    largest_step,
    largest_weight,
    long_run_law,
    momentum_bound,
    moving_target_bound,
    mutual_bias_bound,
    pl_bound,
    problems,
    refined_bound,
    schedule_bound,
    scope_bound,
    sharp_bound,
    stationary_law,
    tight_bound,
)
from convergence.bounds import long_weights
from convergence.estimators import bounded_interval, mean_interval
from convergence.sweep import Cell, run_cell

LARGEST = sys.float_info.max


def exact_sharp(a, h, eta, steps, factor=1):
    """The largest solution of the sharp bound's equation."""
    lam, gap, noise, bias, m, h, eta = map(mp.mpf, (a.smoothness, a.gap, a.noise, a.bias, a.relative_bias, h, eta))
    steps = mp.mpf(steps)
    excess = (0 if mp.isinf(steps) else 2 * gap / (eta * steps)) + lam * eta * noise * factor
    bias *= factor
    a_, away, r = 1 - h / 2 - h * m / 2, abs(1 - h), (excess + h * bias) / 2
    second, first = a_**2 - m * away**2, 2 * a_ * r + bias * away**2
    return (first + mp.sqrt(max(first**2 - 4 * second * r**2, 0))) / (2 * second)


def agrees(found, exact, tolerance):
    """Within a tolerance; or ∞, or nearly zero, where float64 has fewer digits."""
    if exact > LARGEST:
        return found > LARGEST * (1 - tolerance)
    return abs(mp.mpf(found) - exact) <= tolerance * exact + 1e-306 if np.isfinite(found) else exact > LARGEST / 8


def settings(count, seed, greatest=2.0):
    """Constants of any size float64 has, steps from the least to nearly the greatest, and any horizon."""
    rng = np.random.default_rng(seed)
    zeros = [0.0, 0.0, 1e-300, 1e300, 5e-324, 1.7e308]
    while count:
        lam, *rest = 10 ** rng.uniform(-305, 305, 4)
        near = 10 ** rng.uniform(-3, 3, 3)
        rest = [rng.choice(zeros) if pick == 0 else size if pick == 1 else small
                for pick, size, small in zip(rng.integers(3, size=3), rest, near, strict=True)]  # fmt: skip
        m = float(rng.choice([0.0, 0.0, 1e-300, 1e-9, 0.3, 1 - 1e-9]))
        limit = min(greatest, 2 / (1 + np.sqrt(m)))
        h = float(
            rng.choice([10 ** rng.uniform(-300, 0), rng.uniform(0, 1) * limit, 1.0, np.nextafter(limit, 0), 1e-16])
        )
        if rng.integers(2):
            lam = 1.0
        eta = h / lam
        steps = float(rng.choice([1, 2, 7, 1e3, 1e18, 1e300, np.inf]))
        if 0 < eta < np.inf and lam * eta < limit and (lam * eta <= 1 or greatest > 1):
            count -= 1
            yield Assumptions(smoothness=lam, gap=rest[0], noise=rest[1], bias=rest[2], relative_bias=m), eta, steps


def check_sharp(count, seed):
    with mp.workdps(700):
        for a, eta, steps in settings(count, seed):
            h = a.smoothness * eta
            room = float(2 / (1 + np.sqrt(a.relative_bias)) - h)
            # Near the end of the domain the bound divides by what is left of it, which has few digits when m > 0.
            tolerance = 1e-11 if a.relative_bias == 0 else 1e-9 + 1e-14 / max(room, 1e-15)
            for bound, factor in ((sharp_bound, 1), (refined_bound, 1 - 1 / mp.mpf(steps))):
                found = bound(a, eta, steps)
                assert not np.isnan([found.transient, found.noise, found.bias, found.total]).any()
                if tolerance < 0.1:
                    assert agrees(found.total, exact_sharp(a, h, eta, steps, factor), tolerance), (bound, a, eta, steps)


def test_sharp_and_refined_are_those_of_exact_arithmetic():
    check_sharp(150, seed=0)


def test_the_refined_bound_where_the_bias_is_the_least_float():
    """Found by chance at 7e-8 too much: ζ²(1 - 1/T) is rounded to ζ²."""
    at = Assumptions(smoothness=3.3637257467823624e41, gap=0, noise=1e-300, bias=5e-324)
    eta = 5.945787946336406e-42  # h is next to 2
    with mp.workdps(700):
        exact = exact_sharp(at, at.smoothness * eta, eta, 1000, 1 - 1 / mp.mpf(1000))
        assert agrees(refined_bound(at, eta, 1000).total, exact, 1e-11)


@pytest.mark.slow
def test_sharp_and_refined_at_thousands_of_points(seed):
    check_sharp(4000, seed)


def exact_pl(a, h, eta, steps, mu):
    """The least of the forms that pl_bound states."""
    weights = zip(*long_weights(a, h, mu), strict=True) if h > 1 else ()
    lam, gap, noise, bias, h, mu = map(mp.mpf, (a.smoothness, a.gap, a.noise, a.bias, h, mu))
    q = min(h, 2 - h)
    kept, reach = 1 - mu / lam * q, h * mp.sqrt(bias) / (q * mp.sqrt(2 * mu))
    root = (kept * reach + mp.sqrt(reach**2 + (1 + kept) * h**2 * noise / (2 * mu * q))) / (1 + kept)
    slower = kept * (kept + (1 - kept) * reach / root) if root else kept**2
    once, slow = (mp.mpf(0) if np.isinf(steps) else base ** mp.mpf(steps) for base in (kept, slower))
    found = [(root + once * max(mp.sqrt(gap) - root, 0)) ** 2, root**2 + slow * (gap - root**2)]
    for c, s in (map(mp.mpf, each[:2]) for each in weights if each[1] < 1):
        weight, p = h - 1 + c, mu / lam
        left = (1 + weight * (1 - p / 2)) * (1 - p * (1 - s))
        d = max(weight * h - left, mp.mpf(0))  # near h = 2 it counts more digits than float64 has
        rate = left - weight - p * (left - weight * h + d) + d
        if rate < 1:
            high = (weight * h**2 / c * bias + h**2 * noise) / (2 * lam) / (1 - rate)
            if min(high, gap) < min(found):  # it lies between: a power of so many digits takes long
                found.append(high + (0 if np.isinf(steps) else rate ** mp.mpf(steps)) * (gap - high))
    return min(found)


def check_pl(count, seed):
    rng = np.random.default_rng(seed)
    with mp.workdps(700):
        for a, eta, steps in settings(count, seed):
            a, mu = replace(a, relative_bias=0.0), a.smoothness * rng.choice([0.9, 0.1, 10 ** rng.uniform(-290, 0)])
            exact = exact_pl(a, a.smoothness * eta, eta, steps, mu) if mu else 0
            if mu and exact < 1e290:
                found = pl_bound(a, eta, steps, pl_constant=mu)
                assert min(found.transient, found.noise, found.bias) >= 0
                assert agrees(found.total, exact, 1e-9), (a, eta, steps, mu, found, exact)


def test_under_a_growth_condition_the_bound_is_that_of_exact_arithmetic():
    check_pl(150, seed=0)
    # Its rate, 10⁻⁴⁰⁰, is no number of float64; its floor is 10²⁰⁰/2.
    at = Assumptions(smoothness=1.0, gap=1.0, noise=0.0, bias=1.0)
    assert pl_bound(at, 1e-200, 1e300, pl_constant=1e-200).total == pytest.approx(0.5e100, rel=1e-12)


@pytest.mark.slow
def test_under_a_growth_condition_at_thousands_of_points(seed):
    check_pl(2000, seed)


def test_a_step_beyond_float64_is_an_error_alone():
    with pytest.raises(ValueError, match="step = inf gives"):
        sharp_bound(Assumptions(smoothness=5e-324, gap=1, noise=0, bias=0), np.inf, 10)


@pytest.mark.parametrize("exponent", [-1040, -500, 500, 1019])
def test_intervals_do_not_depend_on_units(exponent):
    x = np.random.default_rng(0).exponential(size=40)
    for interval in (mean_interval, lambda x, rate, unit=1.0: bounded_interval(x, rate, upper=20 * unit, excess=unit)):
        unit = {} if interval is mean_interval else {"unit": float(np.ldexp(1.0, exponent))}
        found = interval(np.ldexp(x, exponent), 1e-3, **unit)
        tolerance = 1e-9 if exponent > -1000 else 1e-3  # subnormal numbers have few digits
        assert found == pytest.approx(np.ldexp(interval(x, 1e-3), exponent), rel=tolerance, abs=0)


def test_relative_bias_at_a_tiny_step():
    """The terms are 10¹⁵⁹, whose squares are none of float64's."""
    at = Assumptions(smoothness=1, gap=1, noise=0, bias=0, relative_bias=0.25)
    bound = sharp_bound(at, 1e-160, 10)
    # As h → 0: (1 - √m) A² = Δ/(ηT).
    assert bound.total == pytest.approx(2e159, rel=1e-12)
    assert bound.transient == pytest.approx(1e159, rel=1e-12)


def values(a, eta, steps):
    """Every other function at a setting, each where its domain has it."""
    free, quiet = replace(a, bias=0.0, relative_bias=0.0), replace(a, noise=0.0, relative_bias=0.0)
    absolute = replace(a, relative_bias=0.0)
    horizon = min(steps, 1e3)
    yield from (tight_bound(a, eta, steps), floor(a, eta), extremal_average(a, eta, horizon))
    yield momentum_bound(a, eta / 30 or eta, steps, momentum=0.5)
    yield momentum_bound(a, eta * 1e-12 or eta, steps, momentum=1e-200, nesterov=True)
    yield moving_target_bound(free, eta, steps, drift=a.bias)
    yield from (bias_horizon(absolute, eta), largest_bias(replace(a, noise=0.0, gap=0.0, relative_bias=0.0), eta, 1.0))
    law = stationary_law(a.smoothness, eta, noise=a.noise, bias=a.bias)
    yield from (law.offset, law.variance, law.step_variance)
    yield scope_bound(a.smoothness, eta, noise=a.noise, bias=a.bias, perturbation=a.gap, start=a.noise)
    if a.smoothness * eta <= 1:
        yield from (classical_bound(a, eta, steps), schedule_bound(absolute, [eta, eta / 3]))
        yield pl_bound(a, eta, steps, pl_constant=a.smoothness * 1e-3 or a.smoothness)
        yield long_run_law(quiet, eta, steps)
        if a.bias <= 2 * a.smoothness * a.gap:
            yield best_iterate_bound(quiet, eta, steps)
    for question in (
        lambda: largest_step(a, max(a.noise, 1e-300), steps=steps),
        lambda: largest_bias(a, eta, max(a.bias, 1e-300), steps=steps),
        lambda: largest_order(a, eta, 1e300, steps=steps, beta=a.gap, jacobian=1e-200, log_ratio_range=1e-320),
        lambda: largest_weight(a, eta, 1e300, steps=steps, alpha=a.gap, jacobian=1e-200, log_ratio_range=a.noise),
    ):
        try:
            yield question()
        except ValueError as error:
            if "target" not in str(error):
                raise


def check_others(count, seed):
    for a, eta, steps in settings(count, seed):
        for found in values(a, eta, steps):
            assert float(found) >= 0, (a, eta, steps, found)
        tight, refined, attained = (
            float(f(a, eta, min(steps, 1e3))) for f in (tight_bound, refined_bound, extremal_average)
        )
        # A few roundings at the edge of what float64 holds.
        assert attained <= tight * (1 + 1e-9) + 1e-320 <= refined * (1 + 2e-9) + 1e-319, (a, eta, steps)


def test_the_attained_average_where_h_squared_is_no_normal_number():
    """Found by chance at 4e-5 too much: h²σ² is of normal size, h² is not."""
    a = Assumptions(smoothness=1, gap=0, noise=8.78275818685749e301, bias=0)
    h, noise = Fraction(1.6329507592463096e-160), Fraction(8.78275818685749e301)
    assert extremal_average(a, float(h), 7) == pytest.approx(float(3 * h * h * noise), rel=1e-14, abs=0)
    biased = replace(a, bias=a.noise, noise=0.0)
    assert extremal_average(biased, float(h), 2) == pytest.approx(float(h * h * noise / 2), rel=1e-14, abs=0)


def test_the_first_gradient_beside_noise_that_is_no_part_of_it():
    """Found by chance at a third too much: in units of the noise 2ΛΔ has no digits left."""
    a = Assumptions(smoothness=3.4e133, gap=5e-324, noise=2.8e133, bias=0.0065)
    assert extremal_average(a, 2.2e-134, 1) == pytest.approx(2 * 3.4e133 * 5e-324, rel=1e-15, abs=0)


def test_no_nan_anywhere():
    check_others(60, seed=2)


@pytest.mark.slow
def test_no_nan_at_thousands_of_points(seed):
    check_others(2000, seed)


@pytest.mark.parametrize(("scale", "eta"), [(1e300, 1e-300), (1e-300, 1e300), (1e-200, 1e150)])
def test_units_do_not_matter(scale, eta):
    """f → cf turns Λ, Δ into cΛ, cΔ and squares of gradients into their c²-fold, which may leave float64 alone."""
    plain = Assumptions(smoothness=1.0, gap=1.0, noise=0.0, bias=0.0)
    scaled = replace(plain, smoothness=scale, gap=1 / scale)
    h = scale * eta
    for bound in (sharp_bound, refined_bound, tight_bound, classical_bound, best_iterate_bound):
        assert float(bound(scaled, eta, 7)) == pytest.approx(float(bound(plain, h, 7)), rel=1e-12)
    assert largest_step(scaled, 0.5, steps=100) * scale == pytest.approx(largest_step(plain, 0.5, steps=100), rel=1e-12)


@pytest.mark.parametrize("m", [0.0, 1e-9])
def test_the_tight_bound_is_finite_where_only_its_parts_are_not(m):
    """Λησ² is beyond the floats, and what of it is in the bound is not."""
    at = Assumptions(smoothness=1.0, gap=0.0, noise=1.7e308, bias=0.0, relative_bias=m)
    expected = 1e308 * tight_bound(replace(at, noise=1.7), 1.07, 7).total
    assert tight_bound(at, 1.07, 7).total == pytest.approx(expected, rel=1e-12)


def test_mutual_bias_at_the_ends():
    assert mutual_bias_bound(np.inf, beta=1e200, jacobian=1e200, log_ratio_range=0.0) == 0
    assert mutual_bias_bound(1.0, beta=1e200, jacobian=1e-200, log_ratio_range=4.0) == pytest.approx(
        2 * np.tanh(1) ** 2
    )
    # Order 0 bounds nothing where the supports differ.
    assert mutual_bias_bound(0.0, beta=1.0, jacobian=1.0, log_ratio_range=np.inf) == 2.0
    assert drift_bound(1.0, beta=1e-200, jacobian=1e300, peer_gradient=1e-100, log_ratio_range=4.0) == pytest.approx(
        2**0.5
    )
    for alpha in (0.0, 5e-324, 1.0, 1e308, np.inf):
        for spread in (0.0, 5e-324, 1.0, 1e308, np.inf):
            given = {"beta": 1.0, "jacobian": 1.0, "log_ratio_range": spread}
            assert 0 <= mutual_bias_bound(alpha, **given, divergence=spread) <= 2
            assert drift_bound(alpha, **given, peer_gradient=0.0) == 0
            assert drift_bound(alpha, **given, peer_gradient=1.0) >= 0


def exact_mutual(alpha, weights, rho, divergence):
    """The least form of ζ², of what is given."""
    forms = [2 * mp.tanh(mp.mpf(alpha) * rho / 4) ** 2] if rho else []
    forms += [max(1, mp.mpf(alpha)) * divergence] if divergence else []
    return mp.mpf(weights[0]) ** 2 * mp.mpf(weights[1]) ** 2 * min(forms)


def exact_drift(alpha, weights, rho):
    away = abs(mp.mpf(alpha) - 1)
    pull = alpha * mp.tanh(away * rho / 4) / away if away else mp.mpf(rho) / 4
    return mp.sqrt(2) * mp.fprod(map(mp.mpf, weights)) * pull


def check_mutual(count, seed):
    """Orders, weights and spreads of any size, and orders next to 1, each as exact as float64 holds it."""
    rng = np.random.default_rng(seed)

    def size():
        low, high = [(-323, 308), (-3, 3), (-320, -290), (290, 308), (-20, 20)][rng.integers(5)]
        return max(float(10 ** rng.uniform(low, high)), 5e-324)

    with mp.workdps(60):
        for _ in range(count):
            near = float(1 + rng.choice([-1, 1]) * 10 ** rng.uniform(-16.5, 0))
            alpha = [near, size(), size(), 1e-200, 5e-324, 1e308][rng.integers(6)]
            beta, jacobian, gradient, rho, divergence = (size() for _ in range(5))
            given = {"beta": beta, "jacobian": jacobian}
            found = drift_bound(alpha, **given, peer_gradient=gradient, log_ratio_range=rho)
            exact = exact_drift(alpha, (beta, jacobian, gradient), rho)
            assert agrees(found, exact, 1e-13), (alpha, given, gradient, rho, found, exact)
            for spread, mean in ((rho, None), (None, divergence), (rho, divergence)):
                found = mutual_bias_bound(alpha, **given, log_ratio_range=spread, divergence=mean)
                exact = exact_mutual(alpha, (beta, jacobian), spread, mean)
                assert agrees(found, exact, 1e-13), (alpha, given, spread, mean, found, exact)


def test_mutual_bias_and_drift_are_those_of_exact_arithmetic():
    # Found by hand: 0, since the order times √2 has no digits left, or |α-1|ρ is below every float.
    given = {"beta": 1.0, "jacobian": 1e300, "peer_gradient": 1e8, "log_ratio_range": 1.0}
    assert drift_bound(5e-324, **given) == pytest.approx(5e-324 * 1e308 * 2**0.5 * np.tanh(0.25), rel=1e-15, abs=0)
    near = np.nextafter(1, 0)
    assert drift_bound(near, **given | {"log_ratio_range": 1e-310}) == pytest.approx(2**0.5 / 400, rel=1e-13)
    check_mutual(150, seed=0)


@pytest.mark.slow
def test_mutual_bias_and_drift_at_thousands_of_points(seed):
    check_mutual(4000, seed)


def test_overflow_of_the_average_and_the_bound_is_no_verdict():
    cell = Cell(problem="quadratic", parameters={"radius": 1e154, "smoothness": 1.0}, step=1.9, steps=3, replicas=8)
    done = run_cell(replace(cell, parameters={"radius": 1e150, "smoothness": 1e5, "bias": 1e300}, step=1.9e-5))
    assert (done["average"], done["bound"], done["outcome"], done["ratio"]) == (np.inf, np.inf, "undecided", None)
    # Overflow beyond a finite bound is one.
    assert judge_mean(np.full(8, np.inf), 1.0).outcome == "refuted"
    assert judge_mean(np.full(8, np.inf), np.inf).outcome == "undecided"
    # A finite average below an infinite bound says nothing about it.
    verdict = judge_mean(np.ones(8), np.inf)
    assert (verdict.outcome, verdict.margin, verdict.detectable) == ("undecided", 1.0, np.inf)
    # Sums of what float64 holds may not be held.
    large = judge_mean(np.full(8, 1e308), 1.5e308)
    assert (large.outcome, large.observed) == ("confirmed", 1e308)


def test_a_start_at_which_f_is_infinite_is_refused_before_the_run():
    from convergence import simulate

    with pytest.raises(ValueError, match=r"gap = inf: expected a finite number >= 0; give f\(x_0\)"):
        simulate(problems.get("quadratic", radius=1e200), step=0.5, steps=10**9, replicas=8, seed=0)


def test_the_sums_of_the_tight_bound():
    """On either side of where the quotient is taken by a series, against 140 digits."""
    from convergence.tight import partial_sums

    rng = np.random.default_rng(6)
    with mp.workdps(140):
        for product in (*10 ** rng.uniform(-12, 2, 60), 0.4999, 0.5001, 1e-30):
            for sign in (1, -1):
                horizon = float(rng.integers(65, 10**6))
                y = sign * product / horizon
                share, rest = partial_sums(y, horizon)
                exact = (1 - (1 - mp.mpf(y)) ** horizon) / (mp.mpf(y) * horizon)
                assert abs(share / exact - 1) < 1e-12
                assert abs(rest / ((1 - exact) / mp.mpf(y)) - 1) < 1e-12
