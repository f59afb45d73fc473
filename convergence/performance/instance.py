"""A function and an oracle that attain a worst case, recovered from the Gram matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convergence.performance.interpolation import SmoothInterpolant, violation
from convergence.performance.method import Method

__all__ = ["Instance"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Instance:
    """What a worst run meets. Rows belong to the method's nodes: the times, or the states of the noise tree.

    Attributes
    ----------
    method : Method
        Who is whose successor.
    smoothness : float
        Λ.
    positions, gradients : ndarray, shape (nodes, d)
        x_v (x_0 = 0) and ∇f(x_v), in the least dimension d that the solution needs.
    values : ndarray, shape (nodes,)
        f(x_v), above inf f = 0.
    biases, noises : ndarray, shape (inner nodes, d) or (0, d)
        b_v, and n_v of the two equally likely draws ±n_v.
    """

    method: Method
    smoothness: float
    positions: Array
    gradients: Array
    values: Array
    biases: Array
    noises: Array

    @classmethod
    def of(cls, method: Method, gram: Array, values: Array, *, smoothness: float) -> Instance:
        """From the Gram matrix of the method's basis and the values, at Λ = 1; directions that carry nothing drop."""
        sizes, vectors = np.linalg.eigh(gram)
        kept = sizes > 1e-7 * max(float(sizes[-1]), 0.0)
        factor = (vectors[:, kept] * np.sqrt(sizes[kept]))[:, ::-1]
        points = method.points
        gradients, biases, noises, positions = (
            rows.astype(float) @ factor for rows in (points.gradient, points.bias, points.noise, points.position)
        )
        return cls(
            method=method, smoothness=smoothness, gradients=gradients, biases=biases, noises=noises,
            positions=positions / smoothness, values=values / smoothness,
        )  # fmt: skip

    @property
    def dimension(self) -> int:
        """d."""
        return self.positions.shape[1]

    def squared_gradients(self) -> Array:
        """E‖∇f(x_t)‖² for each t."""
        return self._over_time(self.gradients)

    def _over_time(self, gradients: Array) -> Array:
        method = self.method
        each = np.zeros(method.steps)
        np.add.at(each, method.depth, (gradients**2).sum(-1) * (0.5**method.depth if method.noisy else 1.0))
        return each

    def value(self, criterion: Literal["average", "best"]) -> float:
        """The criterion of this run."""
        each = self.squared_gradients()
        return float(each.mean() if criterion == "average" else each.min())

    def violation(self) -> float:
        """By how much a condition on Λ-smooth functions with inf f = 0 is violated, in units of f."""
        below = (self.gradients**2).sum(-1) / (2 * self.smoothness) - self.values
        between = violation(self.positions, self.values, self.gradients, smoothness=self.smoothness)
        return max(between, float(below.max()))

    def function(self) -> SmoothInterpolant:
        """A Λ-smooth function through the instance, defined everywhere."""
        return SmoothInterpolant(self.positions, self.values, self.gradients, smoothness=self.smoothness)

    def replay(self) -> Array:
        """E‖∇f(x_t)‖² of a run on :meth:`function` from x_0, with this instance's biases and noise.

        Only x_0 and the oracle's errors are taken from the instance; where the run goes is computed.
        """
        f, method = self.function(), self.method
        x, velocity, gradients = (np.zeros_like(self.positions) for _ in range(3))
        gradients[0] = f(x[0])[1]
        for child, parent in enumerate(method.parent, 1):
            oracle = method.oracle(child, gradients, self.biases, self.noises)
            velocity[child], moved = method.move(oracle, velocity[parent])
            x[child] = x[parent] - moved / self.smoothness
            gradients[child] = f(x[child])[1]
        return self._over_time(gradients)
