"""Bounds for SGD with biased gradients, term by term.

All bounds but :func:`pl_bound` limit the squared gradient norm A² = (1/T) Σ_{t<T} E‖∇f(x_t)‖². Each returns a
:class:`Bound`, whose terms add up to its total, and refuses a step outside its domain of validity. ``h = Λη`` is the
dimensionless step, ``τ = 2Δ/(ηT)``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convergence.arguments import instance, number, real
from convergence.assumptions import Assumptions
from convergence.terms import Bound, checked_relative_bias, checked_step, checked_steps, make_bound, product

__all__ = [
    "Bound", "best_iterate_bound", "classical_bound", "floor", "pl_bound", "refined_bound", "schedule_bound",
    "sharp_bound", "sharp_domain", "sharp_terms",
]  # fmt: skip


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
    eta = checked_step(assumptions, step, 1.0, closed=True, name="the classical bound")
    horizon = checked_steps(steps, eta)
    m = checked_relative_bias(assumptions, "the classical bound")
    transient, noise, bias = np.broadcast_arrays(
        product(2, assumptions.gap, over=(eta, horizon, 1 - m)),
        product(assumptions.smoothness, eta, assumptions.noise, over=(1 - m,)),
        product(assumptions.bias, over=(1 - m,)),
    )
    return make_bound("classical", (transient, noise, bias), eta, horizon)


def sharp_terms(h: Any, tau: Any, drive: Any, zeta: Any, m: float) -> tuple[Any, Any, Any]:
    """τ/(2-h), d/(2-h) and the rest of A², the largest solution of (1-h/2)A² - |1-h|A√(mA²+ζ²) - h(mA²+ζ²)/2 = (τ+d)/2.

    τ and d, the ``drive`` of noise, need not be hσ² and 2Δ/(ηT): momentum has others in their places. Squares and sums
    are taken so that none exceeds float64 where the result does not, and nothing cancels.
    """
    away, room = np.abs(1 - h), 2 - h
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        excess = np.hypot(np.sqrt(tau), np.sqrt(drive))
        if m == 0.0:
            # The difference is taken in the formula: without bias nothing is left, not even a rounding.
            root = np.hypot(zeta, np.sqrt(room) * excess)
            crossed = np.where(away == 0, 0.0, 2 * away * root)
            added = (zeta / room) * (((1 + away**2) * zeta + crossed) / room)
            added = np.where(zeta == 0, 0.0, added)
        else:
            # Squaring gives a quadratic in X = A², of which this is the larger root, in units of the largest term.
            unit = np.maximum(np.maximum(excess, zeta), 1e-300)
            e2, z2, s = (excess / unit) ** 2, (zeta / unit) ** 2, np.sqrt(m)
            a, r = 1 - h / 2 - h * m / 2, (e2 + h * z2) / 2
            second = (1 - m) * (1 - h * (1 - s) / 2) * (1 - h * (1 + s) / 2)
            inside = away * np.sqrt(4 * m * r**2 + 4 * a * r * z2 + away**2 * z2**2)
            added = np.maximum((2 * a * r + z2 * away**2 + inside) / (2 * second) - e2 / room, 0.0)
            added = np.where((excess == 0) & (zeta == 0), 0.0, np.where(np.isfinite(unit), added * unit * unit, np.inf))
        return tau / room, drive / room, added


def sharp_bound(assumptions: Assumptions, step: ArrayLike, steps: ArrayLike) -> Bound:
    """``A ≤ [ |1-h| ζ + √( ζ² + (2-h)(2Δ/(ηT) + hσ²) ) ] / (2-h)`` for 0 < h < 2, squared.

    Its T → ∞ floor is attained (a quadratic with bias along the gradient), so no smaller floor holds. This toolkit's
    own; it implies :func:`classical_bound` where that is valid. With a relative bias m the bound solves
    ``(1-h/2)A² - |1-h| A √(mA²+ζ²) - (h/2)(mA²+ζ²) = Δ/(ηT) + hσ²/2`` and holds for m < 1 and h < 2/(1+√m).

    Parameters
    ----------
    assumptions, step, steps
        As for :func:`classical_bound`.

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
    ValueError: step = 2.5 gives Λη = 2.5: the sharp bound holds for 0 < Λη < 2; use a step above 0 and below 2
    """
    eta, horizon = sharp_domain(assumptions, step, steps, "the sharp bound")
    return _sharp(assumptions, eta, horizon)


def sharp_domain(assumptions: Assumptions, step: ArrayLike, steps: ArrayLike, name: str) -> tuple[Any, Any]:
    """η and T after checking that m < 1 and h < 2/(1+√m)."""
    m = checked_relative_bias(assumptions, name)
    eta = checked_step(assumptions, step, 2.0 / (1 + np.sqrt(m)), closed=False, name=name)
    return eta, checked_steps(steps, eta)


def _sharp(assumptions: Assumptions, eta: Any, horizon: Any, factor: Any = 1.0, name: str = "sharp") -> Bound:
    """The sharp bound with ζ² and σ² multiplied by a factor."""
    h = assumptions.smoothness * eta
    tau = product(2, assumptions.gap, over=(eta, horizon))
    drive = product(assumptions.smoothness, eta, assumptions.noise, factor)
    zeta = np.sqrt(assumptions.bias) * np.sqrt(factor)  # ζ² may have one bit
    transient, noise, bias = np.broadcast_arrays(*sharp_terms(h, tau, drive, zeta, assumptions.relative_bias))
    return make_bound(name, (transient, noise, bias), eta, horizon)


def refined_bound(assumptions: Assumptions, step: ArrayLike, steps: ArrayLike) -> Bound:
    """:func:`sharp_bound` with ζ² and σ² multiplied by 1 - 1/T, for every 0 < h < 2 (exact at h = 1).

    The last gradient costs no step: it is bounded by the value left over, ``f(x_{T-1}) - inf f ≥ ‖∇f(x_{T-1})‖²/(2Λ)``.
    ζ² and σ² must bound every step's bias and noise; where only their averages over the steps are known, use
    :func:`sharp_bound`. This toolkit's own; :func:`tight_bound` is tighter still, and has no formula.

    Parameters
    ----------
    assumptions, step, steps
        As for :func:`sharp_bound`.

    Returns
    -------
    Bound
        Its terms as those of :func:`sharp_bound`.

    Raises
    ------
    ValueError
        As :func:`sharp_bound`.

    Examples
    --------
    >>> round(refined_bound(Assumptions(smoothness=1, gap=1, noise=0, bias=1), 1.0, 8).total, 12)
    1.125
    """
    eta, horizon = sharp_domain(assumptions, step, steps, "the refined bound")
    return _sharp(assumptions, eta, horizon, 1 - 1 / horizon, "refined")


def schedule_bound(assumptions: Assumptions, step: ArrayLike, *, bias: ArrayLike | None = None) -> Bound:
    """Σ η_t E‖∇f(x_t)‖² / Σ η_t ≤ 2Δ/Σ η_t + Λσ² Σ η_t²/Σ η_t + Σ η_t ζ_t²/Σ η_t for steps with 0 < Λη_t ≤ 1.

    With a constant bias the last term is ζ² for every schedule of the steps: decreasing them does not remove it, making
    the bias smaller over time does.

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ, σ² and, where ``bias`` is not given, ζ²; m must be zero.
    step : array of shape (T,)
        η_t.
    bias : array of shape (T,), optional
        ζ_t², the squared bias allowed at each step.

    Returns
    -------
    Bound
        With ``step`` the mean step and ``steps`` T.

    Raises
    ------
    ValueError
        If a step is outside its domain, the shapes differ, or there is a relative bias.

    Examples
    --------
    >>> at = Assumptions(smoothness=1, gap=1, noise=0, bias=0.25)
    >>> decreasing = 1 / np.sqrt(np.arange(1, 10_001))
    >>> round(schedule_bound(at, decreasing).bias, 3)
    0.25
    >>> round(schedule_bound(at, decreasing, bias=0.25 * decreasing).bias, 3)
    0.012
    """
    eta = np.atleast_1d(checked_step(assumptions, step, 1.0, closed=True, name="the bound of a schedule"))
    squares = np.full(eta.shape, assumptions.bias) if bias is None else real("bias", bias)
    if eta.ndim != 1 or squares.shape != eta.shape:
        raise ValueError(f"step has shape {eta.shape} and bias {squares.shape}: expected one number per step, (T,)")
    if not (np.isfinite(squares) & (squares >= 0)).all():
        raise ValueError("bias: expected finite squared norms >= 0, one per step")
    checked_relative_bias(assumptions, "the bound of a schedule", absolute=True)
    if eta.size == 0:
        raise ValueError("step is empty: expected at least one")
    longest = eta.max()
    with np.errstate(under="ignore"):
        share = eta / longest
        weights = share / share.sum()
        terms = (
            product(2, assumptions.gap, over=(longest, share.sum())),
            product(assumptions.smoothness, assumptions.noise, longest, (share * weights).sum()),
            (weights * squares).sum(),
        )
        mean = longest * share.mean()
    return make_bound("schedule", terms, mean, eta.size, "squared gradient norm, weighted by the steps")


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
    free = replace(instance("assumptions", assumptions, Assumptions), gap=0.0)
    return replace(sharp_bound(free, step, np.inf), name="floor")


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
    eta = float(checked_step(assumptions, number("step", step), 1.0, closed=True, name="the best iterate bound"))
    horizon = float(checked_steps(number("steps", steps, infinite=True)))
    lam, gap, zeta2 = assumptions.smoothness, assumptions.gap, assumptions.bias
    if assumptions.noise or assumptions.relative_bias:
        raise ValueError(
            f"noise = {assumptions.noise!r}, relative_bias = {assumptions.relative_bias!r}: the best iterate bound "
            "holds if both are 0; use the sharp bound, since the best iterate is no worse than the average"
        )
    if zeta2 > 2 * lam * gap:
        raise ValueError(
            f"bias = {zeta2!r}: the best iterate bound holds for ζ² <= 2ΛΔ = {2 * lam * gap:.6g}; use the sharp "
            "bound, since the best iterate is no worse than the average"
        )
    h = lam * eta

    passed = (horizon - 1) * h

    def solve(zeta: float) -> float:
        # The equation, over (T-1)η + 1/Λ, is a quadratic in √W: second W - first √W - (rest + Δ) = 0.
        before, last = passed / (1 + passed) if np.isfinite(passed) else 1.0, 1 / (1 + passed)
        second, first = before * (1 - h / 4) + last / 2, before * (1 - h / 2) * zeta
        rest = np.hypot(np.sqrt(before * h) / 2 * zeta, np.sqrt(product(lam, gap, last)))
        root = (first + np.hypot(first, 2 * np.sqrt(second) * rest)) / (2 * second)
        with np.errstate(over="ignore"):
            return root * root

    total, transient = solve(float(np.sqrt(zeta2))), solve(0.0)
    added = total - transient if np.isfinite(total) else 0.0 if zeta2 == 0 else total
    return make_bound("best iterate", (transient, 0.0, added), eta, horizon, "least squared gradient norm")


def pl_bound(assumptions: Assumptions, step: ArrayLike, steps: ArrayLike, *, pl_constant: float) -> Bound:
    """E f(x_T) - inf f ≤ (F + (a + ημ√m)^T (√Δ - F))² for Δ ≥ F² if ‖∇f‖² ≥ 2μ(f - inf f); with noise often less.

    ``a = 1 - (μ/Λ)q`` with ``q = min(h, 2-h)``, and F² is the floor: ``F² = (aF + ημP)² + ηhσ²/2``, where
    ``P² = mF² + ζ²/(2μ)``. Also ``≤ F² + ρ^T (Δ - F²)`` for every Δ, with ``ρ = (a + ημP/F)(a + ημmF/P)``; and, for
    h ≥ 1, ``≤ H + ρ^T (Δ - H)`` with another ρ and the H of claim C9, for the best c that is tried there.

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ, σ², ζ² and m.
    step, steps : float or array
        η and T.
    pl_constant : float
        The Polyak-Łojasiewicz constant μ, 0 < μ ≤ Λ.

    Returns
    -------
    Bound
        In units of f: the least of them. ``transient`` and ``noise`` are what remains without bias, ``bias`` what it
        adds.

    Raises
    ------
    ValueError
        If Λη is outside (0, 2/(1+√m)), m ≥ 1, or μ outside (0, Λ].

    Notes
    -----
    This toolkit's own (claim C9), for m = 0 never above ``(1-ημ)^T Δ + (hσ² + ζ²)/(2μ)``, after Ajalloeian & Stich
    2020, arXiv 2008.00051, for h ≤ 1. For h ≤ 1 without noise a quadratic of curvature μ attains its floor
    ``ζ²/(2μ(1-m))``, its rate ``(1 - ημ(1-√m))²`` for ζ = 0, and, where m = 0 and Δ ≥ ζ²/(2μ), the bound at every T.
    Where both parts of the bias count, the recursion ``r ← ar + ημ√(mr² + ζ²/(2μ))`` is exact, and r_T² is below this
    bound. For h > 1 without bias and noise its rate is the larger of (h-1)², which a quadratic of curvature Λ has, and
    ``(1-μ/Λ)²(h - (h-1)μ/(2Λ)) - (h-1)(1-hμ/Λ)``; and its floor is ``h²ζ²/(2Λ(2-h)²)``, that of the same quadratic,
    from a step on that is near 2/Λ (1.8/Λ at μ = Λ/10). Between and with noise it is an upper bound; the worst known
    floors are those of quadratics of curvature μ or Λ, the worst known rates between those of the problem
    ``narrowing_valley``: 0.731 for h = 1.5 and μ = Λ/10, where quadratics have 0.723 and the bound has 0.770.

    Examples
    --------
    >>> round(pl_bound(Assumptions(smoothness=1, gap=1, noise=0, bias=0.5), 0.5, 1000, pl_constant=0.5).total, 12)
    0.5
    >>> round(pl_bound(Assumptions(smoothness=1, gap=1, noise=0, bias=0), 0.5, 3, pl_constant=0.5).total, 12)
    0.177978515625
    >>> round(pl_bound(Assumptions(smoothness=1, gap=1, noise=0, bias=0.5), 1.5, 1000, pl_constant=0.5).total, 2)
    2.25
    >>> partly = Assumptions(smoothness=1, gap=1, noise=0, bias=0.25, relative_bias=0.5)
    >>> round(pl_bound(partly, 0.5, 1000, pl_constant=0.5).total, 12)
    0.5
    """
    eta, horizon = sharp_domain(assumptions, step, steps, "the Polyak-Łojasiewicz bound")
    mu, m = number("pl_constant", pl_constant), assumptions.relative_bias
    if not 0 < mu <= assumptions.smoothness:
        raise ValueError(
            f"pl_constant = {pl_constant!r}: expected 0 < μ <= Λ = {assumptions.smoothness!r}; "
            "a Λ-smooth function cannot have a larger one"
        )
    lam, h, gap = assumptions.smoothness, assumptions.smoothness * eta, assumptions.gap
    q = np.minimum(h, 2 - h)
    kept = 1 - (lost := np.minimum(product(mu, q, over=(lam,)), 1.0))
    strength, double = (h / q) ** 2 * m, np.sqrt(2) * np.sqrt(mu)
    reach = product(h, np.sqrt(assumptions.bias), over=(double, q))
    spread = product(h, np.sqrt(assumptions.noise), over=(double, np.sqrt(q)))
    with np.errstate(under="ignore", over="ignore", invalid="ignore", divide="ignore"):
        root = _settled(kept, lost, strength, reach, spread)
        # How much of what a step takes from √f the bias gives back: at F, and at a far height.
        near, far = np.sqrt(strength + np.where(root > 0, reach / root, 0.0) ** 2), np.sqrt(strength)
        apart = np.where(near > 0, strength / near, 0.0)
        shrink = 2 - near - apart - lost * (1 - near) * (1 - apart)

        def power(share: Any) -> Any:
            """The logarithm of (1 - share · lost)^T; of what float64 cannot hold, its first term."""
            return _power(horizon, share * lost, product(horizon, mu, q, share, over=(lam,)), lost)

        def gone(log: Any, share: Any, size: Any, over: Any) -> Any:
            """What such a power leaves off 1, times size²/over."""
            first = product(horizon, mu, q, share, size, size, over=(lam, over))
            return np.where(log > -1e-150, first, product(-np.expm1(log), size, size, over=(over,)))

        once, slow = power(1.0), power(shrink)
        above = np.maximum(np.sqrt(gap) - root, 0.0)
        closer = (root + np.exp(power(1 - far)) * above) ** 2
        settling = product(np.exp(slow), gap) + gone(slow, shrink, root, 1.0)
        transient, noise = product(np.exp(2 * once), gap), gone(2 * once, 2.0, spread, 1 + kept)
        least = np.minimum(closer, settling)
        if (h > 1).any():
            bare = replace(assumptions, bias=0.0, relative_bias=0.0)
            known = (replace(bare, noise=0.0), bare, assumptions)
            parts = zip((transient, transient + noise, least), known, strict=True)
            transient, plain, least = (
                np.where(h > 1, np.fmin(part, _long_bound(a, h, horizon, mu)), part) for part, a in parts
            )
            noise = np.where(h > 1, np.maximum(plain - transient, 0.0), noise)
        rest = least - transient - noise
    bias = np.where(np.isnan(rest), np.inf, np.maximum(rest, 0.0)) if assumptions.bias or m else 0.0
    terms = np.broadcast_arrays(transient, noise, bias)
    return make_bound("Polyak-Łojasiewicz", (terms[0], terms[1], terms[2]), eta, horizon, "value above the infimum")


def _power(horizon: Any, loss: Any, first: Any, size: Any) -> Any:
    """The logarithm of (1 - loss)^T; of what float64 cannot hold, its first term."""
    log = np.where(np.isinf(horizon), -np.inf, horizon * np.log1p(-np.minimum(loss, 1.0)))
    return np.where(size < 1e-150, -first, log)


def _settled(kept: Any, lost: Any, strength: Any, reach: Any, spread: Any) -> Any:
    """F: the root of F² = (aF + (1-a)√(sF² + R²))² + (1-a)N², where s < 1 and a = 1 - ``lost``.

    Squaring gives a quadratic in F², of which this is the larger root, in units of R and N. Nothing cancels.
    """
    unit = np.maximum(np.maximum(reach, spread), 1e-300)
    w, n = (reach / unit) ** 2, (spread / unit) ** 2
    slope, given = 1 + kept - lost * strength, lost * w + n
    inside = 2 * kept * np.sqrt(slope * given * w + kept**2 * w**2 + strength * given**2)
    rooted = np.sqrt(strength)
    second = (1 - strength) * (1 + kept + lost * rooted) * (1 + kept - lost * rooted)
    return unit * np.sqrt((slope * given + 2 * kept**2 * w + inside) / second)


_LEANS = np.concatenate([np.logspace(-12, -2, 11), np.arange(1, 66) / 25])
"""The c/(2-h) that :func:`pl_bound` tries beyond 1/Λ; whichever is best, its bound holds."""


def long_weights(a: Assumptions, h: ArrayLike, mu: float) -> tuple[Any, Any, Any]:
    """The c, s and d of claim C9 that :func:`pl_bound` tries for h ≥ 1, on a further axis; s is NaN if there is none.

    >>> c, s, d = long_weights(Assumptions(smoothness=1, gap=1, noise=0, bias=1), 1.5, 0.1)
    >>> float(c[35]), float(s[35].round(4)), float(d[35])
    (0.5, 0.4937, 0.0)
    """
    return _long_terms(a, np.asarray(h)[..., None], mu / a.smoothness)[:3]


def _long_terms(a: Assumptions, h: Any, p: float) -> tuple[Any, Any, Any, Any, Any]:
    """c, s, d, (1-ρ)Λ/μ and what the bias adds, times 2Λ/Z²; the s is the least there is for its c, at p = μ/Λ."""
    c = (2 - h) * _LEANS
    weight, m = h - 1 + c, a.relative_bias
    gain, way = 1 + weight * (1 - p / 2), weight * (1 + h) * (1 + h + c) / (4 * c)
    with np.errstate(invalid="ignore", divide="ignore"):
        s = np.where(way > gain, (gain - gain * p) / (way - gain * p), np.nan)
        rest, paid = (way - gain) / (way - gain * p), weight * h * h / c
        steady, room = weight / 2 + gain * rest, (2 - h) * h - c * (h - 1) - m * paid
        left = room - p * steady
        # Where ‖∇f‖² has a weight of the other sign, it is at most 2Λ(f - inf f).
        lost = np.where(left >= 0, steady + left, room / p)
    return c, np.where(s < 1, s, np.nan), np.maximum(-left, 0.0), lost, paid


def _long_bound(a: Assumptions, h: Any, horizon: Any, mu: float) -> Any:
    """``H + ρ^T (Δ - H)`` of claim C9 for h ≥ 1, the least of those for some c."""
    p, h, horizon = mu / a.smoothness, h[..., None], horizon[..., None]
    _, s, _, lost, paid = _long_terms(a, h, p)
    log = _power(horizon, p * lost, product(horizon, mu, lost, over=(a.smoothness,)), p)

    def added(share: Any, square: float) -> Any:
        """What one cause adds up to: (1 - ρ^T) share · square / (2μ · lost)."""
        few = product(horizon, share, square, over=(2, a.smoothness))
        return np.where(log > -1e-150, few, product(-np.expm1(log), share, square, over=(2, mu, lost)))

    bound = product(np.exp(log), a.gap) + added(paid, a.bias) + added(h * h, a.noise)
    return np.where((s < 1) & (lost > 0), bound, np.inf).min(axis=-1)
