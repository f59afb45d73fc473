"""Calls with arguments of wrong kinds and values, for tests that nothing but a value or a named error comes back."""

from __future__ import annotations

import datetime
import decimal
import fractions
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np


class Hostile:
    """Fails in its own way when it is read as a number, an array or a string."""

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise AttributeError("no array")

    def __float__(self) -> float:
        raise ZeroDivisionError("no float")

    def __index__(self) -> int:
        raise KeyError("no index")


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)

# fmt: off
WRONG: tuple[Any, ...] = (
    None, True, np.bool_(False), object(), Hostile(), Hostile, len, ..., NotImplemented, "1", "", "probs", b"1",
    1j, complex("nan"), 10**400, -(10**400), 2**63, -(2**70), [10**400, 1.0], float("nan"), float("-inf"), -1.0,
    -1e-320, [], [[]], [[1.0], [1.0, 2.0]], ENDLESS, {}, {"a": 1}, {1.0, 2.0}, (1.0, None), [1.0, "x"], [1.0, 1j],
    decimal.Decimal("sNaN"), decimal.Decimal(2), fractions.Fraction(1, 3), range(0), slice(2), memoryview(b"ab"),
    datetime.timedelta(1), np.datetime64("2026-01-01"), np.longdouble(2), np.ones(2, np.longdouble),
    np.ones(2, np.complex64), np.ones(2, object), np.array(["a", "b"]), np.zeros(2, [("a", "f8")]),
    np.ma.array([0.5, 0.5], mask=[0, 1]), [np.ma.array([0.5, 0.5], mask=[0, 1])], np.ma.masked, np.zeros((2, 0)),
    np.ones((1,) * 40), np.full(2, np.nan), np.array(2.0), np.array([2.0]), np.ones((7, 3, 2)),
    np.array([-1.0, 2.0]), np.zeros(2), np.full(2, np.inf), np.full(2, 1e308), np.array([0.0, -0.0]),
)
# fmt: on


def broken(
    rng: np.random.Generator, right: Mapping[str, Any], extra: Iterable[Any] = ()
) -> tuple[dict[str, Any], list[str]]:
    """Return the arguments with one or two replaced by wrong ones, and the names of those."""
    values = [*WRONG, *extra]
    names = [str(x) for x in rng.choice(list(right), size=min(len(right), 1 + int(rng.random() < 0.2)), replace=False)]
    return {**right, **{name: values[int(rng.integers(len(values)))] for name in names}}, names


def outcome(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Exception | None:
    """Return the error of a call, None for a value; an error of another kind than those promised passes through."""
    try:
        function(**arguments)
    except (TypeError, ValueError) as error:
        return error
    return None
