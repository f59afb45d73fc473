"""Arguments of the wrong kind to the symbolic functions: a formula, or an error that names them."""

from __future__ import annotations

import inspect
import re

import bad_calls
import numpy as np
import pytest
import sympy as sp

from rdml_theory import symbolic
from rdml_theory.symbolic.divergence.tilt import GRADIENT_BOUND
from rdml_theory.symbolic.kernel import ProofError
from rdml_theory.symbolic.notation import C, alpha, i, p, q
from rdml_theory.symbolic.sgd.descent import SHARP


def _proofs():
    """Each public function that proves what it is given, with what it proves by default."""
    for function in map(vars(symbolic).get, symbolic.__all__):
        if inspect.isfunction(function) and inspect.signature(function).return_annotation == "Proof":
            parameters = inspect.signature(function).parameters.values()
            yield (
                function,
                {one.name: one.default for one in parameters} | ({"order": 1} if function is symbolic.limit else {}),
            )


CALLS = (
    (symbolic.RenyiDivergence, {"first": p[i], "second": q[i], "order": alpha, "limits": (i, 1, C)}),
    *_proofs(),
    (symbolic.as_function, {"expression": p[1] ** alpha, "classes": 2, "modules": "numpy"}),
    (symbolic.as_function(p[1] ** alpha + q[2], 2), {"p": [0.5, 0.5], "q": [0.5, 0.5], "alpha": 2.0}),
    (symbolic.as_function(p[1] ** alpha, 2, modules="mpmath"), {"p": [0.5, 0.5], "alpha": 2.0}),
    (symbolic.to_latex, {"formula": alpha}),
    (symbolic.to_text, {"formula": alpha}),
)
MORE = (sp.I, sp.nan, sp.zoo, 2 + sp.I * alpha, sp.true, sp.Eq(alpha, 1), sp.Matrix([1, 2]), sp.Symbol, "alpha", "1j")


def check_bad_calls(seed: int, count: int) -> int:
    """Every call gives a formula or raises TypeError or ValueError that names an argument; return how many raised."""
    rng, raised = np.random.default_rng([seed, 17]), 0
    for number in range(count):
        function, right = CALLS[number % len(CALLS)]
        arguments, names = bad_calls.broken(rng, right, MORE)
        with np.errstate(all="ignore"):
            error = bad_calls.outcome(function, arguments)
        raised += error is not None
        named = [*names, "order", "classes"] if "limits" in names or "order" in names else names
        # A number is a formula; that it bounds nothing is for the kernel to say.
        assert (
            error is None
            or isinstance(error, ProofError)
            or re.search(rf"\b({'|'.join(named)})\b|broadcast", str(error))
        ), (
            function,
            arguments,
            error,
        )
    return raised


def test_bad_calls():
    assert check_bad_calls(1, 150) > 75


@pytest.mark.slow
def test_many_bad_calls():
    assert check_bad_calls(2, 2_500) > 1_250


@pytest.mark.parametrize("wrong", [1j, sp.I, "q[k]", sp.nan, np.ma.array([1.0], mask=[1]), None, True])
def test_text_and_complex_numbers_are_no_orders(wrong):
    with pytest.raises((TypeError, ValueError), match=r"order (=|has type) .*: expected"):
        symbolic.RenyiDivergence(p[i], q[i], wrong, (i, 1, C))


def test_numbers_of_every_kind_are_formulas():
    for two in (2, 2.0, np.int64(2), np.float32(2), sp.Integer(2)):
        assert symbolic.RenyiDivergence(p[i], q[i], two, (i, 1, C)).order - 2 == 0
        assert symbolic.as_function(p[1] ** alpha, 1)(p=[3.0], alpha=two) == 9.0
        assert symbolic.limit(two - 1).statement == symbolic.limit(1).statement
    assert symbolic.limit(np.float64(np.inf)).statement == symbolic.limit(sp.oo).statement


def test_a_formula_left_out_is_that_of_the_theorem_which_is_proved_once():
    proof = symbolic.sharp_bound()
    assert symbolic.sharp_bound(SHARP) is proof
    with pytest.raises(ProofError):
        symbolic.sharp_bound(SHARP / 2)


def test_a_proof_takes_a_float_for_the_fraction_that_it_is_and_says_what_a_false_assertion_raises():
    assert symbolic.bounded_gradient(1.0 * GRADIENT_BOUND) is symbolic.bounded_gradient()
    with pytest.raises(ProofError):
        symbolic.bounded_gradient(0.5 * GRADIENT_BOUND)
    for proof, told in (
        (symbolic.sharp_bound, "right_side : Expr, optional"),
        (symbolic.classical_bound, "right_side, greatest_step : Expr, optional"),
        (symbolic.order_theorem, "right_sides : Order, optional"),
        (symbolic.limits, "right_sides : tuple of 3 Expr, optional"),
    ):
        before, raises, after = proof.__doc__.partition("Raises\n------\nProofError\n")
        assert raises
        assert f"Parameters\n----------\n{told}\n" in before
        assert "Examples\n" in after
