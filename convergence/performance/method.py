"""The iterates of SGD as linear functions of what it meets: gradients, biases and noise."""

from __future__ import annotations

from collections.abc import Callable
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
    """

    steps: int
    step: Fraction
    momentum: Fraction = Fraction(0)
    nesterov: bool = False
    biased: bool = False
    noisy: bool = False

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
    def probability(self) -> NDArray[np.float64]:
        """With which a run passes through each node."""
        return np.exp2(-self.depth.astype(float)) if self.noisy else np.ones(self.nodes)

    @property
    def dimension(self) -> int:
        """The size of the basis."""
        return self.nodes + self.inner * (self.biased + self.noisy)

    def points(self, number: Callable[[Any], Any] = float) -> Points:
        """Every row, in floating point or, with ``number=Fraction``, exactly."""
        n, inner, size = self.nodes, self.inner, self.dimension
        kind: Any = np.float64 if number is float else object
        h, mu = number(self.step), number(self.momentum)
        one = number(1)
        basis = np.full((size, size), number(0), dtype=kind)
        basis[np.arange(size), np.arange(size)] = one
        gradient = basis[:n]
        bias = basis[n : n + inner * self.biased]
        noise = basis[n + inner * self.biased :]
        position, velocity = (np.full((n, size), number(0), dtype=kind) for _ in range(2))
        for child, parent in enumerate(self.parent, 1):
            oracle = gradient[parent].copy()
            if self.biased:
                oracle = oracle + bias[parent]
            if self.noisy:
                oracle = oracle + (noise[parent] if child % 2 else -noise[parent])
            velocity[child] = mu * velocity[parent] + oracle
            move = oracle + mu * velocity[child] if self.nesterov else velocity[child]
            position[child] = position[parent] - h * move
        return Points(gradient, bias, noise, position)
