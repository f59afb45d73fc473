"""Cases on which formulas for the Rényi divergence lose their digits, by kind; tests and benchmarks draw from here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

ORDERS = (0.5, 1.0, 1.5, 2.0, 0.3, 0.7, 5.0)
NEAR_ONE = tuple(1.0 + sign * 10.0**-k for k in range(1, 13) for sign in (1, -1))
EXTREME = (1e-8, 1e-3, 30.0, 1e3, 1e4)
KINDS = ("near_equal", "order_near_one", "extreme_order", "zeros", "tiny_entries", "huge_ratios", "unnormalised")


class Case(NamedTuple):
    """One pair and one order."""

    kind: str
    p: np.ndarray
    q: np.ndarray
    alpha: float


def _distribution(rng: np.random.Generator, classes: int) -> np.ndarray:
    x = rng.dirichlet(np.full(classes, rng.choice([0.3, 1.0, 5.0]))) + 1e-12
    return x / x.sum()


def _near(rng: np.random.Generator, p: np.ndarray, exponent: float) -> np.ndarray:
    q = p * (1.0 + 10.0**exponent * rng.standard_normal(p.size).clip(-3, 3))
    return q / q.sum()


def _tiny(rng: np.random.Generator, classes: int) -> np.ndarray:
    x = 10.0 ** rng.uniform(-300, 0, classes)
    x[rng.integers(classes)] = rng.uniform(0.1, 1)
    return x / x.sum()


def _with_zeros(rng: np.random.Generator, classes: int) -> tuple[np.ndarray, np.ndarray]:
    p, q = _distribution(rng, classes), _distribution(rng, classes)
    kind = rng.integers(4)
    if kind in (0, 2):
        p[rng.random(classes) < 0.3] = 0
    if kind in (1, 2):
        q[rng.random(classes) < 0.3] = 0
    if kind == 3:
        both = rng.random(classes) < 0.3
        p[both] = 0
        q[both] = 0
    keep = rng.integers(classes)
    p[keep] = p[keep] or 0.5
    q[rng.integers(classes)] += 0.1
    return p / p.sum(), q / q.sum()


def one_case(rng: np.random.Generator, kind: str, classes: int) -> Case:
    """Draw one case of a kind."""
    every = ORDERS + NEAR_ONE + EXTREME
    alpha = float(rng.choice(every))
    if kind == "near_equal":
        p = _distribution(rng, classes)
        q = _near(rng, p, rng.uniform(-15, -2))
    elif kind == "order_near_one":
        p, q, alpha = _distribution(rng, classes), _distribution(rng, classes), float(rng.choice(NEAR_ONE))
    elif kind == "extreme_order":
        p, q, alpha = _distribution(rng, classes), _distribution(rng, classes), float(rng.choice(EXTREME))
        if rng.random() < 0.5:
            q = _near(rng, p, rng.uniform(-6, -1))
    elif kind == "zeros":
        p, q = _with_zeros(rng, classes)
        alpha = float(rng.choice((*every, 0.0, np.inf)))
    elif kind == "tiny_entries":
        p, q = _tiny(rng, classes), _tiny(rng, classes)
    elif kind == "huge_ratios":
        p, q = _tiny(rng, classes), _distribution(rng, classes)
        if rng.random() < 0.5:
            p, q = q, p
    elif kind == "unnormalised":
        p = _distribution(rng, classes)
        q = (
            _near(rng, p, rng.uniform(-12, -1)) if rng.random() < 0.5 else _distribution(rng, classes)
        ) * 10.0 ** rng.uniform(-3, 3)
    else:
        raise ValueError(f"unknown kind {kind!r}: use one of {KINDS}")
    return Case(kind, p, q, alpha)


def probability_cases(
    seed: int, count: int, kinds: tuple[str, ...] = KINDS, classes: tuple[int, ...] = (2, 10)
) -> Iterator[Case]:
    """Yield `count` cases of every kind."""
    rng = np.random.default_rng([seed, 1])
    for kind in kinds:
        for _ in range(count):
            yield one_case(rng, kind, int(rng.choice(classes)))


def logit_cases(seed: int, count: int, classes: tuple[int, ...] = (2, 10)) -> Iterator[Case]:
    """Yield pairs of logits with offsets up to 1e4 and spread up to 300, near-equal ones included."""
    rng = np.random.default_rng([seed, 2])
    for _ in range(count):
        size = int(rng.choice(classes))
        spread = float(rng.choice([0.1, 1.0, 10.0, 100.0, 300.0]))
        u = rng.uniform(-spread / 2, spread / 2, size)
        z = (
            u + 10.0 ** rng.uniform(-12, -1) * rng.standard_normal(size)
            if rng.random() < 0.5
            else rng.uniform(-spread / 2, spread / 2, size)
        )
        u = u + rng.choice([0.0, 1.0, 1e2, 1e4]) * rng.choice([-1.0, 1.0])
        z = z + rng.choice([0.0, 1.0, 1e2, 1e4]) * rng.choice([-1.0, 1.0])
        yield Case("logits", u, z, float(rng.choice(ORDERS + NEAR_ONE + EXTREME)))
