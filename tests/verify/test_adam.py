"""What the page on bounds says of Adam and of signs, beside claims C16 and C17; and that their Adam is PyTorch's."""

import numpy as np
import pytest
import torch

from verify.claims import c17_adam
from verify.claims.c17_adam import SHORT, walk


@pytest.mark.parametrize("decay", [0.0, 0.7])
def test_the_walks_are_those_of_torch(decay, monkeypatch):
    monkeypatch.setattr(c17_adam, "REPLICAS", 5)
    setting, step, steps = SHORT._replace(p=0.2, decay=decay), 0.03, 200
    found = walk([setting], step, steps, np.random.default_rng(3))[0].x[-1]
    rng, x = np.random.default_rng(3), torch.zeros(5, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.AdamW(
        [x], lr=step, betas=(setting.first, setting.second), eps=0.0, weight_decay=decay, foreach=False
    )
    for _ in range(steps):
        noise = torch.from_numpy((rng.random(5) < setting.p) / setting.p - 1)
        x.grad = setting.delta * x.detach() / torch.sqrt(1 + x.detach() ** 2) + noise
        adam.step()
    np.testing.assert_allclose(found, x.detach().numpy(), rtol=1e-10)


def rises(g, p=0.25):
    """The probability that sign descent moves x up, where f' is g; the noise is -1, or (1-p)/p with probability p."""
    return (1 - p) * (g - 1 < 0) + p * (g + (1 - p) / p < 0)


def test_unbiased_noise_drives_sign_descent_away_for_ever():
    # f = √(1 + x²)/2: convex, least at 0, and |f'| < 1/2 < 1 everywhere: a plain random walk of drift η/2.
    for x in np.linspace(-1e3, 1e3, 101):
        assert rises(x / (2 * np.sqrt(1 + x**2))) == 0.75


def rest(first, second, bias, noise):
    """The mean of f' = x over the last half of Adam's steps on x²/2, with a biased and noisy gradient."""
    steps, rate, rng = 20_000, 0.01, np.random.default_rng(0)
    x = m = v = total = 0.0
    for t in range(1, steps + 1):
        total += x * (t > steps // 2)
        g = x + bias + noise * (3.0 if rng.random() < 0.25 else -1.0)
        m, v = first * m + (1 - first) * g, second * v + (1 - second) * g * g
        x -= rate * (m / (1 - first**t)) / (np.sqrt(v / (1 - second**t)) + 1e-8)
    return 2 * total / steps


def test_adam_is_sign_descent_without_memory_and_not_with_it():
    assert rest(0.0, 0.0, 0.0, 1.0) == pytest.approx(1.0, abs=0.02)
    assert abs(rest(0.9, 0.999, 0.0, 1.0)) < 0.15
    # A bias is not removed by it: it comes to rest where f' = -b, as plain descent does.
    assert rest(0.9, 0.999, 0.5, 0.0) == pytest.approx(-0.5, abs=0.01)
