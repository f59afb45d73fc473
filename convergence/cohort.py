"""The mutual-learning game of linear softmax students: base and mutual gradients, trained by (mini-batch) SGD.

Student k sees its own features x_k of every sample and has logits z_k = θ_kᵀ [x_k, 1]. Its base loss L_k is the mean
cross-entropy and its mutual loss R_k the mean Rényi divergence from its peers, which are held constant. All students
move at once: θ_k ← θ_k - η(∇L_k + β∇R_k). (The setting of Huang et al. 2023, arXiv 2209.05732.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.arguments import called, instance, number, real, shown, whole
from convergence.sgd import MOST_REPLICAS, MOST_STEPS, record_times
from rdml_theory import renyi_divergence, renyi_gradient, renyi_hessian

__all__ = ["CohortTrajectory", "SoftmaxCohort", "StationaryPoint", "find_stationary", "train_cohort"]

Array = NDArray[np.float64]


class SoftmaxCohort:
    """K linear softmax students on the same samples.

    Parameters
    ----------
    features : sequence of K arrays of shape (N, d_k)
        What each student sees; a constant feature is appended.
    labels : array of int, shape (N,)
        Classes 0 … C-1.
    order : float
        α, the order of the divergence, in [0, ∞].
    beta : float
        The weight of the mutual loss, ≥ 0.
    weights : array of shape (..., K, N), optional
        Those of the samples in each student's base loss, ≥ 0: students with different data. All 1 by default. Leading
        axes, for replicas that differ in their data, are for :meth:`gradients` only.

    Raises
    ------
    ValueError
        If the arrays do not fit together or a parameter is out of range.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0]])
    >>> cohort = SoftmaxCohort([x, 1 - x], [0, 1], order=2.0, beta=1.0)
    >>> cohort.students, cohort.classes, [t.shape for t in cohort.start()]
    (2, 2, [(2, 2), (2, 2)])
    """

    def __init__(
        self, features: Sequence[ArrayLike], labels: ArrayLike, *, order: float, beta: float = 1.0,
        weights: ArrayLike | None = None,
    ) -> None:  # fmt: skip
        listed = isinstance(features, Sequence) or (isinstance(features, np.ndarray) and features.ndim > 0)
        if not listed or isinstance(features, str | bytes) or not len(features):
            raise TypeError(f"features = {shown(features)}: expected a list of K arrays (N, d_k)")
        inputs = [real("features", x) for x in features]
        real("labels", labels)
        given = np.asarray(labels)
        self.labels = given.astype(np.int64) if given.dtype.kind in "iu" else np.zeros(0, dtype=np.int64)
        n = self.labels.shape[0] if self.labels.ndim == 1 else -1
        if any(x.ndim != 2 or x.shape[0] != n for x in inputs) or n < 1:
            raise ValueError(
                f"features have shapes {[x.shape for x in inputs]} and labels = {shown(labels)}: expected K arrays "
                "(N, d_k) and N integer labels"
            )
        if self.labels.min() < 0 or self.labels.max() >= 10**6:
            raise ValueError(f"labels contain {self.labels.min()} to {self.labels.max()}: expected classes 0 to C-1")
        if not all(np.isfinite(x).all() for x in inputs):
            raise ValueError("features: expected finite numbers")
        self.order = number("order", order, least=0, infinite=True)
        self.beta = number("beta", beta, least=0)
        self.inputs = [np.column_stack([x, np.ones(n)]) for x in inputs]
        self.classes = int(self.labels.max()) + 1
        self.targets = np.eye(self.classes)[self.labels]
        self.weights = None if weights is None else real("weights", weights)
        if self.weights is not None and (
            self.weights.shape[-2:] != (len(inputs), n) or not (np.isfinite(self.weights) & (self.weights >= 0)).all()
        ):
            raise ValueError(
                f"weights have shape {self.weights.shape} and least value {self.weights.min(initial=np.inf)}: expected "
                f"finite numbers >= 0 of shape (..., {len(inputs)}, {n})"
            )

    @property
    def students(self) -> int:
        """K."""
        return len(self.inputs)

    @property
    def samples(self) -> int:
        """N."""
        return self.labels.shape[0]

    def replaced(self, *, order: float, beta: float) -> SoftmaxCohort:
        """The same students and data with another order and weight."""
        other = copy(self)
        other.order, other.beta = order, beta
        return other

    def smoothness(self) -> list[float]:
        """Λ_k = ½ λ_max(Xᵀ diag(w_k) X/N), since the cross-entropy's Hessian in the logits is Cov_q ≼ ½ I."""
        return list(self._smoothness)

    def _own(self, k: int) -> Array | None:
        """The weights of student k, one for each sample."""
        if self.weights is None:
            return None
        if self.weights.ndim > 2:
            raise ValueError(f"weights of shape {self.weights.shape}: here, expected ({self.students}, {self.samples})")
        return self.weights[k]

    @cached_property
    def _smoothness(self) -> list[float]:
        # Singular values, which every bound of every record asks for.
        out = []
        for k, x in enumerate(self.inputs):
            own = self._own(k)
            scaled = x if own is None else x * np.sqrt(own)[:, None]
            out.append(float(np.linalg.norm(scaled, 2) ** 2 / (2 * self.samples)))
        return out

    def start(self) -> list[Array]:
        """θ_k = 0, where all students predict the uniform distribution."""
        return [np.zeros((x.shape[1], self.classes)) for x in self.inputs]

    def base_losses(self, parameters: Sequence[Array]) -> list[float]:
        """L_k in nats."""
        return [self._cross_entropy(k, x @ t) for k, (x, t) in enumerate(zip(self.inputs, parameters, strict=True))]

    def _cross_entropy(self, k: int, logits: Array) -> float:
        shifted = logits - logits.max(axis=1, keepdims=True)
        losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(self.samples), self.labels]
        own = self._own(k)
        return float((losses if own is None else own * losses).mean())

    def divergences(self, parameters: Sequence[Array]) -> list[float]:
        """R_k in nats: the mean divergence of student k from its peers."""
        logits = [x @ t for x, t in zip(self.inputs, parameters, strict=True)]
        return [
            float(
                np.mean(
                    [renyi_divergence(u, z, self.order, domain="logits").mean() for u in self._peers(logits, k)] or [0]
                )
            )
            for k, z in enumerate(logits)
        ]

    def potential(self, parameters: Sequence[Array]) -> float:
        """Φ = Σ_k L_k + β/(K-1) Σ_{j<k} E D_α(p_j‖p_k) in nats.

        At α = ½ the game descends it: ∂Φ/∂θ_k = ∇L_k + β∇R_k. It is then (1+β) max_k Λ_k-smooth.
        """
        logits = [x @ t for x, t in zip(self.inputs, parameters, strict=True)]
        pairs = [
            float(renyi_divergence(u, z, self.order, domain="logits").mean())
            for k, z in enumerate(logits)
            for u in logits[:k]
        ]
        return sum(self.base_losses(parameters)) + self.beta / max(self.students - 1, 1) * sum(pairs)

    @staticmethod
    def _peers(logits: list[Array], k: int) -> list[Array]:
        return [u for j, u in enumerate(logits) if j != k]

    def gradients(
        self, parameters: Sequence[Array], rows: NDArray[np.int64] | None = None
    ) -> tuple[list[Array], list[Array]]:
        """∇L_k and ∇R_k of every student, on all samples or on the given rows.

        Parameters
        ----------
        parameters : sequence of K arrays (..., d_k + 1, C)
            θ, with any leading axes for replicas.
        rows : array of int, shape (..., B), optional
            A mini-batch for each replica; all samples by default.

        Returns
        -------
        tuple of two lists of K arrays
            The base and the mutual gradients; the latter zero for K = 1.
        """
        # Classes along the last axis but one: NumPy reduces over ten of them four times faster than along the last.
        inputs = self._columns if rows is None else [np.swapaxes(x[rows], -1, -2) for x in self.inputs]
        targets = self._target_columns if rows is None else np.swapaxes(self.targets[rows], -1, -2)
        logits = [np.swapaxes(t, -1, -2) @ x for x, t in zip(inputs, parameters, strict=True)]
        distributions = [_softmax(z, axis=-2) for z in logits]
        base, mutual = [], []
        for k, (x, z, q) in enumerate(zip(inputs, logits, distributions, strict=True)):
            count = x.shape[-1]
            error = q - targets
            if self.weights is not None:
                own = self.weights[..., k, :] if rows is None else np.take_along_axis(self.weights[..., k, :], rows, -1)
                error = own[..., None, :] * error
            base.append(x @ np.swapaxes(error, -1, -2) / count)
            pull = np.zeros_like(q)
            for j, (u, p) in enumerate(zip(logits, distributions, strict=True)):
                if j != k:
                    # At α = 1 the escort is the peer's distribution.
                    pull += q - p if self.order == 1 else self._pull(u, z, q)
            mutual.append(x @ np.swapaxes(pull, -1, -2) / (count * max(self.students - 1, 1)))
        return base, mutual

    @cached_property
    def _columns(self) -> list[Array]:
        return [np.ascontiguousarray(x.T) for x in self.inputs]

    @cached_property
    def _target_columns(self) -> Array:
        return np.ascontiguousarray(self.targets.T)

    def _pull(self, u: Array, z: Array, q: Array) -> Array:
        """∂D_α/∂z = q - w for classes along the last axis but one; the escort w is the softmax of αu + (1-α)z.

        A training step needs no digits beyond the absolute rounding of q, which this has at a quarter of the cost of
        ``renyi_gradient``; the tests compare the two.
        """
        if np.isinf(self.order):
            return renyi_gradient(u, z, self.order, wrt="q", domain="logits", axis=-2)
        return q - _softmax(self.order * u + (1 - self.order) * z, axis=-2)

    def curvature(self, parameters: Sequence[Array]) -> Array:
        """The Jacobian of the game's update (∇L_k + β∇R_k)_k in all parameters, on all samples.

        Its diagonal blocks hold Cov_q + β(Cov_q - (1-α) Cov_w) and the others -αβ Cov_w/(K-1), between the students'
        features. It is not symmetric unless α = ½ (or 0), or at consensus.

        Parameters
        ----------
        parameters : sequence of K arrays (d_k + 1, C)
            θ.

        Returns
        -------
        ndarray of shape (n, n)
            n = Σ_k (d_k + 1) C, parameters in the order of the arrays, row by row.
        """
        logits = [x @ t for x, t in zip(self.inputs, parameters, strict=True)]
        share = self.beta / max(self.students - 1, 1)
        rows = []
        for k, (x, z) in enumerate(zip(self.inputs, logits, strict=True)):
            q = _softmax(z)
            own = q[:, :, None] * np.eye(self.classes) - q[:, :, None] * q[:, None, :]
            if (weight := self._own(k)) is not None:
                own *= weight[:, None, None]
            row = []
            for j, (other, u) in enumerate(zip(self.inputs, logits, strict=True)):
                if j == k:
                    row.append(None)
                    continue
                own = own + share * renyi_hessian(u, z, self.order, wrt="q")
                row.append(self._block(x, share * renyi_hessian(u, z, self.order, wrt="mixed"), other))
            row[k] = self._block(x, own, x)
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


def _softmax(logits: Array, axis: int = -1) -> Array:
    weights = np.exp(logits - logits.max(axis=axis, keepdims=True))
    weights /= weights.sum(axis=axis, keepdims=True)
    return weights


@dataclass(frozen=True, kw_only=True)
class CohortTrajectory:
    """What a training run recorded: arrays over (record, replica, student), from full-data gradients.

    Attributes
    ----------
    times : ndarray of int, shape (record,)
        Steps taken.
    base, mutual : ndarray
        ‖∇L_k‖² and β²‖∇R_k‖².
    residual : ndarray
        ‖∇L_k + β∇R_k‖², zero at a stationary point.
    mean_base, mean_mutual, mean_residual, mean_noise : ndarray
        Averages over the steps so far of ‖∇L_k‖², of ‖b_k‖² = β²‖∇R_k‖², of ‖∇L_k + β∇R_k‖², and of the squared
        deviation of the mini-batch gradient from the full one (zero for full gradients).
    drift_base, drift_mutual, drift_residual : ndarray, shape (replica, student)
        The norms of the averages over the second half of the run of ∇L_k, of β∇R_k and of their sum (not the averages
        of their norms).
    loss : ndarray
        L_k in nats.
    first_loss : ndarray, shape (student,)
        L_k at the start.
    step : float
        η, its mean over the steps.
    parameters : list of ndarray, shape (replica, d_k + 1, C)
        θ_k at the end.

    With scheduled weights, each record and average takes the β_t and α_t of its own step.
    """

    times: NDArray[np.int64]
    base: Array
    mutual: Array
    residual: Array
    mean_base: Array
    mean_mutual: Array
    mean_residual: Array
    mean_noise: Array
    drift_base: Array
    drift_mutual: Array
    drift_residual: Array
    loss: Array
    first_loss: Array
    step: float
    parameters: list[Array]


def _squares(arrays: Sequence[Array]) -> Array:
    """Squared Frobenius norms, shape (..., student)."""
    return np.stack([np.einsum("...ij,...ij->...", a, a) for a in arrays], axis=-1)


def _add(first: Sequence[Array], second: Sequence[Array], factor: float = 1.0) -> list[Array]:
    return [a + factor * b for a, b in zip(first, second, strict=True)]


def _schedule(name: str, values: ArrayLike, steps: int) -> Array:
    """One number for each step."""
    array = real(name, values)
    if array.shape not in ((), (steps,)):
        raise ValueError(f"{name} has shape {array.shape}: expected a number, or one for each of the {steps} steps")
    return np.broadcast_to(array, (steps,))


def _games(
    cohort: SoftmaxCohort, order: ArrayLike | None, beta: ArrayLike | None, steps: int
) -> Callable[[int], SoftmaxCohort]:
    """The cohort with the order and the weight of a step."""
    if order is None and beta is None:
        return lambda t: cohort
    orders = _schedule("order", cohort.order if order is None else order, steps)
    weights = _schedule("beta", cohort.beta if beta is None else beta, steps)
    if not ((orders >= 0).all() and (np.isfinite(weights) & (weights >= 0)).all()):
        raise ValueError(
            f"order = {shown(order)}, beta = {shown(beta)}: expected orders in [0, inf] and finite weights >= 0"
        )
    return lambda t: cohort.replaced(order=float(orders[t]), beta=float(weights[t]))


def train_cohort(
    cohort: SoftmaxCohort,
    *,
    step: ArrayLike,
    steps: int,
    order: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    batch: int | None = None,
    replicas: int = 1,
    seed: int = 0,
    record: int | ArrayLike = 48,
    every: int = 1,
    progress: Callable[[float], None] | None = None,
) -> CohortTrajectory:
    """Train all students at once from θ = 0, with constant or scheduled step, order and weight.

    Parameters
    ----------
    cohort : SoftmaxCohort
        The students and their data.
    step : float or array of shape (T,)
        η, or η_t for each step.
    steps : int
        T.
    order, beta : array of shape (T,), optional
        α_t and β_t for each step, in place of the cohort's.
    batch : int, optional
        Mini-batch size, drawn with replacement so that the noise is unbiased; full gradients by default.
    replicas : int
        Independent runs, which differ in their mini-batches only.
    seed : int
        For the mini-batches.
    record : int or array of int
        How many records, spaced evenly in log t, or the times.
    every : int
        With mini-batches, full gradients are taken at every ``every``-th step (from a random phase) for the
        averages, which estimates them without bias; always at the records.
    progress : callable, optional
        Called now and then with the fraction done.

    Returns
    -------
    CohortTrajectory

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [2.0]])
    >>> cohort = SoftmaxCohort([x, -x], [0, 1, 1], order=0.5)
    >>> run = train_cohort(cohort, step=0.5, steps=100)
    >>> bool(run.loss[-1, 0, 0] < run.first_loss[0])
    True
    """
    instance("cohort", cohort, SoftmaxCohort)
    steps, replicas = (
        whole("steps", steps, least=1, most=MOST_STEPS),
        whole("replicas", replicas, least=1, most=MOST_REPLICAS),
    )
    every, seed = whole("every", every, least=1, most=MOST_STEPS), whole("seed", seed, least=0)
    batch = None if batch is None else whole("batch", batch, least=1, most=10**9)
    called("progress", progress)
    eta = _schedule("step", step, steps)
    if not (np.isfinite(eta) & (eta > 0)).all():
        raise ValueError(f"step = {shown(step)}: expected finite numbers > 0")
    games = _games(cohort, order, beta, steps)
    rng = np.random.Generator(np.random.PCG64DXSM(seed))
    every = 1 if batch is None else every
    phase = int(rng.integers(every))
    times = record_times(steps, record)
    marks = dict(zip(times.tolist(), range(len(times)), strict=True))
    theta = [np.tile(p, (replicas, 1, 1)) for p in cohort.start()]
    shape = (len(times), replicas, cohort.students)
    base, mutual, residual, mean_base, mean_mutual, mean_residual, mean_noise, loss = (
        np.zeros(shape) for _ in range(8)
    )
    sums = np.zeros((4, *shape[1:]))
    drift_base, drift_mutual = ([np.zeros_like(p) for p in theta] for _ in range(2))
    seen = late = 0

    full = None
    for t in range(steps + 1):
        # The weights of the coming step; after the last one, still its own.
        game = games(min(t, steps - 1))
        row = marks.get(t)
        measured = t < steps and t % every == phase
        if full is None or batch is None or measured or row is not None:
            full = game.gradients(theta)
        if row is not None:
            base[row], mutual[row] = _squares(full[0]), game.beta**2 * _squares(full[1])
            residual[row] = _squares(_add(*full, game.beta))
            mean_base[row], mean_mutual[row], mean_residual[row], mean_noise[row] = sums / max(seen, 1)
            loss[row] = [cohort.base_losses([p[r] for p in theta]) for r in range(replicas)]
            if progress is not None:
                progress(t / steps)
        if t == steps:
            break
        rows = None if batch is None else rng.integers(0, cohort.samples, (replicas, batch))
        drawn = full if rows is None else game.gradients(theta, rows)
        taken = _add(*drawn, game.beta)
        if measured:
            both = _add(*full, game.beta)
            parts = [_squares(full[0]), game.beta**2 * _squares(full[1]), _squares(both)]
            sums += np.stack([*parts, _squares(_add(taken, both, -1))])
            seen += 1
            if 2 * t >= steps:
                late += 1
                drift_base, drift_mutual = _add(drift_base, full[0]), _add(drift_mutual, full[1], game.beta)
        theta = _add(theta, taken, -eta[t])
    drifts = (drift_base, drift_mutual, _add(drift_base, drift_mutual))
    norms = [np.sqrt(_squares(drift)) / max(late, 1) for drift in drifts]
    return CohortTrajectory(
        times=times, base=base, mutual=mutual, residual=residual, mean_base=mean_base, mean_mutual=mean_mutual,
        mean_residual=mean_residual, mean_noise=mean_noise, drift_base=norms[0], drift_mutual=norms[1],
        drift_residual=norms[2], loss=loss, first_loss=np.array(cohort.base_losses(cohort.start())),
        step=float(eta.mean()), parameters=theta,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class StationaryPoint:
    """Where the cohort's update (nearly) vanishes.

    Attributes
    ----------
    parameters : list of ndarray
        θ.
    base, mutual, residual : ndarray, shape (student,)
        ‖∇L_k‖, β‖∇R_k‖ and ‖∇L_k + β∇R_k‖.
    iterations : int
        Newton steps tried.
    """

    parameters: list[Array]
    base: Array
    mutual: Array
    residual: Array
    iterations: int


def find_stationary(
    cohort: SoftmaxCohort,
    parameters: Sequence[Array],
    *,
    tolerance: float = 1e-2,
    iterations: int = 60,
    progress: Callable[[float], None] | None = None,
) -> StationaryPoint:
    """Approach a stationary point of the cohort by damped Newton steps, which gradient descent reaches only slowly.

    Parameters
    ----------
    cohort : SoftmaxCohort
        The students and their data.
    parameters : sequence of K arrays (d_k + 1, C)
        Where to start.
    tolerance : float
        Stop when every student's ‖∇L_k + β∇R_k‖ is at most this fraction of β‖∇R_k‖.
    iterations : int
        Newton steps at most; whether the tolerance was reached is for the caller to see.
    progress : callable, optional
        Called with the fraction of the iterations done.

    Returns
    -------
    StationaryPoint

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [2.0], [1.5]])
    >>> cohort = SoftmaxCohort([x, x**2], [0, 1, 1, 0], order=2.0)
    >>> point = find_stationary(cohort, cohort.start(), tolerance=1e-8)
    >>> bool(abs(point.base - point.mutual).max() < 1e-8)
    True
    """
    shapes = [p.shape for p in instance("cohort", cohort, SoftmaxCohort).start()]
    if not isinstance(parameters, Sequence) or isinstance(parameters, str | bytes):
        raise TypeError(f"parameters = {shown(parameters)}: expected a list of arrays of shapes {shapes}")
    theta = [real("parameters", p) for p in parameters]
    if [p.shape for p in theta] != shapes or not all(np.isfinite(p).all() for p in theta):
        raise ValueError(f"parameters = {shown(parameters)}: expected finite arrays of shapes {shapes}")
    tolerance, iterations = (
        number("tolerance", tolerance, least=0),
        whole("iterations", iterations, least=0, most=10**6),
    )
    called("progress", progress)
    splits = np.cumsum([p.size for p in theta])[:-1]

    def update(at: Sequence[Array]) -> tuple[list[Array], list[Array], list[Array]]:
        base, mutual = cohort.gradients(at)
        scaled = [cohort.beta * r for r in mutual]
        return base, scaled, [g + r for g, r in zip(base, scaled, strict=True)]

    def norms(of: list[Array]) -> Array:
        return np.sqrt(_squares(of))

    base, mutual, both = update(theta)
    damping, count = 1e-2, 0
    curvature: Array | None = None
    while count < iterations and (norms(both) > tolerance * norms(mutual)).any():
        count += 1
        if curvature is None:
            curvature = cohort.curvature(theta)
        flat = np.concatenate([g.ravel() for g in both])
        move = np.linalg.solve(curvature + damping * np.eye(flat.size), flat)
        trial = [p - m.reshape(p.shape) for p, m in zip(theta, np.split(move, splits), strict=True)]
        there = update(trial)
        if np.linalg.norm(norms(there[2])) < np.linalg.norm(norms(both)):
            theta, (base, mutual, both), curvature = trial, there, None
            damping /= 4
        else:
            damping *= 4
        if progress is not None:
            progress(count / iterations)
    return StationaryPoint(
        parameters=theta, base=norms(base), mutual=norms(mutual), residual=norms(both), iterations=count
    )
