"""Synthetic problems: a function with a noise model, a bias model and known constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from convergence.problems.bias_models import BIAS_MODELS, BiasModel, relative
from convergence.problems.noise_models import NOISE_MODELS, NoiseModel, Streams, SubGaussian, tail_of

__all__ = ["Oracle", "SyntheticProblem", "check_positive"]

Array = NDArray[np.float64]


class Oracle(TypedDict, total=False):
    """The parameters that every built-in problem takes."""

    noise: float
    bias: float
    noise_model: str
    bias_model: str
    relative_bias: float


def check_positive(**numbers: float) -> None:
    """Refuse a number that is not finite and positive.

    >>> check_positive(frequency=0)
    Traceback (most recent call last):
    ...
    ValueError: frequency = 0: expected a finite number > 0
    """
    for name, number in numbers.items():
        if not (np.isfinite(number) and number > 0):
            raise ValueError(f"{name} = {number!r}: expected a finite number > 0")


class SyntheticProblem:
    """A function with a noise model and a bias model; subclasses supply the function and its constants.

    A subclass defines ``value`` and ``gradient`` on arrays (..., dim) of any memory order. The oracle adds bias and
    noise; a subclass whose noise or bias belongs to it (mini-batches, a mutual gradient) overrides ``batch_noise`` or
    ``bias_at``, and ``sample_into`` where their sum is cheaper than its parts.

    Parameters
    ----------
    dim : int
        The dimension, at least 1 (2 for orthogonal noise).
    smoothness, minimum : float
        Λ and inf f.
    start : ndarray
        The default starting point.
    **oracle
        ``noise`` (σ²) and ``bias`` (ζ²), both squared; ``noise_model``, see :mod:`convergence.problems.noise_models`,
        and ``bias_model``, see :mod:`convergence.problems.bias_models`; or, in place of a bias, ``relative_bias`` (m).

    Raises
    ------
    ValueError
        If a parameter is out of its range; the message names it.
    """

    noise_model: ClassVar[str] = "gaussian"
    bias_model: ClassVar[str] = "constant"
    noise_models: ClassVar[Mapping[str, NoiseModel]] = NOISE_MODELS
    bias_models: ClassVar[Mapping[str, BiasModel]] = BIAS_MODELS
    tightness: ClassVar[float] = 1.0
    """What part of Λ a search for curvature reaches, with the default parameters: 1 where Λ is exact."""
    attains_minimum: ClassVar[bool] = True
    """Whether ``minimum`` is a value of f, with the default parameters, and not only a lower bound."""
    block: int = 256
    """Replicas that share a random stream and are advanced together: a power of two, less where one is much work."""
    follows_gradient: bool = True
    """Whether a draw of the oracle is made from ∇f: else it may be had without."""
    batch: int | None = None
    """Samples in a mini-batch, whose noise :meth:`batch_noise` draws; None for that of the noise model."""
    players: Sequence[slice] = (slice(None),)
    """Whose coordinates are whose, where x is of several players: who may move one after the other."""

    def __init__(self, *, dim: int, smoothness: float, minimum: float, start: Array, **oracle: Unpack[Oracle]) -> None:
        if unknown := sorted(oracle.keys() - Oracle.__annotations__):
            raise TypeError(f"{type(self).__name__}() got an unexpected keyword argument {unknown[0]!r}")
        noise, bias, m = (float(oracle.get(name, 0.0)) for name in ("noise", "bias", "relative_bias"))
        models = {name: oracle.get(name, getattr(self, name)) for name in ("noise_model", "bias_model")}
        least = 2 if models["noise_model"] == "orthogonal" else 1
        if dim < least:
            raise ValueError(f"dim = {dim!r}: expected at least {least} with noise_model = {models['noise_model']!r}")
        for name, size in (("noise", noise), ("bias", bias), ("relative_bias", m)):
            if not (np.isfinite(size) and size >= 0):
                raise ValueError(f"{name} = {size!r}: expected a finite squared norm >= 0")
        if bias and m:
            raise ValueError(f"bias = {bias!r}, relative_bias = {m!r}: expected one of them to be 0")
        for name, table in (("noise_model", self.noise_models), ("bias_model", self.bias_models)):
            if models[name] not in table:
                raise ValueError(f"{name} = {models[name]!r}: expected one of {', '.join(table)}")
        if not np.isfinite(start).all():
            raise ValueError(f"the starting point {start!r} is not finite: give a finite radius")
        self.dim, self.smoothness, self.minimum = dim, float(smoothness), float(minimum)
        self.noise, self.bias, self.relative_bias = noise, bias, m
        self.start = np.asarray(start, dtype=np.float64)
        self._model = models["noise_model"]
        self._noise, self._bias = self.noise_models[models["noise_model"]], self.bias_models[models["bias_model"]]

    @property
    def tail(self) -> SubGaussian | None:
        """What is proved of the noise's tail; None where the noise belongs to the problem, such as mini-batches."""
        model = type(self).noise_at is SyntheticProblem.noise_at and self.batch is None and self._model in NOISE_MODELS
        return None if not model else tail_of(self._model, self.noise, self.dim)

    def value(self, x: Array) -> Array:
        """f at x of shape (..., dim): shape (...)."""
        raise NotImplementedError

    def gradient(self, x: Array) -> Array:
        """∇f at x, the shape of x."""
        raise NotImplementedError

    def bias_at(self, x: Array, gradient: Array) -> Array | None:
        """b at x of shape (..., dim), given ∇f there; None for no bias."""
        if self.relative_bias:
            return relative(gradient, float(np.sqrt(self.relative_bias)))
        return self._bias(gradient, float(np.sqrt(self.bias))) if self.bias else None

    def noise_at(self, x: Array, gradient: Array, rng: Streams, out: Array) -> bool:
        """One draw of n at x of shape (replicas, dim) into ``out``; False for no noise, which draws nothing.

        For x of shape (blocks, replicas, dim), ``rng`` is a list of one generator for each block.
        """
        if self.batch is not None:
            self.batch_noise(self.batch, x, gradient, rng, out)
            return True
        if self.noise:
            self._noise(gradient, float(np.sqrt(self.noise)), rng, out)
        return bool(self.noise)

    def batch_noise(self, size: int, x: Array, gradient: Array, rng: Streams, out: Array) -> None:
        """One draw of n at x into ``out``, of mini-batches of so many samples: for problems that have them."""
        raise NotImplementedError

    def sample_into(self, x: Array, gradient: Array, rng: Streams, out: Array) -> None:
        """One draw of ∇f + b + n at x into ``out``, given ∇f there; x and ``rng`` as in ``noise_at``."""
        if self.noise_at(x, gradient, rng, out):
            out += gradient
        else:
            out[...] = gradient
        if (bias := self.bias_at(x, gradient)) is not None:
            out += bias

    def oracle_into(self, x: Array, gradient: Array, rng: Streams, out: Array) -> None:
        """∇f at x into ``gradient`` and a draw of ∇f + b + n into ``out``; a subclass may save work that they share."""
        gradient[...] = self.gradient(x)
        self.sample_into(x, gradient, rng, out)

    def sample_gradient(self, x: Array, rng: np.random.Generator) -> Array:
        """One draw of ∇f + b + n for each row of x."""
        gradient = self.gradient(x)
        sample = np.empty_like(gradient)
        self.sample_into(x, gradient, rng, sample)
        return sample

    def __repr__(self) -> str:
        """The class with its constants."""
        constants: dict[str, Any] = {n: getattr(self, n) for n in ("dim", "smoothness", "noise", "bias")}
        if self.relative_bias:
            constants["relative_bias"] = self.relative_bias
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in constants.items())})"
