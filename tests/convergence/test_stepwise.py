"""Bounds that a potential proves step by step: against the exact worst case, and their certificates."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from convergence import Assumptions, floor, problems, sharp_bound, simulate, stepwise_bound, worst_case
from convergence.performance import ConsecutivePairs, Method, prove
from convergence.performance.certificate import UNITS

TABLE = json.loads((Path(__file__).parents[1] / "reference" / "worst_cases.json").read_text())["rows"]


def unit(bias=0.0, noise=0.0, relative_bias=0.0):
    return Assumptions(smoothness=1.0, gap=1.0, noise=noise, bias=bias, relative_bias=relative_bias)


@pytest.mark.parametrize("row", TABLE, ids=[f"case {n}" for n in range(len(TABLE))])
def test_never_below_the_exact_worst_case_and_close_to_it(row):
    names = ("smoothness", "gap", "noise", "bias", "relative_bias")
    bound = stepwise_bound(
        Assumptions(**{name: row[name] for name in names}), row["step"], row["steps"],
        criterion=row["criterion"], momentum=row["momentum"], nesterov=row["nesterov"],
    )  # fmt: skip
    # PEPit's values are accurate to 1e-7, relatively.
    assert bound.total >= row["value"] * (1 - 1e-7)
    # Without noise and momentum only consecutive iterates matter.
    tight = row["noise"] == 0 and row["momentum"] == 0
    assert bound.total == pytest.approx(row["value"], rel=1e-6 if tight else 0.02)


@pytest.mark.parametrize("criterion", ["average", "best"])
def test_exact_without_noise_and_momentum(criterion):
    rng = np.random.default_rng(8)
    for _ in range(12):
        assumptions = unit(bias=10 ** rng.uniform(-3, 1), relative_bias=float(rng.choice([0.0, 0.3])))
        h, steps = rng.uniform(0.05, 1.95), int(rng.integers(1, 8))
        exact = worst_case(assumptions, h, steps, criterion=criterion).value
        assert stepwise_bound(assumptions, h, steps, criterion=criterion).total == pytest.approx(exact, rel=1e-6)


def test_terms_add_up():
    bound = stepwise_bound(unit(bias=0.1, noise=0.3), 0.4, 30)
    assert bound.transient + bound.noise + bound.bias == pytest.approx(bound.total, rel=1e-12)
    assert min(bound.transient, bound.noise, bound.bias) > 0
    clean = stepwise_bound(unit(), 0.4, 30)
    assert (clean.noise, clean.bias) == (0, 0)
    assert clean.transient == pytest.approx(bound.transient, rel=1e-12)


@pytest.mark.parametrize("h", [0.1, 0.9, 1.6])
def test_long_runs_lie_between_the_floor_and_the_sharp_bound(h):
    assumptions = unit(bias=0.05, noise=0.1)
    bound = stepwise_bound(assumptions, h, 150)
    assert float(floor(assumptions, h)) < bound.total < sharp_bound(assumptions, h, 150).total
    run = simulate(
        problems.get("quadratic", radius=2**0.5, noise=0.1, bias=0.05,
                     bias_model="against_gradient" if h <= 1 else "along_gradient"),
        step=h, steps=150, replicas=64, seed=0,
    )  # fmt: skip
    mean = run.mean_squared_gradient[-1].mean()
    assert mean <= bound.total
    assert bound.certificate.check()


def test_momentum_is_never_below_a_run():
    """Heavy-ball momentum on a quadratic, far beyond the steps that analytic bounds allow."""
    h, mu, zeta, steps = 0.5, 0.8, 0.3, 100
    bound = stepwise_bound(unit(bias=zeta**2), h, steps, momentum=mu)
    x, velocity, total = 2**0.5, 0.0, 0.0
    for _ in range(steps):
        total += x**2
        velocity = mu * velocity + x - zeta * np.sign(x)
        x -= h * velocity
    assert zeta**2 < total / steps <= bound.total


SIDES = (Fraction(1), Fraction(1, 4), Fraction(1, 2))


@pytest.fixture(scope="module")
def certificate():
    method = Method(4, Fraction(2, 5), Fraction(1, 2), biased=True, noisy=True, relative_bias=Fraction(1, 10))
    return prove(ConsecutivePairs(method), SIDES)[0]


def changed(certificate, name, place, factor):
    part = list(certificate.multipliers[name])
    part[place] *= factor
    return replace(certificate, multipliers=certificate.multipliers | {name: tuple(part)})


def test_tampered_certificates_are_refused(certificate):
    assert certificate.check()
    less = Fraction(99, 100)
    for name, place in (
        ("forward", 0), ("infimum", 1), ("bias", 1), ("noise", 2), ("weights", 0), ("start", 0), ("potential gv", 1),
        ("potential vv", 0),
    ):  # fmt: skip
        wrong = changed(certificate, name, place, less)
        assert not wrong.check(), name
        assert wrong.digest != certificate.digest
    assert not changed(certificate, "backward", 1, Fraction(-1)).check()
    # More of the infimum only helps definiteness: that the values cancel no longer must be noticed.
    assert not changed(certificate, "infimum", 2, Fraction(2)).check()
    faster = replace(certificate.method, step=certificate.method.step * Fraction(11, 10))
    assert not replace(certificate, inequalities=ConsecutivePairs(faster)).check()


def test_every_step_is_checked_and_right_sides_are_bounded():
    """A potential that is worth more at one time, paid back by nobody, would prove anything."""
    true, _ = prove(ConsecutivePairs(Method(4, Fraction(1, 2))), (Fraction(1), Fraction(0), Fraction(0)))
    assert true.check()
    for place in range(3):
        assert not changed(true, "potential gg", place, Fraction(2)).check()
        assert not changed(true, "potential gg", place, Fraction(1, 2)).check()
    shorter = {**true.multipliers, "potential gg": true.multipliers["potential gg"][:2]}
    assert not replace(true, multipliers=shorter).check()
    for sides in ((1, 1, 0), (1, 0, 1), (-1, 0, 0)):
        assert not replace(true, right_sides=tuple(map(Fraction, sides))).check()


def test_a_false_interpolation_condition_falls_below_the_exact_value():
    right = (Fraction(1), Fraction(1), Fraction(0))
    method = Method(6, Fraction(1, 2), biased=True)
    true, false = (prove(ConsecutivePairs(method, c), right)[0].bound for c in (Fraction(1, 4), Fraction(1, 3)))
    assert false < worst_case(unit(bias=1.0), 0.5, 6).value * (1 - 1e-3) < true


def test_the_slack_is_what_the_inequalities_say(certificate):
    """The sum over a random run of all weighted inequalities, written out, against the quadratic forms."""
    rng = np.random.default_rng(4)
    h, mu, m = 0.4, 0.5, 0.1
    y = {name: [float(x) for x in part] for name, part in certificate.multipliers.items()}
    flat = np.concatenate([np.array(part, dtype=object) for part in certificate.multipliers.values()])
    first, inner, last = certificate.program.blocks
    slacks = [(first, 0), (inner, 0), (inner, 1), (last, 0)]
    g = rng.standard_normal((4, 3))
    b, n = rng.standard_normal((2, 3, 3))
    v, x = np.zeros((4, 3)), np.zeros((4, 3))
    for t in range(3):
        v[t + 1] = mu * v[t] + g[t] + b[t] + n[t]
        x[t + 1] = x[t] - h * v[t + 1]
    direct, vectors = 0.0, []
    for t in range(4):
        direct += y["infimum"][t] * g[t] @ g[t] / 2 - g[t] @ g[t] / 4
        vectors.append([g[t]] + [(1 - mu) * v[t]] * (t > 0))
        if t < 3:
            dx, dg = x[t] - x[t + 1], g[t] - g[t + 1]
            bend = dg @ dg / 4 - dx @ dx / 4
            slope = (g[t] + g[t + 1]) @ dx / 2
            direct += y["forward"][t] * (bend + slope) + y["backward"][t] * (bend - slope)
            direct += y["bias"][t] * (b[t] @ b[t] - m * g[t] @ g[t]) + y["noise"][t] * n[t] @ n[t]
            direct += n[t] @ (y["noise, gradient"][t] * g[t] + y["noise, bias"][t] * b[t])
            direct += y["noise, velocity"][t] * n[t] @ ((1 - mu) * v[t])
            vectors[-1] += [b[t], n[t], g[t + 1]]
    forms = sum(
        np.trace(np.array(basis).T @ (block.slack(flat, copy) / UNITS).astype(float) @ np.array(basis))
        for (block, copy), basis in zip(slacks, vectors, strict=True)
    )
    # The potential cancels between one step and the next.
    assert forms == pytest.approx(direct, rel=1e-9)


def test_bad_input():
    with pytest.raises(ValueError, match="from 1 to 10000; for longer runs use the sharp"):
        stepwise_bound(unit(), 0.5, 10_001)
    with pytest.raises(TypeError, match=r"expected convergence\.Assumptions"):
        stepwise_bound(1.0, 0.5, 10)  # type: ignore[arg-type]
