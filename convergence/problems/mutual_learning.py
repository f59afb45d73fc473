"""The mutual-learning game as a problem: the bias is the real mutual gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.data import game_data
from convergence.problems.base import Oracle, SyntheticProblem, check_positive
from convergence.problems.noise_models import Streams

__all__ = ["MutualLearning", "problem"]

Array = NDArray[np.float64]

ARCHITECTURES = ("linear", "two-layer", "mixed")
_UNITS = 4

_CACHED = 8_192
"""Numbers in an array over (replica, class or unit, sample), few enough to stay in a core's cache."""


def _softmax(logits: Array) -> Array:
    """Of classes along the first axis, over which NumPy reduces fastest."""
    weights = logits - logits.max(axis=0)
    np.exp(weights, out=weights)
    weights /= weights.sum(axis=0)
    return weights


class MutualLearning(SyntheticProblem):
    """f(θ) = Σ_k L_k(θ_k), K students' mean cross-entropies; the oracle returns ∇L_k + β∇R_k.

    R_k is the mean Rényi divergence of order α of student k from its peers, held constant (Huang et al. 2023, arXiv
    2209.05732): β∇R_k is no gradient of f, it is the bias. With a constant feature in x, student k has logits
    z = θ_kᵀx (one layer), or z = V_kᵀ[tanh(U_kᵀx), 1] with u hidden units, both layers trained (nonconvex). The output
    weights are confined, as without bounds f would not be smooth: V = R tanh(W/R), and θ_k holds U_k and W_k.

    Smoothness: let w_kn be the weights of the base loss, w̄_k their mean, X_k the features of student k as a matrix and
    λ_k = λ_max(X_kᵀ diag(w_k) X_k/N). In the logits the cross-entropy has the gradient e = q - y, of norm ≤ √2, of sum
    of sizes ≤ 2 and entries ≤ 1, and the Hessian Cov_q, 0 ≼ Cov_q ≼ ½I. One layer: Λ_k = λ_k/2.

    Two layers: let (P, Q) be a direction in (U, W), p = Pᵀx, s = tanh'(Uᵀx) ≤ 1, h = [tanh(Uᵀx), 1], V₁ the rows of V
    without the constant's, and τ = 4/(3√3), so that ``|tanh''|`` ≤ τ. Along it the logits have the derivatives
    z' = V₁ᵀ(s∘p) + (V'∘Q)ᵀh and z'' = V₁ᵀ(tanh''∘p²) + 2(V'∘Q)₁ᵀ(s∘p) + (V''∘Q²)ᵀh, with ``|V_ic|`` ≤ R, ``|V'|`` ≤ 1
    and ``|V''|`` ≤ τ/R, and the loss the second derivative Var_q(z') + e·z''. A standard deviation is at most the
    largest entry and at most the norm over √2: that of z' ≤ R√u ‖p‖ + √((u+1)/2) ‖Q‖. And
    ``|e·z''|`` ≤ 2Rτ‖p‖² + 2√2 ‖p‖‖Q‖ + (τ/R)‖Q‖². Means over the samples, by Cauchy and Schwarz, leave a quadratic
    form in ‖P‖ and ‖Q‖: Λ_k is the greater eigenvalue of [[A, B], [B, D]] with A = λ_k(R²u + 2Rτ),
    B = √(w̄_kλ_k)(R√(u(u+1)/2) + √2) and D = w̄_k((u+1)/2 + τ/R). f is a sum over separate θ_k: Λ = max Λ_k.
    Minimum: L_k ≥ 0.

    Bias: a gradient e in the logits of a sample, of norm ≤ √2 and sum of sizes ≤ 2, becomes one in θ_k whose square is
    at most 2‖x‖² (one layer), or 4R²u‖x‖² + 2(u+1), since ``|V₁e|`` ≤ 2R in each unit. Of the mean over the samples the
    same is true with ‖X_k‖²/N in place of ‖x‖². For every α, q - w is such an e: ζ² is β² times the sum over students.
    What the bias is in fact, ``bias_at`` says.

    Noise: a mini-batch of B samples, the same for all students, has σ² ≤ (1/B)(1/N) Σ_kn (w_kn + β)² times the square
    for sample n.

    All of these are upper bounds.

    Parameters
    ----------
    features : sequence of K arrays (N, d_k), optional
        What each student sees; by default 32 samples of which each student sees two features of its own.
    labels : array of int (N,), optional
        Classes 0 … C-1.
    data, split : str, optional
        In place of features and labels: real data by name, and what tells the students apart, see
        :func:`convergence.data.game_data`.
    order, beta : float
        α in [0, ∞] and β ≥ 0.
    hidden : int or sequence of K ints
        u, the hidden units of each student; 0 for one layer.
    architecture : str, optional
        ``"linear"``: all students have one layer; ``"two-layer"``: all have two; ``"mixed"``: every other one, from the
        second on. Those with two layers have ``hidden`` units, an integer, 4 by default.
    size : float
        R.
    weights : array (K, N), optional
        w: students with different data have different weights. All 1 by default.
    batch : int, optional
        Mini-batches as noise.
    students : int, optional
        K, where no features are given; 2 by default.
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
    (36, 2)
    >>> MutualLearning(data="digits", students=4).inputs[0].shape
    (1797, 17)
    """

    def __init__(
        self, *, features: Sequence[ArrayLike] | None = None, labels: ArrayLike | None = None, data: str | None = None,
        split: str | None = None, order: float = 1.0, beta: float = 1.0, hidden: int | Sequence[int] = 0,
        architecture: str | None = None, size: float = 1.0, weights: ArrayLike | None = None, batch: int | None = None,
        students: int | None = None,
        **oracle: Unpack[Oracle],
    ) -> None:  # fmt: skip
        if (features is None) != (labels is None):
            raise ValueError("expected both features and labels, or neither")
        if split is not None and data is None:
            raise ValueError(f"split = {split!r}: expected data too, which it tells the students apart by")
        if data is not None and not (features is None and weights is None):
            raise ValueError(f"data = {data!r}: expected no features, labels and weights beside it")
        if features is not None:
            given: Any = features, labels, weights
        elif data is not None:
            given = game_data(data, 2 if students is None else students, split or "features")
        else:
            given = *_example(2 if students is None else students), weights
        inputs = [np.asarray(x, dtype=np.float64) for x in given[0]]
        self.labels = np.asarray(given[1])
        shapes = [x.shape for x in inputs]
        if (
            not inputs
            or any(len(s) != 2 or s[:1] != self.labels.shape for s in shapes)
            or self.labels.dtype.kind != "i"
        ):
            raise ValueError(f"features {shapes}, labels {self.labels.shape}: expected K arrays (N, d_k), N integers")
        if students not in (None, len(inputs)):
            raise ValueError(f"students = {students!r}: expected {len(inputs)}, for as many features, or nothing")
        if not order >= 0 or not 0 <= beta < np.inf:
            raise ValueError(f"order = {order!r}, beta = {beta!r}: expected order in [0, inf] and a finite beta >= 0")
        for name in ("bias", "relative_bias", "bias_model"):
            if oracle.get(name):
                raise ValueError(
                    f"{name} = {oracle.get(name)!r}: the bias is the mutual gradient, set by order and beta"
                )
        if batch is not None:
            for name in ("noise", "noise_model"):
                if oracle.get(name):
                    raise ValueError(f"{name} = {oracle.get(name)!r}: expected no other noise than that of batch")
            if not isinstance(batch, int) or batch < 1:
                raise ValueError(f"batch = {batch!r}: expected an integer >= 1")
        check_positive(size=size)
        count = len(self.labels)
        self.inputs = [np.column_stack([x, np.ones(count)]) for x in inputs]
        self.order, self.beta, self.size, self.batch = float(order), float(beta), float(size), batch
        self.weights = np.ones((self.students, count)) if given[2] is None else np.asarray(given[2], dtype=np.float64)
        if self.weights.shape != (self.students, count):
            raise ValueError(f"weights have shape {self.weights.shape}: expected {(self.students, count)}")
        if self.labels.min() < 0 or not self.weights.min() >= 0:
            raise ValueError("labels or weights below 0: expected numbers >= 0")
        units = self.units = _units(hidden, architecture, self.students)
        classes = self.classes = int(self.labels.max()) + 1
        self.targets = np.eye(classes)[:, self.labels]
        self._all = np.arange(count)[None]
        self._together = max(1, _CACHED // (count * max(classes, *units)))
        sizes = [
            x.shape[1] * u + (u + 1) * classes if u else x.shape[1] * classes
            for x, u in zip(self.inputs, units, strict=True)
        ]
        self.cuts = np.cumsum([0, *sizes])
        # Hidden units that start equal would stay equal.
        rng = np.random.default_rng(0)
        start = [rng.standard_normal(n) * (0.3 if u else 0.0) for n, u in zip(sizes, units, strict=True)]
        super().__init__(
            dim=sum(sizes), smoothness=max(self._smoothness(k) for k in range(self.students)), minimum=0.0,
            start=np.concatenate(start), **oracle,
        )  # fmt: skip
        # (factor of ‖x‖², constant) of the squared gradient that errors in the logits become.
        factors = [(4 * size**2 * u, 2 * (u + 1)) if u else (2, 0) for u in units]
        if self.students > 1:
            self.bias = beta**2 * sum(
                a * float(np.linalg.norm(x, 2)) ** 2 / count + b for (a, b), x in zip(factors, self.inputs, strict=True)
            )
        if batch is not None:
            squares = [a * (x**2).sum(axis=1) + b for (a, b), x in zip(factors, self.inputs, strict=True)]
            self.noise = float(((self.weights + beta) ** 2 * squares).sum()) / (batch * count)

    def _smoothness(self, k: int) -> float:
        """Λ_k."""
        x, w, u, r = self.inputs[k], self.weights[k], self.units[k], self.size
        top, mean = float(np.linalg.eigvalsh((x * w[:, None]).T @ x / len(x))[-1]), float(w.mean())
        if not u:
            return top / 2
        bent = 4 / (3 * np.sqrt(3))
        cross = np.sqrt(mean * top) * (r * np.sqrt(u * (u + 1) / 2) + np.sqrt(2))
        form = [[top * (r**2 * u + 2 * r * bent), cross], [cross, mean * ((u + 1) / 2 + bent / r)]]
        return float(np.linalg.eigvalsh(form)[-1])

    @property
    def students(self) -> int:
        """K."""
        return len(self.inputs)

    def _layers(self, theta: Array, k: int) -> tuple[Array, Array]:
        """U (u, replicas, d) and V (replicas, u + 1, C) of student k; θ (C, replicas, d) and nothing for one layer."""
        part = theta[:, self.cuts[k] : self.cuts[k + 1]]
        u, d = self.units[k], self.inputs[k].shape[1]
        cut = d * (u or self.classes)
        first = part[:, :cut].reshape(len(part), d, -1).transpose(2, 0, 1)
        return first, self.size * np.tanh(part[:, cut:] / self.size).reshape(len(part), -1, self.classes)

    def _forward(self, theta: Array, features: Sequence[Array]) -> tuple[list[Array], list[Array], list[Array]]:
        """The students' logits (C, replicas, n), hidden units (u, replicas, n) and output weights.

        θ is (replicas, dim); features are (n, d), or (replicas, n, d) for mini-batches.
        """
        logits, units, outputs = [], [], []
        for k, a in enumerate(features):
            first, second = self._layers(theta, k)
            if a.ndim == 2:
                z = (first.reshape(-1, a.shape[1]) @ a.T).reshape(*first.shape[:2], -1)
            else:
                z = (a @ first[..., None])[..., 0]
            h = z
            if self.units[k]:
                np.tanh(h, out=h)
                z = np.empty((self.classes, *h.shape[1:]))
                np.matmul(np.swapaxes(second[:, :-1], 1, 2), np.swapaxes(h, 0, 1), out=np.swapaxes(z, 0, 1))
                z += second[:, -1].T[..., None]
            logits.append(z)
            units.append(h)
            outputs.append(second)
        return logits, units, outputs

    def _errors(self, logits: Sequence[Array], base: bool, mutual: bool, rows: NDArray[np.int64]) -> list[Array]:
        """Gradients in the logits of the base losses, of β times the mutual losses, or of both sums."""
        q = [_softmax(z) for z in logits]
        errors = []
        for k in range(self.students):
            # Both are multiples of q less something.
            own = self.weights[k][rows] if base else 0.0
            pulled = self.beta if mutual and self.students > 1 else 0.0
            error = (own + pulled) * q[k]
            if base:
                error -= own * self.targets[:, rows]
            if pulled:
                for peer in range(self.students):
                    if peer != k:
                        error -= pulled / (self.students - 1) * self._escort(logits, q, peer, k)
            errors.append(error)
        return errors

    def _escort(self, logits: Sequence[Array], q: Sequence[Array], peer: int, k: int) -> Array:
        """w, so that ∂D_α(peer‖k)/∂z = q - w: the softmax of αu + (1-α)z, at α = ∞ even over where u - z is largest."""
        if self.order == 1:
            return q[peer]
        u, z = logits[peer], logits[k]
        if np.isinf(self.order):
            ratio = u - z
            most = (ratio == ratio.max(axis=0)).astype(np.float64)
            most /= most.sum(axis=0)
            return most
        mixed = self.order * u
        mixed += (1 - self.order) * z
        return _softmax(mixed)

    def _update(
        self, x: Array, *, base: bool = False, mutual: bool = False, rows: NDArray[np.int64] | None = None
    ) -> Array:
        """∇L_k, β∇R_k or their sum at x (..., dim), concatenated; with rows (..., B) on a mini-batch for each x."""
        flat = x.reshape(-1, self.dim)
        chosen = None if rows is None else rows.reshape(len(flat), -1)
        out = np.empty(flat.shape)
        for at in range(0, len(flat), self._together):
            some = slice(at, at + self._together)
            picked = self._all if chosen is None else chosen[some]
            features = self.inputs if chosen is None else [a[picked] for a in self.inputs]
            logits, units, outputs = self._forward(flat[some], features)
            errors = self._errors(logits, base, mutual, picked)
            for k, (a, e, h, v) in enumerate(zip(features, errors, units, outputs, strict=True)):
                self._backward(a, e, h, v, out[some, self.cuts[k] : self.cuts[k + 1]])
        return out.reshape(x.shape)

    def _backward(self, a: Array, error: Array, h: Array, v: Array, out: Array) -> None:
        """The gradient in θ_k of the mean of losses whose gradients in the logits are given, into ``out``."""
        count = error.shape[-1]
        if v.size:
            rows = np.swapaxes(error, 0, 1)
            second = np.empty(v.shape)
            np.matmul(rows, np.swapaxes(np.swapaxes(h, 0, 1), 1, 2), out=np.swapaxes(second[:, :-1], 1, 2))
            second[:, -1] = error.sum(axis=-1).T
            second *= (1 - (v / self.size) ** 2) / count
            out[:, -second[0].size :] = second.reshape(len(out), -1)
            error = np.empty(h.shape)
            np.matmul(v[:, :-1], rows, out=np.swapaxes(error, 0, 1))
            error *= 1 - h**2
        d = a.shape[-1]
        if a.ndim == 2:
            first = (error.reshape(-1, len(a)) @ a).reshape(*error.shape[:2], d)
        else:
            first = (error[..., None, :] @ a)[..., 0, :]
        first /= count
        out[:, : d * len(first)] = first.transpose(1, 2, 0).reshape(len(out), -1)

    def value(self, x: Array) -> Array:
        """Σ_k L_k, in nats."""
        flat = x.reshape(-1, self.dim)
        total = np.zeros(len(flat))
        for at in range(0, len(flat), self._together):
            some = slice(at, at + self._together)
            for z, w in zip(self._forward(flat[some], self.inputs)[0], self.weights, strict=True):
                z -= z.max(axis=0)
                own = np.take_along_axis(z, np.broadcast_to(self.labels, (1, *z.shape[1:])), axis=0)[0]
                total[some] += (w * (np.log(np.exp(z).sum(axis=0)) - own)).mean(axis=-1)
        return total.reshape(x.shape[:-1])

    def gradient(self, x: Array) -> Array:
        """∇L_k, concatenated."""
        return self._update(x, base=True)

    def bias_at(self, x: Array, gradient: Array) -> Array | None:
        """β∇R_k, concatenated."""
        return self._update(x, mutual=True) if self.bias else None

    def sample_gradient(self, x: Array, rng: np.random.Generator) -> Array:
        """One draw of ∇L_k + β∇R_k + n for each row of x; both gradients in one pass unless a model needs ∇f."""
        if self.batch is None and self.noise:
            return super().sample_gradient(x, rng)
        rows = None if self.batch is None else rng.integers(0, len(self.labels), (len(x), self.batch))
        return self._update(x, base=True, mutual=True, rows=rows)

    def noise_at(self, x: Array, gradient: Array, rng: Streams, out: Array) -> bool:
        """The update on a mini-batch less that on all samples, or the noise of a model."""
        if self.batch is None:
            return super().noise_at(x, gradient, rng, out)
        self.sample_into(x, gradient, rng, out)
        out -= gradient
        if (bias := self.bias_at(x, gradient)) is not None:
            out -= bias
        return True

    def sample_into(self, x: Array, gradient: Array, rng: Streams, out: Array) -> None:
        """The update on a mini-batch, which takes no pass over all samples; or that of a model."""
        if self.batch is None:
            return super().sample_into(x, gradient, rng, out)
        streams = [rng] if isinstance(rng, np.random.Generator) else rng
        shape = (x.shape[-2], self.batch)
        rows = np.stack([stream.integers(0, len(self.labels), shape) for stream in streams])
        out[...] = self._update(x, base=True, mutual=True, rows=rows)
        return None


def _units(hidden: int | Sequence[int], architecture: str | None, students: int) -> list[int]:
    """The hidden units of each student."""
    if architecture is None:
        units = [hidden] * students if isinstance(hidden, int) else list(hidden)
        if len(units) != students or min(units) < 0:
            raise ValueError(f"hidden = {hidden!r}: expected an integer >= 0, or one for each of {students} students")
        return units
    if architecture not in ARCHITECTURES:
        raise ValueError(f"architecture = {architecture!r}: expected one of {', '.join(ARCHITECTURES)}")
    if not isinstance(hidden, int) or hidden < 0:
        raise ValueError(f"hidden = {hidden!r}: expected one integer >= 0 beside architecture = {architecture!r}")
    deep = {"linear": (False, False), "two-layer": (True, True), "mixed": (False, True)}[architecture]
    return [(hidden or _UNITS) if deep[k % 2] else 0 for k in range(students)]


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
