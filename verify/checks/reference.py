"""A naive high-precision reference (mpmath) that shares no code with the product, and pairs to test it on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np
from numpy.typing import NDArray

from verify.checks.comparisons import Worst
from verify.claim import Found
from verify.context import Context

__all__ = [
    "BESIDE_LIMITS", "DIGITS", "ROUNDING", "SCALES", "Pair", "beside_limits", "compared", "distance", "divergence",
    "escort", "gradient", "hessian_entry", "rounding", "sample_pairs", "softmax",
]  # fmt: skip

DIGITS = 60
"""The decimal digits of the reference."""

ROUNDING = 2.0**-53 * 8192
"""What float64 may lose here: ``4 max(α, 1) max|log p/q|`` roundings, with α ≤ 20 and log-ratios below 100."""

BESIDE_LIMITS = (
    1e-9, 1e-6, 1e-4, 9e-4, 1.1e-3, 1e-2,
    1 - 1e-3, 1 - 1.1e-4, 1 - 9e-5, 1 - 1e-6, 1 - 1e-9, 1 + 1e-9, 1 + 1e-6, 1 + 9e-5, 1 + 1.1e-4, 1 + 1e-3,
    100.0, 990.0, 1010.0, 1e4, 1e6,
)  # fmt: skip
"""Orders close to 0, 1 and ∞, where a limit in place of the divergence would be a small, systematic error."""

Vector = Sequence[Any]
Errors = Iterable[tuple[str, float]]


@dataclass(frozen=True)
class Pair:
    """Logits of a peer and a student, and an order."""

    teacher: NDArray[np.float64]
    student: NDArray[np.float64]
    alpha: float

    def exact(self) -> tuple[list[Any], list[Any]]:
        """Their distributions p and q, at the precision in force."""
        return softmax(self.teacher.tolist()), softmax(self.student.tolist())

    def rounded(self) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], tuple[list[Any], list[Any]]]:
        """Half of p and four times q in float64, and the exact distributions that these define."""
        p, q = (scale * np.array([float(x) for x in v]) for scale, v in zip(SCALES, self.exact(), strict=True))
        first, second = ([mp.mpf(x) / mp.fsum(v.tolist()) for x in v.tolist()] for v in (p, q))
        return (p, q), (first, second)


SCALES = (0.5, 4.0)
"""Sums of p and q as the core is given them: the gradient is that of the distributions which they define."""


def sample_pairs(rng: np.random.Generator, count: int, alphas: Sequence[float], most_classes: int = 6) -> list[Pair]:
    """Random pairs of logits at scales from near-uniform to confident, half of them near consensus."""
    pairs = []
    for number in range(count):
        classes = int(rng.integers(2, most_classes + 1))
        scale = 10 ** rng.uniform(-1, 1)
        student = scale * rng.standard_normal(classes)
        distance = scale if number % 2 else 10 ** rng.uniform(-4, 0)
        pairs.append(
            Pair(student + distance * rng.standard_normal(classes), student, float(alphas[number % len(alphas)]))
        )
    return pairs


def beside_limits(rng: np.random.Generator, count: int) -> list[Pair]:
    """Random pairs at each of `BESIDE_LIMITS`, so close at large orders that no class alone decides."""
    pairs = []
    for alpha in BESIDE_LIMITS * count:
        student = 10 ** rng.uniform(-1, 0.5) * rng.standard_normal(int(rng.integers(2, 5)))
        distance = 10 ** rng.uniform(-2, 0.5) * min(1.0, 4.0 / alpha)
        pairs.append(Pair(student + distance * rng.standard_normal(student.size), student, alpha))
    return pairs


def compared(
    context: Context, pairs: Sequence[Pair], formula: Callable[[Pair], Errors], core: Callable[[Pair], Errors], *,
    allowed: float,
) -> Found:  # fmt: skip
    """What formulas miss the definition by, at most ``allowed``, and the core the formulas, in roundings.

    Errors have names, and are found at 60 digits: at random pairs and, those of the core, beside the limits, too.
    """
    worst, beside = Worst(), beside_limits(context.rng("beside"), context.pick(quick=2, full=40))
    for points, errors, most in ((context.each(pairs), formula, allowed), ((*pairs, *beside), core, 1.0)):
        for pair in worst.over(points):
            with mp.workdps(DIGITS):
                for name, error in errors(pair):
                    worst.see(name, error, most)
    yield from worst.comparisons()


def rounding(pair: Pair) -> float:
    """What float64 may lose in a derivative, relative: 64 units and, off consensus, ``max(α, 1) |log p/q|``, each 4.

    The promise of the core (docs/accuracy.md): the second is the rounding of log p/q, in the exponent.
    """
    ratio = pair.teacher - pair.student
    return 2.0**-53 * (64.0 + 4.0 * max(pair.alpha, 1.0) * float(np.ptp(ratio)))


def softmax(logits: Vector) -> list[Any]:
    """The distribution of exact logits."""
    weights = [mp.exp(mp.mpf(x)) for x in logits]
    total = mp.fsum(weights)
    return [x / total for x in weights]


def distance(computed: Vector, exact: Vector) -> float:
    """The error relative to the norm of the exact values."""
    error = mp.norm([mp.mpf(a) - b for a, b in zip(computed, exact, strict=True)])
    return float(error / mp.norm(list(exact)))


def divergence(p: Vector, q: Vector, alpha: Any) -> Any:
    """D_α(p‖q) by its definition, at 0, 1 and ∞ by the definition of the limit; p and q sum to one."""
    p, q = [mp.mpf(x) for x in p], [mp.mpf(x) for x in q]
    pairs = list(zip(p, q, strict=True))
    if alpha == 0:
        return -mp.log(mp.fsum(y for x, y in pairs if x > 0))
    if any(x > 0 and y == 0 for x, y in pairs) and alpha >= 1:
        return mp.inf
    support = [(x, y) for x, y in pairs if x > 0]
    if alpha == 1:
        return mp.fsum(x * mp.log(x / y) for x, y in support)
    if alpha == mp.inf:
        return mp.log(max(x / y for x, y in support))
    a = mp.mpf(alpha)
    return mp.log(mp.fsum(x**a * y ** (1 - a) for x, y in support if y > 0)) / (a - 1)


def escort(p: Vector, q: Vector, alpha: float) -> list[Any]:
    """w ∝ p^α q^(1-α), for a finite order."""
    a = mp.mpf(alpha)
    weights = [mp.mpf(x) ** a * mp.mpf(y) ** (1 - a) for x, y in zip(p, q, strict=True)]
    total = mp.fsum(weights)
    return [x / total for x in weights]


def _along(pair: Pair, at: Sequence[int]) -> Callable[..., Any]:
    """D as a function of shifts of some of the student's logits."""
    p, _ = pair.exact()

    def shifted(*shifts: Any) -> Any:
        logits = [mp.mpf(x) for x in pair.student]
        for index, shift in zip(at, shifts, strict=True):
            logits[index] += shift
        return divergence(p, softmax(logits), pair.alpha)

    return shifted


def gradient(pair: Pair) -> list[Any]:
    """∂D/∂z by differences of the definition at 60 digits."""
    with mp.workdps(DIGITS):
        return [mp.diff(_along(pair, [k]), 0) for k in range(pair.student.size)]


def hessian_entry(pair: Pair, k: int, l: int) -> Any:  # noqa: E741 - the theory's index
    """∂²D/∂z_k∂z_l by differences of the definition at 60 digits."""
    with mp.workdps(DIGITS):
        if k == l:
            return mp.diff(_along(pair, [k]), 0, 2)
        return mp.diff(_along(pair, [k, l]), (0, 0), (1, 1))
