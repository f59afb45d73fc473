"""Networks written out in NumPy: their gradients, their Jacobian and the pull of their peers, without torch.

What the trainer does to real networks is judged against these numbers, which share no code with it: layers, their
derivatives and the escort distributions are written out here; divergences are those of the NumPy core.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from convergence.data import game_data
from rdml_theory import renyi_divergence, renyi_gradient

__all__ = ["DECAY", "HIDDEN", "SAMPLES", "SETTING", "Layers", "Setting", "Snapshot", "digits", "flat"]

Array = NDArray[np.float64]
Layers = list[tuple[Array, Array]]
"""Weights (out, in) and biases (out,) of a network."""

SAMPLES = 600
HIDDEN = 8
DECAY = 5e-3

SETTING = (
    f"experiment: the trainer of this toolkit in single precision, with networks of {HIDDEN} hidden tanh units, each "
    f"on the upper or the lower half of {SAMPLES} of scikit-learn's digits, cross-entropy with a weight decay of "
    f"{DECAY:g}, plain gradient descent; its updates are read off the weights and measured in double precision"
)


def flat(layers: Layers) -> Array:
    """All parameters of a network in one vector (P,)."""
    return np.concatenate([part.ravel() for layer in layers for part in layer])


def _softmax(z: Array) -> Array:
    # Classes first: NumPy reduces fastest over the first axis.
    first = np.moveaxis(z, -1, 0).copy()
    weights = np.exp(first - first.max(0))
    return np.moveaxis(weights / weights.sum(0), 0, -1)


@dataclass(frozen=True)
class Snapshot:
    """K networks at one moment, on some samples.

    Parameters
    ----------
    layers : list
        The layers of each network.
    inputs : list
        The samples (N, d) of each network.
    labels : ndarray
        (N,), for all.
    decay, smoothing : float
        Weight decay, a part of the base loss as (λ/2)‖θ‖², and label smoothing.
    rectified : bool
        Whether the units between the layers are rectifiers, else hyperbolic tangents.
    """

    layers: list[Layers]
    inputs: list[Array]
    labels: NDArray[np.int64]
    decay: float = 0.0
    smoothing: float = 0.0
    rectified: bool = False

    @cached_property
    def passed(self) -> list[list[Array]]:
        """The inputs of all layers of each network and, last, its logits."""
        out = []
        for layers, x in zip(self.layers, self.inputs, strict=True):
            values = [x]
            for number, (weight, bias) in enumerate(layers):
                z = values[-1] @ weight.T + bias
                last = number + 1 == len(layers)
                values.append(z if last else np.maximum(z, 0.0) if self.rectified else np.tanh(z))
            out.append(values)
        return out

    @property
    def logits(self) -> list[Array]:
        """(N, C) of each network."""
        return [values[-1] for values in self.passed]

    def _passed_back(self, k: int, v: Array) -> Iterator[tuple[Array, Array]]:
        """From the last layer of network k to the first, its inputs and what v (..., N, C) makes of its outputs."""
        for n in reversed(range(len(self.layers[k]))):
            inputs = self.passed[k][n]
            yield inputs, v
            v = (v @ self.layers[k][n][0]) * (inputs > 0 if self.rectified else 1 - inputs**2)

    def pulled_back(self, k: int, v: Array) -> Array:
        """J_kᵀv of every sample, for vectors v (N, C) of the logits, shape (N, P)."""
        parts: list[Array] = []
        for inputs, out in self._passed_back(k, v):
            parts = [(out[:, :, None] * inputs[:, None]).reshape(len(v), -1), out, *parts]
        return np.concatenate(parts, axis=1)

    def mean_pulled_back(self, k: int, v: Array) -> Array:
        """E[J_kᵀv], shape (P,)."""
        parts: list[Array] = []
        for inputs, out in self._passed_back(k, v):
            parts = [(out.T @ inputs).ravel() / len(v), out.mean(0), *parts]
        return np.concatenate(parts)

    def _less_target(self, q: Array) -> Array:
        """Probabilities (..., N, C) less the targets."""
        classes = q.shape[-1]
        return q - (1 - self.smoothing) * np.eye(classes)[self.labels] - self.smoothing / classes

    @cached_property
    def predicted(self) -> list[Array]:
        """Probabilities (N, C) of each network."""
        return [_softmax(z) for z in self.logits]

    @cached_property
    def loss(self) -> Array:
        """L_k, shape (K,)."""
        out = []
        for layers, z in zip(self.layers, self.logits, strict=True):
            own = z[np.arange(len(z)), self.labels][:, None]
            # Of the logits: a probability may be below every float.
            above = (z - own).T.copy()
            most = above.max(0)
            likely = self.smoothing * above.mean(0) - most - np.log(np.exp(above - most).sum(0))
            out.append(0.5 * self.decay * float(np.square(flat(layers)).sum()) - likely.mean())
        return np.array(out)

    @cached_property
    def _bases(self) -> list[Array]:
        errors = [self._less_target(q) for q in self.predicted]
        return [self.mean_pulled_back(k, e) + self.decay * flat(self.layers[k]) for k, e in enumerate(errors)]

    def base(self, k: int) -> Array:
        """∇L_k, shape (P,)."""
        return self._bases[k]

    def _others(self, k: int, temperature: float, peers: list[Array] | None = None) -> list[Array]:
        return [z / temperature for j, z in enumerate(peers or self.logits) if j != k]

    def _pulls(self, k: int, alpha: float, temperature: float = 1.0, peers: list[Array] | None = None) -> Array:
        """Σ_{j≠k} (q_k - w_jk), (N, C), w_jk the escort of an order; q and w of the logits over the temperature."""
        own = self.logits[k] / temperature
        escorts = [_softmax(alpha * peer + (1 - alpha) * own) for peer in self._others(k, temperature, peers)]
        return len(escorts) * (self.predicted[k] if temperature == 1 else _softmax(own)) - sum(escorts)

    def pull(
        self, k: int, alpha: float, temperature: float = 1.0, peers: list[Array] | None = None,
        share: NDArray[np.float64] | None = None,
    ) -> Array:  # fmt: skip
        """Σ_{j≠k} E[J_kᵀ(q_k - w_jk)], shape (P,); ``peers`` are logits other than those of this moment.

        ``share`` (N,) is the weight of each sample in E, 1 for all unless it is given.
        """
        each = self._pulls(k, alpha, temperature, peers)
        return self.mean_pulled_back(k, each if share is None else share[:, None] * each)

    def push(self, k: int, alpha: float, temperature: float = 1.0) -> Array:
        """Σ_{j≠k} E[J_kᵀ ∂D(q_k‖q_j)/∂z_k], shape (P,): what student k adds to its peers' losses, unless constant."""
        own = self.logits[k] / temperature
        slopes = [renyi_gradient(own, z, alpha, wrt="p", domain="logits") for z in self._others(k, temperature)]
        return self.mean_pulled_back(k, np.sum(slopes, axis=0))

    def bias(self, k: int, alpha: float, beta: float, temperature: float = 1.0) -> Array:
        """b_k = β∇R_k, R_k the mean divergence from the peers, of logits over a temperature and times its square."""
        peers = len(self.layers) - 1
        if not (peers and beta):
            return np.zeros(len(flat(self.layers[k])))
        return beta * temperature / peers * self.pull(k, alpha, temperature)

    def sample_gradients(self, k: int, alpha: float, beta: float) -> Array:
        """∇(L_k + βR_k) of every sample, shape (N, P)."""
        return self.pulled_back(k, self._slopes(k, alpha, beta)) + self.decay * flat(self.layers[k])

    def sample_variance(self, k: int, alpha: float, beta: float) -> float:
        """The trace of the covariance of these, in which the decay has no part: ‖vxᵀ‖² = ‖v‖²‖x‖² in every layer."""
        v = self._slopes(k, alpha, beta)
        squares = [(np.square(v).sum(1) @ (np.square(x).sum(1) + 1)) / len(v) for x, v in self._passed_back(k, v)]
        return float(sum(squares) - np.square(self.mean_pulled_back(k, v)).sum())

    def _slopes(self, k: int, alpha: float, beta: float) -> Array:
        """∂(L_k + βR_k)/∂z of every sample but for the decay, (N, C)."""
        return self._less_target(self.predicted[k]) + beta / (len(self.layers) - 1) * self._pulls(k, alpha)

    def divergence(self, k: int, alpha: float, temperature: float = 1.0) -> float:
        """The mean divergence D_α from the peers, in nats."""
        own, others = self.logits[k] / temperature, self._others(k, temperature)
        return float(np.mean([renyi_divergence(z, own, alpha, domain="logits").mean() for z in others]))

    def ranges(self, k: int, temperature: float = 1.0) -> Array:
        """ρ, the range of log(p/q) of every peer and sample, shape (K - 1, N)."""
        own = self.logits[k] / temperature
        return np.array([np.ptp(z - own, axis=-1) for z in self._others(k, temperature)])

    def _grams(self, k: int) -> Array:
        """JJᵀ of every sample, (N, C, C), J = ∂z/∂θ: of each layer, that of its outputs times ‖x‖² + 1."""
        samples, classes = self.logits[k].shape
        out = np.zeros((samples, classes, classes))
        for inputs, v in self._passed_back(k, np.repeat(np.eye(classes)[:, None], samples, axis=1)):
            out += (np.square(inputs).sum(1) + 1)[:, None, None] * (v.transpose(1, 0, 2) @ v.transpose(1, 2, 0))
        return out

    def jacobian_norms(self, k: int) -> Array:
        """The squared spectral norm of ∂z/∂θ of every sample, shape (N,), from its Gram matrix (C, C)."""
        return np.asarray(np.linalg.eigvalsh(self._grams(k))[:, -1], dtype=np.float64)

    def centred_norms(self, k: int) -> Array:
        """The squared Frobenius norm of ∂z/∂θ of every sample, without the direction that shifts all logits, (N,)."""
        grams = self._grams(k)
        return np.einsum("nii->n", grams) - grams.mean(axis=(1, 2)) * grams.shape[1]

    def joint_gradient(self, k: int, beta: float) -> Array:
        """∇_k of Φ = Σ L_k + β/(K-1) Σ_{j<k} E D_½(p_j‖p_k), with no peer held constant."""
        z = self.logits
        out = self.base(k)
        for j in range(len(z)):
            if j != k:
                first, second, wrt = (z[j], z[k], "q") if j < k else (z[k], z[j], "p")
                slope = renyi_gradient(first, second, 0.5, wrt=wrt, domain="logits")
                out = out + beta / (len(z) - 1) * self.mean_pulled_back(k, slope)
        return out

    def curvatures(self, k: int, move: Array, places: Array) -> Array:
        """<Δ, ∇²L_k(θ + sΔ) Δ>/‖Δ‖² at places s of the segment from θ to θ + Δ, of networks with tangents.

        Values and first and second derivatives by s are passed on, layer by layer.
        """
        if self.rectified:
            raise ValueError("rectified = True: at a kink there is no Hessian; expected units with tangents")
        s, at = places[:, None, None], 0
        z = self.inputs[k]
        first = second = np.zeros_like(z)
        for n, (weight, bias) in enumerate(self.layers[k]):
            way = move[at : at + weight.size].reshape(weight.shape)
            along = move[at + weight.size :][: bias.size]
            there, at = (weight + s * way).transpose(0, 2, 1), at + weight.size + bias.size
            if n:
                z = np.tanh(z)
                slope = 1 - z**2
                first, second = slope * first, slope * (second - 2 * z * first**2)
            z, first, second = (
                z @ there + bias + s * along, first @ there + z @ way.T + along, second @ there + 2 * first @ way.T
            )  # fmt: skip
        q = _softmax(z)
        bent = (self._less_target(q) * second).sum(-1) + (q * first**2).sum(-1) - (q * first).sum(-1) ** 2
        return np.asarray(bent.mean(1) / (move @ move) + self.decay)

    def curvature(self, k: int, move: Array) -> float:
        """Λ_t = 2∫(1-s) <Δ, ∇²L_k(θ + sΔ) Δ> ds / ‖Δ‖² over [0, 1], from Hessians alone (Gauss-Legendre).

        At the edge of stability steps are long: 16 nodes leave 1e-6 of the greatest change of a loss, 24 leave 1e-9.
        """
        places, weighing = np.polynomial.legendre.leggauss(24)
        s = (places + 1) / 2
        return float(weighing @ ((1 - s) * self.curvatures(k, move, s)))


@dataclass(frozen=True)
class Setting:
    """A cohort of the claims on networks.

    ``students`` see the upper and the lower halves of the digits in turn or, where they are ``alike``, the upper one.
    """

    alpha: float = 1.0
    beta: float = 1.0
    students: int = 2
    alike: bool = False

    def half(self, k: int) -> int:
        """What student k sees: 0 the upper, 1 the lower half."""
        return 0 if self.alike else k % 2

    def start(self, seed: int) -> list[Layers]:
        """Starting weights, each student's own."""
        rng = np.random.default_rng(seed)
        sizes = [(HIDDEN, digits()[0].shape[2]), (10, HIDDEN)]
        return [
            [(rng.standard_normal((out, into)) / np.sqrt(into), np.zeros(out)) for out, into in sizes]
            for _ in range(self.students)
        ]

    def snapshot(self, layers: list[Layers], rows: NDArray[np.int64] | None = None) -> Snapshot:
        """The cohort with these weights, on all samples or on some."""
        halves, labels = digits()
        chosen = slice(SAMPLES) if rows is None else rows
        inputs = [halves[self.half(k), chosen] for k in range(self.students)]
        return Snapshot(layers, inputs, labels[chosen], decay=DECAY)


@cache
def digits() -> tuple[Array, NDArray[np.int64]]:
    """The upper and the lower halves of all digits, standardised, (2, N, d); and their labels."""
    halves, labels, _ = game_data("digits", 2)
    pixels = np.stack(halves)
    # The trainer computes in single precision: both sides see the same numbers.
    standard = ((pixels - pixels.mean()) / pixels.std()).astype(np.float32)
    return standard.astype(np.float64), labels.astype(np.int64)
