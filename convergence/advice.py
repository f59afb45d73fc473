"""Which order and which weight: αβ for a target risk, and α as large as the disagreement of good students allows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from convergence.arguments import number, real, shown, whole

__all__ = ["QUANTILE", "REACH", "Recipe", "natural_range", "recipe"]

REACH = 4.0
"""αρ̂ by default, where a peer's pull saturates at ρ̂ (αρ̂/4 = 1)."""

QUANTILE = 0.95
"""Of a student and a peer over the inputs."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An order and a weight, and what they promise.

    Attributes
    ----------
    alpha, beta : float
        The order and the weight.
    product : float
        c = αβ, which sets the gain.
    risk : float
        The excess risk relative to that of a student alone, by the gain law at c (G1).
    log_ratio_range : float
        ρ̂ in nats.
    kept : float
        The least part of its linear pull that a peer within ρ̂ keeps, ``(1 - exp(-αρ̂))/(αρ̂)`` (G4).
    cap : float
        √2 β, the greatest pull of any peer on a student's logits (G3); its square times G² bounds the bias ζ² (X1).
    step_share : float
        1/(1 + αβK/(K-1)): the longest step that keeps students together, over that of a student alone (X3).

    Examples
    --------
    >>> recipe(students=2, risk=1.0, log_ratio_range=1.0).beta
    0.0
    """

    alpha: float
    beta: float
    product: float
    risk: float
    log_ratio_range: float
    kept: float
    cap: float
    step_share: float


def natural_range(log_ratio_range: ArrayLike) -> float:
    """ρ̂: how far good students are from one another, whatever one of them does.

    The 95% quantile over the inputs (the last axis), then medians over the other axes, from the last to the first: for
    ranges (student, peer, input), what most students find with most of their peers.

    Examples
    --------
    >>> ranges = np.ones((4, 3, 100))
    >>> ranges[3], ranges[:3, 2] = 9.0, 9.0  # the fourth student is off
    >>> natural_range(ranges)
    1.0
    """
    rho = real("log_ratio_range", log_ratio_range)
    if not rho.size or not (np.isfinite(rho) & (rho >= 0)).all():
        raise ValueError(f"log_ratio_range = {shown(log_ratio_range)}: expected finite numbers >= 0, in nats")
    if rho.ndim:
        rho = np.quantile(rho, QUANTILE, axis=-1)
    while np.ndim(rho):
        rho = np.median(rho, axis=-1)
    return float(rho)


def recipe(
    *, students: int, risk: float | None = None, log_ratio_range: ArrayLike, reach: float = REACH,
    gain: float | None = None,
) -> Recipe:  # fmt: skip
    """The order and weight that bring the excess risk to a target with good peers, and bound what a bad one can do.

    ``αβ = (1 - 1/K) (√((1 - 1/K)/(r - 1/K)) - 1)`` by the gain law, and ``α = x/ρ̂``: near peers, within ρ̂, pull nearly
    as they would at a small order, far ones with at most √2 β.

    Parameters
    ----------
    students : int
        K, at least 2, each with data of its own.
    risk : float
        r, the target excess risk relative to a student alone: above 1/K, that of the ensemble, and at most 1.
    log_ratio_range : float or array
        The ranges of log(p/q) between good students in nats, see :func:`natural_range`.
    reach : float
        x = αρ̂. A bad peer's pull falls with 1/x, and so does a part of the gain: logistic students had 4% more
        excess risk than r at x = 1.7, 14 to 17% more at x = 3.4, 40% more at x = 8.7 (claim G4).
    gain : float, optional
        The former name of ``risk``.

    Returns
    -------
    Recipe

    Raises
    ------
    ValueError
        If r is out of its range, or ρ̂ is 0: students that agree everywhere have nothing to gain.
    TypeError
        If none or both of ``risk`` and ``gain`` are given.

    Examples
    --------
    >>> found = recipe(students=4, risk=0.3878, log_ratio_range=2.0)
    >>> round(found.alpha, 3), round(found.beta, 3), round(found.product, 3), round(found.cap, 3)
    (2.0, 0.5, 1.0, 0.707)
    """
    count = whole("students", students, least=2, most=10**6)
    least = 1 / count
    if (risk is None) == (gain is None):
        raise TypeError(f"risk = {shown(risk)}, gain = {shown(gain)}: expected one; gain is the former name of risk")
    target = number("risk", gain if risk is None else risk, least=0)
    if not least < target <= 1:
        raise ValueError(
            f"risk = {target!r}: expected an excess risk relative to a student alone, above 1/K = {least:.4g}, which "
            "only the ensemble reaches, and at most 1"
        )
    rho, x = natural_range(log_ratio_range), number("reach", reach, least=0, strict=True)
    if rho == 0:
        raise ValueError("log_ratio_range = 0: students that agree everywhere have nothing to gain from one another")
    product = (1 - least) * (math.sqrt((1 - least) / (target - least)) - 1)
    alpha = x / rho
    beta = product / alpha
    return Recipe(
        alpha=alpha, beta=beta, product=product, risk=target, log_ratio_range=rho, kept=-math.expm1(-x) / x,
        cap=math.sqrt(2) * beta, step_share=1 / (1 + product / (1 - least)),
    )  # fmt: skip
