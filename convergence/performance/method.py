"""The iterates of SGD as linear functions of what it meets: gradients, biases and noise."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Method", "Points"]

IntArray = NDArray[np.intp]


@dataclass(frozen=True)
class Points:
    """Rows of coefficients over the basis (gradients, then biases, then noises); one row for each node or inner node.

    Attributes
    ----------
    gradient, bias, noise, position : ndarray
        ∇f(x_v) for every node v, b_v and n_v for the inner ones (no rows where there is none), and x_v - x_0.
    """

    gradient: NDArray[Any]
    bias: NDArray[Any]
    noise: NDArray[Any]
    position: NDArray[Any]


@dataclass(frozen=True)
class Method:
    """T steps at Λ = 1 in PyTorch's parametrisation: v ← μv + g, x ← x - hv, or x ← x - h(g + μv) after Nesterov.

    With noise the iterates form a binary tree: each inner node has one noise vector n, and its two children, equally
    likely, see +n and -n. Nodes are numbered level by level; without noise they are the times 0..T-1. The last
    iterate whose gradient is measured is x_{T-1}: its bias and noise have no effect.

    Parameters
    ----------
    steps : int
        T.
    step, momentum : Fraction
        h = Λη and μ.
    nesterov, biased, noisy : bool
        Which update, and whether there is bias and noise.
    relative_bias : Fraction
        m.
    """

    steps: int
    step: Fraction
    momentum: Fraction = Fraction(0)
    nesterov: bool = False
    biased: bool = False
    noisy: bool = False
    relative_bias: Fraction = Fraction(0)

    @cached_property
    def parent(self) -> IntArray:
        """The node before each node but the first."""
        later = np.arange(1, self.nodes)
        return (later - 1) // 2 if self.noisy else later - 1

    @property
    def nodes(self) -> int:
        """Where the gradient is measured."""
        return 2**self.steps - 1 if self.noisy else self.steps

    @property
    def inner(self) -> int:
        """Nodes at which a step is made."""
        return 2 ** (self.steps - 1) - 1 if self.noisy else self.steps - 1

    @cached_property
    def depth(self) -> IntArray:
        """The time of each node."""
        nodes = np.arange(1, self.nodes + 1)
        return np.floor(np.log2(nodes)).astype(np.intp) if self.noisy else nodes - 1

    @property
    def dimension(self) -> int:
        """The size of the basis."""
        return self.nodes + self.inner * (self.biased + self.noisy)

    def move(self, oracle: NDArray[Any], velocity: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The velocity after a step, and x - x' over it; exact for arrays of objects, else in floating point."""
        numbers: Any = (self.momentum, self.step)
        mu, h = numbers if oracle.dtype == object else map(float, numbers)
        velocity = mu * velocity + oracle
        return velocity, h * (oracle + mu * velocity if self.nesterov else velocity)

    @cached_property
    def points(self) -> Points:
        """Every row, exactly."""
        n, inner, size = self.nodes, self.inner, self.dimension
        basis = np.eye(size, dtype=int).astype(object)
        gradient, bias, noise = np.split(basis, [n, n + inner * self.biased])
        position, velocity = np.zeros((2, n, size), dtype=object)
        for child, parent in enumerate(self.parent, 1):
            velocity[child], moved = self.move(self.oracle(child, gradient, bias, noise), velocity[parent])
            position[child] = position[parent] - moved
        return Points(gradient, bias, noise, position)

    def oracle(self, child: int, gradients: NDArray[Any], biases: NDArray[Any], noises: NDArray[Any]) -> NDArray[Any]:
        """What the oracle answers on the way to a node: ∇f + b ± n at its parent."""
        parent = self.parent[child - 1]
        answer = gradients[parent]
        if self.biased:
            answer = answer + biases[parent]
        if self.noisy:
            answer = answer + (noises[parent] if child % 2 else -noises[parent])
        return answer
