"""Constant-step SGD with a biased gradient: the symbols of its bounds, and the classical and the sharp bound.

Setting: f is Λ-smooth and bounded below, Δ = f(x_0) - inf f, g_t = ∇f(x_t) + b_t + n_t with E[n_t | x_t, b_t] = 0 and
E‖n_t‖² ≤ σ², x_{t+1} = x_t - η g_t, h = Λη. A² and Z² are the averages over t < T of E‖∇f(x_t)‖² and E‖b_t‖² (or an
upper bound ζ² of the latter).
"""

from __future__ import annotations

from sympy import Abs, Symbol, sqrt, symbols

from rdml_theory.symbolic.notation import Formula, Named

__all__ = ["AVERAGE", "CLASSICAL", "SHARP", "Z", "eta", "gap", "h", "horizon", "mu", "sigma", "zeta"]

AVERAGE = Named("A", "A")
"""A = √( (1/T) Σ_t E‖∇f(x_t)‖² )."""

h, eta = symbols("h eta", positive=True)
gap: Formula = Symbol("Delta", nonnegative=True)
sigma: Formula = Symbol("sigma", nonnegative=True)
Z: Formula = Symbol("Z", nonnegative=True)
zeta: Formula = Symbol("zeta", nonnegative=True)
"""ζ, whose square bounds the bias of a single step, as Z² does its average."""

mu: Formula = Symbol("mu", nonnegative=True)
"""The momentum."""

horizon: Formula = Symbol("T", integer=True, positive=True)

CLASSICAL: Formula = 2 * gap / (eta * horizon) + h * sigma**2 + Z**2
"""The right side of A² ≤ 2Δ/(ηT) + hσ² + Z², for 0 < h ≤ 1."""

SHARP: Formula = (
    Abs(1 - h) * Z + sqrt(Z**2 + (2 - h) * (2 * gap / (eta * horizon) + h * sigma**2))
) / (2 - h)  # fmt: skip
"""The right side of A ≤ [ |1-h| Z + √( Z² + (2-h)(2Δ/(ηT) + hσ²) ) ] / (2-h), for 0 < h < 2."""
