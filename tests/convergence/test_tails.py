"""Bounds of single runs, envelopes, and the verdicts that rest on them."""

import dataclasses
import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
from scipy import integrate, special, stats

from convergence import (
    Assumptions,
    Envelope,
    SubGaussian,
    check_bound,
    floor,
    high_probability_bound,
    judge_mean,
    momentum_bound,
    problems,
    sequential_verdict,
    sgd,
    sharp_bound,
    simulate,
)
from convergence.estimators import STAKES, bounded_interval
from convergence.problems.noise_models import NOISE_MODELS, tail_of
from convergence.tails import (
    last_noise,
    line_envelope,
    reach_envelope,
    run_envelope,
    scaled_run,
    square_envelope,
)
from verify.claims.v1_error_rate import FAMILIES

AT = Assumptions(smoothness=2.0, gap=1.5, noise=0.8, bias=0.3)


def by_the_docstring(at, step, steps, tail, failure):
    """The least of the larger roots over λ, in 30 digits, from the equation as it is printed."""
    with mp.workdps(30):
        h, zeta, s2 = at.smoothness * mp.mpf(step), mp.sqrt(at.bias), mp.mpf(tail.proxy)

        def root(share):
            lam = share * (2 - h) / s2
            c = lam * s2 / (1 - lam * h * s2)
            right = at.gap / (step * mp.mpf(steps)) - tail.rank * mp.log(1 - lam * h * s2) / (2 * lam)
            right += -mp.log(failure) / (lam * steps)

            def left(a):
                return (1 - h / 2) * a**2 - abs(1 - h) * a * zeta - h / 2 * zeta**2 - c / 2 * (
                    abs(1 - h) * a + h * zeta
                ) ** 2  # fmt: skip

            second = (left(2) - 2 * left(1) + left(0)) / 2
            first = left(1) - left(0) - second
            return (-first + mp.sqrt(first**2 - 4 * second * (left(0) - right))) / (2 * second)

        return float(min(root(1 / (1 + mp.exp(-x))) for x in mp.linspace(-12, 12, 200)) ** 2)


@pytest.mark.parametrize("h", [0.05, 0.7, 1.0, 1.6])
@pytest.mark.parametrize(("steps", "rank", "failure"), [(10, 1, 0.3), (1000, 7, 1e-6)])
def test_the_bound_solves_its_equation_at_the_best_parameter(h, steps, rank, failure):
    tail = SubGaussian(proxy=0.8 / rank, rank=rank)
    found = float(high_probability_bound(AT, h / 2, steps, tail=tail, failure=failure))
    expected = by_the_docstring(AT, h / 2, steps, tail, failure)
    assert found == pytest.approx(expected, rel=2e-3)  # the grid's
    assert found <= expected * (1 + 1e-12)


def varying(at, steps, tail, failure):
    """The least A² over λ for steps that vary, term by term as the docstring has it."""
    h, zeta, s2 = at.smoothness * steps, np.sqrt(at.bias), tail.proxy
    weights, roots = steps / steps.sum(), []
    for share in 1 / (1 + np.exp(-np.linspace(-12, 12, 400))):
        lam = share * ((2 - h) / (steps * s2)).min()
        c = lam * steps * s2 / (1 - lam * steps * h * s2)
        a = (1 - h / 2 - c * (1 - h) ** 2 / 2).min()
        b = zeta * np.sqrt((weights * (1 - h) ** 2 * (1 + c * h) ** 2).sum())
        right = at.gap - np.log(failure) / lam - tail.rank / (2 * lam) * np.log(1 - lam * steps * h * s2).sum()
        right = right / steps.sum() + at.bias * (weights * h * (1 + c * h) / 2).sum()
        roots.append((b + np.sqrt(b * b + 4 * a * right)) / (2 * a))
    return min(roots) ** 2


SCHEDULES = {
    "decreasing": lambda t: 0.9 / np.sqrt(t), "harmonic": lambda t: 0.95 / t, "rising": lambda t: 0.9 * t / t[-1],
    "cosine": lambda t: 0.4 * (1.1 + np.cos(np.pi * t / t[-1])),
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("steps", "rank", "failure"), [(10, 1, 0.3), (1000, 7, 1e-6)])
def test_the_bound_of_varying_steps_solves_its_equation(name, steps, rank, failure):
    each, tail = SCHEDULES[name](np.arange(1.0, steps + 1)), SubGaussian(proxy=0.8 / rank, rank=rank)
    found = high_probability_bound(AT, each, steps, tail=tail, failure=failure)
    assert float(found) == pytest.approx(varying(AT, each, tail, failure), rel=2e-3)  # the grid's
    assert found.transient + found.noise + found.bias == pytest.approx(found.total)
    constant = np.full(steps, each[0])
    same = (high_probability_bound(AT, one, steps, tail=tail, failure=failure) for one in (constant, each[0]))
    assert float(next(same)) == pytest.approx(float(next(same)), rel=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_single_runs_with_varying_steps_keep_their_bound(name):
    """At most one in five may exceed it."""
    f, steps = problems.get("quadratic", dim=2, noise=1.0, bias=0.1), 30
    each = SCHEDULES[name](np.arange(1.0, steps + 1)) / f.smoothness
    run = simulate(f, step=each, steps=steps, replicas=4000, seed=7)
    weighted = run.mean_squared_gradient[-1]
    bound, started = (
        float(high_probability_bound(replace(run.assumptions, gap=gap), each, steps, tail=f.tail, failure=0.2))
        for gap in (run.assumptions.gap, 0.0)
    )
    assert (weighted > bound).mean() < 0.2
    assert weighted.mean() > 0.1 * bound
    assert started < bound


def test_steps_for_which_there_is_no_bound():
    tail = SubGaussian(proxy=0.1, rank=8)
    for step, words in (
        (np.full(4, 0.1), r"step has shape \(4,\) and steps = 5: expected a number, or one per step"),
        (np.array([0.1, 0.1, 1.0, 0.1, 0.1]), "the high-probability bound holds for 0 < Λη < 2"),
        (np.array([0.1, 0.1, 0.0, 0.1, 0.1]), "the high-probability bound holds for 0 < Λη < 2"),
    ):
        with pytest.raises(ValueError, match=words):
            high_probability_bound(AT, step, 5, tail=tail, failure=0.1)


@pytest.mark.parametrize("h", [0.05, 1.0, 1.6])
def test_limits(h):
    tail = SubGaussian(proxy=0.1, rank=8)
    long = float(high_probability_bound(AT, h / 2, 1e12, tail=tail, failure=1e-9))
    assert long == pytest.approx(float(floor(AT, h / 2)), rel=1e-4)
    assert long >= float(floor(AT, h / 2))
    quiet = dataclasses.replace(AT, noise=0.0)
    none = high_probability_bound(quiet, h / 2, 50, tail=SubGaussian(proxy=0.0, rank=1), failure=1e-9)
    assert float(none) == pytest.approx(float(sharp_bound(quiet, h / 2, 50)), rel=1e-12)
    bound = high_probability_bound(AT, h / 2, 50, tail=tail, failure=0.1)
    assert bound.transient + bound.noise + bound.bias == pytest.approx(bound.total)
    assert min(bound.transient, bound.noise, bound.bias) > 0


@pytest.mark.parametrize("size", [1e-300, 1e-150, 1e150, 1e290])
def test_units_do_not_matter(size):
    """Nothing inside overflows or loses digits unless the bound does."""
    at = Assumptions(smoothness=2.0, gap=size, noise=size, bias=0.3 * size)
    one = Assumptions(smoothness=2.0, gap=1.0, noise=1.0, bias=0.3)
    found, unit = (
        high_probability_bound(a, 0.4, 30, tail=SubGaussian(proxy=a.noise / 4, rank=4), failure=1e-3) for a in (at, one)
    )
    for name in ("transient", "noise", "bias", "total"):
        assert getattr(found, name) / size == pytest.approx(getattr(unit, name), rel=1e-6)
    tiny = high_probability_bound(
        Assumptions(smoothness=1e-200, gap=1.0, noise=1.0, bias=0.25), 1e-150, 1e300,
        tail=SubGaussian(proxy=1.0, rank=1), failure=0.1,
    )  # fmt: skip
    assert tiny.total == pytest.approx(0.25, rel=1e-3)


METHODS = [(0.5, False), (0.9, False), (0.9, True), (0.99, True)]


def constants(at, step, steps, mu, nesterov):
    """c, θ at s = 0, h and γ."""
    c, gamma = (mu**2 if nesterov else mu), step / (1 - mu)
    h = at.smoothness * gamma
    return c, h * (1 + 2 * c * (1 - mu ** ((steps - 1) / 2)) / (1 - mu)), h, gamma


def length_for(at, theta, steps, mu, nesterov):
    """The step at which Λη(1+2cℓ)/(1-μ) = θ."""
    return theta / constants(at, 1.0, steps, mu, nesterov)[1]


@pytest.mark.parametrize(("mu", "nesterov"), METHODS)
@pytest.mark.parametrize(("theta", "steps", "rank", "failure"), [(0.3, 10, 1, 0.3), (1.2, 1000, 7, 1e-6)])
def test_the_bound_with_momentum_solves_its_equation(mu, nesterov, theta, steps, rank, failure):
    """No λ, s, k and ε that the docstring allows give less, and some hardly more."""
    tail, step = SubGaussian(proxy=0.8 / rank, rank=rank), length_for(AT, theta, steps, mu, nesterov)
    how = {"tail": tail, "failure": failure, "momentum": mu, "nesterov": nesterov}
    found = high_probability_bound(AT, step, steps, **how)
    c, theta, h, gamma = constants(AT, step, steps, mu, nesterov)
    zeta, s2, rng = np.sqrt(AT.bias), tail.proxy, np.random.default_rng(5)
    lam_h, s, excess = (10 ** rng.uniform(low, high, 400_000) for low, high in ((-6, 0), (-4, 1), (-2, 2)))
    k = h * c / (2 * s * (1 - mu**2)) * (1 + excess)
    lam = lam_h / ((h + 2 * k) * s2)
    big = lam * s2 / (1 - lam * (h + 2 * k) * s2)
    paid = k * (1 - mu**2) - h * c / (2 * s)
    epsilon = 1 / (2 * paid / (big * (h * c + 2 * mu * k) ** 2) - 1)
    p, q, full = abs(1 - h) + h * c / (1 - mu), h + h * c / (1 - mu), theta + h * c * s
    right = AT.gap / (gamma * steps) - rank / (2 * lam) * np.log(1 - lam * (h + 2 * k) * s2)
    right += -np.log(failure) / (lam * steps)
    a = 1 - full / 2 - big / 2 * (1 + epsilon) * p**2
    b = zeta * (abs(1 - full) + big * (1 + epsilon) * p * q)
    right += zeta**2 * (full / 2 + big / 2 * (1 + epsilon) * q**2)
    a, b, right = (array[(epsilon > 0) & (a > 0)] for array in (a, b, right))
    least = ((b + np.sqrt(b * b + 4 * a * right)) / (2 * a)).min() ** 2
    assert least * 0.9 < float(found) < least * (1 + 1e-3)
    assert found.transient + found.noise + found.bias == pytest.approx(found.total)


@pytest.mark.parametrize(("mu", "nesterov"), METHODS)
def test_single_runs_with_momentum_keep_their_bound(mu, nesterov):
    """At most one in five may exceed it; the envelope is not far above."""
    f, steps = problems.get("quadratic", dim=2, noise=1.0, bias=0.1), 3000
    step = length_for(Assumptions(smoothness=f.smoothness, gap=0, noise=0, bias=0), 0.3, steps, mu, nesterov)
    run = simulate(f, step=step, steps=steps, replicas=512, seed=8, momentum=mu, nesterov=nesterov)
    how = {"tail": f.tail, "momentum": mu, "nesterov": nesterov}
    bound = float(high_probability_bound(run.assumptions, step, steps, **how, failure=0.2))
    values = run.mean_squared_gradient[-1]
    assert (values > bound).mean() < 0.2
    assert bound < 2 * values.mean()
    assert values.max() < run.envelope.upper < 3 * values.mean()


def test_little_momentum_is_hardly_another_method():
    tail = SubGaussian(proxy=0.1, rank=8)
    plain = high_probability_bound(AT, 0.2, 100, tail=tail, failure=1e-3)
    assert float(high_probability_bound(AT, 0.2, 100, tail=tail, failure=1e-3, momentum=1e-9)) == pytest.approx(
        float(plain), rel=1e-3
    )
    quiet = replace(AT, noise=0.0)
    none = high_probability_bound(quiet, 0.02, 50, tail=SubGaussian(proxy=0.0, rank=1), failure=1e-9, momentum=0.5)
    # Without noise it is C2's of a run with γ and θ, which potentials improve on.
    theta, gamma = constants(quiet, 0.02, 50, 0.5, False)[1::2]
    lagged = sharp_bound(replace(quiet, smoothness=quiet.smoothness * theta / (quiet.smoothness * gamma)), gamma, 50)
    assert float(none) == pytest.approx(float(lagged))
    assert float(none) > float(momentum_bound(quiet, 0.02, 50, momentum=0.5))


def moment(model, u, h, lam, variance):
    """E exp(λ(-⟨u, n⟩ + (h/2)‖n‖²)) of the noise of a model, exactly or by quadrature."""
    dim = len(u)
    if model == "orthogonal":  # along a unit vector; u there is the projection
        signs = np.sqrt(variance) * np.array([1.0, -1.0])
        return np.exp(lam * (-u[0] * signs + h / 2 * signs**2)).mean()
    if model == "rademacher":
        n = np.sqrt(variance / dim) * np.array(list(product([1.0, -1.0], repeat=dim)))
        return np.exp(lam * (-n @ u + h / 2 * (n**2).sum(axis=1))).mean()
    s = np.sqrt(variance / dim)
    if model == "gaussian":

        def one(v):
            return integrate.quad(
                lambda x: np.exp(lam * (-v * x + h / 2 * x**2) - x**2 / (2 * s**2)) / (s * np.sqrt(2 * np.pi)),
                -60 * s, 60 * s, limit=400,
            )[0]  # fmt: skip
    else:
        scale = s * np.sqrt((1 - 1e-4) / np.log(1e4))

        def one(v):
            def at(x):
                n = scale / np.sqrt(x)
                return np.cosh(lam * v * n) * np.exp(lam * h / 2 * n**2) / (1 - 1e-4)

            return integrate.quad(at, 1e-4, 1e-2, limit=400)[0] + integrate.quad(at, 1e-2, 1)[0]

    return np.prod([one(v) for v in u])


@pytest.mark.parametrize("model", NOISE_MODELS)
def test_the_exponential_moment_is_below_what_the_tail_allows(model):
    rng = np.random.default_rng(31)
    for _ in range(12):
        dim = 1 if model == "orthogonal" else int(rng.integers(1, 4))
        variance, h = rng.uniform(0.1, 3), rng.uniform(0.05, 1.9)
        tail = tail_of(model, variance, dim)
        lam = rng.uniform(0.02, 0.9) / (h * tail.proxy)
        u = rng.normal(size=dim) / (lam * np.sqrt(tail.proxy))
        shrunk = 1 - lam * h * tail.proxy
        allowed = shrunk ** (-tail.rank / 2) * np.exp(lam**2 * tail.proxy * (u @ u) / (2 * shrunk))
        found = moment(model, u, h, lam, variance)
        assert found <= allowed * (1 + 1e-9)
        if model == "gaussian":  # whose moment it is
            assert found == pytest.approx(allowed, rel=1e-6)


def test_what_lies_beyond_the_envelope_is_below_its_excess():
    """E max(X - U, 0) is the integral of the probabilities, each at most that of the bound at the same parameter."""
    for h, steps, rank in ((0.1, 1000, 10), (0.9, 20, 1), (1.7, 200, 3)):
        tail = SubGaussian(proxy=1.0 / rank, rank=rank)
        run, _ = scaled_run(AT, h / 2, steps, tail)
        share = run.best(30.0)
        doubts = 30 + np.linspace(0, 40, 4001)
        squares = np.array([run.squared(d, share)[0] for d in doubts])
        beyond = float(np.sum(np.exp(-doubts[:-1]) * np.diff(squares)))
        upper, slope = run.squared(30.0, share)
        assert beyond <= slope * np.exp(-30.0) * 1.01
        assert beyond >= 0.5 * slope * np.exp(-30.0)
        assert (squares <= upper + slope * (doubts - 30) * (1 + 1e-9) + 1e-12).all()


def test_an_envelope_is_found_when_it_is_asked_for(monkeypatch):
    f, asked = problems.get("double_well", noise=0.5), []
    monkeypatch.setattr(sgd, "run_envelope", lambda *given, **how: asked.append(given) or run_envelope(*given, **how))
    run = simulate(f, step=0.1, steps=5, replicas=8, seed=0)
    assert not asked
    assert run.envelope is run.envelope is not None
    assert len(asked) == 1


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("step", [1e-320, 1e-305, 1e-200, 1e-100, 1e-20])
def test_the_bound_of_the_shortest_steps(step, momentum):
    """It is what is left of the gap, (1-μ)Δ/(ηT) with what the lag takes off, up to noise and bias; or overflows."""
    at, tail = Assumptions(smoothness=1.0, gap=1.0, noise=0.1, bias=0.01), SubGaussian(proxy=0.05, rank=2)
    found = high_probability_bound(at, step, 3, tail=tail, failure=0.01, momentum=momentum)
    with np.errstate(over="ignore"):
        left = np.float64((1 - momentum) * at.gap / 3) / step
    assert found.total == (np.inf if np.isinf(left) else pytest.approx(left, rel=1e-6))


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_where_the_bound_overflows_there_is_no_envelope(momentum):
    f = problems.get("quadratic", noise=0.1, bias=0.01)
    run = simulate(f, step=1e-320, steps=3, replicas=2, seed=0, momentum=momentum)
    assert run_envelope(f, run.assumptions, 1e-320, 3, momentum=momentum) is run.envelope is None


def test_who_has_an_envelope():
    f = problems.get("double_well", noise=0.5, bias=0.1)
    how = {"step": 0.1, "steps": 50, "replicas": 8, "seed": 0}
    run = simulate(f, **how)
    assert run.envelope == run_envelope(f, run.assumptions, 0.1, 50)
    assert (run.mean_squared_gradient[-1] < run.envelope.upper).all()
    same = simulate(f, **{**how, "step": np.full(50, 0.1)}).envelope
    assert same.upper == pytest.approx(run.envelope.upper, rel=1e-6)
    assert simulate(f, **how, momentum=0.5).envelope == run_envelope(f, run.assumptions, 0.1, 50, momentum=0.5)
    assert simulate(f, **{**how, "step": np.full(50, 0.1)}, momentum=0.5).envelope is None
    assert simulate(f, **{**how, "step": 0.3}, momentum=0.9).envelope is None
    boxed = problems.get("double_well", noise=0.5, bias=0.1)
    boxed.box = (-10.0, 10.0)  # z may leave it where x does not
    assert run_envelope(boxed, run.assumptions, 0.1, 50) == run.envelope
    assert run_envelope(boxed, run.assumptions, 0.1, 50, momentum=0.5) is None
    assert simulate(f, **how, every=5).envelope is None
    assert simulate(f, **how, oracle=lambda t: f).envelope is None
    assert simulate(problems.get("double_well", noise=0.5, relative_bias=0.5), **how).envelope is None
    assert simulate(f, **{**how, "step": 3.0}).envelope is None
    batches = problems.get("nonconvex_logistic", batch=2)
    assert batches.tail is None
    assert simulate(batches, **how).envelope is None
    assert problems.get("nonconvex_logistic", noise=1.0).tail.rank > 1
    assert simulate(problems.get("double_well"), **how, momentum=0.5).envelope.alike

    class Own(type(f)):
        def noise_at(self, x, gradient, rng, out):
            out[...] = rng.standard_cauchy(out.shape)
            return True

    assert Own(noise=1.0).tail is None


def test_the_interval_is_where_the_capital_reaches_its_goal():
    rng = np.random.default_rng(32)
    x, rate = rng.gamma(4.0, size=100) / 4, 1e-3
    low, high = bounded_interval(x, rate, upper=6.0)

    def lower(m):
        return np.mean([np.prod(1 + c * (x / m - 1)) for c in STAKES])

    def upper(m):
        return np.mean([np.prod(1 + c * (m - np.minimum(x, 6.0)) / (6.0 - m)) for c in STAKES])

    assert lower(low * (1 - 1e-5)) > 1 / rate > lower(low * (1 + 1e-5))
    assert upper(high * (1 - 1e-5)) < 1 / rate < upper(high * (1 + 1e-5))
    assert bounded_interval(x, rate, upper=6.0, excess=0.25)[1] == pytest.approx(high + 0.25)
    assert bounded_interval(x, rate, upper=60.0)[0] == low


@pytest.mark.parametrize("rate", [1e-300, 1e-310, 5e-324])
def test_an_interval_errs_as_rarely_as_float64_can_say(rate):
    low, high = bounded_interval(np.full(100, 0.5), rate, upper=1.0)
    logs = 100 * np.log1p(STAKES * (0.5 / low - 1))
    assert np.log(np.exp(logs - logs.max()).mean()) + logs.max() == pytest.approx(-np.log(rate), rel=1e-8)
    assert high == pytest.approx(1 - low)


def test_an_interval_of_mirrored_replicas_is_mirrored():
    rng = np.random.default_rng(34)
    x = rng.uniform(-1.0, 3.0, 200)
    low, high = bounded_interval(x, 1e-3, lower=-1.0, upper=3.0)
    mirrored = bounded_interval(-x, 1e-3, lower=-3.0, upper=1.0)
    assert (-mirrored[1], -mirrored[0]) == pytest.approx((low, high))
    assert (low + 1, high + 1) == pytest.approx(bounded_interval(x + 1, 1e-3, upper=4.0))
    # What lacks below is taken off, and replicas are raised to the end as they are cut off at the other.
    ends = bounded_interval(np.r_[x, -2.0], 1e-3, lower=-1.0, upper=3.0, lack=0.25)
    assert ends[0] == pytest.approx(bounded_interval(np.r_[x, -1.0], 1e-3, lower=-1.0, upper=3.0)[0] - 0.25)
    assert bounded_interval(np.r_[x, -2000.0], 1e-3, lower=-1.0, upper=3.0, lack=1e-3)[0] == -np.inf
    assert judge_mean(np.r_[x, -2000.0], 2.5, envelope=Envelope(lower=-1.0, upper=3.0, lack=1e-3)).interval[1] < 2.5
    known = {"lower": -1.0, "upper": 2.0, "excess": 0.5, "lack": 0.25}
    assert judge_mean(x, 2.0, envelope=Envelope(**known)).interval == bounded_interval(x, 1e-3, **known)
    for constant in (-1.0, 3.0, 3.0 - 1e-15, 3.0 - 1e-6):
        ends = bounded_interval(np.full(50, constant), 1e-3, lower=-1.0, upper=3.0)
        assert ends[0] <= constant <= ends[1]


def beyond(values, chances, upper):
    """E max(X - u, 0), exactly."""
    return float(chances @ np.maximum(values - upper, 0))


@pytest.mark.parametrize("doubt", [0.5, 2.0, 8.0, 30.0])
def test_what_sub_gaussian_numbers_and_squares_have_beyond(doubt):
    """Of normal ones, by quadrature; a square is that of a vector whose mean is as long as is allowed."""
    s, mean = 0.7, -2.0
    line = line_envelope(s**2, mean, doubt)
    z = (line.upper - mean) / s
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    exact = s * (density - z * special.ndtr(-z))
    assert 0.04 * line.excess < exact <= line.excess == line.lack
    assert line.lower == pytest.approx(2 * mean - line.upper)
    for rank, away in ((1, 0.0), (1, 3.0), (3, 0.5), (3, 10.0)):
        found = square_envelope(SubGaussian(proxy=s**2, rank=rank), away, doubt)
        law = stats.ncx2(rank, (away / s) ** 2) if away else stats.chi2(rank)
        tail = integrate.quad(lambda x: law.sf(x), found.upper / s**2, np.inf, epsabs=0, limit=200)[0]  # noqa: B023
        assert s**2 * tail <= found.excess * (1 + 1e-6)
        assert found.upper > law.mean() * s**2
    assert square_envelope(SubGaussian(proxy=0.0, rank=2), 3.0) == Envelope(upper=9.0)


@pytest.mark.parametrize(("steps", "start", "zeta"), [(1, 3.0, 0.0), (6, 0.0, 0.5), (12, -4.0, 0.5)])
@pytest.mark.parametrize("doubt", [0.1, 1.0, 3.0])
def test_where_iterates_may_be(steps, start, zeta, doubt):
    """All outcomes of the signs: on a quadratic plus cosines in one dimension, with a bias away from zero."""
    f = problems.get("quadratic_cosine", dim=1, curvature=0.5, amplitude=1.0, frequency=2.0, noise=1.0)
    tail, step, sigma = tail_of("rademacher", 1.0, 1), 0.4, 1.0
    signs = np.array(list(product([1.0, -1.0], repeat=steps)))
    for away in (False, True):  # the pull of the problem, or the worst there is
        x, noise = np.full((len(signs), 1), start), np.zeros(len(signs))
        for n in signs.T:
            pull = -(2.0 + zeta) * np.where(x < 0, -1, 1) if away else f.gradient(x) - 0.5 * x - zeta * np.sign(x)
            x = (1 - step * 0.5) * x - step * (pull + sigma * n[:, None])
            noise = (1 - step * 0.5) * noise - step * sigma * n
        found = reach_envelope(tail, 0.5, step, steps, start=abs(start), pull=2.0 + zeta, doubt=doubt)
        chances = np.full(len(signs), 1 / len(signs))
        assert beyond(x[:, 0] ** 2, chances, found.upper) <= found.excess
        assert (x[:, 0] ** 2).max() <= found.upper or doubt < 3
        assert last_noise(tail, 0.5, step, steps).proxy == pytest.approx((noise**2).mean())
        lowest = reach_envelope(SubGaussian(proxy=0.0, rank=1), 0.5, step, steps, start=abs(start), pull=2.0 + zeta)
        if away:  # without noise it is where such a pull leads
            assert (x[:, 0].mean()) ** 2 <= lowest.upper * (1 + 1e-12)
            assert np.abs(x).max() >= np.sqrt(lowest.upper)


def test_what_the_noise_adds_where_steps_vary():
    rng = np.random.default_rng(36)
    etas, tail = rng.uniform(0.1, 1.5, 7), SubGaussian(proxy=0.3, rank=2)
    weights = []
    for n in np.eye(7):
        x = 0.0
        for eta, each in zip(etas, n, strict=True):
            x -= eta * (0.8 * x + each)
        weights.append(x)
    assert last_noise(tail, 0.8, etas, 7).proxy == pytest.approx(0.3 * np.square(weights).sum())


def test_one_replica_that_carries_the_third_moment_leaves_it_open():
    x = np.random.default_rng(35).normal(size=500)
    assert judge_mean(x, 1.0).outcome == "confirmed"
    assert judge_mean(x, -1.0).outcome == "refuted"
    for far in (50.0, -50.0):
        assert judge_mean(np.r_[x, far], 1.0).outcome == "undecided"
        assert judge_mean(np.r_[x, far], -1.0).outcome == "undecided"
        assert judge_mean(1e300 * np.r_[x, far], 1e300).outcome == "undecided"
    assert judge_mean(np.r_[x, 50.0, 50.0, 50.0], 5.0).outcome == "confirmed"
    assert judge_mean(np.full(8, 0.1), 1.0).outcome == "confirmed"


def test_replicas_that_belie_their_envelope_confirm_nothing():
    x = np.r_[np.full(500, 0.5), 3.0]
    assert bounded_interval(x, 1e-3, upper=1.0)[1] == np.inf
    assert bounded_interval(x, 1e-3, upper=1.0, excess=10.0)[1] < 12
    assert judge_mean(x, 2.0, envelope=Envelope(upper=1.0)).outcome == "undecided"
    assert judge_mean(x, 0.1, envelope=Envelope(upper=1.0)).outcome == "refuted"


def test_what_is_rare_is_not_ruled_out():
    """195 of 200 samples of 4,096 miss an event of probability 1e-4 that carries half the mean."""
    rng = np.random.default_rng(33)
    confirmed = {"asymptotic": 0, "envelope": 0}
    for _ in range(40):
        x = np.where(rng.random(4096) < 1e-4, 0.5 + 5e3, 0.5)
        for envelope in (None, Envelope(upper=0.5 + 5e3)):
            verdict = sequential_verdict(lambda a, b, x=x: x[a:b], 0.75, error_rate=2e-6, envelope=envelope)
            confirmed[verdict.basis] += verdict.outcome == "confirmed"
    assert confirmed["envelope"] == 0
    assert confirmed["asymptotic"] > 30


def test_a_verdict_on_a_run_rests_on_its_envelope():
    f = problems.get("quadratic_cosine", noise=1.0, bias=0.25)
    run = simulate(f, step=0.5 / f.smoothness, steps=500, replicas=256, seed=0)
    bound = sharp_bound(run.assumptions, run.step, 500)
    verdict = check_bound(run, bound)
    assert (verdict.outcome, verdict.basis) == ("confirmed", "envelope")
    for quantity, basis in (("value above the infimum", "asymptotic"), ("least squared gradient norm", "envelope")):
        assert check_bound(run, dataclasses.replace(bound, quantity=quantity)).basis == basis
    # Another horizon's envelope would be too short: the replicas say so.
    short = dataclasses.replace(run)
    vars(short)["envelope"] = Envelope(upper=float(np.median(run.mean_squared_gradient[-1])))
    assert check_bound(short, bound).outcome == "undecided"
    heavy = problems.get("quadratic", noise=1.0, bias=0.25, noise_model="heavy_tailed")
    run = simulate(heavy, step=0.5, steps=20, replicas=256, seed=0)
    verdict = check_bound(run, sharp_bound(run.assumptions, 0.5, 20))
    assert verdict.basis == "envelope"
    assert verdict.interval[1] > 10 * verdict.observed  # few replicas say little of noise up to 33 times as long


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: high_probability_bound(AT, 1.5, 10, tail=SubGaussian(proxy=1, rank=1), failure=0.1), "Λη = 3"),
        (lambda: high_probability_bound(AT, 0.5, 10, tail=SubGaussian(proxy=1, rank=1), failure=1.0), "failure = 1.0"),
        (lambda: high_probability_bound(AT, 0.5, 0, tail=SubGaussian(proxy=1, rank=1), failure=0.1), "steps = 0"),
        (lambda: high_probability_bound(AT, 0.5, 10, tail=1.0, failure=0.1), "tail = 1.0"),
        (
            lambda: high_probability_bound(
                AT, np.full(3, 0.1), 3, tail=SubGaussian(proxy=1, rank=1), failure=0.1, momentum=0.5
            ),
            "momentum = 0.5: expected a number in .0, 1., and 0 where steps vary",
        ),
        (
            lambda: high_probability_bound(AT, 0.4, 100, tail=SubGaussian(proxy=1, rank=1), failure=0.1, momentum=0.5),
            r"gives Λη\(1\+2cℓ\)/\(1-μ\) = 4.8.*: the high-probability bound holds below 2",
        ),
        (lambda: SubGaussian(proxy=-1.0, rank=1), "proxy = -1.0"),
        (lambda: Envelope(upper=float("nan")), "upper = nan"),
        (lambda: bounded_interval([-1.0, 1.0], 0.1, upper=2.0), "expected replicas >= 0"),
        (lambda: bounded_interval([1.0], 0.7, upper=2.0), "error_rate = 0.7"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_the_record_of_coverage():
    """No family of replicas errs more often than stated, with an envelope; without one, some do by far."""
    record = json.loads((Path(__file__).parents[2] / "benchmarks" / "coverage_table.json").read_text())
    assert record["trials"] == 100_000
    assert set(record["families"]) == set(FAMILIES)
    for family in record["families"].values():
        for rate, found in family.items():
            # Four standard deviations of a count: one false alarm in 3e4.
            most = float(rate) + 4 * np.sqrt(float(rate) / record["trials"])
            assert max(found["envelope"].values()) <= most
    rare = record["families"]["1 in 10,000 carries half the mean"]["0.001"]
    assert rare["asymptotic"]["upper"] > 0.9


def rows_of_verdicts(families):
    """The page's table."""
    for name, rules in families.items():
        for rule, limits in rules.items():
            shares = [f"{100 * limits[words][outcome]:g}%" for words in limits for outcome in limits[words]]
            yield f"  | {name} | {rule} | {' | '.join(shares)} |"


def test_the_record_of_verdicts_without_an_envelope():
    """What replicas show of a heavy tail leaves verdicts open; what they do not show is missed, as the page says."""
    root = Path(__file__).parents[2]
    record = json.loads((root / "benchmarks" / "verdicts_table.json").read_text())
    assert (record["trials"], record["error rate"]) == (2000, 1e-6)
    plain = {name: rules["asymptotic"] for name, rules in record["families"].items()}
    for name, limits in plain.items():
        assert limits["true"]["refuted"] == 0
        assert limits["false"]["confirmed"] <= (0.98 if "10,000" in name else 0.001)
    assert plain["1 in 10,000 carries half the mean"]["false"]["confirmed"] > 0.9
    assert plain["chi-square"]["true"]["confirmed"] == plain["chi-square"]["false"]["refuted"] == 1
    page = (root / "docs" / "verdicts.md").read_text()
    assert "\n".join(rows_of_verdicts(record["families"])) in page
