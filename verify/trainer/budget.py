"""What measurements of the bias budget amount to: averages, the sharp bound and its floor, and what would lower it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from convergence import Assumptions, floor, sharp_bound

__all__ = ["Advice", "BiasRecord", "Budget", "bias_under", "order_under", "summarise"]

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
        C4's bounds of ‖b‖²: 2β²G² E tanh²(αρ/4) and β²G² max(1, α) E D, ρ the range of the log-ratio.
    smoothness : tuple of float or None
        Λ_t, which makes L(θ') = L(θ) + <∇L, Δ> + (Λ_t/2)‖Δ‖² exact; None where the step is below the resolution of
        the losses.
    martingale : tuple of float or None
        <∇L_k, n_k> with the noise of the actual update, None if its gradients are not there to be seen.
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

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> BiasRecord:
        """The record of a line of metrics, whose lists were tuples."""
        names = {f.name for f in fields(cls)}
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items() if k in names}
        return cls(**values)


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
    bound, floor : float or None
        C2's right side for A², with the measured decrease of L, and its limit for T → ∞; None where the theorem does
        not apply, and ``reason`` says why.
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


def summarise(records: Sequence[BiasRecord], student: int, *, plain: bool) -> Budget:
    """The budget of a student from its measurements; ``plain`` says whether C2 is a theorem for the training."""
    if not records:
        raise ValueError("no measurement to summarise: observe the updates of the loop first")

    def mean(name: str) -> float:
        return sum(getattr(r, name)[student] for r in records) / len(records)

    base, mutual, noise = mean("base"), max(mean("mutual"), 0.0), max(mean("noise"), 0.0)
    curved = [(r.smoothness[student], r.rate) for r in records if r.smoothness[student] is not None]
    smoothness = max((c for c, _ in curved if c is not None), default=0.0)
    stability = max((c * rate for c, rate in curved if c is not None), default=0.0)
    plain = plain and len({r.rate for r in records}) == 1
    reason = ""
    if not plain:
        reason = "the bound is for plain SGD at a constant rate"
    elif not curved or smoothness <= 0:
        reason = "no curvature was measured"
    elif not stability < 2:
        reason = f"ηΛ reached {stability:.3g}, beyond 2"
    if reason:
        return Budget(base, mutual, noise, smoothness, stability, None, None, reason)
    gap = max(records[0].loss[student] - records[-1].loss[student], 0.0)
    known = Assumptions(smoothness=smoothness, gap=gap, noise=noise, bias=mutual)
    steps = max(records[-1].step - records[0].step, 1)
    rate = records[0].rate
    return Budget(
        base, mutual, noise, smoothness, stability,
        float(sharp_bound(known, rate, steps)), float(floor(known, rate)),
    )  # fmt: skip


def bias_under(target: float, h: float, noise: float) -> float | None:
    """The greatest ζ² whose floor [(|1-h|ζ + √(ζ² + h(2-h)σ²))/(2-h)]² is at most the target, None if there is none.

    With A² = target the floor's equation (1-h/2)A² - |1-h|Aζ - (h/2)ζ² = hσ²/2 is quadratic in ζ.
    """
    rest = (2 - h) * target - h * noise
    if rest < 0:
        return None
    away = abs(1 - h) * math.sqrt(target)
    return (rest / (away + math.sqrt(away**2 + h * rest))) ** 2 if rest else 0.0


def order_under(allowed: float, scale: float, ranges: Tensor) -> float:
    """The greatest α with scale · mean tanh²(αρ/4) ≤ allowed."""

    def level(alpha: float) -> float:
        return scale * float(torch.tanh(alpha * ranges / 4).square().mean()) if ranges.numel() else 0.0

    low, high = 0.0, 1e6
    if level(high) <= allowed:
        return math.inf
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if level(middle) <= allowed else (low, middle)
    return low
