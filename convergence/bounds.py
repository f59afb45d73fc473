"""Bounds for constant-step SGD with biased gradients, term by term.

All bounds but :func:`pl_bound` limit the squared gradient norm A² = (1/T) Σ_{t<T} E‖∇f(x_t)‖². Each returns a
:class:`Bound`, whose terms add up to its total, and refuses a step outside its domain of validity. ``h = Λη`` is the
dimensionless step, ``τ = 2Δ/(ηT)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.assumptions import Assumptions

__all__ = [
    "Bound", "best_iterate_bound", "classical_bound", "floor", "mutual_bias_bound", "pl_bound", "sharp_bound",
]  # fmt: skip

Number = float | NDArray[np.float64]

# Λ · (1/Λ) may exceed 1 by a rounding; a step chosen as 1/Λ must be accepted.
_ROUNDING = 4 * np.finfo(float).eps


@dataclass(frozen=True, kw_only=True)
class Bound:
    """An upper bound, split into what vanishes with the horizon, with the noise and with the bias.

    Attributes
    ----------
    name : str
        The bound's name.
    transient, noise, bias : float or ndarray
        The part that vanishes as T → ∞; the part due to σ²; what remains, zero without bias.
    total : float or ndarray
        Their sum. ``float(bound)`` is the total.
    quantity : str
        What is bounded.
    step, steps : float or ndarray
        η and T (∞ for a floor).
    """

    name: str
    transient: Any
    noise: Any
    bias: Any
    total: Any
    quantity: str
    step: Any
    steps: Any

    def __float__(self) -> float:
        """The total as a float."""
        return float(self.total)


def _step(assumptions: Assumptions, step: ArrayLike, limit: float, *, closed: bool, name: str) -> NDArray[np.float64]:
    """η as an array, after checking 0 < Λη ≤ limit (or < limit)."""
    if not isinstance(assumptions, Assumptions):
        raise TypeError(f"assumptions = {assumptions!r}: expected convergence.Assumptions")
    eta = _real("step", step)
    h = assumptions.smoothness * eta
    bad = ~((eta > 0) & ((h <= limit * (1 + _ROUNDING)) if closed else (h < limit)))
    if bad.any():
        first = float(np.atleast_1d(eta)[np.atleast_1d(bad)][0])
        remedy = f"take a step above 0 and below {limit / assumptions.smoothness:.6g}"
        if limit == 1.0 and 1.0 < assumptions.smoothness * first < 2.0:
            remedy = "use sharp_bound, valid for Λη < 2"
        sign = "<=" if closed else "<"
        raise ValueError(
            f"step = {first!r} gives Λη = {assumptions.smoothness * first:.6g}: "
            f"{name} holds for 0 < Λη {sign} {limit:.6g}; {remedy}"
        )
    return eta


def _real(name: str, value: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} = {value!r}: expected a real number or an array of them")
    return array.astype(np.float64)


def _steps(steps: ArrayLike) -> NDArray[np.float64]:
    horizon = _real("steps", steps)
    if not (horizon >= 1).all():
        raise ValueError(
            f"steps = {steps!r}: expected at least 1 step; give the number of SGD steps T (inf for a floor)"
        )
    return horizon


def _bound(
    name: str, terms: tuple[Any, Any, Any], step: Any, steps: Any, quantity: str = "squared gradient norm"
) -> Bound:
    transient, noise, bias = (t.item() if np.ndim(t) == 0 else t for t in (np.asarray(t, dtype=float) for t in terms))
    step, steps = (s.item() if np.ndim(s) == 0 else s for s in (np.asarray(step), np.asarray(steps)))
    return Bound(
        name=name, transient=transient, noise=noise, bias=bias, total=transient + noise + bias,
        quantity=quantity, step=step, steps=steps,
    )  # fmt: skip


def classical_bound(assumptions: Assumptions, step: ArrayLike, steps: ArrayLike) -> Bound:
    """A² ≤ 2Δ/(ηT) + hσ² + ζ² for 0 < h ≤ 1 (an upper bound).

    With a relative bias m < 1 the right side is divided by 1 - m.

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ, σ², ζ² and m.
    step : float or array
        The step size η; arrays broadcast against ``steps``.
    steps : float or array
        The number of steps T, ``inf`` for the floor.

    Returns
    -------
    Bound
        In units of the squared gradient norm.

    Raises
    ------
    ValueError
        If Λη is outside (0, 1], T < 1, or m ≥ 1.

    Notes
    -----
    After Ajalloeian & Stich 2020, arXiv 2008.00051; the constants are derived in ``rdml_theory.symbolic``.

    Examples
    --------
    >>> classical_bound(Assumptions(smoothness=1, gap=1, noise=0.5, bias=0.01), 0.5, 100).total
    0.3
    """
    eta, horizon = _step(assumptions, step, 1.0, closed=True, name="classical_bound"), _steps(steps)
    m = assumptions.relative_bias
    if m >= 1:
        raise ValueError(f"relative_bias = {m!r}: classical_bound holds for m < 1; reduce the relative bias")
    h = assumptions.smoothness * eta
    terms = (2 * assumptions.gap / (eta * horizon), h * assumptions.noise, assumptions.bias)
    scaled = tuple(np.broadcast_arrays(*(np.asarray(t) / (1 - m) for t in terms)))
    return _bound("classical", scaled, eta, horizon)  # type: ignore[arg-type]


def _root(h: Any, excess: Any, zeta2: float, m: float) -> Any:
    """A² from (1-h/2)A² - |1-h| A √(mA²+ζ²) - (h/2)(mA²+ζ²) = excess/2: the largest solution."""
    away = np.abs(1 - h)
    if m == 0.0:
        root = (away * np.sqrt(zeta2) + np.sqrt(zeta2 + (2 - h) * excess)) / (2 - h)
        return root**2
    # Squaring gives a quadratic in X = A²; its larger root is the one for which a X - r ≥ 0.
    a, r = 1 - h / 2 - h * m / 2, (excess + h * zeta2) / 2
    second, first = a**2 - m * away**2, 2 * a * r + zeta2 * away**2
    return (first + np.sqrt(np.maximum(first**2 - 4 * second * r**2, 0.0))) / (2 * second)


def sharp_bound(assumptions: Assumptions, step: ArrayLike, steps: ArrayLike) -> Bound:
    """``A ≤ [ |1-h| ζ + √( ζ² + (2-h)(2Δ/(ηT) + hσ²) ) ] / (2-h)`` for 0 < h < 2, squared.

    Its T → ∞ floor is attained (a quadratic with bias along the gradient), so no smaller floor holds. This toolkit's
    own; it implies :func:`classical_bound` where that is valid. With a relative bias m the bound solves
    ``(1-h/2)A² - |1-h| A √(mA²+ζ²) - (h/2)(mA²+ζ²) = Δ/(ηT) + hσ²/2`` and holds for m < 1 and h < 2/(1+√m).

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ, σ², ζ² and m.
    step : float or array
        The step size η; arrays broadcast against ``steps``.
    steps : float or array
        The number of steps T, ``inf`` for the floor.

    Returns
    -------
    Bound
        ``transient`` and ``noise`` are what remains without bias, 2Δ/(ηT(2-h)) and hσ²/(2-h); ``bias`` is all the rest.

    Raises
    ------
    ValueError
        If Λη is outside the domain, T < 1, or m ≥ 1.

    Examples
    --------
    >>> bound = sharp_bound(Assumptions(smoothness=1, gap=1, noise=0, bias=0.01), 0.1, 8)
    >>> round(bound.total, 3)
    1.43
    >>> sharp_bound(Assumptions(smoothness=1, gap=1, noise=0, bias=0), 2.5, 8)
    Traceback (most recent call last):
    ...
    ValueError: step = 2.5 gives Λη = 2.5: sharp_bound holds for 0 < Λη < 2; take a step above 0 and below 2
    """
    m = assumptions.relative_bias if isinstance(assumptions, Assumptions) else 0.0
    if m >= 1:
        raise ValueError(f"relative_bias = {m!r}: sharp_bound holds for m < 1; reduce the relative bias")
    eta = _step(assumptions, step, 2.0 / (1 + np.sqrt(m)), closed=False, name="sharp_bound")
    horizon = _steps(steps)
    h = assumptions.smoothness * eta
    tau = 2 * assumptions.gap / (eta * horizon)
    drive = h * assumptions.noise
    total = _root(h, tau + drive, assumptions.bias, m)
    transient, noise = np.broadcast_arrays(tau / (2 - h), drive / (2 - h))
    return _bound("sharp", (transient, noise, total - transient - noise), eta, horizon)


def floor(assumptions: Assumptions, step: ArrayLike) -> Bound:
    """The T → ∞ limit of :func:`sharp_bound`: ``[(|1-h| ζ + √(ζ² + h(2-h)σ²))/(2-h)]²``, which is attained.

    Parameters
    ----------
    assumptions : Assumptions
        Λ, σ², ζ² and m; the gap does not matter.
    step : float or array
        The step size η.

    Returns
    -------
    Bound
        With ``transient`` 0 and ``steps`` ∞. ``float(floor(...))`` is its total.

    Raises
    ------
    ValueError
        As :func:`sharp_bound`.

    Examples
    --------
    >>> float(floor(Assumptions(smoothness=1, gap=1, noise=0, bias=0.25), 0.5))
    0.25
    """
    return replace(sharp_bound(replace(assumptions, gap=0.0), step, np.inf), name="floor")


def best_iterate_bound(assumptions: Assumptions, step: float, steps: int) -> Bound:
    """min_{t<T} ‖∇f(x_t)‖² ≤ W without noise, 0 < h ≤ 1 and ζ² ≤ 2ΛΔ, where W solves an equation quadratic in √W.

    (T-1)η[(1-h/4)W - (1-h/2)ζ√W - (h/4)ζ²] + W/(2Λ) = Δ. This toolkit's own.

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ and ζ²; σ² and m must be zero.
    step, steps : float, int
        η and T.

    Returns
    -------
    Bound
        ``transient`` is the bound without bias.

    Raises
    ------
    ValueError
        With noise, a relative bias, h > 1 or ζ² > 2ΛΔ: use :func:`sharp_bound`, which bounds the best iterate too.

    Examples
    --------
    >>> round(best_iterate_bound(Assumptions(smoothness=1, gap=1, noise=0, bias=0), 1.0, 3).total, 9)
    0.5
    """
    eta = float(_step(assumptions, step, 1.0, closed=True, name="best_iterate_bound"))
    horizon = float(_steps(steps))
    lam, gap, zeta2 = assumptions.smoothness, assumptions.gap, assumptions.bias
    if assumptions.noise or assumptions.relative_bias:
        raise ValueError(
            f"noise = {assumptions.noise!r}, relative_bias = {assumptions.relative_bias!r}: best_iterate_bound holds "
            "without either; use sharp_bound, since the best iterate is no worse than the average"
        )
    if zeta2 > 2 * lam * gap:
        raise ValueError(
            f"bias = {zeta2!r}: best_iterate_bound holds for ζ² <= 2ΛΔ = {2 * lam * gap:.6g}; use sharp_bound, since "
            "the best iterate is no worse than the average"
        )
    h = lam * eta

    def solve(zeta: float) -> float:
        # The equation is a quadratic in √W: second W - first √W - (rest + Δ) = 0.
        weight = (horizon - 1) * eta
        second, first = weight * (1 - h / 4) + 1 / (2 * lam), weight * (1 - h / 2) * zeta
        rest = weight * h / 4 * zeta**2 + gap
        return ((first + np.sqrt(first**2 + 4 * second * rest)) / (2 * second)) ** 2

    total, transient = solve(float(np.sqrt(zeta2))), solve(0.0)
    return _bound("best iterate", (transient, 0.0, total - transient), eta, horizon, "least squared gradient norm")


def pl_bound(assumptions: Assumptions, step: ArrayLike, steps: ArrayLike, *, pl_constant: float) -> Bound:
    """E f(x_T) - inf f ≤ (1-ημ)^T Δ + (hσ² + ζ²)/(2μ) if ‖∇f‖² ≥ 2μ(f - inf f), for 0 < h ≤ 1.

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ, σ² and ζ²; m must be zero.
    step, steps : float or array
        η and T.
    pl_constant : float
        The Polyak-Łojasiewicz constant μ, 0 < μ ≤ Λ.

    Returns
    -------
    Bound
        In units of f.

    Raises
    ------
    ValueError
        If Λη is outside (0, 1], μ outside (0, Λ], or m > 0.

    Notes
    -----
    After Ajalloeian & Stich 2020, arXiv 2008.00051.

    Examples
    --------
    >>> pl_bound(Assumptions(smoothness=1, gap=1, noise=0, bias=0.5), 0.5, 1000, pl_constant=0.5).total
    0.5
    """
    eta, horizon = _step(assumptions, step, 1.0, closed=True, name="pl_bound"), _steps(steps)
    if assumptions.relative_bias:
        raise ValueError(
            f"relative_bias = {assumptions.relative_bias!r}: pl_bound holds for absolute bias only; take 0"
        )
    if not 0 < pl_constant <= assumptions.smoothness:
        raise ValueError(
            f"pl_constant = {pl_constant!r}: expected 0 < μ <= Λ = {assumptions.smoothness!r}; "
            "a Λ-smooth function cannot have a larger one"
        )
    h = assumptions.smoothness * eta
    terms = np.broadcast_arrays(
        (1 - eta * pl_constant) ** horizon * assumptions.gap,
        h * assumptions.noise / (2 * pl_constant),
        np.asarray(assumptions.bias / (2 * pl_constant)),
    )
    return _bound("Polyak-Łojasiewicz", tuple(terms), eta, horizon, "value above the infimum")  # type: ignore[arg-type]


def mutual_bias_bound(
    alpha: ArrayLike,
    *,
    beta: float,
    jacobian: float,
    log_ratio_range: ArrayLike | None = None,
    divergence: ArrayLike | None = None,
) -> Any:
    """ζ² ≤ β² G² min{ 2 tanh²(αρ/4), max(1,α) D }: what mutual learning may add to a student's gradient.

    Parameters
    ----------
    alpha : float or array
        The order, in [0, ∞].
    beta : float
        The weight of the mutual loss.
    jacobian : float
        G, a bound of the spectral norm of ∂z/∂θ.
    log_ratio_range : float or array, optional
        ρ = max log(p/q) - min log(p/q) in nats: the a-priori form, with E tanh² ≤ tanh²(α sup ρ/4).
    divergence : float or array, optional
        The mean divergence D_α from the peers in nats: the form that can be observed while training.

    Returns
    -------
    float or ndarray
        ζ², a squared gradient norm; the smaller of the forms whose argument was given.

    Raises
    ------
    ValueError
        If neither form's argument is given, or an argument is negative or NaN.

    Notes
    -----
    This toolkit's own constants: ∇R = E Jᵀ(q - w), and ‖q - w‖² is at most either factor.

    Examples
    --------
    >>> mutual_bias_bound(float("inf"), beta=1.0, jacobian=1.0, log_ratio_range=3.0)
    2.0
    >>> mutual_bias_bound(2.0, beta=1.0, jacobian=1.0, divergence=0.1)
    0.2
    """
    order = _real("alpha", alpha)
    given: dict[str, NDArray[np.float64]] = {"alpha": order}
    given |= {"beta": _real("beta", beta), "jacobian": _real("jacobian", jacobian)}
    forms: list[Callable[[], Any]] = []
    if log_ratio_range is not None:
        rho = given["log_ratio_range"] = _real("log_ratio_range", log_ratio_range)
        forms.append(lambda: 2 * np.tanh(_product(order, rho) / 4) ** 2)
    if divergence is not None:
        mean = given["divergence"] = _real("divergence", divergence)
        forms.append(lambda: _product(np.maximum(1.0, order), mean))
    for name, value in given.items():
        if not (value >= 0).all() or (name in ("beta", "jacobian") and not np.isfinite(value).all()):
            raise ValueError(f"{name} = {value!r}: expected numbers >= 0, finite ones for beta and jacobian")
    if not forms:
        raise ValueError("log_ratio_range and divergence are both missing: give at least one of them")
    least = forms[0]() if len(forms) == 1 else np.minimum(forms[0](), forms[1]())
    result = given["beta"] ** 2 * given["jacobian"] ** 2 * least
    return float(result) if np.ndim(result) == 0 else result


def _product(order: NDArray[np.float64], factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """The product, with ∞ · 0 = 0: no spread or no divergence means no gradient at any order."""
    with np.errstate(invalid="ignore"):
        return np.where(factor == 0, 0.0, order * factor)
