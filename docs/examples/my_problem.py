"""A problem of one's own, to copy: put it on trial with `rdml verify-problem docs/examples/my_problem.py:mine`."""

import numpy as np


class Mine:
    """x + sin x in two coordinates, with Gaussian noise and a constant bias."""

    dim = 2
    smoothness = 2.0  # Λ: the gradient changes at most this fast
    minimum = 0.0  # no value is below it
    noise = 1.0  # σ²: E‖sample - its mean‖², summed over coordinates
    bias = 0.25  # ζ²: squared length of the bias, here 0.3² + 0.4²

    def value(self, x):
        """One number for each row of x, which has the shape (replicas, dim)."""
        return (x**2 / 2 + 1 - np.cos(x)).sum(axis=1)

    def gradient(self, x):
        """One row for each row of x."""
        return x + np.sin(x)

    def sample_gradient(self, x, rng):
        """What SGD sees: the gradient with bias and noise."""
        return self.gradient(x) + [0.3, 0.4] + rng.standard_normal(x.shape) / np.sqrt(2)


mine = Mine()
