"""The mutual-learning game as a problem: the bias is the real mutual gradient."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.arguments import number, real, shown, whole
from convergence.data import game_data
from convergence.problems.base import Oracle, SyntheticProblem, check_positive
from convergence.problems.noise_models import Streams
from rdml_theory import renyi_divergence, renyi_hessian

__all__ = ["MutualLearning", "problem"]

Array = NDArray[np.float64]

Kind = Literal["base", "mutual", "both"]

ARCHITECTURES = ("linear", "two-layer", "mixed")
_UNITS = 4

_CACHED = 16_384
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

    All of these are upper bounds. Student by student, as :func:`convergence.cohort_bound` takes them, they are
    ``student_smoothness``, Λ_k, ``student_noise``, the part of σ², and ``student_jacobian``, G_k: with λ that of the
    features without weights, G² = λ (one layer) or uCR²λ + u + 1 (two: a direction (P, Q) changes the logits by
    V₁ᵀ(s∘p) + (V'∘Q)ᵀh, where ``‖V₁‖ ≤ R√(uC)`` and ``‖h‖² ≤ u + 1``).

    Parameters
    ----------
    features : sequence of K arrays (N, d_k), optional
        What each student sees; by default 32 samples of which each student sees two features of its own.
    labels : array of int (N,), optional
        Classes 0 … C-1.
    data, split : str, optional
        In place of features and labels: real data by name, and what tells the students apart, see
        :func:`convergence.data.game_data`.
    alpha, beta : float
        α in [0, ∞] and β ≥ 0.
    hidden : int or sequence of K ints
        u, the hidden units of each student; 0 for one layer.
    architecture : str, optional
        ``"linear"``: all students have one layer; ``"two-layer"``: all have two; ``"mixed"``: every other one, from the
        second on. Those with two layers have ``hidden`` units, an integer, 4 by default.
    size : float
        R.
    weights : array (..., K, N), optional
        w: students with different data have different weights. All 1 by default. With a leading axis, one for each row
        of x, replicas differ in their data; the constants are then those of the greatest weights.
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
    >>> f = MutualLearning(alpha=2.0, hidden=[0, 4])
    >>> f.dim, f.students
    (36, 2)
    >>> MutualLearning(data="digits", students=4).inputs[0].shape
    (1797, 17)
    """

    tightness = 0.98
    attains_minimum = False

    def __init__(
        self, features: Sequence[ArrayLike] | None = None, labels: ArrayLike | None = None, *, data: str | None = None,
        split: str | None = None, alpha: float = 1.0, beta: float = 1.0, hidden: int | Sequence[int] = 0,
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
        inputs, self.labels = _samples(given[0], given[1])
        if students not in (None, len(inputs)):
            raise ValueError(f"students = {students!r}: expected {len(inputs)}, for as many features, or nothing")
        for name in ("bias", "relative_bias", "bias_model"):
            if oracle.get(name):
                raise ValueError(
                    f"{name} = {oracle.get(name)!r}: the bias is the mutual gradient, set by alpha and beta"
                )
        if batch is not None:
            for name in ("noise", "noise_model"):
                if oracle.get(name):
                    raise ValueError(f"{name} = {oracle.get(name)!r}: expected no other noise than that of batch")
        check_positive(size=size)
        count = len(self.labels)
        self.inputs = [np.column_stack([x, np.ones(count)]) for x in inputs]
        self.size = float(size)
        self.weights = np.ones((self.students, count)) if given[2] is None else real("weights", given[2])
        if (
            self.weights.ndim not in (2, 3) or self.weights.shape[-2:] != (self.students, count)
            or not (np.isfinite(self.weights) & (self.weights >= 0)).all()
        ):  # fmt: skip
            raise ValueError(
                f"weights have shape {self.weights.shape} and least value {self.weights.min(initial=np.inf)}: expected "
                f"finite numbers >= 0 of shape (..., {self.students}, {count})"
            )
        self._weighted = bool((self.weights != 1).any())
        units = self.units = _units(hidden, architecture, self.students)
        classes = self.classes = int(self.labels.max()) + 1
        self.targets = np.eye(classes)[:, self.labels]
        self._all = np.arange(count)[None]
        self._together = self._together_of(count)
        # So that two blocks at least are worked on at a time.
        self.block = min(256, 2 ** int(np.log2(self._together_of(2 * count))))
        sizes = [
            x.shape[1] * u + (u + 1) * classes if u else x.shape[1] * classes
            for x, u in zip(self.inputs, units, strict=True)
        ]
        self.cuts = np.cumsum([0, *sizes])
        self.players = tuple(slice(int(a), int(b)) for a, b in zip(self.cuts[:-1], self.cuts[1:], strict=True))
        # Hidden units that start equal would stay equal.
        rng = np.random.default_rng(0)
        start = [rng.standard_normal(n) * (0.3 if u else 0.0) for n, u in zip(sizes, units, strict=True)]
        greatest = self.weights.reshape(-1, self.students, count).max(axis=0)
        self.student_smoothness = [self._smoothness(k, greatest[k]) for k in range(self.students)]
        self.student_jacobian = [self._jacobian_bound(k) for k in range(self.students)]
        super().__init__(
            dim=sum(sizes), smoothness=max(self.student_smoothness), minimum=0.0, start=np.concatenate(start), **oracle
        )
        # (factor of ‖x‖², constant) of the squared gradient that errors in the logits become.
        factors = [(4 * size**2 * u, 2 * (u + 1)) if u else (2, 0) for u in units]
        self._bias_factor = 0.0 if self.students == 1 else sum(
            a * float(np.linalg.norm(x, 2)) ** 2 / count + b for (a, b), x in zip(factors, self.inputs, strict=True)
        )  # fmt: skip
        squares = [a * (x**2).sum(axis=1) + b for (a, b), x in zip(factors, self.inputs, strict=True)]
        self._noise_terms = greatest, np.array(squares) / count
        self._play(alpha, beta, batch)

    def _together_of(self, samples: int) -> int:
        """How many rows of x are worked on at a time."""
        return max(1, _CACHED // (samples * max(self.classes, *self.units)))

    def _play(self, alpha: float, beta: float, batch: int | None) -> None:
        """Set the order, the weight and the batch, with the constants that follow from them."""
        self.alpha = number("alpha", alpha, least=0, infinite=True)
        self.beta = number("beta", beta, least=0)
        self.batch = None if batch is None else whole("batch", batch, least=1, most=10**9)
        self.bias = self.beta**2 * self._bias_factor
        self.student_noise = [float(self.noise)] * self.students
        if self.batch is not None:
            weights, squares = self._noise_terms
            self.student_noise = (((weights + self.beta) ** 2 * squares).sum(axis=1) / self.batch).tolist()
            self.noise = float(sum(self.student_noise))
        self.follows_gradient = self.batch is None

    def replaced(
        self, *, alpha: float | None = None, beta: float | None = None, batch: int | None = None
    ) -> MutualLearning:
        """The same students and data with another order, weight or batch."""
        other = copy(self)
        other._play(
            self.alpha if alpha is None else alpha, self.beta if beta is None else beta,
            self.batch if batch is None else batch,
        )  # fmt: skip
        return other

    def _jacobian_bound(self, k: int) -> float:
        """G_k."""
        u = self.units[k]
        top = float(np.linalg.norm(self.inputs[k], 2)) ** 2 / len(self.labels)
        return float(np.sqrt(u * self.classes * self.size**2 * top + u + 1 if u else top))

    def _smoothness(self, k: int, w: Array) -> float:
        """Λ_k, with the weights of student k."""
        x, u, r = self.inputs[k], self.units[k], self.size
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

    @property
    def samples(self) -> int:
        """N."""
        return len(self.labels)

    def split(self, x: Array) -> list[Array]:
        """θ_k of each student, the last axis of x cut into K: for one layer row by row of (d_k + 1, C)."""
        return [x[..., part] for part in self.players]

    def squares(self, x: Array) -> Array:
        """The squared norm of each student's part of an array like x, shape (..., K)."""
        return np.add.reduceat(x**2, self.cuts[:-1], axis=-1)

    def logits(self, x: Array) -> list[Array]:
        """z_k of each student at x (..., dim) on all samples, shape (..., N, C)."""
        logits = self._forward(x.reshape(-1, self.dim), self.inputs)[0]
        return [z.transpose(1, 2, 0).reshape(*x.shape[:-1], self.samples, self.classes) for z in logits]

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
                z = np.empty((*first.shape[:2], a.shape[1]))
                np.matmul(np.swapaxes(first, 0, 1), np.swapaxes(a, 1, 2), out=np.swapaxes(z, 0, 1))
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

    def _own(self, k: int, rows: NDArray[np.int64], some: slice) -> Array:
        """The weights of student k's samples, for some rows of x."""
        weights = self.weights[..., k, :]
        if weights.ndim == 1:
            return weights.take(rows)
        return weights[some] if rows is self._all else np.take_along_axis(weights[some], rows, axis=-1)

    def _errors(
        self, logits: Sequence[Array], q: Sequence[Array], kinds: Sequence[Kind], rows: NDArray[np.int64], some: slice
    ) -> list[list[Array]]:
        """Gradients in the logits, by kind and student: of the base losses, of β times the mutual ones, of the sums."""
        errors: list[dict[Kind, Array]] = []
        targets = self.targets[:, None] if rows is self._all else self.targets.take(rows, axis=1)
        for k in range(self.students):
            parts: dict[Kind, Array] = {}
            if kinds != ("mutual",):
                parts["base"] = q[k] - targets
                if self._weighted:
                    parts["base"] *= self._own(k, rows, some)
            if kinds != ("base",):
                pulled = self.students > 1 and self.beta > 0
                parts["mutual"] = q[k] - self._pulling(logits, q, k) if pulled else np.zeros_like(q[k])
                parts["mutual"] *= self.beta
            if "both" in kinds:
                parts["both"] = parts["base"] + parts["mutual"]
            errors.append(parts)
        return [[parts[kind] for parts in errors] for kind in kinds]

    def _pulling(self, logits: Sequence[Array], q: Sequence[Array], k: int) -> Array:
        """The mean over student k's peers of w."""
        first, *rest = (self._escort(logits, q, peer, k) for peer in range(self.students) if peer != k)
        return sum(rest, first) / (self.students - 1) if rest else first

    def _escort(self, logits: Sequence[Array], q: Sequence[Array], peer: int, k: int) -> Array:
        """w, so that ∂D_α(peer‖k)/∂z = q - w: the softmax of αu + (1-α)z, at α = ∞ even over where u - z is largest."""
        if self.alpha == 1:
            return q[peer]
        u, z = logits[peer], logits[k]
        if np.isinf(self.alpha):
            ratio = u - z
            most = (ratio == ratio.max(axis=0)).astype(np.float64)
            most /= most.sum(axis=0)
            return most
        mixed = self.alpha * u
        mixed += (1 - self.alpha) * z
        return _softmax(mixed)

    def _updates(self, x: Array, *kinds: Kind, rows: NDArray[np.int64] | None = None) -> list[Array]:
        """∇L_k, β∇R_k or their sum at x (..., dim), concatenated; with rows (..., B) on a mini-batch for each x."""
        flat = x.reshape(-1, self.dim)
        chosen = None if rows is None else rows.reshape(len(flat), -1)
        out = [np.empty(flat.shape) for _ in kinds]
        together = self._together if chosen is None else self._together_of(chosen.shape[-1])
        for at in range(0, len(flat), together):
            some = slice(at, at + together)
            picked = self._all if chosen is None else chosen[some]
            features = self.inputs if chosen is None else [a.take(picked, axis=0) for a in self.inputs]
            logits, units, outputs = self._forward(flat[some], features)
            q = [_softmax(z) for z in logits]
            for errors, array in zip(self._errors(logits, q, kinds, picked, some), out, strict=True):
                for part, a, e, h, v in zip(self.players, features, errors, units, outputs, strict=True):
                    self._backward(a, e, h, v, array[some, part])
        return [array.reshape(x.shape) for array in out]

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
            first = np.swapaxes(np.swapaxes(error, 0, 1) @ a, 0, 1)
        first /= count
        out[:, : d * len(first)] = first.transpose(1, 2, 0).reshape(len(out), -1)

    def base_losses(self, x: Array) -> Array:
        """L_k in nats, at x (..., dim): shape (..., K)."""
        flat = x.reshape(-1, self.dim)
        out = np.empty((len(flat), self.students))
        for at in range(0, len(flat), self._together):
            some = slice(at, at + self._together)
            for k, z in enumerate(self._forward(flat[some], self.inputs)[0]):
                z -= z.max(axis=0)
                own = np.take_along_axis(z, np.broadcast_to(self.labels, (1, *z.shape[1:])), axis=0)[0]
                out[some, k] = (self._own(k, self._all, some) * (np.log(np.exp(z).sum(axis=0)) - own)).mean(axis=-1)
        return out.reshape(*x.shape[:-1], self.students)

    def value(self, x: Array) -> Array:
        """Σ_k L_k, in nats."""
        return self.base_losses(x).sum(axis=-1)

    def divergences(self, x: Array) -> Array:
        """D_α of each student (second) from each peer (first) at x (..., dim), the mean over samples: (K, K, ...)."""
        logits = np.array(self.logits(x))
        return renyi_divergence(logits[:, None], logits, self.alpha, domain="logits").mean(axis=-1)

    def mutual_losses(self, x: Array) -> Array:
        """R_k at x (..., dim), the mean divergence of student k from its peers, in nats: shape (..., K)."""
        return np.moveaxis(self.divergences(x).sum(axis=0), 0, -1) / max(self.students - 1, 1)

    def potential(self, x: Array) -> Array:
        """Φ = Σ_k L_k + β/(K-1) Σ_{j<k} E D_α(p_j‖p_k) at x (..., dim), in nats: shape (...).

        At α = ½ the game descends it: ∂Φ/∂θ_k = ∇L_k + β∇R_k. With one layer it is then (1+β) max_k Λ_k-smooth.
        """
        pairs = self.divergences(x)[np.triu_indices(self.students, 1)].sum(axis=0)
        return self.value(x) + self.beta * pairs / max(self.students - 1, 1)

    def gradients(self, x: Array) -> tuple[Array, Array]:
        """∇L_k and β∇R_k of every student, each concatenated, the shape of x: one pass for both."""
        base, mutual = self._updates(x, "base", "mutual")
        return base, mutual

    def jacobian(self, x: Array) -> Array:
        """The Jacobian (dim, dim) of the update (∇L_k + β∇R_k)_k at x (dim,), for students of one layer.

        Its diagonal blocks hold w Cov_q + β(Cov_q - (1-α) Cov_e) and the others -αβ Cov_e/(K-1), e the escort, between
        the students' features. It is not symmetric unless α = ½ (or 0), or at consensus.
        """
        if any(self.units) or self.weights.ndim > 2:
            raise ValueError(
                f"hidden = {self.units}, weights of shape {self.weights.shape}: the Jacobian is that of students of "
                f"one layer with weights of shape ({self.students}, {self.samples})"
            )
        logits, share = np.array(self.logits(x)), self.beta / max(self.students - 1, 1)
        rows = []
        for k, (a, z) in enumerate(zip(self.inputs, logits, strict=True)):
            q = _softmax(z.T).T
            others = [j for j in range(self.students) if j != k]
            curved, mixed = (share * renyi_hessian(logits[others], z, self.alpha, wrt=wrt) for wrt in ("q", "mixed"))
            own = self.weights[k][:, None, None] * (q[:, :, None] * np.eye(self.classes) - q[:, :, None] * q[:, None])
            row: list[Any] = [None] * self.students
            row[k] = self._block(a, own + curved.sum(axis=0), a)
            for j, middle in zip(others, mixed, strict=True):
                row[j] = self._block(a, middle, self.inputs[j])
            rows.append(row)
        return np.block(rows)

    def _block(self, left: Array, middle: Array, right: Array) -> Array:
        """Σ_n left_n ⊗ middle_n ⊗ right_n / N, for a middle that is symmetric in its classes."""
        c = self.classes
        out = np.empty((left.shape[1], c, right.shape[1], c))
        for a in range(c):
            for b in range(a, c):
                out[:, a, :, b] = (left * middle[:, a, b, None]).T @ right
                out[:, b, :, a] = out[:, a, :, b]
        return out.reshape(left.shape[1] * c, right.shape[1] * c) / self.samples

    def gradient(self, x: Array) -> Array:
        """∇L_k, concatenated."""
        return self._updates(x, "base")[0]

    def bias_at(self, x: Array, gradient: Array) -> Array | None:
        """β∇R_k, concatenated."""
        return self._updates(x, "mutual")[0] if self.bias else None

    def oracle_into(self, x: Array, gradient: Array, rng: Streams, out: Array) -> None:
        """∇L_k and a draw of the update; without noise in one pass."""
        if self.noise or not self.bias:
            return super().oracle_into(x, gradient, rng, out)
        gradient[...], out[...] = self._updates(x, "base", "both")
        return None

    def sample_gradient(self, x: Array, rng: np.random.Generator) -> Array:
        """One draw of ∇L_k + β∇R_k + n for each row of x; both gradients in one pass unless a model needs ∇f."""
        if self.batch is None and self.noise:
            return super().sample_gradient(x, rng)
        rows = None if self.batch is None else rng.integers(0, len(self.labels), (len(x), self.batch))
        return self._updates(x, "both", rows=rows)[0]

    def batch_noise(self, size: int, x: Array, gradient: Array, rng: Streams, out: Array) -> None:
        """The update on a mini-batch less that on all samples."""
        self.sample_into(x, gradient, rng, out)
        out -= gradient
        if (bias := self.bias_at(x, gradient)) is not None:
            out -= bias

    def sample_into(self, x: Array, gradient: Array, rng: Streams, out: Array) -> None:
        """The update on a mini-batch, which takes no pass over all samples; or that of a model."""
        if self.batch is None:
            return super().sample_into(x, gradient, rng, out)
        streams = [rng] if isinstance(rng, np.random.Generator) else rng
        shape = (x.shape[-2], self.batch)
        rows = np.stack([stream.integers(0, len(self.labels), shape) for stream in streams])
        out[...] = self._updates(x, "both", rows=rows)[0]
        return None


def _samples(features: Any, labels: Any) -> tuple[list[Array], NDArray[np.int64]]:
    """The students' features and the labels, checked."""
    listed = isinstance(features, Sequence) or (isinstance(features, np.ndarray) and features.ndim > 0)
    if not listed or isinstance(features, str | bytes) or not len(features):
        raise TypeError(f"features = {shown(features)}: expected a list of K arrays (N, d_k)")
    inputs = [real("features", x) for x in features]
    real("labels", labels)
    given = np.asarray(labels)
    classes = given.astype(np.int64) if given.dtype.kind in "iu" else np.zeros(0, dtype=np.int64)
    n = len(classes) if classes.ndim == 1 else -1
    if any(x.ndim != 2 or x.shape[0] != n for x in inputs) or n < 1:
        raise ValueError(
            f"features have shapes {[x.shape for x in inputs]} and labels = {shown(labels)}: expected K arrays "
            "(N, d_k) and N integer labels"
        )
    if classes.min() < 0 or classes.max() >= 10**6:
        raise ValueError(f"labels contain {classes.min()} to {classes.max()}: expected classes 0 to C-1")
    if not all(np.isfinite(x).all() for x in inputs):
        raise ValueError("features: expected finite numbers")
    return inputs, classes


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
