"""Shapes, types, domains, wrong arguments, memory and import cost."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from rdml_theory import escort, renyi_divergence, renyi_gradient, renyi_hessian, renyi_value_and_gradient

# rows of any sum are the point of many of these cases
pytestmark = pytest.mark.filterwarnings("ignore::rdml_theory.UnnormalisedWarning")

P, Q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
NAN, INF = float("nan"), float("inf")


def test_shapes_and_broadcasting():
    rng = np.random.default_rng(1)
    p, q = rng.dirichlet(np.ones(5), (3, 1)), rng.dirichlet(np.ones(5), (4,))
    alpha = np.array([0.5, 1.0])[:, None, None]
    assert renyi_divergence(p, q, 2.0).shape == (3, 4)
    assert renyi_divergence(p, q, alpha).shape == (2, 3, 4)
    assert renyi_gradient(p, q, alpha).shape == (2, 3, 4, 5)
    assert renyi_gradient(p, q, alpha, wrt="alpha").shape == (2, 3, 4)
    assert escort(p, q, alpha).shape == (2, 3, 4, 5)
    assert renyi_hessian(p, q, alpha).shape == (2, 3, 4, 5, 5)
    table = renyi_divergence(p, q, alpha)
    for k, alpha in enumerate((0.5, 1.0)):
        for i in range(3):
            for j in range(4):
                assert table[k, i, j] == pytest.approx(renyi_divergence(p[i, 0], q[j], alpha), rel=2**-48)
    assert isinstance(renyi_divergence(P, Q, 2.0), np.float64)
    assert renyi_divergence(P, Q, [2.0]).shape == (1,)


def test_axis():
    rng = np.random.default_rng(2)
    p, q = rng.random((4, 6, 3)), rng.random((4, 6, 3))
    for axis in (0, 1, 2, -1, -2, -3):
        moved = [np.moveaxis(x, axis, -1) for x in (p, q)]
        assert np.array_equal(renyi_divergence(p, q, 1.3, axis=axis), renyi_divergence(*moved, 1.3))
        gradient = renyi_gradient(p, q, 1.3, axis=axis)
        assert gradient.shape == p.shape
        assert np.array_equal(np.moveaxis(gradient, axis, -1), renyi_gradient(*moved, 1.3))
        assert renyi_hessian(p, q, 1.3, axis=axis).shape == (*moved[0].shape, moved[0].shape[-1])
    # a single teacher against a batch: a positive axis counts in the longer shape
    assert np.array_equal(
        renyi_divergence(P, np.stack([Q, P]), 2.0, axis=1), renyi_divergence(P, np.stack([Q, P]), 2.0)
    )


def test_empty_batches():
    empty = np.zeros((0, 3))
    assert renyi_divergence(empty, empty, 1.0).shape == (0,)
    assert renyi_divergence(np.zeros((2, 0, 3)), np.ones(3), 1.0, domain="logits").shape == (2, 0)
    assert renyi_gradient(empty, empty, 2.0).shape == (0, 3)
    assert renyi_gradient(empty, empty, 2.0, wrt="alpha").shape == (0,)
    assert renyi_hessian(empty, empty, 2.0).shape == (0, 3, 3)
    assert escort(empty, empty, 2.0).shape == (0, 3)
    assert renyi_divergence(P, Q, np.zeros((0,))).shape == (0,)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (np.float64, np.float64, np.float64),
        (np.float32, np.float32, np.float32),
        (np.float16, np.float16, np.float16),
        (np.float32, np.float64, np.float64),
        (np.float16, np.float32, np.float32),
        (np.int64, np.int8, np.float64),
        (np.uint8, np.float32, np.float64),
        (np.bool_, np.bool_, np.float64),
        (">f8", ">f4", np.float64),
    ],
)
def test_types(first, second, expected):
    p, q = np.array([1, 1]).astype(first), np.array([1, 1]).astype(second)
    for result in (
        renyi_divergence(p, q, np.float64(2.0)),
        renyi_gradient(p, q, 2.0),
        renyi_gradient(p, q, 2.0, wrt="alpha"),
        renyi_hessian(p, q, 2.0, domain="probs"),
        escort(p, q, 2.0),
    ):
        assert result.dtype == expected
        assert result.dtype.isnative


def test_order_keeps_its_precision_in_single_precision():
    """Alpha - 1 is formed in double, although the distributions are single."""
    p, q = P.astype(np.float32), Q.astype(np.float32)
    assert renyi_gradient(p, q, 1.0 + 1e-12, wrt="alpha") == renyi_gradient(p, q, 1.0, wrt="alpha")
    assert renyi_divergence(p, q, 1.0 + 1e-12) == renyi_divergence(p, q, 1.0)


def test_domains_agree():
    rng = np.random.default_rng(3)
    p, q = rng.dirichlet(np.ones(4), 30), rng.dirichlet(np.ones(4), 30)
    for alpha in (0.0, 0.3, 1.0, 2.0, INF):
        value = renyi_divergence(p, q, alpha)
        for domain in ("log_probs", "logits"):
            assert np.allclose(renyi_divergence(np.log(p), np.log(q), alpha, domain=domain), value, rtol=1e-12)
            for wrt, x in (("q", q), ("p", p)):
                in_logits = renyi_gradient(np.log(p), np.log(q), alpha, wrt=wrt, domain=domain)
                assert np.allclose(in_logits, x * renyi_gradient(p, q, alpha, wrt=wrt), rtol=1e-10, atol=1e-13)


def test_raw():
    rng = np.random.default_rng(5)
    p, q = 3 * rng.random((6, 5)), 7 * rng.random((6, 5))
    for alpha in (0.25, 0.5, 2.0, 3.5):
        plain = np.log(np.sum(p**alpha * q ** (1 - alpha), axis=-1)) / (alpha - 1)
        assert np.allclose(renyi_divergence(p, q, alpha, raw=True), plain, rtol=1e-13)
        logs = renyi_divergence(np.log(p), np.log(q), alpha, domain="log_probs", raw=True)
        assert np.allclose(logs, plain, rtol=1e-13)
    assert np.allclose(renyi_divergence(p, q, INF, raw=True), np.log(np.max(p / q, axis=-1)), rtol=1e-13)
    assert np.allclose(renyi_divergence(p, q, 0.0, raw=True), -np.log(q.sum(axis=-1)), rtol=1e-13)
    alphas = np.array([0.25, 0.5, 2.0, 3.5, 0.0, INF])
    single = [renyi_divergence(p[i], q[i], a, raw=True) for i, a in enumerate(alphas)]
    assert np.allclose(renyi_divergence(p, q, alphas, raw=True), single, rtol=1e-13)


VALUE_ERRORS = [
    (dict(p=[0.5, -0.5]), r"p has a negative entry, -0\.5.*>= 0"),
    (dict(q=[NAN, 0.5]), "q has a NaN entry, nan"),
    (dict(q=[INF, 0.5]), r"q has a \+inf entry, inf"),
    (dict(p=[0.0, 0.0]), "entries are all zero.*at least one"),
    (dict(p=[1.0, 2.0, 3.0]), "p has 3 classes and q has 2.*same classes"),
    (dict(p=[1.0]), "p has 1 classes and q has 2"),
    (dict(alpha=-0.5), r"alpha = -0\.5: expected orders in \[0, inf\]"),
    (dict(alpha=[1.0, NAN]), r"alpha = nan: expected orders in \[0, inf\]"),
    (dict(domain="prob"), "domain = 'prob': expected one of 'probs', 'log_probs', 'logits'"),
    (dict(axis=1), "axis = 1 with .*: expected -1 to 0"),
    (dict(axis=-2), "axis = -2 with .*: expected -1 to 0"),
    (dict(p=[], q=[]), "class axis is empty"),
    (dict(p=0.5, q=0.5), "expected a class axis"),
    (dict(p=np.ones((2, 2)), q=np.ones((3, 2))), "expected shapes that broadcast"),
    (dict(p=np.ones((2, 2)), alpha=np.ones(3)), "expected shapes that broadcast"),
    (dict(p=np.ones((2, 2)), axis=0), "does not exist in both"),
    (dict(p=[0.0, INF], domain="logits"), r"p has a \+inf entry.*below \+inf"),
    (dict(p=[0.0, NAN], domain="log_probs"), "p has a NaN entry"),
    (dict(q=[-INF, -INF], domain="logits"), "all -inf.*at least one"),
]


@pytest.mark.parametrize(("wrong", "message"), VALUE_ERRORS)
def test_wrong_values(wrong, message):
    arguments = dict(p=P, q=Q, alpha=2.0) | wrong
    for function in (renyi_divergence, renyi_gradient, renyi_hessian, escort, renyi_value_and_gradient):
        full = arguments if "domain" in wrong else arguments | {"domain": "probs"}
        with pytest.raises(ValueError, match=message):
            function(**full)


TYPE_ERRORS = [
    dict(p=["a", "b"]),
    dict(q=[1j, 1.0]),
    dict(p=[[1, 2], [3]]),
    dict(p=np.array([0.5, 0.5], dtype=object)),
    dict(p=np.ones(2, dtype=np.longdouble)),
    dict(p=np.ma.masked_array([1.0, 2.0], [True, False])),
    dict(alpha="1"),
    dict(alpha=None),
    dict(alpha=True),
    dict(alpha=1j),
    dict(axis=0.5),
    dict(axis=None),
    dict(domain=3),
]


@pytest.mark.parametrize("wrong", TYPE_ERRORS)
def test_wrong_types(wrong):
    with pytest.raises(TypeError):
        renyi_divergence(**(dict(p=P, q=Q, alpha=2.0) | wrong))


def test_wrong_options():
    with pytest.raises(ValueError, match=r"wrt = 'x': expected one of 'p', 'q', 'alpha'"):
        renyi_gradient(P, Q, 2.0, wrt="x")
    with pytest.raises(ValueError, match=r"wrt = 'alpha': expected one of 'p', 'q', 'mixed'"):
        renyi_hessian(P, Q, 2.0, wrt="alpha")
    with pytest.raises(ValueError, match="no meaning at alpha = 1"):
        renyi_divergence(P, Q, [2.0, 1.0], raw=True)
    with pytest.raises(ValueError, match="no meaning for domain='logits'"):
        renyi_divergence(P, Q, 2.0, raw=True, domain="logits")
    with pytest.raises(TypeError):
        renyi_divergence(P, Q, 2.0, "probs")  # type: ignore[misc]


def test_arguments_are_left_alone():
    rng = np.random.default_rng(6)
    for shape in ((50, 4), (3, 200)):
        p, q = rng.random(shape), rng.random(shape)
        p[0, 0] = q[1, 1] = 0.0
        kept = p.copy(), q.copy()
        for alpha in (0.0, 0.3, 0.5, 1.0, 1.5, 2.0, 2.5, 1e4, INF):
            renyi_value_and_gradient(p, q, alpha)
            renyi_value_and_gradient(p, q, alpha, wrt="p", domain="logits")
            escort(p, q, alpha)
            renyi_hessian(p[:1, :4], q[:1, :4], alpha)
        assert np.array_equal(p, kept[0])
        assert np.array_equal(q, kept[1])


@pytest.mark.parametrize("shape", [(100_000, 10), (2_000, 1_000)])
def test_memory(shape):
    p, q = np.random.default_rng(7).random((2, *shape))
    for call in (renyi_divergence, renyi_value_and_gradient):
        for alpha in (0.3, 1.0, 2.0):
            tracemalloc.start()
            call(p, q, alpha)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak <= 3 * p.nbytes


def test_import_is_light():
    code = (
        "import sys, time; import numpy; t = time.process_time(); import rdml_theory; print(time.process_time() - t); "
        "print([m for m in ('torch', 'sympy', 'matplotlib', 'scipy', 'mpmath') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, modules = result.stdout.split("\n")[:2]
    assert modules == "[]"
    assert float(seconds) < 0.25
