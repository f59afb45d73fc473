"""What a bound assumes about the problem."""

from __future__ import annotations

from dataclasses import dataclass

from convergence.arguments import number

__all__ = ["Assumptions"]


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """The constants that the biased-SGD bounds take.

    The setting: f is Λ-smooth and bounded below, Δ = f(x₀) - inf f, and the oracle returns g = ∇f(x) + b + n with
    E[n | x] = 0, E‖n‖² ≤ σ² and ‖b‖² ≤ m‖∇f(x)‖² + ζ².

    Parameters
    ----------
    smoothness : float
        Λ > 0, the Lipschitz constant of ∇f.
    gap : float
        Δ ≥ 0, the initial value above the infimum.
    noise : float
        σ² ≥ 0, a variance: the expected squared norm of the noise.
    bias : float
        ζ² ≥ 0, the squared norm of the bias (its absolute part).
    relative_bias : float
        m ≥ 0, the part of the squared bias that scales with ‖∇f‖². Zero by default.

    Raises
    ------
    TypeError
        If a value is not a real number.
    ValueError
        If a value is out of its range; the message names it and the range.

    Examples
    --------
    >>> Assumptions(smoothness=1.0, gap=1.0, noise=0.0, bias=0.01)
    Assumptions(smoothness=1.0, gap=1.0, noise=0.0, bias=0.01, relative_bias=0.0)
    >>> Assumptions(smoothness=-1.0, gap=1.0, noise=0.0, bias=0.0)
    Traceback (most recent call last):
    ...
    ValueError: smoothness = -1.0: expected a finite number > 0; give the Lipschitz constant of the gradient
    """

    smoothness: float
    gap: float
    noise: float
    bias: float
    relative_bias: float = 0.0

    def __post_init__(self) -> None:
        """Check every constant."""
        remedies = {
            "smoothness": "give the Lipschitz constant of the gradient",
            "gap": "give f(x_0) - inf f, or an upper bound of it",
            "noise": "give the variance σ², not the standard deviation",
            "bias": "give the squared norm ζ²",
            "relative_bias": "give the factor m of ‖b‖² ≤ m‖∇f‖² + ζ²",
        }
        for name, remedy in remedies.items():
            value = number(name, getattr(self, name), least=0.0, strict=name == "smoothness", remedy=remedy)
            object.__setattr__(self, name, value)
