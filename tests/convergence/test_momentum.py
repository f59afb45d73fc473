"""The analytic bound of SGD with momentum: its special cases, its domain, and the exact worst case below it."""

from fractions import Fraction

import numpy as np
import pytest

from convergence import Assumptions, momentum_bound, sharp_bound, stepwise_bound, worst_case
from convergence.momentum import effective_problem
from convergence.performance import Method


def unit(bias=0.0, noise=0.0, relative_bias=0.0):
    return Assumptions(smoothness=1.0, gap=1.0, noise=noise, bias=bias, relative_bias=relative_bias)


def step_at(theta, momentum, nesterov, steps):
    """The step at which Λη(1+2cℓ)/(1-μ) is θ."""
    c = momentum**2 if nesterov else momentum
    lag = (1 - momentum ** ((steps - 1) / 2)) / (1 - momentum)
    return theta * (1 - momentum) / (1 + 2 * c * lag)


def test_no_momentum_is_the_sharp_bound():
    rng = np.random.default_rng(0)
    for _ in range(50):
        lam, gap, noise, bias = 10 ** rng.uniform(-2, 2, 4)
        assumptions = Assumptions(smoothness=lam, gap=gap, noise=noise, bias=bias, relative_bias=0.1)
        step, steps = rng.uniform(0.01, 1.5) / lam, 10 ** rng.uniform(0, 5)
        sharp = sharp_bound(assumptions, step, steps)
        for nesterov in (False, True):
            bound = momentum_bound(assumptions, step, steps, momentum=0.0, nesterov=nesterov)
            assert bound.total == pytest.approx(sharp.total, rel=1e-12)
            assert bound.noise == pytest.approx(sharp.noise, rel=1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.3, 0.9])
def test_never_below_the_exact_worst_case(momentum, nesterov):
    for theta in (0.3, 1.0, 1.7):
        for steps, noise in ((1, 0.0), (3, 0.0), (7, 0.0), (3, 0.5)):
            for zeta in (0.0, 0.5):
                step = step_at(theta, momentum, nesterov, steps)
                if noise:
                    step /= 2
                assumptions = unit(bias=zeta**2, noise=noise)
                exact = worst_case(assumptions, step, steps, momentum=momentum, nesterov=nesterov)
                assert exact.value <= momentum_bound(
                    assumptions, step, steps, momentum=momentum, nesterov=nesterov
                ).total * (1 + 1e-7)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.5, False), (0.9, False), (0.9, True)])
def test_within_a_fifth_of_the_best_potential(momentum, nesterov):
    """At θ = 0.6, bias and noise of the size of the transient."""
    steps = 100
    step = step_at(0.6, momentum, nesterov, steps)
    assumptions = unit(bias=0.09, noise=0.3)
    bound = momentum_bound(assumptions, step, steps, momentum=momentum, nesterov=nesterov)
    proved = stepwise_bound(assumptions, step, steps, momentum=momentum, nesterov=nesterov)
    assert 1.0 <= bound.total / proved.total < 1.2


def test_the_weight_of_noise_is_the_best():
    assumptions = unit(bias=0.01, noise=0.2)
    best = momentum_bound(assumptions, 0.004, 300, momentum=0.9).total
    for trade in np.geomspace(0.1, 25, 40):
        plain = effective_problem(assumptions, 0.004, 300, momentum=0.9, trade=float(trade))
        other = sharp_bound(plain.assumptions, plain.step, 300).total
        assert best <= other * (1 + 1e-9)
    plain = effective_problem(assumptions, 0.004, 300, momentum=0.9, trade=30.0)
    assert plain.curvature == pytest.approx(0.04 * (1 + 18 * (1 - 0.9**149.5) + 0.9 * 30), rel=1e-12)


def test_small_steps_cost_what_plain_steps_of_the_effective_size_cost():
    """As η → 0 the lag does not matter, for the floor of noise in particular."""
    assumptions = unit(noise=1.0)
    for step in (1e-6, 1e-8):
        bound = momentum_bound(assumptions, step, np.inf, momentum=0.9)
        plain = sharp_bound(assumptions, 10 * step, np.inf)
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
        ({"step": 0.2}, r"holds for 0 < Λη\(1\+2cℓ\)/\(1-μ\) < 2; take a step above 0 and below 0\.0105263"),
        ({"step": 0.0}, "take a step above 0"),
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
    points = Method(steps, Fraction(h), Fraction(mu), nesterov).points()
    assert points.position @ np.array(gradients) + 1.0 == pytest.approx(path, rel=1e-14)
