"""Arguments of the wrong kind: an error that names them. Sums that are not one: a warning, unless asked for."""

from __future__ import annotations

import math
import re
import warnings

import bad_calls
import numpy as np
import pytest

import rdml_theory as rt

INF = math.inf
P, Q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
PAIR = {"p": P, "q": Q}
CALLS = (
    (rt.renyi_divergence, PAIR | {"alpha": 2.0, "domain": "probs", "axis": -1, "normalise": True, "raw": False}),
    (rt.renyi_gradient, PAIR | {"alpha": 2.0, "wrt": "q", "domain": "probs", "axis": -1, "normalise": True}),
    (rt.renyi_value_and_gradient, PAIR | {"alpha": 0.5, "wrt": "p", "domain": "logits", "axis": 0, "normalise": False}),
    (rt.renyi_hessian, PAIR | {"alpha": 1.0, "wrt": "q", "domain": "logits", "axis": -1, "normalise": False}),
    (rt.escort, PAIR | {"alpha": 0.5, "domain": "probs", "axis": -1, "normalise": True}),
    (rt.kl_divergence, PAIR | {"domain": "probs", "axis": -1, "normalise": True}),
    (rt.max_divergence, PAIR | {"domain": "logits", "axis": -1, "normalise": True}),
    (rt.bhattacharyya_distance, PAIR | {"domain": "probs", "axis": -1, "normalise": True}),
    (rt.hellinger_distance, PAIR | {"domain": "probs", "axis": -1, "normalise": True}),
    (rt.chi_square_divergence, PAIR | {"domain": "probs", "axis": -1, "normalise": True}),
    (rt.renyi_entropy, {"p": P, "alpha": 2.0, "domain": "probs", "axis": -1, "normalise": True}),
    (rt.renyi_cross_entropy, PAIR | {"alpha": 2.0, "domain": "probs", "axis": -1, "normalise": True}),
)


def check_bad_calls(seed: int, count: int) -> int:
    """Every call returns a value or raises TypeError or ValueError that names an argument; return how many raised."""
    rng, raised = np.random.default_rng([seed, 17]), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rt.UnnormalisedWarning)
        for number in range(count):
            function, right = CALLS[number % len(CALLS)]
            arguments, names = bad_calls.broken(rng, right)
            error = bad_calls.outcome(function, arguments)
            raised += error is not None
            # two faults of one call may both be in the message, or one of them, or the shapes and classes of p and q
            named = [*names, *(("p", "q") if {"alpha", "axis", "domain"} & {*names} else ())]
            assert error is None or re.search(rf"\b({'|'.join(named)})\b|class axis", str(error)), (arguments, error)
    return raised


def test_bad_calls():
    assert check_bad_calls(1, 150) > 75


@pytest.mark.slow
def test_many_bad_calls():
    for seed in range(2, 6):
        assert check_bad_calls(seed, 2_500) > 1_250


@pytest.mark.parametrize(
    "alpha", [10**400, -(10**400), 1j, "2", None, [[1.0], [1.0, 2.0]], np.ma.array([2.0], mask=[1])]
)
def test_wrong_orders(alpha):
    for function in (rt.renyi_divergence, rt.renyi_gradient, rt.renyi_hessian, rt.escort, rt.renyi_cross_entropy):
        with pytest.raises((TypeError, ValueError), match="alpha"):
            function(P, Q, alpha)


def test_masked_arrays_are_refused_wherever_they_hide():
    masked = np.ma.array([[0.5, 0.5], [0.25, 0.75]], mask=[[0, 1], [0, 0]])
    for hidden in (masked, [masked[0], masked[1]], ([masked[0]],)):
        with pytest.raises(TypeError, match=r"q is a masked array.*filled"):
            rt.renyi_divergence(P, hidden, 2.0)
    filled = masked.filled(0.0)
    assert rt.renyi_divergence(filled, Q, 2.0, normalise=True)[0] == -math.log(Q[0])


def test_tensors():
    torch = pytest.importorskip("torch")
    half = torch.tensor([0.5, 0.5], dtype=torch.bfloat16)
    with pytest.raises(TypeError, match=r"p has type Tensor.*BFloat16.*: expected a real number or.*p\.detach\(\)"):
        rt.renyi_divergence(half, Q, 2.0)
    with pytest.raises(TypeError, match=r"alpha has type Tensor.*: expected.*alpha\.detach\(\)"):
        rt.renyi_divergence(P, Q, torch.tensor(2.0, requires_grad=True))
    assert rt.renyi_divergence(half.float(), Q, 2.0) == rt.renyi_divergence(P, Q, 2.0)


PAIR_CALLS = (
    lambda p, q, **k: rt.renyi_divergence(p, q, 2.0, **k),
    lambda p, q, **k: rt.renyi_gradient(p, q, 0.5, **k),
    lambda p, q, **k: rt.renyi_value_and_gradient(p, q, [0.0, 0.3, 1.0], **k),
    lambda p, q, **k: rt.renyi_hessian(p, q, 2.0, **{"domain": "probs"} | k),
    lambda p, q, **k: rt.escort(p, q, INF, **k),
    rt.kl_divergence,
    rt.hellinger_distance,
    lambda p, q, **k: rt.renyi_cross_entropy(p, q, 2.0, **k),
)


@pytest.mark.parametrize("call", PAIR_CALLS)
def test_unnormalised_input_is_warned_of_once(call):
    logits = np.array([1.0, 2.0, 0.5])
    with pytest.warns(rt.UnnormalisedWarning, match=r"p holds prob.* to 3\.5; .*'logits'.*normalise=True") as caught:
        result = call(logits, 2 * logits)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with pytest.warns(rt.UnnormalisedWarning, match=r"q holds log-prob.* to 2; "):
        call(np.log([0.5, 0.5]), np.zeros(2), domain="log_probs")
    # asked for, nothing is said and the result is the same
    again = call(logits, 2 * logits, normalise=True)
    assert repr(again) == repr(result)
    call(logits, 2 * logits, domain="logits")


def test_which_sums_are_rounding():
    rng = np.random.default_rng([8, 17])
    for classes in (2, 10, 1_000, 30_000):
        logits = 3 * rng.standard_normal((4, classes))
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        for dtype in (np.float64, np.float32, np.float16):
            rounded = p.astype(dtype)
            rt.renyi_divergence(rounded, rounded, 2.0)
            rt.renyi_divergence(rounded.astype(np.float64), p, 2.0)
            rt.renyi_divergence(np.log(p).astype(dtype), np.log(p), 2.0, domain="log_probs")
        # bfloat16 keeps the first 16 bits of a float32
        bits = (p.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
        rt.renyi_divergence(bits + bits * np.float32(2.0**-9), p, 2.0)
    edge = rt._validation.SUM_TOLERANCE
    rt.renyi_divergence([0.5, 0.5 + 0.99 * edge], P, 2.0)
    with pytest.warns(rt.UnnormalisedWarning):
        rt.renyi_divergence([0.5, 0.5 + 1.01 * edge], P, 2.0)
    # classes on the wrong axis show in the sums
    with pytest.warns(rt.UnnormalisedWarning, match="axis"):
        rt.renyi_divergence(np.array([[0.5, 0.1], [0.5, 0.9]]), np.array([[0.5, 0.1], [0.5, 0.9]]), 2.0)


def test_sums_that_are_asked_for():
    assert rt.renyi_divergence([1.0, 3.0], [4.0, 4.0], 2.0, raw=True) == pytest.approx(math.log(0.25 + 9 / 4))
    assert rt.renyi_divergence([1, 3], [4, 4], 2.0, normalise=True) == rt.renyi_divergence([0.25, 0.75], P, 2.0)
    with pytest.raises(TypeError, match="normalise = 'yes': expected True or False"):
        rt.renyi_divergence(P, Q, 2.0, normalise="yes")
