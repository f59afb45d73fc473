"""What measurements of the bias budget amount to: averages, the sharp bound and its floor, and what would lower it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from types import SimpleNamespace

from convergence import Assumptions, floor, sharp_bound

__all__ = ["Advice", "BiasRecord", "Budget", "PerStudent", "summarise"]

PerStudent = tuple[float, ...]


@dataclass(frozen=True)
class BiasRecord:
    """One measurement, before and after the update of a step; tuples hold a value per student.

    Attributes
    ----------
    step : int
        The step.
    rate, alpha, beta : float
        η, α and β of the step.
    loss, divergence : tuple of float
        L_k (with its weight decay) and the mean divergence D_α from the peers, in nats.
    base, mutual : tuple of float
        ‖∇L_k‖² and ‖b_k‖² = β²‖∇R_k‖². Where a part of the data is measured, what the choice of the sample adds is
        taken away, so that they are unbiased and may fall below zero.
    inner : tuple of float
        <∇L_k, b_k>.
    noise, noise_error : tuple of float
        σ² = E‖n_k‖² for mini-batches drawn without replacement, and its standard error.
    jacobian : tuple of float
        G: root mean square Frobenius norm of the logits' Jacobian, without the direction that shifts all logits, an
        upper bound of the root mean square spectral norm; one random probe.
    order_bound, divergence_bound : tuple of float
        C4's bounds of ‖b‖²: 2β²τ²G² E tanh²(αρ/4) and β²τ²G² max(1, α) E D, with ρ the range of the log-ratio at the
        temperature τ. (The loss is βτ²D of the logits over τ, so its gradient in the logits is βτ(q - w).)
    smoothness : tuple of float or None
        Λ_t, which makes L(θ') = L(θ) + <∇L, Δ> + (Λ_t/2)‖Δ‖² exact; None where the step is below the resolution of
        the losses.
    martingale, pull, step_noise : tuple of float or None
        <∇L_k, n_k>, <b_k, n_k> and ‖n_k‖² with the noise n of the actual update; None if its gradients are not there
        to be seen.
    decrease : tuple of float
        L_k before the update less L_k after it; to first order where the difference is below the losses' resolution.
    departure : tuple of float or None
        ‖Δ + ηg‖/‖ηg‖, g the gradient that the update was given: 0 for plain SGD, to rounding. None if there is no
        gradient to be seen, or none that moves the weights by more than their rounding; infinite if it is not finite.
    """

    step: int
    rate: float
    alpha: float
    beta: float
    loss: PerStudent
    divergence: PerStudent
    base: PerStudent
    mutual: PerStudent
    inner: PerStudent
    noise: PerStudent
    noise_error: PerStudent
    jacobian: PerStudent
    order_bound: PerStudent
    divergence_bound: PerStudent
    smoothness: tuple[float | None, ...]
    martingale: tuple[float | None, ...]
    pull: tuple[float | None, ...] = ()
    step_noise: tuple[float | None, ...] = ()
    decrease: PerStudent = ()
    departure: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Budget:
    """Averages over the measurements of a student, and what the theory makes of them.

    Attributes
    ----------
    base, mutual, noise : float
        A², Z² and σ²: time averages of ‖∇L‖², ‖b‖² and E‖n‖².
    smoothness : float
        The greatest Λ_t measured.
    stability : float
        The greatest Λ_t η: below 2 a plain gradient step descends.
    bound : float or None
        C2's right side for A², over the steps measured and with everything in it measured there: the mean decrease of
        L in such a step takes the place of Δ/T, and what the noise of these very steps adds is counted. So it holds
        for every selection of steps.
    floor : float or None
        C2's right side for T → ∞ with A², Z² and σ² as measured: an estimate of where the training ends.
    reason : str
        Why a bound, or both, are missing: None where the theorem does not apply.
    """

    base: float
    mutual: float
    noise: float
    smoothness: float
    stability: float
    bound: float | None
    floor: float | None
    reason: str = ""


@dataclass(frozen=True)
class Advice:
    """Weights and orders that would bring the floor of every student under a target.

    ``beta`` supposes that ∇R_k keeps the norms measured; ``alpha`` rests on C4's a-priori bound and the log-ratios
    measured last. None: no weight, or no order, does; ``reason`` says why.
    """

    beta: float | None
    alpha: float | None
    reason: str = ""


SIGNIFICANT = 5.5
"""|Σ v|/√Σ v² beyond which terms v do not have mean zero: where their law is symmetric, a false alarm of
2 exp(-5.5²/2) = 5e-7 (de la Peña 1999), in whatever order and size they come. It takes 31 terms at least."""

NEGLIGIBLE = 1e-3
"""Share of a gradient's norm that differences between two ways of computing it in single precision stay below."""


def summarise(
    records: Sequence[BiasRecord], student: int, *, plain: bool, whole: bool = True, exact: bool = False,
    resolution: float = NEGLIGIBLE,
) -> Budget:  # fmt: skip
    """The budget of a student from its measurements.

    Parameters
    ----------
    records, student
        The measurements, and whose of them.
    plain : bool
        Whether the training is said to be plain SGD at a constant rate.
    whole : bool
        Whether all samples were measured.
    exact : bool
        Whether a batch is all samples, so that there is no noise.
    resolution : float
        Share of a gradient's norm below which two ways of computing it may differ.
    """
    if not records:
        raise ValueError("no measurement to summarise: observe the updates of the loop first")
    own = [_own(r, student) for r in records]
    base = _mean(o.base for o in own)
    mutual, noise = max(_mean(o.mutual for o in own), 0.0), max(_mean(o.noise for o in own), 0.0)
    curved = [(o.smoothness, o.rate) for o in own if o.smoothness is not None]
    smoothness = max((c for c, _ in curved), default=0.0)
    stability = max((c * rate for c, rate in curved), default=0.0)
    if not all(map(math.isfinite, (base, mutual, noise, smoothness))):
        reason = "a measurement is not finite: the training diverged"
    elif not plain:
        reason = "the bound is for plain SGD at a constant rate: plain=True says that the training is that"
    elif len(rates := {o.rate for o in own}) > 1:
        reason = f"the rate changed, from {max(rates):.3g} to {min(rates):.3g}: the bound is for a constant one"
    elif not (reason := _not_plain(own) or (_unlike(own, exact, resolution) if whole else "")):
        if smoothness <= 0:
            reason = "no curvature was measured"
        elif not stability < 2:
            reason = f"ηΛ reached {stability:.3g}, beyond 2"
    if reason:
        return Budget(base, mutual, noise, smoothness, stability, None, None, reason)
    rate, steps = own[0].rate, len(own)
    limit = float(floor(Assumptions(smoothness=smoothness, gap=0.0, noise=noise, bias=mutual), rate))
    if not whole:
        reason = "measured on a part of the samples: all numbers, the floor too, are estimates"
        return Budget(base, mutual, noise, smoothness, stability, None, limit, reason)
    # A step's exact descent, with h ≥ ηΛ_t: (1-h/2)‖∇L‖² + (1-h)<∇L, b> - (h/2)‖b‖² ≤ decrease/η + (h/2)‖n‖²
    # + h<b, n> - (1-h)<∇L, n>. C2 solves the mean of it over any steps; its Δ/(ηT) is the mean of all but ‖n‖².
    h = stability
    excess = _mean(o.decrease for o in own) / rate + _mean(h * o.pull - (1 - h) * o.martingale for o in own)
    known = Assumptions(
        smoothness=smoothness, gap=max(excess, 0.0) * rate * steps, noise=_mean(o.step_noise for o in own), bias=mutual
    )
    return Budget(base, mutual, noise, smoothness, stability, float(sharp_bound(known, rate, steps)), limit)


def _own(record: BiasRecord, student: int) -> SimpleNamespace:
    """A student's part of a record; what records of former versions lack is None."""
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return SimpleNamespace(
        **{n: (v[student] if v else None) if isinstance(v, tuple) else v for n, v in values.items()}
    )  # fmt: skip


def _mean(values: Iterable[float]) -> float:
    kept = list(values)
    return sum(kept) / len(kept)


def _not_plain(own: Sequence[SimpleNamespace]) -> str:
    """Why the measured steps are not those of plain SGD; nothing if they are."""
    for o in own:
        if o.departure is None:
            return (
                f"step {o.step} has no gradient, or none above rounding, to be compared with: leave .grad in the "
                "parameters until the step is over"
            )
        if not math.isfinite(o.departure):
            return f"the gradient of step {o.step} is not finite: a scaler skips such a step"
        if o.departure != 0:
            return (
                f"step {o.step} is not -η times the gradient it was given ({100 * o.departure:.2g}% off): momentum, "
                "another optimizer, gradients left scaled, or a rate or weight decay other than stated"
            )
    return "only the first step was measured, which momentum leaves as it is" if own[-1].step == 0 else ""


def _unlike(own: Sequence[SimpleNamespace], exact: bool, resolution: float) -> str:
    """Why the steps' gradients are not those of the stated losses, but for noise of mean zero; nothing if they may."""
    reason = "the gradients of the steps are not those of the stated losses: alpha, beta, temperature, x, y, clipping?"
    if exact:
        far = [o for o in own if o.step_noise > resolution**2 * (o.base + o.mutual + o.jacobian**2 / 100)]
        return reason if far else ""
    size = sum(o.base + o.mutual for o in own)
    for values in ([o.martingale for o in own], [o.pull for o in own]):
        if abs(sum(values)) > max(SIGNIFICANT * math.hypot(*values), resolution * size):
            return reason.replace("not", "not on the average", 1)
    return ""
