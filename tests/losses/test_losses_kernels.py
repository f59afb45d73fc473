"""The Triton kernels against float64, in the interpreter: run by `test_losses_large`, or with TRITON_INTERPRET=1."""

import math
import os

import pytest
import torch

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("Triton must be imported with TRITON_INTERPRET=1", allow_module_level=True)
pytest.importorskip("triton")

from test_losses_large import in_float64, logits

from rdml_theory.losses import _cohort, _triton, mutual_loss

# float32 terms, float64 sums over blocks of 512; near consensus the rounding of t
VALUE = 2e-6
# exponents of base 2 up to RANGE are rounded to float32
GRADIENT = 2.0**-24 * _triton.RANGE
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of NumPy, where a tile has no student


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.999, 1.0, 1.7, 2.0, 3.0])
@pytest.mark.parametrize("near", [None, 1e-2, 1e-4])
def test_against_float64(alpha, near):
    for students, dtype in ((2, torch.float32), (3, torch.bfloat16), (4, torch.float32)):
        x = logits(students, 2, 1300, near, dtype=dtype)
        value, gradient = in_float64(x, alpha)
        got, grads, inside = _triton.evaluate(x, alpha, 1.0, students, 1.0)
        assert inside.all()
        torch.testing.assert_close(got, value, rtol=VALUE, atol=0)
        torch.testing.assert_close(grads.double(), gradient, rtol=0, atol=GRADIENT)


def test_a_vocabulary():
    x = logits(4, 1, 32768, dtype=torch.bfloat16)
    value, gradient = in_float64(x, 0.5)
    got, grads, _ = _triton.evaluate(x, 0.5, 1.0, 4, 1.0)
    torch.testing.assert_close(got, value, rtol=VALUE, atol=0)
    torch.testing.assert_close(grads.double(), gradient, rtol=0, atol=GRADIENT)


def test_as_part_of_the_loss(monkeypatch):
    """Masked, with a temperature, distilled, and with rows that the kernels refuse."""
    x = logits(3, 6, 700)
    x[0, 1, 3], x[1, 2, 5] = 400.0, -math.inf
    mask = torch.tensor([True, True, True, True, False, True])
    x[:, 4] = math.nan

    def evaluate():
        leaf = x.clone().requires_grad_()
        mutual = mutual_loss(leaf, 0.5, temperature=2.0, beta=0.7, mask=mask)
        mutual.sum().backward()
        return mutual.detach(), leaf.grad

    expected = evaluate()
    calls = []
    monkeypatch.setattr(_cohort, "_kernels", lambda *_: calls.append(1) or _triton)
    got = evaluate()
    assert calls
    torch.testing.assert_close(got[0], expected[0], rtol=VALUE, atol=0)
    torch.testing.assert_close(got[1], expected[1], rtol=0, atol=GRADIENT)
