"""What a problem is: a smooth function and a noisy, biased gradient oracle with known constants."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from convergence.problems.bias_models import BIAS_MODELS
from convergence.problems.noise_models import NOISE_MODELS

__all__ = ["Problem", "SyntheticProblem"]

Array = NDArray[np.float64]


@runtime_checkable
class Problem(Protocol):
    """What :func:`convergence.simulate` needs; users pass their own class with these names.

    Attributes
    ----------
    dim : int
        The dimension of x.
    smoothness : float
        Λ, a Lipschitz constant of the gradient.
    minimum : float
        inf f, or a lower bound of it.
    noise : float
        σ², a bound of the variance E‖n‖² of the oracle.
    bias : float
        ζ², a bound of the squared norm of the oracle's bias.
    """

    dim: int
    smoothness: float
    minimum: float
    noise: float
    bias: float

    def value(self, x: Array) -> Array:
        """f at x of shape (replicas, dim): shape (replicas,)."""
        ...

    def gradient(self, x: Array) -> Array:
        """∇f at x, the shape of x."""
        ...

    def sample_gradient(self, x: Array, rng: np.random.Generator) -> Array:
        """One draw of ∇f + b + n for each replica, the shape of x."""
        ...


class SyntheticProblem:
    """A function with a noise model and a bias model; subclasses supply the function and its constants.

    Parameters
    ----------
    dim : int
        The dimension, at least 1 (2 for orthogonal noise).
    smoothness, minimum : float
        Λ and inf f.
    start : ndarray
        The default starting point.
    noise, bias : float
        σ² and ζ², both squared.
    noise_model : {"gaussian", "orthogonal", "rademacher"}
        See :mod:`convergence.problems.noise_models`.
    bias_model : {"against_gradient", "along_gradient", "constant"}
        See :mod:`convergence.problems.bias_models`.

    Raises
    ------
    ValueError
        If a parameter is out of its range; the message names it.
    """

    def __init__(
        self,
        *,
        dim: int,
        smoothness: float,
        minimum: float,
        start: Array,
        noise: float = 0.0,
        bias: float = 0.0,
        noise_model: str = "gaussian",
        bias_model: str = "constant",
    ) -> None:
        least = 2 if noise_model == "orthogonal" else 1
        if dim < least:
            raise ValueError(f"dim = {dim!r}: expected at least {least} with noise_model = {noise_model!r}")
        for name, size in (("noise", noise), ("bias", bias)):
            if not (np.isfinite(size) and size >= 0):
                raise ValueError(f"{name} = {size!r}: expected a finite squared norm >= 0")
        for name, model, table in (("noise_model", noise_model, NOISE_MODELS), ("bias_model", bias_model, BIAS_MODELS)):
            if model not in table:
                raise ValueError(f"{name} = {model!r}: expected one of {', '.join(table)}")
        if not np.isfinite(start).all():
            raise ValueError(f"the starting point {start!r} is not finite: give a finite radius")
        self.dim, self.smoothness, self.minimum = dim, float(smoothness), float(minimum)
        self.noise, self.bias = float(noise), float(bias)
        self.start = np.asarray(start, dtype=np.float64)
        self._noise_model, self._bias_model = NOISE_MODELS[noise_model], BIAS_MODELS[bias_model]

    def value(self, x: Array) -> Array:
        """f at x of shape (..., dim): shape (...)."""
        raise NotImplementedError

    def gradient(self, x: Array) -> Array:
        """∇f at x, the shape of x."""
        raise NotImplementedError

    def perturb(self, gradient: Array, rng: np.random.Generator) -> Array:
        """∇f + b + n for a gradient already computed: what the simulator calls."""
        sample = gradient.copy()
        if self.bias:
            sample += self._bias_model(gradient, float(np.sqrt(self.bias)))
        if self.noise:
            sample += self._noise_model(gradient, float(np.sqrt(self.noise)), rng)
        return sample

    def sample_gradient(self, x: Array, rng: np.random.Generator) -> Array:
        """One draw of ∇f + b + n for each row of x."""
        return self.perturb(self.gradient(x), rng)

    def __repr__(self) -> str:
        """The class with its constants."""
        constants: dict[str, Any] = {n: getattr(self, n) for n in ("dim", "smoothness", "noise", "bias")}
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in constants.items())})"
