"""The mutual-learning game as a problem: the bias is the real mutual gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.problems.base import Oracle, SyntheticProblem
from convergence.problems.noise_models import Streams
from rdml_theory import renyi_gradient

__all__ = ["MutualLearning", "problem"]

Array = NDArray[np.float64]


def _softmax(logits: Array) -> Array:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


class MutualLearning(SyntheticProblem):
    """f(θ) = Σ_k L_k(θ_k), K students' mean cross-entropies; the oracle returns ∇L_k + β∇R_k.

    R_k is the mean Rényi divergence of order α of student k from its peers, held constant (Huang et al. 2023, arXiv
    2209.05732): β∇R_k is no gradient of f, it is the bias. Student k has logits z = θ_kᵀx, or z = V_kᵀ tanh(θ_kᵀx) with
    a fixed orthonormal V_k (two layers, of which the first learns: nonconvex). Let x_n include a constant feature,
    w_kn be the weights of the base loss, X_k the features of student k as a matrix, and
    λ_k = λ_max(X_kᵀ diag(w_k) X_k/N).

    Smoothness: the cross-entropy has a Hessian ≼ ½I and a gradient of norm ≤ √2 in the logits. One layer:
    Λ_k = λ_k/2. Two layers, a = θᵀx: in a the Hessian is DV H VᵀD + diag((V∂) tanh''), with D ≼ I,
    ``|tanh''|`` ≤ 4/(3√3) and rows of V of norm ≤ v: Λ_k = λ_k(½ + 4√2 v/(3√3)). f is a sum over
    separate θ_k: Λ = max Λ_k. Minimum: L_k ≥ 0.

    Bias: ∇R_k = (1/N) X_kᵀ E with rows of E of norm ≤ √2 (before a possible V, which does not lengthen them), so
    ‖∇R_k‖² ≤ 2‖X_k‖²/N and ζ² = 2β² Σ_k ‖X_k‖²/N, for every α. What the bias is in fact, ``bias_at`` says.

    Noise: a mini-batch of B samples, the same for all students, has σ² ≤ (2/B)(1/N) Σ_kn (w_kn + β)² ‖x_kn‖².

    All of these are upper bounds.

    Parameters
    ----------
    features : sequence of K arrays (N, d_k), optional
        What each student sees; by default 32 samples of which each student sees two features of its own.
    labels : array of int (N,), optional
        Classes 0 … C-1.
    order, beta : float
        α in [0, ∞] and β ≥ 0.
    hidden : int or sequence of K ints
        Hidden units (at least C) of each student; 0 for one layer.
    weights : array (K, N), optional
        w: students with different data have different weights. All 1 by default.
    batch : int, optional
        Mini-batches as noise.
    students : int
        K, where no features are given.
    **oracle
        ``noise`` and ``noise_model`` go without ``batch``; the bias belongs to the problem.

    Raises
    ------
    ValueError
        If the arrays do not fit together or a parameter is out of range.

    Examples
    --------
    >>> f = MutualLearning(order=2.0, hidden=[0, 4])
    >>> f.dim, f.students
    (21, 2)
    """

    def __init__(
        self, *, features: Sequence[ArrayLike] | None = None, labels: ArrayLike | None = None, order: float = 1.0,
        beta: float = 1.0, hidden: int | Sequence[int] = 0, weights: ArrayLike | None = None,
        batch: int | None = None, students: int = 2, **oracle: Unpack[Oracle],
    ) -> None:  # fmt: skip
        if (features is None) != (labels is None):
            raise ValueError("expected both features and labels, or neither")
        given: Any = _example(students) if features is None else (features, labels)
        inputs = [np.asarray(x, dtype=np.float64) for x in given[0]]
        self.labels = np.asarray(given[1])
        shapes = [x.shape for x in inputs]
        if (
            not inputs
            or any(len(s) != 2 or s[:1] != self.labels.shape for s in shapes)
            or self.labels.dtype.kind != "i"
        ):
            raise ValueError(f"features {shapes}, labels {self.labels.shape}: expected K arrays (N, d_k), N integers")
        if not order >= 0 or not beta >= 0 or oracle.get("bias") or oracle.get("relative_bias"):
            raise ValueError(f"order = {order!r}, beta = {beta!r}: expected both >= 0, and no other bias")
        if batch is not None and (batch < 1 or oracle.get("noise")):
            raise ValueError(
                f"batch = {batch!r}, noise = {oracle.get('noise', 0)!r}: expected B >= 1 and no other noise"
            )
        count = len(self.labels)
        self.inputs = [np.column_stack([x, np.ones(count)]) for x in inputs]
        self.order, self.beta, self.batch = float(order), float(beta), batch
        self.weights = np.ones((self.students, count)) if weights is None else np.asarray(weights, dtype=np.float64)
        units = [hidden] * self.students if isinstance(hidden, int) else list(hidden)
        classes = int(self.labels.max()) + 1
        if self.weights.shape != (self.students, count) or len(units) != self.students:
            raise ValueError(f"weights {self.weights.shape}, hidden {units}: expected (K, N) and K = {self.students}")
        if any(0 < u < classes for u in units) or self.labels.min() < 0 or self.weights.min() < 0:
            raise ValueError(f"hidden = {units}: expected 0 or at least {classes} units; labels and weights >= 0")
        self.targets = np.eye(classes)[self.labels]
        rng = np.random.default_rng(0)
        # The second layers, with orthonormal columns.
        self.outputs = [np.linalg.qr(rng.standard_normal((u, classes)))[0] if u else None for u in units]
        sizes = [x.shape[1] * (u or classes) for x, u in zip(self.inputs, units, strict=True)]
        self.cuts = np.cumsum([0, *sizes])
        constants = [
            np.linalg.eigvalsh((x * w[:, None]).T @ x / count)[-1]
            * (0.5 if v is None else 0.5 + 4 * np.sqrt(2) / (3 * np.sqrt(3)) * np.linalg.norm(v, axis=1).max())
            for x, w, v in zip(self.inputs, self.weights, self.outputs, strict=True)
        ]
        # Hidden units that start equal would stay equal.
        start = [rng.standard_normal(n) * (0.3 if u else 0.0) for n, u in zip(sizes, units, strict=True)]
        super().__init__(
            dim=sum(sizes), smoothness=float(max(constants)), minimum=0.0, start=np.concatenate(start), **oracle
        )
        if self.students > 1:
            self.bias = 2 * beta**2 * sum(float(np.linalg.norm(x, 2)) ** 2 for x in self.inputs) / count
        if batch is not None:
            squares = np.stack([(x**2).sum(axis=1) for x in self.inputs])
            self.noise = 2 / batch * float(((self.weights + beta) ** 2 * squares).sum()) / count

    @property
    def students(self) -> int:
        """K."""
        return len(self.inputs)

    def _forward(self, x: Array, inputs: Sequence[Array]) -> tuple[list[Array], list[Array | None]]:
        """The students' logits (..., n, C) and hidden units."""
        logits, units = [], []
        for k, (a, v) in enumerate(zip(inputs, self.outputs, strict=True)):
            theta = x[..., self.cuts[k] : self.cuts[k + 1]].reshape(*x.shape[:-1], a.shape[-1], -1)
            h = a @ theta
            if v is not None:
                np.tanh(h, out=h)
            units.append(None if v is None else h)
            logits.append(h if v is None else h @ v)
        return logits, units

    def _backward(self, errors: Sequence[Array], units: Sequence[Array | None], inputs: Sequence[Array]) -> Array:
        """Gradients of the means of losses whose gradients in the logits are given, concatenated."""
        parts = []
        for error, h, a, v in zip(errors, units, inputs, self.outputs, strict=True):
            inner = error if h is None or v is None else (error @ v.T) * (1 - h**2)
            gradient = np.swapaxes(a, -1, -2) @ inner / a.shape[-2]
            parts.append(gradient.reshape(*gradient.shape[:-2], -1))
        return np.concatenate(parts, axis=-1)

    def _pull(self, u: Array, z: Array) -> Array:
        """q - w."""
        if np.isinf(self.order):
            return renyi_gradient(u, z, self.order, wrt="q", domain="logits")
        return _softmax(z) - _softmax(self.order * u + (1 - self.order) * z)

    def _errors(self, logits: Sequence[Array], rows: Any = slice(None)) -> tuple[list[Array], list[Array]]:
        """Gradients in the logits of the base losses and of β times the mutual losses."""
        base, mutual = [], []
        for k, z in enumerate(logits):
            base.append(self.weights[k][rows][..., None] * (_softmax(z) - self.targets[rows]))
            peers = [self._pull(u, z) for j, u in enumerate(logits) if j != k]
            mutual.append(self.beta * sum(peers, np.zeros_like(z)) / max(len(peers), 1))
        return base, mutual

    def value(self, x: Array) -> Array:
        """Σ_k L_k, in nats."""
        total = np.zeros(x.shape[:-1])
        for z, w in zip(self._forward(x, self.inputs)[0], self.weights, strict=True):
            shifted = z - z.max(axis=-1, keepdims=True)
            own = np.take_along_axis(shifted, np.broadcast_to(self.labels[:, None], (*z.shape[:-1], 1)), axis=-1)
            total += (w * (np.log(np.exp(shifted).sum(axis=-1)) - own[..., 0])).mean(axis=-1)
        return total

    def gradient(self, x: Array) -> Array:
        """∇L_k, concatenated."""
        logits, units = self._forward(x, self.inputs)
        return self._backward(self._errors(logits)[0], units, self.inputs)

    def bias_at(self, x: Array, gradient: Array) -> Array | None:
        """β∇R_k, concatenated."""
        if self.students < 2 or not self.beta:
            return None
        logits, units = self._forward(x, self.inputs)
        return self._backward(self._errors(logits)[1], units, self.inputs)

    def noise_at(self, x: Array, gradient: Array, rng: Streams, out: Array) -> bool:
        """The update on a mini-batch less that on all samples, or the noise of a model."""
        if self.batch is None:
            return super().noise_at(x, gradient, rng, out)
        if not isinstance(rng, np.random.Generator):
            for stream, *parts in zip(rng, x, gradient, out, strict=True):
                self.noise_at(parts[0], parts[1], stream, parts[2])
            return True
        rows = rng.integers(0, len(self.labels), (x.shape[0], self.batch))
        chosen = [a[rows] for a in self.inputs]
        logits, units = self._forward(x, chosen)
        out[...] = self._backward([b + m for b, m in zip(*self._errors(logits, rows), strict=True)], units, chosen)
        out -= gradient
        if (bias := self.bias_at(x, gradient)) is not None:
            out -= bias
        return True


def _example(students: int) -> tuple[list[Array], NDArray[np.int64]]:
    """Three classes, told apart by two features for each student."""
    if students < 1:
        raise ValueError(f"students = {students!r}: expected at least 1")
    rng = np.random.default_rng(0)
    labels = np.arange(32) % 3
    features = [
        rng.standard_normal((32, 2)) + 1.5 * np.eye(3)[labels][:, [k % 3, (k + 1) % 3]] for k in range(students)
    ]
    return features, labels


problem = MutualLearning
