"""Deliberate faults in copies of the sources: a run exits 1 and names the claim."""

import json

import pytest
from faults import misfits, run_with

from rdml_theory._kernels import Evaluation
from verify import runner

# file, what is there, what is put in its place, claims to run, claims that must be refuted
FAULTS = {
    "sign of the stated student gradient": (
        "verify/claims/d1_student_gradient.py",
        "    subject=q[k] - w[k],",
        "    subject=q[k] + w[k],",
        ["D1", "D4"],
        {"D1"},
    ),
    "sign of the computed student gradient": (
        "rdml_theory/_kernels.py",
        "return self._first * self.order.alpha if self.order.swapped else self._second\n",
        "return -(self._first * self.order.alpha if self.order.swapped else self._second)\n",
        ["D1"],
        {"D1"},
    ),
    "sign of the divergence's definition": (
        "rdml_theory/symbolic/expression.py",
        "1 / (value - 1))",
        "1 / (1 - value))",
        ["D4"],
        {"D4"},
    ),
    "sign of the divergence in the kernel": (
        "rdml_theory/symbolic/divergence/entries.py",
        "RENYI = Equal(D, log(power_mean()) / (alpha - 1))",
        "RENYI = Equal(D, log(power_mean()) / (1 - alpha))",
        ["D8", "D14"],
        {"D8", "D14"},
    ),
    "sign of the divergence whose gradient is taken": (
        "rdml_theory/symbolic/divergence/gradients.py",
        "_student ** (1 - alpha))) / (alpha - 1)",
        "_student ** (1 - alpha))) / (1 - alpha)",
        ["D1", "D3"],
        {"D1", "D3"},
    ),
    "noise term dropped from the sharp bound": (
        "convergence/bounds.py",
        "drive = product(assumptions.smoothness, eta, assumptions.noise, factor)\n",
        "drive = product(0, assumptions.smoothness, eta, assumptions.noise, factor)\n",
        ["C2"],
        {"C2"},
    ),
    "bias dropped from the classical bound": (
        "convergence/bounds.py",
        "        product(assumptions.bias, over=(1 - m,)),\n",
        "        product(0, assumptions.bias, over=(1 - m,)),\n",
        ["C1"],
        {"C1"},
    ),
    "noise doubled in the simulator": (
        "convergence/problems/base.py",
        "self._noise(gradient, float(np.sqrt(self.noise)), rng, out)",
        "self._noise(gradient, 2 * float(np.sqrt(self.noise)), rng, out)",
        ["C1", "C2"],
        {"C1", "C2"},
    ),
    "step of the simulator a tenth too long": (
        "convergence/ensemble.py",
        "sample *= step",
        "sample *= 1.1 * step",
        ["C2"],
        {"C2"},
    ),
    "order of the game ignored": (
        "convergence/problems/mutual_learning.py",
        'self.alpha = number("alpha", alpha, least=0, infinite=True)',
        "self.alpha = 1.0",
        ["C5"],
        {"C5"},
    ),
    "bias of the worst case 2% too small": (
        "convergence/problems/base.py",
        "return self._bias(gradient, float(np.sqrt(self.bias))) if",
        "return self._bias(gradient, 0.98 * float(np.sqrt(self.bias))) if",
        ["C2"],
        {"C2"},
    ),
    "temperature of the torch losses": (
        "rdml_theory/losses/distillation.py",
        "scale=self.temperature**2",
        "scale=self.temperature",
        ["D1", "D2"],
        {"D1", "D2"},
    ),
    "the torch losses take orders next to one for one": (
        "rdml_theory/losses/_stored.py",
        "order = alpha.item() if isinstance(alpha, Tensor) else alpha",
        "order = alpha.item() if isinstance(alpha, Tensor) else (1.0 if abs(alpha - 1) < 1e-4 else alpha)",
        ["D1"],
        {"D1"},
    ),
    "mutual gradient halved in the game": (
        "convergence/problems/mutual_learning.py",
        'parts["mutual"] *= self.beta',
        'parts["mutual"] *= 0.5 * self.beta',
        ["C5"],
        {"C5"},
    ),
    "orders within 1e-4 of one taken for one": (
        "rdml_theory/_blocks.py",
        "branches.split_order(alpha))\n\n\ndef walk",
        "branches.split_order(1.0 if abs(alpha - 1.0) < 1e-4 else alpha))\n\n\ndef walk",
        ["D3", "D4"],
        {"D3", "D4"},
    ),
    "of an array, orders within 1e-4 of one taken for one": (
        "rdml_theory/_branches.py",
        "out[alpha == 1.0] = KL",
        "out[np.abs(alpha - 1.0) < 1e-4] = KL",
        ["D4"],
        {"D4"},
    ),
    "orders below 1e-3 taken for zero": (
        "rdml_theory/_branches.py",
        "SMALLEST_ORDER = 2.0**-1000",
        "SMALLEST_ORDER = 1e-3",
        ["D2", "D5"],
        {"D2", "D5"},
    ),
    "orders above 1000 taken for infinity": (
        "rdml_theory/_blocks.py",
        "if np.isinf(alpha):",
        "if alpha > 1000.0:",
        ["D1", "D4"],
        {"D1", "D4"},
    ),
    "of an array, orders above 1000 taken for infinity": (
        "rdml_theory/_branches.py",
        "out[np.isinf(alpha)] = INFINITE",
        "out[alpha > 1000.0] = INFINITE",
        ["D4"],
        {"D4"},
    ),
    "the student gradient in probabilities without the sum of q": (
        "rdml_theory/_coordinates.py",
        "out *= pair.mass / pair.q_sum",
        "out *= pair.mass",
        ["D1"],
        {"D1"},
    ),
    "the peer's gradient in probabilities without the sum of p": (
        "rdml_theory/_coordinates.py",
        "out *= pair.mass / pair.p_sum",
        "out *= pair.mass",
        ["D2"],
        {"D2"},
    ),
    "the Hessian in probabilities without the sum of q": (
        "rdml_theory/_coordinates.py",
        "return out / (q_sum * q_sum)",
        "return out / q_sum",
        ["D3"],
        {"D3"},
    ),
    "the series of near elements cut at 1e-9": (
        "rdml_theory/_branches.py",
        "SERIES_TAIL = 1e-18",
        "SERIES_TAIL = 1e-9",
        ["D4"],
        {"D4"},
    ),
}


def test_faults_fit_the_sources():
    assert misfits(FAULTS) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_caught(tmp_path, name):
    file, before, after, ids, refuted = FAULTS[name]
    result = run_with(tmp_path, file, before, after, ids)
    assert result.returncode == 1, result.stderr
    document = json.loads(result.stdout)
    assert {c["id"] for c in document["claims"] if c["outcome"] == "refuted"} == refuted


def test_a_wrong_gradient_is_caught(monkeypatch):
    """The second fault, in this process and by one check: D1's of the core keeps nothing that it computes."""
    right = Evaluation.student
    monkeypatch.setattr(Evaluation, "student", lambda self: -right(self))
    found = runner._run_unit(("D1", "numeric"), runner.RunSettings(), lambda fraction: None)
    assert found.checks[""].outcome == "refuted"
