"""The way of somebody with a problem of their own: functions of one point, constants not known, steps of their own."""

import re
import sys

import numpy as np
import pytest

from convergence import ByRows, simulate
from convergence.probes import least_value
from verify import cli
from verify.problem_check import ProblemError, check_problem, judge_constant
from verify.problem_interface import watch


class Free:
    """Honest, but for what it does not say: Λ = 2, minimum 1, σ² = 1 and ζ² = 0.25."""

    dim = 2

    def value(self, x):
        return (x**2 / 2 + 1.5 - np.cos(x)).sum(axis=1)

    def gradient(self, x):
        return x + np.sin(x)

    def sample_gradient(self, x, rng):
        return self.gradient(x) + [0.3, 0.4] + rng.standard_normal(x.shape) / np.sqrt(2)


TRUE = {"smoothness": 2.0, "minimum": 1.0, "noise": 1.0, "bias": 0.25}


def made(kind=Free, **attributes):
    problem = kind()
    for name, value in attributes.items():
        setattr(problem, name, value)
    return problem


def command(monkeypatch, capsys, *arguments):
    """Exit code, standard output and standard error of the command, run here."""
    monkeypatch.setattr(sys, "argv", ["rdml", "verify-problem", *map(str, arguments)])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as ending:
        cli.main()
    return ending.value.code, *capsys.readouterr()


class Half:
    """A quarter of the squared gradient as squared bias, and no noise."""

    dim, smoothness, minimum, noise, bias, relative_bias = 1, 1.0, 0.0, 0.0, 0.0, 0.25

    def value(self, x):
        return x[:, 0] ** 2 / 2

    def gradient(self, x):
        return x.copy()

    def sample_gradient(self, x, rng):
        return x / 2


@pytest.mark.parametrize(("m", "judged"), [(0.25, 2), (1.0, 0), (2.0, 0)])
def test_a_bound_outside_its_domain_is_not_judged(m, judged):
    trial = check_problem(made(Half, relative_bias=m), steps=20)
    assert [p.outcome for p in trial.parts[5:]] == ["confirmed"] * judged + ["not judged"] * (3 - judged)
    assert trial.outcome == "undecided"
    assert trial.parts[-1].declared is None
    assert ("1.333 only" if m < 1 else f"m < 1 only, and m = {m:g}") in trial.parts[-1].detail


def test_a_bound_beyond_the_range_of_numbers_is_not_judged():
    trial = check_problem(made(Half, start=np.array([1e5])), steps=20, step=[1e-300])
    assert trial.parts[-1].outcome == "not judged"
    assert "beyond the range of numbers" in trial.parts[-1].detail
    assert trial.outcome == "undecided"


def test_the_command_says_not_judged_and_ends_with_3(tmp_path, monkeypatch, capsys):
    (tmp_path / "own.py").write_text("from tests_own import Half\nMine = Half\n")
    monkeypatch.setitem(sys.modules, "tests_own", sys.modules[__name__])
    reference = f"{tmp_path}/own.py:Mine"
    code, out, _ = command(monkeypatch, capsys, reference, "--steps", 20)
    assert code == 3
    assert re.search(r"bound, Λη = 1.5 +not judged +- +-\n", out)
    assert "inf" not in out
    code, out, _ = command(monkeypatch, capsys, reference, "--steps", 20, "--step", 0.3, "--step", 1.3)
    assert code == 0
    assert re.search(r"Λη = 0.3 +confirmed", out)
    assert re.search(r"Λη = 1.3 +confirmed", out)
    code, _, err = command(monkeypatch, capsys, reference, "--step", -1)
    assert (code, err) == (2, "error: step = -1: expected finite numbers > 0\n")


def advised(trial):
    """What the details say to declare."""
    found = {p.name: re.search(r"declare (?:σ² |ζ² )?at (?:least|most) ([^\s,;]+)", p.detail) for p in trial.parts}
    return {name: float(match[1]) for name, match in found.items() if match}


def test_what_is_not_declared_is_estimated_and_the_estimates_hold():
    trial = check_problem(Free())
    assert [p.outcome for p in trial.parts] == ["confirmed"] + ["not judged"] * 4
    assert trial.outcome == "undecided"
    assert trial.wrong == []
    advice = advised(trial)
    assert advice["smoothness"] == 2.0
    assert advice["minimum"] == 1.0
    # Upper confidence bounds: standard errors are a sixtieth of σ² and of ζ, four lead to the bound and four to chance.
    assert 1.0 < advice["noise"] < 1 + 8 / 60
    assert 0.25 < advice["bias"] < 0.25 * (1 + 8 / 60) ** 2
    assert check_problem(made(**advice), steps=50).outcome == "confirmed"
    # One alone, the others declared.
    part = judge_constant(made(**{**TRUE, "smoothness": None}), "smoothness")
    assert (part.outcome, part.declared) == ("not judged", None)
    assert part.detail.startswith("not declared; the largest quotient of gradient differences is ")


def test_what_is_declared_wrong_comes_with_what_to_declare():
    wrong = {"smoothness": 1.2, "minimum": 1.3, "noise": 0.5, "bias": 0.1}
    trial = check_problem(made(**wrong))
    assert trial.wrong == list(wrong)
    advice = advised(trial)
    assert advice["smoothness"] == 2.0
    assert check_problem(made(**advice), steps=50).outcome == "confirmed"


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_an_estimate_needs_no_unit(scale):
    class Scaled(Free):
        value, gradient = (lambda s, x: scale * Free.value(s, x)), (lambda s, x: scale * Free.gradient(s, x))

    assert judge_constant(Scaled(), "smoothness").found == pytest.approx(2 * scale, rel=1e-6)


def test_the_bias_is_a_square_in_the_table_and_in_the_text():
    part = judge_constant(made(**{**TRUE, "bias": 0.2}), "bias")
    assert (part.outcome, part.declared) == ("refuted", 0.2)
    assert 0.2 < part.found < 0.25
    assert f"‖b‖² is at least {part.found:.6g}" in part.detail
    assert "declared ζ² = 0.2:" in part.detail
    # Beside a relative bias, found is what that leaves.
    part = judge_constant(made(Half, relative_bias=0.16, bias=0.01), "bias")
    assert "declared ζ² + 0.16‖∇f‖² = " in part.detail
    norm = float(re.search(r"‖b‖² is at least (\S+)", part.detail)[1])
    assert part.found == pytest.approx(norm * (1 - 0.16 / 0.25), rel=1e-3)
    assert part.outcome == "refuted"


class Point(Free):
    """The same function of one point."""

    def value(self, x):
        return float(x @ x / 2 + 3 - np.cos(x).sum())

    def gradient(self, x):
        return np.array([x[0] + np.sin(x[0]), x[1] + np.sin(x[1])])

    def sample_gradient(self, x, rng):
        return self.gradient(x) + np.array([0.3, 0.4]) + rng.normal(0, 0.5**0.5, 2)


@pytest.mark.parametrize("name", ["value", "gradient", "sample_gradient"])
def test_functions_of_one_point_are_recognised_and_told_of_the_adapter(name):
    problem = made(**{name: getattr(Point(), name)}, **TRUE)
    with pytest.raises(ProblemError, match=f"{name} seems to take one point: add --single-point, or wrap the problem"):
        check_problem(problem)


def test_functions_of_one_point_row_by_row():
    rows, many = ByRows(made(Point, **TRUE)), made(**TRUE)
    x = np.random.default_rng(0).standard_normal((7, 2))
    np.testing.assert_allclose(rows.value(x), many.value(x), rtol=1e-14)
    np.testing.assert_allclose(rows.gradient(x), many.gradient(x), rtol=1e-14)
    assert judge_constant(rows, "gradient").outcome == "confirmed"
    options = {"step": 0.5, "steps": 5, "replicas": 256, "seed": 0}
    found, expected = simulate(rows, **options), simulate(many, **options)
    assert found.assumptions == expected.assumptions
    # Two samples of 256: four standard errors.
    spread = 4 * np.hypot(found.final.std(axis=0), expected.final.std(axis=0)) / 16
    assert (np.abs(found.final.mean(axis=0) - expected.final.mean(axis=0)) < spread).all()


def test_the_command_asks_row_by_row_if_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "own.py").write_text("class Mine:\n    dim = 1\n")
    asked = []
    monkeypatch.setattr("verify.problem_check.check_problem", lambda problem, **o: asked.append(problem) or 1 / 0)
    for more in ([], ["--single-point"]):
        command(monkeypatch, capsys, f"{tmp_path}/own.py:Mine", *more)
    assert [isinstance(problem, ByRows) for problem in asked] == [False, True]


def test_a_box_of_two_numbers():
    class Quartic:
        dim, smoothness, minimum, noise, bias, box = 2, 12.0, 0.0, 0.0, 0.0, (-2, 2.0)

        def value(self, x):
            return (x**4).sum(axis=1) / 4

        def gradient(self, x):
            return x**3

        def sample_gradient(self, x, rng):
            return x**3

    low, high = watch(Quartic()).box
    assert low.tolist() == [-2.0, -2.0]
    assert high.tolist() == [2.0, 2.0]
    assert check_problem(Quartic(), steps=20).outcome == "confirmed"
    assert least_value(Quartic(), np.random.default_rng(0)).value < 1e-6
    assert not simulate(Quartic(), step=0.1, steps=5, replicas=2, seed=0).left.any()
    assert simulate(Quartic(), step=10.0, steps=1, replicas=2, seed=0).left.all()
    # Without it Λ is claimed everywhere.
    part = judge_constant(made(Quartic, box=None), "smoothness")
    assert part.outcome == "refuted"
    assert "far from the start: declare box = (low, high), two numbers or two arrays" in part.detail


class Scattered(Half):
    """Noise and bias that rise away from the start, by a share of themselves at most, or without end."""

    noise, bias, relative_bias = 0.5, 0.5, 0.0

    def __init__(self, most=None):
        self.most = most

    def size(self, x):
        return 1 + (x**2 if self.most is None else self.most * (1 - np.exp(-(x**2) / 100)))

    def sample_gradient(self, x, rng):
        return x + np.sqrt(self.size(x)) * (1 + rng.choice([-1.0, 1.0], size=x.shape))


@pytest.mark.parametrize("constant", ["noise", "bias"])
def test_a_region_is_proposed_only_where_less_is_found_at_the_start(constant):
    part = judge_constant(Scattered(0.05), constant)
    assert part.outcome == "refuted"
    assert abs(float(re.search(r"at x = \[([^]]+)\]", part.detail)[1])) > 3
    assert "declare box" not in part.detail
    part = judge_constant(Scattered(), constant)
    assert part.outcome == "refuted"
    assert "far from the start: declare box" in part.detail


def test_iterates_that_run_away_come_with_a_hint():
    class Slope(Half):
        """Flat far out, where the bias pushes on."""

        bias, relative_bias = 4e10, 0.0

        def value(self, x):
            return np.logaddexp(x, -x)[:, 0] - np.log(2)

        def gradient(self, x):
            return np.tanh(x)

        def sample_gradient(self, x, rng):
            return np.tanh(x) - 2e5

    trial = check_problem(Slope(), steps=20, step=[1.0])
    assert trial.parts[-1].outcome == "confirmed"
    assert "iterates run to 4e+06: declare box" in trial.parts[-1].detail


def test_a_compiled_oracle_sees_few_shapes():
    """As JAX compiles a function for every shape: powers of two, and three points and one."""
    shapes = {"value": set(), "gradient": set(), "sample_gradient": set()}

    def counted(name):
        inner = getattr(Free(), name)

        def call(x, *rng):
            shapes[name].add(len(x))
            return inner(x, *rng)

        return call

    problem = made(**{name: counted(name) for name in shapes}, **TRUE)
    assert check_problem(problem, steps=20).outcome == "confirmed"
    for sizes in shapes.values():
        assert sizes <= {3, *(2**k for k in range(13))}


FILES = {
    "import": ("raise RuntimeError('no\\nway')", "raised RuntimeError: no way"),
    "leaves": ("import sys; sys.exit(0)", "raised SystemExit: 0"),
    "syntax": ("class Mine(:", "raised SyntaxError: invalid syntax"),
    "bare": ("class Quits(BaseException): ...\nraise Quits", "raised Quits"),
    "other": ("Yours = 1", "there is no 'Mine' in"),
    "number": ("Mine = 3", "the problem has no dim: a problem has dim, value, gradient, sample_gradient, and declares"),
    "argument": ("def Mine(x): ...", "missing 1 required positional argument: 'x'"),
    "init": ("class Mine:\n    def __init__(self): self.missing", "'Mine' object has no attribute 'missing'"),
    "mute": ("class Mute(Exception):\n    def __str__(self): 1 / 0\nraise Mute", "raised Mute: (its message raised"),
    "loud": ("raise ValueError('\\x1b[31m' + 'x' * 10**6)", "raised ValueError: [31mxxx"),
    "torch": ("class Mine:\n    dim = 2\n    def __getattr__(self, name): raise KeyError(name)", "raised KeyError"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_cannot_be_used_is_one_line_and_code_2(tmp_path, monkeypatch, capsys, kind):
    text, said = FILES[kind]
    (tmp_path / "own.py").write_text(text + "\n")
    code, out, err = command(monkeypatch, capsys, f"{tmp_path}/own.py:Mine")
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert len(err) < 800
    assert "\x1b" not in err


def test_a_file_is_imported_beside_its_own_and_in_the_place_of_no_library(tmp_path, monkeypatch, capsys):
    import json

    (tmp_path / "helper_of_mine.py").write_text("from test_own import Half\n")
    (tmp_path / "json.py").write_text("from helper_of_mine import Half as Mine\n")
    monkeypatch.setitem(sys.modules, "test_own", sys.modules[__name__])
    code, out, err = command(monkeypatch, capsys, f"{tmp_path}/json.py:Mine", "--steps", 5, "--json", "--step", 1)
    assert (code, err) == (0, "")
    assert json.loads(out)["outcome"] == "confirmed"
    assert sys.modules["json"] is json
    import json as again

    assert again is json
