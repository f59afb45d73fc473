"""Objects that are no problems, at random: a verdict, or one line that says what is wrong with them."""

import fractions
import os
import random

import numpy as np
import pytest

from verify import problem_check
from verify.problem_check import ProblemError, Trial, check_problem


class Odd:
    """Raises whatever is done with it."""

    def __getattr__(self, name):
        raise RuntimeError(f"no {name}\nhere")

    def __repr__(self):
        raise ValueError("no repr")

    def __float__(self):
        raise OverflowError("no float")

    def __len__(self):
        return 2

    def __iter__(self):
        raise MemoryError


class Quits(BaseException):
    pass


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError


class Lined(str):
    def __repr__(self):
        return "many\nlines\x1b[2J" * 100


NUMBERS = [
    0,
    -1,
    0.0,
    -0.0,
    1,
    2.5,
    1e-300,
    1e-59,
    5e-324,
    1e59,
    1e61,
    1e308,
    -1e308,
    np.nan,
    np.inf,
    -np.inf,
    10**400,
    -(10**400),
    1j,
    complex("nan"),
    True,
    "2",
    b"2",
    None,
    [],
    {},
    np.float32(2),
    np.int64(2),
    np.array(2.0),
    np.array([2.0]),
    np.ma.masked,
    fractions.Fraction(10**400),
    fractions.Fraction(1, 3),
    np.longdouble("1e400"),
    np.datetime64("2020"),
    Odd(),
    Lined("x"),
    object,
    lambda: 1,
    NotImplemented,
    range(3),
    2**63,
    np.uint64(2**64 - 1),
    np.float16(2),
]

RAISED = [
    Exception("a\nb"),
    SystemExit(0),
    SystemExit(70),
    GeneratorExit(),
    Quits("x"),
    MuteError(),
    RecursionError(),
    MemoryError(),
    StopIteration(),
    BrokenPipeError(),
    ImportError("pip install 'rdml-theory["),
    UnicodeDecodeError("utf8", b"x", 0, 1, "\ud800"),
    AssertionError(),
    KeyError("x" * 10**5),
    ExceptionGroup("g", [ValueError()]),
    FloatingPointError(),
]


def raising(rng):
    error = rng.choice(RAISED)

    def call(*arguments):
        raise error

    return call


def answering(rng, true):
    """The true answer, spoilt."""
    answer = rng.choice(NUMBERS)
    spoil = rng.choice(
        [
            lambda a: a.astype(rng.choice(["f2", "f4", "c16", "i8", "O", "U8", "?", "M8[s]"])),
            lambda a: a * rng.choice([np.nan, np.inf, 1e308, 1e200, 1e-320, 0.0, -1.0]),
            lambda a: np.where(np.arange(a.size).reshape(a.shape) == a.size - 1, np.nan, a),
            lambda a: a.tolist(),
            lambda a: a.T,
            lambda a: a[:-1],
            lambda a: a[None],
            lambda a: a.ravel(),
            lambda a: a.sum(),
            lambda a: np.ma.masked_array(a, a > 0),
            lambda a: np.asmatrix(a),
            lambda a: a.astype(">f8"),
            lambda a: a.astype("g"),
            lambda a: np.broadcast_to(a[:1], a.shape),
            lambda a: iter(a),
            lambda a: answer,
            lambda a: a + rng.random(),
            lambda a: memoryview(np.ascontiguousarray(a)),
            lambda a: np.empty((0, 0)),
            lambda a: a.view(np.recarray),
        ]
    )

    def call(*arguments):
        if rng.random() < 0.1:
            np.seterr(all="raise")
        return spoil(np.array(true(*arguments)))

    return call


def hostile(seed):
    """An honest problem with one to three things wrong with it."""
    rng = random.Random(seed)
    dim = rng.choice([1, 1, 2, 3, 5, 64])

    class Problem:
        smoothness, minimum, noise, bias = 1.0, 0.0, 0.25, 0.0

        def value(self, x):
            return (x**2).sum(axis=1) / 2

        def gradient(self, x):
            return x.copy()

        def sample_gradient(self, x, rng):
            return x + rng.standard_normal(x.shape) / np.sqrt(4 * dim)

    problem = Problem()
    problem.dim = dim
    functions = ["value", "gradient", "sample_gradient"]
    honest = {name: getattr(problem, name) for name in functions}
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(6)
        numbers = ["smoothness", "minimum", "noise", "bias", "relative_bias", "start", "box", "dim"]
        if kind == 0:
            setattr(problem, rng.choice(numbers + functions), rng.choice(NUMBERS))
        elif kind == 1:
            name = rng.choice(numbers + functions + ["__repr__"])
            setattr(Problem, name, property(raising(rng), lambda self, value: None))
            vars(problem).pop(name, None)
        elif kind == 2:
            setattr(problem, rng.choice(functions), raising(rng))
        elif kind == 3:
            problem.box = rng.choice([tuple, list, set, dict.fromkeys])(
                [rng.choice([0.5, -1e60, -2, 0, dim * (1,)]), 3]
            ) if rng.random() < 0.5 else (rng.choice(NUMBERS), rng.choice(NUMBERS))  # fmt: skip
        elif kind == 4:
            problem.start = rng.choice([np.full(dim, rng.choice([1e300, 1e59, np.nan, 0.0, 1e-300])), [1] * dim, "11"])
        else:
            name = rng.choice(functions)
            setattr(problem, name, answering(rng, honest[name]))
    return problem


def judged(seed):
    before = np.geterr()
    try:
        trial = check_problem(hostile(seed), steps=5)
    except ProblemError as error:
        said = str(error)
        assert "\n" not in said, seed
        assert said.isprintable(), seed
        assert len(said) < 1000, seed
        return "refused"
    finally:
        assert np.geterr() == before, seed
    assert isinstance(trial, Trial), seed
    for part in trial.parts:
        assert part.detail.isprintable(), seed
        # Nothing is confirmed by what is no number.
        assert part.outcome != "confirmed" or np.isfinite([part.declared, part.found]).all(), (seed, part)
    return trial.outcome


def test_sixty_hostile_objects(monkeypatch):
    """The interface and the searches that are fast; seeds anew each day would not be the same for two people."""
    fast = {name: problem_check._JUDGES[name] for name in ("gradient", "minimum")}
    monkeypatch.setattr(problem_check, "_JUDGES", fast)
    monkeypatch.setattr(problem_check, "STEPS", ())
    outcomes = [judged(seed) for seed in range(60)]
    # Most are refused, not all: some are only odd.
    assert 30 < outcomes.count("refused") < 60


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_three_hundred_hostile_objects(block):
    """Fresh seeds with RDML_FRESH=1; a failure names its seed."""
    first = random.SystemRandom().randrange(10**9) if os.environ.get("RDML_FRESH") else 1000
    for seed in range(first + 30 * block, first + 30 * block + 30):
        judged(seed)
