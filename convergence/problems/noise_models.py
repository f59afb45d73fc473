"""Zero-mean gradient noise with a known variance E‖n‖² = σ².

Each model is a function ``(gradient, deviation, rng, out=None) -> n``, where ``gradient`` has shape (replicas, dim) and
``deviation`` is σ. With shape (blocks, replicas, dim), ``rng`` is a list of one generator for each block. ``out`` may
have its last two axes swapped in memory: numbers are drawn in the order of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convergence.arguments import number

__all__ = [
    "NOISE_MODELS", "NoiseModel", "Streams", "SubGaussian", "gaussian", "heavy_tailed", "orthogonal", "rademacher",
    "tail_of",
]  # fmt: skip

Array = NDArray[np.float64]
NoiseModel = Callable[..., Array]
"""From gradients (..., d), a variance σ² and `Streams` to noise (..., d) of mean zero."""

Streams = np.random.Generator | Sequence[np.random.Generator]
"""A generator of random numbers, or one for each replica, a row each."""

_CUT = 1e-4
"""The least U of heavy-tailed noise."""


@dataclass(frozen=True, kw_only=True)
class SubGaussian:
    """Noise with E[exp⟨v, n⟩ | past] ≤ exp(s²‖v‖²/2) for every v, in a subspace of r dimensions that the past fixes.

    Then E‖n‖² ≤ r s². Gaussian noise of variance σ² has r = dim and s² = σ²/dim, and so have independent signs.

    Attributes
    ----------
    proxy : float
        s² ≥ 0, the variance proxy.
    rank : int
        r ≥ 1.

    Examples
    --------
    >>> from convergence import problems
    >>> problems.get("quadratic", dim=4, noise=2.0, noise_model="gaussian").tail
    SubGaussian(proxy=0.5, rank=4)
    """

    proxy: float
    rank: int

    def __post_init__(self) -> None:
        """Check both."""
        number("proxy", self.proxy, least=0)
        number("rank", self.rank, least=1)


def _contiguous(out: Array | None, like: Array) -> tuple[Array, Array]:
    """``out`` (a new array by default), and its memory in order."""
    out = np.empty(like.shape) if out is None else out
    return out, out if out.flags.c_contiguous else out.swapaxes(-1, -2)


def _streams(memory: Array, rng: Streams) -> Iterator[tuple[np.random.Generator, Array]]:
    """Each generator with what it has to fill."""
    return iter([(rng, memory)]) if isinstance(rng, np.random.Generator) else zip(rng, memory, strict=True)


def gaussian(gradient: Array, deviation: float, rng: Streams, out: Array | None = None) -> Array:
    """Isotropic normal noise: each coordinate has variance σ²/dim.

    >>> rng = np.random.default_rng(0)
    >>> gaussian(np.zeros((2, 3)), 1.0, rng).shape
    (2, 3)
    """
    out, memory = _contiguous(out, gradient)
    for stream, part in _streams(memory, rng):
        stream.standard_normal(out=part)
    memory *= deviation / np.sqrt(gradient.shape[-1])
    return out


def _signs(out: Array, rng: Streams, size: float = 1.0) -> Array:
    """Fill a contiguous array with ±size, from one random bit each."""
    raw, count = [], 0
    for stream, part in _streams(out, rng):
        count = part.size
        raw.append(stream.bit_generator.random_raw(-(-count // 64)))
    bits = np.unpackbits(np.concatenate(raw).view(np.uint8)).reshape(len(raw), -1)[:, :count]
    np.copyto(out, bits.reshape(out.shape))
    out *= 2 * size
    out -= size
    return out


def rademacher(gradient: Array, deviation: float, rng: Streams, out: Array | None = None) -> Array:
    """Each coordinate is ±σ/√dim with equal chances, so that ‖n‖ = σ always.

    >>> rng = np.random.default_rng(0)
    >>> bool(np.isclose(np.linalg.norm(rademacher(np.zeros((1, 4)), 3.0, rng)), 3.0))
    True
    """
    out, memory = _contiguous(out, gradient)
    _signs(memory, rng, deviation / np.sqrt(gradient.shape[-1]))
    return out


def heavy_tailed(gradient: Array, deviation: float, rng: Streams, out: Array | None = None) -> Array:
    """Bounded, with a heavy tail: each coordinate is ±c/√U for uniform U in [10⁻⁴, 1], of variance σ²/dim.

    The magnitude m has the Pareto law P(m > s) ∝ s⁻² - const up to 100 c, whose variance would grow without limit
    with the cut: E m² = c² ∫ du/u / (1 - ε) = c² log(1/ε)/(1 - ε) at ε = 10⁻⁴, which c makes equal to σ²/dim.

    >>> rng = np.random.default_rng(0)
    >>> n = heavy_tailed(np.zeros((10_000, 1)), 1.0, rng)
    >>> bool(abs((n**2).mean() - 1) < 0.2), bool(abs(n).max() < 33)
    (True, True)
    """
    out, memory = _contiguous(out, gradient)
    scale = deviation / np.sqrt(gradient.shape[-1]) * np.sqrt((1 - _CUT) / np.log(1 / _CUT))
    for stream, part in _streams(memory, rng):
        stream.random(out=part)
    memory *= _CUT - 1
    memory += 1.0  # uniform in (10⁻⁴, 1]
    np.sqrt(memory, out=memory)
    np.divide(scale, memory, out=memory)
    memory *= _signs(np.empty(memory.shape), rng)
    return out


def orthogonal(gradient: Array, deviation: float, rng: Streams, out: Array | None = None) -> Array:
    """±σ along a unit vector orthogonal to the gradient: the noise that attains the sharp bound.

    The vector is the gradient's first two coordinates turned by 90°, or the first axis where they vanish.

    >>> rng = np.random.default_rng(0)
    >>> g = np.array([[3.0, 4.0]])
    >>> n = orthogonal(g, 2.0, rng)
    >>> float((n * g).sum()), float(np.linalg.norm(n))
    (0.0, 2.0)
    """
    out = np.empty(gradient.shape) if out is None else out
    sign = _signs(np.empty(gradient.shape[:-1]), rng, deviation)
    length = np.hypot(gradient[..., 0], gradient[..., 1])
    scale = sign / (length if (turns := length.all()) else np.where(length == 0, 1.0, length))
    out[..., 2:] = 0.0
    np.multiply(gradient[..., 1], -scale, out=out[..., 0])
    np.multiply(gradient[..., 0], scale, out=out[..., 1])
    if not turns:
        out[..., 0] = np.where(length == 0, sign, out[..., 0])
    return out


NOISE_MODELS: dict[str, NoiseModel] = {
    "gaussian": gaussian, "heavy_tailed": heavy_tailed, "orthogonal": orthogonal, "rademacher": rademacher,
}  # fmt: skip
"""The models by name, as `problems.get(..., noise_model=...)` takes them."""


def tail_of(model: str, variance: float, dim: int) -> SubGaussian:
    """What is proved of a model's tail: exactly normal, or bounded and symmetric (Hoeffding 1963).

    >>> tail_of("orthogonal", 1.0, 5), tail_of("heavy_tailed", 1.0, 1).proxy > 1000
    (SubGaussian(proxy=1.0, rank=1), True)
    """
    if model == "orthogonal":
        return SubGaussian(proxy=variance, rank=1)
    largest = (1 - _CUT) / np.log(1 / _CUT) / _CUT if model == "heavy_tailed" else 1.0
    return SubGaussian(proxy=float(largest) * variance / dim, rank=dim)
