"""What a claim and its negative controls share: nothing that depends on the subject."""

import operator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

from convergence import problems
from verify.context import Context


def context():
    return Context("C1", "shared", "quick", 0, 1e-3)


calls = [None] * 10


def counted(*arguments, **named):
    calls.append((arguments, named))
    return len(calls)


def other(*arguments, **named):
    return counted()


@dataclass(frozen=True)
class Part:
    values: np.ndarray
    name: str = ""


class Plain:
    def __init__(self, value):
        self.value = value

    def doubled(self):
        return counted(2 * self.value)


EQUAL = [
    (lambda: np.arange(4.0)), (lambda: np.random.default_rng(3)), (lambda: [1, (2.0, "x")]),
    (lambda: {"a": np.ones(2)}),
    (lambda: Part(np.ones(3), "a")), (lambda: Plain(np.ones(2))), (lambda: slice(0, 3)), (lambda: None),
    (lambda: partial(operator.add, 1)), (lambda: np.array(["a", None], dtype=object)),
    (lambda: problems.get("quadratic", noise=0.1)), (lambda: problems.get("mutual_learning")), context,
]  # fmt: skip


@pytest.mark.parametrize("made", EQUAL)
def test_equal_arguments_are_computed_once(made):
    c = context()
    first = c.shared(counted, made(), at=made())
    assert c.shared(counted, made(), at=made()) == first
    assert c.shared(counted, made()) != first


def advanced():
    rng = np.random.default_rng(3)
    rng.random()
    return rng


DIFFERENT = [
    (np.arange(4.0), np.arange(4.0).reshape(2, 2)), (np.zeros(2), np.zeros(2, dtype=np.float32)), (0.5, 0.25),
    (np.arange(4.0), np.nextafter(np.arange(4.0), 9)), (np.random.default_rng(3), advanced()), ([1], (1,)),
    (Part(np.ones(3)), Part(np.zeros(3))), (Part(np.ones(3)), Part(np.ones(3), "a")), (Plain(1), Plain(2)),
    ({"a": 1}, {"b": 1}), (slice(0, 3), slice(0, 4)), (np.sum, np.mean), ("1", 1), (counted, other), (Plain, Part),
    (Plain(1).doubled, Plain(2).doubled), (1, True), (1, 1.0),
    (partial(operator.add, 1), partial(operator.mul, 1)), (partial(operator.add, 1), partial(operator.add, 2)),
    (np.array([1, None], dtype=object), np.array([2, None], dtype=object)),
    (problems.get("quadratic"), problems.get("quadratic", smoothness=2.0)),
    (problems.get("mutual_learning"), problems.get("mutual_learning", beta=0.9)),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_arguments_are_computed_anew(one, other):
    """As a subject's own numbers are, whatever they were found for before."""
    c = context()
    assert c.shared(counted, one) != c.shared(counted, other)
    assert c.shared(counted, one, 0) != c.shared(counted, other, 0)


def test_other_functions_of_the_same_arguments_are_others():
    c = context()
    assert len({c.shared(function, 1.0) for function in (counted, other, float, Plain)}) == 4


def test_a_method_belongs_to_its_object():
    c = context()
    one = c.shared(Plain(1).doubled)
    assert (c.shared(Plain(1).doubled), c.shared(Plain(2).doubled)) == (one, one + 1)


@pytest.mark.parametrize("number", [1, 2])
def test_what_a_closure_holds_would_be_no_part_of_the_key(number):
    def closure():
        return number

    for arguments in ((closure,), (lambda: number,), (counted, closure), (counted, [closure])):
        with pytest.raises(TypeError, match="expected a function defined in a module"):
            context().shared(*arguments)
