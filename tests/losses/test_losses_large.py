"""Many classes: every path against float64, the memory of the blocks, and the Triton kernels in the interpreter."""

import math
import os
import subprocess
import sys
import weakref
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import triton_in_torch
from torch.utils._python_dispatch import TorchDispatchMode

from rdml_theory.losses import _cohort, _compiled, mutual_loss

# one rounding to float32, and half of another for values from products
VALUE = 2.0**-23
KERNELS = "test_losses_kernels.py"


def logits(students, rows, classes, near=None, scale=2.0, dtype=torch.float32):
    random = torch.Generator().manual_seed(classes + students)
    x = torch.randn(students, rows, classes, generator=random) * scale
    if near is not None:
        x = x[:1] + near * torch.randn(students, rows, classes, generator=random)
    return x.to(dtype)


def in_float64(x, alpha, temperature=1.0):
    """Values and gradients of all rows by the exact formulas, in float64."""
    leaf = x.double().requires_grad_()
    value = mutual_loss(leaf, alpha, reduction="none", temperature=temperature)
    value.sum().backward()
    return value.detach(), leaf.grad


@pytest.mark.parametrize(
    ("classes", "dtype", "near"),
    [
        (32768, torch.float32, None),
        (32768, torch.bfloat16, 1e-2),
        (131072, torch.bfloat16, None),
        pytest.param(131072, torch.float32, 1e-2, marks=pytest.mark.slow),
    ],
)
def test_vocabularies_on_the_cpu(classes, dtype, near):
    x = logits(3, 1, classes, near, dtype=dtype)
    one = torch.ones((), dtype=torch.float64)
    for alpha in (0.5, 1.0, 2.0):
        value, gradient = in_float64(x, alpha)
        leaf = x.clone().requires_grad_()
        rows = mutual_loss(leaf, alpha, reduction="none")
        rows.sum().backward()
        unit = torch.finfo(dtype).eps
        torch.testing.assert_close(rows.double(), value, rtol=max(unit / 2, VALUE), atol=0)
        torch.testing.assert_close(leaf.grad.double(), gradient, rtol=unit, atol=1e-12)
        # what torch.compile fuses
        fused, *grads = _compiled._fast(list(x), alpha, one, one, 3, (True,) * 3, torch.float64)
        torch.testing.assert_close(fused, value, rtol=1e-9, atol=0)
        torch.testing.assert_close(torch.stack(grads), gradient, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("alpha", [0.1, 20.0, 100.0])
def test_powers_of_many_probabilities_stay_in_range(alpha):
    x = logits(2, 1, 131072, scale=1.0)
    value, gradient = in_float64(x, alpha)
    leaf = x.clone().requires_grad_()
    rows = mutual_loss(leaf, alpha, reduction="none")
    rows.sum().backward()
    torch.testing.assert_close(rows.double(), value, rtol=VALUE, atol=0)
    torch.testing.assert_close(leaf.grad.double(), gradient, rtol=1e-6, atol=1e-12)


class _Peak(TorchDispatchMode):
    """Bytes of storages alive at once, but for those that are known before."""

    def __init__(self, *known):
        super().__init__()
        self.now = self.most = 0
        self.seen = weakref.WeakValueDictionary()
        self.known = [x.untyped_storage() for x in known]
        self.seen.update((storage._cdata, storage) for storage in self.known)

    def _released(self, size):
        self.now -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(x, torch.Tensor):
                storage = x.untyped_storage()
                if storage._cdata not in self.seen and storage.nbytes():
                    self.seen[storage._cdata] = storage
                    self.now += storage.nbytes()
                    self.most = max(self.most, self.now)
                    weakref.finalize(storage, self._released, storage.nbytes())
        return out


@pytest.mark.parametrize(("stacked", "near"), [(True, None), (False, None), (False, 1e-4)])
def test_memory_of_a_vocabulary(stacked, near):
    x = logits(4, 64, 8192, near)
    leaf = x.clone().requires_grad_() if stacked else [y.clone().requires_grad_() for y in x]
    with _Peak(*([leaf] if stacked else leaf)) as peak:
        mutual_loss(leaf, 2.0)
    assert peak.most >= 4 * x.numel()
    # the stored gradient, and blocks of a few MB
    assert peak.most <= 4 * x.numel() + 4 * 2**20


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("students", [2, 3])
def test_rows_that_the_kernels_refuse_are_computed_without_them(students, masked, monkeypatch):
    """A stand-in for the kernels, which a GPU needs: right for all rows but the two that it refuses."""
    x = logits(students, 6, 30)
    mask = torch.tensor([True, True, True, False, True, True]) if masked else None

    def evaluate():
        leaf = x.clone().requires_grad_()
        losses = mutual_loss(leaf, 0.5, mask=mask)
        losses.sum().backward()
        return losses.detach(), leaf.grad

    expected = evaluate()
    calls = []

    class Kernels:
        @staticmethod
        def evaluate(x, alpha, temperature, learners, weight):
            calls.append(x.shape)
            task = _cohort.Task(alpha, temperature, weight * temperature, learners, [True], False)
            value, _, gradient, _ = _cohort._in_blocks(list(x), task)
            inside = torch.ones(x.shape[1], dtype=torch.bool)
            inside[1:3] = False
            value = value.clone()
            value[:, 1:3] = gradient[:, 1:3] = torch.nan
            return value, gradient, inside

    monkeypatch.setattr(_cohort, "_kernels", lambda *_: Kernels)
    got = evaluate()
    assert len(calls) == 1
    torch.testing.assert_close(got[0], expected[0], rtol=VALUE, atol=0)
    torch.testing.assert_close(got[1], expected[1], rtol=VALUE, atol=1e-8)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 0.7])
@pytest.mark.parametrize(("students", "near"), [(2, None), (3, None), (3, 1e-2)])
def test_kernels_in_torch(students, near, temperature):
    """Over more than one block of classes: values and gradients of logits over the temperature."""
    kernels = triton_in_torch.kernels()
    x = logits(students, 2, 700, near)
    for alpha in (0.5, 1.0, 1.7):
        value, gradient = in_float64(x, alpha, temperature)
        got, grads, inside = kernels.evaluate(x, alpha, temperature, students, 3.0)
        assert inside.all()
        # terms are float32: half a unit of the largest exponent's rounding, as in `test_losses_kernels`
        torch.testing.assert_close(got, value / temperature**2, rtol=2e-6, atol=0)
        torch.testing.assert_close(grads.double(), 3.0 * gradient / temperature, rtol=0, atol=3.0 * 2.0**-24 * 100)
        alone, nothing, _ = kernels.evaluate(x, alpha, temperature, 1, None)
        assert nothing is None
        torch.testing.assert_close(alone, got[:1], rtol=0, atol=0)


def test_kernels_refuse_rows_out_of_range():
    x = logits(2, 3, 40)
    x[0, 1, 3], x[1, 2, 5] = 400.0, math.nan
    _, _, inside = triton_in_torch.kernels().evaluate(x, 0.5, 1.0, 2, 1.0)
    assert inside.tolist() == [True, False, False]
    # divided by the temperature, the first of them is in range
    _, _, inside = triton_in_torch.kernels().evaluate(x, 0.5, 8.0, 2, 1.0)
    assert inside.tolist() == [True, True, False]


@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton")
@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the kernels are tested directly")
def test_kernels_in_the_interpreter():
    """Triton chooses its interpreter when it is imported: a process of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__).with_name(KERNELS))]
    done = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
