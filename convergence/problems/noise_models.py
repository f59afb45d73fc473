"""Zero-mean gradient noise with a known variance E‖n‖² = σ².

Each model is a function ``(gradient, deviation, rng, out=None) -> n``, where ``gradient`` has shape (replicas, dim) and
``deviation`` is σ. With shape (blocks, replicas, dim), ``rng`` is a list of one generator for each block. ``out`` may
have its last two axes swapped in memory: numbers are drawn in the order of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOISE_MODELS", "NoiseModel", "Streams", "gaussian", "heavy_tailed", "orthogonal", "rademacher"]

Array = NDArray[np.float64]
NoiseModel = Callable[..., Array]
Streams = np.random.Generator | Sequence[np.random.Generator]


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
    cut = 1e-4
    scale = deviation / np.sqrt(gradient.shape[-1]) * np.sqrt((1 - cut) / np.log(1 / cut))
    for stream, part in _streams(memory, rng):
        stream.random(out=part)
    memory *= cut - 1
    memory += 1.0  # uniform in (cut, 1]
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
    flat = length == 0
    scale = sign / np.where(flat, 1.0, length)
    out[...] = 0.0
    out[..., 0] = np.where(flat, sign, -gradient[..., 1] * scale)
    out[..., 1] = np.where(flat, 0.0, gradient[..., 0] * scale)
    return out


NOISE_MODELS: dict[str, NoiseModel] = {
    "gaussian": gaussian, "heavy_tailed": heavy_tailed, "orthogonal": orthogonal, "rademacher": rademacher,
}  # fmt: skip
