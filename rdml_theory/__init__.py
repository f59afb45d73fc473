"""Rényi divergence of discrete distributions: values and derivatives, accurate at consensus and at order one too."""

from rdml_theory._validation import UnnormalisedWarning
from rdml_theory.divergence import (
    ValueAndGradient,
    escort,
    renyi_divergence,
    renyi_gradient,
    renyi_hessian,
    renyi_value_and_gradient,
)
from rdml_theory.relatives import (
    bhattacharyya_distance,
    chi_square_divergence,
    hellinger_distance,
    kl_divergence,
    max_divergence,
    renyi_cross_entropy,
    renyi_entropy,
)

__all__ = [
    "UnnormalisedWarning",
    "ValueAndGradient",
    "bhattacharyya_distance",
    "chi_square_divergence",
    "escort",
    "hellinger_distance",
    "kl_divergence",
    "max_divergence",
    "renyi_cross_entropy",
    "renyi_divergence",
    "renyi_entropy",
    "renyi_gradient",
    "renyi_hessian",
    "renyi_value_and_gradient",
]
