"""The exact worst case: against PEPit, against its own instance, and its certificate against tampering."""

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from convergence import Assumptions, sharp_bound, worst_case
from convergence.performance import AllPairs, Method, SmoothInterpolant, violation
from convergence.performance.certificate import UNITS
from convergence.performance.rational import is_positive_definite

TABLE = json.loads((Path(__file__).parents[1] / "reference" / "worst_cases.json").read_text())["rows"]


def unit(bias=0.0, noise=0.0, relative_bias=0.0):
    return Assumptions(smoothness=1.0, gap=1.0, noise=noise, bias=bias, relative_bias=relative_bias)


def solve(row):
    names = ("smoothness", "gap", "noise", "bias", "relative_bias")
    assumptions = Assumptions(**{name: row[name] for name in names})
    return worst_case(
        assumptions, row["step"], row["steps"],
        criterion=row["criterion"], momentum=row["momentum"], nesterov=row["nesterov"],
    )  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=[f"case {n}" for n in range(len(TABLE))])
def test_pepit_and_the_certificate(row):
    worst = solve(row)
    assert worst.value == pytest.approx(row["value"], rel=1e-7)
    assert worst.certificate.check()
    # The instance keeps its inequalities to the solver's 1e-10, relative to its own size (below ten): what that adds to
    # its value is at most that times the multipliers.
    multipliers = sum(float(m) for some in worst.certificate.multipliers.values() for m in some)
    assert -1e-10 * 10 * multipliers <= worst.gap <= 1e-6 * worst.value


# ζ, h, exact at Λ = Δ = 1, T = 8, to four digits.
KNOWN = [
    (0.0, 0.5, 0.3333),
    (0.0, 1.5, 0.3333),
    (0.1, 0.1, 1.1229),
    (0.1, 1.0, 0.2587),
    (1.0, 0.5, 1.237),
    (1.0, 1.0, 1.125),
    (1.0, 1.5, 7.050),
]


@pytest.mark.parametrize(("zeta", "h", "exact"), KNOWN)
def test_known_values_below_the_sharp_bound(zeta, h, exact):
    assumptions = unit(bias=zeta**2)
    worst = worst_case(assumptions, h, 8)
    assert worst.value == pytest.approx(exact, rel=1e-4, abs=1e-4)
    assert worst.certificate.bound <= sharp_bound(assumptions, h, 8).total * (1 + 1e-7)


@pytest.mark.parametrize("h", [0.3, 0.5, 1.0, 1.7])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_unbiased_worst_case_is_a_quadratic(h, steps):
    """On Λx²/2 the gradient shrinks by 1-h at each step: nothing is worse."""
    each = 2 * (1 - h) ** (2 * np.arange(steps))
    assert worst_case(unit(), h, steps).value == pytest.approx(each.mean(), rel=1e-7)


def test_values_scale_with_the_units():
    lam, gap, zeta2 = 30.0, 0.2, 0.7
    scaled = worst_case(Assumptions(smoothness=lam, gap=gap, noise=0, bias=zeta2), 0.6 / lam, 5)
    plain = worst_case(unit(bias=zeta2 / (lam * gap)), 0.6, 5)
    assert scaled.value == pytest.approx(lam * gap * plain.value, rel=1e-7)
    assert float(scaled) == scaled.value


def test_the_step_may_exceed_every_bound():
    """An unstable step still has a finite worst case after finitely many steps."""
    assert 1e4 < worst_case(unit(bias=0.5), 3.0, 8).value < 1e7


def test_no_momentum_is_the_plain_method():
    plain = worst_case(unit(bias=0.2), 0.7, 4)
    for nesterov in (False, True):
        assert worst_case(unit(bias=0.2), 0.7, 4, nesterov=nesterov).value == pytest.approx(plain.value, rel=1e-8)


RUNS = [
    (unit(bias=1.0), 0.5, 8, {}),
    (unit(bias=1.0), 1.5, 8, {}),
    (unit(bias=0.01), 1.0, 6, {"criterion": "best"}),
    (unit(bias=0.2, relative_bias=0.3), 0.6, 5, {}),
    (unit(bias=0.25, noise=1.0), 0.5, 3, {}),
    (unit(bias=0.09), 0.05, 6, {"momentum": 0.9}),
    (unit(bias=0.09), 0.05, 6, {"momentum": 0.9, "nesterov": True}),
    (Assumptions(smoothness=7.0, gap=3.0, noise=0.4, bias=0.3), 0.1, 3, {"momentum": 0.5}),
]


@pytest.mark.parametrize(("assumptions", "step", "steps", "options"), RUNS)
def test_the_instance_attains_the_value(assumptions, step, steps, options):
    """A Λ-smooth function is rebuilt from the instance and the method is run on it: the value is reached."""
    worst = worst_case(assumptions, step, steps, **options)
    instance = worst.instance
    scale = assumptions.gap
    assert instance.violation() <= 1e-8 * scale
    assert instance.values[0] <= assumptions.gap * (1 + 1e-8)
    size = (instance.biases**2).sum(-1)
    first = (instance.gradients[: len(size)] ** 2).sum(-1)
    assert (size <= assumptions.relative_bias * first + assumptions.bias + 1e-7).all()
    assert ((instance.noises**2).sum(-1) <= assumptions.noise + 1e-7).all()
    replayed = instance.replay()
    # Gradients of the rebuilt function are as accurate as the root of the solver's accuracy.
    reached = replayed.mean() if worst.criterion == "average" else replayed.min()
    assert reached == pytest.approx(worst.value, rel=1e-3)
    assert instance.function().minimum >= -1e-8 * scale


def test_the_interpolant_is_smooth():
    rng = np.random.default_rng(5)
    instance = worst_case(unit(bias=0.04), 1.0, 5, criterion="best").instance
    assert instance.dimension > 1
    f, lam = instance.function(), 1.0
    points = 2 * rng.standard_normal((60, instance.dimension))
    values, gradients = map(np.array, zip(*map(f, points), strict=True))
    assert violation(points, values, gradients, smoothness=lam) <= 1e-6
    assert values.min() >= f.minimum - 1e-9
    for x, g in zip(points[:5], gradients[:5], strict=True):
        e = 1e-4 * rng.standard_normal(instance.dimension)
        assert f(x + e)[0] - f(x - e)[0] == pytest.approx(2 * g @ e, abs=1e-6)


def test_data_that_no_smooth_function_has_are_noticed():
    x, g = [[0.0], [1.0]], [[0.0], [1.5]]
    assert violation(x, [0.0, 0.75], g, smoothness=1.0) > 0.1
    f = SmoothInterpolant(x, [0.0, 0.75], g, smoothness=1.0)
    assert abs(f(np.array([1.0]))[1][0] - 1.5) > 0.1


@pytest.fixture(scope="module")
def certificate():
    return worst_case(unit(bias=0.3, noise=0.4), 0.7, 3).certificate


def changed(certificate, **multipliers):
    return replace(certificate, multipliers=certificate.multipliers | multipliers)


def scaled(numbers, factor):
    return tuple(factor * x for x in numbers)


def test_tampered_certificates_are_refused(certificate):
    assert certificate.check()
    c, y = certificate, certificate.multipliers
    less = Fraction(999, 1000)
    faster = replace(c.method, step=c.method.step * less)
    for wrong in (
        *(changed(c, **{name: scaled(y[name], less)}) for name in ("start", "bias", "weights")),
        changed(c, noise=(-y["noise"][0], *y["noise"][1:])),
        *(changed(c, **{name: (y[name][0] * less, *y[name][1:])}) for name in ("infimum", "interpolation")),
        replace(c, inequalities=AllPairs(faster)),
        replace(c, inequalities=AllPairs(replace(c.method, relative_bias=Fraction(1, 1000)))),
    ):
        assert not wrong.check()
        assert wrong.digest != c.digest
    # A smaller start and everything that flows from it in proportion: only the definiteness of S tells.
    assert not changed(c, **{n: scaled(y[n], less) for n in ("start", "infimum", "interpolation")}).check()
    best = worst_case(unit(bias=0.3), 0.7, 3, criterion="best").certificate
    weights = best.multipliers["weights"]
    assert len(weights) == 3
    assert best.check()
    assert not changed(best, weights=(Fraction(0), weights[1], 1 - weights[1])).check()


def test_incomplete_certificates_are_refused(certificate):
    """One multiplier for many biases, weight on steps that do not exist, right sides that nothing bounds."""
    c, y = certificate, certificate.multipliers
    many = 10 * c.method.steps
    for wrong in (
        changed(c, bias=(max(y["bias"]),)),
        changed(c, noise=(max(y["noise"]),)),
        changed(c, infimum=y["infimum"][:1]),
        changed(c, weights=(Fraction(1, many),) * many),
        changed(c, more=(Fraction(1),)),
        replace(c, right_sides=(*c.right_sides[:2], Fraction(-1))),
        changed(c, start=scaled(y["start"], 1.0)),
    ):
        assert not wrong.check()
    plain = worst_case(unit(), 0.7, 3).certificate
    assert plain.check()
    for position in (1, 2):
        sides = list(plain.right_sides)
        sides[position] = Fraction(1)
        assert not replace(plain, right_sides=tuple(sides)).check()


def test_the_slack_is_what_the_inequalities_say(certificate):
    """S, evaluated at random vectors, against the sum of the weighted inequalities written out."""
    rng = np.random.default_rng(2)
    method, y = certificate.method, {n: np.array(part, float) for n, part in certificate.multipliers.items()}
    points = method.points
    flat = np.concatenate([np.array(part, dtype=object) for part in certificate.multipliers.values()])
    exact = certificate.program.blocks[0].slack(flat).astype(float) / UNITS
    probability, flow = 0.5**method.depth, np.zeros((method.nodes, method.nodes))
    flow[~np.eye(method.nodes, dtype=bool)] = y["interpolation"]
    for _ in range(5):
        basis = rng.standard_normal((method.dimension, 3))
        rows = (points.gradient, points.position, points.bias, points.noise)
        g, x, b, n = (part.astype(float) @ basis for part in rows)
        f = rng.standard_normal(method.nodes)
        total = y["start"][0] * f[0]
        for i in range(method.nodes):
            total += y["infimum"][i] * (g[i] @ g[i] / 2 - f[i])
            total -= probability[i] / method.steps * g[i] @ g[i]
            for j in range(method.nodes):
                between = f[j] - f[i] + (g[i] + g[j]) @ (x[i] - x[j]) / 2
                between += ((g[i] - g[j]) ** 2).sum() / 4 - ((x[i] - x[j]) ** 2).sum() / 4
                total += flow[i, j] * between
        for v in range(method.inner):
            total += y["bias"][v] * b[v] @ b[v] + y["noise"][v] * n[v] @ n[v]
        assert np.trace(basis.T @ exact @ basis) == pytest.approx(total, rel=1e-9)


def test_the_slack_is_below_the_matrix_and_near_it(certificate):
    """What is judged in its place differs by a definite matrix, of a few units."""
    flat = np.array([y for part in certificate.multipliers.values() for y in part], dtype=object)
    (block,) = certificate.program.blocks
    weighted = (block.factors * flat[block.columns[0]])[:, None] * block.left
    exact = weighted.T.dot(block.right)
    more = (exact + exact.T) * Fraction(UNITS, 2) - block.slack(flat)
    assert is_positive_definite(more)
    assert max(more.flat) <= block.size + 1


def test_exact_definiteness_agrees_with_eigenvalues():
    rng = np.random.default_rng(3)
    outcomes = set()
    for _ in range(200):
        size = int(rng.integers(1, 6))
        matrix = rng.integers(-4, 5, (size, size))
        matrix = matrix + matrix.T + 6 * np.eye(size, dtype=int)
        least = np.linalg.eigvalsh(matrix)[0]
        if abs(least) > 1e-9:
            definite = is_positive_definite(matrix.astype(object))
            assert definite == (least > 0)
            outcomes.add(definite)
    assert outcomes == {True, False}
    # Far below what floating point resolves.
    tiny = Fraction(1, 10**40)
    for sign, expected in ((1, True), (-1, False)):
        nearly = np.array([[Fraction(1), Fraction(1)], [Fraction(1), 1 + sign * tiny]], dtype=object)
        assert is_positive_definite(nearly) is expected


def test_the_noise_tree():
    method = Method(steps=3, step=Fraction(1, 2), biased=True, noisy=True)
    assert (method.nodes, method.inner, method.dimension) == (7, 3, 13)
    assert method.depth.tolist() == [0, 1, 1, 2, 2, 2, 2]
    assert method.parent.tolist() == [0, 0, 1, 1, 2, 2]
    # Siblings lie on either side of the noiseless step: x_1 + x_2 = -2 h (g_0 + b_0).
    position = method.points.position
    both = position[1] + position[2]
    assert both[[0, 7, 10]].tolist() == [-1.0, -1.0, 0.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 0.0}, "step = 0.0: expected a finite number > 0"),
        ({"steps": 0}, "steps = 0: the exact worst case expects an integer from 1 to 64; for longer runs use the"),
        ({"steps": 2.0}, "expects an integer"),
        ({"criterion": "last"}, "expected 'average' or 'best'"),
        ({"momentum": 1.0}, r"expected a number in \[0, 1\)"),
        ({"assumptions": unit(noise=1.0), "steps": 6}, "from 1 to 5 with noise"),
        ({"assumptions": Assumptions(smoothness=1, gap=0, noise=0, bias=1)}, "needs Δ > 0"),
    ],
)
def test_bad_input(change, message):
    arguments = {"assumptions": unit(), "step": 0.5, "steps": 3} | change
    with pytest.raises(ValueError, match=message):
        worst_case(**arguments)


def test_the_missing_solver_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "clarabel", None)
    with pytest.raises(ImportError, match=r"pip install 'rdml-theory\[sdp\]'"):
        worst_case(unit(), 0.5, 2)


def test_importing_loads_no_solver():
    code = "import sys, convergence; sys.exit('clarabel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
