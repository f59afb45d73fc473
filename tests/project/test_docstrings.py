"""Every public name is documented, and public functions and classes show an example that runs."""

import importlib
import inspect

import pytest

MODULES = [
    "rdml_theory",
    "rdml_theory.symbolic",
    "rdml_theory.symbolic.sgd.constant_bias",
    "rdml_theory.symbolic.sgd.best_iterate",
    "rdml_theory.symbolic.mutual.game",
    "rdml_theory.symbolic.sgd.growth",
    "rdml_theory.symbolic.mutual.moving_target",
    "rdml_theory.symbolic.mutual.bias",
    "rdml_theory.symbolic.sgd.refinements",
    "rdml_theory.symbolic.sgd.scope",
    "rdml_theory.symbolic.sgd.tight",
    "rdml_theory.symbolic.mutual.gram",
    "rdml_theory.symbolic.mutual.tunability",
    "rdml_theory.symbolic.sgd.smooth",
    "rdml_theory.symbolic.sgd.descent",
    "rdml_theory.symbolic.divergence.inequalities",
    "rdml_theory.symbolic.divergence.limits",
    "rdml_theory.symbolic.sgd.long_run",
    "rdml_theory.symbolic.sgd.momentum",
    "rdml_theory.symbolic.notation",
    "rdml_theory.symbolic.mutual.plateau",
    "rdml_theory.symbolic.relations",
    "rdml_theory.symbolic.sgd.worst_case",
    "rdml_theory.losses",
    "convergence",
    "convergence.data",
    "convergence.estimators",
    "convergence.momentum",
    "convergence.performance",
    "convergence.moments",
    "convergence.probes",
    "convergence.problems",
    "convergence.problems.bias_models",
    "convergence.problems.noise_models",
    "convergence.sweep",
]
# Records of fields that others build; their classes say what each field is.
PLAIN = {
    "AllPairs", "BiasModel", "Bound", "Chain", "CohortTrajectory", "DualCertificate",
    "EffectiveProblem", "Instance", "Method", "NoiseModel", "Observed", "Problem", "StationaryLaw", "StationaryPoint",
    "StepwiseBound", "SyntheticProblem", "Trajectory", "ValueAndGradient", "Verdict", "WorstCase",
    "GradientError", "Moment", "Witness",
}  # fmt: skip


def public():
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value) or inspect.isclass(value):
                yield pytest.param(name, value, id=f"{module.__name__}.{name}")


@pytest.mark.parametrize(("name", "value"), list(public()))
def test_documented_with_an_example(name, value):
    text = inspect.getdoc(value) or ""
    assert len(text) > 20
    if name not in PLAIN:
        assert ">>>" in text, f"{name} has no runnable example"
