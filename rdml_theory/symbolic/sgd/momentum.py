"""SGD with momentum and a biased gradient: the sharp bound of a plain run with other constants.

Setting: that of :mod:`rdml_theory.symbolic.sgd.descent`, with v' = μv + g + b + n and x' = x - ηv' (heavy ball) or
x' = x - η(g + b + n + μv') (Nesterov), v_0 = 0. The lag is c = μ or c = μ².
"""

from __future__ import annotations

from sympy import Abs, Integer, Rational, Symbol, sqrt, symbols

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.engine.derivation import Derivation, Step
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.relations import at_least, at_most, equal
from rdml_theory.symbolic.sgd.descent import AVERAGE, bias, gap, horizon, noise

__all__ = [
    "CURVATURE", "LAG_SUM", "NOISE_FACTOR", "SHARP", "curvature", "gamma", "lag", "lag_sum", "momentum_bound", "mu",
    "noise_factor", "smoothness", "trade",
]  # fmt: skip

smoothness: Formula = Symbol("Lambda", positive=True)
mu, gamma, trade = symbols("mu gamma s", positive=True)
lag: Formula = Symbol("c", positive=True)
lag_sum: Formula = Symbol("ell", nonnegative=True)
curvature: Formula = Symbol("theta", positive=True)
noise_factor: Formula = Symbol("nu", positive=True)

LAG_SUM: Formula = (1 - mu ** ((horizon - 1) / 2)) / (1 - mu)
"""ℓ, which bounds Σ_t Σ_{s<t} μ^(t-1-s) d_s d_t / Σ_t d_t²."""

CURVATURE: Formula = smoothness * gamma * (1 + 2 * lag * lag_sum + lag * trade)
"""θ, which takes the place of h in the sharp bound."""

NOISE_FACTOR: Formula = smoothness * gamma * (1 + lag / (trade * (1 - mu**2)))
"""ν, which takes the place of h in front of σ²."""

SHARP: Formula = (
    Abs(1 - curvature) * bias
    + sqrt(bias**2 + (2 - curvature) * (2 * gap / (gamma * horizon) + noise_factor * noise**2))
) / (2 - curvature)  # fmt: skip
"""The right side of A ≤ [ |1-θ| Z + √( Z² + (2-θ)(2Δ/(γT) + νσ²) ) ] / (2-θ), for 0 < θ < 2."""

# What a step sees: a = ‖g‖, z = ‖b‖, c = <g, b>, d = ‖g + b‖, e = ‖∇f(z) - g‖, and coordinates x, v, G.
_a, _z, _d, _other, _spread = symbols("a z d d_s N", nonnegative=True)
_inner, _x, _v, _G = symbols("i x v G", real=True)
_p, _q = symbols("p q", positive=True)
_time: Formula = Symbol("t", integer=True, positive=True)
_kappa: Formula = Symbol("k", positive=True)  # Λγ
_excess: Formula = Symbol("R", nonnegative=True)
_away: Formula = Symbol("r", nonnegative=True)  # |1-θ|
_ZERO = Integer(0)


def _auxiliary() -> tuple[Step, ...]:
    """z = x - cγv makes plain steps of size γ."""

    def moved(nesterov: bool) -> Formula:
        velocity = mu * _v + _G
        move = _G + mu * velocity if nesterov else velocity
        return _x - gamma * (1 - mu) * move - lag * gamma * velocity

    plain = _x - lag * gamma * _v - gamma * _G
    return (
        Step("heavy ball: z = x - cγv makes a plain step γ = η/(1-μ)", equal(moved(False), plain), (equal(lag, mu),)),
        Step("and so it does after Nesterov", equal(moved(True), plain), (equal(lag, mu**2),)),
    )  # fmt: skip


def _lagging() -> tuple[Step, ...]:
    """What the distance from x to z costs: e ≤ Λcγ‖v‖, where v sums what came before."""
    geometric = (1 - mu**_time) / (1 - mu)
    before, after = (1 - _p**2) / (1 - mu), (1 - _q**2) / (1 - mu)
    settled = noise**2 / (1 - mu**2)
    return (
        Step(
            "products of steps are below the mean of their squares",
            at_least((_d**2 + _other**2) / 2 - _d * _other, _ZERO),
            (equal(_other, _d + _inner),),
        ),
        Step(
            "the weights μ^k sum up to this, from one k to the next",
            equal(geometric + mu**_time, geometric.subs(_time, _time + 1)),
        ),
        Step(
            "so those of a step, with p = μ^(t/2) and q = μ^((T-1-t)/2), are below 2ℓ by a square",
            equal(2 * (1 - _p * _q) / (1 - mu) - before - after, (_p - _q) ** 2 / (1 - mu)),
        ),
        Step(
            "where p q = μ^((T-1)/2), whatever t",
            equal((1 - _p * _q) / (1 - mu), LAG_SUM),
            (equal(_q, mu ** ((horizon - 1) / 2) / _p),),
        ),
        Step(
            "the noise in v, whose draws are uncorrelated, has a variance of at most σ²/(1-μ²)",
            equal(mu**2 * settled + noise**2, settled),
        ),
        Step(
            "and its product with d is, for every s > 0, below a sum by a square",
            equal(
                trade * _d**2 / 2 + _spread**2 / (2 * trade) - _d * _spread,
                (trade * _d - _spread) ** 2 / (2 * trade),
            ),
        ),
    )  # fmt: skip


@of_formulas()
def momentum_bound(
    right_side: Formula | None = None, *, theta: Formula | None = None, nu: Formula | None = None
) -> Derivation:
    """``A ≤ [ |1-θ| Z + √( Z² + (2-θ)(2Δ/(γT) + νσ²) ) ] / (2-θ)`` for 0 < θ < 2, γ = η/(1-μ).

    This toolkit's own. At μ = 0 it is the sharp bound.

    Parameters
    ----------
    right_side : Formula, optional
        The asserted bound of A, in θ, γ and ν.
    theta, nu : Formula, optional
        The asserted θ and ν. What the argument does not give is disproved.

    Examples
    --------
    >>> momentum_bound().verify(), momentum_bound(SHARP.subs(bias, bias / 2)).verify()
    (True, False)
    """
    asserted = SHARP if right_side is None else right_side
    stated = {curvature: CURVATURE if theta is None else theta, noise_factor: NOISE_FACTOR if nu is None else nu}
    square = _a**2 + 2 * _inner + _z**2
    root = (_away * bias + sqrt(bias**2 + (2 - curvature) * 2 * _excess)) / (2 - curvature)

    def quadratic(value: Formula) -> Formula:
        return (1 - curvature / 2) * value**2 - _away * value * bias - curvature / 2 * bias**2 - _excess

    derived = root.subs({_away: Abs(1 - curvature), _excess: gap / (gamma * horizon) + noise_factor * noise**2 / 2})
    # Per step and over γ: <g, d> less than the decrease of f(z) by these multiples of d² and σ².
    lost = _kappa / 2 * (_d**2 + noise**2) + _kappa * lag * (lag_sum * _d**2)
    lost += _kappa * lag * (trade * _d**2 / 2 + noise**2 / (1 - mu**2) / (2 * trade))
    is_kappa = equal(_kappa, smoothness * gamma)
    steps = (
        *_auxiliary(),
        *_lagging(),
        Step(
            "the descent lemma at z, summed: what is lost of <g, d> is θd²/2 + νσ²/2",
            equal(lost, curvature * _d**2 / 2 + noise_factor * noise**2 / 2),
            (equal(curvature, stated[curvature]), equal(noise_factor, stated[noise_factor]), is_kappa),
        ),
        Step(
            "with d² = ‖g + b‖² expanded, this is the sharp bound's inequality with θ for h",
            equal(
                _a**2 + _inner - curvature / 2 * square,
                (1 - curvature / 2) * _a**2 + (1 - curvature) * _inner - curvature / 2 * _z**2,
            ),
        ),
        Step(
            "Cauchy-Schwarz for the average of <g, b>: the product is below a sum by a square",
            equal(trade * _a**2 / 2 + _z**2 / (2 * trade) - _a * _z, (trade * _a - _z) ** 2 / (2 * trade)),
        ),
        Step("the larger root of it, for θ ≤ 1", equal(quadratic(root), _ZERO), (equal(_away, 1 - curvature),)),
        Step("and for θ ≥ 1", equal(quadratic(root), _ZERO), (equal(_away, curvature - 1),)),
        Step(
            "beyond the root the quadratic increases: its slope there is this square root",
            equal((2 - curvature) * root - _away * bias, sqrt(bias**2 + (2 - curvature) * 2 * _excess)),
        ),
        Step("so A is at most the root, and the root at most the asserted bound", at_least(asserted - derived, _ZERO)),
        Step(
            "without momentum, c = 0, θ and ν are h = Λη",
            equal(stated[curvature] + stated[noise_factor], 2 * smoothness * gamma),
            (equal(lag, _ZERO), equal(_kappa, Rational(1))),
        ),
    )  # fmt: skip
    definitions = {
        "theta": equal(curvature, stated[curvature]), "nu": equal(noise_factor, stated[noise_factor]),
        "ell": equal(lag_sum, LAG_SUM),
    }  # fmt: skip
    return Derivation(at_most(AVERAGE, asserted), steps, definitions)
