"""Divergences, distances and entropies that users know under their own names, as thin layers over the Rényi divergence.

Arguments are those of `rdml_theory.divergence`: ``domain`` is ``"probs"``, ``"log_probs"`` or ``"logits"``, classes lie
on ``axis``, batch shapes broadcast, sums that are not one are warned of unless ``normalise`` is true, values are in
nats, and wrong arguments raise ValueError or TypeError.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from rdml_theory import _branches as branches
from rdml_theory._pairs import checked_sum, softmax
from rdml_theory._validation import FloatArray, SumCheck, arguments
from rdml_theory.divergence import renyi_divergence


def kl_divergence(p: ArrayLike, q: ArrayLike, *, domain: str = "probs", axis: int = -1, normalise: bool = False) -> Any:
    """Return the Kullback-Leibler divergence sum p log(p/q) = D_1(p || q), in nats, shape (...).

    Examples
    --------
    >>> float(kl_divergence([0.5, 0.5], [0.25, 0.75]).round(6))
    0.143841
    """
    return renyi_divergence(p, q, 1.0, domain=domain, axis=axis, normalise=normalise)


def max_divergence(
    p: ArrayLike, q: ArrayLike, *, domain: str = "probs", axis: int = -1, normalise: bool = False
) -> Any:
    """Return the max-divergence log max p/q = D_inf(p || q), in nats, shape (...).

    Examples
    --------
    >>> float(max_divergence([0.5, 0.5], [0.25, 0.75]).round(6))
    0.693147
    """
    return renyi_divergence(p, q, np.inf, domain=domain, axis=axis, normalise=normalise)


def bhattacharyya_distance(
    p: ArrayLike, q: ArrayLike, *, domain: str = "probs", axis: int = -1, normalise: bool = False
) -> Any:
    """Return the Bhattacharyya distance -log sum sqrt(p q) = D_½(p || q) / 2, in nats, shape (...).

    Examples
    --------
    >>> float(bhattacharyya_distance([0.5, 0.5], [0.25, 0.75]).round(6))
    0.034668
    """
    return 0.5 * renyi_divergence(p, q, 0.5, domain=domain, axis=axis, normalise=normalise)


def hellinger_distance(
    p: ArrayLike, q: ArrayLike, *, domain: str = "probs", axis: int = -1, normalise: bool = False
) -> Any:
    """Return the Hellinger distance sqrt(1 - sum sqrt(p q)), in [0, 1], shape (...).

    It is sqrt(1 - exp(-D_½ / 2)), without the cancellation that the definition has near p = q.

    Examples
    --------
    >>> float(hellinger_distance([0.5, 0.5], [0.25, 0.75]).round(6))
    0.184592
    """
    return np.sqrt(-np.expm1(-bhattacharyya_distance(p, q, domain=domain, axis=axis, normalise=normalise)))


def chi_square_divergence(
    p: ArrayLike, q: ArrayLike, *, domain: str = "probs", axis: int = -1, normalise: bool = False
) -> Any:
    """Return Pearson's chi-square divergence sum (p - q)^2 / q = exp(D_2(p || q)) - 1, shape (...).

    Infinite where it exceeds the largest number of its type.

    Examples
    --------
    >>> float(chi_square_divergence([0.5, 0.5], [0.25, 0.75]).round(6))
    0.333333
    """
    with np.errstate(over="ignore"):
        return np.expm1(renyi_divergence(p, q, 2.0, domain=domain, axis=axis, normalise=normalise))


def renyi_entropy(
    p: ArrayLike, alpha: ArrayLike, *, domain: str = "probs", axis: int = -1, normalise: bool = False
) -> Any:
    """Return the Rényi entropy H_alpha(p) = log(sum p^alpha) / (1 - alpha), in nats, shape (...).

    The limits are log of the number of possible classes (0), Shannon's entropy (1) and -log max p (inf). With the
    uniform distribution U, H_alpha(p) = log C - D_alpha(p || U) (van Erven and Harremoës 2014, arXiv 1206.2459).

    Examples
    --------
    >>> renyi_entropy([0.5, 0.25, 0.25], [0.0, 1.0, 2.0, float("inf")]).round(6)
    array([1.098612, 1.039721, 0.980829, 0.693147])
    """
    return renyi_cross_entropy(p, p, alpha, domain=domain, axis=axis, normalise=normalise)


def renyi_cross_entropy(
    p: ArrayLike, q: ArrayLike, alpha: ArrayLike, *, domain: str = "probs", axis: int = -1, normalise: bool = False
) -> Any:
    """Return the Rényi cross-entropy H_alpha(p; q) = log(sum p q^(alpha - 1)) / (1 - alpha), in nats, shape (...).

    At alpha = 1 it is -sum p log q, at infinity -log of the largest q that p allows, and for q = p the Rényi entropy.
    Infinite where q vanishes on a class that p allows and alpha <= 1, or on all of them. The definition is that of
    Thierrin, Alajaji and Linder 2022, arXiv 2208.06983; it is not H_alpha(p) + D_alpha(p || q) except at alpha = 1.

    Examples
    --------
    >>> renyi_cross_entropy([0.5, 0.5], [0.25, 0.75], [1.0, 2.0]).round(6)
    array([0.836988, 0.693147])
    """
    task = arguments(p, q, alpha, domain, axis, normalise)
    check = SumCheck(domain, task.classes, task.normalise)
    with np.errstate(all="ignore"):
        first, log_p = _with_logarithm("p", task.p.take(slice(None)), domain, check)
        _, log_q = _with_logarithm("q", task.q.take(slice(None)), domain, check)
        alpha = np.broadcast_to(np.asarray(task.alpha), (task.rows,))[:, None]
        value = _cross_entropy(first, log_p, log_q, alpha)
    return value.reshape(task.batch).astype(task.dtype)[()]


def _with_logarithm(name: str, x: npt.NDArray[Any], domain: str, check: SumCheck) -> tuple[FloatArray, FloatArray]:
    """Return normalised rows and their logarithms; that of the largest entry comes from the sum of the others."""
    x = np.asarray(x, dtype=np.float64)
    if not x.shape[0]:
        return x, x
    if domain == "probs":
        given = x
        x, mass, _, _ = checked_sum(name, x, 1)
        check(name, mass if x is given else given.sum(axis=1))
        p, log_p = x / mass, np.log(x / mass)
    else:
        p, log_p, top, log_mass = softmax(name, x, 1, domain)
        if domain == "log_probs":
            check(name, np.exp(top + log_mass))
    largest = np.argmax(p, axis=1, keepdims=True)
    others = p.copy()
    np.put_along_axis(others, largest, 0.0, axis=1)
    rest = np.minimum(others.sum(axis=1, keepdims=True), 1.0)
    exact = np.where(rest < 0.5, np.log1p(-rest), np.take_along_axis(log_p, largest, axis=1))
    np.put_along_axis(log_p, largest, exact, axis=1)
    return p, log_p


def _cross_entropy(p: FloatArray, log_p: FloatArray, log_q: FloatArray, alpha: FloatArray) -> FloatArray:
    """Return -log(sum p q^offset) / offset, offset = alpha - 1: all terms of sum p (q^offset - 1) have one sign."""
    offset = alpha - 1.0
    # from logits p may have underflowed, and its class still counts
    allowed = log_p > -np.inf
    log_q = np.where(allowed, log_q, -1.0)
    lost = np.isneginf(log_q).any(axis=1)
    top = log_q.max(axis=1, where=allowed, initial=-np.inf)
    plain = offset == 0.0
    finite = np.where(np.isfinite(offset) & ~plain, offset, 1.0)
    growth = finite * log_q
    tilted = np.where(p < branches.TINY_PROBABILITY, np.exp(log_p + growth) - p, p * np.expm1(growth))
    total = np.where(allowed, np.where(plain, -p * log_q, tilted), 0.0).sum(axis=1)
    exponent = finite[:, 0]
    value = np.where(plain[:, 0], total, -np.log1p(total) / exponent)
    # the sum itself is small or large: its logarithm, relative to the greatest q, before offset multiplies it
    pivot = np.where((exponent > 0.0) & (top > -np.inf), top, 0.0)
    exponents = np.where(allowed, log_p + finite * (log_q - pivot[:, None]), -np.inf)
    peak = exponents.max(axis=1)
    shifted = -pivot - (peak + np.log(np.exp(exponents - peak[:, None]).sum(axis=1))) / exponent
    value = np.where(~plain[:, 0] & ~((total >= -0.5) & (total <= 1e300)), shifted, value)
    value = np.where(np.where(exponent > 0.0, np.isneginf(top), lost) | (plain[:, 0] & lost), np.inf, value)
    return np.where(np.isinf(offset[:, 0]), -top, value) + 0.0
