"""The analytic bound of SGD with momentum: its special cases, its domain, and the exact worst case below it."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from convergence import Assumptions, momentum_bound, stepwise_bound, tight_bound, worst_case
from convergence.momentum import best_potential
from convergence.performance import Method


def unit(bias=0.0, noise=0.0, relative_bias=0.0):
    return Assumptions(smoothness=1.0, gap=1.0, noise=noise, bias=bias, relative_bias=relative_bias)


def step_at(theta, momentum, nesterov=False):
    """The step at which ϑ = Λη(1+2c/(1-μ))/(1-μ)."""
    c = momentum**2 if nesterov else momentum
    return theta * (1 - momentum) / (1 + 2 * c / (1 - momentum))


def test_no_momentum_is_the_tight_bound():
    rng = np.random.default_rng(0)
    for _ in range(10):
        lam, gap, noise, bias = 10 ** rng.uniform(-2, 2, 4)
        assumptions = Assumptions(smoothness=lam, gap=gap, noise=noise, bias=bias, relative_bias=0.1)
        step, steps = rng.uniform(0.01, 1.5) / lam, 10 ** rng.uniform(0, 5)
        tight = tight_bound(assumptions, step, steps)
        for nesterov in (False, True):
            bound = momentum_bound(assumptions, step, steps, momentum=0.0, nesterov=nesterov)
            assert (bound.total, bound.noise) == (tight.total, tight.noise)
            near = momentum_bound(assumptions, step, steps, momentum=1e-9, nesterov=nesterov)
            assert near.total == pytest.approx(tight.total, rel=5e-3)


@pytest.mark.parametrize(("momentum", "nesterov", "floor"), [(0.5, False, 6.4), (0.9, True, 5.7653)])
def test_steps_beyond_those_of_the_first_potential_have_one(momentum, nesterov, floor):
    """At twice 1-μ, where the potential that a search begins with proves nothing."""
    bound = momentum_bound(unit(bias=1.0), 2 * (1 - momentum), np.inf, momentum=momentum, nesterov=nesterov)
    assert bound.total == pytest.approx(floor, rel=1e-4)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.3, 0.9])
def test_never_below_the_exact_worst_case_and_near_it(momentum, nesterov):
    for theta in (0.3, 1.0, 1.7):
        for steps, noise in ((1, 0.0), (3, 0.0), (7, 0.0), (3, 0.5)):
            for zeta in (0.0, 0.5):
                step, assumptions = step_at(theta, momentum, nesterov), unit(bias=zeta**2, noise=noise)
                exact = worst_case(assumptions, step, steps, momentum=momentum, nesterov=nesterov).value
                bound = momentum_bound(assumptions, step, steps, momentum=momentum, nesterov=nesterov).total
                assert exact <= bound * (1 + 1e-7)
                assert bound <= 1.15 * exact


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.1, False), (0.5, True)])
@pytest.mark.parametrize("steps", [2, 6])
def test_the_same_for_long_steps_with_the_gradient_in_the_potential(momentum, nesterov, steps):
    step, assumptions, method = 1.6 * (1 - momentum), unit(bias=0.25), {"momentum": momentum, "nesterov": nesterov}
    assert best_potential(assumptions, step, steps, **method).constants()[2] > 0.01
    exact = worst_case(assumptions, step, steps, **method).value
    assert exact <= momentum_bound(assumptions, step, steps, **method).total <= 1.08 * exact


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.5, False), (0.9, False), (0.9, True)])
def test_within_a_tenth_of_the_best_potential(momentum, nesterov):
    """The best one has constants of its own at each step; bias and noise of the size of the transient."""
    steps, assumptions = 100, unit(bias=0.09, noise=0.3)
    for theta in (0.6, 1.9):
        step = step_at(theta, momentum, nesterov)
        bound = momentum_bound(assumptions, step, steps, momentum=momentum, nesterov=nesterov)
        proved = stepwise_bound(assumptions, step, steps, momentum=momentum, nesterov=nesterov)
        assert 1.0 <= bound.total / proved.total < 1.1


@pytest.mark.parametrize("momentum", [0.2, 0.5, 0.9, 0.99])
def test_the_floor_of_a_heavy_ball(momentum):
    """ζ² up to ϑ = 1, and from there to Λη = 1-μ what the docstring says."""
    for theta in (0.1, 0.9, 1.5, 0.99 * (1 + momentum) / (1 - momentum)):
        found = momentum_bound(unit(bias=0.3), step_at(theta, momentum), np.inf, momentum=momentum).total / 0.3
        past = max(theta - 1, 0.0) / theta
        law = 1 / (1 - (1 + momentum) ** 2 * past**2 / (4 * momentum))
        assert law * (1 - 1e-9) <= found <= law * (1 + 1e-2)


@pytest.mark.parametrize(
    ("momentum", "nesterov", "size"), [(0.02, False, 1.4), (0.1, False, 2.0), (0.1, True, 1.2), (0.5, True, 2.0)]
)
def test_the_floor_of_steps_so_long_that_iterates_jump_to_and_fro(momentum, nesterov, size):
    """On ‖x‖²/2, where x_{t+1} = -x_t, and the bias is (2(1+μ)/h - 1) x_t, or (2(1+μ)/(h(1+2μ)) - 1) x_t."""
    step = size * (1 - momentum)
    needed = 2 * (1 + momentum) / step / (1 + 2 * momentum if nesterov else 1)
    found = momentum_bound(unit(bias=0.3), step, np.inf, momentum=momentum, nesterov=nesterov).total / 0.3
    assert found == pytest.approx((needed - 1) ** -2, rel=1e-6)


def test_a_potential_without_the_gradient_is_farther_from_the_floor():
    """With r = 0, that is, δ ≥ 1, where bound and walk are within 0.3%."""
    best = best_potential(unit(bias=1.0), 1.4, np.inf, momentum=0.3)
    rng = np.random.default_rng(0)
    others = replace(
        best, friction=np.exp(rng.uniform(-6, 2, 200_000)), slack=rng.uniform(-1, 1, 200_000),
        stiffness=np.exp(rng.uniform(0, 1, 200_000)),
    )  # fmt: skip
    bounds = np.sort(others.bound(unit(bias=1.0), np.inf))
    assert bounds[0] > 1.1 * best.bound(unit(bias=1.0), np.inf)
    assert bounds[0] < 1.3 * best.bound(unit(bias=1.0), np.inf)


@pytest.mark.parametrize("momentum", [0.2, 0.5, 0.9])
def test_without_bias_a_heavy_ball_keeps_its_closed_form(momentum):
    """κ = η + ω - J/(1-μ²) with J = η(η/2 + ω), as φ → 0 and ε = 2τ."""
    mu, room = momentum, 1 - momentum**2
    for theta in (0.05, 0.5, 1.0):
        eta = step_at(theta, mu)
        omega = mu * eta * (room - eta) / ((1 - mu) * room + 2 * mu * eta)
        kappa = eta + omega - eta * (eta / 2 + omega) / room
        bound = momentum_bound(unit(), eta, 1e7, momentum=mu).total * 1e7
        assert bound == pytest.approx(1 / kappa, rel=1e-5)


def test_every_potential_proves_a_bound_above_the_best():
    assumptions, eta, steps = unit(bias=0.01, noise=0.2), 0.004, 300
    best = best_potential(assumptions, eta, steps, momentum=0.9)
    least, exact = float(best.bound(assumptions, steps)), stepwise_bound(assumptions, eta, steps, momentum=0.9).total
    assert exact <= least == momentum_bound(assumptions, eta, steps, momentum=0.9).total
    rng = np.random.default_rng(0)
    for spread, reach in ((0.1, 0.95), (1.0, 0.3)):
        names = ("friction", "stiffness", "trade")
        others = replace(
            best, slack=best.slack + spread * rng.normal(size=500),
            **{name: getattr(best, name) * np.exp(spread * rng.normal(size=500)) for name in names},
        )  # fmt: skip
        bounds = others.bound(assumptions, steps)
        assert (bounds > least * (1 - 1e-3)).all()
        assert np.isfinite(bounds).mean() > reach


def test_small_steps_cost_what_plain_steps_of_the_effective_size_cost():
    """As η → 0 the lag does not matter, for the floor of noise in particular."""
    assumptions = unit(noise=1.0)
    for step in (1e-6, 1e-8):
        bound = momentum_bound(assumptions, step, np.inf, momentum=0.9)
        plain = tight_bound(assumptions, 10 * step, np.inf)
        assert bound.total == pytest.approx(plain.total, rel=20 * step**0.5)


def test_arrays_broadcast():
    assumptions = unit(bias=0.01, noise=0.1)
    bound = momentum_bound(assumptions, [[0.001], [0.002]], [10, 100, np.inf], momentum=0.9)
    assert bound.total.shape == (2, 3)
    assert bound.total[1, 1] == momentum_bound(assumptions, 0.002, 100, momentum=0.9).total
    assert (bound.transient[:, 2] == 0).all()
    assert bound.step[1, 0] == 0.002


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": 0.6}, r"found no potential that proves a bound; a step above 0 and below 0\.0105263 has one"),
        ({"step": 0.0}, "a step above 0"),
        ({"momentum": 1.0}, r"momentum = 1.0: expected a number in \[0, 1\)"),
        ({"steps": 0}, "expected at least 1 step"),
        ({"assumptions": unit(relative_bias=1.0)}, "holds for m < 1"),
    ],
)
def test_outside_the_domain(arguments, message):
    with pytest.raises(ValueError, match=message):
        momentum_bound(**({"assumptions": unit(), "step": 0.01, "steps": 1e6, "momentum": 0.9} | arguments))


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_method_is_the_optimiser_of_torch(nesterov):
    """The recursion of the performance estimation against torch.optim.SGD on f(x) = a x²/2 in exact steps."""
    torch = pytest.importorskip("torch")
    mu, h, steps, curvature = 0.75, 0.125, 6, 0.5
    x = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimiser = torch.optim.SGD([x], lr=h, momentum=mu, nesterov=nesterov)
    path, gradients = [], []
    for _ in range(steps):
        path.append(x.item())
        optimiser.zero_grad()
        (curvature / 2 * x**2).sum().backward()
        gradients.append(x.grad.item())
        optimiser.step()
    points = Method(steps, Fraction(h), Fraction(mu), nesterov).points
    assert points.position @ np.array(gradients) + 1.0 == pytest.approx(path, rel=1e-14)
