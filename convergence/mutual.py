"""What mutual learning adds to a student's gradient, and how far its moving peers drag a student's objective.

G is a bound of the spectral norm of the Jacobian ∂z/∂θ of the logits (or of its mean over inputs, see
:func:`mutual_bias_bound`), ρ the range of log(p/q) over the classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.arguments import broadcast, instance, number, real, shown
from convergence.assumptions import Assumptions
from convergence.bounds import sharp_bound
from convergence.tails import SubGaussian, high_probability_bound
from convergence.terms import Bound, checked_step, checked_steps, make_bound, product

__all__ = ["cohort_bound", "drift_bound", "moving_target_bound", "mutual_bias_bound"]


def mutual_bias_bound(
    alpha: ArrayLike,
    *,
    beta: float,
    jacobian: float,
    log_ratio_range: ArrayLike | None = None,
    divergence: ArrayLike | None = None,
) -> Any:
    """ζ² ≤ β² G² min{ 2 tanh²(αρ/4), max(1,α) D }: what mutual learning may add to a student's gradient.

    The first form is known beforehand, the second can be observed while training. Arrays over inputs and peers may be
    given and the result averaged, since either form holds for each input and peer.

    Parameters
    ----------
    alpha : float or array
        The order, in [0, ∞].
    beta : float
        The weight of the mutual loss.
    jacobian : float
        G, a bound of the spectral norm of ∂z/∂θ; or, smaller and enough, the root of the greatest eigenvalue of its
        mean Gram matrix E[(∂z/∂θ)ᵀ ∂z/∂θ] over the inputs (for a linear softmax student with inputs X: of XᵀX/N).
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
    This toolkit's own constants: ∇R = E Jᵀ(q - w), and ‖q - w‖² is at most either factor. With the mean Gram matrix
    the averaging over inputs is not lost: v ↦ E Jᵀv has the norm of its adjoint θ ↦ Jθ, whose square it is.

    Examples
    --------
    >>> mutual_bias_bound(float("inf"), beta=1.0, jacobian=1.0, log_ratio_range=3.0)
    2.0
    >>> mutual_bias_bound(2.0, beta=1.0, jacobian=1.0, divergence=0.1)
    0.2
    """
    alpha = real("alpha", alpha)
    given: dict[str, NDArray[np.float64]] = {"alpha": alpha}
    given |= {"beta": real("beta", beta), "jacobian": real("jacobian", jacobian)}
    weights = 2 * (given["beta"], given["jacobian"])
    forms: list[Callable[[], NDArray[np.float64]]] = []
    if log_ratio_range is not None:
        rho = given["log_ratio_range"] = real("log_ratio_range", log_ratio_range)
        forms.append(lambda: _saturating(alpha, rho, weights))
    if divergence is not None:
        mean = given["divergence"] = real("divergence", divergence)
        forms.append(lambda: product(*weights, np.maximum(1.0, alpha), mean))
    for name, value in given.items():
        if not (value >= 0).all() or (name in ("beta", "jacobian") and not np.isfinite(value).all()):
            raise ValueError(
                f"{name} = {shown(value.tolist())}: expected numbers >= 0, finite ones for beta and jacobian"
            )
    broadcast(**given)
    if not forms:
        raise ValueError("log_ratio_range and divergence are both missing: give at least one of them")
    result = forms[0]() if len(forms) == 1 else np.minimum(forms[0](), forms[1]())
    return float(result) if np.ndim(result) == 0 else result


def _saturating(
    alpha: NDArray[np.float64], rho: NDArray[np.float64], weights: tuple[NDArray[np.float64], ...]
) -> NDArray[np.float64]:
    """2 tanh²(αρ/4) times the weights, also where its square, or αρ, is below every float."""
    x = _product(alpha, rho) / 4
    root = np.tanh(x)
    # tanh x is x to the last digit there.
    return np.where(x < 1e-9, product(0.125, *weights, *2 * (alpha, rho)), product(2.0, *weights, root, root))


def _product(alpha: NDArray[np.float64], factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """The product, with ∞ · 0 = 0 for a zero factor: no spread or no divergence means no gradient at any order.

    Order 0 at an infinite spread stands for all small orders at all large ones: nothing better than ∞ holds.
    """
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        return np.where(factor == 0, 0.0, np.where((alpha == 0) & np.isinf(factor), np.inf, alpha * factor))


def cohort_bound(
    assumptions: Assumptions, step: ArrayLike, steps: ArrayLike, *, alpha: float, beta: float, jacobian: float,
    log_ratio_range: ArrayLike | None = None, divergence: ArrayLike | None = None,
    tail: SubGaussian | None = None, failure: float | None = None,
) -> Bound:  # fmt: skip
    """A² of a student of mutual learning: :func:`sharp_bound` with the least ζ² that its order, weight and peers give.

    With ``tail`` and ``failure`` it is :func:`~convergence.high_probability_bound` with that ζ², for each single run.

    ``ζ² = β²G²V`` with the least of these V that the arguments allow:

    ===========================  ============================  =====
    V                            from                          claim
    ===========================  ============================  =====
    2 tanh²(αρ/4)                ``log_ratio_range``           D7
    max(1, α) D                  ``divergence``                D8
    2(1 - exp(-max(1, α-1) D))   ``divergence``                D15
    0.8146 D                     ``divergence``, for α ≤ 1/2   D17
    2                            nothing                       D7
    ===========================  ============================  =====

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ and σ² of the student's base loss; ζ² and m must be zero. σ² is the noise given the whole cohort's state.
        Of a finished run Δ may be what the loss has fallen by, E L(θ_0) - E L(θ_T), if that is not negative (not with
        ``tail``).
    step, steps : float or array
        η, the same for all students, with h = Λη in (0, 2); T, ``inf`` for the floor.
    alpha : float
        The order, in [0, ∞].
    beta : float
        The weight of the mutual loss.
    jacobian : float
        G, as for :func:`mutual_bias_bound`.
    log_ratio_range : float or array, optional
        ρ in nats, a bound for all inputs, peers and steps; or its values, over which tanh² is averaged.
    divergence : float or array, optional
        The mean of D_α over inputs, peers and steps, in nats (the forms are concave, so that the mean will do); or its
        values, over which each form is averaged.
    tail : SubGaussian, optional
        s² and r of the student's noise given the whole cohort's state, in the place of σ². ρ, or D as the mean over
        inputs and peers, is then a bound for every step; of several values the greatest counts.
    failure : float, optional
        δ in (0, 1): with this probability a run may exceed the bound. Both or neither.

    Returns
    -------
    Bound
        ``name`` says which form binds, as "cohort, D15"; of a single run, as "cohort, D15, high probability".

    Raises
    ------
    ValueError
        As :func:`sharp_bound` and :func:`mutual_bias_bound`, or if a bias is given.

    Notes
    -----
    This toolkit's own (claim X1). For h ≤ 1 its floor is ζ², and cohorts that stand still reach it with the first form
    (X2). Where ρ bounds every step, :func:`tight_bound` with this ζ² is smaller still.

    Examples
    --------
    >>> at = Assumptions(smoothness=0.5, gap=1, noise=0, bias=0)
    >>> peers = dict(alpha=2.0, beta=0.1, jacobian=1.0, log_ratio_range=3.0, divergence=0.8)
    >>> bound = cohort_bound(at, 1.0, 10_000, **peers)
    >>> bound.name, round(bound.bias, 5)
    ('cohort, D15', 0.01108)
    >>> cohort_bound(at, 1.0, float("inf"), alpha=0.25, beta=0.1, jacobian=1.0, divergence=0.1).name
    'cohort, D17'
    >>> from convergence import SubGaussian
    >>> run = dict(tail=SubGaussian(proxy=0.01, rank=4), failure=1e-3)
    >>> one = cohort_bound(at, 1.0, 10_000, alpha=2.0, beta=0.1, jacobian=1.0, log_ratio_range=3.0, **run)
    >>> one.name, round(one.total, 4)
    ('cohort, D7, high probability', 0.036)
    """
    if (at := instance("assumptions", assumptions, Assumptions)).bias or at.relative_bias:
        raise ValueError(
            f"bias = {at.bias!r}, relative_bias = {at.relative_bias!r}: the cohort bound finds the bias, so both must "
            "be 0"
        )
    alpha = number("alpha", alpha, least=0, infinite=True)
    weight, scale = number("beta", beta, least=0), number("jacobian", jacobian, least=0)
    unit = {"beta": 1.0, "jacobian": 1.0}
    forms: dict[str, Any] = {"D7, any ρ": 2.0}
    if log_ratio_range is not None:
        forms["D7"] = mutual_bias_bound(alpha, **unit, log_ratio_range=log_ratio_range)
    if divergence is not None:
        forms["D8"] = mutual_bias_bound(alpha, **unit, divergence=divergence)
        mean = real("divergence", divergence)
        grown = _product(np.asarray(max(1.0, alpha - 1)), mean)
        forms["D15"] = -2 * np.expm1(-grown)
        if alpha <= 0.5:
            forms["D17"] = 0.8146 * mean
    for given, form in (("log_ratio_range", "D7"), ("divergence", "D8")):
        if not np.size(forms.get(form, 0.0)):
            raise ValueError(f"{given} is empty: expected one value or more; leave it out if nothing is known of it")

    def over_all(value: Any) -> float:
        return float(np.mean(value) if tail is None else np.max(value))

    least = {name: over_all(value) for name, value in forms.items()}
    name = min(reversed(least), key=lambda form: least[form])
    bias = product(*2 * (weight, scale), least[name])
    if name == "D7":  # whose square may be below every float until β²G² multiplies it
        bias = over_all(mutual_bias_bound(alpha, beta=weight, jacobian=scale, log_ratio_range=log_ratio_range))
    biased = replace(at, bias=float(bias))
    if (tail is None) != (failure is None):
        raise ValueError(f"tail = {tail!r}, failure = {failure!r}: expected both, for single runs, or neither")
    if tail is None or failure is None:
        return replace(sharp_bound(biased, step, steps), name=f"cohort, {name}")
    single = high_probability_bound(
        biased, number("step", step), number("steps", steps, infinite=True), tail=tail, failure=failure
    )
    return replace(single, name=f"cohort, {name}, high probability")


def drift_bound(
    alpha: ArrayLike, *, beta: float, jacobian: float, peer_gradient: ArrayLike, log_ratio_range: ArrayLike = np.inf
) -> Any:
    """β B G ‖g‖ with ``B = √2 α tanh(|α-1|ρ/4)/|α-1|``: the drift of a student's objective per step, over η.

    When the peers move by -ηg, the objective F = L + βR(·; peers) of a student at rest changes by at most η times this.

    Parameters
    ----------
    alpha : float or array
        The order, in [0, ∞].
    beta : float
        The weight of the mutual loss.
    jacobian : float
        G of the peers.
    peer_gradient : float or array
        ‖g‖, the mean over the peers of the norms of the updates that they take.
    log_ratio_range : float or array
        ρ in nats, its greatest value while the peers move. Without it (∞), B is ``√2 α/|α-1|``, infinite at α = 1.

    Returns
    -------
    float or ndarray
        In units of a squared gradient norm.

    Raises
    ------
    ValueError
        If an argument is negative or NaN, or β, G or ‖g‖ is infinite.

    Notes
    -----
    This toolkit's own. B bounds the gradient of D_α(p‖q) in the peer's logits; its limits are √2ρ/4 at α = 1, 0 at
    α = 0 and √2 at α = ∞ (for ρ > 0).

    Examples
    --------
    >>> round(drift_bound(1.0, beta=1.0, jacobian=1.0, peer_gradient=1.0, log_ratio_range=2.0), 6)
    0.707107
    >>> round(drift_bound(2.0, beta=1.0, jacobian=1.0, peer_gradient=0.5), 6)
    1.414214
    """
    alpha, rho, size = (
        real("alpha", alpha),
        real("log_ratio_range", log_ratio_range),
        real("peer_gradient", peer_gradient),
    )
    given = {
        "alpha": alpha, "beta": real("beta", beta), "jacobian": real("jacobian", jacobian), "peer_gradient": size,
        "log_ratio_range": rho,
    }  # fmt: skip
    for name, value in given.items():
        finite = name in ("alpha", "log_ratio_range") or np.isfinite(value).all()
        if not (value >= 0).all() or not finite:
            raise ValueError(
                f"{name} = {shown(value.tolist())}: expected numbers >= 0, finite ones but for alpha and "
                "log_ratio_range"
            )
    broadcast(**given)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        away, weights = np.abs(alpha - 1), (given["beta"], given["jacobian"], size)
        x = _product(away, rho) / 4
        # tanh x is x to the last digit there, and |α-1| goes out.
        small = product(np.sqrt(0.125), *weights, alpha, rho)
        share = np.where(np.isinf(alpha), 1.0, alpha)
        large = product(np.sqrt(2.0), *weights, share, np.tanh(x), over=(np.where(np.isinf(alpha), 1.0, away),))
    result = np.where(x < 1e-9, small, large)
    return float(result) if np.ndim(result) == 0 else result


def moving_target_bound(assumptions: Assumptions, step: ArrayLike, steps: ArrayLike, *, drift: ArrayLike) -> Bound:
    """A² ≤ [ 2Δ/(ηT) + hσ² + 2d ]/(2-h) for 0 < h < 2, where A² averages E‖∇F_t(θ_t)‖² over moving objectives F_t.

    In mutual learning F_t = L + βR(·; peers at t) is what a student descends at step t; the bias of its base loss is
    gone, and what remains instead is the drift of the objective: again O(1).

    Parameters
    ----------
    assumptions : Assumptions
        Λ and σ² of every F_t, Δ = F_0(θ_0) - inf over t and θ of F_t(θ); ζ² and m must be zero.
    step, steps : float or array
        η and T.
    drift : float or array
        d, a bound of the mean over t of E[F_{t+1}(θ_{t+1}) - F_t(θ_{t+1})], divided by η: see :func:`drift_bound`.

    Returns
    -------
    Bound
        ``bias`` is the part of the drift.

    Raises
    ------
    ValueError
        If Λη is outside (0, 2), T < 1, d < 0, or a bias is given.

    Examples
    --------
    >>> at = Assumptions(smoothness=1, gap=1, noise=0, bias=0)
    >>> moving_target_bound(at, 1.0, 100, drift=0.25).total
    0.52
    """
    eta = checked_step(assumptions, step, 2.0, closed=False, name="the moving target bound")
    horizon, rate = checked_steps(steps, eta), real("drift", drift)
    broadcast(drift=rate, step=eta, steps=horizon)
    if assumptions.bias or assumptions.relative_bias:
        raise ValueError(
            f"bias = {assumptions.bias!r}, relative_bias = {assumptions.relative_bias!r}: the moving target "
            "bound takes the whole gradient of the moving objective, so both must be 0"
        )
    if not (rate >= 0).all():
        raise ValueError(f"drift = {shown(drift)}: expected numbers >= 0, a bound of the mean drift over η")
    h = assumptions.smoothness * eta
    transient, noise, bias = np.broadcast_arrays(
        product(2, assumptions.gap, over=(eta, horizon, 2 - h)),
        product(assumptions.smoothness, eta, assumptions.noise, over=(2 - h,)),
        product(2, rate, over=(2 - h,)),
    )
    return make_bound("moving target", (transient, noise, bias), eta, horizon)
