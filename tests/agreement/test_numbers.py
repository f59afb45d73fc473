"""One table of what counts as a number, for the divergence, the torch losses and the bounds alike."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
import sympy

import rdml_theory as rt
from convergence import Assumptions, sharp_bound

P, Q = np.array([0.5, 0.5]), np.array([0.25, 0.75])


def core(value) -> float:
    return float(rt.renyi_divergence(P, Q, value))


def loss(value) -> float:
    torch = pytest.importorskip("torch")
    from rdml_theory.losses import renyi_divergence

    return renyi_divergence(torch.tensor(P).log(), torch.tensor(Q).log(), value).item()


def temperature(value) -> float:
    torch = pytest.importorskip("torch")
    from rdml_theory.losses import mutual_loss

    return mutual_loss(torch.tensor(np.stack([P, Q])).log()[:, None], 0.5, temperature=value)[0].item()


def bound(value) -> float:
    return float(sharp_bound(Assumptions(smoothness=1.0, gap=1.0, noise=value, bias=0.0), 0.5, 10))


USES = {"order": core, "order of a loss": loss, "temperature": temperature, "noise": bound}
wide = np.longdouble("1e4000")
WIDE = [wide, np.array(wide), 10**400, Fraction(10**400), np.array([wide])] if np.isfinite(wide) else [10**400]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "two",
    [
        2, np.int64(2), np.uint8(2), np.float16(2), np.float32(2), np.float64(2), np.longdouble(2), Fraction(2),
        sympy.Integer(2), sympy.Float(2), mp.mpf(2), np.array(2), np.array(2.0), np.array(2.0, np.longdouble),
        np.array(Fraction(2)),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}",
)  # fmt: skip
def test_a_real_number_of_every_kind_is_taken(use, two):
    assert USES[use](two) == USES[use](2.0)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "value",
    [
        True, np.True_, np.array(True), "2", np.str_("2"), None, 2j, np.complex128(2), Decimal(2), [2.0, None],
        np.timedelta64(2), np.array(np.timedelta64(2)), np.datetime64(2, "s"), math.nan, np.longdouble("nan"), -1,
        np.array(None), np.ma.masked, object(), sympy.Symbol("x"), sympy.nan, sympy.I, *WIDE,
    ],
    ids=lambda value: f"{type(value).__name__}-{value!s:.20}",
)  # fmt: skip
def test_nothing_else_is(use, value):
    """Finite numbers beyond float64 are not taken for infinity either."""
    with pytest.raises((TypeError, ValueError), match=r"^(alpha|temperature|noise)\b"):
        USES[use](value)


def test_infinity_is_an_order_however_it_is_written():
    for infinite in (math.inf, np.float32("inf"), np.longdouble("inf"), np.array(math.inf)):
        assert core(infinite) == core(math.inf)
        assert loss(infinite) == loss(math.inf)
