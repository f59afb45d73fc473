"""Sign descent with a biased gradient, the examples of docs/bounds.md: a bound, that it is attained, and its limits.

All walks but those of Adam are exact, in rational numbers.
"""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from convergence import problems

ZETA, LAMBDA = Fraction(1), Fraction(1)


def saw(steep, slope):
    """A periodic f' that climbs at ``slope`` and falls at up to ``steep``, with |f''| ≤ Λ; and its period.

    f' is the slope for a while, falls at -Λ to -steep, and rises at Λ again; over a period it sums to nothing.
    """
    flat = (steep**2 - slope**2) / (LAMBDA * slope)
    ramp = (slope + steep) / LAMBDA
    period = flat + 2 * ramp

    def derivative(x):
        x %= period
        return slope if x < flat else max(slope - LAMBDA * (x - flat), -2 * steep - slope + LAMBDA * (x - flat))

    return derivative, period


def signs(derivative, bias, start, step, count):
    """|f'| along sign descent."""
    x, sizes = start, []
    for _ in range(count):
        g = derivative(x)
        sizes.append(abs(g))
        x -= step * ((g + bias(g) > 0) - (g + bias(g) < 0))
    return sizes


@pytest.mark.parametrize("steep", [3, 30])
def test_twice_the_bias_is_attained(steep):
    slope = Fraction(99, 100) * ZETA
    derivative, period = saw(Fraction(steep), slope)
    count = 60 * steep
    step = period / count
    sizes = signs(derivative, lambda g: -ZETA, Fraction(0), step, count)
    mean = sum(sizes) / count
    # One period ends where it began: it can be repeated for ever, and nothing is left of the gap.
    assert mean <= 2 * ZETA + step * LAMBDA / 2
    assert mean == pytest.approx(float(2 * slope * steep**2 / (slope + steep) ** 2), rel=2e-2)
    if steep == 30:
        assert mean > Fraction(18, 10) * ZETA, "a factor of 1 in the place of 2 would be false"


@pytest.mark.parametrize("side", [-1, 1])
def test_the_bound_holds_on_nonconvex_problems(side):
    rng = np.random.default_rng(0)
    for name in ("double_well", "rastrigin", "quadratic_cosine", "pl_sine"):
        f = problems.get(name)
        for zeta in (0.1, 1.0):
            step, steps, x = 0.01, 400, f.start[None] + rng.normal(size=(8, f.dim))
            gap, total, pulled = f.value(x) - f.minimum, 0.0, 0.0
            for _ in range(steps):
                g = f.gradient(x)
                b = side * zeta * np.where(rng.random(g.shape) < 0.8, np.sign(g), -np.sign(g))
                total, pulled = total + np.abs(g).sum(axis=1), pulled + np.abs(b).sum(axis=1)
                x = x - step * np.sign(g + b)
            bound = gap / (step * steps) + 2 * pulled / steps + step * f.smoothness * f.dim / 2
            assert (total / steps <= bound).all()


P, FIRM = Fraction(1, 4), Fraction(1)
"""Noise: -1 with probability 3/4, 3 with probability 1/4. It is unbiased, and its variance is 3."""


def rises(g, p=P):
    """The probability that x moves up, where f' is g; the noise is -1, or (1-p)/p with probability p."""
    return (1 - p) * (g - FIRM < 0) + p * (g + FIRM * (1 - p) / p < 0)


@pytest.mark.parametrize("step", [Fraction(1, 10), Fraction(1, 100)])
@pytest.mark.parametrize("p", [P, Fraction(2, 5)])
def test_unbiased_noise_keeps_sign_descent_away_from_the_minimum(step, p):
    assert -(1 - p) * FIRM + p * FIRM * (1 - p) / p == 0
    if p > P:
        assert FIRM**2 / (FIRM**2 * (1 - p) / p) == Fraction(2, 3), "x² = 2σ²/3 there; σ² as p grows to 1/2"
        step /= 10
    # f = x²/2 on the lattice of odd multiples of η/2: a chain of births and deaths, in detailed balance.
    lattice = [(2 * k + 1) * step / 2 for k in range(round(-FIRM / step), round(FIRM / step) + 1)]
    law = [Fraction(1)]
    for here, above in pairwise(lattice):
        law.append(law[-1] * rises(here, p) / (1 - rises(above, p)))
    assert rises(lattice[-1], p) == 0, "the chain ends above"
    mean = sum(w * abs(x) for w, x in zip(law, lattice, strict=True)) / sum(law)
    assert abs(mean - FIRM) < 3 * step, "however short the steps: at the noise's σ√(p/(1-p)), not at 0"
    # The rest of the line matters nothing: it is left with a drift up.
    assert law[0] / sum(law) < Fraction(1, 10**8)


def test_unbiased_noise_drives_sign_descent_away_for_ever():
    # f = √(1 + x²)/2: convex, least at 0, and |f'| < 1/2 < 1 everywhere: P(up) is 3/4 wherever it is.
    for x in np.linspace(-1e3, 1e3, 101):
        assert rises(x / (2 * np.sqrt(1 + x**2))) == 1 - P
    # So x_T is a plain random walk with E x_T = (1 - 2p)ηT, while SGD with small steps comes back to 0.
    drift = (1 - P) - P
    assert drift == Fraction(1, 2)


def adam(first, second, bias, noise, steps, rate, rng):
    """The mean of f' = x over the last half of Adam's steps on x²/2, with a biased and noisy gradient."""
    x = m = v = total = 0.0
    for t in range(1, steps + 1):
        if t > steps // 2:
            total += x
        g = x + bias + (noise * (3.0 if rng.random() < 0.25 else -1.0))
        m, v = first * m + (1 - first) * g, second * v + (1 - second) * g * g
        x -= rate * (m / (1 - first**t)) / (np.sqrt(v / (1 - second**t)) + 1e-8)
    return total / (steps - steps // 2)


def test_adam_is_sign_descent_without_memory_and_not_with_it():
    rng = np.random.default_rng(0)
    assert adam(0.0, 0.0, 0.0, 1.0, 20_000, 0.01, rng) == pytest.approx(1.0, abs=0.02)
    assert abs(adam(0.9, 0.999, 0.0, 1.0, 20_000, 0.01, rng)) < 0.15
    # A bias is not removed by it: it comes to rest where f' = -b, as plain descent does.
    assert adam(0.9, 0.999, 0.5, 0.0, 20_000, 0.01, rng) == pytest.approx(-0.5, abs=0.01)
