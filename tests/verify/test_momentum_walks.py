"""The walks round polygons of claim C11: their function is smooth, their bias is of norm one, and none is worse."""

import numpy as np
import pytest

from convergence import Assumptions, momentum_bound, simulate, stepwise_bound
from verify.claims.c11_momentum import Round, going_round

WALKS = [(1.4, 0.3, False), (0.2, 0.9, False), (0.75, 0.5, True), (1.8, 0.1, False)]


@pytest.mark.parametrize("walk", WALKS)
def test_the_function_is_smooth_and_bounded_below(walk):
    f, rng = Round(*walk), np.random.default_rng(0)
    x = 2 * np.abs(f.corner) * rng.normal(size=(20_000, 2))
    y = x + rng.normal(size=x.shape) * 10 ** rng.uniform(-3, 1, (len(x), 1))
    assert (np.linalg.norm(f.gradient(y) - f.gradient(x), axis=1) <= np.linalg.norm(y - x, axis=1) * (1 + 1e-9)).all()
    # What holds between two points of a smooth function; near one another it tells a wrong gradient.
    for move in (y - x, 1e-4 * (y - x)):
        now, then = f.gradient(x), f.gradient(x + move)
        apart = f.value(x + move) - f.value(x) - np.sum((now + then) * move, axis=1) / 2
        room = (np.sum(move**2, axis=1) - np.sum((then - now) ** 2, axis=1)) / 4
        assert (np.abs(apart) <= room + 1e-11 * np.sum(x**2 + y**2 + 1, axis=1)).all()
    assert f.minimum <= f.value(x).min()
    lowest = 2 * np.array([f.corner.real, f.corner.imag])
    assert f.value(lowest) == pytest.approx(f.minimum, rel=1e-12)
    assert np.abs(f.gradient(lowest)).max() < 1e-12 * np.abs(f.corner)


@pytest.mark.parametrize(("step", "mu", "nesterov"), WALKS)
def test_a_walk_goes_round_with_a_bias_of_norm_one(step, mu, nesterov):
    f, seen = Round(step, mu, nesterov), []
    simulate(
        f, step=step, steps=500, replicas=1, seed=0, momentum=mu, nesterov=nesterov, oracle=f.at, record=1,
        observe=lambda at: seen.append((at.x[0].copy(), at.gradient[0].copy(), np.abs(f.now))),
    )  # fmt: skip
    places, gradients, sizes = (np.array(part[1:-1]) for part in zip(*seen, strict=True))
    assert sizes == pytest.approx(1.0, rel=1e-9)
    np.testing.assert_allclose((gradients**2).sum(axis=1), f.floor, rtol=1e-9)
    np.testing.assert_allclose(places[f.corners :], places[: -f.corners], atol=1e-9)


def test_the_bound_is_near_the_walk_and_far_above_quadratics():
    step, mu, at = 1.4, 0.3, Assumptions(smoothness=1, gap=0.001, noise=0, bias=1)
    quadratic = 4 * mu * step**2 / ((1 - mu) ** 2 * (4 * mu - (1 + mu - step) ** 2))
    walk, bound = going_round(step, mu, False, 500), momentum_bound(at, step, np.inf, momentum=mu).total
    proved = stepwise_bound(at, step, 1600, momentum=mu).total
    assert 1.45 * quadratic < walk < 1.002 * proved < 1.002 * bound < 1.005 * walk


@pytest.mark.parametrize(("mu", "share"), [(0.12, 1.93), (0.15, 1.76), (0.25, 1.95)])
def test_where_the_bound_is_farthest_from_walks_it_is_within_five_percent(mu, share):
    step, at = share * (1 - mu), Assumptions(smoothness=1, gap=1, noise=0, bias=1)
    bound = momentum_bound(at, step, np.inf, momentum=mu).total
    assert 1.02 < bound / Round(step, mu, nesterov=False).floor < 1.05
